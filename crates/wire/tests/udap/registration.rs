//! Registration: what is refused with which error, and leaves no row; what is changed and cancelled.

use crate::village::*;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

const STATEMENT: &str = "invalid_software_statement";
const METADATA: &str = "invalid_client_metadata";
const UNAPPROVED: &str = "unapproved_software_statement";

fn spoiled(spoil: impl Fn(&mut Value)) -> String {
    statement(&PAPERS.client, spoil)
}

fn set(name: &'static str, value: Value) -> String {
    spoiled(move |claims| match &value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value.clone(),
    })
}

fn table() -> Vec<(&'static str, String, &'static str)> {
    let at = now().as_second();
    let foreign = wire::pki::make::community("Nobody", now()).unwrap();
    let stranger =
        wire::pki::make::application(&foreign, "x", &[CLIENT.to_owned()], now()).unwrap();
    let named = |uri: &str| set_both(uri);
    vec![
        ("another audience", set("aud", json!(format!("{BASE}/token"))), STATEMENT),
        ("sub is not iss", set("sub", json!("https://else.example")), STATEMENT),
        ("iss in capitals", named("https://CLINIC.example/app"), STATEMENT),
        ("iss with a slash", named("https://clinic.example/app/"), STATEMENT),
        ("iss with a port", named("https://clinic.example:443/app"), STATEMENT),
        ("no iss", set("iss", Value::Null), STATEMENT),
        ("no jti", set("jti", Value::Null), STATEMENT),
        ("no iat", set("iat", Value::Null), STATEMENT),
        (
            "expired",
            spoiled(move |it| {
                it["iat"] = (at - 400).into();
                it["exp"] = (at - 200).into();
            }),
            STATEMENT,
        ),
        ("exp too far", set("exp", json!(at + 301)), STATEMENT),
        ("a foreign authority", statement(&stranger, |_| {}), UNAPPROVED),
        ("a revoked certificate", statement(&PAPERS.revoked, |_| {}), UNAPPROVED),
        (
            "authorization_code without redirect_uris",
            set("grant_types", json!(["authorization_code"])),
            METADATA,
        ),
        (
            "both grants",
            set("grant_types", json!(["authorization_code", "client_credentials"])),
            METADATA,
        ),
        (
            "refresh_token alone",
            set("grant_types", json!(["client_credentials", "refresh_token"])),
            METADATA,
        ),
        ("no grant_types", set("grant_types", Value::Null), METADATA),
        (
            "redirect_uris with client_credentials",
            set("redirect_uris", json!(["https://a.example"])),
            METADATA,
        ),
        (
            "response_types with client_credentials",
            set("response_types", json!(["code"])),
            METADATA,
        ),
        (
            "a shared secret",
            set("token_endpoint_auth_method", json!("client_secret_basic")),
            METADATA,
        ),
        ("no name", set("client_name", Value::Null), METADATA),
        ("no contacts", set("contacts", json!([])), METADATA),
        ("contacts without mailto", set("contacts", json!(["https://clinic.example"])), METADATA),
        ("no scope", set("scope", Value::Null), METADATA),
        ("a logo by http", set("logo_uri", json!("http://clinic.example/a.png")), METADATA),
    ]
}

fn set_both(uri: &str) -> String {
    let uri = uri.to_owned();
    spoiled(move |claims| {
        claims["iss"] = uri.clone().into();
        claims["sub"] = uri.clone().into();
    })
}

/// Proves: udap 105, 106, 107, 108, 109, 114
#[tokio::test]
async fn what_is_wrong_with_a_statement_gets_its_error_and_leaves_nothing() {
    let village = Village::new();
    for (case, jwt, error) in table() {
        let answer = village.register(&jwt).await;
        assert_eq!((answer.status, told(&answer)["error"].as_str()), (400, Some(error)), "{case}");
        assert!(told(&answer)["client_id"].is_null(), "{case}");
    }
    for body in ["", "[]", "{}", r#"{"udap":"1"}"#, r#"{"udap":"2","software_statement":"a.b.c"}"#]
    {
        let answer = village.gate.register_udap(body.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 400, "{body}");
    }
    assert_eq!(village.book.writes.load(Ordering::SeqCst), 0, "a row was written");
}

#[tokio::test]
async fn a_certified_text_that_is_no_uri_is_nobodys_name() {
    let village = Village::new();
    let long = format!("https://a.example/{}", "a".repeat(512));
    let table = [
        ("a line of its own", "https://a.example/\nudap-1  registered as clinic"),
        ("a NUL", "https://clinic.example/\0app"),
        ("an escape sequence", "https://a.example/\u{1b}[8m"),
        ("a blank", "https://a.example/a b"),
        ("no scheme", "clinic"),
        ("nothing behind the scheme", "https://"),
        ("no end", long.as_str()),
    ];
    for (case, uri) in table {
        let names = [uri.to_owned()];
        let own = wire::pki::make::application(&PAPERS.town, "x", &names, now()).unwrap();
        let answer = village.register(&statement(&own, |_| {})).await;
        let said = told(&answer);
        assert_eq!((answer.status, said["error"].as_str()), (400, Some(STATEMENT)), "{case}");
    }
    assert_eq!(village.book.writes.load(Ordering::SeqCst), 0, "a row was written");
}

/// Proves: udap 68, 110, 111, 113, 116, 119, 120, 122, 124
#[tokio::test]
async fn a_registration_is_made_changed_and_cancelled_under_one_id() {
    let village = Village::new();
    let jwt = spoiled(|_| {});
    let body = json!({ "software_statement": jwt, "udap": "1", "certifications": ["a.b.c", 7] });
    let made = village.gate.register_udap(body.to_string().as_bytes()).await.unwrap();
    let said = told(&made);
    assert_eq!((made.status, said["client_id"].as_str()), (201, Some(client_id().as_str())));
    assert_eq!(said["software_statement"], jwt);
    for (name, value) in [
        ("client_name", json!("Clinic")),
        ("grant_types", json!(["client_credentials"])),
        ("token_endpoint_auth_method", json!("private_key_jwt")),
        ("contacts", json!(["mailto:it@clinic.example"])),
        ("scope", json!("system/Encounter.cruds system/Patient.rs")),
    ] {
        assert_eq!(said[name], value);
    }
    let replayed = village.register(&jwt).await;
    assert_eq!((replayed.status, &told(&replayed)["error"]), (400, &json!(STATEMENT)));

    let changed = village.register(&set("scope", json!("system/Patient.rs"))).await;
    assert_eq!((changed.status, &told(&changed)["client_id"]), (200, &said["client_id"]));
    let token = village.token(&assertion(&PAPERS.client, |_| {})).await;
    assert_eq!(told(&token)["error"], "invalid_scope", "the scope went with the change");

    let ended = village.register(&set("grant_types", json!([]))).await;
    assert_eq!((ended.status, &told(&ended)["grant_types"]), (200, &json!([])));
    let twice = village.register(&set("grant_types", json!([]))).await;
    assert_eq!((twice.status, &told(&twice)["error"]), (400, &json!(METADATA)));
}

#[tokio::test]
async fn a_stranger_of_the_community_waits_for_a_person() {
    let village = Village::new();
    for own in [&PAPERS.other, &PAPERS.other] {
        let answer = village.register(&statement(own, |_| {})).await;
        assert_eq!((answer.status, &told(&answer)["error"]), (400, &json!(UNAPPROVED)));
        let words = told(&answer)["error_description"].to_string();
        assert!(words.contains("person") && words.contains("approve"), "{words}");
    }
}

#[tokio::test]
async fn communities_keep_their_registrations_apart() {
    let village = Village::registered().await;
    // The same URI, certified elsewhere, is another client: it changes nothing in the town.
    let other = statement(&PAPERS.client_county, |_| {});
    let answer = village.register(&other).await;
    assert_ne!(told(&answer)["client_id"], json!(client_id()));
    let narrowed = assertion(&PAPERS.client, |_| {});
    assert_eq!(village.token(&narrowed).await.status, 200);
}

/// A key of P-256, which signs ES256 (RFC 7518 §3.4), from its certificate to its token.
///
/// Proves: udap 5
#[tokio::test]
async fn an_elliptic_key_registers_and_signs_in_as_well() {
    let uri = rcgen::SanType::URI(CLIENT.try_into().unwrap());
    let own = crate::certificates::leaf_of(&PAPERS.town, &[uri]);
    let signer = jsonwebtoken::EncodingKey::from_ec_pem(own.key.as_bytes()).unwrap();
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    header.x5c = Some(x5c(&own));
    let signed = |claims: &Value| jsonwebtoken::encode(&header, claims, &signer).unwrap();
    let at = now().as_second();
    let statement = json!({
        "iss": CLIENT, "sub": CLIENT, "aud": format!("{BASE}/register"),
        "iat": at, "exp": at + 240, "jti": "elliptic",
        "client_name": "Clinic", "contacts": ["mailto:it@clinic.example"],
        "grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt",
        "scope": "system/Encounter.cruds",
    });
    let village = Village::new();
    assert_eq!(village.register(&signed(&statement)).await.status, 201);
    assert_eq!(village.token(&signed(&assertion_claims())).await.status, 200);
}
