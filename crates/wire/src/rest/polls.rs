//! Polls: how who waits for an answer is told (Bulk Data 1.0.0 to 3.0.0, status request).
//!
//! Comes in   when a place was asked for; how often that may be.
//! Goes out   progress; a refusal for whoever asks more often than told; a status told apart.
//! Never      counts a poll that it refused: who comes a little early each time still learns what
//!            became of it. Never remembers more than `POLLED_MAX` places.

use crate::limits::POLLED_MAX;
use crate::refusal::Answer;
use bytes::Bytes;
use exchange::{Code, Issue};
use http::HeaderName;
use http::header::RETRY_AFTER;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far the work has come, in at most 100 characters (Bulk Data, in-progress status).
const X_PROGRESS: HeaderName = HeaderName::from_static("x-progress");

/// The status of the work, where that of the poll is its own (Bulk Data 3.0.0, status request).
const X_EXPORT_STATUS: HeaderName = HeaderName::from_static("x-export-status");

/// When places were last asked for, in this process.
#[derive(Debug, Default)]
pub struct Polls {
    last: Mutex<HashMap<String, Timestamp>>,
}

impl Polls {
    /// Whether `place` was asked for less than `within` ago; if not, it has been asked for now. Where
    /// `POLLED_MAX` places were, others are not counted.
    pub fn too_soon(&self, place: &str, now: Timestamp, within: SignedDuration) -> bool {
        let mut last = self.last();
        let recent = |at: &Timestamp| at.duration_until(now) < within;
        if last.get(place).is_some_and(recent) {
            return true;
        }
        if last.len() >= POLLED_MAX {
            last.retain(|_, at| recent(at));
        }
        if last.len() < POLLED_MAX {
            last.insert(place.to_owned(), now);
        }
        false
    }

    /// Nobody will ask for `place` any more, or as often as they like.
    pub fn forget(&self, place: &str) {
        self.last().remove(place);
    }

    fn last(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    /// 429 for a poll that came too soon, with the seconds after which to come again.
    pub fn polled_too_soon(seconds: u32) -> Answer {
        let detail = "this status was asked for a moment ago";
        let refused = Answer::from(Issue::new(Code::RateExceeded, detail));
        refused.with(RETRY_AFTER, seconds.to_string())
    }

    /// 202 for work that is not done: how far it has come, and the seconds after which to come again.
    pub fn in_progress(words: impl Into<String>, seconds: u32) -> Answer {
        let taken = Answer::new(202, Bytes::new()).with(X_PROGRESS, words);
        taken.with(RETRY_AFTER, seconds.to_string())
    }

    /// The same answer; where the status is wanted `apart`, 200 with it in a header.
    pub fn with_status_apart(self, apart: bool) -> Answer {
        match apart {
            true => {
                let of_the_work = self.status.to_string();
                Answer { status: 200, ..self }.with(X_EXPORT_STATUS, of_the_work)
            }
            false => self,
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: who polls too often is refused now and then, and never for good; memory stays bounded.

    use super::*;

    const SECOND: SignedDuration = SignedDuration::from_secs(1);

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_millis(millisecond)
    }

    #[test]
    fn a_poll_that_was_refused_is_not_counted() {
        let polls = Polls::default();
        let table = [(0, false), (900, true), (1_800, false), (2_700, true), (2_800, false)];
        for (millisecond, refused) in table {
            assert_eq!(polls.too_soon("one", at(millisecond), SECOND), refused, "{millisecond}");
        }
        assert!(!polls.too_soon("another", at(2_800), SECOND), "each place for itself");
        polls.forget("one");
        assert!(!polls.too_soon("one", at(2_801), SECOND), "forgotten");
    }

    #[test]
    fn no_more_places_are_remembered_than_may_be() {
        let polls = Polls::default();
        for place in 0..=POLLED_MAX {
            assert!(!polls.too_soon(&place.to_string(), at(0), SECOND));
        }
        assert_eq!(polls.last().len(), POLLED_MAX);
        assert!(polls.too_soon("0", at(1), SECOND), "those that are remembered still count");
        assert!(!polls.too_soon("late", at(1_000), SECOND));
        assert_eq!(polls.last().len(), 1, "the old ones are forgotten");
    }
}
