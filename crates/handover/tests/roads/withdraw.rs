//! What a person takes back is gone at the plan, and nothing else; and it can come again.

use crate::common::{House, Stage, who};
use crate::same_bytes::Tree;
use crate::unmatched;
use exchange::desk::{Command, Reply, Row};
use sim::TownPlan;
use std::collections::BTreeSet;

/// Two patients with two encounters each, known to one plan.
fn stage() -> Stage {
    let plan = TownPlan {
        hospitals: 1,
        plans: 1,
        patients_per_hospital: 3,
        encounters_per_patient: 2..=2,
    };
    Stage::of_town(3, &plan).0
}

fn withdraw(provider: &House, id: &str) -> Row {
    let who = who("a wrong patient");
    let command = Command::Withdraw { id: id.to_owned(), who, wait: 60 };
    match provider.ask(&command).unwrap() {
        Reply::Pushed { rows, .. } => rows[0].clone(),
        other => panic!("no answer to a withdrawal: {other:?}"),
    }
}

/// `Type/id` at the plan of everything a push brought, its Provenance aside.
fn brought(provider: &House, id: &str) -> BTreeSet<String> {
    let told = provider.show(id).acknowledgement.unwrap();
    let records = told["resources"].as_array().unwrap().iter();
    let records = records.map(|one| one["record"].as_str().unwrap().to_owned());
    records.filter(|record| !record.starts_with("Provenance/")).collect()
}

/// What stands at the plan, Provenance aside.
fn standing(payer: &House) -> BTreeSet<String> {
    payer.records().into_keys().filter(|one| !one.starts_with("Provenance/")).collect()
}

fn every_reference_resolves(payer: &House) {
    let records = payer.records();
    for record in records.values().filter(|record| record.kind != "Provenance") {
        for reference in Tree::read(record.content.as_ref().unwrap()).references() {
            assert!(records.contains_key(reference), "a {} leads nowhere", record.kind);
        }
    }
}

/// Who gives care is the same for many patients, and says nothing of any of them.
fn is_of_a_patient(record: &str) -> bool {
    let kind = record.split('/').next().unwrap();
    !matches!(
        kind,
        "Location" | "Medication" | "Organization" | "Practitioner" | "PractitionerRole"
    )
}

#[test]
fn only_what_no_other_dossier_brought_is_gone_and_it_can_come_again() {
    let mut stage = stage();
    stage.serve();
    let (provider, payer) = (&stage.provider, &stage.payers[0]);
    let patients: Vec<_> = stage.chart.of_kind("Patient").iter().collect();
    let own = stage.finished_of(&patients[0].reference());
    let others = stage.finished_of(&patients[1].reference());
    // The later encounter refers to what was found in the earlier one.
    let second = provider.push(&own[0]).remove(0);
    let first = provider.push(&own[1]).remove(0);
    let other = provider.push(&others[0]).remove(0);
    let shared = &brought(provider, &second.id) | &brought(provider, &other.id);
    let before = standing(payer);

    let taken = withdraw(provider, &first.id);
    assert_eq!((taken.state.as_str(), taken.level.as_deref()), ("settled", Some("filed")));
    let mine = brought(provider, &first.id);
    let gone: BTreeSet<_> =
        mine.difference(&shared).filter(|one| is_of_a_patient(one)).cloned().collect();
    assert!(gone.iter().any(|one| one.starts_with("Encounter/")));
    assert_eq!(standing(payer), &before - &gone);
    every_reference_resolves(payer);
    for record in &gone {
        assert_eq!(payer.get(record).0, 410);
    }
    for record in &shared {
        assert_eq!(payer.get(record).0, 200);
    }
    // The record of who took it back, and why, stays with the patient.
    let provenance = payer.search_all("Provenance");
    let says_so = |text: &&bytes::Bytes| String::from_utf8_lossy(text).contains("NULLIFY");
    assert_eq!(provenance.iter().filter(says_so).count(), 1);

    let again = provider.push(&own[1]).remove(0);
    assert_eq!(again.state, "settled", "what was taken back is no earlier revision to be the same");
    assert_eq!(standing(payer), before);
    for record in &gone {
        let (status, body) = payer.get(record);
        assert_eq!((status, body["meta"]["versionId"].as_str()), (200, Some("3")));
    }

    // The second time round it is the same again, and what is taken back twice is not there twice.
    assert_eq!(withdraw(provider, &again.id).state, "settled");
    assert_eq!(standing(payer), &before - &gone);
    let twice = Command::Withdraw { id: again.id, who: who("twice"), wait: 60 };
    assert_eq!(provider.ask(&twice).unwrap_err().code.row().slug, "not-waiting");
}

#[test]
fn all_of_a_patient_taken_back_leaves_only_who_gave_care() {
    let mut stage = stage();
    stage.serve();
    let (provider, payer) = (&stage.provider, &stage.payers[0]);
    let patient = stage.chart.of_kind("Patient")[0].reference();
    for row in provider.push_all(&stage.finished_of(&patient)).into_values().flatten() {
        assert_eq!(row.state, "settled");
        assert_eq!(withdraw(provider, &row.id).state, "settled");
    }
    assert!(standing(payer).iter().all(|one| !is_of_a_patient(one)));
    every_reference_resolves(payer);
}

#[test]
fn what_was_taken_back_while_it_waited_at_the_plan_is_never_filed() {
    let (mut stage, town) = unmatched::stage();
    stage.serve();
    let encounters = unmatched::encounters_of_the_unknown(&stage, &town);
    let (provider, payer) = (&stage.provider, &stage.payers[0]);
    // Sent, held and taken back, twice: the first withdrawal left marks, the second must too.
    for round in 0..2 {
        let row = provider.push(&encounters[0]).remove(0);
        assert_eq!(row.state, "due", "round {round}");
        let taken = withdraw(provider, &row.id);
        assert_eq!((taken.state.as_str(), taken.level.as_deref()), ("settled", Some("filed")));
        assert_eq!(provider.show(&row.id).row.state, "superseded");
    }
    unmatched::mend_member_file(&stage, &town);
    let waiting = unmatched::held(payer);
    assert_eq!(waiting.len(), 2);
    for row in waiting {
        assert_eq!(unmatched::release(payer, &row.id).state, "filed");
        let stands = standing(payer);
        assert!(stands.iter().all(|one| !is_of_a_patient(one)), "{stands:?}");
    }
    // A later push is filed as ever.
    let again = provider.push(&encounters[0]).remove(0);
    assert_eq!(again.state, "settled");
    assert!(brought(provider, &again.id).is_subset(&standing(payer)));
}
