//! Goal: whatever a foreign payer's server can do and however it fails, nothing of a push arrives
//! twice, nothing is lost, everything ends settled or held with its reason and its deadline, and
//! the lanes of other payers go on.
//!
//! How: a sending house in this process, with a clock that is moved, an EHR and two payers' servers
//! on loopback: one of each profile with a fault at a chosen request, and one in good order.

mod accepted;
mod by_hand;
mod chart;
#[path = "../common/mod.rs"]
mod common;
mod hospital;
mod later;
mod matrix;
