//! Backup: the house as it is at one moment, in a folder of its own, while others go on.
//!
//! Comes in   the database file and the folder of contents; a folder that does not exist yet.
//! Goes out   that folder: a house that opens like any other.
//! Never      has the folder's name before everything in it is on the disk: what was cut off is
//!            called `….unfinished`, and is no house.
//!
//! Why VACUUM INTO: one reading transaction, so that writers go on, and a copy without any free
//! page. Contents outside of their rows never change, so they are copied afterwards.

use rusqlite::{Connection, OpenFlags, params};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::file::private;
use super::row::{all, first, run};
use super::{BLOBS, DATABASE};
use crate::blob::{Address, Blobs};
use crate::house::Error;
use crate::limits::DATABASE_WAIT;

/// What the name of a folder ends with until all is in it.
const UNFINISHED: &str = ".unfinished";

/// Files of contents that rows name, each once.
pub(super) const NAMED: &str = "SELECT file FROM versions WHERE file IS NOT NULL
    UNION SELECT file FROM blobs WHERE file IS NOT NULL
    UNION SELECT file FROM first_answers WHERE file IS NOT NULL";

/// A copy on its way: its folder has another name until all is in it.
pub(super) struct Copy {
    folder: PathBuf,
    unfinished: PathBuf,
}

impl Copy {
    /// An empty copy, for a folder that does not exist yet.
    pub(super) fn empty(folder: &Path) -> Result<Copy, Error> {
        if fs::symlink_metadata(folder).is_ok() {
            return Err(Error::Unavailable("the folder of the copy exists already".into()));
        }
        let name = folder.file_name().ok_or_else(|| Error::Unavailable("it has no name".into()))?;
        let mut unfinished = OsString::from(name);
        unfinished.push(UNFINISHED);
        let unfinished = folder.with_file_name(unfinished);
        remove(&unfinished)?;
        let copy = Copy { folder: folder.to_owned(), unfinished };
        Blobs::folder(&copy.contents())?;
        Ok(copy)
    }

    /// Copies the database; the contents that it names elsewhere are to follow.
    pub(super) fn begin(
        database: &Path,
        house: i64,
        folder: &Path,
    ) -> Result<(Copy, Vec<Address>), Error> {
        let copy = Copy::empty(folder)?;
        copy_into(database, &copy.database())?;
        leave_others(&copy.database(), house)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = Connection::open_with_flags(copy.database(), flags)?;
        let files = all(&db, NAMED, [], |row| Ok(row.get(0)?))?;
        drop(db);
        Ok((copy, files))
    }

    /// Where its rows go.
    pub(super) fn database(&self) -> PathBuf {
        self.unfinished.join(DATABASE)
    }

    /// Where its contents go.
    pub(super) fn contents(&self) -> PathBuf {
        self.unfinished.join(BLOBS)
    }

    /// Everything is in it: it becomes durable, and gets its name.
    pub(super) fn finish(self) -> Result<(), Error> {
        File::open(self.database())?.sync_all()?;
        File::open(self.contents())?.sync_all()?;
        File::open(&self.unfinished)?.sync_all()?;
        fs::rename(&self.unfinished, &self.folder)?;
        sync_parent(&self.folder)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What stays behind has no name that anybody takes for a copy.
        let _ = remove(&self.unfinished);
    }
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn copy_into(database: &Path, copy: &Path) -> Result<(), Error> {
    // Created here, so that only its owner can read it.
    drop(private(copy)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(database, flags)?;
    db.busy_timeout(DATABASE_WAIT)?;
    let path = copy.to_str().ok_or_else(|| {
        Error::Unavailable("the path of the copy is not text that SQLite can take".into())
    })?;
    db.execute("VACUUM INTO ?1", [path])?;
    Ok(())
}

/// Takes out the other houses of the file: a copy holds one house and nobody else's anything.
fn leave_others(copy: &Path, house: i64) -> Result<(), Error> {
    let db = Connection::open(copy)?;
    let others = "SELECT count(*) FROM houses WHERE house <> ?1";
    if first(&db, others, [house], |row| Ok(row.get::<_, i64>(0)?))? == Some(0) {
        return Ok(());
    }
    db.execute_batch("PRAGMA journal_mode = OFF; PRAGMA foreign_keys = OFF; BEGIN")?;
    let triggers = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'";
    let triggers: Vec<(String, String)> =
        all(&db, triggers, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (name, _) in &triggers {
        db.execute_batch(&format!("DROP TRIGGER \"{name}\""))?;
    }
    let tables = "SELECT t.name FROM sqlite_schema t
        WHERE t.type = 'table' AND EXISTS
            (SELECT 1 FROM pragma_table_info(t.name) c WHERE c.name = 'house')";
    for table in all(&db, tables, [], |row| Ok(row.get::<_, String>(0)?))? {
        run(&db, &format!("DELETE FROM \"{table}\" WHERE house <> ?1"), params![house])?;
    }
    for (_, trigger) in &triggers {
        db.execute_batch(trigger)?;
    }
    db.execute_batch("COMMIT")?;
    drop(db);
    // Once more, so that what was taken out is not left in free pages.
    let first: PathBuf = copy.with_extension("all");
    fs::rename(copy, &first)?;
    copy_into(&first, copy)?;
    Ok(fs::remove_file(first)?)
}

fn sync_parent(folder: &Path) -> Result<(), Error> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?)
}
