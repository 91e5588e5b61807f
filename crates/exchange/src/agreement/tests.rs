//! Goal: an agreement is read whole or refused with the line that is wrong and what was meant.
//!
//! How: a small agreement that is good, and one change per row that makes it bad.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::issue::{Code, Issue};

const GOOD: &str = r#"partner = "blue"
purposes = ["HPAYMT", "TREAT"]
mode = "sync"

[[payer_identifiers]]
system = "urn:naic"
value = "12345"

[encounter]
statuses = ["finished"]
types = ["Condition"]

[[permit]]
rule = "notes"
types = ["DocumentReference", "DiagnosticReport"]
only = { path = "category", codes = ["clinical-note"] }

[[withhold]]
rule = "quiet"
types = ["Observation"]
having = { path = "code", value_set = "quiet" }

[[cut]]
rule = "ssn"
element = "Patient.identifier.where(system='urn:ssn')"
"#;

fn value_sets(name: &str) -> Option<String> {
    match name {
        "quiet" => Some("http://loinc.org|1-8\n".into()),
        "void" => Some("# nothing yet\n".into()),
        "broken" => Some("a\nhttp://loinc.org\n".into()),
        _ => None,
    }
}

fn read(text: &str) -> Result<Terms, Issue> {
    Terms::parse(text, "agreements/blue.toml", &value_sets)
}

#[test]
fn a_good_agreement_is_read() {
    let terms = read(GOOD).unwrap();
    assert_eq!(terms.agreement.partner.as_str(), "blue");
    assert_eq!(terms.agreement.default_purpose(), Some(Purpose::Payment));
    assert!(terms.names("DocumentReference", Purpose::Treatment));
    assert!(!terms.names("Condition", Purpose::Treatment));
}

/// Provokes `Code::ConfigInvalid`.
#[test]
fn a_bad_agreement_is_refused_with_line_and_suggestion() {
    #[rustfmt::skip]
    let table = [
        ("an unknown key", "purposes =", "purpose =", 2, "did you mean `purposes`?"),
        ("an unknown purpose", "\"HPAYMT\"", "\"HPAYMNT\"", 2, "did you mean `HPAYMT`?"),
        ("no purpose", "[\"HPAYMT\", \"TREAT\"]", "[]", 2, "name one at least"),
        ("a mode that is none", "mode = \"sync\"", "mode = \"synch\"", 3, "did you mean `sync`?"),
        ("a form that is none", "mode = \"sync\"", "form = \"batch\"", 3, "one of `transaction`"),
        ("a mode that nothing carries out", "mode = \"sync\"", "mode = \"later\"", 3, "not one of `sync`, `async`"),
        ("a mode that the form does not carry out", "mode = \"sync\"", "mode = \"async\"", 3, "the mode of the form `bulk`"),
        ("a word nobody gives", "mode = \"sync\"", "settled_by = \"accepted\"", 3, "`taken` or `filed`"),
        ("a deadline of nothing", "mode = \"sync\"", "deadline_hours = 0", 3, "1 to 744"),
        ("a pace of nothing", "mode = \"sync\"", "requests_per_minute = 0", 3, "1 to 6000"),
        ("a deadline of words", "mode = \"sync\"", "deadline_hours = 'soon'", 3, "expected u32"),
        ("a partner that is a path", "\"blue\"", "\"../blue\"", 1, "a-z, 0-9"),
        ("no partner", "partner = \"blue\"", "", 1, "the key `partner` is missing"),
        ("an identifier without value", "\"12345\"", "\" \"", 5, "needs a `value`"),
        ("an unknown status", "\"finished\"", "\"finish\"", 10, "did you mean `finished`?"),
        ("an unknown type to search", "[\"Condition\"]", "[\"Conditon\"]", 11, "did you mean `Condition`?"),
        ("an unknown type in a permit", "\"DiagnosticReport\"", "\"DiagnosisReport\"", 15, "did you mean `DiagnosticReport`?"),
        ("a finding that is none", "[encounter]", "[usability]\nhold = [\"member-id-mising\"]\n[encounter]", 10, "did you mean `member-id-missing`?"),
        ("a permit of no type", "[\"DocumentReference\", \"DiagnosticReport\"]", "[]", 15, "names its types"),
        ("a rule without a name", "\"notes\"", "\"\"", 14, "a rule's name is"),
        ("a rule name with spaces", "\"notes\"", "\"all notes\"", 14, "a rule's name is"),
        ("a rule named twice", "\"quiet\"\ntypes", "\"notes\"\ntypes", 19, "another rule is named `notes`"),
        ("a built-in rule's name", "\"ssn\"", "\"financial-never\"", 24, "always there"),
        ("an unknown key in a rule", "rule = \"ssn\"", "role = \"ssn\"", 24, "did you mean `rule`?"),
        ("an element that is none", "Patient.identifier", "Patient.identfier", 25, "did you mean `identifier`?"),
        ("a cut of everything", "Patient.identifier.where(system='urn:ssn')", "Patient.descendants()", 25, "would cut everything"),
        ("a cut without a type", "Patient.identifier", "identifier", 25, "led by a type"),
        ("a cut of the id", "Patient.identifier.where(system='urn:ssn')", "Patient.id", 25, "cannot be cut"),
        ("a function that is none", ".where(", ".first(", 25, "only `where(x='y')`"),
        ("a condition on a type without it", "path = \"category\"", "path = \"docStatus\"", 16, "R4 `DiagnosticReport` has no element"),
        ("a condition on another type", "path = \"code\"", "path = \"Patient.gender\"", 21, "leave out"),
        ("a condition without codes", ", codes = [\"clinical-note\"]", "", 16, "has no code"),
        ("a code that is a system", "\"clinical-note\"", "\"http://x|\"", 16, "`system|code` or `code`"),
        ("a value set that is missing", "\"quiet\" }", "\"loud\" }", 21, "`valuesets/loud.txt` is missing"),
        ("a value set that is empty", "\"quiet\" }", "\"void\" }", 21, "holds no code"),
        ("a value set that is broken", "\"quiet\" }", "\"broken\" }", 21, "`valuesets/broken.txt`, line 2"),
        ("a value set that is a path", "\"quiet\" }", "\"../quiet\" }", 21, "a value set's name"),
        ("a rule of no condition", "types = [\"Observation\"]\nhaving = { path = \"code\", value_set = \"quiet\" }", "", 18, "would withhold everything"),
        ("an unknown kind", "types = [\"Doc", "kinds = [\"histories\"]\ntypes = [\"Doc", 15, "one of `encounter`"),
        ("a day that is none", "types = [\"Doc", "since = \"2024-02-30\"\ntypes = [\"Doc", 15, "is a day in quotes"),
        ("a window of nothing", "types = [\"Doc", "within_days = 0\ntypes = [\"Doc", 15, "1 to 36500"),
        ("a category of a type without one", "rule = \"quiet\"\ntypes = [\"Observation\"]", "rule = \"quiet\"\ntypes = [\"Patient\"]\ncategory = [\"x\"]", 22, "has no element"),
        ("a second condition without codes", "types = [\"Doc", "all = [{ path = \"status\" }]\ntypes = [\"Doc", 15, "has no code"),
        ("a target that is none", "value_set = \"quiet\"", "references = [\"the unit\"]", 21, "written Type/id"),
        ("an identifier that is none", "value_set = \"quiet\"", "identifiers = [\"urn:x|\"]", 21, "`system|value`"),
        ("a visit's element that is none", "path = \"code\", value_set", "path = \"photo\", where = \"encounter\", value_set", 21, "R4 `Encounter` has no element"),
        ("a place that is none", "path = \"code\", value_set", "path = \"code\", where = \"visit\", value_set", 21, "one of `resource`, `encounter`"),
        ("no status of an encounter", "statuses = [\"finished\"]", "statuses = []", 10, "names no status"),
        ("a category that is empty", "types = [\"Doc", "category = []\ntypes = [\"Doc", 15, "is empty"),
        ("purposes that are empty", "types = [\"Doc", "purposes = []\ntypes = [\"Doc", 15, "is empty"),
        ("kinds that are empty", "types = [\"Doc", "kinds = []\ntypes = [\"Doc", 15, "is empty"),
        ("conditions that are empty", "types = [\"Doc", "all = []\ntypes = [\"Doc", 15, "is empty"),
        ("codes that are empty", "value_set = \"quiet\"", "value_set = \"quiet\", codes = []", 21, "is empty"),
        ("a purpose outside of the agreement", "types = [\"Doc", "purposes = [\"HOPERAT\"]\ntypes = [\"Doc", 15, "would never hold"),
        ("a permit of money", "\"DiagnosticReport\"", "\"Claim\"", 15, "`financial-never`"),
        ("another of money", "\"DiagnosticReport\"", "\"ExplanationOfBenefit\"", 15, "`financial-never`"),
        ("a rule with every purpose excepted", "types = [\"Observation\"]", "except_purposes = [\"TREAT\", \"HPAYMT\"]\ntypes = [\"Observation\"]", 20, "keep nothing back"),
        ("a cut with every purpose excepted", "[[cut]]", "[[cut]]\nexcept_purposes = [\"TREAT\", \"HPAYMT\"]", 24, "cut nothing"),
        ("money in an encounter's push", "[\"Condition\"]", "[\"Condition\", \"Claim\"]", 11, "`financial-never`"),
        ("a wait as long as the deadline", "[encounter]", "[readiness]\nmax_wait_hours = 72\n[encounter]", 10, "less than `deadline_hours`"),
        ("no TOML", "[[cut]]", "[[cut]", 23, "not valid TOML"),
        ("a string that is open", "\"12345\"", "\"12345", 7, "not valid TOML"),
    ];
    for (case, from, to, line, words) in table {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{case}: the row changes nothing");
        let issue = read(&text).unwrap_err();
        assert_eq!(issue.code, Code::ConfigInvalid, "{case}");
        assert_eq!(issue.expression.as_deref(), Some("agreements/blue.toml"), "{case}: {issue}");
        assert!(issue.detail.starts_with(&format!("line {line}: ")), "{case}: {issue}");
        assert!(issue.detail.contains(words), "{case}: {}", issue.detail);
        assert!(!issue.to_string().contains("12345"), "{case}: values are not quoted");
    }
}

/// Whatever is cut off, doubled or overwritten: an issue or terms, never a panic.
#[test]
fn a_mangled_agreement_is_refused_or_read() {
    for at in (0..GOOD.len()).filter(|at| GOOD.is_char_boundary(*at)) {
        let (before, after) = GOOD.split_at(at);
        for text in
            [before.to_owned(), format!("{before}\u{0}{after}"), format!("{before}[{after}")]
        {
            if let Err(issue) = read(&text) {
                assert_eq!(issue.code, Code::ConfigInvalid, "at {at}");
            }
        }
    }
    assert!(read(&"#".repeat(10_000_000)).is_err(), "too large to be an agreement");
    assert!(read(&format!("{GOOD}x = {}", "[".repeat(100_000))).is_err(), "nested too deeply");
}

#[test]
fn the_shipped_agreement_is_one_and_carries_what_it_is_given() {
    let partner = PartnerId::from("blue-plan");
    let identifiers = [
        PayerIdentifier { system: Some("urn:\"odd\"\\".into()), value: "1".into() },
        PayerIdentifier { system: None, value: "2".into() },
    ];
    let purposes = [Purpose::Operations, Purpose::Treatment];
    let text = Agreement::default_text(&partner, &purposes, &identifiers);
    let agreement = Terms::parse(&text, "blue.toml", &default_value_set).map_err(|e| e.to_string());
    let agreement = agreement.unwrap().agreement;
    assert_eq!(agreement.partner, partner);
    assert_eq!(agreement.purposes, purposes);
    assert_eq!(agreement.payer_identifiers, identifiers);
    assert_eq!(agreement.encounter, EncounterContent::default(), "what the comments promise");
    for rule in ["social-security-number", "drivers-licence", "passport", "photo", "contacts"] {
        assert!(agreement.cut.iter().any(|cut| cut.rule == rule), "{rule}");
    }
    let none = Agreement::default_text(&partner, &purposes, &[]);
    assert!(Terms::parse(&none, "blue.toml", &default_value_set).is_ok());
}

#[test]
fn every_shipped_value_set_is_named_and_read() {
    let text = Agreement::default_text(&PartnerId::from("x"), &[Purpose::Payment], &[]);
    for (name, codes) in DEFAULT_VALUE_SETS {
        assert!(text.contains(&format!("value_set = \"{name}\"")), "{name}");
        assert!(!crate::valueset::CodeSet::read(codes).unwrap().is_empty(), "{name}");
    }
}

/// A line that is shown as a comment is taken as it stands once the mark is gone.
#[test]
fn the_kinds_that_are_shown_as_a_comment_can_be_switched_on() {
    let text = Agreement::default_text(&"sunrise".into(), &[Purpose::Payment], &[]);
    let shown = "# kinds = [\"encounter\", \"results\", \"history\"]";
    assert_eq!(text.matches(shown).count(), 1);
    let text = text.replace(shown, "kinds = [\"encounter\"]");
    let terms = Terms::parse(&text, "sunrise.toml", &default_value_set).unwrap();
    assert_eq!(terms.agreement.kinds.len(), 1);
}
