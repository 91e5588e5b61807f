//! Goal: a house is copied, rebuilt, brought up to date and relieved of what is too old, and at no
//! moment is there half of one.
//!
//! How: houses are real processes of the program; they are killed at points they name, and what
//! lies in their folders is compared.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod copies;
mod migrated;
mod newer;
mod purged;

use common::Stage;
use sim::TownPlan;

/// One hospital and one plan that knows all of its patients.
fn stage(seed: u64) -> Stage {
    let plan = TownPlan {
        hospitals: 1,
        plans: 1,
        patients_per_hospital: 3,
        encounters_per_patient: 2..=2,
    };
    let (stage, town) = Stage::of_town(seed, &plan);
    let unknown = town.planted_unknown_member.as_ref().unwrap();
    let mut people = town.hospitals[unknown.hospital].patients.iter();
    let person = people.find(|person| person.reference() == unknown.patient).unwrap();
    let mut plan = town.plans[unknown.plan].clone();
    plan.members.push(person.member_row(&unknown.member_id));
    stage.payers[unknown.plan].write("members.csv", &plan.member_file());
    stage
}
