//! Goal: whoever has a token reads the whole chart of the EHR, page by page; whoever has none reads
//! nothing; and nobody writes.
//!
//! How: a chart larger than two pages, over real TLS on loopback, with the client the gateway uses.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use fhir::{Bundle, Resource};
use http::StatusCode;
use jiff::Timestamp;
use sim::ehr::{Ehr, EhrPlan};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use wire::{Clock, Credential, FhirClient, HttpTransport, SigningKey, SmartClient};

const OBSERVATIONS: usize = 120;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        "2026-01-03T12:00:00Z".parse().unwrap()
    }
}

/// One town: an authority, the gateway's key, a folder.
struct Street {
    authority: (String, String),
    server: (String, String),
    key: SigningKey,
    folder: tempfile::TempDir,
}

impl Street {
    fn new() -> Street {
        let authority = wire::tls::make_authority("Invented authority").unwrap();
        let names = ["localhost".to_owned()];
        let server =
            wire::tls::issue_server_certificate(&authority.0, &authority.1, &names).unwrap();
        let key = SigningKey::generate().unwrap();
        Street { authority, server, key, folder: tempfile::tempdir().unwrap() }
    }

    async fn start(&self, chart: Vec<Bytes>) -> Ehr {
        let credential = Credential {
            client_id: "gateway".into(),
            partner: "gateway".into(),
            jwks: self.key.jwks(),
            scopes: vec!["system/*.rs".into()],
        };
        let plan = EhrPlan {
            folder: self.folder.path(),
            name: "Invented Hospital",
            credentials: vec![credential],
            secret: [7; 32],
            host: Some("localhost"),
            tls: Some((self.server.0.as_bytes(), self.server.1.as_bytes())),
            clock: Arc::new(Noon),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Ehr::start(plan, chart, listener).await.unwrap()
    }

    fn client(&self, ehr: &Ehr, signed_in: bool) -> FhirClient {
        let roots = [self.authority.0.clone().into_bytes()];
        let transport = HttpTransport::new(&roots, Duration::from_secs(30), 1 << 24).unwrap();
        let transport = Arc::new(transport);
        let (base, pem) = (ehr.base_url(), self.key.to_pem());
        let scope = "system/*.rs".to_owned();
        let sign_in = SmartClient::new(
            Arc::clone(&transport) as _,
            base,
            "gateway",
            &pem,
            scope,
            Arc::new(Noon),
        );
        FhirClient::new(base, transport, signed_in.then(|| sign_in.unwrap()))
    }
}

fn observation(number: usize, status: &str) -> Bytes {
    let text = format!(
        r#"{{"resourceType":"Observation","id":"o-{number}", "status":"{status}",
            "code":{{"coding":[{{"system":"http://loinc.org","code":"4548-4"}}]}},
            "subject":{{"reference":"Patient/p"}},"valueQuantity":{{"value":{number}.00}}}}"#
    );
    text.into()
}

fn chart() -> Vec<Bytes> {
    let patient = Bytes::from_static(br#"{"resourceType":"Patient","id":"p"}"#);
    (0..OBSERVATIONS).map(|number| observation(number, "final")).chain([patient]).collect()
}

/// Follows the `next` links to the end; the resources by id, and how many pages it took.
async fn all(client: &FhirClient, query: &str) -> (BTreeMap<String, Resource>, usize) {
    let mut answer = client.get(query).await.unwrap();
    let (mut found, mut pages) = (BTreeMap::new(), 0);
    loop {
        assert_eq!(answer.status(), StatusCode::OK);
        let bundle = Bundle::parse(answer.into_body()).unwrap();
        pages += 1;
        for entry in &bundle.entries {
            let resource = entry.resource.clone().unwrap();
            let again = found.insert(resource.id().unwrap().to_owned(), resource);
            assert!(again.is_none(), "no record stands in two pages");
        }
        match bundle.link("next") {
            Some(next) => answer = client.get_absolute(next).await.unwrap(),
            None => return (found, pages),
        }
    }
}

#[tokio::test]
async fn with_a_token_every_page_is_read_and_every_digit_is_as_filed() {
    let street = Street::new();
    let ehr = street.start(chart()).await;
    let client = street.client(&ehr, true);
    let (found, pages) = all(&client, "Observation?patient=p&code=4548-4").await;
    assert_eq!((found.len(), pages), (OBSERVATIONS, 3));
    let one = std::str::from_utf8(found["o-7"].bytes()).unwrap();
    assert!(one.contains(r#""value":7.00"#) && one.contains(r#""versionId":"1""#), "{one}");

    let read = client.get("Patient/p").await.unwrap();
    assert_eq!(read.headers()["etag"], "W/\"1\"");
    assert_eq!(read.headers()["last-modified"], "Sat, 03 Jan 2026 12:00:00 GMT");
    for (path, status) in [
        ("Patient/nobody", StatusCode::NOT_FOUND),
        ("Observation?mood=good", StatusCode::BAD_REQUEST),
        ("Observation?date=soon", StatusCode::BAD_REQUEST),
        ("status/s-1", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(client.get(path).await.unwrap().status(), status, "{path}");
    }
    ehr.stop().await;
}

#[tokio::test]
async fn without_a_token_nothing_is_read_but_what_the_door_says_of_itself() {
    let street = Street::new();
    let ehr = street.start(chart()).await;
    let stranger = street.client(&ehr, false);
    for path in ["Patient/p", "Patient/nobody", "Observation?patient=p", "Observation"] {
        let answer = stranger.get(path).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(!answer.body().windows(4).any(|bytes| bytes == b"o-1\""), "{path}");
    }
    let statement = stranger.get("metadata").await.unwrap();
    let statement = Resource::parse(statement.into_body()).unwrap();
    assert_eq!(statement.kind(), "CapabilityStatement");
    assert!(!std::str::from_utf8(statement.bytes()).unwrap().contains("\"transaction\""));
    ehr.stop().await;
}

#[tokio::test]
async fn nobody_writes_through_the_door() {
    let street = Street::new();
    let ehr = street.start(chart()).await;
    let client = street.client(&ehr, true);
    let body = r#"{"resourceType":"Bundle","type":"transaction"}"#;
    let answer = client.post("", "application/fhir+json", body.into()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    ehr.stop().await;
}

#[tokio::test]
async fn the_same_folder_is_the_same_chart_and_an_amendment_is_its_next_version() {
    let street = Street::new();
    street.start(chart()).await.stop().await;
    let ehr = street.start(chart()).await;
    let amended = observation(7, "amended");
    let later: Timestamp = "2026-01-04T12:00:00Z".parse().unwrap();
    let loaded = ehr.amend(later, amended.clone()).await.unwrap();
    assert_eq!((loaded.created, loaded.updated, loaded.unchanged), (0, 1, 0));
    let loaded = ehr.amend(later, amended).await.unwrap();
    assert_eq!((loaded.updated, loaded.unchanged), (0, 1), "the same again is no version");

    let client = street.client(&ehr, true);
    let (found, _) = all(&client, "Observation?_lastUpdated=gt2026-01-03T12:00:01Z").await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["o-7"]);
    for kind in ["Encounter", "DiagnosticReport"] {
        let (found, _) = all(&client, &format!("{kind}?_lastUpdated=ge2026-01-03")).await;
        assert_eq!(found.len(), 0, "asked of the whole population");
    }
    let history = client.get("Observation/o-7/_history").await.unwrap();
    let versions = Bundle::parse(history.into_body()).unwrap().entries.len();
    assert_eq!(versions, 2, "loading the chart a second time made no version");
    ehr.stop().await;
}

#[tokio::test]
async fn a_chart_that_cannot_be_read_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (text, place) in [
        (r#"{"resourceType":"Patient"}"#, "resource 0"),
        (r#"{"resourceType":"Patient","id":"a b"}"#, "resource 0"),
        ("{}", "resource 0"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plan = plain(folder.path());
        let issue = Ehr::start(plan, [Bytes::from_static(text.as_bytes())], listener).await;
        let issue = issue.unwrap_err();
        assert_eq!(issue.code, exchange::Code::EntryInvalid, "{text}");
        assert!(issue.detail.contains(place), "{text}");
    }
}

#[tokio::test]
async fn plain_http_beyond_loopback_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let issue = Ehr::start(plain(folder.path()), [], listener).await.unwrap_err();
    assert_eq!(issue.code, exchange::Code::BindRefused);
}

fn plain(folder: &Path) -> EhrPlan<'_> {
    EhrPlan {
        folder,
        name: "Invented Hospital",
        credentials: Vec::new(),
        secret: [7; 32],
        host: None,
        tls: None,
        clock: Arc::new(Noon),
    }
}
