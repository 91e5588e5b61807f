//! Capability: the statement of what this door offers, made from the tables it works by.
//!
//! Comes in   what the house is and which interactions it mounts.
//! Goes out   the bytes of an R4 CapabilityStatement; the same description gives the same bytes.
//! Never      promises what `search` does not understand, or names a guide it has not been tested
//!            against.

use crate::include::REVINCLUDE;
use crate::kinds::{self, Finds};
use crate::limits::{PAGE_RECORDS, PAGE_RECORDS_MAX};
use crate::references::references;
use bytes::Bytes;
use exchange::capability::MODE_EXTENSION;
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
    /// Whether transactions are taken.
    pub transaction: bool,
    /// Whether batches are taken.
    pub batch: bool,
    /// Whether single records are created, updated and deleted, each also by a condition.
    pub writes: bool,
    /// Whether readers of the house's own may export (Bulk Data).
    pub exports: bool,
    /// `$bulk-submit` and `$bulk-submit-status`.
    pub bulk_submit: bool,
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
            batch: false,
            writes: false,
            exports: false,
            bulk_submit: false,
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
    rest["resource"] = kinds::all().map(|row| resource(row, about)).collect();
    let whole = [("transaction", about.transaction, TRANSACTION), ("batch", about.batch, BATCH)];
    let whole = whole.into_iter().filter(|(_, offered, _)| *offered);
    let whole: Vec<_> =
        whole
            .map(|(code, _, words)| {
                json!({ "code": code, "documentation": words, "extension": [at_once()] })
            })
            .collect();
    if !whole.is_empty() {
        rest["interaction"] = whole.into();
    }
    let versions = json!({
        "extension": [at_once()],
        "name": "versions",
        "definition": "http://hl7.org/fhir/OperationDefinition/CapabilityStatement-versions",
    });
    let export = about.exports.then(|| export("export"));
    let submit = about.bulk_submit.then(submit).into_iter().flatten();
    rest["operation"] = std::iter::once(versions).chain(export).chain(submit).collect();
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

/// What an operation is answered as: at once. R4 has no element for it, and no guide an extension.
fn at_once() -> Value {
    json!({ "url": MODE_EXTENSION, "valueCode": "sync" })
}

/// An operation of Bulk Data 2.0.0, which is answered later.
fn export(definition: &str) -> Value {
    json!({
        "extension": [{ "url": MODE_EXTENSION, "valueCode": "async" }],
        "name": "export",
        "definition": format!("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{definition}"),
        "documentation": EXPORT,
    })
}

/// The operations of Bulk Data 4.0.0-ballot, Bulk Submit: a request is answered at once, its status later.
fn submit() -> [Value; 2] {
    let operation = |name: &str, mode: &str, words: &str| {
        json!({
            "extension": [{ "url": MODE_EXTENSION, "valueCode": mode }],
            "name": name,
            "definition": format!("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{name}"),
            "documentation": words,
        })
    };
    let asked = operation("bulk-submit", "async", SUBMIT);
    [asked, operation("bulk-submit-status", "async", SUBMIT_STATUS)]
}

const SUBMIT: &str = "For senders with the scope system/bulk-submit, of manifests and files on the servers \
    that were agreed on. Files are NDJSON of R4, by type or organised by Patient; encrypted files and the \
    parameters metadata and import are refused. What is about a Patient is filed once that Patient is found \
    to be a member, whatever the order of the files. The codes and names of the draft of 2025 are read too.";

const SUBMIT_STATUS: &str = "The place in Content-Location is polled: 202 with Retry-After, then 200 with the \
    status manifest, or 409 where its submitter stopped the submission. A poll's own status is told apart with \
    Prefer: separate-export-status.";

const EXPORT: &str = "For readers of the plan's own, with Prefer: respond-async, separate-export-status too. \
    Parameters _type, _since, _until, _outputFormat, _elements, _typeFilter (the searches listed here), \
    includeAssociatedData (LatestProvenanceResources, RelevantProvenanceResources), organizeOutputBy \
    (Patient), allowPartialManifests, and patient on the level of Patients and of a Group; others are \
    refused, or with Prefer: handling=lenient passed over and told in the manifest's error files. On the \
    level of Patients come the types of their compartment and those that help to read them, but no \
    Binary; of a Group, and of named Patients, what is about nobody comes where their records refer to \
    it. Members of a Group are those that it lists, in force when the export was asked for; _since counts \
    for the records of new members too.";

const TRANSACTION: &str = "All entries stand or fall together. A Bundle.identifier is the key: \
    repeated with the same bytes, it gets the first answer again. Entries are of POST, PUT and DELETE; \
    those of GET, HEAD and PATCH are refused.";

const BATCH: &str = "Each entry stands or falls alone. Entries are of POST, PUT and DELETE; those of \
    GET, HEAD and PATCH are refused.";

fn words(about: &Description<'_>) -> String {
    let (usual, most) = about.page;
    format!(
        "A search gives {usual} records in a page unless _count says otherwise, at most {most}, in \
         the order of their ids; _summary=count gives the number alone, _total=none leaves it out. \
         Parameters that are not listed are refused; with Prefer: handling=lenient they are passed \
         over, and the self link shows what was understood. Modifiers of these, chains and :iterate are \
         not offered, and always refused. A caller sees the records it may see, and no others. Every \
         interaction and operation is answered at once (sync), unless it says otherwise; where a person \
         must look at what was written first, with 202 and the place of the later answer \
         (Content-Location).",
    )
}

/// `CapabilityStatement.rest.security` of a door where SMART backend services sign in at this token endpoint.
pub fn security(token: &str) -> Value {
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

fn resource(row: &kinds::KindRow, about: &Description<'_>) -> Value {
    let reads = ["read", "vread", "history-instance", "search-type"];
    // A Binary does not say whom it is about, so it comes with what refers to it.
    let alone = about.writes && row.kind != "Binary";
    let writes = ["create", "update", "delete"];
    let writes = writes.iter().filter(|_| alone);
    let interactions = reads.iter().chain(writes).map(|code| json!({ "code": code }));
    let mut resource = json!({
        "type": row.kind,
        "interaction": interactions.collect::<Value>(),
        // If-Match is honoured, and nobody needs to send it.
        "versioning": "versioned",
        "readHistory": true,
        // An id of the sender's choice is taken, where an update is.
        "updateCreate": alone,
        "conditionalCreate": alone,
        "conditionalRead": "not-match",
        "conditionalUpdate": alone,
        "conditionalDelete": if alone { "single" } else { "not-supported" },
        "searchRevInclude": [REVINCLUDE],
        "searchParam": row.parameters().map(parameter).collect::<Value>(),
    });
    if row.kind == "Binary" && about.transaction {
        let words = "Written in a Bundle, with what refers to it; not alone.";
        resource["documentation"] = words.into();
    }
    let includes = includes(row.kind);
    if !includes.is_empty() {
        resource["searchInclude"] = includes.into();
    }
    if row.kind == "Patient" {
        let everything = json!({
            "extension": [at_once()],
            "name": "everything",
            "definition": "http://hl7.org/fhir/OperationDefinition/Patient-everything",
            "documentation": "On one Patient. Parameters _since, _type and _count; the pages follow \
                each other by next links.",
        });
        let export = about.exports.then(|| export("patient-export"));
        resource["operation"] = std::iter::once(everything).chain(export).collect();
    }
    if row.kind == "Group" && about.exports {
        resource["operation"] = json!([export("group-export")]);
    }
    resource
}

/// The values of `_include`: each reference parameter, and all of them at once.
fn includes(kind: &str) -> Vec<String> {
    let mut names: Vec<_> = references(kind).iter().map(|(name, _)| *name).collect();
    names.dedup();
    let all = (!names.is_empty()).then(|| "*".to_owned());
    all.into_iter().chain(names.iter().map(|name| format!("{kind}:{name}"))).collect()
}

fn parameter((name, finds): (&'static str, Finds)) -> Value {
    let mut parameter = json!({ "name": name, "type": finds.code() });
    if let Some(words) = limits_of(name, finds) {
        parameter["documentation"] = words.into();
    }
    parameter
}

/// What R4 leaves open, and where we do less than it allows.
fn limits_of(name: &str, finds: Finds) -> Option<&'static str> {
    match finds {
        Finds::Patient if kinds::is_wider(name, "Group") => {
            Some("an id, or Patient/id; other types are refused")
        }
        Finds::Encounter if kinds::is_wider(name, "EpisodeOfCare") => {
            Some("an id, or Encounter/id; EpisodeOfCare is refused")
        }
        Finds::LastUpdated => Some("all prefixes but ne; no alternatives"),
        Finds::Date => Some(
            "all prefixes, ap for what overlaps; no alternatives; a date without zone is of UTC",
        ),
        Finds::Patient | Finds::Encounter => Some("an id, or Type/id"),
        Finds::Link(_, "") => Some("Type/id"),
        Finds::Link(..) => Some("an id, or Type/id"),
        Finds::Status => Some("the code alone"),
        Finds::Token(_) => Some("code, |code or system|code"),
        Finds::Id => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::search::Search;
    use exchange::query::Handling;
    use fhir::Resource;

    fn statement(transaction: bool) -> Value {
        let about = Description {
            name: "Lakeside Plan",
            base: "https://plan.example/fhir",
            version: "0.1.0",
            date: "2026-01-03",
            transaction,
            batch: transaction,
            writes: transaction,
            exports: transaction,
            bulk_submit: transaction,
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
                let value = match parameter["type"].as_str().unwrap() {
                    "date" => "ge2026-01",
                    "reference" => "Patient/a",
                    _ => "a",
                };
                let asked = [(parameter["name"].as_str().unwrap().to_owned(), value.to_owned())];
                let search = Search::parse("", kind, &asked, Handling::Strict);
                assert!(search.is_ok(), "{kind} {}", parameter["name"]);
            }
        }
    }

    #[test]
    fn a_door_that_is_only_read_does_not_promise_to_write() {
        let writing = statement(true);
        let codes = |of: &Value| -> Vec<String> {
            let codes = of.as_array().into_iter().flatten();
            codes.map(|one| one["code"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(codes(&writing["rest"][0]["interaction"]), ["transaction", "batch"]);
        let patient = |statement: &Value| {
            let all = statement["rest"][0]["resource"].as_array().unwrap();
            all.iter().find(|one| one["type"] == "Patient").unwrap().clone()
        };
        assert_eq!(codes(&patient(&writing)["interaction"])[4..], ["create", "update", "delete"]);
        let reading = statement(false);
        assert!(reading["rest"][0].get("interaction").is_none());
        assert_eq!(codes(&patient(&reading)["interaction"]).len(), 4);
        for name in ["updateCreate", "conditionalCreate", "conditionalUpdate"] {
            assert_eq!(patient(&reading)[name], false, "{name}");
        }
    }

    #[test]
    fn what_is_said_of_updates_goes_with_the_updates_promised() {
        for statement in [statement(true), statement(false)] {
            for resource in statement["rest"][0]["resource"].as_array().unwrap() {
                let interactions = resource["interaction"].as_array().unwrap();
                let updates = interactions.iter().any(|one| one["code"] == "update");
                for name in ["updateCreate", "conditionalUpdate"] {
                    assert_eq!(resource[name], updates, "{} {name}", resource["type"]);
                }
                // `versioned-update` would say that no update is taken without If-Match.
                assert_eq!(resource["versioning"], "versioned", "{}", resource["type"]);
            }
        }
    }

    #[test]
    fn every_operation_says_whether_it_is_answered_at_once_or_later() {
        use exchange::capability::{Declared, agree};
        let statement = statement(true);
        let rest = &statement["rest"][0];
        let of = |list: &Value| list.as_array().cloned().unwrap_or_default();
        let types = of(&rest["resource"]);
        let operations = types.iter().flat_map(|it| of(&it["operation"]));
        let all = of(&rest["interaction"]).into_iter().chain(of(&rest["operation"]));
        let all: Vec<Value> = all.chain(operations).collect();
        let wanted =
            "transaction, batch, versions, everything, export three times, bulk-submit twice";
        assert_eq!(all.len(), 9, "{wanted}");
        for one in &all {
            let later = ["export", "bulk-submit", "bulk-submit-status"];
            let name = one["name"].as_str().unwrap_or_default();
            let mode = if later.contains(&name) { "async" } else { "sync" };
            assert_eq!(one["extension"][0]["url"], MODE_EXTENSION, "{one}");
            assert_eq!(one["extension"][0]["valueCode"], mode, "{one}");
        }
        let bytes = statement.to_string();
        let doc = fhir::Doc::parse(bytes.as_bytes()).unwrap();
        let declared = Declared::read(None, Some(&doc));
        let agreed = agree(&declared, &["transaction"], "sync").unwrap();
        assert_eq!(agreed.dialect, "handover");
        let said = "transaction sync: its statement says so";
        assert!(agreed.reasons.iter().any(|it| it == said), "{:?}", agreed.reasons);
    }

    #[test]
    fn no_list_is_empty_since_fhir_knows_no_empty_lists() {
        let text = statement(true).to_string();
        assert!(!text.contains("[]"), "an empty list");
    }
}
