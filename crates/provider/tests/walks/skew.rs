//! Goal: a machine whose clock is wrong neither floods the ledger nor comes late: the house's database
//! says what time it is.

use crate::hospital::{Hospital, who};
use exchange::desk::Command;
use exchange::{Code, PartnerId};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use store::{Breaker, Clock, House as _, PostgresHouse, PostgresPlace};
use testdb::Server;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

async fn resting_lines(hospital: &Hospital) -> usize {
    let entries = hospital.house.entries(1, 10_000).await.unwrap();
    entries.iter().filter(|entry| entry.body.contains(Code::PayerResting.row().slug)).count()
}

#[tokio::test]
async fn a_wrong_clock_waits_at_a_resting_door_like_a_right_one() {
    let Some(database) = Server::shared() else { return };
    for hours in [-2, 0, 2] {
        let name = format!("clinic{hours}");
        let place = PostgresPlace { url: database.url().to_owned(), ..PostgresPlace::default() };
        let house = PostgresHouse::open(&place, &name.as_str().into()).await.unwrap();
        let hospital = Hospital::open_on(house, Timestamp::now() + HOUR * hours);
        let rest = Duration::from_secs(3_600);
        let breaker = Breaker { failures: 1, rest, rest_max: rest };
        let payer = PartnerId::from("sunrise");
        hospital.house.report(Clock::Database, &payer, false, breaker).await.unwrap();

        let push = Command::Push {
            subject: "e1".into(),
            purpose: None,
            who: who(),
            wait: 0,
            asynchronous: false,
        };
        hospital.command(push).await.unwrap();
        hospital.waits(&name, "due", Code::PayerResting).await;
        assert_eq!(resting_lines(&hospital).await, 1, "{name}: a rest costs one line");
        let now = hospital.house.time(Clock::Database).await.unwrap();
        let due = hospital.house.next_due().await.unwrap().unwrap();
        let waits = now.duration_until(due);
        let right = HOUR / 2..HOUR + SignedDuration::from_secs(20);
        assert!(right.contains(&waits), "{name}: due in {waits}, by the clock that claims");
    }
}
