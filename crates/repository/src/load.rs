//! Load: many resources filed quickly, in units of a bounded size.
//!
//! Comes in   resources with ids; the time, as an argument.
//! Goes out   how many were filed and how many stood there already.
//! Never      writes a version of what has not changed: loading the same chart again is nothing.

use crate::desk::store_issue;
use crate::limits::{LOAD_BYTES_MAX, LOAD_RECORDS_MAX, LOAD_ROUNDS_MAX};
use crate::plan::{Change, Filing, Incoming, Standing, plan_transaction};
use exchange::{Code, Issue, PartnerId};
use fhir::Resource;
use jiff::Timestamp;
use std::collections::HashSet;
use store::{Commit, House, Unit};

/// Files resources as one owner's, without ledger lines.
#[derive(Debug)]
pub struct Loader<'h, H> {
    /// Where to.
    pub house: &'h H,
    /// Whose records they become.
    pub owner: PartnerId,
    /// What is written as their receipt.
    pub receipt: String,
}

/// What a load did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loaded {
    /// New records.
    pub created: u64,
    /// New versions of records.
    pub updated: u64,
    /// Records that stood there with the same bytes.
    pub unchanged: u64,
}

impl std::ops::AddAssign for Loaded {
    fn add_assign(&mut self, more: Loaded) {
        self.created += more.created;
        self.updated += more.updated;
        self.unchanged += more.unchanged;
    }
}

#[derive(Default)]
struct Batch {
    items: Vec<Incoming>,
    names: HashSet<(String, String)>,
    bytes: usize,
}

impl Batch {
    fn takes(&self, item: &Incoming) -> bool {
        let size = self.bytes + item.content.as_ref().map_or(0, |content| content.len());
        let named = self.names.contains(&(item.kind.clone(), item.id.clone()));
        self.items.len() < LOAD_RECORDS_MAX
            && (size <= LOAD_BYTES_MAX || self.items.is_empty())
            && !named
    }

    fn add(&mut self, item: Incoming) {
        self.bytes += item.content.as_ref().map_or(0, |content| content.len());
        self.names.insert((item.kind.clone(), item.id.clone()));
        self.items.push(item);
    }
}

impl<H: House> Loader<'_, H> {
    /// Files resources in their order, at the time given. A record that comes twice gets two
    /// versions. What stands before an error is filed.
    ///
    /// Errors: `EntryInvalid` for a resource without an id, `RecordOwnedByAnother`, and those of
    /// the store.
    pub async fn load(
        &self,
        at: Timestamp,
        resources: impl IntoIterator<Item = Resource>,
    ) -> Result<Loaded, Issue> {
        let (mut loaded, mut batch) = (Loaded::default(), Batch::default());
        for (place, resource) in resources.into_iter().enumerate() {
            let item = Incoming::put(place, &resource).ok_or_else(|| {
                let detail = format!("resource {place} of the load has no id");
                Issue::new(Code::EntryInvalid, detail)
            })?;
            if !batch.takes(&item) {
                loaded += self.file(at, std::mem::take(&mut batch)).await?;
            }
            batch.add(item);
        }
        loaded += self.file(at, batch).await?;
        Ok(loaded)
    }

    async fn file(&self, at: Timestamp, batch: Batch) -> Result<Loaded, Issue> {
        let (owner, receipt) = (self.owner.clone(), self.receipt.clone());
        let filing = Filing { owner, receipt, lane: None, number: None, as_of: None };
        let names: Vec<_> =
            batch.items.iter().map(|item| (item.kind.clone(), item.id.clone())).collect();
        for _ in 0..LOAD_ROUNDS_MAX {
            let heads = self.house.heads(&names).await.map_err(store_issue)?;
            let standing = Standing { heads: &heads, marks: &[] };
            let plan = plan_transaction(batch.items.clone(), &filing, standing);
            let plan = plan.map_err(|issues| issues.first)?;
            let counts = [Change::Created, Change::Updated, Change::Unchanged];
            let [created, updated, unchanged] = counts.map(|change| plan.count(change));
            let part = Loaded { created, updated, unchanged };
            let (expects, records) = (plan.expects, plan.records);
            if !records.is_empty() {
                let unit = Unit { at, expects, records, ..Unit::default() };
                match self.house.commit(unit).await.map_err(store_issue)? {
                    Commit::Done { .. } => {}
                    Commit::Stale => continue,
                    _ => {
                        let detail = "the store refused a unit that carries neither key nor lease";
                        return Err(Issue::new(Code::InternalError, detail));
                    }
                }
            }
            return Ok(part);
        }
        Err(Issue::new(Code::HouseBusy, "others write the same records all the time"))
    }
}
