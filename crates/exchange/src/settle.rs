//! Settle: what a payer's answer means for a push, and what is done next.
//!
//! Comes in   the answer (or how far the request came), which attempt it was, the time.
//! Goes out   one next step: settled, poll, fetch, retry, hold, refused.
//! Never      repeats a payer's sentences: they may name a patient. Its codes and places are
//!            repeated, bounded and only where they have the shape of a code or a place; its body
//!            is stored beside the push for whoever may see it.
//!
//! Why one pure function and not a client that retries: the same answer must lead to the same
//! step after a crash, on another machine, and in the simulator.
//!
//! A 422 ends the push: the payer read it and will not have it, so only a correction helps, and a
//! correction is a new revision. Every other refusal waits for a person, who may let the same
//! bytes go again once the cause is mended.

use crate::id::{Digest, PushId};
use crate::issue::{CODE_SYSTEM, Code, Issue};
use crate::limits::{
    ATTEMPTS_MAX, ENTRIES_MAX, ISSUES_MAX, PARTNER_CODE_CHARS_MAX, PARTNER_PLACE_CHARS_MAX,
    POLL_WAIT, RETRY_FIRST, RETRY_MAX,
};
use crate::place;
use crate::purpose::Level;
use crate::push::Push;
use crate::read::DIRECTORY;
use bytes::Bytes;
use fhir::{Bundle, BundleType, Doc, EntryResponse, Node, OperationOutcome, OutcomeIssue};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// What came of one request to a payer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// The payer answered.
    Reply(Reply),
    /// No connection came about; nothing was sent.
    NotSent,
    /// The payer's certificate is not trusted; nothing was sent.
    Untrusted,
    /// It was sent, but no whole answer came: time-out, reset.
    Unknown,
    /// The answer was larger than this house reads.
    TooLarge,
    /// The payer's token endpoint does not answer; nothing was sent.
    SignInUnreachable {
        /// How long it asks us to wait, when it says so.
        retry_after: Option<Duration>,
    },
    /// The payer's sign-in refused this house; nothing was sent.
    SignInRefused {
        /// What it said, in one short line.
        said: String,
    },
}

/// An HTTP answer, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// How long the payer asks us to wait (`Retry-After`, in seconds or as an HTTP date).
    pub retry_after: Option<Duration>,
    /// Where to ask again (`Content-Location`), as the payer wrote it.
    pub content_location: Option<String>,
    /// The body as it came.
    pub body: Bytes,
}

/// Which attempt it was, and what has been promised.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The push.
    pub push: &'a PushId,
    /// Counted from 1; for polls, how often the place has been asked.
    pub attempt: u32,
    /// The payer's base URL: places of other origins are not followed.
    pub endpoint: &'a str,
    /// When it must be settled.
    pub deadline: Timestamp,
    /// Which word settles it, by the agreement.
    pub level: Level,
    /// How many entries were sent.
    pub entries: usize,
    /// The last answer was 401 already, and a new token was fetched for this one.
    pub signed_in_again: bool,
}

/// The one next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The word the agreement promises has come (or a better one).
    Settled(Level),
    /// Taken; ask there for the word.
    Poll {
        /// Absolute URL, of the payer's origin.
        place: String,
        /// When.
        at: Timestamp,
    },
    /// The word is in a file of the payer: fetch it and ask `settle_file`.
    Fetch {
        /// Absolute URL, of the payer's origin.
        place: String,
        /// It holds OperationOutcomes and no answer Bundle.
        refusal: bool,
    },
    /// The same request again, later.
    Retry {
        /// When.
        at: Timestamp,
        /// Why.
        issue: Issue,
    },
    /// A person has work.
    Hold(Vec<Issue>),
    /// The payer said no for good.
    Refused(Vec<Issue>),
}

impl<'a> Attempt<'a> {
    /// The attempt a push has just made; `None` before it was assembled and routed. `entries` are
    /// those of the payload, its Provenance included.
    pub fn of(push: &'a Push, level: Level, entries: usize) -> Option<Attempt<'a>> {
        Some(Attempt {
            push: &push.assembled.as_ref()?.push,
            attempt: push.attempt,
            endpoint: push.endpoint.as_deref()?,
            deadline: push.deadline,
            level,
            entries,
            signed_in_again: push.issues.iter().any(|issue| issue.code == Code::SignInRequired),
        })
    }
}

/// The next step after the payload was sent (standards: FHIR R4 §3.1.0, Da Vinci Alerts and CDex).
pub fn settle(answer: &Answered, attempt: &Attempt<'_>, now: Timestamp) -> Next {
    let reply = match answer {
        Answered::Reply(reply) => reply,
        other => return no_answer(other, attempt, now),
    };
    match reply.status {
        202 => taken(reply, attempt, now),
        200..=299 => filed(&reply.body, attempt),
        422 => Next::Refused(words(reply, Code::PayerRefused)),
        408 | 425 | 429 => later(reply, attempt, now),
        500 | 502..=504 | 506..=599 => later(reply, attempt, now),
        status => refused_request(status, reply, attempt, now),
    }
}

/// The next step after the place of a `Next::Poll` was asked (Bulk Data, asynchronous pattern).
pub fn settle_poll(answer: &Answered, place: &str, attempt: &Attempt<'_>, now: Timestamp) -> Next {
    let reply = match answer {
        Answered::Reply(reply) => reply,
        other => return no_answer(other, attempt, now),
    };
    match reply.status {
        202 => poll(place.to_owned(), reply, attempt, now),
        200 => manifest(reply, attempt),
        404 | 410 => {
            hold(Code::AnswerUnreadable, "the payer no longer knows the place of its answer")
        }
        408 | 425 | 429 | 503 => later(reply, attempt, now),
        500..=599 if !says_no(reply) => later(reply, attempt, now),
        500..=599 => Next::Hold(words(reply, Code::PayerRefused)),
        status => refused_request(status, reply, attempt, now),
    }
}

/// The next step after the file of a `Next::Fetch` was read.
pub fn settle_file(
    answer: &Answered,
    refusal: bool,
    attempt: &Attempt<'_>,
    now: Timestamp,
) -> Next {
    let reply = match answer {
        Answered::Reply(reply) => reply,
        other => return no_answer(other, attempt, now),
    };
    match (reply.status, refusal) {
        (200, false) => filed(&reply.body, attempt),
        (200, true) => Next::Refused(words(reply, Code::PayerRefused)),
        (404 | 410, _) => hold(Code::AnswerUnreadable, "the payer no longer has its answer's file"),
        (408 | 425 | 429 | 500..=599, _) => later(reply, attempt, now),
        (status, _) => refused_request(status, reply, attempt, now),
    }
}

/// Statuses that mean the same whatever was asked for.
fn refused_request(status: u16, reply: &Reply, attempt: &Attempt<'_>, now: Timestamp) -> Next {
    match status {
        401 if attempt.signed_in_again => {
            hold(Code::SignInRefused, "the payer answered 401 to the next attempt as well")
        }
        401 => {
            let detail = "the payer answered 401; the next attempt goes with a new access token";
            again(attempt, now, Some(Duration::ZERO), Issue::new(Code::SignInRequired, detail))
        }
        404 | 405 | 410 | 501 | 505 => Next::Hold(words(reply, Code::CapabilityMissing)),
        406 | 415 => Next::Hold(words(reply, Code::VersionMismatch)),
        413 => Next::Hold(words(reply, Code::PayloadTooLarge)),
        400..=499 => Next::Hold(words(reply, Code::PayerRefused)),
        _ => hold(Code::AnswerUnreadable, &format!("the payer answered {status}")),
    }
}

/// Requests that brought no answer. What was not sent can go again; what may have been filed goes
/// again under the same key, with the same bytes.
fn no_answer(answer: &Answered, attempt: &Attempt<'_>, now: Timestamp) -> Next {
    let unreachable = |wait: Option<Duration>, detail: &str| {
        again(attempt, now, wait, Issue::new(Code::PayerUnreachable, detail))
    };
    match answer {
        Answered::NotSent => unreachable(None, "no connection to the payer came about"),
        Answered::Unknown => {
            unreachable(None, "the payer gave no whole answer; the same bytes go again")
        }
        Answered::SignInUnreachable { retry_after } => {
            unreachable(*retry_after, "the payer's token endpoint does not answer")
        }
        Answered::SignInRefused { said } => {
            hold(Code::SignInRefused, &format!("the payer's sign-in refused this house: {said}"))
        }
        Answered::Untrusted => {
            hold(Code::PayerUntrusted, "the payer's certificate is not one this house trusts")
        }
        Answered::TooLarge | Answered::Reply(_) => {
            hold(Code::AnswerUnreadable, "the payer's answer is larger than this house reads")
        }
    }
}

fn hold(code: Code, detail: &str) -> Next {
    Next::Hold(vec![Issue::new(code, detail)])
}

/// 202: it was taken; the word comes later, at the place named.
fn taken(reply: &Reply, attempt: &Attempt<'_>, now: Timestamp) -> Next {
    if attempt.level == Level::Taken {
        return Next::Settled(Level::Taken);
    }
    let Some(place) = &reply.content_location else {
        let detail = "the payer took the push, but names no place to ask what became of it";
        return hold(Code::AnswerUnreadable, detail);
    };
    match place::same_origin(place, attempt.endpoint) {
        Some(place) => poll(place, reply, attempt, now),
        None => hold(Code::AnswerUnreadable, "the place to ask is not one of the payer's own"),
    }
}

fn poll(place: String, reply: &Reply, attempt: &Attempt<'_>, now: Timestamp) -> Next {
    if now >= attempt.deadline {
        return late(attempt, now);
    }
    let wait = reply.retry_after.unwrap_or_else(|| back_off(attempt).max(POLL_WAIT));
    Next::Poll { place, at: after(now, bounded(wait), attempt.deadline) }
}

/// A 2xx body: filed only when it is a transaction-response that says so for every entry.
fn filed(body: &Bytes, attempt: &Attempt<'_>) -> Next {
    if attempt.level == Level::Taken && body.iter().all(u8::is_ascii_whitespace) {
        return Next::Settled(Level::Taken);
    }
    let unreadable = |detail: &str| hold(Code::AnswerUnreadable, detail);
    let Ok(bundle) = Bundle::parse_with_limit(body.clone(), ENTRIES_MAX) else {
        return unreadable("the payer's answer is not a transaction-response Bundle");
    };
    if bundle.kind != BundleType::TransactionResponse {
        return unreadable("the payer's answer is a Bundle of another type");
    }
    if bundle.entries.len() != attempt.entries {
        return unreadable("the payer's answer has not as many entries as were sent");
    }
    let refused = |response: &EntryResponse| !matches!(response.status_code(), Some(200..=299));
    let mut issues = Vec::new();
    for entry in &bundle.entries {
        match &entry.response {
            Some(response) if refused(response) => {
                issues.extend(entry_words(entry.index, response))
            }
            Some(_) => {}
            None => return unreadable("an entry of the payer's answer has no response"),
        }
    }
    issues.truncate(ISSUES_MAX);
    if issues.is_empty() { Next::Settled(Level::Filed) } else { Next::Hold(issues) }
}

/// How many entries the payer set aside, because a later push had filed their records already. What
/// is nobody's does not count: another patient's push may well have brought it later.
pub fn set_aside(answer: &Bytes) -> usize {
    let Ok(bundle) = Bundle::parse_with_limit(answer.clone(), ENTRIES_MAX) else { return 0 };
    let older = |response: &EntryResponse| {
        let outcome = response.outcome.as_ref().and_then(OperationOutcome::of).unwrap_or_default();
        let codes = outcome.issues.into_iter().filter_map(|issue| issue.coding);
        codes.into_iter().any(|(system, code)| {
            system.as_deref() == Some(CODE_SYSTEM) && code == Code::OlderThanFiled.row().slug
        })
    };
    bundle
        .entries
        .iter()
        .filter_map(|entry| entry.response.as_ref())
        .filter(|one| older(one) && !is_nobodys(one))
        .count()
}

/// Whether a response is about a record that stands in no patient's chart.
fn is_nobodys(response: &EntryResponse) -> bool {
    let location = response.location.as_deref().unwrap_or_default();
    DIRECTORY.iter().any(|kind| location.split('/').any(|step| step == *kind))
}

/// What a response says of one entry it did not file.
fn entry_words(index: usize, response: &EntryResponse) -> Vec<Issue> {
    let at = format!("Bundle.entry[{index}]");
    let status = response.status_code().unwrap_or_default();
    let outcome = response.outcome.as_ref().and_then(OperationOutcome::of).unwrap_or_default();
    let issues = read_words(&outcome, status, Code::PayerRefused);
    issues.into_iter().map(|issue| issue.at(at.clone())).collect()
}

/// A finished job's manifest (Bulk Data 2.0.0 to 4.0.0): `output`, or `error` / `outcome`. A Bundle
/// in its place, as R5 has it, is read too.
fn manifest(reply: &Reply, attempt: &Attempt<'_>) -> Next {
    let unreadable = |detail: &str| hold(Code::AnswerUnreadable, detail);
    let Ok(doc) = Doc::parse(&reply.body) else {
        return unreadable("the payer's manifest is not well-formed");
    };
    let root = doc.root();
    if root.get("resourceType").is_some() {
        return filed(&reply.body, attempt);
    }
    let output = file(root, "output", "Bundle").map(|place| (place, false));
    let refusals = ["error", "outcome"];
    let refusal = refusals.into_iter().find_map(|name| file(root, name, "OperationOutcome"));
    let Some((place, refusal)) = output.or(refusal.map(|place| (place, true))) else {
        return unreadable("the payer's manifest names no file with its answer");
    };
    match place::same_origin(&place, attempt.endpoint) {
        Some(place) => Next::Fetch { place, refusal },
        None => unreadable("the file with the payer's answer is not one of the payer's own"),
    }
}

/// The first file of a list whose type is the one wanted, or is not said.
fn file(root: Node<'_, '_>, list: &str, kind: &str) -> Option<String> {
    let files = root.get(list)?;
    let fits = |file: &Node<'_, '_>| {
        file.get("type").is_none_or(|found| found.text().is_some_and(|text| text == kind))
    };
    files.items().find(fits)?.get("url")?.text().map(|url| url.into_owned())
}

/// The payer cannot now; the same request goes again.
fn later(reply: &Reply, attempt: &Attempt<'_>, now: Timestamp) -> Next {
    let detail = match reply.status {
        429 => "the payer asks for patience (429)".to_owned(),
        status => format!("the payer cannot answer now ({status})"),
    };
    again(attempt, now, reply.retry_after, Issue::new(Code::PayerUnreachable, detail))
}

fn again(attempt: &Attempt<'_>, now: Timestamp, wait: Option<Duration>, issue: Issue) -> Next {
    if now >= attempt.deadline || attempt.attempt >= ATTEMPTS_MAX {
        return late(attempt, now);
    }
    let wait = match (issue.code, wait) {
        (Code::SignInRequired, _) => Duration::ZERO,
        (_, Some(asked)) => bounded(asked),
        (_, None) => back_off(attempt),
    };
    Next::Retry { at: after(now, wait, attempt.deadline), issue }
}

fn late(attempt: &Attempt<'_>, now: Timestamp) -> Next {
    let detail = if now >= attempt.deadline {
        format!("the deadline passed at attempt {}", attempt.attempt)
    } else {
        format!("{} attempts did not settle it", attempt.attempt)
    };
    hold(Code::DeadlinePassed, &detail)
}

/// What a payer asks for, within what this house grants.
fn bounded(wait: Duration) -> Duration {
    wait.clamp(RETRY_FIRST, RETRY_MAX)
}

/// When a stop that met this issue is tried again; `None` where only a person helps.
pub fn wait(issue: &Issue, seed: &str, attempt: u32, now: Timestamp) -> Option<Timestamp> {
    issue.code.retry_after()?;
    Some(after(now, doubled(seed, attempt), Timestamp::MAX))
}

fn back_off(attempt: &Attempt<'_>) -> Duration {
    doubled(attempt.push.as_str(), attempt.attempt)
}

/// Doubles with every attempt; between half and all of it, by the seed and the attempt, so that
/// walks that failed together do not come back together.
fn doubled(seed: &str, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let whole = RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MAX);
    let seed = Digest::of_pieces([seed.as_bytes(), &attempt.to_be_bytes()]);
    let share = u32::from(seed.0[0]) + 1;
    whole / 2 + whole / 2 * share / 256
}

/// `now + wait`, but not beyond the deadline: the last attempt is made there.
fn after(now: Timestamp, wait: Duration, deadline: Timestamp) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    now.checked_add(wait).map_or(deadline, |at| at.min(deadline))
}

/// Whether a 5xx says for good that the job failed (Bulk Data: failures of polling itself are
/// `transient` or one of its children).
fn says_no(reply: &Reply) -> bool {
    let transient =
        ["transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"];
    let lasting = |issue: &OutcomeIssue| {
        issue.is_error() && !issue.code.as_deref().is_some_and(|code| transient.contains(&code))
    };
    OperationOutcome::parse(&reply.body).is_ok_and(|outcome| outcome.issues.iter().any(lasting))
}

/// The payer's refusal in our words: an OperationOutcome, or NDJSON of several.
fn words(reply: &Reply, default: Code) -> Vec<Issue> {
    let mut outcome = OperationOutcome::default();
    match OperationOutcome::parse(&reply.body) {
        Ok(whole) => outcome = whole,
        Err(_) => {
            for line in reply.body.split(|byte| *byte == b'\n').take(ISSUES_MAX) {
                outcome.issues.extend(OperationOutcome::parse(line).unwrap_or_default().issues);
            }
        }
    }
    read_words(&outcome, reply.status, default)
}

pub(crate) fn read_words(outcome: &OperationOutcome, status: u16, default: Code) -> Vec<Issue> {
    let errors = outcome.issues.iter().filter(|issue| issue.is_error()).take(ISSUES_MAX);
    let issues: Vec<_> = errors.map(|issue| read_word(issue, status, default)).collect();
    if issues.is_empty() {
        let detail = format!("the payer answered {status} without saying why");
        return vec![Issue::new(default, detail)];
    }
    issues
}

/// One issue of the payer. Its code is taken for ours where it is of our catalogue and names what
/// a sender can have done; its place where it is one of the Bundle that was sent.
fn read_word(issue: &OutcomeIssue, status: u16, default: Code) -> Issue {
    let known = issue.coding.as_ref().and_then(|(system, code)| {
        let ours = system.as_deref() == Some(CODE_SYSTEM);
        Code::from_slug(code).filter(|code| ours && (400..500).contains(&code.row().status))
    });
    let coding = issue.coding.as_ref().and_then(|(_, code)| code_word(code));
    let kind = issue.code.as_deref().and_then(code_word);
    let detail = match (known, coding, kind) {
        (Some(code), ..) => format!("the payer answered {status}: {}", code.row().title),
        (None, Some(coding), _) => format!("the payer answered {status}, code {coding}"),
        (None, None, Some(kind)) => format!("the payer answered {status}, issue type {kind}"),
        (None, None, None) => format!("the payer answered {status} without a code"),
    };
    let place = issue.expressions.iter().find(|place| is_place(place));
    let issue = Issue::new(known.unwrap_or(default), detail);
    place.into_iter().fold(issue, |issue, place| issue.at(place.as_str()))
}

/// A code, when it has the shape of one.
fn code_word(code: &str) -> Option<&str> {
    let shaped = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (!code.is_empty() && code.len() <= PARTNER_CODE_CHARS_MAX && code.bytes().all(shaped))
        .then_some(code)
}

/// Whether a text is a FHIRPath of plain steps from the Bundle: `Bundle.entry[3].resource.status`.
fn is_place(text: &str) -> bool {
    let step = |step: &str| {
        let (name, position) = step.split_once('[').map_or((step, None), |(n, p)| (n, Some(p)));
        let digits = |p: &str| {
            p.strip_suffix(']')
                .is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
        };
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphabetic())
            && position.is_none_or(digits)
    };
    text.len() <= PARTNER_PLACE_CHARS_MAX
        && text.split('.').next() == Some("Bundle")
        && text.split('.').all(step)
}
