//! NDJSON as a stream: one resource a line, read as the bytes arrive.
//!
//! Comes in   pieces of a file, cut anywhere.
//! Goes out   a resource or a refusal for every line, with the line's number and position.
//! Never      holds more than one line, and never lets a bad line spoil the ones after it.
//!
//! Why lines are numbered and not keys or ids: a partner can find line 1207 of the file with any
//! tool, and the number says nothing about a patient.

use crate::json::ParseError;
use crate::resource::Resource;
use bytes::Bytes;

/// A reader that is fed with pieces of a file.
#[derive(Debug)]
pub struct Ndjson {
    line_bytes_max: usize,
    lines_max: u64,
    /// The beginning of a line whose end has not come yet.
    part: Vec<u8>,
    /// Whether the line being read is over the limit already and is being skipped.
    skipping: bool,
    /// Number of the line being read, from 1.
    line: u64,
    /// Where the line being read begins in the file.
    start: u64,
    /// Resources and refusals so far.
    count: u64,
    /// Whether the limit of lines was met: nothing more is read.
    closed: bool,
}

/// A line that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Number of the line, from 1; blank lines count.
    pub line: u64,
    /// Where the line begins in the file, in bytes.
    pub offset: u64,
    /// The resource on it.
    pub resource: Resource,
}

/// A line that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {error}")]
pub struct LineError {
    /// Number of the line, from 1.
    pub line: u64,
    /// Where the fault stands in the file, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub error: LineFault,
}

/// What can be wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It is no resource; the offset within counts from the start of the line.
    #[error(transparent)]
    Unreadable(#[from] ParseError),
    /// It was skipped to its end.
    #[error("the line is longer than {0} bytes")]
    TooLong(usize),
    /// Nothing after it is read.
    #[error("the file has more than {0} lines with content")]
    TooManyLines(u64),
}

impl Ndjson {
    /// A reader of at most `lines_max` lines with content, none longer than `line_bytes_max`
    /// (everything before the line feed counts).
    pub fn new(line_bytes_max: usize, lines_max: u64) -> Ndjson {
        Ndjson {
            line_bytes_max,
            lines_max,
            part: Vec::new(),
            skipping: false,
            line: 1,
            start: 0,
            count: 0,
            closed: false,
        }
    }

    /// Takes the next piece of the file; answers the lines that end in it.
    pub fn push(&mut self, mut piece: &[u8]) -> Vec<Result<Line, LineError>> {
        let mut lines = Vec::new();
        while let Some(end) = piece.iter().position(|&byte| byte == b'\n') {
            if self.closed {
                return lines;
            }
            let (head, rest) = (&piece[..end], &piece[end + 1..]);
            let length = self.part.len() as u64 + head.len() as u64 + 1;
            piece = rest;
            if !self.skipping && self.fits(head, &mut lines) {
                if self.part.is_empty() {
                    lines.extend(self.read(head));
                } else {
                    self.part.extend_from_slice(head);
                    let whole = std::mem::take(&mut self.part);
                    lines.extend(self.read(&whole));
                }
            }
            self.start += length;
            self.part.clear();
            self.skipping = false;
            self.line += 1;
        }
        if !self.closed {
            self.keep(piece, &mut lines);
        }
        lines
    }

    /// Ends the file; answers its last line when no line end followed it. A line that was sent
    /// by half is refused here, with its number.
    pub fn finish(mut self) -> Option<Result<Line, LineError>> {
        let last = std::mem::take(&mut self.part);
        if self.closed || self.skipping { None } else { self.read(&last) }
    }

    /// Keeps the beginning of a line until its end comes.
    fn keep(&mut self, piece: &[u8], lines: &mut Vec<Result<Line, LineError>>) {
        if self.skipping {
            self.start += piece.len() as u64;
        } else if self.fits(piece, lines) {
            self.part.extend_from_slice(piece);
        } else {
            self.start += self.part.len() as u64 + piece.len() as u64;
            self.part = Vec::new();
            self.skipping = true;
        }
    }

    /// Whether the line stays within its limit with `more`; refuses it when not.
    fn fits(&mut self, more: &[u8], lines: &mut Vec<Result<Line, LineError>>) -> bool {
        let fits = self.part.len() + more.len() <= self.line_bytes_max;
        if !fits && let Some(refusal) = self.counted() {
            lines.push(Err(refusal));
        } else if !fits {
            let offset = self.start + self.line_bytes_max as u64;
            let error = LineFault::TooLong(self.line_bytes_max);
            lines.push(Err(LineError { line: self.line, offset, error }));
        }
        fits
    }

    fn read(&mut self, line: &[u8]) -> Option<Result<Line, LineError>> {
        let blank = line.len() - line.trim_ascii_start().len();
        let content = line.trim_ascii();
        if content.is_empty() {
            return None;
        }
        if let Some(refusal) = self.counted() {
            return Some(Err(refusal));
        }
        Some(match Resource::parse(Bytes::copy_from_slice(content)) {
            Ok(resource) => Ok(Line { line: self.line, offset: self.start, resource }),
            Err(mut error) => {
                error.offset += blank;
                let offset = self.start + error.offset as u64;
                Err(LineError { line: self.line, offset, error: error.into() })
            }
        })
    }

    /// Counts a line with content; the one beyond the limit closes the reader.
    fn counted(&mut self) -> Option<LineError> {
        self.count += 1;
        self.closed = self.count > self.lines_max;
        self.closed.then_some(LineError {
            line: self.line,
            offset: self.start,
            error: LineFault::TooManyLines(self.lines_max),
        })
    }
}

/// Appends a resource and a line end. A raw line end can stand only between the tokens of JSON,
/// never in a string, so taking it out changes nothing but white space.
pub fn write_line(out: &mut Vec<u8>, resource: &Resource) {
    let breaks = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let bytes = resource.bytes();
    if bytes.iter().any(breaks) {
        out.extend(bytes.iter().filter(|byte| !breaks(byte)));
    } else {
        out.extend_from_slice(bytes);
    }
    out.push(b'\n');
}

/// One line for every resource, in their order.
pub fn write<'r>(resources: impl IntoIterator<Item = &'r Resource>) -> Vec<u8> {
    let mut out = Vec::new();
    resources.into_iter().for_each(|resource| write_line(&mut out, resource));
    out
}
