//! Worker: what a clock has to do in a receiving house: exports to list, Bundles whose senders do not
//! wait, bulk submissions to fetch.
//!
//! Comes in   rows of work that are due.
//! Goes out   each taken as far as it goes; what is told to stop gives its lease back.
//! Never      lets one partner's submission keep another's, or a reader's export, waiting.

use crate::limits::{BULK_LEASE, EXPORT_LOOK, EXPORT_SEATS};
use crate::road::Road;
use crate::{bulk, exports};
use exports::Turn;
use std::sync::Arc;
use store::{House, Lease, WorkKind};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Works until told to stop. Some exports and Bundles are taken at a time, so that a Bundle does not wait
/// for all of a large export; how many bulk submissions, their partners' seats say.
pub async fn run(road: Arc<Road>, stop: impl Future<Output = ()>) {
    let (ended, end) = watch::channel(false);
    let stopped = |mut end: watch::Receiver<bool>| async move {
        drop(end.wait_for(|end| *end).await);
    };
    let seats = (0..EXPORT_SEATS).map(|_| seat(&road, end.clone(), stopped(end.clone())));
    let working = futures_util::future::join_all(seats);
    let stopping = async {
        stop.await;
        ended.send_replace(true);
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
            Some(lease) => match exports::take_leased(road, lease, &mut stop).await {
                Turn::Stopped => break,
                Turn::Taken | Turn::Nothing => continue,
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

/// Takes up one row that is due now, as far as it goes.
pub async fn take_up(road: &Road) -> Turn {
    match claim(road).await {
        Some(lease) if lease.work.work.kind == WorkKind::BulkReceived => {
            bulk::work(road, &lease).await;
            Turn::Taken
        }
        Some(lease) => exports::take_leased(road, lease, std::future::pending()).await,
        None => Turn::Nothing,
    }
}

async fn claim(road: &Road) -> Option<Lease> {
    let clock = road.house.clock(road.clock.now());
    let claimed = road.house.claim(clock, BULK_LEASE, 1).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "no work can be claimed");
        Vec::new()
    });
    claimed.into_iter().next()
}

/// Works on a row of a bulk submission; wakes the worker when more of it is due.
async fn submission(road: Arc<Road>, lease: Lease, mut end: watch::Receiver<bool>) {
    let worked = tokio::select! {
        biased;
        _ = end.wait_for(|end| *end) => None,
        pause = bulk::work(&road, &lease) => Some(pause),
    };
    let Some(pause) = worked else {
        if let Err(error) = road.house.release(lease.fence).await {
            tracing::warn!(%error, "the lease of a bulk submission");
        }
        return;
    };
    let pause = pause.unwrap_or_default();
    tokio::select! {
        _ = end.wait_for(|end| *end) => {}
        () = tokio::time::sleep(pause) => road.exports.wake(),
    }
}
