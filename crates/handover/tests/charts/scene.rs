//! The scene: some of the hundred charts with the overlay, an EHR in one mode, two plans.
//!
//! Comes in   the mode.
//! Goes out   a stage with houses that run; the chart as the EHR gives it out; the expectation.
//! Never      an expectation of what the EHR does not serve: it is made of the chart as it is read.

use crate::common::{House, Stage, data};
use exchange::desk::Row;
use handover::ehr::new_plans;
use sim::chart::LoadPlan;
use sim::ehr::{EhrMode, Odd};
use sim::overlay::{Each, PayerExpectation, Planted, PushKind, Unagreed};
use sim::town::{NAIC, PayerId, Plan};
use sim::{Chart, ChartResource, Expectation, Overlay, OverlayRules};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Patients, unless `HANDOVER_CHARTS` says otherwise.
const PATIENTS: usize = 4;

/// How often a house is asked whether something is still put off: an EHR that was away is asked again
/// in a few seconds.
const ASKED_MAX: usize = 20_000;

/// Patients with hardly a chart.
const SMALLEST_LEFT_OUT: usize = 6;

/// Every so-many-eth encounter of a patient is under a restriction.
const RESTRICT_EVERY: usize = 7;

/// Of a hundred laboratory results, so many are served without their encounter.
const UNLINK_PERCENT: u8 = 15;

/// Every coverage of the charts began on this day, and a history goes no further back.
const COVERED_SINCE: &str = "1900-01-01";

/// Types that no chart is searched for: they are read where something refers to them.
const NOT_SEARCHED: [&str; 11] = [
    "Binary",
    "Coverage",
    "Endpoint",
    "HealthcareService",
    "Location",
    "Medication",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Provenance",
];

/// The rule of the shipped agreement that some of the charts come under.
const SUBSTANCE_USE: &str = "substance-use";

/// The rows of every push, by subject.
pub(crate) type Pushed = BTreeMap<String, Vec<Row>>;

/// An EHR that can do all, and one of the minimum without waits.
pub(crate) fn minimum() -> EhrMode {
    EhrMode::CertifiedMinimum(Odd { retry_after_seconds: 0, ..Odd::certified_minimum() })
}

/// How a scene is set.
pub(crate) struct Setting {
    pub(crate) mode: EhrMode,
    pub(crate) patients: usize,
    /// The last patient is no member that the second plan knows.
    pub(crate) unknown_member: bool,
    /// Restrict encounters, and keep what tells of substance use, as the shipped agreement does.
    pub(crate) restrict: bool,
    /// Labelled results with their orders, and numbers of all plans.
    pub(crate) told: bool,
}

impl Setting {
    pub(crate) fn new(mode: EhrMode) -> Setting {
        let asked = std::env::var("HANDOVER_CHARTS").ok().and_then(|count| count.parse().ok());
        let patients = asked.unwrap_or(PATIENTS);
        Setting { mode, patients, unknown_member: false, restrict: true, told: false }
    }
}

pub(crate) struct Scene {
    pub(crate) stage: Stage,
    /// The chart as the EHR reads it out, with its references relative.
    pub(crate) read: Chart,
    pub(crate) plans: Vec<Plan>,
    pub(crate) rules: OverlayRules,
    pub(crate) expectation: Expectation,
    pub(crate) planted: Vec<Planted>,
}

impl Scene {
    /// Sets it, with all houses at work; none without the charts.
    pub(crate) fn set(setting: &Setting) -> Option<Scene> {
        let folder = data("synthea-us-core-bundles")?;
        let chart = chart_of(&folder, setting.patients);
        let stranger = Plan {
            name: "Plan Nobody Has An Agreement With".to_owned(),
            payer_id: PayerId { system: NAIC.to_owned(), value: "98765".to_owned() },
            members: Vec::new(),
        };
        let overlay = Overlay {
            plans: new_plans(2),
            coverages: Each::All,
            unagreed: Some(Unagreed { plan: stranger, every: 3 }),
            unlink_percent: UNLINK_PERCENT,
            restrict_every: setting.restrict.then_some(RESTRICT_EVERY),
            mark_restricted: true,
            add_summaries: has_rule("opaque-in-sensitive-period"),
            add_labelled: setting.told,
            add_numbers: setting.told,
        };
        let usual = OverlayRules { opaque: true, ..OverlayRules::usual() };
        let overlaid = overlay.apply(&chart, &usual).unwrap();
        let mut plans = overlaid.plans;
        if setting.unknown_member {
            forget_last_member(&overlaid.chart, &mut plans[1]);
        }
        let (chart, restrictions) = (overlaid.chart, overlaid.restrictions);
        let mut stage = Stage::new_as(setting.mode.clone(), chart, plans.clone(), &restrictions);
        if setting.told {
            // What is said is searched afterwards: the more, the better.
            let houses = stage.payers.iter_mut().chain([&mut stage.provider]);
            houses.for_each(|house| house.log = "debug".to_owned());
        }
        if !setting.restrict {
            without_rule_on_substance_use(&stage);
        }
        let rules = rules(&stage.provider).with_restrictions(&restrictions);
        let read = as_read(&stage, &stage.chart);
        let expectation = Expectation::compute(&read, &plans, &rules);
        stage.serve();
        let planted = overlaid.planted;
        Some(Scene { stage, read, plans, rules, expectation, planted })
    }

    /// Each plan's house with what is expected of it.
    pub(crate) fn payers(&self) -> impl Iterator<Item = (&House, &PayerExpectation)> {
        self.stage.payers.iter().zip(&self.expectation.payers)
    }

    /// Every subject of a kind that some plan is to be pushed or refused, in order.
    pub(crate) fn subjects(&self, kind: PushKind) -> Vec<String> {
        let all = self.expectation.payers.iter();
        let all = all.flat_map(|payer| payer.pushes.keys().chain(&payer.pushes_withheld));
        let all: BTreeSet<&String> =
            all.filter(|subject| PushKind::of(subject) == Some(kind)).collect();
        all.into_iter().cloned().collect()
    }

    /// Every subject that was or is to be pushed, by this expectation or the one before.
    pub(crate) fn subjects_with(&self, after: &Expectation) -> BTreeSet<String> {
        let all = self.expectation.payers.iter().chain(&after.payers);
        let all = all.flat_map(|payer| payer.pushes.keys().chain(&payer.pushes_withheld));
        all.cloned().collect()
    }

    /// Pushes everything there is, kind by kind.
    pub(crate) fn push_all(&self) -> Pushed {
        let mut pushed = Pushed::new();
        for kind in PushKind::ALL {
            pushed.extend(self.push(&self.subjects(kind)));
        }
        pushed
    }

    /// Pushes these subjects, patient by patient, and asks until none of them is put off any more.
    pub(crate) fn push(&self, subjects: &[String]) -> Pushed {
        let provider = &self.stage.provider;
        let known: BTreeSet<String> = provider.rows().into_iter().map(|row| row.id).collect();
        let mut by_patient: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for subject in subjects {
            by_patient.entry(self.patient_of(subject)).or_default().push(subject.clone());
        }
        // All but the last are queued, so that one reading of a chart serves them; a patient's pushes
        // end in their order.
        let last: Vec<String> = by_patient.values_mut().filter_map(Vec::pop).collect();
        provider.queue(&by_patient.into_values().flatten().collect::<Vec<_>>());
        provider.push_all(&last);
        for _ in 0..ASKED_MAX {
            let rows = provider.rows().into_iter().filter(|row| !known.contains(&row.id));
            let (put_off, rows): (Vec<Row>, Vec<Row>) =
                rows.partition(|row| row.state == "due" && !self.is_held_at_payer(row));
            if put_off.is_empty() {
                let mut pushed = Pushed::new();
                for row in rows.into_iter().filter(|row| row.partner.is_some()) {
                    pushed.entry(row.subject.clone().unwrap()).or_default().push(row);
                }
                return pushed;
            }
        }
        panic!("pushes are put off for ever");
    }

    /// The patient whom a subject is of; the subject itself, where it is a patient or is gone.
    fn patient_of(&self, subject: &str) -> String {
        let of = self.stage.chart.find(subject).and_then(|one| {
            let value: serde_json::Value = serde_json::from_slice(&one.bytes).unwrap();
            value["subject"]["reference"].as_str().map(str::to_owned)
        });
        of.unwrap_or_else(|| subject.to_owned())
    }

    /// Whether a push is to wait for a person of the plan.
    fn is_held_at_payer(&self, row: &Row) -> bool {
        let (Some(partner), Some(subject)) = (&row.partner, &row.subject) else { return false };
        self.payers().any(|(payer, expected)| {
            partner.as_str() == payer.name && expected.pushes_held.contains(subject)
        })
    }
}

/// The charts of so many patients: those that hold little, but for the very smallest, so that a test
/// of a few is over soon and has some of everything.
fn chart_of(folder: &Path, patients: usize) -> Chart {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let mut files: Vec<_> =
        files.map(|file| (file.metadata().unwrap().len(), file.path())).collect();
    files.sort();
    let is_shared = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("0-");
    let (shared, own): (Vec<_>, Vec<_>) =
        files.into_iter().map(|(_, path)| path).partition(is_shared);
    let patients = patients.min(own.len());
    let skipped = SMALLEST_LEFT_OUT.min(own.len() - patients);
    let paths: Vec<&Path> = shared
        .iter()
        .chain(own.iter().skip(skipped).take(patients))
        .map(PathBuf::as_path)
        .collect();
    let loaded = Chart::load_with(&paths, &LoadPlan::default()).unwrap();
    assert_eq!(loaded.chart.of_kind("Patient").len(), patients);
    loaded.chart
}

/// Whether the houses have such a rule.
fn has_rule(name: &str) -> bool {
    exchange::shape::BUILT_IN.iter().any(|(rule, _)| *rule == name)
}

/// Its heading and its three lines, in every agreement of the sending house.
fn without_rule_on_substance_use(stage: &Stage) {
    for payer in &stage.payers {
        let file = format!("agreements/{}.toml", payer.name);
        let text = stage.provider.read(&file);
        let (before, rule) =
            text.split_once(&format!("[[withhold]]\nrule = \"{SUBSTANCE_USE}\"\n")).unwrap();
        let (_, after) = rule.split_once("\n\n").unwrap();
        stage.provider.write(&file, &format!("{before}{after}"));
    }
}

/// The rules of the shipped agreement, as the overlay reads them: plain lists of types.
fn rules(provider: &House) -> OverlayRules {
    let config = provider.config();
    let agreement = &config.terms.values().next().unwrap().agreement;
    let permitted: BTreeSet<String> =
        agreement.permit.iter().flat_map(|permit| &permit.types).cloned().collect();
    let searched = permitted.iter().filter(|kind| !NOT_SEARCHED.contains(&kind.as_str()));
    OverlayRules {
        kinds: PushKind::ALL.to_vec(),
        asked: agreement.encounter.types.iter().cloned().collect(),
        history: searched.cloned().collect(),
        since: Some(COVERED_SINCE.to_owned()),
        opaque: has_rule("opaque-in-sensitive-period"),
        in_error: true,
        substance_use: agreement.withhold.iter().any(|row| row.rule == SUBSTANCE_USE),
        permitted,
        ..OverlayRules::default()
    }
}

/// The chart as the EHR gives it out, its references relative again.
pub(crate) fn as_read(stage: &Stage, chart: &Chart) -> Chart {
    let base = format!("\"{}/", stage.ehr.base_url());
    let resources = chart.iter().map(|one| {
        let served = stage.ehr.served(&one.reference()).unwrap();
        let text = std::str::from_utf8(&served).unwrap();
        ChartResource { bytes: text.replace(&base, "\"").into(), ..one.clone() }
    });
    Chart::new(resources.collect()).unwrap()
}

/// The plan's member file loses the line of the last patient.
fn forget_last_member(chart: &Chart, plan: &mut Plan) {
    let patient = chart.of_kind("Patient").last().unwrap().reference();
    for coverage in chart.of_kind("Coverage") {
        let value: serde_json::Value = serde_json::from_slice(&coverage.bytes).unwrap();
        if value["beneficiary"]["reference"] == patient.as_str() {
            plan.members.retain(|row| value["subscriberId"] != row.member_id.as_str());
        }
    }
}
