//! Work: rows of work, their lanes, and leases on them.
//!
//! Comes in   claims and releases, always with the time; readings.
//! Goes out   leases with their fences; rows.
//! Never      leases two rows of a lane, nor a later one while an earlier one still has a due.
//!
//! Who may write a row that is leased: see `lease`. Several processes claim at once. Whoever changes
//! a row of work holds the row of its lane, so that nothing passes on between the look at a lease
//! and the commit that relies on it; `claim` skips the lanes that somebody holds, and waits for
//! nobody. A lane has no row before one of its rows of work has a due or a number: until then there
//! is nothing to lease.

use exchange::PartnerId;
use jiff::Timestamp;
use std::borrow::Cow;
use std::time::Duration;
use tokio_postgres::Row;

use super::pipe::{Turn, Value, all, ask, insisting, rows, say, values};
use super::pool::Pool;
use super::row::{get, int, micros, number, some_number, time};
use crate::column::{self, later};
use crate::house::*;

const COLUMNS: &str = "id, kind, lane, partner, dossier, cause, label, gathered, number, state, due, body, \
    revision, created, changed, fence";

/// The database's time in microseconds.
macro_rules! clock {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}
pub(super) use clock;

/// Lanes whose next row can be claimed, earliest first; locks them.
const READY: &str = concat!(
    "WITH clock AS MATERIALIZED (SELECT coalesce($2::bigint, ",
    clock!(),
    ") AS now)
    SELECT l.lane, l.next, (SELECT now FROM clock) AS now FROM lanes l
        WHERE l.house = $1 AND l.ready <= (SELECT now FROM clock) AND l.ready IS NOT NULL
            AND (cardinality($4::text[]) = 0
                OR (SELECT coalesce(w.partner, '') FROM works w
                    WHERE w.house = $1 AND w.work = l.next) <> ALL ($4::text[]))
        ORDER BY l.ready, l.next LIMIT $3 FOR UPDATE OF l SKIP LOCKED"
);

/// Brings lanes up to date with their rows of work. The caller holds them, or the house.
pub(super) const LOOK_AGAIN: &str = "INSERT INTO lanes AS l (house, lane, number, next, ready)
    SELECT $1, k.lane, k.number, n.work,
        CASE WHEN n.work IS NOT NULL THEN greatest(n.due, h.until) END
    FROM unnest($2::text[], $3::bigint[]) AS k(lane, number)
    LEFT JOIN LATERAL (SELECT w.work, w.due FROM works w
        WHERE w.house = $1 AND w.lane = k.lane AND w.due IS NOT NULL
        ORDER BY w.work LIMIT 1) n ON true
    LEFT JOIN LATERAL (SELECT max(w.leased_until) AS until FROM works w
        WHERE w.house = $1 AND w.lane = k.lane AND w.leased_until IS NOT NULL) h ON true
    ON CONFLICT (house, lane) DO UPDATE SET number = greatest(l.number, excluded.number),
        next = excluded.next, ready = excluded.ready";

fn read(row: &Row) -> Result<StoredWork, Error> {
    let kind = WorkKind::from_code(get(row, "kind")?)?;
    let work = Work {
        id: get(row, "id")?,
        kind,
        lane: get(row, "lane")?,
        partner: get::<Option<String>>(row, "partner")?.map(PartnerId),
        dossier: get(row, "dossier")?,
        trigger: get(row, "cause")?,
        label: get(row, "label")?,
        gathered: get(row, "gathered")?,
        number: some_number(row, "number")?,
        state: get(row, "state")?,
        due: get::<Option<i64>>(row, "due")?.map(time).transpose()?,
        body: get(row, "body")?,
    };
    Ok(StoredWork {
        work,
        revision: number(row, "revision")?,
        created: time(get(row, "created")?)?,
        changed: time(get(row, "changed")?)?,
    })
}

/// What must be known of a row that a unit writes or holds.
#[derive(Debug, Clone)]
pub(super) struct WorkNow<'a> {
    pub(super) work: i64,
    /// Whether the database has it.
    pub(super) there: bool,
    pub(super) lane: Cow<'a, str>,
    pub(super) revision: i64,
    pub(super) created: i64,
    pub(super) changed: i64,
    pub(super) fence: i64,
    pub(super) leased_until: Option<i64>,
    /// Whose clock the lease is measured by.
    pub(super) by_database: bool,
    /// What the group has made of it.
    pub(super) written: Option<&'a Work>,
}

impl<'a> WorkNow<'a> {
    /// The columns that `read` needs.
    pub(super) const COLUMNS: &'static str =
        "work, id, lane, revision, created, changed, fence, leased_until, by_database";

    /// A row as the database has it.
    pub(super) fn read(row: &Row) -> Result<WorkNow<'a>, Error> {
        Ok(WorkNow {
            work: get(row, "work")?,
            there: true,
            lane: Cow::Owned(get(row, "lane")?),
            revision: get(row, "revision")?,
            created: get(row, "created")?,
            changed: get(row, "changed")?,
            fence: get(row, "fence")?,
            leased_until: get(row, "leased_until")?,
            by_database: get(row, "by_database")?,
            written: None,
        })
    }

    /// A row that is written for the first time.
    pub(super) fn new(work: &'a Work, at: i64) -> WorkNow<'a> {
        WorkNow {
            work: 0,
            there: false,
            lane: Cow::Borrowed(&work.lane),
            revision: 1,
            created: at,
            changed: at,
            fence: 0,
            leased_until: None,
            by_database: false,
            written: Some(work),
        }
    }

    /// Whether a fence still holds, `at` by the caller's clock and `now` by the database's.
    pub(super) fn holds(&self, fence: &Fence, at: i64, now: i64) -> bool {
        let judged = if self.by_database { now } else { at };
        self.fence == int(fence.number) && self.leased_until.is_some_and(|until| until > judged)
    }
}

/// Leases rows; see `House::claim`.
pub(super) async fn claim(
    pool: &Pool,
    house: i64,
    clock: Clock,
    length: Duration,
    limit: u32,
    beside: &[String],
) -> Result<Vec<Lease>, Error> {
    insisting(|| claim_once(pool, house, clock, length, limit, beside)).await
}

async fn claim_once(
    pool: &Pool,
    house: i64,
    clock: Clock,
    length: Duration,
    limit: u32,
    beside: &[String],
) -> Result<Vec<Lease>, Error> {
    let turn = Turn::take(pool).await?;
    let db = turn.db()?;
    let ready = ask(READY, values![house, given(clock), i64::from(limit), beside]);
    let begin = vec![say("BEGIN"), ready];
    let ready = all(db, begin).await?.pop().unwrap_or_default();
    let Some(first) = ready.first() else {
        all(db, vec![say("ROLLBACK")]).await?;
        turn.end();
        return Ok(Vec::new());
    };
    let until = later(get(first, "now")?, column::length(length));
    let lanes = ready.iter().map(|row| get(row, "lane")).collect::<Result<Vec<String>, _>>()?;
    let works = ready.iter().map(|row| get(row, "next")).collect::<Result<Vec<i64>, _>>()?;
    let lease = format!(
        "UPDATE works SET fence = fence + 1, leased_until = $3, by_database = $4
            WHERE house = $1 AND work = ANY($2) RETURNING {COLUMNS}, work"
    );
    let numbers = vec![0i64; lanes.len()];
    let write = vec![
        ask(&lease, values![house, works.clone(), until, clock == Clock::Database]),
        ask(LOOK_AGAIN, values![house, lanes, numbers]),
        say("COMMIT"),
    ];
    let rows = all(db, write).await?.swap_remove(0);
    turn.end();
    let mut leases = rows.iter().map(|row| lease_of(row, until)).collect::<Result<Vec<_>, _>>()?;
    leases.sort_by_key(|(work, _)| works.iter().position(|ready| ready == work));
    Ok(leases.into_iter().map(|(_, lease)| lease).collect())
}

fn lease_of(row: &Row, until: i64) -> Result<(i64, Lease), Error> {
    let work = read(row)?;
    let fence = Fence { work: work.work.id.clone(), number: number(row, "fence")? };
    Ok((get(row, "work")?, Lease { work, fence, until: time(until)? }))
}

/// The caller's time; none where the database is to say it.
pub(super) fn given(clock: Clock) -> Option<i64> {
    match clock {
        Clock::At(at) => Some(micros(at)),
        Clock::Database => None,
    }
}

/// What time it is; see `House::time`.
pub(super) async fn time_by(pool: &Pool, clock: Clock) -> Result<Timestamp, Error> {
    let select = concat!("SELECT coalesce($1::bigint, ", clock!(), ") AS now");
    let db = pool.get().await?;
    let found = rows(&db, select, values![given(clock)]).await?;
    let now = found.first().ok_or_else(|| Error::Unavailable("the database has no time".into()))?;
    time(get(now, "now")?)
}

/// Goes on with a lease that still holds.
pub(super) async fn renew(
    pool: &Pool,
    house: i64,
    clock: Clock,
    fence: &Fence,
    length: Duration,
) -> Result<bool, Error> {
    let update = concat!(
        "WITH clock AS MATERIALIZED (SELECT coalesce($4::bigint, ",
        clock!(),
        ") AS now)
        UPDATE works SET leased_until = least((SELECT now FROM clock) + $5, $6), by_database = $7
            WHERE house = $1 AND id = $2 AND fence = $3 AND lane = $8
                AND leased_until > (SELECT now FROM clock)
            RETURNING lane"
    );
    let (now, latest) = (given(clock), micros(Timestamp::MAX));
    // A sum beyond the calendar must not be one beyond the numbers.
    let length = column::length(length).min(latest);
    let write = |lane: &str| {
        values![
            house,
            fence.work.clone(),
            int(fence.number),
            now,
            length,
            latest,
            clock == Clock::Database,
            lane.to_owned()
        ]
    };
    insisting(|| holding(pool, house, &fence.work, update, &write)).await
}

/// Gives a lease back; one that has passed on is left alone.
pub(super) async fn release(pool: &Pool, house: i64, fence: &Fence) -> Result<(), Error> {
    let update = "UPDATE works SET leased_until = NULL
        WHERE house = $1 AND id = $2 AND fence = $3 AND lane = $4 AND leased_until IS NOT NULL
        RETURNING lane";
    let write = |lane: &str| values![house, fence.work.clone(), int(fence.number), lane.to_owned()];
    insisting(|| holding(pool, house, &fence.work, update, &write)).await.map(drop)
}

/// Updates a row of work under its lane's lock; whether there was anything to update.
async fn holding(
    pool: &Pool,
    house: i64,
    id: &str,
    update: &str,
    values: &(impl Fn(&str) -> Vec<Value<'static>> + Sync),
) -> Result<bool, Error> {
    let turn = Turn::take(pool).await?;
    let db = turn.db()?;
    let lock = "SELECT lane FROM lanes WHERE house = $1
        AND lane = (SELECT lane FROM works WHERE house = $1 AND id = $2) FOR UPDATE";
    let begin = vec![say("BEGIN"), ask(lock, values![house, id])];
    let found = all(db, begin).await?.pop().unwrap_or_default();
    let lane = found.first().map(|row| get::<String>(row, "lane")).transpose()?;
    let Some(lane) = lane else {
        all(db, vec![say("ROLLBACK")]).await?;
        turn.end();
        return Ok(false);
    };
    let write = vec![
        ask(update, values(&lane)),
        ask(LOOK_AGAIN, values![house, vec![lane.as_str()], vec![0i64]]),
        say("COMMIT"),
    ];
    let updated = all(db, write).await?.swap_remove(0);
    turn.end();
    Ok(!updated.is_empty())
}

/// When `claim` may next find something.
pub(super) async fn next_due(pool: &Pool, house: i64) -> Result<Option<Timestamp>, Error> {
    let select = "SELECT min(ready) AS ready FROM lanes WHERE house = $1 AND ready IS NOT NULL";
    let db = pool.get().await?;
    let rows = rows(&db, select, values![house]).await?;
    let ready = rows.first().map(|row| get::<Option<i64>>(row, "ready")).transpose()?;
    ready.flatten().map(time).transpose()
}

/// How many rows there are in each state.
pub(super) async fn counts(pool: &Pool, house: i64) -> Result<Vec<(String, u64)>, Error> {
    let select = "SELECT state, count(*) AS number FROM works
        WHERE house = $1 GROUP BY state ORDER BY state";
    let db = pool.get().await?;
    let rows = rows(&db, select, values![house]).await?;
    rows.iter().map(|row| Ok((get(row, "state")?, number(row, "number")?))).collect()
}

/// One row of work.
pub(super) async fn one(pool: &Pool, house: i64, id: &str) -> Result<Option<StoredWork>, Error> {
    let select = format!("SELECT {COLUMNS} FROM works WHERE house = $1 AND id = $2");
    let db = pool.get().await?;
    let rows = rows(&db, &select, values![house, id]).await?;
    rows.first().map(read).transpose()
}

/// The highest number used in a lane.
pub(super) async fn lane_number(pool: &Pool, house: i64, lane: &str) -> Result<u64, Error> {
    let select = "SELECT number FROM lanes WHERE house = $1 AND lane = $2";
    let db = pool.get().await?;
    let rows = rows(&db, select, values![house, lane]).await?;
    rows.first().map_or(Ok(0), |row| number(row, "number"))
}

/// Rows of work at rest; see `House::at_rest`.
pub(super) async fn at_rest(
    pool: &Pool,
    house: i64,
    partner: &PartnerId,
    before: Timestamp,
    after: Option<(Timestamp, String)>,
    limit: u32,
) -> Result<Vec<StoredWork>, Error> {
    let (changed, id) = after.unwrap_or((Timestamp::MIN, String::new()));
    let select = format!(
        "SELECT {COLUMNS} FROM works
            WHERE house = $1 AND partner = $2 AND due IS NULL AND NOT purged
                AND changed < $3 AND changed >= $4 AND (changed, id) > ($4, $5)
            ORDER BY changed, id LIMIT $6"
    );
    let (before, limit) = (micros(before), i64::from(limit));
    let values = values![house, partner.as_str(), before, micros(changed), id, limit];
    let db = pool.get().await?;
    rows(&db, &select, values).await?.iter().map(read).collect()
}

/// Rows of work, newest first.
pub(super) async fn some(
    pool: &Pool,
    house: i64,
    query: &WorkQuery,
) -> Result<Vec<StoredWork>, Error> {
    let (sql, values) = some_sql(house, query);
    let db = pool.get().await?;
    rows(&db, &sql, values).await?.iter().map(read).collect()
}

fn some_sql<'a>(house: i64, query: &'a WorkQuery) -> (String, Vec<Value<'a>>) {
    let mut sql = format!("SELECT {COLUMNS} FROM works WHERE house = $1");
    let mut values = values![house];
    let mut and = |condition: &str, value: Value<'a>| {
        values.push(value);
        sql.push_str(" AND ");
        sql.push_str(&condition.replace("{}", &format!("${}", values.len())));
    };
    if let Some(prefix) = query.prefix.as_ref().filter(|prefix| !prefix.is_empty()) {
        // Up to the last character there is: a range, so that the indexes serve.
        let within = "work IN (
            SELECT work FROM works WHERE house = $1
                AND id >= {}::text AND id < {}::text || chr(1114111)
            UNION SELECT work FROM works WHERE house = $1 AND label IS NOT NULL
                AND left(label, 200) >= left({}::text, 200)
                AND left(label, 200) < left({}::text, 200) || chr(1114111)
                AND starts_with(label, {}::text))";
        and(within, Box::new(prefix));
    }
    if let Some(lane) = &query.lanes {
        // From a bar up to what follows it.
        let within = "work IN (
            SELECT work FROM works WHERE house = $1 AND lane = {}::text
            UNION SELECT work FROM works
                WHERE house = $1 AND lane >= {}::text || '|' AND lane < {}::text || '}')";
        and(within, Box::new(lane));
    }
    if let Some(kind) = query.kind {
        and("kind = {}", Box::new(kind.code()));
    }
    if !query.states.is_empty() {
        and("state = ANY({})", Box::new(&query.states));
    }
    let partner = query.partner.as_ref().map(PartnerId::as_str);
    let columns = [
        ("partner = {}", partner),
        ("dossier = {}", query.dossier.as_deref()),
        ("lane = {}", query.lane.as_deref()),
        ("cause = {}", query.trigger.as_deref()),
        ("gathered = {}", query.gathered.as_deref()),
    ];
    for (condition, value) in columns {
        if let Some(value) = value {
            and(condition, Box::new(value));
        }
    }
    and("TRUE ORDER BY work DESC LIMIT {}", Box::new(i64::from(query.limit)));
    (sql, values)
}
