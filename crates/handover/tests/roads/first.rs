//! One encounter travels from a hospital to a plan.

use crate::common::Stage;
use sim::TownPlan;

#[test]
fn an_encounter_is_filed_at_the_plan() {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(1, &plan);
    stage.serve();
    let encounter = stage.finished()[0].clone();
    let (code, reply) = stage.provider.json(&["push", "encounter", &encounter]);
    assert_eq!(code, 0, "{reply}");
    assert_eq!(reply["rows"][0]["state"], "settled", "{reply}");
    assert_eq!(reply["rows"][0]["level"], "filed");
    let filed = stage.payers[0].records();
    assert!(filed.keys().any(|reference| reference.starts_with("Encounter/")));
    let reference = filed.keys().next().unwrap();
    assert_eq!(stage.payers[0].get(reference).0, 200);
    stage.stop();
}

/// What a payer's log says was asked at its doors; `None` in the place of a handshake.
fn asked(log: &str) -> Vec<Option<String>> {
    let lines = log.lines().filter(|line| line.contains("wire::requests"));
    let word = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}="))?;
        Some(rest.split_whitespace().next()?.trim_matches('"').to_owned())
    };
    let lines = lines.map(|line| {
        let (method, place) = (word(line, "method")?, word(line, "place")?);
        Some(format!("{method} {place}"))
    });
    lines.collect()
}

#[test]
fn a_first_push_asks_nothing_twice_and_the_next_one_only_pushes() {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(1, &plan);
    stage.payers[0].log = "error,wire::requests=debug".to_owned();
    stage.serve();
    let finished = stage.finished();
    let mut pushed = finished.iter().filter(|encounter| {
        stage.provider.push(encounter).first().is_some_and(|row| row.state == "settled")
    });
    pushed.next().unwrap();
    let cold = asked(&stage.payers[0].process_said());
    pushed.next().unwrap();
    let all = asked(&stage.payers[0].process_said());
    drop(pushed);
    let handshakes = cold.iter().filter(|it| it.is_none()).count();
    let mut requests: Vec<&String> = cold.iter().flatten().collect();
    assert_eq!(handshakes, 1, "{cold:?}");
    let expected = [
        "GET /fhir/$versions",
        "GET /fhir/.well-known/smart-configuration",
        "GET /fhir/metadata",
        "POST /fhir",
        "POST /fhir/token",
    ];
    requests.sort_unstable();
    assert_eq!(requests, expected, "{cold:?}");
    let warm: Vec<&Option<String>> = all[cold.len()..].iter().collect();
    assert!(
        !warm.is_empty() && warm.iter().all(|it| it.as_deref() == Some("POST /fhir")),
        "{all:?}"
    );
    stage.stop();
}
