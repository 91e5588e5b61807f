//! Edits: the only way a resource's bytes ever change.
//!
//! Comes in   a document and the changes wanted: values replaced, elements removed, members added.
//! Goes out   new bytes in which everything else stands as it stood, byte for byte.
//! Never      reorders members, touches white space elsewhere, or leaves an empty object or array
//!            behind (R4 §2.6.2: properties are never empty).

use crate::json::{Doc, Kind, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Changes to one document, collected first and made in one pass.
#[derive(Debug)]
pub struct Edits<'d, 'a> {
    doc: &'d Doc<'a>,
    splices: Vec<Splice>,
    /// Starts of the member spans of removed nodes.
    removed: BTreeSet<usize>,
    /// New members by the start of the object that gets them.
    inserted: BTreeMap<usize, Vec<String>>,
}

type Splice = (Range<usize>, String);

impl<'d, 'a> Edits<'d, 'a> {
    /// No change yet.
    pub fn new(doc: &'d Doc<'a>) -> Edits<'d, 'a> {
        Edits { doc, splices: Vec::new(), removed: BTreeSet::new(), inserted: BTreeMap::new() }
    }

    /// Replaces the bytes of `span` (for example a string's content) by `text`, which must be
    /// valid JSON at that place.
    pub fn replace(&mut self, span: Range<usize>, text: impl Into<String>) {
        self.splices.push((span, text.into()));
    }

    /// Replaces a value by a string, escaping as JSON needs.
    pub fn set_text(&mut self, node: Node<'_, '_>, text: &str) {
        self.replace(node.span(), quoted(text));
    }

    /// Removes an element: a member with its name, or an item of an array.
    pub fn remove(&mut self, node: Node<'_, '_>) {
        self.removed.insert(node.member_span().start);
    }

    /// Adds a member at the front of an object; `value` is JSON text.
    pub fn insert(&mut self, object: Node<'_, '_>, name: &str, value: &str) {
        let member = format!("{}:{value}", quoted(name));
        self.inserted.entry(object.span().start).or_default().push(member);
    }

    /// Whether anything would change.
    pub fn is_empty(&self) -> bool {
        self.splices.is_empty() && self.removed.is_empty() && self.inserted.is_empty()
    }

    /// The new bytes. Removing the last child of an element removes the element.
    pub fn apply(mut self) -> Vec<u8> {
        let mut cuts = Vec::new();
        self.cut(self.doc.root(), &mut cuts);
        let gone = |span: &Range<usize>| {
            cuts.iter().any(|(cut, text)| text.is_empty() && covers(cut, span))
        };
        self.splices.retain(|(span, _)| !gone(span));
        self.splices.extend(cuts);
        self.splices.sort_by_key(|(span, _)| (span.start, span.end));
        let text = self.doc.text();
        let mut out = String::with_capacity(text.len() + 256);
        let mut at = 0;
        for (span, replacement) in &self.splices {
            out.push_str(&text[at..span.start]);
            out.push_str(replacement);
            at = span.end;
        }
        out.push_str(&text[at..]);
        out.into_bytes()
    }

    /// Collects the cuts and insertions below `node`; answers whether all of it is gone.
    fn cut(&self, node: Node<'_, '_>, cuts: &mut Vec<Splice>) -> bool {
        let children: Vec<_> = node.children().collect();
        let mut below = Vec::new();
        let gone: Vec<bool> = children
            .iter()
            .map(|child| {
                self.removed.contains(&child.member_span().start) || self.cut(*child, &mut below)
            })
            .collect();
        let emptied = gone.iter().all(|&gone| gone);
        let inserted =
            self.inserted.get(&node.span().start).filter(|_| node.kind() == Kind::Object);
        if let Some(members) = inserted {
            let front = node.span().start + 1;
            let comma = if emptied { "" } else { "," };
            cuts.push((front..front, members.join(",") + comma));
        } else if emptied && !children.is_empty() && node != self.doc.root() {
            return true;
        }
        let whole = runs(&children, &gone);
        below.retain(|(cut, _)| !whole.iter().any(|run| covers(run, cut)));
        cuts.append(&mut below);
        cuts.extend(whole.into_iter().map(|run| (run, String::new())));
        false
    }
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end && outer != inner
}

/// The bytes to take away for each run of removed children, with one comma.
fn runs(children: &[Node<'_, '_>], gone: &[bool]) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let mut at = 0;
    while at < children.len() {
        if !gone[at] {
            at += 1;
            continue;
        }
        let first = at;
        while at < children.len() && gone[at] {
            at += 1;
        }
        let cut = match (first, children.get(at)) {
            (0, Some(next)) => children[0].member_span().start..next.member_span().start,
            (0, None) => children[0].member_span().start..children[at - 1].member_span().end,
            _ => children[first - 1].member_span().end..children[at - 1].member_span().end,
        };
        cuts.push(cut);
    }
    cuts
}

/// A JSON string literal.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn edited(text: &str, change: impl FnOnce(&Doc<'_>, &mut Edits<'_, '_>)) -> String {
        let doc = Doc::parse(text.as_bytes()).unwrap();
        let mut edits = Edits::new(&doc);
        change(&doc, &mut edits);
        String::from_utf8(edits.apply()).unwrap()
    }

    #[test]
    fn removing_leaves_the_rest_as_it_stood_and_nothing_empty() {
        let text = r#"{ "a" : 1.00, "b":[{"x":1},{"y":2}], "c":{"d":{"e":null}} }"#;
        let way = |path: &'static [&'static str]| {
            edited(text, move |doc, edits| {
                let mut node = doc.root();
                for step in path {
                    node = match step.parse::<usize>() {
                        Ok(position) => node.items().nth(position).unwrap(),
                        Err(_) => node.get(step).unwrap(),
                    };
                }
                edits.remove(node);
            })
        };
        assert_eq!(way(&["a"]), r#"{ "b":[{"x":1},{"y":2}], "c":{"d":{"e":null}} }"#);
        assert_eq!(way(&["b", "0"]), r#"{ "a" : 1.00, "b":[{"y":2}], "c":{"d":{"e":null}} }"#);
        assert_eq!(way(&["b", "1", "y"]), r#"{ "a" : 1.00, "b":[{"x":1}], "c":{"d":{"e":null}} }"#);
        assert_eq!(way(&["c", "d", "e"]), r#"{ "a" : 1.00, "b":[{"x":1},{"y":2}] }"#);
    }

    #[test]
    fn a_member_can_be_put_where_another_was_taken() {
        let out = edited(r#"{"id":"x","meta":{"source":"s"}}"#, |doc, edits| {
            let meta = doc.root().get("meta").unwrap();
            edits.remove(meta.get("source").unwrap());
            edits.insert(meta, "source", r#""t""#);
        });
        assert_eq!(out, r#"{"id":"x","meta":{"source":"t"}}"#);
    }
}
