//! Rekey: keys of all records read anew, a page at a time.
//!
//! Comes in   new keys of newest versions, page by page.
//! Goes out   the next versions to be read; the edition once all are done.
//! Never      touches a version filed meanwhile: whoever filed it has read its keys already.
//!
//! How far it came is written with the keys. So a run that was cut off goes on, and one for
//! another edition begins at the first record.

use deadpool_postgres::{ClientWrapper, GenericClient};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::pipe::{Turn, all, ask, insisting, rows, say, values};
use super::pool::Pool;
use super::record::{COLUMNS, CONTENT, window_of};
use super::row::{get, int, micros, token};
use super::sql::{NEW_SUBJECTS, NEW_TOKENS, OLD_TOKENS};
use crate::blob::Stored;
use crate::house::{Error, Record, Rekey};
use crate::limits::REKEY_BYTES;

/// The edition all keys come from.
pub(super) async fn edition(db: &ClientWrapper, house: i64) -> Result<u32, Error> {
    let select = "SELECT keys_edition FROM houses WHERE house = $1";
    let found = rows(db, select, values![house]).await?;
    let edition = found.first().map_or(Ok(0), |row| get::<i64>(row, "keys_edition"))?;
    u32::try_from(edition).map_err(|_| Error::Damaged("no such edition of keys".to_owned()))
}

/// The next versions whose keys are to be read for this edition.
pub(super) async fn next(
    db: &impl GenericClient,
    house: i64,
    edition: u32,
    limit: u32,
) -> Result<Vec<(Record, Stored)>, Error> {
    let select = format!(
        "SELECT {COLUMNS}, {CONTENT} FROM (
                SELECT r.* FROM houses h CROSS JOIN LATERAL (
                    SELECT record, kind, id, newest FROM records
                    WHERE house = $1 AND deleted::int = 0
                        AND record > CASE WHEN h.keys_next = $2 THEN h.keys_done ELSE 0 END
                    ORDER BY record LIMIT $3) r
                WHERE h.house = $1 AND h.keys_edition <> $2) r
            JOIN versions v ON v.house = $1 AND v.record = r.record AND v.version = r.newest
            ORDER BY r.record"
    );
    let statement = db.prepare_cached(&select).await?;
    let values = [house, i64::from(edition), i64::from(limit)];
    window_of(db.query_raw(&statement, values).await?, REKEY_BYTES).await
}

/// Writes new keys, and how far they go.
pub(super) async fn write(
    pool: &Pool,
    house: i64,
    edition: u32,
    keys: &[Rekey],
) -> Result<(), Error> {
    if keys.is_empty() {
        let update = "UPDATE houses SET keys_edition = $2, keys_next = 0, keys_done = 0
            WHERE house = $1";
        rows(&*pool.get().await?, update, values![house, i64::from(edition)]).await?;
        return Ok(());
    }
    insisting(|| async move {
        let turn = Turn::take(pool).await?;
        replace(turn.db()?, house, edition, keys).await?;
        turn.end();
        Ok(())
    })
    .await
}

const HEADS: &str = "SELECT k.n, r.record, r.newest = k.version AND NOT r.deleted AS stands
    FROM unnest($2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY AS k(kind, id, version, n)
    JOIN records r ON r.house = $1 AND r.kind = k.kind AND r.id = k.id";

const SUBJECTS: &str = "SELECT s.id, s.subject FROM unnest($2::text[]) AS k(id)
    JOIN subjects s ON s.house = $1 AND s.id = k.id";

const RECORDS: &str = "UPDATE records r SET patient = k.patient, encounter = k.encounter,
        date_from = k.date_from, date_to = k.date_to, status = k.status
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[])
        AS k(record, patient, encounter, date_from, date_to, status)
    WHERE r.house = $1 AND r.record = k.record";

const DONE: &str = "UPDATE houses SET subjects = $2, keys_next = $3,
        keys_done = CASE WHEN keys_next = $3 THEN greatest(keys_done, $4) ELSE $4 END
    WHERE house = $1";

/// A record whose keys are replaced.
struct Row<'a> {
    record: i64,
    rekey: &'a Rekey,
}

async fn replace(
    db: &ClientWrapper,
    house: i64,
    edition: u32,
    keys: &[Rekey],
) -> Result<(), Error> {
    let kinds: Vec<&str> = keys.iter().map(|key| key.kind.as_str()).collect();
    let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
    let versions: Vec<i64> = keys.iter().map(|key| int(key.version)).collect();
    let named = keys.iter().flat_map(|key| [&key.keys.patient, &key.keys.encounter]);
    let named: BTreeSet<&str> = named.filter_map(|id| id.as_deref()).collect();
    let asked = vec![
        say("BEGIN"),
        // Whoever files records holds this row: no version comes up meanwhile.
        ask("SELECT subjects FROM houses WHERE house = $1 FOR UPDATE", values![house]),
        ask(HEADS, values![house, kinds, ids, versions]),
        ask(SUBJECTS, values![house, named.iter().copied().collect::<Vec<_>>()]),
    ];
    let found = all(db, asked).await?;
    let mut count = found[1].first().map_or(Ok(0), |row| get::<i64>(row, "subjects"))?;
    // The last word about a record counts.
    let (mut stand, mut done) = (BTreeMap::new(), 0);
    for row in &found[2] {
        let record: i64 = get(row, "record")?;
        done = record.max(done);
        let n = usize::try_from(get::<i64>(row, "n")? - 1).unwrap_or(usize::MAX);
        if let Some(rekey) = keys.get(n)
            && get(row, "stands")?
        {
            stand.insert(record, Row { record, rekey });
        }
    }
    let mut subjects = BTreeMap::new();
    for row in &found[3] {
        subjects.insert(get::<&str>(row, "id")?, get::<i64>(row, "subject")?);
    }
    let mut new: Vec<(&str, i64)> = Vec::new();
    for row in stand.values() {
        for id in [&row.rekey.keys.patient, &row.rekey.keys.encounter].into_iter().flatten() {
            subjects.entry(id).or_insert_with(|| {
                count += 1;
                new.push((id, count));
                count
            });
        }
    }
    let stand: Vec<Row<'_>> = stand.into_values().collect();
    let (new_ids, numbers): (Vec<&str>, Vec<i64>) = new.into_iter().unzip();
    let mut asked = vec![ask(NEW_SUBJECTS, values![house, new_ids, numbers])];
    add_records(house, &stand, &subjects, &mut asked);
    asked.push(ask(DONE, values![house, count, i64::from(edition), done]));
    asked.push(say("COMMIT"));
    all(db, asked).await?;
    Ok(())
}

fn add_records<'a>(
    house: i64,
    rows: &[Row<'a>],
    subjects: &BTreeMap<&str, i64>,
    asked: &mut Vec<super::pipe::Asked<'a>>,
) {
    let number = |id: &Option<String>| id.as_deref().and_then(|id| subjects.get(id)).copied();
    let column = |value: &dyn Fn(&Rekey) -> Option<i64>| {
        rows.iter().map(|row| value(row.rekey)).collect::<Vec<_>>()
    };
    let records: Vec<i64> = rows.iter().map(|row| row.record).collect();
    let status = rows.iter().map(|row| row.rekey.keys.status.as_deref());
    asked.push(ask(
        RECORDS,
        values![
            house,
            records.clone(),
            column(&|key| number(&key.keys.patient)),
            column(&|key| number(&key.keys.encounter)),
            column(&|key| key.keys.date.map(|date| micros(date.from))),
            column(&|key| key.keys.date.map(|date| micros(date.to))),
            status.collect::<Vec<_>>(),
        ],
    ));
    asked.push(ask(OLD_TOKENS, values![house, records]));
    let (mut kinds, mut tokens, mut records) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let own: BTreeSet<Cow<'_, str>> =
            row.rekey.keys.tokens.iter().map(|it| token(it)).collect();
        for token in own {
            kinds.push(row.rekey.kind.as_str());
            tokens.push(token);
            records.push(row.record);
        }
    }
    asked.push(ask(NEW_TOKENS, values![house, kinds, tokens, records]));
}
