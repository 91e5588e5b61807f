//! Keeping: what house-keeping is asked for, and what it answers.
//!
//! Comes in   contents whose time is over, keys read anew, how requests to partners went.
//! Goes out   how much went; when a partner's door may be knocked at.
//! Never      does any of it: see `House`.

use exchange::{Chain, Event, PartnerId};
use jiff::Timestamp;
use std::time::Duration;

use crate::house::RecordKeys;

/// Contents to remove: their time is over. Rows, digests and ledger lines stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purge {
    /// When it happens: the time of its lines.
    pub at: Timestamp,
    /// Rows of work that have ended. What they alone use goes: their blobs, the first answer
    /// under their label, the contents of the versions they brought (`NewVersion.receipt`), and
    /// what searches found a record by whose newest version is purged.
    pub works: Vec<String>,
    /// Ledger lines that say so.
    pub lines: Vec<(Chain, Event)>,
}

/// What a purge removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Contents of record versions.
    pub versions: u64,
    /// Blobs and answers.
    pub blobs: u64,
}

/// Whether a request may go to a partner now; see `House::approach`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approach {
    /// It may: the turn is taken.
    Now,
    /// Not before then: the partner's pace.
    Paced(Timestamp),
    /// Not before then: it has failed too often (the breaker is open).
    Resting(Timestamp),
}

/// When requests to a partner are given up for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// So many failures in a row open it.
    pub failures: u32,
    /// How long it rests at first; twice as long after each failure that follows.
    pub rest: Duration,
    /// It never rests longer.
    pub rest_max: Duration,
}

/// What is known of a partner's door, across all processes of the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoorState {
    /// Whose door.
    pub partner: PartnerId,
    /// Failures in a row.
    pub failures: u32,
    /// Until when nothing is sent; `None`: the breaker is closed.
    pub resting_until: Option<Timestamp>,
}

/// New keys for a record's newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekey {
    /// Resource type.
    pub kind: String,
    /// Logical id.
    pub id: String,
    /// The version they were read from; another one by now is left alone.
    pub version: u64,
    /// What searches find it by.
    pub keys: RecordKeys,
}

/// What was found in a house that was looked at as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// What SQLite says of its pages and indexes that are not whole; empty: nothing. A server looks
    /// after its own.
    pub faults: Vec<String>,
    /// Rows that refer to rows that are not there.
    pub broken_references: u64,
    /// Contents that were read and have their digest.
    pub contents: u64,
    /// Contents that are missing or do not have their digest.
    pub damaged: u64,
    /// Files that no row names: left by a crash, swept up later.
    pub orphans: u64,
}
