//! Goal: a Bundle is acted on only when every entry can be, and whoever sent a bad one learns
//! every fault at once: code, place, byte.
//!
//! How: one good Bundle, one row per way to spoil it. A row names the words at which the issue must
//! stand; the byte offset is where those words are.

#![allow(clippy::unwrap_used, missing_docs)]

use exchange::limits::{ENTRIES_MAX, FAULTS_MAX, KEY_CHARS_MAX};
use exchange::read::{Action, Incoming, SenderTerms, read};
use exchange::{Code, Issue};

const NAMESPACE: &str = "https://clinic.example/handover";
const BASE: &str = "https://plan.example/fhir";

mod bundles;
mod hostile;
mod pushes;

fn stranger() -> SenderTerms {
    let base = BASE.to_owned();
    SenderTerms { partner: "lab".into(), namespace: None, types: Vec::new(), base }
}

fn house() -> SenderTerms {
    let namespace = Some(NAMESPACE.to_owned());
    SenderTerms { partner: "clinic".into(), namespace, ..stranger() }
}

fn try_read(text: &str, sender: &SenderTerms) -> Result<Incoming, Vec<Issue>> {
    read(text.as_bytes().to_vec().into(), sender).map_err(Vec::from)
}

const PATIENT: &str = r#"{"fullUrl":"https://lab.example/fhir/Patient/p","resource":{"resourceType":"Patient","id":"p","birthDate":"1970-01-01"},"request":{"method":"PUT","url":"Patient/p"}}"#;
const OBSERVATION: &str = r#"{"resource":{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p"},"valueQuantity":{"value":1.0}},"request":{"method":"PUT","url":"Observation/o"}}"#;

fn transaction(entries: &str) -> String {
    format!(
        r#"{{"resourceType":"Bundle","identifier":{{"system":"urn:lab","value":"17"}},"type":"transaction","entry":[{entries}]}}"#
    )
}

fn good() -> String {
    transaction(&format!("{PATIENT},{OBSERVATION}"))
}

/// The good Bundle with one text in place of another.
fn spoilt(from: &str, to: &str) -> String {
    let text = good();
    assert!(text.contains(from), "the good Bundle holds {from}");
    text.replacen(from, to, 1)
}

#[test]
fn a_good_bundle_is_read() {
    let incoming = try_read(&good(), &stranger()).unwrap();
    assert_eq!(incoming.key.as_deref(), Some("urn:lab|17"));
    assert_eq!((incoming.push, incoming.number), (None, None));
    let asked: Vec<_> =
        incoming.entries.iter().map(|entry| (entry.kind.as_str(), entry.id().unwrap())).collect();
    assert_eq!(asked, [("Patient", "p"), ("Observation", "o")]);
    let Action::Put(observation) = &incoming.entries[1].action else { panic!("a PUT") };
    assert!(OBSERVATION.contains(std::str::from_utf8(observation.bytes()).unwrap()));
    assert!(incoming.outside.is_empty());
}

/// Every way a Bundle can be bad that a sender has shown us, or will.
#[test]
fn every_bad_bundle_is_refused_at_its_place() {
    use Code::*;
    let put_o = r#""request":{"method":"PUT","url":"Observation/o"}"#;
    let two_patients = OBSERVATION
        .replace("Observation", "Patient")
        .replace(r#""subject":{"reference":"Patient/p"},"#, "");
    let bare = |of: &str| transaction(of);
    let table: Vec<(&str, String, Code, &str, &str)> = vec![
        ("nothing", String::new(), BodyMalformed, "$this", ""),
        ("no JSON", "<Bundle/>".into(), BodyMalformed, "$this", "<Bundle/>"),
        ("cut short", good()[..60].into(), BodyMalformed, "Bundle.identifier", ""),
        (
            "a member twice",
            spoilt(r#""id":"o""#, r#""id":"o","id":"o""#),
            BodyMalformed,
            "Bundle.entry[1].resource",
            r#""id":"o","subject"#,
        ),
        (
            "a nought in a text",
            spoilt(r#""birthDate":"1970-01-01""#, r#""status":"\u0000""#),
            BodyMalformed,
            "Bundle.entry[0].resource.status",
            r"\u0000",
        ),
        (
            "a nought in a condition",
            spoilt(r#""Observation/o""#, r#""Observation?code=a%00b""#),
            EntryInvalid,
            "Bundle.entry[1].request.url",
            r#""Observation?"#,
        ),
        (
            "another resource",
            r#"{"resourceType":"Patient"}"#.into(),
            BundleInvalid,
            "Patient.resourceType",
            r#""Patient""#,
        ),
        ("no resource", r#"{"a":1}"#.into(), BundleInvalid, "$this", r#"{"a""#),
        ("a list", "[]".into(), BundleInvalid, "$this", "[]"),
        (
            "no type",
            spoilt(r#","type":"transaction""#, ""),
            BundleInvalid,
            "Bundle",
            r#"{"resourceType":"Bundle""#,
        ),
        ("no entries", bare(""), BundleInvalid, "Bundle.entry", "[]"),
        (
            "entries of another shape",
            r#"{"resourceType":"Bundle","type":"transaction","entry":{}}"#.into(),
            BundleInvalid,
            "Bundle.entry",
            "{}",
        ),
        (
            "identifiers as a list",
            spoilt(r#"{"system":"urn:lab","value":"17"}"#, "[]"),
            BundleInvalid,
            "Bundle.identifier",
            "[]",
        ),
        (
            "an identifier of a number",
            spoilt(r#""17""#, "17"),
            BundleInvalid,
            "Bundle.identifier.value",
            "17}",
        ),
        (
            "an identifier without end",
            spoilt(r#""17""#, &format!(r#""{}""#, "7".repeat(KEY_CHARS_MAX + 1))),
            BundleInvalid,
            "Bundle.identifier.value",
            r#""77777"#,
        ),
        (
            "a system without end",
            spoilt("urn:lab", &"u".repeat(KEY_CHARS_MAX + 1)),
            BundleInvalid,
            "Bundle.identifier.system",
            r#""uuuuu"#,
        ),
        (
            "an identifier that moves the cursor",
            spoilt(r#""17""#, r#""\u001b[2J17""#),
            BundleInvalid,
            "Bundle.identifier.value",
            r#""\u001b"#,
        ),
        (
            "an identifier of letters that look like others",
            spoilt(r#""17""#, r#""1\u202e7""#),
            BundleInvalid,
            "Bundle.identifier.value",
            r#""1\u202e7"#,
        ),
        (
            "an entry that is a text",
            bare(&format!(r#"{PATIENT},"x""#)),
            EntryInvalid,
            "Bundle.entry[1]",
            r#""x""#,
        ),
        (
            "no request",
            spoilt(&format!(",{put_o}"), ""),
            EntryInvalid,
            "Bundle.entry[1]",
            r#"{"resource":{"resourceType":"Obs"#,
        ),
        (
            "a request of another shape",
            spoilt(put_o, r#""request":"PUT""#),
            EntryInvalid,
            "Bundle.entry[1].request",
            r#""PUT"}]"#,
        ),
        (
            "no method",
            spoilt(put_o, r#""request":{"url":"Observation/o"}"#),
            EntryInvalid,
            "Bundle.entry[1].request",
            r#"{"url":"Obs"#,
        ),
        (
            "a method in small letters",
            spoilt(put_o, r#""request":{"method":"put","url":"Observation/o"}"#),
            EntryInvalid,
            "Bundle.entry[1].request.method",
            r#""put""#,
        ),
        (
            "no url",
            spoilt(put_o, r#""request":{"method":"PUT"}"#),
            EntryInvalid,
            "Bundle.entry[1].request",
            r#"{"method":"PUT"}"#,
        ),
        (
            "a url of a type",
            spoilt(r#""Observation/o""#, r#""Observation""#),
            EntryInvalid,
            "Bundle.entry[1].request.url",
            r#""Observation"}"#,
        ),
        (
            "a url with a version",
            spoilt(r#""Observation/o""#, r#""Observation/o/_history/1""#),
            EntryInvalid,
            "Bundle.entry[1].request.url",
            r#""Observation/o/_h"#,
        ),
        (
            "an absolute url",
            spoilt(r#""Observation/o""#, r#""https://x/Observation/o""#),
            EntryInvalid,
            "Bundle.entry[1].request.url",
            r#""https://x"#,
        ),
        (
            "a url of no type of R4",
            spoilt(r#""Observation/o""#, r#""Observable/o""#),
            EntryInvalid,
            "Bundle.entry[1].request.url",
            r#""Observable/o""#,
        ),
        (
            "a conditional create",
            spoilt(
                put_o,
                r#""request":{"method":"PUT","url":"Observation/o","ifNoneExist":"code=1"}"#,
            ),
            EntryInvalid,
            "Bundle.entry[1].request.ifNoneExist",
            r#""code=1""#,
        ),
        (
            "a PUT without its resource",
            bare(&format!(r#"{PATIENT},{{{put_o}}}"#)),
            EntryInvalid,
            "Bundle.entry[1]",
            r#"{"request":{"method":"PUT","url":"Obs"#,
        ),
        (
            "a DELETE with a resource",
            spoilt(
                r#"{"method":"PUT","url":"Observation/o"}"#,
                r#"{"method":"DELETE","url":"Observation/o"}"#,
            ),
            EntryInvalid,
            "Bundle.entry[1].resource",
            r#"{"resourceType":"Obs"#,
        ),
        (
            "a resource of another type",
            spoilt(r#""resourceType":"Observation""#, r#""resourceType":"Condition""#),
            EntryInvalid,
            "Bundle.entry[1].resource.resourceType",
            r#""Condition""#,
        ),
        (
            "a resource without a type",
            spoilt(r#""resourceType":"Observation","#, ""),
            EntryInvalid,
            "Bundle.entry[1].resource",
            r#"{"id":"o""#,
        ),
        (
            "another id",
            spoilt(r#""id":"o""#, r#""id":"q""#),
            EntryInvalid,
            "Bundle.entry[1].resource.id",
            r#""q""#,
        ),
        (
            "no id",
            spoilt(r#""id":"o","#, ""),
            EntryInvalid,
            "Bundle.entry[1].resource",
            r#"{"resourceType":"Observation""#,
        ),
        (
            "an id that is none",
            spoilt(r#""id":"o""#, r#""id":"o_o""#),
            EntryInvalid,
            "Bundle.entry[1].resource.id",
            r#""o_o""#,
        ),
        (
            "a wrong type deep within",
            spoilt(r#"{"reference":"Patient/p"}"#, r#"{"reference":7}"#),
            EntryInvalid,
            "Bundle.entry[1].resource.subject.reference",
            "7}",
        ),
        (
            "a fullUrl at odds",
            spoilt("fhir/Patient/p", "fhir/Patient/q"),
            EntryInvalid,
            "Bundle.entry[0].fullUrl",
            r#""https://lab.example/fhir/Patient/q""#,
        ),
        (
            "a fullUrl that is relative",
            spoilt("https://lab.example/fhir/Patient/p", "Patient/p"),
            EntryInvalid,
            "Bundle.entry[0].fullUrl",
            r#""Patient/p","res"#,
        ),
        (
            "a record twice",
            bare(&format!("{PATIENT},{OBSERVATION},{OBSERVATION}")),
            EntryInvalid,
            "Bundle.entry[2].request.url",
            "LAST\"Observation/o\"",
        ),
        (
            "a fullUrl twice",
            bare(&format!(
                "{PATIENT},{}",
                OBSERVATION.replacen('{', r#"{"fullUrl":"https://lab.example/fhir/Patient/p","#, 1)
            )),
            EntryInvalid,
            "Bundle.entry[1].fullUrl",
            "LAST\"https://lab.example/fhir/Patient/p\"",
        ),
        (
            "a collection",
            spoilt(r#""transaction""#, r#""collection""#),
            BundleInvalid,
            "Bundle.type",
            r#""collection""#,
        ),
        (
            "a GET",
            spoilt(put_o, r#""request":{"method":"GET","url":"Observation/o"}"#),
            EntryInvalid,
            "Bundle.entry[1].request.method",
            r#""GET""#,
        ),
        (
            "a PATCH",
            spoilt(put_o, r#""request":{"method":"PATCH","url":"Observation/o"}"#),
            EntryInvalid,
            "Bundle.entry[1].request.method",
            r#""PATCH""#,
        ),
        (
            "a POST to a record",
            spoilt(put_o, r#""request":{"method":"POST","url":"Observation/o"}"#),
            EntryInvalid,
            "Bundle.entry[1].request.url",
            r#""Observation/o"}}"#,
        ),
        (
            "a POST of a version",
            spoilt(put_o, r#""request":{"method":"POST","url":"Observation","ifMatch":"W/\"1\""}"#),
            EntryInvalid,
            "Bundle.entry[1].request.ifMatch",
            r#""W/"#,
        ),
        (
            "a url with nothing behind its mark",
            spoilt(r#""Observation/o""#, r#""Observation?""#),
            EntryInvalid,
            "Bundle.entry[1].request.url",
            r#""Observation?"#,
        ),
        (
            "a condition that breaks off",
            spoilt(r#""Observation/o""#, r#""Observation?code=%4""#),
            EntryInvalid,
            "Bundle.entry[1].request.url",
            r#""Observation?"#,
        ),
        (
            "a version that is none",
            spoilt(put_o, r#""request":{"method":"PUT","url":"Observation/o","ifMatch":"seven"}"#),
            EntryInvalid,
            "Bundle.entry[1].request.ifMatch",
            r#""seven""#,
        ),
        (
            "a condition of reading",
            spoilt(put_o, r#""request":{"method":"PUT","url":"Observation/o","ifNoneMatch":"*"}"#),
            EntryInvalid,
            "Bundle.entry[1].request.ifNoneMatch",
            r#""*""#,
        ),
        (
            "a conditional reference to no type",
            spoilt(r#""reference":"Patient/p""#, r#""reference":"Sufferer?x=1""#),
            ReferenceUnresolved,
            "Bundle.entry[1].resource.subject.reference",
            r#""Sufferer?x=1""#,
        ),
        (
            "a urn for a reference",
            spoilt(r#""reference":"Patient/p""#, r#""reference":"urn:uuid:1""#),
            ReferenceUnresolved,
            "Bundle.entry[1].resource.subject.reference",
            r#""urn:uuid:1""#,
        ),
        (
            "a word for a reference",
            spoilt(r#""reference":"Patient/p""#, r#""reference":"him""#),
            ReferenceUnresolved,
            "Bundle.entry[1].resource.subject.reference",
            r#""him""#,
        ),
        (
            "no Patient",
            bare(&OBSERVATION.replace("Patient/p", "Group/x")),
            MemberNotNamed,
            "Bundle.entry",
            r#"[{"resource""#,
        ),
        (
            "two Patients",
            bare(&format!("{PATIENT},{two_patients}")),
            MemberNotNamed,
            "Bundle.entry",
            r#"[{"fullUrl""#,
        ),
    ];
    assert!(table.len() >= 20);
    for (case, text, code, place, words) in table {
        let issues = try_read(&text, &stranger()).map(|_| ()).unwrap_err();
        let issue = issues
            .iter()
            .find(|issue| issue.code == code && issue.expression.as_deref() == Some(place));
        let issue = issue.unwrap_or_else(|| panic!("{case}: {issues:?}"));
        let offset = match words.strip_prefix("LAST") {
            Some(last) => text.rfind(last).unwrap(),
            None if words.is_empty() => text.len(),
            None => text.find(words).unwrap_or_else(|| panic!("{case}: {text}")),
        };
        assert_eq!(issue.offset, Some(offset as u64), "{case}");
    }
}

#[test]
fn every_bad_entry_is_reported_at_once_in_the_order_of_the_body() {
    let entries = [
        PATIENT.replace("fhir/Patient/p", "fhir/Patient/q"),
        OBSERVATION.replace("PUT", "PATCH"),
        r#"{"request":{"method":"PUT","url":"Condition/c"}}"#.to_owned(),
        "7".to_owned(),
    ];
    let issues = try_read(&transaction(&entries.join(",")), &stranger()).unwrap_err();
    let places: Vec<_> = issues.iter().map(|issue| issue.expression.clone().unwrap()).collect();
    assert_eq!(
        places,
        [
            "Bundle.entry[0].fullUrl",
            "Bundle.entry[1].request.method",
            "Bundle.entry[2]",
            "Bundle.entry[3]"
        ]
    );
}

#[test]
fn a_bundle_is_bounded_and_so_is_what_is_said_of_it() {
    let delete = |n: usize| format!(r#"{{"request":{{"method":"DELETE","url":"Condition/{n}"}}}}"#);
    let many = |count: usize| transaction(&(0..count).map(delete).collect::<Vec<_>>().join(","));
    assert!(try_read(&many(ENTRIES_MAX), &stranger()).is_ok());
    let issues = try_read(&many(ENTRIES_MAX + 1), &stranger()).unwrap_err();
    assert_eq!((issues.len(), issues[0].code), (1, Code::TooManyEntries));
    let bad = transaction(&vec!["7"; ENTRIES_MAX].join(","));
    assert_eq!(try_read(&bad, &stranger()).unwrap_err().len(), FAULTS_MAX);
}

#[test]
fn keys_come_from_the_identifier() {
    let identifier = r#"{"system":"urn:lab","value":"17"}"#;
    let table = [
        ("system and value", identifier, Some("urn:lab|17")),
        ("a value alone", r#"{"value":"17"}"#, Some("17")),
        ("an empty system", r#"{"system":"","value":"17"}"#, Some("|17")),
        ("a bar in the value", r#"{"system":"urn:a","value":"b|17"}"#, Some(r"urn:a|b\|17")),
        ("a bar in the system", r#"{"system":"urn:a|b","value":"17"}"#, Some(r"urn:a\|b|17")),
        ("a bar and no system", r#"{"value":"urn:a|17"}"#, Some(r"urn:a\|17")),
        ("a backslash", r#"{"system":"urn:a\\","value":"|17"}"#, Some(r"urn:a\\|\|17")),
        ("a system alone", r#"{"system":"urn:lab"}"#, None),
        ("an empty value", r#"{"system":"urn:lab","value":""}"#, None),
    ];
    for (case, with, key) in table {
        let incoming = try_read(&spoilt(identifier, with), &stranger()).unwrap();
        assert_eq!(incoming.key.as_deref(), key, "{case}");
    }
    let without = spoilt(&format!(r#""identifier":{identifier},"#), "");
    assert_eq!(try_read(&without, &stranger()).unwrap().key, None);
}

#[test]
fn what_is_not_in_the_bundle_is_for_the_caller_to_find() {
    let text = spoilt(
        r#""subject":{"reference":"Patient/p"}"#,
        r##""subject":{"reference":"Patient/p"},"encounter":{"reference":"Encounter/e/_history/3"},"focus":[{"reference":"Encounter/e"},{"reference":"#x"},{"reference":"https://other.example/fhir/Condition/9"}],"contained":[{"resourceType":"Device","id":"x"}]"##,
    );
    let incoming = try_read(&text, &stranger()).unwrap();
    let outside: Vec<_> =
        incoming.outside.iter().map(|it| (it.entry, it.kind.as_str(), it.id.as_str())).collect();
    assert_eq!(
        outside,
        [(1, "Encounter", "e")],
        "each record once; fragments and foreign URLs stay"
    );
    let issues = incoming.unresolved(&incoming.outside);
    assert_eq!(issues[0].code, Code::ReferenceUnresolved);
    assert_eq!(
        issues[0].expression.as_deref(),
        Some("Bundle.entry[1].resource.encounter.reference")
    );
    assert_eq!(issues[0].offset, Some(text.find(r#""Encounter/e/_h"#).unwrap() as u64));
}

#[test]
fn what_a_bundle_is_about_is_its_own_patient() {
    let about = |element: &str, rest: &str| {
        spoilt(r#""subject":{"reference":"Patient/p"}"#, &format!("{element}{rest}"))
    };
    let contained = r##","contained":[{"resourceType":"Patient","id":"x"}]"##;
    let device = r##","contained":[{"resourceType":"Device","id":"x"}]"##;
    let table = [
        ("another", r#""subject":{"reference":"Patient/q"}"#, "", Some("subject")),
        (
            "another's version",
            r#""subject":{"reference":"Patient/q/_history/1"}"#,
            "",
            Some("subject"),
        ),
        (
            "one elsewhere",
            r#""subject":{"reference":"https://other.example/fhir/Patient/p"}"#,
            "",
            Some("subject"),
        ),
        ("one within", r##""subject":{"reference":"#x"}"##, contained, Some("subject")),
        ("its own", r#""subject":{"reference":"Patient/p"}"#, contained, None),
        ("its own version", r#""subject":{"reference":"Patient/p/_history/1"}"#, "", None),
        ("a device within", r##""subject":{"reference":"#x"}"##, device, None),
        ("a group elsewhere", r#""subject":{"reference":"https://x.example/Group/g"}"#, "", None),
        ("another beside it", r#""focus":[{"reference":"Patient/q"}]"#, "", None),
    ];
    for (case, element, rest, place) in table {
        let found = try_read(&about(element, rest), &stranger());
        match place {
            None => drop(found.unwrap_or_else(|issues| panic!("{case}: {issues:?}"))),
            Some(name) => {
                let issues = found.map(|_| ()).unwrap_err();
                let place = format!("Bundle.entry[1].resource.{name}.reference");
                assert_eq!(issues[0].code, Code::EntryInvalid, "{case}");
                assert_eq!(issues[0].expression, Some(place), "{case}");
            }
        }
    }
    let kinds = [
        ("AllergyIntolerance", "patient", false),
        ("Coverage", "beneficiary", false),
        ("Account", "subject", true),
        ("Task", "for", false),
    ];
    for (kind, element, list) in kinds {
        let reference = |id: &str| match list {
            true => format!(r#"[{{"reference":"Patient/{id}"}}]"#),
            false => format!(r#"{{"reference":"Patient/{id}"}}"#),
        };
        let entry = |id: &str| {
            let reference = reference(id);
            format!(
                r#"{{"resource":{{"resourceType":"{kind}","id":"o","{element}":{reference}}},"request":{{"method":"PUT","url":"{kind}/o"}}}}"#
            )
        };
        let read =
            |id: &str| try_read(&transaction(&format!("{PATIENT},{}", entry(id))), &stranger());
        assert!(read("p").is_ok(), "{kind}");
        assert_eq!(read("q").unwrap_err()[0].code, Code::EntryInvalid, "{kind}");
    }
}

#[test]
fn a_bundle_without_a_patient_files_nothing_but_why() {
    let delete = r#"{"request":{"method":"DELETE","url":"Condition/c"}}"#;
    let provenance = |rest: &str| {
        format!(
            r#"{{"resource":{{"resourceType":"Provenance","id":"v","target":[{{"reference":"Condition/c"}}]{rest}}},"request":{{"method":"PUT","url":"Provenance/v"}}}}"#
        )
    };
    let read =
        |rest: &str| try_read(&transaction(&format!("{delete},{}", provenance(rest))), &stranger());
    assert!(read("").is_ok());
    let issues = read(r#","contained":[{"resourceType":"Observation","id":"x"}]"#).unwrap_err();
    assert_eq!(issues[0].code, Code::MemberNotNamed);
    assert_eq!(issues[0].expression.as_deref(), Some("Bundle.entry[1].resource.contained"));
}

/// Callers let a Provenance speak of what is gone; that must not cover for anybody else.
#[test]
fn a_provenance_never_stands_in_front_of_another_reference() {
    let provenance = r#"{"resource":{"resourceType":"Provenance","id":"v","target":[{"reference":"Encounter/e"},{"reference":"Condition/c"}]},"request":{"method":"PUT","url":"Provenance/v"}}"#;
    let observation = OBSERVATION.replace("Patient/p", "Encounter/e");
    let text = transaction(&format!("{provenance},{PATIENT},{observation}"));
    let incoming = try_read(&text, &stranger()).unwrap();
    let outside: Vec<_> = incoming.outside.iter().map(|it| (it.entry, it.kind.as_str())).collect();
    assert_eq!(outside, [(0, "Condition"), (2, "Encounter")]);
}

#[test]
fn types_beyond_the_agreement_are_refused_but_provenance_is_always_taken() {
    let terms = |types: &[&str]| SenderTerms {
        types: types.iter().map(|kind| kind.to_string()).collect(),
        ..stranger()
    };
    assert!(try_read(&good(), &terms(&["Patient", "Observation"])).is_ok());
    let issues = try_read(&good(), &terms(&["Patient"])).unwrap_err();
    assert_eq!(issues[0].code, Code::KindNotAgreed);
    assert_eq!(issues[0].expression.as_deref(), Some("Bundle.entry[1].resource.resourceType"));
    let provenance = r#"{"resource":{"resourceType":"Provenance","id":"v","target":[{"reference":"Patient/p"}]},"request":{"method":"PUT","url":"Provenance/v"}}"#;
    assert!(
        try_read(&transaction(&format!("{PATIENT},{provenance}")), &terms(&["Patient"])).is_ok()
    );
    let within = |of: &str, contained: &str| {
        let contained = format!(r#"{{"contained":[{contained}],"resourceType""#);
        let (patient, provenance) = match of {
            "Patient" => (with(PATIENT, &contained), provenance.to_owned()),
            _ => (PATIENT.to_owned(), with(provenance, &contained)),
        };
        try_read(&transaction(&format!("{patient},{provenance}")), &terms(&["Patient", "Device"]))
    };
    let device = r#"{"resourceType":"Device","id":"d"}"#;
    let observation = r#"{"resourceType":"Observation","id":"x"}"#;
    let deep = device.replace('}', &format!(r#","contained":[{observation}]}}"#));
    let table = [
        ("Patient", device.to_owned(), None),
        ("Patient", format!("{device},{observation}"), Some("0].resource.contained[1]")),
        ("Patient", deep, Some("0].resource.contained[0].contained[0]")),
        ("Provenance", device.to_owned(), None),
        ("Provenance", observation.to_owned(), Some("1].resource.contained[0]")),
        ("Provenance", observation.replace("Observ", "Secret"), Some("1].resource.contained[0]")),
    ];
    for (of, contained, place) in table {
        let place = place.map(|place| format!("Bundle.entry[{place}.resourceType"));
        match (within(of, &contained), place) {
            (Ok(_), None) => {}
            (Err(issues), Some(place)) => {
                assert_eq!(issues[0].code, Code::KindNotAgreed, "{contained} in {of}");
                assert_eq!(issues[0].expression.as_ref(), Some(&place), "{contained} in {of}");
                assert!(!issues[0].detail.contains("Secret"), "{}", issues[0].detail);
            }
            (found, _) => panic!("{contained} in {of}: {:?}", found.map(|_| ())),
        }
    }
}

/// An entry whose resource begins with something else.
fn with(entry: &str, begin: &str) -> String {
    entry.replacen(r#"{"resourceType""#, begin, 1)
}

/// What the issues say must not be what the resources say.
#[test]
fn issues_never_quote_a_resource() {
    let planted = ["Plantagenet", "MRN-55172", "1970-01-01", "555-0100"];
    let patient = r#"{"fullUrl":"Plantagenet","resource":{"resourceType":"Patient","id":"MRN-55172","birthDate":"1970-01-01","name":[{"family":"Plantagenet"}],"telecom":[{"value":"555-0100"}],"generalPractitioner":[{"reference":"Plantagenet"},{"reference":"Doc?tel=555-0100"}]},"request":{"method":"Plantagenet","url":"Patient?name=Plantagenet","ifNoneExist":"identifier=MRN-55172"}}"#;
    let text = transaction(&format!("{patient},{patient}"));
    for cut in 0..text.len() {
        let spoilt = [&text[..cut], "\u{1}", &text[cut..]].concat();
        for text in [&text[..cut], spoilt.as_str(), text.as_str()] {
            for issue in try_read(text, &house()).unwrap_err() {
                let said = format!("{issue} {issue:?} {}", issue.to_json());
                let quoted = planted.iter().find(|word| said.contains(*word));
                assert_eq!(quoted, None, "cut at {cut}: {said}");
            }
        }
    }
}
