//! A house is ended at each durable point of its road, and at none of them is anything lost.

use crate::day::{Day, Role};
use crate::offered::OF_A_SUBMISSION;
use crate::outcome::{Outcome, all_submissions, assert_references_resolve};
use crate::parts::DAY_IN_PARTS;
use crate::pulled::OF_A_PULL;
use crate::submitted::OF_A_RECEIPT;
use crate::watched::DAY_OF_WATCH;
use exchange::submission::SubmissionState;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::thread;

/// Where a house is ended on an ordinary day. The number says which passing of the point it is: the
/// first of the day, or the one of the withdrawal.
const ORDINARY_DAY: [(Role, &str); 19] = [
    (Role::Provider, "triggered"),
    (Role::Provider, "triggered:5"),
    (Role::Provider, "scoped"),
    (Role::Provider, "scoped:5"),
    (Role::Provider, "waiting"),
    (Role::Provider, "assembled"),
    (Role::Provider, "assembled:3"),
    (Role::Provider, "withheld"),
    (Role::Provider, "unchanged"),
    (Role::Provider, "intended"),
    (Role::Provider, "intended:3"),
    (Role::Provider, "sent"),
    (Role::Provider, "sent:3"),
    (Role::Provider, "answered"),
    (Role::Provider, "answered:3"),
    (Role::Provider, "acknowledged"),
    (Role::Provider, "acknowledged:5"),
    (Role::Payer, "filed"),
    (Role::Payer, "filed:3"),
];

/// Where a house is ended while a person looks for the member.
const DAY_WITH_UNKNOWN_MEMBER: [(Role, &str); 4] = [
    (Role::Payer, "held"),
    (Role::Payer, "released"),
    (Role::Provider, "answered"),
    (Role::Provider, "answered:2"),
];

/// Points of a table that a person changes: `cli/tables.rs` ends a house there.
const AT_A_TABLE: [&str; 2] = ["listed", "tabled"];

/// Points of a Bundle whose sender does not wait: `deferred.rs` ends a house there.
const OF_A_BUNDLE: [&str; 1] = ["deferred"];

/// Points of an export: `exported.rs` ends a house there.
const OF_AN_EXPORT: [&str; 2] = ["export-asked", "export-listed"];

/// Everything that can become of an encounter without a person at the plan: held for a person here
/// and let go, sent, sent again unchanged, withheld, taken back, and one more of another patient.
fn an_ordinary_day(day: &mut Day) {
    let planted = day.town.planted_restriction.clone().unwrap();
    let restricted = planted.encounter.strip_prefix("Encounter/").unwrap().to_owned();
    let [first, second, third] = [(2, 0), (0, 0), (1, 1)].map(|(who, n)| day.encounter(who, n));
    assert_ne!(third, restricted);

    let table = day.take_restrictions();
    day.push(&first);
    day.rest();
    day.stage.provider.write("restrictions.toml", &table);
    day.release();
    day.rest();
    for encounter in [&second, &second, &restricted] {
        day.push(encounter);
        day.rest();
    }
    day.withdraw(&second);
    day.rest();
    // What is taken back leaves no other patient's records with references to nothing.
    assert_references_resolve(&day.stage.payers[0]);
    day.push(&third);
    day.rest();
}

/// A push for somebody whom the plan does not find at first.
fn a_day_with_an_unknown_member(day: &mut Day) {
    let planted = day.town.planted_unknown_member.clone().unwrap();
    let people = &day.town.hospitals[0].patients;
    let number = people.iter().position(|one| one.reference() == planted.patient).unwrap();
    let person = people[number].clone();
    let encounter = day.encounter(number, 0);

    day.push(&encounter);
    day.until("the submission", |day| {
        let all = all_submissions(&day.stage.payers[0]);
        all.iter().any(|one| one.state == SubmissionState::Held)
    });
    let members = day.stage.payers[0].read("members.csv");
    let row = [&planted.member_id, &person.family, &person.given, &person.birth_date];
    let row = row.map(String::as_str).join(",");
    day.stage.payers[0].write("members.csv", &format!("{members}{row},{}\n", person.gender));
    day.release_at_payer();
    day.rest();
}

/// Lives a day to its end.
fn live(what: fn(&mut Day), halt: Option<(Role, &str)>) -> Outcome {
    let mut day = Day::begin(4, halt);
    what(&mut day);
    if let Some((_, point)) = halt {
        day.until(&format!("a halt after {point}"), |day| day.halts > 0);
        day.rest();
        assert_eq!(day.halts, 1, "the house halts once, and is started without halting");
    }
    day.end();
    assert_references_resolve(&day.stage.payers[0]);
    Outcome::of(&day.stage)
}

/// Lives the same day once undisturbed, and once for every row with a house ended there; several
/// days at the same time, each with houses of its own.
fn ended_at_each(what: fn(&mut Day), table: &[(Role, &str)], at_once: usize) -> Outcome {
    let undisturbed = thread::spawn(move || live(what, None));
    let rows = Mutex::new(VecDeque::from(table.to_vec()));
    let next = || rows.lock().unwrap().pop_front();
    let lived = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some((role, point)) = next() {
                    let outcome = live(what, Some((role, point)));
                    let case = format!("{role:?} ended after {point}");
                    lived.lock().unwrap().push((case, outcome));
                }
            });
        }
    });
    let undisturbed = undisturbed.join().unwrap();
    for (case, outcome) in lived.into_inner().unwrap() {
        outcome.assert_same(&undisturbed, &case);
    }
    undisturbed
}

/// The names in the first column of the tables of durable points.
fn documented_points() -> BTreeSet<String> {
    let page = include_str!("../../../../docs/ARCHITECTURE.md");
    let (_, section) = page.split_once("\n## Durable points of the road\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let first = rows.filter_map(|line| line.split('|').nth(1));
    first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn every_documented_point_has_a_row() {
    let rows = ORDINARY_DAY.iter().chain(&DAY_WITH_UNKNOWN_MEMBER);
    let name = |(_, point): &(Role, &str)| point.split(':').next().unwrap().to_owned();
    let in_parts = DAY_IN_PARTS.map(|point| (Role::Provider, point));
    let rows = rows.chain(&in_parts).chain(&DAY_OF_WATCH);
    let others = AT_A_TABLE.into_iter().chain(OF_A_BUNDLE).chain(OF_AN_EXPORT);
    let others = others.chain(OF_A_SUBMISSION).chain(OF_A_PULL).chain(OF_A_RECEIPT);
    let others = others.map(str::to_owned);
    assert_eq!(rows.map(name).chain(others).collect::<BTreeSet<_>>(), documented_points());
}

#[test]
fn a_house_that_is_ended_at_any_point_of_an_ordinary_day_goes_on_from_there() {
    let undisturbed = ended_at_each(an_ordinary_day, &ORDINARY_DAY, 2);

    let states = |word: &str| undisturbed.pushes.iter().filter(|line| line.contains(word)).count();
    let found = ["Settled", "Unchanged", "Withheld", "Held"].map(states);
    assert_eq!(found, [4, 1, 1, 0], "{:#?}", undisturbed.pushes);
    assert_eq!(undisturbed.submissions.len(), 4, "{:#?}", undisturbed.submissions);
    assert!(undisturbed.records.iter().any(|line| line.contains("deleted")));
}

#[test]
fn a_house_that_is_ended_while_a_person_looks_for_the_member_goes_on_from_there() {
    let undisturbed = ended_at_each(a_day_with_an_unknown_member, &DAY_WITH_UNKNOWN_MEMBER, 4);
    assert_eq!(undisturbed.submissions.len(), 1, "{:#?}", undisturbed.submissions);
    assert!(undisturbed.pushes.iter().any(|line| line.contains("Settled")));
}
