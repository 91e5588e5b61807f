//! A house is ended at each durable point of its road, and at none of them is anything lost.

use crate::day::{Day, Role};
use crate::outcome::{Outcome, all_submissions};
use exchange::submission::SubmissionState;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread;

/// Days lived at the same time, each with houses of its own.
const AT_ONCE: usize = 3;

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
    Outcome::of(&day.stage)
}

/// Lives the same day once undisturbed, and once for every row with a house ended there.
fn ended_at_each(what: fn(&mut Day), table: &[(Role, &str)]) -> Outcome {
    let undisturbed = live(what, None);
    let rows = Mutex::new(VecDeque::from(table.to_vec()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((role, point)) = next(&rows) {
                    let found = live(what, Some((role, point)));
                    found.assert_same(&undisturbed, &format!("{role:?} ended after {point}"));
                }
            });
        }
    });
    undisturbed
}

fn next<T>(rows: &Mutex<VecDeque<T>>) -> Option<T> {
    rows.lock().unwrap().pop_front()
}

#[test]
fn a_house_that_is_ended_at_any_point_of_an_ordinary_day_goes_on_from_there() {
    // The number says which passing of the point it is: the first of the day, or the one of the
    // withdrawal.
    let table = [
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
    let undisturbed = ended_at_each(an_ordinary_day, &table);

    let states = |word: &str| undisturbed.pushes.iter().filter(|line| line.contains(word)).count();
    let found = ["Settled", "Unchanged", "Withheld", "Held"].map(states);
    assert_eq!(found, [4, 1, 1, 0], "{:#?}", undisturbed.pushes);
    assert_eq!(undisturbed.submissions.len(), 4, "{:#?}", undisturbed.submissions);
    assert!(undisturbed.records.iter().any(|line| line.contains("deleted")));
}

#[test]
fn a_house_that_is_ended_while_a_person_looks_for_the_member_goes_on_from_there() {
    let table = [
        (Role::Payer, "held"),
        (Role::Payer, "released"),
        (Role::Provider, "answered"),
        (Role::Provider, "answered:2"),
    ];
    let undisturbed = ended_at_each(a_day_with_an_unknown_member, &table);
    assert_eq!(undisturbed.submissions.len(), 1, "{:#?}", undisturbed.submissions);
    assert!(undisturbed.pushes.iter().any(|line| line.contains("Settled")));
}
