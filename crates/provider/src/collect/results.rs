//! Results: a report; all else of it is named by the report, and followed.
//!
//! Comes in   the report.
//! Goes out   the report as the one thing asked for.
//! Never      a search: what a report does not name is no part of it.

use exchange::shape::Collected;
use fhir::Resource;

pub(super) fn gather(report: &Resource, collected: &mut Collected) {
    collected.found.push(report.clone());
}
