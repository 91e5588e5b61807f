//! Cost: processor time of the road, by stop.
//!
//! Comes in   the stops' futures, each time they are polled.
//! Goes out   processor time of each stop, as lines of the log when the worker ends.
//! Never      reads a clock unless the log asks for it (`HANDOVER_LOG=provider::cost=debug`); never
//!            counts a moment twice: what one stop calls of another is the other's.
//!
//! Why by polls: walks share threads, so that a thread's time says nothing of a stop. Between two
//! polls a walk costs nothing here; what it waits for is other threads' and other tasks' time.

use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

/// What time is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A walk between its stops: rows read, leases, rest.
    Walk,
    /// Whose push it is, and whether it still is.
    Scope,
    /// The payer's door.
    Route,
    /// The chart, as far as it is not read by the connections' own tasks.
    Collect,
    /// The agreement.
    Shape,
    /// Edits, comparison with earlier revisions, number, Bundle, its commit.
    Assemble,
    /// The payload read again and handed to the connection.
    Deliver,
    /// The payer's later word.
    Poll,
    /// The answer and what follows from it.
    Settle,
    /// Who asked is told.
    Acknowledge,
}

impl Part {
    /// All of them, in the order of the road.
    pub const ALL: [Part; 10] = [
        Part::Walk,
        Part::Scope,
        Part::Route,
        Part::Collect,
        Part::Shape,
        Part::Assemble,
        Part::Deliver,
        Part::Poll,
        Part::Settle,
        Part::Acknowledge,
    ];

    /// Its name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Walk => "walk",
            Part::Scope => "scope",
            Part::Route => "route",
            Part::Collect => "collect",
            Part::Shape => "shape",
            Part::Assemble => "assemble",
            Part::Deliver => "deliver",
            Part::Poll => "poll",
            Part::Settle => "settle",
            Part::Acknowledge => "acknowledge",
        }
    }
}

/// Nanoseconds of each part, in the order of `Part::ALL`: of this process, whatever it runs.
static SPENT: [AtomicU64; Part::ALL.len()] = [const { AtomicU64::new(0) }; Part::ALL.len()];

thread_local! {
    /// What this thread works for, and its clock when that began.
    static NOW: Cell<Option<(Part, u64)>> = const { Cell::new(None) };
}

/// Counts what the polls of a future take.
pub async fn spent<F: Future>(part: Part, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| within(part, || future.as_mut().poll(context))).await
}

/// Counts what a piece of work takes.
pub fn within<T>(part: Part, work: impl FnOnce() -> T) -> T {
    if !is_told() {
        return work();
    }
    let _counting = Counting::begin(part);
    work()
}

/// Puts what was counted so far into the log, a line for each part.
pub fn tell() {
    for (part, spent) in Part::ALL.iter().zip(&SPENT) {
        let cpu_us = spent.load(Ordering::Relaxed) / 1_000;
        tracing::debug!(stop = part.name(), cpu_us, "processor time");
    }
}

fn is_told() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

/// Processor time of this thread, in nanoseconds.
fn clock() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

/// Counts for one part until it is dropped, and for what came before from then on.
struct Counting(Option<Part>);

impl Counting {
    fn begin(part: Part) -> Counting {
        Counting(turn_to(Some(part)))
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        turn_to(self.0);
    }
}

/// Closes the account of the part that this thread worked for, which is returned, and opens another.
fn turn_to(part: Option<Part>) -> Option<Part> {
    let at = clock();
    let before = NOW.replace(part.map(|part| (part, at)));
    let (before, since) = before?;
    SPENT[before as usize].fetch_add(at.saturating_sub(since), Ordering::Relaxed);
    Some(before)
}

#[cfg(test)]
mod tests {
    //! Goal: time goes to the part that works, and to it alone.

    use super::*;

    #[test]
    fn parts_are_told_in_the_order_they_are_kept_in() {
        for (place, part) in Part::ALL.iter().enumerate() {
            assert_eq!(*part as usize, place, "{}", part.name());
        }
    }

    #[test]
    fn what_a_part_calls_of_another_is_the_others() {
        let outer = Counting::begin(Part::Deliver);
        assert_eq!(NOW.get().map(|(part, _)| part), Some(Part::Deliver));
        let inner = Counting::begin(Part::Settle);
        assert_eq!(NOW.get().map(|(part, _)| part), Some(Part::Settle));
        drop(inner);
        assert_eq!(NOW.get().map(|(part, _)| part), Some(Part::Deliver));
        drop(outer);
        assert_eq!(NOW.get(), None);
    }

    #[test]
    fn nothing_is_counted_when_the_log_does_not_ask() {
        assert_eq!(within(Part::Shape, || NOW.get()), None);
    }
}
