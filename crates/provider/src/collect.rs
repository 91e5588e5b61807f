//! Collect: what does the chart hold that this payer may see?
//!
//! Comes in   the encounter, the patient, the agreement.
//! Goes out   resources as read, byte for byte: the encounter, what belongs to it, and what those
//!            refer to, forward, as far as *shape* permits.
//! Never      a search that is not scoped to one patient; never a read of a type that the
//!            agreement does not know.

use crate::limits::{CHART_RESOURCES_MAX, SOURCE_REQUESTS_MAX};
use crate::source::Source;
use exchange::shape::{self, Missing, View};
use exchange::{Code, Issue};
use fhir::Resource;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};

/// What was collected, and what was referred to but not read.
pub struct Collected {
    /// Resources as read, in the order of their references.
    pub resources: Vec<Resource>,
    /// References that were not followed to a resource, and why.
    pub missing: Vec<(String, Missing)>,
}

/// Types whose R4 search knows no `encounter` parameter: asked by patient, told apart by link.
const BY_PATIENT: [&str; 1] = ["Immunization"];

/// Collects for one encounter and one payer.
pub async fn collect(
    source: &dyn Source,
    encounter: &Resource,
    patient: &str,
    coverages: &[Resource],
    view: &View<'_>,
) -> Result<Collected, Issue> {
    let id = encounter.id().unwrap_or_default();
    let types = &view.terms.agreement.encounter.types;
    let asked = stream::iter(types)
        .map(|kind| belonging(source, kind, patient, id))
        .buffered(SOURCE_REQUESTS_MAX);
    let mut fresh: Vec<Resource> = asked.try_concat().await?;
    fresh.push(encounter.clone());
    fresh.extend(coverages.iter().cloned());

    let mut resources = BTreeMap::new();
    let mut missing = BTreeMap::new();
    while !fresh.is_empty() {
        let mut wanted = BTreeSet::new();
        for resource in fresh.drain(..) {
            if resources.contains_key(&resource.local_reference()) {
                continue;
            }
            if shape::judge(&resource, view).is_ok() {
                wanted.extend(shape::references_to_follow(&resource, source.base_url()));
            }
            resources.insert(resource.local_reference(), resource);
        }
        wanted.retain(|(kind, id)| {
            let reference = format!("{kind}/{id}");
            !resources.contains_key(&reference) && !missing.contains_key(&reference)
        });
        let (known, unknown): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|(kind, _)| view.terms.knows(kind));
        let not_read = |(kind, id)| (format!("{kind}/{id}"), Missing::NotAgreed);
        missing.extend(unknown.into_iter().map(not_read));
        let read: Vec<_> = stream::iter(known)
            .map(|(kind, id)| async move {
                let found = source.read(&kind, &id).await?;
                Ok::<_, Issue>((format!("{kind}/{id}"), found))
            })
            .buffered(SOURCE_REQUESTS_MAX)
            .try_collect()
            .await?;
        for (reference, found) in read {
            match found {
                Some(resource) => fresh.push(resource),
                None => drop(missing.insert(reference, Missing::NotFound)),
            }
        }
        if resources.len() + fresh.len() > CHART_RESOURCES_MAX {
            let detail = "an encounter's data are more than a push can hold";
            return Err(Issue::new(Code::SourceUnreadable, detail));
        }
    }
    Ok(Collected {
        resources: resources.into_values().collect(),
        missing: missing.into_iter().collect(),
    })
}

/// All of one type that belongs to the encounter, by a patient-scoped search.
async fn belonging(
    source: &dyn Source,
    kind: &str,
    patient: &str,
    encounter: &str,
) -> Result<Vec<Resource>, Issue> {
    if BY_PATIENT.contains(&kind) {
        let mut all = source.search(kind, &[("patient", patient)]).await?;
        let wanted = format!("Encounter/{encounter}");
        all.retain(|resource| shape::encounters(resource, source.base_url()).contains(&wanted));
        return Ok(all);
    }
    source.search(kind, &[("patient", patient), ("encounter", encounter)]).await
}
