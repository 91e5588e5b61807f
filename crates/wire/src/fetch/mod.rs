//! Fetch: manifests and files of NDJSON from a partner's file server.
//!
//! Comes in   URLs that a partner named, where in a file reading goes on, what goes with each request.
//! Goes out   a manifest's bytes; a file's lines, each with its number and offset; or a `Fault` that
//!            says whether it passes by itself.
//! Never      asks an origin that was not agreed on, an address of this house's own network, or a
//!            redirect's other origin; sends a token that was not given to it; holds more than some
//!            pieces of a file and one line in memory; waits between attempts, which is the caller's.
//!
//! Why lines and not files: a file has no bound that memory knows. What was read up to a line is
//! filed, and whoever reads goes on at the place behind it, in this process or the next.
//!
//! Bulk Data 4.0.0-ballot: Bulk Submit, "Manifest and File Security"; Bulk Data Output File Request.

mod access;
mod answer;
mod ask;
mod download;
mod edition;
mod fault;
mod oauth;
mod origins;
mod pieces;
mod split;

pub use access::{Access, FileHeaders};
pub use download::Download;
pub use edition::{Edition, Place};
pub use fault::Fault;
pub use oauth::OwnCredential;
pub use origins::{Origins, beside};
pub use split::{Line, TooLong};

use crate::clock::Clock;
use crate::limits::{
    DECODED_PER_ENCODED_MAX, FILE_BYTES_MAX, FILE_IDLE_MAX, LINE_BYTES_MAX, MANIFEST_BYTES_MAX,
};
use crate::transport::{self, HttpTransport, Lines};
use bytes::Bytes;
use exchange::Issue;
use std::sync::Arc;
use std::time::Duration;

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a manifest.
    pub manifest: u64,
    /// Bytes of one line.
    pub line: usize,
    /// Bytes of a file, decoded.
    pub file: u64,
    /// Decoded bytes for each that came, on average.
    pub ratio: u64,
    /// Time without a byte.
    pub idle: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            manifest: MANIFEST_BYTES_MAX,
            line: LINE_BYTES_MAX,
            file: FILE_BYTES_MAX,
            ratio: DECODED_PER_ENCODED_MAX,
            idle: FILE_IDLE_MAX,
        }
    }
}

/// Fetches from one partner's file servers. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher(Arc<Ways>);

/// What all requests to one partner share.
struct Ways {
    files: reqwest::Client,
    /// For what is small: metadata and tokens.
    documents: Arc<HttpTransport>,
    network: Option<crate::reach::Network>,
    origins: Origins,
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    timeout: Duration,
}

impl Fetcher {
    /// A fetcher over these lines, for these origins. The lines' timeout bounds a small exchange; a
    /// file may take as long as it brings bytes at a pace.
    ///
    /// Errors: `KeyUnusable`.
    pub fn over(
        lines: Lines<'_>,
        origins: Origins,
        clock: Arc<dyn Clock>,
        bounds: Bounds,
    ) -> Result<Fetcher, Issue> {
        let files = transport::builder(&lines)?.read_timeout(bounds.idle);
        Ok(Fetcher(Arc::new(Ways {
            files: transport::built(files)?,
            network: lines.network.cloned(),
            timeout: lines.timeout,
            documents: Arc::new(HttpTransport::over(lines)?),
            origins,
            clock,
            bounds,
        })))
    }

    /// A manifest, decoded: a JSON object, whatever is in it.
    pub async fn manifest(&self, url: &str, access: &Access) -> Result<Bytes, Fault> {
        let url = self.0.origins.agreed(url)?;
        let answer = self.0.document(&url, access).await?;
        pieces::whole(answer, self.0.bounds.manifest).await
    }

    /// A file's lines, from a place on.
    ///
    /// Errors: any fault of the first request; the download has those that come later.
    pub async fn open(&self, url: &str, access: &Access, from: Place) -> Result<Download, Fault> {
        let url = self.0.origins.agreed(url)?;
        Download::open(Arc::clone(&self.0), url, access.clone(), from).await
    }
}
