//! Signer: what a key signs, for tokens (RFC 7518) and for certificates (RFC 5758, RFC 4055).
//!
//! Comes in   bytes, and the algorithm.
//! Goes out   signatures.
//! Never      signs with an algorithm that is another key's.

use super::{KeyKind, Signer, SigningKey, unusable};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RsaKeyPair};
use exchange::Issue;
use jsonwebtoken::Algorithm;
use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm};

impl SigningKey {
    /// Errors: `KeyUnusable` for an algorithm that is not this key's.
    pub(super) fn signature(&self, algorithm: Algorithm, text: &[u8]) -> Result<Vec<u8>, Issue> {
        let signature = match (&self.signer, algorithm) {
            (Signer::Ec(pair), Algorithm::ES384) => {
                let signature = pair.sign(&SystemRandom::new(), text);
                signature.map(|signature| signature.as_ref().to_vec()).ok()
            }
            (Signer::Rsa(pair), Algorithm::RS384) => by_rsa(pair, &RSA_PKCS1_SHA384, text),
            (Signer::Rsa(pair), Algorithm::RS256) => by_rsa(pair, &RSA_PKCS1_SHA256, text),
            _ => None,
        };
        signature.ok_or_else(unusable)
    }
}

fn by_rsa(
    pair: &RsaKeyPair,
    padding: &'static dyn aws_lc_rs::signature::RsaEncoding,
    text: &[u8],
) -> Option<Vec<u8>> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(padding, &SystemRandom::new(), text, &mut signature).ok()?;
    Some(signature)
}

impl PublicKeyData for SigningKey {
    fn der_bytes(&self) -> &[u8] {
        self.public_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.kind() {
            KeyKind::Es384 => &PKCS_ECDSA_P384_SHA384,
            KeyKind::Rs384 => &PKCS_RSA_SHA256,
        }
    }
}

impl rcgen::SigningKey for SigningKey {
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = match &self.signer {
            Signer::Ec(_) => self.for_certificates().and_then(|pair| {
                let signature = pair.sign(&SystemRandom::new(), text);
                signature.map(|signature| signature.as_ref().to_vec()).ok()
            }),
            Signer::Rsa(pair) => by_rsa(pair, &RSA_PKCS1_SHA256, text),
        };
        signature.ok_or(rcgen::Error::RemoteKeyError)
    }
}
