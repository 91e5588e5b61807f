//! Goal: what was purged is in no file of the database server any more, once it is scrubbed.
//!
//! How: values planted in everything a purge removes, on a private server that keeps no old
//! write-ahead log (`wal_recycle = off`); then every byte of its folder is read.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use exchange::{Chain, Digest, Event, HouseId, PartnerId, SubmissionId};
use jiff::{SignedDuration, Timestamp};
use store::*;
use testdb::Server;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(3_000_000 + seconds)
}

/// A date of birth, as no other number of a house looks.
fn born(id: &str) -> Timestamp {
    at(if id == "first" { 111_111_111 } else { 222_222_222 })
}

/// Columns of records that the server's planner knows values of, of those that a purge empties.
const SAMPLED: &str = "SELECT count(*) FROM pg_stats WHERE tablename = 'records'
    AND attname IN ('date_from', 'date_to', 'patient', 'encounter', 'status')";

/// A planted value among bytes that no packing makes small.
fn planted(word: &str, size: usize) -> Bytes {
    let mut bytes = Vec::new();
    let mut noise = Digest::of(word.as_bytes());
    while bytes.len() < size {
        bytes.extend_from_slice(word.as_bytes());
        for _ in 0..30 {
            bytes.extend_from_slice(&noise.0);
            noise = Digest::of(&noise.0);
        }
    }
    bytes.into()
}

/// What a submission brings, with a word of its own in everything that a purge removes.
fn brought(id: &str, word: &str) -> Unit {
    let body = planted(&format!("{word}-body"), 200_000);
    let keys = RecordKeys {
        patient: Some("patient".to_owned()),
        encounter: None,
        date: Some(DateSpan { from: born(id), to: born(id) }),
        status: Some(format!("{word}-status")),
        tokens: vec![format!("ids|{word}-token")],
    };
    let record = |name: &str, size| NewVersion {
        kind: "Observation".to_owned(),
        id: name.to_owned(),
        owner: PartnerId::from("clinic"),
        receipt: id.to_owned(),
        lane: None,
        number: None,
        content: Some(planted(&format!("{word}-{name}"), size)),
        keys: keys.clone(),
    };
    let work = Work {
        id: id.to_owned(),
        kind: WorkKind::Submission,
        lane: id.to_owned(),
        partner: Some(PartnerId::from("clinic")),
        dossier: None,
        trigger: None,
        label: Some(id.to_owned()),
        gathered: None,
        number: None,
        state: "filed".to_owned(),
        due: None,
        body: b"{}".to_vec(),
    };
    Unit {
        at: at(0),
        lines: vec![(
            Chain::Submission(SubmissionId::from(id)),
            Event::Opened { version: "1".to_owned() },
        )],
        works: vec![work],
        records: vec![record(&format!("{id}-small"), 100), record(&format!("{id}-large"), 200_000)],
        first_answer: Some(FirstAnswer {
            sender: PartnerId::from("clinic"),
            key: id.to_owned(),
            digest: Digest::of(&body),
            status: 200,
            headers: Vec::new(),
            body: planted(&format!("{word}-answer"), 100),
        }),
        blobs: vec![(Digest::of(&body), body)],
        ..Unit::default()
    }
}

/// Planted words in the files of a folder, each with one file that holds it.
fn found(folder: &Path) -> BTreeMap<String, PathBuf> {
    let (mut open, mut found) = (vec![folder.to_owned()], BTreeMap::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                // Split by the first byte, which is quick: a word never has it twice.
                for rest in
                    bytes.split(|byte| *byte == b'p').filter(|it| it.starts_with(b"lanted-"))
                {
                    let word =
                        rest.split(|byte| !byte.is_ascii_lowercase() && *byte != b'-').next();
                    let word = String::from_utf8(word.unwrap().to_vec()).unwrap();
                    found.insert(format!("p{word}"), path.clone());
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn what_was_purged_is_in_no_file_of_the_server() {
    let settings = [("wal_recycle", "off"), ("autovacuum", "off"), ("wal_init_zero", "on")];
    let Some(server) = Server::start_with(&settings) else { return };
    let url = server.create_database("scrubbed");
    let place = PostgresPlace { url, ..PostgresPlace::default() };
    let house = PostgresHouse::open(&place, &HouseId::from("hospital")).await.unwrap();
    for (id, word) in [("first", "planted-goes"), ("second", "planted-stays")] {
        let written = house.commit(brought(id, word)).await.unwrap();
        assert!(matches!(written, Commit::Done { .. }));
    }
    // What the server knows of its tables may hold values of them.
    server.sql("scrubbed", "ANALYZE");
    assert_eq!(server.sql("scrubbed", SAMPLED).trim(), "0");
    server.sql("scrubbed", "CHECKPOINT");
    let before = found(&server.folder());
    for word in ["body", "first-small", "first-large", "answer", "status", "token"] {
        let word = format!("planted-goes-{word}");
        // Noise may follow that looks like more of it.
        assert!(before.keys().any(|found| found.starts_with(&word)), "{word} is there");
    }

    let purge = Purge { at: at(1), works: vec!["first".to_owned()], lines: Vec::new() };
    assert_eq!(house.purge(purge).await.unwrap(), Purged { versions: 2, blobs: 2 });
    house.scrub().await.unwrap();
    // The write-ahead log is its administrator's: without recycling, a checkpoint removes it.
    server.sql("scrubbed", "SELECT pg_switch_wal()");
    server.sql("scrubbed", "CHECKPOINT");
    server.sql("scrubbed", "SELECT pg_switch_wal()");
    server.sql("scrubbed", "CHECKPOINT");
    let after = found(&server.folder());
    let left: Vec<_> = after.iter().filter(|(word, _)| word.contains("goes")).collect();
    assert!(left.is_empty(), "what was purged is gone: {left:?}");
    let stays = |word: &String| word.starts_with("planted-stays-second-large");
    assert!(after.keys().any(stays), "the rest is not");
    let query = RecordQuery { kind: "Observation".to_owned(), limit: 9, ..RecordQuery::default() };
    assert_eq!(house.search(query).await.unwrap().len(), 2);
}

/// VACUUM keeps what an open transaction may still see: a scrub waits for its end.
#[tokio::test]
async fn a_scrub_waits_for_whoever_may_see_what_was_removed() {
    let Some(database) = Server::shared() else { return };
    let place = PostgresPlace { url: database.url(), ..PostgresPlace::default() };
    let house = PostgresHouse::open(&place, &HouseId::from("hospital")).await.unwrap();
    house.commit(brought("first", "planted")).await.unwrap();
    let (client, connection) =
        tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let look = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM houses";
    client.batch_execute(look).await.unwrap();
    let purge = Purge { at: at(1), works: vec!["first".to_owned()], lines: Vec::new() };
    house.purge(purge).await.unwrap();
    let scrub = tokio::spawn({
        let house = house.clone();
        async move { house.scrub().await }
    });
    // Its own waits, a few times over: it must not be done before the other one is.
    let early = tokio::time::timeout(Duration::from_secs(2), async {
        while !scrub.is_finished() {
            tokio::task::yield_now().await;
        }
    });
    assert!(early.await.is_err(), "it waits");
    client.batch_execute("COMMIT").await.unwrap();
    scrub.await.unwrap().unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

/// A scrub locks tables of all houses: it must not, where there is nothing to remove.
#[tokio::test]
async fn a_scrub_leaves_the_tables_alone_where_nothing_was_purged() {
    let Some(server) = Server::start() else { return };
    let url = server.create_database("quiet");
    let place = PostgresPlace { url, ..PostgresPlace::default() };
    let house = PostgresHouse::open(&place, &HouseId::from("hospital")).await.unwrap();
    let other = house.tenant(&HouseId::from("other")).await.unwrap();
    house.commit(brought("first", "planted")).await.unwrap();
    let files = || {
        server.sql(
            "quiet",
            "SELECT string_agg(relfilenode::text, ',') FROM pg_class
        WHERE relname IN ('versions', 'blobs', 'first_answers', 'tokens', 'records')",
        )
    };
    let purge = || Purge { at: at(1), works: vec!["first".to_owned()], lines: Vec::new() };

    let before = files();
    house.scrub().await.unwrap();
    assert_eq!(files(), before, "nothing was purged yet");
    house.purge(purge()).await.unwrap();
    other.scrub().await.unwrap();
    let after = files();
    assert_ne!(after, before, "whoever scrubs, scrubs all houses");
    house.scrub().await.unwrap();
    assert_eq!(files(), after, "once");
    house.purge(purge()).await.unwrap();
    house.scrub().await.unwrap();
    assert_ne!(files(), after, "a later purge is another one");
}

/// What the planner was told under the first schema goes with the second.
#[tokio::test]
async fn samples_of_an_older_schema_are_dropped() {
    let Some(server) = Server::start() else { return };
    let url = server.create_database("older");
    let step = include_str!("../../src/postgres/schema_1.sql");
    server.sql("older", step);
    let taken = format!(
        "CREATE TABLE schema (version bigint PRIMARY KEY, step bytea NOT NULL);
        INSERT INTO schema VALUES (1, '\\x{}');
        INSERT INTO houses (name, blob_key) VALUES ('hospital', decode(repeat('07', 32), 'hex'));
        INSERT INTO records SELECT 1, n, 'Patient', n, 1, false, n, 'clinic', n, n, n, n, 'x'
            FROM generate_series(1, 1000) AS n;
        ANALYZE records",
        Digest::of(step.as_bytes())
    );
    server.sql("older", &taken);
    assert_eq!(server.sql("older", SAMPLED).trim(), "4");
    let place = PostgresPlace { url, ..PostgresPlace::default() };
    PostgresHouse::open(&place, &HouseId::from("hospital")).await.unwrap();
    assert_eq!(server.sql("older", SAMPLED).trim(), "0");
    server.sql("older", "ANALYZE records");
    assert_eq!(server.sql("older", SAMPLED).trim(), "0");
}
