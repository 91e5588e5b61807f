//! Rows: between PostgreSQL's columns and the house's types.
//!
//! Comes in   rows; errors of the server.
//! Goes out   values, or `Damaged` where a column cannot be what was written.
//! Never      quotes a value in an error: the server's own texts hold some, so of them only the
//!            SQLSTATE is kept.

use exchange::Digest;
use std::borrow::Cow;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::FromSql;

pub(super) use crate::column::{int, micros, time};
use crate::house::Error;
use crate::limits::TOKEN_BYTES_MAX;

/// What the server or the way to it said, without a value of any row.
#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL: {what} ({code})")]
pub(super) struct Refusal {
    what: &'static str,
    /// SQLSTATE; empty: none came.
    pub(super) code: String,
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Error {
        let Some(code) = error.code() else {
            return match std::error::Error::source(&error) {
                Some(cause) if cause.is::<tokio_postgres::types::WrongType>() => {
                    Error::Damaged("a column holds what was never written there".to_owned())
                }
                _ => Refusal { what: "no answer", code: error.to_string() }.into(),
            };
        };
        if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code) {
            return Error::Damaged("the database is not whole".to_owned());
        }
        Refusal { what: "refused", code: code.code().to_owned() }.into()
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Unavailable(Box::new(refusal))
    }
}

/// The SQLSTATE that is behind an error.
pub(super) fn sqlstate(error: &Error) -> Option<&str> {
    match error {
        Error::Unavailable(cause) => Some(&cause.downcast_ref::<Refusal>()?.code),
        _ => None,
    }
}

/// A column.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, Error> {
    row.try_get(column)
        .map_err(|_| Error::Damaged("a column holds what was never written there".to_owned()))
}

/// A stored digest.
pub(super) fn digest(row: &Row, column: &str) -> Result<Digest, Error> {
    get::<&[u8]>(row, column)?
        .try_into()
        .map(Digest)
        .map_err(|_| Error::Damaged("a digest does not have its length".to_owned()))
}

/// A stored number.
pub(super) fn number(row: &Row, column: &str) -> Result<u64, Error> {
    Ok(get::<i64>(row, column)?.cast_unsigned())
}

/// A stored number that may be absent.
pub(super) fn some_number(row: &Row, column: &str) -> Result<Option<u64>, Error> {
    Ok(get::<Option<i64>>(row, column)?.map(i64::cast_unsigned))
}

/// A token as it stands in its index, which takes some two thousand bytes: a longer part of it, on
/// either side of the bar, is told by its digest. Whoever searches for one asks for the same.
pub(super) fn token(token: &str) -> Cow<'_, str> {
    if token.len() <= TOKEN_BYTES_MAX {
        return Cow::Borrowed(token);
    }
    let part = |part: &str| match part.len() <= TOKEN_BYTES_MAX {
        true => part.to_owned(),
        false => format!("sha256:{}", Digest::of(part.as_bytes())),
    };
    Cow::Owned(match token.split_once('|') {
        Some((name, system)) => format!("{}|{}", part(name), part(system)),
        None => part(token),
    })
}

/// What stands for the key of a first answer in its index.
pub(super) fn mark(key: &str) -> Digest {
    Digest::of(key.as_bytes())
}
