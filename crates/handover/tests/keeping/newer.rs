//! A house that a newer program wrote is left alone by every command.

use crate::common::Stage;
use rusqlite::Connection;
use sim::TownPlan;

#[test]
fn a_newer_house_is_left_alone() {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let mut stage = Stage::of_town(1, &plan).0;
    stage.payers[0].serve();
    stage.payers[0].stop();
    let payer = &stage.payers[0];
    let database = payer.folder.join("store/house.sqlite");
    let db = Connection::open(&database).unwrap();
    db.execute("INSERT INTO schema (version, step) VALUES (99, x'00')", []).unwrap();
    drop(db);
    let before = std::fs::read(&database).unwrap();
    for words in [&["list"][..], &["serve"], &["db", "migrate"], &["retention", "run"]] {
        let (code, said) = payer.json(words);
        assert_eq!((code, said["issue"]["code"].as_str()), (2, Some("store-newer")), "{words:?}");
    }
    let (code, said) = payer.json(&["db", "check"]);
    assert_eq!((code, said["lines"][0]["issue"]["code"].as_str()), (2, Some("store-newer")));
    assert_eq!(std::fs::read(&database).unwrap(), before, "nothing was changed");
}
