//! Goal: what others sent is found again over HTTPS, exactly: searches, pages and `$everything` give
//! what counting over the files gives, to our client and to one that we did not write.
//!
//! How: a plan as a process, the Synthea Bundles that `HANDOVER_DATA` names posted as they come; the
//! questions and the counting are those of the repository's own test. A few patients usually; all
//! with `HANDOVER_CHARTS=1000 cargo test -p handover --test found`.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../../../repository/tests/synthea/brute.rs"]
mod brute;
#[path = "../common/mod.rs"]
mod common;
#[path = "../../../repository/tests/synthea/questions.rs"]
mod questions;
#[path = "../crash/sender.rs"]
#[allow(dead_code)] // the half that knocks with faults
mod sender;
#[path = "../bundles/stranger.rs"]
#[allow(dead_code)] // the half that knocks with faults
mod stranger;

use brute::{Shelf, files, unpack};
use common::data;
use questions::{Asked, ask_all, everything, query, walk, walk_with};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use stranger::{Door, observation, statuses};

/// How many charts: all of them take minutes, and are asked for by `HANDOVER_CHARTS=1000`.
fn charts(usual: usize) -> usize {
    std::env::var("HANDOVER_CHARTS").map_or(usual, |count| count.parse().unwrap())
}

/// Requests after which a token is asked for again: it lives for some minutes.
const REQUESTS_PER_TOKEN: usize = 500;

/// A Patient's row of a member file: known to the plan by the hospital's record number.
fn member(bundle: &Value) -> Option<String> {
    let mut resources = bundle["entry"].as_array()?.iter().map(|entry| &entry["resource"]);
    let patient = resources.find(|one| one["resourceType"] == "Patient")?;
    let mut identifiers = patient["identifier"].as_array()?.iter();
    let record = identifiers.find(|one| one["type"]["coding"][0]["code"] == "MR")?;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = &patient["name"][0];
    let id = format!("{}|{}", text(&record["system"]), text(&record["value"]));
    let (family, given) = (text(&name["family"]), text(&name["given"][0]));
    Some(format!("{id},{family},{given},{},", text(&patient["birthDate"])))
}

/// `Type` and id of `Type/id/_history/version`.
fn place(location: &str) -> (String, String) {
    let (kind, rest) = location.split_once('/').unwrap();
    (kind.to_owned(), rest.split_once('/').unwrap().0.to_owned())
}

/// Whether a file is found by the time of another.
type Fits = fn(usize, usize) -> bool;

struct Stage {
    door: Door,
    shelf: Shelf,
    /// When each file was filed.
    times: Vec<String>,
}

/// A door, the files, and the Bundles in them.
fn opened(patients: usize) -> Option<(Door, Vec<PathBuf>, Vec<String>)> {
    let files = files(&data("synthea-us-core-bundles")?, patients);
    let texts: Vec<_> = files.iter().map(|file| unpack(file)).collect();
    let trees = texts.iter().map(|text| serde_json::from_str::<Value>(text).unwrap());
    let members: Vec<_> = trees.filter_map(|tree| member(&tree)).collect();
    Some((Door::open(&members), files, texts))
}

fn stage(patients: usize) -> Option<Stage> {
    let (door, _, texts) = opened(patients)?;
    let mut stage = Stage { door, shelf: Shelf::default(), times: Vec::new() };
    for (number, text) in texts.into_iter().enumerate() {
        let tree: Value = serde_json::from_str(&text).unwrap();
        let token = stage.door.sender.token("system/*.cruds").unwrap();
        let told = stage.door.sender.post(&token, text);
        assert!(statuses(&told).iter().all(|status| *status == 201), "file {number}");
        let answer = told.json();
        let responses = answer["entry"].as_array().unwrap().iter().map(|entry| &entry["response"]);
        let places: Vec<_> =
            responses.map(|response| place(response["location"].as_str().unwrap())).collect();
        stage.shelf.add(number, &tree, &places);
        let (kind, id) = places.last().unwrap();
        let filed = stage.door.sender.get(&token, &format!("{kind}/{id}")).json();
        stage.times.push(filed["meta"]["lastUpdated"].as_str().unwrap().to_owned());
    }
    Some(stage)
}

/// The door as a function, with a fresh token now and then.
fn asking(door: &Door) -> impl FnMut(&str) -> Value {
    let (mut token, mut asked) = (String::new(), 0);
    move |path| {
        if asked % REQUESTS_PER_TOKEN == 0 {
            token = door.sender.token("system/*.cruds").unwrap();
        }
        asked += 1;
        let told = door.sender.get(&token, path);
        assert_eq!(told.status, 200, "{path}: {}", told.json());
        told.json()
    }
}

#[test]
fn some_charts_are_found_over_https_as_counting_finds_them() {
    if let Some(stage) = stage(charts(4)) {
        check(&stage, 1);
    }
}

fn check(stage: &Stage, patients: usize) {
    let patients: Vec<_> =
        stage.shelf.of("Patient").take(patients).map(|one| one.id.clone()).collect();
    let mut door = asking(&stage.door);
    let asked = ask_all(&stage.shelf, &patients, &mut door);
    assert!(asked > 500, "{asked} questions");
    for patient in &patients {
        for parameters in ["", "?_count=7"] {
            everything(&stage.shelf, patient, parameters, &mut door);
        }
    }
    for (file, time) in stage.times.iter().enumerate().skip(2) {
        let fits: [(&str, Fits); 3] = [
            ("", |it, file| it == file),
            ("ge", |it, file| it >= file),
            ("lt", |it, file| it < file),
        ];
        for (prefix, fits) in fits {
            let asked = [("_lastUpdated".to_owned(), format!("{prefix}{time}"))];
            let found = walk(&query("Encounter", &asked), &mut door);
            let expected = stage.shelf.of("Encounter").filter(|one| fits(one.file, file));
            assert_eq!(found.ids, expected.map(|one| one.id.clone()).collect(), "{prefix} {file}");
        }
    }
    pages_hold_the_same_while_others_file(stage, &patients[0], &mut door);
}

fn pages_hold_the_same_while_others_file(
    stage: &Stage,
    patient: &str,
    door: &mut dyn FnMut(&str) -> Value,
) {
    let asked = [("patient".to_owned(), patient.to_owned())];
    let expected = stage.shelf.search("Observation", &asked);
    let token = stage.door.sender.token("system/*.cruds").unwrap();
    let mut new = BTreeSet::new();
    let mut file = |page: usize| {
        if page > 40 {
            return;
        }
        let more = observation(&format!("Patient/{patient}")).to_string();
        let request = stage.door.sender.request("POST", "Observation", &token);
        let request = request.header("content-type", sender::FHIR_JSON);
        let told = stage.door.sender.send(request.body(more.into()).unwrap());
        assert_eq!(told.status, 201, "{}", told.json());
        let location = told.headers["location"].to_str().unwrap().to_owned();
        let record = location.split_once("/Observation/").unwrap().1;
        new.insert(record.split('/').next().unwrap().to_owned());
    };
    let question = format!("Observation?patient={patient}&_count=7");
    let found = walk_with(&question, door, &mut file);
    let old: BTreeSet<_> = found.ids.difference(&new).cloned().collect();
    assert_eq!(old, expected, "all that stood there all the time, and nothing else");
    assert!(found.pages > 1, "more than one page");
}

#[test]
fn a_client_that_we_did_not_write_files_and_finds_the_same() {
    let Some(partners) = std::env::var_os("HANDOVER_PARTNERS") else {
        eprintln!("skipped: HANDOVER_PARTNERS names no folder with fhirpy in it");
        return;
    };
    let Some((door, files, texts)) = opened(2) else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/found/asks.py");
    let base = door.payer.public().base_url;
    let authority = door.payer.folder.join("tls/authority.pem");
    let mut program = Command::new(Path::new(&partners).join("bin/python"))
        .args([script, &base, &door.token, authority.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the partners' Python starts");
    let mut words = program.stdin.take().unwrap();
    let mut answers = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut ask = |asked: Value| -> Value {
        writeln!(words, "{asked}").unwrap();
        let line = answers.next().expect("an answer, and no end").unwrap();
        serde_json::from_str(&line).unwrap()
    };

    let posted = ask(json!({ "files": files }));
    let mut shelf = Shelf::default();
    for (number, (text, told)) in texts.iter().zip(posted.as_array().unwrap()).enumerate() {
        let tree = serde_json::from_str(text).unwrap();
        let places = told.as_array().unwrap().iter().map(|it| place(it.as_str().unwrap()));
        shelf.add(number, &tree, &places.collect::<Vec<_>>());
    }
    let ids = |told: &Value| -> BTreeSet<String> {
        let ids = told.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned());
        ids.collect()
    };
    for patient in shelf.of("Patient") {
        let mine = |more: &[(&str, &str)]| -> Asked {
            let more = [&[("patient", patient.id.as_str())], more].concat();
            more.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        for (kind, asked) in [
            ("Observation", mine(&[])),
            ("Observation", mine(&[("category", "laboratory")])),
            ("Observation", mine(&[("code", "http://loinc.org|8302-2"), ("status", "final")])),
            ("Observation", mine(&[("date", "ge2015"), ("date", "lt2018-06")])),
            ("Encounter", mine(&[("date", "2016")])),
            ("Condition", mine(&[("recorded-date", "le2010-01-01")])),
            ("Procedure", mine(&[("date", "sa2012-12-31")])),
            ("Claim", mine(&[("status", "active,draft")])),
        ] {
            let told = ask(json!({ "kind": kind, "parameters": asked }));
            let expected = shelf.search(kind, &asked);
            assert_eq!(ids(&told["ids"]), expected, "{kind} {asked:?}");
            assert_eq!(told["ids"].as_array().unwrap().len(), expected.len(), "each once");
            assert_eq!(told["total"], expected.len(), "{kind} {asked:?}");
        }
        let all = ask(json!({ "patient": patient.id }));
        assert_eq!(ids(&all), shelf.everything(&patient.id));
        assert_eq!(all.as_array().unwrap().len(), ids(&all).len(), "each once");
    }
    drop(words);
    assert!(program.wait().unwrap().success());
}
