//! Worker: takes up work whose time has come.
//!
//! Comes in   a road, a wake-up call, a sign to stop.
//! Goes out   walks taken, a bounded number at once for each payer.
//! Never      loses a walk to an error: its lease runs out, and it is taken up again. Never lets the
//!            walks of one payer take the places of another's.

use crate::cost;
use crate::fresh::FeedLook;
use crate::limits::{
    CLAIM_MAX, FULL_LOOK, IDLE_MAX, LEASE, LOOK_SHARE, RENEWAL, SENDING_AGE_MAX, WALK_AGE_MAX,
};
use crate::road::Road;
use crate::rooms::Seats;
use crate::suspended::ResumedLook;
use crate::turn::Fault;
use exchange::PartnerId;
use std::sync::Arc;
use std::time::Duration;
use store::{House, Lease, WorkKind};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::Clock;

/// Walks until `stop` says so; walks under way come to their next rest first.
pub async fn run(road: Arc<Road>, wake: Arc<Notify>, stop: impl Future<Output = ()>) {
    let mut hands = Hands::default();
    let mut feed = FeedLook::default();
    let mut resumed = ResumedLook::default();
    tokio::pin!(stop);
    loop {
        feed.look(&road).await;
        resumed.look(&road).await;
        let full = hands.seats.full();
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = tokio::time::sleep_until(hands.next_look), if !full.is_empty() => {}
            () = std::future::ready(()), if full.is_empty() => {}
        }
        if hands.take_up(&road, &full).await {
            continue;
        }
        let pause = pause(&road, !full.is_empty()).await;
        tokio::select! {
            () = &mut stop => break,
            _ = hands.walks.join_next(), if !hands.walks.is_empty() => {}
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    while hands.walks.join_next().await.is_some() {}
    cost::tell();
}

/// Walks under way.
struct Hands {
    walks: JoinSet<()>,
    seats: Seats,
    /// Until then nothing is claimed past the walks of those who have no seat left.
    next_look: Instant,
}

impl Default for Hands {
    fn default() -> Hands {
        Hands { walks: JoinSet::new(), seats: Seats::default(), next_look: Instant::now() }
    }
}

impl Hands {
    /// Takes up what is due and has a seat; whether anything was.
    async fn take_up(&mut self, road: &Arc<Road>, full: &[Option<PartnerId>]) -> bool {
        while self.walks.try_join_next().is_some() {}
        let begun = Instant::now();
        let claimed = claim(road, full).await;
        // Whatever waits for a seat is looked through each time: that must stay a small share.
        self.next_look = Instant::now() + (begun.elapsed() * LOOK_SHARE).min(FULL_LOOK);
        let any = !claimed.is_empty();
        for lease in claimed {
            let (road, seat) = (Arc::clone(road), self.seats.take(&lease.work.work.partner));
            self.walks.spawn(async move {
                take(&road, lease).await;
                drop(seat);
            });
        }
        any
    }
}

async fn claim(road: &Road, full: &[Option<PartnerId>]) -> Vec<Lease> {
    road.clock.set(&road.house).await;
    let now = road.house.clock(road.clock.now());
    match road.house.claim_beside(now, LEASE, CLAIM_MAX, full).await {
        Ok(claimed) => claimed,
        Err(error) => {
            tracing::warn!(%error, "no work can be claimed");
            Vec::new()
        }
    }
}

/// Walks, and goes on with the lease for as long as that takes: up to `WALK_AGE_MAX`, or for a bulk
/// submission `SENDING_AGE_MAX`.
async fn walk(road: &Road, lease: &Lease) -> Result<(), Fault> {
    let renewing = async {
        loop {
            tokio::time::sleep(RENEWAL).await;
            let now = road.house.clock(road.clock.now());
            match road.house.renew(now, &lease.fence, LEASE).await {
                Ok(true) => {}
                Ok(false) => return Fault::Overtaken,
                Err(error) => return error.into(),
            }
        }
    };
    let over = async {
        let age = match lease.work.work.kind {
            WorkKind::BulkSent => SENDING_AGE_MAX,
            _ => WALK_AGE_MAX,
        };
        tokio::time::sleep(age).await;
        Fault::TooLong
    };
    beside(road.walk(lease), renewing, over).await
}

/// Walks to the end, unless one of the others ends first. All go on at once: a walk may hold what a
/// renewal waits for (a connection to the database).
async fn beside(
    walk: impl Future<Output = Result<(), Fault>>,
    renewing: impl Future<Output = Fault>,
    over: impl Future<Output = Fault>,
) -> Result<(), Fault> {
    tokio::select! {
        walked = walk => walked,
        fault = renewing => Err(fault),
        fault = over => Err(fault),
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

/// How long nothing will be due; where some have no seat left, their walks are what is due.
async fn pause(road: &Road, full: bool) -> Duration {
    let now = road.clock.now();
    match road.house.next_due().await {
        Ok(Some(at)) if at <= now && full => FULL_LOOK,
        Ok(Some(at)) if at <= now => Duration::from_millis(20),
        Ok(Some(at)) => now.duration_until(at).unsigned_abs().min(IDLE_MAX),
        _ => IDLE_MAX,
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a walk and the renewal of its lease never wait for each other.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_walk_goes_on_while_its_renewal_waits() {
        let (hold, held) = tokio::sync::oneshot::channel::<()>();
        let (begun, renewal_has_begun) = tokio::sync::oneshot::channel::<()>();
        let walk = async {
            renewal_has_begun.await.unwrap();
            hold.send(()).unwrap();
            std::future::pending::<()>().await;
            Ok(())
        };
        let renewing = async {
            begun.send(()).unwrap();
            held.await.unwrap();
            Fault::Overtaken
        };
        let walked = beside(walk, renewing, std::future::pending()).await;
        assert!(matches!(walked, Err(Fault::Overtaken)), "the walk let go of what both need");
    }
}
