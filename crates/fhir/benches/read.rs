//! How long reading takes: our index against a `serde_json::Value` that is read and written again.
//!
//! `cargo bench -p fhir`. Only the ratio is worth comparing between machines: both are measured in
//! the same run on the same resources, in turns, and the best round of each counts.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use fhir::{Bundle, BundleType, BundleWriter, Doc, EntryToWrite, Resource};
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;
const COUNT: usize = 2_000;

fn main() {
    println!(
        "{:<22}{:>8}{:>12}{:>12}{:>12}{:>12}{:>8}",
        "µs per resource", "bytes", "syntax", "index", "rewrite", "Value", "ratio"
    );
    type Make = fn(usize) -> Value;
    let kinds: [(&str, Make); 4] = [
        ("Observation", observation),
        ("Patient", patient),
        ("Encounter", encounter),
        ("DocumentReference", note),
    ];
    for (name, make) in kinds {
        let resources: Vec<Bytes> =
            (0..COUNT).map(|n| Bytes::from(serde_json::to_vec(&make(n)).unwrap())).collect();
        row(name, &resources);
    }
    if let Some(folder) = std::env::var_os("HANDOVER_DATA") {
        row("Synthea chart", &chart(folder.as_ref()));
    }
    bundle();
}

fn row(name: &str, resources: &[Bytes]) {
    let mut best = [Duration::MAX; 4];
    let mut run = |at: usize, work: &dyn Fn(&Bytes)| {
        let start = Instant::now();
        resources.iter().for_each(work);
        best[at] = best[at].min(start.elapsed());
    };
    for _ in 0..ROUNDS {
        run(0, &|bytes| drop(black_box(Doc::parse(bytes).unwrap())));
        run(1, &|bytes| drop(black_box(Resource::parse(bytes.clone()).unwrap())));
        run(2, &|bytes| drop(black_box(rewritten(bytes))));
        run(3, &|bytes| {
            let value: Value = serde_json::from_slice(bytes).unwrap();
            drop(black_box(serde_json::to_vec(&value).unwrap()));
        });
    }
    let [syntax, index, rewrite, value] =
        best.map(|best| best.as_secs_f64() * 1e6 / resources.len() as f64);
    let size = resources.iter().map(Bytes::len).sum::<usize>() / resources.len();
    println!(
        "{name:<22}{size:>8}{syntax:>12.2}{index:>12.2}{rewrite:>12.2}{value:>12.2}{:>7.1}x",
        value / index
    );
}

/// Reads a resource and gives every reference another target.
fn rewritten(bytes: &Bytes) -> Resource {
    let resource = Resource::parse(bytes.clone()).unwrap();
    resource.rewrite_references(|_, _| Some("Patient/0123456789abcdef".into()))
}

/// A body of many entries: one pass for all of them.
fn bundle() {
    let mut writer = BundleWriter::new(BundleType::Collection);
    for n in 0..COUNT {
        let resource = serde_json::to_vec(&observation(n)).unwrap();
        writer.entry(EntryToWrite { resource: Some(&resource), ..EntryToWrite::default() });
    }
    let body = Bytes::from(writer.finish());
    let best = |work: &dyn Fn()| {
        let once = |_| {
            let start = Instant::now();
            work();
            start.elapsed()
        };
        (0..ROUNDS).map(once).min().unwrap_or_default().as_secs_f64() * 1e3
    };
    let ours = best(&|| drop(black_box(Bundle::parse(body.clone()).unwrap())));
    let value = best(&|| {
        let value: Value = serde_json::from_slice(&body).unwrap();
        drop(black_box(serde_json::to_vec(&value).unwrap()));
    });
    println!(
        "Bundle of {COUNT} entries, {} kB: {ours:.2} ms, Value {value:.2} ms, {:.1}x",
        body.len() / 1000,
        value / ours
    );
}

fn chart(folder: &std::path::Path) -> Vec<Bytes> {
    let folder = std::fs::read_dir(folder.join("synthea-us-core-bundles")).unwrap();
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut body = Vec::new();
    let file = std::fs::File::open(&files[10]).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file), &mut body).unwrap();
    let bundle = Bundle::parse(body).unwrap();
    bundle
        .entries
        .into_iter()
        .filter_map(|entry| entry.resource)
        .map(|it| it.bytes().clone())
        .collect()
}

fn observation(n: usize) -> Value {
    json!({
        "resourceType": "Observation", "id": format!("lab-{n}"),
        "meta": { "versionId": "1", "lastUpdated": "2026-01-05T10:00:00Z", "profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab"] },
        "status": "final",
        "category": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory", "display": "Laboratory" }] }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "2339-0", "display": "Glucose [Mass/volume] in Blood" }], "text": "Glucose" },
        "subject": { "reference": format!("Patient/{n}") },
        "encounter": { "reference": format!("Encounter/{n}") },
        "effectiveDateTime": "2026-01-05T09:30:00-05:00", "issued": "2026-01-05T09:30:00.123-05:00",
        "valueQuantity": { "value": 95.25, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL" },
        "referenceRange": [{ "low": { "value": 70, "unit": "mg/dL" }, "high": { "value": 99, "unit": "mg/dL" } }]
    })
}

fn patient(n: usize) -> Value {
    json!({
        "resourceType": "Patient", "id": format!("p{n}"),
        "text": { "status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{}</div>", "An invented person. ".repeat(10)) },
        "extension": [{ "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race", "extension": [{ "url": "ombCategory", "valueCoding": { "system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3", "display": "White" } }, { "url": "text", "valueString": "White" }] }],
        "identifier": [{ "use": "usual", "type": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR" }] }, "system": "http://hospital.example", "value": format!("{n:08}") }],
        "name": [{ "use": "official", "family": "Invented", "given": ["Person", "Q."], "prefix": ["Dr."] }],
        "telecom": [{ "system": "phone", "value": "555-0100", "use": "home" }],
        "gender": "female", "birthDate": "1970-01-01",
        "address": [{ "line": ["1 Example Street"], "city": "Springfield", "state": "MA", "postalCode": "01103", "country": "US" }],
        "maritalStatus": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M", "display": "M" }], "text": "M" },
        "communication": [{ "language": { "coding": [{ "system": "urn:ietf:bcp:47", "code": "en-US", "display": "English" }], "text": "English" } }]
    })
}

fn encounter(n: usize) -> Value {
    json!({
        "resourceType": "Encounter", "id": format!("e{n}"), "status": "finished",
        "class": { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB" },
        "type": [{ "coding": [{ "system": "http://snomed.info/sct", "code": "185349003", "display": "Encounter for check up (procedure)" }], "text": "Encounter for check up (procedure)" }],
        "subject": { "reference": format!("Patient/p{n}"), "display": "an invented person" },
        "participant": [{ "individual": { "reference": "Practitioner/x", "display": "an invented doctor" } }],
        "period": { "start": "2026-01-05T09:00:00-05:00", "end": "2026-01-05T09:45:00-05:00" },
        "serviceProvider": { "reference": "Organization/h", "display": "an invented hospital" }
    })
}

fn note(n: usize) -> Value {
    json!({
        "resourceType": "DocumentReference", "id": format!("d{n}"), "status": "current",
        "type": { "coding": [{ "system": "http://loinc.org", "code": "34117-2" }] },
        "subject": { "reference": format!("Patient/p{n}") },
        "content": [{ "attachment": { "contentType": "text/plain", "data": "QW4gaW52ZW50ZWQgbm90ZS4g".repeat(200) } }]
    })
}
