//! Carriage: how this house reaches a payer's door, wherever a directory says that it is.
//!
//! Comes in   a base URL that was found, and vouched for.
//! Goes out   a client that signs in there with this house's credential.
//! Never      decides whether the base URL is the payer's.

use exchange::{Code, Issue};
use std::sync::Arc;
use wire::FhirClient;

/// Makes clients for one payer's doors.
pub trait Carriage: Send + Sync {
    /// A client for the door at a base URL, without a slash at its end. The same base URL gets the same
    /// client, so that its token and its connections are kept.
    ///
    /// Errors: `KeyUnusable`, `PayerUntrusted`.
    fn client(&self, base_url: &str) -> Result<Arc<FhirClient>, Issue>;
}

/// A door that is at one place only: a client that was made before.
pub struct Fixed(pub Arc<FhirClient>);

impl Carriage for Fixed {
    fn client(&self, base_url: &str) -> Result<Arc<FhirClient>, Issue> {
        if self.0.base_url() == base_url {
            return Ok(Arc::clone(&self.0));
        }
        let detail = "the directory names another endpoint than the one this house signs in to";
        Err(Issue::new(Code::PayerUntrusted, detail).at("base_url"))
    }
}
