//! Group: units that share one commit, decided in memory one after the other.
//!
//! Comes in   units, and what the database holds of everything they name, read under the house's
//!            lock.
//! Goes out   what becomes of each unit, and the rows that the group writes.
//! Never      writes: a unit that is refused leaves no trace here, and none in the database.
//!
//! Why in memory: a savepoint and a dozen statements for each unit cost the server more than the
//! rows themselves. Each unit sees what the earlier ones of its group have done.
//!
//! The order of the questions is the order of their force: a repeated key is answered as before
//! even by a worker that was overtaken, and a worker that was overtaken need not know what else
//! has changed.

use exchange::parts::Holding;
use exchange::{Chain, Digest, Entry, Event, PartnerId};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::bringers::{EarlierRow, WithdrawalRow};
use super::row::{int, micros};
use super::work::WorkNow;
use crate::blob::Kept;
use crate::house::{Commit, Expect, NewVersion, RecordKeys, RecordQuery, Unit, Work};
use crate::lease::{After, after, stirs};
use crate::limits::FILED_COMPARED_MAX;
use crate::seal::{Answered, Decided, Sealed};

/// Highest numbers the house has given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) lines: i64,
    pub(super) works: i64,
    pub(super) records: i64,
    pub(super) subjects: i64,
}

/// A record's newest version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) record: i64,
    pub(super) newest: i64,
    /// Whether the database has it.
    pub(super) there: bool,
    /// Where its newest version stands in `Rows.versions`, when the group writes it.
    pub(super) row: Option<usize>,
}

/// A lane's highest number.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lane {
    pub(super) number: i64,
    /// Whether its rows of work change.
    pub(super) touched: bool,
}

/// What the database holds of everything a group names, and what its units have made of it.
#[derive(Default)]
pub(super) struct Known<'a> {
    /// The database's time, where leases by its clock are to be judged.
    pub(super) now: i64,
    pub(super) counts: Counts,
    /// By sender and key.
    pub(super) answers: HashMap<(&'a str, &'a str), Answered>,
    /// By id.
    pub(super) works: HashMap<&'a str, WorkNow<'a>>,
    pub(super) lanes: BTreeMap<Cow<'a, str>, Lane>,
    /// The last hash of each chain.
    pub(super) chains: HashMap<String, Digest>,
    /// By type and id.
    pub(super) heads: HashMap<(&'a str, &'a str), Head>,
    pub(super) subjects: HashMap<&'a str, i64>,
    /// What brought a version, by type, id and number: the last, and those before in order.
    pub(super) brought: HashMap<(&'a str, &'a str, u64), (String, Vec<String>)>,
    /// Whether what `Expect::Found` asks for is so, by its place in memory.
    pub(super) found: HashMap<usize, bool>,
}

/// A version to be written.
pub(super) struct VersionRow<'a> {
    pub(super) record: i64,
    pub(super) version: i64,
    pub(super) at: i64,
    pub(super) new: &'a NewVersion,
    pub(super) content: Option<&'a Kept>,
    pub(super) number: Option<i64>,
    pub(super) receipt: &'a str,
}

/// A record's row, as its newest version makes it.
pub(super) struct RecordRow<'a> {
    pub(super) head: Head,
    pub(super) at: i64,
    pub(super) deleted: bool,
    pub(super) new: &'a NewVersion,
    pub(super) patient: Option<i64>,
    pub(super) encounter: Option<i64>,
}

impl RecordRow<'_> {
    /// What searches find it by.
    pub(super) fn keys(&self) -> &RecordKeys {
        &self.new.keys
    }
}

/// A row of work to be written.
pub(super) struct WorkRow<'a> {
    pub(super) work: &'a Work,
    pub(super) now: WorkNow<'a>,
    pub(super) at: i64,
}

/// The rows that a group writes.
#[derive(Default)]
pub(super) struct Rows<'a> {
    pub(super) entries: Vec<(String, Entry)>,
    pub(super) versions: Vec<VersionRow<'a>>,
    /// Versions of earlier groups that came again, by record and version: number and receipt.
    pub(super) raises: BTreeMap<(i64, i64), (Option<i64>, &'a str)>,
    /// What brought versions before something else of the group did.
    pub(super) earlier: Vec<EarlierRow<'a>>,
    pub(super) withdrawals: Vec<WithdrawalRow<'a>>,
    pub(super) records: Vec<RecordRow<'a>>,
    pub(super) works: Vec<WorkRow<'a>>,
    pub(super) subjects: Vec<(&'a str, i64)>,
    pub(super) blobs: Vec<&'a Kept>,
    /// Row of work and content.
    pub(super) uses: Vec<(&'a str, Digest)>,
    /// With the body.
    pub(super) answers: Vec<(&'a Unit, &'a Kept)>,
    /// What doors hold, in the order of the units.
    pub(super) holdings: Vec<(&'a PartnerId, &'a Holding)>,
    /// Whether a unit was written at all.
    pub(super) any: bool,
}

/// What a query is known by while its unit stays where it is.
pub(super) fn place(query: &RecordQuery) -> usize {
    std::ptr::from_ref(query).addr()
}

/// Decides units in their order.
pub(super) struct Group<'a> {
    pub(super) known: Known<'a>,
    pub(super) rows: Rows<'a>,
    /// Versions that were written, by type.
    filed: HashMap<&'a str, Vec<(&'a NewVersion, bool)>>,
    /// Ids of rows of work that were written, in the order of their first writing.
    written: Vec<&'a str>,
}

impl<'a> Group<'a> {
    /// Begins with what the database holds.
    pub(super) fn new(known: Known<'a>) -> Group<'a> {
        Group { known, rows: Rows::default(), filed: HashMap::new(), written: Vec::new() }
    }

    /// What becomes of the next unit. `None`: it depends on what an earlier unit of the group
    /// writes in a way that only the database can tell, and is the first of the next group.
    pub(super) fn decide(&mut self, sealed: &'a Sealed) -> Option<Decided> {
        let unit = &sealed.unit;
        let said = |commit| Some(Decided::Said(commit));
        if let Some(new) = &unit.first_answer
            && let Some(before) = self.known.answers.get(&(new.sender.as_str(), &new.key))
        {
            return match before.answer.digest == new.digest {
                true => Some(Decided::Repeated(Box::new(before.clone()))),
                false => said(Commit::Conflict),
            };
        }
        if let Some(fence) = &unit.fence {
            let row = self.known.works.get(fence.work.as_str());
            if !row.is_some_and(|row| row.holds(fence, micros(unit.at), self.known.now)) {
                return said(Commit::Overtaken);
            }
        }
        if self.is_behind(unit) {
            return None;
        }
        for expect in &unit.expects {
            if !self.meets(expect)? {
                return said(Commit::Stale);
            }
        }
        let Some(works) = self.works_after(unit) else { return said(Commit::Stale) };
        self.rows.any = true;
        self.write_lines(unit);
        self.write_works(works);
        let versions = self.write_records(sealed);
        self.write_raises(unit);
        self.write_withdrawals(unit);
        self.write_contents(sealed);
        said(Commit::Done { versions })
    }

    /// Whether a unit asks what brought a version that the group has written something of, or brings
    /// one again that a unit of the group withdraws.
    fn is_behind(&self, unit: &Unit) -> bool {
        let head =
            |kind: &str, id: &str| -> Option<Head> { self.known.heads.get(&(kind, id)).copied() };
        let withdrawn =
            |head: Head| self.rows.withdrawals.iter().any(|row| row.record == head.record);
        let raised = |head: Head| {
            self.rows.raises.range((head.record, 0)..=(head.record, i64::MAX)).next().is_some()
        };
        let asks = unit.expects.iter().any(|expect| match expect {
            Expect::Brought { kind, id, .. } => head(kind, id)
                .is_some_and(|head| head.row.is_some() || raised(head) || withdrawn(head)),
            _ => false,
        });
        asks || !self.rows.withdrawals.is_empty()
            && unit.raises.iter().any(|raise| head(&raise.kind, &raise.id).is_some_and(withdrawn))
    }

    /// `None`: only the database can tell, after what the group has written.
    fn meets(&self, expect: &Expect) -> Option<bool> {
        let known = &self.known;
        Some(match expect {
            Expect::Version { kind, id, version } => {
                let head = known.heads.get(&(kind.as_str(), id.as_str()));
                head.map(|head| head.newest) == version.map(int)
            }
            Expect::LaneNumber { lane, number } => {
                let lane = known.lanes.get(lane.as_str());
                lane.map_or(0, |lane| lane.number.cast_unsigned()) == *number
            }
            Expect::Found { query, ids } => {
                let filed = self.filed.get(query.kind.as_str()).map_or(&[][..], Vec::as_slice);
                let touches = |(new, deleted): &(&NewVersion, bool)| {
                    // When it is filed and whose it is are not asked: it may fit.
                    ids.contains(&new.id) || (!deleted && query.fits(Some(&new.id), &new.keys))
                };
                if filed.len() > FILED_COMPARED_MAX || filed.iter().any(touches) {
                    return None;
                }
                known.found.get(&place(query)).copied().unwrap_or(false)
            }
            Expect::Brought { kind, id, version, receipt, earlier } => {
                let now = known.brought.get(&(kind.as_str(), id.as_str(), *version));
                now.is_some_and(|(last, before)| {
                    let mut earlier: Vec<&String> = earlier.iter().collect();
                    earlier.sort_unstable();
                    last == receipt && before.iter().eq(earlier)
                })
            }
            Expect::WorkRevision { id, revision } => {
                let row = known.works.get(id.as_str());
                row.map(|row| row.revision) == revision.map(int)
            }
        })
    }

    /// The rows of work as the unit leaves them; `None`: one is leased to somebody else.
    fn works_after(&self, unit: &'a Unit) -> Option<Vec<WorkNow<'a>>> {
        let at = micros(unit.at);
        let mut rows: Vec<WorkNow<'a>> = Vec::with_capacity(unit.works.len());
        for work in &unit.works {
            let earlier = (unit.works.iter().zip(&rows))
                .rev()
                .find_map(|(other, row)| (other.id == work.id).then_some(row));
            let next = match earlier.or_else(|| self.known.works.get(work.id.as_str())) {
                None => WorkNow::new(work, at),
                Some(before) => {
                    let judged = if before.by_database { self.known.now } else { at };
                    let ends = after(unit, work, before.leased_until, judged)?;
                    WorkNow {
                        revision: before.revision + 1,
                        changed: at,
                        fence: before.fence + i64::from(ends == After::Broken),
                        leased_until: before.leased_until.filter(|_| ends == After::Stays),
                        written: Some(work),
                        lane: Cow::Borrowed(&work.lane),
                        ..before.clone()
                    }
                }
            };
            rows.push(next);
        }
        Some(rows)
    }

    fn write_lines(&mut self, unit: &'a Unit) {
        for (chain, event) in &unit.lines {
            self.write_line(unit, chain, event);
        }
    }

    fn write_line(&mut self, unit: &Unit, chain: &Chain, event: &Event) {
        let known = &mut self.known;
        let text = chain.to_string();
        let prev = known.chains.get(&text).copied().unwrap_or(Digest([0; 32]));
        known.counts.lines += 1;
        let seq = known.counts.lines.cast_unsigned();
        let entry = Entry::new(seq, unit.at, chain.clone(), event, prev);
        known.chains.insert(text.clone(), entry.hash);
        self.rows.entries.push((text, entry));
    }

    fn write_works(&mut self, works: Vec<WorkNow<'a>>) {
        let known = &mut self.known;
        for mut next in works {
            let Some(work) = next.written else { continue };
            let before = known.works.get(work.id.as_str());
            let stirs = stirs(work, before.is_none());
            if let Some(before) = before {
                known.lanes.entry(before.lane.clone()).or_default().touched = true;
                next.work = before.work;
            } else {
                known.counts.works += 1;
                next.work = known.counts.works;
            }
            if before.is_none_or(|before| before.written.is_none()) {
                self.written.push(&work.id);
            }
            let lane = known.lanes.entry(Cow::Borrowed(&work.lane)).or_default();
            lane.touched |= stirs;
            let number = i64::try_from(work.number.unwrap_or(0)).unwrap_or(i64::MAX);
            lane.number = lane.number.max(number);
            known.works.insert(&work.id, next);
        }
    }

    fn write_records(&mut self, sealed: &'a Sealed) -> Vec<u64> {
        let (known, rows) = (&mut self.known, &mut self.rows);
        let at = micros(sealed.unit.at);
        let versions = sealed.unit.records.iter().zip(&sealed.contents).map(|(new, content)| {
            let counts = &mut known.counts;
            let head = known.heads.entry((&new.kind, &new.id)).or_insert_with(|| {
                counts.records += 1;
                Head { record: counts.records, newest: 0, there: false, row: None }
            });
            head.newest += 1;
            head.row = Some(rows.versions.len());
            let (record, version) = (head.record, head.newest);
            let (content, number) = (content.as_ref(), new.number.map(int));
            let receipt = &new.receipt;
            rows.versions.push(VersionRow { record, version, at, new, content, number, receipt });
            self.filed.entry(&new.kind).or_default().push((new, content.is_none()));
            version.cast_unsigned()
        });
        versions.collect()
    }

    fn write_raises(&mut self, unit: &'a Unit) {
        for raise in &unit.raises {
            let head = self.known.heads.get(&(raise.kind.as_str(), raise.id.as_str()));
            let Some(head) = head else { continue };
            let (number, receipt) = (raise.number.map(int), raise.receipt.as_str());
            let raised = |before: Option<i64>| match number {
                Some(number) => Some(before.unwrap_or(0).max(number)),
                None => before,
            };
            let (record, version) = (head.record, head.newest);
            let earlier = |receipt, number| EarlierRow { record, version, receipt, number };
            if let Some(row) = head.row.and_then(|row| self.rows.versions.get_mut(row)) {
                if row.receipt != receipt {
                    self.rows.earlier.push(earlier(row.receipt, row.number));
                }
                (row.number, row.receipt) = (raised(row.number), receipt);
            } else {
                let raise = self.rows.raises.entry((record, version)).or_insert((None, receipt));
                if raise.1 != receipt {
                    self.rows.earlier.push(earlier(raise.1, raise.0));
                }
                *raise = (number.max(raise.0), receipt);
            }
        }
    }

    fn write_withdrawals(&mut self, unit: &'a Unit) {
        for gone in &unit.withdrawals {
            let head = self.known.heads.get(&(gone.kind.as_str(), gone.id.as_str()));
            self.rows.withdrawals.extend(head.map(|head| WithdrawalRow {
                record: head.record,
                version: int(gone.version),
                receipt: &gone.receipt,
                left: gone.left.as_ref(),
            }));
        }
    }

    fn write_contents(&mut self, sealed: &'a Sealed) {
        let rows = &mut self.rows;
        let holdings = sealed.unit.holdings.iter();
        rows.holdings.extend(holdings.map(|(partner, holding)| (partner, holding)));
        rows.blobs.extend(&sealed.blobs);
        for work in &sealed.unit.works {
            let contents = sealed.blobs.iter().chain(&sealed.answer);
            rows.uses.extend(contents.map(|kept| (work.id.as_str(), kept.digest)));
        }
        if let (Some(new), Some(body)) = (&sealed.unit.first_answer, &sealed.answer) {
            rows.answers.push((&sealed.unit, body));
            let key = (new.sender.as_str(), new.key.as_str());
            self.known.answers.insert(key, Answered::of(new, body));
        }
    }

    /// The rows to write, and the house's counts with them.
    pub(super) fn finish(mut self) -> (Known<'a>, Rows<'a>) {
        self.finish_records();
        let (known, mut rows) = (self.known, self.rows);
        rows.works = self
            .written
            .into_iter()
            .filter_map(|id| {
                let now = known.works.get(id)?;
                Some(WorkRow { work: now.written?, now: now.clone(), at: now.changed })
            })
            .collect();
        (known, rows)
    }

    /// A record's row says what its newest version says, whatever came before in the group.
    fn finish_records(&mut self) {
        let mut newest: Vec<(usize, Head)> =
            self.known.heads.values().filter_map(|head| Some((head.row?, *head))).collect();
        newest.sort_unstable_by_key(|(row, _)| *row);
        for (row, head) in newest {
            let VersionRow { at, new, content, .. } = self.rows.versions[row];
            let patient = self.subject(new.keys.patient.as_deref());
            let encounter = self.subject(new.keys.encounter.as_deref());
            let deleted = content.is_none();
            self.rows.records.push(RecordRow { head, at, deleted, new, patient, encounter });
        }
    }

    /// The number that stands for a Patient's or Encounter's id.
    fn subject(&mut self, id: Option<&'a str>) -> Option<i64> {
        let id = id?;
        let (counts, rows) = (&mut self.known.counts, &mut self.rows);
        Some(*self.known.subjects.entry(id).or_insert_with(|| {
            counts.subjects += 1;
            rows.subjects.push((id, counts.subjects));
            counts.subjects
        }))
    }
}
