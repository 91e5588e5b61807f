//! Goal: what comes after the first push reaches a foreign payer once: nothing where nothing changed,
//! a correction as one new version of one record, a withdrawal as the end of what was sent.
//!
//! How: each profile that can be read, in good order and with the first answer of that day cut off.

#![allow(clippy::unwrap_used)]

use super::chart::{ENCOUNTERS, corrected};
use super::hospital::{Hospital, Source, TRIED};
use super::matrix::start;
use exchange::desk::Row;
use sim::payer::{
    Abilities, Arrived, Fault, ForeignPayer, Habit, Planned, Profile, Schedule, Traffic,
};
use std::collections::BTreeSet;

/// All whose records can be compared.
fn profiles() -> impl Iterator<Item = Profile> {
    Profile::ALL.into_iter().filter(|profile| *profile != Profile::CollectionOnly)
}

/// A hospital whose pushes to this payer have all settled.
struct Day {
    source: Source,
    tried: ForeignPayer,
    _healthy: ForeignPayer,
    hospital: Hospital,
    name: &'static str,
}

impl Day {
    async fn begin(profile: Profile) -> Day {
        Day::begin_with(profile, profile.abilities()).await
    }

    async fn begin_with(profile: Profile, abilities: Abilities) -> Day {
        let source = Source::open().await;
        let tried = start(abilities, Vec::new()).await;
        let healthy = start(Abilities::default(), Vec::new()).await;
        let hospital = Hospital::open(&source, &tried, &healthy, false);
        let name = profile.name();
        let day = Day { source, tried, _healthy: healthy, hospital, name };
        for encounter in ENCOUNTERS {
            day.hospital.push(encounter).await;
        }
        day.work(&["settled"]).await;
        day
    }

    /// Works to the end; every push to the tried payer is in one of these states then.
    async fn work(&self, states: &[&str]) -> Vec<Row> {
        let rows = self.hospital.work_to_the_end().await;
        let rows: Vec<Row> = rows
            .into_iter()
            .filter(|row| row.partner.as_ref().is_some_and(|it| it.as_str() == TRIED))
            .collect();
        if !rows.iter().all(|row| states.contains(&row.state.as_str())) {
            panic!("{}: {}", self.name, self.hospital.told(&rows).await);
        }
        rows
    }

    /// From here on, the next write is carried out and its answer lost.
    fn cut_next(&self) {
        self.fail_next(Fault::CutAfterBody);
    }

    /// From here on, the next write goes wrong.
    fn fail_next(&self, fault: Fault) {
        let next = self.tried.arrived().count(Traffic::Write) as u64 + 1;
        self.tried.plan(Schedule(vec![Planned::at(Traffic::Write, next, fault)]));
    }
}

/// Records that gained a version, the pushes' own Provenances aside.
fn changed(before: &Arrived, after: &Arrived) -> BTreeSet<String> {
    let newer = after.records.iter().filter(|(name, versions)| {
        let count = before.records.get(*name).map_or(0, Vec::len);
        versions.len() != count && !name.starts_with("Provenance/")
    });
    newer.map(|(name, _)| name.clone()).collect()
}

/// The name of what came from this place of the source.
fn named(arrived: &Arrived, source: &str) -> String {
    let current = arrived.current().into_iter();
    let from = |content: &serde_json::Value| {
        content["meta"]["source"].as_str().is_some_and(|it| it.ends_with(source))
    };
    let mut names = current.filter(|(_, content)| from(content)).map(|(name, _)| name.to_owned());
    let name = names.next().unwrap();
    assert_eq!(names.next(), None, "{source} is there twice");
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_changed_is_not_sent_again() {
    for profile in profiles() {
        let day = Day::begin(profile).await;
        let before = day.tried.arrived();
        for encounter in ENCOUNTERS {
            day.hospital.push(encounter).await;
        }
        day.work(&["settled", "unchanged"]).await;
        let after = day.tried.arrived();
        assert_eq!(after.records, before.records, "{}", day.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_is_one_new_version_of_one_record() {
    for profile in profiles() {
        for cut in [None, Some(Fault::CutAfterBody), Some(Fault::CutBeforeBody)] {
            let day = Day::begin(profile).await;
            let before = day.tried.arrived();
            let observation = named(&before, "/Observation/e1-o1");
            day.source.amend(corrected("e1-o1")).await;
            if let Some(cut) = cut {
                day.fail_next(cut);
            }
            day.hospital.push("e1").await;
            let rows = day.work(&["settled"]).await;
            let after = day.tried.arrived();
            let case = format!("{} cut {cut:?}: {}", day.name, day.hospital.told(&rows).await);
            assert_eq!(changed(&before, &after), BTreeSet::from([observation.clone()]), "{case}");
            let versions = &after.records[&observation];
            assert_eq!(versions.len(), 2, "{case}");
            let value = &versions[1].content.as_ref().unwrap()["valueQuantity"]["value"];
            assert_eq!(value.to_string(), "7.90", "{case}");
            assert!(after.idle.is_empty() && after.twins.is_empty(), "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_ends_what_was_sent_and_nothing_else() {
    for profile in profiles() {
        for cut in [false, true] {
            // Most keep what is referred to: here all do.
            let mut abilities = profile.abilities();
            abilities.habits.insert(Habit::ResolvedReferencesOnly);
            let day = Day::begin_with(profile, abilities).await;
            let before = day.tried.arrived();
            if cut {
                day.cut_next();
            }
            let rows = day.work(&["settled"]).await;
            let row = rows.iter().find(|row| row.subject.as_deref() == Some("Encounter/e1"));
            day.hospital.withdraw(&row.unwrap().id).await;
            let rows = day.work(&["settled"]).await;
            let after = day.tried.arrived();
            let case = format!("{} cut {cut}: {}", day.name, day.hospital.told(&rows).await);
            let gone = ["e1", "e1-c", "e1-o1", "e1-o2", "e1-r"];
            let current = after.current();
            for (name, content) in before.current() {
                let source = content["meta"]["source"].as_str().unwrap_or_default();
                let id = source.rsplit('/').next().unwrap_or_default();
                if !name.starts_with("Provenance/") {
                    assert_eq!(current.contains_key(name), !gone.contains(&id), "{name} {case}");
                }
            }
            assert!(after.idle.is_empty() && after.twins.is_empty(), "{case}");
        }
    }
}
