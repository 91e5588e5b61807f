//! Purge: contents whose time is over go; that they were there stays.
//!
//! Comes in   rows of work whose contents are to go; the lines that say so.
//! Goes out   how much went; with a scrub, every byte of it.
//! Never      removes a content that a row of work which is not purged uses as well.
//!
//! What a scrub cannot reach: the server's write-ahead log and its archive. Segments are kept, and
//! used again, as its administrator says (`wal_recycle`, `archive_command`, copies for standbys);
//! what was written there is over when they are.

use deadpool_postgres::ClientWrapper;
use std::collections::HashSet;

use super::pipe::{Turn, all, ask, insisting, rows, say, values};
use super::pool::Pool;
use super::row::{digest, get, number, sqlstate, time};
use super::{SWEEPING, bringers, ledger};
use crate::blob::{Address, Blobs};
use crate::house::{Error, Purge, Purged};
use crate::limits::{ORPHAN_AGE, SCRUB_PAUSE, SCRUB_TRIES};

const WORKS: &str = "UPDATE works SET purged = true
    WHERE house = $1 AND id = ANY($2) AND NOT purged";

const VERSIONS: &str = "WITH gone AS (
        UPDATE versions SET purged = true, packed = false, file = NULL, content = NULL
        WHERE house = $1 AND receipt = ANY($2) AND NOT deleted AND NOT purged
        RETURNING record, version),
    hidden AS (
        UPDATE records r SET deleted = true, patient = NULL, encounter = NULL, date_from = NULL,
            date_to = NULL, status = NULL
        FROM gone WHERE r.house = $1 AND r.record = gone.record AND r.newest = gone.version
        RETURNING r.record),
    cleared AS (
        DELETE FROM tokens t USING hidden WHERE t.house = $1 AND t.record = hidden.record)
    SELECT count(*) AS number FROM gone";

const USES: &str = "DELETE FROM blob_uses WHERE house = $1 AND work = ANY($2) RETURNING digest";

const BLOBS: &str = "WITH gone AS (
        DELETE FROM blobs b WHERE b.house = $1 AND b.digest = ANY($2) AND NOT EXISTS (
            SELECT 1 FROM blob_uses u WHERE u.house = $1 AND u.digest = b.digest)
        RETURNING 1)
    SELECT count(*) AS number FROM gone";

/// Answers under the labels of the rows, unless a row that is not purged has the same.
const ANSWERS: &str = "WITH gone AS (
        UPDATE first_answers a SET purged = true, packed = false, file = NULL, content = NULL
        FROM works w
        WHERE w.house = $1 AND w.id = ANY($2) AND a.house = $1 AND a.sender = w.partner
            AND a.mark = sha256(convert_to(w.label, 'UTF8')) AND a.key = w.label AND NOT a.purged
            AND NOT EXISTS (SELECT 1 FROM works o
                WHERE o.house = $1 AND left(o.label, 200) = left(w.label, 200)
                    AND o.label IS NOT NULL AND o.label = w.label AND o.partner = w.partner
                    AND NOT o.purged)
        RETURNING 1)
    SELECT count(*) AS number FROM gone";

const COUNTED: &str = "UPDATE houses SET purges = purges + 1 WHERE house = $1";

/// Houses that were purged since they were scrubbed, with how often.
const PURGED: &str = "SELECT house, purges FROM houses WHERE scrubbed < purges";

/// What was purged meanwhile is not scrubbed yet.
const SCRUBBED: &str = "UPDATE houses h SET scrubbed = greatest(h.scrubbed, k.purges)
    FROM unnest($1::bigint[], $2::bigint[]) AS k(house, purges) WHERE h.house = k.house";

/// Purges in one commit with the lines that say so.
pub(super) async fn purge(pool: &Pool, house: i64, purge: &Purge) -> Result<Purged, Error> {
    insisting(|| async move {
        let turn = Turn::take(pool).await?;
        let purged = write(turn.db()?, house, purge).await?;
        turn.end();
        Ok(purged)
    })
    .await
}

async fn write(db: &ClientWrapper, house: i64, purge: &Purge) -> Result<Purged, Error> {
    let works = || purge.works.iter().map(String::as_str).collect::<Vec<&str>>();
    all(db, vec![say("BEGIN")]).await?;
    ledger::append(db, house, purge.at, &purge.lines).await?;
    let asked =
        [WORKS, VERSIONS, USES, bringers::PURGED].map(|sql| ask(sql, values![house, works()]));
    let found = all(db, asked.into()).await?;
    let versions = count(&found[1])?;
    let used = found[2].iter().map(|row| digest(row, "digest"));
    let used = used.collect::<Result<HashSet<_>, Error>>()?;
    let used: Vec<&[u8]> = used.iter().map(|digest| &digest.0[..]).collect();
    let asked = vec![
        ask(BLOBS, values![house, used]),
        ask(ANSWERS, values![house, works()]),
        ask(COUNTED, values![house]),
        say("COMMIT"),
    ];
    let found = all(db, asked).await?;
    Ok(Purged { versions, blobs: count(&found[0])? + count(&found[1])? })
}

fn count(rows: &[tokio_postgres::Row]) -> Result<u64, Error> {
    rows.first().map_or(Ok(0), |row| number(row, "number"))
}

/// Tables that hold contents, or what searches found them by.
const TABLES: [&str; 5] = ["versions", "blobs", "first_answers", "tokens", "records"];

/// Writes the tables anew without what was removed, and removes files that no row names; nothing
/// where nothing was purged since the last time. The tables are those of all houses, and each is
/// locked as long as it takes.
///
/// # Errors
/// `Busy` while a transaction is open that may still see what was removed; `Unavailable` where
/// the tables are not this account's to write anew.
pub(super) async fn scrub(pool: &Pool, blobs: &Blobs) -> Result<(), Error> {
    // A connection of its own: it waits longer than others may wait for one of the pool.
    let turn = Turn::apart(pool).await?;
    let db = turn.db()?;
    let purged = rows(db, PURGED, values![]).await?;
    if purged.is_empty() {
        turn.end();
        return Ok(());
    }
    unseen(db).await?;
    for table in TABLES {
        let before = place(db, table).await?;
        db.batch_execute(&format!("VACUUM (FULL) {table}")).await?;
        if place(db, table).await? == before {
            return Err(Error::Unavailable("the tables belong to another account".into()));
        }
    }
    match db.batch_execute("CHECKPOINT").await.map_err(Error::from) {
        Err(error) if sqlstate(&error) == Some("42501") => tracing::warn!(
            "the database account may not CHECKPOINT (role pg_checkpoint): what was removed leaves \
             the disk with the server's next checkpoint"
        ),
        done => done?,
    }
    sweep(db, pool, blobs).await?;
    let all = |column| purged.iter().map(move |row| get::<i64>(row, column));
    let houses = all("house").collect::<Result<Vec<_>, _>>()?;
    let purges = all("purges").collect::<Result<Vec<_>, _>>()?;
    rows(db, SCRUBBED, values![houses, purges]).await?;
    turn.end();
    Ok(())
}

/// `sweep` without a scrub.
pub(super) async fn sweep_alone(pool: &Pool, blobs: &Blobs) -> Result<u64, Error> {
    let turn = Turn::apart(pool).await?;
    sweep(turn.db()?, pool, blobs).await
}

/// Waits until no transaction is open that began before now: VACUUM keeps what it may see.
async fn unseen(db: &ClientWrapper) -> Result<(), Error> {
    let now = "SELECT pg_current_xact_id()::text AS now";
    let now: String =
        rows(db, now, values![]).await?.first().map_or(Ok("0".into()), |row| get(row, "now"))?;
    let seen = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity a
        WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
            AND greatest(age(a.backend_xid), age(a.backend_xmin)) > age($1::text::xid8::xid)) AS seen";
    for _ in 0..SCRUB_TRIES {
        let row = rows(db, seen, values![now.as_str()]).await?;
        if !row.first().map_or(Ok(true), |row| get::<bool>(row, "seen"))? {
            return Ok(());
        }
        tokio::time::sleep(SCRUB_PAUSE).await;
    }
    Err(Error::Busy)
}

/// The file a table lies in: another one once it was written anew.
async fn place(db: &ClientWrapper, table: &str) -> Result<Option<u32>, Error> {
    let file = "SELECT pg_relation_filenode($1::text::regclass) AS file";
    let row = rows(db, file, values![table]).await?;
    row.first().map_or(Ok(None), |row| get(row, "file"))
}

/// Which of these files some row names, of whichever house.
const NAMED: &str = "SELECT k.file FROM unnest($1::bytea[]) AS k(file)
    WHERE EXISTS (SELECT 1 FROM versions v WHERE v.file = k.file)
        OR EXISTS (SELECT 1 FROM blobs b WHERE b.file = k.file)
        OR EXISTS (SELECT 1 FROM first_answers a WHERE a.file = k.file)";

/// Removes files that no row has named for a while. Not while a backup copies them.
async fn sweep(db: &ClientWrapper, pool: &Pool, blobs: &Blobs) -> Result<u64, Error> {
    let begin = vec![
        say("SET lock_timeout = 0"),
        ask("SELECT pg_advisory_lock($1)", values![SWEEPING]),
        ask("SELECT (extract(epoch FROM now()) * 1000000)::bigint AS now", values![]),
    ];
    let found = all(db, begin).await?;
    let now = found[2].first().map_or(Ok(0), |row| get::<i64>(row, "now"))?;
    let age = i64::try_from(ORPHAN_AGE.as_micros()).unwrap_or(i64::MAX);
    blobs.sweep(Some(time(now - age)?), |files| named(pool, files)).await
}

/// Those of these files that some row names.
pub(super) async fn named(pool: &Pool, files: Vec<Address>) -> Result<HashSet<Address>, Error> {
    let files: Vec<&[u8]> = files.iter().map(|file| &file[..]).collect();
    let found = rows(&*pool.get().await?, NAMED, values![files]).await?;
    let file = |row| get::<&[u8]>(row, "file").map(<[u8; 32]>::try_from);
    let odd = |_| Error::Damaged("the name of a file has not its length".to_owned());
    found.iter().map(|row| file(row)?.map_err(odd)).collect()
}
