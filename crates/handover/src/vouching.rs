//! Vouching: whether a door's signed metadata names the payer that a directory says is there.
//!
//! Comes in   a payer's public file, and the endpoint a directory names for it.
//! Goes out   whether a certificate of a community this house is in names both.
//! Never      takes a host for a payer: many payers share one. Never believes a certificate that names
//!            somebody else beside: a host of many payers may have one for all of them.
//!
//! Why names and not the community's word alone: a community vouches that whoever signs holds the
//! door's URL, and not whose door it is. A payer that moves gets a certificate with its old URL and the
//! new one, or with its namespace; then houses that know it follow by themselves.

use crate::communities;
use crate::config;
use crate::doors::partner_transport;
use crate::limits::{VOUCHED_KEEP, VOUCHED_KEPT_MAX, VOUCHED_NOT_KEEP};
use crate::live::Live;
use exchange::PartnerId;
use exchange::directory::Vouched;
use exchange::endpoint::Candidate;
use exchange::partner::PublicFile;
use jiff::Timestamp;
use provider::directory::Vouches;
use std::sync::{Arc, Mutex, PoisonError};
use wire::BoxFuture;

/// What was found of one endpoint.
struct Found {
    payer: PartnerId,
    address: String,
    vouched: bool,
    until: Timestamp,
}

/// The communities of a house, as those who vouch.
pub struct SignedMetadata {
    live: Arc<Live>,
    config: Arc<config::House>,
    /// So that not every push asks again.
    found: Mutex<Vec<Found>>,
}

impl SignedMetadata {
    /// Of a house.
    pub fn new(live: &Arc<Live>, config: &Arc<config::House>) -> SignedMetadata {
        let (live, config) = (Arc::clone(live), Arc::clone(config));
        SignedMetadata { live, config, found: Mutex::default() }
    }

    fn known(&self, payer: &PublicFile, address: &str, now: Timestamp) -> Option<bool> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut same = found.iter().filter(|it| it.payer == payer.name && it.address == address);
        same.find(|it| now < it.until).map(|it| it.vouched)
    }

    fn keep(&self, payer: &PublicFile, address: &str, vouched: bool, now: Timestamp) {
        let keep = if vouched { VOUCHED_KEEP } else { VOUCHED_NOT_KEEP };
        let until = now.checked_add(keep).unwrap_or(now);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.retain(|it| it.payer != payer.name || it.address != address);
        if found.len() >= VOUCHED_KEPT_MAX {
            found.remove(0);
        }
        found.push(Found {
            payer: payer.name.clone(),
            address: address.to_owned(),
            vouched,
            until,
        });
    }

    async fn ask(&self, payer: &PublicFile, address: &str) -> bool {
        let agreed = payer.udap.as_ref().map(|udap| udap.community.as_str());
        let Ok(communities) = self.live.communities() else { return false };
        let Ok(transport) = partner_transport(&self.config, payer) else { return false };
        for community in communities {
            if agreed.is_some_and(|agreed| agreed != community.uri) {
                continue;
            }
            let uri = community.uri.clone();
            let clock = &self.live.clock;
            let looks = communities::looking(&self.config, address, community, &transport, clock);
            let Ok(client) = looks else { continue };
            match client.server_names().await {
                Ok(names) if names_payer(&names, address, payer) => return true,
                Ok(_) => tracing::info!(community = uri, "the certificate names no payer"),
                Err(error) => tracing::info!(community = uri, %error, "nobody vouches"),
            }
        }
        false
    }
}

impl Vouches for SignedMetadata {
    fn vouches<'a>(
        &'a self,
        payer: &'a PublicFile,
        endpoint: &'a Candidate,
    ) -> BoxFuture<'a, Option<Vouched>> {
        Box::pin(async move {
            let (address, now) = (&endpoint.address, self.live.clock.now());
            let vouched = match self.known(payer, address, now) {
                Some(vouched) => vouched,
                None => {
                    let vouched = self.ask(payer, address).await;
                    self.keep(payer, address, vouched, now);
                    vouched
                }
            };
            vouched.then_some(Vouched::SignedMetadata)
        })
    }
}

/// Whether the URIs of a certificate are those of an endpoint and of a payer, and nobody else's.
fn names_payer(names: &[String], address: &str, payer: &PublicFile) -> bool {
    let known = [payer.base_url.trim_end_matches('/'), payer.namespace.trim_end_matches('/')];
    let is_payer = |name: &&String| known.contains(&name.trim_end_matches('/'));
    let is_door = |name: &&String| name.trim_end_matches('/') == address;
    names.iter().any(|name| is_payer(&name))
        && names.iter().any(|name| is_door(&name))
        && names.iter().all(|name| is_payer(&name) || is_door(&name))
}

#[cfg(test)]
mod tests {
    //! Goal: only a certificate of this payer alone says that a door is the payer's.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_certificate_names_the_door_and_the_payer_and_nobody_else() {
        const OLD: &str = "https://plan.example/fhir";
        const NEW: &str = "https://new.plan.example/fhir";
        const NAMESPACE: &str = "https://ids.plan.example";
        let public = serde_json::json!({
            "name": "plan", "role": "payer", "title": "Plan", "base_url": OLD, "authority": "PEM",
            "namespace": NAMESPACE, "client_id": "plan", "ledger_key": "07".repeat(32),
            "jwks": wire::SigningKey::generate().unwrap().jwks(),
        });
        let payer: PublicFile = serde_json::from_value(public).unwrap();
        let table: [(&str, &[&str], bool); 8] = [
            ("old and new", &[OLD, NEW], true),
            ("the namespace and new", &[NAMESPACE, NEW], true),
            ("all three", &[NEW, NAMESPACE, OLD], true),
            ("new alone: a community's member, and not which", &[NEW], false),
            ("old alone", &[OLD], false),
            ("another member beside", &[OLD, NEW, "https://other.example/fhir"], false),
            ("a path below the payer's", &["https://plan.example/fhir/other", NEW], false),
            ("none", &[], false),
        ];
        for (case, names, expected) in table {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(names_payer(&names, NEW, &payer), expected, "{case}");
        }
    }
}
