//! Chain: certificates in a row, the leaf first.
//!
//! Comes in   PEM of a file, or the strings of a JWT's `x5c` header (RFC 7515 §4.1.6).
//! Goes out   DER.
//! Never      trusts anything: that is `trust`'s.

use crate::limits::{CERTIFICATE_BYTES_MAX, CHAIN_CERTIFICATES_MAX};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use exchange::{Code, Issue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A leaf and what stands between it and an anchor, in the order in which each vouches for the one
/// before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain(Vec<CertificateDer<'static>>);

impl Chain {
    /// Reads a chain from PEM. Errors: `KeyUnusable`.
    pub fn from_pem(pem: &[u8]) -> Result<Chain, Issue> {
        let certificates = read_pem(pem)?;
        match certificates.len() {
            1..=CHAIN_CERTIFICATES_MAX => Ok(Chain(certificates)),
            _ => Err(unusable("a certificate's chain has 1 to 6 certificates")),
        }
    }

    /// Reads the strings of an `x5c` header; none when they are no certificates, none at all, or
    /// more than anybody needs.
    pub fn from_x5c(x5c: &[String]) -> Option<Chain> {
        if !(1..=CHAIN_CERTIFICATES_MAX).contains(&x5c.len()) {
            return None;
        }
        let read = |text: &String| {
            let der = STANDARD.decode(text).ok()?;
            (der.len() <= CERTIFICATE_BYTES_MAX).then(|| CertificateDer::from(der))
        };
        x5c.iter().map(read).collect::<Option<Vec<_>>>().map(Chain)
    }

    /// As a JWT's header carries it.
    pub fn to_x5c(&self) -> Vec<String> {
        self.0.iter().map(|der| STANDARD.encode(der)).collect()
    }

    /// The leaf; there is always one.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.0[0]
    }

    /// What stands above the leaf.
    pub fn above(&self) -> &[CertificateDer<'static>] {
        &self.0[1..]
    }
}

/// All certificates of a PEM text. Errors: `KeyUnusable` when it cannot be read or holds none.
pub fn read_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Issue> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = read.map_err(|_| unusable("a certificate is not readable PEM"))?;
    match certificates.is_empty() {
        true => Err(unusable("a certificate's file holds none")),
        false => Ok(certificates),
    }
}

fn unusable(detail: &str) -> Issue {
    Issue::new(Code::KeyUnusable, detail)
}
