//! Blocks: files in which each Patient's records stand together (`organizeOutputBy`).
//!
//! Comes in   the chosen Patients, or all there are.
//! Goes out   blocks: a header, the Patient, the records about it in the order of type and id.
//! Never      parts a block where it fits a file; where it does not, the next file begins with its header.
//!
//! Bulk Data 3.0.0, output file organization. What is about nobody stands in no block.

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
        let mut names = Vec::new();
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
                let there = self.moment.stood(&standing.record) == Some(Stood::There);
                if about && there && self.is_found(&standing) {
                    let record = standing.record;
                    names.push((record.kind, record.id, record.version));
                }
            }
            // A chart larger than a file is written as it is read, so that no more of it is held.
            if names.len() as u64 >= EXPORT_FILE_RECORDS {
                begun = self.write(patient, &mut names, begun).await?;
            }
        }
        self.write(patient, &mut names, begun).await?;
        Ok(())
    }

    /// Writes what there is of a block. Says whether it was begun.
    async fn write(
        &mut self,
        patient: &str,
        names: &mut Vec<(String, String, u64)>,
        begun: bool,
    ) -> Result<bool, Issue> {
        if names.is_empty() {
            return Ok(begun);
        }
        // The Patient stands first, wherever its type would be.
        names.sort_by_key(|(kind, _, _)| kind != "Patient");
        let whole = self.writing.count() + 1 + names.len() as u64 <= EXPORT_FILE_RECORDS;
        if !begun && !whole && self.writing.count() > 0 {
            self.file("", false, false).await?;
        }
        if !begun {
            self.writing.header("Patient", patient);
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
