//! Retention: contents of what ended long ago go; that it was there stays.
//!
//! Comes in   a house, its partners, how many days the contents of each are kept, the time.
//! Goes out   how much went of each. The caller says what of what rests has ended.
//! Never      purges without a line that says so in the same commit.

use crate::limits::PURGE_ROWS;
use crate::store_issue;
use exchange::desk::{Reply, RetainedRow};
use exchange::{Chain, Event, Issue, PartnerId};
use jiff::{SignedDuration, Timestamp};
use store::{House, Purge, StoredWork};

/// Contents that are kept for a time: each house's own.
pub trait Kept: Sync {
    /// The partners with whom a time is agreed, and the days.
    fn partners(&self) -> Vec<(PartnerId, u32)>;

    /// The line with which a row's contents go after so many days; `None` where it has not ended.
    ///
    /// Errors: those of the store, and of a row that cannot be read.
    fn purging(
        &self,
        stored: &StoredWork,
        days: u32,
    ) -> impl Future<Output = Result<Option<Purging>, Issue>> + Send;
}

/// Purges the contents of what has rested for longer than its partner's days, oldest first, and
/// scrubs once behind all partners. On a `dry_run` things are counted and nothing goes.
///
/// Errors: those of the store and of `kept`; what was purged before stays purged.
pub async fn retain(
    house: &impl House,
    kept: &impl Kept,
    now: Timestamp,
    dry_run: bool,
) -> Result<Reply, Issue> {
    let mut rows = Vec::new();
    for (partner, days) in kept.partners() {
        let mut walk = Retention::new(&partner, days, now, dry_run);
        loop {
            let page = walk.next(house).await?;
            if page.is_empty() {
                break;
            }
            let mut ended = Vec::new();
            for stored in &page {
                ended.extend(kept.purging(stored, days).await?);
            }
            walk.purge(house, ended).await?;
        }
        rows.push(walk.row);
    }
    if !dry_run {
        house.scrub().await.map_err(store_issue)?;
    }
    Ok(Reply::Retained { partners: rows, dry_run })
}

/// A walk over what a partner's contents are kept for.
struct Retention {
    now: Timestamp,
    before: Timestamp,
    after: Option<(Timestamp, String)>,
    dry_run: bool,
    row: RetainedRow,
}

/// A row of work whose contents are to go, with the line that its chain gets.
pub type Purging = (String, Chain, Event);

impl Retention {
    fn new(partner: &PartnerId, days: u32, now: Timestamp, dry_run: bool) -> Retention {
        let length = SignedDuration::from_hours(24 * i64::from(days));
        let before = now.checked_sub(length).unwrap_or(Timestamp::MIN);
        let row = RetainedRow { partner: partner.clone(), days, works: 0, versions: 0, blobs: 0 };
        Retention { now, before, after: None, dry_run, row }
    }

    /// The next rows that rest since then; empty after the last.
    async fn next(&mut self, house: &impl House) -> Result<Vec<StoredWork>, Issue> {
        let (partner, after) = (&self.row.partner, self.after.clone());
        let page = house.at_rest(partner, self.before, after, PURGE_ROWS).await;
        let page = page.map_err(store_issue)?;
        self.after =
            page.last().map(|last| (last.changed, last.work.id.clone())).or(self.after.take());
        Ok(page)
    }

    /// Purges those of them that have ended, in one commit with their lines.
    async fn purge(&mut self, house: &impl House, ended: Vec<Purging>) -> Result<(), Issue> {
        self.row.works += ended.len() as u64;
        if self.dry_run || ended.is_empty() {
            return Ok(());
        }
        let mut purge = Purge { at: self.now, ..Purge::default() };
        for (work, chain, event) in ended {
            purge.works.push(work);
            purge.lines.push((chain, event));
        }
        let purged = house.purge(purge).await.map_err(store_issue)?;
        self.row.versions += purged.versions;
        self.row.blobs += purged.blobs;
        Ok(())
    }
}
