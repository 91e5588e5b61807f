//! Bulk: how fast files of a bulk submission are fetched, read and filed, beside a ceiling.
//!
//! Comes in   `--quick` (100,000 resources), or `--resources N`; a million without.
//! Goes out   a table: resources a second, CPU seconds for each thousand, the last tenth beside the
//!            first, peak memory; for the ceiling, for each stage with those before it, and for all.
//! Never      measures the process that serves the files, nor two runs at once.
//!
//! Each run is a process of its own, so that its CPU time and its peak are its own. The stages are the
//! product's own parts, put together as a worker does: one batch is read while the one before is filed.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // the other bench has members to match
#[path = "../receive/bundles.rs"]
mod bundles;
mod ceiling;
mod files;
#[allow(dead_code)] // the other bench gauges more
#[path = "../receive/gauge.rs"]
mod gauge;
mod serve;
mod stages;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a run did.
pub(crate) struct Done {
    /// When each batch was on the disk, or through the last stage, and how many resources it had.
    pub(crate) batches: Vec<(Duration, u64)>,
}

/// The runs, in the order of the table.
const RUNS: [&str; 5] = ["ceiling", "fetch", "read", "plan", "file"];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", folder] => serve::serve(Path::new(folder)),
        ["run", name, origin, files, folder] => run(name, origin, files, Path::new(folder)),
        ["--quick"] => compare(100_000),
        ["--resources", number] => compare(number.parse().expect("--resources takes a number")),
        [] => compare(1_000_000),
        _ => eprintln!("bulk takes --quick or --resources N"),
    }
}

/// Writes the files, serves them, and has each run done in a process of its own.
fn compare(resources: u64) {
    let folder = tempfile::tempdir().unwrap();
    let written = files::write(folder.path(), resources);
    println!(
        "{} resources in {} files, {:.0} MB, {:.0} MB as gzip; load {}",
        written.resources,
        written.files,
        written.bytes as f64 / 1e6,
        gauge::disk(folder.path()) as f64 / 1e6,
        gauge::load(),
    );
    let (mut server, origin) = start_server(folder.path());
    println!("run      resources/s  CPU s per 1,000  last tenth/first  peak MB");
    for name in RUNS {
        let place = tempfile::tempdir().unwrap();
        let mut child = own();
        child.args(["run", name, &origin, &written.files.to_string()]).arg(place.path());
        assert!(child.status().unwrap().success(), "the run `{name}` ended early");
    }
    server.kill().unwrap();
    server.wait().unwrap();
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
fn run(name: &str, origin: &str, files: &str, folder: &Path) {
    let urls: Vec<String> =
        (0..files.parse().unwrap()).map(|file: u64| format!("{origin}/{file}.ndjson")).collect();
    let (own, begun) = (std::process::id(), Instant::now());
    gauge::forget_peak(own);
    let before = gauge::cpu(&[own]);
    let done = match name {
        "ceiling" => ceiling::run(&urls, folder),
        name => stages::run(name, &urls, folder),
    };
    let (wall, cpu) = (begun.elapsed(), gauge::cpu(&[own]) - before);
    let resources: u64 = done.batches.iter().map(|(_, resources)| resources).sum();
    println!(
        "{name:8} {:11.0}  {:15.4}  {:16.2}  {:7.0}",
        resources as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1_000.0 / resources as f64,
        last_by_first(&done.batches),
        gauge::peak_mb(own),
    );
}

/// How fast the last tenth was, by the first.
fn last_by_first(batches: &[(Duration, u64)]) -> f64 {
    let tenth = (batches.len() / 10).max(1);
    let time = |from: usize, to: usize| {
        let begun = from.checked_sub(1).map_or(Duration::ZERO, |before| batches[before].0);
        batches[to - 1].0 - begun
    };
    let (first, last) = (time(0, tenth), time(batches.len() - tenth, batches.len()));
    first.as_secs_f64() / last.as_secs_f64()
}
