//! The programs of others: started, loaded, asked.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use crate::common::{House, RUNTIME, data, free_address};
use bytes::Bytes;
use handover::ehr::new_plans;
use serde_json::{Value, json};
use sim::chart::LoadPlan;
use sim::overlay::Each;
use sim::town::Plan;
use sim::{Chart, ChartResource, Overlay, OverlayRules, Town, TownPlan};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wire::{FhirClient, HttpTransport, SigningKey, SmartClient, SystemClock};

/// Who does not listen by then has something wrong with it: Python may have to compile first.
const OPENS_WITHIN: Duration = Duration::from_secs(120);

/// What is put off, because a server was away or another push comes first, ends by then.
const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// Entries of one request when a chart is loaded: what either takes at once without trouble.
const LOADED_AT_ONCE: usize = 50;

/// Of the hundred charts so many: of the smaller ones, but not the very smallest.
const SKIPPED: usize = 6;
const TAKEN: usize = 1;

/// A program that we did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    Sekmet,
    Medplum,
}

/// It runs.
pub(crate) struct Server {
    make: Make,
    address: SocketAddr,
    folder: TempDir,
    child: Child,
    _tether: Option<ChildStdin>,
    said: Receiver<String>,
    signed: Option<Signed>,
}

/// How it is signed in at, where it demands that: PEM of the authority its certificate is from, and
/// the key of a client of our own that it knows.
struct Signed {
    authority: String,
    key: String,
}

/// Our own client there.
const LOADER: &str = "loader";

/// Where the programs are installed; none, with one line, where that is not said.
pub(crate) fn partners(wanted: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("HANDOVER_PARTNERS").map(PathBuf::from);
    let place = folder.as_ref().map(|folder| folder.join(wanted));
    let place = place.filter(|place| place.exists());
    if place.is_none() {
        eprintln!("skipped: HANDOVER_PARTNERS names no folder with {wanted} in it");
    }
    folder.filter(|_| place.is_some())
}

impl Make {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Make::Sekmet => "sekmet",
            Make::Medplum => "medplum",
        }
    }

    /// Starts it, empty; none where it is not installed.
    pub(crate) fn start(self) -> Option<Server> {
        let wanted = match self {
            Make::Sekmet => "bin/sekmet",
            Make::Medplum => "node/node_modules/@medplum/fhir-router",
        };
        let partners = partners(wanted)?;
        if self == Make::Medplum && Command::new("node").arg("--version").output().is_err() {
            eprintln!("skipped: node is not here");
            return None;
        }
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        if self == Make::Sekmet {
            let settings = format!(
                "host: 127.0.0.1\nport: {}\nbase_url: http://{address}/fhir\ndata_dir: data\n\
                 simulator: {{enabled: false}}\nvalidation: {{inbound: \"off\"}}\n\
                 log_inbound: false\n",
                address.port()
            );
            std::fs::write(folder.path().join("settings.yaml"), settings).unwrap();
        }
        Some(self.run(&partners, folder, address))
    }

    fn run(self, partners: &Path, folder: TempDir, address: SocketAddr) -> Server {
        self.run_with(partners, folder, address, None)
    }

    fn run_with(
        self,
        partners: &Path,
        folder: TempDir,
        address: SocketAddr,
        trusting: Option<&Path>,
    ) -> Server {
        let mut command = match self {
            Make::Sekmet => {
                let mut command = Command::new(partners.join("bin/sekmet"));
                command.arg("serve").env("PYTHONUNBUFFERED", "1");
                command
            }
            Make::Medplum => {
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/medplum.mjs");
                let mut command = Command::new("node");
                command.arg(script).arg(partners.join("node")).arg(address.port().to_string());
                command
            }
        };
        if let Some(trusting) = trusting {
            command.env("SSL_CERT_FILE", trusting);
        }
        command.current_dir(folder.path()).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let tether = child.stdin.take();
        let (sender, said) = channel();
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).for_each(|line| {
                sender.send(line).ok();
            });
        });
        let signed = None;
        let server = Server { make: self, address, folder, child, _tether: tether, said, signed };
        server.wait_open();
        server
    }
}

impl Server {
    /// Starts sekmet over TLS, where only these SMART clients are let in (as its settings name them);
    /// what it fetches itself comes from servers with certificates of this authority.
    pub(crate) fn start_signed(clients: &[Value], trusting: &Path) -> Option<Server> {
        let partners = partners("bin/sekmet")?;
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let (authority, authority_key) = wire::tls::make_authority("sekmet").unwrap();
        let hosts = ["127.0.0.1".to_owned()];
        let pair = wire::tls::issue_server_certificate(&authority, &authority_key, &hosts).unwrap();
        std::fs::write(folder.path().join("tls.pem"), pair.0).unwrap();
        std::fs::write(folder.path().join("tls-key.pem"), pair.1).unwrap();
        let key = SigningKey::generate().unwrap();
        let own = json!({ "client_id": LOADER, "jwks": key.jwks(), "scopes": "system/*.cruds" });
        let clients = [&[own], clients].concat();
        let settings = json!({
            "host": "127.0.0.1", "port": address.port(), "data_dir": "data",
            "base_url": format!("https://{address}/fhir"),
            "tls_certfile": "tls.pem", "tls_keyfile": "tls-key.pem",
            "simulator": { "enabled": false }, "validation": { "inbound": "off" },
            "log_inbound": false,
            "server_auth": { "types": ["smart"], "token_lifetime": 300, "smart_clients": clients },
        });
        // JSON is YAML.
        std::fs::write(folder.path().join("settings.yaml"), settings.to_string()).unwrap();
        let signed = Signed { authority, key: key.to_pem() };
        let mut server = Make::Sekmet.run_with(&partners, folder, address, Some(trusting));
        server.signed = Some(signed);
        Some(server)
    }

    /// Asks for a connection until there is one.
    fn wait_open(&self) {
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(begun.elapsed() < OPENS_WITHIN, "{} does not open", self.make.name());
            std::thread::yield_now();
        }
    }

    /// Reads what it says of its requests until so many lines held this.
    pub(crate) fn wait_said(&self, part: &str, times: usize) {
        let lines = std::iter::from_fn(|| self.said.recv_timeout(OPENS_WITHIN).ok());
        let found = lines.filter(|line| line.contains(part)).take(times).count();
        assert_eq!(found, times, "{} has not said {part:?} so often", self.make.name());
    }

    /// Ends it as a power cut of the program would (SIGKILL), and starts it again in its folder.
    pub(crate) fn killed_and_started(mut self) -> Server {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let partners = partners("bin").unwrap();
        self.make.run(&partners, folder, self.address)
    }

    pub(crate) fn base_url(&self) -> String {
        let scheme = if self.signed.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/fhir", self.address)
    }

    /// PEM of the authority its certificate is from; nothing where it has none.
    pub(crate) fn authority(&self) -> &str {
        self.signed.as_ref().map_or("", |signed| &signed.authority)
    }

    /// What it has said so far and nobody has looked at.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.try_iter().collect()
    }

    pub(crate) fn client(&self) -> FhirClient {
        let roots: Vec<Vec<u8>> =
            self.signed.iter().map(|it| it.authority.clone().into()).collect();
        let transport = HttpTransport::new(&roots, Duration::from_secs(120), 1 << 28).unwrap();
        let (transport, base) = (Arc::new(transport), self.base_url());
        let sign_in = self.signed.as_ref().map(|signed| {
            let (clock, scope) = (Arc::new(SystemClock), "system/*.cruds".to_owned());
            SmartClient::new(transport.clone(), &base, LOADER, &signed.key, scope, clock).unwrap()
        });
        FhirClient::new(&base, transport, sign_in)
    }

    /// A chart without the types that its statement does not name: no house asks for those.
    pub(crate) fn named(&self, chart: &Chart) -> Chart {
        let answer = RUNTIME.block_on(self.client().get("metadata")).unwrap();
        let statement: Value = serde_json::from_slice(answer.body()).unwrap();
        let Some(all) = statement["rest"][0]["resource"].as_array() else { return chart.clone() };
        let names = |kind: &str| kind == "Binary" || all.iter().any(|it| it["type"] == kind);
        let left = chart.iter().filter(|one| names(&one.kind)).cloned();
        Chart::new(left.collect()).unwrap()
    }

    /// Puts a chart into it, in its own way: batches of updates by id.
    pub(crate) fn load(&self, chart: &Chart) {
        let client = self.client();
        let all: Vec<&ChartResource> = chart.iter().collect();
        for some in all.chunks(LOADED_AT_ONCE) {
            let entries = some.iter().map(|one| {
                let resource = serde_json::value::RawValue::from_string(
                    String::from_utf8(one.bytes.to_vec()).unwrap(),
                );
                let request = json!({ "method": "PUT", "url": one.reference() });
                let resource = resource.unwrap();
                format!("{{\"resource\":{resource},\"request\":{request}}}")
            });
            let entries: Vec<String> = entries.collect();
            let bundle = format!(
                "{{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":[{}]}}",
                entries.join(",")
            );
            let sent = client.post("", "application/fhir+json", Bytes::from(bundle));
            let answer = RUNTIME.block_on(sent).unwrap();
            assert_eq!(answer.status(), 200);
            let told: Value = serde_json::from_slice(answer.body()).unwrap();
            for entry in told["entry"].as_array().unwrap() {
                let status = entry["response"]["status"].as_str().unwrap();
                assert!(status.starts_with('2'), "{}: {}", self.make.name(), entry["response"]);
            }
        }
    }

    /// Every current record of these types by `Type/id`.
    pub(crate) fn records(&self, kinds: &[&str]) -> BTreeMap<String, Value> {
        let client = self.client();
        let mut found = BTreeMap::new();
        for kind in kinds {
            let mut page = RUNTIME.block_on(client.get(&format!("{kind}?_count=500"))).unwrap();
            loop {
                let read: Value = serde_json::from_slice(page.body()).unwrap();
                assert_eq!(page.status(), 200, "{kind}: {read}");
                for entry in read["entry"].as_array().into_iter().flatten() {
                    let id = entry["resource"]["id"].as_str().unwrap();
                    found.insert(format!("{kind}/{id}"), entry["resource"].clone());
                }
                let links = read["link"].as_array();
                let mut next = links.into_iter().flatten().filter(|it| it["relation"] == "next");
                let Some(next) = next.next() else { break };
                let url = next["url"].as_str().unwrap().to_owned();
                page = RUNTIME.block_on(client.get_absolute(&url)).unwrap();
            }
        }
        found
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A chart with its one plan: invented patients, or a few of the hundred charts with the overlay.
pub(crate) fn town() -> (Chart, Vec<Plan>) {
    let plan = TownPlan { hospitals: 1, plans: 1, patients_per_hospital: 2, ..TownPlan::default() };
    let town = Town::generate(11, &plan);
    (town.hospitals[0].chart.clone(), town.plans)
}

pub(crate) fn charts() -> Option<(Chart, Vec<Plan>)> {
    let folder = data("synthea-us-core-bundles")?;
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let mut files: Vec<(u64, PathBuf)> =
        files.map(|file| (file.metadata().unwrap().len(), file.path())).collect();
    files.sort();
    let shared = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("0-");
    let (shared, own): (Vec<_>, Vec<_>) = files.into_iter().map(|it| it.1).partition(shared);
    let paths = shared.iter().chain(own.iter().skip(SKIPPED).take(TAKEN));
    let paths: Vec<&Path> = paths.map(PathBuf::as_path).collect();
    let chart = Chart::load_with(&paths, &LoadPlan::default()).unwrap().chart;
    let overlay = Overlay { plans: new_plans(1), coverages: Each::All, ..Overlay::default() };
    let overlaid = overlay.apply(&chart, &OverlayRules::usual()).unwrap();
    Some((overlaid.chart, overlaid.plans))
}

/// What is pushed of a chart: encounters, then histories, then reports.
pub(crate) fn subjects(chart: &Chart) -> Vec<String> {
    let of = |kind: &str| chart.of_kind(kind).iter().map(ChartResource::reference);
    let reports = of("DiagnosticReport").take(5);
    of("Encounter").chain(of("Patient")).chain(reports).collect()
}

/// Pushes these, asks until none of them is put off any more, and answers in which state each push
/// to the payer ended, with its issues.
pub(crate) fn push(house: &House, subjects: &[String]) -> BTreeMap<String, Vec<String>> {
    push_waiting(house, subjects, ENDS_WITHIN)
}

/// The same for as long as this: what a person of the payer has to look at is put off for ever.
pub(crate) fn push_waiting(
    house: &House,
    subjects: &[String],
    patience: Duration,
) -> BTreeMap<String, Vec<String>> {
    let known: BTreeSet<String> = house.rows().into_iter().map(|row| row.id).collect();
    house.push_all(subjects);
    let begun = Instant::now();
    loop {
        let rows = house.rows().into_iter();
        let rows = rows.filter(|row| row.kind == "push" && !known.contains(&row.id));
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows {
            let issues: Vec<String> = row.issues.iter().map(|it| it.issue.to_string()).collect();
            let words = [vec![row.state], issues].concat().join(": ");
            told.entry(row.subject.unwrap_or_default()).or_default().push(words);
        }
        let waits = told.values().flatten().any(|words| words.starts_with("due"));
        if !waits || begun.elapsed() >= patience {
            return told;
        }
    }
}
