//! Columns: how times, lengths and numbers stand in both databases.
//!
//! Comes in   values of the house.
//! Goes out   signed integers, and the same values again.
//! Never      leaves the calendar: what is later than its last moment is that moment.

use jiff::Timestamp;
use std::time::Duration;

use crate::house::Error;

/// A time as it is stored: microseconds.
pub(crate) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// A stored time.
///
/// # Errors
/// `Damaged` where it lies outside the calendar.
pub(crate) fn time(micros: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(micros)
        .map_err(|_| Error::Damaged("a time lies outside the calendar".to_owned()))
}

/// A length of time in microseconds.
pub(crate) fn length(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

/// When so many microseconds will have passed.
pub(crate) fn later(now: i64, length: i64) -> i64 {
    now.saturating_add(length).min(micros(Timestamp::MAX))
}

/// Numbers are stored as signed integers, bit by bit.
pub(crate) fn int(number: u64) -> i64 {
    number.cast_signed()
}
