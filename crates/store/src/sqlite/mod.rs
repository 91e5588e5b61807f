//! SQLite: a house in one file and one folder, for one process.
//!
//! Comes in   calls of `House`.
//! Goes out   what the file holds, and nothing before the disk has it.
//! Never      opens a house that another process holds, nor one that a newer version wrote.
//!
//! ```text
//! FOLDER/house.lock      held while the house is open
//! FOLDER/house.sqlite    everything (and its write-ahead log, -wal and -shm)
//! FOLDER/blobs/          contents above 64 KB, named by a keyed hash
//! ```
//!
//! A file can hold several houses (`SqliteHouse::tenant`): one writer, one lock, and every key
//! led by the house.

mod backup;
mod content;
mod doors;
mod ledger;
mod link;
mod purge;
mod reader;
mod record;
mod rekey;
mod row;
mod schema;
#[cfg(test)]
mod tests;
mod unit;
mod wipe;
mod work;
mod writer;

use bytes::Bytes;
use exchange::{Chain, Digest, Entry, HouseId, PartnerId};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

use self::content::{Folder, Hold};
use self::reader::Readers;
use self::unit::Sealed;
use self::writer::{Outcome, Writer};
use crate::house::*;
use crate::limits::*;
use crate::proof::LedgerKey;

const DATABASE: &str = "house.sqlite";
const LOCK: &str = "house.lock";
const BLOBS: &str = "blobs";

/// A house in a SQLite file. Clones are the same house; the file is given back when the last of
/// them is dropped, after everything queued has been written.
#[derive(Clone)]
pub struct SqliteHouse {
    shared: Arc<Shared>,
    house: i64,
    blob_key: [u8; 32],
}

/// What the houses of a file share. Fields are dropped in this order: the queue is emptied, the
/// connections close, the file, the lock goes last.
struct Shared {
    writer: Option<Writer>,
    readers: Arc<Readers>,
    folder: Arc<Folder>,
    /// One after the other: purges, scrubs and backups. No file may go while a backup links it.
    keeping: Mutex<()>,
    /// The database file beside SQLite's own handles; it must not be closed before they are.
    file: Option<Arc<File>>,
    _lock: Option<File>,
}

impl fmt::Debug for SqliteHouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteHouse({})", self.shared.folder.path().display())
    }
}

impl SqliteHouse {
    /// Opens a house in a folder; creates folder, file and house where they do not exist yet.
    ///
    /// # Errors
    /// `Locked` while another process (or another part of this one) holds the folder;
    /// `Unavailable` when the disk refuses or a newer version wrote the file; `Damaged` when the
    /// file is not a whole database.
    pub fn open(folder: &Path, house: &HouseId) -> Result<SqliteHouse, Error> {
        std::fs::create_dir_all(folder)?;
        let lock = private(&folder.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let file = folder.join(DATABASE);
        // Created here, so that only its owner can read it; the log inherits that.
        let handle = private(&file)?;
        let db = Connection::open(&file)?;
        prepare(&db)?;
        schema::bring_up(&db)?;
        let (id, blob_key) = admit(&db, house)?;
        work::end_leases(&db)?;
        let blobs = Folder::new(folder.join(BLOBS));
        blobs.create()?;
        blobs.sweep(&db, false)?;
        File::open(folder)?.sync_all()?;
        let shared = Shared {
            writer: Some(Writer::start(db)?),
            readers: Arc::new(Readers::new(file)),
            folder: Arc::new(blobs),
            keeping: Mutex::default(),
            file: Some(Arc::new(handle)),
            _lock: Some(lock),
        };
        Ok(SqliteHouse { shared: Arc::new(shared), house: id, blob_key })
    }

    /// Opens a house, or a copy of one, for reading only: whoever holds it is not disturbed, and
    /// every writing method answers `Unavailable`.
    ///
    /// # Errors
    /// `Unavailable` when there is no such file or a newer version wrote it; `Damaged` when it
    /// does not hold this house.
    pub fn open_to_read(folder: &Path, house: &HouseId) -> Result<SqliteHouse, Error> {
        let readers = Readers::new(folder.join(DATABASE));
        let found = readers.read_now(|db| {
            schema::check(db)?;
            find(db, house)
        })?;
        let (id, blob_key) =
            found.ok_or_else(|| Error::Damaged("the file does not hold this house".to_owned()))?;
        let folder = Arc::new(Folder::new(folder.join(BLOBS)));
        let shared = Shared {
            writer: None,
            readers: Arc::new(readers),
            folder,
            keeping: Mutex::default(),
            file: None,
            _lock: None,
        };
        Ok(SqliteHouse { shared: Arc::new(shared), house: id, blob_key })
    }

    /// Another house in the same file; created where it does not exist yet.
    ///
    /// # Errors
    /// `Busy`, or `Unavailable` when it cannot be written.
    pub async fn tenant(&self, house: &HouseId) -> Result<SqliteHouse, Error> {
        let house = house.clone();
        let found = self.write(0, move |db| Ok(Outcome::Keep(admit(db, &house)?))).await?;
        Ok(SqliteHouse { shared: Arc::clone(&self.shared), house: found.0, blob_key: found.1 })
    }

    /// Links contents that were written before their uses were kept to the rows of work that name
    /// them: the next `limit` lines of the ledger, or rows of work. How many are left; `None`
    /// once all are linked. A run that was cut off goes on.
    ///
    /// # Errors
    /// Those of a writing.
    pub async fn link_uses(&self, limit: u32) -> Result<Option<u64>, Error> {
        let house = self.house;
        self.write(0, move |db| Ok(Outcome::Keep(link::step(db, house, limit)?))).await
    }

    /// How many lines and rows of work `link_uses` has to read; `None`: nothing.
    ///
    /// # Errors
    /// Those of a reading.
    pub async fn unlinked(&self) -> Result<Option<u64>, Error> {
        self.read(link::left).await
    }

    /// Hashes a unit's contents and writes the large ones, on a thread that may block when that
    /// is much work. What is held stays held either way, so that files can be removed again.
    async fn seal(&self, unit: Unit) -> Result<(Result<Sealed, Error>, Hold), Error> {
        let much = unit::bytes(&unit) > HASH_BYTES_INLINE_MAX || unit::spills(&unit);
        let (mut hold, key) = (Hold::new(&self.shared.folder), self.blob_key);
        let seal = move || (unit::seal(&mut hold, &key, unit), hold);
        match much {
            true => {
                let sealed = tokio::task::spawn_blocking(seal).await;
                sealed.map_err(|error| Error::Unavailable(Box::new(error)))
            }
            false => Ok(seal()),
        }
    }

    async fn write<T, F>(&self, bytes: usize, run: F) -> Result<T, Error>
    where
        F: FnOnce(&Connection) -> Result<Outcome<T>, Error> + Send + 'static,
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

    /// How contents are read, from rows or files.
    fn contents(
        &self,
    ) -> impl Fn(&Row<'_>, &Digest) -> Result<Option<Bytes>, Error> + Send + use<> {
        let (folder, key) = (Arc::clone(&self.shared.folder), self.blob_key);
        move |row, digest| folder.read(&key, row, digest)
    }
}

impl House for SqliteHouse {
    async fn commit(&self, unit: Unit) -> Result<Commit, Error> {
        if self.shared.writer.is_none() {
            return Err(for_reading_only());
        }
        let (sealed, hold) = self.seal(unit).await?;
        let hold = Arc::new(hold);
        let answer = match sealed {
            Ok(sealed) => {
                let bytes = sealed.bytes();
                let (house, read, held) = (self.house, self.contents(), Arc::clone(&hold));
                let run = move |db: &Connection| {
                    let answer = unit::apply(db, house, read, sealed);
                    drop(held);
                    answer
                };
                self.write(bytes, run).await
            }
            Err(error) => Err(error),
        };
        if !matches!(answer, Ok(Commit::Done { .. })) && !hold.is_empty() {
            // What this leaves behind, the next open sweeps up.
            let _ = self.write(0, move |db| Ok(Outcome::Undo(hold.remove(db)?))).await;
        }
        answer
    }

    async fn claim(&self, clock: Clock, length: Duration, limit: u32) -> Result<Vec<Lease>, Error> {
        let house = self.house;
        self.write(0, move |db| Ok(Outcome::Keep(work::claim(db, house, clock, length, limit)?)))
            .await
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

    async fn checkpoints(&self) -> Result<Vec<Checkpoint>, Error> {
        self.read(ledger::checkpoints).await
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
        let (kind, id, read) = (kind.to_owned(), id.to_owned(), self.contents());
        self.read(move |db, house| record::one(db, house, (&kind, &id), version, read)).await
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

    async fn about(&self, query: AboutQuery) -> Result<Vec<Record>, Error> {
        let read = self.contents();
        self.read(move |db, house| record::about(db, house, &query, read)).await
    }

    async fn search(&self, query: RecordQuery) -> Result<Vec<Record>, Error> {
        let read = self.contents();
        self.read(move |db, house| record::search(db, house, &query, read)).await
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
        let (digest, read) = (*digest, self.contents());
        self.read(move |db, house| unit::blob(db, house, &digest, read)).await
    }

    async fn first_answer(
        &self,
        sender: &PartnerId,
        key: &str,
    ) -> Result<Option<FirstAnswer>, Error> {
        let (sender, key, read) = (sender.clone(), key.to_owned(), self.contents());
        self.read(move |db, house| unit::first_answer(db, house, &sender, &key, read)).await
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
        if !gone.files.is_empty() {
            // Only once the rows are gone for good: a file that a row names must be there.
            let folder = Arc::clone(&self.shared.folder);
            let remove = move |db: &Connection| {
                gone.files.iter().try_for_each(|file| folder.remove(db, file, 0))
            };
            self.write(0, move |db| Ok(Outcome::Undo(remove(db)?))).await?;
        }
        Ok(gone.purged)
    }

    async fn scrub(&self) -> Result<(), Error> {
        let _turn = self.shared.keeping.lock().await;
        let (Some(writer), Some(file)) = (&self.shared.writer, &self.shared.file) else {
            return Err(for_reading_only());
        };
        for _ in 0..SCRUB_TRIES {
            let (file, folder) = (Arc::clone(file), Arc::clone(&self.shared.folder));
            if writer.alone(move |db| scrub(db, &file, &folder)).await? {
                return Ok(());
            }
            // Somebody reads from the log: units and readings go first.
            tokio::time::sleep(SCRUB_PAUSE).await;
        }
        Err(Error::Unavailable("somebody keeps reading from the write-ahead log".into()))
    }

    async fn backup(&self, folder: &Path) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let (house, folder) = (self.house, folder.to_owned());
        let _turn = self.shared.keeping.lock().await;
        let write = move || backup::write(shared.readers.file(), &shared.folder, house, &folder);
        let written = tokio::task::spawn_blocking(write).await;
        written.map_err(|error| Error::Unavailable(Box::new(error)))?
    }

    async fn keys_edition(&self) -> Result<u32, Error> {
        self.read(rekey::edition).await
    }

    async fn rekey_next(&self, edition: u32, limit: u32) -> Result<Vec<Record>, Error> {
        let read = self.contents();
        self.read(move |db, house| rekey::next(db, house, edition, limit, read)).await
    }

    async fn rekey(&self, edition: u32, keys: Vec<Rekey>) -> Result<(), Error> {
        let house = self.house;
        let write = move |db: &Connection| rekey::write(db, house, edition, &keys);
        self.write(0, move |db| Ok(Outcome::Keep(write(db)?))).await
    }
}

/// Leaves no removed byte behind; `false`: somebody still reads from the write-ahead log.
fn scrub(db: &Connection, file: &File, folder: &Folder) -> Result<bool, Error> {
    folder.sweep(db, true)?;
    db.busy_timeout(SCRUB_WAIT)?;
    let empty = wipe::empty_log(db);
    db.busy_timeout(DATABASE_WAIT)?;
    if !empty? {
        return Ok(false);
    }
    wipe::clear(db, file)?;
    Ok(true)
}

fn for_reading_only() -> Error {
    Error::Unavailable("the house is open for reading only".into())
}

fn private(file: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(file)?)
}

/// Settings of the writing connection. FULL: a commit waits for the disk.
fn prepare(db: &Connection) -> Result<(), Error> {
    db.busy_timeout(DATABASE_WAIT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    // What a savepoint needs to take a unit back stays out of temporary files: faster, and no
    // patient's data outside of the folder.
    db.pragma_update(None, "temp_store", "MEMORY")?;
    // What is removed is overwritten; `scrub` clears what this leaves.
    db.pragma_update(None, "secure_delete", true)?;
    db.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    db.pragma_update(None, "cache_size", -WRITER_CACHE_KB)?;
    db.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    Ok(())
}

fn find(db: &Connection, house: &HouseId) -> Result<Option<(i64, [u8; 32])>, Error> {
    let select = "SELECT house, blob_key FROM houses WHERE name = ?1";
    row::first(db, select, [house.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// The house's number and the key of its contents; both are made with the house.
fn admit(db: &Connection, house: &HouseId) -> Result<(i64, [u8; 32]), Error> {
    if let Some(found) = find(db, house)? {
        return Ok(found);
    }
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key)
        .map_err(|_| Error::Unavailable("the system has no randomness to give".into()))?;
    let insert = "INSERT INTO houses (name, blob_key) VALUES (?1, ?2)";
    row::run(db, insert, params![house.as_str(), key])?;
    Ok((db.last_insert_rowid(), key))
}
