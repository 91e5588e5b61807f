//! Two hundred corrections reach both plans, and nothing else does.

use crate::common::House;
use crate::outcome::{in_state, source_of};
use crate::scene::{Scene, Setting, minimum};
use sim::ehr::EhrMode;
use sim::overlay::{CorrectionKind, Corrections, PushKind};
use std::collections::{BTreeMap, BTreeSet};

/// Corrections of the test.
const CORRECTIONS: usize = 200;

/// The newest version and digest of every record but Provenance, by `Type/id` of the source; and
/// whether it stands.
type Heads = BTreeMap<String, (u64, String)>;

#[test]
fn two_hundred_corrections_reach_both_plans_and_only_they_do() {
    corrections_arrive(EhrMode::Full);
}

#[test]
fn two_hundred_corrections_in_an_ehr_of_the_minimum_reach_both_plans_and_only_they_do() {
    corrections_arrive(minimum());
}

fn corrections_arrive(mode: EhrMode) {
    let setting = Setting { patients: 3, ..Setting::new(mode) };
    let Some(mut scene) = Scene::set(&setting) else { return };
    let corrections = Corrections::of(
        11,
        CORRECTIONS,
        &CorrectionKind::ALL,
        &scene.stage.chart,
        &scene.plans,
        &scene.rules,
    );
    assert!(corrections.all.len() >= CORRECTIONS * 9 / 10, "{}", corrections.all.len());
    // Second records of people, which will be merged, stand in the EHR from the beginning.
    let known = &scene.stage.chart;
    let doubles = corrections.before.iter().filter(|one| known.find(&one.reference()).is_none());
    scene.stage.ehr.amend(doubles.map(|one| one.bytes.clone()).collect::<Vec<_>>());
    scene.stage.chart = corrections.before.clone();
    scene.expectation = corrections.expected_before.clone();
    let first = scene.push_all();
    for (payer, expected) in scene.payers() {
        let settled = in_state(&first, payer, "settled");
        differs("first pushes", &settled, &expected.pushes.keys().cloned().collect());
    }
    let before: Vec<Heads> = scene.stage.payers.iter().map(|payer| heads(&scene, payer)).collect();
    for (before, expected) in before.iter().zip(&scene.expectation.payers) {
        assert!(before.keys().eq(&expected.filed), "the first push filed what was expected");
    }

    let put = corrections.all.iter().flat_map(|one| &one.put).map(|one| one.bytes.clone());
    scene.stage.ehr.amend(put.collect::<Vec<_>>());
    scene.stage.chart = corrections.after.clone();
    let subjects = scene.subjects_with(&corrections.expected_after);
    let mut pushed = BTreeMap::new();
    for kind in PushKind::ALL {
        let own: Vec<_> =
            subjects.iter().filter(|one| PushKind::of(one) == Some(kind)).cloned().collect();
        pushed.extend(scene.push(&own));
    }
    for ((payer, before), effect) in
        scene.stage.payers.iter().zip(&before).zip(&corrections.together)
    {
        let after = heads(&scene, payer);
        let settled = in_state(&pushed, payer, "settled");
        // What ended is taken back by a push of its own.
        let ended = effect.ended.intersection(&settled).cloned();
        let expected = effect.pushes.iter().cloned().chain(ended).collect();
        differs("pushes made", &settled, &expected);
        let fresh: BTreeSet<_> =
            after.keys().filter(|one| !before.contains_key(*one)).cloned().collect();
        differs("records that are new", &fresh, &effect.fresh);
        let gone: BTreeSet<_> =
            before.keys().filter(|one| !after.contains_key(*one)).cloned().collect();
        differs("records taken back", &gone, &effect.gone);
        let changed = |one: &&String| after.get(*one).is_some_and(|head| *head != before[*one]);
        let changed: BTreeSet<_> = before.keys().filter(changed).cloned().collect();
        differs("records that changed", &changed, &effect.changed);
        assert!(changed.iter().all(|one| after[one].0 >= 2));
    }
    scene.stage.stop();
}

fn differs(what: &str, found: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let more: Vec<_> = found.difference(expected).collect();
    let less: Vec<_> = expected.difference(found).collect();
    let few = |list: &[&String]| format!("{:?}", list.iter().take(6).collect::<Vec<_>>());
    assert!(
        more.is_empty() && less.is_empty(),
        "{what}: {} too many, such as {}; {} too few, such as {}",
        more.len(),
        few(&more),
        less.len(),
        few(&less)
    );
}

fn heads(scene: &Scene, payer: &House) -> Heads {
    let namespace = scene.stage.provider.public().namespace;
    let records = payer.records().into_values().filter(|record| record.kind != "Provenance");
    let head = |record: store::Record| {
        let source = source_of(&namespace, record.content.as_ref().unwrap());
        (source, (record.version, record.digest.to_string()))
    };
    records.map(head).collect()
}
