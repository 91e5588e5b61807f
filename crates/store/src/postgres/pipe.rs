//! Pipe: many statements on their way to the server at once, and transactions of few of them.
//!
//! Comes in   statements with their values.
//! Goes out   their rows, in the order they were asked.
//! Never      gives a connection back in the middle of a transaction.
//!
//! Why all at once: a group of units needs some twenty statements, and each wait for an answer
//! costs more than most of them take.

use deadpool_postgres::{Client, ClientWrapper};
use futures_util::future::join_all;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::pool::Pool;
use super::row::sqlstate;
use crate::house::Error;
use crate::limits::TRIES_MAX;

/// A value of a statement.
pub(super) type Value<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// Values of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        vec![$(Box::new($value) as $crate::postgres::pipe::Value<'_>),*]
    };
}
pub(super) use values;

/// A statement.
pub(super) enum Asked<'a> {
    /// Without values, such as BEGIN.
    Say(&'a str),
    /// With values; prepared once for each connection.
    Ask(&'a str, Vec<Value<'a>>),
}

/// A statement with values.
pub(super) fn ask<'a>(sql: &'a str, values: Vec<Value<'a>>) -> Asked<'a> {
    Asked::Ask(sql, values)
}

/// A statement without values, such as BEGIN.
pub(super) fn say(sql: &str) -> Asked<'_> {
    Asked::Say(sql)
}

/// Sends all, in their order, and waits for all. The error is the first of them: those behind it
/// only say that it came.
pub(super) async fn all(db: &ClientWrapper, asked: Vec<Asked<'_>>) -> Result<Vec<Vec<Row>>, Error> {
    let mut ready = Vec::with_capacity(asked.len());
    for asked in asked {
        // Before the first is sent: a statement that has to be prepared would come too late.
        let statement = match &asked {
            Asked::Say(_) => None,
            Asked::Ask(sql, _) => Some(db.prepare_cached(sql).await?),
        };
        ready.push((asked, statement));
    }
    let answers = ready.iter().map(async |(asked, statement)| match (asked, statement) {
        (Asked::Ask(_, values), Some(statement)) => {
            let values: Vec<&(dyn ToSql + Sync)> =
                values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
            db.query(statement, &values).await
        }
        (Asked::Say(sql) | Asked::Ask(sql, _), _) => db.batch_execute(sql).await.map(|()| vec![]),
    });
    let answers = join_all(answers).await;
    Ok(answers.into_iter().collect::<Result<_, _>>()?)
}

/// Asks one thing.
pub(super) async fn rows(
    db: &ClientWrapper,
    sql: &str,
    values: Vec<Value<'_>>,
) -> Result<Vec<Row>, Error> {
    Ok(all(db, vec![ask(sql, values)]).await?.pop().unwrap_or_default())
}

/// A connection of the pool in a transaction. Dropped before its end it takes the connection with
/// it, so that the server takes the transaction back.
pub(super) struct Turn {
    client: Option<Client>,
}

impl Turn {
    /// Takes a connection; the first statements, BEGIN among them, are the caller's.
    pub(super) async fn take(pool: &Pool) -> Result<Turn, Error> {
        Ok(Turn { client: Some(pool.get().await?) })
    }

    /// A connection of one's own, with its settings; it ends when this is dropped.
    pub(super) async fn apart(pool: &Pool) -> Result<Turn, Error> {
        Ok(Turn { client: Some(pool.open().await?) })
    }

    /// The connection.
    pub(super) fn db(&self) -> Result<&ClientWrapper, Error> {
        match &self.client {
            Some(client) => Ok(client),
            None => Err(Error::Unavailable("the connection was given back".into())),
        }
    }

    /// The transaction has ended: gives the connection back.
    pub(super) fn end(mut self) {
        self.client = None;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Client::take(client));
        }
    }
}

/// Whether the server has chosen a transaction to give way to another: it may be tried again.
pub(super) fn gave_way(error: &Error) -> bool {
    matches!(sqlstate(error), Some("40001" | "40P01"))
}

/// Runs something again that had to give way, a few times.
pub(super) async fn insisting<T, F>(run: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 1..TRIES_MAX {
        match run().await {
            Err(error) if gave_way(&error) => {}
            answer => return answer,
        }
    }
    run().await
}
