//! Matching: which of the Patients that lines are about are members.
//!
//! Comes in   resources of one unit; the records of their sender; the plan's members.
//! Goes out   for each Patient whether its resources are filed, wait, or have nobody to be filed for.
//! Never      takes a Patient for a member that was not matched by this submission or by the push that
//!            filed it and again here; remembers more of them than `BULK_KNOWN_MAX`.

use super::Stop;
use super::filing::Job;
use super::look::Look;
use super::run::Item;
use crate::limits::{BULK_KNOWN_MAX, BULK_PATIENTS_TOGETHER, COVERAGES_BYTES_MAX, COVERAGES_MAX};
use exchange::member::Members;
use exchange::read::About;
use exchange::{Code, Issue};
use fhir::Resource;
use repository::{keys, store_issue};
use std::collections::{BTreeSet, HashMap, HashSet};
use store::{House, RecordQuery};

/// What becomes of what is about a Patient.
#[derive(Debug, Clone)]
pub(super) enum Whose {
    /// It is filed.
    Member,
    /// The Patient, or what names the member, may still come.
    Waits,
    /// There is no such member.
    Unmatched(Issue),
}

/// Patients that were matched: the last ones and those before, which are forgotten first.
#[derive(Debug, Default)]
pub(super) struct Known {
    last: HashSet<String>,
    before: HashSet<String>,
    /// Those who are no members, in the last look: what is about them is refused for the same reason.
    nobody: HashMap<String, Issue>,
}

impl Known {
    fn has(&self, id: &str) -> bool {
        self.last.contains(id) || self.before.contains(id)
    }

    pub(super) fn remember(&mut self, ids: Vec<String>) {
        for id in ids {
            if self.last.len() >= BULK_KNOWN_MAX / 2 {
                self.before = std::mem::take(&mut self.last);
            }
            self.last.insert(id);
        }
    }

    fn refuse(&mut self, id: &str, issue: &Issue) {
        if self.nobody.len() < BULK_KNOWN_MAX {
            self.nobody.insert(id.to_owned(), issue.clone());
        }
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.last.remove(id);
        self.before.remove(id);
    }
}

impl Job<'_> {
    /// Whose the items of a unit are, by the ids of their Patients.
    pub(super) async fn whose(
        &mut self,
        items: &[Item],
        look: Look,
    ) -> Result<HashMap<String, Whose>, Stop> {
        let patients: BTreeSet<&str> = items.iter().filter_map(patient_of).collect();
        let (mut whose, mut brought) = (HashMap::with_capacity(patients.len()), HashMap::new());
        let mut coverages: HashMap<&str, Vec<Resource>> = HashMap::new();
        for item in items {
            let resource = &item.put.alone.resource;
            match (item.put.kind(), patient_of(item)) {
                ("Patient", Some(id)) => drop(brought.insert(id.to_owned(), resource.clone())),
                ("Coverage", Some(id)) => coverages.entry(id).or_default().push(resource.clone()),
                _ => {}
            }
        }
        let mut unknown = Vec::new();
        for id in patients {
            match (brought.contains_key(id), self.known.has(id)) {
                (false, true) => drop(whose.insert(id.to_owned(), Whose::Member)),
                (true, _) => unknown.push(id),
                (false, false) => unknown.push(id),
            }
        }
        let away = unknown.iter().copied().filter(|id| !brought.contains_key(*id));
        let on_file = self.patients(away.collect()).await?;
        let members = self.road.register.members()?;
        for id in unknown {
            let patient = brought.get(id).or_else(|| on_file.get(id));
            let mut own = coverages.remove(id).unwrap_or_default();
            own.extend(self.waiting.get(id).into_iter().flatten().cloned());
            let found = match patient {
                None => {
                    let detail = "the Patient it is about is not filed";
                    let unnamed = || Issue::new(Code::MemberNotNamed, detail).at("Patient");
                    Err(self.known.nobody.get(id).cloned().unwrap_or_else(unnamed))
                }
                Some(patient) => self.member(&members, id, patient, own).await?,
            };
            if let (Err(issue), true, true) = (&found, look.ends_for(id), patient.is_some()) {
                self.known.refuse(id, issue);
            }
            let found = match found {
                Ok(()) => Whose::Member,
                Err(issue) if look.ends_for(id) => Whose::Unmatched(issue),
                Err(_) => Whose::Waits,
            };
            whose.insert(id.to_owned(), found);
        }
        Ok(whose)
    }

    /// Whether a Patient is a member: by what came with it, and else by what is on file.
    async fn member(
        &self,
        members: &Members,
        id: &str,
        patient: &Resource,
        mut coverages: Vec<Resource>,
    ) -> Result<Result<(), Issue>, Stop> {
        let Err(first) = members.match_member(patient, &coverages) else { return Ok(Ok(())) };
        let filed = self.coverages(id).await?;
        if filed.is_empty() {
            return Ok(Err(first));
        }
        coverages.extend(filed);
        Ok(members.match_member(patient, &coverages).map(drop))
    }

    /// Patients of the sender's on file.
    async fn patients(&self, ids: Vec<&str>) -> Result<HashMap<String, Resource>, Stop> {
        let mut found = HashMap::with_capacity(ids.len());
        for some in ids.chunks(BULK_PATIENTS_TOGETHER) {
            let mut query = RecordQuery {
                kind: "Patient".to_owned(),
                ids: some.iter().map(|id| (*id).to_owned()).collect(),
                owner: Some(self.sender.public.name.clone()),
                limit: u32::try_from(BULK_PATIENTS_TOGETHER).unwrap_or(u32::MAX),
                bytes: COVERAGES_BYTES_MAX,
                ..RecordQuery::default()
            };
            loop {
                let page = self.road.house.search(query.clone()).await.map_err(store_issue)?;
                let Some(last) = page.last() else { break };
                query.after = Some(last.id.clone());
                let read = |content| Resource::parse(content).ok();
                let page = page.into_iter();
                found.extend(page.filter_map(|one| Some((one.id, one.content.and_then(read)?))));
            }
        }
        Ok(found)
    }

    /// What the sender filed of a Patient's Coverages.
    async fn coverages(&self, patient: &str) -> Result<Vec<Resource>, Stop> {
        let query = RecordQuery {
            kind: "Coverage".to_owned(),
            patients: vec![patient.to_owned()],
            owner: Some(self.sender.public.name.clone()),
            limit: COVERAGES_MAX,
            bytes: COVERAGES_BYTES_MAX,
            ..RecordQuery::default()
        };
        let found = self.road.house.search(query).await.map_err(store_issue)?;
        let contents = found.into_iter().filter_map(|record| record.content);
        Ok(contents.filter_map(|content| Resource::parse(content).ok()).collect())
    }

    /// What only speaks of records is about those whom they are about: records of the same unit, or on
    /// file.
    pub(super) async fn speak_of(&self, items: &mut [Item]) -> Result<(), Stop> {
        if !items.iter().any(|item| matches!(item.about, About::Of(_))) {
            return Ok(());
        }
        let here: HashMap<(String, String), String> = items
            .iter()
            .filter_map(|item| Some((item.name(), patient_of(item)?.to_owned())))
            .collect();
        for item in items {
            let About::Of(records) = &item.about else { continue };
            let mut found = records.iter().find_map(|record| here.get(record)).cloned();
            if found.is_none() {
                found = self.filed_about(records).await?;
            }
            if let Some(patient) = found {
                item.about = About::Patient(patient);
            }
        }
        Ok(())
    }

    /// The Patient whom the first of these records is about that the sender has on file.
    async fn filed_about(&self, records: &[(String, String)]) -> Result<Option<String>, Stop> {
        let heads = self.road.house.heads(records).await.map_err(store_issue)?;
        let own = heads.into_iter().flatten();
        let own = own.filter(|head| !head.deleted && head.owner == self.sender.public.name);
        for head in own {
            let record = self.road.house.record(&head.kind, &head.id, None).await;
            let content = record.map_err(store_issue)?.and_then(|record| record.content);
            let resource = content.and_then(|content| Resource::parse(content).ok());
            if let Some(patient) = resource.and_then(|resource| keys(&resource).patient) {
                return Ok(Some(patient));
            }
        }
        Ok(None)
    }
}

fn patient_of(item: &Item) -> Option<&str> {
    match &item.about {
        About::Patient(id) => Some(id),
        _ => None,
    }
}
