//! Provenance: what says where the records of an export come from (`includeAssociatedData`).
//!
//! Comes in   every Provenance that stood at the moment.
//! Goes out   those about a record that the export gives; or of each such record the latest.
//! Never      one that speaks of other records only; where Patients are chosen, one that speaks of anybody
//!            else too: a house's Provenance names all that went together, and with it who was treated.
//!
//! Bulk Data 2.0.0, `includeAssociatedData`. Whoever asks with it for changes gets the Provenance of what
//! has changed, however old it is. Whoever asks without it for some Patients' records gets all that is
//! about any of these.

use super::{Selected, Standing, is_about};
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

/// Type and logical id of each target; `None` for one that is not a place here.
type Targets = Vec<Option<(String, String)>>;

/// Whom a target of a Provenance is about.
enum Whose {
    /// The Patient of this logical id.
    Of(String),
    Nobodys,
    /// Nobody can tell: its content is gone, or was never here.
    Untold,
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
                    // Its targets may be many: the export stays this worker's meanwhile.
                    self.look.looked(0).await?;
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
        let targets = self.targets(provenance);
        if !self.speaks_of_no_other(&targets).await? {
            return Ok(false);
        }
        for (kind, id) in targets.into_iter().flatten() {
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

    fn targets(&self, provenance: &Record) -> Targets {
        let base = self.look.road.setup.base_url.trim_end_matches('/');
        let content = provenance.content.clone().unwrap_or_default();
        let Ok(doc) = Doc::parse(&content) else { return Vec::new() };
        let Some(targets) = doc.root().get("target") else { return Vec::new() };
        let named = targets.each().map(|target| {
            let text = target.get("reference")?.text()?;
            let local = place::under(&text, base).unwrap_or(&text);
            place::parts(local).map(|(kind, id, _)| (kind.to_owned(), id.to_owned()))
        });
        named.collect()
    }

    /// Whether a Provenance may be given, where Patients are chosen: see `speaks_of_no_other`.
    pub(super) async fn may_be_given(&self, provenance: &Record) -> Result<bool, Issue> {
        self.speaks_of_no_other(&self.targets(provenance)).await
    }

    /// Whether no target is about somebody who is not chosen. One of which nobody can tell whose it is
    /// counts as such, unless another is a chosen Patient's: it went together with that.
    async fn speaks_of_no_other(&self, targets: &Targets) -> Result<bool, Issue> {
        let Some(chosen) = &self.patients else { return Ok(true) };
        // Most say by a Patient whom they are about, and no record is looked at for the others'.
        let mut named = targets.iter().flatten().filter(|(kind, _)| kind == "Patient");
        if named.any(|(_, id)| !chosen.contains(id)) {
            return Ok(false);
        }
        let (mut of_chosen, mut untold) = (false, false);
        for target in targets {
            match self.whose(target.as_ref()).await? {
                Whose::Of(patient) if !chosen.contains(&patient) => return Ok(false),
                Whose::Of(_) => of_chosen = true,
                Whose::Nobodys => {}
                Whose::Untold => untold = true,
            }
        }
        Ok(of_chosen || !untold)
    }

    async fn whose(&self, target: Option<&(String, String)>) -> Result<Whose, Issue> {
        let Some((kind, id)) = target else { return Ok(Whose::Untold) };
        if kind == "Patient" {
            return Ok(Whose::Of(id.clone()));
        }
        if !is_about(kind) {
            return Ok(Whose::Nobodys);
        }
        let newest = self.house().record(kind, id, None).await.map_err(store_issue)?;
        let Some(newest) = newest else { return Ok(Whose::Untold) };
        let mut stood = stood_at(self.house(), newest, self.moment.as_of).await?;
        if let Some(gone) = stood.as_ref().filter(|record| record.deleted) {
            let before = Some(gone.version - 1);
            stood = self.house().record(kind, id, before).await.map_err(store_issue)?;
        }
        let Some(record) = stood.filter(|record| record.content.is_some()) else {
            return Ok(Whose::Untold);
        };
        Ok(match Standing::of(record)?.keys.patient {
            Some(patient) => Whose::Of(patient),
            // It speaks of others in turn.
            None if kind == "Provenance" => Whose::Untold,
            None => Whose::Nobodys,
        })
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

    /// Whether no other Provenance of the record that may be given was recorded later; of two of one time,
    /// filed later.
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
                let Some(other) = stood.filter(|other| other.content.is_some()) else { continue };
                if when(&other)? > own && self.may_be_given(&other).await? {
                    return Ok(false);
                }
            }
        }
    }
}
