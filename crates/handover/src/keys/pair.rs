//! Pair: a certificate with the key that belongs to it, whichever of the key's stages that is.
//!
//! Comes in   the paths of `[tls]` and of the communities.
//! Goes out   chain and key that belong together; a newer pair in their place.
//! Never      takes a certificate without its key.
//!
//! Why all stages of the key are tried: a certificate and its key are two files, and no two files change
//! at once. So the next key lies beside the one in use before its certificate arrives, and the
//! certificate says which of them it is for.

use super::asked::KeyUse;
use super::place::{self, Secret, Stamps};
use crate::config;
use exchange::{Code, Issue};
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::SigningKey;
use wire::keys::KeyKind;
use wire::pki::{self, Chain};
use wire::tls::{self, LiveCertificate};

/// The files of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// What it is for.
    pub(crate) usage: KeyUse,
    /// The community it is for.
    pub(crate) community: Option<String>,
    /// PEM chain.
    pub(crate) certificate: PathBuf,
    /// PEM key.
    pub(crate) key: PathBuf,
    /// PEM of the house's own authority, where it may issue this one.
    pub(crate) authority: Option<PathBuf>,
}

/// The certificates of a house.
pub(crate) fn all(config: &config::House) -> Vec<Files> {
    let mut all = Vec::new();
    if let Some(tls) = &config.file.tls {
        let files = |usage, certificate: &Path, key: &Path| Files {
            usage,
            community: None,
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            authority: Some(tls.authority.clone()),
        };
        all.push(files(KeyUse::Server, &tls.certificate, &tls.key));
        if let (Some(certificate), Some(key)) = (&tls.client_certificate, &tls.client_key) {
            all.push(files(KeyUse::Client, certificate, key));
        }
    }
    for community in config.file.udap.iter().flat_map(|udap| &udap.community) {
        all.push(Files {
            usage: KeyUse::Udap,
            community: Some(community.uri.clone()),
            certificate: community.certificate.clone(),
            key: community.key.clone(),
            authority: None,
        });
    }
    all
}

/// Chain and key, as they lie there now.
///
/// Errors: `KeyUnusable` when either cannot be read or no stage of the key belongs to the chain.
pub fn read(
    config: &config::House,
    certificate: &Path,
    key: &Path,
) -> Result<(String, Secret), Issue> {
    let chain = config.text(certificate)?;
    let stages = place::stages(&config.path(key));
    let others = stages.has_next.then_some(&stages.next).into_iter().chain(&stages.old);
    let mut first = None;
    for path in std::iter::once(&stages.now).chain(others) {
        let found = place::read(path).and_then(|key| {
            LiveCertificate::new(chain.as_bytes(), key.as_bytes())?;
            Ok(key)
        });
        match found {
            Ok(key) => return Ok((chain, key)),
            Err(issue) => drop(first.get_or_insert(issue)),
        }
    }
    let place = certificate.display().to_string();
    Err(first.unwrap_or_else(|| Issue::new(Code::KeyUnusable, "there is no key")).at(place))
}

/// The certificate that new connections are shown; none without `[tls]`.
///
/// Errors: as `read`.
pub fn live(config: &config::House) -> Result<Option<Arc<LiveCertificate>>, Issue> {
    let Some(files) = &config.file.tls else { return Ok(None) };
    let (chain, key) = read(config, &files.certificate, &files.key)?;
    Ok(Some(Arc::new(LiveCertificate::new(chain.as_bytes(), key.as_bytes())?)))
}

/// Draws the next key of a certificate, where there is none yet; answers it.
///
/// Errors: `KeyUnusable`.
pub(super) fn draw_next(path: &Path, kind: KeyKind, now: Timestamp) -> Result<SigningKey, Issue> {
    let stages = place::stages(path);
    if stages.has_next {
        return SigningKey::read(&stages.next);
    }
    let key = SigningKey::generate_as(kind)?;
    let stamps = Stamps { made: Some(now), ..Stamps::default() };
    place::replace(&stages.next, &stamps.before(&key.secret_pem()))?;
    Ok(key)
}

/// Puts a certificate in the place of the one in use, and its key, where that is the next one, after it.
///
/// Errors: `KeyUnusable` when it belongs to neither key.
pub(super) fn renew(
    config: &config::House,
    files: &Files,
    chain: &str,
    now: Timestamp,
) -> Result<(), Issue> {
    let path = config.path(&files.key);
    let stages = place::stages(&path);
    let fits = |path: &PathBuf| {
        let key = place::read(path)?;
        LiveCertificate::new(chain.as_bytes(), key.as_bytes()).map(|_| key)
    };
    if let Ok(next) = fits(&stages.next) {
        config::write_text(&config.path(&files.certificate), chain)?;
        let stamps = Stamps { begun: Some(now), ..Stamps::read(&next) };
        place::replace(&path, &stamps.before(&next))?;
        return place::remove(&stages.next);
    }
    fits(&stages.now)?;
    config::write_text(&config.path(&files.certificate), chain)
}

/// Where the key of the house's own authority lies, if it has one: beside its certificate, as `init`
/// wrote it.
fn authority_key(authority: &Path) -> Option<PathBuf> {
    let stem = authority.file_stem()?.to_string_lossy().into_owned();
    let key = authority.with_file_name(format!("{stem}-key.pem"));
    key.is_file().then_some(key)
}

/// Issues a certificate by the house's own authority, for the names of the present one.
///
/// Errors: `KeyUnusable`; `CommandInvalid` where the house has no authority for it.
pub(super) fn issue(
    config: &config::House,
    files: &Files,
    kind: KeyKind,
    now: Timestamp,
) -> Result<String, Issue> {
    let own = files.authority.as_ref().map(|path| config.path(path));
    let Some((own, own_key)) = own.and_then(|own| Some((own.clone(), authority_key(&own)?))) else {
        let detail = "this house has no authority of its own for it: name the certificate that was \
            issued to the request of `handover keys csr`, with --certificate";
        return Err(Issue::new(Code::CommandInvalid, detail).at("--certificate"));
    };
    let key = draw_next(&config.path(&files.key), kind, now)?;
    let before = config.text(&files.certificate)?;
    let (authority, own_key) = (config::read_text(&own)?, place::read(&own_key)?);
    if files.usage == KeyUse::Client {
        let chain = Chain::from_pem(before.as_bytes())?;
        let uri = pki::uris(chain.leaf()).into_iter().next().unwrap_or_default();
        return tls::issue_client_certificate_at(&authority, &own_key, &uri, &key, now);
    }
    let hosts = tls::hosts_of(before.as_bytes())?;
    tls::issue_certificate_at(&authority, &own_key, &hosts, &key, now)
}
