//! Goal: an encounter, a report and a history of the same patient arrive at the plan, and pushing all
//! of them again changes nothing.

use crate::common::Stage;
use exchange::desk::Row;
use sim::TownPlan;
use std::collections::BTreeMap;

/// Subjects of all kinds, of the first patients of the chart.
fn subjects(stage: &Stage) -> Vec<String> {
    let patients: Vec<String> =
        stage.chart.of_kind("Patient").iter().take(3).map(|one| one.reference()).collect();
    let of_these = |one: &&sim::ChartResource| {
        let value: serde_json::Value = serde_json::from_slice(&one.bytes).unwrap();
        let owner = value["subject"]["reference"].as_str().unwrap_or_default().to_owned();
        let open = one.kind == "Encounter" && value["status"] != "finished";
        patients.contains(&owner) && !open
    };
    let of_kind = |kind: &str| -> Vec<String> {
        let all = stage.chart.of_kind(kind).iter().filter(of_these);
        all.map(|one| one.reference()).collect()
    };
    [of_kind("Encounter"), of_kind("DiagnosticReport"), patients.clone()].concat()
}

fn states(rows: &BTreeMap<String, Vec<Row>>) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for row in rows.values().flatten() {
        *counts.entry(row.state.as_str()).or_default() += 1;
    }
    counts
}

#[test]
fn all_three_kinds_arrive_and_again_change_nothing() {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(7, &plan);
    stage.serve();
    let subjects = subjects(&stage);
    for kind in ["Encounter/", "DiagnosticReport/", "Patient/"] {
        assert!(subjects.iter().any(|one| one.starts_with(kind)), "{kind}");
    }
    let first = stage.provider.push_all(&subjects);
    let counts = states(&first);
    assert!(counts.keys().all(|state| ["settled", "withheld"].contains(state)), "{counts:?}");
    assert!(counts["settled"] > subjects.len() / 2, "{counts:?}");
    let filed = stage.payers[0].records();

    let second = stage.provider.push_all(&subjects);
    for (subject, rows) in &second {
        let before = &first[subject];
        let expected = |row: &Row| if row.state == "settled" { "unchanged" } else { "withheld" };
        let expected: Vec<_> = before.iter().map(expected).collect();
        let found: Vec<_> = rows.iter().map(|row| row.state.as_str()).collect();
        assert_eq!(found, expected, "{subject}");
    }
    let again = stage.payers[0].records();
    assert_eq!(filed.len(), again.len());
    for (reference, record) in &filed {
        assert_eq!(record.version, again[reference].version, "{reference} gained no version");
    }
    stage.stop();
}
