//! Hold: contents that a unit on its way to its rows is about to name.
//!
//! Comes in   the contents of a unit.
//! Goes out   what to write into its rows, once the large ones are durable.
//! Never      lets a file go that a unit of this process is about to name.
//!
//! Why files are marked before they are removed: between the look whether a row names a file and
//! its removal another unit could find the file there, and name it. Whoever wants to keep a
//! content that is leaving waits until it has gone, and writes it anew.

use bytes::Bytes;
use exchange::Digest;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

use super::{Address, Blobs, Kept, Key, Place, address, apart, pack};
use crate::house::Error;
use crate::limits::{HASH_BYTES_INLINE_MAX, INLINE_BYTES_MAX, KEEPING_BYTES_MAX};

/// What rows are to hold, and the files that they are about to name.
type Weighed = (Vec<Kept>, Vec<(Address, Bytes)>);

/// Files that a unit is about to name: until it is dropped nobody removes them.
#[derive(Debug)]
pub(crate) struct Hold {
    blobs: Blobs,
    files: Mutex<Vec<Address>>,
}

impl Hold {
    /// Holds nothing yet.
    pub(super) fn new(blobs: &Blobs) -> Hold {
        Hold { blobs: blobs.clone(), files: Mutex::default() }
    }

    /// Keeps a content; a large one is written and held. `settle` must follow before the rows
    /// that name it.
    ///
    /// # Errors
    /// `Unavailable`; `Busy` where too much is on its way already.
    #[cfg(test)]
    pub(crate) async fn keep(&self, key: &Key, bytes: &Bytes) -> Result<Kept, Error> {
        let kept = self.keep_all(key, vec![bytes.clone()]).await?.pop();
        kept.ok_or_else(|| Error::Unavailable("a content was not kept".into()))
    }

    /// Keeps contents, in their order. As `keep`, with one change of thread for all.
    ///
    /// # Errors
    /// As `keep`.
    pub(crate) async fn keep_all(
        &self,
        key: &Key,
        contents: Vec<Bytes>,
    ) -> Result<Vec<Kept>, Error> {
        let (key, bytes) = (*key, contents.iter().map(Bytes::len).sum::<usize>());
        let inline_max = match self.blobs.place {
            Place::Rows => usize::MAX,
            _ => INLINE_BYTES_MAX,
        };
        let weigh = move || -> Weighed {
            let (mut files, mut weighed) = (Vec::new(), Vec::<Kept>::with_capacity(contents.len()));
            let mut last = Bytes::new();
            for bytes in contents {
                // The same bytes under two names, as an answer comes, are weighed once.
                let again = !bytes.is_empty() && bytes.as_ptr_range() == last.as_ptr_range();
                match weighed.last().filter(|kept| again && kept.file.is_none()) {
                    Some(kept) => weighed.push(kept.clone()),
                    None => weighed.push(weigh(&key, inline_max, bytes.clone(), &mut files)),
                }
                last = bytes;
            }
            (weighed, files)
        };
        let (kept, files) = apart(bytes > HASH_BYTES_INLINE_MAX, weigh).await?;
        if files.is_empty() {
            return Ok(kept);
        }
        let _room = self.blobs.held.room(files.iter().map(|(_, bytes)| bytes.len()).sum())?;
        for (file, _) in &files {
            self.blobs.held.hold(file).await;
            self.files().push(*file);
        }
        self.blobs.write(files).await?;
        Ok(kept)
    }

    /// Makes the names of written files durable.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) async fn settle(&self) -> Result<(), Error> {
        match self.is_empty() {
            true => Ok(()),
            false => self.blobs.settle().await,
        }
    }

    /// Whether no content became a file.
    pub(crate) fn is_empty(&self) -> bool {
        self.files().is_empty()
    }

    /// The unit was refused: removes those files that no row names and no other unit needs.
    /// `named` says which of the files it is given some row names, after everything that was
    /// queued before has been written. Where processes share the place nothing is removed here:
    /// another may be about to name the same file; a sweep follows.
    ///
    /// # Errors
    /// `Unavailable`; what is left goes with the next sweep.
    pub(crate) async fn discard<F, Answer>(&self, named: F) -> Result<(), Error>
    where
        F: FnOnce(Vec<Address>) -> Answer,
        Answer: Future<Output = Result<HashSet<Address>, Error>>,
    {
        let files = std::mem::take(&mut *self.files());
        let leaving = self.blobs.held.give_up(&files, self.blobs.shared);
        self.blobs.remove_leaving(leaving.files(), None, named).await?;
        Ok(())
    }

    fn files(&self) -> MutexGuard<'_, Vec<Address>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let files = std::mem::take(&mut *self.files());
        drop(self.blobs.held.give_up(&files, true));
    }
}

/// Hashes and packs a content, and decides where it lies.
fn weigh(key: &Key, inline_max: usize, bytes: Bytes, files: &mut Vec<(Address, Bytes)>) -> Kept {
    let digest = Digest::of(&bytes);
    let packed = pack::pack(&bytes);
    let (packed, stored) = (packed.is_some(), packed.unwrap_or(bytes));
    if stored.len() <= inline_max {
        return Kept { digest, packed, inline: Some(stored), file: None };
    }
    let file = address(key, &digest, packed);
    files.push((file, stored));
    Kept { digest, packed, inline: None, file: Some(file) }
}

/// What this process is about to name, and what it is about to remove.
#[derive(Debug, Default)]
pub(super) struct Held {
    state: Mutex<State>,
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// How many units are about to name a file.
    held: HashMap<Address, usize>,
    /// Files that are being removed.
    leaving: HashSet<Address>,
    /// Bytes on their way to their files.
    writing: usize,
}

impl Held {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a file, as soon as it is not leaving.
    async fn hold(&self, file: &Address) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            if self.state().take(file) {
                return;
            }
            left.await;
        }
    }

    /// Gives up held files; those that nobody else holds are leaving, unless they are to stay.
    fn give_up(&self, files: &[Address], stay: bool) -> Leaving<'_> {
        let mut state = self.state();
        for file in files {
            match state.held.get_mut(file) {
                Some(units) if *units > 1 => *units -= 1,
                _ => drop(state.held.remove(file)),
            }
        }
        let files = if stay { Vec::new() } else { state.leave(files) };
        Leaving { held: self, files }
    }

    /// Marks files as leaving that nobody holds.
    pub(super) fn leave(&self, files: &[Address]) -> Leaving<'_> {
        Leaving { held: self, files: self.state().leave(files) }
    }

    /// Room for so many bytes on their way; what is too large alone goes when nothing else does.
    pub(super) fn room(&self, bytes: usize) -> Result<Room<'_>, Error> {
        let mut state = self.state();
        if state.writing > 0 && state.writing.saturating_add(bytes) > KEEPING_BYTES_MAX {
            return Err(Error::Busy);
        }
        state.writing += bytes;
        Ok(Room { held: self, bytes })
    }
}

impl State {
    fn take(&mut self, file: &Address) -> bool {
        let free = !self.leaving.contains(file);
        if free {
            *self.held.entry(*file).or_default() += 1;
        }
        free
    }

    fn leave(&mut self, files: &[Address]) -> Vec<Address> {
        let free = |file: &&Address| !self.held.contains_key(*file) && self.leaving.insert(**file);
        files.iter().filter(free).copied().collect()
    }
}

/// Files that are being removed: until it is dropped nobody keeps them anew.
#[derive(Debug)]
pub(super) struct Leaving<'a> {
    held: &'a Held,
    files: Vec<Address>,
}

impl Leaving<'_> {
    /// Which ones.
    pub(super) fn files(&self) -> &[Address] {
        &self.files
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.files.is_empty() {
            return;
        }
        let mut state = self.held.state();
        for file in &self.files {
            state.leaving.remove(file);
        }
        drop(state);
        self.held.left.notify_waiters();
    }
}

/// Room taken on the way to files.
#[derive(Debug)]
pub(super) struct Room<'a> {
    held: &'a Held,
    bytes: usize,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.held.state().writing -= self.bytes;
    }
}
