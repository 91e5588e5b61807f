//! Goal: `--json` answers what the house answered, whether the house runs or not, and the exit
//! code says whether a person has work.

#![allow(clippy::unwrap_used)]

use crate::common::Stage;
use exchange::desk::Reply;
use serde_json::Value;
use sim::TownPlan;

fn small() -> TownPlan {
    TownPlan { hospitals: 1, plans: 1, patients_per_hospital: 3, ..TownPlan::default() }
}

#[test]
fn every_answer_is_a_reply_of_the_house() {
    let (mut stage, _) = Stage::of_town(3, &small());
    let encounter = stage.finished().remove(0);
    let table: [(&[&str], &str); 8] = [
        (&["list"], "listed"),
        (&["explain", "encounter", &encounter], "explained"),
        (&["push", "encounter", &encounter, "--no-wait"], "pushed"),
        (&["push", "encounter", &encounter], "pushed"),
        (&["find", "--date", "2026"], "found"),
        (&["check"], "checked"),
        (&["ledger", "verify"], "verified"),
        (&["show", &format!("Encounter/{encounter}")], "shown"),
    ];
    stage.payers[0].serve();
    for runs in [false, true] {
        if runs {
            stage.provider.serve();
        }
        for (words, name) in table {
            let (code, value) = stage.provider.json(words);
            assert_eq!(value["reply"], name, "running {runs}: {words:?}: {value}");
            assert!(code < 2, "running {runs}: {words:?}: {value}");
            let read: Result<Reply, _> = serde_json::from_value(value);
            assert!(read.is_ok(), "running {runs}: {words:?}: {read:?}");
        }
    }
}

#[test]
fn a_push_is_walked_to_its_end_without_a_running_house() {
    let (mut stage, _) = Stage::of_town(3, &small());
    stage.payers[0].serve();
    let encounter = stage.finished().remove(0);
    let (code, value) = stage.provider.json(&["push", "encounter", &encounter]);
    assert_eq!((code, &value["rows"][0]["state"]), (0, &Value::from("settled")), "{value}");
    let (code, value) = stage.provider.json(&["ledger", "verify"]);
    assert_eq!(code, 0);
    assert_eq!(value["proved_to"], value["last"], "a command signs what it wrote: {value}");
}

#[test]
fn something_for_a_person_is_exit_code_one() {
    let (mut stage, town) = Stage::of_town(3, &small());
    stage.serve();
    let planted = town.planted_unknown_member.unwrap();
    let about = |bytes: &[u8]| {
        let value: Value = serde_json::from_slice(bytes).unwrap();
        value["status"] == "finished" && value["subject"]["reference"] == planted.patient.as_str()
    };
    let encounter = stage.chart.of_kind("Encounter").iter().find(|it| about(&it.bytes)).unwrap();
    let said = stage.provider.run(&["push", "encounter", &encounter.id, "--wait", "1"]);
    assert_eq!(said.code, 0, "the plan's person acts, not this house's: {}", said.stdout);
    let said = stage.payers[0].run(&["list"]);
    assert_eq!(said.code, 1, "{}", said.stdout);
    assert!(said.stdout.starts_with("Waiting for a person:"), "{}", said.stdout);
    assert!(said.stdout.contains("who acts: "), "{}", said.stdout);

    let said = stage.provider.run(&["push", "encounter", "no-such-encounter"]);
    assert_eq!(said.code, 1, "a trigger that waits for a person: {}", said.stdout);
    assert!(said.stdout.contains("encounter-unknown"), "{}", said.stdout);
}

#[test]
fn what_the_command_line_cannot_read_is_an_issue_too() {
    let (stage, _) = Stage::of_town(3, &small());
    let (code, value) = stage.provider.json(&["forget"]);
    assert_eq!((code, &value["issue"]["code"]), (2, &Value::from("command-invalid")), "{value}");
    let said = stage.provider.run(&["forget"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("Usage"), "{}", said.stderr);
    for words in [&["partner", "suspend", "x"][..], &["push", "encounter", "x"]] {
        let said = stage.provider.run(&[words, &["--why", " "]].concat());
        assert!(said.code == 2 && said.stderr.contains("--why"), "{words:?}: {}", said.stderr);
    }
    let said = stage.provider.run(&["--help"]);
    assert_eq!(said.code, 0);
    assert!(said.stdout.contains("Exit code"), "{}", said.stdout);
}

#[test]
fn a_page_is_for_people_who_do_not_know_fhir() {
    let (mut stage, _) = Stage::of_town(3, &small());
    stage.serve();
    let encounter = stage.finished().remove(0);
    assert_eq!(stage.provider.run(&["push", "encounter", &encounter]).code, 0);
    let about = format!("Encounter/{encounter}");
    let page = stage.provider.run(&["show", &about, "--page"]);
    assert_eq!(page.code, 0, "{}", page.stderr);
    for word in ["Visit", "Diagnoses", "Results", "Patient", "Coverage"] {
        assert!(page.stdout.contains(word), "{word}: {}", page.stdout);
    }
    assert!(!page.stdout.contains("resourceType"), "{}", page.stdout);
    let html = stage.provider.run(&["show", &about, "--page", "html"]);
    assert!(html.stdout.starts_with("<!doctype html>"), "{}", html.stdout);
    assert!(!html.stdout.contains("<script"), "a page holds no script");
}
