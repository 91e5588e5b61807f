//! Read: one record, one of its versions, or the list of them.
//!
//! Comes in   type, id, version; for the list `_count` and `_since`.
//! Goes out   the resource as it is served, with what an ETag needs; a history Bundle.
//! Never      says of another partner's record more than of one that never was.

use crate::desk::{Desk, store_issue};
use crate::limits::{HISTORY_RECORDS_MAX, PAGE_BYTES_MAX};
use crate::paging::Paging;
use crate::search::{invalid, unsupported};
use crate::serve::serve_record;
use crate::when;
use bytes::Bytes;
use exchange::query::{Ask, Handling};
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

    /// `Last-Modified`.
    pub fn last_modified(&self) -> String {
        http_date(self.last_updated)
    }
}

/// A time as HTTP headers have it (RFC 9110 §5.6.7): whole seconds only.
pub fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// What an ask is answered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// One version of one record.
    One(Served),
    /// A Bundle: a page of a list.
    List(Bytes),
}

impl<H: House> Desk<'_, H> {
    /// Answers whatever a caller asks to read.
    ///
    /// Errors: those of `read`, `vread`, `history`, `search` and `everything`;
    /// `InteractionUnsupported` for `$everything` of another type than Patient.
    pub async fn answer(&self, ask: Ask<'_>) -> Result<Told, Issue> {
        match ask {
            Ask::Read { kind, id } => self.read(kind, id).await.map(Told::One),
            Ask::Vread { kind, id, version } => self.vread(kind, id, version).await.map(Told::One),
            Ask::History { kind, id, parameters, handling } => {
                self.history(kind, id, &parameters, handling).await.map(Told::List)
            }
            Ask::Search { kind, parameters, handling } => {
                self.search(kind, &parameters, handling).await.map(Told::List)
            }
            Ask::Everything { kind: "Patient", id, parameters, handling } => {
                self.everything(id, &parameters, handling).await.map(Told::List)
            }
            Ask::Everything { .. } => {
                let detail = "$everything is offered of a Patient";
                Err(Issue::new(Code::InteractionUnsupported, detail))
            }
        }
    }

    /// A record's newest version.
    ///
    /// Errors: `ResourceUnknown`, `ResourceDeleted`, `ContentPurged`, and those of the store.
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
        match serve_record(&record)? {
            Some(bytes) => {
                Ok(Served { bytes, version: record.version, last_updated: record.last_updated })
            }
            None if record.deleted => {
                Err(Issue::new(Code::ResourceDeleted, "this version says that it was withdrawn"))
            }
            None if record.purged => {
                Err(Issue::new(Code::ContentPurged, "this version's time is over"))
            }
            None => Err(Issue::new(Code::StoreUnavailable, "a record's content is not there")),
        }
    }

    /// A record's history, newest version first (R4 §3.1.0.12), page by page: Bundles of type
    /// `history`. A version whose content was purged stands without it. There is a total where one
    /// page holds all that was asked for.
    ///
    /// Errors: `ResourceUnknown`; `ParameterUnsupported`, `ParameterInvalid`; those of the store.
    pub async fn history(
        &self,
        kind: &str,
        id: &str,
        parameters: &[(String, String)],
        handling: Handling,
    ) -> Result<Bytes, Issue> {
        let asked = Asked::parse(parameters, handling)?;
        let newest = self.house.history(kind, id, None, 1).await.map_err(store_issue)?;
        if !newest.first().is_some_and(|newest| self.may_see(newest)) {
            return Err(unknown());
        }
        let count = self.page_size(asked.paging.count).min(HISTORY_RECORDS_MAX as usize);
        // The one behind the page says whether there is a next one, and what the last one changed.
        let limit = count as u32 + 1;
        let heads = self.house.history(kind, id, asked.before, limit).await.map_err(store_issue)?;
        let url = format!("{}/{kind}/{id}/_history", self.base);
        let mut bundle = BundleWriter::new(BundleType::History);
        let (mut bytes, mut place) = (0, 0);
        while let Some(head) = heads.get(place).filter(|head| asked.reaches(head)) {
            if place == count || bytes >= PAGE_BYTES_MAX {
                bundle = bundle.link("next", &asked.link(&url, Some(heads[place - 1].version)));
                break;
            }
            let before = heads.get(place + 1);
            place += 1;
            if !self.may_see(head) {
                continue;
            }
            let record = match head.deleted || head.purged {
                true => None,
                false => {
                    let record = self.house.record(kind, id, Some(head.version)).await;
                    record.map_err(store_issue)?
                }
            };
            let content = record.map(|record| serve_record(&record)).transpose()?.flatten();
            bytes += content.as_ref().map_or(0, Bytes::len);
            self.line(&mut bundle, head, before, content.as_deref());
        }
        let whole = asked.before.is_none() && heads.get(place).is_none_or(|it| !asked.reaches(it));
        if whole {
            let total = bundle.len() as u64;
            bundle = bundle.total(total);
        }
        bundle = bundle.link("self", &asked.link(&url, asked.before));
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

/// Our parameter in `next` links: continue below this version.
const BEFORE: &str = "_before";

/// What is asked of a history.
#[derive(Default)]
struct Asked {
    paging: Paging,
    before: Option<u64>,
}

impl Asked {
    fn parse(parameters: &[(String, String)], handling: Handling) -> Result<Asked, Issue> {
        let mut asked = Asked::default();
        for (name, value) in parameters {
            if asked.paging.takes(name, value)? {
                continue;
            }
            match name.as_str() {
                BEFORE => {
                    let before: u32 =
                        value.parse().map_err(|_| invalid(name, "this is no number"))?;
                    asked.before = Some(before.into());
                }
                _ if handling == Handling::Lenient => {}
                _ => return Err(unsupported("a history", name)),
            }
        }
        Ok(asked)
    }

    /// Whether a version was filed since then; those before it were filed earlier still.
    fn reaches(&self, head: &Record) -> bool {
        self.paging.reaches(head.last_updated)
    }

    fn link(&self, url: &str, before: Option<u64>) -> String {
        let mut link = self.paging.link(url.to_owned());
        if let Some(before) = before {
            link.add(BEFORE, &before.to_string());
        }
        link.0
    }
}

pub(crate) fn unknown() -> Issue {
    Issue::new(Code::ResourceUnknown, "there is no such record, or none that you may see")
}
