//! What the tests share: a clock that stands still, a partner, a small record room, a house over TLS.

use bytes::Bytes;
use exchange::query::Ask;
use exchange::{Code, Issue};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wire::rest::{Outcome, Prefer, Rest, Write, WriteAction};
use wire::server::{Bounds, serve_within};
use wire::{Answer, Caller, Clock, Credential, Gate, HttpTransport, MemoryReplay, SigningKey};

pub(crate) const NOW: &str = "2026-11-22T12:00:00Z";
pub(crate) const SCOPES: &str = "system/*.cruds";

/// A clock that moves only when told.
pub(crate) struct SetClock(Mutex<Timestamp>);

impl SetClock {
    pub(crate) fn new() -> Arc<SetClock> {
        Arc::new(SetClock(Mutex::new(NOW.parse().unwrap())))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
    }

    /// Seconds since the beginning.
    pub(crate) fn passed(&self) -> i64 {
        self.now().as_second() - NOW.parse::<Timestamp>().unwrap().as_second()
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

pub(crate) fn credential(client_id: &str, key: &SigningKey, scopes: &str) -> Credential {
    Credential {
        client_id: client_id.into(),
        partner: format!("partner of {client_id}"),
        jwks: key.jwks(),
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
    }
}

pub(crate) fn gate(base: &str, credentials: Vec<Credential>, clock: &Arc<SetClock>) -> Arc<Gate> {
    let replay = Arc::new(MemoryReplay::new(clock.clone()));
    Arc::new(Gate::new(base, credentials, [7; 32], replay, clock.clone()))
}

/// The claims of a proper assertion; tests spoil one of them.
pub(crate) fn claims(client_id: &str, token_endpoint: &str, jti: &str) -> Value {
    let now = NOW.parse::<Timestamp>().unwrap().as_second();
    json!({
        "iss": client_id, "sub": client_id, "aud": token_endpoint,
        "iat": now, "exp": now + 240, "jti": jti,
    })
}

pub(crate) fn token_form(assertion: &str, scope: &str) -> String {
    wire::urlencoded::encode([
        ("grant_type", "client_credentials"),
        ("scope", scope),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
    ])
}

/// A token got in the proper way.
pub(crate) async fn token(gate: &Gate, client_id: &str, key: &SigningKey, scope: &str) -> String {
    static DRAWN: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let jti = DRAWN.fetch_add(1, std::sync::atomic::Ordering::SeqCst).to_string();
    let assertion = key.sign(&claims(client_id, &gate.token_endpoint(), &jti)).unwrap();
    let answer = gate.token(token_form(&assertion, scope).as_bytes()).await;
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    told["access_token"].as_str().unwrap_or_else(|| panic!("no token: {told}")).to_owned()
}

/// A record room in memory: one Patient, and some ids that misbehave. Notes every call.
#[derive(Default)]
pub(crate) struct Records {
    /// Whether it takes writes.
    pub(crate) writes: std::sync::atomic::AtomicBool,
    pub(crate) calls: Mutex<Vec<String>>,
    /// Told when a slow reading has begun, and awaited before it ends.
    pub(crate) begun: tokio::sync::Notify,
    pub(crate) go_on: tokio::sync::Notify,
}

impl Records {
    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

/// Bytes of the record `huge`: more than any line holds on its way.
pub(crate) const HUGE: usize = 32 * 1024 * 1024;

const BUNDLE: &str = r#"{"resourceType":"Bundle"}"#;
pub(crate) const PATIENT: &str = r#"{"resourceType":"Patient","id":"1","active":true}"#;

impl Rest for Records {
    fn capability(&self) -> Bytes {
        r#"{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}"#.into()
    }

    fn writes(&self) -> bool {
        self.writes.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn write<'a>(&'a self, _: &'a Caller, write: Write, prefer: Prefer) -> Outcome<'a> {
        let Write { kind, action, if_match, if_none_exist } = write;
        let slow = matches!(&action, WriteAction::Update(id, _) if id == "slow");
        self.note(match slow {
            true => "slow".to_owned(),
            false => {
                format!("{kind} {action:?} {if_match:?} {if_none_exist:?} {:?}", prefer.returning)
            }
        });
        Box::pin(async move {
            if slow {
                self.go_on.notified().await;
            }
            Ok(Answer::new(200, ""))
        })
    }

    fn transaction<'a>(&'a self, caller: &'a Caller, body: Bytes, _: Prefer) -> Outcome<'a> {
        self.note(format!("transaction by {} of {} bytes", caller.partner, body.len()));
        let held = Issue::new(Code::MemberHeld, "a person looks");
        let place = http::header::CONTENT_LOCATION;
        Box::pin(async move { Ok(Answer::from(held).with(place, "/fhir/status/s-1")) })
    }

    fn ask<'a>(&'a self, _: &'a Caller, ask: Ask<'a>) -> Outcome<'a> {
        self.note(match &ask {
            Ask::Read { kind, id } => format!("read {kind}/{id}"),
            Ask::Vread { kind, id, version } => format!("vread {kind}/{id} {version}"),
            Ask::History { kind, id, parameters, handling } => {
                format!("history {kind}/{id} {parameters:?} {handling:?}")
            }
            Ask::Search { kind, parameters, handling } => {
                format!("search {kind} {parameters:?} {handling:?}")
            }
            Ask::Everything { kind, id, parameters, handling } => {
                format!("everything {kind}/{id} {parameters:?} {handling:?}")
            }
        });
        Box::pin(async move {
            let Ask::Read { id, .. } = ask else {
                let body = if matches!(ask, Ask::Vread { .. }) { PATIENT } else { BUNDLE };
                return Ok(Answer::new(200, body));
            };
            match id {
                "1" => Ok(Answer::new(200, PATIENT).with(http::header::ETAG, "W/\"1\"")),
                "large" => Ok(Answer::new(200, vec![b' '; 100_000])),
                "huge" => Ok(Answer::new(200, vec![b' '; HUGE])),
                "moved" => Ok(Answer::new(302, "").with(http::header::LOCATION, "/fhir/Patient/1")),
                "slow" => {
                    self.begun.notify_one();
                    self.go_on.notified().await;
                    Ok(Answer::new(200, PATIENT))
                }
                "panics" => panic!("planted"),
                _ => Err(Issue::new(Code::ResourceUnknown, "no such record")),
            }
        })
    }

    fn status<'a>(&'a self, _: &'a Caller, id: &'a str) -> Outcome<'a> {
        self.note(format!("status {id}"));
        let wait = http::header::RETRY_AFTER;
        Box::pin(async { Ok(Answer::new(202, "").with(wait, "5")) })
    }

    fn status_file<'a>(&'a self, _: &'a Caller, id: &'a str, name: &'a str) -> Outcome<'a> {
        self.note(format!("file {id} {name}"));
        let kind = http::header::CONTENT_TYPE;
        Box::pin(async { Ok(Answer::new(200, "{}\n").with(kind, "application/fhir+ndjson")) })
    }
}

/// A house that serves over TLS on a port of its own until it is dropped.
pub(crate) struct House {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) base: String,
    pub(crate) ca: String,
    pub(crate) gate: Arc<Gate>,
    pub(crate) key: SigningKey,
    pub(crate) records: Arc<Records>,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) stop: Option<tokio::sync::oneshot::Sender<()>>,
    pub(crate) served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl House {
    /// Opens one with a partner `clinic` that holds `key`.
    pub(crate) async fn open(bounds: Bounds) -> House {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let base = format!("https://{address}/fhir");
        let (ca, ca_key) = wire::tls::make_authority("plan of invention").unwrap();
        let hosts = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let (chain, key_pem) = wire::tls::issue_server_certificate(&ca, &ca_key, &hosts).unwrap();
        let tls = wire::tls::server_config(chain.as_bytes(), key_pem.as_bytes()).unwrap();
        let (clock, key) = (SetClock::new(), SigningKey::generate().unwrap());
        let gate = gate(&base, vec![credential("clinic", &key, SCOPES)], &clock);
        let records = Arc::new(Records::default());
        let router = wire::rest::router(records.clone(), gate.clone());
        let router = wire::rest::mount("/fhir", router);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let served = tokio::spawn(serve_within(bounds, listener, Some(tls), router, async {
            stopped.await.ok();
        }));
        House { address, base, ca, gate, key, records, clock, stop: Some(stop), served }
    }

    pub(crate) fn transport(&self) -> Arc<HttpTransport> {
        let roots = [self.ca.clone().into_bytes()];
        Arc::new(HttpTransport::new(&roots, Duration::from_secs(30), 1_000_000).unwrap())
    }

    /// A client of the partner `clinic`.
    pub(crate) fn client(&self, scope: &str) -> wire::FhirClient {
        wire::FhirClient::new(&self.base, self.transport(), Some(self.smart(scope)))
    }

    pub(crate) fn smart(&self, scope: &str) -> wire::SmartClient {
        let (clock, pem) = (self.clock.clone(), self.key.to_pem());
        let transport = self.transport();
        wire::SmartClient::new(transport, &self.base, "clinic", &pem, scope.into(), clock).unwrap()
    }
}
