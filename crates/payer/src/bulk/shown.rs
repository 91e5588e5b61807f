//! Shown: bulk submissions, as people at the desk see them.
//!
//! Comes in   rows of submissions and of their receipts.
//! Goes out   a row of the list; one submission with all that happened to it and to its manifests.
//! Never      a URL: one may be all that protects a file.

use super::{Row as OwnRow, read};
use crate::limits::BULK_MANIFESTS_MAX;
use crate::road::Road;
use exchange::bulk::SubmissionStatus;
use exchange::bulk::receipt::{Receipt, ReceiptState};
use exchange::bulk::received::{ENDED, OPEN, Received, lane};
use exchange::desk::{IssueWords, Row, Shown, TimelineRow};
use exchange::{Code, Issue, SubmissionId};
use repository::{lookup, store_issue};
use store::{House, StoredWork, WorkKind, WorkQuery};

/// Causes that a row shows.
const ISSUES: usize = 5;

/// The submissions in these states, newest first; those that are open, or those that have ended.
///
/// Errors: those of the store.
pub(crate) async fn rows(road: &Road, open: bool, limit: u32) -> Result<Vec<Row>, Issue> {
    let states = if open { &OPEN[..] } else { &ENDED[..] };
    let query = WorkQuery {
        kind: Some(WorkKind::BulkReceived),
        states: states.iter().map(|state| (*state).to_owned()).collect(),
        limit,
        ..WorkQuery::default()
    };
    let mut rows = Vec::new();
    for stored in road.house.works(query).await.map_err(store_issue)? {
        rows.extend(row(road, &stored).await?);
    }
    Ok(rows)
}

/// A row of work as people see it; none where it is a receipt, which stands with its submission.
///
/// Errors: those of the store.
pub(crate) async fn row(road: &Road, stored: &StoredWork) -> Result<Option<Row>, Issue> {
    let OwnRow::Received(received) = read(stored)? else { return Ok(None) };
    let receipts = receipts(road, &received.id).await?;
    let standing = receipts.iter().filter(|one| one.state != ReceiptState::Discarded);
    let issues = standing.clone().filter_map(|one| {
        let issue = one.issue.clone()?;
        let place = format!("manifest {}", one.number);
        Some(IssueWords::from(&Issue { expression: Some(place), ..issue }))
    });
    let next = receipts.iter().filter_map(Receipt::due).min().or(received.due());
    Ok(Some(Row {
        id: received.id.to_string(),
        kind: "bulk submission".to_owned(),
        label: Some(received.submission.clone()),
        partner: Some(received.sender.clone()),
        subject: Some(stands(&received, &receipts)),
        mode: None,
        state: received.state_word().to_owned(),
        level: None,
        next_at: next,
        resources: standing.map(|one| one.counts.read).sum(),
        withheld: Vec::new(),
        issues: issues.take(ISSUES).collect(),
        withdrawn_by: None,
        withdraws: None,
        stands_on: None,
        changed: stored.changed,
    }))
}

/// How it stands, and what it waits for.
fn stands(received: &Received, receipts: &[Receipt]) -> String {
    let all = receipts.len();
    let ended = received.receipts.iter().filter(|one| one.ended || one.discarded).count();
    let waiting: u64 = receipts.iter().map(|one| one.waiting).sum();
    let mut text = format!("{ended} of {all} manifests fetched");
    if waiting > 0 {
        text += &format!(", {waiting} lines wait for their Patients");
    }
    let suspended = receipts.iter().any(|one| one.state == ReceiptState::Suspended);
    let waits = match received.processed {
        Some(_) => None,
        None if suspended => Some("it waits until the exchange with its sender is resumed"),
        None if ended < all => Some("the others are being fetched"),
        None if received.status == SubmissionStatus::InProgress && received.expired.is_none() => {
            Some("its submitter has not said that it is complete")
        }
        None => Some("the last word is being made"),
    };
    waits.map(|waits| format!("{text}; {waits}")).unwrap_or(text)
}

async fn receipts(road: &Road, submission: &SubmissionId) -> Result<Vec<Receipt>, Issue> {
    let query = WorkQuery {
        kind: Some(WorkKind::BulkReceived),
        lane: Some(lane(submission)),
        limit: u32::try_from(BULK_MANIFESTS_MAX).unwrap_or(u32::MAX) + 1,
        ..WorkQuery::default()
    };
    let mut receipts = Vec::new();
    for stored in road.house.works(query).await.map_err(store_issue)? {
        if let OwnRow::Receipt(receipt) = read(&stored)? {
            receipts.push(*receipt);
        }
    }
    receipts.sort_by_key(|receipt| receipt.number);
    Ok(receipts)
}

/// The submission whose id, or `submissionId`, is this or begins so; none where there is none.
///
/// Errors: `CommandInvalid` where several begin so; those of the store.
pub(crate) async fn find(road: &Road, id: &str) -> Result<Option<StoredWork>, Issue> {
    let query = WorkQuery {
        kind: Some(WorkKind::BulkReceived),
        states: OPEN.iter().chain(&ENDED).map(|state| (*state).to_owned()).collect(),
        prefix: Some(id.to_owned()),
        limit: 2,
        ..WorkQuery::default()
    };
    let mut found = road.house.works(query).await.map_err(store_issue)?;
    match found.len() {
        0 => Ok(None),
        1 => Ok(found.pop()),
        _ => {
            let detail = "several ids begin like this; give more of it";
            Err(Issue::new(Code::CommandInvalid, detail).at("id"))
        }
    }
}

/// One submission in full: its own lines and those of its manifests, in their order.
///
/// Errors: those of the store.
pub(crate) async fn shown(road: &Road, stored: &StoredWork) -> Result<Option<Shown>, Issue> {
    let Some(row) = row(road, stored).await? else { return Ok(None) };
    let OwnRow::Received(received) = read(stored)? else { return Ok(None) };
    let mut timeline = lookup::timeline(&road.house, &received.chain()).await?;
    for receipt in receipts(road, &received.id).await? {
        let number = receipt.number;
        let lines = lookup::timeline(&road.house, &receipt.chain()).await?.into_iter();
        timeline.extend(lines.map(|line| {
            let what = format!("manifest {number}: {}", line.what);
            TimelineRow { what, ..line }
        }));
    }
    timeline.sort_by_key(|line| line.seq);
    Ok(Some(Shown {
        row,
        who: None,
        timeline,
        decisions: Vec::new(),
        findings: Vec::new(),
        acknowledgement: None,
        page: None,
    }))
}
