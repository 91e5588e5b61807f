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
//! [[restriction]]
//! subject = "Encounter/enc-1"     # a resource of the source: Type/id
//! reason = "self-pay"             # a short word: a-z, 0-9 and `-`
//! payers = []                     # partners it holds against; empty: all
//! ```
//!
//! A restricted Encounter covers every resource that refers to it, a restricted Patient every
//! resource that refers to that patient, any other resource itself alone. What refers to a covered
//! resource loses the reference, because its target is withheld.

use crate::id::PartnerId;
use crate::issue::{Code, Issue};
use crate::limits::{NAME_BYTES_MAX, RESTRICTIONS_BYTES_MAX};
use crate::path::{is_resource_type, resource_types};
use crate::tomlfile::{self, did_you_mean};
use fhir::{Node, Resource, is_id};
use serde::Deserialize;
use std::collections::HashMap;

/// The table of restrictions, ready to be asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restrictions {
    by_subject: HashMap<String, Vec<Restriction>>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restriction {
    /// `Type/id` in the source.
    pub subject: String,
    /// Why, as a word: `self-pay`, `patient-wish`, `consent`, `part-2-programme`, …
    pub reason: String,
    /// Partners it holds against; empty: all.
    #[serde(default)]
    pub payers: Vec<PartnerId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
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
        let mut restrictions = Restrictions::default();
        for (at, row) in table.restriction.into_iter().enumerate() {
            let position = at.to_string();
            check(&row, partners)
                .map_err(|(key, detail)| fault(&["restriction", &position, key], detail))?;
            restrictions.by_subject.entry(row.subject.clone()).or_default().push(row);
        }
        Ok(restrictions)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.by_subject.values().map(Vec::len).sum()
    }

    /// Whether nothing is restricted.
    pub fn is_empty(&self) -> bool {
        self.by_subject.is_empty()
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

    fn of(&self, subject: &str, payer: &PartnerId) -> Option<&Restriction> {
        self.by_subject.get(subject)?.iter().find(|row| row.holds_against(payer))
    }

    /// A resource whose encounter is named in a way that cannot be followed (by identifier, by a
    /// search) might belong to any restricted encounter, so it is covered by the first of them.
    fn unclear(&self, resource: &Resource, payer: &PartnerId) -> Option<&Restriction> {
        let doc = resource.doc();
        if !encounters(doc.root()).into_iter().any(is_unclear) {
            return None;
        }
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
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !(1..=NAME_BYTES_MAX).contains(&row.reason.len()) || !row.reason.bytes().all(word) {
        let detail = format!(
            "`reason` is a word of 1 to {NAME_BYTES_MAX} of the characters a-z, 0-9 and `-`"
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
fn tail(reference: &str) -> Option<String> {
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

/// The elements by which R4 resources name their encounter.
fn encounters<'d, 'a>(root: Node<'d, 'a>) -> Vec<Node<'d, 'a>> {
    let mut found: Vec<_> =
        root.get("encounter").into_iter().flat_map(|node| node.each()).collect();
    for context in root.get("context").into_iter().flat_map(|node| node.each()) {
        match context.get("encounter") {
            Some(node) => found.extend(node.each()),
            None if context.get("identifier").is_some() || context.get("reference").is_some() => {
                found.push(context);
            }
            None => {}
        }
    }
    found
}

fn is_unclear(element: Node<'_, '_>) -> bool {
    match element.get("reference").and_then(|node| node.text()) {
        Some(text) => !text.starts_with('#') && (text.contains('?') || tail(&text).is_none()),
        None => true,
    }
}

#[cfg(test)]
mod tests;
