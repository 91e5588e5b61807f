//! Sending doors: the FHIR door of a sending house.
//!
//! Comes in   payers that have signed in: for the files of bulk submissions, and, where the agreement lets
//!            them pull, for exports of their members' histories and for their Group.
//! Goes out   what the road answers; the house's CapabilityStatement.
//! Never      records one by one: what leaves this house leaves by its road.

use crate::config;
use crate::house::VERSION;
use bytes::Bytes;
use exchange::query::Ask;
use repository::security;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Notify;
use wire::Caller;
use wire::rest::{FileAsk, KickOff, Outcome, Rest};

/// The canonical URLs of the guide's operations (Bulk Data 2.0.0).
const GROUP_EXPORT: &str = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/group-export";
const PATIENT_EXPORT: &str = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/patient-export";

/// The FHIR door of a sending house.
pub(crate) struct SendingDoors {
    capability: Bytes,
    road: Arc<provider::Road>,
    wake: Arc<Notify>,
}

impl SendingDoors {
    /// A door; `wake` rouses the worker.
    pub(crate) fn new(
        config: &config::House,
        road: Arc<provider::Road>,
        wake: Arc<Notify>,
    ) -> SendingDoors {
        let agreements = config.terms.values().map(|terms| &terms.agreement);
        let pulled = agreements.filter(|it| it.bulk.as_ref().is_some_and(|bulk| bulk.pull));
        let kinds: BTreeSet<&str> = pulled
            .flat_map(|it| it.permit.iter().flat_map(|permit| &permit.types))
            .map(String::as_str)
            .collect();
        let capability = statement(config, kinds).to_string().into();
        SendingDoors { capability, road, wake }
    }
}

/// `kinds` are the types that are exported to somebody; none where nobody may pull.
fn statement(config: &config::House, mut kinds: BTreeSet<&str>) -> Value {
    let pulls = !kinds.is_empty();
    let rest = match pulls {
        false => json!({ "mode": "server", "documentation": "no interactions" }),
        true => {
            kinds.extend(["Group", "Patient", "Provenance"]);
            let resources = kinds.into_iter().map(resource).collect::<Value>();
            let token = format!("{}/token", config.file.base_url);
            json!({ "mode": "server", "security": security(&token), "resource": resources })
        }
    };
    let mut statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "software": { "name": "Handover", "version": VERSION },
        "implementation": {
            "description": format!("{}: a sending house; it pushes, and offers files of bulk submissions to those they are for", config.file.title),
            "url": config.file.base_url,
        },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [rest],
    });
    if pulls {
        let bulk_data = "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data";
        statement["instantiates"] = json!([bulk_data]);
    }
    statement
}

/// Clients look here for what an export can hold, so each type stands here, though most are not given one
/// by one.
fn resource(kind: &str) -> Value {
    let export = |url| {
        let documentation = "With Prefer: respond-async, for who was agreed with. Parameters _type and \
                             _outputFormat; others are refused, or with Prefer: handling=lenient passed \
                             over and told in the manifest's error files, but for patient.";
        json!([{ "name": "export", "definition": url, "documentation": documentation }])
    };
    match kind {
        "Group" => json!({
            "type": kind, "documentation": "The caller's own: those of whom it has been told before.",
            "interaction": [{ "code": "read" }, { "code": "search-type" }],
            "searchParam": [{ "name": "_id", "type": "token" }],
            "operation": export(GROUP_EXPORT),
        }),
        "Patient" => json!({ "type": kind, "operation": export(PATIENT_EXPORT) }),
        _ => json!({ "type": kind, "documentation": "given in exports" }),
    }
}

impl Rest for SendingDoors {
    fn capability(&self) -> Bytes {
        self.capability.clone()
    }

    fn ask<'a>(&'a self, caller: &'a Caller, ask: Ask<'a>) -> Outcome<'a> {
        Box::pin(self.road.pull_asks(caller, ask))
    }

    fn export<'a>(&'a self, caller: &'a Caller, kick_off: KickOff) -> Outcome<'a> {
        Box::pin(async move {
            let answer = self.road.pull(caller, kick_off).await;
            self.wake.notify_one();
            answer
        })
    }

    fn status<'a>(&'a self, caller: &'a Caller, id: &'a str) -> Outcome<'a> {
        Box::pin(self.road.pull_status(caller, id))
    }

    fn status_end<'a>(&'a self, caller: &'a Caller, id: &'a str) -> Outcome<'a> {
        Box::pin(async move {
            let answer = self.road.pull_end(caller, id).await;
            self.wake.notify_one();
            answer
        })
    }

    fn bulk_file<'a>(&'a self, caller: Option<&'a Caller>, ask: FileAsk<'a>) -> Outcome<'a> {
        Box::pin(self.road.bulk_file(caller, ask))
    }
}
