//! Under way: rounds of filing that have read the clock and are not in the store yet.
//!
//! Comes in   a clock, when a round begins.
//! Goes out   the time of the round; a moment, and the word that all rounds before it have ended.
//! Never      holds a round up.
//!
//! Why: a version is filed under the time at which its round began. Whoever reads the records of a
//! moment would miss those that come into the store after it and bear an earlier time, and would not be
//! given them by asking for what came since.

use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use wire::Clock;

/// Rounds under way in this process.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    begun: Mutex<(u64, BTreeSet<(Timestamp, u64)>)>,
    ended: Notify,
}

/// One round, until it is dropped.
#[derive(Debug)]
pub(crate) struct Round<'u> {
    of: &'u UnderWay,
    key: (Timestamp, u64),
}

impl UnderWay {
    /// A round begins.
    pub(crate) fn begin(&self, clock: &dyn Clock) -> Round<'_> {
        let mut begun = self.begun();
        begun.0 += 1;
        let key = (clock.now(), begun.0);
        begun.1.insert(key);
        Round { of: self, key }
    }

    /// A moment, in whole milliseconds, that no round begins at or before from now on.
    pub(crate) fn moment(&self, clock: &dyn Clock) -> Timestamp {
        let _begun = self.begun();
        let millisecond = clock.now().as_millisecond() - 1;
        Timestamp::from_millisecond(millisecond).unwrap_or(Timestamp::MIN)
    }

    /// Waits until no round is under way that began at or before a moment.
    pub(crate) async fn settled(&self, moment: Timestamp) {
        loop {
            let ended = self.ended.notified();
            if self.begun().1.first().is_none_or(|(at, _)| *at > moment) {
                return;
            }
            ended.await;
        }
    }

    fn begun(&self) -> MutexGuard<'_, (u64, BTreeSet<(Timestamp, u64)>)> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Round<'_> {
    /// When it began.
    pub(crate) fn at(&self) -> Timestamp {
        self.key.0
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.of.begun().1.remove(&self.key);
        self.of.ended.notify_waiters();
    }
}

/// The moment that is so far back.
pub(crate) fn back(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.checked_sub(by).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::pin::pin;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::task::{Context, Poll, Waker};

    struct Seconds(AtomicI64);

    impl Clock for Seconds {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
        }
    }

    #[test]
    fn a_moment_waits_for_what_began_before_it_and_for_nothing_else() {
        let (under_way, clock) = (UnderWay::default(), Seconds(AtomicI64::new(10)));
        let mut context = Context::from_waker(Waker::noop());
        let (first, second) = (under_way.begin(&clock), under_way.begin(&clock));
        clock.0.store(20, Ordering::Relaxed);
        let moment = under_way.moment(&clock);
        let same = under_way.begin(&clock);
        assert!(first.at() < moment && moment < same.at());
        let mut settled = pin!(under_way.settled(moment));
        assert!(settled.as_mut().poll(&mut context).is_pending());
        drop(second);
        assert!(settled.as_mut().poll(&mut context).is_pending(), "one of both is under way");
        drop(first);
        assert_eq!(settled.as_mut().poll(&mut context), Poll::Ready(()));
        drop(same);
    }
}
