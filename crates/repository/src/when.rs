//! When: FHIR dates of any precision as spans of time, and as texts that sort.
//!
//! Comes in   `date`, `dateTime` and `instant` as they are written (R4 §2.24.0.1).
//! Goes out   the span a date covers, or a text form whose order is the order of beginnings.
//! Never      guesses a zone: a time without one is read as UTC, as the capability statement says.

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use store::DateSpan;

/// What a date covers: from its beginning up to, and not with, its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: Timestamp,
    /// `None`: beyond the calendar.
    pub(crate) end: Option<Timestamp>,
    precision: Precision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    Year,
    Month,
    Day,
    Time,
}

impl Span {
    /// Reads a year, a month, a day, or a time with minutes, seconds or fractions of them.
    pub(crate) fn parse(text: &str) -> Option<Span> {
        let (day, time) = match text.split_once('T') {
            Some((day, time)) => (day, Some(time)),
            None => (text, None),
        };
        let (date, precision) = calendar(day)?;
        match time {
            Some(time) if precision == Precision::Day => clock(date, time),
            Some(_) => None,
            None => {
                let end = after(date, precision).and_then(midnight);
                Some(Span { start: midnight(date)?, end, precision })
            }
        }
    }

    /// As records are found by it.
    pub(crate) fn dates(&self) -> DateSpan {
        DateSpan { from: self.start, to: self.end.unwrap_or(Timestamp::MAX) }
    }
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

fn midnight(date: Date) -> Option<Timestamp> {
    Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()
}

/// `hh:mm`, `hh:mm:ss` or `hh:mm:ss.f…`, and `Z`, `+hh:mm`, `-hh:mm` or nothing.
fn clock(date: Date, text: &str) -> Option<Span> {
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
    let start = midnight(date)?.checked_add(SignedDuration::new(seconds, nanos)).ok()?;
    Some(Span { start, end: start.checked_add(step).ok(), precision: Precision::Time })
}

fn two_digits(text: &str) -> Option<u8> {
    let good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok())?
}

/// Nanoseconds, and how much time a fraction of so many digits covers.
fn fraction_of(digits: &str) -> Option<(i32, SignedDuration)> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = &digits[..digits.len().min(9)];
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
    use super::*;

    #[test]
    fn a_date_covers_what_its_precision_says() {
        let table = [
            ("2026", "2026", Some("2027")),
            ("2026-12", "2026-12", Some("2027-01")),
            ("2024-02-28", "2024-02-28", Some("2024-02-29")),
            ("9999", "9999", None),
            (
                "2026-01-03T10:00",
                "2026-01-03T10:00:00.000000Z",
                Some("2026-01-03T10:01:00.000000Z"),
            ),
            (
                "2026-01-03T10:00:00-05:00",
                "2026-01-03T15:00:00.000000Z",
                Some("2026-01-03T15:00:01.000000Z"),
            ),
            (
                "2026-01-03T01:00:00.25+02:00",
                "2026-01-02T23:00:00.250000Z",
                Some("2026-01-02T23:00:00.260000Z"),
            ),
        ];
        for (text, start, end) in table {
            let span = Span::parse(text);
            assert_eq!(span.map(|span| span.start_text()).as_deref(), Some(start), "{text}");
            assert_eq!(span.and_then(|span| span.end_text()).as_deref(), end, "{text}");
        }
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
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }

    #[test]
    fn texts_sort_as_times_do() {
        let texts =
            ["2025-12-31T23:00:00-05:00", "2026-01-01T05:00:00Z", "2026-01-01T00:00:00.5-05:30"];
        let sorted: Vec<_> = texts.iter().filter_map(|text| sortable(text)).collect();
        assert!(sorted.is_sorted(), "{sorted:?}");
    }
}
