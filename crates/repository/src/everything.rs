//! Everything: all that is held about one Patient (R4 patient-operation-everything).
//!
//! Comes in   the Patient's id; `_since`, `_type`, `_count`.
//! Goes out   searchset Bundles, page by page: first the records about the Patient, in the order of
//!            type and id; behind them, each once, the records that those refer to and that are
//!            about nobody: Practitioner, Organization, Location, Medication, ….
//! Never      another Patient's record, however it is referred to; never more in memory than a page,
//!            a step of the chart and a bounded list of names.
//!
//! Why what is referred to comes last: a page then need not know what earlier pages held. To find
//! it, the chart is walked through once for each of these last pages, which are few: a chart names
//! some tens of people and places.

use crate::desk::{Desk, store_issue};
use crate::include::{Included, Name, size};
use crate::keys::keys;
use crate::kinds;
use crate::limits::{
    ALTERNATIVES_MAX, CHART_STEP_BYTES, CHART_STEP_RECORDS, PAGE_BYTES_MAX, REFERRED_RECORDS_MAX,
};
use crate::page::{cut, is_full};
use crate::paging::Paging;
use crate::search::{invalid, unsupported};
use bytes::Bytes;
use exchange::query::Handling;
use exchange::{Code, Issue};
use fhir::{BundleType, BundleWriter, Resource};
use std::collections::BTreeSet;
use store::{AboutQuery, House, Record};

/// Our parameter in `next` links: continue behind this record about the Patient.
const AFTER: &str = "_after";

/// Our parameter in `next` links: continue behind this record that is referred to.
const REFERRED: &str = "_referred";

/// What `_referred` says where they begin.
const FIRST: &str = "-";

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Asked {
    paging: Paging,
    /// Of these types; `None`: any.
    kinds: Option<Vec<String>>,
    /// Where the page begins.
    from: Place,
}

/// Where a page begins: behind this record; `None`: at the first.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Of those about the Patient.
    Chart(Option<Name>),
    /// Of those referred to; all about the Patient have been given.
    Referred(Option<Name>),
}

impl Default for Place {
    fn default() -> Place {
        Place::Chart(None)
    }
}

impl Asked {
    fn parse(parameters: &[(String, String)], handling: Handling) -> Result<Asked, Issue> {
        let mut asked = Asked::default();
        for (name, value) in parameters {
            if asked.paging.takes(name, value)? {
                continue;
            }
            match name.as_str() {
                "_type" => {
                    asked.narrow(value)?;
                    asked.paging.understood(name, value);
                }
                AFTER => asked.from = Place::Chart(Some(place(name, value)?)),
                REFERRED => {
                    let behind = (value != FIRST).then(|| place(name, value)).transpose()?;
                    asked.from = Place::Referred(behind);
                }
                // `start` and `end` too: a record without a date would be in or out by chance.
                _ if handling == Handling::Lenient => {}
                _ => return Err(unsupported("Patient/$everything", name)),
            }
        }
        Ok(asked)
    }

    /// Types separated by commas; what is no type of R4's form is a mistake.
    fn narrow(&mut self, value: &str) -> Result<(), Issue> {
        let kinds: Vec<_> = value.split(',').map(str::to_owned).collect();
        let good = |kind: &String| {
            kind.starts_with(|first: char| first.is_ascii_uppercase())
                && kind.bytes().all(|byte| byte.is_ascii_alphabetic())
        };
        if !kinds.iter().all(good) || kinds.len() > ALTERNATIVES_MAX {
            return Err(invalid("_type", "types are named like Observation,Condition"));
        }
        match &mut self.kinds {
            Some(held) => held.retain(|kind| kinds.contains(kind)),
            None => self.kinds = Some(kinds),
        }
        Ok(())
    }

    fn wants(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|known| known == kind))
    }

    fn link(&self, url: &str, from: &Place) -> String {
        let mut link = self.paging.link(url.to_owned());
        match from {
            Place::Chart(None) => {}
            Place::Chart(Some((kind, id))) => link.add(AFTER, &format!("{kind}/{id}")),
            Place::Referred(None) => link.add(REFERRED, FIRST),
            Place::Referred(Some((kind, id))) => link.add(REFERRED, &format!("{kind}/{id}")),
        }
        link.0
    }
}

fn place(name: &str, value: &str) -> Result<Name, Issue> {
    let place = crate::keys::local(value);
    let (kind, id) = place.ok_or_else(|| invalid(name, "use next links as they were given"))?;
    Ok((kind.to_owned(), id.to_owned()))
}

fn named(record: &Record) -> Name {
    (record.kind.clone(), record.id.clone())
}

/// Whether records of a type may be about nobody. Of types that are about a Patient, those that are
/// about none are no part of anybody's chart; a Device is both.
fn is_general(kind: &str) -> bool {
    match kind {
        "Patient" => false,
        "Device" => true,
        kind => kinds::row(kind).is_none_or(|row| row.patient.1.is_empty()),
    }
}

impl<H: House> Desk<'_, H> {
    /// A page of all that is held about a Patient.
    ///
    /// `_since` and `_type` hold for every record given; what is referred to is found by the whole
    /// chart, whatever they are. There is no total: it would have to be counted by walking through.
    ///
    /// Errors: `ResourceUnknown`, `ResourceDeleted`, `ContentPurged`; `ParameterUnsupported` (`start`
    /// and `end` too), `ParameterInvalid`; those of the store.
    pub async fn everything(
        &self,
        id: &str,
        parameters: &[(String, String)],
        handling: Handling,
    ) -> Result<Bytes, Issue> {
        let asked = Asked::parse(parameters, handling)?;
        self.patient_stands(id).await?;
        let count = self.page_size(asked.paging.count);
        let (about, mut next) = match &asked.from {
            Place::Chart(after) => self.chart_page(id, &asked, after, count).await?,
            Place::Referred(_) => (Vec::new(), None),
        };
        let mut referred = Vec::new();
        if next.is_none() {
            let behind = match &asked.from {
                Place::Chart(_) => None,
                Place::Referred(behind) => behind.clone(),
            };
            let room = (PAGE_BYTES_MAX as u64).saturating_sub(about.iter().map(size).sum());
            let room = (count - about.len(), room);
            (referred, next) = self.referred_page(id, &asked, behind, room).await?;
        }
        let url = format!("{}/Patient/{id}/$everything", self.base);
        let mut bundle = BundleWriter::new(BundleType::Searchset);
        bundle = bundle.link("self", &asked.link(&url, &asked.from));
        if let Some(next) = next {
            bundle = bundle.link("next", &asked.link(&url, &next));
        }
        for (mode, records) in [("match", &about), ("include", &referred)] {
            for record in records {
                self.entry(&mut bundle, record, mode)?;
            }
        }
        Ok(bundle.finish().into())
    }

    async fn patient_stands(&self, id: &str) -> Result<(), Issue> {
        let name = [("Patient".to_owned(), id.to_owned())];
        let head = self.house.heads(&name).await.map_err(store_issue)?.pop().flatten();
        match head.filter(|head| self.may_see(head)) {
            Some(head) if head.deleted => {
                Err(Issue::new(Code::ResourceDeleted, "this Patient was withdrawn"))
            }
            Some(head) if head.purged => {
                Err(Issue::new(Code::ContentPurged, "this Patient's time is over"))
            }
            Some(_) => Ok(()),
            None => Err(crate::read::unknown()),
        }
    }

    /// The next records about the Patient, and where those behind them begin.
    async fn chart_page(
        &self,
        id: &str,
        asked: &Asked,
        after: &Option<Name>,
        count: usize,
    ) -> Result<(Vec<Record>, Option<Place>), Issue> {
        let kinds = match (&asked.kinds, &self.kinds) {
            (None, None) => Vec::new(),
            (None, Some(seen)) => seen.clone(),
            (Some(kinds), _) => {
                kinds.iter().filter(|kind| self.may_follow(kind)).cloned().collect()
            }
        };
        if kinds.is_empty() && (asked.kinds.is_some() || self.kinds.is_some()) {
            return Ok((Vec::new(), None));
        }
        let query = AboutQuery {
            patient: id.to_owned(),
            kinds,
            since: asked.paging.since,
            owner: self.owner.clone(),
            after: after.clone(),
            limit: count as u32 + 1,
            bytes: PAGE_BYTES_MAX as u64,
        };
        let mut found = self.house.about(query.clone()).await.map_err(store_issue)?;
        let mut more = cut(&mut found, count);
        if let Some(last) = found.last().filter(|_| !more && is_full(&found)) {
            let behind = AboutQuery { after: Some(named(last)), limit: 1, ..query };
            more = !self.house.about(behind).await.map_err(store_issue)?.is_empty();
        }
        let next = found.last().filter(|_| more).map(|last| Place::Chart(Some(named(last))));
        Ok((found, next))
    }

    /// The next records that the chart refers to and that are about nobody, as many as there is
    /// room for, and where those behind them begin.
    async fn referred_page(
        &self,
        id: &str,
        asked: &Asked,
        mut behind: Option<Name>,
        (count, mut room): (usize, u64),
    ) -> Result<(Vec<Record>, Option<Place>), Issue> {
        let next = |found: &[Record]| Some(Place::Referred(found.last().map(named)));
        let mut found: Vec<Record> = Vec::new();
        loop {
            let names = self.referred_names(id, asked, behind.as_ref()).await?;
            let Included { records, whole } = self.named(&names, &mut room).await?;
            let last = records.last().map(named);
            let fits =
                |record: &Record| asked.paging.reaches(record.last_updated) && about_nobody(record);
            found.extend(records.into_iter().filter(fits));
            if found.len() > count {
                found.truncate(count);
                let next = next(&found);
                return Ok((found, next));
            }
            // What the bytes left no room for is looked for again, behind the last that came.
            let ends = names.len() < REFERRED_RECORDS_MAX;
            match (whole, last) {
                (true, _) if ends => return Ok((found, None)),
                (true, _) => behind = names.last().cloned(),
                (false, Some(_)) if !found.is_empty() => {
                    let next = next(&found);
                    return Ok((found, next));
                }
                (false, last) => {
                    behind = last.or(behind);
                    room = PAGE_BYTES_MAX as u64;
                }
            }
        }
    }

    /// The first names, behind the one given, of what the chart refers to.
    async fn referred_names(
        &self,
        id: &str,
        asked: &Asked,
        behind: Option<&Name>,
    ) -> Result<BTreeSet<Name>, Issue> {
        let mut names = BTreeSet::new();
        let mut query = AboutQuery {
            patient: id.to_owned(),
            owner: self.owner.clone(),
            limit: CHART_STEP_RECORDS,
            bytes: CHART_STEP_BYTES,
            ..AboutQuery::default()
        };
        loop {
            let step = self.house.about(query.clone()).await.map_err(store_issue)?;
            let Some(last) = step.last().map(named) else { return Ok(names) };
            for record in step.iter().filter(|record| self.may_follow(&record.kind)) {
                let Some(content) = record.content.clone() else { continue };
                let resource = Resource::parse(content).map_err(|_| damaged())?;
                for reference in resource.references() {
                    let text = resource.reference_text(reference);
                    let Some((kind, id)) = self.local(&text) else { continue };
                    if is_general(kind) && asked.wants(kind) && self.may_follow(kind) {
                        let name = (kind.to_owned(), id.to_owned());
                        if behind.is_none_or(|behind| name > *behind) {
                            names.insert(name);
                        }
                    }
                }
                while names.len() > REFERRED_RECORDS_MAX {
                    names.pop_last();
                }
            }
            query.after = Some(last);
        }
    }
}

fn about_nobody(record: &Record) -> bool {
    let content = record.content.clone();
    let resource = content.and_then(|content| Resource::parse(content).ok());
    resource.is_some_and(|resource| keys(&resource).patient.is_none())
}

fn damaged() -> Issue {
    Issue::new(Code::StoreUnavailable, "a stored record cannot be read")
}
