//! Goal: what our client asks of a partner's sign-in is what the guide says, sign by sign, whatever
//! our own server would let pass.
//!
//! How: a partner that notes each request and answers; a listener that reads a first TLS message.

use crate::town::{NOW, SetClock};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use jsonwebtoken::{DecodingKey, Validation, decode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use wire::keys::KeyKind;
use wire::{BoxFuture, HttpTransport, SignIn, SigningKey, SmartClient, Transport, TransportError};

const BASE: &str = "https://plan.example/fhir";
const ENDPOINT: &str = "https://plan.example/login/token";
const PUBLISHED: &str = "https://clinic.example/.well-known/jwks.json";

/// A partner that finds every request good, and names this token endpoint.
struct Partner(&'static str, Mutex<Vec<Request<Bytes>>>);

impl Partner {
    fn naming(endpoint: &'static str) -> Arc<Partner> {
        Arc::new(Partner(endpoint, Mutex::default()))
    }
}

impl Transport for Partner {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let body = match request.method().as_str() {
            "GET" => json!({ "token_endpoint": self.0 }),
            _ => json!({ "access_token": "t", "token_type": "bearer", "expires_in": 300 }),
        };
        self.1.lock().unwrap().push(request);
        Box::pin(async move { Ok(Response::new(Bytes::from(body.to_string()))) })
    }
}

fn part(jwt: &str, nth: usize) -> Value {
    let part = jwt.split('.').nth(nth).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Two sign-ins with a key of this kind: every request, in its order.
async fn asked(key: &SigningKey) -> Vec<Request<Bytes>> {
    let (partner, clock) = (Partner::naming(ENDPOINT), SetClock::new());
    let scope = "system/Patient.rs system/Encounter.cu".to_owned();
    let client = SmartClient::new(partner.clone(), BASE, "clinic", &key.to_pem(), scope, clock);
    let client = client.unwrap().telling(PUBLISHED);
    for _ in 0..2 {
        let token = client.token().await.unwrap();
        client.forget(&token);
    }
    std::mem::take(&mut *partner.1.lock().unwrap())
}

fn form(request: &Request<Bytes>) -> BTreeMap<String, String> {
    let pairs = wire::urlencoded::decode(request.body()).unwrap();
    let count = pairs.len();
    let form: BTreeMap<_, _> = pairs.into_iter().collect();
    assert_eq!(form.len(), count, "nothing is said twice");
    form
}

/// Proves: smart 226, 227, 234-238, 333, 334
#[tokio::test]
async fn a_sign_in_looks_for_its_endpoint_and_posts_one_form_there() {
    let asked = asked(&SigningKey::generate().unwrap()).await;
    let lines: Vec<String> =
        asked.iter().map(|request| format!("{} {}", request.method(), request.uri())).collect();
    let discovery = format!("GET {BASE}/.well-known/smart-configuration");
    let token = format!("POST {ENDPOINT}");
    assert_eq!(lines, [&discovery, &token, &discovery, &token].map(String::as_str));
    for request in &asked {
        assert_eq!(request.headers()["accept"], "application/json");
        assert!(!request.headers().contains_key("authorization"), "no secret, no token");
    }
    assert_eq!(asked[1].headers()["content-type"], "application/x-www-form-urlencoded");
    let mut form = form(&asked[1]);
    let assertion = form.remove("client_assertion").unwrap();
    assert_eq!(assertion.split('.').count(), 3, "the compact form of a JWS");
    let jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let expected = [
        ("client_assertion_type", jwt_bearer),
        ("grant_type", "client_credentials"),
        ("scope", "system/Patient.rs system/Encounter.cu"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form, BTreeMap::from(expected), "and nothing else");
}

/// Proves: smart 233, 307-309, 313-315, 317, 319-323, 325, 327-332
#[tokio::test]
async fn an_assertion_is_signed_by_a_published_key_for_one_server_once_and_not_for_long() {
    let now = NOW.parse::<jiff::Timestamp>().unwrap().as_second();
    for (kind, algorithm, members) in
        [(KeyKind::Es384, "ES384", &["crv", "x", "y"][..]), (KeyKind::Rs384, "RS384", &["n", "e"])]
    {
        let key = SigningKey::generate_as(kind).unwrap();
        let jwks = key.jwks();
        let published = &jwks["keys"][0];
        for member in [&["kty", "kid"][..], members].concat() {
            let value = published[member].as_str().unwrap_or_default();
            assert!(!value.is_empty(), "{algorithm}: the public key has no {member}");
        }
        let mut ids = Vec::new();
        let asked = asked(&key).await;
        for request in [&asked[1], &asked[3]] {
            let jwt = form(request).remove("client_assertion").unwrap();
            let header = json!({
                "alg": algorithm, "typ": "JWT", "kid": published["kid"], "jku": PUBLISHED,
            });
            assert_eq!(part(&jwt, 0), header);
            let kid = &header["kid"];
            let same = jwks["keys"].as_array().unwrap().iter().filter(|key| key["kid"] == *kid);
            assert_eq!(same.count(), 1, "one key has this id");

            // Read by a library of another hand, with the public key as it is published.
            let jwk = serde_json::from_value(published.clone()).unwrap();
            let mut validation = Validation::new(kind.algorithm());
            validation.set_audience(&[ENDPOINT]);
            validation.validate_exp = false;
            let read = decode::<Value>(&jwt, &DecodingKey::from_jwk(&jwk).unwrap(), &validation);
            let claims = read.unwrap().claims;
            assert_eq!((&claims["iss"], &claims["sub"]), (&json!("clinic"), &json!("clinic")));
            assert_eq!(claims["aud"], ENDPOINT, "the very URL it was posted to");
            assert_eq!(request.uri(), ENDPOINT);
            let expiry = claims["exp"].as_i64().unwrap();
            assert!(expiry > now && expiry <= now + 300, "at most five minutes ahead");
            ids.push(claims["jti"].as_str().unwrap().to_owned());
        }
        assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() >= 16), "{ids:?}");
    }
}

/// Proves: smart 379
#[tokio::test]
async fn a_relative_endpoint_is_seen_from_the_base_url_and_leads_nowhere_else() {
    let pem = SigningKey::generate().unwrap().to_pem();
    let table = [
        ("/login/token", Some("https://plan.example/login/token")),
        ("token", Some("https://plan.example/token")),
        ("//else.example/token", None),
        ("javascript:token", None),
        ("", None),
    ];
    for (endpoint, found) in table {
        let (partner, clock) = (Partner::naming(endpoint), SetClock::new());
        let client = SmartClient::new(partner.clone(), BASE, "clinic", &pem, "a".into(), clock);
        assert_eq!(client.unwrap().token().await.is_ok(), found.is_some(), "{endpoint}");
        let asked = partner.1.lock().unwrap();
        let posted = asked.iter().find(|request| request.method() == "POST");
        let posted = posted.map(|request| request.uri().to_string());
        assert_eq!(posted.as_deref(), found, "{endpoint}");
    }
}

/// The versions that a ClientHello offers (RFC 8446 §4.2.1).
fn offered(hello: &[u8]) -> Vec<u16> {
    let number = |at: usize| u16::from_be_bytes([hello[at], hello[at + 1]]);
    // Behind the headers of record and message, the version and the random: the session's id.
    let mut at = 5 + 4 + 2 + 32;
    at += 1 + usize::from(hello[at]);
    at += 2 + usize::from(number(at));
    at += 1 + usize::from(hello[at]);
    let end = at + 2 + usize::from(number(at));
    at += 2;
    while at < end {
        let (kind, length) = (number(at), usize::from(number(at + 2)));
        if kind == 43 {
            let list = &hello[at + 5..at + 4 + length];
            return list.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        }
        at += 4 + length;
    }
    vec![number(9)]
}

/// Proves: smart 230, 232, 318
/// Proves: bulk 295
#[tokio::test]
async fn our_client_offers_tls_1_2_and_later_and_nothing_before() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.unwrap();
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        let mut hello = vec![0; 5 + length];
        hello[..5].copy_from_slice(&head);
        stream.read_exact(&mut hello[5..]).await.unwrap();
        hello
    });
    let transport = HttpTransport::new(&[], Duration::from_secs(30), 1_000).unwrap();
    let request = Request::get(url).body(Bytes::new()).unwrap();
    transport.send(request).await.unwrap_err();
    let versions = offered(&heard.await.unwrap());
    assert!(!versions.is_empty(), "nothing is offered");
    assert!(versions.iter().all(|version| [0x0303, 0x0304].contains(version)), "{versions:x?}");
}
