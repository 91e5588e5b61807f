//! Storage: a private S3 storage.
//!
//! Comes in   moto (a Python program) among the partner programs, where they are installed.
//! Goes out   its address, with an empty bucket.
//! Never      keeps anything when it is killed: moto holds its objects in memory.

use std::fs;
use std::io::{self, Error};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{LOG, Process};

/// The variable that names the folder of the partner programs' Python environment.
pub const PARTNERS: &str = "HANDOVER_PARTNERS";

/// The bucket that there is.
pub const BUCKET: &str = "house";

const PROGRAM: &str = "moto_server";
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// Asks for the bucket, whoever has signed the certificate.
const MAKE: &str = "import ssl, sys, urllib.request as net
net.urlopen(net.Request(sys.argv[1], method='PUT'), context=ssl._create_unverified_context())";

/// A storage of our own. It ends when this is dropped, and when its process dies in any way.
#[derive(Debug)]
pub struct Storage {
    programs: PathBuf,
    tls: bool,
    process: Option<Process>,
    address: SocketAddr,
    folder: TempDir,
}

impl Storage {
    /// Starts one on a free port. `None`, after a line that says why, where it cannot be. It takes
    /// any credentials.
    pub fn start() -> Option<Storage> {
        Storage::start_with(None)
    }

    /// Starts one that speaks TLS with this certificate and key (PEM).
    pub fn start_with_tls(certificate: &str, key: &str) -> Option<Storage> {
        Storage::start_with(Some((certificate, key)))
    }

    fn start_with(tls: Option<(&str, &str)>) -> Option<Storage> {
        let programs = std::env::var_os(PARTNERS).map(|folder| Path::new(&folder).join("bin"));
        let Some(programs) = programs.filter(|folder| folder.join(PROGRAM).is_file()) else {
            eprintln!("skipped: {PARTNERS} names no folder with moto in it");
            return None;
        };
        match Storage::make(programs, tls) {
            Ok(storage) => Some(storage),
            Err(error) => {
                eprintln!("skipped: a private S3 storage does not start: {error}");
                None
            }
        }
    }

    fn make(programs: PathBuf, tls: Option<(&str, &str)>) -> io::Result<Storage> {
        let folder = tempfile::Builder::new().prefix("handover-s3-").tempdir_in("/tmp")?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        if let Some((certificate, key)) = tls {
            fs::write(folder.path().join(CERTIFICATE), certificate)?;
            fs::write(folder.path().join(KEY), key)?;
        }
        let tls = tls.is_some();
        let mut storage = Storage { programs, tls, process: None, address, folder };
        storage.begin()?;
        Ok(storage)
    }

    fn begin(&mut self) -> io::Result<()> {
        let log = self.folder.path().join(LOG);
        let _ = fs::remove_file(&log);
        let mut command = Command::new(self.programs.join(PROGRAM));
        command.args(["-H", "127.0.0.1", "-p", &self.address.port().to_string()]);
        if self.tls {
            command.arg("-c").arg(self.folder.path().join(CERTIFICATE));
            command.arg("-k").arg(self.folder.path().join(KEY));
        }
        let up = |_| address(&log).is_some_and(|address| TcpStream::connect(address).is_ok());
        // A shell lets its children ignore the signals that a person would send.
        self.process = Some(Process::start(&command, "KILL", self.folder.path(), up)?);
        self.address = address(&log).ok_or_else(|| Error::other("it does not say where it is"))?;
        let mut make = Command::new(self.programs.join("python"));
        make.args(["-c", MAKE]).arg(format!("{}/{BUCKET}", self.url()));
        match make.stdin(Stdio::null()).output()?.status.success() {
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
        format!("http{}://{}", if self.tls { "s" } else { "" }, self.address)
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
    let address = text.split("://").nth(1)?;
    address.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).next()?.parse().ok()
}
