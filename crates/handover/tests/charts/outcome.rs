//! The outcome: what one payer was given, as the houses have it.
//!
//! Comes in   a sending house, a payer, the rows of the pushes.
//! Goes out   what is filed, withheld, cut, and by what it belonged; all by `Type/id` of the source.
//! Never      two answers: what is withheld by one rule and cut in one way is so in every push.

use crate::common::House;
use crate::same_bytes::Tree;
use crate::scene::{Pushed, Scene};
use exchange::desk::Row;
use exchange::{DecisionRow, PartnerId};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(crate) struct Outcome {
    /// Everything that is filed, but the pushes' own Provenance.
    pub(crate) filed: BTreeSet<String>,
    /// What was sent and waits for a person at the payer.
    pub(crate) held: BTreeSet<String>,
    /// The rule that withheld it; `outside-window` only where no push holds it.
    pub(crate) withheld: BTreeMap<String, String>,
    /// FHIRPath of every cut, with its rule.
    pub(crate) cuts: BTreeMap<String, BTreeMap<String, String>>,
    /// By subject, by resource: link, order or date.
    pub(crate) belongs: BTreeMap<String, BTreeMap<String, String>>,
}

/// The rows of one payer.
pub(crate) fn own_rows<'p>(pushed: &'p Pushed, payer: &House) -> impl Iterator<Item = &'p Row> {
    let name = PartnerId::from(payer.name.as_str());
    pushed.values().flatten().filter(move |row| row.partner.as_ref() == Some(&name))
}

/// The subjects of one payer's pushes in a state.
pub(crate) fn in_state(pushed: &Pushed, payer: &House, state: &str) -> BTreeSet<String> {
    let own = own_rows(pushed, payer).filter(|row| row.state == state);
    own.map(|row| row.subject.clone().unwrap()).collect()
}

/// `Type/id` in the source of what a payer has on file.
pub(crate) fn filed(scene: &Scene, payer: &House) -> BTreeSet<String> {
    let namespace = scene.stage.provider.public().namespace;
    let records = payer.records();
    let own = records.values().filter(|record| record.kind != "Provenance");
    own.map(|record| source_of(&namespace, record.content.as_ref().unwrap())).collect()
}

/// `Type/id` in the source of a record, by what it says itself.
pub(crate) fn source_of(namespace: &str, content: &[u8]) -> String {
    let tree = Tree::read(content);
    let source = tree.get("meta").and_then(|meta| meta.get("source")?.string());
    let source = source.and_then(|text| text.strip_prefix(namespace)?.strip_prefix('/'));
    source.expect("every record names its source").to_owned()
}

pub(crate) fn outcome(scene: &Scene, payer: &House, pushed: &Pushed) -> Outcome {
    let mut outcome = Outcome { filed: filed(scene, payer), ..Outcome::default() };
    let mut outside = BTreeSet::new();
    for row in own_rows(pushed, payer) {
        let subject = row.subject.clone().unwrap();
        for decision in scene.stage.provider.show(&row.id).decisions {
            let DecisionRow { reference, included, rule, cuts, belongs, .. } = decision;
            if let Some(how) = belongs {
                let of_subject = outcome.belongs.entry(subject.clone()).or_default();
                of_subject.insert(reference.clone(), how.word().to_owned());
            }
            if rule == "not-referred-to" {
                // Only what is withheld leads to it: it is as if nobody had asked for it, and what
                // is filed without it would be too few.
                assert!(!included);
            } else if rule == "outside-window" && !included {
                outside.insert(reference);
            } else if !included {
                // Two rules of the agreement, one reason.
                let rule = rule.replace("condition-in-error", "entered-in-error");
                let before = outcome.withheld.insert(reference, rule.clone());
                assert!(before.is_none_or(|before| before == rule), "two rules for one resource");
            } else if matches!(row.state.as_str(), "settled" | "due" | "unchanged") {
                if row.state == "due" {
                    outcome.held.insert(reference.clone());
                } else {
                    assert!(outcome.filed.contains(&reference), "included, settled and not filed");
                }
                let made: BTreeMap<_, _> = cuts.into_iter().collect();
                let before = outcome.cuts.insert(reference, made.clone());
                assert!(before.is_none_or(|before| before == made), "cut otherwise in two pushes");
            }
        }
    }
    outcome.held = outcome.held.difference(&outcome.filed).cloned().collect();
    let near = |one: &String| outcome.filed.contains(one) || outcome.held.contains(one);
    let outside = outside.into_iter().filter(|one| !near(one));
    let outside: Vec<_> = outside.map(|one| (one, "outside-window".to_owned())).collect();
    for (one, rule) in outside {
        outcome.withheld.entry(one).or_insert(rule);
    }
    outcome
}
