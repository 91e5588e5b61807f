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
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::row::all;
use crate::house::Error;
use crate::limits::INLINE_BYTES_MAX;

const TEMPORARY: &str = "unfinished-";

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
}

impl Folder {
    /// The folder, which need not exist yet.
    pub(super) fn new(path: PathBuf) -> Folder {
        Folder { path, drawn: AtomicU64::new(0) }
    }

    /// Creates the folder, readable by its owner only.
    pub(super) fn create(&self) -> Result<(), Error> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        Ok(builder.create(&self.path)?)
    }

    /// Keeps a content: large ones are written and synced; `settle` must follow before the rows
    /// that name them.
    pub(super) fn keep(&self, key: &[u8; 32], bytes: &Bytes) -> Result<Kept, Error> {
        let digest = Digest::of(bytes);
        if bytes.len() <= INLINE_BYTES_MAX {
            return Ok(Kept { digest, inline: Some(bytes.clone()), file: None });
        }
        let address = address(key, &digest)?;
        self.write(&address, bytes)?;
        Ok(Kept { digest, inline: None, file: Some(address) })
    }

    /// Makes the names of written files durable.
    pub(super) fn settle(&self) -> Result<(), Error> {
        Ok(File::open(&self.path)?.sync_all()?)
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

    /// Removes files that no row names: left by units that were refused or never written. Only
    /// while nobody writes, that is at open.
    pub(super) fn sweep(&self, db: &Connection) -> Result<(), Error> {
        let named = "SELECT file FROM versions WHERE file IS NOT NULL
            UNION ALL SELECT file FROM blobs WHERE file IS NOT NULL
            UNION ALL SELECT file FROM first_answers WHERE file IS NOT NULL";
        let named = all(db, named, [], |row| Ok(Digest(row.get(0)?).to_string()))?;
        let named: HashSet<String> = named.into_iter().collect();
        for found in fs::read_dir(&self.path)? {
            let found = found?;
            let name = found.file_name();
            let Some(name) = name.to_str() else { continue };
            let ours = name.starts_with(TEMPORARY) || name.parse::<Digest>().is_ok();
            if ours && !named.contains(name) {
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
