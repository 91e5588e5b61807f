//! Body: one entry as the door takes it.
//!
//! Comes in   an entry of the payload, what the door holds, what goes in the same part.
//! Goes out   method, address and bytes.
//! Never      changes a byte of a record that is known by the id this house derived, but references
//!            to records that are known otherwise.
//!
//! Edits made here, beyond those of *assemble*: an identifier `namespace/record` is added, the id is
//! removed or is the payer's, references name the payer's ids, or the identifier where there is
//! none yet.

use super::{Ground, Item, Part, Piece, identifier_query};
use crate::id::Digest;
use crate::ladder::{Carrier, Identity, has_identifier, record_system};
use crate::place;
use bytes::Bytes;
use fhir::edit::quoted;
use fhir::{Edits, Kind, Method, ReferenceElement, Resource};
use std::collections::BTreeSet;

/// Digest of what stands at a payer while some of its references are by identifier yet.
pub fn in_part(digest: &Digest) -> Digest {
    Digest::of_pieces([&b"in part"[..], &digest.0])
}

/// How an entry is filed.
pub(super) struct Act {
    method: Method,
    url: String,
    if_none_exist: Option<String>,
    /// The id that the body carries; `None`: none.
    id: Option<String>,
    identity: Identity,
}

impl Act {
    /// Whether each such request makes a record.
    pub(super) fn makes_anew(&self) -> bool {
        self.method == Method::Post && self.if_none_exist.is_none()
    }
}

/// How an entry with a resource is filed; `None` where the door has no way for it.
pub(super) fn act(ground: &Ground<'_>, piece: &Piece) -> Option<Act> {
    let offer = ground.rung.offer(&piece.kind)?;
    let identity = ground.rung.identity(&piece.kind)?;
    let name = piece.name();
    let act = |method, url: String, if_none_exist, id| {
        Some(Act { method, url, if_none_exist, id, identity })
    };
    if identity == Identity::Put {
        return act(Method::Put, name, None, Some(piece.id.clone()));
    }
    let there = ground.there(&name);
    if let Some(at) = there.and_then(|holding| holding.at.as_deref()).filter(|_| offer.update) {
        let id = at.split_once('/').map(|(_, id)| id.to_owned());
        return act(Method::Put, at.to_owned(), None, id);
    }
    let query = identifier_query(ground.namespace, &[&piece.id]);
    match (identity, there) {
        (Identity::Conditional, _) if offer.conditional_update => {
            act(Method::Put, format!("{}?{query}", piece.kind), None, None)
        }
        (Identity::Conditional, None) => act(Method::Post, piece.kind.clone(), Some(query), None),
        (Identity::Server, None) => act(Method::Post, piece.kind.clone(), None, None),
        _ => None,
    }
}

/// The part that consists of these entries.
pub(super) fn part(ground: &Ground<'_>, chosen: &[usize]) -> Part {
    let carrier = ground.rung.carrier;
    let beside: BTreeSet<String> = match carrier {
        Carrier::Transaction => chosen.iter().map(|at| ground.load.pieces[*at].name()).collect(),
        // Entries of a batch do not see each other (R4 §3.1.0.11.1).
        _ => BTreeSet::new(),
    };
    let items = chosen.iter().filter_map(|at| item(ground, &ground.load.pieces[*at], &beside));
    Part { carrier, items: items.collect() }
}

/// A record that is to be taken back, and that refers to others which refer to it: sent once more
/// without its references to what goes. `None` where it is not known here, or cannot be changed there.
pub(super) fn loose(ground: &Ground<'_>, at: usize) -> Option<Part> {
    let piece = ground.load.pieces.get(at)?;
    let resource = ground.load.standing.get(&piece.name())?.clone();
    let digest = Some(Digest(resource.digest()));
    let standing = Piece { resource: Some(resource), digest, ..piece.clone() };
    let mut item = item(ground, &standing, &BTreeSet::new())?;
    item.digest = digest.as_ref().map(in_part);
    (item.method == Method::Put).then(|| Part { carrier: ground.rung.carrier, items: vec![item] })
}

fn item(ground: &Ground<'_>, piece: &Piece, beside: &BTreeSet<String>) -> Option<Item> {
    let (kind, id) = (piece.kind.clone(), piece.id.clone());
    let full_url = full_url(ground, piece);
    let Some(resource) = &piece.resource else {
        let at = ground.held(&piece.name()).and_then(|holding| holding.at.clone());
        return Some(Item {
            method: Method::Delete,
            url: at.unwrap_or_else(|| piece.name()),
            if_none_exist: None,
            body: None,
            identity: ground.rung.identity(&piece.kind)?,
            digest: None,
            full_url,
            kind,
            id,
        });
    };
    let act = act(ground, piece)?;
    let (body, whole) = write(ground, piece, resource, &act, beside);
    let digest = piece.digest.map(|digest| if whole { digest } else { in_part(&digest) });
    Some(Item {
        method: act.method,
        url: act.url,
        if_none_exist: act.if_none_exist,
        body: Some(body),
        identity: act.identity,
        digest,
        full_url,
        kind,
        id,
    })
}

/// `fullUrl`: what others of the same transaction refer to it by.
fn full_url(ground: &Ground<'_>, piece: &Piece) -> String {
    match ground.rung.identity(&piece.kind) {
        Some(Identity::Put) | None => format!("{}/{}", ground.namespace, piece.name()),
        _ => uuid(&piece.id),
    }
}

/// A UUID out of a derived id: the same id gives the same one.
fn uuid(id: &str) -> String {
    let part = |range: std::ops::Range<usize>| id.get(range).unwrap_or("0");
    let (a, b, c, d, e) = (part(0..8), part(8..12), part(12..16), part(16..20), part(20..32));
    format!("urn:uuid:{a}-{b}-{c}-{d}-{e}")
}

/// Where a reference of a resource leads at the payer.
enum Lead {
    /// As it stands.
    Stays,
    /// There.
    To(String),
    /// Nowhere yet: by identifier; `true` when it will be there later.
    Named(String, bool),
}

fn lead(ground: &Ground<'_>, text: &str, beside: &BTreeSet<String>) -> Lead {
    let Some((kind, id)) = place::type_and_id(text) else { return Lead::Stays };
    let name = format!("{kind}/{id}");
    let piece = ground.load.pieces.iter().find(|it| it.kind == kind && it.id == id);
    // What is taken back, now or a moment later, must be referred to by nothing.
    if piece.is_some_and(|piece| piece.resource.is_none()) {
        return Lead::Named(name, false);
    }
    if let Some(holding) = ground.there(&name) {
        let at = holding.at.clone().unwrap_or_else(|| name.clone());
        let put = ground.rung.identity(kind) == Some(Identity::Put);
        return match (at == name, put || holding.at.is_some()) {
            (true, true) => Lead::Stays,
            (true, false) => Lead::Named(name, false),
            _ => Lead::To(at),
        };
    }
    let put = ground.rung.identity(kind) == Some(Identity::Put);
    match piece {
        Some(_) if beside.contains(&name) && put => Lead::Stays,
        Some(piece) if beside.contains(&name) => Lead::To(full_url(ground, piece)),
        Some(_) => Lead::Named(name, true),
        None if put => Lead::Stays,
        None => Lead::Named(name, false),
    }
}

/// The bytes, and whether all references are as they will stay.
fn write(
    ground: &Ground<'_>,
    piece: &Piece,
    resource: &Resource,
    act: &Act,
    beside: &BTreeSet<String>,
) -> (Bytes, bool) {
    let doc = resource.doc();
    let mut edits = Edits::new(&doc);
    let mut whole = true;
    for reference in resource.references() {
        let text = resource.reference_text(reference);
        match lead(ground, &text, beside) {
            Lead::Stays => {}
            Lead::To(at) => edits.replace(reference.span.clone(), at),
            Lead::Named(name, later) => {
                whole &= !later;
                let literal = reference.span.start - 1..reference.span.end + 1;
                let node = doc.node_at(&literal);
                if let Some(node) =
                    node.filter(|_| reference.element == ReferenceElement::Reference)
                {
                    let id = name.split_once('/').map_or("", |(_, id)| id);
                    by_identifier(ground, &doc, node, id, &mut edits);
                }
            }
        }
    }
    let root = doc.root();
    if act.identity != Identity::Put {
        match (root.get("id"), &act.id) {
            (Some(node), Some(id)) => edits.set_text(node, id),
            (Some(node), None) => edits.remove(node),
            (None, _) => {}
        }
        if has_identifier(&piece.kind) {
            let (system, id) = (record_system(ground.namespace), &piece.id);
            let own = format!(r#"{{"system":{},"value":{}}}"#, quoted(&system), quoted(id));
            match root.get("identifier").filter(|node| node.kind() == Kind::Array) {
                Some(list) => {
                    let start = list.span().start + 1;
                    let rest = if list.items().next().is_some() { "," } else { "" };
                    edits.replace(start..start, format!("{own}{rest}"));
                }
                None => edits.insert(root, "identifier", &format!("[{own}]")),
            }
        }
    }
    let bytes = match edits.is_empty() {
        true => resource.bytes().clone(),
        false => edits.apply().into(),
    };
    (bytes, whole)
}

/// A reference in words of this house: valid wherever a reference is, and checked by no server.
fn by_identifier(
    ground: &Ground<'_>,
    doc: &fhir::Doc<'_>,
    node: fhir::Node<'_, '_>,
    id: &str,
    edits: &mut Edits<'_, '_>,
) {
    let system = record_system(ground.namespace);
    let named = format!(r#""identifier":{{"system":{},"value":{}}}"#, quoted(&system), quoted(id));
    let holds_one = doc.parent(node).is_some_and(|parent| parent.get("identifier").is_some());
    if holds_one {
        edits.remove(node);
    } else {
        edits.replace(node.member_span(), named);
    }
}
