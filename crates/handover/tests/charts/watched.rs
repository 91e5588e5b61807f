//! Whoever is on the roster is pushed by himself, from an EHR of the minimum: small pages, 429s with
//! `Retry-After`, no versions. A kill loses nothing, and a second round pushes nothing again.

use crate::common::{House, RUNTIME};
use crate::outcome::filed;
use crate::scene::{Scene, Setting};
use exchange::watch::WatchRow;
use exchange::{Code, HouseId};
use jiff::Timestamp;
use sim::Expectation;
use sim::ehr::{EhrMode, Odd};
use sim::overlay::PushKind;
use std::collections::{BTreeMap, BTreeSet};
use store::{AnyHouse, Commit, House as _, SqliteHouse, Unit, WorkKind};

const PATIENTS: usize = 2;

/// How often a house is asked whether it has done what is waited for.
const ASKED_MAX: usize = 20_000;

#[test]
fn a_watched_chart_arrives_by_itself_once_whatever_is_killed() {
    // All that is hard, with the waits that the EHR asks for.
    let mode = EhrMode::CertifiedMinimum(Odd::certified_minimum());
    let setting = Setting { patients: PATIENTS, ..Setting::new(mode) };
    let Some(mut scene) = Scene::set(&setting) else { return };
    scene.rules.kinds = vec![PushKind::Encounter, PushKind::Results];
    scene.expectation = Expectation::compute(&scene.read, &scene.plans, &scene.rules);
    scene.stage.provider.stop();
    begin(&scene);

    // Killed when some have been looked at, and gone on.
    scene.stage.provider.serve_with(&[("HANDOVER_HALT_AFTER", "watched:1")]);
    scene.stage.provider.process().wait_halted();
    scene.stage.provider.kill();
    scene.stage.provider.serve();
    wait_for_looks(&scene.stage.provider, Timestamp::MIN);
    let first = told_once(&scene);
    assert!(first.len() > 10, "{}", first.len());
    for (payer, expected) in scene.payers() {
        assert!(filed(&scene, payer) == expected.filed, "{}: what was to arrive", payer.name);
        assert!(expected.filed_of("PractitionerRole") > 0);
    }

    // Killed between two rounds: what was seen is not news again.
    let before: Vec<_> = scene.stage.payers.iter().map(House::dump).collect();
    look_anew(&mut scene);
    assert_eq!(told_once(&scene), first, "nothing is triggered again");
    let after: Vec<_> = scene.stage.payers.iter().map(House::dump).collect();
    assert!(after == before, "nothing is pushed again");

    // Corrected while the house was away.
    let report = corrected(&scene);
    look_anew(&mut scene);
    let mut second = first.clone();
    *second.get_mut(&report).unwrap() += 1;
    assert_eq!(told_once(&scene), second, "the correction, and nothing else");
    let id = crate::same_bytes::derived(
        &scene.stage.provider.public().namespace,
        "DiagnosticReport",
        report.split_once('/').unwrap().1,
    );
    for (payer, before) in scene.stage.payers.iter().zip(&before) {
        let new: Vec<_> = payer.dump().into_iter().filter(|it| !before.contains(it)).collect();
        let new: BTreeSet<_> = new.iter().map(|(kind, id, ..)| (kind.as_str(), id)).collect();
        let own = new.iter().filter(|(kind, _)| *kind != "Provenance");
        assert_eq!(own.collect::<Vec<_>>(), [&("DiagnosticReport", &id)], "{}", payer.name);
    }
    scene.stage.stop();
}

/// All patients are on the roster, from the beginning of time.
fn begin(scene: &Scene) {
    let provider = &scene.stage.provider;
    let patients = scene.stage.chart.of_kind("Patient");
    let roster: Vec<_> = patients.iter().map(|one| one.reference()).collect();
    provider.write("roster.csv", &roster.join("\n"));
    let house = provider.read("house.toml");
    let watch =
        "\n[watch]\nroster = \"roster.csv\"\nrequests_per_minute = 0\nsince = \"1900-01-01\"\n";
    provider.write("house.toml", &(house + watch));
}

fn watches(house: &House) -> Vec<(store::Work, WatchRow)> {
    let rows = house.works(WorkKind::Watch).into_iter();
    rows.map(|row| (serde_json::from_slice(&row.work.body).unwrap(), row.work))
        .map(|(watch, work)| (work, watch))
        .collect()
}

/// Waits until everybody was looked at after a moment, and nothing is on its way.
fn wait_for_looks(house: &House, after: Timestamp) {
    for _ in 0..ASKED_MAX {
        let all = watches(house);
        let looked = |watch: &WatchRow| {
            let due = watch.next.is_none_or(|next| watch.last.is_some_and(|last| next <= last));
            watch.watch.looked && watch.last.is_some_and(|last| last > after) && !due
        };
        let done = all.len() == PATIENTS && all.iter().all(|(_, watch)| looked(watch));
        if done && house.rows().iter().all(|row| row.state != "due") {
            return;
        }
    }
    panic!("the looks take for ever");
}

/// How often the watch told of each record; each of its pushes has ended.
fn told_once(scene: &Scene) -> BTreeMap<String, usize> {
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for row in scene.stage.provider.works(WorkKind::Trigger) {
        let trigger: exchange::Trigger = serde_json::from_slice(&row.work.body).unwrap();
        assert_eq!(trigger.who.name, "watch");
        *told.entry(trigger.subject.to_string()).or_default() += 1;
    }
    for row in scene.stage.provider.rows() {
        // Some have a coverage with a plan that nobody has an agreement with.
        let unmapped = || row.issues.iter().all(|it| it.issue.code == Code::PayerUnmapped);
        match row.kind.as_str() {
            "trigger" => assert!(row.state == "held" && unmapped(), "{row:?}"),
            _ => assert!(["settled", "withheld"].contains(&row.state.as_str()), "{row:?}"),
        }
    }
    told
}

/// The house is killed, everybody's turn comes, and it is started again.
fn look_anew(scene: &mut Scene) {
    scene.stage.provider.kill();
    let (now, provider) = (Timestamp::now(), &scene.stage.provider);
    {
        // When a patient's turn comes is no line's business: it stands in the row alone.
        let id = HouseId::from(provider.name.as_str());
        let memory = SqliteHouse::open(&provider.folder.join("store"), &id).unwrap();
        let memory = AnyHouse::from(memory);
        let due = watches(provider).into_iter().map(|(work, mut watch)| {
            watch.next = Some(now);
            let body = serde_json::to_vec(&watch).unwrap();
            store::Work { due: Some(now), body, ..work }
        });
        let unit = Unit { at: now, works: due.collect(), ..Unit::default() };
        let done = RUNTIME.block_on(memory.commit(unit)).unwrap();
        assert!(matches!(done, Commit::Done { .. }));
    }
    scene.stage.provider.serve();
    wait_for_looks(&scene.stage.provider, now);
}

/// One of the reports that both plans have is corrected in the EHR; `Type/id`.
fn corrected(scene: &Scene) -> String {
    let all = scene.expectation.payers.iter().map(|payer| payer.subjects(PushKind::Results));
    let common = all.reduce(|one, other| one.intersection(&other).cloned().collect());
    let report = common.unwrap().into_iter().next().expect("a report that both plans have");
    let source = scene.stage.chart.find(&report).unwrap();
    let text = std::str::from_utf8(&source.bytes).unwrap();
    let status = text.replacen("\"final\"", "\"corrected\"", 1);
    assert_ne!(status, text);
    scene.stage.ehr.amend([status.into()]);
    report
}
