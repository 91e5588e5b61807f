//! Taking back: a line of a file of deletions.
//!
//! Comes in   a transaction of deletions that was read.
//! Goes out   a unit: deletions and marks, the receipt's row, what its submitter is told.
//! Never      takes back a part of a line: its records stand or fall together.

use super::Stop;
use super::filing::{Job, counted_as};
use super::telling::Telling;
use crate::limits::STALE_ROUNDS_MAX;
use exchange::bulk::receipt::{Place, Worked};
use exchange::bulk::received::Step;
use exchange::bulk::{Counts, Whom};
use exchange::read::Incoming;
use exchange::{Code, Issue};
use repository::{Plan, Sent};
use store::Unit;

impl Job<'_> {
    /// Records of one line of a file of deletions: they stand or fall together.
    pub(super) async fn take_back(
        &mut self,
        incoming: &Incoming,
        place: Place,
        mark: Option<&wire::fetch::Place>,
    ) -> Result<(), Stop> {
        for _ in 0..STALE_ROUNDS_MAX {
            let begun = self.road.exports.under_way.begin(&*self.road.clock);
            let owner = &self.sender.public.name;
            let base = self.road.setup.base_url.trim_end_matches('/');
            let sent = Sent { owner, receipt: self.receipt.id.as_str(), base };
            let resolved = repository::resolve(&self.road.house, sent, incoming).await;
            let planned = resolved.and_then(|resolved| resolved.plan());
            let mut telling = Telling::new(self.dialect, &self.receipt.base_url);
            let read = incoming.count as u64;
            let mut counts = Counts { read, ..Counts::default() };
            let plan = match planned {
                Ok(mut plan) => {
                    let mut fates = super::FatesOf::receipts(self.road);
                    repository::put_beneath(&self.road.house, &mut plan, &mut fates).await?;
                    plan
                }
                Err(issues) if issues.iter().any(|issue| issue.code.row().status >= 500) => {
                    return Err(issues.first.into());
                }
                Err(issues) => {
                    let named = incoming.entries.iter();
                    let named =
                        named.filter_map(|one| Some((one.kind.clone(), one.id()?.to_owned())));
                    counts.refused = read;
                    let mut whom: Vec<Whom> = named.map(|name| telling.resource(&name)).collect();
                    if whom.is_empty() {
                        whom.extend(incoming.key.clone().map(Whom::Push));
                    }
                    telling.refuse_all(&whom, &issues.into_iter().collect::<Vec<_>>());
                    Plan::default()
                }
            };
            for outcome in &plan.outcomes {
                counts = counts.and(counted_as(outcome.change));
            }
            let mut unit = Unit { at: begun.at(), ..Unit::default() };
            let mut events = Vec::new();
            let account = self.account(&plan, &mut events, &mut unit);
            let (told, severities) = telling.end(&mut unit);
            events.push(
                Step::Worked(Box::new(Worked {
                    place,
                    counts,
                    account,
                    told,
                    severities,
                    staged: None,
                    waiting: 0,
                    open: None,
                    dropped: 0,
                }))
                .into(),
            );
            unit.expects.extend(plan.expects);
            unit.records.extend(plan.records);
            unit.raises.extend(plan.raises);
            if self.write(unit, events, mark).await? {
                (self.road.setup.passed)("bulk-batch");
                return Ok(());
            }
        }
        let detail = "the records kept changing while deletions were filed";
        Err(Issue::new(Code::HouseBusy, detail).into())
    }
}
