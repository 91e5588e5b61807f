//! A body that is made to be dear to answer is answered in few words, and stops nobody.

use crate::stranger::{ADA, Door, ada, bundle, entry, issues, issues_of, practitioner, statuses};
use exchange::limits::FAULTS_PER_ENTRY_MAX;
use serde_json::{Value, json};

/// References of one entry: so many that work which grows with their square would not end here.
const MANY: usize = 40_000;

fn account(reference: impl Fn(usize) -> String) -> Value {
    let subjects: Vec<_> = (0..MANY).map(|at| json!({ "reference": reference(at) })).collect();
    let account =
        json!({ "resourceType": "Account", "id": "a", "status": "active", "subject": subjects });
    entry("PUT", "Account/a", Some(account))
}

#[test]
fn references_that_lead_nowhere_are_told_by_the_first_of_them() {
    let door = Door::open(&[ADA.to_owned()]);
    let patient = entry("PUT", "Patient/p", Some(ada(Some("p"))));
    let unmet = |_| "Practitioner?identifier=urn:npi|nobody".to_owned();
    let texts = [unmet, |_| "nowhere".to_owned()];
    for text in texts {
        let entries = vec![patient.clone(), account(text)];
        let told = door.post(bundle("transaction", entries.clone()));
        let first = |at| {
            let place = format!("Bundle.entry[1].resource.subject[{at}].reference");
            ("reference-unresolved".to_owned(), place)
        };
        let expected: Vec<_> = (0..FAULTS_PER_ENTRY_MAX).map(first).collect();
        assert_eq!((told.status, issues(&told)), (422, expected.clone()));

        let told = door.post(bundle("batch", entries)).json();
        assert_eq!(told["entry"][0]["response"]["status"].as_str().map(|it| &it[..1]), Some("2"));
        assert_eq!(issues_of(&told["entry"][1]["response"]["outcome"]), expected);
    }
}

#[test]
fn many_references_to_one_record_are_filed() {
    let door = Door::open(&[ADA.to_owned()]);
    let patient = entry("PUT", "Patient/p", Some(ada(Some("p"))));
    let told = door.post(bundle("transaction", vec![patient, account(|_| "Patient/p".to_owned())]));
    assert_eq!(told.status, 200, "{:?}", told.json()["issue"]);
    assert_eq!(door.count("Account?patient=p"), 1);
}

/// One store keeps U+0000 in a text, another cannot: no house takes it.
#[test]
fn a_nought_is_refused_wherever_it_stands() {
    let door = Door::open(&[ADA.to_owned()]);
    let spoilt = practitioner("a\0b");
    let told = door.ask("POST", "Practitioner", &[], Some(&spoilt));
    assert_eq!(told.status, 400);
    assert_eq!(issues(&told)[0].0, "body-malformed");
    let entries = vec![
        entry("POST", "Practitioner", Some(practitioner("1"))),
        entry("DELETE", "Practitioner?identifier=a%00b", None),
    ];
    assert_eq!(statuses(&door.post(bundle("batch", entries))), [201, 400]);
    for search in ["Practitioner?identifier=a%00b", "Practitioner?%00=1", "Practitioner?_id=%00"] {
        let told = door.get(search);
        assert_eq!((told.status, issues(&told)[0].0.as_str()), (400, "parameter-invalid"));
    }
    let unless = [("if-none-exist", "identifier=a%00b")];
    let told = door.ask("POST", "Practitioner", &unless, Some(&practitioner("2")));
    assert_eq!((told.status, issues(&told)[0].0.as_str()), (400, "parameter-invalid"));
    let path = door.get("Practitioner/a%00b");
    assert!(matches!(path.status, 400 | 404), "{}", path.status);
    assert_eq!(door.payer.dump().len(), 1, "the good one stands");
}
