//! Goal: a submission is what its lines add up to, and the payer is told each thing once, in order.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::issue::Code;
use crate::ledger::Who;
use crate::sending::outcomes::BackOf;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn opened() -> Event {
    Event::SendingOpened {
        submission: "s1".into(),
        payer: "plan".into(),
        purpose: Purpose::Payment,
        endpoint: "https://plan.example/fhir".to_owned(),
        until: at(5),
        deadline: at(9_999),
        pull: None,
    }
}

fn made(manifest: u32, replaces: Option<u32>) -> Event {
    let plan = Digest::of(b"plan");
    Event::ManifestMade { manifest, plan, replaces, pushes: 2, resources: 9, files: 1, bytes: 99 }
}

fn told(message: Message) -> Event {
    Event::SendingTold { message }
}

fn closed() -> Event {
    Event::SendingClosed { who: None, missing: 0 }
}

fn intended() -> Event {
    Event::Intended { attempt: 1, endpoint: "e".to_owned(), key: "k".to_owned(), part: None }
}

fn ended(end: End) -> Event {
    Event::SendingEnded { end, until: at(500), issues: Vec::new() }
}

#[test]
fn a_chain_adds_up_to_one_state() {
    use Message::{Completed, Manifest, Stopped};
    let who = Who { name: "desk".into(), role: "staff".into(), why: "a wrong roster".into() };
    let polling = Event::Polling { place: "p".to_owned(), until: at(60) };
    let answered = Event::SendingAnswered { outcomes: Digest::of(b"o"), back: BackOf::default() };
    let whole = [closed(), made(1, None), intended(), told(Manifest(1)), told(Completed)];
    let done = [&whole[..], &[polling.clone(), answered.clone()]].concat();
    let with = |more: &[Event]| [&whole[..], more].concat();
    type Row<'t> = (&'t str, Vec<Event>, &'t str, Step, Option<Message>);
    let table: &[Row<'_>] = &[
        ("opened", vec![], "sending-open", Step::Gather, None),
        (
            "made while it gathers",
            vec![made(1, None)],
            "sending-open",
            Step::Tell,
            Some(Manifest(1)),
        ),
        (
            "offered while it gathers",
            vec![made(1, None), intended(), told(Manifest(1))],
            "sending-open",
            Step::Gather,
            None,
        ),
        (
            "made anew when it was told",
            vec![made(1, None), intended(), told(Manifest(1)), made(2, Some(1))],
            "sending-open",
            Step::Tell,
            Some(Manifest(2)),
        ),
        ("closed", vec![closed()], "sending-offered", Step::Make, Some(Completed)),
        ("made", whole[..2].to_vec(), "sending-offered", Step::Tell, Some(Manifest(1))),
        ("intended", whole[..3].to_vec(), "sending-offered", Step::Tell, Some(Manifest(1))),
        ("offered", whole[..4].to_vec(), "sending-offered", Step::Make, Some(Completed)),
        ("completed", whole.to_vec(), "sending-completed", Step::Ask, None),
        ("polled", with(&[polling]), "sending-completed", Step::Poll, None),
        ("answered", done.clone(), "sending-completed", Step::Settle, None),
        (
            "settled",
            [&done[..], &[ended(End::Settled)]].concat(),
            "sending-settled",
            Step::Serve,
            None,
        ),
        (
            "over",
            [&done[..], &[ended(End::Settled), Event::FilesWithdrawn {}]].concat(),
            "sending-over",
            Step::Rest,
            None,
        ),
        ("to be fetched", with(&[Event::FilesAwaited {}]), "sending-completed", Step::Pull, None),
        ("empty", vec![closed(), ended(End::Empty)], "sending-empty", Step::Serve, Some(Completed)),
        (
            "to be stopped",
            with(&[Event::SendingStopAsked { who }]),
            "sending-offered",
            Step::Tell,
            Some(Stopped),
        ),
        (
            "made anew before it was told",
            vec![closed(), made(1, None), made(2, Some(1))],
            "sending-offered",
            Step::Tell,
            Some(Manifest(2)),
        ),
    ];
    for (case, events, state, step, message) in table {
        let first = opened();
        let rest = events.iter().enumerate().map(|(n, event)| (at(n as i64 + 1), event));
        let lines = std::iter::once((at(0), &first)).chain(rest);
        let sending = Sending::replay(lines).unwrap();
        let found = (sending.state_word(), sending.step, sending.message());
        assert_eq!(found, (*state, *step, *message), "{case}");
        assert_eq!(sending.due().is_none(), *step == Step::Rest, "{case}");
        let json = serde_json::to_vec(&sending).unwrap();
        assert_eq!(serde_json::from_slice::<Sending>(&json).unwrap(), sending, "{case}");
    }
}

#[test]
fn what_fails_for_a_while_is_tried_again_and_counted() {
    let mut sending = Sending::begin(at(0), &opened()).unwrap();
    for event in [closed(), made(1, None), intended()] {
        sending.apply(at(1), &event);
    }
    let issue = Issue::new(Code::PayerUnreachable, "no answer");
    sending.apply(at(2), &Event::Delayed { until: at(30), issue: issue.clone() });
    let found = (sending.step, sending.at, sending.attempt, sending.issues.clone());
    assert_eq!(found, (Step::Tell, at(30), 1, vec![issue]));
    sending.apply(at(31), &told(Message::Manifest(1)));
    assert_eq!((sending.attempt, sending.issues.len()), (0, 0));
    assert!(sending.manifests[0].told && !sending.completed);
}

#[test]
fn a_chain_that_begins_with_anything_else_is_no_submission() {
    assert_eq!(Sending::begin(at(0), &closed()), None);
    assert_eq!(Sending::replay([]), None);
}

/// A manifest may give way before the payer hears of it: what it knows is replaced all the same.
#[test]
fn a_manifest_takes_the_place_of_the_nearest_one_that_the_payer_knows() {
    use Message::Manifest;
    let one = || [made(1, None), told(Manifest(1))];
    let table = [
        ("of none", vec![made(1, None)], None),
        ("of what was never told", vec![made(1, None), made(2, Some(1))], None),
        ("of what was told", [&one()[..], &[made(2, Some(1))]].concat(), Some(1)),
        (
            "of what was told before that",
            [&one()[..], &[made(2, Some(1)), made(3, Some(2))]].concat(),
            Some(1),
        ),
        (
            "of the newer one",
            [&one()[..], &[made(2, Some(1)), told(Manifest(2)), made(3, Some(2))]].concat(),
            Some(2),
        ),
        ("beside another one", [&one()[..], &[made(2, None)]].concat(), None),
    ];
    for (case, events, expected) in table {
        let first = opened();
        let lines = std::iter::once(&first).chain(&events).map(|event| (at(0), event));
        let sending = Sending::replay(lines).unwrap();
        let last = sending.manifests.len() as u32;
        let found = sending.replaced_by(last).map(|it| it.number);
        assert_eq!(found, expected, "{case}");
    }
}

/// Where no other word of the payer is agreed on: when a submission is done.
#[test]
fn what_is_fetched_to_its_end_is_given_whatever_manifest_brought_it() {
    use Message::{Completed, Manifest};
    let given = |file: &str| Event::FileGiven { file: file.to_owned() };
    let issue = || Issue::new(Code::StatusUnknown, "taken back");
    let refused = |file: &str| Event::FileRefused { file: file.to_owned(), issue: issue() };
    let again = |file: &str| Event::FileFetched { file: file.to_owned(), from: 0, again: true };
    let awaited = || Event::FilesAwaited {};
    let begun = [made(1, None), intended(), told(Manifest(1))];
    let two = [made(2, None), intended(), told(Manifest(2))];
    let anew = [made(2, Some(1)), intended(), told(Manifest(2))];
    let with = |more: &[Event]| [&begun[..], more].concat();
    let end = || [closed(), told(Completed), awaited()];
    let table = [
        ("nothing", with(&end()), false),
        ("behind the end", [with(&end()), vec![given("1-a")]].concat(), true),
        ("before the end", [with(&[given("1-a")]), end().to_vec()].concat(), true),
        ("twice the same", [with(&two), vec![given("1-a"); 2], end().to_vec()].concat(), false),
        (
            "twice, by another name",
            [with(&two), vec![given("1-a"), given("02-a")], end().to_vec()].concat(),
            false,
        ),
        ("of each", [with(&two), vec![given("1-a"), given("2-a")], end().to_vec()].concat(), true),
        (
            "of one, and refused the other",
            [with(&two), vec![given("1-a"), refused("2-a")], end().to_vec()].concat(),
            true,
        ),
        ("refused behind the end", [with(&end()), vec![refused("1-a")]].concat(), true),
        (
            "refused, and on its way after all",
            [with(&[refused("1-a"), again("1-a")]), end().to_vec()].concat(),
            false,
        ),
        ("of the old one", [with(&[given("1-a")]), anew.to_vec(), end().to_vec()].concat(), false),
        ("of the new one", [with(&anew), vec![given("2-a")], end().to_vec()].concat(), true),
    ];
    for (case, events, whole) in table {
        let first = opened();
        let rest = events.iter().enumerate().map(|(n, event)| (at(n as i64 + 1), event));
        let sending = Sending::replay(std::iter::once((at(0), &first)).chain(rest)).unwrap();
        assert_eq!((sending.is_given(), sending.step), (whole, Step::Pull), "{case}");
        let due = if whole { at(events.len() as i64) } else { sending.deadline };
        assert_eq!(sending.due(), Some(due), "{case}: it waits for the payer until its deadline");
    }
}
