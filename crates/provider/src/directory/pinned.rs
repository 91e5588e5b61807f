//! Pinned: endpoints named in the partners' public files, which people exchanged.
//!
//! Comes in   the base URLs of the configuration.
//! Goes out   the same.
//! Never      an endpoint nobody has put there.

use super::Directory;
use exchange::endpoint::{Candidate, Listing, Sought};
use exchange::{Issue, PartnerId};
use jiff::Timestamp;
use std::collections::BTreeMap;
use wire::BoxFuture;

/// What lists call the organization of a public file.
const HERE: &str = "public file";

/// Endpoints by payer.
pub struct Pinned(pub BTreeMap<PartnerId, String>);

impl Directory for Pinned {
    fn find<'a>(
        &'a self,
        sought: &'a Sought,
        _: Timestamp,
    ) -> BoxFuture<'a, Result<Listing, Issue>> {
        let found = sought.payer.as_ref().and_then(|payer| Some((payer, self.0.get(payer)?)));
        let listing = found.map(|(payer, base_url)| Listing {
            payers: vec![(HERE.to_owned(), "its public file".to_owned())],
            candidates: vec![Candidate {
                id: format!("partners/{payer}.json"),
                address: base_url.trim_end_matches('/').to_owned(),
                status: "active".to_owned(),
                connection: Some("hl7-fhir-rest".to_owned()),
                managing: Some(HERE.to_owned()),
                ..Candidate::default()
            }],
            ..Listing::default()
        });
        Box::pin(async move { Ok(listing.unwrap_or_default()) })
    }
}
