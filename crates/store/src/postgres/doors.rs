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
use super::work::{clock, given};
use crate::door::Door;
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

fn read(row: &Row) -> Result<(Door, i64), Error> {
    let door = Door {
        free_at: get(row, "free_at")?,
        resting: get(row, "resting")?,
        rest: get(row, "rest")?,
        failures: failures(row)?,
    };
    Ok((door, get(row, "now")?))
}

/// Failures in a row: the column takes larger numbers than are ever written.
fn failures(row: &Row) -> Result<u32, Error> {
    Ok(u32::try_from(get::<i64>(row, "failures")?).unwrap_or(u32::MAX))
}

/// Asks for a turn; see `House::approach`.
pub(super) async fn approach(
    pool: &Pool,
    house: i64,
    clock: Clock,
    partner: &PartnerId,
    every: Duration,
) -> Result<Approach, Error> {
    let take = |door: &mut Door, now: i64| door.approach(now, every);
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
        door.report(now, answered, breaker);
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
    let values = values![house, partner.as_str(), free_at, resting, rest, i64::from(failures)];
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
            failures: failures(row)?,
            resting_until: get::<Option<i64>>(row, "resting")?.map(time).transpose()?,
        })
    };
    found.iter().map(state).collect()
}
