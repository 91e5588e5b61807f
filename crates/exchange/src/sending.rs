//! Sending: a bulk submission to a payer, from the first push that it gathers until its files are served
//! no more (Bulk Data 4.0.0-ballot, Bulk Submit).
//!
//! Comes in   the lines of one submission's chain, in their order.
//! Goes out   its next step and when; what the payer is to be told next.
//! Never      a state that no line explains, and never a resource: manifests name stored plans.
//!
//! Why one row for many pushes and none of them in it: a push says itself which submission it goes with,
//! so that many can join at once without writing the same row. Those that joined are listed in the plan of a
//! manifest, once it is full or nothing more is gathered; from then on the plan says whom an outcome is for.
//! Until the payer knows the end, a manifest of which a push stands no more is told anew in its place.

pub mod outcomes;
pub mod plan;
mod pulled;

pub use pulled::Pulled;

use crate::id::{Digest, PartnerId, SubmissionId};
use crate::issue::Issue;
use crate::ledger::{Chain, Event};
use crate::purpose::Purpose;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What the payer is told of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// A manifest is there to be fetched.
    Manifest(u32),
    /// No more is to come.
    Completed,
    /// What was loaded of it is to go.
    Stopped,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Manifest(number) => write!(f, "manifest {number}"),
            Message::Completed => f.write_str("the end (completed)"),
            Message::Stopped => f.write_str("the stop (stopped)"),
        }
    }
}

/// How a submission ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Nothing was left to send.
    Empty,
    /// Each of its pushes has the payer's word.
    Settled,
    /// The payer would not have it as a whole, or gave no word: its pushes wait for a person.
    Failed,
    /// A person had it stopped.
    Stopped,
    /// The payer that had asked for it did not fetch all of it.
    Unfetched,
}

impl End {
    /// The word for lists.
    pub const fn word(self) -> &'static str {
        match self {
            End::Empty => "empty",
            End::Settled => "settled",
            End::Failed => "failed",
            End::Stopped => "stopped",
            End::Unfetched => "unfetched",
        }
    }

    /// In words for people.
    pub const fn words(self) -> &'static str {
        match self {
            End::Empty => "ended: nothing was left to send",
            End::Settled => "settled: each push has the payer's word",
            End::Failed => "failed as a whole: its pushes wait for a person",
            End::Stopped => "stopped by a person",
            End::Unfetched => "ended: the payer did not fetch all of what it had asked for",
        }
    }
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Wait for more pushes; make a manifest of as many as it holds; close once none came for a while.
    Gather,
    /// Say in each push that it is sent now, and make a manifest; once nothing is left, tell the end.
    Make,
    /// Tell the payer what it does not know yet.
    Tell,
    /// Ask for the status.
    Ask,
    /// Poll the status.
    Poll,
    /// Settle each push by its own outcomes.
    Settle,
    /// The payer fetches it until then, since it asked for it, or no other word of it was agreed on; or
    /// settle each push by what was fetched.
    Pull,
    /// It has ended: its files are served until then.
    Serve,
    /// Nothing.
    Rest,
}

/// A manifest of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Counted from 1.
    pub number: u32,
    /// The stored list of its files and of what lies where in them (`plan::Plan`).
    pub plan: Digest,
    /// The manifest that it takes the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u32>,
    /// Pushes.
    pub pushes: u64,
    /// Resources, headers aside.
    pub resources: u64,
    /// Files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The payer knows of it.
    #[serde(default)]
    pub told: bool,
}

impl Manifest {
    /// Whether a file's URL ends so because it is one of this manifest.
    fn names(&self, file: &str) -> bool {
        file.split_once('-').is_some_and(|(number, _)| number.parse() == Ok(self.number))
    }
}

/// A bulk submission of a sending house: a projection of its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    /// Its id, as the payer knows it (`submissionId`).
    pub id: SubmissionId,
    /// The payer.
    pub payer: PartnerId,
    /// What for: a submission serves one purpose, as its tokens do.
    pub purpose: Purpose,
    /// The payer's base URL.
    pub endpoint: String,
    /// When its first push came.
    pub opened: Timestamp,
    /// When it must be settled.
    pub deadline: Timestamp,
    /// What is next.
    pub step: Step,
    /// When.
    pub at: Timestamp,
    /// In their order.
    pub manifests: Vec<Manifest>,
    /// Nothing more is gathered.
    #[serde(default)]
    pub closed: bool,
    /// The payer knows that no more comes.
    #[serde(default)]
    pub completed: bool,
    /// A person wants it stopped.
    #[serde(default)]
    pub stopping: bool,
    /// The payer may know of it.
    #[serde(default)]
    pub known: bool,
    /// How often its present step was tried.
    pub attempt: u32,
    /// How many of the tries of what the payer is told now brought no answer: it may know it all the same.
    #[serde(default)]
    pub unanswered: u32,
    /// Where its status is polled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What the payer has said while it is at work: files of outcomes, and errors that it counts in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partly: Option<(u64, u64)>,
    /// What it gives back, or asks for.
    #[serde(default, skip_serializing_if = "outcomes::BackOf::is_empty")]
    pub back: outcomes::BackOf,
    /// Files that were given to their last byte, where that is what settles its pushes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub given: BTreeSet<String>,
    /// The stored outcomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<Digest>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// Why it waits, or failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<Issue>,
    /// Where the payer asked for it itself: it is told nothing, and fetches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulled: Option<Box<Pulled>>,
}

impl Sending {
    /// What its first line makes; `None` where the line is another one.
    pub fn begin(at: Timestamp, event: &Event) -> Option<Sending> {
        let Event::SendingOpened { submission, payer, purpose, endpoint, until, deadline, pull } =
            event.clone()
        else {
            return None;
        };
        Some(Sending {
            id: submission,
            payer,
            purpose,
            endpoint,
            opened: at,
            deadline,
            step: Step::Gather,
            at: until,
            manifests: Vec::new(),
            closed: false,
            completed: false,
            stopping: false,
            known: false,
            attempt: 0,
            unanswered: 0,
            place: None,
            partly: None,
            back: outcomes::BackOf::default(),
            given: BTreeSet::new(),
            outcomes: None,
            end: None,
            issues: Vec::new(),
            pulled: pull.map(|asked| Box::new(Pulled::new(*asked))),
        })
    }

    /// The submission its chain adds up to; `None` when the chain does not begin with its opening.
    pub fn replay<'a>(lines: impl IntoIterator<Item = (Timestamp, &'a Event)>) -> Option<Sending> {
        let mut lines = lines.into_iter();
        let (at, first) = lines.next()?;
        let mut sending = Sending::begin(at, first)?;
        lines.for_each(|(at, event)| sending.apply(at, event));
        Some(sending)
    }

    /// Takes one line into account. A file that is fetched leaves it as it is.
    pub fn apply(&mut self, at: Timestamp, event: &Event) {
        match event.clone() {
            Event::SendingKeptOpen { until } => self.at = until,
            Event::SendingClosed { missing, .. } => {
                self.pulled.iter_mut().for_each(|it| it.missing = missing);
                self.closed = true;
                self.go_on(Step::Make, at);
            }
            Event::PullSpread { members } => {
                self.pulled.iter_mut().for_each(|it| it.members = Some(members));
                self.at = at;
            }
            Event::ManifestMade { manifest, plan, replaces, pushes, resources, files, bytes } => {
                let told = false;
                let made = Manifest {
                    number: manifest,
                    plan,
                    replaces,
                    pushes,
                    resources,
                    files,
                    bytes,
                    told,
                };
                self.manifests.push(made);
                match self.pulled {
                    Some(_) if files > 0 => self.go_on(Step::Pull, self.deadline),
                    Some(_) => self.go_on(Step::Pull, at),
                    None => self.go_on(Step::Tell, at),
                }
            }
            Event::Intended { attempt, .. } => {
                (self.attempt, self.known) = (attempt, true);
                self.unanswered += 1;
                self.step = Step::Tell;
            }
            Event::Answered { .. } => self.unanswered = self.unanswered.saturating_sub(1),
            Event::SendingTold { message } => self.told(message, at),
            Event::Delayed { until, issue } => {
                if self.step != Step::Tell {
                    self.attempt += 1; // a message counts when it is intended
                }
                (self.at, self.issues) = (until, vec![issue]);
            }
            Event::Polling { place, until } => {
                self.attempt = if self.place.is_some() { self.attempt + 1 } else { 1 };
                self.place = Some(place);
                self.issues.clear();
                (self.step, self.at) = (Step::Poll, until);
            }
            Event::SendingPartly { files, errors } => self.partly = Some((files, errors)),
            Event::SendingAnswered { outcomes, back } => {
                self.back = back;
                self.outcomes = Some(outcomes);
                self.go_on(Step::Settle, at);
            }
            Event::FilesAwaited {} => {
                self.go_on(Step::Pull, if self.is_given() { at } else { self.deadline });
            }
            Event::SendingStopAsked { .. } => {
                self.stopping = true;
                let next = if self.pulled.is_some() { Step::Pull } else { Step::Tell };
                self.go_on(next, at);
            }
            Event::FileGiven { file } => {
                self.given.insert(file);
                if self.step == Step::Pull && self.is_given() {
                    self.at = at;
                }
            }
            Event::PullDeleted {} => {
                self.pulled.iter_mut().for_each(|it| it.deleted = true);
                let next = if self.end.is_some() { Step::Serve } else { Step::Pull };
                self.go_on(next, at);
            }
            Event::SendingEnded { end, until, issues } => {
                self.end = Some(end);
                self.go_on(Step::Serve, until);
                self.issues = issues;
            }
            Event::FilesWithdrawn {} => self.step = Step::Rest,
            _ => {}
        }
    }

    fn told(&mut self, message: Message, at: Timestamp) {
        match message {
            Message::Manifest(number) => {
                let told = self.manifests.iter_mut().filter(|it| it.number == number);
                told.for_each(|it| it.told = true);
            }
            Message::Completed => self.completed = true,
            Message::Stopped => {}
        }
        let next = match message {
            Message::Completed => Step::Ask,
            Message::Stopped => Step::Tell,
            Message::Manifest(_) if self.untold().is_some() => Step::Tell,
            Message::Manifest(_) if self.closed => Step::Make,
            Message::Manifest(_) => Step::Gather,
        };
        self.go_on(next, at);
    }

    fn go_on(&mut self, step: Step, at: Timestamp) {
        self.issues.clear();
        (self.step, self.at, self.attempt, self.unanswered) = (step, at, 0, 0);
    }

    /// What the payer is to be told next; `None`: it knows all, or more is gathered first.
    pub fn message(&self) -> Option<Message> {
        if self.stopping {
            return Some(Message::Stopped);
        }
        let ends = self.closed && !self.completed;
        self.untold().map(Message::Manifest).or(ends.then_some(Message::Completed))
    }

    fn untold(&self) -> Option<u32> {
        self.standing().find(|it| !it.told).map(|it| it.number)
    }

    /// Whether pushes may join it.
    pub fn is_open(&self) -> bool {
        self.pulled.is_none() && !self.closed && !self.stopping && self.end.is_none()
    }

    /// The manifests that count: those that no later one takes the place of.
    pub fn standing(&self) -> impl Iterator<Item = &Manifest> {
        let replaced: Vec<u32> = self.manifests.iter().filter_map(|it| it.replaces).collect();
        self.manifests.iter().filter(move |it| !replaced.contains(&it.number))
    }

    /// Whether its files are there to be fetched: not from the moment on in which a person stops it.
    pub fn serves(&self) -> bool {
        let over = self.pulled.as_ref().is_some_and(|it| it.deleted || self.manifests.is_empty());
        let taken_back = self.stopping || matches!(self.end, Some(End::Stopped | End::Failed));
        !over && !taken_back && self.step != Step::Rest
    }

    /// Whether the payer has fetched every file to its end.
    pub fn is_given(&self) -> bool {
        let of = |manifest: &Manifest| {
            let own = self.given.iter().filter(|file| manifest.names(file));
            own.count() as u64 >= manifest.files
        };
        !self.manifests.is_empty() && self.standing().all(of)
    }

    /// When a clock has work on it.
    pub fn due(&self) -> Option<Timestamp> {
        (self.step != Step::Rest).then_some(self.at)
    }

    /// The word for lists, behind `sending-`: `open`, `offered`, `completed`, then how it ended, and
    /// `over` once its files are not served any more.
    pub fn state_word(&self) -> &'static str {
        match (self.step, self.end) {
            (Step::Rest, _) => "sending-over",
            (_, Some(End::Empty)) => "sending-empty",
            (_, Some(End::Settled)) => "sending-settled",
            (_, Some(End::Failed)) => "sending-failed",
            (_, Some(End::Stopped)) => "sending-stopped",
            (_, Some(End::Unfetched)) => "sending-unfetched",
            (_, None) if self.is_open() => OPEN,
            // No other push may join it.
            (Step::Gather, None) => "sending-pulled",
            (Step::Make | Step::Tell, None) => "sending-offered",
            (Step::Pull, None) if !self.completed => "sending-offered",
            (_, None) => "sending-completed",
        }
    }

    /// Its chain in the ledger.
    pub fn chain(&self) -> Chain {
        Chain::Sending(self.id.clone())
    }
}

/// The state word of a submission that gathers pushes.
pub const OPEN: &str = "sending-open";

#[cfg(test)]
mod tests;
