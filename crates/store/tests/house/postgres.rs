//! A house in PostgreSQL: the contract of all houses, and what only many processes over one
//! server can break.
//!
//! Goal: whoever writes, and whatever becomes of connections and server, the ledger has no gap,
//! work is leased once, and what was answered is there.
//! Method: a private server; two houses opened apart stand for two processes.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use exchange::{Chain, Event, HouseId, PartnerId};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use store::proof::verify;
use store::{Blobs, Clock, Commit, Error, Expect, Fence, House, Lease, NewVersion, PostgresHouse};
use store::{PostgresPlace, RecordKeys, RecordQuery, Unit, Work, WorkKind, WorkQuery};
use testdb::Server;

use crate::contract::{check_contract, check_loss, check_tenants};

const MINUTE: Duration = Duration::from_secs(60);

/// How long a server that is there again may stay unfound.
const PATIENCE: Duration = Duration::from_secs(60);

fn place(url: String) -> PostgresPlace {
    PostgresPlace { url, ..PostgresPlace::default() }
}

async fn open(url: &str) -> PostgresHouse {
    PostgresHouse::open(&place(url.to_owned()), &HouseId::from("hospital")).await.unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + seconds)
}

fn line() -> (Chain, Event) {
    (Chain::House, Event::Opened { version: "1".to_owned() })
}

fn work(id: &str, due: Option<Timestamp>) -> Work {
    Work {
        id: id.to_owned(),
        kind: WorkKind::Push,
        lane: format!("lane of {id}"),
        partner: None,
        dossier: None,
        trigger: None,
        label: None,
        gathered: None,
        number: None,
        state: "due".to_owned(),
        due,
        body: b"{}".to_vec(),
    }
}

fn version(id: &str) -> NewVersion {
    NewVersion {
        kind: "Basic".to_owned(),
        id: id.to_owned(),
        owner: PartnerId::from("hospital"),
        receipt: "submission-1".to_owned(),
        lane: None,
        number: None,
        content: Some(Bytes::from_static(b"{}")),
        keys: RecordKeys { tokens: vec![format!("s|{id}")], ..RecordKeys::default() },
    }
}

fn lines(seconds: i64) -> Unit {
    Unit { at: at(seconds), lines: vec![line()], ..Unit::default() }
}

fn done(commit: &Commit) -> bool {
    matches!(commit, Commit::Done { .. })
}

async fn ledger_is_whole(house: &PostgresHouse) -> u64 {
    verify(house, &[]).await.unwrap().last
}

/// Commits until the house is found again.
async fn insist(house: &PostgresHouse, unit: Unit) -> Commit {
    let begun = Instant::now();
    loop {
        match house.commit(unit.clone()).await {
            Ok(commit) => return commit,
            Err(Error::Unavailable(_)) if begun.elapsed() < PATIENCE => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn the_contract_is_kept() {
    let Some(database) = Server::shared() else { return };
    let url = database.url();
    check_contract(open(&url).await, async |house| {
        drop(house);
        open(&url).await
    })
    .await;
}

#[tokio::test]
async fn houses_of_one_database_share_nothing() {
    let Some(database) = Server::shared() else { return };
    let one = open(&database.url()).await;
    let other = one.tenant(&HouseId::from("other")).await.unwrap();
    check_tenants(one, other).await;
}

#[tokio::test]
async fn what_was_lost_is_not_taken_for_purged() {
    let Some(database) = Server::shared() else { return };
    let url = database.url();
    check_loss(open(&url).await, async |house| {
        drop(house);
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        for table in ["first_answers", "versions"] {
            let lose = format!("UPDATE {table} SET file = NULL, content = NULL");
            client.batch_execute(&lose).await.unwrap();
        }
        drop(client);
        let _ = connection.await;
        open(&url).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_unit_fails_alone_in_its_group() {
    let Some(database) = Server::shared() else { return };
    let house = open(&database.url()).await;
    let unit = |number: usize| {
        let mut unit = Unit {
            records: vec![version(&format!("record-{number}"))],
            works: vec![work(&format!("work-{number}"), None)],
            ..lines(0)
        };
        match number {
            7 => unit.works[0].state = "no text of a database\0".to_owned(),
            8 => unit.records[0].id = "not even a name\0".to_owned(),
            _ => {}
        }
        unit
    };
    let answers = join_all((0..40).map(|number| house.commit(unit(number)))).await;
    for (number, answer) in answers.iter().enumerate() {
        match number {
            7 | 8 => assert!(matches!(answer, Err(Error::Unavailable(_))), "{number}"),
            _ => assert!(answer.as_ref().is_ok_and(done), "{number}"),
        }
    }
    assert_eq!(ledger_is_whole(&house).await, 38);
    assert_eq!(
        house.works(WorkQuery { limit: 99, ..WorkQuery::default() }).await.unwrap().len(),
        38
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn units_of_a_group_see_what_the_earlier_ones_have_done() {
    let Some(database) = Server::shared() else { return };
    let house = open(&database.url()).await;
    // Of each kind of expectation one can hold, however the units are grouped.
    let fresh = |number: usize| {
        let expect = match number % 3 {
            0 => Expect::Version { kind: "Basic".to_owned(), id: "one".to_owned(), version: None },
            1 => Expect::WorkRevision { id: "one".to_owned(), revision: None },
            _ => Expect::Found {
                query: Box::new(RecordQuery {
                    kind: "Basic".to_owned(),
                    tokens: vec![vec!["s|one".to_owned()]],
                    ..RecordQuery::default()
                }),
                ids: Vec::new(),
            },
        };
        Unit {
            expects: vec![expect],
            records: vec![version("one")],
            works: vec![work("one", None)],
            ..lines(0)
        }
    };
    let answers = join_all((0..60).map(|number| house.commit(fresh(number)))).await;
    let (mine, late): (Vec<Commit>, Vec<Commit>) =
        answers.into_iter().map(Result::unwrap).partition(done);
    assert_eq!(mine, [Commit::Done { versions: vec![1] }], "exactly one is the first");
    assert!(late.iter().all(|commit| *commit == Commit::Stale));
    assert_eq!(ledger_is_whole(&house).await, 1, "who was refused has written nothing");

    let again = |_| Unit { records: vec![version("one"), version("one")], ..lines(1) };
    let answers = join_all((0..20).map(|number| house.commit(again(number)))).await;
    let mut versions: Vec<u64> = answers
        .into_iter()
        .flat_map(|answer| match answer.unwrap() {
            Commit::Done { versions } => versions,
            other => panic!("{other:?}"),
        })
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=41).collect::<Vec<_>>(), "each version is counted once");
    let found = house.record("Basic", "one", None).await.unwrap().unwrap();
    assert_eq!(found.version, 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_take_turns_without_a_gap() {
    let Some(database) = Server::shared() else { return };
    let (one, other) = (open(&database.url()).await, open(&database.url()).await);
    let unit = |number: usize| Unit {
        records: vec![version(&format!("shared-{}", number % 10))],
        works: vec![Work {
            number: Some(number as u64 + 1),
            lane: format!("lane-{}", number % 7),
            ..work(&format!("row-{number}"), Some(at(0)))
        }],
        lines: vec![line(), line()],
        ..lines(0)
    };
    let houses = [&one, &other];
    let commits = (0..200).map(|number| houses[number % 2].commit(unit(number)));
    assert!(join_all(commits).await.iter().all(|answer| answer.as_ref().is_ok_and(done)));
    assert_eq!(ledger_is_whole(&one).await, 400, "no line twice, none left out");
    assert_eq!(other.version_count().await.unwrap(), 200);
    for number in 0..10 {
        let found = one.record("Basic", &format!("shared-{number}"), None).await.unwrap().unwrap();
        assert_eq!(found.version, 20, "each version has its number");
    }
    for lane in 0..7 {
        let highest = (0..200).filter(|number| number % 7 == lane).max().unwrap() + 1;
        let found = other.lane_number(&format!("lane-{lane}")).await.unwrap();
        assert_eq!(found, highest, "the highest of either");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_claimed_once_and_in_the_order_of_its_lane() {
    let Some(database) = Server::shared() else { return };
    let (one, other) = (open(&database.url()).await, open(&database.url()).await);
    for number in 0..60 {
        let id = format!("row-{number:03}");
        let row = Work { lane: format!("lane-{}", number % 12), ..work(&id, Some(at(0))) };
        one.commit(Unit { at: at(0), works: vec![row], ..Unit::default() }).await.unwrap();
    }
    let mut finished: Vec<String> = Vec::new();
    while finished.len() < 60 {
        let houses = [&one, &other, &one, &other];
        let claims = join_all(houses.map(|house| house.claim(Clock::Database, MINUTE, 4))).await;
        let leases: Vec<(usize, Lease)> = claims
            .into_iter()
            .enumerate()
            .flat_map(|(place, leases)| leases.unwrap().into_iter().map(move |it| (place, it)))
            .collect();
        let lanes: BTreeSet<&str> =
            leases.iter().map(|(_, lease)| lease.work.work.lane.as_str()).collect();
        assert_eq!(lanes.len(), leases.len(), "a lane is leased to one at a time");
        // Another process than the claiming one may write, if it has the fence.
        let ends = leases.iter().map(|(place, lease)| {
            let row = Work { due: None, ..lease.work.work.clone() };
            let fence = Some(lease.fence.clone());
            houses[(place + 1) % 4].commit(Unit { fence, works: vec![row], ..lines(1) })
        });
        assert!(join_all(ends).await.iter().all(|answer| answer.as_ref().is_ok_and(done)));
        finished.extend(leases.into_iter().map(|(_, lease)| lease.work.work.id));
    }
    for lane in 0..12 {
        let of_lane = |id: &&String| id[4..].parse::<usize>().unwrap() % 12 == lane;
        let order: Vec<&String> = finished.iter().filter(of_lane).collect();
        assert!(order.is_sorted(), "the older row goes first");
        assert_eq!(order.len(), 5, "each row once");
    }
    assert_eq!(one.next_due().await.unwrap(), None);
}

#[tokio::test]
async fn a_lease_is_judged_by_the_clock_that_gave_it() {
    let Some(database) = Server::shared() else { return };
    let house = open(&database.url()).await;
    let due = |id| Unit { at: at(0), works: vec![work(id, Some(at(0)))], ..Unit::default() };
    let under = |fence: &Fence, seconds| Unit { fence: Some(fence.clone()), ..lines(seconds) };
    let long_ago = Timestamp::UNIX_EPOCH;
    let far = SignedDuration::from_hours(24 * 365 * 50);
    assert_eq!(house.clock(long_ago), Clock::Database);

    house.commit(due("long")).await.unwrap();
    let long = house.claim(Clock::Database, MINUTE, 9).await.unwrap().remove(0);
    assert!(long.until > at(0) + far / 2, "the database knows what time it is");
    let late = Unit { at: long.until + far, ..under(&long.fence, 0) };
    assert!(done(&house.commit(late).await.unwrap()), "the holder's clock is not asked");
    assert!(house.renew(Clock::Database, &long.fence, MINUTE).await.unwrap());
    let blind = Unit { at: long.until + far, ..due("long") };
    assert_eq!(house.commit(blind).await.unwrap(), Commit::Stale, "nor anybody else's");

    house.commit(due("short")).await.unwrap();
    let short = house.claim(Clock::Database, Duration::ZERO, 9).await.unwrap().remove(0);
    let early = Unit { at: long_ago, ..under(&short.fence, 0) };
    assert_eq!(house.commit(early).await.unwrap(), Commit::Overtaken, "its time is over");
    assert!(!house.renew(Clock::Database, &short.fence, MINUTE).await.unwrap());
    let next = house.claim(Clock::Database, MINUTE, 9).await.unwrap().remove(0);
    assert!(next.fence.number > short.fence.number);
    assert_eq!(house.commit(under(&short.fence, 0)).await.unwrap(), Commit::Overtaken);
    assert!(done(&house.commit(under(&next.fence, 0)).await.unwrap()));

    house.commit(due("told")).await.unwrap();
    let told = house.claim(Clock::At(at(0)), MINUTE, 9).await.unwrap().remove(0);
    assert!(done(&house.commit(under(&told.fence, 59)).await.unwrap()), "by the clock it was told");
    assert_eq!(house.commit(under(&told.fence, 60)).await.unwrap(), Commit::Overtaken);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_is_made_anew() {
    let Some(database) = Server::shared() else { return };
    let house = open(&database.url()).await;
    let mut written = 0;
    for round in 0..5 {
        let commits = (0..20).map(|_| house.commit(lines(round)));
        let (answers, _) = tokio::join!(join_all(commits), cut(&database));
        written += answers.iter().filter(|answer| answer.as_ref().is_ok_and(done)).count() as u64;
        assert!(done(&insist(&house, lines(round)).await));
        written += 1;
    }
    assert!(house.record("Basic", "none", None).await.is_ok(), "readings have one too");
    let there = ledger_is_whole(&house).await;
    assert!(there >= written, "{there} are there of {written} that were answered");
    assert!(there <= 105, "nothing is written twice");
}

/// Ends all connections to a database but the one that says so.
async fn cut(database: &testdb::Database) {
    let text = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    tokio::task::block_in_place(|| database.sql(text));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_found_again() {
    let Some(mut server) = Server::start() else { return };
    let url = server.create_database("back");
    let house = open(&url).await;
    assert!(done(&house.commit(lines(0)).await.unwrap()));
    for kill in [false, true] {
        match kill {
            true => server.kill(),
            false => server.stop_fast(),
        }
        for _ in 0..50 {
            let answers = tokio::join!(house.commit(lines(1)), house.next_due());
            assert!(matches!(answers.0, Err(Error::Unavailable(_))), "nobody waits for it");
            assert!(matches!(answers.1, Err(Error::Unavailable(_))));
        }
        server.start_again();
        assert!(done(&insist(&house, lines(2)).await));
        assert!(house.next_due().await.unwrap().is_none());
    }
    assert_eq!(ledger_is_whole(&house).await, 3);
}

#[tokio::test]
async fn a_server_that_only_reads_is_no_place_to_write() {
    let Some(server) = Server::start() else { return };
    let url = server.create_database("follower");
    let house = open(&url).await;
    assert!(done(&house.commit(lines(0)).await.unwrap()));
    let follow = |on: &str| {
        let set = format!("ALTER DATABASE follower SET default_transaction_read_only = {on}");
        server.sql("postgres", &set);
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = 'follower'";
        server.sql("postgres", cut);
    };
    follow("on");
    assert!(matches!(house.commit(lines(1)).await, Err(Error::Unavailable(_))));
    assert!(matches!(
        PostgresHouse::open(&place(url.clone()), &HouseId::from("hospital")).await,
        Err(Error::Unavailable(_))
    ));
    follow("off");
    assert!(done(&insist(&house, lines(2)).await));
    assert_eq!(ledger_is_whole(&house).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_stands_still_is_ended_by_the_server() {
    let Some(database) = Server::shared() else { return };
    let house = open(&database.url()).await;
    house.commit(lines(0)).await.unwrap();
    let settings = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'handover'";
    assert_ne!(database.sql(settings), "0");
    // A process that was stopped in the middle of a group.
    let (stopped, connection) =
        tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let hold = "SET idle_in_transaction_session_timeout = 300; BEGIN;
        UPDATE houses SET lines = lines + 7";
    stopped.batch_execute(hold).await.unwrap();
    assert!(done(&house.commit(lines(1)).await.unwrap()), "the house is free again");
    assert!(stopped.batch_execute("COMMIT").await.is_err(), "and it has written nothing");
    assert_eq!(ledger_is_whole(&house).await, 2);
    let _ = connection.await;
}

#[tokio::test]
async fn lines_cannot_be_changed_or_removed() {
    let Some(database) = Server::shared() else { return };
    let house = open(&database.url()).await;
    house.commit(lines(0)).await.unwrap();
    let (client, connection) =
        tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    for forgery in ["UPDATE entries SET body = ''", "DELETE FROM entries", "TRUNCATE entries"] {
        assert!(client.batch_execute(forgery).await.is_err(), "{forgery}");
    }
    drop(client);
    let _ = connection.await;
    assert_eq!(ledger_is_whole(&house).await, 1);
}

#[tokio::test]
async fn what_no_clock_works_on_has_no_lane() {
    let Some(database) = Server::shared() else { return };
    let house = open(&database.url()).await;
    let (client, connection) =
        tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let numbered = Work { number: Some(1), ..work("numbered", None) };
    let table = [
        ("filed at the door", work("filed", None), 0),
        ("numbered", numbered, 1),
        ("due", work("due", Some(at(1))), 2),
        ("filed and then due", work("filed", Some(at(1))), 3),
    ];
    for (case, row, lanes) in table {
        assert!(done(&house.commit(Unit { works: vec![row], ..lines(0) }).await.unwrap()));
        let count = client.query_one("SELECT count(*) FROM lanes", &[]).await.unwrap();
        assert_eq!(count.get::<_, i64>(0), lanes, "{case}");
    }
    drop(client);
    let _ = connection.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_lay_out_the_tables_once() {
    let Some(database) = Server::shared() else { return };
    let url = database.url();
    let houses = join_all((0..4).map(|_| open(&url))).await;
    for house in &houses {
        assert!(done(&house.commit(lines(0)).await.unwrap()));
    }
    assert_eq!(ledger_is_whole(&houses[0]).await, 4, "it is one house");
}

/// By whichever clock its file is old: here it was written long ago before its row is committed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_is_not_swept_by_another_process() {
    let Some(database) = Server::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let blobs = Some(Blobs::folder(folder.path()).unwrap());
    let place = PostgresPlace { url: database.url(), blobs, ..PostgresPlace::default() };
    let open = async || PostgresHouse::open(&place, &HouseId::from("hospital")).await.unwrap();
    let (one, other) = (open().await, open().await);
    let part = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let files = || std::fs::read_dir(&part).unwrap().map(|file| file.unwrap().path());
    let age = |file: &std::path::Path| {
        let file = std::fs::File::options().write(true).open(file).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    };
    let (slow, connection) =
        tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    slow.batch_execute("BEGIN; SELECT FROM houses FOR UPDATE").await.unwrap();

    let content: Bytes = (0..50_000u32).flat_map(|it| (it * it).to_le_bytes()).collect();
    let large = NewVersion { content: Some(content.clone()), ..version("large") };
    let unit = Unit { records: vec![large], ..lines(0) };
    let committed = tokio::spawn({
        let one = one.clone();
        async move { one.commit(unit).await }
    });
    let finished = |file: &std::path::PathBuf| file.file_name().is_some_and(|it| it.len() == 64);
    let file = loop {
        if let Some(file) = files().find(finished) {
            break file;
        }
        tokio::task::yield_now().await;
    };
    age(&file);
    let swept = tokio::spawn(async move { (other.sweep().await, other) });
    let tries = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE '%pg_try_advisory_lock%'
            AND pid <> pg_backend_pid()";
    while !swept.is_finished() && database.sql(tries) == "0" {
        tokio::task::yield_now().await;
    }
    slow.batch_execute("COMMIT").await.unwrap();
    drop(slow);
    let _ = connection.await;
    assert!(done(&committed.await.unwrap().unwrap()));
    let (swept, other) = swept.await.unwrap();
    assert_eq!(swept.unwrap(), 0);
    let found = other.record("Basic", "large", None).await.unwrap().unwrap();
    assert_eq!(found.content, Some(content));

    let orphan = part.join("ab".repeat(32));
    std::fs::write(&orphan, "left behind").unwrap();
    age(&orphan);
    assert_eq!(other.sweep().await.unwrap(), 1, "once nobody is at it");
    assert!(!orphan.exists() && file.exists());
}

/// A house that is made, or restored, in a long transaction has the lower number, and is seen later.
#[tokio::test]
async fn contents_stay_found_whichever_house_is_seen_first() {
    let Some(database) = Server::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let blobs = Some(Blobs::folder(folder.path()).unwrap());
    let place = PostgresPlace { url: database.url(), blobs, ..PostgresPlace::default() };
    let reopen = async |house| PostgresHouse::open(&place, &HouseId::from(house)).await.unwrap();
    drop(reopen("gone").await);
    database.sql("DELETE FROM houses");
    let (slow, connection) =
        tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let insert = "BEGIN; INSERT INTO houses (name, blob_key) VALUES ('slow', decode(repeat('ab', 32), 'hex'))";
    slow.batch_execute(insert).await.unwrap();

    let house = reopen("hospital").await;
    let content: Bytes = (0..50_000u32).flat_map(|it| (it * it).to_le_bytes()).collect();
    let large = NewVersion { content: Some(content.clone()), ..version("large") };
    assert!(done(&house.commit(Unit { records: vec![large], ..lines(0) }).await.unwrap()));
    assert_eq!(database.sql("SELECT count(*) FROM versions WHERE file IS NOT NULL"), "1");
    slow.batch_execute("COMMIT").await.unwrap();
    drop((house, slow));
    let _ = connection.await;
    let found = reopen("hospital").await.record("Basic", "large", None).await.unwrap().unwrap();
    assert_eq!(found.content, Some(content));
}

#[tokio::test]
async fn a_database_of_another_version_is_left_alone() {
    let Some(database) = Server::shared() else { return };
    let hospital = HouseId::from("hospital");
    drop(open(&database.url()).await);
    let reopen = async || PostgresHouse::open(&place(database.url()), &hospital).await.map(drop);
    let known: u64 = database.sql("SELECT count(*) FROM schema").parse().unwrap();
    database.sql("INSERT INTO schema SELECT max(version) + 1, '' FROM schema");
    let newer = reopen().await;
    assert!(
        matches!(newer, Err(Error::TooNew { found, known: ours }) if found == known + 1 && ours == known)
    );
    database.sql("DELETE FROM schema WHERE version > 1");
    database.sql("UPDATE schema SET step = '' WHERE version = 1");
    assert!(matches!(reopen().await, Err(Error::Damaged(_))), "a step that was edited");
}

#[tokio::test]
async fn nothing_goes_to_another_machine_in_the_clear() {
    let authority = rcgen::generate_simple_self_signed(vec!["db.example.org".to_owned()]).unwrap();
    let roots = Some(authority.cert.pem().into_bytes());
    let refused = [
        ("no certificates", "postgresql://someone@db.example.org/handover", None),
        ("an address", "host=192.0.2.7 user=someone", None),
        ("one of several", "postgresql://someone@localhost,db.example.org/handover", None),
        ("an address behind a name", "host=localhost hostaddr=192.0.2.7 user=someone", None),
        ("TLS switched off", "postgresql://someone@db.example.org/h?sslmode=disable", roots),
        ("no certificate at all", "postgresql://someone@db.example.org/h", Some(Vec::new())),
        ("no connection string", "postgresql://%", None),
    ];
    for (case, url, roots) in refused {
        let place = PostgresPlace { url: url.to_owned(), roots, ..PostgresPlace::default() };
        let begun = Instant::now();
        let opened = PostgresHouse::open(&place, &HouseId::from("hospital")).await;
        assert!(matches!(opened, Err(Error::Unavailable(_))), "{case}");
        assert!(begun.elapsed() < PATIENCE / 20, "{case}: nobody was called");
    }
    let place = PostgresPlace {
        url: "postgresql://someone:in-the-url@localhost/h".to_owned(),
        password: Some("beside-it".to_owned()),
        ..PostgresPlace::default()
    };
    let shown = format!("{place:?}");
    assert!(!shown.contains("in-the-url") && !shown.contains("beside-it"));
}

#[tokio::test]
async fn long_words_of_partners_are_kept_and_found() {
    let Some(database) = Server::shared() else { return };
    let house = open(&database.url()).await;
    let long = |letter: char| format!("https://example.org|{}", letter.to_string().repeat(4_000));
    let record = |id: &str, letter| NewVersion {
        keys: RecordKeys { tokens: vec![long(letter)], ..RecordKeys::default() },
        ..version(id)
    };
    let answer = |letter| store::FirstAnswer {
        sender: PartnerId::from("hospital"),
        key: long(letter),
        digest: exchange::Digest::of(b"came"),
        status: 200,
        headers: Vec::new(),
        body: Bytes::new(),
    };
    for (id, letter) in [("one", 'a'), ("other", 'b')] {
        let row = Work { label: Some(long(letter)), ..work(id, None) };
        let unit = Unit {
            records: vec![record(id, letter)],
            works: vec![row],
            first_answer: Some(answer(letter)),
            ..lines(0)
        };
        assert!(done(&house.commit(unit).await.unwrap()));
        let query = RecordQuery {
            kind: "Basic".to_owned(),
            tokens: vec![vec![long(letter)]],
            limit: 9,
            ..RecordQuery::default()
        };
        let found = house.search(query).await.unwrap();
        assert_eq!(found.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), [id]);
        let sender = PartnerId::from("hospital");
        assert!(house.first_answer(&sender, &long(letter)).await.unwrap().is_some());
        let query = WorkQuery { prefix: Some(long(letter)), limit: 9, ..WorkQuery::default() };
        let found = house.works(query).await.unwrap();
        assert_eq!(found.iter().map(|it| it.work.id.as_str()).collect::<Vec<_>>(), [id]);
    }
    let longer = WorkQuery { prefix: Some(long('a') + "b"), limit: 9, ..WorkQuery::default() };
    assert!(house.works(longer).await.unwrap().is_empty());
}

/// A certificate for an address, from an authority of its own; PEM of authority, certificate, key.
fn vouched(name: &str) -> [String; 3] {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    let own = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let vouched = params.signed_by(&own, &issuer).unwrap();
    [certificate.pem(), vouched.pem(), own.serialize_pem()]
}

#[tokio::test]
async fn a_server_is_spoken_to_once_its_certificate_is_verified() {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let Some(mut server) = Server::start() else { return };
    server.create_database("hospital");
    server.stop_fast();
    let [authority, certificate, key] = vouched("127.0.0.1");
    let folder = server.folder();
    let owner = fs::metadata(&folder).unwrap();
    for (name, text) in [("server.crt", &certificate), ("server.key", &key)] {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        chown(folder.join(name), Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = folder.join("postgresql.auto.conf");
    let said = fs::read_to_string(&settings).unwrap();
    let own = format!("listen_addresses = '127.0.0.1'\nport = {port}\nssl = on\n");
    fs::write(&settings, said + &own).unwrap();
    // Whoever comes over the network comes with TLS.
    fs::write(folder.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").unwrap();
    server.start_again();

    let [stranger, ..] = vouched("127.0.0.1");
    let place = |host: &str, roots: Option<&String>| PostgresPlace {
        url: format!("postgresql://postgres@{host}:{port}/hospital?sslmode=verify-full"),
        roots: roots.map(|pem| pem.clone().into_bytes()),
        ..PostgresPlace::default()
    };
    let name = HouseId::from("hospital");
    let house = PostgresHouse::open(&place("127.0.0.1", Some(&authority)), &name).await.unwrap();
    assert_eq!(house.version_count().await.unwrap(), 0, "it reads and writes");
    let refused = [
        ("another authority", place("127.0.0.1", Some(&stranger))),
        ("another name than the certificate's", place("localhost", Some(&authority))),
        ("without TLS", place("127.0.0.1", None)),
    ];
    for (case, place) in refused {
        let opened = PostgresHouse::open(&place, &name).await;
        assert!(matches!(opened, Err(Error::Unavailable(_))), "{case}: {opened:?}");
    }
}
