//! Terms: an agreement that was read, checked and made ready to judge with.
//!
//! Comes in   the text of the agreement, and the texts of the value sets it names.
//! Goes out   `Terms`, or one issue that names file, line and what was probably meant.
//! Never      terms of an agreement that has a rule nobody can carry out: a rule that is mistyped
//!            would withhold nothing, and nobody would notice.

use super::conditions::{Around, Condition, Conditions, Lies};
use super::rules::Permit;
use super::{Agreement, BulkTerms, EncounterContent, Form};
use crate::issue::{Code, Issue};
use crate::ladder::{ASSUMED, Carrier, Offer, Rung, Unoffered, choose};
use crate::limits::{
    AGREEMENT_BYTES_MAX, AGREEMENT_RULES_MAX, CONTENT_DAYS_MAX, DEADLINE_HOURS_MAX, NAME_BYTES_MAX,
    REASON_BYTES_MAX, REQUESTS_PER_MINUTE_MAX,
};
use crate::limits::{DOOR_BYTES_RANGE, ENTRIES_MAX};
use crate::path::{Path, is_resource_type, resource_types};
use crate::payload::Kind;
use crate::purpose::{Level, Purpose};
use crate::shape::BUILT_IN;
use crate::tomlfile::{self, did_you_mean};
use crate::valueset::Doubt;
use fhir::{Node, Resource};
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

/// The mode of a push that goes in a bulk submission.
pub const ASYNC: &str = "async";

/// The mode of a push that the payer has asked for itself, and fetches.
pub const PULL: &str = "pull";

/// An agreement, ready to judge with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// As it was read.
    pub agreement: Agreement,
    /// For each permit its conditions.
    permits: Vec<Conditions>,
    /// For each withhold rule its conditions.
    withholds: Vec<Conditions>,
    /// The conditions that are asked of encounters, of all rules.
    of_encounters: Vec<Condition>,
    /// For each cut its path.
    cuts: Vec<Path>,
    /// The rung at a door that takes some types only, where the others are left out.
    rung: Option<Rung>,
}

/// What a permit says of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permitted {
    /// The rule.
    pub rule: String,
    /// Whether such a resource is sent of its own accord in a push of this kind; else only where
    /// something that travels refers to it.
    pub of_this_kind: bool,
}

/// Why no permit lets a resource travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpermitted {
    /// None names it.
    Unnamed,
    /// One does, but not its days.
    Outside,
    /// One does for certain days only, and the resource has none.
    Undated,
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
        reading.check_sense(&agreement)?;
        reading.terms(agreement)
    }

    /// The same at this door, where types that it does not take are left out; `None`: nothing is.
    pub fn at_door(&self, offer: &Offer) -> Option<Terms> {
        let door = &self.agreement.door;
        let by_ladder = self.agreement.by_ladder() && !offer.house;
        if !by_ladder || door.unoffered != Unoffered::LeaveOut {
            return None;
        }
        let rung = choose(offer, door, &BTreeSet::new()).ok();
        let rung = rung.filter(|rung| rung.carrier != Carrier::Collection)?;
        Some(Terms { rung: Some(rung), ..self.clone() })
    }

    /// Whether the door takes resources of this type, as far as that counts.
    pub(crate) fn is_offered(&self, kind: &str) -> bool {
        self.rung.as_ref().is_none_or(|rung| rung.identity(kind).is_some())
    }

    /// The first permit that lets a resource travel, one of this kind of push before others.
    /// `resource` is its outermost value.
    pub fn permit(
        &self,
        kind: &str,
        resource: Node<'_, '_>,
        purpose: Purpose,
        payload: &str,
        around: &Around<'_>,
    ) -> Result<Permitted, Unpermitted> {
        let mut found: Option<&Permit> = None;
        let mut fault = Unpermitted::Unnamed;
        for (permit, conditions) in self.agreement.permit.iter().zip(&self.permits) {
            let of_this_kind = permit.kinds.is_empty() || has(&permit.kinds, payload);
            let later = found.is_some() && !of_this_kind;
            if later
                || !names(permit, kind, purpose)
                || !conditions.hold(resource, around, Doubt::No)
            {
                continue;
            }
            match conditions.lies(around) {
                Lies::Within if of_this_kind => {
                    return Ok(Permitted { rule: permit.rule.clone(), of_this_kind });
                }
                Lies::Within => found = Some(permit),
                Lies::Outside => fault = Unpermitted::Outside,
                Lies::Undated => fault = Unpermitted::Undated,
            }
        }
        let along = |permit: &Permit| Permitted { rule: permit.rule.clone(), of_this_kind: false };
        found.map(along).ok_or(fault)
    }

    /// Whether any permit names the type for this purpose: if not, nothing of it need be read.
    pub fn names(&self, kind: &str, purpose: Purpose) -> bool {
        self.agreement.permit.iter().any(|permit| names(permit, kind, purpose))
    }

    /// The rule that withholds a resource although a permit may name it, the first that is sensitive
    /// before others: name and sentence.
    pub fn withhold(
        &self,
        kind: &str,
        resource: Node<'_, '_>,
        purpose: Purpose,
        around: &Around<'_>,
    ) -> Option<(&str, &str)> {
        let rows = || self.agreement.withhold.iter().zip(&self.withholds);
        let mut rows = [true, false]
            .into_iter()
            .flat_map(|sensitive| rows().filter(move |(rule, _)| rule.sensitive == sensitive));
        let (rule, _) = rows.find(|(rule, conditions)| {
            (rule.types.is_empty() || has(&rule.types, kind))
                && !rule.except_purposes.contains(&purpose)
                && conditions.lies(around) != Lies::Outside
                && conditions.hold(resource, around, Doubt::Yes)
        })?;
        let reason = rule.reason.as_deref().unwrap_or("a rule of the agreement withholds it");
        Some((&rule.rule, reason))
    }

    /// Whether what a withhold rule of this name withholds is sensitive.
    pub fn is_sensitive(&self, rule: &str) -> bool {
        self.agreement.withhold.iter().any(|row| row.rule == rule && row.sensitive)
    }

    /// Whether a withhold rule asks something of the encounter that a resource belongs to: what only
    /// such an encounter refers to stays with it.
    pub fn withholds_visits(&self, rule: &str) -> bool {
        let rows = self.agreement.withhold.iter().zip(&self.withholds);
        rows.into_iter().any(|(row, conditions)| row.rule == rule && conditions.ask_encounters())
    }

    /// Whether any rule asks something of encounters: then the patient's encounters must be known.
    pub fn asks_encounters(&self) -> bool {
        !self.of_encounters.is_empty()
    }

    /// Whether any rule holds for certain days only.
    pub fn asks_days(&self) -> bool {
        self.permits.iter().chain(&self.withholds).any(|conditions| conditions.window.is_some())
    }

    /// For each condition that is asked of encounters whether this one fulfils it; without an
    /// encounter, whether one that nobody knows may. `encounter` is its outermost value.
    pub fn of_encounter(&self, encounter: Option<Node<'_, '_>>, doubt: Doubt) -> Vec<bool> {
        let holds = |condition: &Condition| match encounter {
            Some(encounter) => condition.holds(encounter, doubt),
            None => doubt == Doubt::Yes,
        };
        self.of_encounters.iter().map(holds).collect()
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

fn names(permit: &Permit, kind: &str, purpose: Purpose) -> bool {
    has(&permit.types, kind) && (permit.purposes.is_empty() || permit.purposes.contains(&purpose))
}

pub(super) fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|item| item == word)
}

impl Agreement {
    /// Whether pushes go by the highest rung that the payer's door offers; else as one transaction.
    pub fn by_ladder(&self) -> bool {
        self.form == Form::Best
    }

    /// The mode of a push of this kind, unless somebody asked for another one: declared when it begins.
    pub fn mode_of(&self, kind: &str) -> &str {
        let named = |bulk: &BulkTerms| bulk.kinds.iter().any(|one| one.word() == kind);
        if self.bulk.as_ref().is_some_and(named) { ASYNC } else { &self.mode }
    }

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

pub(super) struct Reading<'a> {
    pub(super) text: &'a str,
    pub(super) file_name: &'a str,
    pub(super) value_sets: &'a dyn Fn(&str) -> Option<String>,
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
    pub(super) fn fault(&self, way: &[&str], detail: impl Into<String>) -> Issue {
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
        self.check_bulk(agreement)?;
        if agreement.settled_by == Level::Accepted {
            let detail = "`settled_by` is `taken` or `filed`: no form here says `accepted` yet";
            return Err(self.fault(&["settled_by"], detail));
        }
        self.check_door(agreement)?;
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

    /// The mode, and what goes as bulk submissions.
    fn check_bulk(&self, agreement: &Agreement) -> Result<(), Issue> {
        self.check_word(&["mode"], &agreement.mode, &["sync", "async"])?;
        let asks = agreement.form == Form::Bulk;
        if asks != (agreement.mode == ASYNC) {
            let detail = "the mode of the form `bulk` is `async`, that of all others `sync`: \
                kinds that go in bulk submissions beside another form are named in [bulk]";
            return Err(self.fault(&["mode"], detail));
        }
        let pulls = agreement.bulk.as_ref().is_some_and(|bulk| bulk.pull);
        if pulls && !agreement.kinds.contains(&Kind::History) {
            let detail = "with `pull` the payer asks for histories: `kinds` names `history`";
            return Err(self.fault(&["bulk", "pull"], detail));
        }
        match agreement.bulk.as_ref().map(super::bulk::fault) {
            None if asks => {
                Err(self
                    .fault(&["form"], "the form `bulk` needs a section [bulk], if an empty one"))
            }
            Some(Some((key, detail))) => Err(self.fault(&["bulk", key], detail)),
            None | Some(None) => Ok(()),
        }
    }

    /// `[door]`: which rungs, and how large a request.
    fn check_door(&self, agreement: &Agreement) -> Result<(), Issue> {
        let door = &agreement.door;
        if door.forms.is_empty() {
            return Err(self.fault(&["door", "forms"], "`forms` names no form; name one at least"));
        }
        self.check_words(&["door", "assume"], &door.assume, &ASSUMED)?;
        let files = |word: &String| matches!(word.as_str(), "put" | "conditional" | "create");
        if !door.assume.is_empty() && !door.assume.iter().any(files) {
            let detail = "`assume` names no way to file a record: `put`, `conditional` or `create`";
            return Err(self.fault(&["door", "assume"], detail));
        }
        if !(1..=ENTRIES_MAX).contains(&door.entries_max) {
            let detail = format!("`entries_max` is 1 to {ENTRIES_MAX}");
            return Err(self.fault(&["door", "entries_max"], detail));
        }
        if !DOOR_BYTES_RANGE.contains(&door.bytes_max) {
            let (from, to) = (DOOR_BYTES_RANGE.start(), DOOR_BYTES_RANGE.end());
            let detail = format!("`bytes_max` is {from} to {to}");
            return Err(self.fault(&["door", "bytes_max"], detail));
        }
        if door.names(Carrier::Collection) && agreement.settled_by != Level::Taken {
            let detail = "a collection is kept whole and filed by nobody: with it in `forms`, \
                `settled_by` is `taken`";
            return Err(self.fault(&["door", "forms"], detail));
        }
        Ok(())
    }

    pub(super) fn check_types(&self, way: &[&str], types: &[String]) -> Result<(), Issue> {
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

    pub(super) fn check_words(
        &self,
        way: &[&str],
        found: &[String],
        known: &[&str],
    ) -> Result<(), Issue> {
        found.iter().enumerate().try_for_each(|(at, word)| {
            let position = at.to_string();
            self.check_word(&[way, &[&position]].concat(), word, known)
        })
    }

    pub(super) fn check_word(&self, way: &[&str], word: &str, known: &[&str]) -> Result<(), Issue> {
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
        let mut of_encounters = Vec::new();
        let permits = self.permits(&agreement, &mut of_encounters)?;
        let withholds = self.withholds(&agreement, &mut of_encounters)?;
        let mut cuts = Vec::new();
        for (at, cut) in agreement.cut.iter().enumerate() {
            let position = at.to_string();
            cuts.push(self.cut(&["cut", &position, "element"], &cut.element)?);
        }
        Ok(Terms { agreement, permits, withholds, of_encounters, cuts, rung: None })
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

    pub(super) fn path(&self, way: &[&str], text: &str) -> Result<Path, Issue> {
        Path::parse(text).map_err(|error| self.fault(way, error.to_string()))
    }
}

/// Names become names of files, and words in lists: no path, no space, no capital.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

pub(super) fn name_needed(what: &str) -> String {
    format!("{what} is 1 to {NAME_BYTES_MAX} of the characters a-z, 0-9, `-` and `_`")
}

fn words<T: AsRef<str>>(known: &[T]) -> String {
    known.iter().map(|word| format!("`{}`", word.as_ref())).collect::<Vec<_>>().join(", ")
}
