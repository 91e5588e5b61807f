//! Token requests: what is refused, with which answer; and that no token is given by the way.

use crate::village::*;
use exchange::Purpose;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};

/// What a row spoils, and the answer it must get: status and OAuth error.
type Row = (&'static str, String, (u16, &'static str));

const CLIENT_FAULT: (u16, &str) = (401, "invalid_client");
const GRANT_FAULT: (u16, &str) = (400, "invalid_grant");

fn spoiled(spoil: impl Fn(&mut Value)) -> String {
    assertion(&PAPERS.client, spoil)
}

fn b2b(spoil: impl Fn(&mut Value)) -> String {
    spoiled(|claims| spoil(&mut claims["extensions"]["hl7-b2b"]))
}

fn without(name: &'static str) -> String {
    spoiled(move |claims| drop(claims.as_object_mut().unwrap().remove(name)))
}

/// JWTs whose header, chain or signature is wrong.
fn chains() -> Vec<Row> {
    let papers = &*PAPERS;
    let claims = assertion_claims;
    let own = x5c(&papers.client);
    let signed = |alg: &str, chain: &[String]| sign(&papers.client, alg, chain, &claims());
    let tampered = {
        let proper = signed("RS256", &own);
        let (head, _) = proper.rsplit_once('.').unwrap();
        format!("{head}.{}", "A".repeat(342))
    };
    let many = vec![own[0].clone(); 7];
    let foreign = {
        let mut claims = claims();
        claims["iss"] = client_id().into();
        sign(&papers.client_county, "RS256", &x5c(&papers.client_county), &claims)
    };
    vec![
        ("alg none", signed("none", &own), CLIENT_FAULT),
        ("HS256 with the public key", signed("HS256", &own), CLIENT_FAULT),
        ("RS512, which is not offered", signed("RS512", &own), CLIENT_FAULT),
        ("a signature that is none", tampered, CLIENT_FAULT),
        ("another's leaf in x5c", signed("RS256", &x5c(&papers.other)), CLIENT_FAULT),
        ("x5c empty", signed("RS256", &[]), CLIENT_FAULT),
        ("x5c no base64", signed("RS256", &["%%".to_owned()]), CLIENT_FAULT),
        ("x5c no certificate", signed("RS256", &["AAAA".to_owned()]), CLIENT_FAULT),
        ("x5c of seven certificates", signed("RS256", &many), CLIENT_FAULT),
        ("a certificate of another client", assertion(&papers.other, |_| {}), CLIENT_FAULT),
        ("the other community's certificate", foreign, CLIENT_FAULT),
        ("a revoked certificate", assertion(&papers.revoked, |_| {}), CLIENT_FAULT),
        ("no JWT", "not-a-jwt".to_owned(), CLIENT_FAULT),
    ]
}

/// JWTs whose claims are wrong.
fn claims() -> Vec<Row> {
    let at = now().as_second();
    let set =
        |name: &'static str, value: Value| spoiled(move |claims| claims[name] = value.clone());
    vec![
        ("another audience", set("aud", json!("https://else.example/token")), CLIENT_FAULT),
        ("two audiences", set("aud", json!([format!("{BASE}/token"), "b"])), CLIENT_FAULT),
        ("the audience with a slash", set("aud", json!(format!("{BASE}/token/"))), CLIENT_FAULT),
        ("no audience", without("aud"), CLIENT_FAULT),
        (
            "expired",
            spoiled(move |it| {
                it["iat"] = (at - 400).into();
                it["exp"] = (at - 150).into();
            }),
            CLIENT_FAULT,
        ),
        ("exp too far", set("exp", json!(at + 301)), CLIENT_FAULT),
        ("exp before iat", set("exp", json!(at - 1)), CLIENT_FAULT),
        (
            "a life so long that its seconds wrap around",
            spoiled(|it| {
                it["iat"] = i64::MIN.into();
                it["exp"] = 253_000_000_000_i64.into();
            }),
            CLIENT_FAULT,
        ),
        ("exp at the end of all numbers", set("exp", json!(i64::MAX)), CLIENT_FAULT),
        ("no exp", without("exp"), CLIENT_FAULT),
        ("no iat", without("iat"), CLIENT_FAULT),
        (
            "iat in the future",
            spoiled(move |it| {
                it["iat"] = (at + 200).into();
                it["exp"] = (at + 300).into();
            }),
            CLIENT_FAULT,
        ),
        ("nbf in the future", set("nbf", json!(at + 200)), CLIENT_FAULT),
        ("nbf no number", set("nbf", json!("soon")), CLIENT_FAULT),
        ("no jti", without("jti"), CLIENT_FAULT),
        ("an endless jti", set("jti", json!("j".repeat(257))), CLIENT_FAULT),
        ("sub is not iss", set("sub", json!("udap-else")), CLIENT_FAULT),
        (
            "a client that nobody knows",
            spoiled(|it| {
                it["iss"] = "udap-nobody".into();
                it["sub"] = "udap-nobody".into();
            }),
            CLIENT_FAULT,
        ),
        (
            "a SMART client's id",
            spoiled(|it| {
                it["iss"] = "clinic".into();
                it["sub"] = "clinic".into();
            }),
            CLIENT_FAULT,
        ),
    ]
}

/// Authorization extension objects that are wrong.
fn extensions() -> Vec<Row> {
    let set = |name: &'static str, value: Value| b2b(move |it| it[name] = value.clone());
    let code = "urn:oid:2.16.840.1.113883.5.8#HPAYMT";
    vec![
        ("no extensions", without("extensions"), GRANT_FAULT),
        ("no hl7-b2b", spoiled(|it| it["extensions"] = json!({})), GRANT_FAULT),
        ("version 2", set("version", json!("2")), GRANT_FAULT),
        ("version a number", set("version", json!(1)), GRANT_FAULT),
        ("organization_id no URI", set("organization_id", json!("clinic")), GRANT_FAULT),
        ("organization_id missing", set("organization_id", Value::Null), GRANT_FAULT),
        ("no purpose", set("purpose_of_use", json!([])), GRANT_FAULT),
        ("purpose no list", set("purpose_of_use", json!(code)), GRANT_FAULT),
        ("unknown purpose", set("purpose_of_use", json!(["HMARKT"])), GRANT_FAULT),
        ("purpose of another system", set("purpose_of_use", json!(["urn:x#TREAT"])), GRANT_FAULT),
        ("a purpose that is not agreed", set("purpose_of_use", json!(["HQUALIMP"])), GRANT_FAULT),
        (
            "too many purposes",
            set("purpose_of_use", json!([code, code, code, code, code, code])),
            GRANT_FAULT,
        ),
        (
            "consent_reference alone",
            set("consent_reference", json!(["https://a.example/Consent/1"])),
            GRANT_FAULT,
        ),
        ("subject_id alone", set("subject_id", json!("1234567893")), GRANT_FAULT),
    ]
}

/// Proves: udap 2, 3, 7, 8, 172, 173, 174, 176, 177, 179, 180, 181, 182, 183, 229
#[tokio::test]
async fn what_is_wrong_with_an_authentication_token_gets_its_answer_and_no_token() {
    let village = Village::registered().await;
    for (case, jwt, (status, error)) in [chains(), claims(), extensions()].concat() {
        let answer = village.token(&jwt).await;
        assert_eq!(
            (answer.status, told(&answer)["error"].as_str()),
            (status, Some(error)),
            "{case}"
        );
        assert!(told(&answer)["access_token"].is_null(), "{case}");
    }
    // None of them stood in the way of a proper one.
    assert_eq!(village.token(&spoiled(|_| {})).await.status, 200);
}

/// Proves: udap 164, 178, 183, 224
#[tokio::test]
async fn what_is_wrong_with_the_form_gets_its_answer_and_no_token() {
    let village = Village::registered().await;
    type Row = (&'static str, &'static [(&'static str, &'static str)], bool, (u16, &'static str));
    let table: [Row; 9] = [
        ("udap 2", &[("udap", "2")], false, (400, "invalid_request")),
        ("an Authorization header", &[], true, (400, "invalid_request")),
        ("a secret", &[("client_secret", "s")], false, (400, "invalid_request")),
        (
            "another grant",
            &[("grant_type", "authorization_code")],
            false,
            (400, "unsupported_grant_type"),
        ),
        (
            "another assertion type",
            &[("client_assertion_type", "saml")],
            false,
            (400, "invalid_request"),
        ),
        ("no scope", &[("scope", "")], false, (400, "invalid_request")),
        (
            "a scope beyond what was registered",
            &[("scope", "system/Claim.cruds")],
            false,
            (400, "invalid_scope"),
        ),
        ("another client's id", &[("client_id", "udap-else")], false, CLIENT_FAULT),
        // Without the parameter it is a SMART request, and no key of SMART's signed it.
        ("udap missing", &[("udap", "")], false, CLIENT_FAULT),
    ];
    for (case, changed, authorization, (status, error)) in table {
        let body = form(&spoiled(|_| {}), changed);
        let answer = village.gate.token_of(body.as_bytes(), authorization, None).await;
        assert_eq!(
            (answer.status, told(&answer)["error"].as_str()),
            (status, Some(error)),
            "{case}"
        );
        assert!(told(&answer)["access_token"].is_null(), "{case}");
    }
}

#[tokio::test]
async fn an_authentication_token_opens_the_door_once() {
    let village = Village::registered().await;
    let jwt = spoiled(|_| {});
    assert_eq!(village.token(&jwt).await.status, 200);
    let again = village.token(&jwt).await;
    assert_eq!((again.status, &told(&again)["error"]), (401, &json!("invalid_client")));
}

/// Proves: udap 4, 184
#[tokio::test]
async fn a_token_serves_its_scopes_and_purposes_until_the_registration_ends() {
    let village = Village::registered().await;
    let wide = form(&spoiled(|_| {}), &[("scope", "system/*.cruds")]);
    let answer = village.gate.token_of(wide.as_bytes(), false, None).await;
    let body = told(&answer);
    assert_eq!(answer.status, 200, "{body}");
    // Of all that was asked, what is registered and agreed.
    assert_eq!(body["scope"], "system/Encounter.cruds system/Patient.rs");
    assert!(body["expires_in"].as_u64().unwrap() <= 3600);
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", body["access_token"].as_str().unwrap());
    headers.insert(AUTHORIZATION, bearer.parse().unwrap());
    let caller = village.gate.caller(&headers).unwrap();
    assert_eq!((caller.partner.as_str(), caller.client_id.clone()), ("clinic", client_id()));
    assert!(caller.may("system/Encounter.c") && !caller.may("system/Patient.c"));
    assert_eq!(caller.purposes, Some([Purpose::Payment].into()));
    assert!(Village::registered().await.gate.caller(&headers).is_ok(), "any process knows it");

    let ended = statement(&PAPERS.client, |claims| claims["grant_types"] = json!([]));
    assert_eq!(village.register(&ended).await.status, 200);
    assert!(village.gate.caller(&headers).is_err(), "its tokens end with it");
    assert_eq!(village.token(&spoiled(|_| {})).await.status, 401);
}

#[tokio::test]
async fn a_token_does_not_come_back_with_the_next_registration() {
    let village = Village::registered().await;
    let answer = village.token(&assertion(&PAPERS.client, |_| {})).await;
    let bearer = format!("Bearer {}", told(&answer)["access_token"].as_str().unwrap());
    let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer.parse().unwrap())]);
    assert!(village.gate.caller(&headers).is_ok());
    let cancelled = statement(&PAPERS.client, |claims| claims["grant_types"] = json!([]));
    assert_eq!(village.register(&cancelled).await.status, 200);
    assert!(village.gate.caller(&headers).is_err());
    assert_eq!(village.register(&statement(&PAPERS.client, |_| {})).await.status, 201);
    assert!(village.gate.caller(&headers).is_err(), "it was given under another registration");
}
