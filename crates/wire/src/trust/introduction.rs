//! Introduction: the house's public file, for partners who ask for it at its door.
//!
//! Comes in   the file, as it would be mailed.
//! Goes out   the document at `.well-known/handover.json`.
//! Never      more than the file: what is private is not in it.
//!
//! Why at the door: whoever trusts the door's certificate has in one step what people carried to each
//! other by mail, and never an old copy.

use crate::limits::PUBLIC_KEYS_KEEP;
use crate::refusal::Answer;
use crate::trust::smart::server::Gate;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use std::sync::PoisonError;

/// Where a house of this program introduces itself, below its base URL.
pub const INTRODUCTION_PATH: &str = ".well-known/handover.json";

impl Gate {
    /// Publishes the house's public file, as it is written.
    pub fn introduce(&self, public: String) {
        *self.introduced.write().unwrap_or_else(PoisonError::into_inner) = Some(public);
    }

    /// The document, with how long others may keep it; none where the house introduces itself to nobody.
    pub fn introduction(&self) -> Option<Answer> {
        let public = self.introduced.read().unwrap_or_else(PoisonError::into_inner);
        let answer = Answer::new(200, public.as_ref()?.clone());
        let keep = format!("public, max-age={}", PUBLIC_KEYS_KEEP.as_secs());
        Some(answer.with(CONTENT_TYPE, "application/json").with(CACHE_CONTROL, keep))
    }
}
