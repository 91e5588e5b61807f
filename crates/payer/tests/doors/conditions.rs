//! Goal: a condition counts what stands once the Bundle has taken away what it takes away: neither
//! more, nor less, nor what it was only asked to take away.
//!
//! How: several records of the stranger `lab` fit one condition; what it sends names some of them.

use crate::bundles::{
    Answer, bundle, count, entry, observation, patient, place, practitioner, stands, told, with,
};
use crate::plan::{Plan, says};
use exchange::Code;
use serde_json::{Value, json};

const BY_NUMBER: &str = "identifier=urn:npi|1";

fn put(id: &str, number: &str) -> Value {
    entry("PUT", &format!("Practitioner/{id}"), Some(practitioner(id, number)))
}

fn delete(id: &str) -> Value {
    entry("DELETE", &format!("Practitioner/{id}"), None)
}

/// Files a record whose number nobody has.
fn update() -> Value {
    entry("PUT", &format!("Practitioner?{BY_NUMBER}"), Some(practitioner("", "1")))
}

fn create() -> Value {
    let post = entry("POST", "Practitioner", Some(practitioner("", "1")));
    with(post, "/request/ifNoneExist", BY_NUMBER)
}

fn refer() -> Value {
    let reference = json!({ "reference": format!("Practitioner?{BY_NUMBER}") });
    let role = json!({ "resourceType": "PractitionerRole", "practitioner": reference });
    entry("POST", "PractitionerRole", Some(role))
}

/// A plan where these records of `lab` have the same number.
async fn with_twins(ids: &[&str]) -> Plan {
    let plan = Plan::open();
    let all = ids.iter().map(|id| put(id, "1")).collect();
    assert_eq!(plan.post("lab", bundle("batch", all)).await.status(), 200);
    plan
}

async fn send(plan: &Plan, kind: &str, entries: Vec<Value>) -> Answer {
    plan.post("lab", bundle(kind, entries)).await
}

#[tokio::test]
async fn what_is_left_of_many_that_fit_is_the_one_that_fits() {
    for (case, changed) in [("update", update()), ("create", create()), ("refer", refer())] {
        let plan = with_twins(&["a", "b", "c"]).await;
        let answer = send(&plan, "transaction", vec![delete("a"), delete("b"), changed]).await;
        let told = told(&answer);
        assert_eq!(told[..2], ["204", "204"], "{case}");
        match case {
            "refer" => {
                let role = stands(&plan, "lab", &place(&answer, 2)).await;
                assert_eq!(role["practitioner"]["reference"], "Practitioner/c");
            }
            _ => assert_eq!((told[2].as_str(), &*place(&answer, 2)), ("200", "Practitioner/c")),
        }
        assert_eq!(count(&plan, "lab", &format!("Practitioner?{BY_NUMBER}")).await, 1, "{case}");
    }
}

#[tokio::test]
async fn two_that_are_left_are_too_many_however_many_go() {
    for (case, changed) in [("update", update()), ("create", create()), ("refer", refer())] {
        let plan = with_twins(&["a", "b", "c", "d"]).await;
        let answer = send(&plan, "transaction", vec![delete("a"), delete("b"), changed]).await;
        says(&answer, Code::ConditionAmbiguous);
        assert_eq!(count(&plan, "lab", "Practitioner?_count=0").await, 4, "{case}");
    }
    // What is written anew and fits no longer is aside for a reference; the others are not.
    let plan = with_twins(&["a", "b", "c"]).await;
    let answer = send(&plan, "transaction", vec![put("a", "2"), refer()]).await;
    says(&answer, Code::ConditionAmbiguous);
    let answer = send(&plan, "transaction", vec![put("a", "2"), put("b", "2"), refer()]).await;
    assert_eq!(told(&answer), ["200", "200", "201"]);
    let role = stands(&plan, "lab", &place(&answer, 2)).await;
    assert_eq!(role["practitioner"]["reference"], "Practitioner/c");
}

#[tokio::test]
async fn what_a_batch_is_refused_to_delete_stands_and_fits() {
    let stale = || with(delete("g"), "/request/ifMatch", "W/\"99\"");
    for (case, changed, status) in
        [("create", create(), "200"), ("update", update(), "200"), ("refer", refer(), "201")]
    {
        let plan = with_twins(&["g"]).await;
        for round in ["first", "again"] {
            let answer = send(&plan, "batch", vec![stale(), changed.clone()]).await;
            assert_eq!(told(&answer), ["version-conflict", status], "{case}, {round}");
            let fits = count(&plan, "lab", &format!("Practitioner?{BY_NUMBER}")).await;
            assert_eq!(fits, 1, "{case}, {round}");
        }
    }
    // A Patient who must stay, since a record is about it, stays for conditions too.
    let plan = Plan::open();
    let about = observation("o", "Patient/p");
    let filed = vec![
        entry("PUT", "Patient/p", Some(patient("p", "W100"))),
        entry("PUT", "Observation/o", Some(about)),
    ];
    assert_eq!(told(&send(&plan, "transaction", filed).await), ["201", "201"]);
    let mut again = patient("", "W100");
    again.as_object_mut().unwrap().remove("id");
    let post = entry("POST", "Patient", Some(again));
    let post = with(post, "/request/ifNoneExist", "identifier=urn:plan|W100");
    let answer = send(&plan, "batch", vec![entry("DELETE", "Patient/p", None), post]).await;
    assert_eq!(told(&answer), ["reference-unresolved", "200"]);
}

#[tokio::test]
async fn who_leans_on_a_refused_entry_of_a_batch_goes_on_without_it() {
    let plan = Plan::open();
    let role = |reference: &str| {
        let reference = json!({ "reference": reference });
        json!({ "resourceType": "PractitionerRole", "practitioner": reference,
            "identifier": [{ "system": "urn:role", "value": "1" }] })
    };
    let on_condition = |reference: &str| {
        let post = entry("POST", "PractitionerRole", Some(role(reference)));
        with(post, "/request/ifNoneExist", "identifier=urn:role|1")
    };
    let entries =
        vec![on_condition("Practitioner/nobody"), put("a", "1"), on_condition("Practitioner/a")];
    let answer = send(&plan, "batch", entries).await;
    assert_eq!(told(&answer), ["reference-unresolved", "201", "201"]);

    let url = "PractitionerRole?identifier=urn:role|2";
    let mut other = role("Practitioner/a");
    other["identifier"][0]["value"] = "2".into();
    let mut nowhere = other.clone();
    nowhere["practitioner"]["reference"] = "Practitioner/nobody".into();
    let entries = vec![
        entry("POST", "PractitionerRole", Some(nowhere)),
        entry("PUT", url, Some(other.clone())),
        with(put("a", "2"), "/request/ifMatch", "W/\"7\""),
        entry("PUT", &format!("Practitioner?{BY_NUMBER}"), Some(practitioner("a", "1"))),
    ];
    let answer = send(&plan, "batch", entries).await;
    assert_eq!(told(&answer), ["reference-unresolved", "201", "version-conflict", "200"]);
}

#[tokio::test]
async fn a_refusal_in_a_batch_reaches_whoever_leans_on_it_through_others() {
    let plan = with_twins(&["a"]).await;
    let refers = |id: &str, to: &str| {
        let reference = json!({ "reference": to });
        let whole = json!({ "resourceType": "Organization", "id": id, "partOf": reference });
        entry("PUT", &format!("Organization/{id}"), Some(whole))
    };
    let entries = vec![
        refers("one", "Organization/two"),
        refers("two", "Organization/three"),
        refers("three", "Organization/none"),
        refers("four", "Organization/five"),
        refers("five", "Organization/five"),
        put("a", "1"),
    ];
    let answer = send(&plan, "batch", entries).await;
    let nowhere = "reference-unresolved";
    assert_eq!(told(&answer), [nowhere, nowhere, nowhere, "201", "201", "200"]);
}

#[tokio::test]
async fn a_bundle_has_so_many_different_conditions_whatever_they_ask_for() {
    const MANY: usize = repository::limits::CONDITIONS_MAX;
    let plan = Plan::open();
    let with_conditions = |count: usize| {
        let numbers =
            (0..count).map(|number| json!({ "system": "urn:npi", "value": number.to_string() }));
        let mut practitioner = practitioner("p", "1");
        practitioner["identifier"] = numbers.collect();
        let references = (0..count).map(
            |number| json!({ "reference": format!("Practitioner?identifier=urn:npi|{number}") }),
        );
        let list: Vec<_> = references.map(|item| json!({ "item": item })).collect();
        let list = json!({ "resourceType": "List", "id": "l", "status": "current",
            "mode": "working", "entry": list, "subject": { "reference": "Patient/p" } });
        let entries = vec![
            entry("PUT", "Patient/p", Some(patient("p", "W100"))),
            entry("PUT", "Practitioner/p", Some(practitioner)),
            entry("PUT", "List/l", Some(list)),
        ];
        bundle("transaction", entries)
    };
    let issue = says(&plan.post("guest", with_conditions(MANY + 1)).await, Code::ParameterInvalid);
    let place = format!("Bundle.entry[2].resource.entry[{MANY}].item.reference");
    assert_eq!(issue.expression, Some(place));
    assert_eq!(told(&plan.post("guest", with_conditions(MANY)).await), ["201"; 3]);
}
