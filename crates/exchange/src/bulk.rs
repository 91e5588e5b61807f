//! Bulk: the words of Bulk Submit that both houses share (Bulk Data 4.0.0-ballot, and the draft before it).
//!
//! Comes in   Parameters, manifests and files of OperationOutcomes, as partners write them.
//! Goes out   what they say; and the same, written in the dialect a partner's door speaks.
//! Never      knows where a submission stands: that is each house's own.
//!
//! Why dialects: the ballot changed names and codes of the draft that the first programs speak. All of
//! them are read alike; what is written is what the partner is known to read.

pub mod block;
pub mod manifest;
mod members;
pub mod outcome;
pub mod receipt;
pub mod received;
pub mod request;
pub mod status;

use serde::{Deserialize, Serialize};

pub use block::Header;
pub use manifest::{File, Manifest};
pub use outcome::{Counts, Told, Whom};
pub use request::{ManifestRef, StatusRequest, SubmitRequest};
pub use status::{StatusFile, StatusManifest};

/// The media type of all files.
pub const NDJSON: &str = "application/fhir+ndjson";

/// How else clients spell it (Bulk Data 2.0.0, `_outputFormat`).
pub const NDJSON_SPELLINGS: [&str; 3] = [NDJSON, "application/ndjson", "ndjson"];

/// The scope of `$bulk-submit`, its status, its polls and its status files (Bulk Submit, Privacy and
/// Security Considerations).
pub const SCOPE: &str = "system/bulk-submit";

/// Which Bulk Submit a partner speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Bulk Data 4.0.0-ballot.
    #[default]
    Ballot,
    /// The Argonaut draft of 2025: `complete`, `aborted`, URLs as `valueString`, `error` for `outcome`.
    Argonaut,
}

/// Who submits: an identifier that the Data Consumer gave out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Submitter {
    /// `Identifier.system`; some have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// `Identifier.value`.
    pub value: String,
}

impl std::fmt::Display for Submitter {
    /// `system|value`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}|{}", self.system.as_deref().unwrap_or_default(), self.value)
    }
}

/// What the submitter says of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubmissionStatus {
    /// More requests are to come.
    InProgress,
    /// No more are.
    Completed,
    /// It is invalid: what was loaded of it goes.
    Stopped,
}

/// The system of the ballot's codes.
const EVENT_STATUS: &str = "http://hl7.org/fhir/event-status";

/// What the draft gives as the system of its codes.
const DRAFT_STATUS: &str = "http://hl7.org/fhir/uv/bulkdata/ValueSet/submission-status";

impl SubmissionStatus {
    /// Reads a code of either dialect.
    pub fn of(code: &str) -> Option<SubmissionStatus> {
        match code {
            "in-progress" => Some(SubmissionStatus::InProgress),
            "completed" | "complete" => Some(SubmissionStatus::Completed),
            "stopped" | "aborted" => Some(SubmissionStatus::Stopped),
            _ => None,
        }
    }

    /// Its code in a dialect.
    pub fn code(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (SubmissionStatus::InProgress, _) => "in-progress",
            (SubmissionStatus::Completed, Dialect::Ballot) => "completed",
            (SubmissionStatus::Completed, Dialect::Argonaut) => "complete",
            (SubmissionStatus::Stopped, Dialect::Ballot) => "stopped",
            (SubmissionStatus::Stopped, Dialect::Argonaut) => "aborted",
        }
    }
}
