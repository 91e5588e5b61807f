//! Goal: the doors of UDAP are counted and closed like those of SMART.

use crate::village::{PAPERS, Village, assertion, statement, told};
use axum::body::Body;
use bytes::Bytes;
use exchange::Code;
use http::{HeaderMap, HeaderValue, Request, header};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tower::ServiceExt;
use wire::rest::Rest;
use wire::server::Line;
use wire::{Answer, RateLimits};

struct NoRecords;

impl Rest for NoRecords {
    fn capability(&self) -> Bytes {
        Bytes::from_static(b"{}")
    }
}

fn bearer(answer: &Answer) -> HeaderMap {
    let told = told(answer);
    let value = format!("Bearer {}", told["access_token"].as_str().unwrap());
    HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::try_from(value).unwrap())])
}

#[tokio::test]
async fn a_suspended_partners_tokens_end_and_it_gets_no_new_ones() {
    let Village { gate, book } = Village::registered().await;
    let on = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&on);
    let gate =
        gate.with_suspended(Arc::new(move |name| name == "clinic" && asked.load(Ordering::SeqCst)));
    let village = Village { gate, book };
    let held = bearer(&village.token(&assertion(&PAPERS.client, |_| {})).await);
    assert_eq!(village.gate.caller(&held).unwrap().partner, "clinic");
    on.store(true, Ordering::SeqCst);
    assert_eq!(village.gate.caller(&held).unwrap_err().code, Code::PartnerSuspended);
    let refused = village.token(&assertion(&PAPERS.client, |_| {})).await;
    assert_eq!((refused.status, &told(&refused)["error"]), (400, &"unauthorized_client".into()));
    on.store(false, Ordering::SeqCst);
    assert_eq!(village.gate.caller(&held).unwrap().partner, "clinic", "as before");
}

#[tokio::test]
async fn registrations_are_counted_by_address_before_anything_is_read() {
    let Village { gate, book } = Village::new();
    let gate = gate.with_rates(RateLimits { requests: 0, sign_ins: 12 });
    let router = wire::rest::router(Arc::new(NoRecords), Arc::new(gate));
    let register = async |address: &str, body: String| {
        let request = Request::post("/register").header("content-type", "application/json");
        let mut request = request.body(Body::from(body)).unwrap();
        request.extensions_mut().insert(Line { address: address.parse().unwrap(), tls: true });
        router.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    let proper = || {
        let statement = statement(&PAPERS.client, |_| {});
        serde_json::json!({ "software_statement": statement, "udap": "1" }).to_string()
    };
    let table = [
        ("a first attempt", "192.0.2.1", "{}".to_owned(), 400),
        ("a second one", "192.0.2.1", "{}".to_owned(), 400),
        ("a third one, though proper", "192.0.2.1", proper(), 429),
        ("somebody else's", "192.0.2.2", proper(), 201),
    ];
    for (case, address, body, status) in table {
        assert_eq!(register(address, body).await, status, "{case}");
    }
    assert_eq!(book.writes.load(Ordering::SeqCst), 1, "what was refused wrote nothing");
}
