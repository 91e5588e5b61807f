//! Goal: what was pushed about a record that was cancelled, entered in error or removed is taken back,
//! and where nothing was pushed a person is asked as before.

use crate::hospital::{EHR, ENCOUNTER, Fault, Hospital, Told, WEIGHT, searchset, status};
use exchange::desk::Row;
use exchange::{Code, TriggerId};
use provider::turn;
use serde_json::Value;
use store::House as _;

fn entered_in_error() -> Told {
    status(200, ENCOUNTER.replace("finished", "entered-in-error"))
}

fn cancelled() -> Told {
    status(200, ENCOUNTER.replace("finished", "cancelled"))
}

fn under_way() -> Told {
    status(200, ENCOUNTER.replace("finished", "in-progress"))
}

fn removed() -> Told {
    status(404, "")
}

fn erroneous_weight() -> Told {
    status(200, searchset(&[&WEIGHT.replace("final", "entered-in-error")]))
}

fn visits() -> Told {
    status(200, searchset(&[ENCOUNTER]))
}

/// Types of what a push deletes at the payer.
pub(crate) async fn deleted(hospital: &Hospital, row: &Row) -> Vec<String> {
    let push = turn::read(&hospital.house.work(&row.id).await.unwrap().unwrap().work).unwrap();
    let Some(made) = push.assembled else { return Vec::new() };
    let payload = hospital.house.blob(&made.payload).await.unwrap().unwrap();
    let bundle: Value = serde_json::from_slice(&payload).unwrap();
    let entries = bundle["entry"].as_array().unwrap().iter();
    let gone = entries.filter(|entry| entry["request"]["method"] == "DELETE");
    let url = |entry: &Value| entry["request"]["url"].as_str().unwrap_or_default().to_owned();
    let mut kinds: Vec<String> =
        gone.map(|entry| url(entry).split('/').next().unwrap_or_default().to_owned()).collect();
    kinds.sort();
    kinds
}

/// The newest push about this; several may be.
pub(crate) async fn newest(hospital: &Hospital, subject: &str) -> Row {
    let rows = hospital.work().await.into_iter().filter(|row| row.kind == "push");
    let rows = rows.filter(|row| row.subject.as_deref() == Some(subject));
    rows.max_by_key(|row| (row.changed, row.label.clone())).unwrap()
}

#[tokio::test]
async fn an_encounter_that_is_not_so_any_more_is_taken_back() {
    let table: [(&str, Fault); 3] =
        [("entered in error", entered_in_error), ("cancelled", cancelled), ("removed", removed)];
    for (case, fault) in table {
        let hospital = Hospital::open();
        hospital.push().await;
        hospital.network.spoil(&format!("GET {EHR}/Encounter/e1 "), fault);
        hospital.clock.advance(1);
        let (payers, issues) = hospital.explain().await.unwrap();
        assert!(issues.is_empty() && payers[0].nothing.is_some(), "{case}: {issues:?}");
        let named = payers[0].taken_back.iter().map(|one| one.source.as_deref().unwrap());
        let kinds: Vec<&str> = named.filter_map(|name| name.split('/').next()).collect();
        let all = ["Coverage", "Encounter", "Observation", "Patient"];
        assert_eq!(kinds, all, "{case}: explain says so first");
        hospital.push().await;
        let row = newest(&hospital, "Encounter/e1").await;
        assert_eq!(row.state, "settled", "{case}: {:?}", row.issues);
        assert_eq!(deleted(&hospital, &row).await, all, "{case}");
        hospital.clock.advance(1);
        hospital.push().await;
        let row = newest(&hospital, "Encounter/e1").await;
        assert_eq!(row.state, "withheld", "{case}: once is enough");
        hospital.network.mend();
        hospital.clock.advance(1);
        hospital.push().await;
        let row = newest(&hospital, "Encounter/e1").await;
        assert_eq!((row.state.as_str(), row.resources), ("settled", 5), "{case}: it is back");
    }
}

#[tokio::test]
async fn what_was_never_pushed_waits_for_a_person() {
    let table: [(&str, Fault, Code); 3] = [
        ("entered in error", entered_in_error, Code::EncounterUnfinished),
        ("cancelled", cancelled, Code::EncounterUnfinished),
        ("removed", removed, Code::EncounterUnknown),
    ];
    for (case, fault, code) in table {
        let hospital = Hospital::open();
        hospital.network.spoil(&format!("GET {EHR}/Encounter/e1 "), fault);
        let told = match hospital.explain().await {
            Ok((_, issues)) => issues.into_iter().map(|words| words.issue.code).collect(),
            Err(issue) => vec![issue.code],
        };
        assert_eq!(told, [code], "{case}: explain has nothing to take back either");
        hospital.push().await;
        hospital.waits(case, "held", code).await;
    }
}

#[tokio::test]
async fn an_encounter_that_goes_on_again_or_an_ehr_without_anybody_takes_nothing_back() {
    let hospital = Hospital::open();
    hospital.push().await;
    let encounter = format!("GET {EHR}/Encounter/e1 ");
    hospital.network.spoil(&encounter, under_way);
    hospital.clock.advance(1);
    hospital.push().await;
    hospital.waits("opened again", "held", Code::EncounterUnfinished).await;
    hospital.network.mend();
    hospital.network.spoil(&encounter, removed);
    hospital.network.spoil(&format!("GET {EHR}/Patient/p1 "), removed);
    hospital.clock.advance(1);
    hospital.push().await;
    hospital.network.mend();
    hospital.clock.advance(1);
    let rows = hospital.work().await;
    assert!(
        rows.iter().any(|row| row.issues.iter().any(|it| it.issue.code == Code::EncounterUnknown))
    );
    for row in rows.iter().filter(|row| row.kind == "push") {
        assert_eq!(deleted(&hospital, row).await, [""; 0], "{row:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_goes_although_another_push_brought_it_as_well() {
    let hospital = Hospital::open();
    hospital.network.spoil(&format!("GET {EHR}/Encounter?"), visits);
    hospital.push().await;
    hospital.push_for("Patient/p1", None).await;
    hospital.network.spoil(&format!("GET {EHR}/Encounter/e1 "), entered_in_error);
    hospital.clock.advance(1);
    hospital.push().await;
    let row = newest(&hospital, "Encounter/e1").await;
    assert_eq!(deleted(&hospital, &row).await, ["Encounter"], "the history holds the others");

    let hospital = Hospital::open();
    hospital.push().await;
    hospital.push_for("Patient/p1", None).await;
    hospital.network.spoil(&format!("GET {EHR}/Observation"), erroneous_weight);
    hospital.clock.advance(1);
    hospital.push().await;
    let row = newest(&hospital, "Encounter/e1").await;
    assert_eq!(deleted(&hospital, &row).await, ["Observation"], "it is withheld from both");
}

#[tokio::test]
async fn a_watch_that_sees_a_record_go_ends_by_taking_back_and_asks_nobody() {
    let hospital = Hospital::open();
    hospital.push().await;
    let who = || exchange::Who { name: "watch".into(), role: "system".into(), why: "gone".into() };
    let trigger = |id: &str, subject: &str| {
        let (id, subject) = (TriggerId(id.into()), exchange::Subject::Record(subject.into()));
        hospital.road.trigger(id, subject, None, who(), false)
    };
    hospital.network.spoil(&format!("GET {EHR}/Encounter/e"), removed);
    hospital.clock.advance(1);
    trigger("seen", "Encounter/e1").await.unwrap();
    trigger("unsent", "Encounter/e2").await.unwrap();
    let rows = hospital.work().await;
    assert!(rows.iter().all(|row| row.state == "settled"), "{rows:?}");
    let row = newest(&hospital, "Encounter/e1").await;
    assert_eq!(deleted(&hospital, &row).await.len(), 4);
    let unsent = hospital.house.work("unsent").await.unwrap().unwrap();
    assert_eq!(unsent.work.state, "scoped", "nothing waits and nothing goes");
}
