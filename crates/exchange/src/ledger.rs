//! The ledger: what happened, one line after the other, and how lines are chained.
//!
//! Comes in   events of both roads; the time they happened at.
//! Goes out   entries with a gapless sequence and a hash over the chain's previous entry.
//! Never      content of a chart: digests, ids, counts and issues only, so that purging content
//!            keeps the chain provable.
//!
//! Why chains per push: the story of one push can be shown and proved to a partner without
//! showing another patient's. The Merkle roots of checkpoints tie the chains together.

use crate::id::{Digest, PartnerId, PushId, SubmissionId, TriggerId, WalkId};
use crate::issue::Issue;
use crate::purpose::{Level, Purpose};
use crate::push::{Withholding, is_zero};
use crate::registration::Said;
use crate::scope::{Behalf, PayorKey};
use crate::sending::outcomes::BackOf;
use crate::sending::{End, Message};
use crate::trigger::Subject;
use crate::watch::Sight;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which chain an entry belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// Everything that belongs to no single push: triggers, looks, start and stop.
    House,
    /// One walk and the push it became (sending house).
    Push(WalkId),
    /// One submission (receiving house).
    Submission(SubmissionId),
    /// One bulk submission to a payer (sending house), by its `submissionId`.
    Sending(SubmissionId),
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Chain::House => f.write_str("house"),
            Chain::Push(id) => write!(f, "push/{id}"),
            Chain::Submission(id) => write!(f, "submission/{id}"),
            Chain::Sending(id) => write!(f, "sending/{id}"),
        }
    }
}

impl FromStr for Chain {
    type Err = Issue;

    fn from_str(text: &str) -> Result<Chain, Issue> {
        match text.split_once('/') {
            None if text == "house" => Ok(Chain::House),
            Some(("push", id)) => Ok(Chain::Push(id.into())),
            Some(("submission", id)) => Ok(Chain::Submission(id.into())),
            Some(("sending", id)) => Ok(Chain::Sending(id.into())),
            _ => Err(Issue::new(crate::Code::LedgerBroken, "a ledger entry names no known chain")),
        }
    }
}

/// One entry of the ledger, as it is stored and proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Gapless within the house, from 1.
    pub seq: u64,
    /// When it happened, by the clock of whoever wrote it (microseconds).
    pub at: Timestamp,
    /// The chain it belongs to.
    pub chain: Chain,
    /// The event as canonical JSON: exactly these bytes are hashed.
    pub body: String,
    /// Hash of the chain's previous entry; zeros for the first.
    pub prev: Digest,
    /// `entry_hash` of all the above.
    pub hash: Digest,
}

impl Entry {
    /// Chains an event behind `prev`.
    pub fn new(seq: u64, at: Timestamp, chain: Chain, event: &Event, prev: Digest) -> Entry {
        let body = event.to_body();
        let hash = entry_hash(seq, at, &chain, &body, &prev);
        Entry { seq, at, chain, body, prev, hash }
    }

    /// The event of the entry.
    pub fn event(&self) -> Result<Event, Issue> {
        serde_json::from_str(&self.body).map_err(|_| {
            let detail = format!("entry {} holds an event this version cannot read", self.seq);
            Issue::new(crate::Code::LedgerBroken, detail)
        })
    }
}

/// SHA-256 over sequence, microseconds, chain, body and the previous hash, length-led.
pub fn entry_hash(seq: u64, at: Timestamp, chain: &Chain, body: &str, prev: &Digest) -> Digest {
    let chain = chain.to_string();
    Digest::of_pieces([
        &seq.to_be_bytes()[..],
        &at.as_microsecond().to_be_bytes(),
        chain.as_bytes(),
        body.as_bytes(),
        &prev.0,
    ])
}

/// A version of a record, as a `Filed` line vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiledVersion {
    /// Resource type.
    pub kind: String,
    /// Logical id.
    pub id: String,
    /// The version that stood once the line was written.
    pub version: u64,
    /// SHA-256 of its content; of nothing where it deletes the record.
    pub digest: Digest,
    /// Whose record it is.
    pub owner: PartnerId,
}

/// The digest in a `Filed` line: over type, id, version, content digest and owner of every version
/// that its answer names, in that order.
pub fn filed_digest(versions: &[FiledVersion]) -> Digest {
    let numbers: Vec<[u8; 8]> = versions.iter().map(|one| one.version.to_be_bytes()).collect();
    Digest::of_pieces(versions.iter().zip(&numbers).flat_map(|(one, version)| {
        let owner = one.owner.as_str().as_bytes();
        [one.kind.as_bytes(), one.id.as_bytes(), &version[..], &one.digest.0[..], owner]
    }))
}

/// Who asked for something, in which role, and why. Never a patient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The person or system, as it signed in or as the command line gave it.
    pub name: String,
    /// For example `clinician`, `staff`, `privacy-officer`, `system`.
    pub role: String,
    /// The reason given.
    pub why: String,
}

/// What can happen in a house. Serialized as canonical JSON: field order is declaration order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[allow(missing_docs)] // fields are named after what they hold; the variants say when
pub enum Event {
    /// A process opened the house.
    Opened { version: String },
    /// Somebody looked without sending (`explain`, `find`).
    Looked { who: Who, subject: String },
    /// Sending: something asked for a push, durable before anything is done.
    Triggered {
        trigger: TriggerId,
        subject: Subject,
        purpose: Option<Purpose>,
        who: Who,
        /// It is to go as a bulk submission, whatever the agreement says of its kind.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        asynchronous: bool,
        /// The payer asked for it itself: it goes with this export, and to nobody else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pull: Option<SubmissionId>,
    },
    /// Sending: the trigger concerns these walks (one per payer).
    Scoped { trigger: TriggerId, walks: Vec<WalkId> },
    /// Sending: the trigger concerns nobody yet; a person has work.
    TriggerHeld { trigger: TriggerId, issues: Vec<Issue> },
    /// Sending: the trigger could not be looked at; the clock has work.
    TriggerDelayed { trigger: TriggerId, until: Timestamp, issue: Issue },
    /// Sending: coverages of the trigger name payors that nobody has mapped (each by its key), or
    /// that are nobody's business.
    PayorsFound { trigger: TriggerId, unmapped: Vec<PayorKey>, left_alone: u64 },
    /// Sending: a person mapped a payor, to a partner or to nobody; the table had this digest then.
    PayorMapped { who: Who, payor: Option<PayorKey>, partner: Option<PartnerId>, table: Digest },
    /// Sending: somebody changed the table of restrictions, which had this digest then.
    RestrictionsChanged { who: Who, added: u64, removed: u64, table: Digest },
    /// Sending: a person let the trigger go on.
    TriggerReleased { trigger: TriggerId, who: Who },
    /// Sending: a person wants no more of what still waits.
    TriggerWithdrawn { trigger: TriggerId, who: Who },
    /// Sending: a walk began: the dossier and how long it may take.
    Began {
        walk: WalkId,
        trigger: TriggerId,
        patient: String,
        payer: PartnerId,
        kind: String,
        subject: String,
        purpose: Purpose,
        withdraws: Option<WalkId>,
        mode: String,
        deadline: Timestamp,
        /// Seconds that a release grants, where it goes on for a walk that was given more time than
        /// is left.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patience: Option<i64>,
        /// Who is the payer in law and who acts for it, where the payor map says so.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        on_behalf: Vec<Behalf>,
    },
    /// Sending: the door was found and is the right one.
    Routed { endpoint: String, version: String, mode: String, form: String },
    /// Sending: the payload exists and is stored; from here on it is a push with a number.
    Assembled {
        push: PushId,
        number: u64,
        digest: Digest,
        payload: Digest,
        disclosure: Digest,
        resources: u64,
        withheld: Vec<Withholding>,
        /// The stored usability findings, where there are any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        findings: Option<Digest>,
        /// Digest of the restrictions it was shaped by, where it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restrictions: Option<Digest>,
    },
    /// Sending: the same content as the dossier's latest revision; nothing is sent.
    Unchanged { push: PushId },
    /// Sending: nothing may travel.
    Withheld { withheld: Vec<Withholding>, disclosure: Digest, issue: Issue },
    /// Sending: about to be sent; durable before the first byte leaves. `part`: which of several
    /// requests, from 1.
    Intended {
        attempt: u32,
        endpoint: String,
        key: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<u32>,
    },
    /// Sending: the door answered; `answer` is the stored body.
    Answered { status: u16, answer: Digest },
    /// Sending: the door answered part `part` of a push that goes in several. `answer` is the stored
    /// body, `said` what it says of each record; `refused` are those (`Type/id`) it will not have.
    Parted {
        part: u32,
        status: u16,
        answer: Digest,
        said: Digest,
        filed: u64,
        refused: Vec<String>,
        issues: Vec<Issue>,
        /// Of the rest of the part nobody knows what became of it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unsure: bool,
    },
    /// Sending: these records cannot be sent to this door, the others can.
    LeftOut { records: Vec<String>, issues: Vec<Issue> },
    /// Sending: the door refused a rung that its statement promised; the next one down is taken.
    SteppedDown { from: String, status: u16 },
    /// Sending: it is known what became of the part that was sent last: so many of its records are
    /// there, and so many are not.
    Reconciled { found: u64, missing: u64 },
    /// Sending: not now; the clock has work.
    Delayed { until: Timestamp, issue: Issue },
    /// Sending: the door took these records (`Type/derived id`) to do them later; it is asked for them then.
    Accepted { records: Vec<String>, until: Timestamp, issue: Issue },
    /// Sending: taken by the payer; the word comes later, at this place.
    Polling { place: String, until: Timestamp },
    /// Both: a person has work.
    Held { issues: Vec<Issue> },
    /// Sending: what the agreement promises has come.
    Settled { level: Level },
    /// Sending: the payer said no for good.
    Refused { issues: Vec<Issue> },
    /// Sending: a newer revision of the dossier went first.
    Superseded { by: WalkId },
    /// Sending: the restrictions have changed since it was assembled, to these; it is sent no more,
    /// and the walk `by` looks anew.
    Outdated { by: WalkId, restrictions: Digest },
    /// Sending: whoever triggered it has been told.
    Acknowledged { to: String, acknowledgement: Digest },
    /// Both: a person let it go on.
    Released { who: Who },
    /// Sending: a person took it back.
    WithdrawalAsked { who: Who, by: WalkId },
    /// Receiving: this arrived, as it arrived.
    Received { sender: PartnerId, key: Option<String>, digest: Digest, bytes: u64, entries: u64 },
    /// Receiving: its sender asks later for the answer; a worker goes on with it. These entries, by their
    /// positions, were refused when it came.
    Deferred {
        #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
        refused: std::collections::BTreeMap<u64, Vec<Issue>>,
    },
    /// Receiving: the member was found.
    Matched { member: Digest },
    /// Receiving: filed; `records` is `filed_digest` of what stands for every entry, unchanged ones
    /// included; an entry that deleted what never was has no version and is left out.
    Filed { records: Digest, created: u64, updated: u64, unchanged: u64, deleted: u64 },
    /// Receiving: so many older versions were filed, and what stood was filed over them once more; `records`
    /// is `filed_digest` of the older ones, `account` the digest of their names.
    Beneath { records: Digest, account: Digest, versions: u64 },
    /// Receiving: refused; nothing was filed.
    NotFiled { issues: Vec<Issue> },
    /// Both: its contents were removed, `days` after it ended; so many resources. `records` are
    /// those a push put at the payer (`Type/id`), so that it can still be taken back.
    Purged { days: u32, resources: u64, records: Vec<String> },
    /// Sending: a patient (`Patient.id` in the source) is watched; what was over before this day and
    /// is there already is no news.
    WatchBegan { patient: String, from: Date },
    /// Sending: a look at the patient's chart brought this; `more` of it comes with the next line.
    Watched { patient: String, sights: Vec<Sight>, more: bool },
    /// Sending: a look brought nothing, for this reason; the clock has work.
    WatchPutOff { patient: String, issue: Issue },
    /// Sending: nobody looks any more.
    WatchEnded { patient: String },
    /// Receiving: a client registered by UDAP, or changed what it says of itself; `partner`: whose
    /// file names it.
    RegistrationAsked {
        client: String,
        said: Said,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partner: Option<PartnerId>,
    },
    /// Receiving: a person says whose a client is; it may sign in.
    RegistrationApproved { client: String, partner: PartnerId, who: Who },
    /// Receiving: a person says that a client may not sign in.
    RegistrationRefused { client: String, who: Who },
    /// Receiving: a client cancelled its registration.
    RegistrationCancelled { client: String },
    /// Sending: this house is registered so at a server's registration endpoint; `client`: none where
    /// it is registered no more.
    RegisteredAt {
        endpoint: String,
        community: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<String>,
        said: Digest,
    },
    /// A person suspends all exchange with a partner.
    PartnerSuspended { partner: PartnerId, who: Who },
    /// A person lets the exchange with a partner go on.
    PartnerResumed { partner: PartnerId, who: Who },
    /// Sending: directories were asked for a payer's endpoint; the answer, with or without one.
    EndpointFound { payer: PartnerId, answer: Box<crate::directory::Answer> },
    /// Sending: no directory answers; the last answer is used until then, openly.
    EndpointKept { payer: PartnerId, until: Timestamp, issue: Issue },
    /// Sending: the endpoint is not there any more, for this reason; directories are asked anew.
    EndpointLost { payer: PartnerId, endpoint: String, issue: Issue },
    /// Sending: a person says that this identity of an endpoint is the payer's.
    EndpointApproved { payer: PartnerId, endpoint: String, identity: Digest, who: Who },
    /// Sending: what a payer's door says of itself, first seen or changed.
    DoorStated { payer: PartnerId, stated: Box<crate::directory::Stated> },
    /// Receiving: a reader of the plan's own asked for an export.
    ExportAsked { export: String, reader: String, asked: Box<crate::export::Asked> },
    /// Receiving: an export can be fetched: the records of that moment, in these files.
    ExportReady {
        export: String,
        as_of: Timestamp,
        files: Vec<crate::export::ExportFile>,
        /// Records of a type that are not in it, because the time of their contents is over.
        #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
        left_out: std::collections::BTreeMap<String, u64>,
        /// What else is not in it.
        #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
        beyond: std::collections::BTreeMap<crate::export::Beyond, u64>,
    },
    /// Receiving: its reader fetches a file of an export; durable before the first byte leaves.
    ExportFetched { export: String, file: String },
    /// Receiving: an export can be fetched no more; `expired`: its time is over, or else its reader
    /// deleted it.
    ExportEnded { export: String, expired: bool },
    /// Sending: a bulk submission of this id gathers pushes to a payer, until then.
    SendingOpened {
        submission: SubmissionId,
        payer: PartnerId,
        purpose: Purpose,
        endpoint: String,
        until: Timestamp,
        deadline: Timestamp,
        /// The payer asked for it by `$export`, and fetches it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pull: Option<Box<crate::export::Asked>>,
    },
    /// Sending: the history of each member was asked for whom an export may be about.
    PullSpread { members: u64 },
    /// Sending: this bulk submission brings the push to the payer, and the payer's word.
    Submitted { submission: SubmissionId },
    /// Sending: the bulk submission does not bring the push any more; it is delivered anew.
    Returned { issue: Issue },
    /// Sending: a bulk submission goes on gathering, until then.
    SendingKeptOpen { until: Timestamp },
    /// Sending: nothing more is gathered; `who`: a person said so.
    SendingClosed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<Who>,
        /// Histories of an export that were not ready by then.
        #[serde(default, skip_serializing_if = "is_zero")]
        missing: u64,
    },
    /// Sending: a manifest of a bulk submission exists; `plan` is the stored list of its files and of
    /// what lies where in them. It takes the place of manifest `replaces`.
    ManifestMade {
        manifest: u32,
        plan: Digest,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<u32>,
        pushes: u64,
        resources: u64,
        files: u64,
        bytes: u64,
    },
    /// Sending: the payer has taken note of what it was told last: a manifest, the end, or that the
    /// submission is stopped.
    SendingTold { message: Message },
    /// Sending: the payer has done with the submission; the stored outcomes are what it said.
    SendingAnswered {
        outcomes: Digest,
        /// Files that it gives back, and files of deletions that it asks for, by type.
        #[serde(default, skip_serializing_if = "BackOf::is_empty")]
        back: BackOf,
    },
    /// Sending: what the payer has said so far of a submission that it is still at work on: files of
    /// outcomes, and the errors that it counts in them.
    SendingPartly { files: u64, errors: u64 },
    /// Sending: a person wants a bulk submission stopped.
    SendingStopAsked { who: Who },
    /// Sending: a bulk submission has ended so; its files are served until then.
    SendingEnded {
        end: End,
        until: Timestamp,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        issues: Vec<Issue>,
    },
    /// Sending: the files of a bulk submission are not served any more.
    FilesWithdrawn {},
    /// Sending: the payer fetches a file of a bulk submission, from this byte on.
    FileFetched {
        file: String,
        #[serde(default, skip_serializing_if = "is_zero")]
        from: u64,
        /// It had been refused before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
    },
    /// Sending: the payer was not given a file, since what it holds may not go now as it was offered.
    FileRefused { file: String, issue: Issue },
    /// Sending: the payer knows all of a bulk submission, and no word of it is agreed on but that it
    /// fetches the files.
    FilesAwaited {},
    /// Sending: the last byte of a file was given to the payer.
    FileGiven { file: String },
    /// Sending: the payer wants no more of its export.
    PullDeleted {},
    /// Sending: the payer that had asked for the push did not fetch it.
    Unfetched { issue: Issue },
    /// Sending: it is too large for the payer's door to answer at once; the asynchronous walk `by`
    /// goes in its place.
    WentAsync { by: WalkId, issue: Issue },
    /// Receiving: something happened to a bulk submission, or to one of its receipts.
    BulkReceived(Box<crate::bulk::received::Step>),
}

impl Event {
    /// The trigger an event of the house's chain is about.
    pub fn trigger(&self) -> Option<&TriggerId> {
        match self {
            Event::Triggered { trigger, .. }
            | Event::Scoped { trigger, .. }
            | Event::TriggerHeld { trigger, .. }
            | Event::TriggerDelayed { trigger, .. }
            | Event::PayorsFound { trigger, .. }
            | Event::TriggerReleased { trigger, .. }
            | Event::TriggerWithdrawn { trigger, .. } => Some(trigger),
            _ => None,
        }
    }

    /// The patient whose watch an event of the house's chain is about.
    pub fn watched(&self) -> Option<&str> {
        match self {
            Event::WatchBegan { patient, .. }
            | Event::Watched { patient, .. }
            | Event::WatchPutOff { patient, .. }
            | Event::WatchEnded { patient } => Some(patient),
            _ => None,
        }
    }

    /// The client whose registration an event of the house's chain is about.
    pub fn registering(&self) -> Option<&str> {
        match self {
            Event::RegistrationAsked { client, .. }
            | Event::RegistrationApproved { client, .. }
            | Event::RegistrationRefused { client, .. }
            | Event::RegistrationCancelled { client } => Some(client),
            _ => None,
        }
    }

    /// The payer whose endpoint an event of the house's chain is about.
    pub fn endpoint_of(&self) -> Option<&PartnerId> {
        match self {
            Event::EndpointFound { payer, .. }
            | Event::EndpointKept { payer, .. }
            | Event::EndpointLost { payer, .. }
            | Event::EndpointApproved { payer, .. }
            | Event::DoorStated { payer, .. } => Some(payer),
            _ => None,
        }
    }

    /// The export an event of the house's chain is about.
    pub fn export(&self) -> Option<&str> {
        match self {
            Event::ExportAsked { export, .. }
            | Event::ExportReady { export, .. }
            | Event::ExportFetched { export, .. }
            | Event::ExportEnded { export, .. } => Some(export),
            _ => None,
        }
    }

    /// Canonical JSON: no white space, members in declaration order.
    pub fn to_body(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| {
            // Every variant is plain data with string keys, which always serializes.
            unreachable!("an event does not serialize: {error}")
        })
    }
}
