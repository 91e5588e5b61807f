//! Inspect: whether a house's file is whole, and every content it names is there.
//!
//! Comes in   a house, open or only to be read.
//! Goes out   counts of what was looked at, and of what is not as it was written.
//! Never      repairs anything, nor reads more than a page of contents at a time.

use bytes::Bytes;
use exchange::Digest;
use rusqlite::{Connection, Row, params};

use super::row::{all, digest, first, number};
use crate::house::Error;
use crate::limits::{FAULTS_NAMED_MAX, INSPECT_PAGE};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// What SQLite says of its pages and indexes that are not whole; empty: nothing.
    pub faults: Vec<String>,
    /// Rows that refer to rows that are not there.
    pub broken_references: u64,
    /// Contents that were read and have their digest.
    pub contents: u64,
    /// Contents that are missing or do not have their digest.
    pub damaged: u64,
    /// Files that no row names: left by a crash, swept up by the next opening.
    pub orphans: u64,
}

/// Where contents lie, each with the column of its digest and what says that there is none.
const TABLES: [(&str, &str, &str); 3] = [
    ("versions", "digest", "deleted = 0 AND purged = 0"),
    ("blobs", "digest", "1"),
    ("first_answers", "body", "purged = 0"),
];

/// A content that was not as it was written when it was looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubted {
    table: usize,
    row: i64,
}

/// Faults of the file itself.
pub(super) fn file(db: &Connection) -> Result<Inspection, Error> {
    let check = format!("PRAGMA integrity_check({FAULTS_NAMED_MAX})");
    let mut faults = all(db, &check, [], |row| Ok(row.get::<_, String>(0)?))?;
    faults.retain(|fault| fault != "ok");
    let broken = "SELECT count(*) AS number FROM pragma_foreign_key_check";
    let broken_references = first(db, broken, [], |row| number(row, "number"))?.unwrap_or(0);
    Ok(Inspection { faults, broken_references, ..Inspection::default() })
}

/// A page of contents of a table, behind a row: how many are whole, which are not, and the last
/// row read; none: that was all.
pub(super) fn page(
    db: &Connection,
    house: i64,
    table: usize,
    after: i64,
    read: impl Fn(&Row<'_>, &Digest) -> Result<Option<Bytes>, Error>,
) -> Result<(u64, Vec<Doubted>, Option<i64>), Error> {
    let Some((name, column, there)) = TABLES.get(table) else { return Ok((0, vec![], None)) };
    let select = format!(
        "SELECT *, rowid AS place, {column} AS kept FROM {name} NOT INDEXED
            WHERE rowid > ?2 AND house = ?1 AND {there} ORDER BY rowid LIMIT ?3"
    );
    let seen = all(db, &select, params![house, after, INSPECT_PAGE], |row| {
        Ok((row.get::<_, i64>("place")?, whole(row, &read)?))
    })?;
    let doubted = seen.iter().filter(|(_, whole)| !whole);
    let doubted: Vec<_> = doubted.map(|(row, _)| Doubted { table, row: *row }).collect();
    let whole = (seen.len() - doubted.len()) as u64;
    Ok((whole, doubted, seen.last().map(|(row, _)| *row)))
}

/// Whether a content that was doubted is there and still not whole: it may have been purged while
/// it was looked at.
pub(super) fn again(
    db: &Connection,
    doubted: Doubted,
    read: impl Fn(&Row<'_>, &Digest) -> Result<Option<Bytes>, Error>,
) -> Result<bool, Error> {
    let Some((name, column, there)) = TABLES.get(doubted.table) else { return Ok(false) };
    let select = format!("SELECT *, {column} AS kept FROM {name} WHERE rowid = ?1 AND {there}");
    let found = first(db, &select, [doubted.row], |row| whole(row, &read))?;
    Ok(found == Some(false))
}

fn whole(
    row: &Row<'_>,
    read: &impl Fn(&Row<'_>, &Digest) -> Result<Option<Bytes>, Error>,
) -> Result<bool, Error> {
    match read(row, &digest(row, "kept")?) {
        Ok(found) => Ok(found.is_some()),
        Err(Error::Damaged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How many tables hold contents.
pub(super) const fn tables() -> usize {
    TABLES.len()
}
