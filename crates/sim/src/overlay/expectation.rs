//! Expectation: what a push of every finished encounter must file, withhold and leave alone.
//!
//! Comes in   a chart, the plans, the rules.
//! Goes out   per payer: the pushes, and for every resource of the chart exactly one of filed, held,
//!            withheld with the rule's name, not asked for.
//! Never      uses a line of the product: it reads trees, slowly, so that both can be compared.
//!
//! For each payer, each patient with a Coverage of that payer, each finished encounter: the push
//! asks for the encounter, for every resource of an asked type whose own encounter element names
//! it, and for the patient's Coverages of this payer. From each resource that may travel, every
//! reference is followed, and its target judged in turn. What may not travel is withheld and not
//! followed further. The judgement depends on the resource and the payer alone: in order, a
//! patient's restriction, another payer's coverage, a type that is not agreed.
//!
//! An encounter that is itself restricted makes no push: what is linked to it is withheld, and
//! nothing travels on its account.

use super::{OverlayRules, value_of};
use crate::chart::{Chart, ChartResource};
use crate::town::Plan;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Why a resource is withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is restricted by its patient, or linked to an encounter that is.
    PatientRestriction,
    /// It is the coverage by another payer.
    OtherPayer,
    /// Its type is not among those that may travel.
    NotAgreed,
}

impl Reason {
    /// The rule's name, as the product prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::PatientRestriction => "patient-restriction",
            Reason::OtherPayer => "other-payer",
            Reason::NotAgreed => "not-agreed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is to come of a chart, for every payer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectation {
    /// One per plan, in the order of the plans.
    pub payers: Vec<PayerExpectation>,
    /// Patients without a coverage by any of the plans: nothing of theirs is pushed.
    pub without_payer: usize,
}

/// What is to come of a chart for one payer. All references are `Type/id` of the chart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PayerExpectation {
    /// The plan's name.
    pub name: String,
    /// For each finished encounter that is pushed, what travels with it.
    pub pushes: BTreeMap<String, BTreeSet<String>>,
    /// Finished encounters that are not pushed because they are restricted themselves.
    pub pushes_withheld: BTreeSet<String>,
    /// Encounters of [`PayerExpectation::pushes`] whose patient the member file does not know.
    pub pushes_held: BTreeSet<String>,
    /// What the payer holds in the end.
    pub filed: BTreeSet<String>,
    /// What travels only in pushes that wait for a person: their member is unknown to the plan.
    pub held: BTreeSet<String>,
    /// What was in reach of a push and may not travel, with the rule.
    pub withheld: BTreeMap<String, Reason>,
    /// References that were followed and lead to nothing in the chart.
    pub unresolved: BTreeSet<String>,
    /// How many resources of the chart no push came near.
    pub not_asked: usize,
}

impl Expectation {
    /// Computes it from the chart as it is.
    pub fn compute(chart: &Chart, plans: &[Plan], rules: &OverlayRules) -> Expectation {
        let facts: BTreeMap<_, _> =
            chart.iter().map(|resource| (resource.reference(), Facts::read(resource))).collect();
        let mut covered = BTreeSet::new();
        let mut payers = Vec::new();
        for plan in plans {
            let walk = Walk { facts: &facts, rules, own: coverages_by(chart, plan) };
            covered.extend(walk.own.values().map(|(patient, _)| patient.clone()));
            payers.push(walk.all_encounters(plan));
        }
        let patients = chart.of_kind("Patient").iter();
        let without_payer = patients.filter(|p| !covered.contains(&p.reference())).count();
        Expectation { payers, without_payer }
    }

    /// The expectation for the plan of this name.
    pub fn payer(&self, name: &str) -> Option<&PayerExpectation> {
        self.payers.iter().find(|payer| payer.name == name)
    }
}

impl PayerExpectation {
    /// How many resources are withheld for this reason.
    pub fn withheld_for(&self, reason: Reason) -> usize {
        self.withheld.values().filter(|why| **why == reason).count()
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<36} {:>7} {:>8} {:>6} {:>11} {:>11} {:>11} {:>10}",
            "payer",
            "pushes",
            "filed",
            "held",
            "restricted",
            "other payer",
            "not agreed",
            "not asked"
        )?;
        for payer in &self.payers {
            writeln!(
                f,
                "{:<36} {:>7} {:>8} {:>6} {:>11} {:>11} {:>11} {:>10}",
                payer.name,
                payer.pushes.len(),
                payer.filed.len(),
                payer.held.len(),
                payer.withheld_for(Reason::PatientRestriction),
                payer.withheld_for(Reason::OtherPayer),
                payer.withheld_for(Reason::NotAgreed),
                payer.not_asked,
            )?;
        }
        if self.without_payer > 0 {
            writeln!(f, "patients without a coverage by these payers: {}", self.without_payer)?;
        }
        Ok(())
    }
}

/// What the walk needs to know of a resource.
struct Facts {
    kind: String,
    /// Encounters that its own encounter element names.
    encounters: BTreeSet<String>,
    /// All relative references, wherever they stand.
    references: BTreeSet<String>,
    /// The patient, for a finished Encounter only.
    finished_for: Option<String>,
}

impl Facts {
    fn read(resource: &ChartResource) -> Facts {
        let value = value_of(resource);
        let mut references = BTreeSet::new();
        collect_references(&value, &mut references);
        let finished = resource.kind == "Encounter" && value["status"] == "finished";
        let patient = value["subject"]["reference"].as_str().map(str::to_owned);
        Facts {
            kind: resource.kind.clone(),
            encounters: encounters_of(&value),
            references,
            finished_for: patient.filter(|_| finished),
        }
    }
}

/// The encounters of a resource: `encounter` (most types), `context` (administrations and
/// dispenses in R4), `context.encounter` (DocumentReference).
fn encounters_of(value: &Value) -> BTreeSet<String> {
    let places = [&value["encounter"], &value["context"], &value["context"]["encounter"]];
    let mut encounters = BTreeSet::new();
    for place in places {
        let one = std::slice::from_ref(place);
        for reference in place.as_array().map_or(one, Vec::as_slice) {
            let target = reference["reference"].as_str().and_then(relative);
            encounters.extend(target.filter(|target| target.starts_with("Encounter/")));
        }
    }
    encounters
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "reference" => found.extend(relative(text)),
                    other => collect_references(other, found),
                }
            }
        }
        _ => {}
    }
}

/// `Type/id` of a relative reference, without a version; none for fragments, other addresses and
/// references that are not resolved.
fn relative(reference: &str) -> Option<String> {
    let reference = reference.split("/_history/").next()?;
    let (kind, id) = reference.split_once('/')?;
    let plain = kind.chars().all(|c| c.is_ascii_alphanumeric()) && !id.contains(['/', '?', '#']);
    (plain && !kind.is_empty()).then(|| reference.to_owned())
}

/// The Coverages by this plan: reference → patient, and whether the member file knows the member.
fn coverages_by(chart: &Chart, plan: &Plan) -> BTreeMap<String, (String, bool)> {
    let mut own = BTreeMap::new();
    for coverage in chart.of_kind("Coverage") {
        let value = value_of(coverage);
        let payors = value["payor"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mine = payors.iter().any(|payor| {
            let organization =
                payor["reference"].as_str().and_then(|r| chart.find(r)).map(value_of);
            let inline = &payor["identifier"];
            let listed = organization.map(|o| o["identifier"].as_array().cloned());
            let identifiers = listed.flatten().unwrap_or_default();
            identifiers.iter().chain([inline]).any(|identifier| {
                identifier["system"] == plan.payer_id.system.as_str()
                    && identifier["value"] == plan.payer_id.value.as_str()
            })
        });
        if let (true, Some(patient)) = (mine, value["beneficiary"]["reference"].as_str()) {
            let member = value["subscriberId"].as_str().unwrap_or_default();
            let known = plan.members.iter().any(|row| row.member_id == member);
            own.insert(coverage.reference(), (patient.to_owned(), known));
        }
    }
    own
}

struct Walk<'a> {
    facts: &'a BTreeMap<String, Facts>,
    rules: &'a OverlayRules,
    /// This payer's Coverages.
    own: BTreeMap<String, (String, bool)>,
}

impl Walk<'_> {
    fn all_encounters(&self, plan: &Plan) -> PayerExpectation {
        let mut payer = PayerExpectation { name: plan.name.clone(), ..Default::default() };
        let linked = self.linked();
        for (encounter, facts) in self.facts {
            let Some(patient) = &facts.finished_for else { continue };
            let coverages: Vec<_> = self.own.iter().filter(|(_, (p, _))| p == patient).collect();
            if coverages.is_empty() {
                continue;
            }
            let mut asked: Vec<&String> = vec![encounter];
            asked.extend(linked.get(encounter).into_iter().flatten().copied());
            if self.judge(encounter).is_some() {
                self.withhold_all(&asked, &mut payer);
                payer.pushes_withheld.insert(encounter.clone());
                continue;
            }
            asked.extend(coverages.iter().map(|(reference, _)| *reference));
            let travels = self.closure(asked, &mut payer);
            if coverages.iter().any(|(_, (_, known))| *known) {
                payer.filed.extend(travels.iter().cloned());
            } else {
                payer.held.extend(travels.iter().cloned());
                payer.pushes_held.insert(encounter.clone());
            }
            payer.pushes.insert(encounter.clone(), travels);
        }
        payer.held = payer.held.difference(&payer.filed).cloned().collect();
        let near = payer.filed.len() + payer.held.len() + payer.withheld.len();
        payer.not_asked = self.facts.len() - near;
        payer
    }

    /// The resources of asked types, by the encounter they name.
    fn linked(&self) -> BTreeMap<&String, Vec<&String>> {
        let mut linked: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
        for (reference, facts) in self.facts {
            if self.rules.asked.contains(&facts.kind) && !is_financial(&facts.kind) {
                for encounter in &facts.encounters {
                    linked.entry(encounter).or_default().push(reference);
                }
            }
        }
        linked
    }

    /// What of these may not travel, without following anything.
    fn withhold_all(&self, asked: &[&String], payer: &mut PayerExpectation) {
        for reference in asked {
            // Linked to a restricted encounter, so never without a reason.
            let reason = self.judge(reference).unwrap_or(Reason::PatientRestriction);
            payer.withheld.insert((*reference).clone(), reason);
        }
    }

    /// What travels from here on; what does not is noted with the payer.
    fn closure(&self, asked: Vec<&String>, payer: &mut PayerExpectation) -> BTreeSet<String> {
        let mut travels = BTreeSet::new();
        let mut waiting = asked;
        while let Some(reference) = waiting.pop() {
            if travels.contains(reference) {
                continue;
            }
            match (self.facts.get(reference), self.judge(reference)) {
                (None, _) => drop(payer.unresolved.insert(reference.clone())),
                (_, Some(reason)) => drop(payer.withheld.insert(reference.clone(), reason)),
                (Some(facts), None) => {
                    travels.insert(reference.clone());
                    waiting.extend(&facts.references);
                }
            }
        }
        travels
    }

    /// Why a resource may not travel to this payer; none when it may.
    fn judge(&self, reference: &str) -> Option<Reason> {
        let facts = self.facts.get(reference)?;
        let restricted = &self.rules.restricted;
        if restricted.contains(reference) || !facts.encounters.is_disjoint(restricted) {
            return Some(Reason::PatientRestriction);
        }
        if facts.kind == "Coverage" && !self.own.contains_key(reference) {
            return Some(Reason::OtherPayer);
        }
        let agreed = self.rules.permitted.contains(&facts.kind) && !is_financial(&facts.kind);
        (!agreed).then_some(Reason::NotAgreed)
    }
}

/// What providers bill and payers answer is never part of a clinical push.
fn is_financial(kind: &str) -> bool {
    matches!(kind, "Claim" | "ExplanationOfBenefit")
}
