//! Doors: what stands between this house and its partners, on the way out and at the gate.
//!
//! Comes in   a checked configuration with the partners' public files.
//! Goes out   transports that lead to partners and nowhere else; the sets of keys that partners
//!            publish, and their certificates; the server's side of TLS.
//! Never      lets a partner's URL lead into this house's own network, unless people said so.

use crate::config;
use crate::keys::pair;
use crate::limits::{PARTNER_ANSWER_MAX, PARTNER_TIMEOUT};
use crate::live::Live;
use exchange::agreement::Terms;
use exchange::partner::{OPERATOR, PublicFile, Role, SignIn};
use exchange::{Code, Issue};
use payer::bulk::FileServer;
use secrecy::zeroize::Zeroizing;
use std::collections::HashMap;
use std::sync::Arc;
use wire::api::OPERATE;
use wire::fetch::{Bounds, Fetcher, Origins, OwnCredential};
use wire::limits::{JWKS_BYTES_MAX, JWKS_FETCH_MAX};
use wire::tls::{self, LiveCertificate, ServerTls};
use wire::transport::Lines;
use wire::trust::jwks::KeySet;
use wire::trust::mutual::{self, Certificates};
use wire::{Clock, Credential, HttpTransport, Transport};

/// What a provider asks of a payer's door; the payer narrows it to what was agreed.
pub(crate) const PUSH_SCOPE: &str = "system/*.cruds";

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

/// How a sender's manifests and files are fetched: over the lines that lead to it, from the origin of its
/// base URL, with this house's key where they need a token.
///
/// Errors: `KeyUnusable`, `ConfigInvalid`.
pub fn file_server(
    live: &Live,
    config: &config::House,
    public: &PublicFile,
) -> Result<FileServer, Issue> {
    let roots = [public.authority.as_bytes().to_vec()];
    let roots = if public.authority.is_empty() { &[][..] } else { &roots[..] };
    let network = config.network()?;
    // Few file servers ask for a certificate: without one the house opens all the same.
    let identity = identity(config).or_else(|issue| match issue.code {
        Code::KeyUnusable => {
            tracing::warn!(%issue, "files are fetched without a certificate");
            Ok(None)
        }
        _ => Err(issue),
    })?;
    let lines = Lines {
        roots,
        identity: identity.as_ref().map(|identity| identity.as_slice()),
        network: Some(&network),
        timeout: PARTNER_TIMEOUT,
        answer_limit: PARTNER_ANSWER_MAX,
    };
    let urls = [&public.base_url].into_iter().chain(&public.file_servers).map(String::as_str);
    let origins = Origins::of(urls)?;
    let fetcher = Fetcher::over(lines, origins, Arc::clone(&live.clock), Bounds::default())?;
    let keys = live.ring(&config.file.keys.signing)?;
    let credential = OwnCredential { client_id: config.file.name.clone(), keys, jku: None };
    Ok(FileServer { fetcher, credential: Some(credential) })
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
        register(&mut certificates, public, &lists)?;
    }
    Ok(certificates)
}

/// Everybody whom the gate knows: the partners, the house's readers, and the operator with these keys.
pub(crate) fn credentials(config: &config::House, operator: serde_json::Value) -> Vec<Credential> {
    let mut credentials: Vec<Credential> =
        config.partners.values().map(|public| credential(config, public)).collect();
    credentials.extend(config.readers.iter().map(crate::readers::credential));
    credentials.push(Credential {
        client_id: OPERATOR.to_owned(),
        partner: OPERATOR.to_owned(),
        jwks: operator,
        scopes: vec![OPERATE.to_owned(), "system/*.rs".to_owned()],
    });
    credentials
}

/// A partner's registration at this house's door.
fn credential(config: &config::House, public: &PublicFile) -> Credential {
    let scopes = match config.file.role {
        Role::Payer => push_scopes(config.terms.get(&public.name)),
        Role::Provider => fetch_scopes(config.terms.get(&public.name)),
    };
    Credential {
        client_id: public.client_id.clone(),
        partner: public.name.to_string(),
        jwks: public.jwks.clone(),
        scopes,
    }
}

/// What a payer may do: fetch what it is offered in bulk submissions, where those are agreed.
fn fetch_scopes(terms: Option<&Terms>) -> Vec<String> {
    let bulk = terms.is_some_and(|terms| terms.agreement.bulk.is_some());
    if bulk { vec!["system/*.rs".to_owned()] } else { Vec::new() }
}

/// What a sender may do: write the types of its agreement, and read what it has sent.
fn push_scopes(terms: Option<&Terms>) -> Vec<String> {
    // Without an agreement a partner is known, and may do nothing.
    let Some(terms) = terms else { return Vec::new() };
    let types = terms.agreement.permit.iter().flat_map(|permit| &permit.types);
    let mut scopes: Vec<String> = types.map(|kind| format!("system/{kind}.cruds")).collect();
    if scopes.is_empty() {
        return vec![exchange::bulk::SCOPE.to_owned(), PUSH_SCOPE.to_owned()];
    }
    scopes.push(exchange::bulk::SCOPE.to_owned());
    // Every push brings its own record of where it came from.
    scopes.push("system/Provenance.cruds".to_owned());
    scopes.push("system/*.rs".to_owned());
    scopes.sort();
    scopes.dedup();
    scopes
}

/// Whether what a partner says of its certificate can be registered: a house does not open with what
/// cannot.
///
/// Errors: `ConfigInvalid`.
pub fn check_certificate(public: &PublicFile) -> Result<(), Issue> {
    register(&mut Certificates::default(), public, &[])
}

fn register(
    certificates: &mut Certificates,
    public: &PublicFile,
    lists: &[Vec<u8>],
) -> Result<(), Issue> {
    let Some(certificate) = &public.client_certificate else { return Ok(()) };
    let alone = public.sign_in == Some(SignIn::Mtls);
    certificates
        .register(&public.client_id, certificate, alone, lists)
        .map_err(|issue| issue.at(format!("{}: client_certificate", public.name)))
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
