//! Collect: what does the chart hold that this payer may see?
//!
//! Comes in   the encounter, the patient, the agreement.
//! Goes out   resources as read, byte for byte: the encounter, what belongs to it, and what those
//!            refer to, forward, as far as *shape* permits.
//! Never      a search that is not scoped to one patient; never a read of a type that the
//!            agreement does not know.

use crate::limits::{CHART_RESOURCES_MAX, SOURCE_REQUESTS_MAX};
use crate::scope::encounter;
use crate::source::Source;
use crate::surroundings;
use exchange::shape::{self, Audience, Collected};
use exchange::{Code, Issue};
use fhir::Resource;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeSet;
use wire::BoxFuture;

/// Types whose R4 search knows no `encounter` parameter: asked by patient, told apart by link.
const BY_PATIENT: [&str; 2] = ["AllergyIntolerance", "Immunization"];

/// Collects for one encounter and one payer.
pub async fn collect(
    source: &dyn Source,
    subject: &str,
    audience: &Audience<'_>,
) -> Result<Collected, Issue> {
    let encounter = encounter(source, subject).await?;
    let id = encounter.id().unwrap_or_default();
    let types = &audience.terms.agreement.encounter.types;
    let asked: Vec<BoxFuture<'_, _>> = types
        .iter()
        .map(|kind| Box::pin(belonging(source, kind, audience.patient, id)) as BoxFuture<'_, _>)
        .collect();
    let asked = stream::iter(asked).buffered(SOURCE_REQUESTS_MAX);
    let mut found: Vec<Resource> = asked.try_concat().await?;
    found.push(encounter.clone());
    let mut collected = Collected::default();
    for coverage in audience.own_coverages {
        let id = coverage.strip_prefix("Coverage/").unwrap_or(coverage);
        match source.read("Coverage", id).await? {
            Some(coverage) => found.push(coverage),
            None => drop(collected.missing.insert(coverage.clone())),
        }
    }
    let (restrictions, payer) = (audience.restrictions, audience.payer());
    if restrictions.any_encounter(payer) {
        // What only a restricted visit refers to is restricted with it, whatever else leads there.
        let mut own = source.search("Encounter", &[("patient", audience.patient)]).await?;
        own.retain(|visit| restrictions.names(&visit.local_reference(), payer));
        collected.restricted = own;
    }
    let mut fresh = found.clone();
    let mut seen: BTreeSet<String> = found.iter().map(Resource::local_reference).collect();
    collected.found = found;
    while !fresh.is_empty() {
        let mut wanted = Vec::new();
        for resource in fresh.drain(..) {
            if shape::judge(&resource, audience).is_err() {
                continue;
            }
            for (kind, id) in shape::references_to_follow(&resource, source.base_url()) {
                let reference = format!("{kind}/{id}");
                if audience.could_travel(&reference).is_ok() && seen.insert(reference) {
                    wanted.push((kind, id));
                }
            }
        }
        let reads: Vec<BoxFuture<'_, _>> =
            wanted.iter().map(|(kind, id)| source.read(kind, id)).collect();
        let reads: Vec<_> = stream::iter(reads).buffered(SOURCE_REQUESTS_MAX).try_collect().await?;
        for ((kind, id), found) in wanted.iter().zip(reads) {
            match found {
                Some(resource) => fresh.push(resource),
                None => drop(collected.missing.insert(format!("{kind}/{id}"))),
            }
        }
        collected.followed.extend(fresh.iter().cloned());
        if seen.len() > CHART_RESOURCES_MAX {
            let detail = "an encounter's data are more than a push can hold";
            return Err(Issue::new(Code::SourceUnreadable, detail));
        }
    }
    surroundings::know(source, &mut collected, audience).await?;
    Ok(collected)
}

/// All of one type that belongs to the encounter, by a patient-scoped search. The link is looked at
/// here as well: some servers pass over parameters they do not know, and answer the whole chart.
async fn belonging(
    source: &dyn Source,
    kind: &str,
    patient: &str,
    encounter: &str,
) -> Result<Vec<Resource>, Issue> {
    let mut parameters = vec![("patient", patient)];
    if !BY_PATIENT.contains(&kind) {
        parameters.push(("encounter", encounter));
    }
    let mut all = source.search(kind, &parameters).await?;
    let wanted = ("Encounter".to_owned(), encounter.to_owned());
    all.retain(|resource| {
        shape::references_to_follow(resource, source.base_url()).contains(&wanted)
    });
    Ok(all)
}
