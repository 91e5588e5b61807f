//! Inspect: whether a house's file is whole, and every content it names is there.
//!
//! Comes in   a house, open or only to be read.
//! Goes out   counts of what was looked at, and of what is not as it was written.
//! Never      repairs anything, nor reads more than a page of contents at a time.

use exchange::Digest;
use rusqlite::{Connection, Row, params};
use std::collections::HashSet;

use super::SqliteHouse;
use super::content::{self, stored};
use super::row::{all, digest, first, number};
use crate::blob::{Address, Stored};
use crate::house::Error;
use crate::keeping::Inspection;
use crate::limits::{FAULTS_NAMED_MAX, INSPECT_PAGE};

/// Where contents lie, each with the column of its digest and what says that there is none.
const TABLES: [(&str, &str, &str); 3] = [
    ("versions", "digest", "deleted = 0 AND purged = 0"),
    ("blobs", "digest", "1"),
    ("first_answers", "body", "purged = 0"),
];

/// A content that a row has or names.
#[derive(Debug)]
pub(super) struct Content {
    table: usize,
    row: i64,
    digest: Digest,
    stored: Stored,
}

impl Content {
    /// Its row.
    pub(super) fn row(&self) -> i64 {
        self.row
    }

    /// What it must have.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Where it lies.
    pub(super) fn stored(&self) -> Stored {
        self.stored.clone()
    }
}

impl SqliteHouse {
    /// Looks at every page of the file and every content of the house.
    ///
    /// # Errors
    /// Those of a reading; what is damaged is no error but part of the answer.
    pub async fn inspect(&self) -> Result<Inspection, Error> {
        let mut found = self.read(|db, _| file(db)).await?;
        let mut doubted = Vec::new();
        for table in 0..TABLES.len() {
            let mut after = i64::MIN;
            loop {
                let read = self.read(move |db, house| page(db, house, table, after));
                let page = read.await?;
                let Some(last) = page.last() else { break };
                after = last.row();
                for content in page {
                    match self.is_whole(&content).await? {
                        true => found.contents += 1,
                        false => doubted.push(content),
                    }
                }
            }
        }
        for content in doubted {
            // It may have been purged while it was looked at.
            let again = self.read(move |db, _| again(db, &content)).await?;
            if let Some(content) = again {
                found.damaged += u64::from(!self.is_whole(&content).await?);
            }
        }
        found.orphans = self.shared.blobs.orphans(|files| self.named_now(files)).await?;
        Ok(found)
    }

    async fn is_whole(&self, content: &Content) -> Result<bool, Error> {
        match self.fetch(content.digest(), content.stored()).await {
            Ok(found) => Ok(found.is_some()),
            Err(Error::Damaged(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Those of these files that rows name, as a reading sees them.
    async fn named_now(&self, files: Vec<Address>) -> Result<HashSet<Address>, Error> {
        self.read(move |db, _| content::named(db, &files)).await
    }
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

/// A page of contents of a table, behind a row; empty: that was all.
pub(super) fn page(
    db: &Connection,
    house: i64,
    table: usize,
    after: i64,
) -> Result<Vec<Content>, Error> {
    let Some((name, column, there)) = TABLES.get(table) else { return Ok(Vec::new()) };
    let select = format!(
        "SELECT rowid AS place, {column} AS kept, file, content, packed FROM {name} NOT INDEXED
            WHERE rowid > ?2 AND house = ?1 AND {there} ORDER BY rowid LIMIT ?3"
    );
    all(db, &select, params![house, after, INSPECT_PAGE], |row| read(row, table))
}

/// A content once more; `None`: it is there no longer.
pub(super) fn again(db: &Connection, content: &Content) -> Result<Option<Content>, Error> {
    let Some((name, column, there)) = TABLES.get(content.table) else { return Ok(None) };
    let select = format!(
        "SELECT rowid AS place, {column} AS kept, file, content, packed FROM {name}
            WHERE rowid = ?1 AND {there}"
    );
    first(db, &select, [content.row], |row| read(row, content.table))
}

fn read(row: &Row<'_>, table: usize) -> Result<Content, Error> {
    let (place, kept) = (row.get("place")?, digest(row, "kept")?);
    Ok(Content { table, row: place, digest: kept, stored: stored(row)? })
}
