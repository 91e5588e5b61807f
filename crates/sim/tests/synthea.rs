//! Goal: charts that others wrote load whole, and come out as they went in but for references.
//!
//! How: `HANDOVER_DATA` names the folder of shared data. The files are read a second time here, as
//! trees, without the loader. Without the variable, one line says that nothing was checked.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sim::chart::LoadPlan;
use sim::overlay::{Amendment, Reason};
use sim::town::{NAIC, PayerId, Plan};
use sim::{Chart, ChartResource, Overlay, OverlayRules};
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Patients of the slower tests.
const PATIENTS: usize = 10;

fn data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HANDOVER_DATA");
    if root.is_none() {
        eprintln!("skipped: HANDOVER_DATA is not set, so no chart of others was loaded");
    }
    root.map(|root| Path::new(&root).join(folder))
}

fn unpack(path: &Path) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

#[derive(Deserialize)]
struct Bundle {
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    resource: Box<RawValue>,
}

/// The source text of the resources of the first files, by type and id.
fn sources(folder: &Path, files: usize) -> HashMap<String, String> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let mut sources = HashMap::new();
    for path in paths.iter().take(files) {
        let bundle: Bundle = serde_json::from_str(&unpack(path)).unwrap();
        for entry in bundle.entry {
            let value: Value = serde_json::from_str(entry.resource.get()).unwrap();
            let key = |member: &str| value[member].as_str().unwrap().to_owned();
            sources.insert(
                format!("{}/{}", key("resourceType"), key("id")),
                entry.resource.get().to_owned(),
            );
        }
    }
    sources
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(members) => {
            found.extend(members.get("reference").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| references(member, found));
        }
        _ => {}
    }
}

fn text(resource: &ChartResource) -> &str {
    std::str::from_utf8(&resource.bytes).unwrap()
}

/// The text cut at the values of `"reference":"…"`, in the compact spelling of these files.
fn around_references(text: &str) -> Vec<&str> {
    let mut parts = text.split("\"reference\":\"");
    let first = parts.next();
    first.into_iter().chain(parts.map(|part| &part[part.find('"').unwrap()..])).collect()
}

fn check_resolved(chart: &Chart) {
    let mut count = 0;
    for resource in chart {
        let mut found = Vec::new();
        references(&serde_json::from_slice(&resource.bytes).unwrap(), &mut found);
        for reference in found.iter().filter(|reference| !reference.starts_with('#')) {
            count += 1;
            assert!(chart.find(reference).is_some(), "a {} leads nowhere", resource.kind);
        }
        assert!(!text(resource).contains("\"reference\":\"urn:uuid:"));
    }
    assert!(count > 1_000);
}

#[test]
fn ten_patients_come_out_as_they_went_in_but_for_references() {
    let Some(folder) = data("synthea-us-core-bundles") else { return };
    let chart = Chart::load(&folder, Some(PATIENTS)).unwrap();
    assert_eq!(chart.of_kind("Patient").len(), PATIENTS);
    assert_eq!(chart.of_kind("PractitionerRole").len(), 195);
    check_resolved(&chart);

    // The two information Bundles come first by name, then the patients.
    let sources = sources(&folder, PATIENTS + 2);
    assert_eq!(chart.len(), sources.len());
    let mut decimals = 0;
    for resource in &chart {
        let source = &sources[&resource.reference()];
        assert_eq!(
            around_references(text(resource)),
            around_references(source),
            "{}",
            resource.kind
        );
        decimals += source.matches(".0,").count();
    }
    assert!(decimals > 0, "decimals that end in zero were among them");
}

#[test]
fn all_hundred_patients_load_and_every_reference_leads_somewhere() {
    let Some(folder) = data("synthea-us-core-bundles") else { return };
    let loaded = Chart::load_with(&[&folder], &LoadPlan::default()).unwrap();
    assert_eq!((loaded.files, loaded.chart.len() + loaded.repeated), (102, 80_513));
    assert_eq!((loaded.given_ids, loaded.without_resource), (0, 0));
    assert_eq!(loaded.chart.of_kind("Patient").len(), 100);
    check_resolved(&loaded.chart);
}

#[test]
fn a_bulk_export_loads_with_its_log_left_aside() {
    let Some(folder) = data("smart-bulk-10-patients") else { return };
    let loaded = Chart::load_with(&[&folder], &LoadPlan::default()).unwrap();
    assert_eq!((loaded.files, loaded.without_resource), (14, 4));
    check_resolved(&loaded.chart);
    let few = Chart::load(&folder, Some(3)).unwrap();
    assert_eq!(few.of_kind("Patient").len(), 3);
    assert!(few.len() < loaded.chart.len());
    check_resolved(&few);
}

#[test]
fn the_overlay_makes_ten_patients_pushable_and_says_what_is_to_come_of_it() {
    let Some(folder) = data("synthea-us-core-bundles") else { return };
    let chart = Chart::load(&folder, Some(PATIENTS)).unwrap();
    let plan = |name: &str, value: &str| Plan {
        name: name.to_owned(),
        payer_id: PayerId { system: NAIC.to_owned(), value: value.to_owned() },
        members: Vec::new(),
    };
    let plans = vec![plan("one", "99001"), plan("two", "99002")];
    let overlay = Overlay { plans, restrict_every: Some(7), ..Overlay::default() };
    let overlaid = overlay.apply(&chart, &OverlayRules::usual()).unwrap();
    assert_eq!(overlaid.expectation.without_payer, 0);
    assert!(!overlaid.restrictions.is_empty());
    let finished = chart.of_kind("Encounter").len();
    let mut pushes = 0;
    for payer in &overlaid.expectation.payers {
        pushes += payer.pushes.len() + payer.pushes_withheld.len();
        assert!(payer.unresolved.is_empty() && payer.held.is_empty());
        assert!(payer.withheld_for(Reason::PatientRestriction) > 0);
        let financial = |reference: &String| {
            reference.starts_with("Claim/") || reference.starts_with("ExplanationOfBenefit/")
        };
        assert!(!payer.filed.iter().any(financial));
        let across = payer.pushes.iter().filter(|(encounter, travels)| {
            travels.iter().any(|other| other.starts_with("Encounter/") && other != *encounter)
        });
        assert!(across.count() > 0, "some pushes carry another encounter's diagnosis");
    }
    assert_eq!(pushes, finished, "every finished encounter is a push, or withheld");

    let amendment =
        Amendment::first_laboratory_result(&overlaid.chart, &overlaid.expectation).unwrap();
    let changed: usize = amendment.pushes.values().map(Vec::len).sum();
    assert_eq!(changed, 1, "one result, one push");
}
