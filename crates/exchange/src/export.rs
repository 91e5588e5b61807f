//! Export: what a reader of the plan's own asked to be given, and what it may fetch.
//!
//! Comes in   the lines of one export, in their order.
//! Goes out   where it stands: asked, ready with its files, or ended.
//! Never      a record: files are named by where they begin and end.
//!
//! Bulk Data 2.0.0, export.

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

/// What was asked, as it was understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The URL of the kick-off request, with the parameters that were understood.
    pub request: String,
    /// Types, sorted; none: all there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    /// Only what changed after this (`_since`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Only what changed before this (`_until`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Names of parameters that were passed over, because the reader asked for leniency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<String>,
}

/// One file of the manifest: so many records of a type behind one id, up to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportFile {
    /// Its name, the last part of its URL.
    pub name: String,
    /// Resource type.
    pub kind: String,
    /// Whether it holds deletions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// It begins behind this logical id; none: with the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The logical id of its last record.
    pub through: String,
    /// Its lines.
    pub count: u64,
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
            Event::ExportReady { as_of, files, left_out, .. } => {
                self.state = ExportState::Ready {
                    as_of: *as_of,
                    expires: at.checked_add(KEPT).unwrap_or(at),
                    files: files.clone(),
                    left_out: left_out.clone(),
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
