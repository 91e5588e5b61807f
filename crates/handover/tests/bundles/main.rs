//! Goal: senders that are no house of ours file by R4's own rules: transactions, batches, single
//! records, with and without conditions; all of it, or nothing, or what the specification says.
//!
//! How: a plan as a process of its own, on loopback, over TLS, signed in to; a client that knows
//! HTTP and SMART and nothing else.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../crash/sender.rs"]
#[allow(dead_code, reason = "others use the rest of it")]
mod sender;

mod at_once;
mod faulty;
mod hostile;
mod references;
mod stranger;
mod synthea;
