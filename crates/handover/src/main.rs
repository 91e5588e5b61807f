//! The program `handover`.
//!
//! Comes in   the command line.
//! Goes out   an exit code: 0 done, 1 done but something waits for a person, 2 could not.
//! Never      does anything of its own: see `command`.

use std::process::ExitCode;

fn main() -> ExitCode {
    handover::command::main()
}
