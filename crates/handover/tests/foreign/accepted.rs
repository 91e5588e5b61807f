//! Goal: a payer that answers 202 and says no outcome is asked what became of it, and is sent nothing
//! twice; one that takes less at a time than the agreement says gets smaller requests.
//!
//! How: each profile, with 202 at the first or second write, stored and not; and with limits of its own.

#![allow(clippy::unwrap_used)]

use super::hospital::{Hospital, Source, TRIED};
use super::matrix::{of, sources, start};
use exchange::Code;
use exchange::desk::Row;
use sim::payer::{Abilities, Fault, ForeignPayer, Offer, Planned, Profile, Traffic};
use std::collections::BTreeMap;

/// One encounter, pushed to both payers until nothing is due.
struct Day {
    tried: ForeignPayer,
    healthy: ForeignPayer,
    hospital: Hospital,
    row: Row,
}

impl Day {
    async fn of(source: &Source, profile: Profile, abilities: Abilities, at: &[Planned]) -> Day {
        let tried = start(abilities, at.to_vec()).await;
        let healthy = start(Abilities::default(), Vec::new()).await;
        let collections = profile == Profile::CollectionOnly;
        let hospital = Hospital::open(source, &tried, &healthy, collections);
        hospital.push("e1").await;
        let row = own(hospital.work_to_the_end().await);
        Day { tried, healthy, hospital, row }
    }

    /// What arrived of each resource; what is more than there should be.
    fn found(&self) -> (BTreeMap<String, usize>, Vec<String>) {
        let (arrived, expected) = (self.tried.arrived(), sources(&self.healthy.arrived()));
        let found = sources(&arrived);
        let more = found.iter().filter(|(name, count)| expected.get(*name) < Some(*count));
        let mut more: Vec<String> = more.map(|(name, _)| name.clone()).collect();
        more.extend(arrived.twins.iter().flatten().cloned().chain(arrived.idle));
        (found, more)
    }

    fn writes(&self) -> usize {
        self.tried.arrived().count(Traffic::Write)
    }

    async fn release(&mut self) {
        self.hospital.release(&self.row.id).await;
        self.row = own(self.hospital.work_to_the_end().await);
    }

    fn codes(&self) -> Vec<Code> {
        self.row.issues.iter().map(|it| it.issue.code).collect()
    }
}

fn own(rows: Vec<Row>) -> Row {
    rows.into_iter().find(|row| of(row, TRIED)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_for_later_is_looked_for_and_never_sent_twice() {
    let source = Source::open().await;
    for profile in Profile::ALL {
        for write in [1, 2] {
            let at = [Planned::at(Traffic::Write, write, Fault::Accepted)];
            let day = Day::of(&source, profile, profile.abilities(), &at).await;
            let case = format!("{} at {write}: {:?}", profile.name(), day.row);
            let (found, more) = day.found();
            assert_eq!(more, [""; 0], "{case}");
            let asked = profile.abilities().offers.contains(&Offer::Search);
            if asked || day.row.state == "settled" {
                assert_eq!(day.row.state, "settled", "{case}");
                let expected = sources(&day.healthy.arrived());
                let whole = profile == Profile::CollectionOnly || found == expected;
                assert!(whole, "{case}: {found:?}");
            } else {
                assert_eq!(day.codes(), [Code::OutcomeUnknown], "{case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_for_later_and_is_not_there_waits_for_a_person_and_goes_when_released() {
    let source = Source::open().await;
    // A payer that keeps collections promises no more than to have taken them.
    let all = Profile::ALL.into_iter().filter(|it| *it != Profile::CollectionOnly);
    for profile in all {
        let at = [Planned::at(Traffic::Write, 1, Fault::AcceptedUnstored)];
        let mut day = Day::of(&source, profile, profile.abilities(), &at).await;
        let case = format!("{}: {:?}", profile.name(), day.row);
        assert_eq!(
            (day.row.state.as_str(), day.codes()),
            ("held", vec![Code::OutcomeUnknown]),
            "{case}"
        );
        assert_eq!(day.writes(), 1, "{case}: nothing goes again by itself");
        day.release().await;
        let case = format!("{} released: {:?}", profile.name(), day.row);
        assert_eq!(day.row.state, "settled", "{case}");
        let (found, more) = day.found();
        assert_eq!((found, more), (sources(&day.healthy.arrived()), vec![]), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_that_takes_less_at_a_time_than_agreed_gets_smaller_requests() {
    let source = Source::open().await;
    let limits: [(&str, Option<usize>, Option<usize>); 2] =
        [("entries", Some(4), None), ("bytes", None, Some(4_000))];
    // Those that take Bundles at all.
    let bundles = Profile::ALL.into_iter().filter(|profile| {
        let offers = profile.abilities().offers;
        offers.contains(&Offer::Transaction) || offers.contains(&Offer::Batch)
    });
    for profile in bundles {
        for (word, entries_max, bytes_max) in limits {
            let abilities = Abilities { entries_max, bytes_max, ..profile.abilities() };
            let day = Day::of(&source, profile, abilities, &[]).await;
            let case = format!("{}, {word}: {:?}", profile.name(), day.row);
            assert_eq!(day.row.state, "settled", "{case}");
            let refused = day.tried.arrived();
            let refused = refused.requests.iter().filter(|it| it.status == Some(413)).count();
            // A batch goes by what refers to what, so that it may be small anyway.
            let least = usize::from(profile.abilities().offers.contains(&Offer::Transaction));
            assert!((least..=4).contains(&refused), "{case}: {refused} were too large");
            let (found, more) = day.found();
            assert_eq!((found, more), (sources(&day.healthy.arrived()), vec![]), "{case}");
        }
    }
}
