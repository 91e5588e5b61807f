//! Place: which record each entry writes, finds or means.
//!
//! Comes in   the entries, and what fits their conditions, in the house and in the Bundle.
//! Goes out   a place for each; an issue where that is not one record, or that of another entry.
//! Never      writes a record twice (R4 §3.1.0.11.2: identities may not overlap).

use super::{Placed, Resolving};
use exchange::read::{Action, IncomingEntry, Target};
use exchange::{Code, Digest, Issue};
use std::collections::HashMap;

const AMBIGUOUS: &str = "more than one record of this sender fits the condition";

impl<'r> Resolving<'r> {
    /// Places every entry, in the order of the specification.
    pub(super) fn place(&mut self) {
        let entries = &self.incoming.entries;
        let of = |letter: char| entries.iter().filter(move |one| one.action.letter() == letter);
        of('d').for_each(|entry| self.place_delete(entry));
        of('c').for_each(|entry| self.place_create(entry));
        of('u').for_each(|entry| self.place_put(entry));
        self.check_once();
    }

    fn place_delete(&mut self, entry: &'r IncomingEntry) {
        let placed = match &entry.target {
            Target::Id(id) => Placed::Here(id.clone()),
            Target::New => return,
            Target::Fits(condition) => {
                let found = self.conditions.matches(condition);
                match found.as_ref().map(|ids| &ids[..]) {
                    Ok([]) => Placed::Absent,
                    Ok([id]) => Placed::Here(id.clone()),
                    Ok(_) => return self.ambiguous(entry, "request.url"),
                    Err(issue) => return self.unreadable(entry, "request.url", issue.clone()),
                }
            }
        };
        if let Placed::Here(id) = &placed {
            self.deleted.insert((entry.kind.clone(), id.clone()));
        }
        self.placed.insert(entry.index, placed);
    }

    fn place_create(&mut self, entry: &'r IncomingEntry) {
        let here = || match &entry.target {
            Target::Id(id) => id.clone(),
            Target::New | Target::Fits(_) => self.given_id(entry.index),
        };
        let Some(condition) = &entry.unless else {
            self.placed.insert(entry.index, Placed::Here(here()));
            return;
        };
        let there = match self.conditions.matches(condition) {
            Ok(ids) => self.not_deleted(&entry.kind, ids),
            Err(issue) => return self.unreadable(entry, "request.ifNoneExist", issue),
        };
        // An entry before this one may have brought it: by what it holds, or in the same words.
        let before = |index: &usize| {
            *index < entry.index && matches!(self.placed.get(index), Some(Placed::Here(_)))
        };
        let alike = |index: &usize| {
            self.entry(*index).is_some_and(|other| other.unless.as_ref() == Some(condition))
        };
        let creates = |index: &usize| {
            self.entry(*index).is_some_and(|other| matches!(other.action, Action::Create(_)))
        };
        let mut brought = self.fitting.of_condition(self.conditions, condition);
        brought.extend(self.fitting.alike(condition).filter(alike));
        brought.sort_unstable();
        brought.dedup();
        brought.retain(|index| before(index) && creates(index));
        let placed = match (&there[..], &brought[..]) {
            ([], []) => Placed::Here(here()),
            ([id], []) => Placed::Stands(id.clone()),
            ([], [other]) => Placed::Same(*other),
            ([_], _) | ([], _) => {
                return self.lean(
                    entry,
                    "request.ifNoneExist",
                    Code::ConditionAmbiguous,
                    AMBIGUOUS,
                );
            }
            _ => return self.ambiguous(entry, "request.ifNoneExist"),
        };
        self.placed.insert(entry.index, placed);
    }

    fn place_put(&mut self, entry: &'r IncomingEntry) {
        let condition = match &entry.target {
            Target::Id(id) => {
                self.placed.insert(entry.index, Placed::Here(id.clone()));
                return;
            }
            Target::New => return,
            Target::Fits(condition) => condition,
        };
        let there = match self.conditions.matches(condition) {
            Ok(ids) => self.not_deleted(&entry.kind, ids),
            Err(issue) => return self.unreadable(entry, "request.url", issue),
        };
        let mut brought = self.fitting.of_condition(self.conditions, condition);
        brought.retain(|index| {
            let placed = matches!(self.placed.get(index), Some(Placed::Here(_)));
            placed && self.entry(*index).is_some_and(|one| matches!(one.action, Action::Create(_)))
        });
        let own = entry.action.resource().and_then(|resource| resource.id());
        let id = match (&there[..], &brought[..], own) {
            ([], [], Some(own)) => own.to_owned(),
            ([], [], None) => self.given_id(entry.index),
            ([id], [], None) => id.clone(),
            ([id], [], Some(own)) if id == own => id.clone(),
            ([_], [], Some(_)) => {
                let detail = "the resource's id is not that of the record that fits";
                return self.refuse(entry, "resource.id", Code::EntryInvalid, detail);
            }
            ([], [other], _) => {
                let detail = format!("the same record as in entry {other}");
                return self.lean(entry, "request.url", Code::EntryInvalid, &detail);
            }
            ([_], _, _) | ([], _, _) => {
                return self.lean(entry, "request.url", Code::ConditionAmbiguous, AMBIGUOUS);
            }
            _ => return self.ambiguous(entry, "request.url"),
        };
        self.placed.insert(entry.index, Placed::Here(id));
    }

    pub(super) fn not_deleted(&self, kind: &str, mut ids: Vec<String>) -> Vec<String> {
        ids.retain(|id| !self.takes_back(kind, id));
        ids
    }

    pub(super) fn takes_back(&self, kind: &str, id: &str) -> bool {
        !self.deleted.is_empty() && self.deleted.contains(&(kind.to_owned(), id.to_owned()))
    }

    fn ambiguous(&mut self, entry: &IncomingEntry, way: &str) {
        self.refuse(entry, way, Code::ConditionAmbiguous, AMBIGUOUS);
    }

    fn unreadable(&mut self, entry: &IncomingEntry, way: &str, issue: Issue) {
        self.refuse(entry, way, issue.code, &issue.detail);
    }

    /// The id of a record that this house gives: the same each time the entry is looked at, and
    /// nobody else's, since nobody else has the submission's.
    fn given_id(&self, index: usize) -> String {
        let index = (index as u64).to_be_bytes();
        let pieces = [b"record".as_slice(), self.sent.receipt.as_bytes(), &index];
        Digest::of_pieces(pieces).to_string()[..32].to_owned()
    }

    /// A record is written once (R4 §3.1.0.11.2: identities may not overlap).
    fn check_once(&mut self) {
        let mut named: HashMap<(&str, &str), usize> = HashMap::new();
        let again = |entry: &'r IncomingEntry| {
            let Placed::Here(id) = self.placed.get(&entry.index)? else { return None };
            let first = *named.entry((&entry.kind, id)).or_insert(entry.index);
            (first != entry.index).then_some((entry, first))
        };
        let again: Vec<_> = self.incoming.entries.iter().filter_map(again).collect();
        for (entry, first) in again {
            let detail = format!("the same record as in entry {first}");
            self.lean(entry, "request.url", Code::EntryInvalid, &detail);
        }
    }
}
