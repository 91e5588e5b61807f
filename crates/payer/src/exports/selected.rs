//! Selected: the records of an export that does not give all there are of a type: those of some
//! Patients, those that a search finds, with their Provenance, or in blocks.
//!
//! Comes in   an export that was asked for, the moment, and the lease on its row.
//! Goes out   its files, each with the list of its records, durable as soon as it is full.
//! Never      holds more than a page of contents, a file's list and a bounded number of names.
//!
//! Where Patients are chosen, their records are found by the store's keys: what was taken back between
//! the moment and this look is not given, and the next export tells of it.

mod blocks;
mod provenance;

use super::listed::{Listing, Look};
use super::whom;
use crate::limits::{
    EXPORT_FILE_RECORDS, EXPORT_HEADS_TOGETHER, EXPORT_PATIENTS_TOGETHER, EXPORT_REFERRED_MAX,
};
use exchange::export::{Asked, Associated, Beyond, ExportFile, Wording};
use exchange::{Code, Issue, place};
use fhir::Resource;
use repository::limits::{SNAPSHOT_BYTES, SNAPSHOT_CONTENTS};
use repository::snapshot::{Moment, Stood, Walk, Writing, next_kind, stood_at, versions};
use repository::{Filter, keys, store_issue};
use std::collections::{BTreeMap, BTreeSet};
use store::{House, Record, RecordKeys, RecordQuery, Unit};

/// Whether an export gives some records of a type and not others.
pub(super) fn is_one(asked: &Asked) -> bool {
    asked.wording.is_some()
        || asked.group.is_some()
        || asked.associated.is_some()
        || asked.by_patient
}

/// An export that is being listed.
pub(super) struct Selected<'r, 'l> {
    look: &'l mut Look<'r>,
    listing: &'l mut Listing,
    moment: Moment,
    patients: Option<BTreeSet<String>>,
    filters: Vec<Filter>,
    writing: Writing,
    /// Names of what the Patients' records refer to, and is about nobody.
    referred: BTreeSet<(String, String)>,
}

/// A version that stood, with what it is found by.
struct Standing {
    record: Record,
    resource: Resource,
    keys: RecordKeys,
}

impl Standing {
    fn of(record: Record) -> Result<Standing, Issue> {
        let content = record.content.clone().unwrap_or_default();
        let resource = Resource::parse(content)
            .map_err(|_| Issue::new(Code::StoreUnavailable, "a stored record cannot be read"))?;
        let keys = keys(&resource);
        Ok(Standing { record, resource, keys })
    }
}

/// Lists all that was asked for.
///
/// Errors: `HouseBusy` where another worker has taken it over; those of the store.
pub(super) async fn list(
    look: &mut Look<'_>,
    listing: &mut Listing,
    moment: Moment,
    wording: &Wording,
) -> Result<(), Issue> {
    let (patients, members) = whom::chosen(look.road, look.export, wording).await?;
    match members {
        Some(members) if members.others > 0 => {
            listing.beyond.insert(Beyond::Members, members.others);
        }
        None if look.export.asked.group.is_some() => {
            listing.left_out.insert("Group".to_owned(), 1);
        }
        _ => {}
    }
    let base = look.road.setup.base_url.trim_end_matches('/');
    let filters = wording.filters.iter().map(|text| Filter::read(base, text));
    let filters = filters.collect::<Result<_, _>>()?;
    let (writing, referred) = (Writing::default(), BTreeSet::new());
    let mut selected = Selected { look, listing, moment, patients, filters, writing, referred };
    match selected.look.export.asked.by_patient {
        true => selected.blocks().await?,
        false => selected.by_type().await?,
    }
    selected.taken_back().await
}

/// Whether records of a type say whom they are about.
fn is_about(kind: &str) -> bool {
    matches!(kind, "Patient" | "Provenance") || repository::about_patients().any(|it| it == kind)
}

impl Selected<'_, '_> {
    fn house(&self) -> &store::AnyHouse {
        &self.look.road.house
    }

    fn wants(&self, kind: &str) -> bool {
        let kinds = self.look.export.asked.kinds.as_ref();
        kinds.is_none_or(|kinds| kinds.iter().any(|wanted| wanted == kind))
    }

    /// The types that are given by themselves: Provenance is not, where it comes along with others, or is
    /// that of some Patients' records.
    async fn next_kind(&self, behind: Option<&str>) -> Result<Option<String>, Issue> {
        let mut kind = self.look.next_kind(behind).await?;
        let Asked { associated, by_patient, .. } = &self.look.export.asked;
        let along = associated.is_some() || self.patients.is_some() && !by_patient;
        if along && kind.as_deref() == Some("Provenance") {
            kind = self.look.next_kind(Some("Provenance")).await?;
        }
        Ok(kind)
    }

    async fn by_type(&mut self) -> Result<(), Issue> {
        let mut next = self.next_kind(None).await?;
        while let Some(kind) = next {
            match (&self.patients, is_about(&kind)) {
                (Some(_), true) => self.about(&kind).await?,
                // What is about nobody comes where it is referred to.
                (Some(_), false) => {}
                (None, _) => self.all(&kind).await?,
            }
            self.file(&kind, false, false).await?;
            next = self.next_kind(Some(&kind)).await?;
        }
        self.referred().await?;
        let of = match self.look.export.asked.associated {
            Some(Associated::Latest) => provenance::Of::Latest,
            Some(Associated::Relevant) => provenance::Of::Given,
            None if self.patients.is_some() && self.wants("Provenance") => provenance::Of::Patients,
            None => return Ok(()),
        };
        self.provenance(of).await?;
        self.file("Provenance", false, false).await
    }

    /// The records of a type about the chosen Patients.
    async fn about(&mut self, kind: &str) -> Result<(), Issue> {
        let patients: Vec<String> = self.patients.iter().flatten().cloned().collect();
        for some in patients.chunks(EXPORT_PATIENTS_TOGETHER) {
            let mut query = RecordQuery {
                kind: kind.to_owned(),
                patients: some.to_vec(),
                limit: SNAPSHOT_CONTENTS as u32,
                bytes: SNAPSHOT_BYTES,
                ..RecordQuery::default()
            };
            loop {
                let page = self.house().search(query.clone()).await.map_err(store_issue)?;
                let Some(last) = page.last() else { break };
                query.after = Some(last.id.clone());
                self.look.looked(page.len() as u64).await?;
                for newest in page {
                    let Some(record) = stood_at(self.house(), newest, self.moment.as_of).await?
                    else {
                        continue;
                    };
                    let standing = Standing::of(record)?;
                    self.follow(&standing);
                    self.give(&standing).await?;
                }
            }
        }
        Ok(())
    }

    /// All records of a type that its filters find.
    async fn all(&mut self, kind: &str) -> Result<(), Issue> {
        let narrowed = self.filters.iter().any(|filter| filter.kind() == kind);
        let mut walk = Walk::new(kind, self.moment.as_of, None);
        while let Some(heads) = walk.page(self.house()).await? {
            self.look.looked(heads.len() as u64).await?;
            let mut there = Vec::new();
            for head in heads {
                match self.moment.stood(&head) {
                    Some(Stood::There) => there.push((head.id, head.version)),
                    Some(Stood::Purged) => self.listing.leave_out(kind),
                    _ => {}
                }
            }
            for some in there.chunks(SNAPSHOT_CONTENTS) {
                if !narrowed {
                    for (id, version) in some {
                        self.add(kind, id, *version).await?;
                    }
                    continue;
                }
                for record in versions(self.house(), kind, some).await?.into_iter().flatten() {
                    self.give(&Standing::of(record)?).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether a record belongs to the export.
    fn is_given(&self, standing: &Standing) -> bool {
        let Standing { record, keys, .. } = standing;
        let whose = match &self.patients {
            Some(chosen) => keys.patient.as_ref().is_some_and(|id| chosen.contains(id)),
            None => true,
        };
        whose && self.moment.stood(record) == Some(Stood::There) && self.is_found(standing)
    }

    /// Whether the filters of its type find it, where it has any.
    fn is_found(&self, Standing { record, keys, .. }: &Standing) -> bool {
        let mut own = self.filters.iter().filter(|filter| filter.kind() == record.kind).peekable();
        own.peek().is_none() || own.any(|filter| filter.fits(record, keys))
    }

    async fn give(&mut self, standing: &Standing) -> Result<(), Issue> {
        match self.is_given(standing) {
            true => {
                let Record { kind, id, version, .. } = &standing.record;
                self.add(kind, id, *version).await
            }
            false => Ok(()),
        }
    }

    /// Remembers what a record refers to that is about nobody.
    fn follow(&mut self, Standing { resource, .. }: &Standing) {
        let base = self.look.road.setup.base_url.trim_end_matches('/');
        for reference in resource.references() {
            let text = resource.reference_text(reference);
            let local = place::under(&text, base).unwrap_or(&text);
            let Some((kind, id, _)) = place::parts(local) else { continue };
            let general = kind == "Device" || !is_about(kind);
            if !general || !self.wants(kind) || kind == "Group" {
                continue;
            }
            let name = (kind.to_owned(), id.to_owned());
            match self.referred.len() < EXPORT_REFERRED_MAX || self.referred.contains(&name) {
                true => drop(self.referred.insert(name)),
                false => *self.listing.beyond.entry(Beyond::Referred).or_default() += 1,
            }
        }
    }

    /// What the chosen Patients' records refer to, and what that refers to, where it is about nobody.
    async fn referred(&mut self) -> Result<(), Issue> {
        let mut known = BTreeSet::new();
        let mut given: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        loop {
            let fresh: Vec<_> = self.referred.difference(&known).cloned().collect();
            if fresh.is_empty() {
                break;
            }
            for some in fresh.chunks(EXPORT_HEADS_TOGETHER) {
                let heads = self.house().heads(some).await.map_err(store_issue)?;
                self.look.looked(heads.len() as u64).await?;
                for head in heads.into_iter().flatten() {
                    let Some(record) = stood_at(self.house(), head, self.moment.as_of).await?
                    else {
                        continue;
                    };
                    let (kind, id, version) = (record.kind, record.id, record.version);
                    let found = self.house().record(&kind, &id, Some(version)).await;
                    let found = found.map_err(store_issue)?.filter(|one| one.content.is_some());
                    let Some(record) = found else { continue };
                    let standing = Standing::of(record)?;
                    if standing.keys.patient.is_some() {
                        continue; // somebody's after all, and given with that one's records or not
                    }
                    self.follow(&standing);
                    let there = self.moment.stood(&standing.record) == Some(Stood::There);
                    if there && self.is_found(&standing) {
                        given.entry(kind).or_default().insert(id, version);
                    }
                }
            }
            known.extend(fresh);
        }
        for (kind, records) in given {
            for (id, version) in records {
                self.add(&kind, &id, version).await?;
            }
            self.file(&kind, false, false).await?;
        }
        Ok(())
    }

    /// What was taken back since, of what would have been given.
    async fn taken_back(&mut self) -> Result<(), Issue> {
        if self.moment.since.is_none() {
            return Ok(());
        }
        let mut next = self.next_kind(None).await?;
        while let Some(kind) = next {
            let chosen = self.patients.is_some() || self.look.export.asked.by_patient;
            if is_about(&kind) || !chosen {
                self.taken_back_of(&kind).await?;
                self.file(&kind, true, false).await?;
            }
            next = self.next_kind(Some(&kind)).await?;
        }
        Ok(())
    }

    async fn taken_back_of(&mut self, kind: &str) -> Result<(), Issue> {
        let chosen = self.patients.is_some() || self.look.export.asked.by_patient;
        let mut walk = Walk::new(kind, self.moment.as_of, None);
        while let Some(heads) = walk.page(self.house()).await? {
            self.look.looked(heads.len() as u64).await?;
            for head in heads {
                if self.moment.stood(&head) != Some(Stood::Deleted) {
                    continue;
                }
                // Whose it was, the version before says; where that is purged too, nobody can tell.
                let before = [(head.id.clone(), head.version - 1)];
                let was = versions(self.house(), kind, &before).await?.into_iter().flatten().next();
                let was = was.map(Standing::of).transpose()?.and_then(|one| one.keys.patient);
                let counts = match (&self.patients, was) {
                    (Some(patients), Some(was)) => patients.contains(&was),
                    (None, Some(_)) => true,
                    (_, None) => !chosen,
                };
                if counts {
                    self.writing.version(kind, &head.id, head.version);
                    self.full(kind, true).await?;
                }
            }
        }
        Ok(())
    }

    async fn add(&mut self, kind: &str, id: &str, version: u64) -> Result<(), Issue> {
        self.writing.version(kind, id, version);
        self.full(kind, false).await
    }

    async fn full(&mut self, kind: &str, deleted: bool) -> Result<(), Issue> {
        match self.writing.count() < EXPORT_FILE_RECORDS {
            true => Ok(()),
            false => self.file(kind, deleted, false).await,
        }
    }

    /// Ends a file: its list is durable from here on.
    async fn file(&mut self, kind: &str, deleted: bool, goes_on: bool) -> Result<(), Issue> {
        if self.writing.count() == 0 {
            return Ok(());
        }
        let (digest, list, count) = self.writing.take();
        self.look.keep(Unit { blobs: vec![(digest, list)], ..Unit::default() }).await?;
        self.listing.files.push(ExportFile {
            name: String::new(),
            kind: kind.to_owned(),
            deleted,
            after: None,
            through: String::new(),
            listed: Some(digest),
            goes_on,
            count,
        });
        Ok(())
    }
}

/// The first type behind this one of which there is any record, or of those named.
pub(super) async fn kind_behind(
    house: &store::AnyHouse,
    kinds: Option<&Vec<String>>,
    behind: Option<&str>,
) -> Result<Option<String>, Issue> {
    match kinds {
        Some(kinds) => {
            let mut kinds = kinds.iter();
            Ok(kinds.find(|kind| behind.is_none_or(|behind| kind.as_str() > behind)).cloned())
        }
        None => next_kind(house, behind).await,
    }
}
