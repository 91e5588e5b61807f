//! Goal: everything that a payer says of a submission is read, whatever page it is on, and what it gives
//! back or asks for is told: nothing of it is passed over.

use crate::bulk::{hospital, later, push_all, states, submissions};
use crate::bulk_plan::BulkPlan;
use crate::hospital::Hospital;
use exchange::bulk::outcome::refused;
use exchange::bulk::{Dialect, StatusFile};
use exchange::desk::{Command, Reply, SubmissionCommand, SubmissionRow};
use exchange::{Code, Issue};

fn file(kind: Option<&str>, url: &str) -> StatusFile {
    StatusFile { kind: kind.map(str::to_owned), url: url.to_owned(), ..StatusFile::default() }
}

async fn row(hospital: &Hospital) -> SubmissionRow {
    let list = SubmissionCommand::List { limit: None };
    submissions(hospital, list).await.unwrap().remove(0)
}

/// The story of the only submission, as `show` tells it.
async fn story(hospital: &Hospital) -> String {
    let show = SubmissionCommand::Show { id: row(hospital).await.id };
    match hospital.command(Command::Submission(show)).await.unwrap() {
        Reply::Submissions(told) => {
            told.timeline.into_iter().map(|line| line.what + "\n").collect()
        }
        other => panic!("{other:?}"),
    }
}

fn refuses(plan: &BulkPlan) {
    let issue = Issue::new(Code::FileUnreachable, "a file did not come");
    plan.says.lock().unwrap().push(refused(Dialect::Ballot, &[], [&issue]));
}

#[tokio::test]
async fn what_a_payer_gives_back_or_asks_for_is_told() {
    let measures = [Some("MeasureReport"), Some("MeasureReport"), Some("<b>no type</b>"), None];
    let given: Vec<_> = measures.iter().map(|kind| file(*kind, "given/1.ndjson")).collect();
    let asked = vec![file(Some("Bundle"), "given/2.ndjson")];
    // What comes back; the words for it; whether the status goes, and with it the files.
    let table = [
        (vec![], vec![], "the payer has done with it\n", 1),
        (vec![], asked.clone(), "it asks for deletions, in 1 files\n", 0),
        (
            given,
            asked,
            "it gives back 2 of MeasureReport; it gives back 2 of other types; it asks",
            0,
        ),
    ];
    for (output, deleted, words, gone) in table {
        let (hospital, plan) = hospital("", BulkPlan::default());
        *plan.back.lock().unwrap() = (output.clone(), deleted.clone());
        push_all(&hospital, &["e1", "e2"]).await;
        later(&hospital).await;
        assert_eq!(states(&later(&hospital).await), ["settled"; 2], "{words}");
        let told = story(&hospital).await;
        assert!(told.contains(words), "{words}: {told}");
        assert!(
            !told.contains("given/") && !told.contains("<b>"),
            "no address, no odd word: {told}"
        );
        let back = row(&hospital).await.back;
        assert_eq!(back.output.values().sum::<u64>(), output.len() as u64);
        assert_eq!(back.deleted, deleted.len() as u64);
        assert_eq!(*plan.deleted.lock().unwrap(), gone, "{words}");
    }
}

#[tokio::test]
async fn pages_of_a_status_are_followed() {
    let (hospital, plan) = hospital("", BulkPlan { paged: true, ..BulkPlan::default() });
    refuses(&plan);
    plan.back.lock().unwrap().0.push(file(Some("MeasureReport"), "given/1.ndjson"));
    push_all(&hospital, &["e1"]).await;
    later(&hospital).await;
    assert_eq!(states(&later(&hospital).await), ["held"], "the second page refuses");
    assert_eq!(row(&hospital).await.back.output["MeasureReport"], 2, "one on each page");
}

#[tokio::test]
async fn a_payer_that_counts_beyond_any_number_is_asked_on() {
    let double = BulkPlan { partly: true, countless: true, ..BulkPlan::default() };
    let (hospital, plan) = hospital("", double);
    refuses(&plan);
    *plan.busy.lock().unwrap() = true;
    push_all(&hospital, &["e1"]).await;
    for _ in 0..2 {
        later(&hospital).await;
    }
    assert_eq!(states(&later(&hospital).await), ["submitted"]);
    assert_eq!(row(&hospital).await.partly, Some((1, u64::MAX)));
}

#[tokio::test]
async fn what_is_said_while_the_payer_is_at_work_is_told_and_settles_nothing() {
    for partly in [true, false] {
        let (hospital, plan) = hospital("", BulkPlan { partly, ..BulkPlan::default() });
        refuses(&plan);
        *plan.busy.lock().unwrap() = true;
        push_all(&hospital, &["e1"]).await;
        for _ in 0..20 {
            later(&hospital).await;
        }
        assert_eq!(states(&later(&hospital).await), ["submitted"]);
        assert_eq!(row(&hospital).await.partly, partly.then_some((1, 2)));
        let said = story(&hospital).await.matches("1 files of outcomes, 2 errors").count();
        assert_eq!(said, usize::from(partly), "once, though it was polled many times");
        *plan.busy.lock().unwrap() = false;
        for _ in 0..20 {
            later(&hospital).await;
        }
        assert_eq!(states(&later(&hospital).await), ["held"]);
        assert_eq!(row(&hospital).await.partly, None, "the last word has all of it");
    }
}
