//! TLS: the private certificate authority of a house, its server certificate, and the server side.
//!
//! Comes in   names of hosts; certificates and keys as PEM.
//! Goes out   PEM text, or a rustls configuration for TLS 1.2 and 1.3.
//! Never      writes a file, offers TLS below 1.2, or draws anything but keys.
//!
//! Why a private authority: two houses that exchange their public files trust exactly each other,
//! on a laptop as in a hospital, without buying a certificate first. The authority may sign server
//! certificates only directly (path length 0), so a stolen server key cannot make new ones.

use crate::limits::{AUTHORITY_YEARS, CLIENT_CERTIFICATE_DAYS, SERVER_CERTIFICATE_DAYS};
use exchange::{Code, Issue};
use jiff::{SignedDuration, Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa};
use rcgen::{Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::sync::Arc;

/// The server's side of TLS, made.
pub type ServerTls = Arc<rustls::ServerConfig>;

/// Makes a certificate authority: `(certificate, private key)`, both PEM, valid ten years from now.
///
/// `basicConstraints` CA with path length 0; `keyUsage` keyCertSign and cRLSign (RFC 5280 §4.2.1).
pub fn make_authority(name: &str) -> Result<(String, String), Issue> {
    make_authority_at(name, Timestamp::now())
}

/// [`make_authority`] at a given time.
pub fn make_authority_at(name: &str, now: Timestamp) -> Result<(String, String), Issue> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(unusable)?;
    let mut params = CertificateParams::default();
    let today = day_of(now);
    set_validity(&mut params, today, today.saturating_add(AUTHORITY_YEARS.years()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(unusable)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Issues a server certificate for DNS names and IP addresses: `(certificate, private key)`, PEM,
/// valid 397 days from now.
///
/// Errors: `KeyUnusable` when the authority cannot be read or a host name is not one.
pub fn issue_server_certificate(
    ca_cert_pem: &str,
    ca_key_pem: &str,
    hosts: &[String],
) -> Result<(String, String), Issue> {
    issue_server_certificate_at(ca_cert_pem, ca_key_pem, hosts, Timestamp::now())
}

/// [`issue_server_certificate`] at a given time.
pub fn issue_server_certificate_at(
    ca_cert_pem: &str,
    ca_key_pem: &str,
    hosts: &[String],
    now: Timestamp,
) -> Result<(String, String), Issue> {
    let Some(first) = hosts.first() else {
        return Err(Issue::new(Code::KeyUnusable, "a server certificate needs at least one host"));
    };
    let authority_key = KeyPair::from_pem(ca_key_pem).map_err(unusable)?;
    check_belongs(ca_cert_pem, &authority_key)?;
    let issuer = Issuer::from_ca_cert_pem(ca_cert_pem, authority_key).map_err(unusable)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(unusable)?;
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(unusable)?;
    let today = day_of(now);
    set_validity(&mut params, today, today.saturating_add(SERVER_CERTIFICATE_DAYS.days()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, first.as_str());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).map_err(unusable)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Issues a client certificate that carries this URI and nothing else: `(certificate, private key)`,
/// PEM, valid as long as a server's.
///
/// Errors: `KeyUnusable` when the authority cannot be read or the URI is none.
pub fn issue_client_certificate_at(
    ca_cert_pem: &str,
    ca_key_pem: &str,
    uri: &str,
    now: Timestamp,
) -> Result<(String, String), Issue> {
    let authority_key = KeyPair::from_pem(ca_key_pem).map_err(unusable)?;
    check_belongs(ca_cert_pem, &authority_key)?;
    let issuer = Issuer::from_ca_cert_pem(ca_cert_pem, authority_key).map_err(unusable)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(unusable)?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(unusable)?)];
    let today = day_of(now);
    set_validity(&mut params, today, today.saturating_add(CLIENT_CERTIFICATE_DAYS.days()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).map_err(unusable)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// The server side: TLS 1.2 and 1.3 by aws-lc-rs, ALPN `h2` before `http/1.1`.
///
/// Errors: `KeyUnusable` when chain or key cannot be read or do not belong together.
pub fn server_config(
    cert_chain_pem: &[u8],
    key_pem: &[u8],
) -> Result<Arc<rustls::ServerConfig>, Issue> {
    server_config_with(cert_chain_pem, key_pem, WebPkiClientVerifier::no_client_auth())
}

/// The same, where clients are asked for a certificate: `trust::mutual::asking`.
///
/// Errors: as `server_config`.
pub fn server_config_with(
    cert_chain_pem: &[u8],
    key_pem: &[u8],
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<Arc<rustls::ServerConfig>, Issue> {
    let chain = CertificateDer::pem_slice_iter(cert_chain_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Issue::new(Code::KeyUnusable, "the server certificate is not readable PEM"))?;
    if chain.is_empty() {
        return Err(Issue::new(Code::KeyUnusable, "the server certificate's file holds none"));
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem)
        .map_err(|_| Issue::new(Code::KeyUnusable, "the server key is not readable PEM"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .and_then(|builder| builder.with_client_cert_verifier(clients).with_single_cert(chain, key))
        .map_err(|error| {
            tracing::error!(%error, "server certificate and key");
            Issue::new(Code::KeyUnusable, "server certificate and key do not belong together")
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Whole days until the first certificate of a PEM ends; negative once it has ended.
///
/// Errors: `KeyUnusable` when there is none to read.
pub fn certificate_days_left(pem: &[u8], now: Timestamp) -> Result<i64, Issue> {
    let unreadable = |_| Issue::new(Code::KeyUnusable, "the certificate is not readable PEM");
    let der = CertificateDer::from_pem_slice(pem).map_err(unreadable)?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der)
        .map_err(|_| Issue::new(Code::KeyUnusable, "the certificate cannot be read"))?;
    let end = certificate.validity().not_after.timestamp();
    Ok((end - now.as_second()).div_euclid(SignedDuration::from_hours(24).as_secs()))
}

/// An authority's certificate next to another authority's key would issue what nobody accepts.
fn check_belongs(ca_cert_pem: &str, key: &KeyPair) -> Result<(), Issue> {
    let strange = || Issue::new(Code::KeyUnusable, "the authority's certificate and key differ");
    let der = CertificateDer::from_pem_slice(ca_cert_pem.as_bytes()).map_err(|_| strange())?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(|_| strange())?;
    let public = certificate.public_key().subject_public_key.data.as_ref();
    if public == key.public_key_raw() { Ok(()) } else { Err(strange()) }
}

fn day_of(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date()
}

/// Valid from the day before, so that a partner's slow clock does not refuse a new certificate.
fn set_validity(params: &mut CertificateParams, from: Date, until: Date) {
    let at =
        |date: Date| rcgen::date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8);
    params.not_before = at(from.saturating_sub(1.day()));
    params.not_after = at(until);
}

fn unusable(error: rcgen::Error) -> Issue {
    tracing::error!(%error, "certificate or key");
    Issue::new(Code::KeyUnusable, "a certificate or key of the authority cannot be used")
}
