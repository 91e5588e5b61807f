//! Expectation: what pushes of a chart must file, withhold and leave alone.
//!
//! Comes in   a chart, the plans, the rules.
//! Goes out   per payer: the pushes, and for every resource of the chart exactly one of filed, held,
//!            withheld with the rule's name, not asked for.
//! Never      uses a line of the product: it reads trees, slowly, so that both can be compared.
//!
//! For each payer and each patient with a Coverage of that payer, a push asks for the patient, for
//! the patient's Coverages of this payer, and
//!
//! - *encounter*, one per finished encounter: for the encounter and every resource of an asked type
//!   that belongs to it, by link, by order or by date (`belonging`);
//! - *results*, one per laboratory report: for the report;
//! - *history*, one per patient: for every resource of the patient of a type of the history, as
//!   far as its days lie in the window.
//!
//! From each resource that may travel, every reference is followed, and its target judged in turn; so
//! are the roles of each Practitioner that may.
//! What may not travel is withheld and not followed further. The judgement depends on the resource
//! and the payer alone, in order: a patient's restriction, another payer's coverage, a label, a code that
//! tells of substance use, an error of the chart, the visit of something that says such of itself, a
//! document that cannot be looked into and in whose days something of all these was so, the order or the
//! report of labelled results alone, a type that is not agreed. A push whose subject is itself withheld
//! is no push: what belongs to it is withheld, and nothing travels on its account.
//!
//! A restricted encounter takes along what belongs to it by whichever way, and what names no
//! encounter and is referred to by it: a result is no less the visit's for being served without it. Where
//! order and hour contradict each other, what was so in a withheld encounter's hours is withheld.

use super::belonging::{Belonging, Belongs};
use super::facts::{Facts, Span, relative};
use super::judgement::{Judgement, is_financial};
use super::roles::roles;
use super::{OverlayRules, value_of};
use crate::chart::Chart;
use crate::town::Plan;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What is pushed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PushKind {
    /// One finished encounter.
    Encounter,
    /// One laboratory report.
    Results,
    /// One patient.
    History,
}

impl PushKind {
    /// All of them.
    pub const ALL: [PushKind; 3] = [PushKind::Encounter, PushKind::Results, PushKind::History];

    /// The kind of a push by its subject, `Type/id`.
    pub fn of(subject: &str) -> Option<PushKind> {
        match subject.split_once('/')?.0 {
            "Encounter" => Some(PushKind::Encounter),
            "DiagnosticReport" => Some(PushKind::Results),
            "Patient" => Some(PushKind::History),
            _ => None,
        }
    }
}

/// Why a resource is withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is restricted by its patient, or belongs to an encounter that is.
    PatientRestriction,
    /// It is the coverage by another payer.
    OtherPayer,
    /// Its own label says that it is restricted.
    SensitivityLabel,
    /// It is the order or the report of labelled results, and of nothing else.
    AboutWithheld,
    /// A document that nobody can look into, and something restricted was so in its days.
    OpaqueInSensitivePeriod,
    /// Its codes tell of substance use.
    SubstanceUse,
    /// The chart says that it was entered in error.
    EnteredInError,
    /// Its type is not among those that may travel.
    NotAgreed,
    /// A history was asked for, and it is older than the history goes back.
    OutsideWindow,
}

impl Reason {
    /// The rule's name, as the product prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::PatientRestriction => "patient-restriction",
            Reason::OtherPayer => "other-payer",
            Reason::SensitivityLabel => "sensitivity-label",
            Reason::AboutWithheld => "about-withheld",
            Reason::OpaqueInSensitivePeriod => "opaque-in-sensitive-period",
            Reason::SubstanceUse => "substance-use",
            Reason::EnteredInError => "entered-in-error",
            Reason::NotAgreed => "not-agreed",
            Reason::OutsideWindow => "outside-window",
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
    /// How each resource belongs to its encounters: by encounter, by resource. An Encounter's own
    /// line is not among them.
    pub belongs: BTreeMap<String, BTreeMap<String, Belongs>>,
}

/// What is to come of a chart for one payer. All references are `Type/id` of the chart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PayerExpectation {
    /// The plan's name.
    pub name: String,
    /// For each subject that is pushed, what travels with it.
    pub pushes: BTreeMap<String, BTreeSet<String>>,
    /// Subjects that are not pushed because they are withheld themselves.
    pub pushes_withheld: BTreeSet<String>,
    /// Subjects of [`PayerExpectation::pushes`] whose patient the member file does not know.
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
    /// For what is filed or held: a digest over its bytes and over the references that stay in it.
    /// A record whose mark is the same is the same at the payer.
    pub marks: BTreeMap<String, String>,
}

impl Expectation {
    /// Computes it from the chart as it is.
    pub fn compute(chart: &Chart, plans: &[Plan], rules: &OverlayRules) -> Expectation {
        let read = chart.iter().map(|resource| (resource.reference(), Facts::read(resource)));
        Expectation::of_facts(chart, &read.collect(), plans, rules)
    }

    /// The same, from facts that have been read before.
    pub(super) fn of_facts(
        chart: &Chart,
        facts: &BTreeMap<String, Facts>,
        plans: &[Plan],
        rules: &OverlayRules,
    ) -> Expectation {
        let belonging = Belonging::read(facts);
        let mut belongs: BTreeMap<String, BTreeMap<String, Belongs>> = BTreeMap::new();
        for reference in facts.keys() {
            let Some((encounters, how)) = belonging.of(reference) else { continue };
            for encounter in encounters.iter().filter(|encounter| *encounter != reference) {
                belongs.entry(encounter.clone()).or_default().insert(reference.clone(), how);
            }
        }
        let judgement = Judgement::read(facts, &belonging, rules);
        let roles = roles(chart);
        let mut covered = BTreeSet::new();
        let mut payers = Vec::new();
        for plan in plans {
            let own = coverages_by(chart, plan);
            covered.extend(own.values().map(|(patient, _)| patient.clone()));
            let walk =
                Walk { facts, rules, own, judgement: &judgement, belongs: &belongs, roles: &roles };
            payers.push(walk.all_pushes(plan));
        }
        let patients = chart.of_kind("Patient").iter();
        let without_payer = patients.filter(|p| !covered.contains(&p.reference())).count();
        Expectation { payers, without_payer, belongs }
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

    /// How many resources of a type are filed.
    pub fn filed_of(&self, kind: &str) -> usize {
        self.filed.iter().filter(|one| one.split('/').next() == Some(kind)).count()
    }

    /// The subjects of one kind that are pushed.
    pub fn subjects(&self, kind: PushKind) -> BTreeSet<String> {
        self.pushes.keys().filter(|one| PushKind::of(one) == Some(kind)).cloned().collect()
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

/// The Coverages by this plan: reference → patient, and whether the member file knows the member.
fn coverages_by(chart: &Chart, plan: &Plan) -> BTreeMap<String, (String, bool)> {
    let mut own = BTreeMap::new();
    for coverage in chart.of_kind("Coverage") {
        let value = value_of(coverage);
        let payors = value["payor"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mine = payors.iter().any(|payor| {
            let organization = payor["reference"].as_str().and_then(relative);
            let organization = organization.and_then(|r| chart.find(&r)).map(value_of);
            let inline = &payor["identifier"];
            let listed = organization.map(|o| o["identifier"].as_array().cloned());
            let identifiers = listed.flatten().unwrap_or_default();
            identifiers.iter().chain([inline]).any(|identifier| {
                identifier["system"] == plan.payer_id.system.as_str()
                    && identifier["value"] == plan.payer_id.value.as_str()
            })
        });
        let patient = value["beneficiary"]["reference"].as_str().and_then(relative);
        if let (true, Some(patient)) = (mine, patient) {
            let member = value["subscriberId"].as_str().unwrap_or_default();
            let known = plan.members.iter().any(|row| row.member_id == member);
            own.insert(coverage.reference(), (patient, known));
        }
    }
    own
}

struct Walk<'a> {
    facts: &'a BTreeMap<String, Facts>,
    rules: &'a OverlayRules,
    own: BTreeMap<String, (String, bool)>,
    judgement: &'a Judgement<'a>,
    belongs: &'a BTreeMap<String, BTreeMap<String, Belongs>>,
    /// The roles of each practitioner.
    roles: &'a BTreeMap<String, BTreeSet<String>>,
}

/// One push in the making: its subject, its patient, and what it asks for.
struct Push<'a> {
    subject: &'a String,
    patient: &'a String,
    asked: Vec<&'a String>,
    /// What it would ask for if the window reached as far.
    outside: Vec<&'a String>,
}

impl<'a> Walk<'a> {
    fn all_pushes(&self, plan: &Plan) -> PayerExpectation {
        let mut payer = PayerExpectation { name: plan.name.clone(), ..Default::default() };
        for push in self.pushes() {
            self.walk(push, &mut payer);
        }
        let travelled: BTreeSet<String> = payer.pushes.values().flatten().cloned().collect();
        payer.held = travelled.difference(&payer.filed).cloned().collect();
        // What one history leaves out may travel with another push.
        payer.withheld.retain(|reference, _| !travelled.contains(reference));
        let near = travelled.len() + payer.withheld.len();
        payer.not_asked = self.facts.len() - near;
        payer.marks = travelled.into_iter().map(|one| (self.mark(&one), one)).map(swap).collect();
        payer
    }

    /// The pushes of all kinds that are asked for.
    fn pushes(&self) -> Vec<Push<'a>> {
        let mut pushes = Vec::new();
        let mut by_patient: BTreeMap<&String, Vec<&'a String>> = BTreeMap::new();
        for (reference, facts) in self.facts {
            if let Some(patient) = &facts.patient {
                by_patient.entry(patient).or_default().push(reference);
            }
        }
        for (subject, facts) in self.facts {
            let kind = PushKind::of(subject).filter(|kind| self.rules.kinds.contains(kind));
            let (Some(kind), Some(patient)) = (kind, &facts.patient) else { continue };
            let mut push = Push { subject, patient, asked: vec![subject], outside: Vec::new() };
            match kind {
                PushKind::Encounter if facts.finished => {
                    let belonging = self.belongs.get(subject).into_iter().flatten();
                    let asked = belonging.map(|(one, _)| one).filter(|one| self.is_asked(one));
                    push.asked.extend(asked);
                }
                PushKind::Results if facts.laboratory => {}
                PushKind::History => {
                    let own = by_patient.get(subject).into_iter().flatten();
                    let own = own.filter(|one| self.is_of_history(one));
                    let (inside, outside) = own.partition(|one| self.is_in_window(one));
                    push.asked.extend::<Vec<_>>(inside);
                    push.outside = outside;
                }
                _ => continue,
            }
            pushes.push(push);
        }
        pushes
    }

    fn walk(&self, push: Push<'_>, payer: &mut PayerExpectation) {
        let Push { subject, patient, mut asked, outside } = push;
        let coverages: Vec<_> = self.own.iter().filter(|(_, (p, _))| p == patient).collect();
        if coverages.is_empty() {
            return;
        }
        if self.judge(subject).is_some() {
            for reference in asked {
                // It belongs to what is withheld, so it is never without a reason.
                let reason = self.judge(reference).unwrap_or(Reason::PatientRestriction);
                payer.withheld.insert(reference.clone(), reason);
            }
            payer.pushes_withheld.insert(subject.clone());
            return;
        }
        asked.extend(coverages.iter().map(|(reference, _)| *reference));
        asked.push(patient);
        let travels = self.closure(asked, payer);
        for reference in outside.into_iter().filter(|one| !travels.contains(*one)) {
            let reason = self.judge(reference).unwrap_or(Reason::OutsideWindow);
            payer.withheld.entry(reference.clone()).or_insert(reason);
        }
        if coverages.iter().any(|(_, (_, known))| *known) {
            payer.filed.extend(travels.iter().cloned());
        } else {
            payer.pushes_held.insert(subject.clone());
        }
        payer.pushes.insert(subject.clone(), travels);
    }

    fn is_asked(&self, reference: &str) -> bool {
        let kind = reference.split('/').next().unwrap_or_default();
        self.rules.asked.contains(kind) && !is_financial(kind)
    }

    fn is_of_history(&self, reference: &str) -> bool {
        let kind = reference.split('/').next().unwrap_or_default();
        self.rules.history.contains(kind) && !is_financial(kind)
    }

    /// Whether a history goes back to it; what stands today is in every history, and of what says
    /// no day nobody can tell.
    fn is_in_window(&self, reference: &str) -> bool {
        let Some(facts) = self.facts.get(reference) else { return true };
        match (&self.rules.since, &facts.days) {
            (None, _) => true,
            _ if facts.stands => true,
            (Some(since), Some(Span { last, .. })) => since <= last,
            (Some(_), None) => false,
        }
    }

    /// What travels from here on; what does not is noted with the payer.
    fn closure(&self, asked: Vec<&'a String>, payer: &mut PayerExpectation) -> BTreeSet<String> {
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
                    waiting.extend(self.roles.get(reference).into_iter().flatten());
                }
            }
        }
        travels
    }

    /// Why a resource may not travel to this payer; none when it may.
    fn judge(&self, reference: &str) -> Option<Reason> {
        self.judgement.judge(reference, &|coverage| self.own.contains_key(coverage))
    }

    fn mark(&self, reference: &str) -> String {
        let Some(facts) = self.facts.get(reference) else { return String::new() };
        let kept = facts.references.iter().filter(|one| self.facts.contains_key(*one));
        let kept: Vec<_> = kept.filter(|one| self.judge(one).is_none()).cloned().collect();
        let kept = kept.join("\n");
        crate::chart::sha256_hex(&[facts.digest.as_bytes(), kept.as_bytes()])
    }
}

fn swap((mark, reference): (String, String)) -> (String, String) {
    (reference, mark)
}
