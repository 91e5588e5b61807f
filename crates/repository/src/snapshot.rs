//! Snapshot: the records as they stood at one moment, walked through type by type.
//!
//! Comes in   a house, the moment, which changes count.
//! Goes out   heads in the order of their ids; the lines of an NDJSON file, a piece at a time.
//! Never      holds more than a page of heads and a piece of content; never gives a version that was
//!            filed later.
//!
//! Why no copy is made: every version stays in the store as long as its content may be kept. What
//! stood at a moment can be read from there, and what is purged is nowhere else.

mod listed;

pub use listed::{Listed, Writing};

use crate::desk::store_issue;
use crate::elements::Form;
use crate::limits::{SNAPSHOT_BYTES, SNAPSHOT_CONTENTS, SNAPSHOT_ROWS};
use crate::serve::serve_record;
use bytes::{BufMut, Bytes, BytesMut};
use exchange::{Code, Issue};
use fhir::r4::Type;
use jiff::Timestamp;
use serde_json::json;
use std::collections::{HashMap, VecDeque};
use store::{House, Record, RecordQuery};

/// Greater than every logical id (R4 §2.24.0.1: letters, digits, `-` and `.`).
const BEHIND_IDS: &str = "~";

/// Greater than every version.
const BEHIND_VERSIONS: u64 = i64::MAX as u64;

/// The moment, and which changes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The records of this moment: what was filed then counts.
    pub as_of: Timestamp,
    /// Only those changed after this.
    pub since: Option<Timestamp>,
    /// Only those changed before this.
    pub until: Option<Timestamp>,
}

/// What a record was at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stood {
    /// There, with its content.
    There,
    /// There, but the time of its content is over.
    Purged,
    /// Deleted since then.
    Deleted,
}

impl Moment {
    /// What the version that stood was; `None` where it does not count: not changed in that time, or
    /// taken back before, which is told only to whoever asks for changes. What began with its
    /// deletion was never there.
    pub fn stood(&self, version: &Record) -> Option<Stood> {
        let since = self.since.is_none_or(|since| version.last_updated > since);
        let until = self.until.is_none_or(|until| version.last_updated < until);
        match (version.deleted, version.purged) {
            _ if !since || !until => None,
            (true, _) => (self.since.is_some() && version.version > 1).then_some(Stood::Deleted),
            (false, true) => Some(Stood::Purged),
            (false, false) => Some(Stood::There),
        }
    }
}

/// The first type of R4 behind this one of which there is any record: what a house keeps for itself beside
/// its records (marks of what was taken back) is none. Errors: those of the store.
pub async fn next_kind(house: &impl House, after: Option<&str>) -> Result<Option<String>, Issue> {
    let mut after = after.map(str::to_owned);
    loop {
        let behind = after.map(|kind| (kind, BEHIND_IDS.to_owned(), BEHIND_VERSIONS));
        let mut found = house.dump(behind, 1).await.map_err(store_issue)?;
        match found.pop().map(|record| record.kind) {
            Some(kind) if Type::named(&kind).is_none() => after = Some(kind),
            kind => return Ok(kind),
        }
    }
}

/// A walk through the records of one type, in the order of their ids.
#[derive(Debug)]
pub struct Walk {
    kind: String,
    as_of: Timestamp,
    /// The last version looked at; `None` behind the end.
    at: Option<(String, u64)>,
    /// The record of that version, and which of its versions stood, as far as it was looked at.
    standing: Option<Record>,
}

impl Walk {
    /// Behind this id, or from the first.
    pub fn new(kind: &str, as_of: Timestamp, after: Option<&str>) -> Walk {
        let at = after.map_or((String::new(), 0), |id| (id.to_owned(), BEHIND_VERSIONS));
        Walk { kind: kind.to_owned(), as_of, at: Some(at), standing: None }
    }

    /// The next versions that stood, without content; deleted ones too. `None` at the end.
    ///
    /// Errors: those of the store.
    pub async fn page(&mut self, house: &impl House) -> Result<Option<Vec<Record>>, Issue> {
        let Some((id, version)) = self.at.take() else { return Ok(None) };
        let after = Some((self.kind.clone(), id.clone(), version));
        let rows = house.dump(after, SNAPSHOT_ROWS).await.map_err(store_issue)?;
        let full = rows.len() == SNAPSHOT_ROWS as usize;
        let mut last = (id, version);
        let mut stood = Vec::with_capacity(rows.len());
        let mut ended = !full;
        for row in rows {
            if row.kind != self.kind {
                ended = true;
                break;
            }
            if row.id != last.0 {
                stood.extend(self.standing.take());
            }
            last = (row.id.clone(), row.version);
            if row.last_updated <= self.as_of {
                self.standing = Some(row);
            }
        }
        match ended {
            true => stood.extend(self.standing.take()),
            false => self.at = Some(last),
        }
        Ok(Some(stood))
    }
}

/// Where a file begins and ends, and how many lines it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// It begins behind this logical id; none: with the first.
    pub after: Option<String>,
    /// The logical id of its last record.
    pub through: String,
    /// Its lines.
    pub count: u64,
}

/// The lines of one file: records of one type behind an id, up to another.
#[derive(Debug)]
pub struct Lines<H> {
    house: H,
    walk: Walk,
    moment: Moment,
    through: String,
    /// Lines that are still to come.
    left: u64,
    gives: Stood,
    form: Form,
    heads: VecDeque<(String, u64)>,
    ended: bool,
}

impl<H: House> Lines<H> {
    /// Lines with the records that are there, or (`Deleted`) with what takes back those that are not.
    pub fn new(
        house: H,
        moment: Moment,
        kind: &str,
        bounds: Bounds,
        gives: Stood,
        form: Form,
    ) -> Lines<H> {
        let walk = Walk::new(kind, moment.as_of, bounds.after.as_deref());
        let (through, left, heads) = (bounds.through, bounds.count, VecDeque::new());
        Lines { house, walk, moment, through, left, gives, form, heads, ended: false }
    }

    /// Some more lines; `None` at the end.
    ///
    /// Errors: `ContentPurged` where a content went since the file was told of; those of the store.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Issue> {
        while self.heads.is_empty() {
            if self.ended {
                // What is purged meanwhile does not stand any more, and nobody takes the rest for all.
                return if self.left == 0 { Ok(None) } else { Err(purged()) };
            }
            self.look_on().await?;
        }
        let mut piece = BytesMut::new();
        let before = self.heads.len();
        match self.gives {
            Stood::Deleted => {
                for (id, _) in self.heads.drain(..) {
                    line(&mut piece, &deletion(&self.walk.kind, &id));
                }
            }
            Stood::There | Stood::Purged => {
                let (kind, heads) = (&self.walk.kind, &mut self.heads);
                contents(&self.house, kind, heads, &self.form, &mut piece).await?;
            }
        }
        self.left = self.left.saturating_sub((before - self.heads.len()) as u64);
        Ok(Some(piece.freeze()))
    }

    async fn look_on(&mut self) -> Result<(), Issue> {
        let Some(page) = self.walk.page(&self.house).await? else {
            self.ended = true;
            return Ok(());
        };
        for head in page {
            if head.id > self.through {
                self.ended = true;
                return Ok(());
            }
            if self.moment.stood(&head) == Some(self.gives) {
                self.heads.push_back((head.id, head.version));
            }
        }
        Ok(())
    }
}

/// Writes the next contents of a type, in the order of their ids: most versions are still the newest,
/// and found together.
pub(crate) async fn contents(
    house: &impl House,
    kind: &str,
    heads: &mut VecDeque<(String, u64)>,
    form: &Form,
    piece: &mut BytesMut,
) -> Result<(), Issue> {
    let begun = piece.len();
    let ids = heads.iter().take(SNAPSHOT_CONTENTS).map(|(id, _)| id.clone()).collect();
    let (found, last) = newest(house, kind, ids).await?;
    let mut found: HashMap<String, Record> =
        found.into_iter().map(|one| (one.id.clone(), one)).collect();
    for _ in 0..SNAPSHOT_CONTENTS {
        let beyond = |head: &(String, u64)| {
            last.as_ref().is_some_and(|last| head.0 > *last)
                || (piece.len() - begun) as u64 >= SNAPSHOT_BYTES
        };
        let Some((id, version)) = heads.pop_front_if(|head| !beyond(head)) else { return Ok(()) };
        let newest = found.remove(&id).filter(|one| one.version == version);
        let record = match newest {
            Some(newest) => Some(newest),
            None => house.record(kind, &id, Some(version)).await.map_err(store_issue)?,
        };
        let served = record.as_ref().map(serve_record).transpose()?.flatten().ok_or_else(purged)?;
        line(piece, &form.of(served)?);
    }
    Ok(())
}

/// The newest versions of these, and the id behind which nothing was looked for, because the contents
/// had reached their bound.
async fn newest(
    house: &impl House,
    kind: &str,
    ids: Vec<String>,
) -> Result<(Vec<Record>, Option<String>), Issue> {
    let query = RecordQuery {
        kind: kind.to_owned(),
        ids,
        limit: SNAPSHOT_CONTENTS as u32,
        bytes: SNAPSHOT_BYTES,
        ..RecordQuery::default()
    };
    let found = house.search(query).await.map_err(store_issue)?;
    let read: u64 = found.iter().flat_map(|one| &one.content).map(|it| it.len() as u64).sum();
    let last = found.last().filter(|_| read >= SNAPSHOT_BYTES).map(|one| one.id.clone());
    Ok((found, last))
}

/// The version of a record that stood at a moment, with its content; `None` where it was deleted then,
/// purged since, or not there yet. `newest` is its newest version with content.
///
/// Errors: those of the store.
pub async fn stood_at(
    house: &impl House,
    newest: Record,
    as_of: Timestamp,
) -> Result<Option<Record>, Issue> {
    if newest.last_updated <= as_of {
        return Ok(Some(newest));
    }
    let (kind, id) = (newest.kind, newest.id);
    let mut before = Some(newest.version);
    loop {
        let page = house.history(&kind, &id, before, SNAPSHOT_CONTENTS as u32).await;
        let page = page.map_err(store_issue)?;
        if let Some(head) = page.iter().find(|head| head.last_updated <= as_of) {
            let found = house.record(&kind, &id, Some(head.version)).await.map_err(store_issue)?;
            return Ok(found.filter(|record| record.content.is_some()));
        }
        match page.last() {
            Some(last) => before = Some(last.version),
            None => return Ok(None),
        }
    }
}

/// These versions of a type (logical id and version, in any order), with content, in that order; `None`
/// where one is purged. The caller asks for no more than `SNAPSHOT_CONTENTS`.
///
/// Errors: those of the store.
pub async fn versions(
    house: &impl House,
    kind: &str,
    wanted: &[(String, u64)],
) -> Result<Vec<Option<Record>>, Issue> {
    let (found, _) = newest(house, kind, wanted.iter().map(|(id, _)| id.clone()).collect()).await?;
    let mut found: HashMap<String, Record> =
        found.into_iter().map(|one| (one.id.clone(), one)).collect();
    let mut all = Vec::with_capacity(wanted.len());
    for (id, version) in wanted {
        let record = match found.remove(id).filter(|one| one.version == *version) {
            Some(newest) => Some(newest),
            None => house.record(kind, id, Some(*version)).await.map_err(store_issue)?,
        };
        all.push(record.filter(|record| record.content.is_some()));
    }
    Ok(all)
}

pub(crate) fn purged() -> Issue {
    Issue::new(Code::ContentPurged, "a record's time has ended since the file was listed")
}

/// A line of NDJSON: what breaks lines stands between the members of a resource only, where a blank
/// says the same; in a text it is escaped.
pub(crate) fn line(piece: &mut BytesMut, resource: &[u8]) {
    let begun = piece.len();
    piece.put_slice(resource);
    for byte in &mut piece[begun..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    piece.put_u8(b'\n');
}

/// A transaction that says that a record is gone (Bulk Data 2.0.0, `deleted`).
pub(crate) fn deletion(kind: &str, id: &str) -> Vec<u8> {
    let entry = json!([{ "request": { "method": "DELETE", "url": format!("{kind}/{id}") } }]);
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": entry })
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use exchange::Digest;

    #[test]
    fn what_counts_is_what_changed_between_the_bounds_and_what_was_ever_there() {
        use Stood::{Deleted, Purged, There};
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let table = [
            ("no bounds", (None, None), (2, false, false), Some(There)),
            ("after since", (Some(9), None), (2, false, false), Some(There)),
            ("at since", (Some(10), None), (2, false, false), None),
            ("before until", (None, Some(11)), (2, false, false), Some(There)),
            ("at until", (None, Some(10)), (2, false, false), None),
            ("its content is gone", (None, None), (2, false, true), Some(Purged)),
            ("gone before since", (Some(10), None), (2, false, true), None),
            ("deleted, and nobody asks for changes", (None, None), (2, true, false), None),
            ("deleted since", (Some(9), None), (2, true, false), Some(Deleted)),
            ("deleted before", (Some(10), None), (2, true, false), None),
            ("deleted and never there", (Some(9), None), (1, true, false), None),
        ];
        for (case, (since, until), (version, deleted, purged), expected) in table {
            let record = Record {
                kind: "Patient".to_owned(),
                id: "a".to_owned(),
                version,
                last_updated: at(10),
                owner: "clinic".into(),
                receipt: String::new(),
                lane: None,
                number: None,
                digest: Digest::of(b""),
                content: None,
                deleted,
                purged,
            };
            let moment = Moment { as_of: at(20), since: since.map(at), until: until.map(at) };
            assert_eq!(moment.stood(&record), expected, "{case}");
        }
    }
}
