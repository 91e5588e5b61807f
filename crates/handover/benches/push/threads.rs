//! Threads: processor time of a house's threads, and of its stops.
//!
//! Comes in   a process id; what the house wrote into its log when it ended.
//! Goes out   time of the threads that run the house's work, of those that have a name of their own,
//!            and of each stop.
//! Never      guesses: a thread that has ended, or that only waits for disks, is what is left of the
//!            process's time.

use handover::limits::WORKER_THREADS;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// How tokio calls all its threads, those that may block among them.
const TOKIO: &str = "tokio-rt-worker";

/// Processor time of threads.
#[derive(Default)]
pub(crate) struct Threads {
    /// Those that run the house's work: the first that tokio started.
    pub(crate) workers: Duration,
    /// Those with a name of their own, and the first of the process.
    pub(crate) named: BTreeMap<String, Duration>,
}

impl Threads {
    /// As they are now.
    pub(crate) fn of(pid: u32) -> Threads {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
            return Threads::default();
        };
        let ids = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse::<u32>().ok());
        let mut ids: Vec<u32> = ids.collect();
        ids.sort_unstable();
        let mut threads = Threads::default();
        let mut workers = 0;
        for id in ids {
            let place = format!("/proc/{pid}/task/{id}");
            let name = fs::read_to_string(format!("{place}/comm")).unwrap_or_default();
            let time = time(&place).unwrap_or_default();
            match name.trim() {
                TOKIO if workers < WORKER_THREADS => {
                    workers += 1;
                    threads.workers += time;
                }
                TOKIO => {}
                name => *threads.named.entry(name.to_owned()).or_default() += time,
            }
        }
        threads
    }

    /// What has been added since.
    pub(crate) fn since(self, before: &Threads) -> Threads {
        let named = self.named.into_iter().map(|(name, time)| {
            let earlier = before.named.get(&name).copied().unwrap_or_default();
            (name, time.saturating_sub(earlier))
        });
        Threads { workers: self.workers.saturating_sub(before.workers), named: named.collect() }
    }
}

/// Nanoseconds on a processor (`proc(5)`, schedstat).
fn time(place: &str) -> Option<Duration> {
    let text = fs::read_to_string(format!("{place}/schedstat")).ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// Time of each stop, in the order of the road, as the house told it.
pub(crate) fn stops(log: &str) -> Vec<(String, Duration)> {
    let value = |line: &str, name: &str| -> Option<String> {
        let (_, rest) = line.split_once(&format!("{name}="))?;
        Some(rest.split_whitespace().next()?.trim_matches('"').to_owned())
    };
    let lines = log.lines().filter_map(|line| {
        let micros = value(line, "cpu_us")?.parse().ok()?;
        Some((value(line, "stop")?, Duration::from_micros(micros)))
    });
    lines.collect()
}
