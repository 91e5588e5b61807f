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
//! Why a batch in rounds: each of its entries stands or falls alone. What is refused takes no part
//! in what becomes of the others, so that these are asked again without it.
//!
//! Why few questions: a Bundle of a whole chart has thousands of entries. Equal conditions are
//! asked once, those for one identifier of one type together, and all heads in one reading.

mod conditions;
mod left;
mod place;
mod references;
mod whom;

pub use whom::Whom;

use crate::desk::store_issue;
use crate::limits::BATCH_ROUNDS_MAX;
use crate::plan::{
    self, Asks, Change, EntryOutcome, Filing, Incoming, Plan, Standing, plan_transaction,
};
use conditions::{Conditions, Fitting};
use exchange::issues::IssuesByEntry;
use exchange::limits::{FAULTS_MAX, FAULTS_PER_ENTRY_MAX};
use exchange::read::{self, Form, IncomingEntry, RefusedEntry};
use exchange::{Code, Digest, Issue, Issues, PartnerId};
use std::borrow::Cow;
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
    /// Entries to file that are about somebody's care: not without a member. Positions in the
    /// Bundle.
    pub clinical: Vec<usize>,
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
    let fitting = Fitting::of(incoming, &conditions);
    let mut incoming = Cow::Borrowed(incoming);
    for _ in 0..BATCH_ROUNDS_MAX {
        let resolving = Resolving::new(sent, &incoming, &conditions, &fitting);
        match resolving.round(house).await? {
            Round::Done(resolved) => return Ok(*resolved),
            Round::Again(refused) => incoming.to_mut().refuse(refused),
        }
    }
    let detail = "its entries lean on each other in too many steps";
    Err(Issue::new(Code::EntryInvalid, detail).at("Bundle.entry").into())
}

/// What a round came to.
enum Round {
    /// All that is left stands.
    Done(Box<Resolved>),
    /// These entries of a batch are refused, and others may have leant on them: they are asked
    /// again without.
    Again(Vec<RefusedEntry>),
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
    conditions: &'r Conditions,
    /// What the Bundle's own resources are found by; only of types that conditions ask about.
    fitting: &'r Fitting,
    /// Positions in `incoming.entries` by position in the Bundle.
    at: HashMap<usize, usize>,
    placed: HashMap<usize, Placed>,
    deleted: HashSet<Pair>,
    refused: IssuesByEntry,
    /// What speaks against entries because of other entries: of a batch it is heard only once
    /// those others stand.
    leaning: Vec<(usize, Issue)>,
    /// That nothing is left of the Patients that are taken back.
    nothing_left: Vec<Expect>,
    /// Issues of the Bundle as a whole.
    stops: Vec<Issue>,
}

impl<'r> Resolving<'r> {
    fn new(
        sent: Sent<'r>,
        incoming: &'r read::Incoming,
        conditions: &'r Conditions,
        fitting: &'r Fitting,
    ) -> Self {
        let at = incoming.entries.iter().enumerate().map(|(at, entry)| (entry.index, at));
        let refused = incoming.refused.iter().map(|one| (one.index, one.issues.clone()));
        Resolving {
            sent,
            incoming,
            conditions,
            fitting,
            at: at.collect(),
            placed: HashMap::new(),
            deleted: HashSet::new(),
            refused: refused.collect(),
            leaning: Vec::new(),
            nothing_left: Vec::new(),
            stops: incoming.stops.clone(),
        }
    }

    /// Looks at all entries. Of a batch, what each has on its own is asked first, and what it owes
    /// to others only of those that stand.
    async fn round<H: House>(mut self, house: &H) -> Result<Round, Issues> {
        self.place();
        let links = self.conditional_links();
        let whom = self.whom(&links);
        let filing = self.filing(whom.as_ref());
        let standing = self.look(house, &filing).await?;
        self.check_standing(&filing, &standing);
        if self.fell() {
            return Ok(self.again());
        }
        self.check_conditional(&links);
        self.check_references(&standing);
        if self.fell() {
            return Ok(self.again());
        }
        for (index, issue) in std::mem::take(&mut self.leaning) {
            self.note(index, issue);
        }
        if self.fell() {
            return Ok(self.again());
        }
        self.check_left(house, &filing, &standing).await?;
        if self.fell() {
            return Ok(self.again());
        }
        self.check_whom(whom.as_ref(), &links);
        if self.fell() {
            return Ok(self.again());
        }
        self.end(filing, whom, &links, standing).map(|resolved| Round::Done(Box::new(resolved)))
    }

    /// Whether an entry of a batch is refused that stood when the round began.
    fn fell(&self) -> bool {
        self.incoming.form == Form::Batch
            && self.stops.is_empty()
            && self.refused.len() > self.incoming.refused.len()
    }

    fn again(self) -> Round {
        let fell = self.refused.into_iter().filter(|(index, _)| self.at.contains_key(index));
        Round::Again(fell.map(|(index, issues)| RefusedEntry { index, issues }).collect())
    }

    fn entry(&self, index: usize) -> Option<&'r IncomingEntry> {
        self.incoming.entries.get(*self.at.get(&index)?)
    }

    fn refuse(&mut self, entry: &IncomingEntry, way: &str, code: Code, detail: &str) {
        let issue = Issue::new(code, entry.named(detail));
        self.note(entry.index, issue.at(format!("Bundle.entry[{}].{way}", entry.index)));
    }

    /// The same, because of another entry.
    fn lean(&mut self, entry: &IncomingEntry, way: &str, code: Code, detail: &str) {
        let issue = Issue::new(code, entry.named(detail));
        let issue = issue.at(format!("Bundle.entry[{}].{way}", entry.index));
        self.leaning.push((entry.index, issue));
    }

    fn note(&mut self, index: usize, issue: Issue) {
        let said = self.refused.get(&index).map_or(0, |noted| 1 + noted.rest.len());
        if said < FAULTS_PER_ENTRY_MAX {
            Issues::note(&mut self.refused, index, issue);
        }
    }

    fn stands(&self, entry: &IncomingEntry) -> bool {
        !self.refused.contains_key(&entry.index)
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
            as_of: self.incoming.as_of,
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
        self,
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
        let clinical: Vec<usize> = self.clinical().map(|entry| entry.index).collect();
        let whom = whom.filter(|_| !clinical.is_empty());
        let refused = self.refused;
        Ok(Resolved {
            filing,
            whom,
            clinical,
            items,
            heads,
            marks,
            settled,
            same,
            expects,
            refused,
        })
    }

    /// What the decisions rely on, beside the heads of what is written.
    fn relied_on(&self, standing: &Heads) -> Vec<Expect> {
        let mut expects = self.conditions.expects();
        expects.extend_from_slice(&self.nothing_left);
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
        Issues::of(all.take(FAULTS_MAX).cloned())
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
