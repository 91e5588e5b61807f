//! Keys: a repeat that comes while the first is being worked on waits for it.
//!
//! Comes in   a sender and the key of what it sent.
//! Goes out   a turn: nobody else has the same key's until it is dropped.
//! Never      keeps a caller longer than `KEY_WAIT`: then it is told to come again.

use crate::limits::KEY_WAIT;
use exchange::{Code, Issue, PartnerId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::OwnedMutexGuard;

type Key = (PartnerId, String);
type Lock = tokio::sync::Mutex<()>;

/// Keys being worked on.
#[derive(Default)]
pub struct Keys(Mutex<HashMap<Key, Weak<Lock>>>);

/// The right to work on a key.
pub struct KeyTurn(#[allow(dead_code, reason = "held for its drop")] Option<OwnedMutexGuard<()>>);

impl Keys {
    /// Waits for the key's turn; without a key there is nothing to wait for.
    ///
    /// Errors: `KeyBusy`.
    pub async fn turn(&self, sender: &PartnerId, key: Option<&str>) -> Result<KeyTurn, Issue> {
        let Some(key) = key else { return Ok(KeyTurn(None)) };
        let lock = self.lock((sender.clone(), key.to_owned()));
        match tokio::time::timeout(KEY_WAIT, lock.lock_owned()).await {
            Ok(guard) => Ok(KeyTurn(Some(guard))),
            Err(_) => Err(Issue::new(Code::KeyBusy, "the first with this key is not done yet")),
        }
    }

    fn lock(&self, key: Key) -> Arc<Lock> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
