//! Bundles whose sender does not wait: taken once they are durable, worked on by whoever is there,
//! answered where the sender was told to ask.

use crate::plan::{Plan, Push, says};
use bytes::Bytes;
use exchange::Code;
use http::{Method, Response, StatusCode};
use payer::worker::{Turn, take_up};
use serde_json::{Value, json};
use store::{House, WorkKind, WorkQuery};

const JSON: (&str, &str) = ("content-type", "application/fhir+json");
const LATER: (&str, &str) = ("prefer", "respond-async");

async fn post(plan: &Plan, who: &str, body: &str) -> Response<Bytes> {
    plan.ask_as(who, Method::POST, "/fhir", body, &[JSON, LATER]).await
}

fn place(answer: &Response<Bytes>) -> String {
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{answer:?}");
    answer.headers()["content-location"].to_str().unwrap().to_owned()
}

async fn work(plan: &Plan) {
    assert_eq!(take_up(&plan.road, std::future::pending()).await, Turn::Taken);
}

/// The list of the manifest with the only file, and the resource in it.
async fn told(plan: &Plan, who: &str, place: &str) -> (&'static str, Value) {
    let answer = plan.get(who, place).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    assert_eq!(answer.headers()["content-type"], "application/json");
    let manifest: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(manifest["requiresAccessToken"], true);
    let list = if manifest["output"] == json!([]) { "error" } else { "output" };
    let file = plan.get(who, manifest[list][0]["url"].as_str().unwrap()).await;
    assert_eq!(file.headers()["content-type"], "application/fhir+ndjson");
    let one: Value = serde_json::from_slice(file.body()).unwrap();
    assert_eq!(one["resourceType"], manifest[list][0]["type"]);
    (list, one)
}

async fn due(plan: &Plan) -> usize {
    let query = WorkQuery {
        kind: Some(WorkKind::Submission),
        states: vec!["due".to_owned()],
        limit: 10,
        ..WorkQuery::default()
    };
    plan.road.house.works(query).await.unwrap().len()
}

/// A batch of a Patient, and of a Location that a token for Patients does not cover.
fn batch() -> String {
    let put = |kind: &str, id: &str| {
        json!({ "resource": { "resourceType": kind, "id": id },
            "request": { "method": "PUT", "url": format!("{kind}/{id}") } })
    };
    let entries = [put("Organization", "h1"), put("Location", "l1")];
    json!({ "resourceType": "Bundle", "type": "batch", "entry": entries }).to_string()
}

#[tokio::test]
async fn a_bundle_is_taken_at_once_and_answered_where_its_sender_asks() {
    let plan = Plan::open();
    let first = post(&plan, "lab", &Push::default().by_hand("k1")).await;
    let place = place(&first);
    assert_eq!(first.headers()["preference-applied"], "respond-async");
    let waits = plan.get("lab", &place).await;
    assert_eq!(waits.status(), StatusCode::ACCEPTED);
    assert!(waits.headers().contains_key("retry-after"));
    assert_eq!(
        plan.get("lab", "/fhir/Patient/p1").await.status(),
        StatusCode::NOT_FOUND,
        "not yet"
    );
    says(&plan.get("rival", &place).await, Code::StatusUnknown);
    work(&plan).await;
    let (list, bundle) = told(&plan, "lab", &place).await;
    assert_eq!((list, &bundle["type"]), ("output", &"transaction-response".into()));
    assert_eq!(bundle["entry"].as_array().unwrap().len(), 2);
    assert_eq!(plan.get("lab", "/fhir/Patient/p1").await.status(), StatusCode::OK);
    assert_eq!(take_up(&plan.road, std::future::pending()).await, Turn::Nothing, "once");
    plan.verify().await.unwrap();
}

#[tokio::test]
async fn a_repeat_is_told_the_same_place_and_files_nothing_again() {
    let plan = Plan::open();
    let body = Push::default().by_hand("k1");
    let first = place(&post(&plan, "lab", &body).await);
    assert_eq!(place(&post(&plan, "lab", &body).await), first, "before it is worked on");
    assert_eq!(due(&plan).await, 1);
    work(&plan).await;
    assert_eq!(place(&post(&plan, "lab", &body).await), first, "and after");
    let other = Push { status: "amended", ..Push::default() }.by_hand("k1");
    says(&post(&plan, "lab", &other).await, Code::KeyConflict);
    assert_eq!(due(&plan).await, 0);
    let history = plan.get("lab", "/fhir/Observation/o1/_history").await;
    let history: Value = serde_json::from_slice(history.body()).unwrap();
    assert_eq!(history["entry"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_kill_loses_no_bundle_and_files_none_twice() {
    let plan = Plan::open();
    let place = place(&post(&plan, "guest", &batch()).await);
    let now = plan.road.house.clock(plan.road.clock.now());
    let lease = plan.road.house.claim(now, payer::limits::LEASE, 1).await.unwrap();
    assert!(place.ends_with(&lease[0].work.work.id), "a worker has it, and is killed");
    assert_eq!(take_up(&plan.road, std::future::pending()).await, Turn::Nothing, "it is leased");
    let plan = plan.killed();
    plan.clock.advance(60);
    work(&plan).await;
    assert_eq!(told(&plan, "guest", &place).await.0, "output");
    assert_eq!(take_up(&plan.road, std::future::pending()).await, Turn::Nothing);
    let history = plan.get("guest", "/fhir/Location/l1/_history").await;
    let history: Value = serde_json::from_slice(history.body()).unwrap();
    assert_eq!(history["entry"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_token_did_not_cover_when_it_came_is_not_filed_later() {
    let plan = Plan::open();
    let within = (Method::POST, "/fhir");
    let scope = "system/Organization.cruds";
    let answer = plan.ask_within("guest", scope, within, &batch(), &[JSON, LATER]).await;
    let place = place(&answer);
    work(&plan).await;
    let (_, bundle) = told(&plan, "guest", &place).await;
    let statuses: Vec<_> = bundle["entry"].as_array().unwrap().iter().collect();
    assert_eq!(statuses[0]["response"]["status"], "201 Created", "{bundle}");
    assert!(statuses[1]["response"]["status"].as_str().unwrap().starts_with("403"), "{bundle}");
    assert_eq!(plan.get("guest", "/fhir/Location/l1").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_cannot_be_filed_is_told_at_once_or_where_its_sender_asks() {
    let plan = Plan::open();
    says(&post(&plan, "lab", "[").await, Code::BodyMalformed);
    says(&post(&plan, "platform", &batch()).await, Code::ScopeMissing);
    assert_eq!(due(&plan).await, 0, "what is refused at once waits for nobody");
    // Its sender is refused members who are not found, and another one's are looked for by a person.
    let unknown = Push { member: "W999", ..Push::default() };
    let refused = place(&post(&plan, "rival", &unknown.by_hand("k1")).await);
    work(&plan).await;
    let (list, outcome) = told(&plan, "rival", &refused).await;
    assert_eq!(list, "error");
    assert!(outcome.to_string().contains(Code::MemberUnknown.row().slug), "{outcome}");
    let held = place(&post(&plan, "lab", &unknown.by_hand("k2")).await);
    work(&plan).await;
    let waits = plan.get("lab", &held).await;
    assert_eq!(waits.status(), StatusCode::ACCEPTED);
    assert!(waits.headers()["x-progress"].to_str().unwrap().contains("person"));
    plan.verify().await.unwrap();
}

#[tokio::test]
async fn a_sender_with_many_waiting_is_told_to_come_again() {
    let plan = Plan::open();
    for _ in 0..payer::limits::LATER_MAX {
        place(&post(&plan, "guest", &batch()).await);
    }
    let full = post(&plan, "guest", &batch()).await;
    assert_eq!(full.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(full.headers().contains_key("retry-after"));
    place(&post(&plan, "lab", &Push::default().by_hand("k1")).await);
}
