//! Goal: an issue reads the same wherever a person or a program meets it: as text, as JSON, at the
//! door, in `check`, and in the ledger.
//!
//! How: houses as real processes; one thing is spoilt per row.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod command_line;
mod forged;
mod running;
mod said;
