//! Sent: what our client says to a server is what the guide says, claim by claim, whatever our own
//! server would let pass.

use crate::client::{client, payment};
use crate::village::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use wire::pki::make::Made;
use wire::{SignIn, SignInError};

fn part(jwt: &str, nth: usize) -> Value {
    let part = jwt.split('.').nth(nth).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Header and claims of a JWT in the compact form, whose signature a library of another hand has
/// verified with the key of the first certificate that it carries: this one.
pub(crate) fn verified(jwt: &str, own: &Made) -> (Value, Map<String, Value>) {
    assert_eq!(jwt.split('.').count(), 3, "the compact form of a JWS");
    let header = part(jwt, 0);
    assert_eq!(header["x5c"][0], x5c(own)[0], "the leaf is the first, in standard base64");
    let der = wire::pki::read_pem(own.certificate.as_bytes()).unwrap().remove(0);
    let (_, leaf) = x509_parser::parse_x509_certificate(&der).unwrap();
    let key = jsonwebtoken::DecodingKey::from_rsa_der(&leaf.public_key().subject_public_key.data);
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    (validation.validate_exp, validation.validate_aud) = (false, false);
    let claims = jsonwebtoken::decode(jwt, &key, &validation).unwrap().claims;
    (header, claims)
}

/// What every JWT of ours says: who, to whom, since when, until when; answers its `jti`.
fn check_claims(claims: &Map<String, Value>, issuer: &str, audience: &str, life: i64) -> String {
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(issuer), &json!(issuer)));
    assert_eq!(claims["aud"], audience);
    let (issued, expiry) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert_eq!(issued, now().as_second());
    assert!(expiry > issued && expiry - issued <= life, "{}", expiry - issued);
    let jti = claims["jti"].as_str().unwrap();
    assert!(jti.len() >= 16, "{jti}");
    jti.to_owned()
}

fn by_path(sent: &[Request<Bytes>], path: &str) -> Vec<Bytes> {
    let url = format!("{BASE}{path}");
    sent.iter().filter(|one| one.uri() == url.as_str()).map(|one| one.body().clone()).collect()
}

/// Proves: udap 1-4, 7, 8, 71-81, 83, 85-87, 92, 95-97, 99, 101, 103, 104, 112
#[tokio::test]
async fn a_software_statement_says_who_asks_for_what_and_nothing_of_another_grant() {
    let (road, _, client) = client(|_| {});
    client.token(&payment()).await.unwrap();
    let sent = road.sent.lock().unwrap();
    let body: Value = serde_json::from_slice(&by_path(&sent, "/register")[0]).unwrap();
    let names: BTreeSet<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["software_statement", "udap"]);
    assert_eq!(body["udap"], "1");
    let (header, claims) = verified(body["software_statement"].as_str().unwrap(), &PAPERS.client);
    assert_eq!(header["alg"], "RS256");
    let certificate = wire::pki::read_pem(PAPERS.client.certificate.as_bytes()).unwrap();
    assert_eq!(wire::pki::uris(&certificate[0]), [CLIENT], "iss is the certificate's URI");
    check_claims(&claims, CLIENT, &format!("{BASE}/register"), 300);
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 300, "a statement lives for five minutes");
    assert_eq!(claims["client_name"], "Clinic");
    assert_eq!(claims["contacts"], json!(["mailto:it@clinic.example"]));
    assert_eq!(claims["grant_types"], json!(["client_credentials"]));
    assert_eq!(claims["token_endpoint_auth_method"], "private_key_jwt");
    let scope = claims["scope"].as_str().unwrap();
    assert!(scope.split(' ').all(|one| one.starts_with("system/")), "{scope}");
    for name in ["redirect_uris", "response_types"] {
        assert!(!claims.contains_key(name), "{name} is another grant's");
    }
    let kept = road.village.book.rows.lock().unwrap();
    assert_eq!(kept[&client_id()].0.certificate, x5c(&PAPERS.client)[0], "the server keeps it");
}

/// Proves: udap 1-4, 7, 8, 61, 67, 151-158, 160, 161, 163, 164, 169-171, 175, 192-198, 202, 212, 215, 221, 223-228
#[tokio::test]
async fn a_token_request_says_who_asks_for_which_purpose_and_holds_no_secret() {
    let (road, _, client) = client(|_| {});
    client.token(&payment()).await.unwrap();
    let sent = road.sent.lock().unwrap();
    let discovery = sent[0].uri().query().unwrap();
    let asked = wire::urlencoded::decode(discovery.as_bytes()).unwrap();
    assert_eq!(asked, [("community".to_owned(), TOWN.to_owned())]);
    let request = sent.last().unwrap();
    let endpoint = format!("{BASE}/token");
    assert!(request.method() == http::Method::POST && request.uri() == endpoint.as_str());
    assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
    assert!(sent.iter().all(|one| !one.headers().contains_key("authorization")));
    let mut form: BTreeMap<String, String> =
        wire::urlencoded::decode(request.body()).unwrap().into_iter().collect();
    let (header, claims) = verified(&form.remove("client_assertion").unwrap(), &PAPERS.client);
    assert_eq!(header["alg"], "RS256");
    let jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let expected = [
        ("client_assertion_type", jwt_bearer),
        ("grant_type", "client_credentials"),
        ("scope", "system/Encounter.cruds"),
        ("udap", "1"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form, BTreeMap::from(expected), "no secret, and nothing else");
    check_claims(&claims, &client_id(), &format!("{BASE}/token"), 300);
    let b2b = &claims["extensions"]["hl7-b2b"];
    let expected = json!({
        "version": "1",
        "organization_id": "https://clinic.example",
        "organization_name": "Clinic",
        "purpose_of_use": ["urn:oid:2.16.840.1.113883.5.8#HPAYMT"],
    });
    assert_eq!(*b2b, expected, "no person, no consent");
}

/// Proves: udap 82, 159
#[tokio::test]
async fn no_two_jwts_have_one_id() {
    let (road, _, client) = client(|_| {});
    for _ in 0..3 {
        let token = client.token(&payment()).await.unwrap();
        client.forget(&token);
    }
    client.cancel().await.unwrap();
    let sent = road.sent.lock().unwrap();
    let statements = by_path(&sent, "/register").into_iter().map(|body| {
        let body: Value = serde_json::from_slice(&body).unwrap();
        body["software_statement"].as_str().unwrap().to_owned()
    });
    let assertions = by_path(&sent, "/token").into_iter().map(|body| {
        let pairs = wire::urlencoded::decode(&body).unwrap();
        pairs.into_iter().find(|(name, _)| name == "client_assertion").unwrap().1
    });
    let ids: Vec<String> =
        statements.chain(assertions).map(|jwt| part(&jwt, 1)["jti"].to_string()).collect();
    assert_eq!(ids.len(), 5);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 5, "{ids:?}");
}

/// Proves: udap 123
#[tokio::test]
async fn an_answer_without_grants_is_the_end_of_a_registration() {
    let (road, ids, client) = client(|_| {});
    *road.answer.lock().unwrap() = Some(|said| said["grant_types"] = json!([]));
    let refused = client.token(&payment()).await.unwrap_err();
    assert!(matches!(&refused, SignInError::Refused(words) if words.contains("cancelled")));
    assert!(ids.0.lock().unwrap().is_empty(), "it is registered no more");
    assert!(by_path(&road.sent.lock().unwrap(), "/token").is_empty(), "and asks for no token");
}

/// Proves: udap 67, 125
#[tokio::test]
async fn the_id_that_a_server_gives_is_the_one_that_is_used() {
    let (road, _, client) = client(|_| {});
    *road.answer.lock().unwrap() = Some(|said| said["client_id"] = json!("another-id"));
    client.token(&payment()).await.unwrap_err();
    let sent = road.sent.lock().unwrap();
    let asked = by_path(&sent, "/token");
    assert!(!asked.is_empty());
    for body in asked {
        let pairs = wire::urlencoded::decode(&body).unwrap();
        let jwt = pairs.into_iter().find(|(name, _)| name == "client_assertion").unwrap().1;
        assert_eq!(part(&jwt, 1)["iss"], "another-id");
    }
}

#[tokio::test]
async fn an_id_without_end_or_in_several_lines_is_not_kept() {
    type Spoil = fn(&mut Value);
    let table: [(&str, Spoil); 4] = [
        ("without end", |said| said["client_id"] = json!("i".repeat(513))),
        ("in two lines", |said| said["client_id"] = json!("one\ntwo")),
        ("of no sign", |said| said["client_id"] = json!("")),
        ("no text", |said| said["client_id"] = json!(7)),
    ];
    for (case, spoil) in table {
        let (road, ids, client) = client(|_| {});
        *road.answer.lock().unwrap() = Some(spoil);
        assert!(client.token(&payment()).await.is_err(), "{case}");
        assert!(by_path(&road.sent.lock().unwrap(), "/token").is_empty(), "{case}");
        assert!(ids.0.lock().unwrap().is_empty(), "{case}");
    }
}
