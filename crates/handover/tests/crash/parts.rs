//! A push that goes in parts to a payer of another make loses nothing and brings nothing twice,
//! whichever of the two processes is ended, and where.

use crate::apart::{Apart, Ends, Left};
use crate::visits::corrected;
use sim::payer::Profile;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::thread;

/// Payers at which a push of some ten records cannot go as one: single requests under our ids and
/// under theirs, batches, and transactions of three records at most.
const PROFILES: [Profile; 4] =
    [Profile::SingleOnly, Profile::PostOnly, Profile::BatchOnly, Profile::Strict];

/// Where the house is ended on such a day, besides what a seed draws.
pub(crate) const DAY_IN_PARTS: [&str; 6] =
    ["parted", "parted:2", "parted:5", "intended:2", "sent:2", "answered:2"];

/// Days lived at the same time. They mostly wait for a clock.
const AT_ONCE: usize = 6;

/// What goes wrong on a day of this seed: ends of the house at points, and of the payer after writes.
fn drawn(seed: u64, writes: usize) -> Ends {
    let mut state = seed;
    let mut draw = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let points = ["intended", "sent", "parted", "answered", "assembled"];
    let house = (0..=draw(3)).map(|_| format!("{}:{}", points[draw(points.len())], 1 + draw(6)));
    let house = house.collect();
    Ends { house, payer: (0..draw(3)).map(|_| 1 + draw(writes)).collect() }
}

/// Pushes of two patients at once, a late one, a correction, and one that is taken back.
fn live(profile: Profile, ends: Ends) -> Left {
    let mut day = Apart::begin(profile, ends);
    day.push("e1");
    day.push("e3");
    day.rest();
    day.push("e2");
    day.rest();
    day.ehr.amend([corrected("e1-o1")]);
    day.push("e1");
    day.rest();
    day.withdraw("e2");
    day.rest();
    day.end()
}

/// Lives all these days, some at once; each is to end as an undisturbed one of its payer.
fn live_all(cases: Vec<(Profile, Ends)>, undisturbed: &BTreeMap<Profile, Left>) -> [u32; 2] {
    let rows = Mutex::new(VecDeque::from(cases));
    let next = || rows.lock().unwrap().pop_front();
    let lived = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((profile, ends)) = next() {
                    let case = format!("{} with {ends:?}", profile.name());
                    let left = live(profile, ends);
                    lived.lock().unwrap().push((profile, case, left));
                }
            });
        }
    });
    let mut ended = [0, 0];
    for (profile, case, left) in lived.into_inner().unwrap() {
        left.assert_same(&undisturbed[&profile], &case);
        (ended[0], ended[1]) = (ended[0] + left.halts[0], ended[1] + left.halts[1]);
    }
    ended
}

/// One day of each payer on which nothing happens.
fn undisturbed() -> BTreeMap<Profile, Left> {
    let lives = PROFILES.map(|profile| thread::spawn(move || live(profile, Ends::default())));
    let left = lives.map(|life| life.join().unwrap());
    let all: BTreeMap<Profile, Left> = PROFILES.into_iter().zip(left).collect();
    for (profile, left) in &all {
        left.assert_same(left, &format!("{} undisturbed", profile.name()));
        let counts = (left.records(), left.pushes.len(), left.writes);
        assert!(left.records() > 15 && left.writes > 8, "{}: {counts:?}", profile.name());
    }
    all
}

#[test]
fn what_goes_in_parts_goes_on_where_the_house_was_ended() {
    let undisturbed = undisturbed();
    let cases = DAY_IN_PARTS.iter().enumerate().map(|(nth, point)| {
        let ends = Ends { house: vec![(*point).to_owned()], payer: Vec::new() };
        (PROFILES[nth % PROFILES.len()], ends)
    });
    let cases: Vec<_> = cases.collect();
    let all = u32::try_from(cases.len()).unwrap();
    assert_eq!(live_all(cases, &undisturbed), [all, 0], "each house is ended once");
}

/// `HANDOVER_CRASH_SEEDS` says how many seeds, `HANDOVER_CRASH_SEED` names the only one.
#[test]
fn what_goes_in_parts_survives_ends_of_both_at_any_moment() {
    let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    let seeds: Vec<u64> = match number("HANDOVER_CRASH_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("HANDOVER_CRASH_SEEDS").unwrap_or(6)).collect(),
    };
    let undisturbed = undisturbed();
    let cases = seeds.iter().map(|seed| {
        let profile = PROFILES[usize::try_from(*seed).unwrap() % PROFILES.len()];
        (profile, drawn(*seed, undisturbed[&profile].writes))
    });
    let ended = live_all(cases.collect(), &undisturbed);
    println!("{} seeds, in parts: {ended:?} ends of house and payer", seeds.len());
    assert!(seeds.len() == 1 || (ended[0] > 0 && ended[1] > 0), "{ended:?}");
}
