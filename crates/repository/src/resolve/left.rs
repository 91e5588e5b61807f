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
use crate::plan::{self, Filing};
use exchange::read::{Action, IncomingEntry};
use exchange::{Code, Issue};
use std::collections::HashMap;
use store::{Expect, House, Record, RecordQuery};

impl<'r> Resolving<'r> {
    /// A Patient goes with all that is about it: what is left of this sender's records must not be
    /// about somebody who is gone.
    pub(super) async fn check_left<H: House>(
        &mut self,
        house: &H,
        filing: &Filing,
        standing: &Heads,
    ) -> Result<(), Issue> {
        let withdrawn = self.withdrawn(filing, standing);
        if withdrawn.is_empty() {
            return Ok(());
        }
        let written = self.changed(filing, standing);
        let patients: Vec<String> = withdrawn.iter().map(|(_, id)| id.clone()).collect();
        for kind in kinds::about_patients() {
            let about = self.about(kind, patients.clone());
            let ids = found_here(house, &about, &written).await?;
            let count = house.count(about.clone()).await.map_err(store_issue)?;
            if count <= ids.len() as u64 {
                self.nothing_left.push(Expect::Found { query: Box::new(about), ids });
                continue;
            }
            for (entry, id) in &withdrawn {
                let about = self.about(kind, vec![id.clone()]);
                let ids = found_here(house, &about, &written).await?;
                if house.count(about).await.map_err(store_issue)? > ids.len() as u64 {
                    let detail = format!("filed records of type {kind} refer to this Patient");
                    self.refuse(entry, "request.url", Code::ReferenceUnresolved, &detail);
                }
            }
        }
        Ok(())
    }

    /// The Patients of this sender that stand and are to be deleted. One that a newer push filed stays.
    fn withdrawn(&self, filing: &Filing, standing: &Heads) -> Vec<(&'r IncomingEntry, String)> {
        let entries = self.incoming.entries.iter().zip(&standing.entries);
        let deletes = entries.filter(|(entry, _)| {
            entry.kind == "Patient" && entry.action == Action::Delete && self.stands(entry)
        });
        let own = deletes.filter(|(_, head)| {
            let own = head.as_ref().filter(|head| !head.deleted && head.owner == filing.owner);
            own.is_some_and(|head| !plan::is_set_aside(filing, "Patient", head))
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

    /// The ids that the Bundle writes or deletes, by their types: what a newer push filed stays as it is.
    fn changed(&self, filing: &Filing, standing: &Heads) -> HashMap<&'r str, Vec<String>> {
        let mut written: HashMap<&str, Vec<String>> = HashMap::new();
        for (entry, head) in self.incoming.entries.iter().zip(&standing.entries) {
            let stays = |head: &Record| plan::is_set_aside(filing, &entry.kind, head);
            if !self.stands(entry) || head.as_ref().is_some_and(stays) {
                continue;
            }
            if let Some(Placed::Here(id)) = self.placed.get(&entry.index) {
                written.entry(&entry.kind).or_default().push(id.clone());
            }
        }
        written
    }
}

/// Those of the records that fit which the Bundle itself writes or deletes.
async fn found_here<H: House>(
    house: &H,
    about: &RecordQuery,
    written: &HashMap<&str, Vec<String>>,
) -> Result<Vec<String>, Issue> {
    let mut found = Vec::new();
    let Some(written) = written.get(about.kind.as_str()) else { return Ok(found) };
    let limit = u32::try_from(written.len()).unwrap_or(u32::MAX);
    let ids = written.clone();
    let mut query = RecordQuery { ids, limit, bytes: CONDITION_BYTES_MAX, ..about.clone() };
    loop {
        let records = house.search(query.clone()).await.map_err(store_issue)?;
        let Some(last) = records.last() else { return Ok(found) };
        query.after = Some(last.id.clone());
        found.extend(records.into_iter().map(|record| record.id));
    }
}
