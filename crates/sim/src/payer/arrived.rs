//! Arrived: what came to a stranger's door, for whoever tests what was sent.
//!
//! Comes in   requests as they come, and the records.
//! Goes out   requests by number, records by version, and what is there more often than it should.
//! Never      changes anything.

use super::fault::{Fault, Traffic};
use super::links;
use super::records::{Records, Version};
use exchange::Digest;
use serde_json::Value;
use std::collections::BTreeMap;

/// One request, from its first line on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Which kind of request.
    pub traffic: Traffic,
    /// Its number among its kind, counted from 1.
    pub number: u64,
    /// `GET`, `POST`, …
    pub method: String,
    /// The path below the host, without the query.
    pub path: String,
    /// What went wrong, by plan or by habit.
    pub fault: Option<Fault>,
    /// The status that was answered or would have been; `None` where it was not carried out.
    pub status: Option<u16>,
    /// Digest of the body; `None` where there is none, or it was not read.
    pub body: Option<Digest>,
}

/// What is there, as a test asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrived {
    /// All requests, in the order they came.
    pub requests: Vec<Arrival>,
    /// Every record with all its versions, as `Type/id`.
    pub records: BTreeMap<String, Vec<Version>>,
    /// Records that stand under two ids or more with the same content.
    pub twins: Vec<Vec<String>>,
    /// Versions (`Type/id/_history/n`) that hold the same as the one before.
    pub idle: Vec<String>,
    /// References (`Type/id: reference`) to what is not there.
    pub dangling: Vec<String>,
}

impl Arrived {
    pub(crate) fn of(requests: &[Arrival], records: &Records, base: &str) -> Arrived {
        let everything = records.everything();
        Arrived {
            requests: requests.to_vec(),
            twins: twins(records),
            idle: idle(&everything),
            dangling: dangling(records, base),
            records: everything,
        }
    }

    /// How many requests of a kind came.
    pub fn count(&self, traffic: Traffic) -> usize {
        self.requests.iter().filter(|arrival| arrival.traffic == traffic).count()
    }

    /// The newest content of every record that is not deleted.
    pub fn current(&self) -> BTreeMap<&str, &Value> {
        let current = self.records.iter().filter_map(|(name, versions)| {
            Some((name.as_str(), versions.last()?.content.as_ref()?))
        });
        current.collect()
    }

    /// Every resource that has arrived, whether it stands by itself or in a collection.
    pub fn resources(&self) -> Vec<&Value> {
        let mut all = Vec::new();
        for content in self.current().into_values() {
            match content["entry"].as_array().filter(|_| content["resourceType"] == "Bundle") {
                Some(entries) => all.extend(entries.iter().map(|entry| &entry["resource"])),
                None => all.push(content),
            }
        }
        all
    }
}

/// The content without what a server adds to it.
fn sent(content: &Value) -> String {
    let mut content = content.clone();
    if let Some(resource) = content.as_object_mut() {
        resource.remove("id");
    }
    if let Some(meta) = content["meta"].as_object_mut() {
        meta.remove("versionId");
        meta.remove("lastUpdated");
    }
    content.to_string()
}

fn twins(records: &Records) -> Vec<Vec<String>> {
    let mut same: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (key, content) in records.all(None) {
        let kind = key.0.clone();
        same.entry((kind, sent(content))).or_default().push(super::records::name(key));
    }
    same.into_values().filter(|names| names.len() > 1).collect()
}

fn idle(everything: &BTreeMap<String, Vec<Version>>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, versions) in everything {
        for pair in versions.windows(2) {
            let [before, after] = pair else { continue };
            let same = match (&before.content, &after.content) {
                (Some(before), Some(after)) => sent(before) == sent(after),
                (before, after) => before.is_none() && after.is_none(),
            };
            if same {
                found.push(format!("{name}/_history/{}", after.number));
            }
        }
    }
    found
}

fn dangling(records: &Records, base: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (key, content) in records.all(None).filter(|(key, _)| key.0 != "Bundle") {
        links::each(content, &mut |text| {
            let there = match links::local(text, base) {
                Some((kind, id)) => records.current(kind, id).is_some(),
                None => text.starts_with('#') || text.starts_with("http"),
            };
            if !there {
                found.push(format!("{}: {text}", super::records::name(key)));
            }
        });
    }
    found
}
