//! Filed: whether what stands in the store is what the ledger's lines say was filed.
//!
//! Comes in   a house to read; its ledger is proved already.
//! Goes out   nothing, or the first line whose records are not as they were filed, or whose push
//!            or submission is in another state than its lines add up to.
//! Never      holds more than a page of lines and the records of one answer; names no content.
//!
//! Why the answer is read: the line holds one digest over all its records. Which they were stands
//! in the answer that was given, and the next line holds its digest.

use exchange::bulk::receipt::Receipt;
use exchange::bulk::received::{Received, Step};
use exchange::ledger::{FiledVersion, filed_digest};
use exchange::sending::Sending;
use exchange::submission::Submission;
use exchange::{Chain, Digest, Entry, Event, Push, SubmissionId};
use fhir::Bundle;
use store::limits::VERIFY_PAGE;
use store::{Error, House, Record};

/// The line that does not fit, and why.
pub(crate) type Finding = (u64, String);

/// A line that filed, until the answer behind it is read.
struct Line {
    seq: u64,
    submission: SubmissionId,
    records: Digest,
    /// How many versions it made.
    brought: u64,
}

/// Reads every version that a line filed, and compares it with its line.
///
/// Errors: the first line whose answer or records are gone or changed; where a version stands that
/// no line filed, the ledger's last line.
pub(crate) async fn compare(house: &impl House) -> Result<(), Finding> {
    let unreadable = |seq: u64| move |error: Error| (seq, error.to_string());
    // Before the walk: what is filed meanwhile has its lines behind those that are here now.
    let stand = house.version_count().await.map_err(unreadable(1))?;
    let (mut last, mut filed, mut open) = (0, 0, None);
    loop {
        let page = house.entries(last + 1, VERIFY_PAGE).await.map_err(unreadable(last + 1))?;
        let Some(end) = page.last() else { break };
        last = end.seq;
        for entry in &page {
            if let Some(line) = open.take() {
                answered(house, &line, entry).await?;
                filed += line.brought;
            }
            filed += beneath(house, entry).await?;
            open = opens(entry)?;
            if entry.prev == Digest([0; 32]) {
                row_stands(house, entry).await?;
            }
        }
    }
    if stand > filed {
        let why = format!("{} of the records' versions are filed by no line", stand - filed);
        return Err((last, why));
    }
    Ok(())
}

/// A push or submission that begins here: its row of work must be in the state that its lines add
/// up to. What changes while it is looked at is looked at again.
async fn row_stands(house: &impl House, first: &Entry) -> Result<(), Finding> {
    let broken = |why: &str| Err((first.seq, format!("the row of {} {why}", first.chain)));
    let unreadable = |error: Error| (first.seq, error.to_string());
    let id = match &first.chain {
        Chain::House => return Ok(()),
        Chain::Push(walk) => walk.as_str(),
        Chain::Submission(submission) | Chain::Sending(submission) => submission.as_str(),
    };
    loop {
        let row = house.work(id).await.map_err(unreadable)?;
        let story = house.story(&first.chain).await.map_err(unreadable)?;
        let again = house.work(id).await.map_err(unreadable)?;
        if row.as_ref().map(|row| row.revision) != again.map(|row| row.revision) {
            continue;
        }
        let read = |entry: &Entry| Ok((entry.at, entry.event()?));
        let lines: Result<Vec<_>, exchange::Issue> = story.iter().map(read).collect();
        let lines = lines.map_err(|issue| (first.seq, issue.detail))?;
        let lines = lines.iter().map(|(at, event)| (*at, event));
        let state = match &first.chain {
            Chain::Submission(id) if matches!(first.event(), Ok(Event::BulkReceived(_))) => {
                let received = Received::replay(id.clone(), lines.clone());
                received.map(|it| it.state_word()).or_else(|| Receipt::word_of(lines))
            }
            Chain::Submission(id) => {
                Submission::replay(id.clone(), lines).map(|it| it.state_word())
            }
            Chain::Sending(_) => Sending::replay(lines).map(|it| it.state_word()),
            _ => Push::replay(lines).map(|it| it.state_word()),
        };
        return match (row, state) {
            (None, None) => Ok(()),
            (Some(row), Some(state)) if row.work.state == state => Ok(()),
            (None, Some(_)) => broken("is missing"),
            _ => broken("is not in the state that its lines add up to"),
        };
    }
}

fn opens(entry: &Entry) -> Result<Option<Line>, Finding> {
    let Chain::Submission(submission) = &entry.chain else { return Ok(None) };
    match entry.event().map_err(|issue| (entry.seq, issue.detail))? {
        Event::Filed { records, created, updated, deleted, .. } => {
            let (seq, submission) = (entry.seq, submission.clone());
            let brought = created + updated + deleted;
            Ok(Some(Line { seq, submission, records, brought }))
        }
        _ => Ok(None),
    }
}

/// Compares a line with the records its answer names. Once the answer is purged nobody can tell
/// which they were; that it is so, a line of the same chain must say.
async fn answered(house: &impl House, line: &Line, next: &Entry) -> Result<(), Finding> {
    let broken = |why: &str| (line.seq, why.to_owned());
    let same = next.chain == Chain::Submission(line.submission.clone());
    let (answer, bulk) = match next.event().ok().filter(|_| same) {
        Some(Event::Answered { answer, .. }) => (answer, false),
        Some(Event::BulkReceived(step)) => match *step {
            Step::Worked(worked) if worked.account.is_some() => {
                (worked.account.unwrap_or(line.records), true)
            }
            Step::TakingOut { account, .. } => (account, true),
            _ => return Err(broken("the account of it does not follow it")),
        },
        _ => return Err(broken("the answer does not follow it")),
    };
    named(house, line, &next.chain, (answer, bulk)).await
}

/// A line that says of older versions that they were put beneath what stands: compared with their account.
/// Answers how many versions it made.
async fn beneath(house: &impl House, entry: &Entry) -> Result<u64, Finding> {
    let Chain::Submission(submission) = &entry.chain else { return Ok(0) };
    match entry.event().map_err(|issue| (entry.seq, issue.detail))? {
        Event::Beneath { records, account, versions } => {
            let (seq, submission, brought) = (entry.seq, submission.clone(), 2 * versions);
            let line = Line { seq, submission, records, brought };
            named(house, &line, &entry.chain, (account, true)).await?;
            Ok(brought)
        }
        _ => Ok(0),
    }
}

/// Compares a line with the records that are named in an answer, or in an account.
async fn named(
    house: &impl House,
    line: &Line,
    chain: &Chain,
    (answer, is_account): (Digest, bool),
) -> Result<(), Finding> {
    let broken = |why: &str| (line.seq, why.to_owned());
    let body = match house.blob(&answer).await {
        Ok(Some(body)) => body,
        Ok(None) if says_purged(house, line.submission.clone()).await? => return Ok(()),
        Ok(None) => return Err(broken("the answer it was given is gone")),
        Err(error) => return Err((line.seq, format!("the answer it was given: {error}"))),
    };
    let places: Vec<String> = match is_account {
        true => {
            let text = std::str::from_utf8(&body);
            let text = text.map_err(|_| broken("the account of it is none"))?;
            text.lines().map(str::to_owned).collect()
        }
        false => {
            let bundle = Bundle::parse(body);
            let bundle = bundle.map_err(|_| broken("the answer it was given is no answer"))?;
            let entries = bundle.entries.iter();
            entries.filter_map(|entry| entry.response.as_ref()?.location.clone()).collect()
        }
    };
    let mut versions = Vec::new();
    for place in places {
        let (kind, id, version) =
            parted(&place).ok_or_else(|| broken("the answer it was given names no place"))?;
        let found = stands(house, kind, id, version).await;
        let record = found.map_err(|why| (line.seq, format!("{place} {why}")))?;
        let Record { kind, id, version, digest, owner, .. } = record;
        versions.push(FiledVersion { kind, id, version, digest, owner });
    }
    match filed_digest(&versions) == line.records {
        true => Ok(()),
        false => Err((line.seq, format!("the records of {} are not those it filed", chain))),
    }
}

/// Whether a submission's lines say that its contents were purged.
async fn says_purged(house: &impl House, submission: SubmissionId) -> Result<bool, Finding> {
    let story = house.story(&Chain::Submission(submission)).await;
    let story = story.map_err(|error| (1, error.to_string()))?;
    Ok(story.iter().any(|entry| matches!(entry.event(), Ok(Event::Purged { .. }))))
}

/// `Type/id/_history/version`.
fn parted(place: &str) -> Option<(&str, &str, u64)> {
    let (record, version) = place.split_once("/_history/")?;
    let (kind, id) = record.split_once('/')?;
    Some((kind, id, version.parse().ok()?))
}

/// One version with its content, which must have its digest.
async fn stands(house: &impl House, kind: &str, id: &str, version: u64) -> Result<Record, String> {
    let unreadable = |error: Error| format!("cannot be read: {error}");
    let found = house.record(kind, id, Some(version)).await.map_err(unreadable)?;
    let record = found.ok_or("is missing")?;
    let content = record.content.as_deref().unwrap_or_default();
    if record.purged {
        let said = says_purged(house, SubmissionId::from(record.receipt.as_str())).await;
        if record.content.is_some() || !said.map_err(|(_, why)| why)? {
            return Err("was purged, and no line says so".to_owned());
        }
    } else if record.deleted != record.content.is_none() || Digest::of(content) != record.digest {
        return Err("does not have its content".to_owned());
    }
    let asked = [(kind.to_owned(), id.to_owned())];
    let head = house.heads(&asked).await.map_err(unreadable)?.pop().flatten();
    match head.is_some_and(|head| head.version >= version) {
        true => Ok(record),
        false => Err("is hidden by an older version".to_owned()),
    }
}
