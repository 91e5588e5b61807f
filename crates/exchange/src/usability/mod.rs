//! Usability: what makes a resource unusable for the purpose it is sent for, and who can mend it.
//!
//! Comes in   a `Disclosure`, and what it is sent for.
//! Goes out   findings: a word, places, who can mend it, one step. Before sending and in the
//!            acknowledgement they are the same.
//! Never      a repair: what is wrong in the chart is mended in the chart. Never a value of a
//!            resource. Never the EHR's fault what a rule of the agreement keeps here.
//!
//! Why tell at all, when the payer may refuse: payers take what they can read, and set aside what
//! they cannot use months later. Whoever can mend it has forgotten the patient by then.

mod checks;
mod looks;
mod numbers;
mod seen;
mod word;

#[cfg(test)]
mod tests;

pub use word::{FindingCode, Mender};

use crate::disclosure::Disclosure;
use crate::issue::{Code, Issue};
use crate::limits::{FINDING_PLACES_MAX, FINDING_PLACES_SHOWN_MAX};
use crate::purpose::Purpose;
use crate::shape::{NOT_COLLECTED, REFERENCE_UNREADABLE, UNRESOLVED};
use checks::{CHECKS, Check, Look};
use fhir::Node;
use seen::{Seen, Travelling};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The same thing found at one or many places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What is wrong.
    pub word: FindingCode,
    /// Who can mend it.
    pub actor: Mender,
    /// What they do, one sentence.
    pub step: String,
    /// The rule that keeps the element here, where that is why it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_by: Option<String>,
    /// The purposes that it stands in the way of.
    pub purposes: Vec<Purpose>,
    /// At how many places.
    pub count: u64,
    /// The first of them, at most [`FINDING_PLACES_MAX`], sorted.
    pub places: Vec<FindingPlace>,
}

/// One place of a finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FindingPlace {
    /// `Type/id` in the source.
    pub record: String,
    /// FHIRPath in the resource as the source has it, of what is wrong or missing.
    pub expression: String,
}

/// Something that is missing of one resource.
pub(crate) struct Lack {
    expression: String,
    cut_by: Option<String>,
}

impl Lack {
    /// Below the resource itself.
    fn of(seen: &Seen<'_>, path: &str, cut_by: Option<&str>) -> Lack {
        Lack { expression: seen.place(path), cut_by: cut_by.map(str::to_owned) }
    }

    /// Below an element.
    fn under(node: Node<'_, '_>, path: &str, cut_by: Option<&str>) -> Lack {
        let expression = format!("{}.{path}", node.expression());
        Lack { expression, cut_by: cut_by.map(str::to_owned) }
    }
}

/// Who can mend what a rule keeps here, and how.
const KEPT_HERE: &str = "nothing where the rule is meant; else narrow it, and push again";
const BROKEN: &str = "have the EHR give what the reference names, or mend the reference";

/// Whether a rule cuts what is broken in the chart, and not what may not travel.
fn is_broken(rule: &str) -> bool {
    [UNRESOLVED, NOT_COLLECTED, REFERENCE_UNREADABLE].contains(&rule)
}

/// What is unusable in what would travel, for this purpose: in the order of the table, folded.
/// The same disclosure gives the same findings. `source_base` is the base URL of the source.
pub fn findings(disclosure: &Disclosure, purpose: Purpose, source_base: &str) -> Vec<Finding> {
    let push = Travelling::of(disclosure, source_base);
    let mut folded: BTreeMap<Key, Finding> = BTreeMap::new();
    let needed =
        CHECKS.iter().enumerate().filter(|(_, check)| check.demand.purposes.contains(&purpose));
    for (row, check) in needed {
        for seen in check.demand.kinds.iter().flat_map(|kind| push.of_kind(kind)) {
            if (check.only)(seen, &push) {
                for lack in check.look.lacks(seen, &push) {
                    let record = seen.record.clone();
                    let finding = Finding::new(check, lack.cut_by);
                    let key = (first_row(row), finding.cut_by.clone());
                    let place = FindingPlace { record, expression: lack.expression };
                    folded.entry(key).or_insert(finding).places.push(place);
                }
            }
        }
    }
    folded.into_values().map(Finding::bounded).collect()
}

/// Rows that ask the same of several types fold into the first of them.
type Key = (usize, Option<String>);

fn first_row(row: usize) -> usize {
    let same = |other: &Check| {
        let check = &CHECKS[row];
        let asked = |Check { demand: it, .. }: &Check| (it.word, it.actor, it.step, it.purposes);
        asked(other) == asked(check)
    };
    CHECKS.iter().position(same).unwrap_or(row)
}

impl Look {
    fn lacks<'r>(&self, seen: &Seen<'r>, push: &Travelling<'r>) -> Vec<Lack> {
        let lack = |path: &str, rule: Option<&str>| vec![Lack::of(seen, path, rule)];
        match self {
            Look::Any(paths) => {
                let mut cut_by = None;
                for path in *paths {
                    match seen.said(&seen.at(path)) {
                        Ok(()) => return Vec::new(),
                        Err(rule) => cut_by = cut_by.or(rule),
                    }
                }
                lack(paths.first().unwrap_or(&""), cut_by)
            }
            Look::Coded(path, systems) => {
                let found = seen.at(path);
                if found.here.iter().any(|concept| seen.is_coded(*concept, systems)) {
                    return Vec::new();
                }
                let below = || seen.at(&format!("{path}.coding")).cut_by;
                lack(path, found.cut_by.or_else(below))
            }
            Look::Is(path, codes) if seen.has_code(path, codes) => Vec::new(),
            Look::Is(path, _) => lack(path, seen.at(path).cut_by),
            Look::Leads(paths) => looks::dangling(seen, push, paths),
            Look::By(look) => look(seen, push),
        }
    }
}

impl Finding {
    fn new(check: &Check, cut_by: Option<String>) -> Finding {
        let Demand { word, purposes, actor, step, .. } = check.demand;
        let (actor, step) = match cut_by.as_deref() {
            None => (actor, step),
            Some(rule) if is_broken(rule) => (Mender::InterfaceTeam, BROKEN),
            Some(_) => (Mender::AgreementKeeper, KEPT_HERE),
        };
        Finding {
            word,
            actor,
            step: step.to_owned(),
            cut_by,
            purposes: purposes.to_vec(),
            count: 0,
            places: Vec::new(),
        }
    }

    fn bounded(mut self) -> Finding {
        self.places.sort();
        self.places.dedup();
        self.count = self.places.len() as u64;
        self.places.truncate(FINDING_PLACES_MAX);
        self
    }

    /// The first places in words, and how many more there are.
    fn where_words(&self) -> String {
        let shown = self.places.iter().take(FINDING_PLACES_SHOWN_MAX);
        let mut words: Vec<String> =
            shown.map(|place| format!("{} at {}", place.record, place.expression)).collect();
        match self.count.saturating_sub(words.len() as u64) {
            0 => {}
            more => words.push(format!("{more} more")),
        }
        words.join(", ")
    }

    /// What is wrong, who can mend it and where, in one line each.
    pub fn lines(&self) -> [String; 3] {
        [self.to_string(), format!("{}: {}", self.actor, self.step), self.where_words()]
    }
}

impl fmt::Display for Finding {
    /// The word, how often, what it means, and the rule that is the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.word, times(self.count), self.word.title())?;
        match &self.cut_by {
            Some(rule) => write!(f, " (cut by rule {rule})"),
            None => Ok(()),
        }
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// One row of the table: what is looked at, for people and documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// What it is called when it is not so.
    pub word: FindingCode,
    /// Resource types.
    pub kinds: &'static [&'static str],
    /// For which purposes it is needed.
    pub purposes: &'static [Purpose],
    /// Who can mend it.
    pub actor: Mender,
    /// What they do, in the imperative.
    pub step: &'static str,
    /// The rule or guide that asks for it.
    pub source: &'static str,
}

/// The whole table, in the order in which findings are told.
pub fn demands() -> impl Iterator<Item = &'static Demand> {
    CHECKS.iter().map(|check| &check.demand)
}

/// Why a push waits for a person before it is sent: one issue for each finding whose word the
/// agreement holds by. None: it does not wait.
pub fn holding(findings: &[Finding], hold: &[FindingCode]) -> Vec<Issue> {
    let held = findings.iter().filter(|finding| hold.contains(&finding.word));
    held.map(|finding| {
        let [what, who, _] = finding.lines();
        let issue = Issue::new(Code::NotUsable, format!("{what}; {who}"));
        match finding.places.first() {
            Some(place) => issue.at(&place.expression),
            None => issue,
        }
    })
    .collect()
}
