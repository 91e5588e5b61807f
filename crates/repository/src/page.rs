//! Page: the Bundle that answers a search.
//!
//! Comes in   a search that was read.
//! Goes out   a searchset Bundle: `self`, `next`, `total`, the records found in the order of their
//!            ids, and behind them what comes along.
//! Never      gives a record twice in one walk from `next` to `next`, or leaves one out that stood
//!            there all the time: a page begins behind the last id of the one before.

use crate::desk::{Desk, store_issue};
use crate::include::{Include, Included, size};
use crate::limits::PAGE_BYTES_MAX;
use crate::search::{AFTER, Search};
use crate::serve::serve_record;
use bytes::Bytes;
use exchange::query::{Handling, encode_pair};
use exchange::{Code, Issue};
use fhir::{BundleType, BundleWriter, EntryToWrite};
use store::{House, Record, RecordQuery};

/// What one page holds.
struct Page {
    found: Vec<Record>,
    along: Vec<Record>,
    more: bool,
}

impl<H: House> Desk<'_, H> {
    /// Answers a search with a searchset Bundle.
    ///
    /// Errors: those of `Search::parse`; `ParameterInvalid` where one record alone brings more along
    /// than a page holds; those of the store.
    pub async fn search(
        &self,
        kind: &str,
        parameters: &[(String, String)],
        handling: Handling,
    ) -> Result<Bytes, Issue> {
        let search = Search::parse(self.base, kind, parameters, handling)?;
        let query = RecordQuery { owner: self.owner.clone(), ..search.query.clone() };
        let mut bundle = BundleWriter::new(BundleType::Searchset);
        if search.total || search.count_only {
            bundle = bundle.total(match search.impossible {
                true => 0,
                false => self.house.count(query.clone()).await.map_err(store_issue)?,
            });
        }
        bundle = bundle.link("self", &search.link(self.base, search.query.after.as_deref()));
        if search.count_only || search.impossible {
            return Ok(bundle.finish().into());
        }
        let page = self.page(query, self.page_size(search.paging.count), &search.include).await?;
        if let Some(last) = page.found.last().filter(|_| page.more) {
            bundle = bundle.link("next", &search.link(self.base, Some(&last.id)));
        }
        for (mode, records) in [("match", &page.found), ("include", &page.along)] {
            for record in records {
                self.entry(&mut bundle, record, mode)?;
            }
        }
        Ok(bundle.finish().into())
    }

    /// How many records a page is to hold, by what the caller asked for.
    pub(crate) fn page_size(&self, count: Option<u32>) -> usize {
        let (usual, most) = self.page;
        count.unwrap_or(usual).clamp(1, most.max(1)) as usize
    }

    /// Adds a record as a search shows it.
    pub(crate) fn entry(
        &self,
        bundle: &mut BundleWriter,
        record: &Record,
        mode: &str,
    ) -> Result<(), Issue> {
        let (url, content) = (self.full_url(record), serve_record(record)?);
        bundle.entry(EntryToWrite {
            full_url: Some(&url),
            resource: content.as_deref(),
            search_mode: Some(mode),
            ..EntryToWrite::default()
        });
        Ok(())
    }

    /// One page. Where more would come along than it holds, it holds fewer records.
    async fn page(
        &self,
        query: RecordQuery,
        count: usize,
        include: &Include,
    ) -> Result<Page, Issue> {
        let ask = |after: Option<String>, limit: usize| {
            let query =
                RecordQuery { limit: limit as u32, bytes: PAGE_BYTES_MAX as u64, ..query.clone() };
            self.house.search(RecordQuery { after: after.or(query.after.clone()), ..query })
        };
        // One more than the page holds says whether there is a next one.
        let mut found = ask(None, count + 1).await.map_err(store_issue)?;
        let mut more = cut(&mut found, count);
        if let Some(last) = found.last().filter(|_| !more && is_full(&found)) {
            more = !ask(Some(last.id.clone()), 1).await.map_err(store_issue)?.is_empty();
        }
        loop {
            let Included { records: along, whole } = self.included(include, &found).await?;
            if whole {
                return Ok(Page { found, along, more });
            }
            if found.len() < 2 {
                let detail = "one record alone brings more along than a page holds; ask for it \
                    without, and search for the others";
                return Err(Issue::new(Code::ParameterInvalid, detail).at("_include"));
            }
            found.truncate(found.len() / 2);
            more = true;
        }
    }
}

/// Cuts to so many records, and behind the one that fills the page; whether some were cut off.
pub(crate) fn cut(records: &mut Vec<Record>, count: usize) -> bool {
    let mut bytes = 0;
    let full = records.iter().position(|record| {
        bytes += size(record);
        bytes >= PAGE_BYTES_MAX as u64
    });
    let end = full.map_or(count, |full| count.min(full + 1));
    let cut = records.len() > end;
    records.truncate(end);
    cut
}

/// Whether the content fills a page, so that the store may have stopped there.
pub(crate) fn is_full(records: &[Record]) -> bool {
    records.iter().map(size).sum::<u64>() >= PAGE_BYTES_MAX as u64
}

impl Search {
    /// The URL of a page of it: what was understood, and where the page begins.
    fn link(&self, base: &str, after: Option<&str>) -> String {
        let mut link = self.paging.link(format!("{base}/{}", self.query.kind));
        if !self.total {
            link.add("_total", "none");
        }
        if self.count_only && self.paging.count != Some(0) {
            link.add("_summary", "count");
        }
        if let Some(after) = after {
            link.add(AFTER, after);
        }
        link.0
    }
}

/// A URL that grows by parameters.
pub(crate) struct Link(pub(crate) String);

impl Link {
    pub(crate) fn new(url: String) -> Link {
        Link(url)
    }

    /// Adds a parameter.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        encode_pair(&mut self.0, name, value);
    }
}
