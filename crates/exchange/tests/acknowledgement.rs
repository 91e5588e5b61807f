//! Goal: whoever triggered a push learns what became of every resource, and what to do next.
//!
//! How: a push built from its events, a payload's contents, an answer as the payer writes it.

#![allow(clippy::unwrap_used, missing_docs)]

use bytes::Bytes;
use exchange::acknowledgement::Acknowledgement;
use exchange::answer::{Done, Filing, LedgerRoot};
use exchange::assemble::Content;
use exchange::limits::ENTRIES_MAX;
use exchange::read::Form;
use exchange::sending::outcomes::Outcomes;
use exchange::{Code, Digest, Event, Finding, Issue, Level, Purpose, Push, PushId, Withholding};
use jiff::Timestamp;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn push(events: &[Event]) -> Push {
    let began = Event::Began {
        withdraws: None,
        walk: "w1".into(),
        trigger: "t1".into(),
        patient: "p1".into(),
        payer: "plan".into(),
        kind: "encounter".into(),
        subject: "Encounter/e1".into(),
        purpose: Purpose::Payment,
        mode: "sync".into(),
        deadline: at(1000),
        patience: None,
        on_behalf: Vec::new(),
    };
    let mut push = Push::begin(at(0), &began).unwrap();
    events.iter().for_each(|event| push.apply(at(1), event));
    push
}

fn assembled() -> Event {
    let digest = Digest::of(b"content");
    Event::Assembled {
        push: PushId::new(1, &digest),
        number: 1,
        digest,
        payload: digest,
        disclosure: digest,
        resources: 2,
        withheld: vec![Withholding { rule: "psych".into(), resources: 3, elements: 1 }],
        findings: None,
        restrictions: None,
    }
}

fn contents() -> Vec<Content> {
    let content = |kind: &str, id: &str, source: &str| Content {
        kind: kind.into(),
        id: id.into(),
        source_id: Some(source.into()),
        digest: Some(Digest::of(id.as_bytes())),
    };
    vec![content("Patient", "d1", "p1"), content("Encounter", "d2", "e1")]
}

fn filings() -> Vec<Filing> {
    let filing = |kind: &str, id: &str, done, version| Filing {
        kind: kind.into(),
        id: id.into(),
        done,
        version: Some(version),
        last_modified: Some(at(5)),
        issues: Vec::new(),
        resource: None,
        in_words: false,
    };
    let issues = vec![Issue::new(Code::OlderThanFiled, "push 2 stands")];
    let encounter = filing("Encounter", "d2", Done::Unchanged, 4);
    vec![filing("Patient", "d1", Done::Created, 1), Filing { issues, ..encounter }]
}

fn acknowledge(push: &Push, answer: Option<&Bytes>) -> Acknowledgement {
    Acknowledgement::of(push, &contents(), answer, at(0), at(9))
}

#[test]
fn a_settled_push_tells_of_every_resource() {
    let push = push(&[assembled(), Event::Settled { level: Level::Filed }]);
    let root = LedgerRoot { root: Digest::of(b"r"), sequence: 12, key: "k".into() };
    let body = exchange::answer::answer(Form::Transaction, &filings(), Some(&root));
    let told = acknowledge(&push, Some(&body));
    let rows: Vec<_> = told
        .resources
        .iter()
        .map(|it| {
            (it.source.as_deref().unwrap(), it.status.unwrap(), it.version.as_deref().unwrap())
        })
        .collect();
    assert_eq!(rows, [("Patient/p1", 201, "1"), ("Encounter/e1", 200, "4")]);
    assert_eq!(told.resources[1].notes, [Code::OlderThanFiled]);
    assert_eq!((told.level, told.payer_ledger.as_ref()), (Some(Level::Filed), Some(&root)));
    let lines = told.lines();
    assert!(lines[0].ends_with("to plan: settled: filed by the payer"), "{lines:?}");
    assert_eq!(lines[1], "2 entries: 1 created, 1 updated or unchanged, 0 taken back");
    assert_eq!(lines[2], "withheld by rule psych: 3 resources, 1 elements");
    assert_eq!(serde_json::from_slice::<Acknowledgement>(&told.to_json()).unwrap(), told);
}

/// What is larger than a door takes at once goes in bulk, and its originator is told of every record too.
#[test]
fn a_push_of_more_entries_than_a_bundle_takes_is_told_of_as_any_other() {
    let many = ENTRIES_MAX + 1;
    let content = |n: usize| Content {
        kind: "Observation".into(),
        id: format!("o{n}"),
        source_id: None,
        digest: None,
    };
    let contents: Vec<Content> = (0..many).map(content).collect();
    let (_, answer) = Outcomes::default().settle(1, "system|push", &contents);
    let push = push(&[assembled(), Event::Settled { level: Level::Filed }]);
    let told = Acknowledgement::of(&push, &contents, Some(&answer), at(0), at(9));
    let gone = told.resources.iter().filter(|it| it.status == Some(204)).count();
    assert_eq!((told.resources.len(), gone), (many, many));
    // An answer to another payload is none to this one.
    let told = Acknowledgement::of(&push, &contents[1..], Some(&answer), at(0), at(9));
    assert!(told.resources.iter().all(|it| it.status.is_none()));
}

#[test]
fn a_line_and_a_row_without_anybody_behind_the_payer_are_as_they_always_were() {
    let row = serde_json::to_string(&push(&[])).unwrap();
    let told = String::from_utf8(acknowledge(&push(&[]), None).to_json()).unwrap();
    for text in [row, told] {
        assert!(!text.contains("behalf"), "{text}");
    }
    let old = r#"{"event":"began","walk":"w1","trigger":"t1","patient":"p1","payer":"plan","kind":"encounter","subject":"Encounter/e1","purpose":"HPAYMT","withdraws":null,"mode":"sync","deadline":"2027-01-15T08:16:40Z"}"#;
    let began: Event = serde_json::from_str(old).unwrap();
    assert_eq!(serde_json::to_string(&began).unwrap(), old, "and hash the same");
}

#[test]
fn whatever_waits_or_ended_otherwise_says_what_to_do() {
    let issue = || Issue::new(Code::MemberUnknown, "the payer answered 422");
    let unchanged = Event::Unchanged { push: "1-x".into() };
    let table: Vec<(&str, Vec<Event>, &str, &str)> = vec![
        ("held", vec![assembled(), Event::Held { issues: vec![issue()] }], "held", "held"),
        (
            "refused",
            vec![assembled(), Event::Refused { issues: vec![issue()] }],
            "refused",
            "refused",
        ),
        ("unchanged", vec![unchanged], "unchanged", "unchanged since push 1-x"),
    ];
    for (case, events, state, headline) in table {
        let told = acknowledge(&push(&events), None);
        assert_eq!(told.state, state, "{case}");
        let lines = told.lines();
        assert!(lines[0].contains(headline), "{case}: {lines:?}");
        assert!(
            told.resources.iter().all(|it| it.status.is_none()),
            "{case}: nothing was answered"
        );
        if !told.issues.is_empty() {
            let next = Code::MemberUnknown.row().next;
            assert_eq!(told.issues[0].next, next, "{case}");
            assert!(lines.iter().any(|line| line.contains(next)), "{case}: {lines:?}");
        }
    }
}

#[test]
fn an_answer_that_does_not_fit_is_not_read_into_the_resources() {
    let push = push(&[assembled(), Event::Held { issues: vec![] }]);
    let table = [
        ("an entry too few", exchange::answer::answer(Form::Transaction, &filings()[..1], None)),
        ("no Bundle", Bytes::from_static(b"<p>")),
        ("another Bundle", Bytes::from_static(br#"{"resourceType":"Bundle","type":"searchset"}"#)),
    ];
    for (case, body) in table {
        let told = acknowledge(&push, Some(&body));
        assert!(told.resources.iter().all(|it| it.status.is_none()), "{case}");
    }
}

#[test]
fn places_of_other_servers_are_read_with_or_without_their_base() {
    let push = push(&[assembled(), Event::Settled { level: Level::Filed }]);
    let table = [
        ("Patient/9/_history/2", Some("Patient/9"), Some("2")),
        ("https://plan.example/fhir/Patient/9/_history/2", Some("Patient/9"), Some("2")),
        ("/fhir/Patient/9", Some("Patient/9"), None),
        ("https://plan.example/?name=x", None, None),
        ("x", None, None),
    ];
    for (location, record, version) in table {
        let entry = |location: &str| {
            format!(r#"{{"response":{{"status":"201","location":"{location}"}}}}"#)
        };
        let body = format!(
            r#"{{"resourceType":"Bundle","type":"transaction-response","entry":[{},{}]}}"#,
            entry(location),
            entry("Encounter/d2/_history/1")
        );
        let told = acknowledge(&push, Some(&body.into()));
        let found = &told.resources[0];
        assert_eq!((found.location.as_deref(), found.version.as_deref()), (record, version));
    }
}

#[test]
fn what_was_found_before_sending_is_repeated_with_who_can_mend_it() {
    let finding: Finding = serde_json::from_value(serde_json::json!({
        "word": "result-unit-missing", "actor": "laboratory", "step": "give the unit",
        "cut_by": null, "purposes": ["HPAYMT"], "count": 5,
        "places": [{ "record": "Observation/o1", "expression": "Observation.valueQuantity.code" }],
    }))
    .unwrap();
    let settled = push(&[assembled(), Event::Settled { level: Level::Filed }]);
    let told = acknowledge(&settled, None).with_findings(vec![finding]);
    let lines = told.lines().join("\n");
    let words = "not usable: result-unit-missing, 5 times: a result's number has no unit\n  \
                 the laboratory: give the unit\n  \
                 Observation/o1 at Observation.valueQuantity.code, 4 more";
    assert!(lines.contains(words), "{lines}");
    assert_eq!(serde_json::from_slice::<Acknowledgement>(&told.to_json()).unwrap(), told);
    let before = acknowledge(&settled, None).to_json();
    assert!(!String::from_utf8(before).unwrap().contains("findings"), "old ones read the same");
}
