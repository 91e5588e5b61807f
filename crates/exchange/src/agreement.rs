//! Agreement: what two houses have agreed, as data.
//!
//! Comes in   the text of one TOML file per partner.
//! Goes out   a typed agreement, or an issue that names line and suggestion.
//! Never      guesses: an unknown key, type or rule is an error.
//!
//! Why data and not code: a privacy officer must be able to read what may travel, and a change
//! of a rule must not be a change of the program.

mod bulk;
mod conditions;
mod content;
mod reading;
mod rules;
mod sense;
mod shipped;
mod terms;

#[cfg(test)]
mod tests;

pub use crate::tomlfile::toml_issue;
pub use bulk::{BulkTerms, FileAccess, Organized, TooLarge};
pub use conditions::{Around, Visits};
pub use content::{HistoryContent, Readiness, Wait};
pub use rules::{CutRule, ElementCondition, Opaque, Permit, Place, Withhold};
pub use shipped::{DEFAULT_VALUE_SETS, default_text, default_value_set};
pub use terms::{ASYNC, PULL, Permitted, Terms, Unpermitted};

use crate::id::PartnerId;
use crate::ladder::DoorTerms;
use crate::payload::Kind;
use crate::purpose::{Level, Purpose};
use crate::usability::FindingCode;
use serde::Deserialize;

/// One partner's agreement. The sending house reads all of it; the receiving house needs
/// `partner`, `purposes`, `kinds`, `unmatched` and, when it narrows types, `permit`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// The partner's name: its public file is `partners/<name>.json`.
    pub partner: PartnerId,
    /// Purposes the partner may be sent data for; the first is the default.
    pub purposes: Vec<Purpose>,
    /// `sync`, or `async` for bulk submissions: declared, and repeated on every push.
    #[serde(default = "sync")]
    pub mode: String,
    /// How a push goes.
    #[serde(default)]
    pub form: Form,
    /// Sending: how far down the ladder a push may go, where the form is `best`.
    #[serde(default)]
    pub door: DoorTerms,
    /// Sending: pushes that go as bulk submissions; absent: none do.
    pub bulk: Option<BulkTerms>,
    /// Which word of the payer settles a push.
    #[serde(default = "filed")]
    pub settled_by: Level,
    /// Hours from the trigger until the push must be settled.
    #[serde(default = "deadline_hours")]
    pub deadline_hours: u32,
    /// Sending: requests a minute that the payer's door is to get from this house, all its
    /// processes together; absent: as many as it takes.
    pub requests_per_minute: Option<u32>,
    /// Receiving: what becomes of a push whose member is not found.
    #[serde(default)]
    pub unmatched: Unmatched,
    /// How long contents are kept; absent: for ever.
    pub retention: Option<Retention>,
    /// Sending: identifiers of the payer by which a Coverage's payor names it.
    #[serde(default)]
    pub payer_identifiers: Vec<PayerIdentifier>,
    /// Sending: whether it is pushed to where its coverage comes after another one.
    #[serde(default = "secondary")]
    pub secondary: bool,
    /// Sending: what is asked of the source for an encounter.
    #[serde(default)]
    pub encounter: EncounterContent,
    /// Sending: kinds of pushes that may be sent; absent: all.
    #[serde(default = "content::kinds")]
    pub kinds: Vec<Kind>,
    /// Sending: how far a history goes.
    #[serde(default)]
    pub history: HistoryContent,
    /// Sending: when an encounter's record goes.
    #[serde(default)]
    pub readiness: Readiness,
    /// Sending: what becomes of documents that cannot be looked into.
    #[serde(default)]
    pub opaque: Opaque,
    /// What may travel. A resource that no permit names stays.
    #[serde(default)]
    pub permit: Vec<Permit>,
    /// What stays although a permit names it.
    #[serde(default)]
    pub withhold: Vec<Withhold>,
    /// Elements that stay although their resource travels.
    #[serde(default)]
    pub cut: Vec<CutRule>,
    /// Sending: what is to become of pushes that the payer cannot use.
    #[serde(default)]
    pub usability: Usability,
}

/// What is to become of pushes in which something is not usable for their purpose.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usability {
    /// Findings that hold a push for a person before it is sent; all others are only told.
    #[serde(default)]
    pub hold: Vec<FindingCode>,
}

/// A payer identifier as Coverages and Organizations carry it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayerIdentifier {
    /// `Identifier.system`; absent: any.
    pub system: Option<String>,
    /// `Identifier.value`.
    pub value: String,
}

/// How a push goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// As one transaction, or not at all.
    #[default]
    Transaction,
    /// By the highest rung of the ladder that the payer's door offers and `[door]` names.
    Best,
    /// Gathered with others in bulk submissions (`[bulk]`).
    Bulk,
}

/// Receiving: what becomes of a push whose member is not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unmatched {
    /// Kept for a person; answered 202.
    #[default]
    Hold,
    /// Answered 422.
    Refuse,
}

/// How long contents exchanged with the partner are kept in this house.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Days after a push or submission has ended until its contents are purged; lines, digests and
    /// ids stay.
    pub content_days: u32,
}

/// What is asked of the source for an encounter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncounterContent {
    /// Encounter statuses that may be pushed.
    pub statuses: Vec<String>,
    /// Types searched for by patient and encounter.
    pub types: Vec<String>,
}

fn sync() -> String {
    "sync".into()
}

fn filed() -> Level {
    Level::Filed
}

fn secondary() -> bool {
    true
}

fn deadline_hours() -> u32 {
    72
}

impl Default for EncounterContent {
    fn default() -> EncounterContent {
        let types = [
            "Condition",
            "Observation",
            "DiagnosticReport",
            "Procedure",
            "MedicationRequest",
            "Immunization",
            "DocumentReference",
            "ServiceRequest",
            "CareTeam",
        ];
        EncounterContent {
            statuses: vec!["finished".into()],
            types: types.map(String::from).to_vec(),
        }
    }
}
