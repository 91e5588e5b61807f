//! Goal: after a purge and a scrub no byte of what was purged is in any file of the folder.
//!
//! How: contents with unique bytes that cannot be packed, of many sizes, in an order that makes
//! SQLite move cells about; then every window of every file is looked up among what was purged.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::path::Path;

use super::tests::{at, house, open_here};
use super::*;
use crate::{NewVersion, RecordKeys, Work, WorkKind};

/// What is planted: eight bytes that occur nowhere else.
type Mark = [u8; 8];

fn mark(name: &str) -> Mark {
    Digest::of(name.as_bytes()).0[..8].try_into().unwrap()
}

/// Bytes that cannot be packed, with a mark every so often.
fn planted(name: &str, size: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(size);
    let mut block = Digest::of(name.as_bytes()).0;
    while bytes.len() < size {
        bytes.extend(mark(name));
        block = Digest::of(&block).0;
        bytes.extend(block);
    }
    bytes.into()
}

/// A mark as text, for what searches find by.
fn word(name: &str) -> String {
    format!("token|{:016x}", u64::from_be_bytes(mark(name)))
}

fn brought(number: usize) -> Unit {
    let id = format!("s{number}");
    let size = [40, 300, 900, 1_400, 3_000, 9_000, 70_000][number * 7919 % 7];
    let record = NewVersion {
        kind: "Binary".to_owned(),
        // Out of order, so that the trees split in the middle.
        id: format!("{:08x}", (number * 2_654_435_761) & 0xffff_ffff),
        owner: PartnerId::from("hospital"),
        receipt: id.clone(),
        lane: None,
        number: None,
        content: Some(planted(&format!("content {number}"), size)),
        keys: RecordKeys {
            status: Some(word(&format!("status {number}"))),
            tokens: (0..3).map(|token| word(&format!("token {number} {token}"))).collect(),
            ..RecordKeys::default()
        },
    };
    let work = Work {
        id: id.clone(),
        kind: WorkKind::Submission,
        lane: id.clone(),
        partner: Some(PartnerId::from("hospital")),
        dossier: None,
        trigger: None,
        label: Some(id.clone()),
        gathered: None,
        number: None,
        state: "filed".to_owned(),
        due: None,
        body: b"{}".to_vec(),
    };
    let body = planted(&format!("body {number}"), size);
    let answer = FirstAnswer {
        sender: PartnerId::from("hospital"),
        key: id.clone(),
        digest: Digest::of(&body),
        status: 200,
        headers: Vec::new(),
        body: planted(&format!("answer {number}"), size / 2 + 1),
    };
    Unit {
        at: at(1),
        works: vec![work],
        records: vec![record],
        blobs: vec![(Digest::of(&body), body)],
        first_answer: Some(answer),
        ..Unit::default()
    }
}

/// Everything that can be looked for of one unit: contents as they are, keys as text.
fn marks(number: usize) -> (Vec<Mark>, Vec<Mark>) {
    let names = ["content", "body", "answer"].map(|what| mark(&format!("{what} {number}")));
    let tokens = (0..3).map(|token| word(&format!("token {number} {token}")));
    let words = tokens.chain([word(&format!("status {number}"))]);
    let ends = words.map(|word| word.as_bytes()[word.len() - 8..].try_into().unwrap());
    (names.to_vec(), ends.collect())
}

/// The marks that stand somewhere in the files of a folder.
fn found(folder: &Path, marks: &HashSet<Mark>) -> HashSet<Mark> {
    let mut seen = HashSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            seen.extend(found(&path, marks));
            continue;
        }
        let file = std::fs::read(&path).unwrap();
        seen.extend(file.windows(8).filter_map(|window| marks.get(window)).copied());
    }
    seen
}

#[tokio::test]
async fn nothing_that_was_purged_is_left_in_any_file() {
    const UNITS: usize = 600;
    let (folder, opened) = open_here();
    let mut purged = 0;
    let mut gone = HashSet::new();
    for number in 0..UNITS {
        opened.commit(brought(number)).await.unwrap();
        // Every other one goes, some of them long before the last has come.
        if number % 40 == 39 {
            let works = (purged..number - 10).step_by(2).map(|number| format!("s{number}"));
            let purge = Purge { at: at(2), works: works.collect(), lines: Vec::new() };
            opened.purge(purge).await.unwrap();
            for number in (purged..number - 10).step_by(2) {
                let (contents, words) = marks(number);
                gone.extend(contents.into_iter().chain(words));
            }
            purged = (number - 10).next_multiple_of(2);
        }
    }
    let reader = SqliteHouse::open_to_read(folder.path(), &house("one")).unwrap();
    assert!(reader.version_count().await.unwrap() > 0, "somebody else reads from time to time");
    opened.scrub().await.unwrap();
    assert_eq!(found(folder.path(), &gone), HashSet::new(), "{} marks", gone.len());

    // What the writer remembers of its pages does not bring them back.
    for number in UNITS..UNITS + 40 {
        opened.commit(brought(number)).await.unwrap();
    }
    assert_eq!(found(folder.path(), &gone), HashSet::new());
    let check: String = opened
        .read(|db, _| Ok(db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?))
        .await
        .unwrap();
    assert_eq!(check, "ok", "the database is whole");
    for number in (1..UNITS + 40).step_by(2) {
        let id = format!("{:08x}", (number * 2_654_435_761) & 0xffff_ffff);
        let content = opened.record("Binary", &id, None).await.unwrap().unwrap().content;
        assert!(content.is_some(), "what stays is there: {number}");
    }
    let (contents, words) = marks(UNITS - 1);
    let stay: HashSet<Mark> = contents.into_iter().chain(words).collect();
    assert_eq!(found(folder.path(), &stay), stay, "marks are found where they are");
}

#[tokio::test]
async fn a_reading_that_goes_on_makes_a_scrub_wait() {
    let (folder, opened) = open_here();
    opened.commit(brought(1)).await.unwrap();
    let reader = Connection::open(folder.path().join(DATABASE)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM versions").unwrap();
    opened.commit(brought(3)).await.unwrap();
    let purge = Purge { at: at(2), works: vec!["s1".to_owned()], lines: Vec::new() };
    opened.purge(purge).await.unwrap();
    let (begin, mut begun) = (opened.clone(), false);
    let scrub = tokio::spawn(async move { begin.scrub().await });
    // Units go on meanwhile.
    for number in (5..15).step_by(2) {
        opened.commit(brought(number)).await.unwrap();
        begun |= scrub.is_finished();
    }
    assert!(!begun, "it waits for the reading");
    reader.execute_batch("COMMIT").unwrap();
    scrub.await.unwrap().unwrap();
    let (contents, words) = marks(1);
    let gone: HashSet<Mark> = contents.into_iter().chain(words).collect();
    assert_eq!(found(folder.path(), &gone), HashSet::new());
}
