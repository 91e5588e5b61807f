//! What a reference means: which resource of the source its text points to.
//!
//! Comes in   the text of `Reference.reference` or `Attachment.url`, and the source's base URL.
//! Goes out   type and id, or what else it is (R4 §2.3.0.1 literal references).
//! Never      guesses: a text that cannot be followed is said to be unreadable.

use crate::path::is_resource_type;
use crate::place;
use fhir::{ReferenceElement, Resource};

/// What the text of a reference points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pointer {
    /// `#…`: a contained resource, or the container itself (`#`).
    Inner(String),
    /// A resource of the source: type and id.
    Source(String, String),
    /// `urn:…` or a URL of another server: stays as it is.
    Foreign,
    /// Anything else: a search (`Practitioner?identifier=…`), a bare word.
    Unreadable,
}

/// What the text of a reference points to, read at this source.
pub fn pointer(text: &str, source_base: &str) -> Pointer {
    if let Some(inner) = text.strip_prefix('#') {
        return Pointer::Inner(inner.to_owned());
    }
    let local = match place::under(text, source_base) {
        Some(rest) => rest,
        None if has_scheme(text) => return Pointer::Foreign,
        None => text,
    };
    match place::type_and_id(local) {
        Some((kind, id)) if is_resource_type(kind) => {
            Pointer::Source(kind.to_owned(), id.to_owned())
        }
        _ => Pointer::Unreadable,
    }
}

/// Type and id of the source's resource that a reference text means, if it means one: relative
/// (`Type/id`, with or without `/_history/v`) or absolute under the source's base URL.
pub fn target(text: &str, source_base: &str) -> Option<(String, String)> {
    match pointer(text, source_base) {
        Pointer::Source(kind, id) => Some((kind, id)),
        _ => None,
    }
}

/// What *collect* follows from a resource: every resource of the source it refers to, Binaries of
/// attachments included; in document order, each once, itself left out.
pub fn references_to_follow(resource: &Resource, source_base: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for reference in resource.references() {
        let Some(next) = target(&resource.reference_text(reference), source_base) else { continue };
        let attached = reference.element == ReferenceElement::AttachmentUrl;
        let itself = resource.kind() == next.0 && resource.id() == Some(next.1.as_str());
        if !itself && !found.contains(&next) && (!attached || next.0 == "Binary") {
            found.push(next);
        }
    }
    found
}

/// RFC 3986 §3.1: a letter, then letters, digits, `+`, `-`, `.`, then a colon.
fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(allowed)
}
