//! The memory: units of work, ledger, record versions, blobs and leases.
//!
//! Comes in   units of work, each complete in itself.
//! Goes out   entries, rows, records and blobs, as they were written.
//! Never      reads a clock or a network service, and knows no rule.
//!
//! Why one trait and several files under it: a house of one machine needs nothing but a folder,
//! a house of many machines needs a database server; the rooms above cannot tell them apart.

pub mod anchor;
mod any;
mod blob;
mod blocking;
mod checkpoint;
mod column;
mod compare;
mod door;
mod house;
mod keeping;
mod lease;
pub mod limits;
#[cfg(test)]
#[path = "../tests/house/noise.rs"]
mod noise;
mod postgres;
pub mod proof;
mod records;
mod seal;
mod sqlite;
mod tables;
pub mod token;
mod works;

pub use anchor::{Anchor, Grounds, Witness};
pub use any::AnyHouse;
pub use blob::{Blobs, S3Credentials, S3Place};
pub use house::*;
pub use postgres::{PostgresHouse, PostgresPlace};
pub use proof::LedgerKey;
pub use sqlite::SqliteHouse;
