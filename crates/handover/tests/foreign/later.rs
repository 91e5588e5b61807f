//! Goal: what comes after the first push reaches a foreign payer once: nothing where nothing changed,
//! a correction as one new version of one record, a withdrawal as the end of what was sent.
//!
//! How: each profile that can be read, in good order and with the first answer of that day cut off.

#![allow(clippy::unwrap_used)]

use super::chart::{ENCOUNTERS, corrected};
use super::hospital::{HEALTHY, Hospital, Source, TRIED};
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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_door_for_collections_cannot_take_back_is_held_and_named() {
    for removed in [false, true] {
        let source = Source::open().await;
        let tried = start(Profile::CollectionOnly.abilities(), Vec::new()).await;
        let healthy = start(Abilities::default(), Vec::new()).await;
        let hospital = Hospital::open(&source, &tried, &healthy, true);
        hospital.push("e1").await;
        let rows = hospital.work_to_the_end().await;
        assert!(rows.iter().all(|row| row.state == "settled"), "{}", hospital.told(&rows).await);
        let stands = tried.arrived().resources().len();
        if removed {
            // The next revision brings a report that changed, and takes the result back.
            source.remove("Observation/e1-o2").await;
            hospital.push("e1").await;
        } else {
            for row in &rows {
                hospital.withdraw(&row.id).await;
            }
        }
        let rows = hospital.work_to_the_end().await;
        let told = hospital.told(&rows).await;
        let newest = |payer: &str| {
            let own = rows
                .iter()
                .filter(|row| row.partner.as_ref().is_some_and(|it| it.as_str() == payer));
            own.max_by_key(|row| row.label.clone()).unwrap()
        };
        assert_eq!(newest(HEALTHY).state, "settled", "{told}");
        let held = newest(TRIED);
        assert_eq!(held.state, "held", "removed {removed}: {told}");
        for words in &held.issues {
            assert_eq!(words.issue.code, exchange::Code::CapabilityMissing, "{told}");
            assert!(words.issue.detail.contains("what was sent stays there"), "{told}");
            assert!(!words.next.is_empty() && words.who_acts != "nobody", "{told}");
        }
        let named = held.issues.iter().filter(|words| words.issue.expression.is_some()).count();
        assert_eq!(named, usize::from(removed), "the record that stays is named: {told}");
        let now = tried.arrived();
        assert!(now.resources().len() >= stands, "nothing went, and nothing says that it did");
        // Whoever lets it go learns the same again: it is never taken for done.
        let id = held.id.clone();
        hospital.release(&id).await;
        let rows = hospital.work_to_the_end().await;
        assert_eq!(rows.iter().find(|row| row.id == id).unwrap().state, "held", "{told}");
        let writes = (tried.arrived().count(Traffic::Write), now.count(Traffic::Write));
        assert_eq!(writes.0, writes.1, "nothing is sent twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_merge_has_moved_stays_when_the_old_patients_push_is_taken_back() {
    for profile in [Profile::SingleOnly, Profile::PostOnly, Profile::Strict] {
        // Elsewhere the old Patient stays, since the new one names it (`replaces`): the push is held.
        let mut abilities = profile.abilities();
        abilities.habits.remove(&Habit::ResolvedReferencesOnly);
        let day = Day::begin_with(profile, abilities).await;
        let rows = day.work(&["settled"]).await;
        let old: Vec<_> =
            rows.iter().filter(|row| row.subject.as_deref() != Some("Encounter/e3")).collect();
        assert_eq!(old.len(), 2, "{}", day.name);
        day.source.merge("p1", "p2").await;
        day.hospital.push("e1").await;
        let moved = day.work(&["settled"]).await;
        let before = day.tried.arrived();
        for row in old {
            day.hospital.withdraw(&row.id).await;
        }
        let rows = day.work(&["settled"]).await;
        let case = format!("{}: {}", day.name, day.hospital.told(&rows).await);
        assert_eq!(moved.len(), 4, "{case}");
        let after = day.tried.arrived();
        let current = after.current();
        let of = |source: &str| {
            current
                .values()
                .find(|it| it["meta"]["source"].as_str().is_some_and(|it| it.ends_with(source)))
        };
        let patient = named(&before, "/Patient/p2");
        for kept in
            ["/Encounter/e1", "/Condition/e1-c", "/Observation/e1-o1", "/DiagnosticReport/e1-r"]
        {
            let record = of(kept).unwrap_or_else(|| panic!("{kept} is gone, {case}"));
            assert_eq!(record["subject"]["reference"], patient.as_str(), "{kept} {case}");
        }
        for gone in ["/Encounter/e2", "/Observation/e2-o1", "/Patient/p1"] {
            assert!(of(gone).is_none(), "{gone} stands still, {case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_for_a_patient_whom_another_replaces_waits_for_a_person() {
    let day = Day::begin(Profile::Strict).await;
    let before = day.tried.arrived().requests.len();
    let replaced = super::chart::chart().into_iter().find_map(|bytes| {
        let mut value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        (value["resourceType"] == "Patient" && value["id"] == "p1").then(|| {
            value["active"] = serde_json::json!(false);
            let other = serde_json::json!({ "reference": "Patient/p2" });
            value["link"] = serde_json::json!([{ "other": other, "type": "replaced-by" }]);
            bytes::Bytes::from(value.to_string())
        })
    });
    day.source.amend(replaced.unwrap()).await;
    // What was not moved with the rest may be a mistake of the merge.
    day.source.amend(corrected("e1-o1")).await;
    day.hospital.push("e1").await;
    let rows = day.work(&["settled", "held"]).await;
    let held: Vec<_> = rows.iter().filter(|row| row.state == "held").collect();
    assert_eq!(held.len(), 1, "{}", day.hospital.told(&rows).await);
    let words = &held[0].issues[0];
    assert_eq!(words.issue.code, exchange::Code::SubjectUnknown);
    assert!(words.issue.detail.contains("replaced-by"), "{words:?}");
    assert!(!words.who_acts.is_empty() && !words.next.is_empty(), "{words:?}");
    assert_eq!(day.tried.arrived().requests.len(), before, "nothing was sent");
}
