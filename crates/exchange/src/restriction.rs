//! Restrictions: what a patient, a law or the house has taken out of an agreement's reach.
//!
//! Comes in   the house's table of restrictions, as TOML.
//! Goes out   whether a resource is covered for a payer, and by which word.
//! Never      an unreadable row that is passed over: then nothing may be sent at all.
//!
//! Why before everything else: 45 CFR 164.522(a)(1)(vi) binds the house to a self-pay restriction
//! even where the agreement is generous.
//!
//! ```toml
//! as_of = 2026-11-22T06:00:00Z    # until when the rows are known; see `feed`
//!
//! [[restriction]]
//! subject = "Encounter/enc-1"     # a resource of the source: Type/id
//! reason = "self-pay"             # for people: one short line
//! payers = []                     # partners it holds against; empty: all
//! except_purposes = ["TREAT"]     # purposes it does not hold against; empty: it holds against all
//! ```
//!
//! A restricted Encounter covers every resource that refers to it, a restricted Patient every
//! resource that refers to that patient, any other resource itself alone. What refers to a covered
//! resource loses the reference, because its target is withheld. What names no encounter of its own
//! is covered by the restricted Encounter that refers to it (its diagnoses, its reasons): *shape*
//! asks for that with [`Restrictions::takes_along`].

pub mod feed;
pub mod table;

use crate::id::{Digest, PartnerId};
use crate::issue::{Code, Issue};
use crate::limits::{RESTRICTION_REASON_CHARS_MAX, RESTRICTIONS_BYTES_MAX};
use crate::path::{is_resource_type, resource_types};
use crate::purpose::Purpose;
use crate::tomlfile::{self, did_you_mean};
use fhir::{Node, Resource, is_id};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The table of restrictions, ready to be asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restrictions {
    by_subject: HashMap<String, Vec<Restriction>>,
    as_of: Option<Timestamp>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restriction {
    /// `Type/id` in the source.
    pub subject: String,
    /// Why, for people, in one short line: `self-pay`, `patient's wish`, `consent`, …
    pub reason: String,
    /// Partners it holds against; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payers: Vec<PartnerId>,
    /// Purposes it does not hold against; empty: it holds against all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except_purposes: Vec<Purpose>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default, deserialize_with = "feed::moment")]
    as_of: Option<Timestamp>,
    #[serde(default)]
    restriction: Vec<Restriction>,
}

impl Restrictions {
    /// Reads the table. `partners` are the names that `payers` may hold: a mistyped one would
    /// restrict nobody. Any fault is [`Code::RestrictionsUnreadable`] with file and line.
    pub fn parse(
        text: &str,
        file_name: &str,
        partners: &[PartnerId],
    ) -> Result<Restrictions, Issue> {
        let (as_of, rows) = Restrictions::rows(text, file_name, partners)?;
        let mut restrictions = Restrictions { as_of, ..Restrictions::default() };
        for row in rows {
            restrictions.by_subject.entry(row.subject.clone()).or_default().push(row);
        }
        Ok(restrictions)
    }

    /// The same, as it is written: until when the rows are known, and the rows in their order.
    pub fn rows(
        text: &str,
        file_name: &str,
        partners: &[PartnerId],
    ) -> Result<(Option<Timestamp>, Vec<Restriction>), Issue> {
        let fault = |way: &[&str], detail: String| {
            let line = tomlfile::line_of(text, way);
            tomlfile::at_line(Code::RestrictionsUnreadable, file_name, line, detail)
        };
        if text.len() > RESTRICTIONS_BYTES_MAX {
            let detail = format!("the table has at most {RESTRICTIONS_BYTES_MAX} bytes");
            return Err(fault(&[], detail));
        }
        let table: Table = toml::from_str(text).map_err(|error| {
            tomlfile::issue(Code::RestrictionsUnreadable, file_name, text, &error)
        })?;
        for (at, row) in table.restriction.iter().enumerate() {
            let position = at.to_string();
            check(row, partners)
                .map_err(|(key, detail)| fault(&["restriction", &position, key], detail))?;
        }
        Ok((table.as_of, table.restriction))
    }

    /// Those that hold against a purpose.
    pub fn for_purpose(mut self, purpose: Purpose) -> Restrictions {
        self.by_subject.retain(|_, rows| {
            rows.retain(|row| !row.except_purposes.contains(&purpose));
            !rows.is_empty()
        });
        self
    }

    /// Until when the rows are known, where the table says so.
    pub fn as_of(&self) -> Option<Timestamp> {
        self.as_of
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.by_subject.values().map(Vec::len).sum()
    }

    /// Whether nothing is restricted.
    pub fn is_empty(&self) -> bool {
        self.by_subject.is_empty()
    }

    /// What they keep from a payer, as a digest: of two tables with the same one, the same resources
    /// are covered. Why a row stands there, and since when it is known, does not count.
    pub fn digest(&self, payer: &PartnerId) -> Digest {
        let rows = self.by_subject.iter();
        let held = rows.filter(|(_, rows)| rows.iter().any(|row| row.holds_against(payer)));
        let mut subjects: Vec<&[u8]> = held.map(|(subject, _)| subject.as_bytes()).collect();
        subjects.sort_unstable();
        Digest::of_pieces(subjects)
    }

    /// The restriction that keeps a resource from a payer, if one does.
    pub fn covers(&self, resource: &Resource, payer: &PartnerId) -> Option<&Restriction> {
        if self.is_empty() {
            return None;
        }
        if let Some(row) = self.of(&resource.local_reference(), payer) {
            return Some(row);
        }
        let referred = resource.references().iter().find_map(|reference| {
            let text = resource.reference_text(reference);
            let subject = tail(&text)?;
            // Only these two take along what refers to them.
            let takes_along = subject.starts_with("Encounter/") || subject.starts_with("Patient/");
            takes_along.then(|| self.of(&subject, payer)).flatten()
        });
        referred.or_else(|| self.unclear(resource, payer))
    }

    /// Whether any Encounter is kept from this payer: then *collect* reads the patient's restricted
    /// encounters as well.
    pub fn any_encounter(&self, payer: &PartnerId) -> bool {
        self.first_encounter(payer).is_some()
    }

    /// Whether a resource is itself a subject of the table, for this payer. `reference` is
    /// `Type/id`.
    pub fn names(&self, reference: &str, payer: &PartnerId) -> bool {
        self.of(reference, payer).is_some()
    }

    /// What a restricted Encounter takes along by its own references, as `Type/id` with the row:
    /// its diagnoses, reasons and requests; not who took part, where, or what it is part of.
    pub fn takes_along(
        &self,
        encounter: &Resource,
        payer: &PartnerId,
    ) -> Vec<(String, &Restriction)> {
        if encounter.kind() != "Encounter" {
            return Vec::new();
        }
        let Some(row) = self.of(&encounter.local_reference(), payer) else { return Vec::new() };
        content_of(encounter).into_iter().map(|target| (target, row)).collect()
    }

    /// The restriction whose subject this is, for this payer.
    pub(crate) fn of(&self, subject: &str, payer: &PartnerId) -> Option<&Restriction> {
        self.by_subject.get(subject)?.iter().find(|row| row.holds_against(payer))
    }

    /// A resource whose encounter is named in a way that cannot be followed (by identifier, by a
    /// search, by a contained Encounter, which has no identity) might belong to any restricted
    /// encounter, so it is covered by the first of them.
    fn unclear(&self, resource: &Resource, payer: &PartnerId) -> Option<&Restriction> {
        let first = self.first_encounter(payer)?;
        names_encounter_unclearly(resource).then_some(first)
    }

    fn first_encounter(&self, payer: &PartnerId) -> Option<&Restriction> {
        let rows = self.by_subject.values().flatten();
        rows.filter(|row| row.subject.starts_with("Encounter/") && row.holds_against(payer))
            .min_by(|a, b| a.subject.cmp(&b.subject))
    }
}

impl Restriction {
    fn holds_against(&self, payer: &PartnerId) -> bool {
        self.payers.is_empty() || self.payers.contains(payer)
    }
}

fn check(row: &Restriction, partners: &[PartnerId]) -> Result<(), (&'static str, String)> {
    let (kind, id) = row.subject.split_once('/').unwrap_or((&row.subject, ""));
    if !is_resource_type(kind) {
        let known: Vec<&str> = resource_types().collect();
        let meant = did_you_mean(kind, &known);
        return Err(("subject", format!("`subject` begins with no R4 resource type{meant}")));
    }
    if !is_id(id) {
        return Err(("subject", "`subject` is written Type/id, for example Encounter/123".into()));
    }
    if row.reason.trim().is_empty()
        || row.reason.chars().count() > RESTRICTION_REASON_CHARS_MAX
        || row.reason.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
    {
        let detail = format!(
            "`reason` is one line of 1 to {RESTRICTION_REASON_CHARS_MAX} characters, for people"
        );
        return Err(("reason", detail));
    }
    let unknown = row.payers.iter().find(|payer| !partners.contains(payer));
    if let Some(payer) = unknown {
        let known: Vec<&str> = partners.iter().map(PartnerId::as_str).collect();
        let meant = did_you_mean(payer.as_str(), &known);
        return Err(("payers", format!("`payers` names a partner that is not known{meant}")));
    }
    Ok(())
}

/// `Type/id` at the end of a reference, whatever stands before it and whichever version it names:
/// a restriction holds under every spelling of the server's address.
pub(crate) fn tail(reference: &str) -> Option<String> {
    let reference = reference.split(['?', '#', '|']).next()?;
    let mut parts: Vec<&str> = reference.split('/').filter(|part| !part.is_empty()).collect();
    if let Some(history) = parts.iter().rposition(|part| *part == "_history") {
        parts.truncate(history);
    }
    match parts.as_slice() {
        [.., kind, id] => Some(format!("{kind}/{id}")),
        _ => None,
    }
}

/// Types of whom and where, and who pays: an Encounter refers to them without their being content of the
/// visit, and notes and reasons are not about them.
pub(crate) const PEOPLE_AND_PLACES: [&str; 8] = [
    "Coverage",
    "HealthcareService",
    "Location",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "RelatedPerson",
];

/// What an Encounter refers to as its content, as `Type/id`.
pub(crate) fn content_of(encounter: &Resource) -> Vec<String> {
    let references = encounter.references().iter();
    let targets = references.filter_map(|found| tail(&encounter.reference_text(found)));
    targets.filter(|target| is_content(target)).collect()
}

/// Whether `Type/id` is of a type that is content of a visit.
pub(crate) fn is_content(target: &str) -> bool {
    // Nor is the visit that it is part of.
    let is_around = |kind| kind == "Encounter" || PEOPLE_AND_PLACES.contains(&kind);
    target.split_once('/').is_some_and(|(kind, _)| !is_around(kind))
}

/// Whether a resource says to which encounter it belongs.
pub(crate) fn has_encounter(resource: &Resource) -> bool {
    let doc = resource.doc();
    let has = doc.root().descendants().flat_map(encounters).next().is_some();
    has || resource.references().iter().any(|reference| {
        let target = tail(&resource.reference_text(reference));
        target.is_some_and(|target| target.starts_with("Encounter/"))
    })
}

/// The encounters that a resource says it belongs to, as `Type/id`.
pub(crate) fn encounters_named(resource: &Resource) -> Vec<String> {
    let doc = resource.doc();
    let elements = doc.root().descendants().flat_map(encounters);
    // `context.encounter` of documents lies within `context`, and is met there.
    let texts = elements.filter_map(|node| tail(&node.get("reference")?.text()?));
    texts.filter(|target| target.starts_with("Encounter/")).collect()
}

/// The standard extension for types whose definition knows no encounter.
const ASSOCIATED: &str = "encounter-associatedEncounter";

/// The references of one object by which R4 resources name their encounter.
fn encounters<'d, 'a>(object: Node<'d, 'a>) -> Vec<Node<'d, 'a>> {
    let each = |name: &str| object.get(name).into_iter().flat_map(|node| node.each());
    let mut found: Vec<_> = each("encounter").collect();
    if is_a("Encounter", object) {
        found.extend(each("partOf"));
    }
    // A Reference in doses, an element of its own in documents.
    let dose = is_a("MedicationAdministration", object) || is_a("MedicationDispense", object);
    let is_reference = |node: &Node<'_, '_>| {
        dose || node.get("identifier").is_some() || node.get("reference").is_some()
    };
    found.extend(each("context").filter(is_reference));
    let url = object.get("url").and_then(|url| url.text());
    if url.is_some_and(|url| url.ends_with(ASSOCIATED)) {
        found.extend(each("valueReference"));
    }
    // Whatever the element: a reference that says so itself, and nothing that can be followed.
    let says = object.get("type").and_then(|kind| kind.text());
    if says.as_deref() == Some("Encounter") && object.get("reference").is_none() {
        found.push(object);
    }
    found
}

fn is_a(kind: &str, resource: Node<'_, '_>) -> bool {
    resource.get("resourceType").and_then(|found| found.text()).as_deref() == Some(kind)
}

/// Whether a resource names an encounter in a way that cannot be followed: it may be any.
pub(crate) fn names_encounter_unclearly(resource: &Resource) -> bool {
    let doc = resource.doc();
    let mut contained = doc.root().get("contained").into_iter().flat_map(|list| list.each());
    contained.any(|inner| is_a("Encounter", inner))
        || doc.root().descendants().flat_map(encounters).any(is_unclear)
}

fn is_unclear(element: Node<'_, '_>) -> bool {
    match element.get("reference").and_then(|node| node.text()) {
        Some(text) => text.starts_with('#') || text.contains('?') || tail(&text).is_none(),
        None => true,
    }
}

#[cfg(test)]
mod tests;
