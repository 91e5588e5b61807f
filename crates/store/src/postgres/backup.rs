//! Backup: the house as it is at one moment, as a folder that SQLite opens.
//!
//! Comes in   the tables of the house, in one snapshot, row by row.
//! Goes out   a folder: a house like any other.
//! Never      keeps anybody from writing, holds more than a few steps of rows in memory, or takes
//!            leases along.
//!
//! Why SQLite: a copy is worth what it can be opened with. This one needs no server, and the same
//! commands verify it, list it and bring it back, into either database.

use deadpool_postgres::ClientWrapper;
use futures_util::TryStreamExt;
use rusqlite::types::Value;
use std::path::Path;
use tokio::sync::mpsc;
use tokio_postgres::binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::types::Type;

use super::SWEEPING;
use super::pipe::{Turn, all, ask, rows, say, values};
use super::pool::Pool;
use super::row::get;
use crate::blob::Blobs;
use crate::blocking::blocking;
use crate::house::Error;
use crate::limits::COPY_STEPS;
use crate::sqlite::copy::{Batch, Intake, Poured};
use crate::tables::{HOUSE, READY, TABLES, Table};

/// What SQLite says of a record that no search finds: its newest version deletes it (1), or its
/// content is purged (2).
const DELETED: &str = "CASE WHEN NOT t.deleted THEN 0 WHEN EXISTS (SELECT 1 FROM versions v
        WHERE v.house = t.house AND v.record = t.record AND v.version = t.newest AND v.purged)
    THEN 2 ELSE 1 END";

/// Writes the copy.
pub(super) async fn write(
    pool: &Pool,
    blobs: &Blobs,
    house: i64,
    folder: &Path,
) -> Result<(), Error> {
    let folder = folder.to_owned();
    let mut copy = blocking(move || Intake::begin(&folder)).await??;
    let turn = Turn::apart(pool).await?;
    let db = turn.db()?;
    // No file may go that a row of this moment names, until it is copied.
    let begin = vec![
        say("SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0"),
        ask("SELECT pg_advisory_lock_shared($1)", values![SWEEPING]),
        say("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
    ];
    all(db, begin).await?;
    let (steps, mut ready) = mpsc::channel(COPY_STEPS);
    let fill = blocking(move || {
        while let Some(poured) = ready.blocking_recv() {
            copy.add(poured)?;
        }
        Ok::<_, Error>(copy)
    });
    let pour = async {
        let poured = pour(db, house, &steps).await;
        drop(steps);
        poured
    };
    let (copy, poured) = tokio::join!(fill, pour);
    // Where the file takes no more, that is the reason why the rows stopped.
    let copy = copy??;
    poured?;
    all(db, vec![say("COMMIT")]).await?;
    let (copy, files) = blocking(move || copy.files().map(|files| (copy, files))).await??;
    let copies = copy.blobs();
    for file in &files {
        blobs.copy(file, &copies).await?;
    }
    copies.settle().await?;
    blocking(move || copy.end()).await?
}

async fn pour(db: &ClientWrapper, house: i64, steps: &mpsc::Sender<Poured>) -> Result<(), Error> {
    let own = format!("SELECT name, {} FROM houses WHERE house = $1", HOUSE.join(", "));
    let found = rows(db, &own, values![house]).await?;
    let row = found.first().ok_or_else(|| Error::Damaged("the house has no row".to_owned()))?;
    let mut own = vec![Value::Text(get(row, "name")?)];
    for column in HOUSE {
        own.push(match column {
            "blob_key" => Value::Blob(get(row, column)?),
            column => Value::Integer(get(row, column)?),
        });
    }
    send(steps, Poured::House(own)).await?;
    for table in &TABLES {
        pour_table(db, house, table, steps).await?;
    }
    Ok(())
}

async fn send(steps: &mpsc::Sender<Poured>, poured: Poured) -> Result<(), Error> {
    let ended = |_| Error::Unavailable("the copy takes no more".into());
    steps.send(poured).await.map_err(ended)
}

fn select(table: &Table, house: i64) -> String {
    let columns = table.columns.iter().map(|column| match (table.name, *column) {
        ("lanes", "ready") => READY.to_owned(),
        ("records", "deleted") => DELETED.to_owned(),
        (_, column) => format!("t.{column}"),
    });
    let columns: Vec<String> = columns.collect();
    let (name, columns, order) = (table.name, columns.join(", "), table.order);
    format!("SELECT {columns} FROM {name} t WHERE t.house = {house} ORDER BY {order}")
}

async fn pour_table(
    db: &ClientWrapper,
    house: i64,
    table: &'static Table,
    steps: &mpsc::Sender<Poured>,
) -> Result<(), Error> {
    let select = select(table, house);
    let statement = db.prepare(&select).await?;
    let types: Vec<Type> = statement.columns().iter().map(|it| it.type_().clone()).collect();
    let copy = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
    let mut rows = std::pin::pin!(BinaryCopyOutStream::new(db.copy_out(&copy).await?, &types));
    let mut batch = Batch::default();
    while let Some(row) = rows.try_next().await? {
        let row = types.iter().enumerate().map(|(place, of)| cell(&row, place, of));
        if let Some(rows) = batch.push(row.collect::<Result<_, Error>>()?) {
            send(steps, Poured::Rows(table, rows)).await?;
        }
    }
    send(steps, Poured::Rows(table, batch.take())).await
}

/// A column as SQLite holds it.
fn cell(row: &BinaryCopyOutRow, place: usize, of: &Type) -> Result<Value, Error> {
    let value = match *of {
        Type::INT8 => row.try_get::<Option<i64>>(place)?.map(Value::Integer),
        Type::INT4 => row.try_get::<Option<i32>>(place)?.map(|it| Value::Integer(it.into())),
        Type::INT2 => row.try_get::<Option<i16>>(place)?.map(|it| Value::Integer(it.into())),
        Type::BOOL => row.try_get::<Option<bool>>(place)?.map(|it| Value::Integer(it.into())),
        Type::TEXT => row.try_get::<Option<String>>(place)?.map(Value::Text),
        Type::BYTEA => row.try_get::<Option<Vec<u8>>>(place)?.map(Value::Blob),
        _ => return Err(Error::Damaged("a column is of a type that none has".to_owned())),
    };
    Ok(value.unwrap_or(Value::Null))
}
