//! Clock: the time by which this house's work falls due.
//!
//! Comes in   the clock of the machine, and now and then what the house says.
//! Goes out   the time: the machine's, set by the house's.
//! Never      asks the house for every moment: what two clocks differ by changes slowly.
//!
//! Why: where several processes share a house, its database says when a lease has run out, when work
//! is due and how long a door rests. A due said by another clock is taken up too late, or again and
//! again too early.

use crate::limits::CLOCK_AGE_MAX;
use jiff::{SignedDuration, Timestamp};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use store::{AnyHouse, House};
use tokio::time::Instant;
use wire::Clock;

/// The machine's clock, set by the house's.
pub struct HouseClock {
    machine: Arc<dyn Clock>,
    /// Microseconds by which the house's is ahead.
    ahead: AtomicI64,
    set: Mutex<Option<Instant>>,
}

impl HouseClock {
    /// The machine's clock, not set yet.
    pub fn new(machine: Arc<dyn Clock>) -> HouseClock {
        HouseClock { machine, ahead: AtomicI64::new(0), set: Mutex::new(None) }
    }

    /// Sets it, unless that was done a moment ago. A house that does not answer leaves it as it is.
    pub async fn set(&self, house: &AnyHouse) {
        let fresh = |at: Instant| at.elapsed() < CLOCK_AGE_MAX;
        if self.set.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(fresh) {
            return;
        }
        let before = self.machine.now();
        let said = house.time(house.clock(before)).await;
        let took = before.duration_until(self.machine.now());
        match said {
            // By the machine's own clock: there is nothing to set.
            Ok(said) if said == before => self.ahead.store(0, Ordering::Relaxed),
            Ok(said) => {
                let ahead = before.duration_until(said) - took / 2;
                let ahead = i64::try_from(ahead.as_micros()).unwrap_or(0);
                self.ahead.store(ahead, Ordering::Relaxed);
            }
            Err(error) => return tracing::warn!(%error, "the house does not say its time"),
        }
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl Clock for HouseClock {
    fn now(&self) -> Timestamp {
        let now = self.machine.now();
        let ahead = SignedDuration::from_micros(self.ahead.load(Ordering::Relaxed));
        now.checked_add(ahead).unwrap_or(now)
    }
}
