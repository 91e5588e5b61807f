//! Live: the certificate that new connections are shown, which may change while a house runs.
//!
//! Comes in   a chain and its key, PEM, whenever their files have changed.
//! Goes out   a rustls configuration that asks for the certificate at each handshake.
//! Never      takes up a pair that is half-written or does not belong together: the one before stays.
//!
//! Why connections that are there stay as they are: they are proved already, and whoever waits for an
//! answer on one must get it. None lives longer than an hour.

use super::days_of;
use exchange::{Code, Issue};
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::{Arc, PoisonError, RwLock};

/// A server certificate with its key, to be changed for a newer one.
#[derive(Debug)]
pub struct LiveCertificate(RwLock<Arc<CertifiedKey>>);

impl LiveCertificate {
    /// The first one.
    ///
    /// Errors: `KeyUnusable` when chain or key cannot be read or do not belong together.
    pub fn new(chain_pem: &[u8], key_pem: &[u8]) -> Result<LiveCertificate, Issue> {
        let pair = certified(chain_pem, key_pem)?;
        Ok(LiveCertificate(RwLock::new(Arc::new(pair))))
    }

    /// Takes up another one for all handshakes from now on; whether it is another.
    ///
    /// Errors: as `new`; then the one before stays.
    pub fn replace(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<bool, Issue> {
        let pair = certified(chain_pem, key_pem)?;
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let other = kept.cert != pair.cert;
        *kept = Arc::new(pair);
        Ok(other)
    }

    /// Whole days until the first certificate of the chain ends.
    ///
    /// Errors: `KeyUnusable` when one cannot be read.
    pub fn days_left(&self, now: Timestamp) -> Result<i64, Issue> {
        let days: Result<Vec<i64>, Issue> =
            self.now().cert.iter().map(|der| days_of(der, now)).collect();
        Ok(days?.into_iter().min().unwrap_or_default())
    }

    fn now(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for LiveCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }
}

/// The server side: TLS 1.2 and 1.3 by aws-lc-rs, ALPN `h2` before `http/1.1`.
///
/// Errors: `KeyUnusable` when chain or key cannot be read or do not belong together.
pub fn server_config(cert_chain_pem: &[u8], key_pem: &[u8]) -> Result<Arc<ServerConfig>, Issue> {
    live_server_config(Arc::new(LiveCertificate::new(cert_chain_pem, key_pem)?), None)
}

/// The same over a certificate that may change, and with somebody who looks at clients' certificates.
///
/// Errors: `KeyUnusable` when the library refuses its own defaults.
pub fn live_server_config(
    certificate: Arc<LiveCertificate>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, Issue> {
    let clients = clients.unwrap_or_else(|| Arc::new(NoClientAuth));
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| {
            tracing::error!(%error, "TLS server");
            Issue::new(Code::KeyUnusable, "the TLS library cannot be set up")
        })?;
    let mut config = builder.with_client_cert_verifier(clients).with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A chain with its key. Errors: `KeyUnusable`.
fn certified(chain_pem: &[u8], key_pem: &[u8]) -> Result<CertifiedKey, Issue> {
    let unusable = |words: &str| Issue::new(Code::KeyUnusable, words);
    let chain = CertificateDer::pem_slice_iter(chain_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| unusable("the server certificate is not readable PEM"))?;
    if chain.is_empty() {
        return Err(unusable("the server certificate's file holds none"));
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem)
        .map_err(|_| unusable("the server key is not readable PEM"))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
        tracing::debug!(%error, "server certificate and key");
        unusable("server certificate and key do not belong together")
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
