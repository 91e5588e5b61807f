//! Goal: searches, pages and `$everything` over charts of others give exactly what counting over
//! the files gives.
//!
//! How: the Synthea Bundles that `HANDOVER_DATA` names, filed one Bundle an hour; thousands of
//! questions that the files suggest, each answered twice, by the desk and by brute force. Ten
//! patients usually, four in PostgreSQL; all with `HANDOVER_CHARTS=1000` in the environment.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

mod brute;
mod questions;

use brute::{Shelf, files, unpack};
use exchange::query::Handling;
use fhir::{Bundle, Resource};
use jiff::{SignedDuration, Timestamp};
use questions::{ask_all, everything, query, walk, walk_with};
use repository::{Desk, Loader};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use store::{AnyHouse, PostgresHouse, PostgresPlace, SqliteHouse};

const BASE: &str = "https://plan.example/fhir";

fn at(file: usize) -> Timestamp {
    let start: Timestamp = "2026-01-03T10:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(file as i64)
}

fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("HANDOVER_DATA");
    if root.is_none() {
        eprintln!("skipped: HANDOVER_DATA is not set, so no chart of others was asked for");
    }
    root.map(|root| PathBuf::from(root).join("synthea-us-core-bundles"))
}

struct Stage {
    shelf: Shelf,
    house: AnyHouse,
    runtime: tokio::runtime::Runtime,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// The files in a house in a folder.
fn in_a_folder(patients: usize, folder: &Path) -> Option<Stage> {
    let opened = SqliteHouse::open(folder, &"plan".into()).unwrap();
    stage(patients, opened.into(), runtime())
}

/// The files in a house, the references within them told by their places.
fn stage(patients: usize, house: AnyHouse, runtime: tokio::runtime::Runtime) -> Option<Stage> {
    let source = folder()?;
    let mut shelf = Shelf::default();
    for (number, file) in files(&source, patients).iter().enumerate() {
        let text = unpack(file);
        let tree: Value = serde_json::from_str(&text).unwrap();
        let bundle = Bundle::parse(text.into_bytes()).unwrap();
        let resources: Vec<Resource> =
            bundle.entries.iter().map(|entry| entry.resource.clone().unwrap()).collect();
        let place = |one: &Resource| (one.kind().to_owned(), one.id().unwrap().to_owned());
        let places: Vec<_> = resources.iter().map(place).collect();
        shelf.add(number, &tree, &places);
        let settled = resources
            .iter()
            .map(|one| one.rewrite_references(|_, text| shelf.place(text).map(str::to_owned)));
        let loader = Loader { house: &house, owner: "mercy".into(), receipt: "s".into() };
        runtime.block_on(loader.load(at(number), settled)).unwrap();
    }
    Some(Stage { shelf, house, runtime })
}

impl Stage {
    /// What the desk answers to a path with a query.
    fn ask(&self, path: &str) -> Value {
        let desk = Desk::new(&self.house, BASE, Some("mercy".into()));
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parameters: Vec<_> = query
            .split('&')
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        let answer = self.runtime.block_on(async {
            match path.strip_suffix("/$everything") {
                Some(patient) => {
                    let id = patient.strip_prefix("Patient/").unwrap();
                    desk.everything(id, &parameters, Handling::Strict).await
                }
                None => desk.search(path, &parameters, Handling::Strict).await,
            }
        });
        let answer = answer.unwrap_or_else(|issue| panic!("{path}?{query}: {issue}"));
        serde_json::from_slice(&answer).unwrap()
    }

    /// Some patients, from the smallest chart to the largest.
    fn patients(&self, number: usize) -> Vec<String> {
        let mut all: Vec<_> = self.shelf.of("Patient").collect();
        let size = |file: usize| self.shelf.all.iter().filter(|one| one.file == file).count();
        all.sort_by_key(|one| size(one.file));
        let step = all.len().div_ceil(number).max(1);
        all.iter().rev().step_by(step).map(|one| one.id.clone()).collect()
    }
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                let digits = String::from_utf8(vec![*high, *low]).unwrap();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap());
                rest = behind;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// How many charts: all of them take minutes, and are asked for by `HANDOVER_CHARTS=1000`.
fn charts(usual: usize) -> usize {
    std::env::var("HANDOVER_CHARTS").map_or(usual, |count| count.parse().unwrap())
}

#[test]
fn some_charts_are_found_as_counting_finds_them() {
    let folder = tempfile::tempdir().unwrap();
    let Some(stage) = in_a_folder(charts(10), folder.path()) else { return };
    check(&stage, 2);
}

#[test]
fn a_database_server_finds_the_same() {
    let Some(database) = testdb::Server::shared() else { return };
    let place = PostgresPlace { url: database.url(), ..PostgresPlace::default() };
    let runtime = runtime();
    let opened = runtime.block_on(PostgresHouse::open(&place, &"plan".into())).unwrap();
    let Some(stage) = stage(charts(4), opened.into(), runtime) else { return };
    check(&stage, 1);
}

fn check(stage: &Stage, patients: usize) {
    let patients = stage.patients(patients);
    let asked = ask_all(&stage.shelf, &patients, &mut |path| stage.ask(path));
    assert!(asked > 1_000, "{asked} questions");
    eprintln!("{asked} questions");
    for patient in &patients {
        for parameters in ["", "?_count=7", "?_count=500"] {
            everything(&stage.shelf, patient, parameters, &mut |path| stage.ask(path));
        }
    }
    everything_of_some_types_and_times(stage, &patients[0]);
    updates_are_found_by_their_hour(stage);
    what_comes_along_is_what_the_page_names(stage, &patients[0]);
    pages_hold_the_same_while_others_file(stage, &patients[0]);
}

fn everything_of_some_types_and_times(stage: &Stage, patient: &str) {
    let all = stage.shelf.everything(patient);
    let of = |kinds: &[&str]| -> BTreeSet<String> {
        let fits = |place: &&String| kinds.iter().any(|it| place.split('/').next() == Some(it));
        all.iter().filter(fits).cloned().collect()
    };
    let mut door = |path: &str| stage.ask(path);
    let mut ask = |parameters: &str| everything(&stage.shelf, patient, parameters, &mut door);
    assert_eq!(
        ask("?_type=Observation,Practitioner&_count=50"),
        of(&["Observation", "Practitioner"])
    );
    assert_eq!(ask("?_type=Organization"), of(&["Organization"]));
    assert_eq!(ask("?_type=Appointment"), BTreeSet::new());
    let chart = stage.shelf.of("Patient").find(|one| one.id == patient).unwrap().file;
    let place = |one: &brute::Filed| format!("{}/{}", one.kind, one.id);
    let hour: BTreeSet<_> =
        stage.shelf.all.iter().filter(|one| one.file >= chart).map(place).collect();
    let since = ask(&format!("?_since={}", at(chart)));
    assert_eq!(since, all.intersection(&hour).cloned().collect());
    assert_eq!(ask(&format!("?_since={}", at(999))), BTreeSet::new());
}

fn updates_are_found_by_their_hour(stage: &Stage) {
    let middle = stage.shelf.of("Patient").map(|one| one.file).max().unwrap() / 2 + 1;
    for (prefix, fits) in [
        ("", (|file, middle| file == middle) as fn(usize, usize) -> bool),
        ("ge", |file, middle| file >= middle),
        ("gt", |file, middle| file > middle),
        ("sa", |file, middle| file > middle),
        ("lt", |file, middle| file < middle),
        ("le", |file, middle| file <= middle),
        ("eb", |file, middle| file < middle),
    ] {
        for kind in ["Patient", "Encounter", "Organization"] {
            let asked = [("_lastUpdated".to_owned(), format!("{prefix}{}", at(middle)))];
            let found = walk(&query(kind, &asked), &mut |path| stage.ask(path));
            let expected: BTreeSet<_> = stage
                .shelf
                .of(kind)
                .filter(|one| fits(one.file, middle))
                .map(|one| one.id.clone())
                .collect();
            assert_eq!(found.ids, expected, "{kind} {prefix}");
        }
    }
}

fn what_comes_along_is_what_the_page_names(stage: &Stage, patient: &str) {
    let shelf = &stage.shelf;
    let mut door = |path: &str| stage.ask(path);
    for (include, kind, path) in [
        ("Observation:encounter", "Observation", "encounter"),
        ("Observation:patient", "Observation", "subject"),
        ("Encounter:participant", "Encounter", "participant.individual"),
        ("Encounter:service-provider", "Encounter", "serviceProvider"),
        ("DiagnosticReport:result", "DiagnosticReport", "result"),
        ("MedicationRequest:requester", "MedicationRequest", "requester"),
    ] {
        let asked = format!("{kind}?patient={patient}&_include={include}&_count=50");
        let found = walk(&asked, &mut door);
        let mut named = BTreeSet::new();
        for one in shelf.of(kind).filter(|one| found.ids.contains(&one.id)) {
            for reference in brute::nodes(&one.tree, &format!("{path}.reference")) {
                named.extend(shelf.place(reference.as_str().unwrap()).map(str::to_owned));
            }
        }
        assert_eq!(found.along, named, "{include}");
    }
    let found =
        walk(&format!("Condition?patient={patient}&_revinclude=Provenance:target"), &mut door);
    let about = shelf.search("Provenance", &[("patient".to_owned(), patient.to_owned())]);
    assert_eq!(found.along, about.iter().map(|id| format!("Provenance/{id}")).collect());
}

fn pages_hold_the_same_while_others_file(stage: &Stage, patient: &str) {
    let asked = [("patient".to_owned(), patient.to_owned())];
    let expected = stage.shelf.search("Observation", &asked);
    let file = |page: usize| {
        let text = format!(
            r#"{{"resourceType":"Observation","id":"{:08x}-new","subject":{{"reference":"Patient/{patient}"}}}}"#,
            page.wrapping_mul(0x9e37_79b9) as u32
        );
        let loader = Loader { house: &stage.house, owner: "mercy".into(), receipt: "n".into() };
        let new = Resource::parse(text.into_bytes()).unwrap();
        stage.runtime.block_on(loader.load(at(1_000), [new])).unwrap();
    };
    let question = format!("Observation?patient={patient}&_count=7");
    let found = walk_with(&question, &mut |path| stage.ask(path), &mut |page| file(page));
    assert!(found.ids.is_superset(&expected), "all that stood there all the time");
    let (new, old): (BTreeSet<String>, _) =
        found.ids.into_iter().partition(|id| id.ends_with("-new"));
    assert_eq!(old, expected, "and nothing else");
    assert!(found.pages > 1 && !new.is_empty(), "others were filed between pages");
}
