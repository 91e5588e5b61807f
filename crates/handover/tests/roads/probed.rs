//! A sending house looks at a plan's door, running or not, and says who mends what.

use crate::common::Stage;
use exchange::probe::Step;
use serde_json::Value;
use sim::TownPlan;

/// The verdict of each step.
fn verdicts(reply: &Value) -> Vec<(String, String)> {
    let findings = reply["findings"].as_array().unwrap();
    let words = |value: &Value| value.as_str().unwrap().to_owned();
    findings.iter().map(|it| (words(&it["step"]), words(&it["verdict"]))).collect()
}

#[test]
fn a_house_of_this_program_passes_and_a_silent_one_is_named() {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(1, &plan);
    stage.serve();
    let partner = stage.payers[0].name.clone();
    let before = stage.payers[0].dump();

    let file = stage.folder.path().join("report.md");
    let report = file.to_str().unwrap();
    let (code, reply) = stage.provider.json(&["probe", &partner, "--report", report]);
    let found = verdicts(&reply);
    assert_eq!(code, 0, "{reply}");
    assert_eq!(found.len(), Step::ALL.len());
    let wrong: Vec<_> =
        found.iter().filter(|(_, it)| it == "fail" || it == "cannot-tell").collect();
    assert_eq!(wrong, Vec::<&(String, String)>::new(), "{reply}");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with(&format!("# Probe of {partner}")));
    assert_eq!(stage.payers[0].dump(), before, "a probe leaves nothing behind");

    stage.payers[0].stop();
    let said = stage.provider.run(&["probe", &partner]);
    assert_eq!(said.code, 1, "{}", said.stdout);
    assert!(said.stdout.contains("nothing listens"), "{}", said.stdout);
    assert!(said.stdout.contains("who acts: the payer"), "{}", said.stdout);

    let unknown = stage.provider.run(&["probe", "nobody"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("partner-unknown"), "{}", unknown.stderr);
    let receiving = stage.payers[0].run(&["probe", "hospital"]);
    assert_eq!(receiving.code, 2);
    assert!(receiving.stderr.contains("command-invalid"), "{}", receiving.stderr);
    stage.stop();
}

#[test]
fn whatever_is_asked_of_a_new_house_first_its_ledger_verifies() {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(1, &plan);
    stage.payers[0].serve();
    let partner = stage.payers[0].name.clone();
    let encounter = stage.finished().remove(0);
    let table: [&[&str]; 9] = [
        &["check"],
        &["probe", &partner],
        &["directory", "find", &partner],
        &["explain", "encounter", &encounter],
        &["push", "encounter", &encounter, "--why", "finished"],
        &["list"],
        &["watch"],
        &["payor", "list"],
        &["restriction", "list"],
    ];
    let house = &stage.provider;
    for words in table {
        let said = house.run(words);
        assert!(said.code < 2, "{words:?}: {}", said.stderr);
        let proved = house.run(&["ledger", "verify"]);
        assert_eq!(proved.code, 0, "{words:?}: {}{}", proved.stdout, proved.stderr);
        std::fs::remove_dir_all(house.folder.join("store")).unwrap();
        std::fs::remove_file(house.folder.join("keys/ledger.anchor")).ok();
    }
    stage.stop();
}
