//! Houses: an EHR, a sending house and two receiving ones, as people set them up, each a process.
//!
//! Comes in   the EHR's mode, how many patients, where the charts are.
//! Goes out   four processes at work; what each used; what the houses hold in the end.
//! Never      leaves a process behind: all are tethered to this one.

use crate::hospital::{self, People};
use exchange::HouseId;
use exchange::agreement::Agreement;
use handover::{config, house};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use store::{House as _, SqliteHouse, StoredWork, WorkKind, WorkQuery};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wire::FhirClient;

/// Time for one command.
const ASK_MAX: Duration = Duration::from_secs(600);

/// What the sending house's log is asked for.
const LOG: &str = "error,provider::cost=debug";

/// What the EHR's and the plans' logs are asked for.
const DOORS: &str = "error,wire::requests=debug";

/// The program: this build's, or another one that is named, to set two builds side by side.
fn program() -> OsString {
    let named = std::env::var_os("HANDOVER_BENCH_PROGRAM");
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_handover").into())
}

/// What is set up.
pub(crate) struct Setting {
    pub(crate) mode: String,
    pub(crate) people: People,
    pub(crate) data: PathBuf,
    /// Everything is asked for before anything is waited for.
    pub(crate) queued: bool,
    /// The histories of all go to one plan, in bulk submissions.
    pub(crate) bulk: bool,
}

impl Setting {
    /// How many plans there are.
    pub(crate) fn plans(&self) -> usize {
        if self.bulk { 1 } else { 2 }
    }
}

/// A process of the bench.
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    child: Child,
    said: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts a program and returns when it says that it is ready.
    fn start(name: &str, folder: &Path, program: &OsString, words: &[&str], log: &str) -> Running {
        let mut child = Command::new(program)
            .args(words)
            .env("HANDOVER_LOG", log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut errors = child.stderr.take().expect("its errors");
        let said = std::thread::spawn(move || {
            let mut text = Vec::new();
            errors.read_to_end(&mut text).ok();
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line.starts_with("ready ")));
        if !ready {
            drop(child.stdin.take());
            child.wait().ok();
            panic!("{name} did not open its doors: {}", said.join().unwrap_or_default());
        }
        let (name, folder) = (name.to_owned(), folder.to_owned());
        Running { name, folder, child, said: Some(said) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it in the orderly way; what it wrote to stderr.
    pub(crate) fn stop(&mut self) -> String {
        drop(self.child.stdin.take());
        self.child.wait().ok();
        self.said.take().and_then(|said| said.join().ok()).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// All of them.
pub(crate) struct Houses {
    pub(crate) ehr: Running,
    pub(crate) sender: Running,
    pub(crate) plans: Vec<Running>,
    pub(crate) subjects: Vec<String>,
    // Last: the folder outlives the processes that work in it.
    _folder: TempDir,
}

impl Houses {
    /// Sets them up and starts them.
    pub(crate) fn start(setting: &Setting) -> Houses {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let place = |name: &str| root.path().join(name);
        let (ehr_folder, sender) = (place("ehr"), place("hospital"));
        fs::create_dir_all(&ehr_folder).expect("a folder");
        let mut free = free_addresses();
        let mut address = || free.next().expect("a free port").to_string();
        let ehr_address = address();
        let source = format!("https://{ehr_address}/fhir");
        let listen = address();
        run(&["init", "provider", text(&sender), "--listen", &listen, "--source", &source]);
        let public = sender.join("public.json");
        let me = std::env::current_exe().expect("this program").into_os_string();
        let People { charts, invented } = setting.people;
        let [charts, invented, plans] = [charts, invented, setting.plans()].map(|n| n.to_string());
        let data = text(&setting.data);
        let folder = text(&ehr_folder);
        let (mode, public_file) = (setting.mode.as_str(), text(&public));
        let words = [
            hospital::WORD,
            folder,
            &ehr_address,
            mode,
            &charts,
            &invented,
            &plans,
            data,
            public_file,
        ];
        let ehr = Running::start("EHR", &ehr_folder, &me, &words, DOORS);
        let authority = ehr_folder.join(handover::ehr::AUTHORITY);
        copy(&authority, &sender.join("tls/ehr-authority.pem"));
        copy(&ehr_folder.join(hospital::RESTRICTIONS), &sender.join("restrictions.toml"));
        let plans = handover::ehr::new_plans(setting.plans());
        let plans = plans.iter().map(|plan| {
            let name = format!("plan-{}", plan.payer_id.value);
            let plan_folder = place(&name);
            let id = format!("{}|{}", plan.payer_id.system, plan.payer_id.value);
            let folder = text(&plan_folder);
            run(&["init", "payer", folder, "--listen", &address(), "--payer-id", &id]);
            let members = format!("members-{}.csv", plan.payer_id.value);
            copy(&ehr_folder.join(members), &plan_folder.join("members.csv"));
            run(&["--house", folder, "partner", "add", text(&public)]);
            let other = plan_folder.join("public.json");
            run(&["--house", text(&sender), "partner", "add", text(&other)]);
            if setting.bulk {
                offer_in_bulk(&sender.join(format!("agreements/{name}.toml")));
            }
            serve(&name, &plan_folder, DOORS)
        });
        let plans = plans.collect();
        let subjects = fs::read_to_string(ehr_folder.join(hospital::SUBJECTS)).expect("subjects");
        let wanted = |subject: &&str| !setting.bulk || subject.starts_with("Patient/");
        let subjects = subjects.lines().filter(wanted).map(str::to_owned).collect();
        let sender = serve("sending house", &sender, LOG);
        Houses { ehr, sender, plans, subjects, _folder: root }
    }

    /// The sending house's agreement with the first plan.
    pub(crate) fn agreement(&self) -> Agreement {
        let config = config::House::read(&self.sender.folder).expect("a configuration");
        config.terms.into_values().next().expect("an agreement").agreement
    }

    /// Asks the sending house over its API.
    pub(crate) fn operator(&self) -> FhirClient {
        let config = Arc::new(config::House::read(&self.sender.folder).expect("a configuration"));
        house::operator_client(&config, ASK_MAX).expect("an operator")
    }
}

/// Histories go in bulk, with all that was before the coverage.
fn offer_in_bulk(file: &Path) {
    let text = fs::read_to_string(file).expect("an agreement");
    let text = text.replace("coverage = false", "coverage = true");
    fs::write(file, text + "\n[bulk]\nkinds = [\"history\"]\n").expect("an agreement");
}

fn serve(name: &str, folder: &Path, log: &str) -> Running {
    Running::start(name, folder, &program(), &["--house", text(folder), "serve", "--tethered"], log)
}

/// Record versions that a plan's house holds; it must have stopped.
pub(crate) fn versions(runtime: &Runtime, folder: &Path) -> u64 {
    runtime.block_on(store_of(folder).version_count()).expect("a count")
}

/// The pushes of a sending house; it must have stopped. (Its lists show fewer rows.)
pub(crate) fn pushes(runtime: &Runtime, folder: &Path) -> Vec<StoredWork> {
    let kind = Some(WorkKind::Push);
    let query = WorkQuery { kind, limit: 1_000_000, ..WorkQuery::default() };
    runtime.block_on(store_of(folder).works(query)).expect("rows")
}

fn store_of(folder: &Path) -> SqliteHouse {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let id = HouseId::from(name.as_str());
    SqliteHouse::open_to_read(&folder.join("store"), &id).expect("a store")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of this bench are plain text")
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).expect("a copy");
}

fn run(words: &[&str]) {
    let output = Command::new(program()).args(words).stdin(Stdio::null()).output();
    let output = output.expect("the program starts");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Below the ports that outgoing connections are given.
fn free_addresses() -> impl Iterator<Item = SocketAddr> {
    let start = 12_000 + u16::try_from(std::process::id() % 150).unwrap_or_default() * 100;
    let ports = (start..32_000).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    ports.filter(|address| TcpListener::bind(address).is_ok())
}
