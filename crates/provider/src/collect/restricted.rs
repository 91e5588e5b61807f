//! Restricted: what of the chart belongs to encounters that a restriction keeps from this payer.
//!
//! Comes in   the table of restrictions, the patient's chart.
//! Goes out   the restricted encounters, and what belongs to them without naming them.
//! Never      asks the chart for anything where nothing of the patient's is restricted.
//!
//! Why the whole chart: what only a restricted visit refers to, and a result that names no visit but
//! is of its order or its hour, is restricted with it, whichever push would lead there. The same
//! types are looked at for every kind of push, so that all of them say the same.

use super::{asked, encounter, permitted};
use crate::source::chart::Chart;
use crate::source::us_core;
use exchange::Issue;
use exchange::shape::{Audience, Collected};
use std::collections::BTreeSet;

pub(super) async fn look(
    chart: &Chart,
    audience: &Audience<'_>,
    collected: &mut Collected,
) -> Result<(), Issue> {
    let (restrictions, payer) = (audience.restrictions, audience.payer());
    if !restrictions.any_encounter(payer) {
        return Ok(());
    }
    let mut own = us_core::of_patient(chart, "Encounter", audience.patient).await?;
    own.retain(|visit| restrictions.names(&visit.local_reference(), payer));
    if own.is_empty() {
        return Ok(());
    }
    let mut types: BTreeSet<&str> = asked(audience).union(&permitted(audience)).copied().collect();
    types.remove("Encounter");
    let membership = encounter::membership(chart, &types, audience.patient).await?;
    let ids = own.iter().filter_map(|visit| visit.id().map(str::to_owned)).collect();
    collected.notes.of_restricted = membership.unnamed_of(&ids);
    collected.restricted = own;
    Ok(())
}
