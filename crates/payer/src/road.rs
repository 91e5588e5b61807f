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

use crate::arrival::{Arrival, Begun, matched};
use crate::bulk::{Bulk, FatesOf};
use crate::exports::Exports;
use crate::key::Keys;
use crate::later::deferred;
use crate::limits::{
    COVERAGES_BYTES_MAX, COVERAGES_MAX, PERSONS_TRIED_MAX, POLL_SECONDS, STALE_ROUNDS_MAX,
};
use crate::purposes;
use crate::register::Register;
use crate::response::{self, Asked, refusal};
use crate::setup::{Sender, Setup};
use exchange::agreement::Unmatched;
use exchange::answer::LedgerRoot;
use exchange::member::MemberKey;
use exchange::read::{self, Form, Incoming, RefusedEntry, SenderTerms};
use exchange::submission::Submission;
use exchange::{Code, Event, Issue, Issues, PartnerId, SubmissionId, Who};
use fhir::Resource;
use jiff::Timestamp;
use repository::{Plan, Resolved, Sent, Whom, store_issue};
use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};
use store::{AnyHouse, Commit, FirstAnswer, House, RecordQuery, StoredWork};
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
    /// What readers of the plan's own ask for.
    pub exports: Exports,
    /// What senders submit in bulk.
    pub bulk: Bulk,
}

/// Why a round did not end in an answer.
pub(crate) enum Stop {
    /// Something that was read has changed: again.
    Stale,
    /// Nothing can be filed.
    Refused(Issues),
    /// The member is not found.
    Unmatched(Issue),
    /// The store wrote nothing: the key was used meanwhile, by another process.
    Unwritten(Commit),
}

impl From<Issues> for Stop {
    fn from(issues: Issues) -> Stop {
        Stop::Refused(issues)
    }
}

impl From<Issue> for Stop {
    fn from(issue: Issue) -> Stop {
        Stop::Refused(issue.into())
    }
}

impl Road {
    /// One body at the door: a Bundle. The id is drawn at the edge.
    pub async fn receive(
        &self,
        caller: &Caller,
        body: bytes::Bytes,
        id: SubmissionId,
        asked: Asked,
    ) -> Answer {
        match self.walk(caller, body, id, asked).await {
            Ok(answer) => answer,
            Err(issues) => refusal(&issues),
        }
    }

    /// The same, with the issues still apart.
    pub(crate) async fn walk(
        &self,
        caller: &Caller,
        body: bytes::Bytes,
        id: SubmissionId,
        asked: Asked,
    ) -> Result<Answer, Issues> {
        let sender = self.authenticate(caller)?;
        let incoming = read(body, &terms(sender, &self.setup), caller)?;
        if let Some(faults) = incoming.faults() {
            return Err(self.all_faults(&sender.public.name, &id, &incoming, faults).await);
        }
        purposes::check(caller, &incoming)?;
        // A repeat that comes while the first is being worked on waits for it.
        let key = incoming.key.as_deref();
        let _turn = self.keys.turn(&sender.public.name, key).await?;
        if let Some(first) = self.repeated(sender, &incoming).await? {
            return Ok(first);
        }
        let arrival =
            Arrival { id, sender, caller: Some(caller), incoming, asked, begun: Begun::AtTheDoor };
        match self.go_on(&arrival).await {
            Ok(answer) => Ok(answer),
            Err(Stop::Unmatched(issue)) => self.unmatched(&arrival, issue).await,
            Err(Stop::Refused(issues)) => self.refuse(&arrival, issues).await,
            Err(Stop::Unwritten(commit)) => Ok(unexpected(commit)?),
            Err(Stop::Stale) => Err(kept_changing().into()),
        }
    }

    /// What is wrong with a Bundle of which nothing can be filed: what was read, and what is found
    /// only in the house. Where the house cannot say, what was read is certain.
    pub(crate) async fn all_faults(
        &self,
        owner: &PartnerId,
        id: &SubmissionId,
        incoming: &Incoming,
        read: Issues,
    ) -> Issues {
        let sent = Sent { owner, receipt: id.as_str(), base: self.base() };
        match repository::resolve(&self.house, sent, incoming).await {
            Err(all) if all.iter().all(|issue| issue.code.row().status < 500) => all,
            _ => read,
        }
    }

    fn base(&self) -> &str {
        self.setup.base_url.trim_end_matches('/')
    }

    /// A person lets a held submission go on: it is matched again (or for the member they name),
    /// and filed.
    pub async fn release(
        &self,
        stored: &StoredWork,
        submission: Submission,
        who: Who,
        member: Option<&str>,
    ) -> Result<(), Issues> {
        let sender = self
            .sender(&submission.sender)
            .ok_or_else(|| Issue::new(Code::PartnerUnknown, "the sender is no longer a partner"))?;
        let body = self.house.blob(&submission.digest).await.map_err(store_issue)?;
        let body =
            body.ok_or_else(|| Issue::new(Code::InternalError, "the submission's body is gone"))?;
        let mut incoming = read::read(body, &terms(sender, &self.setup))?;
        incoming.refuse(deferred(&submission));
        let id = submission.id.clone();
        let begun = Begun::Released { stored, submission: Box::new(submission), who, member };
        let arrival = Arrival { id, sender, caller: None, incoming, asked: Asked::BUNDLE, begun };
        match self.go_on(&arrival).await {
            Ok(_) => Ok(()),
            Err(Stop::Unmatched(issue)) => Err(issue.into()),
            Err(Stop::Refused(issues)) => Err(issues),
            Err(Stop::Unwritten(commit)) => Ok(unexpected(commit).map(drop)?),
            Err(Stop::Stale) => Err(kept_changing().into()),
        }
    }

    /// *Match*, *file*, *acknowledge*; again when what it was decided by has changed meanwhile.
    pub(crate) async fn go_on(&self, arrival: &Arrival<'_>) -> Result<Answer, Stop> {
        for _ in 0..STALE_ROUNDS_MAX {
            match self.round(arrival).await {
                Err(Stop::Stale) => self.still_waits(arrival).await?,
                ended => return ended,
            }
        }
        Err(Stop::Stale)
    }

    /// What arrived, what was filed and the answer are one unit.
    async fn round(&self, arrival: &Arrival<'_>) -> Result<Answer, Stop> {
        let begun = self.exports.under_way.begin(&*self.clock);
        let at = begun.at();
        let (resolved, member) = self.resolve(arrival).await?;
        let mut plan = resolved.plan()?;
        repository::put_beneath(&self.house, &mut plan, &mut FatesOf::receipts(self)).await?;
        let (answer, kept) = self.acknowledge(arrival, &plan, at).await?;
        self.file(arrival, at, plan, member, &kept).await?;
        Ok(answer)
    }

    /// *Authenticate*: whose credential is it, and are we agreed with them?
    pub(crate) fn authenticate(&self, caller: &Caller) -> Result<&Sender, Issue> {
        self.sender(&PartnerId::from(caller.partner.as_str())).ok_or_else(|| {
            let issue = Issue::new(Code::ScopeMissing, "this credential is not a sender's");
            issue.at("Authorization")
        })
    }

    /// A sender, by name.
    pub fn sender(&self, name: &PartnerId) -> Option<&Sender> {
        self.setup.senders.get(name)
    }

    /// The first answer to this key, when it came before with the same bytes.
    pub(crate) async fn repeated(
        &self,
        sender: &Sender,
        incoming: &Incoming,
    ) -> Result<Option<Answer>, Issue> {
        let Some(key) = &incoming.key else { return Ok(None) };
        let name = &sender.public.name;
        match self.house.first_answer(name, key).await.map_err(store_issue)? {
            Some(first) if first.digest == incoming.digest => Ok(Some(answered(first))),
            Some(_) => Err(conflict()),
            None => Ok(None),
        }
    }

    /// Which records the entries are about, and whom; and *match*. Each entry of a batch stands or
    /// falls alone: those about somebody who is not found are refused, and the others go on.
    async fn resolve(&self, arrival: &Arrival<'_>) -> Result<(Resolved, Option<MemberKey>), Stop> {
        let (owner, receipt) = (arrival.owner(), arrival.id.as_str());
        let sent = Sent { owner, receipt, base: self.base() };
        let mut incoming = Cow::Borrowed(&arrival.incoming);
        for tried in 1.. {
            let resolved = repository::resolve(&self.house, sent, &incoming).await?;
            let issue = match self.match_member(arrival, &resolved).await {
                Err(Stop::Unmatched(issue)) if falls_alone(arrival, &issue) => issue,
                matched => return Ok((resolved, matched?)),
            };
            let about = match tried < PERSONS_TRIED_MAX {
                true => resolved.clinical,
                false => incoming.clinical(),
            };
            let refused = |index| RefusedEntry { index, issues: issue.clone().into() };
            incoming.to_mut().refuse(about.into_iter().map(refused).collect());
        }
        Err(Stop::Stale)
    }

    /// *Match*: whose data are these? `None` where records are only taken back, or none is about
    /// anybody's care.
    async fn match_member(
        &self,
        arrival: &Arrival<'_>,
        resolved: &Resolved,
    ) -> Result<Option<MemberKey>, Stop> {
        let members = || self.register.members();
        if let Begun::Released { member: Some(id), .. } = arrival.begun {
            return Ok(Some(members()?.by_id(id)?));
        }
        let Some(whom) = &resolved.whom else { return Ok(None) };
        let mut coverages = resolved.brought("Coverage");
        let brought = resolved.brought("Patient").into_iter().next();
        let patient = match (whom, brought) {
            (Whom::Brought(_), Some(patient)) => patient,
            (Whom::Brought(id) | Whom::OnFile(id), _) => {
                coverages.extend(self.coverages(arrival, id).await?);
                self.patient(arrival, id).await?
            }
        };
        let members = members()?;
        match members.match_member(&patient, &coverages) {
            // The Coverage that names the member may have come before.
            Err(issue) if issue.code == Code::MemberNotNamed && coverages.is_empty() => {
                let filed = self.coverages(arrival, whom.id()).await?;
                members.match_member(&patient, &filed).map(Some).map_err(Stop::Unmatched)
            }
            found => found.map(Some).map_err(Stop::Unmatched),
        }
    }

    /// A Patient of the sender's on file.
    async fn patient(&self, arrival: &Arrival<'_>, id: &str) -> Result<Resource, Stop> {
        let found = self.house.record("Patient", id, None).await.map_err(store_issue)?;
        let own = found.filter(|record| record.owner == *arrival.owner());
        let content = own.and_then(|record| record.content);
        let gone = || {
            let detail = "the Patient it is about is not filed";
            Issue::new(Code::MemberNotNamed, detail).at("Bundle.entry")
        };
        let patient = content.and_then(|content| Resource::parse(content).ok());
        patient.ok_or_else(|| Stop::Unmatched(gone()))
    }

    /// What the sender filed of a Patient's Coverages.
    async fn coverages(&self, arrival: &Arrival<'_>, patient: &str) -> Result<Vec<Resource>, Stop> {
        let query = RecordQuery {
            kind: "Coverage".to_owned(),
            patients: vec![patient.to_owned()],
            owner: Some(arrival.owner().clone()),
            limit: COVERAGES_MAX,
            bytes: COVERAGES_BYTES_MAX,
            ..RecordQuery::default()
        };
        let found = self.house.search(query).await.map_err(store_issue)?;
        let contents = found.into_iter().filter_map(|record| record.content);
        Ok(contents.filter_map(|content| Resource::parse(content).ok()).collect())
    }

    /// A push whose member is not found: kept for a person, or refused, as the agreement says.
    pub(crate) async fn unmatched(
        &self,
        arrival: &Arrival<'_>,
        issue: Issue,
    ) -> Result<Answer, Issues> {
        if !waits(arrival, &issue) {
            return self.refuse(arrival, issue.into()).await;
        }
        let place = format!("{}/status/{}", self.setup.base_url, arrival.id);
        let answer = response::held(&place, POLL_SECONDS);
        let held = Event::Held { issues: vec![issue] };
        let mut unit = arrival.unit(self.clock.now(), vec![held]);
        unit.first_answer = arrival.first_answer(&answer);
        match self.house.commit(unit).await.map_err(store_issue)? {
            Commit::Done { .. } => {
                (self.setup.passed)("held");
                Ok(answer)
            }
            other => Ok(unexpected(other)?),
        }
    }

    /// What is refused leaves a line, and nothing else; what the house could not do, none.
    pub(crate) async fn refuse(
        &self,
        arrival: &Arrival<'_>,
        issues: Issues,
    ) -> Result<Answer, Issues> {
        if issues.iter().any(|issue| issue.code.row().status >= 500) {
            return Err(issues);
        }
        let refused = Event::NotFiled { issues: issues.clone().into() };
        let mut unit = arrival.unit(self.clock.now(), vec![refused]);
        unit.blobs.clear();
        self.house.commit(unit).await.map_err(store_issue)?;
        Err(issues.map(outward))
    }

    /// *Acknowledge*: what the sender is told, and what is kept of it.
    async fn acknowledge(
        &self,
        arrival: &Arrival<'_>,
        plan: &Plan,
        at: Timestamp,
    ) -> Result<(Answer, Answer), Issue> {
        let returning = |kind: &str| arrival.returning(kind);
        let mut filings = response::filings(&self.house, plan, at, returning).await?;
        for filing in &mut filings {
            filing.issues = std::mem::take(&mut filing.issues).into_iter().map(outward).collect();
        }
        let root = self.ledger_root.read().unwrap_or_else(PoisonError::into_inner).clone();
        let kept = response::bundle(arrival.incoming.form, &filings, root.as_ref());
        let told = match filings.first().filter(|_| arrival.asked.single) {
            Some(filing) => response::single(filing, &self.setup.base_url),
            None => kept.clone(),
        };
        Ok((told, kept))
    }

    /// *File*: one unit, or none.
    async fn file(
        &self,
        arrival: &Arrival<'_>,
        at: Timestamp,
        plan: Plan,
        member: Option<MemberKey>,
        answer: &Answer,
    ) -> Result<(), Stop> {
        let matched = member.map(|member| matched(&member, &self.member_secret));
        let unit = arrival.filed(at, plan, matched, answer);
        match self.house.commit(unit).await.map_err(store_issue)? {
            Commit::Done { .. } => {
                (self.setup.passed)(match arrival.begun {
                    Begun::AtTheDoor | Begun::Deferred { .. } => "filed",
                    Begun::Released { .. } => "released",
                });
                Ok(())
            }
            Commit::Stale => Err(Stop::Stale),
            other => Err(Stop::Unwritten(other)),
        }
    }

    /// A held submission that somebody else has changed meanwhile is theirs.
    async fn still_waits(&self, arrival: &Arrival<'_>) -> Result<(), Stop> {
        let (Begun::Released { stored, .. } | Begun::Deferred { stored, .. }) = arrival.begun
        else {
            return Ok(());
        };
        let now = self.house.work(&stored.work.id).await.map_err(store_issue)?;
        if now.is_none_or(|now| now.revision != stored.revision) {
            let detail = "it was changed meanwhile; look again";
            return Err(Issue::new(Code::NotWaiting, detail).into());
        }
        Ok(())
    }
}

/// Whether a submission whose member is not found is kept for a person.
fn waits(arrival: &Arrival<'_>, issue: &Issue) -> bool {
    let agreed = arrival.sender.terms.agreement.unmatched;
    let waits = matches!(issue.code, Code::MemberUnknown | Code::MemberMismatch);
    waits && agreed != Unmatched::Refuse
}

/// Whether only the entries about a member who is not found are refused: those of a batch, unless a
/// person looks at all of it first.
fn falls_alone(arrival: &Arrival<'_>, issue: &Issue) -> bool {
    let released = matches!(arrival.begun, Begun::Released { .. });
    arrival.incoming.form == Form::Batch && !released && !waits(arrival, issue)
}

/// Commits that are no `Done`: the key was used meanwhile, by another process.
pub(crate) fn unexpected(commit: Commit) -> Result<Answer, Issue> {
    match commit {
        Commit::Repeated(first) => Ok(answered(first)),
        Commit::Conflict => Err(conflict()),
        _ => Err(Issue::new(Code::HouseBusy, "the submission was changed meanwhile")),
    }
}

pub(crate) fn kept_changing() -> Issue {
    Issue::new(Code::HouseBusy, "the records kept changing while they were filed")
}

/// *Read*: is it a Bundle this house can act on, and may this caller ask for it? What it may not
/// ask for is not looked into any further.
pub(crate) fn read(
    body: bytes::Bytes,
    terms: &SenderTerms,
    caller: &Caller,
) -> Result<Incoming, Issues> {
    let mut incoming = read::take_apart(body, terms)?;
    let mut refused = Vec::new();
    for entry in &incoming.entries {
        if let Err(issue) = caller.require(&entry.kind, entry.action.letter()) {
            let detail = entry.named(&issue.detail);
            let issue = Issue { detail, ..issue };
            let issue = issue.at(format!("Bundle.entry[{}].request", entry.index));
            refused.push(RefusedEntry { index: entry.index, issues: issue.into() });
        }
    }
    incoming.refuse(refused);
    Ok(incoming)
}

pub(crate) fn terms(sender: &Sender, setup: &Setup) -> SenderTerms {
    let namespace = Some(sender.public.namespace.clone()).filter(|one| !one.is_empty());
    SenderTerms::of(&sender.terms.agreement, namespace, &setup.base_url)
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
    let headers = first.headers.into_iter().filter_map(named).collect();
    Answer { headers, ..Answer::new(first.status, body) }
}

fn conflict() -> Issue {
    let detail = "this key came before with other content";
    Issue::new(Code::KeyConflict, detail).at("Bundle.identifier")
}

/// What the sender is told: of a member who is not found it does not learn which of id and
/// demographics is wrong, or it could try which ids are given out. The ledger's line says it.
pub(crate) fn outward(issue: Issue) -> Issue {
    match issue.code {
        Code::MemberUnknown | Code::MemberMismatch => {
            let detail = "no member has this id, birth date and family name together";
            Issue::new(Code::MemberUnknown, detail)
        }
        _ => issue,
    }
}
