//! Finishing: the last word on a submission, and what its submitter takes back of it.
//!
//! Comes in   a submission and the lease on its row.
//! Goes out   receipts whose records are out of the current view; lines that waited, filed or told of;
//!            the word that all has been worked on.
//! Never      says so before: the status is 200 from then on.

use super::again::{again, waiting};
use super::filing::Job;
use super::receiving::{orphaned, sender};
use super::{Row, Stop, read, received_row};
use crate::arrival::{account_of, keep};
use crate::limits::{BULK_TAKEN_OUT_RECORDS, STALE_ROUNDS_MAX};
use crate::road::Road;
use exchange::bulk::receipt::ReceiptState;
use exchange::bulk::received::{Received, Step, receipt_id};
use exchange::ledger::{FiledVersion, filed_digest};
use exchange::{Code, Digest, Event, Issue};
use jiff::Timestamp;
use repository::store_issue;
use repository::take_out::{self as out, Part, TakenOut};
use store::{Commit, Expect, House, Lease, NewVersion, Unit};

/// Takes a submission as far as it goes.
pub(super) async fn finish(road: &Road, lease: &Lease, mut received: Received) -> Result<(), Stop> {
    take_all_out(road, lease, &mut received).await?;
    if received.expires().is_some_and(|at| at <= road.clock.now()) {
        written(road, lease, &mut received, Step::Expired {}).await?;
    }
    let closed = received.is_closed() && received.processed.is_none();
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
    (road.setup.passed)("bulk-told");
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
    let Some(sender) = sender(road, &receipt) else {
        return orphaned(road, lease, *receipt, Some(stored.revision)).await;
    };
    let beside = waiting(road, received, number).await?;
    let job = Job::new(road, sender, &lease.fence, *receipt, received);
    let mut job = job.at_revision(stored.revision);
    again(&mut job, last, &beside).await?;
    if !last {
        return Ok(());
    }
    if !job.receipt.staged.is_empty() {
        return Err(Issue::new(Code::InternalError, "lines wait that nobody will look at").into());
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

/// Takes what is discarded out of the current view: its Patients behind the records of all of it, as those
/// may be about them.
async fn take_all_out(road: &Road, lease: &Lease, received: &mut Received) -> Result<(), Stop> {
    let mut discarded = Vec::new();
    for receipt in received.to_take_out().collect::<Vec<_>>() {
        discarded.push((receipt, take_out(road, lease, received, (receipt, Part::Records)).await?));
    }
    if discarded.is_empty() {
        return Ok(());
    }
    for receipt in received.to_look_at_again().collect::<Vec<_>>() {
        take_out(road, lease, received, (receipt, Part::Patients)).await?;
    }
    for (receipt, records) in discarded {
        let patients = take_out(road, lease, received, (receipt, Part::Patients)).await?;
        let taken_back = records.taken_back + patients.taken_back;
        let (restored, kept) = (records.restored, patients.kept);
        let out = Step::ReceiptTakenOut { receipt, taken_back, restored, kept };
        written(road, lease, received, out).await?;
        (road.setup.passed)("bulk-taken-out");
    }
    Ok(())
}

/// Of what was taken out: how many records are gone by it, how many stand again as they did before, and how
/// many Patients stay.
#[derive(Default)]
struct Sums {
    taken_back: u64,
    restored: u64,
    kept: u64,
}

/// Takes a part of what was filed of a receipt out of the current view, some records at a time. Cut off, it
/// begins anew; what is out stays out.
async fn take_out(
    road: &Road,
    lease: &Lease,
    received: &mut Received,
    (receipt, part): (u32, Part),
) -> Result<Sums, Stop> {
    let id = receipt_id(&received.id, receipt);
    let (mut sums, mut after, mut rounds) = (Sums::default(), 0, 0);
    loop {
        let begun = road.exports.under_way.begin(&*road.clock);
        let (house, limit) = (&road.house, BULK_TAKEN_OUT_RECORDS);
        let taken = out::take_out(house, id.as_str(), part, after, limit).await?;
        let (next, kept) = (taken.after, taken.kept);
        if !taken.withdrawals.is_empty() {
            let (gone_now, restored_now) = (taken.taken_back, taken.restored);
            if !page_out(road, lease, received, receipt, (begun.at(), taken)).await? {
                rounds += 1;
                if rounds > STALE_ROUNDS_MAX {
                    let detail = "the records kept changing while a manifest was taken out";
                    return Err(Issue::new(Code::HouseBusy, detail).into());
                }
                continue;
            }
            sums.taken_back += gone_now;
            sums.restored += restored_now;
        }
        sums.kept += kept;
        rounds = 0;
        match next {
            Some(next) => after = next,
            None => return Ok(sums),
        }
    }
}

/// Writes a page of what is taken out; `false` where a record has changed meanwhile.
async fn page_out(
    road: &Road,
    lease: &Lease,
    received: &mut Received,
    receipt: u32,
    (at, taken): (Timestamp, TakenOut),
) -> Result<bool, Stop> {
    let TakenOut { records, withdrawals, expects, taken_back, restored, .. } = taken;
    let mut unit = Unit { at, fence: Some(lease.fence.clone()), ..Unit::default() };
    let mut next = received.clone();
    if !records.is_empty() {
        let newest = |kind: &str, id: &str| {
            expects.iter().find_map(|expect| match expect {
                Expect::Version { kind: its, id: own, version } if its == kind && own == id => {
                    *version
                }
                _ => None,
            })
        };
        let filed = |one: &NewVersion| FiledVersion {
            kind: one.kind.clone(),
            id: one.id.clone(),
            version: newest(&one.kind, &one.id).unwrap_or(0) + 1,
            digest: Digest::of(one.content.as_deref().unwrap_or_default()),
            owner: one.owner.clone(),
        };
        let versions: Vec<FiledVersion> = records.iter().map(filed).collect();
        let deleted = records.iter().filter(|one| one.content.is_none()).count() as u64;
        let updated = records.len() as u64 - deleted;
        let filed = Event::Filed {
            records: filed_digest(&versions),
            created: 0,
            updated,
            unchanged: 0,
            deleted,
        };
        let account = keep(&mut unit, account_of(&versions));
        unit.lines.push((received.chain(), filed));
        let out = Event::from(Step::TakingOut { receipt, account, taken_back, restored });
        next.apply(at, &out);
        unit.lines.push((received.chain(), out));
    }
    unit.works.push(received_row(&next)?);
    (unit.records, unit.withdrawals, unit.expects) = (records, withdrawals, expects);
    match road.house.commit(unit).await.map_err(store_issue)? {
        Commit::Done { .. } => {
            *received = next;
            Ok(true)
        }
        Commit::Stale => Ok(false),
        _ => Err(Stop::Overtaken),
    }
}
