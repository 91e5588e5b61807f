//! Rekey: keys of all records read anew, a page at a time.
//!
//! Comes in   new keys of newest versions, page by page.
//! Goes out   the next versions to be read; the edition once all are done.
//! Never      touches a version filed meanwhile: whoever filed it has read its keys already.
//!
//! How far it came is written with the keys. So a run that was cut off goes on, and one for
//! another edition begins at the first record.

use rusqlite::{Connection, params};

use super::record;
use super::row::{first, int, micros, run};
use crate::blob::Stored;
use crate::house::{Error, Record, Rekey};
use crate::limits::REKEY_BYTES;

/// The edition all keys come from.
pub(super) fn edition(db: &Connection, house: i64) -> Result<u32, Error> {
    let select = "SELECT keys_edition FROM houses WHERE house = ?1";
    Ok(first(db, select, [house], |row| Ok(row.get(0)?))?.unwrap_or(0))
}

/// The next versions whose keys are to be read for this edition.
pub(super) fn next(
    db: &Connection,
    house: i64,
    edition: u32,
    limit: u32,
) -> Result<Vec<(Record, Stored)>, Error> {
    let select = "SELECT CASE WHEN keys_edition = ?2 THEN NULL
            WHEN keys_next = ?2 THEN keys_done ELSE 0 END FROM houses WHERE house = ?1";
    let done = first(db, select, params![house, edition], |row| Ok(row.get(0)?))?;
    let Some(done) = done.flatten() else { return Ok(Vec::new()) };
    let done: i64 = done;
    let select = format!(
        "SELECT {}, v.rowid AS row FROM records r NOT INDEXED
            CROSS JOIN versions v ON v.house = r.house AND v.record = r.record
                AND v.version = r.newest
            WHERE r.record > ?2 AND r.house = ?1 AND r.deleted = 0
            ORDER BY r.record LIMIT ?3",
        record::COLUMNS
    );
    record::with_contents(db, &select, params![house, done, limit], REKEY_BYTES)
}

/// Writes new keys, and how far they go.
pub(super) fn write(
    db: &Connection,
    house: i64,
    edition: u32,
    keys: &[Rekey],
) -> Result<(), Error> {
    if keys.is_empty() {
        let update = "UPDATE houses SET keys_edition = ?2, keys_next = 0, keys_done = 0
            WHERE house = ?1";
        run(db, update, params![house, edition])?;
        return Ok(());
    }
    let mut done = 0;
    for rekey in keys {
        let select = "SELECT record, newest = ?4 AND deleted = 0 FROM records
            WHERE house = ?1 AND kind = ?2 AND id = ?3";
        let params = params![house, rekey.kind, rekey.id, int(rekey.version)];
        let found = first(db, select, params, |row| Ok((row.get(0)?, row.get::<_, bool>(1)?)))?;
        let Some((row, stands)) = found else { continue };
        done = done.max(row);
        if stands {
            replace(db, house, row, rekey)?;
        }
    }
    let update = "UPDATE houses SET keys_next = ?2,
            keys_done = CASE WHEN keys_next = ?2 THEN max(keys_done, ?3) ELSE ?3 END
        WHERE house = ?1";
    run(db, update, params![house, edition, done])?;
    Ok(())
}

fn replace(db: &Connection, house: i64, row: i64, rekey: &Rekey) -> Result<(), Error> {
    let keys = &rekey.keys;
    record::forget_tokens(db, house, row)?;
    let update = "UPDATE records SET patient = ?2, encounter = ?3, date_from = ?4, date_to = ?5,
            status = ?6, tokens = ?7 WHERE record = ?1";
    let params = params![
        row,
        record::subject(db, house, keys.patient.as_deref())?,
        record::subject(db, house, keys.encounter.as_deref())?,
        keys.date.map(|date| micros(date.from)),
        keys.date.map(|date| micros(date.to)),
        keys.status,
        record::list_of(&keys.tokens),
    ];
    run(db, update, params)?;
    record::write_tokens(db, house, &rekey.kind, row, &keys.tokens)
}
