//! Refusal: an issue on its way out. The only place where an issue meets HTTP.
//!
//! Comes in   an `Issue`, or an answer that a handler has made.
//! Goes out   status, headers and body.
//! Never      decides what is refused; never adds a cause, a path or a value to the words.

use crate::flow::Flow;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use exchange::Issue;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

/// The media type of FHIR JSON as we send it.
pub const FHIR_JSON: &str = "application/fhir+json; fhirVersion=4.0";

/// What a door answers: status, headers, the whole body.
///
/// Without a `Content-Type` of its own, a body is sent as FHIR JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers in their order; one that HTTP cannot carry is left out and logged.
    pub headers: Vec<(HeaderName, String)>,
    /// The body; empty for none.
    pub body: Bytes,
    /// A body that is made while it is taken, in the place of `body`.
    pub flow: Option<Flow>,
}

impl Answer {
    /// An answer without headers.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Answer {
        Answer { status, headers: Vec::new(), body: body.into(), flow: None }
    }

    /// An answer whose body is made while it is taken.
    pub fn flowing(status: u16, flow: Flow) -> Answer {
        Answer { flow: Some(flow), ..Answer::new(status, Bytes::new()) }
    }

    /// The same answer with one more header.
    pub fn with(mut self, name: HeaderName, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// The value of a header, when it is there.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The answer to a request that meets an issue: the status of its row, an `OperationOutcome`,
/// `Retry-After` where a repeat can help, `WWW-Authenticate` on 401 (RFC 6750 §3).
impl From<&Issue> for Answer {
    fn from(issue: &Issue) -> Answer {
        let row = issue.code.row();
        let mut answer = Answer::new(row.status, Issue::outcome([issue]));
        if let Some(seconds) = row.retry_after {
            answer = answer.with(RETRY_AFTER, seconds.to_string());
        }
        if row.status == 401 {
            answer = answer.with(WWW_AUTHENTICATE, "Bearer");
        }
        answer
    }
}

impl From<Issue> for Answer {
    fn from(issue: Issue) -> Answer {
        Answer::from(&issue)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or_else(|_| {
            tracing::error!(status = self.status, "a handler made a status that is none");
            StatusCode::INTERNAL_SERVER_ERROR
        });
        let typed = self.header(&CONTENT_TYPE).is_some() || self.body.is_empty();
        let flow = self.flow.and_then(|flow| flow.take());
        let mut response = Response::new(flow.unwrap_or_else(|| Body::from(self.body)));
        *response.status_mut() = status;
        for (name, value) in self.headers {
            match HeaderValue::try_from(value) {
                Ok(value) => drop(response.headers_mut().append(name, value)),
                Err(_) => tracing::error!(%name, "a header's value cannot be sent"),
            }
        }
        if !typed {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
        }
        response
    }
}
