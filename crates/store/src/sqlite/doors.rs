//! Doors: the pace and the breaker of each partner's door, shared by all who send.
//!
//! Comes in   requests that want to go out; how they went.
//! Goes out   a turn, or when to come again.
//! Never      lets two through where one may go: a turn is taken in the same write that looks.

use exchange::PartnerId;
use rusqlite::{Connection, params};
use std::time::Duration;

use super::row::{all, first, run, time};
use super::work;
use crate::door::Door;
use crate::house::{Approach, Breaker, Clock, DoorState, Error};

fn door(db: &Connection, house: i64, partner: &PartnerId) -> Result<Door, Error> {
    let select = "SELECT free_at, resting, rest, failures FROM doors
        WHERE house = ?1 AND partner = ?2";
    let found = first(db, select, params![house, partner.as_str()], |row| {
        Ok(Door {
            free_at: row.get(0)?,
            resting: row.get(1)?,
            rest: row.get(2)?,
            failures: row.get(3)?,
        })
    })?;
    Ok(found.unwrap_or_default())
}

fn write(db: &Connection, house: i64, partner: &PartnerId, door: &Door) -> Result<(), Error> {
    let upsert = "INSERT INTO doors (house, partner, free_at, resting, rest, failures)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT DO UPDATE SET free_at = excluded.free_at, resting = excluded.resting,
            rest = excluded.rest, failures = excluded.failures";
    let Door { free_at, resting, rest, failures } = door;
    run(db, upsert, params![house, partner.as_str(), free_at, resting, rest, failures])?;
    Ok(())
}

/// Asks for a turn; see `House::approach`.
pub(super) fn approach(
    db: &Connection,
    house: i64,
    clock: Clock,
    partner: &PartnerId,
    every: Duration,
) -> Result<Approach, Error> {
    let now = work::now(db, clock)?;
    let mut door = door(db, house, partner)?;
    let answer = door.approach(now, every)?;
    if answer == Approach::Now {
        write(db, house, partner, &door)?;
    }
    Ok(answer)
}

/// Says how a request went; see `House::report`.
pub(super) fn report(
    db: &Connection,
    house: i64,
    clock: Clock,
    partner: &PartnerId,
    answered: bool,
    breaker: Breaker,
) -> Result<(), Error> {
    let now = work::now(db, clock)?;
    let mut door = door(db, house, partner)?;
    door.report(now, answered, breaker);
    write(db, house, partner, &door)
}

/// All doors, by partner.
pub(super) fn doors(db: &Connection, house: i64) -> Result<Vec<DoorState>, Error> {
    let select = "SELECT partner, failures, resting FROM doors WHERE house = ?1 ORDER BY partner";
    all(db, select, [house], |row| {
        Ok(DoorState {
            partner: PartnerId(row.get(0)?),
            failures: row.get(1)?,
            resting_until: row.get::<_, Option<i64>>(2)?.map(time).transpose()?,
        })
    })
}
