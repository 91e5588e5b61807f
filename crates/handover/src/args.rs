//! Args: the words of the command line.
//!
//! Comes in   what a person typed.
//! Goes out   one `Asked`, with the house's folder and the form of the answer.
//! Never      carries anything out.

mod export;
mod partner;
mod push;

pub use export::ExportArgs;
pub use partner::{DoorArgs, PartnerAsked, ProbeArgs};
pub use push::{HistoryArgs, HowArgs, PushArgs, PushAsked, SubmissionAsked};

use crate::community::CommunityAsked;
use crate::directory::DirectoryAsked;
use crate::keys::KeysAsked;
use crate::tables::{PayorAsked, RestrictionAsked};
use clap::{Args, Parser, Subcommand, ValueEnum};
use exchange::desk::KnownRoot;
use exchange::partner::PublicIdentifier;
use exchange::{Purpose, Who};
use sim::payer::Planned;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Pushes clinical data from a provider to a payer, with an acknowledgement.
#[derive(Debug, Parser)]
#[command(name = "handover", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct CommandLine {
    /// Folder of the house; $HANDOVER_HOUSE or the current folder when not given.
    #[arg(long, global = true, value_name = "FOLDER")]
    pub house: Option<PathBuf>,
    /// Answer as JSON, failures as {"issue": …}.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub asked: Asked,
}

const AFTER_HELP: &str = "\
Exit code: 0 done, 1 done but something waits for a person, 2 could not.
HANDOVER_LOG=info (or debug) writes what happens to stderr; no patient is ever in it.
First steps: `handover demo`.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Asked {
    /// Two hospitals, two plans, invented patients: see it work.
    Demo(DemoArgs),
    /// Make a new house: commented configuration, keys, a private certificate authority.
    Init(InitArgs),
    /// Partners of this house.
    #[command(subcommand)]
    Partner(PartnerAsked),
    /// Trust communities (UDAP) that houses found between themselves.
    #[command(subcommand)]
    Community(CommunityAsked),
    /// What would stop a push today.
    Check,
    /// A payer's door, step by step, without patient data: what works, what does not, who mends it.
    Probe(ProbeArgs),
    /// Patients on the roster: how many, last look, who waits and why.
    Watch,
    /// Open the doors and work until told to stop.
    Serve(ServeArgs),
    /// Send what belongs to something in the chart.
    #[command(subcommand)]
    Push(PushAsked),
    /// Bulk submissions to payers: provider.
    #[command(subcommand)]
    Submission(SubmissionAsked),
    /// Show what would be sent and why; nothing is sent.
    #[command(subcommand)]
    Explain(ExplainAsked),
    /// Look encounters up in the source.
    Find(FindArgs),
    /// Pushes or submissions, waiting ones first.
    List(ListArgs),
    /// One push, trigger or submission: timeline, answer, way forward.
    Show(ShowArgs),
    /// Let something held go on.
    Release(ReleaseArgs),
    /// Take a push back, or refuse a held submission.
    Withdraw(WithdrawArgs),
    /// Which payor of the charts leads to which partner.
    #[command(subcommand)]
    Payor(PayorAsked),
    /// What must not travel, whatever an agreement says.
    #[command(subcommand)]
    Restriction(RestrictionAsked),
    /// Payers' endpoints, as directories have them.
    #[command(subcommand)]
    Directory(DirectoryAsked),
    /// The record of what happened.
    #[command(subcommand)]
    Ledger(LedgerAsked),
    /// Copy the house, as it is now, into a new folder; it may be running.
    Backup(BackupArgs),
    /// Rebuild a house from a backup, in a folder that holds nothing but its private keys.
    Restore(RestoreArgs),
    /// The store's own house-keeping.
    #[command(subcommand)]
    Db(DbAsked),
    /// Contents whose agreed time is over.
    #[command(subcommand)]
    Retention(RetentionAsked),
    /// Keys and certificates: list, announce, rotate, retire, ask for a certificate.
    #[command(subcommand)]
    Keys(KeysAsked),
    /// Let the running house take up changed keys, certificates and partners' files.
    Reload,
    /// Fetch what a server gives its readers by $export into a folder; needs no house.
    Export(Box<ExportArgs>),
    /// Print a short-lived access token of the operator, for curl.
    Token,
    /// Invented systems to try things out with.
    #[command(subcommand)]
    Sim(SimAsked),
}

/// Who asks, and why: recorded in the ledger.
#[derive(Debug, Clone, Args)]
pub struct WhoArgs {
    /// Who asks; the user of the operating system when not given.
    #[arg(long)]
    pub who: Option<String>,
    /// In which role: clinician, staff, privacy-officer, …
    #[arg(long, default_value = "staff")]
    pub role: String,
}

impl WhoArgs {
    /// Who asks, and why: as given, else the user of the operating system.
    pub fn person(self, why: String) -> Who {
        let user = || std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok();
        let name = self.who.or_else(user).unwrap_or_else(|| "unknown".to_owned());
        Who { name, role: self.role, why }
    }
}

/// Why something is done: whoever reads the ledger one day wants to know, and blanks tell nobody.
pub(crate) fn reason(typed: &str) -> Result<String, String> {
    match typed.trim() {
        "" => Err("say why in a few words".to_owned()),
        _ => Ok(typed.to_owned()),
    }
}

/// How long to wait for the end.
#[derive(Debug, Clone, Args)]
pub struct WaitArgs {
    /// Wait up to so many seconds for the payers' acknowledgements: 30 where nothing else is said, and for
    /// a roster until the end.
    #[arg(long, value_name = "SECONDS")]
    pub wait: Option<u32>,
    /// Answer as soon as it is recorded durably.
    #[arg(long, conflicts_with = "wait")]
    pub no_wait: bool,
}

impl WaitArgs {
    /// Seconds.
    pub fn seconds(&self) -> u32 {
        self.said().unwrap_or(30)
    }

    /// Seconds, where a person said so.
    pub fn said(&self) -> Option<u32> {
        if self.no_wait { Some(0) } else { self.wait }
    }
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Real charts instead of invented ones: a folder of FHIR Bundles or NDJSON.
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// How many patients: of each hospital, or of the folder.
    #[arg(long, value_name = "N")]
    pub patients: Option<usize>,
    /// Where to keep the houses; a new folder for temporary files when not given.
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
    /// With --data: restrict every so-many-eth encounter of each patient.
    #[arg(long, value_name = "N", requires = "data")]
    pub restrict_every: Option<usize>,
}

/// `init`
#[derive(Debug, Args)]
pub struct InitArgs {
    /// What the house does: a provider sends, a payer receives.
    pub role: RoleWord,
    /// The new folder.
    pub folder: PathBuf,
    /// Short name: letters, digits, `-`; the folder's name when not given.
    #[arg(long)]
    pub name: Option<String>,
    /// Name in words.
    #[arg(long)]
    pub title: Option<String>,
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Host names and addresses partners reach it by; the first one stands in its base URL.
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// The URI its derived ids are made with, once and for all.
    #[arg(long, value_name = "URI")]
    pub namespace: Option<String>,
    /// Payer: an identifier by which Coverages name it.
    #[arg(long = "payer-id", value_name = "SYSTEM|VALUE", value_parser = identifier)]
    pub payer_ids: Vec<PublicIdentifier>,
    /// Provider: FHIR base URL of the EHR.
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
}

/// A role, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleWord {
    /// The sending house.
    Provider,
    /// The receiving house.
    Payer,
}

/// `serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where this process listens, instead of where `house.toml` says: several processes on one
    /// machine can share a house that lies in a database server.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Stop when the standard input ends, so that the process never outlives the one before it.
    #[arg(long, hide = true)]
    pub tethered: bool,
}

/// `explain`
#[derive(Debug, Subcommand)]
pub enum ExplainAsked {
    /// An encounter.
    Encounter(ExplainArgs),
    /// A report with its results.
    Results(ExplainArgs),
    /// A patient's history.
    History {
        /// As for the others.
        #[command(flatten)]
        explain: ExplainArgs,
        /// Nothing from before this day: 2024-01-31.
        #[arg(long, value_name = "DATE")]
        since: Option<String>,
    },
}

/// `explain …`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Its id in the source.
    pub id: String,
    /// Why somebody looks.
    #[arg(long, default_value = "looking before a push", value_parser = reason)]
    pub why: String,
    /// What for.
    #[arg(long)]
    pub purpose: Option<PurposeWord>,
    /// Who asks.
    #[command(flatten)]
    pub who: WhoArgs,
}

/// `find`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("by").required(true).args(["record_number", "date"])))]
pub struct FindArgs {
    /// Record number of the patient: an identifier's value, or SYSTEM|VALUE.
    #[arg(long, value_name = "NUMBER")]
    pub record_number: Option<String>,
    /// Encounters of this day or month: 2026-01-03, 2026-01.
    #[arg(long)]
    pub date: Option<String>,
    /// The patient's laboratory reports instead of encounters: their ids are for `push results`.
    #[arg(long, requires = "record_number", conflicts_with = "date")]
    pub results: bool,
    /// Why somebody looks.
    #[arg(long, default_value = "looking for something to push", value_parser = reason)]
    pub why: String,
    /// Who asks.
    #[command(flatten)]
    pub who: WhoArgs,
}

/// `list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only these: due, submitted, held, settled, withheld, refused, superseded, unchanged, withdrawn, filed.
    #[arg(long = "state", value_name = "STATE")]
    pub states: Vec<String>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

/// `show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The id from `handover list`, or the start of it; or Encounter/ID (DiagnosticReport/ID, Patient/ID), for its newest push.
    pub id: String,
    /// What was sent or filed, as one page for a reader who does not know FHIR.
    #[arg(long, value_name = "FORM", num_args = 0..=1, default_missing_value = "text")]
    pub page: Option<PageForm>,
}

/// The form of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PageForm {
    /// Plain text.
    Text,
    /// One self-contained HTML document.
    Html,
}

/// `release`
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The id, or the start of it; or Encounter/ID (DiagnosticReport/ID, Patient/ID), for its newest push.
    pub id: String,
    /// Why it may go on.
    #[arg(long, value_parser = reason)]
    pub why: String,
    /// Payer: file it for this member, whom a person has identified.
    #[arg(long, value_name = "MEMBER-ID")]
    pub member: Option<String>,
    /// Who asks.
    #[command(flatten)]
    pub who: WhoArgs,
    /// How long to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `withdraw`
#[derive(Debug, Args)]
pub struct WithdrawArgs {
    /// The id, or the start of it; or Encounter/ID (DiagnosticReport/ID, Patient/ID), for its newest push.
    pub id: String,
    /// Why: a wrong patient, a wrong plan.
    #[arg(long, value_parser = reason)]
    pub why: String,
    /// Who asks.
    #[command(flatten)]
    pub who: WhoArgs,
    /// How long to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `ledger`
#[derive(Debug, Subcommand)]
pub enum LedgerAsked {
    /// Prove it by its signed checkpoints and the anchor beside its key.
    Verify {
        /// A root that a partner holds (`payer_ledger` of its acknowledgement); may be repeated.
        #[arg(long, value_name = "SEQ:ROOT", value_parser = known_root)]
        witness: Vec<KnownRoot>,
    },
}

/// `backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The new folder; private keys are not in it, keep them elsewhere.
    pub folder: PathBuf,
}

/// `restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup.
    pub folder: PathBuf,
    /// Restore into the database server that the `[database]` table of the backup's house.toml
    /// names; without it the house comes back as one in its folder.
    #[arg(long)]
    pub database: bool,
}

/// `db`
#[derive(Debug, Subcommand)]
pub enum DbAsked {
    /// Bring the store up to this version; cut off, the next run goes on where it was.
    Migrate,
    /// Look at every page, every content and every line; the house may be running.
    Check,
}

/// `retention`
#[derive(Debug, Subcommand)]
pub enum RetentionAsked {
    /// Purge what the agreements' [retention] says; a running house does so every day.
    Run {
        /// Only count.
        #[arg(long)]
        dry_run: bool,
    },
}

/// `sim`
#[derive(Debug, Subcommand)]
pub enum SimAsked {
    /// A small EHR with invented patients, or with charts of a folder.
    Ehr(SimEhrArgs),
    /// A payer's FHIR server that is no house: one of eight kinds, with faults where wanted.
    Payer(SimPayerArgs),
}

/// `sim ehr`
#[derive(Debug, Args)]
pub struct SimEhrArgs {
    /// Where it writes its authority, the plans' member files and the restrictions.
    pub folder: PathBuf,
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9443")]
    pub listen: SocketAddr,
    /// Charts of a folder instead of invented ones.
    #[arg(long, value_name = "FOLDER", conflicts_with = "seed")]
    pub data: Option<PathBuf>,
    /// Which invented town.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many patients.
    #[arg(long, value_name = "N")]
    pub patients: Option<usize>,
    /// How many health plans the patients are members of.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub plans: usize,
    /// How much of FHIR it offers.
    #[arg(long, value_enum, default_value_t = SimEhrMode::Full)]
    pub mode: SimEhrMode,
    /// Public files of the gateways that may read.
    #[arg(long = "client", value_name = "FILE", required = true)]
    pub clients: Vec<PathBuf>,
    /// Stop when the standard input ends.
    #[arg(long, hide = true)]
    pub tethered: bool,
}

/// `sim payer`
#[derive(Debug, Args)]
pub struct SimPayerArgs {
    /// Where it writes the file for `partner add` (public.json), its authority, and at its end what
    /// has arrived (arrived.json).
    pub folder: PathBuf,
    /// What it can do: put-refused, conditional-refused, batch-only, post-only, single-only,
    /// collection-only, strict, silent.
    #[arg(long)]
    pub profile: String,
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9543")]
    pub listen: SocketAddr,
    /// What goes wrong at which request: write:2=hang, read:1-3=html, statement:1-=server-error,
    /// write:1=too-many-requests/30; may be repeated. Requests are statement, token, read or write;
    /// faults are server-error, server-error-stored, hang, hang-stored, cut-before-body,
    /// cut-after-body, too-many-requests, html, broken-json, wrong-json, answered-twice,
    /// answered-before, slow, drip, accepted, accepted-unstored.
    #[arg(long = "fault", value_name = "REQUESTS=FAULT")]
    pub faults: Vec<Planned>,
    /// Keep what is written, content and all, in kept.ndjson of the folder: the next start has it again,
    /// however this one ends.
    #[arg(long)]
    pub keep: bool,
    /// How a Coverage names this payer.
    #[arg(long = "payer-id", value_name = "SYSTEM|VALUE", value_parser = identifier)]
    pub payer_ids: Vec<PublicIdentifier>,
    /// Public files of the gateways that may sign in; without any it has no TLS and no sign-in.
    #[arg(long = "client", value_name = "FILE")]
    pub clients: Vec<PathBuf>,
    /// Stop when the standard input ends.
    #[arg(long, hide = true)]
    pub tethered: bool,
}

/// How much of FHIR the small EHR offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SimEhrMode {
    /// Any search, history, versions.
    Full,
    /// What US Core 6.1.0 says a server SHALL do, with small pages, odd references, 429s and 503s.
    CertifiedMinimum,
}

/// A purpose, as typed: the code, or its everyday name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PurposeWord {
    /// HPAYMT
    #[value(alias = "HPAYMT")]
    Payment,
    /// HOPERAT
    #[value(alias = "HOPERAT")]
    Operations,
    /// TREAT
    #[value(alias = "TREAT")]
    Treatment,
    /// COVERAGE
    #[value(alias = "COVERAGE")]
    Coverage,
    /// HQUALIMP
    #[value(alias = "HQUALIMP")]
    Quality,
}

impl From<PurposeWord> for Purpose {
    fn from(word: PurposeWord) -> Purpose {
        match word {
            PurposeWord::Payment => Purpose::Payment,
            PurposeWord::Operations => Purpose::Operations,
            PurposeWord::Treatment => Purpose::Treatment,
            PurposeWord::Coverage => Purpose::Coverage,
            PurposeWord::Quality => Purpose::Quality,
        }
    }
}

fn known_root(text: &str) -> Result<KnownRoot, String> {
    let parts = text.split_once(':');
    let read = parts.and_then(|(sequence, root)| {
        Some(KnownRoot { sequence: sequence.parse().ok()?, root: root.parse().ok()? })
    });
    read.ok_or_else(|| "write it as SEQ:ROOT, the root in 64 hexadecimal digits".to_owned())
}

fn identifier(text: &str) -> Result<PublicIdentifier, String> {
    match text.split_once('|') {
        Some((system, value)) if !system.is_empty() && !value.is_empty() => {
            Ok(PublicIdentifier { system: system.to_owned(), value: value.to_owned() })
        }
        _ => Err("write it as SYSTEM|VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    //! Goal: the command line is consistent, and reads what people type.

    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn what_people_type_is_understood_or_refused() {
        let table: [(&str, bool); 40] = [
            ("handover demo", true),
            ("handover --json list", true),
            ("handover list --json --house x", true),
            ("handover push encounter e1", true),
            ("handover push results r1 --purpose treatment", true),
            ("handover push history p1 --since 2024-01-31", true),
            ("handover push encounter e1 --since 2024-01-31", false),
            ("handover explain history p1 --since 2024-01-31", true),
            ("handover push encounter e1 --purpose HPAYMT", true),
            ("handover push encounter e1 --purpose quality --no-wait", true),
            ("handover push encounter e1 --no-wait --wait 3", false),
            ("handover find", false),
            ("handover find --date 2026-01", true),
            ("handover find --record-number 1 --results", true),
            ("handover find --date 2026-01 --results", false),
            ("handover release r", false),
            ("handover show x --page html", true),
            ("handover init payer sun --payer-id urn:oid:1|99001", true),
            ("handover init payer sun --payer-id 99001", false),
            ("handover ledger forget", false),
            ("handover backup there", true),
            ("handover restore", false),
            ("handover sim payer p --profile strict --fault write:2=hang", true),
            ("handover sim payer p --profile strict --fault write:2=rain", false),
            ("handover sim payer p --profile strict --fault write:3-1=hang", false),
            ("handover sim payer p", false),
            ("handover db migrate", true),
            ("handover db forget", false),
            ("handover retention run --dry-run", true),
            ("handover payor list", true),
            ("handover payor map 0123456789ab --partner sun --why x", true),
            (
                "handover payor map --name Sun --class G-1 --from 2025-01-01 --none paper --why x",
                true,
            ),
            ("handover payor map --name Sun --partner sun", false),
            ("handover payor map --partner sun --why x", false),
            ("handover payor map --name Sun --partner sun --none paper --why x", false),
            ("handover payor map 0123456789ab --name Sun --partner sun --why x", false),
            ("handover restriction add Encounter/e1 --reason self-pay --why asked", true),
            ("handover restriction add Encounter/e1 --why asked", false),
            ("handover restriction import f.csv --as-of 2026-11-22T06:00:00Z --why daily", true),
            ("handover restriction remove Encounter/e1", false),
        ];
        for (line, good) in table {
            let read = CommandLine::try_parse_from(line.split(' '));
            assert_eq!(read.is_ok(), good, "{line}");
        }
    }
}
