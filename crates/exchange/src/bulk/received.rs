//! Received: a bulk submission at the house that receives it (Bulk Data 4.0.0-ballot, Bulk Submit).
//!
//! Comes in   the lines of one submission's chain, in their order.
//! Goes out   what was asked, which manifests there are, and what is left to do.
//! Never      a URL or a header: a line holds their digests, since either may open files.
//!
//! Why each manifest is a *receipt* with a row and a chain of its own: it is fetched by itself, its
//! records are filed under it, and it can be taken out again without the others. Only what the
//! submitter says of the whole, and which of them have ended, stands here; so neither the submitter
//! nor the worker keeps the other from writing.

use super::{Dialect, SubmissionStatus, Submitter};
use crate::id::{Digest, PartnerId, SubmissionId};
use crate::issue::Issue;
use crate::ledger::{Chain, Event};
use crate::limits::BULK_OPEN_KEPT;
use crate::purpose::Purpose;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What can happen to a bulk submission, or to one of its receipts, where it is received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
#[allow(missing_docs)] // fields are named after what they hold; the variants say when
pub enum Step {
    /// The submission: one `$bulk-submit` was taken; `request` is the stored body. `manifest`: the
    /// digest of its `manifestUrl`; `replaces`: the number of the receipt it discards.
    Asked {
        sender: PartnerId,
        submitter: Submitter,
        submission: String,
        dialect: Dialect,
        status: SubmissionStatus,
        request: Digest,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest: Option<Digest>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<u32>,
        /// What the token was given for, where it was given for purposes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        purposes: Option<BTreeSet<Purpose>>,
    },
    /// The submission: nothing of this receipt is left to fetch.
    ReceiptEnded { receipt: u32 },
    /// The submission: so many records that a receipt brought are gone, and so many stand again as they
    /// did before; `account` names the versions that say so, as in the `Filed` line before.
    TakingOut { receipt: u32, account: Digest, taken_back: u64, restored: u64 },
    /// The submission: what was filed of this receipt is out of the current view.
    ReceiptTakenOut {
        receipt: u32,
        taken_back: u64,
        restored: u64,
        /// Patients that stay, because records of their sender are about them.
        #[serde(default, skip_serializing_if = "is_zero")]
        kept: u64,
    },
    /// The submission: nothing more came of it for `BULK_OPEN_KEPT`; it takes nothing more.
    Expired {},
    /// The submission: all of it has been worked on.
    Processed {},
    /// The submission: its submitter asks for the status at this place no more.
    StatusEnded { place: u32 },
    /// A receipt: its manifest is to be fetched.
    Began { submission: SubmissionId, receipt: u32, request: Digest },
    /// A receipt: its manifest was read; `list` is the stored list of its files.
    Listed { list: Digest, files: u64, pages: u64 },
    /// A receipt: so many lines of a file, up to this one, were worked on. What was filed of them says
    /// the `Filed` line before; `account` names each record, `told` is what the submitter is told, and
    /// `staged` are the lines that wait for their Patient.
    Worked(Box<super::receipt::Worked>),
    /// A receipt: what waits is looked at again, from the oldest on.
    Again {},
    /// A receipt: all that waited was looked at again.
    Looked {},
    /// A receipt: the file being read is another one now; it is read from its beginning.
    Restarted { issue: Issue },
    /// A receipt: the exchange with its sender is suspended; it waits for a person.
    Suspended { issue: Issue },
    /// A receipt: the exchange goes on, and so does the receipt.
    Resumed {},
    /// A receipt: not now; the clock has work.
    Delayed { until: Timestamp, issue: Issue },
    /// A receipt: nothing of it can be fetched.
    Failed { issue: Issue, told: Digest },
    /// A receipt: nothing of it is left to fetch; `waits`: lines wait for their Patients.
    Fetched { waits: bool },
    /// A receipt: what became of all of it, told in numbers.
    Counted { told: Digest },
    /// A receipt: nothing of it waits any more.
    Ended {},
    /// A receipt: the submitter discards it.
    Discarded {},
}

impl Step {
    /// What happened, in a sentence.
    pub fn sentence(&self) -> String {
        match self {
            Step::Asked { status, manifest, replaces, .. } => {
                let status = status.code(Dialect::Ballot);
                let manifest = if manifest.is_some() { "a manifest" } else { "no manifest" };
                match replaces {
                    Some(number) => format!("submitted: {manifest} in place of {number}, {status}"),
                    None => format!("submitted: {manifest}, {status}"),
                }
            }
            Step::ReceiptEnded { receipt } => format!("manifest {receipt} fetched"),
            Step::ReceiptTakenOut { receipt, taken_back, restored, kept } => {
                let stay = match kept {
                    0 => String::new(),
                    kept => format!("; {kept} Patients stay, because records are about them"),
                };
                format!(
                    "manifest {receipt} taken out: {taken_back} records gone, {restored} as they \
                     stood before{stay}"
                )
            }
            Step::TakingOut { receipt, taken_back, restored, .. } => format!(
                "of manifest {receipt}: {taken_back} records gone, {restored} as they stood before"
            ),
            Step::Expired {} => "nothing more came for too long; it is closed".to_owned(),
            Step::Processed {} => "all of the submission worked on".to_owned(),
            Step::StatusEnded { place } => format!("status {place} deleted by its submitter"),
            Step::Began { receipt, .. } => format!("manifest {receipt} to be fetched"),
            Step::Listed { files, pages, .. } => {
                format!("manifest read: {files} files on {pages} pages")
            }
            Step::Worked(worked) => {
                let super::receipt::Worked { counts, waiting, .. } = &**worked;
                format!("{}, {waiting} waiting for their Patients", counts.sentence())
            }
            Step::Again {} => "what waits is looked at again".to_owned(),
            Step::Looked {} => "what waited was looked at again".to_owned(),
            Step::Restarted { .. } => "the file changed; it is read from its beginning".to_owned(),
            Step::Suspended { .. } => "not fetched while its sender is suspended".to_owned(),
            Step::Resumed {} => "fetched again, since its sender is no longer suspended".to_owned(),
            Step::Delayed { until, issue } => {
                format!("{} until {until}", issue.code.row().title)
            }
            Step::Failed { issue, .. } => format!("not fetched: {}", issue.code.row().title),
            Step::Fetched { waits: true } => "all files read; some lines wait".to_owned(),
            Step::Fetched { waits: false } => "all files read".to_owned(),
            Step::Counted { .. } => "counted for the submitter".to_owned(),
            Step::Ended {} => "nothing waits any more".to_owned(),
            Step::Discarded {} => "discarded by its submitter".to_owned(),
        }
    }
}

impl From<Step> for Event {
    fn from(step: Step) -> Event {
        Event::BulkReceived(Box::new(step))
    }
}

/// What the submission knows of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// Digest of the `$bulk-submit` that brought it.
    pub request: Digest,
    /// Digest of its `manifestUrl`.
    pub manifest: Digest,
    /// Whether nothing of it is left to fetch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// Whether its submitter discarded it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discarded: bool,
    /// Whether what was filed of it is out of the current view again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken_out: bool,
    /// Whether Patients of it stayed then, because records were about them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A bulk submission: a projection of its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Its id, which is also that of its chain and of its row.
    pub id: SubmissionId,
    /// Who signed in.
    pub sender: PartnerId,
    /// Who submits, as the sender says.
    pub submitter: Submitter,
    /// `submissionId`.
    pub submission: String,
    /// The dialect of the first request that shows one.
    pub dialect: Dialect,
    /// When it was first asked for.
    pub at: Timestamp,
    /// What its submitter says of it.
    pub status: SubmissionStatus,
    /// Its receipts, by number from 1.
    pub receipts: Vec<Brought>,
    /// Digests of the requests that brought no manifest: a repeat is known by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Digest>,
    /// When it was closed because nothing more came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Timestamp>,
    /// When all of it had been worked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processed: Option<Timestamp>,
    /// When the last line was written.
    pub changed: Timestamp,
    /// Places of its status, up to this one, that are asked for no more.
    #[serde(default)]
    pub places_ended: u32,
}

/// The id under which a house keeps a submission: the same request leads to the same row.
pub fn id_of(sender: &PartnerId, submitter: &Submitter, submission: &str) -> SubmissionId {
    let (system, value) = (submitter.system.as_deref(), submitter.value.as_str());
    let pieces = [
        sender.as_str(),
        if system.is_some() { "system" } else { "" },
        system.unwrap_or_default(),
        value,
        submission,
    ];
    let digest = Digest::of_pieces(pieces.map(str::as_bytes));
    SubmissionId(digest.to_string()[..32].to_owned())
}

/// The id of a receipt: of its row, its chain, and what its records are filed under.
pub fn receipt_id(submission: &SubmissionId, number: u32) -> SubmissionId {
    SubmissionId(format!("{submission}.{number}"))
}

/// Of which submission a receipt is, and its number; `None` where it is the id of something else.
pub fn receipt_parts(id: &str) -> Option<(&str, u32)> {
    let (submission, number) = id.split_once('.')?;
    Some((submission, number.parse().ok()?))
}

impl Received {
    /// The submission that a first line begins; `None` where that is another one.
    pub fn begin(id: SubmissionId, at: Timestamp, event: &Event) -> Option<Received> {
        let Event::BulkReceived(step) = event else { return None };
        let Step::Asked { sender, submitter, submission, dialect, .. } = &**step else {
            return None;
        };
        let mut received = Received {
            id,
            sender: sender.clone(),
            submitter: submitter.clone(),
            submission: submission.clone(),
            dialect: *dialect,
            at,
            status: SubmissionStatus::InProgress,
            receipts: Vec::new(),
            others: Vec::new(),
            expired: None,
            processed: None,
            changed: at,
            places_ended: 0,
        };
        received.apply(at, event);
        Some(received)
    }

    /// What its chain adds up to; `None` where it does not begin with a request.
    pub fn replay<'a>(
        id: SubmissionId,
        lines: impl IntoIterator<Item = (Timestamp, &'a Event)>,
    ) -> Option<Received> {
        let mut lines = lines.into_iter();
        let (at, first) = lines.next()?;
        let mut received = Received::begin(id, at, first)?;
        lines.for_each(|(at, event)| received.apply(at, event));
        Some(received)
    }

    /// Takes one line into account.
    pub fn apply(&mut self, at: Timestamp, event: &Event) {
        let Event::BulkReceived(step) = event else { return };
        self.changed = at;
        match &**step {
            Step::Asked { dialect, status, request, manifest, replaces, .. } => {
                self.dialect = self.dialect.max(*dialect);
                self.status = *status;
                if let Some(one) = replaces.and_then(|number| self.receipt_mut(number)) {
                    one.discarded = true;
                }
                match manifest {
                    Some(manifest) => self.receipts.push(Brought {
                        request: *request,
                        manifest: *manifest,
                        ended: false,
                        discarded: false,
                        taken_out: false,
                        kept: false,
                    }),
                    None => self.others.push(*request),
                }
                if *status == SubmissionStatus::Stopped {
                    self.receipts.iter_mut().for_each(|one| one.discarded = true);
                }
            }
            Step::ReceiptEnded { receipt } => {
                self.receipt_mut(*receipt).into_iter().for_each(|one| one.ended = true);
            }
            Step::ReceiptTakenOut { receipt, kept, .. } => {
                if let Some(one) = self.receipt_mut(*receipt) {
                    (one.ended, one.taken_out, one.kept) = (true, true, *kept > 0);
                }
            }
            Step::Expired {} => self.expired = Some(at),
            Step::Processed {} => self.processed = Some(at),
            Step::StatusEnded { place } => self.places_ended = self.places_ended.max(*place),
            _ => {}
        }
    }

    fn receipt_mut(&mut self, number: u32) -> Option<&mut Brought> {
        self.receipts.get_mut(number.checked_sub(1)? as usize)
    }

    /// The receipt of this number, from 1.
    pub fn receipt(&self, number: u32) -> Option<&Brought> {
        self.receipts.get(number.checked_sub(1)? as usize)
    }

    /// The number that the next receipt gets.
    pub fn next_number(&self) -> u32 {
        u32::try_from(self.receipts.len() + 1).unwrap_or(u32::MAX)
    }

    /// The receipt of this manifest that was not discarded, or else the last of it.
    pub fn numbered(&self, manifest: &Digest) -> Option<u32> {
        let of_it = || (1u32..).zip(&self.receipts).filter(|(_, one)| one.manifest == *manifest);
        let found = of_it().find(|(_, one)| !one.discarded).or_else(|| of_it().last());
        found.map(|(number, _)| number)
    }

    /// Whether this very request was taken before.
    pub fn knows(&self, request: &Digest) -> bool {
        self.receipts.iter().map(|one| &one.request).chain(&self.others).any(|one| one == request)
    }

    /// The numbers of receipts that are to be taken out of the current view.
    pub fn to_take_out(&self) -> impl Iterator<Item = u32> {
        let open = |(_, one): &(u32, &Brought)| one.discarded && !one.taken_out;
        (1u32..).zip(&self.receipts).filter(open).map(|(number, _)| number)
    }

    /// Whether what was filed of a receipt is to leave the current view, or may yet.
    pub fn may_be_taken_out(&self, number: u32) -> bool {
        self.receipt(number)
            .is_some_and(|one| !one.taken_out && (one.discarded || !self.is_closed()))
    }

    /// Whether what was filed of a receipt has left the current view, Patients aside that stay under their
    /// records.
    pub fn was_taken_out(&self, number: u32) -> bool {
        self.receipt(number).is_some_and(|one| one.taken_out)
    }

    /// The numbers of receipts taken out before of which Patients stayed, once all of the submission is
    /// discarded: what was about them may be gone.
    pub fn to_look_at_again(&self) -> impl Iterator<Item = u32> {
        let all = self.receipts.iter().all(|one| one.discarded);
        let kept = move |(_, one): &(u32, &Brought)| all && one.taken_out && one.kept;
        (1u32..).zip(&self.receipts).filter(kept).map(|(number, _)| number)
    }

    /// Whether all that was submitted so far has been fetched, or discarded.
    pub fn all_fetched(&self) -> bool {
        self.receipts.iter().all(|one| one.ended || one.discarded)
    }

    /// Whether nothing more is taken: its submitter has said so, or has said nothing for too long.
    pub fn is_closed(&self) -> bool {
        self.status != SubmissionStatus::InProgress || self.expired.is_some()
    }

    /// Whether a request of this shape would change nothing.
    pub fn changes_nothing(&self, status: SubmissionStatus, replaces: Option<u32>) -> bool {
        let discarded = |number: u32| self.receipt(number).is_some_and(|receipt| receipt.discarded);
        status == self.status && !self.is_closed() && replaces.is_none_or(discarded)
    }

    /// When it is closed, where nothing more comes of it.
    pub fn expires(&self) -> Option<Timestamp> {
        let waits = !self.is_closed() && self.all_fetched();
        waits.then(|| self.changed.checked_add(BULK_OPEN_KEPT).unwrap_or(Timestamp::MAX))
    }

    /// When the clock has work on the whole: receipts to take out, or the last word once its submitter
    /// has said its own and all is fetched; or the end, where nothing more comes. As long as a receipt is
    /// to be fetched it has none: rows of a lane wait for each other.
    pub fn due(&self) -> Option<Timestamp> {
        let last_word = self.is_closed() && self.processed.is_none() && self.all_fetched();
        match last_word || self.to_take_out().next().is_some() {
            true => Some(self.changed),
            false => self.expires(),
        }
    }

    /// The word for lists.
    pub fn state_word(&self) -> &'static str {
        match (self.status, self.processed) {
            (SubmissionStatus::InProgress, Some(_)) => PROCESSED,
            (SubmissionStatus::InProgress, None) if self.expired.is_some() => EXPIRED,
            (SubmissionStatus::InProgress, None) => IN_PROGRESS,
            (SubmissionStatus::Completed, None) => COMPLETED,
            (SubmissionStatus::Completed, Some(_)) => PROCESSED,
            (SubmissionStatus::Stopped, None) => STOPPING,
            (SubmissionStatus::Stopped, Some(_)) => STOPPED,
        }
    }

    /// Its chain in the ledger.
    pub fn chain(&self) -> Chain {
        Chain::Submission(self.id.clone())
    }

    /// The lane of its rows: one of them is worked on at a time, in their order.
    pub fn lane(&self) -> String {
        lane(&self.id)
    }
}

/// The lane of a submission and its receipts.
pub fn lane(submission: &SubmissionId) -> String {
    format!("bulk|{submission}")
}

/// The state words of submissions that have not ended.
pub const OPEN: [&str; 4] = [IN_PROGRESS, COMPLETED, EXPIRED, STOPPING];

/// The state words of those that have.
pub const ENDED: [&str; 2] = [PROCESSED, STOPPED];

const EXPIRED: &str = "bulk-expiring";
const STOPPING: &str = "bulk-stopping";
const PROCESSED: &str = "bulk-processed";
const STOPPED: &str = "bulk-stopped";

/// The state word of a submission to which more may come.
pub const IN_PROGRESS: &str = "bulk-in-progress";

/// The state word of one that is complete and worked on.
pub const COMPLETED: &str = "bulk-completed";

#[cfg(test)]
mod tests;
