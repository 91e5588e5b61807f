//! Belonging: to which encounters a resource belongs, and how that is known.
//!
//! Comes in   the facts of a chart.
//! Goes out   for every resource the encounters it belongs to, each by link, by order or by date.
//! Never      overrules a link: what names an encounter belongs to that one and to no other.
//!
//! Many EHRs serve results without their encounter. Such a result belongs to the encounter of its
//! order, of the report that lists it, or, where these say nothing, of what it lists itself, if that
//! is one encounter; else to the encounter in whose period it was taken: to the moment where both
//! say so, else to the day. A month or a year is of no encounter. Two encounters at the same time
//! both have it: a result that comes twice is one record, one that is missed is none.

use super::facts::{Facts, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How it is known that a resource belongs to an encounter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Belongs {
    /// Its encounter element says so.
    Link,
    /// Its order, its report or its parts say so.
    Order,
    /// It was so while the encounter lasted.
    Date,
}

impl Belongs {
    /// The word for it, as the product prints it.
    pub const fn word(self) -> &'static str {
        match self {
            Belongs::Link => "link",
            Belongs::Order => "order",
            Belongs::Date => "date",
        }
    }
}

impl fmt::Display for Belongs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Encounters by resource.
#[derive(Debug, Default)]
pub(super) struct Belonging {
    of: BTreeMap<String, (BTreeSet<String>, Belongs)>,
}

impl Belonging {
    pub(super) fn read(facts: &BTreeMap<String, Facts>) -> Belonging {
        let mut belonging = Belonging::default();
        for (reference, one) in facts.iter().filter(|(_, one)| !one.is_unlinked()) {
            belonging.of.insert(reference.clone(), (one.encounters.clone(), Belongs::Link));
        }
        belonging.by_order(facts);
        belonging.by_date(facts);
        belonging
    }

    /// The encounters that a resource belongs to, and how that is known.
    pub(super) fn of(&self, reference: &str) -> Option<(&BTreeSet<String>, Belongs)> {
        self.of.get(reference).map(|(encounters, how)| (encounters, *how))
    }

    /// The encounters whose restriction covers a resource: all it belongs to, but for a state that
    /// is merely of their days.
    pub(super) fn covering(&self, reference: &str) -> Option<&BTreeSet<String>> {
        let kind = reference.split('/').next().unwrap_or_default();
        let (encounters, how) = self.of(reference)?;
        (how != Belongs::Date || !STATES.contains(&kind)).then_some(encounters)
    }

    /// Passes encounters on along orders and parts, until nothing changes.
    fn by_order(&mut self, facts: &BTreeMap<String, Facts>) {
        let mut above: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
        for (reference, one) in facts {
            above.entry(reference).or_default().extend(&one.orders);
            for part in &one.parts {
                above.entry(part).or_default().insert(reference);
            }
        }
        loop {
            let unclear = facts.iter().filter(|(reference, _)| !self.of.contains_key(*reference));
            let fresh: BTreeMap<_, _> = unclear
                .filter_map(|(reference, one)| {
                    let of_orders = self.of_all(above.get(reference)?.iter().copied());
                    let of_parts = self.of_all(one.parts.iter());
                    let encounters = match (of_orders.is_empty(), of_parts.len()) {
                        (false, _) => of_orders,
                        // A report that lists results of two visits is of neither.
                        (true, 1) => of_parts,
                        _ => return None,
                    };
                    Some((reference.clone(), (encounters, Belongs::Order)))
                })
                .collect();
            if fresh.is_empty() {
                return;
            }
            self.of.extend(fresh);
        }
    }

    fn of_all<'r>(&self, others: impl Iterator<Item = &'r String>) -> BTreeSet<String> {
        let known = others.filter_map(|other| self.of.get(other));
        known.flat_map(|(encounters, _)| encounters).cloned().collect()
    }

    fn by_date(&mut self, facts: &BTreeMap<String, Facts>) {
        let mut visits: BTreeMap<&String, Vec<(&String, &Facts)>> = BTreeMap::new();
        for (reference, one) in facts.iter().filter(|(_, one)| one.is_visit) {
            if let Some(patient) = &one.patient {
                visits.entry(patient).or_default().push((reference, one));
            }
        }
        for (reference, one) in facts {
            let own = one.patient.as_ref().and_then(|patient| visits.get(patient));
            let Some(own) = own.filter(|_| !self.of.contains_key(reference)) else { continue };
            let encounters = at_that_time(one, own);
            if !encounters.is_empty() {
                self.of.insert(reference.clone(), (encounters, Belongs::Date));
            }
        }
    }
}

/// What is a state and no event is of all its days.
pub(super) const STATES: [&str; 3] = ["CarePlan", "CareTeam", "Goal"];

/// The visits that lasted at the moment it began; where there is none, those of the day.
fn at_that_time(one: &Facts, visits: &[(&String, &Facts)]) -> BTreeSet<String> {
    let chosen = |lasts: &dyn Fn(&Facts) -> bool| -> BTreeSet<String> {
        let lasting = visits.iter().filter(|(_, visit)| lasts(visit));
        lasting.map(|(reference, _)| (*reference).clone()).collect()
    };
    if STATES.contains(&one.kind.as_str()) {
        return chosen(&|visit| both(&one.days, &visit.days));
    }
    let begun = one.moments.as_ref().map(|Span { first, .. }| Span { first: *first, last: *first });
    let now = chosen(&|visit| both(&begun, &visit.moments));
    if !now.is_empty() {
        return now;
    }
    let day = one.days.as_ref().filter(|_| one.says_day);
    let day = day.map(|Span { first, .. }| Span { first: first.clone(), last: first.clone() });
    chosen(&|visit| both(&day, &visit.days))
}

fn both<T: Ord>(one: &Option<Span<T>>, other: &Option<Span<T>>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one.meets(other))
}
