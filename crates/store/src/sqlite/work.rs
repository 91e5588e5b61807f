//! Work: rows of work, their lanes, and leases on them.
//!
//! Comes in   rows to write, claims and releases, always with the time.
//! Goes out   leases with their fences; rows.
//! Never      leases two rows of a lane, nor a later one while an earlier one still has a due.
//!
//! Who may write a row that is leased: see `lease`.

use exchange::PartnerId;
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, named_params, params, params_from_iter};
use std::collections::BTreeMap;
use std::time::Duration;

use super::row::{all, first, int, list, micros, number, run, some_number, time};
use crate::column::{self, later};
use crate::house::*;
use crate::lease::{After, after, stirs};

pub(super) const COLUMNS: &str = "work, id, kind, lane, partner, dossier, cause, label, gathered, number, state, due, \
    body, revision, created, changed, fence";

/// A lane's oldest row with a due.
pub(super) const NEXT: &str = "SELECT work, due FROM works INDEXED BY works_waiting
    WHERE house = ?1 AND lane = ?2 AND due IS NOT NULL ORDER BY work LIMIT 1";

/// When a lane's last lease ends.
pub(super) const LEASED: &str = "SELECT max(leased_until) FROM works INDEXED BY works_leased
    WHERE house = ?1 AND lane = ?2 AND leased_until IS NOT NULL";

/// Lanes whose next row can be claimed.
pub(super) const READY: &str = "SELECT lane, next FROM lanes INDEXED BY lanes_by_ready
    WHERE house = ?1 AND ready <= ?2 AND ready IS NOT NULL ORDER BY ready, next LIMIT ?3";

/// The same, past those whose next row is with one of these partners.
pub(super) const READY_BESIDE: &str = "SELECT lane, next FROM lanes INDEXED BY lanes_by_ready
    WHERE house = ?1 AND ready <= ?2 AND ready IS NOT NULL
        AND (SELECT coalesce(partner, '') FROM works WHERE work = next)
            NOT IN (SELECT value FROM json_each(?4))
    ORDER BY ready, next LIMIT ?3";

/// When some lane's next row can be claimed.
pub(super) const NEXT_READY: &str = "SELECT min(ready) FROM lanes INDEXED BY lanes_by_ready
    WHERE house = ?1 AND ready IS NOT NULL";

pub(super) fn read(row: &Row<'_>) -> Result<StoredWork, Error> {
    let kind = WorkKind::from_code(row.get("kind")?)?;
    let work = Work {
        id: row.get("id")?,
        kind,
        lane: row.get("lane")?,
        partner: row.get::<_, Option<String>>("partner")?.map(PartnerId),
        dossier: row.get("dossier")?,
        trigger: row.get("cause")?,
        label: row.get("label")?,
        gathered: row.get("gathered")?,
        number: some_number(row, "number")?,
        state: row.get("state")?,
        due: row.get::<_, Option<i64>>("due")?.map(time).transpose()?,
        body: row.get("body")?,
    };
    Ok(StoredWork {
        work,
        revision: number(row, "revision")?,
        created: time(row.get("created")?)?,
        changed: time(row.get("changed")?)?,
    })
}

/// Whether a fence still holds at this time.
pub(super) fn holds(
    db: &Connection,
    house: i64,
    fence: &Fence,
    at: Timestamp,
) -> Result<bool, Error> {
    let select = "SELECT 1 FROM works
        WHERE house = ?1 AND id = ?2 AND fence = ?3 AND leased_until > ?4";
    let params = params![house, fence.work, int(fence.number), micros(at)];
    Ok(first(db, select, params, |_| Ok(()))?.is_some())
}

/// What must be known of a row before it is replaced.
struct Before {
    row: i64,
    lane: String,
    steady: [Option<String>; 5],
    kind: i16,
    leased_until: Option<i64>,
}

fn before(db: &Connection, house: i64, id: &str) -> Result<Option<Before>, Error> {
    let select = "SELECT work, lane, partner, dossier, cause, label, gathered, kind, leased_until
        FROM works WHERE house = ?1 AND id = ?2";
    first(db, select, params![house, id], |row| {
        Ok(Before {
            row: row.get(0)?,
            lane: row.get(1)?,
            steady: [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?],
            kind: row.get(7)?,
            leased_until: row.get(8)?,
        })
    })
}

/// Writes a unit's rows of work; `false`: one is leased to somebody else.
pub(super) fn write(db: &Connection, house: i64, unit: &Unit) -> Result<bool, Error> {
    let mut lanes: BTreeMap<String, u64> = BTreeMap::new();
    for work in &unit.works {
        let before = before(db, house, &work.id)?;
        if stirs(work, before.is_none()) {
            let highest = lanes.entry(work.lane.clone()).or_default();
            *highest = work.number.unwrap_or(0).max(*highest);
        }
        match before {
            None => insert(db, house, unit.at, work)?,
            Some(before) => {
                let after = after(unit, work, before.leased_until, micros(unit.at));
                let Some(after) = after else { return Ok(false) };
                replace(db, unit.at, work, &before, after)?;
                if before.lane != work.lane {
                    lanes.entry(before.lane).or_default();
                }
            }
        }
    }
    for (lane, number) in &lanes {
        look_again(db, house, lane, *number)?;
    }
    Ok(true)
}

fn insert(db: &Connection, house: i64, at: Timestamp, work: &Work) -> Result<(), Error> {
    let insert = "INSERT INTO works (house, id, kind, lane, partner, dossier, cause, label,
            gathered, number, state, due, body, revision, created, changed)
        VALUES (:house, :id, :kind, :lane, :partner, :dossier, :cause, :label,
            :gathered, :number, :state, :due, :body, 1, :at, :at)";
    let columns = named_params! {
        ":house": house,
        ":id": work.id,
        ":kind": work.kind.code(),
        ":lane": work.lane,
        ":partner": work.partner.as_ref().map(PartnerId::as_str),
        ":dossier": work.dossier,
        ":cause": work.trigger,
        ":label": work.label,
        ":gathered": work.gathered,
        ":number": work.number.map(int),
        ":state": work.state,
        ":due": work.due.map(micros),
        ":body": work.body,
        ":at": micros(at),
    };
    run(db, insert, columns)?;
    Ok(())
}

/// Replaces a row. SQLite rewrites every index over a column that an UPDATE names, so those that
/// hardly ever change are named only when they do.
fn replace(
    db: &Connection,
    at: Timestamp,
    work: &Work,
    before: &Before,
    after: After,
) -> Result<(), Error> {
    let update = "UPDATE works SET number = :number, state = :state, due = :due, body = :body,
            revision = revision + 1, changed = :at, purged = 0, fence = fence + :raise,
            leased_until = CASE WHEN :ends THEN NULL ELSE leased_until END
        WHERE work = :work";
    let columns = named_params! {
        ":work": before.row,
        ":number": work.number.map(int),
        ":state": work.state,
        ":due": work.due.map(micros),
        ":body": work.body,
        ":at": micros(at),
        ":raise": i64::from(after == After::Broken),
        ":ends": after != After::Stays,
    };
    run(db, update, columns)?;
    let partner = work.partner.as_ref().map(PartnerId::to_string);
    let steady = [&partner, &work.dossier, &work.trigger, &work.label, &work.gathered];
    if steady.into_iter().eq(&before.steady)
        && work.lane == before.lane
        && work.kind.code() == before.kind
    {
        return Ok(());
    }
    let update = "UPDATE works SET partner = ?2, dossier = ?3, cause = ?4, label = ?5, lane = ?6,
        kind = ?7, gathered = ?8 WHERE work = ?1";
    let [partner, dossier, cause, label, gathered] = steady;
    let kind = work.kind.code();
    let lane = &work.lane;
    run(db, update, params![before.row, partner, dossier, cause, label, lane, kind, gathered])?;
    Ok(())
}

/// Brings a lane's row up to date with its rows of work.
fn look_again(db: &Connection, house: i64, lane: &str, number: u64) -> Result<(), Error> {
    let next = first(db, NEXT, params![house, lane], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    })?;
    let leased = first(db, LEASED, params![house, lane], |row| Ok(row.get::<_, Option<i64>>(0)?))?;
    let ready = next.map(|(_, due)| due.max(leased.flatten().unwrap_or(i64::MIN)));
    let upsert = "INSERT INTO lanes (house, lane, number, next, ready) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO UPDATE SET number = max(number, excluded.number), next = excluded.next,
            ready = excluded.ready";
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    run(db, upsert, params![house, lane, number, next.map(|(row, _)| row), ready])?;
    Ok(())
}

/// Leases rows; see `House::claim`.
pub(super) fn claim(
    db: &Connection,
    house: i64,
    clock: Clock,
    length: Duration,
    limit: u32,
    beside: &[String],
) -> Result<Vec<Lease>, Error> {
    let (now, until) = span(db, clock, length)?;
    let next = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
    let ready = match beside {
        [] => all(db, READY, params![house, now, limit], next)?,
        _ => all(db, READY_BESIDE, params![house, now, limit, list(beside)], next)?,
    };
    let mut leases = Vec::with_capacity(ready.len());
    for (lane, row) in ready {
        run(
            db,
            "UPDATE works SET fence = fence + 1, leased_until = ?2 WHERE work = ?1",
            params![row, until],
        )?;
        let select = format!("SELECT {COLUMNS} FROM works WHERE work = ?1");
        let lease = first(db, &select, params![row], |row| {
            let work = read(row)?;
            let fence = Fence { work: work.work.id.clone(), number: number(row, "fence")? };
            Ok(Lease { work, fence, until: time(until)? })
        })?;
        leases.extend(lease);
        look_again(db, house, &lane, 0)?;
    }
    Ok(leases)
}

fn database_time(db: &Connection) -> Result<i64, Error> {
    let select = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000";
    first(db, select, [], |row| Ok(row.get(0)?))?
        .ok_or_else(|| Error::Unavailable("the database has no time".into()))
}

/// What time it is.
pub(super) fn now(db: &Connection, clock: Clock) -> Result<i64, Error> {
    match clock {
        Clock::At(at) => Ok(micros(at)),
        Clock::Database => database_time(db),
    }
}

/// From now until a lease of this length ends.
fn span(db: &Connection, clock: Clock, length: Duration) -> Result<(i64, i64), Error> {
    let now = now(db, clock)?;
    Ok((now, later(now, column::length(length))))
}

/// Goes on with a lease that still holds.
pub(super) fn renew(
    db: &Connection,
    house: i64,
    clock: Clock,
    fence: &Fence,
    length: Duration,
) -> Result<bool, Error> {
    let (now, until) = span(db, clock, length)?;
    let update = "UPDATE works SET leased_until = ?5
        WHERE house = ?1 AND id = ?2 AND fence = ?3 AND leased_until > ?4 RETURNING lane";
    let params = params![house, fence.work, int(fence.number), now, until];
    let lane = first(db, update, params, |row| Ok(row.get::<_, String>(0)?))?;
    lane.as_ref().map(|lane| look_again(db, house, lane, 0)).transpose()?;
    Ok(lane.is_some())
}

/// Gives a lease back; one that has passed on is left alone.
pub(super) fn release(db: &Connection, house: i64, fence: &Fence) -> Result<(), Error> {
    let update = "UPDATE works SET leased_until = NULL
        WHERE house = ?1 AND id = ?2 AND fence = ?3 AND leased_until IS NOT NULL RETURNING lane";
    let params = params![house, fence.work, int(fence.number)];
    match first(db, update, params, |row| Ok(row.get::<_, String>(0)?))? {
        Some(lane) => look_again(db, house, &lane, 0),
        None => Ok(()),
    }
}

/// Ends every lease: whoever opens the folder is alone with it, so the holders are gone, and their
/// work need not wait until their time is over.
pub(super) fn end_leases(db: &Connection) -> Result<(), Error> {
    let update = "UPDATE works SET leased_until = NULL, fence = fence + 1
        WHERE leased_until IS NOT NULL RETURNING house, lane";
    let lanes = all(db, update, [], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    lanes.into_iter().try_for_each(|(house, lane)| look_again(db, house, &lane, 0))
}

/// When `claim` may next find something.
pub(super) fn next_due(db: &Connection, house: i64) -> Result<Option<Timestamp>, Error> {
    let ready = first(db, NEXT_READY, [house], |row| Ok(row.get::<_, Option<i64>>(0)?))?;
    ready.flatten().map(time).transpose()
}

/// How many rows there are in each state.
pub(super) fn counts(db: &Connection, house: i64) -> Result<Vec<(String, u64)>, Error> {
    let select = "SELECT state, count(*) AS number FROM works INDEXED BY works_by_state
        WHERE house = ?1 GROUP BY state ORDER BY state";
    all(db, select, [house], |row| Ok((row.get(0)?, number(row, "number")?)))
}

/// One row of work.
pub(super) fn one(db: &Connection, house: i64, id: &str) -> Result<Option<StoredWork>, Error> {
    let select = format!("SELECT {COLUMNS} FROM works WHERE house = ?1 AND id = ?2");
    first(db, &select, params![house, id], read)
}

/// The highest number used in a lane.
pub(super) fn lane_number(db: &Connection, house: i64, lane: &str) -> Result<u64, Error> {
    let select = "SELECT number FROM lanes WHERE house = ?1 AND lane = ?2";
    Ok(first(db, select, params![house, lane], |row| number(row, "number"))?.unwrap_or(0))
}

/// Rows of work, newest first.
pub(super) fn some(
    db: &Connection,
    house: i64,
    query: &WorkQuery,
) -> Result<Vec<StoredWork>, Error> {
    let (sql, values) = some_sql(house, query);
    all(db, &sql, params_from_iter(values), read)
}

/// The way that leads to the fewest rows, by name: SQLite has no counts to guess by. Where
/// nothing leads, the newest rows are walked through until there are enough.
fn way(query: &WorkQuery) -> &'static str {
    match () {
        () if query.prefix.as_ref().is_some_and(|prefix| !prefix.is_empty()) => "NOT INDEXED",
        () if query.lanes.is_some() => "NOT INDEXED",
        () if query.gathered.is_some() => "INDEXED BY works_by_gathered",
        () if query.dossier.is_some() => "INDEXED BY works_by_dossier",
        () if query.trigger.is_some() => "INDEXED BY works_by_cause",
        () if query.lane.is_some() => "INDEXED BY works_by_lane",
        () if !query.states.is_empty() => "INDEXED BY works_by_state",
        () => "NOT INDEXED",
    }
}

pub(super) fn some_sql(house: i64, query: &WorkQuery) -> (String, Vec<Value>) {
    let mut sql = format!("SELECT {COLUMNS} FROM works {} WHERE house = ?1", way(query));
    let mut values = vec![Value::from(house)];
    let mut and = |condition: &str, value: Value| {
        values.push(value);
        sql.push_str(" AND ");
        sql.push_str(&condition.replace("{}", &format!("?{}", values.len())));
    };
    if let Some(prefix) = query.prefix.as_ref().filter(|prefix| !prefix.is_empty()) {
        // Up to the last character there is: a range, so that the indexes serve.
        let within = "work IN (
            SELECT work FROM works INDEXED BY works_by_id
                WHERE house = ?1 AND id >= {} AND id < {} || char(1114111)
            UNION SELECT work FROM works INDEXED BY works_by_label
                WHERE house = ?1 AND label >= {} AND label < {} || char(1114111))";
        and(within, prefix.clone().into());
    }
    if let Some(lane) = &query.lanes {
        // From a bar up to what follows it.
        let within = "work IN (
            SELECT work FROM works INDEXED BY works_by_lane WHERE house = ?1 AND lane = {}
            UNION SELECT work FROM works INDEXED BY works_by_lane
                WHERE house = ?1 AND lane >= {} || '|' AND lane < {} || '}')";
        and(within, lane.clone().into());
    }
    if let Some(kind) = query.kind {
        and("kind = {}", kind.code().into());
    }
    if !query.states.is_empty() {
        and("state IN (SELECT value FROM json_each({}))", list(&query.states).into());
    }
    let partner = query.partner.as_ref().map(PartnerId::to_string);
    let columns = [
        ("partner = {}", &partner),
        ("dossier = {}", &query.dossier),
        ("lane = {}", &query.lane),
        ("cause = {}", &query.trigger),
        ("gathered = {}", &query.gathered),
    ];
    for (condition, value) in columns {
        if let Some(value) = value {
            and(condition, value.clone().into());
        }
    }
    and("TRUE ORDER BY work DESC LIMIT {}", i64::from(query.limit).into());
    (sql, values)
}
