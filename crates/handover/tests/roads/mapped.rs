//! Goal: a payor that nobody has mapped costs one act of a person, whatever waits for it; the other
//! payer gets its own meanwhile, and neither sees the other's coverage.

use crate::common::{House, RUNTIME, Stage, who};
use crate::projection::rows_are_what_their_lines_add_up_to;
use exchange::desk::{Command, PayorCommand, PayorsTold, Reply, RestrictionCommand};
use exchange::restriction::Restriction;
use exchange::scope::PayorRow;
use sim::TownPlan;
use std::collections::BTreeSet;
use store::House as _;

fn payors(house: &House) -> PayorsTold {
    let list = PayorCommand::List { who: who("who waits?") };
    match house.ask(&Command::Payor(list)).unwrap() {
        Reply::Payors(told) => told,
        other => panic!("{other:?}"),
    }
}

/// What waits for a person.
fn held(house: &House) -> Vec<exchange::desk::Row> {
    house.rows().into_iter().filter(|row| row.state == "held").collect()
}

fn stands(payer: &House, kind: &str) -> usize {
    payer.records().values().filter(|record| record.kind == kind).count()
}

#[test]
fn one_row_of_the_map_lets_everything_of_a_plan_go_on() {
    let plan = TownPlan {
        hospitals: 1,
        plans: 2,
        patients_per_hospital: 6,
        encounters_per_patient: 2..=2,
    };
    let (mut stage, _) = Stage::of_town(5, &plan);
    let unknown = stage.payers[1].name.clone();
    let agreement = format!("agreements/{unknown}.toml");
    let identifier = stage.plans[1].payer_id.clone();
    let rows = format!("value = \"{}\"", identifier.value);
    stage.provider.replace(&agreement, &rows, "value = \"another number\"");
    stage.serve();
    let provider = &stage.provider;
    let encounters = stage.finished();
    provider.push_all(&encounters);
    assert!(stands(&stage.payers[0], "Encounter") > 0, "the other plan has its own");
    assert!(stage.payers[1].records().is_empty(), "nothing went to a payer that is not mapped");
    let waiting = held(provider);
    assert!(!waiting.is_empty(), "somebody is a member of the second plan");

    let told = payors(provider);
    assert_eq!(told.waiting.len(), 1, "each payor once: {told:?}");
    let payor = &told.waiting[0];
    assert_eq!(payor.triggers, waiting.len() as u64);
    let known = payor.known_as.clone().unwrap();
    assert!(known.identifiers.iter().any(|it| it.value == identifier.value), "{known:?}");

    let row = PayorRow { partner: Some(unknown.as_str().into()), ..PayorRow::default() };
    let (key, row) = (Some(payor.payor.clone()), Box::new(row));
    let map = PayorCommand::Map { payor: key, row, who: who("its number in the old system") };
    let Reply::PayorMapped(mapped) = provider.ask(&Command::Payor(map)).unwrap() else {
        panic!("no answer to a mapping")
    };
    assert_eq!(mapped.released, waiting.len() as u64);
    // Every push again finds its encounter there already, or on its way before it.
    provider.push_all(&encounters);
    let left: BTreeSet<_> = held(provider).into_iter().map(|row| row.kind).collect();
    assert!(!left.contains("trigger"), "no trigger waits any more");
    assert!(stands(&stage.payers[1], "Encounter") > 0);

    let coverages: Vec<_> = stage.chart.of_kind("Coverage").iter().collect();
    for payer in &stage.payers {
        for record in payer.records().values().filter(|record| record.kind == "Coverage") {
            let own: serde_json::Value =
                serde_json::from_slice(record.content.as_ref().unwrap()).unwrap();
            assert!(own["subscriberId"].is_string() && coverages.len() > 1);
        }
    }
    let (first, second) = (coverage_ids(&stage.payers[0]), coverage_ids(&stage.payers[1]));
    assert!(first.is_disjoint(&second), "no coverage is with both");

    let written = RUNTIME.block_on(provider.memory().entries(1, 100_000)).unwrap();
    let written: Vec<_> = written.into_iter().map(|line| line.body).collect();
    let written = written.join("\n");
    assert!(written.contains("payor-mapped"));
    for name in known.names.iter().chain([&identifier.system]) {
        assert!(!written.contains(name.as_str()), "the ledger names the payor");
    }
    restricted_afterwards(&stage);
    rows_are_what_their_lines_add_up_to(provider);
    stage.stop();
}

fn coverage_ids(payer: &House) -> BTreeSet<String> {
    let records = payer.records();
    records.into_keys().filter(|key| key.starts_with("Coverage/")).collect()
}

/// A restriction that comes after the push: pushing again takes back what had gone.
fn restricted_afterwards(stage: &Stage) {
    let (provider, payer) = (&stage.provider, &stage.payers[0]);
    let name = payer.name.as_str();
    let sent = |row: &&exchange::desk::Row| {
        row.state == "settled" && row.partner.as_ref().is_some_and(|it| it.as_str() == name)
    };
    let rows = provider.rows();
    let subject = rows.iter().find(sent).and_then(|row| row.subject.clone()).unwrap();
    let before = stands(payer, "Encounter");
    let row = Restriction {
        subject: subject.clone(),
        reason: "self-pay".into(),
        payers: vec![name.into()],
        except_purposes: Vec::new(),
    };
    let add = RestrictionCommand::Add { row, who: who("asked at the desk") };
    provider.ask(&Command::Restriction(add)).unwrap();
    let again = provider.push(&subject);
    let again = again.iter().find(|row| row.partner == Some(name.into())).unwrap();
    assert_eq!(again.state, "settled", "{again:?}");
    assert!(again.withheld.iter().any(|one| one.rule == "patient-restriction"), "{again:?}");
    // A visit that another one refers to stands there with that one's push as well.
    provider.push_all(&stage.finished());
    assert_eq!(stands(payer, "Encounter"), before - 1, "it is gone at the plan");
    let more = provider.push(&subject);
    let more = more.iter().find(|row| row.partner == Some(name.into())).unwrap();
    assert_eq!(more.state, "withheld", "nothing is left to take back: {more:?}");
}
