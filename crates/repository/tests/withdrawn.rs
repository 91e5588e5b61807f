//! Goal: a Patient is never taken back while something is filed about it: of the two, one comes too
//! late, whichever type the record is of and whichever database the house is in.
//!
//! How: both are decided before either is written, in both orders; then both at once, many times.
//! In PostgreSQL the two have houses of their own, as two processes do.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use exchange::read::{self, SenderTerms};
use exchange::{Code, PartnerId};
use jiff::Timestamp;
use repository::{Plan, Sent, resolve};
use serde_json::{Value, json};
use store::{AnyHouse, Commit, House, PostgresHouse, PostgresPlace, SqliteHouse, Unit};

/// Rounds in which both are written at once.
const ROUNDS: usize = 60;

fn bundle(entries: &[Value]) -> Bytes {
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries }).to_string().into()
}

fn put(resource: Value) -> Value {
    let url = format!(
        "{}/{}",
        resource["resourceType"].as_str().unwrap(),
        resource["id"].as_str().unwrap()
    );
    json!({ "request": { "method": "PUT", "url": url }, "resource": resource })
}

fn delete(record: &str) -> Value {
    json!({ "request": { "method": "DELETE", "url": record } })
}

fn patient(id: &str) -> Value {
    put(json!({ "resourceType": "Patient", "id": id }))
}

/// A record about a Patient, by this element.
fn about(kind: &str, element: &str, id: &str, patient: &str) -> Value {
    let mut record = json!({ "resourceType": kind, "id": id });
    let reference = json!({ "reference": format!("Patient/{patient}") });
    record[element] = if kind == "Account" { json!([reference]) } else { reference };
    put(record)
}

/// What a Bundle would write, by what stands now.
async fn decide(house: &AnyHouse, receipt: &str, body: &Bytes) -> Result<Plan, Code> {
    let owner = PartnerId::from("lab");
    let terms = SenderTerms {
        partner: owner.clone(),
        namespace: None,
        types: Vec::new(),
        base: "https://plan.example/fhir".to_owned(),
    };
    let incoming = read::read(body.clone(), &terms).unwrap();
    let sent = Sent { owner: &owner, receipt, base: "https://plan.example/fhir" };
    let resolved = resolve(house, sent, &incoming).await;
    resolved.and_then(|resolved| resolved.plan()).map_err(|issues| issues.first.code)
}

async fn write(house: &AnyHouse, plan: Plan) -> Commit {
    let Plan { records, raises, expects, .. } = plan;
    let at = Timestamp::from_second(1_790_000_000).unwrap();
    house.commit(Unit { at, records, raises, expects, ..Unit::default() }).await.unwrap()
}

/// Files a Bundle as the road does: again, when what it was decided by has changed.
async fn file(house: &AnyHouse, receipt: &str, body: Bytes) -> Result<(), Code> {
    loop {
        if matches!(write(house, decide(house, receipt, &body).await?).await, Commit::Done { .. }) {
            return Ok(());
        }
    }
}

async fn stands(house: &AnyHouse, kind: &str, id: &str) -> bool {
    let head = house.heads(&[(kind.to_owned(), id.to_owned())]).await.unwrap().remove(0);
    head.is_some_and(|head| !head.deleted)
}

fn is_done(commit: &Commit) -> bool {
    matches!(commit, Commit::Done { .. })
}

/// Types and elements: in the table, filed as a token too, outside the table.
const ABOUT: [(&str, &str); 5] = [
    ("Observation", "subject"),
    ("Coverage", "beneficiary"),
    ("Account", "subject"),
    ("Basic", "subject"),
    ("VisionPrescription", "patient"),
];

async fn whoever_is_written_second_is_decided_again(house: &AnyHouse) {
    for (kind, element) in ABOUT {
        for first in ["record", "withdrawal"] {
            let id = format!("{kind}-{first}");
            file(house, "s-1", bundle(&[patient(&id)])).await.unwrap();
            let gone = bundle(&[delete(&format!("Patient/{id}"))]);
            let record = bundle(&[about(kind, element, &id, &id)]);
            let withdraws = decide(house, "s-2", &gone).await.unwrap();
            let files = decide(house, "s-3", &record).await.unwrap();
            let (one, other, too_late) = match first {
                "record" => (files, withdraws, gone),
                _ => (withdraws, files, record),
            };
            assert!(is_done(&write(house, one).await), "{id}");
            assert_eq!(write(house, other).await, Commit::Stale, "{id}");
            let again = decide(house, "s-4", &too_late).await.map(drop);
            assert_eq!(again, Err(Code::ReferenceUnresolved), "{id}");
        }
    }
}

async fn with_all_that_is_about_it_a_patient_goes(house: &AnyHouse) {
    let all = |patient: &str| ABOUT.map(|(kind, element)| about(kind, element, patient, patient));
    file(house, "s-1", bundle(&[patient("whole")])).await.unwrap();
    file(house, "s-2", bundle(&all("whole"))).await.unwrap();
    let mut gone = vec![delete("Patient/whole")];
    for (kind, _) in ABOUT {
        let early = file(house, "s-3", bundle(&gone)).await;
        assert_eq!(early, Err(Code::ReferenceUnresolved), "before {kind}");
        gone.push(delete(&format!("{kind}/whole")));
    }
    let withdraws = decide(house, "s-4", &bundle(&gone)).await.unwrap();
    // One more, of a type that goes too.
    file(house, "s-5", bundle(&[about("Basic", "subject", "more", "whole")])).await.unwrap();
    assert_eq!(write(house, withdraws).await, Commit::Stale);
    gone.push(delete("Basic/more"));
    file(house, "s-6", bundle(&gone)).await.unwrap();
    assert!(!stands(house, "Patient", "whole").await);
}

async fn both_at_once_never_both_succeed(one: &AnyHouse, other: &AnyHouse) {
    for round in 0..ROUNDS {
        let (kind, element) = ABOUT[round % ABOUT.len()];
        let id = format!("race-{round}");
        file(one, "s-1", bundle(&[patient(&id)])).await.unwrap();
        let gone = bundle(&[delete(&format!("Patient/{id}"))]);
        let record = bundle(&[about(kind, element, &id, &id)]);
        let (one, other) = (one.clone(), other.clone());
        let house = one.clone();
        let withdraws = tokio::spawn(async move { file(&one, "s-2", gone).await });
        let files = tokio::spawn(async move { file(&other, "s-3", record).await });
        let (withdrawn, filed) = (withdraws.await.unwrap(), files.await.unwrap());
        assert_ne!(withdrawn.is_ok(), filed.is_ok(), "round {round}: {withdrawn:?}, {filed:?}");
        assert_eq!(stands(&house, "Patient", &id).await, filed.is_ok(), "round {round}");
        assert_eq!(stands(&house, kind, &id).await, filed.is_ok(), "round {round}");
    }
}

async fn check(one: &AnyHouse, other: &AnyHouse) {
    whoever_is_written_second_is_decided_again(one).await;
    with_all_that_is_about_it_a_patient_goes(one).await;
    both_at_once_never_both_succeed(one, other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_file_a_patient_goes_or_something_is_filed_about_it() {
    let folder = tempfile::tempdir().unwrap();
    let house = AnyHouse::from(SqliteHouse::open(folder.path(), &"plan".into()).unwrap());
    check(&house, &house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_postgres_a_patient_goes_or_something_is_filed_about_it() {
    let Some(database) = testdb::Server::shared() else { return };
    let place = PostgresPlace { url: database.url(), ..PostgresPlace::default() };
    let mut houses = Vec::new();
    for _ in 0..2 {
        let house = PostgresHouse::open(&place, &"plan".into()).await.unwrap();
        houses.push(AnyHouse::from(house));
    }
    check(&houses[0], &houses[1]).await;
}
