//! Agreement: what two houses have agreed, as data.
//!
//! Comes in   the text of one TOML file per partner.
//! Goes out   a typed agreement, or an issue that names line and suggestion.
//! Never      guesses: an unknown key, type or rule is an error.
//!
//! Why data and not code: a privacy officer must be able to read what may travel, and a change
//! of a rule must not be a change of the program.

mod content;
mod shipped;
mod terms;

#[cfg(test)]
mod tests;

pub use crate::tomlfile::toml_issue;
pub use content::{HistoryContent, Readiness, Wait};
pub use shipped::{DEFAULT_VALUE_SETS, default_text, default_value_set};
pub use terms::{Condition, Terms};

use crate::id::PartnerId;
use crate::payload::Kind;
use crate::push::{Level, Purpose};
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
    /// `sync`: declared, and repeated on every push.
    #[serde(default = "sync")]
    pub mode: String,
    /// `transaction`.
    #[serde(default = "transaction")]
    pub form: String,
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
    /// What may travel. A resource that no permit names stays.
    #[serde(default)]
    pub permit: Vec<Permit>,
    /// What stays although a permit names it.
    #[serde(default)]
    pub withhold: Vec<Withhold>,
    /// Elements that stay although their resource travels.
    #[serde(default)]
    pub cut: Vec<CutRule>,
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

/// Permits resources of some types, under conditions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permit {
    /// Its name, as explained to people.
    pub rule: String,
    /// Resource types.
    pub types: Vec<String>,
    /// Only for these purposes; empty: for all of the agreement.
    #[serde(default)]
    pub purposes: Vec<Purpose>,
    /// Only where an element has one of the codes.
    #[serde(default)]
    pub only: Option<CodeCondition>,
}

/// Withholds resources, by code or label.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withhold {
    /// Its name.
    pub rule: String,
    /// Resource types; empty: all.
    #[serde(default)]
    pub types: Vec<String>,
    /// Where an element has one of the codes.
    pub having: CodeCondition,
    /// One sentence for people.
    #[serde(default)]
    pub reason: Option<String>,
}

/// An element that has one of some codes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeCondition {
    /// Element path: child steps and `where(x='y')`, for example `code.coding` or
    /// `category.coding.where(system='http://…')`; `descendants()` for every code in the resource.
    pub path: String,
    /// `system|code` or `code`.
    #[serde(default)]
    pub codes: Vec<String>,
    /// Name of a value set file (one `system|code` or `code` a line, `#` comments) beside the
    /// agreement: `valuesets/<name>.txt`.
    #[serde(default)]
    pub value_set: Option<String>,
}

/// Cuts an element out of resources of one type.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutRule {
    /// Its name.
    pub rule: String,
    /// Element path led by the type: `Patient.identifier.where(system='…')`.
    pub element: String,
    /// Not for these purposes.
    #[serde(default)]
    pub except_purposes: Vec<Purpose>,
}

fn sync() -> String {
    "sync".into()
}

fn transaction() -> String {
    "transaction".into()
}

fn filed() -> Level {
    Level::Filed
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
