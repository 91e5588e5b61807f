//! Arrival: one submission on its way, and the unit of work it becomes.
//!
//! Comes in   who sent it, what was read of it, how far it has come.
//! Goes out   ledger lines, the row they add up to, the answer to remember.
//! Never      decides anything: the road does.

use crate::response::Asked;
use crate::setup::Sender;
use exchange::ledger::{FiledVersion, filed_digest};
use exchange::limits::FAULTS_MAX;
use exchange::member::MemberKey;
use exchange::read::Incoming;
use exchange::submission::Submission;
use exchange::{Chain, Digest, Event, PartnerId, SubmissionId, Who};
use jiff::Timestamp;
use repository::{Change, Plan};
use store::{Fence, FirstAnswer, StoredWork, Unit, Work, WorkKind};
use wire::rest::Returning;
use wire::{Answer, Caller};

/// One submission on its way.
pub(crate) struct Arrival<'r> {
    pub(crate) id: SubmissionId,
    pub(crate) sender: &'r Sender,
    /// Who waits for the answer; nobody, where a person released it.
    pub(crate) caller: Option<&'r Caller>,
    pub(crate) incoming: Incoming,
    pub(crate) asked: Asked,
    pub(crate) begun: Begun<'r>,
}

/// How a submission came to be filed now.
pub(crate) enum Begun<'r> {
    /// It stands at the door.
    AtTheDoor,
    /// A person lets it go on, perhaps for the member they name.
    Released {
        stored: &'r StoredWork,
        submission: Box<Submission>,
        who: Who,
        member: Option<&'r str>,
    },
    /// A worker goes on with it: its sender does not wait.
    Deferred { stored: &'r StoredWork, submission: Box<Submission>, fence: Fence },
}

impl Arrival<'_> {
    pub(crate) fn owner(&self) -> &PartnerId {
        &self.sender.public.name
    }

    /// What comes back of a record of this type: no record that the caller may not read.
    pub(crate) fn returning(&self, kind: &str) -> Returning {
        let may_read = self.caller.is_some_and(|caller| caller.require(kind, 'r').is_ok());
        match self.asked.returning {
            Returning::Representation if !may_read => Returning::Minimal,
            asked => asked,
        }
    }

    /// The line that every unit of it begins with, where it has not been written.
    fn first_event(&self) -> Option<Event> {
        let incoming = &self.incoming;
        Some(match &self.begun {
            Begun::AtTheDoor => Event::Received {
                sender: self.owner().clone(),
                key: incoming.key.clone(),
                digest: incoming.digest,
                bytes: incoming.bytes.len() as u64,
                entries: incoming.count as u64,
            },
            Begun::Released { who, .. } => Event::Released { who: who.clone() },
            Begun::Deferred { .. } => return None,
        })
    }

    /// A unit in which it goes on: its lines, the row they add up to, the body as it arrived.
    pub(crate) fn unit(&self, at: Timestamp, events: Vec<Event>) -> Unit {
        let events = self.first_event().into_iter().chain(events);
        if let Begun::Released { stored, submission, .. } = &self.begun {
            return gone_on(at, stored, (**submission).clone(), events);
        }
        if let Begun::Deferred { stored, submission, fence } = &self.begun {
            let unit = gone_on(at, stored, (**submission).clone(), events);
            return Unit { fence: Some(fence.clone()), ..unit };
        }
        let mut unit = Unit { at, ..Unit::default() };
        let chain = Chain::Submission(self.id.clone());
        let events: Vec<_> = events.collect();
        let lines = events.iter().map(|event| (at, event));
        if let Some(submission) = Submission::replay(self.id.clone(), lines) {
            unit.works.push(row(&submission));
        }
        unit.lines = events.into_iter().map(|event| (chain.clone(), event)).collect();
        unit.blobs.push((self.incoming.digest, self.incoming.bytes.clone()));
        unit
    }

    /// The unit that files it: what was filed and the answer, in one.
    pub(crate) fn filed(
        &self,
        at: Timestamp,
        plan: Plan,
        matched: Option<Event>,
        answer: &Answer,
    ) -> Unit {
        let mut account = Unit::default();
        let mut events = Vec::from_iter(matched);
        events.extend(beneath(&plan, &mut account));
        events.push(match filed(&plan, self.owner()) {
            Some((filed, _)) => filed,
            None => {
                let issues = plan.refused.values().flatten().take(FAULTS_MAX).cloned();
                Event::NotFiled { issues: issues.collect() }
            }
        });
        let digest = Digest::of(&answer.body);
        events.push(Event::Answered { status: answer.status, answer: digest });
        let mut unit = self.unit(at, events);
        unit.blobs.extend(account.blobs);
        unit.first_answer = self.first_answer(answer);
        unit.expects.extend(plan.expects);
        unit.records = plan.records;
        unit.raises = plan.raises;
        unit.blobs.push((digest, answer.body.clone()));
        unit
    }

    /// What a repeat of it gets. One that was released or deferred was answered when it came.
    pub(crate) fn first_answer(&self, answer: &Answer) -> Option<FirstAnswer> {
        if !matches!(self.begun, Begun::AtTheDoor) {
            return None;
        }
        let headers = answer.headers.iter();
        Some(FirstAnswer {
            sender: self.owner().clone(),
            key: self.incoming.key.clone()?,
            digest: self.incoming.digest,
            status: answer.status,
            headers: headers.map(|(name, value)| (name.to_string(), value.clone())).collect(),
            body: answer.body.clone(),
        })
    }
}

/// The member it was matched to, for the ledger.
pub(crate) fn matched(member: &MemberKey, secret: &[u8]) -> Event {
    Event::Matched { member: member.digest(secret) }
}

/// The line of what is filed, with what stands for it; `None` where nothing is acted on.
pub(crate) fn filed(plan: &Plan, owner: &PartnerId) -> Option<(Event, Vec<FiledVersion>)> {
    if plan.outcomes.is_empty() {
        return None;
    }
    let versions = plan.outcomes.iter().filter_map(|one| {
        let (kind, id) = (one.kind.clone(), one.id.clone());
        let version = one.version?;
        Some(FiledVersion { kind, id, version, digest: one.digest, owner: owner.clone() })
    });
    let versions: Vec<_> = versions.collect();
    let unchanged = [Change::Unchanged, Change::Older, Change::Exists];
    let filed = Event::Filed {
        records: filed_digest(&versions),
        created: plan.count(Change::Created),
        updated: plan.count(Change::Updated),
        unchanged: unchanged.into_iter().map(|change| plan.count(change)).sum(),
        deleted: plan.count(Change::Deleted) + plan.count(Change::AlreadyAbsent),
    };
    Some((filed, versions))
}

/// The line of what is put beneath what stands, whose account is kept with a unit; before that of what is
/// filed.
pub(crate) fn beneath(plan: &Plan, unit: &mut Unit) -> Option<Event> {
    let records = (!plan.beneath.is_empty()).then(|| filed_digest(&plan.beneath))?;
    let account = keep(unit, account_of(&plan.beneath));
    Some(Event::Beneath { records, account, versions: plan.beneath.len() as u64 })
}

/// Keeps a text with a unit.
pub(crate) fn keep(unit: &mut Unit, text: Vec<u8>) -> Digest {
    let digest = Digest::of(&text);
    unit.blobs.push((digest, text.into()));
    digest
}

/// The names of versions, a line each: what a line of the ledger has the digest of.
pub(crate) fn account_of(versions: &[FiledVersion]) -> Vec<u8> {
    let name = |one: &FiledVersion| format!("{}/{}/_history/{}\n", one.kind, one.id, one.version);
    versions.iter().map(name).collect::<String>().into_bytes()
}

/// A unit in which a submission goes on: more lines, and the row they add up to. Stale when
/// somebody else was first.
pub(crate) fn gone_on(
    at: Timestamp,
    stored: &StoredWork,
    mut submission: Submission,
    events: impl IntoIterator<Item = Event>,
) -> Unit {
    let expects = vec![stored.unchanged()];
    let mut unit = Unit { at, expects, ..Unit::default() };
    for event in events {
        submission.apply(at, &event);
        unit.lines.push((submission.chain(), event));
    }
    unit.works.push(row(&submission));
    unit
}

/// The row of a submission.
pub fn row(submission: &Submission) -> Work {
    let (id, state) = (submission.id.to_string(), submission.state_word());
    let body = serde_json::to_vec(submission).unwrap_or_default();
    Work {
        lane: format!("submission|{}", submission.id),
        partner: Some(submission.sender.clone()),
        label: submission.key.clone(),
        due: submission.due(),
        ..Work::of(WorkKind::Submission, id, state, body)
    }
}
