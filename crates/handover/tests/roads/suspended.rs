//! A partner is suspended: nothing passes in either direction, nothing is lost, and all of it goes on
//! afterwards.

use crate::common::{House, RUNTIME, Stage};
use crate::projection::rows_are_what_their_lines_add_up_to;
use exchange::desk::Row;
use exchange::{Entry, Event};
use sim::TownPlan;
use store::House as _;

fn one_plan() -> Stage {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(1, &plan);
    stage.serve();
    stage
}

fn row(house: &House, encounter: &str) -> Row {
    let is_it = |row: &Row| row.subject.as_deref().is_some_and(|it| it.ends_with(encounter));
    house.rows().into_iter().find(is_it).unwrap()
}

/// Looks until a push is settled; a test that hangs is ended by its runner.
fn settled(house: &House, encounter: &str) -> Row {
    loop {
        let row = row(house, encounter);
        if row.state == "settled" {
            return row;
        }
        assert!(matches!(row.state.as_str(), "due" | "held"), "{row:?}");
        std::thread::yield_now();
    }
}

fn codes(row: &Row) -> Vec<&str> {
    row.issues.iter().map(|words| words.issue.code.row().slug).collect()
}

#[test]
fn pushes_to_a_suspended_partner_wait_named_as_such_and_go_on_when_it_is_resumed() {
    let mut stage = one_plan();
    let partner = stage.payers[0].public().name.to_string();
    let provider = &stage.provider;
    let encounters = stage.finished();
    assert_eq!(provider.push(&encounters[0])[0].state, "settled");
    let before = stage.payers[0].records().len();

    let (code, told) = provider.json(&["partner", "suspend", &partner, "--why", "a key was lost"]);
    assert_eq!((code, told["rows"][0]["suspended"]["why"].as_str()), (1, Some("a key was lost")));
    for encounter in &encounters[1..3] {
        let held = provider.push(encounter).remove(0);
        assert_eq!((held.state.as_str(), codes(&held)), ("held", vec!["partner-suspended"]));
    }
    // A person who lets one go on all the same changes nothing.
    let held = row(provider, &encounters[1]);
    provider.json(&["release", &held.id, "--why", "it is urgent", "--wait", "20"]);
    assert_eq!(row(provider, &encounters[1]).state, "held");
    assert_eq!(stage.payers[0].records().len(), before, "nothing has passed");
    let check = provider.run(&["check"]).stdout;
    assert!(check.contains("has suspended all exchange with this partner"), "{check}");
    let list = provider.run(&["partner", "list"]).stdout;
    assert!(list.contains(&format!("{partner}  suspended")), "{list}");

    let (code, _) = provider.json(&["partner", "resume", &partner, "--why", "a new key is there"]);
    assert_eq!(code, 0);
    for encounter in &encounters[1..3] {
        settled(provider, encounter);
    }
    assert!(stage.payers[0].records().len() > before);
    let states = rows_are_what_their_lines_add_up_to(provider);
    assert!(states.contains("partner-resumed"), "{states:?}");
    stage.stop();
}

#[test]
fn a_suspended_sender_is_refused_with_the_token_it_has_and_files_again_when_resumed() {
    let mut stage = one_plan();
    let sender = stage.provider.public().name.to_string();
    let (provider, payer) = (&stage.provider, &stage.payers[0]);
    let encounters = stage.finished();
    assert_eq!(provider.push(&encounters[0])[0].state, "settled", "it holds a token now");
    let before = payer.records().len();

    let (code, _) = payer.json(&["partner", "suspend", &sender, "--why", "wrong patients came"]);
    assert_eq!(code, 1, "somebody has to resume it one day");
    let refused = provider.push(&encounters[1]).remove(0);
    assert_eq!(refused.state, "held", "{refused:?}");
    assert_eq!(payer.records().len(), before, "nothing has passed");
    rows_are_what_their_lines_add_up_to(payer);

    payer.json(&["partner", "resume", &sender, "--why", "they have mended it"]);
    provider.json(&["release", &refused.id, "--why", "the plan takes it again"]);
    settled(provider, &encounters[1]);
    stage.stop();
}

#[test]
fn only_a_partner_of_this_house_can_be_suspended_and_a_word_said_twice_is_one_line() {
    let mut stage = one_plan();
    let partner = stage.payers[0].public().name.to_string();
    stage.stop();
    let provider = &stage.provider;
    let (code, told) = provider.json(&["partner", "suspend", "nobody", "--why", "x"]);
    assert_ne!(code, 0);
    assert!(told.to_string().contains("partner-unknown"), "{told}");
    for _ in 0..2 {
        let (code, _) = provider.json(&["partner", "suspend", &partner, "--why", "x"]);
        assert_eq!(code, 1, "a house that does not run is told as well");
    }
    // Nor does a faulty agreement keep anybody from it.
    let agreement = format!("agreements/{partner}.toml");
    let good = provider.read(&agreement);
    provider.write(&agreement, "nonsense");
    let (code, told) = provider.json(&["partner", "resume", &partner, "--why", "x"]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(provider.json(&["partner", "suspend", &partner, "--why", "x"]).0, 1);
    provider.write(&agreement, &good);
    let lines = RUNTIME.block_on(provider.memory().entries(1, 1_000)).unwrap();
    let suspends = |line: &&Entry| matches!(line.event(), Ok(Event::PartnerSuspended { .. }));
    assert_eq!(lines.iter().filter(suspends).count(), 2);
    stage.serve();
    let held = stage.provider.push(&stage.finished()[0]).remove(0);
    assert_eq!(codes(&held), ["partner-suspended"], "and knows it when it runs again");
    stage.stop();
}
