//! Served: a resource of the chart as an EHR of the minimum gives it out.
//!
//! Comes in   the resource as the chart has it, the EHR's base URL, its oddities, other resources.
//! Goes out   the same bytes but for references in odd spellings, practitioners and medications put
//!            inside, and `meta.versionId` and `meta.lastUpdated`, which this EHR does not keep.
//! Never      chance: the same resource is given out the same way in every search and read, so that
//!            whoever tests what was filed can ask here what was served.

use super::odd::Odd;
use bytes::Bytes;
use exchange::place::parts;
use fhir::{Doc, Edits, Node, ParseError, ReferenceElement, ReferenceSpan, Resource};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// How one reference is spelled.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Spelling {
    /// Another text in its place.
    Text(String),
    /// The identifier of who is meant, and no text.
    Logical(String),
    /// The resource itself, inside.
    Contained(String),
}

/// A resource of the chart as the EHR serves it. `find` gives records of the chart by `Type/id`; it is
/// asked for those of [`inlined`] only.
///
/// Errors: the resource cannot be read.
pub fn as_served(
    resource: &Bytes,
    base: &str,
    odd: &Odd,
    find: &dyn Fn(&str) -> Option<Bytes>,
) -> Result<Bytes, ParseError> {
    let resource = Resource::parse(resource.clone())?;
    let doc = resource.doc();
    let root = doc.root();
    let mut edits = Edits::new(&doc);
    if let Some(meta) = root.get("meta") {
        let versions = ["versionId", "lastUpdated"].into_iter().filter_map(|name| meta.get(name));
        versions.for_each(|member| edits.remove_element(member));
    }
    let mut inside: BTreeMap<String, Bytes> = BTreeMap::new();
    for (place, reference) in resource.references().iter().enumerate() {
        match spelling(&resource, place, reference, base, odd, find) {
            Some(Spelling::Text(text)) => edits.replace(reference.span.clone(), text),
            Some(Spelling::Logical(identifier)) => {
                let Some((node, object)) = node(&doc, reference) else { continue };
                if object.get("identifier").is_none() {
                    edits.remove(node);
                    edits.insert(object, "identifier", &identifier);
                }
            }
            Some(Spelling::Contained(target)) if root.get("contained").is_none() => {
                let Some(bytes) = find(&target) else { continue };
                let next = format!("{}-{}", target.split('/').next().unwrap_or("it"), inside.len());
                let held = inside.iter().find(|(_, other)| **other == bytes);
                let id = held.map_or(next.to_lowercase(), |(id, _)| id.clone());
                edits.replace(reference.span.clone(), format!("#{id}"));
                inside.insert(id, bytes);
            }
            _ => {}
        }
    }
    if !inside.is_empty() {
        let contained = inside.iter().map(|(id, bytes)| contained(id, bytes));
        let contained = contained.collect::<Result<Vec<_>, _>>()?.join(",");
        // Behind the id, so that the type still comes first.
        if let Some(id) = root.get("id") {
            let end = id.span().end;
            edits.replace(end..end, format!(r#","contained":[{contained}]"#));
        }
    }
    Ok(edits.apply().into())
}

/// The records that stand inside the resource, or whose identifier stands in it, as `Type/id`.
pub fn inlined(resource: &Resource, odd: &Odd) -> Vec<String> {
    let all = resource.references().iter().enumerate();
    let own = all.filter_map(|(place, reference)| {
        let text = resource.reference_text(reference);
        matches!(wanted(resource, place, reference, &text, odd), Way::Logical | Way::Contained)
            .then(|| text.into_owned())
    });
    own.collect()
}

/// What is to become of a reference, before anybody looks whether it can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    AsItIs,
    Absolute,
    AbsoluteVersion,
    Version,
    Logical,
    Contained,
}

fn wanted(
    resource: &Resource,
    place: usize,
    reference: &ReferenceSpan,
    text: &str,
    odd: &Odd,
) -> Way {
    let Some((kind, _, None)) = parts(text) else { return Way::AsItIs };
    let drawn = Sha256::digest(format!("{}#{place}:{text}", resource.local_reference()));
    if reference.element == ReferenceElement::AttachmentUrl {
        return if odd.references && drawn[0].is_multiple_of(2) {
            Way::Absolute
        } else {
            Way::AsItIs
        };
    }
    let inlines = odd.inlined && resource.kind() != "Provenance";
    match (kind, drawn[1] % 10) {
        ("Practitioner", 0) if inlines => return Way::Logical,
        ("Practitioner", 1) if inlines => return Way::Contained,
        ("Medication", 0..=3) if inlines => return Way::Contained,
        _ => {}
    }
    match drawn[0] % 6 {
        0 if odd.references => Way::Absolute,
        1 if odd.references => Way::AbsoluteVersion,
        2 if odd.references => Way::Version,
        _ => Way::AsItIs,
    }
}

fn spelling(
    resource: &Resource,
    place: usize,
    reference: &ReferenceSpan,
    base: &str,
    odd: &Odd,
    find: &dyn Fn(&str) -> Option<Bytes>,
) -> Option<Spelling> {
    let text = resource.reference_text(reference);
    match wanted(resource, place, reference, &text, odd) {
        Way::AsItIs => None,
        Way::Absolute => Some(Spelling::Text(format!("{base}/{text}"))),
        Way::AbsoluteVersion => Some(Spelling::Text(format!("{base}/{text}/_history/3"))),
        Way::Version => Some(Spelling::Text(format!("{text}/_history/1"))),
        Way::Logical => identifier(&find(&text)?).map(Spelling::Logical),
        Way::Contained => Some(Spelling::Contained(text.into_owned())),
    }
}

/// The first identifier of a record, as it stands there.
fn identifier(record: &Bytes) -> Option<String> {
    let doc = Doc::parse(record).ok()?;
    let first = doc.root().get("identifier")?.items().next()?;
    Some(first.raw().to_owned())
}

/// The node of a reference's text, and the object it stands in.
fn node<'d, 'a>(
    doc: &'d Doc<'a>,
    reference: &ReferenceSpan,
) -> Option<(Node<'d, 'a>, Node<'d, 'a>)> {
    let quotes = reference.span.start.checked_sub(1)?..reference.span.end + 1;
    let node = doc.node_at(&quotes)?;
    Some((node, doc.parent(node)?))
}

/// A record as it stands inside another: under a local id, without meta and narrative.
fn contained(id: &str, bytes: &Bytes) -> Result<String, ParseError> {
    let resource = Resource::parse(bytes.clone())?.with_id(id);
    let doc = resource.doc();
    let mut edits = Edits::new(&doc);
    let gone = ["meta", "text"].into_iter().filter_map(|name| doc.root().get(name));
    gone.for_each(|member| edits.remove(member));
    Ok(String::from_utf8_lossy(&edits.apply()).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BASE: &str = "https://ehr.example/fhir";

    fn find(reference: &str) -> Option<Bytes> {
        let (kind, id) = reference.split_once('/').unwrap();
        let text = format!(
            r#"{{"resourceType":"{kind}","id":"{id}","meta":{{"versionId":"4"}},"identifier":[{{"value":"n-{id}"}}]}}"#
        );
        Some(text.into())
    }

    fn served(text: &str, odd: &Odd) -> String {
        let served = as_served(&Bytes::from(text.to_owned()), BASE, odd, &find).unwrap();
        Resource::parse(served.clone()).unwrap();
        String::from_utf8(served.to_vec()).unwrap()
    }

    #[test]
    fn without_oddities_only_versions_go() {
        let table = [
            (r#"{"resourceType":"Patient", "id":"p"}"#, r#"{"resourceType":"Patient", "id":"p"}"#),
            (
                r#"{"resourceType":"Patient","id":"p","meta":{"versionId":"1","lastUpdated":"2026-01-01T00:00:00Z"},"active":true}"#,
                r#"{"resourceType":"Patient","id":"p","active":true}"#,
            ),
            (
                r#"{"resourceType":"Patient","id":"p","meta":{"versionId":"1","source":"s"}}"#,
                r#"{"resourceType":"Patient","id":"p","meta":{"source":"s"}}"#,
            ),
        ];
        for (chart, expected) in table {
            assert_eq!(served(chart, &Odd::plain()), expected);
        }
    }

    #[test]
    fn every_spelling_is_used_and_each_still_means_the_same_record() {
        let odd = Odd { inlined: false, ..Odd::certified_minimum() };
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..60 {
            let text = format!(
                r#"{{"resourceType":"Observation","id":"o{number}","subject":{{"reference":"Patient/p"}}}}"#
            );
            let one = served(&text, &odd);
            assert_eq!(one, served(&text, &odd), "the same twice");
            let resource = Resource::parse(one.into_bytes()).unwrap();
            seen.insert(resource.reference_text(&resource.references()[0]).into_owned());
        }
        let all = [
            "Patient/p",
            "Patient/p/_history/1",
            "https://ehr.example/fhir/Patient/p",
            "https://ehr.example/fhir/Patient/p/_history/3",
        ];
        assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), all);
    }

    #[test]
    fn practitioners_are_logical_or_inside_now_and_then_and_never_lost() {
        let odd = Odd { references: false, ..Odd::certified_minimum() };
        let (mut logical, mut inside) = (0, 0);
        for number in 0..100 {
            let text = format!(
                r#"{{"resourceType":"Encounter","id":"e{number}","participant":[{{"individual":{{"reference":"Practitioner/d","display":"Dr. Invented"}}}}]}}"#
            );
            let one = served(&text, &odd);
            match one.contains("Practitioner/d") {
                true => assert_eq!(one, text),
                false if one.contains("\"contained\"") => {
                    inside += 1;
                    assert!(one.contains(r##""reference":"#practitioner-0""##), "{one}");
                    assert!(!one.contains("versionId"), "{one}");
                }
                false => {
                    logical += 1;
                    let object =
                        r#""individual":{"identifier":{"value":"n-d"},"display":"Dr. Invented"}"#;
                    assert!(one.contains(object), "{one}");
                }
            }
        }
        assert!(logical > 0 && inside > 0 && logical + inside < 50, "{logical} {inside}");
    }
}
