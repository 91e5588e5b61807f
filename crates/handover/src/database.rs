//! Database: `db migrate` and `db check`.
//!
//! Comes in   a house's configuration.
//! Goes out   a store of today's schema, uses and keys; or what of the store is not whole.
//! Never      holds more than a page of records, and never begins anew what was cut off.

use crate::check::put;
use crate::limits::{LINK_ROWS, REKEY_ROWS};
use crate::{config, halt, house, keys};
use exchange::desk::{CheckLine, Reply};
use exchange::{Code, Issue};
use indicatif::{ProgressBar, ProgressStyle};
use repository::{KEYS_EDITION, Rekeyed, lookup, rekey, store_issue};
use std::io::IsTerminal;
use std::time::Duration;
use store::{AnyHouse, House as _, PostgresHouse, SqliteHouse};

/// Whether a house is one of today's, before it is opened for work. An empty one becomes so.
///
/// # Errors
/// `MigrationNeeded`; those of the store.
pub async fn is_of_today(memory: &AnyHouse) -> Result<(), Issue> {
    let edition = memory.keys_edition().await.map_err(store_issue)?;
    let linked = match memory {
        AnyHouse::Sqlite(house) => house.unlinked().await.map_err(store_issue)?.is_none(),
        AnyHouse::Postgres(_) => true,
    };
    if edition == KEYS_EDITION && linked {
        return Ok(());
    }
    let empty = memory.dump(None, 1).await.map_err(store_issue)?.is_empty();
    if edition == 0 && linked && empty {
        return memory.rekey(KEYS_EDITION, Vec::new()).await.map_err(store_issue);
    }
    let detail = "its records are not found by the keys of this version yet";
    Err(Issue::new(Code::MigrationNeeded, detail))
}

/// Whether the schema of a house in a folder is today's; nothing is changed by asking.
///
/// # Errors
/// `MigrationNeeded`, `StoreNewer`, those of the store.
pub fn has_schema_of_today(config: &config::House) -> Result<(), Issue> {
    if config.file.database.is_some() {
        return Ok(());
    }
    let schema = SqliteHouse::schema(&config.path(&config.file.store)).map_err(store_issue)?;
    schema.map_or(Ok(()), is_newest)
}

fn is_newest((found, known): (u64, u64)) -> Result<(), Issue> {
    if found < known {
        let detail = format!("its schema has taken step {found} of {known}");
        return Err(Issue::new(Code::MigrationNeeded, detail));
    }
    Ok(())
}

/// `db migrate`: takes the schema's steps, links contents, reads keys anew.
///
/// # Errors
/// `HouseLocked` while the house runs; `StoreNewer`; those of the store.
pub async fn migrate(config: &config::House) -> Result<Reply, Issue> {
    let mut lines = Vec::new();
    let before = match config.file.database {
        Some(_) => None,
        None => SqliteHouse::schema(&config.path(&config.file.store)).map_err(store_issue)?,
    };
    let memory = house::memory(config).await?;
    halt::passed("schema");
    put(
        &mut lines,
        "schema",
        Ok(match before {
            Some((found, known)) if found < known => format!("steps {} to {known}", found + 1),
            _ => "as it should be".to_owned(),
        }),
    );
    let linked = link(&memory).await?;
    put(&mut lines, "contents linked", Ok(format!("{linked} lines and rows of work read")));
    let keys = read_keys(&memory).await?;
    put(&mut lines, "keys", Ok(format!("edition {KEYS_EDITION}, {keys} records read anew")));
    Ok(Reply::Store { lines })
}

async fn link(memory: &AnyHouse) -> Result<u64, Issue> {
    let AnyHouse::Sqlite(house) = memory else { return Ok(0) };
    let Some(all) = house.unlinked().await.map_err(store_issue)? else { return Ok(0) };
    let bar = bar("linking contents", all);
    while let Some(left) = house.link_uses(LINK_ROWS).await.map_err(store_issue)? {
        bar.set_position(all.saturating_sub(left));
        halt::passed("linked");
    }
    bar.finish_and_clear();
    Ok(all)
}

async fn read_keys(memory: &AnyHouse) -> Result<u64, Issue> {
    if memory.keys_edition().await.map_err(store_issue)? == KEYS_EDITION {
        return Ok(0);
    }
    let all = memory.version_count().await.map_err(store_issue)?;
    let (bar, mut read) = (bar("reading keys", all), 0);
    while let Rekeyed::Some(count) = rekey(memory, REKEY_ROWS).await? {
        read += count;
        bar.set_position(read);
        halt::passed("rekeyed");
    }
    bar.finish_and_clear();
    Ok(read)
}

/// How far it is, for a person at a terminal.
fn bar(what: &'static str, all: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos} of {len}, {eta} left");
    let bar = ProgressBar::new(all).with_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// `db check`: looks at everything; the house may be running.
pub async fn check(config: &config::House) -> Reply {
    let mut lines = Vec::new();
    if let Err(issue) = look(config, &mut lines).await {
        put(&mut lines, "store", Err(issue));
    }
    Reply::Store { lines }
}

async fn look(config: &config::House, lines: &mut Vec<CheckLine>) -> Result<(), Issue> {
    let (folder, id) = (config.path(&config.file.store), config.id());
    let schema = match &house::server(config)? {
        Some(place) => PostgresHouse::schema(place, &id).await,
        None => SqliteHouse::schema(&folder),
    };
    let Some(schema) = schema.map_err(store_issue)? else {
        put(lines, "schema", Ok("there is no house yet".to_owned()));
        return Ok(());
    };
    is_newest(schema)?;
    put(lines, "schema", Ok(format!("step {}, the newest", schema.0)));
    let memory = house::memory_to_read(config).await?;
    let edition = memory.keys_edition().await.map_err(store_issue)?;
    let keys = match edition == KEYS_EDITION {
        true => Ok(format!("edition {edition}, the newest")),
        false => is_of_today(&memory).await.map(|()| "no record yet".to_owned()),
    };
    put(lines, "keys", keys);
    inspect(&memory, lines).await?;
    let grounds = house::grounds(config, &keys::ledger_key(config)?)?;
    let ledger = match lookup::verify(&memory, &grounds, &[]).await? {
        Reply::Verified { broken: Some((seq, why)), .. } => {
            Err(Issue::new(Code::LedgerBroken, format!("entry {seq}: {why}")))
        }
        Reply::Verified { proved_to, last, .. } => {
            Ok(format!("{last} entries, proved to {proved_to}; rows and records fit its lines"))
        }
        _ => Err(Issue::new(Code::InternalError, "the ledger was not looked at")),
    };
    put(lines, "ledger", ledger);
    Ok(())
}

async fn inspect(house: &AnyHouse, lines: &mut Vec<CheckLine>) -> Result<(), Issue> {
    let found = house.inspect().await.map_err(store_issue)?;
    let damaged = |detail: String| Err(Issue::new(Code::StoreUnavailable, detail));
    let rows = match (found.faults.len(), found.broken_references) {
        (0, 0) => Ok("whole".to_owned()),
        (faults, broken) => {
            found.faults.iter().for_each(|fault| tracing::error!(fault, "integrity check"));
            damaged(format!("{faults} faults in its pages, {broken} references to nothing"))
        }
    };
    put(lines, "rows", rows);
    let contents = match found.damaged {
        0 => Ok(format!("{} whole", found.contents)),
        some => damaged(format!("{some} are missing or not as they were written")),
    };
    put(lines, "contents", contents);
    let orphans = match found.orphans {
        0 => "none".to_owned(),
        some => format!("{some}; they are removed by themselves"),
    };
    put(lines, "files that nothing names", Ok(orphans));
    Ok(())
}
