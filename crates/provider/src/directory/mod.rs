//! Directory: where a payer's door is said to be.
//!
//! Comes in   whom is sought: a payer's identifiers, its name, what the table of payers adds.
//! Goes out   what the directory holds about it, as a listing that `exchange::endpoint` chooses from.
//! Never      checks the door, and never chooses: that is *route*'s work and the rules', whatever
//!            directory named it.

pub mod configuration;
pub mod dump;
pub mod national;
pub mod pinned;

use crate::limits::{DIRECTORY_EXPIRES, DIRECTORY_MISSING, DIRECTORY_STALE};
use exchange::directory::{Standing, Vouched};
use exchange::endpoint::{Candidate, Listing, Sought, Wanted};
use exchange::partner::PublicFile;
use exchange::{Digest, Issue, PartnerId};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use wire::BoxFuture;

/// Types of what directories hold of endpoints; nothing else is kept of their answers.
const KINDS: [&str; 3] = ["Organization", "Endpoint", "OrganizationAffiliation"];

/// A place that knows endpoints.
pub trait Directory: Send + Sync {
    /// What it holds about a payer; nothing, where it does not know it.
    ///
    /// Errors: `DirectoryUnreachable` where nobody can tell.
    fn find<'a>(
        &'a self,
        sought: &'a Sought,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Listing, Issue>>;
}

/// Whether something that cannot be forged names the payer at an endpoint: signed metadata, or its
/// certificate. Answers `None` where nothing does.
pub trait Vouches: Send + Sync {
    /// Who vouches for the endpoint.
    fn vouches<'a>(
        &'a self,
        payer: &'a PublicFile,
        endpoint: &'a Candidate,
    ) -> BoxFuture<'a, Option<Vouched>>;
}

/// Nothing but the public file and people vouch.
pub struct Nobody;

impl Vouches for Nobody {
    fn vouches<'a>(
        &'a self,
        _: &'a PublicFile,
        _: &'a Candidate,
    ) -> BoxFuture<'a, Option<Vouched>> {
        Box::pin(async { None })
    }
}

/// One directory of a house's order.
#[derive(Clone)]
pub struct Named {
    /// As lists call it.
    pub name: String,
    /// The directory.
    pub directory: Arc<dyn Directory>,
    /// What of an endpoint is wanted of it.
    pub wanted: Wanted,
    /// Whether it is configuration of this house: its answers need no memory, and the public file
    /// vouches for them.
    pub pinned: bool,
    /// How long its answers hold.
    pub keeps: Keeps,
}

/// How long answers of a directory hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeps {
    /// One with an endpoint.
    pub found: SignedDuration,
    /// One without.
    pub missing: SignedDuration,
    /// How long beyond its time an endpoint is used while the directory is away.
    pub stale: SignedDuration,
}

impl Default for Keeps {
    fn default() -> Keeps {
        Keeps { found: DIRECTORY_EXPIRES, missing: DIRECTORY_MISSING, stale: DIRECTORY_STALE }
    }
}

/// A house's directories, in the order in which they are asked.
pub struct Directories {
    /// The order.
    pub order: Vec<Named>,
    /// The table of payers, which there may not be.
    pub crosswalk: Option<PathBuf>,
    /// What else vouches for endpoints.
    pub vouches: Arc<dyn Vouches>,
    known: Mutex<HashMap<PartnerId, Remembered>>,
    asking: Mutex<HashMap<PartnerId, Arc<tokio::sync::Mutex<()>>>>,
    stated: Mutex<HashMap<PartnerId, (String, Digest)>>,
}

/// A standing, as this process read or wrote it.
#[derive(Clone)]
pub(crate) struct Remembered {
    pub(crate) read: Timestamp,
    pub(crate) standing: Standing,
}

impl Directories {
    /// In this order.
    pub fn new(order: Vec<Named>) -> Directories {
        Directories {
            order,
            crosswalk: None,
            vouches: Arc::new(Nobody),
            known: Mutex::default(),
            asking: Mutex::default(),
            stated: Mutex::default(),
        }
    }

    /// The endpoints of the partners' public files, and nothing else.
    pub fn pinned(endpoints: BTreeMap<PartnerId, String>) -> Directories {
        Directories::new(vec![Named {
            name: "pinned".to_owned(),
            directory: Arc::new(pinned::Pinned(endpoints)),
            wanted: Wanted::default(),
            pinned: true,
            keeps: Keeps::default(),
        }])
    }

    /// The first one, where it is configuration: nothing else is ever asked.
    pub(crate) fn only_pinned(&self) -> Option<&Named> {
        self.order.first().filter(|first| first.pinned)
    }

    pub(crate) fn remembered(&self, payer: &PartnerId) -> Option<Remembered> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(payer).cloned()
    }

    pub(crate) fn remember(&self, read: Timestamp, standing: Standing) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(standing.payer.clone(), Remembered { read, standing });
    }

    pub(crate) fn forget(&self, payer: &PartnerId) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(payer);
    }

    /// One asks for a payer at a time; the others find what it found.
    pub(crate) async fn turn(&self, payer: &PartnerId) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(asking.entry(payer.clone()).or_default())
        };
        turn.lock_owned().await
    }

    /// Whether a statement is the one that was last noted by this process; it is from now on.
    pub(crate) fn is_noted(&self, payer: &PartnerId, endpoint: &str, digest: Digest) -> bool {
        let stated = self.stated.lock().unwrap_or_else(PoisonError::into_inner);
        stated.get(payer).is_some_and(|(at, known)| at == endpoint && *known == digest)
    }

    pub(crate) fn noted(&self, payer: &PartnerId, endpoint: &str, digest: Digest) {
        let mut stated = self.stated.lock().unwrap_or_else(PoisonError::into_inner);
        stated.insert(payer.clone(), (endpoint.to_owned(), digest));
    }
}
