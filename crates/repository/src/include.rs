//! Include: which other records come along with those that were found.
//!
//! Comes in   `_include` and `_revinclude` (R4 §3.1.1.5.4); records of a page.
//! Goes out   the records they refer to, and the Provenance that refers to them, each once.
//! Never      leaves out a part in silence: what is too much for a page is said to be too much.

use crate::desk::{Desk, store_issue};
use crate::keys::{at, local, token};
use crate::kinds::TARGET;
use crate::limits::{ALTERNATIVES_MAX, INCLUDED_RECORDS_MAX, PAGE_BYTES_MAX};
use crate::references::{Reference, references};
use exchange::{Code, Issue, place};
use fhir::Doc;
use std::collections::BTreeSet;
use store::{House, Record, RecordQuery};

/// The only parameter by which records come along that refer to those found.
pub(crate) const REVINCLUDE: &str = "Provenance:target";

/// Type and id of a record.
pub(crate) type Name = (String, String);

/// What is to come along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Include {
    /// Elements whose references are followed, and the only type of target where one was named.
    forward: Vec<(Reference, Option<String>)>,
    /// Provenance about the records found.
    provenance: bool,
}

/// Records that come along; `whole` unless they are too many for a page.
pub(crate) struct Included {
    pub(crate) records: Vec<Record>,
    pub(crate) whole: bool,
}

impl Include {
    /// Whether a parameter is about what comes along.
    pub(crate) fn is_one(name: &str) -> bool {
        matches!(name, "_include" | "_revinclude")
    }

    /// Takes a parameter; `false` when it is none of these, or its value is not offered.
    pub(crate) fn add(&mut self, kind: &str, name: &str, value: &str) -> bool {
        match (name, value) {
            ("_revinclude", REVINCLUDE) => self.provenance = true,
            ("_include", "*") => self.forward.extend(all(kind, "*", None)),
            ("_include", value) => {
                let mut parts = value.splitn(3, ':');
                let (source, parameter) = (parts.next(), parts.next().unwrap_or_default());
                let found: Vec<_> = all(kind, parameter, parts.next()).collect();
                if source != Some(kind) || found.is_empty() {
                    return false;
                }
                self.forward.extend(found);
            }
            _ => return false,
        }
        true
    }

    fn is_empty(&self) -> bool {
        self.forward.is_empty() && !self.provenance
    }
}

/// The question for what speaks of a record, a page of it behind an id.
pub fn provenance_of(kind: &str, id: &str, after: Option<String>) -> RecordQuery {
    RecordQuery {
        kind: "Provenance".to_owned(),
        tokens: vec![vec![token(TARGET, &format!("{kind}/{id}"), Some(""))]],
        after,
        limit: INCLUDED_RECORDS_MAX as u32,
        bytes: PAGE_BYTES_MAX as u64,
        ..RecordQuery::default()
    }
}

/// The references of a type that a parameter names; all of them for `*`.
fn all(
    kind: &str,
    parameter: &str,
    target: Option<&str>,
) -> impl Iterator<Item = (Reference, Option<String>)> {
    references(kind)
        .iter()
        .filter(move |(name, _)| parameter == "*" || *name == parameter)
        .map(move |found| (*found, target.map(str::to_owned)))
}

impl<H: House> Desk<'_, H> {
    /// What comes along with these records, in the order of type and id, and none of them again.
    pub(crate) async fn included(
        &self,
        include: &Include,
        records: &[Record],
    ) -> Result<Included, Issue> {
        let mut found = Included { records: Vec::new(), whole: true };
        if include.is_empty() || records.is_empty() {
            return Ok(found);
        }
        let mut names = BTreeSet::new();
        for record in records {
            self.follow(include, record, &mut names)?;
        }
        for record in records {
            names.remove(&(record.kind.clone(), record.id.clone()));
        }
        if names.len() > INCLUDED_RECORDS_MAX {
            return Ok(Included { whole: false, ..found });
        }
        let mut room = PAGE_BYTES_MAX as u64;
        found = self.named(&names, &mut room).await?;
        if include.provenance && found.whole && self.may_follow("Provenance") {
            let about = self.about_these(records, room).await?;
            found.whole &= about.whole;
            let is_new = |it: &Record| {
                let name = (it.kind.clone(), it.id.clone());
                !names.contains(&name) && !records.iter().any(|record| same(record, it))
            };
            found.records.extend(about.records.into_iter().filter(is_new));
            found.whole &= found.records.len() <= INCLUDED_RECORDS_MAX;
        }
        Ok(found)
    }

    /// The names that a record's elements refer to.
    fn follow(
        &self,
        include: &Include,
        record: &Record,
        names: &mut BTreeSet<Name>,
    ) -> Result<(), Issue> {
        let Some(content) = record.content.as_ref().filter(|_| !include.forward.is_empty()) else {
            return Ok(());
        };
        let damaged = |_| Issue::new(Code::StoreUnavailable, "a stored record cannot be read");
        let doc = Doc::parse(content).map_err(damaged)?;
        for ((_, element), wanted) in &include.forward {
            let (path, target) = match element.split_once(':') {
                Some((path, target)) => (path, Some(target)),
                None => (*element, None),
            };
            for node in at(doc.root(), path) {
                let Some(text) = node.get("reference").and_then(|member| member.text()) else {
                    continue;
                };
                let Some((kind, id)) = self.local(&text) else { continue };
                let fits = target.is_none_or(|target| target == kind)
                    && wanted.as_deref().is_none_or(|wanted| wanted == kind);
                if fits && self.may_follow(kind) {
                    names.insert((kind.to_owned(), id.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// Type and id in a reference to a record of this house.
    pub(crate) fn local<'t>(&self, reference: &'t str) -> Option<(&'t str, &'t str)> {
        local(place::under(reference, self.base).unwrap_or(reference))
    }

    /// The records of these names that the caller may see, as far as the room for bytes goes.
    pub(crate) async fn named(
        &self,
        names: &BTreeSet<Name>,
        room: &mut u64,
    ) -> Result<Included, Issue> {
        let names: Vec<_> = names.iter().collect();
        let mut found = Included { records: Vec::new(), whole: true };
        for part in names.chunk_by(|one, other| one.0 == other.0) {
            for part in part.chunks(ALTERNATIVES_MAX) {
                let query = RecordQuery {
                    kind: part[0].0.clone(),
                    ids: part.iter().map(|(_, id)| id.clone()).collect(),
                    owner: self.owner.clone(),
                    limit: part.len() as u32,
                    bytes: (*room).max(1),
                    ..RecordQuery::default()
                };
                let records = self.house.search(query).await.map_err(store_issue)?;
                let bytes: u64 = records.iter().map(size).sum();
                found.records.extend(records);
                if bytes >= *room {
                    return Ok(Included { whole: false, ..found });
                }
                *room -= bytes;
            }
        }
        Ok(found)
    }

    /// Provenance whose target is one of the records.
    async fn about_these(&self, records: &[Record], room: u64) -> Result<Included, Issue> {
        let name = |it: &Record| token(TARGET, &format!("{}/{}", it.kind, it.id), Some(""));
        let query = RecordQuery {
            kind: "Provenance".to_owned(),
            tokens: vec![records.iter().map(name).collect()],
            owner: self.owner.clone(),
            limit: INCLUDED_RECORDS_MAX as u32 + 1,
            bytes: room.max(1),
            ..RecordQuery::default()
        };
        let records = self.house.search(query).await.map_err(store_issue)?;
        let whole = records.iter().map(size).sum::<u64>() < room;
        Ok(Included { records, whole })
    }
}

fn same(one: &Record, other: &Record) -> bool {
    one.kind == other.kind && one.id == other.id
}

/// Bytes of content.
pub(crate) fn size(record: &Record) -> u64 {
    record.content.as_ref().map_or(0, |content| content.len() as u64)
}
