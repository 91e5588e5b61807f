//! The memory: units of work, ledger, record versions, blobs and leases.
//!
//! Comes in   units of work, each complete in itself.
//! Goes out   entries, rows, records and blobs, as they were written.
//! Never      reads a clock or a network service, and knows no rule.

mod house;
pub mod proof;

pub use house::*;
