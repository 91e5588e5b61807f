//! Metadata: what a server says of itself, in which certificate.

use crate::sent::verified;
use crate::village::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::Arc;
use wire::MemoryReplay;
use wire::pki::make;
use wire::trust::udap::{Identity, Membership, Udap};

fn part(jwt: &str, nth: usize) -> Value {
    let part = jwt.split('.').nth(nth).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Proves: udap 10, 11, 12, 15, 18, 22, 23, 24, 25, 26, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 40, 41, 42, 43, 44, 45, 46, 47, 62
#[tokio::test]
async fn the_document_says_what_the_server_does_and_nothing_else() {
    let village = Village::new();
    let answer = village.gate.udap_metadata(None).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header(&http::header::CONTENT_TYPE), Some("application/json"));
    let mut document = told(&answer);
    let jwt = document["signed_metadata"].take();
    let algorithms = ["RS256", "ES256", "RS384", "ES384"];
    let expected = json!({
        "udap_versions_supported": ["1"],
        "udap_profiles_supported": ["udap_dcr", "udap_authn", "udap_authz"],
        "udap_authorization_extensions_supported": ["hl7-b2b"],
        "udap_authorization_extensions_required": ["hl7-b2b"],
        "udap_certifications_supported": [],
        "udap_certifications_required": [],
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": ["system/*.cruds", "system/*.read", "system/*.write"],
        "token_endpoint": format!("{BASE}/token"),
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "registration_endpoint": format!("{BASE}/register"),
        "registration_endpoint_jwt_signing_alg_values_supported": algorithms,
        "signed_metadata": null,
    });
    assert_eq!(document, expected);
    assert_eq!(part(jwt.as_str().unwrap(), 0)["x5c"], json!(x5c(&PAPERS.server_town)));
    for (community, own) in [(TOWN, &PAPERS.server_town), (COUNTY, &PAPERS.server_county)] {
        let document = told(&village.gate.udap_metadata(Some(community)).unwrap());
        let header = part(document["signed_metadata"].as_str().unwrap(), 0);
        assert_eq!(header["x5c"], json!(x5c(own)), "{community}");
    }
    assert_eq!(village.gate.udap_metadata(Some("urn:example:moon")).unwrap().status, 204);
}

#[test]
fn another_certificate_signs_at_once_and_anchors_that_are_gone_vouch_for_nobody() {
    let book = Arc::new(Book::default());
    let replay = Arc::new(MemoryReplay::new(Arc::new(Noon)));
    let town = community(TOWN, &PAPERS.town, &PAPERS.server_town);
    let udap = Udap::new(BASE, vec![town.clone()], book, replay, Arc::new(Noon)).unwrap();
    let signed_in = || {
        let document = told(&udap.metadata(None).unwrap());
        part(document["signed_metadata"].as_str().unwrap(), 0)["x5c"].clone()
    };
    assert_eq!(signed_in(), json!(x5c(&PAPERS.server_town)));
    let renewed = make::application(&PAPERS.town, "plan", &[BASE.to_owned()], now()).unwrap();
    let identity = Identity::from_pem(renewed.certificate.as_bytes(), renewed.key.as_bytes());
    let identity = Arc::new(identity.unwrap());
    town.replace(Membership { trust: trust(&PAPERS.county), identity });
    assert_eq!(signed_in(), json!(x5c(&renewed)));
    let read = wire::pki::Chain::from_pem(PAPERS.client.certificate.as_bytes()).unwrap();
    assert!(town.trust().verify(&read, now()).is_err(), "the town's own client is a stranger now");
}

/// Proves: udap 1, 2, 3, 7, 8, 48, 49, 50, 51, 52, 53, 54, 55, 56, 58, 59
#[tokio::test]
async fn what_is_signed_names_the_base_url_and_the_endpoints() {
    let (village, other) = (Village::new(), Village::new());
    let jwt = told(&village.gate.udap_metadata(None).unwrap())["signed_metadata"].clone();
    let jwt = jwt.as_str().unwrap();
    let (header, claims) = verified(jwt, &PAPERS.server_town);
    assert_eq!(header["alg"], "RS256");
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(BASE), &json!(BASE)));
    let certificate = wire::pki::read_pem(PAPERS.server_town.certificate.as_bytes()).unwrap();
    assert!(wire::pki::uris(&certificate[0]).contains(&BASE.to_owned()));
    let (issued, expiry) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert!(issued == now().as_second() && expiry > issued && expiry - issued <= 366 * 86_400);
    assert_eq!(claims["token_endpoint"], format!("{BASE}/token"));
    assert_eq!(claims["registration_endpoint"], format!("{BASE}/register"));
    let another = told(&other.gate.udap_metadata(None).unwrap())["signed_metadata"].clone();
    assert_ne!(
        part(another.as_str().unwrap(), 1)["jti"],
        claims["jti"],
        "another JWT, another jti"
    );
}

/// A room with nothing in it.
struct Empty;

impl wire::rest::Rest for Empty {
    fn capability(&self) -> bytes::Bytes {
        "{}".into()
    }
}

/// Proves: udap 13, 14
#[tokio::test]
async fn the_document_is_given_to_whoever_asks() {
    let gate = std::sync::Arc::new(Village::new().gate);
    let router = wire::rest::router(std::sync::Arc::new(Empty), gate);
    let router = wire::rest::mount("/fhir", router);
    let ask = async |path: &str, authorization: Option<&str>| {
        let mut request = http::Request::get(path);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        tower::ServiceExt::oneshot(router.clone(), request).await.unwrap()
    };
    let path = "/fhir/.well-known/udap";
    for authorization in [None, Some("Bearer of-somebody-else"), Some("Basic eDp5")] {
        let answer = ask(path, authorization).await;
        assert_eq!(answer.status(), 200, "{authorization:?}");
        assert_eq!(answer.headers()["content-type"], "application/json");
    }
    assert_eq!(ask("/fhir/Patient/1", None).await.status(), 401, "and nothing else is");
}

/// Proves: udap 19
#[tokio::test]
async fn a_house_without_udap_has_none_of_its_doors() {
    let replay = std::sync::Arc::new(wire::MemoryReplay::new(std::sync::Arc::new(Noon)));
    let gate = wire::Gate::new(BASE, Vec::new(), [7; 32], replay, std::sync::Arc::new(Noon));
    for refused in [gate.udap_metadata(None).map(drop), gate.register_udap(b"{}").await.map(drop)] {
        let issue = refused.unwrap_err();
        assert_eq!(issue.code.row().status, 404);
    }
    let answer = gate.token_of(form("a.b.c", &[]).as_bytes(), false, None).await;
    assert_eq!(answer.status, 401);
}
