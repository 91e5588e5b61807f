//! Charts of others arrive whole at two plans, in pushes of encounters, results and histories: every
//! resource in reach is filed, withheld by a named rule, or held; no word of what must stay is found.

use crate::common::House;
use crate::outcome::{Outcome, in_state, outcome, own_rows};
use crate::same_bytes::{Edits, Tree, derived};
use crate::scene::{Pushed, Scene, Setting, minimum};
use crate::stored::Stored;
use exchange::PartnerId;
use exchange::shape::BUILT_IN;
use sim::ehr::EhrMode;
use sim::overlay::{PayerExpectation, Planted, PushKind, Reason};
use sim::town::secrets_of;
use std::collections::{BTreeMap, BTreeSet};

/// Patients there are, of whom the numbers are known.
const ALL_CHARTS: usize = 100;

#[test]
fn charts_arrive_whole_from_an_ehr_that_can_do_all() {
    charts_arrive_whole(EhrMode::Full);
}

#[test]
fn charts_arrive_whole_from_an_ehr_of_the_minimum() {
    charts_arrive_whole(minimum());
}

fn charts_arrive_whole(mode: EhrMode) {
    let setting = Setting { unknown_member: true, told: true, ..Setting::new(mode) };
    let Some(mut scene) = Scene::set(&setting) else { return };
    let pushed = scene.push_all();
    for (payer, expected) in scene.payers() {
        every_push_ended_as_expected(payer, expected, &pushed);
        let outcome = outcome(&scene, payer, &pushed);
        each_resource_is_filed_withheld_or_held(&scene, &outcome, expected);
        what_is_filed_is_the_source_but_for_listed_edits(&scene, payer, &outcome);
        every_reference_resolves(payer);
        it_is_said_by_what_each_belongs(&scene, &outcome, expected);
        results_without_their_encounter_arrived(&scene, expected);
        what_was_planted_is_found_nowhere(&scene, payer, expected);
    }
    scene.stage.stop();
    no_log_tells_what_was_planted_or_who_a_patient_is(&scene);
}

/// Where no rule keeps anything back, every visit and every result of the charts is at both plans.
#[test]
fn without_a_restriction_every_visit_and_every_result_arrives() {
    let setting = Setting { restrict: false, ..Setting::new(EhrMode::Full) };
    let Some(mut scene) = Scene::set(&setting) else { return };
    scene.push_all();
    let laboratory = |value: &serde_json::Value| {
        let codings = value["category"].as_array().into_iter().flatten();
        let mut codings = codings.flat_map(|it| it["coding"].as_array()).flatten();
        codings.any(|coding| coding["code"] == "LAB")
    };
    let count = |kind: &str, contents: &mut dyn Iterator<Item = &[u8]>| {
        let own = contents.map(|bytes| serde_json::from_slice(bytes).unwrap());
        let own = own.filter(|value: &serde_json::Value| value["resourceType"] == kind);
        own.filter(|value| kind != "DiagnosticReport" || laboratory(value)).count()
    };
    let kinds = ["Encounter", "DiagnosticReport", "Observation"];
    let all = kinds.map(|kind| count(kind, &mut scene.read.iter().map(|one| &one.bytes[..])));
    assert!(all.iter().all(|count| *count > 0));
    if scene.read.of_kind("Patient").len() == ALL_CHARTS {
        assert_eq!(all, [4_154, 3_012, 37_523]);
    }
    for payer in &scene.stage.payers {
        let records = payer.records();
        let contents = || records.values().map(|record| &record.content.as_ref().unwrap()[..]);
        assert_eq!(kinds.map(|kind| count(kind, &mut contents())), all);
    }
    scene.stage.stop();
}

fn every_push_ended_as_expected(payer: &House, expected: &PayerExpectation, pushed: &Pushed) {
    let held = expected.pushes_held.clone();
    let settled: BTreeSet<_> =
        expected.pushes.keys().filter(|one| !held.contains(*one)).cloned().collect();
    for kind in PushKind::ALL {
        assert!(settled.iter().any(|one| PushKind::of(one) == Some(kind)), "{kind:?} settle");
    }
    let ways: BTreeMap<&str, usize> =
        own_rows(pushed, payer).fold(BTreeMap::new(), |mut all, row| {
            *all.entry(row.state.as_str()).or_default() += 1;
            all
        });
    same("settled", &in_state(pushed, payer, "settled"), &settled);
    same("withheld", &in_state(pushed, payer, "withheld"), &expected.pushes_withheld);
    same("held", &in_state(pushed, payer, "due"), &held);
    let all = settled.len() + held.len() + expected.pushes_withheld.len();
    assert_eq!(own_rows(pushed, payer).count(), all, "{ways:?}");
    let waiting = payer.rows().into_iter().filter(|row| row.state == "held").count();
    assert_eq!(waiting, held.len(), "each is with a person of the plan");
}

fn each_resource_is_filed_withheld_or_held(
    scene: &Scene,
    outcome: &Outcome,
    expected: &PayerExpectation,
) {
    let rule = |reason: &Reason| reason.name().to_owned();
    let withheld: BTreeMap<_, _> =
        expected.withheld.iter().map(|(one, reason)| (one.clone(), rule(reason))).collect();
    same("filed", &outcome.filed, &expected.filed);
    same("held", &outcome.held, &expected.held);
    let pairs = |map: &BTreeMap<String, String>| -> BTreeSet<(String, String)> {
        map.iter().map(|(one, rule)| (one.clone(), rule.clone())).collect()
    };
    same("withheld", &pairs(&outcome.withheld), &pairs(&withheld));
    assert!(expected.withheld_for(Reason::PatientRestriction) > 0);
    assert!(expected.withheld_for(Reason::AboutWithheld) > 0);
    assert!(expected.unresolved.is_empty());
    assert!(expected.filed_of("PractitionerRole") > 0, "nothing refers to a role");
    // Exactly one of them, and the rest was not asked for.
    assert!(outcome.withheld.keys().all(|one| !outcome.filed.contains(one)));
    assert!(outcome.withheld.keys().all(|one| !outcome.held.contains(one)));
    let near = outcome.filed.len() + outcome.held.len() + outcome.withheld.len();
    assert_eq!(scene.read.len() - near, expected.not_asked);
    eprintln!(
        "{}: filed {}, held {}, withheld {}, not asked for {}",
        expected.name,
        outcome.filed.len(),
        outcome.held.len(),
        outcome.withheld.len(),
        expected.not_asked
    );
}

/// Names a few of those that differ, and how many there are.
fn same<T: Ord + std::fmt::Debug>(what: &str, found: &BTreeSet<T>, expected: &BTreeSet<T>) {
    let more: Vec<_> = found.difference(expected).collect();
    let less: Vec<_> = expected.difference(found).collect();
    let first = |list: &[&T]| format!("{:?}", list.iter().take(4).collect::<Vec<_>>());
    assert!(
        more.is_empty() && less.is_empty(),
        "{what}: {} too many, such as {}; {} too few, such as {}",
        more.len(),
        first(&more),
        less.len(),
        first(&less)
    );
}

fn what_is_filed_is_the_source_but_for_listed_edits(
    scene: &Scene,
    payer: &House,
    outcome: &Outcome,
) {
    let namespace = scene.stage.provider.public().namespace;
    let source_base = scene.stage.ehr.base_url();
    let records = payer.records();
    let mut rules = BTreeSet::new();
    for reference in &outcome.filed {
        let source = scene.stage.chart.find(reference).expect("it is in the chart");
        let served = scene.stage.ehr.served(reference).expect("the EHR serves it");
        let cuts = &outcome.cuts[reference];
        rules.extend(cuts.values().cloned());
        let id = derived(&namespace, &source.kind, &source.id);
        let filed = records[&format!("{}/{id}", source.kind)].content.as_ref().unwrap();
        let cuts = cuts.keys().map(String::as_str).collect();
        let edits = Edits { namespace: &namespace, source_base: &source_base, cuts };
        let difference = edits.check(&source.kind, &source.id, &served, filed).err();
        assert_eq!(difference, None, "an edit that is not listed");
    }
    let config = scene.stage.provider.config();
    let agreement = &config.terms[&PartnerId::from(payer.name.as_str())].agreement;
    // A reference goes by the rule that keeps its target.
    let cuts = agreement.cut.iter().map(|cut| cut.rule.as_str());
    let known: BTreeSet<&str> =
        cuts.chain(agreement.withhold.iter().map(|row| row.rule.as_str())).collect();
    let built_in = |rule: &str| BUILT_IN.iter().any(|(known, _)| *known == rule);
    assert!(rules.iter().all(|rule| known.contains(rule.as_str()) || built_in(rule)), "{rules:?}");
    assert!(rules.contains("social-security-number"), "every patient has such a number: {rules:?}");
}

/// What was not filed and is still referred to would lead its reader nowhere.
fn every_reference_resolves(payer: &House) {
    let records = payer.records();
    for record in records.values() {
        let tree = Tree::read(record.content.as_ref().unwrap());
        for reference in tree.references().into_iter().filter(|text| !text.starts_with('#')) {
            assert!(records.contains_key(reference), "a {} leads nowhere", record.kind);
        }
    }
}

fn it_is_said_by_what_each_belongs(scene: &Scene, outcome: &Outcome, expected: &PayerExpectation) {
    let mut ways: BTreeSet<String> = BTreeSet::new();
    for encounter in expected.subjects(PushKind::Encounter) {
        let empty = BTreeMap::new();
        let said = outcome.belongs.get(&encounter);
        let all = scene.expectation.belongs.get(&encounter).into_iter().flatten();
        let asked = all.filter(|(one, _)| {
            scene.rules.asked.contains(one.split('/').next().unwrap_or_default())
        });
        // A result without a category is known by its report, and no EHR need find it for a visit.
        let labelled = |one: &String| expected.withheld.get(one) == Some(&Reason::SensitivityLabel);
        let asked = asked.filter(|(one, _)| !labelled(one));
        let wanted: BTreeSet<_> =
            asked.map(|(one, how)| (one.clone(), how.word().to_owned())).collect();
        let said = said.unwrap_or(&empty).iter().map(|(one, how)| (one.clone(), how.clone()));
        let said = said.filter(|(one, _)| *one != encounter && !labelled(one));
        let said: BTreeSet<_> = said.collect();
        same("by what it belongs", &said, &wanted);
        ways.extend(wanted.into_iter().map(|(_, how)| how));
    }
    assert!(ways.len() > 1, "some belong without a link");
}

/// Those that say no encounter, and are not of a restricted one.
fn results_without_their_encounter_arrived(scene: &Scene, expected: &PayerExpectation) {
    let mut arrived = 0;
    for kind in ["DiagnosticReport", "Observation"] {
        for one in scene.read.of_kind(kind) {
            let value: serde_json::Value = serde_json::from_slice(&one.bytes).unwrap();
            let of_whom = value["subject"]["reference"].as_str().unwrap_or_default();
            if value["encounter"].is_null() && !of_whom.is_empty() {
                let reference = one.reference();
                let stays = expected.withheld.contains_key(&reference);
                let known =
                    expected.filed.contains(&reference) || expected.held.contains(&reference);
                assert!(stays || known, "a {kind} without its encounter is lost");
                arrived += usize::from(known);
            }
        }
    }
    assert!(arrived > 10, "{arrived}");
}

fn what_was_planted_is_found_nowhere(scene: &Scene, payer: &House, expected: &PayerExpectation) {
    let stored = Stored::at(payer);
    let namespace = scene.stage.provider.public().namespace;
    assert!(stored.holds(&namespace), "what is there is found");
    let all = scene.planted.iter();
    let planted = all.filter(|one| one.only_at.as_deref() != Some(expected.name.as_str()));
    assert!(planted.clone().count() > 100);
    assert_eq!(stored.first_found(planted), None);
    // What the plan may have of this list is its own: so a search would have found the rest.
    let own = scene.planted.iter().find(|one| one.only_at.as_deref() == Some(&expected.name));
    assert!(stored.holds(&own.unwrap().value));
}

/// All that the houses said while this went on, at their fine level, and what their commands print.
fn no_log_tells_what_was_planted_or_who_a_patient_is(scene: &Scene) {
    let people = scene.stage.chart.of_kind("Patient").iter();
    // Ids of the EHR are not content: a sending house says which record it is at work on. These
    // charts repeat a patient's among the identifiers.
    let ids: BTreeSet<&str> = scene.stage.chart.iter().map(|one| one.id.as_str()).collect();
    let secrets: BTreeSet<String> = people
        .flat_map(|patient| secrets_of(&scene.stage.chart, &patient.reference()))
        .filter(|secret| secret.len() >= SECRET_CHARS_MIN && !ids.contains(secret.as_str()))
        .collect();
    assert!(secrets.len() > 20);
    let secrets: Vec<Planted> = secrets
        .into_iter()
        .map(|value| Planted { value, why: "who a patient is", only_at: None })
        .collect();
    let marks = scene.planted.iter().filter(|one| one.value.starts_with("planted-"));
    let provider = &scene.stage.provider;
    for house in scene.stage.payers.iter().chain([provider]) {
        let receives = house.name != provider.name;
        for words in [&["list"][..], &["ledger", "verify"]] {
            house.run(words);
        }
        let said = house.said.lock().unwrap();
        let texts = said.iter().flat_map(|said| [&said.stdout, &said.stderr]);
        let heard = Stored::of(&format!("what {} said", house.name), texts);
        assert!(heard.holds("ready "), "what it said was kept");
        assert_eq!(heard.first_found(secrets.iter().chain(marks.clone())), None);
        if receives {
            let all = scene.planted.iter().filter(|one| one.only_at.is_none());
            assert_eq!(heard.first_found(all), None);
        }
    }
}

/// Shorter words stand in any text.
const SECRET_CHARS_MIN: usize = 8;
