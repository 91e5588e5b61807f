//! Addresses: what leads to a record without being a reference to it.
//!
//! Comes in   a resource that travels; the visits that stay, as far as they are known.
//! Goes out   its texts that are addresses of records, and its identifiers that are visits' numbers.
//! Never      reads prose: a text counts only where it is an address whole.
//!
//! An extension may say the address of a withheld visit as `valueUri`, and its number as
//! `valueIdentifier`: either opens what a reference would, at a server that both can reach.

use super::chart::Known;
use super::{Audience, Pointer, Withheld, pointer};
use crate::path::is_resource_type;
use crate::place;
use crate::restriction::tail;
use crate::valueset::canonical;
use fhir::{Doc, Kind, Node};
use std::collections::{BTreeMap, BTreeSet};

/// Types of rules and definitions, which are addressed by what conforms to them: nobody's records.
const DEFINITIONS: [&str; 15] = [
    "ActivityDefinition",
    "CapabilityStatement",
    "CodeSystem",
    "ConceptMap",
    "GraphDefinition",
    "ImplementationGuide",
    "Library",
    "Measure",
    "NamingSystem",
    "OperationDefinition",
    "PlanDefinition",
    "Questionnaire",
    "SearchParameter",
    "StructureDefinition",
    "ValueSet",
];

/// Shorter numbers may be anything, where no system says whose they are.
const CHARS_MIN: usize = 5;

/// A text that is the address of a record.
pub(super) struct Address<'d, 'a> {
    pub(super) node: Node<'d, 'a>,
    /// `Type/id`; `None` where it is a search at the source.
    pub(super) to: Option<String>,
    /// Whether it is an element for addresses, and under the source's base: then it goes as a
    /// reference does where its target is not there.
    pub(super) is_strict: bool,
}

/// The addresses in a resource that are in no Reference.
pub(super) fn of<'d, 'a>(doc: &'d Doc<'a>, audience: &Audience<'_>) -> Vec<Address<'d, 'a>> {
    const OTHERS: [&str; 3] = ["reference", "div", "data"];
    let may_be = |node: &Node<'d, 'a>| {
        node.kind() == Kind::String && node.raw().contains('/') && !OTHERS.contains(&node.name())
    };
    let texts = doc.root().descendants().filter(may_be);
    texts.filter_map(|node| address(doc, node, audience)).collect()
}

fn address<'d, 'a>(
    doc: &'d Doc<'a>,
    node: Node<'d, 'a>,
    audience: &Audience<'_>,
) -> Option<Address<'d, 'a>> {
    let text = node.text()?;
    let text = text.trim();
    let below = place::under(text, audience.source_base);
    let to = match pointer(text, audience.source_base) {
        Pointer::Source(kind, id) => Some(format!("{kind}/{id}")),
        Pointer::Foreign => Some(tail(text)?),
        // A search below the base; what else lies there is no record's.
        Pointer::Unreadable => {
            below?;
            None
        }
        Pointer::Inner(_) => return None,
    };
    let kind = to.as_deref().or(below)?.split(['/', '?']).next()?;
    if !is_resource_type(kind) || DEFINITIONS.contains(&kind) {
        return None;
    }
    let name = super::loose::element_name(doc, node);
    let is_for_addresses = name.starts_with("value")
        || ["Uri", "Url", "Canonical"].iter().any(|end| name.ends_with(end));
    let is_strict = is_for_addresses && below.is_some();
    (is_strict || to.is_some()).then_some(Address { node, to, is_strict })
}

/// The numbers of visits that stay, and of no other visit.
#[derive(Debug, Default)]
pub(super) struct VisitNumbers {
    by_value: BTreeMap<String, Vec<(Option<String>, Withheld)>>,
}

impl VisitNumbers {
    pub(super) fn read(known: &Known, stay: &BTreeMap<String, Withheld>) -> VisitNumbers {
        let mut numbers = VisitNumbers::default();
        let mut open = BTreeSet::new();
        let visits = known.iter().filter(|(_, (resource, _))| resource.kind() == "Encounter");
        for (reference, (visit, _)) in visits {
            let doc = visit.doc();
            let own = doc.root().get("identifier").into_iter().flat_map(|list| list.each());
            for (system, value) in own.filter_map(parts) {
                match stay.get(reference) {
                    Some(why) => {
                        let known = numbers.by_value.entry(value).or_default();
                        known.push((system, why.clone()));
                    }
                    None => drop(open.insert((system, value))),
                }
            }
        }
        for (value, known) in &mut numbers.by_value {
            known.retain(|(system, _)| !open.contains(&(system.clone(), value.clone())));
        }
        numbers
    }

    /// The identifiers in a resource that are such a visit's, with why it stays.
    pub(super) fn within<'d, 'a>(&self, doc: &'d Doc<'a>) -> Vec<(Node<'d, 'a>, &Withheld)> {
        if self.by_value.is_empty() {
            return Vec::new();
        }
        let objects = doc.root().descendants().filter(|node| node.kind() == Kind::Object);
        objects.filter_map(|node| Some((node, self.why(node)?))).collect()
    }

    fn why(&self, identifier: Node<'_, '_>) -> Option<&Withheld> {
        let (system, value) = parts(identifier)?;
        let known = self.by_value.get(&value)?;
        let fits = |of: &Option<String>| match (of, &system) {
            (Some(of), Some(system)) => of == system,
            (None, None) => true,
            _ => value.len() >= CHARS_MIN,
        };
        known.iter().find(|(of, _)| fits(of)).map(|(_, why)| why)
    }
}

fn parts(identifier: Node<'_, '_>) -> Option<(Option<String>, String)> {
    let text = |name: &str| {
        let node = identifier.get(name).filter(|node| node.kind() == Kind::String)?;
        Some(node.text()?.trim().to_owned()).filter(|text| !text.is_empty())
    };
    Some((text("system").map(|system| canonical(&system).into_owned()), text("value")?))
}
