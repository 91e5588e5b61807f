//! Access token: a self-contained, authenticated note of who signed in, for five minutes.
//!
//! Comes in   client id, key id, scopes, expiry; the house's secret and base URL.
//! Goes out   an opaque text; read back only when its MAC is ours.
//! Never      carries anything secret, and never outlives its expiry by a single second.
//!
//! Why no table of tokens: every process of a house can check a token without asking another, and
//! a restart signs nobody out. What revokes is the registration: the gate looks it up each time.

use crate::limits::ACCESS_TOKEN_BYTES_MAX;
use crate::trust::Purposes;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Names the format, inside the MAC as well, so that a later one can never be taken for this one.
const FORMAT: &str = "hd1";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The client id.
    #[serde(rename = "c")]
    pub client_id: String,
    /// The key that signed the assertion.
    #[serde(rename = "k")]
    pub kid: String,
    /// The scopes granted, separated by spaces.
    #[serde(rename = "s")]
    pub scope: String,
    /// Expiry, seconds since 1970.
    #[serde(rename = "e")]
    pub expiry: i64,
    /// What it is good for, where it was given by UDAP.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub purposes: Option<Purposes>,
    /// The certificate it is bound to (`x5t#S256`), where there was one (RFC 8705 §3).
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// Makes and reads the tokens of one house at one base URL.
pub struct Mint {
    key: hmac::Key,
    /// Secrets whose tokens are read and no longer issued, or not yet.
    others: Vec<hmac::Key>,
    context: String,
}

impl Mint {
    /// A mint over the house's secret; tokens of another base URL are foreign even under one secret.
    pub fn new(secret: &[u8; 32], base_url: &str) -> Mint {
        Mint {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            others: Vec::new(),
            context: format!("handover access token\n{FORMAT}\n{base_url}\n"),
        }
    }

    /// The same mint, which reads tokens of these secrets as well: those before, until their tokens
    /// have expired, and those to come, which another process of the house may use already.
    pub fn reading<'a>(mut self, secrets: impl IntoIterator<Item = &'a [u8; 32]>) -> Mint {
        let keys = secrets.into_iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret));
        self.others.extend(keys);
        self
    }

    /// Writes a token.
    pub fn issue(&self, content: &Content) -> String {
        let note = serde_json::json!(content).to_string();
        let note = URL_SAFE_NO_PAD.encode(note);
        let tag = hmac::sign(&self.key, self.authenticated(&note).as_bytes());
        format!("{FORMAT}.{note}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// Reads a token: none when it is not ours, was changed, or has expired.
    pub fn read(&self, token: &str, now: Timestamp) -> Option<Content> {
        if token.len() > ACCESS_TOKEN_BYTES_MAX {
            return None;
        }
        let (note, tag) = token.strip_prefix(FORMAT)?.strip_prefix('.')?.split_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        let noted = self.authenticated(note);
        // Compares in constant time.
        let ours = |key: &hmac::Key| hmac::verify(key, noted.as_bytes(), &tag).is_ok();
        if !ours(&self.key) && !self.others.iter().any(ours) {
            return None;
        }
        let content: Content = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(note).ok()?).ok()?;
        (content.expiry > now.as_second()).then_some(content)
    }

    fn authenticated(&self, note: &str) -> String {
        format!("{}{note}", self.context)
    }
}
