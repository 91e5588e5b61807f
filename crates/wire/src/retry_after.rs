//! Retry-After: how long a partner asks us to wait (RFC 9110 §10.2.3).
//!
//! Comes in   the header's value, and the time.
//! Goes out   a wait, never below zero, never above the limit.
//! Never      an error: a value that cannot be read is as good as none.

use crate::limits::RETRY_AFTER_MAX;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use std::time::Duration;

/// The three forms of an HTTP date that a recipient must read (RFC 9110 §5.6.7).
const HTTP_DATES: [&str; 3] =
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// Reads seconds or an HTTP date.
pub fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds still mean "very long".
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let then = parse_date(value)?;
        Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Reads the header of an answer, when it has one.
pub fn read(headers: &http::HeaderMap, now: Timestamp) -> Option<Duration> {
    parse(headers.get(http::header::RETRY_AFTER)?.to_str().ok()?, now)
}

/// Reads the header of an answer, when it has one, by the answer's own `Date`: a wait needs no clock
/// of ours then. A date without that is no wait.
pub fn read_here(headers: &http::HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let date = text(http::header::DATE).and_then(|date| parse_date(date.trim()));
    let value = text(http::header::RETRY_AFTER)?;
    let is_date = parse_date(value.trim()).is_some();
    if is_date && date.is_none() { None } else { parse(value, date.unwrap_or_default()) }
}

pub(crate) fn parse_date(value: &str) -> Option<Timestamp> {
    let date = HTTP_DATES.iter().find_map(|form| DateTime::strptime(form, value).ok())?;
    date.to_zoned(TimeZone::UTC).ok().map(|date| date.timestamp())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    //! Goal: every form a partner may send gives one bounded wait; nonsense gives none.

    use super::*;

    #[test]
    fn every_form_gives_one_wait() {
        let now: Timestamp = "1994-11-06T08:49:07Z".parse().unwrap();
        let table = [
            ("seconds", "120", Some(120)),
            ("at once", "0", Some(0)),
            ("spaces around", " 7 ", Some(7)),
            ("a date", "Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("the obsolete RFC 850 date", "Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("the obsolete asctime date", "Sun Nov  6 08:49:37 1994", Some(30)),
            ("a date that has passed", "Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("a year ahead is cut", "Mon, 06 Nov 1995 08:49:37 GMT", Some(604_800)),
            ("a huge number is cut", "99999999999999999999999999", Some(604_800)),
            ("negative", "-5", None),
            ("fractions", "1.5", None),
            ("empty", "", None),
            ("words", "soon", None),
            ("a weekday that is not that day's", "Mon, 06 Nov 1994 08:49:37 GMT", None),
        ];
        for (case, value, seconds) in table {
            assert_eq!(parse(value, now), seconds.map(Duration::from_secs), "{case}");
        }
    }
}
