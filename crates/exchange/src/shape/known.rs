//! Known: what *shape* must know of a patient's chart beside what is pushed.
//!
//! Comes in   what was collected so far, and the audience.
//! Goes out   types to be searched for by patient, and records to be read, into `Collected::known`.
//! Never      asks for a type that the agreement does not permit, but for the visits.
//!
//! Why all of them in every push: whether an order is the order of a labelled result only the results
//! tell, and a label is not found by looking at the push. What a payer may see of a record must not
//! depend on the push that brings it.

use super::{Audience, Collected, target};
use std::collections::BTreeSet;

/// Types that certified EHRs let be searched for by patient (US Core 6.1.0), of which a record may be
/// sensitive or of a withheld visit.
const SEARCHED: [&str; 14] = [
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "Condition",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "Goal",
    "Immunization",
    "MedicationDispense",
    "MedicationRequest",
    "Observation",
    "Procedure",
    "ServiceRequest",
];

/// Other types that have an order, or hold what others are.
const OUTCOMES: [&str; 4] =
    ["ImagingStudy", "Media", "MedicationAdministration", "QuestionnaireResponse"];

/// Elements by which a record leads to others that no search need find: a result without a category.
const LEADING: [&str; 2] = ["hasMember", "result"];

/// The types of the patient's chart that must be known for what was collected: every type that the
/// agreement permits, and the visits. Whatever stays may have an order, a report, a visit or a day that
/// something of this push shares.
pub fn types_to_know(audience: &Audience<'_>) -> BTreeSet<&'static str> {
    let searched = SEARCHED.into_iter().filter(|kind| tells(kind, audience));
    let outcomes = OUTCOMES.into_iter();
    searched
        .chain(outcomes.filter(|kind| audience.could_travel(&format!("{kind}/-")).is_ok()))
        .collect()
}

/// `Type/id` of results and members that something read so far names, and that were not read: they
/// must be known too, so that what is true of them is true in every push.
pub fn records_to_know(collected: &Collected, audience: &Audience<'_>) -> BTreeSet<String> {
    let mut wanted = BTreeSet::new();
    for resource in collected.all() {
        let text = std::str::from_utf8(resource.bytes()).unwrap_or_default();
        if !LEADING.iter().any(|name| text.contains(name)) {
            continue;
        }
        let doc = resource.doc();
        let lists = doc.root().members().filter(|member| LEADING.contains(&member.name()));
        let listed = lists.flat_map(|list| list.each()).filter_map(|one| one.get("reference"));
        let targets =
            listed.filter_map(|reference| target(&reference.text()?, audience.source_base));
        wanted.extend(targets.map(|(kind, id)| format!("{kind}/{id}")));
    }
    wanted.retain(|reference| {
        let kind = reference.split('/').next().unwrap_or_default();
        SEARCHED.contains(&kind) && audience.could_travel(reference).is_ok()
    });
    if !wanted.is_empty() {
        for resource in collected.all() {
            wanted.remove(&resource.local_reference());
        }
        wanted.retain(|reference| !collected.missing.contains(reference));
    }
    wanted
}

/// Whether records of the type of `Type/id` are known in every push: others speak for nothing.
pub(super) fn is_known_whole(reference: &str) -> bool {
    let kind = reference.split('/').next().unwrap_or_default();
    SEARCHED.contains(&kind) || OUTCOMES.contains(&kind)
}

/// Whether the days of a record of this type count for documents: only of types that are always
/// known whole, so that a document is judged alike in every push.
pub(super) fn tells(kind: &str, audience: &Audience<'_>) -> bool {
    let permitted = kind == "Encounter" || audience.terms.names(kind, audience.purpose);
    SEARCHED.contains(&kind) && permitted
}
