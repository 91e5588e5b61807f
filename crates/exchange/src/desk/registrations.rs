//! What people ask about clients that registered by UDAP, and what they are told.
//!
//! Comes in   JSON of `POST /api/registration`, or the same from the command line.
//! Goes out   one row per client.
//! Never      a key.

use crate::id::PartnerId;
use crate::ledger::Who;
use crate::registration::Said;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A command about registrations, as `{"command": "registration", "do": "approve", …}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RegistrationCommand {
    /// Those there are, waiting ones first.
    List {},
    /// A client is this partner's, and may sign in.
    Approve {
        /// Its client id, or its URI.
        client: String,
        /// The partner.
        partner: PartnerId,
        /// Who decides, why.
        who: Who,
    },
    /// A client is nobody's, and may not sign in (any more).
    Refuse {
        /// Its client id, or its URI.
        client: String,
        /// Who decides, why.
        who: Who,
    },
}

/// To `registration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationsTold {
    /// One per client.
    pub rows: Vec<RegistrationRow>,
}

/// A client that registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationRow {
    /// Its client id.
    pub client: String,
    /// `registration-waits`, `registered`, `registration-refused`, `registration-cancelled`.
    pub state: String,
    /// The partner it is, where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<PartnerId>,
    /// What it says of itself.
    pub said: Said,
    /// When this last changed.
    pub changed: Timestamp,
}
