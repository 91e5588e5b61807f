//! Goal: of all rungs that a door offers and the agreement names, the highest is taken, and every
//! higher one has its reason.

#![allow(clippy::unwrap_used, missing_docs)]
use exchange::Code;
use exchange::ladder::{CARRIERS, Carrier, DoorTerms, Identity, Offer, choose};
use fhir::Doc;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn offer(system: &[&str], types: Value) -> Offer {
    let system: Vec<Value> = system.iter().map(|code| json!({ "code": code })).collect();
    let rest = json!({ "mode": "server", "interaction": system, "resource": types });
    Offer::read(&Doc::parse(json!({ "rest": [rest] }).to_string().as_bytes()).unwrap())
}

fn kind(kind: &str, interactions: &[&str], flags: &[&str]) -> Value {
    let codes: Vec<Value> = interactions.iter().map(|code| json!({ "code": code })).collect();
    let mut row = json!({ "type": kind, "interaction": codes });
    flags.iter().for_each(|flag| row[*flag] = json!(true));
    row
}

#[test]
fn the_highest_rung_is_taken() {
    let write = || json!([kind("Patient", &["create"], &[])]);
    let bundle = || json!([kind("Bundle", &["create"], &[]), kind("Patient", &["read"], &[])]);
    let all = CARRIERS;
    let table = [
        ("all", offer(&["transaction", "batch"], write()), &all[..], Some(Carrier::Transaction), 0),
        ("batch", offer(&["batch"], write()), &all, Some(Carrier::Batch), 1),
        ("single", offer(&[], write()), &all, Some(Carrier::Single), 2),
        ("collection", offer(&[], bundle()), &all, Some(Carrier::Collection), 3),
        ("not agreed", offer(&["transaction"], write()), &all[2..], Some(Carrier::Single), 2),
        ("unlisted", offer(&["transaction"], json!([])), &all, Some(Carrier::Transaction), 0),
        ("reads only", offer(&[], json!([kind("Patient", &["read"], &[])])), &all, None, 4),
        ("collection unnamed", offer(&[], bundle()), &all[..3], None, 4),
    ];
    for (case, offer, forms, carrier, reasons) in table {
        let terms = DoorTerms { forms: forms.to_vec(), ..DoorTerms::default() };
        match (choose(&offer, &terms, &BTreeSet::new()), carrier) {
            (Ok(rung), Some(carrier)) => {
                assert_eq!(rung.carrier, carrier, "{case}");
                let why_not = rung.reasons.iter().filter(|it| it.starts_with("not by")).count();
                assert_eq!(why_not, reasons, "{case}: {:?}", rung.reasons);
            }
            (Err(issue), None) => assert_eq!(issue.code, Code::CapabilityMissing, "{case}"),
            (found, _) => panic!("{case}: {found:?}"),
        }
    }
}

#[test]
fn identity_is_asked_of_every_type() {
    let types = json!([
        kind("Patient", &["create", "update"], &["updateCreate", "conditionalCreate"]),
        kind("Observation", &["create", "update"], &["conditionalCreate"]),
        kind("Condition", &["create", "update"], &[]),
        kind("Encounter", &["read"], &["conditionalUpdate"]),
        kind("Provenance", &["create"], &["conditionalCreate"]),
        kind("Practitioner", &["update"], &[]),
    ]);
    let offer = offer(&["batch"], types);
    let rung = choose(&offer, &DoorTerms::default(), &BTreeSet::new()).unwrap();
    let table = [
        ("Patient", Some(Identity::Put)),
        ("Observation", Some(Identity::Conditional)),
        ("Condition", Some(Identity::Server)),
        ("Encounter", Some(Identity::Conditional)),
        ("Provenance", Some(Identity::Server)),
        ("Practitioner", None),
        ("Device", None),
    ];
    for (kind, identity) in table {
        assert_eq!(rung.identity(kind), identity, "{kind}");
    }
    let shut: BTreeSet<String> = ["batch", "put"].map(str::to_owned).into();
    let lower = choose(&offer, &DoorTerms::default(), &shut).unwrap();
    assert_eq!(
        (lower.carrier, lower.identity("Patient")),
        (Carrier::Single, Some(Identity::Conditional))
    );
}
