//! Bulk: what two houses agreed on pushes that go as bulk submissions.
//!
//! Comes in   `[bulk]` of an agreement.
//! Goes out   which kinds go so, in whose ways of speaking, and who may fetch the files how.
//! Never      makes a push asynchronous that the agreement does not name: the mode is declared.

use crate::bulk::{Dialect, Submitter};
use crate::limits::{
    SUBMISSION_BYTES_RANGE, SUBMISSION_GATHER_SECONDS_MAX, SUBMISSION_PUSHES_MAX,
    SUBMITTER_CHARS_MAX,
};
use crate::partner::{PublicFile, Role};
use crate::payload::Kind;
use serde::Deserialize;

/// `[bulk]`: pushes that go as bulk submissions (Bulk Data, submit).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BulkTerms {
    /// Kinds that go so, where the form is another one.
    pub kinds: Vec<Kind>,
    /// Whose ways of speaking.
    pub dialect: Dialect,
    /// How files are organised.
    pub organized_by: Organized,
    /// How the payer fetches manifests and files.
    pub access: FileAccess,
    /// What becomes of a push that is too large for a door that answers at once.
    pub too_large: TooLarge,
    /// `submitter`, as the payer knows this house; absent: its namespace.
    pub submitter: Option<Submitter>,
    /// The payer's statement need not list the operation.
    pub assume: bool,
    /// The payer may ask for the histories of its members itself (`$export` at this house's door).
    pub pull: bool,
    /// For how many seconds a submission gathers after nothing more came.
    pub gather_seconds: u32,
    /// Pushes of one submission.
    pub pushes_max: u32,
    /// Pushes of one manifest: a submission with more has several, and the payer is told of one as soon
    /// as it is full.
    pub manifest_pushes_max: u32,
    /// Bytes of one file, as near as whole pushes come to it.
    pub file_bytes_max: u64,
}

/// How NDJSON files are organised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Organized {
    /// A block for each push, behind a header that names the Patient (`outputOrganizedBy`).
    #[default]
    Patient,
    /// A file for each type.
    Type,
}

/// How a payer fetches manifests and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileAccess {
    /// With an access token of this house's token endpoint.
    #[default]
    Token,
    /// By URLs that nobody can guess and that end with the submission (`requiresAccessToken` false).
    Capability,
    /// With a header that comes with the submission and that nobody can guess (`fileRequestHeader`);
    /// it ends with the submission.
    Header,
}

/// What becomes of a push that is too large for a door that answers at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TooLarge {
    /// It waits for a person.
    #[default]
    Hold,
    /// It ends, and a declared asynchronous push goes in its place.
    Bulk,
}

impl Default for BulkTerms {
    fn default() -> BulkTerms {
        BulkTerms {
            kinds: Vec::new(),
            dialect: Dialect::default(),
            organized_by: Organized::default(),
            access: FileAccess::default(),
            too_large: TooLarge::default(),
            submitter: None,
            assume: false,
            pull: false,
            gather_seconds: 5,
            pushes_max: 2_000,
            manifest_pushes_max: 500,
            file_bytes_max: 64_000_000,
        }
    }
}

impl BulkTerms {
    /// Why files may not be organised so for this payer; `None` where they may.
    ///
    /// A house files each push under its number, so that an older one never goes over a newer one and what
    /// was taken back stays so. In files by type no record says which push it is of.
    pub fn misfit(&self, payer: &PublicFile) -> Option<&'static str> {
        let is_house = payer.role == Role::Payer && payer.foreign.is_none();
        (is_house && self.organized_by == Organized::Type).then_some(
            "`organized_by` is `patient` where the payer is a house, as its public file says: in files by \
             type no record says which push it is of, and an older one could go over a newer one; take \
             the line out",
        )
    }
}

/// The first fault: the key below `bulk`, and what is wrong.
pub(super) fn fault(bulk: &BulkTerms) -> Option<(&'static str, String)> {
    if !(1..=SUBMISSION_GATHER_SECONDS_MAX).contains(&bulk.gather_seconds) {
        let detail = format!("`gather_seconds` is 1 to {SUBMISSION_GATHER_SECONDS_MAX}");
        return Some(("gather_seconds", detail));
    }
    if !(1..=SUBMISSION_PUSHES_MAX).contains(&bulk.pushes_max) {
        return Some(("pushes_max", format!("`pushes_max` is 1 to {SUBMISSION_PUSHES_MAX}")));
    }
    if !(1..=SUBMISSION_PUSHES_MAX).contains(&bulk.manifest_pushes_max) {
        let detail = format!("`manifest_pushes_max` is 1 to {SUBMISSION_PUSHES_MAX}");
        return Some(("manifest_pushes_max", detail));
    }
    if !SUBMISSION_BYTES_RANGE.contains(&bulk.file_bytes_max) {
        let (from, to) = (SUBMISSION_BYTES_RANGE.start(), SUBMISSION_BYTES_RANGE.end());
        return Some(("file_bytes_max", format!("`file_bytes_max` is {from} to {to}")));
    }
    let good = |text: &str| !text.trim().is_empty() && text.len() <= SUBMITTER_CHARS_MAX;
    match &bulk.submitter {
        Some(Submitter { system, value })
            if !good(value) || system.as_deref().is_some_and(|system| !good(system)) =>
        {
            let detail = format!(
                "`submitter` has a `value`, and most have a `system`, of at most \
                 {SUBMITTER_CHARS_MAX} characters"
            );
            Some(("submitter", detail))
        }
        _ => None,
    }
}
