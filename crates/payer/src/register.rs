//! Register: the plan's members, read from a file that people keep.
//!
//! Comes in   the path of a CSV file.
//! Goes out   the members as the file holds them now.
//! Never      an old register in place of a file that can no longer be read: it fails closed.

use crate::limits::MEMBER_FILE_BYTES_MAX;
use exchange::member::Members;
use exchange::{Code, Issue};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The member file, and what it held when it was last read.
pub struct Register {
    path: PathBuf,
    read: Mutex<Option<(Stamp, Arc<Members>)>>,
}

/// What changes when a file is written.
type Stamp = (Option<SystemTime>, u64);

impl Register {
    /// A register in this file; nothing is read yet.
    pub fn new(path: &Path) -> Register {
        Register { path: path.to_owned(), read: Mutex::new(None) }
    }

    /// The members as the file holds them now.
    pub fn members(&self) -> Result<Arc<Members>, Issue> {
        let unreadable = |detail: &str| Issue::new(Code::ConfigInvalid, detail).at("members");
        let meta =
            fs::metadata(&self.path).map_err(|_| unreadable("the member file cannot be read"))?;
        if meta.len() > MEMBER_FILE_BYTES_MAX {
            return Err(unreadable("the member file is too large"));
        }
        let stamp = (meta.modified().ok(), meta.len());
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, members)) = &*read
            && *known == stamp
        {
            return Ok(Arc::clone(members));
        }
        let text = fs::read_to_string(&self.path)
            .map_err(|_| unreadable("the member file cannot be read"))?;
        let members = Arc::new(Members::read(&text)?);
        *read = Some((stamp, Arc::clone(&members)));
        Ok(members)
    }
}
