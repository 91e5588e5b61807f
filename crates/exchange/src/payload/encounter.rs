//! Encounter: which resources of a chart belong to which of the patient's encounters.
//!
//! Comes in   the patient's encounters, and everything else that was read of the chart.
//! Goes out   for each encounter what belongs to it, and by what: link, order or date.
//! Never      lets a date speak where a link or an order does; never guesses from words.
//!
//! *Link*: the resource names the encounter, in any element. *Order*: it names none, but what it was
//! ordered by, what it is part of, or the report or panel that lists it belongs to the encounter; or
//! it is a report or panel itself whose members name one encounter and no other. *Date*: it names
//! none, nothing leads to one, and it is of the encounter's time: of an instant within the
//! encounter's period, or, where no encounter's period holds that instant or only a day is known, of
//! one of its days. What is a state and no event (a care team, a plan) is of all days from its
//! beginning to its end.
//!
//! Ties: where several encounters hold the same instant, or the same day, the resource belongs to
//! each of them. It goes to the same payer as one record, whichever push takes it there first; whether a
//! restriction of one of them covers it is *shape*'s to say.

use super::Belongs;
use crate::days::{Days, clinical_days, clinical_instants};
use crate::limits::ORDER_STEPS_MAX;
use crate::restriction::has_encounter;
use crate::shape::{references_to_follow, target};
use fhir::{Node, Resource};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Elements that name what a resource was ordered by, or what it is part of.
const UP: [&str; 4] = ["basedOn", "authorizingPrescription", "partOf", "request"];

/// Elements by which a report or panel lists its members.
const DOWN: [&str; 2] = ["result", "hasMember"];

/// Types that are states rather than events: they are of all their days.
const STATES: [&str; 3] = ["CarePlan", "CareTeam", "Goal"];

/// Encounters that took place nowhere: nothing is of their time.
pub(crate) const NO_VISIT: [&str; 3] = ["planned", "cancelled", "entered-in-error"];

/// What a resource says of its place in the chart.
#[derive(Debug, Clone)]
struct Facts {
    reference: String,
    /// Encounters it names, by id.
    named: BTreeSet<String>,
    /// It names an encounter, readably or not.
    names_one: bool,
    up: Vec<String>,
    down: Vec<String>,
    days: Option<Days>,
    instants: Option<(Timestamp, Timestamp)>,
    is_state: bool,
}

/// When an encounter was.
struct Visit {
    id: String,
    days: Option<Days>,
    instants: Option<(Timestamp, Timestamp)>,
}

/// What belongs to each encounter of a patient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// By `Encounter.id`: `Type/id` of what belongs to it, and by what.
    by_encounter: BTreeMap<String, BTreeMap<String, Belongs>>,
}

impl Membership {
    /// Reads a chart. Order does not matter; encounters among the others are passed over.
    pub fn of<'r>(
        encounters: &[Resource],
        others: impl IntoIterator<Item = &'r Resource>,
        source_base: &str,
    ) -> Membership {
        let visits: Vec<Visit> = encounters.iter().filter_map(Visit::read).collect();
        let others = others.into_iter().filter(|one| one.kind() != "Encounter");
        let facts: Vec<Facts> = others.map(|one| Facts::read(one, source_base)).collect();
        let ordered = by_order(facts.iter().map(Facts::lead).collect());
        let mut membership = Membership::default();
        for one in &facts {
            if one.names_one {
                membership.add(one, one.named.iter().map(String::as_str), Belongs::Link);
            } else if let Some(found) = ordered.get(one.reference.as_str()) {
                membership.add(one, found.encounters.iter().copied(), Belongs::Order);
            } else {
                membership.add(one, by_date(one, &visits), Belongs::Date);
            }
        }
        membership
    }

    fn add<'v>(
        &mut self,
        one: &Facts,
        encounters: impl IntoIterator<Item = &'v str>,
        belongs: Belongs,
    ) {
        for encounter in encounters {
            let members = self.by_encounter.entry(encounter.to_owned()).or_default();
            members.insert(one.reference.clone(), belongs);
        }
    }

    /// How a resource (`Type/id`) belongs to an encounter, if it does.
    pub fn belongs(&self, encounter: &str, reference: &str) -> Option<Belongs> {
        self.by_encounter.get(encounter)?.get(reference).copied()
    }
}

impl Facts {
    fn read(resource: &Resource, source_base: &str) -> Facts {
        let named = references_to_follow(resource, source_base).into_iter();
        let named: BTreeSet<String> =
            named.filter(|(kind, _)| kind == "Encounter").map(|(_, id)| id).collect();
        let doc = resource.doc();
        let leads = |names: &[&str]| -> Vec<String> {
            let elements = names.iter().filter_map(|name| doc.root().get(name));
            let found = elements.flat_map(|list| list.each());
            found.filter_map(|node| leads_to(node, source_base)).collect()
        };
        Facts {
            reference: resource.local_reference(),
            names_one: !named.is_empty() || has_encounter(resource),
            named,
            up: leads(&UP),
            down: leads(&DOWN),
            days: clinical_days(resource),
            instants: clinical_instants(resource),
            is_state: STATES.contains(&resource.kind()),
        }
    }

    fn lead(&self) -> Lead<'_> {
        Lead {
            reference: &self.reference,
            named: self.named.iter().map(String::as_str).collect(),
            names_one: self.names_one,
            up: self.up.iter().map(String::as_str).collect(),
            down: self.down.iter().map(String::as_str).collect(),
        }
    }
}

fn leads_to(node: Node<'_, '_>, source_base: &str) -> Option<String> {
    let (kind, id) = target(&node.get("reference")?.text()?, source_base)?;
    Some(format!("{kind}/{id}"))
}

impl Visit {
    fn read(encounter: &Resource) -> Option<Visit> {
        let doc = encounter.doc();
        let status = doc.root().get("status").and_then(|status| status.text());
        if encounter.kind() != "Encounter" || status.is_some_and(|it| NO_VISIT.contains(&&*it)) {
            return None;
        }
        let (days, instants) = (clinical_days(encounter), clinical_instants(encounter));
        Some(Visit { id: encounter.id()?.to_owned(), days, instants })
    }
}

/// What leads a record to its encounter, or others to theirs.
pub(crate) struct Lead<'f> {
    pub(crate) reference: &'f str,
    /// Encounters it names.
    pub(crate) named: BTreeSet<&'f str>,
    /// It names an encounter, readably or not.
    pub(crate) names_one: bool,
    /// What it was ordered by, and what it is part of.
    pub(crate) up: Vec<&'f str>,
    /// The members that it lists, as a report or panel.
    pub(crate) down: Vec<&'f str>,
}

/// Where a record leads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Led<'f> {
    pub(crate) encounters: BTreeSet<&'f str>,
    /// By something that names an encounter itself, rather than by what is led on.
    pub(crate) by_link: bool,
}

/// By `Type/id`.
type AllLed<'f> = BTreeMap<&'f str, Led<'f>>;

/// What names encounters itself, by `Type/id`.
type Named<'f> = BTreeMap<&'f str, BTreeSet<&'f str>>;

/// The encounters to which orders, reports and panels lead what names none.
pub(crate) fn by_order(facts: Vec<Lead<'_>>) -> AllLed<'_> {
    let mut named: Named<'_> = BTreeMap::new();
    let mut lists: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in &facts {
        if !one.named.is_empty() {
            named.insert(one.reference, one.named.clone());
        }
        for member in &one.down {
            lists.entry(member).or_default().push(one.reference);
        }
    }
    let mut ordered = AllLed::new();
    let mut unclear: Vec<&Lead<'_>> = facts.iter().filter(|one| !one.names_one).collect();
    // What is above speaks first; members speak for a report or panel that nothing above speaks for.
    let (mut steps, mut by_members) = (0, false);
    while steps < ORDER_STEPS_MAX {
        let found: AllLed<'_> = unclear
            .iter()
            .map(|one| {
                let found = match by_members {
                    true => of_members(one, &ordered, &named),
                    false => of_those_above(one, &lists, &ordered, &named),
                };
                (one.reference, found)
            })
            .filter(|(_, found)| !found.encounters.is_empty())
            .collect();
        match (found.is_empty(), by_members) {
            (true, true) => break,
            (true, false) => by_members = true,
            (false, _) => by_members = false,
        }
        unclear.retain(|one| !found.contains_key(one.reference));
        steps += usize::from(!found.is_empty());
        ordered.extend(found);
    }
    ordered
}

/// The encounters of what a resource was ordered by, is part of, or is listed by.
fn of_those_above<'f>(
    one: &Lead<'f>,
    lists: &BTreeMap<&'f str, Vec<&'f str>>,
    ordered: &AllLed<'f>,
    named: &Named<'f>,
) -> Led<'f> {
    let above = one.up.iter().chain(lists.get(one.reference).into_iter().flatten());
    led_on(above, ordered, named)
}

/// The one encounter that all members of a report or panel which lead to any lead to.
fn of_members<'f>(one: &Lead<'f>, ordered: &AllLed<'f>, named: &Named<'f>) -> Led<'f> {
    let all = led_on(one.down.iter(), ordered, named);
    if all.encounters.len() == 1 { all } else { Led::default() }
}

fn led_on<'f, 's>(
    others: impl Iterator<Item = &'s &'f str>,
    ordered: &AllLed<'f>,
    named: &Named<'f>,
) -> Led<'f>
where
    'f: 's,
{
    let mut all = Led::default();
    for other in others {
        if let Some(encounters) = named.get(other) {
            all.encounters.extend(encounters);
            all.by_link = true;
        } else if let Some(led) = ordered.get(other) {
            all.encounters.extend(&led.encounters);
        }
    }
    all
}

/// Encounters of the same time.
fn by_date<'v>(one: &Facts, visits: &'v [Visit]) -> BTreeSet<&'v str> {
    let Some(days) = one.days else { return BTreeSet::new() };
    let of = |fits: &dyn Fn(&Visit) -> bool| -> BTreeSet<&'v str> {
        visits.iter().filter(|visit| fits(visit)).map(|visit| visit.id.as_str()).collect()
    };
    let meets = |visit: &Visit| visit.days.is_some_and(|of_visit| of_visit.meets(&days));
    if one.is_state {
        return of(&meets);
    }
    let holds = |visit: &Visit| match (one.instants, visit.instants) {
        (Some((begun, _)), Some((from, until))) => from <= begun && begun <= until,
        _ => false,
    };
    let held = of(&holds);
    if !held.is_empty() {
        return held;
    }
    // A month or a year is of no visit in particular.
    let begun = Days { first: days.first, last: days.first };
    let known = one.instants.is_some() || days.first == days.last;
    let same_day = |visit: &Visit| visit.days.is_some_and(|of_visit| of_visit.meets(&begun));
    if known { of(&same_day) } else { BTreeSet::new() }
}

#[cfg(test)]
mod tests;
