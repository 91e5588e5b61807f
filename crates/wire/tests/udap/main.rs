//! UDAP, both sides: what a community's certificate opens, and all that it must not.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod certificates;
mod client;
mod limits;
mod metadata;
mod registration;
mod sent;
mod token;
mod village;
