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
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is kept of one search or chart, and how much may be.
#[derive(Debug)]
pub struct Room {
    taken: AtomicUsize,
    max: usize,
    whole: &'static str,
}

impl Room {
    /// The room of one search: all its pages, and what is read because they gave it in part.
    pub fn of_search() -> Room {
        Room { taken: AtomicUsize::new(0), max: SEARCH_BYTES_MAX, whole: "one search" }
    }

    /// The room of one chart, all its searches and reads together.
    pub fn of_chart() -> Room {
        Room { taken: AtomicUsize::new(0), max: CHART_BYTES_MAX, whole: "one chart" }
    }

    /// How many bytes are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes so many bytes more, of records of this type; what is taken stays so, also where it is too
    /// much, so that whoever shares the chart asks no more.
    ///
    /// Errors: `SourceUnreadable`.
    pub fn take(&self, kind: &str, bytes: usize) -> Result<(), Issue> {
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.max {
            return Ok(());
        }
        let (whole, megabytes) = (self.whole, self.max / (1024 * 1024));
        let detail = format!(
            "the EHR holds more of {kind} than this house reads for {whole} ({megabytes} MB in all); large \
             documents belong into Binary, or the agreement can leave {kind} out"
        );
        Err(Issue::new(Code::SourceUnreadable, detail).at(kind))
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
            for again in [1, 0] {
                let issue = room.take("DocumentReference", again).unwrap_err();
                assert_eq!(issue.code, Code::SourceUnreadable, "{again} bytes more");
                assert_eq!(issue.expression.as_deref(), Some("DocumentReference"));
            }
        }
    }
}
