//! House: everything one house remembers, behind one writing method and a few readings.
//!
//! Comes in   units of work, each complete in itself; the time, as an argument.
//! Goes out   what the readings below return; nothing else leaves this room.
//! Never      answers before the disk has it, and never writes half a unit.
//!
//! Why a unit and not one method per table: a filed resource without its ledger line, or a line
//! without its resource, is a lie that no later check can tell from the truth. So there is no way
//! to write one without the other.
//!
//! Many units share one database commit. Each runs in its own savepoint, so that a bad unit is
//! refused alone and its neighbours in the batch never notice.

use bytes::Bytes;
use exchange::parts::Holding;
use exchange::{Chain, Digest, Entry, Event, PartnerId};
use jiff::Timestamp;
use std::path::Path;
use std::time::Duration;

pub use crate::keeping::*;
use crate::proof::LedgerKey;
pub use crate::records::*;
pub use crate::works::*;

/// A unit of work: all of it is written, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Unit {
    /// When it happens, by the caller's clock: the time of its entries and records.
    pub at: Timestamp,
    /// The lease under which it is written; refused with `Overtaken` once that has passed on.
    pub fence: Option<Fence>,
    /// The sender's key, with the digest of what came under it and the answer to remember.
    pub first_answer: Option<FirstAnswer>,
    /// What must hold, or the unit is `Stale`.
    pub expects: Vec<Expect>,
    /// Ledger lines, each in its chain, in order.
    pub lines: Vec<(Chain, Event)>,
    /// Rows of work, inserted or replaced: projections of their chains.
    pub works: Vec<Work>,
    /// Record versions to file. The store numbers them.
    pub records: Vec<NewVersion>,
    /// Records whose newest version holds what came again under a higher number: the number is
    /// raised, so that a late push in between cannot replace it; no version is made.
    pub raises: Vec<Raise>,
    /// Receipts that no longer bring versions.
    pub withdrawals: Vec<Withdrawal>,
    /// Content to keep under its digest (payloads, answers, submissions, disclosures).
    pub blobs: Vec<(Digest, Bytes)>,
    /// What payers' doors hold of ours from now on: later ones of this list count, and none counts
    /// that is older (`as_of`) than what is known.
    pub holdings: Vec<(PartnerId, Holding)>,
}

/// What a unit relies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// The record's newest version is this one; `None`: there is no such record.
    Version {
        /// Resource type.
        kind: String,
        /// Logical id.
        id: String,
        /// Newest version, deleted ones included.
        version: Option<u64>,
    },
    /// The highest number used in this lane is this one (0: none).
    LaneNumber {
        /// (patient, payer).
        lane: String,
        /// Highest number.
        number: u64,
    },
    /// Of the newest, undeleted records exactly these fit (`after`, `limit` and `bytes` aside):
    /// what a conditional interaction decided by still holds.
    Found {
        /// The conditions.
        query: Box<RecordQuery>,
        /// Logical ids, in any order; empty: none fits.
        ids: Vec<String>,
    },
    /// The version was brought by exactly these receipts.
    Brought {
        /// Resource type.
        kind: String,
        /// Logical id.
        id: String,
        /// The version, of any age.
        version: u64,
        /// What brought it last.
        receipt: String,
        /// What brought it before, as far as that is remembered; in any order.
        earlier: Vec<String>,
    },
    /// The row of work has this revision; `None`: there is no such row.
    WorkRevision {
        /// Its id.
        id: String,
        /// Counted from 1 with every write.
        revision: Option<u64>,
    },
}

/// The first answer to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstAnswer {
    /// Who sent it.
    pub sender: PartnerId,
    /// `system|value` of `Bundle.identifier`.
    pub key: String,
    /// Digest of what came under the key.
    pub digest: Digest,
    /// HTTP status answered.
    pub status: u16,
    /// Headers answered (`Content-Location`, …).
    pub headers: Vec<(String, String)>,
    /// The body answered; empty once it is purged.
    pub body: Bytes,
}

/// What became of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// Written, on the disk. Versions filed, in the order of the unit's records.
    Done {
        /// Version numbers.
        versions: Vec<u64>,
    },
    /// The same key came before with the same digest: this is what was answered then.
    Repeated(FirstAnswer),
    /// The same key came before with another digest.
    Conflict,
    /// What the unit expected to find has changed: read again and build a new unit.
    Stale,
    /// The lease has passed to another worker, or has run out.
    Overtaken,
}

/// Why the house could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database or the disk said no; nothing of the unit was written.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The queue of units is full.
    #[error("the store has as much work as it can hold")]
    Busy,
    /// What is stored cannot be what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Another process holds the house.
    #[error("another process holds this house")]
    Locked,
    /// A house that was to be made is there already.
    #[error("a house of this name is there already")]
    Taken,
    /// A newer version of this program wrote the house; only that one, or a later one, opens it.
    #[error("the house was written by a newer version (schema {found}; this one knows {known})")]
    TooNew {
        /// Steps it has taken.
        found: u64,
        /// Steps this program knows.
        known: u64,
    },
}

/// A signed statement over all entries up to `seq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Counted from 1.
    pub number: u64,
    /// The last entry it covers; it covers all after the previous checkpoint's.
    pub seq: u64,
    /// When it was made.
    pub at: Timestamp,
    /// Merkle root over the hashes of the covered entries (RFC 6962).
    pub root: Digest,
    /// Hash of the previous checkpoint's statement; zeros for the first.
    pub prev: Digest,
    /// Which key signed.
    pub key_id: String,
    /// Ed25519 over the statement bytes.
    pub signature: Vec<u8>,
}

/// One house's memory.
pub trait House: Send + Sync {
    /// Writes a unit, whole or not at all. When this returns `Done`, it has reached the disk.
    fn commit(&self, unit: Unit) -> impl Future<Output = Result<Commit, Error>> + Send;

    /// Leases up to `limit` rows whose `due` has come, earliest first, never two of the same lane
    /// at once, and within a lane never a later one before an earlier one that is still due, now
    /// or in future: earlier is what was written first. A lease ends by itself after `length`;
    /// its row then stands in line as if it were due from that moment.
    ///
    /// The holder may write the row as often as it likes; the lease ends when it writes `due`
    /// as `None`. Anybody else is `Stale` unless the unit names the row's revision
    /// (`Expect::WorkRevision`); then the lease ends and the holder's next write is `Overtaken`.
    fn claim(
        &self,
        clock: Clock,
        length: Duration,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Lease>, Error>> + Send {
        self.claim_beside(clock, length, limit, &[])
    }

    /// The same, past every lane whose next row is with one of these partners (`None`: with nobody).
    /// It stays as it is, and in its order.
    fn claim_beside(
        &self,
        clock: Clock,
        length: Duration,
        limit: u32,
        beside: &[Option<PartnerId>],
    ) -> impl Future<Output = Result<Vec<Lease>, Error>> + Send;

    /// Goes on with a lease for `length` from now; `false` once it has passed on or run out.
    fn renew(
        &self,
        clock: Clock,
        fence: &Fence,
        length: Duration,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Gives a lease back before its time, so that the row can be claimed again at once.
    fn release(&self, fence: Fence) -> impl Future<Output = Result<(), Error>> + Send;

    /// When `claim` may next find something: the earliest `due` of the rows that are first in
    /// their lanes, or the end of their lane's lease where that is later. Rows that wait for
    /// others do not count, so that a clock set by this never rings in vain.
    fn next_due(&self) -> impl Future<Output = Result<Option<Timestamp>, Error>> + Send;

    /// One row of work.
    fn work(&self, id: &str) -> impl Future<Output = Result<Option<StoredWork>, Error>> + Send;

    /// Rows of work, newest first.
    fn works(
        &self,
        query: WorkQuery,
    ) -> impl Future<Output = Result<Vec<StoredWork>, Error>> + Send;

    /// How many rows of work there are in each state, ordered by state.
    fn work_counts(&self) -> impl Future<Output = Result<Vec<(String, u64)>, Error>> + Send;

    /// The highest number that a row of work of this lane ever had; 0 when none had. It never
    /// falls. Numbers of record versions do not count here.
    fn lane_number(&self, lane: &str) -> impl Future<Output = Result<u64, Error>> + Send;

    /// A chain's entries, oldest first; empty when there is none.
    fn story(&self, chain: &Chain) -> impl Future<Output = Result<Vec<Entry>, Error>> + Send;

    /// Entries from `seq` on, in order, at most `limit`.
    fn entries(
        &self,
        seq: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Entry>, Error>> + Send;

    /// How many entries no checkpoint covers yet.
    fn unsigned(&self) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Checkpoints from this number on, oldest first, at most `limit`: a house signs one a minute.
    /// From 0 on: all there are, whatever somebody may have numbered them.
    fn checkpoints(
        &self,
        from: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Checkpoint>, Error>> + Send;

    /// The newest checkpoint below this number; `None` where there is none.
    fn checkpoint_below(
        &self,
        number: u64,
    ) -> impl Future<Output = Result<Option<Checkpoint>, Error>> + Send;

    /// One checkpoint, by its number.
    fn checkpoint_numbered(
        &self,
        number: u64,
    ) -> impl Future<Output = Result<Option<Checkpoint>, Error>> + Send;

    /// Signs what is not signed yet; `None` when there is nothing new.
    fn checkpoint(
        &self,
        at: Timestamp,
        key: &LedgerKey,
    ) -> impl Future<Output = Result<Option<Checkpoint>, Error>> + Send;

    /// The newest versions of these records, without content, in the order asked; deleted ones
    /// included.
    fn heads(
        &self,
        records: &[(String, String)],
    ) -> impl Future<Output = Result<Vec<Option<Record>>, Error>> + Send;

    /// A record's newest version, or the one asked for.
    fn record(
        &self,
        kind: &str,
        id: &str,
        version: Option<u64>,
    ) -> impl Future<Output = Result<Option<Record>, Error>> + Send;

    /// A record's versions below `before` (`None`: all), newest first, without content, at most
    /// `limit`.
    fn history(
        &self,
        kind: &str,
        id: &str,
        before: Option<u64>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Record>, Error>> + Send;

    /// Records of which a receipt brings a version, behind this place (0: from the beginning), each with
    /// all its versions. What is withdrawn already is passed over.
    fn brought(
        &self,
        receipt: &str,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Lineage>, Error>> + Send;

    /// A record with all its versions, without content, and what brought each of them.
    fn lineage(
        &self,
        kind: &str,
        id: &str,
    ) -> impl Future<Output = Result<Option<Lineage>, Error>> + Send;

    /// Newest, undeleted versions that fit, with content, in the order of their ids.
    fn search(&self, query: RecordQuery)
    -> impl Future<Output = Result<Vec<Record>, Error>> + Send;

    /// What is held about a Patient, with content, in the order of type and id.
    fn about(&self, query: AboutQuery) -> impl Future<Output = Result<Vec<Record>, Error>> + Send;

    /// How many records fit, `after`, `limit` and `bytes` aside.
    fn count(&self, query: RecordQuery) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Every version of every record without content, ordered by type, id, version: the
    /// canonical dump that two runs are compared by. At most `limit`, behind `after`.
    fn dump(
        &self,
        after: Option<(String, String, u64)>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Record>, Error>> + Send;

    /// How many versions there are, those aside that begin a record with a deletion: they file
    /// nothing, they remember that something was taken back.
    fn version_count(&self) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Stored content.
    fn blob(&self, digest: &Digest) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;

    /// The first answer to a key, if it was used.
    fn first_answer(
        &self,
        sender: &PartnerId,
        key: &str,
    ) -> impl Future<Output = Result<Option<FirstAnswer>, Error>> + Send;

    /// Whether this token (a `jti`) is used for the first time in its scope; durable, forgotten
    /// after `until`.
    fn first_use(
        &self,
        scope: &str,
        token: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Whether this token was used in its scope and is not forgotten; nothing is remembered.
    fn used(
        &self,
        scope: &str,
        token: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Whose clock leases are to be claimed by: the caller's where one process holds the house,
    /// the database's where several share it.
    fn clock(&self, now: Timestamp) -> Clock {
        Clock::At(now)
    }

    /// What time it is by this clock.
    fn time(&self, clock: Clock) -> impl Future<Output = Result<Timestamp, Error>> + Send;

    /// Asks for a turn at a partner's door; all processes of the house share its pace (`every`:
    /// time between two requests, zero for none) and its breaker. After a rest one request goes
    /// ahead to see; the others wait for what it reports, at most another rest.
    fn approach(
        &self,
        clock: Clock,
        partner: &PartnerId,
        every: Duration,
    ) -> impl Future<Output = Result<Approach, Error>> + Send;

    /// Says how a request went: an answer of any kind closes the breaker, none at all counts, but
    /// not while the door rests: that request was on its way before.
    fn report(
        &self,
        clock: Clock,
        partner: &PartnerId,
        answered: bool,
        breaker: Breaker,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// What is known of the doors of partners, by name.
    fn doors(&self) -> impl Future<Output = Result<Vec<DoorState>, Error>> + Send;

    /// What a partner's door holds of these records (type and derived id), in the order asked.
    fn holdings(
        &self,
        partner: &PartnerId,
        records: &[(String, String)],
    ) -> impl Future<Output = Result<Vec<Option<Holding>>, Error>> + Send;

    /// Rows of work with this partner that no clock has work on, whose contents are not purged and
    /// that were last written before this time: oldest first, behind `after` (`changed` and id).
    fn at_rest(
        &self,
        partner: &PartnerId,
        before: Timestamp,
        after: Option<(Timestamp, String)>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredWork>, Error>> + Send;

    /// Removes contents whose time is over, in one commit with the lines that say so. What a
    /// later row of work uses as well stays. `scrub` must follow before the bytes are gone.
    fn purge(&self, purge: Purge) -> impl Future<Output = Result<Purged, Error>> + Send;

    /// Makes sure that no removed byte is left in any file of the house: row pages, write-ahead
    /// log, blobs. Slow; once after all purges.
    fn scrub(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Writes a copy of the house, as it is at one moment, into a folder that does not exist yet,
    /// while others go on. From either database it is a house that `SqliteHouse::open` opens.
    fn backup(&self, folder: &Path) -> impl Future<Output = Result<(), Error>> + Send;

    /// Which reading of resources the keys of all records come from: an edition counted by the
    /// room that reads them. 0: none has been named yet.
    fn keys_edition(&self) -> impl Future<Output = Result<u32, Error>> + Send;

    /// The next newest versions, with content, whose keys are to be read anew for an edition;
    /// empty when all are done.
    fn rekey_next(
        &self,
        edition: u32,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Record>, Error>> + Send;

    /// Writes new keys and remembers how far it came, in one commit, so that a run that was cut
    /// off goes on. An empty list says that all are done: the house then has this edition.
    fn rekey(
        &self,
        edition: u32,
        keys: Vec<Rekey>,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}
