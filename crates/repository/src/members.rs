//! Members: the Patients that a Group lists.
//!
//! Comes in   a Group as it was filed, the base URL of this house, a moment.
//! Goes out   the ids of those who were its members then, and how many entries name nobody of this
//!            house.
//! Never      follows a Group into another, or works out who fits a Group's characteristics.
//!
//! R4 Group.member; Bulk Data 2.0.0, group of patients.

use crate::keys::{at, local_id};
use crate::when;
use bytes::Bytes;
use exchange::{Code, Issue, place};
use fhir::{Doc, Node};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Who a Group lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Logical ids of Patients of this house.
    pub patients: BTreeSet<String>,
    /// Entries in force that name something else: another Group, another server's Patient.
    pub others: u64,
}

/// The members of a Group at a moment: entries that are inactive count no more, nor those whose period
/// does not hold the moment, or cannot be read.
///
/// Errors: `ParameterUnsupported` for a Group that describes its members and lists none (`actual`
/// false), `StoreUnavailable` when the bytes are no resource.
pub fn members(group: &Bytes, base: &str, moment: Timestamp) -> Result<Members, Issue> {
    let damaged = |_| Issue::new(Code::StoreUnavailable, "a stored record cannot be read");
    let doc = Doc::parse(group).map_err(damaged)?;
    let root = doc.root();
    if root.get("actual").and_then(|node| node.primitive()).as_deref() == Some("false") {
        let detail = "this Group describes who belongs to it and lists nobody";
        return Err(Issue::new(Code::ParameterUnsupported, detail).at("Group.actual"));
    }
    let mut members = Members::default();
    for member in at(root, "member").into_iter().filter(|member| in_force(*member, moment)) {
        let entity = member.get("entity").and_then(|entity| entity.get("reference"));
        let text = entity.and_then(|node| node.text()).unwrap_or_default();
        let local = place::under(&text, base).unwrap_or(&text);
        match local_id(local, "Patient") {
            Some(id) => drop(members.patients.insert(id.to_owned())),
            None => members.others += 1,
        }
    }
    Ok(members)
}

fn in_force(member: Node<'_, '_>, moment: Timestamp) -> bool {
    let inactive = member.get("inactive").and_then(|it| it.primitive());
    if inactive.as_deref() == Some("true") {
        return false;
    }
    let Some(period) = member.get("period") else { return true };
    let start = period.get("start").and_then(|it| it.primitive());
    let end = period.get("end").and_then(|it| it.primitive());
    if [&start, &end].into_iter().flatten().any(|text| when::span(text).is_none()) {
        return false;
    }
    let span = when::period(start.as_deref(), end.as_deref());
    span.is_none_or(|span| span.from <= moment && moment < span.to)
}

#[cfg(test)]
mod tests {
    //! Goal: whoever is a member at the moment counts, and nobody else.
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn read(group: &Value) -> Result<Members, Issue> {
        let moment = "2026-06-15T12:00:00Z".parse().unwrap();
        members(&Bytes::from(group.to_string()), "https://plan.example/fhir", moment)
    }

    #[test]
    fn whoever_is_a_member_at_the_moment_counts() {
        let member = |reference: &str, more: Value| {
            let mut member = json!({ "entity": { "reference": reference } });
            member.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            member
        };
        let period = |start: &str, end: &str| json!({ "period": { "start": start, "end": end } });
        let table = [
            (member("Patient/a", json!({})), Some("a")),
            (member("https://plan.example/fhir/Patient/a", json!({})), Some("a")),
            (member("Patient/a/_history/3", json!({})), Some("a")),
            (member("Patient/a", json!({ "inactive": false })), Some("a")),
            (member("Patient/a", json!({ "inactive": true })), None),
            (member("Patient/a", period("2026-01-01", "2026-12-31")), Some("a")),
            (member("Patient/a", period("2026-06-15", "2026-06-15")), Some("a")),
            (member("Patient/a", period("2026-06-16", "2026-12-31")), None),
            (member("Patient/a", period("2025-01-01", "2026-06-14")), None),
            (member("Patient/a", json!({ "period": { "start": "2026-07" } })), None),
            (member("Patient/a", json!({ "period": { "end": "2026-07" } })), Some("a")),
            (member("Patient/a", json!({ "period": { "start": "soon" } })), None),
            (member("Patient/a", period("2026-01-01", "never")), None),
            (member("Patient/a", json!({ "period": {} })), Some("a")),
        ];
        for (member, expected) in table {
            let found =
                read(&json!({ "resourceType": "Group", "actual": true, "member": [member] }));
            let expected = expected.iter().map(|id| (*id).to_owned()).collect();
            assert_eq!(found.unwrap(), Members { patients: expected, others: 0 }, "{member}");
        }
    }

    #[test]
    fn who_is_none_of_this_house_is_counted_and_a_description_is_no_list() {
        let entity = |reference: &str| json!({ "entity": { "reference": reference } });
        let other = ["Group/g", "Practitioner/x", "https://other.example/fhir/Patient/a", "#p", ""];
        let all: Vec<_> =
            other.into_iter().map(entity).chain([json!({}), entity("Patient/b")]).collect();
        let found =
            read(&json!({ "resourceType": "Group", "actual": true, "member": all })).unwrap();
        assert_eq!(found, Members { patients: ["b".to_owned()].into(), others: 6 });
        let none = read(&json!({ "resourceType": "Group", "actual": true })).unwrap();
        assert_eq!(none, Members::default());
        let described = read(&json!({ "resourceType": "Group", "actual": false })).unwrap_err();
        assert_eq!(described.code, Code::ParameterUnsupported);
    }
}
