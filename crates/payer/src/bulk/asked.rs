//! Asked: `$bulk-submit` at the door.
//!
//! Comes in   a body, and the credential it came with.
//! Goes out   200 once the request is durable; the same again for the same request.
//! Never      takes a request of a submitter who is not this sender's, or one behind the last word; tells
//!            another sender that there is such a submission; keeps a header's value anywhere but in the
//!            stored body.

use super::{receipt_row, received_row};
use crate::limits::{BULK_FULL_SECONDS, BULK_MANIFESTS_MAX, BULK_OPEN_MAX, STALE_ROUNDS_MAX};
use crate::road::Road;
use crate::setup::Sender;
use bytes::Bytes;
use exchange::bulk::receipt::{Receipt, ReceiptState};
use exchange::bulk::received::{COMPLETED, IN_PROGRESS, Received, Step, id_of, receipt_id};
use exchange::bulk::{SCOPE, SubmissionStatus, SubmitRequest, Submitter};
use exchange::partner::PublicIdentifier;
use exchange::{Code, Digest, Event, Issue, Issues, SubmissionId};
use http::header::RETRY_AFTER;
use repository::store_issue;
use serde_json::json;
use store::{Commit, Expect, House, Unit, WorkKind, WorkQuery};
use wire::{Answer, Caller};

/// Takes a request.
///
/// Errors: `ScopeMissing`, those of the parameters, `SubmissionClosed` behind the last word,
/// `KeyConflict` for another request of the same manifest, `RateExceeded` as an answer with the time to
/// come again; those of the store.
pub(crate) async fn submit(road: &Road, caller: &Caller, body: Bytes) -> Result<Answer, Issues> {
    let sender = sender(road, caller)?;
    let digest = Digest::of(&body);
    let request = SubmitRequest::read(body.clone())?;
    check(sender, &request)?;
    let id = id_of(&sender.public.name, &request.submitter, &request.submission_id);
    let _one = road.bulk.opening.lock().await;
    for _ in 0..STALE_ROUNDS_MAX {
        let asking =
            Asking { road, caller, sender, request: &request, digest, body: &body, id: &id };
        match asking.round().await? {
            Taken::Now(words) => return Ok(taken(words)),
            Taken::Stale => {}
            Taken::Full => {
                let detail = "as many submissions of this sender as may be are in progress";
                let refused = Answer::from(Issue::new(Code::RateExceeded, detail));
                return Ok(refused.with(RETRY_AFTER, BULK_FULL_SECONDS.to_string()));
            }
        }
    }
    Err(Issue::new(Code::HouseBusy, "the submission kept changing").into())
}

/// The sender behind a credential that may submit: by its own scope, or by writing everything.
pub(super) fn sender<'r>(road: &'r Road, caller: &Caller) -> Result<&'r Sender, Issue> {
    let known = road.sender(&caller.partner.as_str().into());
    let sender = known.ok_or_else(|| {
        let issue = Issue::new(Code::ScopeMissing, "this credential is not a sender's");
        issue.at("Authorization")
    })?;
    if !caller.may("system/*.cud") {
        caller.require_scope(SCOPE)?;
    }
    Ok(sender)
}

/// The submitter is this sender's, and its files are where they may be fetched.
fn check(sender: &Sender, request: &SubmitRequest) -> Result<(), Issue> {
    check_submitter(sender, &request.submitter)?;
    if let Some(unknown) = request.unknown.first() {
        let detail = "this parameter of a bulk submission is not known here";
        return Err(Issue::new(Code::ParameterUnsupported, detail).at(unknown));
    }
    let Some(manifest) = &request.manifest else { return Ok(()) };
    let pairs = manifest.headers.iter().map(|(name, value)| (name.as_str(), value.0.as_str()));
    wire::fetch::FileHeaders::read(pairs, !manifest.oauth_metadata.is_empty())?;
    match sender.files {
        Some(_) => Ok(()),
        None => {
            let detail = "no file server is agreed on with this sender";
            Err(Issue::new(Code::FileNotAgreed, detail).at("manifestUrl"))
        }
    }
}

/// Errors: `ParameterInvalid`.
pub(super) fn check_submitter(sender: &Sender, submitter: &Submitter) -> Result<(), Issue> {
    let agreed = &sender.public.submitters;
    let named = |one: &PublicIdentifier| {
        one.value == submitter.value
            && one.system == submitter.system.as_deref().unwrap_or_default()
    };
    if agreed.is_empty() || agreed.iter().any(named) {
        return Ok(());
    }
    let detail = "this is not the submitter that is agreed on with this sender";
    Err(Issue::new(Code::ParameterInvalid, detail).at("submitter"))
}

/// 200 with an informational OperationOutcome (Bulk Submit, response).
fn taken(words: &str) -> Answer {
    let issue = json!({
        "severity": "information",
        "code": "informational",
        "details": { "text": words },
    });
    Answer::new(200, json!({ "resourceType": "OperationOutcome", "issue": [issue] }).to_string())
}

enum Taken {
    Now(&'static str),
    Stale,
    Full,
}

struct Asking<'a> {
    road: &'a Road,
    caller: &'a Caller,
    sender: &'a Sender,
    request: &'a SubmitRequest,
    digest: Digest,
    body: &'a Bytes,
    id: &'a SubmissionId,
}

impl Asking<'_> {
    async fn round(&self) -> Result<Taken, Issue> {
        let stored = self.road.house.work(self.id.as_str()).await.map_err(store_issue)?;
        let Some(stored) = stored else { return self.first().await };
        let super::Row::Received(received) = super::read(&stored)? else {
            return Err(Issue::new(Code::InternalError, "a submission's id is a receipt's"));
        };
        if received.knows(&self.digest) {
            return Ok(Taken::Now("this request was taken before"));
        }
        self.may_go_on(&received)?;
        let status = self.request.status.unwrap_or(SubmissionStatus::InProgress);
        let replaces = self.discarded(Some(&received))?;
        // It is not kept: a sender could write such without end.
        if self.request.manifest.is_none() && received.changes_nothing(status, replaces) {
            return Ok(Taken::Now("the request was taken; it changes nothing"));
        }
        self.take(Some(*received), stored.unchanged()).await
    }

    /// A submission that is not known yet.
    async fn first(&self) -> Result<Taken, Issue> {
        let status = self.request.status;
        if self.request.replaces.is_some() || status == Some(SubmissionStatus::Stopped) {
            let detail = "no such submission of this sender is here";
            return Err(Issue::new(Code::StatusUnknown, detail).at("submissionId"));
        }
        let query = WorkQuery {
            kind: Some(WorkKind::BulkReceived),
            states: vec![IN_PROGRESS.to_owned(), COMPLETED.to_owned()],
            partner: Some(self.sender.public.name.clone()),
            limit: BULK_OPEN_MAX,
            ..WorkQuery::default()
        };
        let open = self.road.house.works(query).await.map_err(store_issue)?;
        if open.len() >= BULK_OPEN_MAX as usize {
            return Ok(Taken::Full);
        }
        self.take(None, Expect::WorkRevision { id: self.id.to_string(), revision: None }).await
    }

    fn may_go_on(&self, received: &Received) -> Result<(), Issue> {
        if received.is_closed() {
            return Err(super::closed(received).at("submissionId"));
        }
        let Some(manifest) = &self.request.manifest else { return Ok(()) };
        if received.numbered(&Digest::of(manifest.url.as_bytes())).is_some() {
            let detail = "this manifestUrl came before in this submission, with other parameters";
            return Err(Issue::new(Code::KeyConflict, detail).at("manifestUrl"));
        }
        if received.receipts.len() >= BULK_MANIFESTS_MAX {
            let detail = format!("a submission has at most {BULK_MANIFESTS_MAX} manifests here");
            return Err(Issue::new(Code::ParameterInvalid, detail).at("manifestUrl"));
        }
        Ok(())
    }

    /// The number of the receipt that is discarded.
    fn discarded(&self, received: Option<&Received>) -> Result<Option<u32>, Issue> {
        let Some(url) = &self.request.replaces else { return Ok(None) };
        let number = received.and_then(|one| one.numbered(&Digest::of(url.as_bytes())));
        let number = number.ok_or_else(|| {
            let detail = "no manifest of this submission has this URL";
            Issue::new(Code::ParameterInvalid, detail).at("replacesManifestUrl")
        })?;
        Ok(Some(number))
    }

    /// One unit: the request as it came, its line, the rows it adds up to.
    async fn take(&self, before: Option<Received>, expect: Expect) -> Result<Taken, Issue> {
        let at = self.road.clock.now();
        let SubmitRequest { submitter, submission_id, status, manifest, dialect, .. } =
            self.request;
        let asked = Step::Asked {
            sender: self.sender.public.name.clone(),
            submitter: submitter.clone(),
            submission: submission_id.clone(),
            dialect: *dialect,
            status: status.unwrap_or(SubmissionStatus::InProgress),
            request: self.digest,
            manifest: manifest.as_ref().map(|one| Digest::of(one.url.as_bytes())),
            replaces: self.discarded(before.as_ref())?,
            purposes: self.caller.purposes.clone(),
        };
        let asked = Event::BulkReceived(Box::new(asked));
        let number = before.as_ref().map_or(1, Received::next_number);
        let received = match before {
            None => Received::begin(self.id.clone(), at, &asked),
            Some(mut received) => {
                received.apply(at, &asked);
                Some(received)
            }
        };
        let unexpected = || Issue::new(Code::InternalError, "a bulk submission did not begin");
        let received = received.ok_or_else(unexpected)?;
        let mut unit = Unit { at, expects: vec![expect], ..Unit::default() };
        unit.lines.push((received.chain(), asked));
        unit.works.push(received_row(&received)?);
        unit.blobs.push((self.digest, self.body.clone()));
        if let Some(manifest) = manifest {
            let (submission, request) = (self.id.clone(), self.digest);
            let began = Step::Began { submission, receipt: number, request };
            let began = Event::BulkReceived(Box::new(began));
            let sender = self.sender.public.name.clone();
            let id = receipt_id(self.id, number);
            let receipt = Receipt::begin(id, at, &began, sender, manifest);
            let receipt = receipt.ok_or_else(unexpected)?;
            let receipt = Receipt { purposes: self.caller.purposes.clone(), ..receipt };
            unit.lines.push((receipt.chain(), began));
            unit.works.push(receipt_row(&receipt)?);
        }
        self.discard(&received, &mut unit).await?;
        match self.road.house.commit(unit).await.map_err(store_issue)? {
            Commit::Done { .. } => {
                (self.road.setup.passed)("bulk-received");
                self.road.exports.wake();
                Ok(Taken::Now("the request was taken"))
            }
            _ => Ok(Taken::Stale),
        }
    }

    /// Receipts that are discarded and were not fetched to their end are not fetched any further: who
    /// works on one is overtaken.
    async fn discard(&self, received: &Received, unit: &mut Unit) -> Result<(), Issue> {
        for number in received.to_take_out() {
            let id = receipt_id(self.id, number);
            let stored = self.road.house.work(id.as_str()).await.map_err(store_issue)?;
            let Some(stored) = stored else { continue };
            let super::Row::Receipt(mut receipt) = super::read(&stored)? else { continue };
            if receipt.state == ReceiptState::Discarded {
                continue;
            }
            let discarded = Event::BulkReceived(Box::new(Step::Discarded {}));
            // A discarded receipt is told nothing, so no page of its is full.
            drop(receipt.apply(unit.at, &discarded));
            unit.expects.push(stored.unchanged());
            unit.lines.push((receipt.chain(), discarded));
            unit.works.push(receipt_row(&receipt)?);
        }
        Ok(())
    }
}
