//! Surroundings: what of a patient's chart is read beside the push, so that *shape* can judge it.
//!
//! Comes in   what was collected, and the audience.
//! Goes out   the patient's other records of the types that *shape* names, none of which is sent.
//! Never      a search that is not scoped to the patient; nothing where no question needs it.

use crate::limits::SOURCE_REQUESTS_MAX;
use crate::source::chart::Chart;
use exchange::Issue;
use exchange::shape::{self, Audience, Collected};
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
    let mut read: BTreeSet<&'static str> = BTreeSet::new();
    // Twice at most: the patient's encounters first, then what they make necessary.
    loop {
        let wanted: Vec<&'static str> =
            shape::types_to_know(collected, audience).difference(&read).copied().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let ask = |kind| chart.of_patient(kind, audience.patient);
        let searches: Vec<BoxFuture<'_, _>> =
            wanted.iter().map(|kind| Box::pin(ask(*kind)) as BoxFuture<'_, _>).collect();
        let found: Vec<Arc<[Resource]>> =
            stream::iter(searches).buffered(SOURCE_REQUESTS_MAX).try_collect().await?;
        collected.known.extend(found.iter().flat_map(|found| found.iter().cloned()));
        read.extend(wanted);
    }
}
