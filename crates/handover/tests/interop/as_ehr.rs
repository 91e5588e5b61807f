//! Goal: what a payer gets of a chart does not depend on which EHR the chart lies in, but for what
//! that EHR rewrites by itself.
//!
//! How: the same chart in our EHR and in theirs, the same pushes to the same plan, the plan's store
//! compared record by record.

#![allow(clippy::unwrap_used)]

use crate::common::Stage;
use crate::others::{Make, charts, push_waiting, subjects, town};
use serde_json::Value;
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

/// Pushes all there is of the chart from an EHR at this address, or from ours.
fn pushed(
    chart: &Chart,
    plans: &[Plan],
    ehr: Option<&str>,
) -> (BTreeMap<String, Vec<u8>>, BTreeMap<String, Vec<String>>) {
    let mut stage = Stage::new(chart.clone(), plans.to_vec(), &[]);
    if let Some(ehr) = ehr {
        let text = stage.provider.read("house.toml");
        let (before, after) = text.split_once("\n[source]\n").unwrap();
        // The next section, if there is one, stays as it is.
        let after = after.split_once("\n[").map_or(String::new(), |(_, it)| format!("[{it}"));
        let source = format!("[source]\nbase_url = \"{ehr}\"\nsign_in = \"none\"\n");
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
    let (ours, told_ours) = pushed(chart, plans, None);
    let (theirs, told_theirs) = pushed(chart, plans, Some(&server.base_url()));
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
