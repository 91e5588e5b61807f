//! Parts: how far a push is that goes in several requests.
//!
//! Comes in   what became of its requests, as the lines of its chain say.
//! Goes out   what was answered, filed and refused, and which rungs are shut.
//! Never      forgets what was answered: a release tries again what was refused, nothing else.

use super::is_zero;
use crate::id::Digest;
use crate::issue::Issue;
use crate::limits::ISSUES_MAX;
use serde::{Deserialize, Serialize};

/// The word of a step down that only makes requests smaller.
pub const SMALLER: &str = "size";

/// How far a push is that goes in several requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Parts {
    /// Parts that were answered.
    pub answered: u32,
    /// A part was sent, and nobody knows yet what became of it.
    pub open: bool,
    /// `Type/derived id` of what of it the door said that it does later (202).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<String>,
    /// Records that its parts filed.
    pub filed: u64,
    /// `Type/id` of what is not sent until a person lets it go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Why, as far as it was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<Issue>,
    /// Rungs that the door promised and did not keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shut: Vec<String>,
    /// How often a request was too large.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub halvings: u32,
    /// Digests of what the door said of each record, part by part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<Digest>,
}

impl Parts {
    /// It is known what became of the part that was sent, and that these records of it were filed.
    pub(super) fn close(&mut self, filed: u64) {
        self.open = false;
        self.accepted.clear();
        self.filed += filed;
    }

    /// These are not sent until a person lets them go.
    pub(super) fn leave_out(&mut self, records: Vec<String>, issues: Vec<Issue>) {
        self.refused.extend(records);
        self.issues.extend(issues);
        self.issues.truncate(ISSUES_MAX);
    }

    /// The door did not keep to this rung, or a request was too large.
    pub(super) fn step_down(&mut self, from: String) {
        match from.as_str() {
            SMALLER => self.halvings += 1,
            _ => self.shut.push(from),
        }
    }

    /// What was refused is tried again, by the rungs that the door offers now.
    pub(super) fn try_again(&mut self) {
        let (answered, filed) = (self.answered, self.filed);
        let said = std::mem::take(&mut self.said);
        *self = Parts { answered, filed, said, ..Parts::default() };
    }
}
