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
use exchange::{Chain, Digest, Entry, Event, PartnerId};
use jiff::Timestamp;
use std::time::Duration;

use crate::proof::LedgerKey;

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
    /// Content to keep under its digest (payloads, answers, submissions, disclosures).
    pub blobs: Vec<(Digest, Bytes)>,
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
    /// The row of work has this revision; `None`: there is no such row.
    WorkRevision {
        /// Its id.
        id: String,
        /// Counted from 1 with every write.
        revision: Option<u64>,
    },
}

/// What kind of work a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkKind {
    /// A trigger to be scoped.
    Trigger,
    /// A walk, later a push.
    Push,
    /// A submission at a receiving house.
    Submission,
}

/// A row of work: the columns the store searches by, and the projection itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// Unique in the house: trigger id, walk id or submission id.
    pub id: String,
    /// What kind of work.
    pub kind: WorkKind,
    /// Unit of order: of one lane, one row is leased at a time, and the oldest due goes first.
    pub lane: String,
    /// The other house, where there is one.
    pub partner: Option<PartnerId>,
    /// The dossier's key, for pushes.
    pub dossier: Option<String>,
    /// The trigger that led to it, for pushes.
    pub trigger: Option<String>,
    /// The push's public id (pushes) or key (submissions), where there is one.
    pub label: Option<String>,
    /// The push's number within its lane, since *assemble*.
    pub number: Option<u64>,
    /// State word, as lists show it.
    pub state: String,
    /// When a clock has work on it; `None`: no clock has.
    pub due: Option<Timestamp>,
    /// The projection (JSON of `exchange::Push`, `exchange::Trigger`, …).
    pub body: Vec<u8>,
}

/// A row of work as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWork {
    /// The row.
    pub work: Work,
    /// Counted from 1 with every write.
    pub revision: u64,
    /// When it was first written.
    pub created: Timestamp,
    /// When it was last written.
    pub changed: Timestamp,
}

/// A version of a record, to be filed as the record's newest.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// Resource type.
    pub kind: String,
    /// Logical id.
    pub id: String,
    /// The partner whose record it is.
    pub owner: PartnerId,
    /// What brought it: a submission id.
    pub receipt: String,
    /// (patient, payer) as the receiving house sees it: whose numbers `number` compares with.
    pub lane: Option<String>,
    /// The number of the push that brought it, for Handover senders.
    pub number: Option<u64>,
    /// The bytes; `None` deletes the record (a version without content).
    pub content: Option<Bytes>,
    /// What searches find it by.
    pub keys: RecordKeys,
}

/// Typed columns a record is found by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordKeys {
    /// Logical id of the Patient it is about (a Patient's own id for itself).
    pub patient: Option<String>,
    /// Logical id of the Encounter it belongs to (an Encounter's own id for itself).
    pub encounter: Option<String>,
    /// The FHIR date it is sorted by (text as it stands, e.g. `2026-01-03T10:00:00Z`).
    pub date: Option<String>,
    /// Codes of `status`.
    pub status: Option<String>,
    /// Identifiers as `system|value`, categories as `category:system|code`, codes as
    /// `code:system|code`: elements that repeat, in a side table.
    pub tokens: Vec<String>,
}

/// Raises the number of a record's newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raise {
    /// Resource type.
    pub kind: String,
    /// Logical id.
    pub id: String,
    /// The number of the push that brought the same content again.
    pub number: u64,
}

/// A stored version of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Resource type.
    pub kind: String,
    /// Logical id.
    pub id: String,
    /// Counted from 1.
    pub version: u64,
    /// When it was filed.
    pub last_updated: Timestamp,
    /// Whose record it is.
    pub owner: PartnerId,
    /// What brought it.
    pub receipt: String,
    /// Lane and number of the push that brought it.
    pub lane: Option<String>,
    /// See `lane`.
    pub number: Option<u64>,
    /// SHA-256 of the content; of nothing for a deletion.
    pub digest: Digest,
    /// The bytes as they were filed; `None` when deleted (or when only heads were asked for).
    pub content: Option<Bytes>,
    /// Whether this version deletes the record.
    pub deleted: bool,
}

/// A search over the newest, undeleted versions of one type. All given conditions must hold;
/// a list is alternatives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordQuery {
    /// Resource type.
    pub kind: String,
    /// Logical ids; empty: any.
    pub ids: Vec<String>,
    /// `RecordKeys.patient`; empty: any.
    pub patients: Vec<String>,
    /// `RecordKeys.encounter`; empty: any.
    pub encounters: Vec<String>,
    /// Each inner list is alternatives of `RecordKeys.tokens`.
    pub tokens: Vec<Vec<String>>,
    /// `RecordKeys.status`; empty: any.
    pub statuses: Vec<String>,
    /// Inclusive lower and exclusive upper bound of the text of `RecordKeys.date`.
    pub date: (Option<String>, Option<String>),
    /// Inclusive lower and exclusive upper bound of `last_updated`.
    pub last_updated: (Option<Timestamp>, Option<Timestamp>),
    /// Only records of this owner.
    pub owner: Option<PartnerId>,
    /// Continue behind this id (results are in the order of their ids).
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
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
    /// The body answered.
    pub body: Bytes,
}

/// A lease's proof: repeated by every write, refused after the lease has passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The row of work.
    pub work: String,
    /// Raised by every claim of the row.
    pub number: u64,
}

/// Work that is ours for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The row as it was when claimed.
    pub work: StoredWork,
    /// To be repeated by every write.
    pub fence: Fence,
    /// When it ends by itself.
    pub until: Timestamp,
}

/// Who says what time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The caller: tests, the simulator, a house of one machine.
    At(Timestamp),
    /// The database: several machines share the house.
    Database,
}

/// Which rows of work to list.
#[derive(Debug, Clone, Default)]
pub struct WorkQuery {
    /// Of this kind.
    pub kind: Option<WorkKind>,
    /// In one of these states; empty: any.
    pub states: Vec<String>,
    /// With this partner.
    pub partner: Option<PartnerId>,
    /// Of this dossier.
    pub dossier: Option<String>,
    /// Of this lane.
    pub lane: Option<String>,
    /// Of this trigger.
    pub trigger: Option<String>,
    /// Whose id or label starts with this.
    pub prefix: Option<String>,
    /// At most so many, newest first.
    pub limit: u32,
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

    /// All checkpoints, oldest first.
    fn checkpoints(&self) -> impl Future<Output = Result<Vec<Checkpoint>, Error>> + Send;

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

    /// A record's versions, newest first, without content.
    fn history(
        &self,
        kind: &str,
        id: &str,
    ) -> impl Future<Output = Result<Vec<Record>, Error>> + Send;

    /// Newest, undeleted versions that fit, with content, in the order of their ids.
    fn search(&self, query: RecordQuery)
    -> impl Future<Output = Result<Vec<Record>, Error>> + Send;

    /// How many records fit, `after` and `limit` aside.
    fn count(&self, query: RecordQuery) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Every version of every record without content, ordered by type, id, version: the
    /// canonical dump that two runs are compared by.
    fn dump(&self) -> impl Future<Output = Result<Vec<Record>, Error>> + Send;

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
}
