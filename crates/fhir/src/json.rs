//! A strict reading of JSON that keeps the bytes and remembers where everything stands.
//!
//! Comes in   bytes that claim to be one JSON document.
//! Goes out   a `Doc`: a flat list of values with their byte positions; nothing is copied.
//! Never      repairs, normalises or panics; a document is whole or it is refused with its place.
//!
//! Why our own reader: one pass gives validity, duplicate members, depth and the byte positions
//! that edits are made at. A value tree would lose the digits of laboratory decimals, and a
//! serializer would change bytes that a digest was taken of.

use crate::limits::{DEPTH_MAX, DOCUMENT_BYTES_MAX};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

/// What kind of JSON value a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// A number, kept as text.
    Number,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
}

/// Why bytes are not a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (byte {offset}, {expression})")]
pub struct ParseError {
    /// Byte offset of the offence from the start of the body.
    pub offset: usize,
    /// FHIRPath of the value being read there.
    pub expression: String,
    /// What is wrong. Never quotes the body.
    pub reason: Reason,
}

/// What can be wrong with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages are the documentation
pub enum Reason {
    #[error("the body is empty")]
    Empty,
    #[error("the body is larger than can be read")]
    TooLarge,
    #[error("a byte order mark is not allowed in FHIR JSON")]
    ByteOrderMark,
    #[error("the text is not valid UTF-8")]
    Utf8,
    #[error("the text ends in the middle of a value")]
    Unfinished,
    #[error("a character stands where none may stand")]
    Unexpected,
    #[error("text follows after the end of the document")]
    Trailing,
    #[error("a number is not written as JSON allows")]
    Number,
    #[error("a string holds a raw control character")]
    ControlCharacter,
    #[error("a string holds an escape that JSON does not know")]
    Escape,
    #[error("an object has the same member twice")]
    DuplicateMember,
    #[error("values are nested too deeply")]
    TooDeep,
    #[error("the value has the wrong JSON type: {0} is needed")]
    WrongType(&'static str),
    #[error("the element {0} is missing")]
    Missing(&'static str),
    #[error("the value is not allowed here: {0}")]
    Value(&'static str),
}

/// One value of the document. `start..end` covers the value with its quotes or brackets.
#[derive(Debug, Clone, Copy)]
struct Token {
    kind: Kind,
    start: u32,
    end: u32,
    /// Content of the member name (without quotes); `0..0` for items and the root.
    key: (u32, u32),
    /// Position in the list just past this value and everything below it.
    next: u32,
}

/// A well-formed document: the bytes and the list of their values.
#[derive(Debug, Clone)]
pub struct Doc<'a> {
    text: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Doc<'a> {
    /// Reads one document. Errors name the byte and the FHIRPath.
    pub fn parse(bytes: &'a [u8]) -> Result<Doc<'a>, ParseError> {
        let whole = |offset, reason| ParseError { offset, expression: "$this".into(), reason };
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(whole(DOCUMENT_BYTES_MAX, Reason::TooLarge));
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err(whole(0, Reason::ByteOrderMark));
        }
        // A valid prefix is still read, so that an earlier fault of syntax is named first.
        let (text, broken_at) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let valid = &bytes[..error.valid_up_to()];
                (std::str::from_utf8(valid).unwrap_or_default(), Some(error.valid_up_to()))
            }
        };
        let mut reader = Reader { text, at: 0, tokens: Vec::with_capacity(text.len() / 16 + 4) };
        match reader.document() {
            Ok(()) if broken_at.is_none() => Ok(Doc { text, tokens: reader.tokens }),
            Ok(()) => Err(whole(text.len(), Reason::Utf8)),
            Err(Fault { offset, reason }) => {
                let reason = match broken_at {
                    Some(_) if offset >= text.len() => Reason::Utf8,
                    _ => reason,
                };
                let expression = reader.expression_at(offset);
                Err(ParseError { offset, expression, reason })
            }
        }
    }

    /// The outermost value.
    pub fn root(&self) -> Node<'_, 'a> {
        Node { doc: self, index: 0 }
    }

    /// The text the document was read from.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The value whose span is exactly `start..end`, if one is.
    pub fn node_at(&self, span: &Range<usize>) -> Option<Node<'_, 'a>> {
        let mut node = self.root();
        loop {
            if node.span() == *span {
                return Some(node);
            }
            node = node.children().find(|child| {
                let inner = child.span();
                inner.start <= span.start && span.end <= inner.end
            })?;
        }
    }
}

/// One value within a document.
#[derive(Debug, Clone, Copy)]
pub struct Node<'d, 'a> {
    doc: &'d Doc<'a>,
    index: u32,
}

impl PartialEq for Node<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.doc, other.doc) && self.index == other.index
    }
}

impl<'d, 'a> Node<'d, 'a> {
    fn token(&self) -> Token {
        self.doc.tokens[self.index as usize]
    }

    /// The kind of value.
    pub fn kind(&self) -> Kind {
        self.token().kind
    }

    /// Byte positions of the value, with its quotes or brackets.
    pub fn span(&self) -> Range<usize> {
        let token = self.token();
        token.start as usize..token.end as usize
    }

    /// Byte positions of the whole member: from the quote of its name to the end of its value.
    /// The same as `span` for items of arrays and for the root.
    pub fn member_span(&self) -> Range<usize> {
        let token = self.token();
        match token.key {
            (0, 0) => self.span(),
            (start, _) => start as usize - 1..token.end as usize,
        }
    }

    /// The text of the value as it stands in the document.
    pub fn raw(&self) -> &'a str {
        &self.doc.text[self.span()]
    }

    /// The name of the member, as written; empty for items of arrays and the root.
    pub fn name(&self) -> &'a str {
        let (start, end) = self.token().key;
        &self.doc.text[start as usize..end as usize]
    }

    /// The member of an object with this name.
    pub fn get(&self, name: &str) -> Option<Node<'d, 'a>> {
        self.members().find(|member| member.name() == name)
    }

    /// The members of an object, in their order; nothing for other kinds.
    pub fn members(&self) -> Children<'d, 'a> {
        if self.kind() == Kind::Object { self.children() } else { self.none() }
    }

    /// The items of an array, in their order; nothing for other kinds.
    pub fn items(&self) -> Children<'d, 'a> {
        if self.kind() == Kind::Array { self.children() } else { self.none() }
    }

    /// Members or items, whichever the value has.
    pub fn children(&self) -> Children<'d, 'a> {
        Children { doc: self.doc, at: self.index + 1, end: self.token().next }
    }

    /// The value itself, or the items when it is an array: FHIR's elements that repeat.
    pub fn each(&self) -> impl Iterator<Item = Node<'d, 'a>> + use<'d, 'a> {
        let single = (self.kind() != Kind::Array).then_some(*self);
        single.into_iter().chain(self.items())
    }

    /// Every value below this one, in document order, this one first.
    pub fn descendants(&self) -> impl Iterator<Item = Node<'d, 'a>> + use<'d, 'a> {
        let doc = self.doc;
        (self.index..self.token().next).map(move |index| Node { doc, index })
    }

    fn none(&self) -> Children<'d, 'a> {
        Children { doc: self.doc, at: 0, end: 0 }
    }

    /// The content of a string with its escapes resolved; `None` for other kinds.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        (self.kind() == Kind::String).then(|| {
            let span = self.span();
            unescape(&self.doc.text[span.start + 1..span.end - 1])
        })
    }

    /// The text of any primitive: strings unescaped, numbers and booleans as written.
    pub fn primitive(&self) -> Option<Cow<'a, str>> {
        match self.kind() {
            Kind::String => self.text(),
            Kind::Number | Kind::Boolean => Some(Cow::Borrowed(self.raw())),
            Kind::Object | Kind::Array | Kind::Null => None,
        }
    }

    /// FHIRPath of the value, for example `Patient.name[0].given[1]`.
    pub fn expression(&self) -> String {
        expression(self.doc.text, &self.doc.tokens, self.token().start as usize, Some(self.index))
    }

    /// A refusal at this value.
    pub fn error(&self, reason: Reason) -> ParseError {
        ParseError { offset: self.span().start, expression: self.expression(), reason }
    }
}

/// Members of an object or items of an array.
#[derive(Debug, Clone)]
pub struct Children<'d, 'a> {
    doc: &'d Doc<'a>,
    at: u32,
    end: u32,
}

impl<'d, 'a> Iterator for Children<'d, 'a> {
    type Item = Node<'d, 'a>;

    fn next(&mut self) -> Option<Node<'d, 'a>> {
        if self.at >= self.end {
            return None;
        }
        let node = Node { doc: self.doc, index: self.at };
        self.at = node.token().next;
        Some(node)
    }
}

/// Resolves the escapes of a string's content. Only called on text the reader has accepted.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    // The reader has accepted the text, so the library's reading of the same literal succeeds.
    match serde_json::from_str::<String>(&format!("\"{raw}\"")) {
        Ok(text) => Cow::Owned(text),
        Err(_) => Cow::Borrowed(raw),
    }
}

/// Walks down to the value that covers `offset` and writes the way as FHIRPath.
fn expression(text: &str, tokens: &[Token], offset: usize, stop: Option<u32>) -> String {
    let name = |key: (u32, u32)| &text[key.0 as usize..key.1 as usize];
    let Some(root) = tokens.first() else { return "$this".into() };
    let children = |at: usize| {
        let end = (tokens[at].next as usize).min(tokens.len());
        let mut child = at + 1;
        std::iter::from_fn(move || {
            let found = (child < end).then_some(child)?;
            child = (tokens[found].next as usize).max(found + 1);
            Some(found)
        })
    };
    let kind = children(0).find(|&at| name(tokens[at].key) == "resourceType");
    let kind =
        kind.map(|at| text[tokens[at].start as usize..tokens[at].end as usize].trim_matches('"'));
    let mut way = match kind {
        Some(kind) if root.kind == Kind::Object && kind.chars().all(char::is_alphanumeric) => {
            kind.to_owned()
        }
        _ => "$this".to_owned(),
    };
    let mut at = 0usize;
    while stop != Some(at as u32) {
        let found = children(at)
            .enumerate()
            .take_while(|&(_, child)| {
                (tokens[child].key.0.max(1) as usize - 1).min(tokens[child].start as usize)
                    <= offset
                    || tokens[at].kind == Kind::Array && tokens[child].start as usize <= offset
            })
            .last();
        let Some((position, child)) = found else { break };
        if (tokens[child].end as usize) <= offset && stop.is_none() {
            break;
        }
        match tokens[at].kind {
            Kind::Array => way.push_str(&format!("[{position}]")),
            _ => {
                way.push('.');
                way.push_str(name(tokens[child].key));
            }
        }
        at = child;
    }
    way
}

struct Fault {
    offset: usize,
    reason: Reason,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl Reader<'_> {
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

    /// The place of a fault: the innermost value that was open when reading stopped.
    fn expression_at(&mut self, offset: usize) -> String {
        let end = self.text.len() as u32 + 1;
        let past = self.tokens.len() as u32;
        for token in &mut self.tokens {
            if token.next == 0 {
                (token.end, token.next) = (end, past);
            }
        }
        expression(self.text, &self.tokens, offset, None)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, key: (u32, u32), depth: usize) -> Result<(), Fault> {
        if depth >= DEPTH_MAX {
            return Err(self.fault(Reason::TooDeep));
        }
        let index = self.tokens.len();
        let kind = match self.peek() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(_) => return Err(self.fault(Reason::Unexpected)),
            None => return Err(self.fault(Reason::Unfinished)),
        };
        // `next` stays 0 until the value is closed: that marks it open when a fault is placed.
        self.tokens.push(Token { kind, start: self.at as u32, end: 0, key, next: 0 });
        match kind {
            Kind::Object => self.object(depth)?,
            Kind::Array => self.array(depth)?,
            Kind::String => drop(self.string()?),
            Kind::Number => self.number()?,
            Kind::Boolean if self.peek() == Some(b't') => self.word("true")?,
            Kind::Boolean => self.word("false")?,
            Kind::Null => self.word("null")?,
        }
        let next = self.tokens.len() as u32;
        let token = &mut self.tokens[index];
        (token.end, token.next) = (self.at as u32, next);
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), Fault> {
        let mut names = Names::default();
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            match self.peek() {
                Some(b'"') => {}
                Some(_) => return Err(self.fault(Reason::Unexpected)),
                None => return Err(self.fault(Reason::Unfinished)),
            }
            let quote = self.at;
            let name = self.string()?;
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
        for wanted in word.bytes() {
            self.expect(wanted)?;
        }
        Ok(())
    }

    /// Reads a string; answers the positions of its content.
    fn string(&mut self) -> Result<(u32, u32), Fault> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                None => return Err(self.fault(Reason::Unfinished)),
                Some(b'"') => {
                    self.at += 1;
                    return Ok((start as u32, self.at as u32 - 1));
                }
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => return Err(self.fault(Reason::ControlCharacter)),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let bad = Fault { offset: start, reason: Reason::Escape };
        self.at += 2;
        match self.text.as_bytes().get(start + 1) {
            None => Err(Fault { offset: start, reason: Reason::Unfinished }),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => match self.hex4() {
                Some(0xd800..0xdc00) => {
                    let low = self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u");
                    self.at += 2;
                    match low.then(|| self.hex4()).flatten() {
                        Some(0xdc00..0xe000) => Ok(()),
                        _ => Err(bad),
                    }
                }
                Some(0xdc00..0xe000) | None => Err(bad),
                Some(_) => Ok(()),
            },
            Some(_) => Err(bad),
        }
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let bad = Fault { offset: start, reason: Reason::Number };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => drop(self.digits()),
            _ => return Err(bad),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !self.digits() {
                return Err(bad);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !self.digits() {
                return Err(bad);
            }
        }
        match self.peek() {
            Some(b'0'..=b'9' | b'.' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-') => Err(bad),
            _ => Ok(()),
        }
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > start
    }
}

/// The member names of one object: a short list is searched, a long one is hashed, so that an
/// object of a hundred thousand members costs no more than its length.
#[derive(Default)]
struct Names {
    few: Vec<(u32, u32)>,
    many: HashSet<String>,
}

impl Names {
    fn insert(&mut self, text: &str, name: (u32, u32)) -> bool {
        let read = |key: (u32, u32)| unescape(&text[key.0 as usize..key.1 as usize]);
        if self.many.is_empty() && self.few.len() < 16 {
            let wanted = read(name);
            if self.few.iter().any(|&seen| read(seen) == wanted) {
                return false;
            }
            self.few.push(name);
            return true;
        }
        for seen in self.few.drain(..) {
            self.many.insert(read(seen).into_owned());
        }
        self.many.insert(read(name).into_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_fault_names_its_byte_and_place() {
        let table: &[(&str, &[u8], usize, &str, Reason)] = &[
            ("nothing", b"", 0, "$this", Reason::Empty),
            ("a mark in front", b"\xef\xbb\xbf{}", 0, "$this", Reason::ByteOrderMark),
            (
                "cut short",
                br#"{"resourceType":"Patient","name":[{"family":"#,
                44,
                "Patient.name[0]",
                Reason::Unfinished,
            ),
            ("text behind", br#"{"resourceType":"Patient"} x"#, 27, "Patient", Reason::Trailing),
            (
                "a member twice",
                br#"{"resourceType":"Patient","id":"a","id":"b"}"#,
                35,
                "Patient",
                Reason::DuplicateMember,
            ),
            (
                "the same by escape",
                br#"{"id":"a","\u0069d":"b"}"#,
                10,
                "$this",
                Reason::DuplicateMember,
            ),
            ("a number like 01", br#"{"a":[01]}"#, 6, "$this.a[0]", Reason::Number),
            ("a lone surrogate", br#"{"a":"\ud800"}"#, 6, "$this.a", Reason::Escape),
            ("a raw tab", b"{\"a\":\"\t\"}", 6, "$this.a", Reason::ControlCharacter),
            ("a comma too many", br#"{"a":1,}"#, 7, "$this", Reason::Unexpected),
            ("not UTF-8", b"{\"a\":\"\xff\"}", 6, "$this.a", Reason::Utf8),
        ];
        for (case, bytes, offset, expression, reason) in table {
            let error = Doc::parse(bytes).unwrap_err();
            assert_eq!((error.offset, error.reason), (*offset, *reason), "{case}");
            assert_eq!(error.expression, *expression, "{case}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000);
        assert_eq!(Doc::parse(deep.as_bytes()).unwrap_err().reason, Reason::TooDeep);
    }

    #[test]
    fn a_node_knows_its_place_and_its_bytes() {
        let text = r#"{"resourceType":"Patient","name":[{"given":["A","B\/C"]}],"n":1.00}"#;
        let doc = Doc::parse(text.as_bytes()).unwrap();
        let name = doc.root().get("name").unwrap();
        let given = name.items().next().unwrap().get("given").unwrap().items().nth(1).unwrap();
        assert_eq!(given.expression(), "Patient.name[0].given[1]");
        assert_eq!(given.text().unwrap(), "B/C");
        assert_eq!(doc.root().get("n").unwrap().raw(), "1.00");
        assert_eq!(doc.node_at(&given.span()), Some(given));
    }
}
