//! Clock: the time as an argument, so that expiry and replay can be tested as a table.
//!
//! Comes in   nothing.
//! Goes out   the time.
//! Never      decides anything.

use jiff::Timestamp;

/// What tells the time: the system's clock in a house, a set one in tests and the town.
pub trait Clock: Send + Sync {
    /// The time now, to the microsecond: what a ledger keeps, so that what is read back equals what
    /// was said.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }
}
