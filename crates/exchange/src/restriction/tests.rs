//! Goal: what is restricted is covered under every spelling, and a table with a fault stops all.

#![allow(clippy::unwrap_used)]

use super::*;

const TABLE: &str = r#"
[[restriction]]
subject = "Encounter/e1"
reason = "self-pay"

[[restriction]]
subject = "Patient/p9"
reason = "patient's wish"
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
        ("a contained encounter", "Condition", r##""contained":[{"resourceType":"Encounter","id":"en"}],"encounter":{"reference":"#en"}"##, true, true),
        ("a contained one by another element", "Procedure", r##""contained":[{"resourceType":"Encounter","id":"en"}],"partOf":[{"reference":"#en"}]"##, true, true),
        ("an inner one that is not there", "Condition", r##""encounter":{"reference":"#en"}"##, true, true),
        ("a contained resource's, by identifier", "Procedure", r#""contained":[{"resourceType":"Condition","encounter":{"identifier":{"value":"v"}}}]"#, true, true),
        ("a dose by words", "MedicationAdministration", r#""context":{"display":"visit"}"#, true, true),
        ("a part of one by identifier", "Encounter", r#""id":"e3","partOf":{"identifier":{"value":"v"}}"#, true, true),
        ("an extension by identifier", "Immunization", r#""extension":[{"url":"http://hl7.org/fhir/StructureDefinition/encounter-associatedEncounter","valueReference":{"identifier":{"value":"v"}}}]"#, true, true),
        ("whatever the element", "Condition", r#""extension":[{"url":"u","valueReference":{"type":"Encounter","display":"v"}}]"#, true, true),
        ("a note with another context", "DocumentReference", r#""context":{"period":{"start":"2024"}}"#, false, false),
        ("a contained condition", "Procedure", r##""contained":[{"resourceType":"Condition","id":"c"}],"reasonReference":[{"reference":"#c"}]"##, false, false),
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

#[test]
fn a_restricted_encounter_takes_along_what_it_is_about() {
    let restrictions = read(TABLE).unwrap();
    let text = r#"{"resourceType":"Encounter","id":"@","subject":{"reference":"Patient/p1"},"partOf":{"reference":"Encounter/e0"},"participant":[{"individual":{"reference":"Practitioner/d"}}],"diagnosis":[{"condition":{"reference":"Condition/c1"}},{"condition":{"reference":"https://any.test/Procedure/r/_history/2"}}],"reasonReference":[{"reference":"Observation/o2"}],"basedOn":[{"reference":"ServiceRequest/s"}],"serviceProvider":{"reference":"Organization/o"}}"#;
    let taken = |id: &str| {
        let encounter = Resource::parse(text.replace('@', id)).unwrap();
        let rows = restrictions.takes_along(&encounter, &"blue".into());
        rows.into_iter().map(|(target, _)| target).collect::<Vec<_>>()
    };
    let mut all = taken("e1");
    all.sort();
    assert_eq!(all, ["Condition/c1", "Observation/o2", "Procedure/r", "ServiceRequest/s"]);
    assert!(taken("e2").is_empty(), "another encounter takes nothing along");
    assert!(restrictions.any_encounter(&"green".into()));
    assert!(restrictions.names("Encounter/e1", &"green".into()));
    assert!(!restrictions.names("Patient/p9", &"green".into()));
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
        ("no reason", "\"self-pay\"", "\" \"", 4, "`reason` is one line"),
        ("a reason of two lines", "self-pay", "SECRET\\nline", 4, "`reason` is one line"),
        ("a reason that is a letter", "self-pay", &"SECRET ".repeat(12), 4, "`reason` is one line"),
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
    for reason in ["patient's wish", "part-2 programme", "Selbstzahler: bar bezahlt"] {
        assert!(read(&TABLE.replace("self-pay", reason)).is_ok(), "{reason}");
    }
    assert!(read("").unwrap().is_empty(), "an empty table restricts nothing");
}
