//! What the tests share: a hospital with finished encounters, one for each patient, who are members
//! of one plan, or of another from `OTHERS` on; a network in memory; a clock that moves when told.

use bytes::Bytes;
use exchange::agreement::{PayerIdentifier, Terms, default_value_set};
use exchange::desk::{Command, Explained, IssueWords, Reply, Row, Shown};
use exchange::partner::{PublicFile, Role};
use exchange::{Agreement, Code, Digest, Issue, PartnerId, Purpose, Who};
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use provider::Claims;
use provider::desk::Desk;
use provider::directory::Named;
use provider::road::Road;
use provider::route::Doors;
use provider::setup::{Feed, Payer, Setup};
use provider::source::chart::Charts;
use provider::source::ehr::Ehr;
use provider::watch::{WatchPlan, Watching};
use provider::{Carriage, Directories, Fixed};
use provider::{turn, worker};
use serde_json::{Value, json};
use sim::directory::Shelf;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use store::{AnyHouse, House as _, PostgresHouse, SqliteHouse, Unit};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use wire::{BoxFuture, Clock, FhirClient, SigningKey, SmartClient, Transport, TransportError};

use crate::stranger::{STRANGER, Stranger};

pub(crate) const EHR: &str = "https://ehr.example/fhir";
pub(crate) const PLAN: &str = "https://plan.example/fhir";
/// The other plan.
pub(crate) const OTHER: &str = "https://sunset.example/fhir";
/// Where the plan is after it has moved.
pub(crate) const MOVED: &str = "https://moved.example/fhir";
/// The directory.
pub(crate) const DIRECTORY: &str = "https://directory.example/fhir";
/// The first patient who is a member of the other plan.
pub(crate) const OTHERS: u32 = 900;
/// The first patient whom the same practitioner sees as the others up to `OTHERS`.
pub(crate) const SHARED: u32 = 500;
const PRACTITIONER: &str =
    r#"{"resourceType":"Practitioner","id":"d","name":[{"family":"Sample"}]}"#;
/// The request that carries a push.
pub(crate) const SENT: &str = "POST https://plan.example/fhir ";

/// What a place of the network answers.
pub(crate) type Told = Result<Response<Bytes>, TransportError>;
/// A way in which a place of the network goes wrong.
pub(crate) type Fault = fn() -> Told;

pub(crate) fn status(status: u16, body: impl Into<Bytes>) -> Told {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
    Ok(answer)
}

pub(crate) fn not_sent() -> Told {
    Err(TransportError::NotSent("planted".into()))
}

pub(crate) fn untrusted() -> Told {
    Err(TransportError::Untrusted("planted".into()))
}

/// Answers of the places that a test has spoilt, by how their URL begins; all others are in order.
type Spoilt = Vec<(String, Fault)>;

/// Something of the network that answers some requests.
pub(crate) trait Answers: Send + Sync {
    fn answer(&self, request: &Request<Bytes>) -> Option<Told>;
}

pub(crate) struct Network {
    spoilt: Mutex<Spoilt>,
    asked: Mutex<Vec<String>>,
    pushed: Mutex<Vec<String>>,
    hanging: Mutex<Option<(String, SocketAddr)>>,
    stranger: Mutex<Option<Arc<Stranger>>>,
    /// Whoever answers before all others, where it answers.
    pub(crate) first: Mutex<Option<Arc<dyn Answers>>>,
    pub(crate) shelf: Mutex<Shelf>,
}

impl Network {
    /// From now on, requests (`METHOD url `) that begin so are answered so.
    pub(crate) fn spoil(&self, begins: &str, told: Fault) {
        self.spoilt.lock().unwrap().push((begins.to_owned(), told));
    }

    /// From now on, requests that begin so go to a socket that takes them and never answers.
    pub(crate) fn hang(&self, begins: &str, address: SocketAddr) {
        *self.hanging.lock().unwrap() = Some((begins.to_owned(), address));
    }

    /// Everything is in order again.
    pub(crate) fn mend(&self) {
        self.spoilt.lock().unwrap().clear();
    }

    /// `METHOD url` of every request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// What the plan was given so far.
    pub(crate) fn pushed(&self) -> Vec<String> {
        self.pushed.lock().unwrap().clone()
    }

    /// No push has reached the plan.
    pub(crate) fn sent_nothing(&self) -> bool {
        self.asked().iter().all(|line| line != SENT.trim_end())
    }

    fn answer(&self, request: &Request<Bytes>) -> Told {
        let line = format!("{} {}", request.method(), request.uri());
        self.asked.lock().unwrap().push(line.clone());
        if line == SENT.trim_end() {
            let body = String::from_utf8_lossy(request.body()).into_owned();
            self.pushed.lock().unwrap().push(body);
        }
        let spoilt = self.spoilt.lock().unwrap();
        let ended = format!("{line} ");
        if let Some((_, told)) = spoilt.iter().find(|(begins, _)| ended.starts_with(begins)) {
            return told();
        }
        drop(spoilt);
        let first = self.first.lock().unwrap().clone();
        if let Some(told) = first.and_then(|first| first.answer(request)) {
            return told;
        }
        let stranger = self.stranger.lock().unwrap().clone();
        if let Some(stranger) = stranger.filter(|_| line.contains(STRANGER)) {
            return stranger.answer(request);
        }
        if let Some(asked) = line.strip_prefix(&format!("GET {DIRECTORY}/")) {
            let (path, query) = asked.split_once('?').unwrap_or((asked, ""));
            let (code, body) = self.shelf.lock().unwrap().answer(DIRECTORY, path, query);
            return status(code, body);
        }
        let (path, query) = match line.strip_prefix(&format!("GET {EHR}/")) {
            Some(rest) => rest.split_once('?').unwrap_or((rest, "")),
            None => return door(&line, request.body()),
        };
        chart(path, query)
    }

    async fn wait_for_ever(&self, request: &Request<Bytes>) {
        let line = format!("{} {} ", request.method(), request.uri());
        let hanging = self.hanging.lock().unwrap().clone();
        if let Some((_, address)) = hanging.filter(|(begins, _)| line.starts_with(begins)) {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(request.body()).await.unwrap();
            // No answer comes; when the test is over, the socket goes.
            socket.read_u8().await.ok();
            std::future::pending::<()>().await;
        }
    }
}

impl Transport for Network {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Told> {
        Box::pin(async move {
            self.wait_for_ever(&request).await;
            self.answer(&request)
        })
    }
}

pub(crate) const ENCOUNTER: &str = r#"{"resourceType":"Encounter","id":"e1","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/p1"},"period":{"start":"2026-11-20T09:00:00Z","end":"2026-11-20T10:00:00Z"}}"#;
pub(crate) const COVERAGE: &str = r#"{"resourceType":"Coverage","id":"c1","status":"active","subscriberId":"W100","beneficiary":{"reference":"Patient/p1"},"payor":[{"identifier":{"system":"urn:naic","value":"99001"}}]}"#;
const PATIENT: &str = r#"{"resourceType":"Patient","id":"p1","name":[{"family":"Example","given":["Ada"]}],"birthDate":"1980-02-03"}"#;
pub(crate) const WEIGHT: &str = r#"{"resourceType":"Observation","id":"o1","status":"final","category":[{"coding":[{"code":"vital-signs"}]}],"code":{"text":"weight"},"subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/e1"}}"#;

pub(crate) fn searchset(resources: &[&str]) -> String {
    let entries: Vec<String> =
        resources.iter().map(|text| format!(r#"{{"resource":{text}}}"#)).collect();
    let total = resources.len();
    let entries = entries.join(",");
    format!(r#"{{"resourceType":"Bundle","type":"searchset","total":{total},"entry":[{entries}]}}"#)
}

/// Whose chart is asked for.
fn patient(path: &str, query: &str) -> u32 {
    let asked = format!("{path}?{query}").replace("%2F", "/");
    let before = ["Encounter/e", "Patient/p", "patient=p", "encounter=e"];
    let after = before.iter().find_map(|before| asked.split_once(before)).map(|(_, after)| after);
    let digits = after.unwrap_or_default().split(|letter: char| !letter.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(1)
}

/// A resource of the first patient, as another one has it.
fn of(patient: u32, text: &str) -> String {
    let mut text = text.to_owned();
    for id in ["e1", "p1", "c1", "o1"] {
        let other = id.replace('1', &patient.to_string());
        text = text.replace(&format!("\"{id}\""), &format!("\"{other}\""));
        text = text.replace(&format!("/{id}\""), &format!("/{other}\""));
    }
    if (SHARED..OTHERS).contains(&patient) {
        let performer = r#""performer":[{"reference":"Practitioner/d"}],"code""#;
        text = text.replace("\"code\":{\"text\"", &format!("{performer}:{{\"text\""));
    }
    if patient >= OTHERS { text.replace("99001", "99002") } else { text }
}

/// The chart of a proper EHR.
fn chart(path: &str, query: &str) -> Told {
    let own = |text: &str| of(patient(path, query), text);
    match (path, query.contains("_id=none")) {
        (path, _) if path.starts_with("Encounter/e") => status(200, own(ENCOUNTER)),
        (path, _) if path.starts_with("Patient/p") => status(200, own(PATIENT)),
        ("Practitioner/d", _) => status(200, PRACTITIONER),
        ("Coverage", _) => status(200, own(&searchset(&[COVERAGE]))),
        ("Observation", _) => status(200, own(&searchset(&[WEIGHT]))),
        (".well-known/smart-configuration", _) => {
            status(200, json!({ "token_endpoint": format!("{EHR}/token") }).to_string())
        }
        (path, _) if path.contains('/') => status(404, ""),
        _ => status(200, searchset(&[])),
    }
}

/// The door of either plan.
fn door(line: &str, body: &Bytes) -> Told {
    let Some(base) = [OTHER, MOVED].into_iter().find(|base| line.contains(base)) else {
        return plan(line, body);
    };
    let told = plan(&line.replace(base, PLAN), body)?;
    let body = String::from_utf8(told.body().to_vec()).unwrap();
    status(told.status().as_u16(), body.replace(PLAN, base))
}

/// The door of a proper plan: it files whatever it is given.
fn plan(line: &str, body: &Bytes) -> Told {
    if line.starts_with("POST") && line.ends_with("/token") {
        let token = json!({ "access_token": "t", "token_type": "bearer", "expires_in": 300 });
        return status(200, token.to_string());
    }
    match line.strip_prefix(&format!("GET {PLAN}")) {
        Some("/metadata") => status(200, statement("transaction")),
        Some("/$versions") => status(200, r#"{"versions":["4.0"],"default":"4.0"}"#),
        Some("/.well-known/smart-configuration") => {
            status(200, json!({ "token_endpoint": format!("{PLAN}/token") }).to_string())
        }
        Some(_) => status(200, searchset(&[])),
        None => {
            let sent: Value = serde_json::from_slice(body).unwrap();
            let filed = json!({ "response": { "status": "201 Created" } });
            let entries = vec![filed; sent["entry"].as_array().unwrap().len()];
            let answer = json!({ "resourceType": "Bundle", "type": "transaction-response",
                "entry": entries });
            status(200, answer.to_string())
        }
    }
}

pub(crate) fn statement(interaction: &str) -> String {
    json!({ "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
        "rest": [{ "interaction": [{ "code": interaction }] }] })
    .to_string()
}

pub(crate) struct SetClock(Mutex<Timestamp>);

impl SetClock {
    pub(crate) fn advance(&self, hours: i64) {
        self.advance_by(SignedDuration::from_hours(hours));
    }

    pub(crate) fn advance_by(&self, time: SignedDuration) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(time).unwrap();
    }
}

impl SetClock {
    fn at(now: Timestamp) -> Arc<SetClock> {
        Arc::new(SetClock(Mutex::new(now)))
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A hospital at work.
pub(crate) struct Hospital {
    pub(crate) network: Arc<Network>,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) desk: Desk,
    pub(crate) house: AnyHouse,
    pub(crate) road: Arc<Road>,
    pub(crate) wake: Arc<Notify>,
}

impl Hospital {
    pub(crate) fn open() -> Hospital {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("restrictions.toml"), "").unwrap();
        let house = SqliteHouse::open(&folder.path().join("store"), &"clinic".into()).unwrap();
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        Hospital::on(folder, house.into(), now, &["sunrise"])
    }

    /// A hospital that watches whoever is on this roster.
    pub(crate) fn watching(roster: &str) -> Hospital {
        let Hospital { folder, house, clock, .. } = Hospital::open();
        std::fs::write(folder.path().join(ROSTER), roster).unwrap();
        Hospital::on(folder, house, clock.now(), &["sunrise"])
    }

    /// A hospital that watches everybody with an agreement's coverage, beside this roster.
    pub(crate) fn watching_covered(roster: Option<&str>) -> Hospital {
        let Hospital { folder, house, clock, .. } = Hospital::open();
        std::fs::write(folder.path().join(COVERED), "").unwrap();
        if let Some(roster) = roster {
            std::fs::write(folder.path().join(ROSTER), roster).unwrap();
        }
        Hospital::on(folder, house, clock.now(), &["sunrise"])
    }

    /// A hospital in a database server, whose own clock shows this.
    pub(crate) fn open_on(house: PostgresHouse, now: Timestamp) -> Hospital {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("restrictions.toml"), "").unwrap();
        Hospital::on(folder, house.into(), now, &["sunrise"])
    }

    /// A hospital in a database server that watches whoever is on this roster.
    pub(crate) fn watching_on(house: PostgresHouse, now: Timestamp, roster: &str) -> Hospital {
        let Hospital { folder, house, .. } = Hospital::open_on(house, now);
        std::fs::write(folder.path().join(ROSTER), roster).unwrap();
        Hospital::on(folder, house, now, &["sunrise"])
    }

    /// A hospital with both plans.
    pub(crate) fn open_with_both() -> Hospital {
        let Hospital { folder, house, clock, .. } = Hospital::open();
        Hospital::on(folder, house, clock.now(), &["sunrise", "sunset"])
    }

    fn on(folder: TempDir, house: AnyHouse, now: Timestamp, payers: &[&str]) -> Hospital {
        let network = Arc::new(Network {
            spoilt: Mutex::default(),
            asked: Mutex::default(),
            pushed: Mutex::default(),
            hanging: Mutex::default(),
            stranger: Mutex::default(),
            first: Mutex::default(),
            shelf: Mutex::default(),
        });
        let (clock, wake) = (SetClock::at(now), Arc::new(Notify::new()));
        let (road, desk) = wire_up(&house, &network, &clock, folder.path(), payers, &wake);
        Hospital { network, clock, folder, desk, house, road, wake }
    }

    /// A hospital whose plan has a server of another make.
    pub(crate) fn open_to(stranger: &Arc<Stranger>) -> Hospital {
        let Hospital { folder, house, clock, .. } = Hospital::open();
        let name = if stranger.keeps_collections() { "stranger-taken" } else { "stranger" };
        let hospital = Hospital::on(folder, house, clock.now(), &[name]);
        *hospital.network.stranger.lock().unwrap() = Some(Arc::clone(stranger));
        hospital
    }

    /// The same house, started anew: nothing is remembered but what was written.
    pub(crate) fn restarted(self) -> Hospital {
        self.restarted_with("stranger")
    }

    /// The same with this payer.
    pub(crate) fn restarted_with(self, payer: &str) -> Hospital {
        let (folder, payers) = (self.folder.path(), [payer]);
        let (road, desk) =
            wire_up(&self.house, &self.network, &self.clock, folder, &payers, &self.wake);
        Hospital { road, desk, ..self }
    }

    /// The same house, started anew without any payer in its configuration.
    pub(crate) fn without_payers(self) -> Hospital {
        let folder = self.folder.path();
        let (road, desk) =
            wire_up(&self.house, &self.network, &self.clock, folder, &[], &self.wake);
        Hospital { road, desk, ..self }
    }

    /// The same house, started anew with these lines at the end of its agreement.
    pub(crate) fn with_agreed(self, lines: &str) -> Hospital {
        self.with_terms(|text| text + lines)
    }

    /// The same house, started anew with its agreement written so.
    pub(crate) fn with_terms(self, write: impl Fn(String) -> String) -> Hospital {
        let Hospital { network, clock, folder, desk, house, road, wake } = self;
        drop(desk);
        let mut road = Arc::into_inner(road).unwrap_or_else(|| panic!("it is at work"));
        for payer in road.setup.payers.values_mut() {
            let text = write(agreement(payer.public.name.as_str()));
            payer.terms = Terms::parse(&text, "agreement.toml", &default_value_set).unwrap();
        }
        let road = Arc::new(road);
        let desk = Desk::new(Arc::clone(&road), Arc::clone(&wake), Vec::new());
        Hospital { network, clock, folder, desk, house, road, wake }
    }

    /// The same house, started anew with these directories, and a door wherever they say that it is.
    pub(crate) fn with_directories(self, order: Vec<Named>) -> Hospital {
        let hospital = self.restarted_with("sunrise");
        let Hospital { network, clock, folder, desk, house, road, wake } = hospital;
        drop(desk);
        let mut road = Arc::into_inner(road).unwrap_or_else(|| panic!("it is at work"));
        road.directories = Directories::new(order);
        road.directories.crosswalk = Some(folder.path().join("payers.toml"));
        for payer in road.setup.payers.values_mut() {
            let (transport, clock) = (Arc::clone(&network), Arc::clone(&clock));
            payer.carriage = Arc::new(Anywhere { transport, clock, made: Mutex::default() });
        }
        let road = Arc::new(road);
        let desk = Desk::new(Arc::clone(&road), Arc::clone(&wake), Vec::new());
        Hospital { network, clock, folder, desk, house, road, wake }
    }

    /// The same house, started anew with a feed of restrictions that may be 26 hours old.
    pub(crate) fn with_feed(self) -> Hospital {
        let folder = self.folder.path();
        std::fs::create_dir(folder.join("feed")).unwrap();
        let (road, desk) =
            wire_up(&self.house, &self.network, &self.clock, folder, &["sunrise"], &self.wake);
        Hospital { road, desk, ..self }
    }

    /// Replaces the table of restrictions.
    pub(crate) fn restrict(&self, text: &str) {
        std::fs::write(self.folder.path().join("restrictions.toml"), text).unwrap();
    }

    pub(crate) async fn command(&self, command: Command) -> Result<Reply, Issue> {
        self.desk.command(command).await
    }

    /// Pushes the encounter, walks until nothing is due, and gives the rows, waiting ones first.
    pub(crate) async fn push(&self) -> Vec<Row> {
        self.push_for("e1", None).await
    }

    pub(crate) async fn push_for(&self, encounter: &str, purpose: Option<Purpose>) -> Vec<Row> {
        let encounter = encounter.to_owned();
        let push =
            Command::Push { subject: encounter, purpose, who: who(), wait: 0, asynchronous: false };
        self.command(push).await.unwrap();
        self.work().await
    }

    /// Walks until nothing is due.
    pub(crate) async fn work(&self) -> Vec<Row> {
        self.walk_until_idle().await;
        match self.command(Command::List { states: vec![], limit: None }).await.unwrap() {
            Reply::Listed { rows, .. } => rows,
            other => panic!("{other:?}"),
        }
    }

    /// The worker, stopped whenever it rests, and begun again while something is due.
    async fn walk_until_idle(&self) {
        loop {
            // Not before it has looked once.
            let stop = tokio::task::yield_now();
            worker::run(Arc::clone(&self.road), Arc::new(Notify::new()), stop).await;
            let now = self.house.time(self.house.clock(self.clock.now())).await.unwrap();
            if self.house.next_due().await.unwrap().is_none_or(|at| at > now) {
                return;
            }
        }
    }

    /// As after a kill behind the answer: the push has ended, nobody was told, and its payload is gone.
    pub(crate) async fn forget_payload(&self, id: &str) {
        let mut push = turn::read(&self.house.work(id).await.unwrap().unwrap().work).unwrap();
        push.acknowledgement = None;
        push.assembled.as_mut().unwrap().payload = Digest::of(b"gone");
        let at = self.clock.now();
        let works = vec![turn::row(&push, at)];
        self.house.commit(Unit { at, works, ..Unit::default() }).await.unwrap();
    }

    pub(crate) async fn show(&self, id: &str) -> Box<Shown> {
        match self.command(Command::Show { id: id.into(), page: false }).await.unwrap() {
            Reply::Shown(shown) => shown,
            other => panic!("{other:?}"),
        }
    }

    /// What explain says of the encounter as a whole, and of each payer.
    pub(crate) async fn explain(&self) -> Result<(Vec<Explained>, Vec<IssueWords>), Issue> {
        let explain = Command::Explain { subject: "e1".into(), purpose: None, who: who() };
        match self.command(explain).await? {
            Reply::Explained { payers, issues, .. } => Ok((payers, issues)),
            other => panic!("{other:?}"),
        }
    }

    /// Checks that exactly one row waits, as `state`, for this reason; that show and the ledger
    /// say the same; and gives the issue.
    pub(crate) async fn waits(&self, case: &str, state: &str, code: Code) -> Issue {
        let rows = self.work().await;
        let row = rows.first().unwrap_or_else(|| panic!("{case}: nothing is there"));
        let told = row.issues.first().unwrap_or_else(|| panic!("{case}: {row:?}"));
        assert_eq!((row.state.as_str(), told.issue.code), (state, code), "{case}: {row:?}");
        assert_eq!((told.who_acts.as_str(), told.next.as_str()), words(code), "{case}");
        let shown = self.show(&row.id).await;
        assert_eq!(shown.row.issues, row.issues, "{case}: show");
        let line = &shown.timeline.last().unwrap().what;
        let row = code.row();
        let said = line.contains(row.slug) || line.contains(row.title);
        assert!(said, "{case}: the ledger says {line}");
        told.issue.clone()
    }
}

/// Signs in wherever the payer is.
struct Anywhere {
    transport: Arc<Network>,
    clock: Arc<SetClock>,
    made: Mutex<BTreeMap<String, Arc<FhirClient>>>,
}

impl Carriage for Anywhere {
    fn client(&self, base_url: &str) -> Result<Arc<FhirClient>, Issue> {
        let mut made = self.made.lock().unwrap();
        let make = || {
            let (key, scope) = (SigningKey::generate().unwrap().to_pem(), "system/*.cruds".into());
            let (at, clock) = (Arc::clone(&self.transport) as _, Arc::clone(&self.clock) as _);
            let sign_in = SmartClient::new(at, base_url, "clinic", &key, scope, clock).unwrap();
            let transport = Arc::clone(&self.transport) as _;
            Arc::new(FhirClient::new(base_url, transport, Some(sign_in)))
        };
        Ok(Arc::clone(made.entry(base_url.to_owned()).or_insert_with(make)))
    }
}

fn words(code: Code) -> (&'static str, &'static str) {
    let actor = match code.row().actor {
        exchange::Actor::Provider => "the provider",
        exchange::Actor::Payer => "the payer",
        exchange::Actor::Sender => "the sender of the request",
        exchange::Actor::Operator => "whoever runs this house",
        exchange::Actor::Nobody => "nobody",
    };
    (actor, code.row().next)
}

fn wire_up(
    house: &AnyHouse,
    network: &Arc<Network>,
    clock: &Arc<SetClock>,
    folder: &std::path::Path,
    payers: &[&str],
    wake: &Arc<Notify>,
) -> (Arc<Road>, Desk) {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let client = |base: &str| {
        let transport: Arc<dyn Transport> = Arc::clone(network) as _;
        let key = SigningKey::generate().unwrap().to_pem();
        let scope = "system/*.cruds".to_owned();
        let (at, clock) = (Arc::clone(&transport), Arc::clone(&clock));
        let sign_in = SmartClient::new(at, base, "clinic", &key, scope, clock).unwrap();
        Arc::new(FhirClient::new(base, transport, Some(sign_in)))
    };
    let payers: BTreeMap<PartnerId, Payer> = payers
        .iter()
        .map(|name| (PartnerId::from(*name), payer(name, client(base(name)))))
        .collect();
    let endpoints =
        payers.keys().map(|name| (name.clone(), base(name.as_str()).to_owned())).collect();
    let setup = Setup {
        title: "Clinic".into(),
        base_url: "https://clinic.example/fhir".into(),
        file_secret: exchange::Digest([7; 32]),
        namespace: "https://clinic.example/handover".into(),
        version: "0.1.0",
        payers,
        restrictions: folder.join("restrictions.toml"),
        watch: watching(folder),
        // A folder of this name makes it a house with a feed.
        feed: folder
            .join("feed")
            .is_dir()
            .then(|| Feed { place: Some(folder.join("feed")), max_age_hours: 26 }),
        payors: folder.join("payors.toml"),
        named: Vec::new(),
        passed: |_| {},
    };
    let road = Arc::new(Road {
        setup,
        house: house.clone(),
        charts: Charts::new(Arc::new(Ehr::new(client(EHR), Arc::clone(&clock)))),
        directories: Directories::pinned(endpoints),
        doors: Doors::default(),
        claims: Claims::default(),
        clock: Arc::new(provider::HouseClock::new(clock)),
        changed: Arc::new(Notify::new()),
        rooms: provider::Rooms::default(),
        tables: provider::Tables::default(),
        bulk: provider::bulk::Bulk::default(),
    });
    let desk = Desk::new(Arc::clone(&road), Arc::clone(wake), Vec::new());
    (road, desk)
}

/// The roster of those who are watched, where a test has written one.
pub(crate) const ROSTER: &str = "roster.csv";
/// Stands where everybody with an agreement's coverage is watched.
const COVERED: &str = "covered";

fn watching(folder: &std::path::Path) -> Option<Watching> {
    let roster = folder.join(ROSTER).exists().then(|| folder.join(ROSTER));
    let coverage = folder.join(COVERED).exists();
    let watches = roster.is_some() || coverage;
    let plan = WatchPlan {
        roster,
        coverage,
        every: SignedDuration::from_mins(15),
        overlap: SignedDuration::from_hours(72),
        since: None,
        population: true,
        pace: std::time::Duration::ZERO,
    };
    watches.then(|| Watching::new(plan))
}

fn base(name: &str) -> &'static str {
    match name {
        "sunset" => OTHER,
        "stranger" | "stranger-taken" => STRANGER,
        _ => PLAN,
    }
}

fn agreement(name: &str) -> String {
    let value = if name == "sunset" { "99002" } else { "99001" };
    let identifier = PayerIdentifier { system: Some("urn:naic".into()), value: value.into() };
    let mut text = Agreement::default_text(&name.into(), &[Purpose::Payment], &[identifier]);
    if name.starts_with("stranger") {
        text = text.replace("form = \"transaction\"", "form = \"best\"");
    }
    if name == "stranger-taken" {
        text = text.replace("settled_by = \"filed\"", "settled_by = \"taken\"");
        text.push_str(
            "\n[door]\nforms = [\"transaction\", \"batch\", \"single\", \"collection\"]\n",
        );
    }
    text
}

fn payer(name: &str, client: Arc<FhirClient>) -> Payer {
    let text = agreement(name);
    let client_id = name.into();
    let public = PublicFile { client_id, ..PublicFile::of(name, Role::Payer, name, base(name)) };
    let terms = Terms::parse(&text, "agreement.toml", &default_value_set).unwrap();
    Payer { public, terms, carriage: Arc::new(Fixed(client)) }
}

pub(crate) fn who() -> Who {
    Who { name: "Robin".into(), role: "staff".into(), why: "asked for by hand".into() }
}
