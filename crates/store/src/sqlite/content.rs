//! Contents: what rows say of them.
//!
//! Comes in   rows; addresses of files.
//! Goes out   where contents lie; which files are named.
//! Never      reads a file: rows are read on a connection, and nobody waits there for a storage.

use rusqlite::{Connection, Row};
use std::collections::HashSet;

use super::row::first;
use crate::blob::{Address, Stored};
use crate::house::Error;

/// Whether a row names a file.
const NAMED: &str = "SELECT 1 FROM versions WHERE file = ?1
    UNION ALL SELECT 1 FROM blobs WHERE file = ?1
    UNION ALL SELECT 1 FROM first_answers WHERE file = ?1";

/// Those of these files that some row names, of whichever house.
pub(super) fn named(db: &Connection, files: &[Address]) -> Result<HashSet<Address>, Error> {
    let mut named = HashSet::new();
    for file in files {
        if first(db, NAMED, [file], |_| Ok(()))?.is_some() {
            named.insert(*file);
        }
    }
    Ok(named)
}

/// What a row (`file`, `content`, `packed`) says of its content.
pub(super) fn stored(row: &Row<'_>) -> Result<Stored, Error> {
    Ok(Stored {
        file: row.get("file")?,
        content: row.get::<_, Option<Vec<u8>>>("content")?.map(Into::into),
        packed: row.get("packed")?,
    })
}
