//! Purpose: what for a push goes, and by which word of the payer it is settled, as agreements name them.
//!
//! Comes in   words of agreements, triggers and ledger lines.
//! Goes out   the same, typed.
//! Never      leans on anything: every room of both roads knows these words.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What the payer wants the data for: v3 PurposeOfUse codes the agreements allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// Payment.
    #[serde(rename = "HPAYMT")]
    Payment,
    /// Operations.
    #[serde(rename = "HOPERAT")]
    Operations,
    /// Treatment and care coordination.
    #[serde(rename = "TREAT")]
    Treatment,
    /// Coverage under policy or programme.
    #[serde(rename = "COVERAGE")]
    Coverage,
    /// Quality improvement.
    #[serde(rename = "HQUALIMP")]
    Quality,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Purpose::Payment => "HPAYMT",
            Purpose::Operations => "HOPERAT",
            Purpose::Treatment => "TREAT",
            Purpose::Coverage => "COVERAGE",
            Purpose::Quality => "HQUALIMP",
        })
    }
}

/// Which word of the payer settles a push, by the agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The door answered.
    Taken,
    /// Readable and allowed.
    Accepted,
    /// Matched and stored.
    Filed,
}

impl Level {
    /// As lists show it.
    pub fn word(self) -> &'static str {
        match self {
            Level::Taken => "taken",
            Level::Accepted => "accepted",
            Level::Filed => "filed",
        }
    }
}
