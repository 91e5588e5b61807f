//! Keys: a repeat that comes while the first is being worked on waits for it.
//!
//! Comes in   a sender and the key of what it sent.
//! Goes out   a turn: nobody else has the same key's until it is dropped.
//! Never      keeps a caller longer than it was told (`KEY_WAIT`): then it is told to come again.

use crate::limits::KEY_WAIT;
use exchange::{Code, Issue, PartnerId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

type Key = (PartnerId, String);
type Lock = tokio::sync::Mutex<()>;

/// Keys being worked on.
pub struct Keys {
    busy: Mutex<HashMap<Key, Weak<Lock>>>,
    wait: Duration,
}

/// The right to work on a key.
pub struct KeyTurn(#[allow(dead_code, reason = "held for its drop")] Option<OwnedMutexGuard<()>>);

impl Default for Keys {
    fn default() -> Keys {
        Keys::waiting(KEY_WAIT)
    }
}

impl Keys {
    /// No key is being worked on yet; a repeat waits so long.
    pub fn waiting(wait: Duration) -> Keys {
        Keys { busy: Mutex::default(), wait }
    }

    /// Waits for the key's turn; without a key there is nothing to wait for.
    ///
    /// Errors: `KeyBusy`.
    pub async fn turn(&self, sender: &PartnerId, key: Option<&str>) -> Result<KeyTurn, Issue> {
        let Some(key) = key else { return Ok(KeyTurn(None)) };
        let lock = self.lock((sender.clone(), key.to_owned()));
        match tokio::time::timeout(self.wait, lock.lock_owned()).await {
            Ok(guard) => Ok(KeyTurn(Some(guard))),
            Err(_) => Err(Issue::new(Code::KeyBusy, "the first with this key is not done yet")),
        }
    }

    fn lock(&self, key: Key) -> Arc<Lock> {
        let mut keys = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = keys.get(&key).and_then(Weak::upgrade) {
            return lock;
        }
        // What nobody waits for is forgotten here, so that the table stays as large as the work.
        keys.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        keys.insert(key, Arc::downgrade(&lock));
        lock
    }
}
