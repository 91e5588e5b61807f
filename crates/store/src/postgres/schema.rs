//! Schema: the tables, and how an older database gets them.
//!
//! Comes in   a connection that may make tables.
//! Goes out   the same database with every step taken, in one transaction.
//! Never      opens a database that a newer version wrote, and never repeats or changes a step.
//!
//! Processes that start together take turns by an advisory lock. The digest of each step is kept:
//! a step edited after it was taken would leave two databases of one version with different
//! tables.

use deadpool_postgres::GenericClient;
use exchange::Digest;

use super::row::get;
use crate::house::Error;

/// The steps, in order; step n leads to version n. Only ever appended to.
const STEPS: [&str; 5] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
];

/// Names the lock: "handover" in ASCII.
const LOCK: i64 = 0x6861_6e64_6f76_6572;

/// Takes the steps that are missing.
pub(super) async fn bring_up(db: &mut impl GenericClient) -> Result<(), Error> {
    let db = db.transaction().await?;
    db.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    if !is_there(&db).await? {
        let table = "CREATE TABLE schema (version bigint PRIMARY KEY, step bytea NOT NULL)";
        db.batch_execute(table).await?;
    }
    let done = check(&db).await?;
    for (version, step) in (1i64..).zip(STEPS).skip(done) {
        db.batch_execute(step).await?;
        let insert = "INSERT INTO schema (version, step) VALUES ($1, $2)";
        db.execute(insert, &[&version, &&Digest::of(step.as_bytes()).0[..]]).await?;
    }
    Ok(db.commit().await?)
}

/// How many steps there are.
pub(super) const KNOWN: u64 = STEPS.len() as u64;

/// How many steps were taken; nothing is changed.
pub(super) async fn taken(db: &impl GenericClient) -> Result<u64, Error> {
    match is_there(db).await? {
        true => Ok(check(db).await? as u64),
        false => Ok(0),
    }
}

async fn is_there(db: &impl GenericClient) -> Result<bool, Error> {
    let known = db.query_one("SELECT to_regclass('schema') IS NOT NULL AS known", &[]).await?;
    get(&known, "known")
}

/// How many steps were taken; an error when they are not ours.
async fn check(db: &impl GenericClient) -> Result<usize, Error> {
    let select = "SELECT version, step FROM schema ORDER BY version";
    let taken = db.query(select, &[]).await?;
    if taken.len() > STEPS.len() {
        return Err(Error::TooNew { found: taken.len() as u64, known: STEPS.len() as u64 });
    }
    for ((version, step), row) in (1i64..).zip(STEPS).zip(&taken) {
        let own = get::<i64>(row, "version")? == version
            && get::<&[u8]>(row, "step")? == Digest::of(step.as_bytes()).0;
        if !own {
            return Err(Error::Damaged(format!("schema step {version} is not the one known")));
        }
    }
    Ok(taken.len())
}
