//! Statement: a stranger's CapabilityStatement, read off its abilities.
//!
//! Comes in   abilities, base URL, whether there is a sign-in.
//! Goes out   the statement.
//! Never      says more or less than the server does.

use super::profile::{Abilities, Habit, Offer};
use serde_json::{Value, json};

/// The CapabilityStatement of a server with these abilities.
pub(crate) fn statement(abilities: &Abilities, base: &str, token: Option<&str>) -> Value {
    let offer = |offer| abilities.offer(offer);
    let codes = |table: &[(Offer, &str)]| -> Vec<Value> {
        let offered = table.iter().filter(|(it, _)| offer(*it));
        offered.map(|(_, code)| json!({ "code": code })).collect()
    };
    let interactions = codes(&[
        (Offer::Read, "read"),
        (Offer::Read, "vread"),
        (Offer::Read, "history-instance"),
        (Offer::Search, "search-type"),
        (Offer::Create, "create"),
        (Offer::Update, "update"),
        (Offer::Delete, "delete"),
    ]);
    let resource = |kind: &&str| {
        let mut resource = json!({
            "type": kind,
            "interaction": interactions,
            "versioning": "versioned",
            "readHistory": offer(Offer::Read),
            "updateCreate": offer(Offer::UpdateCreate),
            "conditionalCreate": offer(Offer::ConditionalCreate),
            "conditionalUpdate": offer(Offer::ConditionalUpdate),
            "conditionalDelete": "not-supported",
        });
        if abilities.is(Habit::ResolvedReferencesOnly) {
            resource["referencePolicy"] = json!(["literal", "enforced"]);
        }
        if offer(Offer::Search) {
            resource["searchParam"] = json!([
                { "name": "_id", "type": "token" },
                { "name": "identifier", "type": "token" },
                { "name": "patient", "type": "reference" },
            ]);
        }
        resource
    };
    let resources: Vec<Value> = abilities.kinds.iter().map(resource).collect();
    let mut rest = json!({
        "mode": "server",
        "resource": resources,
        "interaction": codes(&[(Offer::Transaction, "transaction"), (Offer::Batch, "batch")]),
    });
    if let Some(token) = token {
        let address = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris";
        rest["security"] = json!({
            "service": [{ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                "code": "SMART-on-FHIR",
            }] }],
            "extension": [{ "url": address, "extension": [{ "url": "token", "valueUri": token }] }],
        });
    }
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "software": { "name": "A payer's server", "version": "4" },
        "implementation": { "description": "A payer's FHIR server", "url": base },
        "fhirVersion": "4.0.1",
        "format": ["json", "application/fhir+json"],
        "rest": [rest],
    })
}
