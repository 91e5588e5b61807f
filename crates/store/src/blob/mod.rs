//! Blobs: where contents live that are too large for their row, for both databases.
//!
//! Comes in   bytes; later their digest and what their row says of them.
//! Goes out   what to write into the row; later the same bytes, unpacked and checked.
//! Never      names a content by itself: the address is keyed, so that nobody who sees the place
//!            can tell whether a known document is in it. Never removes what a row, or a unit
//!            on its way to one, needs.
//!
//! Why packed before it is weighed: a transaction Bundle of 75 KB is 10 KB packed, lies in its row
//! and costs no file and no second wait for the disk.

mod folder;
mod hold;
mod pack;
mod place;
mod s3;
#[cfg(test)]
mod tests;

use aws_lc_rs::hmac;
use bytes::Bytes;
use exchange::Digest;
use jiff::Timestamp;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use self::folder::Folder;
use self::hold::Held;
pub(crate) use self::hold::Hold;
use self::place::Place;
pub use self::s3::{S3Credentials, S3Place};
use crate::blocking::blocking;
use crate::house::{Error, Record};
use crate::limits::{HASH_BYTES_INLINE_MAX, INLINE_BYTES_MAX, SWEEP_FILES};

/// The name of a content: HMAC-SHA-256 under the house's key of its digest (and, where it is
/// packed, of one byte more: the two forms never stand for one another).
pub(crate) type Address = [u8; 32];

/// The key of a house's contents.
pub(crate) type Key = [u8; 32];

/// A content that can be written into its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// SHA-256 of the plain bytes.
    pub(crate) digest: Digest,
    /// Whether what is stored is packed by zstd.
    pub(crate) packed: bool,
    /// The bytes to store, where they are small enough for the row.
    pub(crate) inline: Option<Bytes>,
    /// Where they lie otherwise.
    pub(crate) file: Option<Address>,
}

impl Kept {
    /// The bytes as a column.
    pub(crate) fn inline(&self) -> Option<&[u8]> {
        self.inline.as_deref()
    }
}

/// What a row says of its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Where it lies, when it is large.
    pub(crate) file: Option<Address>,
    /// The bytes as they are stored, when they are small.
    pub(crate) content: Option<Bytes>,
    /// Whether they are packed.
    pub(crate) packed: bool,
}

impl Stored {
    /// Plain bytes it has, or at least has: what lies elsewhere says no more than that it is large.
    pub(crate) fn bytes(&self) -> u64 {
        match (&self.content, self.file) {
            (_, Some(_)) => INLINE_BYTES_MAX as u64 + 1,
            (Some(content), None) if self.packed => pack::declared(content).unwrap_or(0),
            (Some(content), None) => content.len() as u64,
            (None, None) => 0,
        }
    }
}

/// The place of large contents. Clones are the same place.
#[derive(Clone)]
pub struct Blobs {
    place: Place,
    /// Whether other processes keep contents here too.
    shared: bool,
    held: Arc<Held>,
    /// Where contents were kept before.
    older: Option<Box<Blobs>>,
}

impl fmt::Display for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blobs({})", self.place)
    }
}

impl Blobs {
    /// A folder; created where it does not exist yet, readable by its owner only. All processes
    /// that share the database must see the same folder.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be created.
    pub fn folder(path: &Path) -> Result<Blobs, Error> {
        let blobs = Blobs::folder_as_it_is(path);
        if let Place::Folder(folder) = &blobs.place {
            folder.create()?;
        }
        Ok(blobs)
    }

    /// A bucket of an S3-compatible storage, or a part of one. It is not called before the first
    /// content.
    ///
    /// # Errors
    /// `Unavailable` when the place cannot be one: no address, plain HTTP beyond this machine, an
    /// authority that is not PEM.
    pub fn s3(place: S3Place) -> Result<Blobs, Error> {
        Ok(Blobs::of(Place::S3(Arc::new(s3::S3::new(place)?))))
    }

    /// No place at all: contents of any size lie in their rows. For a database server whose
    /// processes share nothing else.
    pub fn rows() -> Blobs {
        Blobs::of(Place::Rows)
    }

    /// Whether the place is there, and answers us.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn reach(&self) -> Result<(), Error> {
        self.place.list().await?.begin().await
    }

    /// A folder that need not exist and is not created: to read from.
    pub(crate) fn folder_as_it_is(path: &Path) -> Blobs {
        Blobs::of(Place::Folder(Arc::new(Folder::new(path.to_owned()))))
    }

    fn of(place: Place) -> Blobs {
        Blobs { place, shared: true, held: Arc::default(), older: None }
    }

    /// This place, for contents that used to be kept in another: what is not here is looked for
    /// there. So a house can move to another place, and a copy of one opens wherever new contents
    /// are to go.
    #[must_use]
    pub fn after(self, older: Blobs) -> Blobs {
        let older = match self.older {
            Some(between) => between.after(older),
            None => older,
        };
        Blobs { older: Some(Box::new(older)), ..self }
    }

    /// The part of this place that belongs to one database, told by the key of its first house:
    /// two databases that were given the same place never sweep up each other's contents.
    ///
    /// # Errors
    /// `Unavailable` when its folder cannot be created.
    pub(crate) fn of_database(&self, first: &Key) -> Result<Blobs, Error> {
        let name = Digest(mac(first, &[b"the place of this database's contents"])).to_string();
        let name = &name[..16];
        let place = match &self.place {
            Place::Folder(folder) => Blobs::folder(&folder.path().join(name))?,
            Place::S3(s3) => Blobs::of(Place::S3(Arc::new(s3.within(name)))),
            Place::Rows => Blobs::rows(),
        };
        let older = self.older.as_ref().map(|older| older.of_database(first)).transpose()?;
        Ok(Blobs { older: older.map(Box::new), ..place })
    }

    /// The same place, where no other process keeps anything: what a refused unit leaves behind
    /// goes at once, instead of with a later sweep.
    pub(crate) fn alone(self) -> Blobs {
        Blobs { shared: false, ..self }
    }

    /// Begins to keep the contents of a unit.
    pub(crate) fn hold(&self) -> Hold {
        Hold::new(self)
    }

    /// Content that was kept; `None` where a row has none (it was purged, or is a deletion).
    ///
    /// # Errors
    /// `Damaged` when it is not there, or not what it was; `Unavailable`.
    pub(crate) async fn fetch(
        &self,
        key: &Key,
        digest: &Digest,
        stored: Stored,
    ) -> Result<Option<Bytes>, Error> {
        let Stored { file, content, packed } = stored;
        let bytes = match (file, content) {
            (Some(file), _) if file != address(key, digest, packed) => {
                return Err(Error::Damaged("a row names a file that is not its own".to_owned()));
            }
            (Some(file), _) => self.read(&file).await?.ok_or_else(missing)?,
            (None, Some(content)) => content,
            (None, None) => return Ok(None),
        };
        let digest = *digest;
        let much = packed || bytes.len() > HASH_BYTES_INLINE_MAX;
        apart(much && bytes.len() > INLINE_BYTES_MAX, move || plain(&digest, packed, bytes))
            .await?
            .map(Some)
    }

    /// Contents of records, fetched one after the other until they reach `bytes` (0: all).
    ///
    /// # Errors
    /// As `fetch`; `Damaged` too for a version that should have content and has none.
    pub(crate) async fn fill(
        &self,
        key: &Key,
        rows: Vec<(Record, Stored)>,
        bytes: u64,
    ) -> Result<Vec<Record>, Error> {
        let inline = |stored: &Stored| stored.file.is_none() && stored.content.is_some();
        let all: u64 = rows.iter().filter(|(_, it)| inline(it)).map(|(_, it)| it.bytes()).sum();
        // What lies in rows is checked in one go, on a thread that may block when it is much.
        let check = move || {
            let check = |(mut record, mut stored): (Record, Stored)| {
                if inline(&stored)
                    && let Some(content) = stored.content.take()
                {
                    record.content = Some(plain(&record.digest, stored.packed, content)?);
                }
                Ok((record, stored))
            };
            rows.into_iter().map(check).collect::<Result<Vec<_>, Error>>()
        };
        let rows = apart(all > HASH_BYTES_INLINE_MAX as u64, check).await??;
        let (mut filled, mut sum) = (Vec::with_capacity(rows.len()), 0);
        for (mut record, stored) in rows {
            if stored.file.is_some() {
                record.content = self.fetch(key, &record.digest, stored).await?;
            }
            if record.content.is_none() && !record.deleted && !record.purged {
                return Err(Error::Damaged("a stored version has no content".to_owned()));
            }
            sum += record.content.as_ref().map_or(0, |content| content.len() as u64);
            filled.push(record);
            if bytes > 0 && sum >= bytes {
                break;
            }
        }
        Ok(filled)
    }

    /// Removes those of these files that no row names and no unit on its way needs, and, where
    /// `before` is given, that were last written before then. `named` says which of the files it
    /// is given some row of the database names.
    ///
    /// Where processes share the place, `before` must be an hour ago or more: whoever keeps a
    /// content writes it anew first, and has named it in a row long before that hour is over.
    ///
    /// # Errors
    /// `Unavailable`; what was not removed is removed by the next sweep.
    pub(crate) async fn remove<F, Answer>(
        &self,
        files: &[Address],
        before: Option<Timestamp>,
        named: F,
    ) -> Result<u64, Error>
    where
        F: FnOnce(Vec<Address>) -> Answer,
        Answer: Future<Output = Result<HashSet<Address>, Error>>,
    {
        let leaving = self.held.leave(files);
        self.remove_leaving(leaving.files(), before, named).await
    }

    async fn remove_leaving<F, Answer>(
        &self,
        leaving: &[Address],
        before: Option<Timestamp>,
        named: F,
    ) -> Result<u64, Error>
    where
        F: FnOnce(Vec<Address>) -> Answer,
        Answer: Future<Output = Result<HashSet<Address>, Error>>,
    {
        if leaving.is_empty() {
            return Ok(0);
        }
        let named = named(leaving.to_vec()).await?;
        let orphans: Vec<Address> =
            leaving.iter().filter(|file| !named.contains(*file)).copied().collect();
        let mut removed = 0;
        for place in self.places() {
            removed += place.remove(orphans.clone(), before).await?;
        }
        Ok(removed)
    }

    /// Removes what `remove` would, and unfinished files, of everything in this place; how many.
    /// `before` as there; `None` only while nobody keeps anything.
    ///
    /// # Errors
    /// `Unavailable`; what was removed until then is gone.
    pub(crate) async fn sweep<F, Answer>(
        &self,
        before: Option<Timestamp>,
        named: F,
    ) -> Result<u64, Error>
    where
        F: Fn(Vec<Address>) -> Answer,
        Answer: Future<Output = Result<HashSet<Address>, Error>>,
    {
        let mut removed = 0;
        for place in self.places() {
            let mut listing = place.list().await?;
            while let Some((files, unfinished)) = listing.next_old(before, SWEEP_FILES).await? {
                removed += unfinished + self.remove(&files, before, &named).await?;
            }
        }
        Ok(removed)
    }

    /// How many files of this place no row names; of a storage nobody counts them.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) async fn orphans<F, Answer>(&self, named: F) -> Result<u64, Error>
    where
        F: Fn(Vec<Address>) -> Answer,
        Answer: Future<Output = Result<HashSet<Address>, Error>>,
    {
        let mut orphans = 0;
        for place in self.places() {
            for files in place.files().await?.chunks(SWEEP_FILES) {
                orphans += (files.len() - named(files.to_vec()).await?.len()) as u64;
            }
        }
        Ok(orphans)
    }

    /// `sweep` of a folder in this thread, while nobody keeps anything: when a house is opened.
    /// Nothing for other places.
    pub(crate) fn sweep_now(
        &self,
        named: impl Fn(&[Address]) -> Result<HashSet<Address>, Error>,
    ) -> Result<(), Error> {
        let folders = self.places().filter_map(|place| match place {
            Place::Folder(folder) => Some(folder),
            _ => None,
        });
        for folder in folders {
            let Some(mut listing) = folder.list()? else { continue };
            loop {
                let (mut files, _) = folder.next_old(&mut listing, None, SWEEP_FILES)?;
                let last = files.len() < SWEEP_FILES;
                let named = named(&files)?;
                files.retain(|file| !named.contains(file));
                folder.remove(&files, None)?;
                if last {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Copies a content as it is stored into another place (a backup, a restored house). Durable
    /// once `settle` of that place has returned.
    ///
    /// # Errors
    /// `Damaged` when it is not there; `Unavailable`.
    pub(crate) async fn copy(&self, file: &Address, to: &Blobs) -> Result<(), Error> {
        let bytes = self.read(file).await?.ok_or_else(missing)?;
        to.write(vec![(*file, bytes)]).await
    }

    /// Makes the names of written files durable.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) async fn settle(&self) -> Result<(), Error> {
        self.place.settle().await
    }

    /// This place, and those where contents were kept before.
    fn places(&self) -> impl Iterator<Item = &Place> {
        let blobs = std::iter::successors(Some(self), |blobs| blobs.older.as_deref());
        blobs.map(|blobs| &blobs.place)
    }

    /// The bytes of a file as they are stored; `None`: there is none.
    async fn read(&self, file: &Address) -> Result<Option<Bytes>, Error> {
        for place in self.places() {
            if let Some(bytes) = place.read(file).await? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    async fn write(&self, files: Vec<(Address, Bytes)>) -> Result<(), Error> {
        // Where others remove old files, a file that is named again must not be old.
        self.place.write(files, self.shared).await
    }
}

/// Plain bytes, checked against their digest.
fn plain(digest: &Digest, packed: bool, bytes: Bytes) -> Result<Bytes, Error> {
    let bytes = if packed { pack::unpack(&bytes)? } else { bytes };
    match Digest::of(&bytes) == *digest {
        true => Ok(bytes),
        false => Err(Error::Damaged("a stored content does not have its digest".to_owned())),
    }
}

fn address(key: &Key, digest: &Digest, packed: bool) -> Address {
    match packed {
        true => mac(key, &[&digest.0, &[1]]),
        false => mac(key, &[&digest.0]),
    }
}

/// HMAC-SHA-256 (RFC 2104) of pieces, one behind the other.
fn mac(key: &Key, pieces: &[&[u8]]) -> [u8; 32] {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    pieces.iter().for_each(|piece| mac.update(piece));
    let mut sum = [0; 32];
    sum.copy_from_slice(mac.sign().as_ref());
    sum
}

fn missing() -> Error {
    Error::Damaged("a stored content has no file".to_owned())
}

/// Runs it on a thread that may block, when it is much work.
async fn apart<T: Send + 'static>(
    much: bool,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    match much {
        true => blocking(run).await,
        false => Ok(run()),
    }
}
