//! Bundle: transactions and batches, as a stranger reads R4 §3.1.0.11.
//!
//! Comes in   a Bundle at the base.
//! Goes out   the answer with one entry for each, in their order; or one refusal for all of it.
//! Never      keeps a part of a transaction that is refused.

use super::desk::{Desk, Refused, Told, Written};
use super::links;
use super::profile::{Habit, Offer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How much of what was written goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Return {
    Minimal,
    Representation,
    Outcome,
}

/// One entry, as far as it can be read.
struct Entry<'a> {
    position: usize,
    full_url: Option<&'a str>,
    resource: &'a Value,
    method: &'a str,
    url: &'a str,
    request: &'a Value,
}

impl<'a> Entry<'a> {
    fn read(position: usize, entry: &'a Value) -> Told<Entry<'a>> {
        let request = &entry["request"];
        let place = format!("Bundle.entry[{position}].request");
        let missing = |what: &str| {
            Refused::new(400, "required", "an entry says what it asks for")
                .at(format!("{place}.{what}"))
        };
        Ok(Entry {
            position,
            full_url: entry["fullUrl"].as_str(),
            resource: &entry["resource"],
            method: request["method"].as_str().ok_or_else(|| missing("method"))?,
            url: request["url"].as_str().ok_or_else(|| missing("url"))?,
            request,
        })
    }

    /// DELETE, then POST, then PUT, then reading: the order of R4.
    fn turn(&self) -> u8 {
        match self.method {
            "DELETE" => 0,
            "POST" => 1,
            "PUT" => 2,
            _ => 3,
        }
    }
}

/// A Bundle at the base: the answering Bundle.
pub(crate) fn at_base(desk: &mut Desk<'_>, bundle: &Value, back: Return) -> Told<Value> {
    if bundle["resourceType"] != "Bundle" {
        return Err(Refused::new(400, "structure", "a Bundle is expected at the base"));
    }
    if desk.abilities.is(Habit::NoBundleIdentifier) && !bundle["identifier"].is_null() {
        let words = "a Bundle at the base has no identifier here";
        return Err(Refused::new(422, "business-rule", words).at("Bundle.identifier"));
    }
    let empty = Vec::new();
    let entries = bundle["entry"].as_array().unwrap_or(&empty);
    if desk.abilities.entries_max.is_some_and(|most| entries.len() > most) {
        return Err(Refused::new(413, "too-costly", "the Bundle has too many entries"));
    }
    let offered = |offer| desk.abilities.offer(offer);
    match bundle["type"].as_str() {
        Some("transaction") if offered(Offer::Transaction) => transaction(desk, entries, back),
        Some("batch") if offered(Offer::Batch) => Ok(batch(desk, entries, back)),
        _ => {
            let words = "a Bundle of that type is not taken here";
            Err(Refused::new(400, "not-supported", words).at("Bundle.type"))
        }
    }
}

fn batch(desk: &mut Desk<'_>, entries: &[Value], back: Return) -> Value {
    let answers = entries.iter().enumerate().map(|(position, entry)| {
        let written = Entry::read(position, entry)
            .and_then(|entry| carry_out(desk, &entry, entry.resource.clone()));
        match written {
            Ok(written) => response(desk, &written, back),
            Err(refused) => {
                let status = status(refused.status);
                json!({ "response": { "status": status, "outcome": refused.outcome() } })
            }
        }
    });
    let answers: Vec<Value> = answers.collect();
    json!({ "resourceType": "Bundle", "type": "batch-response", "entry": answers })
}

fn transaction(desk: &mut Desk<'_>, entries: &[Value], back: Return) -> Told<Value> {
    let mark = desk.records.mark();
    desk.later = true;
    let written = all_or_nothing(desk, entries);
    desk.later = false;
    match written {
        Ok(written) => {
            let answers = written.iter().map(|one| response(desk, one, back));
            let answers: Vec<Value> = answers.collect();
            Ok(
                json!({ "resourceType": "Bundle", "type": "transaction-response", "entry": answers }),
            )
        }
        Err(refused) => {
            desk.records.go_back(mark);
            Err(refused)
        }
    }
}

fn all_or_nothing(desk: &mut Desk<'_>, entries: &[Value]) -> Told<Vec<Written>> {
    let entries = entries.iter().enumerate().map(|(position, entry)| Entry::read(position, entry));
    let mut entries = entries.collect::<Told<Vec<_>>>()?;
    entries.sort_by_key(|entry| (entry.turn(), entry.position));
    let place = |entry: &Entry<'_>, refused: Refused| {
        let inner = match refused.place.split_once('.') {
            Some((_, rest)) => format!(".resource.{rest}"),
            None => String::new(),
        };
        let place = format!("Bundle.entry[{}]{inner}", entry.position);
        refused.at(place)
    };
    let mut written = BTreeMap::new();
    let mut names = BTreeMap::new();
    let mut touched = BTreeSet::new();
    for entry in &entries {
        let content = entry.resource.clone();
        let one = carry_out(desk, entry, content).map_err(|refused| place(entry, refused))?;
        if !touched.insert((one.kind.clone(), one.id.clone())) {
            let words = "one record is touched twice";
            return Err(Refused::new(400, "invariant", words)
                .at(format!("Bundle.entry[{}]", entry.position)));
        }
        if let Some(full_url) = entry.full_url {
            names.insert(full_url, format!("{}/{}", one.kind, one.id));
        }
        written.insert(entry.position, one);
    }
    for entry in &entries {
        let one = &written[&entry.position];
        settle_links(desk, entry, one, &names).map_err(|refused| place(entry, refused))?;
    }
    Ok(written.into_values().collect())
}

/// Turns references by `fullUrl` or condition into those of this server, and looks at all of them.
fn settle_links(
    desk: &mut Desk<'_>,
    entry: &Entry<'_>,
    one: &Written,
    names: &BTreeMap<&str, String>,
) -> Told<()> {
    let Written { kind, id, status, .. } = one;
    desk.later = false;
    if *status == 204 {
        let gone = desk.examine_gone(kind, id);
        desk.later = true;
        return gone;
    }
    if entry.method == "POST" && *status == 200 {
        // It was there before, and is none of this transaction's.
        desk.later = true;
        return Ok(());
    }
    let mut faults = Vec::new();
    if let Some(mut content) = desk.records.current(kind, id).cloned() {
        let before = content.clone();
        links::rewrite(&mut content, &mut |text| {
            if let Some(name) = named(text, entry.full_url, names) {
                return Some(name.to_owned());
            }
            let (kind, condition) = text.split_once('?')?;
            if kind.contains([':', '/']) || !desk.abilities.offer(Offer::ConditionalUpdate) {
                return None;
            }
            match desk.matches(kind, condition) {
                Ok(Some(id)) => Some(format!("{kind}/{id}")),
                Ok(None) => {
                    let words = "a reference by condition fits no record";
                    faults.push(Refused::new(412, "not-found", words));
                    None
                }
                Err(refused) => {
                    faults.push(refused);
                    None
                }
            }
        });
        if let Err(refused) = desk.examine_links(&content) {
            faults.push(refused);
        }
        if content != before {
            desk.records.amend(kind, id, content);
        }
    }
    desk.later = true;
    faults.into_iter().next().map_or(Ok(()), Err)
}

/// What a reference means inside the Bundle: a `fullUrl`, or a path below the base of the entry's.
fn named<'n>(
    text: &str,
    full_url: Option<&str>,
    names: &'n BTreeMap<&str, String>,
) -> Option<&'n str> {
    if let Some(name) = names.get(text) {
        return Some(name);
    }
    if text.contains(':') || text.starts_with('#') {
        return None;
    }
    let base = full_url.filter(|url| url.starts_with("http"))?;
    let base = base.rsplitn(3, '/').nth(2)?;
    names.get(format!("{base}/{text}").as_str()).map(String::as_str)
}

fn carry_out(desk: &mut Desk<'_>, entry: &Entry<'_>, content: Value) -> Told<Written> {
    let of = |name: &str| entry.request[name].as_str();
    let url = entry.url.strip_prefix(desk.base).unwrap_or(entry.url).trim_start_matches('/');
    // A condition may hold slashes of its own.
    let (path, condition) = match url.split_once('?') {
        Some((path, condition)) => (path, Some(condition)),
        None => (url, None),
    };
    match (entry.method, path.split_once('/'), condition) {
        ("POST", None, None) => desk.create(path, content, of("ifNoneExist")),
        ("PUT", Some((kind, id)), None) => desk.update(kind, id, content, of("ifMatch")),
        ("PUT", None, Some(condition)) => desk.update_where(path, condition, content),
        ("DELETE", Some((kind, id)), None) => desk.delete(kind, id),
        _ => Err(Refused::new(400, "not-supported", "this server cannot do that in a Bundle")),
    }
}

fn response(desk: &Desk<'_>, written: &Written, back: Return) -> Value {
    let Written { kind, id, version, .. } = written;
    let mut response = json!({ "status": status(written.status) });
    if let Some(version) = version {
        response["location"] = json!(format!("{kind}/{id}/_history/{version}"));
        response["etag"] = json!(format!("W/\"{version}\""));
        response["lastModified"] = json!(desk.at.to_string());
    }
    let mut entry = json!({});
    match (back, desk.records.current(kind, id)) {
        (Return::Representation, Some(content)) => entry["resource"] = content.clone(),
        (Return::Outcome, _) => response["outcome"] = all_well(),
        _ => {}
    }
    entry["response"] = response;
    entry
}

/// An OperationOutcome that says nothing is wrong.
pub(crate) fn all_well() -> Value {
    let issue =
        json!({ "severity": "information", "code": "informational", "diagnostics": "done" });
    json!({ "resourceType": "OperationOutcome", "issue": [issue] })
}

fn status(status: u16) -> String {
    let known = http::StatusCode::from_u16(status).ok();
    let words = known.and_then(|status| status.canonical_reason()).unwrap_or_default();
    format!("{status} {words}").trim_end().to_owned()
}
