//! Bulk: submissions of partners whose manifests and files this house fetches (Bulk Data 4.0.0-ballot,
//! Bulk Submit, the Data Consumer).
//!
//! Comes in   `$bulk-submit` and `$bulk-submit-status` at the door; manifests and NDJSON from partners'
//!            file servers.
//! Goes out   records filed batch by batch, each batch with its lines of the ledger and what its
//!            submitter is told; the status manifest and its files.
//! Never      files a resource whose Patient is no member, a line twice, or a batch without its
//!            checkpoint; fetches from a server that was not agreed on; holds more than some batches.
//!
//! A submission is a row of work, and each of its manifests, a *receipt*, another one in the same lane:
//! so one of them is worked on at a time, in their order, and each is its own checkpoint
//! (`exchange::bulk::received`, `exchange::bulk::receipt`). The way of a file:
//!
//! ```text
//! download, unpack, split ─▶ read, index ─▶ whose? ─▶ plan ─▶ commit with the checkpoint
//!        (wire::fetch)       (threads for work)   (one batch after the other)
//! ```
//!
//! Why lines wait (*staged*) and are not refused: files come in any order, and a Patient may come
//! behind what is about it, or in another manifest. What waits is stored, looked at again, and told of
//! at the end, once the submitter has said that nothing more will come.

mod again;
mod asked;
mod fetched;
mod filing;
mod finishing;
mod held;
mod lines;
mod listing;
mod look;
mod matching;
mod purposed;
mod receiving;
mod run;
pub(crate) mod shown;
pub(crate) mod status;
mod suspended;
mod taking_back;
mod telling;

pub(crate) use asked::submit;

use crate::limits::{BULK_COVERAGES_BYTES, LEASE, RENEWAL};
use crate::road::Road;
use exchange::bulk::receipt::{Receipt, ReceiptState};
use exchange::bulk::received::{Received, receipt_parts};
use exchange::{Code, Event, Issue, PartnerId};
use repository::{Fate, Fates, Purging, store_issue};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{House, Lease, StoredWork, Work, WorkKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::rest::Polls;

/// How this house fetches a sender's files.
#[derive(Clone)]
pub struct FileServer {
    /// Over the lines to this partner, for the origins agreed on.
    pub fetcher: wire::fetch::Fetcher,
    /// What this house signs in with at the partner's authorization server.
    pub credential: Option<wire::fetch::OwnCredential>,
}

/// What this process knows of bulk submissions beside the store.
#[derive(Debug)]
pub struct Bulk {
    /// Bytes of Coverages that are in memory while it is looked whose Patients they make members.
    coverages: usize,
    /// One submission of a partner is worked on at a time: so a large one keeps others of the same
    /// partner waiting, and nobody else's.
    seats: Mutex<HashMap<PartnerId, Arc<Semaphore>>>,
    /// When each status was last asked for.
    polls: Polls,
    /// One new submission at a time is counted against those that are open.
    opening: tokio::sync::Mutex<()>,
}

impl Default for Bulk {
    fn default() -> Bulk {
        Bulk::with_coverages(BULK_COVERAGES_BYTES)
    }
}

impl Bulk {
    /// One that has so many bytes of Coverages in memory, where that is not `BULK_COVERAGES_BYTES`.
    pub fn with_coverages(coverages: usize) -> Bulk {
        Bulk {
            coverages,
            seats: Mutex::default(),
            polls: Polls::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    fn seat(&self, partner: &PartnerId) -> Arc<Semaphore> {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(seats.entry(partner.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

/// Why a turn at a row ended before its work did.
#[derive(Debug)]
enum Stop {
    /// Somebody else has it now, or has changed it: what is written stands.
    Overtaken,
    /// It is put off; the row says until when.
    PutOff(Duration),
    /// It waits for a person; the row says for what.
    Rests,
    /// The house could not go on: its lease ends by itself, and it is taken up again.
    Issue(Issue),
}

impl From<Issue> for Stop {
    fn from(issue: Issue) -> Stop {
        Stop::Issue(issue)
    }
}

/// Works on a row of a bulk submission as far as it goes, and gives the lease back; how long nothing
/// of it is due, where it was put off.
///
/// Whoever drops this loses no more than a batch that is not written yet.
pub(crate) async fn work(road: &Road, lease: &Lease) -> Option<Duration> {
    let worked = tokio::select! {
        worked = in_turn(road, lease) => worked,
        stopped = renewing(road, lease) => Err(stopped),
    };
    let pause = match worked {
        Ok(()) | Err(Stop::Rests) => None,
        Err(Stop::PutOff(pause)) => Some(pause),
        Err(Stop::Overtaken) => return None,
        Err(Stop::Issue(issue)) => {
            tracing::error!(%issue, "bulk submission");
            return None;
        }
    };
    if let Err(error) = road.house.release(lease.fence.clone()).await {
        tracing::warn!(%error, "the lease of a bulk submission");
    }
    pause
}

async fn in_turn(road: &Road, lease: &Lease) -> Result<(), Stop> {
    let _seat = seat(road, lease).await;
    match read(&lease.work)? {
        Row::Received(received) => finishing::finish(road, lease, *received).await,
        Row::Receipt(receipt) => receiving::receive(road, lease, *receipt).await,
    }
}

async fn seat(road: &Road, lease: &Lease) -> Option<OwnedSemaphorePermit> {
    let partner = lease.work.work.partner.as_ref()?;
    road.bulk.seat(partner).acquire_owned().await.ok()
}

/// Renews a lease until it is lost.
async fn renewing(road: &Road, lease: &Lease) -> Stop {
    loop {
        tokio::time::sleep(RENEWAL).await;
        let clock = road.house.clock(road.clock.now());
        match road.house.renew(clock, &lease.fence, LEASE).await {
            Ok(true) => {}
            Ok(false) => return Stop::Overtaken,
            Err(error) => return Stop::Issue(store_issue(error)),
        }
    }
}

/// A row of a bulk submission.
enum Row {
    Received(Box<Received>),
    Receipt(Box<Receipt>),
}

fn read(stored: &StoredWork) -> Result<Row, Issue> {
    let unreadable =
        |_| Issue::new(Code::StoreUnavailable, "a row of a bulk submission cannot be read");
    // A receipt's id is its submission's, a full stop and its number.
    match stored.work.id.contains('.') {
        false => serde_json::from_slice(&stored.work.body).map(Row::Received).map_err(unreadable),
        true => serde_json::from_slice(&stored.work.body).map(Row::Receipt).map_err(unreadable),
    }
}

/// What becomes of receipts; of each it is looked up once.
pub(crate) struct FatesOf<'r> {
    road: &'r Road,
    known: HashMap<String, Fate>,
}

impl<'r> FatesOf<'r> {
    pub(crate) fn receipts(road: &'r Road) -> FatesOf<'r> {
        FatesOf { road, known: HashMap::new() }
    }
}

impl Fates for FatesOf<'_> {
    async fn fate(&mut self, receipt: &str) -> Result<Fate, Issue> {
        let Some((submission, number)) = receipt_parts(receipt) else { return Ok(Fate::Stays) };
        if let Some(fate) = self.known.get(receipt) {
            return Ok(*fate);
        }
        let stored = self.road.house.work(submission).await.map_err(store_issue)?;
        let fate = match stored.as_ref().map(read).transpose()? {
            Some(Row::Received(it)) if it.was_taken_out(number) => Fate::Gone,
            Some(Row::Received(it)) if it.may_be_taken_out(number) => Fate::MayGo,
            _ => Fate::Stays,
        };
        self.known.insert(receipt.to_owned(), fate);
        Ok(fate)
    }
}

/// The line with which what was kept of a row goes, once it has ended.
pub(crate) fn purging(stored: &StoredWork, days: u32) -> Result<Option<Purging>, Issue> {
    let (ended, chain, resources) = match read(stored)? {
        Row::Received(received) => (received.processed.is_some(), received.chain(), 0),
        Row::Receipt(receipt) => {
            let over = matches!(
                receipt.state,
                ReceiptState::Ended | ReceiptState::Failed | ReceiptState::Discarded
            );
            (over, receipt.chain(), receipt.counts.read)
        }
    };
    let purged = Event::Purged { days, resources, records: Vec::new() };
    Ok(ended.then(|| (stored.work.id.clone(), chain, purged)))
}

/// Why a submission takes nothing more.
fn closed(received: &Received) -> Issue {
    let detail = match received.expired {
        Some(_) => {
            "nothing more came of it for a week, so it was closed; what was filed of it stays"
        }
        None => "its submitter has said that nothing more will come",
    };
    Issue::new(Code::SubmissionClosed, detail)
}

fn unwritable(_: serde_json::Error) -> Issue {
    Issue::new(Code::InternalError, "a row of a bulk submission cannot be written")
}

fn received_row(received: &Received) -> Result<Work, Issue> {
    let body = serde_json::to_vec(received).map_err(unwritable)?;
    Ok(Work {
        lane: received.lane(),
        partner: Some(received.sender.clone()),
        label: Some(received.submission.clone()),
        due: received.due(),
        ..Work::of(WorkKind::BulkReceived, received.id.as_str(), received.state_word(), body)
    })
}

fn receipt_row(receipt: &Receipt) -> Result<Work, Issue> {
    let body = serde_json::to_vec(receipt).map_err(unwritable)?;
    Ok(Work {
        lane: receipt.lane(),
        partner: Some(receipt.sender.clone()),
        due: receipt.due(),
        ..Work::of(WorkKind::BulkReceived, receipt.id.as_str(), receipt.state_word(), body)
    })
}
