//! `[[directory]]`: where a sending house looks for its payers' endpoints, as `house.toml` says it.
//!
//! Comes in   the tables, in their order.
//! Goes out   the same, typed.
//! Never      asks a directory: `directories` opens them.

use serde::Deserialize;
use std::path::PathBuf;

/// `[[directory]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryFile {
    /// What it is.
    pub kind: DirectoryKind,
    /// As lists call it; its kind, when not given.
    pub name: Option<String>,
    /// FHIR base URL (`national`).
    pub url: Option<String>,
    /// PEM of the authority its certificate comes from (`national`, `configuration`).
    pub authority: Option<PathBuf>,
    /// The folder of the copy (`dump`).
    pub folder: Option<PathBuf>,
    /// Environments that will do; `["prod"]` when not given.
    pub environments: Option<Vec<String>>,
    /// Use cases that will do, the one liked best first.
    pub use_cases: Option<Vec<String>>,
    /// How long an endpoint is used before it is asked again.
    pub expires_hours: Option<u32>,
    /// How long it counts that the directory knows none.
    pub missing_minutes: Option<u32>,
    /// How long beyond that it is used while the directory is away.
    pub stale_days: Option<u32>,
}

/// What a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DirectoryKind {
    /// A FHIR API, as the National Directory has it.
    National,
    /// `.well-known/davinci-configuration` of the payer.
    Configuration,
    /// A copy in a folder.
    Dump,
    /// The partners' public files.
    Pinned,
}

impl DirectoryKind {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            DirectoryKind::National => "national",
            DirectoryKind::Configuration => "configuration",
            DirectoryKind::Dump => "dump",
            DirectoryKind::Pinned => "pinned",
        }
    }
}
