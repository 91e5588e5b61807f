//! House: a receiving house as people set one up, and its process.
//!
//! Comes in   nothing: the program's own `init` and `partner add` make the folders.
//! Goes out   a house that serves in a process of its own, over HTTPS or HTTP, always with an
//!            empty store; a sender's keys; what the store holds in the end.
//! Never      reuses a store, and never leaves a process behind.

use crate::bundles;
use crate::gauge;
use exchange::HouseId;
use exchange::partner::PublicFile;
use secrecy::ExposeSecret;
use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use store::{House as _, SqliteHouse};
use tempfile::TempDir;
use testdb::Server;
use wire::{HttpTransport, SmartClient, SystemClock};

/// The program: this build's, or another one that is named, to set two builds side by side.
fn program() -> OsString {
    let named = std::env::var_os("HANDOVER_BENCH_PROGRAM");
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_handover").into())
}

/// The plan's name, and its sender's.
const PLAN: &str = "plan";
const SENDER: &str = "hospital";

/// How the door is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// With TLS.
    Https,
    /// Plain, on loopback.
    Http,
}

impl Scheme {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Scheme::Https => "https",
            Scheme::Http => "http",
        }
    }
}

/// Where the house keeps what it remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    /// A file in the house's folder.
    Sqlite,
    /// A private PostgreSQL server.
    Postgres,
}

impl Database {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Database::Sqlite => "sqlite",
            Database::Postgres => "postgres",
        }
    }
}

/// A database of a house on the private server.
pub(crate) struct Base<'t> {
    server: &'t Server,
    name: String,
    /// Bytes it had before anything was filed.
    empty: u64,
}

impl Base<'_> {
    fn sql(&self, text: &str) -> u64 {
        let said = self.server.sql(&self.name, text);
        said.trim().parse().unwrap_or_else(|_| panic!("no number: {said}"))
    }

    fn bytes(&self) -> u64 {
        self.sql("SELECT pg_database_size(current_database())")
    }
}

impl Drop for Base<'_> {
    fn drop(&mut self) {
        self.server.sql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// Two houses that know each other, as templates.
pub(crate) struct Town {
    folder: TempDir,
    address: SocketAddr,
    pub(crate) namespace: String,
    /// Where this machine has PostgreSQL.
    server: Option<Server>,
    made: Cell<u32>,
}

impl Town {
    /// Makes a plan and a hospital.
    pub(crate) fn new() -> Town {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let address = free_address();
        let place = |name: &str| folder.path().join(name);
        let listen = address.to_string();
        let (plan, sender) = (place(PLAN), place(SENDER));
        let payer_id = "urn:oid:2.16.840.1.113883.6.300|99001";
        run(&["init", "payer", text(&plan), "--listen", &listen, "--payer-id", payer_id]);
        run(&["init", "provider", text(&sender)]);
        let public = sender.join("public.json");
        run(&["--house", text(&plan), "partner", "add", text(&public)]);
        fs::write(plan.join("members.csv"), bundles::members()).expect("members");
        let public = fs::read_to_string(public).expect("a public file");
        let namespace = PublicFile::parse(&public, "public.json").expect("a public file").namespace;
        Town { folder, address, namespace, server: Server::start(), made: Cell::new(0) }
    }

    /// The databases that this machine has.
    pub(crate) fn databases(&self) -> Vec<Database> {
        let postgres = self.server.as_ref().map(|_| Database::Postgres);
        std::iter::once(Database::Sqlite).chain(postgres).collect()
    }

    /// A fresh database on the private server, and its connection string.
    pub(crate) fn base(&self) -> Option<(Base<'_>, String)> {
        let server = self.server.as_ref()?;
        self.made.set(self.made.get() + 1);
        let name = format!("bench_{}", self.made.get());
        let url = server.create_database(&name);
        Some((Base { server, name, empty: 0 }, url))
    }

    /// Processor time of the private server.
    pub(crate) fn server_cpu(&self, database: Database) -> Duration {
        match (database, &self.server) {
            (Database::Postgres, Some(server)) => Duration::from_secs_f64(server.cpu_seconds()),
            _ => Duration::ZERO,
        }
    }

    /// A fresh house in a folder of its own; nothing runs yet.
    pub(crate) fn house(&self, scheme: Scheme, database: Database) -> House<'_> {
        let folder = tempfile::tempdir_in(self.folder.path()).expect("a folder");
        copy(&self.folder.path().join(PLAN), folder.path());
        if scheme == Scheme::Http {
            let file = folder.path().join("house.toml");
            let config = fs::read_to_string(&file).expect("a configuration");
            fs::write(file, without_tls(&config)).expect("a configuration");
        }
        // One client stands for many here.
        let file = folder.path().join("house.toml");
        let config = fs::read_to_string(&file).expect("a configuration");
        let config = format!("{config}\n[limits]\nrequests_per_minute = 0\n");
        fs::write(file, config).expect("a configuration");
        let key = self.folder.path().join(SENDER).join("keys/signing.pem");
        let key = fs::read_to_string(key).expect("a key");
        let base = match database {
            Database::Sqlite => None,
            Database::Postgres => self.base(),
        };
        if let Some((_, url)) = &base {
            let file = folder.path().join("house.toml");
            let config = fs::read_to_string(&file).expect("a configuration");
            let config = format!("{config}\n[database]\npostgres = \"{url}\"\n");
            fs::write(file, config).expect("a configuration");
        }
        let base = base.map(|(base, _)| base);
        House { folder, scheme, base, address: self.address, key, running: None }
    }
}

/// The configuration of a house that serves plain HTTP.
fn without_tls(config: &str) -> String {
    let mut kept = String::new();
    let mut tls = false;
    for line in config.lines() {
        if line.starts_with('[') {
            tls = line == "[tls]";
        }
        if !tls {
            kept.push_str(&line.replace("\"https://127.", "\"http://127."));
            kept.push('\n');
        }
    }
    kept
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of this bench are plain text")
}

fn run(words: &[&str]) {
    let output = Command::new(program()).args(words).stdin(Stdio::null()).output();
    let output = output.expect("the program starts");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let place = to.join(entry.file_name());
        match entry.path() {
            path if path.is_dir() => copy(&path, &place),
            path => drop(fs::copy(path, place).expect("a copy")),
        }
    }
}

/// Below the ports that outgoing connections are given.
fn free_address() -> SocketAddr {
    let ports = (12_000..32_000u16).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut free = ports.filter(|address| TcpListener::bind(address).is_ok());
    free.nth(std::process::id() as usize % 50).expect("a free port")
}

/// A receiving house.
pub(crate) struct House<'t> {
    folder: TempDir,
    pub(crate) scheme: Scheme,
    base: Option<Base<'t>>,
    pub(crate) address: SocketAddr,
    key: String,
    running: Option<Child>,
}

impl House<'_> {
    /// Opens its doors. It is tethered to this process and cannot outlive it.
    pub(crate) fn serve(&mut self) {
        let mut child = Command::new(program())
            .args(["--house", text(self.folder.path()), "serve", "--tethered"])
            .env("HANDOVER_LOG", "warn")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("ready ")));
        assert!(ready.is_some(), "the house did not open its doors");
        self.running = Some(child);
        if let Some(base) = &mut self.base
            && base.empty == 0
        {
            base.empty = base.bytes();
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().map_or(0, Child::id)
    }

    /// Processor time so far of everything that works for the house.
    pub(crate) fn cpu(&self) -> Duration {
        let server = self.base.as_ref().map_or(0.0, |base| base.server.cpu_seconds());
        gauge::cpu(&[self.pid()]) + Duration::from_secs_f64(server)
    }

    /// Stops in the orderly way.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            drop(child.stdin.take());
            child.wait().ok();
        }
    }

    /// Bytes that its store takes on the disk.
    pub(crate) fn disk(&self) -> u64 {
        let files = gauge::disk(&self.folder.path().join("store"));
        files + self.base.as_ref().map_or(0, |base| base.bytes() - base.empty)
    }

    /// Record versions that it holds; it must have stopped.
    pub(crate) fn versions(&self) -> u64 {
        if let Some(base) = &self.base {
            return base.sql("SELECT count(*) FROM versions WHERE NOT (version = 1 AND deleted)");
        }
        let place = self.folder.path().join("store");
        let house = SqliteHouse::open_to_read(&place, &HouseId::from(PLAN)).expect("a store");
        runtime().block_on(house.version_count()).expect("a count")
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// PEM of the authority that its certificate comes from.
    pub(crate) fn authority(&self) -> String {
        fs::read_to_string(self.folder.path().join("tls/authority.pem")).expect("an authority")
    }

    pub(crate) fn base_url(&self) -> String {
        format!("{}://{}/fhir", self.scheme.name(), self.address)
    }

    /// Signs in as the sender, to write and read.
    pub(crate) fn token(&self) -> String {
        self.token_for("system/*.cruds")
    }

    /// Signs in as the sender, for these scopes.
    pub(crate) fn token_for(&self, scope: &str) -> String {
        let roots = [self.authority().into_bytes()];
        let transport = HttpTransport::new(&roots, Duration::from_secs(10), 1 << 20);
        let transport = Arc::new(transport.expect("a client"));
        let (scope, clock) = (scope.to_owned(), Arc::new(SystemClock));
        let client = SmartClient::new(transport, &self.base_url(), SENDER, &self.key, scope, clock);
        let token = runtime().block_on(client.expect("a client").token());
        token.expect("an access token").expose_secret().to_owned()
    }
}

impl Drop for House<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
