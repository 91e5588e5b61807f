//! Keys: what searches find a resource by.
//!
//! Comes in   a resource, as it is about to be filed.
//! Goes out   its `RecordKeys`: patient, encounter, date, status, and tokens.
//! Never      follows a reference to another server: only `Type/id` names a record of this house.
//!
//! Why the code stands before its system in a token: a search for a code under any system is then a
//! search for beginnings, and each code is one row and not two.

use crate::kinds::{self, By, KindRow, Token};
use crate::when;
use exchange::place;
use fhir::{Kind, Node, Resource};
use std::borrow::Cow;
use std::collections::BTreeSet;
use store::{DateSpan, RecordKeys};

/// The keys of a resource.
///
/// The date is the span of the element that the type's date parameter asks about. A type outside
/// the table has patient, encounter, status and identifiers, and cannot be searched.
pub fn keys(resource: &Resource) -> RecordKeys {
    keys_in(resource, resource.doc().root())
}

/// The same, for whoever has the resource's outermost value at hand.
pub fn keys_in(resource: &Resource, root: Node<'_, '_>) -> RecordKeys {
    let row = kinds::row(resource.kind()).unwrap_or(&kinds::OTHER);
    let own = |kind: &str| resource.id().filter(|_| resource.kind() == kind).map(str::to_owned);
    RecordKeys {
        patient: own("Patient").or_else(|| referenced(root, row.patient, "Patient")),
        encounter: own("Encounter").or_else(|| referenced(root, row.encounter, "Encounter")),
        date: dated(root, row.date),
        status: root.get("status").and_then(|node| node.text()).map(|text| text.into_owned()),
        tokens: tokens(root, row),
    }
}

/// The token under which a code or identifier is filed and found: `parameter:code|system`, with
/// nothing behind the bar where there is no system. Without a bar (`None`) it finds the code under
/// any system, and under none. The first bar always ends the code.
pub(crate) fn token(parameter: &str, code: &str, system: Option<&str>) -> String {
    let code = match code.contains(['|', '%']) {
        true => Cow::from(code.replace('%', "%25").replace('|', "%7C")),
        false => Cow::from(code),
    };
    match system {
        Some(system) => format!("{parameter}:{code}|{system}"),
        None => format!("{parameter}:{code}"),
    }
}

/// The logical id in a reference of the form `Type/id` or `Type/id/_history/version`.
pub(crate) fn local_id<'t>(reference: &'t str, kind: &str) -> Option<&'t str> {
    local(reference).filter(|(other, _)| *other == kind).map(|(_, id)| id)
}

/// Type and logical id in a reference of the form `Type/id` or `Type/id/_history/version`, whatever
/// the version looks like: it is of no account for who is meant.
pub(crate) fn local(reference: &str) -> Option<(&str, &str)> {
    place::parts(reference).map(|(kind, id, _)| (kind, id))
}

fn tokens(root: Node<'_, '_>, row: &KindRow) -> Vec<String> {
    let mut found = BTreeSet::new();
    for Token(parameter, paths) in row.tokens {
        for node in paths.iter().flat_map(|path| at(root, path)) {
            coded(node, &mut |system, code| {
                found.insert(token(parameter, code, Some(system)));
            });
        }
    }
    for link in row.links {
        for node in link.paths.iter().flat_map(|path| at(root, path)) {
            let text = node.get("reference").and_then(|member| member.text());
            if let Some((kind, id)) = text.as_deref().and_then(local) {
                found.insert(token(link.token, &format!("{kind}/{id}"), Some("")));
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

/// The span of the first element that one of the paths leads to.
fn dated(root: Node<'_, '_>, by: By) -> Option<DateSpan> {
    by.1.iter().flat_map(|path| at(root, path)).find_map(covers)
}

/// What a date, a Period or a Timing covers; of a Timing, its events and its bounds.
fn covers(node: Node<'_, '_>) -> Option<DateSpan> {
    if let Some(text) = node.text() {
        return when::span(&text);
    }
    let text = |name: &str| node.get(name).and_then(|member| member.text());
    let (start, end) = (text("start"), text("end"));
    when::period(start.as_deref(), end.as_deref()).or_else(|| {
        let events = at(node, "event").into_iter().filter_map(|event| when::span(&event.text()?));
        let bounds = at(node, "repeat.boundsPeriod").into_iter().filter_map(covers);
        when::cover(events.chain(bounds))
    })
}

/// All nodes at a path of member names; lists count as their items.
pub(crate) fn at<'d, 'a>(root: Node<'d, 'a>, path: &str) -> Vec<Node<'d, 'a>> {
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

    fn span(text: &str) -> DateSpan {
        when::span(text).unwrap()
    }

    #[test]
    fn patient_and_encounter_are_found_where_the_type_has_them() {
        let table = [
            (r#"{"resourceType":"Patient","id":"p"}"#, Some("p"), None),
            (
                r#"{"resourceType":"Encounter","id":"e","subject":{"reference":"Patient/p"}}"#,
                Some("p"),
                Some("e"),
            ),
            (
                r#"{"resourceType":"Coverage","beneficiary":{"reference":"Patient/p/_history/3"}}"#,
                Some("p"),
                None,
            ),
            (
                r#"{"resourceType":"Observation","subject":{"reference":"Patient/p"},
                    "encounter":{"reference":"Encounter/e"}}"#,
                Some("p"),
                Some("e"),
            ),
            (
                r#"{"resourceType":"Provenance","target":[{"reference":"Observation/o"},
                    {"reference":"Patient/p"}]}"#,
                Some("p"),
                None,
            ),
            (r#"{"resourceType":"Basic","subject":{"reference":"Patient/p"}}"#, Some("p"), None),
        ];
        for (text, patient, encounter) in table {
            let keys = keys_of(text);
            let found = (keys.patient.as_deref(), keys.encounter.as_deref());
            assert_eq!(found, (patient, encounter), "{text}");
        }
    }

    #[test]
    fn a_date_is_the_span_of_its_element_whatever_its_form() {
        let day = span("2026-01-03");
        let open = DateSpan { to: jiff::Timestamp::MAX, ..day };
        let table = [
            ("Observation", r#""effectiveDateTime":"2026-01-03""#, Some(day)),
            (
                "Observation",
                r#""effectiveInstant":"2026-01-03T10:00:00Z""#,
                Some(span("2026-01-03T10:00:00Z")),
            ),
            ("Observation", r#""effectivePeriod":{"start":"2026-01-03"}"#, Some(open)),
            (
                "Observation",
                r#""effectivePeriod":{"end":"2026-01-03"}"#,
                Some(DateSpan { from: jiff::Timestamp::MIN, ..day }),
            ),
            (
                "Observation",
                r#""effectiveTiming":{"event":["2026-02","2026-01"]}"#,
                Some(DateSpan { to: span("2026-02").to, ..span("2026-01") }),
            ),
            (
                "Observation",
                r#""effectiveTiming":{"repeat":{"boundsPeriod":{"start":"2026-01-03"}}}"#,
                Some(open),
            ),
            ("Observation", r#""effectiveTiming":{"repeat":{"count":3}}"#, None),
            ("Observation", r#""issued":"2026-01-03T10:00:00Z""#, None),
            ("Encounter", r#""period":{"start":"2026-01-03","end":"2026-01-03"}"#, Some(day)),
            ("PractitionerRole", r#""period":{"start":"2026-01-03"}"#, Some(open)),
            (
                "DocumentReference",
                r#""date":"2026-01-03T00:00:00.000Z""#,
                Some(span("2026-01-03T00:00:00.000Z")),
            ),
            ("Immunization", r#""occurrenceString":"2026-01-03""#, None),
            ("Condition", r#""recordedDate":"2026-01-03""#, Some(day)),
            ("Basic", r#""created":"2026-01-03""#, None),
        ];
        for (kind, element, expected) in table {
            let keys = keys_of(&format!(r#"{{"resourceType":"{kind}",{element}}}"#));
            assert_eq!(keys.date, expected, "{kind} {element}");
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
    fn a_code_is_one_token_and_its_system_stands_behind_it() {
        let keys = keys_of(
            r#"{"resourceType":"Observation","status":"final",
                "identifier":[{"system":"urn:a","value":"1"},{"value":"2"}],
                "category":[{"coding":[{"system":"urn:c","code":"laboratory"}]}],
                "code":{"coding":[{"system":"http://loinc.org","code":"4548-4"},
                    {"system":"urn:a","code":"5%|6"}],"text":"x"}}"#,
        );
        assert_eq!(keys.status.as_deref(), Some("final"));
        assert_eq!(
            keys.tokens,
            [
                "category:laboratory|urn:c",
                "code:4548-4|http://loinc.org",
                "code:5%25%7C6|urn:a",
                "identifier:1|urn:a",
                "identifier:2|",
            ]
        );
    }

    #[test]
    fn references_that_repeat_are_tokens() {
        let table = [
            (
                r##"{"resourceType":"Provenance","target":[{"reference":"Observation/o"},
                    {"reference":"Patient/p/_history/1"},{"reference":"#c"}]}"##,
                vec!["target:Observation/o|", "target:Patient/p|"],
            ),
            (
                r#"{"resourceType":"DocumentReference","context":{"encounter":[
                    {"reference":"EpisodeOfCare/x"},{"reference":"Encounter/e"}]}}"#,
                vec!["encounter:Encounter/e|", "encounter:EpisodeOfCare/x|"],
            ),
            (
                r#"{"resourceType":"Claim","item":[{"encounter":[{"reference":"Encounter/e"}]},
                    {"encounter":[{"reference":"Encounter/e"}]}]}"#,
                vec!["encounter:Encounter/e|"],
            ),
        ];
        for (text, expected) in table {
            assert_eq!(keys_of(text).tokens, expected, "{text}");
        }
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
