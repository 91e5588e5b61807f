//! Goal: payers that are none of ours can be run, and be delivered to.

mod by_hand;
#[path = "../common/mod.rs"]
mod common;
