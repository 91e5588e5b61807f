//! Rows: what a group reads and writes, each in one go.
//!
//! Comes in   units; a connection.
//! Goes out   what became of each of them, once COMMIT was answered.
//! Never      goes on behind an error: the server then refuses everything up to COMMIT, and takes
//!            that for a ROLLBACK.
//!
//! Two waits for the server: one for what it holds of everything the units name, one for what
//! they write. Every statement takes arrays, so that its cost hardly depends on how many units
//! share it.

use deadpool_postgres::Client;
use futures_util::future::join_all;
use std::borrow::Cow;
use std::collections::BTreeSet;
use tokio_postgres::Row;

use super::group::{Counts, Group, Head, Known, Lane, Rows, place};
use super::pipe::{Asked, all, ask, say, values};
use super::read::read_answer;
use super::row::{get, int, mark, micros, token};
use super::sql::*;
use super::work::{LOOK_AGAIN, WorkNow};
use super::{bringers, holdings, ledger};
use crate::house::{Error, Expect, RecordQuery};
use crate::seal::{Decided, Sealed, headers_of};

/// Why a group was not written.
pub(super) struct Failed {
    pub(super) error: Error,
    /// Whether COMMIT may have been carried out.
    pub(super) sent: bool,
    /// Whether the connection cannot be used again.
    pub(super) lost: bool,
}

impl Failed {
    /// It broke off somewhere.
    pub(super) fn lost(error: Error) -> Failed {
        Failed { error, sent: true, lost: true }
    }
}

/// Sets a connection up for groups.
pub(super) async fn prepare(db: &Client) -> Result<(), Error> {
    Ok(db.batch_execute(SETTINGS).await?)
}

/// Writes units, as many of them as one transaction can; what became of each. `groups` counts what
/// this connection has written.
pub(super) async fn write(
    db: &Client,
    house: i64,
    groups: u64,
    units: &[&Sealed],
) -> Result<Vec<Decided>, Failed> {
    let written = write_or_leave(db, house, groups, units).await;
    if let Err(failed) = &written
        && !failed.lost
        && db.batch_execute("ROLLBACK").await.is_err()
    {
        return written.map_err(|failed| Failed { lost: failed.sent, ..failed });
    }
    written
}

/// As `write`; an error leaves a transaction behind.
async fn write_or_leave(
    db: &Client,
    house: i64,
    groups: u64,
    units: &[&Sealed],
) -> Result<Vec<Decided>, Failed> {
    let unsent = |error| Failed { error, sent: false, lost: false };
    let names = Names::of(units);
    if groups.is_power_of_two() {
        // While a table is empty one index looks as good as another: plans are made anew as the
        // house grows.
        db.batch_execute("DISCARD PLANS").await.map_err(|error| unsent(error.into()))?;
    }
    let known = read(db, house, &names).await.map_err(unsent)?;
    let before = known.counts;
    let mut group = Group::new(known);
    let mut decided = Vec::with_capacity(units.len());
    for sealed in units {
        let Some(this) = group.decide(sealed) else { break };
        decided.push(this);
    }
    if !group.rows.any {
        db.batch_execute("ROLLBACK").await.map_err(|error| unsent(error.into()))?;
        return Ok(decided);
    }
    let (known, rows) = group.finish();
    let mut asked = rows.statements(house).map_err(unsent)?;
    asked.extend(lanes(house, &known));
    if known.counts != before {
        let Counts { lines, works, records, subjects } = known.counts;
        asked.push(ask(COUNTS, values![house, lines, works, records, subjects]));
    }
    asked.push(say("COMMIT"));
    match all(db, asked).await {
        Ok(_) => Ok(decided),
        Err(error) => Err(Failed { error, sent: true, lost: false }),
    }
}

/// Everything that units name.
#[derive(Default)]
struct Names<'a> {
    answers: BTreeSet<(&'a str, &'a str)>,
    works: BTreeSet<&'a str>,
    lanes: BTreeSet<&'a str>,
    chains: BTreeSet<String>,
    heads: BTreeSet<(&'a str, &'a str)>,
    subjects: BTreeSet<&'a str>,
    brought: BTreeSet<(&'a str, &'a str, u64)>,
    queries: Vec<(&'a RecordQuery, &'a [String])>,
}

impl<'a> Names<'a> {
    fn of(units: &[&'a Sealed]) -> Names<'a> {
        let mut names = Names::default();
        for unit in units.iter().map(|sealed| &sealed.unit) {
            let answer = unit.first_answer.as_ref();
            names.answers.extend(answer.map(|it| (it.sender.as_str(), it.key.as_str())));
            names.works.extend(unit.fence.as_ref().map(|fence| fence.work.as_str()));
            names.works.extend(unit.works.iter().map(|work| work.id.as_str()));
            names.lanes.extend(unit.works.iter().map(|work| work.lane.as_str()));
            names.chains.extend(unit.lines.iter().map(|(chain, _)| chain.to_string()));
            unit.expects.iter().for_each(|expect| names.add(expect));
            for version in &unit.records {
                names.heads.insert((&version.kind, &version.id));
                names.subjects.extend(version.keys.patient.as_deref());
                names.subjects.extend(version.keys.encounter.as_deref());
            }
            names.heads.extend(unit.raises.iter().map(|it| (it.kind.as_str(), it.id.as_str())));
            let gone = unit.withdrawals.iter();
            names.heads.extend(gone.map(|it| (it.kind.as_str(), it.id.as_str())));
        }
        names
    }

    fn add(&mut self, expect: &'a Expect) {
        match expect {
            Expect::Version { kind, id, .. } => drop(self.heads.insert((kind, id))),
            Expect::LaneNumber { lane, .. } => drop(self.lanes.insert(lane)),
            Expect::Found { query, ids } => self.queries.push((query, ids)),
            Expect::Brought { kind, id, version, .. } => {
                self.heads.insert((kind, id));
                self.brought.insert((kind, id, *version));
            }
            Expect::WorkRevision { id, .. } => drop(self.works.insert(id)),
        }
    }
}

/// Begins the transaction, locks the house and then its lanes, and reads what it holds of all
/// that is named.
async fn read<'a>(db: &Client, house: i64, names: &Names<'a>) -> Result<Known<'a>, Error> {
    let (works_sql, answers_sql) = (works(), answers());
    let ids: Vec<&str> = names.works.iter().copied().collect();
    let lanes: Vec<&str> = names.lanes.iter().copied().collect();
    let chains: Vec<&str> = names.chains.iter().map(String::as_str).collect();
    let heads: Vec<(&str, &str)> = names.heads.iter().copied().collect();
    let subjects: Vec<&str> = names.subjects.iter().copied().collect();
    let keys: Vec<(&str, &str)> = names.answers.iter().copied().collect();
    let marks: Vec<_> = keys.iter().map(|(_, key)| mark(key)).collect();
    let mut asked = Reads { asked: vec![say("BEGIN")], places: [None; 7] };
    asked.asked.push(ask(HOUSE, values![house]));
    if !lanes.is_empty() || !ids.is_empty() {
        asked.add(0, LANES, values![house, lanes, ids.clone()]);
    }
    if !ids.is_empty() {
        asked.add(1, &works_sql, values![house, ids]);
    }
    if !keys.is_empty() {
        let senders: Vec<&str> = keys.iter().map(|(sender, _)| *sender).collect();
        let marks: Vec<&[u8]> = marks.iter().map(|mark| &mark.0[..]).collect();
        asked.add(2, &answers_sql, values![house, senders, marks]);
    }
    if !chains.is_empty() {
        asked.add(3, ledger::HEADS, values![house, chains]);
    }
    if !heads.is_empty() {
        let kinds: Vec<&str> = heads.iter().map(|(kind, _)| *kind).collect();
        let ids: Vec<&str> = heads.iter().map(|(_, id)| *id).collect();
        asked.add(4, HEADS, values![house, kinds, ids]);
    }
    if !subjects.is_empty() {
        asked.add(5, SUBJECTS, values![house, subjects.clone()]);
    }
    let brought: Vec<_> = names.brought.iter().copied().collect();
    if !brought.is_empty() {
        let kinds: Vec<&str> = brought.iter().map(|it| it.0).collect();
        let ids: Vec<&str> = brought.iter().map(|it| it.1).collect();
        let versions: Vec<i64> = brought.iter().map(|it| int(it.2)).collect();
        asked.add(6, bringers::NOW, values![house, kinds, ids, versions]);
    }
    let Reads { asked, places } = asked;
    let found = all(db, asked).await?;
    let rows = |what: usize| places[what].map_or(&[][..], |place| &found[place][..]);
    let mut known = Known { counts: counts(&found[1])?, ..Known::default() };
    for lane in &names.lanes {
        known.lanes.insert(Cow::Borrowed(lane), Lane::default());
    }
    for row in rows(0) {
        let lane = Lane { number: get(row, "number")?, touched: false };
        known.lanes.insert(Cow::Owned(get(row, "lane")?), lane);
    }
    for row in rows(1) {
        known.now = get(row, "now")?;
        let work = WorkNow::read(row)?;
        if let Some(id) = names.works.get(get::<&str>(row, "id")?) {
            known.works.insert(id, work);
        }
    }
    for row in rows(2) {
        known.answers.insert(nth(&keys, row)?, read_answer(row)?);
    }
    known.chains = ledger::heads(rows(3))?;
    for row in rows(4) {
        let (record, newest) = (get(row, "record")?, get(row, "newest")?);
        known.heads.insert(nth(&heads, row)?, Head { record, newest, there: true, row: None });
    }
    for row in rows(5) {
        known.subjects.insert(nth(&subjects, row)?, get(row, "subject")?);
    }
    for row in rows(6) {
        let now = bringers::now(row)?;
        let place = nth(&brought, row)?;
        known.brought.extend(now.map(|now| (place, now)));
    }
    let asked = names.queries.iter().map(async |(query, ids)| {
        Ok::<_, Error>((place(query), super::record::fits(db, house, query, ids).await?))
    });
    for found in join_all(asked).await {
        let (place, fits) = found?;
        known.found.insert(place, fits);
    }
    Ok(known)
}

/// Readings on their way, and where the rows of each will be.
struct Reads<'a> {
    asked: Vec<Asked<'a>>,
    places: [Option<usize>; 7],
}

impl<'a> Reads<'a> {
    fn add(&mut self, what: usize, sql: &'a str, values: Vec<super::pipe::Value<'a>>) {
        self.places[what] = Some(self.asked.len());
        self.asked.push(ask(sql, values));
    }
}

/// What a row with an ordinal number `n` (from 1) is about.
fn nth<T: Copy>(asked: &[T], row: &Row) -> Result<T, Error> {
    let n = usize::try_from(get::<i64>(row, "n")? - 1).ok();
    let found = n.and_then(|n| asked.get(n)).copied();
    found.ok_or_else(|| Error::Damaged("the database answers what was not asked".to_owned()))
}

fn counts(rows: &[Row]) -> Result<Counts, Error> {
    let [row] = rows else {
        return Err(Error::Damaged("the database does not hold this house".to_owned()));
    };
    Ok(Counts {
        lines: get(row, "lines")?,
        works: get(row, "works")?,
        records: get(row, "records")?,
        subjects: get(row, "subjects")?,
    })
}

/// Brings the lanes of written rows of work up to date.
fn lanes<'a>(house: i64, known: &'a Known<'_>) -> Option<Asked<'a>> {
    let touched = known.lanes.iter().filter(|(_, lane)| lane.touched);
    let (names, numbers): (Vec<&str>, Vec<i64>) =
        touched.map(|(name, lane)| (&**name, lane.number)).unzip();
    (!names.is_empty()).then(|| ask(LOOK_AGAIN, values![house, names, numbers]))
}

/// A column of an array.
macro_rules! column {
    ($rows:expr, $row:ident => $value:expr) => {
        $rows.iter().map(|$row| $value).collect::<Vec<_>>()
    };
}

impl Rows<'_> {
    /// The statements that write them.
    fn statements(&self, house: i64) -> Result<Vec<Asked<'_>>, Error> {
        let mut asked = Vec::with_capacity(16);
        if !self.entries.is_empty() {
            asked.push(ledger::insert(house, &self.entries));
        }
        if !self.subjects.is_empty() {
            let (ids, numbers): (Vec<&str>, Vec<i64>) = self.subjects.iter().copied().unzip();
            asked.push(ask(NEW_SUBJECTS, values![house, ids, numbers]));
        }
        self.add_records(house, &mut asked);
        self.add_works(house, &mut asked);
        self.add_contents(house, &mut asked)?;
        asked.extend(holdings::write(house, &self.holdings));
        Ok(asked)
    }

    fn add_records<'a>(&'a self, house: i64, asked: &mut Vec<Asked<'a>>) {
        let (newer, new): (Vec<_>, Vec<_>) = self.records.iter().partition(|row| row.head.there);
        for (sql, rows) in [(NEW_RECORDS, &new), (NEWER_RECORDS, &newer)] {
            if rows.is_empty() {
                continue;
            }
            let columns = values![
                house,
                column!(rows, row => row.head.record),
                column!(rows, row => row.new.kind.as_str()),
                column!(rows, row => row.new.id.as_str()),
                column!(rows, row => row.head.newest),
                column!(rows, row => row.deleted),
                column!(rows, row => row.at),
                column!(rows, row => row.new.owner.as_str()),
                column!(rows, row => row.patient),
                column!(rows, row => row.encounter),
                column!(rows, row => row.keys().date.map(|date| micros(date.from))),
                column!(rows, row => row.keys().date.map(|date| micros(date.to))),
                column!(rows, row => row.keys().status.as_deref()),
            ];
            asked.push(ask(sql, columns));
        }
        if !newer.is_empty() {
            asked.push(ask(OLD_TOKENS, values![house, column!(newer, row => row.head.record)]));
        }
        let mut tokens: Vec<(&str, Cow<'_, str>, i64)> = Vec::new();
        for row in self.records.iter().filter(|row| !row.deleted) {
            let own = row.keys().tokens.iter().map(|it| token(it)).collect::<BTreeSet<_>>();
            tokens.extend(own.into_iter().map(|it| (row.new.kind.as_str(), it, row.head.record)));
        }
        if !tokens.is_empty() {
            let kinds = column!(tokens, row => row.0);
            let records = column!(tokens, row => row.2);
            let tokens: Vec<Cow<'_, str>> = tokens.into_iter().map(|row| row.1).collect();
            asked.push(ask(NEW_TOKENS, values![house, kinds, tokens, records]));
        }
        self.add_versions(house, asked);
    }

    fn add_versions<'a>(&'a self, house: i64, asked: &mut Vec<Asked<'a>>) {
        let rows = &self.versions;
        if !rows.is_empty() {
            let columns = values![
                house,
                column!(rows, row => row.record),
                column!(rows, row => row.version),
                column!(rows, row => row.at),
                column!(rows, row => row.new.owner.as_str()),
                column!(rows, row => row.receipt),
                column!(rows, row => row.new.lane.as_deref()),
                column!(rows, row => row.number),
                column!(rows, row => row.content.map_or(&NOTHING[..], |kept| &kept.digest.0[..])),
                column!(rows, row => row.content.is_none()),
                column!(rows, row => row.content.is_some_and(|kept| kept.packed)),
                column!(rows, row => row.content.and_then(|kept| kept.file.as_ref().map(|it| &it[..]))),
                column!(rows, row => row.content.and_then(|kept| kept.inline())),
            ];
            asked.push(ask(NEW_VERSIONS, columns));
        }
        asked.extend(bringers::remember(house, self));
        if !self.raises.is_empty() {
            let columns = values![
                house,
                column!(self.raises, row => row.0.0),
                column!(self.raises, row => row.0.1),
                column!(self.raises, row => row.1.0),
                column!(self.raises, row => row.1.1),
            ];
            asked.push(ask(RAISES, columns));
        }
        asked.extend(bringers::withdraw(house, &self.withdrawals));
    }

    fn add_works<'a>(&'a self, house: i64, asked: &mut Vec<Asked<'a>>) {
        let (newer, new): (Vec<_>, Vec<_>) = self.works.iter().partition(|row| row.now.there);
        for (sql, rows) in [(NEW_WORKS, new), (NEWER_WORKS, newer)] {
            if rows.is_empty() {
                continue;
            }
            let columns = values![
                house,
                column!(rows, row => row.now.work),
                column!(rows, row => row.work.id.as_str()),
                column!(rows, row => row.work.kind.code()),
                column!(rows, row => row.work.lane.as_str()),
                column!(rows, row => row.work.partner.as_ref().map(|partner| partner.as_str())),
                column!(rows, row => row.work.dossier.as_deref()),
                column!(rows, row => row.work.trigger.as_deref()),
                column!(rows, row => row.work.label.as_deref()),
                column!(rows, row => row.work.number.map(int)),
                column!(rows, row => row.work.state.as_str()),
                column!(rows, row => row.work.due.map(micros)),
                column!(rows, row => row.now.revision),
                column!(rows, row => row.now.created),
                column!(rows, row => row.at),
                column!(rows, row => row.now.fence),
                column!(rows, row => row.now.leased_until),
                column!(rows, row => row.work.body.as_slice()),
                column!(rows, row => row.work.gathered.as_deref()),
            ];
            asked.push(ask(sql, columns));
        }
    }

    fn add_contents<'a>(&'a self, house: i64, asked: &mut Vec<Asked<'a>>) -> Result<(), Error> {
        let blobs = &self.blobs;
        if !blobs.is_empty() {
            let columns = values![
                house,
                column!(blobs, kept => &kept.digest.0[..]),
                column!(blobs, kept => kept.packed),
                column!(blobs, kept => kept.file.as_ref().map(|file| &file[..])),
                column!(blobs, kept => kept.inline()),
            ];
            asked.push(ask(NEW_BLOBS, columns));
        }
        if !self.uses.is_empty() {
            let works = column!(self.uses, row => row.0);
            let digests = column!(self.uses, row => &row.1.0[..]);
            asked.push(ask(NEW_USES, values![house, works, digests]));
        }
        let answers = self.answers.iter();
        let answers = answers.filter_map(|(unit, body)| Some((unit.first_answer.as_ref()?, *body)));
        let answers: Vec<_> = answers.collect();
        if !answers.is_empty() {
            let marks: Vec<Vec<u8>> = column!(answers, row => mark(&row.0.key).0.to_vec());
            let headers = answers.iter().map(|row| headers_of(row.0));
            let headers = headers.collect::<Result<Vec<String>, _>>()?;
            let columns = values![
                house,
                column!(answers, row => row.0.sender.as_str()),
                marks,
                column!(answers, row => row.0.key.as_str()),
                column!(answers, row => &row.0.digest.0[..]),
                column!(answers, row => i32::from(row.0.status)),
                headers,
                column!(answers, row => &row.1.digest.0[..]),
                column!(answers, row => row.1.packed),
                column!(answers, row => row.1.file.as_ref().map(|file| &file[..])),
                column!(answers, row => row.1.inline()),
            ];
            asked.push(ask(NEW_ANSWERS, columns));
        }
        Ok(())
    }
}

/// SHA-256 of nothing: the digest of a deletion.
const NOTHING: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

#[cfg(test)]
#[path = "rows_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
