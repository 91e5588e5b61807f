//! Goal: a transaction with faults is refused once, with all of them, as far as they may be told.
//!
//! How: faults that are found in the Bundle, in the token and in what is filed, and very many.

use crate::bundles::{body, bundle, entry, practitioner, told, with};
use crate::plan::Plan;
use serde_json::{Value, json};

#[tokio::test]
async fn what_may_not_be_asked_is_told_with_the_rest_and_not_looked_into() {
    let plan = Plan::open();
    let put = |id: &str| entry("PUT", &format!("Practitioner/{id}"), Some(practitioner(id, "1")));
    assert_eq!(told(&plan.post("lab", bundle("batch", vec![put("a")])).await), ["201"]);
    let role = json!({
        "resourceType": "PractitionerRole", "id": "r",
        "practitioner": { "reference": "Practitioner/nobody" },
    });
    let entries = vec![
        with(put("a"), "/request/ifMatch", "W/\"7\""),
        entry("PATCH", "Practitioner/a", Some(practitioner("a", "1"))),
        entry("PUT", "PractitionerRole/r", Some(role)),
    ];
    let answer =
        plan.post_with("lab", "system/PractitionerRole.cu", bundle("transaction", entries)).await;
    let issues = body(&answer)["issue"].as_array().unwrap().clone();
    let code = |issue: &Value| issue["details"]["coding"][0]["code"].as_str().unwrap().to_owned();
    let codes: Vec<_> = issues.iter().map(code).collect();
    assert_eq!(
        codes,
        ["scope-missing", "entry-invalid", "reference-unresolved"],
        "in which version the record stands is not told"
    );
    assert_eq!(plan.list().await.len(), 1, "of what nobody may ask for there is no line");
}

#[tokio::test]
async fn of_a_transaction_with_faults_those_of_the_first_entries_are_told() {
    let plan = Plan::open();
    let role = |number: usize| {
        let reference = json!({ "reference": format!("Practitioner/nobody-{number}") });
        let many: Vec<_> = (0..40).map(|_| reference.clone()).collect();
        json!({ "resourceType": "PractitionerRole", "practitioner": reference,
            "healthcareService": many })
    };
    let post = |number: usize| entry("POST", "PractitionerRole", Some(role(number)));
    let mut entries: Vec<_> = (0..600).map(post).collect();
    entries[3]["request"]["method"] = "PATCH".into();
    let answer = plan.post("lab", bundle("transaction", entries)).await;
    let issues = body(&answer)["issue"].as_array().unwrap().clone();
    assert_eq!(issues.len(), exchange::limits::FAULTS_MAX);
    assert_eq!(issues[3]["expression"][0], "Bundle.entry[3].request.method");
    assert_eq!(issues[4]["expression"][0], "Bundle.entry[4].resource.practitioner.reference");
}
