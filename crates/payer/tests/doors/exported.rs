//! What readers of the plan's own are given of what partners have filed, and nobody else is.

use crate::plan::{Plan, says};
use axum::body::Body;
use bytes::Bytes;
use exchange::export::Export;
use exchange::{Chain, Code, Event};
use fhir::Resource;
use http::{Method, Request, Response, StatusCode};
use payer::worker::{Turn, take_up};
use repository::Loader;
use serde_json::Value;
use std::collections::BTreeMap;
use store::House;

pub(crate) const ASYNC: (&str, &str) = ("prefer", "respond-async");
pub(crate) const JSON: (&str, &str) = ("content-type", "application/fhir+json");

/// Files a record at the time of the plan's clock.
pub(crate) async fn put(plan: &Plan, who: &str, kind: &str, id: &str, name: &str) {
    let body = format!(r#"{{"resourceType":"{kind}","id":"{id}","name":"{name}"}}"#);
    let answer = plan.ask_as(who, Method::PUT, &format!("/fhir/{kind}/{id}"), &body, &[JSON]).await;
    assert!(answer.status().is_success(), "{answer:?}");
}

pub(crate) async fn delete(plan: &Plan, who: &str, place: &str) {
    let answer = plan.ask_as(who, Method::DELETE, &format!("/fhir/{place}"), "", &[]).await;
    assert!(answer.status().is_success(), "{answer:?}");
}

pub(crate) async fn kick_off(plan: &Plan, query: &str) -> Response<Bytes> {
    plan.ask_as("platform", Method::GET, &format!("/fhir/{query}"), "", &[ASYNC]).await
}

/// The place of an export that was taken.
pub(crate) async fn taken(plan: &Plan, query: &str) -> String {
    let answer = kick_off(plan, query).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{query}: {answer:?}");
    answer.headers()["content-location"].to_str().unwrap().to_owned()
}

pub(crate) async fn work(plan: &Plan) {
    assert_eq!(take_up(&plan.road, std::future::pending()).await, Turn::Taken);
}

pub(crate) async fn manifest(plan: &Plan, place: &str) -> Value {
    let answer = plan.get("platform", place).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert!(answer.headers().contains_key("expires"));
    serde_json::from_slice(answer.body()).unwrap()
}

/// The lines of every file of one list, and that each file has as many as it says.
pub(crate) async fn lines(plan: &Plan, manifest: &Value, list: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for file in manifest[list].as_array().unwrap() {
        let answer = plan.get("platform", file["url"].as_str().unwrap()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
        assert_eq!(answer.headers()["content-type"], "application/fhir+ndjson");
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        assert!(text.ends_with('\n'));
        let lines: Vec<Value> =
            text.lines().map(|one| serde_json::from_str(one).unwrap()).collect();
        assert_eq!(file["count"], lines.len(), "{file}");
        let typed = file.get("type").is_some();
        assert!(!typed || lines.iter().all(|line| line["resourceType"] == file["type"]), "{file}");
        all.extend(lines);
    }
    all
}

/// `Type/id/version` of what is exported.
pub(crate) async fn exported(plan: &Plan, query: &str) -> Vec<String> {
    let place = taken(plan, query).await;
    work(plan).await;
    let manifest = manifest(plan, &place).await;
    names(&lines(plan, &manifest, "output").await)
}

pub(crate) fn names(resources: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = |one: &Value| {
        let version = text(&one["meta"]["versionId"]);
        format!("{}/{}/{version}", text(&one["resourceType"]), text(&one["id"]))
    };
    resources.iter().map(name).collect()
}

/// Two partners' records, an older version, and one that is gone.
async fn stocked() -> Plan {
    stocked_in(Plan::open()).await
}

async fn stocked_in(plan: Plan) -> Plan {
    let text = [
        r#"{"resourceType":"Patient","id":"p1"}"#,
        "{\"resourceType\":\"Observation\",\r\n \"id\":\"o1\",\n\"subject\":{\"reference\":\"Patient/p1\"},\"note\":[{\"text\":\"a\\nb\"}]}",
        r#"{"resourceType":"Binary","id":"b1","contentType":"text/plain"}"#,
    ];
    for (owner, text) in [("clinic", text[0]), ("mercy", text[1]), ("clinic", text[2])] {
        let loader = Loader { house: &plan.road.house, owner: owner.into(), receipt: "s".into() };
        let one = Resource::parse(text.as_bytes().to_vec()).unwrap();
        loader.load("2026-11-22T11:00:00Z".parse().unwrap(), vec![one]).await.unwrap();
    }
    put(&plan, "guest", "Location", "l1", "first").await;
    put(&plan, "guest", "Location", "gone", "first").await;
    plan.clock.advance(60);
    put(&plan, "guest", "Location", "l1", "second").await;
    delete(&plan, "guest", "Location/gone").await;
    plan.clock.advance(60);
    plan
}

const ALL: [&str; 4] = ["Binary/b1/1", "Location/l1/2", "Observation/o1/1", "Patient/p1/1"];

/// Proves: bulk 13-14, 20-22, 24-25, 28, 132, 144-145, 147-148, 150-152, 155-157, 159-162, 164-166, 168-170, 175, 178, 191-192, 204, 206-209, 223, 227, 299-301, 310
#[tokio::test]
async fn a_reader_is_given_what_all_partners_have_filed() {
    let plan = is_given_all(stocked().await).await;
    assert_eq!(take_up(&plan.road, std::future::pending()).await, Turn::Nothing);
}

async fn is_given_all(plan: Plan) -> Plan {
    let place = taken(&plan, "$export?_outputFormat=ndjson").await;
    assert!(place.starts_with("https://plan.example/fhir/"), "{place}");
    let waits = plan.get("platform", &place).await;
    assert_eq!(waits.status(), StatusCode::ACCEPTED);
    assert!(waits.headers()["x-progress"].len() < 100);
    assert!(waits.headers().contains_key("retry-after"));
    let hurried = plan.get("platform", &place).await;
    says(&hurried, Code::RateExceeded);
    assert_eq!(hurried.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(hurried.headers().contains_key("retry-after"));
    plan.clock.advance(2);
    assert_eq!(plan.get("platform", &place).await.status(), StatusCode::ACCEPTED);
    work(&plan).await;
    let told = manifest(&plan, &place).await;
    assert_eq!(told["transactionTime"], "2026-11-22T12:02:01.999Z");
    assert_eq!(told["request"], "https://plan.example/fhir/$export?_outputFormat=ndjson");
    assert_eq!(told["requiresAccessToken"], true);
    assert_eq!((&told["error"], &told["deleted"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    for file in told["output"].as_array().unwrap() {
        let url = file["url"].as_str().unwrap();
        assert!(
            file["type"].is_string() && url.starts_with("https://plan.example/fhir/"),
            "{file}"
        );
    }
    let lines = lines(&plan, &told, "output").await;
    assert_eq!(names(&lines), ALL);
    assert_eq!(lines[2]["note"][0]["text"], "a\nb", "a text keeps its lines");
    plan
}

/// Proves: bulk 29, 32, 47, 49, 51-53, 59, 62, 158, 225, 231, 234, 272-274, 297
#[tokio::test]
async fn what_is_asked_for_is_given_and_no_more() {
    is_given_what_is_asked_for(stocked().await).await;
}

async fn is_given_what_is_asked_for(plan: Plan) {
    let table: [(&str, &[&str]); 12] = [
        ("$export?_type=Patient,Location", &[ALL[1], ALL[3]]),
        ("$export?_type=Patient&_type=Location", &[ALL[1], ALL[3]]),
        ("$export?_type=Immunization", &[]),
        ("$export?_since=2026-11-22T11:30:00Z", &[ALL[1]]),
        ("$export?_since=2026-11-22T12:00:00%2B00:00", &[ALL[1]]),
        ("$export?_until=2026-11-22T11:30:00Z", &[ALL[0], ALL[2], ALL[3]]),
        ("$export?_outputFormat=application/fhir%2Bndjson&_type=Patient", &[ALL[3]]),
        ("$export?_outputFormat=application/fhir+ndjson&_type=Patient", &[ALL[3]]),
        ("$export?_outputFormat=application/ndjson&_type=Patient", &[ALL[3]]),
        ("$export?_outputFormat=ndjson&_type=Patient", &[ALL[3]]),
        ("Patient/$export", &[ALL[1], ALL[2], ALL[3]]),
        ("Patient/$export?_type=Patient,Location", &[ALL[1], ALL[3]]),
    ];
    for (query, expected) in table {
        assert_eq!(exported(&plan, query).await, expected, "{query}");
    }
    let body = r#"{"resourceType":"Parameters","parameter":[
        {"name":"_type","valueString":"Patient"},{"name":"_type","valueString":"Observation"},
        {"name":"_since","valueInstant":"2026-11-22T10:00:00Z"}]}"#;
    let path = "/fhir/$export";
    let answer = plan.ask_as("platform", Method::POST, path, body, &[ASYNC, JSON]).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{answer:?}");
    work(&plan).await;
    let place = answer.headers()["content-location"].to_str().unwrap();
    let told = manifest(&plan, place).await;
    assert_eq!(told["request"], "https://plan.example/fhir/$export", "what was posted is no part");
    assert_eq!(names(&lines(&plan, &told, "output").await), [ALL[2], ALL[3]]);
}

/// Proves: bulk 180-181, 186-190
#[tokio::test]
async fn what_was_taken_back_is_told_to_whoever_asks_for_changes() {
    is_told_what_was_taken_back(stocked().await).await;
}

async fn is_told_what_was_taken_back(plan: Plan) {
    let place = taken(&plan, "$export?_since=2026-11-22T12:00:30Z&_type=Location").await;
    work(&plan).await;
    let told = manifest(&plan, &place).await;
    assert_eq!(names(&lines(&plan, &told, "output").await), ["Location/l1/2"]);
    let gone = lines(&plan, &told, "deleted").await;
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0]["type"], "transaction");
    let request = &gone[0]["entry"][0]["request"];
    assert_eq!((&request["method"], &request["url"]), (&"DELETE".into(), &"Location/gone".into()));
}

/// Proves: bulk 154, 202
#[tokio::test]
async fn the_files_of_an_export_are_those_of_its_moment_whatever_comes_later() {
    keeps_its_moment(stocked().await).await;
}

/// The four above.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_database_server_an_export_is_the_same() {
    // Each in a database of its own, which ends with it.
    let Some(database) = testdb::Server::shared() else { return };
    is_given_all(stocked_in(Plan::in_postgres(database.url()).await).await).await;
    let Some(database) = testdb::Server::shared() else { return };
    is_given_what_is_asked_for(stocked_in(Plan::in_postgres(database.url()).await).await).await;
    let Some(database) = testdb::Server::shared() else { return };
    is_told_what_was_taken_back(stocked_in(Plan::in_postgres(database.url()).await).await).await;
    let Some(database) = testdb::Server::shared() else { return };
    keeps_its_moment(stocked_in(Plan::in_postgres(database.url()).await).await).await;
}

async fn keeps_its_moment(plan: Plan) {
    let place = taken(&plan, "$export").await;
    work(&plan).await;
    let told = manifest(&plan, &place).await;
    let before = lines(&plan, &told, "output").await;
    plan.clock.advance(60);
    put(&plan, "guest", "Location", "l1", "third").await;
    put(&plan, "guest", "Location", "l0", "new").await;
    plan.clock.advance(60);
    delete(&plan, "guest", "Location/l1").await;
    put(&plan, "guest", "Location", "gone", "back").await;
    assert_eq!(lines(&plan, &told, "output").await, before);
    let since = told["transactionTime"].as_str().unwrap();
    plan.clock.advance(1);
    let place = taken(&plan, &format!("$export?_since={since}")).await;
    work(&plan).await;
    let next = manifest(&plan, &place).await;
    let changed = names(&lines(&plan, &next, "output").await);
    assert_eq!(
        changed,
        ["Location/gone/3", "Location/l0/1"],
        "and the next takes up where it ended"
    );
    assert_eq!(lines(&plan, &next, "deleted").await.len(), 1);
}

#[tokio::test]
async fn many_records_are_given_once_each_and_in_order() {
    let plan = Plan::open();
    let one = |number: usize| {
        let text = format!(r#"{{"resourceType":"Patient","id":"p{number:05}"}}"#);
        Resource::parse(text.into_bytes()).unwrap()
    };
    let loader = Loader { house: &plan.road.house, owner: "clinic".into(), receipt: "s".into() };
    for hour in ["10", "11"] {
        let at = format!("2026-11-22T{hour}:00:00Z").parse().unwrap();
        let all = (0..2_300).map(one).filter(|_| true);
        let some: Vec<_> = if hour == "10" { all.collect() } else { all.skip(2_200).collect() };
        loader.load(at, some).await.unwrap();
    }
    let found = exported(&plan, "$export").await;
    let ids: Vec<_> = (0..2_300).map(|number| format!("Patient/p{number:05}/")).collect();
    assert_eq!(found.len(), ids.len());
    assert!(found.iter().zip(&ids).all(|(found, id)| found.starts_with(id.as_str())));
}

/// Proves: bulk 303-304
#[tokio::test]
async fn a_kick_off_that_cannot_be_met_is_refused_in_words() {
    let plan = stocked().await;
    let get = |path: &'static str, code| (path, Method::GET, "", vec![ASYNC], code);
    let table = [
        ("/fhir/$export", Method::GET, "", vec![], Code::ParameterInvalid),
        (
            "/fhir/$export",
            Method::GET,
            "",
            vec![("prefer", "return=minimal")],
            Code::ParameterInvalid,
        ),
        (
            "/fhir/$export",
            Method::GET,
            "",
            vec![ASYNC, ("accept", "text/html")],
            Code::NotAcceptable,
        ),
        ("/fhir/$export", Method::PUT, "", vec![ASYNC], Code::InteractionUnsupported),
        ("/fhir/$export", Method::DELETE, "", vec![ASYNC], Code::InteractionUnsupported),
        ("/fhir/$export", Method::POST, "[", vec![ASYNC, JSON], Code::BodyMalformed),
        (
            "/fhir/$export",
            Method::POST,
            "a",
            vec![ASYNC, ("content-type", "text/plain")],
            Code::MediaTypeUnsupported,
        ),
        get("/fhir/$export?_outputFormat=csv", Code::ParameterInvalid),
        get("/fhir/$export?_outputFormat=application/fhir%2Bparquet", Code::ParameterInvalid),
        get("/fhir/$export?_type=Sandwich", Code::ParameterInvalid),
        get("/fhir/$export?_type=patient", Code::ParameterInvalid),
        get("/fhir/$export?_type=HumanName", Code::ParameterInvalid),
        get("/fhir/$export?_type=", Code::ParameterInvalid),
        get("/fhir/$export?_type=Patient,", Code::ParameterInvalid),
        get("/fhir/$export?_since=2026", Code::ParameterInvalid),
        get("/fhir/$export?_since=yesterday", Code::ParameterInvalid),
        get("/fhir/$export?_since=2026-11-22T10:00:00", Code::ParameterInvalid),
        get("/fhir/$export?_since=2999-01-01T00:00:00Z", Code::ParameterInvalid),
        get(
            "/fhir/$export?_since=2020-01-01T00:00:00Z&_since=2021-01-01T00:00:00Z",
            Code::ParameterInvalid,
        ),
        get(
            "/fhir/$export?_since=2021-01-01T00:00:00Z&_until=2020-01-01T00:00:00Z",
            Code::ParameterInvalid,
        ),
        get("/fhir/$export?_elements=Patient.mood", Code::ParameterInvalid),
        get("/fhir/$export?_typeFilter=Patient%3Factive%3Dtrue", Code::ParameterUnsupported),
        get("/fhir/$export?_typeFilter=Patient", Code::ParameterInvalid),
        get("/fhir/$export?_typeFilter=Patient%3F_sort%3Dname", Code::ParameterInvalid),
        get("/fhir/$export?_type=Location&_typeFilter=Patient%3F_id%3Dp1", Code::ParameterInvalid),
        get("/fhir/$export?includeAssociatedData=_all", Code::ParameterUnsupported),
        get("/fhir/$export?organizeOutputBy=Encounter", Code::ParameterUnsupported),
        get(
            "/fhir/$export?organizeOutputBy=Patient&includeAssociatedData=LatestProvenanceResources",
            Code::ParameterUnsupported,
        ),
        get("/fhir/$export?allowPartialManifests=perhaps", Code::ParameterInvalid),
        get("/fhir/$export?_maximumFileSize=5", Code::ParameterUnsupported),
        get("/fhir/$export?patient=Patient/p1", Code::ParameterInvalid),
        get("/fhir/Patient/$export?patient=Patient/p9", Code::ParameterInvalid),
        get("/fhir/Patient/$export?patient=Location/l1", Code::ParameterInvalid),
        get("/fhir/Patient/$export?patient=", Code::ParameterInvalid),
        get("/fhir/$export?mood=good", Code::ParameterUnsupported),
        get("/fhir/Patient/$export?_type=Location", Code::ParameterInvalid),
        get("/fhir/Group/g1/$export", Code::ResourceUnknown),
        get("/fhir/Observation/$export", Code::InteractionUnsupported),
    ];
    for (path, method, body, headers, code) in table {
        let case = format!("{method} {path} {headers:?}");
        let answer = plan.ask_as("platform", method, path, body, &headers).await;
        assert!(answer.status().is_client_error(), "{case}: {answer:?}");
        let told = String::from_utf8_lossy(answer.body()).into_owned();
        let outcome: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(outcome["resourceType"], "OperationOutcome", "{case}");
        assert!(told.contains(code.row().slug), "{case}: {told}");
        assert!(
            !told.contains("p1") && !told.contains("good"),
            "{case}: no value is quoted: {told}"
        );
    }
    assert_eq!(
        take_up(&plan.road, std::future::pending()).await,
        Turn::Nothing,
        "none of them began"
    );
}

/// Proves: bulk 142-143, 193, 196
#[tokio::test]
async fn leniency_passes_over_what_is_not_understood_and_says_so_but_never_widens_to_others() {
    let plan = stocked().await;
    let lenient = [("prefer", "respond-async, handling=lenient")];
    let path = "/fhir/$export?_elements=mood&_type=Patient,Sandwich&mood=R-12345";
    let answer = plan.ask_as("platform", Method::GET, path, "", &lenient).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{answer:?}");
    work(&plan).await;
    let told = manifest(&plan, answer.headers()["content-location"].to_str().unwrap()).await;
    assert_eq!(names(&lines(&plan, &told, "output").await), [ALL[3]]);
    let said = lines(&plan, &told, "error").await;
    assert_eq!(said.len(), 3);
    assert_eq!(told["error"][0]["type"], "OperationOutcome", "{told}");
    let said = format!("{said:?}{}", told["request"]);
    assert!(
        said.contains("_elements") && said.contains("mood") && !said.contains("R-12345"),
        "{said}"
    );
    let path = "/fhir/$export?patient=Patient/p1";
    let refused = plan.ask_as("platform", Method::GET, path, "", &lenient).await;
    says(&refused, Code::ParameterInvalid);
    let path = "/fhir/Patient/$export?patient=Patient/nobody";
    let answer = plan.ask_as("platform", Method::GET, path, "", &lenient).await;
    work(&plan).await;
    let told = manifest(&plan, answer.headers()["content-location"].to_str().unwrap()).await;
    assert_eq!(told["output"], Value::Array(vec![]), "nobody's records are given for nobody");
    assert_eq!(lines(&plan, &told, "error").await.len(), 1);
}

/// Proves: bulk 5, 210, 308
#[tokio::test]
async fn an_export_is_its_own_readers_and_no_partners() {
    let plan = stocked().await;
    for partner in ["clinic", "guest", "nobody"] {
        let path = "/fhir/$export";
        let answer = plan.ask_as(partner, Method::GET, path, "", &[ASYNC]).await;
        says(&answer, Code::ScopeMissing);
    }
    let place = taken(&plan, "$export").await;
    work(&plan).await;
    let told = manifest(&plan, &place).await;
    let file = told["output"][0]["url"].as_str().unwrap();
    for other in ["warehouse", "clinic", "guest", "nobody"] {
        for url in [place.as_str(), file] {
            says(&plan.get(other, url).await, Code::StatusUnknown);
        }
        let path = place.strip_prefix("https://plan.example").unwrap();
        let answer = plan.ask_as(other, Method::DELETE, path, "", &[]).await;
        says(&answer, Code::StatusUnknown);
    }
    assert_eq!(manifest(&plan, &place).await, told, "and nobody else has ended it");
    for name in ["none.ndjson", "messages.ndjson", "Patient.2.ndjson", ".."] {
        let answer = plan.get("platform", &format!("{place}/{name}")).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{name}: {answer:?}");
    }
    let write = plan.ask_as("platform", Method::PUT, "/fhir/Location/l1", "{}", &[JSON]).await;
    says(&write, Code::ScopeMissing);
    let found = plan.get("platform", "/fhir/Observation/o1").await;
    assert_eq!(found.status(), StatusCode::OK, "a reader reads what any partner has filed");
    assert_eq!(plan.get("clinic", "/fhir/Observation/o1").await.status(), StatusCode::NOT_FOUND);
}

/// Proves: bulk 5, 9, 27, 63, 226
#[tokio::test]
async fn a_token_for_some_types_is_given_those_and_asks_for_no_others() {
    let plan = stocked().await;
    let asks = async |path: &str| {
        let scope = "system/Patient.rs system/Location.rs";
        plan.ask_within("platform", scope, (Method::GET, path), "", &[ASYNC]).await
    };
    let answer = asks("/fhir/$export").await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{answer:?}");
    work(&plan).await;
    let place = answer.headers()["content-location"].to_str().unwrap();
    let told = manifest(&plan, place).await;
    assert_eq!(names(&lines(&plan, &told, "output").await), [ALL[1], ALL[3]]);
    says(&asks("/fhir/$export?_type=Patient,Observation").await, Code::ScopeMissing);
    let all = taken(&plan, "$export").await;
    work(&plan).await;
    let told = manifest(&plan, &all).await;
    for file in told["output"].as_array().unwrap() {
        let url = file["url"].as_str().unwrap().strip_prefix("https://plan.example").unwrap();
        let may = ["Patient", "Location"].contains(&file["type"].as_str().unwrap());
        let nobodys = Request::get(url).body(Body::empty()).unwrap();
        let answer = plan.ask(nobodys).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{file}");
        assert_eq!(asks(url).await.status() == StatusCode::OK, may, "{file}");
    }
}

/// Proves: bulk 122, 136-137, 305-306, 309
#[tokio::test]
async fn an_export_ends_when_its_reader_says_so_or_its_time_is_over() {
    let plan = stocked().await;
    let end = async |place: &str| {
        let path = place.strip_prefix("https://plan.example").unwrap();
        plan.ask_as("platform", Method::DELETE, path, "", &[]).await
    };
    let (waiting, ready) = (taken(&plan, "$export").await, taken(&plan, "$export").await);
    says(&kick_off(&plan, "$export").await, Code::RateExceeded);
    assert_eq!(end(&waiting).await.status(), StatusCode::ACCEPTED, "before it is listed");
    says(&plan.get("platform", &waiting).await, Code::StatusUnknown);
    work(&plan).await;
    let told = manifest(&plan, &ready).await;
    assert_eq!(end(&ready).await.status(), StatusCode::ACCEPTED);
    for place in [&ready, told["output"][0]["url"].as_str().unwrap()] {
        let answer = plan.get("platform", place).await;
        says(&answer, Code::StatusUnknown);
        let media = answer.headers()["content-type"].to_str().unwrap();
        assert!(media.starts_with("application/fhir+json"), "{media}");
    }
    says(&end(&ready).await, Code::StatusUnknown);
    let kept = taken(&plan, "$export").await;
    work(&plan).await;
    plan.clock.advance(24 * 3600 - 1);
    manifest(&plan, &kept).await;
    plan.clock.advance(1);
    says(&plan.get("platform", &kept).await, Code::StatusUnknown);
    work(&plan).await;
    assert_eq!(take_up(&plan.road, std::future::pending()).await, Turn::Nothing);
    rows_are_what_their_lines_add_up_to(&plan).await;
    let story = plan.road.house.story(&Chain::House).await.unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in story {
        let word = match entry.event().unwrap() {
            Event::ExportAsked { reader, .. } => format!("asked by {reader}"),
            Event::ExportReady { files, .. } => format!("ready with {}", files.len()),
            Event::ExportEnded { expired, .. } => format!("expired: {expired}"),
            _ => continue,
        };
        *counts.entry(word).or_default() += 1;
    }
    let expected = [
        ("asked by platform", 3),
        ("expired: false", 2),
        ("expired: true", 1),
        ("ready with 4", 2),
    ];
    assert_eq!(counts, expected.map(|(word, count)| (word.to_owned(), count)).into());
}

pub(crate) async fn rows_are_what_their_lines_add_up_to(plan: &Plan) {
    let mut exports: BTreeMap<String, Export> = BTreeMap::new();
    for entry in plan.road.house.story(&Chain::House).await.unwrap() {
        let event = entry.event().unwrap();
        match event.export().and_then(|id| exports.get_mut(id)) {
            Some(export) => export.apply(entry.at, &event),
            None => exports.extend(Export::begin(entry.at, &event).map(|it| (it.id.clone(), it))),
        }
    }
    assert!(!exports.is_empty());
    for (id, export) in exports {
        let row = plan.road.house.work(&id).await.unwrap().unwrap();
        assert_eq!(serde_json::from_slice::<Export>(&row.work.body).unwrap(), export);
        assert_eq!((row.work.due, row.work.state.as_str()), (export.due(), export.state_word()));
    }
}

#[tokio::test]
async fn a_kill_loses_no_export() {
    let plan = stocked().await;
    let asked = taken(&plan, "$export").await;
    let ready = taken(&plan, "$export?_type=Patient").await;
    // One worker has taken the first one up, and is killed with it; another lists the second.
    let now = plan.road.house.clock(plan.road.clock.now());
    let lease = plan.road.house.claim(now, payer::limits::LEASE, 1).await.unwrap();
    assert!(asked.ends_with(&lease[0].work.work.id));
    work(&plan).await;
    assert_eq!(take_up(&plan.road, std::future::pending()).await, Turn::Nothing, "it is leased");
    let told = manifest(&plan, &ready).await;
    let plan = plan.killed();
    plan.clock.advance(121);
    assert_eq!(manifest(&plan, &ready).await, told);
    assert_eq!(names(&lines(&plan, &told, "output").await), [ALL[3]]);
    work(&plan).await;
    let told = manifest(&plan, &asked).await;
    assert_eq!(names(&lines(&plan, &told, "output").await), ALL);
    rows_are_what_their_lines_add_up_to(&plan).await;
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_gives_back_what_it_has_taken_up() {
    let plan = stocked().await;
    let place = taken(&plan, "$export").await;
    assert_eq!(take_up(&plan.road, std::future::ready(())).await, Turn::Stopped);
    assert_eq!(plan.get("platform", &place).await.status(), StatusCode::ACCEPTED);
    work(&plan).await;
    manifest(&plan, &place).await;
}
