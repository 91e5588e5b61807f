//! Door: whether a payer's door may be knocked at now, for all processes of the house alike.
//!
//! Comes in   a payer, and how the last request went.
//! Goes out   a turn, or the moment before which there is none, with its reason.
//! Never      keeps a walk waiting at the door for long: what must wait is written down.
//!
//! Why in the store: a breaker of one process would let every other process, and every restart,
//! find out for itself that the payer is away.

use crate::limits::{BREAKER, PACE_WAIT_MAX, REST_SPREAD};
use crate::road::{Halt, Road};
use crate::setup::Payer;
use exchange::settle::Answered;
use exchange::{Code, Digest, Issue, PartnerId, Push};
use jiff::Timestamp;
use repository::Suspensions;
use std::time::Duration;
use store::{Approach, House};
use wire::Clock as _;

/// Until when a push waits, and why.
pub(crate) type Wait = (Timestamp, Issue);

impl Road {
    /// Asks for a turn at a payer's door; `None`: it may be knocked at.
    ///
    /// Errors: `PartnerSuspended`, those of the store.
    pub(crate) async fn knock(&self, payer: &Payer, push: &Push) -> Result<Option<Wait>, Halt> {
        self.knock_for(payer, push.walk.as_str()).await
    }

    /// The same, for whoever comes back in a moment of its own by this seed.
    pub(crate) async fn knock_for(&self, payer: &Payer, seed: &str) -> Result<Option<Wait>, Halt> {
        Suspensions::check(&self.house, &payer.public.name).await?;
        let pace = payer.terms.agreement.pace();
        Ok(match self.approach(&payer.public.name, pace).await? {
            Approach::Now => None,
            Approach::Resting(until) => Some(rest(until, seed)),
            Approach::Paced(until) => {
                let detail = "the pace agreed with the payer leaves no earlier moment";
                Some((until, Issue::new(Code::PayerResting, detail)))
            }
        })
    }

    /// Waits in place for a turn at a door, unless that takes longer than `PACE_WAIT_MAX`.
    pub(crate) async fn approach(
        &self,
        door: &PartnerId,
        pace: Duration,
    ) -> Result<Approach, store::Error> {
        loop {
            let now = self.clock.now();
            let approach = self.house.approach(self.house.clock(now), door, pace).await?;
            let Approach::Paced(until) = approach else { return Ok(approach) };
            let wait = Duration::try_from(now.duration_until(until)).unwrap_or_default();
            if wait > PACE_WAIT_MAX {
                return Ok(approach);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Whether the door is known to be left alone: then nothing is prepared for it either.
    pub(crate) async fn resting(
        &self,
        payer: &Payer,
        push: &Push,
    ) -> Result<Option<Wait>, store::Error> {
        let doors = self.house.doors().await?;
        let door = doors.into_iter().find(|door| door.partner == payer.public.name);
        let until = door.and_then(|door| door.resting_until);
        Ok(until
            .filter(|until| *until > self.clock.now())
            .map(|until| rest(until, push.walk.as_str())))
    }

    /// Says how a request went.
    pub(crate) async fn report(&self, payer: &Payer, answered: bool) -> Result<(), store::Error> {
        let clock = self.house.clock(self.clock.now());
        self.house.report(clock, &payer.public.name, answered, BREAKER).await
    }
}

/// Whether the door gave an answer of any kind. A certificate that is not trusted is a person's
/// matter, and no sign that the payer is away.
pub(crate) fn answered(answered: &Answered) -> bool {
    !matches!(answered, Answered::NotSent | Answered::Unknown | Answered::SignInUnreachable { .. })
}

/// A door that is left alone; those who wait for it come back one after the other.
fn rest(until: Timestamp, seed: &str) -> Wait {
    let share = u32::from(Digest::of(seed.as_bytes()).0[0]);
    let until = until.saturating_add(REST_SPREAD * share / 256).unwrap_or(until);
    let detail = "the payer's door gave no answer several times in a row";
    (until, Issue::new(Code::PayerResting, detail))
}
