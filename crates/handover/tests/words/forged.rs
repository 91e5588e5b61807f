//! A ledger replaced by whoever can write to the database, but has no key.

use crate::common::House;
use exchange::ledger::entry_hash;
use exchange::{Code, Digest};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use store::House as _;

/// A house that was opened and stopped twice: two lines, two checkpoints.
fn house(folder: &Path) -> House {
    let mut house = House::provider(&folder.join("clinic"), "https://127.0.0.1:1/fhir");
    house.log = "off".to_owned();
    house.write("tls/ehr-authority.pem", &house.read("tls/authority.pem"));
    for _ in 0..2 {
        house.serve();
        house.stop();
    }
    house
}

fn database(house: &House) -> Connection {
    let db = Connection::open(house.folder.join("store/house.sqlite")).unwrap();
    db.execute_batch("DROP TRIGGER entries_stand; DROP TRIGGER entries_stay").unwrap();
    db
}

/// Removes the first line, and makes what is left fit together.
fn remove_the_first_line(db: &Connection) {
    db.execute_batch(
        "DELETE FROM entries WHERE seq = 1;
         UPDATE entries SET seq = -seq; UPDATE entries SET seq = -seq - 1;
         UPDATE houses SET lines = lines - 1;",
    )
    .unwrap();
    let mut heads: HashMap<String, Digest> = HashMap::new();
    let mut select = db.prepare("SELECT seq, at, chain, body FROM entries ORDER BY seq").unwrap();
    let lines: Vec<(i64, i64, String, String)> = select
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (seq, at, chain, body) in lines {
        let prev = heads.get(&chain).copied().unwrap_or(Digest([0; 32]));
        let at = Timestamp::from_microsecond(at).unwrap();
        let hash = entry_hash(seq.cast_unsigned(), at, &chain.parse().unwrap(), &body, &prev);
        let update = "UPDATE entries SET prev = ?2, hash = ?3 WHERE seq = ?1";
        db.execute(update, params![seq, prev.0, hash.0]).unwrap();
        heads.insert(chain, hash);
    }
}

/// A case, what is done, and the first bad line.
type Forgery = (&'static str, fn(&House), u64);

#[test]
fn a_replaced_ledger_neither_verifies_nor_is_signed() {
    let table: [Forgery; 7] = [
        (
            "all checkpoints removed, a line removed, the rest hashed again",
            |house| {
                let db = database(house);
                db.execute_batch("DELETE FROM checkpoints").unwrap();
                remove_the_first_line(&db);
            },
            1,
        ),
        (
            "the newest checkpoint removed",
            |house| {
                let newest = "DELETE FROM checkpoints WHERE number = 2";
                database(house).execute_batch(newest).unwrap();
            },
            2,
        ),
        (
            "all checkpoints removed",
            |house| database(house).execute_batch("DELETE FROM checkpoints").unwrap(),
            1,
        ),
        (
            "the whole store removed",
            |house| fs::remove_dir_all(house.folder.join("store")).unwrap(),
            1,
        ),
        (
            "the anchor removed",
            |house| fs::remove_file(house.folder.join("keys/ledger.anchor")).unwrap(),
            1,
        ),
        (
            "the anchor changed",
            |house| house.replace("keys/ledger.anchor", "anchor 1\n2\n", "anchor 1\n1\n"),
            1,
        ),
        ("the anchor emptied", |house| house.write("keys/ledger.anchor", ""), 1),
    ];
    for (case, forge, first_bad) in table {
        let folder = tempfile::tempdir().unwrap();
        let mut house = house(folder.path());
        assert_eq!(house.run(&["ledger", "verify"]).code, 0);
        forge(&house);
        let lines = lines(&house);
        let found = |house: &House| {
            let said = house.run(&["ledger", "verify"]);
            assert_eq!(said.code, 2, "{case}: {}", said.stdout);
            let named = format!("first bad entry {first_bad}:");
            assert!(said.stdout.contains(&named), "{case}: {}", said.stdout);
        };
        found(&house);
        let said = house.run(&["serve"]);
        assert_eq!(said.code, 2, "{case}: {}", said.stderr);
        let slug = Code::LedgerBroken.row().slug;
        assert!(said.stderr.contains(slug), "{case}: {}", said.stderr);
        assert_eq!(self::lines(&house), lines, "{case}: nothing is written or signed");
        let (code, checked) = house.json(&["check"]);
        let all = checked["lines"].as_array().unwrap();
        let line = all.iter().find(|line| line["what"] == "ledger").unwrap();
        assert_eq!((code, line["issue"]["code"].as_str()), (2, Some(slug)), "{case}: {checked}");
        found(&house);
        house.stop();
    }
}

/// Lines and checkpoints there are.
fn lines(house: &House) -> (i64, i64) {
    let Ok(db) = Connection::open(house.folder.join("store/house.sqlite")) else { return (0, 0) };
    let count = |table: &str| {
        let count = format!("SELECT count(*) FROM {table}");
        db.query_row(&count, [], |row| row.get(0)).unwrap_or(0)
    };
    (count("entries"), count("checkpoints"))
}

#[test]
fn an_anchor_that_a_crash_left_behind_is_brought_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut house = house(folder.path());
    let anchor = |house: &House| house.read("keys/ledger.anchor");
    let before = anchor(&house);
    house.serve();
    house.stop();
    let third = anchor(&house);
    assert_ne!(before, third);
    house.write("keys/ledger.anchor", &before);
    assert_eq!(house.run(&["ledger", "verify"]).code, 0, "the anchored one is there");
    house.serve();
    assert_eq!(anchor(&house), third, "brought up before anything is written");
    house.stop();
    assert_eq!(house.run(&["ledger", "verify"]).code, 0);
}

#[tokio::test]
async fn a_root_that_a_partner_holds_is_compared() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path());
    let checkpoints = house.memory().checkpoints(0, u32::MAX).await.unwrap();
    let of = |number: usize| (checkpoints[number].seq, checkpoints[number].root);
    let ((first, root), (second, other)) = (of(0), of(1));
    let table = [
        ("both roots", vec![(first, root), (second, other)], 0, ""),
        ("another root", vec![(first, root), (second, root)], 2, "first bad entry 2:"),
        ("a line that is not there", vec![(second + 1, other)], 2, "first bad entry 3:"),
        ("no line", vec![(0, other)], 2, "first bad entry"),
    ];
    for (case, roots, code, named) in table {
        let roots: Vec<String> = roots.iter().map(|(seq, root)| format!("{seq}:{root}")).collect();
        let mut words = vec!["ledger", "verify"];
        roots.iter().for_each(|root| words.extend(["--witness", root]));
        let said = house.run(&words);
        assert_eq!(said.code, code, "{case}: {}{}", said.stdout, said.stderr);
        assert!(said.stdout.contains(named), "{case}: {}", said.stdout);
    }
    assert_eq!(house.run(&["ledger", "verify", "--witness", "2:x"]).code, 2);
}
