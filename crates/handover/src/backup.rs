//! Backup: a house as it is at one moment, in a folder, while it goes on.
//!
//! Comes in   an opened house; the folder to be.
//! Goes out   that folder: the store, the configuration, the ledger's anchor, and `backup.toml`
//!            that says what it is. A house is rebuilt from it and from the private keys.
//! Never      holds a private key: whoever can read a backup cannot sign in the house's name; and
//!            never has the folder's name before everything in it is on the disk.
//!
//! What was cut off is called `FOLDER.unfinished`; the next backup of that name removes it.

use crate::config;
use crate::house::Opened;
use exchange::desk::Reply;
use exchange::{Code, HouseId, Issue};
use repository::store_issue;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use store::{House as _, SqliteHouse};

/// The file that makes a folder a backup.
pub const MANIFEST: &str = "backup.toml";
/// The store within a backup, wherever the house has it.
pub const STORE: &str = "store";
/// The ledger's anchor within a backup, wherever the house has it.
pub const ANCHOR: &str = "ledger.anchor";
/// The form of a backup: counted up when an older program could not restore it.
pub const FORMAT: u32 = 1;

const UNFINISHED: &str = ".unfinished";

/// `backup.toml`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `FORMAT`.
    pub format: u32,
    /// The house's name.
    pub house: String,
    /// When it was made.
    pub made: String,
    /// The version that made it.
    pub version: String,
    /// All entries of the ledger up to this one are proved within it.
    pub proved_to: u64,
    /// Files of the configuration, by their paths within the house's folder.
    pub files: Vec<PathBuf>,
    /// Files of the configuration that lie elsewhere, and are not in it.
    pub outside: Vec<PathBuf>,
}

/// Makes a backup.
///
/// # Errors
/// `CommandInvalid` when the folder exists or is not named by its whole path; `StoreUnavailable`
/// when it cannot be written; those of the ledger.
pub async fn backup(opened: &Opened, folder: &Path) -> Result<Reply, Issue> {
    let unfit = |detail| Issue::new(Code::CommandInvalid, detail).at("folder");
    let Some(name) = folder.file_name().filter(|_| folder.is_absolute()) else {
        return Err(unfit("the folder is named by its whole path"));
    };
    if fs::symlink_metadata(folder).is_ok() {
        return Err(unfit("the folder exists already; a backup goes into a new one"));
    }
    // Nearly all of it will be proved, and the anchor is no younger than the copy that follows.
    opened.checkpoint().await?;
    let unfinished: OsString = [name, UNFINISHED.as_ref()].into_iter().collect();
    let unfinished = folder.with_file_name(unfinished);
    let made = fill(opened, &unfinished).await;
    let done = made.and_then(|manifest| {
        fs::rename(&unfinished, folder).and_then(|()| sync_parent(folder)).map_err(unwritable)?;
        Ok(manifest)
    });
    if done.is_err() {
        fs::remove_dir_all(&unfinished).ok();
    }
    let Manifest { proved_to, outside, .. } = done?;
    let words = |path: &PathBuf| path.display().to_string();
    let outside = outside.iter().map(words).collect();
    Ok(Reply::BackedUp { folder: words(&folder.to_owned()), proved_to, outside })
}

async fn fill(opened: &Opened, folder: &Path) -> Result<Manifest, Issue> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(unwritable)?;
    }
    make_private(folder).map_err(unwritable)?;
    let config = &opened.config;
    let (files, outside) = files(config);
    let copy = || {
        let anchor = config.anchor();
        if anchor.exists() {
            copy_file(&anchor, &folder.join(ANCHOR))?;
        }
        files.iter().try_for_each(|file| copy_file(&config.path(file), &folder.join(file)))
    };
    copy().map_err(unwritable)?;
    opened.memory.backup(&folder.join(STORE)).await.map_err(store_issue)?;
    crate::halt::passed("copied");
    let proved_to = proved_to(&folder.join(STORE), &config.id()).await?;
    let manifest = Manifest {
        format: FORMAT,
        house: config.file.name.clone(),
        made: opened.clock.now().to_string(),
        version: crate::house::VERSION.to_owned(),
        proved_to,
        files,
        outside,
    };
    let text = toml::to_string(&manifest)
        .map_err(|_| Issue::new(Code::InternalError, "a backup's file cannot be written"))?;
    write_file(&folder.join(MANIFEST), text.as_bytes()).map_err(unwritable)?;
    sync_folders(folder).map_err(unwritable)?;
    Ok(manifest)
}

/// Up to which line the copy is proved by what is in it: the house has gone on since.
async fn proved_to(store: &Path, house: &HouseId) -> Result<u64, Issue> {
    let copy = SqliteHouse::open_to_read(store, house).map_err(store_issue)?;
    let last = copy.checkpoint_below(u64::MAX).await.map_err(store_issue)?;
    Ok(last.map_or(0, |last| last.seq))
}

/// What the configuration consists of, private keys aside: paths within the house's folder, and
/// those that lie elsewhere.
fn files(config: &config::House) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let file = &config.file;
    let mut named = vec![PathBuf::from(config::FILE), PathBuf::from("public.json")];
    named.extend(file.watch.iter().filter_map(|watch| watch.roster.clone()));
    named.extend([config.restrictions(), config.payors(), config.members()].map(Path::to_owned));
    named.push(config.payers().to_owned());
    if let Some(tls) = &file.tls {
        named.extend([tls.certificate.clone(), tls.authority.clone()]);
        named.extend(tls.client_certificate.iter().chain(&tls.client_crls).cloned());
    }
    for community in file.udap.iter().flat_map(|udap| &udap.community) {
        named.extend([community.anchors.clone(), community.certificate.clone()]);
        named.extend(community.revoked.iter().cloned());
    }
    let readers = file.reader.iter().flat_map(|reader| reader.jwks.iter().chain(&reader.authority));
    named.extend(readers.cloned());
    named.extend(file.source.iter().filter_map(|source| source.authority.clone()));
    named.extend(file.database.iter().filter_map(|database| database.authority.clone()));
    let s3 = file.blobs.iter().filter_map(|blobs| blobs.s3.as_ref());
    named.extend(s3.filter_map(|s3| s3.authority.clone()));
    named.extend(file.directory.iter().filter_map(|directory| directory.authority.clone()));
    let directories = file.directory.iter().filter_map(|directory| directory.folder.as_ref());
    for folder in [&file.partners, &file.agreements].into_iter().chain(directories) {
        walk(&config.path(folder), folder, &mut named);
    }
    named.sort();
    named.dedup();
    named.retain(|path| config.path(path).is_file());
    named.into_iter().partition(|path| is_within(path))
}

/// Whether a path stays within the folder it starts from.
pub fn is_within(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn walk(folder: &Path, name: &Path, found: &mut Vec<PathBuf>) {
    let Ok(listing) = fs::read_dir(folder) else { return };
    for entry in listing.flatten() {
        let name = name.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), &name, found),
            Ok(kind) if kind.is_file() => found.push(name),
            _ => {}
        }
    }
}

/// Copies a file to the disk; folders on its way are made.
pub fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    to.parent().map_or(Ok(()), make_private)?;
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}

/// Writes a file to the disk.
pub fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a folder that only its owner can read, and those on the way to it.
pub fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the names in a folder, and in those within it, durable.
pub fn sync_folders(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    File::open(folder)?.sync_all()
}

/// Makes a folder's own name durable.
pub fn sync_parent(folder: &Path) -> std::io::Result<()> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn unwritable(error: std::io::Error) -> Issue {
    tracing::error!(%error, "backup");
    Issue::new(Code::StoreUnavailable, "the backup cannot be written").at("folder")
}

#[cfg(test)]
mod tests {
    //! Goal: a backup promises no more than what is in it can prove.

    #![allow(clippy::unwrap_used)]

    use super::*;
    use exchange::{Chain, Event};
    use jiff::Timestamp;
    use store::{LedgerKey, Unit};

    #[tokio::test]
    async fn what_was_signed_after_the_copy_is_not_proved_in_it() {
        let (folder, id) = (tempfile::tempdir().unwrap(), HouseId::from("one"));
        let house = SqliteHouse::open(&folder.path().join("house"), &id).unwrap();
        let (key, _) = LedgerKey::generate().unwrap();
        let line = || (Chain::House, Event::Opened { version: "1".to_owned() });
        let go_on = async || {
            let unit = Unit { at: Timestamp::UNIX_EPOCH, lines: vec![line()], ..Unit::default() };
            house.commit(unit).await.unwrap();
        };
        go_on().await;
        house.checkpoint(Timestamp::UNIX_EPOCH, &key).await.unwrap();
        go_on().await;
        let copy = folder.path().join("copy");
        house.backup(&copy).await.unwrap();
        go_on().await;
        house.checkpoint(Timestamp::UNIX_EPOCH, &key).await.unwrap();
        assert_eq!(proved_to(&copy, &id).await.unwrap(), 1);
        let names = fs::read_dir(&copy).unwrap().map(|it| it.unwrap().file_name());
        assert_eq!(names.count(), 2, "looking at it has left nothing: the database and contents");
    }
}
