//! Results: what a report is part of, and when it was.
//!
//! Comes in   a DiagnosticReport of the chart.
//! Goes out   whose it is, and its clinical day.
//! Never      asks the chart for anything by a search: a report names its results (`result`,
//!            `hasMember`, `derivedFrom`), its specimens, its order, who performed it and, as
//!            context, its encounter; *collect* follows what it names.
//!
//! A report goes whatever its status: a preliminary one is a first revision of the dossier, the final
//! or corrected one the next; a cancelled one says so itself.

use crate::days::clinical_days;
use fhir::Resource;
use jiff::civil::Date;

/// The day a report is counted by: of its specimen or observation, else of its issue.
pub fn day(report: &Resource) -> Option<Date> {
    clinical_days(report).map(|days| days.first)
}
