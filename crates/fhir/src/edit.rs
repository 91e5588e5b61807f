//! Edits: the only way a resource's bytes ever change.
//!
//! Comes in   a document and the changes wanted: values replaced, elements removed, members added.
//! Goes out   new bytes in which everything else stands as it stood, byte for byte.
//! Never      reorders members, touches white space elsewhere, or leaves an empty object or array
//!            behind (R4 §2.6.2: properties are never empty).

use crate::json::{Doc, Kind, Node};
use std::cmp::Reverse;
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

    /// Removes a value: a member with its name, or an item of an array.
    pub fn remove(&mut self, node: Node<'_, '_>) {
        self.removed.insert(node.member_span().start);
    }

    /// Removes a FHIR element with its companion (R4 §2.6.2.3): `_birthDate` goes with
    /// `birthDate`, and `_given[1]` with `given[1]`, so that no extension survives its value or
    /// moves to the next one.
    pub fn remove_element(&mut self, node: Node<'_, '_>) {
        self.remove(node);
        let Some(node) = self.doc.node_at(&node.span()) else { return };
        let Some(parent) = self.doc.parent(node) else { return };
        let companion = |member: Node<'d, 'a>| {
            let object = self.doc.parent(member)?;
            object.members().find(|other| other.name().strip_prefix('_') == Some(member.name()))
        };
        if parent.kind() == Kind::Object {
            companion(node).into_iter().for_each(|other| self.remove(other));
        } else if let Some(other) = companion(parent) {
            let position = parent.items().position(|item| item == node);
            let (gone, rest): (Vec<_>, Vec<_>) = other
                .items()
                .enumerate()
                .partition(|(at, item)| Some(*at) == position || self.is_removed(*item));
            if rest.iter().all(|(_, item)| item.kind() == Kind::Null) {
                self.remove(other);
            } else {
                gone.into_iter().for_each(|(_, item)| self.remove(item));
            }
        }
    }

    fn is_removed(&self, node: Node<'_, '_>) -> bool {
        self.removed.contains(&node.member_span().start)
    }

    /// Adds a member at the front of an object; `value` is JSON text. The object must not have a
    /// member of this name, unless that is removed as well.
    pub fn insert(&mut self, object: Node<'_, '_>, name: &str, value: &str) {
        let member = format!("{}:{value}", quoted(name));
        self.inserted.entry(object.span().start).or_default().push(member);
    }

    /// Whether anything would change.
    pub fn is_empty(&self) -> bool {
        self.splices.is_empty() && self.removed.is_empty() && self.inserted.is_empty()
    }

    /// The new bytes. Removing the last child of an element removes the element; the root stays.
    /// Of changes that overlap, the wider one counts, and of two of the same place the first.
    pub fn apply(mut self) -> Vec<u8> {
        let mut cuts = Vec::new();
        self.cut(self.doc.root(), &mut cuts);
        // Removals go first: a stable sort then lets them win over a change of the same bytes.
        cuts.append(&mut self.splices);
        cuts.sort_by_key(|(span, _)| (span.start, !span.is_empty(), Reverse(span.end)));
        let text = self.doc.text();
        let mut out = String::with_capacity(text.len() + 256);
        let mut at = 0;
        for (span, replacement) in &cuts {
            if span.start < at {
                continue; // within what has gone already
            }
            out.push_str(&text[at..span.start]);
            out.push_str(replacement);
            at = span.end;
        }
        out.push_str(&text[at..]);
        out.into_bytes()
    }

    /// Whether anything is removed from or inserted in `node`.
    fn touches(&self, node: Node<'_, '_>) -> bool {
        let span = node.span();
        self.inserted.range(span.clone()).next().is_some()
            || self.removed.range(span.start + 1..span.end).next().is_some()
    }

    /// Collects the cuts and insertions below `node`; answers whether all of it is gone.
    fn cut(&self, node: Node<'_, '_>, cuts: &mut Vec<Splice>) -> bool {
        if !self.touches(node) {
            return false;
        }
        let children: Vec<_> = node.children().collect();
        let gone: Vec<bool> = children
            .iter()
            .map(|child| self.is_removed(*child) || self.cut(*child, cuts))
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
        cuts.extend(runs(&children, &gone).into_iter().map(|run| (run, String::new())));
        false
    }
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

    #[test]
    fn an_element_goes_with_its_companion() {
        let table = [
            (r#"{"a":1,"b":"x","_b":{"id":"1"}}"#, "b", None, r#"{"a":1}"#),
            (
                r#"{"g":["x","y"],"_g":[null,{"id":"1"}]}"#,
                "g",
                Some(0),
                r#"{"g":["y"],"_g":[{"id":"1"}]}"#,
            ),
            (r#"{"g":["x","y"],"_g":[null,{"id":"1"}]}"#, "g", Some(1), r#"{"g":["x"]}"#),
            (r#"{"g":["x"],"_g":[{"id":"1"}],"h":1}"#, "g", Some(0), r#"{"h":1}"#),
            (r#"{"g":["x","y"]}"#, "g", Some(1), r#"{"g":["x"]}"#),
        ];
        for (text, name, position, expected) in table {
            let out = edited(text, |doc, edits| {
                let member = doc.root().get(name).unwrap();
                let item = position.map(|at| member.items().nth(at).unwrap());
                edits.remove_element(item.unwrap_or(member));
            });
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn overlapping_changes_leave_a_document() {
        type Change = fn(&Doc<'_>, &mut Edits<'_, '_>);
        let table: [(&str, Change, &str); 4] = [
            (
                "twice the same place",
                |doc, edits| {
                    edits.set_text(doc.root().get("a").unwrap(), "1");
                    edits.set_text(doc.root().get("a").unwrap(), "2");
                },
                r#"{"a":"1","b":{"c":[3]}}"#,
            ),
            (
                "changed and removed",
                |doc, edits| {
                    edits.set_text(doc.root().get("a").unwrap(), "1");
                    edits.remove(doc.root().get("a").unwrap());
                },
                r#"{"b":{"c":[3]}}"#,
            ),
            (
                "a part of what is replaced",
                |doc, edits| {
                    let inner =
                        doc.root().get("b").unwrap().get("c").unwrap().items().next().unwrap();
                    edits.set_text(inner, "1");
                    edits.set_text(doc.root().get("b").unwrap(), "2");
                },
                r#"{"a":0,"b":"2"}"#,
            ),
            (
                "added to what is removed",
                |doc, edits| {
                    edits.insert(doc.root().get("b").unwrap(), "d", "1");
                    edits.remove(doc.root().get("b").unwrap());
                },
                r#"{"a":0}"#,
            ),
        ];
        for (case, change, expected) in table {
            assert_eq!(edited(r#"{"a":0,"b":{"c":[3]}}"#, change), expected, "{case}");
        }
    }
}
