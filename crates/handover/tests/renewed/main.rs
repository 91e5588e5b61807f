//! Goal: keys and certificates are renewed while two houses exchange, and nobody notices but those who
//! hold what is old.
//!
//! How: both houses are real processes of the program, on loopback, over TLS. Pushes go on from the
//! first step of the first rotation until behind the last.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod asked;
mod load;
