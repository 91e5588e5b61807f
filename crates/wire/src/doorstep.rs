//! Doorstep: how far one comes at an address, step by step: name, connection, TLS.
//!
//! Comes in   host and port, the authorities to trust, how long each step may take.
//! Goes out   what was found; or why it went no further, told apart by who can mend it.
//! Never      sends a request: what is learnt here is learnt before anything could be disclosed.
//!
//! Why beside the transport: it says only that no connection came about. Whoever looks for the fault
//! needs to know whether it was the name, the port, the certificate, its date or its names.

use crate::reach::bare;
use crate::tls::days_of;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ProtocolVersion, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Why TLS did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate's time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is made out for other names.
    OtherName,
    /// It comes from an authority that this house does not trust for this partner.
    UnknownAuthority,
    /// It is a certificate that no server may show, or a broken one.
    BadCertificate(String),
    /// No version or cipher in common: TLS 1.2 is the least.
    NothingInCommon,
    /// The server wants a certificate of this house.
    WantsCertificate,
    /// What answers does not speak TLS.
    NotTls,
    /// It ended or fell silent half-way.
    CutOff,
    /// The authorities to trust cannot be read.
    NoRoots,
}

/// A handshake that came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shaken {
    /// `TLS 1.2` or `TLS 1.3`.
    pub version: &'static str,
    /// Whole days until the server's certificate ends.
    pub days_left: i64,
}

/// The addresses a name leads to.
///
/// # Errors
/// When there is none, or nobody answers in time.
pub async fn resolve(host: &str, port: u16, patience: Duration) -> io::Result<Vec<SocketAddr>> {
    let found = timeout(patience, lookup_host((bare(host), port))).await;
    let addresses: Vec<SocketAddr> = found.map_err(|_| io::ErrorKind::TimedOut)??.collect();
    match addresses.is_empty() {
        true => Err(io::ErrorKind::NotFound.into()),
        false => Ok(addresses),
    }
}

/// A connection to the first address that takes one.
///
/// # Errors
/// Those of the last address tried.
pub async fn connect(addresses: &[SocketAddr], patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Shakes hands as the transport would, and ends the connection.
///
/// # Errors
/// Why it did not come about.
pub async fn shake_hands(
    stream: TcpStream,
    host: &str,
    roots_pem: &[&[u8]],
    now: Timestamp,
    patience: Duration,
) -> Result<Shaken, TlsFault> {
    let name = ServerName::try_from(bare(host).to_owned()).map_err(|_| TlsFault::OtherName)?;
    let connector = TlsConnector::from(Arc::new(client_config(roots_pem)?));
    let shaken = timeout(patience, connector.connect(name, stream)).await;
    let stream = shaken.map_err(|_| TlsFault::CutOff)?.map_err(|error| fault(&error))?;
    let (_, session) = stream.get_ref();
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS 1.2",
    };
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let days_left = leaf.and_then(|leaf| days_of(leaf, now).ok()).unwrap_or_default();
    Ok(Shaken { version, days_left })
}

fn client_config(roots_pem: &[&[u8]]) -> Result<ClientConfig, TlsFault> {
    let mut roots = RootCertStore::empty();
    for pem in roots_pem {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| TlsFault::NoRoots)?;
            roots.add(certificate).map_err(|_| TlsFault::NoRoots)?;
        }
    }
    if roots.is_empty() {
        return Err(TlsFault::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|_| TlsFault::NothingInCommon)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

pub(crate) fn fault(error: &io::Error) -> TlsFault {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(certificate)) => certificate_fault(certificate),
        Some(rustls::Error::AlertReceived(alert)) => alert_fault(*alert),
        Some(rustls::Error::PeerIncompatible(_)) => TlsFault::NothingInCommon,
        Some(rustls::Error::InvalidMessage(_)) => TlsFault::NotTls,
        _ => TlsFault::CutOff,
    }
}

fn certificate_fault(error: &CertificateError) -> TlsFault {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsFault::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFault::OtherName
        }
        // What one authority's name and another one's key have signed is not trusted either.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            TlsFault::UnknownAuthority
        }
        other => TlsFault::BadCertificate(format!("{other:?}").chars().take(80).collect()),
    }
}

fn alert_fault(alert: AlertDescription) -> TlsFault {
    match alert {
        AlertDescription::CertificateRequired
        | AlertDescription::BadCertificate
        | AlertDescription::UnknownCA => TlsFault::WantsCertificate,
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
            TlsFault::NothingInCommon
        }
        _ => TlsFault::CutOff,
    }
}
