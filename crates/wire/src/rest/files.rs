//! Files: how a file of a manifest is handed over (RFC 9110 §13, §14; Bulk Data 3.0.0, output file
//! request).
//!
//! Comes in   an answer with a file, and what its caller said of encodings, parts and what it has.
//! Goes out   the file, packed by gzip where that is taken; a part of it; or that nothing has changed.
//! Never      gives a part of a file without an ETag: nobody would know that it is the same file.
//!
//! Why a file that is made while it is taken is made twice for a part: nobody knows its length before,
//! and a part must say where in the whole it stands. A part is asked for where a connection broke.

use crate::door;
use crate::flow::{Flow, Pieces};
use crate::refusal::Answer;
use crate::rest::Outcome;
use crate::transport::BoxFuture;
use axum::body::Body;
use bytes::Bytes;
use exchange::{Code, Issue};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG,
    IF_NONE_MATCH, IF_RANGE, RANGE, VARY,
};
use http_body_util::BodyExt;
use std::io::Write;

/// What is asked of a file's bytes: from here, up to and with there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    From(u64, Option<u64>),
    Last(u64),
}

/// Hands a file over as its caller takes it; `ask` gives the file, anew each time.
///
/// Errors: those of `ask`; `ParameterInvalid` with 416 for a part that is not there.
pub(super) async fn handed<'a>(
    headers: &HeaderMap,
    ask: impl Fn() -> Outcome<'a>,
) -> Result<Answer, Issue> {
    let answer = ask().await?;
    if answer.status != 200 {
        return Ok(answer);
    }
    let tag = answer.header(&ETAG).map(str::to_owned);
    if let Some(tag) = &tag {
        let answer = answer.with(ACCEPT_RANGES, "bytes");
        if knows(headers, tag) {
            return Ok(Answer { status: 304, body: Bytes::new(), flow: None, ..answer });
        }
        return match part(headers, tag) {
            Some(part) => in_part(answer, part, ask).await,
            None => Ok(packed(headers, answer, Some(tag))),
        };
    }
    Ok(packed(headers, answer, None))
}

fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let known = door::text(headers, &IF_NONE_MATCH).unwrap_or_default();
    known.split(',').map(str::trim).any(|one| {
        let one = one.strip_prefix("W/").unwrap_or(one);
        one == tag || one == in_gzip(tag) || one == "*"
    })
}

/// A file that knows its length and its parts by itself, packed where it is handed over whole.
pub(super) fn packed_whole(headers: &HeaderMap, mut answer: Answer) -> Answer {
    if answer.status != 200 || answer.flow.is_none() || !takes_gzip(headers) {
        return answer;
    }
    answer.headers.retain(|(name, _)| *name != CONTENT_LENGTH);
    let tag = answer.header(&ETAG).map(str::to_owned);
    packed(headers, answer, tag.as_deref())
}

/// The tag of the same file packed.
pub(super) fn in_gzip(tag: &str) -> String {
    format!("{}.gz\"", tag.trim_end_matches('"'))
}

/// The part that is asked for; none where the whole is, or another file was begun with.
fn part(headers: &HeaderMap, tag: &str) -> Option<Part> {
    let asked = door::text(headers, &RANGE)?.strip_prefix("bytes=")?;
    if door::text(headers, &IF_RANGE).is_some_and(|begun| begun != tag) {
        return None;
    }
    let (from, to) = asked.split_once('-')?;
    match (from.trim(), to.trim()) {
        ("", last) => Some(Part::Last(last.parse().ok()?)),
        (from, "") => Some(Part::From(from.parse().ok()?, None)),
        (from, to) => {
            let (from, to) = (from.parse().ok()?, to.parse().ok()?);
            (from <= to).then_some(Part::From(from, Some(to)))
        }
    }
}

async fn in_part<'a>(
    answer: Answer,
    part: Part,
    ask: impl Fn() -> Outcome<'a>,
) -> Result<Answer, Issue> {
    let length = length(answer).await?;
    let (from, to) = match part {
        Part::From(from, to) => (from, to.unwrap_or(u64::MAX).min(length.saturating_sub(1))),
        Part::Last(last) => (length.saturating_sub(last), length.saturating_sub(1)),
    };
    if from >= length || part == Part::Last(0) {
        let issue =
            Issue::new(Code::ParameterInvalid, "the file ends before this part").at("Range");
        let refused = Answer { status: 416, ..Answer::from(issue) };
        return Ok(refused.with(CONTENT_RANGE, format!("bytes */{length}")));
    }
    let mut answer = ask().await?.with(ACCEPT_RANGES, "bytes");
    answer.status = 206;
    answer = answer.with(CONTENT_RANGE, format!("bytes {from}-{to}/{length}"));
    match answer.flow.take() {
        None => answer.body = answer.body.slice(from as usize..=to as usize),
        Some(flow) => {
            let body = flow.take().unwrap_or_default();
            answer.flow = Some(Flow::of(Cut { body, skip: from, left: to - from + 1 }));
        }
    }
    Ok(answer)
}

/// How long a file is. Errors: `StoreUnavailable` where it cannot be made to its end.
async fn length(answer: Answer) -> Result<u64, Issue> {
    let Some(flow) = answer.flow else { return Ok(answer.body.len() as u64) };
    let mut body = flow.take().unwrap_or_default();
    let mut length = 0;
    while let Some(data) = next(&mut body).await? {
        length += data.len() as u64;
    }
    Ok(length)
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, Issue> {
    loop {
        let Some(frame) = body.frame().await else { return Ok(None) };
        let broken =
            |_| Issue::new(Code::StoreUnavailable, "the file could not be made to its end");
        match frame.map_err(broken)?.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            _ => {}
        }
    }
}

/// Some of a body's bytes.
struct Cut {
    body: Body,
    skip: u64,
    left: u64,
}

impl Pieces for Cut {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Issue>> {
        Box::pin(async {
            while self.left > 0 {
                let Some(data) = next(&mut self.body).await? else { break };
                let skipped = self.skip.min(data.len() as u64);
                self.skip -= skipped;
                let data = data.slice(skipped as usize..);
                let given = data.slice(..self.left.min(data.len() as u64) as usize);
                self.left -= given.len() as u64;
                if !given.is_empty() {
                    return Ok(Some(given));
                }
            }
            Ok(None)
        })
    }
}

/// The same file packed, where the caller takes that and the file is made while it is taken.
fn packed(headers: &HeaderMap, mut answer: Answer, tag: Option<&str>) -> Answer {
    if answer.flow.is_none() {
        return answer;
    }
    answer = answer.with(VARY, ACCEPT_ENCODING.as_str());
    if !takes_gzip(headers) {
        return answer;
    }
    let body = answer.flow.take().and_then(|flow| flow.take()).unwrap_or_default();
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    answer.flow = Some(Flow::of(Packed { body, encoder: Some(encoder) }));
    if let Some(tag) = tag {
        answer.headers.retain(|(name, _)| *name != ETAG);
        answer = answer.with(ETAG, in_gzip(tag));
    }
    answer.with(CONTENT_ENCODING, "gzip")
}

/// Whether gzip is named, or everything is, and not excluded (RFC 9110 §12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let mut any = false;
    for one in lines.flat_map(|line| line.split(',')) {
        let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
        let excluded = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        match coding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return !excluded,
            "*" => any = !excluded,
            _ => {}
        }
    }
    any
}

struct Packed {
    body: Body,
    /// None behind the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Pieces for Packed {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Issue>> {
        Box::pin(async {
            let failed = |_| Issue::new(Code::InternalError, "a file could not be packed");
            while let Some(encoder) = &mut self.encoder {
                let piece = match next(&mut self.body).await? {
                    Some(data) => {
                        encoder.write_all(&data).map_err(failed)?;
                        std::mem::take(encoder.get_mut())
                    }
                    None => match self.encoder.take() {
                        Some(encoder) => encoder.finish().map_err(failed)?,
                        None => Vec::new(),
                    },
                };
                if !piece.is_empty() {
                    return Ok(Some(piece.into()));
                }
            }
            Ok(None)
        })
    }
}

#[cfg(test)]
mod tests {
    //! Goal: whatever a caller takes, put together it is the file, and never another one.
    #![allow(clippy::unwrap_used)]
    use super::*;
    use flate2::read::GzDecoder;
    use http::HeaderName;
    use std::io::Read;

    const FILE: &str = "0123456789";

    /// Headers sent; status, body and `Content-Range` answered.
    type Case<'t> = (&'t [(HeaderName, &'t str)], u16, &'t str, Option<&'t str>);

    struct Digits(usize);

    impl Pieces for Digits {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Issue>> {
            let from = self.0;
            self.0 = (from + 4).min(FILE.len());
            let piece = Bytes::from_static(&FILE.as_bytes()[from..self.0]);
            Box::pin(async move { Ok(Some(piece).filter(|piece| !piece.is_empty())) })
        }
    }

    async fn fetched(flowing: bool, headers: &[(HeaderName, &str)]) -> (Answer, Vec<u8>) {
        let sent = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        let ask = || -> Outcome<'_> {
            let answer = match flowing {
                true => Answer::flowing(200, Flow::of(Digits(0))),
                false => Answer::new(200, FILE),
            };
            Box::pin(async move { Ok(answer.with(ETAG, "\"e\"")) })
        };
        let answer = handed(&sent.collect(), ask).await.unwrap();
        let body = match &answer.flow {
            Some(flow) => flow.take().unwrap().collect().await.unwrap().to_bytes(),
            None => answer.body.clone(),
        };
        (answer, body.to_vec())
    }

    #[tokio::test]
    async fn a_part_says_where_it_stands_and_is_of_the_file_that_was_begun() {
        let table: [Case<'_>; 12] = [
            (&[], 200, FILE, None),
            (&[(RANGE, "bytes=3-")], 206, "3456789", Some("bytes 3-9/10")),
            (&[(RANGE, "bytes=0-0")], 206, "0", Some("bytes 0-0/10")),
            (&[(RANGE, "bytes=2-6")], 206, "23456", Some("bytes 2-6/10")),
            (&[(RANGE, "bytes=8-99")], 206, "89", Some("bytes 8-9/10")),
            (&[(RANGE, "bytes=-4")], 206, "6789", Some("bytes 6-9/10")),
            (&[(RANGE, "bytes=3-"), (IF_RANGE, "\"e\"")], 206, "3456789", Some("bytes 3-9/10")),
            (&[(RANGE, "bytes=3-"), (IF_RANGE, "\"other\"")], 200, FILE, None),
            (&[(RANGE, "bytes=0-1,4-5")], 200, FILE, None),
            (&[(RANGE, "bytes=6-2")], 200, FILE, None),
            (&[(RANGE, "lines=1-2")], 200, FILE, None),
            (&[(IF_NONE_MATCH, "\"x\", W/\"e\"")], 304, "", None),
        ];
        for flowing in [true, false] {
            for (headers, status, expected, range) in table {
                let (answer, body) = fetched(flowing, headers).await;
                assert_eq!(answer.status, status, "{headers:?}");
                assert_eq!(String::from_utf8(body).unwrap(), expected, "{headers:?}");
                assert_eq!(answer.header(&CONTENT_RANGE), range, "{headers:?}");
            }
            for beyond in ["bytes=10-", "bytes=-0"] {
                let (answer, body) = fetched(flowing, &[(RANGE, beyond)]).await;
                assert_eq!(
                    (answer.status, answer.header(&CONTENT_RANGE)),
                    (416, Some("bytes */10"))
                );
                assert!(String::from_utf8(body).unwrap().contains("parameter-invalid"));
            }
        }
    }

    #[tokio::test]
    async fn a_file_is_packed_for_whoever_takes_that() {
        let table = [
            (vec![(ACCEPT_ENCODING, "gzip")], true),
            (vec![(ACCEPT_ENCODING, "br, GZIP;q=0.5")], true),
            (vec![(ACCEPT_ENCODING, "*")], true),
            (vec![(ACCEPT_ENCODING, "gzip;q=0, *")], false),
            (vec![(ACCEPT_ENCODING, "identity")], false),
            (vec![], false),
            (vec![(ACCEPT_ENCODING, "gzip"), (RANGE, "bytes=0-")], false),
        ];
        for (headers, packed) in table {
            let (answer, body) = fetched(true, &headers).await;
            assert_eq!(answer.header(&CONTENT_ENCODING), packed.then_some("gzip"), "{headers:?}");
            let mut text = String::new();
            match packed {
                true => drop(GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap()),
                false => text = String::from_utf8(body).unwrap(),
            }
            assert_eq!(text, FILE, "{headers:?}");
            let tag = if packed { "\"e.gz\"" } else { "\"e\"" };
            assert_eq!(answer.header(&ETAG), Some(tag), "packed bytes are others: {headers:?}");
        }
    }
}
