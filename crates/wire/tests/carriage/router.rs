//! Goal: each request leads to exactly one call or one refusal, with the right status and an
//! `OperationOutcome`.
//!
//! How: the router in memory, mounted below a path as a house does it; one row per request.

use crate::town::{PATIENT, Records, SCOPES, SetClock, credential, gate, token};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use exchange::Issue;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;
use wire::api::Api;
use wire::limits::{BODIES_WORK_MAX, BODY_BYTES_MAX};
use wire::rest::{Room, Rooms, mount, mount_all};
use wire::{BoxFuture, Caller, Gate, SigningKey};

const BASE: &str = "https://plan.example/fhir";

struct Desk {
    records: Arc<Records>,
    gate: Arc<Gate>,
    key: SigningKey,
    router: Router,
}

impl Desk {
    fn open() -> Desk {
        let key = SigningKey::generate().unwrap();
        let gate = gate(BASE, vec![credential("clinic", &key, SCOPES)], &SetClock::new());
        let records = Arc::new(Records::default());
        let router = wire::rest::router(records.clone(), gate.clone());
        Desk { records, gate, key, router: mount("/fhir", router) }
    }

    async fn token(&self, scope: &str) -> String {
        format!("Bearer {}", token(&self.gate, "clinic", &self.key, scope).await)
    }

    async fn ask(&self, request: Request<Body>) -> Response<Bytes> {
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }
}

fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

fn code(answer: &Response<Bytes>) -> String {
    let outcome: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    assert_eq!(outcome["resourceType"], "OperationOutcome", "{:?}", answer.body());
    let issue = &outcome["issue"][0];
    assert!(issue["diagnostics"].as_str().unwrap().contains("Next: "), "no way forward");
    issue["details"]["coding"][0]["code"].as_str().unwrap().to_owned()
}

/// Proves: smart 247, 372
#[tokio::test]
async fn open_places_need_no_token() {
    let desk = Desk::open();
    let table = [
        ("/fhir/metadata", "", "CapabilityStatement"),
        ("/fhir/$versions", "", r#""valueCode":"4.0""#),
        ("/fhir/$versions", "application/json", r#"{"versions":["4.0"],"default":"4.0"}"#),
        ("/fhir/.well-known/smart-configuration", "", r#""https://plan.example/fhir/token""#),
        ("/fhir/healthz", "", "ok"),
    ];
    for (path, accept, part) in table {
        let answer = desk.ask(request("GET", path, &[("accept", accept)], "")).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert!(String::from_utf8_lossy(answer.body()).contains(part), "{path}");
        let head = desk.ask(request("HEAD", path, &[("accept", accept)], "")).await;
        assert_eq!((head.status(), head.body().len()), (StatusCode::OK, 0), "HEAD {path}");
        assert_eq!(head.headers()["content-length"], answer.body().len().to_string(), "{path}");
        let post = desk.ask(request("DELETE", path, &[], "")).await;
        assert_eq!(
            (post.status().as_u16(), code(&post).as_str()),
            (405, "interaction-unsupported")
        );
    }
    assert!(desk.records.calls().is_empty());
}

#[tokio::test]
async fn a_stranger_learns_which_documents_there_are() {
    let desk = Desk::open();
    for path in ["udap", "davinci-configuration", "", "a/b"] {
        let answer = desk.ask(request("GET", &format!("/fhir/.well-known/{path}"), &[], "")).await;
        assert_eq!((answer.status().as_u16(), code(&answer).as_str()), (404, "resource-unknown"));
    }
    assert!(desk.records.calls().is_empty());
}

/// Proves: smart 94, 247
#[tokio::test]
async fn everything_else_needs_one() {
    let desk = Desk::open();
    let rows = [
        ("POST", "/fhir"),
        ("POST", "/fhir/"),
        ("GET", "/fhir/Patient/1"),
        ("GET", "/fhir/Patient"),
        ("GET", "/fhir/Patient/1/_history"),
        ("POST", "/fhir/Patient/_search"),
        ("GET", "/fhir"),
        ("GET", "/fhir/status/1"),
        ("GET", "/fhir/status/1/a"),
        ("GET", "/fhir/no/such/place/at/all"),
        ("PUT", "/fhir/Patient/1"),
        ("OPTIONS", "/fhir/Patient"),
        ("GET", "/fhir/metadata/x"),
        ("GET", "/fhir/../fhir/Patient/1"),
        ("GET", "/fhir//Patient/1"),
    ];
    for (method, path) in rows {
        let answer = desk.ask(request(method, path, &[], "")).await;
        assert_eq!(answer.status(), 401, "{method} {path}");
        assert_eq!(code(&answer), "sign-in-required", "{method} {path}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer", "{method} {path}");
    }
    assert!(desk.records.calls().is_empty(), "nothing was asked of the records");
}

#[tokio::test]
async fn each_interaction_is_one_call() {
    let desk = Desk::open();
    let token = desk.token(SCOPES).await;
    let fhir = "application/fhir+json; fhirVersion=4.0";
    let form = "application/x-www-form-urlencoded; charset=UTF-8";
    let table = [
        ("POST", "/fhir", fhir, "{}", 202, "transaction by partner of clinic of 2 bytes"),
        (
            "POST",
            "/fhir/",
            "application/json",
            "{}",
            202,
            "transaction by partner of clinic of 2 bytes",
        ),
        ("GET", "/fhir/Patient/1", "", "", 200, "read Patient/1"),
        ("HEAD", "/fhir/Patient/1", "", "", 200, "read Patient/1"),
        ("GET", "/fhir/Patient/1?_format=json", "", "", 200, "read Patient/1"),
        ("GET", "/fhir/Patient/1/_history", "", "", 200, "history Patient/1 [] Strict"),
        (
            "GET",
            "/fhir/Patient/1/_history?_count=2",
            "",
            "",
            200,
            r#"history Patient/1 [("_count", "2")] Strict"#,
        ),
        (
            "GET",
            "/fhir/Patient/1/$everything?_count=5",
            "",
            "",
            200,
            r#"everything Patient/1 [("_count", "5")] Strict"#,
        ),
        (
            "POST",
            "/fhir/Patient/1/$everything?x=1",
            "application/fhir+json",
            r#"{"resourceType":"Parameters","parameter":[{"name":"_count","valueInteger":5}]}"#,
            200,
            r#"everything Patient/1 [("x", "1"), ("_count", "5")] Strict"#,
        ),
        (
            "POST",
            "/fhir/Patient/1/$everything",
            form,
            "_type=Observation",
            200,
            r#"everything Patient/1 [("_type", "Observation")] Strict"#,
        ),
        ("POST", "/fhir/Patient/1/$everything", "", "", 200, "everything Patient/1 [] Strict"),
        ("GET", "/fhir/Patient/1/_history/3", "", "", 200, "vread Patient/1 3"),
        (
            "GET",
            "/fhir/Patient?_id=a%2Cb&_format=json&_pretty=true",
            "",
            "",
            200,
            r#"search Patient [("_id", "a,b")] Strict"#,
        ),
        ("GET", "/fhir/Patient", "", "", 200, "search Patient [] Strict"),
        (
            "POST",
            "/fhir/Patient/_search?x=1",
            form,
            "patient=a+b",
            200,
            r#"search Patient [("x", "1"), ("patient", "a b")] Strict"#,
        ),
        ("GET", "/fhir/status/s-1", "", "", 202, "status s-1"),
        ("GET", "/fhir/status/s-1/outcome.ndjson", "", "", 200, "file s-1 outcome.ndjson"),
    ];
    for (method, path, kind, body, status, call) in table {
        let mut headers = vec![("authorization", token.as_str())];
        if !kind.is_empty() {
            headers.push(("content-type", kind));
        }
        let answer = desk.ask(request(method, path, &headers, body)).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        assert_eq!(desk.records.calls().pop().as_deref(), Some(call), "{method} {path}");
    }
    assert_eq!(desk.records.calls().len(), 17, "one call each");
}

#[tokio::test]
async fn where_writes_are_taken_each_is_one_call() {
    let desk = Desk::open();
    desk.records.writes.store(true, std::sync::atomic::Ordering::SeqCst);
    let token = desk.token("system/Patient.cruds").await;
    let update_only = desk.token("system/Patient.u").await;
    let none = "None None Minimal";
    type Row<'r> = (&'r str, &'r str, &'r [(&'r str, &'r str)], u16, &'r str);
    let table: [Row<'_>; 18] = [
        ("POST", "Patient", &[], 200, &format!(r#"Patient Create(b"{{}}") {none}"#)),
        ("PUT", "Patient/1", &[], 200, &format!(r#"Patient Update("1", b"{{}}") {none}"#)),
        (
            "PUT",
            "Patient?a=b%2Cc&_format=json",
            &[],
            200,
            &format!(r#"Patient UpdateWhere([("a", "b,c")], b"{{}}") {none}"#),
        ),
        ("DELETE", "Patient/1", &[], 200, &format!(r#"Patient Delete("1") {none}"#)),
        (
            "DELETE",
            "Patient?a=b",
            &[],
            200,
            &format!(r#"Patient DeleteWhere([("a", "b")]) {none}"#),
        ),
        (
            "POST",
            "Patient",
            &[("if-none-exist", "a=b"), ("prefer", "return=representation")],
            200,
            r#"Patient Create(b"{}") None Some([("a", "b")]) Representation"#,
        ),
        (
            "PUT",
            "Patient/1",
            &[("if-match", "W/\"3\"")],
            200,
            r#"Patient Update("1", b"{}") Some("W/\"3\"") None Minimal"#,
        ),
        ("POST", "Patient", &[("if-none-exist", "")], 400, "parameter-invalid"),
        (
            "POST",
            "Patient",
            &[("if-none-exist", "a=1"), ("if-none-exist", "b=1")],
            400,
            "parameter-invalid",
        ),
        ("PUT", "Patient/1", &[("if-none-match", "*")], 400, "parameter-invalid"),
        ("PUT", "Patient/1?_lastUpdated=lt2000-01-01", &[], 400, "parameter-invalid"),
        ("DELETE", "Patient/1?_lastUpdated=lt2000-01-01", &[], 400, "parameter-invalid"),
        ("POST", "Patient?identifier=1", &[], 400, "parameter-invalid"),
        ("PUT", "Patient", &[], 405, "interaction-unsupported"),
        ("DELETE", "Patient", &[], 405, "interaction-unsupported"),
        ("PATCH", "Patient/1", &[], 405, "interaction-unsupported"),
        ("POST", "Observation", &[], 403, "scope-missing"),
        ("DELETE", "Patient/1", &[("authorization", &update_only)], 403, "scope-missing"),
    ];
    for (method, path, more, status, told) in table {
        let before = desk.records.calls().len();
        let own = [("authorization", token.as_str()), ("content-type", "application/fhir+json")];
        let named = |name: &str| more.iter().any(|(other, _)| *other == name);
        let mut headers: Vec<_> = own.into_iter().filter(|(name, _)| !named(name)).collect();
        headers.extend(more);
        let answer = desk.ask(request(method, &format!("/fhir/{path}"), &headers, "{}")).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        let calls = desk.records.calls();
        match status {
            200 => assert_eq!(calls[before..], [told.to_owned()], "{method} {path}"),
            _ => {
                assert_eq!(code(&answer), told, "{method} {path}");
                assert_eq!(calls.len(), before, "{method} {path}: nothing reached the records");
            }
        }
    }
    let headers = [("authorization", token.as_str())];
    let answer = desk.ask(request("POST", "/fhir/Patient", &headers, "{}")).await;
    assert_eq!((answer.status().as_u16(), code(&answer).as_str()), (415, "media-type-unsupported"));
}

#[tokio::test]
async fn everything_else_is_refused_with_a_way_forward() {
    let desk = Desk::open();
    let token = desk.token(SCOPES).await;
    let narrow = desk.token("system/Encounter.rs").await;
    let many = format!("/fhir/Patient?{}", "a=1&".repeat(101));
    let (fhir, form) = ("application/fhir+json", "application/x-www-form-urlencoded");
    let rows: &[(&str, &str, &str, &str, &str, u16, &str)] = &[
        ("no such record", "GET", "/fhir/Patient/2", "", "", 404, "resource-unknown"),
        ("no such place", "GET", "/fhir/a/b/c/d/e", "", "", 404, "resource-unknown"),
        ("an id that is none", "GET", "/fhir/Patient/a%20b", "", "", 404, "resource-unknown"),
        (
            "an id too long",
            "GET",
            &format!("/fhir/Patient/{}", "x".repeat(65)),
            "",
            "",
            404,
            "resource-unknown",
        ),
        ("a type that is none", "GET", "/fhir/patient/1", "", "", 404, "resource-unknown"),
        (
            "a version that is none",
            "GET",
            "/fhir/Patient/1/_history/x",
            "",
            "",
            404,
            "resource-unknown",
        ),
        ("a status id that climbs", "GET", "/fhir/status/..", "", "", 404, "resource-unknown"),
        (
            "a file that climbs",
            "GET",
            "/fhir/status/s-1/..%2f..%2fkey",
            "",
            "",
            404,
            "resource-unknown",
        ),
        ("create", "POST", "/fhir/Patient", fhir, "", 405, "interaction-unsupported"),
        ("update", "PUT", "/fhir/Patient/1", fhir, "", 405, "interaction-unsupported"),
        ("delete", "DELETE", "/fhir/Patient/1", "", "", 405, "interaction-unsupported"),
        ("patch", "PATCH", "/fhir/Patient/1", "", "", 405, "interaction-unsupported"),
        (
            "search by GET on _search",
            "GET",
            "/fhir/Patient/_search",
            "",
            "",
            405,
            "interaction-unsupported",
        ),
        (
            "an operation",
            "POST",
            "/fhir/$process-message",
            fhir,
            "",
            405,
            "interaction-unsupported",
        ),
        (
            "an operation on a type",
            "GET",
            "/fhir/Patient/1/$validate",
            "",
            "",
            405,
            "interaction-unsupported",
        ),
        ("reading the base", "GET", "/fhir", "", "", 405, "interaction-unsupported"),
        ("a token by GET", "GET", "/fhir/token", "", "", 405, "interaction-unsupported"),
        ("a token as JSON", "POST", "/fhir/token", fhir, "", 415, "media-type-unsupported"),
        ("XML in", "POST", "/fhir", "application/fhir+xml", "", 415, "media-type-unsupported"),
        ("no type", "POST", "/fhir", "", "", 415, "media-type-unsupported"),
        (
            "R5 in",
            "POST",
            "/fhir",
            "application/fhir+json; fhirVersion=5.0",
            "",
            415,
            "media-type-unsupported",
        ),
        (
            "a form as JSON",
            "POST",
            "/fhir/Patient/_search",
            fhir,
            "",
            415,
            "media-type-unsupported",
        ),
        ("XML out", "GET", "/fhir/Patient/1?_format=xml", "", "", 406, "not-acceptable"),
        (
            "XML out of a search by form",
            "POST",
            "/fhir/Patient/_search?_format=xml",
            form,
            "",
            406,
            "not-acceptable",
        ),
        ("a broken escape", "GET", "/fhir/Patient?a=%zz", "", "", 400, "parameter-invalid"),
        ("too many parameters", "GET", &many, "", "", 400, "parameter-invalid"),
        ("a type beyond the token", "GET", "/fhir/Patient/1", "", &narrow, 403, "scope-missing"),
        ("its history", "GET", "/fhir/Patient/1/_history", "", &narrow, 403, "scope-missing"),
        ("its version", "GET", "/fhir/Patient/1/_history/1", "", &narrow, 403, "scope-missing"),
        ("its search", "GET", "/fhir/Patient", "", &narrow, 403, "scope-missing"),
        (
            "its search by form",
            "POST",
            "/fhir/Patient/_search",
            form,
            &narrow,
            403,
            "scope-missing",
        ),
    ];
    for (case, method, path, kind, other, status, expected) in rows {
        let token = if other.is_empty() { &token } else { *other };
        let mut headers = vec![("authorization", token)];
        if !kind.is_empty() {
            headers.push(("content-type", *kind));
        }
        let answer = desk.ask(request(method, path, &headers, "{}")).await;
        assert_eq!(
            (answer.status().as_u16(), code(&answer).as_str()),
            (*status, *expected),
            "{case}"
        );
        assert_eq!(
            answer.headers().contains_key("allow"),
            *status == 405 && !path.contains('$'),
            "{case}"
        );
    }
    assert_eq!(desk.records.calls(), ["read Patient/2"], "only that one reached the records");
}

#[tokio::test]
async fn accept_is_honoured() {
    let desk = Desk::open();
    let token = desk.token(SCOPES).await;
    let table = [
        ("application/fhir+json", 200, "application/fhir+json; fhirVersion=4.0"),
        ("application/json", 200, "application/json"),
        ("text/html, */*;q=0.1", 200, "application/fhir+json; fhirVersion=4.0"),
        ("application/fhir+xml", 406, "application/fhir+json; fhirVersion=4.0"),
        ("application/fhir+json; fhirVersion=5.0", 406, "application/fhir+json; fhirVersion=4.0"),
    ];
    for (accept, status, kind) in table {
        let headers = [("authorization", token.as_str()), ("accept", accept)];
        let answer = desk.ask(request("GET", "/fhir/Patient/1", &headers, "")).await;
        assert_eq!(answer.status(), status, "{accept}");
        assert_eq!(answer.headers()["content-type"], kind, "{accept}");
    }
    let table = [
        ("W/\"1\"", 304),
        ("\"1\"", 304),
        ("1", 304),
        ("W/\"7\", W/\"1\"", 304),
        ("W/\"2\"", 200),
        ("W/\"11\"", 200),
        ("", 200),
    ];
    for (known, status) in table {
        let headers = [("authorization", token.as_str()), ("if-none-match", known)];
        let answer = desk.ask(request("GET", "/fhir/Patient/1", &headers, "")).await;
        assert_eq!(
            (answer.status().as_u16(), answer.body().is_empty()),
            (status, status == 304),
            "{known}"
        );
    }
}

#[tokio::test]
async fn a_body_has_a_limit_told_or_not() {
    let desk = Desk::open();
    let token = desk.token(SCOPES).await;
    let fhir = ("content-type", "application/fhir+json");
    let auth = ("authorization", token.as_str());
    let told = (BODY_BYTES_MAX + 1).to_string();
    let answer =
        desk.ask(request("POST", "/fhir", &[auth, fhir, ("content-length", &told)], "")).await;
    assert_eq!((answer.status().as_u16(), code(&answer).as_str()), (413, "body-too-large"));

    let piece = Bytes::from(vec![b' '; 1024 * 1024]);
    let pieces =
        (0..=BODY_BYTES_MAX / piece.len()).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
    let endless = Body::from_stream(futures_util::stream::iter(pieces));
    let answer = desk.ask(request("POST", "/fhir", &[auth, fhir], endless)).await;
    assert_eq!((answer.status().as_u16(), code(&answer).as_str()), (413, "body-too-large"));

    let broken = futures_util::stream::iter([Ok("{"), Err(std::io::Error::other("line cut"))]);
    let answer = desk.ask(request("POST", "/fhir", &[auth, fhir], Body::from_stream(broken))).await;
    assert_eq!((answer.status().as_u16(), code(&answer).as_str()), (400, "body-malformed"));
    let zipped = [auth, fhir, ("content-encoding", "gzip")];
    let answer = desk.ask(request("POST", "/fhir", &zipped, "{}")).await;
    assert_eq!((answer.status().as_u16(), code(&answer).as_str()), (415, "media-type-unsupported"));
    assert!(desk.records.calls().is_empty());
}

#[tokio::test]
async fn where_there_is_no_room_for_a_body_the_sender_comes_again() {
    let desk = Desk::open();
    let room = Room { bytes: 20, share: 10, wait: Duration::ZERO };
    let rooms = Rooms { bodies: room, ..Rooms::default() };
    let router = wire::rest::router_with(rooms, desk.records.clone(), desk.gate.clone());
    let desk = Desk { router: mount("/fhir", router), ..desk };
    let token = desk.token(SCOPES).await;
    let post = |length: usize| {
        let headers =
            [("authorization", token.as_str()), ("content-type", "application/fhir+json")];
        request("POST", "/fhir", &headers, "x".repeat(length))
    };
    let busy = desk.ask(post(11)).await;
    assert_eq!((busy.status().as_u16(), code(&busy).as_str()), (503, "house-busy"));
    assert_eq!(busy.headers()["retry-after"], "1");
    assert!(desk.records.calls().is_empty(), "nothing was done with it");
    for _ in 0..3 {
        assert_eq!(desk.ask(post(10)).await.status(), 202, "and room is given back");
    }
    // A length that was told and does not come keeps nothing from others.
    let headers = [
        ("authorization", token.as_str()),
        ("content-type", "application/fhir+json"),
        ("content-length", "50000000"),
    ];
    let never = Body::from_stream(futures_util::stream::pending::<
        Result<Bytes, std::convert::Infallible>,
    >());
    let waiting = desk.ask(request("POST", "/fhir", &headers, never));
    tokio::select! {
        biased;
        _ = waiting => panic!("a body that never came was answered"),
        answer = desk.ask(post(10)) => assert_eq!(answer.status(), 202),
    }
}

#[tokio::test]
async fn who_writes_one_record_waits_for_a_turn_as_who_sends_a_bundle() {
    let desk = Desk::open();
    desk.records.writes.store(true, std::sync::atomic::Ordering::SeqCst);
    let token = desk.token(SCOPES).await;
    let put = |id: &str, length: usize| {
        let headers =
            [("authorization", token.as_str()), ("content-type", "application/fhir+json")];
        request("PUT", &format!("/fhir/Patient/{id}"), &headers, "x".repeat(length))
    };
    let begun = |id: &str| desk.records.calls().iter().any(|call| call.contains(id));
    let mut large = Box::pin(desk.ask(put("slow", BODIES_WORK_MAX)));
    let mut small = Box::pin(desk.ask(put("small", 1)));
    while !begun("slow") {
        assert!(large.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        assert!(small.as_mut().now_or_never().is_none(), "as much is in work as may be");
        tokio::task::yield_now().await;
    }
    assert!(!begun("small"));
    desk.records.go_on.notify_one();
    assert_eq!(large.await.status(), 200);
    assert_eq!(small.await.status(), 200);
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_next_request_is_served() {
    let desk = Desk::open();
    let token = desk.token(SCOPES).await;
    let headers = [("authorization", token.as_str()), ("x-request-id", "req-7")];
    let answer = desk.ask(request("GET", "/fhir/Patient/panics", &headers, "")).await;
    assert_eq!((answer.status().as_u16(), code(&answer).as_str()), (500, "internal-error"));
    assert!(!String::from_utf8_lossy(answer.body()).contains("planted"), "the cause stays inside");
    assert_eq!(answer.headers()["x-request-id"], "req-7", "echoed");
    let headers = [("authorization", token.as_str()), ("x-request-id", "a b")];
    let answer = desk.ask(request("GET", "/fhir/Patient/1", &headers, "")).await;
    assert_eq!(answer.body(), PATIENT);
    assert_ne!(answer.headers()["x-request-id"], "a b", "an id that could spoil a log is replaced");
}

#[tokio::test]
async fn a_house_refuses_in_its_own_words_outside_its_rooms_too() {
    let desk = Desk::open();
    let fhir = wire::rest::router(desk.records.clone(), desk.gate.clone());
    let api = wire::api::router(Arc::new(Commands), desk.gate.clone());
    let table = [
        ("/fhir", "/elsewhere", 404),
        ("/fhir", "/", 404),
        ("/fhir", "/fhirs/metadata", 404),
        ("/fhir", "/fhir/metadata", 200),
        ("/fhir", "/api/push", 401),
        ("/", "/metadata", 200),
        ("/", "/elsewhere", 401),
        ("", "/api/push", 401),
    ];
    for (base, path, status) in table {
        let router = mount_all([(base, fhir.clone()), ("/api", api.clone())]);
        let answer = router.oneshot(request("GET", path, &[], "")).await.unwrap();
        assert_eq!(answer.status(), status, "{base} {path}");
        assert!(answer.headers().contains_key("x-request-id"), "{base} {path}");
    }
}

struct Commands;

impl Api for Commands {
    fn command<'a>(
        &'a self,
        caller: &'a Caller,
        name: &'a str,
        body: Bytes,
    ) -> BoxFuture<'a, Result<Bytes, Issue>> {
        let answer = format!(r#"["{}","{name}",{}]"#, caller.client_id, body.len());
        Box::pin(async move { Ok(answer.into()) })
    }
}

#[tokio::test]
async fn commands_are_for_the_house_itself() {
    let key = SigningKey::generate().unwrap();
    let credentials =
        vec![credential("desk", &key, "handover/operate"), credential("clinic", &key, SCOPES)];
    let gate = gate(BASE, credentials, &SetClock::new());
    let own = format!("Bearer {}", token(&gate, "desk", &key, "handover/operate").await);
    let partner = format!("Bearer {}", token(&gate, "clinic", &key, SCOPES).await);
    let router = mount("/api", wire::api::router(Arc::new(Commands), gate));
    let json = "application/json";
    let table = [
        ("a command", "POST", "/api/push", own.as_str(), json, "{}", 200),
        ("without a body", "POST", "/api/list", &own, "", "", 200),
        ("no token", "POST", "/api/push", "", json, "{}", 401),
        ("a partner", "POST", "/api/push", &partner, json, "{}", 403),
        ("by GET", "GET", "/api/push", &own, "", "", 405),
        ("a name that is none", "POST", "/api/a/b", &own, json, "{}", 400),
        ("no name", "POST", "/api/", &own, json, "{}", 400),
        ("another type", "POST", "/api/push", &own, "text/plain", "{}", 415),
    ];
    for (case, method, path, token, kind, body, status) in table {
        let headers = [("authorization", token), ("content-type", kind)];
        let headers: Vec<_> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let answer = router.clone().oneshot(request(method, path, &headers, body)).await.unwrap();
        assert_eq!(answer.status(), status, "{case}");
    }
}
