//! History: everything of the permitted types that lies in the window.
//!
//! Comes in   the patient, the date asked for, the agreement, the payer's own coverages.
//! Goes out   what is inside as asked for; what is outside as something that travels only where what
//!            is inside refers to it.
//! Never      passes over what is outside: it is decided on by a rule of its own.

use super::{of_types, permitted};
use crate::source::chart::Chart;
use exchange::Issue;
use exchange::payload::Topic;
use exchange::payload::history::Window;
use exchange::shape::{Audience, Collected};
use fhir::Resource;

pub(super) async fn gather(
    chart: &Chart,
    topic: &Topic,
    patient: Resource,
    audience: &Audience<'_>,
    collected: &mut Collected,
) -> Result<(), Issue> {
    let content = &audience.terms.agreement.history;
    let window = Window::of(topic.since, content, &collected.found, audience.on);
    for one in of_types(chart, &permitted(audience), audience.patient).await? {
        if window.holds(&one) {
            collected.found.push(one);
        } else {
            collected.notes.outside.insert(one.local_reference());
            collected.followed.push(one);
        }
    }
    collected.found.push(patient);
    Ok(())
}
