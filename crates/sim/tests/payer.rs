//! Goal: each foreign payer does what its statement says and nothing else, fails at the requests
//! that are planned, and tells what arrived.
//!
//! How: requests written by hand over one connection each, and read to its end.

#![allow(clippy::unwrap_used)]

use jiff::Timestamp;
use serde_json::{Value, json};
use sim::payer::{
    ACCEPTS, Abilities, FAULTS, Fault, ForeignPayer, Habit, Offer, PayerPlan, Planned, Profile,
    Schedule, Traffic,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::{Clock, HttpTransport, Transport, TransportError};

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        "2026-01-03T12:00:00Z".parse().unwrap()
    }
}

async fn start(abilities: Abilities, schedule: &[Planned]) -> ForeignPayer {
    let plan = PayerPlan {
        abilities,
        schedule: Schedule(schedule.to_vec()),
        sign_in: None,
        tls: None,
        clock: Arc::new(Noon),
    };
    ForeignPayer::start(plan, TcpListener::bind("127.0.0.1:0").await.unwrap()).unwrap()
}

async fn open(profile: Profile) -> ForeignPayer {
    start(profile.abilities(), &[]).await
}

/// An answer: status, head, body.
struct Told {
    status: u16,
    head: String,
    text: String,
}

impl Told {
    fn read(bytes: &[u8]) -> Told {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        Told { status, head: head.to_owned(), text: body.to_owned() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        let of = |line: &'_ str| line.to_lowercase().starts_with(&format!("{name}: "));
        let line = self.head.lines().find(|line| of(line)).unwrap_or_default();
        line.split_once(": ").map_or("", |(_, value)| value)
    }
}

/// One request over a connection of its own; everything that comes until it ends.
async fn send(payer: &ForeignPayer, line: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let base = payer.base_url().strip_prefix("http://").unwrap();
    let (host, path) = base.split_once('/').unwrap();
    let (method, below) = line.split_once(' ').unwrap();
    let below = below.trim_start_matches('/');
    let mut head = format!("{method} /{path}/{below} HTTP/1.1\r\nHost: {host}\r\n");
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    let length = body.len();
    head.push_str(&format!("Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"));
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut ends in an error or in nothing: both are no answer.
    stream.read_to_end(&mut answer).await.ok();
    answer
}

const JSON: &str = "Content-Type: application/fhir+json";

async fn ask(payer: &ForeignPayer, line: &str, body: &Value) -> Told {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Told::read(&send(payer, line, &[JSON], &body).await)
}

fn patient(id: Option<&str>, value: &str) -> Value {
    let identifier = json!([{ "system": "urn:ids", "value": value }]);
    let mut patient = json!({ "resourceType": "Patient", "identifier": identifier });
    if let Some(id) = id {
        patient["id"] = json!(id);
    }
    patient
}

fn weight(id: Option<&str>, subject: &str) -> Value {
    let mut weight = json!({
        "resourceType": "Observation", "status": "final", "code": { "text": "weight" },
        "subject": { "reference": subject }, "valueQuantity": { "value": 70, "unit": "kg" },
    });
    if let Some(id) = id {
        weight["id"] = json!(id);
    }
    weight
}

fn bundle(kind: &str, entries: &[(&str, &str, Value)]) -> Value {
    let entries = entries.iter().map(|(full_url, request, resource)| {
        let (method, url) = request.split_once(' ').unwrap();
        let mut entry = json!({ "request": { "method": method, "url": url } });
        if !full_url.is_empty() {
            entry["fullUrl"] = json!(full_url);
        }
        if !resource.is_null() {
            entry["resource"] = resource.clone();
        }
        entry
    });
    let entries: Vec<Value> = entries.collect();
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries })
}

/// A write, and whether the first attempt at it is carried out, as the statement says.
fn probes() -> Vec<(Offer, &'static str, Vec<&'static str>, Value)> {
    let transaction = bundle("transaction", &[("", "PUT Patient/t1", patient(Some("t1"), "t"))]);
    let given = bundle("transaction", &[("", "POST Patient", patient(None, "g"))]);
    let batch = bundle("batch", &[("", "POST Patient", patient(None, "b"))]);
    let collection = json!({ "resourceType": "Bundle", "type": "collection", "entry": [] });
    vec![
        (Offer::Transaction, "POST /", vec![], given),
        (Offer::UpdateCreate, "POST /", vec![], transaction),
        (Offer::Batch, "POST /", vec![], batch),
        (Offer::Collection, "POST /Bundle", vec![], collection),
        (Offer::Create, "POST /Patient", vec![], patient(None, "c")),
        (Offer::UpdateCreate, "PUT /Patient/u1", vec![], patient(Some("u1"), "u")),
        (
            Offer::ConditionalCreate,
            "POST /Patient",
            vec!["If-None-Exist: identifier=urn:ids|cc"],
            patient(None, "cc"),
        ),
        (
            Offer::ConditionalUpdate,
            "PUT /Patient?identifier=urn:ids|cu",
            vec![],
            patient(None, "cu"),
        ),
        (Offer::Search, "GET /Patient?identifier=urn:ids|c", vec![], Value::Null),
    ]
}

/// What a statement says of an offer.
fn says(statement: &Value, offer: Offer) -> bool {
    let rest = &statement["rest"][0];
    let code = |list: &Value, code: &str| {
        list["interaction"].as_array().unwrap().iter().any(|it| it["code"] == code)
    };
    let of = |kind: &str| {
        let all = rest["resource"].as_array().unwrap();
        all.iter().find(|it| it["type"] == kind).cloned().unwrap_or(json!({ "interaction": [] }))
    };
    match offer {
        Offer::Transaction => code(rest, "transaction"),
        Offer::Batch => code(rest, "batch"),
        Offer::Collection => code(&of("Bundle"), "create"),
        Offer::Create => code(&of("Patient"), "create"),
        Offer::UpdateCreate => of("Patient")["updateCreate"] == true,
        Offer::ConditionalCreate => of("Patient")["conditionalCreate"] == true,
        Offer::ConditionalUpdate => of("Patient")["conditionalUpdate"] == true,
        Offer::Search => code(&of("Patient"), "search-type"),
        other => panic!("{other:?} is not probed"),
    }
}

#[tokio::test]
async fn each_profile_does_what_its_statement_says_and_no_more() {
    for profile in Profile::ALL {
        let name = profile.name();
        assert_eq!(Profile::named(name), Some(profile));
        let mut abilities = profile.abilities();
        abilities.habits.remove(&Habit::SilentFirst);
        let payer = start(abilities, &[]).await;
        let statement = ask(&payer, "GET /metadata", &Value::Null).await;
        assert_eq!((statement.status, &statement.json()["fhirVersion"]), (200, &json!("4.0.1")));
        let statement = statement.json();
        assert_eq!(ask(&payer, "GET /$versions", &Value::Null).await.status, 404, "{name}");
        for (offer, line, headers, body) in probes() {
            let said = says(&statement, offer)
                // A PUT inside a transaction needs the transaction as well.
                && (line != "POST /" || offer != Offer::UpdateCreate
                    || says(&statement, Offer::Transaction));
            let headers = [vec![JSON], headers].concat();
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let told = Told::read(&send(&payer, line, &headers, &body).await);
            let done = match offer {
                Offer::Batch if told.status == 200 => {
                    told.json()["entry"][0]["response"]["status"] == "201 Created"
                }
                _ => (200..300).contains(&told.status),
            };
            // This one takes a condition for no condition.
            let overlooked = profile == Profile::PostOnly && offer == Offer::ConditionalCreate;
            assert_eq!(done, said || overlooked, "{name}: {offer:?} {line}: {}", told.text);
            if !done {
                assert_eq!(told.json()["resourceType"], "OperationOutcome", "{name} {line}");
            }
        }
    }
}

#[tokio::test]
async fn every_put_is_a_version_and_every_version_can_be_read() {
    let payer = open(Profile::SingleOnly).await;
    let one = patient(Some("p"), "1");
    let first = ask(&payer, "PUT /Patient/p", &one).await;
    assert_eq!((first.status, first.header("etag")), (201, "W/\"1\""));
    assert_eq!(first.header("last-modified"), "Sat, 03 Jan 2026 12:00:00 GMT");
    assert!(first.header("location").ends_with("/r4/Patient/p/_history/1"), "{}", first.head);
    let second = ask(&payer, "PUT /Patient/p", &one).await;
    assert_eq!((second.status, second.header("etag")), (200, "W/\"2\""));
    assert_eq!(payer.arrived().idle, ["Patient/p/_history/2"]);

    let (headers, text) = ([JSON, "If-Match: W/\"1\""], one.to_string());
    let stale = send(&payer, "PUT /Patient/p", &headers, &text).await;
    assert_eq!(Told::read(&stale).status, 412);
    let other = ask(&payer, "PUT /Patient/q", &one).await;
    assert_eq!((other.status, &other.json()["issue"][0]["code"]), (400, &json!("invalid")));

    assert_eq!(ask(&payer, "DELETE /Patient/p", &Value::Null).await.status, 204);
    let table = [
        ("GET /Patient/p", 410),
        ("GET /Patient/p/_history/1", 200),
        ("GET /Patient/p/_history/3", 410),
        ("GET /Patient/p/_history/4", 404),
        ("GET /Patient/never", 404),
        ("GET /Nonsense/p", 404),
        ("PATCH /Patient/p", 405),
        ("PUT /Patient", 405),
    ];
    for (line, status) in table {
        assert_eq!(ask(&payer, line, &Value::Null).await.status, status, "{line}");
    }
    let history = ask(&payer, "GET /Patient/p/_history", &Value::Null).await.json();
    assert_eq!(history["total"], 3);
    assert_eq!(history["entry"][0]["request"]["method"], "DELETE");
}

#[tokio::test]
async fn what_is_searched_is_found_page_by_page() {
    let payer = open(Profile::SingleOnly).await;
    for number in 0..45 {
        let id = format!("p{number:02}");
        ask(&payer, &format!("PUT /Patient/{id}"), &patient(Some(&id), &id)).await;
    }
    ask(&payer, "PUT /Observation/o", &weight(Some("o"), "Patient/p07")).await;
    let table = [
        ("Patient?_id=p01,p02,nobody", 2),
        ("Patient?identifier=urn:ids|p03", 1),
        ("Patient?identifier=p03", 1),
        ("Patient?identifier=urn:others|p03", 0),
        ("Patient?identifier=https://a.example/ids|p03", 0),
        ("Patient?identifier=https://a.example/ids%7Cp03,urn:ids|p04", 1),
        ("Observation?patient=p07", 1),
        ("Observation?patient=Patient/p07&_id=o", 1),
        ("Observation?patient=p08", 0),
        ("Patient?unheard-of=x", 45),
    ];
    for (query, count) in table {
        let found = ask(&payer, &format!("GET /{query}"), &Value::Null).await.json();
        assert_eq!(found["total"], count, "{query}");
    }
    let (mut line, mut seen) = ("GET /Patient?_count=20".to_owned(), 0);
    loop {
        let page = ask(&payer, &line, &Value::Null).await.json();
        seen += page["entry"].as_array().unwrap().len();
        let links = page["link"].as_array().unwrap();
        let Some(next) = links.iter().find(|link| link["relation"] == "next") else { break };
        let next = next["url"].as_str().unwrap().strip_prefix(payer.base_url()).unwrap();
        line = format!("GET {next}");
    }
    assert_eq!(seen, 45);
    let form = "Content-Type: application/x-www-form-urlencoded";
    let found = send(&payer, "POST /Patient/_search", &[form], "_id=p01").await;
    assert_eq!(Told::read(&found).json()["total"], 1);
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing_and_its_links_are_those_of_the_server() {
    let payer = open(Profile::PutRefused).await;
    let good = bundle(
        "transaction",
        &[
            ("urn:uuid:o", "POST Observation", weight(None, "urn:uuid:p")),
            ("urn:uuid:p", "POST Patient", patient(None, "1")),
            (
                "https://a.example/Observation/x",
                "POST Observation",
                weight(None, "Patient?identifier=urn:ids|1"),
            ),
            ("", "PUT Patient?identifier=https://a.example/ids|2", patient(None, "2")),
        ],
    );
    let told = ask(&payer, "POST /", &good).await;
    assert_eq!(told.status, 200, "{}", told.text);
    let answer = told.json();
    let place = |entry: usize| answer["entry"][entry]["response"]["location"].as_str().unwrap();
    assert!(place(1).starts_with("Patient/f"), "{answer}");
    let arrived = payer.arrived();
    let patient_name = place(1).trim_end_matches("/_history/1");
    for entry in [0, 2] {
        let name = place(entry).trim_end_matches("/_history/1");
        let reference = &arrived.current()[name]["subject"]["reference"];
        assert_eq!(reference, patient_name, "{entry}");
    }
    assert!(arrived.dangling.is_empty());

    let faulty: [(&str, Value); 5] = [
        ("PUT Patient/mine", patient(Some("mine"), "2")),
        ("POST Observation", weight(None, "Patient/nobody")),
        ("POST Observation", weight(None, "urn:uuid:nobody")),
        ("POST Patient?identifier=x", patient(None, "2")),
        ("POST Observation", patient(None, "2")),
    ];
    for (request, resource) in faulty {
        let sent =
            [("urn:uuid:1", "POST Patient", patient(None, "9")), ("", request, resource.clone())];
        let told = ask(&payer, "POST /", &bundle("transaction", &sent)).await;
        assert!((400..500).contains(&told.status), "{request}: {}", told.text);
        assert!(told.text.contains("Bundle.entry[1]"), "{request}: {}", told.text);
        assert_eq!(payer.arrived().records, arrived.records, "{request}: nothing was kept");
    }
}

#[tokio::test]
async fn relative_references_follow_the_entry_that_was_given_another_id() {
    let payer = open(Profile::PutRefused).await;
    let sent = bundle(
        "transaction",
        &[
            ("https://a.example/Patient/p", "POST Patient", patient(Some("p"), "1")),
            ("https://a.example/Observation/o", "POST Observation", weight(None, "Patient/p")),
        ],
    );
    let told = ask(&payer, "POST /", &sent).await;
    assert_eq!(told.status, 200, "{}", told.text);
    assert!(payer.arrived().dangling.is_empty());
}

#[tokio::test]
async fn conditions_find_what_is_there() {
    let payer = open(Profile::PutRefused).await;
    let condition = "If-None-Exist: identifier=urn:ids|1";
    let body = patient(None, "1").to_string();
    let mut places = Vec::new();
    for status in [201, 200] {
        let told = send(&payer, "POST /Patient", &[JSON, condition], &body).await;
        let told = Told::read(&told);
        assert_eq!(told.status, status);
        places.push(told.header("location").to_owned());
    }
    assert_eq!(places[0], places[1]);
    let told = ask(&payer, "PUT /Patient?identifier=urn:ids|1", &patient(None, "1")).await;
    assert_eq!((told.status, told.header("etag")), (200, "W/\"2\""));
    ask(&payer, "POST /Patient", &patient(None, "1")).await;
    let told = ask(&payer, "PUT /Patient?identifier=urn:ids|1", &patient(None, "1")).await;
    assert_eq!((told.status, &told.json()["issue"][0]["code"]), (412, &json!("multiple-matches")));
    assert_eq!(payer.arrived().twins.len(), 1, "the same stands under two ids");
}

#[tokio::test]
async fn a_batch_is_answered_entry_by_entry() {
    let payer = open(Profile::BatchOnly).await;
    let sent = bundle(
        "batch",
        &[
            ("", "PUT Patient/p", patient(Some("p"), "1")),
            ("", "PUT Patient/q", patient(Some("other"), "2")),
            ("", "DELETE Patient/none", Value::Null),
            ("", "GET Patient/p", Value::Null),
        ],
    );
    let told = ask(&payer, "POST /", &sent).await.json();
    assert_eq!(told["type"], "batch-response");
    let status = |entry: usize| told["entry"][entry]["response"]["status"].as_str().unwrap();
    assert_eq!(
        [status(0), status(1), status(2), status(3)],
        ["201 Created", "400 Bad Request", "204 No Content", "400 Bad Request"]
    );
    assert_eq!(payer.arrived().records.len(), 1);
}

#[tokio::test]
async fn the_strict_one_goes_by_the_book() {
    let payer = open(Profile::Strict).await;
    let with = |name: &str, value: Value| {
        let mut patient = patient(Some("p"), "1");
        patient[name] = value;
        patient
    };
    let known = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race";
    let part = json!([{ "url": known, "extension": [{ "url": "text", "valueString": "x" }] }]);
    let table = [
        ("a plain one", patient(Some("p"), "1"), 201),
        ("its source named", with("meta", json!({ "source": "urn:a" })), 200),
        ("an extension of HL7", with("extension", part), 200),
        ("an unknown element", with("shoeSize", json!(43)), 422),
        ("an unknown element inside", with("name", json!([{ "nick": "x" }])), 422),
        (
            "an extension of somebody",
            with("extension", json!([{ "url": "http://a.example/x", "valueBoolean": true }])),
            422,
        ),
        ("a modifier extension", with("modifierExtension", json!([{ "url": known }])), 422),
        ("contained", with("contained", json!([{ "resourceType": "Group", "size": 1 }])), 422),
    ];
    for (case, body, status) in table {
        let told = ask(&payer, "PUT /Patient/p", &body).await;
        assert_eq!(told.status, status, "{case}: {}", told.text);
        assert_eq!(told.text.is_empty(), status < 300, "{case}: no body without a preference");
    }
    let body = patient(Some("h"), "1").to_string();
    let table = [
        (vec!["Content-Type: text/json"], 415),
        (vec!["Content-Type: application/fhir+json; fhirVersion=5.0"], 415),
        (vec![JSON, "Prefer: return=everything"], 400),
        (vec![JSON, "Accept: text/html"], 406),
        (vec!["Content-Type: application/fhir+json; fhirVersion=4.0"], 201),
        (vec![JSON, "Prefer: return=representation"], 200),
        (vec![JSON, "Accept: application/fhir+json; fhirVersion=4.0, application/json;q=0.9"], 200),
    ];
    for (headers, status) in table {
        let told = Told::read(&send(&payer, "PUT /Patient/h", &headers, &body).await);
        assert_eq!(told.status, status, "{headers:?}: {}", told.text);
    }
}

#[tokio::test]
async fn habits_and_bounds_can_be_added_to_any_profile() {
    let mut abilities = Profile::Silent.abilities();
    abilities.habits = [Habit::NoBundleIdentifier, Habit::NoMetaSource].into();
    (abilities.entries_max, abilities.bytes_max) = (Some(2), Some(600));
    let payer = start(abilities, &[]).await;
    let mut named = bundle("transaction", &[]);
    named["identifier"] = json!({ "value": "x" });
    let mut sourced = patient(None, "1");
    sourced["meta"] = json!({ "source": "urn:a" });
    let one = ("", "POST Patient", patient(None, "1"));
    let many = [one.clone(), one.clone(), one.clone()];
    let long = json!({ "resourceType": "Patient", "language": "x".repeat(600) });
    let table = [
        ("POST /", named, 422),
        ("POST /", bundle("transaction", &[("", "POST Patient", sourced)]), 422),
        ("POST /", bundle("transaction", &many), 413),
        ("POST /Patient", long, 413),
        ("POST /", bundle("transaction", &many[..2]), 200),
    ];
    for (line, body, status) in table {
        let told = ask(&payer, line, &body).await;
        assert_eq!(told.status, status, "{line} {}", told.text);
    }
}

#[tokio::test]
async fn the_silent_one_stores_at_once_and_answers_the_second_time() {
    let payer = open(Profile::Silent).await;
    for (answered, versions) in [(false, 1), (true, 2)] {
        let told = ask(&payer, "PUT /Patient/p", &patient(Some("p"), "1")).await;
        assert_eq!(told.status == 200, answered);
        assert_eq!(payer.arrived().records["Patient/p"].len(), versions);
    }
    let faults: Vec<_> = payer.arrived().requests.iter().map(|it| it.fault).collect();
    assert_eq!(faults, [Some(Fault::CutAfterBody), None]);
}

/// What a client with little patience makes of an answer.
#[derive(Debug, PartialEq)]
enum Seen {
    Answer(u16, bool),
    Nothing,
}

#[tokio::test]
async fn faults_come_at_the_requests_that_are_planned() {
    let patience = Duration::from_millis(700);
    let transport = HttpTransport::new(&[], patience, 1 << 20).unwrap();
    let put = async |payer: &ForeignPayer, id: &str| {
        let request = http::Request::put(format!("{}/Patient/{id}", payer.base_url()))
            .header("Content-Type", "application/fhir+json")
            .body(patient(Some(id), id).to_string().into())
            .unwrap();
        match transport.send(request).await {
            Ok(answer) => {
                let read: Result<Value, _> = serde_json::from_slice(answer.body());
                let right = read.is_ok_and(|it| it["id"] == id);
                Seen::Answer(answer.status().as_u16(), right)
            }
            Err(TransportError::Unknown(_)) => Seen::Nothing,
            Err(other) => panic!("{other:?}"),
        }
    };
    for fault in FAULTS.into_iter().chain(ACCEPTS) {
        let planned = [Planned::at(Traffic::Write, 2, fault)];
        let payer = start(Profile::SingleOnly.abilities(), &planned).await;
        assert_eq!(put(&payer, "a").await, Seen::Answer(201, true), "{fault}");
        let seen = put(&payer, "b").await;
        let expected = match fault {
            Fault::ServerError | Fault::ServerErrorStored => Seen::Answer(500, false),
            Fault::TooManyRequests(_) => Seen::Answer(429, false),
            Fault::Html | Fault::BrokenJson | Fault::WrongJson => Seen::Answer(200, false),
            Fault::AnsweredBefore => Seen::Answer(201, false),
            Fault::Accepted | Fault::AcceptedUnstored => Seen::Answer(202, false),
            Fault::AnsweredTwice | Fault::Slow => Seen::Answer(201, true),
            Fault::Hang
            | Fault::HangStored
            | Fault::CutBeforeBody
            | Fault::CutAfterBody
            | Fault::Drip => Seen::Nothing,
        };
        assert_eq!(seen, expected, "{fault}");
        let arrived = payer.arrived();
        assert_eq!(arrived.records.contains_key("Patient/b"), fault.stores(), "{fault}");
        assert_eq!(arrived.requests[1].fault, Some(fault));
        assert_eq!(arrived.requests[1].status.is_some(), fault.stores(), "{fault}");
        assert_eq!(
            put(&payer, "c").await,
            Seen::Answer(201, true),
            "{fault}: the next is in order"
        );
        assert_eq!(payer.arrived().count(Traffic::Write), 3, "{fault}");
    }
}

#[tokio::test]
async fn an_answer_comes_twice_over_one_connection() {
    let planned = [Planned::at(Traffic::Write, 1, Fault::AnsweredTwice)];
    let payer = start(Profile::SingleOnly.abilities(), &planned).await;
    let body = patient(Some("p"), "1").to_string();
    let told = send(&payer, "PUT /Patient/p", &[JSON], &body).await;
    let told = String::from_utf8(told).unwrap();
    assert_eq!(told.matches("HTTP/1.1 201 Created").count(), 2, "{told}");
}

#[test]
fn a_schedule_is_read_as_people_write_it() {
    let good = [
        ("write:2=hang", Planned::at(Traffic::Write, 2, Fault::Hang)),
        ("statement:1-=server-error", Planned::from(Traffic::Statement, 1, Fault::ServerError)),
        ("read:1-3=html", Planned { traffic: Traffic::Read, from: 1, to: 3, fault: Fault::Html }),
        ("token:1=drip", Planned::at(Traffic::Token, 1, Fault::Drip)),
        (
            "write:1=too-many-requests/30",
            Planned::at(Traffic::Write, 1, Fault::TooManyRequests(30)),
        ),
    ];
    for (text, planned) in good {
        assert_eq!(text.parse(), Ok(planned), "{text}");
    }
    for fault in FAULTS.into_iter().chain(ACCEPTS) {
        assert_eq!(fault.name().parse(), Ok(fault));
    }
    let bad = [
        "",
        "write",
        "write:=hang",
        "write:0=hang",
        "write:1=rain",
        "all:1=hang",
        "write:1=hang/3",
        "write:x-2=hang",
    ];
    for text in bad {
        assert!(text.parse::<Planned>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn beyond_loopback_it_needs_tls_and_sign_in() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let plan = PayerPlan {
        abilities: Profile::Strict.abilities(),
        schedule: Schedule::default(),
        sign_in: None,
        tls: None,
        clock: Arc::new(Noon),
    };
    assert!(ForeignPayer::start(plan, listener).is_err());
}

#[tokio::test]
async fn bodies_in_chunks_and_hostile_heads_are_read_or_end_their_own_connection() {
    let payer = open(Profile::SingleOnly).await;
    let host = payer.base_url().strip_prefix("http://").unwrap().split_once('/').unwrap().0;
    let body = patient(None, "1").to_string();
    let (one, two) = body.split_at(20);
    let chunked = format!(
        "POST /r4/Patient HTTP/1.1\r\nContent-Type: application/fhir+json\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         {:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        one.len(),
        two.len()
    );
    let table: [(&str, &str, u16); 6] = [
        ("in chunks", &chunked, 201),
        ("no HTTP", "hello\r\n\r\n", 0),
        ("a length of words", "POST /r4/Patient HTTP/1.1\r\nContent-Length: ten\r\n\r\n", 0),
        (
            "a length without end",
            "POST /r4/Patient HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
            0,
        ),
        (
            "no JSON",
            "POST /r4/Patient HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{]",
            400,
        ),
        ("outside the base", "GET /else HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
    ];
    for (case, text, status) in table {
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        assert_eq!(Told::read(&answer).status, status, "{case}");
    }
}

#[tokio::test]
async fn with_tls_and_sign_in_only_who_has_a_token_is_served() {
    let (authority, authority_key) = wire::tls::make_authority("Invented authority").unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let (chain, server_key) =
        wire::tls::issue_server_certificate(&authority, &authority_key, &names).unwrap();
    let key = wire::SigningKey::generate().unwrap();
    let credential = wire::Credential {
        client_id: "gateway".into(),
        partner: "gateway".into(),
        jwks: key.jwks(),
        scopes: vec!["system/*.cruds".into()],
    };
    let plan = PayerPlan {
        abilities: Profile::PostOnly.abilities(),
        schedule: Schedule(vec![Planned::at(Traffic::Token, 1, Fault::ServerError)]),
        sign_in: Some((vec![credential], [7; 32])),
        tls: Some((chain.as_bytes(), server_key.as_bytes())),
        clock: Arc::new(Noon),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let payer = ForeignPayer::start(plan, listener).unwrap();
    let roots = [authority.into_bytes()];
    let transport = Arc::new(HttpTransport::new(&roots, Duration::from_secs(30), 1 << 20).unwrap());
    let sign_in = wire::SmartClient::new(
        Arc::clone(&transport) as _,
        payer.base_url(),
        "gateway",
        &key.to_pem(),
        "system/*.cruds".to_owned(),
        Arc::new(Noon),
    )
    .unwrap();
    let open = wire::FhirClient::new(payer.base_url(), Arc::clone(&transport) as _, None);
    let signed = wire::FhirClient::new(payer.base_url(), transport, Some(sign_in));
    let body = || bytes::Bytes::from(patient(None, "1").to_string());
    let kind = "application/fhir+json";
    assert_eq!(open.get("metadata").await.unwrap().status(), 200);
    assert_eq!(open.post("Patient", kind, body()).await.unwrap().status(), 401);
    assert!(signed.post("Patient", kind, body()).await.is_err(), "the first sign-in fails");
    assert_eq!(signed.post("Patient", kind, body()).await.unwrap().status(), 201);
    assert_eq!(payer.arrived().records.len(), 1);
}
