//! A sending house in this process: a real store, real HTTP on loopback, a clock that is moved.

#![allow(clippy::unwrap_used)]

use super::chart::{PLAN_SYSTEM, PLANS, chart};
use exchange::agreement::{PayerIdentifier, Terms, default_value_set};
use exchange::desk::{Command, Reply, Row, Shown};
use exchange::{Agreement, PartnerId, Purpose, Who};
use jiff::{Timestamp, ToSpan};
use provider::desk::Desk;
use provider::road::Road;
use provider::route::Doors;
use provider::setup::{Payer, Setup};
use provider::source::chart::Charts;
use provider::worker;
use provider::{Directories, Fixed};
use serde_json::json;
use sim::ehr::{Ehr, EhrPlan};
use sim::payer::ForeignPayer;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{AnyHouse, House as _, SqliteHouse};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use wire::{Clock, Credential, FhirClient, HttpTransport, SigningKey, SmartClient};

/// Names of the payers: the one that is tried, and the healthy one.
pub(crate) const TRIED: &str = "tried";
pub(crate) const HEALTHY: &str = "healthy";

/// How long the house waits for an answer: what never comes must not hold a test up for long, and
/// what does come must not be missed on a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// When the house's clock begins.
const BEGAN: &str = "2026-11-22T12:00:00Z";

/// How often the clock is moved to the next moment at which something is due.
const MOVES: usize = 500;

/// A clock that stands still until it is moved.
pub(crate) struct SetClock(Mutex<Timestamp>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// The EHR that all cases of a profile read, and the key they sign in with.
pub(crate) struct Source {
    ehr: Ehr,
    key: String,
    _folder: TempDir,
}

impl Source {
    pub(crate) async fn open() -> Source {
        let key = SigningKey::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let credential = Credential {
            client_id: "gateway".into(),
            partner: "gateway".into(),
            jwks: key.jwks(),
            scopes: vec!["system/*.rs".into()],
        };
        let plan = EhrPlan {
            folder: folder.path(),
            name: "Invented Hospital",
            credentials: vec![credential],
            secret: [7; 32],
            host: None,
            tls: None,
            // The machine's own: tokens are asked for by each house anew.
            clock: Arc::new(wire::SystemClock),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ehr = Ehr::start(plan, chart(), listener).await.unwrap();
        Source { ehr, key: key.to_pem(), _folder: folder }
    }

    /// Puts the next version of a resource into the chart.
    pub(crate) async fn amend(&self, resource: bytes::Bytes) {
        self.ehr.amend(wire::SystemClock.now(), resource).await.unwrap();
    }

    /// Makes one patient of two.
    pub(crate) async fn merge(&self, goes: &str, stays: &str) {
        self.ehr.merge(wire::SystemClock.now(), goes, stays).await.unwrap();
    }

    /// Takes a record (`Type/id`) out of the chart.
    pub(crate) async fn remove(&self, reference: &str) {
        assert!(self.ehr.gone(wire::SystemClock.now(), reference).await.unwrap());
    }

    fn client(&self) -> Arc<FhirClient> {
        let transport = HttpTransport::new(&[], Duration::from_secs(60), 1 << 24).unwrap();
        let transport = Arc::new(transport);
        let base = self.ehr.base_url();
        let clock = Arc::new(wire::SystemClock);
        let scope = "system/*.rs".to_owned();
        let at = Arc::clone(&transport) as _;
        let sign_in = SmartClient::new(at, base, "gateway", &self.key, scope, clock).unwrap();
        Arc::new(FhirClient::new(base, transport, Some(sign_in)))
    }
}

/// A sending house with its two payers.
pub(crate) struct Hospital {
    pub(crate) house: AnyHouse,
    clock: Arc<SetClock>,
    desk: Desk,
    road: Arc<Road>,
    _folder: TempDir,
}

impl Hospital {
    /// A new house that knows both payers, the tried one perhaps as one that takes collections.
    pub(crate) fn open(
        source: &Source,
        tried: &ForeignPayer,
        healthy: &ForeignPayer,
        collections: bool,
    ) -> Hospital {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("restrictions.toml"), "").unwrap();
        let house = SqliteHouse::open(&folder.path().join("store"), &"clinic".into()).unwrap();
        let house = AnyHouse::from(house);
        let clock = Arc::new(SetClock(Mutex::new(BEGAN.parse().unwrap())));
        let payers = [(TRIED, PLANS[0], tried), (HEALTHY, PLANS[1], healthy)];
        let endpoints = payers
            .iter()
            .map(|(name, _, payer)| (PartnerId::from(*name), payer.base_url().to_owned()));
        let endpoints: BTreeMap<PartnerId, String> = endpoints.collect();
        let payers = payers.iter().map(|(name, plan, server)| {
            let collections = collections && *name == TRIED;
            (PartnerId::from(*name), payer(name, plan, server.base_url(), collections))
        });
        let setup = Setup {
            title: "Clinic".into(),
            base_url: "https://clinic.example/fhir".into(),
            file_secret: exchange::Digest([7; 32]),
            namespace: "https://clinic.example/handover".into(),
            version: "0.1.0",
            payers: payers.collect(),
            restrictions: folder.path().join("restrictions.toml"),
            feed: None,
            payors: folder.path().join("payors.toml"),
            watch: None,
            named: Vec::new(),
            passed: |_| {},
        };
        let road = Arc::new(Road {
            setup,
            house: house.clone(),
            charts: Charts::new(Arc::new(provider::source::ehr::Ehr::new(
                source.client(),
                Arc::clone(&clock) as _,
            ))),
            directories: Directories::pinned(endpoints),
            doors: Doors::default(),
            claims: provider::Claims::default(),
            clock: Arc::new(provider::HouseClock::new(Arc::clone(&clock) as _)),
            changed: Arc::new(Notify::new()),
            rooms: provider::Rooms::default(),
            tables: provider::Tables::default(),
            bulk: provider::bulk::Bulk::default(),
        });
        let desk = Desk::new(Arc::clone(&road), Arc::new(Notify::new()), Vec::new());
        Hospital { house, clock, desk, road, _folder: folder }
    }

    /// Asks for an encounter to be pushed to whoever covers it.
    pub(crate) async fn push(&self, encounter: &str) {
        let who = Who { name: "Robin".into(), role: "staff".into(), why: "a test".into() };
        let subject = encounter.to_owned();
        let command = Command::Push { subject, purpose: None, who, wait: 0, asynchronous: false };
        self.desk.command(command).await.unwrap();
    }

    /// When its clock began.
    pub(crate) fn began(&self) -> Timestamp {
        BEGAN.parse().unwrap()
    }

    /// Lets a held push go.
    pub(crate) async fn release(&self, id: &str) {
        let who = Who { name: "Robin".into(), role: "staff".into(), why: "asked the plan".into() };
        let command = Command::Release { id: id.to_owned(), who, member: None };
        self.desk.command(command).await.unwrap();
    }

    /// Until when a push is to be settled.
    pub(crate) async fn deadline(&self, id: &str) -> Timestamp {
        let row = self.house.work(id).await.unwrap().unwrap();
        let push: exchange::Push = serde_json::from_slice(&row.work.body).unwrap();
        push.deadline
    }

    /// Asks for a push to be taken back.
    pub(crate) async fn withdraw(&self, id: &str) {
        let who = Who { name: "Robin".into(), role: "staff".into(), why: "a wrong plan".into() };
        let command = Command::Withdraw { id: id.to_owned(), who, wait: 0 };
        self.desk.command(command).await.unwrap();
    }

    /// Walks until nothing is due at this moment; the rows of pushes.
    pub(crate) async fn work(&self) -> Vec<Row> {
        loop {
            // Not before it has looked once.
            let stop = tokio::task::yield_now();
            worker::run(Arc::clone(&self.road), Arc::new(Notify::new()), stop).await;
            if self.house.next_due().await.unwrap().is_none_or(|at| at > self.clock.now()) {
                break;
            }
        }
        match self.desk.command(Command::List { states: vec![], limit: None }).await.unwrap() {
            Reply::Listed { rows, .. } => {
                rows.into_iter().filter(|row| row.kind == "push").collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Walks, and moves the clock to whatever is due next, until nothing is.
    pub(crate) async fn work_to_the_end(&self) -> Vec<Row> {
        self.work_until(Timestamp::MAX).await
    }

    /// The same for so many seconds of the house's clock.
    pub(crate) async fn work_for(&self, seconds: i64) -> Vec<Row> {
        self.work_until(self.clock.now().checked_add(seconds.seconds()).unwrap()).await
    }

    async fn work_until(&self, end: Timestamp) -> Vec<Row> {
        for _ in 0..MOVES {
            let rows = self.work().await;
            let next = self.house.next_due().await.unwrap().filter(|next| *next < end);
            let Some(next) = next else { return rows };
            let mut now = self.clock.0.lock().unwrap();
            *now = next.max(*now).checked_add(1.second()).unwrap();
        }
        panic!("after {MOVES} moves of the clock something is still due");
    }

    /// Rows with all that happened to them, for whoever reads a failed test.
    pub(crate) async fn told(&self, rows: &[Row]) -> String {
        let mut words = String::new();
        for row in rows {
            let partner = row.partner.as_ref().map(PartnerId::as_str).unwrap_or_default();
            let issues: Vec<_> = row.issues.iter().map(|it| it.issue.to_string()).collect();
            let subject = row.subject.as_deref().unwrap_or_default();
            words.push_str(&format!("  {partner} {subject} {} {issues:?}\n", row.state));
            for line in self.show(&row.id).await.timeline {
                words.push_str(&format!("    {} {}\n", line.at, line.what));
            }
        }
        words
    }

    async fn show(&self, id: &str) -> Box<Shown> {
        match self.desk.command(Command::Show { id: id.into(), page: false }).await.unwrap() {
            Reply::Shown(shown) => shown,
            other => panic!("{other:?}"),
        }
    }
}

/// A payer that is known by its address alone.
fn payer(name: &str, plan: &str, base_url: &str, collections: bool) -> Payer {
    let identifier = PayerIdentifier { system: Some(PLAN_SYSTEM.into()), value: plan.into() };
    let text = Agreement::default_text(&name.into(), &[Purpose::Payment], &[identifier]);
    let mut text = text.replace("form = \"transaction\"", "form = \"best\"");
    if collections {
        text = text.replace("settled_by = \"filed\"", "settled_by = \"taken\"");
        text.push_str("\n[door]\nforms = [\"transaction\", \"collection\"]\n");
    }
    let terms = Terms::parse(&text, "agreement.toml", &default_value_set).unwrap();
    let public = json!({
        "name": name, "role": "payer", "title": name, "base_url": base_url,
        "foreign": { "sign_in": "none" },
    });
    let public = serde_json::from_value(public).unwrap();
    let transport = Arc::new(HttpTransport::new(&[], PATIENCE, 1 << 24).unwrap());
    let client = Arc::new(FhirClient::new(base_url, transport, None));
    Payer { public, terms, carriage: Arc::new(Fixed(client)) }
}
