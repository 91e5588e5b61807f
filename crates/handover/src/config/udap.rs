//! `[udap]`: what a house is in UDAP's trust communities, as `house.toml` says it.
//!
//! Comes in   the table.
//! Goes out   the same, typed.
//! Never      reads a file that it names: `communities` does.

use serde::Deserialize;
use std::path::PathBuf;

/// `[udap]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UdapFile {
    /// The URI by which communities know the organization.
    pub organization_id: String,
    /// Its name in words; left out: the house's title.
    pub organization_name: Option<String>,
    /// How its people are reached: URIs, one `mailto:` at least.
    pub contacts: Vec<String>,
    /// The communities; the first one signs for those who name none.
    pub community: Vec<CommunityFile>,
}

/// `[[udap.community]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommunityFile {
    /// The community's URI.
    pub uri: String,
    /// PEM of its anchors.
    pub anchors: PathBuf,
    /// Lists of revoked certificates, one a file (PEM or DER).
    #[serde(default)]
    pub revoked: Vec<PathBuf>,
    /// Whether a certificate is refused for which no list in force speaks.
    #[serde(default)]
    pub revoked_required: bool,
    /// PEM of this house's certificate there, and what stands between it and an anchor.
    pub certificate: PathBuf,
    /// PEM of its key.
    pub key: PathBuf,
}

impl UdapFile {
    /// Files of private keys.
    pub fn keys(&self) -> impl Iterator<Item = &PathBuf> {
        self.community.iter().map(|community| &community.key)
    }
}
