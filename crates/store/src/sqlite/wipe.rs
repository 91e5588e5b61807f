//! Wipe: no byte of what was removed is left in the database's own files.
//!
//! Comes in   the database file, with its write-ahead log brought in and cut to nothing.
//! Goes out   the same file, with zeros wherever SQLite keeps nothing.
//! Never      touches a byte that SQLite would read: a crash in the middle leaves a whole database.
//!
//! Why `secure_delete` is not enough: it clears a cell that is removed, but when cells move to
//! another page to even out a tree, copies of them stay behind in the gap of the page they left.
//! Why not VACUUM: it writes everything anew, and keeps every writer waiting meanwhile; this reads
//! the pages of the trees once.
//!
//! The format: <https://www.sqlite.org/fileformat.html>, sections 1.3 (header), 1.5 (free pages)
//! and 1.6 (pages of a tree).

use rusqlite::Connection;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;

use super::row::{all, first, run};
use crate::house::Error;
use crate::limits::{DATABASE_WAIT, SCRUB_WAIT};

/// Where page 1 has its tree's header, behind the file's own.
const FILE_HEADER: usize = 100;

/// Leaves no removed byte behind; `false`: somebody still reads from the write-ahead log. Nothing
/// is done where nothing was purged since the last time.
pub(super) fn scrub(db: &Connection, file: &File) -> Result<bool, Error> {
    let purged = "SELECT 1 FROM houses WHERE unscrubbed <> 0";
    if first(db, purged, [], |_| Ok(()))?.is_none() {
        return Ok(true);
    }
    db.busy_timeout(SCRUB_WAIT)?;
    let empty = empty_log(db);
    db.busy_timeout(DATABASE_WAIT)?;
    if !empty? {
        return Ok(false);
    }
    clear(db, file)?;
    run(db, "UPDATE houses SET unscrubbed = 0 WHERE unscrubbed <> 0", [])?;
    Ok(true)
}

/// Brings the write-ahead log into the database and cuts it to nothing; `false`: somebody still
/// reads from it.
fn empty_log(db: &Connection) -> Result<bool, Error> {
    let busy = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))?;
    Ok(busy == 0)
}

/// Clears what no tree uses. Nobody may write meanwhile, and the log must be empty. `file` is a
/// handle of its own that stays open as long as the connections do: closing one takes SQLite's
/// locks away.
pub(super) fn clear(db: &Connection, file: &File) -> Result<(), Error> {
    // Pages that the connection remembers still hold what is about to be cleared.
    db.execute_batch("PRAGMA shrink_memory")?;
    let roots = "SELECT rootpage FROM sqlite_schema WHERE rootpage > 0";
    let roots = all(db, roots, [], |row| Ok(row.get::<_, u32>(0)?))?;
    let mut pages = Pages::of(file)?;
    pages.clear_free()?;
    pages.clear_trees(roots)?;
    file.sync_data()?;
    Ok(())
}

struct Pages<'f> {
    file: &'f File,
    size: usize,
    usable: usize,
    seen: Vec<bool>,
}

fn number16(page: &[u8], at: usize) -> Option<usize> {
    let bytes = page.get(at..at + 2)?;
    Some(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
}

fn number32(page: &[u8], at: usize) -> Option<u32> {
    let bytes = page.get(at..at + 4)?;
    Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

fn odd() -> Error {
    Error::Damaged("a page of the database is not as SQLite writes them".to_owned())
}

impl<'f> Pages<'f> {
    fn of(mut file: &'f File) -> Result<Pages<'f>, Error> {
        let mut header = [0; FILE_HEADER];
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut header)?;
        let size = match number16(&header, 16).ok_or_else(odd)? {
            1 => 65_536,
            size => size,
        };
        let usable = size.checked_sub(usize::from(header[20])).ok_or_else(odd)?;
        if size < 512 || !size.is_power_of_two() || usable < 480 {
            return Err(odd());
        }
        let count = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX) / size;
        Ok(Pages { file, size, usable, seen: vec![false; count] })
    }

    fn place(&self, number: u32, within: usize) -> u64 {
        u64::from(number.saturating_sub(1)) * self.size as u64 + within as u64
    }

    /// A page that was not read before.
    fn read(&mut self, number: u32) -> Result<Vec<u8>, Error> {
        let index = (number as usize).checked_sub(1).ok_or_else(odd)?;
        let seen = self.seen.get_mut(index).ok_or_else(odd)?;
        if std::mem::replace(seen, true) {
            return Err(odd());
        }
        let mut page = vec![0; self.size];
        let (mut file, place) = (self.file, self.place(number, 0));
        file.seek(SeekFrom::Start(place))?;
        file.read_exact(&mut page)?;
        Ok(page)
    }

    /// Writes zeros where there are others: only these bytes, never those beside them.
    fn clear(&self, number: u32, page: &[u8], range: Range<usize>) -> Result<(), Error> {
        let bytes = page.get(range.clone()).ok_or_else(odd)?;
        let Some(first) = bytes.iter().position(|byte| *byte != 0) else { return Ok(()) };
        let mut file = self.file;
        file.seek(SeekFrom::Start(self.place(number, range.start + first)))?;
        file.write_all(&vec![0; range.len() - first])?;
        Ok(())
    }

    /// Pages on the list of free ones (section 1.5).
    fn clear_free(&mut self) -> Result<(), Error> {
        let mut header = [0; FILE_HEADER];
        let mut file = self.file;
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut header)?;
        let mut trunk = number32(&header, 32).ok_or_else(odd)?;
        while trunk != 0 {
            let page = self.read(trunk)?;
            let leaves = number32(&page, 4).ok_or_else(odd)? as usize;
            for leaf in 0..leaves {
                let leaf = number32(&page, 8 + 4 * leaf).ok_or_else(odd)?;
                let whole = self.read(leaf)?;
                self.clear(leaf, &whole, 0..self.size)?;
            }
            self.clear(trunk, &page, 8 + 4 * leaves..self.size)?;
            trunk = number32(&page, 0).ok_or_else(odd)?;
        }
        Ok(())
    }

    /// Gaps and free blocks of every page of the trees (section 1.6).
    fn clear_trees(&mut self, roots: Vec<u32>) -> Result<(), Error> {
        let mut open = roots;
        open.push(1);
        while let Some(number) = open.pop() {
            let page = self.read(number)?;
            let header = if number == 1 { FILE_HEADER } else { 0 };
            let interior = match page.get(header) {
                Some(2 | 5) => true,
                Some(10 | 13) => false,
                _ => return Err(odd()),
            };
            let cells = number16(&page, header + 3).ok_or_else(odd)?;
            let pointers = header + if interior { 12 } else { 8 };
            let begins = match number16(&page, header + 5).ok_or_else(odd)? {
                0 => 65_536,
                begins => begins,
            };
            let gap = pointers + 2 * cells..begins;
            if gap.start > gap.end || gap.end > self.usable {
                return Err(odd());
            }
            for cell in 0..cells {
                let cell = number16(&page, pointers + 2 * cell).ok_or_else(odd)?;
                if cell < begins || cell + 4 > self.usable {
                    return Err(odd());
                }
                if interior {
                    open.push(number32(&page, cell).ok_or_else(odd)?);
                }
            }
            if interior {
                open.push(number32(&page, header + 8).ok_or_else(odd)?);
            }
            self.clear(number, &page, gap)?;
            self.clear_blocks(number, &page, number16(&page, header + 1).ok_or_else(odd)?)?;
        }
        Ok(())
    }

    /// The chain of free blocks within a page: each begins with the next one's place and its own
    /// length, which stay.
    fn clear_blocks(&self, number: u32, page: &[u8], first: usize) -> Result<(), Error> {
        let mut block = first;
        while block != 0 {
            let next = number16(page, block).ok_or_else(odd)?;
            let length = number16(page, block + 2).ok_or_else(odd)?;
            if length < 4 || (next != 0 && next <= block) {
                return Err(odd());
            }
            self.clear(number, page, block + 4..block + length)?;
            block = next;
        }
        Ok(())
    }
}
