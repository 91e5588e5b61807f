//! Suspended: receipts of a sender with whom a person has stopped all exchange.
//!
//! Comes in   a receipt at work; a sender with whom the exchange goes on.
//! Goes out   the receipt set aside before the next batch; or fetched again from where it stood.
//! Never      polls for a person's decision: a receipt that is set aside has no time.

use super::filing::Job;
use super::{Row, Stop, read, receipt_row};
use crate::road::Road;
use exchange::bulk::receipt::{ReceiptState, SUSPENDED};
use exchange::bulk::received::Step;
use exchange::{Code, Event, Issue, PartnerId};
use repository::{Suspensions, store_issue};
use store::{Commit, House, Unit, WorkKind, WorkQuery};

/// Receipts that are looked for together.
const TOGETHER: u32 = 100;

impl Job<'_> {
    /// Sets the receipt aside where its sender is suspended.
    pub(super) async fn unless_suspended(&mut self) -> Result<(), Stop> {
        let Some(issue) = self.suspended().await? else { return Ok(()) };
        let unit = self.unit();
        self.commit(unit, vec![Step::Suspended { issue }.into()]).await?;
        // Whoever resumed before this was written down found nothing to resume.
        if self.suspended().await?.is_none() {
            self.road.resume_received(&self.receipt.sender).await?;
        }
        Err(Stop::Rests)
    }

    async fn suspended(&self) -> Result<Option<Issue>, Issue> {
        match Suspensions::check(&self.road.house, &self.receipt.sender).await {
            Ok(()) => Ok(None),
            Err(issue) if issue.code == Code::PartnerSuspended => Ok(Some(issue)),
            Err(issue) => Err(issue),
        }
    }
}

impl Road {
    /// Fetches on what was set aside while this sender was suspended.
    ///
    /// Errors: those of the store, `HouseBusy`: what is not due yet is found by asking again.
    pub async fn resume_received(&self, sender: &PartnerId) -> Result<(), Issue> {
        loop {
            let query = WorkQuery {
                kind: Some(WorkKind::BulkReceived),
                states: vec![SUSPENDED.to_owned()],
                partner: Some(sender.clone()),
                limit: TOGETHER,
                ..WorkQuery::default()
            };
            let found = self.house.works(query).await.map_err(store_issue)?;
            let mut unit = Unit { at: self.clock.now(), ..Unit::default() };
            for stored in &found {
                let Row::Receipt(mut receipt) = read(stored)? else { continue };
                if receipt.state != ReceiptState::Suspended {
                    continue;
                }
                let resumed: Event = Step::Resumed {}.into();
                // Nothing is told by it, so no page is full.
                drop(receipt.apply(unit.at, &resumed));
                unit.expects.push(stored.unchanged());
                unit.lines.push((receipt.chain(), resumed));
                unit.works.push(receipt_row(&receipt)?);
            }
            if unit.works.is_empty() {
                self.exports.wake();
                return Ok(());
            }
            match self.house.commit(unit).await.map_err(store_issue)? {
                Commit::Done { .. } => {}
                _ => {
                    let detail = "what was set aside was changed meanwhile; resume again";
                    return Err(Issue::new(Code::HouseBusy, detail));
                }
            }
        }
    }
}
