//! Pull: a payer asks for its members' histories itself (Bulk Data 2.0.0, export), where the agreement
//! says `pull = true`.
//!
//! Comes in   kick-offs, polls and deletions of payers that have signed in.
//! Goes out   202 with a place, progress, the manifest; a bulk submission that the payer fetches instead
//!            of being told of it.
//! Never      tells a payer of another one's export or Group; never gives more than was asked for: what
//!            would narrow an export and is not understood is refused, or passed over where the payer
//!            prefers that, and told.
//!
//! Why a bulk submission, and pushes: what a payer fetches leaves the house as much as what it is sent.
//! So each member's history walks the same road, by a trigger of its own, with decisions, a number and a
//! line; only the door is this house's. `_since` is not offered: what has changed by the EHR's word is
//! not what has changed for this payer, since a restriction that ended or a coverage that began changes
//! no record.

use super::tell::{MESSAGES, file_name};
use super::{access_to, read, row, said, terms_of};
use crate::limits::{
    GIVEN_TRIES, PULL_BUSY_SECONDS, PULL_KEPT, PULL_POLL, PULL_POLL_SECONDS, PULL_READY_MAX,
    PULLS_BEGUN_MAX, PULLS_LOOKED, PULLS_MAX,
};
use crate::road::Road;
use crate::setup::Payer;
use bytes::Bytes;
use exchange::agreement::FileAccess;
use exchange::bulk;
use exchange::export::{Asked, Level, parameters};
use exchange::query::Handling;
use exchange::sending::{End, Pulled, Sending, Step};
use exchange::{Code, Event, Issue, PartnerId, SubmissionId};
use http::header::{CONTENT_LOCATION, CONTENT_TYPE, EXPIRES, RETRY_AFTER};
use jiff::Timestamp;
use repository::{Suspensions, http_date, store_issue};
use std::collections::BTreeSet;
use store::{Commit, Expect, House, StoredWork, Unit, WorkKind, WorkQuery};
use wire::rest::KickOff;
use wire::{Answer, Caller, Clock as _, draw_id};

impl Road {
    /// Takes a request for an export.
    ///
    /// Errors: `ScopeMissing` for whoever may not pull; `ResourceUnknown` for another Group than its own;
    /// those of the parameters; `RateExceeded` as an answer with the time to come again.
    pub async fn pull(&self, caller: &Caller, kick_off: KickOff) -> Result<Answer, Issue> {
        let payer = self.puller(caller)?;
        Suspensions::check(&self.house, &payer.public.name).await?;
        if !kick_off.prefer.respond_async {
            let detail = "an export is answered later: ask with Prefer: respond-async";
            return Err(Issue::new(Code::ParameterInvalid, detail).at("Prefer"));
        }
        match &kick_off.level {
            Level::System => {
                let detail =
                    "a payer is given its members' records: Patient/$export or Group/[id]/$export";
                return Err(Issue::new(Code::InteractionUnsupported, detail));
            }
            Level::Group(id) => self.own_group(payer, id)?,
            Level::Patient => {}
        }
        let agreed = payer.terms.agreement.default_purpose();
        let purpose = agreed.ok_or_else(|| Issue::new(Code::PurposeNotAgreed, "none is agreed"))?;
        caller.require_purpose(purpose)?;
        let asked = asked(&self.setup.base_url, &kick_off, caller)?;
        self.population().await?;
        let _one = self.bulk.joined.lock().await;
        let at = self.clock.now();
        if let Some(detail) = self.full(&payer.public.name, at).await? {
            let refused = Answer::from(Issue::new(Code::RateExceeded, detail));
            return Ok(refused.with(RETRY_AFTER, PULL_BUSY_SECONDS.to_string()));
        }
        let kept = PULL_READY_MAX.saturating_add(PULL_KEPT);
        let opened = Event::SendingOpened {
            submission: SubmissionId(draw_id()),
            payer: payer.public.name.clone(),
            purpose,
            endpoint: self.setup.base_url.clone(),
            until: at,
            deadline: at.saturating_add(kept).unwrap_or(at),
            pull: Some(Box::new(asked)),
        };
        let unexpected = || Issue::new(Code::InternalError, "an export did not begin");
        let sending = Sending::begin(at, &opened).ok_or_else(unexpected)?;
        let unit = Unit {
            at,
            expects: vec![Expect::WorkRevision { id: sending.id.to_string(), revision: None }],
            lines: vec![(sending.chain(), opened)],
            works: vec![row(&sending)],
            ..Unit::default()
        };
        done(self.house.commit(unit).await.map_err(store_issue)?)?;
        (self.setup.passed)("pull-asked");
        Ok(Answer::new(202, Bytes::new()).with(CONTENT_LOCATION, self.pull_place(&sending.id)))
    }

    /// The payer behind a credential, where it may ask for exports.
    ///
    /// Errors: `ScopeMissing`.
    pub(super) fn puller(&self, caller: &Caller) -> Result<&Payer, Issue> {
        let payer = self.setup.payers.get(&PartnerId::from(caller.partner.as_str()));
        let may = |payer: &&Payer| terms_of(payer).is_ok_and(|terms| terms.pull);
        payer.filter(may).ok_or_else(|| {
            let detail = "no agreement lets this caller ask for exports ([bulk] pull = true)";
            Issue::new(Code::ScopeMissing, detail).at("Authorization")
        })
    }

    fn pull_place(&self, id: &SubmissionId) -> String {
        format!("{}/status/{id}", self.setup.base_url)
    }

    /// Why the payer may not have another export now. One that it has deleted stands no more, and the
    /// histories that it began are under way all the same: so those that it began lately count as well.
    async fn full(&self, payer: &PartnerId, at: Timestamp) -> Result<Option<&'static str>, Issue> {
        let query = WorkQuery {
            kind: Some(WorkKind::BulkSent),
            partner: Some(payer.clone()),
            limit: PULLS_LOOKED,
            ..WorkQuery::default()
        };
        let rows = self.house.works(query).await.map_err(store_issue)?;
        let (mut standing, mut begun) = (0, 0);
        for sending in rows.iter().filter_map(|stored| read(&stored.work)) {
            let Some(pulled) = &sending.pulled else { continue };
            let stands = matches!(sending.end, None | Some(End::Settled));
            standing += usize::from(stands && !pulled.deleted && sending.step != Step::Rest);
            begun += usize::from(sending.opened.duration_until(at) < PULL_READY_MAX);
        }
        Ok(match (standing >= PULLS_MAX, begun >= PULLS_BEGUN_MAX) {
            (true, _) => {
                Some("this payer has as many exports as it may; delete those it has fetched")
            }
            (_, true) => Some("this payer has begun as many exports within an hour as it may"),
            (false, false) => None,
        })
    }

    /// An export of this caller's that has not been deleted, and is not over.
    ///
    /// Errors: `StatusUnknown`.
    async fn own_pull(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(StoredWork, Sending, Pulled), Issue> {
        let unknown = || Issue::new(Code::StatusUnknown, "no export of this caller is here");
        let stored = self.house.work(id).await.map_err(store_issue)?.ok_or_else(unknown)?;
        let bulk = stored.work.kind == WorkKind::BulkSent;
        let sending = read(&stored.work).filter(|_| bulk).ok_or_else(unknown)?;
        let pulled = sending.pulled.as_deref().filter(|it| !it.deleted).cloned();
        let pulled = pulled.ok_or_else(unknown)?;
        let over = sending.step == Step::Rest || sending.deadline <= self.clock.now();
        match over || sending.payer.as_str() != caller.partner {
            true => Err(unknown()),
            false => Ok((stored, sending, pulled)),
        }
    }

    /// How an export stands: 202, then 200 with its manifest.
    ///
    /// Errors: `StatusUnknown`, `PartnerSuspended`; why it came to nothing.
    pub async fn pull_status(&self, caller: &Caller, id: &str) -> Result<Answer, Issue> {
        let (_, sending, pulled) = self.own_pull(caller, id).await?;
        Suspensions::check(&self.house, &sending.payer).await?;
        if matches!(sending.end, Some(End::Failed | End::Stopped)) {
            let detail = "the provider could not make this export; ask for another one";
            let stopped = || Issue::new(Code::SubmissionStopped, detail);
            return Err(sending.issues.into_iter().next().unwrap_or_else(stopped));
        }
        let Some(manifest) = sending.standing().last() else {
            return Ok(self.pull_waits(&sending, &pulled));
        };
        self.bulk.polls.forget(id);
        let plan = self.plan(&manifest.plan).await;
        let unreadable = |_| Issue::new(Code::InternalError, "a plan of files cannot be read");
        let terms = terms_of(self.payer(&sending.payer)?)?;
        let url = |name: &str| self.file_url(terms, &sending, &file_name(manifest.number, name));
        let plan = plan.map_err(unreadable)?;
        let listed = plan.listed(access_to(terms, &sending) == FileAccess::Token, url);
        let errors = match messages(&pulled).len() as u64 {
            0 => Vec::new(),
            count => vec![bulk::File {
                url: self.file_url(terms, &sending, MESSAGES),
                kind: Some("OperationOutcome".to_owned()),
                count: Some(count),
                size: None,
                continues_in: None,
            }],
        };
        let body = listed.write(Some(&pulled.asked.request), &errors);
        let answer = Answer::new(200, body).with(CONTENT_TYPE, "application/json");
        Ok(answer.with(EXPIRES, http_date(sending.deadline)))
    }

    /// What a poll gets of an export that is still being made.
    fn pull_waits(&self, sending: &Sending, pulled: &Pulled) -> Answer {
        if self.bulk.polls.too_soon(sending.id.as_str(), self.clock.now(), PULL_POLL) {
            return Answer::polled_too_soon(PULL_POLL_SECONDS);
        }
        let words = match pulled.members {
            None => "waiting for its turn",
            Some(_) => "histories are being put together",
        };
        Answer::in_progress(words, PULL_POLL_SECONDS)
    }

    /// The payer wants no more of an export: 202, and from then on it is unknown.
    ///
    /// Errors: `StatusUnknown`; `HouseBusy` where it changes just now.
    pub async fn pull_end(&self, caller: &Caller, id: &str) -> Result<Answer, Issue> {
        // The worker may settle it just now, behind its last file.
        for _ in 0..GIVEN_TRIES {
            let (stored, sending, _) = self.own_pull(caller, id).await?;
            let said = self.say_of_pull(&stored, sending, Event::PullDeleted {}).await?;
            if let Commit::Done { .. } = said {
                self.bulk.polls.forget(id);
                return Ok(Answer::new(202, Bytes::new()));
            }
        }
        Err(Issue::new(Code::HouseBusy, "the export was changed meanwhile"))
    }

    /// Says something about an export that is as it was read.
    async fn say_of_pull(
        &self,
        stored: &StoredWork,
        sending: Sending,
        event: Event,
    ) -> Result<Commit, Issue> {
        let (unit, _) = said(stored, sending, self.clock.now(), event);
        self.house.commit(unit).await.map_err(store_issue)
    }
}

/// What is to be said of an export: an OperationOutcome a line.
pub(super) fn messages(pulled: &Pulled) -> Vec<Vec<u8>> {
    let missing = (pulled.missing > 0).then(|| {
        let detail = format!(
            "the histories of {} patients were not ready in time; ask for another export",
            pulled.missing
        );
        Issue::new(Code::DeadlinePassed, detail)
    });
    let passed_over = pulled.asked.passed_over.iter().map(|name| parameters::passed_over(name));
    missing.into_iter().chain(passed_over).map(|issue| Issue::outcome([&issue])).collect()
}

fn done(commit: Commit) -> Result<(), Issue> {
    match commit {
        Commit::Done { .. } => Ok(()),
        _ => Err(Issue::new(Code::HouseBusy, "the export was changed meanwhile")),
    }
}

/// A kick-off as it is understood.
///
/// Errors: `ParameterInvalid`, `ParameterUnsupported`, `ScopeMissing`, naming the parameter and no value.
fn asked(base: &str, kick_off: &KickOff, caller: &Caller) -> Result<Asked, Issue> {
    let lenient = kick_off.prefer.handling == Handling::Lenient;
    let (mut kinds, mut understood) = (BTreeSet::new(), Vec::new());
    let (mut passed_over, mut named) = (Vec::new(), false);
    for (name, value) in &kick_off.parameters {
        match name.as_str() {
            "_outputFormat" => parameters::output_format(value)?,
            "_type" => {
                named = true;
                for one in value.split(',').map(str::trim) {
                    match parameters::kind(one) {
                        Ok(kind) => drop(kinds.insert(kind.to_owned())),
                        Err(_) if lenient => passed_over.push(name.clone()),
                        Err(issue) => return Err(issue),
                    }
                }
            }
            // Passed over, it would give records of others.
            "patient" => return Err(parameters::unsupported(name)),
            _ if lenient => {
                passed_over.push(parameters::shown(name).to_owned());
                continue;
            }
            _ => return Err(parameters::unsupported(name)),
        }
        understood.push((name.as_str(), value.as_str()));
    }
    let kinds = named.then(|| kinds.into_iter().collect());
    let kinds = caller.exported(kinds, named)?;
    let request = kick_off.url(base, understood);
    Ok(Asked { request, kinds, passed_over, ..Asked::default() })
}
