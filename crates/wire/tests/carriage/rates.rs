//! Goal: who asks too often is told when to come back, and nobody else notices.
//!
//! How: the router in memory with small limits, a clock that stands still, and addresses given with
//! each request, as the listener gives them.

use crate::town::{Records, SCOPES, SetClock, claims, credential, gate, token, token_form};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::Value;
use std::sync::Arc;
use tower::ServiceExt;
use wire::server::Line;
use wire::{Gate, RateLimits, SigningKey};

const BASE: &str = "https://plan.example";

struct Door {
    clock: Arc<SetClock>,
    records: Arc<Records>,
    key: SigningKey,
    /// Knows the clients as the door does, and counts nothing.
    beside: Arc<Gate>,
    router: Router,
}

fn door(limits: RateLimits) -> Door {
    let (key, clock) = (SigningKey::generate().unwrap(), SetClock::new());
    let known = || vec![credential("clinic", &key, SCOPES), credential("hospital", &key, SCOPES)];
    let limited = Arc::into_inner(gate(BASE, known(), &clock)).unwrap().with_rates(limits);
    let (records, beside) = (Arc::new(Records::default()), gate(BASE, known(), &clock));
    let router = wire::rest::router(records.clone(), Arc::new(limited));
    Door { clock, records, key, beside, router }
}

impl Door {
    async fn send(&self, address: &str, mut request: Request<Body>) -> Response<Bytes> {
        let line = Line { address: address.parse().unwrap(), tls: true };
        request.extensions_mut().insert(line);
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    /// Reads the one Patient with a client's token.
    async fn read(&self, client: &str) -> Response<Bytes> {
        let token = token(&self.beside, client, &self.key, SCOPES).await;
        let request = Request::get("/Patient/1").header("authorization", format!("Bearer {token}"));
        self.send("192.0.2.1", request.body(Body::empty()).unwrap()).await
    }

    /// Asks for a token, or to be registered, without anything that would be granted.
    async fn knock(&self, path: &str, kind: &str, address: &str) -> Response<Bytes> {
        let request = Request::post(path).header("content-type", kind);
        self.send(address, request.body(Body::from("x=y")).unwrap()).await
    }
}

fn told(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap()
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_to_come_back_and_no_other_notices() {
    let door = door(RateLimits { requests: 60, sign_ins: 0 });
    for _ in 0..10 {
        assert_eq!(door.read("clinic").await.status(), 200);
    }
    let refused = door.read("clinic").await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (429, &"1".parse().unwrap())
    );
    let issue = &told(&refused)["issue"][0];
    assert_eq!(issue["details"]["coding"][0]["code"], "rate-exceeded");
    let words = issue["diagnostics"].as_str().unwrap();
    assert!(words.contains("Who acts: the sender") && words.contains("Next: wait"), "{words}");
    assert_eq!(door.records.calls().len(), 10, "nothing reached the records");
    for _ in 0..100 {
        assert_eq!(door.read("clinic").await.status(), 429);
    }
    for _ in 0..10 {
        assert_eq!(door.read("hospital").await.status(), 200, "another one has its own share");
    }
    door.clock.advance(1);
    assert_eq!(door.read("clinic").await.status(), 200, "what was promised is kept");
    assert_eq!(door.read("clinic").await.status(), 429);
}

#[tokio::test]
async fn who_tries_to_sign_in_too_often_is_refused_by_its_address_in_the_form_of_oauth() {
    let (form, json) = ("application/x-www-form-urlencoded", "application/json");
    let door = door(RateLimits { requests: 0, sign_ins: 60 });
    for _ in 0..10 {
        assert_eq!(door.knock("/token", form, "192.0.2.1").await.status(), 400);
    }
    let table = [
        ("the same address", "/token", form, "192.0.2.1", 429),
        ("the same address, spelt otherwise", "/token", form, "::ffff:192.0.2.1", 429),
        ("a body of another type", "/token", json, "192.0.2.1", 429),
        ("another address", "/token", form, "192.0.2.2", 400),
        ("a document that is open to all", "/metadata", form, "192.0.2.1", 405),
        ("a place where registering is not offered", "/register", json, "192.0.2.1", 401),
    ];
    for (case, path, kind, address, status) in table {
        assert_eq!(door.knock(path, kind, address).await.status(), status, "{case}");
    }
    let refused = door.knock("/token", form, "192.0.2.1").await;
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["cache-control"], "no-store");
    let told = told(&refused);
    assert_eq!(told["error"], "temporarily_unavailable");
    let words = told["error_description"].as_str().unwrap();
    assert!(words.starts_with("rate-exceeded: ") && words.contains("Next: wait"), "{words}");

    // A good assertion is refused unread, so that it is good when it comes again.
    let claims = claims("clinic", &door.beside.token_endpoint(), "once");
    let good = token_form(&door.key.sign(&claims).unwrap(), SCOPES);
    for (seconds, status) in [(0, 429), (1, 200), (1, 401)] {
        door.clock.advance(seconds);
        let request = Request::post("/token").header("content-type", form);
        let request = request.body(Body::from(good.clone())).unwrap();
        assert_eq!(door.send("192.0.2.1", request).await.status(), status);
    }
}

#[tokio::test]
async fn capabilities_are_tried_no_faster_from_one_address_than_one_client_asks() {
    let door = door(RateLimits { requests: 60, sign_ins: 0 });
    let guess = async |number: usize, address: &str| {
        // In the URL, and in the header that comes with a submission.
        let request = match number % 2 {
            0 => Request::get(format!("/bulk/0123/guess-{number}/manifest-1.json")),
            _ => Request::get("/bulk/0123/manifest-1.json")
                .header(AUTHORIZATION, format!("Bearer {number:064x}")),
        };
        door.send(address, request.body(Body::empty()).unwrap()).await
    };
    for number in 0..10 {
        assert_eq!(guess(number, "192.0.2.1").await.status(), 404);
    }
    for number in [10, 11] {
        let refused = guess(number, "192.0.2.1").await;
        assert_eq!(
            (refused.status(), &refused.headers()["retry-after"]),
            (429.try_into().unwrap(), &"1".parse().unwrap())
        );
    }
    assert_eq!(guess(12, "192.0.2.2").await.status(), 404, "another address");
    assert_eq!(
        door.read("clinic").await.status(),
        200,
        "whoever signs in there has a share of its own"
    );
}

#[tokio::test]
async fn none_means_no_limit() {
    let form = "application/x-www-form-urlencoded";
    let door = door(RateLimits { requests: 0, sign_ins: 0 });
    for _ in 0..200 {
        assert_eq!(door.knock("/token", form, "192.0.2.1").await.status(), 400);
        assert_eq!(door.read("clinic").await.status(), 200);
    }
}
