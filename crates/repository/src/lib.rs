//! The library desk: FHIR search, read, history and transaction semantics over a house's records.
//!
//! Comes in   a house's memory, who asks, and what is asked, already parted from HTTP.
//! Goes out   bytes of resources and Bundles, or an `exchange::Issue`.
//! Never      opens a socket, reads a clock, or shows a record to a partner who does not own it.
//!
//! Why apart from the doors: the receiving house and the simulated EHR answer alike, because they
//! ask the same desk.

mod beneath;
mod capability;
mod desk;
mod elements;
mod everything;
mod filed;
mod filter;
mod include;
mod keys;
mod kinds;
pub mod limits;
mod load;
pub mod lookup;
mod members;
mod page;
mod paging;
mod plan;
mod read;
mod references;
mod rekey;
mod resolve;
mod retention;
mod search;
mod serve;
pub mod snapshot;
pub mod sums;
pub mod suspensions;
pub mod take_out;
mod when;

pub use beneath::{Fate, Fates, put_beneath};
pub use capability::{Description, capability, security};
pub use desk::{Desk, store_issue};
pub use elements::{Elements, Form};
pub use filter::Filter;
pub use include::provenance_of;
pub use keys::{keys, keys_in};
pub use kinds::{about_patients, known};
pub use load::{Loaded, Loader};
pub use members::{Members, members};
pub use plan::{
    Change, EntryOutcome, Filing, Incoming, Plan, Standing, plan_each, plan_transaction,
};
pub use read::{Served, Told, http_date};
pub use rekey::{KEYS_EDITION, Rekeyed, rekey};
pub use resolve::{Resolved, Sent, Whom, resolve};
pub use retention::{Kept, Purging, retain};
pub use serve::serve;
pub use suspensions::Suspensions;
