//! Goal: EHRs and payers that we did not write are read and pushed to as our own are; what they
//! cannot do is told, never passed over. Clients that we did not write sign in at our doors.
//!
//! How: sekmet-fhir, @medplum/fhir-router and what signs by other libraries as processes on loopback,
//! houses as processes. What stands in docs/INTEROP.md was seen here. What is not installed is
//! skipped with one line.

mod as_ehr;
mod as_payer;
#[path = "../common/mod.rs"]
mod common;
mod others;
mod signs_in;
mod submits;
