//! Reading: the conditions of an agreement's rules, from words to what can be asked.
//!
//! Comes in   permits and withhold rules as they are written.
//! Goes out   their conditions, with paths, codes and days read; or the line that is wrong.
//! Never      a condition that could never hold: a permit would permit nothing, and a rule that
//!            withholds would withhold nothing, without anybody's noticing.

use super::Agreement;
use super::conditions::{Asked, Condition, Conditions, Window};
use super::rules::{ElementCondition, Place};
use super::terms::{Reading, has, is_name, name_needed};
use crate::issue::Issue;
use crate::limits::{CONDITIONS_PER_RULE_MAX, WINDOW_DAYS_MAX};
use crate::path::is_resource_type;
use crate::payload::Kind;
use crate::valueset::CodeSet;
use fhir::is_id;
use jiff::civil::Date;
use std::collections::BTreeSet;

/// The parts of a rule that are read alike in permits and withhold rules.
struct Written<'a> {
    types: &'a [String],
    /// The single condition, by its key.
    one: (&'static str, Option<&'a ElementCondition>),
    all: &'a [ElementCondition],
    category: &'a [String],
    within_days: Option<u32>,
    since: Option<&'a str>,
}

impl Reading<'_> {
    pub(super) fn permits(
        &self,
        agreement: &Agreement,
        of_encounters: &mut Vec<Condition>,
    ) -> Result<Vec<Conditions>, Issue> {
        let mut read = Vec::new();
        let kinds = Kind::ALL.map(Kind::word);
        for (at, permit) in agreement.permit.iter().enumerate() {
            let way = ["permit", &at.to_string()];
            self.check_words(&[&way[..], &["kinds"]].concat(), &permit.kinds, &kinds)?;
            let written = Written {
                types: &permit.types,
                one: ("only", permit.only.as_ref()),
                all: &permit.all,
                category: &permit.category,
                within_days: permit.within_days,
                since: permit.since.as_deref(),
            };
            read.push(self.conditions(&way, &written, of_encounters)?);
        }
        Ok(read)
    }

    pub(super) fn withholds(
        &self,
        agreement: &Agreement,
        of_encounters: &mut Vec<Condition>,
    ) -> Result<Vec<Conditions>, Issue> {
        let mut read = Vec::new();
        for (at, rule) in agreement.withhold.iter().enumerate() {
            let way = ["withhold", &at.to_string()];
            let written = Written {
                types: &rule.types,
                one: ("having", rule.having.as_ref()),
                all: &rule.all,
                category: &rule.category,
                within_days: rule.within_days,
                since: rule.since.as_deref(),
            };
            let conditions = self.conditions(&way, &written, of_encounters)?;
            if rule.types.is_empty() && conditions.all.is_empty() {
                let detail = "the rule would withhold everything; name `types`, or give `having`";
                return Err(self.fault(&way, detail));
            }
            read.push(conditions);
        }
        Ok(read)
    }

    fn conditions(
        &self,
        way: &[&str],
        written: &Written<'_>,
        of_encounters: &mut Vec<Condition>,
    ) -> Result<Conditions, Issue> {
        let mut all = Vec::new();
        let (key, one) = written.one;
        if let Some(one) = one {
            all.push(self.asked(&[way, &[key]].concat(), one, written.types, of_encounters)?);
        }
        for (at, condition) in written.all.iter().enumerate() {
            let position = at.to_string();
            let way = [way, &["all", &position]].concat();
            all.push(self.asked(&way, condition, written.types, of_encounters)?);
        }
        if !written.category.is_empty() {
            let condition = ElementCondition {
                path: "category".to_owned(),
                codes: written.category.to_vec(),
                value_set: None,
                references: Vec::new(),
                identifiers: Vec::new(),
                place: Place::Resource,
            };
            let way = [way, &["category"]].concat();
            all.push(self.asked(&way, &condition, written.types, of_encounters)?);
        }
        if all.len() > CONDITIONS_PER_RULE_MAX {
            let detail = format!("a rule has at most {CONDITIONS_PER_RULE_MAX} conditions");
            return Err(self.fault(&[way, &["all"]].concat(), detail));
        }
        Ok(Conditions { all, window: self.window(way, written)? })
    }

    fn window(&self, way: &[&str], written: &Written<'_>) -> Result<Option<Window>, Issue> {
        let within_days = written.within_days;
        if within_days.is_some_and(|days| !(1..=WINDOW_DAYS_MAX).contains(&days)) {
            let detail = format!("`within_days` is 1 to {WINDOW_DAYS_MAX}");
            return Err(self.fault(&[way, &["within_days"]].concat(), detail));
        }
        let read = |text: &str| {
            let fault = || {
                let detail = "`since` is a day in quotes: \"YYYY-MM-DD\"";
                self.fault(&[way, &["since"]].concat(), detail)
            };
            let whole = text.len() == "YYYY-MM-DD".len();
            text.parse::<Date>().ok().filter(|_| whole).ok_or_else(fault)
        };
        let since = written.since.map(read).transpose()?;
        let any = within_days.is_some() || since.is_some();
        Ok(any.then_some(Window { within_days, since }))
    }

    fn asked(
        &self,
        way: &[&str],
        condition: &ElementCondition,
        types: &[String],
        of_encounters: &mut Vec<Condition>,
    ) -> Result<Asked, Issue> {
        let encounter = ["Encounter".to_owned()];
        let of_encounter = condition.place == Place::Encounter;
        let types = if of_encounter { &encounter[..] } else { types };
        let read = self.condition(way, condition, types)?;
        if !of_encounter {
            return Ok(Asked::Resource(Box::new(read)));
        }
        of_encounters.push(read);
        Ok(Asked::Encounter(of_encounters.len() - 1))
    }

    fn condition(
        &self,
        way: &[&str],
        condition: &ElementCondition,
        types: &[String],
    ) -> Result<Condition, Issue> {
        let below = |key: &'static str| [way, &[key]].concat();
        let path = self.path(&below("path"), &condition.path)?;
        for kind in types.iter().filter(|_| path.kind().is_none()) {
            path.check(kind).map_err(|error| self.fault(&below("path"), error.to_string()))?;
        }
        if let Some(kind) = path.kind().filter(|kind| !types.is_empty() && !has(types, kind)) {
            let detail = format!("the path is one of `{kind}`, which the rule's `types` leave out");
            return Err(self.fault(&below("path"), detail));
        }
        let mut codes = match &condition.value_set {
            Some(name) => self.value_set(&below("value_set"), name)?,
            None => CodeSet::default(),
        };
        for (at, code) in condition.codes.iter().enumerate() {
            let position = at.to_string();
            let way = [way, &["codes", &position]].concat();
            codes.insert(code).map_err(|reason| self.fault(&way, reason))?;
        }
        let mut identifiers = CodeSet::default();
        for (at, identifier) in condition.identifiers.iter().enumerate() {
            let position = at.to_string();
            let way = [way, &["identifiers", &position]].concat();
            let fault = |_| self.fault(&way, "an identifier is written `system|value` or `value`");
            identifiers.insert(identifier).map_err(fault)?;
        }
        let references = self.targets(way, &condition.references)?;
        if codes.is_empty() && identifiers.is_empty() && references.is_empty() {
            let detail = "the condition has no code; give `codes` or a `value_set`, or else \
                          `references` or `identifiers`";
            return Err(self.fault(way, detail));
        }
        Ok(Condition { path, codes, identifiers, references })
    }

    fn targets(&self, way: &[&str], references: &[String]) -> Result<BTreeSet<String>, Issue> {
        for (at, reference) in references.iter().enumerate() {
            let parts = reference.split_once('/');
            if !parts.is_some_and(|(kind, id)| is_resource_type(kind) && is_id(id)) {
                let position = at.to_string();
                let detail = "a reference is written Type/id, for example Location/12";
                return Err(self.fault(&[way, &["references", &position]].concat(), detail));
            }
        }
        Ok(references.iter().cloned().collect())
    }

    fn value_set(&self, way: &[&str], name: &str) -> Result<CodeSet, Issue> {
        if !is_name(name) {
            return Err(self.fault(way, name_needed("a value set's name")));
        }
        let file = format!("valuesets/{name}.txt");
        let text = (self.value_sets)(name)
            .ok_or_else(|| self.fault(way, format!("the value set file `{file}` is missing")))?;
        let codes = CodeSet::read(&text).map_err(|(line, reason)| {
            self.fault(way, format!("the value set file `{file}`, line {line}: {reason}"))
        })?;
        if codes.is_empty() {
            return Err(self.fault(way, format!("the value set file `{file}` holds no code")));
        }
        Ok(codes)
    }
}
