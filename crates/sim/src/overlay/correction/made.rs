//! Made: the records of a correction, from those that stand in the chart.
//!
//! Comes in   a chart, what of it was filed, a die, the kind of correction that is wanted.
//! Goes out   one sentence on what is done, whose chart it is, the changed and the new records.
//! Never      touches a record twice, or a byte beside what is corrected.

use super::super::amendment::amend;
use super::super::expectation::Expectation;
use super::super::{resource, value_of};
use super::CorrectionKind;
use super::edits::{with_member, with_result, with_status, with_verification};
use super::late::Late;
use crate::chart::{Chart, ChartResource, sha256_hex};
use crate::limits::{CORRECTION_MOVES_MAX, CORRECTION_TRIES};
use crate::town::Dice;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// What is done, whose chart it is, and the records to put.
pub(super) type Made = (&'static str, String, Vec<ChartResource>);

/// Makes corrections of one chart.
pub(super) struct Maker {
    chart: Chart,
    /// What was filed with some plan and is not corrected yet, by type.
    open: BTreeMap<String, Vec<String>>,
    /// Finished encounters that are pushed, and finished ones that are restricted.
    visits: Vec<String>,
    hushed: Vec<String>,
    /// What was corrected.
    taken: BTreeSet<String>,
    /// What names an encounter, by encounter.
    named_in: BTreeMap<String, BTreeSet<String>>,
    /// Second records of people, each with what stands under it.
    doubles: Vec<Double>,
    dice: Dice,
    made: usize,
}

/// A second record of a person.
struct Double {
    stays: String,
    goes: ChartResource,
    own: Vec<ChartResource>,
}

impl Maker {
    /// A maker over a chart, to which so many second records of people are added.
    pub(super) fn new(
        chart: &Chart,
        expectation: &Expectation,
        dice: Dice,
        doubles: usize,
    ) -> Maker {
        let filed: BTreeSet<&String> =
            expectation.payers.iter().flat_map(|payer| &payer.filed).collect();
        let mut open: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for reference in filed {
            let kind = reference.split('/').next().unwrap_or_default();
            open.entry(kind.to_owned()).or_default().push(reference.clone());
        }
        let pushes: BTreeSet<_> =
            expectation.payers.iter().flat_map(|payer| payer.pushes.keys()).cloned().collect();
        let withheld: BTreeSet<_> =
            expectation.payers.iter().flat_map(|payer| &payer.pushes_withheld).cloned().collect();
        let visits = |all: BTreeSet<String>| -> Vec<String> {
            all.into_iter().filter(|one| one.starts_with("Encounter/")).collect()
        };
        let (visits, hushed) = (visits(pushes), visits(withheld));
        let chart = chart.clone();
        let mut maker = Maker {
            chart,
            open,
            visits,
            hushed,
            taken: BTreeSet::new(),
            named_in: BTreeMap::new(),
            doubles: Vec::new(),
            dice,
            made: 0,
        };
        maker.chart.clone().iter().for_each(|one| maker.note(one));
        for _ in 0..doubles {
            maker.add_double();
        }
        maker
    }

    /// The chart with the second records, before any correction.
    pub(super) fn chart(&self) -> &Chart {
        &self.chart
    }

    /// One correction of this kind; none when the chart has nothing left for it.
    pub(super) fn make(&mut self, kind: CorrectionKind) -> Option<Made> {
        let made = (0..CORRECTION_TRIES).find_map(|_| self.try_to_make(kind))?;
        for resource in &made.2 {
            self.take(&resource.reference());
            self.note(resource);
            self.chart.put(resource.clone());
        }
        self.made += 1;
        Some(made)
    }

    fn try_to_make(&mut self, kind: CorrectionKind) -> Option<Made> {
        match kind {
            CorrectionKind::Amended => self.amended(),
            CorrectionKind::Cancelled => self.cancelled(),
            CorrectionKind::EnteredInError => self.in_error(),
            CorrectionKind::Merged => self.merged(),
            CorrectionKind::Late => self.late(),
        }
    }

    fn amended(&mut self) -> Option<Made> {
        if self.dice.below(3) > 0 {
            let observation = self.draw("Observation")?;
            let put = vec![amend(&observation)?];
            return Some(("a result has another value", patient(&observation)?, put));
        }
        let report = self.draw("DiagnosticReport")?;
        let corrected = with_status(&report, "corrected")?;
        let put = vec![with_member(&corrected, "conclusion", &json!("Read once more."))?];
        Some(("a report is corrected", patient(&report)?, put))
    }

    fn cancelled(&mut self) -> Option<Made> {
        const WORDS: [(&str, &str); 5] = [
            ("Observation", "cancelled"),
            ("DiagnosticReport", "cancelled"),
            ("Procedure", "not-done"),
            ("MedicationRequest", "cancelled"),
            ("Immunization", "not-done"),
        ];
        let (kind, word) = *self.dice.pick(&WORDS);
        let one = self.draw(kind)?;
        let put = vec![with_status(&one, word)?];
        Some(("a record is cancelled", patient(&one)?, put))
    }

    fn in_error(&mut self) -> Option<Made> {
        const KINDS: [&str; 7] = [
            "Condition",
            "DiagnosticReport",
            "DocumentReference",
            "Immunization",
            "MedicationRequest",
            "Observation",
            "Procedure",
        ];
        const WORD: &str = "entered-in-error";
        let kind = *self.dice.pick(&KINDS);
        let one = self.draw(kind)?;
        let put = match kind {
            "Condition" => vec![with_verification(&one, WORD)?],
            _ => vec![with_status(&one, WORD)?],
        };
        Some(("a record was entered in error", patient(&one)?, put))
    }

    /// Of encounters every other time, of people else and where no encounter can be merged.
    fn merged(&mut self) -> Option<Made> {
        let of_encounters = if self.dice.below(2) == 0 { self.merged_encounters() } else { None };
        of_encounters.or_else(|| self.merged_people())
    }

    fn merged_people(&mut self) -> Option<Made> {
        let Double { stays, goes, own } = self.doubles.pop()?;
        let mut value = value_of(&goes);
        value["active"] = json!(false);
        value["link"] = json!([{ "other": { "reference": stays }, "type": "replaced-by" }]);
        let mut put = vec![resource(&value)];
        put.extend(own.iter().map(|one| {
            let mut value = value_of(one);
            value["subject"]["reference"] = json!(stays);
            resource(&value)
        }));
        Some(("the second record of a person is merged", stays, put))
    }

    /// What names the second encounter names the first one instead; the second says that it was
    /// entered in error.
    fn merged_encounters(&mut self) -> Option<Made> {
        let goes = self.draw("Encounter").filter(|one| self.visits.contains(&one.reference()))?;
        let patient = patient(&goes)?;
        let is_other = |one: &&String| {
            let of_patient = self
                .chart
                .find(one)
                .is_some_and(|other| value_of(other)["subject"]["reference"] == patient.as_str());
            of_patient && **one != goes.reference()
        };
        let others: Vec<_> = self.visits.iter().filter(is_other).cloned().collect();
        let stays = if others.is_empty() { return None } else { self.dice.pick(&others).clone() };
        let (from, to) = (format!("\"{}\"", goes.reference()), format!("\"{stays}\""));
        let mut put = vec![with_status(&goes, "entered-in-error")?];
        let named_in = self.named_in.get(&goes.reference()).into_iter().flatten();
        for one in named_in.filter_map(|reference| self.chart.find(reference)) {
            let text = std::str::from_utf8(&one.bytes).ok()?;
            if text.contains(&from) {
                put.push(ChartResource { bytes: text.replace(&from, &to).into(), ..one.clone() });
            }
        }
        // What was corrected already is left to its own correction.
        let fresh = put.iter().all(|one| !self.taken.contains(&one.reference()));
        if !fresh || put.len() > CORRECTION_MOVES_MAX {
            return None;
        }
        self.take(&stays);
        Some(("the second record of an encounter is merged", patient, put))
    }

    fn late(&mut self) -> Option<Made> {
        match self.dice.below(7) {
            0 => self.late_with(false, "a late result names its encounter", |late| {
                vec![late.result(true)]
            }),
            1 => self.late_in_report(),
            2 => self.late_with(false, "a late result has nothing but its date", |late| {
                vec![late.result(false)]
            }),
            3 => self.late_with(false, "a late diagnosis", |late| vec![late.diagnosis()]),
            4 => self.late_with(false, "a late note", |late| vec![late.note()]),
            5 => self.late_with(false, "a late report with its result", |late| {
                let result = late.result(false);
                vec![late.report(&result), result]
            }),
            _ => self.late_with(true, "a late result of a restricted encounter", |late| {
                vec![late.result(false)]
            }),
        }
    }

    fn late_with(
        &mut self,
        restricted: bool,
        what: &'static str,
        make: impl Fn(&Late) -> Vec<ChartResource>,
    ) -> Option<Made> {
        let visits = if restricted { &self.hushed } else { &self.visits };
        if visits.is_empty() {
            return None;
        }
        let encounter = self.dice.pick(visits).clone();
        let late = Late::at(self.chart.find(&encounter)?, self.made)?;
        Some((what, late.patient.clone(), make(&late)))
    }

    /// A result without its encounter, in a report that had been sent without it.
    fn late_in_report(&mut self) -> Option<Made> {
        let report = self.draw("DiagnosticReport")?;
        let value = value_of(&report);
        let encounter = value["encounter"]["reference"].as_str()?;
        let late = Late::at(self.chart.find(encounter)?, self.made)?;
        let mut result = value_of(&late.result(false));
        // Long after the visit: nothing but its report says where it belongs.
        result["effectiveDateTime"] = json!("2031-05-05T08:00:00Z");
        let result = resource(&result);
        let listed = with_result(&report, &result.reference())?;
        let report = with_status(&listed, "corrected")?;
        Some(("a late result of a report", late.patient, vec![report, result]))
    }

    /// A second record of a patient, with a result and a diagnosis from the days of an encounter.
    fn add_double(&mut self) {
        if self.visits.is_empty() {
            return;
        }
        let encounter = self.dice.pick(&self.visits).clone();
        let place = self.doubles.len();
        let late = self.chart.find(&encounter).and_then(|one| Late::at(one, 100_000 + place));
        let Some(late) = late else { return };
        let id = sha256_hex(&[b"double", late.key.as_bytes()])[..32].to_owned();
        let goes = resource(&json!({ "resourceType": "Patient", "id": id, "active": true }));
        let own: Vec<_> = [late.result(false), late.diagnosis()]
            .iter()
            .map(|one| {
                let mut value = value_of(one);
                value["subject"]["reference"] = json!(goes.reference());
                // Under the second record nothing is known of the first one's encounters.
                value.as_object_mut().map(|members| members.shift_remove("encounter"));
                resource(&value)
            })
            .collect();
        for one in own.iter().chain([&goes]) {
            self.chart.put(one.clone());
        }
        self.doubles.push(Double { stays: late.patient, goes, own });
    }

    /// A record of this type that was filed and is not corrected yet.
    fn draw(&mut self, kind: &str) -> Option<ChartResource> {
        let open = self.open.get(kind).filter(|open| !open.is_empty())?;
        let reference = self.dice.pick(open);
        self.chart.find(reference).cloned()
    }

    /// Notes which encounters a clinical record names.
    fn note(&mut self, resource: &ChartResource) {
        if matches!(resource.kind.as_str(), "Claim" | "ExplanationOfBenefit") {
            return;
        }
        let text = String::from_utf8_lossy(&resource.bytes);
        let named = text.split('"').filter(|part| part.starts_with("Encounter/"));
        for encounter in named {
            let all = self.named_in.entry(encounter.to_owned()).or_default();
            all.insert(resource.reference());
        }
    }

    /// From now on it is not corrected any more.
    fn take(&mut self, reference: &str) {
        self.taken.insert(reference.to_owned());
        let kind = reference.split('/').next().unwrap_or_default();
        if let Some(open) = self.open.get_mut(kind) {
            open.retain(|one| one != reference);
        }
        if kind == "Encounter" {
            self.visits.retain(|one| one != reference);
        }
    }
}

fn patient(resource: &ChartResource) -> Option<String> {
    let value = value_of(resource);
    let owner = ["subject", "patient"].iter().find_map(|name| value[*name]["reference"].as_str());
    owner.map(str::to_owned)
}
