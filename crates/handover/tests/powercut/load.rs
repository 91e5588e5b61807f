//! Load: what the clients of a run bring, one Bundle after the other.
//!
//! Comes in   a seed, a sender, members of the plan.
//! Goes out   a list of steps for each client: Bundles with and without keys, small ones and ones
//!            with contents above 64 KB, some sent twice at once, some sent again later.
//! Never      gives two Bundles a body, or two entries of different Bundles a content, that is the
//!            same; but for the Coverages, which never change.

use crate::chance::Chance;
use crate::sender::Sender;
use bytes::Bytes;
use exchange::Digest;
use serde_json::{Value, json};
use sim::town::MemberRow;
use std::collections::VecDeque;
use std::sync::Arc;

/// Clients at work at the same time.
pub(crate) const CLIENTS: usize = 8;

/// Bundles of each.
const BUNDLES: usize = 16;

/// Observations that a client writes again and again.
const ROLLING: usize = 5;

/// Practitioners that all clients write.
const SHARED: usize = 2;

/// Organizations that all clients create unless they are there.
const ONCE: usize = 6;

/// What one entry asks for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) kind: String,
    pub(crate) id: String,
    /// The resource's bytes; `None` deletes.
    pub(crate) content: Option<Bytes>,
    pub(crate) whose: Whose,
}

/// Who else asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Nobody: one client writes the record.
    Own,
    /// All clients write the record.
    Shared,
    /// All clients create it unless there is one: only the first of them does.
    Once(usize),
}

/// One Bundle.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its place in the whole load; within a client, later ones are sent later.
    pub(crate) number: usize,
    pub(crate) key: bool,
    pub(crate) body: Bytes,
    pub(crate) digest: Digest,
    pub(crate) entries: Vec<Asked>,
}

/// What a client does next.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(Arc<Request>),
    /// The same, from two connections at once.
    Twice(Arc<Request>),
    /// Something that was answered before, drawn by this number.
    Again(usize),
}

/// The whole load of a run.
pub(crate) struct Load {
    pub(crate) requests: Vec<Arc<Request>>,
    pub(crate) steps: Vec<VecDeque<Step>>,
}

impl Load {
    pub(crate) fn drawn(seed: u64, sender: &Sender, members: &[MemberRow]) -> Load {
        let mut load = Load { requests: Vec::new(), steps: Vec::new() };
        for client in 0..CLIENTS {
            let chance = Chance::of(seed, &format!("client {client}"));
            let member = &members[client % members.len()];
            let mut writer = Writer { sender, member, client, chance, seed };
            let mut steps = VecDeque::new();
            for bundle in 0..BUNDLES {
                let request = Arc::new(writer.request(load.requests.len(), bundle));
                load.requests.push(Arc::clone(&request));
                steps.push_back(match writer.chance.once_in(5) && request.key {
                    true => Step::Twice(request),
                    false => Step::Send(request),
                });
                if writer.chance.once_in(3) {
                    steps.push_back(Step::Again(writer.chance.below(usize::MAX >> 1)));
                }
            }
            load.steps.push(steps);
        }
        load
    }
}

/// Writes the Bundles of one client, who has one patient.
struct Writer<'s> {
    sender: &'s Sender,
    member: &'s MemberRow,
    client: usize,
    chance: Chance,
    seed: u64,
}

impl Writer<'_> {
    fn request(&mut self, number: usize, bundle: usize) -> Request {
        let mut entries = vec![self.patient(number), self.coverage()];
        let encounter = self.about(
            "Encounter",
            &format!("e{number}"),
            "subject",
            json!({
                "status": "finished",
                "class": { "code": "AMB" },
            }),
        );
        entries.push(encounter);
        let deletes = self.chance.once_in(5).then(|| self.chance.below(ROLLING));
        for rolling in 0..ROLLING {
            if deletes == Some(rolling) {
                let put = self.observation(rolling, number);
                let url = put["request"]["url"].clone();
                entries.push(json!({ "request": { "method": "DELETE", "url": url } }));
            } else if self.chance.once_in(2) {
                entries.push(self.observation(rolling, number));
            }
        }
        if self.chance.once_in(3) {
            let shared = self.chance.below(SHARED);
            let content = json!({ "name": [{ "text": format!("as request {number} has it") }] });
            entries.push(self.sender.put("Practitioner", &format!("shared{shared}"), content));
        }
        if self.chance.once_in(3) {
            let once = self.once(number);
            entries.push(once);
        }
        if self.chance.once_in(4) {
            let large = self.large(number);
            entries.push(large);
        }
        // A push with a number marks what it takes back; only others do so here.
        let key = match (self.chance.below(6), deletes) {
            (0, _) => None,
            (1 | 2, None) => Some(self.push_key(bundle)),
            _ => Some(json!({
                "system": "urn:example:crash",
                "value": format!("{}-{number}", self.seed),
            })),
        };
        self.bundle(number, key, &entries)
    }

    fn bundle(&self, number: usize, key: Option<Value>, entries: &[Value]) -> Request {
        let asked = entries.iter().map(|entry| {
            let request = &entry["request"];
            let url = request["url"].as_str().unwrap();
            let (kind, id) = url.split_once('/').unwrap_or((url, ""));
            let id = entry["resource"]["id"].as_str().unwrap_or(id).to_owned();
            let content = entry.get("resource").map(|resource| resource.to_string().into());
            let once = request["ifNoneExist"].as_str().and_then(|asked| asked.rsplit('|').next());
            let whose = match (once, kind) {
                (Some(once), _) => Whose::Once(once.parse().unwrap()),
                (None, "Practitioner") => Whose::Shared,
                _ => Whose::Own,
            };
            Asked { kind: kind.to_owned(), id, content, whose }
        });
        let asked = asked.collect();
        let mut bundle = json!({ "resourceType": "Bundle", "type": "transaction" });
        let has_key = key.is_some();
        if let Some(key) = key {
            bundle["identifier"] = key;
        }
        bundle["entry"] = json!(entries);
        let body = Bytes::from(bundle.to_string());
        Request { number, key: has_key, digest: Digest::of(&body), body, entries: asked }
    }

    fn push_key(&self, bundle: usize) -> Value {
        let system = format!("{}/push", self.sender.namespace);
        let digest = u128::from(self.seed) << 64 | (self.client as u128) << 32 | bundle as u128;
        json!({ "system": system, "value": format!("{}-{digest:032x}", bundle + 1) })
    }

    fn patient_id(&self) -> String {
        format!("p{}", self.client)
    }

    fn patient(&mut self, number: usize) -> Value {
        let mut patient = json!({
            "name": [{ "family": self.member.family, "given": [self.member.given] }],
            "birthDate": self.member.birth_date,
            "gender": self.member.gender,
        });
        // Else it is as in the Bundle before: no version is made.
        let since = number - number % 4;
        patient["identifier"] =
            json!([{ "system": "urn:example:since", "value": format!("{since}") }]);
        self.sender.put("Patient", &self.patient_id(), patient)
    }

    fn coverage(&self) -> Value {
        let coverage = json!({
            "status": "active",
            "subscriberId": self.member.member_id,
            "payor": [{ "display": "the plan" }],
        });
        self.about("Coverage", &format!("c{}", self.client), "beneficiary", coverage)
    }

    fn observation(&self, rolling: usize, number: usize) -> Value {
        let id = format!("o{}-{rolling}", self.client);
        self.about(
            "Observation",
            &id,
            "subject",
            json!({
                "status": "final",
                "code": { "text": "a value" },
                "valueString": format!("as request {number} has it"),
            }),
        )
    }

    /// An entry that creates an Organization unless there is one with its identifier.
    fn once(&mut self, number: usize) -> Value {
        let once = self.chance.below(ONCE);
        let mut entry = self.sender.put(
            "Organization",
            &format!("once{number}"),
            json!({
                "identifier": [{ "system": "urn:example:once", "value": format!("{once}") }],
                "name": format!("as request {number} has it"),
            }),
        );
        entry["request"] = json!({
            "method": "POST",
            "url": "Organization",
            "ifNoneExist": format!("identifier=urn:example:once|{once}"),
        });
        entry
    }

    /// A document above 64 KB, which lies in a file of its own.
    fn large(&mut self, number: usize) -> Value {
        let length = (66 + self.chance.below(120)) * 1024 / 8 * 8;
        let mut data = String::with_capacity(length);
        while data.len() < length {
            data.push_str(&format!("{:08x}", self.chance.draw() as u32));
        }
        let id = match self.chance.once_in(2) {
            true => format!("d{}", self.client),
            false => format!("d{number}-alone"),
        };
        self.about(
            "DocumentReference",
            &id,
            "subject",
            json!({
                "status": "current",
                "content": [{ "attachment": { "contentType": "text/plain", "data": data } }],
            }),
        )
    }

    /// An entry that puts a resource about the client's patient.
    fn about(&self, kind: &str, id: &str, element: &str, mut content: Value) -> Value {
        content[element] = self.sender.reference("Patient", &self.patient_id());
        self.sender.put(kind, id, content)
    }
}
