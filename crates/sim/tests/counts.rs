//! Goal: what the hundred charts hold is counted once more, without the overlay, and the overlay's
//! expectation without withholding rules files exactly that.
//!
//! How: `HANDOVER_DATA` names the folder of shared data; files are read here as trees. Without the
//! variable, one line says that nothing was counted. The expectation is computed for a few patients,
//! for all of them with `HANDOVER_CHARTS=1000`.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use serde_json::Value;
use sim::overlay::{Each, PushKind};
use sim::town::{NAIC, PayerId, Plan};
use sim::{Chart, Overlay, OverlayRules};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Patients of the slower test, unless `HANDOVER_CHARTS` says otherwise.
const PATIENTS: usize = 5;

fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("HANDOVER_DATA");
    if root.is_none() {
        eprintln!("skipped: HANDOVER_DATA is not set, so no chart of others was counted");
    }
    root.map(|root| Path::new(&root).join("synthea-us-core-bundles"))
}

/// What is counted, each by a definition of its own.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Encounter with `status` finished.
    finished: usize,
    /// Encounter of any status.
    encounters: usize,
    /// DiagnosticReport with a category LAB (v2 table 0074).
    laboratory_reports: usize,
    /// DiagnosticReport of any category.
    reports: usize,
    /// Observation of any category.
    observations: usize,
    /// Observation with a category laboratory.
    laboratory: usize,
    /// Observation that names no encounter.
    unlinked: usize,
    /// Observation that some report lists as its result.
    listed: usize,
}

fn count(folder: &Path) -> Counts {
    let mut counts = Counts::default();
    let (mut listed, mut observations) = (BTreeSet::new(), BTreeSet::new());
    for file in std::fs::read_dir(folder).unwrap() {
        let mut text = String::new();
        let file = std::fs::File::open(file.unwrap().path()).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        let bundle: Value = serde_json::from_str(&text).unwrap();
        for entry in bundle["entry"].as_array().unwrap() {
            let resource = &entry["resource"];
            let has = |code: &str| {
                let categories = resource["category"].as_array().unwrap().iter();
                categories
                    .flat_map(|one| one["coding"].as_array().unwrap())
                    .any(|c| c["code"] == code)
            };
            match resource["resourceType"].as_str().unwrap() {
                "Encounter" => {
                    counts.encounters += 1;
                    counts.finished += usize::from(resource["status"] == "finished");
                }
                "DiagnosticReport" => {
                    counts.reports += 1;
                    counts.laboratory_reports += usize::from(has("LAB"));
                    let results = resource["result"].as_array().into_iter().flatten();
                    listed.extend(results.map(|one| one["reference"].as_str().unwrap().to_owned()));
                }
                "Observation" => {
                    counts.observations += 1;
                    counts.laboratory += usize::from(has("laboratory"));
                    counts.unlinked += usize::from(resource["encounter"].is_null());
                    observations.insert(entry["fullUrl"].as_str().unwrap().to_owned());
                }
                _ => {}
            }
        }
    }
    counts.listed = listed.intersection(&observations).count();
    counts
}

fn plan(name: &str, value: &str) -> Plan {
    let payer_id = PayerId { system: NAIC.to_owned(), value: value.to_owned() };
    Plan { name: name.to_owned(), payer_id, members: Vec::new() }
}

/// What the shipped agreement permits, without any rule that withholds.
fn rules() -> OverlayRules {
    let mut rules = OverlayRules::usual();
    rules.kinds = PushKind::ALL.to_vec();
    rules.history = rules.asked.clone();
    rules.history.insert("Encounter".to_owned());
    rules
}

#[test]
fn the_hundred_charts_hold_so_many_encounters_reports_and_observations() {
    let Some(folder) = folder() else { return };
    let expected = Counts {
        finished: 4_154,
        encounters: 4_154,
        laboratory_reports: 3_012,
        reports: 7_166,
        observations: 37_523,
        laboratory: 25_714,
        unlinked: 0,
        listed: 24_118,
    };
    assert_eq!(count(&folder), expected);
}

#[test]
fn without_rules_that_withhold_each_plan_is_to_file_what_the_charts_hold() {
    let Some(folder) = folder() else { return };
    let patients = std::env::var("HANDOVER_CHARTS").ok().and_then(|count| count.parse().ok());
    let patients = patients.unwrap_or(PATIENTS);
    let chart = Chart::load(&folder, Some(patients)).unwrap();
    let patients = chart.of_kind("Patient").len();
    let laboratory = chart.of_kind("DiagnosticReport").iter().filter(|report| {
        std::str::from_utf8(&report.bytes).unwrap().contains("us-core-diagnosticreport-lab")
    });
    let laboratory = laboratory.count();
    let kinds = ["Encounter", "Observation", "DiagnosticReport"];
    let held = kinds.map(|kind| chart.of_kind(kind).len());
    if patients == 100 {
        assert_eq!((held, laboratory), ([4_154, 37_523, 7_166], 3_012));
    }
    let plans = vec![plan("one", "99001"), plan("two", "99002")];
    for unlink_percent in [0, 15] {
        let plans = plans.clone();
        let overlay = Overlay { plans, coverages: Each::All, unlink_percent, ..Overlay::default() };
        let overlaid = overlay.apply(&chart, &rules()).unwrap();
        for payer in &overlaid.expectation.payers {
            let pushes = PushKind::ALL.map(|kind| payer.subjects(kind).len());
            assert_eq!(pushes, [held[0], laboratory, patients]);
            assert_eq!(kinds.map(|kind| payer.filed_of(kind)), held);
            assert!(payer.held.is_empty() && payer.unresolved.is_empty());
            eprintln!(
                "{unlink_percent} % unlinked, {}: pushes {pushes:?}, filed {}, not asked for {}",
                payer.name,
                payer.filed.len(),
                payer.not_asked
            );
        }
    }
}
