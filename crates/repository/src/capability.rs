//! Capability: the statement of what this door offers, made from the tables it works by.
//!
//! Comes in   what the house is and which interactions it mounts.
//! Goes out   the bytes of an R4 CapabilityStatement; the same description gives the same bytes.
//! Never      promises what `search` does not understand, or names a guide it has not been tested
//!            against.

use crate::kinds::{self, Finds};
use crate::limits::{PAGE_RECORDS, PAGE_RECORDS_MAX};
use bytes::Bytes;
use serde_json::{Value, json};

/// What a house says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Description<'a> {
    /// What answers here, in a few words, for `implementation.description`.
    pub name: &'a str,
    /// The base URL that callers know.
    pub base: &'a str,
    /// The software's version.
    pub version: &'a str,
    /// When the statement last changed: the release's date, never today's.
    pub date: &'a str,
    /// Whether transactions of PUT and DELETE entries are taken.
    pub transaction: bool,
    /// The token endpoint of SMART Backend Services; `None` where nobody signs in.
    pub token_endpoint: Option<&'a str>,
    /// Records in a page: usual, and at most.
    pub page: (u32, u32),
}

impl Default for Description<'_> {
    fn default() -> Self {
        Description {
            name: "Handover",
            base: "",
            version: "",
            date: "",
            transaction: false,
            token_endpoint: None,
            page: (PAGE_RECORDS, PAGE_RECORDS_MAX),
        }
    }
}

/// The CapabilityStatement (R4 §2.13), kind `instance`.
pub fn capability(about: &Description<'_>) -> Bytes {
    let mut rest = json!({ "mode": "server", "documentation": words(about) });
    if let Some(token) = about.token_endpoint {
        rest["security"] = security(token);
    }
    rest["resource"] = kinds::all().map(|row| resource(row, about.transaction)).collect();
    if about.transaction {
        rest["interaction"] = json!([{
            "code": "transaction",
            "documentation": "Entries are PUT with id, or DELETE; all stand or fall together. A \
                Bundle.identifier is the key: repeated with the same bytes, it gets the first \
                answer again.",
        }]);
    }
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": about.date,
        "kind": "instance",
        "software": { "name": "Handover", "version": about.version },
        "implementation": { "description": about.name, "url": about.base },
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [rest],
    })
    .to_string()
    .into()
}

fn words(about: &Description<'_>) -> String {
    let (usual, most) = about.page;
    format!(
        "A search gives {usual} records in a page unless _count says otherwise, at most {most}, in \
         the order of their ids; _summary=count gives the number alone. Parameters that are not \
         listed are refused. A caller sees the records it may see, and no others.",
    )
}

fn security(token: &str) -> Value {
    json!({
        "extension": [{
            "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
            "extension": [{ "url": "token", "valueUri": token }],
        }],
        "cors": false,
        "service": [{ "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
            "code": "SMART-on-FHIR",
        }] }],
        "description": "SMART Backend Services: private_key_jwt, scopes system/[type].[cruds]",
    })
}

fn resource(row: &kinds::KindRow, transaction: bool) -> Value {
    let interactions = ["read", "vread", "history-instance", "search-type"];
    json!({
        "type": row.kind,
        "interaction": interactions.map(|code| json!({ "code": code })),
        "versioning": "versioned",
        "readHistory": true,
        // An id of the sender's choice is taken, where anything is taken at all.
        "updateCreate": transaction,
        "searchParam": row.parameters().map(parameter).collect::<Value>(),
    })
}

fn parameter((name, finds): (&'static str, Finds)) -> Value {
    let mut parameter = json!({ "name": name, "type": finds.code() });
    if let Some(words) = limits_of(finds) {
        parameter["documentation"] = words.into();
    }
    parameter
}

/// Where we do less than R4 allows, the statement says so.
fn limits_of(finds: Finds) -> Option<&'static str> {
    match finds {
        Finds::LastUpdated => Some("prefixes eq, ge, gt, le, lt"),
        Finds::Date => {
            Some("prefixes eq, ge, gt, le, lt; a period counts by its start; without zone, UTC")
        }
        Finds::Patient | Finds::Encounter => Some("an id, or Type/id; no chaining, no modifiers"),
        Finds::Status => Some("the code alone"),
        Finds::Token(_) => Some("code, |code or system|code; no modifiers"),
        Finds::Id => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::search::{Handling, Search};
    use fhir::Resource;

    fn statement(transaction: bool) -> Value {
        let about = Description {
            name: "Lakeside Plan",
            base: "https://plan.example/fhir",
            version: "0.1.0",
            date: "2026-01-03",
            transaction,
            token_endpoint: Some("https://plan.example/fhir/token"),
            ..Description::default()
        };
        let bytes = capability(&about);
        Resource::parse(bytes.clone()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn every_parameter_promised_is_understood() {
        let statement = statement(true);
        for resource in statement["rest"][0]["resource"].as_array().unwrap() {
            let kind = resource["type"].as_str().unwrap();
            for parameter in resource["searchParam"].as_array().unwrap() {
                let value = if parameter["type"] == "date" { "ge2026-01" } else { "a" };
                let asked = [(parameter["name"].as_str().unwrap().to_owned(), value.to_owned())];
                let search = Search::parse("", kind, &asked, Handling::Strict);
                assert!(search.is_ok(), "{kind} {}", parameter["name"]);
            }
        }
    }

    #[test]
    fn a_door_that_takes_no_transactions_does_not_promise_them() {
        assert_eq!(statement(true)["rest"][0]["interaction"][0]["code"], "transaction");
        let reading = statement(false);
        assert!(reading["rest"][0].get("interaction").is_none());
        assert_eq!(reading["rest"][0]["resource"][0]["updateCreate"], false);
        assert!(!reading.to_string().contains("\"update\""));
    }
}
