//! Goal: each push gets what was said of its own resources, and nothing that was said of another's.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::bulk::Dialect;
use crate::bulk::outcome::{counted, refused};
use crate::id::Digest;

const KEY: &str = "https://clinic.example/push|3-ab";

fn contents(kinds: &[(&str, &str)]) -> Vec<Content> {
    let content = |(kind, id): &(&str, &str)| Content {
        kind: (*kind).to_owned(),
        id: (*id).to_owned(),
        source_id: None,
        digest: (*kind != "Device").then(|| Digest::of(id.as_bytes())),
    };
    kinds.iter().map(content).collect()
}

fn of(lines: &[Vec<u8>]) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for line in lines {
        outcomes.take(&Resource::parse(line.clone()).unwrap(), Some(1), 10).unwrap();
    }
    outcomes
}

fn says(code: Code, whom: &[Whom]) -> Vec<u8> {
    refused(Dialect::Ballot, whom, [&Issue::new(code, "no")])
}

fn resource(reference: &str) -> Whom {
    Whom::Resource(reference.to_owned())
}

fn push(key: &str) -> Whom {
    Whom::Push(key.to_owned())
}

#[test]
fn what_is_said_of_a_manifest_is_about_its_own_pushes() {
    let own = contents(&[("Patient", "p"), ("Observation", "o")]);
    let line = Resource::parse(says(Code::FileUnreachable, &[])).unwrap();
    // Which manifest a line is about, and whether a push of the first waits for it.
    for (about, waits) in [(Some(1), true), (Some(2), false), (None, true)] {
        let mut outcomes = Outcomes::default();
        outcomes.take(&line, about, 10).unwrap();
        let held = matches!(outcomes.settle(1, KEY, &own).0, Next::Hold(_));
        assert_eq!(held, waits, "{about:?}");
        let json = serde_json::to_vec(&outcomes).unwrap();
        assert_eq!(serde_json::from_slice::<Outcomes>(&json).unwrap(), outcomes);
    }
}

#[test]
fn a_push_is_settled_by_what_is_said_of_its_own_resources() {
    let own = contents(&[("Patient", "p"), ("Observation", "o"), ("Provenance", "v")]);
    let unknown = Code::MemberUnknown;
    let counts = Counts { read: 3, filed: 3, ..Counts::default() };
    let foreign = br#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"processing","details":{"text":"Ada Example is unknown"}}]}"#;
    type Row<'t> = (&'t str, Vec<Vec<u8>>, &'t str, Option<Code>);
    let table: Vec<Row<'_>> = vec![
        ("nothing is said", vec![], "settled", None),
        ("counts only", vec![counted(Dialect::Ballot, &[push(KEY)], &counts)], "settled", None),
        ("one refused", vec![says(unknown, &[resource("Observation/o")])], "held", Some(unknown)),
        (
            "absolute, with a version",
            vec![says(unknown, &[resource("https://c.example/fhir/Observation/o/_history/1")])],
            "held",
            Some(unknown),
        ),
        ("its Patient", vec![says(unknown, &[resource("Patient/p")])], "refused", Some(unknown)),
        (
            "all of it",
            vec![says(
                unknown,
                &[resource("Observation/o"), resource("Provenance/v"), resource("Patient/p")],
            )],
            "refused",
            Some(unknown),
        ),
        ("another's resource", vec![says(unknown, &[resource("Observation/x")])], "settled", None),
        ("the push itself", vec![says(unknown, &[push(KEY)])], "held", Some(unknown)),
        (
            "another push",
            vec![says(unknown, &[push("https://clinic.example/push|4-cd")])],
            "settled",
            None,
        ),
        ("the manifest", vec![says(unknown, &[])], "held", Some(unknown)),
        ("what names nothing", vec![says(unknown, &[resource("urn:x")])], "held", Some(unknown)),
        (
            "kept for a person",
            vec![says(Code::MemberHeld, &[resource("Patient/p")])],
            "held",
            Some(Code::MemberHeld),
        ),
        (
            "no member, and kept for a person",
            vec![refused(
                Dialect::Ballot,
                &[resource("Patient/p")],
                [&Issue::new(unknown, "x"), &Issue::new(Code::MemberHeld, "y")],
            )],
            "held",
            Some(Code::MemberHeld),
        ),
        ("a stranger's words", vec![foreign.to_vec()], "held", Some(Code::PayerRefused)),
    ];
    for (case, lines, state, code) in table {
        let outcomes = of(&lines);
        let kept = serde_json::from_slice(&serde_json::to_vec(&outcomes).unwrap()).unwrap();
        assert_eq!(outcomes, kept, "{case}");
        let (next, answer) = outcomes.settle(1, KEY, &own);
        let (found, issues) = match &next {
            Next::Settled(Level::Filed) => ("settled", &[][..]),
            Next::Hold(issues) => ("held", &issues[..]),
            Next::Refused(issues) => ("refused", &issues[..]),
            other => panic!("{case}: {other:?}"),
        };
        assert_eq!((found, issues.first().map(|issue| issue.code)), (state, code), "{case}");
        let words = format!("{issues:?}{}", String::from_utf8_lossy(&answer));
        assert!(!words.contains("Ada"), "{case}: the payer's sentences may name a patient");
        let answer = fhir::Bundle::parse(answer).unwrap();
        assert_eq!(answer.entries.len(), own.len(), "{case}: each entry is answered");
    }
}

#[test]
fn what_is_said_stands_at_its_place_in_the_push() {
    let own = contents(&[("Patient", "p"), ("Observation", "o"), ("Device", "gone")]);
    let outcomes = of(&[says(Code::IdentityMismatch, &[resource("Observation/o")])]);
    let (next, answer) = outcomes.settle(1, KEY, &own);
    let Next::Hold(issues) = next else { panic!("{next:?}") };
    assert_eq!(issues[0].expression.as_deref(), Some("Bundle.entry[1]"));
    let answer = fhir::Bundle::parse(answer).unwrap();
    let statuses: Vec<_> =
        answer.entries.iter().map(|it| it.response.as_ref().unwrap().status_code()).collect();
    assert_eq!(statuses, [Some(200), Some(403), Some(204)]);
}

#[test]
fn what_names_a_push_or_its_contents_is_told_from_what_is_about_all() {
    let own = contents(&[("Patient", "p"), ("Observation", "o")]);
    let issue = Issue::new(Code::FileRefused, "no");
    let table = [
        ("all", vec![], false),
        ("a record of it", vec![resource("Observation/o")], true),
        ("a record of another", vec![resource("Observation/other")], false),
        ("itself", vec![push(KEY)], true),
    ];
    for (case, whom, named) in table {
        let outcomes = of(&[refused(Dialect::Ballot, &whom, [&issue])]);
        assert_eq!(outcomes.names(KEY, &own), named, "{case}");
    }
}

#[test]
fn what_is_no_outcome_is_told() {
    let patient = Resource::parse(&br#"{"resourceType":"Patient"}"#[..]).unwrap();
    let issue = Outcomes::default().take(&patient, None, 10).unwrap_err();
    assert_eq!(issue.code, Code::AnswerUnreadable);
}

/// Refuses so many observations, each in words of its own or all in the same.
fn refusals(count: usize, own_words: bool) -> impl Iterator<Item = Resource> {
    (0..count).map(move |at| {
        let place = format!("Bundle.entry[{}]", if own_words { at } else { 0 });
        let issue = Issue::new(Code::MemberUnknown, "no").at(place);
        let line = refused(Dialect::Ballot, &[resource(&format!("Observation/o{at}"))], [&issue]);
        Resource::parse(line).unwrap()
    })
}

#[test]
fn however_many_are_refused_each_push_gets_its_own_word() {
    let taken = |count: usize, own_words: bool| {
        let mut outcomes = Outcomes::default();
        refusals(count, own_words).for_each(|line| outcomes.take(&line, Some(1), count).unwrap());
        outcomes
    };
    let (many, some) = (crate::limits::OUTCOME_RESOURCES_MAX + 1, OUTCOME_WORDS_MAX + 2);
    let (alike, each) = (taken(many, false), taken(some, true));
    assert_eq!(alike.said.len(), 1, "the same words are kept once");
    assert_eq!(each.said.len(), OUTCOME_WORDS_MAX + 1, "beyond so many words only the reason is");
    let filed = contents(&[("Observation", "other")]);
    for (outcomes, count) in [(alike, many), (each, some)] {
        let last = format!("o{}", count - 1);
        let Next::Refused(issues) = outcomes.settle(1, KEY, &contents(&[("Observation", &last)])).0
        else {
            panic!("all of it is refused")
        };
        assert_eq!(issues[0].code, Code::MemberUnknown);
        assert_eq!(outcomes.settle(1, KEY, &filed).0, Next::Settled(Level::Filed));
    }
}

#[test]
fn more_names_than_were_sent_are_no_answer() {
    let mut outcomes = Outcomes::default();
    let told: Vec<bool> =
        refusals(4, false).map(|line| outcomes.take(&line, Some(1), 3).is_ok()).collect();
    assert_eq!(told, [true, true, true, false]);
    let mut outcomes = Outcomes::default();
    for line in refusals(1, false).chain(refusals(1, false)) {
        outcomes.take(&line, Some(1), 1).unwrap();
    }
    assert_eq!(outcomes.said.last().map(Vec::len), Some(2), "what is said twice adds up");
}

#[test]
fn counts_of_more_pushes_than_were_sent_are_no_answer() {
    let counts = |key: &str| {
        Resource::parse(counted(Dialect::Ballot, &[push(key)], &Counts::default())).unwrap()
    };
    let mut outcomes = Outcomes::default();
    let told: Vec<bool> = (0..4)
        .map(|number| outcomes.take(&counts(&format!("urn:x|{number}")), Some(1), 3).is_ok())
        .collect();
    assert_eq!(told, [true, true, true, false]);
    let long = format!("urn:x|{}", "k".repeat(PUSH_KEY_BYTES_MAX));
    let mut outcomes = Outcomes::default();
    outcomes.take(&counts(&long), Some(1), 3).unwrap();
    let issue = Issue::new(Code::PayerRefused, "no");
    let line = Resource::parse(refused(Dialect::Ballot, &[push(&long)], [&issue])).unwrap();
    outcomes.take(&line, Some(1), 3).unwrap();
    assert_eq!((outcomes.counts.len(), outcomes.pushes.len()), (0, 0), "no key of ours is so long");
    assert_eq!(outcomes.manifests[&1].len(), 1, "so it is about all");
}
