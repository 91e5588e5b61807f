//! Dossiers and pushes: what a push *is* is what its ledger lines add up to.
//!
//! Comes in   events, in the order of their chain.
//! Goes out   the state: due (a clock), held (a person), or ended with a word that says how.
//! Never      a state that no line explains, and never "failed" or "dropped".

mod parts;

pub use parts::{Parts, SMALLER};

use crate::id::{Digest, PartnerId, PushId, SubmissionId, TriggerId, WalkId};
use crate::issue::Issue;
use crate::ledger::{Chain, Event};
use crate::purpose::{Level, Purpose};
use crate::scope::Behalf;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How many resources or elements one rule withheld.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withholding {
    /// The rule's name.
    pub rule: String,
    /// How many resources.
    pub resources: u64,
    /// How many elements within resources that travel.
    pub elements: u64,
}

/// One patient × one payer × one payload kind × one subject. Ids are the source's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dossier {
    /// `Patient.id` in the source.
    pub patient: String,
    /// The payer.
    pub payer: PartnerId,
    /// `encounter`, later `history`, `results`, …
    pub kind: String,
    /// `Encounter/…` in the source.
    pub subject: String,
}

impl Dossier {
    /// The unit of order: what is pushed for one patient to one payer goes one at a time.
    pub fn lane(&self) -> String {
        lane(&self.payer, &self.patient)
    }

    /// The dossier's key in the store.
    pub fn key(&self) -> String {
        format!("{}|{}|{}|{}", self.payer, self.patient, self.kind, self.subject)
    }
}

/// The lane of what is pushed for one patient (`Patient.id` in the source) to one payer.
pub fn lane(payer: &PartnerId, patient: &str) -> String {
    format!("{payer}|{patient}")
}

/// Where a walk or push stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// A clock has work: the next stop is taken at `at`.
    Due {
        /// Which stop is next.
        next: Stop,
        /// When.
        at: Timestamp,
    },
    /// A person has work; the issues say which.
    Held,
    /// The acknowledgement the agreement promises has come.
    Settled {
        /// Which word came.
        level: Level,
    },
    /// Nothing was permitted to travel.
    Withheld,
    /// The payer said no for good.
    Refused,
    /// A newer revision of the dossier went first.
    Superseded,
    /// The same content had been pushed before.
    Unchanged {
        /// As this push.
        push: PushId,
    },
}

/// The stop a due walk goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// Route, collect, shape and assemble: before a push has its number.
    Route,
    /// The payload is stored; send it (again).
    Deliver,
    /// Taken by the payer; ask for the word.
    Poll,
    /// A bulk submission brings it to the payer, and the payer's word.
    Await,
    /// Ended; tell whoever triggered it.
    Acknowledge,
}

/// A walk, and from *assemble* on the push it became: a projection of its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// Its handle in this house.
    pub walk: WalkId,
    /// What started it.
    pub trigger: TriggerId,
    /// Whom and what it is about.
    pub dossier: Dossier,
    /// What for.
    pub purpose: Purpose,
    /// The walk that it takes back, for withdrawals.
    pub withdraws: Option<WalkId>,
    /// `sync` or `async`, as agreed and declared; `pull` where the payer asked for it.
    pub mode: String,
    /// When it must be settled.
    pub deadline: Timestamp,
    /// Seconds from its beginning to its first deadline: a release grants as many again.
    #[serde(default)]
    pub patience: i64,
    /// Where it stands.
    #[serde(flatten)]
    pub state: State,
    /// Since it was assembled: its id, number, digests.
    pub assembled: Option<Assembled>,
    /// The stored decisions of a walk that ended withheld.
    pub disclosure: Option<Digest>,
    /// What stays behind, by rule.
    pub withheld: Vec<Withholding>,
    /// The door, since *route*.
    pub endpoint: Option<String>,
    /// How often its present stop was tried since a person last let it go.
    pub attempt: u32,
    /// Something of it may have left this house.
    pub sent: bool,
    /// Where to ask for the payer's word.
    pub poll: Option<String>,
    /// The bulk submission that brings it to the payer, or did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submission: Option<SubmissionId>,
    /// Digest of the last answer's stored body.
    pub answer: Option<Digest>,
    /// Why it waits, was withheld or refused.
    pub issues: Vec<Issue>,
    /// The ended state has been told to whoever triggered it.
    pub acknowledgement: Option<Digest>,
    /// The walk that withdraws it.
    pub withdrawn_by: Option<WalkId>,
    /// How far it is, where it goes in several requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Box<Parts>>,
    /// Who is the payer in law and who acts for it, as the payor map had it when the walk began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_behalf: Vec<Behalf>,
}

/// The state word of a push that waits in a bulk submission.
pub const SUBMITTED: &str = "submitted";

pub(crate) fn is_zero<N: Default + PartialEq>(count: &N) -> bool {
    *count == N::default()
}

/// What *assemble* made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assembled {
    /// The push's id, as the payer sees it in `Bundle.identifier`.
    pub push: PushId,
    /// Gapless within (patient, payer).
    pub number: u64,
    /// Digest of the shaped content.
    pub digest: Digest,
    /// The stored payload: exactly the bytes that are sent.
    pub payload: Digest,
    /// The stored disclosure: a decision per resource and element.
    pub disclosure: Digest,
    /// How many resources travel.
    pub resources: u64,
    /// The stored usability findings, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<Digest>,
    /// Digest of the restrictions it was shaped by; none where nothing was shaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restrictions: Option<Digest>,
}

impl Push {
    /// The walk that a `Began` event starts.
    pub fn begin(at: Timestamp, event: &Event) -> Option<Push> {
        let Event::Began {
            walk,
            trigger,
            patient,
            payer,
            kind,
            subject,
            purpose,
            withdraws,
            mode,
            deadline,
            patience,
            on_behalf,
        } = event.clone()
        else {
            return None;
        };
        Some(Push {
            walk,
            trigger,
            dossier: Dossier { patient, payer, kind, subject },
            purpose,
            withdraws,
            mode,
            deadline,
            patience: patience.unwrap_or_else(|| deadline.duration_since(at).as_secs()),
            state: State::Due { next: Stop::Route, at },
            assembled: None,
            disclosure: None,
            withheld: Vec::new(),
            endpoint: None,
            attempt: 0,
            sent: false,
            poll: None,
            submission: None,
            answer: None,
            issues: Vec::new(),
            acknowledgement: None,
            withdrawn_by: None,
            parts: None,
            on_behalf,
        })
    }

    /// Another walk of this one's trigger, for the same payer.
    pub fn begun_again(&self, walk: WalkId) -> Event {
        Event::Began {
            walk,
            trigger: self.trigger.clone(),
            patient: self.dossier.patient.clone(),
            payer: self.dossier.payer.clone(),
            kind: self.dossier.kind.clone(),
            subject: self.dossier.subject.clone(),
            purpose: self.purpose,
            withdraws: self.withdraws.clone(),
            mode: self.mode.clone(),
            deadline: self.deadline,
            patience: Some(self.patience),
            on_behalf: self.on_behalf.clone(),
        }
    }

    /// The push its chain adds up to; `None` when the chain does not begin with `Began`.
    pub fn replay<'a>(lines: impl IntoIterator<Item = (Timestamp, &'a Event)>) -> Option<Push> {
        let mut lines = lines.into_iter();
        let (at, first) = lines.next()?;
        let mut push = Push::begin(at, first)?;
        lines.for_each(|(at, event)| push.apply(at, event));
        Some(push)
    }

    /// Takes one line into account.
    pub fn apply(&mut self, at: Timestamp, event: &Event) {
        match event.clone() {
            Event::Routed { endpoint, .. } => self.endpoint = Some(endpoint),
            Event::Assembled {
                push,
                number,
                digest,
                payload,
                disclosure,
                resources,
                withheld,
                findings,
                restrictions,
            } => {
                self.withheld = withheld;
                self.assembled = Some(Assembled {
                    push,
                    number,
                    digest,
                    payload,
                    disclosure,
                    resources,
                    findings,
                    restrictions,
                });
                self.go_on(Stop::Deliver, at);
            }
            Event::Unchanged { push } => self.end(State::Unchanged { push }),
            Event::Withheld { issue, disclosure, withheld } => {
                (self.disclosure, self.withheld) = (Some(disclosure), withheld);
                self.end(State::Withheld);
                self.issues = vec![issue];
            }
            Event::Intended { attempt, part, .. } => {
                (self.attempt, self.sent) = (attempt, true);
                if part.is_some() {
                    self.parts.get_or_insert_default().open = true;
                }
            }
            Event::Answered { answer, .. } => self.answer = Some(answer),
            Event::Parted { part, said, filed, refused, issues, unsure, .. } => {
                let parts = self.parts.get_or_insert_default();
                parts.close(filed);
                (parts.answered, parts.open) = (part, unsure);
                parts.leave_out(refused, issues);
                parts.said.push(said);
                self.attempt = 0;
                self.go_on(Stop::Deliver, at);
            }
            Event::LeftOut { records, issues } => {
                self.parts.get_or_insert_default().leave_out(records, issues);
            }
            Event::SteppedDown { from, .. } => {
                let parts = self.parts.get_or_insert_default();
                parts.close(0);
                parts.step_down(from);
                self.go_on(Stop::Deliver, at);
            }
            Event::Reconciled { found, .. } => {
                self.parts.get_or_insert_default().close(found);
                self.state = State::Due { next: Stop::Deliver, at };
            }
            Event::Delayed { until, issue } => {
                let next = self.next_stop();
                self.state = State::Due { next, at: until };
                if next != Stop::Deliver {
                    self.attempt += 1; // a delivery counts when it is intended
                }
                self.issues = vec![issue];
            }
            Event::Accepted { records, until, issue } => {
                self.parts.get_or_insert_default().accepted = records;
                self.state = State::Due { next: Stop::Deliver, at: until };
                self.issues = vec![issue];
            }
            Event::Polling { place, until } => {
                self.attempt = if self.poll.is_some() { self.attempt + 1 } else { 1 };
                self.poll = Some(place);
                self.issues.clear();
                self.state = State::Due { next: Stop::Poll, at: until };
            }
            Event::Submitted { submission } => {
                (self.submission, self.attempt) = (Some(submission), 0);
                self.issues.clear();
                // The submission moves it; once its own time is over, a person does.
                self.state = State::Due { next: Stop::Await, at: self.deadline };
            }
            Event::Returned { issue } => {
                self.submission = None;
                self.go_on(Stop::Deliver, at);
                self.issues = vec![issue];
            }
            Event::WentAsync { issue, .. } => {
                self.end(State::Superseded);
                self.issues = vec![issue];
            }
            Event::Unfetched { issue } => {
                self.end(State::Superseded);
                self.issues = vec![issue];
            }
            Event::Held { issues } => {
                self.state = State::Held;
                self.issues = issues;
            }
            Event::Settled { level } => {
                // Also where nothing had to be sent: its records stand at the payer.
                self.sent = true;
                self.end(State::Settled { level });
            }
            Event::Refused { issues } => {
                self.end(State::Refused);
                self.issues = issues;
            }
            Event::Superseded { .. } | Event::Outdated { .. } => self.end(State::Superseded),
            Event::Acknowledged { acknowledgement, .. } => {
                self.acknowledgement = Some(acknowledgement);
            }
            Event::Released { .. } => self.release(at),
            Event::WithdrawalAsked { by, .. } => self.withdrawn_by = Some(by),
            _ => {}
        }
    }

    /// A person lets it go on, with as much time as it had at first.
    fn release(&mut self, at: Timestamp) {
        // Not where it was polled: the same bytes go again, and the payer repeats itself.
        (self.attempt, self.poll, self.submission) = (0, None, None);
        if let Some(parts) = &mut self.parts {
            parts.try_again();
        }
        let granted = at.checked_add(SignedDuration::from_secs(self.patience));
        self.deadline = self.deadline.max(granted.unwrap_or(self.deadline));
        self.go_on(self.next_stop(), at);
    }

    /// Which stop a walk goes on with after a wait.
    pub fn next_stop(&self) -> Stop {
        match (&self.assembled, &self.poll, &self.submission) {
            (None, ..) => Stop::Route,
            (Some(_), _, Some(_)) => Stop::Await,
            (Some(_), None, _) => Stop::Deliver,
            (Some(_), Some(_), _) => Stop::Poll,
        }
    }

    fn go_on(&mut self, next: Stop, at: Timestamp) {
        self.issues.clear();
        self.state = State::Due { next, at };
    }

    fn end(&mut self, state: State) {
        self.issues.clear();
        self.poll = None;
        self.state = state;
    }

    /// Whether nothing more will happen by itself, acknowledgement aside.
    pub fn ended(&self) -> bool {
        !matches!(self.state, State::Due { .. } | State::Held)
    }

    /// When a clock has work on it: a due stop, or an end that nobody has been told of yet.
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        match self.state {
            State::Due { at, .. } => Some(at),
            State::Held => None,
            _ => self.acknowledgement.is_none().then_some(now),
        }
    }

    /// The word for lists: `due`, `submitted`, `held`, `settled`, `withheld`, `refused`, `superseded`, `unchanged`.
    pub fn state_word(&self) -> &'static str {
        match self.state {
            State::Due { next: Stop::Await, .. } => SUBMITTED,
            State::Due { .. } => "due",
            State::Held => "held",
            State::Settled { .. } => "settled",
            State::Withheld => "withheld",
            State::Refused => "refused",
            State::Superseded => "superseded",
            State::Unchanged { .. } => "unchanged",
        }
    }

    /// Its chain in the ledger.
    pub fn chain(&self) -> Chain {
        Chain::Push(self.walk.clone())
    }
}
