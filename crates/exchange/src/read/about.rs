//! About: whose care a Bundle's entries are about.
//!
//! Comes in   the entries with their links.
//! Goes out   for each whether it is about somebody's care, and by which references it says whose;
//!            an issue where that is not one Patient.
//! Never      takes a record for nobody's because it names no patient: only the types of the
//!            directory can be filed without a member.
//!
//! Why one Patient: the member is matched by that Patient, and what is filed is found by it.

use super::links::nodes_of;
use super::reading::Reading;
use super::{Form, IncomingEntry, LinkTo, Target, place_in};
use crate::issue::Code;
use fhir::Node;
use std::collections::HashSet;

/// Elements that say whom a resource is about (R4 §2.5, the patient's compartment).
pub(super) const SUBJECTS: [&str; 4] = ["subject", "patient", "beneficiary", "for"];

/// Elements of a Provenance that do, where they lead to a Patient.
pub(super) const TARGETS: [&str; 1] = ["target"];

/// Types that stand in no patient's compartment (R4 §2.5.4) and say nothing of anybody's care:
/// who works where, and what can be prescribed. Pushes of many patients bring them.
pub const DIRECTORY: [&str; 11] = [
    "Endpoint",
    "HealthcareService",
    "InsurancePlan",
    "Location",
    "Medication",
    "MedicationKnowledge",
    "Organization",
    "OrganizationAffiliation",
    "Practitioner",
    "PractitionerRole",
    "Substance",
];

/// Whether records are only taken back, and a Provenance says why.
pub(super) fn only_takes_back(entries: &[IncomingEntry]) -> bool {
    let puts = |wanted: bool| entries.iter().filter(move |entry| entry.puts() == wanted);
    puts(true).all(|entry| entry.kind == "Provenance") && puts(false).next().is_some()
}

/// The types of the entries, by their positions in the Bundle.
struct Kinds(Vec<(usize, String)>);

impl Kinds {
    /// The type a reference leads to. What cannot be read may well be the Patient.
    fn of<'k>(&'k self, to: &'k LinkTo) -> &'k str {
        match to {
            LinkTo::Entry(index) => {
                let at = self.0.binary_search_by_key(index, |(index, _)| *index).ok();
                at.and_then(|at| self.0.get(at)).map_or("Patient", |(_, kind)| kind)
            }
            LinkTo::Record(kind, _) => kind,
            LinkTo::Fits(condition) => &condition.kind,
        }
    }
}

impl Reading<'_> {
    /// Notes whom every entry is about.
    pub(super) fn about(&mut self, list: Node<'_, '_>, entries: &mut [IncomingEntry]) {
        let kinds = Kinds(entries.iter().map(|entry| (entry.index, entry.kind.clone())).collect());
        let nodes: Vec<_> = nodes_of(list, entries).collect();
        let patient = self.one_patient(list, &nodes, entries);
        // Where records are only taken back, the Provenance may speak of whom it likes.
        let takes_back = only_takes_back(entries);
        for (entry, node) in entries.iter_mut().zip(&nodes) {
            if entry.puts() {
                if !takes_back {
                    self.subjects(entry, *node, patient.as_ref(), &kinds);
                }
                entry.clinical = is_clinical(entry, *node, &kinds);
            }
        }
        self.check_named(list, &nodes, entries, &kinds);
    }

    /// The entry of the one Patient; a second one is refused.
    fn one_patient(
        &mut self,
        list: Node<'_, '_>,
        nodes: &[Node<'_, '_>],
        entries: &[IncomingEntry],
    ) -> Option<(usize, Target)> {
        let patients = entries.iter().zip(nodes);
        let mut patients = patients.filter(|(entry, _)| entry.kind == "Patient" && entry.puts());
        let (first, _) = patients.next()?;
        let more: Vec<_> = patients.collect();
        match self.form {
            Form::Transaction if !more.is_empty() => {
                let count = more.len() + 1;
                let detail = format!("the Bundle holds {count} Patients; exactly one is needed");
                self.refuse_all(Code::MemberNotNamed, list, detail);
            }
            Form::Transaction => {}
            Form::Batch => {
                for (entry, node) in more {
                    let detail = "another entry holds a Patient; a batch is about one";
                    self.refuse(entry.index, Code::MemberNotNamed, *node, detail);
                }
            }
        }
        Some((first.index, first.target.clone()))
    }

    /// The references that say whom a resource is about lead to the Bundle's Patient, and to nobody
    /// else's.
    fn subjects(
        &mut self,
        entry: &mut IncomingEntry,
        node: Node<'_, '_>,
        patient: Option<&(usize, Target)>,
        kinds: &Kinds,
    ) {
        let resource = place_in(node, &["resource"]);
        let start = resource.span().start;
        let within = PatientsWithin::of(resource);
        // A Provenance is about the Patients it speaks of, and about nobody else by that.
        let speaks = entry.kind == "Provenance";
        let names = if speaks { &TARGETS[..] } else { &SUBJECTS[..] };
        let elements = names.iter().filter_map(|name| resource.get(name));
        for element in elements.flat_map(|element| element.each()) {
            let Some(reference) = element.get("reference") else { continue };
            let content = reference.span().start + 1 - start;
            let link = link_at(entry, content);
            let to = link.and_then(|at| entry.links.get(at)).map(|link| &link.to);
            if speaks && to.is_none_or(|to| kinds.of(to) != "Patient") {
                continue;
            }
            let whole = match (to, patient) {
                (Some(LinkTo::Record(kind, id)), Some((_, Target::Id(own)))) => {
                    // Of a batch, the Patient's entry may be refused, and another be meant.
                    kind != "Patient" || id == own || (self.form == Form::Batch && !speaks)
                }
                (Some(_), _) => true,
                (None, _) => !within.named_by(&reference.text().unwrap_or_default()),
            };
            entry.subjects.extend(link);
            if !whole {
                let detail = "it is about another Patient than the Bundle's";
                self.refuse(entry.index, Code::EntryInvalid, reference, detail);
            }
        }
    }

    /// One person per Bundle, by whom the member is matched: its Patient, or one on file whom its
    /// resources name.
    fn check_named(
        &mut self,
        list: Node<'_, '_>,
        nodes: &[Node<'_, '_>],
        entries: &[IncomingEntry],
        kinds: &Kinds,
    ) {
        if only_takes_back(entries) {
            return self.check_takes_back(nodes, entries);
        }
        let names = |entry: &IncomingEntry| {
            let subjects = entry.subjects.iter().filter_map(|&at| entry.links.get(at));
            let patient = |to: &LinkTo| kinds.of(to) == "Patient";
            entry.kind == "Patient" && entry.puts()
                || subjects.clone().any(|link| patient(&link.to))
                || entry.kind == "Provenance" && entry.links.iter().any(|link| patient(&link.to))
        };
        if entries.iter().any(names) {
            return;
        }
        let clinical = |entry: &IncomingEntry| entry.puts() && entry.clinical;
        let detail = "neither a Patient nor a reference that says whom it is about is there";
        match self.form {
            // What cannot be read may well be the Patient.
            Form::Transaction => {
                if self.nothing_wrong() && entries.iter().any(clinical) {
                    self.refuse_all(Code::MemberNotNamed, list, detail);
                }
            }
            Form::Batch => {
                for (entry, node) in entries.iter().zip(nodes).filter(|(entry, _)| clinical(entry))
                {
                    self.refuse(entry.index, Code::MemberNotNamed, *node, detail);
                }
            }
        }
    }

    fn check_takes_back(&mut self, nodes: &[Node<'_, '_>], entries: &[IncomingEntry]) {
        for (entry, node) in entries.iter().zip(nodes).filter(|(entry, _)| entry.puts()) {
            let contained = node.get("resource").and_then(|resource| resource.get("contained"));
            if let Some(contained) = contained {
                let detail =
                    "without a Patient, only records are taken back: nothing else is filed";
                self.refuse(entry.index, Code::MemberNotNamed, contained, detail);
            }
        }
    }
}

/// Whether a resource is about somebody's care. A Provenance is about what it speaks of.
fn is_clinical(entry: &IncomingEntry, node: Node<'_, '_>, kinds: &Kinds) -> bool {
    let resource = place_in(node, &["resource"]);
    let speaks = entry.kind == "Provenance";
    let own = !speaks && !is_directory(&entry.kind);
    let within = resource.get("contained").into_iter().flat_map(|list| list.each()).any(|one| {
        let kind = one.get("resourceType").and_then(|kind| kind.text());
        kind.is_none_or(|kind| !is_directory(&kind))
    });
    let leads = entry.links.iter().any(|link| {
        let kind = kinds.of(&link.to);
        kind == "Patient" || speaks && !is_directory(kind)
    });
    let elsewhere = || {
        let patients = PatientsWithin::of(resource);
        let resource_of = entry.action.resource();
        let references = resource_of.into_iter().flat_map(|one| {
            one.references().iter().map(move |reference| one.reference_text(reference))
        });
        references.into_iter().any(|text| {
            let outside = text.contains("://");
            outside && patients.named_by(&text)
        })
    };
    own || within || leads || elsewhere()
}

pub(super) fn is_directory(kind: &str) -> bool {
    DIRECTORY.binary_search(&kind).is_ok()
}

/// Which of an entry's links the reference is whose content begins there, from the resource's
/// first byte. Both lists are in document order.
fn link_at(entry: &IncomingEntry, content: usize) -> Option<usize> {
    let references = entry.action.resource()?.references();
    let at = references.binary_search_by_key(&content, |one| one.span.start).ok()?;
    entry.links.binary_search_by_key(&at, |link| link.reference).ok()
}

/// The ids of the Patients within a resource.
pub(super) struct PatientsWithin(HashSet<String>);

impl PatientsWithin {
    pub(super) fn of(resource: Node<'_, '_>) -> PatientsWithin {
        let text = |one: Node<'_, '_>, name: &str| Some(one.get(name)?.text()?.into_owned());
        let contained = resource.get("contained").into_iter().flat_map(|list| list.each());
        let patients =
            contained.filter(|one| text(*one, "resourceType").as_deref() == Some("Patient"));
        PatientsWithin(patients.filter_map(|one| text(one, "id")).collect())
    }

    /// Whether a reference that is no `Type/id` leads to a Patient: elsewhere, or to one of these.
    pub(super) fn named_by(&self, text: &str) -> bool {
        match text.strip_prefix('#') {
            Some(id) => self.0.contains(id),
            None => text.split(['/', '?', '#', '|']).any(|step| step == "Patient"),
        }
    }
}
