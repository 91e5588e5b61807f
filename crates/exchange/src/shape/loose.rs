//! Loose ends: what names or addresses something without leading to a resource of the source.
//!
//! Comes in   a resource that travels.
//! Goes out   its logical references, and the addresses of attachments that lie elsewhere.
//! Never      asks what is meant: an identifier or a display may name what is withheld, and a
//!            foreign address may carry a token that opens more than the payer may see.
//!
//! A reference without a literal one (R4 §2.3.0.2) stays only where it can mean nothing but a
//! practitioner, an organization or a place, and the agreement permits these; and as the payor of
//! a coverage, by which payers are told apart. What stands beside a reference that leads out of the
//! source is no other than that. Attachments keep an address only where it is a
//! Binary of the source.

use super::{Audience, Pointer, pointer};
use crate::path::names_of_type;
use fhir::{Doc, Kind, Node};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// Types that say who cared for a patient or where, and nothing else about them.
const HARMLESS: [&str; 4] = ["Location", "Organization", "Practitioner", "PractitionerRole"];

/// Elements that R4 lets refer to such types only, whichever resource they stand in.
const HARMLESS_ELEMENTS: [(&str, &[&str]); 10] = [
    ("collector", &["Practitioner", "PractitionerRole"]),
    ("custodian", &["Organization"]),
    ("generalPractitioner", &["Organization", "Practitioner", "PractitionerRole"]),
    ("location", &["Location"]),
    ("locationReference", &["Location"]),
    ("managingOrganization", &["Organization"]),
    ("manufacturer", &["Organization"]),
    ("organization", &["Organization"]),
    ("practitioner", &["Practitioner"]),
    ("serviceProvider", &["Organization"]),
];

/// What a Reference may hold (R4 §2.3.0), without `reference`.
const OF_REFERENCES: [&str; 5] = ["id", "extension", "type", "identifier", "display"];

/// References without a literal one that may not stay.
pub(super) fn logical_references<'d, 'a>(
    doc: &'d Doc<'a>,
    audience: &Audience<'_>,
) -> Vec<Node<'d, 'a>> {
    static CODINGS: OnceLock<BTreeSet<String>> = OnceLock::new();
    let codings = CODINGS.get_or_init(|| names_of_type("Coding"));
    let stays = |node: &Node<'d, 'a>| {
        let name = element_name(doc, *node);
        codings.contains(name) || name == "payor" || is_harmless(name, *node, audience)
    };
    doc.root().descendants().filter(|node| is_logical(*node) && !stays(node)).collect()
}

fn is_logical(node: Node<'_, '_>) -> bool {
    let has = |name: &str| node.members().any(|member| plain(member.name()) == name);
    let is = |name: &str, kind: Kind| node.get(name).is_none_or(|member| member.kind() == kind);
    node.kind() == Kind::Object
        && (has("identifier") || has("display"))
        && is("identifier", Kind::Object)
        && is("type", Kind::String)
        && is("display", Kind::String)
        && node.get("reference").is_none()
        && node.members().all(|member| {
            let name = plain(member.name());
            name == "reference" || OF_REFERENCES.contains(&name)
        })
}

/// The name of the element that a member or its `_sibling` belongs to.
fn plain(name: &str) -> &str {
    name.strip_prefix('_').unwrap_or(name)
}

fn is_harmless(name: &str, node: Node<'_, '_>, audience: &Audience<'_>) -> bool {
    let travels = |kind: &str| HARMLESS.contains(&kind) && audience.could_travel(kind).is_ok();
    match node.get("type").and_then(|kind| kind.text()) {
        Some(kind) => travels(&kind),
        None => HARMLESS_ELEMENTS
            .iter()
            .find(|(known, _)| *known == name)
            .is_some_and(|(_, kinds)| kinds.iter().all(|kind| travels(kind))),
    }
}

/// Attachments that hold content or the address of some.
pub(super) fn attachments<'d, 'a>(doc: &'d Doc<'a>) -> impl Iterator<Item = Node<'d, 'a>> {
    static ATTACHMENTS: OnceLock<BTreeSet<String>> = OnceLock::new();
    let attachments = ATTACHMENTS.get_or_init(|| names_of_type("Attachment"));
    // What others call `data` without saying of which type is a measurement or a signature.
    let is_marked = |node: &Node<'d, 'a>| {
        let has = |name: &str| node.get(name).is_some();
        has("contentType")
            || (has("url") && ["data", "hash", "size", "creation"].map(has).contains(&true))
    };
    let is_attachment = move |node: &Node<'d, 'a>| {
        node.kind() == Kind::Object
            && (node.get("data").is_some() || node.get("url").is_some())
            && node.get("resourceType").is_none()
            && (is_marked(node) || attachments.contains(element_name(doc, *node)))
    };
    doc.root().descendants().filter(is_attachment)
}

/// Addresses of attachments that are no Binary of the source.
pub(super) fn foreign_attachments<'d, 'a>(
    doc: &'d Doc<'a>,
    audience: &Audience<'_>,
) -> Vec<Node<'d, 'a>> {
    let address = |node: Node<'d, 'a>| {
        let url = node.get("url")?;
        let text = url.text()?;
        let stays = match pointer(&text, audience.source_base) {
            Pointer::Source(kind, _) => kind == "Binary",
            Pointer::Inner(_) => true,
            Pointer::Foreign | Pointer::Unreadable => false,
        };
        (!stays).then_some(url)
    };
    attachments(doc).filter_map(address).collect()
}

/// Whether the words and the identifier of a reference to another server may stay: where it can mean
/// nothing but who cared or where, as without a literal one. `kind` is the type that it names.
pub(super) fn may_keep_words<'d, 'a>(
    doc: &'d Doc<'a>,
    reference: Node<'d, 'a>,
    kind: Option<&str>,
    audience: &Audience<'_>,
) -> bool {
    let name = element_name(doc, reference);
    let travels = |kind: &str| HARMLESS.contains(&kind) && audience.could_travel(kind).is_ok();
    name == "payor" || kind.map_or_else(|| is_harmless(name, reference, audience), travels)
}

/// The words and the identifier of a reference, with what extends them.
pub(super) fn words<'d, 'a>(reference: Node<'d, 'a>) -> impl Iterator<Item = Node<'d, 'a>> {
    let tells = |member: &Node<'d, 'a>| {
        member.name() == "_reference"
            || ["identifier", "display", "extension"].contains(&plain(member.name()))
    };
    reference.members().filter(tells)
}

/// The name of an element, also where it is an item of a list.
pub(super) fn element_name<'a>(doc: &Doc<'a>, node: Node<'_, 'a>) -> &'a str {
    match node.name() {
        "" => doc.parent(node).map(|list| list.name()).unwrap_or_default(),
        name => name,
    }
}
