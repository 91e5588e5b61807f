//! Submitted: a receiving house in a process of its own that is given the files by `$bulk-submit`.
//!
//! Comes in   two houses that know each other, the manifest's URL, how many resources there are.
//! Goes out   when how many of them were on the disk and found by a search; CPU time and peak memory of
//!            the house.
//! Never      counts what the house says and its store does not hold; lets the house have a store that
//!            was used before.

use crate::gauge;
use crate::house::{Database, House, Scheme, Town, runtime};
use bytes::Bytes;
use http::{Method, Request, Response};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wire::{HttpTransport, Transport};

/// How often it is looked how far the house is.
const LOOK: Duration = Duration::from_millis(20);

/// A house that has filed nothing for so long will not.
const STANDS_STILL: Duration = Duration::from_secs(30);

/// A little more than a house asks those who poll to wait.
const POLL: Duration = Duration::from_secs(3);

/// What a run did.
pub(crate) struct Done {
    /// When so many resources were on the disk, as often as it was looked.
    pub(crate) looks: Vec<(Duration, u64)>,
    pub(crate) cpu: Duration,
    pub(crate) peak_mb: f64,
}

/// All of it: asked, filed to the last resource, polled to the last word.
pub(crate) fn run(town: &Town, origin: &str, manifest: &str, resources: u64) -> Done {
    let mut house = town.house(Scheme::Https, Database::Sqlite);
    agree(&house.folder(), origin);
    house.serve();
    let db = open(&house.folder().join("store"));
    gauge::forget_peak(house.pid());
    let (begun, cpu) = (Instant::now(), house.cpu());
    ask(&house, "$bulk-submit", &request(Some((manifest, origin))));
    let (mut looks, mut went_on) = (Vec::new(), (begun, 0));
    loop {
        let filed = filed(&db);
        looks.push((begun.elapsed(), filed));
        if filed >= resources {
            break;
        }
        if filed > went_on.1 {
            went_on = (Instant::now(), filed);
        }
        if went_on.0.elapsed() > STANDS_STILL {
            panic!("{filed} of {resources} are filed, and then: {}", last_word(&house));
        }
        std::thread::sleep(LOOK);
    }
    let done = Done { looks, cpu: house.cpu() - cpu, peak_mb: gauge::peak_mb(house.pid()) };
    let told = last_word(&house);
    house.stop();
    assert_eq!(house.versions(), resources, "{told}");
    done
}

/// The house fetches from this origin.
fn agree(folder: &Path, origin: &str) {
    let file = folder.join("partners/hospital.json");
    let public = fs::read_to_string(&file).expect("a public file");
    let mut public: Value = serde_json::from_str(&public).expect("a public file");
    public["file_servers"] = json!([origin]);
    fs::write(file, public.to_string()).expect("a public file");
}

/// The store, beside the house that writes it.
fn open(folder: &Path) -> Connection {
    let files = fs::read_dir(folder).expect("a store").flatten().map(|entry| entry.path());
    let is_database = |path: &PathBuf| path.extension().is_some_and(|end| end == "sqlite");
    let file = files.into_iter().find(is_database).expect("a database");
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a database")
}

/// Versions on the disk: each resource has one.
fn filed(db: &Connection) -> u64 {
    let select = "SELECT coalesce(max(rowid), 0) FROM versions";
    db.query_row(select, [], |row| row.get::<_, i64>(0)).expect("a count").unsigned_abs()
}

/// A request of the ballot's: with a manifest, after which nothing comes; or of the status.
fn request(manifest: Option<(&str, &str)>) -> Value {
    let submitter = json!({ "system": "https://plan.example/submitters", "value": "hospital" });
    let mut parameter = vec![
        json!({ "name": "submitter", "valueIdentifier": submitter }),
        json!({ "name": "submissionId", "valueString": "bench" }),
    ];
    if let Some((url, base)) = manifest {
        let coding = json!({ "system": "http://hl7.org/fhir/event-status", "code": "completed" });
        parameter.extend([
            json!({ "name": "submissionStatus", "valueCoding": coding }),
            json!({ "name": "manifestUrl", "valueUrl": url }),
            json!({ "name": "fhirBaseUrl", "valueUrl": format!("{base}/fhir") }),
        ]);
    }
    json!({ "resourceType": "Parameters", "parameter": parameter })
}

fn ask(house: &House<'_>, operation: &str, body: &Value) -> Response<Bytes> {
    let url = format!("{}/{operation}", house.base_url());
    let answer = send(house, Method::POST, &url, body.to_string().into());
    assert!(answer.status().is_success(), "{operation}: {answer:?}");
    answer
}

/// Polls until all has been worked on; the manifest.
fn last_word(house: &House<'_>) -> String {
    let answer = ask(house, "$bulk-submit-status", &request(None));
    let place = answer.headers()["content-location"].to_str().expect("a place").to_owned();
    loop {
        let answer = send(house, Method::GET, &place, Bytes::new());
        match answer.status().as_u16() {
            200 => return String::from_utf8_lossy(answer.body()).into_owned(),
            202 | 429 => std::thread::sleep(POLL),
            _ => panic!("{answer:?}"),
        }
    }
}

fn send(house: &House<'_>, method: Method, url: &str, body: Bytes) -> Response<Bytes> {
    let roots = [house.authority().into_bytes()];
    let transport = HttpTransport::new(&roots, Duration::from_secs(30), 1 << 24).expect("a client");
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("authorization", format!("Bearer {}", house.token_for("system/bulk-submit")))
        .header("content-type", "application/fhir+json")
        .body(body)
        .expect("a request");
    runtime().block_on(transport.send(request)).expect("an answer")
}
