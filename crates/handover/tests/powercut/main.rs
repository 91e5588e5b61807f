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
mod count;
mod cut;
mod full;
mod layer;
mod load;
mod order;
mod run;

use run::{Lived, Under};
use testdb::Server;

/// Seeds to run: in all tests a few, by `cargo xtask crash` many.
fn seeds() -> Vec<u64> {
    let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    match number("HANDOVER_CRASH_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("HANDOVER_CRASH_SEEDS").unwrap_or(10)).collect(),
    }
}

fn live_all(what: &str, mut live: impl FnMut(u64) -> Lived) {
    let (seeds, mut all) = (seeds(), Lived::default());
    for seed in &seeds {
        println!("seed {seed}, {what}");
        let lived = live(*seed);
        println!("seed {seed}, {what}: {lived:?}");
        all += lived;
    }
    println!("{} seeds, {what}: {all:?}", seeds.len());
    assert!(all.ends > 0 && all.answered > 0);
}

#[test]
fn sqlite_what_was_answered_survives_kills_at_any_moment() {
    live_all("kills", |seed| run::live(seed, Under::Kills));
}

#[test]
fn sqlite_what_was_answered_survives_power_cuts_at_any_moment() {
    if cut::layer().is_some() {
        live_all("power cuts", |seed| run::live(seed, Under::PowerCuts));
    }
}

#[test]
fn postgres_what_was_answered_survives_kills_of_house_and_server() {
    if let Some(mut server) = Server::start() {
        live_all("PostgreSQL", |seed| run::live(seed, Under::Server(&mut server)));
    }
}
