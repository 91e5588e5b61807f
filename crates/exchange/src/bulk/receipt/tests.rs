//! Goal: a receipt is what its lines add up to, whatever order the clock and people write them in.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::Code;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn receipt() -> Receipt {
    let began = Step::Began { submission: "s".into(), receipt: 1, request: digest("request") };
    let manifest = ManifestRef {
        url: "https://clinic.example/m".to_owned(),
        base_url: "https://clinic.example/fhir".to_owned(),
        headers: Vec::new(),
        oauth_metadata: Vec::new(),
    };
    Receipt::begin("s.1".into(), at(0), &began.into(), "clinic".into(), &manifest).unwrap()
}

fn issue() -> Issue {
    Issue::new(Code::FileUnreachable, "it does not answer")
}

fn listed() -> Step {
    Step::Listed { list: digest("list"), files: 2, pages: 1 }
}

/// So many lines of a step, of which one was refused and one waits.
fn worked(step: u32, line: u64) -> Step {
    let counts = Counts { read: 3, filed: 1, refused: 1, ..Counts::default() };
    Step::Worked(Box::new(Worked {
        place: Place { line, offset: line * 10, resources: line, ..Place::at(step) },
        counts,
        account: None,
        told: Some(digest("told")),
        severities: BTreeMap::from([("error".to_owned(), 1)]),
        staged: Some(digest("staged")),
        waiting: 1,
        open: None,
        dropped: 0,
    }))
}

fn after(steps: Vec<Step>) -> Receipt {
    let mut receipt = receipt();
    for (second, step) in (1..).zip(steps) {
        drop(receipt.apply(at(second), &step.into()));
    }
    receipt
}

#[test]
fn every_line_leads_to_a_state_with_or_without_a_time() {
    let due = |second| Some(at(second));
    let delayed = || Step::Delayed { until: at(90), issue: issue() };
    let suspended = || Step::Suspended { issue: issue() };
    let failed = || Step::Failed { issue: issue(), told: digest("told") };
    let table = [
        ("begun", vec![], "receipt-due", due(0)),
        ("listed", vec![listed()], "receipt-due", due(1)),
        ("put off", vec![listed(), delayed()], "receipt-due", due(90)),
        ("set aside", vec![listed(), suspended()], "receipt-suspended", None),
        ("gone on with", vec![suspended(), Step::Resumed {}], "receipt-due", due(2)),
        ("fetched", vec![Step::Fetched { waits: false }], "receipt-ended", None),
        ("lines wait", vec![Step::Fetched { waits: true }], "receipt-waiting", None),
        ("over", vec![Step::Fetched { waits: true }, Step::Ended {}], "receipt-ended", None),
        ("failed", vec![failed()], "receipt-failed", None),
        (
            "discarded while set aside",
            vec![suspended(), Step::Discarded {}],
            "receipt-discarded",
            None,
        ),
    ];
    for (case, steps, word, due) in table {
        let events: Vec<Event> = steps.iter().cloned().map(Event::from).collect();
        let receipt = after(steps);
        assert_eq!((receipt.state_word(), receipt.due()), (word, due), "{case}");
        let began = Step::Began { submission: "s".into(), receipt: 1, request: digest("request") };
        let chain: Vec<Event> = std::iter::once(began.into()).chain(events).collect();
        let lines = chain.iter().map(|event| (at(0), event));
        assert_eq!(Receipt::word_of(lines), Some(word), "{case}: as its lines say");
    }
}

#[test]
fn failures_count_until_something_comes() {
    let delayed = || Step::Delayed { until: at(90), issue: issue() };
    let receipt = after(vec![listed(), delayed(), delayed()]);
    assert_eq!((receipt.failures, receipt.issue.is_some()), (2, true));
    let receipt = after(vec![listed(), delayed(), worked(0, 3)]);
    assert_eq!((receipt.failures, receipt.issue), (0, None));
}

#[test]
fn what_came_of_another_edition_goes_back_and_what_came_before_stays() {
    let restarted = || Step::Restarted { issue: issue() };
    let first = after(vec![listed(), worked(1, 0)]);
    let table = [
        ("one batch of it", vec![listed(), worked(1, 0), worked(1, 3), restarted()], 1),
        ("two", vec![listed(), worked(1, 0), worked(1, 3), worked(1, 6), restarted()], 1),
        ("nothing of it", vec![listed(), worked(1, 0), restarted()], 1),
        (
            "again",
            vec![listed(), worked(1, 0), worked(1, 3), restarted(), worked(1, 3), restarted()],
            2,
        ),
    ];
    for (case, steps, restarts) in table {
        let receipt = after(steps);
        assert_eq!(receipt.restarts, restarts, "{case}");
        let back = Receipt { restarts: 0, issue: None, ..receipt };
        assert_eq!(back, first, "{case}");
    }
    // Behind the file there is nothing to go back to.
    let behind = after(vec![listed(), worked(1, 0), worked(1, 3), worked(2, 0)]);
    assert_eq!((behind.before, behind.restarts, behind.counts.read), (None, 0, 9));
}

#[test]
fn another_look_takes_all_that_waits_and_ends_the_step() {
    let fetched = vec![listed(), worked(0, 3), worked(1, 0), Step::Again {}];
    let receipt = after(fetched.clone());
    assert!(receipt.staged.is_empty() && receipt.waiting == 0);
    assert_eq!(receipt.again.as_ref().unwrap().last.len(), 2);
    assert_eq!(receipt.place, Place::at(1));
    let looked = after([fetched, vec![worked(1, 1), Step::Looked {}]].concat());
    assert_eq!((looked.again, looked.place), (None, Place::at(2)));
    assert_eq!((looked.waiting, looked.staged.last.len()), (1, 1), "what still waits");
}

#[test]
fn a_roll_is_bounded_by_its_pages() {
    let mut roll = Roll::default();
    let mut pages = Vec::new();
    let all: Vec<Digest> = (0..2 * PAGE + 3).map(|number| digest(&number.to_string())).collect();
    all.iter().for_each(|one| pages.extend(roll.push(*one)));
    assert_eq!((roll.pages.len(), roll.last.len(), pages.len()), (2, 3, 2));
    let of_pages = pages.iter().flat_map(|(_, text)| Roll::page(text).unwrap());
    assert_eq!(of_pages.chain(roll.last).collect::<Vec<_>>(), all, "none is lost, in their order");
    assert_eq!(Roll::page(b"no digest"), None);
}

/// A block over two batches, behind a batch of which a line waits.
#[test]
fn what_waits_for_its_blocks_word_is_dropped_with_it_and_nothing_else_is() {
    let with = |line: u64, staged: &str, held: u64, dropped: u64| {
        let Step::Worked(worked) = worked(0, line) else { unreachable!() };
        let open = Some(Open { held, ..Open::default() });
        let (staged, waiting) = (Some(digest(staged)), u64::from(dropped == 0));
        let staged = staged.filter(|_| dropped == 0);
        Step::Worked(Box::new(Worked { open, staged, waiting, dropped, ..*worked }))
    };
    let before = || with(3, "another block", 0, 0);
    let held = || with(6, "first", 1, 0);
    let more = || with(9, "second", 2, 0);
    let both = [digest("another block"), digest("first"), digest("second")];
    let table = [
        ("held", vec![before(), held(), more()], &both[..], 3),
        ("refused", vec![before(), held(), more(), with(12, "", 0, 2)], &both[..1], 1),
        ("said", vec![before(), held(), more(), with(12, "x", 0, 0)], &both[..], 4),
        (
            "refused, behind one that said",
            vec![before(), held(), with(9, "x", 0, 0), with(12, "y", 1, 0), with(15, "", 0, 1)],
            &both[..2],
            3,
        ),
    ];
    for (case, steps, expected, waiting) in table {
        let receipt = after([vec![listed()], steps].concat());
        assert_eq!(receipt.staged.last[..expected.len()], *expected, "{case}");
        let counted = receipt.staged.last.len() as u64;
        assert_eq!((counted, receipt.waiting), (waiting, waiting), "{case}");
    }
    // Another edition of the file: all of it is read anew.
    let issue = Issue::new(crate::Code::FileInvalid, "");
    let receipt = after(vec![listed(), held(), more(), Step::Restarted { issue }]);
    assert_eq!((receipt.staged, receipt.waiting, receipt.held), (Roll::default(), 0, None));
}
