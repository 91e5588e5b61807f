//! Files: NDJSON by type as a sender writes it, packed by gzip, with its manifest.
//!
//! Comes in   a folder, how many resources, the sender's namespace; where they will be served.
//! Goes out   files of resources of about 1.5 KB: a Patient, a Coverage, an Encounter and what it leaves.
//! Never      draws anything, or holds more than one Bundle.

use crate::bundles::Series;
use fhir::Doc;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Resources about one patient.
const EACH: u64 = 50;

/// Patients whose resources of a type are in one file.
const TOGETHER: u64 = 10_000;

/// Types, in the order in which they are fetched.
const KINDS: [&str; 7] = [
    "Patient",
    "Coverage",
    "Encounter",
    "Condition",
    "MedicationRequest",
    "Procedure",
    "Observation",
];

/// What was written.
pub(crate) struct Written {
    pub(crate) resources: u64,
    /// Files of each type.
    pub(crate) parts: u64,
    /// Before they were packed.
    pub(crate) bytes: u64,
}

/// Writes about so many resources.
pub(crate) fn write(folder: &Path, resources: u64, namespace: &str) -> Written {
    let series = Series { namespace: namespace.to_owned(), resources: EACH as usize, name: "bulk" };
    let patients = (resources / EACH).max(1);
    let parts = patients.div_ceil(TOGETHER);
    let mut written = Written { resources: patients * EACH, parts, bytes: 0 };
    for part in 0..parts {
        let mut packed: BTreeMap<&str, _> = KINDS
            .into_iter()
            .map(|kind| {
                let file = File::create(folder.join(format!("{kind}.{part}.ndjson.gz"))).unwrap();
                (kind, GzEncoder::new(file, Compression::fast()))
            })
            .collect();
        for number in part * TOGETHER..((part + 1) * TOGETHER).min(patients) {
            let bundle = series.bundles(number, 1).remove(0);
            let doc = Doc::parse(&bundle).unwrap();
            for entry in doc.root().get("entry").unwrap().items() {
                let resource = entry.get("resource").unwrap();
                let kind = resource.get("resourceType").unwrap().text().unwrap();
                let (line, file) = (&bundle[resource.span()], packed.get_mut(&*kind).unwrap());
                file.write_all(line).unwrap();
                file.write_all(b"\n").unwrap();
                written.bytes += line.len() as u64 + 1;
            }
        }
        packed.into_values().for_each(|file| drop(file.finish().unwrap()));
    }
    written
}

/// Where the files are, in the order of their types.
pub(crate) fn urls(origin: &str, parts: u64) -> Vec<String> {
    let names = |kind| (0..parts).map(move |part| format!("{origin}/{kind}.{part}.ndjson"));
    KINDS.into_iter().flat_map(names).collect()
}

/// Writes their manifest; its URL.
pub(crate) fn manifest(folder: &Path, origin: &str, parts: u64) -> String {
    let file = |url: String| {
        let name = url.rsplit('/').next().unwrap_or_default();
        json!({ "type": name.split('.').next(), "url": url })
    };
    let output: Vec<_> = urls(origin, parts).into_iter().map(file).collect();
    let manifest = json!({
        "transactionTime": "2026-01-03T12:00:00Z",
        "requiresAccessToken": false,
        "output": output,
        "error": [],
    });
    let packed = File::create(folder.join("manifest.json.gz")).unwrap();
    let mut packed = GzEncoder::new(packed, Compression::fast());
    packed.write_all(manifest.to_string().as_bytes()).unwrap();
    packed.finish().unwrap();
    format!("{origin}/manifest.json")
}
