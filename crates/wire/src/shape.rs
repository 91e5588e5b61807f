//! Shape: what every request must look like, and what every answer says of itself.
//!
//! Comes in   the head of a request; an answer on its way out.
//! Goes out   a refusal of what is too large to be meant; headers that tell browsers and caches to keep
//!            nothing, run nothing and show nothing in a frame.
//! Never      reads a body, or repeats anything of the head it refuses.
//!
//! Why on every answer and not on pages only: a Binary is served as the content it is, and somebody
//! may have filed a page with a script in it.

use crate::limits::{HEADERS_BYTES_MAX, HEADERS_MAX, TLS_ONLY, URL_BYTES_MAX};
use crate::refusal::Answer;
use crate::server::Line;
use axum::extract::Request;
use exchange::{Code, Issue};
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Nothing that an answer holds is run, loaded, sent or framed.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; form-action 'none'; sandbox";

/// What every answer says.
const SAID: &[(HeaderName, &str)] = &[
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CONTENT_SECURITY_POLICY, POLICY),
];

/// Whether the head of a request is of a size that this door takes; the refusal if not: 414 for the
/// URL (RFC 9110 §15.5.15), 431 for the headers (RFC 6585 §5).
pub(crate) fn check(request: &Request) -> Result<(), Box<Answer>> {
    let url = request.uri().path_and_query().map_or(0, |it| it.as_str().len());
    if url > URL_BYTES_MAX {
        let detail = format!("the URL has more than the {URL_BYTES_MAX} bytes this door takes");
        return Err(Box::new(Answer { status: 414, ..refusal(detail) }));
    }
    let headers = request.headers();
    if headers.len() > HEADERS_MAX {
        let detail = format!("the request has more than the {HEADERS_MAX} headers this door takes");
        return Err(Box::new(refusal(detail)));
    }
    let bytes: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.as_bytes().len()).sum();
    if bytes > HEADERS_BYTES_MAX {
        let detail =
            format!("the headers have more than the {HEADERS_BYTES_MAX} bytes this door takes");
        return Err(Box::new(refusal(detail)));
    }
    Ok(())
}

fn refusal(detail: String) -> Answer {
    Answer::from(Issue::new(Code::HeadTooLarge, detail))
}

/// Adds what every answer says of itself. Nothing is kept by a cache that the answer does not say may
/// be; that a house is asked over TLS only, is said where nobody can have put it there (RFC 6797 §7.2).
pub(crate) fn say(headers: &mut HeaderMap, line: Option<&Line>) {
    for (name, value) in SAID {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let only = format!("max-age={}", TLS_ONLY.as_secs());
    if let (Some(Line { tls: true, .. }), Ok(only)) = (line, HeaderValue::try_from(only)) {
        headers.insert(STRICT_TRANSPORT_SECURITY, only);
    }
}

/// A document that is for everybody: pages of any origin may read it (SMART App Launch 2.2 §2.0.12.1),
/// and caches ask whether it is still so.
pub(crate) fn open_to_all(answer: Answer) -> Answer {
    let answer = match answer.header(&CACHE_CONTROL) {
        Some(_) => answer,
        None => answer.with(CACHE_CONTROL, "no-cache"),
    };
    answer.with(ACCESS_CONTROL_ALLOW_ORIGIN, "*")
}
