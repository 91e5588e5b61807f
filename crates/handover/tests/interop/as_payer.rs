//! Goal: a payer's server that we did not write holds every record once, gains versions only where
//! the chart changed, and loses what is taken back.
//!
//! How: our EHR with a town, a sending house that knows the server by its address, `form = "best"`.

#![allow(clippy::unwrap_used)]

use crate::common::{House, SimEhr, who};
use crate::others::{Make, Server, push, subjects, town};
use bytes::Bytes;
use exchange::desk::{Command, Reply};
use serde_json::{Value, json};
use sim::Chart;
use std::collections::{BTreeMap, BTreeSet};
use wire::SigningKey;

/// What the agreement permits; not the pushes' own Provenances, of which each push makes one.
const KINDS: [&str; 22] = [
    "Account",
    "AllergyIntolerance",
    "Binary",
    "CareTeam",
    "Condition",
    "Coverage",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "Immunization",
    "Location",
    "Medication",
    "MedicationDispense",
    "MedicationRequest",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "ServiceRequest",
    "Specimen",
];

/// A sending house with our EHR, and the payer.
struct Scene {
    hospital: House,
    ehr: SimEhr,
    chart: Chart,
    server: Option<Server>,
    _folder: tempfile::TempDir,
}

impl Scene {
    /// With these lines at the end of the agreement; none where the server is not installed.
    fn set(make: Make, lines: &str) -> Option<Scene> {
        Scene::set_with(make, lines, |_| make.start())
    }

    /// The same with a server that knows the sending house.
    fn set_with(
        make: Make,
        lines: &str,
        start: impl FnOnce(&House) -> Option<Server>,
    ) -> Option<Scene> {
        let (chart, plans) = town();
        let folder = tempfile::tempdir().unwrap();
        let mut ehr = SimEhr::new(&folder.path().join("ehr"));
        let hospital = House::provider(&folder.path().join("hospital"), &ehr.base_url());
        ehr.start(&chart, &[hospital.public()]);
        hospital.write("tls/ehr-authority.pem", &ehr.authority());
        let server = start(&hospital)?;
        let id = &plans[0].payer_id;
        let sign_in = if server.authority().is_empty() { "none" } else { "smart" };
        let public = json!({
            "name": make.name(), "role": "payer", "title": make.name(),
            "base_url": server.base_url(), "foreign": { "sign_in": sign_in },
            "authority": server.authority(),
            "payer_identifiers": [{ "system": id.system, "value": id.value }],
        });
        let file = folder.path().join("public.json");
        std::fs::write(&file, public.to_string()).unwrap();
        let said = hospital.run(&["partner", "add", file.to_str().unwrap()]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let agreement = format!("agreements/{}.toml", make.name());
        hospital.write(&agreement, &format!("{}\n{lines}\n", hospital.read(&agreement)));
        let mut hospital = hospital;
        hospital.serve();
        Some(Scene { hospital, ehr, chart, server: Some(server), _folder: folder })
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Pushes all there is; every push ends so.
    fn push_all(&self, states: &[&str]) {
        let told = push(&self.hospital, &subjects(&self.chart));
        for (subject, words) in &told {
            let fine = words.iter().all(|word| states.contains(&word.as_str()));
            assert!(fine && !words.is_empty(), "{subject}: {words:?}");
        }
    }

    fn records(&self) -> BTreeMap<String, Value> {
        self.server().records(&KINDS)
    }

    /// Versions of each record that the server names.
    fn versions(&self) -> BTreeMap<String, Value> {
        let records = self.records().into_iter();
        records.map(|(name, value)| (name, value["meta"]["versionId"].clone())).collect()
    }

    fn explained(&self, encounter: &str) -> String {
        let said = self.hospital.run(&["explain", "encounter", encounter]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        said.stdout
    }
}

/// Where each record says that it comes from.
fn sources(records: &BTreeMap<String, Value>) -> Vec<String> {
    let of = |value: &Value| value["meta"]["source"].as_str().unwrap().to_owned();
    let mut sources: Vec<String> = records.values().map(of).collect();
    sources.sort();
    sources
}

/// Every reference of a resource.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("reference") {
                found.insert(reference.clone());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(list) => list.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn each_once_and_nothing_dangling(records: &BTreeMap<String, Value>) {
    let mut sources = sources(records);
    let count = sources.len();
    sources.dedup();
    assert_eq!(sources.len(), count, "no record is there twice");
    for (name, value) in records {
        let mut found = BTreeSet::new();
        references(value, &mut found);
        for reference in found.iter().filter(|it| !it.starts_with(['#', 'u'])) {
            assert!(records.contains_key(reference), "{name}: {reference} is not there");
        }
    }
}

/// All kinds of pushes twice over, a correction, a withdrawal.
fn a_day(make: Make, lines: &str, rung: &str) {
    let Some(scene) = Scene::set(make, lines) else { return };
    let encounter = scene.chart.of_kind("Encounter")[0].id.clone();
    let explained = scene.explained(&encounter);
    assert!(explained.contains(rung), "{rung}: {explained}");

    scene.push_all(&["settled"]);
    let first = scene.records();
    assert!(first.len() > 20, "{}", first.len());
    each_once_and_nothing_dangling(&first);
    let before = scene.versions();
    scene.push_all(&["settled", "unchanged"]);
    assert_eq!(scene.versions(), before, "nothing has changed");

    let (source, corrected) = correction(&scene.chart);
    scene.ehr.amend([corrected]);
    scene.push_all(&["settled", "unchanged"]);
    let after = scene.records();
    let versions = scene.versions();
    let changed: Vec<&String> = versions
        .iter()
        .filter(|(name, version)| before.get(*name) != Some(version))
        .map(|it| it.0)
        .collect();
    assert_eq!(changed.len(), 1, "one record has a new version: {changed:?}");
    let changed = &after[changed[0]];
    assert!(changed["meta"]["source"].as_str().unwrap().ends_with(&source));
    assert_eq!(changed["status"], "amended");
    each_once_and_nothing_dangling(&after);

    withdraw_all(&scene);
    let left = scene.records();
    let of_patients = left.keys().filter(|name| !is_shared(name));
    assert_eq!(of_patients.collect::<Vec<_>>(), Vec::<&String>::new(), "all is taken back");
}

/// What is about nobody's care stays for others.
fn is_shared(name: &str) -> bool {
    let kind = name.split('/').next().unwrap();
    ["Practitioner", "PractitionerRole", "Organization", "Location", "Medication"].contains(&kind)
}

/// The next version of an Observation of the chart; where it lies, and its bytes.
fn correction(chart: &Chart) -> (String, Bytes) {
    let final_ones = chart.of_kind("Observation").iter();
    let mut values = final_ones.map(|one| serde_json::from_slice::<Value>(&one.bytes).unwrap());
    let mut one =
        values.find(|value| value["status"] == "final" && value["encounter"].is_object()).unwrap();
    one["status"] = json!("amended");
    (format!("Observation/{}", one["id"].as_str().unwrap()), one.to_string().into())
}

fn withdraw_all(scene: &Scene) {
    let rows = scene.hospital.rows();
    let rows = rows.iter().filter(|row| row.kind == "push" && row.state == "settled");
    let mut done = BTreeSet::new();
    for row in rows.rev() {
        if !done.insert(row.subject.clone()) {
            continue;
        }
        let command = Command::Withdraw { id: row.id.clone(), who: who("a test"), wait: 120 };
        let Reply::Pushed { rows, .. } = scene.hospital.ask(&command).unwrap() else {
            panic!("no answer to a withdrawal")
        };
        for row in rows.iter().filter(|row| row.kind == "push") {
            let issues: Vec<String> = row.issues.iter().map(|it| it.issue.to_string()).collect();
            assert_eq!(row.state, "settled", "{issues:?}");
        }
    }
}

#[test]
fn sekmet_is_pushed_to_by_transactions() {
    a_day(Make::Sekmet, "", "best (transaction)");
}

#[test]
fn medplum_is_pushed_to_by_what_the_agreement_vouches_for() {
    let lines = "[door]\nassume = [\"batch\", \"put\", \"delete\", \"search\"]";
    a_day(Make::Medplum, lines, "best (batch)");
}

#[test]
fn medplum_is_not_guessed_at() {
    let Some(scene) = Scene::set(Make::Medplum, "") else { return };
    let told = push(&scene.hospital, &subjects(&scene.chart)[..1]);
    let words: Vec<&String> = told.values().flatten().collect();
    assert_eq!(words.len(), 1, "{told:?}");
    assert!(words[0].starts_with("held: capability-missing"), "{words:?}");
    assert!(scene.records().is_empty(), "nothing was sent");
}

#[test]
fn sekmet_killed_in_the_middle_of_a_push_has_all_of_it_once() {
    let Some(mut scene) = Scene::set(Make::Sekmet, "[door]\nentries_max = 4") else { return };
    let subjects = subjects(&scene.chart);
    let server = scene.server.take().unwrap();
    let killed = std::thread::spawn(move || {
        server.wait_said("POST /fhir", 3);
        server.killed_and_started()
    });
    let told = push(&scene.hospital, &subjects);
    let server = killed.join().unwrap();
    scene.server = Some(server);
    for (subject, words) in &told {
        assert!(words.iter().all(|word| word == "settled"), "{subject}: {words:?}");
    }
    let records = scene.records();
    each_once_and_nothing_dangling(&records);
    let before = scene.versions();
    assert!(before.values().all(|version| version == "1"), "nothing was stored twice: {before:?}");
    scene.push_all(&["unchanged"]);
    assert_eq!(scene.versions(), before);
}

/// Sekmet that lets in whom these members of a client describe.
fn signed(lines: &str, of: impl FnOnce(&House) -> Value) -> Option<Scene> {
    Scene::set_with(Make::Sekmet, lines, |house| {
        let mut client = json!({ "client_id": house.name, "scopes": "system/*.cruds" });
        client.as_object_mut().unwrap().extend(of(house).as_object().unwrap().clone());
        let trusting = house.folder.join("tls/authority.pem");
        Server::start_signed(&[client], &trusting)
    })
}

#[test]
fn sekmet_lets_in_who_signs_es384_by_a_key_in_its_settings() {
    let jwks = |house: &House| json!({ "jwks": house.public().jwks });
    let Some(scene) = signed("", jwks) else { return };
    scene.server().said();
    scene.push_all(&["settled"]);
    let said = scene.server().said();
    let count = |part: &str| said.iter().filter(|line| line.contains(part)).count();
    assert_eq!(count("POST /auth/token"), 1, "one token serves all pushes");
    assert!(count("POST /fhir") > 1, "{said:?}");
    assert_eq!(count("POST /fhir"), count("\"POST /fhir HTTP/1.1\" 200"), "{said:?}");
    let records = scene.records();
    assert!(records.len() > 20, "{}", records.len());
    each_once_and_nothing_dangling(&records);
}

#[test]
fn sekmet_lets_in_who_signs_rs384_by_a_key_that_the_house_publishes() {
    let published = |house: &House| {
        assert_eq!(house.run(&["keys", "new", "signing", "--kind", "rs384"]).code, 1);
        assert_eq!(house.run(&["keys", "rotate", "signing", "--now"]).code, 0);
        json!({ "jwks_url": format!("{}/.well-known/jwks.json", house.public().base_url) })
    };
    let Some(scene) = signed("", published) else { return };
    scene.push_all(&["settled"]);
    assert!(scene.records().len() > 20);
}

#[test]
fn sekmet_that_knows_another_key_holds_a_push_and_gets_nothing() {
    let another = |_: &House| json!({ "jwks": SigningKey::generate().unwrap().jwks() });
    let Some(scene) = signed("", another) else { return };
    let told = push(&scene.hospital, &subjects(&scene.chart)[..1]);
    let words: Vec<&String> = told.values().flatten().collect();
    assert!(words.len() == 1 && words[0].starts_with("held: sign-in-refused"), "{words:?}");
    let said = scene.server().said();
    assert!(said.iter().any(|line| line.contains("POST /auth/token HTTP/1.1\" 401")), "{said:?}");
    assert!(scene.records().is_empty(), "nothing was sent");
}
