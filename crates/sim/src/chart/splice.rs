//! Splice: find strings in JSON text and replace them, leaving every other byte alone.
//!
//! Comes in   JSON text that a parser has already accepted.
//! Goes out   the byte ranges of reference strings with their path; new bytes with edits applied.
//! Never      re-serialises, and never decides what a reference should become.
//!
//! Why a scanner of our own and no tree: a tree forgets where a string stood and how it was
//! spelt, and both are needed to leave the rest of the resource untouched.

use crate::limits::DEPTH_MAX;
use std::borrow::Cow;
use std::ops::Range;

/// A string value whose member name is `reference` or `url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Bytes of the value, quotes included.
    pub span: Range<usize>,
    /// Which member it is.
    pub member: Member,
    /// Where it stands, as FHIRPath below the resource: `participant[0].individual.reference`.
    pub path: String,
}

/// The members that may hold a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// `Reference.reference`.
    Reference,
    /// `Attachment.url` and other addresses; also `Extension.url`, which is never a reference.
    Url,
}

/// The text nests deeper than [`DEPTH_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooDeep;

/// Every string under a member `reference` or `url`, in order of the text.
///
/// The text must be well-formed JSON; for other text the answer is without meaning, but it ends.
pub fn references(text: &str) -> Result<Vec<Found>, TooDeep> {
    let bytes = text.as_bytes();
    let mut frames: Vec<Frame> = Vec::new();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' => frames.push(Frame::Object(None)),
            b'[' => frames.push(Frame::Array(0)),
            b'}' | b']' => drop(frames.pop()),
            b',' => match frames.last_mut() {
                Some(Frame::Array(index)) => *index += 1,
                Some(Frame::Object(key)) => *key = None,
                None => {}
            },
            b'"' => {
                let end = string_end(bytes, at);
                match frames.last_mut() {
                    Some(Frame::Object(key @ None)) => *key = Some(at..end),
                    Some(Frame::Object(Some(key))) => {
                        if let Some(member) = member(text, key) {
                            let path = path(text, &frames);
                            found.push(Found { span: at..end, member, path });
                        }
                    }
                    _ => {}
                }
                at = end;
                continue;
            }
            _ => {}
        }
        if frames.len() > DEPTH_MAX {
            return Err(TooDeep);
        }
        at += 1;
    }
    Ok(found)
}

/// Where the scanner is: in an object (with the span of the member name, once it is read), or in
/// the so-many-eth place of an array.
enum Frame {
    Object(Option<Range<usize>>),
    Array(usize),
}

/// The end of the string that opens at `start`, closing quote included.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn member(text: &str, key: &Range<usize>) -> Option<Member> {
    match string_at(text, key).as_deref() {
        Some("reference") => Some(Member::Reference),
        Some("url") => Some(Member::Url),
        _ => None,
    }
}

fn path(text: &str, frames: &[Frame]) -> String {
    let mut path = String::new();
    for frame in frames {
        match frame {
            Frame::Array(index) => path.push_str(&format!("[{index}]")),
            Frame::Object(Some(key)) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&string_at(text, key).unwrap_or_default());
            }
            Frame::Object(None) => {}
        }
    }
    path
}

/// The string that a span (quotes included) spells.
pub fn string_at<'a>(text: &'a str, span: &Range<usize>) -> Option<Cow<'a, str>> {
    let quoted = text.get(span.clone())?;
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str::<String>(quoted).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// One edit: these bytes of the source become those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; empty for an insertion.
    pub span: Range<usize>,
    /// What stands there instead.
    pub text: String,
}

impl Edit {
    /// Replaces a span by a JSON string that spells `value`.
    pub fn string(span: Range<usize>, value: &str) -> Edit {
        Edit { span, text: serde_json::Value::from(value).to_string() }
    }

    /// Puts text at a place, replacing nothing.
    pub fn insert(at: usize, text: impl Into<String>) -> Edit {
        Edit { span: at..at, text: text.into() }
    }
}

/// The source with the edits applied. An edit that overlaps an earlier one, or that points past
/// the end, is left out: edits are made from one reading of the same source, so none should.
pub fn splice(source: &str, mut edits: Vec<Edit>) -> Vec<u8> {
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let grown: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut out = Vec::with_capacity(source.len() + grown);
    let mut done = 0;
    for edit in edits {
        debug_assert!(edit.span.start >= done && edit.span.end <= source.len(), "edits overlap");
        let Some(between) = source.as_bytes().get(done..edit.span.start) else { continue };
        out.extend_from_slice(between);
        out.extend_from_slice(edit.text.as_bytes());
        done = edit.span.end;
    }
    out.extend_from_slice(source.as_bytes().get(done..).unwrap_or_default());
    out
}

/// The span of `part` in `whole`, when `part` was borrowed from `whole`.
pub(crate) fn span_of(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let span = start..start + part.len();
    (whole.get(span.clone()) == Some(part)).then_some(span)
}
