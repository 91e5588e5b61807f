//! Storage: a private S3 storage.
//!
//! Comes in   moto (a Python program) among the partner programs, where they are installed.
//! Goes out   its address, with an empty bucket.
//! Never      keeps anything when it is killed: moto holds its objects in memory.

use std::fs;
use std::io::{self, Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{LOG, Process};

/// The variable that names the folder of the partner programs' Python environment.
pub const PARTNERS: &str = "HANDOVER_PARTNERS";

/// The bucket that there is.
pub const BUCKET: &str = "house";

/// A storage of our own. It ends when this is dropped, and when its process dies in any way.
#[derive(Debug)]
pub struct Storage {
    program: PathBuf,
    process: Option<Process>,
    address: SocketAddr,
    folder: TempDir,
}

impl Storage {
    /// Starts one on a free port. `None`, after a line that says why, where it cannot be. It takes
    /// any credentials.
    pub fn start() -> Option<Storage> {
        let program = std::env::var_os(PARTNERS).map(|folder| Path::new(&folder).join("bin"));
        let program = program.map(|folder| folder.join("moto_server"));
        let Some(program) = program.filter(|program| program.is_file()) else {
            eprintln!("skipped: {PARTNERS} names no folder with moto in it");
            return None;
        };
        match Storage::make(program) {
            Ok(storage) => Some(storage),
            Err(error) => {
                eprintln!("skipped: a private S3 storage does not start: {error}");
                None
            }
        }
    }

    fn make(program: PathBuf) -> io::Result<Storage> {
        let folder = tempfile::Builder::new().prefix("handover-s3-").tempdir_in("/tmp")?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut storage = Storage { program, process: None, address, folder };
        storage.begin()?;
        Ok(storage)
    }

    fn begin(&mut self) -> io::Result<()> {
        let log = self.folder.path().join(LOG);
        let _ = fs::remove_file(&log);
        let mut command = Command::new(&self.program);
        command.args(["-H", "127.0.0.1", "-p", &self.address.port().to_string()]);
        let up = |_| address(&log).is_some_and(|address| TcpStream::connect(address).is_ok());
        // A shell lets its children ignore the signals that a person would send.
        self.process = Some(Process::start(&command, "KILL", self.folder.path(), up)?);
        self.address = address(&log).ok_or_else(|| Error::other("it does not say where it is"))?;
        self.make_bucket()
    }

    fn make_bucket(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        let asked = format!("PUT /{BUCKET} HTTP/1.1\r\nHost: {}\r\n", self.address);
        stream.write_all(asked.as_bytes())?;
        stream.write_all(b"Content-Length: 0\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.starts_with("HTTP/1.1 200") {
            true => Ok(()),
            false => Err(Error::other("it makes no bucket")),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Kills it; what it held is gone.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take()
            && let Err(error) = process.kill()
        {
            panic!("the private S3 storage does not end: {error}");
        }
    }

    /// Starts it again on the same port, with an empty bucket, after `kill`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        if self.process.is_none()
            && let Err(error) = self.begin()
        {
            panic!("the private S3 storage does not start again: {error}");
        }
    }
}

/// Where the storage says that it listens.
fn address(log: &Path) -> Option<SocketAddr> {
    let text = fs::read_to_string(log).ok()?;
    let address = text.split("http://").nth(1)?;
    address.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).next()?.parse().ok()
}
