//! Inspect: whether every row of a house finds what it names, and every content is as written.
//!
//! Comes in   a house, which may be in use.
//! Goes out   counts of what was looked at, and of what is not as it was written.
//! Never      repairs anything, nor reads more than a page of contents at a time. The pages of
//!            the server's own files are the server's to look at (`pg_amcheck`, data checksums).
//!
//! All is read as of one moment, and no file goes until it is over: what is missing was missing.

use tokio_postgres::Row;

use super::SWEEPING;
use super::pipe::{Turn, all, ask, rows, say, values};
use super::pool::Pool;
use super::purge::named;
use super::record::read_stored;
use super::row::{digest, number};
use crate::blob::{Blobs, Key};
use crate::house::Error;
use crate::keeping::Inspection;
use crate::limits::INSPECT_PAGE;

/// Where contents lie, each with the column of its digest and what says that there is one.
const CONTENTS: [(&str, &str, &str); 3] = [
    ("versions", "digest", "NOT deleted AND NOT purged"),
    ("blobs", "digest", "true"),
    ("first_answers", "body", "NOT purged"),
];

/// Rows that name a row of their house which is not there.
const BROKEN: &str = "SELECT
    (SELECT count(*) FROM records t WHERE t.house = $1 AND NOT EXISTS (SELECT FROM versions v
        WHERE v.house = $1 AND v.record = t.record AND v.version = t.newest))
    + (SELECT count(*) FROM versions t WHERE t.house = $1 AND NOT EXISTS (SELECT FROM records r
        WHERE r.house = $1 AND r.record = t.record))
    + (SELECT count(*) FROM tokens t WHERE t.house = $1 AND NOT EXISTS (SELECT FROM records r
        WHERE r.house = $1 AND r.record = t.record))
    + (SELECT count(*) FROM records t CROSS JOIN LATERAL (VALUES (t.patient), (t.encounter)) k (id)
        WHERE t.house = $1 AND k.id IS NOT NULL AND NOT EXISTS (SELECT FROM subjects s
            WHERE s.house = $1 AND s.subject = k.id)) AS number";

/// Looks at every row that names another, and at every content of the house.
pub(super) async fn inspect(
    pool: &Pool,
    blobs: &Blobs,
    (house, key): (i64, &Key),
) -> Result<Inspection, Error> {
    let turn = Turn::apart(pool).await?;
    let db = turn.db()?;
    let begin = vec![
        say("SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
            SET enable_seqscan = on; SET enable_hashjoin = on"),
        ask("SELECT pg_advisory_lock_shared($1)", values![SWEEPING]),
        say("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
    ];
    all(db, begin).await?;
    let broken = rows(db, BROKEN, values![house]).await?;
    let broken_references = broken.first().map_or(Ok(0), |row| number(row, "number"))?;
    let mut found = Inspection { broken_references, ..Inspection::default() };
    for (table, column, there) in CONTENTS {
        let declare = format!(
            "DECLARE contents NO SCROLL CURSOR FOR SELECT {column} AS kept, packed, file, content
                FROM {table} WHERE house = {house} AND {there}"
        );
        db.batch_execute(&declare).await?;
        let fetch = format!("FETCH {INSPECT_PAGE} FROM contents");
        loop {
            let page = rows(db, &fetch, values![]).await?;
            if page.is_empty() {
                break;
            }
            for row in &page {
                match is_whole(blobs, key, row).await? {
                    true => found.contents += 1,
                    false => found.damaged += 1,
                }
            }
        }
        db.batch_execute("CLOSE contents").await?;
    }
    all(db, vec![say("COMMIT")]).await?;
    found.orphans = blobs.orphans(|files| named(pool, files)).await?;
    Ok(found)
}

async fn is_whole(blobs: &Blobs, key: &Key, row: &Row) -> Result<bool, Error> {
    match blobs.fetch(key, &digest(row, "kept")?, read_stored(row)?).await {
        Ok(found) => Ok(found.is_some()),
        Err(Error::Damaged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
