//! Response: what the sender is told of what was filed.
//!
//! Comes in   a plan that is about to be written, how the sender asked, what it would like to see.
//! Goes out   a response Bundle, which is kept; for a single request its own status and headers.
//! Never      tells a sender more than it had a right to ask.

use crate::limits::REPRESENTATIONS_BYTES_MAX;
use bytes::Bytes;
use exchange::answer::{Done, Filing, LedgerRoot, answer};
use exchange::read::Form;
use exchange::{Code, Issue, Issues};
use http::header::{CONTENT_LOCATION, ETAG, LAST_MODIFIED, LOCATION, RETRY_AFTER};
use jiff::Timestamp;
use repository::{Change, EntryOutcome, Plan, http_date, serve, store_issue};
use store::House;
use wire::Answer;
use wire::rest::{PREFERENCE_APPLIED, Returning};

/// How a submission came, and what its sender asked to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// One record, in a request of its own: the answer is its own, and no Bundle.
    pub single: bool,
    /// What comes back of what was written.
    pub returning: Returning,
}

impl Asked {
    /// A Bundle, answered by as little as possible.
    pub const BUNDLE: Asked = Asked { single: false, returning: Returning::Minimal };
}

/// What becomes of every entry of a Bundle, in its order; `returning`: what comes back of a record
/// of a type. Errors: those of the store.
///
/// Representations come back until they have `REPRESENTATIONS_BYTES_MAX`; the entries behind are
/// answered minimally, as R4 allows (§3.1.0.1.9: a server may do without the preference).
pub(crate) async fn filings(
    house: &impl House,
    plan: &Plan,
    at: Timestamp,
    returning: impl Fn(&str) -> Returning,
) -> Result<Vec<Filing>, Issue> {
    let mut filings = Vec::with_capacity(plan.outcomes.len() + plan.refused.len());
    let mut outcomes: Vec<_> = plan.outcomes.iter().collect();
    outcomes.sort_by_key(|outcome| outcome.entry);
    let mut given = 0;
    for outcome in outcomes {
        let mut filing = filing(outcome, at);
        let returning = returning(&outcome.kind);
        filing.in_words = returning == Returning::OperationOutcome;
        if returning == Returning::Representation && given < REPRESENTATIONS_BYTES_MAX {
            filing.resource = standing(house, outcome, at).await?;
            given += filing.resource.as_ref().map_or(0, Bytes::len);
        }
        filings.push((outcome.entry, filing));
    }
    filings.extend(
        plan.refused.iter().map(|(entry, issues)| (*entry, refused(issues.clone().into()))),
    );
    filings.sort_by_key(|(entry, _)| *entry);
    Ok(filings.into_iter().map(|(_, filing)| filing).collect())
}

/// The resource as it stands once the plan is written.
async fn standing(
    house: &impl House,
    outcome: &EntryOutcome,
    at: Timestamp,
) -> Result<Option<Bytes>, Issue> {
    let (content, version, at) = match (&outcome.content, outcome.version, outcome.change) {
        (_, None, _) | (_, _, Change::Deleted | Change::AlreadyAbsent) => return Ok(None),
        (Some(content), Some(version), _) => {
            (content.clone(), version, outcome.last_updated.unwrap_or(at))
        }
        (None, version, _) => {
            let found = house.record(&outcome.kind, &outcome.id, version).await;
            let Some(record) = found.map_err(store_issue)? else { return Ok(None) };
            let Some(content) = record.content else { return Ok(None) };
            (content, record.version, record.last_updated)
        }
    };
    serve(&content, version, at).map(Some)
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
            Change::Exists => Done::Exists,
            Change::Deleted | Change::AlreadyAbsent => Done::Deleted,
        },
        version: outcome.version,
        last_modified: outcome.last_updated.or(outcome.version.map(|_| at)),
        issues: Vec::from_iter((outcome.change == Change::Older).then(older)),
        resource: None,
        in_words: false,
    }
}

fn refused(issues: Vec<Issue>) -> Filing {
    Filing {
        kind: String::new(),
        id: String::new(),
        done: Done::Refused,
        version: None,
        last_modified: None,
        issues,
        resource: None,
        in_words: false,
    }
}

/// The response Bundle.
pub(crate) fn bundle(form: Form, filings: &[Filing], root: Option<&LedgerRoot>) -> Answer {
    Answer::new(200, answer(form, filings, root))
}

/// The answer to a single request (R4 §3.1.0.7, §3.1.0.8, §3.1.0.9).
pub(crate) fn single(filing: &Filing, base: &str) -> Answer {
    let body = filing.resource.clone().or_else(|| filing.outcome().map(Bytes::from));
    let status = match filing.code() {
        // A deletion that has something to say.
        204 if body.is_some() => 200,
        code => code,
    };
    let mut answer = Answer::new(status, body.unwrap_or_default());
    if let Some(place) = filing.location().filter(|_| filing.done != Done::Deleted) {
        let place = format!("{}/{place}", base.trim_end_matches('/'));
        answer = answer.with(LOCATION, place.clone());
        if filing.resource.is_some() {
            answer = answer.with(CONTENT_LOCATION, place);
        }
    }
    if let Some(etag) = filing.etag() {
        answer = answer.with(ETAG, etag);
    }
    if let Some(at) = filing.last_modified {
        answer = answer.with(LAST_MODIFIED, http_date(at));
    }
    answer
}

/// Several issues in one answer; the first one's status speaks for them.
pub(crate) fn refusal(issues: &Issues) -> Answer {
    let mut answer = Answer::from(issues.first.clone());
    answer.body = Issue::outcome(issues).into();
    answer
}

/// Taken, and worked on when its turn comes: where to ask for the answer, and when (R4 §3.1.6).
pub(crate) fn taken(place: &str, seconds: u32) -> Answer {
    Answer::new(202, Bytes::new())
        .with(CONTENT_LOCATION, place)
        .with(RETRY_AFTER, seconds.to_string())
        .with(PREFERENCE_APPLIED, "respond-async")
}

/// Kept for a person: where to ask for the answer, and when.
pub(crate) fn held(place: &str, seconds: u32) -> Answer {
    let told = Issue::new(Code::MemberHeld, "the member was not found; a person looks into it");
    Answer::new(202, Issue::outcome([&told]))
        .with(CONTENT_LOCATION, place)
        .with(RETRY_AFTER, seconds.to_string())
}
