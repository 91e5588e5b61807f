//! The walk through a resource: every value has the shape R4 gives it, every reference is found.
//!
//! Comes in   a resource, alone or within a Bundle, Parameters or another resource.
//! Goes out   the positions of its references, or the first value of a wrong type.
//! Never      refuses what R4 does not know: elements and resource types of other versions pass,
//!            and what looks like a reference in them is taken for one, so that it is rewritten
//!            or cut and never slips through.

use crate::json::{Kind, Node, ParseError, Reason};
use crate::limits::NAME_CHARS_MAX;
use crate::r4::{KNOWN, Shape, Type, ValueShape};
use crate::read::wanted;
use crate::resource::{ReferenceElement, ReferenceSpan};
use std::ops::Range;

/// The references of a resource in document order, contained resources included.
pub(crate) fn references(root: Node<'_, '_>) -> Result<Vec<ReferenceSpan>, ParseError> {
    let mut found = Vec::new();
    resource(root, &mut found)?;
    Ok(found)
}

/// A resource type is a capitalised word.
pub(crate) fn check_kind(node: Node<'_, '_>) -> Result<(), ParseError> {
    wanted(node, Kind::String)?;
    let raw = &node.raw()[1..node.raw().len() - 1];
    let good = raw.starts_with(|c: char| c.is_ascii_uppercase())
        && raw.len() <= NAME_CHARS_MAX
        && raw.bytes().all(|b| b.is_ascii_alphabetic());
    if good {
        Ok(())
    } else {
        Err(node.error(Reason::Value("a resource type is a capitalised word")))
    }
}

/// Positions of a string's content, without the quotes.
pub(crate) fn content(node: Node<'_, '_>) -> Range<usize> {
    let span = node.span();
    span.start + 1..span.end - 1
}

type Found = Vec<ReferenceSpan>;

fn resource(node: Node<'_, '_>, found: &mut Found) -> Result<(), ParseError> {
    wanted(node, Kind::Object)?;
    let kind = node.get("resourceType");
    let kind = kind.ok_or_else(|| node.error(Reason::Missing("resourceType")))?;
    check_kind(kind)?;
    match Type::named(kind.raw().trim_matches('"')) {
        Some(of) => object(node, of, found),
        None => unknown(node, found),
    }
}

fn object(node: Node<'_, '_>, of: Type, found: &mut Found) -> Result<(), ParseError> {
    wanted(node, Kind::Object)?;
    for member in node.members() {
        let name = member.name();
        if let Some(shape) = of.element(name) {
            element(member, shape, found)?;
            if let Some(element) = reference(member, of) {
                found.push(ReferenceSpan { span: content(member), element });
            }
        } else if let Some(shape) = name.strip_prefix('_').and_then(|name| of.element(name)) {
            companion(member, shape, found)?;
        } else {
            unknown(member, found)?;
        }
    }
    Ok(())
}

fn element(node: Node<'_, '_>, shape: Shape, found: &mut Found) -> Result<(), ParseError> {
    if !shape.repeats {
        return value(node, shape.value, found);
    }
    wanted(node, Kind::Array)?;
    for item in node.items() {
        // R4 §2.6.2.3: where only the companion has something to say, the place holds null.
        if item.kind() != Kind::Null || !shape.value.is_primitive() {
            value(item, shape.value, found)?;
        }
    }
    Ok(())
}

fn value(node: Node<'_, '_>, shape: ValueShape, found: &mut Found) -> Result<(), ParseError> {
    match shape {
        ValueShape::String => wanted(node, Kind::String),
        ValueShape::Number => wanted(node, Kind::Number),
        ValueShape::Boolean => wanted(node, Kind::Boolean),
        ValueShape::Object(of) => object(node, of, found),
        ValueShape::Resource => resource(node, found),
    }
}

/// `_birthDate`: id and extensions of a primitive (R4 §2.6.2.3).
fn companion(node: Node<'_, '_>, shape: Shape, found: &mut Found) -> Result<(), ParseError> {
    let Some(of) = KNOWN.element.filter(|_| shape.value.is_primitive()) else {
        return unknown(node, found);
    };
    if !shape.repeats {
        return object(node, of, found);
    }
    wanted(node, Kind::Array)?;
    let mut items = node.items().filter(|item| item.kind() != Kind::Null);
    items.try_for_each(|item| object(item, of, found))
}

/// The two elements of R4 that point to other resources. Canonicals and plain urls do not.
fn reference(node: Node<'_, '_>, of: Type) -> Option<ReferenceElement> {
    match node.name() {
        "reference" if Some(of) == KNOWN.reference => Some(ReferenceElement::Reference),
        "url" if Some(of) == KNOWN.attachment && names_binary(node) => {
            Some(ReferenceElement::AttachmentUrl)
        }
        _ => None,
    }
}

/// What R4 does not know: shapes are not judged, references are found by their name.
fn unknown(node: Node<'_, '_>, found: &mut Found) -> Result<(), ParseError> {
    for node in node.descendants().filter(|node| node.kind() == Kind::String) {
        let element = match node.name() {
            "reference" => ReferenceElement::Reference,
            "url" if names_binary(node) => ReferenceElement::AttachmentUrl,
            _ => continue,
        };
        found.push(ReferenceSpan { span: content(node), element });
    }
    Ok(())
}

fn names_binary(node: Node<'_, '_>) -> bool {
    let url = node.text().unwrap_or_default();
    url.starts_with("Binary/") || url.contains("/Binary/")
}

impl ValueShape {
    fn is_primitive(self) -> bool {
        matches!(self, ValueShape::String | ValueShape::Number | ValueShape::Boolean)
    }
}
