//! PostgreSQL: houses in one database, for many processes.
//!
//! Comes in   calls of `House`.
//! Goes out   what the database holds, and nothing before its disk has it.
//! Never      opens a database that a newer version wrote, and never holds a lock while it waits
//!            for anything but the server.
//!
//! Every process has one writer per house, with a connection of its own; the house's row, which
//! each group of units locks first, makes them take turns. Readings, leases and the doors of
//! partners use a pool beside it. Locks are taken in one order everywhere: the house's row, the
//! rows of lanes by name, rows of work.

mod backup;
mod bringers;
mod doors;
mod find;
mod gate;
mod group;
mod holdings;
mod inspect;
mod ledger;
mod pipe;
mod pool;
mod purge;
mod read;
mod record;
mod rekey;
mod restore;
mod row;
mod rows;
mod schema;
mod sql;
mod uses;
mod work;
mod writer;

use bytes::Bytes;
use deadpool_postgres::{Client, ClientWrapper};
use exchange::parts::Holding;
use exchange::{Chain, Digest, Entry, HouseId, PartnerId};
use jiff::Timestamp;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Row;

pub use self::pool::PostgresPlace;
pub use self::restore::Arrived;

use self::gate::Gate;
use self::pool::Pool;
use self::row::get;
use self::writer::Writer;
use crate::blob::{Blobs, Key, Part, Stored};
use crate::house::*;
use crate::lease::names;
use crate::limits::REKEY_BYTES;
use crate::proof::LedgerKey;
use crate::seal::{read_twice, seal};

/// Names the lock under which files are removed, and that backups share while they copy them:
/// "sweeping" in ASCII.
const SWEEPING: i64 = 0x7377_6565_7069_6e67;

/// A house in a PostgreSQL database. Clones are the same house; so are others of its name, in
/// this process or elsewhere.
#[derive(Clone)]
pub struct PostgresHouse {
    shared: Arc<Shared>,
    house: i64,
    blob_key: Key,
}

/// What the clones of a house share.
struct Shared {
    writer: Writer,
    pool: Arc<Pool>,
    /// Where large contents lie.
    blobs: Blobs,
}

impl fmt::Debug for PostgresHouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresHouse({})", self.house)
    }
}

impl PostgresHouse {
    /// Opens a house in a database; creates tables and house where they do not exist yet.
    ///
    /// # Errors
    /// `Unavailable` when the server cannot be reached or refuses; `TooNew` when a newer version
    /// wrote the database; `Damaged` when its tables are not the ones known.
    pub async fn open(place: &PostgresPlace, house: &HouseId) -> Result<PostgresHouse, Error> {
        let pool = Arc::new(Pool::new(place)?);
        schema::bring_up(&mut pool.get().await?).await?;
        let (id, blob_key) = admit(&pool.get().await?, house).await?;
        let blobs = match &place.blobs {
            Some(blobs) => {
                let ours = blobs.of_database(&part(&*pool.get().await?).await?)?;
                ours.guarded(Arc::new(Gate::new(Arc::clone(&pool))))
            }
            None => Blobs::rows(),
        };
        Ok(PostgresHouse::over(pool, blobs, id, blob_key))
    }

    /// Which schema step the database has taken, and how many this program knows; `None`: it does not
    /// hold this house yet. Nothing is changed.
    ///
    /// # Errors
    /// As of `open`.
    pub async fn schema(
        place: &PostgresPlace,
        house: &HouseId,
    ) -> Result<Option<(u64, u64)>, Error> {
        let db = Pool::new(place)?.get().await?;
        let taken = schema::taken(&db).await?;
        if taken == 0 {
            return Ok(None);
        }
        let select = "SELECT 1 FROM houses WHERE name = $1";
        let found = db.query_opt(select, &[&house.as_str()]).await?;
        Ok(found.map(|_| (taken, schema::KNOWN)))
    }

    /// Brings a house out of a folder, as `House::backup` writes it, into a database that does
    /// not hold it yet: all of it, or nothing. It is there once it is kept.
    ///
    /// # Errors
    /// `Taken` when the database holds the house already; those of `open`; those of
    /// `SqliteHouse::open` for the folder, which is brought up to this version.
    pub async fn restore(
        place: &PostgresPlace,
        folder: &Path,
        house: &HouseId,
    ) -> Result<Arrived, Error> {
        restore::read(place, folder, house).await
    }

    /// Another house in the same database; created where it does not exist yet.
    ///
    /// # Errors
    /// As of `open`.
    pub async fn tenant(&self, house: &HouseId) -> Result<PostgresHouse, Error> {
        let (pool, blobs) = (Arc::clone(&self.shared.pool), self.shared.blobs.clone());
        let (id, blob_key) = admit(&pool.get().await?, house).await?;
        Ok(PostgresHouse::over(pool, blobs, id, blob_key))
    }

    /// As `AnyHouse::sweep`.
    ///
    /// # Errors
    /// `Unavailable`; what was removed until then is gone.
    pub async fn sweep(&self) -> Result<u64, Error> {
        purge::sweep_alone(&self.shared.pool, &self.shared.blobs).await
    }

    /// Looks at every row that names another, and at every content of the house.
    ///
    /// # Errors
    /// Those of a reading; what is damaged is no error but part of the answer.
    pub async fn inspect(&self) -> Result<Inspection, Error> {
        let Shared { pool, blobs, .. } = &*self.shared;
        inspect::inspect(pool, blobs, (self.house, &self.blob_key)).await
    }

    fn over(pool: Arc<Pool>, blobs: Blobs, house: i64, blob_key: Key) -> PostgresHouse {
        let writer = Writer::start(Arc::clone(&pool), house);
        PostgresHouse { shared: Arc::new(Shared { writer, pool, blobs }), house, blob_key }
    }

    /// A connection for a short while.
    async fn client(&self) -> Result<Client, Error> {
        self.shared.pool.get().await
    }

    /// Fetches the contents of records that were read as rows.
    async fn fill(&self, rows: Vec<(Record, Stored)>, bytes: u64) -> Result<Vec<Record>, Error> {
        self.shared.blobs.fill(&self.blob_key, rows, bytes).await
    }
}

/// The house's number and the key of its contents; both are made with the house.
async fn admit(db: &Client, house: &HouseId) -> Result<(i64, Key), Error> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key)
        .map_err(|_| Error::Unavailable("the system has no randomness to give".into()))?;
    let insert = "INSERT INTO houses (name, blob_key) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    db.execute(insert, &[&house.as_str(), &&key[..]]).await?;
    let select = "SELECT house, blob_key FROM houses WHERE name = $1";
    let row = db.query_one(select, &[&house.as_str()]).await?;
    Ok((get(&row, "house")?, key_of(&row)?))
}

/// The database's own part of the place of its contents, drawn with its tables.
async fn part(db: &ClientWrapper) -> Result<Part, Error> {
    let row = db.query_one("SELECT part FROM place", &[]).await?;
    Part::known(get(&row, "part")?)
}

fn key_of(row: &Row) -> Result<Key, Error> {
    let unfit = |_| Error::Damaged("the key of the house's contents is not a key".to_owned());
    get::<&[u8]>(row, "blob_key")?.try_into().map_err(unfit)
}

impl House for PostgresHouse {
    async fn commit(&self, unit: Unit) -> Result<Commit, Error> {
        let (blobs, key) = (&self.shared.blobs, &self.blob_key);
        let sealed = seal(Arc::new(blobs.hold()), key, unit).await?;
        self.shared.writer.write(sealed).await?.told(blobs, key).await
    }

    async fn claim_beside(
        &self,
        clock: Clock,
        length: Duration,
        limit: u32,
        beside: &[Option<PartnerId>],
    ) -> Result<Vec<Lease>, Error> {
        let beside = names(beside);
        work::claim(&self.shared.pool, self.house, clock, length, limit, &beside).await
    }

    async fn renew(&self, clock: Clock, fence: &Fence, length: Duration) -> Result<bool, Error> {
        work::renew(&self.shared.pool, self.house, clock, fence, length).await
    }

    async fn release(&self, fence: Fence) -> Result<(), Error> {
        work::release(&self.shared.pool, self.house, &fence).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        work::next_due(&self.shared.pool, self.house).await
    }

    async fn work(&self, id: &str) -> Result<Option<StoredWork>, Error> {
        work::one(&self.shared.pool, self.house, id).await
    }

    async fn works(&self, query: WorkQuery) -> Result<Vec<StoredWork>, Error> {
        work::some(&self.shared.pool, self.house, &query).await
    }

    async fn work_counts(&self) -> Result<Vec<(String, u64)>, Error> {
        work::counts(&self.shared.pool, self.house).await
    }

    async fn lane_number(&self, lane: &str) -> Result<u64, Error> {
        work::lane_number(&self.shared.pool, self.house, lane).await
    }

    async fn first_use(
        &self,
        scope: &str,
        token: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mark = Digest::of_pieces([scope.as_bytes(), token.as_bytes()]);
        uses::first_use(&self.shared.pool, self.house, &mark, until, now).await
    }

    fn clock(&self, _now: Timestamp) -> Clock {
        Clock::Database
    }

    async fn used(&self, scope: &str, token: &str, now: Timestamp) -> Result<bool, Error> {
        let mark = Digest::of_pieces([scope.as_bytes(), token.as_bytes()]);
        uses::used(&self.shared.pool, self.house, &mark, now).await
    }

    async fn time(&self, clock: Clock) -> Result<Timestamp, Error> {
        work::time_by(&self.shared.pool, clock).await
    }

    async fn approach(
        &self,
        clock: Clock,
        partner: &PartnerId,
        every: Duration,
    ) -> Result<Approach, Error> {
        doors::approach(&self.shared.pool, self.house, clock, partner, every).await
    }

    async fn report(
        &self,
        clock: Clock,
        partner: &PartnerId,
        answered: bool,
        breaker: Breaker,
    ) -> Result<(), Error> {
        doors::report(&self.shared.pool, self.house, clock, partner, answered, breaker).await
    }

    async fn doors(&self) -> Result<Vec<DoorState>, Error> {
        doors::doors(&self.shared.pool, self.house).await
    }

    async fn holdings(
        &self,
        partner: &PartnerId,
        records: &[(String, String)],
    ) -> Result<Vec<Option<Holding>>, Error> {
        holdings::read(&self.shared.pool, self.house, partner, records).await
    }

    async fn checkpoint(
        &self,
        at: Timestamp,
        key: &LedgerKey,
    ) -> Result<Option<Checkpoint>, Error> {
        ledger::checkpoint(&self.shared.pool, self.house, at, key).await
    }

    // Readings.

    async fn story(&self, chain: &Chain) -> Result<Vec<Entry>, Error> {
        read::story(&self.client().await?, self.house, chain).await
    }

    async fn entries(&self, seq: u64, limit: u32) -> Result<Vec<Entry>, Error> {
        read::entries(&self.client().await?, self.house, seq, limit).await
    }

    async fn unsigned(&self) -> Result<u64, Error> {
        read::unsigned(&self.client().await?, self.house).await
    }

    async fn checkpoints(&self, from: u64, limit: u32) -> Result<Vec<Checkpoint>, Error> {
        read::checkpoints(&self.client().await?, self.house, from, limit).await
    }

    async fn checkpoint_below(&self, number: u64) -> Result<Option<Checkpoint>, Error> {
        read::checkpoint_below(&self.client().await?, self.house, number).await
    }

    async fn checkpoint_numbered(&self, number: u64) -> Result<Option<Checkpoint>, Error> {
        read::checkpoint_numbered(&self.client().await?, self.house, number).await
    }

    async fn heads(&self, records: &[(String, String)]) -> Result<Vec<Option<Record>>, Error> {
        record::heads(&self.client().await?, self.house, records).await
    }

    async fn record(
        &self,
        kind: &str,
        id: &str,
        version: Option<u64>,
    ) -> Result<Option<Record>, Error> {
        read_twice(|| async {
            let found = record::one(&self.client().await?, self.house, (kind, id), version).await?;
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
        record::history(&self.client().await?, self.house, (kind, id), before, limit).await
    }

    async fn brought(&self, receipt: &str, after: u64, limit: u32) -> Result<Vec<Lineage>, Error> {
        bringers::brought(&self.client().await?, self.house, receipt, after, limit).await
    }

    async fn lineage(&self, kind: &str, id: &str) -> Result<Option<Lineage>, Error> {
        bringers::of_record(&self.client().await?, self.house, kind, id).await
    }

    async fn search(&self, query: RecordQuery) -> Result<Vec<Record>, Error> {
        read_twice(|| async {
            let found = record::search(&self.client().await?, self.house, &query).await?;
            self.fill(found, query.bytes).await
        })
        .await
    }

    async fn count(&self, query: RecordQuery) -> Result<u64, Error> {
        record::count(&self.client().await?, self.house, &query).await
    }

    async fn about(&self, query: AboutQuery) -> Result<Vec<Record>, Error> {
        read_twice(|| async {
            let found = record::about(&self.client().await?, self.house, &query).await?;
            self.fill(found, query.bytes).await
        })
        .await
    }

    async fn dump(
        &self,
        after: Option<(String, String, u64)>,
        limit: u32,
    ) -> Result<Vec<Record>, Error> {
        record::dump(&self.client().await?, self.house, after, limit).await
    }

    async fn version_count(&self) -> Result<u64, Error> {
        record::version_count(&self.client().await?, self.house).await
    }

    async fn blob(&self, digest: &Digest) -> Result<Option<Bytes>, Error> {
        read_twice(|| async {
            let found = read::blob(&self.client().await?, self.house, digest).await?;
            self.shared.blobs.fetch(&self.blob_key, digest, found.unwrap_or_default()).await
        })
        .await
    }

    async fn first_answer(
        &self,
        sender: &PartnerId,
        key: &str,
    ) -> Result<Option<FirstAnswer>, Error> {
        read_twice(|| async {
            let found = read::first_answer(&self.client().await?, self.house, sender, key).await?;
            match found {
                Some(found) => Ok(Some(found.whole(&self.shared.blobs, &self.blob_key).await?)),
                None => Ok(None),
            }
        })
        .await
    }

    // House-keeping.

    async fn at_rest(
        &self,
        partner: &PartnerId,
        before: Timestamp,
        after: Option<(Timestamp, String)>,
        limit: u32,
    ) -> Result<Vec<StoredWork>, Error> {
        work::at_rest(&self.shared.pool, self.house, partner, before, after, limit).await
    }

    async fn purge(&self, purge: Purge) -> Result<Purged, Error> {
        purge::purge(&self.shared.pool, self.house, &purge).await
    }

    async fn scrub(&self) -> Result<(), Error> {
        purge::scrub(&self.shared.pool, &self.shared.blobs).await
    }

    async fn backup(&self, folder: &Path) -> Result<(), Error> {
        let shared = &self.shared;
        backup::write(&shared.pool, &shared.blobs, self.house, folder).await
    }

    async fn keys_edition(&self) -> Result<u32, Error> {
        rekey::edition(&*self.client().await?, self.house).await
    }

    async fn rekey_next(&self, edition: u32, limit: u32) -> Result<Vec<Record>, Error> {
        read_twice(|| async {
            let rows = rekey::next(&self.client().await?, self.house, edition, limit).await?;
            self.fill(rows, REKEY_BYTES).await
        })
        .await
    }

    async fn rekey(&self, edition: u32, keys: Vec<Rekey>) -> Result<(), Error> {
        rekey::write(&self.shared.pool, self.house, edition, &keys).await
    }
}
