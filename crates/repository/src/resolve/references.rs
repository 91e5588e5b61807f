//! References: every link of a Bundle's resources, to the record it means.
//!
//! Comes in   entries whose records are known; conditions and what fits them.
//! Goes out   the resources as they are filed: under their ids, references rewritten in one pass.
//! Never      files a reference to a record that is not there, not the sender's, or taken back by
//!            the same Bundle; a Provenance alone may speak of what is gone.

use super::{Heads, Placed, Resolving};
use crate::keys::local_id;
use crate::plan::Incoming;
use exchange::limits::{FAULTS_MAX, FAULTS_PER_ENTRY_MAX};
use exchange::read::{Action, Condition, Form, IncomingEntry, Link, LinkTo};
use exchange::{Code, Issue};
use fhir::Resource;
use std::collections::{HashMap, HashSet};
use store::Record;

/// A reference that leads nowhere: position of its entry, and why.
pub(super) type Fault = (usize, Code, String, Link);

/// What each condition of a reference leads to, or why that is not one record.
pub(super) type Links = HashMap<Condition, Result<String, (Code, String)>>;

impl Resolving<'_> {
    /// Resolves the conditions of references, last of all.
    pub(super) fn conditional_links(&self) -> Links {
        let mut links = Links::new();
        let all = self.incoming.entries.iter().flat_map(|entry| &entry.links);
        for link in all {
            let LinkTo::Fits(condition) = &link.to else { continue };
            if !links.contains_key(condition) {
                links.insert(condition.clone(), self.one_that_fits(condition));
            }
        }
        links
    }

    /// Refuses the entries with references whose conditions are not met by exactly one record.
    pub(super) fn check_conditional(&mut self, links: &Links) {
        let together = self.incoming.form == Form::Transaction;
        let mut faults = Vec::new();
        for entry in &self.incoming.entries {
            let mut said = 0;
            for link in &entry.links {
                let LinkTo::Fits(condition) = &link.to else { continue };
                if let Some(Err((code, detail))) = links.get(condition)
                    && said < FAULTS_PER_ENTRY_MAX
                {
                    // What would fit may stand in an entry that could not be read.
                    let nothing = together && *code == Code::ReferenceUnresolved;
                    if nothing && self.incoming.unread.contains(&condition.kind) {
                        continue;
                    }
                    said += 1;
                    faults.push((entry.index, *code, detail.clone(), link.clone()));
                }
            }
        }
        self.refuse_links(faults);
    }

    /// Refuses entries by their references, each with its place: every entry by one at least, by so
    /// many as are told of one, and by no more than are told of all.
    pub(super) fn refuse_links(&mut self, mut faults: Vec<Fault>) {
        let (mut said, mut more) = (HashMap::new(), 0..FAULTS_MAX);
        faults.retain(|(index, ..)| {
            let of_entry = said.entry(*index).or_insert(0);
            let room = *of_entry == 0 || *of_entry < FAULTS_PER_ENTRY_MAX && more.next().is_some();
            *of_entry += usize::from(room);
            room
        });
        let told = faults.iter().filter_map(|(index, code, detail, link)| {
            let entry = self.entry(*index)?;
            Some((*code, entry.named(detail), entry.place(link, &self.incoming.bytes)))
        });
        let issues = self.incoming.at_references(told);
        for ((index, ..), issue) in faults.iter().zip(issues) {
            self.note(*index, issue);
        }
    }

    fn one_that_fits(&self, condition: &Condition) -> Result<String, (Code, String)> {
        let there = self.conditions.matches(condition).map_err(|one| (one.code, one.detail))?;
        let kind = &condition.kind;
        let mut ids: HashSet<String> = self.not_deleted(kind, there).into_iter().collect();
        if self.incoming.form == Form::Transaction {
            let fitting = self.fitting.of_condition(self.conditions, condition);
            for (entry, id) in self.written().filter(|(entry, _)| entry.kind == *kind) {
                match fitting.contains(&entry.index) {
                    true => ids.insert(id.to_owned()),
                    false => ids.remove(id),
                };
            }
        }
        let mut ids = ids.into_iter();
        match (ids.next(), ids.next()) {
            (Some(id), None) => Ok(id),
            (None, _) => {
                let detail = "no record of this sender fits the reference's condition";
                Err((Code::ReferenceUnresolved, detail.to_owned()))
            }
            (Some(_), Some(_)) => {
                let detail = "more than one record of this sender fits the reference's condition";
                Err((Code::ConditionAmbiguous, detail.to_owned()))
            }
        }
    }

    /// The entries that put a record, each with its id.
    fn written(&self) -> impl Iterator<Item = (&IncomingEntry, &str)> {
        let entries = self.incoming.entries.iter();
        let puts = entries.filter(|entry| entry.action != Action::Delete);
        puts.filter_map(|entry| match self.placed.get(&entry.index)? {
            Placed::Here(id) => Some((entry, id.as_str())),
            _ => None,
        })
    }

    /// Type and id of the record a link leads to.
    pub(super) fn leads_to<'l>(
        &'l self,
        link: &'l Link,
        links: &'l Links,
    ) -> Option<(&'l str, &'l str)> {
        match &link.to {
            LinkTo::Record(kind, id) => Some((kind, id)),
            LinkTo::Fits(condition) => {
                let id = links.get(condition)?.as_ref().ok()?;
                Some((&condition.kind, id))
            }
            LinkTo::Entry(index) => self.id_of(*index),
        }
    }

    fn id_of(&self, index: usize) -> Option<(&str, &str)> {
        let entry = self.entry(index)?;
        match self.placed.get(&index)? {
            Placed::Here(id) | Placed::Stands(id) => Some((&entry.kind, id)),
            Placed::Same(other) => self.id_of(*other),
            Placed::Absent => None,
        }
    }

    /// References by type and id lead to records of the sender that stand, or that the Bundle
    /// brings.
    pub(super) fn check_references(&mut self, standing: &Heads) {
        let owner = self.sent.owner;
        let stands = |head: &Option<Record>| {
            head.as_ref().is_some_and(|head| !head.deleted && head.owner == *owner)
        };
        let outside = self.incoming.outside.iter().zip(&standing.outside);
        let gone =
            outside.filter(|(one, head)| !stands(head) || self.takes_back(&one.kind, &one.id));
        let missing: HashSet<(&str, &str)> =
            gone.map(|(one, _)| (one.kind.as_str(), one.id.as_str())).collect();
        if missing.is_empty() {
            return;
        }
        if self.incoming.form == Form::Transaction {
            let told = self.incoming.outside.iter().filter(|one| {
                let speaks = self.entry(one.entry).is_some_and(|entry| entry.kind == "Provenance");
                !speaks && missing.contains(&(one.kind.as_str(), one.id.as_str()))
            });
            let told: Vec<_> = told.take(FAULTS_MAX).collect();
            let issues = self.incoming.unresolved(told.iter().copied());
            for (one, issue) in told.into_iter().zip(issues) {
                let named = self.entry(one.entry).map(|entry| entry.named(&issue.detail));
                let detail = named.unwrap_or_else(|| issue.detail.clone());
                self.note(one.entry, Issue { detail, ..issue });
            }
            return;
        }
        let dangling = self.dangling(&missing);
        self.refuse_links(dangling);
    }

    /// The entries of a batch that refer to nothing. What one entry files another may refer to; so a
    /// refusal leads to others.
    fn dangling(&self, missing: &HashSet<(&str, &str)>) -> Vec<Fault> {
        let written = self.written().filter(|(entry, _)| self.stands(entry));
        let mut brought: HashMap<usize, (&str, &str)> =
            written.map(|(entry, id)| (entry.index, (entry.kind.as_str(), id))).collect();
        let there: HashSet<(&str, &str)> = brought.values().copied().collect();
        let mut leaning: HashMap<(&str, &str), Vec<(usize, &Link)>> = HashMap::new();
        let mut falling = Vec::new();
        let entries = self.incoming.entries.iter();
        for entry in entries.filter(|entry| self.stands(entry) && entry.kind != "Provenance") {
            for link in &entry.links {
                let LinkTo::Record(kind, id) = &link.to else { continue };
                let record = (kind.as_str(), id.as_str());
                match (missing.contains(&record), there.contains(&record)) {
                    (true, false) => falling.push((entry.index, link)),
                    (true, true) => leaning.entry(record).or_default().push((entry.index, link)),
                    (false, _) => {}
                }
            }
        }
        let (mut fallen, mut faults) = (HashSet::new(), Vec::new());
        while let Some((index, link)) = falling.pop() {
            if fallen.insert(index) {
                let detail = "it refers to a record that is not filed".to_owned();
                faults.push((index, Code::ReferenceUnresolved, detail, link.clone()));
                let gone = brought.remove(&index).and_then(|record| leaning.remove(&record));
                falling.extend(gone.into_iter().flatten());
            }
        }
        faults
    }

    /// An entry as it is filed.
    pub(super) fn item(&self, entry: &IncomingEntry, id: &str, links: &Links) -> Incoming {
        let derived = entry.source_id.is_some();
        let item = match entry.action.resource() {
            None => Incoming::delete(entry.index, &entry.kind, id),
            Some(resource) => {
                let written = self.rewritten(entry, resource, links);
                let resource = match written.id() == Some(id) {
                    true => written,
                    false => written.with_id(id),
                };
                Incoming::of(entry.index, id, &resource)
            }
        };
        Incoming { derived, if_match: entry.if_match, ..item }
    }

    /// A resource whose references name records by type and id.
    fn rewritten(&self, entry: &IncomingEntry, resource: &Resource, links: &Links) -> Resource {
        let stands = |link: &Link| match (&link.to, resource.references().get(link.reference)) {
            (LinkTo::Record(kind, id), Some(reference)) => {
                local_id(&resource.reference_text(reference), kind) == Some(id)
            }
            _ => false,
        };
        if entry.links.iter().all(stands) {
            return resource.clone();
        }
        let mut own = entry.links.iter().peekable();
        let mut at = 0;
        let new = |text: &str, link: &Link| {
            let (kind, id) = self.leads_to(link, links)?;
            // As it stands where it names the record already, a version included; so does what is
            // left of an address of this house's own.
            let own = text.strip_prefix(self.sent.base).and_then(|rest| rest.strip_prefix('/'));
            let own = own.filter(|rest| local_id(rest, kind) == Some(id));
            let written = || own.map_or_else(|| format!("{kind}/{id}"), str::to_owned);
            (local_id(text, kind) != Some(id)).then(written)
        };
        resource.rewrite_references(|_, text| {
            let link = own.next_if(|link| link.reference == at);
            at += 1;
            new(text, link?)
        })
    }
}
