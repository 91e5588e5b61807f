//! Turn: one leased walk, and the only place where it is written down.
//!
//! Comes in   events, as the stops of the road say them.
//! Goes out   units of work: lines, the row they add up to, content.
//! Never      a row that its lines do not add up to, and never a write without the lease's fence.

use crate::clock::HouseClock;
use crate::limits::LEASE;
use crate::road::Road;
use exchange::parts::Holding;
use exchange::{Chain, Digest, Event, Push, State, Stop, Trigger, WalkId};
use jiff::Timestamp;
use std::sync::Arc;
use store::{AnyHouse, Commit, Expect, Fence, House, Lease, StoredWork, Unit, Work, WorkKind};
use tokio::sync::Notify;
use wire::Clock;

/// Why a turn ends without having come to a rest.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The store did not take it; the lease runs out and somebody goes on.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The lease has passed to another worker: our turn is over.
    #[error("the lease has passed to another worker")]
    Overtaken,
    /// Somebody changed what we relied on: the walk goes round again.
    #[error("the walk was changed while it was worked on")]
    Stale,
    /// It took longer than any stop may.
    #[error("the walk took too long")]
    TooLong,
    /// The row cannot be read.
    #[error("a row of work cannot be read")]
    Unreadable,
}

/// One leased walk.
pub struct Turn {
    house: AnyHouse,
    clock: Arc<HouseClock>,
    /// When it was claimed: it is never earlier, whatever the clock says.
    since: Timestamp,
    passed: fn(&'static str),
    changed: Arc<Notify>,
    fence: Fence,
    /// What it reads is read after this: when it last came to a rest; `None` on its first walk.
    pub rested: Option<Timestamp>,
    /// The walk as its lines add up to, those not yet written included.
    pub push: Push,
    /// Digest of the restrictions that what is being assembled was shaped by.
    pub(crate) shaped_by: Option<Digest>,
    unit: Unit,
}

impl Turn {
    /// Takes up a leased row.
    pub fn new(road: &Road, lease: &Lease) -> Result<Turn, Fault> {
        Ok(Turn {
            house: road.house.clone(),
            clock: Arc::clone(&road.clock),
            since: lease.until.saturating_sub(LEASE).unwrap_or(lease.until),
            passed: road.setup.passed,
            changed: Arc::clone(&road.changed),
            fence: lease.fence.clone(),
            rested: (lease.work.revision > 1).then_some(lease.work.changed),
            push: read(&lease.work.work).ok_or(Fault::Unreadable)?,
            shaped_by: None,
            unit: Unit::default(),
        })
    }

    /// The time of what is being said: fixed from the first event to the commit.
    pub fn now(&mut self) -> Timestamp {
        if self.unit.lines.is_empty() {
            self.unit.at = self.clock.now().max(self.since);
        }
        self.unit.at
    }

    /// Says what happened; it counts at once, and is written by the next `commit`.
    pub fn say(&mut self, event: Event) {
        let at = self.now();
        self.push.apply(at, &event);
        self.unit.lines.push((self.push.chain(), event));
    }

    /// Keeps content under its digest.
    pub fn keep(&mut self, content: impl Into<bytes::Bytes>) -> Digest {
        let content = content.into();
        let digest = Digest::of(&content);
        self.unit.blobs.push((digest, content));
        digest
    }

    /// What the payer's door holds from now on.
    pub fn hold(&mut self, holding: Holding) {
        self.unit.holdings.push((self.push.dossier.payer.clone(), holding));
    }

    /// Relies on something.
    pub fn expect(&mut self, expect: Expect) {
        self.unit.expects.push(expect);
    }

    /// Says that another walk of the same lane ended because this one went first.
    pub fn supersede(&mut self, other: &StoredWork) -> Result<(), Fault> {
        let mut push = read(&other.work).ok_or(Fault::Unreadable)?;
        let event = Event::Superseded { by: self.push.walk.clone() };
        push.apply(self.now(), &event);
        self.expect(other.unchanged());
        self.unit.lines.push((push.chain(), event));
        self.unit.works.push(row(&push, self.unit.at));
        Ok(())
    }

    /// Begins another walk, due at once.
    pub fn begin(&mut self, began: Event) -> Result<(), Fault> {
        let at = self.now();
        let push = Push::begin(at, &began).ok_or(Fault::Unreadable)?;
        self.expect(Expect::WorkRevision { id: push.walk.to_string(), revision: None });
        self.unit.works.push(row(&push, at));
        self.unit.lines.push((push.chain(), began));
        Ok(())
    }

    /// Says what happened in another chain, with the row that it makes.
    pub fn say_besides(&mut self, chain: Chain, event: Event, work: Work) {
        self.now();
        self.unit.lines.push((chain, event));
        self.unit.works.push(work);
    }

    /// Writes what was said. `point` names the durable point that is then passed.
    pub async fn commit(&mut self, point: &'static str) -> Result<(), Fault> {
        let mut unit = std::mem::take(&mut self.unit);
        unit.fence = Some(self.fence.clone());
        unit.works.push(row(&self.push, unit.at));
        match self.house.commit(unit).await? {
            Commit::Done { .. } => {
                self.changed.notify_waiters();
                (self.passed)(point);
                Ok(())
            }
            Commit::Overtaken => Err(Fault::Overtaken),
            Commit::Stale | Commit::Conflict | Commit::Repeated(_) => Err(Fault::Stale),
        }
    }

    /// The stop to be taken now; `None` when the walk waits or nothing is left to do.
    pub fn stop(&self) -> Option<Stop> {
        match self.push.state {
            State::Due { next, at } => (at <= self.clock.now().max(self.since)).then_some(next),
            State::Held => None,
            _ => self.push.acknowledgement.is_none().then_some(Stop::Acknowledge),
        }
    }
}

/// The walk in a row of work.
pub fn read(work: &Work) -> Option<Push> {
    serde_json::from_slice(&work.body).ok()
}

/// The trigger of a row, if this version can read it.
pub(crate) fn read_trigger(work: &Work) -> Option<Trigger> {
    serde_json::from_slice(&work.body).ok()
}

/// The row of a walk, as of its last line.
pub fn row(push: &Push, at: Timestamp) -> Work {
    let assembled = push.assembled.as_ref();
    Work {
        id: push.walk.to_string(),
        kind: WorkKind::Push,
        lane: lane(push),
        partner: Some(push.dossier.payer.clone()),
        dossier: Some(push.dossier.key()),
        trigger: Some(push.trigger.to_string()),
        label: assembled.map(|made| made.push.to_string()),
        gathered: push.submission.as_ref().map(ToString::to_string),
        number: assembled.map(|made| made.number),
        state: push.state_word().to_owned(),
        due: push.due(at),
        body: serde_json::to_vec(push).unwrap_or_default(),
    }
}

/// What it may not overtake. A push that the payer has taken stands aside while it is asked for:
/// its number is with the payer and decides there what is older, and the person whom it waits for
/// may take days. So does one that waits in a bulk submission. What comes after it, a withdrawal above all, must not wait as long.
fn lane(push: &Push) -> String {
    match push.state {
        State::Due { next: Stop::Poll | Stop::Await, .. } => {
            format!("{}|{}", push.dossier.lane(), push.walk)
        }
        _ => push.dossier.lane(),
    }
}

/// The row of a trigger.
pub fn trigger_row(trigger: &Trigger) -> Work {
    let (id, state) = (trigger.id.to_string(), trigger.state_word());
    let body = serde_json::to_vec(trigger).unwrap_or_default();
    Work {
        lane: format!("trigger|{}", trigger.id),
        trigger: Some(trigger.id.to_string()),
        label: Some(trigger.subject.to_string()),
        due: trigger.due,
        ..Work::of(WorkKind::Trigger, id, state, body)
    }
}

/// The handle of a trigger's walk for one payer.
pub fn walk_id(trigger: &exchange::TriggerId, payer: &exchange::PartnerId) -> WalkId {
    WalkId(format!("{trigger}.{payer}"))
}
