//! Bulk: what a sender's public file says of its bulk submissions.
//!
//! Comes in   origins of file servers, and identifiers of submitters.
//! Goes out   nothing, or which of both cannot be used.
//! Never      takes an origin that is reached without TLS, but on loopback.

use super::{PublicFile, PublicIdentifier, is_loopback, visible};
use crate::limits::{PUBLIC_IDENTIFIERS_MAX, PUBLIC_WORDS_MAX};

impl PublicFile {
    /// Where a sender's files may be, and whom it may name.
    pub(super) fn check_bulk(&self) -> Result<(), (&'static str, &'static str)> {
        let safe = |url: &String| url.starts_with("https://") || is_loopback(url);
        let good = |url: &String| safe(url) && visible(url) && url.len() <= PUBLIC_WORDS_MAX;
        if self.file_servers.len() > PUBLIC_IDENTIFIERS_MAX || !self.file_servers.iter().all(good) {
            let detail = "file servers are at most 100 origins that begin with https://, or with http:// on \
                loopback";
            return Err(("file_servers", detail));
        }
        let fits = |one: &PublicIdentifier| {
            [&one.system, &one.value].iter().all(|text| text.len() <= PUBLIC_WORDS_MAX)
        };
        match self.submitters.len() <= PUBLIC_IDENTIFIERS_MAX && self.submitters.iter().all(fits) {
            true => Ok(()),
            false => Err(("submitters", "at most 100 identifiers, each a system and a value")),
        }
    }
}
