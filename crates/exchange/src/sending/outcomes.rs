//! Outcomes: what a payer said of a submission, and what that means for each of its pushes.
//!
//! Comes in   lines of outcome files, as the payer wrote them; a push and its contents.
//! Goes out   whom errors are about; for a push one next word, and the answer that is kept of it.
//! Never      takes silence for refusal: once the payer has done with a submission, what no error names
//!            is filed (Bulk Data 4.0.0-ballot, Bulk Submit Status: outcomes are of what went wrong).
//!            Never repeats a payer's sentences, as *settle* does not.

use crate::assemble::Content;
use crate::bulk::{Counts, StatusFile, Told, Whom};
use crate::issue::{CODE_SYSTEM, Code, Issue};
use crate::limits::{BACK_KINDS_MAX, ISSUES_MAX, OUTCOME_WORDS_MAX, PUSH_KEY_BYTES_MAX};
use crate::place;
use crate::purpose::Level;
use crate::settle::{Next, read_words};
use bytes::Bytes;
use fhir::{BundleType, BundleWriter, EntryToWrite, Resource, ResponseToWrite};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What was said, by whom it is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcomes {
    /// Of the submission as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub whole: Vec<Issue>,
    /// Of a manifest as a whole, by its number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub manifests: BTreeMap<u32, Vec<Issue>>,
    /// Of a resource, `Type/id at the payer`: which of `said`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub records: BTreeMap<String, u32>,
    /// What is said of resources, each once: of a hundred thousand that are refused most are in the same
    /// words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<Vec<Issue>>,
    /// Of a push, by `system|value` of its key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pushes: BTreeMap<String, Vec<Issue>>,
    /// Files of resources that the payer gives back, and of deletions that it asks for.
    #[serde(default, skip_serializing_if = "BackOf::is_empty")]
    pub back: BackOf,
    /// In numbers, of a push, where the payer is a house.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, Counts>,
}

/// How many files of resources a payer gives back (`output`), and of deletions that it asks for (`deleted`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BackOf {
    /// Of each type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub output: BTreeMap<String, u64>,
    /// Of deletions.
    #[serde(default)]
    pub deleted: u64,
}

/// A type that is none, or one of more than are named.
const OTHER: &str = "other types";

impl BackOf {
    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.output.is_empty() && self.deleted == 0
    }
}

impl fmt::Display for BackOf {
    /// Behind a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in &self.output {
            write!(f, "; it gives back {count} of {kind}")?;
        }
        match self.deleted {
            0 => Ok(()),
            count => write!(f, "; it asks for deletions, in {count} files"),
        }
    }
}

/// What a push waits for that the payer keeps for a person.
const HELD: &str = "the payer keeps it until a person there has found the member";

/// The status that an entry has in the kept answer, where the payer refused it and gave no code of ours.
const REFUSED: u16 = 422;

impl Outcomes {
    /// Takes one line of an outcome file, which is about this manifest; `None`: the payer does not say.
    /// `most`: as many resources and pushes as there are for it to name.
    ///
    /// Errors: `AnswerUnreadable` where it is no OperationOutcome, or names more than were sent.
    pub fn take(
        &mut self,
        line: &Resource,
        manifest: Option<u32>,
        most: usize,
    ) -> Result<(), Issue> {
        let unreadable = |detail: &str| Issue::new(Code::AnswerUnreadable, detail);
        let Some(told) = Told::of(line) else {
            return Err(unreadable("a line of the payer's outcomes is no OperationOutcome"));
        };
        if let (Some(counts), [Whom::Push(key), ..]) = (told.counts, &told.whom[..])
            && key.len() <= PUSH_KEY_BYTES_MAX
        {
            self.counts.insert(key.clone(), counts);
        }
        let mut issues = match told.is_error() {
            true => read_words(&told.outcome, REFUSED, Code::PayerRefused),
            false => Vec::new(),
        };
        // Neither refused nor filed: a person at the plan looks for the member.
        if is_held(&told) && issues.iter().all(|issue| issue.code != Code::MemberHeld) {
            issues.insert(0, Issue::new(Code::MemberHeld, HELD));
        }
        if issues.is_empty() {
            return self.bounded(most);
        }
        for whom in &told.whom {
            let said = match whom {
                // Longer than any of ours.
                Whom::Push(key) if key.len() > PUSH_KEY_BYTES_MAX => self.all_of(manifest),
                Whom::Push(key) => self.pushes.entry(key.clone()).or_default(),
                Whom::Resource(reference) => match local(reference) {
                    Some(record) => {
                        self.say_of(record, &issues);
                        continue;
                    }
                    // What names no resource of ours is about all.
                    None => self.all_of(manifest),
                },
            };
            said.extend(issues.iter().cloned());
            said.truncate(ISSUES_MAX);
        }
        if told.whom.is_empty() {
            let said = self.all_of(manifest);
            said.extend(issues);
            said.truncate(ISSUES_MAX);
        }
        self.bounded(most)
    }

    fn bounded(&self, most: usize) -> Result<(), Issue> {
        if self.records.len() + self.pushes.len() + self.counts.len() > most {
            let detail = "the payer's outcomes name more resources than it was sent";
            return Err(Issue::new(Code::AnswerUnreadable, detail));
        }
        Ok(())
    }

    /// Adds to what is said of a resource.
    fn say_of(&mut self, record: String, issues: &[Issue]) {
        let before = self.records.get(&record).and_then(|at| self.said.get(*at as usize));
        let mut words: Vec<Issue> = before.into_iter().flatten().chain(issues).cloned().collect();
        words.truncate(ISSUES_MAX);
        let mut known = self.said.iter().position(|said| *said == words);
        if known.is_none() && self.said.len() >= OUTCOME_WORDS_MAX {
            // Words of its own for each resource: what stays is why, which is one of few.
            let why = words.iter().find(|issue| issue.code == Code::MemberHeld).or(words.first());
            let code = why.map_or(Code::PayerRefused, |issue| issue.code);
            words = vec![Issue::new(code, code.row().title)];
            known = self.said.iter().position(|said| *said == words);
        }
        let at = known.unwrap_or_else(|| {
            self.said.push(words);
            self.said.len() - 1
        });
        self.records.insert(record, u32::try_from(at).unwrap_or(u32::MAX));
    }

    /// Takes a page's lists of files that come back. Of what is no type nothing is repeated.
    pub fn give_back(&mut self, output: &[StatusFile], deleted: &[StatusFile]) {
        for file in output {
            let many = self.back.output.len() >= BACK_KINDS_MAX;
            let named = |kind: &&str| {
                place::is_type(kind) && (!many || self.back.output.contains_key(*kind))
            };
            let kind = file.kind.as_deref().filter(named).unwrap_or(OTHER).to_owned();
            *self.back.output.entry(kind).or_default() += 1;
        }
        self.back.deleted += deleted.len() as u64;
    }

    fn all_of(&mut self, manifest: Option<u32>) -> &mut Vec<Issue> {
        match manifest {
            Some(number) => self.manifests.entry(number).or_default(),
            None => &mut self.whole,
        }
    }

    /// Whether an error is about this very push or one of its contents, and not about all that went with it.
    pub fn names(&self, key: &str, contents: &[Content]) -> bool {
        let named = |it: &Content| self.records.contains_key(&format!("{}/{}", it.kind, it.id));
        self.pushes.contains_key(key) || contents.iter().any(named)
    }

    /// What is said of a push of this manifest, with this key and these contents: the next word, and the
    /// answer to keep. A push of which nothing stands is refused; one of which something is missing waits
    /// for a person.
    pub fn settle(&self, manifest: u32, key: &str, contents: &[Content]) -> (Next, Bytes) {
        let name = |content: &Content| format!("{}/{}", content.kind, content.id);
        let of = |content: &Content| self.said.get(*self.records.get(&name(content))? as usize);
        let answer = answer(contents, of);
        let all = self.manifests.get(&manifest).into_iter().chain(Some(&self.whole));
        let own = self.pushes.get(key).into_iter().chain(all).flatten();
        let mut issues: Vec<Issue> = own.cloned().collect();
        let as_a_whole = !issues.is_empty();
        let mut refused = 0;
        for (at, content) in contents.iter().enumerate() {
            let Some(said) = of(content) else { continue };
            refused += 1;
            let place = format!("Bundle.entry[{at}]");
            issues.extend(said.iter().map(|issue| issue.clone().at(place.clone())));
        }
        issues.truncate(ISSUES_MAX);
        let patient = contents.iter().any(|one| one.kind == "Patient" && of(one).is_some());
        let next = match issues.is_empty() {
            true => Next::Settled(Level::Filed),
            false
                if !as_a_whole
                    && issues.iter().all(|it| it.code != Code::MemberHeld)
                    && (patient || refused == contents.len()) =>
            {
                Next::Refused(issues)
            }
            false => Next::Hold(issues),
        };
        (next, answer)
    }
}

fn is_held(told: &Told) -> bool {
    let codings = told.outcome.issues.iter().filter_map(|issue| issue.coding.as_ref());
    let mut ours = codings.filter(|(system, _)| system.as_deref() == Some(CODE_SYSTEM));
    ours.any(|(_, code)| code == Code::MemberHeld.row().slug)
}

/// `Type/id` of a reference, absolute or relative.
fn local(reference: &str) -> Option<String> {
    let reference = reference.split_once("/_history/").map_or(reference, |(before, _)| before);
    let mut steps = reference.rsplit('/');
    let (id, kind) = (steps.next()?, steps.next()?);
    let local = format!("{kind}/{id}");
    place::type_and_id(&local).is_some().then_some(local)
}

/// What the payer said of each entry, in the form in which a door that answers at once says it, so that
/// an acknowledgement reads both alike. Of what no error names it is known that it stands, no more.
fn answer<'i>(contents: &[Content], of: impl Fn(&Content) -> Option<&'i Vec<Issue>>) -> Bytes {
    let mut writer = BundleWriter::new(BundleType::TransactionResponse);
    for content in contents {
        let said = of(content);
        let status = match (said.and_then(|said| said.first()), content.digest) {
            (Some(issue), _) => match issue.code.row().status {
                status @ 400..=499 => format!("{status} Refused"),
                _ => format!("{REFUSED} Refused"),
            },
            (None, Some(_)) => "200 OK".to_owned(),
            (None, None) => "204 No Content".to_owned(),
        };
        let outcome = said.map(Issue::outcome);
        writer.entry(EntryToWrite {
            response: Some(ResponseToWrite {
                status: &status,
                outcome: outcome.as_deref(),
                ..ResponseToWrite::default()
            }),
            ..EntryToWrite::default()
        });
    }
    writer.finish().into()
}

#[cfg(test)]
mod tests;
