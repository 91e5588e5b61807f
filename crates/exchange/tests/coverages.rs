//! Goal: coverages that others wrote lead to a payer, to a person, or to nobody, each told once; and
//! odd ones never make *scope* fail.
//!
//! How: the examples of US Core, HRex and the attribution guide where `HANDOVER_DATA` names the
//! folder that holds them; and a table of odd coverages.

#![allow(clippy::unwrap_used)]

use exchange::agreement::Terms;
use exchange::scope::{End, Judged, PayorMap, Question, Scope, scope};
use exchange::{Code, PartnerId};
use fhir::Resource;
use std::io::Write as _;
use std::path::PathBuf;

const BASE: &str = "https://ehr.test/fhir";
const FOLDERS: [&str; 3] = ["us-core-6.1.0-examples", "hrex-ci/examples", "davinci-atr/examples"];

fn ask(patient: &str, coverages: &[Resource], organizations: &[Resource], payors: &str) -> Scope {
    let text = "partner = 'blue'\npurposes = ['HPAYMT']\n[[payer_identifiers]]\nvalue = '111'";
    let blue = Terms::parse(text, "a.toml", &|_| None).unwrap();
    let partners = [PartnerId::from("blue")];
    let encounter = Resource::parse(
        r#"{"resourceType":"Encounter","id":"e","status":"finished","period":{"start":"2024-05-10"}}"#
            .to_owned(),
    );
    scope(&Question {
        patient,
        encounter: &encounter.unwrap(),
        purpose: None,
        coverages,
        organizations,
        agreements: &[&blue],
        payors: &PayorMap::parse(payors, "payors.toml", &partners).unwrap(),
        source_base: BASE,
    })
}

fn words(one: &Judged) -> String {
    match &one.end {
        End::Payer { partner } => partner.to_string(),
        End::Unmapped { .. } => "unmapped".to_owned(),
        End::LeftAlone { why } => why.clone(),
        End::NotCounted { why } => why.words().to_owned(),
        End::Unreadable => "unreadable".to_owned(),
    }
}

/// The examples; without them, one line says what is skipped.
fn examples() -> Option<Vec<Resource>> {
    let Some(folder) = std::env::var_os("HANDOVER_DATA").map(PathBuf::from) else {
        let line = "skipped: HANDOVER_DATA names no folder, so no coverage by others was read\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return None;
    };
    let mut found = Vec::new();
    for name in FOLDERS {
        let listing = std::fs::read_dir(folder.join(name)).unwrap();
        let mut files: Vec<_> = listing.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.retain(|file| file.extension().is_some_and(|end| end == "json"));
        let read = |file: &PathBuf| Resource::parse(std::fs::read(file).unwrap()).ok();
        found.extend(files.iter().filter_map(read));
    }
    Some(found)
}

#[test]
fn coverages_by_others_lead_somewhere_and_are_told_once() {
    let Some(all) = examples() else { return };
    let of = |kind: &str| -> Vec<Resource> {
        all.iter().filter(|it| it.kind() == kind).cloned().collect()
    };
    let (coverages, organizations) = (of("Coverage"), of("Organization"));
    assert!(coverages.len() > 5, "the examples are there");
    let mut mapped = 0;
    for coverage in &coverages {
        let doc = coverage.doc();
        let beneficiary = doc.root().get("beneficiary").unwrap().get("reference").unwrap();
        let beneficiary = beneficiary.text().unwrap().into_owned();
        let patient = beneficiary.rsplit('/').next().unwrap();
        let alone = std::slice::from_ref(coverage);
        let scope = ask(patient, alone, &organizations, "");
        assert!(!scope.judged.is_empty(), "{}", coverage.local_reference());
        assert!(scope.dossiers.is_empty(), "no agreement names it");
        assert_eq!(scope.issues.len(), 1, "{}: {:?}", coverage.local_reference(), scope.issues);
        for issue in &scope.issues {
            let told = issue.to_string();
            let doc = coverage.doc();
            let id = doc.root().get("subscriberId").and_then(|it| it.text());
            assert!(id.is_none_or(|id| !told.contains(&*id)), "{told}");
        }
        // The same by its subscriber's id.
        let row = "[[payor]]\nmember_id = '?*'\npartner = 'blue'";
        let scope = ask(patient, alone, &organizations, row);
        mapped += scope.dossiers.len();
    }
    assert!(mapped > 0, "some say a member id and hold that day");
}

#[test]
fn odd_coverages_are_told_and_never_dropped() {
    let blue = r#""payor":[{"identifier":{"value":"111"}}]"#;
    let active = |more: &str| format!(r#""status":"active",{more}"#);
    let (mapped, unread) = (Some(Code::PayerUnmapped), Some(Code::SourceUnreadable));
    let missing = Some(Code::CoverageMissing);
    const NOT_THEN: &str = "it does not hold on the day of service";
    const PERSON: &str = "the patient or a relative pays";
    const VOID: &str = "its status is not active";
    #[rustfmt::skip]
    let table: Vec<(&str, String, &[&str], Option<Code>)> = vec![
        ("no payor", active(r#""subscriberId":"1""#), &["unmapped"], mapped),
        ("a payor that says nothing", active(r#""payor":[{}]"#), &["unmapped"], mapped),
        ("a payor of null words", active(r#""payor":[{"display":""}]"#), &["unmapped"], mapped),
        ("an identifier without a value", active(r#""payor":[{"identifier":{"system":"urn:x"}}]"#), &["unmapped"], mapped),
        ("contained, and not there", active(r##""payor":[{"reference":"#gone"}]"##), &["unmapped"], mapped),
        ("contained, of a person", active(r##""contained":[{"resourceType":"RelatedPerson","id":"r"}],"payor":[{"reference":"#r"}]"##), &[PERSON], missing),
        ("contained, of nothing", active(r##""contained":[{"resourceType":"Organization","id":"r"}],"payor":[{"reference":"#r"}]"##), &["unmapped"], mapped),
        ("by identifier only", active(blue), &["blue"], None),
        ("by a conditional reference", active(r#""payor":[{"reference":"Organization?identifier=111"}]"#), &["unmapped"], mapped),
        ("by a urn", active(r#""payor":[{"reference":"urn:uuid:1"}]"#), &["unmapped"], mapped),
        ("on another server", active(r#""payor":[{"reference":"https://other.test/Organization/1"}]"#), &["unmapped"], mapped),
        ("several payors", active(r#""payor":[{"identifier":{"value":"111"}},{"identifier":{"value":"9"}},{"reference":"Patient/p"}]"#), &["blue", "unmapped"], mapped),
        ("the same payor twice", active(r#""payor":[{"identifier":{"value":"111"}},{"identifier":{"value":"111"}}]"#), &["blue", "blue"], None),
        ("no period", active(blue), &["blue"], None),
        ("an empty period", active(&format!(r#"{blue},"period":{{}}"#)), &["blue"], None),
        ("from long ago", active(&format!(r#"{blue},"period":{{"start":"1999"}}"#)), &["blue"], None),
        ("until some day", active(&format!(r#"{blue},"period":{{"end":"2030-01"}}"#)), &["blue"], None),
        ("ends before it begins", active(&format!(r#"{blue},"period":{{"start":"2024-06","end":"2024-01"}}"#)), &[NOT_THEN], missing),
        ("to the instant", active(&format!(r#"{blue},"period":{{"start":"2024-05-10T23:59:59.999Z"}}"#)), &["blue"], None),
        ("a period in words", active(&format!(r#"{blue},"period":{{"start":"last year"}}"#)), &["unreadable"], unread),
        ("order 2 only", active(&format!(r#"{blue},"order":2"#)), &["blue"], None),
        ("an order beyond all counting", active(&format!(r#"{blue},"order":99999999999999"#)), &["blue"], None),
        ("no status", blue.to_owned(), &["unreadable"], unread),
        ("no status, and another year", format!(r#"{blue},"period":{{"end":"2020"}}"#), &[NOT_THEN], missing),
        ("a draft", format!(r#""status":"draft",{blue}"#), &[VOID], missing),
        ("cancelled since", format!(r#""status":"cancelled",{blue},"period":{{"end":"2030"}}"#), &[VOID], missing),
        ("a self-pay type beside a plan's", active(&format!(r#"{blue},"type":{{"coding":[{{"system":"urn:ours","code":"PPO"}},{{"system":"http://terminology.hl7.org/CodeSystem/coverage-selfpay","code":"pay"}}]}}"#)), &[PERSON], missing),
    ];
    for (case, more, ends, code) in table {
        let text = format!(
            r#"{{"resourceType":"Coverage","id":"c","beneficiary":{{"reference":"Patient/p"}},{more}}}"#
        );
        let coverage = Resource::parse(text).unwrap();
        let scope = ask("p", &[coverage], &[], "");
        let found: Vec<_> = scope.judged.iter().map(words).collect();
        assert_eq!(found, ends, "{case}");
        let codes: Vec<_> = scope.issues.iter().map(|issue| issue.code).collect();
        assert_eq!(codes, code.into_iter().collect::<Vec<_>>(), "{case}");
    }
}
