//! Keys: what searches find a resource by.
//!
//! Comes in   a resource, as it is about to be filed.
//! Goes out   its `RecordKeys`: patient, encounter, date, status, and tokens.
//! Never      follows a reference to another server: only `Type/id` names a record of this house.

use crate::kinds::{self, By, KindRow};
use crate::when::Span;
use fhir::{Kind, Node, Resource, is_id};
use std::collections::BTreeSet;
use store::RecordKeys;

/// Stands for any system in a token: what `code=4548-4` asks for, without a system.
pub(crate) const ANY_SYSTEM: &str = "*";

/// The keys of a resource.
///
/// The date is the beginning of the element that the type's date parameter asks about: partial
/// dates as they stand, times in UTC with six digits, so that texts sort as times do. A type
/// outside the table has patient, encounter, status and identifiers, and cannot be searched.
pub fn keys(resource: &Resource) -> RecordKeys {
    let doc = resource.doc();
    let root = doc.root();
    let row = kinds::row(resource.kind()).unwrap_or(&kinds::OTHER);
    let own = |kind: &str| resource.id().filter(|_| resource.kind() == kind).map(str::to_owned);
    let dates = first(root, row.date);
    RecordKeys {
        patient: own("Patient").or_else(|| referenced(root, row.patient, "Patient")),
        encounter: own("Encounter").or_else(|| referenced(root, row.encounter, "Encounter")),
        date: dates.and_then(|node| Some(Span::parse(&node.text()?)?.dates())),
        status: root.get("status").and_then(|node| node.text()).map(|text| text.into_owned()),
        tokens: tokens(root, row),
    }
}

/// The token under which a code or identifier is filed and found: identifiers as `system|value`,
/// all others as `parameter:system|code`; the system is empty where there is none, and `*` in the
/// form that finds the code under any system.
pub fn token(parameter: &str, system: &str, code: &str) -> String {
    match parameter {
        "identifier" => format!("{system}|{code}"),
        _ => format!("{parameter}:{system}|{code}"),
    }
}

/// The logical id in a reference of the form `Type/id` or `Type/id/_history/version`.
pub(crate) fn local_id<'t>(reference: &'t str, kind: &str) -> Option<&'t str> {
    let rest = reference.strip_prefix(kind)?.strip_prefix('/')?;
    let id = rest.split_once("/_history/").map_or(rest, |(id, _)| id);
    is_id(id).then_some(id)
}

fn tokens(root: Node<'_, '_>, row: &KindRow) -> Vec<String> {
    let mut found = BTreeSet::new();
    for parameter in row.tokens {
        for path in parameter.1 {
            for node in at(root, path) {
                coded(node, &mut |system, code| {
                    found.insert(token(parameter.0, system, code));
                    found.insert(token(parameter.0, ANY_SYSTEM, code));
                });
            }
        }
    }
    found.into_iter().collect()
}

/// Every system and code of a CodeableConcept, Coding, Identifier or code.
fn coded(node: Node<'_, '_>, take: &mut impl FnMut(&str, &str)) {
    let text = |name: &str| node.get(name).and_then(|member| member.text());
    if let Some(codings) = node.get("coding") {
        return codings.items().for_each(|coding| coded(coding, take));
    }
    let plain = (node.kind() == Kind::String).then(|| node.text()).flatten();
    if let Some(code) = plain.or_else(|| text("code")).or_else(|| text("value")) {
        take(&text("system").unwrap_or_default(), &code);
    }
}

/// The first record of this type that one of the paths refers to.
fn referenced(root: Node<'_, '_>, by: By, kind: &str) -> Option<String> {
    let nodes = by.1.iter().flat_map(|path| at(root, path));
    nodes.filter_map(|node| node.get("reference")?.text()).find_map(|reference| {
        let id = local_id(&reference, kind)?;
        Some(id.to_owned())
    })
}

fn first<'d, 'a>(root: Node<'d, 'a>, by: By) -> Option<Node<'d, 'a>> {
    by.1.iter().flat_map(|path| at(root, path)).next()
}

/// All nodes at a path of member names; lists count as their items.
fn at<'d, 'a>(root: Node<'d, 'a>, path: &str) -> Vec<Node<'d, 'a>> {
    path.split('.').fold(vec![root], |nodes, name| {
        let members = nodes.into_iter().filter_map(|node| node.get(name));
        members.flat_map(|member| member.each()).collect()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn keys_of(text: &str) -> RecordKeys {
        keys(&Resource::parse(text.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn patient_encounter_and_date_are_found_where_the_type_has_them() {
        let table = [
            (r#"{"resourceType":"Patient","id":"p"}"#, Some("p"), None, None),
            (
                r#"{"resourceType":"Encounter","id":"e","subject":{"reference":"Patient/p"},
                    "period":{"start":"2026-01-03T10:00:00-05:00"}}"#,
                Some("p"),
                Some("e"),
                Some("2026-01-03T15:00:00.000000Z"),
            ),
            (
                r#"{"resourceType":"DocumentReference","subject":{"reference":"Patient/p"},
                    "context":{"encounter":[{"reference":"EpisodeOfCare/x"},
                    {"reference":"Encounter/e"},{"reference":"Encounter/f"}]},"date":"2026-01"}"#,
                Some("p"),
                Some("e"),
                Some("2026-01"),
            ),
            (
                r#"{"resourceType":"Coverage","beneficiary":{"reference":"Patient/p/_history/3"}}"#,
                Some("p"),
                None,
                None,
            ),
            (
                r#"{"resourceType":"Observation","subject":{"reference":"Patient/p"},
                    "encounter":{"reference":"Encounter/e"},"effectivePeriod":{"start":"2026"}}"#,
                Some("p"),
                Some("e"),
                Some("2026"),
            ),
            (
                r#"{"resourceType":"Provenance","target":[{"reference":"Observation/o"},
                    {"reference":"Patient/p"}],"recorded":"2026-01-03T10:00:00Z"}"#,
                Some("p"),
                None,
                Some("2026-01-03T10:00:00.000000Z"),
            ),
            (
                r#"{"resourceType":"Basic","subject":{"reference":"Patient/p"}}"#,
                Some("p"),
                None,
                None,
            ),
        ];
        for (text, patient, encounter, date) in table {
            let keys = keys_of(text);
            let found = (keys.patient.as_deref(), keys.encounter.as_deref(), keys.date.as_deref());
            assert_eq!(found, (patient, encounter, date), "{text}");
        }
    }

    #[test]
    fn a_reference_that_is_not_to_a_record_of_this_house_is_no_key() {
        for reference in [
            "https://elsewhere.example/Patient/p",
            "#p",
            "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
            "Group/p",
            "Patient/",
            "Patient/a/b",
            "Patients/p",
        ] {
            let text = format!(
                r#"{{"resourceType":"Condition","subject":{{"reference":"{reference}"}}}}"#
            );
            assert_eq!(keys_of(&text).patient, None, "{reference}");
        }
    }

    #[test]
    fn tokens_stand_with_their_system_and_for_any_system() {
        let keys = keys_of(
            r#"{"resourceType":"Observation","status":"final",
                "identifier":[{"system":"urn:a","value":"1"},{"value":"2"}],
                "category":[{"coding":[{"system":"urn:c","code":"laboratory"}]}],
                "code":{"coding":[{"system":"http://loinc.org","code":"4548-4"}],"text":"x"}}"#,
        );
        assert_eq!(keys.status.as_deref(), Some("final"));
        assert_eq!(
            keys.tokens,
            [
                "*|1",
                "*|2",
                "category:*|laboratory",
                "category:urn:c|laboratory",
                "code:*|4548-4",
                "code:http://loinc.org|4548-4",
                "urn:a|1",
                "|2",
            ]
        );
    }

    /// Of types R4 knows, the reader refuses other shapes; of others it cannot, so they come here.
    #[test]
    fn an_element_of_another_shape_is_passed_over() {
        let keys = keys_of(
            r#"{"resourceType":"Novelty","status":7,"subject":"Patient/p","identifier":true,
                "code":["x",4],"effectiveDateTime":{"start":"2026"}}"#,
        );
        assert_eq!((keys.status, keys.patient, keys.date), (None, None, None));
        assert!(keys.tokens.is_empty(), "nothing is made of what is no token");
    }
}
