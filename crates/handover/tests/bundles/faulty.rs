//! A Bundle with faults is refused once, with every fault named, and nothing of it is filed.

use crate::stranger::{ADA, Door, ada, bundle, entry, issues, observation};
use serde_json::{Value, json};

/// Entries of the Bundle.
const ENTRIES: usize = 500;

/// What is done to the entry at a place, and how the door names it.
type Fault = (usize, fn(&mut Value), &'static str, &'static str);

const FAULTS: [Fault; 7] = [
    (17, |entry| entry["request"]["method"] = "PATCH".into(), "entry-invalid", "request.method"),
    (60, |entry| entry["request"]["url"] = "Observable".into(), "entry-invalid", "request.url"),
    (61, |entry| drop(entry.as_object_mut().unwrap().remove("resource")), "entry-invalid", ""),
    (
        199,
        |entry| entry["resource"]["subject"]["reference"] = 7.into(),
        "entry-invalid",
        "resource.subject.reference",
    ),
    (
        321,
        |entry| entry["resource"]["encounter"] = json!({ "reference": "urn:uuid:nobody" }),
        "reference-unresolved",
        "resource.encounter.reference",
    ),
    (
        322,
        |entry| {
            entry["resource"]["subject"] = json!({ "reference": "https://x.example/Patient/1" })
        },
        "entry-invalid",
        "resource.subject.reference",
    ),
    (
        499,
        |entry| entry["resource"]["status"] = json!(["final"]),
        "entry-invalid",
        "resource.status",
    ),
];

fn urn(index: usize) -> String {
    format!("urn:uuid:00000000-0000-4000-8000-{index:012}")
}

fn entries() -> Vec<Value> {
    let created = |index: usize| {
        let mut one = match index {
            0 => entry("POST", "Patient", Some(ada(None))),
            _ => entry("POST", "Observation", Some(observation(&urn(0)))),
        };
        one["fullUrl"] = urn(index).into();
        one
    };
    (0..ENTRIES).map(created).collect()
}

#[test]
fn seven_faults_among_five_hundred_entries_are_all_named_and_nothing_is_filed() {
    let door = Door::open(&[ADA.to_owned()]);
    let mut entries = entries();
    for (index, spoil, ..) in FAULTS {
        spoil(&mut entries[index]);
    }
    let told = door.post(bundle("transaction", entries));
    let expected: Vec<_> = FAULTS
        .iter()
        .map(|(index, _, code, way)| {
            let dot = if way.is_empty() { "" } else { "." };
            ((*code).to_owned(), format!("Bundle.entry[{index}]{dot}{way}"))
        })
        .collect();
    assert_eq!((told.status, issues(&told)), (400, expected));
    let issues = told.json()["issue"].as_array().unwrap().clone();
    for (issue, (index, ..)) in issues.iter().zip(FAULTS) {
        let words = issue["details"]["text"].as_str().unwrap();
        assert!(words.contains(&urn(index)), "its fullUrl is named: {words}");
        assert!(issue["diagnostics"].as_str().unwrap().contains("Place: byte"), "{issue}");
    }
    assert_eq!(door.payer.dump(), [], "nothing is filed");

    let told = door.post(bundle("transaction", self::entries()));
    assert_eq!(told.status, 200, "without its faults it is taken: {:?}", told.json()["issue"]);
    assert_eq!(door.payer.dump().len(), ENTRIES);
}

/// The same, where the faults are found only in what the house holds.
#[test]
fn faults_against_what_is_filed_are_all_named_too() {
    let door = Door::open(&[ADA.to_owned()]);
    let created = [("1", "a"), ("2", "a"), ("3", "b")].map(|(id, number)| {
        let mut practitioner = crate::stranger::practitioner(number);
        practitioner["id"] = id.into();
        entry("PUT", &format!("Practitioner/{id}"), Some(practitioner))
    });
    assert_eq!(door.post(bundle("batch", created.to_vec())).status, 200);
    let before = door.payer.dump();

    let mut entries = entries();
    entries.truncate(9);
    let by =
        |condition: &str| json!([{ "reference": format!("Practitioner?identifier={condition}") }]);
    entries[2]["resource"]["performer"] = by("urn:npi|a");
    entries[3]["resource"]["performer"] = by("urn:npi|nobody");
    entries[4]["resource"]["performer"] = by("urn:npi|b");
    entries[5]["resource"]["encounter"] = json!({ "reference": "Encounter/none" });
    entries[6] =
        entry("PUT", "Practitioner?identifier=urn:npi|a", Some(crate::stranger::practitioner("a")));
    let mut stale = crate::stranger::practitioner("b");
    stale["id"] = "3".into();
    entries[7] = entry("PUT", "Practitioner/3", Some(stale));
    entries[7]["request"]["ifMatch"] = "W/\"9\"".into();
    entries[8] = entry("DELETE", "Practitioner?favourite=yes", None);
    let told = door.post(bundle("transaction", entries));
    let place = |index: usize, way: &str| format!("Bundle.entry[{index}].{way}");
    assert_eq!(
        issues(&told),
        [
            ("condition-ambiguous".to_owned(), place(2, "resource.performer[0].reference")),
            ("reference-unresolved".to_owned(), place(3, "resource.performer[0].reference")),
            ("reference-unresolved".to_owned(), place(5, "resource.encounter.reference")),
            ("condition-ambiguous".to_owned(), place(6, "request.url")),
            ("version-conflict".to_owned(), place(7, "request.ifMatch")),
            ("parameter-unsupported".to_owned(), place(8, "request.url")),
        ]
    );
    assert_eq!(door.payer.dump(), before, "nothing is filed");
}

/// And where some are found in the Bundle, some in the token, and some in what the house holds.
#[test]
fn faults_of_every_kind_are_named_at_once() {
    let door = Door::open(&[ADA.to_owned()]);
    let filed = [("1", "a"), ("2", "a"), ("3", "b")].map(|(id, number)| {
        let mut practitioner = crate::stranger::practitioner(number);
        practitioner["id"] = id.into();
        entry("PUT", &format!("Practitioner/{id}"), Some(practitioner))
    });
    assert_eq!(door.post(bundle("batch", filed.to_vec())).status, 200);
    let before = door.payer.dump();

    let mut entries = entries();
    entries.truncate(9);
    let by = |reference: &str| json!([{ "reference": reference }]);
    entries[1]["request"]["method"] = "PATCH".into();
    let mut stale = crate::stranger::practitioner("b");
    stale["id"] = "3".into();
    entries[2]["resource"] = stale;
    entries[2]["request"] =
        json!({ "method": "PUT", "url": "Practitioner/3", "ifMatch": "W/\"9\"" });
    entries[3]["resource"]["encounter"] = json!({ "reference": "Encounter/none" });
    entries[4]["resource"]["performer"] = by("Practitioner?identifier=urn:npi|a");
    entries[5]["resource"]["status"] = json!(["final"]);
    // Two faults of one entry, found in two ways.
    entries[6]["resource"]["encounter"] = json!({ "reference": "urn:uuid:nobody" });
    entries[6]["resource"]["performer"] = by("Practitioner/nobody");
    let organization = json!({ "resourceType": "Organization", "name": "Lab" });
    entries[7]["resource"] = organization;
    entries[7]["request"]["url"] = "Organization".into();
    // What it refers to is in an entry that cannot be read: that one alone is told.
    entries[8]["resource"]["hasMember"] = json!([{ "reference": urn(5) }]);

    let scope = "system/Observation.cud system/Patient.cud system/Practitioner.cud";
    let told = door.sender.post(&door.sender.token(scope).unwrap(), bundle("transaction", entries));
    let place = |index: usize, way: &str| format!("Bundle.entry[{index}].{way}");
    let told_of = issues(&told);
    assert_eq!(
        told_of,
        [
            ("entry-invalid".to_owned(), place(1, "request.method")),
            ("version-conflict".to_owned(), place(2, "request.ifMatch")),
            ("reference-unresolved".to_owned(), place(3, "resource.encounter.reference")),
            ("condition-ambiguous".to_owned(), place(4, "resource.performer[0].reference")),
            ("entry-invalid".to_owned(), place(5, "resource.status")),
            ("reference-unresolved".to_owned(), place(6, "resource.encounter.reference")),
            ("reference-unresolved".to_owned(), place(6, "resource.performer[0].reference")),
            ("scope-missing".to_owned(), place(7, "request")),
        ]
    );
    let outcome = told.json()["issue"].as_array().unwrap().clone();
    for (issue, index) in outcome.iter().zip([1, 2, 3, 4, 5, 6, 6, 7]) {
        let words = issue["details"]["text"].as_str().unwrap();
        assert!(words.contains(&urn(index)), "its fullUrl is named: {words}");
    }
    assert_eq!(door.payer.dump(), before, "nothing is filed");
}
