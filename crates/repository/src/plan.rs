//! Plan: what filing some entries would write, decided before anything is written.
//!
//! Comes in   entries to put or delete, who sends them, and the newest versions that stand now.
//! Goes out   versions to write, what they rely on, and an outcome for every entry; or issues.
//! Never      reads or writes the store: who calls it commits, and plans again when `Stale`.
//!
//! Why pure: ownership, order of pushes and repeats are promises to partners (docs/ARCHITECTURE.md,
//! derived identity). They must be testable as a table.

use bytes::Bytes;
use exchange::{Code, Digest, Issue, PartnerId};
use jiff::Timestamp;
use std::collections::HashSet;
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
}

impl Incoming {
    /// A resource to put under its own id; `None` when it has none.
    pub fn put(entry: usize, resource: &fhir::Resource) -> Option<Incoming> {
        Some(Incoming {
            entry,
            kind: resource.kind().to_owned(),
            id: resource.id()?.to_owned(),
            content: Some(resource.bytes().clone()),
            keys: crate::keys(resource),
        })
    }

    /// A record to delete.
    pub fn delete(entry: usize, kind: &str, id: &str) -> Incoming {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        Incoming { entry, kind, id, content: None, keys: RecordKeys::default() }
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
}

impl Change {
    /// The status of the entry's answer (R4 §3.1.0.7 and §3.1.0.8).
    pub fn status(self) -> &'static str {
        match self {
            Change::Created => "201 Created",
            Change::Updated | Change::Unchanged | Change::Older => "200 OK",
            Change::Deleted | Change::AlreadyAbsent => "204 No Content",
        }
    }
}

/// What becomes of one entry, and where it then stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryOutcome {
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
    /// One per entry, in their order.
    pub outcomes: Vec<EntryOutcome>,
}

impl Plan {
    /// How many entries end in this way.
    pub fn count(&self, change: Change) -> u64 {
        self.outcomes.iter().filter(|outcome| outcome.change == change).count() as u64
    }
}

/// Plans one entry. Errors: as `plan_transaction`.
pub fn plan_put(incoming: Incoming, filing: &Filing, head: Option<&Record>) -> Result<Plan, Issue> {
    let mut plan = Plan::default();
    plan.add(incoming, filing, head)?;
    Ok(plan)
}

/// Plans entries that stand or fall together. `heads` are the newest versions of the entries'
/// records, in the same order (`House::heads`), deleted ones included.
///
/// Errors, all of them at once: `RecordOwnedByAnother`; `EntryInvalid` where a record is named
/// twice (R4 §3.1.0.11.2: identities in a transaction may not overlap).
pub fn plan_transaction(
    incoming: Vec<Incoming>,
    filing: &Filing,
    heads: &[Option<Record>],
) -> Result<Plan, Vec<Issue>> {
    debug_assert_eq!(incoming.len(), heads.len(), "one head for each entry");
    let (mut plan, mut issues, mut named) = (Plan::default(), Vec::new(), HashSet::new());
    for (item, head) in incoming.into_iter().zip(heads) {
        let place = place(&item);
        if !named.insert((item.kind.clone(), item.id.clone())) {
            let detail = "the Bundle names this record twice";
            issues.push(Issue::new(Code::EntryInvalid, detail).at(place));
        } else if let Err(issue) = plan.add(item, filing, head.as_ref()) {
            issues.push(issue);
        }
    }
    if issues.is_empty() { Ok(plan) } else { Err(issues) }
}

impl Plan {
    fn add(&mut self, item: Incoming, filing: &Filing, head: Option<&Record>) -> Result<(), Issue> {
        let change = change(&item, filing, head)?;
        let newest = head.map(|head| head.version);
        let writes = matches!(change, Change::Created | Change::Updated | Change::Deleted);
        self.expects.push(Expect::Version {
            kind: item.kind.clone(),
            id: item.id.clone(),
            version: newest,
        });
        self.outcomes.push(EntryOutcome {
            kind: item.kind.clone(),
            id: item.id.clone(),
            change,
            version: if writes { Some(newest.unwrap_or(0) + 1) } else { newest },
            digest: match head.filter(|_| !writes) {
                Some(head) => head.digest,
                None => Digest::of(item.content.as_deref().unwrap_or_default()),
            },
            last_updated: head.filter(|_| !writes).map(|head| head.last_updated),
        });
        // What stands, and what is gone, is so by the word of the later push from now on.
        let confirms = matches!(change, Change::Unchanged | Change::AlreadyAbsent);
        let raised = confirms.then(|| raised(filing, head)).flatten();
        self.raises.extend(raised.map(|number| Raise {
            kind: item.kind.clone(),
            id: item.id.clone(),
            number,
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
}

/// The order of the questions is the order of their force: whose it is, whether it is a repeat,
/// whether it is late.
fn change(item: &Incoming, filing: &Filing, head: Option<&Record>) -> Result<Change, Issue> {
    let Some(head) = head else {
        // A numbered deletion of what is not there yet is written down: an older push that is still
        // held must not bring it back.
        return Ok(match (&item.content, filing.number) {
            (Some(_), _) => Change::Created,
            (None, Some(_)) => Change::Deleted,
            (None, None) => Change::AlreadyAbsent,
        });
    };
    if head.owner != filing.owner {
        let detail = "this record belongs to another sender";
        return Err(Issue::new(Code::RecordOwnedByAnother, detail).at(place(item)));
    }
    Ok(match &item.content {
        None if head.deleted => Change::AlreadyAbsent,
        Some(content) if !head.deleted && head.digest == Digest::of(content) => Change::Unchanged,
        _ if is_older(filing, head) => Change::Older,
        None => Change::Deleted,
        Some(_) if head.deleted => Change::Created,
        Some(_) => Change::Updated,
    })
}

/// Numbers compare within one lane only.
fn is_older(filing: &Filing, head: &Record) -> bool {
    let same_lane = filing.lane.is_some() && filing.lane == head.lane;
    match (filing.number, head.number) {
        (Some(number), Some(filed)) => same_lane && number < filed,
        _ => false,
    }
}

/// The number that a repeat of the same content, or of the same deletion, raises.
fn raised(filing: &Filing, head: Option<&Record>) -> Option<u64> {
    let head = head.filter(|head| filing.lane.is_some() && filing.lane == head.lane)?;
    filing.number.filter(|number| head.number.is_some_and(|filed| filed < *number))
}

fn place(item: &Incoming) -> String {
    match item.content {
        Some(_) => format!("Bundle.entry[{}].resource", item.entry),
        None => format!("Bundle.entry[{}].request.url", item.entry),
    }
}

#[cfg(test)]
mod tests;
