//! Goal: a house that the first version wrote becomes one of today's, and every content is linked
//! to the work that uses it, however often the run is cut off.
//!
//! How: the first schema step as it was released, filled by the statements of that time.

#![allow(clippy::unwrap_used)]

use exchange::{Event, SubmissionId};

use super::file::prepare;
use super::schema::KNOWN;
use super::tests::{at, house};
use super::*;
use rusqlite::params;

/// A file as the first version left it: submissions with a body that a line names, an answer that
/// only the row of work names, a record each, and a body that the first two share.
pub(super) fn write_old_house(folder: &Path, submissions: usize) {
    let db = Connection::open(folder.join(DATABASE)).unwrap();
    prepare(&db).unwrap();
    let step = include_str!("schema_1.sql");
    db.execute_batch(
        "BEGIN; CREATE TABLE schema (version INTEGER PRIMARY KEY, step BLOB NOT NULL) STRICT",
    )
    .unwrap();
    db.execute_batch(step).unwrap();
    let schema = "INSERT INTO schema (version, step) VALUES (1, ?1)";
    db.execute(schema, [Digest::of(step.as_bytes()).0]).unwrap();
    let house = "INSERT INTO houses (house, name, blob_key) VALUES (1, 'one', ?1)";
    db.execute(house, [[7u8; 32]]).unwrap();
    for number in 0..submissions {
        write_submission(&db, number);
    }
    db.execute_batch("COMMIT").unwrap();
}

pub(super) fn body(number: usize) -> Vec<u8> {
    format!("body {}", number.max(1)).into_bytes()
}

fn write_submission(db: &Connection, number: usize) {
    let id = format!("s{number}");
    let (body, answer) = (body(number), format!("answer {number}").into_bytes());
    let (digest, told) = (Digest::of(&body), Digest::of(&answer));
    let event = Event::Received {
        sender: PartnerId::from("hospital"),
        key: None,
        digest,
        bytes: 1,
        entries: 1,
    };
    let chain = Chain::Submission(SubmissionId::from(id.as_str()));
    ledger::write(db, 1, at(1), &[(chain, event)]).unwrap();
    let work = "INSERT INTO works (house, id, kind, lane, partner, label, state, revision, created,
            changed, body) VALUES (1, ?1, 3, ?1, 'hospital', ?1, 'filed', 1, 1, 1, ?2)";
    db.execute(work, params![id, format!("{{\"answer\":\"{told}\"}}").into_bytes()]).unwrap();
    for (digest, content) in [(digest, &body), (told, &answer)] {
        let blob = "INSERT INTO blobs (house, digest, content) VALUES (1, ?1, ?2)
            ON CONFLICT DO NOTHING";
        db.execute(blob, params![digest.0, content]).unwrap();
    }
    let record = "INSERT INTO records (record, house, kind, id, newest, deleted, updated, owner,
            date) VALUES (?1, 1, 'Basic', ?2, 1, 0, 1, 'hospital', '2026-01-03')";
    db.execute(record, params![number as i64 + 1, id]).unwrap();
    let version = "INSERT INTO versions (house, record, version, updated, owner, receipt, digest,
            deleted, content) VALUES (1, ?1, 1, 1, 'hospital', ?2, ?3, 0, ?4)";
    let content = format!("record {number}").into_bytes();
    let row = params![number as i64 + 1, id, Digest::of(&content).0, content];
    db.execute(version, row).unwrap();
    let token = "INSERT INTO tokens (house, kind, token, record) VALUES (1, 'Basic', ?1, ?2)";
    for own in [format!("ids:{id}|"), "code:x|urn:a".to_owned()] {
        db.execute(token, params![own, number as i64 + 1]).unwrap();
    }
}

#[tokio::test]
async fn an_old_house_becomes_one_of_today() {
    let folder = tempfile::tempdir().unwrap();
    write_old_house(folder.path(), 50);
    assert_eq!(SqliteHouse::schema(folder.path()).unwrap(), Some((1, KNOWN)), "nothing is changed");
    assert_eq!(SqliteHouse::schema(folder.path()).unwrap(), Some((1, KNOWN)), "by looking");
    let open = || SqliteHouse::open(folder.path(), &house("one")).unwrap();
    let mut opened = open();
    assert_eq!(SqliteHouse::schema(folder.path()).unwrap(), Some((KNOWN, KNOWN)));
    let mut left = opened.unlinked().await.unwrap();
    assert_eq!(left, Some(100), "fifty lines, fifty rows of work");
    while left.is_some() {
        let next = opened.link_uses(7).await.unwrap();
        assert!(next.unwrap_or(0) < left.unwrap(), "it goes on");
        left = next;
        drop(opened);
        opened = open();
    }
    assert_eq!(opened.link_uses(7).await.unwrap(), None, "once all are linked nothing is done");
    let uses = "SELECT count(*) FROM blob_uses";
    let count = async |opened: &SqliteHouse| {
        let count =
            opened.read(move |db, _| Ok(db.query_row(uses, [], |row| row.get::<_, i64>(0))?));
        count.await.unwrap()
    };
    assert_eq!(count(&opened).await, 100, "a body and an answer each");

    let purge = |id: &str| Purge { at: at(9), works: vec![id.to_owned()], lines: Vec::new() };
    let purged = opened.purge(purge("s0")).await.unwrap();
    assert_eq!(purged, Purged { versions: 1, blobs: 1 }, "the shared body stays");
    assert!(opened.blob(&Digest::of(&body(0))).await.unwrap().is_some());
    let purged = opened.purge(purge("s1")).await.unwrap();
    assert_eq!(purged, Purged { versions: 1, blobs: 2 }, "and goes with the last");
    let inspection = opened.inspect().await.unwrap();
    let whole = Inspection { contents: 48 + 2 * 49 - 1 - 1, ..Inspection::default() };
    assert_eq!(inspection, Inspection { contents: inspection.contents, ..whole }, "all is whole");
    assert_eq!(opened.unlinked().await.unwrap(), None);
}

/// What an index led to before stands in each row now: searches find by it, and what comes later
/// takes it away.
#[tokio::test]
async fn tokens_of_an_old_house_are_found_and_go_with_their_versions() {
    let folder = tempfile::tempdir().unwrap();
    write_old_house(folder.path(), 3);
    let opened = SqliteHouse::open(folder.path(), &house("one")).unwrap();
    let found = async |ids: &[&str], tokens: &[&str]| {
        let query = RecordQuery {
            kind: "Basic".to_owned(),
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            tokens: tokens.iter().map(|token| vec![(*token).to_owned()]).collect(),
            limit: 9,
            ..RecordQuery::default()
        };
        assert_eq!(
            opened.count(query.clone()).await.unwrap(),
            opened.search(query.clone()).await.unwrap().len() as u64
        );
        opened.search(query).await.unwrap().into_iter().map(|it| it.id).collect::<Vec<_>>()
    };
    assert_eq!(found(&[], &["code:x"]).await, ["s0", "s1", "s2"]);
    let of_two = ["s0", "s1"];
    assert_eq!(found(&of_two, &["code:x"]).await, of_two, "by the name alone");
    assert_eq!(found(&of_two, &["code:x|urn:a", "ids:s1|"]).await, ["s1"], "each must fit");
    assert!(found(&of_two, &["code:x|urn:b"]).await.is_empty());
    assert!(found(&of_two, &["code:"]).await.is_empty(), "no part of a name is one");

    let record = crate::NewVersion {
        kind: "Basic".to_owned(),
        id: "s0".to_owned(),
        owner: PartnerId::from("hospital"),
        receipt: "later".to_owned(),
        lane: None,
        number: None,
        content: Some(Bytes::from_static(b"{}")),
        keys: crate::RecordKeys {
            tokens: vec!["code:\"y\u{e9}\"|urn:a".to_owned()],
            ..crate::RecordKeys::default()
        },
    };
    let gone = crate::NewVersion { id: "s2".to_owned(), content: None, ..record.clone() };
    opened
        .commit(Unit { at: at(5), records: vec![record, gone], ..Unit::default() })
        .await
        .unwrap();
    let purge = Purge { at: at(9), works: vec!["s1".to_owned()], lines: Vec::new() };
    opened.purge(purge).await.unwrap();
    assert!(found(&[], &["code:x"]).await.is_empty(), "of another version, deleted, purged");
    assert!(found(&[], &["ids:s0|"]).await.is_empty());
    assert_eq!(found(&["s0"], &["code:\"y\u{e9}\""]).await, ["s0"]);
    let left =
        "SELECT count(*) + (SELECT count(*) FROM records WHERE tokens IS NOT NULL) FROM tokens";
    let left = opened.read(move |db, _| Ok(db.query_row(left, [], |row| row.get::<_, i64>(0))?));
    assert_eq!(left.await.unwrap(), 2, "one token, in its table and in its row");
}

#[tokio::test]
async fn a_new_house_has_nothing_to_link() {
    let (_folder, opened) = super::tests::open_here();
    assert_eq!(opened.unlinked().await.unwrap(), None);
    let none = tempfile::tempdir().unwrap();
    assert_eq!(SqliteHouse::schema(none.path()).unwrap(), None);
}

#[tokio::test]
async fn an_inspection_counts_what_is_not_as_it_was_written() {
    let (folder, opened) = super::tests::open_here();
    for (id, bytes) in [("a", 9), ("b", 99_999), ("c", 9), ("d", 99_999)] {
        opened.commit(super::tests::full_unit(id, bytes)).await.unwrap();
    }
    let whole = Inspection { contents: 8, ..Inspection::default() };
    assert_eq!(opened.inspect().await.unwrap(), whole);
    let blobs = folder.path().join(BLOBS);
    let file = std::fs::read_dir(&blobs).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(&file).unwrap();
    std::fs::write(blobs.join(Digest::of(b"orphan").to_string()), "x").unwrap();
    let change = |db: &Connection| {
        row::run(db, "UPDATE versions SET content = x'00' WHERE rowid = 1", [])?;
        Ok(Outcome::Keep(()))
    };
    opened.write(0, change).await.unwrap();
    let found = opened.inspect().await.unwrap();
    let expected = Inspection { contents: 5, damaged: 3, orphans: 1, ..Inspection::default() };
    assert_eq!(found, expected, "a file that two rows name, and a row");
    let reading = SqliteHouse::open_to_read(folder.path(), &house("one")).unwrap();
    assert_eq!(reading.inspect().await.unwrap(), expected, "by reading only as well");
}
