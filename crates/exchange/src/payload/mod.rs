//! Payload: what a push is about, and what belongs to it: an encounter, a report's results, a
//! patient's history.
//!
//! Comes in   the subject of a trigger as text; the patient's chart as it was read.
//! Goes out   the kind, the record it is about, and which resources are part of it and why.
//! Never      decides what may travel: that is *shape*'s. Never reads a chart itself.
//!
//! Why pure: which laboratory result belongs to which visit decides what a payer is given and what a
//! restriction covers, so it must be testable as a table.

pub mod encounter;
pub mod history;
pub mod readiness;
pub mod results;

use crate::issue::{Code, Issue};
use fhir::is_id;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a dossier is about, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One encounter, with what was found, done and written in it.
    Encounter,
    /// One report, with its results.
    Results,
    /// What is known of a patient, within the window of the agreement.
    History,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Encounter, Kind::Results, Kind::History];

    /// As ledger, lists and agreements spell it.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Encounter => "encounter",
            Kind::Results => "results",
            Kind::History => "history",
        }
    }

    /// The type of the record it is about.
    pub const fn record(self) -> &'static str {
        match self {
            Kind::Encounter => "Encounter",
            Kind::Results => "DiagnosticReport",
            Kind::History => "Patient",
        }
    }

    /// The kind whose pushes are about records of this type.
    pub fn of_record(record: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.record() == record)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a push is about: `Encounter/x`, `DiagnosticReport/x`, `Patient/x` or
/// `Patient/x?since=2024-01-31`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// The kind.
    pub kind: Kind,
    /// The record's id in the source.
    pub id: String,
    /// A history begins here at the earliest.
    pub since: Option<Date>,
}

const SINCE: &str = "?since=";

impl Topic {
    /// Reads what a trigger or a person names; a bare id is an encounter's.
    ///
    /// Errors: `CommandInvalid`, without quoting what came.
    pub fn parse(text: &str) -> Result<Topic, Issue> {
        let fault = |detail: &str| Err(Issue::new(Code::CommandInvalid, detail).at("subject"));
        let (record, since) = match text.split_once(SINCE) {
            Some((record, since)) => (record, Some(since)),
            None => (text, None),
        };
        let (record, id) = record.split_once('/').unwrap_or((Kind::Encounter.record(), record));
        let Some(kind) = Kind::of_record(record) else {
            return fault("a push is about an Encounter, a DiagnosticReport or a Patient");
        };
        if !is_id(id) {
            return fault("a record is named by its id in the EHR: Encounter/ID, for example");
        }
        let since = match (since, kind) {
            (None, _) => None,
            (Some(day), Kind::History) if is_day(day) => day.parse::<Date>().ok(),
            (Some(_), Kind::History) => None,
            (Some(_), _) => return fault("only a history begins at a date"),
        };
        if since.is_none() && text.contains(SINCE) {
            return fault("a history begins at a day: ?since=2024-01-31");
        }
        Ok(Topic { kind, id: id.to_owned(), since })
    }

    /// `Type/id` of the record: the dossier's subject. Histories of all dates are one dossier.
    pub fn reference(&self) -> String {
        format!("{}/{}", self.kind.record(), self.id)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reference())?;
        self.since.map_or(Ok(()), |day| write!(f, "{SINCE}{day}"))
    }
}

/// `YYYY-MM-DD`, and nothing that a lenient reader would take for one.
fn is_day(text: &str) -> bool {
    let digit = |at: usize, byte: u8| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    text.len() == 10 && text.bytes().enumerate().all(|(at, byte)| digit(at, byte))
}

/// Why a resource is part of a push about an encounter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Belongs {
    /// It names the encounter.
    Link,
    /// It names none; its order, its report or its panel leads to the encounter.
    Order,
    /// It names none and nothing leads to one; it is of the time of the encounter.
    Date,
}

impl Belongs {
    /// As lists show it.
    pub const fn word(self) -> &'static str {
        match self {
            Belongs::Link => "link",
            Belongs::Order => "order",
            Belongs::Date => "date",
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a subject says one thing, and what says nothing is refused.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_subject_names_one_record_and_its_kind() {
        let table = [
            ("e1", Some((Kind::Encounter, "Encounter/e1"))),
            ("Encounter/e1", Some((Kind::Encounter, "Encounter/e1"))),
            ("DiagnosticReport/r1", Some((Kind::Results, "DiagnosticReport/r1"))),
            ("Patient/p1", Some((Kind::History, "Patient/p1"))),
            ("Patient/p1?since=2024-01-31", Some((Kind::History, "Patient/p1?since=2024-01-31"))),
            ("Patient/p1?since=2024-02-30", None),
            ("Patient/p1?since=2024", None),
            ("Patient/p1?since=2024-01-31T00", None),
            ("Patient/p1?since=", None),
            ("Encounter/e1?since=2024-01-31", None),
            ("Observation/o1", None),
            ("Encounter/", None),
            ("two words", None),
            ("", None),
        ];
        for (text, expected) in table {
            let topic = Topic::parse(text);
            let said = topic.as_ref().ok().map(|topic| (topic.kind, topic.to_string()));
            let expected = expected.map(|(kind, text): (_, &str)| (kind, text.to_owned()));
            assert_eq!(said, expected, "{text}");
            if let Err(issue) = topic {
                assert_eq!(issue.code, Code::CommandInvalid, "{text}");
            }
        }
    }

    #[test]
    fn histories_of_all_dates_are_one_dossier() {
        let topic = Topic::parse("Patient/p1?since=2024-01-31").unwrap();
        assert_eq!(topic.reference(), "Patient/p1");
    }
}
