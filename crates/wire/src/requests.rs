//! Requests: the log of what is asked at a house's doors.
//!
//! Comes in   each request and the status of its answer; each handshake.
//! Goes out   lines of the log, where it asks for them (`HANDOVER_LOG=wire::requests=debug`).
//! Never      an id, a query or a body: of a path only words that say which door it is.

use exchange::path::is_resource_type;
use http::{Method, StatusCode};

/// What was asked, as far as the log may know it.
pub(crate) struct Asked {
    method: Method,
    place: String,
}

impl Asked {
    /// Of a request's method and path; none where nobody reads the log.
    pub(crate) fn of(method: &Method, path: &str) -> Option<Asked> {
        tracing::enabled!(tracing::Level::DEBUG)
            .then(|| Asked { method: method.clone(), place: place(path) })
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        let Asked { method, place } = self;
        tracing::debug!(%method, place, status = status.as_u16(), "request");
    }
}

/// A handshake that came about; `short` where an earlier session was taken up again.
pub(crate) fn shaken(short: bool) {
    tracing::debug!(short, "handshake");
}

/// The path with `{id}` in the place of what is not a word of this program or of FHIR.
fn place(path: &str) -> String {
    const WORDS: [&str; 13] = [
        "fhir",
        "api",
        "metadata",
        "metrics",
        "token",
        "auth",
        "register",
        ".well-known",
        "smart-configuration",
        "udap",
        "davinci-configuration",
        "jwks.json",
        "_history",
    ];
    let mut place = String::new();
    let mut after_type = false;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let letters = part.strip_prefix('$').unwrap_or(part);
        let plain = letters.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
        let operation = part.len() > letters.len() && plain;
        let kind = !after_type && is_resource_type(part);
        let word = WORDS.contains(&part) || operation || kind;
        after_type = kind;
        place.push('/');
        place.push_str(if word { part } else { "{id}" });
    }
    if place.is_empty() { "/".to_owned() } else { place }
}

#[cfg(test)]
mod tests {
    //! Goal: a path in the log says which door was asked, and never whose record.

    use super::place;

    #[test]
    fn a_place_names_the_door_and_no_record() {
        let table = [
            ("/", "/"),
            ("/fhir/metadata", "/fhir/metadata"),
            ("/fhir/.well-known/smart-configuration", "/fhir/.well-known/smart-configuration"),
            ("/fhir/$versions", "/fhir/$versions"),
            ("/fhir/Patient", "/fhir/Patient"),
            ("/fhir/Patient/123", "/fhir/Patient/{id}"),
            ("/fhir/Patient/Smith", "/fhir/Patient/{id}"),
            ("/fhir/Patient/123/_history/2", "/fhir/Patient/{id}/_history/{id}"),
            ("/fhir/Claim/$submit", "/fhir/Claim/$submit"),
            ("/fhir/Claim/9/$everything", "/fhir/Claim/{id}/$everything"),
            ("/fhir/Patient/$1", "/fhir/Patient/{id}"),
            ("/api/push", "/api/{id}"),
            ("/fhir/Smith", "/fhir/{id}"),
            ("/tenant-of-somebody/metadata", "/{id}/metadata"),
        ];
        for (path, expected) in table {
            assert_eq!(place(path), expected, "{path}");
        }
    }
}
