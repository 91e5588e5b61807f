//! Goal: whatever a partner's sign-in answers, our client knows whether waiting helps or a person
//! must look, and its assertion goes nowhere else.
//!
//! How: a partner that answers from a script and notes what it was asked.

use crate::town::{NOW, SetClock};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::json;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wire::{BoxFuture, ClientError, FhirClient, SignInError, SigningKey, SmartClient};
use wire::{Transport, TransportError};

const BASE: &str = "https://plan.example/fhir";
const ENDPOINT: &str = "https://plan.example/fhir/token";

type Line = Result<Response<Bytes>, TransportError>;

#[derive(Default)]
struct Script {
    lines: Mutex<VecDeque<Line>>,
    asked: Mutex<Vec<Request<Bytes>>>,
}

impl Script {
    fn new(lines: Vec<Line>) -> Arc<Script> {
        Arc::new(Script { lines: Mutex::new(lines.into()), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|request| request.uri().to_string()).collect()
    }
}

impl Transport for Script {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Line> {
        self.asked.lock().unwrap().push(request);
        let line = self.lines.lock().unwrap().pop_front();
        Box::pin(async move {
            // Lets others run, so that two who ask at once do so.
            tokio::task::yield_now().await;
            line.unwrap_or_else(|| Err(TransportError::NotSent("the script is over".into())))
        })
    }
}

fn says(status: u16, body: impl ToString) -> Line {
    let body = Bytes::from(body.to_string());
    Ok(Response::builder().status(status).body(body).unwrap())
}

fn found(endpoint: &str) -> Line {
    says(200, json!({ "token_endpoint": endpoint }))
}

fn granted(token: &str) -> Line {
    says(200, json!({ "access_token": token, "token_type": "Bearer", "expires_in": 300 }))
}

fn busy(status: u16, wait: &str) -> Line {
    Ok(Response::builder().status(status).header("retry-after", wait).body(Bytes::new()).unwrap())
}

fn client(script: &Arc<Script>) -> SmartClient {
    let pem = SigningKey::generate().unwrap().to_pem();
    let scope = "system/Patient.rs".to_owned();
    SmartClient::new(script.clone(), BASE, "clinic", &pem, scope, SetClock::new()).unwrap()
}

#[derive(Debug, PartialEq)]
enum Helps {
    Waiting(Option<u64>),
    APerson,
}

/// Proves: smart 1
#[tokio::test]
async fn every_failure_says_what_helps() {
    use Helps::{APerson, Waiting};
    let lost = || Err(TransportError::Unknown("cut".into()));
    let token = |answer: serde_json::Value| vec![found(ENDPOINT), says(200, answer)];
    let table = [
        ("no connection", vec![Err(TransportError::NotSent("refused".into()))], Waiting(None)),
        ("no answer", vec![lost()], Waiting(None)),
        ("no answer at the token endpoint", vec![found(ENDPOINT), lost()], Waiting(None)),
        ("overload", vec![busy(503, "7")], Waiting(Some(7))),
        ("throttled", vec![found(ENDPOINT), busy(429, "120")], Waiting(Some(120))),
        ("a fault of theirs", vec![found(ENDPOINT), says(500, "")], Waiting(None)),
        ("not trusted", vec![Err(TransportError::Untrusted("issuer".into()))], APerson),
        ("answer too large", vec![Err(TransportError::AnswerTooLarge)], APerson),
        ("no configuration", vec![says(404, "")], APerson),
        ("a redirect", vec![says(302, "")], APerson),
        ("no JSON", vec![says(200, "<html>")], APerson),
        ("no endpoint", vec![says(200, "{}")], APerson),
        ("another host", vec![found("https://else.example/token")], APerson),
        ("a subdomain", vec![found("https://plan.example.else.example/token")], APerson),
        ("a user in the URL", vec![found("https://plan.example@else.example/token")], APerson),
        ("plain HTTP", vec![found("http://plan.example/fhir/token")], APerson),
        ("plain HTTP on loopback", vec![found("http://127.0.0.1/token")], APerson),
        ("a file", vec![found("file:///etc/token")], APerson),
        (
            "refused",
            vec![found(ENDPOINT), says(400, json!({ "error": "invalid_client" }))],
            APerson,
        ),
        ("unauthorised", vec![found(ENDPOINT), says(401, "")], APerson),
        ("no token", token(json!({ "token_type": "bearer" })), APerson),
        ("an empty token", token(json!({ "access_token": "", "token_type": "bearer" })), APerson),
        (
            "a token that breaks a header",
            token(json!({ "access_token": "a\r\nb", "token_type": "bearer" })),
            APerson,
        ),
        (
            "a token of another kind",
            token(json!({ "access_token": "a", "token_type": "mac" })),
            APerson,
        ),
    ];
    for (case, lines, helps) in table {
        let count = lines.len();
        let script = Script::new(lines);
        let error = client(&script).token().await.unwrap_err();
        let told = match &error {
            SignInError::Unreachable { retry_after, .. } => {
                Waiting(retry_after.map(|it| it.as_secs()))
            }
            _ => APerson,
        };
        assert_eq!(told, helps, "{case}: {error}");
        assert_eq!(script.asked().len(), count, "{case}: nothing more was asked");
        assert!(script.asked().iter().all(|url| url.starts_with(BASE)), "{case}: asked elsewhere");
    }
}

#[tokio::test]
async fn a_house_on_loopback_may_be_plain_only_where_its_base_is() {
    for (base, signed_in) in
        [("http://127.0.0.1:1/fhir", true), ("https://127.0.0.1:1/fhir", false)]
    {
        let script = Script::new(vec![found("http://127.0.0.1:2/token"), granted("one")]);
        let pem = SigningKey::generate().unwrap().to_pem();
        let (transport, clock) = (script.clone(), SetClock::new());
        let client = SmartClient::new(transport, base, "clinic", &pem, "a".into(), clock).unwrap();
        assert_eq!(client.token().await.is_ok(), signed_in, "{base}");
    }
}

#[tokio::test]
async fn the_partners_words_are_bounded_and_plain() {
    let words = format!("line\nbreak \u{1b}[31m {}", "x".repeat(10_000));
    let body = json!({ "error": "invalid_client", "error_description": words });
    let error = client(&Script::new(vec![found(ENDPOINT), says(400, body)])).token().await;
    let words = error.unwrap_err().to_string();
    assert!(words.contains("400 invalid_client linebreak"), "{words}");
    assert!(words.len() < 300 && !words.contains(char::is_control));
}

#[tokio::test]
async fn one_sign_in_serves_all_until_the_token_nears_its_end() {
    let clock = SetClock::new();
    let lines = vec![found(ENDPOINT), granted("one"), found(ENDPOINT), granted("two")];
    let script = Script::new(lines);
    let pem = SigningKey::generate().unwrap().to_pem();
    let client =
        SmartClient::new(script.clone(), BASE, "clinic", &pem, "a".into(), clock.clone()).unwrap();
    let (first, second) = tokio::join!(client.token(), client.token());
    let text = |token: Result<secrecy::SecretString, SignInError>| {
        secrecy::ExposeSecret::expose_secret(&token.unwrap()).to_owned()
    };
    assert_eq!((text(first), text(second)), ("one".into(), "one".into()));
    clock.advance(269);
    assert_eq!(text(client.token().await), "one");
    clock.advance(1);
    assert_eq!(text(client.token().await), "two", "30 seconds before its end");
    assert_eq!(script.asked().len(), 4);
    let asked = script.asked.lock().unwrap();
    let forms =
        [&asked[1], &asked[3]].map(|request| String::from_utf8(request.body().to_vec()).unwrap());
    assert_ne!(forms[0], forms[1], "each sign-in has an assertion of its own");
}

#[tokio::test]
async fn a_configured_endpoint_needs_no_discovery() {
    let script = Script::new(vec![granted("one")]);
    let client = client(&script).with_token_endpoint("https://login.example/token").unwrap();
    client.token().await.unwrap();
    assert_eq!(script.asked(), ["https://login.example/token"]);
    for url in ["http://login.example/token", "token", "https://a@b.example/token", ""] {
        let client = self::client(&script);
        assert!(client.with_token_endpoint(url).is_err(), "{url}");
    }
}

/// Proves: smart 93, 264
#[tokio::test]
async fn a_401_is_tried_once_more_with_a_new_token_and_no_more() {
    let lines = vec![
        found(ENDPOINT),
        granted("one"),
        says(401, ""),
        found(ENDPOINT),
        granted("two"),
        says(401, ""),
    ];
    let script = Script::new(lines);
    let client = FhirClient::new(BASE, script.clone(), Some(client(&script)));
    let body = Bytes::from_static(b"{}");
    let answer = client.post("", "application/fhir+json", body.clone()).await.unwrap();
    assert_eq!(answer.status(), 401);
    let asked = script.asked.lock().unwrap();
    let posts: Vec<_> = asked.iter().filter(|request| *request.uri() == BASE).collect();
    let tokens: Vec<_> = posts.iter().map(|request| &request.headers()["authorization"]).collect();
    assert_eq!(tokens, ["Bearer one", "Bearer two"]);
    assert!(posts.iter().all(|request| *request.body() == body), "the same bytes");
    assert!(tokens.iter().all(|token| token.is_sensitive()));
}

/// An unknown outcome is the sender's to judge: the client itself never repeats.
#[tokio::test]
async fn what_may_have_been_filed_is_never_resent() {
    for error in [
        TransportError::Unknown("cut".into()),
        TransportError::NotSent("refused".into()),
        TransportError::AnswerTooLarge,
    ] {
        let script = Script::new(vec![found(ENDPOINT), granted("one"), Err(error.clone())]);
        let client = FhirClient::new(BASE, script.clone(), Some(client(&script)));
        let answer = client.post("", "application/fhir+json", Bytes::new()).await;
        assert_eq!(answer.unwrap_err(), ClientError::Transport(error));
        assert_eq!(script.asked().len(), 3);
    }
}

#[tokio::test]
async fn a_reply_keeps_what_settling_needs() {
    let answer = Response::builder()
        .status(503)
        .header("retry-after", "Sun, 22 Nov 2026 12:01:00 GMT")
        .header("content-location", "https://plan.example/fhir/status/1")
        .body(Bytes::from_static(b"{}"))
        .unwrap();
    let reply = wire::form::transaction::read(answer, NOW.parse().unwrap());
    assert_eq!(reply.retry_after, Some(Duration::from_secs(60)));
    assert_eq!(reply.content_location.as_deref(), Some("https://plan.example/fhir/status/1"));
    assert_eq!((reply.status, reply.body.as_ref()), (503, b"{}".as_slice()));
}
