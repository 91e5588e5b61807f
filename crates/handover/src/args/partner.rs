//! Partner: the words of the command line about partners and their doors.
//!
//! Comes in   what a person typed after `partner`, and `probe`.
//! Goes out   what is asked, by whom and why.
//! Never      reads a file: what a word names is read where it is carried out.

use super::{WhoArgs, identifier, reason};
use crate::suspended::Decided;
use clap::{Args, Subcommand};
use exchange::partner::PublicIdentifier;
use std::path::PathBuf;

/// `partner`
#[derive(Debug, Subcommand)]
pub enum PartnerAsked {
    /// Take a partner in, by its public file or by the URL of its door, and write a default agreement
    /// to be read and narrowed. With a URL: look at its certificate and documents, write its file,
    /// register there by UDAP where a community is shared, and probe; again whenever one likes.
    Add {
        /// The partner's public.json; for a payer whose server is no house of this program, a file
        /// with `name`, `role`, `title`, `base_url`, `authority` (PEM) and
        /// `foreign` = { `sign_in`: `smart` or, on loopback, `none`; `client_id`; `token_endpoint` }.
        /// Or the base URL of its door: <https://gateway.example.org/fhir>.
        #[arg(value_name = "FILE|URL")]
        file: PathBuf,
        /// With a URL.
        #[command(flatten)]
        door: DoorArgs,
    },
    /// The partners of this house, and with whom the exchange is suspended.
    List,
    /// Stop all exchange with a partner, at once: its tokens are refused, those it has too, and nothing
    /// is sent to it. Pushes wait.
    Suspend(Decided),
    /// Let the exchange with a suspended partner go on, and with it what has waited.
    Resume(Decided),
    /// Payer: clients that registered by UDAP, those that wait for a person first.
    Registrations,
    /// Payer: a client that registered by UDAP is this partner's, and may sign in.
    Approve {
        /// Its client id (or the start of it) or its URI, as `partner registrations` prints them.
        client: String,
        /// The partner whose it is.
        #[arg(long)]
        partner: String,
        /// How that is known.
        #[arg(long, value_parser = reason)]
        why: String,
        /// Who decides.
        #[command(flatten)]
        who: WhoArgs,
    },
    /// Payer: a client that registered by UDAP may not sign in; its tokens stop at once.
    Refuse {
        /// As for approve.
        client: String,
        /// Why.
        #[arg(long, value_parser = reason)]
        why: String,
        /// Who decides.
        #[command(flatten)]
        who: WhoArgs,
    },
}

/// `partner add URL`
#[derive(Debug, Args)]
pub struct DoorArgs {
    /// With a URL: the authority that the door's certificate comes from (PEM), as the partner gave it.
    #[arg(long, value_name = "FILE")]
    pub authority: Option<PathBuf>,
    /// With a URL: the partner's name in this house; its own or its host's when not given.
    #[arg(long)]
    pub name: Option<String>,
    /// With a URL: this house's client id there, where the server is of another make.
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// With a URL: an identifier by which coverages name the payer, where its door does not say it.
    #[arg(long = "payer-id", value_name = "SYSTEM|VALUE", value_parser = identifier)]
    pub payer_ids: Vec<PublicIdentifier>,
}

/// `probe`
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// The partner, by its name in this house.
    pub partner: String,
    /// Also write the report, as one would mail it, to this file (Markdown; JSON where its name ends
    /// in .json).
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}
