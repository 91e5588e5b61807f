//! Source: where charts are read.
//!
//! Comes in   a type, an id, search parameters; always scoped to one patient or one record.
//! Goes out   resources as the source sent them, byte for byte; all pages or an issue.
//! Never      writes to the source, and never answers half a search as if it were whole.

pub mod chart;
pub mod ehr;
pub(crate) mod number;
pub mod offer;
pub mod roles;
pub mod room;
pub mod unasked;
pub mod us_core;
mod whole;

use crate::limits::SOURCE_REQUESTS_MAX;
use exchange::{Code, Issue};
use fhir::Resource;
use futures_util::{StreamExt, TryStreamExt, stream};
use offer::Offer;
use std::sync::Arc;
use std::time::Duration;
use wire::BoxFuture;

/// What came of reading one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// As the source holds it.
    Found(Resource),
    /// The source does not hold it (any more).
    Missing,
    /// It is there, and larger than this house reads.
    TooLarge,
}

/// Asks for several things at the same time, as many as the source bears. The answers come in the order
/// in which they were asked for; or the first issue.
pub(crate) async fn at_once<T, F: Future<Output = Result<T, Issue>>>(
    asked: Vec<F>,
) -> Result<Vec<T>, Issue> {
    stream::iter(asked).buffered(SOURCE_REQUESTS_MAX).try_collect().await
}

/// A system that holds charts.
pub trait Source: Send + Sync {
    /// Base URL by which the source's absolute references begin.
    fn base_url(&self) -> &str;

    /// One record.
    fn fetch<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<Read, Issue>>;

    /// One record; `None` when the source does not hold it.
    ///
    /// Errors: `SourceUnreadable` where it is larger than this house reads.
    fn read<'a>(
        &'a self,
        kind: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Resource>, Issue>> {
        Box::pin(async move {
            match self.fetch(kind, id).await? {
                Read::Found(resource) => Ok(Some(resource)),
                Read::Missing => Ok(None),
                Read::TooLarge => {
                    let detail = format!("a {kind} of the EHR is larger than this house reads");
                    Err(Issue::new(Code::SourceUnreadable, detail))
                }
            }
        })
    }

    /// Every record that fits, from all pages; `None` where the source does not take such a search.
    fn try_search<'a>(
        &'a self,
        kind: &'a str,
        parameters: &'a [(&'a str, &'a str)],
    ) -> BoxFuture<'a, Result<Option<Vec<Resource>>, Issue>>;

    /// Every record that fits, from all pages.
    ///
    /// Errors: `SourceUnreadable` where the source does not take such a search.
    fn search<'a>(
        &'a self,
        kind: &'a str,
        parameters: &'a [(&'a str, &'a str)],
    ) -> BoxFuture<'a, Result<Vec<Resource>, Issue>> {
        Box::pin(async move {
            let found = self.try_search(kind, parameters).await?;
            found.ok_or_else(|| {
                let detail = format!("the EHR refuses a search for {kind} that it must offer");
                Issue::new(Code::SourceUnreadable, detail)
            })
        })
    }

    /// What the source says that it offers, beyond what it must.
    fn offer(&self) -> BoxFuture<'_, Result<Arc<Offer>, Issue>>;

    /// How long the source has asked to be left alone; zero when it has not.
    fn rest(&self) -> Duration {
        Duration::ZERO
    }
}
