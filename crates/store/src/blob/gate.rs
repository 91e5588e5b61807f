//! Gate: keeps whoever writes files apart from whoever removes them, where they are not of one
//! process.
//!
//! Comes in   units that are about to write files; a sweep that is about to remove some.
//! Goes out   passes; a unit's is held until its rows are committed.
//! Never      lets a sweep in while a unit is within, nor the other way round.
//!
//! Why: a place cannot remove a file on the condition that it is still as old as it was when it was
//! looked at. Between the two another process could have written it anew.

use futures_util::future::BoxFuture;
use std::any::Any;

use crate::house::Error;

/// Whoever holds it is within; dropped, it is given back.
pub(crate) type Pass = Box<dyn Any + Send + Sync>;

/// What the processes of a place have in common.
pub(crate) trait Gate: Send + Sync {
    /// Lets a unit in, beside others.
    ///
    /// # Errors
    /// `Busy` or `Unavailable`; nothing may be written then.
    fn enter(&self) -> BoxFuture<'_, Result<Pass, Error>>;

    /// Lets a sweep in, once nobody is within; no unit waits for one that waits.
    ///
    /// # Errors
    /// `Busy` where units keep coming; `Unavailable`.
    fn alone(&self) -> BoxFuture<'_, Result<Pass, Error>>;
}
