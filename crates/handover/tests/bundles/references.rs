//! References lead to the record that R4 says they mean, and to no other of the same name.

use crate::stranger::{ADA, Door, ada, bundle, entry, issues, observation, practitioner, statuses};
use serde_json::{Value, json};

fn role(practitioner: &str) -> Value {
    json!({
        "resourceType": "PractitionerRole",
        "practitioner": { "reference": practitioner },
    })
}

/// What stands beside its entry's `fullUrl` goes before what is on file under that type and id.
#[test]
fn a_relative_reference_means_the_entry_of_that_full_url() {
    let door = Door::open(&[ADA.to_owned()]);
    let mut old = practitioner("old");
    old["id"] = "77".into();
    assert_eq!(door.ask("PUT", "Practitioner/77", &[], Some(&old)).status, 201);
    let mut new = entry("POST", "Practitioner", Some(practitioner("new")));
    new["fullUrl"] = "https://ehr.example/fhir/Practitioner/77".into();
    let mut refers = entry("POST", "PractitionerRole", Some(role("Practitioner/77")));
    refers["fullUrl"] = "https://ehr.example/fhir/PractitionerRole/r".into();
    let entries = vec![refers, new];

    assert_eq!(statuses(&door.post(bundle("batch", entries.clone()))), [422, 201]);
    assert_eq!(statuses(&door.post(bundle("transaction", entries))), [201, 201]);
    let found = door.get("Practitioner?identifier=new").json();
    let roles = door.get("PractitionerRole").json();
    let linked = &roles["entry"][0]["resource"]["practitioner"]["reference"];
    let brought = found["entry"].as_array().unwrap().iter().map(|one| &one["resource"]["id"]);
    let brought: Vec<_> =
        brought.map(|id| json!(format!("Practitioner/{}", id.as_str().unwrap()))).collect();
    assert_eq!(roles["total"], 1);
    assert!(brought.contains(linked), "{linked} is none of {brought:?}");
}

#[test]
fn a_reference_under_the_house_s_own_address_is_one_to_its_records() {
    let door = Door::open(&[ADA.to_owned()]);
    assert_eq!(door.ask("PUT", "Patient/p", &[], Some(&ada(Some("p")))).status, 201);
    let base = door.sender.base_url.trim_end_matches('/');
    let subject = format!("{base}/Patient/p");
    let told = door.ask("POST", "Observation", &[], Some(&observation(&subject)));
    assert_eq!(told.status, 201, "{:?}", told.body);
    assert_eq!(door.count("Observation?patient=p"), 1, "it is found by whom it is about");
    let patient = entry("PUT", "Patient/p", Some(ada(Some("p"))));
    let beside = entry("POST", "Observation", Some(observation(&subject)));
    assert_eq!(statuses(&door.post(bundle("transaction", vec![patient, beside]))), [200, 201]);

    let mut dangling = observation("Patient/p");
    dangling["performer"] = json!([{ "reference": format!("{base}/Practitioner/nobody") }]);
    let told = door.ask("POST", "Observation", &[], Some(&dangling));
    assert_eq!((told.status, issues(&told)[0].0.as_str()), (422, "reference-unresolved"));
    let told =
        door.ask("POST", "Observation", &[], Some(&observation(&format!("{base}/Patient/q"))));
    assert_eq!((told.status, issues(&told)[0].0.as_str()), (422, "reference-unresolved"));
    assert_eq!(door.count("Observation?"), 2);
}

/// A Provenance about another member would stand among that member's records.
#[test]
fn a_provenance_speaks_of_one_member() {
    let bea = "W200,Example,Bea,1990-05-06,female";
    let door = Door::open(&[ADA.to_owned(), bea.to_owned()]);
    let mut other = ada(Some("bea"));
    other["identifier"][0]["value"] = "W200".into();
    other["name"] = json!([{ "family": "Example", "given": ["Bea"] }]);
    other["birthDate"] = "1990-05-06".into();
    assert_eq!(door.ask("PUT", "Patient/bea", &[], Some(&other)).status, 201);

    let provenance = |of: &[&str]| {
        let targets: Vec<_> = of.iter().map(|of| json!({ "reference": of })).collect();
        let agent = json!([{ "who": { "display": "the laboratory" } }]);
        let provenance = json!({
            "resourceType": "Provenance", "target": targets,
            "recorded": "2026-01-03T10:00:00Z", "agent": agent,
        });
        entry("POST", "Provenance", Some(provenance))
    };
    let patient = entry("PUT", "Patient/ada", Some(ada(Some("ada"))));
    let spoken =
        |of: &[&str]| door.post(bundle("transaction", vec![patient.clone(), provenance(of)]));
    let told = spoken(&["Patient/ada", "Patient/bea"]);
    assert_eq!((told.status, issues(&told)[0].0.as_str()), (400, "entry-invalid"));
    assert_eq!(statuses(&spoken(&["Patient/ada"])), [201, 201]);

    let mut about = observation("Patient/ada");
    about["id"] = "o".into();
    let about = entry("PUT", "Observation/o", Some(about));
    let told = door.post(bundle("transaction", vec![about, provenance(&["Patient/bea"])]));
    assert_eq!((told.status, issues(&told)[0].0.as_str()), (422, "member-not-named"));
    assert_eq!(door.count("Provenance?patient=bea"), 0);
}
