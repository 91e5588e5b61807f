//! Writer: the one task that writes a house's units, and how many of them share one commit.
//!
//! Comes in   units, through a bounded queue.
//! Goes out   each unit's answer, after the commit that carries it has reached the server's disk.
//! Never      lets one unit's failure touch another's rows, nor lets anybody wait for a server
//!            that cannot be reached.
//!
//! A connection that is lost is made anew when the next unit comes, not more often than its
//! back-off allows; units that come before are told `Unavailable` at once. Where a connection
//! breaks while COMMIT is under way nobody can say what became of it: `Unavailable` as well, and
//! callers repeat, which a unit's key or fence makes harmless.

use deadpool_postgres::Client;
use futures_util::FutureExt;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::pipe::gave_way;
use super::pool::Pool;
use super::row::sqlstate;
use super::rows::{self, Failed};
use crate::house::Error;
use crate::limits::*;
use crate::seal::{Decided, Sealed};

struct Job {
    sealed: Sealed,
    bytes: usize,
    reply: oneshot::Sender<Result<Decided, Error>>,
    waiting: Arc<AtomicUsize>,
}

impl Job {
    fn answer(self, answer: Result<Decided, Error>) {
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
        // Nobody may be waiting any more; what was written stays written.
        let _ = self.reply.send(answer);
    }
}

/// The queue, and the task behind it.
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    /// Starts the task. It ends once the queue is dropped and what was queued is written.
    pub(super) fn start(pool: Arc<Pool>, house: i64) -> Writer {
        let (queue, jobs) = mpsc::channel(QUEUE_UNITS_MAX);
        let (rest, not_before) = (RECONNECT_WAIT, None);
        let line = Line { pool, house, db: None, groups: 0, rest, not_before };
        tokio::spawn(write(line, jobs));
        Writer { queue, waiting: Arc::default() }
    }

    /// Waits for a turn, and answers once its commit is on the disk. A caller that stops waiting
    /// does not stop its unit.
    pub(super) async fn write(&self, sealed: Sealed) -> Result<Decided, Error> {
        let turn = self.queue.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => Error::Busy,
            mpsc::error::TrySendError::Closed(()) => unavailable("the writer has ended"),
        })?;
        let bytes = sealed.bytes();
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        // One that is too large alone has its turn when nothing else waits.
        if bytes > 0 && before > 0 && before.saturating_add(bytes) > QUEUE_BYTES_MAX {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::Busy);
        }
        let (reply, answer) = oneshot::channel();
        turn.send(Job { sealed, bytes, reply, waiting: Arc::clone(&self.waiting) });
        answer.await.map_err(|_| unavailable("the writer has ended"))?
    }
}

fn unavailable(why: &'static str) -> Error {
    Error::Unavailable(why.into())
}

/// The task: gathers a group, writes it, answers.
async fn write(mut line: Line, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.recv().await {
        let mut bytes = job.bytes;
        let mut group = Vec::with_capacity(GROUP_UNITS_MAX);
        group.push(job);
        while group.len() < GROUP_UNITS_MAX && bytes < GROUP_BYTES_MAX {
            let Ok(job) = jobs.try_recv() else { break };
            bytes += job.bytes;
            group.push(job);
        }
        line.write_group(group).await;
    }
    line.hang_up();
}

/// The writer's connection, as it is or as it will be made anew.
struct Line {
    pool: Arc<Pool>,
    house: i64,
    db: Option<Client>,
    /// Groups that this connection has written.
    groups: u64,
    /// How long it is left alone after the next failure.
    rest: Duration,
    not_before: Option<Instant>,
}

impl Line {
    /// Writes a group, in as many transactions as it takes.
    async fn write_group(&mut self, group: Vec<Job>) {
        let mut groups = VecDeque::from([group]);
        let mut tries = 1;
        while let Some(mut group) = groups.pop_front() {
            match self.try_group(&group).await {
                Ok(answers) => {
                    tries = 1;
                    let rest = group.split_off(answers.len());
                    for (job, answer) in group.into_iter().zip(answers) {
                        job.answer(Ok(answer));
                    }
                    if !rest.is_empty() {
                        groups.push_front(rest);
                    }
                }
                Err(failed) if failed.again && tries < TRIES_MAX => {
                    tries += 1;
                    groups.push_front(group);
                }
                // One of them holds what the database does not take: it is to fail alone.
                Err(failed) if failed.unfit && group.len() > 1 => {
                    let half = group.split_off(group.len() / 2);
                    groups.push_front(half);
                    groups.push_front(group);
                }
                Err(failed) => {
                    tries = 1;
                    let units = group.len();
                    let (why, error) = (sqlstate(&failed.error), &failed.error);
                    tracing::error!(why, %error, units, "units were not written");
                    group.into_iter().for_each(|job| job.answer(Err(same(&failed.error))));
                }
            }
        }
    }

    async fn try_group(&mut self, group: &[Job]) -> Result<Vec<Decided>, Failure> {
        self.groups += 1;
        let (house, groups) = (self.house, self.groups);
        let db = self.connection().await.map_err(Failure::of_connecting)?;
        let units: Vec<&Sealed> = group.iter().map(|job| &job.sealed).collect();
        let written = AssertUnwindSafe(rows::write(db, house, groups, &units)).catch_unwind();
        let written = match tokio::time::timeout(ANSWER_WAIT, written).await {
            Ok(Ok(written)) => written,
            Ok(Err(_)) => Err(Failed::lost(unavailable("a unit ended in the middle"))),
            Err(_) => Err(Failed::lost(unavailable("PostgreSQL did not answer in time"))),
        };
        written.map_err(|failed| self.judge(failed))
    }

    /// What a failure asks for; without a connection that can be used again, none is
    /// kept.
    fn judge(&mut self, failed: Failed) -> Failure {
        let closed = self.db.as_ref().is_none_or(|db| db.is_closed());
        let class = sqlstate(&failed.error).filter(|code| code.len() == 5).map(|code| &code[..2]);
        let unfit = matches!(class, Some("22" | "23" | "54"));
        // 25: a server that only reads. 57: one that goes down, or has ended this session.
        let gone = closed || failed.lost || matches!(class, None | Some("08" | "25" | "57" | "58"));
        if gone {
            self.hang_up();
        }
        // What was lost before COMMIT was sent was not written: a new connection may do better.
        let unavailable = matches!(failed.error, Error::Unavailable(_));
        let unsent = gone && !failed.sent && !failed.lost && unavailable;
        let again = gave_way(&failed.error) || unsent;
        Failure { again, unfit, error: failed.error }
    }

    async fn connection(&mut self) -> Result<&Client, Error> {
        if self.db.as_ref().is_some_and(|db| db.is_closed()) {
            self.hang_up();
        }
        let db = match self.db.take() {
            Some(db) => db,
            None => self.connect().await?,
        };
        Ok(self.db.insert(db))
    }

    fn hang_up(&mut self) {
        if let Some(db) = self.db.take() {
            drop(Client::take(db));
        }
    }

    async fn connect(&mut self) -> Result<Client, Error> {
        if self.not_before.is_some_and(|time| Instant::now() < time) {
            return Err(unavailable("PostgreSQL was not reached a moment ago"));
        }
        let opened = async {
            let db = self.pool.open().await?;
            rows::prepare(&db).await?;
            Ok(db)
        };
        let opened = tokio::time::timeout(CONNECT_WAIT, opened).await;
        match opened.unwrap_or_else(|_| Err(unavailable("PostgreSQL was not reached in time"))) {
            Ok(db) => {
                (self.rest, self.not_before, self.groups) = (RECONNECT_WAIT, None, 0);
                Ok(db)
            }
            Err(error) => {
                self.not_before = Some(Instant::now() + self.rest);
                self.rest = (self.rest * 2).min(RECONNECT_WAIT_MAX);
                Err(error)
            }
        }
    }
}

/// Why a group was not written, and what that asks for.
struct Failure {
    /// The same once more.
    again: bool,
    /// Some unit holds what the database does not take.
    unfit: bool,
    error: Error,
}

impl Failure {
    fn of_connecting(error: Error) -> Failure {
        Failure { again: false, unfit: false, error }
    }
}

/// The error once more, for another of those who wait.
fn same(error: &Error) -> Error {
    match error {
        Error::Damaged(what) => Error::Damaged(what.clone()),
        error => match sqlstate(error) {
            Some(code) => Error::Unavailable(format!("PostgreSQL: refused ({code})").into()),
            None => Error::Unavailable(error.to_string().into()),
        },
    }
}
