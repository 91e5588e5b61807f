//! Roles: which practitioner works in which role, read from trees; and the reference that says so, where
//! a chart has an identifier only.
//!
//! Comes in   a chart.
//! Goes out   by practitioner, the PractitionerRoles; roles with references where one resource of the
//!            chart has the identifier that they name.
//! Never      a reference where none or several resources have the identifier.
//!
//! Why references: EHRs answer `PractitionerRole?practitioner=` by them, and Synthea writes none.

use super::facts::relative;
use super::value_of;
use crate::chart::splice::{Edit, span_of, splice};
use crate::chart::{Chart, ChartResource};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// `system|value`.
fn word(identifier: &Value) -> Option<String> {
    Some(format!("{}|{}", identifier["system"].as_str()?, identifier["value"].as_str()?))
}

fn words(of: &Value) -> Vec<String> {
    of["identifier"].as_array().into_iter().flatten().filter_map(word).collect()
}

/// The roles of each practitioner, all as `Type/id`. A role names its practitioner by a reference; where
/// it has none by an identifier; or it holds the practitioner inside, with identifiers.
pub(super) fn roles(chart: &Chart) -> BTreeMap<String, BTreeSet<String>> {
    let mut by_word: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for practitioner in chart.of_kind("Practitioner") {
        for one in words(&value_of(practitioner)) {
            by_word.entry(one).or_default().push(practitioner.reference());
        }
    }
    let mut roles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for role in chart.of_kind("PractitionerRole") {
        let value = value_of(role);
        let named = &value["practitioner"];
        let inside = named["reference"].as_str().and_then(|text| text.strip_prefix('#'));
        let known = match (named["reference"].as_str(), inside) {
            (_, Some(inside)) => {
                let all = value["contained"].as_array().into_iter().flatten();
                all.filter(|one| one["id"] == inside).flat_map(words).collect()
            }
            (Some(text), None) => {
                let practitioner = relative(text).unwrap_or_default();
                roles.entry(practitioner).or_default().insert(role.reference());
                continue;
            }
            (None, _) => word(&named["identifier"]).into_iter().collect::<Vec<_>>(),
        };
        for practitioner in known.iter().filter_map(|one| by_word.get(one)).flatten() {
            roles.entry(practitioner.clone()).or_default().insert(role.reference());
        }
    }
    roles
}

#[derive(Deserialize)]
struct Role<'a> {
    #[serde(borrow, default)]
    practitioner: Option<&'a RawValue>,
    #[serde(borrow, default)]
    organization: Option<&'a RawValue>,
    #[serde(borrow, default)]
    location: Vec<&'a RawValue>,
}

/// Roles that name somebody or a place by an identifier, with the reference put before it.
pub(super) fn linked(chart: &Chart) -> Vec<ChartResource> {
    let kinds = ["Practitioner", "Organization", "Location"];
    let known: BTreeMap<&str, BTreeMap<String, Vec<String>>> =
        kinds.into_iter().map(|kind| (kind, known(chart, kind))).collect();
    let linked = |role: &ChartResource| {
        let text = std::str::from_utf8(&role.bytes).ok()?;
        let members: Role<'_> = serde_json::from_str(text).ok()?;
        let places = members.practitioner.into_iter().map(|node| ("Practitioner", node));
        let places = places.chain(members.organization.into_iter().map(|it| ("Organization", it)));
        let places = places.chain(members.location.into_iter().map(|it| ("Location", it)));
        let edit = |(kind, node): (&str, &RawValue)| {
            let value: Value = serde_json::from_str(node.get()).ok()?;
            let [target] = known.get(kind)?.get(&word(&value["identifier"])?)?.as_slice() else {
                return None;
            };
            let start = span_of(text, node.get())?.start + 1;
            let reference = format!("\"reference\":\"{target}\",");
            value["reference"].is_null().then(|| Edit::insert(start, reference))
        };
        let edits: Vec<Edit> = places.filter_map(edit).collect();
        let bytes = splice(text, edits.clone()).into();
        (!edits.is_empty()).then(|| ChartResource { bytes, ..role.clone() })
    };
    chart.of_kind("PractitionerRole").iter().filter_map(linked).collect()
}

fn known(chart: &Chart, kind: &str) -> BTreeMap<String, Vec<String>> {
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in chart.of_kind(kind) {
        for word in words(&value_of(one)) {
            known.entry(word).or_default().push(one.reference());
        }
    }
    known
}
