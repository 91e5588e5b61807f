//! A resource: its bytes, and a small index of what the road asks of every resource.
//!
//! Comes in   the bytes of one FHIR R4 resource in JSON, as somebody sent them.
//! Goes out   the same bytes; type, id, meta and the positions of its references without a search.
//! Never      re-serialises: what came in goes out, digit for digit.
//!
//! Why an index of positions: rewriting every reference of a resource is then one pass over its
//! bytes, and the digest of what was read is the digest of what was sent.

use crate::edit::quoted;
use crate::json::{Doc, Kind, Node, ParseError, Reason, unescape};
use crate::read::wanted;
use crate::walk::{self, content};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// One resource. Cloning is cheap: bytes and index are shared.
#[derive(Debug, Clone)]
pub struct Resource {
    bytes: Bytes,
    index: Arc<Index>,
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Resource {}

#[derive(Debug, Default)]
struct Index {
    kind: Range<usize>,
    id: Option<Range<usize>>,
    source: Option<Range<usize>>,
    references: Vec<ReferenceSpan>,
}

/// Where a reference stands: byte positions of the string's content, without the quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceSpan {
    /// Content of the string literal.
    pub span: Range<usize>,
    /// What kind of element holds it.
    pub element: ReferenceElement,
}

/// Elements that point to other resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceElement {
    /// `Reference.reference` (R4 §2.3).
    Reference,
    /// `Attachment.url` that names a Binary.
    AttachmentUrl,
}

impl Resource {
    /// Reads a resource. Errors name byte and FHIRPath (`Patient.meta.profile[0]`).
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Resource, ParseError> {
        let bytes = bytes.into();
        let index = Index::read(Doc::parse(&bytes)?.root())?;
        Ok(Resource { bytes, index: Arc::new(index) })
    }

    /// Takes a resource out of a larger document that has been read already; `node` is its value.
    pub fn within(outer: &Bytes, node: Node<'_, '_>) -> Result<Resource, ParseError> {
        let span = node.span();
        let mut index = Index::read(node)?;
        index.shift(span.start);
        Ok(Resource { bytes: outer.slice(span), index: Arc::new(index) })
    }

    /// The same resource in bytes of its own: whatever it was a part of can go.
    pub fn apart(&self) -> Resource {
        Resource { bytes: Bytes::copy_from_slice(&self.bytes), index: Arc::clone(&self.index) }
    }

    /// `resourceType`.
    pub fn kind(&self) -> &str {
        self.slice(&self.index.kind)
    }

    /// The logical id, when there is one.
    pub fn id(&self) -> Option<&str> {
        self.index.id.as_ref().map(|span| self.slice(span))
    }

    /// `Type/id`, or `Type/?` for a resource without an id.
    pub fn local_reference(&self) -> String {
        format!("{}/{}", self.kind(), self.id().unwrap_or("?"))
    }

    /// `meta.source`, when there is one.
    pub fn source(&self) -> Option<Cow<'_, str>> {
        self.index.source.as_ref().map(|span| unescape(self.slice(span)))
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Every reference with its position, in document order, contained resources included.
    pub fn references(&self) -> &[ReferenceSpan] {
        &self.index.references
    }

    /// The text of a reference of this resource, escapes resolved.
    pub fn reference_text(&self, reference: &ReferenceSpan) -> Cow<'_, str> {
        unescape(self.slice(&reference.span))
    }

    /// The resource with other references, in one pass over the bytes and without reading it
    /// again: `new` gets each reference in document order and answers the text that takes its
    /// place, or `None` to let it stand. Everything else stays, byte for byte.
    pub fn rewrite_references(
        &self,
        mut new: impl FnMut(ReferenceElement, &str) -> Option<String>,
    ) -> Resource {
        let old = &*self.index;
        let mut out = Vec::with_capacity(self.bytes.len() + 64 * old.references.len());
        let mut references = Vec::with_capacity(old.references.len());
        let mut at = 0;
        for reference in &old.references {
            let span = &reference.span;
            out.extend_from_slice(&self.bytes[at..span.start]);
            let start = out.len();
            match new(reference.element, &self.reference_text(reference)) {
                Some(text) => {
                    let literal = quoted(&text);
                    out.extend_from_slice(&literal.as_bytes()[1..literal.len() - 1]);
                }
                None => out.extend_from_slice(&self.bytes[span.clone()]),
            }
            at = span.end;
            references.push(ReferenceSpan { span: start..out.len(), element: reference.element });
        }
        out.extend_from_slice(&self.bytes[at..]);
        // Whatever stands behind a reference keeps its distance to the end of that reference.
        let moved = |span: &Range<usize>| {
            let before = old.references.partition_point(|other| other.span.end <= span.start);
            let (from, to) = match before.checked_sub(1) {
                Some(last) => (old.references[last].span.end, references[last].span.end),
                None => (0, 0),
            };
            span.start - from + to..span.end - from + to
        };
        let index = Index {
            kind: moved(&old.kind),
            id: old.id.as_ref().map(moved),
            source: old.source.as_ref().map(moved),
            references,
        };
        Resource { bytes: out.into(), index: Arc::new(index) }
    }

    /// The resource under another logical id; every other byte stays. `id` must be one
    /// (`is_id`).
    pub fn with_id(&self, id: &str) -> Resource {
        let old = &*self.index;
        let (place, text) = match &old.id {
            Some(span) => (span.clone(), id.to_owned()),
            // At the front of the object, whatever stands before it.
            None => {
                let brace = self.bytes.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
                (brace..brace, format!(r#""id":"{id}","#))
            }
        };
        let mut out = Vec::with_capacity(self.bytes.len() + text.len());
        out.extend_from_slice(&self.bytes[..place.start]);
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(&self.bytes[place.end..]);
        let moved = |span: &Range<usize>| match span.start >= place.end {
            true => {
                let by = |at: usize| at - place.end + place.start + text.len();
                by(span.start)..by(span.end)
            }
            false => span.clone(),
        };
        let end = place.start + text.len();
        let new_id = match old.id {
            Some(_) => place.start..end,
            None => end - 2 - id.len()..end - 2,
        };
        let references = old.references.iter();
        let index = Index {
            kind: moved(&old.kind),
            id: Some(new_id),
            source: old.source.as_ref().map(&moved),
            references: references
                .map(|one| ReferenceSpan { span: moved(&one.span), element: one.element })
                .collect(),
        };
        Resource { bytes: out.into(), index: Arc::new(index) }
    }

    /// SHA-256 of the bytes.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.bytes).into()
    }

    /// The document with all its values, for questions the index does not answer.
    pub fn doc(&self) -> Doc<'_> {
        match Doc::parse(&self.bytes) {
            Ok(doc) => doc,
            // The bytes were read when this value was made, and they cannot change.
            Err(error) => unreachable!("a resource that was read no longer reads: {error}"),
        }
    }

    fn slice(&self, span: &Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[span.clone()]).unwrap_or_default()
    }
}

impl Index {
    fn read(root: Node<'_, '_>) -> Result<Index, ParseError> {
        wanted(root, Kind::Object)?;
        let kind =
            root.get("resourceType").ok_or_else(|| root.error(Reason::Missing("resourceType")))?;
        walk::check_kind(kind)?;
        let mut index = Index { kind: content(kind), ..Index::default() };
        if let Some(id) = root.get("id") {
            check_id(id)?;
            index.id = Some(content(id));
        }
        if let Some(meta) = root.get("meta") {
            index.source = read_meta(meta)?;
        }
        index.references = walk::references(root)?;
        Ok(index)
    }

    fn shift(&mut self, by: usize) {
        let move_back = |span: &mut Range<usize>| *span = span.start - by..span.end - by;
        move_back(&mut self.kind);
        self.id.iter_mut().for_each(move_back);
        self.source.iter_mut().for_each(move_back);
        self.references.iter_mut().for_each(|reference| move_back(&mut reference.span));
    }
}

/// R4 §2.24.0.1: ids are 1 to 64 characters of `A-Z a-z 0-9 - .`
pub(crate) fn check_id(node: Node<'_, '_>) -> Result<(), ParseError> {
    wanted(node, Kind::String)?;
    let raw = &node.raw()[1..node.raw().len() - 1];
    if is_id(raw) {
        return Ok(());
    }
    Err(node.error(Reason::Value("an id is 1 to 64 characters of letters, digits, '-' and '.'")))
}

/// Whether a text can be a logical id (R4 §2.24.0.1).
pub fn is_id(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn read_meta(meta: Node<'_, '_>) -> Result<Option<Range<usize>>, ParseError> {
    wanted(meta, Kind::Object)?;
    let Some(source) = meta.get("source") else { return Ok(None) };
    wanted(source, Kind::String)?;
    Ok(Some(content(source)))
}
