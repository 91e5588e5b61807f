//! Overlay: what a chart lacks before it can be pushed, added the same way every time.
//!
//! Comes in   a chart (Synthea's have no Coverage at all), plans, and which encounters to restrict.
//! Goes out   the chart with payers, coverages, member ids and NPIs; the plans' member files; the
//!            restrictions; and the expectation of what a push of it files and withholds.
//! Never      changes a resource but by named edits: an NPI where a Practitioner or Organization has
//!            none, a reference where a PractitionerRole names somebody by identifier only, and each by
//!            its own option results without their encounter, marks in what is restricted, numbers of
//!            patients; never draws: everything derives from ids by SHA-256.
//!
//! Why the expectation is made here and not by the product: it is the second opinion that the
//! product's own counts are held against, so it shares no code with it.

mod amendment;
mod belonging;
mod correction;
mod coverage;
mod expectation;
mod facts;
mod judgement;
mod planted;
mod roles;
mod told;
mod unlinked;

pub use amendment::Amendment;
pub use belonging::Belongs;
pub use correction::{Correction, CorrectionKind, Corrections, Effect};
pub use coverage::{Each, Unagreed};
pub use expectation::{Expectation, PayerExpectation, PushKind, Reason};
pub use planted::Planted;

use crate::chart::splice::{Edit, span_of, splice};
use crate::chart::{Chart, ChartError, ChartResource};
use crate::town::{NPI, Plan, Restriction};
use belonging::Belonging;
use coverage::derived_npi;
use facts::Facts;
use judgement::Judgement;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Which resources a push asks for, which may travel, and what patients restricted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlayRules {
    /// What is pushed.
    pub kinds: Vec<PushKind>,
    /// Types of what belongs to an encounter that its push asks for.
    pub asked: BTreeSet<String>,
    /// Types that the history of a patient asks for.
    pub history: BTreeSet<String>,
    /// The first day that a history goes back to, `YYYY-MM-DD`; none: to the beginning.
    pub since: Option<String>,
    /// Types that may travel when they are asked for or reached by a reference. `Claim` and
    /// `ExplanationOfBenefit` never may, even when they are named here.
    pub permitted: BTreeSet<String>,
    /// References under a patient's restriction, usually `Encounter/<id>`.
    pub restricted: BTreeSet<String>,
    /// Whether documents that nobody can look into stay, when something restricted was so in their
    /// days.
    pub opaque: bool,
    /// Whether what the chart calls entered in error stays.
    pub in_error: bool,
    /// Whether what tells of substance use by its codes stays, and a visit with all that is its own.
    pub substance_use: bool,
}

impl Default for OverlayRules {
    /// Encounters are pushed; nothing is asked for, and nothing may travel.
    fn default() -> OverlayRules {
        OverlayRules {
            kinds: vec![PushKind::Encounter],
            asked: BTreeSet::new(),
            history: BTreeSet::new(),
            since: None,
            permitted: BTreeSet::new(),
            restricted: BTreeSet::new(),
            opaque: false,
            in_error: false,
            substance_use: false,
        }
    }
}

impl OverlayRules {
    /// The rules from plain lists, without restrictions.
    pub fn new(asked: &[&str], permitted: &[&str]) -> OverlayRules {
        let set = |list: &[&str]| list.iter().map(|kind| (*kind).to_owned()).collect();
        let (asked, permitted) = (set(asked), set(permitted));
        OverlayRules { asked, permitted, ..OverlayRules::default() }
    }

    /// The types of a usual agreement on encounters: the clinical ones of US Core, and what they
    /// refer to. A demo that has no agreement at hand begins with these.
    pub fn usual() -> OverlayRules {
        const ASKED: [&str; 13] = [
            "AllergyIntolerance",
            "CarePlan",
            "CareTeam",
            "Condition",
            "DiagnosticReport",
            "DocumentReference",
            "ImagingStudy",
            "Immunization",
            "MedicationAdministration",
            "MedicationRequest",
            "Observation",
            "Procedure",
            "ServiceRequest",
        ];
        const REACHED: [&str; 8] = [
            "Coverage",
            "Encounter",
            "Location",
            "Medication",
            "Organization",
            "Patient",
            "Practitioner",
            "PractitionerRole",
        ];
        OverlayRules::new(&ASKED, &[&ASKED[..], &REACHED[..]].concat())
    }

    /// The same rules under these restrictions as well.
    pub fn with_restrictions(mut self, restrictions: &[Restriction]) -> OverlayRules {
        self.restricted.extend(restrictions.iter().map(|restriction| restriction.subject.clone()));
        self
    }
}

/// What to add, and what to take away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// The plans. Rows that are already in a member file stay.
    pub plans: Vec<Plan>,
    /// By which of them a patient is covered.
    pub coverages: Each,
    /// A plan beside them that nobody has an agreement with.
    pub unagreed: Option<Unagreed>,
    /// Of a hundred laboratory Observations and DiagnosticReports, so many lose their encounter.
    pub unlink_percent: u8,
    /// Restrict every so-many-eth finished encounter of each patient; `Some(4)` takes the fourth,
    /// the eighth and so on, in order of their ids.
    pub restrict_every: Option<usize>,
    /// Mark all that is restricted, and every reference to it, so that it can be searched for.
    pub mark_restricted: bool,
    /// Add, for each restricted encounter, a document that tells of it and was written for another
    /// one. Only rules on what nobody can look into keep such documents.
    pub add_summaries: bool,
    /// Add, for each patient, a labelled result with its order and its report, which tell of it.
    pub add_labelled: bool,
    /// Give each patient the numbers of all plans, and a Social Security number that words mark.
    pub add_numbers: bool,
}

/// A chart that can be pushed, and what is to come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlaid {
    /// The chart with what was added.
    pub chart: Chart,
    /// The plans with their member files.
    pub plans: Vec<Plan>,
    /// The restrictions of the rules and those that were planted.
    pub restrictions: Vec<Restriction>,
    /// What pushes of it file, withhold and leave alone.
    pub expectation: Expectation,
    /// What must be found nowhere at a payer; of summaries, if a rule keeps them.
    pub planted: Vec<Planted>,
}

impl Overlaid {
    /// What must be found nowhere at the plan of this name.
    pub fn planted_for<'a>(&'a self, plan: &'a str) -> impl Iterator<Item = &'a Planted> {
        self.planted.iter().filter(move |one| one.only_at.as_deref() != Some(plan))
    }
}

impl Overlay {
    /// Adds what the chart lacks. A patient who has a Coverage already gets no other.
    pub fn apply(&self, chart: &Chart, rules: &OverlayRules) -> Result<Overlaid, ChartError> {
        let mut plans = self.plans.clone();
        let mut chart = self.covered(chart, &mut plans)?;
        if self.unlink_percent > 0 {
            let unlinked = unlinked::unlinked(&chart, self.unlink_percent);
            chart = together(&chart, unlinked)?;
        }
        let restrictions = self.restrictions(&chart, rules);
        let rules = rules.clone().with_restrictions(&restrictions);
        let mut planted = planted::security_numbers(&chart);
        planted.extend(planted::of_coverages(&chart, &plans, self.unagreed.as_ref()));
        if self.mark_restricted {
            let marked = planted::mark(&chart, &restricted(&chart, &rules));
            chart = together(&chart, marked.resources)?;
            planted.extend(marked.planted);
        }
        if self.add_summaries {
            let marked = planted::summaries(&chart, &rules.restricted);
            chart = together(&chart, marked.resources)?;
            planted.extend(marked.planted.into_iter().filter(|_| rules.opaque));
        }
        let mut told = Vec::new();
        told.extend(self.add_labelled.then(|| told::labelled(&chart, &rules.restricted)));
        told.extend(self.add_numbers.then(|| told::numbered(&chart)));
        for marked in told {
            chart = together(&chart, marked.resources)?;
            planted.extend(marked.planted);
        }
        planted.sort();
        planted.dedup();
        let expectation = Expectation::compute(&chart, &plans, &rules);
        Ok(Overlaid { chart, plans, restrictions, expectation, planted })
    }

    /// The chart with payers, coverages and NPIs.
    fn covered(&self, chart: &Chart, plans: &mut [Plan]) -> Result<Chart, ChartError> {
        let mut added = Vec::new();
        let covered = coverage::covered(chart);
        if !plans.is_empty() {
            added.extend(plans.iter().map(coverage::payer));
            for (place, patient) in chart.of_kind("Patient").iter().enumerate() {
                if covered.contains(&patient.reference()) {
                    continue;
                }
                let own = coverage::cover(patient, place, plans, self.coverages);
                let beside = self.unagreed.as_ref().filter(|one| place % one.every.max(1) == 0);
                added.extend(beside.map(|one| coverage::cover_beside(patient, one, own.len())));
                added.extend(own);
            }
            let beside = self.unagreed.as_ref().map(|one| coverage::payer(&one.plan));
            added.extend(beside.filter(|_| covered.is_empty()));
        }
        plans.iter_mut().for_each(|plan| plan.members.sort());
        for kind in ["Organization", "Practitioner"] {
            added.extend(chart.of_kind(kind).iter().filter_map(with_npi));
        }
        added.extend(roles::linked(chart));
        together(chart, added)
    }

    /// The restrictions of the rules, and those that are planted.
    fn restrictions(&self, chart: &Chart, rules: &OverlayRules) -> Vec<Restriction> {
        let reason = || "patient-request".to_owned();
        let of_rules = rules.restricted.iter();
        let mut restrictions: Vec<_> = of_rules
            .map(|subject| Restriction { subject: subject.clone(), reason: reason() })
            .collect();
        restrictions.extend(self.planted(chart));
        restrictions.sort();
        restrictions.dedup_by(|a, b| a.subject == b.subject);
        restrictions
    }

    fn planted(&self, chart: &Chart) -> Vec<Restriction> {
        let Some(every) = self.restrict_every.filter(|every| *every > 0) else {
            return Vec::new();
        };
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut restrictions = Vec::new();
        for encounter in chart.of_kind("Encounter") {
            let value = value_of(encounter);
            if value["status"] == "finished" {
                let patient = value["subject"]["reference"].as_str().unwrap_or_default();
                let count = seen.entry(patient.to_owned()).or_default();
                *count += 1;
                if count.is_multiple_of(every) {
                    let (subject, reason) = (encounter.reference(), "self-pay".to_owned());
                    restrictions.push(Restriction { subject, reason });
                }
            }
        }
        restrictions
    }
}

fn value_of(resource: &ChartResource) -> Value {
    serde_json::from_slice(&resource.bytes).unwrap_or_default()
}

/// All that a restriction covers, by the expectation's own judgement.
fn restricted(chart: &Chart, rules: &OverlayRules) -> BTreeSet<String> {
    let read = chart.iter().map(|resource| (resource.reference(), Facts::read(resource)));
    let facts: BTreeMap<String, Facts> = read.collect();
    let belonging = Belonging::read(&facts);
    let judgement = Judgement::read(&facts, &belonging, rules);
    let restricted =
        |one: &&String| judgement.judge(one, &|_| true) == Some(Reason::PatientRestriction);
    facts.keys().filter(restricted).cloned().collect()
}

/// The chart with resources added, or put in the place of those of their type and id.
fn together(chart: &Chart, added: Vec<ChartResource>) -> Result<Chart, ChartError> {
    let replaced: BTreeSet<_> = added.iter().map(ChartResource::reference).collect();
    let kept = chart.iter().filter(|resource| !replaced.contains(&resource.reference()));
    Chart::new(kept.cloned().chain(added.iter().cloned()).collect())
}

fn resource(value: &Value) -> ChartResource {
    let text = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
    let bytes = value.to_string().into();
    ChartResource { kind: text("resourceType"), id: text("id"), bytes }
}

#[derive(Deserialize)]
struct Identified<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow, default)]
    identifier: Option<&'a RawValue>,
}

/// The resource with an NPI as its last identifier; none when it has one already.
fn with_npi(source: &ChartResource) -> Option<ChartResource> {
    let identifiers = value_of(source)["identifier"].as_array().cloned().unwrap_or_default();
    if identifiers.iter().any(|identifier| identifier["system"] == NPI) {
        return None;
    }
    let text = std::str::from_utf8(&source.bytes).ok()?;
    let members: Identified<'_> = serde_json::from_str(text).ok()?;
    let npi = json!({ "system": NPI, "value": derived_npi(&source.id) });
    let edit = match members.identifier {
        Some(array) => {
            let end = span_of(text, array.get())?.end - 1;
            let comma = if identifiers.is_empty() { "" } else { "," };
            Edit::insert(end, format!("{comma}{npi}"))
        }
        None => {
            Edit::insert(span_of(text, members.id.get())?.end, format!(",\"identifier\":[{npi}]"))
        }
    };
    Some(ChartResource { bytes: splice(text, vec![edit]).into(), ..source.clone() })
}
