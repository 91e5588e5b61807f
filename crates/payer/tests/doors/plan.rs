//! What the tests share: a plan of invention with one member, three senders, and a clock that
//! stands still.

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use exchange::agreement::{Terms, default_value_set};
use exchange::assemble::{Envelope, Payload, bundle, edit, withdrawal};
use exchange::desk::{Command, Reply, Row, Shown};
use exchange::partner::{PublicFile, Role};
use exchange::{Agreement, Code, Decision, Disclosure, Issue, Purpose, Who};
use fhir::Resource;
use http::{Request, Response};
use http_body_util::BodyExt;
use jiff::Timestamp;
use payer::bulk::{Bulk, FileServer};
use payer::doors::Doors;
use payer::key::Keys;
use payer::register::Register;
use payer::road::Road;
use payer::setup::{Sender, Setup};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::{AnyHouse, PostgresHouse, PostgresPlace, SqliteHouse};
use tower::ServiceExt;
use wire::{Clock, Credential, Gate, MemoryReplay, SigningKey};

pub(crate) const BASE: &str = "https://plan.example/fhir";
pub(crate) const NAMESPACE: &str = "https://clinic.example/handover";
/// The namespace of the house `mercy`.
pub(crate) const MERCY: &str = "https://mercy.example/handover";

/// The member file.
const MEMBER: &str =
    "member_id,family,given,birth_date,gender\nW100,Example,Ada,1980-02-03,female\n";

pub(crate) struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }
}

/// The road's clock: it moves when it is told to.
#[derive(Default)]
pub(crate) struct MovingClock(std::sync::atomic::AtomicI64);

impl MovingClock {
    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Clock for MovingClock {
    fn now(&self) -> Timestamp {
        let seconds = self.0.load(std::sync::atomic::Ordering::Relaxed);
        StandingClock.now() + jiff::SignedDuration::from_secs(seconds)
    }
}

fn envelope(namespace: &str, number: u64) -> Envelope<'_> {
    Envelope {
        namespace,
        number,
        purpose: Purpose::Payment,
        recorded: "2026-11-22T10:00:00Z".parse().unwrap(),
        as_of: "2026-11-22T10:00:00Z".parse().unwrap(),
        sender_name: "Clinic",
        software_version: "0.1.0",
    }
}

/// A push of the house with this namespace that takes back what the payload holds, its Provenance
/// aside.
pub(crate) fn taking_back(of: &Payload, namespace: &str, number: u64) -> Bytes {
    taking_back_but(of, &[], namespace, number)
}

/// The same, without the records of these types.
pub(crate) fn taking_back_but(of: &Payload, stay: &[&str], namespace: &str, number: u64) -> Bytes {
    let records = of.contents.iter().filter(|one| one.kind != "Provenance");
    let records: Vec<_> = records.map(|one| (one.kind.clone(), one.id.clone())).collect();
    let patient = records.iter().find(|one| one.0 == "Patient").unwrap().1.clone();
    let goes = |one: &&(String, String)| !stay.contains(&one.0.as_str());
    let records: Vec<_> = records.iter().filter(goes).cloned().collect();
    withdrawal(&patient, &records, &of.push, "a wrong patient", &envelope(namespace, number)).bytes
}

/// A plan with its doors open.
pub(crate) struct Plan {
    pub(crate) road: Arc<Road>,
    pub(crate) desk: payer::desk::Desk,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Arc<MovingClock>,
    /// Where its records are, if not in its folder.
    database: Option<String>,
    router: Router,
    gate: Arc<Gate>,
    key: SigningKey,
}

/// What one Bundle is made of.
pub(crate) struct Push<'p> {
    /// The number of the push.
    pub(crate) number: u64,
    /// The member id on the Patient; empty for none.
    pub(crate) member: &'static str,
    /// The Patient's family name.
    pub(crate) family: &'static str,
    /// The status of its observations.
    pub(crate) status: &'static str,
    /// Their ids in the chart, as the house `clinic` assembles it.
    pub(crate) observations: &'p [&'p str],
}

impl Default for Push<'_> {
    fn default() -> Self {
        Push {
            number: 1,
            member: "W100",
            family: "Example",
            status: "final",
            observations: &["o1"],
        }
    }
}

impl Push<'_> {
    /// As the house `clinic` assembles it.
    pub(crate) fn assembled(&self) -> Payload {
        let decision = |text: String| Decision::Included {
            resource: Resource::parse(text.into_bytes()).unwrap(),
            rule: "all".into(),
            cuts: Vec::new(),
        };
        let observations = self.observations.iter().map(|id| self.observation(id, "p1"));
        let chart = std::iter::once(self.patient("p1")).chain(observations);
        let disclosure = Disclosure { decisions: chart.map(decision).collect() };
        bundle(
            &edit(&disclosure, NAMESPACE, "https://ehr.example").unwrap(),
            &[],
            &envelope(NAMESPACE, self.number),
        )
    }

    /// As a stranger writes it, with ids of its own and this key.
    pub(crate) fn by_hand(&self, key: &str) -> String {
        let put = |kind: &str, id: &str, text: String| {
            format!(r#"{{"resource":{text},"request":{{"method":"PUT","url":"{kind}/{id}"}}}}"#)
        };
        let patient = put("Patient", "p1", self.patient("p1"));
        let observation = put("Observation", "o1", self.observation("o1", "p1"));
        format!(
            r#"{{"resourceType":"Bundle","identifier":{{"system":"urn:lab","value":"{key}"}},"type":"transaction","entry":[{patient},{observation}]}}"#
        )
    }

    fn patient(&self, id: &str) -> String {
        let coding = r#"{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}"#;
        let identifier = match self.member {
            "" => String::new(),
            member => format!(
                r#","identifier":[{{"type":{{"coding":[{coding}]}},"system":"urn:plan","value":"{member}"}}]"#
            ),
        };
        format!(
            r#"{{"resourceType":"Patient","id":"{id}"{identifier},"name":[{{"family":"{}","given":["Ada"]}}],"birthDate":"1980-02-03"}}"#,
            self.family
        )
    }

    fn observation(&self, id: &str, patient: &str) -> String {
        format!(
            r#"{{"resourceType":"Observation","id":"{id}","status":"{}","code":{{"text":"weight"}},"subject":{{"reference":"Patient/{patient}"}}}}"#,
            self.status
        )
    }
}

pub(crate) fn sender(name: &str, namespace: &str, unmatched: &str) -> Sender {
    let partner = name.into();
    let text = Agreement::default_text(&partner, &[Purpose::Payment], &[]);
    let text = match name {
        "guest" => "partner = \"guest\"\npurposes = [\"HPAYMT\"]\nunmatched = \"hold\"\n".into(),
        _ => text.replace(r#"unmatched = "hold""#, &format!(r#"unmatched = "{unmatched}""#)),
    };
    let base_url = format!("https://{name}.example/fhir");
    let public = PublicFile {
        namespace: namespace.into(),
        client_id: name.into(),
        ..PublicFile::of(name, Role::Provider, name, &base_url)
    };
    let terms = Terms::parse(&text, "agreement.toml", &default_value_set).unwrap();
    Sender { public, terms, files: None }
}

async fn open(url: &str) -> PostgresHouse {
    let place = PostgresPlace { url: url.to_owned(), ..PostgresPlace::default() };
    PostgresHouse::open(&place, &"plan".into()).await.unwrap()
}

fn senders(files: Option<&FileServer>) -> BTreeMap<exchange::PartnerId, Sender> {
    let senders = [
        sender("clinic", NAMESPACE, "hold"),
        sender("mercy", MERCY, "hold"),
        sender("lab", "", "hold"),
        sender("rival", "", "refuse"),
        sender("guest", "", "hold"),
    ];
    let with = |one: Sender| (one.public.name.clone(), Sender { files: files.cloned(), ..one });
    senders.into_iter().map(with).collect()
}

impl Plan {
    /// The houses `clinic` and `mercy` and the stranger `lab` are kept for a person when no member fits;
    /// the stranger `rival` is refused then. The stranger `guest` may send every type.
    pub(crate) fn open() -> Plan {
        Plan::open_with(None)
    }

    /// The same, whose senders' files are fetched so.
    pub(crate) fn open_with(files: Option<&FileServer>) -> Plan {
        Plan::open_for(files, Bulk::default())
    }

    /// The same, with this much room for bulk submissions.
    pub(crate) fn open_for(files: Option<&FileServer>, bulk: Bulk) -> Plan {
        let folder = tempfile::tempdir().unwrap();
        let members = folder.path().join("members.csv");
        std::fs::write(&members, MEMBER).unwrap();
        let house = SqliteHouse::open(&folder.path().join("store"), &"plan".into()).unwrap();
        Plan::with(folder, house.into(), members, senders(files), bulk)
    }

    /// The same plan after a sudden end, with the same senders.
    pub(crate) async fn ended(self, files: &FileServer) -> Plan {
        self.ended_without(files, "").await
    }

    /// The same, where one of them is a partner no more.
    pub(crate) async fn ended_without(self, files: &FileServer, gone: &str) -> Plan {
        let Plan { road, desk, folder, router, gate, clock, database, .. } = self;
        drop((road, desk, router, gate));
        let house: AnyHouse = match &database {
            Some(url) => open(url).await.into(),
            None => SqliteHouse::open(&folder.path().join("store"), &"plan".into()).unwrap().into(),
        };
        let members = folder.path().join("members.csv");
        let mut senders = senders(Some(files));
        senders.remove(&gone.into());
        let plan = Plan::with(folder, house, members, senders, Bulk::default());
        plan.clock.advance(clock.0.load(std::sync::atomic::Ordering::Relaxed));
        Plan { database, ..plan }
    }

    /// The same plan over a database server.
    pub(crate) async fn in_postgres(url: String) -> Plan {
        let folder = tempfile::tempdir().unwrap();
        let members = folder.path().join("members.csv");
        std::fs::write(&members, "member_id,family,given,birth_date,gender\n").unwrap();
        let house = open(&url).await.into();
        let plan = Plan::with(folder, house, members, senders(None), Bulk::default());
        Plan { database: Some(url), ..plan }
    }

    /// The same with its member, and senders whose files are fetched so.
    pub(crate) async fn in_postgres_with(url: String, files: &FileServer) -> Plan {
        let plan = Plan::in_postgres(url).await;
        std::fs::write(plan.folder.path().join("members.csv"), MEMBER).unwrap();
        plan.ended(files).await
    }

    /// The same plan after a sudden end: what is on the disk is all there is. Its clock stands again.
    pub(crate) fn killed(self) -> Plan {
        let Plan { road, desk, folder, router, gate, .. } = self;
        drop((road, desk, router, gate));
        let house = SqliteHouse::open(&folder.path().join("store"), &"plan".into()).unwrap();
        let members = folder.path().join("members.csv");
        Plan::with(folder, house.into(), members, senders(None), Bulk::default())
    }

    fn with(
        folder: tempfile::TempDir,
        house: AnyHouse,
        members: PathBuf,
        senders: BTreeMap<exchange::PartnerId, Sender>,
        bulk: Bulk,
    ) -> Plan {
        let clock: Arc<dyn Clock> = Arc::new(StandingClock);
        let moving = Arc::new(MovingClock::default());
        let setup = Setup { base_url: BASE.into(), version: "0.1.0", senders, passed: |_| {} };
        let road = Arc::new(Road {
            setup,
            house,
            register: Register::new(&members),
            keys: Keys::waiting(Duration::ZERO),
            ledger_root: Arc::default(),
            member_secret: [7; 32],
            clock: Arc::clone(&moving) as _,
            exports: payer::exports::Exports::default(),
            bulk,
        });
        let key = SigningKey::generate().unwrap();
        let credential = |name: &str| Credential {
            client_id: name.into(),
            partner: name.into(),
            jwks: key.jwks(),
            scopes: vec!["system/*.cruds".into(), "system/bulk-submit".into()],
        };
        let mut credentials =
            ["clinic", "mercy", "lab", "rival", "guest", "nobody"].map(credential).to_vec();
        credentials.extend(["platform", "warehouse"].map(|name| Credential {
            partner: payer::reader::Reader::name(name),
            scopes: vec!["system/*.rs".into()],
            ..credential(name)
        }));
        let replay = Arc::new(MemoryReplay::new(Arc::clone(&clock)));
        let gate = Arc::new(Gate::new(BASE, credentials, [9; 32], replay, clock));
        let doors = Arc::new(Doors::new(Arc::clone(&road), &gate.token_endpoint()));
        let router = wire::rest::mount("/fhir", wire::rest::router(doors, Arc::clone(&gate)));
        let desk = payer::desk::Desk::new(Arc::clone(&road), Vec::new());
        Plan { road, desk, folder, clock: moving, database: None, router, gate, key }
    }

    async fn token(&self, client: &str, scope: &str) -> String {
        let now = StandingClock.now().as_second();
        let claims = json!({
            "iss": client, "sub": client, "aud": self.gate.token_endpoint(),
            "iat": now, "exp": now + 240, "jti": uuid::Uuid::now_v7().to_string(),
        });
        let form = wire::urlencoded::encode([
            ("grant_type", "client_credentials"),
            ("scope", scope),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &self.key.sign(&claims).unwrap()),
        ]);
        let answer = self.gate.token(form.as_bytes()).await;
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        format!("Bearer {}", told["access_token"].as_str().unwrap())
    }

    /// Posts a body as this partner.
    pub(crate) async fn post(&self, client: &str, body: impl Into<Bytes>) -> Response<Bytes> {
        self.post_with(client, "system/*.cruds", body).await
    }

    pub(crate) async fn post_with(
        &self,
        client: &str,
        scope: &str,
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let request = Request::post("/fhir")
            .header("authorization", self.token(client, scope).await)
            .header("content-type", "application/fhir+json");
        self.ask(request.body(Body::from(body.into())).unwrap()).await
    }

    /// A request that writes one record.
    pub(crate) async fn write(
        &self,
        client: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(format!("/fhir/{path}"));
        let token = self.token(client, "system/*.cruds").await;
        for (name, value) in headers.iter().chain(&[("authorization", token.as_str())]) {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/fhir+json");
        }
        self.ask(request.body(Body::from(body.unwrap_or_default())).unwrap()).await
    }

    /// What the ledger does not bear out.
    pub(crate) async fn verify(&self) -> Result<(), (u64, String)> {
        match self.desk.command(Command::Verify { witness: Vec::new() }).await.unwrap() {
            Reply::Verified { broken: Some(broken), .. } => Err(broken),
            _ => Ok(()),
        }
    }

    /// Gets a path, or an absolute URL of the plan's, as this partner.
    pub(crate) async fn get(&self, client: &str, path: &str) -> Response<Bytes> {
        let path = path.strip_prefix("https://plan.example").unwrap_or(path);
        let token = self.token(client, "system/*.cruds").await;
        let request = Request::get(path).header("authorization", token);
        self.ask(request.body(Body::empty()).unwrap()).await
    }

    /// Asks in any way, as this partner.
    pub(crate) async fn ask_as(
        &self,
        client: &str,
        method: http::Method,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Response<Bytes> {
        self.ask_within(client, "system/*.cruds", (method, path), body, headers).await
    }

    /// The same, with a token of this scope.
    pub(crate) async fn ask_within(
        &self,
        client: &str,
        scope: &str,
        (method, path): (http::Method, &str),
        body: &str,
        headers: &[(&str, &str)],
    ) -> Response<Bytes> {
        let token = self.token(client, scope).await;
        let request = Request::builder().method(method).uri(path).header("authorization", token);
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.ask(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Response<Bytes> {
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    /// Removes the files of large contents, as a careless hand would; how many there were.
    pub(crate) fn lose_large_contents(&self) -> usize {
        let mut folders = vec![self.folder.path().join("store")];
        let mut lost = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                if path.is_dir() {
                    folders.push(path);
                } else if name.len() >= 60 {
                    std::fs::remove_file(path).unwrap();
                    lost += 1;
                }
            }
        }
        lost
    }

    /// The submissions, waiting ones first.
    pub(crate) async fn list(&self) -> Vec<Row> {
        let command = Command::List { states: Vec::new(), limit: None };
        match self.desk.command(command).await.unwrap() {
            Reply::Listed { rows, .. } => rows,
            other => panic!("{other:?}"),
        }
    }

    /// One submission in full.
    pub(crate) async fn show(&self, id: &str) -> Box<Shown> {
        match self.desk.command(Command::Show { id: id.into(), page: false }).await.unwrap() {
            Reply::Shown(shown) => shown,
            other => panic!("{other:?}"),
        }
    }

    /// The cause why the only submission was not filed, and what the ledger says of it.
    pub(crate) async fn told(&self) -> (Issue, String) {
        let row = self.list().await.into_iter().find(|row| !row.issues.is_empty()).unwrap();
        let shown = self.show(&row.id).await;
        assert_eq!(shown.row.issues, row.issues, "list and show say the same");
        let mut causes = row.issues.iter().map(|words| words.issue.clone());
        let cause = causes.find(|issue| issue.code != Code::MemberHeld).unwrap();
        (cause, shown.timeline.last().unwrap().what.clone())
    }
}

pub(crate) fn who() -> Who {
    Who { name: "Robin".into(), role: "staff".into(), why: "the card was checked".into() }
}

/// Checks that an answer says an issue, in the words that `Issue::outcome` has for it, and gives it.
pub(crate) fn says(answer: &Response<Bytes>, code: Code) -> Issue {
    let row = code.row();
    let outcome: Value = serde_json::from_slice(answer.body()).unwrap();
    let told = &outcome["issue"][0];
    assert_eq!(told["details"]["coding"][0]["code"], row.slug, "{outcome}");
    assert_eq!(answer.status().as_u16(), row.status, "{}", row.slug);
    let retry = answer.headers().get("retry-after").map(|it| it.to_str().unwrap().to_owned());
    if let Some(seconds) = row.retry_after {
        assert_eq!(retry, Some(seconds.to_string()), "{}", row.slug);
    }
    let mut issue = Issue::new(code, told["details"]["text"].as_str().unwrap());
    issue.expression = told["expression"][0].as_str().map(str::to_owned);
    let words = told["diagnostics"].as_str().unwrap();
    let who_and_next = format!("Who acts: {}. Next: {}.", row.actor, row.next);
    assert!(words.starts_with(&who_and_next), "{words}");
    issue
}
