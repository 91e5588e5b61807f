//! Telling: what a submitter is told of a batch, as it is gathered.
//!
//! Comes in   issues and whom they are about; counts of pushes.
//! Goes out   lines of OperationOutcomes, kept with the unit that files the batch.
//! Never      names more than some resources in one line: what is the same of many is said in several
//!            (Bulk Submit Status, output manifest).

use crate::arrival::keep;
use exchange::bulk::outcome::{counted, refused};
use exchange::bulk::{Counts, Dialect, Whom};
use exchange::{Digest, Issue};
use std::collections::BTreeMap;
use store::Unit;

/// What is told.
pub(super) struct Telling<'t> {
    dialect: Dialect,
    base: &'t str,
    lines: Vec<u8>,
    severities: BTreeMap<String, u64>,
    same: BTreeMap<String, (Vec<Issue>, Vec<Whom>)>,
}

/// Resources that one line names.
const TOGETHER: usize = 20;

impl<'t> Telling<'t> {
    pub(super) fn new(dialect: Dialect, base: &'t str) -> Telling<'t> {
        let (lines, severities, same) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Telling { dialect, base: base.trim_end_matches('/'), lines, severities, same }
    }

    /// A resource, by type and id, as its submitter knows it.
    pub(super) fn resource(&self, (kind, id): &(String, String)) -> Whom {
        Whom::Resource(format!("{}/{kind}/{id}", self.base))
    }

    pub(super) fn refuse(&mut self, whom: Option<Whom>, issues: impl IntoIterator<Item = Issue>) {
        let issues: Vec<Issue> = issues.into_iter().collect();
        let Some(whom) = whom else { return self.line(&[], &issues) };
        let key = serde_json::to_string(&issues).unwrap_or_default();
        let same = self.same.entry(key).or_insert_with(|| (issues, Vec::new()));
        same.1.push(whom);
        if same.1.len() >= TOGETHER {
            let whom = std::mem::take(&mut same.1);
            let issues = same.0.clone();
            self.line(&whom, &issues);
        }
    }

    pub(super) fn refuse_all(&mut self, whom: &[Whom], issues: &[Issue]) {
        self.line(whom, issues);
    }

    fn line(&mut self, whom: &[Whom], issues: &[Issue]) {
        for issue in issues {
            *self.severities.entry(issue.severity().to_owned()).or_default() += 1;
        }
        self.lines.extend_from_slice(&refused(self.dialect, whom, issues));
        self.lines.push(b'\n');
    }

    pub(super) fn count(&mut self, whom: &[Whom], counts: &Counts) {
        *self.severities.entry("information".to_owned()).or_default() += 1;
        self.lines.extend_from_slice(&counted(self.dialect, whom, counts));
        self.lines.push(b'\n');
    }

    /// What there is, kept with a unit.
    pub(super) fn end(mut self, unit: &mut Unit) -> (Option<Digest>, BTreeMap<String, u64>) {
        for (issues, whom) in std::mem::take(&mut self.same).into_values() {
            if !whom.is_empty() {
                self.line(&whom, &issues);
            }
        }
        let told = (!self.lines.is_empty()).then(|| keep(unit, self.lines));
        (told, self.severities)
    }
}

/// A push, by `system` and `value` of its key.
pub(super) fn push((system, value): &(String, String)) -> Whom {
    Whom::Push(format!("{system}|{value}"))
}
