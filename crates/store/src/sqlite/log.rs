//! Log: the write-ahead log is brought into the database beside the writer.
//!
//! Comes in   after each commit, how many pages the log has.
//! Goes out   a log that stays small, and a writer that hardly ever waits for it.
//! Never      is what makes a commit durable: that is the log itself, synced by each commit.
//!
//! Why a second thread: bringing thousands of pages into the database costs two waits for the disk,
//! and whoever commits next would wait with them. So another connection does it while the writer
//! goes on; what was committed meanwhile, a few pages, the writer brings in itself, and the log can
//! begin anew.

use rusqlite::{Connection, OpenFlags};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use crate::house::Error;
use crate::limits::{DATABASE_WAIT, LOG_BYTES, LOG_TIMES_MAX};

/// The writer's side of it.
pub(super) struct Log {
    pages: Arc<AtomicI32>,
    /// With so many pages it is brought over.
    full: u32,
    carrier: Option<Carrier>,
    /// The carrier is at work.
    busy: bool,
}

/// The thread that carries pages over.
struct Carrier {
    go: mpsc::SyncSender<()>,
    done: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Watches the log of a connection to this file.
    pub(super) fn watch(db: &mut Connection, file: PathBuf) -> Result<Log, Error> {
        let pages = Arc::new(AtomicI32::new(0));
        let told = Arc::clone(&pages);
        // Also ends SQLite's own way of doing it, within the commit.
        db.wal_hook(Some(move |_: &mut _, pages| {
            told.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        let page = db.query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0))?;
        let full = LOG_BYTES / page.max(1);
        Ok(Log { pages, full, carrier: Some(Carrier::start(file)?), busy: false })
    }

    /// After a commit.
    pub(super) fn committed(&mut self, db: &Connection) {
        let Some(carrier) = &self.carrier else { return };
        let pages = u32::try_from(self.pages.load(Ordering::Relaxed)).unwrap_or(0);
        if !self.busy {
            if pages >= self.full {
                self.busy = carrier.go.try_send(()).is_ok();
                if !self.busy {
                    carry_over(db);
                }
            }
            return;
        }
        // Where the disk cannot keep up, the writer waits: the log must not grow without end.
        let done = match pages >= LOG_TIMES_MAX * self.full {
            true => carrier.done.recv().map_err(Into::into),
            false => carrier.done.try_recv(),
        };
        if done != Err(mpsc::TryRecvError::Empty) {
            self.busy = false;
            carry_over(db);
        }
    }
}

impl Log {
    /// Returns when nobody else is at the log, until the next commit.
    pub(super) fn rest(&mut self, db: &Connection) {
        if let Some(carrier) = self.carrier.as_ref().filter(|_| self.busy) {
            carrier.done.recv().ok();
            self.busy = false;
            carry_over(db);
        }
    }

    /// Brings everything over at the end: what stays behind is one file.
    pub(super) fn end(self, db: &Connection) {
        drop(self);
        let done = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = done {
            tracing::warn!(%error, "the log stays until the next start");
        }
    }
}

impl Carrier {
    fn start(file: PathBuf) -> Result<Carrier, Error> {
        let (go, asked) = mpsc::sync_channel(1);
        let (told, done) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("house-log".to_owned()).spawn(move || {
            while asked.recv().is_ok() {
                match open(&file) {
                    // Twice: the second time brings in what came during the first.
                    Ok(db) => (0..2).for_each(|_| carry_over(&db)),
                    Err(error) => tracing::error!(%error, "the log cannot be looked at"),
                }
                if told.send(()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Carrier { go, done, thread: Some(thread) })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let Some(Carrier { go, done, thread }) = self.carrier.take() else { return };
        drop((go, done));
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn open(file: &PathBuf) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    db.busy_timeout(DATABASE_WAIT)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // SQLite's own way would begin with the first page that this connection commits: it has none.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(db)
}

/// As many pages as no reader still needs; a failure is tried again with the next commits.
fn carry_over(db: &Connection) {
    let done = db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = done {
        tracing::error!(%error, "the log was not brought into the database");
    }
}
