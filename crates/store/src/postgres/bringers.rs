//! Bringers: what brought a version, one behind the other, and what is withdrawn of it.
//!
//! Comes in   versions that came again, receipts that are withdrawn.
//! Goes out   what a receipt brings, record by record.
//! Never      remembers many more than `BRINGERS_MAX` for a version, or tells a withdrawn version from
//!            one that is not by anything but its mark.

use deadpool_postgres::GenericClient;
use std::collections::{HashMap, HashSet};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::group::Rows;
use super::pipe::{Asked, ask, values};
use super::record::{COLUMNS, read_head};
use super::row::{get, int, number};
use crate::house::{Brought, Descent, Error, Lineage};
use crate::limits::BRINGERS_MAX;

/// What brought these versions, as it stands before a group.
pub(super) const NOW: &str = "SELECT k.n, v.receipt, v.withdrawn, ARRAY(SELECT b.receipt
        FROM bringers b WHERE b.house = $1 AND b.record = r.record AND b.version = k.version) AS earlier
    FROM unnest($2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY AS k(kind, id, version, n)
    CROSS JOIN LATERAL (SELECT r.record FROM records r
        WHERE r.house = $1 AND r.kind = k.kind AND r.id = k.id OFFSET 0) r
    CROSS JOIN LATERAL (SELECT v.receipt, v.withdrawn FROM versions v
        WHERE v.house = $1 AND v.record = r.record AND v.version = k.version OFFSET 0) v";

/// Remembers what brought versions of earlier groups, before something else does.
const REMEMBER: &str = "INSERT INTO bringers (house, record, version, receipt, number, nth)
    SELECT $1, k.record, k.version, v.receipt, v.number, b.nth
    FROM unnest($2::bigint[], $3::bigint[], $4::text[]) AS k(record, version, receipt)
    CROSS JOIN LATERAL (SELECT v.receipt, v.number FROM versions v
        WHERE v.house = $1 AND v.record = k.record AND v.version = k.version OFFSET 0) v
    CROSS JOIN LATERAL (SELECT count(*) AS held, coalesce(max(b.nth), 0) + 1 AS nth FROM bringers b
        WHERE b.house = $1 AND b.record = k.record AND b.version = k.version OFFSET 0) b
    WHERE v.receipt <> k.receipt AND b.held < $5
    ON CONFLICT (house, record, version, receipt) DO UPDATE
        SET number = excluded.number, nth = excluded.nth";

/// Remembers what brought versions within a group, in its order.
const REMEMBER_OWN: &str = "INSERT INTO bringers (house, record, version, receipt, number, nth)
    SELECT $1, k.record, k.version, k.receipt, k.number, b.nth + k.n
    FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[]) WITH ORDINALITY
        AS k(record, version, receipt, number, n)
    CROSS JOIN LATERAL (SELECT count(*) AS held, coalesce(max(b.nth), 0) AS nth FROM bringers b
        WHERE b.house = $1 AND b.record = k.record AND b.version = k.version OFFSET 0) b
    WHERE b.held < $6
    ON CONFLICT (house, record, version, receipt) DO UPDATE
        SET number = excluded.number, nth = excluded.nth";

const WITHDRAW: &str = "UPDATE versions v SET receipt = coalesce(k.remaining, v.receipt),
        number = k.number, lane = CASE WHEN k.remaining IS NULL THEN NULL ELSE v.lane END,
        withdrawn = k.remaining IS NULL
    FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[])
        AS k(record, version, receipt, remaining, number)
    CROSS JOIN LATERAL (SELECT v.ctid AS place FROM versions v
        WHERE v.house = $1 AND v.record = k.record AND v.version = k.version
            AND v.receipt = k.receipt OFFSET 0) f
    WHERE v.ctid = f.place";

const FORGET: &str = "DELETE FROM bringers b
    USING unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[])
        AS k(record, version, receipt, remaining)
    WHERE b.house = $1 AND b.record = k.record AND b.version = k.version
        AND b.receipt IN (k.receipt, k.remaining)";

/// Forgets what is purged.
pub(super) const PURGED: &str = "DELETE FROM bringers WHERE house = $1 AND receipt = ANY($2)";

/// A receipt that no longer brings a version.
pub(super) struct WithdrawalRow<'a> {
    pub(super) record: i64,
    pub(super) version: i64,
    pub(super) receipt: &'a str,
    pub(super) left: Option<&'a Brought>,
}

/// What brought a version before something else did in the same group.
pub(super) struct EarlierRow<'a> {
    pub(super) record: i64,
    pub(super) version: i64,
    pub(super) receipt: &'a str,
    pub(super) number: Option<i64>,
}

/// What is remembered before versions are raised.
pub(super) fn remember<'a>(house: i64, rows: &'a Rows<'_>) -> Vec<Asked<'a>> {
    let most = int(BRINGERS_MAX as u64);
    let mut asked = Vec::new();
    if !rows.raises.is_empty() {
        // The first that came in the group stands behind what was there.
        let mut first: HashMap<(i64, i64), &str> = HashMap::new();
        for row in &rows.earlier {
            first.entry((row.record, row.version)).or_insert(row.receipt);
        }
        let receipt = |place: &(i64, i64), last: &'a str| first.get(place).copied().unwrap_or(last);
        let records: Vec<i64> = rows.raises.keys().map(|place| place.0).collect();
        let versions: Vec<i64> = rows.raises.keys().map(|place| place.1).collect();
        let receipts: Vec<&str> =
            rows.raises.iter().map(|(place, row)| receipt(place, row.1)).collect();
        asked.push(ask(REMEMBER, values![house, records, versions, receipts, most]));
    }
    if !rows.earlier.is_empty() {
        // Of a receipt that brought it twice, the second time counts.
        let mut seen = HashSet::new();
        let late = rows.earlier.iter().rev();
        let mut late: Vec<&EarlierRow<'_>> =
            late.filter(|row| seen.insert((row.record, row.version, row.receipt))).collect();
        late.reverse();
        let records: Vec<i64> = late.iter().map(|row| row.record).collect();
        let versions: Vec<i64> = late.iter().map(|row| row.version).collect();
        let receipts: Vec<&str> = late.iter().map(|row| row.receipt).collect();
        let numbers: Vec<Option<i64>> = late.iter().map(|row| row.number).collect();
        let columns = values![house, records, versions, receipts, numbers, most];
        asked.push(ask(REMEMBER_OWN, columns));
    }
    asked
}

/// Takes receipts off versions.
pub(super) fn withdraw<'a>(house: i64, rows: &'a [WithdrawalRow<'_>]) -> Vec<Asked<'a>> {
    if rows.is_empty() {
        return Vec::new();
    }
    let records: Vec<i64> = rows.iter().map(|row| row.record).collect();
    let versions: Vec<i64> = rows.iter().map(|row| row.version).collect();
    let receipts: Vec<&str> = rows.iter().map(|row| row.receipt).collect();
    let left: Vec<Option<&str>> =
        rows.iter().map(|row| row.left.map(|left| left.receipt.as_str())).collect();
    let numbers: Vec<Option<i64>> =
        rows.iter().map(|row| row.left.and_then(|left| left.number).map(int)).collect();
    let places = || (records.clone(), versions.clone(), receipts.clone(), left.clone());
    let (r, v, g, l) = places();
    let update = ask(WITHDRAW, values![house, r, v, g, l, numbers]);
    let (r, v, g, l) = places();
    vec![update, ask(FORGET, values![house, r, v, g, l])]
}

/// What brought a version: the last, and what came before in the order of their bytes. `None`: it is
/// withdrawn.
pub(super) fn now(row: &Row) -> Result<Option<(String, Vec<String>)>, Error> {
    let mut earlier: Vec<String> = get(row, "earlier")?;
    earlier.sort_unstable();
    let last = get(row, "receipt")?;
    Ok((!get::<bool>(row, "withdrawn")?).then_some((last, earlier)))
}

/// Records of which a receipt brings a version.
pub(super) async fn brought(
    db: &impl GenericClient,
    house: i64,
    receipt: &str,
    after: u64,
    limit: u32,
) -> Result<Vec<Lineage>, Error> {
    let page = "(SELECT DISTINCT record FROM versions WHERE house = $1 AND receipt = $2
            AND record > $3 AND NOT withdrawn ORDER BY record LIMIT $4)
        UNION (SELECT DISTINCT record FROM bringers WHERE house = $1 AND receipt = $2
            AND record > $3 ORDER BY record LIMIT $4)
        ORDER BY record LIMIT $4";
    lineages(db, page, &[&house, &receipt, &int(after), &i64::from(limit)]).await
}

/// A record with what brought its versions.
pub(super) async fn of_record(
    db: &impl GenericClient,
    house: i64,
    kind: &str,
    id: &str,
) -> Result<Option<Lineage>, Error> {
    let page = "SELECT record FROM records WHERE house = $1 AND kind = $2 AND id = $3";
    Ok(lineages(db, page, &[&house, &kind, &id]).await?.pop())
}

/// The lineages of these records, in the order of their places; the first value is the house.
async fn lineages(
    db: &impl GenericClient,
    page: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Lineage>, Error> {
    let select = format!(
        "WITH page AS MATERIALIZED ({page}),
            before AS MATERIALIZED (SELECT b.record, b.version,
                array_agg(b.receipt ORDER BY b.nth, b.receipt) AS receipts,
                array_agg(b.number ORDER BY b.nth, b.receipt) AS numbers
            FROM page CROSS JOIN LATERAL (SELECT * FROM bringers b
                WHERE b.house = $1 AND b.record = page.record OFFSET 0) b
            GROUP BY b.record, b.version)
        SELECT page.record, {COLUMNS}, v.withdrawn, before.receipts, before.numbers
        FROM page
        CROSS JOIN LATERAL (SELECT * FROM records r
            WHERE r.house = $1 AND r.record = page.record OFFSET 0) r
        CROSS JOIN LATERAL (SELECT * FROM versions v
            WHERE v.house = $1 AND v.record = page.record OFFSET 0) v
        LEFT JOIN before ON before.record = page.record AND before.version = v.version
        ORDER BY page.record, v.version DESC"
    );
    let statement = db.prepare_cached(&select).await?;
    let mut pages: Vec<Lineage> = Vec::new();
    for row in db.query(&statement, values).await? {
        let place = number(&row, "record")?;
        let receipts: Option<Vec<String>> = get(&row, "receipts")?;
        let numbers: Option<Vec<Option<i64>>> = get(&row, "numbers")?;
        let earlier = receipts.unwrap_or_default().into_iter().zip(numbers.unwrap_or_default());
        let earlier = earlier
            .map(|(receipt, number)| Brought { receipt, number: number.map(i64::cast_unsigned) })
            .collect();
        let withdrawn = get(&row, "withdrawn")?;
        let descent = Descent { version: read_head(&row)?, withdrawn, earlier };
        match pages.last_mut().filter(|page| page.place == place) {
            Some(page) => page.versions.push(descent),
            None => pages.push(Lineage { place, versions: vec![descent] }),
        }
    }
    Ok(pages)
}
