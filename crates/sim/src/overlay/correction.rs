//! Correction: what a chart changes after it was pushed, and who must hear of it.
//!
//! Comes in   a seed; a chart with its plans and rules, as it was pushed.
//! Goes out   corrections one after the other (amended, cancelled, entered in error, merged, late),
//!            each with the records to put into the EHR, and for each plan which pushes must be made
//!            and which of its records change because of it; nothing else may.
//! Never      says what to expect by hand: it is the difference of two expectations, one of the
//!            chart before and one of the chart after.
//!
//! Why one chart and not one per correction: a correction of a corrected chart is the usual case, and
//! two hundred of them at once show whether one hides another.

mod edits;
mod late;
mod made;

use super::OverlayRules;
use super::expectation::{Expectation, PayerExpectation};
use super::facts::Facts;
use crate::chart::{Chart, ChartResource};
use crate::town::{Dice, Plan};
use made::Maker;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What kind of correction it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CorrectionKind {
    /// A value or a conclusion is another one.
    Amended,
    /// What was ordered, planned or measured is not, after all.
    Cancelled,
    /// It should never have been in this chart.
    EnteredInError,
    /// What stood under a second record of the same person, or in a second record of the same
    /// encounter, moves to the first.
    Merged,
    /// It came after the encounter had been pushed: with its encounter, with its order or report, or
    /// with nothing but its date.
    Late,
}

impl CorrectionKind {
    /// All of them, in the order in which they are made.
    pub const ALL: [CorrectionKind; 5] = [
        CorrectionKind::Amended,
        CorrectionKind::Cancelled,
        CorrectionKind::EnteredInError,
        CorrectionKind::Merged,
        CorrectionKind::Late,
    ];
}

impl fmt::Display for CorrectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            CorrectionKind::Amended => "amended",
            CorrectionKind::Cancelled => "cancelled",
            CorrectionKind::EnteredInError => "entered in error",
            CorrectionKind::Merged => "merged",
            CorrectionKind::Late => "late",
        })
    }
}

/// One correction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// Its kind.
    pub kind: CorrectionKind,
    /// What is done, in words, without a value of the chart.
    pub what: &'static str,
    /// `Patient/<id>` whose chart it is.
    pub patient: String,
    /// Records to put into the EHR: changed ones and new ones.
    pub put: Vec<ChartResource>,
    /// What comes of it, one per plan that hears of it.
    pub effects: Vec<Effect>,
}

/// What comes of corrections at one plan. All references are `Type/id` of the chart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// The plan's name.
    pub plan: String,
    /// Subjects whose push holds something else than before, or is made for the first time.
    pub pushes: BTreeSet<String>,
    /// Subjects that are pushed no longer: they may not travel any more.
    pub ended: BTreeSet<String>,
    /// Records that the plan has afterwards and had not before.
    pub fresh: BTreeSet<String>,
    /// Records that have another content afterwards.
    pub changed: BTreeSet<String>,
    /// Records that are taken back.
    pub gone: BTreeSet<String>,
}

impl Effect {
    /// Whether nothing comes of it.
    pub fn is_nothing(&self) -> bool {
        let Effect { plan: _, pushes, ended, fresh, changed, gone } = self;
        [pushes, ended, fresh, changed, gone].iter().all(|set| set.is_empty())
    }

    fn between(before: &PayerExpectation, after: &PayerExpectation) -> Effect {
        let content = |payer: &PayerExpectation, subject: &String| {
            let travels = payer.pushes.get(subject)?.iter();
            let marks = travels.map(|one| (one.clone(), payer.marks.get(one).cloned()));
            Some(marks.collect::<BTreeMap<_, _>>())
        };
        let pushes = after.pushes.keys();
        let pushes = pushes.filter(|one| content(before, one) != content(after, one));
        let ended = before.pushes.keys().filter(|one| !after.pushes.contains_key(*one));
        let kept = before.filed.intersection(&after.filed);
        Effect {
            plan: after.name.clone(),
            pushes: pushes.cloned().collect(),
            ended: ended.cloned().collect(),
            fresh: after.filed.difference(&before.filed).cloned().collect(),
            changed: kept.filter(|one| before.marks[*one] != after.marks[*one]).cloned().collect(),
            gone: before
                .filed
                .difference(&after.filed)
                .filter(|it| is_taken_back(it))
                .cloned()
                .collect(),
        }
    }
}

/// Who treats, where and with what says nothing of a patient whose records are gone, and other
/// patients' records may refer to it: such records stay.
fn is_taken_back(reference: &str) -> bool {
    const STAY: [&str; 6] =
        ["Device", "Location", "Medication", "Organization", "Practitioner", "PractitionerRole"];
    !STAY.contains(&reference.split('/').next().unwrap_or_default())
}

/// Corrections one after the other, and all together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrections {
    /// The chart to push first: the one that came in, with the second records of people that will
    /// be merged.
    pub before: Chart,
    /// What is to come of that first push.
    pub expected_before: Expectation,
    /// The corrections.
    pub all: Vec<Correction>,
    /// The chart after all of them.
    pub after: Chart,
    /// What is to come of pushing that chart.
    pub expected_after: Expectation,
    /// What comes of all corrections together, one per plan.
    pub together: Vec<Effect>,
}

impl Corrections {
    /// So many corrections of a chart, of these kinds in turn, fewer when the chart has nothing left
    /// to correct. The same seed and chart give the same corrections. No record is corrected twice.
    pub fn of(
        seed: u64,
        count: usize,
        kinds: &[CorrectionKind],
        chart: &Chart,
        plans: &[Plan],
        rules: &OverlayRules,
    ) -> Corrections {
        let wanted: Vec<_> = kinds.iter().copied().cycle().take(count).collect();
        let merges = wanted.iter().filter(|kind| **kind == CorrectionKind::Merged).count();
        let expectation = Expectation::compute(chart, plans, rules);
        let maker = Maker::new(chart, &expectation, Dice::named(seed, "corrections"), merges);
        let mut state = State::of(maker.chart(), plans, rules);
        let (before, expected_before) = (state.chart.clone(), state.whole());
        let mut maker = maker;
        let mut all = Vec::new();
        for kind in wanted {
            let Some((what, patient, put)) = maker.make(kind) else { continue };
            let effects = state.correct(&patient, &put);
            all.push(Correction { kind, what, patient, put, effects });
        }
        let expected_after = state.whole();
        let pairs = expected_before.payers.iter().zip(&expected_after.payers);
        let together = pairs.map(|(one, other)| Effect::between(one, other)).collect();
        Corrections { before, expected_before, all, after: state.chart, expected_after, together }
    }
}

/// A chart that is corrected, and what is to come of it, patient by patient.
struct State<'a> {
    plans: &'a [Plan],
    rules: &'a OverlayRules,
    chart: Chart,
    facts: BTreeMap<String, Facts>,
    /// By patient, once one was corrected.
    known: BTreeMap<String, Expectation>,
}

impl<'a> State<'a> {
    fn of(chart: &Chart, plans: &'a [Plan], rules: &'a OverlayRules) -> State<'a> {
        let facts = chart.iter().map(|one| (one.reference(), Facts::read(one))).collect();
        State { plans, rules, chart: chart.clone(), facts, known: BTreeMap::new() }
    }

    fn whole(&self) -> Expectation {
        Expectation::of_facts(&self.chart, &self.facts, self.plans, self.rules)
    }

    /// Only this patient's pushes: nobody else's can hold anything of this patient.
    fn of_patient(&self, patient: &str) -> Expectation {
        let near = self
            .facts
            .iter()
            .filter(|(_, one)| one.patient.as_deref().is_none_or(|owner| owner == patient));
        let near = near.map(|(reference, one)| (reference.clone(), one.clone())).collect();
        Expectation::of_facts(&self.chart, &near, self.plans, self.rules)
    }

    fn correct(&mut self, patient: &str, put: &[ChartResource]) -> Vec<Effect> {
        let known = self.known.remove(patient);
        let before = known.unwrap_or_else(|| self.of_patient(patient));
        for resource in put {
            self.facts.insert(resource.reference(), Facts::read(resource));
            self.chart.put(resource.clone());
        }
        let after = self.of_patient(patient);
        let pairs = before.payers.iter().zip(&after.payers);
        let effects = pairs.map(|(one, other)| Effect::between(one, other));
        let effects = effects.filter(|effect| !effect.is_nothing()).collect();
        self.known.insert(patient.to_owned(), after);
        effects
    }
}
