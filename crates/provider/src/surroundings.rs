//! Surroundings: what of a patient's chart is read beside the push, so that *shape* can judge it.
//!
//! Comes in   what was collected, and the audience.
//! Goes out   the patient's other records of the types that *shape* names, the results and members that
//!            those list, and the coverages with whatever payer; none of them is sent.
//! Never      a search that is not scoped to the patient.
//!
//! EHRs need find an Observation only by its category, so that one without a category comes to light
//! where a report or a panel lists it, and nowhere else.

use crate::limits::{CHART_RESOURCES_MAX, SOURCE_REQUESTS_MAX};
use crate::scope;
use crate::source::Read;
use crate::source::Source;
use crate::source::chart::Chart;
use exchange::shape::{self, Audience, Collected};
use exchange::{Code, Issue};
use fhir::Resource;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::BoxFuture;

/// Reads what *shape* must know of the chart into `Collected::known`.
pub async fn know(
    chart: &Chart,
    collected: &mut Collected,
    audience: &Audience<'_>,
) -> Result<(), Issue> {
    let ask = |kind| chart.of_patient(kind, audience.patient);
    let searches: Vec<BoxFuture<'_, _>> = shape::types_to_know(audience)
        .into_iter()
        .map(|kind| Box::pin(ask(kind)) as BoxFuture<'_, _>)
        .collect();
    let found: Vec<Arc<[Resource]>> =
        stream::iter(searches).buffered(SOURCE_REQUESTS_MAX).try_collect().await?;
    collected.known.extend(found.iter().flat_map(|found| found.iter().cloned()));
    // *Scope* has read them already.
    collected.known.extend(scope::coverages(chart, audience.patient).await?.0);
    listed(chart, collected, audience).await
}

/// What reports and panels list, and what those list, until nothing new is found.
async fn listed(
    chart: &Chart,
    collected: &mut Collected,
    audience: &Audience<'_>,
) -> Result<(), Issue> {
    let mut asked: BTreeSet<String> = BTreeSet::new();
    loop {
        let mut wanted = shape::records_to_know(collected, audience);
        wanted.retain(|reference| asked.insert(reference.clone()));
        if wanted.is_empty() {
            return Ok(());
        }
        if asked.len() > CHART_RESOURCES_MAX {
            let detail = "the reports of this chart list more than a push can hold";
            return Err(Issue::new(Code::SourceUnreadable, detail));
        }
        let named = wanted.iter().filter_map(|reference| reference.split_once('/'));
        let reads: Vec<BoxFuture<'_, _>> = named.map(|(kind, id)| chart.fetch(kind, id)).collect();
        let reads: Vec<Read> =
            stream::iter(reads).buffered(SOURCE_REQUESTS_MAX).try_collect().await?;
        for read in reads {
            match read {
                Read::Found(resource) => collected.known.push(resource),
                Read::Missing => {}
                Read::TooLarge => {
                    let detail = "a record of the EHR is larger than this house reads";
                    return Err(Issue::new(Code::SourceUnreadable, detail));
                }
            }
        }
    }
}
