//! Many at once, in calm and in storm: what they leave behind is what they would one by one.

use crate::common::Stage;
use crate::day::Day;
use crate::outcome::{Outcome, all_submissions, assert_references_resolve};
use std::process::{Command, Stdio};

/// Clients at work at the same time.
const CLIENTS: usize = 8;

/// Patients whose encounters are pushed, and two more: one with a restriction, and one whom the
/// plan does not know.
const PATIENTS: usize = CLIENTS + 2;

/// How often a house is ended under load.
const STRIKES: u32 = 10;

/// One encounter of each of eight patients. They share practitioners, a hospital and its locations.
fn encounters(day: &Day) -> Vec<String> {
    let people = (0..PATIENTS - 1).filter(|patient| *patient != 1);
    people.map(|patient| day.encounter(patient, 0)).collect()
}

/// The same encounters, one after the other.
fn one_by_one() -> Outcome {
    let mut day = Day::begin(PATIENTS, None);
    for encounter in encounters(&day) {
        day.push(&encounter);
        day.rest();
    }
    day.end();
    Outcome::of(&day.stage)
}

/// Every client is a process of its own, started before any is waited for. Their exit codes.
fn push_at_once(stage: &Stage, encounters: &[String]) -> Vec<Option<i32>> {
    let push = |encounter: &String| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
        command.arg("--house").arg(&stage.provider.folder).args(["push", "encounter", encounter]);
        command.args(["--wait", "100"]).stdout(Stdio::null()).stderr(Stdio::inherit());
        command.spawn().unwrap()
    };
    let clients: Vec<_> = encounters.iter().map(push).collect();
    clients.into_iter().map(|mut client| client.wait().unwrap().code()).collect()
}

/// What was filed and what was pushed is the same; who filed a shared practitioner first may differ.
fn assert_same(found: &Outcome, calm: &Outcome, case: &str) {
    let shared = |outcome: &Outcome| Outcome { submissions: Vec::new(), ..outcome.clone() };
    shared(found).assert_same(&shared(calm), case);
    assert_eq!(found.submissions.len(), calm.submissions.len(), "{case}");
}

/// Leaves out the pushes that found nothing new, and says how many they were.
fn forget_repeats(outcome: &mut Outcome) -> usize {
    let all = outcome.pushes.len();
    outcome.pushes.retain(|line| !line.contains("Unchanged"));
    let repeats = all - outcome.pushes.len();
    // Each has a trigger of its own, which reads as the first one's.
    outcome.pushes.dedup_by(|one, other| one == other && one.starts_with("trigger of "));
    repeats
}

#[test]
fn eight_clients_that_push_at_once_leave_what_they_would_one_by_one() {
    let calm = one_by_one();
    let mut day = Day::begin(PATIENTS, None);
    let encounters = encounters(&day);
    let codes = push_at_once(&day.stage, &encounters);
    assert_eq!(codes, [Some(0); CLIENTS], "every push settles");
    let records = day.stage.payers[0].dump();
    assert!(records.iter().all(|line| line.2 == 1), "nothing has a second version");

    let codes = push_at_once(&day.stage, &encounters);
    assert_eq!(codes, [Some(0); CLIENTS], "once more, nothing is new");
    day.rest();
    assert_eq!(day.stage.payers[0].dump(), records);
    assert_eq!(all_submissions(&day.stage.payers[0]).len(), CLIENTS);
    day.end();
    let mut found = Outcome::of(&day.stage);
    assert_eq!(forget_repeats(&mut found), CLIENTS);
    assert_same(&found, &calm, "eight at once");
}

#[test]
fn houses_that_are_ended_at_random_under_load_lose_nothing_and_file_nothing_twice() {
    let calm = one_by_one();
    for seed in 1..=3 {
        let mut day = Day::begin(PATIENTS, None);
        day.let_storm_rise(seed, STRIKES);
        while day.is_stormy() {
            for encounter in encounters(&day) {
                day.push(&encounter);
            }
        }
        day.rest();
        day.end();
        let mut found = Outcome::of(&day.stage);
        forget_repeats(&mut found);
        assert_same(&found, &calm, &format!("seed {seed}, ended {} times", day.halts));
        assert_eq!(day.halts, STRIKES, "seed {seed}");
        assert_references_resolve(&day.stage.payers[0]);
    }
}
