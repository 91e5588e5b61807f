//! Room: how many bytes of an EHR's answers are kept, for one search and for one chart.
//!
//! Comes in   the length of each answer, as it is read.
//! Goes out   go on; or an issue that says what is too large, and what a person can do.
//! Never      half a search or half a chart as if it were whole.
//!
//! Why bytes beside resources and pages: one resource can hold a scanned document, and a few thousand of
//! those fill the memory of a machine; the process then ends, or loses its lease, and begins again.

use crate::limits::{CHART_BYTES_MAX, SEARCH_BYTES_MAX};
use exchange::{Code, Issue};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is kept of one search or chart, and how much may be.
#[derive(Debug)]
pub struct Room {
    /// Bytes, by type: the one that is asked for when the room is full is seldom the one that filled it.
    taken: Mutex<BTreeMap<String, usize>>,
    max: usize,
    whole: &'static str,
}

impl Room {
    /// The room of one search: all its pages, and what is read because they gave it in part.
    pub fn of_search() -> Room {
        Room { taken: Mutex::default(), max: SEARCH_BYTES_MAX, whole: "one search" }
    }

    /// The room of one chart, all its searches and reads together.
    pub fn of_chart() -> Room {
        Room { taken: Mutex::default(), max: CHART_BYTES_MAX, whole: "one chart" }
    }

    /// How many bytes are taken.
    pub fn taken(&self) -> usize {
        self.by_type().values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// Whether more was to be taken than there is.
    pub fn is_full(&self) -> bool {
        self.taken() > self.max
    }

    /// Takes so many bytes more, of records of this type; what is taken stays so, also where it is too
    /// much, so that whoever shares the chart asks no more.
    ///
    /// Errors: `SourceUnreadable`, which names the type that took the most.
    pub fn take(&self, kind: &str, bytes: usize) -> Result<(), Issue> {
        let mut by_type = self.by_type();
        match by_type.get_mut(kind) {
            Some(taken) => *taken = taken.saturating_add(bytes),
            None => drop(by_type.insert(kind.to_owned(), bytes)),
        }
        let sum = by_type.values().fold(0_usize, |sum, bytes| sum.saturating_add(*bytes));
        if sum <= self.max {
            return Ok(());
        }
        let most = by_type.iter().max_by_key(|(_, bytes)| **bytes);
        let most = most.map_or(kind, |(name, _)| name.as_str());
        let (whole, megabytes) = (self.whole, self.max / (1024 * 1024));
        let advice = match most {
            "Binary" => {
                "these are what documents attach, so the agreement can leave out what attaches them \
                 (DocumentReference)"
                    .to_owned()
            }
            _ => format!(
                "large documents belong into Binary, or the agreement can leave {most} out"
            ),
        };
        let detail = format!(
            "the EHR holds more than this house reads for {whole} ({megabytes} MB in all), {most} above \
             all; {advice}"
        );
        Err(Issue::new(Code::SourceUnreadable, detail).at(most))
    }

    fn by_type(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: what is larger than its room is a person's work, and is not read on.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn room_is_taken_until_there_is_none() {
        for (room, max) in
            [(Room::of_search(), SEARCH_BYTES_MAX), (Room::of_chart(), CHART_BYTES_MAX)]
        {
            room.take("Condition", max - 1).unwrap();
            room.take("Condition", 1).unwrap();
            room.take("Goal", 0).unwrap();
            for again in [1, 0] {
                let issue = room.take("Goal", again).unwrap_err();
                assert_eq!(issue.code, Code::SourceUnreadable, "{again} bytes more");
            }
            assert_eq!(room.taken(), max + 1);
        }
    }

    #[test]
    fn the_type_that_took_the_most_is_named_whichever_is_asked_for() {
        let half = CHART_BYTES_MAX / 2;
        for (most, advice) in [
            ("DocumentReference", "the agreement can leave DocumentReference out"),
            ("Binary", "leave out what attaches them (DocumentReference)"),
        ] {
            let room = Room::of_chart();
            room.take("Condition", half - 100).unwrap();
            room.take(most, half + 50).unwrap();
            for asked in ["Goal", "Condition", most] {
                let issue = room.take(asked, 100).unwrap_err();
                assert_eq!(issue.expression.as_deref(), Some(most), "{asked}");
                assert!(issue.detail.contains(&format!("{most} above all")), "{issue}");
                assert!(issue.detail.contains(advice) && !issue.detail.contains("Goal"), "{issue}");
            }
        }
    }
}
