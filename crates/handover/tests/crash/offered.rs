//! Pushes go in a bulk submission, and the house that sends them is ended at each point of it: the payer
//! is told of one manifest by one name, fetches the same bytes whenever it asks, and each push is settled
//! once.

use crate::common::{House, RUNTIME, Stage};
use crate::standin::{Aside, StandIn};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use exchange::bulk::{Manifest, SubmissionStatus, SubmitRequest};
use fhir::Ndjson;
use http::request::Parts;
use http::{Method, Request};
use sim::TownPlan;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::{House as _, WorkKind};
use wire::{BoxFuture, HttpTransport, Transport};

/// Where the sending house waits, because the payer is busy.
const WAITING: &str = "bulk-waiting";

/// Where the sending house is ended.
pub(crate) const OF_A_SUBMISSION: [&str; 12] = [
    "submitted",
    "bulk-closed",
    "bulk-intended",
    "bulk-made",
    "bulk-sent",
    "bulk-offered",
    "bulk-completed",
    "bulk-asked",
    "bulk-answered",
    "bulk-settled",
    "bulk-ended",
    WAITING,
];

/// How long anything may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Takes bulk submissions in a payer's place: fetches all of a manifest before it answers.
struct Taker {
    transport: HttpTransport,
    base: String,
    /// Whether it is busy when it is asked for the status next.
    busy: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The bytes of each URL.
    files: BTreeMap<String, Bytes>,
    manifests: BTreeSet<String>,
    /// `Type/id` of what was fetched.
    records: BTreeSet<String>,
    /// How often each submission was said to be complete.
    completed: BTreeMap<String, u32>,
}

impl Taker {
    fn of(provider: &House, payer: &House) -> Taker {
        let root = provider.read("tls/authority.pem").into_bytes();
        let transport = HttpTransport::new(&[root], PATIENCE, 1 << 26).unwrap();
        let (base, busy) = (payer.public().base_url, AtomicBool::new(false));
        Taker { transport, base, busy, known: Mutex::default() }
    }

    /// `None`: the house that is asked does not answer.
    async fn fetch(&self, url: &str) -> Option<Bytes> {
        let request = Request::builder().method(Method::GET).uri(url).body(Bytes::new()).unwrap();
        let answer = self.transport.send(request).await.ok()?;
        assert_eq!(answer.status(), 200, "{url}: {answer:?}");
        let body = answer.into_body();
        let mut known = self.known.lock().unwrap();
        let before = known.files.insert(url.to_owned(), body.clone());
        assert!(before.is_none_or(|before| before == body), "{url}: the same bytes each time");
        Some(body)
    }

    async fn fetch_all(&self, url: &str) -> Option<()> {
        let manifest = Manifest::read(&self.fetch(url).await?).unwrap();
        for file in &manifest.output {
            let body = self.fetch(&file.url).await?;
            assert_eq!(file.size, Some(body.len() as u64));
            let mut reader = Ndjson::new(10_000_000, 1_000_000);
            let lines = reader.push(&body).into_iter().map(|line| line.unwrap().resource);
            let records = lines.map(|it| it.local_reference());
            self.known.lock().unwrap().records.extend(records);
        }
        self.known.lock().unwrap().manifests.insert(url.to_owned());
        Some(())
    }

    async fn answers(&self, head: &Parts, body: &Bytes) -> Option<Response> {
        let path = head.uri.path();
        let answer = |status: u16, body: String| {
            Response::builder().status(status).body(Body::from(body)).unwrap()
        };
        match path.strip_prefix("/fhir/") {
            Some("$bulk-submit") => {
                let told = SubmitRequest::read(body.clone()).unwrap();
                if let Some(manifest) = &told.manifest
                    && self.fetch_all(&manifest.url).await.is_none()
                {
                    return Some(answer(503, String::new()));
                }
                if told.status == Some(SubmissionStatus::Completed) {
                    let mut known = self.known.lock().unwrap();
                    *known.completed.entry(told.submission_id).or_default() += 1;
                }
                Some(answer(200, String::new()))
            }
            Some("$bulk-submit-status") if self.busy.swap(false, Ordering::Relaxed) => {
                let answer = Response::builder().status(503).header("retry-after", 1);
                Some(answer.body(Body::empty()).unwrap())
            }
            Some("$bulk-submit-status") => {
                let place = format!("{}/status/of-bulk", self.base);
                let answer = Response::builder().status(202).header("content-location", place);
                Some(answer.body(Body::empty()).unwrap())
            }
            Some("status/of-bulk") if head.method == Method::GET => {
                let manifest =
                    r#"{"transactionTime":"2026-01-01T00:00:00Z","requiresAccessToken":false}"#;
                Some(answer(200, manifest.to_owned()))
            }
            Some("status/of-bulk") => Some(answer(202, String::new())),
            _ => None,
        }
    }
}

impl Aside for Taker {
    fn answer<'a>(&'a self, head: &'a Parts, body: &'a Bytes) -> BoxFuture<'a, Option<Response>> {
        Box::pin(self.answers(head, body))
    }
}

/// A hospital that sends to its one plan in bulk submissions, and who takes them there.
fn set(halt: Option<&str>) -> (Stage, StandIn, Arc<Taker>) {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(4, &plan);
    let agreement = format!("agreements/{}.toml", stage.payers[0].public().name);
    let provider = &stage.provider;
    provider.replace(&agreement, "mode = \"sync\"", "mode = \"async\"");
    provider.replace(&agreement, "form = \"transaction\"", "form = \"bulk\"");
    let text = provider.read(&agreement);
    let bulk = "\n[bulk]\naccess = \"capability\"\nassume = true\ngather_seconds = 1\n";
    provider.write(&agreement, &(text + bulk));
    let stand_in = StandIn::before(&stage.payers[0]);
    let taker = Arc::new(Taker::of(&stage.provider, &stage.payers[0]));
    taker.busy.store(halt == Some(WAITING), Ordering::Relaxed);
    stand_in.let_answer(Arc::clone(&taker) as _);
    stage.payers[0].serve();
    match halt {
        Some(point) => stage.provider.serve_with(&[("HANDOVER_HALT_AFTER", point)]),
        None => stage.provider.serve(),
    }
    (stage, stand_in, taker)
}

/// Pushes some encounters by a bulk submission to the end; what the payer has then.
fn lived(halt: Option<&str>) -> BTreeSet<String> {
    let case = halt.unwrap_or("undisturbed");
    let (mut stage, _stand_in, taker) = set(halt);
    let encounters = stage.finished();
    let pushed = &encounters[..3];
    stage.provider.queue(pushed);
    if halt.is_some() {
        stage.provider.process().wait_halted();
        stage.provider.kill();
        stage.provider.serve();
    }
    let end = Instant::now() + PATIENCE;
    loop {
        let rows = stage.provider.rows();
        let pushes: Vec<_> = rows.iter().filter(|row| row.kind == "push").collect();
        if pushes.len() == pushed.len() && pushes.iter().all(|row| row.state == "settled") {
            break;
        }
        assert!(pushes.iter().all(|row| row.state != "held"), "{case}: {rows:?}");
        assert!(Instant::now() < end, "{case}: {rows:?}");
        std::thread::yield_now();
    }
    stage.provider.stop();
    for row in stage.provider.works(WorkKind::Push) {
        let chain = exchange::Chain::Push(row.work.id.as_str().into());
        let story = RUNTIME.block_on(stage.provider.memory().story(&chain)).unwrap();
        let settled = story.iter().filter(|entry| entry.body.contains("\"event\":\"settled\""));
        assert_eq!(settled.count(), 1, "{case}: each push is settled once");
    }
    let said = stage.provider.run(&["ledger", "verify"]);
    assert_eq!(said.code, 0, "{case}: {}{}", said.stdout, said.stderr);
    let known = taker.known.lock().unwrap();
    let submissions = known.completed.len();
    assert_eq!(known.manifests.len(), submissions, "{case}: one manifest for each submission");
    // What says who sent a push is named by its number, which is given in the order of their walks.
    let (words, records): (Vec<_>, Vec<_>) =
        known.records.iter().cloned().partition(|name| name.starts_with("Provenance/"));
    assert_eq!(words.len(), pushed.len(), "{case}");
    records.into_iter().filter(|name| !name.starts_with("Parameters")).collect()
}

#[test]
fn a_house_that_is_ended_at_any_point_of_a_submission_goes_on_from_there() {
    let undisturbed = lived(None);
    assert!(undisturbed.len() > 20, "{}", undisturbed.len());
    for point in OF_A_SUBMISSION {
        let found = lived(Some(point));
        let differ: Vec<_> = found.symmetric_difference(&undisturbed).collect();
        assert!(differ.is_empty(), "ended after {point}: {differ:?}");
    }
}

/// A person pushes the histories of everybody on a list, and is told what became of them.
#[test]
fn a_roster_is_pushed_to_its_end() {
    let (stage, _stand_in, taker) = set(None);
    let patients: Vec<String> =
        stage.chart.of_kind("Patient").iter().take(3).map(|one| one.id.clone()).collect();
    let roster = stage.provider.folder.join("roster.csv");
    std::fs::write(&roster, patients.join("\n")).unwrap();
    let roster = roster.to_str().unwrap();
    let words = ["push", "history", "--roster", roster, "--async", "--why", "a new contract"];
    let (code, told) = stage.provider.json(&words);
    assert_eq!((code, &told["patients"]), (0, &serde_json::json!(3)), "{told}");
    assert_eq!(told["pushes"], serde_json::json!({ "settled": 3 }), "{told}");
    let (_, listed) = stage.provider.json(&["submission", "list"]);
    let rows = listed["rows"].as_array().unwrap();
    let pushes: u64 = rows.iter().map(|row| row["pushes"].as_u64().unwrap()).sum();
    assert_eq!(pushes, 3, "{listed}");
    assert_eq!(taker.known.lock().unwrap().completed.len(), rows.len());
    let id = rows[0]["id"].as_str().unwrap();
    let shown = stage.provider.run(&["submission", "show", id]).stdout;
    assert!(shown.contains("the payer was told of manifest 1"), "{shown}");
    assert!(shown.contains("the payer fetches"), "{shown}");
    let said = stage.provider.run(&["submission", "stop", id, "--why", "too late"]);
    assert!(said.stderr.contains("not-waiting"), "{}", said.stderr);
    for patient in &patients {
        assert!(!shown.contains(patient.as_str()), "no patient in the story of a submission");
    }
    let with_strangers = format!("{}\nnobody-here\nurn:oid:1.2.3|000\n", patients[0]);
    stage.provider.write("roster.csv", &with_strangers);
    let (code, told) = stage.provider.json(&words);
    assert_eq!(code, 1, "two wait for a person: {told}");
    assert_eq!(told["pushes"], serde_json::json!({ "unchanged": 1, "held": 1 }), "{told}");
    let place = told["issues"][0]["expression"].as_str().unwrap();
    assert!(place.ends_with("roster.csv:3"), "{told}");
    assert_eq!(told["issues"].as_array().unwrap().len(), 1, "{told}");
    let at_once = [&words[..], &["--no-wait"]].concat();
    let (code, told) = stage.provider.json(&at_once);
    assert_eq!((code, &told["patients"]), (1, &serde_json::json!(2)), "{told}");
    stage.provider.write("roster.csv", "one line | of | nobody\n");
    let said = stage.provider.run(&words);
    assert!(said.stderr.contains("roster-invalid"), "{}", said.stderr);
}
