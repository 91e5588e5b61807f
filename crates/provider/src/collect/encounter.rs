//! Encounter: the encounter, and what belongs to it by link, order or date.
//!
//! Comes in   the encounter, the patient's chart.
//! Goes out   its members, each with the word for why it is one.
//! Never      a member of another encounter only.

use super::{asked, of_types};
use crate::source::Source;
use crate::source::chart::Chart;
use exchange::Issue;
use exchange::payload::encounter::Membership;
use exchange::shape::{Audience, Collected};
use fhir::Resource;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) async fn gather(
    chart: &Chart,
    encounter: &Resource,
    audience: &Audience<'_>,
    collected: &mut Collected,
) -> Result<(), Issue> {
    let id = encounter.id().unwrap_or_default();
    let mut types = asked(audience);
    types.remove("Encounter");
    let membership = membership(chart, &types, audience.patient).await?;
    for one in of_types(chart, &types, audience.patient).await? {
        if let Some(belongs) = membership.belongs(id, &one.local_reference()) {
            collected.notes.belongs.insert(one.local_reference(), belongs);
            collected.found.push(one);
        }
    }
    collected.found.push(encounter.clone());
    Ok(())
}

/// What belongs to which of the patient's encounters, among records of these types: worked out once
/// for a chart.
pub(super) async fn membership(
    chart: &Chart,
    types: &BTreeSet<&str>,
    patient: &str,
) -> Result<Arc<Membership>, Issue> {
    let key = types.iter().copied().collect::<Vec<_>>().join(",");
    chart
        .membership(key, async {
            let encounters = chart.of_patient("Encounter", patient).await?;
            let others = of_types(chart, types, patient).await?;
            Ok(Membership::of(&encounters, &others, chart.base_url()))
        })
        .await
}
