//! Pulled: what a bulk submission is that a payer asked for by `$export` (Bulk Data 2.0.0, export).
//!
//! Comes in   what was asked; what became of it, line by line.
//! Goes out   how far it is: whose histories were asked for, which files were fetched.
//! Never      a patient: members are counted.

use crate::export::Asked;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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
    /// Files that were given to their last byte.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub given: BTreeSet<String>,
    /// The payer wants no more of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

impl Pulled {
    /// An export that was just asked for.
    pub fn new(asked: Asked) -> Pulled {
        Pulled { asked, members: None, missing: 0, given: BTreeSet::new(), deleted: false }
    }
}
