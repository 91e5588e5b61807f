//! About: what stays because of what it is about, although no rule names it.
//!
//! Comes in   everything known of the chart, with what of it stays for something sensitive.
//! Goes out   what stays with that.
//! Never      asks what is in this push, or lets a record speak for an order that not every push knows.
//!
//! The order of a labelled result says what was looked for, and its report that something was found. So
//! what is in the chart for something withheld alone stays with it: the order, the specimen, the report
//! or panel of it, what a withheld report or panel lists, and in turn what is based on it or part of it.
//! It is not alone where something else speaks for it: another result of the order that travels, another
//! panel that lists it. A report speaks for an order by those of its results that travel and are no other
//! order's.
//!
//! What a restricted visit brought stays for the visit's sake, and not for its matter: what was done
//! upon its orders at other visits, and what its reports list of other visits, is those visits' own.

use super::belongings::Facts;
use super::chart::Known;
use super::known::is_known_whole;
use super::verdicts::Verdicts;
use super::{ABOUT, Audience, PATIENT_RESTRICTION, Withheld};
use crate::restriction::is_content;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The records of a chart, and which of them stay.
struct Records<'k> {
    facts: BTreeMap<&'k str, Arc<Facts>>,
    /// By order, by specimen, by part: the records that name it so.
    outcomes: BTreeMap<&'k str, BTreeSet<&'k str>>,
    samples: BTreeMap<&'k str, BTreeSet<&'k str>>,
    holders: BTreeMap<&'k str, BTreeSet<&'k str>>,
    /// Those that stay.
    stays: BTreeSet<&'k str>,
    /// Those of them that stay for their matter, whichever visit they are of.
    matters: BTreeSet<&'k str>,
}

/// What stays because of what it is about; `stay` is what stays already.
pub(super) fn of(
    known: &Known,
    stay: &BTreeMap<String, Withheld>,
    audience: &Audience<'_>,
    verdicts: &Verdicts,
) -> BTreeMap<String, Withheld> {
    let mut found = BTreeMap::new();
    if stay.is_empty() {
        return found;
    }
    let facts: BTreeMap<&str, Arc<Facts>> =
        known.iter().map(|(reference, (it, _))| (reference.as_str(), verdicts.facts(it))).collect();
    let mut records = Records::read(&facts, stay, audience);
    loop {
        let more: Vec<&str> =
            facts.keys().copied().filter(|one| records.is_about_what_stays(one)).collect();
        if more.is_empty() {
            return found;
        }
        for reference in more {
            records.stays.insert(reference);
            records.matters.insert(reference);
            found.insert(reference.to_owned(), Withheld::by(ABOUT));
        }
    }
}

impl<'k> Records<'k> {
    fn read(
        facts: &'k BTreeMap<&'k str, Arc<Facts>>,
        stay: &'k BTreeMap<String, Withheld>,
        audience: &Audience<'_>,
    ) -> Records<'k> {
        let by = |named: &dyn Fn(&'k Facts) -> &'k [String]| {
            let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
            for (reference, facts) in facts {
                for target in named(facts) {
                    all.entry(target).or_default().insert(reference);
                }
            }
            all
        };
        let is_matter = |(reference, why): &(&'k String, &'k Withheld)| match why.rule.as_str() {
            PATIENT_RESTRICTION => {
                is_content(reference) && audience.restrictions.names(reference, audience.payer())
            }
            rule => !audience.terms.withholds_visits(rule),
        };
        let matters = stay.iter().filter(is_matter);
        Records {
            outcomes: by(&|facts| &facts.orders),
            samples: by(&|facts| &facts.specimens),
            holders: by(&|facts| &facts.held),
            stays: stay.keys().map(String::as_str).collect(),
            matters: matters.map(|(reference, _)| reference.as_str()).collect(),
            facts: facts.clone(),
        }
    }

    fn is_about_what_stays(&self, reference: &str) -> bool {
        let Some(facts) = self.facts.get(reference).filter(|_| !self.stays.contains(reference))
        else {
            return false;
        };
        let stay = |one: &String| self.stays.contains(one.as_str());
        let is_matter = |one: &String| self.matters.contains(one.as_str());
        facts.substance.iter().any(stay)
            || (!facts.sums.is_empty() && facts.sums.iter().all(stay))
            || facts.orders.iter().chain(&facts.wholes).any(is_matter)
            || (is_content(reference) && self.is_only_for_what_stays(reference))
    }

    /// Whether something that stays names it as its order, specimen or part, and nothing else does.
    fn is_only_for_what_stays(&self, reference: &str) -> bool {
        let named =
            |by: &BTreeMap<&str, BTreeSet<&'k str>>| by.get(reference).cloned().unwrap_or_default();
        let (outcomes, samples) = (named(&self.outcomes), named(&self.samples));
        let holders = named(&self.holders);
        let caused = outcomes.iter().chain(&samples).any(|one| self.stays.contains(one))
            || holders.iter().any(|one| self.matters.contains(one));
        caused
            && !outcomes.iter().any(|one| self.speaks(one, reference, |facts| &facts.orders))
            && !samples.iter().any(|one| self.speaks(one, reference, |facts| &facts.specimens))
            && !holders.iter().any(|one| self.travels(one))
    }

    fn travels(&self, reference: &str) -> bool {
        !self.stays.contains(reference) && is_known_whole(reference)
    }

    /// Whether a record that travels speaks for its order or specimen: what lists results speaks by
    /// those that travel, and name this one or none.
    fn speaks(&self, one: &str, target: &str, named: fn(&Facts) -> &[String]) -> bool {
        let results = self.facts.get(one).map(|facts| facts.sums.as_slice()).unwrap_or_default();
        let its = |result: &String| {
            let own = self.facts.get(result.as_str()).map(|facts| named(facts)).unwrap_or_default();
            !self.stays.contains(result.as_str())
                && (own.is_empty() || own.iter().any(|own| own == target))
        };
        self.travels(one) && (results.is_empty() || results.iter().any(its))
    }
}
