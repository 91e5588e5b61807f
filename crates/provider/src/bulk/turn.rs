//! Turn: one leased submission, and the only place where it is written down.
//!
//! Comes in   events, of the submission and of pushes in it.
//! Goes out   units of work: lines, the rows they add up to, content.
//! Never      writes a push that somebody has changed since it was read.

use crate::clock::HouseClock;
use crate::limits::LEASE;
use crate::road::Road;
use crate::turn::{self, Fault};
use exchange::sending::{Sending, Step};
use exchange::{Chain, Digest, Event, Push};
use jiff::Timestamp;
use std::sync::Arc;
use store::{AnyHouse, Commit, Fence, House, Lease, StoredWork, Unit, Work, WorkKind};
use tokio::sync::Notify;
use wire::Clock;

/// One leased submission.
pub struct SendingTurn {
    house: AnyHouse,
    clock: Arc<HouseClock>,
    since: Timestamp,
    passed: fn(&'static str),
    changed: Arc<Notify>,
    fence: Fence,
    /// The submission as its lines add up to, those not yet written included.
    pub sending: Sending,
    unit: Unit,
}

impl SendingTurn {
    /// Takes up a leased row.
    pub fn new(road: &Road, lease: &Lease) -> Result<SendingTurn, Fault> {
        Ok(SendingTurn {
            house: road.house.clone(),
            clock: Arc::clone(&road.clock),
            since: lease.until.saturating_sub(LEASE).unwrap_or(lease.until),
            passed: road.setup.passed,
            changed: Arc::clone(&road.changed),
            fence: lease.fence.clone(),
            sending: read(&lease.work.work).ok_or(Fault::Unreadable)?,
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

    /// Says what happened to the submission.
    pub fn say(&mut self, event: Event) {
        let at = self.now();
        self.sending.apply(at, &event);
        self.unit.lines.push((self.sending.chain(), event));
    }

    /// Says what happened in another chain, with the row that it makes.
    pub fn say_besides(&mut self, chain: Chain, event: Event, work: Work) {
        self.now();
        self.unit.lines.push((chain, event));
        self.unit.works.push(work);
    }

    /// Says what happened to a push in it, which is as it was read.
    pub fn say_of(&mut self, stored: &StoredWork, push: &Push, events: Vec<Event>) {
        let at = self.now();
        let mut push = push.clone();
        for event in events {
            push.apply(at, &event);
            self.unit.lines.push((push.chain(), event));
        }
        self.unit.expects.push(stored.unchanged());
        self.unit.works.push(turn::row(&push, at));
    }

    /// Keeps content under its digest.
    pub fn keep(&mut self, content: impl Into<bytes::Bytes>) -> Digest {
        let content = content.into();
        let digest = Digest::of(&content);
        self.unit.blobs.push((digest, content));
        digest
    }

    /// Writes what was said. `point` names the durable point that is then passed.
    pub async fn commit(&mut self, point: &'static str) -> Result<(), Fault> {
        let at = self.now();
        let mut unit = std::mem::take(&mut self.unit);
        unit.at = at;
        unit.fence = Some(self.fence.clone());
        unit.works.push(row(&self.sending));
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

    /// The step to be taken now; `None` when it waits.
    pub fn step(&self) -> Option<Step> {
        let now = self.clock.now().max(self.since);
        self.sending.due().filter(|due| *due <= now).map(|_| self.sending.step)
    }
}

/// The submission in a row of work.
pub fn read(work: &Work) -> Option<Sending> {
    serde_json::from_slice(&work.body).ok()
}

/// The row of a submission.
pub fn row(sending: &Sending) -> Work {
    let body = serde_json::to_vec(sending).unwrap_or_default();
    Work {
        lane: lane(sending),
        partner: Some(sending.payer.clone()),
        due: sending.due(),
        ..Work::of(WorkKind::BulkSent, sending.id.to_string(), sending.state_word(), body)
    }
}

/// What it may not overtake: a payer is told of one submission after the other, and one that asks for
/// patience is asked by the first only. Those that gather, or that the payer is at work on, stand aside:
/// it may be waiting for their end before it takes another one.
fn lane(sending: &Sending) -> String {
    match sending.step {
        // The payer is told nothing of what it asked for.
        _ if sending.pulled.is_some() => format!("sending|{}|{}", sending.payer, sending.id),
        Step::Make | Step::Tell if !is_begun(sending) => format!("sending|{}", sending.payer),
        _ => format!("sending|{}|{}", sending.payer, sending.id),
    }
}

fn is_begun(sending: &Sending) -> bool {
    sending.manifests.iter().any(|manifest| manifest.told)
}

/// A unit that says one thing about a submission which is as it was read, and what it then is.
pub(crate) fn said(
    stored: &StoredWork,
    mut sending: Sending,
    at: Timestamp,
    event: Event,
) -> (Unit, Sending) {
    sending.apply(at, &event);
    let unit = Unit {
        at,
        expects: vec![stored.unchanged()],
        lines: vec![(sending.chain(), event)],
        works: vec![row(&sending)],
        ..Unit::default()
    };
    (unit, sending)
}
