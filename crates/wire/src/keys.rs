//! Keys: the ES384 key with which a house signs its client assertions.
//!
//! Comes in   PEM (PKCS#8), or chance for a new key.
//! Goes out   signatures, the public key as JWK Set, PEM for the key's own file (mode 0600).
//! Never      a private part in `Debug`, in a JWK, or in a file others may read.
//!
//! Why the key id is a thumbprint (RFC 7638): it is the same on both sides without anybody having
//! to agree on it, and a changed key cannot keep its old id.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use exchange::{Code, Issue};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PublicKeyData};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::Write;
use std::path::Path;

/// A P-384 key pair that signs ES384 (SMART App Launch 2.2, backend services).
pub struct SigningKey {
    pair: KeyPair,
    signer: jsonwebtoken::EncodingKey,
    kid: String,
}

impl SigningKey {
    /// Draws a new key.
    pub fn generate() -> Result<SigningKey, Issue> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(|_| unusable())?;
        SigningKey::from_pair(pair)
    }

    /// Reads a key from PEM (PKCS#8, P-384). Errors: `KeyUnusable`.
    pub fn from_pem(pem: &str) -> Result<SigningKey, Issue> {
        let pair = KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ECDSA_P384_SHA384)
            .map_err(|_| unusable())?;
        SigningKey::from_pair(pair)
    }

    /// Reads a key from its file; a file that everybody may read is refused. Errors: `KeyUnusable`.
    pub fn read(path: &Path) -> Result<SigningKey, Issue> {
        let place = path.display().to_string();
        let pem = read_private(path).map_err(|words| {
            Issue::new(Code::KeyUnusable, format!("the signing key {words}")).at(place.clone())
        })?;
        SigningKey::from_pem(&pem).map_err(|issue| issue.at(place))
    }

    /// Writes the key to a new file with mode 0600. A file that is there is never overwritten.
    pub fn write(&self, path: &Path) -> Result<(), Issue> {
        write_private(path, self.to_pem().as_bytes())
    }

    /// The private key as PEM (PKCS#8): for the key's own file and nothing else.
    pub fn to_pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// The key id: the RFC 7638 thumbprint, base64url.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key as a JWK Set (RFC 7517), as a partner registers it.
    pub fn jwks(&self) -> serde_json::Value {
        serde_json::json!({ "keys": [self.public_jwk()] })
    }

    /// The public key as one JWK, with `kid`, `use` and `alg`.
    pub fn public_jwk(&self) -> serde_json::Value {
        let (x, y) = coordinates(&self.pair);
        serde_json::json!({
            "kty": "EC", "crv": "P-384", "x": x, "y": y,
            "kid": self.kid, "use": "sig", "alg": "ES384",
        })
    }

    /// A signed JWT (RFC 7515 compact form) of these claims, with this key's id in its header.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Issue> {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES384);
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.signer).map_err(|_| unusable())
    }

    fn from_pair(pair: KeyPair) -> Result<SigningKey, Issue> {
        let signer = jsonwebtoken::EncodingKey::from_ec_der(pair.serialized_der());
        let (x, y) = coordinates(&pair);
        // RFC 7638 §3.2: the required members only, in lexical order, without white space.
        let canonical = format!(r#"{{"crv":"P-384","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.as_bytes()));
        Ok(SigningKey { pair, signer, kid })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Writes a secret to a new file that only its owner may read, and waits until the disk has it.
///
/// Errors: `KeyUnusable`, also when the file is there already.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), Issue> {
    let place = path.display().to_string();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .map_err(|error| {
            let words = match error.kind() {
                std::io::ErrorKind::AlreadyExists => "the key's file is there already",
                _ => "the key's file cannot be written",
            };
            Issue::new(Code::KeyUnusable, words).at(place)
        })
}

/// Reads a private key's PEM from its file; one that everybody may read is refused.
///
/// Errors: `KeyUnusable`.
pub fn read_private_pem(path: &Path) -> Result<String, Issue> {
    read_private(path).map_err(|words| {
        Issue::new(Code::KeyUnusable, format!("the key {words}")).at(path.display().to_string())
    })
}

/// Reads a secret's file; the error is the rest of a sentence.
fn read_private(path: &Path) -> Result<String, &'static str> {
    let text = std::fs::read_to_string(path).map_err(|_| "cannot be read from its file")?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata = std::fs::metadata(path).map_err(|_| "cannot be read from its file")?;
        if metadata.permissions().mode() & 0o007 != 0 {
            return Err("is open to every user of the machine; set its mode to 0600");
        }
    }
    Ok(text)
}

/// The two halves of the uncompressed point (SEC 1 §2.3.3: 04, x, y), base64url.
fn coordinates(pair: &KeyPair) -> (String, String) {
    let point = pair.der_bytes().get(1..).unwrap_or_default();
    let (x, y) = point.split_at(point.len() / 2);
    (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
}

fn unusable() -> Issue {
    Issue::new(Code::KeyUnusable, "the signing key is not a P-384 key in PKCS#8 PEM")
}
