//! The receiving house: doors, members, the road from a body at the door to filed records.
//!
//! Comes in   pushes of partners, and readers of what was filed: partners of their own, and platforms
//!            of the plan of all.
//! Goes out   answers after the disk has them; records; held work for a person.
//! Never      shows one sender another's records, or files for a member nobody found.
//!
//! Read `road.rs` first.

mod arrival;
pub mod bulk;
pub mod desk;
pub mod doors;
pub mod exports;
pub mod key;
mod later;
pub mod limits;
mod purposes;
pub mod reader;
pub mod register;
pub mod registrations;
mod response;
pub mod road;
pub mod setup;
mod single;
mod under_way;
pub mod worker;

pub use arrival::row;
pub use desk::Desk;
pub use doors::Doors;
pub use response::Asked;
pub use road::Road;
pub use setup::{Sender, Setup};
