//! A house of the first version, with 20,000 records, becomes one of today's, however often the
//! migration is killed.

use crate::common::{House, Process, Stage};
use exchange::submission::Submission;
use exchange::{Chain, Digest, Entry, Event, PartnerId, SubmissionId};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use sim::TownPlan;
use std::path::Path;
use store::{Anchor, LedgerKey};

const RECORDS: usize = 20_000;
const SUBMISSIONS: usize = 2_500;

/// What the first version left in the store, by its own first schema step.
fn write_old_store(house: &House) {
    let folder = house.folder.join("store");
    let db = Connection::open(folder.join("house.sqlite")).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; BEGIN").unwrap();
    let step = include_str!("../../../store/src/sqlite/schema_1.sql");
    let table = "CREATE TABLE schema (version INTEGER PRIMARY KEY, step BLOB NOT NULL) STRICT";
    db.execute_batch(table).unwrap();
    db.execute_batch(step).unwrap();
    let schema = "INSERT INTO schema (version, step) VALUES (1, ?1)";
    db.execute(schema, [Digest::of(step.as_bytes()).0]).unwrap();
    let row = "INSERT INTO houses (house, name, blob_key, lines) VALUES (1, ?1, ?2, ?3)";
    db.execute(row, params![house.name, [7u8; 32], SUBMISSIONS as i64]).unwrap();
    (0..SUBMISSIONS).for_each(|number| write_submission(&db, number));
    (0..RECORDS).for_each(|number| write_record(&db, number));
    db.execute_batch("COMMIT").unwrap();
    // Nothing was signed yet.
    let pem = house.read("keys/ledger.pem");
    let anchor = Anchor::of_nothing(&LedgerKey::from_pem(&pem).unwrap());
    anchor.write(&house.folder.join("keys/ledger.anchor"), &[]).unwrap();
}

fn write_submission(db: &Connection, number: usize) {
    let at = Timestamp::from_second(1_700_000_000 + number as i64).unwrap();
    let id = SubmissionId::from(format!("s{number:06}").as_str());
    let body = format!("body {number}").into_bytes();
    let digest = Digest::of(&body);
    let event = Event::Received {
        sender: PartnerId::from("hospital"),
        key: Some(format!("key|{number}")),
        digest,
        bytes: body.len() as u64,
        entries: 1,
    };
    let chain = Chain::Submission(id.clone());
    let entry = Entry::new(number as u64 + 1, at, chain, &event, Digest([0; 32]));
    let insert = "INSERT INTO entries (house, seq, at, chain, body, prev, hash)
        VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)";
    let (at, chain) = (entry.at.as_microsecond(), entry.chain.to_string());
    let values = params![entry.seq as i64, at, chain, entry.body, entry.prev.0, entry.hash.0];
    db.execute(insert, values).unwrap();
    let submission = Submission::begin(id.clone(), entry.at, &event).unwrap();
    let work = "INSERT INTO works (house, id, kind, lane, partner, label, state, revision, created,
            changed, body) VALUES (1, ?1, 3, ?1, 'hospital', ?2, 'due', 1, ?3, ?3, ?4)";
    let json = serde_json::to_vec(&submission).unwrap();
    db.execute(work, params![id.as_str(), format!("key|{number}"), at, json]).unwrap();
    let blob = "INSERT INTO blobs (house, digest, content) VALUES (1, ?1, ?2)";
    db.execute(blob, params![digest.0, body]).unwrap();
}

fn write_record(db: &Connection, number: usize) {
    let id = format!("o{number}");
    let content = format!(
        "{{\"resourceType\":\"Observation\",\"id\":\"{id}\",\"status\":\"final\",\
         \"code\":{{\"coding\":[{{\"system\":\"http://loinc.org\",\"code\":\"{}\"}}]}},\
         \"subject\":{{\"reference\":\"Patient/p{}\"}},\
         \"effectiveDateTime\":\"2026-01-{:02}\"}}",
        number % 50,
        number % 400,
        number % 28 + 1,
    );
    let record = "INSERT INTO records (record, house, kind, id, newest, deleted, updated, owner,
            date, status) VALUES (?1, 1, 'Observation', ?2, 1, 0, 1, 'hospital', '2026', 'final')";
    db.execute(record, params![number as i64 + 1, id]).unwrap();
    let version = "INSERT INTO versions (house, record, version, updated, owner, receipt, digest,
            deleted, content) VALUES (1, ?1, 1, 1, 'hospital', ?2, ?3, 0, ?4)";
    let receipt = format!("s{:06}", number % SUBMISSIONS);
    let digest = Digest::of(content.as_bytes()).0;
    db.execute(version, params![number as i64 + 1, receipt, digest, content.as_bytes()]).unwrap();
}

/// All that a migration writes, as text.
fn picture(folder: &Path) -> Vec<String> {
    let db = Connection::open(folder.join("store/house.sqlite")).unwrap();
    let queries = [
        "SELECT id || '|' || coalesce((SELECT s.id FROM subjects s WHERE s.subject = r.patient), '')
            || '|' || coalesce(date_from, '') || '|' || coalesce(date_to, '') || '|' || status
            FROM records r ORDER BY id",
        "SELECT token || '|' || record FROM tokens ORDER BY token, record",
        "SELECT work || '|' || hex(digest) FROM blob_uses ORDER BY work, digest",
        "SELECT keys_edition || '|' || coalesce(uses_line, '') || '|' || coalesce(uses_work, '')
            FROM houses",
        "SELECT seq || '|' || hex(hash) FROM entries ORDER BY seq",
    ];
    let mut all = Vec::new();
    for query in queries {
        let mut statement = db.prepare(query).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        all.extend(rows.map(Result::unwrap));
    }
    all
}

#[test]
fn an_old_house_is_migrated_however_often_that_is_cut_off() {
    let plan = TownPlan { hospitals: 1, plans: 2, ..TownPlan::default() };
    let stage = Stage::of_town(1, &plan).0;
    let (whole, killed) = (&stage.payers[0], &stage.payers[1]);
    for house in [whole, killed] {
        write_old_store(house);
        for words in [&["list"][..], &["serve"], &["retention", "run"]] {
            let (code, said) = house.json(words);
            let told = (code, said["issue"]["code"].as_str());
            assert_eq!(told, (2, Some("migration-needed")), "{words:?}");
        }
        let (code, said) = house.json(&["db", "check"]);
        let told = (code, said["lines"][0]["issue"]["code"].as_str());
        assert_eq!(told, (2, Some("migration-needed")));
    }
    let said = whole.run(&["db", "migrate"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("20000 records read anew"), "{}", said.stdout);

    let folder = killed.folder.to_str().unwrap();
    for point in ["schema", "linked:2", "rekeyed:9", "rekeyed:9", "rekeyed:9"] {
        let words = ["--house", folder, "db", "migrate"];
        let mut halted = Process::start(&words, &[("HANDOVER_HALT_AFTER", point)]);
        halted.wait_halted();
        halted.kill();
        let (code, said) = killed.json(&["list"]);
        let told = (code, said["issue"]["code"].as_str());
        assert_eq!(told, (2, Some("migration-needed")), "killed after {point}");
    }
    let said = killed.run(&["db", "migrate"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let again = killed.run(&["db", "migrate"]);
    assert!(again.stdout.contains("0 records read anew"), "{}", again.stdout);

    let expected = picture(&whole.folder);
    assert_eq!(picture(&killed.folder), expected);
    let counted = |what: &str| expected.iter().filter(|line| line.contains(what)).count();
    assert_eq!(counted("|final"), RECORDS, "each has its status");
    assert_eq!(counted("o1|p1|"), 1, "and its patient");
    for house in [whole, killed] {
        let (_, said) = house.json(&["db", "check"]);
        let lines = said["lines"].as_array().unwrap().iter();
        let wrong: Vec<_> = lines.filter(|line| !line["issue"].is_null()).collect();
        assert_eq!(wrong.len(), 1, "but for the lines that this test did not write: {wrong:?}");
        assert_eq!(wrong[0]["what"], "ledger");
        assert_eq!(house.run(&["list", "--limit", "3"]).code, 0, "it is at work again");
    }
}
