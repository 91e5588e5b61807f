//! Source: where charts are read.
//!
//! Comes in   a type, an id, search parameters; always scoped to one patient or one record.
//! Goes out   resources as the source sent them, byte for byte; all pages or an issue.
//! Never      writes to the source, and never answers half a search as if it were whole.

pub mod chart;
pub mod ehr;

use exchange::Issue;
use fhir::Resource;
use wire::BoxFuture;

/// A system that holds charts.
pub trait Source: Send + Sync {
    /// Base URL by which the source's absolute references begin.
    fn base_url(&self) -> &str;

    /// One record; `None` when the source does not hold it.
    fn read<'a>(
        &'a self,
        kind: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Resource>, Issue>>;

    /// Every record that fits, from all pages.
    fn search<'a>(
        &'a self,
        kind: &'a str,
        parameters: &'a [(&'a str, &'a str)],
    ) -> BoxFuture<'a, Result<Vec<Resource>, Issue>>;
}
