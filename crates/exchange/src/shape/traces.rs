//! Traces: what would tell of a withheld record beside the reference to it.
//!
//! Comes in   a resource that travels, and the references to sensitive records that it loses.
//! Goes out   the component around each such reference, and the words beside them.
//! Never      reads the words: where a sensitive record is referred to, they may be about it.
//!
//! A discharge that names a restricted diagnosis as its reason often says it once more in words. A
//! component (`Encounter.diagnosis`) goes whole with its reference: what is left of it is no use, and
//! its role or rank tells that there was something.

use crate::restriction::PEOPLE_AND_PLACES;
use fhir::{Doc, Kind, Node};
use std::ops::Range;

/// Elements of the resource itself that tell in words or codes what it is about or why.
const WORDS: [&str; 10] = [
    "comment",
    "complication",
    "conclusion",
    "conclusionCode",
    "description",
    "followUp",
    "note",
    "patientInstruction",
    "presentedForm",
    "reasonCode",
];

/// The same, of some types only.
const WORDS_OF: [(&str, &str); 4] =
    [("Account", "name"), ("CareTeam", "category"), ("CareTeam", "name"), ("Provenance", "reason")];

/// Elements without which a resource is about nothing: where their target is sensitive and stays, so
/// does the resource.
const SUBSTANCE: [(&str, &str); 8] = [
    ("Binary", "securityContext"),
    ("DocumentReference", "context"),
    ("DocumentReference", "relatesTo"),
    ("MedicationAdministration", "medicationReference"),
    ("MedicationDispense", "medicationReference"),
    ("MedicationRequest", "medicationReference"),
    ("MedicationStatement", "medicationReference"),
    ("Provenance", "target"),
];

/// Elements that list what a resource is the sum of: it stays where all of them do.
const SUMS: [(&str, &str); 2] = [("DiagnosticReport", "result"), ("Observation", "hasMember")];

/// The component that a reference stands in, to go with it; the reference itself where it stands in
/// the resource directly.
pub(super) fn component<'d, 'a>(doc: &'d Doc<'a>, element: Node<'d, 'a>) -> Node<'d, 'a> {
    let holder =
        |node| doc.parent(node).filter(|parent| parent.kind() == Kind::Array).unwrap_or(node);
    let Some(parent) = doc.parent(holder(element)) else { return element };
    let is_resource = parent.get("resourceType").is_some();
    if is_resource || parent.kind() != Kind::Object { element } else { parent }
}

/// Whether words beside a reference to `Type/id` may be about it.
pub(super) fn is_told_of(reference: &str) -> bool {
    reference.split('/').next().is_some_and(|kind| !PEOPLE_AND_PLACES.contains(&kind))
}

/// The words beside a reference that goes, in the resource or contained resource that holds it.
pub(super) fn words<'d, 'a>(root: Node<'d, 'a>, reference: &Range<usize>) -> Vec<Node<'d, 'a>> {
    let contained = root.get("contained").into_iter().flat_map(|list| list.items());
    let around = |item: &Node<'d, 'a>| {
        let span = item.span();
        span.start <= reference.start && reference.end <= span.end
    };
    let holder = contained.into_iter().find(around).unwrap_or(root);
    let kind = holder.get("resourceType").and_then(|kind| kind.text()).unwrap_or_default();
    let tells = |name: &str| {
        let name = name.strip_prefix('_').unwrap_or(name);
        WORDS.contains(&name) || WORDS_OF.contains(&(kind.as_ref(), name))
    };
    holder.members().filter(|member| tells(member.name())).collect()
}

/// The elements without which a resource of a type is about nothing.
pub(super) fn substance_of(kind: &str) -> Vec<&'static str> {
    of_type(&SUBSTANCE, kind)
}

/// The elements that list what a resource of a type is the sum of.
pub(super) fn sums_of(kind: &str) -> Vec<&'static str> {
    of_type(&SUMS, kind)
}

fn of_type(table: &[(&str, &'static str)], kind: &str) -> Vec<&'static str> {
    let own = table.iter().filter(|(of, _)| *of == kind);
    own.map(|(_, element)| *element).collect()
}
