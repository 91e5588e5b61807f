//! Receipt: one manifest of a bulk submission, at the house that receives it.
//!
//! Comes in   the lines of one receipt's chain, in their order.
//! Goes out   how far it was fetched, what was filed of it, what its submitter is told.
//! Never      a line of a file, and never more than a few digests of what grows with the files.
//!
//! Why it is its own checkpoint: it is written in the unit that files a batch, so a restart goes on
//! behind the last line that was filed, and no line is filed twice.

use super::received::{Step, lane};
use super::{Counts, ManifestRef};
use crate::id::{Digest, PartnerId, SubmissionId};
use crate::issue::Issue;
use crate::ledger::{Chain, Event};
use crate::purpose::Purpose;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Digests of a list that may grow without end: the newest ones, and those of stored pages that hold
/// `PAGE` earlier ones each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Roll {
    /// Stored pages, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<Digest>,
    /// What came after them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last: Vec<Digest>,
}

/// Digests of one page of a roll: some 4 KB.
pub const PAGE: usize = 64;

impl Roll {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.last.is_empty()
    }

    /// One more; the page to store, where one is full by it.
    pub fn push(&mut self, digest: Digest) -> Option<(Digest, Vec<u8>)> {
        self.last.push(digest);
        if self.last.len() < PAGE {
            return None;
        }
        let full = std::mem::take(&mut self.last);
        let text = full.iter().map(Digest::to_string).collect::<Vec<_>>().join("\n").into_bytes();
        let page = Digest::of(&text);
        self.pages.push(page);
        Some((page, text))
    }

    /// The digests of a stored page.
    pub fn page(text: &[u8]) -> Option<Vec<Digest>> {
        std::str::from_utf8(text).ok()?.lines().map(|line| line.parse().ok()).collect()
    }
}

/// Where the next line to work on stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// Which step of the list, from 0: a file, or another look at what waits.
    pub step: u32,
    /// Lines of it that were worked on.
    pub line: u64,
    /// Bytes of it, unpacked, that were.
    pub offset: u64,
    /// Resources among those lines, readable or not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resources: u64,
    /// Headers of blocks among them (organised files).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub headers: u64,
}

impl Place {
    /// The beginning of a step.
    pub fn at(step: u32) -> Place {
        Place { step, ..Place::default() }
    }
}

/// The block that is open behind the place (organised files): its lines go on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Open {
    /// Logical id of its Patient.
    pub patient: String,
    /// `system` and `value` of the push it is, where its sender is a house.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<(String, String)>,
    /// When its sender read the chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// What became of its lines so far.
    pub counts: Counts,
    /// Why none of its lines is filed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Issue>,
    /// Whether its Provenance was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub said: bool,
    /// How many of its lines wait until it says what it is for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u64,
}

/// A batch: lines that were worked on together. Once it is written, they are never looked at again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worked {
    /// Where the next line stands.
    pub place: Place,
    /// What became of them.
    pub counts: Counts,
    /// The stored names of the records that stand for them, a line each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Digest>,
    /// What the submitter is told of them, NDJSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Digest>,
    /// How many OperationOutcomes of each severity that is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub severities: BTreeMap<String, u64>,
    /// Those of them that wait for their Patients, NDJSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Digest>,
    /// How many wait.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waiting: u64,
    /// The block that goes on behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Open>,
    /// How many lines wait no more, because their block is refused.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a receipt was before the file that is being read: what comes back where that is another file now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    open: Option<Open>,
    counts: Counts,
    told: Mark,
    severities: BTreeMap<String, u64>,
    staged: Mark,
    waiting: u64,
    #[serde(default)]
    held: Option<Mark>,
}

/// How far a roll was filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pages: usize,
    last: Vec<Digest>,
}

impl Mark {
    fn of(roll: &Roll) -> Mark {
        Mark { pages: roll.pages.len(), last: roll.last.clone() }
    }

    fn back(self, roll: &mut Roll) {
        roll.pages.truncate(self.pages);
        roll.last = self.last;
    }
}

/// Where a receipt stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ReceiptState {
    /// The clock has work: something is to be fetched.
    Due {
        /// Not before then.
        at: Timestamp,
    },
    /// The exchange with its sender is suspended.
    Suspended,
    /// All is fetched, and lines wait for Patients that other manifests may bring.
    Waiting,
    /// Nothing is left to do.
    Ended,
    /// Nothing of it could be fetched.
    Failed,
    /// Its submitter discarded it.
    Discarded,
}

/// The state word of a receipt whose sender is suspended.
pub const SUSPENDED: &str = "receipt-suspended";

/// One manifest of a submission: a projection of its chain, with what its request says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Its id: of its row, its chain, and what its records are filed under.
    pub id: SubmissionId,
    /// Of which submission.
    pub submission: SubmissionId,
    /// Which of its receipts, from 1.
    pub number: u32,
    /// Who signed in.
    pub sender: PartnerId,
    /// The stored `$bulk-submit` that brought it.
    pub request: Digest,
    /// What the token of that request was given for, where it was given for purposes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purposes: Option<BTreeSet<Purpose>>,
    /// `manifestUrl`.
    pub url: String,
    /// `fhirBaseUrl`.
    pub base_url: String,
    /// Where it stands.
    #[serde(flatten)]
    pub state: ReceiptState,
    /// The stored list of its files, once its manifest was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<Digest>,
    /// How many files it has.
    #[serde(default)]
    pub files: u64,
    /// Where the next line stands.
    #[serde(default)]
    pub place: Place,
    /// The block that is open there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Open>,
    /// What whoever fetches needs to go on there: of the file server, so it is in no line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// How often the file there was found to be another one.
    #[serde(default)]
    pub restarts: u32,
    /// What it was before the file there, once some of that was worked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Before>>,
    /// What became of all lines so far.
    #[serde(default)]
    pub counts: Counts,
    /// What its submitter is told, NDJSON.
    #[serde(default)]
    pub told: Roll,
    /// How many OperationOutcomes of each severity that is.
    #[serde(default)]
    pub severities: BTreeMap<String, u64>,
    /// Lines that wait for their Patients.
    #[serde(default)]
    pub staged: Roll,
    /// How many wait.
    #[serde(default)]
    pub waiting: u64,
    /// How far they went before the first line of the open block, where some of that wait for its word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Mark>,
    /// Those of them that are being looked at again; `place.line` of these stored contents are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Roll>,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// Why it waits or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<Issue>,
}

impl Receipt {
    /// The receipt that a first line begins.
    pub fn begin(
        id: SubmissionId,
        at: Timestamp,
        event: &Event,
        sender: PartnerId,
        manifest: &ManifestRef,
    ) -> Option<Receipt> {
        let Event::BulkReceived(step) = event else { return None };
        let Step::Began { submission, receipt, request } = &**step else { return None };
        Some(Receipt {
            id,
            submission: submission.clone(),
            number: *receipt,
            sender,
            request: *request,
            purposes: None,
            url: manifest.url.clone(),
            base_url: manifest.base_url.clone(),
            state: ReceiptState::Due { at },
            list: None,
            files: 0,
            place: Place::default(),
            open: None,
            mark: None,
            restarts: 0,
            before: None,
            counts: Counts::default(),
            told: Roll::default(),
            severities: BTreeMap::new(),
            staged: Roll::default(),
            waiting: 0,
            held: None,
            again: None,
            failures: 0,
            issue: None,
        })
    }

    /// Takes one line into account; the pages of rolls that are full by it, to be stored with it.
    #[must_use]
    pub fn apply(&mut self, at: Timestamp, event: &Event) -> Vec<(Digest, Vec<u8>)> {
        let Event::BulkReceived(step) = event else { return Vec::new() };
        let mut full = Vec::new();
        match &**step {
            Step::Listed { list, files, .. } => {
                (self.list, self.files, self.failures) = (Some(*list), *files, 0);
                self.state = ReceiptState::Due { at };
            }
            Step::Worked(worked) => {
                match self.place.step == worked.place.step {
                    true if self.again.is_none() && self.before.is_none() => {
                        self.before = Some(Box::new(self.now()));
                    }
                    true => {}
                    false => (self.restarts, self.before) = (0, None),
                }
                (self.place, self.mark) = (worked.place, None);
                self.counts = self.counts.and(worked.counts);
                self.open.clone_from(&worked.open);
                full.extend(worked.told.and_then(|told| self.told.push(told)));
                if let Some(held) = self.held.take_if(|_| worked.dropped > 0) {
                    held.back(&mut self.staged);
                    self.waiting = self.waiting.saturating_sub(worked.dropped);
                }
                match worked.open.as_ref().is_some_and(|open| open.held > 0) {
                    true => drop(self.held.get_or_insert_with(|| Mark::of(&self.staged))),
                    false => self.held = None,
                }
                full.extend(worked.staged.and_then(|staged| self.staged.push(staged)));
                for (severity, count) in &worked.severities {
                    *self.severities.entry(severity.clone()).or_default() += count;
                }
                self.waiting += worked.waiting;
                (self.failures, self.issue) = (0, None);
            }
            Step::Again {} => {
                self.again = Some(std::mem::take(&mut self.staged));
                (self.waiting, self.place) = (0, Place::at(self.place.step));
            }
            Step::Looked {} => {
                self.again = None;
                self.place = Place::at(self.place.step + 1);
            }
            Step::Restarted { issue } => {
                self.restarts += 1;
                self.issue = Some(issue.clone());
                (self.place, self.mark) = (Place::at(self.place.step), None);
                if let Some(before) = self.before.take() {
                    let Before { open, counts, told, severities, staged, waiting, held } = *before;
                    (self.open, self.counts, self.waiting) = (open, counts, waiting);
                    self.held = held;
                    self.severities = severities;
                    told.back(&mut self.told);
                    staged.back(&mut self.staged);
                }
            }
            Step::Suspended { issue } => {
                self.issue = Some(issue.clone());
                self.state = ReceiptState::Suspended;
            }
            Step::Resumed {} => (self.issue, self.state) = (None, ReceiptState::Due { at }),
            Step::Delayed { until, issue } => {
                self.failures += 1;
                self.issue = Some(issue.clone());
                self.state = ReceiptState::Due { at: *until };
            }
            Step::Failed { issue, told } => {
                self.issue = Some(issue.clone());
                full.extend(self.told.push(*told));
                *self.severities.entry(issue.severity().to_owned()).or_default() += 1;
                self.state = ReceiptState::Failed;
            }
            Step::Fetched { waits } => {
                self.state = if *waits { ReceiptState::Waiting } else { ReceiptState::Ended };
                (self.open, self.held, self.mark) = (None, None, None);
            }
            Step::Counted { told } => {
                full.extend(self.told.push(*told));
                *self.severities.entry("information".to_owned()).or_default() += 1;
            }
            Step::Ended {} => self.state = ReceiptState::Ended,
            Step::Discarded {} => self.state = ReceiptState::Discarded,
            _ => {}
        }
        full
    }

    fn now(&self) -> Before {
        Before {
            open: self.open.clone(),
            counts: self.counts,
            told: Mark::of(&self.told),
            severities: self.severities.clone(),
            staged: Mark::of(&self.staged),
            waiting: self.waiting,
            held: self.held.clone(),
        }
    }

    /// When the clock has work on it.
    pub fn due(&self) -> Option<Timestamp> {
        match self.state {
            ReceiptState::Due { at } => Some(at),
            _ => None,
        }
    }

    /// The word for lists.
    pub fn state_word(&self) -> &'static str {
        match self.state {
            ReceiptState::Due { .. } => "receipt-due",
            ReceiptState::Suspended => SUSPENDED,
            ReceiptState::Waiting => "receipt-waiting",
            ReceiptState::Ended => "receipt-ended",
            ReceiptState::Failed => "receipt-failed",
            ReceiptState::Discarded => "receipt-discarded",
        }
    }

    /// The state word that a receipt's lines add up to; what only its request says plays no part.
    pub fn word_of<'a>(
        lines: impl IntoIterator<Item = (Timestamp, &'a Event)>,
    ) -> Option<&'static str> {
        let mut lines = lines.into_iter();
        let (at, first) = lines.next()?;
        let nowhere = ManifestRef {
            url: String::new(),
            base_url: String::new(),
            headers: Vec::new(),
            oauth_metadata: Vec::new(),
        };
        let mut receipt = Receipt::begin("".into(), at, first, "".into(), &nowhere)?;
        lines.for_each(|(at, event)| drop(receipt.apply(at, event)));
        Some(receipt.state_word())
    }

    /// Its chain in the ledger.
    pub fn chain(&self) -> Chain {
        Chain::Submission(self.id.clone())
    }

    /// Its lane: that of its submission.
    pub fn lane(&self) -> String {
        lane(&self.submission)
    }
}

#[cfg(test)]
mod tests;
