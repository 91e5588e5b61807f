//! Goal: each answer a payer can give leads to exactly one next step for the push.
//!
//! How: one row per answer. The row names the case, so a failing row reads as a sentence.
//! No network and no sleeping: `settle` is a pure function of answer, attempt and time.

#![allow(clippy::unwrap_used, missing_docs)]

use exchange::limits::{ATTEMPTS_MAX, RETRY_FIRST, RETRY_MAX};
use exchange::settle::{Answered, Attempt, Next, Reply, settle, settle_file, settle_poll};
use exchange::{Code, Issue, Level, PushId};
use jiff::Timestamp;
use std::time::Duration;

const ENDPOINT: &str = "https://plan.example/fhir";
const PLACE: &str = "https://plan.example/status/1";

/// One word per step, so that a table can be read down.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Settled(Level),
    Poll(&'static str, u64),
    Fetch(&'static str, bool),
    RetryFirst(Code),
    RetryIn(u64, Code),
    Hold(Code),
    Refused(Code),
}
use Step::{Fetch, Hold, Poll, Refused, RetryFirst, RetryIn, Settled};

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn push() -> PushId {
    PushId::from("1-0123456789abcdef0123456789abcdef")
}

fn attempt(push: &PushId) -> Attempt<'_> {
    Attempt {
        push,
        attempt: 1,
        endpoint: ENDPOINT,
        deadline: now() + Duration::from_secs(72 * 3600),
        level: Level::Filed,
        entries: 2,
        signed_in_again: false,
    }
}

fn status(status: u16) -> Answered {
    reply(status, "")
}

fn reply(status: u16, body: &str) -> Answered {
    let body = body.as_bytes().to_vec().into();
    Answered::Reply(Reply { status, body, ..Reply::default() })
}

fn asking(status: u16, seconds: u64) -> Answered {
    let retry_after = Some(Duration::from_secs(seconds));
    Answered::Reply(Reply { status, retry_after, ..Reply::default() })
}

fn at(status: u16, place: &str, seconds: Option<u64>) -> Answered {
    let content_location = Some(place.to_owned());
    let retry_after = seconds.map(Duration::from_secs);
    Answered::Reply(Reply { status, retry_after, content_location, ..Reply::default() })
}

fn response(statuses: &[&str]) -> String {
    let entry = |status: &&str| format!(r#"{{"response":{{"status":"{status}"}}}}"#);
    let entries = statuses.iter().map(entry).collect::<Vec<_>>().join(",");
    format!(r#"{{"resourceType":"Bundle","type":"transaction-response","entry":[{entries}]}}"#)
}

fn outcome(issue: &str) -> String {
    format!(r#"{{"resourceType":"OperationOutcome","issue":[{issue}]}}"#)
}

fn ours(code: Code) -> String {
    let issue = Issue::new(code, "details of a case").at("Bundle.entry[1].resource.subject");
    String::from_utf8(Issue::outcome([&issue])).unwrap()
}

/// What a step is in one word; the back-off's spread counts as the first wait.
fn step(next: &Next) -> Step {
    let seconds = |at: &Timestamp| at.duration_since(now()).as_secs() as u64;
    match next {
        Next::Settled(level) => Settled(*level),
        Next::Poll { place, at } => Poll(place.clone().leak(), seconds(at)),
        Next::Fetch { place, refusal, .. } => Fetch(place.clone().leak(), *refusal),
        Next::Retry { at, issue } => {
            let wait = at.duration_since(now());
            let first = wait.as_millis() as u128;
            match wait.subsec_nanos() {
                0 if wait.as_secs() != 1 => RetryIn(wait.as_secs() as u64, issue.code),
                _ if first <= RETRY_FIRST.as_millis() => RetryFirst(issue.code),
                _ => RetryIn(wait.as_secs() as u64, issue.code),
            }
        }
        Next::Hold(issues) => Hold(issues[0].code),
        Next::Refused(issues) => Refused(issues[0].code),
    }
}

#[test]
fn every_answer_has_one_next_step() {
    use Code::*;
    let filed = response(&["201 Created", "200 OK"]);
    let table = [
        ("filed", reply(200, &filed), Settled(Level::Filed)),
        ("filed, said as created", reply(201, &filed), Settled(Level::Filed)),
        ("filed, with spaces around", reply(200, &format!(" {filed}\n")), Settled(Level::Filed)),
        ("yes, and nothing else", status(200), Hold(AnswerUnreadable)),
        ("no content", status(204), Hold(AnswerUnreadable)),
        ("yes, in a web page", reply(200, "<html>"), Hold(AnswerUnreadable)),
        ("yes, cut short", reply(200, &filed[..40]), Hold(AnswerUnreadable)),
        ("yes, with an outcome only", reply(200, &outcome("{}")), Hold(AnswerUnreadable)),
        ("an entry too few", reply(200, &response(&["201"])), Hold(AnswerUnreadable)),
        ("an entry too many", reply(200, &response(&["201"; 3])), Hold(AnswerUnreadable)),
        ("an entry refused", reply(200, &response(&["201", "422"])), Hold(PayerRefused)),
        ("an entry without status", reply(200, &response(&["201", "fine"])), Hold(PayerRefused)),
        (
            "the searchset of another request",
            reply(200, r#"{"resourceType":"Bundle","type":"searchset"}"#),
            Hold(AnswerUnreadable),
        ),
        ("taken, ask there", at(202, "/status/1", Some(30)), Poll(PLACE, 30)),
        ("taken, ask there some time", at(202, PLACE, None), Poll(PLACE, 5)),
        ("taken, ask now", at(202, PLACE, Some(0)), Poll(PLACE, 1)),
        ("taken, ask next year", at(202, PLACE, Some(31_536_000)), Poll(PLACE, 3600)),
        (
            "taken, ask somebody else",
            at(202, "https://evil.example/1", None),
            Hold(AnswerUnreadable),
        ),
        ("taken, no place to ask", status(202), Hold(AnswerUnreadable)),
        ("redirected", status(307), Hold(AnswerUnreadable)),
        ("malformed, resending cannot help", status(400), Hold(PayerRefused)),
        ("our token ran out", status(401), RetryIn(0, SignInRequired)),
        ("not allowed", status(403), Hold(PayerRefused)),
        ("no door there", status(404), Hold(CapabilityMissing)),
        ("no such method", status(405), Hold(CapabilityMissing)),
        ("another version", status(406), Hold(VersionMismatch)),
        ("too slow for it", status(408), RetryFirst(PayerUnreachable)),
        ("same key, other content", reply(409, &ours(KeyConflict)), Hold(KeyConflict)),
        ("the door moved away", status(410), Hold(CapabilityMissing)),
        ("a condition failed", status(412), Hold(PayerRefused)),
        ("too large for this door", status(413), Hold(PayloadTooLarge)),
        ("another media type", status(415), Hold(VersionMismatch)),
        ("no such member", reply(422, &ours(MemberUnknown)), Refused(MemberUnknown)),
        ("a rule of its own", status(422), Refused(PayerRefused)),
        ("the payer says how long", asking(429, 60), RetryIn(60, PayerUnreachable)),
        ("the payer says for ever", asking(503, 9_000_000), RetryIn(3600, PayerUnreachable)),
        ("the payer says at once", asking(503, 0), RetryFirst(PayerUnreachable)),
        ("the payer stumbles", status(500), RetryFirst(PayerUnreachable)),
        ("the payer cannot do that", status(501), Hold(CapabilityMissing)),
        ("the payer is down", status(503), RetryFirst(PayerUnreachable)),
        ("a gateway's time-out", status(504), RetryFirst(PayerUnreachable)),
        ("no answer at all", Answered::Unknown, RetryFirst(PayerUnreachable)),
        ("no connection", Answered::NotSent, RetryFirst(PayerUnreachable)),
        ("a certificate of another's", Answered::Untrusted, Hold(PayerUntrusted)),
        ("an endless answer", Answered::TooLarge, Hold(AnswerUnreadable)),
        (
            "sign-in refused",
            Answered::SignInRefused { said: "400 invalid_client".to_owned() },
            Hold(SignInRefused),
        ),
        (
            "sign-in overloaded",
            Answered::SignInUnreachable { retry_after: Some(Duration::from_secs(7)) },
            RetryIn(7, PayerUnreachable),
        ),
    ];
    let push = push();
    for (case, answer, wanted) in table {
        assert_eq!(step(&settle(&answer, &attempt(&push), now())), wanted, "{case}");
    }
}

#[test]
fn what_has_been_agreed_and_tried_changes_the_step() {
    use Code::*;
    let push = push();
    let base = attempt(&push);
    let taken = Attempt { level: Level::Taken, ..base };
    let again = Attempt { signed_in_again: true, attempt: 2, ..base };
    let tired = Attempt { attempt: ATTEMPTS_MAX, ..base };
    let late = Attempt { deadline: now(), ..base };
    let soon = Attempt { deadline: now() + Duration::from_secs(10), ..base };
    let filed = response(&["200", "200"]);
    let table = [
        ("taken is all that was promised", status(202), taken, Settled(Level::Taken)),
        ("taken, with nothing to read", status(200), taken, Settled(Level::Taken)),
        ("better than promised", reply(200, &filed), taken, Settled(Level::Filed)),
        ("a web page is no word of the payer", reply(200, "<p>"), taken, Hold(AnswerUnreadable)),
        ("a new token is refused as well", status(401), again, Hold(SignInRefused)),
        ("down for days: a person looks", status(503), tired, Hold(DeadlinePassed)),
        ("the deadline has passed", status(503), late, Hold(DeadlinePassed)),
        ("still working at the deadline", at(202, PLACE, None), late, Hold(DeadlinePassed)),
        ("filed at the deadline is filed", reply(200, &filed), late, Settled(Level::Filed)),
        (
            "the last attempt is made at the deadline",
            asking(503, 60),
            soon,
            RetryIn(10, PayerUnreachable),
        ),
        ("and the last question is asked there", at(202, PLACE, Some(60)), soon, Poll(PLACE, 10)),
    ];
    for (case, answer, attempt, wanted) in table {
        assert_eq!(step(&settle(&answer, &attempt, now())), wanted, "{case}");
    }
}

#[test]
fn a_poll_leads_to_the_file_with_the_answer() {
    use Code::*;
    let manifest = |files: &str| reply(200, &format!(r#"{{"requiresAccessToken":true,{files}}}"#));
    let url = "https://plan.example/files/1";
    let own = |refused: bool| {
        let body = exchange::answer::manifest(now(), ENDPOINT, url, refused, 1);
        Answered::Reply(Reply { status: 200, body, ..Reply::default() })
    };
    let table = [
        ("done, as Handover says it", own(false), Fetch(url, false)),
        ("refused, as Handover says it", own(true), Fetch(url, true)),
        ("still working", asking(202, 20), Poll(PLACE, 20)),
        (
            "done",
            manifest(&format!(r#""output":[{{"type":"Bundle","url":"{url}"}}],"error":[]"#)),
            Fetch(url, false),
        ),
        (
            "refused",
            manifest(&format!(
                r#""output":[],"error":[{{"type":"OperationOutcome","url":"{url}"}}]"#
            )),
            Fetch(url, true),
        ),
        (
            "refused, in the newer spelling",
            manifest(&format!(r#""outcome":[{{"url":"{url}"}}]"#)),
            Fetch(url, true),
        ),
        ("a place below the base", manifest(r#""output":[{"url":"/files/1"}]"#), Fetch(url, false)),
        (
            "a file of somebody else",
            manifest(r#""output":[{"url":"https://evil.example/1"}]"#),
            Hold(AnswerUnreadable),
        ),
        ("no file", manifest(r#""output":[],"error":[]"#), Hold(AnswerUnreadable)),
        ("mistyped files", manifest(r#""output":{"url":7},"error":[7]"#), Hold(AnswerUnreadable)),
        ("the answer itself", reply(200, &response(&["201", "200"])), Settled(Level::Filed)),
        ("a web page", reply(200, "<p>"), Hold(AnswerUnreadable)),
        ("forgotten", status(404), Hold(AnswerUnreadable)),
        ("gone", status(410), Hold(AnswerUnreadable)),
        ("our token ran out", status(401), RetryIn(0, SignInRequired)),
        ("asked too often", asking(429, 9), RetryIn(9, PayerUnreachable)),
        ("the payer stumbles", status(500), RetryFirst(PayerUnreachable)),
        (
            "the payer stumbles and says so",
            reply(500, &outcome(r#"{"severity":"error","code":"throttled"}"#)),
            RetryFirst(PayerUnreachable),
        ),
        (
            "the job failed for good",
            reply(500, &outcome(r#"{"severity":"fatal","code":"invalid"}"#)),
            Hold(PayerRefused),
        ),
        ("the job is refused", reply(400, &ours(EntryInvalid)), Hold(EntryInvalid)),
        ("no connection", Answered::NotSent, RetryFirst(PayerUnreachable)),
    ];
    let push = push();
    for (case, answer, wanted) in table {
        assert_eq!(step(&settle_poll(&answer, PLACE, &attempt(&push), now())), wanted, "{case}");
    }
}

#[test]
fn the_file_settles_it() {
    use Code::*;
    let filed = response(&["201 Created", "200 OK"]) + "\n";
    let two = format!("{}\n{}\n", ours(MemberUnknown), ours(MemberMismatch));
    let table = [
        ("filed", reply(200, &filed), false, Settled(Level::Filed)),
        ("refused", reply(200, &ours(MemberUnknown)), true, Refused(MemberUnknown)),
        ("refused, in two lines", reply(200, &two), true, Refused(MemberUnknown)),
        ("refused, unreadably", reply(200, "?"), true, Refused(PayerRefused)),
        ("not an answer", reply(200, "{}"), false, Hold(AnswerUnreadable)),
        ("gone", status(404), false, Hold(AnswerUnreadable)),
        ("down", status(503), false, RetryFirst(PayerUnreachable)),
        ("cut off", Answered::Unknown, true, RetryFirst(PayerUnreachable)),
    ];
    let push = push();
    for (case, answer, refusal, wanted) in table {
        assert_eq!(step(&settle_file(&answer, refusal, &attempt(&push), now())), wanted, "{case}");
    }
    let next = settle_file(&reply(200, &two), true, &attempt(&push), now());
    assert!(matches!(next, Next::Refused(issues) if issues.len() == 2), "both lines are read");
}

#[test]
fn a_payers_sentences_are_never_repeated_but_its_codes_and_places_are() {
    let secret = "Jane Doe 1970-01-01";
    let issue = |coding: &str, place: &str| {
        outcome(&format!(
            r#"{{"severity":"error","code":"value","details":{{"coding":[{coding}],"text":"{secret}"}},"diagnostics":"{secret}","expression":["{place}"]}}"#
        ))
    };
    let theirs =
        |code: &str| format!(r#"{{"system":"https://plan.example/codes","code":"{code}"}}"#);
    let handover = |code: &str| format!(r#"{{"system":"urn:handover:issue","code":"{code}"}}"#);
    let place = "Bundle.entry[1].resource.status";
    let long = "x".repeat(41);
    let table = [
        ("a code of theirs", theirs("E-17"), place, Code::PayerRefused, "E-17", Some(place)),
        (
            "a sentence as a code",
            theirs(secret),
            place,
            Code::PayerRefused,
            "type value",
            Some(place),
        ),
        ("a long code", theirs(&long), place, Code::PayerRefused, "type value", Some(place)),
        (
            "a code of ours",
            handover("member-mismatch"),
            place,
            Code::MemberMismatch,
            "422",
            Some(place),
        ),
        (
            "a fault of its own house",
            handover("ledger-broken"),
            place,
            Code::PayerRefused,
            "ledger-broken",
            Some(place),
        ),
        (
            "a code of ours by name only",
            theirs("member-mismatch"),
            place,
            Code::PayerRefused,
            "member-mismatch",
            Some(place),
        ),
        (
            "a place that quotes",
            theirs("E"),
            "Bundle.entry.where(family='Doe')",
            Code::PayerRefused,
            "E",
            None,
        ),
        ("a place in words", theirs("E"), secret, Code::PayerRefused, "E", None),
    ];
    let push = push();
    for (case, coding, place, code, says, at) in table {
        let Next::Refused(issues) =
            settle(&reply(422, &issue(&coding, place)), &attempt(&push), now())
        else {
            panic!("{case}: refused")
        };
        assert_eq!(issues[0].code, code, "{case}");
        assert!(issues[0].detail.contains(says), "{case}: {}", issues[0].detail);
        assert_eq!(issues[0].expression.as_deref(), at, "{case}");
        let shown = format!("{} {:?}", issues[0], issues[0]);
        assert!(!shown.contains("Doe") && !shown.contains("1970"), "{case}: {shown}");
    }
}

/// The negative space: nothing a payer can say keeps us knocking for ever, or too rarely.
#[test]
fn retries_are_bounded() {
    let push = push();
    let mut answers: Vec<_> = (0..=999).map(status).collect();
    answers.extend((0..=999).map(|code| asking(code, 86_400)));
    answers.extend((0..=999).map(|code| at(code, PLACE, Some(86_400))));
    answers.extend([Answered::NotSent, Answered::Unknown]);
    for answer in &answers {
        for number in [1, 2, 5, 31, 64, ATTEMPTS_MAX - 1, ATTEMPTS_MAX, u32::MAX] {
            let attempt = Attempt { attempt: number, ..attempt(&push) };
            let nexts = [
                settle(answer, &attempt, now()),
                settle_poll(answer, PLACE, &attempt, now()),
                settle_file(answer, false, &attempt, now()),
            ];
            for next in nexts {
                match next {
                    Next::Retry { at, .. } => {
                        assert!(number < ATTEMPTS_MAX, "{answer:?} retried at the last attempt");
                        assert!(
                            at <= now() + RETRY_MAX && at >= now(),
                            "{answer:?} waits until {at}"
                        );
                    }
                    Next::Poll { at, .. } => {
                        assert!(at > now() && at <= now() + RETRY_MAX, "{answer:?} asks at {at}");
                    }
                    Next::Hold(issues) | Next::Refused(issues) => {
                        assert!(!issues.is_empty(), "{answer:?} waits without a reason");
                    }
                    Next::Settled(_) | Next::Fetch { .. } => panic!("{answer:?} has no body"),
                }
            }
        }
    }
}

/// After the deadline nothing is sent any more, whatever the payer says.
#[test]
fn nothing_goes_on_by_itself_after_the_deadline() {
    let push = push();
    let late = Attempt { deadline: now() - Duration::from_secs(1), ..attempt(&push) };
    for code in 100..=999 {
        for answer in [status(code), at(code, PLACE, None), Answered::Unknown] {
            let next = settle(&answer, &late, now());
            assert!(!matches!(next, Next::Retry { .. } | Next::Poll { .. }), "{code}: {next:?}");
        }
    }
}

#[test]
fn waits_double_and_are_derived_not_drawn() {
    let (one, other) = (push(), PushId::from("2-0123456789abcdef0123456789abcdef"));
    let wait = |push: &PushId, number: u32| {
        let attempt = Attempt { attempt: number, ..attempt(push) };
        let Next::Retry { at, .. } = settle(&Answered::NotSent, &attempt, now()) else {
            panic!("a retry")
        };
        Duration::try_from(at.duration_since(now())).unwrap()
    };
    for number in 1..=20 {
        let whole = RETRY_FIRST.saturating_mul(1 << (number - 1)).min(RETRY_MAX);
        assert!(wait(&one, number) <= whole && wait(&one, number) >= whole / 2, "attempt {number}");
        assert_eq!(wait(&one, number), wait(&one, number));
    }
    let differ = (1..=20).filter(|&number| wait(&one, number) != wait(&other, number)).count();
    assert!(differ > 15, "two pushes that failed together come back apart");
}
