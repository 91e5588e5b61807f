//! Goal: many processes share a house in PostgreSQL, and nobody outside can tell.

#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;

mod three;
