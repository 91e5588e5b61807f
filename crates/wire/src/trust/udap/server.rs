//! Server: what a receiving house is to clients that sign in by UDAP.
//!
//! Comes in   its base URL, its communities, where registrations are kept.
//! Goes out   metadata, answers to registrations, proved token requests.
//! Never      offers what it does not do: no authorization codes, no certifications, no users.
//!
//! The requests are in files of their own: `metadata`, `register`, `request`.

use super::REGISTRATION_PATH;
use super::identity::{Community, Identity};
use super::registry::Registry;
use crate::clock::Clock;
use crate::trust::oauth::Refused;
use crate::trust::smart::replay::Replay;
use exchange::{Code, Issue};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The UDAP workflows of one house.
pub struct Udap {
    pub(super) base_url: String,
    pub(super) communities: Vec<Community>,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) replay: Arc<dyn Replay>,
    pub(super) clock: Arc<dyn Clock>,
    /// Signed metadata by community.
    pub(super) signed: Mutex<BTreeMap<String, Signed>>,
}

/// Metadata as it was signed.
pub(super) struct Signed {
    pub(super) jwt: String,
    /// Until when it is given out.
    pub(super) until: Timestamp,
    /// In whose certificate.
    pub(super) by: Arc<Identity>,
}

impl Udap {
    /// The workflows at this base URL (no trailing slash needed). The first community is the one
    /// whose certificate signs for those who name none.
    ///
    /// Errors: `ConfigInvalid` without a community, or with two of one URI; `KeyUnusable` for a
    /// certificate that does not name the base URL or whose key does not sign RS256 (FAST Security,
    /// discovery).
    pub fn new(
        base_url: &str,
        communities: Vec<Community>,
        registry: Arc<dyn Registry>,
        replay: Arc<dyn Replay>,
        clock: Arc<dyn Clock>,
    ) -> Result<Udap, Issue> {
        let base_url = base_url.trim_end_matches('/').to_owned();
        if communities.is_empty() {
            return Err(Issue::new(Code::ConfigInvalid, "UDAP needs a community"));
        }
        for (place, community) in communities.iter().enumerate() {
            let twice = communities[..place].iter().any(|other| other.uri == community.uri);
            if twice {
                return Err(Issue::new(Code::ConfigInvalid, "two communities have the same URI"));
            }
            community.identity().serves(&base_url).map_err(|issue| issue.at(&*community.uri))?;
        }
        let signed = Mutex::default();
        Ok(Udap { base_url, communities, registry, replay, clock, signed })
    }

    /// Where clients register.
    pub fn registration_endpoint(&self) -> String {
        format!("{}{REGISTRATION_PATH}", self.base_url)
    }

    /// Where registered clients get tokens.
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.base_url)
    }

    /// Remembers a `jti`; one memory for statements and authentication tokens of a client.
    pub(super) async fn first_use(
        &self,
        community: &str,
        uri: &str,
        (jti, until): (&str, Timestamp),
    ) -> Result<bool, Refused> {
        let scope = format!("udap {community} {uri}");
        self.replay.first_use(&scope, jti, until).await.map_err(|issue| {
            tracing::error!(%issue, "replay check");
            Refused::later("the request cannot be checked now")
        })
    }
}
