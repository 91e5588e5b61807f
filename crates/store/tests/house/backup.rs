//! Goal: a house that goes from one database to the other, and back, is the same house.
//!
//! How: a house with something in every table; backed up, restored, read by all readings that can
//! be compared, proved by its signatures. PostgreSQL is a private one.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use exchange::{Chain, Digest, Entry, Event, HouseId, PartnerId, SubmissionId};
use jiff::{SignedDuration, Timestamp};
use store::proof::{PublicKey, verify};
use store::*;
use testdb::Server;

use crate::contract;
use crate::noise::noise_of;

const DAY: Duration = Duration::from_secs(86_400);

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(2_000_000 + seconds)
}

fn name() -> HouseId {
    HouseId::from("hospital")
}

fn clinic() -> PartnerId {
    PartnerId::from("clinic")
}

fn place(url: String, blobs: Option<Blobs>) -> PostgresPlace {
    PostgresPlace { url, blobs, ..PostgresPlace::default() }
}

fn opened(word: &str) -> Event {
    Event::Opened { version: word.to_owned() }
}

/// What a submission brings: something for every table.
fn brought(number: i64) -> Unit {
    let id = format!("submission-{number:03}");
    let size = if number % 4 == 0 { 200_000 } else { 300 };
    let (content, body) = (noise_of(&id, size), noise_of(&format!("body {id}"), size));
    let keys = RecordKeys {
        patient: Some(format!("patient-{}", number % 3)),
        encounter: Some(format!("encounter-{}", number % 5)),
        date: Some(DateSpan { from: at(number), to: at(number + 60) }),
        status: Some("final".to_owned()),
        tokens: vec![format!("ids|{number}"), "category:s|lab".to_owned(), "x".repeat(3_000)],
    };
    let work = Work {
        id: id.clone(),
        kind: WorkKind::Submission,
        lane: format!("lane-{}", number % 4),
        partner: Some(clinic()),
        dossier: Some("dossier".to_owned()),
        trigger: None,
        label: Some(format!("key-{number}")),
        gathered: None,
        number: Some(number.unsigned_abs()),
        state: "due".to_owned(),
        due: (number % 2 == 0).then(|| at(number)),
        body: b"{}".to_vec(),
    };
    let answer = FirstAnswer {
        sender: clinic(),
        key: format!("key-{number}"),
        digest: Digest::of(&body),
        status: 201,
        headers: vec![("location".to_owned(), format!("/{id}"))],
        body: body.clone(),
    };
    Unit {
        at: at(number),
        lines: vec![
            (Chain::House, opened("house")),
            (Chain::Submission(SubmissionId::from(id.as_str())), opened("submission")),
        ],
        works: vec![work],
        records: vec![NewVersion {
            kind: "Observation".to_owned(),
            id: format!("record-{:02}", number % 20),
            owner: clinic(),
            receipt: id,
            lane: Some("lane".to_owned()),
            number: Some(u64::MAX),
            content: Some(content).filter(|_| number % 7 != 0),
            keys,
        }],
        blobs: vec![(Digest::of(&body), body)],
        first_answer: Some(answer),
        ..Unit::default()
    }
}

async fn write(house: &impl House, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let written = house.commit(brought(number)).await.unwrap();
        assert!(matches!(written, Commit::Done { .. }), "{number}: {written:?}");
    }
}

/// All that a house does once it has lived: signed, leased, purged, asked.
async fn live(house: &impl House, key: &LedgerKey) {
    write(house, 0..30).await;
    house.checkpoint(at(30), key).await.unwrap().unwrap();
    write(house, 30..40).await;
    assert!(!house.claim(Clock::At(at(1_000)), DAY, 2).await.unwrap().is_empty());
    let breaker = Breaker { failures: 1, rest: DAY, rest_max: DAY };
    house.report(Clock::At(at(40)), &clinic(), false, breaker).await.unwrap();
    assert!(house.first_use("scope", "token", at(9_999_999), at(0)).await.unwrap());
    let works = vec!["submission-025".to_owned(), "submission-039".to_owned()];
    let lines = vec![(Chain::House, opened("purged"))];
    house.purge(Purge { at: at(41), works, lines }).await.unwrap();
    house.rekey(3, Vec::new()).await.unwrap();
}

/// What a house holds, as far as readings tell.
#[derive(Debug, PartialEq)]
struct Picture {
    entries: Vec<Entry>,
    checkpoints: Vec<Checkpoint>,
    works: Vec<StoredWork>,
    at_rest: Vec<StoredWork>,
    counts: Vec<(String, u64)>,
    lanes: Vec<u64>,
    dump: Vec<Record>,
    contents: Vec<Record>,
    found: Vec<Vec<Record>>,
    about: Vec<Record>,
    answers: Vec<Option<FirstAnswer>>,
    blobs: Vec<Option<Bytes>>,
    doors: Vec<DoorState>,
    next_due: Option<Timestamp>,
}

async fn picture(house: &impl House) -> Picture {
    let dump = house.dump(None, 9_999).await.unwrap();
    let query = || RecordQuery { kind: "Observation".into(), limit: 99, ..RecordQuery::default() };
    let queries = [
        query(),
        RecordQuery { patients: vec!["patient-1".into()], ..query() },
        RecordQuery { encounters: vec!["encounter-2".into()], ..query() },
        RecordQuery { tokens: vec![vec!["ids|33".into()]], ..query() },
        RecordQuery {
            patients: vec!["patient-0".into()],
            tokens: vec![vec!["ids|33".into()], vec!["category:s".into()]],
            ..query()
        },
        RecordQuery { date: vec![(Compare::Sa, DateSpan { from: at(20), to: at(21) })], ..query() },
    ];
    let about = AboutQuery { patient: "patient-2".into(), limit: 99, ..AboutQuery::default() };
    let mut seen = Picture {
        entries: house.entries(1, 9_999).await.unwrap(),
        checkpoints: house.checkpoints(0, u32::MAX).await.unwrap(),
        works: house.works(WorkQuery { limit: 9_999, ..WorkQuery::default() }).await.unwrap(),
        at_rest: house.at_rest(&clinic(), at(9_999), None, 9_999).await.unwrap(),
        counts: house.work_counts().await.unwrap(),
        lanes: Vec::new(),
        contents: Vec::new(),
        found: Vec::new(),
        about: house.about(about).await.unwrap(),
        answers: Vec::new(),
        blobs: Vec::new(),
        doors: house.doors().await.unwrap(),
        next_due: None,
        dump,
    };
    for query in queries {
        seen.found.push(house.search(query).await.unwrap());
    }
    for number in 0..4 {
        seen.lanes.push(house.lane_number(&format!("lane-{number}")).await.unwrap());
    }
    for record in &seen.dump {
        let whole = house.record(&record.kind, &record.id, Some(record.version)).await.unwrap();
        seen.contents.push(whole.unwrap());
    }
    for number in 0..40 {
        let key = format!("key-{number}");
        seen.answers.push(house.first_answer(&clinic(), &key).await.unwrap());
        let size = if number % 4 == 0 { 200_000 } else { 300 };
        let body = noise_of(&format!("body submission-{number:03}"), size);
        seen.blobs.push(house.blob(&Digest::of(&body)).await.unwrap());
    }
    seen
}

async fn proved(house: &impl House, key: &LedgerKey) {
    let keys = [PublicKey::new(key.public(), false)];
    let found = verify(house, &keys).await.unwrap();
    assert!(found.proved_to > 0 && found.last >= found.proved_to);
}

#[tokio::test]
async fn a_house_is_the_same_in_either_database() {
    for large in ["rows", "a folder"] {
        let Some(database) = Server::shared() else { return };
        let folder = tempfile::tempdir().unwrap();
        let (key, _) = LedgerKey::generate().unwrap();
        let blobs =
            (large == "a folder").then(|| Blobs::folder(&folder.path().join("large")).unwrap());
        let place = place(database.url(), blobs);

        let first = SqliteHouse::open(&folder.path().join("first"), &name()).unwrap();
        live(&first, &key).await;
        let copy = folder.path().join("copy");
        first.backup(&copy).await.unwrap();
        let mut before = picture(&first).await;
        assert!(before.found.iter().all(|found| !found.is_empty()), "each query finds something");
        before.next_due = SqliteHouse::open(&copy, &name()).unwrap().next_due().await.unwrap();
        drop(first);

        // What is dropped before it is kept was never there.
        let arrived = PostgresHouse::restore(&place, &copy, &name()).await.unwrap();
        proved(arrived.house(), &key).await;
        assert_eq!(database.sql("SELECT count(*) FROM houses, entries"), "0", "nobody sees it");
        drop(arrived);

        let arrived = PostgresHouse::restore(&place, &copy, &name()).await.unwrap();
        let mut there = picture(arrived.house()).await;
        there.next_due = arrived.house().next_due().await.unwrap();
        arrived.keep().await.unwrap();
        let second = PostgresHouse::open(&place, &name()).await.unwrap();
        let mut kept = picture(&second).await;
        kept.next_due = second.next_due().await.unwrap();
        assert_eq!(kept, there, "as it arrived");
        assert_eq!(there, before, "large contents in {large}: leases are dropped, all else stays");
        assert_eq!(second.keys_edition().await.unwrap(), 3);
        proved(&second, &key).await;
        assert!(!second.first_use("scope", "token", at(9_999_999), at(0)).await.unwrap());

        // It goes on there …
        write(&second, 40..48).await;
        let again = Unit { at: at(99), ..brought(39) };
        assert!(matches!(second.commit(again).await.unwrap(), Commit::Repeated(_)), "known keys");
        assert!(!second.claim(Clock::At(at(1_000)), DAY, 2).await.unwrap().is_empty());
        second.checkpoint(at(99), &key).await.unwrap().unwrap();

        // … and comes back.
        let back = folder.path().join("back");
        second.backup(&back).await.unwrap();
        let before = picture(&second).await;
        let third = SqliteHouse::open(&back, &name()).unwrap();
        assert_eq!(picture(&third).await, before, "large contents in {large}, on the way back");
        proved(&third, &key).await;
        assert_eq!(third.keys_edition().await.unwrap(), 0, "long tokens are to be read anew");
        assert_eq!(third.unlinked().await.unwrap(), None, "all uses came along");
        write(&third, 48..50).await;
    }
}

#[tokio::test]
async fn a_backup_out_of_postgresql_is_the_house_of_a_moment() {
    let Some(database) = Server::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::folder(&folder.path().join("large")).unwrap();
    let place = place(database.url(), Some(blobs));
    let house = PostgresHouse::open(&place, &name()).await.unwrap();
    let other = house.tenant(&HouseId::from("other")).await.unwrap();
    let planted = Bytes::from_static(b"planted-elsewhere");
    let blobs = vec![(Digest::of(&planted), planted.clone())];
    other.commit(Unit { at: at(0), blobs, ..Unit::default() }).await.unwrap();
    let copy = folder.path().join("copy");
    contract::check_backup(house, &copy, async |copy: &Path| {
        SqliteHouse::open(copy, &name()).unwrap()
    })
    .await;
    let file = std::fs::read(copy.join("house.sqlite")).unwrap();
    let found = file.windows(planted.len()).any(|window| window == planted);
    assert!(!found, "nothing of the other house");
    assert!(!folder.path().join("copy.unfinished").exists());
}

/// Each unit writes two lines, a row of work and a version: a copy that was not of one moment
/// would have more of one than of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_while_others_write_is_a_prefix() {
    let Some(database) = Server::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = place(database.url(), None);
    let house = PostgresHouse::open(&place, &name()).await.unwrap();
    let (key, _) = LedgerKey::generate().unwrap();
    write(&house, 0..10).await;
    house.checkpoint(at(10), &key).await.unwrap().unwrap();
    let writer = tokio::spawn({
        let house = house.clone();
        async move { write(&house, 10..120).await }
    });
    let mut copies = Vec::new();
    while !writer.is_finished() && copies.len() < 5 {
        let copy = folder.path().join(copies.len().to_string());
        house.backup(&copy).await.unwrap();
        copies.push(copy);
    }
    writer.await.unwrap();
    let all = house.entries(1, 9_999).await.unwrap();
    for copy in copies {
        let copy = SqliteHouse::open(&copy, &name()).unwrap();
        let entries = copy.entries(1, 9_999).await.unwrap();
        assert_eq!(entries, all[..entries.len()], "the first lines, and no other");
        let works = copy.works(WorkQuery { limit: 9_999, ..WorkQuery::default() }).await.unwrap();
        let versions = copy.dump(None, 9_999).await.unwrap();
        assert_eq!((works.len() * 2, versions.len() * 2), (entries.len(), entries.len()));
        proved(&copy, &key).await;
    }
}

#[tokio::test]
async fn nothing_is_restored_over_a_house_or_out_of_another() {
    let Some(database) = Server::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = place(database.url(), None);
    let house = PostgresHouse::open(&place, &name()).await.unwrap();
    write(&house, 0..3).await;
    let copy = folder.path().join("copy");
    house.backup(&copy).await.unwrap();
    write(&house, 3..5).await;
    let before = picture(&house).await;
    let over = PostgresHouse::restore(&place, &copy, &name()).await;
    assert!(matches!(over, Err(Error::Taken)), "{over:?}");
    let none = PostgresHouse::restore(&place, &copy, &HouseId::from("other")).await;
    assert!(matches!(none, Err(Error::Damaged(_))), "{none:?}");
    let empty = PostgresHouse::restore(&place, &folder.path().join("none"), &name()).await;
    assert!(matches!(empty, Err(Error::Unavailable(_))), "{empty:?}");
    assert_eq!(picture(&house).await, before);
    assert_eq!(database.sql("SELECT count(*) FROM houses"), "1", "none was made");
}

#[tokio::test]
async fn what_is_damaged_in_postgresql_is_counted() {
    let Some(database) = Server::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large");
    let place = place(database.url(), Some(Blobs::folder(&large).unwrap()));
    let house = PostgresHouse::open(&place, &name()).await.unwrap();
    let (key, _) = LedgerKey::generate().unwrap();
    live(&house, &key).await;
    write(&house.tenant(&HouseId::from("other")).await.unwrap(), 0..3).await;
    let whole = house.inspect().await.unwrap();
    assert!(whole.contents > 90, "more than a page would show: {whole:?}");
    let contents = whole.contents;
    assert_eq!(
        whole,
        Inspection { contents, ..Inspection::default() },
        "purged or not, all is whole"
    );

    let inline = "UPDATE versions SET content = content || 'x' WHERE house = 1 AND version = 1 AND record
        = (SELECT max(record) FROM versions WHERE house = 1 AND version = 1 AND content IS NOT NULL)";
    database.sql(inline);
    let named = "SELECT encode(file, 'hex') FROM blobs WHERE house = 1 AND file IS NOT NULL
        ORDER BY digest LIMIT 1";
    let file = database.sql(named);
    let path = find(&large, file.trim()).unwrap();
    std::fs::remove_file(path).unwrap();
    let missing = "DELETE FROM subjects WHERE house = 1 AND id = 'patient-1'";
    database.sql(missing);
    let about =
        "SELECT count(*) FROM records WHERE house = 1 AND patient IS NOT NULL AND NOT EXISTS (SELECT FROM subjects s
        WHERE s.house = 1 AND s.subject = patient)";
    let about: u64 = database.sql(about).trim().parse().unwrap();
    let found = house.inspect().await.unwrap();
    assert!(about > 0 && found.broken_references == about, "{found:?}");
    assert!(found.damaged >= 2, "the changed row, and every row that names the file: {found:?}");
    assert_eq!(found.contents + found.damaged, contents, "each is counted once");
}

/// Makes every file of a folder look as if it had been written long ago.
fn age(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path);
        } else {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }
    }
}

/// The worst an operator can do: every copy is given the place of the house it was copied from.
#[tokio::test]
async fn a_copy_sweeps_up_nothing_of_the_house_it_was_copied_from() {
    let Some(database) = Server::shared() else { return };
    let Some(other) = Server::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let large = || Blobs::folder(&folder.path().join("large")).unwrap();
    let open = |name: &str| {
        SqliteHouse::open_with(&folder.path().join(name), &self::name(), Some(large())).unwrap()
    };
    let in_server = place(database.url(), Some(large()));
    let originals: [AnyHouse; 2] =
        [open("original").into(), PostgresHouse::open(&in_server, &name()).await.unwrap().into()];
    for (number, original) in originals.into_iter().enumerate() {
        write(&original, 0..5).await;
        let copies = [0, 1].map(|copy| format!("copy-{number}-{copy}"));
        for copy in &copies {
            original.backup(&folder.path().join(copy)).await.unwrap();
        }
        write(&original, 5..10).await;
        let before = picture(&original).await;
        age(&folder.path().join("large"));

        let first = open(&copies[0]);
        let there = PostgresPlace { url: other.url(), ..in_server.clone() };
        let tenant = HouseId::from("hospital");
        // The other database has a house of this name the second time.
        if number == 0 {
            let copy = folder.path().join(&copies[1]);
            let arrived = PostgresHouse::restore(&there, &copy, &tenant).await.unwrap();
            arrived.keep().await.unwrap();
        }
        let second = PostgresHouse::open(&there, &tenant).await.unwrap();
        let later = Timestamp::now() + SignedDuration::from_hours(2);
        assert_eq!(first.sweep(later).await.unwrap(), 0, "{number}");
        assert_eq!(second.sweep().await.unwrap(), 0, "{number}");
        assert_eq!(picture(&original).await, before, "{number}: nothing of it went");

        // Nor does the original take what is the copies' own.
        write(&first, 10..15).await;
        let (copied, restored) = (picture(&first).await, picture(&second).await);
        age(&folder.path().join("large"));
        assert_eq!(original.sweep(later).await.unwrap(), 0, "{number}");
        assert_eq!(picture(&first).await, copied, "{number}");
        assert_eq!(picture(&second).await, restored, "{number}");
        drop(first);
        let again = open(&copies[0]);
        assert_eq!(picture(&again).await, copied, "{number}: after a restart");
    }
}

/// A file by its name, however deep.
fn find(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => find(&path, name),
            false => path.to_str()?.replace('/', "").ends_with(name).then_some(path),
        }
    })
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing() {
    let Some(mut server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large");
    let place = place(server.create_database("cut"), Some(Blobs::folder(&large).unwrap()));
    let house = PostgresHouse::open(&place, &name()).await.unwrap();
    write(&house, 0..5).await;
    let copy = folder.path().join("copy");
    let nothing = || ["copy", "copy.unfinished"].iter().all(|it| !folder.path().join(it).exists());

    let (away, there) = (folder.path().join("away"), large.clone());
    std::fs::rename(&there, &away).unwrap();
    let missing = house.backup(&copy).await;
    assert!(matches!(missing, Err(Error::Damaged(_))), "a content is not there: {missing:?}");
    assert!(nothing());
    std::fs::rename(&away, &there).unwrap();

    server.kill();
    let gone = house.backup(&copy).await;
    assert!(matches!(gone, Err(Error::Unavailable(_))), "no server: {gone:?}");
    assert!(nothing());
    server.start_again();
    house.backup(&copy).await.unwrap();
    assert_eq!(SqliteHouse::open(&copy, &name()).unwrap().unsigned().await.unwrap(), 10);

    // A copy that lacks a content is not brought in, not even in part.
    let contents = std::fs::read_dir(copy.join("blobs")).unwrap().next().unwrap().unwrap();
    std::fs::remove_file(contents.path()).unwrap();
    let url = server.create_database("other");
    let place = PostgresPlace { url, ..place };
    let lacking = PostgresHouse::restore(&place, &copy, &name()).await;
    assert!(matches!(lacking, Err(Error::Damaged(_))), "{lacking:?}");
    assert_eq!(server.sql("other", "SELECT count(*) FROM houses, entries"), "0");
}
