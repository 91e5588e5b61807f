//! Belonging: to which encounters a resource belongs, and how that is known.
//!
//! Comes in   the facts of a chart.
//! Goes out   for every resource the encounters it belongs to, each by link, by order or by date.
//! Never      overrules a link: what names an encounter belongs to that one and to no other.
//!
//! Many EHRs serve results without their encounter. Such a result belongs to the encounter of its
//! order, of the report that lists it, or of what it lists itself; else to the encounter in whose
//! period it was taken: to the moment where both say so, else to the day. Two encounters at the
//! same time both have it: a result that comes twice is one record, one that is missed is none.

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

    /// Passes encounters on along orders and parts, until nothing changes.
    fn by_order(&mut self, facts: &BTreeMap<String, Facts>) {
        let mut beside: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
        for (reference, one) in facts {
            for other in &one.orders {
                beside.entry(reference).or_default().insert(other);
            }
            for part in &one.parts {
                beside.entry(part).or_default().insert(reference);
                beside.entry(reference).or_default().insert(part);
            }
        }
        loop {
            let mut fresh = BTreeMap::new();
            for (reference, others) in &beside {
                if self.of.contains_key(*reference) || !facts.contains_key(*reference) {
                    continue;
                }
                let known = others.iter().filter_map(|other| self.of.get(*other));
                let encounters: BTreeSet<String> =
                    known.flat_map(|(encounters, _)| encounters).cloned().collect();
                if !encounters.is_empty() {
                    fresh.insert((*reference).clone(), (encounters, Belongs::Order));
                }
            }
            if fresh.is_empty() {
                return;
            }
            self.of.extend(fresh);
        }
    }

    fn by_date(&mut self, facts: &BTreeMap<String, Facts>) {
        let mut visits: BTreeMap<&String, Vec<(&String, &Facts)>> = BTreeMap::new();
        for (reference, one) in facts.iter().filter(|(_, one)| one.kind == "Encounter") {
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

/// The visits that lasted at the moment; where there is none, those of the day.
fn at_that_time(one: &Facts, visits: &[(&String, &Facts)]) -> BTreeSet<String> {
    let chosen = |lasts: &dyn Fn(&Facts) -> bool| -> BTreeSet<String> {
        let lasting = visits.iter().filter(|(_, visit)| lasts(visit));
        lasting.map(|(reference, _)| (*reference).clone()).collect()
    };
    let now = chosen(&|visit| both(&one.moments, &visit.moments));
    if !now.is_empty() {
        return now;
    }
    chosen(&|visit| both(&one.days, &visit.days))
}

fn both<T: Ord>(one: &Option<Span<T>>, other: &Option<Span<T>>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one.meets(other))
}
