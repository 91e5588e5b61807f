//! Goal: whatever keeps a push from its payer is told in the same words by list, show, explain and
//! the ledger, and waits for a person exactly when only a person helps.
//!
//! How: a hospital on a file; its EHR and its payer's door are a network in memory, spoilt in one
//! place per row.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

mod bulk;
mod bulk_header;
mod bulk_manifests;
mod bulk_plan;
mod bulk_status;
mod chart;
mod covered;
mod delivery;
mod desk;
mod directory;
mod documents;
mod door;
mod foreign;
mod gone;
mod hospital;
mod pull;
mod ready;
mod rests;
mod roles;
mod skew;
mod slow;
mod stranger;
mod tables;
mod us_core;
mod usable;
mod watch;
mod watched_results;
