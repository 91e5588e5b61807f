//! Goal: the reference programs of Bulk Submit, which speak the draft, submit to our payer and take what
//! our sending house submits.
//!
//! How: smart-on-fhir/bulk-submit-provider and -consumer as processes on loopback. Neither can sign in: the
//! provider's requests pass a door of the test that adds a token and nothing else, and the consumer is a
//! payer that asks for none. What is not installed is skipped with one line.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use crate::common::{House, RUNTIME, SimEhr, free_address};
use crate::others::{partners, town};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use exchange::bulk::StatusManifest;
use fhir::Ndjson;
use http::Method;
use serde_json::{Value, json};
use sim::ChartResource;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{FhirClient, HttpTransport, SigningKey, SmartClient, SystemClock, Transport};

/// The programs ask every five seconds; TypeScript has to be compiled first.
const PATIENCE: Duration = Duration::from_secs(180);

/// A reference program at work, on files of its own.
struct Program {
    address: SocketAddr,
    folder: tempfile::TempDir,
    child: Child,
}

impl Program {
    /// None where it is not installed. It trusts certificates of this authority.
    fn start(name: &str, trusting: Option<&Path>, prepare: impl FnOnce(&Path)) -> Option<Program> {
        let place = partners(&format!("{name}/node_modules"))?.join(name);
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        for part in ["src", "exports", "@types", "tsconfig.json", "package.json"] {
            if place.join(part).exists() {
                copy(&place.join(part), &folder.path().join(part));
            }
        }
        std::os::unix::fs::symlink(place.join("node_modules"), folder.path().join("node_modules"))
            .unwrap();
        prepare(folder.path());
        let mut command = Command::new("node");
        command.args(["-r", "ts-node/register/transpile-only", "src/index.ts"]);
        command.env("PORT", address.port().to_string());
        command.env("BASE_URL", format!("http://{address}")).env("THROTTLE", "0");
        if let Some(trusting) = trusting {
            command.env("NODE_EXTRA_CA_CERTS", trusting);
        }
        command.current_dir(folder.path()).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let program = Program { address, folder, child };
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "{name} does not open");
            std::thread::yield_now();
        }
        Some(program)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let transport = HttpTransport::new(&[] as &[Vec<u8>], PATIENCE, 1 << 26).unwrap();
        let request = http::Request::builder().method(method).uri(self.url(path));
        let request = request.header("content-type", "application/json");
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = RUNTIME.block_on(transport.send(request.body(body).unwrap())).unwrap();
        let told = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
        (answer.status().as_u16(), told)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        std::fs::copy(from, to).unwrap();
        return;
    }
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// Passes requests on to a payer with a token, and answers as the payer did, at this door's address.
struct Porter {
    client: FhirClient,
    own: String,
}

impl Porter {
    fn open(client: FhirClient) -> Arc<Porter> {
        let listener = RUNTIME.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let porter = Arc::new(Porter { client, own });
        let room = Arc::clone(&porter);
        let router = Router::new().fallback(move |request: Request| {
            let room = Arc::clone(&room);
            async move { room.pass(request).await }
        });
        RUNTIME.spawn(async move { axum::serve(listener, router).await.unwrap() });
        porter
    }

    async fn pass(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let path = head.uri.path().trim_start_matches('/').to_owned();
        let kind = head.headers.get("content-type").map(|it| it.to_str().unwrap().to_owned());
        let answer = match head.method {
            Method::POST => self.client.post(&path, &kind.unwrap_or_default(), body).await,
            _ => self.client.get(&path).await,
        };
        let answer = answer.unwrap();
        let mut told = Response::builder().status(answer.status());
        for name in ["content-type", "content-location", "retry-after", "x-progress"] {
            if let Some(value) = answer.headers().get(name) {
                let value = value.to_str().unwrap().replace(self.client.base_url(), &self.own);
                told = told.header(name, value);
            }
        }
        told.body(Body::from(answer.into_body())).unwrap()
    }
}

/// A payer that knows the program's client; the client.
fn payer(folder: &Path, files: &str) -> (House, FhirClient) {
    let (_, plans) = town();
    let mut payer = House::payer(&folder.join("plan"), &plans[0]);
    let key = SigningKey::generate().unwrap();
    let (authority, _) = wire::tls::make_authority("program").unwrap();
    let public = json!({
        "name": "program", "role": "provider", "title": "A program",
        "base_url": "https://program.example/fhir", "client_id": "program",
        "authority": authority, "jwks": key.jwks(), "file_servers": [files],
        "ledger_key": exchange::Digest::of(b"program").to_string(),
    });
    let file = folder.join("public.json");
    std::fs::write(&file, public.to_string()).unwrap();
    let told = payer.run(&["partner", "add", file.to_str().unwrap()]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    payer.serve();
    let root = payer.read("tls/authority.pem").into_bytes();
    let transport = Arc::new(HttpTransport::new(&[root], PATIENCE, 1 << 26).unwrap());
    let (base, clock) = (payer.public().base_url, Arc::new(SystemClock));
    let scope = "system/bulk-submit system/*.cruds".to_owned();
    let sign_in =
        SmartClient::new(transport.clone(), &base, "program", &key.to_pem(), scope, clock).unwrap();
    (payer, FhirClient::new(&base, transport, Some(sign_in)))
}

/// Writes a chart down as the provider serves its exports: a folder with a file for each type.
fn exports(folder: &Path, chart: &sim::Chart) -> BTreeSet<String> {
    let folder = folder.join("exports/9");
    std::fs::create_dir_all(&folder).unwrap();
    let mut files: BTreeMap<&str, Vec<&ChartResource>> = BTreeMap::new();
    chart.iter().for_each(|one| files.entry(&one.kind).or_default().push(one));
    let mut output = Vec::new();
    for (kind, of_kind) in &files {
        let lines = of_kind.iter().map(|one| [&one.bytes[..], b"\n"].concat());
        std::fs::write(folder.join(format!("1.{kind}.ndjson")), lines.collect::<Vec<_>>().concat())
            .unwrap();
        let url = format!("1.{kind}.ndjson");
        output.push(json!({ "type": kind, "url": url, "count": of_kind.len() }));
    }
    let manifest = json!({
        "transactionTime": "2026-01-02T00:00:00Z", "requiresAccessToken": false, "output": output,
    });
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    chart.iter().map(ChartResource::reference).collect()
}

/// The program submits a manifest of its own making: all of it is filed. Then it submits the data that it
/// brings along, whose persons are no members: of that only what is about nobody is filed.
#[test]
fn the_reference_provider_submits_to_our_payer() {
    let (chart, _) = town();
    let mut wanted = BTreeSet::new();
    let prepare = |folder: &Path| wanted = exports(folder, &chart);
    let Some(program) = Program::start("bulk-submit-provider", None, prepare) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (payer, client) = payer(folder.path(), &program.url(""));
    let porter = Porter::open(client);

    let told = submitted(&program, &porter, "9");
    let outcomes = outcomes(&porter.client, &told);
    // One of the town's patients is no member, and each of that patient's resources is named.
    let refused: Vec<_> = outcomes.iter().filter(|line| line.contains("\"error\"")).collect();
    assert!(refused.iter().all(|line| line.contains("member-unknown")), "{refused:#?}");
    let told = |name: &String| {
        let whole = format!("\"{}\"", program.url(&format!("/{name}")));
        refused.iter().any(|line| line.contains(&whole))
    };
    let (named, others): (BTreeSet<_>, BTreeSet<_>) = wanted.into_iter().partition(told);
    let filed: BTreeSet<String> = payer.records().into_keys().collect();
    assert_eq!(filed, others);
    let patients =
        |names: &BTreeSet<String>| names.iter().filter(|it| it.starts_with("Patient/")).count();
    assert_eq!((patients(&named), patients(&filed)), (1, 1));

    let told = submitted(&program, &porter, "1");
    let of_patients: Vec<String> = payer
        .records()
        .into_keys()
        .filter(|name| !filed.contains(name))
        .filter(|name| !["Organization/", "Practitioner/"].iter().any(|it| name.starts_with(it)))
        .collect();
    assert!(of_patients.is_empty(), "nobody there is a member: {of_patients:?}");
    assert!(self::outcomes(&porter.client, &told).iter().any(|line| line.contains("member-")));
}

/// A submission by the program to its end; the status manifest it was told.
fn submitted(program: &Program, porter: &Porter, export: &str) -> Value {
    let submitter = json!({ "system": "https://plan.example/submitters", "value": "program" });
    let session = json!({ "destinationBaseUrl": porter.own, "submitter": submitter });
    let (status, session) = program.ask(Method::POST, "/api/sessions", &session);
    assert_eq!(status, 201, "{session}");
    let place = format!("/api/sessions/{}", session["id"].as_str().unwrap());
    let url = program.url(&format!("/api/manifests/{export}"));
    let manifest = json!({ "manifestUrl": url, "FHIRBaseUrl": program.url("") });
    program.ask(Method::POST, &format!("{place}/manifests"), &manifest);
    let (status, told) = program.ask(
        Method::POST,
        &format!("{place}/submit-manifest"),
        &json!({ "manifestUrl": url }),
    );
    assert_eq!(status, 200, "{told}");
    let (status, told) = program.ask(Method::POST, &format!("{place}/complete"), &Value::Null);
    assert_eq!(status, 200, "{told}");
    let end = Instant::now() + PATIENCE;
    loop {
        let (_, told) = program.ask(Method::GET, &place, &Value::Null);
        if told["status"] == "complete" {
            return last_answer(&told);
        }
        assert!(Instant::now() < end, "{told:#}");
        std::thread::yield_now();
    }
}

/// The newest manifest in the program's log.
fn last_answer(session: &Value) -> Value {
    fn find(value: &Value, found: &mut Vec<Value>) {
        match value {
            Value::Object(members) if members.contains_key("transactionTime") => {
                found.push(value.clone());
            }
            Value::Object(members) => members.values().for_each(|member| find(member, found)),
            Value::Array(items) => items.iter().for_each(|item| find(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    find(&session["log"], &mut found);
    found.pop().unwrap_or_else(|| panic!("no manifest was told: {session:#}"))
}

/// The lines of all outcome files of a status manifest.
fn outcomes(client: &FhirClient, told: &Value) -> Vec<String> {
    let manifest = StatusManifest::read(told.to_string().as_bytes()).unwrap();
    let mut lines = Vec::new();
    for file in &manifest.outcome {
        let answer = RUNTIME.block_on(client.get_absolute(&file.url)).unwrap();
        assert_eq!(answer.status(), 200, "{}", file.url);
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        lines.extend(text.lines().map(str::to_owned));
    }
    lines
}

/// What our sending house submits arrives at the program whole, by type, and each push is settled.
#[test]
fn our_sending_house_submits_to_the_reference_consumer() {
    let (chart, plans) = town();
    let folder = tempfile::tempdir().unwrap();
    let mut ehr = SimEhr::new(&folder.path().join("ehr"));
    let mut hospital = House::provider(&folder.path().join("hospital"), &ehr.base_url());
    ehr.start(&chart, &[hospital.public()]);
    hospital.write("tls/ehr-authority.pem", &ehr.authority());
    let trusting = hospital.folder.join("tls/authority.pem");
    let Some(program) = Program::start("bulk-submit-consumer", Some(&trusting), |_| ()) else {
        return;
    };
    let id = &plans[0].payer_id;
    let public = json!({
        "name": "consumer", "role": "payer", "title": "The consumer",
        "base_url": program.url(""), "foreign": { "sign_in": "none" }, "authority": "",
        "payer_identifiers": [{ "system": id.system, "value": id.value }],
    });
    let file = folder.path().join("public.json");
    std::fs::write(&file, public.to_string()).unwrap();
    let said = hospital.run(&["partner", "add", file.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let agreement = "agreements/consumer.toml";
    hospital.replace(agreement, "form = \"best\"", "form = \"bulk\"");
    hospital.replace(agreement, "mode = \"sync\"", "mode = \"async\"");
    let bulk = "\n[bulk]\naccess = \"capability\"\ndialect = \"argonaut\"\norganized_by = \"type\"\n\
                assume = true\ngather_seconds = 1\n\
                submitter = { system = \"https://plan.example/submitters\", value = \"clinic\" }\n";
    hospital.write(agreement, &(hospital.read(agreement) + bulk));
    hospital.serve();
    let encounters: Vec<String> =
        chart.of_kind("Encounter").iter().map(|one| one.id.clone()).collect();
    hospital.queue(&encounters);
    let end = Instant::now() + PATIENCE;
    loop {
        let rows: Vec<_> = hospital.rows().into_iter().filter(|row| row.kind == "push").collect();
        let waits = rows.iter().any(|row| !["settled", "withheld"].contains(&row.state.as_str()));
        if rows.len() == encounters.len() && !waits {
            break;
        }
        let held = rows.iter().find(|row| row.state == "held");
        assert!(held.is_none(), "{:#?}", held.map(|row| &row.issues));
        assert!(Instant::now() < end, "{rows:#?}");
        std::thread::yield_now();
    }
    let settled = hospital.rows().iter().filter(|row| row.state == "settled").count();
    let taken = taken(&program.folder.path().join("jobs"));
    let count = |kind: &str| taken.iter().filter(|name| name.starts_with(kind)).count();
    assert!(settled > 0, "something is pushed");
    assert_eq!(count("Provenance/"), settled, "each push says what it is");
    assert!(count("Encounter/") > 0 && count("Observation/") > 0, "{taken:?}");
    assert_eq!(count("Parameters/"), 0, "files have one type each");
}

/// `Type/id` of all that lies in the consumer's folder of files.
fn taken(folder: &Path) -> BTreeSet<String> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let (inner, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
        folders.extend(inner);
        let output = |path: &PathBuf| path.parent().is_some_and(|it| it.ends_with("output"));
        for file in files.into_iter().filter(output) {
            let lines = Ndjson::new(1 << 24, 1 << 20).push(&std::fs::read(file).unwrap());
            found.extend(lines.into_iter().map(|line| line.unwrap().resource.local_reference()));
        }
    }
    found
}
