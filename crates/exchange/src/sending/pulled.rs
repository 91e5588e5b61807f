//! Pulled: what a bulk submission is that a payer asked for by `$export` (Bulk Data 2.0.0, export).
//!
//! Comes in   what was asked; what became of it, line by line.
//! Goes out   how far it is: whose histories were asked for, and whether it is still wanted.
//! Never      a patient: members are counted.

use crate::export::Asked;
use serde::{Deserialize, Serialize};

/// An export, beside what every bulk submission is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulled {
    /// What was asked, as it was understood.
    pub asked: Asked,
    /// How many histories were asked for, once they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<u64>,
    /// How many of them were not ready when the export was made.
    #[serde(default)]
    pub missing: u64,
    /// The payer wants no more of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

impl Pulled {
    /// An export that was just asked for.
    pub fn new(asked: Asked) -> Pulled {
        Pulled { asked, members: None, missing: 0, deleted: false }
    }
}
