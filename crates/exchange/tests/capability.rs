//! Goal: what both sides speak is chosen with its reasons, a mismatch names both sides exactly, and a
//! change of what matters is seen.

#![allow(clippy::unwrap_used, clippy::panic)]

use exchange::Code;
use exchange::capability::{Agreed, Declared, MODE_EXTENSION, agree, drift};
use fhir::{Doc, Versions};
use serde_json::{Value, json};

const US_CORE: &str = "http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core";

fn statement(changes: Value) -> Value {
    let mut all = json!({ "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
        "format": ["json"], "rest": [{ "mode": "server", "interaction": [{ "code": "transaction" }],
        "resource": [{ "type": "Patient", "interaction": [{ "code": "read" }, { "code": "create" }] }] }] });
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

fn declared(versions: Option<&[&str]>, statement: Option<&Value>) -> Declared {
    let versions = versions.map(|list| Versions {
        versions: list.iter().map(|it| (*it).to_owned()).collect(),
        default: None,
    });
    let bytes = statement.map(|it| it.to_string().into_bytes());
    let doc = bytes.as_ref().map(|it| Doc::parse(it).unwrap());
    Declared::read(versions.as_ref(), doc.as_ref())
}

fn said(mode: &str) -> Value {
    statement(json!({ "rest": [{ "mode": "server", "interaction": [{ "code": "transaction",
        "extension": [{ "url": MODE_EXTENSION, "valueCode": mode }] }] }] }))
}

/// What `$versions` lists, where it answers.
type Listed = Option<&'static [&'static str]>;

#[test]
fn what_both_sides_speak_is_chosen() {
    let table: Vec<(&str, Listed, Value, Option<&str>)> = vec![
        ("plain R4", Some(&["4.0"]), statement(json!({})), None),
        ("among others", Some(&["5.0", "4.0", "4.3"]), statement(json!({})), None),
        ("without $versions", None, statement(json!({})), None),
        ("the short version", None, statement(json!({ "fhirVersion": "4.0" })), None),
        (
            "US Core by guide",
            None,
            statement(json!({ "implementationGuide": [format!("{US_CORE}|6.1.0")] })),
            Some("6.1.0"),
        ),
        (
            "US Core, several",
            None,
            statement(json!({ "implementationGuide":
            [format!("{US_CORE}|7.0.0"), format!("{US_CORE}|6.1.0"), format!("{US_CORE}|3.1.1")] })),
            Some("6.1.0"),
        ),
        (
            "US Core, the newer alone",
            None,
            statement(json!({ "instantiates":
            ["http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server|7.0.0"] })),
            Some("7.0.0"),
        ),
        (
            "US Core by profile",
            None,
            statement(json!({ "rest": [{ "mode": "server", "resource": [{ "type": "Patient",
            "supportedProfile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient|3.1.1"] }] }] })),
            Some("3.1.1"),
        ),
        (
            "US Core without a version",
            None,
            statement(json!({ "implementationGuide": [US_CORE] })),
            None,
        ),
    ];
    for (case, versions, statement, us_core) in table {
        let agreed =
            agree(&declared(versions, Some(&statement)), &["transaction"], "sync").unwrap();
        assert_eq!(
            (agreed.version.as_str(), agreed.us_core.as_deref()),
            ("4.0", us_core),
            "{case}"
        );
        assert!(agreed.reasons.len() >= 4, "{case}: {:?}", agreed.reasons);
    }
    let vouched: Agreed = agree(&declared(None, None), &[], "sync").unwrap();
    assert_eq!(vouched.version, "4.0");
}

#[test]
fn a_mismatch_names_both_sides() {
    let table: Vec<(&str, Listed, Value, Code, &[&str])> = vec![
        (
            "R5 only",
            Some(&["5.0"]),
            statement(json!({})),
            Code::VersionMismatch,
            &["5.0", "4.0", "$versions"],
        ),
        ("nothing", Some(&[]), statement(json!({})), Code::VersionMismatch, &["nothing", "4.0"]),
        (
            "a lying version",
            Some(&["4.0"]),
            statement(json!({ "fhirVersion": "5.0.0" })),
            Code::VersionMismatch,
            &["5.0.0", "although its $versions offers 4.0", "CapabilityStatement.fhirVersion"],
        ),
        (
            "no version",
            None,
            statement(json!({ "fhirVersion": 4 })),
            Code::VersionMismatch,
            &["no FHIR version"],
        ),
        (
            "US Core of tomorrow",
            None,
            statement(json!({ "implementationGuide": [format!("{US_CORE}|8.0.0")] })),
            Code::VersionMismatch,
            &["8.0.0", "6.1.0", "US Core"],
        ),
        (
            "XML only",
            None,
            statement(json!({ "format": ["xml", "application/fhir+xml"] })),
            Code::CapabilityMissing,
            &["xml", "json", "CapabilityStatement.format"],
        ),
        (
            "later only",
            None,
            said("async"),
            Code::CapabilityMissing,
            &["transaction async only", "sync"],
        ),
    ];
    for (case, versions, statement, code, words) in table {
        let issue =
            agree(&declared(versions, Some(&statement)), &["transaction"], "sync").unwrap_err();
        assert_eq!(issue.code, code, "{case}");
        let told = issue.to_string();
        words.iter().for_each(|word| assert!(told.contains(word), "{case}: {told}"));
    }
}

#[test]
fn the_mode_of_an_operation_is_what_it_says_else_what_it_is_by_definition() {
    for (case, statement, expected) in [
        ("said", said("sync"), "sync"),
        ("either", said("either"), "sync"),
        ("unsaid", statement(json!({})), "sync"),
        ("a word that is none", said("sometimes"), "sync"),
    ] {
        let agreed = agree(&declared(None, Some(&statement)), &["transaction"], "sync").unwrap();
        assert_eq!(agreed.modes, [("transaction".to_owned(), expected.to_owned())], "{case}");
    }
    let agreed =
        agree(&declared(None, Some(&statement(json!({})))), &["bulk-submit"], "sync").unwrap();
    assert_eq!(agreed.modes[0].1, "async");
}

#[test]
fn only_a_change_of_what_matters_is_drift() {
    let first = declared(Some(&["4.0"]), Some(&statement(json!({}))));
    let same = [
        (
            "a newer release",
            statement(json!({ "software": { "name": "S", "version": "2" }, "date": "2026" })),
        ),
        (
            "another order",
            statement(json!({ "rest": [{ "mode": "server", "resource": [{ "type": "Patient",
            "interaction": [{ "code": "create" }, { "code": "read" }] }],
            "interaction": [{ "code": "transaction" }] }] })),
        ),
    ];
    for (case, statement) in same {
        assert_eq!(declared(Some(&["4.0"]), Some(&statement)).digest(), first.digest(), "{case}");
    }
    let changed = [
        (
            "no transaction",
            json!({ "rest": [{ "mode": "server", "resource": [{ "type": "Patient",
            "interaction": [{ "code": "read" }, { "code": "create" }] }] }] }),
            "no longer transaction",
        ),
        ("a guide", json!({ "implementationGuide": [format!("{US_CORE}|6.1.0")] }), "now guide"),
        ("a format", json!({ "format": ["json", "xml"] }), "now format xml"),
        (
            "a type",
            json!({ "rest": [{ "mode": "server", "interaction": [{ "code": "transaction" }],
            "resource": [{ "type": "Patient", "interaction": [{ "code": "read" }] }] }] }),
            "Patient: read",
        ),
    ];
    for (case, change, word) in changed {
        let next = declared(Some(&["4.0"]), Some(&statement(change)));
        assert_ne!(next.digest(), first.digest(), "{case}");
        let words = drift(&first.facts(), &next.facts()).join("; ");
        assert!(words.contains(word), "{case}: {words}");
    }
    let many: Vec<String> = (0..100).map(|at| at.to_string()).collect();
    assert!(drift(&[], &many).len() < 30);
}
