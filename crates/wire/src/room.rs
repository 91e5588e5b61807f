//! Room: the memory that bodies of requests and their answers may fill, and how fast they must go.
//!
//! Comes in   a body, piece by piece, and who sends it; an answer, and who is to take it.
//! Goes out   their bytes. What a body fills is given back when the request has been worked on, what
//!            an answer fills when its last byte has been handed over, or its caller is gone.
//! Never      keeps room for a body that has not arrived; never lets one caller fill the room of all.
//!
//! Why room is kept for an answer before it is made: once made, it is in memory, and to let it wait
//! for room would bound nothing.

use crate::limits::{
    ANSWERS_BYTES_MAX, ANSWERS_SHARE, BODIES_BYTES_MAX, BODIES_SHARE, BODIES_WORK_MAX,
    BODY_PACE_GRACE, BODY_PACE_MIN, BODY_READ_MAX, BODY_ROOM_WAIT,
};
use crate::refusal::Answer;
use bytes::Bytes;
use exchange::{Code, Issue};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many bytes are in memory at once, and how long a request waits for its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes of all callers.
    pub bytes: usize,
    /// Bytes of one caller.
    pub share: usize,
    /// The wait before a request is told to come back.
    pub wait: Duration,
}

/// The room of a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rooms {
    /// For bodies, those being read and those being worked on.
    pub bodies: Room,
    /// For answers, those being made and those not taken yet. One that is larger has it alone.
    pub answers: Room,
}

impl Default for Rooms {
    fn default() -> Rooms {
        let of = |bytes, parts| Room { bytes, share: bytes / parts, wait: BODY_ROOM_WAIT };
        Rooms {
            bodies: of(BODIES_BYTES_MAX, BODIES_SHARE),
            answers: of(ANSWERS_BYTES_MAX, ANSWERS_SHARE),
        }
    }
}

/// What is free of it.
pub(crate) struct Free {
    bodies: Shares,
    answers: Shares,
    /// Permits for bytes of bodies that are being worked on.
    work: Arc<Semaphore>,
}

/// What is free of one room: one permit per byte.
struct Shares {
    room: Room,
    all: Arc<Semaphore>,
    /// The same by partner: as many as have signed in, so no more than are known.
    own: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// What one body or answer fills, until it is dropped: of its partner's share, and of all.
pub(crate) struct Filled {
    room: Room,
    from: [Arc<Semaphore>; 2],
    held: [Option<OwnedSemaphorePermit>; 2],
}

/// Whose room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Partner = 0,
    All = 1,
}

impl Free {
    pub(crate) fn new(rooms: Rooms) -> Free {
        let (bodies, answers) = (Shares::new(rooms.bodies), Shares::new(rooms.answers));
        Free { bodies, answers, work: Arc::new(Semaphore::new(BODIES_WORK_MAX)) }
    }

    /// The place of a body of this partner's: nothing yet.
    pub(crate) fn body(&self, partner: &str) -> Filled {
        self.bodies.place(partner)
    }

    /// The place of an answer to this partner: nothing yet.
    pub(crate) fn answer(&self, partner: &str) -> ForAnswer {
        ForAnswer(self.answers.place(partner))
    }

    /// A turn to work on a body of so many bytes, in the order they came; until it is dropped. One
    /// that is larger than all has its turn alone.
    pub(crate) async fn turn(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(BODIES_WORK_MAX)).unwrap_or(u32::MAX);
        Arc::clone(&self.work).acquire_many_owned(bytes).await.ok()
    }
}

impl Shares {
    fn new(room: Room) -> Shares {
        Shares { room, all: Arc::new(Semaphore::new(room.bytes)), own: Mutex::default() }
    }

    fn place(&self, partner: &str) -> Filled {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let own = own
            .entry(partner.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(self.room.share)));
        let from = [Arc::clone(own), Arc::clone(&self.all)];
        Filled { room: self.room, from, held: [None, None] }
    }
}

impl Filled {
    /// So many bytes more. Errors: `HouseBusy` when there is no room for them for a while.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Issue> {
        let full = || Issue::new(Code::HouseBusy, "too many large requests are in work");
        self.take(Of::Partner, bytes).await.ok_or_else(full)?;
        self.take(Of::All, bytes).await.ok_or_else(full)
    }

    /// `None` when there was no room for a while.
    async fn take(&mut self, of: Of, bytes: usize) -> Option<()> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let more = Arc::clone(self.from(of)).acquire_many_owned(bytes);
        let more = tokio::time::timeout(self.room.wait, more).await.ok()?.ok()?;
        self.add(of, more);
        Some(())
    }

    fn add(&mut self, of: Of, more: OwnedSemaphorePermit) {
        match &mut self.held[of as usize] {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
    }

    fn from(&self, of: Of) -> &Arc<Semaphore> {
        &self.from[of as usize]
    }

    fn held(&self, of: Of) -> usize {
        self.held[of as usize].as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Bytes of an answer as they are counted: one that is larger than the room has it alone.
    fn counted(&self, of: Of, bytes: usize) -> usize {
        bytes.min(match of {
            Of::Partner => self.room.share,
            Of::All => self.room.bytes,
        })
    }
}

/// Room for one answer: kept before the answer is made, then made to its length.
pub(crate) struct ForAnswer(Filled);

/// The bytes of an answer, and the room they fill.
struct Held {
    bytes: Bytes,
    _room: Filled,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl ForAnswer {
    /// Keeps so many bytes of the partner's own share.
    ///
    /// Errors: `HouseBusy` when it has left too many answers untaken for a while.
    pub(crate) async fn keep_own(&mut self, bytes: usize) -> Result<(), Issue> {
        self.keep(Of::Partner, bytes).await
    }

    /// Keeps so many bytes of what all have. Errors: as `keep_own`.
    pub(crate) async fn keep_of_all(&mut self, bytes: usize) -> Result<(), Issue> {
        self.keep(Of::All, bytes).await
    }

    async fn keep(&mut self, of: Of, bytes: usize) -> Result<(), Issue> {
        let bytes = self.0.counted(of, bytes);
        let full = || Issue::new(Code::HouseBusy, "too many answers have not been taken yet");
        self.0.take(of, bytes).await.ok_or_else(full)
    }

    /// An answer that can be made again: where it is longer than what was kept, it waits for as much,
    /// behind those that wait already.
    ///
    /// Errors: `HouseBusy`, and the answer is dropped.
    pub(crate) async fn hold(mut self, answer: Answer) -> Result<Answer, Issue> {
        let bytes = answer.body.len();
        let longer = |of| self.0.held(of) < self.0.counted(of, bytes);
        if longer(Of::Partner) || longer(Of::All) {
            // Given back first: those who keep a little and wait for more would wait for each other.
            self.0.held = [None, None];
            self.keep(Of::Partner, bytes).await?;
            self.keep(Of::All, bytes).await?;
        }
        Ok(self.held(answer))
    }

    /// An answer that says what was done, and is never refused: where it is longer than what was
    /// kept it takes what is free, and those behind it wait.
    pub(crate) fn hold_at_once(mut self, answer: Answer) -> Answer {
        for of in [Of::Partner, Of::All] {
            let wanted = self.0.counted(of, answer.body.len()).saturating_sub(self.0.held(of));
            let from = self.0.from(of);
            let wanted = u32::try_from(wanted.min(from.available_permits())).unwrap_or(u32::MAX);
            if let Ok(more) = Arc::clone(from).try_acquire_many_owned(wanted) {
                self.0.add(of, more);
            }
        }
        self.held(answer)
    }

    /// The answer with its room, which it gives back with its last byte.
    fn held(mut self, mut answer: Answer) -> Answer {
        for of in [Of::Partner, Of::All] {
            let over = self.0.held(of).saturating_sub(answer.body.len());
            if let Some(held) = &mut self.0.held[of as usize] {
                drop(held.split(over));
            }
        }
        if !answer.body.is_empty() {
            let bytes = std::mem::take(&mut answer.body);
            answer.body = Bytes::from_owner(Held { bytes, _room: self.0 });
        }
        answer
    }
}

/// How long a body may take, or an answer to be taken, of which so many bytes have gone.
pub(crate) fn time_for(bytes: usize) -> Duration {
    let at_pace = Duration::from_secs(bytes as u64 / BODY_PACE_MIN);
    at_pace.max(BODY_PACE_GRACE).min(BODY_READ_MAX)
}

/// How much longer a body may take that has brought so many bytes in this time; `None`: it is too
/// slow.
pub(crate) fn time_left(bytes: usize, spent: Duration) -> Option<Duration> {
    time_for(bytes).checked_sub(spent).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NONE: Room = Room { bytes: 0, share: 0, wait: Duration::ZERO };

    fn free(bodies: Room, answers: Room) -> Free {
        Free::new(Rooms { bodies, answers })
    }

    #[tokio::test]
    async fn one_caller_leaves_room_to_the_others() {
        let free = free(Room { bytes: 100, share: 40, wait: Duration::ZERO }, NONE);
        let mut slow = free.body("a");
        slow.grow(30).await.unwrap();
        assert!(free.body("a").grow(11).await.is_err(), "beyond its share");
        free.body("b").grow(40).await.unwrap();
        slow.grow(10).await.unwrap();
        let (mut b, mut c) = (free.body("b"), free.body("c"));
        b.grow(40).await.unwrap();
        assert!(c.grow(21).await.is_err(), "beyond the room of all");
        drop((slow, c));
        free.body("c").grow(40).await.unwrap();
    }

    #[tokio::test]
    async fn only_so_much_is_worked_on_at_once() {
        use futures_util::FutureExt;
        let free = Free::new(Rooms::default());
        let half = free.turn(BODIES_WORK_MAX / 2).await.unwrap();
        let mut huge = Box::pin(free.turn(usize::MAX));
        assert!(huge.as_mut().now_or_never().is_none(), "it waits until nothing else is in work");
        let mut small = Box::pin(free.turn(1));
        assert!(small.as_mut().now_or_never().is_none(), "nobody overtakes");
        drop(half);
        drop(huge.await.unwrap());
        assert!(small.await.is_some());
    }

    fn answer(bytes: usize) -> Answer {
        Answer::new(200, vec![b'x'; bytes])
    }

    /// An answer of so many bytes, as one is given that is read.
    async fn given(free: &Free, partner: &str, kept: usize, bytes: usize) -> Result<Answer, Issue> {
        let mut room = free.answer(partner);
        room.keep_own(kept).await?;
        room.keep_of_all(kept).await?;
        room.hold(answer(bytes)).await
    }

    #[tokio::test]
    async fn answers_that_are_not_taken_leave_room_to_the_others() {
        let free = free(NONE, Room { bytes: 100, share: 40, wait: Duration::ZERO });
        let first = given(&free, "a", 10, 35).await.unwrap();
        assert_eq!(given(&free, "a", 10, 1).await.unwrap_err().code, Code::HouseBusy, "its share");
        assert_eq!(given(&free, "a", 5, 6).await.unwrap_err().code, Code::HouseBusy, "and no more");
        let second = given(&free, "a", 5, 5).await.unwrap();
        let other = given(&free, "b", 10, 40).await.unwrap();
        assert!(given(&free, "c", 10, 21).await.is_err(), "beyond the room of all");
        // Any piece of it that somebody holds keeps all of it in memory.
        let piece = first.body.slice(30..);
        drop((first, second));
        assert!(given(&free, "a", 10, 10).await.is_err());
        drop((piece, other));
        let alone = given(&free, "a", 10, 60).await.unwrap();
        assert_eq!(alone.body.len(), 60, "larger than the share, it has the share alone");
        assert!(given(&free, "a", 1, 1).await.is_err());
        given(&free, "b", 10, 40).await.unwrap();
        drop(alone);
        drop(given(&free, "a", 10, 1_000).await.unwrap());
        assert_eq!(free.answers.all.available_permits(), 100, "all is given back");
    }

    #[tokio::test]
    async fn what_is_kept_for_an_answer_and_not_needed_is_given_back() {
        let free = free(NONE, Room { bytes: 100, share: 40, wait: Duration::ZERO });
        let small = given(&free, "a", 40, 1).await.unwrap();
        assert_eq!(free.answers.all.available_permits(), 99);
        drop((given(&free, "a", 39, 39).await.unwrap(), small));
        drop(given(&free, "a", 40, 0).await.unwrap());
        assert_eq!(free.answers.all.available_permits(), 100);
    }

    #[tokio::test]
    async fn an_answer_about_what_was_done_is_given_whatever_it_fills() {
        let free = free(NONE, Room { bytes: 100, share: 40, wait: Duration::ZERO });
        let mut room = free.answer("a");
        room.keep_own(10).await.unwrap();
        room.keep_of_all(10).await.unwrap();
        let before = given(&free, "a", 10, 10).await.unwrap();
        let told = room.hold_at_once(answer(50));
        assert_eq!(free.answers.all.available_permits(), 40, "all that was free of its share");
        assert!(given(&free, "a", 1, 1).await.is_err(), "those behind it wait");
        drop((told, before));
        assert_eq!(free.answers.all.available_permits(), 100);
    }

    #[tokio::test]
    async fn answers_that_need_more_than_was_kept_do_not_wait_for_each_other() {
        let wait = Duration::from_secs(60);
        let free = free(NONE, Room { bytes: 100, share: 40, wait });
        // Both have been made: together they kept all there is, and either needs it.
        let (mut one, mut two) = (free.answer("a"), free.answer("a"));
        for room in [&mut one, &mut two] {
            room.keep_own(20).await.unwrap();
            room.keep_of_all(20).await.unwrap();
        }
        let (one, two) = (one.hold(answer(40)), two.hold(answer(40)));
        let both = async { tokio::join!(async { drop(one.await) }, async { drop(two.await) }) };
        both.await;
        assert_eq!(free.answers.all.available_permits(), 100);
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
