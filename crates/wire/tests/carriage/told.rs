//! Goal: what our server tells of its sign-in is what the guide says, and a scope opens what its
//! letters say and nothing else.
//!
//! How: the router in memory; the discovery document member by member; a table of letters and doors.

use crate::town::{Records, SCOPES, SetClock, claims, credential, gate, token, token_form};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tower::ServiceExt;
use wire::{Gate, SigningKey};

const BASE: &str = "https://plan.example/fhir";
const FORM: &str = "application/x-www-form-urlencoded";

struct Desk {
    gate: Arc<Gate>,
    key: SigningKey,
    router: Router,
}

impl Desk {
    /// A desk whose client `clinic` has these scopes.
    fn open(scopes: &str) -> Desk {
        let key = SigningKey::generate().unwrap();
        let gate = gate(BASE, vec![credential("clinic", &key, scopes)], &SetClock::new());
        let records = Arc::new(Records::default());
        records.writes.store(true, Ordering::SeqCst);
        let router = wire::rest::mount("/fhir", wire::rest::router(records, gate.clone()));
        Desk { gate, key, router }
    }

    async fn ask(&self, request: Request<Body>) -> Response<Bytes> {
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    async fn configuration(&self, accept: &str) -> Response<Bytes> {
        let request = Request::get("/fhir/.well-known/smart-configuration");
        let request = if accept.is_empty() { request } else { request.header("accept", accept) };
        self.ask(request.body(Body::empty()).unwrap()).await
    }
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Proves: smart 30, 228, 285-289, 357, 369, 372, 373, 378, 384, 385, 393, 394
#[tokio::test]
async fn the_configuration_tells_how_a_backend_service_signs_in() {
    let desk = Desk::open(SCOPES);
    let answer = desk.configuration("application/json").await;
    assert_eq!(answer.status(), 200, "to whoever asks");
    let told: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(told["token_endpoint"], desk.gate.token_endpoint());
    for (name, value) in told.as_object().unwrap() {
        let url = value.as_str().filter(|_| name.ends_with("_endpoint") || name.ends_with("_uri"));
        assert!(url.is_none_or(|url| url.starts_with("https://plan.example/")), "{name}");
    }
    assert_eq!(texts(&told["grant_types_supported"]), ["client_credentials"]);
    assert_eq!(texts(&told["token_endpoint_auth_methods_supported"]), ["private_key_jwt"]);
    let algorithms = &told["token_endpoint_auth_signing_alg_values_supported"];
    assert_eq!(texts(algorithms), ["RS384", "ES384"]);
    let scopes = texts(&told["scopes_supported"]);
    assert!(!scopes.is_empty() && scopes.iter().all(|scope| scope.starts_with("system/")));
    let capabilities = texts(&told["capabilities"]);
    for capability in ["client-confidential-asymmetric", "permission-v1", "permission-v2"] {
        assert!(capabilities.contains(&capability), "{capability}");
    }
    assert_eq!(texts(&told["code_challenge_methods_supported"]), ["S256"], "and not plain");
    // What is told of the endpoint is so: a client signs in there with a key, by either spelling.
    for (jti, scope) in ["system/Patient.rs", "system/Patient.read"].into_iter().enumerate() {
        let claims = claims("clinic", told["token_endpoint"].as_str().unwrap(), &jti.to_string());
        let form = token_form(&desk.key.sign(&claims).unwrap(), scope);
        let request = Request::post("/fhir/token").header("content-type", FORM);
        let answer = desk.ask(request.body(Body::from(form)).unwrap()).await;
        assert_eq!(answer.status(), 200, "{scope}");
        let told: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(told["scope"], scope);
    }
}

/// Proves: smart 374, 377, 380
#[tokio::test]
async fn the_configuration_is_json_whatever_is_wished_for() {
    let desk = Desk::open(SCOPES);
    let expected = desk.configuration("").await.into_body();
    for accept in ["", "application/json", "application/fhir+json", "text/html", "image/png, x"] {
        let answer = desk.configuration(accept).await;
        assert_eq!(answer.status(), 200, "{accept}");
        assert_eq!(answer.headers()["content-type"], "application/json", "{accept}");
        assert_eq!(answer.into_body(), expected, "{accept}");
    }
}

/// Proves: smart 85-87, 248, 253-258, 262
/// Proves: bulk 12, 19
#[tokio::test]
async fn a_token_answer_says_all_that_it_must_and_is_kept_by_no_cache() {
    let desk = Desk::open(SCOPES);
    let form = token_form(
        &desk.key.sign(&claims("clinic", &desk.gate.token_endpoint(), "j")).unwrap(),
        "system/Patient.rs",
    );
    let request = Request::post("/fhir/token").header("content-type", FORM);
    let answer = desk.ask(request.body(Body::from(form)).unwrap()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["pragma"], "no-cache");
    let told: Value = serde_json::from_slice(answer.body()).unwrap();
    let names: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(names, ["access_token", "token_type", "expires_in", "scope"], "no refresh token");
    // RFC 6750 §2.1: what a header can carry.
    let token = told["access_token"].as_str().unwrap();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    assert!(!token.is_empty() && token.bytes().all(plain), "{token}");
    assert_eq!(told["token_type"], "bearer");
    let life = told["expires_in"].as_u64().unwrap();
    assert_eq!(life, 300, "the five minutes that are recommended, and no more");
    assert_eq!(told["scope"], "system/Patient.rs");
}

/// What each scope opens: create, read, update, delete, search of Patients; a read of a Condition.
///
/// Proves: smart 95, 120-125, 135, 142-144, 146, 241, 243, 266
#[tokio::test]
async fn a_scope_opens_what_its_letters_say_and_nothing_else() {
    let doors = [
        ("POST", "Patient"),
        ("GET", "Patient/1"),
        ("PUT", "Patient/9"),
        ("DELETE", "Patient/1"),
        ("GET", "Patient"),
        ("GET", "Patient/1/_history/1"),
        ("GET", "Patient/1/_history"),
        ("POST", "Patient/_search"),
        ("GET", "Condition/1"),
    ];
    // One sign a door, in the order above.
    let table = [
        ("system/Patient.c", "+--------"),
        ("system/Patient.r", "-+---++--"),
        ("system/Patient.u", "--+------"),
        ("system/Patient.d", "---+-----"),
        ("system/Patient.s", "----+--+-"),
        ("system/Patient.cruds", "++++++++-"),
        ("system/Condition.r", "--------+"),
        ("system/*.r", "-+---++-+"),
        ("system/*.cruds", "+++++++++"),
        ("system/Patient.read", "-+--++++-"),
        ("system/Patient.write", "+-++-----"),
        // What its query finds can be asked for; a history or a version has no query.
        ("system/Patient.rs?x=y", "-+--+--+-"),
        ("system/Patient.r?x=y", "-+-------"),
        // Other levels, other orders and other forms open nothing, although they are registered.
        ("patient/Patient.cruds", "---------"),
        ("user/*.cruds", "---------"),
        ("system/Patient.sr", "---------"),
        ("system/patient.cruds", "---------"),
        ("system/Patient.cud?x=y", "---------"),
        ("system/Patient.rs?_include=x", "---------"),
    ];
    for (scope, opens) in table {
        let desk = Desk::open(scope);
        let bearer = format!("Bearer {}", token(&desk.gate, "clinic", &desk.key, scope).await);
        for ((method, path), sign) in doors.into_iter().zip(opens.chars()) {
            let kind = if path.ends_with("_search") { FORM } else { "application/fhir+json" };
            let body = if kind == FORM { "" } else { "{}" };
            let request = Request::builder().method(method).uri(format!("/fhir/{path}"));
            let request = request.header("authorization", &bearer).header("content-type", kind);
            let body = if method == "GET" { "" } else { body };
            let answer = desk.ask(request.body(Body::from(body)).unwrap()).await;
            let open = answer.status() != 403;
            assert_eq!(open, sign == '+', "{scope}: {method} {path}: {}", answer.status());
        }
    }
}
