//! What people say about the exchange with a partner as a whole, and what they are told.
//!
//! Comes in   JSON of `POST /api/partner`, or the same from the command line.
//! Goes out   one row per partner.
//! Never      a key.

use crate::id::PartnerId;
use crate::ledger::Who;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A command about partners, as `{"command": "partner", "do": "suspend", …}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PartnerCommand {
    /// Those there are.
    List {},
    /// Nothing goes to a partner and nothing is taken from it, from now on.
    Suspend {
        /// The partner.
        partner: PartnerId,
        /// Who decides, why.
        who: Who,
    },
    /// The exchange goes on.
    Resume {
        /// The partner.
        partner: PartnerId,
        /// Who decides, why.
        who: Who,
    },
}

/// To `partner`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnersTold {
    /// One per partner, by name.
    pub rows: Vec<PartnerRow>,
}

/// A partner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnerRow {
    /// Its name in this house.
    pub partner: PartnerId,
    /// Its name in words.
    pub title: String,
    /// Whether there is an agreement.
    pub agreed: bool,
    /// Who suspended the exchange and why, while it is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Who>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}
