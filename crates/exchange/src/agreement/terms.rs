//! Terms: an agreement that was read, checked and made ready to judge with.
//!
//! Comes in   the text of the agreement, and the texts of the value sets it names.
//! Goes out   `Terms`, or one issue that names file, line and what was probably meant.
//! Never      terms of an agreement that has a rule nobody can carry out: a rule that is mistyped
//!            would withhold nothing, and nobody would notice.

use super::{Agreement, CodeCondition, EncounterContent};
use crate::issue::{Code, Issue};
use crate::limits::{
    AGREEMENT_BYTES_MAX, AGREEMENT_RULES_MAX, CONTENT_DAYS_MAX, DEADLINE_HOURS_MAX, NAME_BYTES_MAX,
    REASON_BYTES_MAX, REQUESTS_PER_MINUTE_MAX,
};
use crate::path::{Path, is_resource_type, resource_types};
use crate::push::{Level, Purpose};
use crate::shape::BUILT_IN;
use crate::tomlfile::{self, did_you_mean};
use crate::valueset::{CodeSet, Doubt};
use fhir::{Node, Resource};
use std::collections::HashSet;
use std::time::Duration;

/// An agreement, ready to judge with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// As it was read.
    pub agreement: Agreement,
    /// For each permit its condition.
    permits: Vec<Option<Condition>>,
    /// For each withhold rule its condition.
    withholds: Vec<Condition>,
    /// For each cut its path.
    cuts: Vec<Path>,
}

/// A code condition with its path and codes read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    path: Path,
    codes: CodeSet,
}

impl Condition {
    /// Whether an element of the resource has one of the codes.
    pub fn holds(&self, resource: Node<'_, '_>, doubt: Doubt) -> bool {
        self.path.select(resource).iter().any(|node| self.codes.fits(*node, doubt))
    }
}

impl Terms {
    /// Reads an agreement. `file_name` is for messages; `value_sets` gives the text of
    /// `valuesets/<name>.txt`. Any fault is [`Code::ConfigInvalid`] with file and line.
    pub fn parse(
        text: &str,
        file_name: &str,
        value_sets: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Terms, Issue> {
        if text.len() > AGREEMENT_BYTES_MAX {
            let detail = format!("an agreement has at most {AGREEMENT_BYTES_MAX} bytes");
            return Err(tomlfile::at_line(Code::ConfigInvalid, file_name, None, detail));
        }
        let agreement: Agreement = toml::from_str(text)
            .map_err(|error| tomlfile::issue(Code::ConfigInvalid, file_name, text, &error))?;
        let reading = Reading { text, file_name, value_sets };
        reading.check_frame(&agreement)?;
        reading.check_rules(&agreement)?;
        reading.terms(agreement)
    }

    /// The first permit that lets a resource travel. `resource` is its outermost value.
    pub fn permit(&self, kind: &str, resource: Node<'_, '_>, purpose: Purpose) -> Option<&str> {
        let mut rows = self.agreement.permit.iter().zip(&self.permits);
        let fits = |condition: &Option<Condition>| {
            condition.as_ref().is_none_or(|condition| condition.holds(resource, Doubt::No))
        };
        let found = rows
            .find(|(permit, condition)| names(permit, kind, purpose) && fits(condition))
            .map(|(permit, _)| permit)?;
        Some(&found.rule)
    }

    /// Whether any permit names the type for this purpose: if not, nothing of it need be read.
    pub fn names(&self, kind: &str, purpose: Purpose) -> bool {
        self.agreement.permit.iter().any(|permit| names(permit, kind, purpose))
    }

    /// The first rule that withholds a resource although a permit may name it: name and sentence.
    pub fn withhold(&self, kind: &str, resource: Node<'_, '_>) -> Option<(&str, &str)> {
        let rows = self.agreement.withhold.iter().zip(&self.withholds);
        let mut rows = rows.filter(|(rule, _)| rule.types.is_empty() || has(&rule.types, kind));
        let (rule, _) = rows.find(|(_, condition)| condition.holds(resource, Doubt::Yes))?;
        let reason = rule.reason.as_deref().unwrap_or("a rule of the agreement withholds it");
        Some((&rule.rule, reason))
    }

    /// The elements to cut from a resource (or from one contained), with the rule of each.
    pub fn cuts<'d, 'a>(
        &self,
        resource: Node<'d, 'a>,
        purpose: Purpose,
    ) -> Vec<(Node<'d, 'a>, &str)> {
        let rows = self.agreement.cut.iter().zip(&self.cuts);
        rows.filter(|(cut, _)| !cut.except_purposes.contains(&purpose))
            .flat_map(|(cut, path)| {
                path.select(resource).into_iter().map(|node| (node, cut.rule.as_str()))
            })
            .collect()
    }
}

fn names(permit: &super::Permit, kind: &str, purpose: Purpose) -> bool {
    has(&permit.types, kind) && (permit.purposes.is_empty() || permit.purposes.contains(&purpose))
}

fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|item| item == word)
}

impl Agreement {
    /// Time between two requests to the payer's door; zero: no pace was agreed.
    pub fn pace(&self) -> Duration {
        let minute = Duration::from_secs(60);
        self.requests_per_minute.map_or(Duration::ZERO, |requests| minute / requests.max(1))
    }

    /// The purpose of a push that names none.
    pub fn default_purpose(&self) -> Option<Purpose> {
        self.purposes.first().copied()
    }
}

impl EncounterContent {
    /// Whether an encounter's status is one that may be pushed; else
    /// [`Code::EncounterUnfinished`].
    pub fn allow(&self, encounter: &Resource) -> Result<(), Issue> {
        let doc = encounter.doc();
        let status = doc.root().get("status").and_then(|status| status.text());
        let status = status.as_deref().unwrap_or("absent");
        if has(&self.statuses, status) {
            return Ok(());
        }
        let status: String = status.chars().take(40).collect();
        let detail = format!(
            "the encounter's status is `{status}`; the agreement allows {}",
            words(&self.statuses)
        );
        Err(Issue::new(Code::EncounterUnfinished, detail).at("Encounter.status"))
    }
}

struct Reading<'a> {
    text: &'a str,
    file_name: &'a str,
    value_sets: &'a dyn Fn(&str) -> Option<String>,
}

/// Encounter statuses of R4 (`encounter-status`).
const STATUSES: [&str; 9] = [
    "planned",
    "arrived",
    "triaged",
    "in-progress",
    "onleave",
    "finished",
    "cancelled",
    "entered-in-error",
    "unknown",
];

impl Reading<'_> {
    fn fault(&self, way: &[&str], detail: impl Into<String>) -> Issue {
        let line = tomlfile::line_of(self.text, way);
        tomlfile::at_line(Code::ConfigInvalid, self.file_name, line, detail)
    }

    /// Everything that is no rule.
    fn check_frame(&self, agreement: &Agreement) -> Result<(), Issue> {
        if !is_name(agreement.partner.as_str()) {
            return Err(self.fault(&["partner"], name_needed("the partner's name")));
        }
        if agreement.purposes.is_empty() {
            return Err(self.fault(&["purposes"], "`purposes` names no purpose; name one at least"));
        }
        if !(1..=DEADLINE_HOURS_MAX).contains(&agreement.deadline_hours) {
            let detail = format!("`deadline_hours` is 1 to {DEADLINE_HOURS_MAX}");
            return Err(self.fault(&["deadline_hours"], detail));
        }
        let paces = 1..=REQUESTS_PER_MINUTE_MAX;
        if agreement.requests_per_minute.is_some_and(|requests| !paces.contains(&requests)) {
            let detail = format!("`requests_per_minute` is 1 to {REQUESTS_PER_MINUTE_MAX}");
            return Err(self.fault(&["requests_per_minute"], detail));
        }
        let days = agreement.retention.map(|retention| retention.content_days);
        if days.is_some_and(|days| !(1..=CONTENT_DAYS_MAX).contains(&days)) {
            let detail = format!("`content_days` is 1 to {CONTENT_DAYS_MAX}");
            return Err(self.fault(&["retention", "content_days"], detail));
        }
        self.check_word(&["mode"], &agreement.mode, &["sync"])?;
        if agreement.settled_by == Level::Accepted {
            let detail = "`settled_by` is `taken` or `filed`: no form here says `accepted` yet";
            return Err(self.fault(&["settled_by"], detail));
        }
        self.check_word(&["form"], &agreement.form, &["transaction"])?;
        self.check_words(&["encounter", "statuses"], &agreement.encounter.statuses, &STATUSES)?;
        self.check_types(&["encounter", "types"], &agreement.encounter.types)?;
        let Agreement { kinds, history, readiness, deadline_hours, .. } = agreement;
        let fault = super::content::fault(kinds, history, readiness, *deadline_hours);
        if let Some((way, detail)) = fault {
            return Err(self.fault(way, detail));
        }
        for (at, identifier) in agreement.payer_identifiers.iter().enumerate() {
            let empty = |text: &str| text.trim().is_empty();
            if empty(&identifier.value) || identifier.system.as_deref().is_some_and(empty) {
                let way = ["payer_identifiers", &at.to_string()];
                return Err(
                    self.fault(&way, "a payer identifier needs a `value`, and no empty `system`")
                );
            }
        }
        Ok(())
    }

    /// Names of rules, and types.
    fn check_rules(&self, agreement: &Agreement) -> Result<(), Issue> {
        let permits = agreement.permit.iter().map(|row| ("permit", &row.rule, &row.types[..]));
        let withholds =
            agreement.withhold.iter().map(|row| ("withhold", &row.rule, &row.types[..]));
        let cuts = agreement.cut.iter().map(|row| ("cut", &row.rule, &[][..]));
        let (permits, withholds) = (permits.enumerate(), withholds.enumerate());
        let mut seen = HashSet::new();
        for (at, (section, rule, types)) in permits.chain(withholds).chain(cuts.enumerate()) {
            let position = at.to_string();
            let way = [section, &position, "rule"];
            if !is_name(rule) {
                return Err(self.fault(&way, name_needed("a rule's name")));
            }
            if BUILT_IN.iter().any(|(built_in, _)| built_in == rule) {
                let detail = format!("`{rule}` is a rule that is always there; use another name");
                return Err(self.fault(&way, detail));
            }
            if !seen.insert(rule) {
                let detail = format!("another rule is named `{rule}` as well; use another name");
                return Err(self.fault(&way, detail));
            }
            if seen.len() > AGREEMENT_RULES_MAX {
                let detail = format!("an agreement has at most {AGREEMENT_RULES_MAX} rules");
                return Err(self.fault(&way, detail));
            }
            if section == "permit" && types.is_empty() {
                return Err(self.fault(&[section, &position, "types"], "a permit names its types"));
            }
            self.check_types(&[section, &position, "types"], types)?;
        }
        for (at, rule) in agreement.withhold.iter().enumerate() {
            if rule.reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
                let detail = format!("a reason has at most {REASON_BYTES_MAX} bytes");
                return Err(self.fault(&["withhold", &at.to_string(), "reason"], detail));
            }
        }
        Ok(())
    }

    fn check_types(&self, way: &[&str], types: &[String]) -> Result<(), Issue> {
        for (at, kind) in types.iter().enumerate() {
            if !is_resource_type(kind) {
                let known: Vec<&str> = resource_types().collect();
                let detail = format!(
                    "a word of `types` is no R4 resource type{}",
                    did_you_mean(kind, &known)
                );
                let position = at.to_string();
                return Err(self.fault(&[way, &[&position]].concat(), detail));
            }
        }
        Ok(())
    }

    fn check_words(&self, way: &[&str], found: &[String], known: &[&str]) -> Result<(), Issue> {
        found.iter().enumerate().try_for_each(|(at, word)| {
            let position = at.to_string();
            self.check_word(&[way, &[&position]].concat(), word, known)
        })
    }

    fn check_word(&self, way: &[&str], word: &str, known: &[&str]) -> Result<(), Issue> {
        if known.contains(&word) {
            return Ok(());
        }
        let detail = format!(
            "a word stands here that is not one of {}{}",
            words(known),
            did_you_mean(word, known)
        );
        Err(self.fault(way, detail))
    }

    fn terms(&self, agreement: Agreement) -> Result<Terms, Issue> {
        let mut permits = Vec::new();
        for (at, permit) in agreement.permit.iter().enumerate() {
            let way = ["permit", &at.to_string(), "only"];
            let only = permit.only.as_ref();
            permits.push(only.map(|only| self.condition(&way, only, &permit.types)).transpose()?);
        }
        let mut withholds = Vec::new();
        for (at, rule) in agreement.withhold.iter().enumerate() {
            let way = ["withhold", &at.to_string(), "having"];
            withholds.push(self.condition(&way, &rule.having, &rule.types)?);
        }
        let mut cuts = Vec::new();
        for (at, cut) in agreement.cut.iter().enumerate() {
            let position = at.to_string();
            cuts.push(self.cut(&["cut", &position, "element"], &cut.element)?);
        }
        Ok(Terms { agreement, permits, withholds, cuts })
    }

    fn condition(
        &self,
        way: &[&str],
        condition: &CodeCondition,
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
        if codes.is_empty() {
            return Err(self.fault(way, "the condition has no code; give `codes` or a `value_set`"));
        }
        Ok(Condition { path, codes })
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

    fn cut(&self, way: &[&str], element: &str) -> Result<Path, Issue> {
        if !element.trim_start().starts_with(|c: char| c.is_ascii_uppercase()) {
            let detail = "the path of a cut is led by a type, or by `Resource` for all";
            return Err(self.fault(way, detail));
        }
        let path = self.path(way, element)?;
        if path.is_member("id") {
            return Err(self.fault(way, "a resource's id cannot be cut; withhold the resource"));
        }
        if path.is_everything() {
            let detail = "`descendants()` alone would cut everything; say which: where(x='y')";
            return Err(self.fault(way, detail));
        }
        Ok(path)
    }

    fn path(&self, way: &[&str], text: &str) -> Result<Path, Issue> {
        Path::parse(text).map_err(|error| self.fault(way, error.to_string()))
    }
}

/// Names become names of files, and words in lists: no path, no space, no capital.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

fn name_needed(what: &str) -> String {
    format!("{what} is 1 to {NAME_BYTES_MAX} of the characters a-z, 0-9, `-` and `_`")
}

fn words<T: AsRef<str>>(known: &[T]) -> String {
    known.iter().map(|word| format!("`{}`", word.as_ref())).collect::<Vec<_>>().join(", ")
}
