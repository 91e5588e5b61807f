//! Goal: the doors of UDAP are counted and closed like those of SMART.

use crate::village::{PAPERS, Village, assertion, form, now, statement, told};
use axum::body::Body;
use bytes::Bytes;
use exchange::Code;
use exchange::partner::ClientCertificate;
use http::{HeaderMap, HeaderValue, Request, header};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tower::ServiceExt;
use wire::rest::Rest;
use wire::server::Line;
use wire::trust::mutual::{Certificates, Presented};
use wire::{Answer, RateLimits, SigningKey, tls};

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

/// A certificate for a URI, and what a partner registers of it.
fn certified(uri: &str) -> (Presented, ClientCertificate) {
    let (authority, authority_key) = tls::make_authority_at(uri, now()).unwrap();
    let key = SigningKey::generate().unwrap();
    let issued = tls::issue_client_certificate_at(&authority, &authority_key, uri, &key, now());
    let chain = wire::pki::read_pem(issued.unwrap().as_bytes()).unwrap();
    let san = format!("uri:{uri}");
    let registered = ClientCertificate { authority, san, required: true, ..Default::default() };
    (Presented::of(&chain).unwrap(), registered)
}

#[tokio::test]
async fn a_certificate_that_a_partner_registered_binds_its_tokens_here_as_well() {
    let village = Village::registered().await;
    let (own, registered) = certified("https://clinic.example/fhir");
    let (other, _) = certified("https://other.example/fhir");
    let mut certificates = Certificates::default();
    certificates.register("clinic", &registered, false, &[]).unwrap();
    village.gate.know_certificates(certificates);
    let token = async |presented: Option<&Presented>| {
        let form = form(&assertion(&PAPERS.client, |_| {}), &[]);
        village.gate.token_of(form.as_bytes(), false, presented).await
    };
    for (case, presented) in [("none", None), ("one that is nobody's", Some(&other))] {
        let refused = token(presented).await;
        let error = told(&refused)["error"].clone();
        assert_eq!((refused.status, error), (401, "invalid_client".into()), "{case}");
    }
    let held = bearer(&token(Some(&own)).await);
    assert_eq!(village.gate.admit(&held, Some(&own)).await.unwrap().partner, "clinic");
    for presented in [None, Some(&other)] {
        let refused = village.gate.admit(&held, presented).await.unwrap_err();
        assert_eq!(
            refused.code,
            Code::SignInRequired,
            "a token is of use with its certificate only"
        );
    }
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
