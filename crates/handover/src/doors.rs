//! Doors: what stands between this house and its partners, on the way out and at the gate.
//!
//! Comes in   a checked configuration with the partners' public files.
//! Goes out   transports that lead to partners and nowhere else; the sets of keys that partners
//!            publish, and their certificates; the server's side of TLS.
//! Never      lets a partner's URL lead into this house's own network, unless people said so.

use crate::config;
use crate::keys::pair;
use crate::limits::{PARTNER_ANSWER_MAX, PARTNER_TIMEOUT};
use exchange::partner::{PublicFile, SignIn};
use exchange::{Code, Issue};
use secrecy::zeroize::Zeroizing;
use std::collections::HashMap;
use std::sync::Arc;
use wire::limits::{JWKS_BYTES_MAX, JWKS_FETCH_MAX};
use wire::tls::{self, LiveCertificate, ServerTls};
use wire::transport::Lines;
use wire::trust::jwks::KeySet;
use wire::trust::mutual::{self, Certificates};
use wire::{Clock, HttpTransport, Transport};

/// A transport for a partner's door.
///
/// Errors: `KeyUnusable`, `ConfigInvalid`.
pub fn partner_transport(
    config: &config::House,
    public: &PublicFile,
) -> Result<Arc<dyn Transport>, Issue> {
    transport_trusting(config, &public.authority)
}

/// A transport for a door whose certificate comes from this authority (PEM).
///
/// Errors: `KeyUnusable`, `ConfigInvalid`.
pub fn transport_trusting(
    config: &config::House,
    authority: &str,
) -> Result<Arc<dyn Transport>, Issue> {
    let roots = [authority.as_bytes().to_vec()];
    // A server on loopback may have no certificate at all.
    let roots = if authority.is_empty() { &[][..] } else { &roots[..] };
    let network = config.network()?;
    let identity = identity(config)?;
    let transport = HttpTransport::over(Lines {
        roots,
        identity: identity.as_ref().map(|identity| identity.as_slice()),
        network: Some(&network),
        timeout: PARTNER_TIMEOUT,
        answer_limit: PARTNER_ANSWER_MAX,
    })?;
    Ok(Arc::new(transport))
}

/// The certificate that this house presents to partners, with its key.
///
/// Errors: `KeyUnusable`; `ConfigInvalid` where one is named without the other.
pub fn identity(config: &config::House) -> Result<Option<Zeroizing<Vec<u8>>>, Issue> {
    let tls = config.file.tls.as_ref();
    let named = tls.map(|tls| (tls.client_certificate.as_ref(), tls.client_key.as_ref()));
    match named {
        None | Some((None, None)) => Ok(None),
        Some((Some(certificate), Some(key))) => {
            let (chain, key) = pair(config, certificate, key)?;
            Ok(Some(Zeroizing::new([&chain, key.as_str()].concat().into_bytes())))
        }
        Some(_) => {
            let detail = "a client certificate and its key are named together";
            Err(Issue::new(Code::ConfigInvalid, detail).at("house.toml: tls.client_certificate"))
        }
    }
}

/// The server's side of TLS; clients are asked for a certificate where a partner has one.
///
/// Errors: `KeyUnusable`, `ConfigInvalid`.
pub fn server_tls(
    config: &config::House,
    certificate: Arc<LiveCertificate>,
) -> Result<ServerTls, Issue> {
    let asked = config.partners.values().any(|public| public.client_certificate.is_some());
    tls::live_server_config(certificate, asked.then(mutual::asking))
}

/// The certificates that partners have registered.
///
/// Errors: `ConfigInvalid`.
pub fn certificates(config: &config::House) -> Result<Certificates, Issue> {
    let lists = config.file.tls.iter().flat_map(|tls| &tls.client_crls);
    let lists = lists.map(|list| Ok(config.text(list)?.into_bytes()));
    let lists: Vec<Vec<u8>> = lists.collect::<Result<_, Issue>>()?;
    let mut certificates = Certificates::default();
    for public in config.partners.values() {
        let Some(certificate) = &public.client_certificate else { continue };
        let alone = public.sign_in == Some(SignIn::Mtls);
        certificates
            .register(&public.client_id, certificate, alone, &lists)
            .map_err(|issue| issue.at(format!("{}: client_certificate", public.name)))?;
    }
    Ok(certificates)
}

/// The keys that partners and readers publish at a URL, by client id.
///
/// Errors: `KeyUnusable`, `ConfigInvalid`.
pub fn key_sets(
    config: &config::House,
    clock: &Arc<dyn Clock>,
) -> Result<HashMap<String, Arc<KeySet>>, Issue> {
    let published = config.partners.values().filter(|public| !public.jwks_url.is_empty());
    let mut sets = crate::readers::key_sets(config, clock)?;
    for public in published {
        sets.insert(public.client_id.clone(), key_set(config, public, clock)?);
    }
    Ok(sets)
}

fn key_set(
    config: &config::House,
    public: &PublicFile,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<KeySet>, Issue> {
    let network = config.network()?;
    let transport = HttpTransport::over(Lines {
        roots: &[public.authority.clone().into_bytes()],
        // SMART App Launch 2.2: the set is open to everybody.
        identity: None,
        network: Some(&network),
        timeout: JWKS_FETCH_MAX,
        answer_limit: JWKS_BYTES_MAX,
    })?;
    KeySet::new(&public.jwks_url, Arc::new(transport), Arc::clone(clock))
}
