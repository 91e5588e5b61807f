//! Pair: a certificate with the key that belongs to it, whichever of the key's stages that is.
//!
//! Comes in   the paths of `[tls]`.
//! Goes out   chain and key that belong together, for the server; a newer pair in their place.
//! Never      takes a certificate without its key.
//!
//! Why all stages of the key are tried: a certificate and its key are two files, and no two files change
//! at once. So the next key lies beside the one in use before its certificate arrives, and the
//! certificate says which of them it is for.

use super::place::{self, Secret, Stamps};
use crate::config::{self, TlsFile};
use exchange::{Code, Issue};
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::SigningKey;
use wire::keys::KeyKind;
use wire::tls::{self, LiveCertificate};

/// Chain and key of the server, as they lie there now.
///
/// Errors: `KeyUnusable` when either cannot be read or no stage of the key belongs to the chain.
pub(super) fn read(config: &config::House, files: &TlsFile) -> Result<(String, Secret), Issue> {
    let chain = config.text(&files.certificate)?;
    let stages = place::stages(&config.path(&files.key));
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
    let place = files.certificate.display().to_string();
    Err(first.unwrap_or_else(|| Issue::new(Code::KeyUnusable, "there is no key")).at(place))
}

/// The certificate that new connections are shown; none without `[tls]`.
///
/// Errors: as `read`.
pub fn live(config: &config::House) -> Result<Option<Arc<LiveCertificate>>, Issue> {
    let Some(files) = &config.file.tls else { return Ok(None) };
    let (chain, key) = read(config, files)?;
    Ok(Some(Arc::new(LiveCertificate::new(chain.as_bytes(), key.as_bytes())?)))
}

/// Draws the next key of the server, where there is none yet; answers it.
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
    files: &TlsFile,
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
        place::replace_public(&config.path(&files.certificate), chain)?;
        let stamps = Stamps { begun: Some(now), ..Stamps::read(&next) };
        place::replace(&path, &stamps.before(&next))?;
        return place::remove(&stages.next);
    }
    fits(&stages.now)?;
    place::replace_public(&config.path(&files.certificate), chain)
}

/// Where the key of the house's own authority lies, if it has one: beside its certificate, as `init`
/// wrote it.
pub(super) fn authority_key(config: &config::House, files: &TlsFile) -> Option<PathBuf> {
    let authority = config.path(&files.authority);
    let stem = authority.file_stem()?.to_string_lossy().into_owned();
    let key = authority.with_file_name(format!("{stem}-key.pem"));
    key.is_file().then_some(key)
}

/// Issues a certificate by the house's own authority, for the hosts of the present one.
///
/// Errors: `KeyUnusable`.
pub(super) fn issue(
    config: &config::House,
    files: &TlsFile,
    authority_key: &Path,
    key: &SigningKey,
    now: Timestamp,
) -> Result<String, Issue> {
    let hosts = tls::hosts_of(config.text(&files.certificate)?.as_bytes())?;
    let authority = config.text(&files.authority)?;
    tls::issue_certificate_at(&authority, &place::read(authority_key)?, &hosts, key, now)
}
