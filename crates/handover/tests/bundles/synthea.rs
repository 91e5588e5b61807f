//! Synthea's Bundles go in as they come: the two of practitioners and hospitals are batches of
//! conditional creates, a patient's is one transaction of POST entries whose references are urns
//! and conditions.

use crate::common::data;
use crate::stranger::{Door, statuses};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;

/// Patients of the ordinary run; `HANDOVER_CHARTS` names another number, such as all 100.
const PATIENTS: usize = 4;

fn patients() -> usize {
    let named = std::env::var("HANDOVER_CHARTS").ok().and_then(|number| number.parse().ok());
    named.unwrap_or(PATIENTS)
}

/// A Bundle as it comes.
struct Synthetic {
    text: String,
    json: Value,
}

impl Synthetic {
    fn entries(&self) -> &[Value] {
        self.json["entry"].as_array().unwrap()
    }

    /// Its Patient's row of a member file: known to the plan by the hospital's record number.
    fn member(&self) -> Option<String> {
        let resources = self.entries().iter().map(|entry| &entry["resource"]);
        let patient = resources.into_iter().find(|one| one["resourceType"] == "Patient")?;
        let mut identifiers = patient["identifier"].as_array()?.iter();
        let record = identifiers.find(|one| one["type"]["coding"][0]["code"] == "MR")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = &patient["name"][0];
        let id = format!("{}|{}", text(&record["system"]), text(&record["value"]));
        let (family, given) = (text(&name["family"]), text(&name["given"][0]));
        Some(format!("{id},{family},{given},{},", text(&patient["birthDate"])))
    }
}

/// The two batches first, then as many patients, the largest of these last.
fn bundles(patients: usize) -> Option<Vec<Synthetic>> {
    let folder = data("synthea-us-core-bundles")?;
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        (!name.contains("Information"), fs::metadata(path).unwrap().len())
    });
    let read = |path: &std::path::PathBuf| {
        let mut text = String::new();
        GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        Synthetic { json: serde_json::from_str(&text).unwrap(), text }
    };
    Some(files.iter().take(2 + patients).map(read).collect())
}

#[test]
fn charts_of_others_go_in_as_they_come() {
    if let Some(bundles) = bundles(patients()) {
        all_go_in(&bundles);
    }
}

fn all_go_in(bundles: &[Synthetic]) {
    let members: Vec<_> = bundles.iter().filter_map(Synthetic::member).collect();
    let door = Door::open(&members);
    let mut by_kind: BTreeMap<&str, u64> = BTreeMap::new();
    let mut places = BTreeMap::new();
    for (number, bundle) in bundles.iter().enumerate() {
        let token = door.sender.token("system/*.cruds").unwrap();
        let told = door.sender.post(&token, bundle.text.clone());
        assert_eq!(told.status, 200, "Bundle {number}: {}", told.json()["issue"][0]);
        let codes = statuses(&told);
        assert_eq!(codes.len(), bundle.entries().len(), "one answer for each entry");
        assert!(codes.iter().all(|code| *code == 201), "Bundle {number}: {codes:?}");
        let answers = told.json();
        for (entry, answer) in bundle.entries().iter().zip(answers["entry"].as_array().unwrap()) {
            *by_kind.entry(entry["resource"]["resourceType"].as_str().unwrap()).or_default() += 1;
            let location = answer["response"]["location"].as_str().unwrap();
            let record = location.split_once("/_history/").unwrap().0.to_owned();
            places.insert(entry["fullUrl"].as_str().unwrap(), record);
        }
    }
    for (kind, count) in &by_kind {
        assert_eq!(door.count(&format!("{kind}?_count=0")), *count, "{kind}");
    }
    every_record_is_its_resource(&door, bundles, &places);

    // Once more: who stands there already is not created again.
    let again = statuses(&door.post(bundles[0].text.clone()));
    let conditional = bundles[0].entries().iter();
    let conditional = conditional.map(|entry| entry["request"]["ifNoneExist"].is_string());
    let expected: Vec<u16> = conditional.map(|known| if known { 200 } else { 201 }).collect();
    assert_eq!(again, expected);
    let (exit, proof) = door.payer.json(&["ledger", "verify"]);
    assert_eq!(exit, 0, "{proof}");
}

/// What is filed is what came, but for its id and its references, which lead to records.
fn every_record_is_its_resource(
    door: &Door,
    bundles: &[Synthetic],
    places: &BTreeMap<&str, String>,
) {
    let records = door.payer.records();
    assert_eq!(records.len(), places.values().collect::<BTreeSet<_>>().len());
    let known: BTreeSet<&str> = records.keys().map(String::as_str).collect();
    let mut followed = 0;
    for entry in bundles.iter().flat_map(Synthetic::entries) {
        let place = &places[entry["fullUrl"].as_str().unwrap()];
        let filed: Value =
            serde_json::from_slice(records[place].content.as_ref().unwrap()).unwrap();
        let mut came = entry["resource"].clone();
        came["id"] = place.split_once('/').unwrap().1.into();
        followed += compare(&came, &filed, places, &known);
    }
    assert!(followed > records.len(), "these charts are full of references");
}

/// Compares two trees; how many references led from one to the other.
fn compare(
    came: &Value,
    filed: &Value,
    places: &BTreeMap<&str, String>,
    known: &BTreeSet<&str>,
) -> usize {
    match (came, filed) {
        (Value::Object(one), Value::Object(other)) => {
            assert!(one.keys().eq(other.keys()), "the same members");
            let pairs = one.iter().map(|(name, value)| (name, value, &other[name]));
            pairs
                .map(|(name, one, other)| match (name.as_str(), one.as_str(), other.as_str()) {
                    ("reference", Some(one), Some(other)) => {
                        follow(one, other, places, known);
                        1
                    }
                    _ => compare(one, other, places, known),
                })
                .sum()
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len());
            one.iter().zip(other).map(|(one, other)| compare(one, other, places, known)).sum()
        }
        _ => {
            assert_eq!(came, filed, "every other value stands");
            0
        }
    }
}

fn follow(came: &str, filed: &str, places: &BTreeMap<&str, String>, known: &BTreeSet<&str>) {
    match came {
        _ if came.starts_with("urn:uuid:") => assert_eq!(filed, places[came]),
        _ if came.contains('?') => {
            let kind = came.split_once('?').unwrap().0;
            assert!(filed.starts_with(&format!("{kind}/")) && known.contains(filed), "{filed}");
        }
        _ => assert_eq!(filed, came),
    }
}
