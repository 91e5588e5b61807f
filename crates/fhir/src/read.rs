//! Reading members with their types: the few questions every document of ours is asked.
//!
//! Comes in   a node and the name of an element.
//! Goes out   its text, items or objects, or a refusal at the exact place.
//! Never      takes `null`, a number or an empty shape for a text.

use crate::json::{Kind, Node, ParseError, Reason};

/// Refuses a value of another kind.
pub(crate) fn wanted(node: Node<'_, '_>, kind: Kind) -> Result<(), ParseError> {
    let name = match kind {
        Kind::Object => "an object",
        Kind::Array => "an array",
        Kind::String => "a string",
        Kind::Number => "a number",
        Kind::Boolean => "true or false",
        Kind::Null => "null",
    };
    if node.kind() == kind { Ok(()) } else { Err(node.error(Reason::WrongType(name))) }
}

/// The content of a string.
pub(crate) fn text(node: Node<'_, '_>) -> Result<String, ParseError> {
    match node.text() {
        Some(text) => Ok(text.into_owned()),
        None => Err(node.error(Reason::WrongType("a string"))),
    }
}

/// The content of a string member, when the member is there.
pub(crate) fn optional(node: Node<'_, '_>, name: &str) -> Result<Option<String>, ParseError> {
    node.get(name).map(text).transpose()
}

/// The content of a string member that must be there.
pub(crate) fn required(node: Node<'_, '_>, name: &'static str) -> Result<String, ParseError> {
    match node.get(name) {
        Some(member) => text(member),
        None => Err(node.error(Reason::Missing(name))),
    }
}

/// An object member, when it is there.
pub(crate) fn object<'d, 'a>(
    node: Node<'d, 'a>,
    name: &str,
) -> Result<Option<Node<'d, 'a>>, ParseError> {
    let member = node.get(name);
    member.map_or(Ok(()), |member| wanted(member, Kind::Object))?;
    Ok(member)
}

/// The objects of an array member; none when the member is missing.
pub(crate) fn objects<'d, 'a>(
    node: Node<'d, 'a>,
    name: &str,
) -> Result<Vec<Node<'d, 'a>>, ParseError> {
    let Some(list) = node.get(name) else { return Ok(Vec::new()) };
    wanted(list, Kind::Array)?;
    list.items().map(|item| wanted(item, Kind::Object).map(|()| item)).collect()
}

/// The object at the top of a document, which must be of the named resource type.
pub(crate) fn resource_type(root: Node<'_, '_>, kind: &'static str) -> Result<(), ParseError> {
    wanted(root, Kind::Object)?;
    let Some(found) = root.get("resourceType") else {
        return Err(root.error(Reason::Missing("resourceType")));
    };
    if text(found)? == kind { Ok(()) } else { Err(found.error(Reason::Value(kind))) }
}
