//! Goal: what a sending house assembles, a receiving house reads; nobody else's ids are taken.

use super::*;
use exchange::assemble::{Envelope, bundle, edit, withdrawal};
use exchange::{Decision, Disclosure, Purpose};
use fhir::Resource;

fn envelope(number: u64) -> Envelope<'static> {
    Envelope {
        namespace: NAMESPACE,
        number,
        purpose: Purpose::Payment,
        recorded: "2026-03-01T10:00:00Z".parse().unwrap(),
        as_of: "2026-03-01T10:00:00Z".parse().unwrap(),
        sender_name: "Clinic",
        software_version: "0.1.0",
    }
}

fn pushed() -> exchange::assemble::Payload {
    let chart = [
        r#"{"resourceType":"Patient","id":"p1","name":[{"family":"Example"}]}"#,
        r#"{"resourceType":"Encounter","id":"e1","subject":{"reference":"Patient/p1"}}"#,
    ];
    let decision = |text: &&str| Decision::Included {
        resource: Resource::parse(text.as_bytes().to_vec()).unwrap(),
        rule: "all".into(),
        cuts: Vec::new(),
    };
    let disclosure = Disclosure { decisions: chart.iter().map(decision).collect() };
    bundle(&edit(&disclosure, NAMESPACE, "https://ehr.example").unwrap(), &[], &envelope(6))
}

#[test]
fn what_a_house_assembles_another_reads() {
    let payload = pushed();
    let incoming = read(payload.bytes.clone(), &house()).unwrap();
    assert_eq!(incoming.number, Some(6));
    assert_eq!(incoming.push.as_ref(), Some(&payload.push));
    assert_eq!(incoming.key, Some(format!("{NAMESPACE}/push|{}", payload.push)));
    assert!(incoming.outside.is_empty());
    assert_eq!(incoming.entries[1].source_id.as_deref(), Some("e1"));
    assert_eq!(incoming.resources("Patient").count(), 1);
}

#[test]
fn a_withdrawal_needs_no_patient_and_refers_to_what_it_deletes() {
    let payload = pushed();
    let records: Vec<_> =
        payload.contents.iter().map(|it| (it.kind.clone(), it.id.clone())).collect();
    let withdrawal = withdrawal(&records[0].1, &records, &payload.push, "wrong plan", &envelope(7));
    let incoming = read(withdrawal.bytes, &house()).unwrap();
    assert!(incoming.outside.is_empty() && incoming.resources("Patient").count() == 0);
    assert_eq!(incoming.entries.iter().filter(|it| it.action == Action::Delete).count(), 3);

    let other = r#"{"request":{"method":"DELETE","url":"Patient/p2"}}"#;
    let refers = OBSERVATION.replace("Patient/p", "Patient/p2");
    let issues = try_read(&transaction(&format!("{PATIENT},{refers},{other}")), &stranger());
    assert_eq!(issues.unwrap_err()[0].code, Code::ReferenceUnresolved);
}

#[test]
fn nobody_occupies_ids_of_another() {
    let payload = pushed();
    let text = String::from_utf8(payload.bytes.to_vec()).unwrap();
    let patient = payload.contents[0].id.clone();
    let provenance = payload.contents[2].id.clone();
    let other = "0".repeat(64);
    let table = [
        ("an id of its own choice", text.replace(&patient, &other), "Bundle.entry[0].resource.id"),
        (
            "a Provenance of its own choice",
            text.replace(&provenance, &other),
            "Bundle.entry[2].resource.id",
        ),
        (
            "another house's namespace",
            text.replace(
                &format!("{NAMESPACE}/Patient/p1"),
                "https://other.example/handover/Patient/p1",
            ),
            "Bundle.entry[0].resource.meta.source",
        ),
        (
            "another type in the source",
            text.replace(&format!("{NAMESPACE}/Patient/p1"), &format!("{NAMESPACE}/Person/p1")),
            "Bundle.entry[0].resource.meta.source",
        ),
        (
            "no source",
            text.replace(&format!(r#""meta":{{"source":"{NAMESPACE}/Patient/p1"}},"#), ""),
            "Bundle.entry[0].resource",
        ),
        (
            "a source id with a way in it",
            text.replace(&format!("{NAMESPACE}/Patient/p1"), &format!("{NAMESPACE}/Patient/p1/x")),
            "Bundle.entry[0].resource.meta.source",
        ),
    ];
    for (case, text, place) in table {
        let issues = try_read(&text, &house()).map(|_| ()).unwrap_err();
        assert_eq!(issues[0].code, Code::IdentityMismatch, "{case}");
        assert_eq!(issues[0].expression.as_deref(), Some(place), "{case}");
    }
    let unnumbered = text.replace(&format!(r#""value":"{}""#, payload.push), r#""value":"first""#);
    assert_eq!(try_read(&unnumbered, &house()).unwrap_err()[0].code, Code::BundleInvalid);
}
