//! Addresses: what leads to a record without being a reference to it.
//!
//! Comes in   a resource that travels; the visits that stay, as far as they are known.
//! Goes out   its texts that are addresses of records, and its identifiers that are visits' numbers.
//! Never      reads prose: a text counts only where it is an address whole, in whichever spelling.
//!
//! An extension may say the address of a withheld visit as `valueUri`, and its number as
//! `valueIdentifier`: either opens what a reference would, at a server that both can reach. So does a search
//! for it, or what the server makes of it (`/$everything`).

use super::chart::Known;
use super::{Audience, Pointer, Withheld, pointer};
use crate::path::{is_resource_type, names_of_type};
use crate::place;
use crate::valueset::canonical;
use fhir::{Doc, Kind, Node, is_id};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

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

/// A text that is the address of a record, or of more.
pub(super) struct Address<'d, 'a> {
    pub(super) node: Node<'d, 'a>,
    /// Every `Type/id` that it may mean: those in its path, and those that its search asks for.
    pub(super) to: Vec<String>,
    /// What an element for addresses says of the source itself.
    pub(super) of_source: Option<OfSource>,
}

/// What the source is asked for by an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfSource {
    /// One record, under the source's base: it goes as a reference does where its target is not there.
    Record,
    /// A search, or an operation on a record: it may open more than a record.
    More,
}

/// The addresses in a resource that are in no Reference.
pub(super) fn of<'d, 'a>(doc: &'d Doc<'a>, audience: &Audience<'_>) -> Vec<Address<'d, 'a>> {
    const OTHERS: [&str; 3] = ["reference", "div", "data"];
    // Behind an escape there may be any of them.
    let may_be = |node: &Node<'d, 'a>| {
        node.kind() == Kind::String
            && node.raw().contains(['/', '\\', '?', '%'])
            && !OTHERS.contains(&node.name())
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
    if below.is_none() && text.contains(char::is_whitespace) {
        return None;
    }
    let (path, search) = text.split_once('?').unwrap_or((text, ""));
    let steps = steps(path);
    let mut to: Vec<String> = records(&steps).collect();
    let asked = steps.iter().rev().find(|step| is_of_records(step));
    to.extend(asked.into_iter().flat_map(|kind| searched_for(kind, search)));
    let of_source = match (pointer(text, audience.source_base), below) {
        (Pointer::Source(kind, _), Some(_)) if is_of_records(&kind) => Some(OfSource::Record),
        (Pointer::Source(..), _) => None,
        // What else lies below the base is no record's.
        (_, Some(rest)) => {
            let first = self::steps(rest.split('?').next()?).into_iter().next()?;
            is_of_records(&first).then_some(OfSource::More)
        }
        (Pointer::Foreign, None) => None,
        (_, None) => {
            let is_operation = steps.iter().any(|step| step.starts_with('$'));
            (asked.is_some() && (is_operation || search.contains('='))).then_some(OfSource::More)
        }
    };
    let name = super::loose::element_name(doc, node);
    let is_for_addresses = name.starts_with("value")
        || ["Uri", "Url", "Canonical"].iter().any(|end| name.ends_with(end));
    let of_source = of_source.filter(|_| is_for_addresses);
    (of_source.is_some() || !to.is_empty()).then_some(Address { node, to, of_source })
}

/// Whether a word is a type of records, other than definitions.
fn is_of_records(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
        && is_resource_type(word)
        && !DEFINITIONS.contains(&word)
}

/// The steps of a path as servers read them: decoded, without those that lead nowhere.
fn steps(path: &str) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    for step in decoded(path).split(['/', '\\', '#', '|']) {
        match step.trim() {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step.to_owned()),
        }
    }
    steps
}

/// Every `Type/id` among the steps of a path.
fn records(steps: &[String]) -> impl Iterator<Item = String> {
    steps.windows(2).filter_map(|pair| match pair {
        [kind, id] if is_of_records(kind) && is_id(id) => Some(format!("{kind}/{id}")),
        _ => None,
    })
}

/// What a search among records of a type asks for: whatever its parameters are called, each id may be
/// that of a record of the type, or of its visit.
fn searched_for(kind: &str, search: &str) -> Vec<String> {
    let values = search.split('&').filter_map(|pair| pair.split_once('='));
    let mut found = Vec::new();
    for (_, value) in values {
        for value in decoded(value).split([',', '#']) {
            found.extend(records(&steps(value)));
            if is_id(value) {
                found.extend([format!("{kind}/{value}"), format!("Encounter/{value}")]);
            }
        }
    }
    found
}

/// Without percent escapes; a text that is not well escaped as it is.
fn decoded(text: &str) -> Cow<'_, str> {
    match text.contains('%').then(|| crate::query::decode_part(text.as_bytes())) {
        Some(Ok(text)) => Cow::Owned(text),
        _ => Cow::Borrowed(text),
    }
}

/// The numbers of visits that stay, and of no other visit.
#[derive(Debug, Default)]
pub(super) struct VisitNumbers {
    /// The patient's own, which servers repeat at visits; not those that say to be of a visit.
    own: BTreeSet<(Option<String>, String)>,
    by_value: BTreeMap<String, Vec<(Option<String>, Withheld)>>,
}

impl VisitNumbers {
    /// `patient` is `Patient.id`.
    pub(super) fn read(
        known: &Known,
        stay: &BTreeMap<String, Withheld>,
        patient: &str,
    ) -> VisitNumbers {
        let mut numbers = VisitNumbers::default();
        let mut open = BTreeSet::new();
        if let Some((patient, _)) = known.get(&format!("Patient/{patient}")) {
            let doc = patient.doc();
            let own = doc.root().get("identifier").into_iter().flat_map(|list| list.each());
            let own = own.filter(|identifier| !is_of_a_visit(*identifier));
            numbers.own = own.filter_map(parts).collect();
        }
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
            known.retain(|(system, _)| {
                let number = (system.clone(), value.clone());
                !open.contains(&number) && !numbers.own.contains(&number)
            });
        }
        numbers
    }

    /// The identifiers in a resource that are such a visit's, with why it stays.
    pub(super) fn within<'d, 'a>(&self, doc: &'d Doc<'a>) -> Vec<(Node<'d, 'a>, &Withheld)> {
        if self.by_value.is_empty() {
            return Vec::new();
        }
        static CONTACT_POINTS: OnceLock<BTreeSet<String>> = OnceLock::new();
        let contact_points = CONTACT_POINTS.get_or_init(|| names_of_type("ContactPoint"));
        // The digits of a telephone are nobody's number, whatever else they are.
        let may_be = |node: &Node<'d, 'a>| {
            node.kind() == Kind::Object
                && !contact_points.contains(super::loose::element_name(doc, *node))
        };
        let objects = doc.root().descendants().filter(may_be);
        objects.filter_map(|node| Some((node, self.why(node)?))).collect()
    }

    fn why(&self, identifier: Node<'_, '_>) -> Option<&Withheld> {
        let (system, value) = parts(identifier)?;
        let known = self.by_value.get(&value)?;
        if self.own.contains(&(system.clone(), value.clone())) {
            return None;
        }
        let fits = |of: &Option<String>| match (of, &system) {
            (Some(of), Some(system)) => of == system,
            (None, None) => true,
            _ => value.len() >= CHARS_MIN,
        };
        known.iter().find(|(of, _)| fits(of)).map(|(_, why)| why)
    }
}

/// Whether an identifier says that it is the number of a visit, or the account of one (table 0203).
fn is_of_a_visit(identifier: Node<'_, '_>) -> bool {
    let codings = identifier.get("type").and_then(|kind| kind.get("coding"));
    codings.into_iter().flat_map(|codings| codings.each()).any(|coding| {
        let code = coding.get("code").and_then(|code| code.text());
        code.is_some_and(|code| ["AN", "VN"].contains(&code.trim()))
    })
}

fn parts(identifier: Node<'_, '_>) -> Option<(Option<String>, String)> {
    let text = |name: &str| {
        let node = identifier.get(name).filter(|node| node.kind() == Kind::String)?;
        Some(node.text()?.trim().to_owned()).filter(|text| !text.is_empty())
    };
    Some((text("system").map(|system| canonical(&system).into_owned()), text("value")?))
}
