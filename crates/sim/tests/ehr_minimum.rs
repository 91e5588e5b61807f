//! Goal: an EHR of the minimum answers what US Core says it SHALL, refuses the rest in words, gives
//! every record of a search, and gives the same record the same way each time.
//!
//! How: a chart of a few patients over HTTP on loopback, with the client the gateway uses.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use fhir::{Bundle, Resource};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;
use sim::ehr::{Ehr, EhrMode, EhrPlan, Odd};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use wire::{
    BoxFuture, Clock, Credential, FhirClient, HttpTransport, SigningKey, SmartClient, Transport,
    TransportError,
};

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        "2026-01-03T12:00:00Z".parse().unwrap()
    }
}

/// The network, for a caller that takes what it is told to.
struct Way {
    transport: HttpTransport,
    accept: Mutex<Option<&'static str>>,
}

impl Transport for Way {
    fn send(
        &self,
        mut request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        if let Some(accept) = *self.accept.lock().unwrap() {
            request.headers_mut().insert("accept", http::HeaderValue::from_static(accept));
        }
        self.transport.send(request)
    }
}

fn later() -> Timestamp {
    "2026-01-04T12:00:00Z".parse().unwrap()
}

/// An EHR in a mode, and a gateway that may read it.
struct Street {
    ehr: Ehr,
    client: FhirClient,
    way: Arc<Way>,
    _folder: tempfile::TempDir,
}

impl Street {
    async fn new(mode: EhrMode) -> Street {
        let key = SigningKey::generate().unwrap();
        let credential = Credential {
            client_id: "gateway".into(),
            partner: "gateway".into(),
            jwks: key.jwks(),
            scopes: vec!["system/*.read".into()],
        };
        let folder = tempfile::tempdir().unwrap();
        let plan = EhrPlan {
            folder: folder.path(),
            name: "Invented Hospital",
            credentials: vec![credential],
            secret: [7; 32],
            host: None,
            tls: None,
            clock: Arc::new(Noon),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ehr = Ehr::start_as(mode, plan, chart(), listener).await.unwrap();
        let transport = HttpTransport::new(&[], Duration::from_secs(30), 1 << 24).unwrap();
        let taking = Arc::new(Way { transport, accept: Mutex::default() });
        let (base, pem) = (ehr.base_url().to_owned(), key.to_pem());
        let scope = "system/*.read".to_owned();
        let way = Arc::clone(&taking) as Arc<dyn Transport>;
        let sign_in =
            SmartClient::new(Arc::clone(&way), &base, "gateway", &pem, scope, Arc::new(Noon));
        let client = FhirClient::new(&base, way, Some(sign_in.unwrap()));
        Street { ehr, client, way: taking, _folder: folder }
    }

    async fn minimum(odd: Odd) -> Street {
        Street::new(EhrMode::CertifiedMinimum(odd)).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Bytes) {
        let answer = self.client.get(path).await.unwrap();
        (answer.status(), answer.into_body())
    }

    /// Every entry of a search in the order of its pages: mode and resource, page by page.
    async fn pages(&self, query: &str) -> Vec<Vec<(String, Resource)>> {
        let mut pages = Vec::new();
        let mut at = query.to_owned();
        loop {
            let answer = match pages.is_empty() {
                true => self.client.get(&at).await.unwrap(),
                false => self.client.get_absolute(&at).await.unwrap(),
            };
            if matches!(answer.status().as_u16(), 429 | 503) {
                continue;
            }
            assert_eq!(answer.status(), StatusCode::OK, "{at}");
            let bundle = Bundle::parse(answer.into_body()).unwrap();
            assert_eq!(bundle.total, None);
            let entries = bundle
                .entries
                .iter()
                .map(|entry| (entry.search_mode.clone().unwrap(), entry.resource.clone().unwrap()));
            pages.push(entries.collect());
            match bundle.link("next") {
                Some(next) => at = next.to_owned(),
                None => return pages,
            }
        }
    }

    async fn found(&self, query: &str) -> BTreeSet<String> {
        let pages = self.pages(query).await.concat();
        let matches = pages.iter().filter(|(mode, _)| mode == "match");
        matches.map(|(_, resource)| resource.local_reference()).collect()
    }
}

fn observation(number: usize) -> Bytes {
    format!(
        r#"{{"resourceType":"Observation","id":"o-{number}","status":"final",
            "category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],
            "code":{{"coding":[{{"system":"http://loinc.org","code":"4548-4"}}]}},
            "subject":{{"reference":"Patient/p"}},"encounter":{{"reference":"Encounter/e"}},
            "performer":[{{"reference":"Practitioner/d"}}],
            "effectiveDateTime":"2025-03-{:02}","valueQuantity":{{"value":{number}.00}}}}"#,
        number % 28 + 1,
    )
    .into()
}

fn chart() -> Vec<Bytes> {
    let rest = [
        r#"{"resourceType":"Patient","id":"p","meta":{"versionId":"9"},"name":[{"family":"Invented"}],"gender":"female","birthDate":"1970-01-01"}"#,
        r#"{"resourceType":"Patient","id":"q","name":[{"family":"Invented"}],"gender":"male"}"#,
        r#"{"resourceType":"Practitioner","id":"d","identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"1"}]}"#,
        r#"{"resourceType":"Encounter","id":"e","status":"finished","subject":{"reference":"Patient/p"},"period":{"start":"2025-03-01"}}"#,
        r#"{"resourceType":"Binary","id":"b","contentType":"text/plain","data":"aGVsbG8="}"#,
        r#"{"resourceType":"Account","id":"a","status":"active","subject":[{"reference":"Patient/p"}]}"#,
        r#"{"resourceType":"Provenance","id":"pr","target":[{"reference":"Encounter/e"}],"recorded":"2025-03-01T00:00:00Z","agent":[{"who":{"reference":"Practitioner/d"}}]}"#,
    ];
    let rest = rest.into_iter().map(Bytes::from);
    (0..40).map(observation).chain(rest).collect()
}

const LABS: &str = "Observation?patient=p&category=laboratory";

#[tokio::test]
async fn what_is_no_shall_is_refused_with_words_and_never_answered() {
    let street = Street::minimum(Odd::plain()).await;
    for (path, status) in [
        ("Patient/p", 200),
        ("Encounter?patient=Patient/p", 200),
        ("Encounter?patient=p&date=ge2025-01-01", 200),
        ("Encounter?_id=e&_count=1", 200),
        ("Patient?name=inv&gender=female", 200),
        ("Observation?patient=p", 400),
        ("Observation?patient=p&encounter=e", 400),
        ("Observation?patient=p&category=laboratory&_lastUpdated=ge2025-01-01", 400),
        ("Observation?patient=p&category=laboratory&_include=Observation:subject", 400),
        ("Observation?patient=p&category=laboratory&date=soon", 400),
        ("Encounter?_revinclude=Observation:encounter&patient=p", 400),
        ("Encounter?date=ge2025-01-01", 400),
        ("Patient/nobody", 404),
        ("Patient/p/_history", 404),
        ("Patient/p/_history/1", 404),
        ("Patient/p/$everything", 404),
        ("Account/a", 404),
        ("Account?patient=p", 404),
        ("Provenance?target=Encounter/e", 404),
        ("Encounter?_getpage=0123", 410),
    ] {
        let (found, body) = street.get(path).await;
        assert_eq!(found.as_u16(), status, "{path}");
        if status != 200 {
            let outcome: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(outcome["resourceType"], "OperationOutcome", "{path}");
        }
    }
    street.ehr.stop().await;
}

#[tokio::test]
async fn a_lenient_server_passes_over_what_it_does_not_know() {
    let street = Street::minimum(Odd { strict: false, ..Odd::plain() }).await;
    let all = street.found(&format!("{LABS}&encounter=other&_lastUpdated=gt2030")).await;
    assert_eq!(all.len(), 40);
    assert_eq!(street.get("Observation?patient=p&encounter=e").await.0, StatusCode::BAD_REQUEST);
    street.ehr.stop().await;
}

#[tokio::test]
async fn pages_are_small_and_opaque_and_hold_everything_with_all_that_is_odd() {
    let street = Street::minimum(Odd { status_demanded: false, ..Odd::certified_minimum() }).await;
    let pages = street.pages(LABS).await;
    assert!(pages.len() >= 6);
    assert!(pages.iter().all(|page| page.iter().filter(|one| one.0 == "match").count() <= 7));
    let all = pages.concat();
    let names = |wanted: &str| -> Vec<_> {
        let some = all.iter().filter(|(mode, _)| mode == wanted);
        some.map(|(_, resource)| resource.local_reference()).collect()
    };
    let (matches, outcomes) = (names("match"), names("outcome"));
    assert!(outcomes.len() > 1 && outcomes.iter().all(|one| one.starts_with("OperationOutcome")));
    let once: BTreeSet<_> = matches.iter().cloned().collect();
    assert_eq!(once, (0..40).map(|number| format!("Observation/o-{number}")).collect());
    assert!(matches.len() > once.len(), "some stand in two pages");
    for (_, resource) in &all {
        let text = std::str::from_utf8(resource.bytes()).unwrap();
        assert!(!text.contains("versionId") && !text.contains("lastUpdated"), "{text}");
    }
    street.ehr.stop().await;
}

#[tokio::test]
async fn a_record_reads_the_same_in_every_search_and_is_the_chart_but_for_named_oddities() {
    let street = Street::minimum(Odd { status_demanded: false, ..Odd::certified_minimum() }).await;
    let mut spellings = BTreeSet::new();
    for (mode, resource) in street.pages(LABS).await.concat() {
        if mode != "match" {
            continue;
        }
        let served = street.ehr.served(&resource.local_reference()).await.unwrap().unwrap();
        assert_eq!(&served, resource.bytes());
        let text = resource.reference_text(&resource.references()[0]).into_owned();
        spellings.insert(text.replace(street.ehr.base_url(), "base"));
        assert!(resource.id().is_some());
    }
    assert!(spellings.len() > 3, "{spellings:?}");
    street.ehr.stop().await;

    let street = Street::minimum(Odd::plain()).await;
    for chart in chart() {
        let name = Resource::parse(chart.clone()).unwrap().local_reference();
        let expected = match name.as_str() {
            "Account/a" => continue,
            "Patient/p" => Bytes::from(
                String::from_utf8(chart.to_vec())
                    .unwrap()
                    .replace(r#","meta":{"versionId":"9"}"#, ""),
            ),
            _ => chart,
        };
        let (status, body) = street.get(&name).await;
        assert_eq!((status, body), (StatusCode::OK, expected), "{name}");
    }
    street.ehr.stop().await;
}

#[tokio::test]
async fn a_demanded_status_is_named_in_the_refusal_and_in_the_statement() {
    let street = Street::minimum(Odd { status_demanded: true, ..Odd::plain() }).await;
    let (status, body) = street.get(LABS).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(std::str::from_utf8(&body).unwrap().contains("status"));
    let found = street.found(&format!("{LABS}&status=final,amended,corrected")).await;
    assert_eq!(found.len(), 40);
    let statement: Value = serde_json::from_slice(&street.get("metadata").await.1).unwrap();
    let all = statement["rest"][0]["resource"].as_array().unwrap();
    let row = all.iter().find(|one| one["type"] == "Observation").unwrap();
    assert!(row["interaction"][1]["documentation"].as_str().unwrap().contains("status"));
    assert!(all.iter().all(|one| one["type"] != "Account"));
    street.ehr.stop().await;
}

#[tokio::test]
async fn provenance_comes_along_where_the_guide_says_so() {
    let street = Street::minimum(Odd::plain()).await;
    let all = street.pages("Encounter?patient=p&_revinclude=Provenance:target").await.concat();
    let modes: BTreeMap<_, _> =
        all.iter().map(|(mode, one)| (one.local_reference(), mode.as_str())).collect();
    assert_eq!(
        modes,
        [("Encounter/e".into(), "match"), ("Provenance/pr".into(), "include")].into()
    );
    street.ehr.stop().await;
}

#[tokio::test]
async fn every_nth_request_is_told_to_wait_in_both_forms_and_the_next_gets_through() {
    let odd = Odd {
        throttle_every: Some(3),
        unavailable_every: Some(5),
        retry_after_seconds: 2,
        ..Odd::plain()
    };
    let street = Street::minimum(odd).await;
    let mut seen = Vec::new();
    for _ in 0..12 {
        let answer = street.client.get("Patient/p").await.unwrap();
        let wait = answer.headers().get("retry-after").map(|it| it.to_str().unwrap().to_owned());
        seen.push((answer.status().as_u16(), wait.unwrap_or_default()));
    }
    let plain = |status| (status, String::new());
    let dated = (429, "Sat, 03 Jan 2026 12:00:02 GMT".to_owned());
    let counted = (429, "2".to_owned());
    let six = [plain(503), plain(200), counted.clone(), plain(200), plain(200), dated.clone()];
    let more = [plain(200), plain(200), counted, plain(200), plain(503), dated];
    assert_eq!(seen, [six, more].concat());
    street.ehr.stop().await;
}

#[tokio::test]
async fn a_binary_is_fhir_or_its_content_by_what_the_caller_takes() {
    for mode in [EhrMode::Full, EhrMode::CertifiedMinimum(Odd::plain())] {
        let street = Street::new(mode).await;
        let (status, body) = street.get("Binary/b").await;
        assert_eq!(status, StatusCode::OK);
        assert!(std::str::from_utf8(&body).unwrap().contains("aGVsbG8="));
        for (id, accept, expected) in [
            ("b", "text/plain", Some(&b"hello"[..])),
            ("b", "application/pdf, text/plain;q=0.5", Some(&b"hello"[..])),
            ("none", "text/plain", None),
        ] {
            *street.way.accept.lock().unwrap() = Some(accept);
            let answer = street.client.get(&format!("Binary/{id}")).await.unwrap();
            match expected {
                Some(content) => assert_eq!(answer.body().as_ref(), content),
                None => assert_eq!(answer.status(), StatusCode::NOT_FOUND),
            }
        }
        street.ehr.stop().await;
    }
}

#[tokio::test]
async fn what_is_gone_is_neither_read_nor_found_and_a_page_asked_for_before_goes_without_it() {
    for (mode, status) in [
        (EhrMode::Full, StatusCode::GONE),
        (EhrMode::CertifiedMinimum(Odd::plain()), StatusCode::NOT_FOUND),
    ] {
        let street = Street::new(mode).await;
        let first = street.client.get(LABS).await.unwrap();
        let first = Bundle::parse(first.into_body()).unwrap();
        assert!(street.ehr.gone(later(), "Observation/o-9").await.unwrap());
        assert!(!street.ehr.gone(later(), "Observation/o-9").await.unwrap(), "once");
        assert!(!street.ehr.gone(later(), "Observation/none").await.unwrap());
        assert!(street.ehr.gone(later(), "none").await.is_err());
        assert_eq!(street.get("Observation/o-9").await.0, status);
        if let Some(next) = first.link("next") {
            let next = street.client.get_absolute(next).await.unwrap();
            assert_eq!(next.status(), StatusCode::OK);
        }
        assert_eq!(street.ehr.served("Observation/o-9").await.unwrap(), None);
        street.ehr.stop().await;
    }
}

#[tokio::test]
async fn two_patients_become_one_and_both_say_so() {
    let street = Street::minimum(Odd::plain()).await;
    assert_eq!(street.ehr.merge(later(), "p", "q").await.unwrap(), 44, "40 + visit, account, both");
    assert_eq!(street.found(LABS).await.len(), 0);
    let moved = street.found("Observation?patient=q&category=laboratory").await;
    assert_eq!(moved.len(), 40);
    for (id, active, link) in [
        ("p", Value::from(false), ("replaced-by", "Patient/q")),
        ("q", Value::Null, ("replaces", "Patient/p")),
    ] {
        let patient: Value =
            serde_json::from_slice(&street.get(&format!("Patient/{id}")).await.1).unwrap();
        assert_eq!(patient["active"], active);
        assert_eq!(patient["link"][0]["type"], link.0);
        assert_eq!(patient["link"][0]["other"]["reference"], link.1);
    }
    assert!(street.ehr.merge(later(), "nobody", "q").await.is_err());
    street.ehr.stop().await;
}

/// What a reference means, whatever its spelling.
fn meant(text: &str, base: &str) -> String {
    let local = text.strip_prefix(base).map_or(text, |rest| rest.trim_start_matches('/'));
    local.split("/_history/").next().unwrap().to_owned()
}

#[test]
fn charts_of_others_in_odd_spelling_still_read_and_refer_to_nothing_new() {
    let Some(data) = std::env::var_os("HANDOVER_DATA") else {
        println!("skipped: HANDOVER_DATA is not set, so no chart of others was served");
        return;
    };
    let folder = std::path::Path::new(&data).join("synthea-us-core-bundles");
    let chart = sim::Chart::load(&folder, Some(5)).unwrap();
    let (base, odd) = ("https://ehr.example/fhir", Odd::certified_minimum());
    let find = |name: &str| chart.find(name).map(|one| one.bytes.clone());
    let (mut inside, mut spelled) = (0, 0);
    for one in chart.iter() {
        let served = sim::ehr::as_served(&one.bytes, base, &odd, &find).unwrap();
        let (before, after) =
            (Resource::parse(one.bytes.clone()).unwrap(), Resource::parse(served).unwrap());
        let targets = |resource: &Resource, kept: bool| -> BTreeSet<String> {
            let texts = resource.references().iter().map(|it| resource.reference_text(it));
            let plain = texts.map(|text| match kept {
                true => text.into_owned(),
                false => meant(&text, base),
            });
            plain.filter(|text| !text.starts_with('#')).collect()
        };
        let (had, has) = (targets(&before, false), targets(&after, false));
        let lost: Vec<_> = had.difference(&has).collect();
        inside += lost.len();
        assert!(has.is_subset(&had), "{}", one.kind);
        assert!(
            lost.iter().all(|it| it.starts_with("Practitioner/") || it.starts_with("Medication/")),
            "{} {lost:?}",
            one.kind,
        );
        spelled += usize::from(targets(&after, true) != has);
    }
    assert!(inside > 0 && spelled > 100, "{inside} {spelled}");
}
