//! Goal: whoever types a command is told what is wrong, where, and what to do; scripts get the
//! same in JSON and in the exit code.
//!
//! How: the program itself, run in temporary folders; one row per case.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod demo;
mod directory;
mod errors;
mod onboarding;
mod readme;
mod shapes;
mod tables;
