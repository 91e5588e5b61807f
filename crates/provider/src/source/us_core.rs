//! US Core: how a patient's records of one type are asked for, with nothing beyond what every
//! certified EHR must answer.
//!
//! Comes in   a type, a patient.
//! Goes out   the patient's records of that type: each is the patient's own and of the category asked
//!            for, whatever the EHR made of the parameters.
//! Never      a search without a patient; never a record that does not say readably that it is this
//!            patient's (some servers pass over parameters they do not know, and answer everybody's).
//!
//! The table is US Core 6.1.0's CapabilityStatement for servers, its SHALL; a test holds it to that.
//! Dates are in no search: a late result may be linked to an early encounter. An Observation can
//! only be searched by category there, so one without any of these categories is reached through the
//! report or panel that lists it, and in no other way; an EHR that takes `Observation?patient=` is
//! asked that instead. Types that are not in the table are asked by patient where the EHR offers it.

use super::offer::Offer;
use super::{Source, at_once};
use exchange::Issue;
use exchange::shape::{OWNERS, target};
use fhir::Resource;
use std::collections::BTreeSet;

/// How a type is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// `patient`.
    Patient,
    /// `patient` and another parameter, once with each of these codes.
    PatientAnd(&'static str, &'static [&'static str]),
}

/// Categories of Observations: R4 observation-category, and US Core 6.1.0's us-core-category and
/// screening and assessment categories.
pub const OBSERVATION_CATEGORIES: &[&str] = &[
    "activity",
    "cognitive-status",
    "disability-status",
    "exam",
    "functional-status",
    "imaging",
    "laboratory",
    "procedure",
    "sdoh",
    "social-history",
    "survey",
    "therapy",
    "vital-signs",
];

/// Every type with a search by patient that US Core 6.1.0 makes SHALL.
#[rustfmt::skip]
pub const SEARCHES: [(&str, By); 16] = [
    ("AllergyIntolerance", By::Patient),
    ("CarePlan", By::PatientAnd("category", &["assess-plan"])),
    ("CareTeam", By::PatientAnd("status", &["active", "inactive", "proposed", "suspended"])),
    ("Condition", By::Patient),
    ("Coverage", By::Patient),
    ("Device", By::Patient),
    ("DiagnosticReport", By::Patient),
    ("DocumentReference", By::Patient),
    ("Encounter", By::Patient),
    ("Goal", By::Patient),
    ("Immunization", By::Patient),
    ("MedicationDispense", By::Patient),
    ("MedicationRequest", By::PatientAnd("intent", &[
        "filler-order", "instance-order", "order", "original-order", "plan", "reflex-order",
    ])),
    ("Observation", By::PatientAnd("category", OBSERVATION_CATEGORIES)),
    ("Procedure", By::Patient),
    ("ServiceRequest", By::Patient),
];

/// Statuses to name where an EHR takes no search without one, as US Core lets it ("servers may
/// require status"); R4's codes of each type.
#[rustfmt::skip]
const STATUSES: [(&str, &str); 9] = [
    ("DiagnosticReport", "registered,partial,preliminary,final,amended,corrected,appended,cancelled,entered-in-error,unknown"),
    ("DocumentReference", "current,superseded,entered-in-error"),
    ("Encounter", "planned,arrived,triaged,in-progress,onleave,finished,cancelled,entered-in-error,unknown"),
    ("Immunization", "completed,entered-in-error,not-done"),
    ("MedicationDispense", "preparation,in-progress,cancelled,on-hold,completed,entered-in-error,stopped,declined,unknown"),
    ("MedicationRequest", "active,on-hold,cancelled,completed,entered-in-error,stopped,draft,unknown"),
    ("Observation", "registered,preliminary,final,amended,corrected,cancelled,entered-in-error,unknown"),
    ("Procedure", "preparation,in-progress,not-done,on-hold,stopped,completed,entered-in-error,unknown"),
    ("ServiceRequest", "draft,active,on-hold,revoked,completed,entered-in-error,unknown"),
];

/// The parameter that asks for as many records on a page as the EHR gives.
const PAGE: (&str, &str) = ("_count", "250");

/// How a patient is named in a search: with the type, as US Core has every server take it beside the
/// bare id (6.1.0, General Requirements: `patient={Type/}[id]`); some take it in no other way.
pub fn named(patient: &str) -> String {
    format!("Patient/{patient}")
}

/// Every record of a type that the chart of a patient holds; nothing where the EHR does not search the
/// type by patient.
pub async fn of_patient(
    source: &dyn Source,
    kind: &str,
    patient: &str,
) -> Result<Vec<Resource>, Issue> {
    let offer = source.offer().await?;
    let by = SEARCHES.iter().find(|(known, _)| *known == kind).map(|(_, by)| *by);
    if !offer.is_silent() && !offer.knows(kind) {
        // It says that it holds no such records; to ask would be answered 404 for ever.
        return Ok(Vec::new());
    }
    let plain = offer.has(kind, "patient");
    let whom = named(patient);
    let found = match by {
        Some(By::Patient) => whole(source, kind, &whom, None).await?,
        Some(By::PatientAnd(name, codes)) => {
            let at_once =
                if plain { ask(source, kind, &[("patient", &whom)]).await? } else { None };
            match at_once {
                Some(found) => found,
                None => one_by_one(source, kind, &whom, name, codes).await?,
            }
        }
        None if plain => whole(source, kind, &whom, None).await?,
        None => Vec::new(),
    };
    let mut seen = BTreeSet::new();
    let own = |one: &Resource| is_of(one, patient, source.base_url());
    let fresh = |one: &Resource| seen.insert((one.local_reference(), one.digest()));
    Ok(found.into_iter().filter(own).filter(fresh).collect())
}

/// Whether a chart is asked for records of a type at all: what is not asked for says nothing of what
/// is there.
pub fn is_asked(offer: &Offer, kind: &str) -> bool {
    if !offer.is_silent() && !offer.knows(kind) {
        return false;
    }
    SEARCHES.iter().any(|(known, _)| *known == kind) || offer.has(kind, "patient")
}

/// A code at a time. What has not that code is left out: an EHR that passes over the parameter
/// answers everything, and the next code would answer it again.
async fn one_by_one(
    source: &dyn Source,
    kind: &str,
    whom: &str,
    name: &str,
    codes: &[&str],
) -> Result<Vec<Resource>, Issue> {
    let ask = |code| async move {
        let mut found = whole(source, kind, whom, Some((name, code))).await?;
        found.retain(|one| has_code(one, name, code));
        Ok::<_, Issue>(found)
    };
    Ok(at_once(codes.iter().map(|code| ask(*code)).collect()).await?.concat())
}

/// One search, with every status named where the EHR takes it in no other way.
pub(crate) async fn whole(
    source: &dyn Source,
    kind: &str,
    whom: &str,
    and: Option<(&str, &str)>,
) -> Result<Vec<Resource>, Issue> {
    let mut parameters = vec![("patient", whom)];
    parameters.extend(and);
    if let Some(found) = ask(source, kind, &parameters).await? {
        return Ok(found);
    }
    let statuses = STATUSES.iter().find(|(known, _)| *known == kind);
    if let Some((_, statuses)) = statuses {
        parameters.push(("status", statuses));
    }
    source.search(kind, &parameters).await
}

/// The search, with large pages where the EHR says that it knows how.
pub(super) async fn ask(
    source: &dyn Source,
    kind: &str,
    parameters: &[(&str, &str)],
) -> Result<Option<Vec<Resource>>, Issue> {
    if source.offer().await?.has(kind, PAGE.0) {
        let paged = [parameters, &[PAGE]].concat();
        if let Some(found) = source.try_search(kind, &paged).await? {
            return Ok(Some(found));
        }
    }
    source.try_search(kind, parameters).await
}

/// Whether a record says that it is this patient's.
pub(crate) fn is_of(resource: &Resource, patient: &str, source_base: &str) -> bool {
    owners(resource, source_base).iter().any(|id| id == patient)
}

/// Whose a record says that it is: `Patient.id` in the source.
pub(crate) fn owner(resource: &Resource, source_base: &str) -> Option<String> {
    owners(resource, source_base).into_iter().next()
}

/// Everybody whose a record says that it is.
pub(super) fn owners(resource: &Resource, source_base: &str) -> Vec<String> {
    let doc = resource.doc();
    let owners = OWNERS.iter().filter_map(|name| doc.root().get(name)).flat_map(|it| it.each());
    let named = owners.filter_map(|owner| target(&owner.get("reference")?.text()?, source_base));
    named.filter(|(kind, _)| kind == "Patient").map(|(_, id)| id).collect()
}

/// Whether an element is, or has a coding of, this code.
pub(crate) fn has_code(resource: &Resource, name: &str, code: &str) -> bool {
    let doc = resource.doc();
    let elements = doc.root().get(name).into_iter().flat_map(|list| list.each());
    elements.into_iter().any(|element| match element.text() {
        Some(text) => text == code,
        None => {
            let mut codings = element.get("coding").into_iter().flat_map(|list| list.each());
            codings.any(|coding| {
                coding.get("code").and_then(|found| found.text()).is_some_and(|it| it == code)
            })
        }
    })
}
