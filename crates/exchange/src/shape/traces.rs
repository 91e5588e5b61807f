//! Traces: what would tell of a withheld record beside the reference to it.
//!
//! Comes in   a resource that travels, and the references to sensitive records that it loses.
//! Goes out   the component around each such reference, and the words beside them.
//! Never      reads the words: where a sensitive record is referred to, they may be about it.
//!
//! A discharge that names a restricted diagnosis as its reason often says it once more in words. A
//! component (`Encounter.diagnosis`) goes whole with its reference: what is left of it is no use, and
//! its role or rank tells that there was something.

use super::{ABOUT, Audience, LABEL, Withheld};
use crate::restriction::{encounters_named, tail};
use fhir::{Doc, Kind, Node, Resource};
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

/// Types of whom and where: notes and reasons are not about them.
const PEOPLE_AND_PLACES: [&str; 8] = [
    "Coverage",
    "HealthcareService",
    "Location",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "RelatedPerson",
];

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

/// By which rule a resource stays because of what it is about. `sensitive` gives the rule by which a
/// target stays.
pub(super) fn about<'w>(
    resource: &Resource,
    audience: &Audience<'_>,
    sensitive: &dyn Fn(&str) -> Option<&'w Withheld>,
) -> Option<Withheld> {
    let own = |table: &[(&str, &'static str)]| -> Vec<&'static str> {
        let own = table.iter().filter(|(kind, _)| *kind == resource.kind());
        own.map(|(_, element)| *element).collect()
    };
    let (substance, sums) = (own(&SUBSTANCE), own(&SUMS));
    // Most resources are told by a look at their bytes: names are never written with escapes.
    let text = std::str::from_utf8(resource.bytes()).unwrap_or_default();
    if !substance.iter().chain(&sums).any(|name| text.contains(name)) {
        return None;
    }
    let doc = resource.doc();
    let targets = |names: &[&str]| -> Vec<String> {
        let members = doc.root().members().filter(|member| names.contains(&member.name()));
        let texts =
            members.flat_map(|member| member.descendants().filter_map(address).collect::<Vec<_>>());
        texts
            .filter_map(|text| {
                super::target(&text, audience.source_base)
                    .map(|(kind, id)| format!("{kind}/{id}"))
                    .or_else(|| tail(&text))
            })
            .collect()
    };
    let stays = targets(&substance).iter().any(|target| sensitive(target).is_some());
    let parts = targets(&sums);
    let all_stay = !parts.is_empty() && parts.iter().all(|target| sensitive(target).is_some());
    (stays || all_stay).then(|| Withheld::by(ABOUT))
}

/// By which rule a resource stays because the visit that it says it is of carries a label: what was
/// found and done there is about the same. `sensitive` is as above.
pub(super) fn of_visit<'w>(
    resource: &Resource,
    sensitive: &dyn Fn(&str) -> Option<&'w Withheld>,
) -> Option<Withheld> {
    let labelled = |visit: &String| {
        sensitive(visit).is_some_and(|why| [LABEL, ABOUT].contains(&why.rule.as_str()))
    };
    encounters_named(resource).iter().any(labelled).then(|| Withheld::by(ABOUT))
}

fn address(node: Node<'_, '_>) -> Option<String> {
    (node.name() == "reference").then(|| node.text().map(std::borrow::Cow::into_owned))?
}
