//! Payor: whom a coverage names as the one that pays, as the chart writes it.
//!
//! Comes in   one element of `Coverage.payor`, the Coverage around it, the Organizations of the
//!            source.
//! Goes out   identifiers, reference and names of the payor, and a key that tells payors apart.
//! Never      a person who pays, and nothing about a patient: member ids and groups stand in
//!            `coverage::Facts`.
//!
//! The key is what ledger and rows hold of a payor nobody has mapped: a digest, since its name and
//! numbers are for the desk's own answer only.

use crate::id::Digest;
use crate::shape::target;
use fhir::{Node, Resource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Characters of a digest that a payor's key has: enough to tell the payors of one house apart.
const KEY_DIGITS: usize = 12;

/// The system of Social Security numbers. A payor that is named by one is a person.
const SSN: &str = "http://hl7.org/fhir/sid/us-ssn";

/// Tells payors apart without naming them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PayorKey(pub String);

impl fmt::Display for PayorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An identifier with its system, if it has one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PayorIdentifier {
    /// `Identifier.system`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// `Identifier.value`.
    pub value: String,
}

impl fmt::Display for PayorIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.system {
            Some(system) => write!(f, "{system}|{}", self.value),
            // A bar parts system and value, also where there is no system.
            None if self.value.contains('|') => write!(f, "|{}", self.value),
            None => f.write_str(&self.value),
        }
    }
}

/// A payor, as the chart names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Payor {
    /// Of the reference, of the Organization, or of one contained.
    pub identifiers: BTreeSet<PayorIdentifier>,
    /// `Organization/id` in the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Names of the Organization, or the reference's words.
    pub names: BTreeSet<String>,
    /// The chart says that it is an Organization. Words about anything else may name a person.
    pub organization: bool,
}

impl Payor {
    /// The key: of the identifiers, else of the reference, else of the names.
    pub fn key(&self) -> PayorKey {
        let mut pieces: Vec<String> = Vec::new();
        if !self.identifiers.is_empty() {
            pieces.push("identifiers".to_owned());
            let both =
                |it: &PayorIdentifier| [it.system.clone().unwrap_or_default(), it.value.clone()];
            pieces.extend(self.identifiers.iter().flat_map(both));
        } else if let Some(reference) = &self.reference {
            pieces.extend(["reference".to_owned(), reference.clone()]);
        } else {
            pieces.push("names".to_owned());
            pieces.extend(self.names.iter().map(|name| folded_name(name)));
        }
        let digest = Digest::of_pieces(pieces.iter().map(String::as_bytes)).to_string();
        PayorKey(digest.chars().take(KEY_DIGITS).collect())
    }

    /// What a person may be shown of it: of what is not known to be an Organization no words, and
    /// nobody's Social Security number.
    pub fn shown(&self) -> Payor {
        let mut shown = self.clone();
        shown.identifiers.retain(|it| it.system.as_deref() != Some(SSN));
        if !self.organization {
            shown.names.clear();
        }
        shown
    }
}

/// Reads one element of `Coverage.payor`; nothing for a patient or relative, who are no plans.
pub(super) fn payor(
    node: Node<'_, '_>,
    coverage: Node<'_, '_>,
    organizations: &[Resource],
    source_base: &str,
) -> Option<Payor> {
    let referred = node.get("reference").and_then(|text| target(&text.text()?, source_base));
    let inner = contained(node, coverage);
    let kinds = [
        node.get("type").and_then(|kind| kind.text()).map(|kind| kind.into_owned()),
        referred.as_ref().map(|(kind, _)| kind.clone()),
        inner.and_then(|inner| Some(inner.get("resourceType")?.text()?.into_owned())),
    ];
    let is = |wanted: &str| kinds.iter().flatten().any(|kind| kind == wanted);
    if is("Patient") || is("RelatedPerson") {
        return None;
    }
    let mut payor = Payor { organization: is("Organization"), ..Payor::default() };
    payor.reference = referred.map(|(kind, id)| format!("{kind}/{id}"));
    read_identifiers(node, &mut payor.identifiers);
    read_name(node.get("display"), &mut payor.names);
    let wanted = payor.reference.as_deref();
    let organization =
        organizations.iter().find(|it| Some(it.local_reference().as_str()) == wanted);
    let doc = organization.map(|organization| organization.doc());
    for node in inner.into_iter().chain(doc.as_ref().map(|doc| doc.root())) {
        read_identifiers(node, &mut payor.identifiers);
        read_name(node.get("name"), &mut payor.names);
    }
    Some(payor)
}

/// The payors that a patient's coverages name, whether these count or not.
pub fn payors_of(
    coverages: &[Resource],
    organizations: &[Resource],
    source_base: &str,
) -> Vec<Payor> {
    let mut found = Vec::new();
    for coverage in coverages {
        let doc = coverage.doc();
        let each = doc.root().get("payor").into_iter().flat_map(|list| list.each());
        found.extend(each.filter_map(|node| payor(node, doc.root(), organizations, source_base)));
    }
    found
}

/// What a reference to `#id` means, within the Coverage.
fn contained<'d, 'a>(payor: Node<'d, 'a>, coverage: Node<'d, 'a>) -> Option<Node<'d, 'a>> {
    let text = payor.get("reference")?.text()?;
    let id = text.strip_prefix('#')?;
    let mut items = coverage.get("contained")?.each();
    items.find(|item| item.get("id").and_then(|found| found.text()).is_some_and(|it| it == id))
}

fn read_identifiers(node: Node<'_, '_>, found: &mut BTreeSet<PayorIdentifier>) {
    for identifier in node.get("identifier").into_iter().flat_map(|list| list.each()) {
        let text = |name| {
            let text = identifier.get(name).and_then(|node| node.text())?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        if let Some(value) = text("value") {
            found.insert(PayorIdentifier { system: text("system"), value });
        }
    }
}

fn read_name(node: Option<Node<'_, '_>>, names: &mut BTreeSet<String>) {
    let name = node.and_then(|node| Some(node.text()?.trim().to_owned()));
    names.extend(name.filter(|name| !name.is_empty()));
}

/// A name as compared: lower case, with single spaces.
pub(super) fn folded_name(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
