//! Status: `$bulk-submit-status`, its polls and its files, for the submission's own sender only.
//!
//! Comes in   callers who may submit; places and names of files.
//! Goes out   202 with a place; progress; the status manifest; NDJSON of OperationOutcomes; deletions.
//! Never      tells another partner that there is such a submission; says that all is done before it is.
//!
//! A place is the submission's id, a hyphen, the number of the place and, where the poll's own status is
//! to be told apart from the work's (`separate-export-status`), an `a`. So a kick-off writes nothing, and
//! a deletion ends the place and not the submission: whoever asks again gets another place.

use super::asked::{check_submitter, sender};
use super::{Row, read, received_row};
use crate::limits::{BULK_KEPT, BULK_MANIFESTS_MAX, BULK_POLL, BULK_POLL_SECONDS};
use crate::road::Road;
use bytes::Bytes;
use exchange::bulk::receipt::{Receipt, ReceiptState, Roll};
use exchange::bulk::received::{Received, Step, id_of, lane, receipt_id};
use exchange::bulk::{
    Dialect, NDJSON, StatusFile, StatusManifest, StatusRequest, SubmissionStatus,
};
use exchange::{Code, Digest, Event, Issue, Issues, SubmissionId};
use http::header::{CONTENT_LOCATION, CONTENT_TYPE, EXPIRES};
use jiff::Timestamp;
use repository::{http_date, store_issue};
use std::collections::VecDeque;
use store::{AnyHouse, Commit, House, StoredWork, Unit, WorkKind, WorkQuery};
use wire::flow::{Flow, Pieces};
use wire::rest::{PREFERENCE_APPLIED, Prefer};
use wire::{Answer, BoxFuture, Caller};

/// A place where a status is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The submission.
    pub(crate) submission: SubmissionId,
    number: u32,
    /// `separate-export-status`.
    apart: bool,
}

impl Place {
    /// The place that a path names; `None` where that is none of a bulk submission.
    pub(crate) fn of(path: &str) -> Option<Place> {
        let (id, rest) = path.split_once('-')?;
        let hex = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (number, apart) = rest.strip_suffix('a').map_or((rest, false), |rest| (rest, true));
        let number = number.parse().ok().filter(|_| hex)?;
        Some(Place { submission: id.into(), number, apart })
    }

    fn url(&self, road: &Road) -> String {
        let base = road.setup.base_url.trim_end_matches('/');
        let apart = if self.apart { "a" } else { "" };
        format!("{base}/status/{}-{}{apart}", self.submission, self.number)
    }
}

fn unknown() -> Issue {
    Issue::new(Code::StatusUnknown, "no bulk submission of this caller is here")
}

/// A request for a status.
///
/// Errors: `ScopeMissing`, those of the parameters, `StatusUnknown`.
pub(crate) async fn kick_off(
    road: &Road,
    caller: &Caller,
    body: Bytes,
    prefer: Prefer,
) -> Result<Answer, Issues> {
    let sender = sender(road, caller)?;
    let request = StatusRequest::read(body)?;
    check_submitter(sender, &request.submitter)?;
    let id = id_of(&sender.public.name, &request.submitter, &request.submission_id);
    let stored = road.house.work(id.as_str()).await.map_err(store_issue)?.ok_or_else(unknown)?;
    let Row::Received(received) = read(&stored)? else { return Err(unknown().into()) };
    if expired(&received, road.clock.now()) {
        return Err(unknown().into());
    }
    let (number, apart) = (received.places_ended + 1, prefer.status_apart);
    let place = Place { submission: id, number, apart };
    let answer = Answer::new(202, Bytes::new()).with(CONTENT_LOCATION, place.url(road));
    Ok(match apart {
        true => answer.with(PREFERENCE_APPLIED, "respond-async, separate-export-status"),
        false => answer,
    })
}

fn expired(received: &Received, now: Timestamp) -> bool {
    received.processed.is_some_and(|at| expires(at) <= now)
}

fn expires(processed: Timestamp) -> Timestamp {
    processed.checked_add(BULK_KEPT).unwrap_or(Timestamp::MAX)
}

/// The submission at a place, where it is the caller's and can still be asked for.
async fn own(road: &Road, caller: &Caller, place: &Place) -> Result<(StoredWork, Received), Issue> {
    sender(road, caller)?;
    let stored = road.house.work(place.submission.as_str()).await.map_err(store_issue)?;
    let stored = stored.filter(|stored| stored.work.kind == WorkKind::BulkReceived);
    let stored = stored.ok_or_else(unknown)?;
    let Row::Received(received) = read(&stored)? else { return Err(unknown()) };
    let open = place.number == received.places_ended + 1;
    let over = expired(&received, road.clock.now());
    match received.sender.as_str() == caller.partner && open && !over {
        true => Ok((stored, *received)),
        false => Err(unknown()),
    }
}

/// How a submission stands: 202, then 200 with its manifest.
///
/// Errors: `StatusUnknown`; `RateExceeded` as an answer for who asks more often than told.
pub(crate) async fn poll(road: &Road, caller: &Caller, place: &Place) -> Result<Answer, Issue> {
    let (_, received) = own(road, caller, place).await?;
    if road.bulk.polls.too_soon(place.submission.as_str(), road.clock.now(), BULK_POLL) {
        return Ok(Answer::polled_too_soon(BULK_POLL_SECONDS));
    }
    let receipts = receipts(road, &received.id).await?;
    let answer = match (received.processed, received.status) {
        (None, _) => Answer::in_progress(progress(&received, &receipts), BULK_POLL_SECONDS),
        (Some(_), SubmissionStatus::Stopped) => {
            let detail = "its submitter stopped the submission; nothing of it stands";
            over(received.dialect, Issue::new(Code::SubmissionClosed, detail))
        }
        (Some(_), SubmissionStatus::InProgress) => over(received.dialect, super::closed(&received)),
        (Some(at), _) => Answer::new(200, manifest(road, place, &received, &receipts))
            .with(CONTENT_TYPE, "application/json")
            .with(EXPIRES, http_date(expires(at))),
    };
    Ok(answer.with_status_apart(place.apart))
}

/// What a submission came to that was not completed: the draft's programs look for 500.
fn over(dialect: Dialect, issue: Issue) -> Answer {
    let answer = Answer::from(issue);
    match dialect {
        Dialect::Ballot => answer,
        Dialect::Argonaut => Answer { status: 500, ..answer },
    }
}

/// The receipts of a submission, by number, discarded ones aside.
async fn receipts(road: &Road, submission: &SubmissionId) -> Result<Vec<Receipt>, Issue> {
    let query = WorkQuery {
        kind: Some(WorkKind::BulkReceived),
        lane: Some(lane(submission)),
        limit: u32::try_from(BULK_MANIFESTS_MAX).unwrap_or(u32::MAX) + 1,
        ..WorkQuery::default()
    };
    let stored = road.house.works(query).await.map_err(store_issue)?;
    let mut receipts = Vec::with_capacity(stored.len());
    for stored in &stored {
        if let Row::Receipt(receipt) = read(stored)?
            && receipt.state != ReceiptState::Discarded
        {
            receipts.push(*receipt);
        }
    }
    receipts.sort_by_key(|receipt| receipt.number);
    Ok(receipts)
}

/// Under 100 characters (Bulk Data, in-progress status).
fn progress(received: &Received, receipts: &[Receipt]) -> String {
    let read: u64 = receipts.iter().map(|receipt| receipt.counts.read).sum();
    let ended = received.receipts.iter().filter(|one| one.ended).count();
    let all = received.receipts.len();
    match received.status {
        SubmissionStatus::InProgress => {
            format!("in progress: {ended} of {all} manifests, {read} resources; more may come")
        }
        _ => format!("{ended} of {all} manifests, {read} resources"),
    }
}

fn manifest(road: &Road, place: &Place, received: &Received, receipts: &[Receipt]) -> Vec<u8> {
    let url = place.url(road);
    let told = receipts.iter().filter(|receipt| !receipt.told.is_empty());
    let outcome = told.map(|receipt| StatusFile {
        url: format!("{url}/{}", name(receipt.number)),
        kind: Some("OperationOutcome".to_owned()),
        manifest_url: Some(receipt.url.clone()),
        severities: receipt.severities.clone(),
    });
    let manifest = StatusManifest {
        submission_id: Some(received.submission.clone()),
        transaction_time: received.processed,
        requires_access_token: true,
        outcome: outcome.collect(),
        ..StatusManifest::default()
    };
    let base = road.setup.base_url.trim_end_matches('/');
    manifest.write(received.dialect, &format!("{base}/$bulk-submit-status"))
}

fn name(number: u32) -> String {
    format!("{number}.ndjson")
}

/// What the submitter is told of one manifest.
///
/// Errors: `StatusUnknown`; `ContentPurged` once its time is over.
pub(crate) async fn file(
    road: &Road,
    caller: &Caller,
    place: &Place,
    asked: &str,
) -> Result<Answer, Issue> {
    let (_, received) = own(road, caller, place).await?;
    let no_file = || Issue::new(Code::StatusUnknown, "the submission has no such file");
    let number = asked.strip_suffix(".ndjson").and_then(|number| number.parse().ok());
    let number = number.filter(|number| name(*number) == asked).ok_or_else(no_file)?;
    let id = receipt_id(&received.id, number);
    let stored = road.house.work(id.as_str()).await.map_err(store_issue)?.ok_or_else(no_file)?;
    let Row::Receipt(receipt) = read(&stored)? else { return Err(no_file()) };
    if receipt.told.is_empty() || receipt.state == ReceiptState::Discarded {
        return Err(no_file());
    }
    let flow = Flow::of(Contents::of(road.house.clone(), receipt.told));
    Ok(Answer::flowing(200, flow).with(CONTENT_TYPE, NDJSON))
}

/// The stored contents of a roll, one after the other.
pub(super) struct Contents {
    house: AnyHouse,
    pages: VecDeque<Digest>,
    next: VecDeque<Digest>,
    last: VecDeque<Digest>,
}

impl Contents {
    pub(super) fn of(house: AnyHouse, roll: Roll) -> Contents {
        let (pages, last) = (roll.pages.into(), roll.last.into());
        Contents { house, pages, next: VecDeque::new(), last }
    }

    /// The next content; `None` behind the last.
    ///
    /// Errors: `ContentPurged`; those of the store.
    pub(super) async fn content(&mut self) -> Result<Option<Bytes>, Issue> {
        if self.next.is_empty() {
            match self.pages.pop_front() {
                Some(page) => {
                    let text = stored(&self.house, &page).await?;
                    let damaged = || Issue::new(Code::StoreUnavailable, "a page cannot be read");
                    self.next = Roll::page(&text).ok_or_else(damaged)?.into();
                }
                None => self.next = std::mem::take(&mut self.last),
            }
        }
        match self.next.pop_front() {
            Some(digest) => stored(&self.house, &digest).await.map(Some),
            None => Ok(None),
        }
    }
}

/// A stored content.
///
/// Errors: `ContentPurged`; those of the store.
pub(super) async fn stored(house: &AnyHouse, digest: &Digest) -> Result<Bytes, Issue> {
    let found = house.blob(digest).await.map_err(store_issue)?;
    found.ok_or_else(|| {
        Issue::new(Code::ContentPurged, "the time of what was kept of the submission is over")
    })
}

impl Pieces for Contents {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Issue>> {
        Box::pin(self.content())
    }
}

/// Its submitter asks at this place no more: 202, and from then on it is unknown.
///
/// Errors: `StatusUnknown`; `HouseBusy` where it changes just now.
pub(crate) async fn end(road: &Road, caller: &Caller, place: &Place) -> Result<Answer, Issue> {
    let (stored, mut received) = own(road, caller, place).await?;
    let at = road.clock.now();
    let ended = Event::BulkReceived(Box::new(Step::StatusEnded { place: place.number }));
    received.apply(at, &ended);
    let expects = vec![stored.unchanged()];
    let (lines, works) = (vec![(received.chain(), ended)], vec![received_row(&received)?]);
    let unit = Unit { at, expects, lines, works, ..Unit::default() };
    match road.house.commit(unit).await.map_err(store_issue)? {
        Commit::Done { .. } => Ok(Answer::new(202, Bytes::new())),
        _ => Err(Issue::new(Code::HouseBusy, "the submission was changed meanwhile")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_from_other_ids() {
        let id = "0123456789abcdef0123456789abcdef";
        let place = |number, apart| Some(Place { submission: id.into(), number, apart });
        let table = [
            ("a place", format!("{id}-1"), place(1, false)),
            ("one whose status is told apart", format!("{id}-12a"), place(12, true)),
            ("a submission", id.to_owned(), None),
            ("a receipt", format!("{id}.1"), None),
            ("a drawn id", "0189aaaa-bbbb-7ccc-8ddd-eeeeffff0000".to_owned(), None),
            ("no number", format!("{id}-a"), None),
        ];
        for (case, path, expected) in table {
            assert_eq!(Place::of(&path), expected, "{case}");
        }
    }
}
