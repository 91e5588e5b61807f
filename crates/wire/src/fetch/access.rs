//! Access: what goes with each request to a file server.
//!
//! Comes in   the pairs of `fileRequestHeader`; a way to sign in, where a token is needed.
//! Goes out   headers that can be sent.
//! Never      sends a partner's way to be let in (`Authorization`, `Cookie`) beside a token of this house;
//!            lets a pair bend how the request is framed or whom it is for; shows a value, which may be a
//!            secret.
//!
//! Bulk Data 4.0.0-ballot, Bulk Submit: the consumer SHALL send the pairs with the manifest's and the
//! files' requests, and SHALL NOT send its token where `requiresAccessToken` is false.

use crate::limits::{FILE_HEADERS_BYTES_MAX, FILE_HEADERS_MAX};
use crate::trust::SignIn;
use exchange::{Code, Issue};
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;

/// Names that are ours to set, or that frame a message (RFC 9110 §7.6.1, RFC 9112 §6).
const OURS: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Names by which a server lets somebody in: either a partner gives what goes there, or this house signs in.
const LETS_IN: [HeaderName; 2] = [AUTHORIZATION, COOKIE];

/// The pairs of `fileRequestHeader`, ready to be sent. `Debug` tells how many there are.
#[derive(Clone, Default)]
pub struct FileHeaders(HeaderMap);

impl FileHeaders {
    /// Reads pairs of name and value; `signs_in`: the submission says where this house gets a token.
    ///
    /// Errors: `ParameterInvalid` for too many, for a name that is ours or no name, for a value that
    /// no header can have, and for a second way to be let in.
    pub fn read<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        signs_in: bool,
    ) -> Result<FileHeaders, Issue> {
        let invalid =
            |detail: &str| Err(Issue::new(Code::ParameterInvalid, detail).at("fileRequestHeader"));
        let mut headers = HeaderMap::new();
        let mut bytes = 0;
        for (name, value) in pairs {
            let (Ok(name), Ok(mut value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            else {
                return invalid("a fileRequestHeader is not a name and a value of HTTP");
            };
            if OURS.contains(&name.as_str()) {
                return invalid("a fileRequestHeader names a header that this house sets itself");
            }
            if signs_in && LETS_IN.contains(&name) {
                let detail = "a fileRequestHeader gives Authorization or Cookie, and oauthMetadataUrl \
                              says that this house gets a token: send one of the two";
                return invalid(detail);
            }
            bytes += name.as_str().len() + value.len();
            if headers.len() >= FILE_HEADERS_MAX || bytes > FILE_HEADERS_BYTES_MAX {
                return invalid("at most 20 fileRequestHeaders of 8 KB together are sent");
            }
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(FileHeaders(headers))
    }

    /// Whether they let this house in, so that it needs no token of its own.
    pub fn let_in(&self) -> bool {
        LETS_IN.iter().any(|name| self.0.contains_key(name))
    }

    /// As they are sent.
    pub(super) fn as_map(&self) -> &HeaderMap {
        &self.0
    }
}

impl fmt::Debug for FileHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileHeaders({})", self.0.len())
    }
}

/// What goes with each request.
#[derive(Clone, Default)]
pub struct Access {
    pub(super) headers: FileHeaders,
    pub(super) token: Option<Arc<dyn SignIn>>,
}

impl Access {
    /// Without a token: capability URLs, `requiresAccessToken = false`.
    pub fn open(headers: FileHeaders) -> Access {
        Access { headers, token: None }
    }

    /// With a token of this sign-in.
    pub fn signed(headers: FileHeaders, token: Arc<dyn SignIn>) -> Access {
        Access { headers, token: Some(token) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    //! Goal: a partner's pairs are sent as they are, and none of them goes beside this house's token.

    use super::*;

    #[test]
    fn pairs_are_taken_or_refused() {
        let long = "v".repeat(9_000);
        let table = [
            ("one of its own", vec![("X-Key", "abc")], true),
            ("one of its own, twice", vec![("X-Key", "abc"), ("x-key", "def")], true),
            ("what it likes to send", vec![("Accept", "application/fhir+ndjson")], true),
            ("another host", vec![("Host", "elsewhere.example")], false),
            ("a length", vec![("content-length", "7")], false),
            ("a frame", vec![("Transfer-Encoding", "chunked")], false),
            ("a range", vec![("Range", "bytes=0-1")], false),
            ("a second header in a value", vec![("X-Key", "a\r\nAuthorization: b")], false),
            ("no name", vec![("", "a")], false),
            ("a space in a name", vec![("X Key", "a")], false),
            ("too long", vec![("X-Key", long.as_str())], false),
            ("too many", vec![("X-Key", "a"); 21], false),
        ];
        for (case, pairs, taken) in table {
            let read = FileHeaders::read(pairs.iter().copied(), true);
            assert_eq!(read.is_ok(), taken, "{case}");
            if let Err(issue) = read {
                assert_eq!(issue.code, Code::ParameterInvalid, "{case}");
            }
        }
    }

    #[test]
    fn whoever_is_let_in_by_a_pair_needs_no_token_and_never_gets_both() {
        let table = [
            ("a token", ("Authorization", "Bearer x"), true),
            ("a token in capitals", ("AUTHORIZATION", "Bearer x"), true),
            ("a cookie", ("cookie", "a=b"), true),
            ("a key of its own", ("X-Key", "abc"), false),
        ];
        for (case, pair, lets_in) in table {
            assert_eq!(FileHeaders::read([pair], false).unwrap().let_in(), lets_in, "{case}");
            assert_eq!(FileHeaders::read([pair], true).is_err(), lets_in, "{case}");
        }
    }

    #[test]
    fn a_value_is_never_shown() {
        let headers = FileHeaders::read([("X-Key", "a secret")], false).unwrap();
        assert_eq!(format!("{headers:?}"), "FileHeaders(1)");
        assert!(!format!("{:?}", headers.as_map()).contains("secret"));
    }
}
