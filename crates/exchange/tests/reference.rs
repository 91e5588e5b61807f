//! Goal: the reference of agreements says what the program reads, no key more and none less.
//!
//! How: the reader names the keys and words it knows when it meets one that it does not; they are
//! held against docs/agreement.schema.json and docs/AGREEMENT.md. The shipped agreement and every
//! example of the page are read by the program and by a small reading of the schema.

#![allow(clippy::unwrap_used)]

use exchange::agreement::{
    CutRule, ElementCondition, EncounterContent, Opaque, PayerIdentifier, Permit, Place, Readiness,
    Retention, Terms, Unmatched, Withhold, default_value_set,
};
use exchange::payload::Kind;
use exchange::shape::BUILT_IN;
use exchange::{Agreement, FindingCode, PartnerId, Purpose};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn docs(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join("docs").join(name)).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&docs("agreement.schema.json")).unwrap()
}

/// The words between backticks behind `expected`; one alone is named as a list of several is.
fn expected(message: &str) -> BTreeSet<String> {
    let list = message.split_once("expected ").map(|(_, list)| list).unwrap_or_default();
    let list = list.lines().next().unwrap_or_default();
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The keys that the reader knows in a table.
fn keys<T: DeserializeOwned>() -> BTreeSet<String> {
    let error = toml::from_str::<T>("no-such-key = 1").err().unwrap();
    assert!(error.message().contains("no-such-key"), "{error}");
    expected(error.message())
}

/// The words that the reader knows for a value.
fn words<T: DeserializeOwned>() -> BTreeSet<String> {
    #[derive(serde::Deserialize)]
    struct One<T> {
        #[allow(dead_code)]
        word: T,
    }
    let error = toml::from_str::<One<T>>("word = 'no-such-word'").err().unwrap();
    expected(error.message())
}

fn names(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(map) => map.keys().cloned().collect(),
        Value::Array(list) => list.iter().map(|it| it.as_str().unwrap().to_owned()).collect(),
        _ => BTreeSet::new(),
    }
}

#[test]
fn the_schema_has_the_keys_that_are_read_and_no_others() {
    let schema = schema();
    let tables = [
        ("", keys::<Agreement>()),
        ("/$defs/payer_identifier", keys::<PayerIdentifier>()),
        ("/$defs/retention", keys::<Retention>()),
        ("/$defs/encounter", keys::<EncounterContent>()),
        ("/$defs/readiness", keys::<Readiness>()),
        ("/$defs/permit", keys::<Permit>()),
        ("/$defs/withhold", keys::<Withhold>()),
        ("/$defs/condition", keys::<ElementCondition>()),
        ("/$defs/cut", keys::<CutRule>()),
        ("/$defs/door", keys::<exchange::ladder::DoorTerms>()),
        ("/$defs/usability", keys::<exchange::agreement::Usability>()),
    ];
    let page = docs("AGREEMENT.md");
    for (place, known) in tables {
        let table = schema.pointer(place).unwrap();
        assert_eq!(names(&table["properties"]), known, "{place}");
        assert_eq!(table["additionalProperties"], false, "{place}");
        for key in known {
            assert!(page.contains(&format!("`{key}`")), "AGREEMENT.md says nothing of `{key}`");
        }
    }
}

#[test]
fn the_schema_has_the_words_that_are_read() {
    let schema = schema();
    let lists = [
        ("/$defs/purpose/enum", words::<Purpose>()),
        ("/properties/opaque/enum", words::<Opaque>()),
        ("/properties/unmatched/enum", words::<Unmatched>()),
        ("/$defs/condition/properties/where/enum", words::<Place>()),
        ("/$defs/permit/properties/kinds/items/enum", words::<Kind>()),
    ];
    // Findings have a page of their own, which is held to the program elsewhere.
    let findings = "/$defs/usability/properties/hold/items/enum";
    let known: BTreeSet<String> = FindingCode::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(names(schema.pointer(findings).unwrap()), known);
    let page = docs("AGREEMENT.md");
    for (place, known) in lists {
        assert_eq!(names(schema.pointer(place).unwrap()), known, "{place}");
        for word in known {
            assert!(page.contains(&format!("`{word}`")), "AGREEMENT.md says nothing of `{word}`");
        }
    }
}

#[test]
fn the_page_lists_every_rule_that_is_always_there() {
    let page = docs("AGREEMENT.md");
    for (rule, sentence) in BUILT_IN {
        assert!(page.contains(&format!("| `{rule}` | {sentence} |")), "{rule}");
    }
    assert_eq!(page.matches("\n| `").count() - rows_of_keys(&page), BUILT_IN.len());
}

/// Rows of tables above the list of built-in rules.
fn rows_of_keys(page: &str) -> usize {
    let (above, _) = page.split_once("## Rules that are always there").unwrap();
    above.matches("\n| `").count()
}

#[test]
fn the_shipped_agreement_and_every_example_are_read_and_fit_the_schema() {
    let shipped = Agreement::default_text(&PartnerId::from("plan"), &[Purpose::Payment], &[]);
    let page = docs("AGREEMENT.md");
    let examples: Vec<String> = page
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .map(|example| format!("partner = \"plan\"\npurposes = [\"HPAYMT\", \"TREAT\"]\n{example}"))
        .collect();
    assert!(examples.len() >= 4);
    let schema = schema();
    for text in examples.iter().chain([&shipped]) {
        let read = Terms::parse(text, "plan.toml", &default_value_set);
        read.map_err(|issue| format!("{issue}\n{text}")).unwrap();
        let faults = faults(&schema, &schema, &as_json(text), "");
        assert!(faults.is_empty(), "{faults:?}\n{text}");
    }
}

/// What the schema refuses, the program refuses.
#[test]
fn what_the_schema_refuses_is_refused() {
    let frame = "partner = \"plan\"\npurposes = [\"HPAYMT\"]\n";
    #[rustfmt::skip]
    let table = [
        ("an unknown key", "permits = []"),
        ("an unknown word", "opaque = 'perhaps'"),
        ("a number out of range", "deadline_hours = 745"),
        ("no types", "[[permit]]\nrule = 'x'\ntypes = []"),
        ("an unknown key in a condition", "[[permit]]\nrule = 'x'\ntypes = ['Patient']\nonly = { path = 'id', code = ['x'] }"),
        ("nothing to look for", "[[permit]]\nrule = 'x'\ntypes = ['Patient']\nonly = { path = 'gender' }"),
        ("a window of nothing", "[[permit]]\nrule = 'x'\ntypes = ['Observation']\nwithin_days = 0"),
        ("a day in words", "[[permit]]\nrule = 'x'\ntypes = ['Observation']\nsince = 'lately'"),
        ("half a day", "[[permit]]\nrule = 'x'\ntypes = ['Observation']\nsince = '2024-01'"),
        ("an unknown kind", "[[permit]]\nrule = 'x'\ntypes = ['Observation']\nkinds = ['encounters']"),
        ("a target that is none", "[[withhold]]\nrule = 'x'\nhaving = { path = 'location.location', references = ['12'], where = 'encounter' }"),
        ("a place that is none", "[[withhold]]\nrule = 'x'\nhaving = { path = 'class', codes = ['x'], where = 'visit' }"),
        ("sensitive in words", "[[withhold]]\nrule = 'x'\ntypes = ['Observation']\nsensitive = 'yes'"),
        ("kinds of a rule that withholds", "[[withhold]]\nrule = 'x'\ntypes = ['Observation']\nkinds = ['history']"),
        ("a finding that is none", "[usability]\nhold = ['no-such-finding']"),
        ("no status", "[encounter]\nstatuses = []"),
        ("a category of nothing", "[[permit]]\nrule = 'x'\ntypes = ['Observation']\ncategory = []"),
        ("purposes of nothing", "[[permit]]\nrule = 'x'\ntypes = ['Observation']\npurposes = []"),
        ("conditions of nothing", "[[withhold]]\nrule = 'x'\ntypes = ['Observation']\nall = []"),
        ("codes of nothing", "[[withhold]]\nrule = 'x'\nhaving = { path = 'code', codes = [] }"),
        ("a cut without an element", "[[cut]]\nrule = 'x'"),
    ];
    let schema = schema();
    for (case, more) in table {
        let text = format!("{frame}{more}\n");
        assert!(!faults(&schema, &schema, &as_json(&text), "").is_empty(), "{case}: schema");
        assert!(Terms::parse(&text, "x.toml", &default_value_set).is_err(), "{case}: program");
    }
}

fn as_json(text: &str) -> Value {
    let table: toml::Table = text.parse().unwrap();
    serde_json::to_value(table).unwrap()
}

/// What of a value does not fit: the part of JSON Schema that the file uses, but for long patterns.
fn faults(root: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fault = |what: &str| found.push(format!("{place}: {what}"));
    if let Some(target) = schema["$ref"].as_str() {
        let target = root.pointer(target.trim_start_matches('#')).unwrap();
        return faults(root, target, value, place);
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if !fits {
        fault("has another type");
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        fault("is another word");
    }
    if let Some(number) = value.as_i64() {
        let below = schema["minimum"].as_i64().is_some_and(|least| number < least);
        let above = schema["maximum"].as_i64().is_some_and(|most| number > most);
        if below || above {
            fault("is out of range");
        }
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !fits_pattern(pattern, text)
    {
        fault("has another form");
    }
    if let Some(list) = value.as_array() {
        if schema["minItems"].as_u64().is_some_and(|least| (list.len() as u64) < least) {
            fault("has too few items");
        }
        for (at, item) in list.iter().enumerate() {
            found.extend(faults(root, &schema["items"], item, &format!("{place}/{at}")));
        }
    } else if let Some(map) = value.as_object() {
        let lacks = |list: &Value| names(list).iter().any(|name| !map.contains_key(name));
        if lacks(&schema["required"]) {
            fault("lacks a key");
        }
        let any_of = schema["anyOf"].as_array();
        if any_of.is_some_and(|any| any.iter().all(|one| lacks(&one["required"]))) {
            fault("lacks one of some keys");
        }
        for (key, inner) in map {
            let place = format!("{place}/{key}");
            match schema["properties"].get(key) {
                Some(known) => found.extend(faults(root, known, inner, &place)),
                None if schema["additionalProperties"] == false => {
                    found.push(format!("{place}: is no key"));
                }
                None => {}
            }
        }
    }
    found
}

/// The patterns that the file uses, read by hand.
fn fits_pattern(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[a-z0-9_-]{1,64}$" => {
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
            (1..=64).contains(&text.len()) && text.bytes().all(fits)
        }
        r"^\d{4}-\d{2}-\d{2}$" => {
            let shape: String =
                text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
            shape == "9999-99-99"
        }
        "^[A-Z][A-Za-z]*/[A-Za-z0-9.-]{1,64}$" => text.split_once('/').is_some_and(|(kind, id)| {
            kind.starts_with(|c: char| c.is_ascii_uppercase()) && fhir::is_id(id)
        }),
        other => panic!("the schema uses a pattern that is not read here: {other}"),
    }
}
