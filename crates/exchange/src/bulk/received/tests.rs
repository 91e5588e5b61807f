//! Goal: a submission is what its lines add up to: when the clock has work on it, and what it still takes.

#![allow(clippy::unwrap_used)]

use super::*;
use SubmissionStatus::{Completed, InProgress, Stopped};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn submitter() -> Submitter {
    Submitter { system: Some("urn:plan".to_owned()), value: "7".to_owned() }
}

fn asked(status: SubmissionStatus, manifest: Option<&str>, replaces: Option<u32>) -> Step {
    Step::Asked {
        sender: "clinic".into(),
        submitter: submitter(),
        submission: "sub-1".to_owned(),
        dialect: Dialect::Ballot,
        status,
        request: digest(&format!("{status:?}{manifest:?}{replaces:?}")),
        manifest: manifest.map(digest),
        replaces,
        purposes: None,
    }
}

fn ended(receipt: u32) -> Step {
    Step::ReceiptEnded { receipt }
}

fn out(receipt: u32) -> Step {
    Step::ReceiptTakenOut { receipt, taken_back: 1, restored: 0, kept: 0 }
}

/// Its lines, one a second.
fn after(steps: Vec<Step>) -> Received {
    let events: Vec<Event> = steps.into_iter().map(Event::from).collect();
    let lines = (0..).zip(&events).map(|(second, event)| (at(second), event));
    Received::replay("s".into(), lines).unwrap()
}

#[test]
fn the_clock_has_work_when_nothing_is_left_to_wait_for() {
    let first = || asked(InProgress, Some("1"), None);
    let week = |second| at(second).checked_add(BULK_OPEN_KEPT).ok();
    type Case = (&'static str, Vec<Step>, &'static str, Option<Timestamp>, bool);
    let table: [Case; 11] = [
        ("being fetched", vec![first()], IN_PROGRESS, None, false),
        ("fetched, and open", vec![first(), ended(1)], IN_PROGRESS, week(1), false),
        (
            "open without a manifest",
            vec![asked(InProgress, None, None)],
            IN_PROGRESS,
            week(0),
            false,
        ),
        (
            "closed while it is fetched",
            vec![asked(Completed, Some("1"), None)],
            COMPLETED,
            None,
            true,
        ),
        (
            "closed and fetched",
            vec![asked(Completed, Some("1"), None), ended(1)],
            COMPLETED,
            Some(at(1)),
            true,
        ),
        ("stopped", vec![first(), asked(Stopped, None, None)], STOPPING, Some(at(1)), true),
        (
            "one is replaced",
            vec![first(), ended(1), asked(InProgress, Some("2"), Some(1))],
            IN_PROGRESS,
            Some(at(2)),
            false,
        ),
        (
            "and taken out",
            vec![first(), ended(1), asked(InProgress, Some("2"), Some(1)), out(1)],
            IN_PROGRESS,
            None,
            false,
        ),
        ("expired", vec![first(), ended(1), Step::Expired {}], EXPIRED, Some(at(2)), true),
        (
            "over a week",
            vec![first(), ended(1), Step::Expired {}, Step::Processed {}],
            PROCESSED,
            None,
            true,
        ),
        ("over", vec![asked(Completed, None, None), Step::Processed {}], PROCESSED, None, true),
    ];
    for (case, steps, word, due, closed) in table {
        let received = after(steps);
        let found = (received.state_word(), received.due(), received.is_closed());
        assert_eq!(found, (word, due, closed), "{case}");
        let known = OPEN.iter().chain(&ENDED).any(|known| *known == word);
        assert!(known, "{case}: lists ask for this word");
        assert_eq!(OPEN.contains(&word), received.processed.is_none(), "{case}");
    }
}

#[test]
fn a_request_changes_something_or_nothing() {
    let received =
        after(vec![asked(InProgress, Some("1"), None), asked(InProgress, Some("2"), Some(1))]);
    let table = [
        ("it says again that more will come", InProgress, None, true),
        ("it discards what is discarded", InProgress, Some(1), true),
        ("it discards another", InProgress, Some(2), false),
        ("it closes", Completed, None, false),
        ("it stops", Stopped, None, false),
    ];
    for (case, status, replaces, nothing) in table {
        assert_eq!(received.changes_nothing(status, replaces), nothing, "{case}");
    }
    assert!(!after(vec![asked(Completed, None, None)]).changes_nothing(Completed, None), "closed");
}

#[test]
fn a_manifest_is_known_by_the_receipt_that_stands() {
    let received = after(vec![
        asked(InProgress, Some("1"), None),
        asked(InProgress, Some("2"), Some(1)),
        asked(InProgress, Some("1"), Some(2)),
    ]);
    let table = [("1", Some(3)), ("2", Some(2)), ("3", None)];
    for (url, number) in table {
        assert_eq!(received.numbered(&digest(url)), number, "{url}");
    }
    assert_eq!(received.to_take_out().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(received.next_number(), 4);
    assert!(received.receipt(0).is_none() && received.receipt(4).is_none());
    assert!(received.knows(&digest(&format!("{InProgress:?}{:?}{:?}", Some("2"), Some(1)))));
    assert!(!received.knows(&digest("another")));
}

#[test]
fn an_id_is_of_one_sender_submitter_and_submission() {
    let plain = Submitter { system: None, value: "7".to_owned() };
    let table = [
        id_of(&"clinic".into(), &submitter(), "sub-1"),
        id_of(&"clinic".into(), &submitter(), "sub-2"),
        id_of(&"lab".into(), &submitter(), "sub-1"),
        id_of(&"clinic".into(), &plain, "sub-1"),
        id_of(
            &"clinic".into(),
            &Submitter { system: Some(String::new()), ..plain.clone() },
            "sub-1",
        ),
    ];
    let different: BTreeSet<&str> = table.iter().map(SubmissionId::as_str).collect();
    assert_eq!(different.len(), table.len());
    assert_eq!(table[0], id_of(&"clinic".into(), &submitter(), "sub-1"), "the same again");
    assert_eq!(receipt_id(&table[0], 2).as_str(), format!("{}.2", table[0]));
}

#[test]
fn what_does_not_begin_with_a_request_is_no_submission() {
    for step in [ended(1), Step::Processed {}, Step::Expired {}] {
        assert_eq!(Received::begin("s".into(), at(0), &step.into()), None);
    }
}
