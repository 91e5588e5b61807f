//! Left: what would be left of a Patient's records once it is taken back.
//!
//! Comes in   the Patients that a Bundle withdraws, and what else it writes.
//! Goes out   issues where something is left; else the expectation that nothing is, of every type.
//! Never      counts a Provenance: it may speak of what is gone.
//!
//! Why an expectation of every type: whoever files about a Patient relies on the Patient's version,
//! and whoever withdraws it on what was filed about it. So of the two, one comes too late.

use super::{Heads, Placed, Resolving};
use crate::desk::store_issue;
use crate::kinds;
use crate::limits::CONDITION_BYTES_MAX;
use exchange::read::{Action, IncomingEntry};
use exchange::{Code, Issue};
use store::{Expect, House, RecordQuery};

impl<'r> Resolving<'r> {
    /// A Patient goes with all that is about it: what is left of this sender's records must not be
    /// about somebody who is gone.
    pub(super) async fn check_left<H: House>(
        &mut self,
        house: &H,
        standing: &Heads,
    ) -> Result<(), Issue> {
        let withdrawn = self.withdrawn(standing);
        if withdrawn.is_empty() {
            return Ok(());
        }
        let patients: Vec<String> = withdrawn.iter().map(|(_, id)| id.clone()).collect();
        for kind in kinds::about_patients() {
            let about = self.about(kind, patients.clone());
            let ids = self.found_here(house, &about).await?;
            let count = house.count(about.clone()).await.map_err(store_issue)?;
            if count <= ids.len() as u64 {
                self.nothing_left.push(Expect::Found { query: Box::new(about), ids });
                continue;
            }
            for (entry, id) in &withdrawn {
                let about = self.about(kind, vec![id.clone()]);
                let ids = self.found_here(house, &about).await?;
                if house.count(about).await.map_err(store_issue)? > ids.len() as u64 {
                    let detail = format!("filed records of type {kind} refer to this Patient");
                    self.refuse(entry, "request.url", Code::ReferenceUnresolved, &detail);
                }
            }
        }
        Ok(())
    }

    /// The Patients of this sender that stand and are to be deleted.
    fn withdrawn(&self, standing: &Heads) -> Vec<(&'r IncomingEntry, String)> {
        let entries = self.incoming.entries.iter().zip(&standing.entries);
        let deletes = entries.filter(|(entry, _)| {
            entry.kind == "Patient" && entry.action == Action::Delete && self.stands(entry)
        });
        let own = deletes.filter(|(_, head)| {
            let head = head.as_ref();
            head.is_some_and(|head| !head.deleted && head.owner == *self.sent.owner)
        });
        own.filter_map(|(entry, _)| match self.placed.get(&entry.index)? {
            Placed::Here(id) => Some((entry, id.clone())),
            _ => None,
        })
        .collect()
    }

    fn about(&self, kind: &str, patients: Vec<String>) -> RecordQuery {
        let owner = Some(self.sent.owner.clone());
        RecordQuery { kind: kind.to_owned(), patients, owner, ..RecordQuery::default() }
    }

    /// Those of the records that fit which the Bundle itself writes or deletes.
    async fn found_here<H: House>(
        &self,
        house: &H,
        about: &RecordQuery,
    ) -> Result<Vec<String>, Issue> {
        let written = self.ids_of(&about.kind);
        let mut found = Vec::new();
        if written.is_empty() {
            return Ok(found);
        }
        let limit = u32::try_from(written.len()).unwrap_or(u32::MAX);
        let mut query =
            RecordQuery { ids: written, limit, bytes: CONDITION_BYTES_MAX, ..about.clone() };
        loop {
            let records = house.search(query.clone()).await.map_err(store_issue)?;
            let Some(last) = records.last() else { return Ok(found) };
            query.after = Some(last.id.clone());
            found.extend(records.into_iter().map(|record| record.id));
        }
    }

    /// The ids that the Bundle writes or deletes of a type.
    fn ids_of(&self, kind: &str) -> Vec<String> {
        let entries = self.incoming.entries.iter().filter(|entry| entry.kind == kind);
        let placed = entries.filter(|entry| self.stands(entry));
        placed
            .filter_map(|entry| match self.placed.get(&entry.index)? {
                Placed::Here(id) => Some(id.clone()),
                _ => None,
            })
            .collect()
    }
}
