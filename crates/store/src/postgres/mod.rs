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

mod pool;
mod row;
mod schema;

use bytes::Bytes;
use deadpool_postgres::{Client, GenericClient};
use exchange::{Chain, Digest, Entry, HouseId, PartnerId};
use jiff::Timestamp;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use self::pool::PostgresPlace;

use self::pool::Pool;
use self::row::get;
use crate::house::*;
use crate::proof::LedgerKey;

/// A house in a PostgreSQL database. Clones are the same house; so are others of its name, in
/// this process or elsewhere.
#[derive(Clone)]
pub struct PostgresHouse {
    shared: Arc<Shared>,
    house: i64,
    blob_key: [u8; 32],
}

/// What the clones of a house share.
struct Shared {
    pool: Arc<Pool>,
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
        PostgresHouse::enter(pool, house).await
    }

    /// Another house in the same database; created where it does not exist yet.
    ///
    /// # Errors
    /// As of `open`.
    pub async fn tenant(&self, house: &HouseId) -> Result<PostgresHouse, Error> {
        PostgresHouse::enter(Arc::clone(&self.shared.pool), house).await
    }

    async fn enter(pool: Arc<Pool>, house: &HouseId) -> Result<PostgresHouse, Error> {
        let (house, blob_key) = admit(&pool.get().await?, house).await?;
        Ok(PostgresHouse { shared: Arc::new(Shared { pool }), house, blob_key })
    }

    /// A connection for a short while.
    async fn client(&self) -> Result<Client, Error> {
        self.shared.pool.get().await
    }
}

/// The house's number and the key of its contents; both are made with the house.
async fn admit(db: &Client, house: &HouseId) -> Result<(i64, [u8; 32]), Error> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key)
        .map_err(|_| Error::Unavailable("the system has no randomness to give".into()))?;
    let insert = "INSERT INTO houses (name, blob_key) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    db.execute(insert, &[&house.as_str(), &&key[..]]).await?;
    let select = "SELECT house, blob_key FROM houses WHERE name = $1";
    let row = db.query_one(select, &[&house.as_str()]).await?;
    let key = get::<&[u8]>(&row, "blob_key")?.try_into();
    let unfit = |_| Error::Damaged("the key of the house's contents is not a key".to_owned());
    Ok((get(&row, "house")?, key.map_err(unfit)?))
}

impl House for PostgresHouse {
    async fn commit(&self, _unit: Unit) -> Result<Commit, Error> {
        unbuilt()
    }

    async fn claim(&self, _: Clock, _: Duration, _: u32) -> Result<Vec<Lease>, Error> {
        unbuilt()
    }

    async fn renew(&self, _: Clock, _: &Fence, _: Duration) -> Result<bool, Error> {
        unbuilt()
    }

    async fn release(&self, _: Fence) -> Result<(), Error> {
        unbuilt()
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        unbuilt()
    }

    async fn work(&self, _: &str) -> Result<Option<StoredWork>, Error> {
        unbuilt()
    }

    async fn works(&self, _: WorkQuery) -> Result<Vec<StoredWork>, Error> {
        unbuilt()
    }

    async fn work_counts(&self) -> Result<Vec<(String, u64)>, Error> {
        unbuilt()
    }

    async fn lane_number(&self, _: &str) -> Result<u64, Error> {
        unbuilt()
    }

    async fn first_use(&self, _: &str, _: &str, _: Timestamp, _: Timestamp) -> Result<bool, Error> {
        unbuilt()
    }

    fn clock(&self, _now: Timestamp) -> Clock {
        Clock::Database
    }

    async fn approach(&self, _: Clock, _: &PartnerId, _: Duration) -> Result<Approach, Error> {
        unbuilt()
    }

    async fn report(&self, _: Clock, _: &PartnerId, _: bool, _: Breaker) -> Result<(), Error> {
        unbuilt()
    }

    async fn doors(&self) -> Result<Vec<DoorState>, Error> {
        unbuilt()
    }

    async fn checkpoint(&self, _: Timestamp, _: &LedgerKey) -> Result<Option<Checkpoint>, Error> {
        unbuilt()
    }

    // Readings.

    async fn story(&self, _chain: &Chain) -> Result<Vec<Entry>, Error> {
        unbuilt()
    }

    async fn entries(&self, _seq: u64, _limit: u32) -> Result<Vec<Entry>, Error> {
        unbuilt()
    }

    async fn unsigned(&self) -> Result<u64, Error> {
        unbuilt()
    }

    async fn checkpoints(&self) -> Result<Vec<Checkpoint>, Error> {
        unbuilt()
    }

    async fn checkpoint_numbered(&self, _number: u64) -> Result<Option<Checkpoint>, Error> {
        unbuilt()
    }

    async fn heads(&self, _records: &[(String, String)]) -> Result<Vec<Option<Record>>, Error> {
        unbuilt()
    }

    async fn record(
        &self,
        _kind: &str,
        _id: &str,
        _version: Option<u64>,
    ) -> Result<Option<Record>, Error> {
        unbuilt()
    }

    async fn history(
        &self,
        _kind: &str,
        _id: &str,
        _before: Option<u64>,
        _limit: u32,
    ) -> Result<Vec<Record>, Error> {
        unbuilt()
    }

    async fn search(&self, _query: RecordQuery) -> Result<Vec<Record>, Error> {
        unbuilt()
    }

    async fn count(&self, _query: RecordQuery) -> Result<u64, Error> {
        unbuilt()
    }

    async fn about(&self, _query: AboutQuery) -> Result<Vec<Record>, Error> {
        unbuilt()
    }

    async fn dump(
        &self,
        _after: Option<(String, String, u64)>,
        _limit: u32,
    ) -> Result<Vec<Record>, Error> {
        unbuilt()
    }

    async fn version_count(&self) -> Result<u64, Error> {
        unbuilt()
    }

    async fn blob(&self, _digest: &Digest) -> Result<Option<Bytes>, Error> {
        unbuilt()
    }

    async fn first_answer(
        &self,
        _sender: &PartnerId,
        _key: &str,
    ) -> Result<Option<FirstAnswer>, Error> {
        unbuilt()
    }

    // House-keeping.

    async fn purge(&self, _purge: Purge) -> Result<Purged, Error> {
        unbuilt()
    }

    async fn scrub(&self) -> Result<(), Error> {
        unbuilt()
    }

    async fn backup(&self, _folder: &Path) -> Result<(), Error> {
        unbuilt()
    }

    async fn keys_edition(&self) -> Result<u32, Error> {
        unbuilt()
    }

    async fn rekey_next(&self, _edition: u32, _limit: u32) -> Result<Vec<Record>, Error> {
        unbuilt()
    }

    async fn rekey(&self, _edition: u32, _keys: Vec<Rekey>) -> Result<(), Error> {
        unbuilt()
    }
}

fn unbuilt<T>() -> Result<T, Error> {
    Err(Error::Unavailable("unbuilt".into()))
}
