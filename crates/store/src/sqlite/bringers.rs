//! Bringers: what brought a version, one behind the other, and what is withdrawn of it.
//!
//! Comes in   versions that came again, receipts that are withdrawn.
//! Goes out   what a receipt brings, record by record.
//! Never      remembers more than `BRINGERS_MAX` for a version, or tells a withdrawn version from one
//!            that is not by anything but its mark.

use rusqlite::{Connection, params};
use std::collections::HashMap;

use super::record::{COLUMNS, read_head};
use super::row::{all, first, int, number, run, some_number};
use crate::house::{Brought, Descent, Error, Expect, Lineage, Raise, Withdrawal};
use crate::limits::BRINGERS_MAX;

/// Remembers what brought a record's newest version, before something else brings it again.
pub(super) fn remember(db: &Connection, house: i64, raise: &Raise) -> Result<(), Error> {
    let insert = "INSERT INTO bringers (house, record, version, receipt, number, nth)
        SELECT v.house, v.record, v.version, v.receipt, v.number,
                (SELECT coalesce(max(b.nth), 0) + 1 FROM bringers b
                    WHERE b.house = v.house AND b.record = v.record AND b.version = v.version)
            FROM records r CROSS JOIN versions v
            WHERE r.house = ?1 AND r.kind = ?2 AND r.id = ?3
                AND v.house = r.house AND v.record = r.record AND v.version = r.newest
                AND v.receipt <> ?4 AND (SELECT count(*) FROM bringers b
                    WHERE b.house = v.house AND b.record = v.record AND b.version = v.version) < ?5
        ON CONFLICT DO UPDATE SET number = excluded.number, nth = excluded.nth";
    let most = int(BRINGERS_MAX as u64);
    run(db, insert, params![house, raise.kind, raise.id, raise.receipt, most])?;
    Ok(())
}

/// Takes a receipt off a version.
pub(super) fn withdraw(db: &Connection, house: i64, gone: &Withdrawal) -> Result<(), Error> {
    let record = record(db, house, &gone.kind, &gone.id)?;
    let version = int(gone.version);
    let left = gone.left.as_ref();
    let (left, number) =
        (left.map(|left| left.receipt.as_str()), left.and_then(|left| left.number).map(int));
    let update = "UPDATE versions SET receipt = coalesce(?5, receipt), number = ?6,
            lane = CASE WHEN ?5 IS NULL THEN NULL ELSE lane END, withdrawn = ?5 IS NULL
        WHERE house = ?1 AND record = ?2 AND version = ?3 AND receipt = ?4";
    run(db, update, params![house, record, version, gone.receipt, left, number])?;
    let delete = "DELETE FROM bringers
        WHERE house = ?1 AND record = ?2 AND version = ?3 AND receipt IN (?4, ?5)";
    run(db, delete, params![house, record, version, gone.receipt, left])?;
    Ok(())
}

fn record(db: &Connection, house: i64, kind: &str, id: &str) -> Result<Option<i64>, Error> {
    let select = "SELECT record FROM records WHERE house = ?1 AND kind = ?2 AND id = ?3";
    first(db, select, params![house, kind, id], |row| Ok(row.get(0)?))
}

/// Whether exactly these brought a version; `Expect::Brought`.
pub(super) fn holds(db: &Connection, house: i64, expect: &Expect) -> Result<bool, Error> {
    let Expect::Brought { kind, id, version, receipt, earlier } = expect else { return Ok(false) };
    let record = record(db, house, kind, id)?;
    let select = "SELECT receipt FROM versions
        WHERE house = ?1 AND record = ?2 AND version = ?3 AND withdrawn = 0";
    let key = params![house, record, int(*version)];
    let last: Option<String> = first(db, select, key, |row| Ok(row.get(0)?))?;
    let select = "SELECT receipt FROM bringers
        WHERE house = ?1 AND record = ?2 AND version = ?3 ORDER BY receipt";
    let found: Vec<String> = all(db, select, key, |row| Ok(row.get(0)?))?;
    let mut earlier = earlier.clone();
    earlier.sort_unstable();
    Ok(last.as_ref() == Some(receipt) && found == earlier)
}

/// Records of which a receipt brings a version.
pub(super) fn brought(
    db: &Connection,
    house: i64,
    receipt: &str,
    after: u64,
    limit: u32,
) -> Result<Vec<Lineage>, Error> {
    let select = "SELECT record FROM (SELECT DISTINCT record FROM versions INDEXED BY versions_by_receipt
                WHERE house = ?1 AND receipt = ?2 AND record > ?3 AND withdrawn = 0
                ORDER BY record LIMIT ?4)
            UNION SELECT record FROM (SELECT DISTINCT record FROM bringers INDEXED BY bringers_by_receipt
                WHERE house = ?1 AND receipt = ?2 AND record > ?3 ORDER BY record LIMIT ?4)
            ORDER BY record LIMIT ?4";
    let page = params![house, receipt, int(after), limit];
    let records = all(db, select, page, |row| Ok(row.get::<_, i64>(0)?))?;
    records.into_iter().map(|record| lineage(db, house, record)).collect()
}

/// A record with what brought its versions.
pub(super) fn of_record(
    db: &Connection,
    house: i64,
    kind: &str,
    id: &str,
) -> Result<Option<Lineage>, Error> {
    record(db, house, kind, id)?.map(|record| lineage(db, house, record)).transpose()
}

fn lineage(db: &Connection, house: i64, record: i64) -> Result<Lineage, Error> {
    let select = "SELECT version, receipt, number FROM bringers
        WHERE house = ?1 AND record = ?2 ORDER BY nth, receipt";
    let mut earlier: HashMap<u64, Vec<Brought>> = HashMap::new();
    for (version, brought) in all(db, select, params![house, record], |row| {
        let number = some_number(row, "number")?;
        Ok((self::number(row, "version")?, Brought { receipt: row.get("receipt")?, number }))
    })? {
        earlier.entry(version).or_default().push(brought);
    }
    let select = format!(
        "SELECT {COLUMNS}, v.withdrawn FROM records r
            JOIN versions v ON v.house = r.house AND v.record = r.record
            WHERE r.house = ?1 AND r.record = ?2 ORDER BY v.version DESC"
    );
    let versions = all(db, &select, params![house, record], |row| {
        let version = read_head(row)?;
        let earlier = earlier.get(&version.version).cloned().unwrap_or_default();
        Ok(Descent { version, withdrawn: row.get("withdrawn")?, earlier })
    })?;
    Ok(Lineage { place: record.cast_unsigned(), versions })
}
