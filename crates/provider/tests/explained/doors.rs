//! Doors: what the plans' servers take, and what they hold once it was sent.
//!
//! A house takes a push as one transaction. A server of another make takes it by one rung of the
//! ladder, in parts; what it holds is told here in the words of the sending house, so that one
//! comparison serves all.

use crate::charts::reference;
use crate::dice::Dice;
use crate::sent::at_payer;
use crate::town::NAMESPACE;
use bytes::Bytes;
use exchange::ladder::record_system;
use http::{Request, Response};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How a plan's server takes a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rung {
    House,
    Transaction,
    Batch,
    Single,
    /// One record at a time, under ids that the server gives.
    ServerIds,
}

impl Rung {
    /// Every third server is of another make.
    pub(crate) fn draw(dice: &mut Dice) -> Rung {
        if dice.chance(70) {
            return Rung::House;
        }
        *dice.pick(&[Rung::Transaction, Rung::Batch, Rung::Single, Rung::ServerIds])
    }

    /// What the agreement says of it: the form, and `[door]`.
    pub(crate) fn terms(self, dice: &mut Dice) -> (&'static str, String) {
        let word = match self {
            Rung::House => return ("transaction", String::new()),
            Rung::Transaction => "transaction",
            Rung::Batch => "batch",
            Rung::Single | Rung::ServerIds => "single",
        };
        let entries = dice.pick(&[3, 10, 500]);
        ("best", format!("\n[door]\nforms = [\"{word}\"]\nentries_max = {entries}\n"))
    }
}

/// What one push brought.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    /// Bodies of writing requests, as they came.
    pub(crate) bodies: Vec<Bytes>,
    /// Records that were written, by `Type/derived id`.
    pub(crate) put: BTreeSet<String>,
    /// Records that were taken back.
    pub(crate) gone: BTreeSet<String>,
    /// Provenances that were written.
    pub(crate) provenances: usize,
}

/// A plan's server.
pub(crate) struct Door {
    pub(crate) rung: Rung,
    /// By `Type/id` at the server.
    records: BTreeMap<String, Value>,
    delivered: Delivered,
    given: usize,
}

type Reply = (u16, String, Option<String>);

impl Door {
    pub(crate) fn new(rung: Rung) -> Door {
        Door { rung, records: BTreeMap::new(), delivered: Delivered::default(), given: 0 }
    }

    /// What was sent since the last look.
    pub(crate) fn take(&mut self) -> Delivered {
        std::mem::take(&mut self.delivered)
    }

    pub(crate) fn statement(&self) -> Value {
        let interactions: &[&str] = match self.rung {
            Rung::House | Rung::Transaction => &["transaction"],
            Rung::Batch => &["batch"],
            Rung::Single | Rung::ServerIds => &[],
        };
        let mut statement = statement(interactions);
        if self.rung == Rung::ServerIds {
            let codes = ["read", "create", "update", "delete"].map(|code| json!({ "code": code }));
            let row = |kind: &&str| json!({ "type": kind, "interaction": codes });
            statement["rest"][0]["resource"] = TYPES.iter().map(row).collect();
        }
        statement
    }

    /// Takes what is sent to a place below the base.
    pub(crate) fn write(&mut self, request: &Request<Bytes>, place: &str) -> Response<Bytes> {
        self.delivered.bodies.push(request.body().clone());
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let (status, body, at) = match place {
            "" => self.bundle(&body),
            place => self.one(request.method().as_str(), place, body),
        };
        let mut answer = Response::new(Bytes::from(body));
        *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
        if let Some(at) = at {
            answer.headers_mut().insert("location", at.parse().unwrap());
        }
        answer
    }

    fn bundle(&mut self, bundle: &Value) -> Reply {
        let kind = if self.rung == Rung::Batch { "batch" } else { "transaction" };
        assert_eq!(bundle["type"], kind);
        let mut seen = BTreeSet::new();
        let entries: Vec<Value> = bundle["entry"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                let request = &entry["request"];
                let (method, url) = (request["method"].as_str(), request["url"].as_str().unwrap());
                assert!(seen.insert(url.to_owned()), "twice in one Bundle");
                let done = self.one(method.unwrap(), url, entry["resource"].clone());
                let status = if done.0 == 201 { "201 Created" } else { "200 OK" };
                match done.2 {
                    Some(at) => json!({ "response": { "status": status, "location": at } }),
                    None => json!({ "response": { "status": status } }),
                }
            })
            .collect();
        let kind = format!("{kind}-response");
        let told = json!({ "resourceType": "Bundle", "type": kind, "entry": entries });
        (200, told.to_string(), None)
    }

    fn one(&mut self, method: &str, place: &str, mut body: Value) -> Reply {
        let at = match method {
            "DELETE" => {
                // A house takes back what it may never have had.
                let old = self.records.remove(place);
                // Its own words about what goes are taken back with it.
                if !old.as_ref().is_some_and(is_own) {
                    let name = old.map_or(place.to_owned(), |old| name(&old));
                    self.delivered.gone.insert(name);
                }
                return (204, String::new(), None);
            }
            "PUT" => place.to_owned(),
            "POST" => {
                self.given += 1;
                let id = format!("given-{}", self.given);
                body["id"] = json!(id);
                format!("{place}/{id}")
            }
            other => panic!("{other}"),
        };
        assert_eq!(reference(&body), at);
        let created = !self.records.contains_key(&at);
        match at.starts_with("Provenance/") && is_own(&body) {
            true => self.delivered.provenances += 1,
            false => drop(self.delivered.put.insert(name(&body))),
        }
        self.records.insert(at.clone(), body);
        (if created { 201 } else { 200 }, String::new(), Some(format!("{at}/_history/1")))
    }

    /// What stands there, in the words of the sending house; its own Provenances aside.
    pub(crate) fn holds(&self) -> BTreeMap<String, Value> {
        let own = self.records.values().filter(|it| !is_own(it));
        own.map(|it| (name(it), self.translated(it))).collect()
    }

    fn translated(&self, record: &Value) -> Value {
        let mut record = record.clone();
        if self.rung == Rung::ServerIds {
            let name = name(&record);
            record["id"] = json!(name.split_once('/').unwrap().1);
            without_marks(&mut record);
            self.lead_back(&mut record);
        }
        record
    }

    /// References to ids that the server gave are those of the sending house again.
    fn lead_back(&self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (member, it) in members.iter_mut() {
                    let known = it.as_str().filter(|_| ["reference", "url"].contains(&&**member));
                    match known.and_then(|text| self.records.get(text)) {
                        Some(target) => *it = json!(name(target)),
                        None => self.lead_back(it),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|it| self.lead_back(it)),
            _ => {}
        }
    }
}

/// `Type/derived id` of a record, by the source that it names.
fn name(record: &Value) -> String {
    let source = record["meta"]["source"].as_str().and_then(|it| it.strip_prefix(NAMESPACE));
    match source.map(|it| it.trim_start_matches('/')).filter(|it| it.split('/').count() == 2) {
        Some(source) => at_payer(source),
        None => reference(record),
    }
}

/// Whether it is the Provenance that a push brings of itself.
fn is_own(record: &Value) -> bool {
    record["resourceType"] == "Provenance" && record["activity"].is_object()
}

/// The identifier that the sending house adds where it cannot choose ids.
fn without_marks(record: &mut Value) {
    let system = record_system(NAMESPACE);
    let Some(list) = record.get_mut("identifier").and_then(Value::as_array_mut) else { return };
    list.retain(|it| it["system"] != system.as_str());
    if list.is_empty() {
        record.as_object_mut().map(|members| members.shift_remove("identifier"));
    }
}

pub(crate) fn statement(interactions: &[&str]) -> Value {
    let codes: Vec<Value> = interactions.iter().map(|code| json!({ "code": code })).collect();
    json!({ "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
        "rest": [{ "mode": "server", "interaction": codes }] })
}

/// Types of the town's charts.
const TYPES: [&str; 25] = [
    "Account",
    "AllergyIntolerance",
    "Binary",
    "CarePlan",
    "CareTeam",
    "Condition",
    "Coverage",
    "Device",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "Goal",
    "Immunization",
    "Location",
    "Medication",
    "MedicationRequest",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "Provenance",
    "ServiceRequest",
    "Specimen",
];
