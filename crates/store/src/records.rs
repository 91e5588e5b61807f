//! Records: versions as they are filed and read, and the queries that find the newest.
//!
//! Comes in   versions, with what searches find them by.
//! Goes out   records; what is asked of them.
//! Never      reads a content: what is searched stands in typed columns.

use bytes::Bytes;
use exchange::{Digest, PartnerId};
use jiff::Timestamp;

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
    /// What its date parameter asks about.
    pub date: Option<DateSpan>,
    /// Codes of `status`.
    pub status: Option<String>,
    /// Elements that repeat, in a side table: `name|system` (`code:4548-4|http://loinc.org`), with
    /// nothing behind the bar where there is no system. The first bar ends the name.
    pub tokens: Vec<String>,
}

/// A date of any precision, or a period, as the time it covers (microseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateSpan {
    /// Where it begins; `Timestamp::MIN`: nobody knows.
    pub from: Timestamp,
    /// Where it has ended: the first moment that is not part of it; `Timestamp::MAX`: it goes on.
    pub to: Timestamp,
}

/// How the span of a record (`f` to `t`) is compared with the span asked for (`s` to `e`):
/// R4 §3.1.1.4.5 (prefixes), which compares ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Within it: `f >= s && t <= e`.
    Eq,
    /// Not within it.
    Ne,
    /// Reaches beyond it: `t > e`.
    Gt,
    /// Begins before it: `f < s`.
    Lt,
    /// `Gt` or `Eq`.
    Ge,
    /// `Lt` or `Eq`.
    Le,
    /// Begins after it: `f >= e`.
    Sa,
    /// Has ended before it: `t <= s`.
    Eb,
    /// Overlaps it: `f < e && t > s`.
    Ap,
}

/// Says that a record's newest version was brought again: its number is raised, never lowered, and
/// its receipt becomes this one, so that its content is kept as long as what brought it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raise {
    /// Resource type.
    pub kind: String,
    /// Logical id.
    pub id: String,
    /// The number of the push that brought the same content again; `None` leaves it as it is.
    pub number: Option<u64>,
    /// What brought it again: a submission id.
    pub receipt: String,
}

/// What brought a version: a receipt, and the number that the version bore by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// A submission id.
    pub receipt: String,
    /// The version's number after that.
    pub number: Option<u64>,
}

/// Says that a receipt no longer brings a version. Where it is the one that brought it last, `left`
/// takes its place; where none is left, the version is withdrawn: it stays in the history, has neither
/// lane nor number from now on, and nothing falls back to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// Resource type.
    pub kind: String,
    /// Logical id.
    pub id: String,
    /// The version.
    pub version: u64,
    /// What is withdrawn: a submission id.
    pub receipt: String,
    /// What brought it last from now on; `None` too where the receipt is not the last.
    pub left: Option<Brought>,
}

/// A record with all its versions, and what brought each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Where a page goes on behind it.
    pub place: u64,
    /// Newest first; never empty.
    pub versions: Vec<Descent>,
}

/// A version and what brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descent {
    /// The version, without content; its receipt is what brought it last.
    pub version: Record,
    /// Whether all that brought it was withdrawn.
    pub withdrawn: bool,
    /// What brought it before, earliest first: at most `BRINGERS_MAX`, the earliest.
    pub earlier: Vec<Brought>,
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
    /// What brought it, or the same content last.
    pub receipt: String,
    /// Lane and number of the push that brought it.
    pub lane: Option<String>,
    /// See `lane`.
    pub number: Option<u64>,
    /// SHA-256 of the content; of nothing for a deletion.
    pub digest: Digest,
    /// The bytes as they were filed; `None` when deleted or purged (or when only heads were asked
    /// for).
    pub content: Option<Bytes>,
    /// Whether this version deletes the record.
    pub deleted: bool,
    /// Whether its content was purged: the version stands, its bytes are gone.
    pub purged: bool,
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
    /// Each inner list is alternatives of `RecordKeys.tokens`; one without a bar is fitted by every
    /// token of that name, whatever stands behind its bar.
    pub tokens: Vec<Vec<String>>,
    /// `RecordKeys.status`; empty: any.
    pub statuses: Vec<String>,
    /// Comparisons with `RecordKeys.date`; a record without a date meets none.
    pub date: Vec<(Compare, DateSpan)>,
    /// Inclusive lower and exclusive upper bound of `last_updated`.
    pub last_updated: (Option<Timestamp>, Option<Timestamp>),
    /// Only records of this owner.
    pub owner: Option<PartnerId>,
    /// Continue behind this id (results are in the order of their ids).
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
    /// The record with which the content reaches so many bytes is the last; 0: no such bound.
    pub bytes: u64,
}

/// Newest, undeleted records about one Patient, of all types, the Patient itself included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AboutQuery {
    /// Logical id of the Patient (`RecordKeys.patient`).
    pub patient: String,
    /// Of these types; empty: any.
    pub kinds: Vec<String>,
    /// Filed since then (inclusive).
    pub since: Option<Timestamp>,
    /// Only records of this owner.
    pub owner: Option<PartnerId>,
    /// Continue behind this type and id.
    pub after: Option<(String, String)>,
    /// At most so many.
    pub limit: u32,
    /// The record with which the content reaches so many bytes is the last; 0: no such bound.
    pub bytes: u64,
}
