//! Live: the keys of a house at one moment, and the handle by which all who sign share them.
//!
//! Comes in   keys, as their files say.
//! Goes out   the key that signs now; those that partners should know.
//! Never      lets two who sign disagree on which key it is for longer than one assertion.
//!
//! Why three stages: a partner must be able to know a key before anything is signed with it, and what
//! was signed with the one before must hold until it has run out.

use super::SigningKey;
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError, RwLock};

/// The keys for one use: one signs, some are announced, some still hold.
#[derive(Debug)]
pub struct OwnKeys {
    signs: Arc<SigningKey>,
    coming: Vec<Arc<SigningKey>>,
    leaving: Vec<Arc<SigningKey>>,
}

impl OwnKeys {
    /// The keys; one that is there twice counts in its first stage.
    pub fn new(
        signs: SigningKey,
        coming: impl IntoIterator<Item = SigningKey>,
        leaving: impl IntoIterator<Item = SigningKey>,
    ) -> OwnKeys {
        let mut known = vec![signs.kid().to_owned()];
        let mut fresh = |keys: &mut dyn Iterator<Item = SigningKey>| {
            let mut kept = Vec::new();
            for key in keys {
                if !known.iter().any(|kid| kid == key.kid()) {
                    known.push(key.kid().to_owned());
                    kept.push(Arc::new(key));
                }
            }
            kept
        };
        let coming = fresh(&mut coming.into_iter());
        let leaving = fresh(&mut leaving.into_iter());
        OwnKeys { signs: Arc::new(signs), coming, leaving }
    }

    /// The key that signs.
    pub fn signs(&self) -> &Arc<SigningKey> {
        &self.signs
    }

    /// Those that may sign, in the order in which a partner is offered them: the current one, then
    /// those before it, for a partner who has not heard of the current one yet.
    pub fn signers(&self) -> impl Iterator<Item = &Arc<SigningKey>> {
        std::iter::once(&self.signs).chain(&self.leaving)
    }

    /// Whether a key with this id is among them.
    pub fn knows(&self, kid: &str) -> bool {
        self.all().any(|key| key.kid() == kid)
    }

    /// All public keys as a JWK Set (RFC 7517): what is to come, signs, and still holds.
    pub fn jwks(&self) -> Value {
        let keys: Vec<Value> = self.all().map(|key| key.public_jwk()).collect();
        json!({ "keys": keys })
    }

    fn all(&self) -> impl Iterator<Item = &Arc<SigningKey>> {
        self.signers().chain(&self.coming)
    }
}

impl From<SigningKey> for OwnKeys {
    fn from(key: SigningKey) -> OwnKeys {
        OwnKeys::new(key, [], [])
    }
}

/// A handle to the keys of one use: whoever has one signs with what is current then.
#[derive(Debug, Clone)]
pub struct KeyRing(Arc<RwLock<Arc<OwnKeys>>>);

impl KeyRing {
    /// A handle to these keys.
    pub fn new(keys: impl Into<OwnKeys>) -> KeyRing {
        KeyRing(Arc::new(RwLock::new(Arc::new(keys.into()))))
    }

    /// The keys now.
    pub fn now(&self) -> Arc<OwnKeys> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in their place, for all who have the handle.
    pub fn replace(&self, keys: OwnKeys) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }
}
