//! Claims: which walk of this process has claimed a record that many push.
//!
//! Comes in   claims as they are made.
//! Goes out   whose one is.
//! Never      the word on it: that the store has. What is forgotten here runs out there.

use crate::limits::CLAIMS_KEPT_MAX;
use exchange::WalkId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Claims of this process, by scope and mark.
#[derive(Default)]
pub struct Claims(Mutex<HashMap<String, WalkId>>);

impl Claims {
    /// The walk that has claimed a shared record.
    pub(super) fn by(&self, scope: &str, mark: &str) -> Option<WalkId> {
        let claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.get(&format!("{scope}|{mark}")).cloned()
    }

    /// A walk has claimed a shared record.
    pub(super) fn note(&self, scope: &str, mark: &str, walk: &WalkId) {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if claims.len() >= CLAIMS_KEPT_MAX {
            // Whoever has forgotten its claim waits until it runs out.
            claims.clear();
        }
        claims.insert(format!("{scope}|{mark}"), walk.clone());
    }
}
