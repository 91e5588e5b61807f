//! The stage for tests of the whole program: houses as real processes, and an EHR beside them.
//!
//! Comes in   an invented town, or a chart with its plans and restrictions.
//! Goes out   a `Stage`: one sending house, a receiving house per plan, an EHR over HTTPS in this
//!            process, all in one temporary folder.
//! Never      sleeps to wait for a house (it reads the line `ready …`), leaves a process behind, or
//!            ends one it did not start.
//!
//! ```ignore
//! let mut stage = Stage::of_town(7, &TownPlan { hospitals: 1, ..TownPlan::default() });
//! stage.serve();
//! let (code, reply) = stage.provider.json(&["push", "encounter", "enc-00001"]);
//! stage.payers[0].kill();
//! stage.payers[0].serve_with(&[("HANDOVER_HALT_AFTER", "filed")]);
//! ```

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs
)]

mod house;
mod process;

pub use house::{House, Records, who};
pub use process::{Process, Said, run};

use exchange::partner::PublicFile;
use sim::ehr::{Ehr, EhrMode};
use sim::town::{Plan, Restriction};
use sim::{Chart, Town, TownPlan};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// How long a roster may take to be taken up; the machine may be busy.
const ROSTER_PATIENCE: Duration = Duration::from_secs(120);

/// Where the EHRs live, and what asks houses without a process of its own.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
});

/// The folder of shared data, or one line that says what was skipped.
pub fn data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HANDOVER_DATA");
    if root.is_none() {
        eprintln!("skipped: HANDOVER_DATA is not set, so {folder} was not looked at");
    }
    root.map(|root| Path::new(&root).join(folder))
}

/// A loopback address nobody listens on. Below the ports that outgoing connections are given, so
/// that it stays free until the house takes it.
pub fn free_address() -> SocketAddr {
    const FIRST: u16 = 12_000;
    const PORTS: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() * 97 % u32::from(PORTS)).unwrap();
    loop {
        let step = NEXT.fetch_add(1, Ordering::SeqCst);
        assert!(step < PORTS, "no free port on loopback");
        let port = FIRST + (start + step) % PORTS;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// An EHR in this process, over HTTPS.
pub struct SimEhr {
    folder: PathBuf,
    address: SocketAddr,
    /// How much of FHIR it offers when it is started.
    pub mode: EhrMode,
    running: Option<Ehr>,
}

impl SimEhr {
    /// Chooses an address; nothing runs yet.
    pub fn new(folder: &Path) -> SimEhr {
        let mode = EhrMode::Full;
        SimEhr { folder: folder.to_owned(), address: free_address(), mode, running: None }
    }

    pub fn base_url(&self) -> String {
        format!("https://{}/fhir", self.address)
    }

    /// Opens the EHR to these gateways; the same folder again is the same EHR.
    pub fn start(&mut self, chart: &Chart, clients: &[PublicFile]) {
        let running = RUNTIME.block_on(async {
            let listener = TcpListener::bind(self.address).await.unwrap();
            let (mode, name) = (self.mode.clone(), "Test Hospital");
            handover::ehr::start_as(mode, &self.folder, name, chart, clients, listener).await
        });
        self.running = Some(running.unwrap());
    }

    /// The same in a mode of the EHR's.
    pub fn start_as(&mut self, mode: sim::ehr::EhrMode, chart: &Chart, clients: &[PublicFile]) {
        let (folder, name) = (&self.folder, "Test Hospital");
        let running = RUNTIME.block_on(async {
            let listener = TcpListener::bind(self.address).await.unwrap();
            handover::ehr::start_as(mode, folder, name, chart, clients, listener).await
        });
        self.running = Some(running.unwrap());
    }

    /// Its certificate's authority, in PEM.
    pub fn authority(&self) -> String {
        fs::read_to_string(self.folder.join(handover::ehr::AUTHORITY)).unwrap()
    }

    /// Puts resources into the chart, as new ones or as next versions.
    pub fn amend(&self, resources: impl IntoIterator<Item = bytes::Bytes>) {
        let ehr = self.running.as_ref().expect("the EHR runs");
        for resource in resources {
            RUNTIME.block_on(ehr.amend(jiff::Timestamp::now(), resource)).unwrap();
        }
    }

    /// A record (`Type/id`) as it gives it out now, but for version and time.
    pub fn served(&self, reference: &str) -> Option<bytes::Bytes> {
        let ehr = self.running.as_ref().expect("the EHR runs");
        RUNTIME.block_on(ehr.served(reference)).unwrap()
    }

    /// Shuts its door.
    pub fn stop(&mut self) {
        if let Some(ehr) = self.running.take() {
            RUNTIME.block_on(ehr.stop());
        }
    }
}

/// One sending house, its EHR, and a receiving house per plan.
pub struct Stage {
    pub provider: House,
    pub payers: Vec<House>,
    pub ehr: SimEhr,
    pub chart: Chart,
    pub plans: Vec<Plan>,
    // Last: the folder outlives the processes that work in it.
    pub folder: tempfile::TempDir,
}

impl Stage {
    /// The first hospital of an invented town.
    pub fn of_town(seed: u64, plan: &TownPlan) -> (Stage, Town) {
        let town = Town::generate(seed, plan);
        let hospital = &town.hospitals[0];
        let stage = Stage::new(hospital.chart.clone(), town.plans.clone(), &hospital.restrictions);
        (stage, town)
    }

    /// A chart with its plans: all folders are made and all partners known to each other, the EHR
    /// is open, no house runs yet. Agreements and member files may still be changed.
    pub fn new(chart: Chart, plans: Vec<Plan>, restrictions: &[Restriction]) -> Stage {
        Stage::new_as(EhrMode::Full, chart, plans, restrictions)
    }

    /// The same with an EHR in this mode.
    pub fn new_as(
        mode: EhrMode,
        chart: Chart,
        plans: Vec<Plan>,
        restrictions: &[Restriction],
    ) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let mut ehr = SimEhr::new(&folder.path().join("ehr"));
        ehr.mode = mode;
        let provider = House::provider(&folder.path().join("hospital"), &ehr.base_url());
        ehr.start(&chart, &[provider.public()]);
        fs::write(provider.folder.join("tls/ehr-authority.pem"), ehr.authority()).unwrap();
        let table = handover::ehr::restrictions_toml(restrictions);
        fs::write(provider.folder.join("restrictions.toml"), table).unwrap();
        let payers = plans.iter().map(|plan| {
            let name = format!("plan-{}", plan.payer_id.value);
            let payer = House::payer(&folder.path().join(&name), plan);
            payer.add_partner(&provider);
            provider.add_partner(&payer);
            payer
        });
        let payers = payers.collect();
        Stage { provider, payers, ehr, chart, plans, folder }
    }

    /// Starts every house that does not run.
    pub fn serve(&mut self) {
        for house in self.payers.iter_mut().chain([&mut self.provider]) {
            if !house.is_running() {
                house.serve();
            }
        }
    }

    /// Lets this payer ask the sending house for exports, of everybody in the chart: they are its roster.
    /// Before the house is started.
    pub fn let_pull(&self, payer: usize) {
        let agreement = format!("agreements/{}.toml", self.payers[payer].public().name);
        let provider = &self.provider;
        provider.write(&agreement, &(provider.read(&agreement) + "\n[bulk]\npull = true\n"));
        let roster: Vec<_> =
            self.chart.of_kind("Patient").iter().map(|one| one.reference()).collect();
        provider.write("roster.csv", &roster.join("\n"));
        let watch = "\n[watch]\nroster = \"roster.csv\"\nrequests_per_minute = 0\n";
        provider.write("house.toml", &(provider.read("house.toml") + watch));
    }

    /// Waits until the sending house has taken up its roster.
    pub fn wait_for_roster(&self) {
        let wanted = self.chart.of_kind("Patient").len();
        let end = Instant::now() + ROSTER_PATIENCE;
        while self.provider.works(store::WorkKind::Watch).len() < wanted {
            assert!(Instant::now() < end, "the roster is not taken up");
            std::thread::yield_now();
        }
    }

    /// Stops every house in the orderly way.
    pub fn stop(&mut self) {
        for house in self.payers.iter_mut().chain([&mut self.provider]) {
            house.stop();
        }
    }

    /// Ids of the finished encounters of the chart, in order.
    pub fn finished(&self) -> Vec<String> {
        self.encounters(|value| value["status"] == "finished")
    }

    /// Those of one patient (`Patient/<id>`).
    pub fn finished_of(&self, patient: &str) -> Vec<String> {
        self.encounters(|value| {
            value["status"] == "finished" && value["subject"]["reference"] == patient
        })
    }

    fn encounters(&self, wanted: impl Fn(&serde_json::Value) -> bool) -> Vec<String> {
        let all = self.chart.of_kind("Encounter").iter();
        let found = all.filter(|one| wanted(&serde_json::from_slice(&one.bytes).unwrap()));
        found.map(|encounter| encounter.id.clone()).collect()
    }
}
