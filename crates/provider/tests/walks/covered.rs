//! Everybody with an agreement's coverage is watched, where the EHR can be asked who that is; where it
//! cannot, a person is told to name a roster file.

use crate::hospital::{COVERAGE, EHR, Fault, Hospital, Told, searchset, status};
use exchange::desk::{CheckLine, Command, Reply};
use exchange::{Code, Issue};
use provider::watch::Keeper;
use store::{House as _, WorkKind, WorkQuery};

/// A coverage of a patient, changed.
fn of(patient: u32, from: &str, to: &str) -> String {
    let text = COVERAGE.replace("\"c1\"", &format!("\"c{patient}\""));
    text.replace("Patient/p1", &format!("Patient/p{patient}")).replace(from, to)
}

fn ended(patient: u32, day: &str) -> String {
    let period = format!(r#""period":{{"start":"2020-01-01","end":"{day}"}},"status""#);
    of(patient, "\"status\"", &period)
}

/// Of six people the plan's: the first, and the one whose coverage ended last week.
fn six() -> Vec<String> {
    vec![
        of(1, "", ""),
        of(2, "99001", "77777"),
        ended(3, "2026-11-15"),
        ended(4, "2025-11-15"),
        of(5, "active", "cancelled"),
        of(6, "Patient/p6", "https://other.example/Patient/p6"),
    ]
}

fn some(coverages: &[String]) -> Told {
    status(200, searchset(&coverages.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn all() -> Told {
    some(&six())
}

fn without_the_first() -> Told {
    some(&six()[1..])
}

fn payor() -> Told {
    status(200, searchset(&[r#"{"resourceType":"Organization","id":"sun"}"#]))
}

fn statement(parameters: &str) -> Told {
    let rest = format!(r#"[{{"mode":"server","searchParam":[{parameters}]}}]"#);
    status(200, format!(r#"{{"resourceType":"CapabilityStatement","rest":{rest}}}"#))
}

fn by_last_updated() -> Told {
    statement(r#"{"name":"_lastUpdated"},{"name":"status"}"#)
}

fn by_status() -> Told {
    statement(r#"{"name":"status"}"#)
}

fn by_payor() -> Told {
    statement(r#"{"name":"payor"},{"name":"identifier"}"#)
}

fn by_patient() -> Told {
    statement(r#"{"name":"patient"}"#)
}

fn hospital(roster: Option<&str>, statement: Fault, search: &str, answer: Fault) -> Hospital {
    let hospital = Hospital::watching_covered(roster);
    hospital.network.spoil(&format!("GET {EHR}/metadata"), statement);
    hospital.network.spoil(&format!("GET {EHR}/Coverage?{search}"), answer);
    hospital.network.spoil(&format!("POST {EHR}/Organization/_search"), payor);
    hospital
}

/// A process that begins takes the roster up; and then whoever is due is looked at.
async fn look(hospital: &Hospital) {
    let road = &hospital.road;
    Keeper::default().keep(road, road.setup.watch.as_ref().unwrap()).await.unwrap();
    hospital.clock.advance(1);
    hospital.work().await;
}

async fn watched(hospital: &Hospital) -> Vec<String> {
    let query = WorkQuery { kind: Some(WorkKind::Watch), limit: 100, ..WorkQuery::default() };
    let rows = hospital.house.works(query).await.unwrap();
    let rows = rows.iter().filter_map(|row| provider::watch::read(&row.work));
    let mut on: Vec<_> = rows.filter(|row| !row.watch.ended).map(|row| row.watch.patient).collect();
    on.sort();
    on
}

async fn told(hospital: &Hospital) -> Vec<CheckLine> {
    match hospital.command(Command::Watch {}).await.unwrap() {
        Reply::Watch { lines } => lines,
        other => panic!("{other:?}"),
    }
}

async fn issues(hospital: &Hospital) -> Vec<Issue> {
    told(hospital)
        .await
        .into_iter()
        .filter_map(|line| line.issue.map(|words| words.issue))
        .collect()
}

#[tokio::test]
async fn whoever_is_covered_is_watched_by_whichever_search_the_ehr_offers() {
    let table: [(&str, Fault, &str); 3] = [
        ("_lastUpdated", by_last_updated, "_lastUpdated=ge1900-01-01 "),
        ("status", by_status, "status=active "),
        ("payors", by_payor, "payor=Organization%2Fsun "),
    ];
    for (word, statement, search) in table {
        let hospital = hospital(None, statement, search, all);
        look(&hospital).await;
        assert_eq!(watched(&hospital).await, ["p1", "p3"], "{word}");
        assert_eq!(issues(&hospital).await, [], "{word}");
        let lines = told(&hospital).await;
        let line = lines.iter().find(|line| line.what == "watch: coverage").unwrap();
        assert!(line.found.contains(word), "{word}: {}", line.found);
    }
}

#[tokio::test]
async fn a_roster_counts_beside_and_who_is_covered_no_more_is_watched_no_more() {
    let search = "_lastUpdated=ge1900-01-01 ";
    let hospital = hospital(Some("p9\n"), by_last_updated, search, all);
    look(&hospital).await;
    assert_eq!(watched(&hospital).await, ["p1", "p3", "p9"]);
    hospital.network.mend();
    hospital.network.spoil(&format!("GET {EHR}/metadata"), by_last_updated);
    hospital.network.spoil(&format!("GET {EHR}/Coverage?_lastUpdated"), || status(500, ""));
    look(&hospital).await;
    assert_eq!(watched(&hospital).await, ["p1", "p3", "p9"], "an EHR that is away ends nobody's");
    assert_eq!(issues(&hospital).await[0].code, Code::SourceUnreachable);
    hospital.network.mend();
    hospital.network.spoil(&format!("GET {EHR}/metadata"), by_last_updated);
    hospital.network.spoil(&format!("GET {EHR}/Coverage?_lastUpdated"), without_the_first);
    look(&hospital).await;
    assert_eq!(watched(&hospital).await, ["p3", "p9"]);
}

#[tokio::test]
async fn where_the_ehr_has_no_such_search_a_person_is_told_to_name_a_roster() {
    let hospital = hospital(Some("p9\n"), by_patient, "", all);
    let Ok(Reply::Checked { lines }) = hospital.command(Command::Check {}).await else {
        panic!("check answers")
    };
    let line = lines.iter().find(|line| line.what == "watch: coverage").unwrap();
    let issue = &line.issue.as_ref().unwrap().issue;
    assert_eq!(issue.code, Code::ConfigInvalid, "before a roster was ever taken up");
    assert!(issue.detail.contains("name a roster file"), "{issue}");
    look(&hospital).await;
    assert_eq!(watched(&hospital).await, ["p9"], "the file counts all the same");
    let told = issues(&hospital).await;
    assert_eq!((told.len(), told[0].code), (1, Code::ConfigInvalid), "once");
    let asked = hospital.network.asked();
    assert!(!asked.iter().any(|line| line.contains("/Coverage?_") || line.contains("status=")));
}
