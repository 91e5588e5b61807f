//! Plan: what filing some entries would write, decided before anything is written.
//!
//! Comes in   entries to put or delete, who sends them, and the newest versions that stand now.
//! Goes out   versions to write, what they rely on, and an outcome for every entry; or issues.
//! Never      reads or writes the store: who calls it commits, and plans again when `Stale`.
//!
//! Why marks: what a push takes back may not have come yet, since an older push of the same sender
//! is held for a person. That is written down beside the records and not in their place, once for
//! each sender: a mark is no record, nobody reads it, and it is in no other sender's way.
//!
//! Why pure: ownership, order of pushes and repeats are promises to partners (docs/ARCHITECTURE.md,
//! derived identity). They must be testable as a table.

use crate::beneath::SetAside;
use bytes::Bytes;
use exchange::issues::IssuesByEntry;
use exchange::ledger::FiledVersion;
use exchange::read::{DIRECTORY, IfMatch};
use exchange::{Code, Digest, Issue, Issues, PartnerId};
use jiff::Timestamp;
use std::borrow::Cow;
use store::{Expect, NewVersion, Raise, Record, RecordKeys};

/// One entry to file.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Its place in the Bundle, counted from 0: where issues point.
    pub entry: usize,
    /// Resource type.
    pub kind: String,
    /// Logical id.
    pub id: String,
    /// The bytes to put; `None` deletes.
    pub content: Option<Bytes>,
    /// What searches find it by.
    pub keys: RecordKeys,
    /// The id was computed again from the sender's own namespace: nobody else has a right to it.
    pub derived: bool,
    /// What the record's newest version must be.
    pub if_match: Option<IfMatch>,
}

impl Incoming {
    /// A resource to put under its own id; `None` when it has none.
    pub fn put(entry: usize, resource: &fhir::Resource) -> Option<Incoming> {
        Some(Incoming::of(entry, resource.id()?, resource))
    }

    /// A resource to put under this id, which is its own.
    pub(crate) fn of(entry: usize, id: &str, resource: &fhir::Resource) -> Incoming {
        Incoming {
            entry,
            kind: resource.kind().to_owned(),
            id: id.to_owned(),
            content: Some(resource.bytes().clone()),
            keys: crate::keys(resource),
            derived: false,
            if_match: None,
        }
    }

    /// A record to delete.
    pub fn delete(entry: usize, kind: &str, id: &str) -> Incoming {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        let keys = RecordKeys::default();
        Incoming { entry, kind, id, content: None, keys, derived: false, if_match: None }
    }

    fn asks(&self) -> Asks {
        Asks { puts: self.content.is_some(), derived: self.derived, if_match: self.if_match }
    }
}

/// Who files, and which push it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filing {
    /// Whose records they become: the authenticated sender.
    pub owner: PartnerId,
    /// What brought them: a submission id.
    pub receipt: String,
    /// (patient, payer); `None` for senders without numbers.
    pub lane: Option<String>,
    /// The push's number within the lane.
    pub number: Option<u64>,
    /// When the sender read its chart.
    pub as_of: Option<Timestamp>,
}

/// The kind under which marks are kept: no type of R4, so that no door leads to it.
const MARK: &str = "withdrawal";

impl Filing {
    /// The filing as it counts for records of a type. What is nobody's comes with the pushes of many
    /// patients, whose numbers say nothing of each other: there the time counts at which the chart was
    /// read, in microseconds, in one lane of the sender's.
    fn of_kind(&self, kind: &str) -> Cow<'_, Filing> {
        match (self.number, self.as_of) {
            (Some(_), Some(as_of)) if DIRECTORY.contains(&kind) => Cow::Owned(Filing {
                lane: Some(format!("{}|nobody", self.owner)),
                number: Some(u64::try_from(as_of.as_microsecond()).unwrap_or(0)),
                ..self.clone()
            }),
            _ => Cow::Borrowed(self),
        }
    }

    /// Where the mark of a record that this sender took back is kept; `None` for a push without a
    /// number, which leaves none.
    pub fn mark(&self, kind: &str, id: &str) -> Option<(String, String)> {
        let own = self.of_kind(kind);
        let (lane, _) = (own.lane.as_ref()?, own.number?);
        Some((MARK.to_owned(), format!("{lane}|{kind}/{id}")))
    }

    /// Whether it comes too late for a record of this type: a newer push of the same lane took that back,
    /// as its head or its mark says.
    pub fn is_withdrawn(&self, kind: &str, head: Option<&Record>, mark: Option<&Record>) -> bool {
        let gone = |one: &&Record| one.deleted && one.owner == self.owner && one.number.is_some();
        let by = head.filter(gone).or(mark.filter(|_| head.is_none_or(|head| head.deleted)));
        by.is_some_and(|one| is_older(&self.of_kind(kind), one))
    }
}

/// What stands now: of each entry, the newest version of its record and of its mark.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'s> {
    /// The records (`House::heads`), deleted ones included.
    pub heads: &'s [Option<Record>],
    /// Their marks (`Filing::mark`); empty for filings without a number.
    pub marks: &'s [Option<Record>],
}

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There was none, or a deleted one: a version is written.
    Created,
    /// Other content stood there: a version is written.
    Updated,
    /// The same bytes stand there already: no version.
    Unchanged,
    /// A version without content is written.
    Deleted,
    /// There is none, or it is deleted already: no version.
    AlreadyAbsent,
    /// A push with a higher number filed what stands there: set aside, no version.
    Older,
    /// It was to be created only if it was not there, and it is: no version.
    Exists,
}

/// What becomes of one entry, and where it then stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryOutcome {
    /// The entry's place in the Bundle, counted from 0.
    pub entry: usize,
    /// Resource type.
    pub kind: String,
    /// Logical id.
    pub id: String,
    /// What becomes of it.
    pub change: Change,
    /// The newest version after the unit; `None`: there never was one.
    pub version: Option<u64>,
    /// SHA-256 of that version's content; of nothing where it is deleted or there is none.
    pub digest: Digest,
    /// When that version was filed; `None`: it is this unit that files it.
    pub last_updated: Option<Timestamp>,
    /// What was put; `None` where nothing was, or something else stands.
    pub content: Option<Bytes>,
}

/// What to write, on which grounds, and what to answer.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Versions to write, for `Unit.records`.
    pub records: Vec<NewVersion>,
    /// Numbers to raise, for `Unit.raises`.
    pub raises: Vec<Raise>,
    /// What the plan relies on, for `Unit.expects`: one per entry, unchanged ones included.
    pub expects: Vec<Expect>,
    /// One per entry that is acted on, in their order.
    pub outcomes: Vec<EntryOutcome>,
    /// Entries of a batch that are refused, and why.
    pub refused: IssuesByEntry,
    /// What is not written because something newer stands: whoever files looks whether that may be
    /// withdrawn.
    pub older: Vec<SetAside>,
    /// Of `records`, those that were put beneath what stands.
    pub beneath: Vec<FiledVersion>,
}

impl Plan {
    /// How many entries end in this way.
    pub fn count(&self, change: Change) -> u64 {
        self.outcomes.iter().filter(|outcome| outcome.change == change).count() as u64
    }
}

/// Plans entries that stand or fall together; what stands is in the same order. No record is named
/// twice: whoever collects the entries sees to that (`resolve`, `Loader`).
///
/// Errors, all of them at once: `RecordOwnedByAnother`, `VersionConflict`.
pub fn plan_transaction(
    incoming: Vec<Incoming>,
    filing: &Filing,
    standing: Standing<'_>,
) -> Result<Plan, Issues> {
    debug_assert_eq!(incoming.len(), standing.heads.len(), "one head for each entry");
    let (mut plan, mut issues) = (Plan::default(), Vec::new());
    let marks = standing.marks.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    for ((item, head), mark) in incoming.into_iter().zip(standing.heads).zip(marks) {
        let entry = item.entry;
        let added = plan.add(item, filing, head.as_ref(), mark);
        issues.extend(added.err().map(|fault| of_entry(entry, fault)));
    }
    Issues::of(issues).map_or(Ok(plan), Err)
}

/// Plans resources of files, of which each stands or falls alone and has the filing of its own push;
/// what stands is in the same order. No record is named twice. What is refused is in `Plan.refused`, by
/// the item's `entry`; its place is the resource's type.
pub fn plan_each(incoming: Vec<(Incoming, &Filing)>, standing: Standing<'_>) -> Plan {
    debug_assert_eq!(incoming.len(), standing.heads.len(), "one head for each");
    let mut plan = Plan::default();
    let marks = standing.marks.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    for (((item, filing), head), mark) in incoming.into_iter().zip(standing.heads).zip(marks) {
        let (entry, kind) = (item.entry, item.kind.clone());
        if let Err((_, code, detail)) = plan.add(item, filing, head.as_ref(), mark) {
            Issues::note(&mut plan.refused, entry, Issue::new(code, detail).at(kind));
        }
    }
    plan
}

/// Which part of an entry is at fault, and why.
type Fault = (&'static str, Code, &'static str);

fn of_entry(entry: usize, (way, code, detail): Fault) -> Issue {
    Issue::new(code, detail).at(format!("Bundle.entry[{entry}].{way}"))
}

impl Plan {
    fn add(
        &mut self,
        item: Incoming,
        filing: &Filing,
        head: Option<&Record>,
        mark: Option<&Record>,
    ) -> Result<(), Fault> {
        self.expects.push(Expect::Version {
            kind: item.kind.clone(),
            id: item.id.clone(),
            version: head.map(|head| head.version),
        });
        let filing = &*filing.of_kind(&item.kind);
        let own = head.filter(|head| head.owner == filing.owner);
        // A deletion without a number holds nothing back: what was taken out leaves such a one.
        let counts = own.is_some_and(|head| !head.deleted || head.number.is_some());
        if !counts && self.mark(&item, filing, mark) {
            return Ok(());
        }
        check(item.asks(), filing, head)?;
        let change = change(&item, filing, head);
        let seen = own.or(head.filter(|_| item.content.is_some()));
        let newest = seen.map(|head| head.version);
        let writes = matches!(change, Change::Created | Change::Updated | Change::Deleted);
        self.outcomes.push(EntryOutcome {
            entry: item.entry,
            kind: item.kind.clone(),
            id: item.id.clone(),
            change,
            content: item.content.clone().filter(|_| change != Change::Older),
            version: if writes { Some(newest.unwrap_or(0) + 1) } else { newest },
            digest: match seen.filter(|_| !writes) {
                Some(head) => head.digest,
                None => Digest::of(item.content.as_deref().unwrap_or_default()),
            },
            last_updated: seen.filter(|_| !writes).map(|head| head.last_updated),
        });
        self.older.extend((!writes).then(|| SetAside::of(&item, filing, own)).flatten());
        // What stands, and what is gone, is so by the word of the later push from now on.
        // What stands is kept as long as what brought it last, with a number or without; and where one
        // of both is withdrawn, it stands, or is gone, by the word of the other.
        let number = raised(filing, own);
        let confirms = match change {
            Change::Unchanged => true,
            Change::AlreadyAbsent => own.is_some(),
            _ => false,
        };
        self.raises.extend(confirms.then(|| Raise {
            kind: item.kind.clone(),
            id: item.id.clone(),
            number,
            receipt: filing.receipt.clone(),
        }));
        if writes {
            self.records.push(NewVersion {
                kind: item.kind,
                id: item.id,
                owner: filing.owner.clone(),
                receipt: filing.receipt.clone(),
                lane: filing.lane.clone(),
                number: filing.number,
                content: item.content,
                keys: item.keys,
            });
        }
        Ok(())
    }

    /// Asks and keeps the mark of a record that the sender does not have: a deletion leaves one, and
    /// a later one raises it; an older push is set aside by it. Says whether that was all.
    ///
    /// Why the same for a record that is not there and for one of another sender: the answer must
    /// not tell them apart.
    fn mark(&mut self, item: &Incoming, filing: &Filing, mark: Option<&Record>) -> bool {
        let Some((kind, id)) = filing.mark(&item.kind, &item.id) else { return false };
        let version = mark.map(|mark| mark.version);
        self.expects.push(Expect::Version { kind: kind.clone(), id: id.clone(), version });
        // One whose push was withdrawn has no number: it holds nothing back any more.
        let change = match (&item.content, mark.filter(|mark| mark.number.is_some())) {
            (None, None) => {
                self.records.push(NewVersion {
                    kind,
                    id,
                    owner: filing.owner.clone(),
                    receipt: filing.receipt.clone(),
                    lane: filing.lane.clone(),
                    number: filing.number,
                    content: None,
                    keys: RecordKeys::default(),
                });
                Change::AlreadyAbsent
            }
            (None, Some(_)) => {
                let raised = raised(filing, mark);
                let receipt = filing.receipt.clone();
                self.raises.extend(raised.map(|number| Raise {
                    kind,
                    id,
                    number: Some(number),
                    receipt,
                }));
                Change::AlreadyAbsent
            }
            (Some(_), Some(mark)) if is_older(filing, mark) => Change::Older,
            (Some(_), _) => return false,
        };
        self.outcomes.push(EntryOutcome {
            entry: item.entry,
            kind: item.kind.clone(),
            id: item.id.clone(),
            change,
            content: None,
            version: None,
            digest: Digest::of(b""),
            last_updated: None,
        });
        true
    }
}

/// What becomes of an entry that may write what it names. The order of the questions is the order of
/// their force: whether it is there for this sender, whether it is a repeat, whether it is late.
fn change(item: &Incoming, filing: &Filing, head: Option<&Record>) -> Change {
    let Some(head) = head.filter(|head| head.owner == filing.owner) else {
        return match &item.content {
            Some(_) => Change::Created,
            None => Change::AlreadyAbsent,
        };
    };
    match &item.content {
        None if head.deleted => Change::AlreadyAbsent,
        Some(content) if stands(head) && head.digest == Digest::of(content) => Change::Unchanged,
        _ if is_older(filing, head) => Change::Older,
        None => Change::Deleted,
        Some(_) if head.deleted => Change::Created,
        Some(_) => Change::Updated,
    }
}

/// What an entry asks of the record it names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asks {
    /// It puts something there.
    pub(crate) puts: bool,
    /// As `Incoming.derived`.
    pub(crate) derived: bool,
    /// As `Incoming.if_match`.
    pub(crate) if_match: Option<IfMatch>,
}

/// Whether an entry may write what it names: whose it is, and in which version it stands. Errors:
/// which part of the entry is at fault, and why.
pub(crate) fn check(asks: Asks, filing: &Filing, head: Option<&Record>) -> Result<(), Fault> {
    // First: a version of what is another sender's is no version, and nothing more is told.
    if asks.if_match.is_some_and(|wanted| !matches(wanted, filing, head)) {
        let detail = "the record's newest version is another one, or there is none";
        return Err(("request.ifMatch", Code::VersionConflict, detail));
    }
    // Nobody's, its own, or one that another sender has left under an id derived from this sender's
    // namespace.
    let its_own = |head: &Record| head.owner == filing.owner || asks.derived && head.deleted;
    if asks.puts && !head.is_none_or(its_own) {
        let detail = "this record belongs to another sender";
        return Err(("resource", Code::RecordOwnedByAnother, detail));
    }
    Ok(())
}

/// Whether the record's newest version is the one wanted. What is another sender's is not there.
fn matches(wanted: IfMatch, filing: &Filing, head: Option<&Record>) -> bool {
    let own = head.filter(|head| head.owner == filing.owner && !head.deleted);
    own.is_some_and(|head| match wanted {
        IfMatch::Any => true,
        IfMatch::Version(version) => head.version == version,
    })
}

/// Whether its content is there: what was purged comes again as a new version.
fn stands(head: &Record) -> bool {
    !head.deleted && !head.purged
}

/// Numbers compare within one lane only.
pub(crate) fn is_older(filing: &Filing, head: &Record) -> bool {
    let same_lane = filing.lane.is_some() && filing.lane == head.lane;
    match (filing.number, head.number) {
        (Some(number), Some(filed)) => same_lane && number < filed,
        _ => false,
    }
}

/// Whether a push leaves what stands of a record of this type as it is, because a newer one filed it.
pub(crate) fn is_set_aside(filing: &Filing, kind: &str, head: &Record) -> bool {
    head.owner == filing.owner && !head.deleted && is_older(&filing.of_kind(kind), head)
}

/// The number that a repeat of the same content, or of the same deletion, raises.
fn raised(filing: &Filing, head: Option<&Record>) -> Option<u64> {
    let head = head.filter(|head| filing.lane.is_some() && filing.lane == head.lane)?;
    filing.number.filter(|number| head.number.is_some_and(|filed| filed < *number))
}

#[cfg(test)]
mod tests;
