//! Goal: a chart is asked for nothing but what US Core 6.1.0 makes SHALL, and for all types that it
//! makes so.

use provider::source::us_core::{By, SEARCHES};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = "ig-packages/hl7.fhir.us.core-6.1.0.tgz";

/// The CapabilityStatement for servers; `None`, and a line that says so, without the package.
fn statement() -> Option<Value> {
    let package = std::env::var_os("HANDOVER_DATA").map(|data| Path::new(&data).join(PACKAGE));
    let file = "package/CapabilityStatement-us-core-server.json";
    let text = package
        .filter(|package| package.exists())
        .and_then(|package| Command::new("tar").arg("-xzOf").arg(package).arg(file).output().ok());
    let read = text.and_then(|text| serde_json::from_slice(&text.stdout).ok());
    if read.is_none() {
        eprintln!("skipped: HANDOVER_DATA names no folder with {PACKAGE}, or there is no tar");
    }
    read
}

fn extension<'v>(node: &'v Value, name: &'v str) -> impl Iterator<Item = &'v Value> {
    let all = node["extension"].as_array().into_iter().flatten();
    all.filter(move |one| one["url"].as_str().is_some_and(|url| url.ends_with(name)))
}

fn shall(node: &Value) -> bool {
    let mut said = extension(node, "capabilitystatement-expectation");
    said.any(|said| said["valueCode"] == "SHALL")
}

/// The searches by patient that are SHALL: `patient`, or `patient` and one more.
fn searches(resource: &Value) -> Vec<String> {
    let single = resource["searchParam"].as_array().into_iter().flatten();
    let single = single.filter(|one| shall(one)).filter_map(|one| one["name"].as_str());
    let combined = extension(resource, "search-parameter-combination").filter(|one| shall(one));
    let combined = combined.map(|one| {
        let required = extension(one, "required").filter_map(|one| one["valueString"].as_str());
        required.collect::<Vec<_>>().join("+")
    });
    single.map(str::to_owned).chain(combined).filter(|one| one.starts_with("patient")).collect()
}

#[test]
fn a_chart_is_asked_for_what_every_certified_ehr_must_answer() {
    let Some(statement) = statement() else { return };
    let mut offered: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for resource in statement["rest"][0]["resource"].as_array().unwrap() {
        let found = searches(resource);
        if !found.is_empty() && shall(resource) {
            offered.insert(resource["type"].as_str().unwrap(), found);
        }
    }
    for (kind, by) in SEARCHES {
        let asked = match by {
            By::Patient => "patient".to_owned(),
            By::PatientAnd(name, _) => format!("patient+{name}"),
        };
        let offered = offered.remove(kind).unwrap_or_default();
        assert!(offered.contains(&asked), "{kind}: {asked} is not among {offered:?}");
    }
    assert!(offered.is_empty(), "these are SHALL as well: {offered:?}");
}
