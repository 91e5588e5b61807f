//! Members: numbers by which other payers know the patient never travel.
//!
//! Comes in   the patient's coverages, as far as the chart is known; a resource that travels.
//! Goes out   the identifiers in it that are another payer's, wherever they stand.
//! Never      takes this payer's own member number: without it the payer could not tell whose the data
//!            are (the member match of HRex); nor says by such a number whose a record is, since families
//!            share it.
//!
//! Charts list every plan's number in `Patient.identifier`. One of them is another payer's where it is
//! a number of one of the patient's other coverages, or of their system; and where its type, its system
//! or its words say that it is a number of membership, and none of this payer's coverages has it.

use super::Audience;
use crate::restriction::tail;
use crate::valueset::canonical;
use fhir::{Doc, Kind, Node, Resource};
use std::collections::BTreeSet;

/// Types of identifiers that a payer gives: HL7 table 0203 and CARIN's identifier types.
const TYPES: [&str; 6] = ["HC", "MA", "MB", "MC", "SN", "um"];

/// How the systems of such numbers begin: Medicare's and Medicaid's.
const SYSTEMS: [&str; 5] = [
    "http://hl7.org/fhir/sid/us-mbi",
    "http://hl7.org/fhir/sid/us-medicare",
    "http://hl7.org/fhir/sid/us-medicaid",
    "urn:oid:2.16.840.1.113883.4.572",
    "urn:oid:2.16.840.1.113883.4.927",
];

/// Words in the type of an identifier of a person that say the same, in lower case.
const WORDS: [&str; 7] =
    ["beneficiary", "health plan", "insur", "medicaid", "medicare", "member", "subscriber"];

/// Whose identifiers are a person's.
const PERSONS: [&str; 3] = ["Patient", "Person", "RelatedPerson"];

/// Shorter numbers may be anything.
const CHARS_MIN: usize = 5;

/// The numbers by which payers know the patient.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    own: Known,
    others: Known,
}

/// What a payer's coverages say, as it is compared.
#[derive(Debug, Default)]
struct Known {
    values: BTreeSet<String>,
    systems: BTreeSet<String>,
    payors: BTreeSet<String>,
}

impl Numbers {
    pub(super) fn read<'r>(
        all: impl Iterator<Item = &'r Resource>,
        audience: &Audience<'_>,
    ) -> Numbers {
        let mut numbers = Numbers::default();
        for coverage in all.filter(|resource| resource.kind() == "Coverage") {
            let own = audience.own_coverages.contains(&coverage.local_reference());
            let known = if own { &mut numbers.own } else { &mut numbers.others };
            let doc = coverage.doc();
            let root = doc.root();
            known
                .values
                .extend(root.get("subscriberId").and_then(|id| id.text()).map(|id| plain(&id)));
            for identifier in root.get("identifier").into_iter().flat_map(|list| list.each()) {
                let text = |name: &str| identifier.get(name).and_then(|node| node.text());
                known.values.extend(text("value").map(|value| plain(&value)));
                known.systems.extend(text("system").map(|system| canonical(&system).to_string()));
            }
            for payor in root.get("payor").into_iter().flat_map(|list| list.each()) {
                let reference = payor.get("reference").and_then(|node| tail(&node.text()?));
                known.payors.extend(reference);
            }
        }
        numbers
    }

    /// Whether an identifier of a person is one of membership, with whichever payer, so that others of the
    /// family may have it too.
    pub(super) fn are_of_membership(&self, identifier: Node<'_, '_>) -> bool {
        let text = |name: &str| identifier.get(name).and_then(|node| node.text());
        let value = text("value").map(|value| plain(&value)).unwrap_or_default();
        let system = text("system").map(|system| canonical(&system).to_string());
        let system = system.unwrap_or_default();
        let of_a_coverage =
            |known: &Known| known.values.contains(&value) || known.systems.contains(&system);
        of_a_coverage(&self.own)
            || of_a_coverage(&self.others)
            || SYSTEMS.iter().any(|known| system.starts_with(known))
            || is_typed(identifier)
            || is_worded(identifier)
    }

    /// What of a resource tells another payer's number.
    pub(super) fn of_others<'d, 'a>(&self, doc: &'d Doc<'a>) -> Vec<Node<'d, 'a>> {
        let root = doc.root();
        // This payer's own coverage may say what it likes; a number of others may stand anywhere.
        let objects = root.descendants().filter(|node| node.kind() == Kind::Object);
        let tells = |node: &Node<'d, 'a>| match node.get("value").and_then(|value| value.text()) {
            Some(value) => self.is_of_another(doc, *node, &value),
            None => node.members().any(|member| {
                let is_value = member.name().starts_with("value");
                is_value && member.text().is_some_and(|text| self.is_anothers_value(&text))
            }),
        };
        objects.filter(tells).collect()
    }

    fn is_of_another(&self, doc: &Doc<'_>, identifier: Node<'_, '_>, value: &str) -> bool {
        if self.own.values.contains(&plain(value)) {
            return false;
        }
        if self.is_anothers_value(value) {
            return true;
        }
        let system = identifier.get("system").and_then(|system| system.text());
        let system = system.map(|system| canonical(&system).to_string()).unwrap_or_default();
        let assigner = identifier.get("assigner").and_then(|assigner| assigner.get("reference"));
        let assigner = assigner.and_then(|reference| tail(&reference.text()?)).unwrap_or_default();
        let is =
            |known: &Known| known.systems.contains(&system) || known.payors.contains(&assigner);
        if is(&self.own) {
            return false;
        }
        is(&self.others)
            || SYSTEMS.iter().any(|known| system.starts_with(known))
            || is_typed(identifier)
            || (is_worded(identifier) && is_a_persons(doc, identifier))
    }

    fn is_anothers_value(&self, value: &str) -> bool {
        let value = plain(value);
        value.len() >= CHARS_MIN
            && self.others.values.contains(&value)
            && !self.own.values.contains(&value)
    }
}

/// Without what people write between the characters of a number, and without regard to case.
fn plain(value: &str) -> String {
    value.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_uppercase()
}

fn codings<'d, 'a>(identifier: Node<'d, 'a>) -> impl Iterator<Item = Node<'d, 'a>> {
    let kind = identifier.get("type").and_then(|kind| kind.get("coding"));
    kind.into_iter().flat_map(|codings| codings.each())
}

fn is_typed(identifier: Node<'_, '_>) -> bool {
    codings(identifier).any(|coding| {
        let code = coding.get("code").and_then(|code| code.text()).unwrap_or_default();
        TYPES.iter().any(|known| known.eq_ignore_ascii_case(code.trim()))
    })
}

fn is_worded(identifier: Node<'_, '_>) -> bool {
    let own = identifier.get("type").and_then(|kind| kind.get("text"));
    let displays = codings(identifier).filter_map(|coding| coding.get("display"));
    own.into_iter().chain(displays).filter_map(|words| words.text()).any(|words| {
        let words = words.to_lowercase();
        WORDS.iter().any(|word| words.contains(word))
    })
}

/// Whether the resource or contained resource that an identifier stands in is a person.
fn is_a_persons(doc: &Doc<'_>, identifier: Node<'_, '_>) -> bool {
    let mut at = Some(identifier);
    while let Some(node) = at {
        if let Some(kind) = node.get("resourceType").and_then(|kind| kind.text()) {
            return PERSONS.contains(&kind.as_ref());
        }
        at = doc.parent(node);
    }
    false
}
