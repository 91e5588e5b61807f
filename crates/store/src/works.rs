//! Works: rows of work, and leases on them.
//!
//! Comes in   the columns the store searches by, and the projection itself.
//! Goes out   rows as they were read; leases with their fences; which rows to list.
//! Never      reads a projection.

use crate::house::Expect;
use exchange::PartnerId;
use jiff::Timestamp;

/// What kind of work a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkKind {
    /// A trigger to be scoped.
    Trigger,
    /// A walk, later a push.
    Push,
    /// A submission at a receiving house.
    Submission,
    /// A patient whose chart is looked at every so often.
    Watch,
    /// A client that registered here, or a server that this house registered at.
    Registration,
    /// What is known of a payer's endpoint.
    Endpoint,
    /// What people said of the exchange with a partner.
    Partner,
    /// What a reader of the house's own asked to be given.
    Export,
    /// A bulk submission, at the house that receives it.
    BulkReceived,
    /// A bulk submission, at the house that sends it.
    BulkSent,
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
    /// The bulk submission that it waits in, for pushes.
    pub gathered: Option<String>,
    /// The push's number within its lane, since *assemble*.
    pub number: Option<u64>,
    /// State word, as lists show it.
    pub state: String,
    /// When a clock has work on it; `None`: no clock has.
    pub due: Option<Timestamp>,
    /// The projection (JSON of `exchange::Push`, `exchange::Trigger`, …).
    pub body: Vec<u8>,
}

impl Work {
    /// A row that is a lane of its own, nobody's, and that no clock has work on. What else is known of
    /// it is filled in: `Work { due, ..Work::of(…) }`.
    pub fn of(kind: WorkKind, id: impl Into<String>, state: &str, body: Vec<u8>) -> Work {
        let id = id.into();
        Work {
            lane: id.clone(),
            id,
            kind,
            partner: None,
            dossier: None,
            trigger: None,
            label: None,
            gathered: None,
            number: None,
            state: state.to_owned(),
            due: None,
            body,
        }
    }
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

impl StoredWork {
    /// That the row is as it was when it was read.
    pub fn unchanged(&self) -> Expect {
        Expect::WorkRevision { id: self.work.id.clone(), revision: Some(self.revision) }
    }
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
    /// Of this lane, or of one whose name is this one's, a bar and more: what stands aside from it.
    pub lanes: Option<String>,
    /// Of this trigger.
    pub trigger: Option<String>,
    /// That wait in this bulk submission.
    pub gathered: Option<String>,
    /// Whose id or label starts with this.
    pub prefix: Option<String>,
    /// At most so many, newest first.
    pub limit: u32,
}
