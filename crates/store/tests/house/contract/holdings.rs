//! Holdings: the promises about what payers' doors hold of ours.
//!
//! Comes in   a house.
//! Goes out   nothing, or a panic with the promise that was broken.
//! Never      lets an older content take the place of a newer one.

use exchange::parts::Holding;
use exchange::{Digest, PartnerId};

use super::*;

const RECORDS: [(&str, &str); 4] =
    [("Patient", "p"), ("Observation", "o"), ("Practitioner", "d"), ("Condition", "none")];

fn holding(kind: &str, id: &str, at: Option<&str>, content: Option<&str>, second: i64) -> Holding {
    Holding {
        kind: kind.to_owned(),
        id: id.to_owned(),
        at: at.map(str::to_owned),
        digest: content.map(|content| Digest::of(content.as_bytes())),
        as_of: super::at(second),
    }
}

fn plan() -> PartnerId {
    PartnerId::from("foreign-plan")
}

async fn write(house: &impl House, partner: &PartnerId, holdings: Vec<Holding>) {
    let holdings = holdings.into_iter().map(|it| (partner.clone(), it)).collect();
    let written = house.commit(Unit { holdings, ..unit(300) }).await.unwrap();
    assert_eq!(written, done(&[]));
}

/// What is known of all records of these promises.
pub(super) async fn known(house: &impl House) -> Vec<Option<Holding>> {
    let records = RECORDS.map(|(kind, id)| (kind.to_owned(), id.to_owned()));
    house.holdings(&plan(), &records).await.unwrap()
}

/// A house in which nothing of these was written knows nothing of them.
pub(super) async fn nothing_is_known(house: &impl House) {
    assert_eq!(known(house).await, [None, None, None, None], "another house's doors");
}

pub(super) async fn a_door_holds_what_was_written_last(house: &impl House) {
    assert!(known(house).await.iter().all(Option::is_none));
    let patient = holding("Patient", "p", Some("Patient/17"), Some("one"), 10);
    let observation = holding("Observation", "o", None, Some("one"), 10);
    write(house, &plan(), vec![patient.clone(), observation.clone()]).await;
    let found = known(house).await;
    assert_eq!(found, [Some(patient), Some(observation), None, None], "in the order asked");

    let newer = holding("Patient", "p", Some("Patient/17"), Some("two"), 20);
    let gone = holding("Observation", "o", None, None, 10);
    write(house, &plan(), vec![newer.clone(), gone.clone()]).await;
    let late = holding("Patient", "p", Some("Patient/99"), Some("old"), 19);
    write(house, &plan(), vec![late]).await;
    let found = known(house).await;
    assert_eq!(found[..2], [Some(newer), Some(gone)], "an older content replaces nothing");

    let twice = ["first", "second"].map(|it| holding("Practitioner", "d", None, Some(it), 30));
    let old = holding("Practitioner", "d", None, Some("old"), 29);
    write(house, &plan(), vec![twice[0].clone(), twice[1].clone(), old]).await;
    assert_eq!(known(house).await[2], Some(twice[1].clone()), "twice in one unit: the later one");

    let other = PartnerId::from("other-plan");
    let records = [("Patient".to_owned(), "p".to_owned())];
    assert_eq!(house.holdings(&other, &records).await.unwrap(), [None], "each door by itself");
    assert_eq!(house.holdings(&other, &[]).await.unwrap(), []);

    let stale = Unit {
        expects: vec![Expect::LaneNumber { lane: "no such lane".to_owned(), number: 9 }],
        holdings: vec![(other.clone(), holding("Patient", "p", None, Some("x"), 1))],
        ..unit(301)
    };
    assert_eq!(house.commit(stale).await.unwrap(), Commit::Stale);
    assert_eq!(
        house.holdings(&other, &records).await.unwrap(),
        [None],
        "with its unit or not at all"
    );
}
