//! Figures: what a monitor reads, in the text form of Prometheus (0.0.4).
//!
//! Comes in   `GET` from anybody who reaches the house.
//! Goes out   the text of `Figures`.
//! Never      a name of a partner or person, or anything that a stranger should not know.

use crate::door::{self, not_offered};
use crate::refusal::Answer;
use axum::Router;
use axum::extract::Request;
use http::Method;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use std::sync::Arc;

/// Says how a house is, in figures.
pub trait Figures: Send + Sync + 'static {
    /// All of them, a line each.
    fn text(&self) -> String;
}

/// The router of the figures; the caller mounts it.
pub fn router(figures: Arc<dyn Figures>) -> Router {
    Router::new().fallback(move |request: Request| {
        let figures = Arc::clone(&figures);
        door::answer(request, move |request| async move {
            if !matches!(*request.method(), Method::GET | Method::HEAD) {
                return not_offered("GET, HEAD");
            }
            Answer::new(200, figures.text())
                .with(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")
                .with(CACHE_CONTROL, "no-store")
        })
    })
}
