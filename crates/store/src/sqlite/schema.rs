//! Schema: the tables, and how an older file gets them.
//!
//! Comes in   a connection that may write.
//! Goes out   the same file with every step taken, in one transaction.
//! Never      opens a file that a newer version wrote, and never repeats or changes a step.
//!
//! Why the digest of each step is kept: a step edited after it was taken would leave two files
//! of the same version with different tables.

use exchange::Digest;
use rusqlite::{Connection, OptionalExtension, params};

use crate::house::Error;

/// The steps, in order; step n leads to version n. Only ever appended to.
const STEPS: [&str; 5] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
];

/// How many steps this program knows.
pub(super) const KNOWN: u64 = STEPS.len() as u64;

/// Takes the steps that are missing.
pub(super) fn bring_up(db: &Connection) -> Result<(), Error> {
    db.execute_batch(
        "BEGIN IMMEDIATE;
         CREATE TABLE IF NOT EXISTS schema (
             version INTEGER PRIMARY KEY, step BLOB NOT NULL) STRICT;",
    )?;
    let done = check(db)?;
    for (version, step) in (1i64..).zip(STEPS).skip(done) {
        db.execute_batch(step)?;
        let insert = "INSERT INTO schema (version, step) VALUES (?1, ?2)";
        db.execute(insert, params![version, Digest::of(step.as_bytes()).0])?;
    }
    db.execute_batch("COMMIT")?;
    Ok(())
}

/// How many steps were taken; an error when they are not ours. None were where somebody was cut
/// off while the file was made.
pub(super) fn check(db: &Connection) -> Result<usize, Error> {
    if !db.table_exists(None, "schema")? {
        return Ok(0);
    }
    let count = "SELECT coalesce(max(version), 0) FROM schema";
    let found = db.query_row(count, [], |row| row.get::<_, i64>(0))?;
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    if found > STEPS.len() {
        return Err(Error::TooNew { found: found as u64, known: STEPS.len() as u64 });
    }
    for (version, step) in (1i64..).zip(STEPS).take(found) {
        let select = "SELECT step FROM schema WHERE version = ?1";
        let kept: Option<[u8; 32]> =
            db.query_row(select, [version], |row| row.get(0)).optional()?;
        if kept != Some(Digest::of(step.as_bytes()).0) {
            return Err(Error::Damaged(format!("schema step {version} is not the one known")));
        }
    }
    Ok(found)
}
