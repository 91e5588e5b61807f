//! Exports: what readers of the plan's own asked to be given (Bulk Data 1.0.0 to 3.0.0), listed by the
//! house's worker.
//!
//! Comes in   rows of work, written by the door; the records of the house.
//! Goes out   rows with their files, each with its line of the ledger; ended ones when their time is
//!            over.
//! Never      a copy of a record: a file is read from the store while it is fetched, as of the moment
//!            that the export was listed for. So nothing outlives a purge, and a kill loses nothing.
//!            Where records are chosen one by one, their names are kept until the export ends.

mod asked;
pub(crate) mod door;
mod listed;
mod manifest;
mod selected;
mod whom;

use crate::road::Road;
use crate::under_way::UnderWay;
use exchange::export::{Export, ExportState};
use exchange::{Chain, Code, Event, Issue};
use jiff::Timestamp;
use repository::store_issue;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{Commit, House, Lease, Purge, StoredWork, Unit, Work, WorkKind};
use tokio::sync::{Notify, Semaphore};
use wire::rest::Polls;

/// What this process knows of exports beside the store; and, for the whole house, which rounds of filing
/// are under way and that a worker has something to do.
#[derive(Debug, Default)]
pub struct Exports {
    /// Rounds of filing that are not in the store yet.
    pub(crate) under_way: UnderWay,
    /// Of the worker, for Bundles and bulk submissions too.
    wake: Notify,
    kicking: tokio::sync::Mutex<()>,
    /// Records that were looked at for the exports that are being listed.
    counted: Mutex<HashMap<String, u64>>,
    /// When those were last asked for.
    polls: Polls,
    /// Files that each reader may fetch at once.
    places: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Exports {
    /// Waits until there is.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    fn counted(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody waits for an export any more.
    fn forget(&self, export: &str) {
        self.counted().remove(export);
        self.polls.forget(export);
    }

    /// A worker need not wait for its next look.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    fn has_counted(&self, export: &str, records: u64) {
        self.counted().insert(export.to_owned(), records);
    }
}

/// Goes on with an export: lists it, or ends it once its time is over.
///
/// Errors: those of the store, and of listing it; its lease ends by itself.
pub(crate) async fn go_on(road: &Road, lease: &Lease) -> Result<(), Issue> {
    let mut export = read(&lease.work)?;
    let event = match export.state {
        ExportState::Asked => listed::list(road, lease, &export).await?,
        ExportState::Ready { .. } => {
            Event::ExportEnded { export: export.id.clone(), expired: true }
        }
        ExportState::Ended => return Ok(()),
    };
    let at = road.clock.now();
    if let Event::ExportEnded { .. } = event {
        forget(road, &export, at).await?;
    }
    export.apply(at, &event);
    let unit = Unit {
        at,
        fence: Some(lease.fence.clone()),
        lines: vec![(Chain::House, event)],
        works: vec![row(&export)?],
        ..Unit::default()
    };
    // What somebody else did meanwhile stands.
    if let Commit::Done { .. } = road.house.commit(unit).await.map_err(store_issue)? {
        (road.setup.passed)("export-listed");
        road.house.release(lease.fence.clone()).await.map_err(store_issue)?;
    }
    road.exports.forget(&export.id);
    Ok(())
}

/// Removes what is kept for an export alone: its wording and its lists. A kill behind it leaves an
/// export that ends the next time it is looked at.
async fn forget(road: &Road, export: &Export, at: Timestamp) -> Result<(), Issue> {
    if selected::is_one(&export.asked) {
        let purge = Purge { at, works: vec![export.id.clone()], ..Purge::default() };
        road.house.purge(purge).await.map_err(store_issue)?;
    }
    Ok(())
}

fn read(stored: &StoredWork) -> Result<Export, Issue> {
    serde_json::from_slice(&stored.work.body)
        .map_err(|_| Issue::new(Code::StoreUnavailable, "a row of an export cannot be read"))
}

fn row(export: &Export) -> Result<Work, Issue> {
    let body = serde_json::to_vec(export)
        .map_err(|_| Issue::new(Code::InternalError, "an export cannot be written"))?;
    Ok(Work {
        id: export.id.clone(),
        kind: WorkKind::Export,
        lane: format!("export|{}", export.id),
        partner: Some(crate::reader::Reader::name(&export.reader).into()),
        dossier: None,
        trigger: None,
        label: None,
        gathered: None,
        number: None,
        state: export.state_word().to_owned(),
        due: export.due(),
        body,
    })
}
