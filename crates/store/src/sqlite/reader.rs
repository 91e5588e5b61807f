//! Readers: connections that read beside the writer, each from a snapshot of its own.
//!
//! Comes in   readings.
//! Goes out   their answers.
//! Never      writes: the connections are opened for reading only.

use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

use super::row::{keep_plans, run};
use crate::blocking::blocking;
use crate::house::Error;
use crate::limits::{DATABASE_WAIT, READERS_MAX, READS_WAITING_MAX, STATEMENTS_KEPT};

/// The pool.
pub(super) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Readers {
    /// A pool over a database file; connections are opened when they are needed.
    pub(super) fn new(file: PathBuf) -> Readers {
        Readers {
            file,
            idle: Mutex::default(),
            turns: Arc::new(Semaphore::new(READERS_MAX)),
            waiting: Semaphore::new(READS_WAITING_MAX),
        }
    }

    /// The database file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Runs a reading on a thread that may block, within one snapshot.
    pub(super) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, Error>
    where
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let waiting = self.waiting.try_acquire().map_err(|_| Error::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| Error::Unavailable("the house is closed".into()))?;
        drop(waiting);
        let readers = Arc::clone(self);
        let answer = move || {
            let _turn = turn;
            readers.read_now(read)
        };
        blocking(answer).await?
    }

    /// Runs a reading here.
    pub(super) fn read_now<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = idle.map_or_else(|| self.open(), Ok)?;
        run(&db, "BEGIN", [])?;
        let answer = read(&db);
        run(&db, "COMMIT", [])?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
        answer
    }

    fn open(&self) -> Result<Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&self.file, flags)?;
        db.busy_timeout(DATABASE_WAIT)?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        keep_plans(&db)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok(db)
    }
}
