//! Goal: what goes in bulk from house to house is what goes by transaction: the same records, each push
//! filed by its own number, whatever is stopped, held or taken back.

use crate::common::{House, Stage};
use exchange::desk::Row;
use sim::TownPlan;
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

/// With the payer's token and with unguessable URLs, in one way of speaking or the other, in one manifest or
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
    let ways = ["", "access = \"capability\"", "dialect = \"argonaut\"", "manifest_pushes_max = 2"];
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
