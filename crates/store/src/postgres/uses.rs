//! Uses: single-use tokens, remembered by all processes.
//!
//! Comes in   digests of tokens, with the time.
//! Goes out   whether a token is used for the first time.
//! Never      says yes twice before a token is forgotten.

use exchange::Digest;
use jiff::Timestamp;

use super::pipe::{insisting, rows, values};
use super::pool::Pool;
use super::row::micros;
use crate::house::Error;
use crate::limits::USES_FORGOTTEN_MAX;

/// Forgets some that are over, its own aside, and writes its own where it is not there or over.
const USE: &str = "WITH gone AS (DELETE FROM uses WHERE house = $1 AND mark <> $2 AND mark IN (
        SELECT mark FROM uses WHERE house = $1 AND until <= $4
            ORDER BY until LIMIT $5 FOR UPDATE SKIP LOCKED))
    INSERT INTO uses AS u (house, mark, until) VALUES ($1, $2, $3)
    ON CONFLICT (house, mark) DO UPDATE SET until = excluded.until WHERE u.until <= $4
    RETURNING mark";

/// Whether a token is used for the first time before `until`.
pub(super) async fn first_use(
    pool: &Pool,
    house: i64,
    mark: &Digest,
    until: Timestamp,
    now: Timestamp,
) -> Result<bool, Error> {
    let few = i64::from(USES_FORGOTTEN_MAX);
    insisting(|| async move {
        let db = pool.get().await?;
        let values = values![house, &mark.0[..], micros(until), micros(now), few];
        Ok(!rows(&db, USE, values).await?.is_empty())
    })
    .await
}

/// Whether a token was used and is not forgotten.
pub(super) async fn used(
    pool: &Pool,
    house: i64,
    mark: &Digest,
    now: Timestamp,
) -> Result<bool, Error> {
    let select = "SELECT 1 FROM uses WHERE house = $1 AND mark = $2 AND until > $3";
    let db = pool.get().await?;
    Ok(!rows(&db, select, values![house, &mark.0[..], micros(now)]).await?.is_empty())
}
