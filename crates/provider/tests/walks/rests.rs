//! Goal: an EHR that asks to be left alone is left alone for minutes, whatever number it names, and
//! whoever waits for it is told since when, until when, and whom to ask.

use crate::hospital::{EHR, Hospital, Told, status};
use crate::watch::{Ward, nobody, visit};
use exchange::desk::{Command, Reply};
use exchange::{Code, Issue};
use jiff::SignedDuration;
use store::House as _;

/// A wait of more than three years, which is read as one of seven days.
fn for_years() -> Told {
    asks("99999999")
}

fn for_a_minute() -> Told {
    asks("60")
}

fn asks(seconds: &str) -> Told {
    let mut answer = status(429, "")?;
    answer.headers_mut().insert("retry-after", seconds.parse().unwrap());
    Ok(answer)
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

async fn explained(hospital: &Hospital) -> Issue {
    match hospital.explain().await {
        Err(issue) => issue,
        Ok((_, issues)) => issues[0].issue.clone(),
    }
}

#[tokio::test]
async fn a_house_asks_again_after_a_quarter_of_an_hour_and_says_until_when_it_was_asked_to_wait() {
    let search = format!("GET {EHR}/Observation?");
    let hospital = Hospital::open();
    hospital.network.spoil(&search, for_years);
    hospital.push().await;
    let issue = hospital.waits("asked to wait", "due", Code::SourceUnreachable).await;
    assert_eq!(
        issue.detail,
        "at 2026-11-22T12:00:00Z the EHR asked to be left alone until 2026-11-29T12:00:00Z; it is \
         asked again after 15 minutes"
    );
    assert_eq!(explained(&hospital).await.detail, issue.detail, "explain says the same");
    let asked = hospital.network.asked().len();
    hospital.clock.advance_by(minutes(14));
    hospital.work().await;
    assert_eq!(hospital.network.asked().len(), asked, "it is left alone");
    hospital.network.mend();
    hospital.clock.advance_by(minutes(1));
    assert_eq!(hospital.work().await[0].state, "settled");
}

#[tokio::test]
async fn a_short_wait_is_kept_as_it_was_asked_for() {
    let hospital = Hospital::open();
    hospital.network.spoil(&format!("GET {EHR}/Observation?"), for_a_minute);
    hospital.push().await;
    let issue = hospital.waits("a minute", "due", Code::SourceUnreachable).await;
    let detail =
        "at 2026-11-22T12:00:00Z the EHR asked to be left alone until 2026-11-22T12:01:00Z";
    assert_eq!(issue.detail, detail);
    hospital.network.mend();
    hospital.clock.advance_by(minutes(1));
    assert_eq!(hospital.work().await[0].state, "settled");
}

#[tokio::test]
async fn a_push_whose_deadline_comes_before_is_held_for_the_people_of_the_ehr() {
    let hospital = Hospital::open();
    hospital.network.spoil(&format!("GET {EHR}/Observation?"), for_years);
    hospital.push().await;
    let id = hospital.waits("first", "due", Code::SourceUnreachable).await;
    assert!(!id.detail.contains("deadline"), "{id}");
    hospital.clock.advance_by(minutes(72 * 60 - 5));
    let issue = hospital.waits("at last", "held", Code::SourceUnreachable).await;
    for word in ["until 2026-12-02T11:55:00Z", "the provider's EHR people", "release"] {
        assert!(issue.detail.contains(word), "{word}: {issue}");
    }
    let rows = hospital.work().await;
    assert_eq!(rows[0].issues.len(), 1, "nobody is sent to the plan's support: {rows:?}");
}

#[tokio::test]
async fn a_watch_goes_on_within_a_quarter_of_an_hour_also_after_a_restart() {
    let mut ward = Ward::new("p1\n");
    ward.take_up().await;
    ward.holds(visit, for_years);
    assert!(ward.look().await.is_empty());
    let Reply::Watch { lines } = ward.hospital.command(Command::Watch {}).await.unwrap() else {
        panic!("watch");
    };
    let told = lines.iter().find(|line| line.what == "watch: Patient/p1").unwrap();
    let told = told.issue.as_ref().unwrap().issue.detail.clone();
    assert!(told.ends_with("; next look 2026-11-22T13:15:00Z"), "{told}");
    ward.adds_up().await;
    let row = ward.hospital.house.work("watch.p1").await.unwrap().unwrap();
    assert_eq!(row.work.due, Some("2026-11-22T13:15:00Z".parse().unwrap()));

    ward.hospital = ward.hospital.restarted_with("sunrise");
    ward.holds(visit, nobody);
    ward.take_up().await;
    assert_eq!(ward.look().await, ["Encounter/e1"]);
}
