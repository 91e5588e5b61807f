//! Held: what is about nobody who was found is kept for a person, where the agreement says so.
//!
//! Comes in   resources of a batch whose Patients are no members, once nothing more will come.
//! Goes out   for each Patient a submission that waits, as if its sender had posted it.
//! Never      keeps what is not about one Patient: a person is asked for one member at a time.
//!
//! Why a submission: a person finds it in the same list, and lets it go on by the same command.

use super::filing::Job;
use super::run::{Item, Run};
use exchange::read::About;
use exchange::submission::Submission;
use exchange::{Chain, Digest, Event, Issue, SubmissionId};
use fhir::{BundleType, BundleWriter, EntryToWrite, Method};
use jiff::Timestamp;
use std::collections::BTreeMap;
use store::Unit;

impl Job<'_> {
    /// Adds to a unit what is kept of a run.
    pub(super) fn hold(&self, run: &Run, held: &[(usize, Issue)], unit: &mut Unit) {
        let mut patients: BTreeMap<&str, (Vec<&Item>, &Issue)> = BTreeMap::new();
        for (at, issue) in held {
            let item = run.item(*at);
            if let About::Patient(id) = &item.about {
                patients.entry(id).or_insert_with(|| (Vec::new(), issue)).0.push(item);
            }
        }
        for (patient, (items, issue)) in patients {
            let push = items.first().and_then(|item| run.push_of(item));
            let body = bundle(&items, push);
            let digest = Digest::of(&body);
            let pieces = [self.receipt.id.as_str().as_bytes(), patient.as_bytes(), &digest.0];
            let id = SubmissionId(Digest::of_pieces(pieces).to_string()[..32].to_owned());
            let received = Event::Received {
                sender: self.sender.public.name.clone(),
                key: push.map(|((system, value), _)| format!("{system}|{value}")),
                digest,
                bytes: body.len() as u64,
                entries: items.len() as u64,
            };
            let events = [received, Event::Held { issues: vec![issue.clone()] }];
            let lines = events.iter().map(|event| (unit.at, event));
            let Some(submission) = Submission::replay(id.clone(), lines) else { continue };
            unit.works.push(crate::arrival::row(&submission));
            let chain = Chain::Submission(id);
            unit.lines.extend(events.into_iter().map(|event| (chain.clone(), event)));
            unit.blobs.push((digest, body.into()));
        }
    }
}

/// A batch that asks for the same.
fn bundle(items: &[&Item], push: Option<(&(String, String), Option<Timestamp>)>) -> Vec<u8> {
    let mut bundle = BundleWriter::new(BundleType::Batch);
    if let Some(((system, value), as_of)) = push {
        bundle = bundle.identifier(system, value);
        if let Some(as_of) = as_of {
            bundle = bundle.timestamp(&as_of.to_string());
        }
    }
    for item in items {
        let (kind, id) = item.name();
        bundle.entry(EntryToWrite {
            resource: Some(&item.put.alone.resource.bytes()[..]),
            request: Some((Method::Put, &format!("{kind}/{id}"))),
            ..EntryToWrite::default()
        });
    }
    bundle.finish()
}
