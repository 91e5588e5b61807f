//! Outcome: what a day left behind in both houses, in lines that can be compared.
//!
//! Comes in   the folders of two houses that have come to rest.
//! Goes out   a line per version of a record, per push and per submission, in a fixed order.
//! Never      an id that was drawn, or a time: two runs of the same day share neither.
//!
//! Why nearly everything compares: record ids, push numbers and push ids are derived from the chart
//! and the order of the day, so that they are the same in every run. The one exception is in the
//! bytes of a Provenance: its `recorded` is the time of the trigger. It is cut before the digest is
//! made; every other byte of the Provenance counts, as do all bytes of all other records.

use crate::common::{House, RUNTIME, Stage};
use exchange::submission::{Submission, SubmissionState};
use exchange::{Digest, Push, Subject, Trigger};
use fhir::Resource;
use serde_json::Value;
use std::collections::BTreeSet;
use store::{AnyHouse, House as _, Record, StoredWork, WorkKind, WorkQuery};

/// What lies in the folders of both houses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) records: Vec<String>,
    pub(crate) pushes: Vec<String>,
    pub(crate) submissions: Vec<String>,
}

impl Outcome {
    /// Of a stage with one payer.
    pub(crate) fn of(stage: &Stage) -> Outcome {
        let payer = &stage.payers[0];
        Outcome {
            records: records(payer),
            pushes: pushes(&stage.provider),
            submissions: submissions(payer),
        }
    }

    /// Fails with the first line that differs.
    pub(crate) fn assert_same(&self, undisturbed: &Outcome, case: &str) {
        let parts = [
            ("records", &self.records, &undisturbed.records),
            ("pushes", &self.pushes, &undisturbed.pushes),
            ("submissions", &self.submissions, &undisturbed.submissions),
        ];
        for (what, found, expected) in parts {
            let differs = found.iter().zip(expected).position(|(one, other)| one != other);
            let at = differs.unwrap_or(found.len().min(expected.len()));
            assert_eq!(
                found.get(at),
                expected.get(at),
                "{case}: {what} differ from those of an undisturbed day in line {at}"
            );
        }
    }
}

/// Fails unless every reference of what is filed leads to what is filed. A Provenance may speak of
/// records that are gone.
pub(crate) fn assert_references_resolve(payer: &House) {
    let records = payer.records();
    for (name, record) in records.iter().filter(|(_, record)| record.kind != "Provenance") {
        let resource = Resource::parse(record.content.clone().unwrap()).unwrap();
        for reference in resource.references() {
            let target = resource.reference_text(reference);
            let here = target.starts_with('#') || target.contains(':');
            assert!(here || records.contains_key(&*target), "{name} refers to {target}: gone");
        }
    }
}

/// Rows of work of a house, oldest first, read from its folder: a house that halts cannot answer.
pub(crate) fn works(house: &House, kind: WorkKind) -> Vec<StoredWork> {
    let query = WorkQuery { kind: Some(kind), limit: 100_000, ..WorkQuery::default() };
    let mut rows = RUNTIME.block_on(house.memory().works(query)).unwrap();
    rows.reverse();
    rows
}

/// All pushes of a sending house, oldest first.
pub(crate) fn all_pushes(house: &House) -> Vec<Push> {
    works(house, WorkKind::Push).iter().map(body).collect()
}

/// All submissions of a receiving house, oldest first.
pub(crate) fn all_submissions(house: &House) -> Vec<Submission> {
    works(house, WorkKind::Submission).iter().map(body).collect()
}

fn body<T: serde::de::DeserializeOwned>(row: &StoredWork) -> T {
    serde_json::from_slice(&row.work.body).unwrap()
}

fn records(payer: &House) -> Vec<String> {
    let memory = payer.memory();
    let line = |record: Record| {
        let digest = match (record.deleted, record.kind.as_str()) {
            (true, _) => "deleted".to_owned(),
            (false, "Provenance") => without_time(&memory, &record),
            (false, _) => record.digest.to_string(),
        };
        let Record { kind, id, version, owner, number, .. } = record;
        // What is nobody's is ordered by the time at which the chart was read.
        let number = number.filter(|_| !exchange::read::DIRECTORY.contains(&kind.as_str()));
        format!("{kind}/{id} version {version} {digest} of {owner}, push {number:?}")
    };
    RUNTIME.block_on(memory.dump(None, 999_999)).unwrap().into_iter().map(line).collect()
}

/// The digest of a Provenance without the time of its trigger.
fn without_time(memory: &AnyHouse, record: &Record) -> String {
    let version = memory.record(&record.kind, &record.id, Some(record.version));
    let content = RUNTIME.block_on(version).unwrap().unwrap().content.unwrap();
    assert_eq!(Digest::of(&content), record.digest, "what is stored is what was filed");
    let mut value: Value = serde_json::from_slice(&content).unwrap();
    let recorded = value.as_object_mut().unwrap().shift_remove("recorded");
    assert!(recorded.is_some_and(|time| time.is_string()), "a Provenance says when");
    Digest::of(value.to_string().as_bytes()).to_string()
}

/// Pushes and triggers by what they are about.
pub(crate) fn pushes(provider: &House) -> Vec<String> {
    let push = |push: &Push| {
        let exchange::Dossier { payer, kind, subject, .. } = &push.dossier;
        let id = push.assembled.as_ref().map(|made| made.push.to_string()).unwrap_or_default();
        format!(
            "{kind} {subject} for {payer}: {:?} {id}, told {}, withdrawn {}, stays {:?}, {:?}",
            push.state,
            push.acknowledgement.is_some(),
            push.withdrawn_by.is_some(),
            push.withheld,
            push.issues,
        )
    };
    let trigger = |row: &StoredWork| {
        let trigger: Trigger = body(row);
        // A withdrawal's subject is a walk, whose id was drawn.
        let subject = match &trigger.subject {
            Subject::Record(record) => record.as_str(),
            Subject::Withdrawal(_) => "a withdrawal",
        };
        let (walks, state) = (trigger.walks.len(), trigger.state_word());
        format!("trigger of {}: {state}, {walks} walks", subject)
    };
    let mut lines: Vec<String> = all_pushes(provider).iter().map(push).collect();
    lines.extend(works(provider, WorkKind::Trigger).iter().map(trigger));
    lines.sort();
    lines
}

fn submissions(payer: &House) -> Vec<String> {
    let mut keys = BTreeSet::new();
    let line = |one: Submission| {
        let key = one.key.clone().unwrap_or_default();
        assert!(keys.insert(key.clone()), "{key} was taken twice");
        let state = match one.state {
            SubmissionState::Filed { created, updated, unchanged, deleted, .. } => {
                format!("{created} new, {updated} changed, {unchanged} as before, {deleted} gone")
            }
            _ => one.state_word().to_owned(),
        };
        format!("{key} of {}: {} entries, {state}, {:?}", one.sender, one.entries, one.issues)
    };
    let mut lines: Vec<String> = all_submissions(payer).into_iter().map(line).collect();
    lines.sort();
    lines
}
