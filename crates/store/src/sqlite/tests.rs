//! Goal: a house in a file survives what a disk can do.
//!
//! How: files in a temporary folder; faults by SQLite's own limits.

#![allow(clippy::unwrap_used)]

use super::schema::KNOWN;
use super::*;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;

use crate::limits::{GROUP_UNITS_MAX, INLINE_BYTES_MAX, QUEUE_BYTES_MAX, QUEUE_UNITS_MAX};
use crate::noise::noise;

pub(super) fn house(name: &str) -> HouseId {
    HouseId::from(name)
}

/// A process that died with leased work must not keep it from whoever opens the house next.
#[tokio::test]
async fn whoever_opens_a_house_alone_need_not_wait_for_leases_of_the_dead() {
    let (folder, opened) = open_here();
    let row = crate::Work {
        id: "w".to_owned(),
        kind: crate::WorkKind::Push,
        lane: "lane".to_owned(),
        partner: None,
        dossier: None,
        trigger: None,
        label: None,
        gathered: None,
        number: None,
        state: "due".to_owned(),
        due: Some(at(1)),
        body: Vec::new(),
    };
    opened.commit(Unit { at: at(1), works: vec![row.clone()], ..Unit::default() }).await.unwrap();
    let hour = std::time::Duration::from_secs(3600);
    let dead = opened.claim(Clock::At(at(2)), hour, 1).await.unwrap();
    drop(opened);
    let opened = SqliteHouse::open(folder.path(), &house("one")).unwrap();
    let alive = opened.claim(Clock::At(at(3)), hour, 1).await.unwrap();
    assert_eq!(alive.len(), 1, "it is claimed at once");
    let late =
        Unit { at: at(4), fence: Some(dead[0].fence.clone()), works: vec![row], ..Unit::default() };
    assert_eq!(opened.commit(late).await.unwrap(), Commit::Overtaken, "the dead do not write");
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(seconds)
}

pub(super) fn open_here() -> (tempfile::TempDir, SqliteHouse) {
    let folder = tempfile::tempdir().unwrap();
    let opened = SqliteHouse::open(folder.path(), &house("one")).unwrap();
    (folder, opened)
}

/// A unit of a line, a record and a blob, of this many bytes that nothing packs.
pub(super) fn full_unit(id: &str, bytes: usize) -> Unit {
    let content: Bytes = [id.as_bytes(), &noise(bytes, 1)].concat().into();
    let record = NewVersion {
        kind: "Binary".to_owned(),
        id: id.to_owned(),
        owner: PartnerId::from("hospital"),
        receipt: "receipt".to_owned(),
        lane: None,
        number: None,
        content: Some(content.clone()),
        keys: crate::RecordKeys::default(),
    };
    Unit {
        at: at(1),
        lines: vec![(Chain::House, exchange::Event::Opened { version: id.to_owned() })],
        records: vec![record],
        blobs: vec![(Digest::of(&content), content)],
        ..Unit::default()
    }
}

const DONE: Commit = Commit::Done { versions: Vec::new() };

fn files(folder: &tempfile::TempDir) -> usize {
    std::fs::read_dir(folder.path().join(BLOBS)).unwrap().count()
}

#[tokio::test]
async fn a_house_is_held_by_one() {
    let (folder, first) = open_here();
    let second = SqliteHouse::open(folder.path(), &house("one"));
    assert!(matches!(second, Err(Error::Locked)));
    let other = SqliteHouse::open(folder.path(), &house("other"));
    assert!(matches!(other, Err(Error::Locked)), "the file is held, not the name");
    drop(first);
    SqliteHouse::open(folder.path(), &house("one")).unwrap();
}

#[tokio::test]
async fn a_house_opened_to_read_writes_nothing() {
    let (folder, writing) = open_here();
    writing.commit(full_unit("a", 99_999)).await.unwrap();
    let reading = SqliteHouse::open_to_read(folder.path(), &house("one")).unwrap();
    assert_eq!(
        reading.dump(None, 999_999).await.unwrap(),
        writing.dump(None, 999_999).await.unwrap()
    );
    let content = reading.record("Binary", "a", None).await.unwrap().unwrap().content.unwrap();
    assert_eq!(content.len(), 100_000);
    let refused = reading.commit(full_unit("b", 99_999)).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))));
    assert_eq!(files(&folder), 1);
    writing.commit(full_unit("c", 1)).await.unwrap();
    assert_eq!(reading.entries(1, 9).await.unwrap().len(), 2, "it sees what is written meanwhile");
    let unknown = SqliteHouse::open_to_read(folder.path(), &house("other"));
    assert!(matches!(unknown, Err(Error::Damaged(_))));
    let nothing = SqliteHouse::open_to_read(&folder.path().join("none"), &house("one"));
    assert!(matches!(nothing, Err(Error::Unavailable(_))));
}

#[test]
fn a_house_that_is_being_made_is_not_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let lock = std::fs::File::create(folder.path().join(LOCK)).unwrap();
    lock.try_lock().unwrap();
    let db = Connection::open(folder.path().join(DATABASE)).unwrap();
    let read = || SqliteHouse::open_to_read(folder.path(), &house("one"));
    assert!(matches!(read(), Err(Error::Locked)), "a file without tables");
    schema::bring_up(&db).unwrap();
    assert!(matches!(read(), Err(Error::Locked)), "tables without a house");
    drop(lock);
    assert!(matches!(read(), Err(Error::Damaged(_))), "nobody makes it");
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_left_alone() {
    let (folder, opened) = open_here();
    drop(opened);
    let db = Connection::open(folder.path().join(DATABASE)).unwrap();
    let newer = "INSERT INTO schema (version, step) VALUES (99, x'00')";
    db.execute(newer, []).unwrap();
    drop(db);
    for opened in [
        SqliteHouse::open(folder.path(), &house("one")),
        SqliteHouse::open_to_read(folder.path(), &house("one")),
    ] {
        assert!(matches!(opened, Err(Error::TooNew { found: 99, known: KNOWN })), "{opened:?}");
    }
    let db = Connection::open(folder.path().join(DATABASE)).unwrap();
    db.execute_batch("DELETE FROM schema WHERE version = 99; UPDATE schema SET step = x'01'")
        .unwrap();
    drop(db);
    let edited = SqliteHouse::open(folder.path(), &house("one"));
    assert!(matches!(edited, Err(Error::Damaged(_))), "a step that is not ours");
}

/// A journal that takes everything back: of a file that had no page yet.
fn journal_of_an_empty_file() -> Vec<u8> {
    let numbers = [0, 1, 0, 512, 4096].map(u32::to_be_bytes).concat();
    let mut journal = [&[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7], &numbers[..]].concat();
    journal.resize(512, 0);
    journal
}

#[tokio::test]
async fn a_file_that_was_never_finished_becomes_a_house() {
    type Unfinished = fn(&Path);
    let table: [(&str, Unfinished); 3] = [
        ("an empty file", |file| drop(std::fs::write(file, b""))),
        ("no table yet", |file| {
            let db = Connection::open(file).unwrap();
            db.pragma_update(None, "journal_mode", "WAL").unwrap();
        }),
        ("half a first page", |file| {
            std::fs::write(file, [b"SQLite format 3\0".as_slice(), &[1; 4080]].concat()).unwrap();
            let journal = file.with_extension("sqlite-journal");
            std::fs::write(journal, journal_of_an_empty_file()).unwrap();
        }),
    ];
    for (case, unfinished) in table {
        let folder = tempfile::tempdir().unwrap();
        unfinished(&folder.path().join(DATABASE));
        assert_eq!(SqliteHouse::schema(folder.path()).unwrap(), None, "{case}");
        let opened = SqliteHouse::open(folder.path(), &house("one")).unwrap();
        let first = Commit::Done { versions: vec![1] };
        assert_eq!(opened.commit(full_unit("a", 9)).await.unwrap(), first, "{case}");
        assert!(SqliteHouse::schema(folder.path()).unwrap().is_some(), "{case}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(DATABASE), "no database".repeat(999)).unwrap();
    let opened = SqliteHouse::open(folder.path(), &house("one"));
    assert!(matches!(opened, Err(Error::Damaged(_))));
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, opened) = open_here();
    opened.commit(full_unit("a", 99_999)).await.unwrap();
    let blobs = folder.path().join(BLOBS);
    let found = std::fs::read_dir(folder.path()).unwrap().chain(std::fs::read_dir(&blobs).unwrap());
    for file in found {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", file.file_name());
    }
}

/// Keeps the writer busy with a commit of its own until it is freed: what queues meanwhile shares
/// the next one.
async fn keep_busy(
    opened: &SqliteHouse,
    bytes: usize,
) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), Error>>) {
    let ((free, held), (begin, begun)) = (mpsc::channel(), mpsc::channel());
    let opened = opened.clone();
    let wait = move |_: &Connection| {
        begin.send(()).ok();
        held.recv().ok();
        Ok(Outcome::Keep(()))
    };
    let busy = tokio::spawn(async move { opened.write(bytes, wait).await });
    tokio::task::yield_now().await;
    begun.recv().unwrap();
    (free, busy)
}

#[tokio::test]
async fn a_bad_unit_fails_alone_in_its_group() {
    let (_folder, opened) = open_here();
    let (free, blocker) = keep_busy(&opened, 0).await;
    let good = |id: &str| {
        tokio::spawn({
            let (opened, unit) = (opened.clone(), full_unit(id, 1));
            async move { opened.commit(unit).await }
        })
    };
    let bad = |run: fn(&Connection) -> Result<Outcome<()>, Error>| {
        tokio::spawn({
            let opened = opened.clone();
            async move { opened.write(0, run).await }
        })
    };
    let wrong_sql = |db: &Connection| {
        row::run(db, "INSERT INTO houses (name, blob_key) VALUES ('half', x'00')", [])?;
        row::run(db, "INSERT INTO entries (house) VALUES (1)", [])?;
        Ok(Outcome::Keep(()))
    };
    let panicking = |db: &Connection| -> Result<Outcome<()>, Error> {
        row::run(db, "INSERT INTO houses (name, blob_key) VALUES ('half', x'00')", [])?;
        panic!("a unit that ends in the middle");
    };
    let goods = [good("1"), good("2")];
    let bads = [bad(wrong_sql), bad(panicking)];
    let more = [good("3"), good("4")];
    tokio::task::yield_now().await;
    free.send(()).unwrap();
    blocker.await.unwrap().unwrap();
    for unit in goods.into_iter().chain(more) {
        assert_eq!(unit.await.unwrap().unwrap(), Commit::Done { versions: vec![1] });
    }
    for unit in bads {
        assert!(matches!(unit.await.unwrap(), Err(Error::Unavailable(_))));
    }
    let houses = opened.read(|db, _| row::all(db, "SELECT 1 FROM houses", [], |_| Ok(()))).await;
    assert_eq!(houses.unwrap().len(), 1, "nothing of the bad units is left");
    let lines = opened.entries(1, 99).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(opened.commit(Unit { at: at(2), ..Unit::default() }).await.unwrap(), DONE);
}

/// A row that only COMMIT finds wrong stands for a disk that fails at that moment.
#[tokio::test]
async fn a_failed_commit_fails_all_of_its_group_and_none_behind_it() {
    let (folder, opened) = open_here();
    let unsound = |db: &Connection| {
        db.pragma_update(None, "defer_foreign_keys", true)?;
        row::run(db, "INSERT INTO tokens (house, kind, token, record) VALUES (1, '', '', 9)", [])?;
        Ok(Outcome::Keep(()))
    };
    let (free, blocker) = keep_busy(&opened, 0).await;
    let mut group = [
        Box::pin(opened.commit(full_unit("a", 9))) as Pin<Box<dyn Future<Output = _> + Send>>,
        Box::pin(async { opened.write(0, unsound).await.map(|()| DONE) }),
        Box::pin(opened.commit(full_unit("b", 9))),
    ];
    std::future::poll_fn(|context| {
        assert!(group.iter_mut().all(|unit| unit.as_mut().poll(context).is_pending()));
        Poll::Ready(())
    })
    .await;
    free.send(()).unwrap();
    blocker.await.unwrap().unwrap();
    for unit in group {
        assert!(matches!(unit.await, Err(Error::Unavailable(_))));
    }
    assert_eq!(opened.dump(None, 999_999).await.unwrap(), [], "nothing of the group is there");
    assert_eq!(opened.commit(full_unit("a", 9)).await.unwrap(), Commit::Done { versions: vec![1] });
    drop(opened);
    let opened = SqliteHouse::open(folder.path(), &house("one")).unwrap();
    assert_eq!(opened.entries(1, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_queue_says_so_at_once() {
    let (_folder, opened) = open_here();
    let (free, blocker) = keep_busy(&opened, QUEUE_BYTES_MAX * 2).await;
    let large = opened.write(1, |_| Ok(Outcome::Keep(()))).await;
    assert!(matches!(large, Err(Error::Busy)), "too many bytes wait");
    let mut queued: Vec<_> = (0..QUEUE_UNITS_MAX + 2 * GROUP_UNITS_MAX)
        .map(|_| Box::pin(opened.write(0, |_| Ok(Outcome::Keep(())))))
        .collect();
    let mut busy = 0;
    std::future::poll_fn(|context| {
        queued.retain_mut(|unit| match unit.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(answer) => {
                assert!(matches!(answer, Err(Error::Busy)), "nothing is written yet");
                busy += 1;
                false
            }
        });
        Poll::Ready(())
    })
    .await;
    assert!(busy >= GROUP_UNITS_MAX, "{busy} were refused");
    free.send(()).unwrap();
    blocker.await.unwrap().unwrap();
    for unit in queued {
        unit.await.unwrap();
    }
    assert_eq!(opened.commit(full_unit("a", 1)).await.unwrap(), Commit::Done { versions: vec![1] });
}

#[tokio::test]
async fn a_full_disk_refuses_units_and_later_takes_them() {
    let (folder, opened) = open_here();
    opened.commit(full_unit("before", 99_999)).await.unwrap();
    let pages = |count: i64| {
        let opened = opened.clone();
        async move {
            let set = move |db: &Connection| {
                db.pragma_update(None, "max_page_count", count)?;
                Ok(Outcome::Keep(()))
            };
            opened.write(0, set).await.unwrap();
        }
    };
    pages(1).await; // SQLite takes it as: no more than there are
    let before = (opened.dump(None, 999_999).await.unwrap(), opened.entries(1, 99).await.unwrap());
    let units = (0..20).map(|number| {
        let bytes = if number % 2 == 0 { 50_000 } else { 70_000 };
        let (opened, unit) = (opened.clone(), full_unit(&format!("u{number}"), bytes));
        tokio::spawn(async move { opened.commit(unit).await })
    });
    let mut written = 0;
    for unit in units.collect::<Vec<_>>() {
        match unit.await.unwrap() {
            Err(Error::Unavailable(_)) => {}
            Ok(_) => written += 1,
            other => panic!("{other:?}"),
        }
    }
    // Rows of units whose content is a file may fit into pages that are there already.
    assert!(written < 20, "something was refused");
    let after = (opened.dump(None, 999_999).await.unwrap(), opened.entries(1, 99).await.unwrap());
    assert_eq!(after.0.len(), before.0.len() + written, "what was refused is not there");
    assert_eq!(after.1.len(), before.1.len() + written, "nor its lines");

    pages(1 << 30).await;
    let last = opened.commit(full_unit("after", 50_000)).await.unwrap();
    assert_eq!(last, Commit::Done { versions: vec![1] }, "the house recovers");
    assert_eq!(opened.entries(1, 99).await.unwrap().len(), after.1.len() + 1);
    let named = opened.dump(None, 999_999).await.unwrap();
    let mut large = 0;
    for record in named {
        let content = opened.record("Binary", &record.id, None).await.unwrap().unwrap().content;
        large += usize::from(content.unwrap().len() > INLINE_BYTES_MAX);
    }
    assert_eq!(files(&folder), large, "files of refused units are gone");
}

#[tokio::test]
async fn files_of_refused_units_are_removed_unless_others_need_them() {
    let (folder, opened) = open_here();
    let stale = |id: &str| Unit {
        expects: vec![crate::Expect::LaneNumber { lane: "lane".to_owned(), number: 9 }],
        ..full_unit(id, 99_999)
    };
    assert_eq!(opened.commit(stale("a")).await.unwrap(), Commit::Stale);
    assert_eq!(files(&folder), 0, "nobody needs it");
    opened.commit(full_unit("a", 99_999)).await.unwrap();
    assert_eq!(opened.commit(stale("a")).await.unwrap(), Commit::Stale);
    assert_eq!(files(&folder), 1, "a row names it");
    let racing: Vec<_> = (0..40)
        .map(|number| {
            let unit = if number % 2 == 0 { stale("b") } else { full_unit("b", 99_999) };
            let opened = opened.clone();
            tokio::spawn(async move { opened.commit(unit).await })
        })
        .collect();
    for unit in racing {
        unit.await.unwrap().unwrap();
    }
    assert_eq!(files(&folder), 2);
    let content = opened.record("Binary", "b", None).await.unwrap().unwrap().content;
    assert_eq!(content.unwrap().len(), 100_000, "the one that others named");
}

#[tokio::test]
async fn files_that_a_crash_left_are_swept_up_and_no_others() {
    let (folder, opened) = open_here();
    opened.commit(full_unit("a", 99_999)).await.unwrap();
    drop(opened);
    let blobs = folder.path().join(BLOBS);
    std::fs::write(blobs.join("unfinished-7"), "half").unwrap();
    std::fs::write(blobs.join(Digest::of(b"orphan").to_string()), "whole").unwrap();
    std::fs::write(blobs.join("README"), "a person's").unwrap();
    let opened = SqliteHouse::open(folder.path(), &house("one")).unwrap();
    assert_eq!(files(&folder), 2, "the one in use, and what is not ours");
    assert!(opened.record("Binary", "a", None).await.is_ok());
}

/// A house whose contents are to lie elsewhere from now on finds those it had, and lets them go.
#[tokio::test]
async fn a_house_moves_its_contents_as_it_goes() {
    let (folder, opened) = open_here();
    opened.commit(full_unit("old", 99_999)).await.unwrap();
    drop(opened);
    let elsewhere = tempfile::tempdir().unwrap();
    let open = || {
        let blobs = Blobs::folder(elsewhere.path()).unwrap();
        SqliteHouse::open_with(folder.path(), &house("one"), Some(blobs)).unwrap()
    };
    let opened = open();
    opened.commit(full_unit("new", 99_999)).await.unwrap();
    assert_eq!(files(&folder), 1, "what is new lies elsewhere");
    drop(opened);
    let stray = folder.path().join(BLOBS).join(Digest::of(b"stray").to_string());
    std::fs::write(&stray, "left behind").unwrap();
    let opened = open();
    assert!(!stray.exists(), "swept here too");
    for id in ["old", "new"] {
        let record = opened.record("Binary", id, None).await.unwrap().unwrap();
        assert_eq!(record.content.unwrap().len(), 100_002, "{id}");
    }
    drop(opened);
    let read = SqliteHouse::open_to_read(folder.path(), &house("one")).unwrap();
    assert!(read.record("Binary", "old", None).await.is_ok());
    let unseen = read.record("Binary", "new", None).await;
    assert!(matches!(unseen, Err(Error::Damaged(_))), "nobody said where it lies");
}

#[tokio::test]
async fn a_content_that_was_changed_is_not_given_out() {
    let (folder, opened) = open_here();
    opened.commit(full_unit("small", 9)).await.unwrap();
    opened.commit(full_unit("large", 99_999)).await.unwrap();
    let file = std::fs::read_dir(folder.path().join(BLOBS)).unwrap().next().unwrap().unwrap();
    std::fs::write(file.path(), "other").unwrap();
    let change = |db: &Connection| {
        row::run(db, "UPDATE versions SET content = x'00' WHERE content IS NOT NULL", [])?;
        Ok(Outcome::Keep(()))
    };
    opened.write(0, change).await.unwrap();
    for id in ["small", "large"] {
        let read = opened.record("Binary", id, None).await;
        assert!(matches!(read, Err(Error::Damaged(_))), "{id}");
    }
    std::fs::remove_file(file.path()).unwrap();
    assert!(matches!(opened.record("Binary", "large", None).await, Err(Error::Damaged(_))));
}

/// The negative space of the ledger: not even this room can change what is written.
#[tokio::test]
async fn lines_cannot_be_changed_or_removed() {
    let (_folder, opened) = open_here();
    opened.commit(full_unit("a", 1)).await.unwrap();
    for change in ["UPDATE entries SET at = 0", "DELETE FROM entries"] {
        let change = move |db: &Connection| Ok(Outcome::Keep(row::run(db, change, [])?));
        assert!(matches!(opened.write(0, change).await, Err(Error::Unavailable(_))));
    }
    assert_eq!(opened.entries(1, 9).await.unwrap().len(), 1);
}

/// Every way of asking goes by the index that leads with what was asked for, and nothing is
/// sorted that an index could give in order.
#[tokio::test]
async fn readings_do_not_walk_through_the_house() {
    let (_folder, opened) = open_here();
    let one = || vec!["a".to_owned()];
    let text = || Some("a".to_owned());
    let span = DateSpan { from: at(1), to: at(2) };
    let works = |query| work::some_sql(1, &query).0;
    let records = |query| record::search_sql(1, &query).0;
    let table = [
        (ledger::HEAD.to_owned(), "entries_by_chain (house=? AND chain=?)"),
        (work::NEXT.to_owned(), "works_waiting (house=? AND lane=?)"),
        (work::LEASED.to_owned(), "works_leased (house=? AND lane=?"),
        (work::READY.to_owned(), "COVERING INDEX lanes_by_ready (house=? AND ready>? AND ready<?)"),
        (work::READY_BESIDE.to_owned(), "COVERING INDEX lanes_by_ready (house=? AND ready>? AND"),
        (work::READY_BESIDE.to_owned(), "works USING INTEGER PRIMARY KEY (rowid=?)"),
        (work::NEXT_READY.to_owned(), "lanes_by_ready (house=?"),
        (
            record::FORGET_TOKENS.to_owned(),
            "tokens USING PRIMARY KEY (house=? AND kind=? AND token=? AND record=?)",
        ),
        (works(WorkQuery { dossier: text(), ..WorkQuery::default() }), "works_by_dossier"),
        (works(WorkQuery { trigger: text(), ..WorkQuery::default() }), "works_by_cause"),
        (works(WorkQuery { lane: text(), ..WorkQuery::default() }), "works_by_lane (house=? AND"),
        (
            works(WorkQuery { lanes: text(), ..WorkQuery::default() }),
            "works_by_lane (house=? AND lane>?",
        ),
        (works(WorkQuery { states: one(), ..WorkQuery::default() }), "works_by_state (house=? AND"),
        (
            works(WorkQuery { prefix: text(), ..WorkQuery::default() }),
            "works_by_label (house=? AND",
        ),
        (
            works(WorkQuery { prefix: text(), ..WorkQuery::default() }),
            "INTEGER PRIMARY KEY (rowid=?)",
        ),
        (records(RecordQuery::default()), "records_by_id (house=? AND kind=?)"),
        (
            records(RecordQuery { after: text(), ..RecordQuery::default() }),
            "records_by_id (house=? AND kind=? AND id>?)",
        ),
        (
            records(RecordQuery { ids: one(), ..RecordQuery::default() }),
            "records_by_id (house=? AND kind=? AND id=?)",
        ),
        (
            records(RecordQuery { patients: one(), tokens: vec![one()], ..RecordQuery::default() }),
            "records_by_patient (house=? AND patient=? AND kind=?)",
        ),
        (
            records(RecordQuery { encounters: one(), ..RecordQuery::default() }),
            "records_by_encounter (house=? AND encounter=? AND kind=?)",
        ),
        (
            records(RecordQuery { tokens: vec![one()], ..RecordQuery::default() }),
            "SEARCH t USING PRIMARY KEY (house=? AND kind=? AND token>? AND token<?)",
        ),
        (
            records(RecordQuery { tokens: vec![one()], ..RecordQuery::default() }),
            "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (
            records(RecordQuery { date: vec![(Compare::Sa, span)], ..RecordQuery::default() }),
            "records_by_date (house=? AND kind=? AND date_from>?)",
        ),
        (
            records(RecordQuery { last_updated: (Some(at(1)), None), ..RecordQuery::default() }),
            "records_by_update (house=? AND kind=? AND updated>?)",
        ),
    ];
    for (sql, way) in table {
        let plan = opened.read(move |db, _| {
            let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let mut rows = statement.raw_query();
            let mut plan = String::new();
            while let Some(row) = rows.next()? {
                plan += &row.get::<_, String>("detail")?;
                plan.push('\n');
            }
            Ok(plan)
        });
        let plan = plan.await.unwrap();
        assert!(plan.contains(way), "{way} is not in:\n{plan}");
    }
}
