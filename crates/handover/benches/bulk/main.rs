//! Bulk: how fast files of a bulk submission are fetched, read and filed, beside a ceiling.
//!
//! Comes in   `--quick` (100,000 resources), or `--resources N`; a million without. `--only NAME`: one run.
//! Goes out   a table: resources a second, CPU seconds for each thousand, the last tenth beside the
//!            first, peak memory; for the ceiling, for each stage with those before it, and for all.
//! Never      measures the process that serves the files, nor two runs at once.
//!
//! Each run is a process of its own, so that its CPU time and its peak are its own. The stages are the
//! product's own parts, put together as a worker does: one batch is read while the one before is filed.
//! The last run is the product itself: `handover serve`, asked by `$bulk-submit`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)] // the other bench counts Bundles
#[path = "../receive/bundles.rs"]
mod bundles;
mod ceiling;
mod files;
#[allow(dead_code)] // the other bench gauges more
#[path = "../receive/gauge.rs"]
mod gauge;
#[allow(dead_code)] // the other bench has more houses
#[path = "../receive/house.rs"]
mod house;
mod serve;
mod stages;
mod submitted;

use house::Town;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a run did.
pub(crate) struct Done {
    /// When each batch was on the disk, or through the last stage, and how many resources it had.
    pub(crate) batches: Vec<(Duration, u64)>,
}

/// The runs in a process of this bench, in the order of the table.
const RUNS: [&str; 5] = ["ceiling", "fetch", "read", "plan", "file"];

/// The run that is a house.
const HOUSE: &str = "house";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (words, only) = match words.as_slice() {
        [before @ .., "--only", name] => (before, Some(*name)),
        all => (all, None),
    };
    match words {
        ["serve", folder] => serve::serve(Path::new(folder)),
        ["run", name, origin, parts, folder] => run(name, origin, parts, Path::new(folder)),
        ["--quick"] => compare(100_000, only),
        ["--resources", number] => {
            compare(number.parse().expect("--resources takes a number"), only);
        }
        [] => compare(1_000_000, only),
        _ => eprintln!("bulk takes --quick or --resources N, and --only NAME"),
    }
}

/// Writes the files, serves them, and has each run done in a process of its own.
fn compare(resources: u64, only: Option<&str>) {
    let town = Town::new();
    let folder = tempfile::tempdir().unwrap();
    let written = files::write(folder.path(), resources, &town.namespace);
    println!(
        "{} resources by type, {} files of each, {:.0} MB, {:.0} MB as gzip; load {}",
        written.resources,
        written.parts,
        written.bytes as f64 / 1e6,
        gauge::disk(folder.path()) as f64 / 1e6,
        gauge::load(),
    );
    let (mut server, origin) = start_server(folder.path());
    println!("run      resources/s  CPU s per 1,000  last tenth/first  peak MB");
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    for name in RUNS.into_iter().filter(|name| wanted(name)) {
        let place = tempfile::tempdir().unwrap();
        let mut child = own();
        child.args(["run", name, &origin, &written.parts.to_string()]).arg(place.path());
        assert!(child.status().unwrap().success(), "the run `{name}` ended early");
    }
    if wanted(HOUSE) {
        let manifest = files::manifest(folder.path(), &origin, written.parts);
        let done = submitted::run(&town, &origin, &manifest, written.resources);
        let wall = done.looks.last().map_or(Duration::ZERO, |look| look.0);
        row(HOUSE, written.resources, (wall, done.cpu), tenths(&done.looks), done.peak_mb);
    }
    server.kill().unwrap();
    server.wait().unwrap();
}

fn row(
    name: &str,
    resources: u64,
    (wall, cpu): (Duration, Duration),
    last_by_first: f64,
    peak_mb: f64,
) {
    println!(
        "{name:8} {:11.0}  {:15.4}  {last_by_first:16.2}  {peak_mb:7.0}",
        resources as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1_000.0 / resources as f64,
    );
}

fn own() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

fn start_server(folder: &Path) -> (Child, String) {
    let mut server = own().arg("serve").arg(folder).stdout(Stdio::piped()).spawn().unwrap();
    let mut origin = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut origin).unwrap();
    (server, origin.trim().to_owned())
}

/// One run, in this process.
fn run(name: &str, origin: &str, parts: &str, folder: &Path) {
    let urls = files::urls(origin, parts.parse().unwrap());
    let (own, begun) = (std::process::id(), Instant::now());
    gauge::forget_peak(own);
    let before = gauge::cpu(&[own]);
    let done = match name {
        "ceiling" => ceiling::run(&urls, folder),
        name => stages::run(name, &urls, folder),
    };
    let (wall, cpu) = (begun.elapsed(), gauge::cpu(&[own]) - before);
    let mut resources = 0;
    let looks = done.batches.iter().map(|(at, more)| {
        resources += more;
        (*at, resources)
    });
    let looks: Vec<_> = looks.collect();
    row(name, resources, (wall, cpu), tenths(&looks), gauge::peak_mb(own));
}

/// How fast the last tenth was, by the first: of when so many were through.
fn tenths(looks: &[(Duration, u64)]) -> f64 {
    let all = looks.last().map_or(0, |look| look.1);
    let when = |share: u64| {
        let look = looks.iter().find(|look| look.1 * 10 >= all * share);
        look.map_or((0.0, 0.0), |look| (look.0.as_secs_f64(), look.1 as f64))
    };
    let pace = |from: (f64, f64), to: (f64, f64)| (to.1 - from.1) / (to.0 - from.0);
    // The first look at something is where the first tenth begins.
    let begun = looks
        .iter()
        .find(|look| look.1 > 0)
        .map_or((0.0, 0.0), |look| (look.0.as_secs_f64(), look.1 as f64));
    pace(when(9), when(10)) / pace(begun, when(1))
}
