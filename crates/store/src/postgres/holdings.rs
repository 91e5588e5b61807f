//! Holdings: what payers' doors hold of ours.
//!
//! Comes in   what a door said it filed.
//! Goes out   the same, by partner, type and derived id.
//! Never      puts an older content in the place of a newer one.

use exchange::parts::Holding;
use exchange::{Digest, PartnerId};
use std::collections::BTreeMap;
use tokio_postgres::Row;

use super::pipe::{Asked, ask, rows, values};
use super::pool::Pool;
use super::row::{get, micros, time};
use crate::house::Error;

const WRITE: &str = "INSERT INTO holdings AS h (house, partner, kind, id, at, digest, as_of)
    SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[],
        $7::bigint[])
    ON CONFLICT (house, partner, kind, id) DO UPDATE SET at = excluded.at,
        digest = excluded.digest, as_of = excluded.as_of
    WHERE excluded.as_of >= h.as_of";

const READ: &str = "SELECT a.n, h.at, h.digest, h.as_of
    FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS a (kind, id, n)
    JOIN holdings h ON h.house = $1 AND h.partner = $2 AND h.kind = a.kind AND h.id = a.id";

/// The statement that writes them; what is known and newer stays. One statement touches a row once:
/// of several for one record the newest counts, of those as old the last.
pub(super) fn write<'a>(
    house: i64,
    holdings: &[(&'a PartnerId, &'a Holding)],
) -> Option<Asked<'a>> {
    let mut newest: BTreeMap<(&str, &str, &str), &Holding> = BTreeMap::new();
    for (partner, holding) in holdings {
        let key = (partner.as_str(), holding.kind.as_str(), holding.id.as_str());
        let known = newest.entry(key).or_insert(holding);
        if holding.as_of >= known.as_of {
            *known = holding;
        }
    }
    if newest.is_empty() {
        return None;
    }
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for (partner, kind, id) in newest.keys().copied() {
        columns.0.push(partner);
        columns.1.push(kind);
        columns.2.push(id);
    }
    let (partners, kinds, ids) = columns;
    let ats: Vec<Option<&str>> = newest.values().map(|it| it.at.as_deref()).collect();
    let digests: Vec<Option<&[u8]>> =
        newest.values().map(|it| it.digest.as_ref().map(|digest| &digest.0[..])).collect();
    let times: Vec<i64> = newest.values().map(|it| micros(it.as_of)).collect();
    Some(ask(WRITE, values![house, partners, kinds, ids, ats, digests, times]))
}

/// What is known of these records, in the order asked.
pub(super) async fn read(
    pool: &Pool,
    house: i64,
    partner: &PartnerId,
    records: &[(String, String)],
) -> Result<Vec<Option<Holding>>, Error> {
    let kinds: Vec<&str> = records.iter().map(|(kind, _)| kind.as_str()).collect();
    let ids: Vec<&str> = records.iter().map(|(_, id)| id.as_str()).collect();
    let db = pool.get().await?;
    let mut found = vec![None; records.len()];
    for row in rows(&db, READ, values![house, partner.as_str(), kinds, ids]).await? {
        let at = usize::try_from(get::<i64>(&row, "n")? - 1).unwrap_or(usize::MAX);
        let (Some(place), Some((kind, id))) = (found.get_mut(at), records.get(at)) else {
            continue;
        };
        *place = Some(holding(&row, kind, id)?);
    }
    Ok(found)
}

fn holding(row: &Row, kind: &str, id: &str) -> Result<Holding, Error> {
    let damaged = || Error::Damaged("a digest does not have its length".to_owned());
    let digest = get::<Option<&[u8]>>(row, "digest")?;
    let digest = digest.map(|bytes| bytes.try_into().map(Digest).map_err(|_| damaged()));
    Ok(Holding {
        kind: kind.to_owned(),
        id: id.to_owned(),
        at: get(row, "at")?,
        digest: digest.transpose()?,
        as_of: time(get(row, "as_of")?)?,
    })
}
