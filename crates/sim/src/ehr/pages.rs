//! Pages: the lists that searches found, and the opaque tokens by which their pages are asked for.
//!
//! Comes in   what a search found, whose search it was.
//! Goes out   tokens; the part of the list that a token means.
//! Never      a token that tells what it means, or one that another caller can use.
//!
//! Why a list and not a place in the order of ids: this EHR's pages show what stood there when the
//! search was made, as many servers' do, and their links say nothing a client could build itself.

use crate::limits::EHR_TOKENS_MAX;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// What one search found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Whose search it was.
    pub(crate) caller: String,
    /// The type.
    pub(crate) kind: String,
    /// Logical ids, in the order of the pages; some stand twice.
    pub(crate) ids: Vec<String>,
    /// Whether Provenance comes along.
    pub(crate) provenance: bool,
}

/// A page: of which list, and which place of it comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// The list.
    pub(crate) found: Arc<Found>,
    /// Where it begins.
    pub(crate) from: usize,
}

/// All pages that can be asked for.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_token: HashMap<String, Page>,
    order: VecDeque<String>,
}

impl Pages {
    /// The token of a page. The same page of the same list has the same token; where there are too
    /// many, the oldest is forgotten, and whoever comes with it is told that its time is over.
    pub(crate) fn keep(&self, secret: &[u8], page: Page) -> String {
        let token = token(secret, &page);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_token.insert(token.clone(), page).is_none() {
            kept.order.push_back(token.clone());
            if kept.order.len() > EHR_TOKENS_MAX {
                let oldest = kept.order.pop_front();
                oldest.and_then(|oldest| kept.by_token.remove(&oldest));
            }
        }
        token
    }

    /// The page a token means to this caller.
    pub(crate) fn page(&self, token: &str, caller: &str, kind: &str) -> Option<Page> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let page = kept.by_token.get(token)?;
        (page.found.caller == caller && page.found.kind == kind).then(|| page.clone())
    }
}

fn token(secret: &[u8], page: &Page) -> String {
    let mut hash = Sha256::new();
    hash.update(secret);
    let found = &page.found;
    hash.update(format!("{}\n{}\n{}\n{}", found.caller, found.kind, found.provenance, page.from));
    for id in &found.ids {
        hash.update(b"\n");
        hash.update(id);
    }
    hash.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        // Writing into a String does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// The list as its pages show it: now and then a page begins with the record that the one before
/// ended with, as where a server counts offsets and a record was added meanwhile.
pub(crate) fn with_duplicates(ids: Vec<String>, page: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(ids.len() + ids.len() / page.max(1));
    for id in ids {
        let at = out.len();
        if at > 0 && at.is_multiple_of(page.max(1)) && (at / page.max(1)) % 3 == 1 {
            out.extend(out.last().cloned());
        }
        out.push(id);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(caller: &str, ids: &[&str]) -> Arc<Found> {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        Arc::new(Found { caller: caller.into(), kind: "Encounter".into(), ids, provenance: false })
    }

    #[test]
    fn a_token_is_its_callers_alone_and_the_same_for_the_same_page() {
        let pages = Pages::default();
        let page = Page { found: found("a", &["1", "2"]), from: 1 };
        let token = pages.keep(b"s", page.clone());
        assert_eq!(token, Pages::default().keep(b"s", page.clone()));
        assert_eq!(pages.page(&token, "a", "Encounter"), Some(page));
        assert_eq!(pages.page(&token, "b", "Encounter"), None);
        assert_eq!(pages.page(&token, "a", "Observation"), None);
        let other = Page { found: found("a", &["1", "3"]), from: 1 };
        assert_ne!(token, pages.keep(b"s", other), "another list, another token");
        assert!(!token.contains("Encounter") && token.len() == 32);
    }

    #[test]
    fn the_oldest_tokens_are_forgotten() {
        let pages = Pages::default();
        let list = found("a", &["1"]);
        let first = pages.keep(b"s", Page { found: Arc::clone(&list), from: 0 });
        for from in 1..=EHR_TOKENS_MAX {
            pages.keep(b"s", Page { found: Arc::clone(&list), from });
        }
        assert!(pages.page(&first, "a", "Encounter").is_none());
    }

    #[test]
    fn duplicates_stand_in_two_pages_and_nothing_is_missing() {
        let ids: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        let out = with_duplicates(ids.clone(), 7);
        let mut different = out.clone();
        different.dedup();
        assert_eq!(different, ids);
        assert!(out.len() > ids.len());
        for page in out.chunks(7) {
            let once: std::collections::BTreeSet<_> = page.iter().collect();
            assert_eq!(once.len(), page.len(), "never twice in one page");
        }
    }
}
