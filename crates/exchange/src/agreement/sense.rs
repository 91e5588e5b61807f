//! Sense: what an agreement says that is well formed, and that nobody can have meant.
//!
//! Comes in   an agreement, and its text.
//! Goes out   nothing, or the line that is wrong.
//! Never      lets an empty list pass for "any": whoever empties the list of a permit's conditions means
//!            to permit less, and would permit everything.

use super::Agreement;
use super::terms::Reading;
use crate::issue::Issue;
use crate::push::Purpose;
use crate::shape::never_travels;
use toml::{Table, Value};

/// Lists that narrow a rule. `types` and `except_purposes` of rules that withhold are none: empty, they
/// keep more.
const NARROWING: [&str; 4] = ["all", "category", "kinds", "purposes"];

/// Lists of a condition.
const LOOKED_FOR: [&str; 3] = ["codes", "identifiers", "references"];

impl Reading<'_> {
    pub(super) fn check_sense(&self, agreement: &Agreement) -> Result<(), Issue> {
        // It was read before, so it is TOML.
        let written: Table = self.text.parse().unwrap_or_default();
        if agreement.encounter.statuses.is_empty() {
            let detail =
                "`statuses` names no status, so that no encounter would go; name one at least";
            return Err(self.fault(&["encounter", "statuses"], detail));
        }
        let types = &agreement.encounter.types;
        if let Some(nth) = types.iter().position(|kind| never_travels(kind)) {
            let detail = "the rule `financial-never`, which is always there, keeps what speaks of money: \
                          such a type is part of no push";
            return Err(self.fault(&["encounter", "types", &nth.to_string()], detail));
        }
        let waits = written.get("readiness").and_then(|table| table.get("max_wait_hours"));
        if waits.is_some() && agreement.readiness.max_wait_hours >= agreement.deadline_hours {
            let detail = "`max_wait_hours` is less than `deadline_hours`, whatever is waited for";
            return Err(self.fault(&["readiness", "max_wait_hours"], detail));
        }
        for section in ["permit", "withhold"] {
            let rules = written.get(section).and_then(Value::as_array).into_iter().flatten();
            for (at, rule) in rules.enumerate() {
                self.check_lists(&[section, &at.to_string()], rule)?;
            }
        }
        self.check_permits(agreement)?;
        self.check_withholds(agreement)
    }

    /// Lists of conditions that are written and hold nothing.
    fn check_lists(&self, way: &[&str], rule: &Value) -> Result<(), Issue> {
        self.check_filled(way, rule, &NARROWING)?;
        for key in ["only", "having"] {
            if let Some(condition) = rule.get(key) {
                self.check_filled(&[way, &[key]].concat(), condition, &LOOKED_FOR)?;
            }
        }
        let all = rule.get("all").and_then(Value::as_array).into_iter().flatten();
        for (at, condition) in all.enumerate() {
            let position = at.to_string();
            self.check_filled(&[way, &["all", &position]].concat(), condition, &LOOKED_FOR)?;
        }
        Ok(())
    }

    fn check_filled(&self, way: &[&str], table: &Value, keys: &[&str]) -> Result<(), Issue> {
        let is_empty = |key: &&&str| {
            table.get(**key).and_then(Value::as_array).is_some_and(|list| list.is_empty())
        };
        let Some(key) = keys.iter().find(is_empty) else { return Ok(()) };
        let detail = format!("`{key}` is empty, which asks for nothing; fill it, or leave it out");
        Err(self.fault(&[way, &[*key]].concat(), detail))
    }

    fn check_permits(&self, agreement: &Agreement) -> Result<(), Issue> {
        for (at, permit) in agreement.permit.iter().enumerate() {
            let position = at.to_string();
            if let Some(nth) = permit.types.iter().position(|kind| never_travels(kind)) {
                let way = ["permit", &position, "types", &nth.to_string()];
                let detail = "the rule `financial-never`, which is always there, keeps what speaks of \
                              money: such a type cannot be permitted";
                return Err(self.fault(&way, detail));
            }
            let agreed = |purpose| agreement.purposes.contains(purpose);
            if !permit.purposes.is_empty() && !permit.purposes.iter().any(agreed) {
                let detail = "the permit is for purposes that are none of the agreement's `purposes`, \
                              and would never hold";
                return Err(self.fault(&["permit", &position, "purposes"], detail));
            }
        }
        Ok(())
    }

    /// Rules that hold for no purpose.
    fn check_withholds(&self, agreement: &Agreement) -> Result<(), Issue> {
        let all =
            |excepted: &[Purpose]| agreement.purposes.iter().all(|one| excepted.contains(one));
        let fault = |section, at: usize, what| {
            let detail = format!(
                "every purpose of the agreement is excepted, so that the rule would {what}"
            );
            Err(self.fault(&[section, &at.to_string(), "except_purposes"], detail))
        };
        if let Some(at) = agreement.withhold.iter().position(|rule| all(&rule.except_purposes)) {
            return fault("withhold", at, "keep nothing back");
        }
        match agreement.cut.iter().position(|rule| all(&rule.except_purposes)) {
            Some(at) => fault("cut", at, "cut nothing"),
            None => Ok(()),
        }
    }
}
