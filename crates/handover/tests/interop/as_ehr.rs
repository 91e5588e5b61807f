//! Goal: what a payer gets of a chart does not depend on which EHR the chart lies in, but for what
//! that EHR rewrites by itself.
//!
//! How: the same chart in our EHR and in theirs, the same pushes to the same plan, the plan's store
//! compared record by record.

#![allow(clippy::unwrap_used)]

use crate::common::Stage;
use crate::others::{Make, Server, charts, push_waiting, subjects, town};
use serde_json::{Value, json};
use sim::Chart;
use sim::town::Plan;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is filed at the plan, but for the pushes' own Provenances, which tell the time.
fn filed(stage: &Stage) -> BTreeMap<String, Vec<u8>> {
    let records = stage.payers[0].records().into_iter();
    let records = records.filter(|(name, _)| !name.starts_with("Provenance/"));
    records.map(|(name, record)| (name, record.content.unwrap().to_vec())).collect()
}

/// A number as a value: `1.0` and `1` are the same to those who read JSON by the book of their
/// language, and they write back what they have read.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::String(format!("{}", number.as_f64().unwrap())),
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), plain(member))).collect()
        }
        other => other.clone(),
    }
}

fn read(bytes: &[u8]) -> Value {
    plain(&serde_json::from_slice(bytes).unwrap())
}

/// Pushes all there is of the chart from our EHR, or from the one that this `[source]` leads to.
fn pushed(chart: &Chart, plans: &[Plan], source: impl FnOnce(&Stage) -> Option<String>) -> Pushed {
    let mut stage = Stage::new(chart.clone(), plans.to_vec(), &[]);
    if let Some(source) = source(&stage) {
        let text = stage.provider.read("house.toml");
        let (before, after) = text.split_once("\n[source]\n").unwrap();
        // The next section, if there is one, stays as it is.
        let after = after.split_once("\n[").map_or(String::new(), |(_, it)| format!("[{it}"));
        stage.provider.write("house.toml", &format!("{before}\n{source}\n{after}"));
    }
    stage.serve();
    let told = push_waiting(&stage.provider, &subjects(chart), Duration::ZERO);
    let filed = filed(&stage);
    stage.stop();
    (filed, told)
}

fn compare(make: Make, chart: &Chart, plans: &[Plan]) {
    let Some(server) = make.start() else { return };
    let chart = &server.named(chart);
    server.load(chart);
    let unsigned = format!("[source]\nbase_url = \"{}\"\nsign_in = \"none\"\n", server.base_url());
    let theirs = pushed(chart, plans, |_| Some(unsigned));
    same(make, pushed(chart, plans, |_| None), theirs);
}

type Pushed = (BTreeMap<String, Vec<u8>>, BTreeMap<String, Vec<String>>);

fn same(make: Make, (ours, told_ours): Pushed, (theirs, told_theirs): Pushed) {
    assert_eq!(told_ours, told_theirs, "{}: how each push ended", make.name());
    assert!(ours.len() > 20, "something is filed: {}", ours.len());
    let names = |filed: &BTreeMap<String, Vec<u8>>| filed.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs), "{}: the same records", make.name());
    for (name, bytes) in &ours {
        // What they rewrite: white space, the order of members, zeros at the end of a number.
        assert_eq!(read(bytes), read(&theirs[name]), "{}: {name}", make.name());
    }
}

#[test]
fn sekmet_with_a_town_is_read_as_our_ehr_is() {
    let (chart, plans) = town();
    compare(Make::Sekmet, &chart, &plans);
}

#[test]
fn sekmet_is_read_by_who_signs_in_there_and_has_one_token_for_many_searches() {
    let (chart, plans) = town();
    let Some(open) = Make::Sekmet.start() else { return };
    let chart = &open.named(&chart);
    let mut server = None;
    let theirs = pushed(chart, &plans, |stage| {
        let house = &stage.provider;
        let client = json!({
            "client_id": house.name, "jwks": house.public().jwks, "scopes": "system/*.rs",
        });
        let trusting = house.folder.join("tls/authority.pem");
        let started = server.insert(Server::start_signed(&[client], &trusting).unwrap());
        started.load(chart);
        started.said();
        house.write("tls/ehr-authority.pem", started.authority());
        Some(format!(
            "[source]\nbase_url = \"{}\"\nclient_id = \"{}\"\nkey = \"keys/signing.pem\"\n\
             scope = \"system/*.rs\"\nauthority = \"tls/ehr-authority.pem\"\n",
            started.base_url(),
            house.name
        ))
    });
    let said = server.unwrap().said();
    let count = |part: &str| said.iter().filter(|line| line.contains(part)).count();
    assert_eq!(count("POST /auth/token"), 1, "one token serves them all");
    assert!(count("GET /fhir/") > 10 && count(" 401 ") == 0, "{said:?}");
    same(Make::Sekmet, pushed(chart, &plans, |_| None), theirs);
}

#[test]
fn sekmet_with_charts_is_read_as_our_ehr_is() {
    let Some((chart, plans)) = charts() else { return };
    compare(Make::Sekmet, &chart, &plans);
}

#[test]
fn medplum_with_a_town_is_read_as_our_ehr_is() {
    let (chart, plans) = town();
    compare(Make::Medplum, &chart, &plans);
}

#[test]
fn medplum_with_charts_is_read_as_our_ehr_is() {
    let Some((chart, plans)) = charts() else { return };
    compare(Make::Medplum, &chart, &plans);
}
