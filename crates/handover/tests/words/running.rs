//! What a running house refuses: by the command line, by its API and at its FHIR door.

use crate::common::Stage;
use crate::said::{of_json, of_outcome, one_line, refused};
use exchange::Code;
use exchange::desk::Command;
use serde_json::Value;
use sim::TownPlan;

#[test]
fn a_running_house_refuses_in_the_words_of_its_command_line() {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(3, &plan);
    stage.provider.log = "off".to_owned();
    stage.serve();
    let encounter = stage.finished()[0].clone();
    let settled = stage.provider.push(&encounter)[0].id.clone();
    let house = &stage.provider;

    let words = ["show", "none"];
    let typed = refused("nothing has this id", house, &words, Code::PushUnknown);
    let command = Command::Show { id: "none".into(), page: false };
    assert_eq!(house.ask(&command).unwrap_err(), typed, "the API");
    let words = ["release", &settled, "--why", "a test"];
    refused("it is settled", house, &words, Code::NotWaiting);

    let (status, outcome) = house.get("Patient/1");
    assert_eq!(status, 405);
    of_outcome("a sending house", &outcome, Code::InteractionUnsupported);
    let table = [
        ("no such record", "Patient/none", 404, Code::ResourceUnknown),
        ("no such parameter", "Patient?colour=red", 400, Code::ParameterUnsupported),
        ("a value that is none", "Patient?_lastUpdated=red", 400, Code::ParameterInvalid),
        ("another form", "Patient?_format=xml", 406, Code::NotAcceptable),
        ("no such submission", "status/none", 404, Code::StatusUnknown),
    ];
    for (case, path, status, code) in table {
        let (found, outcome) = stage.payers[0].get(path);
        assert_eq!(found, status, "{case}: {outcome}");
        of_outcome(case, &outcome, code);
    }

    let other = wire::SigningKey::generate().unwrap();
    let file = stage.provider.folder.join("keys/operator.pem");
    std::fs::remove_file(&file).unwrap();
    other.write(&file).unwrap();
    refused("another operator's key", &stage.provider, &["list"], Code::CredentialRefused);
    stage.stop();
}

#[test]
fn what_waits_at_both_ends_is_told_alike_by_list_show_and_ledger() {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(4, &plan);
    let members = stage.payers[0].read("members.csv");
    let header = members.lines().next().unwrap();
    stage.payers[0].write("members.csv", &format!("{header}\n"));
    let agreement = format!("agreements/{}.toml", stage.provider.name);
    stage.payers[0].replace(&agreement, "unmatched = \"hold\"", "unmatched = \"refuse\"");
    stage.serve();
    let encounter = stage.finished()[0].clone();
    let (exit, pushed) = stage.provider.json(&["push", "encounter", &encounter]);
    assert_eq!(exit, 1, "a refused push is a person's work: {pushed}");
    let row = &pushed["rows"][0];
    assert_eq!(row["state"], "refused");
    let at_the_provider = of_json("push", &row["issues"][0], Code::MemberUnknown);

    let (_, listed) = stage.payers[0].json(&["list"]);
    of_json("the payer's list", &listed["rows"][0]["issues"][0], Code::MemberUnknown);
    let id = row["id"].as_str().unwrap();
    let (_, shown) = stage.provider.json(&["show", id]);
    let again = of_json("show", &shown["row"]["issues"][0], Code::MemberUnknown);
    assert_eq!(again, at_the_provider);
    let last = |shown: &Value, start: &str| {
        let lines = shown["timeline"].as_array().unwrap().iter();
        let mut what = lines.filter_map(|line| line["what"].as_str());
        what.rfind(|what| what.starts_with(start)).unwrap_or_default().to_owned()
    };
    assert_eq!(last(&shown, "refused"), "refused by the payer: member-unknown");
    let submission = listed["rows"][0]["id"].as_str().unwrap();
    let (_, at_the_payer) = stage.payers[0].json(&["show", submission]);
    assert_eq!(last(&at_the_payer, "not filed"), "not filed: member-unknown");
    let text = one_line(&stage.provider.run(&["show", id]).stdout);
    assert!(text.contains(&one_line(&at_the_provider.to_string())), "{text}");
    stage.stop();
}
