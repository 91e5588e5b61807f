//! A token whose scope has a query opens what the query finds, and nothing else of the type.

use crate::common::Stage;
use crate::{known, pushed, stage};
use serde_json::Value;
use std::collections::BTreeMap;

/// A plan with records of one encounter at least; the ids of its Observations by their code.
fn filed() -> (Stage, BTreeMap<String, Vec<String>>) {
    let mut stage = stage(31);
    stage.serve();
    for encounter in known(&stage).iter().take(4) {
        assert_eq!(pushed(&stage, encounter).state, "settled");
    }
    let mut by_code: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for observation in stage.payers[0].search_all("Observation") {
        let read: Value = serde_json::from_slice(&observation).unwrap();
        let code = read["code"]["coding"][0]["code"].as_str().unwrap().to_owned();
        by_code.entry(code).or_default().push(read["id"].as_str().unwrap().to_owned());
    }
    assert!(by_code.len() >= 2, "{by_code:?}");
    (stage, by_code)
}

fn ids(page: &Value) -> Vec<String> {
    let entries = page["entry"].as_array().into_iter().flatten();
    let mut ids: Vec<String> =
        entries.map(|it| it["resource"]["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

/// Proves: smart 370
#[test]
fn what_a_query_finds_is_opened_and_nothing_else() {
    let (mut stage, mut by_code) = filed();
    let (code, mut inside) = by_code.pop_first().unwrap();
    inside.sort();
    let outside = by_code.pop_first().unwrap().1.remove(0);
    let plan = &stage.payers[0];
    let scope = format!("system/Observation.rs?code={code}");
    let get = |path: &str| plan.get_within(&scope, path);
    for path in ["Observation", &format!("Observation?code={code}"), "Observation?_count=100"] {
        let (status, page) = get(path);
        assert_eq!((status, ids(&page)), (200, inside.clone()), "{path}");
    }
    let (status, page) = get(&format!("Observation?_id={outside}"));
    assert_eq!((status, ids(&page).len()), (200, 0), "no parameter of one's own widens it");
    assert_eq!(get(&format!("Observation/{}", inside[0])).0, 200);

    let (status, refused) = get(&format!("Observation/{outside}"));
    let (unknown, never) = get("Observation/never-there");
    assert_eq!((status, unknown), (404, 404));
    assert_eq!(refused["issue"], never["issue"], "what is outside is as if it were not there");
    let closed = [
        format!("Observation/{}/_history", inside[0]),
        format!("Observation/{}/_history/1", inside[0]),
        "Patient".to_owned(),
        "Encounter".to_owned(),
    ];
    for path in &closed {
        let (status, told) = get(path);
        assert_eq!(status, 403, "{path}: {told}");
        assert_eq!(told["issue"][0]["details"]["coding"][0]["code"], "scope-missing", "{path}");
    }
    stage.stop();
}

#[test]
fn a_query_that_the_door_does_not_know_opens_nothing() {
    let (mut stage, by_code) = filed();
    let plan = &stage.payers[0];
    let some = by_code.into_values().next().unwrap().remove(0);
    let scope = "system/Observation.rs?colour=blue";
    for path in ["Observation", &format!("Observation/{some}")] {
        let (status, told) = plan.get_within(scope, path);
        assert_eq!(status, 400, "{path}: {told}");
        assert!(told.get("entry").is_none());
    }
    // Two queries of one type: each record is found by one of them; a search would need both.
    let two = "system/Observation.rs?_id=a system/Observation.rs?_id=b";
    assert_eq!(plan.get_within(two, "Observation").0, 403);
    assert_eq!(plan.get_within(two, "Observation/c").0, 404);
    stage.stop();
}
