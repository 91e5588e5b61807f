//! The carriage as a whole: sign-in, the router, and the network, against real TLS on loopback.
//!
//! Comes in   invented partners, hostile tokens, broken connections.
//! Goes out   what each of them gets, and that everybody else is served on.
//! Never      a sleep, a fixed port, a network beyond loopback, or a person's data.

#![allow(clippy::unwrap_used, clippy::panic)]

mod asked;
mod fetched;
mod fetched_signed;
mod file_server;
mod files;
mod introduced;
mod key_sets;
mod mutual;
mod network;
mod partner;
mod rates;
mod renewed;
mod router;
mod shape;
mod sign_in;
mod suspended;
mod told;
mod town;
mod untaken;
