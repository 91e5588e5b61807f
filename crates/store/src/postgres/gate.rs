//! Gate: the lock that units with large contents share, and that a sweep has alone.
//!
//! Comes in   units about to write files or objects; sweeps about to remove some.
//! Goes out   passes, each of which holds the lock through a connection.
//! Never      takes more than one connection for all units of a process, nor lets units queue
//!            behind a sweep that waits itself.
//!
//! Why a lock of the session: it must outlast the transactions of the units, and a process that is
//! stopped in the middle of a sweep must not lose it.

use deadpool_postgres::Client;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Weak};
use tokio::sync::Mutex;

use super::pool::Pool;
use super::row::get;
use crate::blob;
use crate::house::Error;
use crate::limits::{SCRUB_PAUSE, SCRUB_TRIES};

/// Names the lock: "keeping" in ASCII.
const KEEPING: i64 = 0x6b_6565_7069_6e67;

/// The gate of one process.
pub(super) struct Gate {
    pool: Arc<Pool>,
    within: Mutex<Weak<Within>>,
}

impl Gate {
    /// A gate that nobody has gone through yet.
    pub(super) fn new(pool: Arc<Pool>) -> Gate {
        Gate { pool, within: Mutex::default() }
    }

    async fn enter(&self) -> Result<Arc<Within>, Error> {
        let mut within = self.within.lock().await;
        if let Some(within) = within.upgrade().filter(|it| it.holds()) {
            return Ok(within);
        }
        // Made before the lock is asked for: whoever stops waiting gives it back as well.
        let entered = Within::over(self.pool.open().await?, "pg_advisory_unlock_shared");
        entered.client()?.query("SELECT pg_advisory_lock_shared($1)", &[&KEEPING]).await?;
        let entered = Arc::new(entered);
        *within = Arc::downgrade(&entered);
        Ok(entered)
    }

    async fn alone(&self) -> Result<Within, Error> {
        let alone = Within::over(self.pool.open().await?, "pg_advisory_unlock");
        for _ in 0..SCRUB_TRIES {
            // Not waited for in the server: units would have to wait behind.
            let tried = "SELECT pg_try_advisory_lock($1) AS alone";
            if get(&alone.client()?.query_one(tried, &[&KEEPING]).await?, "alone")? {
                return Ok(alone);
            }
            tokio::time::sleep(SCRUB_PAUSE).await;
        }
        Err(Error::Busy)
    }
}

impl blob::Gate for Gate {
    fn enter(&self) -> BoxFuture<'_, Result<blob::Pass, Error>> {
        Box::pin(async { Ok(Box::new(self.enter().await?) as blob::Pass) })
    }

    fn alone(&self) -> BoxFuture<'_, Result<blob::Pass, Error>> {
        Box::pin(async { Ok(Box::new(self.alone().await?) as blob::Pass) })
    }
}

/// The lock, for as long as this lives.
struct Within {
    client: Option<Client>,
    leave: &'static str,
}

impl Within {
    fn over(client: Client, leave: &'static str) -> Within {
        Within { client: Some(client), leave }
    }

    fn client(&self) -> Result<&Client, Error> {
        let gone = || Error::Unavailable("the connection was given back".into());
        self.client.as_ref().ok_or_else(gone)
    }

    fn holds(&self) -> bool {
        self.client.as_ref().is_some_and(|client| !client.is_closed())
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // The connection ends, and the lock with it.
            return drop(Client::take(client));
        };
        let leave = format!("SELECT {}({KEEPING})", self.leave);
        runtime.spawn(async move {
            if client.batch_execute(&leave).await.is_err() {
                drop(Client::take(client));
            }
        });
    }
}
