//! Collect: what does the chart hold that this payer may see?
//!
//! Comes in   what the push is about, the patient, the agreement, the patient's chart.
//! Goes out   resources as read, byte for byte: what belongs to the push, and what that refers to,
//!            forward, as far as *shape* permits; and by what each belongs.
//! Never      a search that is not scoped to one patient; never a read of a type that the
//!            agreement does not know.
//!
//! The patient's records are read type by type and told apart here (`exchange::payload`), since no
//! EHR must search by encounter, and what is linked late or not at all must be found all the same.

mod encounter;
mod follow;
mod history;
mod results;

use crate::source::chart::Chart;
use crate::source::{Source, at_once};
use crate::surroundings;
use exchange::payload::{Kind, Topic};
use exchange::shape::{Audience, Collected};
use exchange::{Code, Issue};
use fhir::Resource;
use std::collections::BTreeSet;

/// Collects what a push is about, for one payer.
pub async fn collect(
    chart: &Chart,
    topic: &Topic,
    audience: &Audience<'_>,
) -> Result<Collected, Issue> {
    let subject = record(chart, topic).await?;
    let mut collected = Collected::default();
    for coverage in audience.own_coverages {
        let id = coverage.strip_prefix("Coverage/").unwrap_or(coverage);
        match chart.read("Coverage", id).await? {
            Some(coverage) => collected.found.push(coverage),
            None => drop(collected.missing.insert(coverage.clone())),
        }
    }
    match topic.kind {
        Kind::Encounter => encounter::gather(chart, &subject, audience, &mut collected).await?,
        Kind::Results => results::gather(&subject, &mut collected),
        Kind::History => {
            history::gather(chart, topic, subject, audience, &mut collected).await?;
        }
    }
    follow::follow(chart, audience, &mut collected).await?;
    surroundings::know(chart, &mut collected, audience).await?;
    Ok(collected)
}

/// The record that a push is about.
///
/// Errors: `EncounterUnknown`, `SubjectUnknown`.
pub async fn record(source: &dyn Source, topic: &Topic) -> Result<Resource, Issue> {
    let unknown = || match topic.kind {
        Kind::Encounter => Issue::new(Code::EncounterUnknown, "the EHR holds no such encounter"),
        kind => {
            let detail = format!("the EHR holds no such {}", kind.record());
            Issue::new(Code::SubjectUnknown, detail)
        }
    };
    source.read(topic.kind.record(), &topic.id).await?.ok_or_else(unknown)
}

/// All of the patient's records of these types.
pub(crate) async fn of_types(
    chart: &Chart,
    types: &BTreeSet<&str>,
    patient: &str,
) -> Result<Vec<Resource>, Issue> {
    let asked = types.iter().map(|kind| chart.of_patient(kind, patient)).collect();
    let found = at_once(asked).await?;
    Ok(found.iter().flat_map(|found| found.iter().cloned()).collect())
}

/// Types that are asked of the chart for an encounter.
fn asked<'a>(audience: &Audience<'a>) -> BTreeSet<&'a str> {
    let types = audience.terms.agreement.encounter.types.iter();
    types.map(String::as_str).filter(|kind| !NOT_SEARCHED.contains(kind)).collect()
}

/// Types that some permit names for this purpose, as far as a chart is searched for them.
fn permitted<'a>(audience: &Audience<'a>) -> BTreeSet<&'a str> {
    let rows = audience.terms.agreement.permit.iter();
    let types = rows.flat_map(|permit| &permit.types).map(String::as_str);
    let may = |kind: &&str| audience.could_travel(&format!("{kind}/-")).is_ok();
    types.filter(|kind| !NOT_SEARCHED.contains(kind)).filter(may).collect()
}

/// Types that no patient's chart is searched for: the patient, the payer's own coverages, which
/// *scope* names, and what is read where something refers to it. Not `revisions::NOBODYS`: a patient's
/// Devices are searched for, and the Patient is no more searched for than a Practitioner.
pub(crate) const NOT_SEARCHED: [&str; 11] = [
    "Binary",
    "Coverage",
    "Endpoint",
    "HealthcareService",
    "Location",
    "Medication",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Provenance",
];
