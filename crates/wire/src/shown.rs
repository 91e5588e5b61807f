//! Shown: the certificates that a server shows, before anybody has decided to trust it.
//!
//! Comes in   a connection; certificates that a person trusts.
//! Goes out   whose certificates they are, in words one can compare over the telephone; which of the
//!            person's authorities they could come from.
//! Never      sends a request over such a connection: it is looked at and closed. Nothing here says that
//!            a server is trusted; `doorstep::shake_hands` does.

use crate::doorstep::TlsFault;
use crate::limits::SERVER_CHAIN_MAX;
use crate::reach::bare;
use crate::tls;
use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The certificates of one handshake, end entity first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    chain: Vec<CertificateDer<'static>>,
}

/// A certificate in words. All of them are the server's: show them as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its subject, or the first of its names where it has none.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Hosts it is made out for.
    pub hosts: Vec<String>,
    /// Until when it is valid.
    pub until: Timestamp,
    /// SHA-256 of the whole certificate, as browsers and openssl print it: `AB:CD:…`.
    pub sha256: String,
}

/// Looks at what a server shows.
///
/// # Errors
/// When no handshake came about.
pub async fn look(stream: TcpStream, host: &str, patience: Duration) -> Result<Shown, TlsFault> {
    let name = ServerName::try_from(bare(host).to_owned()).map_err(|_| TlsFault::OtherName)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|_| TlsFault::NothingInCommon)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Onlooker(provider)))
        .with_no_client_auth();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let shaken = timeout(patience, connecting).await.map_err(|_| TlsFault::CutOff)?;
    let stream = shaken.map_err(|error| crate::doorstep::fault(&error))?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain = chain.iter().take(SERVER_CHAIN_MAX).map(|one| one.clone().into_owned());
    Ok(Shown { chain: chain.collect() })
}

impl Shown {
    /// The server's own certificate in words; none where it cannot be read.
    pub fn described(&self) -> Option<Described> {
        let der = self.chain.first()?;
        let (_, read) = x509_parser::parse_x509_certificate(der).ok()?;
        let hosts = tls::hosts(&read).unwrap_or_default();
        let subject = common_name(read.subject());
        let subject = subject.or_else(|| hosts.first().cloned()).unwrap_or_default();
        let digest = Sha256::digest(der);
        let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        Some(Described {
            subject,
            issuer: common_name(read.issuer()).unwrap_or_else(|| "somebody without a name".into()),
            hosts,
            until: Timestamp::from_second(read.validity().not_after.timestamp()).ok()?,
            sha256: pairs.join(":"),
        })
    }

    /// Those certificates of a PEM bundle that could have issued one of these, as they stand there:
    /// a file of all authorities of the world is cut down to the one that counts.
    pub fn issuers_in(&self, bundle: &str) -> String {
        const END: &str = "-----END CERTIFICATE-----";
        let mut issuers: Vec<Vec<u8>> = Vec::new();
        for der in &self.chain {
            if let Ok((_, read)) = x509_parser::parse_x509_certificate(der) {
                issuers.push(read.issuer().as_raw().to_vec());
            }
        }
        let mut kept = String::new();
        for block in bundle.split_inclusive(END).filter(|block| block.contains(END)) {
            let start = block.find("-----BEGIN CERTIFICATE-----").unwrap_or_default();
            let block = &block[start..];
            let Ok(der) = CertificateDer::from_pem_slice(block.as_bytes()) else { continue };
            let Ok((_, read)) = x509_parser::parse_x509_certificate(&der) else { continue };
            if issuers.iter().any(|issuer| issuer == read.subject().as_raw()) {
                kept.push_str(block);
                kept.push('\n');
            }
        }
        kept
    }
}

fn common_name(name: &x509_parser::x509::X509Name<'_>) -> Option<String> {
    let found = name.iter_common_name().next()?.as_str().ok()?;
    Some(found.to_owned()).filter(|name| !name.is_empty())
}

/// Takes any certificate, whose key the server proves to hold: it is only looked at.
#[derive(Debug)]
struct Onlooker(Arc<CryptoProvider>);

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
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

#[cfg(test)]
mod tests {
    //! Goal: people can compare what was shown, and of their authorities only those that count are kept.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bundle_is_cut_down_to_who_could_have_issued_it() {
        let (ours, key) = tls::make_authority("Sunrise authority").unwrap();
        let (other, _) = tls::make_authority("Other authority").unwrap();
        // The same name, another key: who compares names alone keeps it, and the handshake refuses it.
        let (namesake, _) = tls::make_authority("Sunrise authority").unwrap();
        let hosts = ["plan.example".to_owned(), "127.0.0.1".to_owned()];
        let (leaf, _) = tls::issue_server_certificate(&ours, &key, &hosts).unwrap();
        let shown = Shown { chain: vec![CertificateDer::from_pem_slice(leaf.as_bytes()).unwrap()] };
        let count = |bundle: &str| shown.issuers_in(bundle).matches("BEGIN CERTIFICATE").count();
        let table = [
            ("alone", ours.clone(), 1),
            ("among others", format!("# roots\n{other}{ours}{other}"), 1),
            ("a namesake", format!("{namesake}{ours}"), 2),
            ("another", other, 0),
            ("nothing", String::new(), 0),
            ("half of one", ours[..ours.len() / 2].to_owned(), 0),
            (
                "no certificate",
                "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----".into(),
                0,
            ),
        ];
        for (case, bundle, wanted) in table {
            assert_eq!(count(&bundle), wanted, "{case}");
        }
        assert_eq!(shown.issuers_in(&ours).trim(), ours.trim());
        let told = shown.described().unwrap();
        assert_eq!(
            (told.subject.as_str(), told.issuer.as_str()),
            ("plan.example", "Sunrise authority")
        );
        assert_eq!(told.hosts, hosts);
        assert!(
            told.sha256.len() == 95 && told.sha256.matches(':').count() == 31,
            "{}",
            told.sha256
        );
        assert!(Shown { chain: Vec::new() }.described().is_none());
        let broken = Shown { chain: vec![CertificateDer::from(vec![0x30, 0x82])] };
        assert!(broken.described().is_none() && broken.issuers_in(&ours).is_empty());
    }
}
