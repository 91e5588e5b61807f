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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use exchange::Code;
    use http_body_util::BodyExt;

    /// Three pieces; then the end, or a fault.
    struct Three(u8, bool);

    impl Pieces for Three {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Issue>> {
            self.0 += 1;
            let faulty = Issue::new(Code::ContentPurged, "it is gone");
            let next = match (self.0, self.1) {
                (1..=3, _) => Ok(Some(Bytes::from_static(b"x\n"))),
                (_, true) => Ok(None),
                (_, false) => Err(faulty),
            };
            Box::pin(async move { next })
        }
    }

    #[tokio::test]
    async fn a_body_that_cannot_be_made_to_its_end_does_not_end_well() {
        for whole in [true, false] {
            let flow = Flow::of(Three(0, whole));
            let body = flow.take().unwrap().collect().await;
            let body = body.map(|body| body.to_bytes()).ok();
            assert_eq!(body, whole.then_some(Bytes::from_static(b"x\nx\nx\n")));
            assert!(flow.take().is_none(), "it is taken once");
        }
    }
}
