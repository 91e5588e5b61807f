//! Sought: how a door is asked whether it has a record, and whether what it found is that record.
//!
//! Comes in   items that brought no answer, or none that says where they are; what a search found.
//! Goes out   searches, each with the items that it asks after; of these the ones that are there, and
//!            where.
//! Never      takes a record for ours that does not say so: by its id, by an identifier of this house, or
//!            as a Provenance by moment and targets. Never takes an update for done where the content is
//!            another.

use super::{Ground, Item};
use crate::assemble::push_system;
use crate::ladder::{Carrier, Identity, has_identifier, record_system};
use crate::limits::SOUGHT_IDS_MAX;
use fhir::{Method, Resource};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a record can be found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sought {
    /// By `_id`.
    Id,
    /// By the identifier of this house.
    Identifier,
    /// By what it is about, for Provenances.
    Target,
}

/// A question to the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search<'p> {
    /// `Type?parameter=values`, relative to the base.
    pub query: String,
    /// What it asks after.
    pub items: Vec<&'p Item>,
}

/// How a record of this type, known again in this way, can be found; `None`: the door has no search
/// for it.
pub(super) fn sought(ground: &Ground<'_>, kind: &str, identity: Identity) -> Option<Sought> {
    let offer = ground.rung.offer(kind).copied().unwrap_or_default();
    let is_named = has_identifier(kind) || is_whole(ground, kind);
    let (by, offered) = match identity {
        Identity::Put => (Sought::Id, offer.by_id),
        _ if kind == "Provenance" => (Sought::Target, offer.by_target),
        _ => (Sought::Identifier, offer.by_identifier && is_named),
    };
    offered.then_some(by)
}

/// The searches for those of the items that the door can be asked about.
pub fn searches<'p>(ground: &Ground<'_>, items: &'p [Item]) -> Vec<Search<'p>> {
    let mut groups: BTreeMap<(&str, Sought), Vec<&Item>> = BTreeMap::new();
    for item in items.iter().filter(|item| item.method != Method::Delete) {
        let by = sought(ground, &item.kind, item.identity);
        let by = by.filter(|by| *by != Sought::Target || about(item).is_some());
        if let Some(by) = by {
            groups.entry((&item.kind, by)).or_default().push(item);
        }
    }
    let search = |((kind, by), items): ((&str, Sought), Vec<&'p Item>)| {
        let chunks = items
            .chunks(SOUGHT_IDS_MAX)
            .map(|items| Search { query: query(ground, kind, by, items), items: items.to_vec() });
        chunks.collect::<Vec<_>>()
    };
    groups.into_iter().flat_map(search).collect()
}

fn query(ground: &Ground<'_>, kind: &str, by: Sought, items: &[&Item]) -> String {
    let joined = |value: &dyn Fn(&Item) -> Option<String>| {
        let values: Vec<String> = items.iter().filter_map(|item| value(item)).collect();
        values.join(",")
    };
    match by {
        Sought::Id => format!("{kind}?_id={}", joined(&|item| Some(item.id.clone()))),
        Sought::Identifier => {
            let token = |item: &Item| {
                let (system, value) = mark(ground, &item.kind, &item.id);
                Some(format!("{system}|{value}"))
            };
            format!("{kind}?identifier={}", joined(&token))
        }
        Sought::Target => format!("{kind}?target={}", joined(&about)),
    }
}

/// The identifier by which a record of this house is known at the payer: the one that is added, and of
/// a Bundle that is kept whole its own.
pub(super) fn mark(ground: &Ground<'_>, kind: &str, id: &str) -> (String, String) {
    match is_whole(ground, kind) {
        true => (push_system(ground.namespace), ground.load.push.clone()),
        false => (record_system(ground.namespace), id.to_owned()),
    }
}

fn is_whole(ground: &Ground<'_>, kind: &str) -> bool {
    ground.rung.carrier == Carrier::Collection && kind == "Bundle"
}

/// Which items are there: name and `Type/id` at the payer. A create is known by its mark; an update
/// by its content, for the record was there before.
pub fn found(
    ground: &Ground<'_>,
    items: &[&Item],
    resources: &[Resource],
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for resource in resources {
        let Some(at) = resource.id().map(|id| format!("{}/{id}", resource.kind())) else {
            continue;
        };
        let Ok(value) = serde_json::from_slice::<Value>(resource.bytes()) else { continue };
        let is_this = |item: &&&Item| match item.identity {
            Identity::Put => resource.kind() == item.kind && resource.id() == Some(&item.id),
            _ if item.kind == "Provenance" => says_the_same(&value, item),
            _ => resource.kind() == item.kind && is_marked(ground, &value, item),
        };
        let Some(item) = items.iter().find(is_this) else { continue };
        let known = ground.there(&item.name()).is_some();
        let created = item.method == Method::Post || (item.identity != Identity::Put && !known);
        if created || same(&value, item) {
            found.insert(item.name(), at);
        }
    }
    found
}

/// What a Provenance is about, by the payer's ids: not a Patient, whom many are about.
fn about(item: &Item) -> Option<String> {
    let body = serde_json::from_slice::<Value>(item.body.as_ref()?).ok()?;
    let all = targets(&body);
    let own = all.iter().find(|target| !target.starts_with("Patient/"));
    own.or(all.first()).cloned()
}

fn targets(provenance: &Value) -> Vec<String> {
    let targets = provenance["target"].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = targets.iter().filter_map(|target| target["reference"].as_str());
    // Some servers write references out, with their base or a version.
    let plain = texts.filter_map(|text| {
        let text = text.split_once("/_history/").map_or(text, |(start, _)| start);
        let mut steps = text.rsplit('/');
        let (id, kind) = (steps.next()?, steps.next()?);
        Some(format!("{kind}/{id}"))
    });
    let mut all: Vec<String> = plain.collect();
    all.sort();
    all
}

/// Whether a Provenance is the one that was sent: recorded at the same moment, about the same. Servers
/// keep moments to the millisecond, or to the second.
fn says_the_same(found: &Value, item: &Item) -> bool {
    let sent = item.body.as_ref().and_then(|body| serde_json::from_slice::<Value>(body).ok());
    let moment = |value: &Value| value["recorded"].as_str()?.parse::<Timestamp>().ok();
    sent.is_some_and(|sent| {
        found["resourceType"] == "Provenance"
            && moment(&sent).zip(moment(found)).is_some_and(|(sent, found)| {
                sent.duration_since(found).unsigned_abs() < Duration::from_secs(1)
            })
            && targets(&sent) == targets(found)
    })
}

/// A Bundle has one identifier and no list.
fn is_marked(ground: &Ground<'_>, resource: &Value, item: &Item) -> bool {
    let (system, value) = mark(ground, &item.kind, &item.id);
    let identifier = &resource["identifier"];
    let list = identifier.as_array().map(Vec::as_slice);
    let mut list = list.unwrap_or_else(|| std::slice::from_ref(identifier)).iter();
    list.any(|it| it["system"] == system && it["value"] == value)
}

/// Whether a record holds what was sent, what servers add of their own aside.
fn same(found: &Value, item: &Item) -> bool {
    let sent = item.body.as_ref().and_then(|body| serde_json::from_slice::<Value>(body).ok());
    let plain = |mut value: Value| {
        if let Some(members) = value.as_object_mut() {
            members.remove("id");
            members.remove("meta");
        }
        value
    };
    sent.is_some_and(|sent| plain(sent) == plain(found.clone()))
}
