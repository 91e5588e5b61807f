//! Place: where a key is in its life, by the name of its file and the lines before it.
//!
//! Comes in   the path of the key in use, as `house.toml` names it.
//! Goes out   the files of the same key's next and earlier stages, what they hold, and since when.
//! Never      leaves a file half-written, or a secret in a file others may read.

use crate::config;
use crate::limits::{STAGE_LOOKS, TOKENS_KEEP};
use exchange::{Code, Digest, Issue};
use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use store::LedgerKey;
use store::proof::PublicKey;
use wire::SigningKey;
use wire::keys::{OwnKeys, read_private, write_private};

/// The text of a secret.
pub(super) type Secret = Zeroizing<String>;

/// What stands before a key in its file, a line each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stamps {
    /// When it was drawn, and with that announced.
    pub(super) made: Option<Timestamp>,
    /// Since when it is in use.
    pub(super) begun: Option<Timestamp>,
    /// Since when it is in use no more.
    pub(super) ended: Option<Timestamp>,
}

impl Stamps {
    /// Those of a file's text.
    pub(super) fn read(text: &str) -> Stamps {
        let find = |name: &str| {
            let mut lines = text.lines().take_while(|line| line.starts_with('#'));
            lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        Stamps { made: find("# made"), begun: find("# in use since"), ended: find("# ended") }
    }

    /// The text of a key behind these lines.
    pub(super) fn before(&self, text: &str) -> Secret {
        let bare = bare(text);
        let mut whole = Zeroizing::new(String::with_capacity(bare.len() + 160));
        let lines = [("made", self.made), ("in use since", self.begun), ("ended", self.ended)];
        for (name, time) in lines {
            if let Some(time) = time {
                whole.push_str(&format!("# {name} {time:.0}\n"));
            }
        }
        whole.push_str(bare);
        whole
    }
}

/// A secret without the lines before it.
pub(super) fn bare(text: &str) -> &str {
    let mut rest = text;
    while rest.starts_with('#') {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    rest
}

/// The files of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stages {
    /// In use.
    pub(crate) now: PathBuf,
    /// Announced; in use one day.
    pub(crate) next: PathBuf,
    /// Whether there is such a file.
    pub(crate) has_next: bool,
    /// In use no more, and honoured still; in the order of their names.
    pub(crate) old: Vec<PathBuf>,
}

/// The files of the key at this path.
pub(crate) fn stages(path: &Path) -> Stages {
    let (stem, ending) = parts(path);
    let next = path.with_file_name(format!("{stem}.next.{ending}"));
    let (before, after) = (format!("{stem}.old-"), format!(".{ending}"));
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let listing = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut old: Vec<PathBuf> = listing.map(|entry| entry.path()).collect();
    old.retain(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        name.is_some_and(|name| name.starts_with(&before) && name.ends_with(&after))
    });
    old.sort();
    Stages { now: path.to_owned(), has_next: next.is_file(), next, old }
}

/// Whether a file is a stage of the key at this path.
pub fn is_stage(path: &Path, file: &Path) -> bool {
    let stages = stages(path);
    stages.next == file || stages.old.iter().any(|old| old == file)
}

/// Where a key that is in use no more lies.
pub(super) fn old_place(path: &Path, id: &str) -> PathBuf {
    let (stem, ending) = parts(path);
    let id: String = id.chars().take(8).collect();
    path.with_file_name(format!("{stem}.old-{id}.{ending}"))
}

fn parts(path: &Path) -> (String, String) {
    let part = |part: Option<&std::ffi::OsStr>| {
        part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
    };
    (part(path.file_stem()), part(path.extension()))
}

/// Reads a secret. Errors: `KeyUnusable`, at its file.
pub fn read(path: &Path) -> Result<Secret, Issue> {
    read_private(path).map_err(|words| {
        let issue = Issue::new(Code::KeyUnusable, format!("the key's file {words}"));
        issue.at(path.display().to_string())
    })
}

/// Puts a secret in the place of another, whole or not at all.
///
/// Errors: `KeyUnusable`.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), Issue> {
    let failed = |_| {
        let issue = Issue::new(Code::KeyUnusable, "the key's file cannot be written");
        issue.at(path.display().to_string())
    };
    let half = half(path);
    fs::remove_file(&half).ok();
    write_private(&half, text.as_bytes())?;
    fs::rename(&half, path).and_then(|()| sync_folder(path)).map_err(failed)
}

/// Removes a key's file, for good.
///
/// Errors: `KeyUnusable`.
pub(super) fn remove(path: &Path) -> Result<(), Issue> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let issue = Issue::new(Code::KeyUnusable, "the key's file cannot be removed");
            Err(issue.at(path.display().to_string()))
        }
        _ => {
            sync_folder(path).ok();
            Ok(())
        }
    }
}

fn half(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    path.with_file_name(format!(".{}.tmp", name.unwrap_or_default()))
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// All that is read of one key, at one moment: looked at again where somebody renames meanwhile.
fn settled<T>(path: &Path, read: impl Fn(&Stages) -> Result<T, Issue>) -> Result<T, Issue> {
    for _ in 0..STAGE_LOOKS {
        let found = stages(path);
        let result = read(&found);
        if stages(path) == found {
            return result;
        }
    }
    read(&stages(path))
}

/// The keys that sign, with those to come and those before. Errors: `KeyUnusable`, at the file.
pub fn own_keys(path: &Path) -> Result<OwnKeys, Issue> {
    settled(path, |stages| {
        let now = SigningKey::read(&stages.now)?;
        let next = stages.has_next.then(|| SigningKey::read(&stages.next)).transpose()?;
        let old: Result<Vec<SigningKey>, Issue> =
            stages.old.iter().map(|path| SigningKey::read(path)).collect();
        Ok(OwnKeys::new(now, next, old?))
    })
}

/// A secret, and others beside it; wiped when dropped.
pub type TokenSecrets = (Zeroizing<[u8; 32]>, Zeroizing<Vec<[u8; 32]>>);

/// The secret under which access tokens are issued, and those whose tokens are read as well: the one
/// to come, which another process of the house may use already, and those before while their tokens
/// may live.
///
/// Errors: `KeyUnusable`, at the file.
pub fn token_secrets(path: &Path, now: Timestamp) -> Result<TokenSecrets, Issue> {
    settled(path, |stages| {
        let issues = hex_secret(&read(&stages.now)?, &stages.now)?;
        let mut others = Zeroizing::new(Vec::with_capacity(1 + stages.old.len()));
        if stages.has_next {
            others.push(*hex_secret(&read(&stages.next)?, &stages.next)?);
        }
        for place in &stages.old {
            let text = read(place)?;
            let over = Stamps::read(&text).ended.is_some_and(|ended| ended + TOKENS_KEEP < now);
            if !over {
                others.push(*hex_secret(&text, place)?);
            }
        }
        Ok((issues, others))
    })
}

/// 64 hexadecimal digits. Errors: `KeyUnusable`, at the file.
fn hex_secret(text: &str, path: &Path) -> Result<Zeroizing<[u8; 32]>, Issue> {
    let secret: Digest = bare(text).trim().parse().map_err(|_| {
        let detail = "the key of access tokens is not 64 hexadecimal digits";
        Issue::new(Code::KeyUnusable, detail).at(path.display().to_string())
    })?;
    Ok(Zeroizing::new(secret.0))
}

/// The ledger's own key.
pub fn ledger_key(config: &config::House) -> Result<LedgerKey, Issue> {
    let place = &config.file.keys.ledger;
    LedgerKey::from_pem(&config.text(place)?).map_err(|_| {
        let detail = "the ledger's key is not an Ed25519 key in PKCS#8 PEM";
        Issue::new(Code::KeyUnusable, detail).at(place.display().to_string())
    })
}

/// The keys that may have signed checkpoints of this house.
pub fn ledger_keys(config: &config::House, ledger: &LedgerKey) -> Result<Vec<PublicKey>, Issue> {
    let mut keys = vec![PublicKey::new(ledger.public(), false)];
    for retired in &config.file.keys.retired {
        let key: Digest = retired.parse().map_err(|_| {
            let detail = "a retired key of the ledger is not 64 hexadecimal digits";
            Issue::new(Code::KeyUnusable, detail).at("house.toml: keys.retired")
        })?;
        keys.push(PublicKey::new(key.0, true));
    }
    Ok(keys)
}

/// Where the secret lies under which a payer's members are named in its ledger, and from which the URLs
/// of files follow, once the secret of tokens was changed: until then it follows from that one, and must
/// not change with it.
pub fn members_place(tokens: &Path) -> PathBuf {
    tokens.with_file_name("members.hex")
}

/// The secret under which members are named in the ledger. Errors: `KeyUnusable`.
pub fn members_secret(tokens: &Path) -> Result<Zeroizing<[u8; 32]>, Issue> {
    let place = members_place(tokens);
    if place.is_file() {
        return hex_secret(&read(&place)?, &place);
    }
    let secret = hex_secret(&read(tokens)?, tokens)?;
    Ok(Zeroizing::new(Digest::of_pieces([b"members", &secret[..]]).0))
}

/// What URLs of files that nobody can guess are made with. They are told to payers, and stay as they are
/// while the secret of tokens changes. Errors: `KeyUnusable`.
pub fn files_secret(tokens: &Path) -> Result<Digest, Issue> {
    Ok(Digest::of_pieces([b"bulk-files", &members_secret(tokens)?[..]]))
}

/// When a file was written, for a key that does not say since when it is there.
pub(super) fn written(path: &Path) -> Timestamp {
    let time = fs::metadata(path).and_then(|it| it.modified()).ok();
    time.and_then(|time| Timestamp::try_from(time).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}
