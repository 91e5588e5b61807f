//! Records: readings of versions, and searches over the newest.
//!
//! Comes in   queries.
//! Goes out   records, and beside each what its row says of its content.
//! Never      finds a deleted record by a search; never takes more rows into memory than the
//!            query's limit and bytes allow.
//!
//! Each reading is one statement, so that it sees one snapshot.

use deadpool_postgres::GenericClient;
use exchange::PartnerId;
use futures_util::TryStreamExt;
use std::borrow::Cow;
use tokio_postgres::{Row, RowStream};

use super::find::{self, Search};
use super::row::{digest, get, int, number, some_number, time};
use crate::blob::Stored;
use crate::house::{AboutQuery, Error, Record, RecordQuery};
use crate::limits::LEAD_TOKENS;

/// The columns of a head.
pub(super) const COLUMNS: &str = "r.kind, r.id, v.version, v.updated, v.owner, v.receipt, v.lane, \
    v.number, v.digest, v.deleted, v.purged";

/// The newest version of each record, looked up one by one: a join that was planned while the
/// tables were empty would walk through all of them for ever.
pub(super) const NEWEST: &str = "CROSS JOIN LATERAL (SELECT * FROM versions v
    WHERE v.house = $1 AND v.record = r.record AND v.version = r.newest OFFSET 0) v";

/// Where the content is, on top.
pub(super) const CONTENT: &str = "v.packed, v.file, v.content";

pub(super) fn read_head(row: &Row) -> Result<Record, Error> {
    Ok(Record {
        kind: get(row, "kind")?,
        id: get(row, "id")?,
        version: number(row, "version")?,
        last_updated: time(get(row, "updated")?)?,
        owner: PartnerId(get(row, "owner")?),
        receipt: get(row, "receipt")?,
        lane: get(row, "lane")?,
        number: some_number(row, "number")?,
        digest: digest(row, "digest")?,
        content: None,
        deleted: get(row, "deleted")?,
        purged: get(row, "purged")?,
    })
}

/// What a row says of its content.
pub(super) fn read_stored(row: &Row) -> Result<Stored, Error> {
    let file = get::<Option<&[u8]>>(row, "file")?.map(<[u8; 32]>::try_from).transpose();
    Ok(Stored {
        file: file.map_err(|_| Error::Damaged("the name of a file has not its length".into()))?,
        content: get::<Option<Vec<u8>>>(row, "content")?.map(Into::into),
        packed: get(row, "packed")?,
    })
}

fn read_whole(row: &Row) -> Result<(Record, Stored), Error> {
    Ok((read_head(row)?, read_stored(row)?))
}

/// The newest versions of records by their types and ids.
pub(super) fn heads_of() -> String {
    format!(
        "SELECT a.place, {COLUMNS}
            FROM unnest($2::text[], $3::text[]) WITH ORDINALITY a (kind, id, place)
            CROSS JOIN LATERAL (SELECT * FROM records r
                WHERE r.house = $1 AND r.kind = a.kind AND r.id = a.id OFFSET 0) r
            {NEWEST}"
    )
}

/// The newest versions of these records, without content, in the order asked.
pub(super) async fn heads(
    db: &impl GenericClient,
    house: i64,
    records: &[(String, String)],
) -> Result<Vec<Option<Record>>, Error> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let (kinds, ids): (Vec<&str>, Vec<&str>) =
        records.iter().map(|(kind, id)| (kind.as_str(), id.as_str())).unzip();
    let statement = db.prepare_cached(&heads_of()).await?;
    let mut heads = vec![None; records.len()];
    for row in db.query(&statement, &[&house, &kinds, &ids]).await? {
        let place = usize::try_from(get::<i64>(&row, "place")? - 1).unwrap_or(usize::MAX);
        if let Some(head) = heads.get_mut(place) {
            *head = Some(read_head(&row)?);
        }
    }
    Ok(heads)
}

/// A record's newest version, or the one asked for.
pub(super) async fn one(
    db: &impl GenericClient,
    house: i64,
    (kind, id): (&str, &str),
    version: Option<u64>,
) -> Result<Option<(Record, Stored)>, Error> {
    let select = format!(
        "SELECT {COLUMNS}, {CONTENT} FROM records r
            JOIN versions v ON v.house = $1 AND v.record = r.record
                AND v.version = coalesce($4, r.newest)
            WHERE r.house = $1 AND r.kind = $2 AND r.id = $3"
    );
    let statement = db.prepare_cached(&select).await?;
    let row = db.query_opt(&statement, &[&house, &kind, &id, &version.map(int)]).await?;
    row.as_ref().map(read_whole).transpose()
}

/// A record's versions below `before`, newest first, without content.
pub(super) async fn history(
    db: &impl GenericClient,
    house: i64,
    (kind, id): (&str, &str),
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<Record>, Error> {
    let select = format!(
        "SELECT {COLUMNS} FROM records r
            JOIN versions v ON v.house = $1 AND v.record = r.record
            WHERE r.house = $1 AND r.kind = $2 AND r.id = $3 AND v.version < $4
            ORDER BY v.version DESC LIMIT $5"
    );
    let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
    let statement = db.prepare_cached(&select).await?;
    let limit = i64::from(limit);
    let rows = db.query(&statement, &[&house, &kind, &id, &before, &limit]).await?;
    rows.iter().map(read_head).collect()
}

/// How many versions there are, beginnings by deletion aside.
pub(super) async fn version_count(db: &impl GenericClient, house: i64) -> Result<u64, Error> {
    let select = "SELECT count(*) AS number FROM versions
        WHERE house = $1 AND NOT (version = 1 AND deleted)";
    let statement = db.prepare_cached(select).await?;
    number(&db.query_one(&statement, &[&house]).await?, "number")
}

/// Every version of every record behind `after`, without content.
pub(super) async fn dump(
    db: &impl GenericClient,
    house: i64,
    after: Option<(String, String, u64)>,
    limit: u32,
) -> Result<Vec<Record>, Error> {
    let (kind, id, version) = after.unwrap_or_default();
    let select = format!(
        "SELECT {COLUMNS} FROM records r
            JOIN versions v ON v.house = $1 AND v.record = r.record
            WHERE r.house = $1 AND (r.kind, r.id) >= ($2, $3)
                AND (r.kind, r.id, v.version) > ($2, $3, $4)
            ORDER BY r.kind, r.id, v.version LIMIT $5"
    );
    let statement = db.prepare_cached(&select).await?;
    let (version, limit) = (int(version), i64::from(limit));
    let rows = db.query(&statement, &[&house, &kind, &id, &version, &limit]).await?;
    rows.iter().map(read_head).collect()
}

/// Newest, undeleted versions that fit.
pub(super) async fn search(
    db: &impl GenericClient,
    house: i64,
    query: &RecordQuery,
) -> Result<Vec<(Record, Stored)>, Error> {
    let (query, walk) = weighed(db, house, query).await?;
    window(db, find::search(house, &query, walk), query.bytes).await
}

/// The query with those tokens first that fit few records; whether all fit many. Half of a house's
/// results are of one category: whoever asks for a page of them must not wait for all.
async fn weighed<'q>(
    db: &impl GenericClient,
    house: i64,
    query: &'q RecordQuery,
) -> Result<(Cow<'q, RecordQuery>, bool), Error> {
    if !find::by_tokens(query) {
        return Ok((Cow::Borrowed(query), false));
    }
    for (place, tokens) in query.tokens.iter().enumerate() {
        if number_of(db, find::weigh(house, &query.kind, tokens)).await? < LEAD_TOKENS {
            let mut query = Cow::Borrowed(query);
            if place > 0 {
                query.to_mut().tokens.swap(0, place);
            }
            return Ok((query, false));
        }
    }
    Ok((Cow::Borrowed(query), true))
}

async fn number_of(db: &impl GenericClient, search: Search) -> Result<u64, Error> {
    let statement = search.prepare(db).await?;
    let rows = db.query_raw(&statement, search.values()).await?;
    let row = std::pin::pin!(rows).try_next().await?;
    row.map_or(Ok(0), |row| number(&row, "number"))
}

/// What is held about a Patient.
pub(super) async fn about(
    db: &impl GenericClient,
    house: i64,
    query: &AboutQuery,
) -> Result<Vec<(Record, Stored)>, Error> {
    window(db, find::about(house, query), query.bytes).await
}

async fn window(
    db: &impl GenericClient,
    search: Search,
    bytes: u64,
) -> Result<Vec<(Record, Stored)>, Error> {
    let statement = search.prepare(db).await?;
    window_of(db.query_raw(&statement, search.values()).await?, bytes).await
}

/// Takes row by row, until the contents reach `bytes`. What the server sends beyond that is let
/// pass by the connection.
pub(super) async fn window_of(rows: RowStream, bytes: u64) -> Result<Vec<(Record, Stored)>, Error> {
    let mut rows = std::pin::pin!(rows);
    let (mut found, mut sum) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        let whole = read_whole(&row)?;
        sum += whole.1.bytes();
        found.push(whole);
        if bytes > 0 && sum >= bytes {
            break;
        }
    }
    Ok(found)
}

/// How many records fit.
pub(super) async fn count(
    db: &impl GenericClient,
    house: i64,
    query: &RecordQuery,
) -> Result<u64, Error> {
    let (query, _) = weighed(db, house, query).await?;
    number_of(db, find::count(house, &query)).await
}

/// Whether exactly these records fit.
pub(super) async fn fits(
    db: &impl GenericClient,
    house: i64,
    query: &RecordQuery,
    ids: &[String],
) -> Result<bool, Error> {
    let search = find::fitting(house, query, ids.len());
    let statement = search.prepare(db).await?;
    let rows = db.query_raw(&statement, search.values()).await?;
    let mut rows = std::pin::pin!(rows);
    let mut found = 0;
    while let Some(row) = rows.try_next().await? {
        let id: &str = get(&row, "id")?;
        if !ids.iter().any(|asked| asked == id) {
            return Ok(false);
        }
        found += 1;
    }
    Ok(found == ids.len())
}
