//! Commands a person gives a house, and what the house answers: one set of words for the command
//! line, the house's own API and the console.
//!
//! Comes in   JSON bodies of `POST /api/<command>`, or the same values from the command line.
//! Goes out   replies that say what was done, what waits, who acts and what is next.
//! Never      a patient's name, number or birth date, except in replies made for that purpose
//!            (`find`, `show --page`), where they are `Phi`.

mod directory;
mod partners;
mod registrations;
mod submissions;
mod tables;

pub use directory::{DirectoryCommand, DirectoryFound, EndpointApproved, EndpointTold};
pub use partners::{PartnerCommand, PartnerRow, PartnersTold};
pub use registrations::{RegistrationCommand, RegistrationRow, RegistrationsTold};
pub use submissions::{SubmissionCommand, SubmissionRow, SubmissionsTold};
pub use tables::{
    MappedPayor, PayorCommand, PayorMapped, PayorsTold, RestrictionCommand, RestrictionsChanged,
    RestrictionsTold, WaitingPayor,
};

use crate::capability::Agreed;
use crate::disclosure::DecisionRow;
use crate::id::{Digest, PartnerId, Phi};
use crate::issue::Issue;
use crate::ledger::Who;
use crate::probe::Probe;
use crate::purpose::Purpose;
use crate::push::{Withholding, is_zero};
use crate::scope::Judged;
use crate::usability::Finding;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A command, as `{"command": "push", …}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Send an encounter, a report's results or a history (again): sending house. Answered when the trigger is durable, or, with
    /// `wait`, when nothing more will happen by itself or the seconds are over.
    Push {
        /// In the source: `Encounter/…` (or its id alone), `DiagnosticReport/…`, `Patient/…` or
        /// `Patient/…?since=2024-01-31`.
        #[serde(alias = "encounter")]
        subject: String,
        /// What for; absent: each agreement's first.
        #[serde(default)]
        purpose: Option<Purpose>,
        /// Who asks, in which role, why.
        who: Who,
        /// Seconds to wait for the end.
        #[serde(default)]
        wait: u32,
        /// As a bulk submission, whatever the agreement says of its kind.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        asynchronous: bool,
    },
    /// What would be sent, and why: sending house. Nothing is sent.
    Explain {
        /// As for a push.
        #[serde(alias = "encounter")]
        subject: String,
        /// What for.
        #[serde(default)]
        purpose: Option<Purpose>,
        /// Who looks.
        who: Who,
    },
    /// Encounters of the source: sending house.
    Find {
        /// Record number (an identifier's value, or `system|value`).
        #[serde(default)]
        record_number: Option<Phi<String>>,
        /// Encounters of this date (`2026-01-03`, also `2026-01`).
        #[serde(default)]
        date: Option<String>,
        /// Laboratory reports of the patient instead.
        #[serde(default)]
        results: bool,
        /// Who looks.
        who: Who,
    },
    /// Pushes or submissions, waiting ones first.
    List {
        /// Only in these states.
        #[serde(default)]
        states: Vec<String>,
        /// At most so many.
        #[serde(default)]
        limit: Option<u32>,
    },
    /// One push, trigger or submission: timeline, answer, way forward.
    Show {
        /// Its id, or the start of it.
        id: String,
        /// Also what was sent, for a reader who does not know FHIR.
        #[serde(default)]
        page: bool,
    },
    /// Let something held go on.
    Release {
        /// Its id, or the start of it.
        id: String,
        /// Who lets it go, why.
        who: Who,
        /// Receiving: file it for this member, whom a person has identified.
        #[serde(default)]
        member: Option<Phi<String>>,
    },
    /// Take a push back (sending), or refuse a held submission (receiving).
    Withdraw {
        /// Its id, or the start of it.
        id: String,
        /// Who, why (a wrong patient, a wrong plan).
        who: Who,
        /// Seconds to wait for the end.
        #[serde(default)]
        wait: u32,
    },
    /// How the watch stands: sending house.
    Watch {},
    /// What would stop a push today.
    Check {},
    /// Look at a payer's door step by step, without patient data: sending house.
    Probe {
        /// The partner's name in this house.
        partner: PartnerId,
    },
    /// Copy the house, as it is at one moment, into a new folder.
    Backup {
        /// The folder, by its whole path on the house's machine.
        folder: String,
    },
    /// Purge contents whose time, as the agreements have it, is over.
    Retention {
        /// Only count them.
        #[serde(default)]
        dry_run: bool,
    },
    /// Which payor of the chart leads to which partner: sending house.
    Payor(PayorCommand),
    /// What must not travel whatever an agreement says: sending house.
    Restriction(RestrictionCommand),
    /// Clients that registered by UDAP: receiving house.
    Registration(RegistrationCommand),
    /// Bulk submissions to payers: sending house.
    Submission(SubmissionCommand),
    /// The exchange with a partner as a whole.
    Partner(PartnerCommand),
    /// Payers' endpoints, as directories have them: sending house.
    Directory(DirectoryCommand),
    /// Take up changed keys, certificates and partners' files.
    Reload {},
    /// Prove the ledger.
    Verify {
        /// Roots that partners hold: they must be this ledger's.
        #[serde(default)]
        witness: Vec<KnownRoot>,
    },
}

impl Command {
    /// The name, as in the path of the API.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Push { .. } => "push",
            Command::Explain { .. } => "explain",
            Command::Find { .. } => "find",
            Command::List { .. } => "list",
            Command::Show { .. } => "show",
            Command::Release { .. } => "release",
            Command::Withdraw { .. } => "withdraw",
            Command::Watch {} => "watch",
            Command::Check {} => "check",
            Command::Probe { .. } => "probe",
            Command::Backup { .. } => "backup",
            Command::Retention { .. } => "retention",
            Command::Payor(_) => "payor",
            Command::Restriction(_) => "restriction",
            Command::Registration(_) => "registration",
            Command::Submission(_) => "submission",
            Command::Partner(_) => "partner",
            Command::Directory(_) => "directory",
            Command::Reload {} => "reload",
            Command::Verify { .. } => "verify",
        }
    }
}

/// A root of a ledger, as an acknowledgement gave it to a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownRoot {
    /// The last sequence it covers.
    pub sequence: u64,
    /// The Merkle root.
    pub root: Digest,
}

/// What a house answers to a command.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// To `push`, `release`, `withdraw`: where it stands.
    Pushed {
        /// The trigger, for `push` and `withdraw`.
        trigger: Option<String>,
        /// One row per payer; empty while the trigger has not been scoped.
        rows: Vec<Row>,
        /// Why the trigger itself waits.
        issues: Vec<IssueWords>,
        /// Coverages that the payor map or an agreement leaves alone.
        #[serde(default, skip_serializing_if = "is_zero")]
        left_alone: u64,
    },
    /// To `explain`: one per payer.
    Explained {
        /// Per payer: door, decisions.
        payers: Vec<Explained>,
        /// Coverages that lead to no payer, and the like.
        issues: Vec<IssueWords>,
        /// What became of every coverage of the patient, and what says so.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        coverages: Vec<Judged>,
    },
    /// To `find`.
    Found {
        /// Encounters, newest first.
        encounters: Vec<FoundEncounter>,
        /// Laboratory reports where those were asked for, newest first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reports: Option<Vec<FoundReport>>,
    },
    /// To `list`: waiting ones first.
    Listed {
        /// The rows.
        rows: Vec<Row>,
        /// How many there are per state, shown or not.
        counts: Vec<(String, u64)>,
    },
    /// To `show`.
    Shown(Box<Shown>),
    /// To `payor list`.
    Payors(PayorsTold),
    /// To `payor map`.
    PayorMapped(Box<PayorMapped>),
    /// To `restriction list`.
    Restrictions(RestrictionsTold),
    /// To `restriction add`, `import` and `remove`.
    RestrictionsChanged(RestrictionsChanged),
    /// To `registration`.
    Registrations(RegistrationsTold),
    /// To `submission`.
    Submissions(Box<SubmissionsTold>),
    /// To `partner`.
    Partners(PartnersTold),
    /// To `directory find`.
    DirectoryFound(Box<DirectoryFound>),
    /// To `directory approve`.
    EndpointApproved(EndpointApproved),
    /// To `check`: one line each.
    Checked {
        /// What was looked at and found.
        lines: Vec<CheckLine>,
    },
    /// To `watch`: one line each.
    Watch {
        /// The roster, those who are watched, those who wait.
        lines: Vec<CheckLine>,
    },
    /// To `probe`.
    Probed(Probe),
    /// To `backup`.
    BackedUp {
        /// Where it is.
        folder: String,
        /// All entries of the ledger up to this one are in it, and proved.
        proved_to: u64,
        /// Files of the configuration that lie outside of the house's folder, and are not in it.
        outside: Vec<String>,
    },
    /// To `retention`.
    Retained {
        /// One per partner whose agreement says how long.
        partners: Vec<RetainedRow>,
        /// Whether they were only counted.
        dry_run: bool,
    },
    /// To `db migrate` and `db check`, which no running house is asked: one line each.
    Store {
        /// What was done, or looked at and found.
        lines: Vec<CheckLine>,
    },
    /// To `reload`: one line each.
    Reloaded {
        /// What was taken up, and what was not.
        lines: Vec<CheckLine>,
    },
    /// To `verify`.
    Verified {
        /// All entries up to this sequence are proved by signed checkpoints.
        proved_to: u64,
        /// The last entry there is; later ones than `proved_to` are not yet proved.
        last: u64,
        /// Checkpoints read.
        checkpoints: u64,
        /// The first bad sequence and why, when the ledger does not verify.
        broken: Option<(u64, String)>,
    },
}

/// One push, trigger or submission in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its handle in this house: walk, trigger or submission id.
    pub id: String,
    /// `trigger`, `push` or `submission`.
    pub kind: String,
    /// The push's public id, or the submission's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The partner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<PartnerId>,
    /// `Encounter/…` in the source, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `sync` or `async`, as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// `due`, `held`, `settled`, …
    pub state: String,
    /// The acknowledgement's level, once settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// When the next attempt is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// How many resources travel or were filed.
    #[serde(default)]
    pub resources: u64,
    /// What was withheld, by rule.
    #[serde(default)]
    pub withheld: Vec<Withholding>,
    /// Why it waits, was withheld or refused.
    #[serde(default)]
    pub issues: Vec<IssueWords>,
    /// The walk that takes it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_by: Option<String>,
    /// The walk it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdraws: Option<String>,
    /// Of an unchanged one, where it was asked for by itself: the push that holds the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_on: Option<Standing>,
    /// When it last changed.
    pub changed: Timestamp,
}

/// The push whose content an unchanged one found again: what becomes of it becomes of both. Where it
/// waits for a person, its issues are the row's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its walk, for `show`, `release` and `withdraw`.
    pub id: String,
    /// Its public id.
    pub label: String,
    /// `due`, `held`, `settled`, …
    pub state: String,
    /// When it is tried or asked after again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

impl Row {
    /// Whether a person has work with it.
    pub fn waits_for_person(&self) -> bool {
        let held = |standing: &Standing| standing.state == "held";
        self.state == "held" || self.stands_on.as_ref().is_some_and(held)
    }
}

/// An issue with the fixed words of its code, so that every reader shows the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueWords {
    /// The case.
    #[serde(flatten)]
    pub issue: Issue,
    /// Who acts.
    pub who_acts: String,
    /// The next step.
    pub next: String,
}

impl From<&Issue> for IssueWords {
    fn from(issue: &Issue) -> IssueWords {
        let row = issue.code.row();
        let (who_acts, next) = (row.actor.to_string(), row.next.to_owned());
        IssueWords { issue: issue.clone(), who_acts, next }
    }
}

/// What would be sent to one payer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The payer.
    pub payer: PartnerId,
    /// The door, or why there is none.
    pub door: Result<Door, IssueWords>,
    /// What for.
    pub purpose: Purpose,
    /// Every resource, included or withheld, with rule.
    pub decisions: Vec<DecisionRow>,
    /// The content is the same as this push's: nothing would be sent.
    pub unchanged: Option<String>,
    /// What is not usable for the purpose, and who can mend it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Why the push would wait before it is sent: for a person, or for its record to be complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<IssueWords>,
    /// Why nothing of it may travel (any more), where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing: Option<IssueWords>,
    /// What earlier pushes filed at the payer and this one would take back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<TakenBack>,
}

/// A record that would be taken back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TakenBack {
    /// `Type/id` in the source; none for a Provenance of a push, or where its content was purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `Type/id` as it was sent to the payer.
    pub record: String,
}

/// A payer's door, as *route* found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// Base URL.
    pub base_url: String,
    /// `4.0`.
    pub version: String,
    /// `transaction`.
    pub form: String,
    /// `sync` or `async`.
    pub mode: String,
    /// Where the form is `best`: why no higher rung was taken, and how records are known again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<String>,
    /// What both sides speak, and why; none where the door was not asked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed: Option<Agreed>,
    /// How its address came to be used, where a directory named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Box<EndpointTold>>,
}

/// A laboratory report of the source, for a person to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundReport {
    /// `DiagnosticReport.id`.
    pub report: String,
    /// `Patient.id`.
    pub patient: String,
    /// `DiagnosticReport.status`.
    pub status: String,
    /// What was reported on, in words.
    pub what: String,
    /// Its day: `effective`, else `issued`.
    pub date: String,
}

/// An encounter of the source, for a person to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundEncounter {
    /// `Encounter.id`.
    pub encounter: String,
    /// `Patient.id`.
    pub patient: String,
    /// The patient's name.
    pub name: Phi<String>,
    /// Birth date.
    pub birth_date: Phi<String>,
    /// `finished`, …
    pub status: String,
    /// Class or type in words.
    pub what: String,
    /// `period.start`.
    pub start: String,
}

/// What was purged of a partner's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetainedRow {
    /// The partner.
    pub partner: PartnerId,
    /// Days its agreement has contents kept.
    pub days: u32,
    /// Pushes or submissions whose time is over.
    pub works: u64,
    /// Contents of record versions that went.
    pub versions: u64,
    /// Payloads, answers and the like that went.
    pub blobs: u64,
}

/// One push, trigger or submission in full.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shown {
    /// As in the list.
    pub row: Row,
    /// Who asked, in which role, why.
    pub who: Option<Who>,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineRow>,
    /// Every resource, included or withheld, with rule.
    pub decisions: Vec<DecisionRow>,
    /// What is not usable for the purpose, and who can mend it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The acknowledgement, as whoever triggered it got it.
    pub acknowledgement: Option<serde_json::Value>,
    /// Resources for the page, as sent or filed: JSON text.
    pub page: Option<Phi<Vec<String>>>,
}

/// One ledger line for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineRow {
    /// Sequence in the house's ledger.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// One sentence.
    pub what: String,
    /// Hash of the entry.
    pub hash: Digest,
}

/// One thing `check` looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckLine {
    /// What was looked at, for example `partner sunrise: certificate`.
    pub what: String,
    /// What is wrong; `None`: nothing.
    pub issue: Option<IssueWords>,
    /// What was found.
    pub found: String,
}

impl CheckLine {
    /// A line of what was looked at, and what was found or is wrong.
    pub fn of(what: impl Into<String>, looked: Result<String, Issue>) -> CheckLine {
        let (found, issue) = match looked {
            Ok(found) => (found, None),
            Err(issue) => (String::new(), Some(IssueWords::from(&issue))),
        };
        CheckLine { what: what.into(), issue, found }
    }
}
