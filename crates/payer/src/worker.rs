//! Worker: what a clock has to do in a receiving house: exports to list, Bundles whose senders do not
//! wait, bulk submissions to fetch.
//!
//! Comes in   rows of work that are due.
//! Goes out   each taken as far as it goes; what is told to stop gives its lease back.
//! Never      lets one partner's submission keep another's, or a reader's export, waiting.

use crate::limits::{EXPORT_LOOK, EXPORT_SEATS, LEASE};
use crate::road::Road;
use crate::{bulk, exports};
use std::sync::Arc;
use std::time::Duration;
use store::{House, Lease, WorkKind};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Works until told to stop. Some exports and Bundles are taken at a time, so that a Bundle does not wait
/// for all of a large export; how many bulk submissions, their partners' seats say.
pub async fn run(road: Arc<Road>, stop: impl Future<Output = ()>) {
    let (over, end) = watch::channel(false);
    let seats = (0..EXPORT_SEATS).map(|_| seat(&road, end.clone(), ended(end.clone())));
    let working = futures_util::future::join_all(seats);
    let stopping = async {
        stop.await;
        over.send_replace(true);
    };
    tokio::join!(working, stopping);
}

/// One seat.
async fn seat(road: &Arc<Road>, end: watch::Receiver<bool>, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let mut submissions = JoinSet::new();
    loop {
        while submissions.try_join_next().is_some() {}
        match claim(road).await {
            Some(lease) if lease.work.work.kind == WorkKind::BulkReceived => {
                submissions.spawn(submission(Arc::clone(road), lease, end.clone()));
                continue;
            }
            Some(lease) => match take(road, lease, &mut stop).await {
                Took::Stopped => break,
                Took::AsFarAsItGoes(_) => continue,
            },
            None => {}
        }
        tokio::select! {
            () = &mut stop => break,
            () = road.exports.woken() => {}
            () = tokio::time::sleep(EXPORT_LOOK) => {}
        }
    }
    while submissions.join_next().await.is_some() {}
}

/// Works on a row of a bulk submission; wakes the worker when more of it is due.
async fn submission(road: Arc<Road>, lease: Lease, end: watch::Receiver<bool>) {
    let Took::AsFarAsItGoes(pause) = take(&road, lease, ended(end.clone())).await else { return };
    tokio::select! {
        () = ended(end) => {}
        () = tokio::time::sleep(pause) => road.exports.wake(),
    }
}

async fn ended(mut end: watch::Receiver<bool>) {
    drop(end.wait_for(|end| *end).await);
}

/// What became of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Something was taken up, and there may be more.
    Taken,
    /// Nothing is due.
    Nothing,
    /// It was told to stop, and has given back what it had taken up.
    Stopped,
}

/// Takes up one row that is due now, as far as it goes.
pub async fn take_up(road: &Road, stop: impl Future<Output = ()>) -> Turn {
    let Some(lease) = claim(road).await else { return Turn::Nothing };
    match take(road, lease, stop).await {
        Took::AsFarAsItGoes(_) => Turn::Taken,
        Took::Stopped => Turn::Stopped,
    }
}

async fn claim(road: &Road) -> Option<Lease> {
    let clock = road.house.clock(road.clock.now());
    let claimed = road.house.claim(clock, LEASE, 1).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "no work can be claimed");
        Vec::new()
    });
    claimed.into_iter().next()
}

/// What became of a row that was claimed.
enum Took {
    /// No more of it is due for so long.
    AsFarAsItGoes(Duration),
    /// It was told to stop, and has given its lease back.
    Stopped,
}

async fn take(road: &Road, lease: Lease, stop: impl Future<Output = ()>) -> Took {
    tokio::select! {
        biased;
        () = stop => {
            if let Err(error) = road.house.release(lease.fence.clone()).await {
                tracing::warn!(%error, "the lease of a receiving house's work");
            }
            Took::Stopped
        }
        pause = work(road, &lease) => Took::AsFarAsItGoes(pause),
    }
}

/// The one place that parts by kind.
async fn work(road: &Road, lease: &Lease) -> Duration {
    let worked = match lease.work.work.kind {
        WorkKind::BulkReceived => return bulk::work(road, lease).await.unwrap_or_default(),
        WorkKind::Submission => road.finish(lease).await.map_err(|issues| issues.first),
        _ => exports::go_on(road, lease).await,
    };
    if let Err(issue) = worked {
        // Its lease ends by itself, and it is taken up again.
        tracing::error!(%issue, "work of a receiving house");
    }
    Duration::ZERO
}
