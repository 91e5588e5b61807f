//! Goal: charts of others reach two plans whole, in pushes of all kinds, from an EHR of either mode;
//! again they change nothing; corrected they change what was corrected, and nothing else.
//!
//! How: houses are real processes on loopback; what is to come of the charts is computed by the
//! town's overlay, which shares no code with the houses. `HANDOVER_DATA` names the charts,
//! `HANDOVER_CHARTS` how many patients are pushed; without it a few, so that the test ends soon.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod again;
mod arrive;
mod corrected;
mod outcome;
#[path = "../roads/same_bytes.rs"]
mod same_bytes;
mod scene;
mod stored;
mod watched;
