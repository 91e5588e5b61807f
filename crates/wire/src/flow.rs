//! Flow: the body of an answer that is made while it is taken.
//!
//! Comes in   something that makes a body piece by piece.
//! Goes out   a body; the next piece is made when the one before has been handed over.
//! Never      ends well where a piece could not be made: the connection breaks off, so that nobody
//!            takes a part for the whole.

use crate::transport::BoxFuture;
use axum::body::Body;
use bytes::Bytes;
use exchange::Issue;
use futures_util::stream::unfold;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Makes a body.
pub trait Pieces: Send + 'static {
    /// The next piece; `None` at the end. Errors end the body, and go to the log.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Issue>>;
}

/// A body to be taken once.
#[derive(Clone)]
pub struct Flow(Arc<Mutex<Option<Body>>>);

impl Flow {
    /// The body that these pieces make.
    pub fn of(pieces: impl Pieces) -> Flow {
        let stream = unfold(Some(pieces), |pieces| async move {
            let mut pieces = pieces?;
            match pieces.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(pieces))),
                Ok(None) => None,
                Err(issue) => {
                    tracing::error!(%issue, "an answer breaks off");
                    Some((Err(issue.code.row().slug), None))
                }
            }
        });
        Flow(Arc::new(Mutex::new(Some(Body::from_stream(stream)))))
    }

    /// The body, unless it was taken.
    pub(crate) fn take(&self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flow")
    }
}

/// The same body, and not one of the same bytes.
impl PartialEq for Flow {
    fn eq(&self, other: &Flow) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Flow {}
