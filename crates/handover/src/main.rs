//! The program `handover`.
//!
//! Comes in   the command line.
//! Goes out   an exit code: 0 done, 1 done but something waits for a person, 2 could not.
//! Never      does anything of its own: see `command`.

use std::process::ExitCode;

/// The system's allocator gives memory back to the system, and takes it again, with nearly every
/// Bundle: a call of the system for each resource filed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    handover::command::main()
}
