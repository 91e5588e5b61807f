//! Shape: cut what was collected down to what this payer may see, for this purpose.
//!
//! Comes in   what was collected for one patient, once for all payers; the restrictions; the
//!            terms with one payer.
//! Goes out   a `Disclosure`: one decision for every resource that came in or is referred to.
//! Never      reads a clock, a file or the network; never drops a resource in silence; never
//!            leaves content of a withheld resource behind.
//!
//! HIPAA 45 CFR 164.502(b) asks for the minimum necessary; 164.522(a)(1)(vi) obliges the house to
//! honour a self-pay restriction. The second binds even where the agreement is generous, so
//! restrictions are read before permits.
//!
//! A resource is judged by what it is and what the agreement says, never by what else is in this
//! push: so a reference to it is kept in every push to this payer, or cut in every one. One thing
//! is asked of the chart: whether a restricted encounter refers to a resource that names none.
//!
//! Where something was cut from a resource its narrative is cut too: `text` is prose made of the
//! same content, and may say what was cut. Prose that is the content itself (a note's attachment,
//! a report's conclusion) is not searched: rules and labels decide on it as a whole.

mod cuts;
mod labels;
mod loose;
mod target;

#[cfg(test)]
mod shipped_tests;
#[cfg(test)]
mod tests;

pub use target::{Pointer, pointer, references_to_follow, target};

use crate::agreement::Terms;
use crate::disclosure::{Decision, Disclosure};
use crate::id::PartnerId;
use crate::issue::{Code, Issue};
use crate::payload::Belongs;
use crate::push::Purpose;
use crate::restriction::{Restriction, Restrictions, has_encounter};
use fhir::{Node, Resource};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Rules that are always there, with the sentence that people read. Agreements cannot use their
/// names.
pub const BUILT_IN: [(&str, &str); 17] = [
    (PATIENT_RESTRICTION, "a restriction of the house covers it"),
    (UNREADABLE, "it has no id or hides element names behind escapes, so it cannot be judged"),
    (OTHER_PATIENT, "it belongs to another patient"),
    (OTHER_PAYER, "it is a coverage with another payer"),
    (FINANCIAL, "claims, benefits and accounts never travel"),
    (LABEL, "it is labelled as sensitive or restricted"),
    (NOT_AGREED, "no permit of the agreement names it"),
    (NOT_REFERRED, "nothing that travels to this payer refers to it"),
    (UNRESOLVED, "the source does not hold it"),
    (NOT_COLLECTED, "it was not read from the source"),
    (REFERENCE_UNREADABLE, "the reference does not say which resource it means"),
    (LOGICAL_REFERENCE, "a reference by identifier or in words may name what is withheld"),
    (FOREIGN_ATTACHMENT, "the attachment's address leads elsewhere, and may open more"),
    (NARRATIVE, "the narrative may tell what was cut from the resource"),
    (ORPHANED, "only what was cut referred to it"),
    (OUTSIDE_WINDOW, "it lies outside of the days of a history that were agreed or asked for"),
    (CONTENT_TOO_LARGE, "a document's content is larger than a push carries"),
];

pub(crate) const PATIENT_RESTRICTION: &str = "patient-restriction";
pub(crate) const UNREADABLE: &str = "unreadable";
pub(crate) const OTHER_PATIENT: &str = "other-patient";
pub(crate) const OTHER_PAYER: &str = "other-payer";
pub(crate) const FINANCIAL: &str = "financial-never";
pub(crate) const LABEL: &str = "sensitivity-label";
pub(crate) const NOT_AGREED: &str = "not-agreed";
pub(crate) const NOT_REFERRED: &str = "not-referred-to";
pub(crate) const UNRESOLVED: &str = "unresolved-in-source";
pub(crate) const NOT_COLLECTED: &str = "not-collected";
pub(crate) const REFERENCE_UNREADABLE: &str = "reference-unreadable";
pub(crate) const LOGICAL_REFERENCE: &str = "logical-reference";
pub(crate) const FOREIGN_ATTACHMENT: &str = "foreign-attachment";
pub(crate) const NARRATIVE: &str = "narrative-of-cut";
pub(crate) const ORPHANED: &str = "contained-of-cut";

/// The rule by which what is outside of a history's window stays.
pub const OUTSIDE_WINDOW: &str = "outside-window";
pub(crate) const CONTENT_TOO_LARGE: &str = "content-too-large";

/// Types that speak of money between patient, provider and payers: never the minimum necessary of
/// clinical data, and often another payer's.
const FINANCIAL_TYPES: [&str; 14] = [
    "Account",
    "ChargeItem",
    "Claim",
    "ClaimResponse",
    "Contract",
    "CoverageEligibilityRequest",
    "CoverageEligibilityResponse",
    "EnrollmentRequest",
    "EnrollmentResponse",
    "ExplanationOfBenefit",
    "InsurancePlan",
    "Invoice",
    "PaymentNotice",
    "PaymentReconciliation",
];

/// Who would see it, of whom, and what for.
#[derive(Debug, Clone, Copy)]
pub struct Audience<'a> {
    /// The terms with the payer.
    pub terms: &'a Terms,
    /// What for.
    pub purpose: Purpose,
    /// The house's restrictions.
    pub restrictions: &'a Restrictions,
    /// `Patient.id` in the source.
    pub patient: &'a str,
    /// `Coverage/id` of the patient's coverages with this payer, by *scope*.
    pub own_coverages: &'a [String],
    /// The base URL of the source: absolute references below it mean its resources.
    pub source_base: &'a str,
}

/// What *collect* read, once per trigger for all its payers. Order does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// What was asked for: the encounter, the patient, coverages, and what searches found.
    pub found: Vec<Resource>,
    /// What was read because a permitted resource refers to it.
    pub followed: Vec<Resource>,
    /// `Type/id` of what was referred to and is not in the source.
    pub missing: BTreeSet<String>,
    /// The patient's encounters that a restriction keeps from a payer of this trigger, when they
    /// are not among the others: nothing of them is decided on, but what only they refer to is
    /// theirs.
    pub restricted: Vec<Resource>,
    /// What else *collect* says of the chart.
    pub notes: Notes,
}

/// What *collect* says of what it read, by `Type/id`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notes {
    /// By what a resource is part of a push about an encounter.
    pub belongs: BTreeMap<String, Belongs>,
    /// Among `followed`: outside of a history's window. It travels where what is inside refers to it.
    pub outside: BTreeSet<String>,
    /// Belongs, by order or date, to a restricted encounter, given as `Encounter/id`.
    pub of_restricted: BTreeMap<String, String>,
    /// Documents' contents that were left where they are because of their size.
    pub too_large: BTreeSet<String>,
}

/// Why a resource stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// The rule that withholds it.
    pub rule: String,
    /// One sentence for people; never a value of the resource.
    pub reason: String,
}

impl Withheld {
    fn restricted(row: &Restriction) -> Withheld {
        let reason = format!("a restriction of the house covers it: {}", row.reason);
        Withheld { rule: PATIENT_RESTRICTION.into(), reason }
    }

    fn by(rule: &str) -> Withheld {
        let sentence = BUILT_IN.iter().find(|(known, _)| *known == rule).map(|(_, text)| *text);
        Withheld { rule: rule.into(), reason: sentence.unwrap_or_default().into() }
    }
}

impl Audience<'_> {
    /// The payer.
    pub fn payer(&self) -> &PartnerId {
        &self.terms.agreement.partner
    }

    /// Whether a resource of this type could travel at all. What cannot need not be read from the
    /// chart: *shape* names the same rule without it.
    pub fn could_travel(&self, reference: &str) -> Result<(), Withheld> {
        let kind = reference.split('/').next().unwrap_or_default();
        if FINANCIAL_TYPES.contains(&kind) {
            return Err(Withheld::by(FINANCIAL));
        }
        if kind == "Coverage" && !self.own_coverages.iter().any(|own| own == reference) {
            return Err(Withheld::by(OTHER_PAYER));
        }
        if kind == "Patient" && reference.strip_prefix("Patient/") != Some(self.patient) {
            return Err(Withheld::by(OTHER_PATIENT));
        }
        if !self.terms.names(kind, self.purpose) {
            return Err(Withheld::by(NOT_AGREED));
        }
        Ok(())
    }
}

/// Names the rule that lets a resource travel, or the one that withholds it and why.
///
/// The order of the questions is the order of their force.
pub fn judge(resource: &Resource, audience: &Audience<'_>) -> Result<String, Withheld> {
    if let Some(row) = audience.restrictions.covers(resource, audience.payer()) {
        return Err(Withheld::restricted(row));
    }
    let doc = resource.doc();
    // Escapes in names would hide elements from rules; FHIR's names never need any.
    if resource.id().is_none() || doc.root().descendants().any(|node| node.name().contains('\\')) {
        return Err(Withheld::by(UNREADABLE));
    }
    judge_node(resource.kind(), &resource.local_reference(), doc.root(), audience)
}

/// The questions that are asked of contained resources too.
fn judge_node(
    kind: &str,
    reference: &str,
    node: Node<'_, '_>,
    audience: &Audience<'_>,
) -> Result<String, Withheld> {
    match audience.could_travel(reference) {
        Err(withheld) if withheld.rule != NOT_AGREED => return Err(withheld),
        _ => {}
    }
    if is_of_another_patient(node, audience) {
        return Err(Withheld::by(OTHER_PATIENT));
    }
    if labels::are_sensitive(node) {
        return Err(Withheld::by(LABEL));
    }
    if let Some((rule, reason)) = audience.terms.withhold(kind, node) {
        return Err(Withheld { rule: rule.into(), reason: reason.into() });
    }
    let rule = audience.terms.permit(kind, node, audience.purpose);
    rule.map(str::to_owned).ok_or_else(|| Withheld::by(NOT_AGREED))
}

/// The elements that say whose a resource is.
const OWNERS: [&str; 3] = ["subject", "patient", "beneficiary"];

/// Whether the elements that say whose a resource is name another patient of the source.
fn is_of_another_patient(node: Node<'_, '_>, audience: &Audience<'_>) -> bool {
    let owners = OWNERS.iter().filter_map(|name| node.get(name));
    let mut owners =
        owners.flat_map(|owner| owner.each()).filter_map(|owner| owner.get("reference"));
    owners.any(|reference| {
        let text = reference.text().unwrap_or_default();
        target(&text, audience.source_base)
            .is_some_and(|(kind, id)| kind == "Patient" && id != audience.patient)
    })
}

/// Decides on everything that was collected. Same input in any order, same decisions.
pub fn shape(collected: &Collected, audience: &Audience<'_>) -> Disclosure {
    let chart = Chart::read(collected, audience);
    let mut decisions = BTreeMap::new();
    let mut reached: BTreeSet<&str> = chart.found.iter().map(String::as_str).collect();
    let mut queue: VecDeque<&str> = reached.iter().copied().collect();
    while let Some(reference) = queue.pop_front() {
        let Some((resource, Ok(rule))) = chart.judged.get(reference) else { continue };
        let outcome = cuts::of(resource, audience, &chart);
        for target in &outcome.kept {
            let known = chart.judged.get_key_value(target).map(|(reference, _)| reference.as_str());
            queue.extend(known.filter(|target| reached.insert(target)));
        }
        for (reference, withheld) in outcome.absent {
            decisions.insert(reference.clone(), withheld.into_decision(reference));
        }
        let (resource, rule) = (resource.clone(), rule.clone());
        let included = Decision::Included { resource, rule, cuts: outcome.cuts };
        decisions.insert(reference.to_owned(), included);
    }
    for (reference, (_, verdict)) in &chart.judged {
        let withheld = match verdict {
            Ok(_) if collected.notes.outside.contains(reference) => Withheld::by(OUTSIDE_WINDOW),
            Ok(_) => Withheld::by(NOT_REFERRED),
            Err(withheld) => withheld.clone(),
        };
        let decision = || withheld.into_decision(reference.clone());
        decisions.entry(reference.clone()).or_insert_with(decision);
    }
    Disclosure { decisions: decisions.into_values().collect() }
}

impl Withheld {
    fn into_decision(self, reference: String) -> Decision {
        Decision::Withheld { reference, rule: self.rule, reason: self.reason }
    }
}

/// Why a push cannot go on: its patient or its subject stays. `subject` is `Type/id`.
pub fn nothing_travels(disclosure: &Disclosure, patient: &str, subject: &str) -> Option<Issue> {
    let patient = format!("Patient/{patient}");
    let word = match subject.split('/').next() {
        Some("DiagnosticReport") => "report",
        Some("Patient") => "patient",
        _ => "encounter",
    };
    for (wanted, word) in [(subject, word), (patient.as_str(), "patient")] {
        let decision = disclosure.decisions.iter().find(|found| found.reference() == wanted);
        let detail = match decision {
            Some(Decision::Included { .. }) => continue,
            Some(Decision::Withheld { rule, reason, .. }) => {
                format!("the rule `{rule}` withholds the {word}: {reason}")
            }
            None => format!("the {word} is not among what was collected"),
        };
        return Some(Issue::new(Code::AllWithheld, detail));
    }
    None
}

/// What was collected, each resource once, judged.
struct Chart<'c> {
    judged: BTreeMap<String, (Resource, Result<String, Withheld>)>,
    found: BTreeSet<String>,
    missing: &'c BTreeSet<String>,
    too_large: &'c BTreeSet<String>,
}

impl Chart<'_> {
    fn read<'c>(collected: &'c Collected, audience: &Audience<'_>) -> Chart<'c> {
        let taken_along = taken_along(collected, audience);
        let mut judged: BTreeMap<String, (Resource, Result<String, Withheld>)> = BTreeMap::new();
        for resource in collected.found.iter().chain(&collected.followed) {
            let reference = resource.local_reference();
            let verdict = match taken_along.get(&reference) {
                Some(row) if !has_encounter(resource) => Err(Withheld::restricted(row)),
                _ => judge(resource, audience),
            };
            // Twice the same with other content: what withholds wins, else the later by its bytes.
            let rank = |(resource, verdict): &(Resource, Result<String, Withheld>)| {
                (verdict.is_err(), last_updated(resource), resource.bytes().clone())
            };
            let new = (resource.clone(), verdict);
            match judged.get(&reference) {
                Some(old) if old.0 == new.0 || rank(old) >= rank(&new) => {}
                _ => drop(judged.insert(reference, new)),
            }
        }
        let found = collected.found.iter().map(Resource::local_reference).collect();
        let (missing, too_large) = (&collected.missing, &collected.notes.too_large);
        Chart { judged, found, missing, too_large }
    }

    /// Whether a reference to this resource may stay, and if not, by which rule it goes. The second
    /// value says that the resource was not collected.
    fn fate(&self, reference: &str, audience: &Audience<'_>) -> (Result<(), Withheld>, bool) {
        match self.judged.get(reference) {
            Some((_, verdict)) => (verdict.as_ref().map(|_| ()).map_err(Clone::clone), false),
            None => {
                let known = self.missing.contains(reference);
                let rule = match self.too_large.contains(reference) {
                    true => CONTENT_TOO_LARGE,
                    false if known => UNRESOLVED,
                    false => NOT_COLLECTED,
                };
                (audience.could_travel(reference).and(Err(Withheld::by(rule))), true)
            }
        }
    }
}

/// What the restricted encounters refer to, by reference.
fn taken_along<'r>(
    collected: &Collected,
    audience: &Audience<'r>,
) -> BTreeMap<String, &'r Restriction> {
    let all = || collected.found.iter().chain(&collected.followed).chain(&collected.restricted);
    let mut rows: Vec<_> = all()
        .flat_map(|resource| audience.restrictions.takes_along(resource, audience.payer()))
        .collect();
    // What belongs to a restricted encounter by its order or its date alone.
    let of_restricted = &collected.notes.of_restricted;
    for encounter in all().filter(|one| one.kind() == "Encounter" && !of_restricted.is_empty()) {
        let own = encounter.local_reference();
        if let Some(row) = audience.restrictions.covers(encounter, audience.payer()) {
            let taken = of_restricted.iter().filter(|(_, encounter)| **encounter == own);
            rows.extend(taken.map(|(reference, _)| (reference.clone(), row)));
        }
    }
    // Of two restrictions the one with the first reason, whatever the order of the chart.
    rows.sort_by(|a, b| (&b.0, &b.1.reason).cmp(&(&a.0, &a.1.reason)));
    rows.into_iter().collect()
}

fn last_updated(resource: &Resource) -> String {
    let doc = resource.doc();
    let updated = doc.root().get("meta").and_then(|meta| meta.get("lastUpdated")?.text());
    updated.unwrap_or_default().into_owned()
}
