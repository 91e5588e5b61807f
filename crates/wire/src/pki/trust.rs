//! Trust: whether the authorities of a community vouch for a chain, at a given time.
//!
//! Comes in   a community's anchors and revocation lists; a chain; the time.
//! Goes out   the leaf's URIs and key, and what is known of its revocation; or why not.
//! Never      takes a list that nobody signed, reads a name in another spelling, or passes over a
//!            name constraint that it cannot check: such a chain is refused.
//!
//! Why two looks at revocation: where lists are optional, a missing or stale one is no refusal, but
//! whoever reads the log must see that nobody knows (RFC 5280 §6.3).

use super::chain::{Chain, read_pem};
use exchange::{Code, Digest, Issue};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::time::Duration;
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, ExtendedKeyUsageValidator,
    KeyPurposeIdIter, OwnedCertRevocationList, RevocationOptions, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The anchors of one community, and what they revoked.
pub struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
    lists: Vec<CertRevocationList<'static>>,
    demands_lists: bool,
}

/// A leaf that is vouched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The URIs among its alternative names, as they are spelt.
    pub uris: Vec<String>,
    /// Its key, as the certificate holds it (`subjectPublicKey`).
    pub key: Vec<u8>,
    /// What is known of its revocation.
    pub revocation: Revocation,
    /// SHA-256 of the certificate.
    pub thumbprint: Digest,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
}

/// What is known of a chain's revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// Lists in force name none of it.
    Known,
    /// For a part of it there is no list.
    NoList,
    /// A list names none of it, but should have been renewed.
    StaleList,
}

/// Why nobody vouches for a chain. `Display` is safe to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Not a certificate of version 3, or one without a usable key.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// No path to an anchor: a foreign authority, or one between is missing.
    #[error("no authority of the community vouches for the certificate")]
    Unknown,
    /// Over.
    #[error("a certificate of the chain has expired")]
    Expired,
    /// Too early.
    #[error("a certificate of the chain is not valid yet")]
    NotYet,
    /// On a list.
    #[error("a certificate of the chain is revoked")]
    Revoked,
    /// No list, where lists are demanded.
    #[error("nobody says whether the certificate is revoked, and the community demands that")]
    NoList,
    /// A list that should have been renewed, where lists are demanded.
    #[error("the community's list of revoked certificates is out of date")]
    StaleList,
    /// A name that the authority may not vouch for.
    #[error("an authority of the chain may not vouch for this name")]
    Constrained,
    /// For signing other things than JWTs.
    #[error("the certificate's key may not be used for signatures")]
    WrongUse,
}

/// Communities do not agree on an extended key usage; the path is what counts.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        Ok(())
    }
}

impl Trust {
    /// Reads a community's anchors (PEM) and revocation lists (PEM or DER, each one list). With
    /// `demands_lists`, a chain without a list in force for each of its parts is refused.
    ///
    /// Errors: `KeyUnusable`.
    pub fn read(anchors: &[u8], lists: &[Vec<u8>], demands_lists: bool) -> Result<Trust, Issue> {
        let anchor = |der: &CertificateDer<'static>| {
            let anchor = webpki::anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned());
            anchor.map_err(|_| unusable("an authority's certificate cannot be read"))
        };
        let anchors = read_pem(anchors)?.iter().map(anchor).collect::<Result<Vec<_>, _>>()?;
        let mut read = lists.iter().map(|list| read_list(list)).collect::<Result<Vec<_>, _>>()?;
        // Of two lists of one authority the newer one counts.
        read.sort_by_key(|(issued, _)| std::cmp::Reverse(*issued));
        let lists = read.into_iter().map(|(_, list)| list).collect();
        Ok(Trust { anchors, lists, demands_lists })
    }

    /// Whether the community vouches for a chain at this time.
    pub fn verify(&self, chain: &Chain, now: Timestamp) -> Result<Leaf, Distrust> {
        let leaf = EndEntityCert::try_from(chain.leaf()).map_err(|_| Distrust::Unreadable)?;
        let read = read_leaf(chain.leaf())?;
        let time = u64::try_from(now.as_second()).unwrap_or_default();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(time));
        let strict = self.walk(&leaf, chain, time, true);
        let revocation = match (strict, self.demands_lists) {
            (Ok(()), _) => Revocation::Known,
            (Err(Distrust::NoList), false) => {
                self.walk(&leaf, chain, time, false)?;
                Revocation::NoList
            }
            (Err(Distrust::StaleList), false) => {
                self.walk(&leaf, chain, time, false)?;
                Revocation::StaleList
            }
            (Err(distrust), _) => return Err(distrust),
        };
        Ok(Leaf { revocation, ..read })
    }

    fn walk(
        &self,
        leaf: &EndEntityCert<'_>,
        chain: &Chain,
        time: UnixTime,
        strict: bool,
    ) -> Result<(), Distrust> {
        let lists: Vec<&CertRevocationList<'_>> = self.lists.iter().collect();
        let revocation = revocation(&lists, strict);
        let algorithms = rustls::crypto::aws_lc_rs::default_provider();
        let algorithms = algorithms.signature_verification_algorithms.all;
        let path = leaf.verify_for_usage(
            algorithms,
            &self.anchors,
            chain.above(),
            time,
            AnyUsage,
            revocation,
            None,
        );
        match path.map_err(|error| distrust(&error)) {
            Err(distrust) => Err(distrust),
            Ok(_) if revocation.is_none() && strict => Err(Distrust::NoList),
            Ok(_) => Ok(()),
        }
    }
}

fn revocation<'a>(
    lists: &'a [&'a CertRevocationList<'a>],
    strict: bool,
) -> Option<RevocationOptions<'a>> {
    let builder = RevocationOptionsBuilder::new(lists).ok()?;
    Some(match strict {
        true => builder.with_expiration_policy(ExpirationPolicy::Enforce).build(),
        false => builder.with_status_policy(UnknownStatusPolicy::Allow).build(),
    })
}

/// What of a leaf is used: its URIs, its key, its end.
fn read_leaf(der: &CertificateDer<'_>) -> Result<Leaf, Distrust> {
    let (rest, leaf) = X509Certificate::from_der(der).map_err(|_| Distrust::Unreadable)?;
    if !rest.is_empty() {
        return Err(Distrust::Unreadable);
    }
    let usage = leaf.key_usage().map_err(|_| Distrust::Unreadable)?;
    if usage.is_some_and(|usage| !usage.value.digital_signature()) {
        return Err(Distrust::WrongUse);
    }
    leaf.subject_alternative_name().map_err(|_| Distrust::Unreadable)?;
    Ok(Leaf {
        uris: uris(der),
        key: leaf.public_key().subject_public_key.data.to_vec(),
        revocation: Revocation::NoList,
        thumbprint: Digest::of(der),
        not_after: leaf.validity().not_after.timestamp(),
    })
}

/// The URIs among a certificate's alternative names, as they are spelt; none where there are none or
/// the certificate cannot be read.
pub fn uris(der: &[u8]) -> Vec<String> {
    let Ok((_, leaf)) = X509Certificate::from_der(der) else { return Vec::new() };
    let Ok(names) = leaf.subject_alternative_name() else { return Vec::new() };
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let uris = names.filter_map(|name| match name {
        x509_parser::extensions::GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    uris.collect()
}

/// A list with when it was issued.
fn read_list(text: &[u8]) -> Result<(i64, CertRevocationList<'static>), Issue> {
    let der = list_der(text)?;
    let (_, read) = x509_parser::parse_x509_crl(&der).map_err(|_| unreadable_list())?;
    let issued = read.last_update().timestamp();
    let list = OwnedCertRevocationList::from_der(&der).map_err(|_| unreadable_list())?;
    Ok((issued, CertRevocationList::from(list)))
}

/// When the next list is due (RFC 5280 §5.1.2.5); none where the list (PEM or DER) does not say.
///
/// Errors: `KeyUnusable`.
pub fn next_list(text: &[u8]) -> Result<Option<Timestamp>, Issue> {
    let der = list_der(text)?;
    let (_, read) = x509_parser::parse_x509_crl(&der).map_err(|_| unreadable_list())?;
    let next = read.next_update().map(|next| Timestamp::from_second(next.timestamp()));
    next.transpose().map_err(|_| unreadable_list())
}

fn list_der(text: &[u8]) -> Result<Vec<u8>, Issue> {
    if !text.starts_with(b"-----BEGIN") {
        return Ok(text.to_vec());
    }
    let first = Pem::iter_from_buffer(text).next().and_then(Result::ok);
    first.map(|pem| pem.contents).ok_or_else(unreadable_list)
}

fn unreadable_list() -> Issue {
    unusable("a list of revoked certificates cannot be read")
}

/// webpki's reasons, in ours. What it cannot judge is no path.
fn distrust(error: &Error) -> Distrust {
    match error {
        Error::CertExpired { .. } => Distrust::Expired,
        Error::CertNotValidYet { .. } => Distrust::NotYet,
        Error::CertRevoked => Distrust::Revoked,
        Error::UnknownRevocationStatus => Distrust::NoList,
        Error::CrlExpired { .. } => Distrust::StaleList,
        Error::NameConstraintViolation => Distrust::Constrained,
        _ => Distrust::Unknown,
    }
}

fn unusable(detail: &str) -> Issue {
    Issue::new(Code::KeyUnusable, detail)
}
