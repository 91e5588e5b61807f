//! The one pass over the text: grammar, depth, duplicate members, positions.
//!
//! Comes in   valid UTF-8.
//! Goes out   the list of values, and the first fault if there is one.
//! Never      accepts what RFC 8259 does not, nor the same member twice, nor a lone surrogate, nor
//!            U+0000, nor escapes in member names (`\u0069d`): one reader would see another name than the next.

use super::{Kind, Reason, Token};
use crate::limits::DEPTH_MAX;
use std::collections::HashSet;

/// The first thing that is wrong.
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) reason: Reason,
}

/// Positions of a member name's content.
type Key = (u32, u32);

/// FHIR text averages well above this many bytes for a value, so the list rarely grows.
const BYTES_PER_VALUE: usize = 16;

pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    values_max: usize,
}

impl<'a> Reader<'a> {
    /// Reads a whole text. With a fault, the values open at it are left open in the list.
    pub(super) fn read(text: &'a str, values_max: usize) -> (Vec<Token>, Option<Fault>) {
        let tokens = Vec::with_capacity((text.len() / BYTES_PER_VALUE).min(values_max) + 4);
        let mut reader = Reader { text, at: 0, tokens, values_max };
        let fault = reader.document().err();
        (reader.tokens, fault)
    }

    fn document(&mut self) -> Result<(), Fault> {
        self.space();
        if self.at == self.text.len() {
            return Err(self.fault(Reason::Empty));
        }
        self.value((0, 0), 0)?;
        self.space();
        if self.at < self.text.len() { Err(self.fault(Reason::Trailing)) } else { Ok(()) }
    }

    fn fault(&self, reason: Reason) -> Fault {
        Fault { offset: self.at, reason }
    }

    /// Something is wrong with what began at `start`, or the text ends within it.
    fn broken(&self, start: usize, reason: Reason) -> Fault {
        let end = self.text.len();
        if self.at >= end {
            Fault { offset: end, reason: Reason::Unfinished }
        } else {
            Fault { offset: start, reason }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, key: Key, depth: usize) -> Result<(), Fault> {
        let index = self.tokens.len();
        // Listed before it is read: what goes wrong from here on goes wrong at this value.
        self.tokens.push(Token::open(self.at, key));
        if depth >= DEPTH_MAX {
            return Err(self.fault(Reason::TooDeep));
        }
        if index >= self.values_max {
            return Err(self.fault(Reason::TooMany("values")));
        }
        let kind = match self.peek() {
            Some(b'"') => self.string().map(|_| Kind::String),
            Some(b'{') => {
                self.tokens[index].kind = Kind::Object;
                self.object(depth).map(|()| Kind::Object)
            }
            Some(b'[') => {
                self.tokens[index].kind = Kind::Array;
                self.array(depth).map(|()| Kind::Array)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Kind::Number),
            Some(b't') => self.word("true").map(|()| Kind::Boolean),
            Some(b'f') => self.word("false").map(|()| Kind::Boolean),
            Some(b'n') => self.word("null").map(|()| Kind::Null),
            Some(_) => Err(self.fault(Reason::Unexpected)),
            None => Err(self.fault(Reason::Unfinished)),
        }?;
        let next = self.tokens.len() as u32;
        self.tokens[index].close(kind, self.at, next);
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), Fault> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut names = Names::default();
        loop {
            match self.peek() {
                Some(b'"') => {}
                Some(_) => return Err(self.fault(Reason::Unexpected)),
                None => return Err(self.fault(Reason::Unfinished)),
            }
            let quote = self.at;
            let (name, escaped) = self.string()?;
            if escaped {
                return Err(Fault { offset: quote, reason: Reason::EscapedName });
            }
            if !names.insert(self.text, name) {
                return Err(Fault { offset: quote, reason: Reason::DuplicateMember });
            }
            self.space();
            self.expect(b':')?;
            self.space();
            self.value(name, depth + 1)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.expect(b'}'),
            }
            self.space();
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value((0, 0), depth + 1)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.expect(b']'),
            }
            self.space();
        }
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Fault> {
        match self.peek() {
            Some(found) if found == wanted => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.fault(Reason::Unexpected)),
            None => Err(self.fault(Reason::Unfinished)),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        word.bytes().try_for_each(|wanted| self.expect(wanted))
    }

    /// Reads a string; answers the positions of its content and whether it holds escapes.
    fn string(&mut self) -> Result<(Key, bool), Fault> {
        self.at += 1;
        let start = self.at as u32;
        let mut escaped = false;
        loop {
            self.at += plain(&self.text.as_bytes()[self.at..]);
            match self.peek() {
                None => return Err(self.fault(Reason::Unfinished)),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(((start, self.at as u32 - 1), escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.fault(Reason::ControlCharacter)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                match self.hex4(start)? {
                    // R4 §2.24.0.1: a string holds no U+0000; neither does a store's text.
                    0 => return Err(Fault { offset: start, reason: Reason::Nought }),
                    0xd800..0xdc00 => self.low_surrogate(start)?,
                    0xdc00..0xe000 => return Err(self.broken(start, Reason::Escape)),
                    _ => {}
                }
            }
            _ => return Err(self.broken(start, Reason::Escape)),
        }
        Ok(())
    }

    /// The second half of a character beyond U+FFFF, whose first half began at `start`.
    fn low_surrogate(&mut self, start: usize) -> Result<(), Fault> {
        for wanted in [b'\\', b'u'] {
            if self.peek() != Some(wanted) {
                return Err(self.broken(start, Reason::Escape));
            }
            self.at += 1;
        }
        match self.hex4(start)? {
            0xdc00..0xe000 => Ok(()),
            _ => Err(Fault { offset: start, reason: Reason::Escape }),
        }
    }

    fn hex4(&mut self, start: usize) -> Result<u32, Fault> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return Err(self.broken(start, Reason::Escape)) };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits(start)?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits(start)?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits(start)?;
        }
        match self.peek() {
            Some(b'0'..=b'9' | b'.' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-') => {
                Err(Fault { offset: start, reason: Reason::Number })
            }
            _ => Ok(()),
        }
    }

    /// One digit or more.
    fn digits(&mut self, start: usize) -> Result<(), Fault> {
        let first = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > first { Ok(()) } else { Err(self.broken(start, Reason::Number)) }
    }
}

/// How many bytes from the start are neither a quote, a backslash nor a control character.
/// Eight bytes are looked at in one step, since most of a resource is text in strings.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let equal = |word: u64, byte: u8| zeros(word ^ (ONES * u64::from(byte)));
    let mut at = 0;
    while let Some(Ok(eight)) = bytes.get(at..at + 8).map(<[u8; 8]>::try_from) {
        let word = u64::from_le_bytes(eight);
        let control = word.wrapping_sub(ONES * 0x20) & !word & (ONES << 7);
        let found = control | equal(word, b'"') | equal(word, b'\\');
        if found != 0 {
            // A borrow can only mark bytes above the first one that is truly found.
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let stops = |byte: &u8| matches!(byte, 0..0x20 | b'"' | b'\\');
    at + bytes[at..].iter().position(stops).unwrap_or(bytes.len() - at)
}

/// How many member names are searched one by one before they are hashed.
const NAMES_FEW: usize = 16;

/// The member names of one object: a short list is searched, a long one is hashed, so that an
/// object of a hundred thousand members costs no more than its length.
#[derive(Default)]
struct Names<'a> {
    few: [Key; NAMES_FEW],
    count: usize,
    many: Option<HashSet<&'a str>>,
}

impl<'a> Names<'a> {
    /// Takes a name; `false` when it was there.
    fn insert(&mut self, text: &'a str, name: Key) -> bool {
        let read = |key: Key| &text[key.0 as usize..key.1 as usize];
        let mut seen = self.few[..self.count].iter();
        if self.count < NAMES_FEW {
            let new = !seen.any(|&seen| read(seen) == read(name));
            self.few[self.count] = name;
            self.count += 1;
            return new;
        }
        self.many.get_or_insert_with(|| seen.map(|&seen| read(seen)).collect()).insert(read(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_a_limited_number_of_values() {
        let (tokens, fault) = Reader::read("[1,[2,3]]", 5);
        assert!(fault.is_none() && tokens.len() == 5);
        let (_, fault) = Reader::read("[1,[2,3]]", 4);
        let fault = fault.map(|fault| (fault.offset, fault.reason));
        assert_eq!(fault, Some((6, Reason::TooMany("values"))));
    }

    #[test]
    fn plain_text_ends_at_the_first_sign_wherever_it_stands() {
        for length in 0..40 {
            for sign in [b'"', b'\\', 0x1f, 0, b'\n'] {
                for filler in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                    let mut bytes = vec![filler; length];
                    assert_eq!(plain(&bytes), length);
                    bytes.push(sign);
                    bytes.extend([b'"'; 9]);
                    assert_eq!(plain(&bytes), length, "{sign:#x} after {length} of {filler:#x}");
                }
            }
        }
    }

    #[test]
    fn a_member_is_found_twice_in_short_and_in_long_objects() {
        for length in [1, 2, 15, 16, 17, 18, 100] {
            for twice in 0..length {
                let names = (0..length).chain([twice]).map(|n| format!("\"n{n}\":0"));
                let text = format!("{{{}}}", names.collect::<Vec<_>>().join(","));
                let (_, fault) = Reader::read(&text, 1000);
                let reason = fault.map(|fault| fault.reason);
                assert_eq!(reason, Some(Reason::DuplicateMember), "{twice} of {length}");
            }
        }
    }
}
