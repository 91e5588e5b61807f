//! Blocks: files in which each Patient's records stand together (`organizeOutputBy`).
//!
//! Comes in   the chosen Patients, or all there are.
//! Goes out   blocks: a header, the Patient, the records about it in the order of type and id.
//! Never      parts a block where it fits a file; where it does not, the next file begins with its header.
//!
//! Bulk Data 3.0.0, output file organization. What is about nobody stands in no block. The Patient stands
//! in its block whatever types and changes are asked for: the header names it.

use super::{Selected, Standing};
use crate::limits::EXPORT_FILE_RECORDS;
use exchange::Issue;
use repository::limits::{CHART_STEP_BYTES, CHART_STEP_RECORDS};
use repository::snapshot::{Stood, Walk, stood_at};
use repository::store_issue;
use store::{AboutQuery, House};

impl Selected<'_, '_> {
    pub(super) async fn blocks(&mut self) -> Result<(), Issue> {
        match self.patients.clone() {
            Some(patients) => {
                for patient in patients {
                    self.block(&patient).await?;
                }
            }
            None => {
                let mut walk = Walk::new("Patient", self.moment.as_of, None);
                while let Some(heads) = walk.page(self.house()).await? {
                    for head in heads {
                        self.block(&head.id).await?;
                    }
                }
            }
        }
        self.file("", false, false).await
    }

    async fn block(&mut self, patient: &str) -> Result<(), Issue> {
        let Some(own) = self.patient(patient).await? else { return Ok(()) };
        let mut names = Vec::new();
        if self.wants("Patient") && self.is_given_to(&own) {
            names.push(("Patient".to_owned(), patient.to_owned(), own.record.version));
        }
        let own = own.record.version;
        let mut begun = false;
        let mut query = AboutQuery {
            patient: patient.to_owned(),
            kinds: self.look.export.asked.kinds.clone().unwrap_or_default(),
            limit: CHART_STEP_RECORDS,
            bytes: CHART_STEP_BYTES,
            ..AboutQuery::default()
        };
        loop {
            let page = self.house().about(query.clone()).await.map_err(store_issue)?;
            let Some(last) = page.last() else { break };
            query.after = Some((last.kind.clone(), last.id.clone()));
            self.look.looked(page.len() as u64).await?;
            for newest in page {
                let Some(record) = stood_at(self.house(), newest, self.moment.as_of).await? else {
                    continue;
                };
                let standing = Standing::of(record)?;
                let about = standing.keys.patient.as_deref() == Some(patient);
                let other = standing.record.kind != "Patient";
                let given = about && other && self.is_given_to(&standing);
                let provenance = standing.record.kind == "Provenance";
                if given && (!provenance || self.may_be_given(&standing.record).await?) {
                    let record = standing.record;
                    names.push((record.kind, record.id, record.version));
                }
            }
            // A chart larger than a file is written as it is read, so that no more of it is held.
            if names.len() as u64 >= EXPORT_FILE_RECORDS {
                begun = self.write((patient, own), &mut names, begun).await?;
            }
        }
        self.write((patient, own), &mut names, begun).await?;
        Ok(())
    }

    /// The Patient as it stood; `None` where it did not.
    async fn patient(&self, id: &str) -> Result<Option<Standing>, Issue> {
        let newest = self.house().record("Patient", id, None).await.map_err(store_issue)?;
        let Some(newest) = newest else { return Ok(None) };
        let stood = stood_at(self.house(), newest, self.moment.as_of).await?;
        stood.filter(|record| record.content.is_some()).map(Standing::of).transpose()
    }

    /// Whether a record belongs to its Patient's block.
    fn is_given_to(&self, standing: &Standing) -> bool {
        self.moment.stood(&standing.record) == Some(Stood::There) && self.is_found(standing)
    }

    /// Writes what there is of a block. Says whether it was begun.
    async fn write(
        &mut self,
        (patient, own): (&str, u64),
        names: &mut Vec<(String, String, u64)>,
        begun: bool,
    ) -> Result<bool, Issue> {
        if names.is_empty() {
            return Ok(begun);
        }
        names.retain(|(kind, _, _)| kind != "Patient");
        let whole = self.writing.count() + 2 + names.len() as u64 <= EXPORT_FILE_RECORDS;
        if !begun && !whole && self.writing.count() > 0 {
            self.file("", false, false).await?;
        }
        if !begun {
            self.writing.header("Patient", patient);
            self.writing.version("Patient", patient, own);
        }
        for (kind, id, version) in names.drain(..) {
            if self.writing.count() >= EXPORT_FILE_RECORDS {
                self.file("", false, true).await?;
                self.writing.header("Patient", patient);
            }
            self.writing.version(&kind, &id, version);
        }
        Ok(true)
    }
}
