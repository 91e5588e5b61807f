//! Goal: a large submission goes in several manifests, told as they are full; each push is settled by its
//! own, and a manifest of which a push stands no more is told anew, without that one and without the end
//! of the others.

use crate::bulk::{
    NAMESPACE, asked, fetched, hospital, later, lines, plans_own, push_all, rows, states,
    submissions,
};
use crate::bulk_plan::BulkPlan;
use crate::hospital::{EHR, ENCOUNTER, Hospital, Told, status, who};
use exchange::bulk::outcome::refused;
use exchange::bulk::{Dialect, Header, Manifest, SubmissionStatus};
use exchange::desk::{Command, SubmissionCommand};
use exchange::id::derived_id;
use exchange::{Code, Issue};
use http::HeaderMap;
use std::time::Duration;
use store::{Breaker, House as _};
use wire::{Clock as _, TransportError};

/// Of two pushes each; so the third one leaves it open.
const BY_TWO: &str = "manifest_pushes_max = 2\ngather_seconds = 30";

/// URLs of the manifests, in the order in which the plan was told of them.
pub(crate) fn urls(plan: &BulkPlan) -> Vec<String> {
    plan.told().into_iter().filter_map(|told| Some(told.manifest?.url)).collect()
}

/// The Patients in a manifest's files, and how many deletions there are.
pub(crate) async fn within(hospital: &Hospital, url: &str) -> (Vec<String>, usize) {
    let body = fetched(hospital, Some(&plans_own()), url).await;
    let manifest = Manifest::read(&body).unwrap();
    let mut patients = Vec::new();
    for file in &manifest.output {
        let file = fetched(hospital, Some(&plans_own()), &file.url).await;
        patients.extend(lines(&file).iter().filter_map(Header::of).map(|header| header.reference));
    }
    (patients, manifest.deleted.len())
}

pub(crate) fn own(number: u32) -> String {
    format!("Patient/{}", derived_id(NAMESPACE, "Patient", &format!("p{number}")))
}

/// A submission that gathers on while the payer knows of its first manifest.
pub(crate) async fn begun() -> (Hospital, std::sync::Arc<BulkPlan>) {
    let (hospital, plan) = hospital(BY_TWO, BulkPlan::default());
    push_all(&hospital, &["e1", "e2"]).await;
    later(&hospital).await;
    push_all(&hospital, &["e3"]).await;
    assert!(plan.told().is_empty(), "it is looked at after half a minute");
    assert_eq!(states(&later(&hospital).await), ["submitted"; 3]);
    assert_eq!(plan.manifests(), [("manifest-1.json".to_owned(), None)]);
    assert_eq!(plan.told()[0].status, Some(SubmissionStatus::InProgress));
    assert_eq!(within(&hospital, &urls(&plan)[0]).await.0, [own(1), own(2)]);
    (hospital, plan)
}

/// The submission is looked at again.
async fn next_look(hospital: &Hospital) {
    for _ in 0..2 {
        later(hospital).await;
    }
}

/// All that is left to come comes.
pub(crate) async fn ended(hospital: &Hospital) {
    for _ in 0..6 {
        later(hospital).await;
    }
}

#[tokio::test]
async fn a_large_submission_has_several_manifests_and_each_push_its_own_word() {
    // Whom an outcome is about that names a manifest and no resource, and what becomes of the pushes.
    let table = [
        (Some(0), ["held", "held", "settled"]),
        (Some(1), ["settled", "settled", "held"]),
        (None, ["held", "held", "held"]),
    ];
    for (about, expected) in table {
        let (hospital, plan) = begun().await;
        let list = SubmissionCommand::List { limit: None };
        let open = submissions(&hospital, list.clone()).await.unwrap();
        assert_eq!((open.len(), open[0].state.as_str(), open[0].pushes), (1, "open", 3));
        *plan.busy.lock().unwrap() = true;
        later(&hospital).await;
        later(&hospital).await;
        let (first, second) = ("manifest-1.json".to_owned(), "manifest-2.json".to_owned());
        assert_eq!(plan.manifests(), [(first, None), (second, None)], "each once");
        let told = plan.told();
        assert_eq!(told.last().unwrap().status, Some(SubmissionStatus::Completed));
        assert!(told.iter().all(|it| it.submission_id == told[0].submission_id));
        assert_eq!(within(&hospital, &urls(&plan)[0]).await.0, [own(1), own(2)]);
        assert_eq!(within(&hospital, &urls(&plan)[1]).await.0, [own(3)]);
        let row = submissions(&hospital, list).await.unwrap().remove(0);
        assert_eq!((row.pushes, row.files), (3, 2), "of both manifests");

        *plan.about.lock().unwrap() = about.map(|at: usize| urls(&plan)[at].clone());
        let issue = Issue::new(Code::FileUnreachable, "a file did not come");
        plan.says.lock().unwrap().push(refused(Dialect::Ballot, &[], [&issue]));
        *plan.busy.lock().unwrap() = false;
        later(&hospital).await;
        assert_eq!(states(&later(&hospital).await), expected, "{about:?}");
    }
}

#[tokio::test]
async fn a_submission_takes_as_many_pushes_as_it_may_and_the_next_one_takes_the_others() {
    let bounded = "pushes_max = 2\nmanifest_pushes_max = 2\ngather_seconds = 30";
    let (hospital, plan) = hospital(bounded, BulkPlan::default());
    push_all(&hospital, &["e1", "e2", "e3"]).await;
    let list = SubmissionCommand::List { limit: None };
    let open = submissions(&hospital, list).await.unwrap();
    let mut pushes: Vec<_> = open.iter().map(|row| (row.state.as_str(), row.pushes)).collect();
    pushes.sort_unstable();
    assert_eq!(pushes, [("open", 1), ("open", 2)], "though none was looked at yet");
    ended(&hospital).await;
    assert_eq!(states(&later(&hospital).await), ["settled"; 3]);
    assert_eq!(plan.manifests().len(), 2);
}

/// What overtakes the first patient's push after the payer was told of it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Overtaken {
    Withdrawn,
    Restricted,
    Anew,
}

#[tokio::test]
async fn a_manifest_is_told_anew_without_the_push_that_stands_no_more() {
    for overtaken in [Overtaken::Withdrawn, Overtaken::Restricted, Overtaken::Anew] {
        let (hospital, plan) = begun().await;
        let old = urls(&plan)[0].clone();
        let body = fetched(&hospital, Some(&plans_own()), &old).await;
        let file = Manifest::read(&body).unwrap().output[0].url.clone();
        match overtaken {
            Overtaken::Withdrawn => {
                let id = rows(&hospital).await["Encounter/e1"].id.clone();
                hospital.command(Command::Withdraw { id, who: who(), wait: 0 }).await.unwrap();
            }
            Overtaken::Restricted => hospital
                .restrict("[[restriction]]\nsubject = \"Encounter/e1\"\nreason = \"a wish\"\n"),
            Overtaken::Anew => {
                let changed = || status(200, ENCOUNTER.replace("AMB", "IMP"));
                hospital.network.spoil(&format!("GET {EHR}/Encounter/e1"), changed);
                hospital.push_for("e1", None).await;
            }
        }
        next_look(&hospital).await;
        let replaced = plan.manifests();
        let second = ("manifest-2.json".to_owned(), Some("manifest-1.json".to_owned()));
        assert_eq!(replaced.get(1), Some(&second), "{overtaken:?}: {replaced:?}");
        let none = HeaderMap::new();
        for url in [&old, &file] {
            let told = asked(&hospital, Some(&plans_own()), url, &none).await.map(|it| it.status);
            assert_eq!(told.unwrap_err().code, Code::StatusUnknown, "{overtaken:?}");
        }
        // A table of restrictions that has changed may cover anybody: all are looked at anew.
        let stay = if overtaken == Overtaken::Restricted { vec![] } else { vec![own(2)] };
        assert_eq!(within(&hospital, &urls(&plan)[1]).await.0, stay, "{overtaken:?}");
        ended(&hospital).await;

        let told = plan.told();
        let ends = told.iter().filter(|it| it.status == Some(SubmissionStatus::Completed)).count();
        // Where all are looked at anew, nothing keeps the first one open for them.
        let restricted = overtaken == Overtaken::Restricted;
        assert_eq!(ends, 1 + usize::from(restricted), "{overtaken:?}: no other submission");
        let first = told.iter().filter(|it| it.submission_id == told[0].submission_id).count();
        assert!(restricted || first == told.len(), "{overtaken:?}");
        assert!(told.iter().all(|it| it.status != Some(SubmissionStatus::Stopped)));
        let times = plan.manifests().iter().filter(|(_, replaces)| replaces.is_some()).count();
        assert_eq!(times, 1, "{overtaken:?}: {:?}", plan.manifests());
        // What may have been read before is taken back, or its newer content brought, besides.
        let (mut patients, mut deletions) = (Vec::new(), 0);
        for url in &urls(&plan)[1..] {
            let (more, deleted) = within(&hospital, url).await;
            patients.extend(more);
            deletions += deleted;
        }
        assert_eq!(deletions, usize::from(overtaken != Overtaken::Anew), "{overtaken:?}");
        assert!(
            patients.contains(&own(1)),
            "{overtaken:?}: who took it back, or the newer content"
        );
        let found = hospital.work().await;
        let of = |subject: &str| -> Vec<&str> {
            let own = found.iter().filter(|row| row.subject.as_deref() == Some(subject));
            own.map(|row| row.state.as_str()).collect()
        };
        for other in ["Encounter/e2", "Encounter/e3"] {
            let settled = of(other).iter().filter(|state| **state == "settled").count();
            assert_eq!(settled, 1, "{overtaken:?}: {found:?}");
        }
        assert!(of("Encounter/e1").contains(&"superseded"), "{overtaken:?}: {found:?}");
        assert!(
            found.iter().all(|row| !["submitted", "held", "due"].contains(&row.state.as_str()))
        );
    }
}

/// Where nothing of a manifest stands any more, an empty one takes its place.
#[tokio::test]
async fn a_manifest_of_which_nothing_stands_gives_way_to_an_empty_one() {
    let (hospital, plan) = begun().await;
    for encounter in ["Encounter/e1", "Encounter/e2"] {
        let id = rows(&hospital).await[encounter].id.clone();
        hospital.command(Command::Withdraw { id, who: who(), wait: 0 }).await.unwrap();
    }
    next_look(&hospital).await;
    assert_eq!(plan.manifests()[1].1.as_deref(), Some("manifest-1.json"));
    let body = fetched(&hospital, Some(&plans_own()), &urls(&plan)[1]).await;
    assert!(Manifest::read(&body).unwrap().output.is_empty());
    ended(&hospital).await;
    assert_eq!(rows(&hospital).await["Encounter/e3"].state, "settled");
}

/// What takes the place of a manifest was not told yet, and gives way itself: the plan is told of the third
/// one, in the place of the one that it knows.
#[tokio::test]
async fn what_the_payer_knows_is_replaced_however_often_that_changed_before_it_was_told() {
    let (hospital, plan) = begun().await;
    plan.spoil("POST /$bulk-submit", 1, || status(503, ""));
    let withdraw = async |encounter: &str| {
        let id = rows(&hospital).await[encounter].id.clone();
        hospital.command(Command::Withdraw { id, who: who(), wait: 0 }).await.unwrap();
    };
    withdraw("Encounter/e1").await;
    next_look(&hospital).await;
    assert_eq!(plan.manifests().len(), 1, "the second one was not taken");
    withdraw("Encounter/e2").await;
    hospital.clock.advance(1);
    ended(&hospital).await;
    let replaced: Vec<_> = plan.manifests().into_iter().filter_map(|(_, old)| old).collect();
    assert_eq!(replaced, ["manifest-1.json"], "{:?}", plan.manifests());
    let third = ("manifest-3.json".to_owned(), Some("manifest-1.json".to_owned()));
    assert_eq!(plan.manifests().get(1), Some(&third));
    assert_eq!(within(&hospital, &urls(&plan)[1]).await.0, [] as [String; 0]);
}

/// The plan's door answers nothing for a while; what overtakes a push then is not told, and not given.
#[tokio::test]
async fn what_is_restricted_or_withdrawn_before_the_payer_is_told_is_not_offered() {
    for withdrawn in [true, false] {
        let (hospital, plan) = hospital("", BulkPlan::default());
        plan.spoil("POST /$bulk-submit", 1, || status(503, ""));
        push_all(&hospital, &["e1", "e2"]).await;
        later(&hospital).await;
        match withdrawn {
            true => {
                let id = rows(&hospital).await["Encounter/e1"].id.clone();
                hospital.command(Command::Withdraw { id, who: who(), wait: 0 }).await.unwrap();
                rows(&hospital).await;
            }
            false => hospital
                .restrict("[[restriction]]\nsubject = \"Encounter/e1\"\nreason = \"a wish\"\n"),
        }
        hospital.clock.advance(1);
        later(&hospital).await;
        let first = plan.manifests()[0].clone();
        assert_eq!(first, ("manifest-2.json".to_owned(), None), "the first one was never told");
        let (patients, _) = within(&hospital, &urls(&plan)[0]).await;
        // A table of restrictions that has changed may cover anybody: all are looked at anew.
        let stay = if withdrawn { vec![own(2)] } else { vec![] };
        assert_eq!(patients, stay, "{withdrawn}");
    }
}

/// The plan's door rests, so the walk that takes a push back is put off: the push is not offered all the same.
#[tokio::test]
async fn what_is_taken_back_while_the_door_rests_is_not_offered() {
    let (hospital, plan) = hospital("", BulkPlan::default());
    plan.spoil("POST /$bulk-submit", 1, || status(503, ""));
    push_all(&hospital, &["e1", "e2"]).await;
    later(&hospital).await;
    let rest = Duration::from_secs(2 * 3_600);
    let breaker = Breaker { failures: 1, rest, rest_max: rest };
    let clock = hospital.house.clock(hospital.clock.now());
    hospital.house.report(clock, &"sunrise".into(), false, breaker).await.unwrap();
    let id = rows(&hospital).await["Encounter/e1"].id.clone();
    hospital.command(Command::Withdraw { id, who: who(), wait: 0 }).await.unwrap();
    let of = async |subject: &str| -> Vec<String> {
        let found = hospital.work().await;
        let own = found.into_iter().filter(|row| row.subject.as_deref() == Some(subject));
        own.map(|row| row.state).collect()
    };
    let mut waits = of("Encounter/e1").await;
    waits.sort_unstable();
    assert_eq!(waits, ["due", "submitted"], "the one that takes it back is put off");
    hospital.clock.advance(1);
    let mut waits = of("Encounter/e1").await;
    waits.sort_unstable();
    assert_eq!(waits, ["due", "superseded"], "before anybody is told");
    assert!(plan.told().is_empty(), "the door still rests");
    hospital.clock.advance(2);
    ended(&hospital).await;
    assert_eq!(plan.manifests()[0], ("manifest-2.json".to_owned(), None));
    assert_eq!(within(&hospital, &urls(&plan)[0]).await.0, [own(2)]);
    let mut ends = of("Encounter/e1").await;
    ends.sort_unstable();
    assert_eq!(ends, ["settled", "superseded"], "what may have been read is taken back besides");
    assert_eq!(of("Encounter/e2").await, ["settled"]);
}

/// The payer was told, and has not fetched yet: what was restricted or taken back is given no more.
#[tokio::test]
async fn what_is_restricted_or_withdrawn_after_the_payer_was_told_is_not_given() {
    for withdrawn in [true, false] {
        let (hospital, plan) = hospital("", BulkPlan::default());
        *plan.busy.lock().unwrap() = true;
        push_all(&hospital, &["e1", "e2"]).await;
        later(&hospital).await;
        let body = fetched(&hospital, Some(&plans_own()), &urls(&plan)[0]).await;
        let file = Manifest::read(&body).unwrap().output[0].url.clone();
        fetched(&hospital, Some(&plans_own()), &file).await;
        let code = match withdrawn {
            true => {
                let id = rows(&hospital).await["Encounter/e1"].id.clone();
                hospital.command(Command::Withdraw { id, who: who(), wait: 0 }).await.unwrap();
                Code::StatusUnknown
            }
            false => {
                hospital
                    .restrict("[[restriction]]\nsubject = \"Encounter/e1\"\nreason = \"a wish\"\n");
                Code::RestrictionsStale
            }
        };
        let told = asked(&hospital, Some(&plans_own()), &file, &HeaderMap::new()).await;
        assert_eq!(told.map(|it| it.status).unwrap_err().code, code, "{withdrawn}");
    }
}

fn lost() -> Told {
    Err(TransportError::Unknown("planted".into()))
}

fn not_now() -> Told {
    status(503, "")
}

/// The payer's door does not take the end at first. Before it is told again each push is looked at again;
/// where the payer may know the end, nothing is told but that.
#[tokio::test]
async fn what_is_withdrawn_before_the_payer_knows_the_end_is_told_anew_without_it() {
    type Row<'t> = (&'t str, Vec<fn() -> Told>, bool);
    let table: [Row<'_>; 3] = [
        ("it says not now", vec![not_now], true),
        ("its answer is lost", vec![lost], false),
        ("lost, and then not now", vec![lost, not_now], false),
    ];
    for (case, ends, anew) in table {
        let (hospital, plan) = hospital("", BulkPlan::default());
        let times = ends.len();
        *plan.ends.lock().unwrap() = ends;
        *plan.busy.lock().unwrap() = true;
        push_all(&hospital, &["e1", "e2"]).await;
        later(&hospital).await;
        let id = rows(&hospital).await["Encounter/e1"].id.clone();
        hospital.command(Command::Withdraw { id, who: who(), wait: 0 }).await.unwrap();
        rows(&hospital).await;
        for _ in 0..=times {
            hospital.clock.advance(1);
            later(&hospital).await;
        }
        let told = plan.told();
        let first = told.iter().filter(|it| it.submission_id == told[0].submission_id);
        let said: Vec<_> = first
            .map(|it| {
                let name = |url: &str| url.rsplit('/').next().unwrap_or_default().to_owned();
                match (&it.manifest, &it.replaces) {
                    (Some(manifest), None) => name(&manifest.url),
                    (Some(manifest), Some(old)) => {
                        format!("{} for {}", name(&manifest.url), name(old))
                    }
                    (None, _) => "the end".to_owned(),
                }
            })
            .collect();
        let mut expected = vec!["manifest-1.json", "the end"];
        expected.extend(anew.then_some("manifest-2.json for manifest-1.json"));
        expected.extend(vec!["the end"; times]);
        assert_eq!(said, expected, "{case}");
        if anew {
            let url =
                told.iter().find(|it| it.replaces.is_some()).and_then(|it| it.manifest.clone());
            let patients = within(&hospital, &url.unwrap().url).await.0;
            assert_eq!(patients, [own(2)], "{case}: without the one that was taken back");
        }
    }
}
