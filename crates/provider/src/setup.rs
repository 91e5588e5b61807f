//! Setup: what a sending house is told before it starts.
//!
//! Comes in   the configuration, read and checked by the front door.
//! Goes out   plain values.
//! Never      reads a file itself; `tables` reads those of restrictions and payors, which people
//!            change while the house runs.

use crate::carriage::Carriage;
use crate::watch::Watching;
use exchange::agreement::Terms;
use exchange::partner::PublicFile;
use exchange::{Digest, Issue, PartnerId, Purpose};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use wire::FhirClient;

/// Everything about one sending house.
pub struct Setup {
    /// Its name in words, as Provenance gives it.
    pub title: String,
    /// The URI derived ids are made with, frozen at `init`.
    pub namespace: String,
    /// The gateway's version.
    pub version: &'static str,
    /// The house's base URL, without a slash at its end: where payers fetch files.
    pub base_url: String,
    /// What URLs that nobody can guess are made with.
    pub file_secret: Digest,
    /// Payers, by name.
    pub payers: BTreeMap<PartnerId, Payer>,
    /// The table of restrictions (TOML); read before every *shape*.
    pub restrictions: PathBuf,
    /// Whom it watches; `None`: nobody.
    pub watch: Option<Watching>,
    /// How old that table may be; none: people keep it by hand, and it never grows old.
    pub feed: Option<Feed>,
    /// The table of payors (TOML); read before every *scope*. There may be none.
    pub payors: PathBuf,
    /// Partners that are known by name only, where agreements could not be read: tables may name them.
    pub named: Vec<PartnerId>,
    /// Called with the name of each durable point when it has been passed; does nothing but in
    /// the test that stops a house there.
    pub passed: fn(&'static str),
}

/// Where restrictions come from.
pub struct Feed {
    /// The file, or the folder of files, that another system writes: the newest one dates a table
    /// that has no `as_of` of its own.
    pub place: Option<PathBuf>,
    /// Beyond this age nothing is sent.
    pub max_age_hours: u32,
}

/// One payer this house pushes to.
pub struct Payer {
    /// Its public file.
    pub public: PublicFile,
    /// What was agreed.
    pub terms: Terms,
    /// Makes clients for its doors, signed in by this house's credential there.
    pub carriage: Arc<dyn Carriage>,
}

impl Payer {
    /// A client for its door at this base URL, signed in for one purpose: a token may serve no other.
    ///
    /// Errors: those of its carriage.
    pub fn client_for(&self, base_url: &str, purpose: Purpose) -> Result<FhirClient, Issue> {
        let client = self.carriage.client(base_url)?;
        Ok(client.for_purposes(&BTreeSet::from([purpose])))
    }
}
