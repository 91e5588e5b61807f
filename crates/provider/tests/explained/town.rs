//! Town: a hospital's house, its EHR, and two plans' doors, all in memory but the house's store.

use crate::agreements::PAYERS;
use crate::charts::{Chart, EHR, reference};
use crate::doors::{Delivered, Door, Rung, statement};
use bytes::Bytes;
use exchange::agreement::{Terms, default_value_set};
use exchange::desk::{Command, Reply, Shown};
use exchange::partner::{PublicFile, Role};
use exchange::{Issue, PartnerId, Purpose, Who};
use http::{Request, Response};
use jiff::Timestamp;
use provider::Claims;
use provider::desk::Desk;
use provider::road::Road;
use provider::route::Doors;
use provider::setup::{Feed, Payer, Setup};
use provider::source::chart::Charts;
use provider::source::ehr::Ehr;
use provider::worker;
use provider::{Directories, Fixed};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use store::{AnyHouse, House as _};
use tokio::sync::Notify;
use wire::{BoxFuture, Clock, FhirClient, SigningKey, SmartClient, Transport, TransportError};

pub(crate) const NAMESPACE: &str = "https://clinic.example/handover";

fn base(payer: &str) -> String {
    format!("https://{payer}.example/fhir")
}

/// The EHR and the doors.
pub(crate) struct Network {
    chart: Mutex<Vec<Record>>,
    doors: BTreeMap<String, Mutex<Door>>,
}

/// What the EHR holds of one record.
struct Record {
    reference: String,
    kind: String,
    /// Those it says it is about.
    owners: Vec<String>,
    text: String,
}

impl Record {
    fn of(resource: &Value) -> Record {
        let owners = ["subject", "patient", "beneficiary"].iter();
        let owners = owners.filter_map(|name| resource[name]["reference"].as_str());
        Record {
            reference: reference(resource),
            kind: resource["resourceType"].as_str().unwrap_or_default().to_owned(),
            owners: owners.map(str::to_owned).collect(),
            text: resource.to_string(),
        }
    }
}

impl Network {
    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let url = request.uri().to_string();
        if url.ends_with("/token") {
            let token = json!({ "access_token": "t", "token_type": "bearer", "expires_in": 300 });
            return told(200, token.to_string());
        }
        if let Some(base) = url.strip_suffix("/.well-known/smart-configuration") {
            return told(200, json!({ "token_endpoint": format!("{base}/token") }).to_string());
        }
        if let Some(place) = url.strip_prefix(&format!("{EHR}/")) {
            return self.ehr(place);
        }
        let (base, door) = self.doors.iter().find(|(base, _)| url.starts_with(*base)).unwrap();
        let mut door = door.lock().unwrap();
        match url[base.len()..].trim_start_matches('/') {
            "metadata" => told(200, door.statement().to_string()),
            "$versions" => told(200, r#"{"versions":["4.0"],"default":"4.0"}"#.to_owned()),
            _ if request.method() == http::Method::GET => told(200, searchset(&[])),
            place => door.write(request, place),
        }
    }

    /// Reads, and searches by patient and roles by practitioner; other parameters it passes over, as many
    /// EHRs do.
    fn ehr(&self, place: &str) -> Response<Bytes> {
        let chart = self.chart.lock().unwrap();
        let (path, query) = place.split_once('?').unwrap_or((place, ""));
        if path == "metadata" {
            let mut statement = statement(&["search-system"]);
            statement["rest"][0]["searchParam"] = json!([{ "name": "practitioner" }]);
            return told(200, statement.to_string());
        }
        if path.contains('/') {
            let found = chart.iter().find(|it| it.reference == path);
            return found.map_or_else(|| told(404, String::new()), |it| told(200, it.text.clone()));
        }
        let query = query.replace("%2F", "/");
        if path == "PractitionerRole" {
            // All there are: whoever asks has to tell whose they are.
            let found = chart.iter().filter(|it| it.kind == path);
            return told(200, searchset(&found.map(|it| it.text.as_str()).collect::<Vec<_>>()));
        }
        let patient = query.split('&').find_map(|part| part.strip_prefix("patient="));
        let patient = patient.unwrap_or("nobody").trim_start_matches("Patient/").to_owned();
        let patient = format!("Patient/{patient}");
        let found = chart.iter().filter(|it| it.kind == path && it.owners.contains(&patient));
        told(200, searchset(&found.map(|it| it.text.as_str()).collect::<Vec<_>>()))
    }
}

fn told(status: u16, body: String) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
    answer
}

fn searchset(found: &[&str]) -> String {
    let entries: Vec<String> = found.iter().map(|it| format!(r#"{{"resource":{it}}}"#)).collect();
    let (total, entries) = (entries.len(), entries.join(","));
    format!(r#"{{"resourceType":"Bundle","type":"searchset","total":{total},"entry":[{entries}]}}"#)
}

impl Transport for Network {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async move { Ok(self.answer(&request)) })
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
    folder: PathBuf,
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
        agreements: &[(Rung, String)],
        feed: Option<Feed>,
    ) -> Hospital {
        let doors = PAYERS.iter().zip(agreements);
        let doors = doors.map(|((name, _), (rung, _))| (base(name), Mutex::new(Door::new(*rung))));
        let network = Arc::new(Network { chart: Mutex::default(), doors: doors.collect() });
        let clock = Arc::new(SetClock("2026-11-22T12:00:00Z".parse().unwrap()));
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let client = |base: &str| {
            let transport: Arc<dyn Transport> = Arc::clone(&network) as _;
            let (at, clock) = (Arc::clone(&transport), Arc::clone(&shared));
            let scope = "system/*.cruds".to_owned();
            let sign_in = SmartClient::new(at, base, "clinic", key, scope, clock).unwrap();
            Arc::new(FhirClient::new(base, transport, Some(sign_in)))
        };
        let payer = |((name, _), (_, text)): (&(&str, &str), &(Rung, String))| {
            let terms = Terms::parse(text, "agreement.toml", &default_value_set);
            let terms = terms.unwrap_or_else(|issue| panic!("{issue:?}\n{text}"));
            let public = public(name);
            (
                PartnerId::from(*name),
                Payer { public, terms, carriage: Arc::new(Fixed(client(&base(name)))) },
            )
        };
        let payers: BTreeMap<_, _> = PAYERS.iter().zip(agreements).map(payer).collect();
        let endpoints = payers.keys().map(|name| (name.clone(), base(name.as_str()))).collect();
        let setup = Setup {
            title: "Clinic".into(),
            base_url: "https://clinic.example/fhir".into(),
            file_secret: exchange::Digest([7; 32]),
            namespace: NAMESPACE.into(),
            version: "0.1.0",
            payers,
            restrictions: folder.join("restrictions.toml"),
            feed,
            payors: folder.join("payors.toml"),
            watch: None,
            named: Vec::new(),
            passed: |_| {},
        };
        let road = Arc::new(Road {
            setup,
            house: house.clone(),
            charts: Charts::new(Arc::new(Ehr::new(client(EHR), Arc::clone(&shared)))),
            directories: Directories::pinned(endpoints),
            doors: Doors::default(),
            claims: Claims::default(),
            clock: Arc::new(provider::HouseClock::new(Arc::clone(&shared))),
            changed: Arc::new(Notify::new()),
            rooms: provider::Rooms::default(),
            tables: provider::Tables::default(),
            bulk: provider::bulk::Bulk::default(),
        });
        let desk = Desk::new(Arc::clone(&road), Arc::new(Notify::new()), Vec::new());
        Hospital { folder: folder.to_owned(), network, clock, road, desk }
    }

    /// What the EHR holds from now on, and which tables of people count.
    pub(crate) fn hold(&self, chart: &Chart) {
        *self.network.chart.lock().unwrap() = chart.all.iter().map(Record::of).collect();
        let write = |name, text: &str| std::fs::write(self.folder.join(name), text).unwrap();
        write("restrictions.toml", &chart.restrictions);
        write("payors.toml", &chart.payors);
    }

    /// How a payer takes a push, what it was sent since the last look, and what it holds.
    pub(crate) fn door(&self, payer: &PartnerId) -> (Rung, Delivered, BTreeMap<String, Value>) {
        let mut door = self.network.doors[&base(payer.as_str())].lock().unwrap();
        (door.rung, door.take(), door.holds())
    }

    pub(crate) async fn command(&self, command: Command) -> Result<Reply, Issue> {
        self.desk.command(command).await
    }

    /// Records the trigger, walks until nothing is due, and gives the trigger's id.
    pub(crate) async fn push(&self, subject: &str, purpose: Option<Purpose>) -> String {
        let subject = subject.to_owned();
        let push = Command::Push { subject, purpose, who: who(), wait: 0, asynchronous: false };
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

    /// What a push deletes, as its payload has it: `Type/id` at the payer.
    pub(crate) async fn deletes(&self, id: &str) -> BTreeSet<String> {
        let row = self.road.house.work(id).await.unwrap().unwrap();
        let push = provider::turn::read(&row.work).unwrap();
        let Some(made) = push.assembled else { return BTreeSet::new() };
        let payload = self.road.house.blob(&made.payload).await.unwrap().unwrap();
        let bundle: Value = serde_json::from_slice(&payload).unwrap();
        let entries = bundle["entry"].as_array().unwrap().iter();
        let gone = entries.filter(|entry| entry["request"]["method"] == "DELETE");
        gone.map(|entry| entry["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn show(&self, id: &str) -> Box<Shown> {
        match self.command(Command::Show { id: id.into(), page: false }).await {
            Ok(Reply::Shown(shown)) => shown,
            other => panic!("{other:?}"),
        }
    }
}

fn public(name: &str) -> PublicFile {
    let client_id = name.into();
    PublicFile { client_id, ..PublicFile::of(name, Role::Payer, name, &base(name)) }
}

pub(crate) fn who() -> Who {
    Who { name: "Robin".into(), role: "staff".into(), why: "asked for by hand".into() }
}

/// A key for all doors: drawing one takes long.
pub(crate) fn key() -> String {
    SigningKey::generate().unwrap().to_pem()
}
