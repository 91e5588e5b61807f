//! Pool: connections to the server, each set up and checked before it is used.
//!
//! Comes in   where the server is.
//! Goes out   connections; `Busy` or `Unavailable` where none can be had.
//! Never      sends a password or a row over a network in the clear, and never logs either.
//!
//! Why settings are set and asked for: a server whose administrator, role or database says
//! `synchronous_commit = off` would answer before its disk has anything.

use deadpool_postgres::{Client, Connect, Manager, ManagerConfig, PoolError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::find::SETTINGS;
use super::row::sqlstate;
use crate::blob::Blobs;
use crate::house::Error;
use crate::limits::*;

/// Where a database is.
#[derive(Clone, Default)]
pub struct PostgresPlace {
    /// Connection string of libpq: `postgresql://user@host/database` or `host=… dbname=…`.
    pub url: String,
    /// The password, where it does not stand in the connection string.
    pub password: Option<String>,
    /// Certificates (PEM) of those who may vouch for the server. Without them only a Unix socket
    /// or this machine's own address is connected to.
    pub roots: Option<Vec<u8>>,
    /// Where large contents lie, for all processes of the database; none: in their rows.
    pub blobs: Option<Blobs>,
}

impl PostgresPlace {
    /// Whether a connection string holds a password. One that cannot be read is refused when it is
    /// used.
    pub fn has_password(url: &str) -> bool {
        config_of(url).is_ok_and(|config| config.get_password().is_some())
    }
}

/// A connection string, as it is read here.
fn config_of(url: &str) -> Result<Config, tokio_postgres::Error> {
    // The names of a stricter check, which is the only one there is here.
    let url = url.replace("sslmode=verify-full", "sslmode=require");
    url.replace("sslmode=verify-ca", "sslmode=require").parse()
}

impl fmt::Debug for PostgresPlace {
    /// Neither the password nor the connection string, which may hold one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresPlace")
    }
}

/// Connections for readings and for small writes; and those of writers.
pub(super) struct Pool {
    shared: deadpool_postgres::Pool,
    own: deadpool_postgres::Pool,
    waiting: Semaphore,
}

impl Pool {
    /// A pool; connections are opened when they are needed.
    ///
    /// # Errors
    /// `Unavailable` when the place cannot be read, or is on another machine without TLS.
    pub(super) fn new(place: &PostgresPlace) -> Result<Pool, Error> {
        Pool::of(place, POOL_CONNECTIONS_MAX)
    }

    /// A pool of one connection: all who use it see what a transaction there has
    /// written.
    ///
    /// # Errors
    /// As of `new`.
    pub(super) fn of_one(place: &PostgresPlace) -> Result<Pool, Error> {
        Pool::of(place, 1)
    }

    fn of(place: &PostgresPlace, shared: usize) -> Result<Pool, Error> {
        let door = Door::to(place)?;
        let connections = |most| {
            let manager =
                Manager::from_connect(door.config.clone(), door.clone(), ManagerConfig::default());
            deadpool_postgres::Pool::builder(manager)
                .max_size(most)
                .wait_timeout(Some(ANSWER_WAIT))
                .create_timeout(Some(CONNECT_WAIT))
                .runtime(deadpool_postgres::Runtime::Tokio1)
                .build()
                .map_err(|error| Error::Unavailable(Box::new(error)))
        };
        Ok(Pool {
            shared: connections(shared)?,
            own: connections(HOUSES_MAX)?,
            waiting: Semaphore::new(READS_WAITING_MAX),
        })
    }

    /// A connection for a short while.
    pub(super) async fn get(&self) -> Result<Client, Error> {
        let _waiting = self.waiting.try_acquire().map_err(|_| Error::Busy)?;
        self.shared.get().await.map_err(unavailable)
    }

    /// A new connection for a writer, to be dropped by `Client::take`.
    pub(super) async fn open(&self) -> Result<Client, Error> {
        self.own.get().await.map_err(unavailable)
    }
}

fn unavailable(error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) => error.into(),
        PoolError::Timeout(_) => Error::Unavailable("no connection to PostgreSQL in time".into()),
        error => Error::Unavailable(error.to_string().into()),
    }
}

/// How a connection is made.
#[derive(Clone)]
struct Door {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl Door {
    fn to(place: &PostgresPlace) -> Result<Door, Error> {
        let unfit = |what: &'static str| Error::Unavailable(what.into());
        let parsed = config_of(&place.url);
        let mut config = parsed.map_err(|_| unfit("the connection string cannot be read"))?;
        if let Some(password) = &place.password {
            config.password(password);
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host_path("/var/run/postgresql");
        }
        let tls = place.roots.as_deref().map(trusting).transpose()?;
        if !is_here(&config) {
            if tls.is_none() || config.get_ssl_mode() == SslMode::Disable {
                return Err(unfit(
                    "a database on another machine is connected to with TLS only: name the \
                     certificates that vouch for it",
                ));
            }
            config.ssl_mode(SslMode::Require);
        }
        config
            .application_name("handover")
            .connect_timeout(CONNECT_WAIT)
            .tcp_user_timeout(SILENCE_MAX)
            .keepalives_idle(SILENCE_MAX)
            .keepalives_interval(SILENCE_MAX / 3)
            .keepalives_retries(3)
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Door { config, tls })
    }

    async fn open(
        &self,
    ) -> Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error> {
        let (client, task) = match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                (client, tokio::spawn(attend(connection)))
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                (client, tokio::spawn(attend(connection)))
            }
        };
        match set_up(&client).await {
            Ok(()) => Ok((client, task)),
            Err(error) => {
                task.abort();
                Err(error)
            }
        }
    }
}

impl Connect for Door {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<
        Box<
            dyn Future<
                    Output = Result<
                        (tokio_postgres::Client, JoinHandle<()>),
                        tokio_postgres::Error,
                    >,
                > + Send
                + '_,
        >,
    > {
        Box::pin(self.open())
    }
}

/// Carries what goes over a connection until it ends.
async fn attend(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        let error = Error::from(error);
        tracing::warn!(why = sqlstate(&error), "a connection to PostgreSQL has ended");
    }
}

/// A process that is stopped in the middle of a transaction holds the house's row: the server ends
/// it after `idle_in_transaction_session_timeout`, and its late writes with it.
async fn set_up(client: &tokio_postgres::Client) -> Result<(), tokio_postgres::Error> {
    let settings = format!(
        "SELECT set_config('synchronous_commit', 'on', false)
            WHERE current_setting('synchronous_commit') <> 'remote_apply';
         SET default_transaction_isolation = 'read committed';
         {SETTINGS}
         SET idle_in_transaction_session_timeout = {};
         SET lock_timeout = {}",
        IDLE_IN_TRANSACTION_MAX.as_millis(),
        LOCK_WAIT.as_millis()
    );
    client.batch_execute(&settings).await?;
    // Refuses by a division by zero: an error of this type cannot be made here.
    let verify = "SELECT 1 / (current_setting('synchronous_commit') IN ('on', 'remote_apply')
            AND current_setting('server_encoding') = 'UTF8')::int,
        current_setting('fsync')";
    let row = client.query_one(verify, &[]).await?;
    if row.try_get::<_, &str>(1)? != "on" {
        tracing::warn!("the database server runs with fsync = off: a power cut loses what it took");
    }
    Ok(())
}

/// Whether all hosts are this machine.
fn is_here(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses.iter().all(|address| address.is_loopback());
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) if name == "localhost" => true,
        Host::Tcp(name) => {
            name.parse::<core::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(path) => *path != PathBuf::new(),
    })
}

fn trusting(pem: &[u8]) -> Result<MakeRustlsConnect, Error> {
    let unfit =
        || Error::Unavailable("the certificates that vouch for the database are unfit".into());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| unfit())?).map_err(|_| unfit())?;
    }
    if roots.is_empty() {
        return Err(unfit());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| unfit())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
