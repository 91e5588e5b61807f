//! Statement: what an EHR of the minimum says of itself.
//!
//! Comes in   the table of what it shall do, its name, base and token endpoint, its oddities.
//! Goes out   an R4 CapabilityStatement that promises that and nothing else.
//! Never      a search that is refused, or silence about a status that is demanded (US Core 6.1.0:
//!            the server SHALL document it).

use super::odd::Odd;
use super::shall::{SHALL, STATUS_DEMANDED, Shall};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const COMBINATION: &str = "http://hl7.org/fhir/StructureDefinition/\
    capabilitystatement-search-parameter-combination";

/// The statement, for `GET /metadata`.
pub(crate) fn statement(name: &str, base: &str, token: &str, odd: &Odd) -> Bytes {
    let mut resources: Vec<Value> = SHALL.iter().map(|row| resource(row, odd)).collect();
    resources.push(json!({ "type": "Binary", "interaction": [{ "code": "read" }] }));
    resources.sort_by(|one, other| one["type"].as_str().cmp(&other["type"].as_str()));
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "software": { "name": "Invented certified EHR" },
        "implementation": { "description": name, "url": base },
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "implementationGuide": ["http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core|6.1.0"],
        "rest": [{
            "mode": "server",
            "security": {
                "extension": [{
                    "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                    "extension": [{ "url": "token", "valueUri": token }],
                }],
                "service": [{ "coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                    "code": "SMART-on-FHIR",
                }] }],
            },
            "resource": resources,
        }],
    })
    .to_string()
    .into()
}

fn resource(row: &Shall, odd: &Odd) -> Value {
    let mut interactions = vec![json!({ "code": "read" })];
    if !row.searches.is_empty() {
        let mut search = json!({ "code": "search-type" });
        if odd.status_demanded && STATUS_DEMANDED.contains(&row.kind) {
            search["documentation"] =
                "A search must have the status parameter; it takes several, parted by commas."
                    .into();
        }
        interactions.push(search);
    }
    let mut resource = json!({
        "type": row.kind,
        "interaction": interactions,
        "versioning": "no-version",
        "readHistory": false,
        "conditionalRead": "not-supported",
    });
    let names: BTreeSet<&str> = row.searches.iter().flat_map(|set| set.iter().copied()).collect();
    if !names.is_empty() {
        let parameter = |name: &&str| json!({ "name": name, "type": kind_of(name) });
        resource["searchParam"] = names.iter().map(parameter).collect();
    }
    let together: Vec<Value> =
        row.searches.iter().filter(|set| set.len() > 1).map(|set| combination(set)).collect();
    if !together.is_empty() {
        resource["extension"] = together.into();
    }
    if row.provenance {
        resource["searchRevInclude"] = json!(["Provenance:target"]);
    }
    resource
}

fn combination(set: &[&str]) -> Value {
    let parts = set.iter().map(|name| json!({ "url": "required", "valueString": name }));
    json!({ "url": COMBINATION, "extension": parts.collect::<Vec<_>>() })
}

/// R4 `search-param-type`.
fn kind_of(name: &str) -> &'static str {
    match name {
        "patient" | "practitioner" => "reference",
        "date" | "authored" | "birthdate" => "date",
        "name" | "address" => "string",
        _ => "token",
    }
}
