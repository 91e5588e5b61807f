//! Contents: small ones in their row, large ones as files that are on the disk before the row.
//!
//! Comes in   bytes and their digest.
//! Goes out   where they are kept; later the same bytes, checked against their digest.
//! Never      names a file by its content: the address is keyed, so that nobody who sees the
//!            folder can tell whether a known document is in it.

use bytes::Bytes;
use exchange::Digest;
use hmac::{Hmac, KeyInit, Mac};
use rusqlite::{Connection, Row};
use sha2::Sha256;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::row::{all, first};
use crate::house::Error;
use crate::limits::INLINE_BYTES_MAX;

const TEMPORARY: &str = "unfinished-";

/// Whether a row names a file.
const NAMED: &str = "SELECT 1 FROM versions WHERE file = ?1
    UNION ALL SELECT 1 FROM blobs WHERE file = ?1
    UNION ALL SELECT 1 FROM first_answers WHERE file = ?1";

/// The name of a large content: HMAC-SHA-256 of its digest under the house's key.
pub(super) type Address = [u8; 32];

/// A content that can be written into its row.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// SHA-256 of the bytes.
    pub(super) digest: Digest,
    /// The bytes, where they are small.
    pub(super) inline: Option<Bytes>,
    /// The file, where they are large.
    pub(super) file: Option<Address>,
}

impl Kept {
    /// The bytes as a column.
    pub(super) fn inline(&self) -> Option<&[u8]> {
        self.inline.as_deref()
    }
}

/// The folder of large contents.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    drawn: AtomicU64,
    /// Files that units on their way to the writer are about to name, and how many do.
    held: Mutex<HashMap<Address, usize>>,
}

/// Files that a unit is about to name: until it is dropped nobody removes them.
#[derive(Debug)]
pub(super) struct Hold {
    folder: Arc<Folder>,
    files: Vec<Address>,
}

impl Hold {
    /// Holds nothing yet.
    pub(super) fn new(folder: &Arc<Folder>) -> Hold {
        Hold { folder: Arc::clone(folder), files: Vec::new() }
    }

    /// Keeps a content; a large one is written, synced and held. `settle` must follow before
    /// the rows that name it.
    pub(super) fn keep(&mut self, key: &[u8; 32], bytes: &Bytes) -> Result<Kept, Error> {
        let digest = Digest::of(bytes);
        if bytes.len() <= INLINE_BYTES_MAX {
            return Ok(Kept { digest, inline: Some(bytes.clone()), file: None });
        }
        let address = address(key, &digest)?;
        *self.folder.held().entry(address).or_default() += 1;
        self.files.push(address);
        self.folder.write(&address, bytes)?;
        Ok(Kept { digest, inline: None, file: Some(address) })
    }

    /// Makes the names of written files durable.
    pub(super) fn settle(&self) -> Result<(), Error> {
        match self.files.is_empty() {
            true => Ok(()),
            false => Ok(File::open(&self.folder.path)?.sync_all()?),
        }
    }

    /// Whether any content became a file.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Removes those files that no row and no other unit needs: the unit was refused. Runs as a
    /// job of the writer, so that no row comes up meanwhile.
    pub(super) fn remove(&self, db: &Connection) -> Result<(), Error> {
        let own = |file: &Address| self.files.iter().filter(|other| *other == file).count();
        self.files.iter().try_for_each(|file| self.folder.remove(db, file, own(file)))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.folder.held();
        for file in &self.files {
            match held.get_mut(file) {
                Some(units) if *units > 1 => *units -= 1,
                _ => drop(held.remove(file)),
            }
        }
    }
}

impl Folder {
    /// The folder, which need not exist yet.
    pub(super) fn new(path: PathBuf) -> Folder {
        Folder { path, drawn: AtomicU64::new(0), held: Mutex::default() }
    }

    /// Creates the folder, readable by its owner only.
    pub(super) fn create(&self) -> Result<(), Error> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        Ok(builder.create(&self.path)?)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Address, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, address: &Address, bytes: &[u8]) -> Result<(), Error> {
        let place = self.place(address);
        // A file has its name only once it is whole, so one that is there needs no second copy.
        if fs::metadata(&place).is_ok_and(|found| found.len() == bytes.len() as u64) {
            return Ok(());
        }
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.path.join(format!("{TEMPORARY}{number}"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&unfinished).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, &place)
        });
        if written.is_err() {
            // On a full disk the unfinished file would be in the way of recovery.
            let _ = fs::remove_file(&unfinished);
        }
        Ok(written?)
    }

    /// Removes a file that no row names and that no unit is about to name, `own` of them aside.
    /// Runs as a job of the writer, so that no row comes up meanwhile.
    pub(super) fn remove(&self, db: &Connection, file: &Address, own: usize) -> Result<(), Error> {
        let named = first(db, NAMED, [file], |_| Ok(()))?.is_some();
        let held = self.held();
        if named || held.get(file).is_some_and(|units| *units > own) {
            return Ok(());
        }
        match fs::remove_file(self.place(file)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Puts a file into another folder: as a link where both lie on one file system.
    pub(super) fn copy_to(&self, other: &Folder, file: &Address) -> Result<(), Error> {
        let (from, to) = (self.place(file), other.place(file));
        if fs::hard_link(&from, &to).is_ok() {
            return Ok(());
        }
        fs::copy(&from, &to)?;
        Ok(File::open(&to)?.sync_all()?)
    }

    /// Bytes that were kept; `None` where neither row nor file holds any.
    pub(super) fn read(
        &self,
        key: &[u8; 32],
        row: &Row<'_>,
        digest: &Digest,
    ) -> Result<Option<Bytes>, Error> {
        let bytes = match row.get::<_, Option<Address>>("file")? {
            Some(found) if found != address(key, digest)? => {
                return Err(Error::Damaged("a row names a file that is not its own".to_owned()));
            }
            Some(found) => match fs::read(self.place(&found)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(Error::Damaged("a stored content has no file".to_owned()));
                }
                bytes => Some(bytes?),
            },
            None => row.get::<_, Option<Vec<u8>>>("content")?,
        };
        match bytes {
            Some(bytes) if Digest::of(&bytes) != *digest => {
                Err(Error::Damaged("a stored content does not have its digest".to_owned()))
            }
            bytes => Ok(bytes.map(Bytes::from)),
        }
    }

    /// Removes files that no row names and no unit holds: left by units that a crash kept from
    /// being written, and by purges. Runs at open, or as a job of the writer.
    pub(super) fn sweep(&self, db: &Connection, begun: bool) -> Result<(), Error> {
        let named = "SELECT file FROM versions WHERE file IS NOT NULL
            UNION ALL SELECT file FROM blobs WHERE file IS NOT NULL
            UNION ALL SELECT file FROM first_answers WHERE file IS NOT NULL";
        let named = all(db, named, [], |row| Ok(Digest(row.get(0)?).to_string()))?;
        let named: HashSet<String> = named.into_iter().collect();
        for found in fs::read_dir(&self.path)? {
            let found = found?;
            let name = found.file_name();
            let Some(name) = name.to_str() else { continue };
            let address = name.parse::<Digest>().ok();
            let held = address.is_some_and(|address| self.held().contains_key(&address.0));
            let ours = address.is_some() || (!begun && name.starts_with(TEMPORARY));
            if ours && !held && !named.contains(name) {
                fs::remove_file(found.path())?;
            }
        }
        Ok(())
    }

    fn place(&self, address: &Address) -> PathBuf {
        self.path.join(Digest(*address).to_string())
    }

    /// Where the folder is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn address(key: &[u8; 32], digest: &Digest) -> Result<Address, Error> {
    let mac = Hmac::<Sha256>::new_from_slice(key)
        .map_err(|_| Error::Damaged("the key of the house's contents is not a key".to_owned()))?;
    Ok(mac.chain_update(digest.0).finalize().into_bytes().into())
}
