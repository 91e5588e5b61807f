//! Rules: what an agreement says may travel, stays, or is cut, as it is written.
//!
//! Comes in   the tables `[[permit]]`, `[[withhold]]` and `[[cut]]`.
//! Goes out   the same, typed; `terms` makes them ready to judge with.
//! Never      a rule that looks narrower than it is: an unknown key is an error.
//!
//! `docs/AGREEMENT.md` is the reference for people, `docs/agreement.schema.json` the one for
//! editors; tests hold both to these structs.

use crate::purpose::Purpose;
use serde::Deserialize;

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
    /// Kinds of push in which such a resource is sent of its own accord; empty: in all. Whatever the
    /// kind, it goes along where something that travels refers to it.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Only where `category` has one of these codes: short for a condition on that path.
    #[serde(default)]
    pub category: Vec<String>,
    /// Only what was so at most this many days before the trigger.
    #[serde(default)]
    pub within_days: Option<u32>,
    /// Only what was so on this day (`YYYY-MM-DD`) or later.
    #[serde(default)]
    pub since: Option<String>,
    /// Only where this condition holds.
    #[serde(default)]
    pub only: Option<ElementCondition>,
    /// Only where all of these conditions hold as well.
    #[serde(default)]
    pub all: Vec<ElementCondition>,
}

/// Withholds resources, although a permit may name them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withhold {
    /// Its name.
    pub rule: String,
    /// Resource types; empty: all.
    #[serde(default)]
    pub types: Vec<String>,
    /// Not for these purposes.
    #[serde(default)]
    pub except_purposes: Vec<Purpose>,
    /// Where `category` has one of these codes: short for a condition on that path.
    #[serde(default)]
    pub category: Vec<String>,
    /// What was so at most this many days before the trigger, and what has no date.
    #[serde(default)]
    pub within_days: Option<u32>,
    /// What was so on this day (`YYYY-MM-DD`) or later, and what has no date.
    #[serde(default)]
    pub since: Option<String>,
    /// Where this condition holds.
    #[serde(default)]
    pub having: Option<ElementCondition>,
    /// Where all of these conditions hold as well.
    #[serde(default)]
    pub all: Vec<ElementCondition>,
    /// Whether what it withholds is sensitive: then documents of its days stay as well, and words
    /// beside references to it.
    #[serde(default = "yes")]
    pub sensitive: bool,
    /// One sentence for people.
    #[serde(default)]
    pub reason: Option<String>,
}

/// An element that has one of some codes, identifiers or targets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElementCondition {
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
    /// `Type/id`: what the element refers to, under whichever address of its server.
    #[serde(default)]
    pub references: Vec<String>,
    /// `system|value` or `value`: of an Identifier, or of the one within a Reference.
    #[serde(default)]
    pub identifiers: Vec<String>,
    /// Where the path begins.
    #[serde(default, rename = "where")]
    pub place: Place,
}

/// Where the path of a condition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// At the resource itself.
    #[default]
    Resource,
    /// At the encounters that the resource belongs to; an encounter belongs to itself.
    Encounter,
}

/// What becomes of documents that cannot be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opaque {
    /// They stay where something sensitive that stays lies in their days.
    #[default]
    WithholdInSensitivePeriod,
    /// They stay.
    Withhold,
    /// They travel as other resources do.
    Permit,
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

fn yes() -> bool {
    true
}
