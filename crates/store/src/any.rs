//! AnyHouse: the house the other rooms hold, whichever database it lives in.
//!
//! Comes in   calls of `House`.
//! Goes out   the same calls, to the database that was opened.
//! Never      does anything of its own.
//!
//! Why an enum: `House` has async methods, so it cannot be a trait object; and there are two
//! databases, not many.

use bytes::Bytes;
use exchange::parts::Holding;
use exchange::{Chain, Digest, Entry, PartnerId};
use jiff::Timestamp;
use std::path::Path;
use std::time::Duration;

use crate::house::*;
use crate::postgres::PostgresHouse;
use crate::proof::LedgerKey;
use crate::sqlite::SqliteHouse;

/// A house in one of the databases. Clones are the same house.
#[derive(Clone, Debug)]
pub enum AnyHouse {
    /// A file and a folder.
    Sqlite(SqliteHouse),
    /// A database server.
    Postgres(PostgresHouse),
}

impl From<SqliteHouse> for AnyHouse {
    fn from(house: SqliteHouse) -> AnyHouse {
        AnyHouse::Sqlite(house)
    }
}

impl From<PostgresHouse> for AnyHouse {
    fn from(house: PostgresHouse) -> AnyHouse {
        AnyHouse::Postgres(house)
    }
}

impl AnyHouse {
    /// Removes files and objects that no row names, left behind by units that were refused or cut
    /// off; how many. Those that are younger than an hour stay, by the caller's clock or, where
    /// processes share the house, by the database's.
    ///
    /// # Errors
    /// `Unavailable`; what was removed until then is gone.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, Error> {
        match self {
            AnyHouse::Sqlite(house) => house.sweep(now).await,
            AnyHouse::Postgres(house) => house.sweep().await,
        }
    }

    /// Looks at the whole house; it may be in use.
    ///
    /// # Errors
    /// Those of a reading; what is damaged is no error but part of the answer.
    pub async fn inspect(&self) -> Result<Inspection, Error> {
        match self {
            AnyHouse::Sqlite(house) => house.inspect().await,
            AnyHouse::Postgres(house) => house.inspect().await,
        }
    }
}

macro_rules! dispatch {
    ($(async fn $name:ident(&self $(, $arg:ident: $kind:ty)*) -> $answer:ty;)*) => {
        impl House for AnyHouse {
            $(async fn $name(&self $(, $arg: $kind)*) -> Result<$answer, Error> {
                match self {
                    AnyHouse::Sqlite(house) => house.$name($($arg),*).await,
                    AnyHouse::Postgres(house) => house.$name($($arg),*).await,
                }
            })*

            fn clock(&self, now: Timestamp) -> Clock {
                match self {
                    AnyHouse::Sqlite(house) => house.clock(now),
                    AnyHouse::Postgres(house) => house.clock(now),
                }
            }
        }
    };
}

dispatch! {
    async fn commit(&self, unit: Unit) -> Commit;
    async fn claim_beside(&self, clock: Clock, length: Duration, limit: u32, beside: &[Option<PartnerId>]) -> Vec<Lease>;
    async fn renew(&self, clock: Clock, fence: &Fence, length: Duration) -> bool;
    async fn release(&self, fence: Fence) -> ();
    async fn next_due(&self) -> Option<Timestamp>;
    async fn work(&self, id: &str) -> Option<StoredWork>;
    async fn works(&self, query: WorkQuery) -> Vec<StoredWork>;
    async fn work_counts(&self) -> Vec<(String, u64)>;
    async fn lane_number(&self, lane: &str) -> u64;
    async fn story(&self, chain: &Chain) -> Vec<Entry>;
    async fn entries(&self, seq: u64, limit: u32) -> Vec<Entry>;
    async fn unsigned(&self) -> u64;
    async fn checkpoints(&self, from: u64, limit: u32) -> Vec<Checkpoint>;
    async fn checkpoint_below(&self, number: u64) -> Option<Checkpoint>;
    async fn checkpoint_numbered(&self, number: u64) -> Option<Checkpoint>;
    async fn checkpoint(&self, at: Timestamp, key: &LedgerKey) -> Option<Checkpoint>;
    async fn heads(&self, records: &[(String, String)]) -> Vec<Option<Record>>;
    async fn record(&self, kind: &str, id: &str, version: Option<u64>) -> Option<Record>;
    async fn history(&self, kind: &str, id: &str, before: Option<u64>, limit: u32) -> Vec<Record>;
    async fn brought(&self, receipt: &str, after: u64, limit: u32) -> Vec<Lineage>;
    async fn lineage(&self, kind: &str, id: &str) -> Option<Lineage>;
    async fn search(&self, query: RecordQuery) -> Vec<Record>;
    async fn count(&self, query: RecordQuery) -> u64;
    async fn about(&self, query: AboutQuery) -> Vec<Record>;
    async fn dump(&self, after: Option<(String, String, u64)>, limit: u32) -> Vec<Record>;
    async fn version_count(&self) -> u64;
    async fn blob(&self, digest: &Digest) -> Option<Bytes>;
    async fn first_answer(&self, sender: &PartnerId, key: &str) -> Option<FirstAnswer>;
    async fn first_use(&self, scope: &str, token: &str, until: Timestamp, now: Timestamp) -> bool;
    async fn used(&self, scope: &str, token: &str, now: Timestamp) -> bool;
    async fn time(&self, clock: Clock) -> Timestamp;
    async fn approach(&self, clock: Clock, partner: &PartnerId, every: Duration) -> Approach;
    async fn report(&self, clock: Clock, partner: &PartnerId, answered: bool, breaker: Breaker) -> ();
    async fn doors(&self) -> Vec<DoorState>;
    async fn holdings(&self, partner: &PartnerId, records: &[(String, String)]) -> Vec<Option<Holding>>;
    async fn at_rest(&self, partner: &PartnerId, before: Timestamp, after: Option<(Timestamp, String)>, limit: u32) -> Vec<StoredWork>;
    async fn purge(&self, purge: Purge) -> Purged;
    async fn scrub(&self) -> ();
    async fn backup(&self, folder: &Path) -> ();
    async fn keys_edition(&self) -> u32;
    async fn rekey_next(&self, edition: u32, limit: u32) -> Vec<Record>;
    async fn rekey(&self, edition: u32, keys: Vec<Rekey>) -> ();
}
