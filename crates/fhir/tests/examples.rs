//! Goal: every valid R4 resource that others published is read, and none of its bytes is lost.
//!
//! How: all examples below the folder in `HANDOVER_DATA`; `serde_json` says, as a second opinion,
//! which files are JSON and where the references are.

#![allow(clippy::unwrap_used)]

mod data;

use fhir::ndjson::Ndjson;
use fhir::{Bundle, ReferenceElement, Resource};
use serde_json::Value;
use std::collections::BTreeMap;

const FOLDERS: [&str; 12] = [
    "r4-spec-examples",
    "us-core-6.1.0-examples",
    "cdex",
    "ndh",
    "hrex-ci",
    "davinci-alerts",
    "davinci-atr",
    "bulk-data-ig",
    "subscriptions-backport-r4",
    "synthea-us-core-bundles",
    "r4-core-definitions",
    "ig-packages",
];

#[test]
fn every_published_resource_is_read_with_all_its_references() {
    let Some(folder) = data::folder("reading the published examples") else { return };
    let (mut count, mut refused, mut overlooked) = (0, Vec::new(), BTreeMap::new());
    for (name, bytes) in FOLDERS.iter().flat_map(|sub| data::files(&folder.join(sub))) {
        let Ok(value) = serde_json::from_slice::<Value>(&bytes) else { continue };
        // The publisher's report on a guide is no example: its ids are longer than R4 allows.
        if !value["resourceType"].is_string() || name.ends_with("/validation-oo.json") {
            continue;
        }
        count += 1;
        match Resource::parse(bytes.clone()) {
            Ok(resource) => {
                assert_eq!(resource.bytes(), &bytes, "{name}");
                compare(&resource, &value, &mut overlooked);
            }
            Err(error) => refused.push(format!("{name}: {error}")),
        }
        if value["resourceType"] == "Bundle" {
            match Bundle::parse(bytes) {
                Ok(bundle) => {
                    let entries = value["entry"].as_array().map_or(0, Vec::len);
                    assert_eq!(bundle.entries.len(), entries, "{name}");
                }
                Err(error) => refused.push(format!("{name}: {error}")),
            }
        }
    }
    assert!(count > 2500, "only {count} resources were found");
    assert!(refused.is_empty(), "{} refused:\n{}", refused.len(), refused.join("\n"));
    assert_eq!(overlooked, BTreeMap::new());
}

/// Counts strings named `reference`, and urls of Binaries, that stand in no Reference or Attachment.
fn compare(resource: &Resource, value: &Value, overlooked: &mut BTreeMap<String, usize>) {
    let mut expected = Vec::new();
    collect(value, "", &mut expected);
    let mut found = resource.references().iter().peekable();
    for (text, path) in expected {
        let here = found.peek().is_some_and(|next| resource.reference_text(next) == text);
        if here {
            let element = found.next().map(|next| next.element);
            let by_name = if path.ends_with("url") {
                ReferenceElement::AttachmentUrl
            } else {
                ReferenceElement::Reference
            };
            assert_eq!(element, Some(by_name), "{path}");
        } else {
            *overlooked.entry(path).or_default() += 1;
        }
    }
    assert!(found.next().is_none(), "a reference was found where no member has its name");
}

fn collect(value: &Value, path: &str, expected: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, path, expected)),
        Value::Object(members) => {
            let path = members.get("resourceType").and_then(Value::as_str).unwrap_or(path);
            for (name, member) in members {
                let path = format!("{path}.{name}");
                match member.as_str() {
                    Some(text) if name == "reference" => expected.push((text.into(), path)),
                    Some(text)
                        if name == "url"
                            && (text.starts_with("Binary/") || text.contains("/Binary/")) =>
                    {
                        expected.push((text.into(), path));
                    }
                    _ => collect(member, &path, expected),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn every_line_of_a_bulk_export_is_read() {
    let Some(folder) = data::folder("reading a bulk export") else { return };
    let mut count = 0;
    for (name, bytes) in data::files(&folder.join("smart-bulk-10-patients")) {
        if name.ends_with("log.ndjson") {
            continue; // lines of a log, not resources
        }
        let mut ndjson = Ndjson::new(10_000_000, 1_000_000);
        let mut lines: Vec<_> = bytes.chunks(1000).flat_map(|piece| ndjson.push(piece)).collect();
        lines.extend(ndjson.finish());
        let expected = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count();
        assert_eq!(lines.len(), expected, "{name}");
        let refused = lines.iter().filter(|line| line.is_err()).count();
        assert_eq!(refused, 0, "{name}");
        count += lines.len();
    }
    assert!(count > 500, "only {count} lines were found");
}
