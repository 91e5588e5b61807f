//! Directory: where a payer's door is said to be.
//!
//! Comes in   a payer's name in this house.
//! Goes out   the base URL of its door.
//! Never      checks the door: that is *route*'s work, whatever directory named it.

pub mod pinned;

use exchange::{Issue, PartnerId};
use wire::BoxFuture;

/// A place that knows endpoints.
pub trait Directory: Send + Sync {
    /// The payer's FHIR base URL.
    fn find<'a>(&'a self, payer: &'a PartnerId) -> BoxFuture<'a, Result<String, Issue>>;
}
