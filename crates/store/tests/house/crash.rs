//! Goal: what a house has acknowledged survives the death of its process, exactly once, and what
//! it has not acknowledged is there whole or not at all.
//!
//! How: this program starts itself again as a child with eight committers, each of whose units
//! writes a line, a record, a row of work and a blob; the child prints what was acknowledged, and
//! is killed (SIGKILL) in the middle of it. Ten times in one folder, so that each crash happens
//! to a house that has crashed before.

#![allow(clippy::unwrap_used, missing_docs)]

use bytes::Bytes;
use exchange::{Chain, Digest, Event, HouseId, PartnerId, WalkId};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use store::limits::INLINE_BYTES_MAX;
use store::proof::{PublicKey, verify};
use store::{
    Commit, Expect, FirstAnswer, House, LedgerKey, NewVersion, RecordKeys, SqliteHouse, Unit, Work,
    WorkKind, WorkQuery,
};

use crate::noise::noise_of;

const COMMITTERS: usize = 8;
const SEEDS: u64 = 10;
/// Units a child would write if nobody killed it.
const UNITS: usize = 500;
const FOLDER: &str = "STORE_CRASH_FOLDER";
const SEED: &str = "STORE_CRASH_SEED";

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn open(folder: &Path) -> SqliteHouse {
    SqliteHouse::open(folder, &HouseId::from("one")).unwrap()
}

/// Every third content is a file; so it must not be one that packs well.
fn content(id: &str, number: usize) -> Bytes {
    let size = if number.is_multiple_of(3) { INLINE_BYTES_MAX + 1 } else { 1_000 };
    noise_of(id, size)
}

fn unit(id: &str, number: usize) -> Unit {
    let content = content(id, number);
    let record = NewVersion {
        kind: "Binary".to_owned(),
        id: id.to_owned(),
        owner: PartnerId::from("hospital"),
        receipt: id.to_owned(),
        lane: None,
        number: None,
        content: Some(content.clone()),
        keys: RecordKeys { tokens: vec![id.to_owned()], ..RecordKeys::default() },
    };
    let work = Work {
        id: id.to_owned(),
        kind: WorkKind::Push,
        lane: id.to_owned(),
        partner: None,
        dossier: None,
        trigger: None,
        label: None,
        gathered: None,
        number: Some(1),
        state: "due".to_owned(),
        due: Some(at(1)),
        body: b"{}".to_vec(),
    };
    let answer = FirstAnswer {
        sender: PartnerId::from("hospital"),
        key: id.to_owned(),
        digest: Digest::of(id.as_bytes()),
        status: 201,
        headers: Vec::new(),
        body: content.clone(),
    };
    Unit {
        at: at(1),
        expects: vec![Expect::WorkRevision { id: id.to_owned(), revision: None }],
        first_answer: Some(answer),
        lines: vec![(Chain::Push(WalkId::from(id)), Event::Opened { version: id.to_owned() })],
        works: vec![work],
        records: vec![record],
        blobs: vec![(Digest::of(&content), content)],
        ..Unit::default()
    }
}

/// What the child does; not a test of its own, so that it passes where nobody started it as one.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let seed = std::env::var(SEED).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let folder = Path::new(&folder);
        let house = open(folder);
        let pem = std::fs::read_to_string(folder.join("key.pem")).unwrap();
        let key = LedgerKey::from_pem(&pem).unwrap();
        let committers = (0..COMMITTERS).map(|committer| {
            let (house, seed, key) = (house.clone(), seed.clone(), key.clone());
            tokio::spawn(async move {
                for number in 0..UNITS {
                    let id = format!("{seed}-{committer}-{number}");
                    let done = house.commit(unit(&id, number)).await.unwrap();
                    assert_eq!(done, Commit::Done { versions: vec![1] });
                    writeln!(std::io::stdout(), "acknowledged {id} {number}").unwrap();
                    if number % 7 == committer {
                        house.checkpoint(at(2), &key).await.unwrap();
                    }
                }
            })
        });
        for committer in committers.collect::<Vec<_>>() {
            committer.await.unwrap();
        }
    });
}

/// Runs a child until it has acknowledged so many units, kills it, and returns all it
/// acknowledged, the last ones before it died included.
fn run_and_kill(folder: &Path, seed: u64, patience: usize) -> BTreeSet<(String, usize)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut acknowledged = BTreeSet::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        // The harness may print before it, and death may cut it off behind.
        if let Some((_, unit)) = line.split_once("acknowledged ")
            && let Some((id, number)) =
                unit.strip_suffix('\n').and_then(|unit| unit.split_once(' '))
        {
            assert!(acknowledged.insert((id.to_owned(), number.parse().unwrap())), "twice: {id}");
            if acknowledged.len() == patience {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    let status = child.wait().unwrap();
    assert!(!status.success(), "the child was killed before it was done");
    acknowledged
}

#[tokio::test]
async fn what_was_acknowledged_survives_and_nothing_is_half() {
    let folder = tempfile::tempdir().unwrap();
    let (key, pem) = LedgerKey::generate().unwrap();
    std::fs::write(folder.path().join("key.pem"), pem).unwrap();
    let keys = [PublicKey::new(key.public(), false)];
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut acknowledged = BTreeSet::new();
    let mut proved_to = 0;
    for seed in 1..=SEEDS {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let patience = 1 + (chance % 120) as usize;
        let new = run_and_kill(folder.path(), seed, patience);
        assert!(new.len() >= patience, "seed {seed}");
        acknowledged.extend(new);

        let house = open(folder.path());
        let ids = check_units(&house, folder.path()).await;
        for (id, _) in &acknowledged {
            assert!(ids.contains(id), "seed {seed}: {id} was acknowledged and is lost");
        }
        let verified = verify(&house, &keys).await.unwrap();
        assert_eq!(verified.last, ids.len() as u64, "seed {seed}: one line for every unit");
        assert!(verified.proved_to >= proved_to, "seed {seed}: what was proved stays proved");
        proved_to = verified.proved_to;
    }
    assert!(proved_to > 0, "checkpoints were made");
    let house = open(folder.path());
    // Nothing is new where the last kill came right behind a checkpoint.
    house.checkpoint(at(3), &key).await.unwrap();
    let verified = verify(&house, &keys).await.unwrap();
    assert_eq!(verified.proved_to, verified.last);
}

const BETWEEN: &str = "STORE_CRASH_BETWEEN";

/// A child that comes as far as its file and no further: somebody else holds the database.
#[test]
fn child_between() {
    let Ok(folder) = std::env::var(BETWEEN) else { return };
    let folder = Path::new(&folder);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let house = open(folder);
        let other = rusqlite::Connection::open(folder.join("house.sqlite")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let answer = house.commit(unit("between-3", 3)).await;
        panic!("nobody killed it: {answer:?}");
    });
}

#[tokio::test]
async fn killed_between_file_and_row_a_house_keeps_neither() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_between", "--test-threads=1"])
        .env(BETWEEN, folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let files = || {
        let found = std::fs::read_dir(folder.path().join("blobs")).unwrap();
        let names = found.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.parse::<Digest>().is_ok()).count()
    };
    let there = testdb::wait(|| files() == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(there, "the file comes before the row");
    assert_eq!(files(), 1, "it is left behind");
    let house = open(folder.path());
    assert_eq!(files(), 0, "and swept up");
    assert_eq!(house.record("Binary", "between-3", None).await.unwrap(), None);
    assert_eq!(house.entries(1, 9).await.unwrap(), []);
    house.commit(unit("between-3", 3)).await.unwrap();
    assert!(check_units(&house, folder.path()).await.contains("between-3"), "it can come again");
}

/// Every unit that left anything is there whole and once; the folder holds their files only.
async fn check_units(house: &SqliteHouse, folder: &Path) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut files = BTreeSet::new();
    let hospital = PartnerId::from("hospital");
    let all = house.works(WorkQuery { limit: u32::MAX, ..WorkQuery::default() }).await.unwrap();
    for row in all {
        let id = row.work.id;
        let number: usize = id.rsplit_once('-').unwrap().1.parse().unwrap();
        let content = content(&id, number);
        assert_eq!(row.revision, 1, "{id}");
        assert_eq!(house.lane_number(&id).await.unwrap(), 1, "{id}");
        assert_eq!(house.story(&Chain::Push(WalkId::from(&*id))).await.unwrap().len(), 1, "{id}");
        let record = house.record("Binary", &id, None).await.unwrap().unwrap();
        assert_eq!((record.version, record.content.as_ref()), (1, Some(&content)), "{id}");
        assert_eq!(house.blob(&Digest::of(&content)).await.unwrap(), Some(content.clone()), "{id}");
        let answer = house.first_answer(&hospital, &id).await.unwrap().unwrap();
        assert_eq!(answer.body, content, "{id}");
        if content.len() > INLINE_BYTES_MAX {
            files.insert(id.clone());
        }
        ids.insert(id);
    }
    let records: BTreeSet<String> =
        house.dump(None, 999_999).await.unwrap().into_iter().map(|record| record.id).collect();
    assert_eq!(records, ids, "no record without its row of work");
    let lines = house.entries(1, u32::MAX).await.unwrap();
    let lines: BTreeSet<String> = lines.iter().map(|line| line.chain.to_string()).collect();
    let chains: BTreeSet<String> = ids.iter().map(|id| format!("push/{id}")).collect();
    assert_eq!(lines, chains, "no line without its row of work");
    let found = std::fs::read_dir(folder.join("blobs")).unwrap().count();
    assert_eq!(found, files.len(), "one file for each large content, and no orphan");
    ids
}
