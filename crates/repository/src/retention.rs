//! Retention: contents of what ended long ago go; that it was there stays.
//!
//! Comes in   a house, a partner, how many days its contents are kept, the time.
//! Goes out   how much went. The caller scrubs once after all partners.
//! Never      purges what has not ended, nor without a line that says so in the same commit.

use crate::limits::PURGE_ROWS;
use crate::store_issue;
use exchange::desk::RetainedRow;
use exchange::{Chain, Event, Issue, PartnerId};
use jiff::{SignedDuration, Timestamp};
use store::{House, Purge, StoredWork};

/// How long the contents of a partner are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The partner.
    pub partner: PartnerId,
    /// Days after the end.
    pub days: u32,
}

/// The line that a purge writes into the chain of what ended; `None` where it has not ended.
pub type Line = Option<(Chain, Event)>;

/// Purges, or counts, what ended longer ago than its term. `line` says what the purge of a row is
/// recorded as.
///
/// # Errors
/// Those of the store and of `line`; what was purged until then is purged.
pub async fn retain(
    house: &impl House,
    term: &Term,
    now: Timestamp,
    dry_run: bool,
    line: impl AsyncFn(&StoredWork) -> Result<Line, Issue>,
) -> Result<RetainedRow, Issue> {
    let Term { partner, days } = term.clone();
    let mut row = RetainedRow { partner, days, works: 0, versions: 0, blobs: 0 };
    let Ok(before) = now.checked_sub(SignedDuration::from_hours(24 * i64::from(days))) else {
        return Ok(row);
    };
    let mut after = None;
    loop {
        let page = house.at_rest(&row.partner, before, after.take(), PURGE_ROWS).await;
        let page = page.map_err(store_issue)?;
        let Some(last) = page.last() else { return Ok(row) };
        after = Some((last.changed, last.work.id.clone()));
        let mut purge = Purge { at: now, ..Purge::default() };
        for stored in &page {
            if let Some(line) = line(stored).await? {
                purge.works.push(stored.work.id.clone());
                purge.lines.push(line);
            }
        }
        row.works += purge.works.len() as u64;
        if !dry_run && !purge.works.is_empty() {
            let purged = house.purge(purge).await.map_err(store_issue)?;
            row.versions += purged.versions;
            row.blobs += purged.blobs;
        }
    }
}
