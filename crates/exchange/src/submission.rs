//! Submission: what arrived, as it arrived, and what became of it.
//!
//! Comes in   the lines of one submission's chain, in their order.
//! Goes out   its state: due (a clock), held (a person), filed or refused.
//! Never      a state that no line explains.

use crate::id::{Digest, PartnerId, SubmissionId};
use crate::issue::Issue;
use crate::ledger::{Chain, Event};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a submission stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum SubmissionState {
    /// It is durable; a clock has work on it.
    Due {
        /// Since when.
        at: Timestamp,
    },
    /// A person has work; the issues say which.
    Held,
    /// Filed.
    Filed {
        /// When.
        at: Timestamp,
        /// New records.
        created: u64,
        /// Records with a new version.
        updated: u64,
        /// Records that held this content already, or a later push's.
        unchanged: u64,
        /// Records taken back.
        deleted: u64,
    },
    /// Refused; nothing was filed.
    Refused,
}

/// What arrived: a projection of its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Its id.
    pub id: SubmissionId,
    /// Who signed in.
    pub sender: PartnerId,
    /// `system|value` of `Bundle.identifier`, as `Incoming::key` writes it.
    pub key: Option<String>,
    /// The stored body.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
    /// How many entries it has.
    pub entries: u64,
    /// When it arrived.
    pub received: Timestamp,
    /// Where it stands.
    #[serde(flatten)]
    pub state: SubmissionState,
    /// Why it waits or was refused.
    pub issues: Vec<Issue>,
    /// The member it was matched to, as a keyed digest.
    pub member: Option<Digest>,
    /// Digest over what was filed.
    pub records: Option<Digest>,
    /// Digest of the stored answer, once one was given.
    pub answer: Option<Digest>,
    /// Its sender asks later for the answer: the entries that were refused when it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deferred: Option<BTreeMap<u64, Vec<Issue>>>,
}

impl Submission {
    /// The submission that a `Received` event starts.
    pub fn begin(id: SubmissionId, at: Timestamp, event: &Event) -> Option<Submission> {
        let Event::Received { sender, key, digest, bytes, entries } = event.clone() else {
            return None;
        };
        let state = SubmissionState::Due { at };
        let (issues, member, records, answer) = (Vec::new(), None, None, None);
        Some(Submission {
            id,
            sender,
            key,
            digest,
            bytes,
            entries,
            received: at,
            state,
            issues,
            member,
            records,
            answer,
            deferred: None,
        })
    }

    /// The submission its chain adds up to; `None` when the chain does not begin with `Received`.
    pub fn replay<'a>(
        id: SubmissionId,
        lines: impl IntoIterator<Item = (Timestamp, &'a Event)>,
    ) -> Option<Submission> {
        let mut lines = lines.into_iter();
        let (at, first) = lines.next()?;
        let mut submission = Submission::begin(id, at, first)?;
        lines.for_each(|(at, event)| submission.apply(at, event));
        Some(submission)
    }

    /// Takes one line into account.
    pub fn apply(&mut self, at: Timestamp, event: &Event) {
        match event.clone() {
            Event::Matched { member } => self.member = Some(member),
            Event::Deferred { refused } => self.deferred = Some(refused),
            Event::Held { issues } => self.turn(SubmissionState::Held, issues),
            Event::Released { .. } => self.turn(SubmissionState::Due { at }, Vec::new()),
            Event::Filed { records, created, updated, unchanged, deleted } => {
                self.records = Some(records);
                let state = SubmissionState::Filed { at, created, updated, unchanged, deleted };
                self.turn(state, Vec::new());
            }
            Event::NotFiled { issues } => self.turn(SubmissionState::Refused, issues),
            Event::Answered { answer, .. } => self.answer = Some(answer),
            _ => {}
        }
    }

    fn turn(&mut self, state: SubmissionState, issues: Vec<Issue>) {
        (self.state, self.issues) = (state, issues);
    }

    /// When a clock has work on it.
    pub fn due(&self) -> Option<Timestamp> {
        match self.state {
            SubmissionState::Due { at } => Some(at),
            _ => None,
        }
    }

    /// Whether nothing more will happen to it.
    pub fn ended(&self) -> bool {
        matches!(self.state, SubmissionState::Filed { .. } | SubmissionState::Refused)
    }

    /// The word for lists: `due`, `held`, `filed`, `refused`.
    pub fn state_word(&self) -> &'static str {
        match self.state {
            SubmissionState::Due { .. } => "due",
            SubmissionState::Held => "held",
            SubmissionState::Filed { .. } => "filed",
            SubmissionState::Refused => "refused",
        }
    }

    /// Its chain in the ledger.
    pub fn chain(&self) -> Chain {
        Chain::Submission(self.id.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::issue::Code;
    use crate::ledger::Who;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn received() -> Event {
        let (digest, key) = (Digest::of(b"body"), Some("s|v".to_owned()));
        Event::Received { sender: "clinic".into(), key, digest, bytes: 4, entries: 2 }
    }

    fn held() -> Event {
        Event::Held { issues: vec![Issue::new(Code::MemberUnknown, "no member")] }
    }

    fn released() -> Event {
        let who = Who { name: "desk".into(), role: "staff".into(), why: "corrected".into() };
        Event::Released { who }
    }

    fn filed() -> Event {
        let records = Digest::of(b"records");
        Event::Filed { records, created: 2, updated: 0, unchanged: 0, deleted: 0 }
    }

    #[test]
    fn a_chain_adds_up_to_one_state() {
        let matched = Event::Matched { member: Digest::of(b"m") };
        let refused = Event::NotFiled { issues: vec![Issue::new(Code::MemberUnknown, "no")] };
        let table: &[(&str, Vec<Event>, &str, usize)] = &[
            ("arrived", vec![], "due", 0),
            ("deferred", vec![Event::Deferred { refused: BTreeMap::new() }], "due", 0),
            ("matched", vec![matched.clone()], "due", 0),
            ("filed", vec![matched.clone(), filed()], "filed", 0),
            ("held", vec![held()], "held", 1),
            ("held, then let go", vec![held(), released()], "due", 0),
            ("held, let go, filed", vec![held(), released(), matched, filed()], "filed", 0),
            ("refused", vec![refused], "refused", 1),
        ];
        for (case, events, state, issues) in table {
            let first = received();
            let rest = events.iter().enumerate().map(|(n, event)| (at(n as i64 + 1), event));
            let lines = std::iter::once((at(0), &first)).chain(rest);
            let submission = Submission::replay("s1".into(), lines).unwrap();
            assert_eq!(
                (submission.state_word(), submission.issues.len()),
                (*state, *issues),
                "{case}"
            );
            assert_eq!(submission.due().is_some(), *state == "due", "{case}");
            let json = serde_json::to_vec(&submission).unwrap();
            assert_eq!(serde_json::from_slice::<Submission>(&json).unwrap(), submission, "{case}");
        }
    }

    #[test]
    fn a_chain_that_begins_with_anything_else_is_no_submission() {
        assert_eq!(Submission::begin("s1".into(), at(0), &held()), None);
        assert_eq!(Submission::replay("s1".into(), []), None);
    }
}
