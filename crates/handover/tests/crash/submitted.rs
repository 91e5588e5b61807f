//! What a sender submits in bulk is filed once, line by line, though the house is ended meanwhile.

use crate::common::{House, RUNTIME};
use crate::door::Door;
use crate::sender::{FHIR_JSON, Sender};
use axum::Router;
use axum::extract::Request;
use bytes::Bytes;
use exchange::id::derived_id;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the receiving house is ended: the last one where a submission is stopped.
pub(crate) const OF_A_RECEIPT: [&str; 6] =
    ["bulk-received", "bulk-listed", "bulk-batch", "bulk-fetched", "bulk-told", "bulk-taken-out"];

/// Lines of the larger file: two batches.
const MANY: usize = 1_200;

/// A file server of the sender's.
struct Files {
    url: String,
    there: Arc<Mutex<BTreeMap<String, Bytes>>>,
}

impl Files {
    fn serve() -> Files {
        let there: Arc<Mutex<BTreeMap<String, Bytes>>> = Arc::default();
        let known = Arc::clone(&there);
        let listener = RUNTIME.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(move |request: Request| {
            let found = known.lock().unwrap().get(request.uri().path()).cloned();
            let kind = match request.uri().path().ends_with(".json") {
                true => "application/json",
                false => "application/fhir+ndjson",
            };
            async move { ([("content-type", kind)], found.unwrap_or_default()) }
        });
        RUNTIME.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Files { url, there }
    }

    fn put(&self, path: &str, content: String) {
        self.there.lock().unwrap().insert(path.to_owned(), content.into());
    }
}

/// Puts a manifest of a Patient, its Coverage and many Encounters there; its URL.
fn manifest(door: &Door, files: &Files, name: &str) -> String {
    let bundle = door.bundle(1);
    let resource = |at: usize| format!("{}\n", bundle["entry"][at]["resource"]);
    files.put(&format!("/{name}/p.ndjson"), resource(0));
    files.put(&format!("/{name}/c.ndjson"), resource(1));
    let encounter = |number: usize| {
        let source = format!("{name}-{number}");
        let content = json!({
            "status": "finished",
            "class": { "code": "AMB" },
            "subject": door.sender.reference("Patient", "p1"),
        });
        format!("{}\n", door.sender.put("Encounter", &source, content)["resource"])
    };
    files.put(&format!("/{name}/e.ndjson"), (0..MANY).map(encounter).collect());
    let file = |kind: &str, path: &str| json!({ "type": kind, "url": path });
    let output =
        [file("Encounter", "e.ndjson"), file("Patient", "p.ndjson"), file("Coverage", "c.ndjson")];
    let manifest = json!({
        "transactionTime": "2026-01-02T00:00:00Z",
        "requiresAccessToken": false,
        "output": output,
    });
    files.put(&format!("/{name}/manifest.json"), manifest.to_string());
    format!("{}/{name}/manifest.json", files.url)
}

fn parameters(name: &str, manifest: Option<&str>, status: Option<&str>) -> Bytes {
    let mut parameter = vec![
        json!({ "name": "submitter", "valueIdentifier": { "value": "hospital" } }),
        json!({ "name": "submissionId", "valueString": name }),
    ];
    if let Some(code) = status {
        let coding = json!({ "system": "http://hl7.org/fhir/event-status", "code": code });
        parameter.push(json!({ "name": "submissionStatus", "valueCoding": coding }));
    }
    if let Some(url) = manifest {
        parameter.push(json!({ "name": "manifestUrl", "valueUrl": url }));
        parameter
            .push(json!({ "name": "fhirBaseUrl", "valueUrl": "https://hospital.example/fhir" }));
    }
    json!({ "resourceType": "Parameters", "parameter": parameter }).to_string().into()
}

fn post(sender: &Sender, token: &str, operation: &str, body: Bytes) -> http::Request<Bytes> {
    let request = sender.request("POST", operation, token).header("content-type", FHIR_JSON);
    request.body(body).unwrap()
}

/// The status of a submission once it is no longer 202: its number and its body.
fn settled(sender: &Sender, token: &str, name: &str) -> (u16, Value) {
    let told =
        sender.send(post(sender, token, "$bulk-submit-status", parameters(name, None, None)));
    assert_eq!(told.status, 202, "{told:?}");
    let place = told.headers["content-location"].to_str().unwrap().to_owned();
    let path = place.strip_prefix(&sender.base_url).unwrap().trim_start_matches('/').to_owned();
    let end = Instant::now() + PATIENCE;
    loop {
        let told = sender.get(token, &path);
        match told.status {
            202 | 429 => assert!(Instant::now() < end, "waited for {name} in vain"),
            status => return (status, told.json()),
        }
        let seconds = told.headers["retry-after"].to_str().unwrap().parse().unwrap();
        std::thread::park_timeout(Duration::from_secs(seconds));
    }
}

/// Sends a request to a house that stops at a point, and ends the house there.
fn killed_at(payer: &mut House, sender: &Sender, point: &str, requests: Vec<http::Request<Bytes>>) {
    payer.stop();
    payer.serve_with(&[("HANDOVER_HALT_AFTER", point)]);
    std::thread::scope(|scope| {
        let asked = scope.spawn(move || {
            for request in requests {
                // Whoever asks a house that is ended has no answer.
                RUNTIME.block_on(sender.attempt(request)).ok();
            }
        });
        payer.process().wait_halted();
        payer.kill();
        asked.join().unwrap();
    });
    payer.serve();
}

#[test]
fn a_submission_that_a_house_was_ended_in_goes_on_when_it_is_started_again() {
    let mut door = Door::open();
    let files = Files::serve();
    let known = format!("partners/{}.json", door.sender.name);
    let payer = &mut door.stage.payers[0];
    payer.stop();
    let mut public: Value = serde_json::from_str(&payer.read(&known)).unwrap();
    public["file_servers"] = json!([files.url]);
    payer.write(&known, &public.to_string());
    payer.serve();
    let token = door.sender.token("system/bulk-submit").unwrap();

    let (last, points) = OF_A_RECEIPT.split_last().unwrap();
    for point in points {
        let url = manifest(&door, &files, point);
        let body = parameters(point, Some(&url), Some("completed"));
        let request = || post(&door.sender, &token, "$bulk-submit", body.clone());
        let asked = vec![request()];
        killed_at(&mut door.stage.payers[0], &door.sender, point, asked);
        let again = door.sender.send(request());
        assert_eq!(again.status, 200, "{point}: the same request is answered the same");
        let (status, manifest) = settled(&door.sender, &token, point);
        assert_eq!(status, 200, "{point}: {manifest}");
        let place = manifest["outcome"][0]["url"].as_str().unwrap();
        let path = place.strip_prefix(&door.sender.base_url).unwrap().trim_start_matches('/');
        let told = String::from_utf8(door.sender.get(&token, path).body.to_vec()).unwrap();
        let read = format!("{} resources read", MANY + 2);
        assert!(told.contains(&read) && told.contains(" 0 refused"), "{point}: {told}");
    }
    let dump = door.payer().dump();
    assert_eq!(dump.len(), points.len() * MANY + 2, "each line once");
    assert!(dump.iter().all(|line| line.2 == 1), "no record has two versions");

    let point = last;
    let url = manifest(&door, &files, point);
    let submit = |body: Bytes| post(&door.sender, &token, "$bulk-submit", body);
    let requests = vec![
        submit(parameters(point, Some(&url), None)),
        submit(parameters(point, None, Some("stopped"))),
    ];
    killed_at(&mut door.stage.payers[0], &door.sender, point, requests);
    let (status, _) = settled(&door.sender, &token, point);
    assert_eq!(status, 409, "nothing of it stands");
    let reads = door.sender.token("system/*.rs").unwrap();
    let id = derived_id(&door.sender.namespace, "Encounter", &format!("{point}-0"));
    let gone = door.sender.get(&reads, &format!("Encounter/{id}")).status;
    assert!(matches!(gone, 404 | 410), "{gone}");
    let id = derived_id(&door.sender.namespace, "Encounter", "bulk-received-0");
    assert_eq!(door.sender.get(&reads, &format!("Encounter/{id}")).status, 200);
    let verified = door.payer().run(&["ledger", "verify"]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
}
