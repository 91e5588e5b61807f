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
//! push: so a reference to it is kept in every push to this payer, or cut in every one. Some things
//! are asked of the chart, as far as *collect* knows it: which visit a resource belongs to that names
//! none (`belongings`), what that visit is (`visits`), whether something sensitive lies in the days
//! of a document that nobody looks into (`opaque`), and whether what a resource is about stays
//! (`about`).
//!
//! Where something was cut from a resource its narrative is cut too: `text` is prose made of the
//! same content, and may say what was cut; where it is not made of that content alone it is a document
//! (`opaque`). Words are not searched: where a reference to a sensitive record goes, the words beside it
//! go as well.

mod about;
mod addresses;
mod belongings;
mod chart;
mod cuts;
mod known;
mod labels;
mod loose;
mod members;
mod opaque;
mod roles;
mod target;
mod traces;
mod verdicts;
mod visits;
mod whose;

#[cfg(test)]
mod shipped_tests;
#[cfg(test)]
mod tests;

pub use known::{records_to_know, types_to_know};
pub use roles::is_role_of;
pub use target::{Pointer, pointer, references_to_follow, target};
pub use verdicts::Verdicts;
pub use whose::{OWNERS, Whose};

use crate::agreement::{Around, Permitted, Terms, Unpermitted, Visits};
use crate::days::clinical_days;
use crate::disclosure::{Decision, Disclosure};
use crate::id::PartnerId;
use crate::issue::{Code, Issue};
use crate::payload::Belongs;
use crate::purpose::Purpose;
use crate::restriction::{Restriction, Restrictions};
use chart::Chart;
use fhir::{Node, Resource};
use jiff::civil::Date;
use roles::Roles;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Rules that are always there, with the sentence that people read. Agreements cannot use their
/// names.
pub const BUILT_IN: [(&str, &str); 25] = [
    (PATIENT_RESTRICTION, "a restriction of the house covers it"),
    (UNREADABLE, "it has no id or hides element names behind escapes, so it cannot be judged"),
    (
        OTHER_PATIENT,
        "it belongs to another patient, or does not say readably that it is this one's",
    ),
    (OTHER_PAYER, "it is a coverage with another payer"),
    (OTHERS_NUMBER, "it is a number by which another payer knows the patient"),
    (FINANCIAL, "claims, benefits and who else pays never travel"),
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
    (OPAQUE, "nobody here looks into it, and something sensitive that stays lies in its days"),
    (OPAQUE_ALL, "nobody here looks into it, and the agreement lets no such document travel"),
    (ABOUT, "what it is about is sensitive and stays"),
    (WORDS, "words beside a reference to something sensitive that stays may tell of it"),
    (OUTSIDE_WINDOW, "it lies outside the days for which the agreement permits it"),
    (CONTENT_TOO_LARGE, "a document's content is larger than a push carries"),
    (UNDATED, "it says no day, and the agreement permits it for certain days only"),
    (
        NOT_OFFERED,
        "the payer's door takes no resource of its type, and the agreement leaves it out",
    ),
    (NOT_THIS_KIND, "the agreement permits it in another kind of push, or where it is referred to"),
];

pub(crate) const PATIENT_RESTRICTION: &str = "patient-restriction";
pub(crate) const UNREADABLE: &str = "unreadable";
pub(crate) const OTHER_PATIENT: &str = "other-patient";
pub(crate) const OTHER_PAYER: &str = "other-payer";
pub(crate) const OTHERS_NUMBER: &str = "other-payers-number";
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
pub(crate) const OPAQUE: &str = "opaque-in-sensitive-period";
pub(crate) const OPAQUE_ALL: &str = "opaque-document";
pub(crate) const ABOUT: &str = "about-withheld";
pub(crate) const WORDS: &str = "words-of-withheld";
/// The rule by which what lies outside of a window stays, of a permit's or a history's.
pub const OUTSIDE_WINDOW: &str = "outside-window";
pub(crate) const UNDATED: &str = "undated-in-window";
pub(crate) const NOT_OFFERED: &str = "not-offered";
pub(crate) const NOT_THIS_KIND: &str = "not-in-this-kind";

/// Whether what this rule withholds stays in every push to the payer, whatever it is about and
/// whenever it is made. Another patient's record may go in that patient's pushes.
pub fn holds_in_every_push(rule: &str) -> bool {
    let of_this_push = [
        CONTENT_TOO_LARGE,
        NOT_COLLECTED,
        NOT_REFERRED,
        NOT_THIS_KIND,
        OTHER_PATIENT,
        OUTSIDE_WINDOW,
        UNDATED,
        UNRESOLVED,
    ];
    !of_this_push.contains(&rule)
}

pub(crate) const CONTENT_TOO_LARGE: &str = "content-too-large";

/// Types that speak of money between patient, provider and payers: never the minimum necessary of
/// clinical data, and often another payer's.
///
/// An Account is not among them: it carries the numbers by which provider and payer know a visit. Its
/// other coverages and its guarantors are cut.
const FINANCIAL_TYPES: [&str; 13] = [
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

/// Whether resources of this type stay whatever an agreement permits.
pub(crate) fn never_travels(kind: &str) -> bool {
    FINANCIAL_TYPES.contains(&kind)
}

/// Who would see it, of whom, and what for.
#[derive(Debug, Clone, Copy)]
pub struct Audience<'a> {
    /// The terms with the payer.
    pub terms: &'a Terms,
    /// What for.
    pub purpose: Purpose,
    /// The kind of payload: `encounter`, `results` or `history`.
    pub kind: &'a str,
    /// The day of the trigger: windows are counted back from it.
    pub on: Date,
    /// The house's restrictions.
    pub restrictions: &'a Restrictions,
    /// `Patient.id` in the source.
    pub patient: &'a str,
    /// `Coverage/id` of the patient's coverages with this payer, by *scope*.
    pub own_coverages: &'a [String],
    /// The base URL of the source: absolute references below it mean its resources.
    pub source_base: &'a str,
}

/// Whether a rule says only that nothing asks for a record in this push: it may stand at the payer.
pub fn is_merely_left_out(rule: &str) -> bool {
    [OUTSIDE_WINDOW, NOT_REFERRED, NOT_THIS_KIND].contains(&rule)
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
    /// What else is known of the patient's chart: nothing of it is decided on, but it says which
    /// visit a resource belongs to, and on which days something sensitive was so. What *collect*
    /// should know is said by [`types_to_know`] and [`records_to_know`].
    pub known: Vec<Resource>,
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
    /// Documents' contents that were left where they are because of their size.
    pub too_large: BTreeSet<String>,
}

impl Collected {
    /// Everything that was read, what is decided on first; some of it perhaps twice.
    fn all(&self) -> impl Iterator<Item = &Resource> {
        self.found.iter().chain(&self.followed).chain(&self.restricted).chain(&self.known)
    }
}

/// Why a resource stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
        if never_travels(kind) {
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

    /// The same, of what no agreement could permit.
    fn may_ever_travel(&self, reference: &str) -> Result<(), Withheld> {
        self.could_travel(reference).or_else(|withheld| match withheld.rule.as_str() {
            NOT_AGREED => Ok(()),
            _ => Err(withheld),
        })
    }

    /// Whether a rule keeps what is sensitive: a restriction, a label, or a rule of the agreement that
    /// says so.
    pub fn is_sensitive(&self, rule: &str) -> bool {
        [PATIENT_RESTRICTION, LABEL, ABOUT].contains(&rule) || self.terms.is_sensitive(rule)
    }
}

/// Names the rule that lets a resource travel, or the one that withholds it and why, as far as the
/// resource itself says. For *collect*, which need not follow what stays anyway; [`shape`] asks the
/// chart as well, and may withhold more.
pub fn judge(
    resource: &Resource,
    audience: &Audience<'_>,
    whose: &Whose,
) -> Result<String, Withheld> {
    judge_among(resource, audience, whose, Visits::Unasked).map(|permitted| permitted.rule)
}

/// The order of the questions is the order of their force.
fn judge_among(
    resource: &Resource,
    audience: &Audience<'_>,
    whose: &Whose,
    visits: Visits<'_>,
) -> Result<Permitted, Withheld> {
    if let Some(row) = audience.restrictions.covers(resource, audience.payer()) {
        return Err(Withheld::restricted(row));
    }
    let doc = resource.doc();
    // Escapes in names would hide elements from rules; FHIR's names never need any.
    let escaped = |node: Node<'_, '_>| node.name().contains('\\');
    let may_escape = doc.text().contains('\\');
    if resource.id().is_none() || (may_escape && doc.root().descendants().any(escaped)) {
        return Err(Withheld::by(UNREADABLE));
    }
    let around = around(resource, audience, visits);
    let kind = resource.kind();
    let root = doc.root();
    if whose.may_be_of_another(kind, root, root, audience) {
        // Claims and other payers' coverages stay by their own rule, whosever they are.
        audience.may_ever_travel(&resource.local_reference())?;
        return Err(Withheld::by(OTHER_PATIENT));
    }
    let permitted = judge_node(kind, &resource.local_reference(), root, audience, &around)?;
    // What is contained travels inside, and is asked of no door.
    match audience.terms.is_offered(kind) {
        true => Ok(permitted),
        false => Err(Withheld::by(NOT_OFFERED)),
    }
}

/// The sensitive verdict alone, for what is known and not decided on.
fn sensitivity(
    resource: &Resource,
    audience: &Audience<'_>,
    visits: Visits<'_>,
) -> Option<Withheld> {
    if let Some(row) = audience.restrictions.covers(resource, audience.payer()) {
        return Some(Withheld::restricted(row));
    }
    let doc = resource.doc();
    if labels::are_sensitive(doc.root()) {
        return Some(Withheld::by(LABEL));
    }
    let around = around(resource, audience, visits);
    let rule = audience.terms.withhold(resource.kind(), doc.root(), audience.purpose, &around);
    let (rule, reason) = rule.filter(|(rule, _)| audience.is_sensitive(rule))?;
    Some(Withheld { rule: rule.into(), reason: reason.into() })
}

/// What rules may ask about a resource beside its own elements.
fn around<'v>(resource: &Resource, audience: &Audience<'_>, visits: Visits<'v>) -> Around<'v> {
    let days = audience.terms.asks_days().then(|| clinical_days(resource)).flatten();
    Around { on: audience.on, days, visits }
}

/// The questions that are asked of contained resources too; what is around those is what is around
/// the resource that holds them.
fn judge_node(
    kind: &str,
    reference: &str,
    node: Node<'_, '_>,
    audience: &Audience<'_>,
    around: &Around<'_>,
) -> Result<Permitted, Withheld> {
    audience.may_ever_travel(reference)?;
    if labels::are_sensitive(node) {
        return Err(Withheld::by(LABEL));
    }
    let (terms, purpose) = (audience.terms, audience.purpose);
    if let Some((rule, reason)) = terms.withhold(kind, node, purpose, around) {
        return Err(Withheld { rule: rule.into(), reason: reason.into() });
    }
    terms.permit(kind, node, purpose, audience.kind, around).map_err(|fault| match fault {
        Unpermitted::Unnamed => Withheld::by(NOT_AGREED),
        Unpermitted::Outside => Withheld::by(OUTSIDE_WINDOW),
        Unpermitted::Undated => Withheld::by(UNDATED),
    })
}

/// Decides on everything that was collected. Same input in any order, same decisions.
pub fn shape(collected: &Collected, audience: &Audience<'_>) -> Disclosure {
    decide(collected, audience, &Verdicts::new(audience))
}

/// The same, with what earlier pushes to this audience found out about the chart. Verdicts of
/// another audience are passed over.
pub fn shape_with(
    collected: &Collected,
    audience: &Audience<'_>,
    verdicts: &Verdicts,
) -> Disclosure {
    match verdicts.fit(audience) {
        true => decide(collected, audience, verdicts),
        false => shape(collected, audience),
    }
}

fn decide(collected: &Collected, audience: &Audience<'_>, verdicts: &Verdicts) -> Disclosure {
    let chart = Chart::read(collected, audience, verdicts);
    let mut decisions = BTreeMap::new();
    let permitted = chart.judged.values().filter(|(_, verdict)| verdict.is_ok());
    let roles = Roles::among(permitted.map(|(resource, _)| resource), audience.source_base);
    let mut reached: BTreeSet<&str> = chart.begins().collect();
    let mut queue: VecDeque<&str> = reached.iter().copied().collect();
    while let Some(reference) = queue.pop_front() {
        let Some((resource, Ok(Permitted { rule, .. }))) = chart.judged.get(reference) else {
            continue;
        };
        let outcome = cuts::of(resource, audience, &chart);
        let kept = outcome.kept.iter().map(String::as_str);
        for target in kept.chain(roles.of(resource)) {
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
            Ok(permitted) if permitted.of_this_kind => Withheld::by(NOT_REFERRED),
            Ok(_) => Withheld::by(NOT_THIS_KIND),
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
