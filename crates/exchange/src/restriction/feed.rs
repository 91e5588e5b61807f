//! Feed: how old a table of restrictions may be.
//!
//! Comes in   until when the rows are known, the agreed age, the time.
//! Goes out   nothing, or the issue that holds pushes.
//! Never      takes a table for fresh that does not say how old it is, where an age was agreed.
//!
//! Restrictions mostly come from another system. When that falls silent, a table reads as well as
//! ever and lacks the wishes of last week; so a house may agree on an age beyond which nothing is
//! sent. Without such an age a table never grows old: people keep it by hand.

use crate::issue::{Code, Issue};
use crate::limits::FEED_AHEAD_MAX;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer};

/// Whether a table is as fresh as agreed. Errors: [`Code::RestrictionsStale`], without place.
pub fn check(as_of: Option<Timestamp>, max_age_hours: u32, now: Timestamp) -> Result<(), Issue> {
    let stale = |detail: String| Err(Issue::new(Code::RestrictionsStale, detail));
    let Some(as_of) = as_of else {
        return stale(format!(
            "the table of restrictions does not say as of when it is, and may be {max_age_hours} \
             hours old"
        ));
    };
    let age = now.duration_since(as_of);
    if age < -FEED_AHEAD_MAX {
        return stale("the table of restrictions is as of a time that is yet to come".to_owned());
    }
    if age > SignedDuration::from_hours(max_age_hours.into()) {
        return stale(format!(
            "the table of restrictions is {} hours old; agreed are {max_age_hours}",
            age.as_hours()
        ));
    }
    Ok(())
}

/// A moment, written as TOML's own date-time or as text; both need an offset.
pub(super) fn moment<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Moment(toml::value::Datetime),
        Text(String),
    }
    let text = match Option::<Written>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(Written::Moment(moment)) => moment.to_string(),
        Some(Written::Text(text)) => text,
    };
    let wrong = "a moment is written 2026-11-22T06:00:00Z, with its offset";
    text.parse().map(Some).map_err(|_| serde::de::Error::custom(wrong))
}
