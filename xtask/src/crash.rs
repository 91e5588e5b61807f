//! Crash: the crash suite with many seeds.
//!
//! Comes in   the words behind `cargo xtask crash`.
//! Goes out   the tests of `powercut` that they choose, run one after the other, and behind them those
//!            of pushes in parts, which need no database of their own; the exit code.
//! Never      runs other tests, and never takes an unknown word for nothing.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::steps::cargo;

/// Seeds where nobody says how many: some ten minutes for each kind of end.
const SEEDS: u64 = 200;

/// What the suite is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    seeds: u64,
    /// The only one.
    seed: Option<u64>,
    /// Where the house lives, as the tests' names begin; both where it is empty.
    database: &'static str,
}

/// `cargo xtask crash [--seeds N] [--seed S] [--sqlite | --postgres]`.
pub fn run(root: &Path, words: &[&str]) -> ExitCode {
    let wanted = match read(words) {
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let answered = format!("{}what_was_answered_survives", wanted.database);
    let mut suites = vec![("powercut", answered)];
    if wanted.database != "postgres_" {
        suites.push(("crash", "what_goes_in_parts_survives".to_owned()));
    }
    let all = suites.iter().all(|(suite, tests)| live(root, suite, tests, wanted));
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the tests of a suite whose names hold these words; whether all went well.
fn live(root: &Path, suite: &str, tests: &str, wanted: Wanted) -> bool {
    let mut command = Command::new(cargo());
    command.args(["test", "--package", "handover", "--test", suite, "--"]);
    command.args(["--nocapture", "--test-threads", "1", tests]);
    command.env("HANDOVER_CRASH_SEEDS", wanted.seeds.to_string()).current_dir(root);
    match wanted.seed {
        Some(seed) => command.env("HANDOVER_CRASH_SEED", seed.to_string()),
        None => command.env_remove("HANDOVER_CRASH_SEED"),
    };
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("cargo does not start: {error}");
            false
        }
    }
}

fn read(words: &[&str]) -> Result<Wanted, String> {
    let mut wanted = Wanted { seeds: SEEDS, seed: None, database: "" };
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut number = || {
            let number = words.next().and_then(|word| word.parse().ok());
            number.ok_or_else(|| format!("{word} needs a number"))
        };
        match word {
            "--seeds" => wanted.seeds = number()?,
            "--seed" => wanted.seed = Some(number()?),
            "--sqlite" => wanted.database = "sqlite_",
            "--postgres" => wanted.database = "postgres_",
            _ => return Err(format!("unknown word of crash: {word}")),
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_words_are_read() {
        let wanted = |seeds, seed, database| Ok(Wanted { seeds, seed, database });
        let table: [(&[&str], Result<Wanted, String>); 6] = [
            (&[], wanted(200, None, "")),
            (&["--seeds", "7", "--sqlite"], wanted(7, None, "sqlite_")),
            (&["--postgres", "--seed", "3"], wanted(200, Some(3), "postgres_")),
            (&["--seeds"], Err("--seeds needs a number".to_owned())),
            (&["--seed", "x"], Err("--seed needs a number".to_owned())),
            (&["--oracle"], Err("unknown word of crash: --oracle".to_owned())),
        ];
        for (words, expected) in table {
            assert_eq!(read(words), expected, "{words:?}");
        }
    }
}
