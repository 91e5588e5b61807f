//! A house of the test: its folder, its process when it runs, and the ways to ask it.

#![allow(clippy::unwrap_used)]

use super::process::{Process, Said, run};
use super::{RUNTIME, free_address};
use bytes::Bytes;
use exchange::desk::{Command, Reply, Row, Shown};
use exchange::partner::PublicFile;
use exchange::{HouseId, Issue, Push, Who};
use handover::{caller, config, house};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sim::town::Plan;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use store::{AnyHouse, House as _, Record, SqliteHouse, StoredWork, WorkKind, WorkQuery};
use wire::FhirClient;

/// Time for one command of a test.
const ASK_MAX: Duration = Duration::from_secs(300);

/// The newest version of every record of a house, by `Type/id`.
pub type Records = BTreeMap<String, Record>;

/// Somebody who asks.
/// How long a push may take before its caller is told how far it is.
const WAIT_SECONDS: u32 = 120;

pub fn who(why: &str) -> Who {
    Who { name: "test".to_owned(), role: "staff".to_owned(), why: why.to_owned() }
}

/// A page of a search.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    link: Vec<Link>,
    #[serde(borrow, default)]
    entry: Vec<Found<'a>>,
}

#[derive(Deserialize)]
struct Link {
    relation: String,
    url: String,
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    resource: &'a RawValue,
}

/// A house in its folder.
pub struct House {
    pub name: String,
    pub folder: PathBuf,
    running: Option<Process>,
    client: OnceLock<FhirClient>,
    doors: OnceLock<FhirClient>,
    /// What its processes and commands said, in the order they ended.
    pub said: Mutex<Vec<Said>>,
    /// `HANDOVER_LOG` of everything that is run.
    pub log: String,
}

impl House {
    /// Makes a sending house.
    pub fn provider(folder: &Path, source: &str) -> House {
        House::init(folder, &["init", "provider"], &["--source", source])
    }

    /// Makes a receiving house with the plan's identifier and members.
    pub fn payer(folder: &Path, plan: &Plan) -> House {
        let id = format!("{}|{}", plan.payer_id.system, plan.payer_id.value);
        let words = ["--payer-id", &id, "--title", &plan.name];
        let house = House::init(folder, &["init", "payer"], &words);
        house.write("members.csv", &plan.member_file());
        house
    }

    fn init(folder: &Path, before: &[&str], after: &[&str]) -> House {
        let house = House {
            name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
            folder: folder.to_owned(),
            running: None,
            client: OnceLock::new(),
            doors: OnceLock::new(),
            said: Mutex::default(),
            log: std::env::var("HANDOVER_LOG").unwrap_or_else(|_| "warn".to_owned()),
        };
        let address = free_address().to_string();
        let folder = folder.to_str().unwrap();
        let words = [before, &[folder, "--listen", &address], after].concat();
        let said = house.run_anywhere(&words);
        assert_eq!(said.code, 0, "init: {}", said.stderr);
        house
    }

    /// Takes a partner's public file in.
    pub fn add_partner(&self, partner: &House) {
        let file = partner.folder.join("public.json");
        let said = self.run(&["partner", "add", file.to_str().unwrap()]);
        assert_eq!(said.code, 0, "partner add: {}", said.stderr);
    }

    pub fn public(&self) -> PublicFile {
        PublicFile::parse(&self.read("public.json"), "public.json").unwrap()
    }

    pub fn config(&self) -> Arc<config::House> {
        Arc::new(config::House::read(&self.folder).unwrap())
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap()
    }

    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.join(file), text).unwrap();
    }

    /// Changes a file of the house; what is to be replaced must be there.
    pub fn replace(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{file} has no {from:?}");
        self.write(file, &text.replace(from, to));
    }

    // ---- its process -------------------------------------------------------------------------

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Opens its doors.
    pub fn serve(&mut self) {
        self.serve_with(&[]);
    }

    /// Opens its doors, with more in the environment, such as `HANDOVER_HALT_AFTER`.
    pub fn serve_with(&mut self, environment: &[(&str, &str)]) {
        assert!(self.running.is_none(), "{} runs already", self.name);
        let environment = [environment, &[("HANDOVER_LOG", self.log.as_str())]].concat();
        self.running = Some(Process::serve(&self.folder, &environment));
    }

    /// What its process has written to stderr so far.
    pub fn process_said(&self) -> String {
        self.running.as_ref().map(Process::stderr).unwrap_or_default()
    }

    pub fn process(&mut self) -> &mut Process {
        self.running.as_mut().expect("the house runs")
    }

    /// Ends its process as a power cut would.
    pub fn kill(&mut self) {
        let ended = self.running.take().map(Process::kill);
        self.said.get_mut().unwrap().extend(ended);
    }

    /// Stops its process in the orderly way, if it runs.
    pub fn stop(&mut self) {
        let ended = self.running.take().map(Process::stop);
        self.said.get_mut().unwrap().extend(ended);
    }

    // ---- asking it by the command line -------------------------------------------------------

    /// Runs a command of this house.
    pub fn run(&self, words: &[&str]) -> Said {
        let folder = self.folder.to_str().unwrap();
        self.run_anywhere(&[&["--house", folder], words].concat())
    }

    /// Runs the program, without naming this house.
    pub fn run_anywhere(&self, words: &[&str]) -> Said {
        let said = run(words, &[("HANDOVER_LOG", self.log.as_str())]);
        self.said.lock().unwrap().push(said.clone());
        said
    }

    /// Runs a command with `--json`: exit code and answer.
    pub fn json(&self, words: &[&str]) -> (i32, Value) {
        let said = self.run(&[&["--json"], words].concat());
        let value = serde_json::from_str(&said.stdout);
        (said.code, value.unwrap_or_else(|_| panic!("no JSON: {} {}", said.stdout, said.stderr)))
    }

    // ---- asking it by its API, while it runs ---------------------------------------------------

    /// Asks the running house.
    pub fn ask(&self, command: &Command) -> Result<Reply, Issue> {
        RUNTIME.block_on(self.ask_later(command))
    }

    /// The same, for many at once.
    pub async fn ask_later(&self, command: &Command) -> Result<Reply, Issue> {
        let client =
            self.client.get_or_init(|| house::operator_client(&self.config(), ASK_MAX).unwrap());
        caller::ask(client, command).await
    }

    /// Pushes these encounters, a few at a time, and waits for each to end; the rows of each.
    pub fn push_all(&self, encounters: &[String]) -> BTreeMap<String, Vec<Row>> {
        self.ask_for(encounters, WAIT_SECONDS)
    }

    /// Asks for these pushes, a few at a time, and waits for none of them.
    pub fn queue(&self, subjects: &[String]) {
        self.ask_for(subjects, 0);
    }

    fn ask_for(&self, subjects: &[String], wait: u32) -> BTreeMap<String, Vec<Row>> {
        use futures_like::buffered;
        let push = |subject: String| async move {
            let rows = self.push_later(&subject, wait).await;
            (subject, rows)
        };
        RUNTIME.block_on(buffered(subjects.iter().cloned().map(push).collect()))
    }

    /// Pushes one encounter and waits for its end.
    pub fn push(&self, encounter: &str) -> Vec<Row> {
        RUNTIME.block_on(self.push_later(encounter, WAIT_SECONDS))
    }

    async fn push_later(&self, subject: &str, wait: u32) -> Vec<Row> {
        let command = Command::Push {
            subject: subject.to_owned(),
            purpose: None,
            who: who("a test pushes"),
            wait,
            asynchronous: false,
        };
        match self.ask_later(&command).await.unwrap() {
            Reply::Pushed { rows, .. } => rows,
            other => panic!("no answer to a push: {other:?}"),
        }
    }

    /// Everything there is to list.
    pub fn rows(&self) -> Vec<Row> {
        let limit = Some(100_000);
        match self.ask(&Command::List { states: Vec::new(), limit }).unwrap() {
            Reply::Listed { rows, .. } => rows,
            other => panic!("no list: {other:?}"),
        }
    }

    pub fn show(&self, id: &str) -> Shown {
        match self.ask(&Command::Show { id: id.to_owned(), page: false }).unwrap() {
            Reply::Shown(shown) => *shown,
            other => panic!("nothing shown: {other:?}"),
        }
    }

    /// Asks the FHIR door of the running house, as its operator: status and body.
    pub fn get(&self, path: &str) -> (u16, Value) {
        let client = self.doors.get_or_init(|| self.operator_at_the_door());
        let answer = RUNTIME.block_on(client.get(path)).unwrap();
        let body = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
        (answer.status().as_u16(), body)
    }

    /// Everything of a type behind the FHIR door, page by page, each resource as it was served.
    pub fn search_all(&self, kind: &str) -> Vec<Bytes> {
        let client = self.doors.get_or_init(|| self.operator_at_the_door());
        let mut found = Vec::new();
        let mut page = RUNTIME.block_on(client.get(kind)).unwrap();
        loop {
            assert_eq!(page.status().as_u16(), 200, "a search of {kind}");
            let read: Page<'_> = serde_json::from_slice(page.body()).unwrap();
            let resources = read.entry.iter().map(|entry| entry.resource.get());
            found.extend(resources.map(|text| Bytes::copy_from_slice(text.as_bytes())));
            let next = read.link.iter().find(|link| link.relation == "next");
            let Some(next) = next.map(|link| link.url.clone()) else { return found };
            page = RUNTIME.block_on(client.get_absolute(&next)).unwrap();
        }
    }

    /// Asks the FHIR door of the running house, as its operator within these scopes: status and body.
    pub fn get_within(&self, scopes: &str, path: &str) -> (u16, Value) {
        let client = self.at_the_door(&format!("{} {scopes}", wire::api::OPERATE));
        let answer = RUNTIME.block_on(client.get(path)).unwrap();
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
    }

    fn operator_at_the_door(&self) -> FhirClient {
        self.at_the_door(&format!("{} system/*.rs", wire::api::OPERATE))
    }

    fn at_the_door(&self, scope: &str) -> FhirClient {
        let config = self.config();
        let (transport, sign_in) = house::operator_sign_in(&config, ASK_MAX, scope).unwrap();
        FhirClient::new(&config.file.base_url, transport, Some(sign_in))
    }

    // ---- looking into its folder ----------------------------------------------------------------

    /// What it remembers, to be read while it runs or after.
    pub fn memory(&self) -> AnyHouse {
        let config = self.config();
        if config.file.database.is_some() {
            return RUNTIME.block_on(house::memory(&config)).unwrap();
        }
        let id = HouseId::from(self.name.as_str());
        SqliteHouse::open_to_read(&self.folder.join("store"), &id).unwrap().into()
    }

    /// Every push of a sending house by its walk, from its rows.
    pub fn pushes(&self) -> BTreeMap<String, Push> {
        let rows = self.works(WorkKind::Push).into_iter();
        rows.map(|row| (row.work.id.clone(), serde_json::from_slice(&row.work.body).unwrap()))
            .collect()
    }

    /// Its rows of work of one kind.
    pub fn works(&self, kind: WorkKind) -> Vec<StoredWork> {
        let query = WorkQuery { kind: Some(kind), limit: 1_000_000, ..WorkQuery::default() };
        RUNTIME.block_on(self.memory().works(query)).unwrap()
    }

    /// Every version of every record, without content, in a fixed order: type, id, version, digest.
    pub fn dump(&self) -> Vec<(String, String, u64, String)> {
        let dump = RUNTIME.block_on(self.memory().dump(None, 999_999)).unwrap().into_iter();
        dump.map(|one| (one.kind, one.id, one.version, one.digest.to_string())).collect()
    }

    /// The newest version of every record that is not deleted, with content.
    pub fn records(&self) -> Records {
        let memory = self.memory();
        let mut heads = BTreeMap::new();
        for version in RUNTIME.block_on(memory.dump(None, 999_999)).unwrap() {
            heads.insert(format!("{}/{}", version.kind, version.id), version);
        }
        heads.retain(|_, head| !head.deleted);
        for head in heads.values_mut() {
            let found = RUNTIME.block_on(memory.record(&head.kind, &head.id, None)).unwrap();
            *head = found.unwrap();
        }
        heads
    }
}

/// Many futures, a few at a time: as many as a busy house has triggers on their way.
mod futures_like {
    use std::collections::BTreeMap;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::Poll;

    const AT_ONCE: usize = 8;

    pub(super) async fn buffered<K: Ord, V, F: Future<Output = (K, V)>>(
        waiting: Vec<F>,
    ) -> BTreeMap<K, V> {
        let mut waiting = waiting.into_iter();
        let mut running: Vec<Pin<Box<F>>> = Vec::new();
        let mut done = BTreeMap::new();
        std::future::poll_fn(move |context| {
            loop {
                while running.len() < AT_ONCE {
                    match waiting.next() {
                        Some(next) => running.push(Box::pin(next)),
                        None => break,
                    }
                }
                if running.is_empty() {
                    return Poll::Ready(std::mem::take(&mut done));
                }
                let before = done.len();
                running.retain_mut(|one| match one.as_mut().poll(context) {
                    Poll::Ready((key, value)) => {
                        done.insert(key, value);
                        false
                    }
                    Poll::Pending => true,
                });
                if done.len() == before {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}
