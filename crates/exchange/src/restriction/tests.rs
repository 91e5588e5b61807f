//! Goal: what is restricted is covered under every spelling, and a table with a fault stops all.

#![allow(clippy::unwrap_used)]

use super::*;

const TABLE: &str = r#"
[[restriction]]
subject = "Encounter/e1"
reason = "self-pay"

[[restriction]]
subject = "Patient/p9"
reason = "patient-wish"
payers = ["blue"]

[[restriction]]
subject = "Observation/o1"
reason = "consent"
"#;

fn partners() -> Vec<PartnerId> {
    vec!["blue".into(), "green".into()]
}

fn read(text: &str) -> Result<Restrictions, Issue> {
    Restrictions::parse(text, "restrictions.toml", &partners())
}

#[test]
fn a_restriction_covers_what_belongs_to_its_subject() {
    let restrictions = read(TABLE).unwrap();
    assert_eq!(restrictions.len(), 3);
    #[rustfmt::skip]
    let table = [
        ("the encounter itself", "Encounter", r#""id":"e1""#, true, true),
        ("another encounter", "Encounter", r#""id":"e2""#, false, false),
        ("the same id of another type", "Condition", r#""id":"e1""#, false, false),
        ("a condition of it", "Condition", r#""encounter":{"reference":"Encounter/e1"}"#, true, true),
        ("one version of it", "Condition", r#""encounter":{"reference":"Encounter/e1/_history/3"}"#, true, true),
        ("under any base", "Condition", r#""encounter":{"reference":"https://any.test/r4/Encounter/e1"}"#, true, true),
        ("a note by its context", "DocumentReference", r#""context":{"encounter":[{"reference":"Encounter/e2"},{"reference":"Encounter/e1"}]}"#, true, true),
        ("a dose by its context", "MedicationAdministration", r#""context":{"reference":"Encounter/e1"}"#, true, true),
        ("a part of it", "Encounter", r#""id":"e3","partOf":{"reference":"Encounter/e1"}"#, true, true),
        ("one contained that is of it", "Procedure", r#""contained":[{"resourceType":"Condition","encounter":{"reference":"Encounter/e1"}}]"#, true, true),
        ("an encounter by identifier only", "Condition", r#""encounter":{"identifier":{"value":"v"}}"#, true, true),
        ("an encounter by a search", "Condition", r#""encounter":{"reference":"Encounter?identifier=v"}"#, true, true),
        ("an encounter by urn", "Condition", r#""encounter":{"reference":"urn:uuid:1"}"#, true, true),
        ("no encounter", "Condition", r#""subject":{"reference":"Patient/p1"}"#, false, false),
        ("of the restricted patient", "Condition", r#""subject":{"reference":"Patient/p9"}"#, true, false),
        ("the restricted patient", "Patient", r#""id":"p9""#, true, false),
        ("the single observation", "Observation", r#""id":"o1""#, true, true),
        ("what refers to the observation", "DiagnosticReport", r#""result":[{"reference":"Observation/o1"}]"#, false, false),
    ];
    for (case, kind, more, blue, green) in table {
        let text = format!(r#"{{"resourceType":"{kind}",{more}}}"#);
        let resource = Resource::parse(text).unwrap();
        let covered = |payer: &str| restrictions.covers(&resource, &payer.into()).is_some();
        assert_eq!((covered("blue"), covered("green")), (blue, green), "{case}");
        assert!(Restrictions::default().covers(&resource, &"blue".into()).is_none(), "{case}");
    }
}

/// Provokes `Code::RestrictionsUnreadable`.
#[test]
fn a_table_with_a_fault_is_no_table() {
    #[rustfmt::skip]
    let table = [
        ("a mistyped section", "[[restriction]]", "[[restrictions]]", 2, "did you mean `restriction`?"),
        ("a mistyped key", "subject =", "subjects =", 3, "did you mean `subject`?"),
        ("no subject", "subject = \"Encounter/e1\"\n", "", 2, "`subject` is missing"),
        ("a mistyped type", "Encounter/e1", "Encouter/e1", 3, "did you mean `Encounter`?"),
        ("no id", "Encounter/e1", "Encounter", 3, "written Type/id"),
        ("a URL", "Encounter/e1", "https://ehr.test/Encounter/e1", 3, "begins with no R4 resource type"),
        ("a reason of words", "self-pay", "Mr. SECRET pays", 4, "`reason` is a word"),
        ("an unknown payer", "[\"blue\"]", "[\"bleu\"]", 9, "did you mean `blue`?"),
        ("no list", "[\"blue\"]", "\"blue\"", 9, "expected a sequence"),
        ("no TOML", "[[restriction]]", "restriction", 2, "not valid TOML"),
    ];
    for (case, from, to, line, words) in table {
        let issue = read(&TABLE.replacen(from, to, 1)).unwrap_err();
        assert_eq!(issue.code, Code::RestrictionsUnreadable, "{case}");
        assert_eq!(issue.expression.as_deref(), Some("restrictions.toml"), "{case}: {issue}");
        assert!(issue.detail.starts_with(&format!("line {line}: ")), "{case}: {issue}");
        assert!(issue.detail.contains(words), "{case}: {}", issue.detail);
        assert!(!issue.to_string().contains("SECRET"), "{case}");
    }
    assert!(read("").unwrap().is_empty(), "an empty table restricts nothing");
}
