//! What an agreement's time is over for goes, and its story stays.

use crate::common::{House, Stage, who};
use crate::stage;
use exchange::desk::{Command, Reply};
use rusqlite::Connection;

/// Both houses have agreed to keep contents for a day, and three have passed since.
fn three_days_later(stage: &Stage) {
    for (house, partner) in
        [(&stage.provider, &stage.payers[0].name), (&stage.payers[0], &stage.provider.name)]
    {
        let agreement = format!("agreements/{partner}.toml");
        house.replace(&agreement, "# [retention]", "[retention]");
        house.replace(&agreement, "# content_days = 3650", "content_days = 1");
        let db = Connection::open(house.folder.join("store/house.sqlite")).unwrap();
        let days = 3 * 24 * 3_600_000_000_i64;
        db.execute("UPDATE works SET changed = changed - ?1", [days]).unwrap();
    }
}

fn contents(house: &House) -> (i64, i64) {
    let db = Connection::open(house.folder.join("store/house.sqlite")).unwrap();
    let versions = "SELECT count(*) FROM versions WHERE content IS NOT NULL OR file IS NOT NULL";
    let count = |sql| db.query_row(sql, [], |row| row.get(0)).unwrap();
    (count(versions), count("SELECT count(*) FROM blobs"))
}

fn words_of(house: &House, words: &[&str]) -> String {
    let said = house.run(words);
    assert_eq!(said.code, 0, "{words:?}: {}", said.stderr);
    said.stdout
}

#[test]
fn what_is_purged_leaves_a_house_that_still_tells_and_proves_everything() {
    let mut stage = stage(12);
    stage.serve();
    let pushed = stage.provider.push_all(&stage.finished());
    let rests = |state: &str| !matches!(state, "due" | "held");
    assert!(pushed.values().flatten().all(|row| rests(&row.state)), "{pushed:?}");
    let walk = pushed.values().flatten().find(|row| row.state == "settled").unwrap().id.clone();
    let records = stage.payers[0].records();
    let observation = records.keys().find(|record| record.starts_with("Observation/")).unwrap();
    stage.stop();
    three_days_later(&stage);
    let (provider, payer) = (&stage.provider, &stage.payers[0]);
    let dump = payer.dump();

    for house in [provider, payer] {
        let before = contents(house);
        let dry = words_of(house, &["retention", "run", "--dry-run"]);
        assert!(dry.contains("would be purged"), "{dry}");
        assert_eq!(contents(house), before, "only counted");
        let lists = (words_of(house, &["list"]), house.works(exchange_kind(house)).len());
        let run = words_of(house, &["retention", "run"]);
        assert!(run.contains("purged"), "{run}");
        assert_eq!(contents(house), (0, 0), "{}: nothing is left", house.name);
        let again = words_of(house, &["retention", "run"]);
        assert!(again.contains(": 0 pushes or submissions"), "{again}");
        let verified = words_of(house, &["ledger", "verify"]);
        assert!(verified.contains("verifies"), "{verified}");
        assert_eq!(house.run(&["db", "check"]).code, 0);
        assert_eq!(words_of(house, &["list"]), lists.0, "the list tells as before");
        let mut rows = house.works(exchange_kind(house)).into_iter();
        let sent = |state: &str| matches!(state, "settled" | "filed");
        let row = rows.find(|row| sent(&row.work.state)).unwrap();
        let shown = words_of(house, &["show", &row.work.id]);
        assert!(shown.contains("purged, 1 days after it ended"), "{shown}");
        let (code, page) = house.json(&["show", &row.work.id, "--page"]);
        assert_eq!((code, page["issue"]["code"].as_str()), (2, Some("content-purged")));
    }
    assert_eq!(payer.dump().len(), dump.len(), "every version stands");

    stage.serve();
    let (provider, payer) = (&stage.provider, &stage.payers[0]);
    let (status, outcome) = payer.get(observation);
    assert_eq!(status, 410, "{outcome}");
    assert_eq!(outcome["issue"][0]["details"]["coding"][0]["code"], "content-purged");
    assert!(payer.search_all("Observation").is_empty(), "no search finds it");
    // What was sent can still be taken back, record by record.
    let command = Command::Withdraw { id: walk, who: who("a wrong patient"), wait: 60 };
    match provider.ask(&command).unwrap() {
        Reply::Pushed { rows, .. } => assert_eq!(rows[0].state, "settled", "{rows:?}"),
        other => panic!("no answer to a withdrawal: {other:?}"),
    }
    let gone = payer.dump().len() - dump.len();
    assert!(gone > 1, "what the push had brought was deleted: {gone} versions more");
    let verified = words_of(payer, &["ledger", "verify"]);
    assert!(verified.contains("verifies"), "{verified}");
}

fn exchange_kind(house: &House) -> store::WorkKind {
    match house.name.starts_with("plan-") {
        true => store::WorkKind::Submission,
        false => store::WorkKind::Push,
    }
}

#[test]
fn a_serving_house_purges_by_itself_once_a_day() {
    let mut stage = stage(12);
    stage.serve();
    let encounter = stage.finished()[0].clone();
    stage.provider.push(&encounter);
    stage.stop();
    three_days_later(&stage);
    let payer = &mut stage.payers[0];
    payer.serve_with(&[("HANDOVER_HALT_AFTER", "retained")]);
    payer.process().wait_halted();
    payer.kill();
    assert_eq!(contents(payer), (0, 0));
    let verified = words_of(payer, &["ledger", "verify"]);
    assert!(verified.contains("fit") || verified.contains("verifies"), "{verified}");
}

#[test]
fn what_nobody_agreed_to_purge_is_kept() {
    let mut stage = stage(12);
    stage.serve();
    let encounter = stage.finished()[0].clone();
    stage.provider.push(&encounter);
    stage.stop();
    let payer = &stage.payers[0];
    let before = contents(payer);
    let said = words_of(payer, &["retention", "run"]);
    assert!(said.contains("No agreement says"), "{said}");
    assert_eq!(contents(payer), before);
}
