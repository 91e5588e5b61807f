//! Mutual TLS: whom the certificate of a connection speaks for.
//!
//! Comes in   the chain that a peer presented in its handshake; what partners registered of theirs.
//! Goes out   the one client that the certificate is registered for; its thumbprint (RFC 8705 §3.1).
//! Never      lets one partner's authority speak for another: each is asked about its own client only.
//!
//! Why the handshake takes every certificate: it proves that the peer holds the key, and no more. A
//! certificate that is nobody's counts as none, so that its sender gets an answer it can read (401)
//! and not a broken connection; and which authorities are registered here is told to nobody.

use crate::limits::CLIENT_CHAIN_MAX;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use exchange::partner::ClientCertificate;
use exchange::{Code, Issue};
use jiff::Timestamp;
use rustls::SignatureScheme;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// The certificate of one connection: its peer holds the key, and nothing else is known of it.
pub struct Presented {
    chain: Vec<CertificateDer<'static>>,
    sha256: [u8; 32],
    /// Whom it speaks for, and from when to when, by an edition of what is registered: a connection
    /// keeps its certificate, and is asked about it with every request.
    whose: Mutex<Option<(u64, Option<Speaks>)>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Speaks {
    client_id: String,
    from: i64,
    until: i64,
}

impl Presented {
    /// The chain of a handshake, end entity first; none where none was presented.
    pub fn of(chain: &[CertificateDer<'_>]) -> Option<Presented> {
        let sha256 = Sha256::digest(chain.first()?).into();
        let chain = chain.iter().map(|one| one.clone().into_owned()).collect();
        Some(Presented { chain, sha256, whose: Mutex::default() })
    }

    /// `x5t#S256`: the SHA-256 of the certificate, base64url (RFC 8705 §3.1).
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.sha256)
    }
}

/// What partners registered of their certificates.
pub struct Certificates {
    by_client: BTreeMap<String, Registered>,
    edition: u64,
}

impl Default for Certificates {
    fn default() -> Certificates {
        static EDITION: AtomicU64 = AtomicU64::new(0);
        let edition = EDITION.fetch_add(1, Ordering::Relaxed);
        Certificates { by_client: BTreeMap::new(), edition }
    }
}

/// One client's certificate.
struct Registered {
    known: Known,
    /// It signs in by the certificate alone.
    alone: bool,
    /// It gets no token without the certificate.
    required: bool,
}

enum Known {
    /// This very certificate.
    Pinned([u8; 32]),
    /// One of this authority that carries this name.
    Issued { authority: Arc<dyn ClientCertVerifier>, san: San },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum San {
    Uri(String),
    Dns(String),
    Ip(IpAddr),
}

impl Certificates {
    /// Registers a client's certificate; `alone` where it signs in by nothing else, `revoked` lists
    /// (CRL, PEM) of its authority, where there are any.
    ///
    /// Errors: `ConfigInvalid` for what cannot be read.
    pub fn register(
        &mut self,
        client_id: &str,
        certificate: &ClientCertificate,
        alone: bool,
        revoked: &[Vec<u8>],
    ) -> Result<(), Issue> {
        let known = known(certificate, revoked)
            .map_err(|detail| Issue::new(Code::ConfigInvalid, detail).at("client_certificate"))?;
        let registered = Registered { known, alone, required: certificate.required };
        self.by_client.insert(client_id.to_owned(), registered);
        Ok(())
    }

    /// Whether nobody has registered one.
    pub fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    /// The client that a certificate speaks for now; none where it is nobody's, or two clients'.
    pub(crate) fn client_of(&self, presented: &Presented, now: Timestamp) -> Option<String> {
        let mut known = presented.whose.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match &*known {
            Some((edition, whose)) if *edition == self.edition => whose.clone(),
            _ => known.insert((self.edition, self.find(presented, now))).1.clone(),
        };
        let now = now.as_second();
        found.filter(|it| it.from <= now && now <= it.until).map(|it| it.client_id)
    }

    /// Whether a client signs in by its certificate alone.
    pub(crate) fn is_alone(&self, client_id: &str) -> bool {
        self.by_client.get(client_id).is_some_and(|registered| registered.alone)
    }

    /// Whether a client gets no token without its certificate.
    pub(crate) fn is_required(&self, client_id: &str) -> bool {
        self.by_client.get(client_id).is_some_and(|registered| registered.required)
    }

    fn find(&self, presented: &Presented, now: Timestamp) -> Option<Speaks> {
        let (end, rest) = presented.chain.split_first()?;
        let (_, certificate) = x509_parser::parse_x509_certificate(end).ok()?;
        let validity = certificate.validity();
        let speaks = |registered: &Registered| match &registered.known {
            Known::Pinned(digest) => verify_slices_are_equal(digest, &presented.sha256).is_ok(),
            Known::Issued { authority, san } => {
                let at = Duration::from_secs(now.as_second().try_into().unwrap_or(0));
                carries(&certificate, san)
                    && authority
                        .verify_client_cert(end, rest, UnixTime::since_unix_epoch(at))
                        .inspect_err(|error| tracing::debug!(%error, "client certificate"))
                        .is_ok()
            }
        };
        let mut found = self.by_client.iter().filter(|(_, registered)| speaks(registered));
        let (Some((client_id, _)), None) = (found.next(), found.next()) else { return None };
        let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        Some(Speaks { client_id: client_id.clone(), from, until })
    }
}

/// What a registration says. The error is a sentence.
fn known(certificate: &ClientCertificate, revoked: &[Vec<u8>]) -> Result<Known, &'static str> {
    if !certificate.sha256.is_empty() {
        let digest: exchange::Digest =
            certificate.sha256.to_ascii_lowercase().parse().map_err(|_| "sha256 is no SHA-256")?;
        return Ok(Known::Pinned(digest.0));
    }
    let san = San::parse(&certificate.san).ok_or("the san is not one of uri:…, dns:… or ip:…")?;
    let unreadable = "the authority of a client certificate is not readable PEM";
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(certificate.authority.as_bytes()) {
        roots.add(root.map_err(|_| unreadable)?).map_err(|_| unreadable)?;
    }
    if roots.is_empty() {
        return Err("the authority of a client certificate holds none");
    }
    let mut lists = Vec::new();
    for pem in revoked {
        for list in CertificateRevocationListDer::pem_slice_iter(pem) {
            lists.push(list.map_err(|_| "a list of revoked certificates is not readable PEM")?);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    // Another authority's list says nothing about this one's certificates.
    let builder = builder.with_crls(lists).allow_unknown_revocation_status();
    let authority =
        builder.build().map_err(|_| "the authority of a client certificate is of no use")?;
    Ok(Known::Issued { authority, san })
}

impl San {
    fn parse(text: &str) -> Option<San> {
        match text.split_once(':')? {
            ("uri", uri) => Some(San::Uri(uri.to_owned())),
            ("dns", name) => Some(San::Dns(name.to_owned())),
            ("ip", address) => address.parse().ok().map(San::Ip),
            _ => None,
        }
    }

    fn is(&self, name: &GeneralName<'_>) -> bool {
        match (self, name) {
            (San::Uri(uri), GeneralName::URI(found)) => uri == found,
            (San::Dns(name), GeneralName::DNSName(found)) => name == found,
            (San::Ip(IpAddr::V4(ip)), GeneralName::IPAddress(found)) => ip.octets() == **found,
            (San::Ip(IpAddr::V6(ip)), GeneralName::IPAddress(found)) => ip.octets() == **found,
            _ => false,
        }
    }
}

/// Whether a certificate carries a name, exactly.
fn carries(certificate: &X509Certificate<'_>, san: &San) -> bool {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.is_some_and(|names| names.value.general_names.iter().any(|name| san.is(name)))
}

/// The server's side of a handshake that asks for a certificate and takes any, or none: it only has
/// the peer prove that it holds the key.
pub fn asking() -> Arc<dyn ClientCertVerifier> {
    Arc::new(Asking(Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}

#[derive(Debug)]
struct Asking(Arc<CryptoProvider>);

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if intermediates.len() >= CLIENT_CHAIN_MAX {
            return Err(CertificateError::BadEncoding.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
