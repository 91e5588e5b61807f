//! Issues: everything that speaks against something, told at once.
//!
//! Comes in   one issue, or what a reading has collected.
//! Goes out   the first, which speaks for all where there is room for one, and the rest.
//! Never      none: a refusal always has its reason.

use crate::issue::Issue;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// One issue or several, in the order in which they are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issues {
    /// The one that speaks for all.
    pub first: Issue,
    /// The others.
    pub rest: Vec<Issue>,
}

/// Everything that is wrong with the entries of a Bundle, by their positions.
pub type IssuesByEntry = BTreeMap<usize, Issues>;

impl Issues {
    /// What was collected; `None` where that is nothing.
    pub fn of(collected: impl IntoIterator<Item = Issue>) -> Option<Issues> {
        let mut collected = collected.into_iter();
        let first = collected.next()?;
        Some(Issues { first, rest: collected.collect() })
    }

    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = &Issue> {
        self.into_iter()
    }

    /// Each in other words.
    pub fn map(self, mut words: impl FnMut(Issue) -> Issue) -> Issues {
        let first = words(self.first);
        Issues { first, rest: self.rest.into_iter().map(words).collect() }
    }

    /// Notes one more issue of an entry.
    pub fn note(all: &mut IssuesByEntry, entry: usize, issue: Issue) {
        match all.entry(entry) {
            Entry::Occupied(mut noted) => noted.get_mut().rest.push(issue),
            Entry::Vacant(first) => drop(first.insert(issue.into())),
        }
    }
}

impl From<Issue> for Issues {
    fn from(first: Issue) -> Issues {
        Issues { first, rest: Vec::new() }
    }
}

impl From<Issues> for Vec<Issue> {
    fn from(issues: Issues) -> Vec<Issue> {
        issues.into_iter().collect()
    }
}

impl IntoIterator for Issues {
    type Item = Issue;
    type IntoIter = std::iter::Chain<std::iter::Once<Issue>, std::vec::IntoIter<Issue>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self.first).chain(self.rest)
    }
}

impl<'i> IntoIterator for &'i Issues {
    type Item = &'i Issue;
    type IntoIter = std::iter::Chain<std::iter::Once<&'i Issue>, std::slice::Iter<'i, Issue>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(&self.first).chain(&self.rest)
    }
}
