//! Belongings: what a withheld visit takes along although it does not name the visit itself.
//!
//! Comes in   the verdicts on everything that is known of the patient.
//! Goes out   the same, where what belongs to a withheld visit is withheld as well.
//! Never      asks what is in this push: whatever is known of the chart counts.
//!
//! Charts serve a good part of their results without the visit. So what names none belongs to the
//! withheld visit that refers to it (diagnoses, reasons, of the visit and of what was done in it), to
//! whose order or specimen it goes back, whose report or panel holds it, or on whose days it was so
//! or was written down; an order, where all that goes back to it is the visit's; and a report or
//! panel, where the members that name a visit name this one. Two things clear it of its day, and
//! nothing of the withheld visit's hours but a visit of the same time to which it leads: that its
//! order, its report or its members name another visit that the chart holds and that took place; and
//! a precise time within another visit, unless the withheld one says no hours.
//!
//! A visit is withheld by a restriction, by a rule that asks visits, or for what it says itself: a
//! label, or a code that a rule calls sensitive. What names a visit of the latter as its own is about
//! the same, and stays with it; so does what would be attributed to it by order or date, and not all
//! that the day brought: the same questions are asked for all of them, since a label is no weaker
//! reason than a wish.

use super::chart::Known;
use super::verdicts::Verdicts;
use super::{ABOUT, Audience, PATIENT_RESTRICTION, Withheld, opaque, traces};
use crate::agreement::Opaque;
use crate::days::{Days, clinical_instants, possible_days};
use crate::payload::encounter::{Lead, NO_VISIT, by_order as led_by_order};
use crate::restriction::{content_of, encounters_named, has_encounter, is_content, tail};
use fhir::Resource;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Types that outlast visits or are about nobody: their days say nothing of a visit.
const STANDING: [&str; 21] = [
    "Account",
    "Binary",
    "CarePlan",
    "CareTeam",
    "Consent",
    "Coverage",
    "Device",
    "Encounter",
    "EpisodeOfCare",
    "FamilyMemberHistory",
    "Flag",
    "Goal",
    "List",
    "Location",
    "Medication",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Provenance",
    "RelatedPerson",
];

/// Elements by which a record holds others as its parts, or says why and with what outcome.
const PARTS: [&str; 8] = [
    "complicationDetail",
    "hasMember",
    "imagingStudy",
    "media",
    "reasonReference",
    "report",
    "result",
    "specimen",
];

/// Elements by which a record goes back to what it is part or the outcome of.
const ORIGINS: [&str; 7] = [
    "authorizingPrescription",
    "basedOn",
    "derivedFrom",
    "parent",
    "partOf",
    "request",
    "specimen",
];

/// Those of them that name an order.
const ORDERS: [&str; 3] = ["authorizingPrescription", "basedOn", "request"];

/// Those of the parts that are there for what holds them: not its reasons, nor what came of it.
const HELD: [&str; 5] = ["hasMember", "imagingStudy", "media", "report", "result"];

/// Those of them that are the members of a report or panel.
const MEMBERS: [&str; 2] = ["hasMember", "result"];

/// What a resource says of its place in the chart.
///
/// *Collect* asks a similar question to tell which encounter a record is sent with
/// (`payload::encounter`), and answers it by what says so for certain, which is asked here first;
/// beyond that whatever may lead to a withheld visit counts here, and not there.
#[derive(Debug)]
pub(super) struct Facts {
    /// Whether it says to which encounter it belongs.
    linked: bool,
    /// The encounters that it says it belongs to.
    visits: Vec<String>,
    /// The patients that it says it is of.
    patients: Vec<String>,
    in_error: bool,
    parts: Vec<String>,
    origins: Vec<String>,
    moments: Vec<Moment>,
    pub(super) orders: Vec<String>,
    pub(super) specimens: Vec<String>,
    /// What it holds as its own parts.
    pub(super) held: Vec<String>,
    /// Its members, as a report or panel.
    members: Vec<String>,
    /// What it is a part of.
    pub(super) wholes: Vec<String>,
    /// What it is about, and is nothing without.
    pub(super) substance: Vec<String>,
    /// What it is the sum of.
    pub(super) sums: Vec<String>,
}

/// Days, and the instants where they are known.
type Moment = (Days, Option<(Timestamp, Timestamp)>);

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
    let taking = |resource: &Resource, withheld: &Withheld| match withheld.rule.as_str() {
        // A restricted record takes nothing along, unless it is one for its visit's sake.
        PATIENT_RESTRICTION => {
            let names = audience.restrictions.names(&resource.local_reference(), audience.payer());
            (resource.kind() == "Encounter" || !names).then(|| withheld.clone())
        }
        rule if audience.terms.withholds_visits(rule) => Some(withheld.clone()),
        // What it takes along says nothing of the kind itself.
        _ => (resource.kind() == "Encounter").then(|| Withheld::by(ABOUT)),
    };
    for (reference, (resource, withheld)) in all {
        let why = withheld.as_ref().and_then(|withheld| taking(resource, withheld));
        taken.extend(why.map(|why| (reference.clone(), why)));
    }
    if taken.is_empty() {
        return taken;
    }
    let record = |it| Record { resource: it, facts: verdicts.facts(it) };
    let records: BTreeMap<&str, Record<'_>> =
        all.iter().map(|(reference, (it, _))| (reference.as_str(), record(it))).collect();
    by_name(&records, &mut taken);
    let cleared = by_lead(&records, audience, &mut taken);
    by_day(&records, &cleared, audience, &mut taken);
    by_order(&records, &mut taken);
    taken
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
        Facts {
            linked,
            visits: encounters_named(resource),
            patients: targets(resource, &["patient", "subject"]),
            in_error: is_in_error(resource),
            parts,
            origins,
            moments: moments(resource),
            orders: targets(resource, &ORDERS),
            specimens: targets(resource, &["specimen"]),
            held: targets(resource, &HELD),
            members: targets(resource, &MEMBERS),
            wholes: targets(resource, &["partOf"]),
            substance: targets(resource, &traces::substance_of(resource.kind())),
            sums: targets(resource, &traces::sums_of(resource.kind())),
        }
    }
}

impl Record<'_> {
    fn can_be_taken(&self) -> bool {
        !self.facts.linked
            && is_content(&self.resource.local_reference())
            && self.resource.kind() != "Medication"
    }

    /// Whether it says anything of where others belong: no error of the chart, and no other patient's.
    fn can_lead(&self, audience: &Audience<'_>) -> bool {
        let of_another = |whose: &String| whose.strip_prefix("Patient/") != Some(audience.patient);
        !self.facts.in_error && !self.facts.patients.iter().any(of_another)
    }

    /// Whether an encounter took place or takes place.
    fn took_place(&self) -> bool {
        let doc = self.resource.doc();
        let status = doc.root().get("status").and_then(|status| status.text());
        !status.is_some_and(|status| NO_VISIT.contains(&status.trim()))
    }

    /// Whether an encounter's hours, or the days of one that says no hours, hold it.
    fn was_during(&self, encounter: &Resource) -> bool {
        let (days, hours) = (visit_days(encounter), clinical_instants(encounter));
        self.facts.moments.iter().any(|(of_record, instants)| match says_hours(encounter) {
            true => hours.as_ref().is_some_and(|hours| is_within(*instants, hours)),
            false => days.is_some_and(|days| days.meets(of_record)),
        })
    }
}

fn is_within(
    instants: Option<(Timestamp, Timestamp)>,
    (from, until): &(Timestamp, Timestamp),
) -> bool {
    instants.is_some_and(|(start, end)| *from <= start && end <= *until)
}

fn is_in_error(resource: &Resource) -> bool {
    let doc = resource.doc();
    doc.root()
        .get("status")
        .and_then(|status| status.text())
        .is_some_and(|it| it == "entered-in-error")
}

/// `Type/id` of what the elements of these names refer to.
fn targets(resource: &Resource, names: &[&str]) -> Vec<String> {
    // Most hold none, which a look at their bytes tells: names are never written with escapes.
    let text = std::str::from_utf8(resource.bytes()).unwrap_or_default();
    if !names.iter().any(|name| text.contains(name)) {
        return Vec::new();
    }
    let doc = resource.doc();
    let members = doc.root().members().filter(|member| names.contains(&member.name()));
    let texts = members.flat_map(|member| {
        let inner = member.descendants().filter(|node| node.name() == "reference");
        inner.filter_map(|node| tail(&node.text()?)).collect::<Vec<_>>()
    });
    texts.collect()
}

/// What the taken ones hold, and what goes back to them, from record to record, until nothing is
/// added. Of several reasons the first, whatever the order of the chart.
fn by_order(records: &BTreeMap<&str, Record<'_>>, taken: &mut BTreeMap<String, Withheld>) {
    let mut outcomes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut goes_back: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (reference, record) in records {
        for order in &record.facts.orders {
            outcomes.entry(order).or_default().push(reference);
        }
        for origin in &record.facts.origins {
            goes_back.entry(origin).or_default().push(reference);
        }
    }
    let mut fresh = taken.clone();
    while !fresh.is_empty() {
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
        for (reference, withheld) in &fresh {
            let back = goes_back.get(reference.as_str()).into_iter().flatten();
            back.for_each(|one| add(one, withheld));
            let Some(Record { facts, .. }) = records.get(reference.as_str()) else { continue };
            facts.parts.iter().for_each(|part| add(part, withheld));
            for order in &facts.orders {
                let outcomes = outcomes.get(order.as_str()).into_iter().flatten();
                let whys: Option<Vec<&Withheld>> = outcomes.map(|one| taken.get(*one)).collect();
                whys.unwrap_or_default().into_iter().for_each(|withheld| add(order, withheld));
            }
        }
        taken.extend(more.clone());
        fresh = more;
    }
}

/// Of what withheld visits a record is cleared that leads to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cleared {
    /// Of their days, and not of their hours.
    OfDays,
    /// Of both: the other one was at that time, too.
    OfHours,
}

/// What leads to visits although it names none: to a withheld one it stays with it, though the chart
/// may lack that one. What leads to others alone is returned.
fn by_lead<'r>(
    records: &'r BTreeMap<&str, Record<'_>>,
    audience: &Audience<'_>,
    taken: &mut BTreeMap<String, Withheld>,
) -> BTreeMap<&'r str, Cleared> {
    let text = |list: &'r [String]| list.iter().map(String::as_str);
    let leads = records.iter().filter(|(_, record)| record.can_lead(audience));
    let leads = leads.map(|(reference, Record { facts, .. })| Lead {
        reference,
        named: text(&facts.visits).collect(),
        names_one: facts.linked,
        up: text(&facts.orders).chain(text(&facts.wholes)).collect(),
        down: text(&facts.members).collect(),
    });
    let mut cleared = BTreeMap::new();
    for (reference, led) in led_by_order(leads.collect()) {
        let Some(record) = records.get(reference).filter(|it| it.can_be_taken()) else { continue };
        let why = |visit: &&str| {
            let absent = || audience.restrictions.of(visit, audience.payer());
            taken.get(*visit).cloned().or_else(|| absent().map(Withheld::restricted))
        };
        // Of several reasons the first, whatever the order of the chart.
        if let Some(why) = led.encounters.iter().filter_map(why).min() {
            taken.insert(reference.to_owned(), why);
            continue;
        }
        let visits = led.encounters.iter().filter_map(|visit| records.get(visit));
        let visits: Vec<_> = visits.filter(|visit| visit.took_place()).collect();
        if visits.iter().any(|visit| record.was_during(visit.resource)) {
            cleared.insert(reference, Cleared::OfHours);
        } else if led.by_link && !visits.is_empty() {
            cleared.insert(reference, Cleared::OfDays);
        }
    }
    cleared
}

/// What names a visit that says something sensitive as its own, visits within that visit among it.
fn by_name(records: &BTreeMap<&str, Record<'_>>, taken: &mut BTreeMap<String, Withheld>) {
    loop {
        let is_about = |visit: &String| taken.get(visit).is_some_and(|why| why.rule == ABOUT);
        let more: Vec<String> = records
            .iter()
            .filter(|(reference, _)| !taken.contains_key(**reference))
            .filter(|(_, record)| record.facts.visits.iter().any(is_about))
            .map(|(reference, _)| (*reference).to_owned())
            .collect();
        if more.is_empty() {
            return;
        }
        taken.extend(more.into_iter().map(|reference| (reference, Withheld::by(ABOUT))));
    }
}

/// A withheld visit: its days, its hours, whether it says any, and why it is withheld.
struct Visit {
    days: Option<Days>,
    hours: Option<(Timestamp, Timestamp)>,
    says_hours: bool,
    why: Withheld,
}

/// What lies in the days of a withheld visit, names none, and is not `cleared` of them.
fn by_day(
    records: &BTreeMap<&str, Record<'_>>,
    cleared: &BTreeMap<&str, Cleared>,
    audience: &Audience<'_>,
    taken: &mut BTreeMap<String, Withheld>,
) {
    let mut withheld = Vec::new();
    let mut others = Vec::new();
    for (reference, record) in records.iter() {
        let encounter = record.resource;
        if encounter.kind() != "Encounter" {
            continue;
        }
        let hours = clinical_instants(encounter);
        match taken.get(*reference) {
            Some(why) => withheld.push(Visit {
                days: visit_days(encounter),
                hours,
                says_hours: says_hours(encounter),
                why: why.clone(),
            }),
            None => others.extend(hours),
        }
    }
    let mut found: BTreeSet<(String, Withheld)> = BTreeSet::new();
    let of_hours = |reference: &str| cleared.get(reference) == Some(&Cleared::OfHours);
    let unclear = records.iter().filter(|(reference, _)| !of_hours(reference));
    for (reference, record) in unclear.filter(|(_, record)| record.can_be_taken()) {
        let kind = record.resource.kind();
        if STANDING.contains(&kind) || has_own_rule(record.resource, audience) {
            continue;
        }
        for (days, instants) in &record.facts.moments {
            let within = |hours: &(Timestamp, Timestamp)| is_within(*instants, hours);
            let of_days = cleared.contains_key(*reference);
            let is_of_another = others.iter().any(within);
            for visit in &withheld {
                let inside = visit.hours.as_ref().is_some_and(within);
                let meets = visit.days.is_none_or(|visit| visit.meets(days));
                if inside || (meets && !of_days && !(is_of_another && visit.says_hours)) {
                    found.insert(((*reference).to_owned(), visit.why.clone()));
                }
            }
        }
    }
    // Sorted, so that the first reason of each is the one that stays.
    for (reference, why) in found {
        taken.entry(reference).or_insert(why);
    }
}

/// Documents are judged by their days anyway, unless they travel like all else.
fn has_own_rule(resource: &Resource, audience: &Audience<'_>) -> bool {
    opaque::is_document(resource)
        && audience.terms.agreement.opaque != Opaque::Permit
        && opaque::has_attachment(resource)
}

/// When a record was so; and when a problem or an allergy was written down, which may be long after
/// it began.
fn moments(resource: &Resource) -> Vec<Moment> {
    let mut all: Vec<_> = possible_days(resource)
        .map(|days| (days, clinical_instants(resource)))
        .into_iter()
        .collect();
    let doc = resource.doc();
    if matches!(resource.kind(), "AllergyIntolerance" | "Condition")
        && let Some(recorded) = doc.root().get("recordedDate")
        && let Some(days) = Days::possible(recorded)
    {
        let moment = recorded.text().and_then(|text| text.trim().parse::<Timestamp>().ok());
        all.push((days, moment.map(|moment| (moment, moment))));
    }
    all
}

/// Whether a visit says its hours: one that says only days may have been at any hour of them.
fn says_hours(encounter: &Resource) -> bool {
    let doc = encounter.doc();
    let Some(period) = doc.root().get("period") else { return true };
    let ends = ["start", "end"].into_iter().filter_map(|name| period.get(name)?.text());
    ends.into_iter().all(|end| end.contains('T'))
}

/// The days of a visit; one that is under way goes on.
pub(super) fn visit_days(encounter: &Resource) -> Option<Days> {
    let days = possible_days(encounter)?;
    let doc = encounter.doc();
    let status = doc.root().get("status").and_then(|status| status.text());
    let ended = doc.root().get("period").is_some_and(|period| period.get("end").is_some());
    let over = matches!(status.as_deref(), Some("finished" | "cancelled" | "entered-in-error"));
    let last = if ended || over { days.last } else { jiff::civil::Date::MAX };
    Some(Days { first: days.first, last })
}
