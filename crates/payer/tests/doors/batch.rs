//! Goal: each entry of a batch stands or falls alone: what is wrong with one, or with the person it
//! is about, is no reason to refuse another, and none is filed on the strength of another.
//!
//! How: `rival`, whom the plan refuses members that it does not know, and `lab`, for whom a person
//! looks first.

use crate::bundles::{bundle, entry, observation, patient, practitioner, stands, told, with};
use crate::plan::{Plan, says};
use exchange::Code;
use http::Response;
use serde_json::{Value, json};

type Answer = Response<bytes::Bytes>;

fn put(resource: Value) -> Value {
    let kind = resource["resourceType"].as_str().unwrap();
    let url = format!("{kind}/{}", resource["id"].as_str().unwrap());
    entry("PUT", &url, Some(resource))
}

async fn send(plan: &Plan, client: &str, entries: &[Value]) -> Answer {
    plan.post(client, bundle("batch", entries.to_vec())).await
}

/// A plan where `rival` has filed Ada, who is a member, as `Patient/p`.
async fn with_ada() -> Plan {
    let plan = Plan::open();
    let filed = send(&plan, "rival", &[put(patient("p", "W100"))]).await;
    assert_eq!(told(&filed), ["201"]);
    plan
}

async fn status(plan: &Plan, record: &str) -> u16 {
    plan.get("rival", &format!("/fhir/{record}")).await.status().as_u16()
}

#[tokio::test]
async fn who_is_no_member_takes_along_what_is_about_them_and_nothing_else() {
    let plan = Plan::open();
    let mut other_name = patient("q", "W100");
    other_name["name"][0]["family"] = "Nobody".into();
    let mut answers = Vec::new();
    for (case, who) in [("no such id", patient("q", "W999")), ("another name", other_name)] {
        let entries = [
            put(practitioner("d", case)),
            put(who),
            put(observation("o", "Patient/q")),
            entry("DELETE", "Practitioner/none", None),
        ];
        let answer = send(&plan, "rival", &entries).await;
        let told = told(&answer);
        assert_eq!(told[1..], ["member-unknown", "member-unknown", "204"], "{case}");
        assert!(["201", "200"].contains(&told[0].as_str()), "{case}: {told:?}");
        let filed = stands(&plan, "rival", "Practitioner/d").await;
        assert_eq!(filed["identifier"][0]["value"], case);
        assert_eq!(status(&plan, "Patient/q").await, 404, "{case}");
        assert_eq!(status(&plan, "Observation/o").await, 404, "{case}");
        let bundle: Value = serde_json::from_slice(answer.body()).unwrap();
        answers.push((bundle["entry"][1].clone(), bundle["entry"][2].clone()));
    }
    assert_eq!(answers[0], answers[1], "which of id and name is wrong is not told");
    assert_eq!(plan.verify().await, Ok(()));

    // Where nothing of it can be filed, the plan's own people read why.
    let mut wrong = patient("q", "W100");
    wrong["birthDate"] = "1999-09-09".into();
    assert_eq!(told(&send(&plan, "rival", &[put(wrong)]).await), ["member-unknown"]);
    assert_eq!(plan.told().await.0.code, Code::MemberMismatch);
}

#[tokio::test]
async fn where_a_person_looks_first_a_batch_waits_as_a_whole() {
    let plan = Plan::open();
    let entries = [put(practitioner("d", "1")), put(patient("q", "W999"))];
    says(&send(&plan, "lab", &entries).await, Code::MemberHeld);
    assert_eq!(plan.get("lab", "/fhir/Practitioner/d").await.status(), 404);
}

#[tokio::test]
async fn whom_a_batch_is_about_is_decided_by_what_stands() {
    let plan = with_ada().await;
    let taken = send(&plan, "lab", &[put(patient("x", "W100"))]).await;
    assert_eq!(told(&taken), ["201"]);
    let stale = with(put(patient("y", "W100")), "/request/ifMatch", "W/\"9\"");
    let table = [
        (put(observation("a", "Patient/none")), "reference-unresolved"),
        (put(observation("a", "Patient?identifier=urn:plan|none")), "reference-unresolved"),
        (put(patient("q", "W999")), "member-unknown"),
        (put(patient("x", "W100")), "record-owned-by-another"),
        (stale, "version-conflict"),
    ];
    for (number, (first, refused)) in table.into_iter().enumerate() {
        let good = put(observation(&format!("o{number}"), "Patient/p"));
        let told = told(&send(&plan, "rival", &[first, good]).await);
        assert_eq!(told, [refused, "201"], "{number}");
    }
    // A batch is about one, still.
    let entries = [put(patient("r", "W100")), put(observation("o", "Patient/p"))];
    assert_eq!(told(&send(&plan, "rival", &entries).await), ["201", "entry-invalid"]);
}

#[tokio::test]
async fn nothing_is_filed_without_a_member_because_its_neighbour_is_refused() {
    let plan = with_ada().await;
    let nowhere = || put(observation("a", "Patient/none"));
    let nobodys = json!({ "resourceType": "Encounter", "id": "b", "status": "finished" });
    let told_of = async |entries: &[Value]| told(&send(&plan, "rival", entries).await);
    assert_eq!(
        told_of(&[nowhere(), put(nobodys.clone())]).await,
        ["reference-unresolved", "member-not-named"]
    );
    assert_eq!(
        told_of(&[put(patient("q", "W999")), put(nobodys)]).await,
        ["member-unknown", "member-unknown"]
    );
    assert_eq!(status(&plan, "Encounter/b").await, 404);

    // What says why records are taken back brings no other along.
    let provenance = |contained: Value| {
        let mut one = json!({
            "resourceType": "Provenance", "id": "v", "recorded": "2026-11-22T10:00:00Z",
            "target": [{ "reference": "Practitioner/x" }], "agent": [{ "who": { "display": "R" } }],
        });
        if !contained.is_null() {
            one["contained"] = contained;
        }
        put(one)
    };
    let gone = || entry("DELETE", "Practitioner/x", None);
    let smuggled = provenance(json!([{ "resourceType": "Observation", "id": "o" }]));
    assert_eq!(
        told_of(&[nowhere(), gone(), smuggled]).await,
        ["reference-unresolved", "204", "member-not-named"]
    );
    assert_eq!(
        told_of(&[nowhere(), gone(), provenance(Value::Null)]).await,
        ["reference-unresolved", "204", "201"]
    );
}
