//! A partner's public file: what one house tells the other before the first push.
//!
//! Comes in   the JSON file `init` writes, carried from house to house by people.
//! Goes out   names, addresses and public keys.
//! Never      a private key or a patient.

use crate::id::PartnerId;
use crate::issue::{Code, Issue};
use serde::{Deserialize, Serialize};

/// What a house publishes about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicFile {
    /// The house's short name: letters, digits, `-`.
    pub name: PartnerId,
    /// What it does.
    pub role: Role,
    /// Its name in words.
    pub title: String,
    /// FHIR base URL of its doors.
    pub base_url: String,
    /// The URI its derived ids are made with, frozen at `init`.
    pub namespace: String,
    /// Its client id at partners' token endpoints.
    pub client_id: String,
    /// Public keys for its client assertions (RFC 7517).
    pub jwks: serde_json::Value,
    /// PEM of the certificate authority its server certificate comes from.
    pub authority: String,
    /// Identifiers a Coverage names it by (payers).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payer_identifiers: Vec<PublicIdentifier>,
    /// Public key its ledger's checkpoints are signed with (Ed25519, hex).
    pub ledger_key: String,
}

/// An identifier in a public file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicIdentifier {
    /// `Identifier.system`.
    pub system: String,
    /// `Identifier.value`.
    pub value: String,
}

/// Which road a house walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The sending house.
    Provider,
    /// The receiving house.
    Payer,
}

impl PublicFile {
    /// Reads a public file; errors name the file and the place.
    pub fn parse(text: &str, file_name: &str) -> Result<PublicFile, Issue> {
        let file: PublicFile = serde_json::from_str(text).map_err(|error| {
            let place = format!("{file_name}, line {}", error.line());
            Issue::new(Code::ConfigInvalid, "a partner's public file cannot be read").at(place)
        })?;
        let name = file.name.as_str();
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(good) {
            let detail = "a partner's name is 1 to 40 lower-case letters, digits and hyphens";
            return Err(Issue::new(Code::ConfigInvalid, detail).at(format!("{file_name}: name")));
        }
        if !file.base_url.starts_with("https://") {
            let detail = "a partner's base URL begins with https://";
            return Err(
                Issue::new(Code::ConfigInvalid, detail).at(format!("{file_name}: base_url"))
            );
        }
        Ok(file)
    }
}
