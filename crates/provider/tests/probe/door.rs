//! A payer's door that can be broken in one way at a time.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use exchange::agreement::{Terms, default_value_set};
use exchange::partner::PublicFile;
use exchange::probe::Probe;
use http::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, Method};
use jiff::{SignedDuration, Timestamp};
use provider::Fixed;
use provider::setup::Payer;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use wire::reach::Network;
use wire::transport::Lines;
use wire::{
    Clock, Credential, FhirClient, Gate, HttpTransport, MemoryReplay, SigningKey, SmartClient,
    SystemClock, tls,
};

/// In which way it is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    NoSuchHost,
    PrivateNetwork,
    NobodyListens,
    PlainHttp,
    Expired,
    NotYetValid,
    OtherName,
    OtherAuthority,
    NoSmartConfiguration,
    SharedSecretsOnly,
    ForeignUdap,
    OtherPayersDocument,
    UnknownClient,
    NoBearer,
    TokenDown,
    ForgetsTokens,
    OpenToAll,
    LyingVersions,
    OtherVersions,
    NoTransactions,
    HtmlStatement,
    HtmlErrors,
    KnowsEverybody,
    TakesGarbage,
    BreaksOnGarbage,
    TakesAnyType,
    Hangs,
    CutsOff,
}

const SCOPE: &str = "system/*.cruds";
const HTML: &str = "<html><body>gateway</body></html>";

/// What answers.
struct Shown {
    fault: Option<Fault>,
    gate: Gate,
    asked: Mutex<Vec<String>>,
}

/// The door, and what a house knows of it.
pub(crate) struct Door {
    fault: Option<Fault>,
    shown: Arc<Shown>,
    payer: Payer,
    client: Arc<FhirClient>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Door {
    pub(crate) async fn open(fault: Option<Fault>) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = if fault == Some(Fault::NoSuchHost) { "plan.invalid" } else { "127.0.0.1" };
        let base = format!("https://{host}:{port}/fhir");

        let now = Timestamp::now();
        let issued = match fault {
            Some(Fault::Expired) => now - SignedDuration::from_hours(24 * 1200),
            Some(Fault::NotYetValid) => now + SignedDuration::from_hours(24 * 30),
            _ => now,
        };
        let (authority, authority_key) = tls::make_authority("plan of invention").unwrap();
        let (other, other_key) = tls::make_authority("somebody else").unwrap();
        let (signer, signer_key) = match fault {
            Some(Fault::OtherAuthority) => (&other, &other_key),
            _ => (&authority, &authority_key),
        };
        let name = if fault == Some(Fault::OtherName) { "other.example" } else { "127.0.0.1" };
        let (chain, key) =
            tls::issue_server_certificate_at(signer, signer_key, &[name.to_owned()], issued)
                .unwrap();
        let config = tls::server_config(chain.as_bytes(), key.as_bytes()).unwrap();

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let key = SigningKey::generate().unwrap();
        let registered = Credential {
            client_id: "clinic".into(),
            partner: "clinic".into(),
            jwks: key.jwks(),
            scopes: vec![SCOPE.into()],
        };
        let known = if fault == Some(Fault::UnknownClient) { vec![] } else { vec![registered] };
        let replay = Arc::new(MemoryReplay::new(Arc::clone(&clock)));
        let gate = Gate::new(&base, known, [7; 32], replay, Arc::clone(&clock));
        let shown = Arc::new(Shown { fault, gate, asked: Mutex::default() });

        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let encrypted = (fault != Some(Fault::PlainHttp)).then_some(config);
        if fault != Some(Fault::NobodyListens) {
            let shown = Arc::clone(&shown);
            let router = Router::new().fallback(move |request| answer(Arc::clone(&shown), request));
            tokio::spawn(wire::server::serve(listener, encrypted, router, async {
                stopped.await.ok();
            }));
        }

        let public = json!({
            "name": "sunrise", "role": "payer", "title": "Sunrise", "base_url": base,
            "authority": authority, "namespace": "https://sunrise.example/fhir",
            "client_id": "sunrise", "ledger_key": "07".repeat(32),
            "jwks": SigningKey::generate().unwrap().jwks(),
            "payer_identifiers": [{ "system": "urn:naic", "value": "99001" }],
        });
        let public = PublicFile::parse(&public.to_string(), "sunrise.json").unwrap();
        let text = exchange::agreement::default_text(&public);
        let terms = Terms::parse(&text, "sunrise.toml", &default_value_set).unwrap();
        let roots = [public.authority.clone().into_bytes()];
        // The test's own machine is a private network, unless people named it.
        let public_only = Network::default();
        let transport = HttpTransport::over(Lines {
            roots: &roots,
            identity: None,
            network: (fault == Some(Fault::PrivateNetwork)).then_some(&public_only),
            timeout: Duration::from_secs(20),
            answer_limit: 1 << 20,
        });
        let transport = Arc::new(transport.unwrap());
        let sign_in = SmartClient::new(
            Arc::clone(&transport) as _,
            &base,
            "clinic",
            &key.to_pem(),
            SCOPE.into(),
            clock,
        )
        .unwrap();
        let client = Arc::new(FhirClient::new(&base, transport, Some(sign_in)));
        let carriage = Arc::new(Fixed(Arc::clone(&client)));
        Door { fault, shown, client, payer: Payer { public, terms, carriage }, _stop: stop }
    }

    pub(crate) async fn probe(&self) -> Probe {
        // Only a door that never answers is waited for.
        let patience = match self.fault {
            Some(Fault::Hangs) => Duration::from_millis(700),
            _ => Duration::from_secs(20),
        };
        provider::probe::probe(&self.payer, &self.client, Timestamp::now(), patience).await
    }

    /// The lines of the requests that came, with the bodies of those that write.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shown.asked.lock().unwrap().clone()
    }
}

async fn answer(shown: Arc<Shown>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let path = head.uri.path_and_query().unwrap().as_str().to_owned();
    let line = match head.method == Method::POST && !path.ends_with("/token") {
        true => format!("POST {path} {}", String::from_utf8_lossy(&body)),
        false => format!("{} {path}", head.method),
    };
    shown.asked.lock().unwrap().push(line);
    let below = path.strip_prefix("/fhir").unwrap_or(&path).to_owned();
    match (head.method.as_str(), below.as_str()) {
        ("GET", "/metadata") => shown.statement(&head.headers).await,
        ("GET", path) if path.starts_with("/.well-known/") => shown.document(path),
        ("GET", "/$versions") => shown.versions(),
        ("POST", "/token") => shown.token(&body).await,
        ("POST", "") => shown.posted(&head.headers, &body),
        ("GET", path) if path.starts_with("/Patient") => shown.patients(&head.headers, path),
        _ => outcome(404),
    }
}

impl Shown {
    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn document(&self, path: &str) -> Response {
        let smart = path.ends_with("smart-configuration");
        if smart && !self.is(Fault::NoSmartConfiguration) {
            let mut told = self.gate.smart_configuration();
            if self.is(Fault::SharedSecretsOnly) {
                told["token_endpoint_auth_methods_supported"] = json!(["client_secret_basic"]);
            }
            return sent(200, "application/json", told.to_string());
        }
        let told = if path.ends_with("udap") && self.is(Fault::ForeignUdap) {
            json!({ "udap_versions_supported": ["1"], "token_endpoint": "https://a.example/token",
                "registration_endpoint": "https://a.example/register" })
        } else if path.ends_with("davinci-configuration") && self.is(Fault::OtherPayersDocument) {
            json!({ "identifier": { "system": "urn:naic", "value": "1" }, "endpoints": {} })
        } else {
            return outcome(404);
        };
        sent(200, "application/json", told.to_string())
    }

    fn versions(&self) -> Response {
        let spoken = if self.is(Fault::OtherVersions) { "5.0" } else { "4.0" };
        let told = json!({ "versions": [spoken], "default": spoken });
        sent(200, "application/json", told.to_string())
    }

    async fn statement(&self, headers: &HeaderMap) -> Response {
        let wanted = headers.get(ACCEPT).map_or("", |value| value.to_str().unwrap());
        match self.fault {
            Some(Fault::Hangs) => return std::future::pending().await,
            Some(Fault::CutsOff) => {
                let pieces = [Ok("{\"resourceType\":"), Err(std::io::Error::other("cut off"))];
                return Response::new(Body::from_stream(futures_util::stream::iter(pieces)));
            }
            Some(Fault::HtmlStatement) => return sent(200, "text/html", HTML.into()),
            _ if wanted.contains("fhirVersion=9.9") => return outcome(406),
            _ => {}
        }
        let version = if self.is(Fault::LyingVersions) { "5.0.0" } else { "4.0.1" };
        let system = if self.is(Fault::NoTransactions) { "batch" } else { "transaction" };
        let told = json!({
            "resourceType": "CapabilityStatement", "fhirVersion": version,
            "rest": [{ "mode": "server", "interaction": [{ "code": system }] }],
        });
        fhir(200, told)
    }

    async fn token(&self, form: &Bytes) -> Response {
        if self.is(Fault::TokenDown) {
            return sent(503, "text/html", HTML.into());
        }
        let given = self.gate.token(form).await;
        let mut told: Value = serde_json::from_slice(&given.body).unwrap();
        if self.is(Fault::NoBearer) {
            told["token_type"] = json!("mac");
        }
        sent(given.status, "application/json", told.to_string())
    }

    /// Whether the caller is let in; else the refusal.
    fn let_in(&self, headers: &HeaderMap) -> Option<Response> {
        if self.is(Fault::OpenToAll) {
            return None;
        }
        let known = self.gate.caller(headers).is_ok() && !self.is(Fault::ForgetsTokens);
        if known {
            return None;
        }
        let mut refused = outcome(401);
        refused.headers_mut().insert(WWW_AUTHENTICATE, "Bearer".parse().unwrap());
        Some(refused)
    }

    fn patients(&self, headers: &HeaderMap, path: &str) -> Response {
        if let Some(refused) = self.let_in(headers) {
            // What is wrong with tokens is no fault of its errors.
            let about_one = path.starts_with("/Patient/") && self.is(Fault::ForgetsTokens);
            return if about_one { outcome(404) } else { refused };
        }
        if path.starts_with("/Patient?") {
            return fhir(200, json!({ "resourceType": "Bundle", "type": "searchset", "total": 0 }));
        }
        match self.fault {
            Some(Fault::HtmlErrors) => sent(404, "text/html", HTML.into()),
            Some(Fault::KnowsEverybody) => fhir(200, json!({ "resourceType": "Patient" })),
            _ => outcome(404),
        }
    }

    fn posted(&self, headers: &HeaderMap, body: &[u8]) -> Response {
        if let Some(refused) = self.let_in(headers)
            && !self.is(Fault::ForgetsTokens)
        {
            return refused;
        }
        let kind = headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap());
        if !kind.starts_with("application/fhir+json") {
            return if self.is(Fault::TakesAnyType) { outcome(200) } else { outcome(415) };
        }
        let read: Option<Value> = serde_json::from_slice(body).ok();
        match (read, self.fault) {
            (None, Some(Fault::TakesGarbage)) => outcome(200),
            (None, Some(Fault::BreaksOnGarbage)) => sent(500, "text/html", HTML.into()),
            (None, _) => outcome(400),
            (Some(_), _) => {
                fhir(200, json!({ "resourceType": "Bundle", "type": "transaction-response" }))
            }
        }
    }
}

fn sent(status: u16, kind: &str, body: String) -> Response {
    Response::builder().status(status).header(CONTENT_TYPE, kind).body(body.into()).unwrap()
}

fn fhir(status: u16, told: Value) -> Response {
    sent(status, "application/fhir+json", told.to_string())
}

fn outcome(status: u16) -> Response {
    let issue = json!([{ "severity": "error", "code": "processing" }]);
    fhir(status, json!({ "resourceType": "OperationOutcome", "issue": issue }))
}
