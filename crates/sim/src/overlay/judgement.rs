//! Judgement: why a resource may not travel, asked of the resource and the payer alone.
//!
//! Comes in   the facts of a chart, what belongs where, the rules.
//! Goes out   for a resource and a payer the first reason that keeps it, or none.
//! Never      looks at a push: what a payer may see of a chart is the same in all of them.

use super::OverlayRules;
use super::belonging::{Belonging, Belongs, STATES};
use super::expectation::Reason;
use super::facts::{Facts, Span};
use std::collections::{BTreeMap, BTreeSet};

/// People, places and what stands around a visit: a restricted encounter refers to them and does
/// not take them along.
const AROUND: [&str; 9] = [
    "Coverage",
    "Encounter",
    "HealthcareService",
    "Location",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "RelatedPerson",
];

/// Types of which a restricted record makes its days sensitive: those that a chart is searched for.
const TELLING: [&str; 14] = [
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "Condition",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "Goal",
    "Immunization",
    "MedicationDispense",
    "MedicationRequest",
    "Observation",
    "Procedure",
    "ServiceRequest",
];

/// What is known of a chart that reasons are made of.
#[derive(Debug)]
pub(super) struct Judgement<'a> {
    facts: &'a BTreeMap<String, Facts>,
    belonging: &'a Belonging,
    rules: &'a OverlayRules,
    /// What restricted encounters refer to and that names no encounter.
    taken_along: BTreeSet<&'a String>,
    /// Encounters that say something sensitive themselves.
    sensitive_visits: BTreeSet<String>,
    /// What those refer to and that names no encounter.
    with_sensitive: BTreeSet<&'a String>,
    /// Orders whose every outcome, and reports whose every result, is labelled.
    of_labelled: BTreeSet<&'a String>,
    /// The days of what is restricted or labelled, by patient; `None` is all days.
    sensitive: BTreeMap<&'a String, Vec<Option<&'a Span<String>>>>,
}

impl<'a> Judgement<'a> {
    pub(super) fn read(
        facts: &'a BTreeMap<String, Facts>,
        belonging: &'a Belonging,
        rules: &'a OverlayRules,
    ) -> Judgement<'a> {
        let visits = || facts.iter().filter(|(_, one)| one.kind == "Encounter");
        let is_restricted = |visit: &String| rules.restricted.contains(visit);
        let sensitive = visits().filter(|(_, one)| is_sensitive(one, rules));
        let sensitive_visits: BTreeSet<String> =
            sensitive.map(|(visit, _)| visit.clone()).collect();
        let referred_to = |of: &dyn Fn(&String) -> bool| -> BTreeSet<&'a String> {
            let visits = visits().filter(|(visit, _)| of(visit));
            visits.flat_map(|(_, visit)| visit.references.iter()).filter(is_loose(facts)).collect()
        };
        let mut judgement = Judgement {
            facts,
            belonging,
            rules,
            taken_along: referred_to(&is_restricted),
            with_sensitive: referred_to(&|visit| sensitive_visits.contains(visit)),
            sensitive_visits,
            of_labelled: of_labelled(facts),
            sensitive: BTreeMap::new(),
        };
        judgement.find_sensitive_days();
        judgement
    }

    fn find_sensitive_days(&mut self) {
        for (reference, one) in self.facts {
            let tells = TELLING.contains(&one.kind.as_str());
            let permitted = one.kind == "Encounter" || self.rules.permitted.contains(&one.kind);
            if let Some(patient) = &one.patient
                && tells
                && permitted
                && (is_sensitive(one, self.rules)
                    || self.is_restricted(reference, one)
                    || (!one.opaque && self.is_of_sensitive_visit(reference)))
            {
                let visits = one.encounters.iter().filter_map(|visit| self.facts.get(visit));
                let of_visits: Vec<_> = visits.filter_map(|visit| visit.days.as_ref()).collect();
                // A restriction is one of a visit or a record, anything else a matter that goes on.
                let goes_on = is_sensitive(one, self.rules) && !self.is_restricted(reference, one);
                let days = self.sensitive.entry(patient).or_default();
                let own = if goes_on { &one.lasting } else { &one.days };
                match own {
                    Some(own) => days.push(Some(own)),
                    None if of_visits.is_empty() => days.push(None),
                    None => days.extend(of_visits.into_iter().map(Some)),
                }
            }
        }
    }

    /// Why a resource may not travel to the payer whose coverages `is_own` knows.
    pub(super) fn judge(&self, reference: &str, is_own: &dyn Fn(&str) -> bool) -> Option<Reason> {
        let facts = self.facts.get(reference)?;
        if self.is_restricted(reference, facts) {
            return Some(Reason::PatientRestriction);
        }
        if facts.kind == "Coverage" && !is_own(reference) {
            return Some(Reason::OtherPayer);
        }
        if facts.labelled {
            return Some(Reason::SensitivityLabel);
        }
        if self.rules.substance_use && facts.substance_use {
            return Some(Reason::SubstanceUse);
        }
        if self.rules.in_error && facts.in_error {
            return Some(Reason::EnteredInError);
        }
        if self.is_of_sensitive_visit(reference) {
            return Some(Reason::AboutWithheld);
        }
        if self.rules.opaque && facts.opaque && self.is_of_sensitive_days(facts) {
            return Some(Reason::OpaqueInSensitivePeriod);
        }
        if self.of_labelled.contains(&reference.to_owned()) {
            return Some(Reason::AboutWithheld);
        }
        let agreed = self.rules.permitted.contains(&facts.kind) && !is_financial(&facts.kind);
        (!agreed).then_some(Reason::NotAgreed)
    }

    fn is_restricted(&self, reference: &str, facts: &Facts) -> bool {
        let restricted = &self.rules.restricted;
        if restricted.is_empty() {
            return false;
        }
        let of_patient = facts.patient.as_ref().is_some_and(|patient| restricted.contains(patient));
        let encounters = self.belonging.covering(reference);
        restricted.contains(reference)
            || of_patient
            || encounters.is_some_and(|encounters| !encounters.is_disjoint(restricted))
            || self.is_of_hours(reference, facts, restricted)
            || self.taken_along.contains(&reference.to_owned())
    }

    /// Whether something that leads to a visit was so in the hours of one of these, and not in its own
    /// visit's.
    fn is_of_hours(&self, reference: &str, facts: &Facts, visits: &BTreeSet<String>) -> bool {
        let Some((own, Belongs::Order)) = self.belonging.of(reference) else { return false };
        let kind = facts.kind.as_str();
        let is_event = TELLING.contains(&kind) && !STATES.contains(&kind) && !facts.opaque;
        let lies_in = |visit: &String| {
            let hours = self.facts.get(visit).and_then(|visit| visit.moments.as_ref());
            hours.zip(facts.moments.as_ref()).is_some_and(|(hours, moments)| {
                hours.first <= moments.first && moments.last <= hours.last
            })
        };
        let of_patient = |visit: &&String| {
            self.facts.get(*visit).is_some_and(|visit| visit.patient == facts.patient)
        };
        is_event && visits.iter().filter(of_patient).any(lies_in) && !own.iter().any(lies_in)
    }

    fn is_of_sensitive_visit(&self, reference: &str) -> bool {
        let encounters = self.belonging.covering(reference);
        encounters.is_some_and(|encounters| !encounters.is_disjoint(&self.sensitive_visits))
            || self
                .facts
                .get(reference)
                .is_some_and(|facts| self.is_of_hours(reference, facts, &self.sensitive_visits))
            || self.with_sensitive.contains(&reference.to_owned())
    }

    /// What says no day may be of any.
    fn is_of_sensitive_days(&self, facts: &Facts) -> bool {
        let Some(patient) = &facts.patient else { return false };
        let spans = self.sensitive.get(patient).map(Vec::as_slice).unwrap_or_default();
        spans.iter().any(|span| match (span, &facts.days) {
            (Some(span), Some(days)) => days.meets(span),
            _ => true,
        })
    }
}

/// Whether it says something sensitive itself.
fn is_sensitive(one: &Facts, rules: &OverlayRules) -> bool {
    one.labelled || (rules.substance_use && one.substance_use)
}

/// What says no encounter, and is no person, place or what stands around a visit.
fn is_loose(facts: &BTreeMap<String, Facts>) -> impl Fn(&&String) -> bool {
    |target| {
        let kind = target.split('/').next().unwrap_or_default();
        let unlinked = facts.get(*target).is_some_and(Facts::is_unlinked);
        unlinked && !AROUND.contains(&kind)
    }
}

/// What is there for labelled results alone: their reports first, then the orders of both.
fn of_labelled(facts: &BTreeMap<String, Facts>) -> BTreeSet<&String> {
    let labelled = |one: &String| facts.get(one).is_some_and(|one| one.labelled);
    let reports = facts.iter().filter(|(_, one)| !one.parts.is_empty());
    let reports = reports.filter(|(_, one)| one.parts.iter().all(labelled));
    let mut found: BTreeSet<&String> = reports.map(|(reference, _)| reference).collect();
    let mut outcomes: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
    for (reference, one) in facts {
        one.upon.iter().for_each(|order| outcomes.entry(order).or_default().push(reference));
    }
    let stays = |one: &&String| labelled(one) || found.contains(*one);
    let orders = outcomes.iter().filter(|(_, outcomes)| outcomes.iter().all(stays));
    let orders: Vec<&String> = orders.map(|(order, _)| *order).collect();
    found.extend(orders);
    found
}

/// What providers bill and payers answer is never part of a clinical push.
pub(super) fn is_financial(kind: &str) -> bool {
    matches!(kind, "Claim" | "ExplanationOfBenefit")
}
