//! Goal: of whatever a directory lists, the endpoint that a push may go to is chosen, and of every
//! other one it is said why not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod constructed;
mod examples;

use exchange::endpoint::{Choice, Listing, Sought, Wanted, choose};
use exchange::partner::PublicIdentifier;
use fhir::Resource;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) const NAIC: &str = "urn:oid:2.16.840.1.113883.6.300";
const NDH: &str = "http://hl7.org/fhir/us/ndh/StructureDefinition/base-ext-";

pub(crate) fn now() -> Timestamp {
    "2026-01-03T12:00:00Z".parse().unwrap()
}

/// The payer of all constructed directories.
pub(crate) fn sunrise() -> Sought {
    let identifiers = vec![PublicIdentifier { system: NAIC.into(), value: "99001".into() }];
    Sought { name: Some("Sunrise Health Plan".into()), identifiers, ..Sought::default() }
}

pub(crate) fn organization(id: &str, number: &str) -> Value {
    json!({ "resourceType": "Organization", "id": id, "active": true,
        "name": format!("{id} Health Plan"), "identifier": [{ "system": NAIC, "value": number }] })
}

/// An endpoint of Organization/sunrise that would do.
pub(crate) fn endpoint(id: &str) -> Value {
    json!({ "resourceType": "Endpoint", "id": id, "status": "active",
        "meta": { "lastUpdated": "2025-11-01T00:00:00Z" },
        "connectionType": { "code": "hl7-fhir-rest",
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type" },
        "managingOrganization": { "reference": "Organization/sunrise" },
        "payloadMimeType": ["application/fhir+json"],
        "address": format!("https://{id}.sunrise.example/fhir"), "extension": [] })
}

/// The endpoint with members changed; null removes one.
pub(crate) fn with(mut of: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(of.as_object_mut().unwrap().remove(name)),
            value => of[name] = value.clone(),
        }
    }
    of
}

/// The endpoint with extensions of the National Directory.
pub(crate) fn saying(mut of: Value, extensions: &[Value]) -> Value {
    of["extension"].as_array_mut().unwrap().extend(extensions.iter().cloned());
    of
}

pub(crate) fn code(name: &str, code: &str) -> Value {
    json!({ "url": format!("{NDH}{name}"),
        "valueCodeableConcept": { "coding": [{ "code": code }] } })
}

pub(crate) fn rank(rank: u32) -> Value {
    json!({ "url": format!("{NDH}endpoint-rank"), "valuePositiveInt": rank })
}

pub(crate) fn guide(uri: &str, version: &str, use_cases: &[&str]) -> Value {
    let mut inner = vec![
        json!({ "url": "ig-uri", "valueCanonical": uri }),
        json!({ "url": "ig-version", "valueString": version }),
    ];
    inner.extend(use_cases.iter().map(
        |it| json!({ "url": "ig-usecase", "valueCodeableConcept": { "coding": [{ "code": it }] } }),
    ));
    json!({ "url": format!("{NDH}implementation-guide"), "extension": inner })
}

pub(crate) fn certificate(content: &str, until: &str) -> Value {
    json!({ "url": format!("{NDH}secureExchangeArtifacts"), "extension": [
        { "url": "secureExchangeArtifactsType", "valueCodeableConcept": { "coding":
            [{ "code": "x509-ssl-tls-certificates" }] } },
        { "url": "certificate", "valueBase64Binary": content },
        { "url": "expirationDate", "valueDateTime": until }] })
}

pub(crate) fn registration(profile: &str) -> Value {
    json!({ "url": format!("{NDH}dynamicRegistration"), "extension": [
        { "url": "trustProfile", "valueCodeableConcept": { "coding": [{ "code": profile }] } }] })
}

pub(crate) fn resources(all: &[Value]) -> Vec<Resource> {
    // What cannot be read as a resource at all never comes so far.
    all.iter().filter_map(|it| Resource::parse(it.to_string()).ok()).collect()
}

pub(crate) fn choice(all: &[Value], sought: &Sought, wanted: &Wanted) -> Choice {
    choose(&Listing::of(&resources(all), sought, now()), wanted, now())
}

/// The choice in short: the id chosen, and `id: why` of the others.
pub(crate) fn told(choice: &Choice) -> (Option<String>, Vec<String>) {
    let short = |id: &str| id.trim_start_matches("Endpoint/").to_owned();
    let chosen = choice.chosen.as_ref().map(|it| short(&it.endpoint.id));
    let rejected = choice.rejected.iter().map(|it| {
        let why = serde_json::to_value(&it.why).unwrap();
        let by = why.get("by").and_then(Value::as_str).map(|by| format!(" {by}"));
        format!("{}: {}{}", short(&it.id), why["why"].as_str().unwrap(), by.unwrap_or_default())
    });
    (chosen, rejected.collect())
}
