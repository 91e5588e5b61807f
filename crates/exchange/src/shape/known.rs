//! Known: what *shape* must know of a patient's chart beside what is pushed.
//!
//! Comes in   what was collected so far, and the audience.
//! Goes out   types to be searched for by patient, into `Collected::known`.
//! Never      asks for more than the questions need: a chart without documents and withheld visits
//!            is not read beyond the push.

use super::{Audience, Collected, opaque, sensitivity, visits::Visited};
use crate::agreement::Opaque;
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

/// The types of the patient's chart that must be known for what was collected: the patient's
/// encounters where visits can be withheld, and every type that the agreement permits where a
/// document is judged by its days, or a visit is withheld. Asked again with the encounters known, it
/// may name more.
pub fn types_to_know(collected: &Collected, audience: &Audience<'_>) -> BTreeSet<&'static str> {
    let by_days = audience.terms.agreement.opaque == Opaque::WithholdInSensitivePeriod;
    let decided_on = || collected.found.iter().chain(&collected.followed);
    let documents = by_days && decided_on().any(opaque::has_attachment);
    let visits =
        audience.restrictions.any_encounter(audience.payer()) || audience.terms.asks_encounters();
    if documents || (visits && withholds_visit(collected, audience)) {
        return SEARCHED.into_iter().filter(|kind| tells(kind, audience)).collect();
    }
    visits.then_some("Encounter").into_iter().collect()
}

/// Whether the days of a record of this type count for documents: only of types that are always
/// known whole, so that a document is judged alike in every push.
pub(super) fn tells(kind: &str, audience: &Audience<'_>) -> bool {
    let permitted = kind == "Encounter" || audience.terms.names(kind, audience.purpose);
    SEARCHED.contains(&kind) && permitted
}

/// Whether one of the encounters that are known is withheld for a reason that what belongs to it
/// shares.
fn withholds_visit(collected: &Collected, audience: &Audience<'_>) -> bool {
    let visited = Visited::read(collected, audience);
    let mut encounters = collected.all().filter(|resource| resource.kind() == "Encounter");
    encounters
        .any(|encounter| sensitivity(encounter, audience, visited.of(encounter).visits()).is_some())
}
