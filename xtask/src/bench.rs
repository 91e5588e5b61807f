//! Bench: runs a bench in release, with the words it was given.
//!
//! Comes in   the root of the repository; `--quick`, `--ten-million`, `--crowd`, `--only WORD…`, or
//!            `--instructions`; `push` with `--quick`, `--patients N`, `--mode MODE`, `--bulk`,
//!            `--invented N`; or `bulk` with `--quick`
//!            or `--resources N`.
//! Goes out   the tables of `crates/handover/benches`, and the exit code of the bench.
//! Never      measures a debug build.

use std::path::Path;
use std::process::{Command, ExitCode};

/// `cargo xtask bench`.
pub fn run(root: &Path, words: &[&str]) -> ExitCode {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let name = match words {
        ["--instructions"] => "instructions",
        ["push", ..] => "push",
        ["bulk", ..] => "bulk",
        _ => "receive",
    };
    let words = words.iter().filter(|word| !["--instructions", "push", "bulk"].contains(*word));
    let bench = ["bench", "--package", "handover", "--bench", name, "--"];
    let status = Command::new(cargo).args(bench).args(words).current_dir(root).status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo does not start: {error}");
            ExitCode::FAILURE
        }
    }
}
