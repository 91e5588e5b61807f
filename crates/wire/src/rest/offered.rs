//! Offered: requests for the manifests and files of a bulk submission, at the house that sends it.
//!
//! Comes in   a path below `/bulk`, and the headers of a request.
//! Goes out   what is asked for: which file, by whose right, from which byte on.
//! Never      more ranges than one: what a reader goes on with after a broken line is one.

use super::files::in_gzip;
use crate::trust::smart::server::bearer;
use exchange::Digest;
use http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, Method};

/// No byte of the file lies where one was asked for (416).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NothingThere;

/// What a reader shows in the place of a token: something that nobody can guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability<'r> {
    /// A part of the URL.
    InUrl(&'r str),
    /// `Authorization: Bearer`, which came with the submission (Bulk Data 4.0.0-ballot,
    /// `fileRequestHeader`).
    InHeader(&'r str),
}

impl<'r> Capability<'r> {
    /// The one among headers, where there is one. It has the shape of a digest, which no access token has.
    pub(super) fn among(headers: &'r HeaderMap) -> Option<Capability<'r>> {
        let shown = bearer(headers)?;
        shown.parse::<Digest>().is_ok().then_some(Capability::InHeader(shown))
    }
}

/// A file that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileAsk<'r> {
    /// The submission.
    pub submission: &'r str,
    /// What nobody can guess, where that is shown.
    pub capability: Option<Capability<'r>>,
    /// The last part of the path.
    pub name: &'r str,
    /// `Range`, as written.
    pub range: Option<&'r str>,
    /// `If-Range`, as written.
    pub if_range: Option<&'r str>,
    /// `If-None-Match`, as written.
    pub if_none_match: Option<&'r str>,
    /// HEAD: whoever asks is given no byte of it (RFC 9110 §9.3.2).
    pub head: bool,
}

impl<'r> FileAsk<'r> {
    pub(super) fn read(
        submission: &'r str,
        capability: Option<Capability<'r>>,
        name: &'r str,
        (method, headers): (&Method, &'r HeaderMap),
    ) -> FileAsk<'r> {
        let head = *method == Method::HEAD;
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let (range, if_range, if_none_match) = (text(RANGE), text(IF_RANGE), text(IF_NONE_MATCH));
        FileAsk { submission, capability, name, range, if_range, if_none_match, head }
    }

    /// Whether the reader holds this already (RFC 9110 §13.1.2).
    pub fn is_known(&self, etag: &str) -> bool {
        let packed = in_gzip(etag);
        let known = |one: &str| {
            let one = one.trim_start_matches("W/");
            one == "*" || one == etag || one == packed
        };
        self.if_none_match.is_some_and(|list| list.split(',').map(str::trim).any(known))
    }

    /// The bytes that are asked for of a file of this length: first and last; `None`: all of it. A
    /// range of another content than this (`If-Range`), or one of a form that is not known, is passed
    /// over, as RFC 9110 §14.2 has it.
    ///
    /// Errors: `NothingThere`.
    pub fn span(&self, length: u64, etag: &str) -> Result<Option<(u64, u64)>, NothingThere> {
        let Some(range) = self.range.filter(|_| self.if_range.is_none_or(|it| it == etag)) else {
            return Ok(None);
        };
        let Some(range) = range.strip_prefix("bytes=").filter(|range| !range.contains(',')) else {
            return Ok(None);
        };
        let Some((from, to)) = range.split_once('-') else { return Ok(None) };
        let last = length.checked_sub(1);
        let span = match (from.parse::<u64>(), to.parse::<u64>()) {
            (Ok(from), Ok(to)) if from <= to => Some((from, to)),
            (Ok(from), Err(_)) if to.is_empty() => Some((from, u64::MAX)),
            (Err(_), Ok(0)) if from.is_empty() => return Err(NothingThere),
            (Err(_), Ok(many)) if from.is_empty() => Some((length.saturating_sub(many), u64::MAX)),
            _ => None,
        };
        let Some((from, to)) = span else { return Ok(None) };
        let last = last.filter(|last| from <= *last).ok_or(NothingThere)?;
        Ok(Some((from, to.min(last))))
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a reader goes on where its line broke, and never with bytes of another file.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_range_is_what_it_says_or_nothing_at_all() {
        let all = Some(None);
        let part = |from, to| Some(Some((from, to)));
        let table = [
            (None, None, all),
            (Some("bytes=0-"), None, part(0, 9)),
            (Some("bytes=4-"), None, part(4, 9)),
            (Some("bytes=4-6"), None, part(4, 6)),
            (Some("bytes=4-99"), None, part(4, 9)),
            (Some("bytes=-3"), None, part(7, 9)),
            (Some("bytes=-30"), None, part(0, 9)),
            (Some("bytes=10-"), None, None),
            (Some("bytes=-0"), None, None),
            (Some("bytes=6-4"), None, all),
            (Some("bytes=1-2,4-5"), None, all),
            (Some("lines=1-2"), None, all),
            (Some("bytes=x-"), None, all),
            (Some("bytes=4-"), Some("\"e\""), part(4, 9)),
            (Some("bytes=4-"), Some("\"f\""), all),
            (Some("bytes=4-"), Some("W/\"e\""), all),
        ];
        for (range, if_range, expected) in table {
            let mut headers = HeaderMap::new();
            range.map(|it| headers.insert(RANGE, it.parse().unwrap()));
            if_range.map(|it| headers.insert(IF_RANGE, it.parse().unwrap()));
            let ask = FileAsk::read("s", None, "f", (&Method::GET, &headers));
            assert_eq!(ask.span(10, "\"e\"").ok(), expected, "{range:?} {if_range:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, "bytes=0-".parse().unwrap());
        let nothing = FileAsk::read("s", None, "f", (&Method::GET, &headers)).span(0, "\"e\"");
        assert_eq!(nothing, Err(NothingThere), "of an empty file");
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        for (known, expected) in [
            ("\"e\"", true),
            ("W/\"e\"", true),
            ("\"x\", \"e\"", true),
            ("*", true),
            ("\"f\"", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, known.parse().unwrap());
            assert_eq!(
                FileAsk::read("s", None, "f", (&Method::GET, &headers)).is_known("\"e\""),
                expected,
                "{known}"
            );
        }
    }
}
