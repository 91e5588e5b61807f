//! Answer: what a file server's status and headers say.
//!
//! Comes in   the head of an answer.
//! Goes out   where its bytes belong in the file and how they are encoded; or the fault.
//! Never      takes a page of words for a file: what is neither NDJSON nor left unsaid is refused.
//!
//! RFC 9110 §8.4 content codings, §14 ranges; Bulk Data, "Bulk Data Output File Request".

use super::Fault;
use crate::{media, retry_after};
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderMap};
use jiff::Timestamp;

/// How the bytes of an answer are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    Gzip,
}

/// What kind of content is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Manifest,
    File,
}

/// Spellings of NDJSON in the field. A static server that does not know the ending of a file says
/// that it is of bytes.
const NDJSON: &[&str] = &[
    "application/fhir+ndjson",
    "application/ndjson",
    "application/x-ndjson",
    "application/jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
    "application/octet-stream",
    "binary/octet-stream",
];

const JSON: &[&str] = &["application/json", "application/fhir+json", "application/octet-stream"];

/// Checks a status that is no redirect. Errors: `Unreachable`, `Refused`, `Invalid`.
pub(super) fn check_status(
    status: StatusCode,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<(), Fault> {
    match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(later(status, headers, now))
        }
        status if status.is_server_error() => Err(later(status, headers, now)),
        status if status.is_client_error() => Err(Fault::Refused(status.as_u16())),
        _ => Err(Fault::Invalid("its status is none that a file comes with")),
    }
}

fn later(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Fault {
    let cause = format!("status {}", status.as_u16());
    Fault::Unreachable { cause, retry_after: retry_after::read(headers, now) }
}

/// How the content is encoded, where it is what was asked for. Errors: `Invalid`.
pub(super) fn coding(headers: &HeaderMap, kind: Kind) -> Result<Coding, Fault> {
    if let Some(sent) = headers.get(CONTENT_TYPE) {
        let sent = sent.to_str().ok();
        let expected = match kind {
            Kind::File => NDJSON,
            Kind::Manifest => JSON,
        };
        if !expected.iter().any(|essence| media::is(sent, essence)) {
            let wrong = match kind {
                Kind::File => "its Content-Type is not application/fhir+ndjson",
                Kind::Manifest => "its Content-Type is not application/json",
            };
            return Err(Fault::Invalid(wrong));
        }
    }
    let mut codings = Vec::new();
    for sent in headers.get_all(CONTENT_ENCODING) {
        let sent =
            sent.to_str().map_err(|_| Fault::Invalid("its Content-Encoding is unreadable"))?;
        let parts = sent.split(',').map(|part| part.trim().to_ascii_lowercase());
        codings.extend(parts.filter(|part| !part.is_empty() && part != "identity"));
    }
    match codings.as_slice() {
        [] => Ok(Coding::Plain),
        [one] if one == "gzip" || one == "x-gzip" => Ok(Coding::Gzip),
        _ => Err(Fault::Invalid("its Content-Encoding is neither gzip nor identity")),
    }
}

/// Where an answer of part of a file begins. Errors: `Invalid`.
pub(super) fn range_start(headers: &HeaderMap) -> Result<u64, Fault> {
    let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let start = range.and_then(|range| range.trim().strip_prefix("bytes ")?.split_once('-'));
    let start = start.and_then(|(start, _)| start.trim().parse().ok());
    start.ok_or(Fault::Invalid("it sent a part of the file and does not say which"))
}

/// The length of the file, as an answer says that has no such part of it.
pub(super) fn unsatisfied_length(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.trim().strip_prefix("bytes */")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    //! Goal: what a server says is taken at its word, and what it cannot mean is refused.

    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(header).collect()
    }

    #[test]
    fn contents_are_read_in_every_spelling_of_theirs() {
        use Coding::{Gzip, Plain};
        use Kind::{File, Manifest};
        let fhir = ("content-type", "application/fhir+ndjson");
        let encoded = |coding| vec![fhir, ("content-encoding", coding)];
        let of = |content_type| vec![("content-type", content_type)];
        let table = [
            ("as the guide says", File, vec![fhir], Some(Plain)),
            ("with a version", File, of("application/fhir+ndjson; fhirVersion=4.0"), Some(Plain)),
            ("an older spelling", File, of("application/x-ndjson"), Some(Plain)),
            ("a static server's", File, of("application/octet-stream"), Some(Plain)),
            ("unsaid", File, vec![], Some(Plain)),
            ("a page", File, of("text/html; charset=utf-8"), None),
            ("an error", File, of("application/fhir+json"), None),
            ("an archive", File, of("application/gzip"), None),
            ("gzip", File, encoded("gzip"), Some(Gzip)),
            ("gzip of old", File, encoded("X-GZIP"), Some(Gzip)),
            ("identity", File, encoded("identity"), Some(Plain)),
            ("what was not asked for", File, encoded("br"), None),
            ("twice", File, encoded("gzip, gzip"), None),
            ("a manifest", Manifest, of("application/json; charset=utf-8"), Some(Plain)),
            ("a manifest as FHIR", Manifest, of("application/fhir+json"), Some(Plain)),
            ("a page for a manifest", Manifest, of("text/html"), None),
            ("a file for a manifest", Manifest, vec![fhir], None),
        ];
        for (case, kind, pairs, expected) in table {
            assert_eq!(coding(&headers(&pairs), kind).ok(), expected, "{case}");
        }
    }

    #[test]
    fn a_status_passes_or_is_final() {
        let wait = headers(&[("retry-after", "7")]);
        for (status, passing) in [
            (408, true),
            (425, true),
            (429, true),
            (500, true),
            (503, true),
            (400, false),
            (403, false),
            (404, false),
            (410, false),
            (416, false),
            (204, false),
            (202, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            let fault = check_status(status, &wait, Timestamp::UNIX_EPOCH).err();
            assert_eq!(fault.as_ref().map(Fault::is_passing), Some(passing), "{status}");
        }
        let fault = check_status(StatusCode::SERVICE_UNAVAILABLE, &wait, Timestamp::UNIX_EPOCH);
        assert_eq!(fault.err().and_then(|fault| fault.pause(1)).map(|it| it.as_secs()), Some(7));
    }

    #[test]
    fn parts_of_a_file_say_where_they_belong() {
        for (range, start) in [
            ("bytes 10-19/100", Some(10)),
            ("bytes 10-19/*", Some(10)),
            ("bytes */100", None),
            ("lines 1-2/3", None),
            ("bytes x-2/3", None),
        ] {
            assert_eq!(range_start(&headers(&[("content-range", range)])).ok(), start, "{range}");
        }
        assert!(range_start(&HeaderMap::new()).is_err());
        assert_eq!(unsatisfied_length(&headers(&[("content-range", "bytes */100")])), Some(100));
    }
}
