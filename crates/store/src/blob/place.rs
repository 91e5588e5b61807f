//! Place: the kinds of places there are, as one.
//!
//! Comes in   files, and what is to become of them.
//! Goes out   what the folder or the storage answers.
//! Never      waits for a disk on a thread that serves others.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use object_store::ObjectMeta;
use std::fmt;
use std::fs::ReadDir;
use std::sync::Arc;

use super::folder::Folder;
use super::s3::{self, S3};
use super::{Address, apart};
use crate::house::Error;

/// A place.
#[derive(Clone)]
pub(super) enum Place {
    /// A folder.
    Folder(Arc<Folder>),
    /// A bucket.
    S3(Arc<S3>),
    /// None: contents of any size lie in their rows.
    Rows,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Folder(folder) => write!(f, "{}", folder.path().display()),
            Place::S3(s3) => write!(f, "{s3}"),
            Place::Rows => f.write_str("rows"),
        }
    }
}

impl Place {
    /// Writes files; `again` those that are there already.
    pub(super) async fn write(
        &self,
        files: Vec<(Address, Bytes)>,
        again: bool,
    ) -> Result<(), Error> {
        match self {
            Place::Folder(folder) => {
                let folder = Arc::clone(folder);
                let write = move |(file, bytes): &(_, Bytes)| folder.write(file, bytes, again);
                apart(true, move || files.iter().try_for_each(write)).await?
            }
            Place::S3(s3) => s3.write(files).await,
            Place::Rows => Err(Error::Unavailable("there is no place for files".into())),
        }
    }

    /// Makes the names of written files durable.
    pub(super) async fn settle(&self) -> Result<(), Error> {
        match self {
            Place::Folder(folder) => {
                let folder = Arc::clone(folder);
                apart(true, move || folder.settle()).await?
            }
            // What was answered is durable.
            Place::S3(_) | Place::Rows => Ok(()),
        }
    }

    /// The bytes of a file as they are stored; `None`: there is none.
    pub(super) async fn read(&self, file: &Address) -> Result<Option<Bytes>, Error> {
        match self {
            Place::Folder(folder) => {
                let (folder, file) = (Arc::clone(folder), *file);
                apart(true, move || folder.read(&file)).await?
            }
            Place::S3(s3) => s3.read(file).await,
            Place::Rows => Ok(None),
        }
    }

    /// Removes files that were last written before then; how many.
    pub(super) async fn remove(
        &self,
        files: Vec<Address>,
        before: Option<Timestamp>,
    ) -> Result<u64, Error> {
        match self {
            Place::Folder(folder) => {
                let folder = Arc::clone(folder);
                apart(true, move || folder.remove(&files, before)).await?
            }
            Place::S3(s3) => s3.remove(&files, before).await,
            Place::Rows => Ok(0),
        }
    }

    /// Every file of a folder; of a storage nobody asks for them.
    pub(super) async fn files(&self) -> Result<Vec<Address>, Error> {
        let Place::Folder(folder) = self else { return Ok(Vec::new()) };
        let folder = Arc::clone(folder);
        apart(true, move || folder.files()).await?
    }

    /// Begins to list it.
    pub(super) async fn list(&self) -> Result<Listing, Error> {
        match self {
            Place::Folder(folder) => {
                let listed = Arc::clone(folder);
                Ok(match apart(true, move || listed.list()).await?? {
                    Some(files) => Listing::Folder(Arc::clone(folder), files),
                    None => Listing::Over,
                })
            }
            Place::S3(s3) => Ok(Listing::S3(s3.list())),
            Place::Rows => Ok(Listing::Over),
        }
    }
}

/// What is left of a listing.
pub(super) enum Listing {
    /// Of a folder.
    Folder(Arc<Folder>, ReadDir),
    /// Of a bucket.
    S3(BoxStream<'static, object_store::Result<ObjectMeta>>),
    /// Nothing.
    Over,
}

impl Listing {
    /// The next files that were last written before then, at most so many, and how many
    /// unfinished ones of that age were removed on the way; `None`: there are no more.
    pub(super) async fn next_old(
        &mut self,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Option<(Vec<Address>, u64)>, Error> {
        let (rest, files, unfinished) = match std::mem::replace(self, Listing::Over) {
            Listing::Folder(folder, mut list) => {
                let next = move || {
                    let found = folder.next_old(&mut list, before, limit);
                    found.map(|(files, gone)| (Listing::Folder(folder, list), files, gone))
                };
                apart(true, next).await??
            }
            Listing::S3(mut list) => {
                let files = s3::next_old(&mut list, before, limit).await?;
                (Listing::S3(list), files, 0)
            }
            Listing::Over => return Ok(None),
        };
        if files.len() == limit {
            *self = rest;
        }
        Ok(Some((files, unfinished)))
    }

    /// Whether it begins.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        match self {
            Listing::S3(list) => list.next().await.transpose().map(|_| ()).map_err(s3::refused),
            Listing::Folder(..) | Listing::Over => Ok(()),
        }
    }
}
