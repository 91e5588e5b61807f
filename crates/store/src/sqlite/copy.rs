//! Copy: a house's rows on their way into a file, or out of one.
//!
//! Comes in   rows of another database, table by table; or a file.
//! Goes out   a folder that opens like any other house; or the rows of one moment.
//! Never      has the folder's name before everything in it is on the disk.

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};
use std::path::Path;

use super::file::private;
use super::row::{all, first, run};
use super::{SqliteHouse, backup, schema};
use crate::blob::{Address, Blobs};
use crate::house::Error;
use crate::limits::{COPY_BYTES, COPY_CACHE_KB, COPY_ROWS, PAGE_BYTES};
use crate::tables::{HOUSE, READY, TABLES, Table};

/// What is on its way, in this order.
pub(crate) enum Poured {
    /// The house's own row: its name, and the columns of `HOUSE`.
    House(Vec<Value>),
    /// Rows of a table, each with the table's columns.
    Rows(&'static Table, Vec<Vec<Value>>),
}

/// Rows gathered until they are worth a step.
#[derive(Default)]
pub(crate) struct Batch {
    rows: Vec<Vec<Value>>,
    bytes: usize,
}

impl Batch {
    /// Takes a row; all that were gathered, once they are enough.
    pub(crate) fn push(&mut self, row: Vec<Value>) -> Option<Vec<Vec<Value>>> {
        let bytes = |value: &Value| match value {
            Value::Text(text) => text.len(),
            Value::Blob(bytes) => bytes.len(),
            Value::Null | Value::Integer(_) | Value::Real(_) => 8,
        };
        self.bytes += row.iter().map(bytes).sum::<usize>();
        self.rows.push(row);
        (self.rows.len() >= COPY_ROWS || self.bytes >= COPY_BYTES).then(|| self.take())
    }

    /// What was gathered.
    pub(crate) fn take(&mut self) -> Vec<Vec<Value>> {
        self.bytes = 0;
        std::mem::take(&mut self.rows)
    }
}

/// A house's file on its way to be one. Dropped before `end` it takes everything with it.
pub(crate) struct Intake {
    // Before the folder goes.
    db: Option<Connection>,
    copy: backup::Copy,
    long_tokens: bool,
}

impl Intake {
    /// Begins a copy for a folder that does not exist yet.
    ///
    /// # Errors
    /// `Unavailable` where it exists, or the disk refuses.
    pub(crate) fn begin(folder: &Path) -> Result<Intake, Error> {
        let copy = backup::Copy::empty(folder)?;
        let file = copy.database();
        // Created here, so that only its owner can read it.
        drop(private(&file)?);
        let db = Connection::open(&file)?;
        db.pragma_update(None, "page_size", PAGE_BYTES)?;
        // Nobody has the file before it is whole, so that it needs no log.
        db.pragma_update(None, "journal_mode", "OFF")?;
        db.pragma_update(None, "synchronous", "OFF")?;
        db.pragma_update(None, "foreign_keys", false)?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        db.pragma_update(None, "cache_size", -COPY_CACHE_KB)?;
        schema::bring_up(&db)?;
        db.execute_batch("BEGIN")?;
        Ok(Intake { db: Some(db), copy, long_tokens: false })
    }

    fn db(&self) -> Result<&Connection, Error> {
        self.db.as_ref().ok_or_else(|| Error::Unavailable("the copy has ended".into()))
    }

    /// Writes what has come.
    pub(crate) fn add(&mut self, poured: Poured) -> Result<(), Error> {
        let db = self.db()?;
        match poured {
            Poured::House(row) => {
                let insert = format!(
                    "INSERT INTO houses (house, name, {}) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)",
                    HOUSE.join(", ")
                );
                run(db, &insert, params_from_iter(row))?;
            }
            Poured::Rows(table, rows) => {
                let insert = insert(table);
                self.long_tokens |= table.name == "tokens" && rows.iter().any(|row| is_long(row));
                let db = self.db()?;
                for row in rows {
                    if table.name == "tokens" {
                        list_token(db, &row)?;
                    }
                    run(db, &insert, params_from_iter(row))?;
                }
            }
        }
        Ok(())
    }

    /// Files of contents that its rows name, each once.
    pub(crate) fn files(&self) -> Result<Vec<Address>, Error> {
        all(self.db()?, backup::NAMED, [], |row| Ok(row.get(0)?))
    }

    /// Where those are to be.
    pub(crate) fn blobs(&self) -> Blobs {
        Blobs::folder_as_it_is(&self.copy.contents())
    }

    /// Makes all durable, and only then gives it its name.
    ///
    /// # Errors
    /// `Unavailable` when the disk refuses.
    pub(crate) fn end(mut self) -> Result<(), Error> {
        let db = self.db()?;
        if self.long_tokens {
            // A token that the other database holds by its digest only is read anew.
            run(db, "UPDATE houses SET keys_edition = 0, keys_next = 0, keys_done = 0", [])?;
        }
        db.execute_batch("COMMIT")?;
        self.db = None;
        self.copy.finish()
    }
}

fn insert(table: &Table) -> String {
    let places: Vec<String> = (1..=table.columns.len()).map(|place| format!("?{place}")).collect();
    let (name, columns) = (table.name, table.columns.join(", "));
    format!("INSERT INTO {name} (house, {columns}) VALUES (1, {})", places.join(", "))
}

/// Puts a token, of a row of `tokens`, into the list that its record's row has here.
fn list_token(db: &Connection, row: &[Value]) -> Result<(), Error> {
    let update = "UPDATE records SET tokens = json_insert(coalesce(tokens, '[]'), '$[#]', ?2)
        WHERE record = ?3";
    run(db, update, params_from_iter(row))?;
    Ok(())
}

/// Whether a row of tokens has one that stands for a longer one.
fn is_long(row: &[Value]) -> bool {
    row.iter().any(|value| matches!(value, Value::Text(token) if token.contains("sha256:")))
}

impl SqliteHouse {
    /// Hands over all rows of the house as they are at one moment, in a thread that may block.
    ///
    /// # Errors
    /// Those of the file, and the first of `to`.
    pub(crate) fn pour(&self, to: impl Fn(Poured) -> Result<(), Error>) -> Result<(), Error> {
        let house = self.house;
        self.shared.readers.read_now(|db| {
            let own = format!("SELECT name, {} FROM houses WHERE house = ?1", HOUSE.join(", "));
            let row = first(db, &own, [house], |row| cells(row, HOUSE.len() + 1))?;
            let row = row.ok_or_else(|| Error::Damaged("the house has no row".to_owned()))?;
            to(Poured::House(row))?;
            TABLES.iter().try_for_each(|table| pour_table(db, house, table, &to))
        })
    }

    /// Where the large contents of this house lie.
    pub(crate) fn large(&self) -> Blobs {
        self.shared.blobs.clone()
    }
}

fn pour_table(
    db: &Connection,
    house: i64,
    table: &'static Table,
    to: impl Fn(Poured) -> Result<(), Error>,
) -> Result<(), Error> {
    let columns = table.columns.iter().map(|column| match (table.name, *column) {
        ("lanes", "ready") => READY.to_owned(),
        (_, column) => format!("t.{column}"),
    });
    let columns: Vec<String> = columns.collect();
    let (name, columns, order) = (table.name, columns.join(", "), table.order);
    let select = format!("SELECT {columns} FROM {name} t WHERE t.house = ?1 ORDER BY {order}");
    let mut statement = db.prepare(&select)?;
    let mut rows = statement.query(params![house])?;
    let mut batch = Batch::default();
    while let Some(row) = rows.next()? {
        if let Some(rows) = batch.push(cells(row, table.columns.len())?) {
            to(Poured::Rows(table, rows))?;
        }
    }
    to(Poured::Rows(table, batch.take()))
}

fn cells(row: &rusqlite::Row<'_>, count: usize) -> Result<Vec<Value>, Error> {
    Ok((0..count).map(|cell| row.get(cell)).collect::<Result<_, _>>()?)
}
