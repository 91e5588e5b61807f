//! Goal: a push settles by each road of trust, and where trust is not given it waits and says so.
//!
//! How: a hospital and a plan are real processes of the program, on loopback, over TLS. How often one
//! asked the other is counted in what the plan remembers of used assertions.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod by_certificate;
mod by_community;
mod by_key_url;
mod moved;
mod narrowed;
mod onboarding;

use common::{House, Stage};
use exchange::desk::Row;
use serde_json::Value;
use sim::TownPlan;

/// A hospital and a plan; nobody runs yet.
fn stage(seed: u64) -> Stage {
    let plan = TownPlan {
        hospitals: 1,
        plans: 1,
        patients_per_hospital: 6,
        encounters_per_patient: 2..=2,
    };
    Stage::of_town(seed, &plan).0
}

/// Encounters that would settle if all were trusted: each of another patient whom the plan knows.
fn known(stage: &Stage) -> Vec<String> {
    let members = stage.payers[0].read("members.csv");
    let mut known = Vec::new();
    for patient in stage.chart.of_kind("Patient") {
        let read: Value = serde_json::from_slice(&patient.bytes).unwrap();
        let name = read["name"][0]["family"].as_str().unwrap();
        let finished = stage.finished_of(&format!("Patient/{}", patient.id));
        let restricted = stage.provider.read("restrictions.toml");
        let free = |it: &&String| !restricted.contains(&format!("\"Encounter/{it}\""));
        if members.contains(&format!(",{name},{}", read["name"][0]["given"][0].as_str().unwrap())) {
            known.extend(finished.iter().find(free).cloned());
        }
    }
    assert!(known.len() >= 4, "{known:?}");
    known
}

/// Changes a JSON file of a house.
fn amend(house: &House, file: &str, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_str(&house.read(file)).unwrap();
    change(&mut value);
    house.write(file, &serde_json::to_string_pretty(&value).unwrap());
}

/// How many assertions a house remembers: each request for a token, and each registration, is one.
fn asked(house: &House) -> i64 {
    let db = rusqlite::Connection::open(house.folder.join("store/house.sqlite")).unwrap();
    db.query_row("SELECT count(*) FROM uses", [], |row| row.get(0)).unwrap()
}

/// The one row of a push.
fn pushed(stage: &Stage, encounter: &str) -> Row {
    let mut rows = stage.provider.push(encounter);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

/// The code it waits for, and its words.
fn waits_for(row: &Row) -> (String, String) {
    assert_eq!(row.state, "held", "{row:?}");
    let issue = &row.issues[0].issue;
    (issue.code.row().slug.to_owned(), issue.detail.clone())
}
