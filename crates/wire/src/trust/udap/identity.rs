//! Identity: what a house is within a community: its certificate's chain and the key that signs.
//!
//! Comes in   PEM of chain and key; claims to be signed.
//! Goes out   JWTs with `alg` and `x5c` (FAST Security, JWT headers).
//! Never      a private part in `Debug`, or a key that is not the leaf's.

use super::jws::Algorithm;
use crate::pki::{Chain, Trust};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use exchange::{Code, Issue};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A trust community. Clones share what it is now: anchors, lists and certificates change while a
/// house runs.
#[derive(Clone)]
pub struct Community {
    /// As the community names itself; compared as it is spelt.
    pub uri: String,
    now: Arc<RwLock<Membership>>,
}

/// Whom a community trusts, and what this house is in it.
#[derive(Clone)]
pub struct Membership {
    /// Its anchors and lists.
    pub trust: Arc<Trust>,
    /// This house's certificate and key there.
    pub identity: Arc<Identity>,
}

impl Community {
    /// A community by its URI.
    pub fn new(uri: &str, membership: Membership) -> Community {
        Community { uri: uri.to_owned(), now: Arc::new(RwLock::new(membership)) }
    }

    /// From now on this.
    pub fn replace(&self, membership: Membership) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = membership;
    }

    /// This house's certificate and key there.
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).identity)
    }

    /// Its anchors and lists.
    pub fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).trust)
    }
}

/// A certificate's chain and the key of its leaf.
pub struct Identity {
    chain: Chain,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

impl Identity {
    /// Reads a chain (PEM, the leaf first) and the leaf's key (PEM, PKCS#8; RSA of 2048 bits or
    /// more, or P-256).
    ///
    /// Errors: `KeyUnusable`, also when the key is not the leaf's.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Identity, Issue> {
        let chain = Chain::from_pem(chain)?;
        let identity = Identity { chain, key: Key::read(key)? };
        let strange = || unusable("the certificate of the community is not this key's");
        let (_, leaf) =
            x509_parser::parse_x509_certificate(identity.chain.leaf()).map_err(|_| strange())?;
        let public = leaf.public_key().subject_public_key.data.as_ref();
        match public == identity.key.public() {
            true => Ok(identity),
            false => Err(strange()),
        }
    }

    /// The chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// How it signs; a server's metadata must be signed by RS256.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self.key {
            Key::Rsa(_) => Algorithm::Rs256,
            Key::P256(_) => Algorithm::Es256,
        }
    }

    /// A JWT of these claims, in compact form (RFC 7515 §7.1).
    ///
    /// Errors: `KeyUnusable` when the key cannot sign.
    pub(crate) fn sign(&self, claims: &Value) -> Result<String, Issue> {
        let header = json!({ "alg": self.algorithm().name(), "x5c": self.chain.to_x5c() });
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.key.sign(signed.as_bytes());
        let signature = signature.ok_or_else(|| unusable("the community's key cannot sign"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Whether a server at this base URL can be this: the leaf has the URL among its alternative names,
    /// spelt exactly so, and signs RS256 (FAST Security, discovery).
    ///
    /// Errors: `KeyUnusable` where it cannot.
    pub fn serves(&self, base_url: &str) -> Result<(), Issue> {
        if self.algorithm() != Algorithm::Rs256 {
            return Err(unusable(
                "a server's key in a community must be an RSA key: it signs RS256",
            ));
        }
        let base_url = base_url.trim_end_matches('/');
        if !self.uris().iter().any(|name| name == base_url) {
            let detail = "the certificate does not name this house's base URL among its URIs";
            return Err(unusable(detail));
        }
        Ok(())
    }

    /// The URIs among the leaf's alternative names.
    pub fn uris(&self) -> Vec<String> {
        crate::pki::uris(self.chain.leaf())
    }
}

impl Key {
    fn read(pem: &[u8]) -> Result<Key, Issue> {
        let wrong = || unusable("a community's key is RSA or P-256, in PKCS#8 PEM");
        let read = PrivateKeyDer::from_pem_slice(pem).map_err(|_| wrong())?;
        let PrivateKeyDer::Pkcs8(der) = &read else { return Err(wrong()) };
        let der = der.secret_pkcs8_der();
        if let Ok(key) = RsaKeyPair::from_pkcs8(der) {
            return Ok(Key::Rsa(key));
        }
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
        key.map(Key::P256).map_err(|_| wrong())
    }

    fn public(&self) -> &[u8] {
        match self {
            Key::Rsa(key) => key.public_key().as_ref(),
            Key::P256(key) => key.public_key().as_ref(),
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Key::P256(key) => Some(key.sign(&random, message).ok()?.as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

fn unusable(detail: &str) -> Issue {
    Issue::new(Code::KeyUnusable, detail)
}
