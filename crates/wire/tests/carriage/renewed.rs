//! Goal: keys and certificates change while everybody is served; nobody is refused meanwhile, and what
//! has gone is refused.

use crate::town::{House, NOW, SCOPES, SetClock, claims, credential, gate, token, token_form};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde_json::{Value, json};
use std::sync::Arc;
use wire::keys::KeyKind;
use wire::server::{Bounds, serve};
use wire::tls::{self, LiveCertificate};
use wire::{FhirClient, KeyRing, OwnKeys, SigningKey, SmartClient};

const BASE: &str = "https://plan.example/fhir";

fn bearer(token: &str) -> HeaderMap {
    let value = format!("Bearer {token}").parse().unwrap();
    HeaderMap::from_iter([(http::header::AUTHORIZATION, value)])
}

/// Verifies with a library of another hand.
fn verifies(jwt: &str, jwk: &Value, algorithm: Algorithm) -> bool {
    let jwk = serde_json::from_value(jwk.clone()).unwrap();
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    jsonwebtoken::decode::<Value>(jwt, &key, &validation).is_ok()
}

#[test]
fn a_key_signs_what_is_its_own_and_nothing_else() {
    use Algorithm::{ES256, ES384, HS256, PS384, RS256, RS384, RS512};
    let ec = SigningKey::generate().unwrap();
    let rsa = SigningKey::generate_as(KeyKind::Rs384).unwrap();
    let table = [(&ec, "es384", vec![ES384]), (&rsa, "rs384", vec![RS384, RS256])];
    for (key, word, own) in table {
        assert_eq!(key.kind().word(), word);
        for algorithm in [ES256, ES384, HS256, PS384, RS256, RS384, RS512] {
            let signed = key.sign_with(&Header::new(algorithm), &json!({ "a": 1 }));
            assert_eq!(signed.is_ok(), own.contains(&algorithm), "{word} {algorithm:?}");
            if let Ok(jwt) = signed {
                assert!(verifies(&jwt, &key.public_jwk(), algorithm), "{word} {algorithm:?}");
            }
        }
        let plain = key.sign(&json!({ "a": 1 })).unwrap();
        let header: Value = serde_json::from_slice(
            &URL_SAFE_NO_PAD.decode(plain.split('.').next().unwrap()).unwrap(),
        )
        .unwrap();
        assert_eq!(
            (header["kid"].as_str(), header["typ"].as_str()),
            (Some(key.kid()), Some("JWT"))
        );
    }
}

#[test]
fn a_key_of_either_kind_is_known_again_and_shown_by_its_id_alone() {
    for kind in [KeyKind::Es384, KeyKind::Rs384] {
        let key = SigningKey::generate_as(kind).unwrap();
        let pem = key.to_pem();
        let stamped = format!("Made: 2026-11-22T12:00:00Z\n{pem}");
        for text in [&pem, &stamped] {
            let again = SigningKey::from_pem(text).unwrap();
            assert_eq!((again.kid(), again.kind()), (key.kid(), kind));
        }
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.public_jwk()).unwrap();
        let thumbprint = jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap();
        assert_eq!(thumbprint, key.kid(), "RFC 7638, by another hand");
        let shown = [format!("{key:?}"), format!("{:?}", KeyRing::new(key))].join(" ");
        let secret: String = pem.lines().nth(1).unwrap().chars().take(20).collect();
        assert!(!shown.contains(&secret) && !shown.contains("PRIVATE"), "{shown}");
        let jwks = SigningKey::from_pem(&pem).unwrap().jwks().to_string();
        for private in ["\"d\"", "\"p\"", "\"q\"", "\"dp\"", "\"qi\""] {
            assert!(!jwks.contains(private), "{jwks}");
        }
    }
}

#[tokio::test]
async fn an_rsa_key_signs_in_at_our_own_door() {
    let key = SigningKey::generate_as(KeyKind::Rs384).unwrap();
    let gate = gate(BASE, vec![credential("clinic", &key, SCOPES)], &SetClock::new());
    let held = token(&gate, "clinic", &key, SCOPES).await;
    gate.caller(&bearer(&held)).unwrap();
    // RS256 is UDAP's: SMART asks for RS384 or ES384.
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(key.kid().to_owned());
    let weak = key.sign_with(&header, &claims("clinic", &gate.token_endpoint(), "weak")).unwrap();
    assert_eq!(gate.token(token_form(&weak, SCOPES).as_bytes()).await.status, 401);
}

/// Proves: smart 294, 301-303
#[tokio::test]
async fn public_keys_are_fetched_by_url_and_kept_for_a_while() {
    let house = House::open(Bounds::default()).await;
    let url = format!("{}/.well-known/jwks.json", house.base);
    let client = FhirClient::new(&house.base, house.transport(), None);
    let none = client.get_absolute(&url).await.unwrap();
    assert_eq!(none.status(), 404, "a house without keys to show");

    let (old, new) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let kids = vec![old.kid().to_owned(), new.kid().to_owned()];
    house.gate.publish(OwnKeys::new(old, [new], []).jwks());
    let answer = client.get_absolute(&url).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=300");
    let told: Value = serde_json::from_slice(answer.body()).unwrap();
    let found: Vec<&str> =
        told["keys"].as_array().unwrap().iter().filter_map(|key| key["kid"].as_str()).collect();
    assert_eq!(found, kids, "what is to come is published before it signs");
    assert!(told["keys"].as_array().unwrap().iter().all(|key| key.get("d").is_none()));
}

#[tokio::test]
async fn tokens_of_the_secret_before_are_read_until_it_is_forgotten() {
    let (clock, key) = (SetClock::new(), SigningKey::generate().unwrap());
    let gate = gate(BASE, vec![credential("clinic", &key, SCOPES)], &clock);
    let (old, new) = ([7; 32], [8; 32]);
    let first = token(&gate, "clinic", &key, SCOPES).await;
    let read = |token: &str| gate.caller(&bearer(token)).is_ok();

    gate.issue_under(&old, &[new]);
    let announced = token(&gate, "clinic", &key, SCOPES).await;
    gate.issue_under(&new, &[old]);
    let second = token(&gate, "clinic", &key, SCOPES).await;
    assert!(read(&first) && read(&announced) && read(&second), "all hold in the overlap");
    gate.issue_under(&new, &[]);
    assert!(!read(&first) && !read(&announced) && read(&second), "what has gone is refused");
    clock.advance(300);
    assert!(!read(&second), "and none outlives its time");
}

#[tokio::test]
async fn whoever_signs_does_so_with_the_key_of_that_moment() {
    let house = House::open(Bounds::default()).await;
    let pem = house.key.to_pem();
    let held = || SigningKey::from_pem(&pem).unwrap();
    let next = SigningKey::generate().unwrap();
    let next_pem = next.to_pem();
    let next_again = || SigningKey::from_pem(&next_pem).unwrap();
    let ring = KeyRing::new(held());
    let smart = SmartClient::signing(
        house.transport(),
        &house.base,
        "clinic",
        ring.clone(),
        SCOPES.to_owned(),
        house.clock.clone(),
    );
    let client = FhirClient::new(&house.base, house.transport(), Some(smart));
    let status = async || client.get("Patient/1").await.map(|answer| answer.status().as_u16());
    assert_eq!(status().await.unwrap(), 200);

    // The partner has not heard of the new key: the one before it is taken.
    ring.replace(OwnKeys::new(next_again(), [], [held()]));
    house.clock.advance(300);
    assert_eq!(status().await.unwrap(), 200, "nobody is refused before the partner knows");
    // It knows both, and then the new one alone.
    let both = OwnKeys::new(next_again(), [], [held()]).jwks();
    let mut known = credential("clinic", &next, SCOPES);
    known.jwks = both;
    house.gate.register(vec![known]);
    house.clock.advance(300);
    assert_eq!(status().await.unwrap(), 200);
    house.gate.register(vec![credential("clinic", &next, SCOPES)]);
    assert_eq!(status().await.unwrap(), 200, "a token that ended with its key is asked for anew");
    // The old key alone is no way in any more.
    ring.replace(OwnKeys::from(held()));
    house.gate.register(vec![credential("clinic", &next, SCOPES)]);
    house.clock.advance(300);
    assert!(status().await.is_err(), "the old key is refused");
}

#[tokio::test]
async fn new_connections_are_shown_the_new_certificate_and_old_ones_go_on() {
    let (ca, ca_key) = tls::make_authority("first authority").unwrap();
    let (other_ca, other_key) = tls::make_authority("second authority").unwrap();
    let hosts = ["127.0.0.1".to_owned()];
    let pair = |ca: &str, key: &str| tls::issue_server_certificate(ca, key, &hosts).unwrap();
    let (first, second) = (pair(&ca, &ca_key), pair(&other_ca, &other_key));
    let live = LiveCertificate::new(first.0.as_bytes(), first.1.as_bytes()).unwrap();
    let live = Arc::new(live);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}/fhir", listener.local_addr().unwrap());
    let gate = gate(&base, Vec::new(), &SetClock::new());
    let router = wire::rest::router(Arc::new(crate::town::Records::default()), gate);
    let config = tls::live_server_config(live.clone(), None).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = wire::rest::mount("/fhir", router);
    let served = tokio::spawn(serve(listener, Some(config), router, async {
        stopped.await.ok();
    }));
    let client = |ca: &str| {
        let roots = [ca.to_owned().into_bytes()];
        let patience = std::time::Duration::from_secs(30);
        let transport = wire::HttpTransport::new(&roots, patience, 1_000_000).unwrap();
        FhirClient::new(&base, Arc::new(transport), None)
    };
    let open = async |client: &FhirClient| client.get_open("healthz").await.is_ok();

    let old_client = client(&ca);
    assert!(open(&old_client).await);
    // Half a file, another's key, nothing at all: the one before stays.
    let half = &second.0[..second.0.len() / 2];
    let table = [
        ("half a certificate", half, second.1.as_str()),
        ("a chain whose second half is missing", &*format!("{}{half}", second.0), &second.1),
        ("another's key", &second.0, &first.1),
        ("half a key", &second.0, &second.1[..second.1.len() / 2]),
        ("nothing", "", ""),
    ];
    for (case, chain, key) in table {
        assert!(live.replace(chain.as_bytes(), key.as_bytes()).is_err(), "{case}");
        assert!(open(&client(&ca)).await, "{case}: the one before stays");
    }
    assert!(live.replace(second.0.as_bytes(), second.1.as_bytes()).unwrap());
    assert!(!live.replace(second.0.as_bytes(), second.1.as_bytes()).unwrap(), "the same again");
    assert!(open(&old_client).await, "a connection that is there goes on");
    assert!(open(&client(&other_ca)).await, "a new one is shown the new certificate");
    assert!(!open(&client(&ca)).await, "and the old one is shown no more");
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
}

#[test]
fn a_request_for_a_certificate_keeps_the_names() {
    let now = NOW.parse().unwrap();
    let (ca, ca_key) = tls::make_authority_at("authority", now).unwrap();
    let hosts = ["h.example", "127.0.0.1", "::1"].map(str::to_owned);
    let (chain, _) = tls::issue_server_certificate_at(&ca, &ca_key, &hosts, now).unwrap();
    assert_eq!(tls::hosts_of(chain.as_bytes()).unwrap(), hosts);
    for kind in [KeyKind::Es384, KeyKind::Rs384] {
        let key = SigningKey::generate_as(kind).unwrap();
        let request = tls::request_like(chain.as_bytes(), &key).unwrap();
        // Read and checked by a library of another hand, its own signature included.
        let read = rcgen::CertificateSigningRequestParams::from_pem(&request).unwrap();
        let names = format!("{:?}", read.params.subject_alt_names);
        for host in ["h.example", "127.0.0.1", "::1"] {
            assert!(names.contains(host), "{names}");
        }
        let renewed = tls::issue_certificate_at(&ca, &ca_key, &hosts, &key, now).unwrap();
        let pem = key.to_pem();
        assert!(tls::server_config(renewed.as_bytes(), pem.as_bytes()).is_ok(), "{kind:?}");
        assert!(tls::request_like(ca.as_bytes(), &key).is_err(), "a certificate without names");
    }
    assert!(tls::hosts_of(b"").is_err());
}
