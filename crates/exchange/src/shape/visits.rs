//! Visits: the patient's encounters, and what follows for a resource from those it belongs to.
//!
//! Comes in   every encounter that is known, whether it is pushed or not.
//! Goes out   for each resource what its encounters answer to the conditions of the agreement.
//! Never      takes an encounter that is not known for a harmless one.

use super::{Audience, Collected};
use crate::agreement::Visits;
use crate::restriction::{names_encounter_unclearly, tail};
use crate::valueset::Doubt;
use fhir::Resource;
use std::collections::BTreeMap;

/// The answers of all known encounters; empty where the agreement asks them nothing.
#[derive(Default)]
pub(super) struct Visited {
    asked: bool,
    by_reference: BTreeMap<String, Answers>,
    unknown: Answers,
}

/// To the conditions of the agreement, by their number.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Answers {
    surely: Vec<bool>,
    perhaps: Vec<bool>,
}

/// The encounters of a resource, as far as it is asked for them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// `Encounter/id` of those it refers to, and of itself.
    encounters: Vec<String>,
    /// It names one in a way that cannot be followed.
    unclearly: bool,
}

impl Answers {
    pub(super) fn visits(&self) -> Visits<'_> {
        Visits::Asked { surely: &self.surely, perhaps: &self.perhaps }
    }

    fn of(encounter: Option<&Resource>, audience: &Audience<'_>) -> Answers {
        let doc = encounter.map(Resource::doc);
        let root = || doc.as_ref().map(|doc| doc.root());
        Answers {
            surely: audience.terms.of_encounter(root(), Doubt::No),
            perhaps: audience.terms.of_encounter(root(), Doubt::Yes),
        }
    }

    fn join(&mut self, other: &Answers) {
        let or = |mine: &mut Vec<bool>, theirs: &[bool]| {
            mine.resize(mine.len().max(theirs.len()), false);
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine |= theirs);
        };
        or(&mut self.surely, &other.surely);
        or(&mut self.perhaps, &other.perhaps);
    }
}

impl Visited {
    pub(super) fn read(collected: &Collected, audience: &Audience<'_>) -> Visited {
        if !audience.terms.asks_encounters() {
            return Visited::default();
        }
        let mut by_reference: BTreeMap<String, Answers> = BTreeMap::new();
        for encounter in collected.all().filter(|resource| resource.kind() == "Encounter") {
            // Of two versions of one encounter, what either answers.
            let known = by_reference.entry(encounter.local_reference()).or_default();
            known.join(&Answers::of(Some(encounter), audience));
        }
        Visited { asked: true, by_reference, unknown: Answers::of(None, audience) }
    }

    /// What the encounters of a resource answer: those it refers to, and itself.
    pub(super) fn of(&self, resource: &Resource) -> Answers {
        self.answers(&self.named(resource))
    }

    /// The encounters of a resource; none where nothing is asked of them.
    pub(super) fn named(&self, resource: &Resource) -> Named {
        if !self.asked {
            return Named::default();
        }
        let named = resource.references().iter().filter_map(|reference| {
            let target = tail(&resource.reference_text(reference))?;
            target.starts_with("Encounter/").then_some(target)
        });
        let itself = (resource.kind() == "Encounter").then(|| resource.local_reference());
        Named {
            encounters: itself.into_iter().chain(named).collect(),
            unclearly: names_encounter_unclearly(resource),
        }
    }

    /// What these encounters answer.
    pub(super) fn answers(&self, named: &Named) -> Answers {
        let mut answers = Answers::default();
        for reference in &named.encounters {
            answers.join(self.by_reference.get(reference).unwrap_or(&self.unknown));
        }
        if named.unclearly {
            answers.join(&self.unknown);
        }
        answers
    }
}
