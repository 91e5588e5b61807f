//! Goal: what was written comes back to whoever asks for it, within bounds.
//!
//! How: the stranger `lab` asks for representations at a plan's door.

use crate::plan::Plan;
use bytes::Bytes;
use http::Response;
use payer::limits::REPRESENTATIONS_BYTES_MAX;
use serde_json::{Value, json};

const PREFER: (&str, &str) = ("prefer", "return=representation");
const FHIR: (&str, &str) = ("content-type", "application/fhir+json");

fn practitioner(id: &str, bytes: usize) -> Value {
    json!({
        "resourceType": "Practitioner", "id": id,
        "identifier": [{ "system": "urn:npi", "value": id }],
        "name": [{ "text": "x".repeat(bytes) }],
    })
}

fn body(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or(Value::Null)
}

/// The status of each entry, and whether a record came with it.
fn entries(answer: &Response<Bytes>) -> Vec<(String, bool)> {
    let told = body(answer);
    let entries = told["entry"].as_array().unwrap_or_else(|| panic!("{told}")).iter();
    let one = |entry: &Value| {
        let status = entry["response"]["status"].as_str().unwrap();
        (status[..3].to_owned(), entry.get("resource").is_some())
    };
    entries.map(one).collect()
}

#[tokio::test]
async fn an_answer_gives_so_much_back_and_says_the_rest_in_brief() {
    let plan = Plan::open();
    let large = practitioner("large", REPRESENTATIONS_BYTES_MAX / 2);
    let filed = plan.write("lab", "PUT", "Practitioner/large", &[], Some(large.to_string())).await;
    assert_eq!(filed.status(), 201);
    let small = practitioner("small", 1);
    let again = json!({
        "resource": { "resourceType": "Practitioner" },
        "request": {
            "method": "POST", "url": "Practitioner", "ifNoneExist": "identifier=urn:npi|large",
        },
    });
    let new = json!({
        "resource": small, "request": { "method": "PUT", "url": "Practitioner/small" },
    });
    let mut asked = vec![again; 40];
    asked.insert(1, new.clone());
    asked.push(new);
    asked[41]["resource"]["id"] = "last".into();
    asked[41]["request"]["url"] = "Practitioner/last".into();
    let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": asked });
    let post = http::Method::POST;
    let answer = plan.ask_as("lab", post, "/fhir", &bundle.to_string(), &[PREFER, FHIR]).await;
    let told = entries(&answer);
    assert!(answer.body().len() < REPRESENTATIONS_BYTES_MAX + REPRESENTATIONS_BYTES_MAX / 4);
    let with: Vec<_> = told.iter().map(|(_, with)| *with).collect();
    assert_eq!(with[..4], [true, true, true, false], "the one that reaches the bound is the last");
    assert!(!with[3..].contains(&true), "and what fits behind it does not come out of turn");
    assert_eq!(told[41].0, "201", "all the same it is filed");
    assert!(told[2..41].iter().all(|(status, _)| status == "200"));

    let put = plan.write("lab", "PUT", "Practitioner/large", &[PREFER], Some(large.to_string()));
    assert_eq!(body(&put.await)["id"], "large", "one record always fits");
}

#[tokio::test]
async fn who_may_not_read_a_record_does_not_get_it_back_for_writing_one() {
    let plan = Plan::open();
    let one = practitioner("one", 1).to_string();
    assert_eq!(plan.write("lab", "PUT", "Practitioner/one", &[], Some(one)).await.status(), 201);
    let organization = json!({
        "resource": { "resourceType": "Organization", "id": "o" },
        "request": { "method": "PUT", "url": "Organization/o" },
    });
    let again = json!({
        "resource": { "resourceType": "Practitioner" },
        "request": {
            "method": "POST", "url": "Practitioner", "ifNoneExist": "identifier=urn:npi|one",
        },
    });
    let entries = [again, organization];
    let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries });
    let new = json!({ "resourceType": "Practitioner" }).to_string();
    let if_none = ("if-none-exist", "identifier=urn:npi|one");
    let table = [
        ("system/Practitioner.c system/Organization.cru", false, true),
        ("system/Practitioner.cs system/Organization.cu", false, false),
        ("system/Practitioner.cr system/Organization.cu", true, false),
        ("system/*.cruds", true, true),
    ];
    for (scope, practitioner, organization) in table {
        let ask = async |path: &str, body: &str, headers: &[(&str, &str)]| {
            plan.ask_within("lab", scope, (http::Method::POST, path), body, headers).await
        };
        let single = ask("/fhir/Practitioner", &new, &[PREFER, FHIR, if_none]).await;
        assert_eq!(single.status(), 200, "{scope}");
        assert_eq!(!single.body().is_empty(), practitioner, "{scope}");
        let told = entries_with(&ask("/fhir", &bundle.to_string(), &[PREFER, FHIR]).await);
        assert_eq!(told, [practitioner, organization], "{scope}");
    }
}

fn entries_with(answer: &Response<Bytes>) -> Vec<bool> {
    entries(answer).into_iter().map(|(_, with)| with).collect()
}
