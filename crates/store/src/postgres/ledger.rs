//! Ledger: lines at the end of their chains, and checkpoints over them.
//!
//! Comes in   events with their chains; the key that signs.
//! Goes out   nothing; checkpoints as they were written.
//! Never      changes or removes a line (a trigger refuses it), and never signs one whose hash is
//!            not its own.
//!
//! The house counts its lines in its own row, whose lock makes the sequence gapless whoever
//! writes. A tail cut off leaves the count behind, so that readings report it and the next line
//! leaves a gap instead of taking the place.

use deadpool_postgres::ClientWrapper;
use exchange::{Chain, Digest, Entry, Event};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use std::collections::HashMap;
use std::pin::pin;
use tokio_postgres::Row;

use super::pipe::{Asked, Turn, Value, all, ask, rows, say, values};
use super::pool::Pool;
use super::read::{CHECKPOINT, ENTRY, read_checkpoint, read_entry};
use super::row::{digest, get, int, micros, number, time};
use crate::checkpoint::Window;
use crate::house::{Checkpoint, Error};
use crate::limits::TRIES_MAX;
use crate::proof::LedgerKey;

/// The last hash of each chain.
pub(super) const HEADS: &str = "SELECT k.chain, (SELECT e.hash FROM entries e
        WHERE e.house = $1 AND e.chain = k.chain ORDER BY e.seq DESC LIMIT 1) AS hash
    FROM unnest($2::text[]) AS k(chain)";

const INSERT: &str = "INSERT INTO entries (house, seq, at, chain, body, prev, hash)
    SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bytea[],
        $7::bytea[])";

/// The last hashes that came as rows of `HEADS`.
pub(super) fn heads(rows: &[Row]) -> Result<HashMap<String, Digest>, Error> {
    let mut heads = HashMap::with_capacity(rows.len());
    for row in rows {
        if get::<Option<&[u8]>>(row, "hash")?.is_some() {
            heads.insert(get(row, "chain")?, digest(row, "hash")?);
        }
    }
    Ok(heads)
}

/// Writes entries, each with the text of its chain.
pub(super) fn insert(house: i64, entries: &[(String, Entry)]) -> Asked<'_> {
    let column = |value: fn(&Entry) -> i64| entries.iter().map(|it| value(&it.1)).collect();
    let seqs: Vec<i64> = column(|entry| int(entry.seq));
    let times: Vec<i64> = column(|entry| micros(entry.at));
    let chains: Vec<&str> = entries.iter().map(|(chain, _)| chain.as_str()).collect();
    let bodies: Vec<&str> = entries.iter().map(|(_, entry)| entry.body.as_str()).collect();
    let prevs: Vec<&[u8]> = entries.iter().map(|(_, entry)| &entry.prev.0[..]).collect();
    let hashes: Vec<&[u8]> = entries.iter().map(|(_, entry)| &entry.hash.0[..]).collect();
    ask(INSERT, values![house, seqs, times, chains, bodies, prevs, hashes])
}

/// Writes lines behind the last, in the caller's transaction; locks the house's row, which the
/// caller does before any lane or row of work.
pub(super) async fn append(
    db: &ClientWrapper,
    house: i64,
    at: Timestamp,
    lines: &[(Chain, Event)],
) -> Result<(), Error> {
    let at = time(micros(at))?;
    let chains: Vec<String> = lines.iter().map(|(chain, _)| chain.to_string()).collect();
    let read = vec![
        ask("SELECT lines FROM houses WHERE house = $1 FOR UPDATE", values![house]),
        ask(HEADS, values![house, chains.clone()]),
    ];
    let found = all(db, read).await?;
    let mut seq = match &found[0][..] {
        [row] => number(row, "lines")?,
        _ => return Err(Error::Damaged("the database does not hold this house".to_owned())),
    };
    let mut heads = heads(&found[1])?;
    let mut entries = Vec::with_capacity(lines.len());
    for ((chain, event), text) in lines.iter().zip(chains) {
        seq += 1;
        let prev = heads.get(&text).copied().unwrap_or(Digest([0; 32]));
        let entry = Entry::new(seq, at, chain.clone(), event, prev);
        heads.insert(text.clone(), entry.hash);
        entries.push((text, entry));
    }
    let count = "UPDATE houses SET lines = $2 WHERE house = $1";
    all(db, vec![insert(house, &entries), ask(count, values![house, int(seq)])]).await?;
    Ok(())
}

/// Signs what is not signed yet. Where another process does the same at the same moment, one of
/// them finds that it is done.
pub(super) async fn checkpoint(
    pool: &Pool,
    house: i64,
    at: Timestamp,
    key: &LedgerKey,
) -> Result<Option<Checkpoint>, Error> {
    for _ in 0..TRIES_MAX {
        let turn = Turn::take(pool).await?;
        let made = sign(turn.db()?, house, at, key).await?;
        turn.end();
        match made {
            Signed::Made(made) => return Ok(Some(made)),
            Signed::Nothing => return Ok(None),
            Signed::ByAnother => {}
        }
    }
    Ok(None)
}

enum Signed {
    Made(Checkpoint),
    Nothing,
    ByAnother,
}

async fn sign(
    db: &ClientWrapper,
    house: i64,
    at: Timestamp,
    key: &LedgerKey,
) -> Result<Signed, Error> {
    let last = format!(
        "SELECT {CHECKPOINT} FROM checkpoints WHERE house = $1 ORDER BY number DESC LIMIT 1"
    );
    // One picture of lines, count and checkpoints, without keeping anybody from writing.
    let begin = vec![say("BEGIN ISOLATION LEVEL REPEATABLE READ"), ask(&last, values![house])];
    let found = all(db, begin).await?;
    let last = found[1].first().map(read_checkpoint).transpose()?;
    let made = match window(db, house, Window::behind(last.as_ref())).await {
        Ok(Some(covered)) => Checkpoint::next(last.as_ref(), covered, at, key).map(Some),
        nothing => nothing.map(|_| None),
    };
    let made = match made {
        Ok(Some(made)) => made,
        nothing => {
            all(db, vec![say("ROLLBACK")]).await?;
            return nothing.map(|_| Signed::Nothing);
        }
    };
    let insert = "INSERT INTO checkpoints (house, number, seq, at, root, prev, key_id, signature)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING number";
    let columns = values![
        house,
        int(made.number),
        int(made.seq),
        micros(made.at),
        &made.root.0[..],
        &made.prev.0[..],
        made.key_id.as_str(),
        made.signature.as_slice()
    ];
    match all(db, vec![ask(insert, columns), say("COMMIT")]).await {
        Ok(written) if written[0].is_empty() => Ok(Signed::ByAnother),
        Ok(_) => Ok(Signed::Made(made)),
        Err(error) if super::pipe::gave_way(&error) => {
            all(db, vec![say("ROLLBACK")]).await?;
            Ok(Signed::ByAnother)
        }
        Err(error) => Err(error),
    }
}

/// Walks to the end of the ledger; the last line and the Merkle root.
async fn window(
    db: &ClientWrapper,
    house: i64,
    mut window: Window,
) -> Result<Option<(u64, Digest)>, Error> {
    let select = format!("SELECT {ENTRY} FROM entries WHERE house = $1 AND seq >= $2 ORDER BY seq");
    let statement = db.prepare_cached(&select).await?;
    let values: Vec<Value<'_>> = values![house, int(window.from())];
    let mut lines = pin!(db.query_raw(&statement, values).await?);
    while let Some(row) = lines.try_next().await? {
        window.push(&read_entry(&row)?)?;
    }
    let count = rows(db, "SELECT lines FROM houses WHERE house = $1", values![house]).await?;
    window.end(count.first().map_or(Ok(0), |row| number(row, "lines"))?)
}
