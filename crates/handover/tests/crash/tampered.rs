//! Whoever changes a house's ledger behind its back is found by `ledger verify`, which names the
//! first bad line.
//!
//! How: two real ledgers, the provider's and the payer's, each with two checkpoints and a tail that
//! no checkpoint covers (the houses were ended before they could sign it). Each row tampers with a
//! copy of the folder by plain SQL, at two places of each ledger.

use crate::common::House;
use crate::day::{Day, Role};
use exchange::Digest;
use exchange::ledger::entry_hash;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;

/// A ledger: the last lines of its checkpoints, and its last line.
#[derive(Debug, Clone, Copy)]
struct Ledger {
    first: u64,
    second: u64,
    last: u64,
}

/// Changes a ledger at or behind one of its lines.
type Tamper = fn(&Connection, Ledger, u64);

/// Which line must be named; of a range any, where nothing but a checkpoint can tell.
type Named = fn(Ledger, u64) -> RangeInclusive<u64>;

/// Both houses after a day in three parts: two that were signed and one that was not.
fn lived() -> Day {
    let mut day = Day::begin(4, None);
    for (part, (patient, number)) in [(0, 0), (1, 1), (2, 0)].into_iter().enumerate() {
        let encounter = day.encounter(patient, number);
        day.push(&encounter);
        day.rest();
        match part {
            2 => [Role::Provider, Role::Payer].map(|role| day.house(role).kill()),
            _ => {
                day.stage.stop();
                day.stage.serve();
                [(), ()]
            }
        };
    }
    day
}

fn ledger(house: &House) -> Ledger {
    let db = Connection::open(house.folder.join("store/house.sqlite")).unwrap();
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64;
    let ledger = Ledger {
        first: number("SELECT seq FROM checkpoints WHERE number = 1"),
        second: number("SELECT max(seq) FROM checkpoints"),
        last: number("SELECT max(seq) FROM entries"),
    };
    assert!(ledger.first > 4 && ledger.second > ledger.first + 4, "{ledger:?}");
    assert!(ledger.last > ledger.second + 1, "a tail that is not signed: {ledger:?}");
    ledger
}

/// A copy of a house's folder, without its process.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// `ledger verify` of a folder, for people and for programs.
fn verify(folder: &Path) -> (i32, String, Value) {
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
        let output = command.arg("--house").arg(folder).args(words).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), text)
    };
    let (code, text) = run(&["ledger", "verify"]);
    let (same, json) = run(&["--json", "ledger", "verify"]);
    assert_eq!(code, same, "{text} {json}");
    (code, text, serde_json::from_str(&json).unwrap_or_else(|_| panic!("no JSON: {json}")))
}

fn run(db: &Connection, sql: &str) {
    db.execute_batch(sql).unwrap();
}

/// Moves the lines from `seq` on by some places, and corrects the count.
fn renumber(db: &Connection, seq: u64, by: i64) {
    run(db, &format!("UPDATE entries SET seq = -seq WHERE seq >= {seq}"));
    run(db, &format!("UPDATE entries SET seq = -seq + {by} WHERE seq < 0"));
    run(db, &format!("UPDATE houses SET lines = lines + {by}"));
}

/// Puts a copy of the line before into place `seq`.
fn insert(db: &Connection, seq: u64) {
    renumber(db, seq, 1);
    run(
        db,
        &format!(
            "INSERT INTO entries SELECT house, {seq}, at, chain, body, prev, hash
             FROM entries WHERE seq = {seq} - 1"
        ),
    );
}

/// Gives a line the hashes that fit its place, as far as somebody without a key can.
fn rehash(db: &Connection, seq: u64) {
    let line = "SELECT at, chain, body FROM entries WHERE seq = ?1";
    let (at, chain, body): (i64, String, String) = db
        .query_row(line, [seq.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    let before = "SELECT hash FROM entries WHERE chain = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT 1";
    let found = db.query_row(before, params![chain, seq.cast_signed()], |row| row.get(0));
    let prev: [u8; 32] = found.optional().unwrap().unwrap_or_default();
    let at = Timestamp::from_microsecond(at).unwrap();
    let hash = entry_hash(seq, at, &chain.parse().unwrap(), &body, &Digest(prev));
    let update = "UPDATE entries SET prev = ?2, hash = ?3 WHERE seq = ?1";
    db.execute(update, params![seq.cast_signed(), prev, hash.0]).unwrap();
}

const AT: Named = |_, k| k..=k;
const SINCE_CHECKPOINT: Named = |ledger, k| match k <= ledger.first {
    true => 1..=k,
    false => ledger.first + 1..=k,
};

const TABLE: [(&str, Tamper, Named); 12] = [
    (
        "a line says something else",
        |db, _, k| {
            let body = r#"replace(body, '":"', '":"x')"#;
            run(db, &format!("UPDATE entries SET body = {body} WHERE seq = {k}"));
        },
        AT,
    ),
    (
        "a line says something else and is hashed again",
        |db, _, k| {
            run(db, &format!("UPDATE entries SET body = body || ' ' WHERE seq = {k}"));
            rehash(db, k);
        },
        SINCE_CHECKPOINT,
    ),
    (
        "a line says another time",
        |db, _, k| run(db, &format!("UPDATE entries SET at = at + 1000000 WHERE seq = {k}")),
        AT,
    ),
    ("a line is removed", |db, _, k| run(db, &format!("DELETE FROM entries WHERE seq = {k}")), AT),
    (
        "three lines are removed",
        |db, _, k| run(db, &format!("DELETE FROM entries WHERE seq BETWEEN {k} AND {k} + 2")),
        AT,
    ),
    (
        "a line is removed and the others close the gap",
        |db, _, k| {
            run(db, &format!("DELETE FROM entries WHERE seq = {k}"));
            renumber(db, k + 1, -1);
        },
        AT,
    ),
    ("a line is inserted", |db, _, k| insert(db, k), AT),
    (
        "a line is inserted with hashes that fit its place",
        |db, _, k| {
            insert(db, k);
            rehash(db, k);
        },
        AT,
    ),
    (
        "the tail behind the last checkpoint is cut",
        |db, ledger, _| run(db, &format!("DELETE FROM entries WHERE seq > {}", ledger.second)),
        |ledger, _| ledger.second + 1..=ledger.second + 1,
    ),
    (
        "the last line is cut",
        |db, ledger, _| run(db, &format!("DELETE FROM entries WHERE seq = {}", ledger.last)),
        |ledger, _| ledger.last..=ledger.last,
    ),
    (
        "the tail behind the first checkpoint is cut and the count corrected",
        |db, ledger, _| cut_behind(db, ledger.first),
        |ledger, _| ledger.first + 1..=ledger.first + 1,
    ),
    (
        "the tail is cut in the midst of what is signed and the count corrected",
        |db, ledger, _| cut_behind(db, ledger.second - 2),
        |ledger, _| ledger.second - 1..=ledger.second - 1,
    ),
];

/// Cuts all lines behind one, and lets the house believe that there were never more.
fn cut_behind(db: &Connection, last: u64) {
    run(db, &format!("DELETE FROM entries WHERE seq > {last}"));
    run(db, &format!("UPDATE houses SET lines = {last}"));
}

#[test]
fn whatever_is_done_to_a_ledger_verify_finds_it_and_names_the_first_bad_line() {
    let day = lived();
    for house in [&day.stage.provider, &day.stage.payers[0]] {
        let ledger = ledger(house);
        let untouched = day.stage.folder.path().join(format!("{}-untouched", house.name));
        copy(&house.folder, &untouched);
        let (code, text, reply) = verify(&untouched);
        assert_eq!((code, &reply["broken"]), (0, &Value::Null), "{}: {text}", house.name);
        let proved = (reply["proved_to"].as_u64(), reply["last"].as_u64());
        assert_eq!(proved, (Some(ledger.second), Some(ledger.last)), "{}", house.name);
        let rest = format!("Entries {} to {} are not yet proved", ledger.second + 1, ledger.last);
        assert!(text.contains(&rest), "{}: {text}", house.name);

        for (number, (case, tamper, named)) in TABLE.iter().enumerate() {
            for k in [ledger.first / 2 + 1, ledger.first + 2] {
                let case = format!("{case}, line {k} of the ledger of {}", house.name);
                let to = day.stage.folder.path().join(format!("{}-{number}-{k}", house.name));
                copy(&house.folder, &to);
                let db = Connection::open(to.join("store/house.sqlite")).unwrap();
                run(&db, "DROP TRIGGER entries_stand; DROP TRIGGER entries_stay");
                tamper(&db, ledger, k);
                drop(db);
                let (code, text, reply) = verify(&to);
                assert_eq!(code, 2, "{case}: {text}");
                let found = reply["broken"][0].as_u64().unwrap();
                assert!(named(ledger, k).contains(&found), "{case}: {text}");
                let sentence = format!("first bad entry {found}");
                assert!(
                    text.contains(&sentence) && text.contains("ledger-broken"),
                    "{case}: {text}"
                );
            }
        }
    }
}
