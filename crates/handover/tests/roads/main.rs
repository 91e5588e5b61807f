//! Goal: what a person is promised holds from one end of both roads to the other.
//!
//! How: houses are real processes of the program, on loopback, over TLS; the EHR is the town's.
//! Nothing is looked at but what the houses say and what lies in their folders.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod first;
mod kinds;
mod mapped;
mod planted;
mod probed;
mod projection;
mod refiled;
mod same_bytes;
mod submitted;
mod suspended;
mod synthea;
mod unmatched;
mod watch;
mod withdraw;
