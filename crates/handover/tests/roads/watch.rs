//! Whoever is on the roster is looked at by a running house, and a kill makes nothing twice.

use crate::common::{House, Stage};
use crate::projection::rows_are_what_their_lines_add_up_to;
use exchange::Trigger;
use serde_json::Value;
use sim::TownPlan;
use std::collections::BTreeSet;
use store::WorkKind;

const PATIENTS: usize = 6;

/// What is to be triggered of a chart: finished encounters, and reports that are final or corrected.
fn news(stage: &Stage) -> BTreeSet<String> {
    let told = |kind: &str, told: &[&str]| -> Vec<String> {
        let is_told = |bytes: &[u8]| {
            let resource: Value = serde_json::from_slice(bytes).unwrap();
            told.contains(&resource["status"].as_str().unwrap_or_default())
        };
        let all = stage.chart.of_kind(kind).iter().filter(|one| is_told(&one.bytes));
        all.map(|one| one.reference()).collect()
    };
    let results = ["final", "amended", "corrected", "appended", "cancelled"];
    let encounters = told("Encounter", &["finished"]);
    encounters.into_iter().chain(told("DiagnosticReport", &results)).collect()
}

fn triggered(house: &House) -> Vec<String> {
    let rows = house.works(WorkKind::Trigger);
    let read = |row: store::StoredWork| serde_json::from_slice::<Trigger>(&row.work.body).unwrap();
    rows.into_iter().map(|row| read(row).subject.to_string()).collect()
}

#[test]
fn every_patient_is_looked_at_and_a_kill_makes_no_trigger_twice() {
    let plan = TownPlan {
        hospitals: 1,
        plans: 1,
        patients_per_hospital: PATIENTS,
        encounters_per_patient: 1..=2,
    };
    let (mut stage, _) = Stage::of_town(5, &plan);
    let roster: Vec<_> = stage.chart.of_kind("Patient").iter().map(|one| one.reference()).collect();
    assert_eq!(roster.len(), PATIENTS);
    stage.provider.write("roster.csv", &roster.join("\n"));
    let house = stage.provider.read("house.toml");
    let watch =
        "\n[watch]\nroster = \"roster.csv\"\nrequests_per_minute = 0\nsince = \"1900-01-01\"\n";
    stage.provider.write("house.toml", &(house + watch));

    stage.provider.serve_with(&[("HANDOVER_HALT_AFTER", "watched:2")]);
    stage.provider.process().wait_halted();
    stage.provider.kill();
    let looked = |house: &House| {
        let rows = house.works(WorkKind::Watch);
        rows.iter().filter_map(provider_row).filter(|row| row.watch.looked).count()
    };
    let before = looked(&stage.provider);
    assert!((2..=PATIENTS).contains(&before), "{before}");
    if before < PATIENTS {
        let left = format!("watched:{}", PATIENTS - before);
        stage.provider.serve_with(&[("HANDOVER_HALT_AFTER", &left)]);
        stage.provider.process().wait_halted();
        stage.provider.kill();
    }
    assert_eq!(looked(&stage.provider), PATIENTS);

    let mut triggered = triggered(&stage.provider);
    triggered.sort();
    let expected: Vec<_> = news(&stage).into_iter().collect();
    assert!(expected.len() > PATIENTS, "{}", expected.len());
    assert_eq!(triggered, expected, "each of them once, and nothing else");
    let states = rows_are_what_their_lines_add_up_to(&stage.provider);
    assert!(states.contains("watching"), "{states:?}");

    stage.serve();
    let (code, reply) = stage.provider.json(&["watch"]);
    assert_eq!(code, 0, "{reply}");
    assert!(reply["lines"][1]["found"].as_str().unwrap().starts_with("6 on it"), "{reply}");
    stage.stop();
}

fn provider_row(row: &store::StoredWork) -> Option<exchange::watch::WatchRow> {
    serde_json::from_slice(&row.work.body).ok()
}
