//! Rows: between SQLite's columns and the house's types.
//!
//! Comes in   rows.
//! Goes out   values, or `Damaged` where a column cannot be what was written.
//! Never      quotes a value in an error.

use exchange::Digest;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Params, Row};

pub(super) use crate::column::{int, micros, time};
use crate::house::Error;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match &error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => {
                Error::Damaged("a column holds what was never written there".to_owned())
            }
            rusqlite::Error::SqliteFailure(cause, _)
                if matches!(cause.code, DatabaseCorrupt | NotADatabase) =>
            {
                Error::Damaged("the database file is not whole".to_owned())
            }
            _ => Error::Unavailable(Box::new(error)),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::Unavailable(Box::new(error))
    }
}

/// All rows of a query.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The first row of a query.
pub(super) fn first<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// Runs a statement; how many rows it touched.
pub(super) fn run(db: &Connection, sql: &str, params: impl Params) -> Result<usize, Error> {
    Ok(db.prepare_cached(sql)?.execute(params)?)
}

/// Keeps a statement's plan as it was made. Otherwise SQLite, where it could take a partial index
/// for one value and not for another, prepares a cached statement anew with every value.
pub(super) fn keep_plans(db: &Connection) -> Result<(), Error> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// A stored digest.
pub(super) fn digest(row: &Row<'_>, column: &str) -> Result<Digest, Error> {
    Ok(Digest(row.get(column)?))
}

/// A stored number.
pub(super) fn number(row: &Row<'_>, column: &str) -> Result<u64, Error> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

/// A stored number that may be absent.
pub(super) fn some_number(row: &Row<'_>, column: &str) -> Result<Option<u64>, Error> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::cast_unsigned))
}

/// A list as one parameter, to be read by `json_each`: so a statement has one shape, however
/// long the list is.
pub(super) fn list(values: &[String]) -> String {
    serde_json::Value::from(values).to_string()
}
