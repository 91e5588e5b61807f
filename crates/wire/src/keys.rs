//! Keys: the keys with which a house signs: client assertions, software statements, certificates.
//!
//! Comes in   PEM (PKCS#8), or chance for a new key.
//! Goes out   signatures, the public key as JWK Set, PEM for the key's own file (mode 0600).
//! Never      a private part in `Debug`, in a JWK, in a file others may read, or in memory after the
//!            key is dropped.
//!
//! Why the key id is a thumbprint (RFC 7638): it is the same on both sides without anybody having
//! to agree on it, and a changed key cannot keep its old id. Why no copy of a key is given to the
//! libraries that write tokens and certificates: they keep theirs, and do not wipe it.

mod files;
mod live;
mod signer;

pub use files::{read_private, write_private};
pub use live::{KeyRing, OwnKeys};

use crate::limits::{RSA_BITS, RSA_BITS_MIN};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use exchange::{Code, Issue};
use jsonwebtoken::{Algorithm, Header};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::zeroize::{Zeroize, Zeroizing};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;

/// Which kind of key a house signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// P-384, which signs ES384: the kind `init` makes (SMART App Launch 2.2).
    Es384,
    /// RSA of 2048 bits or more, which signs RS384 (SMART) and RS256 (UDAP Security, §7.1).
    Rs384,
}

impl KeyKind {
    /// Its name on the command line and in lists.
    pub fn word(self) -> &'static str {
        match self {
            KeyKind::Es384 => "es384",
            KeyKind::Rs384 => "rs384",
        }
    }

    /// What it signs assertions with, where nothing else is asked for.
    pub fn algorithm(self) -> Algorithm {
        match self {
            KeyKind::Es384 => Algorithm::ES384,
            KeyKind::Rs384 => Algorithm::RS384,
        }
    }
}

/// A key pair that signs.
pub struct SigningKey {
    /// PKCS#8, for the key's own file and for certificates; wiped when it is dropped.
    der: Zeroizing<Vec<u8>>,
    signer: Signer,
    kid: String,
}

/// The key as the library holds it, which wipes it as well.
enum Signer {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    /// Draws a new P-384 key.
    pub fn generate() -> Result<SigningKey, Issue> {
        SigningKey::generate_as(KeyKind::Es384)
    }

    /// Draws a new key of this kind.
    pub fn generate_as(kind: KeyKind) -> Result<SigningKey, Issue> {
        match kind {
            KeyKind::Es384 => {
                let document = EcdsaKeyPair::generate_pkcs8(
                    &ECDSA_P384_SHA384_FIXED_SIGNING,
                    &aws_lc_rs::rand::SystemRandom::new(),
                );
                SigningKey::from_der(document.map_err(|_| unusable())?.as_ref())
            }
            KeyKind::Rs384 => {
                let size = match RSA_BITS {
                    2048 => KeySize::Rsa2048,
                    _ => KeySize::Rsa3072,
                };
                let pair = RsaKeyPair::generate(size).map_err(|_| unusable())?;
                SigningKey::from_der(pair.as_der().map_err(|_| unusable())?.as_ref())
            }
        }
    }

    /// Reads a key from PEM (PKCS#8, P-384 or RSA). Text before the key is passed over.
    ///
    /// Errors: `KeyUnusable`.
    pub fn from_pem(pem: &str) -> Result<SigningKey, Issue> {
        let mut key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| unusable())?;
        let read = match &key {
            PrivateKeyDer::Pkcs8(der) => SigningKey::from_der(der.secret_pkcs8_der()),
            _ => Err(unusable()),
        };
        key.zeroize();
        read
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
        write_private(path, self.secret_pem().as_bytes())
    }

    /// The private key as PEM (PKCS#8), in plain memory: for tests and tools. What runs a house passes
    /// the key itself on.
    pub fn to_pem(&self) -> String {
        String::clone(&self.secret_pem())
    }

    /// The private key as PEM (PKCS#8), for the key's own file and nothing else; wiped when dropped.
    pub fn secret_pem(&self) -> Zeroizing<String> {
        let text = Zeroizing::new(STANDARD.encode(self.der.as_slice()));
        // As long as it will be, so that it never moves and leaves a copy behind.
        let mut pem = Zeroizing::new(String::with_capacity(text.len() + text.len() / 64 + 64));
        pem.push_str("-----BEGIN PRIVATE KEY-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, later) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = later;
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        pem
    }

    /// The key id: the RFC 7638 thumbprint, base64url.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        match self.signer {
            Signer::Ec(_) => KeyKind::Es384,
            Signer::Rsa(_) => KeyKind::Rs384,
        }
    }

    /// The public key as a JWK Set (RFC 7517), as a partner registers it.
    pub fn jwks(&self) -> serde_json::Value {
        serde_json::json!({ "keys": [self.public_jwk()] })
    }

    /// The public key as one JWK, with `kid`, `use` and, for an elliptic curve, `alg`: an RSA key
    /// signs RS384 at SMART doors and RS256 at UDAP ones.
    pub fn public_jwk(&self) -> serde_json::Value {
        match &self.signer {
            Signer::Ec(pair) => {
                let (x, y) = coordinates(pair.public_key().as_ref());
                serde_json::json!({
                    "kty": "EC", "crv": "P-384", "x": x, "y": y,
                    "kid": self.kid, "use": "sig", "alg": "ES384",
                })
            }
            Signer::Rsa(pair) => {
                let (n, e) = numbers(pair);
                serde_json::json!({
                    "kty": "RSA", "n": n, "e": e, "kid": self.kid, "use": "sig",
                })
            }
        }
    }

    /// The public key as it stands in a certificate: the point of an elliptic curve (SEC 1), or
    /// `RSAPublicKey` (RFC 8017).
    pub fn public_bytes(&self) -> &[u8] {
        match &self.signer {
            Signer::Ec(pair) => pair.public_key().as_ref(),
            Signer::Rsa(pair) => pair.public_key().as_ref(),
        }
    }

    /// A signed JWT (RFC 7515 compact form) of these claims, with this key's id in its header.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Issue> {
        let mut header = Header::new(self.kind().algorithm());
        header.kid = Some(self.kid.clone());
        self.sign_with(&header, claims)
    }

    /// The same with a header of one's own: `x5c`, `jku`, RS256.
    ///
    /// Errors: `KeyUnusable` for an algorithm that is not this key's.
    pub fn sign_with(&self, header: &Header, claims: &impl Serialize) -> Result<String, Issue> {
        let part = |value: Result<Vec<u8>, serde_json::Error>| {
            value.map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).map_err(|_| unusable())
        };
        let signed =
            [part(serde_json::to_vec(header))?, part(serde_json::to_vec(claims))?].join(".");
        let signature = self.signature(header.alg, signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Errors: `KeyUnusable`.
    fn from_der(der: &[u8]) -> Result<SigningKey, Issue> {
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der);
        let signer = match ec {
            Ok(pair) => Signer::Ec(pair),
            Err(_) => {
                let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| unusable())?;
                if pair.public_modulus_len() * 8 < RSA_BITS_MIN {
                    return Err(unusable());
                }
                Signer::Rsa(pair)
            }
        };
        // RFC 7638 §3.2: the required members only, in lexical order, without white space.
        let canonical = match &signer {
            Signer::Ec(pair) => {
                let (x, y) = coordinates(pair.public_key().as_ref());
                format!(r#"{{"crv":"P-384","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Signer::Rsa(pair) => {
                let (n, e) = numbers(pair);
                format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
            }
        };
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.as_bytes()));
        Ok(SigningKey { der: Zeroizing::new(der.to_vec()), signer, kid })
    }

    /// A key pair of the same key that signs as certificates want it: ECDSA in ASN.1.
    fn for_certificates(&self) -> Option<EcdsaKeyPair> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &self.der).ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The two halves of the uncompressed point (SEC 1 §2.3.3: 04, x, y), base64url.
fn coordinates(point: &[u8]) -> (String, String) {
    let point = point.get(1..).unwrap_or_default();
    let (x, y) = point.split_at(point.len() / 2);
    (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
}

/// Modulus and exponent (RFC 7518 §6.3.1), base64url.
fn numbers(pair: &RsaKeyPair) -> (String, String) {
    let public = pair.public_key();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let n = public.modulus().big_endian_without_leading_zero().to_vec();
    let e = public.exponent().big_endian_without_leading_zero().to_vec();
    (text(&n), text(&e))
}

fn unusable() -> Issue {
    let detail = "this is no key that signs: P-384, or RSA of 2048 bits or more, in PKCS#8 PEM";
    Issue::new(Code::KeyUnusable, detail)
}
