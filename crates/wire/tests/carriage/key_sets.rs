//! Goal: a partner rotates its keys at a URL of its own and signs in all the while; nobody else gains
//! anything by the URL.
//!
//! How: a gate over a partner's URL that answers from a script and counts how often it is asked.

use crate::town::{SCOPES, SetClock, claims, credential, token_form};
use bytes::Bytes;
use exchange::Code;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wire::trust::jwks::KeySet;
use wire::{Answer, BoxFuture, Gate, MemoryReplay, SigningKey, Transport, TransportError};

const BASE: &str = "https://plan.example/fhir";
const ENDPOINT: &str = "https://plan.example/fhir/token";
const URL: &str = "https://clinic.example/jwks.json";

type Line = Result<Response<Bytes>, TransportError>;
type Said = Arc<dyn Fn() -> Line + Send + Sync>;

/// A web server that says one thing until told otherwise.
struct Site {
    says: Mutex<Said>,
    asked: Mutex<Vec<Request<Bytes>>>,
}

impl Site {
    fn new(said: Said) -> Arc<Site> {
        Arc::new(Site { says: Mutex::new(said), asked: Mutex::default() })
    }

    fn now_says(&self, said: Said) {
        *self.says.lock().unwrap() = said;
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Transport for Site {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Line> {
        self.asked.lock().unwrap().push(request);
        let said = self.says.lock().unwrap().clone();
        Box::pin(async move {
            // Lets others run, so that two who ask at once do so.
            tokio::task::yield_now().await;
            said()
        })
    }
}

fn answers(status: u16, cache: &'static str, body: impl ToString) -> Said {
    let body = Bytes::from(body.to_string());
    Arc::new(move || {
        let answer = Response::builder().status(status).header("cache-control", cache);
        Ok(answer.body(body.clone()).unwrap())
    })
}

fn publishes(cache: &'static str, keys: &[&SigningKey]) -> Said {
    let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
    answers(200, cache, json!({ "keys": keys }))
}

fn away() -> Said {
    Arc::new(|| Err(TransportError::NotSent("refused".into())))
}

/// A gate that knows the clinic by its URL, and the hospital by keys in its file.
struct Scene {
    gate: Gate,
    site: Arc<Site>,
    clock: Arc<SetClock>,
    set: Arc<KeySet>,
    jti: Mutex<u32>,
}

impl Scene {
    fn new(said: Said) -> Scene {
        let (clock, site) = (SetClock::new(), Site::new(said));
        // Refusals wait as long as a fetch may take: a moment is enough of both here.
        let wait = Duration::from_millis(200);
        let set = KeySet::waiting(wait, URL, site.clone(), clock.clone()).unwrap();
        let key = SigningKey::generate().unwrap();
        let mut clinic = credential("clinic", &key, SCOPES);
        clinic.jwks = Value::Null;
        let replay = Arc::new(MemoryReplay::new(clock.clone()));
        let credentials = vec![clinic, credential("hospital", &key, SCOPES)];
        let gate = Gate::new(BASE, credentials, [7; 32], replay, clock.clone());
        let gate = gate.with_key_sets(HashMap::from([("clinic".to_owned(), set.clone())]));
        Scene { gate, site, clock, set, jti: Mutex::new(0) }
    }

    async fn sign_in(&self, key: &SigningKey) -> Answer {
        let mut claims = claims("clinic", ENDPOINT, &self.draw());
        let passed = self.clock.passed();
        for time in ["iat", "exp"] {
            claims[time] = json!(claims[time].as_i64().unwrap() + passed);
        }
        let assertion = key.sign(&claims).unwrap();
        self.gate.token(token_form(&assertion, SCOPES).as_bytes()).await
    }

    fn draw(&self) -> String {
        let mut jti = self.jti.lock().unwrap();
        *jti += 1;
        jti.to_string()
    }

    async fn status(&self, key: &SigningKey) -> u16 {
        self.sign_in(key).await.status
    }
}

fn bearer(answer: &Answer) -> HeaderMap {
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let value = format!("Bearer {}", told["access_token"].as_str().unwrap());
    HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::try_from(value).unwrap())])
}

/// Proves: smart 296, 338, 339, 342
#[tokio::test]
async fn a_set_is_asked_for_once_and_kept_as_long_as_it_says() {
    let key = SigningKey::generate().unwrap();
    let scene = Scene::new(publishes("max-age=120", &[&key]));
    assert_eq!(scene.site.asked(), 0, "nothing is asked before somebody signs in");
    for _ in 0..3 {
        assert_eq!(scene.status(&key).await, 200);
    }
    assert_eq!(scene.site.asked(), 1);
    let request = scene.site.asked.lock().unwrap().remove(0);
    assert_eq!((request.method().as_str(), request.uri().to_string()), ("GET", URL.to_owned()));
    assert!(request.headers().get("authorization").is_none());
    scene.clock.advance(119);
    assert_eq!(scene.status(&key).await, 200);
    assert_eq!(scene.site.asked(), 0, "it is kept");
    scene.clock.advance(1);
    assert_eq!(scene.status(&key).await, 200);
    assert_eq!(scene.site.asked(), 1, "and no longer");
}

#[tokio::test]
async fn a_new_key_signs_in_at_once_and_a_removed_one_takes_its_tokens_with_it() {
    let (old, new) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let scene = Scene::new(publishes("max-age=3600", &[&old]));
    let token = bearer(&scene.sign_in(&old).await);
    scene.gate.caller(&token).unwrap();
    scene.clock.advance(11);
    scene.site.now_says(publishes("max-age=3600", &[&new]));
    assert_eq!(scene.status(&new).await, 200, "an unknown key id is asked for");
    assert_eq!(scene.site.asked(), 2);
    let gone = scene.gate.caller(&token).unwrap_err();
    assert_eq!(gone.code, Code::SignInRequired, "the old key is gone, and so is what it signed");
    assert_eq!(scene.gate.admit(&token, None).await.unwrap_err().code, Code::SignInRequired);
    assert_eq!(scene.status(&old).await, 401);
}

#[tokio::test]
async fn a_token_of_another_process_is_known_by_asking_once() {
    let key = SigningKey::generate().unwrap();
    let (one, two) = (Scene::new(publishes("", &[&key])), Scene::new(publishes("", &[&key])));
    let token = bearer(&one.sign_in(&key).await);
    assert!(two.gate.caller(&token).is_err(), "it knows no key so far");
    for _ in 0..3 {
        assert_eq!(two.gate.admit(&token, None).await.unwrap().partner, "partner of clinic");
    }
    assert_eq!(two.site.asked(), 1);
}

#[tokio::test]
async fn strangers_cannot_make_the_gate_ask_and_ask() {
    let (key, stranger) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let scene = Scene::new(publishes("max-age=3600", &[&key]));
    assert_eq!(scene.status(&key).await, 200);
    for _ in 0..3 {
        assert_eq!(scene.status(&stranger).await, 401);
    }
    assert_eq!(scene.site.asked(), 1, "between two fetches there is a floor");
    scene.clock.advance(10);
    assert_eq!(scene.status(&stranger).await, 401);
    assert_eq!(scene.site.asked(), 2);
    assert_eq!(scene.status(&key).await, 200, "and the partner is served all the while");
}

#[tokio::test]
async fn who_signs_in_at_once_shares_one_fetch() {
    let key = SigningKey::generate().unwrap();
    let scene = Scene::new(publishes("", &[&key]));
    let (a, b, c) = tokio::join!(scene.status(&key), scene.status(&key), scene.status(&key));
    assert_eq!((a, b, c), (200, 200, 200));
    assert_eq!(scene.site.asked(), 1);
}

#[tokio::test]
async fn a_set_whose_time_is_over_verifies_nobody_while_its_url_is_away() {
    let key = SigningKey::generate().unwrap();
    let scene = Scene::new(publishes("max-age=60", &[&key]));
    let token = bearer(&scene.sign_in(&key).await);
    scene.site.now_says(away());
    scene.clock.advance(59);
    assert_eq!((scene.status(&key).await, scene.site.asked()), (200, 1));
    scene.clock.advance(1);
    assert_eq!(scene.status(&key).await, 401);
    assert!(scene.set.trouble().is_some(), "openly");
    assert!(scene.gate.caller(&token).is_ok(), "a token that was given stands until it ends");
    assert_eq!((scene.status(&key).await, scene.site.asked()), (401, 2), "not asked each time");
    scene.clock.advance(10);
    scene.site.now_says(publishes("max-age=60", &[&key]));
    assert_eq!(scene.status(&key).await, 200);
    assert_eq!(scene.set.trouble(), None);
}

/// Proves: smart 341
#[tokio::test]
async fn a_set_that_may_not_be_kept_serves_one_sign_in() {
    let (key, next) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let scene = Scene::new(publishes("no-store", &[&key]));
    let token = bearer(&scene.sign_in(&key).await);
    assert_eq!(scene.status(&key).await, 200);
    assert_eq!(scene.site.asked(), 2, "each sign-in asks");
    assert!(scene.gate.caller(&token).is_ok());
    scene.site.now_says(publishes("no-store", &[&next]));
    assert_eq!(scene.status(&key).await, 401, "not by keys of a moment ago");
    assert_eq!(scene.status(&next).await, 200);
    assert!(scene.gate.caller(&token).is_err(), "what the old key signed is gone with it");
}

#[tokio::test]
async fn who_asks_for_a_set_that_may_not_be_kept_waits_for_one_fetch_and_not_for_a_queue() {
    let (key, stranger) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let scene = Scene::new(publishes("no-store", &[&key]));
    let strangers = futures_util::future::join_all((0..50).map(|_| scene.status(&stranger)));
    let (refused, clinic) = tokio::join!(strangers, scene.status(&key));
    assert!(refused.iter().all(|status| *status == 401));
    assert_eq!(clinic, 200);
    assert!(scene.site.asked() <= 2, "asked {} times", scene.site.asked());
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_set_last_longer() {
    let (key, next) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let scene = Scene::new(publishes("max-age=60", &[&key]));
    scene.clock.advance(7_200);
    assert_eq!(scene.status(&key).await, 200);
    scene.clock.advance(-3_600);
    scene.site.now_says(publishes("max-age=60", &[&next]));
    assert_eq!(scene.status(&key).await, 401, "it was removed");
    assert_eq!(scene.status(&next).await, 200);
}

#[tokio::test]
async fn a_url_that_was_away_is_not_asked_again_at_once() {
    let key = SigningKey::generate().unwrap();
    let scene = Scene::new(away());
    assert_eq!((scene.status(&key).await, scene.status(&key).await), (401, 401));
    assert_eq!(scene.site.asked(), 1);
    scene.site.now_says(publishes("", &[&key]));
    scene.clock.advance(10);
    assert_eq!(scene.status(&key).await, 200);
}

/// Proves: smart 338
#[tokio::test]
async fn every_hostile_set_of_keys_is_refused_with_words_and_the_client_hears_none_of_them() {
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let with = |member: &str, value: Value| {
        let mut jwk = key.public_jwk();
        jwk[member] = value;
        json!({ "keys": [jwk] })
    };
    let site = |status, body: Value| answers(status, "", body);
    let good = json!({ "keys": [key.public_jwk()] });
    let oct = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": key.kid(), "alg": "HS256" });
    let table: Vec<(&str, Said, &str)> = vec![
        ("a redirect to another host", site(302, good.clone()), "redirects"),
        ("a permanent redirect", site(308, good.clone()), "redirects"),
        ("not there", site(404, good.clone()), "404"),
        ("sign-in wanted", site(401, good.clone()), "401"),
        ("a page", answers(200, "", "<html>"), "not JSON"),
        ("nothing", answers(200, "", ""), "not JSON"),
        ("a bare key", site(200, key.public_jwk()), "array"),
        ("too large", answers(200, "", " ".repeat(70_000)), "larger"),
        ("too large on the wire", Arc::new(|| Err(TransportError::AnswerTooLarge)), "larger"),
        ("not trusted", Arc::new(|| Err(TransportError::Untrusted("x".into()))), "not trusted"),
        ("in a private network", Arc::new(|| Err(TransportError::BeyondReach)), "private network"),
        (
            "one id twice",
            site(200, json!({ "keys": [key.public_jwk(), key.public_jwk()] })),
            "one kid",
        ),
        ("a symmetric key under our id", site(200, json!({ "keys": [oct] })), "secret"),
        ("a private key", site(200, with("d", json!("AA"))), "private"),
        ("for encryption", site(200, with("use", json!("enc"))), "for signing"),
        ("on another curve", site(200, with("crv", json!("P-256"))), "for signing"),
        ("without an id", site(200, with("kid", Value::Null)), "no kid"),
    ];
    let mut heard = std::collections::BTreeSet::new();
    for (case, said, words) in table {
        let scene = Scene::new(said);
        let answer = scene.sign_in(&key).await;
        assert_eq!(answer.status, 401, "{case}");
        let trouble = scene.set.trouble().unwrap_or_default();
        assert!(trouble.contains(words), "{case}: {trouble}");
        heard.insert(answer.body);
    }
    let scene = Scene::new(publishes("", &[&other]));
    heard.insert(scene.sign_in(&key).await.body);
    let mut unknown = claims("nobody", ENDPOINT, "1");
    unknown["sub"] = json!("nobody");
    let form = token_form(&key.sign(&unknown).unwrap(), SCOPES);
    heard.insert(scene.gate.token(form.as_bytes()).await.body);
    assert_eq!(heard.len(), 1, "an unknown client and a set that cannot be used answer the same");
}

#[tokio::test]
async fn no_refusal_tells_by_its_time_which_clients_there_are_and_a_mistake_is_slow_once() {
    let (key, stranger) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let scene = Scene::new(publishes("max-age=3600", &[&key]));
    // Keys at a URL, keys in a file, and nobody.
    for client in ["clinic", "hospital", "nobody"] {
        let refused = |case: &str| {
            let jti = format!("{client} {case}");
            let form = token_form(&stranger.sign(&claims(client, ENDPOINT, &jti)).unwrap(), SCOPES);
            async { scene.gate.token(&form.into_bytes()).await.status }
        };
        for round in ["first", "later"] {
            let mut slow = Box::pin(refused(round));
            assert!(slow.as_mut().now_or_never().is_none(), "{client}: the {round} one waits");
            assert_eq!(slow.await, 401, "{client}");
            for case in ["second", "third"] {
                let at_once = refused(case).now_or_never();
                assert_eq!(at_once, Some(401), "{client}: the {case} one does not");
            }
            scene.clock.advance(10);
        }
    }
    // Where a set is away nobody's refusal is quick: its client's could not be.
    scene.site.now_says(away());
    scene.clock.advance(3_600);
    for client in ["clinic", "hospital", "nobody"] {
        for case in ["away", "away again", "still away"] {
            let jti = format!("{client} {case}");
            let form = token_form(&stranger.sign(&claims(client, ENDPOINT, &jti)).unwrap(), SCOPES);
            let mut slow = Box::pin(scene.gate.token(form.as_bytes()));
            assert!(slow.as_mut().now_or_never().is_none(), "{client}, {case}");
            assert_eq!(slow.await.status, 401, "{client}, {case}");
        }
    }
    let at_once = scene.gate.token(token_form("no assertion", SCOPES).as_bytes()).now_or_never();
    assert_eq!(at_once.map(|answer| answer.status), Some(401), "what says nothing of a client");
}

#[tokio::test]
async fn while_a_set_is_not_known_every_refusal_takes_its_time() {
    let stranger = SigningKey::generate().unwrap();
    let scene = Scene::new(away());
    for client in ["clinic", "nobody", "clinic", "nobody"] {
        let jti = scene.draw();
        let form = token_form(&stranger.sign(&claims(client, ENDPOINT, &jti)).unwrap(), SCOPES);
        let mut refused = Box::pin(scene.gate.token(form.as_bytes()));
        assert!(refused.as_mut().now_or_never().is_none(), "{client}");
        assert_eq!(refused.await.status, 401, "{client}");
    }
}

#[tokio::test]
async fn who_is_claimed_by_strangers_signs_in_as_ever_and_its_url_is_left_alone() {
    let (key, stranger) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let scene = Scene::new(publishes("max-age=3600", &[&key]));
    assert_eq!(scene.status(&stranger).await, 401, "somebody claims to be the clinic");
    for _ in 0..100 {
        assert_eq!(scene.sign_in(&stranger).now_or_never().map(|answer| answer.status), Some(401));
    }
    assert_eq!(scene.status(&key).await, 200, "the clinic itself, in the same moment");
    assert_eq!(scene.site.asked(), 1);
}

/// Proves: smart 338
#[tokio::test]
async fn a_jku_is_never_followed_and_must_be_the_registered_one() {
    let key = SigningKey::generate().unwrap();
    let signed = |jku: &str, client: &str, jti: &str| {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES384);
        (header.kid, header.jku) = (Some(key.kid().to_owned()), Some(jku.to_owned()));
        let signer = jsonwebtoken::EncodingKey::from_ec_pem(key.to_pem().as_bytes()).unwrap();
        jsonwebtoken::encode(&header, &claims(client, ENDPOINT, jti), &signer).unwrap()
    };
    let table = [
        ("the registered one", "clinic", URL, 200),
        ("another one", "clinic", "https://evil.example/jwks.json", 401),
        ("another spelling", "clinic", "https://clinic.example:443/jwks.json", 401),
        ("inside the house", "clinic", "http://127.0.0.1/jwks.json", 401),
        ("where keys are in a file", "hospital", URL, 401),
    ];
    for (case, client, jku, status) in table {
        let scene = Scene::new(publishes("", &[&key]));
        let form = token_form(&signed(jku, client, case), SCOPES);
        assert_eq!(scene.gate.token(form.as_bytes()).await.status, status, "{case}");
        let asked = scene.site.asked.lock().unwrap();
        assert!(asked.iter().all(|request| request.uri() == URL), "{case}");
    }
}

#[test]
fn keys_are_at_an_https_url_or_nowhere() {
    for url in
        ["http://clinic.example/jwks", "http://127.0.0.1/jwks", "file:///x", "x", "https://a@b/"]
    {
        let set = KeySet::new(url, Site::new(away()), SetClock::new());
        assert_eq!(set.map(drop).unwrap_err().code, Code::ConfigInvalid, "{url}");
    }
}
