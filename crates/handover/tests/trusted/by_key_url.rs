//! SMART with keys by URL: the plan knows the hospital's `.well-known/jwks.json` and no key of it.

use crate::common::Stage;
use crate::{amend, asked, known, pushed, stage, waits_for};
use serde_json::Value;

const HOSPITAL: &str = "partners/hospital.json";

/// The plan's file of the hospital has a URL in the place of keys.
fn by_url(seed: u64) -> Stage {
    let stage = stage(seed);
    let url = format!("{}/.well-known/jwks.json", stage.provider.public().base_url);
    amend(&stage.payers[0], HOSPITAL, |public| {
        public["jwks"] = Value::Null;
        public["jwks_url"] = url.into();
    });
    stage
}

#[test]
fn a_push_settles_by_keys_that_the_plan_asks_for() {
    let mut stage = by_url(21);
    stage.serve();
    let finished = known(&stage);
    let before = asked(&stage.payers[0]);
    assert_eq!(pushed(&stage, &finished[0]).state, "settled");
    assert_eq!(pushed(&stage, &finished[1]).state, "settled");
    assert_eq!(asked(&stage.payers[0]) - before, 1, "one token serves both");

    // The plan that starts anew knows no key any more, and asks for them again.
    stage.payers[0].stop();
    stage.payers[0].serve();
    assert_eq!(pushed(&stage, &finished[2]).state, "settled");
    stage.stop();
}

#[test]
fn another_houses_keys_at_the_url_let_nobody_in() {
    let mut stage = by_url(22);
    // The plan's own keys are somebody's, published in the same way.
    let url = format!("{}/.well-known/jwks.json", stage.payers[0].public().base_url);
    let own = stage.payers[0].public().authority;
    amend(&stage.payers[0], HOSPITAL, |public| {
        public["jwks_url"] = url.into();
        public["authority"] = own.into();
    });
    stage.serve();
    let (code, words) = waits_for(&pushed(&stage, &known(&stage)[0]));
    assert_eq!(code, "sign-in-refused", "{words}");
    assert!(words.contains("invalid_client"), "{words}");
    assert!(stage.payers[0].records().is_empty());
    stage.stop();
}

#[test]
fn a_url_that_the_plan_may_not_reach_waits_for_people_and_never_lets_in() {
    let mut stage = by_url(23);
    // What partners name leads to public addresses only, where nobody allowed others.
    stage.payers[0].replace("house.toml", "allow = [\"127.0.0.0/8\", \"::1\"]", "allow = []");
    stage.serve();
    let row = stage.provider.push(&known(&stage)[0]).remove(0);
    assert_ne!(row.state, "settled", "{row:?}");
    assert!(!row.issues.is_empty(), "it is told: {row:?}");
    let check = stage.payers[0].run(&["check"]).stdout;
    let line = check.lines().find(|line| line.contains("client hospital: keys"));
    assert!(line.is_some_and(|line| line.starts_with("WAITS")), "{check}");
    assert!(stage.payers[0].records().is_empty());
    stage.stop();
}
