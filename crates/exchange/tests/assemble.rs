//! Goal: what travels is what was read, but for the edits named; and the same input gives the
//! same bytes.
//!
//! How: small charts through `edit` and `bundle`; each edit is shown as text before and after.

#![allow(clippy::unwrap_used, missing_docs)]

use exchange::assemble::{Envelope, Shaped, bundle, contents, edit, push_system, withdrawal};
use exchange::id::derived_id;
use exchange::provenance::takes_back;
use exchange::{Code, Cut, Decision, Disclosure, Purpose, PushId};
use fhir::{Bundle, Method, Resource};

const NAMESPACE: &str = "https://clinic.example/handover";
const BASE: &str = "https://ehr.example/fhir/";

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

fn resource(text: &str) -> Resource {
    Resource::parse(text.as_bytes().to_vec()).unwrap()
}

fn included(text: &str) -> Decision {
    Decision::Included { resource: resource(text), rule: "all".into(), cuts: Vec::new() }
}

/// Cuts the values that stand as these texts in the resource.
fn cutting(text: &str, values: &[&str]) -> Decision {
    let cut = |value: &&str| {
        let start = text.find(value).unwrap();
        let span = start..start + value.len();
        Cut { span, expression: "Patient.x".into(), rule: "no-x".into() }
    };
    let cuts = values.iter().map(cut).collect();
    Decision::Included { resource: resource(text), rule: "all".into(), cuts }
}

fn shaped(decisions: Vec<Decision>) -> Shaped {
    edit(&Disclosure { decisions }, NAMESPACE, BASE).unwrap()
}

fn only(decision: Decision) -> String {
    let shaped = shaped(vec![decision]);
    String::from_utf8(shaped.resources[0].bytes.to_vec()).unwrap()
}

fn id(kind: &str, source_id: &str) -> String {
    derived_id(NAMESPACE, kind, source_id)
}

/// A chart of four, with a lab value whose digits must not change.
fn chart() -> Vec<Decision> {
    vec![
        included(
            r#"{"resourceType":"Observation","id":"o1","status":"final","subject":{"reference":"Patient/p1"},
  "encounter":{"reference":"https://ehr.example/fhir/Encounter/e1/_history/2"}, "valueQuantity":{"value":1.00,"unit":"mg"}}"#,
        ),
        included(
            r#"{"resourceType":"Patient","id":"p1","meta":{"versionId":"3","lastUpdated":"2026-01-01T00:00:00Z","source":"urn:ehr:7"},"name":[{"family":"Example"}]}"#,
        ),
        included(
            r#"{"resourceType":"Encounter","id":"e1","status":"finished","subject":{"reference":"Patient/p1"}}"#,
        ),
        included(
            r##"{"resourceType":"DocumentReference","id":"d1","subject":{"reference":"Patient/p1"},"content":[{"attachment":{"url":"Binary/b1"}}],"contained":[{"resourceType":"Organization","id":"x"}],"custodian":{"reference":"#x"}}"##,
        ),
        Decision::Withheld {
            reference: "Condition/c9".into(),
            rule: "psych".into(),
            reason: "".into(),
        },
    ]
}

#[test]
fn the_same_chart_gives_the_same_bytes_in_whatever_order_it_was_read() {
    let first = shaped(chart());
    let payload = bundle(&first, &[], &envelope(1));
    for turn in 0..5 {
        let mut decisions = chart();
        decisions.rotate_left(turn);
        if turn % 2 == 0 {
            decisions.reverse();
        }
        let again = shaped(decisions);
        assert_eq!(again.digest, first.digest);
        assert_eq!(bundle(&again, &[], &envelope(1)), payload);
    }
    let kinds: Vec<_> = payload.contents.iter().map(|content| content.kind.as_str()).collect();
    assert_eq!(kinds, ["Patient", "DocumentReference", "Encounter", "Observation", "Provenance"]);
}

#[test]
fn the_digest_knows_of_content_only() {
    let served = |meta: &str| {
        format!(r#"{{"resourceType":"Patient","id":"p1","meta":{meta},"active":true}}"#)
    };
    let digest = |text: String| shaped(vec![included(&text)]).digest;
    let first = digest(served(r#"{"versionId":"1","lastUpdated":"2026-01-01T00:00:00Z"}"#));
    let later = digest(served(r#"{"versionId":"2","lastUpdated":"2026-02-01T00:00:00Z"}"#));
    let other = digest(served(r#"{"versionId":"1","tag":[{"code":"x"}]}"#));
    assert_eq!(first, later, "a new version of the same content is the same content");
    assert_ne!(first, other);
    let shaped = shaped(chart());
    assert_eq!(
        bundle(&shaped, &[], &envelope(1)).digest,
        bundle(&shaped, &[], &envelope(2)).digest
    );
}

#[test]
fn everything_else_stays_byte_for_byte() {
    let p = id("Patient", "p1");
    let source = |kind: &str, id: &str| format!(r#""source":"{NAMESPACE}/{kind}/{id}""#);
    let patient = source("Patient", "p1");
    let table: Vec<(&str, Decision, String)> = vec![
        (
            "no meta: one is put behind the id",
            included(r#"{ "resourceType":"Patient", "id" : "p1", "multipleBirthInteger" : 1 }"#),
            format!(
                r#"{{ "resourceType":"Patient", "id" : "{p}","meta":{{{patient}}}, "multipleBirthInteger" : 1 }}"#
            ),
        ),
        (
            "a meta of nothing but what the payer serves",
            included(
                r#"{"resourceType":"Patient","id":"p1","meta":{"versionId":"1","lastUpdated":"x"}}"#,
            ),
            format!(r#"{{"resourceType":"Patient","id":"{p}","meta":{{{patient}}}}}"#),
        ),
        (
            "profiles and tags stay",
            included(
                r#"{"resourceType":"Patient","id":"p1","meta":{"versionId":"1", "profile":["u"]}}"#,
            ),
            format!(
                r#"{{"resourceType":"Patient","id":"{p}","meta":{{{patient},"profile":["u"]}}}}"#
            ),
        ),
        (
            "an original source is replaced where it stands",
            included(
                r#"{"resourceType":"Patient","id":"p1","meta":{"profile":["u"],"source":"urn:x"}}"#,
            ),
            format!(
                r#"{{"resourceType":"Patient","id":"{p}","meta":{{"profile":["u"],{patient}}}}}"#
            ),
        ),
        (
            "a cut takes what FHIR keeps beside a primitive",
            cutting(
                r#"{"resourceType":"Patient","id":"p1","meta":{},"birthDate":"1970-01-01","_birthDate":{"extension":[{"url":"t","valueTime":"x"}]},"active":true}"#,
                &[r#""1970-01-01""#],
            ),
            format!(
                r#"{{"resourceType":"Patient","id":"{p}","meta":{{{patient}}},"active":true}}"#
            ),
        ),
        (
            "and keeps the items of a list in step",
            cutting(
                r#"{"resourceType":"Patient","id":"p1","meta":{},"name":[{"given":["A","B"],"_given":[{"id":"1"},{"id":"2"}]}]}"#,
                &[r#""A""#],
            ),
            format!(
                r#"{{"resourceType":"Patient","id":"{p}","meta":{{{patient}}},"name":[{{"given":["B"],"_given":[{{"id":"2"}}]}}]}}"#
            ),
        ),
        (
            "a meta that is cut comes back with the source only",
            cutting(
                r#"{"resourceType":"Patient","id":"p1","meta":{"source":"urn:x","tag":[{"code":"vip"}]},"active":true}"#,
                &[r#"{"source":"urn:x","tag":[{"code":"vip"}]}"#],
            ),
            format!(
                r#"{{"resourceType":"Patient","id":"{p}","meta":{{{patient}}},"active":true}}"#
            ),
        ),
        (
            "a reference that is cut is not rewritten as well",
            cutting(
                r#"{"resourceType":"Patient","id":"p1","meta":{},"managingOrganization":{"reference":"Organization/o"},"active":true}"#,
                &[r#"{"reference":"Organization/o"}"#],
            ),
            format!(
                r#"{{"resourceType":"Patient","id":"{p}","meta":{{{patient}}},"active":true}}"#
            ),
        ),
    ];
    for (case, decision, wanted) in table {
        assert_eq!(only(decision), wanted, "{case}");
    }
}

#[test]
fn references_into_the_source_are_rewritten_and_no_others() {
    let derived = |kind: &str, source_id: &str| format!("{kind}/{}", id(kind, source_id));
    let table = [
        ("relative", "Patient/p1", derived("Patient", "p1")),
        ("relative, with a version", "Patient/p1/_history/4", derived("Patient", "p1")),
        (
            "absolute under the source",
            "https://ehr.example/fhir/Patient/p1",
            derived("Patient", "p1"),
        ),
        ("written with escapes", r"Patient\/p1", derived("Patient", "p1")),
        (
            "absolute elsewhere",
            "https://other.example/fhir/Patient/p1",
            "https://other.example/fhir/Patient/p1".into(),
        ),
        ("a fragment", "#p1", "#p1".into()),
        (
            "a urn",
            "urn:uuid:00000000-0000-4000-8000-000000000000",
            "urn:uuid:00000000-0000-4000-8000-000000000000".into(),
        ),
    ];
    for (case, reference, wanted) in table {
        let text = format!(
            r#"{{"resourceType":"Observation","id":"o","subject":{{"reference":"{reference}"}},"instantiatesCanonical":"Patient/p1"}}"#
        );
        let out = only(included(&text));
        assert!(out.contains(&format!(r#"{{"reference":"{wanted}"}}"#)), "{case}: {out}");
        assert!(out.contains(r#""instantiatesCanonical":"Patient/p1""#), "{case}: canonicals stay");
    }
}

#[test]
fn the_payload_counts_what_stays_and_keeps_the_lab_digits() {
    let payload = bundle(&shaped(chart()), &[], &envelope(3));
    let text = std::str::from_utf8(&payload.bytes).unwrap();
    assert!(text.contains(r#"{"value":1.00,"unit":"mg"}"#));
    assert_eq!(payload.withheld.len(), 1);
    assert_eq!((payload.withheld[0].rule.as_str(), payload.withheld[0].resources), ("psych", 1));
}

#[test]
fn a_bundle_is_a_transaction_of_puts_with_its_provenance_last() {
    let payload = bundle(&shaped(chart()), &[], &envelope(3));
    let bundle = Bundle::parse(payload.bytes.clone()).unwrap();
    let key = (Some(push_system(NAMESPACE)), payload.push.to_string());
    assert_eq!(bundle.identifier, Some(key));
    assert_eq!(payload.push.number(), Some(3));
    for (entry, content) in bundle.entries.iter().zip(&payload.contents) {
        let (request, resource) =
            (entry.request.as_ref().unwrap(), entry.resource.as_ref().unwrap());
        let reference = format!("{}/{}", content.kind, content.id);
        assert_eq!((request.method, request.url.as_str()), (Method::Put, reference.as_str()));
        assert_eq!(resource.local_reference(), reference);
        assert_eq!(entry.full_url.as_deref(), Some(format!("{NAMESPACE}/{reference}").as_str()));
        let source =
            format!("{NAMESPACE}/{}/{}", content.kind, content.source_id.as_ref().unwrap());
        assert_eq!(resource.source().as_deref(), Some(source.as_str()));
        assert_eq!(content.digest.unwrap().0, resource.digest());
    }
    let provenance = bundle.entries.last().unwrap().resource.clone().unwrap();
    let json: serde_json::Value = serde_json::from_slice(provenance.bytes()).unwrap();
    assert_eq!(provenance.id().unwrap(), id("Provenance", payload.push.as_str()));
    assert_eq!(json["target"].as_array().unwrap().len(), 4);
    assert_eq!(json["recorded"], "2026-03-01T10:00:00Z");
    assert_eq!(json["reason"][0]["coding"][0]["code"], "HPAYMT");
    assert_eq!(json["entity"][0]["role"], "source");
    assert_eq!(json["entity"][0]["what"]["identifier"]["value"], "urn:ehr:7");
    assert_eq!(json["agent"][1]["type"]["coding"][0]["code"], "transmitter");
}

#[test]
fn what_does_not_travel_is_named_when_something_still_refers_to_it() {
    let observation = r#"{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p1"},"focus":[{"reference":"Condition/c9"}]}"#;
    let patient = r#"{"resourceType":"Patient","id":"p1"}"#;
    let shaped = shaped(vec![included(observation), included(patient)]);
    assert_eq!(shaped.outside.len(), 1);
    assert_eq!(shaped.outside[0].target, "Condition/c9");
    assert_eq!(shaped.outside[0].expression, "Observation.focus[0].reference");
    let text = std::str::from_utf8(&shaped.resources[1].bytes).unwrap();
    assert!(!text.contains("Condition/c9"), "the source's own id of it does not travel");
}

#[test]
fn what_cannot_be_assembled_is_refused_and_never_sent_whole() {
    let id_cut = r#"{"resourceType":"Patient","id":"p1"}"#;
    let table = [
        ("no id", vec![included(r#"{"resourceType":"Patient"}"#)], Code::SourceUnreadable),
        (
            "one record twice, with different content",
            vec![
                included(id_cut),
                included(r#"{"resourceType":"Patient","id":"p1","active":true}"#),
            ],
            Code::SourceUnreadable,
        ),
        ("a cut of the id", vec![cutting(id_cut, &[r#""p1""#])], Code::ConfigInvalid),
        ("a cut of everything", vec![cutting(id_cut, &[id_cut])], Code::ConfigInvalid),
        ("a cut of no value", vec![cutting(id_cut, &[r#"Patient","#])], Code::ConfigInvalid),
    ];
    for (case, decisions, code) in table {
        let issue = edit(&Disclosure { decisions }, NAMESPACE, BASE).unwrap_err();
        assert_eq!(issue.code, code, "{case}");
    }
    let twice = shaped(vec![included(id_cut), included(id_cut)]);
    assert_eq!(twice.resources.len(), 1, "the same record read twice travels once");
}

#[test]
fn a_stored_payload_gives_back_its_contents() {
    let payload = bundle(&shaped(chart()), &[], &envelope(3));
    assert_eq!(contents(payload.bytes.clone(), NAMESPACE).unwrap(), payload.contents);
    let issue = contents(payload.bytes.slice(..99), NAMESPACE).unwrap_err();
    assert_eq!(issue.code, Code::InternalError);
}

#[test]
fn a_withdrawal_deletes_and_says_why() {
    let records = [("Patient", "a"), ("Observation", "c"), ("Observation", "b")];
    let records = records.map(|(kind, id)| (kind.to_owned(), id.to_owned()));
    let withdrawn = PushId::from("3-0123456789abcdef0123456789abcdef");
    let payload = withdrawal("a", &records, &withdrawn, "sent to the wrong plan", &envelope(4));
    let mut shuffled = records.clone();
    shuffled.reverse();
    let again = withdrawal("a", &shuffled, &withdrawn, "sent to the wrong plan", &envelope(4));
    assert_eq!(payload, again);
    assert_eq!(payload.push.number(), Some(4));
    let bundle = Bundle::parse(payload.bytes).unwrap();
    let asked: Vec<_> = bundle
        .entries
        .iter()
        .map(|entry| entry.request.as_ref().map(|r| (r.method, r.url.as_str())).unwrap())
        .collect();
    assert_eq!(
        asked[..3],
        [
            (Method::Delete, "Observation/b"),
            (Method::Delete, "Observation/c"),
            (Method::Delete, "Patient/a")
        ]
    );
    let stays = withdrawal("a", &records[1..], &withdrawn, "", &envelope(5));
    let text = String::from_utf8(stays.bytes.to_vec()).unwrap();
    assert!(
        text.contains(r#""target":[{"reference":"Patient/a"},"#),
        "a Patient that stays is named"
    );
    assert!(!text.contains(r#""url":"Patient/a""#), "and not deleted");
    let provenance = bundle.entries[3].resource.as_ref().unwrap();
    let json: serde_json::Value = serde_json::from_slice(provenance.bytes()).unwrap();
    assert_eq!(json["activity"]["coding"][0]["code"], "NULLIFY");
    let spoilt = |from: &str, to: &str| {
        let text = json.to_string();
        assert!(text.contains(from), "{from}");
        takes_back(&resource(&text.replacen(from, to, 1)))
    };
    assert!(takes_back(provenance) && spoilt("Handover", "Another"));
    assert!(!spoilt("NULLIFY", "UPDATE") && !spoilt("v3-DataOperation", "v3-Other"));
    assert!(!spoilt(r#""activity""#, r#""contained":[{"resourceType":"Basic"}],"activity""#));
    assert!(!spoilt(r#""Provenance""#, r#""Observation""#), "nothing but a Provenance");
    assert_eq!(json["reason"][1]["text"], "sent to the wrong plan");
    assert_eq!(json["entity"][0]["what"]["identifier"]["value"], withdrawn.as_str());
}
