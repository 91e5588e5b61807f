//! Resolve: which records the entries of a Bundle are about, and whom.
//!
//! Comes in   a Bundle as `exchange::read` took it apart, who sends it, and the house.
//! Goes out   entries with ids, references rewritten, what stands there now; what every decision
//!            relies on; or the issues of all entries at once.
//! Never      writes; never looks at another sender's records; never decides by what it has not put
//!            among the expectations.
//!
//! Why in the order of the specification (R4 §3.1.0.11.2: DELETE, POST, PUT, then references): a
//! condition is asked of what stands when its turn comes, and an earlier entry may have changed
//! that.
//!
//! Why few questions: a Bundle of a whole chart has thousands of entries. Equal conditions are
//! asked once, those for one identifier of one type together, and all heads in one reading.

mod conditions;
mod references;
mod whom;

pub use whom::Whom;

use crate::desk::store_issue;
use crate::plan::{
    self, Asks, Change, EntryOutcome, Filing, Incoming, Plan, Standing, plan_transaction,
};
use conditions::{Conditions, Fitting};
use exchange::issues::IssuesByEntry;
use exchange::read::{self, Action, Form, IncomingEntry, Target};
use exchange::{Code, Digest, Issue, Issues, PartnerId};
use std::collections::{HashMap, HashSet};
use std::vec;
use store::{Expect, House, Record};

/// Who sends, and under which name what it brings is kept.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'s> {
    /// The authenticated sender: only its own records are looked at.
    pub owner: &'s PartnerId,
    /// What brought them: a submission id. Ids of new records are derived from it.
    pub receipt: &'s str,
    /// The base URL by which callers may name records of this house.
    pub base: &'s str,
}

/// A Bundle whose records are known.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Who files what.
    pub filing: Filing,
    /// Whom it is about; `None`: nobody, or records are only taken back.
    pub whom: Option<Whom>,
    /// Entries to file or delete, in the order of the Bundle.
    items: Vec<Incoming>,
    heads: Vec<Option<Record>>,
    marks: Vec<Option<Record>>,
    /// Entries that write nothing.
    settled: Vec<EntryOutcome>,
    /// Entries that lead to the record of another entry.
    same: Vec<(usize, usize)>,
    expects: Vec<Expect>,
    refused: IssuesByEntry,
}

impl Resolved {
    /// What to write, and what becomes of every entry. Errors: as `plan_transaction`.
    pub fn plan(self) -> Result<Plan, Issues> {
        let standing = Standing { heads: &self.heads, marks: &self.marks };
        let mut plan = plan_transaction(self.items, &self.filing, standing)?;
        plan.expects.extend(self.expects);
        plan.outcomes.extend(self.settled);
        for (entry, other) in self.same {
            let first = plan.outcomes.iter().find(|outcome| outcome.entry == other).cloned();
            plan.outcomes.extend(first.map(|one| one.again(entry)));
        }
        plan.outcomes.sort_by_key(|outcome| outcome.entry);
        plan.refused = self.refused;
        Ok(plan)
    }

    /// The resource of the Patient, where the Bundle brings it, and of its Coverages, as they will
    /// be filed.
    pub fn brought(&self, kind: &str) -> Vec<fhir::Resource> {
        let of_kind = self.items.iter().filter(|item| item.kind == kind);
        let contents = of_kind.filter_map(|item| item.content.clone());
        contents.filter_map(|content| fhir::Resource::parse(content).ok()).collect()
    }
}

/// What becomes of an entry, as far as its target goes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Placed {
    /// It writes the record with this id.
    Here(String),
    /// The record with this id stands, and stays as it is.
    Stands(String),
    /// The record of that entry is meant.
    Same(usize),
    /// There is nothing to delete.
    Absent,
}

type Pair = (String, String);

/// Finds the records of a Bundle's entries.
///
/// Errors: those of the store; in a transaction also `EntryInvalid`, `ConditionAmbiguous`,
/// `VersionConflict`, `ParameterInvalid`, `ParameterUnsupported`, `ReferenceUnresolved`,
/// `RecordOwnedByAnother`, `MemberNotNamed`, of all entries at once.
pub async fn resolve<H: House>(
    house: &H,
    sent: Sent<'_>,
    incoming: &read::Incoming,
) -> Result<Resolved, Issues> {
    let conditions = Conditions::look(house, sent, incoming).await?;
    let mut resolving = Resolving::new(sent, incoming, conditions);
    resolving.place();
    let links = resolving.conditional_links();
    let whom = resolving.whom(&links);
    let filing = resolving.filing(whom.as_ref());
    let standing = resolving.look(house, &filing).await?;
    resolving.check_standing(&filing, &standing);
    resolving.check_left(house, &standing).await?;
    resolving.check_references(&standing);
    resolving.end(filing, whom, &links, standing)
}

/// What stands now.
struct Heads {
    /// Where the entries lead, in their order; `None` also for those that lead nowhere.
    entries: Vec<Option<Record>>,
    /// Where references out of the Bundle lead, in the order of `outside`.
    outside: Vec<Option<Record>>,
    /// The marks of the entries' records, in the order of the entries.
    marks: Vec<Option<Record>>,
}

struct Resolving<'r> {
    sent: Sent<'r>,
    incoming: &'r read::Incoming,
    conditions: Conditions,
    /// Positions in `incoming.entries` by position in the Bundle.
    at: HashMap<usize, usize>,
    placed: HashMap<usize, Placed>,
    /// What the Bundle's own resources are found by; only of types that conditions ask about.
    fitting: Fitting,
    deleted: HashSet<Pair>,
    refused: IssuesByEntry,
    /// Issues of the Bundle as a whole.
    stops: Vec<Issue>,
}

impl<'r> Resolving<'r> {
    fn new(sent: Sent<'r>, incoming: &'r read::Incoming, conditions: Conditions) -> Self {
        let at = incoming.entries.iter().enumerate().map(|(at, entry)| (entry.index, at));
        let refused = incoming.refused.iter().map(|one| (one.index, one.issues.clone()));
        Resolving {
            sent,
            incoming,
            fitting: Fitting::of(incoming, &conditions),
            conditions,
            at: at.collect(),
            placed: HashMap::new(),
            deleted: HashSet::new(),
            refused: refused.collect(),
            stops: Vec::new(),
        }
    }

    fn entry(&self, index: usize) -> Option<&'r IncomingEntry> {
        self.incoming.entries.get(*self.at.get(&index)?)
    }

    fn refuse(&mut self, entry: &IncomingEntry, way: &str, code: Code, detail: &str) {
        let issue = Issue::new(code, entry.named(detail));
        self.note(entry.index, issue.at(format!("Bundle.entry[{}].{way}", entry.index)));
    }

    fn note(&mut self, index: usize, issue: Issue) {
        Issues::note(&mut self.refused, index, issue);
    }

    fn stands(&self, entry: &IncomingEntry) -> bool {
        !self.refused.contains_key(&entry.index)
    }

    /// Places every entry, in the order of the specification.
    fn place(&mut self) {
        let entries = &self.incoming.entries;
        let of = |letter: char| entries.iter().filter(move |one| one.action.letter() == letter);
        of('d').for_each(|entry| self.place_delete(entry));
        of('c').for_each(|entry| self.place_create(entry));
        of('u').for_each(|entry| self.place_put(entry));
        self.check_once();
    }

    fn place_delete(&mut self, entry: &'r IncomingEntry) {
        let placed = match &entry.target {
            Target::Id(id) => Placed::Here(id.clone()),
            Target::New => return,
            Target::Fits(condition) => {
                let found = self.conditions.matches(condition);
                match found.as_ref().map(|ids| &ids[..]) {
                    Ok([]) => Placed::Absent,
                    Ok([id]) => Placed::Here(id.clone()),
                    Ok(_) => return self.ambiguous(entry, "request.url"),
                    Err(issue) => return self.unreadable(entry, "request.url", issue.clone()),
                }
            }
        };
        if let Placed::Here(id) = &placed {
            self.deleted.insert((entry.kind.clone(), id.clone()));
        }
        self.placed.insert(entry.index, placed);
    }

    fn place_create(&mut self, entry: &'r IncomingEntry) {
        let here = || match &entry.target {
            Target::Id(id) => id.clone(),
            Target::New | Target::Fits(_) => self.given_id(entry.index),
        };
        let Some(condition) = &entry.unless else {
            self.placed.insert(entry.index, Placed::Here(here()));
            return;
        };
        let there = match self.conditions.matches(condition) {
            Ok(ids) => self.not_deleted(&entry.kind, ids),
            Err(issue) => return self.unreadable(entry, "request.ifNoneExist", issue),
        };
        // An entry before this one may have brought it: by what it holds, or in the same words.
        let before = |index: &usize| {
            *index < entry.index && matches!(self.placed.get(index), Some(Placed::Here(_)))
        };
        let alike = |index: &usize| {
            self.entry(*index).is_some_and(|other| other.unless.as_ref() == Some(condition))
        };
        let creates = |index: &usize| {
            self.entry(*index).is_some_and(|other| matches!(other.action, Action::Create(_)))
        };
        let mut brought = self.fitting.of_condition(&self.conditions, condition);
        brought.extend(self.fitting.alike(condition).filter(alike));
        brought.sort_unstable();
        brought.dedup();
        brought.retain(|index| before(index) && creates(index));
        let placed = match (&there[..], &brought[..]) {
            ([], []) => Placed::Here(here()),
            ([id], []) => Placed::Stands(id.clone()),
            ([], [other]) => Placed::Same(*other),
            _ => return self.ambiguous(entry, "request.ifNoneExist"),
        };
        self.placed.insert(entry.index, placed);
    }

    fn place_put(&mut self, entry: &'r IncomingEntry) {
        let condition = match &entry.target {
            Target::Id(id) => {
                self.placed.insert(entry.index, Placed::Here(id.clone()));
                return;
            }
            Target::New => return,
            Target::Fits(condition) => condition,
        };
        let there = match self.conditions.matches(condition) {
            Ok(ids) => self.not_deleted(&entry.kind, ids),
            Err(issue) => return self.unreadable(entry, "request.url", issue),
        };
        let mut brought = self.fitting.of_condition(&self.conditions, condition);
        brought.retain(|index| {
            let placed = matches!(self.placed.get(index), Some(Placed::Here(_)));
            placed && self.entry(*index).is_some_and(|one| matches!(one.action, Action::Create(_)))
        });
        let own = entry.action.resource().and_then(|resource| resource.id());
        let id = match (&there[..], &brought[..], own) {
            ([], [], Some(own)) => own.to_owned(),
            ([], [], None) => self.given_id(entry.index),
            ([id], [], None) => id.clone(),
            ([id], [], Some(own)) if id == own => id.clone(),
            ([_], [], Some(_)) => {
                let detail = "the resource's id is not that of the record that fits";
                return self.refuse(entry, "resource.id", Code::EntryInvalid, detail);
            }
            ([], [other], _) => {
                let detail = format!("the same record as in entry {other}");
                return self.refuse(entry, "request.url", Code::EntryInvalid, &detail);
            }
            _ => return self.ambiguous(entry, "request.url"),
        };
        self.placed.insert(entry.index, Placed::Here(id));
    }

    fn not_deleted(&self, kind: &str, mut ids: Vec<String>) -> Vec<String> {
        ids.retain(|id| !self.takes_back(kind, id));
        ids
    }

    fn takes_back(&self, kind: &str, id: &str) -> bool {
        !self.deleted.is_empty() && self.deleted.contains(&(kind.to_owned(), id.to_owned()))
    }

    fn ambiguous(&mut self, entry: &IncomingEntry, way: &str) {
        let detail = "more than one record of this sender fits the condition";
        self.refuse(entry, way, Code::ConditionAmbiguous, detail);
    }

    fn unreadable(&mut self, entry: &IncomingEntry, way: &str, issue: Issue) {
        self.refuse(entry, way, issue.code, &issue.detail);
    }

    /// The id of a record that this house gives: the same each time the entry is looked at, and
    /// nobody else's, since nobody else has the submission's.
    fn given_id(&self, index: usize) -> String {
        let index = (index as u64).to_be_bytes();
        let pieces = [b"record".as_slice(), self.sent.receipt.as_bytes(), &index];
        Digest::of_pieces(pieces).to_string()[..32].to_owned()
    }

    /// A record is written once (R4 §3.1.0.11.2: identities may not overlap).
    fn check_once(&mut self) {
        let mut named: HashMap<(&str, &str), usize> = HashMap::new();
        let again = |entry: &'r IncomingEntry| {
            let Placed::Here(id) = self.placed.get(&entry.index)? else { return None };
            let first = *named.entry((&entry.kind, id)).or_insert(entry.index);
            (first != entry.index).then_some((entry, first))
        };
        let again: Vec<_> = self.incoming.entries.iter().filter_map(again).collect();
        for (entry, first) in again {
            let detail = format!("the same record as in entry {first}");
            self.refuse(entry, "request.url", Code::EntryInvalid, &detail);
        }
    }

    fn filing(&self, whom: Option<&Whom>) -> Filing {
        let owner = self.sent.owner;
        let patient = match whom {
            Some(whom) => Some(whom.id().to_owned()),
            None => whom::spoken_of(self.incoming),
        };
        Filing {
            owner: owner.clone(),
            receipt: self.sent.receipt.to_owned(),
            lane: patient.map(|patient| format!("{owner}|{patient}")),
            number: self.incoming.number,
        }
    }

    /// Everything that stands where the Bundle writes or refers to, in one reading.
    async fn look<H: House>(&self, house: &H, filing: &Filing) -> Result<Heads, Issue> {
        let read::Incoming { entries, outside, .. } = self.incoming;
        let id = |entry: &IncomingEntry| match self.placed.get(&entry.index)? {
            Placed::Here(id) | Placed::Stands(id) => Some(id.as_str()),
            Placed::Same(_) | Placed::Absent => None,
        };
        let ids: Vec<Option<&str>> = entries.iter().map(id).collect();
        let placed = || entries.iter().zip(&ids).filter_map(|(one, id)| Some((&one.kind, (*id)?)));
        let pair = |(kind, id): (&String, &str)| (kind.clone(), id.to_owned());
        let mut asked: Vec<Pair> = placed().map(pair).collect();
        asked.extend(outside.iter().map(|one| pair((&one.kind, &one.id))));
        asked.extend(placed().filter_map(|(kind, id)| filing.mark(kind, id)));
        let mut found = house.heads(&asked).await.map_err(store_issue)?.into_iter();
        let of_entries = |found: &mut vec::IntoIter<Option<Record>>| {
            ids.iter().map(|id| id.and_then(|_| found.next().flatten())).collect()
        };
        Ok(Heads {
            entries: of_entries(&mut found),
            outside: found.by_ref().take(outside.len()).collect(),
            marks: of_entries(&mut found),
        })
    }

    /// Whether the entries may write what they name: whose it is, and in which version it stands.
    fn check_standing(&mut self, filing: &Filing, standing: &Heads) {
        for (entry, head) in self.incoming.entries.iter().zip(&standing.entries) {
            let Some(Placed::Here(_)) = self.placed.get(&entry.index) else { continue };
            let (puts, derived) = (entry.action.resource().is_some(), entry.source_id.is_some());
            let asks = Asks { puts, derived, if_match: entry.if_match };
            if let Err((way, code, detail)) = plan::check(asks, filing, head.as_ref()) {
                self.refuse(entry, way, code, detail);
            }
        }
    }

    fn end(
        mut self,
        filing: Filing,
        whom: Option<Whom>,
        links: &references::Links,
        standing: Heads,
    ) -> Result<Resolved, Issues> {
        let together = self.incoming.form == Form::Transaction;
        if together || !self.stops.is_empty() {
            self.issues().map_or(Ok(()), Err)?;
        }
        let expects = self.relied_on(&standing);
        let (mut items, mut heads, mut marks) = (Vec::new(), Vec::new(), Vec::new());
        let (mut settled, mut same) = (Vec::new(), Vec::new());
        let stood = standing.entries.into_iter().zip(standing.marks);
        for (entry, (head, mark)) in self.incoming.entries.iter().zip(stood) {
            match self.placed.get(&entry.index) {
                Some(Placed::Same(other)) if self.refused.contains_key(other) => {
                    let detail = format!("entry {other}, which brings the record, is refused");
                    self.refuse(entry, "request.ifNoneExist", Code::EntryInvalid, &detail);
                }
                Some(Placed::Same(other)) if self.stands(entry) => same.push((entry.index, *other)),
                Some(Placed::Here(id)) if self.stands(entry) => {
                    items.push(self.item(entry, id, links));
                    heads.push(head);
                    marks.push(mark);
                }
                Some(Placed::Stands(id)) if self.stands(entry) => {
                    let head = head.as_ref();
                    settled.push(EntryOutcome::exists(entry.index, &entry.kind, id, head));
                }
                Some(Placed::Absent) if self.stands(entry) => {
                    settled.push(EntryOutcome::absent(entry.index, &entry.kind));
                }
                _ => {}
            }
        }
        // Of a batch, nothing may be left that is about anybody.
        let mut left = self.incoming.entries.iter().filter(|entry| self.stands(entry));
        let about = left.any(|entry| entry.clinical && entry.action.resource().is_some());
        let whom = whom.filter(|_| about);
        let refused = self.refused;
        Ok(Resolved { filing, whom, items, heads, marks, settled, same, expects, refused })
    }

    /// What the decisions rely on, beside the heads of what is written.
    fn relied_on(&self, standing: &Heads) -> Vec<Expect> {
        let mut expects = self.conditions.expects();
        let outside = self.incoming.outside.iter().zip(&standing.outside);
        expects.extend(outside.filter_map(|(one, head)| {
            let speaks = self.entry(one.entry).is_some_and(|entry| entry.kind == "Provenance");
            let head = head.as_ref().filter(|_| !speaks)?;
            let (kind, id) = (head.kind.clone(), head.id.clone());
            Some(Expect::Version { kind, id, version: Some(head.version) })
        }));
        expects
    }

    /// All issues, in the order of the Bundle.
    fn issues(&self) -> Option<Issues> {
        let all = self.stops.iter().chain(self.refused.values().flatten());
        Issues::of(all.take(exchange::limits::FAULTS_MAX).cloned())
    }
}

impl EntryOutcome {
    /// A record that stands already: what was to be created only without it.
    fn exists(entry: usize, kind: &str, id: &str, head: Option<&Record>) -> EntryOutcome {
        EntryOutcome {
            entry,
            kind: kind.to_owned(),
            id: id.to_owned(),
            change: Change::Exists,
            version: head.map(|head| head.version),
            digest: head.map_or_else(|| Digest::of(b""), |head| head.digest),
            last_updated: head.map(|head| head.last_updated),
            content: None,
        }
    }

    /// A deletion that finds nothing.
    fn absent(entry: usize, kind: &str) -> EntryOutcome {
        let change = Change::AlreadyAbsent;
        EntryOutcome { change, ..EntryOutcome::exists(entry, kind, "", None) }
    }

    /// The same record, as another entry meets it.
    fn again(self, entry: usize) -> EntryOutcome {
        EntryOutcome { entry, change: Change::Exists, ..self }
    }
}
