//! Content: what the agreement says of each kind of push: which kinds, how far a history goes, when a
//! record is ready.
//!
//! Comes in   the tables `[history]` and `[readiness]`, and `kinds`.
//! Goes out   plain values with their defaults.
//! Never      a default that waits or narrows: what an agreement does not say changes nothing.

use crate::limits::{LOOK_BACK_DAYS_MAX, READY_HOURS_MAX};
use crate::payload::Kind;
use crate::valueset::CodeSet;
use serde::Deserialize;

/// How far a history goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryContent {
    /// So many days before the day of the push; absent: no such bound.
    pub look_back_days: Option<u32>,
    /// Also what was before the payer's own coverages began.
    pub pre_coverage: bool,
    /// Also what was while the payer did not cover the patient, between its coverages or after them.
    pub between_coverages: bool,
}

/// When an encounter's record goes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Readiness {
    /// Class or type codes, `system|code` or `code`, of encounters that are visits; empty: all.
    pub visits: Vec<String>,
    /// What is waited for; empty: nothing.
    pub wait_for: Vec<Wait>,
    /// Hours from the trigger after which it goes with what is there.
    pub max_wait_hours: u32,
}

/// One thing that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// The encounter is finished and has an end.
    Discharged,
    /// No note of it is preliminary, and no report registered, partial or preliminary.
    Signed,
    /// One of its diagnoses has a code.
    Coded,
}

impl Default for Readiness {
    fn default() -> Readiness {
        Readiness { visits: Vec::new(), wait_for: Vec::new(), max_wait_hours: 48 }
    }
}

/// All kinds: an agreement that names none covers every kind.
pub(super) fn kinds() -> Vec<Kind> {
    Kind::ALL.to_vec()
}

/// What is wrong with these tables: the key, and one sentence.
pub(super) fn fault(
    kinds: &[Kind],
    history: &HistoryContent,
    readiness: &Readiness,
    deadline_hours: u32,
) -> Option<(&'static [&'static str], String)> {
    if kinds.is_empty() {
        return Some((&["kinds"], "`kinds` names no kind; name one at least".into()));
    }
    if history.look_back_days.is_some_and(|days| !(1..=LOOK_BACK_DAYS_MAX).contains(&days)) {
        let detail = format!("`look_back_days` is 1 to {LOOK_BACK_DAYS_MAX}");
        return Some((&["history", "look_back_days"], detail));
    }
    if !(1..=READY_HOURS_MAX).contains(&readiness.max_wait_hours) {
        let detail = format!("`max_wait_hours` is 1 to {READY_HOURS_MAX}");
        return Some((&["readiness", "max_wait_hours"], detail));
    }
    if !readiness.wait_for.is_empty() && readiness.max_wait_hours >= deadline_hours {
        let detail = "`max_wait_hours` is less than `deadline_hours`, or nothing would ever go";
        return Some((&["readiness", "max_wait_hours"], detail.into()));
    }
    let mut codes = CodeSet::default();
    let wrong = readiness.visits.iter().find_map(|code| codes.insert(code).err())?;
    Some((&["readiness", "visits"], wrong.into()))
}
