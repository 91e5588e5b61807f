//! A house that watches a roster is ended in the middle of it: nothing that was seen is lost, and
//! nothing is pushed twice.

use crate::day::{Day, Role};
use crate::outcome::{all_pushes, all_submissions, assert_references_resolve, works};
use exchange::Trigger;
use exchange::watch::WatchRow;
use std::collections::BTreeMap;
use std::thread;
use store::WorkKind;

/// Where the house is ended while it watches.
pub(crate) const DAY_OF_WATCH: [(Role, &str); 3] =
    [(Role::Provider, "watched"), (Role::Provider, "watched:2"), (Role::Provider, "watched:3")];

/// Patients on the roster: all of the town but the one whom the plan does not know.
const PATIENTS: usize = 3;

/// What a day of watching leaves, whatever came first: the order in which patients are looked at
/// decides who files a shared practitioner, and which number a push gets.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Subjects of triggers.
    triggers: Vec<String>,
    /// Pushes, by what they are about and what became of them.
    pushes: Vec<String>,
    /// Digests of what is filed, by type and id; Provenances by type alone.
    records: BTreeMap<String, Vec<String>>,
    submissions: usize,
}

impl Seen {
    fn of(day: &Day) -> Seen {
        let provider = &day.stage.provider;
        let subject = |row: &store::StoredWork| {
            let trigger: Trigger = serde_json::from_slice(&row.work.body).unwrap();
            trigger.subject.to_string()
        };
        let mut triggers: Vec<String> =
            works(provider, WorkKind::Trigger).iter().map(subject).collect();
        triggers.sort();
        let mut pushes: Vec<String> = all_pushes(provider)
            .iter()
            .map(|push| {
                let (subject, told) = (&push.dossier.subject, push.acknowledgement.is_some());
                format!("{subject} {:?}, told {told}, {:?}", push.state, push.issues)
            })
            .collect();
        pushes.sort();
        let mut records: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, record) in day.stage.payers[0].records() {
            match record.kind.as_str() {
                "Provenance" => records.entry(record.kind).or_default().push(String::new()),
                _ => records.entry(name).or_default().push(record.digest.to_string()),
            }
        }
        let submissions = all_submissions(&day.stage.payers[0]).len();
        Seen { triggers, pushes, records, submissions }
    }
}

/// A day on which nobody asks for anything. `halt` is where the house is ended.
fn live(halt: Option<&str>) -> Seen {
    let mut day = Day::dawn(PATIENTS + 1, |_| ());
    let unknown = day.town.planted_unknown_member.clone().unwrap().patient;
    let people = day.town.hospitals[0].patients.iter().map(|person| person.reference());
    let roster: Vec<String> = people.filter(|patient| *patient != unknown).collect();
    assert_eq!(roster.len(), PATIENTS);
    let provider = &day.stage.provider;
    provider.write("roster.csv", &roster.join("\n"));
    let watch =
        "\n[watch]\nroster = \"roster.csv\"\nrequests_per_minute = 0\nsince = \"1900-01-01\"\n";
    provider.write("house.toml", &(provider.read("house.toml") + watch));
    day.house(Role::Payer).serve();
    match halt {
        Some(point) => day.house(Role::Provider).serve_with(&[("HANDOVER_HALT_AFTER", point)]),
        None => day.house(Role::Provider).serve(),
    }
    day.until("all to be looked at", |day| {
        let rows = works(&day.stage.provider, WorkKind::Watch);
        let read = |row: &store::StoredWork| serde_json::from_slice::<WatchRow>(&row.work.body);
        let looked = rows.iter().filter(|row| read(row).is_ok_and(|row| row.watch.looked)).count();
        looked == PATIENTS && (halt.is_none() || day.halts > 0)
    });
    day.rest();
    assert_eq!(day.halts, u32::from(halt.is_some()), "the house is ended once");
    day.end();
    assert_references_resolve(&day.stage.payers[0]);
    Seen::of(&day)
}

#[test]
fn a_house_that_is_ended_while_it_watches_loses_nothing_and_pushes_nothing_twice() {
    let undisturbed = thread::spawn(|| live(None));
    let lives = DAY_OF_WATCH.map(|(_, point)| thread::spawn(move || live(Some(point))));
    let undisturbed = undisturbed.join().unwrap();
    let Seen { triggers, pushes, submissions, .. } = &undisturbed;
    assert!(triggers.len() > PATIENTS && *submissions > PATIENTS, "{undisturbed:#?}");
    assert!(pushes.iter().any(|line| line.contains("Settled")), "{undisturbed:#?}");
    let mut once = triggers.clone();
    once.dedup();
    assert_eq!(&once, triggers, "nothing is news twice");
    for ((_, point), life) in DAY_OF_WATCH.iter().zip(lives) {
        assert_eq!(life.join().unwrap(), undisturbed, "ended after {point}");
    }
}
