//! Receive: how fast a receiving house takes Bundles, beside the least that the machine needs.
//!
//! Comes in   `cargo xtask bench [--quick] [--ten-million] [--only WORDS]`, or `--crowd`.
//! Goes out   two tables of one run: the receive path over HTTPS and HTTP with Bundles of 1, 50 and
//!            500 resources and 1, 8 and 64 clients, each beside its ceiling; and the same house
//!            with nothing, 100 thousand and a million records in it.
//! Never      compares runs: read ratios within one table, and CPU seconds. Bounded in count and
//!            time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bundles;
mod ceiling;
mod crowd;
mod fill;
mod gauge;
mod house;
mod load;

use bundles::Series;
use house::{Database, Scheme, Town};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

const SIZES: [usize; 3] = [1, 50, 500];
const CLIENTS: [usize; 3] = [1, 8, 64];

/// Bounds of one cell, and of the whole.
#[derive(Debug, Clone)]
struct Bounds {
    /// No cell lasts longer.
    time: Duration,
    /// No cell files more resources.
    resources: u64,
    /// Records in the house for the second table.
    filled: Vec<u64>,
    /// Only cells whose line contains all of these words.
    only: Vec<String>,
}

impl Bounds {
    fn read(words: &[String]) -> Bounds {
        let has = |word: &str| words.iter().any(|found| found == word);
        let quick = has("--quick");
        let (time, resources) = if quick { (1_500, 24_000) } else { (5_000, 150_000) };
        let mut filled = if quick { vec![0, 20_000] } else { vec![0, 100_000, 1_000_000] };
        if has("--ten-million") {
            filled.push(10_000_000);
        }
        // Cargo adds a word of its own at the end.
        let only = words.iter().filter(|word| *word != "--bench");
        let only = only.skip_while(|word| *word != "--only").skip(1);
        Bounds {
            time: Duration::from_millis(time),
            resources,
            filled,
            only: only.cloned().collect(),
        }
    }

    /// How many Bundles of this size a cell brings at most. Small ones are bounded by time.
    fn bundles(&self, size: usize) -> u64 {
        (self.resources / size as u64).clamp(1, 12_000)
    }

    fn wants(&self, line: &str) -> bool {
        self.only.iter().all(|word| line.contains(word.as_str()))
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some(CEILING) => return ceiling_process(&words[1..]),
        Some(crowd::WORD) => {
            crowd::process(&words[1..]);
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if !words.iter().any(|word| word == "--bench") {
        println!("a bench: `cargo xtask bench` runs it");
        return ExitCode::SUCCESS;
    }
    let bounds = Bounds::read(&words);
    let town = Town::new();
    if words.iter().any(|word| word == "--crowd") {
        crowd::show(&town);
        return ExitCode::SUCCESS;
    }
    println!("load of the machine in the last minute: {}\n", gauge::load());
    first_table(&bounds, &town);
    second_table(&bounds, &town);
    println!("\nload of the machine in the last minute: {}", gauge::load());
    ExitCode::SUCCESS
}

fn series(namespace: &str, resources: usize) -> Series {
    Series { namespace: namespace.to_owned(), resources, name: "r" }
}

/// One row of a table.
struct Line {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    memory: f64,
    disk: f64,
}

fn per_thousand(cpu: Duration, resources: u64) -> f64 {
    cpu.as_secs_f64() * 1_000.0 / resources.max(1) as f64
}

fn first_table(bounds: &Bounds, town: &Town) {
    println!(
        "{:28} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7} | {:>8} {:>9} {:>6}",
        "database door  size clients",
        "res/s",
        "p50 ms",
        "p99 ms",
        "CPU s/1k",
        "MB",
        "B/B",
        "ceiling",
        "CPU s/1k",
        "share"
    );
    for database in town.databases() {
        for size in SIZES {
            for clients in CLIENTS {
                let mut ceiling = None;
                for scheme in [Scheme::Https, Scheme::Http] {
                    let name = cell_name(database, scheme, size, clients);
                    if !bounds.wants(&name) {
                        continue;
                    }
                    let (top, top_cpu) = *ceiling
                        .get_or_insert_with(|| ask_ceiling(bounds, town, database, size, clients));
                    let line = cell(bounds, town, database, scheme, size, clients);
                    println!(
                        "{name:28} {:8.0} {:8.1} {:8.1} {:9.3} {:7.0} {:7.2} | {top:8.0} \
                         {top_cpu:9.3} {:5.0}%",
                        line.rate,
                        line.p50,
                        line.p99,
                        line.cpu,
                        line.memory,
                        line.disk,
                        100.0 * line.rate / top
                    );
                }
            }
        }
    }
}

fn cell_name(database: Database, scheme: Scheme, size: usize, clients: usize) -> String {
    format!("{:8} {:5} {size:5} {clients:7}", database.name(), scheme.name())
}

/// A fresh house, its clients, its end.
fn cell(
    bounds: &Bounds,
    town: &Town,
    database: Database,
    scheme: Scheme,
    size: usize,
    clients: usize,
) -> Line {
    let bundles = series(&town.namespace, size).bundles(0, bounds.bundles(size));
    let mut house = town.house(scheme, database);
    house.serve();
    let done = load::run(&house, bundles, clients, bounds.time);
    let memory = gauge::peak_mb(house.pid());
    house.stop();
    let resources = done.bundles * size as u64;
    assert!(house.versions() >= resources, "what was answered 200 is there");
    line(&done, size, memory, house.disk() as f64 / done.bytes.max(1) as f64)
}

fn line(done: &load::Done, size: usize, memory: f64, disk: f64) -> Line {
    let resources = done.bundles * size as u64;
    Line {
        rate: resources as f64 / done.wall.as_secs_f64(),
        p50: gauge::quantile(&done.times, 0.50),
        p99: gauge::quantile(&done.times, 0.99),
        cpu: per_thousand(done.cpu, resources),
        memory,
        disk,
    }
}

/// The same house as it fills: 50 resources, 8 clients, HTTPS.
fn second_table(bounds: &Bounds, town: &Town) {
    const SIZE: usize = 50;
    const EIGHT: usize = 8;
    println!(
        "\n{:8} {:>10} {:>8} {:>8} {:>8} {:>9} {:>7} | {:>8} {:>8}",
        "database", "records", "res/s", "p50 ms", "p99 ms", "CPU s/1k", "MB", "rate", "p99"
    );
    for database in town.databases() {
        if !bounds.wants(&format!("{} filled", database.name())) {
            continue;
        }
        let mut house = town.house(Scheme::Https, database);
        let (mut held, mut from, mut empty) = (0, 0, None);
        for filled in &bounds.filled {
            if *filled > held {
                fill::fill(&house, &town.namespace, held, *filled);
                held = *filled;
            }
            let count = bounds.bundles(SIZE);
            let bundles = series(&town.namespace, SIZE).bundles(from, count);
            from += count;
            house.serve();
            let done = load::run(&house, bundles, EIGHT, bounds.time);
            let memory = gauge::peak_mb(house.pid());
            house.stop();
            let line = line(&done, SIZE, memory, 0.0);
            let (rate, p99) = *empty.get_or_insert((line.rate, line.p99));
            println!(
                "{:8} {filled:10} {:8.0} {:8.1} {:8.1} {:9.3} {:7.0} | {:7.0}% {:7.0}%",
                database.name(),
                line.rate,
                line.p50,
                line.p99,
                line.cpu,
                line.memory,
                100.0 * line.rate / rate,
                100.0 * line.p99 / p99
            );
        }
    }
}

// ---- the ceiling, in a process of its own -------------------------------------------------------

const CEILING: &str = "--ceiling";

/// So many times the Bundles of a cell.
const CEILING_MORE: u64 = 3;

/// Resources a second and CPU seconds per 1,000 of them.
fn ask_ceiling(
    bounds: &Bounds,
    town: &Town,
    database: Database,
    size: usize,
    clients: usize,
) -> (f64, f64) {
    let me = std::env::current_exe().expect("this program");
    let (size, clients) = (size.to_string(), clients.to_string());
    // It is faster: with as many, it would be done before the disk has to keep up.
    let count = (CEILING_MORE * bounds.bundles(size.parse().expect("a number"))).to_string();
    let time = bounds.time.as_millis().to_string();
    let base = match database {
        Database::Sqlite => None,
        Database::Postgres => town.base(),
    };
    let url = base.as_ref().map_or("", |(_, url)| url);
    let name = database.name();
    let words = [CEILING, name, &town.namespace, &size, &clients, &count, &time, url];
    let before = town.server_cpu(database);
    let output = Command::new(me).args(words).stdin(Stdio::null()).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(|word| word.parse::<f64>());
    let mut number = || numbers.next().and_then(Result::ok);
    match (number(), number(), number()) {
        (Some(rate), Some(cpu), Some(resources)) => {
            let server = town.server_cpu(database).saturating_sub(before);
            (rate, cpu + per_thousand(server, resources as u64))
        }
        _ => panic!("no ceiling: {text} {}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn ceiling_process(words: &[String]) -> ExitCode {
    let [database, namespace, size, clients, count, time, url] = words else {
        return ExitCode::from(2);
    };
    let number = |word: &String| word.parse::<usize>().expect("a number");
    let bundles = series(namespace, number(size)).bundles(0, number(count) as u64);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (me, limit) = (std::process::id(), Duration::from_millis(number(time) as u64));
    let before = gauge::cpu(&[me]);
    let done = match database.as_str() {
        "sqlite" => ceiling::sqlite(folder.path(), &bundles, number(clients), limit),
        "postgres" => ceiling::postgres(url, &bundles, number(clients), limit),
        _ => return ExitCode::from(2),
    };
    let cpu = gauge::cpu(&[me]).saturating_sub(before);
    let rate = done.resources as f64 / done.wall.as_secs_f64();
    println!("{rate} {} {}", per_thousand(cpu, done.resources), done.resources);
    ExitCode::SUCCESS
}
