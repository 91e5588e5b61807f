//! The second opinion on the edits: what ARCHITECTURE lists, carried out by other means.
//!
//! Comes in   a resource as the chart holds it, the cuts that were listed for it, the resource as
//!            the payer holds it.
//! Goes out   nothing, or one sentence on the first difference that is no listed edit.
//! Never      uses the product's reader or its edits: a text is read into a tree of raw tokens, so
//!            that a digit, an escape or the order of members that changed is seen.
//!
//! Why a tree gives bytes: both texts are written without white space between tokens (which is
//! checked), so that the same tokens in the same order are the same bytes.

use exchange::Digest;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A JSON value whose scalars are as they were written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Object(Vec<(String, Tree)>),
    Array(Vec<Tree>),
    Scalar(String),
}

impl Tree {
    /// Reads a compact text; panics for anything else, since charts and houses write no other.
    pub(crate) fn read(text: &[u8]) -> Tree {
        let text = std::str::from_utf8(text).unwrap();
        let mut rest = text;
        let tree = value(&mut rest);
        assert!(rest.is_empty(), "text after the end");
        assert!(tree.text() == text, "a text with white space between its tokens");
        tree
    }

    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Tree::Scalar(raw) => out.push_str(raw),
            Tree::Array(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    out.push_str(if place > 0 { "," } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Tree::Object(members) => {
                out.push('{');
                for (place, (name, member)) in members.iter().enumerate() {
                    out.push_str(if place > 0 { "," } else { "" });
                    let _ = write!(out, "\"{name}\":");
                    member.write(out);
                }
                out.push('}');
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Tree> {
        match self {
            Tree::Object(members) => {
                members.iter().find(|(found, _)| found == name).map(|(_, member)| member)
            }
            _ => None,
        }
    }

    /// The content of a string, as it was written.
    pub(crate) fn string(&self) -> Option<&str> {
        match self {
            Tree::Scalar(raw) => raw.strip_prefix('"')?.strip_suffix('"'),
            _ => None,
        }
    }

    fn take(&mut self, name: &str) -> Option<Tree> {
        let Tree::Object(members) = self else { return None };
        let place = members.iter().position(|(found, _)| found == name)?;
        Some(members.remove(place).1)
    }

    fn is_empty(&self) -> bool {
        match self {
            Tree::Object(members) => members.is_empty(),
            Tree::Array(items) => items.is_empty(),
            Tree::Scalar(_) => false,
        }
    }

    /// Every string under a member `reference`.
    pub(crate) fn references(&self) -> Vec<&str> {
        let mut found = Vec::new();
        match self {
            Tree::Object(members) => {
                for (name, member) in members {
                    let own = member.string().filter(|_| name == "reference");
                    found.extend(own);
                    found.extend(member.references());
                }
            }
            Tree::Array(items) => items.iter().for_each(|item| found.extend(item.references())),
            Tree::Scalar(_) => {}
        }
        found
    }
}

fn value(rest: &mut &str) -> Tree {
    match rest.as_bytes()[0] {
        b'{' => {
            let mut members = Vec::new();
            *rest = &rest[1..];
            while !rest.starts_with('}') {
                *rest = rest.strip_prefix(',').unwrap_or(rest);
                let name = string(rest).trim_matches('"').to_owned();
                *rest = rest.strip_prefix(':').expect("a colon");
                members.push((name, value(rest)));
            }
            *rest = &rest[1..];
            Tree::Object(members)
        }
        b'[' => {
            let mut items = Vec::new();
            *rest = &rest[1..];
            while !rest.starts_with(']') {
                *rest = rest.strip_prefix(',').unwrap_or(rest);
                items.push(value(rest));
            }
            *rest = &rest[1..];
            Tree::Array(items)
        }
        b'"' => Tree::Scalar(string(rest).to_owned()),
        _ => {
            let end = rest.find([',', ']', '}']).unwrap_or(rest.len());
            let (raw, after) = rest.split_at(end);
            *rest = after;
            Tree::Scalar(raw.to_owned())
        }
    }
}

/// A string with its quotes, as it was written.
fn string<'t>(rest: &mut &'t str) -> &'t str {
    assert!(rest.starts_with('"'), "a string");
    let mut end = 1;
    while rest.as_bytes()[end] != b'"' {
        end += if rest.as_bytes()[end] == b'\\' { 2 } else { 1 };
    }
    let (raw, after) = rest.split_at(end + 1);
    *rest = after;
    raw
}

/// The derived id, by the sentence of the design: SHA-256 of `namespace LF type LF source id`.
pub(crate) fn derived(namespace: &str, kind: &str, id: &str) -> String {
    Digest::of(format!("{namespace}\n{kind}\n{id}").as_bytes()).to_string()
}

/// What the sending house knows that the edits need.
pub(crate) struct Edits<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) source_base: &'a str,
    /// FHIRPath of every place that was cut, as the push's decisions list them.
    pub(crate) cuts: BTreeSet<&'a str>,
}

impl Edits<'_> {
    /// Whether `filed` is `source` but for the edits that are listed in ARCHITECTURE.
    pub(crate) fn check(
        &self,
        kind: &str,
        id: &str,
        source: &[u8],
        filed: &[u8],
    ) -> Result<(), String> {
        let (mut wanted, mut found) = (Tree::read(source), Tree::read(filed));

        // id-derived
        let own = found.get("id").and_then(Tree::string).unwrap_or_default();
        if own != derived(self.namespace, kind, id) {
            return Err("the id is not the derived one".to_owned());
        }
        let Tree::Object(members) = &mut wanted else { return Err("no object".to_owned()) };
        for (name, member) in members.iter_mut().filter(|(name, _)| name == "id") {
            *member = Tree::Scalar(format!("\"{}\"", derived(self.namespace, kind, id)));
            assert_eq!(name, "id");
        }

        // element-cut, reference-rewritten, attachment-rewritten
        let mut made = BTreeSet::new();
        self.edit(&mut wanted, kind, &mut made);
        let missed: Vec<_> = self.cuts.iter().filter(|cut| !made.contains(**cut)).collect();
        if !missed.is_empty() {
            return Err(format!("cuts are listed of places that are not there: {missed:?}"));
        }

        // source-set, meta-added, source-moved, version-removed, last-updated-removed
        let source = format!("{}/{kind}/{id}", self.namespace);
        let Some(Tree::Object(_)) = found.get("meta") else { return Err("no meta".to_owned()) };
        let set = take_of_meta(&mut found, "source");
        if set.as_ref().and_then(Tree::string) != Some(source.as_str()) {
            return Err("meta.source does not name the source".to_owned());
        }
        for name in ["source", "versionId", "lastUpdated"] {
            take_of_meta(&mut wanted, name);
        }
        drop_empty_meta(&mut wanted);
        drop_empty_meta(&mut found);

        if wanted == found { Ok(()) } else { Err(first_difference(&wanted, &found, kind)) }
    }

    /// Cuts and rewrites below a value; empty elements go with their last child.
    fn edit(&self, tree: &mut Tree, place: &str, made: &mut BTreeSet<String>) {
        match tree {
            Tree::Scalar(_) => {}
            Tree::Array(items) => {
                let mut position = 0;
                items.retain_mut(|item| {
                    let place = format!("{place}[{position}]");
                    position += 1;
                    self.keep(item, &place, made)
                });
            }
            Tree::Object(members) => {
                let is_attachment = members.iter().any(|(name, _)| name == "contentType");
                for (name, member) in members.iter_mut() {
                    let text = member.string().and_then(|text| self.rewritten(text));
                    let binary = text.as_ref().is_some_and(|text| text.starts_with("\"Binary/"));
                    if name == "reference" || (name == "url" && is_attachment && binary) {
                        *member = text.map_or_else(|| member.clone(), Tree::Scalar);
                    }
                }
                members.retain_mut(|(name, member)| {
                    let place = format!("{place}.{name}");
                    self.keep(member, &place, made)
                });
            }
        }
    }

    fn keep(&self, child: &mut Tree, place: &str, made: &mut BTreeSet<String>) -> bool {
        if self.cuts.contains(place) {
            made.insert(place.to_owned());
            return false;
        }
        let was_empty = child.is_empty();
        self.edit(child, place, made);
        was_empty || !child.is_empty()
    }

    /// The new reference, quoted, of one into the source.
    fn rewritten(&self, text: &str) -> Option<String> {
        let below = text.strip_prefix(self.source_base).and_then(|rest| rest.strip_prefix('/'));
        let (kind, id) = below.unwrap_or(text).split_once('/')?;
        let id = id.split_once("/_history/").map_or(id, |(id, _)| id);
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let is_type = kind.starts_with(|c: char| c.is_ascii_uppercase()) && plain(kind);
        (is_type && plain(id) && !id.is_empty())
            .then(|| format!("\"{kind}/{}\"", derived(self.namespace, kind, id)))
    }
}

/// Takes a member of `meta` out.
pub(crate) fn take_of_meta(tree: &mut Tree, name: &str) -> Option<Tree> {
    let Tree::Object(members) = tree else { return None };
    let (_, meta) = members.iter_mut().find(|(found, _)| found == "meta")?;
    meta.take(name)
}

/// An empty meta is one that was added, or one that held nothing but what was taken.
fn drop_empty_meta(tree: &mut Tree) {
    if tree.get("meta").is_some_and(Tree::is_empty) {
        tree.take("meta");
    }
}

/// Where, and of which kind: never what.
fn first_difference(wanted: &Tree, found: &Tree, place: &str) -> String {
    match (wanted, found) {
        (Tree::Object(one), Tree::Object(other)) => {
            let names =
                |of: &[(String, Tree)]| of.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
            if names(one) != names(other) {
                return format!("{place}: members {:?} became {:?}", names(one), names(other));
            }
            let pair = one.iter().zip(other).find(|(one, other)| one != other);
            pair.map_or_else(String::new, |((name, one), (_, other))| {
                first_difference(one, other, &format!("{place}.{name}"))
            })
        }
        (Tree::Array(one), Tree::Array(other)) => {
            if one.len() != other.len() {
                return format!("{place}: {} items became {}", one.len(), other.len());
            }
            let pair = one.iter().zip(other).enumerate().find(|(_, (one, other))| one != other);
            pair.map_or_else(String::new, |(position, (one, other))| {
                first_difference(one, other, &format!("{place}[{position}]"))
            })
        }
        _ => format!("{place}: another value"),
    }
}

#[cfg(test)]
mod tests {
    //! Goal: the second opinion sees every change that is not listed.

    use super::*;

    const NAMESPACE: &str = "https://one.example/fhir";

    fn check(source: &str, filed: &str, cuts: &[&str]) -> Result<(), String> {
        let id = derived(NAMESPACE, "Observation", "o");
        let subject = derived(NAMESPACE, "Patient", "p");
        let set = format!("\"source\":\"{NAMESPACE}/Observation/o\"");
        let filed = filed.replace("ID", &id).replace("SUBJECT", &subject).replace("SET", &set);
        let cuts = cuts.iter().copied().collect();
        let edits = Edits { namespace: NAMESPACE, source_base: "https://ehr.example", cuts };
        edits.check("Observation", "o", source.as_bytes(), filed.as_bytes())
    }

    #[test]
    fn what_is_listed_passes_and_nothing_else() {
        let plain = r#"{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p","display":"d"},"value":1.00,"note":[{"text":"a"},{"text":"b"}]}"#;
        let with = |rest: &str| {
            format!(r#"{{"resourceType":"Observation","id":"ID","meta":{{SET}},{rest}}}"#)
        };
        let subject = r#""subject":{"reference":"Patient/SUBJECT","display":"d"}"#;
        let notes = r#""note":[{"text":"a"},{"text":"b"}]"#;
        let table: [(&str, String, &[&str], bool); 9] = [
            ("as it is to be", format!(r#"{subject},"value":1.00,{notes}"#), &[], true),
            ("a digit lost", format!(r#"{subject},"value":1.0,{notes}"#), &[], false),
            ("another order", format!(r#""value":1.00,{subject},{notes}"#), &[], false),
            ("a member lost", format!(r#"{subject},{notes}"#), &[], false),
            ("the same, listed", format!(r#"{subject},{notes}"#), &["Observation.value"], true),
            (
                "an item lost",
                format!(r#"{subject},"value":1.00,"note":[{{"text":"b"}}]"#),
                &[],
                false,
            ),
            (
                "the same, listed",
                format!(r#"{subject},"value":1.00,"note":[{{"text":"b"}}]"#),
                &["Observation.note[0]"],
                true,
            ),
            (
                "listed and still there",
                format!(r#"{subject},"value":1.00,{notes}"#),
                &["Observation.value"],
                false,
            ),
            (
                "a reference as it was",
                format!(
                    r#""subject":{{"reference":"Patient/p","display":"d"}},"value":1.00,{notes}"#
                ),
                &[],
                false,
            ),
        ];
        for (case, rest, cuts, good) in table {
            assert_eq!(check(plain, &with(&rest), cuts).is_ok(), good, "{case}");
        }
    }
}
