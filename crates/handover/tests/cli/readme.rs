//! Goal: the README's "Two houses of your own" works as it is printed.
//!
//! How: the block is taken out of the README and run by bash in an empty folder; only its ports
//! are changed, since others may be using them.

#![allow(clippy::unwrap_used)]

use crate::common::free_address;
use std::path::Path;
use std::process::Command;

const HEADING: &str = "## Two houses of your own";

/// The ports of the block, as it is printed.
const PORTS: [&str; 3] = ["8443", "8444", "9443"];

fn block() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    let (_, after) = text.split_once(HEADING).expect("the README has the heading");
    // The first block builds the program, which the test has done already.
    let (_, after) = after.split_once("```sh\n").expect("a block builds the program");
    let (_, fenced) = after.split_once("```sh\n").expect("a block follows it");
    let (block, _) = fenced.split_once("```").expect("the block ends");
    block.to_owned()
}

#[test]
fn two_houses_of_your_own_work_as_printed() {
    let told = as_printed(block());
    for word in [
        "Nothing would stop a push.",
        "travels",
        "settled, filed",
        "Results and observations",
        "pushes: 2 settled",
        "settled to sunrise",
        "0 deletions and 0 messages",
        "Observation",
        "settled, filed; withdrawn",
        "The ledger verifies",
    ] {
        assert!(told.contains(word), "the block shows no {word:?}:\n{told}");
    }
}

/// Runs a block in an empty folder, on ports that are free; what it says.
pub(crate) fn as_printed(mut script: String) -> String {
    for port in PORTS {
        let printed = format!("127.0.0.1:{port}");
        assert!(script.contains(&printed), "the block uses port {port}");
        script = script.replace(&printed, &free_address().to_string());
    }
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_handover"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    // Whatever happens, nothing that the block has started stays.
    let script = format!("trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n{script}");
    let output = Command::new("timeout")
        .args(["120", "bash", "-euo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env_remove("HANDOVER_HOUSE")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{wrong}");
    format!("{told}\n{wrong}")
}
