//! Suspended: the exchange with a partner as a whole is stopped, and goes on.
//!
//! Comes in   what a person decides about a partner.
//! Goes out   a line and a row; the gate closed at once; pushes released at the end of it.
//! Never      a suspension of somebody whom this house does not know.

use crate::args::{PartnerAsked, WhoArgs, reason};
use crate::config;
use crate::house::{Desk, Opened};
use clap::Args;
use exchange::desk::{CheckLine, Command, PartnerCommand, PartnerRow, PartnersTold};
use exchange::{Code, Issue, PartnerId};
use repository::suspensions;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use wire::Gate;

/// What a person decides about a partner as a whole.
#[derive(Debug, Args)]
pub struct Decided {
    /// The partner, by its name in this house.
    pub partner: String,
    /// Why.
    #[arg(long, value_parser = reason)]
    pub why: String,
    /// Who decides.
    #[command(flatten)]
    pub who: WhoArgs,
}

/// What was asked about partners as a whole; none where it is about something else.
pub fn command(asked: &PartnerAsked) -> Option<Command> {
    Some(Command::Partner(match asked {
        PartnerAsked::List => PartnerCommand::List {},
        PartnerAsked::Suspend(Decided { partner, why, who }) => PartnerCommand::Suspend {
            partner: partner.as_str().into(),
            who: who.clone().person(why.clone()),
        },
        PartnerAsked::Resume(Decided { partner, why, who }) => PartnerCommand::Resume {
            partner: partner.as_str().into(),
            who: who.clone().person(why.clone()),
        },
        _ => return None,
    }))
}

/// The same gate, which asks with every request.
pub fn at_the_gate(opened: &Opened, gate: Gate) -> Gate {
    let suspensions = Arc::clone(&opened.suspensions);
    gate.with_suspended(Arc::new(move |partner| suspensions.is_known(partner)))
}

/// Carries a command out.
///
/// Errors: `PartnerUnknown`, those of the store.
pub async fn carry_out(opened: &Opened, command: PartnerCommand) -> Result<PartnersTold, Issue> {
    match command {
        PartnerCommand::List {} => {}
        PartnerCommand::Suspend { partner, who } => {
            check_known(&opened.config, &partner)?;
            opened.suspensions.say(&partner, true, &who, opened.clock.now()).await?;
        }
        PartnerCommand::Resume { partner, who } => {
            check_known(&opened.config, &partner)?;
            opened.suspensions.say(&partner, false, &who, opened.clock.now()).await?;
            match &opened.desk {
                Desk::Provider { road, wake, .. } => {
                    road.release_resumed(&partner, &who).await?;
                    wake.notify_one();
                }
                Desk::Payer { road, .. } => road.resume_received(&partner).await?,
            }
        }
    }
    told(opened).await
}

fn check_known(config: &config::House, partner: &PartnerId) -> Result<(), Issue> {
    if config.partners.contains_key(partner) || config.unread.contains(partner) {
        return Ok(());
    }
    Err(Issue::new(Code::PartnerUnknown, "no partner of this house has this name").at("partner"))
}

async fn told(opened: &Opened) -> Result<PartnersTold, Issue> {
    let rows = opened.suspensions.rows().await?.into_iter();
    let mut said: BTreeMap<_, _> =
        rows.map(|(row, one)| (one.partner.clone(), (row.changed, one))).collect();
    let config = &opened.config;
    let row = |(name, title): (&PartnerId, &str)| {
        let suspended = said.remove(name).filter(|(_, one)| one.suspended);
        let (since, suspended) = suspended.map(|(since, one)| (since, one.who)).unzip();
        let (title, agreed) = (title.to_owned(), config.terms.contains_key(name));
        PartnerRow { partner: name.clone(), title, agreed, suspended, since }
    };
    let known = config.partners.iter().map(|(name, public)| (name, public.title.as_str()));
    let unread = config.unread.iter().map(|name| (name, ""));
    Ok(PartnersTold { rows: known.chain(unread).map(row).collect() })
}

/// A line of `check` for each partner that is suspended.
///
/// Errors: those of the store.
pub async fn lines(opened: &Opened) -> Result<Vec<CheckLine>, Issue> {
    let told = told(opened).await?;
    let suspended = told.rows.into_iter().filter(|row| row.suspended.is_some());
    let line = |row: PartnerRow| {
        CheckLine::of(format!("partner {}: exchange", row.partner), Err(suspensions::suspended()))
    };
    Ok(suspended.map(line).collect())
}

/// One line per partner, and why it is suspended.
pub fn text(told: &PartnersTold) -> String {
    let mut text = String::new();
    for row in &told.rows {
        let word = match (row.suspended.is_some(), row.agreed) {
            (true, _) => "suspended",
            (false, true) => "agreed",
            (false, false) => "no agreement",
        };
        // A text cannot refuse to be written to.
        let _ = writeln!(text, "{}  {word}  {}", row.partner, row.title);
        if let (Some(who), Some(since)) = (&row.suspended, row.since) {
            let _ = writeln!(text, "  since {since:.0} by {}: {}", who.name, who.why);
        }
    }
    if text.is_empty() { "this house knows no partner yet\n".to_owned() } else { text }
}
