//! Minimum: an EHR that does what certification demands, and says no to the rest.
//!
//! Comes in   reads and searches of callers that signed in.
//! Goes out   resources as `served` spells them; small searchsets with opaque links, without totals;
//!            429 and 503 where the oddities say so.
//! Never      versions: no `_history`, no ETag, no `meta.versionId`; never a search that is no SHALL
//!            of US Core 6.1.0; never the whole of a patient's Observations at once.

use super::odd::{Fault, Odd};
use super::pages::{Found, Page, Pages, with_duplicates};
use super::served::{as_served, inlined};
use super::shall::{Asked, Refused, STATUS_DEMANDED, shall};
use super::words;
use super::{raw, statement};
use crate::limits::{EHR_PAGE_RECORDS, EHR_PAGE_RECORDS_MAX};
use bytes::Bytes;
use exchange::query::{Ask, Handling, decode};
use exchange::{Code, Issue};
use fhir::{Bundle, BundleType, BundleWriter, EntryToWrite, Resource};
use http::header::RETRY_AFTER;
use jiff::SignedDuration;
use repository::{Desk, http_date, store_issue};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use store::{AnyHouse, House};
use wire::clock::Clock;
use wire::refusal::Answer;
use wire::rest::{Outcome, Rest};
use wire::trust::Caller;

/// The parameter that carries a page's token.
const PAGE: &str = "_getpage";

/// Parameters of one search that are read, at most.
const PARAMETERS: usize = 50;

/// What stands behind the base URL of an EHR of the minimum.
pub(crate) struct Minimum {
    pub(crate) house: AnyHouse,
    pub(crate) base_url: String,
    pub(crate) odd: Odd,
    clock: Arc<dyn Clock>,
    secret: [u8; 32],
    capability: Bytes,
    pages: Pages,
    /// Requests so far, by client.
    counts: Mutex<HashMap<String, u32>>,
}

impl Minimum {
    pub(crate) fn new(
        house: AnyHouse,
        base_url: &str,
        names: (&str, &str),
        odd: Odd,
        secret: [u8; 32],
        clock: Arc<dyn Clock>,
    ) -> Minimum {
        let (name, token_endpoint) = names;
        Minimum {
            house,
            capability: statement::statement(name, base_url, token_endpoint, &odd),
            base_url: base_url.to_owned(),
            odd,
            clock,
            secret,
            pages: Pages::default(),
            counts: Mutex::default(),
        }
    }

    /// What this request meets before anybody looks at it.
    fn fault(&self, caller: &Caller) -> Option<Answer> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = counts.entry(caller.partner.clone()).or_default();
        *nth = nth.wrapping_add(1);
        let fault = self.odd.fault(*nth)?;
        drop(counts);
        let seconds = self.odd.retry_after_seconds;
        Some(match fault {
            Fault::Throttled { dated } => {
                let until = self.clock.now() + SignedDuration::from_secs(seconds.into());
                let when = if dated { http_date(until) } else { seconds.to_string() };
                refusal(429, "throttled", "too many requests").with(RETRY_AFTER, when)
            }
            Fault::Unavailable => refusal(503, "transient", "not available at the moment"),
        })
    }

    async fn answer(&self, caller: &Caller, ask: Ask<'_>) -> Result<Answer, Issue> {
        if let Some(fault) = self.fault(caller) {
            return Ok(fault);
        }
        match ask {
            Ask::Read { kind, id } if kind == "Binary" || shall(kind).is_some() => {
                let read = self.read(kind, id).await?;
                Ok(read.map_or_else(
                    || refusal(404, "not-found", "there is no such record"),
                    |bytes| Answer::new(200, bytes),
                ))
            }
            Ask::Search { kind, parameters, .. } => match page_asked(&parameters) {
                Some(token) => match self.pages.page(token, &caller.partner, kind) {
                    Some(page) => self.page(page).await,
                    None => Ok(refusal(410, "not-found", "this page's time is over; search again")),
                },
                None => self.first_page(caller, kind, parameters).await,
            },
            _ => Ok(refusal(404, "not-supported", "this server does not offer this interaction")),
        }
    }

    /// A record of the chart as it is served; `None` where there is none, or no more.
    pub(crate) async fn read(&self, kind: &str, id: &str) -> Result<Option<Bytes>, Issue> {
        match self.record(kind, id).await? {
            Some(bytes) => self.spelled(bytes).await.map(Some),
            None => Ok(None),
        }
    }

    async fn record(&self, kind: &str, id: &str) -> Result<Option<Bytes>, Issue> {
        let record = self.house.record(kind, id, None).await.map_err(store_issue)?;
        Ok(record.and_then(|record| record.content))
    }

    /// The chart's bytes in this EHR's spelling.
    pub(crate) async fn spelled(&self, bytes: Bytes) -> Result<Bytes, Issue> {
        let damaged = |_| Issue::new(Code::StoreUnavailable, "a stored record cannot be read");
        let resource = Resource::parse(bytes.clone()).map_err(damaged)?;
        let mut at_hand = BTreeMap::new();
        for reference in inlined(&resource, &self.odd) {
            let Some((kind, id)) = reference.split_once('/') else { continue };
            if let Some(record) = self.record(kind, id).await? {
                at_hand.insert(reference.clone(), record);
            }
        }
        let find = |reference: &str| at_hand.get(reference).cloned();
        as_served(&bytes, &self.base_url, &self.odd, &find).map_err(damaged)
    }

    async fn first_page(
        &self,
        caller: &Caller,
        kind: &str,
        parameters: Vec<(String, String)>,
    ) -> Result<Answer, Issue> {
        let Some(row) = shall(kind).filter(|row| !row.searches.is_empty()) else {
            return Ok(refusal(404, "not-supported", "this server does not search this type"));
        };
        let demanded = self.odd.status_demanded && STATUS_DEMANDED.contains(&kind);
        let Asked { parameters, provenance } = match row.read(parameters, self.odd.strict, demanded)
        {
            Ok(asked) => asked,
            Err(Refused { code, words }) => return Ok(refusal(400, code, &words)),
        };
        let ids = match self.ids(kind, &parameters).await {
            Ok(ids) => ids,
            Err(issue) if issue.code.row().status == 400 => {
                return Ok(refusal(400, "invalid", "a parameter's value cannot be read"));
            }
            Err(issue) => return Err(issue),
        };
        let ids = match self.odd.duplicates {
            true => with_duplicates(ids, self.odd.page),
            false => ids,
        };
        let caller = caller.partner.clone();
        let found = Arc::new(Found { caller, kind: kind.to_owned(), ids, provenance });
        self.page(Page { found, from: 0 }).await
    }

    /// The ids of all that fits.
    async fn ids(&self, kind: &str, parameters: &[(String, String)]) -> Result<Vec<String>, Issue> {
        let (own, desks): (Vec<_>, Vec<_>) =
            parameters.iter().cloned().partition(|(name, _)| words::is_one(kind, name));
        let mut ids = Vec::new();
        for resource in self.all(kind, &desks).await? {
            let fits = own.is_empty() || {
                let value: Value = serde_json::from_slice(resource.bytes()).unwrap_or_default();
                own.iter().all(|(name, wanted)| words::fits(&value, name, wanted))
            };
            if fits {
                ids.extend(resource.id().map(str::to_owned));
            }
        }
        Ok(ids)
    }

    /// All records that the desk finds, from all of its own pages.
    async fn all(
        &self,
        kind: &str,
        parameters: &[(String, String)],
    ) -> Result<Vec<Resource>, Issue> {
        let page = (EHR_PAGE_RECORDS_MAX, EHR_PAGE_RECORDS_MAX);
        let desk = Desk { page, ..Desk::new(&self.house, &self.base_url, None) };
        let mut next = parameters.to_vec();
        next.push(("_total".to_owned(), "none".to_owned()));
        let mut found = Vec::new();
        loop {
            let bundle = bundle(desk.search(kind, &next, Handling::Strict).await?)?;
            found.extend(bundle.entries.iter().filter_map(|entry| entry.resource.clone()));
            let Some((_, query)) = bundle.link("next").and_then(|url| url.split_once('?')) else {
                return Ok(found);
            };
            let internal = |_| Issue::new(Code::InternalError, "a link of the desk cannot be read");
            next = decode(query.as_bytes(), PARAMETERS).map_err(internal)?;
        }
    }

    /// One page of a list.
    async fn page(&self, page: Page) -> Result<Answer, Issue> {
        let Page { found, from } = page;
        let size = self.odd.page.clamp(1, EHR_PAGE_RECORDS as usize);
        let ids = found.ids.get(from..found.ids.len().min(from + size)).unwrap_or_default();
        let (mut matches, mut along) = (BTreeMap::new(), Vec::new());
        if !ids.is_empty() {
            let mut asked = vec![("_id".to_owned(), ids.join(","))];
            if found.provenance {
                asked.push(("_revinclude".to_owned(), "Provenance:target".to_owned()));
            }
            for resource in self.all(&found.kind, &asked).await? {
                let id = resource.id().unwrap_or_default().to_owned();
                let served = self.spelled(resource.bytes().clone()).await?;
                match resource.kind() == found.kind {
                    true => drop(matches.insert(id, served)),
                    false => along.push((resource.local_reference(), served)),
                }
            }
        }
        let link = |from| {
            let page = Page { found: Arc::clone(&found), from };
            let token = self.pages.keep(&self.secret, page);
            format!("{}/{}?{PAGE}={token}", self.base_url, found.kind)
        };
        let mut bundle = BundleWriter::new(BundleType::Searchset).link("self", &link(from));
        if from + size < found.ids.len() {
            bundle = bundle.link("next", &link(from + size));
        }
        let outcome = note();
        if self.odd.outcome_entries && (from / size).is_multiple_of(2) {
            bundle.entry(EntryToWrite {
                resource: Some(&outcome),
                search_mode: Some("outcome"),
                ..EntryToWrite::default()
            });
        }
        // A record that was taken away since the list was made is not there any more.
        let shown = ids.iter().filter_map(|id| {
            matches.get(id).map(|bytes| (format!("{}/{id}", found.kind), bytes, "match"))
        });
        let along = along.iter().map(|(name, bytes)| (name.clone(), bytes, "include"));
        for (name, bytes, mode) in shown.chain(along) {
            bundle.entry(EntryToWrite {
                full_url: Some(&format!("{}/{name}", self.base_url)),
                resource: Some(bytes),
                search_mode: Some(mode),
                ..EntryToWrite::default()
            });
        }
        Ok(Answer::new(200, bundle.finish()))
    }
}

impl Rest for Minimum {
    fn capability(&self) -> Bytes {
        self.capability.clone()
    }

    fn ask<'a>(&'a self, caller: &'a Caller, ask: Ask<'a>) -> Outcome<'a> {
        Box::pin(self.answer(caller, ask))
    }

    fn raw_binary<'a>(&'a self, caller: &'a Caller, id: &'a str) -> Option<Outcome<'a>> {
        Some(Box::pin(async move {
            if let Some(fault) = self.fault(caller) {
                return Ok(fault);
            }
            let record = self.record("Binary", id).await?;
            Ok(record
                .and_then(|bytes| raw::content(&bytes))
                .unwrap_or_else(|| refusal(404, "not-found", "there is no such record")))
        }))
    }
}

/// The token of a page, where that is all that is asked for.
fn page_asked(parameters: &[(String, String)]) -> Option<&str> {
    let (name, token) = parameters.first()?;
    (name == PAGE).then_some(token.as_str())
}

fn bundle(bytes: Bytes) -> Result<Bundle, Issue> {
    let internal = |_| Issue::new(Code::InternalError, "an answer of the desk cannot be read");
    Bundle::parse(bytes).map_err(internal)
}

fn outcome(severity: &str, code: &str, words: &str) -> Vec<u8> {
    json!({
        "resourceType": "OperationOutcome",
        "issue": [{ "severity": severity, "code": code, "diagnostics": words }],
    })
    .to_string()
    .into_bytes()
}

/// A refusal in the words of another vendor: an OperationOutcome without a code of ours.
fn refusal(status: u16, code: &str, words: &str) -> Answer {
    Answer::new(status, outcome("error", code, words))
}

/// What a searchset says beside its matches, now and then.
fn note() -> Vec<u8> {
    outcome("information", "informational", "Some results may be shown in another order.")
}
