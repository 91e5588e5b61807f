//! Tables: the words of the command line for the tables of payors and restrictions.
//!
//! Comes in   what a person typed after `payor` and `restriction`.
//! Goes out   the house's command.
//! Never      carries anything out.

use crate::args::{PurposeWord, WhoArgs, reason};
use clap::{ArgGroup, Args, Subcommand};
use exchange::desk::{Command, PayorCommand, RestrictionCommand};
use exchange::restriction::Restriction;
use exchange::scope::{PayorKey, PayorRow};
use exchange::{Code, Issue};
use jiff::Timestamp;
use jiff::civil::Date;
use std::path::PathBuf;

/// `payor`
#[derive(Debug, Subcommand)]
pub enum PayorAsked {
    /// Payors of the charts that nobody has mapped, each once, with what waits for them; and the
    /// rows there are.
    List {
        /// Why somebody looks.
        #[arg(long, default_value = "looking which payors wait", value_parser = reason)]
        why: String,
        /// Who asks.
        #[command(flatten)]
        who: WhoArgs,
    },
    /// Say where a payor leads, and let go on what waited for it.
    Map(Box<MapArgs>),
}

/// `payor map`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("whom").required(true).multiple(true)
    .args(["payor", "identifier", "reference", "name", "class", "member_id"])))]
#[command(group(ArgGroup::new("end").required(true).args(["partner", "none"])))]
pub struct MapArgs {
    /// A payor of `payor list`, by its key: named as the chart names it.
    pub payor: Option<String>,
    /// An identifier of the payor.
    #[arg(long, value_name = "SYSTEM|VALUE", conflicts_with = "payor")]
    pub identifier: Option<String>,
    /// Its id in the EHR.
    #[arg(long, value_name = "Organization/ID", conflicts_with = "payor")]
    pub reference: Option<String>,
    /// Its name in the EHR.
    #[arg(long, conflicts_with = "payor")]
    pub name: Option<String>,
    /// Only coverages of this class, such as a group or a plan.
    #[arg(long, value_name = "TYPE|VALUE")]
    pub class: Option<String>,
    /// Only member ids like this: # a digit, @ a letter, ? either, * anything at the end.
    #[arg(long, value_name = "PATTERN")]
    pub member_id: Option<String>,
    /// Only services from this day on.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub from: Option<Date>,
    /// Only services until this day.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub until: Option<Date>,
    /// The partner whose agreement counts.
    #[arg(long)]
    pub partner: Option<String>,
    /// Nobody is told, for this reason; coverages are counted and left alone.
    #[arg(long, value_name = "REASON")]
    pub none: Option<String>,
    /// Who is the payer in law, for people.
    #[arg(long, value_name = "NAME")]
    pub legal_payer: Option<String>,
    /// Who acts for it, for people.
    #[arg(long, value_name = "NAME")]
    pub delegate: Option<String>,
    /// Why.
    #[arg(long, value_parser = reason)]
    pub why: String,
    /// Who asks.
    #[command(flatten)]
    pub who: WhoArgs,
}

/// `restriction`
#[derive(Debug, Subcommand)]
pub enum RestrictionAsked {
    /// The rows there are, and how old they are.
    List,
    /// Add one: it counts from the next push on.
    Add {
        /// What must not travel: an Encounter with all that belongs to it, a Patient, or a single
        /// resource.
        #[arg(value_name = "TYPE/ID")]
        subject: String,
        /// A word for people: self-pay, patient-wish, consent, part-2-programme.
        #[arg(long)]
        reason: String,
        /// Only against this partner; may be repeated.
        #[arg(long = "payer", value_name = "NAME")]
        payers: Vec<String>,
        /// Not against this purpose; may be repeated.
        #[arg(long = "except-purpose", value_name = "PURPOSE")]
        except_purposes: Vec<PurposeWord>,
        /// Why.
        #[arg(long, value_parser = reason)]
        why: String,
        /// Who asks.
        #[command(flatten)]
        who: WhoArgs,
    },
    /// Add the rows of a file, all or none: CSV (subject,reason,payers,except_purposes), or TOML as
    /// the table is written.
    Import {
        /// The file.
        file: PathBuf,
        /// The file is all there is: rows that it lacks go.
        #[arg(long)]
        replace: bool,
        /// With --replace: the file may hold no row, or lack more than half of what a table of three or
        /// more restrictions keeps back. Look first whether the file is whole.
        #[arg(long, requires = "replace")]
        allow_shrink: bool,
        /// Until when its rows are known, where the file does not say so itself.
        #[arg(long, value_name = "TIME")]
        as_of: Option<Timestamp>,
        /// Why.
        #[arg(long, value_parser = reason)]
        why: String,
        /// Who asks.
        #[command(flatten)]
        who: WhoArgs,
    },
    /// Remove the rows about a subject.
    Remove {
        /// As `list` shows it.
        #[arg(value_name = "TYPE/ID")]
        subject: String,
        /// Only those with this reason.
        #[arg(long)]
        reason: Option<String>,
        /// Why.
        #[arg(long, value_parser = reason)]
        why: String,
        /// Who asks.
        #[command(flatten)]
        who: WhoArgs,
    },
}

/// The house's command.
pub fn payor(asked: PayorAsked) -> Command {
    Command::Payor(match asked {
        PayorAsked::List { why, who } => PayorCommand::List { who: who.person(why) },
        PayorAsked::Map(args) => {
            let row = PayorRow {
                identifier: args.identifier,
                reference: args.reference,
                name: args.name,
                class: args.class,
                member_id: args.member_id,
                from: args.from,
                until: args.until,
                partner: args.partner.map(|name| name.as_str().into()),
                legal_payer: args.legal_payer,
                delegate: args.delegate,
                none: args.none,
            };
            let (payor, who) = (args.payor.map(PayorKey), args.who.person(args.why));
            PayorCommand::Map { payor, row: Box::new(row), who }
        }
    })
}

/// The house's command.
///
/// Errors: `CommandInvalid` for a file without a path.
pub fn restriction(asked: RestrictionAsked) -> Result<Command, Issue> {
    Ok(Command::Restriction(match asked {
        RestrictionAsked::List => RestrictionCommand::List {},
        RestrictionAsked::Add { subject, reason, payers, except_purposes, why, who } => {
            let row = Restriction {
                subject,
                reason,
                payers: payers.iter().map(|name| name.as_str().into()).collect(),
                except_purposes: except_purposes.into_iter().map(Into::into).collect(),
            };
            RestrictionCommand::Add { row, who: who.person(why) }
        }
        RestrictionAsked::Import { file, replace, allow_shrink, as_of, why, who } => {
            let whole = std::path::absolute(&file).ok();
            let file = whole.and_then(|it| it.into_os_string().into_string().ok());
            let file = file.ok_or_else(|| {
                Issue::new(Code::CommandInvalid, "the file has no whole path").at("file")
            })?;
            let who = who.person(why);
            RestrictionCommand::Import { file, replace, allow_shrink, as_of, who }
        }
        RestrictionAsked::Remove { subject, reason, why, who } => {
            RestrictionCommand::Remove { subject, reason, who: who.person(why) }
        }
    }))
}
