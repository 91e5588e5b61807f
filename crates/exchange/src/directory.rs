//! Directory: what a house knows of a payer's endpoint, as its ledger lines add up to it.
//!
//! Comes in   events of the house's chain that name a payer's endpoint.
//! Goes out   the endpoint in use, since when and until when it is known, whether somebody vouches for
//!            it, and what its door said last.
//! Never      lets a push go to an endpoint whose identity nobody has vouched for.

mod crosswalk;

pub use crosswalk::{Crosswalk, CrosswalkRow};

use crate::endpoint::{Candidate, Choice};
use crate::id::{Digest, PartnerId};
use crate::issue::Issue;
use crate::ledger::Event;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Who says that an endpoint is the payer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vouched {
    /// The payer's public file, which people exchanged, has the same base URL.
    PublicFile,
    /// A person of this house approved this identity.
    Person,
    /// Metadata signed under a chain that this house trusts, in a certificate that names the payer
    /// (UDAP).
    SignedMetadata,
}

impl Vouched {
    /// Who, in words.
    pub fn words(self) -> &'static str {
        match self {
            Vouched::PublicFile => "the payer's public file names it",
            Vouched::Person => "a person has approved it",
            Vouched::SignedMetadata => "its signed metadata names the payer",
        }
    }
}

/// What was found of a payer's endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which directory answered.
    pub directory: String,
    /// What came of its listing, and of those asked before.
    pub choice: Choice,
    /// Until when it is good.
    pub until: Timestamp,
}

/// Everything known of one payer's endpoint: the sum of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Whose.
    pub payer: PartnerId,
    /// The last answer with or without an endpoint.
    pub answer: Answer,
    /// When it was given.
    pub since: Timestamp,
    /// Until when the answer is used: its own time, or longer while directories are away.
    pub until: Timestamp,
    /// Why it is used beyond its time; none: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<Issue>,
    /// Identities that a person approved, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<Digest>,
    /// The identity in use before this one, where it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// What the door's statement said last, as far as it matters: per base URL in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Stated>,
}

/// What a door's capability statement said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// At which base URL.
    pub endpoint: String,
    /// Digest of what matters (`capability::Declared`).
    pub digest: Digest,
    /// When it was first so.
    pub since: Timestamp,
    /// What changed then, in words; none: it was the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// The words of what matters, so that the next change can be told.
    pub facts: Vec<String>,
}

impl Standing {
    /// What a first line begins.
    pub fn begin(at: Timestamp, event: &Event) -> Option<Standing> {
        let (payer, answer, statement) = match event {
            Event::EndpointFound { payer, answer } => (payer, (**answer).clone(), None),
            // Its endpoint is configuration, which no directory was asked for.
            Event::DoorStated { payer, stated } => {
                let (directory, choice) = ("pinned".to_owned(), Choice::default());
                (payer, Answer { directory, choice, until: at }, Some((**stated).clone()))
            }
            _ => return None,
        };
        Some(Standing {
            payer: payer.clone(),
            since: at,
            until: answer.until,
            answer,
            stale: None,
            approved: Vec::new(),
            before: None,
            statement,
        })
    }

    /// Counts a line in.
    pub fn apply(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::EndpointFound { answer, .. } => {
                let (old, new) = (self.identity(), identity_of(answer));
                if old.is_some() && old != new {
                    self.before = old;
                }
                self.answer = (**answer).clone();
                (self.since, self.until, self.stale) = (at, answer.until, None);
            }
            Event::EndpointKept { until, issue, .. } => {
                (self.until, self.stale) = (*until, Some(issue.clone()));
            }
            Event::EndpointLost { .. } => self.until = at,
            Event::EndpointApproved { identity, .. } => {
                self.approved.retain(|known| known != identity);
                self.approved.push(*identity);
            }
            Event::DoorStated { stated, .. } => self.statement = Some((**stated).clone()),
            _ => {}
        }
    }

    /// The endpoint in use, if any.
    pub fn endpoint(&self) -> Option<&Candidate> {
        self.answer.choice.chosen.as_ref().map(|it| &it.endpoint)
    }

    /// The identity of the endpoint in use.
    pub fn identity(&self) -> Option<Digest> {
        identity_of(&self.answer)
    }

    /// Whether the answer may be used without asking.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// Who vouches for the endpoint in use, by what is written down: the base URL of the payer's public
    /// file, or a person's approval of this very identity.
    pub fn vouched(&self, public_base_url: &str) -> Option<Vouched> {
        let endpoint = self.endpoint()?;
        if endpoint.address == public_base_url.trim_end_matches('/') {
            return Some(Vouched::PublicFile);
        }
        let identity = endpoint.identity();
        self.approved.contains(&identity).then_some(Vouched::Person)
    }

    /// The row's word for lists.
    pub fn state_word(&self) -> &'static str {
        match self.endpoint() {
            None if self.answer.directory == "none" => "endpoint-missing",
            _ => "endpoint-known",
        }
    }
}

fn identity_of(answer: &Answer) -> Option<Digest> {
    answer.choice.chosen.as_ref().map(|it| it.endpoint.identity())
}
