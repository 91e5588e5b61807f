//! Goal: what a receiving house refuses, keeps or sets aside it says in the same words at its door,
//! in its ledger and to its own people.
//!
//! How: a plan on a file, its doors behind the real router and gate, partners that sign in.

#![allow(clippy::unwrap_used, missing_docs)]

mod batch;
mod bulk;
mod bulk_aside;
mod bulk_blocks;
mod bulk_hostile;
mod bulk_open;
mod bulk_refused;
mod bulk_withdrawn;
mod bundles;
mod chosen;
mod conditions;
mod desk;
mod exported;
mod faults;
mod files;
mod filing;
mod later;
mod plan;
mod registered;
mod returned;
mod statement;
