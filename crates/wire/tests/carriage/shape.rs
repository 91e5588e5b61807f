//! Goal: what is too large to be meant is refused in words, and every answer keeps browsers and caches
//! from doing anything with it.
//!
//! How: a house on a port of its own and raw requests; the router in memory for what each answer says.

use crate::town::{Records, SCOPES, SetClock, credential, gate, token};
use axum::body::Body;
use http::{HeaderMap, Request};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;
use wire::SigningKey;
use wire::rest::mount;
use wire::server::{Line, serve};

/// The status and the body of the only answer to these bytes.
async fn answered(address: SocketAddr, request: String) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Whoever is cut off need not have been heard to the end.
    stream.write_all(request.as_bytes()).await.ok();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.ok();
    let all = String::from_utf8_lossy(&all).into_owned();
    let (head, body) = all.split_once("\r\n\r\n").unwrap_or((&all, ""));
    let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
    (status, body.to_owned())
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_in_words() {
    let key = SigningKey::generate().unwrap();
    let gate = gate("http://127.0.0.1", vec![credential("clinic", &key, SCOPES)], &SetClock::new());
    let token = token(&gate, "clinic", &key, SCOPES).await;
    let records = Arc::new(Records::default());
    let router = mount("/fhir", wire::rest::router(records.clone(), gate));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, None, router, std::future::pending()));
    let ask = |path: &str, headers: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: plan.example\r\nauthorization: Bearer {token}\r\n\
             connection: close\r\n{headers}\r\n"
        )
    };
    // Below the base, whose own path does not count.
    let query = |length: usize| format!("/fhir/Patient?_id={}", "a".repeat(length - 13));
    let many = |count: usize| (0..count).map(|it| format!("x-{it}: 1\r\n")).collect::<String>();
    let long = |length: usize| format!("x-long: {}\r\n", "a".repeat(length));
    let (kb, said) = (1024, "head-too-large");
    let table = [
        ("as it should be", ask("/fhir/Patient/1", ""), "200", ""),
        ("a long search", ask(&query(16 * kb), ""), "200", ""),
        ("a search that is too long", ask(&query(16 * kb + 1), ""), "414", said),
        (
            "a path that is too long",
            ask(&format!("/fhir/{}", "a/".repeat(9 * kb)), ""),
            "414",
            said,
        ),
        ("many headers", ask("/fhir/Patient/1", &many(61)), "200", ""),
        ("too many headers", ask("/fhir/Patient/1", &many(62)), "431", said),
        ("far too many headers", ask("/fhir/Patient/1", &many(300)), "431", ""),
        ("a long header", ask("/fhir/Patient/1", &long(31 * kb)), "200", ""),
        ("a header that is too long", ask("/fhir/Patient/1", &long(33 * kb)), "431", said),
        (
            "headers that are too long together",
            ask("/fhir/Patient/1", &long(9 * kb).repeat(4)),
            "431",
            said,
        ),
        ("a header without an end", ask("/fhir/Patient/1", &long(200 * kb)), "431", ""),
        ("a stranger's, of an open document", ask("/fhir/metadata", &many(62)), "431", said),
        (
            "a method without an end",
            format!("{} / HTTP/1.1\r\n\r\n", "G".repeat(200 * kb)),
            "431",
            "",
        ),
        ("no HTTP at all", "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(), "400", ""),
        ("a header in two lines", ask("/fhir/Patient/1", "x-a: 1\r\n 2\r\n"), "400", ""),
        ("a space before a colon", ask("/fhir/Patient/1", "x-a : 1\r\n"), "400", ""),
        ("a length that is none", ask("/fhir/Patient/1", "content-length: -1\r\n"), "400", ""),
        (
            "two lengths",
            ask("/fhir/Patient/1", "content-length: 1\r\ncontent-length: 2\r\n"),
            "400",
            "",
        ),
        (
            "a coding that is no chunks",
            ask("/fhir/Patient/1", "transfer-encoding: gzip\r\n"),
            "400",
            "",
        ),
    ];
    for (case, request, status, code) in table {
        let (found, body) = answered(address, request).await;
        assert_eq!(found, status, "{case}: {body}");
        if !code.is_empty() {
            let told: Value = serde_json::from_str(&body).unwrap();
            let issue = &told["issue"][0];
            assert_eq!(issue["details"]["coding"][0]["code"], code, "{case}");
            assert!(issue["diagnostics"].as_str().unwrap().contains("Next: "), "{case}");
            assert!(!body.contains("aaaa"), "{case}: nothing of it is repeated");
        }
    }
    let reads = records.calls().iter().filter(|call| *call == "read Patient/1").count();
    assert_eq!(reads, 3, "what was refused reached no records");
}

async fn said(router: &axum::Router, request: Request<Body>) -> (u16, HeaderMap) {
    let answer = router.clone().oneshot(request).await.unwrap();
    (answer.status().as_u16(), answer.headers().clone())
}

#[tokio::test]
async fn every_answer_keeps_browsers_and_caches_from_doing_anything_with_it() {
    let key = SigningKey::generate().unwrap();
    let base = "https://plan.example";
    let gate = gate(base, vec![credential("clinic", &key, SCOPES)], &SetClock::new());
    gate.publish(key.jwks());
    let records = Arc::new(Records::default());
    records.writes.store(true, Ordering::SeqCst);
    let bearer = format!("Bearer {}", token(&gate, "clinic", &key, SCOPES).await);
    let router = wire::rest::router(records, gate);
    // Whether it is for everybody.
    let table = [
        ("GET", "/metadata", 200, true),
        ("HEAD", "/metadata", 200, true),
        ("GET", "/$versions", 200, true),
        ("GET", "/.well-known/smart-configuration", 200, true),
        ("GET", "/.well-known/jwks.json", 200, true),
        ("GET", "/.well-known/udap", 404, false),
        ("DELETE", "/metadata", 405, false),
        ("GET", "/healthz", 200, false),
        ("POST", "/token", 415, false),
        ("OPTIONS", "/Patient/1", 405, false),
        ("GET", "/Patient/1", 200, false),
        ("GET", "/Patient/2", 404, false),
        ("GET", "/Patient/panics", 500, false),
        ("GET", "/Patient/moved", 302, false),
        ("GET", "/status/s-1", 202, false),
        ("GET", "/status/s-1/a.ndjson", 200, false),
        ("DELETE", "/Patient/1", 200, false),
    ];
    for (method, path, status, open) in table {
        for signed_in in [true, false] {
            let mut request = Request::builder().method(method).uri(path);
            request = request.header("origin", "https://elsewhere.example");
            if signed_in {
                request = request.header("authorization", &bearer);
            }
            let (found, headers) = said(&router, request.body(Body::empty()).unwrap()).await;
            if signed_in {
                assert_eq!(found, status, "{method} {path}");
            }
            let case = format!("{method} {path} ({found})");
            assert_eq!(headers["x-content-type-options"], "nosniff", "{case}");
            assert_eq!(headers["x-frame-options"], "DENY", "{case}");
            assert_eq!(headers["referrer-policy"], "no-referrer", "{case}");
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; frame-ancestors 'none'"), "{case}");
            let kept = headers["cache-control"].to_str().unwrap();
            assert_eq!(kept == "no-store", !open, "{case}: {kept}");
            let origin = headers.get("access-control-allow-origin");
            assert_eq!(origin.is_some(), open, "{case}");
            assert!(!headers.contains_key("access-control-allow-credentials"), "{case}");
            assert!(!headers.contains_key("strict-transport-security"), "{case}: no TLS");
        }
    }
}

#[tokio::test]
async fn over_tls_a_house_says_that_it_is_asked_over_tls_only() {
    let key = SigningKey::generate().unwrap();
    let router = wire::rest::router(
        Arc::new(Records::default()),
        gate("https://plan.example", vec![credential("clinic", &key, SCOPES)], &SetClock::new()),
    );
    for (tls, told) in [(true, Some("max-age=31536000")), (false, None)] {
        let mut request = Request::get("/metadata").body(Body::empty()).unwrap();
        let address = "192.0.2.1".parse().unwrap();
        request.extensions_mut().insert(Line { address, tls });
        let (_, headers) = said(&router, request).await;
        let found = headers.get("strict-transport-security").map(|it| it.to_str().unwrap());
        assert_eq!(found, told, "TLS: {tls}");
    }
}
