//! Replay: each assertion opens the door once.
//!
//! Comes in   client id and `jti` of an assertion that verified, and until when it would be valid.
//! Goes out   whether this is its first use.
//! Never      forgets a `jti` before the assertion has expired.

use crate::clock::Clock;
use crate::limits::REPLAYS_REMEMBERED_MAX;
use crate::transport::BoxFuture;
use exchange::{Code, Issue};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Remembers which assertions were used. A house keeps them in its store, so that neither a restart
/// nor a second process opens the door twice.
pub trait Replay: Send + Sync {
    /// Notes the use of a `jti` by a client, atomically: `true` exactly once until `until`.
    fn first_use<'a>(
        &'a self,
        client_id: &'a str,
        jti: &'a str,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool, Issue>>;
}

/// Remembers in memory: for one process that does not outlive its assertions' five minutes.
pub struct MemoryReplay {
    clock: Arc<dyn Clock>,
    used: Mutex<HashMap<(String, String), Timestamp>>,
}

impl MemoryReplay {
    /// An empty memory.
    pub fn new(clock: Arc<dyn Clock>) -> MemoryReplay {
        MemoryReplay { clock, used: Mutex::default() }
    }

    fn note(&self, client_id: &str, jti: &str, until: Timestamp) -> Result<bool, Issue> {
        let now = self.clock.now();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (client_id.to_owned(), jti.to_owned());
        if used.get(&key).is_some_and(|until| *until >= now) {
            return Ok(false);
        }
        if used.len() >= REPLAYS_REMEMBERED_MAX {
            used.retain(|_, until| *until >= now);
        }
        if used.len() >= REPLAYS_REMEMBERED_MAX {
            return Err(Issue::new(Code::HouseBusy, "too many sign-ins within five minutes"));
        }
        used.insert(key, until);
        Ok(true)
    }
}

impl Replay for MemoryReplay {
    fn first_use<'a>(
        &'a self,
        client_id: &'a str,
        jti: &'a str,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool, Issue>> {
        Box::pin(async move { self.note(client_id, jti, until) })
    }
}
