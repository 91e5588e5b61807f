//! Goal: whoever changes a ledger behind the house's back is found, and the first line that is
//! not as it was is named.
//!
//! How: two ledgers for every kind of tampering, changed by plain SQL with the triggers dropped
//! and, for the cleverer ones, with hashes and counts corrected as well.

#![allow(clippy::unwrap_used, missing_docs)]

use exchange::ledger::entry_hash;
use exchange::{Chain, Digest, Event, HouseId, WalkId};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::path::Path;
use store::proof::{PublicKey, Reason, Tree, Verified, verify};
use store::{Checkpoint, House, LedgerKey, SqliteHouse, Unit};

/// Lines a ledger has, and behind which of them a checkpoint was made.
struct Shape {
    lines: u64,
    checkpoints: &'static [u64],
}

/// One window and an unsigned tail; several windows.
const SHAPES: [Shape; 2] =
    [Shape { lines: 12, checkpoints: &[10] }, Shape { lines: 24, checkpoints: &[5, 12, 18, 20] }];

/// Lines 1 to 3 begin three chains that go on by turns, so that line 8 follows line 5.
fn chain(seq: u64) -> Chain {
    [Chain::House, Chain::Push(WalkId::from("a")), Chain::Push(WalkId::from("b"))]
        [(seq % 3) as usize]
        .clone()
}

fn at(seq: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seq.cast_signed())
}

async fn build(folder: &Path, shape: &Shape, key: &LedgerKey) {
    let house = open(folder);
    for seq in 1..=shape.lines {
        let event = Event::Opened { version: format!("line {seq}") };
        house
            .commit(Unit { at: at(seq), lines: vec![(chain(seq), event)], ..Unit::default() })
            .await
            .unwrap();
        if shape.checkpoints.contains(&seq) {
            house.checkpoint(at(seq), key).await.unwrap().unwrap();
        }
    }
}

fn open(folder: &Path) -> SqliteHouse {
    SqliteHouse::open(folder, &HouseId::from("one")).unwrap()
}

/// Builds a ledger, tampers with it, and walks it.
async fn walk(
    shape: &Shape,
    tamper: impl Fn(&Connection),
    retired: bool,
) -> Result<Verified, (u64, Reason)> {
    let folder = tempfile::tempdir().unwrap();
    let (key, _) = LedgerKey::generate().unwrap();
    build(folder.path(), shape, &key).await;
    let db = Connection::open(folder.path().join("house.sqlite")).unwrap();
    db.execute_batch("DROP TRIGGER entries_stand; DROP TRIGGER entries_stay").unwrap();
    tamper(&db);
    drop(db);
    let house = SqliteHouse::open_to_read(folder.path(), &HouseId::from("one")).unwrap();
    let keys = [PublicKey::new(key.public(), retired)];
    verify(&house, &keys).await.map_err(|broken| (broken.first_bad_seq, broken.reason))
}

fn run(db: &Connection, sql: &str) {
    db.execute_batch(sql).unwrap();
}

/// Moves the lines from `seq` on by some places.
fn renumber(db: &Connection, seq: u64, by: i64) {
    run(db, &format!("UPDATE entries SET seq = -seq WHERE seq >= {seq}"));
    run(db, &format!("UPDATE entries SET seq = -seq + {by} WHERE seq < 0"));
    run(db, &format!("UPDATE houses SET lines = lines + {by}"));
}

/// Gives every line from `seq` on the hashes that fit what it says now.
fn rehash(db: &Connection, seq: u64, to: u64) {
    let mut heads: HashMap<String, Digest> = HashMap::new();
    let mut select =
        db.prepare("SELECT seq, at, chain, body, hash FROM entries ORDER BY seq").unwrap();
    let lines: Vec<(i64, i64, String, String, [u8; 32])> = select
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (number, at, chain, body, hash) in lines {
        let mut hash = Digest(hash);
        if (seq..=to).contains(&number.cast_unsigned()) {
            let prev = heads.get(&chain).copied().unwrap_or(Digest([0; 32]));
            let at = Timestamp::from_microsecond(at).unwrap();
            hash = entry_hash(number.cast_unsigned(), at, &chain.parse().unwrap(), &body, &prev);
            let update = "UPDATE entries SET prev = ?2, hash = ?3 WHERE seq = ?1";
            db.execute(update, params![number, prev.0, hash.0]).unwrap();
        }
        heads.insert(chain, hash);
    }
}

fn insert(db: &Connection, seq: u64) {
    renumber(db, seq, 1);
    let insert = "INSERT INTO entries
        SELECT house, ?1, at, chain, replace(body, 'line', 'forged'), prev, hash
        FROM entries WHERE seq = ?1 - 1";
    db.execute(insert, [seq.cast_signed()]).unwrap();
}

#[tokio::test]
async fn a_ledger_that_nobody_touched_is_proved() {
    for shape in SHAPES {
        let last = *shape.checkpoints.last().unwrap();
        let verified = walk(&shape, |_| {}, false).await.unwrap();
        let checkpoints = shape.checkpoints.len() as u64;
        assert_eq!(verified, Verified { proved_to: last, last: shape.lines, checkpoints });
        assert_eq!(walk(&shape, |_| {}, true).await.unwrap(), verified, "by a retired key as well");
    }
}

/// A way of tampering with line `k`, by somebody who cannot sign.
type Tamper = fn(&Connection, u64);

#[tokio::test]
async fn whatever_is_changed_the_first_bad_line_is_named() {
    let table: &[(&str, Tamper, Reason)] = &[
        (
            "body changed",
            |db, k| run(db, &format!("UPDATE entries SET body = body || ' ' WHERE seq = {k}")),
            Reason::Changed,
        ),
        (
            "time changed",
            |db, k| run(db, &format!("UPDATE entries SET at = at + 1 WHERE seq = {k}")),
            Reason::Changed,
        ),
        (
            "moved to another chain",
            |db, k| run(db, &format!("UPDATE entries SET chain = 'push/c' WHERE seq = {k}")),
            Reason::Changed,
        ),
        (
            "hash changed",
            |db, k| run(db, &format!("UPDATE entries SET hash = zeroblob(32) WHERE seq = {k}")),
            Reason::Changed,
        ),
        (
            "previous hash changed",
            |db, k| run(db, &format!("UPDATE entries SET prev = zeroblob(32) WHERE seq = {k}")),
            Reason::Changed,
        ),
        (
            "removed",
            |db, k| run(db, &format!("DELETE FROM entries WHERE seq = {k}")),
            Reason::Missing,
        ),
        (
            "three removed",
            |db, k| run(db, &format!("DELETE FROM entries WHERE seq BETWEEN {k} AND {k} + 2")),
            Reason::Missing,
        ),
        (
            "removed, later ones renumbered",
            |db, k| {
                run(db, &format!("DELETE FROM entries WHERE seq = {k}"));
                renumber(db, k + 1, -1);
            },
            Reason::Missing,
        ),
        ("inserted with a hash of elsewhere", |db, k| insert(db, k), Reason::Changed),
        (
            "a copy of the line before inserted",
            |db, k| {
                renumber(db, k, 1);
                let copy = "INSERT INTO entries
                    SELECT house, ?1, at, chain, body, prev, hash FROM entries WHERE seq = ?1 - 1";
                db.execute(copy, [k.cast_signed()]).unwrap();
            },
            Reason::Inserted,
        ),
        (
            "inserted with a hash that fits",
            |db, k| {
                insert(db, k);
                rehash(db, k, k);
            },
            Reason::Inserted,
        ),
        (
            "two inserted with hashes that fit",
            |db, k| {
                insert(db, k);
                insert(db, k);
                rehash(db, k, k + 1);
            },
            Reason::Inserted,
        ),
        (
            "changed places with the next",
            |db, k| {
                run(db, &format!("UPDATE entries SET seq = -1 WHERE seq = {k}"));
                run(db, &format!("UPDATE entries SET seq = {k} WHERE seq = {k} + 1"));
                run(db, &format!("UPDATE entries SET seq = {k} + 1 WHERE seq = -1"));
            },
            Reason::Missing,
        ),
        (
            "body changed and hashed again, the line alone",
            |db, k| {
                run(db, &format!("UPDATE entries SET body = body || ' ' WHERE seq = {k}"));
                rehash(db, k, k);
            },
            Reason::Unchained,
        ),
    ];
    // Lines whose successors lie under the same checkpoint.
    for (shape, lines) in SHAPES.iter().zip([[4, 5], [7, 8]]) {
        for (case, tamper, reason) in table {
            for k in lines {
                let found = walk(shape, |db| tamper(db, k), false).await;
                let (seq, found) = found.unwrap_err();
                assert_eq!(seq, k, "{case}, line {k} of {}: {found}", shape.lines);
                assert_eq!(found, *reason, "{case}");
            }
        }
    }
}

/// A case, a way of tampering with a ledger of this shape, and what is found where.
type Forgery = (&'static str, fn(&Connection, &Shape), fn(&Shape) -> (u64, Reason));

fn faulty(from: u64, number: u64, fault: &'static str) -> (u64, Reason) {
    (from, Reason::Checkpoint { number, fault })
}

/// Where nothing but a checkpoint tells, the finding is the first line that it would have proved.
#[tokio::test]
async fn whoever_hashes_again_is_found_by_the_checkpoints() {
    let window = |shape: &Shape| shape.checkpoints[0];
    let table: &[Forgery] = &[
        (
            "tail cut",
            |db, shape| {
                run(db, &format!("DELETE FROM entries WHERE seq >= {}", shape.checkpoints[0]))
            },
            |shape| {
                let (from, to) = (shape.checkpoints[0], shape.lines);
                let missing =
                    format!("the store is damaged: the ledger's lines {from} to {to} are missing");
                (from, Reason::Unreadable(missing))
            },
        ),
        (
            "tail cut, count corrected",
            |db, shape| {
                let last = shape.checkpoints[0] - 2;
                run(db, &format!("DELETE FROM entries WHERE seq > {last}"));
                run(db, &format!("UPDATE houses SET lines = {last}"));
            },
            |shape| (shape.checkpoints[0] - 1, Reason::Missing),
        ),
        (
            "unsigned tail cut",
            |db, shape| run(db, &format!("DELETE FROM entries WHERE seq = {}", shape.lines)),
            |shape| {
                let last = shape.lines;
                let missing = format!(
                    "the store is damaged: the ledger's lines {last} to {last} are missing"
                );
                (last, Reason::Unreadable(missing))
            },
        ),
        (
            "changed, all hashed again",
            |db, _| {
                run(db, "UPDATE entries SET body = body || ' ' WHERE seq = 4");
                rehash(db, 4, u64::MAX);
            },
            |shape| (1, Reason::Root { to: shape.checkpoints[0] }),
        ),
        (
            "removed, all renumbered and hashed again",
            |db, _| {
                run(db, "DELETE FROM entries WHERE seq = 4");
                renumber(db, 5, -1);
                rehash(db, 4, u64::MAX);
            },
            |shape| (1, Reason::Root { to: shape.checkpoints[0] }),
        ),
        (
            "inserted, all renumbered and hashed again",
            |db, _| {
                insert(db, 4);
                rehash(db, 4, u64::MAX);
            },
            |shape| (1, Reason::Root { to: shape.checkpoints[0] }),
        ),
        (
            "first checkpoint removed",
            |db, _| run(db, "DELETE FROM checkpoints WHERE number = 1"),
            |shape| match shape.checkpoints {
                [_] => unreachable!("without its only checkpoint a ledger is not yet proved"),
                _ => faulty(1, 1, "is missing"),
            },
        ),
        (
            "checkpoint covers less",
            |db, _| run(db, "UPDATE checkpoints SET seq = seq - 1 WHERE number = 1"),
            |_| faulty(1, 1, "does not have its signature"),
        ),
        (
            "checkpoint with another root",
            |db, _| run(db, "UPDATE checkpoints SET root = zeroblob(32) WHERE number = 1"),
            |_| faulty(1, 1, "does not have its signature"),
        ),
        (
            "checkpoint at another time",
            |db, _| run(db, "UPDATE checkpoints SET at = at + 1 WHERE number = 1"),
            |_| faulty(1, 1, "does not have its signature"),
        ),
        (
            "signature of no length",
            |db, _| run(db, "UPDATE checkpoints SET signature = x'' WHERE number = 1"),
            |_| faulty(1, 1, "does not have its signature"),
        ),
        (
            "all hashed again, signed by another key",
            |db, shape| {
                run(db, "UPDATE entries SET body = body || ' ' WHERE seq = 4");
                rehash(db, 4, u64::MAX);
                sign_again(db, shape);
            },
            |_| faulty(1, 1, "is signed by a key that is not known"),
        ),
    ];
    for shape in &SHAPES {
        assert!(window(shape) >= 5, "line 4 lies under the first checkpoint");
        for (case, tamper, finding) in table {
            if *case == "first checkpoint removed" && shape.checkpoints.len() == 1 {
                let left = walk(shape, |db| tamper(db, shape), false).await.unwrap();
                assert_eq!((left.proved_to, left.checkpoints), (0, 0), "{case}: nothing is proved");
                continue;
            }
            let found = walk(shape, |db| tamper(db, shape), false).await;
            assert_eq!(found.unwrap_err(), finding(shape), "{case}, {} lines", shape.lines);
        }
    }
}

/// Replaces all checkpoints by ones that fit, signed by a key of the forger's own.
fn sign_again(db: &Connection, shape: &Shape) {
    let (key, _) = LedgerKey::generate().unwrap();
    run(db, "DELETE FROM checkpoints");
    let (mut prev, mut from) = (Digest([0; 32]), 1);
    for (number, to) in (1u64..).zip(shape.checkpoints) {
        let mut select =
            db.prepare("SELECT hash FROM entries WHERE seq BETWEEN ?1 AND ?2").unwrap();
        let mut tree = Tree::default();
        select
            .query_map(params![i64::try_from(from).unwrap(), to.cast_signed()], |row| row.get(0))
            .unwrap()
            .for_each(|hash| tree.push(&Digest(hash.unwrap())));
        let mut made = Checkpoint {
            number,
            seq: *to,
            at: at(*to),
            root: tree.root(),
            prev,
            key_id: key.key_id(),
            signature: Vec::new(),
        };
        made.signature = key.sign(&made.statement());
        let insert = "INSERT INTO checkpoints VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let (seq, micros) = (made.seq.cast_signed(), made.at.as_microsecond());
        let columns = params![
            number.cast_signed(),
            seq,
            micros,
            made.root.0,
            prev.0,
            made.key_id,
            made.signature
        ];
        db.execute(insert, columns).unwrap();
        (prev, from) = (made.statement_hash(), to + 1);
    }
}

#[tokio::test]
async fn later_windows_are_named_by_their_own_first_line() {
    let [_, shape] = SHAPES;
    type Later = (&'static str, fn(&Connection), (u64, Reason));
    let table: &[Later] = &[
        (
            "a later line changed, all behind it hashed again",
            |db| {
                run(db, "UPDATE entries SET body = body || ' ' WHERE seq = 16");
                rehash(db, 16, u64::MAX);
            },
            (13, Reason::Root { to: 18 }),
        ),
        (
            "a checkpoint in the middle removed",
            |db| run(db, "DELETE FROM checkpoints WHERE number = 3"),
            faulty(13, 3, "is missing"),
        ),
        (
            "the same, later ones renumbered",
            |db| {
                run(db, "DELETE FROM checkpoints WHERE number = 3");
                run(db, "UPDATE checkpoints SET number = 3 WHERE number = 4");
            },
            faulty(13, 3, "does not have its signature"),
        ),
        (
            "a line hashed again whose predecessor is proved",
            |db| {
                run(db, "UPDATE entries SET prev = zeroblob(32) WHERE seq = 19");
                let body: String = db
                    .query_row("SELECT body FROM entries WHERE seq = 19", [], |row| row.get(0))
                    .unwrap();
                let hash = entry_hash(19, at(19), &chain(19), &body, &Digest([0; 32]));
                db.execute("UPDATE entries SET hash = ?1 WHERE seq = 19", [hash.0]).unwrap();
            },
            (19, Reason::Unchained),
        ),
        (
            "a line of the unsigned tail",
            |db| run(db, "UPDATE entries SET body = body || ' ' WHERE seq = 23"),
            (23, Reason::Changed),
        ),
    ];
    for (case, tamper, finding) in table {
        assert_eq!(walk(&shape, tamper, false).await.unwrap_err(), *finding, "{case}");
    }
}

#[tokio::test]
async fn a_retired_key_does_not_sign_after_its_successor() {
    let folder = tempfile::tempdir().unwrap();
    let house = open(folder.path());
    let ((old, _), (new, _)) = (LedgerKey::generate().unwrap(), LedgerKey::generate().unwrap());
    let keys = [PublicKey::new(old.public(), true), PublicKey::new(new.public(), false)];
    for (seq, key) in [&old, &old, &new, &old].into_iter().enumerate() {
        let seq = seq as u64 + 1;
        let lines = vec![(Chain::House, Event::Opened { version: "1".to_owned() })];
        house.commit(Unit { at: at(seq), lines, ..Unit::default() }).await.unwrap();
        house.checkpoint(at(seq), key).await.unwrap().unwrap();
    }
    let broken = verify(&house, &keys).await.unwrap_err();
    let found = (broken.first_bad_seq, broken.reason);
    assert_eq!(found, faulty(4, 4, "is signed by a key that was retired"));
}

/// What was changed before it was signed must not become the truth by being signed.
#[tokio::test]
async fn a_line_that_was_changed_is_not_signed() {
    let changes = [
        "UPDATE entries SET body = body || ' ' WHERE seq = 12",
        "DELETE FROM entries WHERE seq = 11",
        "DELETE FROM entries WHERE seq = 12",
    ];
    for change in changes {
        let folder = tempfile::tempdir().unwrap();
        let (key, _) = LedgerKey::generate().unwrap();
        build(folder.path(), &SHAPES[0], &key).await;
        let db = Connection::open(folder.path().join("house.sqlite")).unwrap();
        run(&db, "DROP TRIGGER entries_stand; DROP TRIGGER entries_stay");
        run(&db, change);
        drop(db);
        let house = open(folder.path());
        let refused = house.checkpoint(at(99), &key).await;
        assert!(matches!(refused, Err(store::Error::Damaged(_))), "{change}");
        assert_eq!(house.checkpoints(0, u32::MAX).await.unwrap().len(), 1, "{change}");
        let lines = vec![(Chain::House, Event::Opened { version: "later".to_owned() })];
        house.commit(Unit { at: at(99), lines, ..Unit::default() }).await.unwrap();
        let found = verify(&house, &[PublicKey::new(key.public(), false)]).await;
        assert!(found.unwrap_err().first_bad_seq <= 12, "{change}: later lines do not cover it up");
    }
}
