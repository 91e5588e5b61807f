//! Push: what it costs to push charts to two plans, by process and by stop.
//!
//! Comes in   `cargo xtask bench push [--quick] [--patients N] [--mode certified-minimum]
//!            [--queued | --bulk [--invented N]]`; `HANDOVER_DATA` has the charts, `HANDOVER_CHARTS` says how many as
//!            `--patients` does.
//! Goes out   per plan what became of the pushes; in bulk (all histories, to one plan), whether the plan
//!            holds what the simulator's own judgement expects; per process processor time and peak memory; of the
//!            sending house, processor time by stop; what of it all is spent on trust.
//! Never      invents a split: stops are counted by the house's own log (`provider::cost`), threads
//!            by the kernel, and the rest is named as what it is.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../receive/gauge.rs"]
#[allow(dead_code)]
mod gauge;
mod hospital;
mod houses;
mod pushing;
mod threads;
mod trust;

use hospital::{Dressed, People};
use houses::{Houses, Running, Setting, pushes, versions};
use pushing::Told;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use threads::Threads;
use trust::Asked;

/// Patients of a quick run, and of a whole one.
const QUICK: usize = 3;
const ALL: usize = 100;

/// Where the charts are within `HANDOVER_DATA`.
const CHARTS: &str = "synthea-us-core-bundles";

/// What is wanted of a house at most, in MB.
const MEMORY_WANTED: f64 = 150.0;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == hospital::WORD) {
        hospital::process(&words[1..]);
        return ExitCode::SUCCESS;
    }
    if !words.iter().any(|word| word == "--bench") {
        println!("a bench: `cargo xtask bench push` runs it");
        return ExitCode::SUCCESS;
    }
    let Some(setting) = setting(&words) else {
        println!("skipped: HANDOVER_DATA is not set, so there are no charts to push");
        return ExitCode::SUCCESS;
    };
    show(&setting);
    ExitCode::SUCCESS
}

fn setting(words: &[String]) -> Option<Setting> {
    let after = |name: &str| {
        words.iter().position(|word| word == name).and_then(|place| words.get(place + 1))
    };
    let named = std::env::var("HANDOVER_CHARTS").ok();
    let patients = after("--patients").cloned().or(named).and_then(|count| count.parse().ok());
    let usual = if words.iter().any(|word| word == "--quick") { QUICK } else { ALL };
    let data = std::path::PathBuf::from(std::env::var_os("HANDOVER_DATA")?).join(CHARTS);
    let mode = after("--mode").cloned().unwrap_or_else(|| "full".to_owned());
    let is_asked = |name: &str| words.iter().any(|word| word == name);
    let invented = after("--invented").and_then(|count| count.parse().ok()).unwrap_or_default();
    let people = People { charts: patients.unwrap_or(usual), invented };
    Some(Setting { mode, people, data, queued: is_asked("--queued"), bulk: is_asked("--bulk") })
}

/// One process, when all was pushed.
struct Used {
    name: String,
    cpu: Duration,
    peak: f64,
}

fn show(setting: &Setting) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut houses = Houses::start(setting);
    println!(
        "{} patients and {} invented ones, {} subjects, EHR {}{}{}; load of the machine in the last minute: {}\n",
        setting.people.charts,
        setting.people.invented,
        houses.subjects.len(),
        setting.mode,
        if setting.queued { ", all queued at first" } else { "" },
        if setting.bulk { ", histories in bulk" } else { "" },
        gauge::load()
    );
    let begun = Instant::now();
    let running = || [&houses.ehr, &houses.sender].into_iter().chain(&houses.plans);
    let before: Vec<Duration> = running().map(|one| gauge::cpu(&[one.pid()])).collect();
    let threads_before = Threads::of(houses.sender.pid());
    runtime.block_on(pushing::push_all(&houses.operator(), &houses.subjects, setting));
    let wall = begun.elapsed();
    let used = running().zip(before).map(|(one, before)| Used {
        name: one.name.clone(),
        cpu: gauge::cpu(&[one.pid()]).saturating_sub(before),
        peak: gauge::peak_mb(one.pid()),
    });
    let used: Vec<Used> = used.collect();
    let threads = Threads::of(houses.sender.pid()).since(&threads_before);
    let log = houses.sender.stop();
    let told = pushing::by_plan(pushes(&runtime, &houses.sender.folder));
    let mut doors: Vec<String> = houses.plans.iter_mut().map(Running::stop).collect();
    doors.push(houses.ehr.stop());
    let filed: Vec<u64> =
        houses.plans.iter().map(|plan| versions(&runtime, &plan.folder)).collect();
    plans_table(&houses, &told, &filed);
    if setting.bulk {
        let settled = told.values().filter_map(|plan| plan.states.get("settled")).sum::<u64>();
        as_expected(setting, &houses, filed[0], settled);
    }
    let (sent, filed) = (told.values().map(|plan| plan.resources).sum(), filed.iter().sum());
    println!("\nwall {:.1} s; resources sent {sent}, versions filed {filed}\n", wall.as_secs_f64());
    process_table(&used, sent, filed);
    stops_table(&used[1], &threads, &log, sent, filed);
    let at_houses = used[1..].iter().map(|one| one.cpu).sum();
    trust::show(&Asked::of(doors.iter().map(String::as_str)), at_houses);
}

fn plans_table(houses: &Houses, told: &std::collections::BTreeMap<String, Told>, filed: &[u64]) {
    println!("{:16} {:>10} {:>10} | pushes by state", "plan", "sent", "filed");
    for (plan, filed) in houses.plans.iter().zip(filed) {
        let Some(told) = told.get(&plan.name) else { continue };
        let states = told.states.iter().map(|(state, count)| format!("{state} {count}"));
        let states: Vec<String> = states.collect();
        println!("{:16} {:>10} {filed:>10} | {}", plan.name, told.resources, states.join(", "));
    }
}

/// The plan's versions beside what the simulator expects there, and a Provenance of each push.
fn as_expected(setting: &Setting, houses: &Houses, filed: u64, settled: u64) {
    let dressed = Dressed::new(&setting.data, setting.people, setting.plans());
    let expected = dressed.expected(&houses.agreement()) as u64;
    let verdict = if filed == expected + settled { "equal" } else { "NOT EQUAL" };
    println!(
        "\nexpected records {expected}, pushes settled {settled}, versions filed {filed}: {verdict}"
    );
}

fn process_table(used: &[Used], sent: u64, filed: u64) {
    println!(
        "{:34} {:>8} {:>16} {:>17} {:>8}",
        "process", "CPU s", "per 1,000 sent", "per 1,000 filed", "peak MB"
    );
    for one in used {
        let wanted = one.name != "EHR" && one.peak > MEMORY_WANTED;
        let note = if wanted { format!("  above {MEMORY_WANTED:.0}") } else { String::new() };
        println!("{} {:8.0}{note}", row(&one.name, one.cpu, sent, filed), one.peak);
    }
}

fn stops_table(sender: &Used, threads: &Threads, log: &str, sent: u64, filed: u64) {
    println!("\n{:34} {:>8} {:>16} {:>17}", "of the sending house", "CPU s", "sent", "filed");
    let stops = threads::stops(log);
    for (name, cpu) in &stops {
        println!("{}", row(name, *cpu, sent, filed));
    }
    let walked: Duration = stops.iter().map(|(_, cpu)| *cpu).sum();
    let beside = threads.workers.saturating_sub(walked);
    println!("{}", row("workers beside: TLS, HTTP, API", beside, sent, filed));
    for (name, cpu) in &threads.named {
        println!("{}", row(&format!("thread {name}"), *cpu, sent, filed));
    }
    let counted = threads.workers + threads.named.values().sum::<Duration>();
    let rest = sender.cpu.saturating_sub(counted);
    println!("{}", row("threads that block: store, blobs", rest, sent, filed));
    println!("{}", row("all", sender.cpu, sent, filed));
    if walked > threads.workers {
        println!("the stops come to more than the workers' threads: the split does not hold");
    }
}

fn row(name: &str, cpu: Duration, sent: u64, filed: u64) -> String {
    let per = |count: u64| cpu.as_secs_f64() * 1_000.0 / count.max(1) as f64;
    format!("{name:34} {:8.2} {:16.3} {:17.3}", cpu.as_secs_f64(), per(sent), per(filed))
}
