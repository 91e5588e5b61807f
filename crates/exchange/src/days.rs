//! Days: which days a date in a chart may mean, and when a resource says that it happened.
//!
//! Comes in   FHIR dates and dateTimes as text; resources.
//! Goes out   spans of days, both ends inclusive.
//! Never      converts between time zones: charts, coverages and agreements speak of days as they
//!            are written.
//!
//! A partial date means its whole month or year (R4 §2.24.0.12 Period: the end is inclusive).

use fhir::{Node, Resource};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How far a clock of the United States is behind UTC at most (Hawaii; RFC 9557 offsets): a moment
/// that is written in UTC may be of the day before where it was.
const BEHIND_UTC: SignedDuration = SignedDuration::from_hours(10);

/// Days from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Days {
    /// The first day.
    pub first: Date,
    /// The last day.
    pub last: Date,
}

impl Days {
    /// `YYYY`, `YYYY-MM`, `YYYY-MM-DD`, or a dateTime or instant of which the day is taken as written.
    pub fn read(text: &str) -> Option<Days> {
        let text = text.trim();
        let date = text.split('T').next()?;
        let digits =
            |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<&str> = date.split('-').collect();
        let lengths = parts.iter().zip([4, 2, 2]).all(|(part, length)| digits(part, length));
        if !lengths || parts.len() > 3 || (text.len() > date.len() && parts.len() < 3) {
            return None;
        }
        let number = |at: usize| parts.get(at).and_then(|part| part.parse::<i16>().ok());
        let year = number(0)?;
        let small = |number: i16| i8::try_from(number).ok();
        let first = match (number(1), number(2)) {
            (None, _) => Date::new(year, 1, 1),
            (Some(month), None) => Date::new(year, small(month)?, 1),
            (Some(month), Some(day)) => Date::new(year, small(month)?, small(day)?),
        };
        let first = first.ok()?;
        let last = match parts.len() {
            1 => first.last_of_year(),
            2 => first.last_of_month(),
            _ => first,
        };
        Some(Days { first, last })
    }

    /// The days of a Period, or of a date, dateTime or instant; an open end reaches as far as the
    /// other end does. `None` where nothing in it can be read.
    pub fn of(node: Node<'_, '_>) -> Option<Days> {
        if let Some(text) = node.text() {
            return Days::read(&text);
        }
        let end = |name| node.get(name).and_then(|end| Days::read(&end.text()?));
        let (start, end) = (end("start"), end("end"));
        let first = start.or(end)?.first;
        Some(Days { first, last: end.or(start)?.last.max(first) })
    }

    /// The same, for questions that must not miss a day: a moment written in UTC may be of the day
    /// before on the clock of whoever was there, since servers often write instants in UTC and
    /// periods of visits by their own clock.
    pub fn possible(node: Node<'_, '_>) -> Option<Days> {
        let days = Days::of(node)?;
        let first = node.text().or_else(|| node.get("start").or(node.get("end"))?.text());
        let first = first.filter(|text| is_utc(text)).and_then(|text| text.trim().parse().ok());
        let before = first.and_then(|moment: Timestamp| moment.checked_sub(BEHIND_UTC).ok());
        let before = before.map(|moment| moment.to_zoned(TimeZone::UTC).date());
        Some(Days { first: before.unwrap_or(days.first).min(days.first), last: days.last })
    }

    /// Whether any day lies in both.
    pub fn meets(&self, other: &Days) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

fn is_utc(text: &str) -> bool {
    ["Z", "+00:00", "-00:00"].iter().any(|end| text.trim_end().ends_with(end))
}

/// Elements that say when the content of a resource was so, the one that says it best first. What a
/// type lacks is not found; `issued` and `recorded` come last, since results and lists of problems
/// are often written down long after.
const CLINICAL: [&str; 18] = [
    "effectiveDateTime",
    "effectivePeriod",
    "effectiveInstant",
    "performedDateTime",
    "performedPeriod",
    "occurrenceDateTime",
    "occurrencePeriod",
    "onsetDateTime",
    "onsetPeriod",
    "period",
    "createdDateTime",
    "createdPeriod",
    "whenHandedOver",
    "authoredOn",
    "recordedDate",
    "started",
    "date",
    "issued",
];

/// When the content of a resource was so, as far as it says: its clinical days, not when a server
/// stored it. A DocumentReference is of the period that it documents (`context.period`), else of
/// the day it was written.
pub fn clinical_days(resource: &Resource) -> Option<Days> {
    dated(resource, Days::of)
}

/// The same as [`Days::possible`] reads them.
pub fn possible_days(resource: &Resource) -> Option<Days> {
    dated(resource, Days::possible)
}

fn dated(resource: &Resource, read: fn(Node<'_, '_>) -> Option<Days>) -> Option<Days> {
    let doc = resource.doc();
    let root = doc.root();
    if resource.kind() == "DocumentReference"
        && let Some(days) = root.get("context").and_then(|context| read(context.get("period")?))
    {
        return Some(days);
    }
    if resource.kind() == "Specimen" {
        let collection = root.get("collection")?;
        let taken = ["collectedDateTime", "collectedPeriod"];
        return taken.iter().find_map(|name| read(collection.get(name)?));
    }
    CLINICAL.iter().find_map(|name| read(root.get(name)?))
}

/// From which instant to which the content of a resource was so, where it says instants with their
/// offset from UTC: the same element as [`clinical_days`] reads. A moment is both.
pub fn clinical_instants(resource: &Resource) -> Option<(Timestamp, Timestamp)> {
    let doc = resource.doc();
    let root = doc.root();
    let documented = || root.get("context").and_then(|context| context.get("period"));
    let element = match resource.kind() {
        "DocumentReference" if documented().is_some() => documented(),
        "Specimen" => {
            let collection = root.get("collection")?;
            collection.get("collectedDateTime").or_else(|| collection.get("collectedPeriod"))
        }
        _ => CLINICAL.iter().find_map(|name| root.get(name).filter(|it| Days::of(*it).is_some())),
    };
    let element = element?;
    let instant = |node: Node<'_, '_>| node.text()?.trim().parse::<Timestamp>().ok();
    if let Some(moment) = instant(element) {
        return Some((moment, moment));
    }
    let from = element.get("start").and_then(instant)?;
    let until = element.get("end").and_then(instant)?;
    Some((from, until))
}

#[cfg(test)]
mod tests {
    //! Goal: days are read as they are written, and a resource is dated by what it is about.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_partial_date_means_all_its_days() {
        let table = [
            ("2024", Some(("2024-01-01", "2024-12-31"))),
            ("2024-02", Some(("2024-02-01", "2024-02-29"))),
            ("2024-02-29", Some(("2024-02-29", "2024-02-29"))),
            ("2024-02-29T23:59:59-05:00", Some(("2024-02-29", "2024-02-29"))),
            ("2023-02-29", None),
            ("2024-02T10:00", None),
            ("24-02-01", None),
            ("", None),
        ];
        for (text, expected) in table {
            let found = Days::read(text);
            let expected = expected.map(|(first, last)| Days {
                first: first.parse().unwrap(),
                last: last.parse().unwrap(),
            });
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_moment_in_utc_may_be_of_the_day_before() {
        let table = [
            (r#""2024-03-02T03:00:00Z""#, ("2024-03-01", "2024-03-02")),
            (r#""2024-03-02T03:00:00.123+00:00""#, ("2024-03-01", "2024-03-02")),
            (r#""2024-03-02T10:00:00Z""#, ("2024-03-02", "2024-03-02")),
            (r#""2024-03-02T03:00:00-05:00""#, ("2024-03-02", "2024-03-02")),
            (r#""2024-03-02""#, ("2024-03-02", "2024-03-02")),
            (
                r#"{"start":"2024-03-02T03:00:00Z","end":"2024-03-04"}"#,
                ("2024-03-01", "2024-03-04"),
            ),
            (r#"{"end":"2024-03-02T03:00:00Z"}"#, ("2024-03-01", "2024-03-02")),
        ];
        for (text, (first, last)) in table {
            let text = format!(r#"{{"resourceType":"Basic","x":{text}}}"#);
            let resource = Resource::parse(text.into_bytes()).unwrap();
            let doc = resource.doc();
            let days = Days::possible(doc.root().get("x").unwrap()).unwrap();
            assert_eq!(
                (days.first.to_string(), days.last.to_string()),
                (first.into(), last.into())
            );
        }
    }

    #[test]
    fn a_resource_is_dated_by_what_it_is_about() {
        let table = [
            (
                r#"{"resourceType":"Observation","issued":"2024-03-05T00:00:00Z","effectiveDateTime":"2024-03-01"}"#,
                Some(("2024-03-01", "2024-03-01")),
            ),
            (
                r#"{"resourceType":"Encounter","period":{"start":"2024-03-01T10:00:00Z"}}"#,
                Some(("2024-03-01", "2024-03-01")),
            ),
            (
                r#"{"resourceType":"Encounter","period":{"start":"2024-03-01","end":"2024-03"}}"#,
                Some(("2024-03-01", "2024-03-31")),
            ),
            (
                r#"{"resourceType":"DocumentReference","date":"2024-04-01T00:00:00Z","context":{"period":{"end":"2024-03-02"}}}"#,
                Some(("2024-03-02", "2024-03-02")),
            ),
            (
                r#"{"resourceType":"Specimen","collection":{"collectedDateTime":"2024-03-02"}}"#,
                Some(("2024-03-02", "2024-03-02")),
            ),
            (r#"{"resourceType":"Patient","birthDate":"2024-03-02"}"#, None),
            (r#"{"resourceType":"Observation","effectiveDateTime":"soon"}"#, None),
        ];
        for (text, expected) in table {
            let resource = Resource::parse(text.as_bytes().to_vec()).unwrap();
            let days = clinical_days(&resource)
                .map(|days| (days.first.to_string(), days.last.to_string()));
            let expected =
                expected.map(|(first, last): (&str, &str)| (first.to_owned(), last.to_owned()));
            assert_eq!(days, expected, "{}", resource.kind());
        }
    }
}
