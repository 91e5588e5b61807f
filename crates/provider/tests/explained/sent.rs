//! Sent: what a Bundle must hold, worked out from what explain said and the chart alone.
//!
//! This is a second reading of docs/ARCHITECTURE.md, "Edits made to a resource on its way", over
//! trees of values. It shares no code with the first but the derivation of ids.

use crate::charts::{EHR, reference};
use crate::town::NAMESPACE;
use exchange::DecisionRow;
use exchange::id::derived_id;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The resources that must be in the Bundle, by `Type/id` at the payer.
pub(crate) fn expected(chart: &[Value], decisions: &[DecisionRow]) -> BTreeMap<String, Value> {
    let included = decisions.iter().filter(|row| row.included);
    let travels = |row: &DecisionRow| {
        let source = chart.iter().find(|it| reference(it) == row.reference);
        let source = source.unwrap_or_else(|| panic!("{} is not in the chart", row.reference));
        let cuts: BTreeSet<&str> = row.cuts.iter().map(|(place, _)| place.as_str()).collect();
        let found = cuts.iter().filter(|cut| stands(source, cut)).count();
        assert_eq!(found, cuts.len(), "{}: every cut is of something", row.reference);
        (at_payer(&row.reference), edited(source, &row.reference, &cuts))
    };
    included.map(travels).collect()
}

/// `Type/id` at the payer.
pub(crate) fn at_payer(reference: &str) -> String {
    let (kind, id) = reference.split_once('/').unwrap();
    format!("{kind}/{}", derived_id(NAMESPACE, kind, id))
}

fn edited(source: &Value, reference: &str, cuts: &BTreeSet<&str>) -> Value {
    let (kind, id) = reference.split_once('/').unwrap();
    let mut value = without(source, kind, cuts).unwrap_or(Value::Null);
    let mut meta = match value.get("meta") {
        Some(Value::Object(members)) => members.clone(),
        _ => Map::new(),
    };
    for served in ["versionId", "_versionId", "lastUpdated", "_lastUpdated"] {
        meta.shift_remove(served);
    }
    meta.insert("source".into(), json!(format!("{NAMESPACE}/{reference}")));
    value["meta"] = Value::Object(meta);
    value["id"] = json!(derived_id(NAMESPACE, kind, id));
    rewrite(&mut value);
    value
}

/// The value without what is cut; nothing where nothing of it is left.
fn without(value: &Value, place: &str, cuts: &BTreeSet<&str>) -> Option<Value> {
    if cuts.contains(place) {
        return None;
    }
    match value {
        Value::Object(members) => {
            let kept: Map<String, Value> = members
                .iter()
                .filter(|(name, _)| {
                    let owner = name.strip_prefix('_').map(|name| format!("{place}.{name}"));
                    owner.is_none_or(|owner| !cuts.contains(owner.as_str()))
                })
                .filter_map(|(name, it)| {
                    Some((name.clone(), without(it, &format!("{place}.{name}"), cuts)?))
                })
                .collect();
            (members.is_empty() || !kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => {
            let kept: Vec<Value> = items
                .iter()
                .enumerate()
                .filter_map(|(at, it)| without(it, &format!("{place}[{at}]"), cuts))
                .collect();
            (items.is_empty() || !kept.is_empty()).then_some(Value::Array(kept))
        }
        other => Some(other.clone()),
    }
}

/// Whether a place of the chart's resource exists.
fn stands(source: &Value, place: &str) -> bool {
    let mut at = source;
    for step in place.split('.').skip(1) {
        let (name, positions) = step.split_once('[').unwrap_or((step, ""));
        at = &at[name];
        for position in positions.split(['[', ']']).filter(|text| !text.is_empty()) {
            at = &at[position.parse::<usize>().unwrap()];
        }
    }
    !at.is_null()
}

/// References into the source become those of the payer's records.
fn rewrite(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, it) in members.iter_mut() {
                match it {
                    Value::String(text) if name == "reference" => {
                        if let Some(record) = into_source(text) {
                            *text = at_payer(&record);
                        }
                    }
                    Value::String(text) if name == "url" && text.contains("Binary/") => {
                        if let Some(record) = into_source(text) {
                            *text = at_payer(&record);
                        }
                    }
                    other => rewrite(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(rewrite),
        _ => {}
    }
}

/// `Type/id`, where a reference leads into the source.
fn into_source(text: &str) -> Option<String> {
    let local = text.strip_prefix(&format!("{EHR}/")).unwrap_or(text);
    let steps: Vec<&str> = local.split('/').collect();
    let (kind, id) = match steps[..] {
        [kind, id] | [kind, id, "_history", _] => (kind, id),
        _ => return None,
    };
    let is_type = kind.starts_with(|letter: char| letter.is_ascii_uppercase())
        && kind.bytes().all(|byte| byte.is_ascii_alphabetic());
    (is_type && fhir::is_id(id)).then(|| format!("{kind}/{id}"))
}

/// Records that stay at the payer although a push no longer holds them: what lies outside of its
/// window by now, and what that refers to.
pub(crate) fn spared(chart: &[Value], decisions: &[DecisionRow]) -> BTreeSet<String> {
    let outside = decisions.iter().filter(|row| !row.included && row.rule == "outside-window");
    let mut spared = BTreeSet::new();
    for row in outside {
        spared.insert(at_payer(&row.reference));
        for resource in chart.iter().filter(|it| reference(it) == row.reference) {
            leads(resource, &mut spared);
        }
    }
    // What a rule keeps for its own sake goes, whatever old record refers to it.
    let left_out = ["outside-window", "not-referred-to", "not-in-this-kind"];
    let kept = decisions.iter().filter(|row| !row.included);
    for row in kept.filter(|row| !left_out.contains(&row.rule.as_str())) {
        spared.remove(&at_payer(&row.reference));
    }
    spared
}

fn leads(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, it) in members {
                let text = it.as_str().filter(|_| ["reference", "url"].contains(&name.as_str()));
                found.extend(text.and_then(into_source).map(|record| at_payer(&record)));
                leads(it, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|it| leads(it, found)),
        _ => {}
    }
}
