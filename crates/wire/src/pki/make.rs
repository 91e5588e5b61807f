//! Make: a community's authority, and certificates for its applications.
//!
//! Comes in   names, URIs, the time.
//! Goes out   PEM text.
//! Never      writes a file. Real communities have authorities of their own: these are for houses
//!            that found one between themselves, for the demonstration and for tests.

use crate::limits::{AUTHORITY_YEARS, COMMUNITY_URIS_MAX, SERVER_CERTIFICATE_DAYS};
use exchange::{Code, Issue};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams,
    CertificateSigningRequestParams, DistinguishedName, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RevokedCertParams, RsaKeySize,
    SanType, SerialNumber,
};

/// A certificate and its private key, both PEM.
pub struct Made {
    /// The certificate.
    pub certificate: String,
    /// Its key (PKCS#8).
    pub key: String,
}

/// A community's authority, valid ten years from now.
///
/// Errors: `KeyUnusable` when none can be drawn.
pub fn community(name: &str, now: Timestamp) -> Result<Made, Issue> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(unusable)?;
    let mut params = named(name, now, AUTHORITY_YEARS.years())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(unusable)?;
    Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// A certificate for an application, with an RSA key (a server of a community signs by RS256) and
/// these URIs among its names; valid 397 days from now.
///
/// Errors: `KeyUnusable`, also for a URI that is not ASCII.
pub fn application(
    authority: &Made,
    name: &str,
    uris: &[String],
    now: Timestamp,
) -> Result<Made, Issue> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(unusable)?;
    let mut params = named(name, now, SERVER_CERTIFICATE_DAYS.days())?;
    for uri in uris {
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().map_err(unusable)?));
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer(authority)?).map_err(unusable)?;
    Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// A key for an application of a community (RSA, PKCS#8 PEM).
///
/// Errors: `KeyUnusable` when none can be drawn.
pub fn application_key() -> Result<String, Issue> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(unusable)?;
    Ok(key.serialize_pem())
}

/// A request for a certificate with this URI, signed by the key it is for (PKCS#10, PEM).
///
/// Errors: `KeyUnusable`, also for a URI that is not ASCII.
pub fn request(key: &str, name: &str, uri: &str) -> Result<String, Issue> {
    let key = KeyPair::from_pem(key).map_err(unusable)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names.push(SanType::URI(uri.try_into().map_err(unusable)?));
    params.serialize_request(&key).map_err(unusable)?.pem().map_err(unusable)
}

/// A certificate for who signed a request, with the URIs it names and nothing else of what it asks for;
/// valid 397 days from now. Answers the URIs as well: whoever admits them looks at them.
///
/// Errors: `KeyUnusable` for what is no request, is not signed by its key, or names no URI.
pub fn admit(
    authority: &Made,
    request: &str,
    now: Timestamp,
) -> Result<(String, Vec<String>), Issue> {
    let unread = |detail: &str| Issue::new(Code::KeyUnusable, detail);
    let read = CertificateSigningRequestParams::from_pem(request).map_err(|error| {
        tracing::debug!(%error, "request");
        unread("the request cannot be read, or is not signed by the key it is for")
    })?;
    let uris: Vec<String> = read.params.subject_alt_names.iter().filter_map(uri_of).collect();
    if uris.is_empty() || uris.len() > COMMUNITY_URIS_MAX {
        return Err(unread("the request names no URI, or more than a member has"));
    }
    let name = uris.first().map(String::as_str).unwrap_or_default();
    let mut params = named(name, now, SERVER_CERTIFICATE_DAYS.days())?;
    for uri in &uris {
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().map_err(unusable)?));
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&read.public_key, &issuer(authority)?).map_err(unusable)?;
    Ok((certificate.pem(), uris))
}

fn uri_of(name: &SanType) -> Option<String> {
    match name {
        SanType::URI(uri) => Some(uri.to_string()),
        _ => None,
    }
}

/// A list of the serial numbers that an authority revoked, to be renewed within 30 days (PEM).
///
/// Errors: `KeyUnusable`.
pub fn revoked(authority: &Made, serials: &[Vec<u8>], now: Timestamp) -> Result<String, Issue> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let revoked = |serial: &Vec<u8>| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: at!(today),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: at!(today),
        next_update: at!(today.saturating_add(30.days())),
        crl_number: SerialNumber::from(now.as_second().unsigned_abs()),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = params.signed_by(&issuer(authority)?).map_err(unusable)?;
    list.pem().map_err(unusable)
}

fn issuer(authority: &Made) -> Result<Issuer<'static, KeyPair>, Issue> {
    let key = KeyPair::from_pem(&authority.key).map_err(unusable)?;
    Issuer::from_ca_cert_pem(&authority.certificate, key).map_err(unusable)
}

fn named(name: &str, now: Timestamp, life: jiff::Span) -> Result<CertificateParams, Issue> {
    let mut params = CertificateParams::default();
    let today = now.to_zoned(TimeZone::UTC).date();
    params.not_before = at!(today.saturating_sub(1.day()));
    params.not_after = at!(today.saturating_add(life));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// A day as rcgen takes it: year, month, day.
fn ymd(date: Date) -> (i32, u8, u8) {
    (date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
}

macro_rules! at {
    ($date:expr) => {{
        let (year, month, day) = ymd($date);
        rcgen::date_time_ymd(year, month, day)
    }};
}
use at;

fn unusable(error: rcgen::Error) -> Issue {
    tracing::error!(%error, "certificate of a community");
    Issue::new(Code::KeyUnusable, "a certificate of the community cannot be made")
}
