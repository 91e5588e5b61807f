//! File: the database's file, and the houses in it.
//!
//! Comes in   a path, a connection, the name of a house.
//! Goes out   a file that only its owner can read; a connection that waits for the disk; the
//!            numbers and keys of houses.
//! Never      tells one house's key to another.

use exchange::HouseId;
use rusqlite::{Connection, params};
use std::fs::{File, OpenOptions};
use std::path::Path;

use super::row;
use crate::blob::Key;
use crate::house::Error;
use crate::limits::*;

/// A file that only its owner can read; created where it is not there.
pub(super) fn private(file: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(file)?)
}

/// Settings of the writing connection. FULL: a commit waits for the disk.
pub(super) fn prepare(db: &Connection) -> Result<(), Error> {
    db.busy_timeout(DATABASE_WAIT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    row::keep_plans(db)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // The keys that rows refer to are made by this room, in the same unit. Looking each of them up
    // again costs a fifth of the writing, so only tests do.
    db.pragma_update(None, "foreign_keys", cfg!(debug_assertions))?;
    db.pragma_update(None, "trusted_schema", false)?;
    // What a savepoint needs to take a unit back stays out of temporary files: faster, and no
    // patient's data outside of the folder.
    db.pragma_update(None, "temp_store", "MEMORY")?;
    // What is removed is overwritten; `scrub` clears what this leaves.
    db.pragma_update(None, "secure_delete", true)?;
    db.pragma_update(None, "cache_size", -WRITER_CACHE_KB)?;
    db.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    Ok(())
}

/// The house's number and the key of its contents, where it is there.
pub(super) fn find(db: &Connection, house: &HouseId) -> Result<Option<(i64, Key)>, Error> {
    let select = "SELECT house, blob_key FROM houses WHERE name = ?1";
    row::first(db, select, [house.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// The key of the house that was here first: it tells one database from another.
pub(super) fn first_key(db: &Connection) -> Result<Key, Error> {
    let select = "SELECT blob_key FROM houses ORDER BY house LIMIT 1";
    let found = row::first(db, select, [], |row| Ok(row.get(0)?))?;
    found.ok_or_else(|| Error::Damaged("the file does not hold any house".to_owned()))
}

/// The house's number and the key of its contents; both are made with the house.
pub(super) fn admit(db: &Connection, house: &HouseId) -> Result<(i64, Key), Error> {
    if let Some(found) = find(db, house)? {
        return Ok(found);
    }
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key)
        .map_err(|_| Error::Unavailable("the system has no randomness to give".into()))?;
    let insert = "INSERT INTO houses (name, blob_key) VALUES (?1, ?2)";
    row::run(db, insert, params![house.as_str(), key])?;
    Ok((db.last_insert_rowid(), key))
}
