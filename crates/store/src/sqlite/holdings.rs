//! Holdings: what payers' doors hold of ours.
//!
//! Comes in   what a door said it filed.
//! Goes out   the same, by partner, type and derived id.
//! Never      puts an older content in the place of a newer one.

use exchange::parts::Holding;
use exchange::{Digest, PartnerId};
use rusqlite::{Connection, params};

use super::row::{first, micros, run, time};
use crate::house::Error;

/// Writes one; what is known and newer stays.
pub(super) fn write(
    db: &Connection,
    house: i64,
    partner: &PartnerId,
    holding: &Holding,
) -> Result<(), Error> {
    let upsert = "INSERT INTO holdings (house, partner, kind, id, at, digest, as_of)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT DO UPDATE SET at = excluded.at, digest = excluded.digest,
            as_of = excluded.as_of
        WHERE excluded.as_of >= as_of";
    let Holding { kind, id, at, digest, as_of } = holding;
    let digest = digest.as_ref().map(|digest| digest.0);
    run(db, upsert, params![house, partner.as_str(), kind, id, at, digest, micros(*as_of)])?;
    Ok(())
}

/// What is known of these records, in the order asked.
pub(super) fn read(
    db: &Connection,
    house: i64,
    partner: &PartnerId,
    records: &[(String, String)],
) -> Result<Vec<Option<Holding>>, Error> {
    let select = "SELECT at, digest, as_of FROM holdings
        WHERE house = ?1 AND partner = ?2 AND kind = ?3 AND id = ?4";
    let one = |(kind, id): &(String, String)| {
        first(db, select, params![house, partner.as_str(), kind, id], |row| {
            Ok(Holding {
                kind: kind.clone(),
                id: id.clone(),
                at: row.get(0)?,
                digest: row.get::<_, Option<[u8; 32]>>(1)?.map(Digest),
                as_of: time(row.get(2)?)?,
            })
        })
    };
    records.iter().map(one).collect()
}
