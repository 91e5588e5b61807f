//! Door: when a partner's door may be knocked at, and when it is left alone.
//!
//! Comes in   a door as it was written last, the time, how a request went.
//! Goes out   a turn, or when to come again; the door as it is to be written.
//! Never      reads or writes: each database does, so that nobody comes in between.

use std::time::Duration;

use crate::column::{later, length, time};
use crate::house::{Approach, Breaker, Error};

/// A partner's door. Times and lengths in microseconds, as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Door {
    /// When the next request may go, by the partner's pace.
    pub(crate) free_at: i64,
    /// Until when nothing is sent; none: the breaker is closed.
    pub(crate) resting: Option<i64>,
    /// How long it rests, once it does.
    pub(crate) rest: i64,
    /// Failures in a row.
    pub(crate) failures: u32,
}

impl Default for Door {
    /// A door that nobody has knocked at.
    fn default() -> Door {
        Door { free_at: i64::MIN, resting: None, rest: 0, failures: 0 }
    }
}

impl Door {
    /// Asks for a turn; see `House::approach`. Nothing has changed unless it is granted.
    ///
    /// # Errors
    /// `Damaged` where the door's times lie outside the calendar.
    pub(crate) fn approach(&mut self, now: i64, every: Duration) -> Result<Approach, Error> {
        if let Some(until) = self.resting.filter(|until| now < *until) {
            return Ok(Approach::Resting(time(until)?));
        }
        let every = length(every);
        if every > 0 && now < self.free_at {
            return Ok(Approach::Paced(time(self.free_at)?));
        }
        self.free_at = later(now, every);
        // Whoever comes first after a rest sees how the door is; the others wait as long again.
        self.resting = self.resting.map(|_| later(now, self.rest));
        Ok(Approach::Now)
    }

    /// Says how a request went; see `House::report`.
    pub(crate) fn report(&mut self, now: i64, answered: bool, breaker: Breaker) {
        if answered {
            (self.failures, self.resting, self.rest) = (0, None, 0);
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if let Some(beyond) = self.failures.checked_sub(breaker.failures) {
            let twice = 1i64.checked_shl(beyond.min(62)).unwrap_or(i64::MAX);
            self.rest = length(breaker.rest).saturating_mul(twice).min(length(breaker.rest_max));
            self.resting = Some(later(now, self.rest));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::column::micros;
    use jiff::Timestamp;

    const SECOND: i64 = 1_000_000;
    const EVERY: Duration = Duration::from_secs(10);
    const BREAKER: Breaker =
        Breaker { failures: 3, rest: Duration::from_secs(30), rest_max: Duration::from_secs(100) };

    fn until(seconds: i64) -> Timestamp {
        time(seconds * SECOND).unwrap()
    }

    fn failed(times: u32) -> Door {
        let mut door = Door::default();
        (0..times).for_each(|_| door.report(0, false, BREAKER));
        door
    }

    #[test]
    fn a_door_has_its_pace() {
        let mut door = Door::default();
        assert_eq!(door.approach(0, EVERY).unwrap(), Approach::Now);
        let before = door;
        assert_eq!(door.approach(10 * SECOND - 1, EVERY).unwrap(), Approach::Paced(until(10)));
        assert_eq!(door, before, "who is sent away takes no turn");
        assert_eq!(door.approach(10 * SECOND, EVERY).unwrap(), Approach::Now);
        assert_eq!(door.approach(11 * SECOND, Duration::ZERO).unwrap(), Approach::Now, "no pace");
    }

    #[test]
    fn a_rest_grows_with_every_failure_up_to_its_longest() {
        let table = [(1, None), (2, None), (3, Some(30)), (4, Some(60)), (5, Some(100))];
        for (times, rest) in table {
            let resting = failed(times).resting;
            assert_eq!(resting, rest.map(|rest| rest * SECOND), "{times} failures");
        }
        for times in [35, 66, 67, 100] {
            assert_eq!(failed(times).rest, 100 * SECOND, "{times} failures: no number runs over");
        }
        let mut door = Door { failures: u32::MAX, ..Door::default() };
        door.report(0, false, BREAKER);
        assert_eq!((door.failures, door.rest), (u32::MAX, 100 * SECOND), "nor does the count");
        let forever = Breaker { rest: Duration::MAX, rest_max: Duration::MAX, ..BREAKER };
        door.report(0, false, forever);
        assert_eq!(door.resting, Some(micros(Timestamp::MAX)), "nor the calendar");
    }

    #[test]
    fn one_sees_how_a_door_is_after_its_rest() {
        let mut door = failed(3);
        let rest = Approach::Resting(until(30));
        assert_eq!(door.approach(30 * SECOND - 1, EVERY).unwrap(), rest);
        assert_eq!(door.approach(30 * SECOND, EVERY).unwrap(), Approach::Now);
        let again = Approach::Resting(until(60));
        assert_eq!(door.approach(45 * SECOND, EVERY).unwrap(), again, "the others wait");
        door.report(46 * SECOND, true, BREAKER);
        let closed = Door { free_at: 40 * SECOND, ..Door::default() };
        assert_eq!(door, closed, "an answer forgets all failures");
    }

    #[test]
    fn what_lies_outside_the_calendar_is_damage() {
        let mut door = Door { resting: Some(i64::MAX), ..Door::default() };
        assert!(matches!(door.approach(0, EVERY), Err(Error::Damaged(_))));
    }
}
