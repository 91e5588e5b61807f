//! A strict reading of JSON that keeps the bytes and remembers where everything stands.
//!
//! Comes in   bytes that claim to be one JSON document.
//! Goes out   a `Doc`: a flat list of values with their byte positions; nothing is copied.
//! Never      repairs, normalises or panics; a document is whole or it is refused with its place.
//!
//! Why our own reader: one pass gives validity, duplicate members, depth and the byte positions
//! that edits are made at. A value tree would lose the digits of laboratory decimals, and a
//! serializer would change bytes that a digest was taken of.

mod place;
mod reader;

use crate::limits::{DOCUMENT_BYTES_MAX, VALUES_MAX};
use reader::{Fault, Reader};
use std::borrow::Cow;
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
    #[error("a string holds the character U+0000, which FHIR forbids")]
    Nought,
    #[error("an object has the same member twice")]
    DuplicateMember,
    #[error("a member name is written with escapes, so that readers may take it for another")]
    EscapedName,
    #[error("values are nested too deeply")]
    TooDeep,
    #[error("the value has the wrong JSON type: {0} is needed")]
    WrongType(&'static str),
    #[error("the element {0} is missing")]
    Missing(&'static str),
    #[error("the value is not allowed here: {0}")]
    Value(&'static str),
    #[error("there are more {0} than can be taken")]
    TooMany(&'static str),
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

impl Token {
    /// A value that begins here. `next` stays 0 until it is closed.
    fn open(at: usize, key: (u32, u32)) -> Token {
        Token { kind: Kind::Null, start: at as u32, end: 0, key, next: 0 }
    }

    fn close(&mut self, kind: Kind, end: usize, next: u32) {
        (self.kind, self.end, self.next) = (kind, end as u32, next);
    }

    fn is_open(self) -> bool {
        self.next == 0
    }
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
        let (tokens, fault) = Reader::read(text, VALUES_MAX);
        let fault = match (fault, broken_at) {
            (None, None) => return Ok(Doc { text, tokens }),
            (None, Some(offset)) => Fault { offset, reason: Reason::Utf8 },
            (Some(fault), Some(offset)) if fault.offset >= offset => {
                Fault { offset, reason: Reason::Utf8 }
            }
            (Some(fault), _) => fault,
        };
        let expression = place::of_fault(text, &tokens);
        Err(ParseError { offset: fault.offset, expression, reason: fault.reason })
    }

    /// The outermost value.
    pub fn root(&self) -> Node<'_, 'a> {
        Node { doc: self, index: 0 }
    }

    /// The text the document was read from.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The object or array that holds a value; nothing for the root.
    pub fn parent(&self, node: Node<'_, '_>) -> Option<Node<'_, 'a>> {
        let mut at = self.root();
        loop {
            let below = at.children().find(|child| node.index < child.token().next)?;
            if below.index == node.index {
                return Some(at);
            }
            at = below;
        }
    }

    /// The value whose span is exactly `start..end`, if one is.
    pub fn node_at(&self, span: &Range<usize>) -> Option<Node<'_, 'a>> {
        // Values are listed in the order in which they begin, no two at the same byte.
        let begins = |token: &Token| token.start as usize;
        let index = self.tokens.binary_search_by_key(&span.start, begins).ok()?;
        Some(Node { doc: self, index: index as u32 }).filter(|node| node.span() == *span)
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
        place::of_value(self.doc.text, &self.doc.tokens, self.index)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    #[rustfmt::skip] // a table is read down
    fn every_fault_names_its_byte_and_place() {
        use Reason::*;
        let table: &[(&str, &[u8], &str, Reason)] = &[
            ("nothing", b"@", "$this", Empty),
            ("only space", b" \n@", "$this", Empty),
            ("a mark in front", b"@\xef\xbb\xbf{}", "$this", ByteOrderMark),
            ("cut within an object", br#"{"resourceType":"Patient",@"#, "Patient", Unfinished),
            (
                "cut after a colon",
                br#"{"resourceType":"Patient","name":[{"family":@"#,
                "Patient.name[0].family",
                Unfinished,
            ),
            (
                "cut within a string",
                br#"{"resourceType":"Patient","id":"a@"#,
                "Patient.id",
                Unfinished,
            ),
            ("cut within an escape", br#"{"a":"\u00@"#, "$this.a", Unfinished),
            ("cut between surrogates", br#"{"a":"\ud83d@"#, "$this.a", Unfinished),
            ("cut within a number", br#"{"a":[0,-@"#, "$this.a[1]", Unfinished),
            ("cut within a word", br#"{"a":tru@"#, "$this.a", Unfinished),
            ("cut within a key", br#"{"a":1,"b@"#, "$this", Unfinished),
            ("cut within the type", br#"{"resourceType":"Pat@"#, "$this.resourceType", Unfinished),
            ("text behind", br#"{"resourceType":"Patient"} @x"#, "Patient", Trailing),
            ("two documents", br#"{}@{}"#, "$this", Trailing),
            (
                "a member twice",
                br#"{"resourceType":"Patient","id":"a",@"id":"b"}"#,
                "Patient",
                DuplicateMember,
            ),
            ("a name by escape", br#"{"id":"a",@"\u0069d":"b"}"#, "$this", EscapedName),
            (
                "twice, deep within",
                br#"{"a":[1,{"b":[[],{"c":1,@"c":2}]}]}"#,
                "$this.a[1].b[1]",
                DuplicateMember,
            ),
            ("an escape in a key", br#"{"a":{"b@\x":1}}"#, "$this.a", Escape),
            ("a key without quotes", br#"{"a":{@b:1}}"#, "$this.a", Unexpected),
            ("a key without colon", br#"{"a":1,"b" @2}"#, "$this", Unexpected),
            ("a member without value", br#"{"a":{"b":@}}"#, "$this.a.b", Unexpected),
            ("a number like 01", br#"{"a":[@01]}"#, "$this.a[0]", Number),
            ("a number like 1.", br#"{"a":[1,@1.]}"#, "$this.a[1]", Number),
            ("a number like .5", br#"{"a":@.5}"#, "$this.a", Unexpected),
            ("a number like 1e", br#"{"a":@1e}"#, "$this.a", Number),
            ("a number like +1", br#"{"a":@+1}"#, "$this.a", Unexpected),
            ("not a number", br#"{"a":@NaN}"#, "$this.a", Unexpected),
            ("a word misspelt", br#"{"a":tr@oe}"#, "$this.a", Unexpected),
            ("a lone surrogate", br#"{"a":"@\ud800"}"#, "$this.a", Escape),
            ("a second half alone", br#"{"a":"@\udc00"}"#, "$this.a", Escape),
            ("a first half twice", br#"{"a":"@\ud800\ud800"}"#, "$this.a", Escape),
            ("a raw tab", b"{\"a\":\"12345678@\t\"}", "$this.a", ControlCharacter),
            ("an escaped nought", br#"{"a":"x@\u0000"}"#, "$this.a", Nought),
            ("a nought that is the first half", br#"{"a":"@\u0000\udc00"}"#, "$this.a", Nought),
            ("a raw nought", b"{\"a\":\"@\0\"}", "$this.a", ControlCharacter),
            ("a comma too many in an object", br#"{"a":1,@}"#, "$this", Unexpected),
            ("a comma too many in an array", br#"{"a":[1,@]}"#, "$this.a[1]", Unexpected),
            ("a comma missing", br#"{"a":[[1,2],[3 @4]]}"#, "$this.a[1]", Unexpected),
            ("the wrong bracket", br#"{"a":[[1,2@}]}"#, "$this.a[0]", Unexpected),
            ("not UTF-8 in a string", b"{\"a\":\"x@\xff\"}", "$this.a", Utf8),
            ("not UTF-8 after an escape", b"{\"a\":\"\\@\xff\"}", "$this.a", Utf8),
            ("not UTF-8 behind", b"{\"a\":1}@\xff", "$this", Utf8),
            ("not UTF-8 after a fault", b"{\"a\":@x\xff}", "$this.a", Unexpected),
            ("a name that no element has", br#"{"a b":{"c":@x}}"#, "$this.?.c", Unexpected),
        ];
        for (case, marked, expression, reason) in table {
            let offset = marked.iter().position(|&byte| byte == b'@').unwrap();
            let bytes = [&marked[..offset], &marked[offset + 1..]].concat();
            let error = Doc::parse(&bytes).unwrap_err();
            assert_eq!((error.offset, error.reason), (offset, *reason), "{case}");
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

    #[test]
    fn a_value_is_found_by_its_whole_span_and_by_no_other() {
        let text = r#" {"a":[[],[1, "x"]],"b":{"c":{"d":null}},"e":""} "#;
        let doc = Doc::parse(text.as_bytes()).unwrap();
        for start in 0..=text.len() {
            for end in start..=text.len() {
                let walked = doc.root().descendants().find(|node| node.span() == (start..end));
                assert_eq!(doc.node_at(&(start..end)), walked, "{start}..{end}");
            }
        }
    }
}
