//! Goal: each file of a submission has one name; what may not go any more goes no further, also of a file
//! that is on its way; and what this house refuses because of one push holds no other push.

use crate::bulk::{
    asked, fetched, hospital, later, manifest, plans_own, push_all, rows, submissions, with_terms,
};
use crate::bulk_manifests::{begun, ended, own, urls, within};
use crate::bulk_plan::BulkPlan;
use crate::hospital::{Hospital, who};
use axum::response::IntoResponse;
use exchange::bulk::outcome::refused;
use exchange::bulk::{Dialect, Manifest, SubmissionStatus};
use exchange::desk::{Command, SubmissionCommand};
use exchange::{Chain, Code, Issue};
use futures_util::StreamExt;
use http::HeaderMap;
use store::House as _;
use wire::Clock as _;

/// The names of the files in the manifest that the plan was told of first.
async fn files(hospital: &Hospital, plan: &BulkPlan) -> Vec<String> {
    let body = fetched(hospital, Some(&plans_own()), &urls(plan)[0]).await;
    Manifest::read(&body).unwrap().output.into_iter().map(|file| file.url).collect()
}

async fn code(hospital: &Hospital, url: &str) -> Option<Code> {
    let told = asked(hospital, Some(&plans_own()), url, &HeaderMap::new()).await;
    told.err().map(|issue| issue.code)
}

#[tokio::test]
async fn each_file_has_one_name() {
    let (hospital, plan) = hospital("organized_by = \"type\"", BulkPlan::default());
    *plan.busy.lock().unwrap() = true;
    push_all(&hospital, &["e1"]).await;
    later(&hospital).await;
    let mut all = files(&hospital, &plan).await;
    all.push(urls(&plan)[0].clone());
    assert!(all.len() > 2, "several files and their manifest");
    for url in all {
        assert_eq!(code(&hospital, &url).await, None, "{url}");
        for other in ["01", "+1", "001"] {
            let (folder, name) = url.rsplit_once('/').unwrap();
            let renamed = format!("{folder}/{}", name.replacen('1', other, 1));
            assert_eq!(code(&hospital, &renamed).await, Some(Code::StatusUnknown), "{renamed}");
        }
    }
}

/// What befalls the first patient's push after the payer was told of the end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Befalls {
    Withdrawn,
    Restricted,
}

async fn befalls(hospital: &Hospital, what: Befalls) {
    match what {
        Befalls::Withdrawn => {
            let id = rows(hospital).await["Encounter/e1"].id.clone();
            hospital.command(Command::Withdraw { id, who: who(), wait: 0 }).await.unwrap();
        }
        Befalls::Restricted => {
            hospital.restrict("[[restriction]]\nsubject = \"Encounter/e1\"\nreason = \"a wish\"\n")
        }
    }
}

/// States of all pushes of a patient's encounter, sorted.
async fn states(hospital: &Hospital, subject: &str) -> Vec<String> {
    let found = hospital.work().await.into_iter();
    let own = found.filter(|row| row.subject.as_deref() == Some(subject));
    let mut states: Vec<_> = own.map(|row| row.state).collect();
    states.sort_unstable();
    states
}

#[tokio::test]
async fn what_was_in_a_refused_file_with_another_push_goes_anew_by_itself() {
    // How files are organised, and whether the plan tells of the file that it was refused.
    let table = [
        ("", Some(Code::FileRefused), Befalls::Withdrawn),
        ("", Some(Code::FileUnreachable), Befalls::Restricted),
        ("organized_by = \"type\"", Some(Code::FileRefused), Befalls::Withdrawn),
        ("", None, Befalls::Withdrawn),
    ];
    for (lines, says, what) in table {
        let case = format!("{lines} {says:?} {what:?}");
        let (hospital, plan) = hospital(lines, BulkPlan::default());
        *plan.busy.lock().unwrap() = true;
        push_all(&hospital, &["e1", "e2", "e3"]).await;
        later(&hospital).await;
        let all = files(&hospital, &plan).await;
        befalls(&hospital, what).await;
        for file in &all {
            assert!(code(&hospital, file).await.is_some(), "{case}: {file}");
        }
        if let Some(code) = says {
            *plan.about.lock().unwrap() = Some(urls(&plan)[0].clone());
            let issue = Issue::new(code, "the file did not come");
            plan.says.lock().unwrap().push(refused(Dialect::Ballot, &[], [&issue]));
        }
        *plan.busy.lock().unwrap() = false;
        later(&hospital).await;
        plan.says.lock().unwrap().clear();
        ended(&hospital).await;
        let mut patients = Vec::new();
        for url in urls(&plan)[1..].iter().filter(|_| lines.is_empty()) {
            patients.extend(within(&hospital, url).await.0);
        }
        for (encounter, patient) in [("Encounter/e2", own(2)), ("Encounter/e3", own(3))] {
            let found = states(&hospital, encounter).await;
            // Looked at anew, it is another push.
            let ends = match what {
                Befalls::Withdrawn => vec!["settled"],
                Befalls::Restricted => vec!["settled", "superseded"],
            };
            assert_eq!(found, ends, "{case}: nothing waits for a person");
            let times = patients.iter().filter(|it| **it == patient).count();
            assert!(!lines.is_empty() || times == 1, "{case}: offered anew, once");
        }
        let first = states(&hospital, "Encounter/e1").await;
        assert_eq!(first, ["settled", "superseded"], "{case}: and it is taken back");
    }
}

/// Terms by which no word of the payer is agreed on but that it takes what it is given.
fn taken(text: String) -> String {
    let text = text.replace("mode = \"sync\"", "mode = \"async\"");
    let text = text.replace("settled_by = \"filed\"", "settled_by = \"taken\"");
    text.replace("form = \"transaction\"", "form = \"bulk\"") + "\n[bulk]\n"
}

/// Where no word of the payer is agreed on but that it takes what it is given: when that is known.
#[tokio::test]
async fn what_is_settled_as_taken_is_taken_once_it_was_fetched() {
    for (case, hours, fetches, state) in [
        ("fetched at once", 0, true, "settled"),
        ("fetched long after it was told", 30, true, "settled"),
        ("fetched when a person was asked already", 100, true, "settled"),
        ("never fetched", 200, false, "held"),
    ] {
        let (hospital, plan) = with_terms(taken, BulkPlan::default());
        push_all(&hospital, &["e1", "e2"]).await;
        let told = later(&hospital).await;
        assert_eq!(plan.told().last().unwrap().status, Some(SubmissionStatus::Completed), "{case}");
        assert_eq!(
            crate::bulk::states(&told),
            ["submitted"; 2],
            "{case}: a 200 brings nothing to the payer"
        );
        hospital.clock.advance(hours);
        if fetches {
            rows(&hospital).await;
            let (_, manifest) = manifest(&hospital, &plan).await;
            fetched(&hospital, Some(&plans_own()), &manifest.output[0].url).await;
        }
        let found = later(&hospital).await;
        assert_eq!(crate::bulk::states(&found), [state; 2], "{case}");
        assert!(plan.asked().is_empty(), "{case}: no word was agreed on");
        let shown = hospital.show(&found["Encounter/e1"].id).await;
        if !fetches {
            assert_eq!(shown.row.issues[0].issue.code, Code::DeadlinePassed, "{case}");
            continue;
        }
        assert_eq!(shown.row.level.as_deref(), Some("taken"), "{case}");
        let acknowledged = shown.acknowledgement.unwrap();
        assert!(acknowledged["resources"][0]["status"].is_null(), "{case}: nobody said so");
        let (_, again) = manifest(&hospital, &plan).await;
        fetched(&hospital, Some(&plans_own()), &again.output[0].url).await;
    }
}

/// Without a word of the payer: what is over is over once each file was given, or refused.
#[tokio::test]
async fn where_taken_is_the_word_a_refused_file_keeps_nobody_waiting() {
    let (hospital, plan) = with_terms(taken, BulkPlan::default());
    push_all(&hospital, &["e1", "e2"]).await;
    later(&hospital).await;
    let file = files(&hospital, &plan).await.remove(0);
    befalls(&hospital, Befalls::Withdrawn).await;
    assert_eq!(code(&hospital, &file).await, Some(Code::StatusUnknown));
    ended(&hospital).await;
    assert_eq!(states(&hospital, "Encounter/e2").await, ["submitted"], "with another submission");
    let last = urls(&plan).pop().unwrap();
    let (patients, deletions) = within(&hospital, &last).await;
    assert!(patients.contains(&own(2)) && deletions == 1, "{patients:?}");
    let body = fetched(&hospital, Some(&plans_own()), &last).await;
    let deleted = Manifest::read(&body).unwrap().deleted.remove(0);
    fetched(&hospital, Some(&plans_own()), &deleted.url).await;
    ended(&hospital).await;
    assert_eq!(states(&hospital, "Encounter/e2").await, ["settled"]);
}

/// A file that was refused while the table of restrictions could not be read, and then given.
#[tokio::test]
async fn what_was_given_after_all_is_settled_by_the_payers_word() {
    let (hospital, plan) = hospital("", BulkPlan::default());
    *plan.busy.lock().unwrap() = true;
    push_all(&hospital, &["e1"]).await;
    later(&hospital).await;
    let file = files(&hospital, &plan).await.remove(0);
    hospital.restrict("this is no table");
    assert_eq!(code(&hospital, &file).await, Some(Code::RestrictionsUnreadable));
    hospital.restrict("");
    fetched(&hospital, Some(&plans_own()), &file).await;
    *plan.busy.lock().unwrap() = false;
    ended(&hospital).await;
    assert_eq!(states(&hospital, "Encounter/e1").await, ["settled"]);
    assert_eq!(plan.manifests().len(), 1, "it goes once");
}

/// What happens while a file of two pushes is fetched, and the first one was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meanwhile {
    Nothing,
    Stopped,
    Suspended,
    LaterWithdrawn,
    Restricted,
    Replaced,
}

#[tokio::test]
async fn a_file_that_is_on_its_way_breaks_off_where_it_may_go_no_further() {
    use Meanwhile::{LaterWithdrawn, Nothing, Replaced, Restricted, Stopped, Suspended};
    let cases = [Nothing, Stopped, Suspended, LaterWithdrawn, Restricted, Replaced];
    for case in cases {
        let (hospital, plan) = begun().await;
        let file = files(&hospital, &plan).await.remove(0);
        let none = HeaderMap::new();
        let answer = asked(&hospital, Some(&plans_own()), &file, &none).await.unwrap();
        let mut body = answer.into_response().into_body().into_data_stream();
        let first = body.next().await.unwrap().unwrap();
        assert!(!first.is_empty(), "{case:?}");
        let row = |encounter: &'static str| {
            let hospital = &hospital;
            async move { rows(hospital).await[encounter].id.clone() }
        };
        match case {
            Nothing => {}
            Stopped => {
                let list = SubmissionCommand::List { limit: None };
                let id = submissions(&hospital, list).await.unwrap().remove(0).id;
                let stop = SubmissionCommand::Stop { id, who: who() };
                submissions(&hospital, stop).await.unwrap();
            }
            Suspended => {
                let partners = repository::Suspensions::new(hospital.house.clone());
                let now = hospital.clock.now();
                partners.say(&"sunrise".into(), true, &who(), now).await.unwrap();
            }
            LaterWithdrawn => {
                let id = row("Encounter/e2").await;
                hospital.command(Command::Withdraw { id, who: who(), wait: 0 }).await.unwrap();
            }
            Restricted => befalls(&hospital, Befalls::Restricted).await,
            Replaced => {
                let id = row("Encounter/e1").await;
                hospital.command(Command::Withdraw { id, who: who(), wait: 0 }).await.unwrap();
                later(&hospital).await;
                later(&hospital).await;
                assert!(plan.manifests()[1].1.is_some(), "another one in its place");
            }
        }
        let rest = body.next().await;
        match case {
            Nothing => assert!(rest.unwrap().is_ok() && body.next().await.is_none()),
            _ => assert!(rest.unwrap().is_err(), "{case:?}: it breaks off"),
        }
        let id = plan.told()[0].submission_id.clone();
        let story = hospital.house.story(&Chain::Sending(id.into())).await.unwrap();
        let said = story.iter().filter(|it| it.body.contains("file-refused")).count();
        // What is nobody's own matter is none of the file's.
        let own = [LaterWithdrawn, Restricted].contains(&case);
        assert_eq!(said, usize::from(own), "{case:?}");
    }
}
