//! Folder: contents as files, on the disk before the row.
//!
//! Comes in   addresses and bytes.
//! Goes out   the same bytes; which files are old.
//! Never      gives a file its name before it is whole and on the disk.

use bytes::Bytes;
use exchange::Digest;
use jiff::Timestamp;
use std::fs::{self, File, OpenOptions, ReadDir};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Address;
use crate::house::Error;

const UNFINISHED: &str = "unfinished-";

/// The folder.
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

    /// Creates it, readable by its owner only.
    pub(super) fn create(&self) -> Result<(), Error> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        Ok(builder.create(&self.path)?)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, to the disk. One that is there already is whole, and is written once more
    /// only where it must become young `again`.
    pub(super) fn write(&self, file: &Address, bytes: &[u8], again: bool) -> Result<(), Error> {
        let place = self.place(file);
        let there = || fs::metadata(&place).is_ok_and(|found| found.len() == bytes.len() as u64);
        if !again && there() {
            return Ok(());
        }
        let unfinished = self.unfinished()?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
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

    /// A name that no other process of this folder draws.
    fn unfinished(&self) -> Result<PathBuf, Error> {
        let mut drawn = [0; 8];
        aws_lc_rs::rand::fill(&mut drawn)
            .map_err(|_| Error::Unavailable("the system has no randomness to give".into()))?;
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        let name = format!("{UNFINISHED}{:016x}-{number}", u64::from_le_bytes(drawn));
        Ok(self.path.join(name))
    }

    /// Makes names durable.
    pub(super) fn settle(&self) -> Result<(), Error> {
        Ok(File::open(&self.path)?.sync_all()?)
    }

    /// The bytes of a file; `None`: there is none.
    pub(super) fn read(&self, file: &Address) -> Result<Option<Bytes>, Error> {
        match fs::read(self.place(file)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            bytes => Ok(Some(bytes?.into())),
        }
    }

    /// Removes files that were last written before then; how many.
    pub(super) fn remove(
        &self,
        files: &[Address],
        before: Option<Timestamp>,
    ) -> Result<u64, Error> {
        let mut removed = 0;
        for file in files {
            removed += u64::from(remove_old(&self.place(file), before)?);
        }
        if removed > 0 {
            self.settle()?;
        }
        Ok(removed)
    }

    /// Begins to list the folder; `None`: there is none.
    pub(super) fn list(&self) -> Result<Option<ReadDir>, Error> {
        match fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            listing => Ok(Some(listing?)),
        }
    }

    /// Every file of ours.
    pub(super) fn files(&self) -> Result<Vec<Address>, Error> {
        let mut files = Vec::new();
        for found in self.list()?.into_iter().flatten() {
            let name = found?.file_name();
            files.extend(name.to_str().and_then(|name| Some(name.parse::<Digest>().ok()?.0)));
        }
        Ok(files)
    }

    /// The next files that were last written before then, at most so many (fewer: these were the
    /// last), and how many unfinished ones of that age were removed on the way.
    pub(super) fn next_old(
        &self,
        listing: &mut ReadDir,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<(Vec<Address>, u64), Error> {
        let (mut files, mut unfinished) = (Vec::new(), 0);
        while files.len() < limit
            && let Some(found) = listing.next()
        {
            let found = found?;
            let name = found.file_name();
            let Some(name) = name.to_str() else { continue };
            match name.parse::<Digest>() {
                Ok(address) if is_old(&found.path(), before)? => files.push(address.0),
                Err(_) if name.starts_with(UNFINISHED) => {
                    unfinished += u64::from(remove_old(&found.path(), before)?);
                }
                // Young, or not ours.
                _ => {}
            }
        }
        Ok((files, unfinished))
    }

    fn place(&self, address: &Address) -> PathBuf {
        self.path.join(Digest(*address).to_string())
    }
}

/// Whether a file is there and was last written before then.
fn is_old(path: &Path, before: Option<Timestamp>) -> Result<bool, Error> {
    let Some(before) = before else { return Ok(true) };
    let changed = match fs::metadata(path).and_then(|found| found.modified()) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        changed => changed?,
    };
    let changed = Timestamp::try_from(changed).map_err(io::Error::other)?;
    Ok(changed < before)
}

fn remove_old(path: &Path, before: Option<Timestamp>) -> Result<bool, Error> {
    if !is_old(path, before)? {
        return Ok(false);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        removed => Ok(removed.map(|()| true)?),
    }
}
