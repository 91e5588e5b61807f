//! Goal: an encounter's push waits for its record as agreed, and `explain` says so before; what falls
//! out of a history's window, or what the EHR no longer speaks of, stays at the payer.

use crate::gone::{deleted, newest};
use crate::hospital::{EHR, ENCOUNTER, Hospital, Told, WEIGHT, searchset, status};
use exchange::Code;

const DIAGNOSIS: &str = r#"{"resourceType":"Condition","id":"d1","subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/e1"},"recordedDate":"2026-11-20","code":{"coding":[{"system":"urn:icd","code":"J45.40"}]}}"#;

fn coded() -> Told {
    status(200, searchset(&[DIAGNOSIS]))
}

fn weight_of_the_visit() -> Told {
    let dated = r#""effectiveDateTime":"2026-11-20T09:30:00Z","subject""#;
    status(200, searchset(&[&WEIGHT.replace(r#""subject""#, dated)]))
}

fn visits() -> Told {
    status(200, searchset(&[ENCOUNTER]))
}

fn nothing() -> Told {
    status(200, searchset(&[]))
}

/// A statement that lists the types a chart is asked for, without Observation.
fn without_observations() -> Told {
    let kinds = ["Encounter", "Condition", "Coverage", "DiagnosticReport", "Patient"];
    let kinds: Vec<_> = kinds
        .iter()
        .map(|kind| serde_json::json!({ "type": kind, "searchParam": [{ "name": "patient" }] }))
        .collect();
    let statement = serde_json::json!({ "resourceType": "CapabilityStatement",
        "rest": [{ "mode": "server", "resource": kinds }] });
    status(200, statement.to_string())
}

fn waits_for_codes() -> Hospital {
    Hospital::open().with_terms(|text| {
        text.replace("wait_for = []", "wait_for = [\"coded\"]")
            .replace("max_wait_hours = 48", "max_wait_hours = 3")
    })
}

#[tokio::test]
async fn a_push_waits_until_the_record_is_ready() {
    let hospital = waits_for_codes();
    let (before, _) = hospital.explain().await.unwrap();
    hospital.push().await;
    let issue = hospital.waits("not coded", "due", Code::RecordNotReady).await;
    assert_eq!(before[0].waits[0].issue, issue, "explain has said so");
    assert!(!before[0].decisions.is_empty(), "and what would go");
    assert!(hospital.network.sent_nothing());
    hospital.network.spoil(&format!("GET {EHR}/Condition"), coded);
    hospital.clock.advance(1);
    let rows = hospital.work().await;
    assert_eq!((rows[0].state.as_str(), rows[0].resources), ("settled", 6));
    assert!(hospital.explain().await.unwrap().0[0].waits.is_empty());
}

#[tokio::test]
async fn a_push_goes_with_what_is_there_once_the_agreed_wait_is_over() {
    let hospital = waits_for_codes();
    hospital.push().await;
    for _ in 0..2 {
        hospital.clock.advance(1);
        hospital.waits("not coded", "due", Code::RecordNotReady).await;
    }
    hospital.clock.advance(1);
    let rows = hospital.work().await;
    assert_eq!((rows[0].state.as_str(), rows[0].resources), ("settled", 5), "{:?}", rows[0].issues);
    hospital.network.spoil(&format!("GET {EHR}/Condition"), coded);
    hospital.clock.advance(1);
    hospital.push().await;
    let late = newest(&hospital, "Encounter/e1").await;
    assert_eq!((late.state.as_str(), late.resources), ("settled", 6), "what comes late follows");
}

#[tokio::test]
async fn an_encounter_that_is_no_visit_is_not_pushed_and_explain_says_why() {
    let no_visit = |text: String| text.replace("visits = []", "visits = [\"IMP\"]");
    let hospital = Hospital::open().with_terms(no_visit);
    let (before, _) = hospital.explain().await.unwrap();
    let rows = hospital.push().await;
    assert_eq!(rows[0].state, "withheld");
    assert_eq!(before[0].waits[0].issue, rows[0].issues[0].issue);
    assert!(before[0].decisions.is_empty() && hospital.network.sent_nothing());
}

#[tokio::test]
async fn what_falls_out_of_a_historys_window_stays_at_the_payer() {
    let window = |text: String| text.replace("# look_back_days = 1095", "look_back_days = 30");
    let hospital = Hospital::open().with_terms(window);
    hospital.network.spoil(&format!("GET {EHR}/Encounter?"), visits);
    hospital.network.spoil(&format!("GET {EHR}/Observation"), weight_of_the_visit);
    hospital.push_for("Patient/p1", None).await;
    let first = newest(&hospital, "Patient/p1").await;
    assert_eq!((first.state.as_str(), first.resources), ("settled", 5), "{:?}", first.issues);
    hospital.clock.advance(24 * 60);
    hospital.push_for("Patient/p1", None).await;
    let later = newest(&hospital, "Patient/p1").await;
    assert_eq!((later.state.as_str(), later.resources), ("settled", 3), "{:?}", later.issues);
    let rules: Vec<_> = later.withheld.iter().map(|one| one.rule.as_str()).collect();
    assert!(rules.contains(&"outside-window"), "{rules:?}");
    assert_eq!(deleted(&hospital, &later).await, [""; 0], "it is not gone from the chart");
}

#[tokio::test]
async fn only_what_was_asked_for_and_is_not_there_any_more_is_taken_back() {
    let hospital = Hospital::open();
    hospital.push().await;
    let metadata = format!("GET {EHR}/metadata");
    hospital.network.spoil(&metadata, without_observations);
    let hospital = hospital.restarted_with("sunrise");
    hospital.clock.advance(1);
    hospital.push().await;
    let row = newest(&hospital, "Encounter/e1").await;
    assert_eq!((row.state.as_str(), row.resources), ("settled", 4), "without the Observation");
    assert_eq!(deleted(&hospital, &row).await, [""; 0], "nobody asked for Observations");
    hospital.network.mend();
    let hospital = Hospital::open();
    hospital.push().await;
    hospital.network.spoil(&format!("GET {EHR}/Observation"), nothing);
    hospital.clock.advance(1);
    hospital.push().await;
    let row = newest(&hospital, "Encounter/e1").await;
    assert_eq!(deleted(&hospital, &row).await, ["Observation"]);
}
