//! Door: from a request to its answer, and to what goes wrong on the way.
//!
//! Comes in   the head of a request, then its body.
//! Goes out   the answer, after it is carried out.
//! Never      lets two requests mix: each is carried out by itself, in the order they come.

use super::arrived::{Arrival, Arrived};
use super::bundle::{self, Return, all_well};
use super::desk::{Desk, Refused, Told, Written, pairs};
use super::fault::{Fault, Schedule, Traffic};
use super::http::{Answer, Head};
use super::kept::{Keeping, Kept};
use super::profile::{Abilities, Habit, Offer};
use super::records::{Records, Version};
use super::statement::statement;
use crate::limits::{PAYER_PAGE_RECORDS, PAYER_PAGE_RECORDS_MAX};
use bytes::Bytes;
use exchange::Digest;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wire::clock::Clock;
use wire::trust::smart::server::Gate;

/// What stands behind the listener.
pub(crate) struct Door {
    pub(crate) abilities: Abilities,
    pub(crate) base: String,
    /// Path of the base below the host.
    pub(crate) path: &'static str,
    pub(crate) gate: Option<Gate>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) state: Mutex<State>,
}

/// What changes.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) schedule: Schedule,
    records: Records,
    arrivals: Vec<Arrival>,
    counts: BTreeMap<Traffic, u64>,
    /// Digests of what came before, for the habit of silence.
    heard: BTreeSet<Digest>,
    /// The answer to the last write.
    last: Option<Bytes>,
    /// Where writes are kept for the next process; `None`: nowhere.
    keeping: Option<Keeping>,
}

impl State {
    pub(crate) fn new(schedule: Schedule) -> State {
        State { schedule, ..State::default() }
    }
}

/// A request that has begun.
pub(crate) struct Begun {
    /// Its place among the arrivals.
    position: usize,
    pub(crate) fault: Option<Fault>,
}

impl Door {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn arrived(&self) -> Arrived {
        let state = self.state();
        Arrived::of(&state.arrivals, &state.records, &self.base)
    }

    /// Counts a request, and looks up what is planned for it.
    pub(crate) fn begin(&self, head: &Head) -> Begun {
        let traffic = self.traffic(head);
        let mut state = self.state();
        let count = state.counts.entry(traffic).or_default();
        *count += 1;
        let number = *count;
        let fault = state.schedule.fault(traffic, number);
        state.arrivals.push(Arrival {
            traffic,
            number,
            method: head.method.clone(),
            path: head.path.clone(),
            fault,
            status: None,
            body: None,
        });
        Begun { position: state.arrivals.len() - 1, fault }
    }

    /// Carries out again what an earlier process kept, and keeps from now on.
    pub(crate) fn remember(&self, keeping: Keeping, kept: Vec<Kept>) {
        for line in kept {
            let at = line.at;
            let (head, body) = line.request();
            let Begun { position, .. } = self.begin(&head);
            let asked = Asked { door: self, head: &head, body: &body, at };
            let mut state = self.state();
            let told = asked.answer(&mut state.records);
            let answer =
                told.unwrap_or_else(|refused| Answer::fhir(refused.status, &refused.outcome()));
            state.heard.insert(heard(&head, &body));
            let arrival = &mut state.arrivals[position];
            (arrival.status, arrival.fault) = (Some(answer.status), None);
            arrival.body = (!body.is_empty()).then(|| Digest::of(&body));
            state.last = Some(answer.bytes(false));
        }
        self.state().keeping = Some(keeping);
    }

    fn traffic(&self, head: &Head) -> Traffic {
        let below = head.path.strip_prefix(self.path).unwrap_or_default().trim_matches('/');
        let reads = matches!(head.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        match (below, reads) {
            ("metadata", true) => Traffic::Statement,
            ("token", false) => Traffic::Token,
            (below, false) if below.ends_with("_search") => Traffic::Read,
            (_, true) => Traffic::Read,
            _ => Traffic::Write,
        }
    }

    /// Carries a request out, and gives its answer with the fault that is to meet it, and the
    /// answer that was given to the write before.
    pub(crate) async fn carry_out(
        &self,
        begun: &Begun,
        head: &Head,
        body: Bytes,
    ) -> (Answer, Option<Fault>, Option<Bytes>) {
        let answer = match self.sign_in(head, &body).await {
            Some(answer) => answer,
            None => self.answer(head, &body),
        };
        let digest = heard(head, &body);
        let mut state = self.state();
        let write = state.arrivals[begun.position].traffic == Traffic::Write;
        let silent = write && self.abilities.is(Habit::SilentFirst) && state.heard.insert(digest);
        let fault = begun.fault.or(silent.then_some(Fault::CutAfterBody));
        let arrival = &mut state.arrivals[begun.position];
        (arrival.status, arrival.fault) = (Some(answer.status), fault);
        arrival.body = (!body.is_empty()).then(|| Digest::of(&body));
        let before = match write {
            true => state.last.replace(answer.bytes(false)),
            false => None,
        };
        (answer, fault, before)
    }

    /// The sign-in itself, or the answer to whoever has none.
    async fn sign_in(&self, head: &Head, body: &Bytes) -> Option<Answer> {
        let gate = self.gate.as_ref()?;
        let below = head.path.strip_prefix(self.path).unwrap_or_default().trim_matches('/');
        match (head.method.as_str(), below) {
            ("GET", "metadata") => None,
            ("GET", ".well-known/smart-configuration") => {
                let answer = Answer::new(200, gate.smart_configuration().to_string());
                Some(answer.with("Content-Type", "application/json"))
            }
            ("POST", "token") => {
                let told = gate.token(body).await;
                let answer = Answer::new(told.status, told.body);
                Some(answer.with("Content-Type", "application/json"))
            }
            _ => gate.caller(&head.map()).err().map(|_| {
                let refused = Refused::new(401, "login", "a token is needed here");
                Answer::fhir(401, &refused.outcome()).with("WWW-Authenticate", "Bearer")
            }),
        }
    }

    fn answer(&self, head: &Head, body: &Bytes) -> Answer {
        let asked = Asked { door: self, head, body, at: self.clock.now() };
        let writes = self.traffic(head) == Traffic::Write;
        let mut state = self.state();
        if let Some(keeping) = state.keeping.as_mut().filter(|_| writes)
            && !keeping.keep(&Kept::of(asked.at, head, body))
        {
            let refused = Refused::new(500, "exception", "nothing can be kept here");
            return Answer::fhir(500, &refused.outcome());
        }
        let told = asked.answer(&mut state.records);
        told.unwrap_or_else(|refused| Answer::fhir(refused.status, &refused.outcome()))
    }
}

/// One request, being answered.
struct Asked<'a> {
    door: &'a Door,
    head: &'a Head,
    body: &'a Bytes,
    at: Timestamp,
}

impl Asked<'_> {
    fn answer(&self, records: &mut Records) -> Told<Answer> {
        let nowhere = || Refused::new(404, "not-found", "there is nothing at that address");
        let below = self.head.path.strip_prefix(self.door.path).ok_or_else(nowhere)?;
        let parts: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
        self.examine_headers()?;
        match (self.head.method.as_str(), parts.as_slice()) {
            ("GET" | "HEAD", ["metadata"]) => Ok(Answer::fhir(200, &self.statement())),
            ("GET" | "HEAD", parts) => self.read(records, parts),
            ("POST", [kind, "_search"]) => {
                let query = std::str::from_utf8(self.body).map_err(|_| nowhere())?;
                self.search(records, kind, query)
            }
            ("POST" | "PUT" | "DELETE", parts) => self.write(records, parts),
            _ => Err(Refused::new(405, "not-supported", "this server cannot do that")),
        }
    }

    fn statement(&self) -> Value {
        let token = self.door.gate.as_ref().map(Gate::token_endpoint);
        statement(&self.door.abilities, &self.door.base, token.as_deref())
    }

    /// What a server by the book asks of headers.
    fn examine_headers(&self) -> Told<()> {
        if !self.door.abilities.is(Habit::KnownHeadersOnly) {
            return Ok(());
        }
        let form = self.head.path.ends_with("/_search");
        if matches!(self.head.method.as_str(), "POST" | "PUT") && !form {
            let kind = self.head.header("content-type").unwrap_or_default();
            if !is_fhir_json(kind) {
                return Err(Refused::new(415, "not-supported", "FHIR JSON of R4 is taken here"));
            }
        }
        let accept = self.head.header("accept").unwrap_or("*/*");
        let wanted = |kind: &str| kind.contains("*/*") || is_fhir_json(kind);
        if !accept.split(',').any(wanted) {
            return Err(Refused::new(406, "not-supported", "FHIR JSON of R4 is given here"));
        }
        let known = [
            "return=minimal",
            "return=representation",
            "return=OperationOutcome",
            "handling=strict",
            "handling=lenient",
        ];
        let prefer = self.head.header("prefer").unwrap_or_default();
        let mut wishes = prefer.split([',', ';']).map(str::trim).filter(|wish| !wish.is_empty());
        if !wishes.all(|wish| known.contains(&wish)) {
            return Err(Refused::new(400, "not-supported", "the preference is not known here"));
        }
        Ok(())
    }

    fn back(&self) -> Return {
        let prefer = self.head.header("prefer").unwrap_or_default();
        match prefer {
            it if it.contains("return=minimal") => Return::Minimal,
            it if it.contains("return=representation") => Return::Representation,
            it if it.contains("return=OperationOutcome") => Return::Outcome,
            _ if self.door.abilities.is(Habit::MinimalAnswers) => Return::Minimal,
            _ => Return::Representation,
        }
    }

    fn desk<'r>(&'r self, records: &'r mut Records) -> Desk<'r> {
        let (abilities, base) = (&self.door.abilities, self.door.base.as_str());
        Desk { abilities, records, base, at: self.at, later: false }
    }

    fn write(&self, records: &mut Records, parts: &[&str]) -> Told<Answer> {
        if self.door.abilities.bytes_max.is_some_and(|most| self.body.len() > most) {
            return Err(Refused::new(413, "too-long", "the body is too long"));
        }
        let mut desk = self.desk(records);
        let content = || -> Told<Value> {
            serde_json::from_slice(self.body)
                .map_err(|_| Refused::new(400, "structure", "the body is no JSON"))
        };
        let header = |name| self.head.header(name);
        let query = self.head.query.as_str();
        let written = match (self.head.method.as_str(), parts) {
            ("POST", []) => {
                let base = [Offer::Transaction, Offer::Batch];
                if !base.iter().any(|offer| self.door.abilities.offer(*offer)) {
                    let words = "nothing is taken at the base";
                    return Err(Refused::new(405, "not-supported", words));
                }
                let back = match header("prefer") {
                    Some(_) => self.back(),
                    None => Return::Minimal,
                };
                return bundle::at_base(&mut desk, &content()?, back)
                    .map(|answer| Answer::fhir(200, &answer));
            }
            ("POST", [kind]) => desk.create(kind, content()?, header("if-none-exist")),
            ("PUT", [kind, id]) => desk.update(kind, id, content()?, header("if-match")),
            ("PUT", [kind]) if !query.is_empty() => desk.update_where(kind, query, content()?),
            ("DELETE", [kind, id]) => desk.delete(kind, id),
            _ => Err(Refused::new(405, "not-supported", "this server cannot do that there")),
        }?;
        Ok(self.written(records, &written))
    }

    fn written(&self, records: &Records, written: &Written) -> Answer {
        let Written { status, kind, id, version } = written;
        let Some(version) = version else { return Answer::new(*status, "") };
        let answer = match (self.back(), records.current(kind, id)) {
            (Return::Representation, Some(content)) => Answer::fhir(*status, content),
            (Return::Outcome, _) => Answer::fhir(*status, &all_well()),
            _ => Answer::new(*status, ""),
        };
        let place = format!("{}/{kind}/{id}/_history/{version}", self.door.base);
        answer
            .with("Location", place)
            .with("ETag", format!("W/\"{version}\""))
            .with("Last-Modified", http_date(self.at))
    }

    fn read(&self, records: &Records, parts: &[&str]) -> Told<Answer> {
        let nothing = || Refused::new(404, "not-found", "there is no such record");
        let reads = self.door.abilities.offer(Offer::Read);
        match parts {
            [kind] if !kind.starts_with('$') => {
                return self.search(records, kind, &self.head.query);
            }
            [kind, ..] if !reads || !self.door.abilities.kinds.contains(kind) => {
                return Err(Refused::new(404, "not-supported", "this server cannot do that"));
            }
            _ => {}
        }
        match parts {
            [kind, id] => {
                let newest = records.history(kind, id).last().ok_or_else(nothing)?;
                served(newest)
            }
            [kind, id, "_history"] => self.history(records, kind, id),
            [kind, id, "_history", number] => {
                let wanted = |version: &&Version| version.number.to_string() == *number;
                served(records.history(kind, id).iter().find(wanted).ok_or_else(nothing)?)
            }
            _ => Err(nothing()),
        }
    }

    fn history(&self, records: &Records, kind: &str, id: &str) -> Told<Answer> {
        let versions = records.history(kind, id);
        if versions.is_empty() {
            return Err(Refused::new(404, "not-found", "there never was such a record"));
        }
        let entries = versions.iter().rev().map(|version| {
            let (method, status) = match (version.number, &version.content) {
                (_, None) => ("DELETE", "204"),
                (1, _) => ("POST", "201"),
                _ => ("PUT", "200"),
            };
            let mut entry = json!({
                "fullUrl": format!("{}/{kind}/{id}", self.door.base),
                "request": { "method": method, "url": format!("{kind}/{id}") },
                "response": {
                    "status": status,
                    "etag": format!("W/\"{}\"", version.number),
                    "lastModified": version.at.to_string(),
                },
            });
            if let Some(content) = &version.content {
                entry["resource"] = content.clone();
            }
            entry
        });
        let entries: Vec<Value> = entries.collect();
        let total = entries.len();
        let bundle = json!({
            "resourceType": "Bundle", "type": "history", "total": total, "entry": entries,
        });
        Ok(Answer::fhir(200, &bundle))
    }

    fn search(&self, records: &Records, kind: &str, query: &str) -> Told<Answer> {
        let Door { abilities, base, .. } = self.door;
        if !abilities.offer(Offer::Search) || !abilities.kinds.contains(&kind) {
            return Err(Refused::new(404, "not-supported", "this server has no such search"));
        }
        let (mut count, mut offset, mut asked) = (PAYER_PAGE_RECORDS, 0, Vec::new());
        for (name, value) in pairs(query)? {
            match name.as_str() {
                "_count" => count = value.parse().unwrap_or(count).min(PAYER_PAGE_RECORDS_MAX),
                "_offset" => offset = value.parse().unwrap_or(0),
                "_format" | "_pretty" | "_total" | "_summary" | "_elements" | "_sort" => {}
                _ => asked.push((name, value)),
            }
        }
        let wishes = self.head.header("prefer").unwrap_or_default();
        let strict = abilities.is(Habit::KnownHeadersOnly) || wishes.contains("handling=strict");
        let found = loop {
            match records.find(kind, &asked, base) {
                Ok(found) => break found,
                Err(_) if strict => {
                    let words = "a search parameter is not known here";
                    return Err(Refused::new(400, "not-supported", words));
                }
                // R4 §3.1.1.1: what is not known is left out, and `self` tells so.
                Err(unknown) => asked.retain(|(name, _)| *name != unknown),
            }
        };
        Ok(Answer::fhir(200, &self.page(records, kind, &asked, &found, (count, offset))))
    }

    fn page(
        &self,
        records: &Records,
        kind: &str,
        asked: &[(String, String)],
        found: &[String],
        (count, offset): (usize, usize),
    ) -> Value {
        let base = &self.door.base;
        let link = |relation: &str, offset: usize| {
            let (count, offset) = (count.to_string(), offset.to_string());
            let asked = asked.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let own = [("_count", count.as_str()), ("_offset", offset.as_str())];
            let query = exchange::query::encode(asked.chain(own));
            json!({ "relation": relation, "url": format!("{base}/{kind}?{query}") })
        };
        let mut links = vec![link("self", offset)];
        if count > 0 && offset + count < found.len() {
            links.push(link("next", offset + count));
        }
        let entries = found.iter().skip(offset).take(count).filter_map(|id| {
            Some(json!({
                "fullUrl": format!("{base}/{kind}/{id}"),
                "resource": records.current(kind, id)?,
                "search": { "mode": "match" },
            }))
        });
        let entries: Vec<Value> = entries.collect();
        let mut bundle = json!({
            "resourceType": "Bundle", "type": "searchset", "total": found.len(), "link": links,
        });
        if !entries.is_empty() {
            bundle["entry"] = json!(entries);
        }
        bundle
    }
}

/// By what a request is known when it comes a second time.
fn heard(head: &Head, body: &Bytes) -> Digest {
    let pieces = [head.method.as_bytes(), head.path.as_bytes(), head.query.as_bytes()];
    Digest::of_pieces(pieces.into_iter().chain([body.as_ref()]))
}

fn served(version: &Version) -> Told<Answer> {
    match &version.content {
        Some(content) => Ok(Answer::fhir(200, content)
            .with("ETag", format!("W/\"{}\"", version.number))
            .with("Last-Modified", http_date(version.at))),
        None => Err(Refused::new(410, "deleted", "that record was deleted")),
    }
}

/// FHIR JSON without a version or of R4.
fn is_fhir_json(kind: &str) -> bool {
    let mut parts = kind.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let known = ["application/fhir+json", "application/json"];
    known.contains(&kind)
        && parts.all(|part| match part.split_once('=') {
            Some(("fhirVersion", version)) => version == "4.0",
            Some(("charset", charset)) => charset.eq_ignore_ascii_case("utf-8"),
            _ => true,
        })
}

fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
