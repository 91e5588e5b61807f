//! Goal: a partner who is suspended is refused from the next request on, whatever it holds; nobody else
//! is, and a stranger learns nothing of it.

use crate::town::{SCOPES, SetClock, claims, credential, token, token_form};
use exchange::Code;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wire::{Gate, MemoryReplay, SigningKey};

const BASE: &str = "https://plan.example/fhir";

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(header::AUTHORIZATION, value)])
}

#[tokio::test]
async fn tokens_that_were_issued_and_new_ones_are_refused_while_a_partner_is_suspended() {
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let clock = SetClock::new();
    let known = ["clinic", "hospital"].map(|name| credential(name, &key, SCOPES)).to_vec();
    let replay = Arc::new(MemoryReplay::new(clock.clone()));
    let on = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&on);
    let gate =
        Gate::new(BASE, known, [7; 32], replay, clock).with_suspended(Arc::new(move |name| {
            name == "partner of clinic" && asked.load(Ordering::SeqCst)
        }));
    let held = bearer(&token(&gate, "clinic", &key, SCOPES).await);
    let others = bearer(&token(&gate, "hospital", &key, SCOPES).await);
    let ask = async |client: &str, signer: &SigningKey, jti: &str| {
        let assertion = signer.sign(&claims(client, &gate.token_endpoint(), jti)).unwrap();
        let answer = gate.token(token_form(&assertion, SCOPES).as_bytes()).await;
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.status, told["error"].as_str().unwrap_or_default().to_owned())
    };

    on.store(true, Ordering::SeqCst);
    assert_eq!(gate.admit(&held, None).await.unwrap_err().code, Code::PartnerSuspended);
    assert_eq!(gate.caller(&held).unwrap_err().code, Code::PartnerSuspended);
    assert_eq!(ask("clinic", &key, "a").await, (400, "unauthorized_client".to_owned()));
    assert_eq!(gate.caller(&others).unwrap().partner, "partner of hospital");
    assert_eq!(ask("hospital", &key, "b").await.0, 200);
    for (case, client, signer) in [("of another key", "clinic", &other), ("of nobody", "x", &key)] {
        let refused = (401, "invalid_client".to_owned());
        assert_eq!(ask(client, signer, case).await, refused, "{case}: nothing is told");
    }

    on.store(false, Ordering::SeqCst);
    assert_eq!(gate.admit(&held, None).await.unwrap().partner, "partner of clinic");
    assert_eq!(ask("clinic", &key, "c").await.0, 200);
}
