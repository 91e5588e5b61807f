//! Retention: contents of what ended long ago go; that it was there stays.
//!
//! Comes in   a house, a partner, how many days its contents are kept, the time.
//! Goes out   what rests and is older, page by page; how much went. The caller says what of it has
//!            ended, and scrubs once after all partners.
//! Never      purges without a line that says so in the same commit.

use crate::limits::PURGE_ROWS;
use crate::store_issue;
use exchange::desk::RetainedRow;
use exchange::{Chain, Event, Issue, PartnerId};
use jiff::{SignedDuration, Timestamp};
use store::{House, Purge, StoredWork};

/// A walk over what a partner's contents are kept for.
#[derive(Debug)]
pub struct Retention {
    now: Timestamp,
    before: Timestamp,
    after: Option<(Timestamp, String)>,
    dry_run: bool,
    row: RetainedRow,
}

/// A row of work whose contents are to go, with the line that its chain gets.
pub type Purging = (String, Chain, Event);

impl Retention {
    /// Begins with the oldest. On a `dry_run` things are counted and nothing goes.
    pub fn new(partner: &PartnerId, days: u32, now: Timestamp, dry_run: bool) -> Retention {
        let length = SignedDuration::from_hours(24 * i64::from(days));
        let before = now.checked_sub(length).unwrap_or(Timestamp::MIN);
        let row = RetainedRow { partner: partner.clone(), days, works: 0, versions: 0, blobs: 0 };
        Retention { now, before, after: None, dry_run, row }
    }

    /// The next rows that rest since then; empty after the last.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn next(&mut self, house: &impl House) -> Result<Vec<StoredWork>, Issue> {
        let (partner, after) = (&self.row.partner, self.after.clone());
        let page = house.at_rest(partner, self.before, after, PURGE_ROWS).await;
        let page = page.map_err(store_issue)?;
        self.after =
            page.last().map(|last| (last.changed, last.work.id.clone())).or(self.after.take());
        Ok(page)
    }

    /// Purges those of them that have ended, in one commit with their lines.
    ///
    /// # Errors
    /// Those of the store; what was purged before stays purged.
    pub async fn purge(&mut self, house: &impl House, ended: Vec<Purging>) -> Result<(), Issue> {
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

    /// What it came to.
    pub fn done(self) -> RetainedRow {
        self.row
    }
}
