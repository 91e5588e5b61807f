//! Export: what a reader of the plan's own asked to be given, and what it may fetch; and how any export is
//! asked for, by a payer that pulls from a sending house as well (`Asked`, `Level`).
//!
//! Comes in   the lines of one export, in their order.
//! Goes out   where it stands: asked, ready with its files, or ended.
//! Never      a record: files are named by where they begin and end.
//!
//! Bulk Data 2.0.0, export.

pub mod parameters;

use crate::id::Digest;
use crate::ledger::Event;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the files of an export can be fetched: a night's job, and a day to mend what went wrong.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Which records are asked for (Bulk Data 2.0.0: three levels).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Level {
    /// `[base]/$export`.
    System,
    /// `[base]/Patient/$export`.
    Patient,
    /// `[base]/Group/[id]/$export`, with the id.
    Group(String),
}

/// Which Provenance comes along (Bulk Data 2.0.0, `includeAssociatedData`), what gives more behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Associated {
    /// `LatestProvenanceResources`: the latest of each record that is given.
    Latest,
    /// `RelevantProvenanceResources`: all of each record that is given.
    Relevant,
}

impl Associated {
    /// The value of this code. Custom values begin with an underscore, and this house has none.
    pub fn of_code(code: &str) -> Option<Associated> {
        match code {
            "LatestProvenanceResources" => Some(Associated::Latest),
            "RelevantProvenanceResources" => Some(Associated::Relevant),
            _ => None,
        }
    }
}

/// What of a request may name people. It is kept as a content, which goes with the export, and the
/// ledger holds its digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wording {
    /// The URL of the kick-off request, with the parameters that were understood.
    pub request: String,
    /// Logical ids of Patients, sorted: nobody else's records are given (`patient`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patients: Option<Vec<String>>,
    /// `Type?query`: of these types, only what one of its filters finds (`_typeFilter`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
}

/// What was asked, as it was understood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The URL of the kick-off request, with the parameters that were understood; empty where that
    /// stands in its wording.
    pub request: String,
    /// Digest of the `Wording`, where something may name people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wording: Option<Digest>,
    /// The logical id of the Group whose members' records are given, and its version then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<(String, u64)>,
    /// Types, sorted; none: all there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    /// Only what changed after this (`_since`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Only what changed before this (`_until`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// `Type.element` or `element`: what else is not mandatory is left out (`_elements`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<String>,
    /// Which Provenance comes along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub associated: Option<Associated>,
    /// Files are blocks of each Patient's records (`organizeOutputBy`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_patient: bool,
    /// The manifest may be given in pages (`allowPartialManifests`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_pages: bool,
    /// A poll's status is its own, and the export's stands in a header (`separate-export-status`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub status_apart: bool,
    /// Names of parameters that were passed over, because the reader asked for leniency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<String>,
}

/// One file of the manifest: so many records of a type behind one id, up to another; or those of a
/// list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportFile {
    /// Its name, the last part of its URL.
    pub name: String,
    /// Resource type; empty for blocks of records of many types.
    pub kind: String,
    /// Whether it holds deletions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// It begins behind this logical id; none: with the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The logical id of its last record.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub through: String,
    /// Digest of the list of its records, where they were chosen one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Digest>,
    /// Whether its last block goes on in the next file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub goes_on: bool,
    /// Its lines.
    pub count: u64,
}

/// What an export does not give, though somebody may have expected it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beyond {
    /// Members of the Group that are no Patients of this house.
    Members,
    /// Names of records that are referred to, more than are looked up for one export.
    Referred,
}

/// Where an export stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ExportState {
    /// The clock has work: what there is has to be counted.
    Asked,
    /// It can be fetched.
    Ready {
        /// The moment whose records it holds (`transactionTime`).
        as_of: Timestamp,
        /// Until then.
        expires: Timestamp,
        /// In the order of the manifest.
        files: Vec<ExportFile>,
        /// How many records of a type are left out, because the time of their contents is over.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        left_out: BTreeMap<String, u64>,
        /// How much else is not given, by what it is.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        beyond: BTreeMap<Beyond, u64>,
    },
    /// Deleted by its reader, or expired.
    Ended,
}

/// One export: a projection of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its id.
    pub id: String,
    /// The client id of the reader who asked.
    pub reader: String,
    /// What was asked.
    pub asked: Asked,
    /// When.
    pub at: Timestamp,
    /// Where it stands.
    #[serde(flatten)]
    pub state: ExportState,
}

impl Export {
    /// What its first line makes; none where the line is another one.
    pub fn begin(at: Timestamp, event: &Event) -> Option<Export> {
        let Event::ExportAsked { export, reader, asked } = event else { return None };
        let (id, reader, asked) = (export.clone(), reader.clone(), (**asked).clone());
        Some(Export { id, reader, asked, at, state: ExportState::Asked })
    }

    /// What another line makes of it. A file that was fetched leaves it as it is.
    pub fn apply(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::ExportReady { as_of, files, left_out, beyond, .. } => {
                self.state = ExportState::Ready {
                    as_of: *as_of,
                    expires: at.checked_add(KEPT).unwrap_or(at),
                    files: files.clone(),
                    left_out: left_out.clone(),
                    beyond: beyond.clone(),
                };
            }
            Event::ExportEnded { .. } => self.state = ExportState::Ended,
            _ => {}
        }
    }

    /// When the clock has work on it.
    pub fn due(&self) -> Option<Timestamp> {
        match &self.state {
            ExportState::Asked => Some(self.at),
            ExportState::Ready { expires, .. } => Some(*expires),
            ExportState::Ended => None,
        }
    }

    /// `export-asked`, `export-ready` or `export-ended`.
    pub fn state_word(&self) -> &'static str {
        match self.state {
            ExportState::Asked => ASKED,
            ExportState::Ready { .. } => READY,
            ExportState::Ended => "export-ended",
        }
    }
}

/// The state word of an export that is being counted.
pub const ASKED: &str = "export-asked";

/// The state word of an export that can be fetched.
pub const READY: &str = "export-ready";
