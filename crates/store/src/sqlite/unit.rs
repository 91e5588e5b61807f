//! Unit: one unit of work inside its savepoint.
//!
//! Comes in   a unit whose large contents are in files already.
//! Goes out   `Done` with its rows, or the reason why none were written.
//! Never      leaves half a unit: whoever calls takes back what an error leaves behind.
//!
//! The order of the questions is the order of their force: a repeated key is answered as before
//! even by a worker that was overtaken, and a worker that was overtaken need not know what else
//! has changed.

use exchange::{Digest, PartnerId};
use jiff::Timestamp;
use rusqlite::{Connection, named_params, params};
use std::collections::HashMap;

use super::content;
use super::row::{digest, first, int, micros, run};
use super::writer::Outcome;
use super::{bringers, holdings, ledger, purge, record, work};
use crate::blob::{Kept, Stored};
use crate::house::{Commit, Error, Expect, FirstAnswer, NewVersion, Unit};
use crate::seal::{Answered, Decided, Sealed, answer_of, headers_of};

/// Runs a unit in its savepoint.
pub(super) fn apply(
    db: &Connection,
    house: i64,
    sealed: &Sealed,
) -> Result<Outcome<Decided>, Error> {
    let refused = |commit| Ok(Outcome::Undo(Decided::Said(commit)));
    let Sealed { unit, contents, blobs, answer, .. } = sealed;
    if let Some(new) = &unit.first_answer
        && let Some(before) = first_answer(db, house, &new.sender, &new.key)?
    {
        return match before.answer.digest == new.digest {
            true => Ok(Outcome::Undo(Decided::Repeated(Box::new(before)))),
            false => refused(Commit::Conflict),
        };
    }
    if let Some(fence) = &unit.fence
        && !work::holds(db, house, fence, unit.at)?
    {
        return refused(Commit::Overtaken);
    }
    let filed = Expected::of(unit);
    for expect in &unit.expects {
        if !filed.answers(expect) && !meets(db, house, expect)? {
            return refused(Commit::Stale);
        }
    }
    ledger::write(db, house, unit.at, &unit.lines)?;
    if !work::write(db, house, unit)? {
        return refused(Commit::Stale);
    }
    let mut filing = record::Filing::begin(db, house, unit.at)?;
    let mut versions = Vec::with_capacity(unit.records.len());
    for (version, content) in unit.records.iter().zip(contents) {
        let newest = filing.file(version, content.as_ref())?;
        if !filed.met(version, newest) {
            return refused(Commit::Stale);
        }
        versions.push(newest);
    }
    for raise in &unit.raises {
        record::raise(db, house, raise)?;
    }
    for gone in &unit.withdrawals {
        bringers::withdraw(db, house, gone)?;
    }
    for kept in blobs {
        write_blob(db, house, kept)?;
    }
    if let (Some(new), Some(body)) = (&unit.first_answer, answer) {
        write_first_answer(db, house, new, body)?;
    }
    for (partner, holding) in &unit.holdings {
        holdings::write(db, house, partner, holding)?;
    }
    for work in &unit.works {
        let digests = blobs.iter().chain(answer).map(|kept| kept.digest);
        purge::uses(db, house, &work.id, digests)?;
    }
    Ok(Outcome::Keep(Decided::Said(Commit::Done { versions })))
}

/// What a unit expects of the records that it files itself. Filing tells which version there was,
/// so it need not be looked up before.
struct Expected<'u>(HashMap<(&'u str, &'u str), Option<Option<u64>>>);

impl<'u> Expected<'u> {
    fn of(unit: &'u Unit) -> Expected<'u> {
        let filed = unit.records.iter().map(|one| (one.kind.as_str(), one.id.as_str()));
        let mut filed: HashMap<_, _> = filed.map(|record| (record, None)).collect();
        if filed.len() < unit.records.len() {
            // The same record twice: each version stands on the one before.
            filed.clear();
        }
        for expect in &unit.expects {
            if let Expect::Version { kind, id, version } = expect
                && let Some(expected) = filed.get_mut(&(kind.as_str(), id.as_str()))
            {
                expected.get_or_insert(*version);
            }
        }
        Expected(filed)
    }

    /// Whether filing will answer this.
    fn answers(&self, expect: &Expect) -> bool {
        let Expect::Version { kind, id, version } = expect else { return false };
        let expected = self.0.get(&(kind.as_str(), id.as_str()));
        expected.is_some_and(|expected| *expected == Some(*version))
    }

    /// Whether the version it was filed as follows the one that was expected.
    fn met(&self, version: &NewVersion, newest: u64) -> bool {
        let expected = self.0.get(&(version.kind.as_str(), version.id.as_str()));
        match expected {
            Some(Some(before)) => before.unwrap_or(0) + 1 == newest,
            _ => true,
        }
    }
}

fn meets(db: &Connection, house: i64, expect: &Expect) -> Result<bool, Error> {
    Ok(match expect {
        Expect::Version { kind, id, version } => {
            let select = "SELECT newest FROM records WHERE house = ?1 AND kind = ?2 AND id = ?3";
            let found = first(db, select, params![house, kind, id], |row| Ok(row.get(0)?))?;
            found == version.map(int)
        }
        Expect::LaneNumber { lane, number } => work::lane_number(db, house, lane)? == *number,
        Expect::Found { query, ids } => record::fits(db, house, query, ids)?,
        Expect::Brought { .. } => bringers::holds(db, house, expect)?,
        Expect::WorkRevision { id, revision } => {
            let select = "SELECT revision FROM works WHERE house = ?1 AND id = ?2";
            let found = first(db, select, params![house, id], |row| Ok(row.get(0)?))?;
            found == revision.map(int)
        }
    })
}

fn write_blob(db: &Connection, house: i64, kept: &Kept) -> Result<(), Error> {
    let insert = "INSERT INTO blobs (house, digest, file, content, packed)
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    run(db, insert, params![house, kept.digest.0, kept.file, kept.inline(), kept.packed])?;
    Ok(())
}

fn write_first_answer(
    db: &Connection,
    house: i64,
    answer: &FirstAnswer,
    body: &Kept,
) -> Result<(), Error> {
    let insert = "INSERT INTO first_answers
        (house, sender, key, digest, status, headers, body, file, content, packed) VALUES
        (:house, :sender, :key, :digest, :status, :headers, :body, :file, :content, :packed)";
    let columns = named_params! {
        ":house": house,
        ":sender": answer.sender.as_str(),
        ":key": answer.key,
        ":digest": answer.digest.0,
        ":status": answer.status,
        ":headers": headers_of(answer)?,
        ":body": body.digest.0,
        ":file": body.file,
        ":content": body.inline(),
        ":packed": body.packed,
    };
    run(db, insert, columns)?;
    Ok(())
}

/// Where a content lies; `None`: there is none.
pub(super) fn blob(db: &Connection, house: i64, digest: &Digest) -> Result<Option<Stored>, Error> {
    let select = "SELECT file, content, packed FROM blobs WHERE house = ?1 AND digest = ?2";
    first(db, select, params![house, digest.0], content::stored)
}

/// The first answer to a key.
pub(super) fn first_answer(
    db: &Connection,
    house: i64,
    sender: &PartnerId,
    key: &str,
) -> Result<Option<Answered>, Error> {
    let select = "SELECT digest, status, headers, body, file, content, packed, purged
        FROM first_answers WHERE house = ?1 AND sender = ?2 AND key = ?3";
    first(db, select, params![house, sender.as_str(), key], |row| {
        let (digest_came, status) = (digest(row, "digest")?, row.get("status")?);
        let headers: String = row.get("headers")?;
        let name = (sender.clone(), key.to_owned());
        let answer = answer_of(name, digest_came, status, &headers)?;
        let (body, stored) = (digest(row, "body")?, content::stored(row)?);
        Ok(Answered { answer, body, stored, purged: row.get("purged")? })
    })
}

/// Whether a token is used for the first time before `until`.
pub(super) fn first_use(
    db: &Connection,
    house: i64,
    mark: &Digest,
    until: Timestamp,
    now: Timestamp,
) -> Result<bool, Error> {
    let forget = "DELETE FROM uses WHERE house = ?1 AND mark IN
        (SELECT mark FROM uses WHERE house = ?1 AND until <= ?2 ORDER BY until LIMIT ?3)";
    run(db, forget, params![house, micros(now), crate::limits::USES_FORGOTTEN_MAX])?;
    let insert = "INSERT INTO uses (house, mark, until) VALUES (?1, ?2, ?3)
        ON CONFLICT DO UPDATE SET until = excluded.until WHERE until <= ?4";
    Ok(run(db, insert, params![house, mark.0, micros(until), micros(now)])? == 1)
}

/// Whether a token was used and is not forgotten.
pub(super) fn used(
    db: &Connection,
    house: i64,
    mark: &Digest,
    now: Timestamp,
) -> Result<bool, Error> {
    let select = "SELECT 1 FROM uses WHERE house = ?1 AND mark = ?2 AND until > ?3";
    Ok(super::row::first(db, select, params![house, mark.0, micros(now)], |_| Ok(()))?.is_some())
}
