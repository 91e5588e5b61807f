//! Blocking: work that waits for a disk or takes long, away from the threads that serve.
//!
//! Comes in   the work.
//! Goes out   what it returned.
//! Never      stops with the caller: what has begun runs to its end.

use crate::house::Error;

/// Runs it on a thread that may block.
///
/// # Errors
/// `Unavailable` where it ended in the middle.
pub(crate) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(run).await;
    done.map_err(|error| Error::Unavailable(Box::new(error)))
}
