//! Paging: what is asked of every list alike, and the URL of a page of it.
//!
//! Comes in   `_count` and `_since`, and the parameters that the list itself understood.
//! Goes out   how many and since when; a URL that asks for the same.
//! Never      carries on in a link what was not understood.

use crate::page::Link;
use crate::search::invalid;
use crate::when;
use exchange::Issue;
use jiff::Timestamp;

/// What is asked of every list alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paging {
    /// `_count`, when the caller gave one.
    pub(crate) count: Option<u32>,
    /// The latest `_since`.
    pub(crate) since: Option<Timestamp>,
    /// The parameters that were understood, as they came, without the place of the page.
    pub(crate) understood: Vec<(String, String)>,
}

impl Paging {
    /// Reads `_count`; says whether it was that.
    pub(crate) fn counts(&mut self, name: &str, value: &str) -> Result<bool, Issue> {
        if name == "_count" {
            self.count = Some(value.parse().map_err(|_| invalid(name, "a count is a number"))?);
        }
        Ok(name == "_count")
    }

    /// Reads `_count` or `_since`; says whether it was one of them.
    pub(crate) fn takes(&mut self, name: &str, value: &str) -> Result<bool, Issue> {
        if name != "_since" {
            return self.counts(name, value);
        }
        let since = when::span(value).ok_or_else(|| invalid(name, "this is no FHIR instant"))?;
        self.since = self.since.max(Some(since.from));
        self.understood(name, value);
        Ok(true)
    }

    /// Notes a parameter that was understood.
    pub(crate) fn understood(&mut self, name: &str, value: &str) {
        self.understood.push((name.to_owned(), value.to_owned()));
    }

    /// Whether something that was changed then is wanted.
    pub(crate) fn reaches(&self, changed: Timestamp) -> bool {
        self.since.is_none_or(|since| changed >= since)
    }

    /// The URL that asks for the same; where the page begins is the list's to add.
    pub(crate) fn link(&self, url: String) -> Link {
        let mut link = Link::new(url);
        self.understood.iter().for_each(|(name, value)| link.add(name, value));
        if let Some(count) = self.count {
            link.add("_count", &count.to_string());
        }
        link
    }
}
