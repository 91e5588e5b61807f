//! Endpoint: where a directory says that a payer's door is, and which of several is taken.
//!
//! Comes in   Organization, Endpoint and OrganizationAffiliation resources of a directory; whom and
//!            what is sought; the time.
//! Goes out   the endpoint chosen and every other one with its reason, as data and in words.
//! Never      takes what a directory says for proof: a choice is a candidate, until somebody vouches
//!            for it (`directory::Standing`).
//!
//! Why filtered here: no search parameter of the National Directory tells use case, guide, environment
//! or payload (US NDH, Endpoint; its CapabilityStatement), so all of a payer's endpoints are fetched and
//! judged by these rules, which are the same for every directory.
//!
//! What excludes, in the order in which it is told (the first reason counts): see [`Why`]. What ranks
//! those that are left, the first difference decides: see [`Rule`].

mod choose;
mod listing;
mod read;
mod wellknown;

pub use choose::{Choice, Chosen, Rejected, Rule, Wanted, Why, choose};
pub use listing::{Listing, Sought};
pub use wellknown::read_configuration;

use crate::id::Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One endpoint, as a directory lists it. Codes and addresses as they stand there; what the listing does
/// not say is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Candidate {
    /// What people call it: `Endpoint/id`, or where else it stands.
    pub id: String,
    /// `Endpoint.name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `Endpoint.address`, without a slash at its end.
    pub address: String,
    /// `Endpoint.status`.
    pub status: String,
    /// Code of `Endpoint.connectionType`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// NDH `endpoint-environment-type`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// NDH `implementation-guide`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guides: Vec<Guide>,
    /// NDH `endpointAccessControlMechanism`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<String>,
    /// NDH `security-details`: trust frameworks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frameworks: Vec<String>,
    /// NDH `dynamicRegistration`: `udap`, `smart`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registration: Vec<String>,
    /// NDH `endpoint-rank`: the directory's own, 1 first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// `Endpoint.period`.
    #[serde(skip_serializing_if = "Period::is_open")]
    pub period: Period,
    /// `Endpoint.payloadMimeType`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mime_types: Vec<String>,
    /// NDH `verification-status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<String>,
    /// Who manages it: `Organization/id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managing: Option<String>,
    /// NDH `secureExchangeArtifacts`: certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// `meta.lastUpdated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated: Option<Timestamp>,
    /// Who fronts the payer here, and what says so; none: it is the payer's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
}

/// An implementation guide that an endpoint is said to follow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Guide {
    /// `ig-uri`, without its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// `ig-version`, or the version behind the bar of `ig-uri`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `ig-usecase`, FHIR and DirectTrust codes alike.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub use_cases: Vec<String>,
}

/// From when until when; both ends count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Period {
    /// The first moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// The last moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
}

impl Period {
    fn is_open(&self) -> bool {
        *self == Period::default()
    }

    /// Whether it is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.end.is_some_and(|end| end < now)
    }

    /// Whether it has not begun.
    pub fn is_to_come(&self, now: Timestamp) -> bool {
        self.start.is_some_and(|start| start > now)
    }
}

/// A certificate that a directory lists with an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Artifact {
    /// Its kind, for example `x509-ssl-tls-certificates`.
    pub kind: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Until when it is said to be good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

impl Candidate {
    /// What must stay the same for the endpoint to be the one that was looked at: address, who manages
    /// it, through whom, and the certificates listed with it.
    pub fn identity(&self) -> Digest {
        let mut pieces: Vec<Vec<u8>> = vec![
            b"endpoint".to_vec(),
            self.address.as_bytes().to_vec(),
            self.managing.clone().unwrap_or_default().into_bytes(),
            self.through.clone().unwrap_or_default().into_bytes(),
        ];
        let mut artifacts = self.artifacts.clone();
        artifacts.sort();
        pieces.extend(artifacts.iter().map(|it| it.digest.0.to_vec()));
        Digest::of_pieces(pieces.iter().map(Vec::as_slice))
    }

    /// All use cases that it declares.
    pub fn use_cases(&self) -> impl Iterator<Item = &str> {
        self.guides.iter().flat_map(|guide| guide.use_cases.iter().map(String::as_str))
    }
}
