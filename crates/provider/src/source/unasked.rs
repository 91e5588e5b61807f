//! Unasked: in the place of the EHR while a command is carried out that asks none.
//!
//! Comes in   nothing that should.
//! Goes out   an issue.
//! Never      an answer, as if there were no chart.

use super::offer::Offer;
use super::{Read, Source};
use exchange::{Code, Issue};
use fhir::Resource;
use std::sync::Arc;
use wire::BoxFuture;

/// No EHR.
pub struct Unasked;

fn refuse<T>() -> Result<T, Issue> {
    Err(Issue::new(Code::InternalError, "the EHR was asked by a command that needs none"))
}

impl Source for Unasked {
    fn base_url(&self) -> &str {
        ""
    }

    fn fetch<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Read, Issue>> {
        Box::pin(async { refuse() })
    }

    fn try_search<'a>(
        &'a self,
        _: &'a str,
        _: &'a [(&'a str, &'a str)],
    ) -> BoxFuture<'a, Result<Option<Vec<Resource>>, Issue>> {
        Box::pin(async { refuse() })
    }

    fn offer(&self) -> BoxFuture<'_, Result<Arc<Offer>, Issue>> {
        Box::pin(async { refuse() })
    }
}
