//! Goal: pushes reach servers of another make, on every rung, once; and nothing of them is lost,
//! whatever goes wrong between.

use crate::hospital::{Hospital, SHARED};
use crate::stranger::{Profile, Stranger, Wrong};
use exchange::Code;
use std::sync::Arc;

const PUT: Profile = Profile {
    transaction: true,
    batch: false,
    single: false,
    put_creates: true,
    conditional: false,
    searched: true,
    collection: false,
    placeless: false,
};

/// The rungs, from the top down.
fn rungs() -> Vec<(&'static str, Profile)> {
    let single = Profile { transaction: false, single: true, ..PUT };
    let batch = Profile { transaction: false, batch: true, ..PUT };
    let conditional = |it: Profile| Profile { put_creates: false, conditional: true, ..it };
    let server = |it: Profile| Profile { put_creates: false, ..it };
    vec![
        ("transaction, put", PUT),
        ("transaction, conditional", conditional(PUT)),
        ("transaction, server", server(PUT)),
        ("batch, put", batch),
        ("batch, conditional", conditional(batch)),
        ("batch, server", server(batch)),
        ("single, put", single),
        ("single, conditional", conditional(single)),
        ("single, server", server(single)),
    ]
}

#[tokio::test]
async fn every_rung_files_each_record_once() {
    for (case, profile) in rungs() {
        let stranger = Arc::new(Stranger::new(profile));
        let hospital = Hospital::open_to(&stranger);
        let rows = hospital.push().await;
        assert_eq!(rows[0].state, "settled", "{case}: {:?}", rows[0].issues);
        let counts = stranger.counts();
        let counts: Vec<(&str, usize)> = counts.iter().map(|(k, n)| (k.as_str(), *n)).collect();
        let all = ["Coverage", "Encounter", "Observation", "Patient", "Provenance"];
        let all = all.map(|kind| (kind, 1));
        assert_eq!(counts, all, "{case}");
        assert_eq!(stranger.faults(), [""; 0], "{case}");
        let shown = hospital.show(&rows[0].id).await;
        let told = shown.acknowledgement.unwrap();
        let resources = told["resources"].as_array().unwrap();
        let answered = resources.iter().filter(|it| it["status"] == 201).count();
        assert_eq!(answered, 5, "{case}: every record is answered: {:?}", resources);
        let door = hospital.explain().await.unwrap().0.remove(0).door.unwrap();
        assert!(door.form.starts_with("best ("), "{case}: {}", door.form);
        assert!(!door.ladder.is_empty(), "{case}");
    }
}

#[tokio::test]
async fn a_server_that_never_says_where_a_record_is_is_asked() {
    for (case, profile) in rungs() {
        let stranger = Arc::new(Stranger::new(Profile { placeless: true, ..profile }));
        let hospital = Hospital::open_to(&stranger);
        let rows = hospital.push().await;
        assert_eq!(rows[0].state, "settled", "{case}: {:?}", rows[0].issues);
        assert_eq!(stranger.counts().len(), 5, "{case}");
        assert_eq!(stranger.faults(), [""; 0], "{case}");
    }
}

#[tokio::test]
async fn where_a_door_cannot_be_asked_a_person_is_and_nothing_goes_twice_unless_they_say_so() {
    let base = Profile { transaction: false, single: true, put_creates: false, ..PUT };
    let stranger = Arc::new(Stranger::new(Profile { searched: false, ..base }));
    let hospital = Hospital::open_to(&stranger);
    stranger.spoil(1, Wrong::SilentBefore);
    hospital.push().await;
    hospital.clock.advance(1);
    hospital.waits("not known", "held", Code::OutcomeUnknown).await;
    assert_eq!(stranger.writes(), 1, "nothing goes again by itself");
    let rows = hospital.work().await;
    let who = crate::hospital::who();
    let id = rows[0].id.clone();
    let release = exchange::desk::Command::Release { id, who, member: None };
    hospital.command(release).await.unwrap();
    let rows = hospital.work().await;
    assert_eq!(rows[0].state, "settled", "{:?}", rows[0].issues);
    assert!(stranger.counts().values().all(|count| *count == 1));
}

#[tokio::test]
async fn whatever_goes_wrong_nothing_is_there_twice_and_nothing_is_lost() {
    let wrongs =
        [Wrong::SilentAfter, Wrong::SilentBefore, Wrong::Fails, Wrong::Garbage, Wrong::Busy];
    for (case, profile) in rungs() {
        for wrong in wrongs {
            for nth in 1..=3 {
                let stranger = Arc::new(Stranger::new(profile));
                let hospital = Hospital::open_to(&stranger);
                stranger.spoil(nth, wrong);
                let mut rows = hospital.push().await;
                for _ in 0..4 {
                    if rows[0].state == "due" {
                        hospital.clock.advance(1);
                        rows = hospital.work().await;
                    }
                }
                let case = format!("{case}, {wrong:?} at {nth}");
                let counts = stranger.counts();
                assert!(counts.values().all(|count| *count == 1), "{case}: {counts:?}");
                match rows[0].state.as_str() {
                    "settled" => {
                        assert_eq!(counts.len(), 5, "{case}");
                        assert_eq!(stranger.faults(), [""; 0], "{case}");
                    }
                    "held" => {
                        let code = rows[0].issues[0].issue.code;
                        assert_eq!(code, Code::OutcomeUnknown, "{case}: {:?}", rows[0].issues);
                    }
                    state => panic!("{case}: {state} {:?}", rows[0].issues),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_rung_that_is_promised_and_refused_is_left_with_a_line() {
    for (case, profile, lower) in [
        ("transaction", Profile { batch: true, ..PUT }, "batch"),
        ("put", Profile { transaction: false, single: true, ..PUT }, "put"),
    ] {
        let stranger = Arc::new(Stranger::new(profile));
        let hospital = Hospital::open_to(&stranger);
        stranger.spoil(1, Wrong::NotAllowed);
        let rows = hospital.push().await;
        assert_eq!(rows[0].state, "settled", "{case}: {:?}", rows[0].issues);
        let shown = hospital.show(&rows[0].id).await;
        let said: Vec<&str> = shown.timeline.iter().map(|line| line.what.as_str()).collect();
        assert!(said.iter().any(|line| line.contains("answered 405")), "{case}, {lower}: {said:?}");
        assert_eq!(stranger.counts().len(), 5, "{case}");
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_goes_in_halves() {
    let stranger = Arc::new(Stranger::new(PUT));
    let hospital = Hospital::open_to(&stranger);
    stranger.spoil(1, Wrong::TooLarge);
    let rows = hospital.push().await;
    assert_eq!(rows[0].state, "settled", "{:?}", rows[0].issues);
    let always = Arc::new(Stranger::new(PUT));
    let hospital = Hospital::open_to(&always);
    (1..9).for_each(|nth| always.spoil(nth, Wrong::TooLarge));
    hospital.push().await;
    hospital.waits("always too large", "held", Code::PayloadTooLarge).await;
}

#[tokio::test]
async fn what_is_refused_holds_the_push_and_a_release_sends_only_that() {
    let stranger = Arc::new(Stranger::new(Profile { transaction: false, single: true, ..PUT }));
    let hospital = Hospital::open_to(&stranger);
    stranger.spoil(3, Wrong::Refused);
    hospital.push().await;
    let issue = hospital.waits("refused", "held", Code::PayerRefused).await;
    assert!(issue.expression.is_some_and(|place| place.starts_with("Bundle.entry[")));
    let before = stranger.writes();
    let rows = hospital.work().await;
    let who = crate::hospital::who();
    let release = exchange::desk::Command::Release { id: rows[0].id.clone(), who, member: None };
    hospital.command(release).await.unwrap();
    let rows = hospital.work().await;
    assert_eq!(rows[0].state, "settled", "{:?}", rows[0].issues);
    assert!(stranger.writes() - before < 5, "what was filed is not sent again");
    assert_eq!(stranger.faults(), [""; 0]);
}

#[tokio::test]
async fn what_is_refused_goes_with_the_next_push_of_the_same_as_well() {
    let stranger = Arc::new(Stranger::new(Profile { transaction: false, single: true, ..PUT }));
    let hospital = Hospital::open_to(&stranger);
    stranger.spoil(3, Wrong::Refused);
    let id = hospital.push().await[0].id.clone();
    let rows = hospital.push().await;
    let states = |mine: bool| {
        rows.iter()
            .filter(|row| (row.id == id) == mine)
            .map(|row| row.state.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(states(true), ["superseded"], "it gave way: {rows:?}");
    assert_eq!(states(false), ["settled"], "{rows:?}");
    assert_eq!(rows.len(), 2, "{rows:?}");
    let versions: usize = stranger.versions("Encounter").iter().map(Vec::len).sum();
    assert_eq!(versions, 1, "what was filed is not sent again");
    assert_eq!(stranger.faults(), [""; 0]);
}

#[tokio::test]
async fn the_same_again_makes_no_version() {
    for (case, profile) in rungs() {
        let stranger = Arc::new(Stranger::new(profile));
        let hospital = Hospital::open_to(&stranger);
        hospital.push().await;
        let versions = |kind: &str| stranger.versions(kind);
        let before: Vec<_> = ["Patient", "Encounter", "Observation"].map(versions).into();
        let rows = hospital.push().await;
        assert!(rows.iter().any(|row| row.state == "unchanged"), "{case}: {rows:?}");
        let after: Vec<_> = ["Patient", "Encounter", "Observation"].map(versions).into();
        assert_eq!(before, after, "{case}");
    }
}

#[tokio::test]
async fn a_withdrawal_takes_back_what_stands_there_by_the_payers_ids() {
    for (case, profile) in rungs() {
        let stranger = Arc::new(Stranger::new(profile));
        let hospital = Hospital::open_to(&stranger);
        let rows = hospital.push().await;
        let who = crate::hospital::who();
        let withdraw = exchange::desk::Command::Withdraw { id: rows[0].id.clone(), who, wait: 0 };
        hospital.command(withdraw).await.unwrap();
        let rows = hospital.work().await;
        assert!(rows.iter().all(|row| row.state == "settled"), "{case}: {rows:?}");
        let counts = stranger.counts();
        let left: Vec<&str> = counts.keys().map(String::as_str).collect();
        assert_eq!(left, [""; 0], "{case}: nor what this house said of it");
    }
}

#[tokio::test]
async fn a_collection_is_kept_whole_and_says_no_more_than_taken() {
    let profile = Profile { transaction: false, collection: true, put_creates: false, ..PUT };
    let stranger = Arc::new(Stranger::new(profile));
    let hospital = Hospital::open_to(&stranger);
    let rows = hospital.push().await;
    assert_eq!(rows[0].state, "settled", "{:?}", rows[0].issues);
    assert_eq!(stranger.counts().into_iter().collect::<Vec<_>>(), [("Bundle".to_owned(), 1)]);
    let shown = hospital.show(&rows[0].id).await;
    assert_eq!(shown.acknowledgement.unwrap()["level"], "taken");
}

#[tokio::test]
async fn a_collection_that_brought_no_answer_is_looked_for_and_kept_once() {
    let profile = Profile { transaction: false, collection: true, put_creates: false, ..PUT };
    for wrong in [Wrong::SilentAfter, Wrong::SilentBefore, Wrong::Garbage] {
        let stranger = Arc::new(Stranger::new(profile));
        let hospital = Hospital::open_to(&stranger);
        stranger.spoil(1, wrong);
        hospital.push().await;
        hospital.clock.advance(1);
        let rows = hospital.work().await;
        assert_eq!(rows[0].state, "settled", "{wrong:?}: {:?}", rows[0].issues);
        let kept = stranger.counts().into_iter().collect::<Vec<_>>();
        assert_eq!(kept, [("Bundle".to_owned(), 1)], "{wrong:?}");
    }
}

#[tokio::test]
async fn two_patients_pushes_make_one_record_of_their_practitioner() {
    for (case, profile) in rungs() {
        let stranger = Arc::new(Stranger::new(profile));
        let hospital = Hospital::open_to(&stranger);
        for patient in 1..=3 {
            let encounter = format!("e{}", SHARED + patient);
            let (purpose, who) = (None, crate::hospital::who());
            let push = exchange::desk::Command::Push {
                subject: encounter,
                purpose,
                who,
                wait: 0,
                asynchronous: false,
            };
            hospital.command(push).await.unwrap();
        }
        let mut rows = hospital.work().await;
        for _ in 0..6 {
            if rows.iter().any(|row| row.state == "due") {
                hospital.clock.advance(1);
                rows = hospital.work().await;
            }
        }
        let issues: Vec<_> = rows.iter().map(|row| (&row.state, &row.issues)).collect();
        assert!(
            rows.iter().all(|row| ["settled", "scoped"].contains(&row.state.as_str())),
            "{case}: {issues:?}"
        );
        let counts = stranger.counts();
        assert_eq!((counts["Patient"], counts["Practitioner"]), (3, 1), "{case}");
        assert_eq!(stranger.versions("Practitioner").concat().len(), 1, "{case}: one version");
        assert_eq!(stranger.faults(), [""; 0], "{case}");
    }
}

#[tokio::test]
async fn a_house_that_was_killed_between_two_parts_goes_on_where_it_was() {
    for (case, profile) in rungs() {
        let stranger = Arc::new(Stranger::new(profile));
        let hospital = Hospital::open_to(&stranger);
        // As after a kill: it was sent, it was stored, and nobody read the answer.
        stranger.spoil(2, Wrong::SilentAfter);
        hospital.push().await;
        let hospital = hospital.restarted();
        hospital.clock.advance(1);
        let rows = hospital.work().await;
        assert_eq!(rows[0].state, "settled", "{case}: {:?}", rows[0].issues);
        assert!(stranger.counts().values().all(|count| *count == 1), "{case}");
        assert_eq!(stranger.faults(), [""; 0], "{case}");
    }
}

#[tokio::test]
async fn a_house_that_was_killed_goes_on_with_the_shared_records_that_it_had_claimed() {
    for (case, profile) in rungs() {
        let stranger = Arc::new(Stranger::new(profile));
        let hospital = Hospital::open_to(&stranger);
        // As after a kill: it is written down that it is about to go, and it never went.
        stranger.spoil(1, Wrong::SilentBefore);
        let encounter = format!("e{}", SHARED + 1);
        hospital.push_for(&encounter, None).await;
        let hospital = hospital.restarted();
        // Half the time for which a claim lasts.
        let mut rows = Vec::new();
        for _ in 0..9 {
            hospital.clock.advance_by(jiff::SignedDuration::from_secs(5));
            rows = hospital.work().await;
        }
        assert_eq!(rows[0].state, "settled", "{case}: {:?}", rows[0].issues);
        assert_eq!(stranger.counts()["Practitioner"], 1, "{case}");
        assert_eq!(stranger.faults(), [""; 0], "{case}");
    }
}

#[tokio::test]
async fn a_statement_that_cannot_be_read_is_asked_for_again_before_a_person_is() {
    let table = [(200, "<html>"), (200, r#"{"resourceType":"Capab"#), (502, "<html>"), (503, "")];
    for (code, body) in table {
        let stranger = Arc::new(Stranger::new(PUT));
        let hospital = Hospital::open_to(&stranger);
        stranger.say(Some((code, body)));
        hospital.push().await;
        hospital.waits("garbled", "due", Code::PayerUnreachable).await;
        stranger.say(None);
        hospital.clock.advance(1);
        assert_eq!(hospital.work().await[0].state, "settled", "{code} {body}");
    }
    let stranger = Arc::new(Stranger::new(PUT));
    let hospital = Hospital::open_to(&stranger);
    stranger.say(Some((200, "<html>")));
    hospital.push().await;
    hospital.clock.advance(1);
    hospital.work().await;
    let issue = hospital.waits("garbled for long", "held", Code::AnswerUnreadable).await;
    assert_eq!(issue.expression.as_deref(), Some("CapabilityStatement"));
    assert_eq!(stranger.writes(), 0);
}

#[tokio::test]
async fn a_door_without_a_statement_is_used_as_the_agreement_vouches_for_it() {
    let nothing = [(200, r#"{"resourceType":"Bundle","type":"searchset"}"#), (404, "")];
    let conditional = Profile { put_creates: false, conditional: true, ..PUT };
    let table = [
        (PUT, r#"["transaction", "put"]"#, "best (transaction)"),
        (conditional, r#"["transaction", "conditional", "search"]"#, "best (transaction)"),
        (Profile { transaction: false, single: true, ..PUT }, r#"["put"]"#, "best (single)"),
    ];
    for (code, body) in nothing {
        let stranger = Arc::new(Stranger::new(PUT));
        stranger.say(Some((code, body)));
        let hospital = Hospital::open_to(&stranger);
        hospital.push().await;
        let issue = hospital.waits("nobody vouches", "held", Code::CapabilityMissing).await;
        assert!(issue.detail.contains("`assume`"), "{}", issue.detail);
        for (profile, words, form) in table {
            let stranger = Arc::new(Stranger::new(profile));
            stranger.say(Some((code, body)));
            let lines = format!("\n[door]\nassume = {words}\n");
            let hospital = Hospital::open_to(&stranger).with_agreed(&lines);
            let rows = hospital.push().await;
            assert_eq!(rows[0].state, "settled", "{words}: {:?}", rows[0].issues);
            assert_eq!(stranger.counts().len(), 5, "{words}");
            assert_eq!(stranger.faults(), [""; 0], "{words}");
            let door = hospital.explain().await.unwrap().0.remove(0).door.unwrap();
            assert_eq!(door.form, form, "{words}");
            assert!(door.ladder.iter().any(|line| line.contains("vouches")), "{:?}", door.ladder);
        }
    }
    let stranger = Arc::new(Stranger::new(Profile { transaction: false, single: true, ..PUT }));
    let lines = "\n[door]\nassume = [\"transaction\", \"put\"]\n";
    let hospital = Hospital::open_to(&stranger).with_agreed(lines);
    let door = hospital.explain().await.unwrap().0.remove(0).door.unwrap();
    assert_eq!(door.form, "best (single)", "where there is a statement, it counts");
}

#[tokio::test]
async fn types_that_a_door_does_not_take_hold_the_push_or_are_left_out_as_agreed() {
    let single = Profile { transaction: false, single: true, ..PUT };
    // The practitioner is the observation's alone.
    for (kind, others) in [("Observation", 4), ("Practitioner", 5), ("Provenance", 5)] {
        let lacking = || {
            let stranger = Arc::new(Stranger::new(single));
            stranger.lack(kind);
            stranger
        };
        let push = |hospital: Hospital| async move {
            let (subject, who) = (format!("e{}", SHARED + 1), crate::hospital::who());
            let push = exchange::desk::Command::Push {
                subject,
                purpose: None,
                who,
                wait: 0,
                asynchronous: false,
            };
            hospital.command(push).await.unwrap();
            hospital.work().await;
            hospital
        };
        let stranger = lacking();
        let hospital = push(Hospital::open_to(&stranger)).await;
        hospital.waits(kind, "held", Code::CapabilityMissing).await;

        let stranger = lacking();
        let lines = "\n[door]\nunoffered = \"leave-out\"\n";
        let hospital = push(Hospital::open_to(&stranger).with_agreed(lines)).await;
        let rows = hospital.work().await;
        let push = rows.iter().find(|row| row.kind == "push").unwrap();
        assert_eq!(push.state, "settled", "{kind}: {:?}", push.issues);
        assert!(!stranger.counts().contains_key(kind));
        assert_eq!(stranger.counts().len(), others, "{kind}: {:?}", stranger.counts());
        assert_eq!(stranger.faults(), [""; 0], "{kind}");
        let named = push.withheld.iter().any(|row| row.rule == "not-offered");
        assert_eq!(named, kind != "Provenance", "{kind}: {:?}", push.withheld);
    }
    let stranger = Arc::new(Stranger::new(single));
    stranger.lack("Observation");
    let lines = "\n[door]\nunoffered = \"leave-out\"\n";
    let hospital = Hospital::open_to(&stranger).with_agreed(lines);
    let explained = hospital.explain().await.unwrap().0.remove(0);
    let rules: Vec<_> = explained.decisions.iter().map(|row| row.rule.as_str()).collect();
    assert!(rules.contains(&"not-offered"), "{rules:?}");
}

#[tokio::test]
async fn what_is_restricted_between_two_attempts_or_parts_is_not_written_and_is_taken_back() {
    let wrongs = [Wrong::SilentAfter, Wrong::SilentBefore, Wrong::Fails, Wrong::Busy];
    let written = |stranger: &Stranger| {
        let all = stranger.versions("Observation").concat();
        all.iter().filter(|version| !version.is_null()).count()
    };
    for (case, profile) in rungs() {
        for wrong in wrongs {
            for nth in 1..=4 {
                let stranger = Arc::new(Stranger::new(profile));
                let hospital = Hospital::open_to(&stranger);
                stranger.spoil(nth, wrong);
                let rows = hospital.push().await;
                if rows[0].state == "settled" {
                    continue; // so many requests were not needed
                }
                let case = format!("{case}, {wrong:?} at {nth}");
                let before = written(&stranger);
                hospital
                    .restrict("[[restriction]]\nsubject = \"Observation/o1\"\nreason = \"x\"\n");
                let mut rows = rows;
                for _ in 0..6 {
                    if rows.iter().any(|row| row.state == "due") {
                        hospital.clock.advance(1);
                        rows = hospital.work().await;
                    }
                }
                assert_eq!(written(&stranger), before, "{case}: written after all");
                let counts = stranger.counts();
                // Each of the two pushes has a Provenance of its own.
                let twice = counts.iter().filter(|(kind, n)| **n > 1 && *kind != "Provenance");
                assert_eq!(twice.count(), 0, "{case}: {counts:?}");
                let held = rows.iter().find(|row| row.state == "held");
                if let Some(held) = held {
                    let code = held.issues[0].issue.code;
                    assert_eq!(code, Code::OutcomeUnknown, "{case}: {:?}", held.issues);
                    continue;
                }
                assert!(rows.iter().any(|row| row.state == "settled"), "{case}: {rows:?}");
                assert!(rows.iter().all(|row| row.state != "due"), "{case}: {rows:?}");
                assert!(!counts.contains_key("Observation"), "{case}: {counts:?} {rows:?}");
                // The first push's Provenance still says what it had brought.
                let faults = stranger.faults();
                let other = faults.iter().filter(|it| *it != "Provenance leads nowhere");
                assert_eq!(other.count(), 0, "{case}: {faults:?}");
            }
        }
    }
}
