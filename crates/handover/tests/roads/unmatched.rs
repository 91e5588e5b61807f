//! A push whose member the plan does not find waits for a person there, or comes back: as agreed.

use crate::common::{House, Stage, who};
use exchange::desk::{Command, Reply, Row};
use sim::{Town, TownPlan};

/// One hospital, one plan, and a patient whose member id the plan's file lacks.
pub(crate) fn stage() -> (Stage, Town) {
    let plan = TownPlan {
        hospitals: 1,
        plans: 1,
        patients_per_hospital: 3,
        encounters_per_patient: 2..=2,
    };
    Stage::of_town(5, &plan)
}

/// The finished encounters of the patient whom the plan does not know.
pub(crate) fn encounters_of_the_unknown(stage: &Stage, town: &Town) -> Vec<String> {
    let unknown = town.planted_unknown_member.as_ref().unwrap();
    stage.finished_of(&unknown.patient)
}

/// The person who mends the plan's member file.
pub(crate) fn mend_member_file(stage: &Stage, town: &Town) {
    let unknown = town.planted_unknown_member.as_ref().unwrap();
    let mut people = town.hospitals[unknown.hospital].patients.iter();
    let person = people.find(|person| person.reference() == unknown.patient).unwrap();
    let mut plan = town.plans[unknown.plan].clone();
    plan.members.push(person.member_row(&unknown.member_id));
    stage.payers[unknown.plan].write("members.csv", &plan.member_file());
}

pub(crate) fn held(payer: &House) -> Vec<Row> {
    payer.rows().into_iter().filter(|row| row.state == "held").collect()
}

pub(crate) fn release(payer: &House, id: &str) -> Row {
    let command = Command::Release { id: id.to_owned(), who: who("found the card"), member: None };
    match payer.ask(&command).unwrap() {
        Reply::Pushed { rows, .. } => rows[0].clone(),
        other => panic!("no answer to a release: {other:?}"),
    }
}

#[test]
fn held_at_the_plan_it_settles_when_a_person_has_mended_the_member_file() {
    let (mut stage, town) = stage();
    stage.payers[0].serve();
    // It halts once somebody was told how the push ended.
    stage.provider.serve_with(&[("HANDOVER_HALT_AFTER", "acknowledged")]);
    let encounter = encounters_of_the_unknown(&stage, &town)[0].clone();

    let row = stage.provider.push(&encounter).remove(0);
    assert_eq!((row.state.as_str(), row.level.as_deref()), ("due", None), "taken, not filed");
    assert!(row.next_at.is_some(), "it is asked for");
    let waiting = held(&stage.payers[0]);
    assert_eq!(waiting.len(), 1);
    let said: Vec<_> = waiting[0].issues.iter().map(|one| one.issue.code.row().slug).collect();
    assert_eq!(said, ["member-held", "member-unknown"], "the plan's person acts, and reads why");
    assert_eq!(waiting[0].issues[0].who_acts, "the payer");
    assert!(stage.payers[0].records().is_empty(), "nothing is filed for a member not known");

    mend_member_file(&stage, &town);
    assert_eq!(release(&stage.payers[0], &waiting[0].id).state, "filed");
    stage.provider.process().wait_halted();
    let settled = stage.provider.pushes().remove(&row.id).unwrap();
    assert_eq!(settled.state_word(), "settled");
    assert_eq!(settled.state, exchange::State::Settled { level: exchange::Level::Filed });
    assert_eq!(settled.attempt, 1, "it was sent once, and asked for after that");
    stage.provider.kill();
    stage.provider.serve();
    let told = stage.provider.show(&row.id).acknowledgement.unwrap();
    assert_eq!(told["state"], "settled");
    let resources = told["resources"].as_array().unwrap();
    assert_eq!(resources.len(), stage.payers[0].records().len());
    assert!(resources.iter().all(|one| one["status"] == 201), "{resources:?}");
}

#[test]
fn one_push_that_waits_at_the_plan_holds_up_no_other() {
    let (mut stage, town) = stage();
    stage.serve();
    let encounters = encounters_of_the_unknown(&stage, &town);
    for encounter in &encounters {
        assert_eq!(stage.provider.push(encounter)[0].state, "due");
    }
    assert_eq!(held(&stage.payers[0]).len(), encounters.len(), "each has come to the plan");
}

#[test]
fn refused_as_agreed_it_ends_with_the_way_forward() {
    let (mut stage, town) = stage();
    let agreement = format!("agreements/{}.toml", stage.provider.name);
    stage.payers[0].replace(&agreement, "unmatched = \"hold\"", "unmatched = \"refuse\"");
    stage.serve();
    let encounter = encounters_of_the_unknown(&stage, &town)[0].clone();

    let (code, reply) = stage.provider.json(&["push", "encounter", &encounter]);
    let row = &reply["rows"][0];
    assert_eq!(row["state"], "refused", "{reply}");
    assert_eq!(row["issues"][0]["code"], "member-unknown");
    assert!(!row["issues"][0]["next"].as_str().unwrap().is_empty());
    assert!(!row["issues"][0]["who_acts"].as_str().unwrap().is_empty());
    assert_eq!(code, 1, "somebody has work with it");
    assert!(stage.payers[0].records().is_empty());
    assert_eq!(stage.payers[0].rows()[0].state, "refused");

    // Once the member is known the same content goes again.
    mend_member_file(&stage, &town);
    assert_eq!(stage.provider.push(&encounter)[0].state, "settled");
}
