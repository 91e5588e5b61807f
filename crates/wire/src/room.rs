//! Room: the memory that bodies of requests may fill, and how fast they must come.
//!
//! Comes in   a body, piece by piece, and who sends it.
//! Goes out   its bytes; what it fills is given back when the request has been worked on.
//! Never      keeps room for what has not arrived; never lets one caller fill the room of all.

use crate::limits::{
    BODIES_BYTES_MAX, BODIES_SHARE, BODIES_WORK_MAX, BODY_PACE_GRACE, BODY_PACE_MIN, BODY_READ_MAX,
    BODY_ROOM_WAIT,
};
use exchange::{Code, Issue};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for bodies: how many bytes of them are in memory at once, and how long a request waits
/// for its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes of all callers.
    pub bytes: usize,
    /// Bytes of one caller.
    pub share: usize,
    /// The wait before a request is told to come back.
    pub wait: Duration,
}

impl Default for Room {
    fn default() -> Room {
        let share = BODIES_BYTES_MAX / BODIES_SHARE;
        Room { bytes: BODIES_BYTES_MAX, share, wait: BODY_ROOM_WAIT }
    }
}

/// What is free of it.
pub(crate) struct Free {
    room: Room,
    /// One permit per byte.
    all: Arc<Semaphore>,
    /// The same for those that are being worked on.
    work: Arc<Semaphore>,
    /// The same by partner: as many as have signed in, so no more than are known.
    shares: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// What one body fills, until it is dropped.
pub(crate) struct Filled {
    wait: Duration,
    from: [Arc<Semaphore>; 2],
    held: Vec<OwnedSemaphorePermit>,
}

impl Free {
    pub(crate) fn new(room: Room) -> Free {
        let all = Arc::new(Semaphore::new(room.bytes));
        Free {
            room,
            all,
            work: Arc::new(Semaphore::new(BODIES_WORK_MAX)),
            shares: Mutex::default(),
        }
    }

    /// The place of a body of this partner's: nothing yet.
    pub(crate) fn place(&self, partner: &str) -> Filled {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let own = shares
            .entry(partner.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(self.room.share)));
        let from = [Arc::clone(own), Arc::clone(&self.all)];
        Filled { wait: self.room.wait, from, held: Vec::new() }
    }
}

impl Free {
    /// A turn to work on a body of so many bytes, in the order they came; until it is dropped. One
    /// that is larger than all has its turn alone.
    pub(crate) async fn turn(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(BODIES_WORK_MAX)).unwrap_or(u32::MAX);
        Arc::clone(&self.work).acquire_many_owned(bytes).await.ok()
    }
}

impl Filled {
    /// So many bytes more. Errors: `HouseBusy` when there is no room for them for a while.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Issue> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        for (at, from) in self.from.iter().enumerate() {
            let more = Arc::clone(from).acquire_many_owned(bytes);
            match (tokio::time::timeout(self.wait, more).await, self.held.get_mut(at)) {
                (Ok(Ok(more)), Some(held)) => held.merge(more),
                (Ok(Ok(more)), None) => self.held.push(more),
                _ => {
                    let detail = "too many large requests are in work";
                    return Err(Issue::new(Code::HouseBusy, detail));
                }
            }
        }
        Ok(())
    }
}

/// How much longer a body may take that has brought so many bytes in this time; `None`: it is too
/// slow.
pub(crate) fn time_left(bytes: usize, spent: Duration) -> Option<Duration> {
    let at_pace = Duration::from_secs(bytes as u64 / BODY_PACE_MIN);
    let most = at_pace.max(BODY_PACE_GRACE).min(BODY_READ_MAX);
    most.checked_sub(spent).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn one_caller_leaves_room_to_the_others() {
        let free = Free::new(Room { bytes: 100, share: 40, wait: Duration::ZERO });
        let mut slow = free.place("a");
        slow.grow(30).await.unwrap();
        assert!(free.place("a").grow(11).await.is_err(), "beyond its share");
        free.place("b").grow(40).await.unwrap();
        slow.grow(10).await.unwrap();
        let (mut b, mut c) = (free.place("b"), free.place("c"));
        b.grow(40).await.unwrap();
        assert!(c.grow(21).await.is_err(), "beyond the room of all");
        drop((slow, c));
        free.place("c").grow(40).await.unwrap();
    }

    #[tokio::test]
    async fn only_so_much_is_worked_on_at_once() {
        use futures_util::FutureExt;
        let free = Free::new(Room::default());
        let half = free.turn(BODIES_WORK_MAX / 2).await.unwrap();
        let mut huge = Box::pin(free.turn(usize::MAX));
        assert!(huge.as_mut().now_or_never().is_none(), "it waits until nothing else is in work");
        let mut small = Box::pin(free.turn(1));
        assert!(small.as_mut().now_or_never().is_none(), "nobody overtakes");
        drop(half);
        drop(huge.await.unwrap());
        assert!(small.await.is_some());
    }

    #[test]
    fn a_body_must_come_at_a_pace() {
        let (kb, mb) = (1 << 10, 1 << 20);
        let table = [
            ("it has just begun", 0, 0, Some(10)),
            ("nothing yet", 0, 9, Some(1)),
            ("nothing came", 0, 10, None),
            ("a little came", 40 * kb, 10, None),
            ("enough came", 200 * kb, 10, Some(40)),
            ("it became slow", 200 * kb, 50, None),
            ("it is long", 40 * mb, 100, Some(20)),
            ("it is too long", 40 * mb, 120, None),
        ];
        for (case, bytes, spent, left) in table {
            let found = time_left(bytes, Duration::from_secs(spent));
            assert_eq!(found, left.map(Duration::from_secs), "{case}");
        }
    }
}
