//! Doors: the pace and the breaker of each partner's door, shared by all processes.
//!
//! Comes in   requests that want to go out; how they went.
//! Goes out   a turn, or when to come again.
//! Never      lets two through where one may go: a turn is taken under the lock of the door's row.
//!
//! What is written here need not wait for the disk: a server that falls over in that moment may
//! forget the last request, and at worst one goes out too early.

use exchange::PartnerId;
use std::time::Duration;
use tokio_postgres::Row;

use super::pipe::{Turn, all, ask, insisting, rows, say, values};
use super::pool::Pool;
use super::row::{get, time};
use super::work::{clock, given, later};
use crate::house::{Approach, Breaker, Clock, DoorState, Error};

const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit = off";

const LOCK: &str = concat!(
    "INSERT INTO doors AS d (house, partner, free_at, failures, rest)
        VALUES ($1, $2, -9223372036854775808, 0, 0)
        ON CONFLICT (house, partner) DO UPDATE SET failures = d.failures
        RETURNING free_at, resting, rest, failures, coalesce($3::bigint, ",
    clock!(),
    ") AS now"
);

struct Door {
    free_at: i64,
    resting: Option<i64>,
    rest: i64,
    failures: i64,
}

fn read(row: &Row) -> Result<(Door, i64), Error> {
    let door = Door {
        free_at: get(row, "free_at")?,
        resting: get(row, "resting")?,
        rest: get(row, "rest")?,
        failures: get(row, "failures")?,
    };
    Ok((door, get(row, "now")?))
}

/// Asks for a turn; see `House::approach`.
pub(super) async fn approach(
    pool: &Pool,
    house: i64,
    clock: Clock,
    partner: &PartnerId,
    every: Duration,
) -> Result<Approach, Error> {
    let take = |door: &mut Door, now: i64| -> Result<Approach, Error> {
        if let Some(until) = door.resting.filter(|until| now < *until) {
            return Ok(Approach::Resting(time(until)?));
        }
        if !every.is_zero() && now < door.free_at {
            return Ok(Approach::Paced(time(door.free_at)?));
        }
        door.free_at = later(now, every);
        // Whoever comes first after a rest sees how the door is; the others wait as long again.
        let rest = Duration::from_micros(door.rest.cast_unsigned());
        door.resting = door.resting.map(|_| later(now, rest));
        Ok(Approach::Now)
    };
    insisting(|| holding(pool, house, clock, partner, &take)).await
}

/// Says how a request went; see `House::report`.
pub(super) async fn report(
    pool: &Pool,
    house: i64,
    clock: Clock,
    partner: &PartnerId,
    answered: bool,
    breaker: Breaker,
) -> Result<(), Error> {
    let note = |door: &mut Door, now: i64| {
        if answered {
            (door.failures, door.resting, door.rest) = (0, None, 0);
            return Ok(());
        }
        door.failures = door.failures.saturating_add(1).min(i64::from(u32::MAX));
        let beyond = door.failures - i64::from(breaker.failures);
        if let Ok(beyond) = u32::try_from(beyond) {
            let twice = 1u32.checked_shl(beyond).unwrap_or(u32::MAX);
            let rest = breaker.rest.saturating_mul(twice).min(breaker.rest_max);
            door.rest = i64::try_from(rest.as_micros()).unwrap_or(i64::MAX);
            door.resting = Some(later(now, rest));
        }
        Ok(())
    };
    insisting(|| holding(pool, house, clock, partner, &note)).await
}

/// Looks at a door and writes it, while nobody else does.
async fn holding<T>(
    pool: &Pool,
    house: i64,
    clock: Clock,
    partner: &PartnerId,
    change: &(impl Fn(&mut Door, i64) -> Result<T, Error> + Sync),
) -> Result<T, Error> {
    let turn = Turn::take(pool).await?;
    let db = turn.db()?;
    let lock = ask(LOCK, values![house, partner.as_str(), given(clock)]);
    let found = all(db, vec![say(BEGIN), lock]).await?.pop().unwrap_or_default();
    let row = found.first().ok_or_else(|| Error::Unavailable("a door was not written".into()))?;
    let (mut door, now) = read(row)?;
    let answer = change(&mut door, now)?;
    let update = "UPDATE doors SET free_at = $3, resting = $4, rest = $5, failures = $6
        WHERE house = $1 AND partner = $2";
    let Door { free_at, resting, rest, failures } = door;
    let values = values![house, partner.as_str(), free_at, resting, rest, failures];
    all(db, vec![ask(update, values), say("COMMIT")]).await?;
    turn.end();
    Ok(answer)
}

/// All doors, by partner.
pub(super) async fn doors(pool: &Pool, house: i64) -> Result<Vec<DoorState>, Error> {
    let select = "SELECT partner, failures, resting FROM doors WHERE house = $1 ORDER BY partner";
    let db = pool.get().await?;
    let found = rows(&db, select, values![house]).await?;
    let state = |row: &Row| {
        Ok(DoorState {
            partner: PartnerId(get(row, "partner")?),
            failures: u32::try_from(get::<i64>(row, "failures")?).unwrap_or(u32::MAX),
            resting_until: get::<Option<i64>>(row, "resting")?.map(time).transpose()?,
        })
    };
    found.iter().map(state).collect()
}
