//! Goal: what a payer's house has answered with 2xx is there, once and whole, whatever ends it; of
//! what it has not answered, all is there or nothing.
//!
//! How: the house is a real process of the program. Eight clients keep their own count of what they
//! were told. The house is killed, or the power under it is cut, at moments that a seed draws, again
//! and again in one folder; after each start its memory is compared with the count.
//!
//! `HANDOVER_CRASH_SEEDS` says how many seeds (10), `HANDOVER_CRASH_SEED` names the only one.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../crash/sender.rs"]
#[allow(dead_code)]
mod sender;

mod chance;
mod cut;
mod layer;
