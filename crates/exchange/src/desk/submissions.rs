//! What people ask about the bulk submissions of a sending house, and what they are told.
//!
//! Comes in   JSON of `POST /api/submission`, or the same from the command line.
//! Goes out   one row per submission; the story of one.
//! Never      a patient, or a URL that is a right to fetch files.

use super::{IssueWords, TimelineRow};
use crate::id::PartnerId;
use crate::ledger::Who;
use crate::sending::outcomes::BackOf;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A command about bulk submissions, as `{"command": "submission", "do": "stop", …}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SubmissionCommand {
    /// Those there are, newest first.
    List {
        /// At most so many.
        #[serde(default)]
        limit: Option<u32>,
    },
    /// One of them, with its story.
    Show {
        /// Its id, or the start of it.
        id: String,
    },
    /// Those that gather pushes gather no more: whoever asked for many has asked for the last one.
    Close {
        /// Who says so.
        who: Who,
    },
    /// It is to be stopped, and what the payer loaded of it is to go.
    Stop {
        /// Its id, or the start of it.
        id: String,
        /// Who decides, why.
        who: Who,
    },
    /// All that is held of it goes on: each push on its own way, with others again where the agreement says so.
    Release {
        /// Its id, or the start of it.
        id: String,
        /// Who decides, why.
        who: Who,
    },
    /// Where the pushes of these triggers stand.
    Pushes {
        /// At most a hundred.
        triggers: Vec<String>,
    },
}

/// To `submission`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionsTold {
    /// One per submission.
    pub rows: Vec<SubmissionRow>,
    /// To `show`: what happened to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelineRow>,
    /// To `release`: how many pushes go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<u64>,
}

/// A bulk submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionRow {
    /// Its id, as the payer knows it.
    pub id: String,
    /// The payer.
    pub payer: PartnerId,
    /// `open`, `offered`, `completed`; then `settled`, `failed`, `stopped` or `empty`; at last `over`.
    pub state: String,
    /// When its first push came.
    pub opened: Timestamp,
    /// When something happens to it next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// Pushes, so far.
    pub pushes: u64,
    /// Resources of all its files.
    pub resources: u64,
    /// Files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// What the payer has said while it is at work: files of outcomes, and errors that it counts in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partly: Option<(u64, u64)>,
    /// Files of resources that the payer gives back, and of deletions that it asks for.
    #[serde(default, skip_serializing_if = "BackOf::is_empty")]
    pub back: BackOf,
    /// Why it waits, or failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<IssueWords>,
}
