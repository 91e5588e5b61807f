//! Pinned: endpoints named in the partners' public files, which people exchanged.
//!
//! Comes in   the base URLs of the configuration.
//! Goes out   the same.
//! Never      an endpoint nobody has put there.

use super::Directory;
use exchange::{Code, Issue, PartnerId};
use std::collections::BTreeMap;
use wire::BoxFuture;

/// Endpoints by payer.
pub struct Pinned(pub BTreeMap<PartnerId, String>);

impl Directory for Pinned {
    fn find<'a>(&'a self, payer: &'a PartnerId) -> BoxFuture<'a, Result<String, Issue>> {
        let found = self.0.get(payer).cloned();
        Box::pin(async move {
            let missing =
                || Issue::new(Code::PartnerUnknown, format!("no partner is named {payer}"));
            found.ok_or_else(missing)
        })
    }
}
