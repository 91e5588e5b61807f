//! Export: the words of the command line about fetching what a house gives its readers.
//!
//! Comes in   what a person typed after `export`.
//! Goes out   what is asked for, where, and as whom.
//! Never      reads a file: what a word names is read where it is carried out.

use clap::Args;
use std::path::PathBuf;

/// `export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Base URL of the server, such as <https://gateway.example.org/fhir>.
    pub url: String,
    /// Folder for the files. Run again with it, what was begun there goes on.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// The client id with which this reader signs in (SMART Backend Services).
    #[arg(long, value_name = "ID")]
    pub client_id: String,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The authority that the server's certificate comes from (PEM).
    #[arg(long, value_name = "FILE")]
    pub authority: Option<PathBuf>,
    /// Scopes to ask for.
    #[arg(long, default_value = "system/*.rs")]
    pub scope: String,
    /// Only the members of this Group.
    #[arg(long, value_name = "ID", conflicts_with = "patients")]
    pub group: Option<String>,
    /// Only what is about Patients.
    #[arg(long)]
    pub patients: bool,
    /// Only these Patients; may be repeated.
    #[arg(long = "patient", value_name = "Patient/ID")]
    pub patient: Vec<String>,
    /// Only these types.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub types: Vec<String>,
    /// Only what changed after this instant: a `transactionTime`, for what came since that export.
    #[arg(long, value_name = "INSTANT")]
    pub since: Option<String>,
    /// Only what changed before this instant.
    #[arg(long, value_name = "INSTANT")]
    pub until: Option<String>,
    /// Only these elements, and those that are mandatory.
    #[arg(long, value_name = "ELEMENT", value_delimiter = ',')]
    pub elements: Vec<String>,
    /// Of this type, only what this search finds: `Observation?category=laboratory`; may be repeated.
    #[arg(long = "type-filter", value_name = "TYPE?QUERY")]
    pub filters: Vec<String>,
    /// Each Patient's records together.
    #[arg(long)]
    pub by_patient: bool,
    /// Another origin from which the server gives files, such as <https://files.example.org>.
    #[arg(long = "files-at", value_name = "URL")]
    pub files_at: Vec<String>,
    /// Leave the export on the server when all is fetched.
    #[arg(long)]
    pub keep: bool,
}
