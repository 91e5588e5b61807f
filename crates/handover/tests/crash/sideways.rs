//! To a partner with good tokens the records of another are not there: whatever it asks of them is
//! answered as if they had never been.
//!
//! How: each request goes twice, once about what the other sender really has and once about what nobody
//! has; the two answers must be the same, header by header and byte by byte, but for what was asked.

use crate::common::RUNTIME;
use crate::door::Door;
use crate::sender::{FHIR_JSON, Sender, Told};
use bytes::Bytes;
use exchange::desk::{Command, Reply};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An id that is like a derived one and is nobody's.
const NOBODYS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What of an answer a partner can see, with what it asked about struck out.
fn seen(told: &Told, struck: &[&str]) -> (u16, BTreeMap<String, String>, String) {
    let strike = |text: &str| {
        let mut text = text.to_owned();
        for word in struck {
            text = text.replace(word, "*");
        }
        text
    };
    let own = ["x-request-id", "date", "content-length"];
    let headers = told.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let headers = headers
        .map(|(name, value)| (name.to_string(), strike(value.to_str().unwrap_or_default())))
        .collect();
    let mut body = told.json();
    // The moment of the answer, and an id it gives itself.
    if let Some(body) = body.as_object_mut() {
        body.remove("id");
        body.remove("meta");
    }
    (told.status, headers, strike(&body.to_string()))
}

/// One request, with `{id}` wherever it names the record.
struct Asked {
    name: &'static str,
    method: &'static str,
    path: String,
    headers: &'static [(&'static str, &'static str)],
    body: Option<Value>,
}

fn asked(name: &'static str, method: &'static str, path: impl Into<String>) -> Asked {
    Asked { name, method, path: path.into(), headers: &[], body: None }
}

impl Asked {
    fn with(self, headers: &'static [(&'static str, &'static str)]) -> Asked {
        Asked { headers, ..self }
    }

    fn body(self, body: Value) -> Asked {
        Asked { body: Some(body), ..self }
    }

    fn of(&self, sender: &Sender, token: &str, id: &str) -> Told {
        let mut request = sender.request(self.method, &self.path.replace("{id}", id), token);
        for (name, value) in self.headers {
            request = request.header(*name, value.replace("{id}", id));
        }
        if self.body.is_some() {
            request = request.header("content-type", FHIR_JSON);
        }
        let body = self.body.as_ref().map(|body| body.to_string().replace("{id}", id));
        sender.send(request.body(Bytes::from(body.unwrap_or_default())).unwrap())
    }
}

/// A Bundle with one entry.
fn bundle(kind: &str, entry: Value) -> Value {
    json!({ "resourceType": "Bundle", "type": kind, "entry": [entry] })
}

/// What a partner may try on the Encounter of another.
fn tries() -> Vec<Asked> {
    let visit = json!({ "resourceType": "Encounter", "id": "{id}", "status": "finished",
        "class": { "code": "AMB" } });
    let about = json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" },
        "encounter": { "reference": "Encounter/{id}" } });
    let put = |more: Value| {
        let mut request = json!({ "method": "PUT", "url": "Encounter/{id}" });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "resource": visit, "request": request })
    };
    let get = |url: &str| json!({ "request": { "method": "GET", "url": url } });
    let delete = |more: Value| {
        let mut request = json!({ "method": "DELETE", "url": "Encounter/{id}" });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "request": request })
    };
    vec![
        asked("a read", "GET", "Encounter/{id}"),
        asked("a look at the head", "HEAD", "Encounter/{id}"),
        asked("a read of what is known", "GET", "Encounter/{id}")
            .with(&[("if-none-match", "W/\"1\"")]),
        asked("its history", "GET", "Encounter/{id}/_history"),
        asked("its first version", "GET", "Encounter/{id}/_history/1"),
        asked("a version it has not", "GET", "Encounter/{id}/_history/9"),
        asked("everything of it", "GET", "Patient/{id}/$everything"),
        asked("a search by id", "GET", "Encounter?_id={id}"),
        asked("a count", "GET", "Encounter?_id={id}&_summary=count"),
        asked("a search by reference", "GET", "Observation?encounter=Encounter/{id}"),
        asked("a search by chain", "GET", "Observation?encounter._id={id}"),
        asked("what it includes", "GET", "Encounter?_id={id}&_include=Encounter:patient"),
        asked("what includes it", "GET", "Encounter?_id={id}&_revinclude=Provenance:target"),
        asked("what is said of it", "GET", "Provenance?target=Encounter/{id}"),
        asked("tasks about it", "GET", "Task?focus=Encounter/{id}"),
        asked("a search by its source", "GET", "Encounter?_source={id}"),
        asked("its file", "GET", "Binary/{id}"),
        asked("its file as it is", "GET", "Binary/{id}").with(&[("accept", "text/plain")]),
        asked("its status", "GET", "status/{id}"),
        asked("a file of its status", "GET", "status/{id}/answer.ndjson"),
        asked("an update where it is version 1", "PUT", "Encounter/{id}")
            .with(&[("if-match", "W/\"1\"")])
            .body(visit.clone()),
        asked("an update where it is version 9", "PUT", "Encounter/{id}")
            .with(&[("if-match", "W/\"9\"")])
            .body(visit.clone()),
        asked("an update where it is found", "PUT", "Encounter?_id={id}")
            .with(&[("if-match", "W/\"1\"")])
            .body(visit.clone()),
        asked("a deletion where it is version 1", "DELETE", "Encounter/{id}")
            .with(&[("if-match", "W/\"1\"")]),
        asked("a deletion where it is version 9", "DELETE", "Encounter/{id}")
            .with(&[("if-match", "W/\"9\"")]),
        asked("a deletion where it is found", "DELETE", "Encounter?_id={id}"),
        asked("something about it", "POST", "Observation").body(about.clone()),
        asked("a batch that reads it", "POST", "").body(bundle("batch", get("Encounter/{id}"))),
        asked("a batch that seeks it", "POST", "").body(bundle("batch", get("Encounter?_id={id}"))),
        asked("a batch that updates version 1", "POST", "")
            .body(bundle("batch", put(json!({ "ifMatch": "W/\"1\"" })))),
        asked("a transaction that updates version 1", "POST", "")
            .body(bundle("transaction", put(json!({ "ifMatch": "W/\"1\"" })))),
        asked("a transaction that deletes version 1", "POST", "")
            .body(bundle("transaction", delete(json!({ "ifMatch": "W/\"1\"" })))),
        asked("a transaction about it", "POST", "").body(bundle(
            "transaction",
            json!({ "resource": about, "request": { "method": "POST", "url": "Observation" } }),
        )),
        asked("a deletion", "DELETE", "Encounter/{id}"),
    ]
}

#[test]
fn whatever_a_partner_asks_of_anothers_records_is_answered_as_if_they_had_never_been() {
    let door = Door::open();
    let mut good = door.bundle(1);
    let note = json!({ "contentType": "text/plain", "data": "aGVsbG8=" });
    let visit = door.sender.reference("Encounter", "e1");
    let said = json!({ "target": [visit], "recorded": "2026-11-23T12:00:00Z",
        "agent": [{ "who": { "display": "the hospital" } }] });
    let more = [door.sender.put("Binary", "b1", note), door.sender.put("Provenance", "v1", said)];
    good["entry"].as_array_mut().unwrap().extend(more);
    let told = door.sender.post(&door.token, good.to_string());
    assert_eq!(told.status, 200, "{told:?}");
    let records = door.payer().dump();
    assert_eq!(records.len(), 5);
    let token = door.stranger.token("system/*.cruds").unwrap();
    for asked in tries() {
        // `[type]/[id]` of every record that stands: a read of one type may find another's.
        for entry in good["entry"].as_array().unwrap() {
            let id = entry["resource"]["id"].as_str().unwrap();
            let [theirs, nobodys] = [id, NOBODYS].map(|id| asked.of(&door.stranger, &token, id));
            let told = [seen(&theirs, &[id]), seen(&nobodys, &[NOBODYS])];
            assert_eq!(
                told[0], told[1],
                "{}, of {}",
                asked.name, entry["resource"]["resourceType"]
            );
        }
        let stands = door.payer().dump();
        assert!(records.iter().all(|line| stands.contains(line)), "{}: what stood", asked.name);
    }
    // Its own sender finds it all where it was.
    let visit = good["entry"][2]["request"]["url"].as_str().unwrap();
    let told = door.sender.get(&door.token, visit);
    assert_eq!((told.status, &told.json()["meta"]["versionId"]), (200, &json!("1")));
}

#[test]
fn searches_for_all_of_a_type_count_and_show_a_partners_own_records_only() {
    let door = Door::open();
    assert_eq!(door.sender.post(&door.token, door.bundle(1).to_string()).status, 200);
    let token = door.stranger.token("system/*.cruds").unwrap();
    for kind in ["Patient", "Coverage", "Encounter", "Provenance", "Task", "Binary", "Observation"]
    {
        for query in
            ["", "?_summary=count", "?_total=accurate", "?_count=1", "?_lastUpdated=gt2000"]
        {
            let told = door.stranger.get(&token, &format!("{kind}{query}"));
            let body = told.json();
            if told.status == 200 {
                assert_eq!(body["total"].as_u64().unwrap_or(0), 0, "{kind}{query}: {body}");
            }
            assert!(
                body["entry"].as_array().is_none_or(Vec::is_empty) || told.status != 200,
                "{body}"
            );
            let words = body.to_string();
            assert!(!words.contains(&door.sender.namespace), "{kind}{query}: {words}");
        }
    }
    // With records of its own it sees those, and no more for the other's.
    let own = door.stranger.bundle(1, &door.member);
    assert_eq!(door.stranger.post(&token, own.to_string()).status, 200);
    for (kind, count) in [("Patient", 1), ("Coverage", 1), ("Encounter", 1)] {
        for (sender, token) in [(&door.stranger, &token), (&door.sender, &door.token)] {
            let found = sender.get(token, kind).json();
            assert_eq!(found["total"], count, "{kind}: {found}");
            let words = found.to_string();
            let other =
                [&door.stranger, &door.sender].into_iter().find(|it| it.name != sender.name);
            assert!(!words.contains(&other.unwrap().namespace), "{kind}: {words}");
        }
    }
}

#[test]
fn the_poll_of_a_push_that_waits_and_the_answer_to_its_key_are_its_senders_alone() {
    let door = Door::open();
    let mut waits = door.bundle(1);
    waits["entry"][1]["resource"]["subscriberId"] = json!("no member of this plan");
    let held = door.sender.post(&door.token, waits.to_string());
    assert_eq!(held.status, 202, "{held:?}");
    let place = held.headers["content-location"].to_str().unwrap().to_owned();
    let id = place.rsplit('/').next().unwrap();
    let token = door.stranger.token("system/*.cruds").unwrap();
    let polls =
        [asked("the poll", "GET", "status/{id}"), asked("a file", "GET", "status/{id}/a.ndjson")];
    for asked in polls {
        let nobodys = "0".repeat(id.len());
        let [theirs, none] = [id, &nobodys].map(|id| asked.of(&door.stranger, &token, id));
        assert_eq!(seen(&theirs, &[id]), seen(&none, &[&nobodys]), "{}", asked.name);
        assert_eq!(theirs.status, 404, "{}", asked.name);
    }
    assert_eq!(door.sender.get(&door.token, &format!("status/{id}")).status, 202, "its own sender");

    // The same key and bytes from another sender are another sender's push: no first answer is given.
    let told = door.stranger.post(&token, waits.to_string());
    let never = door.stranger.post(&token, waits.to_string().replace("1-0000", "2-0000"));
    assert_eq!(seen(&told, &[]), seen(&never, &[]), "a key that another has used");
    assert!(!told.headers.contains_key("content-location"), "{told:?}");
    // The house's own API tells its people of one submission, and lets no partner ask.
    let listed = door.payer().ask(&Command::List { states: Vec::new(), limit: None }).unwrap();
    let Reply::Listed { rows, .. } = listed else { panic!("no list: {listed:?}") };
    assert_eq!(rows.len(), 1);
    for command in ["list", "show", "check", "verify", "partner"] {
        let place = door.payer().public().base_url.replace("/fhir", "/api");
        let request = http::Request::post(format!("{place}/{command}"))
            .header("authorization", format!("Bearer {token}"));
        let told = RUNTIME.block_on(door.stranger.send_later(request.body(Bytes::new()).unwrap()));
        assert_eq!(told.status, 403, "{command}: {told:?}");
    }
}
