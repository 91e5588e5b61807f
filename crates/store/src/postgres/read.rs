//! Read: the ledger, checkpoints, contents and first answers.
//!
//! Comes in   chains, numbers, digests and keys.
//! Goes out   what was written.
//! Never      passes over a missing line in silence.
//!
//! Each reading is one statement, so that it sees one snapshot.

use deadpool_postgres::GenericClient;
use exchange::{Chain, Digest, Entry, PartnerId};
use futures_util::TryStreamExt;
use tokio_postgres::Row;

use super::record::read_stored;
use super::row::{digest, get, mark, number, some_number, time};
use crate::blob::Stored;
use crate::checkpoint;
use crate::house::{Checkpoint, Error};
use crate::seal::{Answered, answer_of};

pub(super) const ENTRY: &str = "seq, at, chain, body, prev, hash";

pub(super) const CHECKPOINT: &str = "number, seq, at, root, prev, key_id, signature";

pub(super) fn read_entry(row: &Row) -> Result<Entry, Error> {
    let seq = number(row, "seq")?;
    let chain = get::<&str>(row, "chain")?
        .parse::<Chain>()
        .map_err(|_| Error::Damaged(format!("ledger line {seq} names no known chain")))?;
    Ok(Entry {
        seq,
        at: time(get(row, "at")?)?,
        chain,
        body: get(row, "body")?,
        prev: digest(row, "prev")?,
        hash: digest(row, "hash")?,
    })
}

/// A chain's entries, oldest first.
pub(super) async fn story(
    db: &impl GenericClient,
    house: i64,
    chain: &Chain,
) -> Result<Vec<Entry>, Error> {
    let select =
        format!("SELECT {ENTRY} FROM entries WHERE house = $1 AND chain = $2 ORDER BY seq");
    let statement = db.prepare_cached(&select).await?;
    let rows = db.query(&statement, &[&house, &chain.to_string()]).await?;
    rows.iter().map(read_entry).collect()
}

/// Entries from `seq` on.
pub(super) async fn entries(
    db: &impl GenericClient,
    house: i64,
    seq: u64,
    limit: u32,
) -> Result<Vec<Entry>, Error> {
    let select = format!(
        "SELECT h.lines, e.* FROM houses h LEFT JOIN LATERAL (
                SELECT {ENTRY} FROM entries WHERE house = $1 AND seq >= $2
                ORDER BY seq LIMIT $3) e ON true
            WHERE h.house = $1 ORDER BY e.seq"
    );
    let from = i64::try_from(seq).unwrap_or(i64::MAX);
    let statement = db.prepare_cached(&select).await?;
    let values = [&house, &from, &i64::from(limit)];
    let rows = std::pin::pin!(db.query_raw(&statement, values).await?);
    let (mut rows, mut found, mut written) = (rows, Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        written = number(&row, "lines")?;
        if some_number(&row, "seq")?.is_some() {
            found.push(read_entry(&row)?);
        }
    }
    if found.is_empty() && limit > 0 && seq <= written {
        return Err(Error::Damaged(format!("the ledger's lines {seq} to {written} are missing")));
    }
    Ok(found)
}

/// How many entries no checkpoint covers yet.
pub(super) async fn unsigned(db: &impl GenericClient, house: i64) -> Result<u64, Error> {
    let select = "SELECT coalesce((SELECT max(seq) FROM entries WHERE house = $1), 0)
        - coalesce((SELECT max(seq) FROM checkpoints WHERE house = $1), 0) AS number";
    let statement = db.prepare_cached(select).await?;
    number(&db.query_one(&statement, &[&house]).await?, "number")
}

pub(super) fn read_checkpoint(row: &Row) -> Result<Checkpoint, Error> {
    Ok(Checkpoint {
        number: number(row, "number")?,
        seq: number(row, "seq")?,
        at: time(get(row, "at")?)?,
        root: digest(row, "root")?,
        prev: digest(row, "prev")?,
        key_id: get(row, "key_id")?,
        signature: get(row, "signature")?,
    })
}

/// Checkpoints from this number on, oldest first.
pub(super) async fn checkpoints(
    db: &impl GenericClient,
    house: i64,
    from: u64,
    limit: u32,
) -> Result<Vec<Checkpoint>, Error> {
    let select = format!(
        "SELECT {CHECKPOINT} FROM checkpoints
            WHERE house = $1 AND number >= $2 ORDER BY number LIMIT $3"
    );
    let statement = db.prepare_cached(&select).await?;
    let (from, limit) = (checkpoint::from(from), i64::from(limit));
    db.query(&statement, &[&house, &from, &limit]).await?.iter().map(read_checkpoint).collect()
}

/// The newest checkpoint below this number.
pub(super) async fn checkpoint_below(
    db: &impl GenericClient,
    house: i64,
    number: u64,
) -> Result<Option<Checkpoint>, Error> {
    let select = format!(
        "SELECT {CHECKPOINT} FROM checkpoints
            WHERE house = $1 AND number < $2 ORDER BY number DESC LIMIT 1"
    );
    let statement = db.prepare_cached(&select).await?;
    let row = db.query_opt(&statement, &[&house, &checkpoint::from(number)]).await?;
    row.as_ref().map(read_checkpoint).transpose()
}

/// One checkpoint, by its number.
pub(super) async fn checkpoint_numbered(
    db: &impl GenericClient,
    house: i64,
    number: u64,
) -> Result<Option<Checkpoint>, Error> {
    let select = format!("SELECT {CHECKPOINT} FROM checkpoints WHERE house = $1 AND number = $2");
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let statement = db.prepare_cached(&select).await?;
    let row = db.query_opt(&statement, &[&house, &number]).await?;
    row.as_ref().map(read_checkpoint).transpose()
}

/// What is stored under a digest.
pub(super) async fn blob(
    db: &impl GenericClient,
    house: i64,
    digest: &Digest,
) -> Result<Option<Stored>, Error> {
    let select = "SELECT packed, file, content FROM blobs WHERE house = $1 AND digest = $2";
    let statement = db.prepare_cached(select).await?;
    let row = db.query_opt(&statement, &[&house, &&digest.0[..]]).await?;
    row.as_ref().map(read_stored).transpose()
}

/// The columns of a first answer.
pub(super) const ANSWER: &str =
    "a.sender, a.key, a.digest, a.status, a.headers, a.body, a.packed, a.file, a.content, a.purged";

pub(super) fn read_answer(row: &Row) -> Result<Answered, Error> {
    let status = u16::try_from(get::<i32>(row, "status")?)
        .map_err(|_| Error::Damaged("the status of an answer is none".to_owned()))?;
    let name = (PartnerId(get(row, "sender")?), get(row, "key")?);
    let answer = answer_of(name, digest(row, "digest")?, status, get(row, "headers")?)?;
    let (body, stored) = (digest(row, "body")?, read_stored(row)?);
    Ok(Answered { answer, body, stored, purged: get(row, "purged")? })
}

/// The first answer to a key.
pub(super) async fn first_answer(
    db: &impl GenericClient,
    house: i64,
    sender: &PartnerId,
    key: &str,
) -> Result<Option<Answered>, Error> {
    let select = format!(
        "SELECT {ANSWER} FROM first_answers a WHERE house = $1 AND sender = $2 AND mark = $3"
    );
    let statement = db.prepare_cached(&select).await?;
    let row = db.query_opt(&statement, &[&house, &sender.as_str(), &&mark(key).0[..]]).await?;
    let found = row.as_ref().map(read_answer).transpose()?;
    if found.as_ref().is_some_and(|found| found.answer.key != key) {
        let what = "an answer stands under another key than its own";
        return Err(Error::Damaged(what.to_owned()));
    }
    Ok(found)
}
