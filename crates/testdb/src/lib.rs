//! Private PostgreSQL servers and S3 storages for tests.
//!
//! Comes in   Debian's `postgresql` package, where the machine has it; the partners' moto.
//! Goes out   a server on a Unix socket in a temporary folder, and connection strings for it; a
//!            storage on a port of loopback.
//! Never      listens on a network beyond this machine, touches a server that runs already, or outlives its test.
//!
//! Why not one server that always runs: a test may stop, kill and fill its server, and two runs
//! of the tests must not see each other. A machine without PostgreSQL gets `None` and one line
//! that says so; the test then skips itself.
//!
//! The order of text is English and not that of bytes, on purpose: whoever relies on the order of
//! bytes must say so in the schema.

mod database;
pub mod limits;
mod process;
mod storage;

use std::fs;
use std::io::{self, Error};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

pub use database::Database;
use process::Process;
pub use process::wait;
pub use storage::{BUCKET, PARTNERS, Storage};

/// The variable that names a server where databases may be created (a connection string).
pub const VARIABLE: &str = "HANDOVER_POSTGRES";

/// The account that the server runs under when we are root, as which it refuses to run.
const ACCOUNT: &str = "postgres";

/// A server of our own. It ends when this is dropped, and when its process dies in any way.
#[derive(Debug)]
pub struct Server {
    programs: PathBuf,
    // The process goes before the folder it runs in.
    process: Option<Process>,
    folder: TempDir,
}

impl Server {
    /// Starts a server with PostgreSQL's own settings: nothing it does is less durable than in
    /// earnest. `None`, after a line that says why, where it cannot be.
    pub fn start() -> Option<Server> {
        Server::start_with(&[])
    }

    /// Starts a server with these settings besides.
    pub fn start_with(settings: &[(&str, &str)]) -> Option<Server> {
        let Some(programs) = programs() else {
            eprintln!("skipped: PostgreSQL is not installed (Debian: apt-get install postgresql)");
            return None;
        };
        match Server::make(programs, settings) {
            Ok(server) => Some(server),
            Err(error) => {
                eprintln!("skipped: a private PostgreSQL does not start: {error}");
                None
            }
        }
    }

    /// A fresh database: on the server that `HANDOVER_POSTGRES` names, else on one that all tests
    /// of this process share.
    pub fn shared() -> Option<Database> {
        Database::fresh()
    }

    fn make(programs: PathBuf, settings: &[(&str, &str)]) -> io::Result<Server> {
        // A socket's path has room for some hundred bytes: not under any longer TMPDIR.
        let folder = tempfile::Builder::new()
            .prefix("handover-pg-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in("/tmp")?;
        if let Some((user, group)) = account()? {
            chown(folder.path(), Some(user), Some(group))?;
        }
        let mut server = Server { programs, process: None, folder };
        server.initialise(settings)?;
        server.begin()?;
        Ok(server)
    }

    fn initialise(&self, settings: &[(&str, &str)]) -> io::Result<()> {
        let icu = ["--locale-provider=icu", "--icu-locale=en-US"];
        // Only the making is not waited for; the server itself syncs.
        let common =
            ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"];
        let made = self.run_initdb(&[&common[..], &icu[..]].concat());
        made.or_else(|_| self.run_initdb(&common))?;
        let socket = self.folder.path().display().to_string();
        let connections = limits::CONNECTIONS.to_string();
        let own = [
            ("listen_addresses", ""),
            ("unix_socket_directories", socket.as_str()),
            ("max_connections", connections.as_str()),
        ];
        let line = |(name, value): &(&str, &str)| format!("{name} = '{value}'\n");
        let lines: String = own.iter().chain(settings).map(line).collect();
        let file = self.folder().join("postgresql.auto.conf");
        fs::write(file, lines)
    }

    fn run_initdb(&self, options: &[&str]) -> io::Result<()> {
        let _ = fs::remove_dir_all(self.folder());
        let mut command = as_account(&self.programs.join("initdb"))?;
        command.arg("--pgdata").arg(self.folder()).args(options);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        let answer = command.output()?;
        match answer.status.success() {
            true => Ok(()),
            false => Err(Error::other(String::from_utf8_lossy(&answer.stderr).trim().to_owned())),
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut command = as_account(&self.programs.join("postgres"))?;
        command.arg("-D").arg(self.folder());
        let file = self.folder().join("postmaster.pid");
        let up = |id| ready(&file, id);
        self.process = Some(Process::start(&command, "QUIT", self.folder.path(), up)?);
        Ok(())
    }

    /// Its data folder: every byte it keeps.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The connection string of one of its databases.
    pub fn url(&self, database: &str) -> String {
        let socket = self.folder.path().display();
        format!("host={socket} user=postgres dbname={database}")
    }

    /// Makes a database; its connection string.
    ///
    /// # Panics
    /// When the server refuses: the test cannot go on.
    pub fn create_database(&self, name: &str) -> String {
        database::create(&self.url("postgres"), name);
        self.url(name)
    }

    /// Runs SQL as the administrator; what it answers, a row a line, columns split by `|`.
    ///
    /// # Panics
    /// When the server refuses: the test cannot go on.
    pub fn sql(&self, database: &str, text: &str) -> String {
        database::sql(&self.url(database), text)
    }

    /// Stops it as its administrator would: connections are cut, everything is written out.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop_fast(&mut self) {
        self.end(Process::stop);
    }

    /// Kills all its processes with SIGKILL, as a machine does that runs out of memory.
    ///
    /// # Panics
    /// When they do not end.
    pub fn kill(&mut self) {
        self.end(Process::kill);
    }

    fn end(&mut self, how: impl FnOnce(Process) -> io::Result<()>) {
        if let Some(process) = self.process.take()
            && let Err(error) = how(process)
        {
            panic!("the private PostgreSQL does not end: {error}");
        }
    }

    /// Starts it again on what is in its folder, after `stop_fast` or `kill`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        if self.process.is_none()
            && let Err(error) = self.begin()
        {
            panic!("the private PostgreSQL does not start again: {error}");
        }
    }

    /// Seconds of processor time that its processes have used since it was last started, those
    /// that have ended included.
    pub fn cpu_seconds(&self) -> f64 {
        self.process.as_ref().map_or(0.0, Process::cpu_seconds)
    }
}

/// Whether the server says of itself that it takes connections.
fn ready(file: &Path, id: u32) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines().map(str::trim);
    lines.next() == Some(id.to_string().as_str()) && lines.nth(6) == Some("ready")
}

/// Where `initdb` and `postgres` are: on the path, or where Debian keeps the newest.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    versions.sort();
    places.extend(versions.into_iter().rev().map(|(_, folder)| folder.join("bin")));
    let holds = |folder: &Path| ["initdb", "postgres"].iter().all(|it| folder.join(it).is_file());
    places.into_iter().find(|folder| holds(folder))
}

/// The account to run under, as user and group; `None`: as ourselves.
fn account() -> io::Result<Option<(u32, u32)>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd")?;
    let ids = accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let own = fields.first() == Some(&ACCOUNT);
        own.then(|| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))?
    });
    ids.map(Some).ok_or_else(|| Error::other(format!("there is no account `{ACCOUNT}`")))
}

/// A command that runs under that account.
fn as_account(program: &Path) -> io::Result<Command> {
    let Some((user, group)) = account()? else { return Ok(Command::new(program)) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
    command.arg("--clear-groups").arg(program);
    Ok(command)
}
