//! A payer that is away, falls silent or answers nonsense: the same bytes go again under the same
//! key, or a person is asked; nothing is lost and nothing filed twice.

use crate::common::Stage;
use crate::day::{Day, Role};
use crate::outcome::{all_pushes, all_submissions, assert_references_resolve};
use crate::standin::{StandIn, Trick};
use exchange::{Code, Push, State, Stop};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use std::collections::BTreeSet;
use store::WorkKind;

#[test]
fn a_push_to_a_payer_that_is_not_there_waits_for_the_clock_and_settles_by_itself() {
    let mut day = Day::dawn(3, |_| ());
    day.stage.provider.serve();
    let encounter = day.encounter(0, 0);
    day.push(&encounter);
    day.until("a next attempt", |day| day.row(0).is_some_and(|push| !push.issues.is_empty()));
    let push = day.row(0).unwrap();
    let State::Due { next: Stop::Route, at } = push.state else { panic!("{:?}", push.state) };
    assert_eq!(push.issues[0].code, Code::PayerUnreachable);
    assert!(at < push.deadline, "the clock goes on before the deadline");
    assert!(push.assembled.is_none(), "no chart is opened for a door that is shut");

    day.stage.payers[0].serve();
    day.rest();
    assert!(matches!(day.row(0).unwrap().state, State::Settled { .. }));
    assert_eq!(all_submissions(&day.stage.payers[0]).len(), 1);
    day.end();
}

/// What the push has become once it rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It settled by itself.
    Settled,
    /// A person was asked; once let go, it settled.
    Held(Code),
    /// The payer said no for good.
    Refused,
}

const HTML: &str = "<html><body>Bad gateway</body></html>";
const NO_RESOURCE: &str = r#"{"resourceType":"Bundle","type":"transaction-response"}"#;
const SEARCHSET: &str = r#"{"resourceType":"Bundle","type":"searchset","entry":[]}"#;
const OUTCOME: &str =
    r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid"}]}"#;
const ELSEWHERE: Option<(&str, &str)> = Some(("content-location", "https://elsewhere.example/s/1"));
const SOON: Option<(&str, &str)> = Some(("retry-after", "1"));

/// What happens to a push on its way, how it ends, and how often it was sent.
const TABLE: &[(&str, &[Trick], End, usize)] = &[
    ("the answer is lost", &[Trick::LoseAnswer], End::Settled, 2),
    ("the request is lost", &[Trick::LoseRequest], End::Settled, 2),
    ("both are lost in turn", &[Trick::LoseRequest, Trick::LoseAnswer], End::Settled, 3),
    ("500 after it was filed", &[Trick::PassAndSay(500, None, "")], End::Settled, 2),
    ("500 before it was filed", &[Trick::Say(500, None, HTML)], End::Settled, 2),
    ("502 of a proxy after it was filed", &[Trick::PassAndSay(502, None, HTML)], End::Settled, 2),
    ("503 with a time to come back", &[Trick::Say(503, SOON, OUTCOME)], End::Settled, 2),
    ("429 with a time to come back", &[Trick::Say(429, SOON, "")], End::Settled, 2),
    ("401 once", &[Trick::Say(401, None, "")], End::Settled, 2),
    ("401 to every token", &[Trick::Say(401, None, ""); 4], End::Held(Code::SignInRefused), 5),
    (
        "HTML with 200, after it was filed",
        &[Trick::PassAndSay(200, None, HTML)],
        End::Held(Code::AnswerUnreadable),
        2,
    ),
    ("200 and nothing", &[Trick::Say(200, None, "")], End::Held(Code::AnswerUnreadable), 2),
    (
        "an answer without entries, after it was filed",
        &[Trick::PassAndSay(200, None, NO_RESOURCE)],
        End::Held(Code::AnswerUnreadable),
        2,
    ),
    (
        "the answer to a search",
        &[Trick::Say(200, None, SEARCHSET)],
        End::Held(Code::AnswerUnreadable),
        2,
    ),
    (
        "202 and a place on another server",
        &[Trick::Say(202, ELSEWHERE, OUTCOME)],
        End::Held(Code::AnswerUnreadable),
        2,
    ),
    (
        "a redirect to another server",
        &[Trick::Say(307, Some(("location", "https://elsewhere.example/fhir")), "")],
        End::Held(Code::AnswerUnreadable),
        2,
    ),
    ("400", &[Trick::Say(400, None, OUTCOME)], End::Held(Code::PayerRefused), 2),
    ("403", &[Trick::Say(403, None, OUTCOME)], End::Held(Code::PayerRefused), 2),
    ("404", &[Trick::Say(404, None, HTML)], End::Held(Code::CapabilityMissing), 2),
    ("413", &[Trick::Say(413, None, "")], End::Held(Code::PayloadTooLarge), 2),
    ("415", &[Trick::Say(415, None, "")], End::Held(Code::VersionMismatch), 2),
    ("422", &[Trick::Say(422, None, OUTCOME)], End::Refused, 1),
];

#[test]
fn whatever_happens_on_the_way_the_same_bytes_go_again_or_a_person_is_asked() {
    let patients = TABLE.len() + 3;
    let mut standin = None;
    let mut day = Day::dawn(patients, |stage| standin = Some(StandIn::before(&stage.payers[0])));
    let standin = standin.unwrap();
    day.stage.serve();
    // Neither the one with a restriction nor the one the plan does not know.
    let people = (0..patients - 1).filter(|patient| *patient != 1);
    let mut filed = 0;
    for (patient, (case, tricks, end, times)) in people.zip(TABLE) {
        let encounter = day.encounter(patient, 0);
        standin.play(tricks);
        day.push(&encounter);
        day.rest();
        let number = all_pushes(&day.stage.provider).len() - 1;
        if let End::Held(code) = end {
            let push = day.row(number).unwrap();
            assert_eq!((&push.state, push.issues[0].code), (&State::Held, *code), "{case}");
            day.release();
            day.rest();
        }
        let push = day.row(number).unwrap();
        match end {
            End::Refused => assert_eq!(push.state, State::Refused, "{case}"),
            _ => assert!(matches!(push.state, State::Settled { .. }), "{case}: {:?}", push.state),
        }
        assert!(push.acknowledgement.is_some(), "{case}: whoever asked is told");

        let pushes = standin.pushes();
        assert_eq!((pushes.len(), standin.left()), (*times, 0), "{case}");
        assert_eq!(pushes.iter().collect::<BTreeSet<_>>().len(), 1, "{case}: other bytes");
        filed += usize::from(*end != End::Refused);
        let submissions = all_submissions(&day.stage.payers[0]);
        assert_eq!(submissions.len(), filed, "{case}: filed once");
        let dump = day.stage.payers[0].dump();
        assert!(dump.iter().all(|line| line.2 == 1), "{case}: nothing has a second version");
    }
    day.end();
    assert_references_resolve(&day.stage.payers[0]);
}

#[test]
fn a_payer_that_files_and_falls_silent_is_asked_again_after_the_time_for_an_answer() {
    let mut standin = None;
    let mut day = Day::dawn(3, |stage| standin = Some(StandIn::before(&stage.payers[0])));
    let standin = standin.unwrap();
    day.stage.serve();
    standin.play(&[Trick::Silence]);
    let encounter = day.encounter(0, 0);
    day.push(&encounter);
    day.rest();
    assert!(matches!(day.row(0).unwrap().state, State::Settled { .. }));
    let pushes = standin.pushes();
    assert_eq!((pushes.len(), pushes[0] == pushes[1]), (2, true));
    assert_eq!(all_submissions(&day.stage.payers[0]).len(), 1);
}

/// Lets the deadline of every push pass, as if the house had been stopped for days.
fn let_days_pass(stage: &Stage) {
    let db = Connection::open(stage.provider.folder.join("store/house.sqlite")).unwrap();
    for push in all_pushes(&stage.provider) {
        let past = Timestamp::now() - SignedDuration::from_hours(1);
        let body = serde_json::to_vec(&Push { deadline: past, ..push.clone() }).unwrap();
        let update = "UPDATE works SET body = ?2 WHERE id = ?1";
        assert_eq!(db.execute(update, params![push.walk.as_str(), body]).unwrap(), 1);
    }
}

#[test]
fn a_push_whose_deadline_has_passed_waits_for_a_person_and_goes_on_when_let_go() {
    for point in ["scoped", "assembled"] {
        let mut day = Day::dawn(3, |_| ());
        day.stage.payers[0].serve();
        day.stage.provider.serve_with(&[("HANDOVER_HALT_AFTER", point)]);
        let encounter = day.encounter(0, 0);
        day.push_until_halted(&encounter);
        day.house(Role::Provider).kill();
        day.house(Role::Payer).kill();
        let_days_pass(&day.stage);

        day.stage.provider.serve();
        day.rest();
        let push = day.row(0).unwrap();
        assert_eq!((&push.state, push.issues[0].code), (&State::Held, Code::DeadlinePassed));
        assert_eq!(push.assembled.is_some(), point == "assembled", "{point}");

        day.stage.payers[0].serve();
        day.release();
        day.rest();
        let push = day.row(0).unwrap();
        assert!(matches!(push.state, State::Settled { .. }), "{point}: {:?}", push.state);
        assert_eq!(crate::outcome::works(&day.stage.provider, WorkKind::Push).len(), 1);
        assert_eq!(all_submissions(&day.stage.payers[0]).len(), 1, "{point}");
        day.end();
    }
}
