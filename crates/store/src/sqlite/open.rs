//! Open: a house in its folder, to write or to read only.
//!
//! Comes in   the folder, the house's name, another place for large contents.
//! Goes out   the house, its tables as this version knows them.
//! Never      opens what another process holds, nor what a newer version wrote.

use exchange::HouseId;
use rusqlite::Connection;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Mutex;

use super::file::{admit, find, part, part_drawn, prepare, private};
use super::log::Log;
use super::reader::Readers;
use super::writer::Writer;
use super::{
    BLOBS, DATABASE, JOURNAL, LOCK, PART, Shared, SqliteHouse, content, row, schema, work,
};
use crate::blob::Blobs;
use crate::house::Error;

impl SqliteHouse {
    /// Opens a house in a folder; creates folder, file and house where they do not exist yet.
    ///
    /// # Errors
    /// `Locked` while another process (or another part of this one) holds the folder;
    /// `Unavailable` when the disk refuses; `TooNew` when a newer version wrote the file; `Damaged`
    /// when the file is not a whole database.
    pub fn open(folder: &Path, house: &HouseId) -> Result<SqliteHouse, Error> {
        SqliteHouse::open_with(folder, house, None)
    }

    /// `open`, with large contents in another place than `FOLDER/blobs`.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with(
        folder: &Path,
        house: &HouseId,
        blobs: Option<Blobs>,
    ) -> Result<SqliteHouse, Error> {
        std::fs::create_dir_all(folder)?;
        let lock = private(&folder.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let file = folder.join(DATABASE);
        // Created here, so that only its owner can read it; the log inherits that.
        let handle = private(&file)?;
        let mut db = Connection::open(&file)?;
        prepare(&db)?;
        schema::bring_up(&db)?;
        let (id, blob_key) = admit(&db, house)?;
        work::end_leases(&db)?;
        let blobs = match blobs {
            Some(blobs) => blobs.of_database(&part_drawn(folder)?)?.after(ours(folder)),
            None => Blobs::folder(&folder.join(BLOBS))?,
        };
        // The lock keeps everybody else away; from its own folder only: of another place nobody
        // can tell here who else was given it.
        let blobs = blobs.alone();
        ours(folder).sweep_now(|files| content::named(&db, files))?;
        File::open(folder)?.sync_all()?;
        let log = Log::watch(&mut db, file.clone())?;
        let shared = Shared {
            writer: Some(Writer::start(db, log)?),
            readers: Arc::new(Readers::new(file)),
            folder: folder.to_owned(),
            blobs,
            keeping: Mutex::default(),
            file: Some(Arc::new(handle)),
            _lock: Some(lock),
        };
        Ok(SqliteHouse { shared: Arc::new(shared), house: id, blob_key })
    }

    /// Which schema step the house in this folder has taken, and how many this program knows;
    /// `None`: there is no house yet. Nothing is changed.
    ///
    /// # Errors
    /// `TooNew`, `Damaged`, and `Unavailable` when the file cannot be read.
    pub fn schema(folder: &Path) -> Result<Option<(u64, u64)>, Error> {
        let file = folder.join(DATABASE);
        match std::fs::metadata(&file) {
            Ok(found) if found.len() > 0 => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // Only a file that was never finished has a journal beside it: a house has a log.
        if folder.join(JOURNAL).exists() {
            return Ok(None);
        }
        let found = Readers::new(file).read_now(schema::check)?;
        Ok((found > 0).then_some((found as u64, schema::KNOWN)))
    }

    /// Opens a house, or a copy of one, for reading only: whoever holds it is not disturbed, and
    /// every writing method answers `Unavailable`.
    ///
    /// # Errors
    /// `Unavailable` when there is no such file; `TooNew` when a newer version wrote it; `Locked` while
    /// another process makes the house; `Damaged` when the file does not hold it.
    pub fn open_to_read(folder: &Path, house: &HouseId) -> Result<SqliteHouse, Error> {
        SqliteHouse::open_to_read_with(folder, house, None)
    }

    /// `open_to_read`, with large contents in another place than `FOLDER/blobs`.
    ///
    /// # Errors
    /// As `open_to_read`.
    pub fn open_to_read_with(
        folder: &Path,
        house: &HouseId,
        blobs: Option<Blobs>,
    ) -> Result<SqliteHouse, Error> {
        let readers = Readers::new(folder.join(DATABASE));
        let found = readers.read_now(|db| {
            if schema::check(db)? == 0 {
                return Ok(None);
            }
            find(db, house)
        })?;
        let (id, blob_key) = found.ok_or_else(|| missing(folder, &readers))?;
        let part = blobs.as_ref().map_or(Ok(None), |_| part(folder))?;
        let blobs = match blobs.zip(part) {
            Some((blobs, part)) => blobs.of_database(&part)?.after(ours(folder)),
            // No other place, or one where it has kept nothing yet.
            None => ours(folder),
        };
        let shared = Shared {
            writer: None,
            readers: Arc::new(readers),
            folder: folder.to_owned(),
            blobs,
            keeping: Mutex::default(),
            file: None,
            _lock: None,
        };
        Ok(SqliteHouse { shared: Arc::new(shared), house: id, blob_key })
    }

    /// The folder is a copy of another: what it keeps elsewhere is to go into a part of its own.
    ///
    /// # Errors
    /// `Unavailable` when the disk refuses.
    pub fn part_from_original(folder: &Path) -> Result<(), Error> {
        match std::fs::remove_file(folder.join(PART)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Why a file does not hold a house: it is being made, or it is another file.
fn missing(folder: &Path, readers: &Readers) -> Error {
    let none_yet = readers.read_now(|db| {
        let any = "SELECT 1 FROM houses LIMIT 1";
        Ok(schema::check(db)? == 0 || row::first(db, any, [], |_| Ok(()))?.is_none())
    });
    let lock = File::open(folder.join(LOCK)).map(|lock| lock.try_lock());
    match (none_yet, lock) {
        (Ok(true), Ok(Err(TryLockError::WouldBlock))) => Error::Locked,
        _ => Error::Damaged("the file does not hold this house".to_owned()),
    }
}

/// Where contents lie that were kept in no other place.
fn ours(folder: &Path) -> Blobs {
    Blobs::folder_as_it_is(&folder.join(BLOBS))
}
