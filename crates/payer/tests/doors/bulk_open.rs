//! Goal: a bulk submission that does not end by itself is ended, set aside or gone on with, in words that
//! say so, and what waits in it is never forgotten.

use crate::bulk::{
    asked, codes, counted, observation, patient, poll, request, stands, submit, taken, told, work,
};
use crate::bulk_hostile::state;
use crate::files::{Files, Stands};
use crate::plan::{Plan, says, who};
use exchange::limits::BULK_OPEN_KEPT;
use exchange::{Code, Event};
use http::StatusCode;
use payer::bulk::Bulk;
use payer::limits::BULK_KEPT;
use repository::Suspensions;
use serde_json::json;
use std::sync::Arc;
use store::House;
use tokio::sync::Notify;

fn coverage(id: &str, patient: &str, member: &str) -> String {
    json!({
        "resourceType": "Coverage",
        "id": id,
        "status": "active",
        "subscriberId": member,
        "beneficiary": { "reference": format!("Patient/{patient}") },
        "payor": [{ "display": "plan" }],
    })
    .to_string()
}

async fn lines(plan: &Plan) -> usize {
    plan.road.house.entries(1, 10_000).await.unwrap().len()
}

#[tokio::test]
async fn a_submission_that_is_never_completed_ends_after_a_week_and_keeps_what_was_filed() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    files.file("/o.ndjson", &[observation("o1", "p1"), observation("o9", "p9")]);
    let output = [("Patient", "/p.ndjson"), ("Observation", "/o.ndjson")];
    let url = files.manifest("/manifest.json", &output);
    let numbered = |number: u32| {
        let mut body = request(&files, Some(&url), None);
        body["parameter"][1]["valueString"] = format!("sub-{number}").into();
        body
    };
    for number in 1..=payer::limits::BULK_OPEN_MAX {
        taken(&plan, "rival", &numbered(number)).await;
    }
    work(&plan).await;
    let full = submit(&plan, "rival", &numbered(99)).await;
    assert_eq!(full.status(), StatusCode::TOO_MANY_REQUESTS);
    let place = asked(&plan, "rival").await;
    plan.clock.advance(BULK_OPEN_KEPT.as_secs() - 100);
    work(&plan).await;
    assert_eq!(poll(&plan, "rival", &place).await.status(), StatusCode::ACCEPTED, "not yet");
    plan.clock.advance(200);
    work(&plan).await;
    let issue = says(&poll(&plan, "rival", &place).await, Code::SubmissionClosed);
    assert!(issue.detail.contains("what was filed of it stays"), "{issue}");
    says(
        &submit(&plan, "rival", &request(&files, None, Some("completed"))).await,
        Code::SubmissionClosed,
    );
    assert_eq!(stands(&plan).await, ["Observation/o1/1", "Patient/p1/1"]);
    assert_eq!(
        state(&plan, 1).await,
        "receipt-ended",
        "what waited was looked at for the last time"
    );
    taken(&plan, "rival", &numbered(99)).await;
    plan.clock.advance(BULK_KEPT.as_secs() + 100);
    says(&poll(&plan, "rival", &place).await, Code::StatusUnknown);
    plan.verify().await.unwrap();
}

#[tokio::test]
async fn a_request_that_changes_nothing_is_taken_and_not_kept() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    let url = files.manifest("/manifest.json", &[]);
    taken(&plan, "rival", &request(&files, Some(&url), None)).await;
    let before = lines(&plan).await;
    for number in 0..3 {
        let mut request = request(&files, None, Some("in-progress"));
        request["id"] = format!("r{number}").into();
        taken(&plan, "rival", &request).await;
    }
    assert_eq!(lines(&plan).await, before);
    let mut replaces = request(&files, None, Some("in-progress"));
    let replaced = json!({ "name": "replacesManifestUrl", "valueUrl": url });
    replaces["parameter"].as_array_mut().unwrap().push(replaced);
    taken(&plan, "rival", &replaces).await;
    assert!(lines(&plan).await > before, "it discards the manifest");
    let before = lines(&plan).await;
    replaces["id"] = "again".into();
    taken(&plan, "rival", &replaces).await;
    assert_eq!(lines(&plan).await, before);
}

#[tokio::test]
async fn a_fetch_stops_before_the_next_batch_while_its_sender_is_suspended_and_goes_on_after() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    let many: String = (0..2_500).map(|n| observation(&format!("o{n}"), "p1") + "\n").collect();
    // While the first batch is filed the second has come, and the third is on its way.
    let release = Arc::new(Notify::new());
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    files.put("/o.ndjson", Stands::Held(many.clone().into(), Arc::clone(&release)));
    let output = [("Patient", "/p.ndjson"), ("Observation", "/o.ndjson")];
    let url = files.manifest("/manifest.json", &output);
    taken(&plan, "rival", &request(&files, Some(&url), Some("completed"))).await;
    let suspensions = Suspensions::new(plan.road.house.clone());
    let at = wire::Clock::now(&*plan.clock);
    let meanwhile = async {
        let first = [("Observation".to_owned(), "o0".to_owned())];
        while plan.road.house.heads(&first).await.unwrap()[0].is_none() {
            tokio::task::yield_now().await;
        }
        suspensions.say(&"rival".into(), true, &who(), at).await.unwrap();
        release.notify_one();
    };
    tokio::join!(work(&plan), meanwhile);
    assert_eq!(stands(&plan).await.len(), 1_001, "one batch, and no other");
    assert_eq!(state(&plan, 1).await, "receipt-suspended");
    let entries = plan.road.house.entries(1, 10_000).await.unwrap();
    let mut said = entries.iter().filter_map(|entry| match entry.event() {
        Ok(Event::BulkReceived(step)) => Some(step.sentence()),
        _ => None,
    });
    assert_eq!(said.next_back().unwrap(), "not fetched while its sender is suspended");
    files.put("/o.ndjson", Stands::Whole("application/fhir+ndjson", many.into()));
    files.asked();
    plan.clock.advance(3_600);
    work(&plan).await;
    assert_eq!(files.asked(), Vec::<String>::new(), "nothing is asked of who is suspended");
    suspensions.say(&"rival".into(), false, &who(), at).await.unwrap();
    plan.road.resume_received(&"rival".into()).await.unwrap();
    work(&plan).await;
    let all = stands(&plan).await;
    assert_eq!(all.len(), 2_501);
    assert!(all.iter().all(|one| one.ends_with("/1")), "nothing is filed twice");
    let told = told(&plan, "rival").await;
    assert!(counted(&told).starts_with("2501 resources read: 2501 filed"), "{told:?}");
    plan.verify().await.unwrap();
}

#[tokio::test]
async fn what_a_partner_leaves_behind_that_is_one_no_more_is_ended() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    files.file("/o.ndjson", &[observation("o1", "p1")]);
    let first = files.manifest("/1.json", &[("Observation", "/o.ndjson")]);
    taken(&plan, "rival", &request(&files, Some(&first), None)).await;
    work(&plan).await;
    assert_eq!(state(&plan, 1).await, "receipt-waiting");
    let second = files.manifest("/2.json", &[("Observation", "/o.ndjson")]);
    taken(&plan, "rival", &request(&files, Some(&second), Some("completed"))).await;
    let plan = plan.ended_without(&files.agreed(), "rival").await;
    files.asked();
    work(&plan).await;
    plan.clock.advance(3_600);
    work(&plan).await;
    assert_eq!(files.asked(), Vec::<String>::new(), "nothing is fetched for nobody");
    for number in [1, 2] {
        assert_eq!(state(&plan, number).await, "receipt-failed");
    }
    let before = lines(&plan).await;
    plan.clock.advance(3_600);
    work(&plan).await;
    assert_eq!(lines(&plan).await, before, "it is over");
    plan.verify().await.unwrap();
}

#[tokio::test]
async fn lines_that_wait_with_more_coverages_than_are_held_are_each_filed_or_told_of() {
    let files = Files::serve().await;
    let patients: Vec<String> = (0..40).map(|n| patient(&format!("p{n}"), "", "Example")).collect();
    // Every fourth is a member by a Coverage, the others by none that is known.
    let member = |n: u32| if n.is_multiple_of(4) { "W100" } else { "W999" };
    let coverages: Vec<String> =
        (0..40).map(|n| coverage(&format!("c{n}"), &format!("p{n}"), member(n))).collect();
    let observations: Vec<String> =
        (0..40).map(|n| observation(&format!("o{n}"), &format!("p{n}"))).collect();
    // Patients and Coverages wait in two manifests, what is about them in a third.
    let parts = [("Observation", observations), ("Coverage", coverages), ("Patient", patients)];
    for room in [1 << 20, 1_500] {
        let plan = Plan::open_for(Some(&files.agreed()), Bulk::with_coverages(room));
        for (kind, lines) in &parts {
            let path = format!("/{kind}.ndjson");
            files.file(&path, lines);
            let url = files.manifest(&format!("/{kind}.json"), &[(kind, &path)]);
            taken(&plan, "rival", &request(&files, Some(&url), None)).await;
            work(&plan).await;
        }
        assert_eq!(stands(&plan).await, Vec::<String>::new());
        taken(&plan, "rival", &request(&files, None, Some("completed"))).await;
        work(&plan).await;
        let all = stands(&plan).await;
        assert_eq!(all.len(), 30, "room for {room}: {all:?}");
        let told = codes(&told(&plan, "rival").await);
        let refused: Vec<&(String, String)> =
            told.iter().filter(|(code, _)| code != "counted").collect();
        assert_eq!(refused.len(), 90, "room for {room}");
        let about =
            |kind: &str| refused.iter().filter(|(_, about)| about.starts_with(kind)).count();
        assert_eq!([about("Patient/"), about("Coverage/"), about("Observation/")], [30; 3]);
        plan.verify().await.unwrap();
    }
}

#[tokio::test]
async fn what_was_told_of_another_edition_of_a_file_is_told_no_more() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    let good: Vec<String> = (0..1_500).map(|n| observation(&format!("o{n}"), "p1")).collect();
    let mut bad = good.clone();
    bad[0] = bad[0].replace("\"Observation\"", "\"Condition\"");
    bad[1] = observation("o1", "p9");
    let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let (bad, whole) = (text(&bad), text(&good));
    let cut = Stands::Cut(bad.clone().into(), bad.len() - 20);
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    files.script("/o.ndjson", [cut, Stands::Whole("application/fhir+ndjson", whole.into())]);
    let output = json!({ "output": [
        { "type": "Patient", "url": "/p.ndjson" },
        { "type": "Observation", "url": "/o.ndjson", "count": 1_500 },
    ] });
    let url = files.manifest_with("/manifest.json", &[], output);
    taken(&plan, "rival", &request(&files, Some(&url), Some("completed"))).await;
    work(&plan).await;
    plan.clock.advance(60);
    work(&plan).await;
    let told = told(&plan, "rival").await;
    assert_eq!(codes(&told), [("counted".to_owned(), String::new())]);
    assert!(counted(&told).starts_with("1501 resources read"), "{}", counted(&told));
    assert!(counted(&told).ends_with("0 refused"), "{}", counted(&told));
    assert_eq!(stands(&plan).await.len(), 1_501);
    plan.verify().await.unwrap();
}

#[tokio::test]
async fn a_manifest_of_a_flood_of_values_is_refused_or_passed_over() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    let zeros = vec![0; 300_000];
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    let output = [("Patient", "/p.ndjson")];
    let unknown = files.manifest_with("/1.json", &output, json!({ "mystery": zeros }));
    let listed = files.manifest_with("/2.json", &output, json!({ "deleted": zeros }));
    taken(&plan, "rival", &request(&files, Some(&unknown), None)).await;
    taken(&plan, "rival", &request(&files, Some(&listed), Some("completed"))).await;
    work(&plan).await;
    assert_eq!(stands(&plan).await, ["Patient/p1/1"]);
    let told: Vec<(String, String)> = codes(&told(&plan, "rival").await);
    let expected: Vec<(String, String)> = [("counted", ""), ("manifest-invalid", "")]
        .map(|(code, about): (&str, &str)| (code.to_owned(), about.to_owned()))
        .into();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn people_see_of_a_bulk_submission_how_it_stands_and_whom_it_waits_for() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    files.file("/o.ndjson", &[observation("o1", "p1"), observation("o9", "p9")]);
    let first =
        files.manifest("/1.json", &[("Patient", "/p.ndjson"), ("Observation", "/o.ndjson")]);
    taken(&plan, "rival", &request(&files, Some(&first), None)).await;
    work(&plan).await;
    let row = plan.list().await.into_iter().next().unwrap();
    assert_eq!((row.kind.as_str(), row.label.as_deref()), ("bulk submission", Some("sub-1")));
    assert_eq!((row.state.as_str(), row.resources), ("bulk-in-progress", 3));
    assert_eq!(
        row.subject.as_deref(),
        Some(
            "1 of 1 manifests fetched, 1 lines wait for their Patients; its submitter has not said \
             that it is complete"
        )
    );
    files.put("/2.json", Stands::Status(503));
    let second = format!("{}/2.json", files.url);
    taken(&plan, "rival", &request(&files, Some(&second), Some("completed"))).await;
    work(&plan).await;
    let row = plan.list().await.into_iter().next().unwrap();
    assert!(row.next_at.is_some() && row.subject.unwrap().contains("1 of 2 manifests fetched"));
    assert_eq!(row.issues[0].issue.code, Code::FileUnreachable);
    assert_eq!(row.issues[0].issue.expression.as_deref(), Some("manifest 2"));
    for id in [&row.id[..8], "sub-1"] {
        let shown = plan.show(id).await;
        assert_eq!(shown.row.id, row.id);
        let what: Vec<&str> = shown.timeline.iter().map(|line| line.what.as_str()).collect();
        assert!(what.contains(&"manifest 1: manifest read: 2 files on 1 pages"), "{what:?}");
        assert!(what.iter().all(|line| !line.contains("127.0.0.1")), "no URL in words: {what:?}");
        let seqs = shown.timeline.iter().map(|line| line.seq);
        assert!(seqs.is_sorted());
    }
}
