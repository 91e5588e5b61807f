//! Door: what every request meets before and after its handler.
//!
//! Comes in   a request of the network.
//! Goes out   a response that carries a request id; an `OperationOutcome` for every failure, a panic
//!            included.
//! Never      logs a path below the interaction, a query, a body or a token.

use crate::limits::REQUEST_ID_MAX;
use crate::refusal::Answer;
use crate::room::{Filled, time_left};
use crate::server::Line;
use crate::shape;
use crate::trust::mutual::Presented;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use exchange::{Code, Issue};
use futures_util::FutureExt;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::BodyExt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Echoed, and in every line of the log that belongs to the request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Runs a handler: gives the request an id, catches a panic, strips the body where HEAD asked.
pub(crate) async fn answer<F>(request: Request, handler: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Answer>,
{
    let id = request_id(request.headers());
    let method = request.method().clone();
    let span = tracing::info_span!("request", %id, %method);
    let line = request.extensions().get::<Line>().copied();
    let handled = AssertUnwindSafe(async {
        match shape::check(&request) {
            Ok(()) => handler(request).await,
            Err(refused) => *refused,
        }
    });
    let handled = handled.catch_unwind();
    let answer = tracing::Instrument::instrument(handled, span.clone()).await;
    let _entered = span.enter();
    let answer = answer.unwrap_or_else(|_| {
        tracing::error!("a handler panicked");
        let detail = format!("the gateway failed on request {id}");
        Answer::from(Issue::new(Code::InternalError, detail))
    });
    tracing::info!(status = answer.status, bytes = answer.body.len(), "answered");
    // Nobody knows the length of what is not made yet.
    let length = answer.flow.is_none().then_some(answer.body.len());
    let mut response = answer.into_response();
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
        if let Some(length) = length {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
    }
    shape::say(response.headers_mut(), line.as_ref());
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Reads a body whole, within bytes and time, and within the room it fills as it arrives.
///
/// Errors: `BodyTooLarge`, `MediaTypeUnsupported` for a compressed body, `BodyMalformed` when it
/// did not arrive whole, `HouseBusy` when it came too slowly or found no room: the same bytes may
/// come again.
pub(crate) async fn read_body(
    request: Request,
    limit: usize,
    mut filled: Option<&mut Filled>,
) -> Result<Bytes, Issue> {
    let (head, body) = request.into_parts();
    let encoding = head.headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        let issue = Issue::new(Code::MediaTypeUnsupported, "this door reads no compressed bodies");
        return Err(issue.at("Content-Encoding"));
    }
    let too_large = || {
        let detail = format!("the body has more than the {limit} bytes this door takes");
        Issue { offset: Some(limit as u64), ..Issue::new(Code::BodyTooLarge, detail) }
    };
    let told = text(&head.headers, &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if told.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let too_slow = || Issue::new(Code::HouseBusy, "the body came too slowly");
    let mut body = pin!(body);
    let (mut whole, mut spent) = (BytesMut::new(), Duration::ZERO);
    loop {
        // Only the sender's time is counted, not the wait for room.
        let left = time_left(whole.len(), spent).ok_or_else(too_slow)?;
        let began = Instant::now();
        let frame = timeout(left, body.frame()).await.map_err(|_| too_slow())?;
        spent += began.elapsed();
        let Some(frame) = frame else { return Ok(whole.freeze()) };
        let frame =
            frame.map_err(|_| Issue::new(Code::BodyMalformed, "the body did not arrive whole"))?;
        let Ok(piece) = frame.into_data() else { continue };
        if piece.len() > limit - whole.len() {
            return Err(too_large());
        }
        if let Some(filled) = filled.as_deref_mut() {
            filled.grow(piece.len()).await?;
        }
        whole.extend_from_slice(&piece);
    }
}

/// The certificate that the connection's peer presented, if any.
pub(crate) fn presented(request: &Request) -> Option<Arc<Presented>> {
    request.extensions().get::<Arc<Presented>>().cloned()
}

/// A header's value as text, when it is there once and readable.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The `Content-Type`, when there is one.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<&str> {
    text(headers, &CONTENT_TYPE)
}

/// The refusal of a method: 405 with `Allow` (RFC 9110 §15.5.6).
pub(crate) fn not_offered(allow: &str) -> Answer {
    let detail = "this door does not offer this method here";
    let issue = Issue::new(Code::InteractionUnsupported, detail);
    Answer::from(issue).with(http::header::ALLOW, allow)
}

/// The caller's own id where it is harmless, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let harmless = |id: &&str| {
        (1..=REQUEST_ID_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    let sent = text(headers, &REQUEST_ID).filter(harmless).map(str::to_owned);
    sent.unwrap_or_else(|| uuid::Uuid::now_v7().to_string())
}
