//! Goal: no chart is opened before the payer's door is known to be the right one.

use crate::hospital::{
    EHR, Fault, Hospital, PLAN, SENT, Told, not_sent, statement, status, untrusted,
};
use exchange::Code;
use exchange::desk::{Command, Reply};
use provider::limits::BREAKER;
use std::time::Duration;
use store::{Breaker, House as _};
use wire::Clock as _;

fn r5() -> Told {
    status(200, r#"{"versions":["5.0"],"default":"5.0"}"#)
}

fn r3() -> Told {
    status(200, statement("transaction").replace("4.0.1", "3.0.2"))
}

/// A statement that calls itself R4, in the media type of another version.
fn in_r5() -> Told {
    let mut answer = status(200, statement("transaction"))?;
    let r5 = http::HeaderValue::from_static("application/fhir+json; fhirVersion=5.0");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, r5);
    Ok(answer)
}

#[tokio::test]
async fn a_door_that_is_not_the_right_one_says_why() {
    let versions = format!("GET {PLAN}/$versions");
    let metadata = format!("GET {PLAN}/metadata");
    let (versions, metadata) = (versions.as_str(), metadata.as_str());
    let token = format!("POST {PLAN}/token");
    let table: &[(&str, &str, Fault, &str, Code)] = &[
        ("nobody there", versions, not_sent, "due", Code::PayerUnreachable),
        ("another's certificate", versions, untrusted, "held", Code::PayerUntrusted),
        ("another version", versions, r5, "held", Code::VersionMismatch),
        ("no versions", versions, || status(404, ""), "held", Code::VersionMismatch),
        ("another version's statement", metadata, r3, "held", Code::VersionMismatch),
        ("another version's answer", metadata, in_r5, "held", Code::VersionMismatch),
        (
            "an answer in no such version",
            metadata,
            || status(406, ""),
            "held",
            Code::VersionMismatch,
        ),
        ("a version it does not read", metadata, || status(415, ""), "held", Code::VersionMismatch),
        ("a web page", metadata, || status(200, "<p>"), "held", Code::VersionMismatch),
        (
            "no transactions",
            metadata,
            || status(200, statement("batch")),
            "held",
            Code::CapabilityMissing,
        ),
    ];
    for (case, place, told, state, code) in table {
        let hospital = Hospital::open();
        hospital.network.spoil(place, *told);
        hospital.push().await;
        let issue = hospital.waits(case, state, *code).await;
        let looked = hospital.network.asked();
        assert!(
            !looked.iter().any(|line| line.starts_with(&format!("GET {EHR}/Observation"))),
            "{case}: the chart stays shut: {looked:?}"
        );

        let (payers, issues) = hospital.explain().await.unwrap();
        assert!(issues.is_empty(), "{case}");
        assert_eq!(payers[0].door.as_ref().unwrap_err().issue, issue, "{case}: explain");
        assert!(payers[0].decisions.is_empty(), "{case}: nothing was looked at");
        let opened = |line: &String| line.starts_with(&format!("GET {EHR}/Observation"));
        assert!(!hospital.network.asked().iter().any(opened), "{case}: explain opens no chart");

        let Reply::Checked { lines } = hospital.command(Command::Check {}).await.unwrap() else {
            panic!("check is answered with lines")
        };
        let door = lines.iter().find(|line| line.what == "payer sunrise: door").unwrap();
        assert_eq!(door.issue.as_ref().unwrap().issue, issue, "{case}: check");
    }

    let hospital = Hospital::open();
    hospital.network.spoil(&token, || status(401, r#"{"error":"invalid_client"}"#));
    hospital.push().await;
    hospital.waits("a credential nobody knows", "held", Code::SignInRefused).await;
}

#[tokio::test]
async fn a_door_that_another_process_found_shut_is_left_alone_for_a_while() {
    let hospital = Hospital::open();
    let payer = "sunrise".into();
    for _ in 0..BREAKER.failures {
        let clock = hospital.house.clock(hospital.clock.now());
        hospital.house.report(clock, &payer, false, BREAKER).await.unwrap();
    }
    hospital.push().await;
    hospital.waits("the door rests", "due", Code::PayerResting).await;
    let asked = hospital.network.asked();
    assert!(!asked.iter().any(|line| line.contains(PLAN)), "nobody knocks: {asked:?}");
    assert!(!asked.iter().any(|line| line.contains("/Observation")), "the chart stays shut");

    hospital.network.spoil(SENT, not_sent);
    hospital.clock.advance(1);
    hospital.work().await;
    hospital.waits("one goes ahead to see", "due", Code::PayerUnreachable).await;
    let doors = hospital.house.doors().await.unwrap();
    assert_eq!(doors[0].failures, BREAKER.failures + 1);
    assert!(doors[0].resting_until.is_some(), "it rests again");

    hospital.network.mend();
    hospital.clock.advance(1);
    assert_eq!(hospital.work().await[0].state, "settled");
    let doors = hospital.house.doors().await.unwrap();
    assert!(doors.iter().all(|door| door.failures == 0 && door.resting_until.is_none()));
}

/// The payer has taken it, and says where to ask.
fn taken() -> Told {
    let answer = http::Response::builder().status(202).header("content-location", "/fhir/status/1");
    Ok(answer.body(bytes::Bytes::new()).unwrap())
}

#[tokio::test]
async fn a_payer_is_not_asked_for_its_word_while_its_door_rests() {
    let hospital = Hospital::open();
    hospital.network.spoil(SENT, taken);
    hospital.push().await;
    let payer = "sunrise".into();
    let rest = Duration::from_secs(10 * 3_600);
    let breaker = Breaker { failures: 1, rest, rest_max: rest };
    let clock = hospital.house.clock(hospital.clock.now());
    hospital.house.report(clock, &payer, false, breaker).await.unwrap();
    let asked = || {
        let asked = hospital.network.asked();
        asked.iter().filter(|line| line.ends_with("/status/1")).count()
    };
    let before = asked();

    hospital.clock.advance(5);
    hospital.waits("the poll waits for the door", "due", Code::PayerResting).await;
    assert_eq!(asked(), before, "nobody asks");

    hospital.clock.advance(6);
    hospital.work().await;
    assert!(asked() > before, "after its rest it is asked");
}
