//! Town: a hospital's house, its EHR, and two plans' doors, all in memory but the house's store.

use crate::agreements::PAYERS;
use crate::charts::{EHR, reference};
use bytes::Bytes;
use exchange::agreement::{Terms, default_value_set};
use exchange::desk::{Command, Reply, Shown};
use exchange::partner::{PublicFile, Role};
use exchange::{Issue, PartnerId, Purpose, Who};
use http::{Request, Response};
use jiff::Timestamp;
use provider::desk::Desk;
use provider::directory::pinned::Pinned;
use provider::road::Road;
use provider::route::Doors;
use provider::setup::{Payer, Setup};
use provider::source::chart::Charts;
use provider::source::ehr::Ehr;
use provider::worker;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use store::{AnyHouse, House as _};
use tokio::sync::Notify;
use wire::{BoxFuture, Clock, FhirClient, SigningKey, SmartClient, Transport, TransportError};

pub(crate) const NAMESPACE: &str = "https://clinic.example/handover";

fn base(payer: &str) -> String {
    format!("https://{payer}.example/fhir")
}

/// The EHR and the doors. What is sent to a door is kept.
pub(crate) struct Network {
    chart: Mutex<Vec<Value>>,
    sent: Mutex<Vec<(String, Bytes)>>,
}

impl Network {
    fn answer(&self, request: &Request<Bytes>) -> (u16, String) {
        let url = request.uri().to_string();
        if url.ends_with("/token") {
            let token = json!({ "access_token": "t", "token_type": "bearer", "expires_in": 300 });
            return (200, token.to_string());
        }
        if let Some(base) = url.strip_suffix("/.well-known/smart-configuration") {
            return (200, json!({ "token_endpoint": format!("{base}/token") }).to_string());
        }
        match url.strip_prefix(&format!("{EHR}/")) {
            Some(place) => self.ehr(place),
            None => self.door(request, &url),
        }
    }

    /// Reads, and searches by patient; other parameters it passes over, as many EHRs do.
    fn ehr(&self, place: &str) -> (u16, String) {
        let chart = self.chart.lock().unwrap();
        let (path, query) = place.split_once('?').unwrap_or((place, ""));
        if path == "metadata" {
            return (200, statement(&["search-system"]));
        }
        if path.contains('/') {
            let found = chart.iter().find(|it| reference(it) == path);
            return found.map_or((404, String::new()), |it| (200, it.to_string()));
        }
        let query = query.replace("%2F", "/");
        let patient = query.split('&').find_map(|part| part.strip_prefix("patient="));
        let patient = patient.unwrap_or("nobody").trim_start_matches("Patient/").to_owned();
        let patient = format!("Patient/{patient}");
        let of_patient = |it: &&Value| {
            let owners = ["subject", "patient", "beneficiary"];
            owners.iter().any(|name| it[name]["reference"] == patient.as_str())
        };
        let of_kind = chart.iter().filter(|it| it["resourceType"] == path);
        (200, searchset(of_kind.filter(of_patient)))
    }

    fn door(&self, request: &Request<Bytes>, url: &str) -> (u16, String) {
        if url.ends_with("/metadata") {
            return (200, statement(&["transaction"]));
        }
        if url.ends_with("/$versions") {
            return (200, r#"{"versions":["4.0"],"default":"4.0"}"#.to_owned());
        }
        if request.method() == http::Method::GET {
            return (200, searchset(std::iter::empty()));
        }
        self.sent.lock().unwrap().push((url.to_owned(), request.body().clone()));
        let sent: Value = serde_json::from_slice(request.body()).unwrap();
        let filed = json!({ "response": { "status": "200 OK" } });
        let entries = vec![filed; sent["entry"].as_array().unwrap().len()];
        (
            200,
            json!({ "resourceType": "Bundle", "type": "transaction-response", "entry": entries })
                .to_string(),
        )
    }
}

fn searchset<'a>(found: impl Iterator<Item = &'a Value>) -> String {
    let entries: Vec<Value> = found.map(|it| json!({ "resource": it })).collect();
    let total = entries.len();
    json!({ "resourceType": "Bundle", "type": "searchset", "total": total, "entry": entries })
        .to_string()
}

fn statement(interactions: &[&str]) -> String {
    let codes: Vec<Value> = interactions.iter().map(|code| json!({ "code": code })).collect();
    json!({ "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
        "rest": [{ "mode": "server", "interaction": codes }] })
    .to_string()
}

impl Transport for Network {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let (status, body) = self.answer(&request);
            let mut answer = Response::new(Bytes::from(body));
            *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
            Ok(answer)
        })
    }
}

struct SetClock(Timestamp);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// A hospital's house with the agreements of one case.
pub(crate) struct Hospital {
    network: Arc<Network>,
    clock: Arc<SetClock>,
    road: Arc<Road>,
    desk: Desk,
}

impl Hospital {
    pub(crate) fn open(
        house: &AnyHouse,
        folder: &Path,
        key: &str,
        agreements: &[String],
    ) -> Hospital {
        let network = Arc::new(Network { chart: Mutex::default(), sent: Mutex::default() });
        let clock = Arc::new(SetClock("2026-11-22T12:00:00Z".parse().unwrap()));
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let client = |base: &str| {
            let transport: Arc<dyn Transport> = Arc::clone(&network) as _;
            let (at, clock) = (Arc::clone(&transport), Arc::clone(&shared));
            let scope = "system/*.cruds".to_owned();
            let sign_in = SmartClient::new(at, base, "clinic", key, scope, clock).unwrap();
            Arc::new(FhirClient::new(base, transport, Some(sign_in)))
        };
        let payer = |((name, _), text): (&(&str, &str), &String)| {
            let terms = Terms::parse(text, "agreement.toml", &default_value_set);
            let terms = terms.unwrap_or_else(|issue| panic!("{issue:?}\n{text}"));
            let public = public(name);
            (PartnerId::from(*name), Payer { public, terms, client: client(&base(name)) })
        };
        let payers: BTreeMap<_, _> = PAYERS.iter().zip(agreements).map(payer).collect();
        let endpoints = payers.keys().map(|name| (name.clone(), base(name.as_str()))).collect();
        let setup = Setup {
            title: "Clinic".into(),
            namespace: NAMESPACE.into(),
            version: "0.1.0",
            payers,
            restrictions: folder.join("restrictions.toml"),
            feed: None,
            payors: folder.join("payors.toml"),
            watch: None,
            passed: |_| {},
        };
        let road = Arc::new(Road {
            setup,
            house: house.clone(),
            charts: Charts::new(Arc::new(Ehr::new(client(EHR)))),
            directory: Arc::new(Pinned(endpoints)),
            doors: Doors::default(),
            clock: Arc::new(provider::HouseClock::new(Arc::clone(&shared))),
            changed: Arc::new(Notify::new()),
            rooms: provider::Rooms::default(),
            tables: provider::Tables::default(),
        });
        let desk = Desk::new(Arc::clone(&road), Arc::new(Notify::new()), Vec::new());
        Hospital { network, clock, road, desk }
    }

    /// What the EHR holds from now on.
    pub(crate) fn hold(&self, chart: &[Value]) {
        *self.network.chart.lock().unwrap() = chart.to_vec();
    }

    /// What a payer was sent since the last look.
    pub(crate) fn sent(&self, payer: &PartnerId) -> Vec<Bytes> {
        let mut sent = self.network.sent.lock().unwrap();
        let all = std::mem::take(&mut *sent);
        let (own, others): (Vec<_>, _) =
            all.into_iter().partition(|(url, _)| url.starts_with(&base(payer.as_str())));
        *sent = others;
        own.into_iter().map(|(_, body)| body).collect()
    }

    pub(crate) async fn command(&self, command: Command) -> Result<Reply, Issue> {
        self.desk.command(command).await
    }

    /// Records the trigger, walks until nothing is due, and gives the trigger's id.
    pub(crate) async fn push(&self, subject: &str, purpose: Option<Purpose>) -> String {
        let subject = subject.to_owned();
        let push = Command::Push { subject, purpose, who: who(), wait: 0 };
        let Ok(Reply::Pushed { trigger: Some(trigger), .. }) = self.command(push).await else {
            panic!("a push is recorded")
        };
        self.walk().await;
        trigger
    }

    /// Walks until nothing is due.
    pub(crate) async fn walk(&self) {
        loop {
            let stop = tokio::task::yield_now();
            worker::run(Arc::clone(&self.road), Arc::new(Notify::new()), stop).await;
            if self.road.house.next_due().await.unwrap().is_none_or(|at| at > self.clock.0) {
                return;
            }
        }
    }

    pub(crate) async fn show(&self, id: &str) -> Box<Shown> {
        match self.command(Command::Show { id: id.into(), page: false }).await {
            Ok(Reply::Shown(shown)) => shown,
            other => panic!("{other:?}"),
        }
    }
}

fn public(name: &str) -> PublicFile {
    PublicFile {
        name: name.into(),
        role: Role::Payer,
        title: name.into(),
        base_url: base(name),
        namespace: String::new(),
        client_id: name.into(),
        jwks: Value::Null,
        authority: String::new(),
        payer_identifiers: Vec::new(),
        ledger_key: String::new(),
        foreign: None,
    }
}

pub(crate) fn who() -> Who {
    Who { name: "Robin".into(), role: "staff".into(), why: "asked for by hand".into() }
}

/// A key for all doors: drawing one takes long.
pub(crate) fn key() -> String {
    SigningKey::generate().unwrap().to_pem()
}
