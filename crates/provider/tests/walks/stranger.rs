//! A plan's FHIR server of another make, in memory: it reads FHIR its own way, makes a version of every
//! write, and refuses references to what is not there.

use crate::hospital::{Told, status};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use wire::TransportError;

pub(crate) const STRANGER: &str = "https://stranger.example/fhir";

/// What a server takes, beyond reading.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Profile {
    pub(crate) transaction: bool,
    pub(crate) batch: bool,
    pub(crate) single: bool,
    pub(crate) put_creates: bool,
    pub(crate) conditional: bool,
    pub(crate) searched: bool,
    pub(crate) collection: bool,
    /// It never says where a record is.
    pub(crate) placeless: bool,
}

/// What goes wrong with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Stored, and no answer comes.
    SilentAfter,
    /// Not stored, and no answer comes.
    SilentBefore,
    /// Not stored: 500.
    Fails,
    /// Stored, and the answer is a page in HTML.
    Garbage,
    /// Not stored: 429.
    Busy,
    /// Not stored: 405, whatever the statement says.
    NotAllowed,
    /// Not stored: 413.
    TooLarge,
    /// Refused: 422.
    Refused,
}

#[derive(Default)]
struct Memory {
    /// Versions, oldest first, by type and id; null: deleted.
    records: BTreeMap<String, Vec<Value>>,
    given: u32,
    writes: u32,
    wrong: BTreeMap<u32, Wrong>,
}

/// The server.
pub(crate) struct Stranger {
    profile: Profile,
    memory: Mutex<Memory>,
    /// What it says in the place of its statement.
    says: Mutex<Option<(u16, &'static str)>>,
    /// A type that it does not have.
    lacks: Mutex<Option<&'static str>>,
}

type Done = Result<(u16, String), (u16, &'static str)>;

impl Stranger {
    pub(crate) fn new(profile: Profile) -> Stranger {
        let (memory, says, lacks) = Default::default();
        Stranger { profile, memory, says, lacks }
    }

    /// It says this in the place of its statement; `None`: its statement.
    pub(crate) fn say(&self, says: Option<(u16, &'static str)>) {
        *self.says.lock().unwrap() = says;
    }

    /// It does not have this type.
    pub(crate) fn lack(&self, kind: &'static str) {
        *self.lacks.lock().unwrap() = Some(kind);
    }

    pub(crate) fn keeps_collections(&self) -> bool {
        self.profile.collection
    }

    /// The nth write from now on, from 1, goes wrong.
    pub(crate) fn spoil(&self, nth: u32, wrong: Wrong) {
        let mut memory = self.memory.lock().unwrap();
        let nth = memory.writes + nth;
        memory.wrong.insert(nth, wrong);
    }

    /// How many writing requests came.
    pub(crate) fn writes(&self) -> u32 {
        self.memory.lock().unwrap().writes
    }

    /// Records that stand, by type: how many.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (name, versions) in &self.memory.lock().unwrap().records {
            if versions.last().is_some_and(|last| !last.is_null()) {
                *counts.entry(name.split('/').next().unwrap().to_owned()).or_default() += 1;
            }
        }
        counts
    }

    /// All versions of all records of a type.
    pub(crate) fn versions(&self, kind: &str) -> Vec<Vec<Value>> {
        let memory = self.memory.lock().unwrap();
        let own = memory.records.iter().filter(|(name, _)| name.starts_with(&format!("{kind}/")));
        own.map(|(_, versions)| versions.clone()).collect()
    }

    /// References that stand and lead nowhere, and versions that repeat the one before.
    pub(crate) fn faults(&self) -> Vec<String> {
        let memory = self.memory.lock().unwrap();
        let mut faults = Vec::new();
        for (name, versions) in &memory.records {
            let last = versions.last().unwrap();
            for target in references(last) {
                if !memory.stands(&target) {
                    faults.push(format!("{} leads nowhere", name.split('/').next().unwrap()));
                }
            }
            if versions.windows(2).any(|two| two[0] == two[1]) {
                faults.push(format!("{} twice", name.split('/').next().unwrap()));
            }
        }
        faults
    }

    pub(crate) fn answer(&self, request: &Request<Bytes>) -> Told {
        let uri = request.uri().to_string().replace("%7C", "|");
        let path = uri.strip_prefix(STRANGER).unwrap().trim_start_matches('/').to_owned();
        if request.method() == "GET" {
            return self.read(&path);
        }
        if path == "token" {
            let token = json!({ "access_token": "t", "token_type": "bearer", "expires_in": 300 });
            return status(200, token.to_string());
        }
        let mut memory = self.memory.lock().unwrap();
        memory.writes += 1;
        let nth = memory.writes;
        let wrong = memory.wrong.remove(&nth);
        let silence = || Err(TransportError::Unknown("planted".into()));
        let outcome = || {
            json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error",
                "code": "business-rule" }] })
            .to_string()
        };
        match wrong {
            Some(Wrong::SilentBefore) => return silence(),
            Some(Wrong::Fails) => return status(500, ""),
            Some(Wrong::Busy) => return status(429, ""),
            Some(Wrong::NotAllowed) => return status(405, ""),
            Some(Wrong::TooLarge) => return status(413, ""),
            Some(Wrong::Refused) => return status(422, outcome()),
            _ => {}
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let told = match path.as_str() {
            "" => memory.bundle(&self.profile, &body),
            path => {
                let header = request.headers().get("if-none-exist");
                let unless = header.and_then(|value| value.to_str().ok());
                let may = self.profile.single || (self.profile.collection && path == "Bundle");
                match may {
                    true => told(memory.write(
                        &self.profile,
                        request.method().as_str(),
                        path,
                        unless,
                        body,
                    )),
                    false => status(405, ""),
                }
            }
        };
        let told =
            told.map(|answer| if self.profile.placeless { without_places(answer) } else { answer });
        match wrong {
            Some(Wrong::SilentAfter) => silence(),
            Some(Wrong::Garbage) => status(200, "<html>it works</html>"),
            _ => told,
        }
    }

    fn read(&self, path: &str) -> Told {
        if let Some((code, body)) = self.says.lock().unwrap().filter(|_| path == "metadata") {
            return status(code, body);
        }
        if path == "metadata" {
            return status(200, self.statement().to_string());
        }
        if path == ".well-known/smart-configuration" {
            let endpoint = json!({ "token_endpoint": format!("{STRANGER}/token") });
            return status(200, endpoint.to_string());
        }
        let Some((kind, query)) = path.split_once('?').filter(|_| self.profile.searched) else {
            return status(404, "");
        };
        let memory = self.memory.lock().unwrap();
        let (name, values) = query.split('&').next().unwrap().split_once('=').unwrap();
        let fits = |record: &Value| {
            values.split(',').any(|wanted| match name {
                "_id" => record["id"] == wanted,
                _ => marked(record, wanted),
            })
        };
        let found = memory.of(kind).into_iter().filter(|record| fits(record));
        let entries: Vec<Value> = found.map(|record| json!({ "resource": record })).collect();
        let bundle = json!({ "resourceType": "Bundle", "type": "searchset", "entry": entries });
        status(200, bundle.to_string())
    }

    fn statement(&self) -> Value {
        let Profile { transaction, batch, put_creates, conditional, searched, collection, .. } =
            self.profile;
        let mut system = Vec::new();
        if transaction {
            system.push(json!({ "code": "transaction" }));
        }
        if batch {
            system.push(json!({ "code": "batch" }));
        }
        let kinds = [
            "Patient",
            "Encounter",
            "Observation",
            "Coverage",
            "Provenance",
            "Condition",
            "Practitioner",
            "Organization",
        ];
        let codes = ["read", "search-type", "create", "update", "delete"];
        let codes = codes.iter().filter(|code| **code != "search-type" || searched);
        let interactions: Vec<Value> = codes.map(|code| json!({ "code": code })).collect();
        let row = |kind: &str| {
            json!({ "type": kind, "interaction": interactions, "updateCreate": put_creates,
                "conditionalCreate": conditional,
                "searchParam": [{ "name": "_id" }, { "name": "identifier" }] })
        };
        let lacks = *self.lacks.lock().unwrap();
        let kinds = kinds.iter().filter(|kind| lacks != Some(kind));
        let mut types: Vec<Value> = kinds.map(|kind| row(kind)).collect();
        if collection {
            types = vec![row("Bundle")];
        }
        json!({ "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
            "rest": [{ "mode": "server", "interaction": system, "resource": types }] })
    }
}

fn told(done: Done) -> Told {
    match done {
        Ok((code, at)) => {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = http::StatusCode::from_u16(code).unwrap();
            let location = format!("{STRANGER}/{at}/_history/1");
            answer.headers_mut().insert("location", location.parse().unwrap());
            Ok(answer)
        }
        Err((code, why)) => status(code, outcome(why)),
    }
}

fn without_places(mut answer: Response<Bytes>) -> Response<Bytes> {
    answer.headers_mut().remove("location");
    if let Ok(mut bundle) = serde_json::from_slice::<Value>(answer.body()) {
        for entry in bundle["entry"].as_array_mut().into_iter().flatten() {
            entry["response"].as_object_mut().unwrap().remove("location");
        }
        *answer.body_mut() = bundle.to_string().into();
    }
    answer
}

fn outcome(why: &str) -> String {
    json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": why }] })
        .to_string()
}

fn marked(record: &Value, token: &str) -> bool {
    let identifiers = record["identifier"].as_array().map(Vec::as_slice).unwrap_or_default();
    let one = |it: &Value| {
        format!(
            "{}|{}",
            it["system"].as_str().unwrap_or_default(),
            it["value"].as_str().unwrap_or_default()
        ) == token
    };
    identifiers.iter().any(one) || (record["identifier"].is_object() && one(&record["identifier"]))
}

/// Literal references below a value.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Object(members) => {
            let own = members.get("reference").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        _ => Vec::new(),
    }
}

fn rewrite(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, names)),
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                let to =
                    member.as_str().filter(|_| name == "reference").and_then(|it| names.get(it));
                match to {
                    Some(to) => *member = json!(to),
                    None => rewrite(member, names),
                }
            }
        }
        _ => {}
    }
}

impl Memory {
    fn stands(&self, name: &str) -> bool {
        self.records.get(name).and_then(|it| it.last()).is_some_and(|last| !last.is_null())
    }

    fn of(&self, kind: &str) -> Vec<Value> {
        let own = self.records.iter().filter(|(name, _)| name.starts_with(&format!("{kind}/")));
        own.filter_map(|(_, versions)| versions.last().filter(|it| !it.is_null()).cloned())
            .collect()
    }

    fn write(
        &mut self,
        profile: &Profile,
        method: &str,
        path: &str,
        unless: Option<&str>,
        mut body: Value,
    ) -> Done {
        if method == "DELETE" {
            let there = self.stands(path);
            if there {
                self.records.get_mut(path).unwrap().push(Value::Null);
            }
            return Ok((204, path.to_owned()));
        }
        if path != "Bundle" && references(&body).iter().any(|target| !self.stands(target)) {
            return Err((409, "conflict"));
        }
        if let Some(unless) = unless {
            if !profile.conditional {
                return Err((412, "not-supported"));
            }
            let token = unless.strip_prefix("identifier=").unwrap();
            let found = self.of(path).into_iter().find(|record| marked(record, token));
            if let Some(found) = found {
                return Ok((200, format!("{path}/{}", found["id"].as_str().unwrap())));
            }
        }
        if method == "PUT" {
            assert_eq!(
                format!(
                    "{}/{}",
                    body["resourceType"].as_str().unwrap(),
                    body["id"].as_str().unwrap()
                ),
                path
            );
            if !self.records.contains_key(path) && !profile.put_creates {
                return Err((405, "not-supported"));
            }
            let versions = self.records.entry(path.to_owned()).or_default();
            versions.push(body);
            return Ok((if versions.len() == 1 { 201 } else { 200 }, path.to_owned()));
        }
        self.given += 1;
        let at = format!("{path}/{}", self.given);
        body["id"] = json!(self.given.to_string());
        self.records.insert(at.clone(), vec![body]);
        Ok((201, at))
    }

    fn bundle(&mut self, profile: &Profile, bundle: &Value) -> Told {
        let kind = bundle["type"].as_str().unwrap();
        let all = kind == "transaction";
        if (all && !profile.transaction) || (!all && !profile.batch) {
            return status(405, "");
        }
        let before = self.records.clone();
        let mut names = BTreeMap::new();
        let mut answers = vec![Value::Null; bundle["entry"].as_array().unwrap().len()];
        let mut todo: Vec<usize> = (0..answers.len()).collect();
        // Entries that refer to others of a transaction wait for them; cycles go through at last.
        for lenient in [false, false, false, false, false, true] {
            let mut left = Vec::new();
            for at in todo {
                let entry = &bundle["entry"][at];
                let mut body = entry["resource"].clone();
                if all {
                    rewrite(&mut body, &names);
                }
                let waits = references(&body).iter().any(|it| !self.stands(it));
                if all && waits && !lenient {
                    left.push(at);
                    continue;
                }
                if all && waits {
                    let own = &bundle["entry"];
                    let inside = references(&body).iter().all(|it| {
                        self.stands(it)
                            || own.as_array().unwrap().iter().any(|e| e["request"]["url"] == **it)
                    });
                    if !inside {
                        self.records = before;
                        return status(400, outcome("not-found"));
                    }
                    let path = entry["request"]["url"].as_str().unwrap().to_owned();
                    self.records.entry(path.clone()).or_default().push(body);
                    answers[at] = json!({ "response": { "status": "201", "location": path } });
                    continue;
                }
                let request = &entry["request"];
                let (method, url) =
                    (request["method"].as_str().unwrap(), request["url"].as_str().unwrap());
                let done = self.write(profile, method, url, request["ifNoneExist"].as_str(), body);
                answers[at] = match done {
                    Ok((code, place)) => {
                        if let Some(full_url) = entry["fullUrl"].as_str() {
                            names.insert(full_url.to_owned(), place.clone());
                        }
                        json!({ "response": { "status": code.to_string(), "location": format!("{place}/_history/1") } })
                    }
                    Err((code, why)) if all => {
                        self.records = before;
                        return status(code, outcome(why));
                    }
                    Err((code, why)) => {
                        let outcome: Value = serde_json::from_str(&outcome(why)).unwrap();
                        json!({ "response": { "status": code.to_string(), "outcome": outcome } })
                    }
                };
            }
            todo = left;
        }
        let answer = json!({ "resourceType": "Bundle", "type": format!("{kind}-response"), "entry": answers });
        status(200, answer.to_string())
    }
}
