//! Belongings: what a withheld visit takes along although it does not name the visit itself.
//!
//! Comes in   the verdicts on everything that is known of the patient.
//! Goes out   the same, where what belongs to a withheld visit is withheld as well.
//! Never      asks what is in this push: whatever is known of the chart counts.
//!
//! Charts serve a good part of their results without the visit. So what names none belongs to the
//! withheld visit that refers to it (diagnoses, reasons), to whose order it goes back, whose report
//! or panel holds it, or on whose days it was so. Only a precise time within another visit clears
//! it of the last.

use super::chart::Known;
use super::verdicts::Verdicts;
use super::{Audience, PATIENT_RESTRICTION, Withheld};
use crate::days::{Days, clinical_days, clinical_instants};
use crate::restriction::{content_of, has_encounter, is_content, tail};
use fhir::Resource;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Types that outlast visits or are about nobody: their days say nothing of a visit. Documents have a
/// rule of their own for their days.
const STANDING: [&str; 24] = [
    "Account",
    "AllergyIntolerance",
    "Binary",
    "CarePlan",
    "CareTeam",
    "Consent",
    "Coverage",
    "Device",
    "DocumentReference",
    "Encounter",
    "EpisodeOfCare",
    "FamilyMemberHistory",
    "Flag",
    "Goal",
    "List",
    "Location",
    "Media",
    "Medication",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Provenance",
    "RelatedPerson",
];

/// Elements by which a record holds others as its parts.
const PARTS: [&str; 5] = ["result", "hasMember", "specimen", "imagingStudy", "media"];

/// Elements by which a record goes back to what it is part or the outcome of.
const ORIGINS: [&str; 6] =
    ["basedOn", "partOf", "request", "authorizingPrescription", "derivedFrom", "parent"];

/// What a resource says of its place in the chart.
///
/// *Collect* asks a similar question to tell which encounter a record is sent with
/// (`payload::encounter`), and answers it by what says so for certain; here whatever may lead to a
/// withheld visit counts, so neither can stand for the other.
#[derive(Debug)]
pub(super) struct Facts {
    /// Whether it says to which encounter it belongs.
    linked: bool,
    parts: Vec<String>,
    origins: Vec<String>,
    days: Option<Days>,
    instants: Option<(Timestamp, Timestamp)>,
}

/// A resource with what it says.
struct Record<'r> {
    resource: &'r Resource,
    facts: Arc<Facts>,
}

/// What belongs to withheld visits beyond what says so, by reference. `all` is everything known, with
/// the verdict on each.
pub(super) fn of(
    all: &Known,
    audience: &Audience<'_>,
    verdicts: &Verdicts,
) -> BTreeMap<String, Withheld> {
    let mut taken: BTreeMap<String, Withheld> = BTreeMap::new();
    let of_visit = |resource: &Resource, withheld: &Withheld| match withheld.rule.as_str() {
        // A restricted record takes nothing along, unless it is one for its visit's sake.
        PATIENT_RESTRICTION => {
            let names = audience.restrictions.names(&resource.local_reference(), audience.payer());
            resource.kind() == "Encounter" || !names
        }
        rule => audience.terms.withholds_visits(rule),
    };
    for (reference, (resource, withheld)) in all {
        if let Some(withheld) = withheld.as_ref().filter(|it| of_visit(resource, it)) {
            taken.insert(reference.clone(), withheld.clone());
        }
    }
    if taken.is_empty() {
        return taken;
    }
    let record = |it| Record { resource: it, facts: verdicts.facts(it) };
    let records: BTreeMap<&str, Record<'_>> =
        all.iter().map(|(reference, (it, _))| (reference.as_str(), record(it))).collect();
    by_day(&records, &mut taken);
    // From record to record, until nothing is added: chains of orders and panels are short.
    loop {
        let more = by_order(&records, &taken);
        if more.is_empty() {
            return taken;
        }
        taken.extend(more);
    }
}

impl Facts {
    pub(super) fn of(resource: &Resource) -> Facts {
        let parts = if resource.kind() == "Encounter" {
            content_of(resource)
        } else {
            targets(resource, &PARTS)
        };
        let linked = resource.kind() == "Encounter" || has_encounter(resource);
        let origins = if linked { Vec::new() } else { targets(resource, &ORIGINS) };
        let (days, instants) = (clinical_days(resource), clinical_instants(resource));
        Facts { linked, parts, origins, days, instants }
    }
}

impl Record<'_> {
    fn can_be_taken(&self) -> bool {
        !self.facts.linked
            && is_content(&self.resource.local_reference())
            && self.resource.kind() != "Medication"
    }
}

/// `Type/id` of what the elements of these names refer to.
fn targets(resource: &Resource, names: &[&str]) -> Vec<String> {
    let doc = resource.doc();
    let members = doc.root().members().filter(|member| names.contains(&member.name()));
    let texts = members.flat_map(|member| {
        let inner = member.descendants().filter(|node| node.name() == "reference");
        inner.filter_map(|node| tail(&node.text()?)).collect::<Vec<_>>()
    });
    texts.collect()
}

/// One step further: what the taken ones hold, and what goes back to them. Of several reasons the
/// first, whatever the order of the chart.
fn by_order(
    records: &BTreeMap<&str, Record<'_>>,
    taken: &BTreeMap<String, Withheld>,
) -> BTreeMap<String, Withheld> {
    let mut more: BTreeMap<String, Withheld> = BTreeMap::new();
    let mut add = |reference: &str, withheld: &Withheld| {
        let free = !taken.contains_key(reference);
        if free && records.get(reference).is_some_and(Record::can_be_taken) {
            let known = more.entry(reference.to_owned()).or_insert_with(|| withheld.clone());
            if withheld < known {
                *known = withheld.clone();
            }
        }
    };
    for (reference, withheld) in taken {
        let parts = records.get(reference.as_str()).map(|record| record.facts.parts.as_slice());
        parts.unwrap_or_default().iter().for_each(|part| add(part, withheld));
    }
    for (reference, record) in records.iter().filter(|(_, record)| record.can_be_taken()) {
        let origins = record.facts.origins.iter().filter_map(|origin| taken.get(origin));
        origins.for_each(|withheld| add(reference, withheld));
    }
    more
}

/// What lies in the days of a withheld visit, and names none.
fn by_day(records: &BTreeMap<&str, Record<'_>>, taken: &mut BTreeMap<String, Withheld>) {
    let visits = || records.iter().filter(|(_, record)| record.resource.kind() == "Encounter");
    let mut withheld = Vec::new();
    let mut others = Vec::new();
    for (reference, record) in visits() {
        let instants = record.facts.instants;
        match taken.get(*reference) {
            Some(why) => withheld.push((visit_days(record.resource), instants, why.clone())),
            None => others.extend(instants),
        }
    }
    let mut found: BTreeSet<(String, Withheld)> = BTreeSet::new();
    for (reference, record) in records.iter().filter(|(_, record)| record.can_be_taken()) {
        if STANDING.contains(&record.resource.kind()) {
            continue;
        }
        let Some(days) = record.facts.days else { continue };
        let instants = record.facts.instants;
        let within = |visit: &(_, _)| {
            let (from, until): (Timestamp, Timestamp) = *visit;
            instants.is_some_and(|(start, end)| from <= start && end <= until)
        };
        let cleared = others.iter().any(within);
        for (visit_days, visit_instants, why) in &withheld {
            let inside = visit_instants.as_ref().is_some_and(within);
            let meets = visit_days.is_none_or(|visit| visit.meets(&days));
            if inside || (meets && !cleared) {
                found.insert(((*reference).to_owned(), why.clone()));
            }
        }
    }
    // Sorted, so that the first reason of each is the one that stays.
    for (reference, why) in found {
        taken.entry(reference).or_insert(why);
    }
}

/// The days of a visit; one that is under way goes on.
pub(super) fn visit_days(encounter: &Resource) -> Option<Days> {
    let days = clinical_days(encounter)?;
    let doc = encounter.doc();
    let status = doc.root().get("status").and_then(|status| status.text());
    let ended = doc.root().get("period").is_some_and(|period| period.get("end").is_some());
    let over = matches!(status.as_deref(), Some("finished" | "cancelled" | "entered-in-error"));
    let last = if ended || over { days.last } else { jiff::civil::Date::MAX };
    Some(Days { first: days.first, last })
}
