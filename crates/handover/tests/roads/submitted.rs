//! Goal: what goes in bulk from house to house is what goes by transaction: the same records, each push
//! filed by its own number, whatever is stopped, held or taken back.

use crate::common::{House, Stage, who};
use exchange::Code;
use exchange::desk::{Command, Row, Shown};
use exchange::limits::ENTRIES_MAX;
use serde_json::json;
use sim::{ChartResource, Town, TownPlan};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long anything may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// A hospital and its plan; what goes there goes in bulk, where these lines are given.
fn stage(bulk: Option<&str>) -> Stage {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (stage, _) = Stage::of_town(4, &plan);
    if let Some(lines) = bulk {
        let agreement = format!("agreements/{}.toml", stage.payers[0].public().name);
        let provider = &stage.provider;
        provider.replace(&agreement, "mode = \"sync\"", "mode = \"async\"");
        provider.replace(&agreement, "form = \"transaction\"", "form = \"bulk\"");
        let text = provider.read(&agreement) + &format!("\n[bulk]\ngather_seconds = 1\n{lines}\n");
        provider.write(&agreement, &text);
    }
    stage
}

/// Pushes these encounters and waits until each push has ended or waits for a person, here or at the
/// plan; how each stands, by subject.
fn pushed(stage: &Stage, encounters: &[String]) -> BTreeMap<String, String> {
    stage.provider.queue(encounters);
    let end = Instant::now() + PATIENCE;
    loop {
        let (pushes, others): (Vec<_>, Vec<_>) =
            stage.provider.rows().into_iter().partition(|row| row.kind == "push");
        // What is posted is asked after until a person has looked; what goes in bulk is held at once.
        let in_bulk = pushes.iter().any(|row| row.mode.as_deref() == Some("async"));
        let held = stage.payers[0].rows().iter().filter(|row| row.state == "held").count();
        let asked_after = if in_bulk { 0 } else { held };
        let moves = |row: &&Row| ["due", "submitted"].contains(&row.state.as_str());
        let under_way = pushes.iter().filter(moves).count();
        if !others.iter().any(|row| moves(&row)) && !pushes.is_empty() && under_way <= asked_after {
            return pushes.iter().map(stands).collect();
        }
        assert!(Instant::now() < end, "{:?}", pushes.iter().map(stands).collect::<Vec<_>>());
        std::thread::yield_now();
    }
}

/// Subject and state: who is asked again until a person at the plan has looked waits, and so does who is
/// held because the plan said so.
fn stands(row: &Row) -> (String, String) {
    let state = match row.state.as_str() {
        "due" | "submitted" | "held" => "waits",
        state => state,
    };
    (row.subject.clone().unwrap_or_default(), state.to_owned())
}

/// Contents of the current records by type and id, without what a push says of itself.
fn contents(house: &House) -> BTreeMap<String, Vec<u8>> {
    let records = house.records().into_iter();
    let content = |record: store::Record| record.content.unwrap_or_default().to_vec();
    let all = records.map(|(name, record)| (name, content(record)));
    all.filter(|(name, _)| !name.starts_with("Provenance/")).collect()
}

/// With the payer's token, with unguessable URLs and with an unguessable header, in one way of speaking or the other, in one manifest or
/// in many: the plan holds what it would hold had each push been posted, and the person who is no member
/// waits for a person as ever.
#[test]
fn in_bulk_the_same_is_filed_as_by_transaction() {
    let run = |bulk: Option<&str>| {
        let mut stage = stage(bulk);
        stage.serve();
        let encounters = stage.finished();
        let told = pushed(&stage, &encounters);
        stage.stop();
        for house in [&stage.provider, &stage.payers[0]] {
            let said = house.run(&["ledger", "verify"]);
            assert_eq!(said.code, 0, "{bulk:?}: {}{}", said.stdout, said.stderr);
        }
        (told, contents(&stage.payers[0]))
    };
    let (told, filed) = run(None);
    let count = |state: &str| told.values().filter(|it| *it == state).count();
    assert!(count("settled") > 3 && filed.len() > 50, "{told:?}");
    let ways = [
        "",
        "access = \"capability\"",
        "access = \"header\"",
        "dialect = \"argonaut\"",
        "manifest_pushes_max = 2",
    ];
    for way in ways {
        let (in_bulk, filed_in_bulk) = run(Some(way));
        for (subject, state) in &told {
            assert_eq!(&in_bulk[subject], state, "{way:?}: {subject}: {in_bulk:#?}");
        }
        let names = |all: &BTreeMap<String, Vec<u8>>| all.keys().cloned().collect::<BTreeSet<_>>();
        let (one, other) = (names(&filed), names(&filed_in_bulk));
        assert_eq!(
            one.symmetric_difference(&other).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "{way:?}"
        );
        assert!(filed == filed_in_bulk, "{way:?}: contents differ");
    }
}

/// How long a history of more than 5,000 records may take, and its deletions.
const LARGE_PATIENCE: Duration = Duration::from_secs(300);

/// A hospital whose agreement lets large pushes go in bulk, and an encounter there with more observations
/// than one Bundle holds.
fn with_a_large_history() -> (Stage, String) {
    let plan = TownPlan {
        hospitals: 1,
        plans: 1,
        patients_per_hospital: 3,
        encounters_per_patient: 2..=2,
    };
    let town = Town::generate(3, &plan);
    let mut chart = town.hospitals[0].chart.clone();
    let patient = chart.of_kind("Patient")[0].reference();
    let read =
        |one: &ChartResource| -> serde_json::Value { serde_json::from_slice(&one.bytes).unwrap() };
    let own = |value: &serde_json::Value| {
        value["status"] == "finished" && value["subject"]["reference"] == patient.as_str()
    };
    let encounter = chart.of_kind("Encounter").iter().map(read).find(own).unwrap();
    let id = encounter["id"].as_str().unwrap().to_owned();
    for n in 0..=ENTRIES_MAX {
        let category = "http://terminology.hl7.org/CodeSystem/observation-category";
        let observation = json!({
            "resourceType": "Observation", "id": format!("pulse-{n}"), "status": "final",
            "category": [{ "coding": [{ "system": category, "code": "vital-signs" }] }],
            "code": { "coding": [{ "system": "http://loinc.org", "code": "8867-4" }] },
            "subject": { "reference": patient }, "encounter": { "reference": format!("Encounter/{id}") },
            "effectiveDateTime": encounter["period"]["start"], "valueQuantity": { "value": 60 + n % 40 },
        });
        let (kind, own) = ("Observation".to_owned(), format!("pulse-{n}"));
        chart.put(ChartResource { kind, id: own, bytes: observation.to_string().into() });
    }
    let stage = Stage::new(chart, town.plans.clone(), &town.hospitals[0].restrictions);
    let agreement = format!("agreements/{}.toml", stage.payers[0].public().name);
    let text = stage.provider.read(&agreement);
    let lines = "\n[bulk]\ngather_seconds = 1\ntoo_large = \"bulk\"\n";
    stage.provider.write(&agreement, &(text + lines));
    (stage, id)
}

/// The pushes of the sending house, once none of them is on its way.
fn at_rest(stage: &Stage) -> Vec<Row> {
    let end = Instant::now() + LARGE_PATIENCE;
    loop {
        let rows = stage.provider.rows();
        let moves = |row: &Row| ["due", "submitted"].contains(&row.state.as_str());
        if !rows.iter().any(moves) {
            return rows.into_iter().filter(|row| row.kind == "push").collect();
        }
        assert!(Instant::now() < end, "a push does not end");
        std::thread::yield_now();
    }
}

/// What there is to show of a push, once whoever triggered it was told.
fn acknowledged(stage: &Stage, id: &str) -> Shown {
    let end = Instant::now() + PATIENCE;
    loop {
        let shown = stage.provider.show(id);
        if shown.acknowledgement.is_some() {
            return shown;
        }
        assert!(Instant::now() < end, "nobody is told");
        std::thread::yield_now();
    }
}

/// What is too large to be answered at once ends with that reason, and another push, declared asynchronous,
/// goes in its place; whoever looks sees both. What was pushed so can be taken back.
#[test]
fn what_is_too_large_goes_as_another_push_that_says_so_and_can_be_taken_back() {
    let (mut stage, encounter) = with_a_large_history();
    stage.serve();
    stage.provider.queue(std::slice::from_ref(&encounter));
    let rows = at_rest(&stage);
    let of = |mode: &str| rows.iter().find(|row| row.mode.as_deref() == Some(mode)).unwrap();
    let (large, other) = (of("sync"), of("async"));
    assert_eq!(
        (rows.len(), large.state.as_str(), other.state.as_str()),
        (2, "superseded", "settled")
    );
    assert_eq!(large.issues[0].issue.code, Code::PayloadTooLarge);
    assert_eq!(large.subject, other.subject);
    assert_ne!(large.label, other.label, "a push of its own");
    assert!(other.resources > ENTRIES_MAX as u64);
    let shown = acknowledged(&stage, &large.id);
    assert!(
        shown.timeline.iter().any(|line| line.what.contains(&other.id)),
        "{:?}",
        shown.timeline
    );
    let told = shown.acknowledgement.unwrap().to_string();
    assert!(told.contains("payload-too-large"), "its originator is told");
    let shown = acknowledged(&stage, &other.id);
    assert_eq!(shown.who, stage.provider.show(&large.id).who, "for the same person");
    let told = shown.acknowledgement.unwrap();
    let records = told["resources"].as_array().unwrap();
    assert_eq!(records.len() as u64, other.resources);
    assert!(records.iter().all(|it| it["status"] == 200), "of each there is a word");
    let observations = |stage: &Stage| {
        let filed = stage.payers[0].records();
        filed.keys().filter(|it| it.starts_with("Observation/")).count()
    };
    assert!(observations(&stage) > ENTRIES_MAX);

    let (id, who) = (other.id.clone(), who("a wrong patient"));
    stage.provider.ask(&Command::Withdraw { id: id.clone(), who, wait: 0 }).unwrap();
    let rows = at_rest(&stage);
    let by = rows.iter().filter(|row| row.withdraws.as_ref() == Some(&id));
    let ends: BTreeSet<_> =
        by.map(|row| (row.mode.as_deref().unwrap(), row.state.as_str())).collect();
    assert!(ends.contains(&("async", "settled")), "{rows:?}");
    assert!(ends.iter().all(|end| [("async", "settled"), ("sync", "superseded")].contains(end)));
    assert_eq!(observations(&stage), 0);
    stage.stop();
    for house in [&stage.provider, &stage.payers[0]] {
        let said = house.run(&["ledger", "verify"]);
        assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    }
}
