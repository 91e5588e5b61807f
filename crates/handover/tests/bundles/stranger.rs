//! Stranger: a plan, and a sender of it that derives no ids.

use crate::common::House;
use crate::sender::{FHIR_JSON, Sender, Told};
use bytes::Bytes;
use serde_json::{Value, json};
use sim::TownPlan;
use std::path::Path;

/// A plan that is served, with one sender.
pub(crate) struct Door {
    pub(crate) payer: House,
    pub(crate) sender: Sender,
    pub(crate) token: String,
    // Last: the folder outlives the process that works in it.
    _folder: tempfile::TempDir,
}

impl Door {
    /// A plan with these members, whose member file's rows are `id,family,given,birth date,gender`.
    pub(crate) fn open(members: &[String]) -> Door {
        let folder = tempfile::tempdir().unwrap();
        let town =
            sim::Town::generate(1, &TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() });
        let mut payer = House::payer(&folder.path().join("plan"), &town.plans[0]);
        let lab = House::provider(&folder.path().join("lab"), "https://127.0.0.1:1/fhir");
        introduce(&lab, &payer, folder.path());
        let rows = members.join("\n");
        payer.write("members.csv", &format!("member_id,family,given,birth_date,gender\n{rows}\n"));
        payer.serve();
        let sender = Sender::with_keys_of(&lab, &payer);
        let token = sender.token("system/*.cruds").unwrap();
        Door { payer, sender, token, _folder: folder }
    }

    /// A Bundle to the base.
    pub(crate) fn post(&self, body: impl Into<Bytes>) -> Told {
        self.sender.post(&self.token, body)
    }

    /// A request with headers and, where there is one, a resource.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Told {
        let mut request = self.sender.request(method, path, &self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", FHIR_JSON);
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.sender.send(request.body(body.into()).unwrap())
    }

    pub(crate) fn get(&self, path: &str) -> Told {
        self.sender.get(&self.token, path)
    }

    /// How many records of this sender fit.
    pub(crate) fn count(&self, search: &str) -> u64 {
        let told = self.get(&format!("{search}&_summary=count"));
        assert_eq!(told.status, 200, "{search}: {:?}", told.body);
        told.json()["total"].as_u64().unwrap()
    }
}

/// The plan registers the sender as one that derives no ids, and agrees to every type.
fn introduce(lab: &House, payer: &House, folder: &Path) {
    let mut public: Value = serde_json::from_str(&lab.read("public.json")).unwrap();
    public.as_object_mut().unwrap().remove("namespace");
    let file = folder.join("lab.json");
    std::fs::write(&file, public.to_string()).unwrap();
    let said = payer.run(&["partner", "add", file.to_str().unwrap()]);
    assert_eq!(said.code, 0, "partner add: {}", said.stderr);
    let agreement = "partner = \"lab\"\npurposes = [\"HPAYMT\"]\nunmatched = \"refuse\"\n";
    payer.write("agreements/lab.toml", agreement);
}

/// Codes and places of an OperationOutcome.
pub(crate) fn issues(told: &Told) -> Vec<(String, String)> {
    issues_of(&told.json())
}

pub(crate) fn issues_of(outcome: &Value) -> Vec<(String, String)> {
    let issues = outcome["issue"].as_array().unwrap_or_else(|| panic!("no outcome: {outcome}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    issues
        .iter()
        .map(|one| (text(&one["details"]["coding"][0]["code"]), text(&one["expression"][0])))
        .collect()
}

/// The statuses of a response Bundle's entries.
pub(crate) fn statuses(told: &Told) -> Vec<u16> {
    let bundle = told.json();
    assert_eq!(told.status, 200, "{bundle}");
    let entries = bundle["entry"].as_array().unwrap();
    let status =
        |entry: &Value| entry["response"]["status"].as_str().unwrap()[..3].parse().unwrap();
    entries.iter().map(status).collect()
}

/// Ada, a member in every plan of these tests.
pub(crate) const ADA: &str = "W100,Example,Ada,1980-02-03,female";

pub(crate) fn ada(id: Option<&str>) -> Value {
    let coding =
        json!([{ "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB" }]);
    let mut patient = json!({
        "resourceType": "Patient",
        "identifier": [{ "type": { "coding": coding }, "system": "urn:plan", "value": "W100" }],
        "name": [{ "family": "Example", "given": ["Ada"] }],
        "birthDate": "1980-02-03",
    });
    if let Some(id) = id {
        patient["id"] = id.into();
    }
    patient
}

pub(crate) fn practitioner(number: &str) -> Value {
    json!({
        "resourceType": "Practitioner",
        "identifier": [{ "system": "urn:npi", "value": number }],
        "name": [{ "family": "Healer" }],
    })
}

pub(crate) fn observation(subject: &str) -> Value {
    json!({
        "resourceType": "Observation", "status": "final", "code": { "text": "weight" },
        "subject": { "reference": subject },
    })
}

/// An entry of a Bundle.
pub(crate) fn entry(method: &str, url: &str, resource: Option<Value>) -> Value {
    let mut entry = json!({ "request": { "method": method, "url": url } });
    if let Some(resource) = resource {
        entry["resource"] = resource;
    }
    entry
}

pub(crate) fn bundle(kind: &str, entries: Vec<Value>) -> String {
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries }).to_string()
}
