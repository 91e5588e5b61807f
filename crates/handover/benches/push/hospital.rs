//! Hospital: the EHR of the bench, in a process of its own.
//!
//! Comes in   where the charts are, how many patients of them and how many invented ones, by how many plans
//!            they are covered, in which mode, where to listen, who may read.
//! Goes out   the EHR, the plans' member files, the patients' restrictions, what there is to push, and what
//!            a plan holds in the end by another opinion than the house's.
//! Never      anything of the houses: it knows them by a public file.

use exchange::agreement::Agreement;
use exchange::partner::PublicFile;
use serde_json::Value;
use sim::chart::LoadPlan;
use sim::ehr::{EhrMode, Odd};
use sim::overlay::{Each, PushKind, Unagreed};
use sim::town::{NAIC, PayerId, Plan, Restriction};
use sim::{Chart, Expectation, Overlay, OverlayRules, Town, TownPlan};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

/// Every so-many-eth encounter of a patient is under a restriction.
const RESTRICT_EVERY: usize = 7;

/// Of a hundred laboratory results, so many are served without their encounter.
const UNLINK_PERCENT: u8 = 15;

/// Every third patient is also covered by somebody nobody has an agreement with.
const UNAGREED_EVERY: usize = 3;

/// What there is to push, a subject a line: encounters, then results, then histories.
pub(crate) const SUBJECTS: &str = "subjects.txt";

/// The patients' restrictions, as a house's table.
pub(crate) const RESTRICTIONS: &str = "restrictions.toml";

/// The word that makes this program an EHR: `--ehr FOLDER ADDRESS MODE PATIENTS INVENTED PLANS DATA CLIENT`.
pub(crate) const WORD: &str = "--ehr";

/// Finished encounters of an invented patient: about a hundred resources.
const ENCOUNTERS: std::ops::RangeInclusive<u32> = 4..=7;

/// Types that no history searches for: what it finds refers to them.
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

/// The other mode's word.
pub(crate) const MINIMUM: &str = "certified-minimum";

/// Serves until the standard input ends.
pub(crate) fn process(words: &[String]) {
    let [folder, address, mode, patients, invented, plans, data, client] = words else {
        panic!("{WORD} FOLDER ADDRESS MODE PATIENTS INVENTED PLANS DATA CLIENT");
    };
    handover::command::start_logging();
    let folder = PathBuf::from(folder);
    let number = |word: &String| word.parse().expect("a number");
    let people = People { charts: number(patients), invented: number(invented) };
    let dressed = Dressed::new(Path::new(data), people, number(plans));
    dressed.write(&folder);
    let chart = dressed.chart;
    let client = PublicFile::parse(&fs::read_to_string(client).expect("a file"), "public.json");
    let clients = [client.expect("a public file")];
    let address: SocketAddr = address.parse().expect("an address");
    // Without the waits it would ask for: they cost no processor time, and much time.
    let minimum = Odd { retry_after_seconds: 0, ..Odd::certified_minimum() };
    let mode = match mode.as_str() {
        MINIMUM => EhrMode::CertifiedMinimum(minimum),
        _ => EhrMode::Full,
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    let ehr = runtime.block_on(async {
        let listener = TcpListener::bind(address).await.expect("a free address");
        let name = "Hospital of the Charts";
        handover::ehr::start_as(mode, &folder, name, &chart, &clients, listener).await
    });
    let ehr = ehr.expect("an EHR");
    drop(chart);
    println!("ready {}", ehr.base_url());
    std::io::stdout().flush().ok();
    std::io::stdin().read_to_end(&mut Vec::new()).ok();
    runtime.block_on(ehr.stop());
}

/// How many patients there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct People {
    /// With a chart of the data.
    pub(crate) charts: usize,
    /// Invented ones beside them.
    pub(crate) invented: usize,
}

/// What the EHR and the plans have.
pub(crate) struct Dressed {
    chart: Chart,
    plans: Vec<Plan>,
    restrictions: Vec<Restriction>,
}

impl Dressed {
    /// The charts with the overlay, and the invented patients beside them: the same bytes each time.
    pub(crate) fn new(data: &Path, people: People, plans: usize) -> Dressed {
        let stranger = Plan {
            name: "Plan Nobody Has An Agreement With".to_owned(),
            payer_id: PayerId { system: NAIC.to_owned(), value: "98765".to_owned() },
            members: Vec::new(),
        };
        let overlay = Overlay {
            plans: handover::ehr::new_plans(plans),
            coverages: Each::All,
            unagreed: Some(Unagreed { plan: stranger, every: UNAGREED_EVERY }),
            unlink_percent: UNLINK_PERCENT,
            restrict_every: Some(RESTRICT_EVERY),
            mark_restricted: true,
            add_summaries: true,
            add_labelled: false,
            add_numbers: false,
        };
        let chart = charts(data, people.charts);
        let overlaid = overlay.apply(&chart, &OverlayRules::usual()).expect("an overlay");
        let (chart, plans) = (overlaid.chart, overlaid.plans);
        let mut dressed = Dressed { chart, plans, restrictions: overlaid.restrictions };
        dressed.join(people.invented);
        dressed
    }

    fn join(&mut self, patients: usize) {
        let plans = self.plans.len();
        let size = TownPlan {
            hospitals: 1,
            plans,
            patients_per_hospital: patients,
            encounters_per_patient: ENCOUNTERS,
        };
        let Some(mut town) = (patients > 0).then(|| Town::generate(1, &size)) else { return };
        let hospital = town.hospitals.remove(0);
        let both = self.chart.iter().chain(hospital.chart.iter()).cloned().collect();
        self.chart = Chart::new(both).expect("no id of both");
        self.restrictions.extend(hospital.restrictions);
        for (plan, other) in self.plans.iter_mut().zip(town.plans) {
            assert_eq!(plan.payer_id, other.payer_id, "the town's plans are these");
            plan.members.extend(other.members);
            plan.members.sort();
        }
    }

    /// The files of the plans and of the house.
    fn write(&self, folder: &Path) {
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
        for plan in &self.plans {
            write(&format!("members-{}.csv", plan.payer_id.value), &plan.member_file());
        }
        write(RESTRICTIONS, &handover::ehr::restrictions_toml(&self.restrictions));
        write(SUBJECTS, &subjects(&self.chart).join("\n"));
    }

    /// How many records the first plan holds when the histories of all were pushed under this agreement,
    /// by the simulator's own judgement, which shares no code with the house's.
    pub(crate) fn expected(&self, agreement: &Agreement) -> usize {
        let permitted: BTreeSet<String> =
            agreement.permit.iter().flat_map(|permit| &permit.types).cloned().collect();
        let searched = permitted.iter().filter(|kind| !NOT_SEARCHED.contains(&kind.as_str()));
        let rules = OverlayRules {
            kinds: vec![PushKind::History],
            history: searched.cloned().collect(),
            opaque: true,
            in_error: true,
            substance_use: true,
            permitted,
            ..OverlayRules::default()
        };
        let rules = rules.with_restrictions(&self.restrictions);
        let expectation = Expectation::compute(&self.chart, &self.plans, &rules);
        expectation.payers.first().map_or(0, |plan| plan.filed.len())
    }
}

/// The charts of so many patients, the smallest first, and what all of them share.
fn charts(data: &Path, patients: usize) -> Chart {
    let files = fs::read_dir(data).expect("a folder of charts").flatten();
    let mut files: Vec<(u64, PathBuf)> =
        files.map(|file| (file.metadata().map_or(0, |meta| meta.len()), file.path())).collect();
    files.sort();
    let is_shared = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("0-"))
    };
    let (shared, own): (Vec<_>, Vec<_>) =
        files.into_iter().map(|(_, path)| path).partition(is_shared);
    // Of a few, those in the middle: the smallest have hardly a chart.
    let skipped = own.len().saturating_sub(patients) / 2;
    let paths = shared.iter().chain(own.iter().skip(skipped).take(patients));
    let paths: Vec<&Path> = paths.map(PathBuf::as_path).collect();
    Chart::load_with(&paths, &LoadPlan::default()).expect("charts").chart
}

fn subjects(chart: &Chart) -> Vec<String> {
    let of = |kind: &str, wanted: &dyn Fn(&Value) -> bool| -> Vec<String> {
        let all = chart.of_kind(kind).iter().filter(|one| {
            serde_json::from_slice::<Value>(&one.bytes).is_ok_and(|value| wanted(&value))
        });
        all.map(|one| one.reference()).collect()
    };
    let finished = of("Encounter", &|value| value["status"] == "finished");
    let results = of("DiagnosticReport", &is_laboratory);
    let patients = of("Patient", &|_| true);
    [finished, results, patients].concat()
}

fn is_laboratory(report: &Value) -> bool {
    let categories = report["category"].as_array().into_iter().flatten();
    let mut codings = categories.flat_map(|one| one["coding"].as_array().into_iter().flatten());
    codings.any(|coding| coding["code"] == "LAB")
}
