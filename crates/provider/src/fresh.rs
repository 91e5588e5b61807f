//! Fresh: what waited because restrictions were too old goes on when they are not.
//!
//! Comes in   held pushes; the table of restrictions, looked at now and then.
//! Goes out   releases, each a line that says why.
//! Never      releases what waits for another reason, or while the table is still too old.

use crate::limits::FEED_LOOK;
use crate::release::waits_only_for;
use crate::road::Road;
use exchange::{Code, Issue, Push, Who};
use jiff::Timestamp;
use tokio::time::Instant;

/// Looks whether the feed has come.
pub(crate) struct FeedLook {
    next: Instant,
    /// What the table was last found fresh as of.
    seen: Option<Timestamp>,
    /// What was judged by the old table may come to its rest a moment after the new one was seen.
    once_more: bool,
}

impl Default for FeedLook {
    fn default() -> FeedLook {
        FeedLook { next: Instant::now(), seen: None, once_more: false }
    }
}

impl FeedLook {
    /// Releases what waited for a fresh table, once it is there.
    pub(crate) async fn look(&mut self, road: &Road) {
        if road.setup.feed.is_none() || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + FEED_LOOK;
        let Ok(restrictions) = road.restrictions(None) else { return };
        let as_of = road.dated(&restrictions);
        if as_of == self.seen && !self.once_more {
            return;
        }
        self.once_more = as_of != self.seen;
        let why = "the table of restrictions is fresh again".to_owned();
        let who = Who { name: "handover".into(), role: "system".into(), why };
        match road.release_stale(&who).await {
            Ok(_) => self.seen = as_of,
            Err(issue) => tracing::warn!(%issue, "what waits for restrictions was not released"),
        }
    }
}

impl Road {
    /// Lets go on what waits only because the restrictions were too old. Answers how many.
    pub(crate) async fn release_stale(&self, who: &Who) -> Result<u64, Issue> {
        let stale = |push: &Push| waits_only_for(push, Code::RestrictionsStale);
        self.release_where(None, stale, who).await
    }
}
