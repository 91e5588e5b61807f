//! The receiving house's road: receive, authenticate, read, match, file, acknowledge. Read this
//! file first.
//!
//! Comes in   a body at the door, and the credential it came with.
//! Goes out   an answer, after what arrived and what was filed are durable; never before.
//! Never      files half a transaction, a record of another sender, or a push whose member is not
//!            known.
//!
//! Why the body is kept as it arrived: what a sender claims to have sent can then be compared with
//! what came, byte for byte, long after the records have changed.

use crate::key::Keys;
use crate::limits::{POLL_SECONDS, STALE_ROUNDS_MAX};
use crate::register::Register;
use crate::setup::{Sender, Setup};
use exchange::agreement::Unmatched;
use exchange::answer::{self, Done, Filing, LedgerRoot};
use exchange::ledger::{FiledVersion, filed_digest};
use exchange::member::MemberKey;
use exchange::read::{self, Action, Incoming, SenderTerms};
use exchange::submission::Submission;
use exchange::{Code, Digest, Event, Issue, PartnerId, SubmissionId};
use http::header::{CONTENT_LOCATION, RETRY_AFTER};
use jiff::Timestamp;
use repository::{Change, EntryOutcome, Plan, Standing, plan_transaction, store_issue};
use std::sync::{Arc, PoisonError, RwLock};
use store::{
    AnyHouse, Commit, Expect, FirstAnswer, House, Record, RecordQuery, StoredWork, Unit, Work,
    WorkKind,
};
use wire::{Answer, Caller, Clock};

/// A receiving house at work.
pub struct Road {
    /// What it was told.
    pub setup: Setup,
    /// What it remembers.
    pub house: AnyHouse,
    /// The plan's members.
    pub register: Register,
    /// Keys being worked on.
    pub keys: Keys,
    /// What the ledger had proved at its last checkpoint: it travels in answers.
    pub ledger_root: Arc<RwLock<Option<LedgerRoot>>>,
    /// Keys the digests of members, so that nobody can guess a member id from the ledger.
    pub member_secret: [u8; 32],
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// One submission on its way.
struct Arrival<'r> {
    id: SubmissionId,
    sender: &'r Sender,
    incoming: Incoming,
}

impl Road {
    /// One body at the door. The id is drawn at the edge.
    pub async fn receive(&self, caller: &Caller, body: bytes::Bytes, id: SubmissionId) -> Answer {
        match self.walk(caller, body, id).await {
            Ok(answer) => answer,
            Err(issues) => refusal(&issues),
        }
    }

    async fn walk(
        &self,
        caller: &Caller,
        body: bytes::Bytes,
        id: SubmissionId,
    ) -> Result<Answer, Vec<Issue>> {
        let sender = self.authenticate(caller)?;
        let incoming = read(body, sender, caller)?;
        // A repeat that comes while the first is being worked on waits for it.
        let key = incoming.key.as_deref();
        let _turn = self.keys.turn(&sender.public.name, key).await.map_err(|issue| vec![issue])?;
        if let Some(first) = self.repeated(sender, &incoming).await? {
            return Ok(first);
        }
        let arrival = Arrival { id, sender, incoming };
        match self.match_member(&arrival.incoming) {
            Ok(member) => self.file(&arrival, member).await,
            Err(issue) => self.unmatched(&arrival, issue).await,
        }
    }

    /// *Authenticate*: whose credential is it, and are we agreed with them?
    fn authenticate(&self, caller: &Caller) -> Result<&Sender, Vec<Issue>> {
        self.sender(&PartnerId::from(caller.partner.as_str())).ok_or_else(|| {
            let issue = Issue::new(Code::ScopeMissing, "this credential is not a sender's");
            vec![issue.at("Authorization")]
        })
    }

    /// A sender, by name.
    pub fn sender(&self, name: &PartnerId) -> Option<&Sender> {
        self.setup.senders.get(name)
    }

    /// The first answer to this key, when it came before with the same bytes.
    async fn repeated(
        &self,
        sender: &Sender,
        incoming: &Incoming,
    ) -> Result<Option<Answer>, Vec<Issue>> {
        let Some(key) = &incoming.key else { return Ok(None) };
        let name = &sender.public.name;
        match self.house.first_answer(name, key).await.map_err(store_issues)? {
            Some(first) if first.digest == incoming.digest => Ok(Some(answered(first))),
            Some(_) => Err(vec![conflict()]),
            None => Ok(None),
        }
    }

    /// *Match*: whose data are these? `None` where records are only taken back.
    fn match_member(&self, incoming: &Incoming) -> Result<Option<MemberKey>, Issue> {
        let Some(patient) = incoming.patient() else { return Ok(None) };
        let coverages: Vec<_> = incoming.resources("Coverage").cloned().collect();
        self.register.members()?.match_member(patient, &coverages).map(Some)
    }

    /// A push whose member is not found: kept for a person, or refused, as the agreement says.
    async fn unmatched(&self, arrival: &Arrival<'_>, issue: Issue) -> Result<Answer, Vec<Issue>> {
        let agreed = arrival.sender.terms.agreement.unmatched;
        let waits = matches!(issue.code, Code::MemberUnknown | Code::MemberMismatch);
        if !waits || agreed == Unmatched::Refuse {
            return self.refuse(arrival, vec![issue]).await;
        }
        let at = self.clock.now();
        let told = Issue::new(Code::MemberHeld, "the member was not found; a person looks into it");
        let place = format!("{}/status/{}", self.setup.base_url, arrival.id);
        let answer = Answer::new(202, Issue::outcome([&told]))
            .with(CONTENT_LOCATION, place)
            .with(RETRY_AFTER, POLL_SECONDS.to_string());
        let events = vec![received(arrival), Event::Held { issues: vec![issue] }];
        let mut unit = self.unit(at, arrival, events);
        unit.first_answer = first_answer(arrival, &answer);
        match self.house.commit(unit).await.map_err(store_issues)? {
            Commit::Done { .. } => {
                (self.setup.passed)("held");
                Ok(answer)
            }
            other => self.unexpected(other),
        }
    }

    /// What is refused leaves a line, and nothing else.
    async fn refuse(
        &self,
        arrival: &Arrival<'_>,
        issues: Vec<Issue>,
    ) -> Result<Answer, Vec<Issue>> {
        let events = vec![received(arrival), Event::NotFiled { issues: issues.clone() }];
        let mut unit = self.unit(self.clock.now(), arrival, events);
        unit.blobs.clear();
        self.house.commit(unit).await.map_err(store_issues)?;
        Err(outward(issues))
    }

    /// *File* and *acknowledge*: what arrived, what was filed and the answer are one unit.
    async fn file(
        &self,
        arrival: &Arrival<'_>,
        member: Option<MemberKey>,
    ) -> Result<Answer, Vec<Issue>> {
        for _ in 0..STALE_ROUNDS_MAX {
            let at = self.clock.now();
            let plan = match self.plan(arrival).await {
                Ok(plan) => plan,
                Err(issues) if issues.iter().any(|issue| issue.code.row().status >= 500) => {
                    return Err(issues);
                }
                Err(issues) => return self.refuse(arrival, issues).await,
            };
            let answer = Answer::new(200, self.response(&plan, at));
            let mut events = vec![received(arrival)];
            events.extend(member.iter().map(|member| self.matched(member)));
            events.push(filed(&plan, &arrival.sender.public.name));
            events.push(answered_event(&answer));
            let mut unit = self.unit(at, arrival, events);
            unit.first_answer = first_answer(arrival, &answer);
            self.write(&mut unit, plan, &answer);
            match self.house.commit(unit).await.map_err(store_issues)? {
                Commit::Done { .. } => {
                    (self.setup.passed)("filed");
                    return Ok(answer);
                }
                Commit::Stale => {}
                other => return self.unexpected(other),
            }
        }
        let detail = "the records kept changing while they were filed";
        Err(vec![Issue::new(Code::HouseBusy, detail)])
    }

    /// What to write, given what stands: nothing yet is written.
    async fn plan(&self, arrival: &Arrival<'_>) -> Result<Plan, Vec<Issue>> {
        let incoming = &arrival.incoming;
        let name = &arrival.sender.public.name;
        let pairs: Vec<_> =
            incoming.entries.iter().map(|entry| (entry.kind.clone(), entry.id.clone())).collect();
        let heads = self.house.heads(&pairs).await.map_err(store_issues)?;
        let relied_on = self.outside(arrival).await?;
        let items = incoming.entries.iter().filter_map(|entry| match &entry.action {
            Action::Put(resource) => {
                let derived = entry.source_id.is_some();
                repository::Incoming::put(entry.index, resource)
                    .map(|item| repository::Incoming { derived, ..item })
            }
            Action::Delete => {
                Some(repository::Incoming::delete(entry.index, &entry.kind, &entry.id))
            }
        });
        let filing = repository::Filing {
            owner: name.clone(),
            receipt: arrival.id.to_string(),
            lane: patient_id(incoming).map(|patient| format!("{name}|{patient}")),
            number: incoming.number,
        };
        let marks: Vec<_> = pairs.iter().filter_map(|(kind, id)| filing.mark(kind, id)).collect();
        let marks = match marks.is_empty() {
            true => Vec::new(),
            false => self.house.heads(&marks).await.map_err(store_issues)?,
        };
        let standing = Standing { heads: &heads, marks: &marks };
        let mut plan = plan_transaction(items.collect(), &filing, standing)?;
        plan.expects.extend(relied_on);
        self.check_left(arrival, &plan).await?;
        Ok(plan)
    }

    /// A Patient goes with all that refers to it: what is left of this sender's records must not be
    /// about somebody who is gone. A Provenance may speak of what is gone.
    async fn check_left(&self, arrival: &Arrival<'_>, plan: &Plan) -> Result<(), Vec<Issue>> {
        let name = &arrival.sender.public.name;
        let gone = plan.outcomes.iter().enumerate();
        let gone = gone.filter(|(_, one)| one.kind == "Patient" && one.change == Change::Deleted);
        let mut issues = Vec::new();
        for (entry, patient) in gone {
            for kind in
                repository::known().filter(|kind| !matches!(*kind, "Patient" | "Provenance"))
            {
                let about = RecordQuery {
                    kind: kind.to_owned(),
                    patients: vec![patient.id.clone()],
                    owner: Some(name.clone()),
                    ..RecordQuery::default()
                };
                let written = plan.records.iter().filter(|one| one.kind == kind);
                let ids: Vec<_> = written.map(|one| one.id.clone()).collect();
                let mut left = self.house.count(about.clone()).await.map_err(store_issues)?;
                if left > 0 && !ids.is_empty() {
                    let with = RecordQuery { ids, ..about };
                    left -= self.house.count(with).await.map_err(store_issues)?.min(left);
                }
                if left > 0 {
                    let detail = format!("filed records of type {kind} refer to this Patient");
                    let issue = Issue::new(Code::ReferenceUnresolved, detail);
                    issues.push(issue.at(format!("Bundle.entry[{entry}].request.url")));
                }
            }
        }
        if issues.is_empty() { Ok(()) } else { Err(issues) }
    }

    /// References out of the Bundle must lead to records of the same sender; that they still do
    /// when the unit is written is part of what it expects. A Provenance may speak of records that
    /// are gone.
    async fn outside(&self, arrival: &Arrival<'_>) -> Result<Vec<Expect>, Vec<Issue>> {
        let incoming = &arrival.incoming;
        let speaks = |entry: usize| incoming.entries.get(entry).map(|entry| entry.kind.as_str());
        let outside: Vec<_> = incoming
            .outside
            .iter()
            .filter(|reference| speaks(reference.entry) != Some("Provenance"))
            .collect();
        let pairs: Vec<_> = outside.iter().map(|one| (one.kind.clone(), one.id.clone())).collect();
        let heads = self.house.heads(&pairs).await.map_err(store_issues)?;
        let name = &arrival.sender.public.name;
        let there = |head: &Option<Record>| {
            head.as_ref().is_some_and(|head| !head.deleted && head.owner == *name)
        };
        let gone = outside.iter().zip(&heads).filter(|(_, head)| !there(head));
        let issues = incoming.unresolved(gone.map(|(reference, _)| *reference));
        if !issues.is_empty() {
            return Err(issues);
        }
        let heads = heads.into_iter().flatten();
        Ok(heads
            .map(|head| Expect::Version {
                kind: head.kind,
                id: head.id,
                version: Some(head.version),
            })
            .collect())
    }

    /// A person lets a held submission go on: it is matched again (or for the member they name),
    /// and filed.
    pub async fn release(
        &self,
        stored: &StoredWork,
        submission: Submission,
        who: exchange::Who,
        member: Option<&str>,
    ) -> Result<(), Vec<Issue>> {
        let sender = self.sender(&submission.sender).ok_or_else(|| {
            vec![Issue::new(Code::PartnerUnknown, "the sender is no longer a partner")]
        })?;
        let body = self.house.blob(&submission.digest).await.map_err(store_issues)?;
        let body = body.ok_or_else(|| {
            vec![Issue::new(Code::InternalError, "the submission's body is gone")]
        })?;
        let terms = terms(sender);
        let incoming = read::read(body, &terms)?;
        let found = match member {
            Some(id) => self.register.members().and_then(|all| all.by_id(id)).map(Some),
            None => self.match_member(&incoming),
        };
        let member = found.map_err(|issue| vec![issue])?;
        let arrival = Arrival { id: submission.id.clone(), sender, incoming };
        for _ in 0..STALE_ROUNDS_MAX {
            let at = self.clock.now();
            let plan = self.plan(&arrival).await?;
            let answer = Answer::new(200, self.response(&plan, at));
            let mut events = vec![Event::Released { who: who.clone() }];
            events.extend(member.iter().map(|member| self.matched(member)));
            events.push(filed(&plan, &arrival.sender.public.name));
            events.push(answered_event(&answer));
            let mut unit = gone_on(at, stored, submission.clone(), events);
            self.write(&mut unit, plan, &answer);
            match self.house.commit(unit).await.map_err(store_issues)? {
                Commit::Done { .. } => {
                    (self.setup.passed)("released");
                    return Ok(());
                }
                Commit::Stale => {
                    let now = self.house.work(&stored.work.id).await.map_err(store_issues)?;
                    if now.is_none_or(|now| now.revision != stored.revision) {
                        let detail = "it was changed meanwhile; look again";
                        return Err(vec![Issue::new(Code::NotWaiting, detail)]);
                    }
                }
                other => return self.unexpected(other).map(drop),
            }
        }
        Err(vec![Issue::new(Code::HouseBusy, "the records kept changing while they were filed")])
    }

    fn response(&self, plan: &Plan, at: Timestamp) -> bytes::Bytes {
        let filings: Vec<_> = plan.outcomes.iter().map(|outcome| filing(outcome, at)).collect();
        let root = self.ledger_root.read().unwrap_or_else(PoisonError::into_inner).clone();
        answer::answer(&filings, root.as_ref())
    }

    fn matched(&self, member: &MemberKey) -> Event {
        Event::Matched { member: member.digest(&self.member_secret) }
    }

    fn write(&self, unit: &mut Unit, plan: Plan, answer: &Answer) {
        unit.expects.extend(plan.expects);
        unit.records = plan.records;
        unit.raises = plan.raises;
        unit.blobs.push((Digest::of(&answer.body), answer.body.clone()));
    }

    /// A unit that begins a submission: its lines, the row they add up to, the body.
    fn unit(&self, at: Timestamp, arrival: &Arrival<'_>, events: Vec<Event>) -> Unit {
        let mut unit = Unit { at, ..Unit::default() };
        let chain = exchange::Chain::Submission(arrival.id.clone());
        let lines = events.iter().map(|event| (at, event));
        if let Some(submission) = Submission::replay(arrival.id.clone(), lines) {
            unit.works.push(row(&submission));
        }
        unit.lines = events.into_iter().map(|event| (chain.clone(), event)).collect();
        unit.blobs.push((arrival.incoming.digest, arrival.incoming.bytes.clone()));
        unit
    }

    /// Commits that are no `Done`: the key was used meanwhile, by another process.
    fn unexpected(&self, commit: Commit) -> Result<Answer, Vec<Issue>> {
        match commit {
            Commit::Repeated(first) => Ok(answered(first)),
            Commit::Conflict => Err(vec![conflict()]),
            _ => Err(vec![Issue::new(Code::HouseBusy, "the submission was changed meanwhile")]),
        }
    }
}

/// *Read*: is it a transaction this house can act on, and may this caller ask for it?
fn read(body: bytes::Bytes, sender: &Sender, caller: &Caller) -> Result<Incoming, Vec<Issue>> {
    let incoming = read::read(body, &terms(sender))?;
    for entry in &incoming.entries {
        let letter = if matches!(entry.action, Action::Delete) { 'd' } else { 'u' };
        caller
            .require(&entry.kind, letter)
            .map_err(|issue| vec![issue.at(format!("Bundle.entry[{}].request", entry.index))])?;
    }
    Ok(incoming)
}

fn terms(sender: &Sender) -> SenderTerms {
    let namespace = Some(sender.public.namespace.clone()).filter(|one| !one.is_empty());
    SenderTerms::of(&sender.terms.agreement, namespace)
}

/// Whom the push is about: its Patient, or the one its Provenance names where records are only
/// taken back.
fn patient_id(incoming: &Incoming) -> Option<String> {
    if let Some(patient) = incoming.patient() {
        return patient.id().map(str::to_owned);
    }
    let provenance = incoming.resources("Provenance").next()?;
    let texts = provenance.references().iter().map(|one| provenance.reference_text(one));
    texts.filter_map(|text| text.strip_prefix("Patient/").map(str::to_owned)).next()
}

fn received(arrival: &Arrival<'_>) -> Event {
    let incoming = &arrival.incoming;
    Event::Received {
        sender: arrival.sender.public.name.clone(),
        key: incoming.key.clone(),
        digest: incoming.digest,
        bytes: incoming.bytes.len() as u64,
        entries: incoming.entries.len() as u64,
    }
}

fn filed(plan: &Plan, owner: &PartnerId) -> Event {
    let versions = plan.outcomes.iter().filter_map(|one| {
        let (kind, id) = (one.kind.clone(), one.id.clone());
        let version = one.version?;
        Some(FiledVersion { kind, id, version, digest: one.digest, owner: owner.clone() })
    });
    Event::Filed {
        records: filed_digest(&versions.collect::<Vec<_>>()),
        created: plan.count(Change::Created),
        updated: plan.count(Change::Updated),
        unchanged: plan.count(Change::Unchanged) + plan.count(Change::Older),
        deleted: plan.count(Change::Deleted) + plan.count(Change::AlreadyAbsent),
    }
}

fn answered_event(answer: &Answer) -> Event {
    Event::Answered { status: answer.status, answer: Digest::of(&answer.body) }
}

fn filing(outcome: &EntryOutcome, at: Timestamp) -> Filing {
    let older = || Issue::new(Code::OlderThanFiled, "a later push has filed this record already");
    Filing {
        kind: outcome.kind.clone(),
        id: outcome.id.clone(),
        done: match outcome.change {
            Change::Created => Done::Created,
            Change::Updated => Done::Updated,
            Change::Unchanged | Change::Older => Done::Unchanged,
            Change::Deleted | Change::AlreadyAbsent => Done::Deleted,
        },
        version: outcome.version,
        last_modified: outcome.last_updated.or(outcome.version.map(|_| at)),
        issue: (outcome.change == Change::Older).then(older),
    }
}

fn first_answer(arrival: &Arrival<'_>, answer: &Answer) -> Option<FirstAnswer> {
    let headers = answer.headers.iter();
    Some(FirstAnswer {
        sender: arrival.sender.public.name.clone(),
        key: arrival.incoming.key.clone()?,
        digest: arrival.incoming.digest,
        status: answer.status,
        headers: headers.map(|(name, value)| (name.to_string(), value.clone())).collect(),
        body: answer.body.clone(),
    })
}

/// The first answer, as it was given; once its body is purged, that it was given.
fn answered(first: FirstAnswer) -> Answer {
    let named = |(name, value): (String, String)| Some((name.parse().ok()?, value));
    let body = match first.body.is_empty() {
        true => {
            let detail = "this key was answered before; the time of the stored answer is over";
            Issue::outcome([&Issue::new(Code::ContentPurged, detail)]).into()
        }
        false => first.body,
    };
    Answer {
        status: first.status,
        headers: first.headers.into_iter().filter_map(named).collect(),
        body,
    }
}

fn conflict() -> Issue {
    let detail = "this key came before with other content";
    Issue::new(Code::KeyConflict, detail).at("Bundle.identifier")
}

/// What the sender is told: of a member who is not found it does not learn which of id and
/// demographics is wrong, or it could try which ids are given out. The ledger's line says it.
pub(crate) fn outward(issues: Vec<Issue>) -> Vec<Issue> {
    let told = |issue: Issue| match issue.code {
        Code::MemberUnknown | Code::MemberMismatch => {
            let detail = "no member has this id, birth date and family name together";
            Issue::new(Code::MemberUnknown, detail)
        }
        _ => issue,
    };
    issues.into_iter().map(told).collect()
}

/// Several issues in one answer; the first one's status speaks for them.
fn refusal(issues: &[Issue]) -> Answer {
    let Some(first) = issues.first() else {
        return Answer::from(Issue::new(Code::InternalError, "refused without a reason"));
    };
    let mut answer = Answer::from(first.clone());
    answer.body = Issue::outcome(issues).into();
    answer
}

fn store_issues(error: store::Error) -> Vec<Issue> {
    vec![store_issue(error)]
}

/// A unit in which a submission goes on: more lines, and the row they add up to. Stale when
/// somebody else was first.
pub(crate) fn gone_on(
    at: Timestamp,
    stored: &StoredWork,
    mut submission: Submission,
    events: impl IntoIterator<Item = Event>,
) -> Unit {
    let (id, revision) = (stored.work.id.clone(), Some(stored.revision));
    let expects = vec![Expect::WorkRevision { id, revision }];
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
    Work {
        id: submission.id.to_string(),
        kind: WorkKind::Submission,
        lane: format!("submission|{}", submission.id),
        partner: Some(submission.sender.clone()),
        dossier: None,
        trigger: None,
        label: submission.key.clone(),
        number: None,
        state: submission.state_word().to_owned(),
        due: submission.due(),
        body: serde_json::to_vec(submission).unwrap_or_default(),
    }
}
