//! Ledger: lines at the end of their chains, and checkpoints over them.
//!
//! Comes in   events with their chains; the key that signs.
//! Goes out   entries and checkpoints as they were written.
//! Never      changes or removes a line (triggers refuse it), and never signs one whose hash is
//!            not its own.
//!
//! The house counts its lines in a place of their own. A tail cut off leaves the count behind, so
//! that readings report it and the next line leaves a gap instead of taking the place.

use exchange::{Chain, Digest, Entry, Event};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::row::{all, digest, first, int, micros, number, run, time};
use crate::checkpoint::{self, Window};
use crate::house::{Checkpoint, Error};
use crate::proof::LedgerKey;

const COLUMNS: &str = "seq, at, chain, body, prev, hash";

/// A chain's last hash. Left to itself SQLite would walk back through all lines of the house.
pub(super) const HEAD: &str = "SELECT hash FROM entries INDEXED BY entries_by_chain
    WHERE house = ?1 AND chain = ?2 ORDER BY seq DESC LIMIT 1";

fn read(row: &Row<'_>) -> Result<Entry, Error> {
    let seq = number(row, "seq")?;
    let chain: String = row.get("chain")?;
    let chain = chain
        .parse::<Chain>()
        .map_err(|_| Error::Damaged(format!("ledger line {seq} names no known chain")))?;
    Ok(Entry {
        seq,
        at: time(row.get("at")?)?,
        chain,
        body: row.get("body")?,
        prev: digest(row, "prev")?,
        hash: digest(row, "hash")?,
    })
}

/// Writes lines behind the last.
pub(super) fn write(
    db: &Connection,
    house: i64,
    at: Timestamp,
    lines: &[(Chain, Event)],
) -> Result<(), Error> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut seq = count(db, house)?;
    // The last hash of each chain that this unit has written to.
    let mut heads: Vec<(&Chain, Digest)> = Vec::new();
    for (chain, event) in lines {
        seq += 1;
        let known = heads.iter().position(|(known, _)| *known == chain);
        let prev = match known.map(|place| heads.swap_remove(place)) {
            Some((_, hash)) => Some(hash),
            None => first(db, HEAD, params![house, chain.to_string()], |row| digest(row, "hash"))?,
        };
        let prev = prev.unwrap_or(Digest([0; 32]));
        let entry = Entry::new(seq, at, chain.clone(), event, prev);
        heads.push((chain, entry.hash));
        let insert = "INSERT INTO entries (house, seq, at, chain, body, prev, hash)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let chain = entry.chain.to_string();
        let (at, prev, hash) = (micros(entry.at), entry.prev.0, entry.hash.0);
        run(db, insert, params![house, int(entry.seq), at, chain, entry.body, prev, hash])?;
    }
    run(db, "UPDATE houses SET lines = ?2 WHERE house = ?1", params![house, int(seq)])?;
    Ok(())
}

fn count(db: &Connection, house: i64) -> Result<u64, Error> {
    let select = "SELECT lines FROM houses WHERE house = ?1";
    Ok(first(db, select, [house], |row| number(row, "lines"))?.unwrap_or(0))
}

/// A chain's entries, oldest first.
pub(super) fn story(db: &Connection, house: i64, chain: &Chain) -> Result<Vec<Entry>, Error> {
    let select = format!(
        "SELECT {COLUMNS} FROM entries INDEXED BY entries_by_chain
            WHERE house = ?1 AND chain = ?2 ORDER BY seq"
    );
    all(db, &select, params![house, chain.to_string()], read)
}

/// Entries from `seq` on.
pub(super) fn entries(
    db: &Connection,
    house: i64,
    seq: u64,
    limit: u32,
) -> Result<Vec<Entry>, Error> {
    let select = format!(
        "SELECT {COLUMNS} FROM entries WHERE house = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3"
    );
    let from = i64::try_from(seq).unwrap_or(i64::MAX);
    let found = all(db, &select, params![house, from, limit], read)?;
    let written = count(db, house)?;
    if found.is_empty() && limit > 0 && seq <= written {
        return Err(Error::Damaged(format!("the ledger's lines {seq} to {written} are missing")));
    }
    Ok(found)
}

/// How many entries no checkpoint covers yet.
pub(super) fn unsigned(db: &Connection, house: i64) -> Result<u64, Error> {
    let select = "SELECT coalesce((SELECT max(seq) FROM entries WHERE house = ?1), 0)
        - coalesce((SELECT max(seq) FROM checkpoints WHERE house = ?1), 0) AS number";
    let found = first(db, select, [house], |row| number(row, "number"))?;
    Ok(found.unwrap_or(0))
}

/// Checkpoints from this number on, oldest first.
pub(super) fn checkpoints(
    db: &Connection,
    house: i64,
    from: u64,
    limit: u32,
) -> Result<Vec<Checkpoint>, Error> {
    let select = "SELECT number, seq, at, root, prev, key_id, signature FROM checkpoints
        WHERE house = ?1 AND number >= ?2 ORDER BY number LIMIT ?3";
    all(db, select, params![house, checkpoint::from(from), limit], read_checkpoint)
}

/// The newest checkpoint below this number.
pub(super) fn checkpoint_below(
    db: &Connection,
    house: i64,
    number: u64,
) -> Result<Option<Checkpoint>, Error> {
    let select = "SELECT number, seq, at, root, prev, key_id, signature FROM checkpoints
        WHERE house = ?1 AND number < ?2 ORDER BY number DESC LIMIT 1";
    first(db, select, params![house, checkpoint::from(number)], read_checkpoint)
}

/// One checkpoint, by its number.
pub(super) fn checkpoint_numbered(
    db: &Connection,
    house: i64,
    number: u64,
) -> Result<Option<Checkpoint>, Error> {
    let select = "SELECT number, seq, at, root, prev, key_id, signature FROM checkpoints
        WHERE house = ?1 AND number = ?2";
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    first(db, select, params![house, number], read_checkpoint)
}

fn read_checkpoint(row: &Row<'_>) -> Result<Checkpoint, Error> {
    Ok(Checkpoint {
        number: number(row, "number")?,
        seq: number(row, "seq")?,
        at: time(row.get("at")?)?,
        root: digest(row, "root")?,
        prev: digest(row, "prev")?,
        key_id: row.get("key_id")?,
        signature: row.get("signature")?,
    })
}

/// Signs what is not signed yet.
pub(super) fn checkpoint(
    db: &Connection,
    house: i64,
    at: Timestamp,
    key: &LedgerKey,
) -> Result<Option<Checkpoint>, Error> {
    let select = "SELECT number, seq, at, root, prev, key_id, signature FROM checkpoints
        WHERE house = ?1 ORDER BY number DESC LIMIT 1";
    let last = first(db, select, [house], read_checkpoint)?;
    let Some(covered) = window(db, house, Window::behind(last.as_ref()))? else {
        return Ok(None);
    };
    let made = Checkpoint::next(last.as_ref(), covered, at, key)?;
    let insert = "INSERT INTO checkpoints (house, number, seq, at, root, prev, key_id, signature)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let (number, seq, at) = (int(made.number), int(made.seq), micros(made.at));
    let (root, prev) = (made.root.0, made.prev.0);
    run(db, insert, params![house, number, seq, at, root, prev, made.key_id, made.signature])?;
    Ok(Some(made))
}

/// Walks to the end of the ledger; the last line and the Merkle root.
fn window(db: &Connection, house: i64, mut window: Window) -> Result<Option<(u64, Digest)>, Error> {
    let select =
        format!("SELECT {COLUMNS} FROM entries WHERE house = ?1 AND seq >= ?2 ORDER BY seq");
    let mut statement = db.prepare_cached(&select)?;
    let mut rows = statement.query(params![house, int(window.from())])?;
    while let Some(row) = rows.next()? {
        window.push(&read(row)?)?;
    }
    window.end(count(db, house)?)
}
