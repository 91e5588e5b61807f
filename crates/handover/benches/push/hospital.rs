//! Hospital: the EHR of the bench, in a process of its own.
//!
//! Comes in   where the charts are, how many patients, in which mode, where to listen, who may read.
//! Goes out   the EHR, the plans' member files, the patients' restrictions, and what there is to push.
//! Never      anything of the houses: it knows them by a public file.

use exchange::partner::PublicFile;
use serde_json::Value;
use sim::chart::LoadPlan;
use sim::ehr::{EhrMode, Odd};
use sim::overlay::{Each, Unagreed};
use sim::town::{NAIC, PayerId, Plan};
use sim::{Chart, Overlay, OverlayRules};
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

/// The word that makes this program an EHR: `--ehr FOLDER ADDRESS MODE PATIENTS DATA CLIENT`.
pub(crate) const WORD: &str = "--ehr";

/// The other mode's word.
pub(crate) const MINIMUM: &str = "certified-minimum";

/// Serves until the standard input ends.
pub(crate) fn process(words: &[String]) {
    let [folder, address, mode, patients, data, client] = words else {
        panic!("{WORD} FOLDER ADDRESS MODE PATIENTS DATA CLIENT");
    };
    handover::command::start_logging();
    let folder = PathBuf::from(folder);
    let chart = dress(&folder, Path::new(data), patients.parse().expect("a number"));
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

/// The charts with the overlay; beside them the files of the plans and of the house.
fn dress(folder: &Path, data: &Path, patients: usize) -> Chart {
    let stranger = Plan {
        name: "Plan Nobody Has An Agreement With".to_owned(),
        payer_id: PayerId { system: NAIC.to_owned(), value: "98765".to_owned() },
        members: Vec::new(),
    };
    let overlay = Overlay {
        plans: handover::ehr::new_plans(2),
        coverages: Each::All,
        unagreed: Some(Unagreed { plan: stranger, every: UNAGREED_EVERY }),
        unlink_percent: UNLINK_PERCENT,
        restrict_every: Some(RESTRICT_EVERY),
        mark_restricted: true,
        add_summaries: true,
        add_labelled: false,
        add_numbers: false,
    };
    let chart = charts(data, patients);
    let overlaid = overlay.apply(&chart, &OverlayRules::usual()).expect("an overlay");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
    for plan in &overlaid.plans {
        write(&format!("members-{}.csv", plan.payer_id.value), &plan.member_file());
    }
    write(RESTRICTIONS, &handover::ehr::restrictions_toml(&overlaid.restrictions));
    write(SUBJECTS, &subjects(&overlaid.chart).join("\n"));
    overlaid.chart
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
