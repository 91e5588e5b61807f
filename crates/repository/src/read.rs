//! Read: one record, one of its versions, or the list of them.
//!
//! Comes in   type, id, version.
//! Goes out   the resource as it is served, with what an ETag needs; a history Bundle.
//! Never      says of another partner's record more than of one that never was.

use crate::desk::{Desk, store_issue};
use crate::limits::{HISTORY_BYTES_MAX, HISTORY_CONTENTS_MAX};
use crate::serve::serve;
use crate::when;
use bytes::Bytes;
use exchange::{Code, Issue};
use fhir::{BundleType, BundleWriter, EntryToWrite, Method, ResponseToWrite};
use jiff::Timestamp;
use store::{House, Record};

/// A resource as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The bytes, with this house's version and time.
    pub bytes: Bytes,
    /// `meta.versionId`, also the ETag `W/"version"`.
    pub version: u64,
    /// `meta.lastUpdated`, also `Last-Modified`.
    pub last_updated: Timestamp,
}

impl Served {
    /// The ETag: `W/"version"` (R4 §3.1.0.1.3).
    pub fn etag(&self) -> String {
        format!("W/\"{}\"", self.version)
    }

    /// `Last-Modified` (RFC 9110 §5.6.7), which knows whole seconds only.
    pub fn last_modified(&self) -> String {
        self.last_updated.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

impl<H: House> Desk<'_, H> {
    /// A record's newest version.
    ///
    /// Errors: `ResourceUnknown`, `ResourceDeleted`, and those of the store.
    pub async fn read(&self, kind: &str, id: &str) -> Result<Served, Issue> {
        self.version(kind, id, None).await
    }

    /// A version of a record. Errors: as `read`.
    pub async fn vread(&self, kind: &str, id: &str, version: u64) -> Result<Served, Issue> {
        self.version(kind, id, Some(version)).await
    }

    async fn version(&self, kind: &str, id: &str, version: Option<u64>) -> Result<Served, Issue> {
        let record = self.house.record(kind, id, version).await.map_err(store_issue)?;
        let record = record.filter(|record| self.may_see(record)).ok_or_else(unknown)?;
        match serve(&record)? {
            Some(bytes) => {
                Ok(Served { bytes, version: record.version, last_updated: record.last_updated })
            }
            None if record.deleted => {
                Err(Issue::new(Code::ResourceDeleted, "this version says that it was withdrawn"))
            }
            None => Err(Issue::new(Code::StoreUnavailable, "a record's content is not there")),
        }
    }

    /// A record's history, newest version first (R4 §3.1.0.12): a Bundle of type `history`. The
    /// newest versions come with content, older ones as lines that can be read one by one.
    ///
    /// Errors: `ResourceUnknown`, and those of the store.
    pub async fn history(&self, kind: &str, id: &str) -> Result<Bytes, Issue> {
        let mut versions = self.house.history(kind, id, None, 1_000).await.map_err(store_issue)?;
        if !versions.first().is_some_and(|newest| self.may_see(newest)) {
            return Err(unknown());
        }
        let all = versions.iter().all(|version| self.may_see(version));
        versions.retain(|version| all || self.may_see(version));
        let mut bundle = BundleWriter::new(BundleType::History)
            .total(versions.len() as u64)
            .link("self", &format!("{}/{kind}/{id}/_history", self.base));
        let mut bytes = 0;
        for (place, head) in versions.iter().enumerate() {
            let mut content = None;
            if place < HISTORY_CONTENTS_MAX && bytes < HISTORY_BYTES_MAX && !head.deleted {
                let record = self.house.record(kind, id, Some(head.version)).await;
                content = record.map_err(store_issue)?.map(|record| serve(&record)).transpose()?;
            }
            let content = content.flatten();
            bytes += content.as_ref().map_or(0, Bytes::len);
            self.line(&mut bundle, head, versions.get(place + 1), content.as_deref());
        }
        Ok(bundle.finish().into())
    }

    /// One entry of a history: what was asked for, and what became of it.
    fn line(
        &self,
        bundle: &mut BundleWriter,
        head: &Record,
        before: Option<&Record>,
        content: Option<&[u8]>,
    ) {
        let (method, status) = match (head.deleted, before.is_none_or(|before| before.deleted)) {
            (true, _) => (Method::Delete, "204"),
            (false, true) => (Method::Put, "201"),
            (false, false) => (Method::Put, "200"),
        };
        let (url, path) = (self.full_url(head), format!("{}/{}", head.kind, head.id));
        let (etag, at) = (format!("W/\"{}\"", head.version), when::instant(head.last_updated));
        let response = ResponseToWrite {
            status,
            etag: Some(&etag),
            last_modified: Some(&at),
            ..ResponseToWrite::default()
        };
        bundle.entry(EntryToWrite {
            full_url: Some(&url),
            resource: content,
            request: Some((method, &path)),
            response: Some(response),
            ..EntryToWrite::default()
        });
    }
}

fn unknown() -> Issue {
    Issue::new(Code::ResourceUnknown, "there is no such record, or none that you may see")
}
