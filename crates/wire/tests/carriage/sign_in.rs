//! Goal: only the holder of a registered key gets a token, and only for what is registered.
//!
//! How: one proper assertion, then the same with one thing spoilt, in a table.

use crate::town::{NOW, SCOPES, SetClock, claims, credential, gate, token, token_form};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use exchange::Code;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use std::sync::Arc;
use wire::keys::KeyKind;
use wire::limits::REPLAYS_REMEMBERED_MAX;
use wire::{Answer, Gate, MemoryReplay, Replay, SigningKey};

const BASE: &str = "https://plan.example/fhir";
const ENDPOINT: &str = "https://plan.example/fhir/token";

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// A JWT with any header, signed ES384 by the key, whatever the header says.
fn forge(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let signer = jsonwebtoken::EncodingKey::from_ec_pem(key.to_pem().as_bytes()).unwrap();
    let algorithm = jsonwebtoken::Algorithm::ES384;
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &signer, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// The classic confusion: a MAC whose key is the public key.
fn forge_mac(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn told(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(http::header::AUTHORIZATION, value)])
}

/// Proves: smart 250, 253-256, 258-260, 326, 336
#[tokio::test]
async fn a_proper_assertion_opens_the_door_once() {
    let key = SigningKey::generate().unwrap();
    let gate = gate(BASE, vec![credential("clinic", &key, SCOPES)], &SetClock::new());
    let assertion = key.sign(&claims("clinic", ENDPOINT, "j1")).unwrap();
    let form = token_form(&assertion, "system/Patient.rs system/Nothing.x handover/operate");

    let answer = gate.token(form.as_bytes()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header(&http::header::CACHE_CONTROL), Some("no-store"));
    let granted = told(&answer);
    assert_eq!(granted["token_type"], "bearer");
    assert_eq!(granted["expires_in"], 300);
    assert_eq!(granted["scope"], "system/Patient.rs", "what is not registered is not granted");
    let caller = gate.caller(&bearer(granted["access_token"].as_str().unwrap())).unwrap();
    assert_eq!(caller.partner, "partner of clinic");
    assert_eq!(caller.scopes, ["system/Patient.rs"]);

    let again = gate.token(form.as_bytes()).await;
    assert_eq!((again.status, told(&again)["error"].as_str()), (401, Some("invalid_client")));
    let words = told(&again)["error_description"].as_str().unwrap().to_owned();
    assert!(words.starts_with("credential-refused: this jti was used before"), "{words}");
}

#[tokio::test]
async fn a_gate_that_can_remember_no_more_assertions_asks_for_patience() {
    let (clock, key) = (SetClock::new(), SigningKey::generate().unwrap());
    let replay = Arc::new(MemoryReplay::new(clock.clone()));
    let until = NOW.parse::<jiff::Timestamp>().unwrap();
    for number in 0..REPLAYS_REMEMBERED_MAX {
        assert!(replay.first_use("clinic", &number.to_string(), until).await.unwrap());
    }
    let full = replay.first_use("clinic", "one more", until).await.unwrap_err();
    assert_eq!(full.code, Code::HouseBusy);
    let credentials = vec![credential("clinic", &key, SCOPES)];
    let gate = Gate::new(BASE, credentials, [7; 32], replay, clock.clone());
    let form = token_form(&key.sign(&claims("clinic", ENDPOINT, "j")).unwrap(), SCOPES);
    let busy = gate.token(form.as_bytes()).await;
    let retry = busy.header(&http::header::RETRY_AFTER).map(str::to_owned);
    assert_eq!((busy.status, retry), (503, Some("2".to_owned())));
    clock.advance(1);
    assert_eq!(gate.token(form.as_bytes()).await.status, 200, "what has expired is forgotten");
}

/// Proves: smart 240, 249, 252, 335, 337, 338, 340
#[tokio::test]
async fn every_hostile_assertion_is_refused() {
    let key = SigningKey::generate().unwrap();
    let other = SigningKey::generate().unwrap();
    let credentials =
        vec![credential("clinic", &key, SCOPES), credential("hospital", &other, SCOPES)];
    let gate = gate(BASE, credentials, &SetClock::new());
    let header = json!({ "alg": "ES384", "typ": "JWT", "kid": key.kid() });
    let proper = claims("clinic", ENDPOINT, "jti");
    let now = NOW.parse::<jiff::Timestamp>().unwrap().as_second();
    let with = |base: &Value, name: &str, value: Value| {
        let mut spoilt = base.clone();
        match value {
            Value::Null => drop(spoilt.as_object_mut().unwrap().shift_remove(name)),
            value => spoilt[name] = value,
        }
        spoilt
    };
    let headed = |name: &str, value: Value| forge(&with(&header, name, value), &proper, &key);
    let claimed = |name: &str, value: Value| forge(&header, &with(&proper, name, value), &key);
    let unsigned = |alg: &str| {
        let header = with(&header, "alg", json!(alg));
        format!("{}.{}.", encode(&header), encode(&proper))
    };
    let public = key.public_jwk().to_string();
    let mac = with(&header, "alg", json!("HS256"));
    let good = forge(&header, &proper, &key);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let swapped =
        format!("{}.{}.{signature}", encode(&header), encode(&with(&proper, "jti", json!("x"))));

    let table = [
        ("algorithm none", unsigned("none")),
        ("algorithm none in capitals", unsigned("NONE")),
        ("ES384 without a signature", unsigned("ES384")),
        ("HS256 keyed with the public JWK", forge_mac(&mac, &proper, public.as_bytes())),
        ("HS256 keyed with the key id", forge_mac(&mac, &proper, key.kid().as_bytes())),
        ("another curve's algorithm", headed("alg", json!("ES256"))),
        ("RS384 over an EC key", headed("alg", json!("RS384"))),
        ("no algorithm", headed("alg", Value::Null)),
        ("no key id", headed("kid", Value::Null)),
        ("an unknown key id", headed("kid", json!("unknown"))),
        ("another client's key id", headed("kid", json!(other.kid()))),
        ("another client's key under our id", forge(&header, &proper, &other)),
        (
            "another client's key and id",
            forge(&with(&header, "kid", json!(other.kid())), &proper, &other),
        ),
        (
            "a key of its own in the header",
            forge(&with(&header, "jwk", other.public_jwk()), &proper, &other),
        ),
        ("critical extensions", headed("crit", json!(["exp"]))),
        ("a signed thing that is no JWT", headed("typ", json!("dpop+jwt"))),
        (
            "an unknown client",
            forge(&header, &with(&with(&proper, "iss", json!("x")), "sub", json!("x")), &key),
        ),
        ("no issuer", claimed("iss", Value::Null)),
        ("no subject", claimed("sub", Value::Null)),
        ("another subject", claimed("sub", json!("hospital"))),
        ("no audience", claimed("aud", Value::Null)),
        ("the base URL as audience", claimed("aud", json!(BASE))),
        ("another server as audience", claimed("aud", json!("https://else.example/token"))),
        ("two audiences", claimed("aud", json!([ENDPOINT, "https://else.example/token"]))),
        ("a slash more in the audience", claimed("aud", json!(format!("{ENDPOINT}/")))),
        ("expired", claimed("exp", json!(now - 61))),
        ("expires too far ahead", claimed("exp", json!(now + 361))),
        ("expires in a thousand years", claimed("exp", json!(now + 31_536_000_000_i64))),
        ("no expiry", claimed("exp", Value::Null)),
        ("expiry as text", claimed("exp", json!("soon"))),
        ("expiry negative", claimed("exp", json!(-1))),
        ("not valid yet", claimed("nbf", json!(now + 120))),
        ("issued in the future", claimed("iat", json!(now + 120))),
        ("no jti", claimed("jti", Value::Null)),
        ("an empty jti", claimed("jti", json!(""))),
        ("a huge jti", claimed("jti", json!("x".repeat(257)))),
        ("a jti that is a number", claimed("jti", json!(7))),
        ("claims changed after signing", swapped),
        ("signature cut", format!("{signed}.{}", &signature[..signature.len() - 4])),
        ("signature not base64", format!("{signed}.!!!!")),
        ("two parts", signed.to_owned()),
        ("four parts", format!("{good}.x")),
        ("not base64", "a.b!.c".to_owned()),
        ("not JSON", format!("{}.{}.", URL_SAFE_NO_PAD.encode("x"), URL_SAFE_NO_PAD.encode("y"))),
        ("huge", "x".repeat(20_000)),
    ];
    for (case, assertion) in table {
        let answer = gate.token(token_form(&assertion, SCOPES).as_bytes()).await;
        assert_eq!(answer.status, 401, "{case}");
        let told = told(&answer);
        assert_eq!(told["error"], "invalid_client", "{case}");
        assert!(told.get("access_token").is_none(), "{case}");
        let words = told["error_description"].as_str().unwrap();
        let row = Code::CredentialRefused.row();
        assert!(words.starts_with(row.slug) && words.ends_with(row.next), "{case}: {words}");
        assert!(
            words.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'\\'),
            "{case}"
        );
    }
    let answer = gate.token(token_form(&good, SCOPES).as_bytes()).await;
    assert_eq!(answer.status, 200, "none of them has used up the proper one");
}

/// Before the signature holds, a stranger cannot tell an unknown client from a wrong key.
#[tokio::test]
async fn strangers_learn_nothing() {
    let (key, stranger) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let gate = gate(BASE, vec![credential("clinic", &key, SCOPES)], &SetClock::new());
    let mut answers = Vec::new();
    for client in ["clinic", "nobody"] {
        let assertion = stranger.sign(&claims(client, ENDPOINT, "j")).unwrap();
        answers.push(gate.token(token_form(&assertion, SCOPES).as_bytes()).await);
    }
    assert_eq!(answers[0], answers[1]);
}

/// Proves: smart 250, 251
#[tokio::test]
async fn a_spoilt_form_gets_its_own_error() {
    let key = SigningKey::generate().unwrap();
    let gate = gate(BASE, vec![credential("clinic", &key, "system/Patient.rs")], &SetClock::new());
    let assertion = key.sign(&claims("clinic", ENDPOINT, "j")).unwrap();
    let proper = token_form(&assertion, "system/Patient.rs");
    let table = [
        ("no grant type", proper.replace("grant_type=client_credentials", ""), "invalid_request"),
        (
            "another grant",
            proper.replace("client_credentials", "authorization_code"),
            "unsupported_grant_type",
        ),
        (
            "password grant",
            proper.replace("client_credentials", "password"),
            "unsupported_grant_type",
        ),
        ("another assertion type", proper.replace("jwt-bearer", "saml2-bearer"), "invalid_request"),
        ("no assertion", proper.replace("client_assertion=", "x="), "invalid_request"),
        ("no scope", proper.replace("scope=", "x="), "invalid_request"),
        ("a parameter twice", format!("{proper}&scope=system%2FPatient.rs"), "invalid_request"),
        ("a broken escape", format!("{proper}&x=%f"), "invalid_request"),
        ("empty", String::new(), "invalid_request"),
    ];
    for (case, form, error) in table {
        let answer = gate.token(form.as_bytes()).await;
        assert_eq!((answer.status, &told(&answer)["error"]), (400, &json!(error)), "{case}");
    }
    let answer = gate.token(format!("{proper}&client_id=hospital").as_bytes()).await;
    assert_eq!(told(&answer)["error"], "invalid_client", "the form names another client");
    let answer = gate.token(token_form(&assertion, "system/Encounter.rs").as_bytes()).await;
    assert_eq!((answer.status, &told(&answer)["error"]), (400, &json!("invalid_scope")));
}

/// Proves: smart 297, 310
#[tokio::test]
async fn an_rsa_key_signs_in_as_well() {
    // SMART asks clients to support RS384; a 2048-bit key made for this test.
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let signer = {
        use aws_lc_rs::encoding::AsDer;
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            base64::engine::general_purpose::STANDARD.encode(der.as_ref())
        );
        jsonwebtoken::EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
    };
    let algorithm = jsonwebtoken::Algorithm::RS384;
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&signer, algorithm).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    jwk["kid"] = json!("rsa-1");
    let other = SigningKey::generate().unwrap();
    let mut registered = credential("clinic", &other, SCOPES);
    registered.jwks = json!({ "keys": [jwk] });
    let gate = gate(BASE, vec![registered], &SetClock::new());
    let mut header = jsonwebtoken::Header::new(algorithm);
    header.kid = Some("rsa-1".into());
    let claims = claims("clinic", ENDPOINT, "j");
    let assertion = jsonwebtoken::encode(&header, &claims, &signer).unwrap();
    assert_eq!(gate.token(token_form(&assertion, SCOPES).as_bytes()).await.status, 200);
}

/// Proves: smart 338
#[tokio::test]
async fn a_key_id_that_two_keys_of_one_kind_have_is_neithers() {
    let drawn = |kind| SigningKey::generate_as(kind).unwrap();
    let table = [
        (KeyKind::Es384, KeyKind::Rs384, 200),
        (KeyKind::Rs384, KeyKind::Es384, 200),
        (KeyKind::Es384, KeyKind::Es384, 401),
        (KeyKind::Rs384, KeyKind::Rs384, 401),
    ];
    for (kind, beside, status) in table {
        let (key, mut twin) = (drawn(kind), drawn(beside).public_jwk());
        twin["kid"] = json!(key.kid());
        // Without it, the kind alone tells them apart.
        twin.as_object_mut().unwrap().shift_remove("alg");
        let mut registered = credential("clinic", &key, SCOPES);
        registered.jwks = json!({ "keys": [key.public_jwk(), twin] });
        let gate = gate(BASE, vec![registered], &SetClock::new());
        let assertion = key.sign(&claims("clinic", ENDPOINT, "j")).unwrap();
        let answer = gate.token(token_form(&assertion, SCOPES).as_bytes()).await;
        assert_eq!(answer.status, status, "{kind:?} beside {beside:?}");
    }
}

/// Who holds a token, and what could be done to it.
///
/// Proves: smart 77, 94, 96, 261, 265
#[tokio::test]
async fn only_an_own_whole_and_living_token_is_honoured() {
    let key = SigningKey::generate().unwrap();
    let clock = SetClock::new();
    let house = |base: &str, secret: u8| {
        let replay = std::sync::Arc::new(wire::MemoryReplay::new(clock.clone()));
        let credentials = vec![credential("clinic", &key, SCOPES)];
        Gate::new(base, credentials, [secret; 32], replay, clock.clone())
    };
    let gate = house(BASE, 1);
    let good = token(&gate, "clinic", &key, SCOPES).await;
    let foreign = token(&house(BASE, 2), "clinic", &key, SCOPES).await;
    let sister = token(&house("https://plan.example/other", 1), "clinic", &key, SCOPES).await;
    let parts: Vec<&str> = good.split('.').collect();
    let mut note: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    note["s"] = json!("handover/operate");
    let widened = format!("{}.{}.{}", parts[0], encode(&note), parts[2]);
    let two = HeaderMap::from_iter(
        [&good, &good]
            .map(|t| (http::header::AUTHORIZATION, format!("Bearer {t}").parse().unwrap())),
    );
    let mut two_values = two.clone();
    two_values.append(http::header::AUTHORIZATION, format!("Bearer {good}").parse().unwrap());
    let basic = HeaderMap::from_iter([(
        http::header::AUTHORIZATION,
        HeaderValue::try_from(format!("Basic {good}")).unwrap(),
    )]);

    let table = [
        ("none", HeaderMap::new()),
        ("empty", bearer("")),
        ("another scheme", basic),
        ("two headers", two_values),
        ("another house's secret", bearer(&foreign)),
        ("another base URL under the same secret", bearer(&sister)),
        ("scopes changed", bearer(&widened)),
        ("cut", bearer(&good[..good.len() - 2])),
        ("MAC missing", bearer(&format!("{}.{}.", parts[0], parts[1]))),
        ("another format", bearer(&good.replacen("hd1", "hd2", 1))),
        ("the assertion itself", bearer(&key.sign(&claims("clinic", ENDPOINT, "j")).unwrap())),
        ("huge", bearer(&"x".repeat(100_000))),
    ];
    for (case, headers) in table {
        assert_eq!(gate.caller(&headers).unwrap_err().code, Code::SignInRequired, "{case}");
    }

    gate.caller(&bearer(&good)).unwrap();
    clock.advance(299);
    gate.caller(&bearer(&good)).unwrap();
    clock.advance(1);
    assert!(gate.caller(&bearer(&good)).is_err(), "it has expired to the second");
}

/// Proves: smart 240
#[tokio::test]
async fn what_is_no_longer_registered_ends_at_once() {
    let (key, next) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let gate = gate(BASE, vec![credential("clinic", &key, SCOPES)], &SetClock::new());
    let held = bearer(&token(&gate, "clinic", &key, SCOPES).await);
    assert!(gate.caller(&held).unwrap().may("system/Patient.u"));

    gate.register(vec![credential("clinic", &key, "system/Patient.r")]);
    let caller = gate.caller(&held).unwrap();
    assert!(caller.may("system/Patient.r") && !caller.may("system/Patient.u"), "narrowed");
    gate.register(vec![credential("clinic", &next, SCOPES)]);
    assert!(gate.caller(&held).is_err(), "the key was replaced");
    gate.register(vec![credential("clinic", &key, SCOPES), credential("clinic", &key, SCOPES)]);
    assert!(gate.caller(&held).is_err(), "a client id that stands for two is nobody's");
    gate.register(Vec::new());
    assert!(gate.caller(&held).is_err(), "the partner is gone");
}
