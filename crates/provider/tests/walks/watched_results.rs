//! Goal: results are news of what their payers take, and where nobody takes them nobody is asked.

use crate::hospital::{EHR, Told, WEIGHT, searchset, status};
use crate::watch::{Ward, encounter, nobody, visit};

fn lab(value: &str) -> Told {
    let lab = WEIGHT.replace("vital-signs", "laboratory");
    let lab = lab.replace(r#""id":"o1""#, &format!(r#""id":"o1","valueString":"{value}""#));
    status(200, searchset(&[&lab]))
}

fn first() -> Told {
    lab("1")
}

fn corrected() -> Told {
    lab("2")
}

fn report() -> Told {
    let text = r#"{"resourceType":"DiagnosticReport","id":"r1","status":"final","subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/e1"},"effectiveDateTime":"2026-11-22","result":[{"reference":"Observation/o1"}]}"#;
    status(200, searchset(&[text]))
}

fn cancelled() -> Told {
    status(200, searchset(&[&encounter("e1", "cancelled", "2026-11-22")]))
}

const LABS: &str =
    "GET https://ehr.example/fhir/Observation?patient=Patient%2Fp1&category=laboratory ";

async fn ward(kinds: Option<&str>) -> Ward {
    let mut ward = Ward::new("p1\n");
    if let Some(kinds) = kinds {
        let line = format!("kinds = [{kinds}]\n");
        ward.hospital = ward.hospital.with_terms(|text| line.clone() + &text);
    }
    ward.take_up().await;
    ward
}

#[tokio::test]
async fn a_corrected_result_is_news_of_its_report_or_of_its_encounter() {
    let report_only: fn() -> Told = report;
    for (case, reports, news) in [
        ("in a report", report_only, "DiagnosticReport/r1"),
        ("in no report", nobody, "Encounter/e1"),
    ] {
        let ward = ward(None).await;
        ward.holds(visit, reports);
        ward.hospital.network.spoil(LABS, first);
        let before = ward.look().await;
        assert_eq!(ward.look().await, before, "{case}: once");
        ward.holds(visit, reports);
        ward.hospital.network.spoil(LABS, corrected);
        let mut after = before.clone();
        after.push(news.to_owned());
        assert_eq!(ward.look().await, after, "{case}");
        assert_eq!(ward.look().await, after, "{case}: once");
        ward.adds_up().await;
    }
}

#[tokio::test]
async fn where_nobody_takes_reports_they_are_news_of_their_encounter() {
    let ward = ward(Some(r#""encounter""#)).await;
    ward.holds(visit, nobody);
    assert_eq!(ward.look().await, ["Encounter/e1"]);
    ward.holds(visit, report);
    ward.hospital.network.spoil(LABS, first);
    assert_eq!(ward.look().await, ["Encounter/e1", "Encounter/e1"], "a late report");
    let rows = ward.hospital.work().await;
    assert!(rows.iter().all(|row| row.state != "held"), "nobody is asked: {rows:?}");
    ward.adds_up().await;
}

#[tokio::test]
async fn where_nobody_takes_encounters_nothing_waits_for_one() {
    let ward = ward(Some(r#""results""#)).await;
    ward.holds(visit, nobody);
    assert!(ward.look().await.is_empty());
    assert!(ward.hospital.work().await.is_empty());
}

#[tokio::test]
async fn an_encounter_that_is_cancelled_after_it_was_seen_is_taken_back_by_itself() {
    let ward = ward(None).await;
    ward.holds(visit, nobody);
    ward.look().await;
    ward.holds(cancelled, nobody);
    ward.hospital.network.spoil(&format!("GET {EHR}/Encounter/e1 "), || {
        status(200, encounter("e1", "cancelled", "2026-11-22"))
    });
    assert_eq!(ward.look().await, ["Encounter/e1", "Encounter/e1"]);
    let rows = ward.hospital.work().await;
    assert!(rows.iter().all(|row| row.state == "settled"), "{rows:?}");
    let row = crate::gone::newest(&ward.hospital, "Encounter/e1").await;
    assert!(crate::gone::deleted(&ward.hospital, &row).await.contains(&"Encounter".to_owned()));
}
