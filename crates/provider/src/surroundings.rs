//! Surroundings: what of a patient's chart is read beside the push, so that *shape* can judge it.
//!
//! Comes in   what was collected, and the audience.
//! Goes out   the patient's other records of the types that *shape* names, the results and members that
//!            those list, and the coverages with whatever payer; none of them is sent.
//! Never      a search that is not scoped to the patient.
//!
//! EHRs need find an Observation only by its category, so that one without a category comes to light
//! where a report or a panel lists it, and nowhere else.

use crate::collect::of_types;
use crate::limits::CHART_RESOURCES_MAX;
use crate::scope;
use crate::source::chart::Chart;
use crate::source::{Read, Source, at_once};
use exchange::shape::{self, Audience, Collected};
use exchange::{Code, Issue};
use std::collections::BTreeSet;

/// Reads what *shape* must know of the chart into `Collected::known`.
pub async fn know(
    chart: &Chart,
    collected: &mut Collected,
    audience: &Audience<'_>,
) -> Result<(), Issue> {
    let types = shape::types_to_know(audience);
    collected.known.extend(of_types(chart, &types, audience.patient).await?);
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
        let reads = named.map(|(kind, id)| chart.fetch(kind, id)).collect();
        for read in at_once(reads).await? {
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
