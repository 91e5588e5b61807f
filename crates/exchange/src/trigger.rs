//! Triggers: why something is to be sent; what a trigger *is* is what its ledger lines add up to.
//!
//! Comes in   events of the house's chain that name it, in their order.
//! Goes out   whom it led to; or when *scope* is tried again, or why a person has to look.
//! Never      a state that no line explains.

use crate::id::{SubmissionId, TriggerId, WalkId};
use crate::issue::Issue;
use crate::ledger::{Event, Who};
use crate::purpose::Purpose;
use crate::push::is_zero;
use crate::scope::PayorKey;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a trigger is about. Serialized as text: `Encounter/<id>`, `withdraw:<walk>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Subject {
    /// A record of the source: `Encounter/<id>`.
    Record(String),
    /// A push that a person takes back.
    Withdrawal(WalkId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Record(reference) => f.write_str(reference),
            Subject::Withdrawal(walk) => write!(f, "{WITHDRAW}{walk}"),
        }
    }
}

const WITHDRAW: &str = "withdraw:";

impl From<Subject> for String {
    fn from(subject: Subject) -> String {
        subject.to_string()
    }
}

impl From<String> for Subject {
    fn from(text: String) -> Subject {
        match text.strip_prefix(WITHDRAW) {
            Some(walk) => Subject::Withdrawal(walk.into()),
            None => Subject::Record(text),
        }
    }
}

/// What happened, who asks, in which role, why: a projection of its lines in the house chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Its id.
    pub id: TriggerId,
    /// What it is about.
    pub subject: Subject,
    /// What for; `None`: each agreement's first purpose.
    pub purpose: Option<Purpose>,
    /// Who asked.
    pub who: Who,
    /// When it was recorded.
    pub at: Timestamp,
    /// The walks it led to, once scoped.
    pub walks: Vec<WalkId>,
    /// How often *scope* was tried since a person last let it go.
    pub attempt: u32,
    /// When *scope* is tried (again); `None` when scoped or held.
    pub due: Option<Timestamp>,
    /// Why it waits.
    pub issues: Vec<Issue>,
    /// A person wants no more of it; walks that it had led to go on.
    #[serde(default)]
    pub withdrawn: bool,
    /// Payors of the patient's coverages that wait to be mapped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payors: Vec<PayorKey>,
    /// Coverages that the payor map or an agreement leaves alone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_alone: u64,
    /// It was asked for as an asynchronous push, whatever the agreement says of its kind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asynchronous: bool,
    /// The export that a payer asked for, which it goes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<SubmissionId>,
}

impl Trigger {
    /// The trigger that a `Triggered` event starts.
    pub fn begin(at: Timestamp, event: &Event) -> Option<Trigger> {
        let Event::Triggered { trigger: id, subject, purpose, who, asynchronous, pull } =
            event.clone()
        else {
            return None;
        };
        let (walks, issues) = (Vec::new(), Vec::new());
        let (attempt, due, withdrawn) = (0, Some(at), false);
        let (payors, left_alone) = (Vec::new(), 0);
        Some(Trigger {
            id,
            subject,
            purpose,
            who,
            at,
            walks,
            attempt,
            due,
            issues,
            withdrawn,
            payors,
            left_alone,
            asynchronous,
            pull,
        })
    }

    /// Takes one line into account.
    pub fn apply(&mut self, at: Timestamp, event: &Event) {
        match event.clone() {
            Event::Scoped { walks, .. } => {
                (self.walks, self.due) = (walks, None);
                (self.payors, self.left_alone) = (Vec::new(), 0);
                self.issues.clear();
            }
            Event::PayorsFound { unmapped, left_alone, .. } => {
                (self.payors, self.left_alone) = (unmapped, left_alone);
            }
            Event::TriggerHeld { issues, .. } => (self.issues, self.due) = (issues, None),
            Event::TriggerDelayed { until, issue, .. } => {
                self.attempt += 1;
                (self.issues, self.due) = (vec![issue], Some(until));
            }
            Event::TriggerReleased { .. } => {
                self.attempt = 0;
                self.payors.clear();
                self.issues.clear();
                self.due = Some(at);
            }
            Event::TriggerWithdrawn { .. } => {
                (self.due, self.withdrawn) = (None, true);
                self.payors.clear();
                self.issues.clear();
            }
            _ => {}
        }
    }

    /// The word for lists: `due`, `held`, `scoped` or `withdrawn`.
    pub fn state_word(&self) -> &'static str {
        if self.withdrawn {
            return "withdrawn";
        }
        match (self.due, self.issues.is_empty()) {
            (Some(_), _) => "due",
            (None, true) => "scoped",
            (None, false) => "held",
        }
    }
}
