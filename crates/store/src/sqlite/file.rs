//! File: the database's file, and the houses in it.
//!
//! Comes in   a path, a connection, the name of a house.
//! Goes out   a file that only its owner can read; a connection that waits for the disk; the
//!            numbers and keys of houses.
//! Never      tells one house's key to another, nor one folder's part of a place to its copies.

use exchange::HouseId;
use rusqlite::{Connection, params};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::{PART, row};
use crate::blob::{Key, Part};
use crate::house::Error;
use crate::limits::*;

/// `PART` while it is written.
const PART_UNFINISHED: &str = "house.part.unfinished";

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
    // Of a file that has pages already it changes nothing.
    db.pragma_update(None, "page_size", PAGE_BYTES)?;
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

/// The part of another place where this folder's houses keep their contents; `None`: they have kept
/// none there. It is no part of the database, and so of no backup: a copy draws a part of its own.
pub(super) fn part(folder: &Path) -> Result<Option<Part>, Error> {
    match fs::read_to_string(folder.join(PART)) {
        Ok(name) => Part::known(name.trim_end()).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `part`, drawn where there is none yet: on the disk before a content is kept there.
pub(super) fn part_drawn(folder: &Path) -> Result<Part, Error> {
    if let Some(part) = part(folder)? {
        return Ok(part);
    }
    let (part, unfinished) = (Part::draw()?, folder.join(PART_UNFINISHED));
    let mut file = private(&unfinished)?;
    file.set_len(0)?;
    file.write_all(part.name().as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, folder.join(PART))?;
    File::open(folder)?.sync_all()?;
    Ok(part)
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
