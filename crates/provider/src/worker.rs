//! Worker: takes up work whose time has come.
//!
//! Comes in   a road, a wake-up call, a sign to stop.
//! Goes out   walks taken, a bounded number at once.
//! Never      loses a walk to an error: its lease runs out, and it is taken up again.

use crate::limits::{IDLE_MAX, LEASE, RENEWAL, WALK_AGE_MAX, WALKS_MAX};
use crate::road::Road;
use crate::turn::Fault;
use std::sync::Arc;
use std::time::Duration;
use store::{House, Lease};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Walks until `stop` says so; walks under way come to their next rest first.
pub async fn run(road: Arc<Road>, wake: Arc<Notify>, stop: impl Future<Output = ()>) {
    let mut walks = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let room = WALKS_MAX - walks.len();
        let claimed = if room == 0 { Vec::new() } else { claim(&road, room).await };
        let idle = claimed.is_empty();
        for lease in claimed {
            let road = Arc::clone(&road);
            walks.spawn(async move { take(&road, lease).await });
        }
        if !idle {
            continue;
        }
        let pause = pause(&road).await;
        tokio::select! {
            () = &mut stop => break,
            _ = walks.join_next(), if !walks.is_empty() => {}
            () = wake.notified(), if room > 0 => {}
            () = tokio::time::sleep(pause), if room > 0 => {}
        }
    }
    while walks.join_next().await.is_some() {}
}

async fn claim(road: &Road, room: usize) -> Vec<Lease> {
    let now = road.house.clock(road.clock.now());
    match road.house.claim(now, LEASE, u32::try_from(room).unwrap_or(1)).await {
        Ok(claimed) => claimed,
        Err(error) => {
            tracing::warn!(%error, "no work can be claimed");
            Vec::new()
        }
    }
}

/// Walks, and goes on with the lease for as long as that takes: up to `WALK_AGE_MAX`.
async fn walk(road: &Road, lease: &Lease) -> Result<(), Fault> {
    let walk = road.walk(lease);
    let over = tokio::time::sleep(WALK_AGE_MAX);
    tokio::pin!(walk, over);
    loop {
        tokio::select! {
            walked = &mut walk => return walked,
            () = &mut over => return Err(Fault::TooLong),
            () = tokio::time::sleep(RENEWAL) => {
                let now = road.house.clock(road.clock.now());
                if !road.house.renew(now, &lease.fence, LEASE).await? {
                    return Err(Fault::Overtaken);
                }
            }
        }
    }
}

async fn take(road: &Road, lease: Lease) {
    match walk(road, &lease).await {
        Ok(()) | Err(Fault::Stale) => {}
        Err(Fault::TooLong) => {
            if let Err(fault) = road.give_up(&lease).await {
                tracing::warn!(walk = %lease.work.work.id, %fault, "a walk was not put off");
            }
        }
        Err(fault) => {
            // The row is as it was at the last commit; whoever claims it when the lease has run
            // out goes on from there. Giving it back now would try it again without a pause.
            tracing::warn!(walk = %lease.work.work.id, %fault, "a walk was not finished");
            return;
        }
    }
    if let Err(error) = road.house.release(lease.fence).await {
        tracing::warn!(%error, "a lease was not given back; it ends by itself");
    }
}

/// How long nothing will be due.
async fn pause(road: &Road) -> Duration {
    let now = road.clock.now();
    match road.house.next_due().await {
        Ok(Some(at)) if at <= now => Duration::from_millis(20),
        Ok(Some(at)) => now.duration_until(at).unsigned_abs().min(IDLE_MAX),
        _ => IDLE_MAX,
    }
}
