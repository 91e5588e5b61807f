//! Houses: makes the houses of a scene, starts each as a process of its own, and stops them.
//!
//! Comes in   a scene, a folder.
//! Goes out   running houses, reachable by their APIs.
//! Never      leaves a process behind: a child is ended when its handle is dropped, and stops by
//!            itself when its standard input ends, which happens even when this process is killed.

use super::directory::Listed;
use super::scene::{Scene, without_code_rules};
use super::trust::{self, Road};
use crate::config::{self, write_text};
use crate::ehr;
use crate::house::operator_client;
use crate::init::{NewHouse, add_partner, init};
use crate::limits::{COMMAND_TIMEOUT, DEMO_PORTS, DEMO_READY_MAX, DEMO_STOP_MAX};
use exchange::partner::{PublicFile, Role};
use exchange::{Code, Issue};
use sim::ehr::Ehr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;
use wire::FhirClient;

/// All houses of a scene, running, and the hospitals' EHRs.
pub(super) struct Houses {
    pub(super) hospitals: Vec<Running>,
    pub(super) plans: Vec<Running>,
    pub(super) directory: Listed,
    ehrs: Vec<Ehr>,
}

/// A running house.
pub(super) struct Running {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) folder: PathBuf,
    pub(super) config: Arc<config::House>,
    pub(super) client: Arc<FhirClient>,
    child: Child,
    tether: Option<ChildStdin>,
    // Kept open, so that the child can always write its last words.
    _words: BufReader<ChildStdout>,
}

/// What is left of a house when it has stopped.
pub(super) struct Place {
    pub(super) title: String,
    pub(super) folder: PathBuf,
    pub(super) config: Arc<config::House>,
}

impl Houses {
    /// Makes and starts every house.
    pub(super) async fn open(scene: &Scene, folder: &Path) -> Result<Houses, Issue> {
        let mut ehrs = Vec::new();
        let mut hospital_folders = Vec::new();
        for hospital in &scene.hospitals {
            let listener = ehr::listen(loopback()).await?;
            let address = listener.local_addr().map_err(|_| no_port())?;
            let house = folder.join(&hospital.name);
            let public = init(
                &house,
                &NewHouse {
                    role: Role::Provider,
                    name: hospital.name.clone(),
                    title: hospital.title.clone(),
                    listen: free_address().await?,
                    hosts: vec!["127.0.0.1".to_owned()],
                    namespace: Some(hospital.namespace.clone()),
                    payer_identifiers: Vec::new(),
                    source: Some(format!("https://{address}/fhir")),
                },
            )?;
            let restrictions = ehr::restrictions_toml(&hospital.restrictions);
            write_text(&house.join("restrictions.toml"), &restrictions)?;
            let place = folder.join(format!("{}-ehr", hospital.name));
            let clients: [PublicFile; 1] = [public];
            let title = &hospital.title;
            ehrs.push(ehr::start(&place, title, &hospital.chart, &clients, listener).await?);
            let authority = house.join("tls/ehr-authority.pem");
            fs::copy(place.join(ehr::AUTHORITY), authority).map_err(|_| unwritable(&house))?;
            hospital_folders.push((house, title.clone()));
        }
        let (mut plan_folders, mut listed) = (Vec::new(), Vec::new());
        for payer in &scene.plans {
            let house = folder.join(&payer.name);
            let public = init(
                &house,
                &NewHouse {
                    role: Role::Payer,
                    name: payer.name.clone(),
                    title: payer.plan.name.clone(),
                    listen: free_address().await?,
                    hosts: vec!["127.0.0.1".to_owned()],
                    namespace: None,
                    payer_identifiers: Scene::identifiers(&payer.plan),
                    source: None,
                },
            )?;
            write_text(&house.join("members.csv"), &payer.plan.member_file())?;
            plan_folders.push((house, payer.plan.name.clone()));
            listed.push(public);
        }
        let directory = Listed::start(&folder.join("directory"), &listed).await?;
        let members = hospital_folders.iter().chain(plan_folders.first());
        trust::found(&folder.join("community"), members.map(|(house, _)| house.as_path()))?;
        for (place, (hospital, _)) in hospital_folders.iter().enumerate() {
            for (number, (plan, _)) in plan_folders.iter().enumerate() {
                let sending = add_partner(hospital, &plan.join("public.json"))?;
                if scene.charts.is_some() {
                    let text = config::read_text(&sending)?;
                    write_text(&sending, &without_code_rules(&text)?)?;
                }
                add_partner(plan, &hospital.join("public.json"))?;
                trust::agree(Road::of(place, number), hospital, plan)?;
            }
        }
        for (hospital, _) in &hospital_folders {
            directory.tell(hospital)?;
        }
        let hospitals = start_all(hospital_folders).await?;
        let plans = start_all(plan_folders).await?;
        Ok(Houses { hospitals, plans, directory, ehrs })
    }

    /// Folder and configuration of every house.
    pub(super) fn places(&self) -> Vec<Place> {
        let place = |it: &Running| Place {
            title: it.title.clone(),
            folder: it.folder.clone(),
            config: Arc::clone(&it.config),
        };
        self.hospitals.iter().chain(&self.plans).map(place).collect()
    }

    /// Stops every house: each ends what it has begun and signs its ledger.
    pub(super) async fn stop(self) {
        let mut stopping = JoinSet::new();
        // Senders first, so that no answer finds a closed door.
        for house in self.hospitals {
            stopping.spawn(house.stop());
        }
        while stopping.join_next().await.is_some() {}
        for house in self.plans {
            stopping.spawn(house.stop());
        }
        stopping.spawn(self.directory.stop());
        for ehr in self.ehrs {
            stopping.spawn(ehr.stop());
        }
        while stopping.join_next().await.is_some() {}
    }
}

/// Starts houses side by side, and keeps their order.
async fn start_all(folders: Vec<(PathBuf, String)>) -> Result<Vec<Running>, Issue> {
    let mut starting = JoinSet::new();
    for (place, (folder, title)) in folders.into_iter().enumerate() {
        starting.spawn(async move { (place, Running::start(folder, title).await) });
    }
    let mut started = Vec::new();
    while let Some(joined) = starting.join_next().await {
        let (place, running) =
            joined.map_err(|_| Issue::new(Code::InternalError, "a house did not start"))?;
        started.push((place, running?));
    }
    started.sort_by_key(|(place, _)| *place);
    Ok(started.into_iter().map(|(_, running)| running).collect())
}

impl Running {
    /// Starts a house and waits until its doors are open.
    async fn start(folder: PathBuf, title: String) -> Result<Running, Issue> {
        let config = Arc::new(config::House::read(&folder)?);
        let failed = |detail: &str| {
            let issue = Issue::new(Code::InternalError, detail);
            issue.at(folder.join("serve.log").display().to_string())
        };
        let log = fs::File::create(folder.join("serve.log")).map_err(|_| unwritable(&folder))?;
        let program = std::env::current_exe()
            .map_err(|_| Issue::new(Code::InternalError, "this program cannot find itself"))?;
        let mut child = Command::new(program)
            .arg("--house")
            .arg(&folder)
            .args(["serve", "--tethered"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|_| failed("a house's process cannot be started"))?;
        let tether = child.stdin.take();
        let words = child.stdout.take().ok_or_else(|| failed("a house has no voice"))?;
        let mut words = BufReader::new(words);
        let mut line = String::new();
        match timeout(DEMO_READY_MAX, words.read_line(&mut line)).await {
            Ok(Ok(_)) if line.starts_with("ready ") => {}
            _ => return Err(failed("a house did not open its doors; its log says why")),
        }
        let client = Arc::new(operator_client(&config, COMMAND_TIMEOUT)?);
        let name = config.file.name.clone();
        Ok(Running { name, title, folder, config, client, child, tether, _words: words })
    }

    /// Lets the house end by itself; ends it when it does not.
    async fn stop(mut self) {
        drop(self.tether.take());
        if timeout(DEMO_STOP_MAX, self.child.wait()).await.is_err() {
            self.child.kill().await.ok();
        }
    }
}

/// An address nobody listens on now. Between here and the house's own bind another program could
/// take it; the house then says so.
async fn free_address() -> Result<SocketAddr, Issue> {
    static STEP: AtomicU16 = AtomicU16::new(0);
    let count = DEMO_PORTS.end - DEMO_PORTS.start;
    // Two demos at once begin at different ports.
    let start = u16::try_from(std::process::id() * 97 % u32::from(count)).unwrap_or_default();
    for _ in DEMO_PORTS {
        let step = STEP.fetch_add(1, Ordering::Relaxed);
        let port = DEMO_PORTS.start + start.wrapping_add(step) % count;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).await.is_ok() {
            return Ok(address);
        }
    }
    Err(no_port())
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn no_port() -> Issue {
    Issue::new(Code::ConfigInvalid, "no port of this machine is free").at("127.0.0.1")
}

fn unwritable(path: &Path) -> Issue {
    Issue::new(Code::ConfigInvalid, "a file cannot be written").at(path.display().to_string())
}
