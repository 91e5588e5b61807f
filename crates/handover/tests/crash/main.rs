//! Goal: whatever happens to a house, its records are those of a day on which nothing happened.
//!
//! How: both houses are real processes of the program, on loopback, over TLS. They are ended by
//! SIGKILL, lied to by their partners, pushed by many at once, and their folders are tampered with.
//! Then what lies in the folders is compared with what should.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod apart;
mod away;
mod crowd;
mod day;
mod deferred;
mod door;
mod exported;
mod malformed;
mod offered;
mod outcome;
mod parts;
mod points;
mod pulled;
mod repeated;
mod sender;
mod sideways;
mod standin;
mod submitted;
mod tampered;
mod uninvited;
#[path = "../foreign/chart.rs"]
#[allow(dead_code)]
mod visits;
mod watched;
