//! Edition: which of a file's contents was read, and up to where.
//!
//! Comes in   the headers of the answer that began a file.
//! Goes out   what makes the next request go on in the same edition (`If-Range`), and whether another
//!            answer is of the same one; a place that can be written down.
//! Never      takes a weak validator for a promise of the same bytes (RFC 9110 §8.8.1, §13.1.5).

use crate::limits::FILE_HEADERS_BYTES_MAX;
use crate::retry_after::parse_date;
use http::HeaderMap;
use http::header::{DATE, ETAG, HeaderName, LAST_MODIFIED};
use serde::{Deserialize, Serialize};

/// What an answer says of the content it brings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edition {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
    /// `Last-Modified` was old enough to tell two contents apart.
    #[serde(default)]
    settled: bool,
    /// It came without a content encoding, so that its bytes are the file's.
    #[serde(default)]
    plain: bool,
}

/// How long before its answer a file was last written, so that its time is a strong validator in
/// spite of two clocks (RFC 9110 §8.8.2.2).
const SETTLED_SECONDS: i64 = 60;

impl Edition {
    /// Of an answer's headers.
    pub(super) fn of(headers: &HeaderMap, plain: bool) -> Edition {
        let text = |name: HeaderName| {
            let value = headers.get(name)?.to_str().ok()?.trim();
            (!value.is_empty() && value.len() <= FILE_HEADERS_BYTES_MAX).then(|| value.to_owned())
        };
        let (etag, modified) = (text(ETAG), text(LAST_MODIFIED));
        let time = |text: Option<String>| parse_date(&text?);
        let settled = match (time(modified.clone()), time(text(DATE))) {
            (Some(modified), Some(date)) => {
                date.as_second() - modified.as_second() >= SETTLED_SECONDS
            }
            _ => false,
        };
        Edition { etag, modified, settled, plain }
    }

    /// What goes into `If-Range`: where there is none, nothing may be left out of the next answer.
    pub(super) fn if_range(&self) -> Option<&str> {
        if !self.plain {
            return None;
        }
        match &self.etag {
            Some(etag) => Some(etag.as_str()).filter(|etag| etag.starts_with('"')),
            None => self.modified.as_deref().filter(|_| self.settled),
        }
    }

    /// Whether another answer is of another edition, as far as both say.
    pub(super) fn differs(&self, other: &Edition) -> bool {
        fn opaque(etag: &str) -> &str {
            etag.strip_prefix("W/").unwrap_or(etag)
        }
        match (&self.etag, &other.etag, &self.modified, &other.modified) {
            (Some(one), Some(another), ..) => opaque(one) != opaque(another),
            (_, _, Some(one), Some(another)) => one != another,
            _ => false,
        }
    }
}

/// Where reading goes on. The beginning of a file is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Lines before it.
    pub lines: u64,
    /// Bytes before it in the decoded file: a line begins there.
    pub bytes: u64,
    /// SHA-256 of the last line before it, in hexadecimal: so a server that tells nothing of editions
    /// cannot bring another file unnoticed. None for a line that was too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// The edition of which they are.
    #[serde(default)]
    pub edition: Edition,
}

#[cfg(test)]
mod tests {
    //! Goal: a download goes on in the same bytes, or not at all.

    use super::*;
    use http::HeaderValue;

    fn edition(pairs: &[(&'static str, &'static str)], plain: bool) -> Edition {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Edition::of(&pairs.iter().map(header).collect(), plain)
    }

    const MODIFIED: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    const SOON: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:38 GMT");
    const LATER: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:59:37 GMT");

    #[test]
    fn only_a_strong_validator_leaves_anything_out() {
        let strong = ("etag", "\"a\"");
        let weak = ("etag", "W/\"a\"");
        let table = [
            ("a strong tag", vec![strong], true, Some("\"a\"")),
            ("a weak tag", vec![weak], true, None),
            ("a weak tag and a settled time", vec![weak, MODIFIED, LATER], true, None),
            ("a settled time", vec![MODIFIED, LATER], true, Some(MODIFIED.1)),
            ("a time of just now", vec![MODIFIED, SOON], true, None),
            ("a time without a date beside it", vec![MODIFIED], true, None),
            ("a tag that is none", vec![("etag", "a")], true, None),
            ("encoded", vec![strong], false, None),
            ("nothing", vec![], true, None),
        ];
        for (case, pairs, plain, expected) in table {
            assert_eq!(edition(&pairs, plain).if_range(), expected, "{case}");
        }
    }

    #[test]
    fn another_edition_is_told_by_what_both_say() {
        let table = [
            ("the same tag", vec![("etag", "\"a\"")], vec![("etag", "\"a\"")], false),
            ("the same tag, weak now", vec![("etag", "\"a\"")], vec![("etag", "W/\"a\"")], false),
            ("another tag", vec![("etag", "\"a\"")], vec![("etag", "\"b\"")], true),
            (
                "the same tag, another time",
                vec![("etag", "\"a\"")],
                vec![("etag", "\"a\""), SOON],
                false,
            ),
            ("another time", vec![MODIFIED], vec![("last-modified", SOON.1)], true),
            ("nothing any more", vec![("etag", "\"a\"")], vec![], false),
        ];
        for (case, one, another, differs) in table {
            let (one, another) = (edition(&one, true), edition(&another, true));
            assert_eq!(one.differs(&another), differs, "{case}");
        }
    }
}
