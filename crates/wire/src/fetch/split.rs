//! Split: lines out of a stream of bytes, each with its number and place.
//!
//! Comes in   the decoded file in pieces of any size; the length beyond which a line is not kept.
//! Goes out   lines as slices of a piece, without a copy; for a line that is too long its length.
//! Never      holds more than one piece and one line; ends because of one line.
//!
//! NDJSON: lines end with LF; a CR before it, white space around and empty lines mean nothing, and the
//! last line may lack its LF. A byte order mark, which some programs write, is left out.

use crate::limits::FILE_PIECE;
use bytes::{Bytes, BytesMut};
use exchange::{Code, Issue};
use std::io;

/// One line that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file, from 1; empty lines count.
    pub number: u64,
    /// Where it begins in the decoded file, in bytes.
    pub offset: u64,
    /// Where the next one begins.
    pub end: u64,
    /// Its text, without white space around it.
    pub text: Result<Bytes, TooLong>,
}

/// A line that was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong {
    /// Its bytes.
    pub bytes: u64,
    /// Its number.
    pub line: u64,
    /// Where it begins.
    pub offset: u64,
}

impl TooLong {
    /// The issue, in a file that the caller names: `output[3]`, never a URL.
    pub fn issue(&self, file: &str) -> Issue {
        let detail =
            format!("line {} has {} bytes, more than a resource may have", self.line, self.bytes);
        let issue = Issue::new(Code::FileInvalid, detail).at(file);
        Issue { offset: Some(self.offset), ..issue }
    }
}

/// A byte order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Splits a stream that begins at some line.
pub(super) struct Splitter {
    buffer: BytesMut,
    line_max: usize,
    /// Lines that have ended.
    lines: u64,
    /// Where the line in the buffer begins.
    begun: u64,
    /// Bytes of it that were thrown away, since it is too long.
    dropped: u64,
}

impl Splitter {
    /// After so many lines and bytes.
    pub(super) fn after(lines: u64, bytes: u64, line_max: usize) -> Splitter {
        Splitter { buffer: BytesMut::new(), line_max, lines, begun: bytes, dropped: 0 }
    }

    /// Reads until a piece is full or the stream ends; how many bytes came, and why no more could.
    pub(super) fn fill(&mut self, stream: &mut impl io::Read) -> (usize, io::Result<()>) {
        let held = self.buffer.len();
        self.buffer.resize(held + FILE_PIECE, 0);
        let mut came = 0;
        let result = loop {
            match stream.read(&mut self.buffer[held + came..]) {
                Ok(0) => break Ok(()),
                Ok(bytes) => came += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if came == FILE_PIECE {
                break Ok(());
            }
        };
        self.buffer.truncate(held + came);
        (came, result)
    }

    /// The lines that have ended.
    pub(super) fn ended(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some(last) = memchr::memrchr(b'\n', &self.buffer) {
            let block = self.buffer.split_to(last + 1).freeze();
            let mut from = 0;
            for newline in memchr::memchr_iter(b'\n', &block) {
                lines.extend(self.line(block.slice(from..newline), 1));
                from = newline + 1;
            }
        }
        if self.dropped > 0 || self.buffer.len() > self.line_max {
            self.dropped += self.buffer.len() as u64;
            self.buffer.clear();
        }
        lines
    }

    /// The last line, where the stream ends without a newline.
    pub(super) fn last(&mut self) -> Option<Line> {
        let rest = self.buffer.split().freeze();
        if rest.is_empty() && self.dropped == 0 {
            return None;
        }
        self.line(rest, 0)
    }

    /// A line that has ended, unless it is empty.
    fn line(&mut self, text: Bytes, newline: u64) -> Option<Line> {
        let offset = self.begun;
        let bytes = std::mem::take(&mut self.dropped) + text.len() as u64;
        self.lines += 1;
        self.begun += bytes + newline;
        let (number, end) = (self.lines, self.begun);
        if bytes > self.line_max as u64 {
            let text = Err(TooLong { bytes, line: number, offset });
            return Some(Line { number, offset, end, text });
        }
        let marked = if offset == 0 { text.strip_prefix(MARK) } else { None };
        let kept = marked.unwrap_or(&text).trim_ascii();
        let text = text.slice_ref(kept);
        (!text.is_empty()).then_some(Line { number, offset, end, text: Ok(text) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    //! Goal: whatever the pieces, the same lines at the same places; one that is too long costs itself.

    use super::*;
    use std::io::Read;

    /// Gives at most so many bytes at once.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let most = self.1.min(into.len());
            (&mut self.0).take(most as u64).read(into)
        }
    }

    fn lines(file: &[u8], drop: usize, line_max: usize) -> Vec<Line> {
        let mut splitter = Splitter::after(0, 0, line_max);
        let (mut stream, mut all) = (Drops(file, drop), Vec::new());
        loop {
            let (came, result) = splitter.fill(&mut stream);
            result.unwrap();
            if came == 0 {
                break;
            }
            all.extend(splitter.ended());
        }
        all.extend(splitter.last());
        all
    }

    fn told(line: &Line) -> (u64, u64, u64, Option<&str>) {
        let text = line.text.as_ref().ok().map(|text| std::str::from_utf8(text).unwrap());
        (line.number, line.offset, line.end, text)
    }

    #[test]
    fn lines_have_their_numbers_and_places() {
        type Told = &'static [(u64, u64, u64, Option<&'static str>)];
        let table: [(&str, &[u8], Told); 9] = [
            ("two", b"{}\n[]\n", &[(1, 0, 3, Some("{}")), (2, 3, 6, Some("[]"))]),
            (
                "the last without its newline",
                b"{}\n[]",
                &[(1, 0, 3, Some("{}")), (2, 3, 5, Some("[]"))],
            ),
            ("CR", b"{}\r\n[]\r\n", &[(1, 0, 4, Some("{}")), (2, 4, 8, Some("[]"))]),
            ("an empty one", b"{}\n\n \n[]\n", &[(1, 0, 3, Some("{}")), (4, 6, 9, Some("[]"))]),
            ("a mark", b"\xef\xbb\xbf{}\n", &[(1, 0, 6, Some("{}"))]),
            (
                "a mark in the middle stays",
                b"1\n\xef\xbb\xbf2\n",
                &[(1, 0, 2, Some("1")), (2, 2, 7, Some("\u{feff}2"))],
            ),
            ("nothing", b"", &[]),
            ("only newlines", b"\n\n\n", &[]),
            (
                "too long in the middle",
                b"1\n123456789\n2\n",
                &[(1, 0, 2, Some("1")), (2, 2, 12, None), (3, 12, 14, Some("2"))],
            ),
        ];
        for (case, file, expected) in table {
            for drop in [1, 2, 5, 1_000] {
                let lines = lines(file, drop, 8);
                assert_eq!(
                    lines.iter().map(told).collect::<Vec<_>>(),
                    expected,
                    "{case} by {drop}"
                );
            }
        }
    }

    #[test]
    fn a_line_longer_than_many_pieces_is_counted_and_not_held() {
        let mut file = b"{}\n".to_vec();
        file.resize(file.len() + 5 * FILE_PIECE, b'x');
        file.extend_from_slice(b"\n[]");
        let lines = lines(&file, FILE_PIECE, 1_000);
        assert_eq!(lines.len(), 3);
        let long = lines[1].text.as_ref().unwrap_err();
        assert_eq!((long.bytes, long.line, long.offset), (5 * FILE_PIECE as u64, 2, 3));
        assert_eq!(told(&lines[2]).3, Some("[]"));
        let issue = long.issue("output[0]");
        assert_eq!((issue.code, issue.offset), (Code::FileInvalid, Some(3)));
    }

    #[test]
    fn a_file_that_ends_in_too_long_a_line_says_so() {
        let file = [b"{}\n".as_slice(), &[b'x'; 20]].concat();
        let lines = lines(&file, 7, 8);
        assert_eq!(lines[1].text.as_ref().unwrap_err().bytes, 20);
        assert_eq!(lines.len(), 2);
    }
}
