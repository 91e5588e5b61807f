//! Push: the words of the command line about what is sent.
//!
//! Comes in   what a person typed after `push` and `submission`.
//! Goes out   what is asked, by whom and why.
//! Never      reads a file: what a word names is read where it is carried out.

use super::{PurposeWord, WaitArgs, WhoArgs, reason};
use clap::{Args, Subcommand};
use exchange::Purpose;
use exchange::desk::SubmissionCommand;
use std::path::PathBuf;

/// `push`
#[derive(Debug, Subcommand)]
pub enum PushAsked {
    /// An encounter, to every payer of its patient.
    Encounter(PushArgs),
    /// A report with its results: the DiagnosticReport's id.
    Results(PushArgs),
    /// A patient's history, to every payer that covers the patient today: the Patient's id. Or those of
    /// all patients on a roster.
    History(HistoryArgs),
}

/// `push …`
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Its id in the source; `handover find` prints those of encounters and patients, with `--results`
    /// those of laboratory reports.
    pub id: String,
    /// How.
    #[command(flatten)]
    pub how: HowArgs,
}

/// `push history`
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The Patient's id in the source; `handover find` prints it.
    #[arg(required_unless_present = "roster")]
    pub id: Option<String>,
    /// All patients of this file instead: a line each, a Patient id of the EHR or a record number
    /// system|value. The house must be running.
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    pub roster: Option<PathBuf>,
    /// Nothing from before this day: 2024-01-31. Agreements may say less, never more.
    #[arg(long, value_name = "DATE")]
    pub since: Option<String>,
    /// How.
    #[command(flatten)]
    pub how: HowArgs,
}

/// How something is pushed, by whom and why.
#[derive(Debug, Args)]
pub struct HowArgs {
    /// Why.
    #[arg(long, default_value = "asked for by hand", value_parser = reason)]
    pub why: String,
    /// What for; each agreement's first purpose when not given.
    #[arg(long)]
    pub purpose: Option<PurposeWord>,
    /// As a bulk submission, whatever the agreement says of its kind: the payer fetches it, and answers
    /// later. It needs a section [bulk] in the agreement.
    #[arg(long = "async")]
    pub asynchronous: bool,
    /// Who asks.
    #[command(flatten)]
    pub who: WhoArgs,
    /// How long to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

impl HowArgs {
    /// What for, where that was said.
    pub fn purpose(&self) -> Option<Purpose> {
        self.purpose.map(Into::into)
    }
}

/// `submission`
#[derive(Debug, Subcommand)]
pub enum SubmissionAsked {
    /// Those there are, newest first.
    List {
        /// At most so many.
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
    },
    /// One of them, with its story.
    Show {
        /// Its id, or the start of it.
        id: String,
    },
    /// Stop it, before the payer knows that it is complete: the payer deletes what it has loaded, and
    /// the pushes wait for a person.
    Stop {
        /// Its id, or the start of it.
        id: String,
        /// Why.
        #[arg(long, value_parser = reason)]
        why: String,
        /// Who decides.
        #[command(flatten)]
        who: WhoArgs,
    },
    /// All its pushes that wait for a person go on, as `release` has one go on.
    Release {
        /// Its id, or the start of it.
        id: String,
        /// Why.
        #[arg(long, value_parser = reason)]
        why: String,
        /// Who decides.
        #[command(flatten)]
        who: WhoArgs,
    },
}

impl From<SubmissionAsked> for SubmissionCommand {
    fn from(asked: SubmissionAsked) -> SubmissionCommand {
        match asked {
            SubmissionAsked::List { limit } => SubmissionCommand::List { limit },
            SubmissionAsked::Show { id } => SubmissionCommand::Show { id },
            SubmissionAsked::Stop { id, why, who } => {
                SubmissionCommand::Stop { id, who: who.person(why) }
            }
            SubmissionAsked::Release { id, why, who } => {
                SubmissionCommand::Release { id, who: who.person(why) }
            }
        }
    }
}
