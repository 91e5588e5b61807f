//! Restore: a house out of a folder into a database that does not hold it yet.
//!
//! Comes in   a SQLite house, in one snapshot, table by table.
//! Goes out   the same house in PostgreSQL, in one transaction that its proof is part of.
//! Never      adds to a house that is there, nor lets one be seen that is not whole or not proved.

use bytes::BytesMut;
use deadpool_postgres::{Client, ClientWrapper};
use exchange::{Digest, HouseId};
use rusqlite::types::Value;
use std::error::Error as StdError;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_postgres::CopyInSink;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::pipe::{all, ask, rows, say, values};
use super::pool::{Pool, PostgresPlace};
use super::row::{get, mark, token};
use super::{PostgresHouse, SWEEPING, part, schema};
use crate::blob::{Blobs, Key, Stored};
use crate::house::Error;
use crate::limits::{COPY_STEPS, LINK_LINES};
use crate::sqlite::SqliteHouse;
use crate::sqlite::copy::Poured;
use crate::tables::{HOUSE, Table};

/// A house that has arrived in a database with all that it holds, and that nobody else sees yet.
/// Dropped, it never was there; files of contents that came with it are swept up later.
#[derive(Debug)]
pub struct Arrived {
    house: PostgresHouse,
}

impl Arrived {
    /// The house, to be read.
    pub fn house(&self) -> &PostgresHouse {
        &self.house
    }

    /// It is there from now on, for everybody.
    ///
    /// # Errors
    /// `Unavailable`; where the connection broke at the very end, it may be there all the same.
    pub async fn keep(self) -> Result<(), Error> {
        let db = self.house.client().await?;
        let select = "SELECT 1 AS there FROM houses WHERE house = $1";
        // A connection that was lost, and made anew since, sees nothing of it.
        if rows(&db, select, values![self.house.house]).await?.is_empty() {
            return Err(Error::Unavailable("the connection was lost on the way".into()));
        }
        all(&db, vec![say("COMMIT")]).await?;
        // It has settings of its own, and locks.
        drop(Client::take(db));
        Ok(())
    }
}

/// Brings a house out of a folder into a database.
pub(super) async fn read(
    place: &PostgresPlace,
    folder: &Path,
    house: &HouseId,
) -> Result<Arrived, Error> {
    let from = open(folder, house).await?;
    // The transaction stays open when its connection goes back, and only its readers follow.
    let pool = Arc::new(Pool::of_one(place)?);
    let mut db = pool.get().await?;
    schema::bring_up(&mut db).await?;
    // No file may go that a row is about to name, however long it takes.
    let begin = vec![
        say("SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0"),
        ask("SELECT pg_advisory_lock_shared($1)", values![SWEEPING]),
        say("BEGIN"),
    ];
    all(&db, begin).await?;
    let (steps, mut ready) = mpsc::channel(COPY_STEPS);
    let poured = tokio::task::spawn_blocking({
        let from = from.clone();
        move || {
            let ended = |_| Error::Unavailable("the database takes no more".into());
            from.pour(|poured| steps.blocking_send(poured).map_err(ended))
        }
    });
    let mut arrival = Arrival { db: &db, from: from.large(), place, blobs: None, into: None };
    let mut failed = None;
    while let Some(poured) = ready.recv().await {
        if let Err(error) = arrival.take(poured).await {
            failed = Some(error);
            break;
        }
    }
    ready.close();
    drop(ready);
    let poured = poured.await.map_err(|error| Error::Unavailable(Box::new(error)))?;
    // Where the database takes no more, that is the reason why the rows stopped.
    failed.map_or(poured, Err)?;
    let (blobs, house, key) = arrival.end().await?;
    drop(db);
    Ok(Arrived { house: PostgresHouse::over(pool, blobs, house, key) })
}

/// Opens the folder, which may be of an earlier version.
async fn open(folder: &Path, house: &HouseId) -> Result<SqliteHouse, Error> {
    let (folder, house) = (folder.to_owned(), house.clone());
    let opened = tokio::task::spawn_blocking(move || {
        // First for reading only: a house that is not there is not to be made.
        drop(SqliteHouse::open_to_read(&folder, &house)?);
        SqliteHouse::open(&folder, &house)
    });
    let opened = opened.await.map_err(|error| Error::Unavailable(Box::new(error)))??;
    while opened.link_uses(LINK_LINES).await?.is_some() {}
    Ok(opened)
}

/// A house on its way into the database.
struct Arrival<'a> {
    db: &'a ClientWrapper,
    /// Where its large contents lie.
    from: Blobs,
    place: &'a PostgresPlace,
    blobs: Option<Blobs>,
    into: Option<Into>,
}

/// The house's number and key, and where its rows go.
struct Into {
    house: i64,
    key: Key,
    open: Option<Open>,
}

/// A table whose rows are on their way.
struct Open {
    table: &'static Table,
    columns: usize,
    writer: Pin<Box<BinaryCopyInWriter>>,
}

fn odd() -> Error {
    Error::Damaged("a row of the copy is not as it was written".to_owned())
}

impl Arrival<'_> {
    async fn take(&mut self, poured: Poured) -> Result<(), Error> {
        match poured {
            Poured::House(row) => self.admit(&row).await,
            Poured::Rows(table, rows) => self.add(table, rows).await,
        }
    }

    /// Writes the house's own row.
    async fn admit(&mut self, row: &[Value]) -> Result<(), Error> {
        let [Value::Text(name), Value::Blob(key), counts @ ..] = row else { return Err(odd()) };
        let key: Key = key.as_slice().try_into().map_err(|_| odd())?;
        let insert = format!(
            "INSERT INTO houses (name, {}) VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT DO NOTHING RETURNING house",
            HOUSE.join(", ")
        );
        let mut columns = values![name.as_str(), &key[..]];
        for count in counts {
            let Value::Integer(count) = count else { return Err(odd()) };
            columns.push(Box::new(*count));
        }
        let made = rows(self.db, &insert, columns).await?;
        let house = get(made.first().ok_or(Error::Taken)?, "house")?;
        self.into = Some(Into { house, key, open: None });
        self.blobs = Some(match &self.place.blobs {
            Some(blobs) => blobs.of_database(&part(self.db).await?)?,
            None => Blobs::rows(),
        });
        Ok(())
    }

    async fn add(&mut self, table: &'static Table, rows: Vec<Vec<Value>>) -> Result<(), Error> {
        let into = self.into.as_mut().ok_or_else(odd)?;
        if into.open.as_ref().is_none_or(|open| open.table != table) {
            into.finish().await?;
            into.open = Some(begin(self.db, table).await?);
        }
        for mut row in rows {
            self.bring(table, &mut row).await?;
            let into = self.into.as_mut().ok_or_else(odd)?;
            into.write(row).await?;
        }
        Ok(())
    }

    /// Brings along the content that lies elsewhere, and what a row has here only.
    async fn bring(&self, table: &Table, row: &mut Vec<Value>) -> Result<(), Error> {
        let place = |column: &str| table.columns.iter().position(|it| *it == column);
        if let (Some(file), Some(packed), Some(content)) =
            (place("file"), place("packed"), place("content"))
            && let Value::Blob(address) = &row[file]
        {
            let address = address.as_slice().try_into().map_err(|_| odd())?;
            let (blobs, into) = (self.blobs.as_ref(), self.into.as_ref());
            let (blobs, into) = (blobs.ok_or_else(odd)?, into.ok_or_else(odd)?);
            if self.place.blobs.is_some() {
                self.from.copy(&address, blobs).await?;
            } else {
                let named = if table.name == "first_answers" { "body" } else { "digest" };
                let digest = place(named).map(|place| &row[place]);
                let Some(Value::Blob(digest)) = digest else { return Err(odd()) };
                let digest = Digest(digest.as_slice().try_into().map_err(|_| odd())?);
                let packed_now = matches!(row[packed], Value::Integer(1));
                let stored = Stored { file: Some(address), content: None, packed: packed_now };
                let bytes = self.from.fetch(&into.key, &digest, stored).await?.ok_or_else(odd)?;
                let kept = blobs.hold().keep_all(&into.key, vec![bytes]).await?;
                let kept = kept.into_iter().next().ok_or_else(odd)?;
                row[file] = Value::Null;
                row[packed] = Value::Integer(kept.packed.into());
                row[content] = Value::Blob(kept.inline.ok_or_else(odd)?.into());
            }
        }
        match (table.name, place("token"), place("key")) {
            ("tokens", Some(place), _) => {
                if let Value::Text(text) = &row[place] {
                    row[place] = Value::Text(token(text).into_owned());
                }
            }
            ("first_answers", _, Some(place)) => {
                let Value::Text(key) = &row[place] else { return Err(odd()) };
                row.push(Value::Blob(mark(key).0.into()));
            }
            _ => {}
        }
        Ok(())
    }

    /// All has come: where its contents lie, its number and its key.
    async fn end(mut self) -> Result<(Blobs, i64, Key), Error> {
        let mut into = self.into.take().ok_or_else(odd)?;
        into.finish().await?;
        let blobs = self.blobs.take().ok_or_else(odd)?;
        blobs.settle().await?;
        let counts = "UPDATE houses SET
                works = (SELECT coalesce(max(work), 0) FROM works WHERE house = $1),
                records = (SELECT coalesce(max(record), 0) FROM records WHERE house = $1),
                subjects = (SELECT coalesce(max(subject), 0) FROM subjects WHERE house = $1)
            WHERE house = $1";
        rows(self.db, counts, values![into.house]).await?;
        Ok((blobs, into.house, into.key))
    }
}

impl Into {
    async fn write(&mut self, row: Vec<Value>) -> Result<(), Error> {
        let open = self.open.as_mut().ok_or_else(odd)?;
        let house = Value::Integer(self.house);
        let cells: Vec<Cell<'_>> = std::iter::once(&house).chain(&row).map(Cell).collect();
        if cells.len() != open.columns {
            return Err(odd());
        }
        let cells: Vec<&(dyn ToSql + Sync)> =
            cells.iter().map(|cell| cell as &(dyn ToSql + Sync)).collect();
        Ok(open.writer.as_mut().write(&cells).await?)
    }

    /// The rows of the table at hand are all there.
    async fn finish(&mut self) -> Result<(), Error> {
        if let Some(mut open) = self.open.take() {
            open.writer.as_mut().finish().await?;
        }
        Ok(())
    }
}

async fn begin(db: &ClientWrapper, table: &'static Table) -> Result<Open, Error> {
    let mut columns = vec!["house"];
    columns.extend(table.columns);
    if table.name == "first_answers" {
        columns.push("mark");
    }
    let (name, columns) = (table.name, columns.join(", "));
    let statement = db.prepare(&format!("SELECT {columns} FROM {name}")).await?;
    let types: Vec<Type> = statement.columns().iter().map(|it| it.type_().clone()).collect();
    let copy = format!("COPY {name} ({columns}) FROM STDIN (FORMAT binary)");
    let sink: CopyInSink<bytes::Bytes> = db.copy_in(&copy).await?;
    let writer = Box::pin(BinaryCopyInWriter::new(sink, &types));
    Ok(Open { table, columns: types.len(), writer })
}

/// A column as SQLite holds it, on its way to PostgreSQL.
#[derive(Debug)]
struct Cell<'a>(&'a Value);

impl ToSql for Cell<'_> {
    fn to_sql(
        &self,
        of: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match (self.0, of) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Integer(number), &Type::INT8) => number.to_sql(of, out),
            (Value::Integer(number), &Type::INT4) => i32::try_from(*number)?.to_sql(of, out),
            (Value::Integer(number), &Type::INT2) => i16::try_from(*number)?.to_sql(of, out),
            // 2 is a purged record, which no search finds either.
            (Value::Integer(number), &Type::BOOL) => (*number != 0).to_sql(of, out),
            (Value::Text(text), &Type::TEXT) => text.to_sql(of, out),
            (Value::Blob(bytes), &Type::BYTEA) => bytes.to_sql(of, out),
            _ => Err("a column holds what was never written there".into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
