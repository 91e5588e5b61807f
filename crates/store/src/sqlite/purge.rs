//! Purge: contents whose time is over go; that they were there stays.
//!
//! Comes in   rows of work whose contents are to go; the lines that say so.
//! Goes out   how much went, and the files that may now be in nobody's use.
//! Never      removes a content that a row of work which is not purged uses as well.

use exchange::{Digest, PartnerId};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use std::collections::BTreeSet;

use super::row::{all, digest, first, list, micros, run, time};
use super::{ledger, record, work};
use crate::blob::Address;
use crate::house::{Error, Purge, Purged, StoredWork};

/// What a purge took out of the database, and what it leaves outside.
pub(super) struct Gone {
    pub(super) purged: Purged,
    /// Files that these rows named; others may still name them.
    pub(super) files: BTreeSet<Address>,
}

/// Purges in the transaction at hand.
pub(super) fn purge(db: &Connection, house: i64, purge: &Purge) -> Result<Gone, Error> {
    let at = time(micros(purge.at))?;
    ledger::write(db, house, at, &purge.lines)?;
    let mut gone = Gone { purged: Purged::default(), files: BTreeSet::new() };
    let mark = "UPDATE works SET purged = 1 WHERE house = ?1 AND purged = 0
        AND id IN (SELECT value FROM json_each(?2))";
    run(db, mark, params![house, list(&purge.works)])?;
    run(db, "UPDATE houses SET unscrubbed = 1 WHERE house = ?1", [house])?;
    for work in &purge.works {
        versions(db, house, work, &mut gone)?;
        let forget = "DELETE FROM bringers WHERE house = ?1 AND receipt = ?2";
        run(db, forget, params![house, work])?;
        blobs(db, house, work, &mut gone)?;
        first_answers(db, house, work, &mut gone)?;
    }
    Ok(gone)
}

fn versions(db: &Connection, house: i64, work: &str, gone: &mut Gone) -> Result<(), Error> {
    let select = "SELECT rowid, record, version, file FROM versions
        WHERE house = ?1 AND receipt = ?2 AND deleted = 0 AND purged = 0";
    let found = all(db, select, params![house, work], |row| {
        let at: (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((at, row.get::<_, Option<Address>>(3)?))
    })?;
    for ((row, record, version), file) in found {
        let update = "UPDATE versions SET purged = 1, packed = 0, file = NULL, content = NULL
            WHERE rowid = ?1";
        run(db, update, [row])?;
        let newest = "SELECT 1 FROM records WHERE record = ?1 AND newest = ?2";
        if first(db, newest, params![record, version], |_| Ok(()))?.is_some() {
            record::forget_tokens(db, house, record)?;
            let hide = "UPDATE records SET deleted = 2, patient = NULL, encounter = NULL,
                    date_from = NULL, date_to = NULL, status = NULL, tokens = NULL
                WHERE record = ?1";
            run(db, hide, [record])?;
        }
        gone.purged.versions += 1;
        gone.files.extend(file);
    }
    Ok(())
}

fn blobs(db: &Connection, house: i64, work: &str, gone: &mut Gone) -> Result<(), Error> {
    let delete = "DELETE FROM blob_uses WHERE house = ?1 AND work = ?2 RETURNING digest";
    let used = all(db, delete, params![house, work], |row| digest(row, "digest"))?;
    for digest in used {
        let delete = "DELETE FROM blobs WHERE house = ?1 AND digest = ?2
            AND NOT EXISTS (SELECT 1 FROM blob_uses WHERE house = ?1 AND digest = ?2)
            RETURNING file";
        let file = first(db, delete, params![house, digest.0], |row| {
            Ok(row.get::<_, Option<Address>>(0)?)
        })?;
        let Some(file) = file else { continue };
        gone.purged.blobs += 1;
        gone.files.extend(file);
    }
    Ok(())
}

/// The answer under the label of the row, unless a row that is not purged has the same.
fn first_answers(db: &Connection, house: i64, work: &str, gone: &mut Gone) -> Result<(), Error> {
    let select = "SELECT a.rowid, a.file FROM works w
        JOIN first_answers a ON a.house = w.house AND a.sender = w.partner AND a.key = w.label
        WHERE w.house = ?1 AND w.id = ?2 AND a.purged = 0
            AND NOT EXISTS (SELECT 1 FROM works o INDEXED BY works_by_label
                WHERE o.house = ?1 AND o.label = w.label AND o.partner = w.partner
                    AND o.purged = 0)";
    let found = first(db, select, params![house, work], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<Address>>(1)?))
    })?;
    let Some((row, file)) = found else { return Ok(()) };
    let update = "UPDATE first_answers SET purged = 1, packed = 0, file = NULL, content = NULL
        WHERE rowid = ?1";
    run(db, update, [row])?;
    gone.purged.blobs += 1;
    gone.files.extend(file);
    Ok(())
}

/// Says that these contents are used by a row of work.
pub(super) fn uses(
    db: &Connection,
    house: i64,
    work: &str,
    digests: impl Iterator<Item = Digest>,
) -> Result<(), Error> {
    let insert = "INSERT INTO blob_uses (house, work, digest) VALUES (?1, ?2, ?3)
        ON CONFLICT DO NOTHING";
    for digest in digests {
        run(db, insert, params![house, work, digest.0])?;
    }
    Ok(())
}

/// Rows of work at rest; see `House::at_rest`.
pub(super) fn at_rest(
    db: &Connection,
    house: i64,
    partner: &PartnerId,
    before: Timestamp,
    after: Option<(Timestamp, String)>,
    limit: u32,
) -> Result<Vec<StoredWork>, Error> {
    let (changed, id) = after.unwrap_or((Timestamp::MIN, String::new()));
    let params = params![house, partner.as_str(), micros(before), micros(changed), id, limit];
    all(db, &at_rest_sql(), params, work::read)
}

pub(super) fn at_rest_sql() -> String {
    format!(
        "SELECT {} FROM works INDEXED BY works_at_rest
            WHERE house = ?1 AND partner = ?2 AND due IS NULL AND purged = 0
                AND changed < ?3 AND changed >= ?4 AND (changed, id) > (?4, ?5)
            ORDER BY changed, id LIMIT ?6",
        work::COLUMNS
    )
}
