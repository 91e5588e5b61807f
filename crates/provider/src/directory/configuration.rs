//! Configuration: `.well-known/davinci-configuration`, where a payer hints at its base URLs (HRex).
//!
//! Comes in   the place of the document, from the table of payers.
//! Goes out   its endpoints, as a listing.
//! Never      signs in to fetch it, and never follows a redirect.

use super::Directory;
use super::national::{away, refused};
use exchange::Issue;
use exchange::endpoint::{Listing, Sought, read_configuration};
use jiff::Timestamp;
use std::sync::Arc;
use wire::{BoxFuture, FhirClient, Transport};

/// Reads such documents.
pub struct Configuration {
    /// As lists call it.
    pub name: String,
    /// Plain TLS, no client certificate.
    pub transport: Arc<dyn Transport>,
}

impl Directory for Configuration {
    fn find<'a>(
        &'a self,
        sought: &'a Sought,
        _: Timestamp,
    ) -> BoxFuture<'a, Result<Listing, Issue>> {
        Box::pin(async move {
            let Some(place) = &sought.configuration else { return Ok(Listing::default()) };
            let client = FhirClient::new(place, Arc::clone(&self.transport), None);
            let answer =
                client.get_absolute(place).await.map_err(|error| away(&self.name, &error))?;
            match answer.status().as_u16() {
                200 => {}
                404 | 410 => return Ok(Listing::default()),
                status => return Err(refused(&self.name, status)),
            }
            Ok(read_configuration(&answer.into_body(), sought).unwrap_or_else(|why| Listing {
                notes: vec![format!("the configuration of the payer cannot be used: {why}")],
                ..Listing::default()
            }))
        })
    }
}
