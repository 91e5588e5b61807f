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

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[test]
fn each_parameter_narrows_the_search() {
    type Change = fn(&mut RecordQuery);
    let table: [(&str, &str, Change); 19] = [
        ("Patient", "_id=a,b", |q| q.ids = list(&["a", "b"])),
        ("Patient", "_id=a,b&_id=b,c", |q| q.ids = list(&["b"])),
        ("Patient", "identifier=urn:x|1", |q| q.tokens = vec![list(&["urn:x|1"])]),
        ("Patient", "identifier=|1", |q| q.tokens = vec![list(&["|1"])]),
        ("Patient", "identifier=1", |q| q.tokens = vec![list(&["*|1"])]),
        ("Patient", r"identifier=urn:x|a\|b\,c", |q| q.tokens = vec![list(&["urn:x|a|b,c"])]),
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
            q.tokens = vec![list(&["code:*|4548-4"]), list(&["category:urn:c|laboratory"])];
        }),
        ("Observation", "date=2026-01", |q| {
            q.date = (Some("2026-01".into()), Some("2026-02".into()));
        }),
        ("Observation", "date=ge2026-01-03&date=lt2026-02&date=le2026-12-31", |q| {
            q.date = (Some("2026-01-03".into()), Some("2026-02".into()));
        }),
        ("Condition", "recorded-date=gt2026-01-03T10:00:00-05:00", |q| {
            q.date = (Some("2026-01-03T15:00:01.000000Z".into()), None);
        }),
        ("Observation", "_lastUpdated=gt2026-01-03T10:00:00Z", |q| {
            q.last_updated = (Some("2026-01-03T10:00:01Z".parse().unwrap()), None);
        }),
        ("Observation", "_lastUpdated=2026-01-03&_after=x", |q| {
            q.last_updated = (
                Some("2026-01-03T00:00:00Z".parse().unwrap()),
                Some("2026-01-04T00:00:00Z".parse().unwrap()),
            );
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
        ("Observation", "date=gt9999"),
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
        ("Observation", "date=ap2026", ParameterInvalid),
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
    assert_eq!(search.understood, [("patient".to_owned(), "p".to_owned())]);
    assert_eq!(lenient("patient:missing=true").unwrap_err().code, Code::ParameterUnsupported);
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

/// Records of these sizes, in the order of their ids, as a house finds them.
fn shelf(sizes: &[usize]) -> Vec<Record> {
    let record = |(number, size): (usize, &usize)| Record {
        kind: "Binary".into(),
        id: format!("n{number:03}"),
        version: 1,
        last_updated: jiff::Timestamp::UNIX_EPOCH,
        owner: "mercy".into(),
        receipt: "r".into(),
        lane: None,
        number: None,
        digest: exchange::Digest::of(b""),
        content: Some(vec![b'x'; *size].into()),
        deleted: false,
    };
    sizes.iter().enumerate().map(record).collect()
}

#[tokio::test]
async fn a_page_holds_every_record_once_and_reads_little_beyond_it() {
    const MIB: usize = 1024 * 1024;
    let table = [
        ("nothing", vec![], 5, vec![0]),
        ("less than a page", vec![1; 4], 5, vec![4]),
        ("a page", vec![1; 5], 5, vec![5]),
        ("one more", vec![1; 6], 5, vec![5, 1]),
        ("as many as are read at once", vec![1; 10], 100, vec![10]),
        ("many small ones", vec![1; 240], 100, vec![100, 100, 40]),
        ("large ones", vec![3 * MIB; 60], 100, vec![2; 30]),
        ("too large for any page", vec![9 * MIB; 3], 100, vec![1; 3]),
        ("a large one among small ones", vec![1, 9 * MIB, 1, 1], 100, vec![1, 1, 2]),
    ];
    for (case, sizes, size, pages) in table {
        let shelf = shelf(&sizes);
        let (mut after, mut held, mut ids) = (None, Vec::new(), Vec::new());
        loop {
            let mut read = 0;
            let search = |query: RecordQuery| {
                let behind =
                    |record: &&Record| query.after.as_ref().is_none_or(|id| record.id > *id);
                let found = shelf.iter().filter(behind).take(query.limit as usize);
                let found: Vec<_> = found.cloned().collect();
                read += found.len();
                std::future::ready(Ok(found))
            };
            let query = RecordQuery { kind: "Binary".into(), after, ..RecordQuery::default() };
            let (records, last) = page(query, size, search).await.unwrap();
            assert!(read <= records.len() + PAGE_STEP_RECORDS as usize, "{case}: {read} were read");
            held.push(records.len());
            ids.extend(records.into_iter().map(|record| record.id));
            after = last;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(held, pages, "{case}");
        let all: Vec<_> = shelf.iter().map(|record| record.id.clone()).collect();
        assert_eq!(ids, all, "{case}");
    }
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
