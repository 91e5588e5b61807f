//! Writer: the one thread that writes, and how many callers share one commit.
//!
//! Comes in   jobs, through a bounded queue.
//! Goes out   each job's answer, after the commit that carries it has reached the disk.
//! Never      lets one job's failure touch another's rows, and never ends before its queue does.
//!
//! Why a thread: SQLite takes one writer at a time anyway; waiting in a queue is fair, waiting in
//! SQLite's busy handler is not. While one group's commit waits for the disk the next gathers.
//!
//! Why a group is tried without savepoints first: within one, SQLite copies every page before its
//! first change. Hardly any job takes back what it wrote, so a group runs as if none would. When
//! one does, the whole is taken back and every job runs anew, each in a savepoint: that is why a
//! job can run twice.

use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

use super::log::Log;
use super::row::run;
use crate::house::Error;
use crate::limits::{GROUP_UNITS_MAX, QUEUE_BYTES_MAX, QUEUE_UNITS_MAX};

/// What a job made of its turn.
pub(super) enum Outcome<T> {
    /// Its rows stay.
    Keep(T),
    /// Its rows go, the answer stands.
    Undo(T),
}

/// A job as the thread sees it: it runs, may lose what it did, and answers at last.
trait Job: Send {
    /// Runs, for the first time or anew; whether its rows stay.
    fn run(&mut self, db: &Connection) -> bool;
    fn alone(&self) -> bool;
    fn lose(&mut self, error: Error);
    fn answer(self: Box<Self>);
}

struct Task<F, T> {
    run: Option<F>,
    answer: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
    bytes: usize,
    alone: bool,
    waiting: Arc<AtomicUsize>,
}

impl<F, T> Job for Task<F, T>
where
    F: FnMut(&Connection) -> Result<Outcome<T>, Error> + Send,
    T: Send,
{
    fn run(&mut self, db: &Connection) -> bool {
        let Some(run) = &mut self.run else { return false };
        let (keep, answer) = match catch_unwind(AssertUnwindSafe(|| run(db))) {
            Ok(Ok(Outcome::Keep(answer))) => (true, Ok(answer)),
            Ok(Ok(Outcome::Undo(answer))) => (false, Ok(answer)),
            Ok(Err(error)) => (false, Err(error)),
            Err(_) => (false, Err(unavailable("a unit ended in the middle"))),
        };
        self.answer = Some(answer);
        keep
    }

    fn alone(&self) -> bool {
        self.alone
    }

    fn lose(&mut self, error: Error) {
        self.run = None;
        self.answer = Some(Err(error));
    }

    fn answer(mut self: Box<Self>) {
        // What the job holds on to is let go before its caller goes on.
        self.run = None;
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
        let answer = self.answer.unwrap_or_else(|| Err(unavailable("a unit had no turn")));
        // Nobody may be waiting any more; what was written stays written.
        let _ = self.reply.send(answer);
    }
}

/// The queue, and the thread behind it.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(db: Connection, log: Log) -> Result<Writer, Error> {
        let (queue, jobs) = mpsc::channel(QUEUE_UNITS_MAX);
        let thread = std::thread::Builder::new()
            .name("house-writer".to_owned())
            .spawn(move || write(&db, log, jobs))?;
        Ok(Writer { queue: Some(queue), thread: Some(thread), waiting: Arc::default() })
    }

    /// Waits for a turn, runs the job, and answers once its commit is on the disk. The job may run
    /// more than once; what an earlier run wrote is gone by then. A caller that stops waiting does
    /// not stop the job.
    pub(super) async fn write<T, F>(&self, bytes: usize, run: F) -> Result<T, Error>
    where
        F: FnMut(&Connection) -> Result<Outcome<T>, Error> + Send + 'static,
        T: Send + 'static,
    {
        self.queue(bytes, false, run).await
    }

    /// Waits for a turn and runs the job outside of any transaction, while nobody else writes.
    pub(super) async fn alone<T, F>(&self, run: F) -> Result<T, Error>
    where
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let mut run = Some(run);
        let once = move |db: &Connection| match run.take() {
            Some(run) => run(db).map(Outcome::Keep),
            None => Err(unavailable("a job had its turn already")),
        };
        self.queue(0, true, once).await
    }

    async fn queue<T, F>(&self, bytes: usize, alone: bool, run: F) -> Result<T, Error>
    where
        F: FnMut(&Connection) -> Result<Outcome<T>, Error> + Send + 'static,
        T: Send + 'static,
    {
        let queue = self.queue.as_ref().ok_or_else(|| unavailable("the house is closed"))?;
        let turn = queue.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => Error::Busy,
            mpsc::error::TrySendError::Closed(()) => unavailable("the writer has ended"),
        })?;
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        // One that is too large alone has its turn when nothing else waits.
        if bytes > 0 && before > 0 && before.saturating_add(bytes) > QUEUE_BYTES_MAX {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::Busy);
        }
        let (reply, answer) = oneshot::channel();
        let waiting = Arc::clone(&self.waiting);
        turn.send(Box::new(Task { run: Some(run), answer: None, reply, bytes, alone, waiting }));
        answer.await.map_err(|_| unavailable("the writer has ended"))?
    }
}

impl Drop for Writer {
    /// Writes what is queued, then ends.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn unavailable(why: &'static str) -> Error {
    Error::Unavailable(why.into())
}

/// The thread: gathers a group, writes it, answers.
fn write(db: &Connection, mut log: Log, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
    let mut group = Vec::with_capacity(GROUP_UNITS_MAX);
    let mut next = None;
    while let Some(job) = next.take().or_else(|| jobs.blocking_recv()) {
        if job.alone() {
            log.rest(db);
            run_outside(db, job);
            continue;
        }
        group.push(job);
        while group.len() < GROUP_UNITS_MAX && next.is_none() {
            match jobs.try_recv() {
                Ok(job) if job.alone() => next = Some(job),
                Ok(job) => group.push(job),
                Err(_) => break,
            }
        }
        write_group(db, &mut group);
        group.drain(..).for_each(|job| job.answer());
        log.committed(db);
    }
    log.end(db);
}

fn run_outside(db: &Connection, mut job: Box<dyn Job>) {
    job.run(db);
    if !db.is_autocommit() && run(db, "ROLLBACK", []).is_err() {
        tracing::error!("a job left a transaction behind");
    }
    job.answer();
}

/// One commit for all: without savepoints, or else with them.
fn write_group(db: &Connection, group: &mut [Box<dyn Job>]) {
    if let Err(error) = run(db, "BEGIN IMMEDIATE", []) {
        return lose(group, &error);
    }
    if group.iter_mut().all(|job| run_together(db, job.as_mut())) && !db.is_autocommit() {
        return commit(db, group);
    }
    if !db.is_autocommit()
        && let Err(error) = run(db, "ROLLBACK", [])
    {
        tracing::error!("a group could not be taken back");
        return lose(group, &error);
    }
    write_apart(db, group);
}

/// Runs a job among others; `false` where it leaves something behind that must be taken back.
fn run_together(db: &Connection, job: &mut dyn Job) -> bool {
    let before = db.total_changes();
    job.run(db) || db.total_changes() == before
}

/// Each job in its savepoint. Where SQLite gives up the whole transaction in the middle (it may,
/// on a full disk), those before fail with it and those behind begin anew.
fn write_apart(db: &Connection, group: &mut [Box<dyn Job>]) {
    let mut begun = 0;
    while begun < group.len() {
        if let Err(error) = run(db, "BEGIN IMMEDIATE", []) {
            lose(&mut group[begun..], &error);
            return;
        }
        let mut next = begun;
        while next < group.len() && !db.is_autocommit() {
            run_alone(db, group[next].as_mut());
            next += 1;
        }
        if db.is_autocommit() {
            lose(&mut group[begun..next], &unavailable("the database gave up a transaction"));
        } else {
            commit(db, &mut group[begun..next]);
        }
        begun = next;
    }
}

fn commit(db: &Connection, group: &mut [Box<dyn Job>]) {
    let Err(error) = run(db, "COMMIT", []) else { return };
    tracing::error!(%error, units = group.len(), "a commit failed");
    if !db.is_autocommit() && run(db, "ROLLBACK", []).is_err() {
        tracing::error!("a failed commit could not be rolled back");
    }
    lose(group, &error);
}

fn run_alone(db: &Connection, job: &mut dyn Job) {
    if let Err(error) = run(db, "SAVEPOINT unit", []) {
        return job.lose(error);
    }
    let keep = job.run(db);
    if db.is_autocommit() {
        return;
    }
    let undone = if keep { Ok(0) } else { run(db, "ROLLBACK TO unit", []) };
    if let Err(error) = undone.and_then(|_| run(db, "RELEASE unit", [])) {
        job.lose(error);
        // Without its savepoint the job cannot be taken out alone.
        if run(db, "ROLLBACK", []).is_err() {
            tracing::error!("a unit could not be taken out");
        }
    }
}

fn lose(group: &mut [Box<dyn Job>], error: &Error) {
    for job in group {
        job.lose(Error::Unavailable(error.to_string().into()));
    }
}
