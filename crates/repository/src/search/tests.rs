//! Goal: each parameter narrows the search as R4 says, or is refused; nothing is passed over.
//!
//! How: rows of (type, query, what the store is asked). No store: `Search` is a value.

#![allow(clippy::unwrap_used)]
use super::*;

const BASE: &str = "https://plan.example/fhir";

fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |part: &str| part.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
    query.split('&').filter_map(pair).collect()
}

fn parse(kind: &str, query: &str) -> Result<Search, Issue> {
    Search::parse(BASE, kind, &pairs(query), Handling::Strict)
}

fn span(text: &str) -> DateSpan {
    when::span(text).unwrap()
}

fn time(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[test]
fn each_parameter_narrows_the_search() {
    type Change = fn(&mut RecordQuery);
    let table: [(&str, &str, Change); 26] = [
        ("Patient", "_id=a,b", |q| q.ids = list(&["a", "b"])),
        ("Patient", "_id=a,b&_id=b,c", |q| q.ids = list(&["b"])),
        ("Patient", "identifier=urn:x|1", |q| q.tokens = vec![list(&["identifier:1|urn:x"])]),
        ("Patient", "identifier=|1", |q| q.tokens = vec![list(&["identifier:1|"])]),
        ("Patient", "identifier=1", |q| q.tokens = vec![list(&["identifier:1"])]),
        ("Patient", r"identifier=urn:x|a\|b\,c", |q| {
            q.tokens = vec![list(&["identifier:a%7Cb,c|urn:x"])]
        }),
        ("Observation", "patient=p", |q| q.patients = list(&["p"])),
        ("Observation", "subject=Patient/p", |q| q.patients = list(&["p"])),
        ("Observation", "patient=https://plan.example/fhir/Patient/p", |q| {
            q.patients = list(&["p"]);
        }),
        ("Coverage", "beneficiary=p", |q| q.patients = list(&["p"])),
        ("MedicationDispense", "context=Encounter/e", |q| q.encounters = list(&["e"])),
        ("Observation", "encounter=e,f", |q| q.encounters = list(&["e", "f"])),
        ("Observation", "status=final,amended", |q| q.statuses = list(&["final", "amended"])),
        ("Observation", "code=4548-4&category=urn:c|laboratory", |q| {
            q.tokens = vec![list(&["code:4548-4"]), list(&["category:laboratory|urn:c"])];
        }),
        ("Provenance", "target=Observation/o,https://plan.example/fhir/Patient/p", |q| {
            q.tokens = vec![list(&["target:Observation/o|", "target:Patient/p|"])];
        }),
        ("Provenance", "patient=p", |q| q.tokens = vec![list(&["target:Patient/p|"])]),
        ("Claim", "encounter=Encounter/e", |q| q.tokens = vec![list(&["encounter:Encounter/e|"])]),
        ("Observation", "date=2026-01", |q| q.date = vec![(Compare::Eq, span("2026-01"))]),
        ("Observation", "date=ge2026-01-03&date=lt2026-02&date=ne2026-01-04", |q| {
            q.date = vec![
                (Compare::Ge, span("2026-01-03")),
                (Compare::Lt, span("2026-02")),
                (Compare::Ne, span("2026-01-04")),
            ];
        }),
        ("Condition", "recorded-date=sa2026-01-03T10:00:00-05:00", |q| {
            q.date = vec![(Compare::Sa, span("2026-01-03T15:00:00Z"))];
        }),
        ("Observation", "_lastUpdated=gt2026-01-03T10:00:00Z", |q| {
            q.last_updated = (time("2026-01-03T10:00:01Z"), None);
        }),
        ("Observation", "_lastUpdated=sa2026-01&_lastUpdated=gt2025", |q| {
            q.last_updated = (time("2026-02-01T00:00:00Z"), None);
        }),
        ("Observation", "_lastUpdated=le2026-01&_lastUpdated=eb2026-01-07", |q| {
            q.last_updated = (None, time("2026-01-07T00:00:00Z"));
        }),
        ("Observation", "_lastUpdated=lt2026-01-03&_lastUpdated=ge2026", |q| {
            q.last_updated = (time("2026-01-01T00:00:00Z"), time("2026-01-03T00:00:00Z"));
        }),
        ("Observation", "_lastUpdated=ap2026-01", |q| {
            q.last_updated = (time("2026-01-01T00:00:00Z"), time("2026-02-01T00:00:00Z"));
        }),
        ("Observation", "_lastUpdated=2026-01-03&_after=x", |q| {
            q.last_updated = (time("2026-01-03T00:00:00Z"), time("2026-01-04T00:00:00Z"));
            q.after = Some("x".into());
        }),
    ];
    for (kind, query, change) in table {
        let mut expected = RecordQuery { kind: kind.into(), ..RecordQuery::default() };
        change(&mut expected);
        let search = parse(kind, query).unwrap();
        assert_eq!(search.query, expected, "{kind}?{query}");
        assert!(!search.impossible && !search.count_only, "{kind}?{query}");
    }
}

#[test]
fn conditions_that_exclude_each_other_find_nothing_instead_of_everything() {
    for (kind, query) in [
        ("Patient", "_id=a&_id=b"),
        ("Patient", "_id=a&_id=b&_id=a"),
        ("Observation", "patient=a&subject=b"),
        ("Observation", "subject=Group/g"),
        ("Observation", "subject=https://elsewhere.example/Patient/p"),
        ("Observation", "encounter=EpisodeOfCare/e"),
        ("Provenance", "patient=Observation/o"),
        ("Provenance", "target=https://elsewhere.example/Patient/p"),
    ] {
        assert!(parse(kind, query).unwrap().impossible, "{kind}?{query}");
    }
}

#[test]
fn what_is_not_understood_is_refused_and_never_quoted() {
    use Code::{ParameterInvalid, ParameterUnsupported, ResourceUnknown};
    let table = [
        ("Patient", "family=Planted", ParameterUnsupported),
        ("Patient", "Planted%20Name=x", ParameterUnsupported),
        ("Immunization", "encounter=Planted", ParameterUnsupported),
        ("Observation", "patient.name=Planted", ParameterUnsupported),
        ("Observation", "patient:Patient=Planted", ParameterUnsupported),
        ("Observation", "code:in=Planted", ParameterUnsupported),
        ("Observation", "_sort=Planted", ParameterUnsupported),
        ("Observation", "_include=Planted", ParameterUnsupported),
        ("Observation", "_include=Observation:planted", ParameterUnsupported),
        ("Observation", "_include=Encounter:patient", ParameterUnsupported),
        ("Observation", "_include:iterate=Observation:subject", ParameterUnsupported),
        ("Observation", "_revinclude=Observation:focus", ParameterUnsupported),
        ("Observation", "code:missing=true", ParameterUnsupported),
        ("Observation", "status:not=final", ParameterUnsupported),
        ("Starship", "_id=Planted", ResourceUnknown),
        ("Patient", "_id=Planted Name", ParameterInvalid),
        ("Patient", "_id=", ParameterInvalid),
        ("Patient", "_id=a,", ParameterInvalid),
        ("Observation", "patient=", ParameterInvalid),
        ("Observation", "patient=Planted Name", ParameterInvalid),
        ("Observation", "code=Planted|", ParameterInvalid),
        ("Observation", r"code=Planted\x", ParameterInvalid),
        ("Observation", "status=Planted|final", ParameterInvalid),
        ("Observation", "date=Planted", ParameterInvalid),
        ("Observation", "date=zz2026", ParameterInvalid),
        ("Provenance", "target=Planted", ParameterInvalid),
        ("Observation", "_lastUpdated=ne2026", ParameterInvalid),
        ("Observation", "date=2026,2027", ParameterInvalid),
        ("Observation", "_lastUpdated=yesterday", ParameterInvalid),
        ("Observation", "_count=Planted", ParameterInvalid),
        ("Observation", "_count=-1", ParameterInvalid),
        ("Observation", "_summary=text", ParameterInvalid),
        ("Observation", "_after=../Planted", ParameterInvalid),
    ];
    for (kind, query, code) in table {
        let issue = parse(kind, query).unwrap_err();
        assert_eq!(issue.code, code, "{kind}?{query}");
        assert!(!issue.to_string().contains("Planted"), "{kind}?{query}");
    }
}

#[test]
fn leniency_passes_over_unknown_parameters_but_never_a_modifier() {
    let lenient =
        |query: &str| Search::parse(BASE, "Observation", &pairs(query), Handling::Lenient);
    let search = lenient("patient=p&mood=good").unwrap();
    assert_eq!(search.query.patients, ["p"]);
    assert_eq!(search.paging.understood, [("patient".to_owned(), "p".to_owned())]);
    assert_eq!(lenient("patient:missing=true").unwrap_err().code, Code::ParameterUnsupported);
    assert_eq!(lenient("_include=Observation:mood").unwrap().paging.understood, []);
    let iterate = lenient("_include:iterate=Observation:subject");
    assert_eq!(iterate.unwrap_err().code, Code::ParameterUnsupported);
    assert_eq!(lenient("patient=").unwrap_err().code, Code::ParameterInvalid);
}

#[test]
fn a_search_has_a_bound_in_parameters_and_alternatives() {
    let many = vec!["a"; ALTERNATIVES_MAX + 1].join(",");
    let wide = [("_id".to_owned(), many)];
    let long = vec![("_id".to_owned(), "a".to_owned()); PARAMETERS_MAX + 1];
    for parameters in [&wide[..], &long] {
        let issue = Search::parse(BASE, "Patient", parameters, Handling::Strict).unwrap_err();
        assert_eq!(issue.code, Code::ParameterInvalid);
    }
}

#[test]
fn what_comes_along_is_named_by_parameters_of_r4() {
    let include = |kind: &str, query: &str| parse(kind, query).map(|search| search.include);
    let one = include("Observation", "_include=Observation:subject").unwrap();
    assert_ne!(one, Include::default());
    assert_ne!(include("Observation", "_include=Observation:subject:Patient").unwrap(), one);
    let all = include("Observation", "_include=*").unwrap();
    assert_eq!(include("Observation", "_include=Observation:*").unwrap(), all);
    assert_ne!(include("Patient", "_revinclude=Provenance:target").unwrap(), Include::default());
}

proptest::proptest! {
    /// Whatever a caller types is understood or refused.
    #[test]
    fn no_value_is_too_strange_to_answer(value in "\\PC{0,40}", date in "[0-9TZ:+.\\-a-z,]{0,30}") {
        for name in ["_id", "_lastUpdated", "patient", "encounter", "identifier", "code", "status"] {
            let parameters = [(name.to_owned(), value.clone())];
            drop(Search::parse(BASE, "Observation", &parameters, Handling::Strict));
        }
        for name in ["date", "_lastUpdated"] {
            let parameters = [(name.to_owned(), date.clone())];
            drop(Search::parse(BASE, "Observation", &parameters, Handling::Strict));
        }
        drop(Search::parse(BASE, "Observation", &[(value, date)], Handling::Lenient));
    }
}
