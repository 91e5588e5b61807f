//! Later: Bundles whose sender does not wait for what becomes of them (`Prefer: respond-async`, R4
//! §3.1.6, answered in the form of Bulk Data).
//!
//! Comes in   a Bundle at the door; later, the row that it became.
//! Goes out   202 with the place to ask, once it is durable; then the road is gone on as for any other.
//! Never      files more than the sender's token covered when it came; never forgets one: a worker that
//!            is killed leaves it to the next.

use crate::arrival::{Arrival, Begun, gone_on};
use crate::limits::{LATER_FULL_SECONDS, LATER_MAX, POLL_SECONDS};
use crate::purposes;
use crate::response::{self, Asked, refusal};
use crate::road::{Road, Stop, kept_changing, read, terms, unexpected};
use bytes::Bytes;
use exchange::read::{self as reading, RefusedEntry};
use exchange::submission::{Submission, SubmissionState};
use exchange::{Code, Event, Issue, Issues, PartnerId, SubmissionId};
use http::header::RETRY_AFTER;
use repository::store_issue;
use store::{Commit, House, Lease, WorkKind, WorkQuery};
use wire::{Answer, Caller};

impl Road {
    /// A Bundle whose sender asks again for the answer. What can be told at once is: a Bundle that
    /// cannot be read is refused here, and a repeat gets the first answer.
    pub(crate) async fn receive_later(
        &self,
        caller: &Caller,
        body: Bytes,
        id: SubmissionId,
    ) -> Answer {
        match self.take(caller, body, id).await {
            Ok(answer) => answer,
            Err(issues) => refusal(&issues),
        }
    }

    async fn take(&self, caller: &Caller, body: Bytes, id: SubmissionId) -> Result<Answer, Issues> {
        let sender = self.authenticate(caller)?;
        let incoming = read(body, &terms(sender, &self.setup), caller)?;
        if let Some(faults) = incoming.faults() {
            return Err(self.all_faults(&sender.public.name, &id, &incoming, faults).await);
        }
        purposes::check(caller, &incoming)?;
        let _turn = self.keys.turn(&sender.public.name, incoming.key.as_deref()).await?;
        if let Some(first) = self.repeated(sender, &incoming).await? {
            return Ok(first);
        }
        if self.has_many_waiting(&sender.public.name).await? {
            let detail = "as many Bundles of this sender as may are waiting; poll, and come again";
            let full = Answer::from(Issue::new(Code::RateExceeded, detail));
            return Ok(full.with(RETRY_AFTER, LATER_FULL_SECONDS.to_string()));
        }
        // The token is gone by then: what it did not cover is written down.
        let refused = incoming.refused.iter();
        let refused = refused.map(|one| (one.index as u64, one.issues.clone().into())).collect();
        let (asked, begun) = (Asked::BUNDLE, Begun::AtTheDoor);
        let arrival = Arrival { id, sender, caller: Some(caller), incoming, asked, begun };
        let place = format!("{}/status/{}", self.setup.base_url, arrival.id);
        let answer = response::taken(&place, POLL_SECONDS);
        let mut unit = arrival.unit(self.clock.now(), vec![Event::Deferred { refused }]);
        unit.first_answer = arrival.first_answer(&answer);
        match self.house.commit(unit).await.map_err(store_issue)? {
            Commit::Done { .. } => {
                (self.setup.passed)("deferred");
                self.exports.wake();
                Ok(answer)
            }
            other => Ok(unexpected(other)?),
        }
    }

    async fn has_many_waiting(&self, sender: &PartnerId) -> Result<bool, Issue> {
        let query = WorkQuery {
            kind: Some(WorkKind::Submission),
            states: vec!["due".to_owned()],
            partner: Some(sender.clone()),
            limit: LATER_MAX,
            ..WorkQuery::default()
        };
        let found = self.house.works(query).await.map_err(store_issue)?;
        Ok(found.len() >= LATER_MAX as usize)
    }

    /// Goes on with a Bundle that waits for a worker, to its answer.
    ///
    /// Errors: those of the store, and `HouseBusy`: its lease ends by itself, and it is taken up again.
    pub(crate) async fn finish(&self, lease: &Lease) -> Result<(), Issues> {
        let stored = &lease.work;
        let submission: Submission = serde_json::from_slice(&stored.work.body)
            .map_err(|_| Issue::new(Code::StoreUnavailable, "a submission cannot be read"))?;
        if !matches!(submission.state, SubmissionState::Due { .. }) {
            return Ok(());
        }
        let Some(sender) = self.sender(&submission.sender) else {
            let issue = Issue::new(Code::PartnerUnknown, "the sender is no longer a partner");
            return self.not_filed(lease, submission, issue.into()).await;
        };
        let body = self.house.blob(&submission.digest).await.map_err(store_issue)?;
        let body =
            body.ok_or_else(|| Issue::new(Code::InternalError, "the submission's body is gone"))?;
        let mut incoming = match reading::read(body, &terms(sender, &self.setup)) {
            Ok(incoming) => incoming,
            Err(issues) => return self.not_filed(lease, submission, issues).await,
        };
        incoming.refuse(deferred(&submission));
        let (id, fence) = (submission.id.clone(), lease.fence.clone());
        let begun = Begun::Deferred { stored, submission: Box::new(submission), fence };
        let arrival = Arrival { id, sender, caller: None, incoming, asked: Asked::BUNDLE, begun };
        match self.go_on(&arrival).await {
            Ok(_) => Ok(()),
            Err(Stop::Unmatched(issue)) => told(self.unmatched(&arrival, issue).await),
            Err(Stop::Refused(issues)) => told(self.refuse(&arrival, issues).await),
            Err(Stop::Unwritten(_) | Stop::Stale) => Err(kept_changing().into()),
        }
    }

    async fn not_filed(
        &self,
        lease: &Lease,
        submission: Submission,
        issues: Issues,
    ) -> Result<(), Issues> {
        let refused = [Event::NotFiled { issues: issues.into() }];
        let mut unit = gone_on(self.clock.now(), &lease.work, submission, refused);
        unit.fence = Some(lease.fence.clone());
        self.house.commit(unit).await.map_err(store_issue)?;
        Ok(())
    }
}

/// What it came to is written down, and read where it is asked for; what the house could not do is not.
fn told(ended: Result<Answer, Issues>) -> Result<(), Issues> {
    match ended {
        Err(issues) if issues.iter().any(|issue| issue.code.row().status >= 500) => Err(issues),
        _ => Ok(()),
    }
}

/// The entries that were refused when it came, by what the sender's token covered then.
pub(crate) fn deferred(submission: &Submission) -> Vec<RefusedEntry> {
    let refused = submission.deferred.iter().flatten();
    let refused = refused.filter_map(|(index, issues)| {
        let issues = Issues::of(issues.clone())?;
        Some(RefusedEntry { index: *index as usize, issues })
    });
    refused.collect()
}
