//! S3: contents as objects of an S3-compatible storage.
//!
//! Comes in   addresses and bytes.
//! Goes out   the same bytes; which objects are old.
//! Never      accepts what the storage has not answered for, and never waits for it without end.
//!            Never says a secret in words; never speaks plain HTTP beyond this machine.
//!
//! Why an object is put again even where it is there: putting makes it young, and the same
//! address holds the same content, so that nothing is lost by it.

use bytes::Bytes;
use exchange::Digest;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload,
    RetryConfig, WriteMultipart,
};
use std::fmt;
use std::sync::Arc;

use super::Address;
use crate::house::Error;
use crate::limits::*;

/// Where an S3-compatible storage is, and how one signs in there.
#[derive(Debug, Clone)]
pub struct S3Place {
    /// Its URL; `None`: Amazon's own in the region.
    pub endpoint: Option<String>,
    /// The region signatures name.
    pub region: String,
    /// The bucket, which must exist.
    pub bucket: String,
    /// What names of objects begin with; may be empty.
    pub prefix: String,
    /// Who signs in.
    pub credentials: S3Credentials,
    /// PEM of the authorities its certificate comes from; `None`: those of the system.
    pub authority: Option<String>,
}

/// An access key. Its secret is never in words.
#[derive(Clone)]
pub struct S3Credentials {
    id: String,
    secret: String,
    token: Option<String>,
}

impl S3Credentials {
    /// An access key's id and secret, and the session token where it is a temporary one.
    pub fn new(id: String, secret: String, token: Option<String>) -> S3Credentials {
        S3Credentials { id, secret, token }
    }
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Credentials({}, [secret])", self.id)
    }
}

/// The storage, seen from within a bucket and a prefix.
#[derive(Clone)]
pub(super) struct S3 {
    storage: Arc<AmazonS3>,
    prefix: Path,
    name: String,
}

impl fmt::Display for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.prefix)
    }
}

impl S3 {
    /// Prepares to call it.
    pub(super) fn new(place: S3Place) -> Result<S3, Error> {
        let S3Credentials { id, secret, token } = place.credentials;
        let prefix = Path::parse(&place.prefix).map_err(unusable)?;
        let mut builder = AmazonS3Builder::new()
            .with_region(place.region)
            .with_bucket_name(&place.bucket)
            .with_access_key_id(id)
            .with_secret_access_key(secret)
            .with_retry(retries());
        if let Some(token) = token {
            builder = builder.with_token(token);
        }
        let mut options = ClientOptions::new()
            .with_connect_timeout(S3_CONNECT_WAIT)
            .with_timeout(S3_ANSWER_WAIT)
            // No proxy of the environment: what a house calls is in its configuration.
            .with_proxy_url("http://127.0.0.1:9")
            .with_proxy_excludes("*,0.0.0.0/0,::/0");
        if let Some(endpoint) = &place.endpoint {
            options = options.with_allow_http(is_plain(endpoint)?);
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(authority) = &place.authority {
            let found = Certificate::from_pem_bundle(authority.as_bytes()).map_err(unusable)?;
            if found.is_empty() {
                return Err(unusable("the authority of the storage is not PEM"));
            }
            options = options.with_no_system_certificates(true);
            options = found.into_iter().fold(options, ClientOptions::with_root_certificate);
        }
        let storage = builder.with_client_options(options).build().map_err(unusable)?;
        let endpoint = place.endpoint.as_deref().unwrap_or("s3:/");
        let name = format!("{}/{}", endpoint.trim_end_matches('/'), place.bucket);
        Ok(S3 { storage: Arc::new(storage), prefix, name })
    }

    /// A part of it.
    pub(super) fn within(&self, name: &str) -> S3 {
        S3 { prefix: self.prefix.clone().join(name), ..self.clone() }
    }

    /// Puts objects, some at a time; each is durable once it is answered.
    pub(super) async fn write(&self, files: Vec<(Address, Bytes)>) -> Result<(), Error> {
        let put = |(file, bytes)| async move { self.put(&file, bytes).await };
        let puts = futures_util::stream::iter(files.into_iter().map(put));
        puts.buffer_unordered(S3_CALLS_AT_ONCE).try_collect().await
    }

    async fn put(&self, file: &Address, bytes: Bytes) -> Result<(), Error> {
        let place = self.place(file);
        if bytes.len() <= S3_PART_BYTES {
            self.storage.put(&place, PutPayload::from_bytes(bytes)).await.map_err(refused)?;
            return Ok(());
        }
        let upload = self.storage.put_multipart(&place).await.map_err(refused)?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, S3_PART_BYTES);
        let mut rest = bytes;
        while !rest.is_empty() {
            // A part that failed is told by `finish`, which also gives up what was sent.
            if parts.wait_for_capacity(S3_CALLS_AT_ONCE).await.is_err() {
                break;
            }
            parts.put(rest.split_to(rest.len().min(S3_PART_BYTES)));
        }
        match rest.is_empty() {
            true => parts.finish().await.map(|_| ()).map_err(refused),
            false => {
                let _ = parts.abort().await;
                Err(Error::Unavailable("a part of an upload was refused".into()))
            }
        }
    }

    /// The bytes of an object; `None`: there is none.
    pub(super) async fn read(&self, file: &Address) -> Result<Option<Bytes>, Error> {
        match self.storage.get(&self.place(file)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            found => Ok(Some(found.map_err(refused)?.bytes().await.map_err(refused)?)),
        }
    }

    /// Removes objects that were last written before then; how many.
    pub(super) async fn remove(
        &self,
        files: &[Address],
        before: Option<Timestamp>,
    ) -> Result<u64, Error> {
        let mut removed = 0;
        for file in files {
            let place = self.place(file);
            let old = match before {
                None => true,
                // Looked at once more: it may have become young since it was listed.
                Some(_) => match self.storage.head(&place).await {
                    Err(object_store::Error::NotFound { .. }) => false,
                    found => is_old(&found.map_err(refused)?, before),
                },
            };
            if old {
                match self.storage.delete(&place).await {
                    Err(object_store::Error::NotFound { .. }) => {}
                    deleted => deleted.map_err(refused)?,
                }
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Begins to list the objects.
    pub(super) fn list(&self) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.storage.list(Some(&self.prefix))
    }

    fn place(&self, file: &Address) -> Path {
        self.prefix.clone().join(Digest(*file).to_string())
    }
}

/// The next objects that were last written before then, at most so many; fewer: the last.
pub(super) async fn next_old(
    listing: &mut BoxStream<'static, object_store::Result<ObjectMeta>>,
    before: Option<Timestamp>,
    limit: usize,
) -> Result<Vec<Address>, Error> {
    let mut files = Vec::new();
    while files.len() < limit
        && let Some(found) = listing.next().await
    {
        let found = found.map_err(refused)?;
        let name = found.location.filename().and_then(|name| name.parse::<Digest>().ok());
        if let Some(address) = name.filter(|_| is_old(&found, before)) {
            files.push(address.0);
        }
    }
    Ok(files)
}

fn is_old(found: &ObjectMeta, before: Option<Timestamp>) -> bool {
    before.is_none_or(|before| found.last_modified.timestamp_micros() < before.as_microsecond())
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: S3_BACKOFF_MAX, ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: S3_RETRIES_MAX, retry_timeout: S3_RETRY_WAIT }
}

/// Whether an endpoint speaks plain HTTP, which it may on this machine only.
fn is_plain(endpoint: &str) -> Result<bool, Error> {
    if endpoint.starts_with("https://") {
        return Ok(false);
    }
    let wrong = || unusable("an endpoint is https://…, or http:// on this machine");
    let address = endpoint.strip_prefix("http://").ok_or_else(wrong)?;
    let address = address.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => address.split(':').next().unwrap_or_default(),
    };
    let here = host == "localhost"
        || host.parse::<core::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    here.then_some(true).ok_or_else(wrong)
}

fn unusable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Unavailable(why.into())
}

/// What the storage says no with.
pub(super) fn refused(error: object_store::Error) -> Error {
    Error::Unavailable(Box::new(error))
}
