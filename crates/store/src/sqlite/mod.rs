//! SQLite: a house in one file and one folder, for one process.
//!
//! Comes in   calls of `House`.
//! Goes out   what the file holds, and nothing before the disk has it.
//! Never      opens a house that another process holds, nor one that a newer version wrote.
//!
//! ```text
//! FOLDER/house.lock      held while the house is open
//! FOLDER/house.sqlite    everything (and its write-ahead log, -wal and -shm)
//! FOLDER/blobs/          contents above 64 KB, named by a keyed hash, unless they lie elsewhere
//! FOLDER/house.part      where they do: the name of the part of that place which is this folder's
//! ```
//!
//! A file can hold several houses (`SqliteHouse::tenant`): one writer, one lock, and every key
//! led by the house.

mod backup;
mod bringers;
mod content;
pub(crate) mod copy;
mod doors;
mod file;
mod holdings;
mod inspect;
mod ledger;
mod link;
mod log;
#[cfg(test)]
mod old_tests;
mod open;
mod purge;
mod reader;
mod record;
mod rekey;
mod row;
mod schema;
#[cfg(test)]
mod scrub_tests;
#[cfg(test)]
mod tests;
mod unit;
mod wipe;
mod work;
mod writer;

use bytes::Bytes;
use exchange::parts::Holding;
use exchange::{Chain, Digest, Entry, HouseId, PartnerId};
use jiff::Timestamp;
use rusqlite::Connection;
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

use self::file::admit;
use self::reader::Readers;
use self::writer::{Outcome, Writer};
use crate::blob::{Address, Blobs, Key, Stored};
use crate::blocking::blocking;
use crate::house::*;
use crate::lease::names;
use crate::limits::*;
use crate::proof::LedgerKey;
use crate::seal::{Decided, read_twice, seal};

const DATABASE: &str = "house.sqlite";
const JOURNAL: &str = "house.sqlite-journal";
const LOCK: &str = "house.lock";
const BLOBS: &str = "blobs";
const PART: &str = "house.part";

/// A house in a SQLite file. Clones are the same house; the file is given back when the last of
/// them is dropped, after everything queued has been written.
#[derive(Clone)]
pub struct SqliteHouse {
    shared: Arc<Shared>,
    house: i64,
    blob_key: Key,
}

/// What the houses of a file share. Fields are dropped in this order: the queue is emptied, the
/// connections close, the file, the lock goes last.
struct Shared {
    writer: Option<Writer>,
    readers: Arc<Readers>,
    folder: PathBuf,
    blobs: Blobs,
    /// One after the other: purges, scrubs and backups. No file may go while a backup copies it.
    keeping: Mutex<()>,
    /// The database file beside SQLite's own handles; it must not be closed before they are.
    file: Option<Arc<File>>,
    _lock: Option<File>,
}

impl fmt::Debug for SqliteHouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteHouse({})", self.shared.folder.display())
    }
}

impl SqliteHouse {
    /// Another house in the same file; created where it does not exist yet.
    ///
    /// # Errors
    /// `Busy`, or `Unavailable` when it cannot be written.
    pub async fn tenant(&self, house: &HouseId) -> Result<SqliteHouse, Error> {
        let house = house.clone();
        let found = self.write(0, move |db| Ok(Outcome::Keep(admit(db, &house)?))).await?;
        Ok(SqliteHouse { shared: Arc::clone(&self.shared), house: found.0, blob_key: found.1 })
    }

    /// Runs a job on the writer's thread; it may run more than once (see `writer`).
    async fn write<T, F>(&self, bytes: usize, run: F) -> Result<T, Error>
    where
        F: FnMut(&Connection) -> Result<Outcome<T>, Error> + Send + 'static,
        T: Send + 'static,
    {
        match &self.shared.writer {
            Some(writer) => writer.write(bytes, run).await,
            None => Err(for_reading_only()),
        }
    }

    async fn read<T, F>(&self, read: F) -> Result<T, Error>
    where
        F: FnOnce(&Connection, i64) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let house = self.house;
        self.shared.readers.read(move |db| read(db, house)).await
    }

    async fn fetch(&self, digest: &Digest, stored: Stored) -> Result<Option<Bytes>, Error> {
        self.shared.blobs.fetch(&self.blob_key, digest, stored).await
    }

    /// Fetches the contents of records that were read as rows.
    async fn fill(&self, rows: Vec<(Record, Stored)>, bytes: u64) -> Result<Vec<Record>, Error> {
        self.shared.blobs.fill(&self.blob_key, rows, bytes).await
    }

    /// As `AnyHouse::sweep`.
    ///
    /// # Errors
    /// `Unavailable`; what was removed until then is gone.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, Error> {
        let _turn = self.shared.keeping.lock().await;
        let before = now.checked_sub(ORPHAN_AGE).unwrap_or(Timestamp::MIN);
        self.shared.blobs.sweep(Some(before), |files| self.named(files)).await
    }

    /// Those of these files that rows name, after everything that is queued has been written.
    async fn named(&self, files: Vec<Address>) -> Result<HashSet<Address>, Error> {
        self.write(0, move |db| Ok(Outcome::Undo(content::named(db, &files)?))).await
    }
}

impl House for SqliteHouse {
    async fn commit(&self, unit: Unit) -> Result<Commit, Error> {
        if self.shared.writer.is_none() {
            return Err(for_reading_only());
        }
        let hold = Arc::new(self.shared.blobs.hold());
        let answer = match seal(Arc::clone(&hold), &self.blob_key, unit).await {
            Ok(sealed) => {
                let (house, bytes) = (self.house, sealed.bytes());
                self.write(bytes, move |db| unit::apply(db, house, &sealed)).await
            }
            Err(error) => Err(error),
        };
        if !matches!(answer, Ok(Decided::Said(Commit::Done { .. }))) && !hold.is_empty() {
            // What this leaves behind, a sweep removes.
            let _ = hold.discard(|files| self.named(files)).await;
        }
        answer?.told(&self.shared.blobs, &self.blob_key).await
    }

    async fn claim_beside(
        &self,
        clock: Clock,
        length: Duration,
        limit: u32,
        beside: &[Option<PartnerId>],
    ) -> Result<Vec<Lease>, Error> {
        let (house, beside) = (self.house, names(beside));
        let claim = move |db: &Connection| work::claim(db, house, clock, length, limit, &beside);
        self.write(0, move |db| Ok(Outcome::Keep(claim(db)?))).await
    }

    async fn renew(&self, clock: Clock, fence: &Fence, length: Duration) -> Result<bool, Error> {
        let (house, fence) = (self.house, fence.clone());
        let run = move |db: &Connection| {
            Ok(Outcome::Keep(work::renew(db, house, clock, &fence, length)?))
        };
        self.write(0, run).await
    }

    async fn release(&self, fence: Fence) -> Result<(), Error> {
        let house = self.house;
        self.write(0, move |db| Ok(Outcome::Keep(work::release(db, house, &fence)?))).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        self.read(work::next_due).await
    }

    async fn work(&self, id: &str) -> Result<Option<StoredWork>, Error> {
        let id = id.to_owned();
        self.read(move |db, house| work::one(db, house, &id)).await
    }

    async fn works(&self, query: WorkQuery) -> Result<Vec<StoredWork>, Error> {
        self.read(move |db, house| work::some(db, house, &query)).await
    }

    async fn work_counts(&self) -> Result<Vec<(String, u64)>, Error> {
        self.read(work::counts).await
    }

    async fn lane_number(&self, lane: &str) -> Result<u64, Error> {
        let lane = lane.to_owned();
        self.read(move |db, house| work::lane_number(db, house, &lane)).await
    }

    async fn story(&self, chain: &Chain) -> Result<Vec<Entry>, Error> {
        let chain = chain.clone();
        self.read(move |db, house| ledger::story(db, house, &chain)).await
    }

    async fn entries(&self, seq: u64, limit: u32) -> Result<Vec<Entry>, Error> {
        self.read(move |db, house| ledger::entries(db, house, seq, limit)).await
    }

    async fn unsigned(&self) -> Result<u64, Error> {
        self.read(ledger::unsigned).await
    }

    async fn checkpoints(&self, from: u64, limit: u32) -> Result<Vec<Checkpoint>, Error> {
        self.read(move |db, house| ledger::checkpoints(db, house, from, limit)).await
    }

    async fn checkpoint_below(&self, number: u64) -> Result<Option<Checkpoint>, Error> {
        self.read(move |db, house| ledger::checkpoint_below(db, house, number)).await
    }

    async fn checkpoint_numbered(&self, number: u64) -> Result<Option<Checkpoint>, Error> {
        self.read(move |db, house| ledger::checkpoint_numbered(db, house, number)).await
    }

    async fn checkpoint(
        &self,
        at: Timestamp,
        key: &LedgerKey,
    ) -> Result<Option<Checkpoint>, Error> {
        let (house, key) = (self.house, key.clone());
        self.write(0, move |db| Ok(Outcome::Keep(ledger::checkpoint(db, house, at, &key)?))).await
    }

    async fn heads(&self, records: &[(String, String)]) -> Result<Vec<Option<Record>>, Error> {
        let records = records.to_vec();
        self.read(move |db, house| record::heads(db, house, &records)).await
    }

    async fn record(
        &self,
        kind: &str,
        id: &str,
        version: Option<u64>,
    ) -> Result<Option<Record>, Error> {
        read_twice(|| async {
            let (kind, id) = (kind.to_owned(), id.to_owned());
            let one = move |db: &_, house| record::one(db, house, (&kind, &id), version);
            let found = self.read(one).await?;
            Ok(self.fill(found.into_iter().collect(), 0).await?.pop())
        })
        .await
    }

    async fn history(
        &self,
        kind: &str,
        id: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Record>, Error> {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        self.read(move |db, house| record::history(db, house, (&kind, &id), before, limit)).await
    }

    async fn brought(&self, receipt: &str, after: u64, limit: u32) -> Result<Vec<Lineage>, Error> {
        let receipt = receipt.to_owned();
        self.read(move |db, house| bringers::brought(db, house, &receipt, after, limit)).await
    }

    async fn lineage(&self, kind: &str, id: &str) -> Result<Option<Lineage>, Error> {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        self.read(move |db, house| bringers::of_record(db, house, &kind, &id)).await
    }

    async fn about(&self, query: AboutQuery) -> Result<Vec<Record>, Error> {
        let query = Arc::new(query);
        read_twice(|| async {
            let asked = Arc::clone(&query);
            let found = self.read(move |db, house| record::about(db, house, &asked)).await?;
            self.fill(found, query.bytes).await
        })
        .await
    }

    async fn search(&self, query: RecordQuery) -> Result<Vec<Record>, Error> {
        let query = Arc::new(query);
        read_twice(|| async {
            let asked = Arc::clone(&query);
            let found = self.read(move |db, house| record::search(db, house, &asked)).await?;
            self.fill(found, query.bytes).await
        })
        .await
    }

    async fn count(&self, query: RecordQuery) -> Result<u64, Error> {
        self.read(move |db, house| record::count(db, house, &query)).await
    }

    async fn dump(
        &self,
        after: Option<(String, String, u64)>,
        limit: u32,
    ) -> Result<Vec<Record>, Error> {
        self.read(move |db, house| record::dump(db, house, after, limit)).await
    }

    async fn version_count(&self) -> Result<u64, Error> {
        self.read(record::version_count).await
    }

    async fn blob(&self, digest: &Digest) -> Result<Option<Bytes>, Error> {
        read_twice(|| async {
            let wanted = *digest;
            let found = self.read(move |db, house| unit::blob(db, house, &wanted)).await?;
            self.fetch(digest, found.unwrap_or_default()).await
        })
        .await
    }

    async fn first_answer(
        &self,
        sender: &PartnerId,
        key: &str,
    ) -> Result<Option<FirstAnswer>, Error> {
        read_twice(|| async {
            let (sender, key) = (sender.clone(), key.to_owned());
            let answer = move |db: &_, house| unit::first_answer(db, house, &sender, &key);
            match self.read(answer).await? {
                Some(found) => Ok(Some(found.whole(&self.shared.blobs, &self.blob_key).await?)),
                None => Ok(None),
            }
        })
        .await
    }

    async fn first_use(
        &self,
        scope: &str,
        token: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let house = self.house;
        let mark = Digest::of_pieces([scope.as_bytes(), token.as_bytes()]);
        let first = move |db: &Connection| unit::first_use(db, house, &mark, until, now);
        self.write(0, move |db| Ok(Outcome::Keep(first(db)?))).await
    }

    async fn used(&self, scope: &str, token: &str, now: Timestamp) -> Result<bool, Error> {
        let mark = Digest::of_pieces([scope.as_bytes(), token.as_bytes()]);
        self.read(move |db, house| unit::used(db, house, &mark, now)).await
    }

    async fn time(&self, clock: Clock) -> Result<Timestamp, Error> {
        self.read(move |db, _| row::time(work::now(db, clock)?)).await
    }

    async fn approach(
        &self,
        clock: Clock,
        partner: &PartnerId,
        every: Duration,
    ) -> Result<Approach, Error> {
        let (house, partner) = (self.house, partner.clone());
        let approach = move |db: &Connection| doors::approach(db, house, clock, &partner, every);
        self.write(0, move |db| Ok(Outcome::Keep(approach(db)?))).await
    }

    async fn report(
        &self,
        clock: Clock,
        partner: &PartnerId,
        answered: bool,
        breaker: Breaker,
    ) -> Result<(), Error> {
        let (house, partner) = (self.house, partner.clone());
        let report =
            move |db: &Connection| doors::report(db, house, clock, &partner, answered, breaker);
        self.write(0, move |db| Ok(Outcome::Keep(report(db)?))).await
    }

    async fn doors(&self) -> Result<Vec<DoorState>, Error> {
        self.read(doors::doors).await
    }

    async fn holdings(
        &self,
        partner: &PartnerId,
        records: &[(String, String)],
    ) -> Result<Vec<Option<Holding>>, Error> {
        let (partner, records) = (partner.clone(), records.to_vec());
        self.read(move |db, house| holdings::read(db, house, &partner, &records)).await
    }

    async fn at_rest(
        &self,
        partner: &PartnerId,
        before: Timestamp,
        after: Option<(Timestamp, String)>,
        limit: u32,
    ) -> Result<Vec<StoredWork>, Error> {
        let partner = partner.clone();
        self.read(move |db, house| purge::at_rest(db, house, &partner, before, after, limit)).await
    }

    async fn purge(&self, purge: Purge) -> Result<Purged, Error> {
        let _turn = self.shared.keeping.lock().await;
        let house = self.house;
        let gone =
            self.write(0, move |db| Ok(Outcome::Keep(purge::purge(db, house, &purge)?))).await?;
        // Only once the rows are gone for good: a file that a row names must be there.
        let files: Vec<Address> = gone.files.into_iter().collect();
        self.shared.blobs.remove(&files, None, |files| self.named(files)).await?;
        Ok(gone.purged)
    }

    async fn scrub(&self) -> Result<(), Error> {
        let _turn = self.shared.keeping.lock().await;
        let (Some(writer), Some(file)) = (&self.shared.writer, &self.shared.file) else {
            return Err(for_reading_only());
        };
        for _ in 0..SCRUB_TRIES {
            let file = Arc::clone(file);
            if writer.alone(move |db| wipe::scrub(db, &file)).await? {
                return Ok(());
            }
            // Somebody reads from the log: units and readings go first.
            tokio::time::sleep(SCRUB_PAUSE).await;
        }
        Err(Error::Unavailable("somebody keeps reading from the write-ahead log".into()))
    }

    async fn backup(&self, folder: &Path) -> Result<(), Error> {
        let (house, folder, shared) = (self.house, folder.to_owned(), Arc::clone(&self.shared));
        let _turn = self.shared.keeping.lock().await;
        let begin = move || backup::Copy::begin(shared.readers.file(), house, &folder);
        let (copy, files) = blocking(begin).await??;
        let contents = Blobs::folder_as_it_is(&copy.contents());
        for file in &files {
            self.shared.blobs.copy(file, &contents).await?;
        }
        blocking(move || copy.finish()).await?
    }

    async fn keys_edition(&self) -> Result<u32, Error> {
        self.read(rekey::edition).await
    }

    async fn rekey_next(&self, edition: u32, limit: u32) -> Result<Vec<Record>, Error> {
        read_twice(|| async {
            let rows = self.read(move |db, house| rekey::next(db, house, edition, limit)).await?;
            self.fill(rows, 0).await
        })
        .await
    }

    async fn rekey(&self, edition: u32, keys: Vec<Rekey>) -> Result<(), Error> {
        let house = self.house;
        let write = move |db: &Connection| rekey::write(db, house, edition, &keys);
        self.write(0, move |db| Ok(Outcome::Keep(write(db)?))).await
    }
}

fn for_reading_only() -> Error {
    Error::Unavailable("the house is open for reading only".into())
}
