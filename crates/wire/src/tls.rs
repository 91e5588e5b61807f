//! TLS: the private certificate authority of a house, its server certificate, and the server side.
//!
//! Comes in   names of hosts; certificates and keys as PEM.
//! Goes out   PEM text, requests for certificates, or a rustls configuration for TLS 1.2 and 1.3.
//! Never      writes a file, offers TLS below 1.2, or draws anything but keys.
//!
//! Why a private authority: two houses that exchange their public files trust exactly each other,
//! on a laptop as in a hospital, without buying a certificate first. The authority may sign server
//! certificates only directly (path length 0), so a stolen server key cannot make new ones.

mod live;

pub use live::{LiveCertificate, live_server_config, server_config};

use crate::keys::SigningKey;
use crate::limits::{AUTHORITY_YEARS, CLIENT_CERTIFICATE_DAYS, SERVER_CERTIFICATE_DAYS};
use exchange::{Code, Issue};
use jiff::{SignedDuration, Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, SanType};
use rcgen::{Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

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
    let key = SigningKey::generate()?;
    let certificate = issue_certificate_at(ca_cert_pem, ca_key_pem, hosts, &key, now)?;
    Ok((certificate, key.to_pem()))
}

/// Issues a server certificate for a key that is there; PEM.
///
/// Errors: as [`issue_server_certificate`].
pub fn issue_certificate_at(
    ca_cert_pem: &str,
    ca_key_pem: &str,
    hosts: &[String],
    key: &SigningKey,
    now: Timestamp,
) -> Result<String, Issue> {
    let Some(first) = hosts.first() else {
        return Err(Issue::new(Code::KeyUnusable, "a server certificate needs at least one host"));
    };
    let authority_key = KeyPair::from_pem(ca_key_pem).map_err(unusable)?;
    check_belongs(ca_cert_pem, &authority_key)?;
    let issuer = Issuer::from_ca_cert_pem(ca_cert_pem, authority_key).map_err(unusable)?;
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(unusable)?;
    let today = day_of(now);
    set_validity(&mut params, today, today.saturating_add(SERVER_CERTIFICATE_DAYS.days()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, first.as_str());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(key, &issuer).map_err(unusable)?;
    Ok(certificate.pem())
}

/// Issues a client certificate that carries this URI and nothing else, for a key that is there; PEM,
/// valid as long as a server's.
///
/// Errors: `KeyUnusable` when the authority cannot be read or the URI is none.
pub fn issue_client_certificate_at(
    ca_cert_pem: &str,
    ca_key_pem: &str,
    uri: &str,
    key: &SigningKey,
    now: Timestamp,
) -> Result<String, Issue> {
    let authority_key = KeyPair::from_pem(ca_key_pem).map_err(unusable)?;
    check_belongs(ca_cert_pem, &authority_key)?;
    let issuer = Issuer::from_ca_cert_pem(ca_cert_pem, authority_key).map_err(unusable)?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(unusable)?)];
    let today = day_of(now);
    set_validity(&mut params, today, today.saturating_add(CLIENT_CERTIFICATE_DAYS.days()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(key, &issuer).map_err(unusable)?;
    Ok(certificate.pem())
}

/// Whole days until the first certificate of a PEM ends; negative once it has ended.
///
/// Errors: `KeyUnusable` when there is none to read.
pub fn certificate_days_left(pem: &[u8], now: Timestamp) -> Result<i64, Issue> {
    let unreadable = |_| Issue::new(Code::KeyUnusable, "the certificate is not readable PEM");
    days_of(&CertificateDer::from_pem_slice(pem).map_err(unreadable)?, now)
}

/// Whole days until each certificate of a PEM ends, in their order.
///
/// Errors: `KeyUnusable` when one cannot be read, or there is none.
pub fn days_of_each(pem: &[u8], now: Timestamp) -> Result<Vec<i64>, Issue> {
    let unreadable = || Issue::new(Code::KeyUnusable, "the certificate is not readable PEM");
    let days = CertificateDer::pem_slice_iter(pem)
        .map(|der| days_of(&der.map_err(|_| unreadable())?, now))
        .collect::<Result<Vec<i64>, Issue>>()?;
    if days.is_empty() { Err(unreadable()) } else { Ok(days) }
}

pub(crate) fn days_of(der: &[u8], now: Timestamp) -> Result<i64, Issue> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der)
        .map_err(|_| Issue::new(Code::KeyUnusable, "the certificate cannot be read"))?;
    let end = certificate.validity().not_after.timestamp();
    Ok((end - now.as_second()).div_euclid(SignedDuration::from_hours(24).as_secs()))
}

/// A request for a certificate (PKCS#10, RFC 2986), PEM, with the names of an earlier certificate: DNS
/// names, addresses and URIs (UDAP), and its subject.
///
/// Errors: `KeyUnusable` when the certificate cannot be read or has no name.
pub fn request_like(certificate: &[u8], key: &SigningKey) -> Result<String, Issue> {
    let unreadable = || Issue::new(Code::KeyUnusable, "the certificate cannot be read");
    let der = CertificateDer::from_pem_slice(certificate).map_err(|_| unreadable())?;
    let (_, before) = x509_parser::parse_x509_certificate(&der).map_err(|_| unreadable())?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let words =
        |name: &x509_parser::x509::AttributeTypeAndValue<'_>| name.as_str().ok().map(str::to_owned);
    let subject = before.subject();
    if let Some(name) = subject.iter_organization().next().and_then(words) {
        params.distinguished_name.push(DnType::OrganizationName, name);
    }
    if let Some(name) = subject.iter_common_name().next().and_then(words) {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.subject_alt_names = names_of(&before)?;
    if params.subject_alt_names.is_empty() {
        return Err(Issue::new(Code::KeyUnusable, "the certificate names no host and no URI"));
    }
    let request = params.serialize_request(key).map_err(unusable)?;
    request.pem().map_err(unusable)
}

/// The hosts (DNS names and addresses) that a certificate is for, in its order.
///
/// Errors: `KeyUnusable`.
pub fn hosts_of(certificate: &[u8]) -> Result<Vec<String>, Issue> {
    let unreadable = || Issue::new(Code::KeyUnusable, "the certificate cannot be read");
    let der = CertificateDer::from_pem_slice(certificate).map_err(|_| unreadable())?;
    let (_, read) = x509_parser::parse_x509_certificate(&der).map_err(|_| unreadable())?;
    hosts(&read)
}

/// The same of one that was read.
pub(crate) fn hosts(certificate: &X509Certificate<'_>) -> Result<Vec<String>, Issue> {
    let names = names_of(certificate)?.into_iter();
    let host = |name| match name {
        SanType::DnsName(name) => Some(name.to_string()),
        SanType::IpAddress(address) => Some(address.to_string()),
        _ => None,
    };
    Ok(names.filter_map(host).collect())
}

fn names_of(certificate: &X509Certificate<'_>) -> Result<Vec<SanType>, Issue> {
    let strange = || Issue::new(Code::KeyUnusable, "the certificate's names cannot be read");
    let Some(names) = certificate.subject_alternative_name().map_err(|_| strange())? else {
        return Ok(Vec::new());
    };
    let read = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => (*name).try_into().ok().map(SanType::DnsName),
        GeneralName::URI(uri) => (*uri).try_into().ok().map(SanType::URI),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let sixteen = || <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from);
            four.or_else(|_| sixteen()).ok().map(SanType::IpAddress)
        }
        _ => None,
    };
    Ok(names.value.general_names.iter().filter_map(read).collect())
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
