//! Setup: what a receiving house is told before it starts.
//!
//! Comes in   the configuration, read and checked by the front door.
//! Goes out   plain values.
//! Never      reads a file itself, but for the member file, which people change while the house
//!            runs.

use crate::bulk::FileServer;
use exchange::PartnerId;
use exchange::agreement::Terms;
use exchange::partner::PublicFile;
use std::collections::BTreeMap;

/// Everything about one receiving house.
pub struct Setup {
    /// FHIR base URL of its doors.
    pub base_url: String,
    /// The gateway's version.
    pub version: &'static str,
    /// Senders, by name.
    pub senders: BTreeMap<PartnerId, Sender>,
    /// Called with the name of each durable point when it has been passed; does nothing but in
    /// the test that stops a house there.
    pub passed: fn(&'static str),
}

/// One sender.
pub struct Sender {
    /// Its public file.
    pub public: PublicFile,
    /// What was agreed.
    pub terms: Terms,
    /// How its files are fetched, where a file server is agreed on.
    pub files: Option<FileServer>,
}
