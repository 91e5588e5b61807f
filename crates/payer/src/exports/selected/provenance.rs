//! Provenance: what says where the records of an export come from (`includeAssociatedData`).
//!
//! Comes in   every Provenance that stood at the moment.
//! Goes out   those about a record that the export gives; or of each such record the latest.
//! Never      one that speaks of other records only.
//!
//! Bulk Data 2.0.0, `includeAssociatedData`. Whoever asks with it for changes gets the Provenance of what
//! has changed, however old it is. Whoever asks without it for some Patients' records gets all that is
//! about any of these.

use super::{Selected, Standing};
use exchange::{Issue, place};
use fhir::Doc;
use jiff::Timestamp;
use repository::limits::SNAPSHOT_CONTENTS;
use repository::snapshot::{Stood, Walk, stood_at, versions};
use repository::{provenance_of, store_issue};
use store::{House, Record};

/// Which Provenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The latest of each record that is given.
    Latest,
    /// All of each record that is given.
    Given,
    /// All of the chosen Patients' records, of types that are not asked for too.
    Patients,
}

impl Selected<'_, '_> {
    pub(super) async fn provenance(&mut self, of: Of) -> Result<(), Issue> {
        let mut walk = Walk::new("Provenance", self.moment.as_of, None);
        while let Some(heads) = walk.page(self.house()).await? {
            self.look.looked(heads.len() as u64).await?;
            let there = heads.into_iter().filter(|head| !head.deleted && !head.purged);
            let there: Vec<_> = there.map(|head| (head.id, head.version)).collect();
            for some in there.chunks(SNAPSHOT_CONTENTS) {
                for record in
                    versions(self.house(), "Provenance", some).await?.into_iter().flatten()
                {
                    if self.belongs(&record, of).await? {
                        self.add("Provenance", &record.id, record.version).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a Provenance is about a record that is given, and the latest of it where that is asked.
    async fn belongs(&self, provenance: &Record, of: Of) -> Result<bool, Issue> {
        if of == Of::Patients && self.moment.stood(provenance) != Some(Stood::There) {
            return Ok(false);
        }
        for (kind, id) in self.targets(provenance) {
            let wanted = of == Of::Patients || self.wants(&kind);
            if kind == "Provenance" || !wanted || !self.gives(&kind, &id, of).await? {
                continue;
            }
            if of != Of::Latest || self.is_latest(provenance, &kind, &id).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn targets(&self, provenance: &Record) -> Vec<(String, String)> {
        let base = self.look.road.setup.base_url.trim_end_matches('/');
        let content = provenance.content.clone().unwrap_or_default();
        let Ok(doc) = Doc::parse(&content) else { return Vec::new() };
        let Some(targets) = doc.root().get("target") else { return Vec::new() };
        let named = targets.each().filter_map(|target| {
            let text = target.get("reference")?.text()?;
            let local = place::under(&text, base).unwrap_or(&text);
            place::parts(local).map(|(kind, id, _)| (kind.to_owned(), id.to_owned()))
        });
        named.collect()
    }

    async fn gives(&self, kind: &str, id: &str, of: Of) -> Result<bool, Issue> {
        let newest = self.house().record(kind, id, None).await.map_err(store_issue)?;
        let Some(newest) = newest else { return Ok(false) };
        let stood = stood_at(self.house(), newest, self.moment.as_of).await?;
        let Some(record) = stood.filter(|record| record.content.is_some()) else {
            return Ok(false);
        };
        let standing = Standing::of(record)?;
        Ok(match (&self.patients, &standing.keys.patient) {
            (Some(chosen), Some(patient)) if of == Of::Patients => chosen.contains(patient),
            (Some(_), None) if of == Of::Patients => false,
            // About nobody: given where a chosen Patient's record refers to it.
            (Some(_), None) => {
                self.referred.contains(&(kind.to_owned(), id.to_owned()))
                    && self.moment.stood(&standing.record) == Some(Stood::There)
                    && self.is_found(&standing)
            }
            _ => self.is_given(&standing),
        })
    }

    /// Whether no other Provenance of the record was recorded later; of two of one time, filed later.
    async fn is_latest(&self, own: &Record, kind: &str, id: &str) -> Result<bool, Issue> {
        let when = |record: &Record| -> Result<(Option<Timestamp>, Timestamp, String), Issue> {
            let recorded = Standing::of(record.clone())?.keys.date.map(|date| date.from);
            Ok((recorded, record.last_updated, record.id.clone()))
        };
        let own = when(own)?;
        let mut after = None;
        loop {
            let query = provenance_of(kind, id, after);
            let page = self.house().search(query).await.map_err(store_issue)?;
            let Some(last) = page.last() else { return Ok(true) };
            after = Some(last.id.clone());
            for newest in page {
                let stood = stood_at(self.house(), newest, self.moment.as_of).await?;
                if let Some(other) = stood
                    && when(&other)? > own
                {
                    return Ok(false);
                }
            }
        }
    }
}
