//! Charts that others wrote arrive whole: every resource in reach of a push is filed, withheld by
//! a named rule, or held; and doing it again changes nothing but what has changed.

use crate::common::{House, Stage, data};
use crate::same_bytes::{Edits, Tree, derived, take_of_meta};
use exchange::desk::Row;
use exchange::shape::BUILT_IN;
use exchange::{DecisionRow, PartnerId};
use handover::ehr::new_plans;
use sim::overlay::{Amendment, PayerExpectation, Reason};
use sim::{Chart, Overlaid, Overlay, OverlayRules};
use std::collections::{BTreeMap, BTreeSet};

/// Patients of the test.
const PATIENTS: usize = 6;

/// Every so-many-eth encounter of a patient is under a restriction.
const RESTRICT_EVERY: usize = 7;

/// The rules of the shipped agreement, as the overlay reads them: plain lists of types.
fn rules(provider: &House) -> OverlayRules {
    let config = provider.config();
    let agreement = &config.terms.values().next().unwrap().agreement;
    let permitted = agreement.permit.iter().flat_map(|permit| &permit.types);
    OverlayRules {
        asked: agreement.encounter.types.iter().cloned().collect(),
        permitted: permitted.cloned().collect(),
        opaque: true,
        ..OverlayRules::default()
    }
}

/// What one payer was given, as the houses have it.
struct Outcome {
    /// `Type/id` in the source of everything that is filed, but the pushes' own Provenance.
    filed: BTreeSet<String>,
    /// Rule by `Type/id` in the source.
    withheld: BTreeMap<String, String>,
    /// FHIRPath of every cut, with its rule, by `Type/id` in the source.
    cuts: BTreeMap<String, BTreeMap<String, String>>,
}

/// The rows of every push, by encounter.
type Pushed = BTreeMap<String, Vec<Row>>;

#[test]
fn charts_of_others_arrive_whole_and_again_change_nothing() {
    let Some(folder) = data("synthea-us-core-bundles") else { return };
    let chart = Chart::load(&folder, Some(PATIENTS)).unwrap();
    let overlay =
        Overlay { plans: new_plans(2), restrict_every: Some(RESTRICT_EVERY), ..Overlay::default() };
    let usual = overlay.apply(&chart, &OverlayRules::usual()).unwrap();
    let mut stage = Stage::new(usual.chart.clone(), usual.plans.clone(), &usual.restrictions);
    let overlaid = overlay.apply(&chart, &rules(&stage.provider)).unwrap();
    assert_eq!(overlaid.chart, stage.chart, "rules do not change the chart");
    stage.serve();

    let encounters = stage.finished();
    let pushed = stage.provider.push_all(&encounters);
    every_finished_encounter_was_pushed_or_withheld(&stage, &overlaid, &pushed);
    let mut rules = BTreeSet::new();
    for (payer, expected) in stage.payers.iter().zip(&overlaid.expectation.payers) {
        let outcome = outcome(&stage, payer, &pushed);
        the_sets_are_the_expected_ones(&stage, &outcome, expected);
        rules.extend(what_is_filed_is_the_source_but_for_listed_edits(&stage, payer, &outcome));
        every_reference_resolves(payer);
        the_door_serves_what_is_filed(payer);
    }
    for rule in ["patient-restriction", "narrative-of-cut", "social-security-number"] {
        assert!(rules.contains(rule), "these charts give each of these some work: {rules:?}");
    }

    again_changes_nothing(&stage, &encounters, &pushed);
    one_amended_result_is_one_push(&mut stage, &overlaid, &encounters);
    stage.stop();
}

fn every_finished_encounter_was_pushed_or_withheld(
    stage: &Stage,
    overlaid: &Overlaid,
    pushed: &Pushed,
) {
    for (payer, expected) in stage.payers.iter().zip(&overlaid.expectation.payers) {
        let in_state = |state: &str| -> BTreeSet<String> {
            let own = own_rows(pushed, payer).filter(|row| row.state == state);
            own.map(|row| row.subject.clone().unwrap()).collect()
        };
        let settled: BTreeSet<_> = expected.pushes.keys().cloned().collect();
        assert!(!settled.is_empty());
        assert_eq!(in_state("settled"), settled);
        assert_eq!(in_state("withheld"), expected.pushes_withheld);
        assert_eq!(own_rows(pushed, payer).count(), settled.len() + expected.pushes_withheld.len());
    }
    let rows: usize = pushed.values().map(Vec::len).sum();
    assert_eq!(rows, pushed.len(), "every patient has one plan");
}

fn own_rows<'p>(pushed: &'p Pushed, payer: &House) -> impl Iterator<Item = &'p Row> {
    let name = PartnerId::from(payer.name.as_str());
    pushed.values().flatten().filter(move |row| row.partner.as_ref() == Some(&name))
}

fn outcome(stage: &Stage, payer: &House, pushed: &Pushed) -> Outcome {
    let namespace = stage.provider.public().namespace;
    let filed: BTreeSet<String> = payer
        .records()
        .values()
        .filter(|record| record.kind != "Provenance")
        .map(|record| {
            let tree = Tree::read(record.content.as_ref().unwrap());
            let source = tree.get("meta").and_then(|meta| meta.get("source")?.string());
            let source = source.and_then(|text| text.strip_prefix(&namespace)?.strip_prefix('/'));
            source.expect("every record names its source").to_owned()
        })
        .collect();
    let (mut withheld, mut cuts) = (BTreeMap::new(), BTreeMap::new());
    for row in own_rows(pushed, payer) {
        for decision in stage.provider.show(&row.id).decisions {
            let DecisionRow { reference, included, rule, cuts: made, .. } = decision;
            if !included {
                let before = withheld.insert(reference, rule.clone());
                assert!(before.is_none_or(|before| before == rule), "two rules for one resource");
            } else if row.state == "settled" {
                assert!(filed.contains(&reference), "included, settled, and not filed");
                let made: BTreeMap<_, _> = made.into_iter().collect();
                let before = cuts.insert(reference, made.clone());
                assert!(before.is_none_or(|before| before == made), "cut otherwise in two pushes");
            }
        }
    }
    Outcome { filed, withheld, cuts }
}

fn the_sets_are_the_expected_ones(stage: &Stage, outcome: &Outcome, expected: &PayerExpectation) {
    assert_eq!(outcome.filed, expected.filed);
    let by_rule = |reason: &Reason| reason.name().to_owned();
    let withheld: BTreeMap<_, _> =
        expected.withheld.iter().map(|(one, reason)| (one.clone(), by_rule(reason))).collect();
    assert_eq!(outcome.withheld, withheld);
    assert!(expected.withheld_for(Reason::PatientRestriction) > 0);
    assert!(expected.held.is_empty() && expected.unresolved.is_empty());

    // Exactly one of filed, withheld, not asked for.
    assert!(outcome.withheld.keys().all(|one| !outcome.filed.contains(one)));
    let near = outcome.filed.len() + outcome.withheld.len();
    assert_eq!(stage.chart.len() - near, expected.not_asked);
}

/// Answers the rules that cut something.
fn what_is_filed_is_the_source_but_for_listed_edits(
    stage: &Stage,
    payer: &House,
    outcome: &Outcome,
) -> BTreeSet<String> {
    let namespace = stage.provider.public().namespace;
    let source_base = stage.ehr.base_url();
    let records = payer.records();
    let mut rules = BTreeSet::new();
    for reference in &outcome.filed {
        let source =
            stage.chart.find(reference).expect("nothing is filed that is not in the chart");
        let cuts = &outcome.cuts[reference];
        rules.extend(cuts.values().cloned());
        let id = derived(&namespace, &source.kind, &source.id);
        let filed = records[&format!("{}/{id}", source.kind)].content.as_ref().unwrap();
        let cuts = cuts.keys().map(String::as_str).collect();
        let edits = Edits { namespace: &namespace, source_base: &source_base, cuts };
        let difference = edits.check(&source.kind, &source.id, &source.bytes, filed).err();
        assert_eq!(difference, None, "an edit that is not listed");
    }
    // Whatever was cut, a rule of the agreement or one that is always there says so.
    let config = stage.provider.config();
    let agreement = &config.terms[&PartnerId::from(payer.name.as_str())].agreement;
    let known: BTreeSet<&str> = agreement.cut.iter().map(|cut| cut.rule.as_str()).collect();
    let built_in = |rule: &str| BUILT_IN.iter().any(|(known, _)| *known == rule);
    assert!(rules.iter().all(|rule| known.contains(rule.as_str()) || built_in(rule)), "{rules:?}");
    rules
}

/// What was not filed and is still referred to would lead its reader nowhere.
fn every_reference_resolves(payer: &House) {
    let records = payer.records();
    let mut seen = 0;
    for record in records.values() {
        let tree = Tree::read(record.content.as_ref().unwrap());
        for reference in tree.references() {
            assert!(records.contains_key(reference), "a {} leads nowhere", record.kind);
            seen += 1;
        }
    }
    assert!(seen > records.len(), "these charts are full of references");
}

/// Page by page: the same records, and in each but version and time the same bytes.
fn the_door_serves_what_is_filed(payer: &House) {
    let records = payer.records();
    let kinds: BTreeSet<_> = records.values().map(|record| record.kind.clone()).collect();
    let mut served = 0;
    for kind in kinds {
        for text in payer.search_all(&kind) {
            let mut tree = Tree::read(&text);
            let id = tree.get("id").and_then(Tree::string).unwrap().to_owned();
            let record = &records[&format!("{kind}/{id}")];
            assert_eq!(take_of_meta(&mut tree, "versionId"), Some(quoted(record.version)));
            assert!(take_of_meta(&mut tree, "lastUpdated").is_some());
            assert_eq!(tree.text().as_bytes(), record.content.as_ref().unwrap());
            served += 1;
        }
    }
    assert_eq!(served, records.len());
}

fn quoted(version: u64) -> Tree {
    Tree::Scalar(format!("\"{version}\""))
}

fn again_changes_nothing(stage: &Stage, encounters: &[String], first: &Pushed) {
    let before: Vec<_> = stage.payers.iter().map(House::dump).collect();
    let again = stage.provider.push_all(encounters);
    for (encounter, rows) in &again {
        for (row, earlier) in rows.iter().zip(&first[encounter]) {
            if earlier.state == "withheld" {
                assert_eq!(row.state, "withheld");
                continue;
            }
            assert_eq!(row.state, "unchanged");
            let told = stage.provider.show(&row.id).acknowledgement;
            assert!(told.is_some());
            assert_eq!(told, stage.provider.show(&earlier.id).acknowledgement);
        }
    }
    let after: Vec<_> = stage.payers.iter().map(House::dump).collect();
    assert!(after == before, "a version was made though nothing had changed");
}

fn one_amended_result_is_one_push(stage: &mut Stage, overlaid: &Overlaid, encounters: &[String]) {
    let expectation = &overlaid.expectation;
    let amendment = Amendment::first_laboratory_result(&stage.chart, expectation).unwrap();
    let before: Vec<_> = stage.payers.iter().map(House::dump).collect();
    stage.ehr.amend([amendment.amended.bytes.clone()]);
    stage.chart = amendment.chart.clone();
    let pushed = stage.provider.push_all(encounters);
    let namespace = stage.provider.public().namespace;
    let id = derived(&namespace, "Observation", &amendment.amended.id);

    let mut settled = 0;
    for ((payer, before), expected) in stage.payers.iter().zip(before).zip(&expectation.payers) {
        let concerned = amendment.pushes.get(&expected.name).cloned().unwrap_or_default();
        let own: Vec<_> = own_rows(&pushed, payer).filter(|row| row.state == "settled").collect();
        let subjects: Vec<_> = own.iter().map(|row| row.subject.clone().unwrap()).collect();
        assert_eq!(subjects, concerned);
        settled += own.len();
        let after = payer.dump();
        let fresh: Vec<_> = after.iter().filter(|version| !before.contains(version)).collect();
        assert!(before.iter().all(|version| after.contains(version)), "history is kept");
        let kinds: Vec<_> = fresh
            .iter()
            .map(|(kind, id, version, _)| (kind.as_str(), id.as_str(), *version))
            .collect();
        if own.is_empty() {
            assert_eq!(kinds, []);
            continue;
        }
        assert_eq!(kinds.len(), 2, "the result, and the push's own Provenance: {kinds:?}");
        assert!(kinds.contains(&("Observation", id.as_str(), 2)));
        assert!(kinds.iter().any(|(kind, _, version)| *kind == "Provenance" && *version == 1));
        let outcome = outcome(stage, payer, &pushed_so_far(&pushed, &own));
        let source_base = stage.ehr.base_url();
        let cuts = &outcome.cuts[&amendment.observation];
        let cuts = cuts.keys().map(String::as_str).collect();
        let edits = Edits { namespace: &namespace, source_base: &source_base, cuts };
        let records = payer.records();
        let filed = records[&format!("Observation/{id}")].content.as_ref().unwrap();
        let amended = &amendment.amended;
        let difference = edits.check("Observation", &amended.id, &amended.bytes, filed).err();
        assert_eq!(difference, None, "the amended result is filed as it stands in the chart");
    }
    assert_eq!(settled, 1, "one result, one push");
}

/// Only the pushes that settled: the others decided on nothing that travelled.
fn pushed_so_far(pushed: &Pushed, settled: &[&Row]) -> Pushed {
    let mut these = pushed.clone();
    these.values_mut().for_each(|rows| rows.retain(|row| settled.contains(&row)));
    these
}
