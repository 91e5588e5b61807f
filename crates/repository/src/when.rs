//! When: FHIR dates of any precision, and periods, as spans of time.
//!
//! Comes in   `date`, `dateTime` and `instant` as they are written (R4 §2.24.0.1).
//! Goes out   the span it covers, in whole microseconds, as the store keeps them.
//! Never      guesses a zone: a time without one is read as UTC, as the capability statement says.

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use store::DateSpan;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    Year,
    Month,
    Day,
}

/// What a year, a month, a day, or a time with minutes, seconds or fractions of them covers: from
/// its beginning up to, and not with, its end. What ends beyond the last instant that is counted
/// never ends, and what begins beyond it begins there: the last day of the year 9999, by which
/// senders say "never".
pub(crate) fn span(text: &str) -> Option<DateSpan> {
    let (day, time) = match text.split_once('T') {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let (date, precision) = calendar(day)?;
    match time {
        Some(time) if precision == Precision::Day => clock(date, time),
        Some(_) => None,
        None => {
            let to = after(date, precision).map_or(Timestamp::MAX, midnight);
            Some(DateSpan { from: midnight(date), to })
        }
    }
}

/// A Period (R4 §2.24.0.11): from the beginning of its start to the end of its end; an end that is
/// not given is open. `None` when neither can be read.
pub(crate) fn period(start: Option<&str>, end: Option<&str>) -> Option<DateSpan> {
    let (start, end) = (start.and_then(span), end.and_then(span));
    start.or(end)?;
    Some(DateSpan {
        from: start.map_or(Timestamp::MIN, |start| start.from),
        to: end.map_or(Timestamp::MAX, |end| end.to),
    })
}

/// The span that covers all of them.
pub(crate) fn cover(spans: impl IntoIterator<Item = DateSpan>) -> Option<DateSpan> {
    let wider = |one: DateSpan, other: DateSpan| DateSpan {
        from: one.from.min(other.from),
        to: one.to.max(other.to),
    };
    spans.into_iter().reduce(wider)
}

/// An instant, as this room writes it: UTC, six digits, the same width always.
pub(crate) fn instant(at: Timestamp) -> String {
    format!("{at:.6}")
}

fn calendar(text: &str) -> Option<(Date, Precision)> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i16>().ok())?
    };
    let dash = |at: usize| (text.as_bytes().get(at) == Some(&b'-')).then_some(());
    let small = |number: i16| i8::try_from(number).ok();
    let year = number(0, 4).filter(|year| *year > 0)?;
    let (month, day, precision) = match text.len() {
        4 => (1, 1, Precision::Year),
        7 => {
            dash(4)?;
            (small(number(5, 7)?)?, 1, Precision::Month)
        }
        10 => {
            dash(4).and(dash(7))?;
            (small(number(5, 7)?)?, small(number(8, 10)?)?, Precision::Day)
        }
        _ => return None,
    };
    Some((Date::new(year, month, day).ok()?, precision))
}

/// The first day that a partial date no longer covers.
fn after(date: Date, precision: Precision) -> Option<Date> {
    let (year, month) = (date.year(), date.month());
    match (precision, month) {
        (Precision::Year, _) | (Precision::Month, 12) => Date::new(year.checked_add(1)?, 1, 1).ok(),
        (Precision::Month, month) => Date::new(year, month + 1, 1).ok(),
        _ => date.tomorrow().ok(),
    }
}

fn midnight(date: Date) -> Timestamp {
    instant_of(date, SignedDuration::ZERO)
}

/// So long after, or before, the beginning of a day. Years have four digits, so only the end of
/// what is counted can be passed.
fn instant_of(date: Date, after: SignedDuration) -> Timestamp {
    let time = date.at(0, 0, 0, 0).checked_add(after).ok();
    time.and_then(|time| Offset::UTC.to_timestamp(time).ok()).unwrap_or(Timestamp::MAX)
}

/// `hh:mm`, `hh:mm:ss` or `hh:mm:ss.f…`, and `Z`, `+hh:mm`, `-hh:mm` or nothing.
fn clock(date: Date, text: &str) -> Option<DateSpan> {
    let zone_at = text.find(['Z', '+', '-']).unwrap_or(text.len());
    let (time, zone) = text.split_at(zone_at);
    let (whole, fraction) = match time.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (time, None),
    };
    let mut parts = whole.split(':').map(|part| two_digits(part).map(i64::from));
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next();
    if parts.next().is_some() || (second.is_none() && fraction.is_some()) {
        return None;
    }
    let (nanos, step) = match (second.is_some(), fraction) {
        (false, _) => (0, SignedDuration::from_secs(60)),
        (true, None) => (0, SignedDuration::from_secs(1)),
        (true, Some(digits)) => fraction_of(digits)?,
    };
    // A leap second is read as the last one before it.
    let second = match second {
        Some(second) => second?.min(59),
        None => 0,
    };
    if hour > 23 || minute > 59 {
        return None;
    }
    let seconds = hour * 3_600 + minute * 60 + second - zone_seconds(zone)?;
    let from = instant_of(date, SignedDuration::new(seconds, nanos));
    Some(DateSpan { from, to: from.checked_add(step).unwrap_or(Timestamp::MAX) })
}

fn two_digits(text: &str) -> Option<u8> {
    let good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok())?
}

/// Nanoseconds, and how much time a fraction of so many digits covers: a microsecond at least.
fn fraction_of(digits: &str) -> Option<(i32, SignedDuration)> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = &digits[..digits.len().min(6)];
    let unit = 10_i32.pow(9 - kept.len() as u32);
    let nanos = kept.parse::<i32>().ok()? * unit;
    Some((nanos, SignedDuration::from_nanos(unit.into())))
}

fn zone_seconds(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = zone.split_at(1);
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let seconds = i64::from(hours) * 3_600 + i64::from(minutes) * 60;
    match sign {
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The last instant that is counted.
    const END: &str = "9999-12-30T22:00:00.999999999Z";

    #[test]
    fn a_date_covers_what_its_precision_says() {
        let table = [
            ("2026", "2026-01-01T00:00:00Z", Some("2027-01-01T00:00:00Z")),
            ("2026-12", "2026-12-01T00:00:00Z", Some("2027-01-01T00:00:00Z")),
            ("2024-02-28", "2024-02-28T00:00:00Z", Some("2024-02-29T00:00:00Z")),
            ("9999", "9999-01-01T00:00:00Z", None),
            ("9999-12", "9999-12-01T00:00:00Z", None),
            ("9999-12-30", "9999-12-30T00:00:00Z", None),
            ("9999-12-31", END, None),
            ("9999-12-31T23:59:59Z", END, None),
            ("9999-12-31T23:59:59.999999-05:00", END, None),
            ("9999-12-31T00:00:00+14:00", "9999-12-30T10:00:00Z", Some("9999-12-30T10:00:01Z")),
            ("0001-01-01T00:00:00+14:00", "0000-12-31T10:00:00Z", Some("0000-12-31T10:00:01Z")),
            ("2026-01-03T10:00", "2026-01-03T10:00:00Z", Some("2026-01-03T10:01:00Z")),
            ("2026-01-03T10:00:00-05:00", "2026-01-03T15:00:00Z", Some("2026-01-03T15:00:01Z")),
            (
                "2026-01-03T01:00:00.25+02:00",
                "2026-01-02T23:00:00.25Z",
                Some("2026-01-02T23:00:00.26Z"),
            ),
            (
                "2026-01-03T10:00:00.1234567Z",
                "2026-01-03T10:00:00.123456Z",
                Some("2026-01-03T10:00:00.123457Z"),
            ),
        ];
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (text, from, to) in table {
            let expected = DateSpan { from: at(from), to: to.map_or(Timestamp::MAX, at) };
            assert_eq!(span(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_end_that_is_not_given_is_open() {
        let (first, last) = (span("2026-01").unwrap(), span("2026-03").unwrap());
        let table = [
            (Some("2026-01"), Some("2026-03"), Some((first.from, last.to))),
            (Some("2026-01"), None, Some((first.from, Timestamp::MAX))),
            (None, Some("2026-03"), Some((Timestamp::MIN, last.to))),
            (Some("soon"), Some("2026-03"), Some((Timestamp::MIN, last.to))),
            (Some("soon"), None, None),
            (None, None, None),
        ];
        for (start, end, expected) in table {
            let expected = expected.map(|(from, to)| DateSpan { from, to });
            assert_eq!(period(start, end), expected, "{start:?} {end:?}");
        }
        assert_eq!(cover([last, first]), Some(DateSpan { from: first.from, to: last.to }));
        assert_eq!(cover([]), None);
    }

    #[test]
    fn what_is_no_date_is_not_read_as_one() {
        for text in [
            "",
            "26",
            "2026-1",
            "2026-13",
            "2026-02-30",
            "2026-01T10:00",
            "2026-01-03T",
            "2026-01-03T10",
            "2026-01-03T24:00",
            "2026-01-03T10:60",
            "2026-01-03T10:00.5",
            "2026-01-03T10:00:00 05:00",
            "2026-01-03T10:00:00+5",
            "2026-01-03T10:00:00.Z",
            "+026-01-03",
            "0000",
            "２０２６",
        ] {
            assert_eq!(span(text), None, "{text}");
        }
    }
}
