//! Database: a fresh one for a test, gone with it.
//!
//! Comes in   a connection string of a server where databases may be created.
//! Goes out   the connection string of a database that nobody else uses.
//! Never      touches a database that it did not make.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Server, VARIABLE};

/// The server that the tests of one process share, where none is named.
static OWN: OnceLock<Option<Server>> = OnceLock::new();

static MADE: AtomicU32 = AtomicU32::new(0);

/// A database of one test. It is removed when this is dropped.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    pub(crate) fn fresh() -> Option<Database> {
        let server = match std::env::var(VARIABLE) {
            Ok(named) => named,
            Err(_) => OWN.get_or_init(Server::start).as_ref()?.url("postgres"),
        };
        let process = std::process::id();
        let name = format!("test_{process}_{}", MADE.fetch_add(1, Ordering::Relaxed));
        // A run that was killed may have left one of this name.
        sql(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        create(&server, &name);
        Some(Database { server, name })
    }

    /// Its connection string.
    pub fn url(&self) -> String {
        named(&self.server, &self.name)
    }

    /// Runs SQL in it; what it answers, a row a line, columns split by `|`.
    ///
    /// # Panics
    /// When the server refuses: the test cannot go on.
    pub fn sql(&self, text: &str) -> String {
        sql(&self.url(), text)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that is gone by now has no database to remove.
        let _ = run(&self.server, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

pub(crate) fn create(server: &str, name: &str) {
    sql(server, &format!("CREATE DATABASE {name}"));
}

pub(crate) fn sql(database: &str, text: &str) -> String {
    run(database, text).unwrap_or_else(|why| panic!("PostgreSQL refuses: {why}"))
}

fn run(database: &str, text: &str) -> Result<String, String> {
    let mut command = Command::new("psql");
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
    command.args(["--set", "ON_ERROR_STOP=1", "--dbname", database, "--command", text]);
    let answer = command.stdin(Stdio::null()).output().map_err(|why| format!("psql: {why}"))?;
    match answer.status.success() {
        true => Ok(String::from_utf8_lossy(&answer.stdout).trim_end().to_owned()),
        false => Err(String::from_utf8_lossy(&answer.stderr).trim_end().to_owned()),
    }
}

/// The connection string with another database: in a URL and in pairs the last word counts.
fn named(server: &str, database: &str) -> String {
    match (server.contains("://"), server.contains('?')) {
        (false, _) => format!("{server} dbname={database}"),
        (true, false) => format!("{server}?dbname={database}"),
        (true, true) => format!("{server}&dbname={database}"),
    }
}
