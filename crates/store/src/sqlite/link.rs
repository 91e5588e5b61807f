//! Link: uses of contents that were written before uses were kept.
//!
//! Comes in   a house that an earlier version wrote.
//! Goes out   the same house, with each content linked to the rows of work that name it.
//! Never      reads more than a page at a time, nor anything twice: how far it came is written
//!            with what it found.
//!
//! Why by digests in texts: a line names contents by their digests and nothing else; what is not
//! the digest of a content leads nowhere. Too much linked would keep a content longer, never
//! remove one.

use exchange::{Chain, Digest};
use rusqlite::{Connection, params};

use super::SqliteHouse;
use super::purge::uses;
use super::row::{all, first, number, run};
use super::writer::Outcome;
use crate::house::Error;

impl SqliteHouse {
    /// Links contents that were written before their uses were kept to the rows of work that name
    /// them: the next `limit` lines of the ledger, or rows of work. How many are left; `None`
    /// once all are linked. A run that was cut off goes on.
    ///
    /// # Errors
    /// Those of a writing.
    pub async fn link_uses(&self, limit: u32) -> Result<Option<u64>, Error> {
        let house = self.house;
        self.write(0, move |db| Ok(Outcome::Keep(step(db, house, limit)?))).await
    }

    /// How many lines and rows of work `link_uses` has to read; `None`: nothing.
    ///
    /// # Errors
    /// Those of a reading.
    pub async fn unlinked(&self) -> Result<Option<u64>, Error> {
        self.read(left).await
    }
}

/// Reads the next lines, or rows of work after the last line; how many are left, or `None` when
/// all is linked.
pub(super) fn step(db: &Connection, house: i64, limit: u32) -> Result<Option<u64>, Error> {
    match cursor(db, house)? {
        (Some(line), _) => lines(db, house, line, limit)?,
        (None, Some(work)) => works(db, house, work, limit)?,
        (None, None) => {}
    }
    left(db, house)
}

fn cursor(db: &Connection, house: i64) -> Result<(Option<i64>, Option<i64>), Error> {
    let select = "SELECT uses_line, uses_work FROM houses WHERE house = ?1";
    let found = first(db, select, [house], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.unwrap_or((None, None)))
}

/// How many lines and rows of work are to be read.
pub(super) fn left(db: &Connection, house: i64) -> Result<Option<u64>, Error> {
    let cursor = cursor(db, house)?;
    if cursor == (None, None) {
        return Ok(None);
    }
    let select = "SELECT coalesce((SELECT count(*) FROM entries
                WHERE house = ?1 AND seq >= ?2), 0)
            + (SELECT count(*) FROM works WHERE house = ?1 AND work >= ?3) AS number";
    let params = params![house, cursor.0, cursor.1.unwrap_or(i64::MAX)];
    first(db, select, params, |row| number(row, "number"))
}

fn lines(db: &Connection, house: i64, from: i64, limit: u32) -> Result<(), Error> {
    let select = "SELECT seq, chain, body FROM entries WHERE house = ?1 AND seq >= ?2
        ORDER BY seq LIMIT ?3";
    let page = all(db, select, params![house, from, limit], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    })?;
    for (_, chain, body) in &page {
        let work = match chain.parse::<Chain>() {
            Ok(Chain::Push(walk)) => walk.to_string(),
            Ok(Chain::Submission(submission) | Chain::Sending(submission)) => {
                submission.to_string()
            }
            Ok(Chain::House) | Err(_) => continue,
        };
        link(db, house, &work, body.as_bytes())?;
    }
    let more = page.len() == limit as usize;
    let next = page.last().filter(|_| more).map(|(seq, ..)| seq + 1);
    run(db, "UPDATE houses SET uses_line = ?2 WHERE house = ?1", params![house, next])?;
    Ok(())
}

fn works(db: &Connection, house: i64, from: i64, limit: u32) -> Result<(), Error> {
    let select = "SELECT work, id, body FROM works NOT INDEXED WHERE work >= ?2 AND house = ?1
        ORDER BY work LIMIT ?3";
    let page = all(db, select, params![house, from, limit], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?))
    })?;
    for (_, id, body) in &page {
        link(db, house, id, body)?;
    }
    let more = page.len() == limit as usize;
    let next = page.last().filter(|_| more).map(|(work, ..)| work + 1);
    run(db, "UPDATE houses SET uses_work = ?2 WHERE house = ?1", params![house, next])?;
    Ok(())
}

/// Links the contents whose digests stand in a text.
fn link(db: &Connection, house: i64, work: &str, text: &[u8]) -> Result<(), Error> {
    for digest in digests(text) {
        let select = "SELECT 1 FROM blobs WHERE house = ?1 AND digest = ?2";
        if first(db, select, params![house, digest.0], |_| Ok(()))?.is_some() {
            uses(db, house, work, std::iter::once(digest))?;
        }
    }
    Ok(())
}

/// Every run of exactly 64 hexadecimal digits.
fn digests(text: &[u8]) -> impl Iterator<Item = Digest> {
    let runs = text.split(|byte| !byte.is_ascii_hexdigit()).filter(|run| run.len() == 64);
    runs.filter_map(|run| std::str::from_utf8(run).ok()?.parse().ok())
}

#[cfg(test)]
mod tests {
    //! Goal: a digest is found wherever it stands, and nothing else is taken for one.

    use super::*;

    #[test]
    fn digests_are_found_in_texts() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let table = [
            (format!("{{\"x\":\"{a}\",\"y\":[\"{b}\"]}}"), vec![a, b]),
            (format!("{a}"), vec![a]),
            (format!("{a}0"), vec![]),
            (format!("walk-{a}.plan"), vec![a]),
            (String::new(), vec![]),
        ];
        for (text, expected) in table {
            assert_eq!(digests(text.as_bytes()).collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
