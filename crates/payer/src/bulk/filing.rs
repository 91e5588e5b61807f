//! Filing: a batch of lines becomes records, with its checkpoint and what its submitter is told.
//!
//! Comes in   lines that were read, in their order.
//! Goes out   one unit for each batch: versions, lines of the ledger, the receipt's row.
//! Never      lets one line take another with it: each stands or falls alone; files a record twice in
//!            one unit; forgets a line: each is filed, told of, or waits.
//!
//! Why what a resource refers to need not be there: files come in any order. What it is *about* must be:
//! a member's Patient of the same sender, whose version the unit relies on.

use super::lines::{Fault, Is, Reach, ReadLine, Reader};
use super::listing::Listed;
use super::look::Look;
use super::matching::{Known, Whose};
use super::purposed::Purposed;
use super::run::{Block, Faulty, Item, Run};
use super::telling::{self, Telling};
use super::{Stop, receipt_row};
use crate::arrival::{account_of, beneath, filed, keep};
use crate::limits::STALE_ROUNDS_MAX;
use crate::road::{Road, outward};
use crate::setup::Sender;
use exchange::agreement::Unmatched;
use exchange::assemble::push_system;
use exchange::bulk::outcome::{counted, refused};
use exchange::bulk::receipt::{Open, Place, Receipt, Worked};
use exchange::bulk::received::{Received, Step};
use exchange::bulk::{Counts, Dialect};
use exchange::read::{About, SenderTerms};
use exchange::{Code, Digest, Event, Issue, Purpose, PushId};
use repository::{Change, Filing, Plan, Standing, plan_each, store_issue};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use store::{Commit, Expect, Fence, House, Unit};
use wire::fetch::Edition;

/// Lines that were read together.
pub(super) struct Batch {
    pub(super) lines: Vec<ReadLine>,
    /// What stood of each resource among them when it was read; empty where nobody looked.
    pub(super) heads: Vec<Option<store::Record>>,
    /// Where the next one stands.
    pub(super) behind: Place,
    /// What whoever fetches needs to go on there; none behind the end of a file.
    pub(super) mark: Option<wire::fetch::Place>,
    /// Whether their file ends with them.
    pub(super) end: bool,
    pub(super) source: Source,
}

/// Where lines come from.
pub(super) enum Source {
    /// A file of this edition; `length`: its bytes, where its end was read and they are known.
    File { edition: Edition, listed: Listed, length: Option<u64> },
    /// They waited.
    Stored,
}

/// A line that is behind.
struct Behind {
    number: u64,
    end: u64,
    text: bytes::Bytes,
    resources: u64,
    headers: u64,
}

/// A receipt at work.
pub(super) struct Job<'r> {
    pub(super) road: &'r Road,
    pub(super) sender: &'r Sender,
    fence: &'r Fence,
    /// The revision of the receipt's row, where the lease is on another row.
    revision: Option<u64>,
    pub(super) receipt: Receipt,
    terms: SenderTerms,
    pub(super) dialect: Dialect,
    purposes: Option<BTreeSet<Purpose>>,
    pub(super) known: Known,
    /// Coverages that wait, by their Patients, while it is looked again.
    pub(super) waiting: HashMap<String, Vec<fhir::Resource>>,
}

impl<'r> Job<'r> {
    pub(super) fn new(
        road: &'r Road,
        sender: &'r Sender,
        fence: &'r Fence,
        receipt: Receipt,
        received: &Received,
    ) -> Job<'r> {
        let namespace = Some(sender.public.namespace.clone()).filter(|one| !one.is_empty());
        let agreement = &sender.terms.agreement;
        let terms = SenderTerms::of(agreement, namespace, &road.setup.base_url);
        let (dialect, purposes) = (received.dialect, receipt.purposes.clone());
        Job {
            road,
            sender,
            fence,
            revision: None,
            receipt,
            terms,
            dialect,
            purposes,
            known: Known::default(),
            waiting: HashMap::new(),
        }
    }

    /// The same where the lease is on another row: the receipt's must not have changed since.
    pub(super) fn at_revision(self, revision: u64) -> Job<'r> {
        Job { revision: Some(revision), ..self }
    }

    /// How a file is read.
    pub(super) fn reader(&self, listed: &Listed) -> Reader {
        Reader {
            terms: self.terms.clone(),
            base: self.receipt.base_url.clone(),
            purposes: self.purposes.clone(),
            kind: listed.kind.clone(),
            deleted: listed.deleted,
            place: listed.place.clone(),
        }
    }

    /// How lines are read that waited.
    pub(super) fn stored_reader(&self) -> Reader {
        Reader {
            terms: self.terms.clone(),
            base: self.receipt.base_url.clone(),
            purposes: self.purposes.clone(),
            kind: None,
            deleted: false,
            place: "output".to_owned(),
        }
    }

    /// Where the file goes on that is being read.
    pub(super) fn mark(&self) -> wire::fetch::Place {
        let mark = self.receipt.mark.as_deref();
        mark.and_then(|mark| serde_json::from_str(mark).ok()).unwrap_or_default()
    }

    /// A unit that begins now.
    pub(super) fn unit(&self) -> Unit {
        Unit { at: self.road.clock.now(), ..Unit::default() }
    }

    /// Writes a unit with these lines of the receipt, and what they make of it.
    ///
    /// Errors: `Stop::Overtaken` where somebody else has changed it.
    pub(super) async fn commit(&mut self, unit: Unit, events: Vec<Event>) -> Result<(), Stop> {
        match self.try_commit(unit, events).await? {
            true => Ok(()),
            false => Err(Stop::Overtaken),
        }
    }

    /// The same; `false` where something that it relies on has changed.
    pub(super) async fn try_commit(
        &mut self,
        unit: Unit,
        events: Vec<Event>,
    ) -> Result<bool, Stop> {
        self.write(unit, events, None).await
    }

    /// The same, with what whoever fetches needs to go on.
    pub(super) async fn write(
        &mut self,
        mut unit: Unit,
        events: Vec<Event>,
        mark: Option<&wire::fetch::Place>,
    ) -> Result<bool, Stop> {
        let mut receipt = self.receipt.clone();
        for event in events {
            let pages = receipt.apply(unit.at, &event);
            unit.blobs.extend(pages.into_iter().map(|(digest, text)| (digest, text.into())));
            unit.lines.push((receipt.chain(), event));
        }
        receipt.mark = mark.and_then(|mark| serde_json::to_string(mark).ok()).or(receipt.mark);
        unit.works.push(receipt_row(&receipt)?);
        unit.fence = Some(self.fence.clone());
        if let Some(revision) = self.revision {
            let (id, revision) = (receipt.id.to_string(), Some(revision));
            unit.expects.push(Expect::WorkRevision { id, revision });
        }
        match self.road.house.commit(unit).await.map_err(store_issue)? {
            Commit::Done { .. } => {
                self.receipt = receipt;
                self.revision = self.revision.map(|revision| revision + 1);
                Ok(true)
            }
            Commit::Stale => Ok(false),
            _ => Err(Stop::Overtaken),
        }
    }

    /// Files a batch.
    pub(super) async fn file(&mut self, batch: Batch, look: Look) -> Result<(), Stop> {
        let Batch { lines, heads, behind, mark, end, source } = batch;
        let said = self.receipt.open.as_ref().is_some_and(|open| open.said);
        let purposed = match &source {
            Source::File { listed, .. } if self.purposes.is_some() && listed.kind.is_none() => {
                Purposed::of(&lines, said, end && !listed.continues)
            }
            _ => Purposed::default(),
        };
        let mut run = self.opened();
        run.held = purposed.waits == Some(0);
        purposed.refused.get(&0).into_iter().for_each(|issue| run.refuse(issue));
        let mut heads = heads.into_iter();
        let mut before = None;
        let Place { mut resources, mut headers, .. } = self.receipt.place;
        for (at, line) in lines.into_iter().enumerate() {
            let ReadLine { number, end, text, is } = line;
            match &is {
                Is::Header(_) | Is::Faulty(Fault { reach: Reach::Header, .. }) => headers += 1,
                Is::Put(_) | Is::TakesBack(_) | Is::Faulty(_) => resources += 1,
            }
            let here = Some(Behind { number, end, text: text.clone(), resources, headers });
            let apart = match &is {
                Is::Put(put) => run.names(put),
                Is::TakesBack(_) => true,
                Is::Header(_) | Is::Faulty(_) => purposed.waits == Some(at + 1),
            };
            if apart && !run.is_empty() {
                let (place, mark) = self.behind(&source, before.as_ref());
                self.filed(run, place, mark, look).await?;
                run = self.opened();
                run.held = purposed.holds(at);
                // What has just been filed stood there for none of them.
                heads = Vec::new().into_iter();
            }
            match is {
                Is::Header(header) => run.begin(&header, self),
                Is::Faulty(fault) => run.fail(fault, self),
                Is::Put(put) => run.add(*put, text, heads.next()),
                Is::TakesBack(incoming) => {
                    let (place, mark) = self.behind(&source, here.as_ref());
                    self.take_back(&incoming, place, mark.as_ref()).await?;
                }
            }
            if let Some(issue) = purposed.refused.get(&(at + 1)) {
                run.refuse(issue);
            }
            run.held |= purposed.waits == Some(at + 1);
            before = here;
        }
        let behind = match &source {
            Source::File { listed, length, .. } if end => {
                if !listed.continues {
                    run.blocks.last_mut().into_iter().for_each(|block| block.ends = true);
                }
                run.broken = listed.broken(resources, headers, *length);
                behind
            }
            Source::File { .. } => Place { resources, headers, ..behind },
            Source::Stored => behind,
        };
        self.filed(run, behind, mark, look).await
    }

    /// The place behind a line of a file, and what whoever fetches needs to go on there. Of lines that
    /// waited, the whole content is one step.
    fn behind(
        &self,
        source: &Source,
        line: Option<&Behind>,
    ) -> (Place, Option<wire::fetch::Place>) {
        let step = self.receipt.place;
        let Some(line) = line else { return (step, Some(self.mark())) };
        let Source::File { edition, .. } = source else { return (step, None) };
        let mark = wire::fetch::Place {
            lines: line.number,
            bytes: line.end,
            last: (!line.text.is_empty()).then(|| Digest::of(&line.text).to_string()),
            edition: edition.clone(),
        };
        let (resources, headers) = (line.resources, line.headers);
        (Place { line: line.number, offset: line.end, resources, headers, ..step }, Some(mark))
    }

    /// A run in which the block goes on that is open.
    fn opened(&self) -> Run {
        let mut run = Run::default();
        let again = self.receipt.again.is_some();
        if let Some(open) = self.receipt.open.as_ref().filter(|_| !again) {
            run.blocks.push(self.block(open.clone()));
        }
        run
    }

    pub(super) fn block(&self, open: Open) -> Block {
        let owner = self.sender.public.name.clone();
        let ours = self.terms.namespace.as_deref().map(push_system);
        let push = open.push.as_ref().filter(|(system, _)| Some(system) == ours.as_ref());
        let number = push.and_then(|(_, value)| PushId(value.clone()).number());
        let filing = Filing {
            lane: number.map(|_| format!("{owner}|{}", open.patient)),
            owner,
            receipt: self.receipt.id.to_string(),
            number,
            as_of: open.as_of,
        };
        Block { open, filing, ends: false }
    }

    /// The filing of what stands in no block.
    fn plain(&self) -> Filing {
        let (owner, receipt) = (self.sender.public.name.clone(), self.receipt.id.to_string());
        Filing { owner, receipt, lane: None, number: None, as_of: None }
    }

    /// One run, one unit; again when something that was read has changed.
    async fn filed(
        &mut self,
        mut run: Run,
        place: Place,
        mark: Option<wire::fetch::Place>,
        look: Look,
    ) -> Result<(), Stop> {
        self.speak_of(&mut run.items).await?;
        for _ in 0..STALE_ROUNDS_MAX {
            match self.round(run, place, mark.as_ref(), look).await? {
                None => return Ok(()),
                Some(again) => {
                    run = again;
                    run.items.iter_mut().for_each(|item| item.head = None);
                }
            }
        }
        let detail = "the records kept changing while a batch was filed";
        Err(Issue::new(Code::HouseBusy, detail).into())
    }

    /// The run, where it is to be planned again.
    async fn round(
        &mut self,
        run: Run,
        place: Place,
        mark: Option<&wire::fetch::Place>,
        look: Look,
    ) -> Result<Option<Run>, Stop> {
        let begun = self.road.exports.under_way.begin(&*self.road.clock);
        let mut whose = self.whose(&run.items, look).await?;
        let (heads, marks, patients) = self.standing(&run, &mut whose).await?;
        let mut planned = self.plan(&run, &whose, &heads, &marks, look);
        // Whose Patient is refused, nothing is filed about them.
        let fallen = fallen(&run, &planned.plan);
        if !fallen.is_empty() {
            for (id, issue) in fallen {
                whose.insert(id, Whose::Unmatched(issue));
            }
            planned = self.plan(&run, &whose, &heads, &marks, look);
        }
        let mut fates = super::FatesOf::receipts(self.road);
        repository::put_beneath(&self.road.house, &mut planned.plan, &mut fates).await?;
        let mut unit = Unit { at: begun.at(), ..Unit::default() };
        let (worked, members) = self.worked(&run, &whose, planned, place, look, &mut unit);
        unit.expects.extend(patients);
        match self.write(unit, worked, mark).await? {
            true => {
                self.known.remember(members);
                (self.road.setup.passed)("bulk-batch");
                Ok(None)
            }
            false => Ok(Some(run)),
        }
    }

    /// What stands where the run writes: heads and marks of its items, and of the Patients on file that
    /// it relies on what it relies on. Who is known and no longer stands is known no more.
    #[allow(clippy::type_complexity, reason = "three lists of one reading")]
    async fn standing(
        &mut self,
        run: &Run,
        whose: &mut HashMap<String, Whose>,
    ) -> Result<(Vec<Option<store::Record>>, Vec<Option<store::Record>>, Vec<Expect>), Stop> {
        let plain = self.plain();
        let unseen = run.items.iter().filter(|item| item.head.is_none());
        let mut asked: Vec<(String, String)> = unseen.map(Item::name).collect();
        let marks: Vec<Option<(String, String)>> = run
            .items
            .iter()
            .map(|item| run.filing(item.block, &plain).mark(item.put.kind(), item.id()))
            .collect();
        asked.extend(marks.iter().flatten().cloned());
        let brought: HashSet<&str> = run
            .items
            .iter()
            .filter(|one| one.put.kind() == "Patient")
            .map(|one| one.id())
            .collect();
        let mut relied: Vec<String> = Vec::new();
        for (id, one) in whose.iter() {
            if matches!(one, Whose::Member) && !brought.contains(id.as_str()) {
                relied.push(id.clone());
            }
        }
        relied.sort_unstable();
        asked.extend(relied.iter().map(|id| ("Patient".to_owned(), id.clone())));
        let found = self.road.house.heads(&asked).await.map_err(store_issue)?;
        let mut found = found.into_iter();
        let head = |item: &Item| item.head.clone().unwrap_or_else(|| found.next().flatten());
        let heads: Vec<_> = run.items.iter().map(head).collect();
        let marks = marks.into_iter().map(|mark| mark.and_then(|_| found.next().flatten()));
        let marks: Vec<_> = marks.collect();
        let mut expects = Vec::with_capacity(relied.len());
        for (id, head) in relied.into_iter().zip(found) {
            let stands = head.filter(|head| !head.deleted && head.owner == self.sender.public.name);
            match stands {
                Some(head) => expects.push(Expect::Version {
                    kind: "Patient".to_owned(),
                    id,
                    version: Some(head.version),
                }),
                None => {
                    self.known.forget(&id);
                    whose.insert(id, Whose::Waits);
                }
            }
        }
        Ok((heads, marks, expects))
    }

    fn plan(
        &self,
        run: &Run,
        whose: &HashMap<String, Whose>,
        heads: &[Option<store::Record>],
        marks: &[Option<store::Record>],
        look: Look,
    ) -> Planned {
        let plain = self.plain();
        let (mut items, mut own_heads, mut own_marks) = (Vec::new(), Vec::new(), Vec::new());
        let (mut waits, mut unmatched) = (Vec::new(), Vec::new());
        for (at, item) in run.items.iter().enumerate() {
            if run.held {
                waits.push(at);
                continue;
            }
            let filing = run.filing(item.block, &plain);
            let (head, mark) = (heads[at].as_ref(), marks[at].as_ref());
            let patient = match &item.about {
                // Nothing is filed of it, so nobody is needed, and its Patient may be gone too.
                _ if filing.is_withdrawn(item.put.kind(), head, mark) => Some(&Whose::Member),
                About::Patient(id) => whose.get(id),
                About::Nobody => Some(&Whose::Member),
                About::Of(_) if !look.ends() => Some(&Whose::Waits),
                About::Unsaid | About::Of(_) => None,
            };
            match patient {
                Some(Whose::Member) => {
                    items.push((item.incoming(at), filing));
                    own_heads.push(heads[at].clone());
                    own_marks.push(marks[at].clone());
                }
                Some(Whose::Waits) => waits.push(at),
                Some(Whose::Unmatched(issue)) => unmatched.push((at, issue.clone())),
                None => {
                    let detail = "it says neither itself nor by its block whom it is about";
                    let issue = Issue::new(Code::MemberNotNamed, detail);
                    unmatched.push((at, issue.at(item.put.kind())));
                }
            }
        }
        let plan = plan_each(items, Standing { heads: &own_heads, marks: &own_marks });
        Planned { plan, waits, unmatched }
    }

    /// The lines that say what became of a run, with what they name in the unit; and the Patients that
    /// are known to be members from now on.
    fn worked(
        &self,
        run: &Run,
        whose: &HashMap<String, Whose>,
        planned: Planned,
        place: Place,
        look: Look,
        unit: &mut Unit,
    ) -> (Vec<Event>, Vec<String>) {
        let Planned { plan, waits, unmatched } = planned;
        let mut telling = Telling::new(self.dialect, &self.receipt.base_url);
        let mut blocks: Vec<Open> = run.blocks.iter().map(|block| block.open.clone()).collect();
        let mut counts = Counts::default();
        let again = self.receipt.again.is_some();
        // What waited was counted as read when it came.
        let read = |more: Counts| Counts { read: u64::from(!again), ..more };
        let mut count = |block: Option<usize>, more: Counts| {
            counts = counts.and(more);
            if let Some(open) = block.and_then(|block| blocks.get_mut(block)) {
                open.counts = open.counts.and(more);
            }
        };
        if let Some(broken) = &run.broken {
            telling.refuse(None, [broken.clone()]);
        }
        for Faulty { fault, block, with_push } in &run.faulty {
            count(*block, read(Counts { refused: 1, ..Counts::default() }));
            if *with_push {
                continue;
            }
            let push = fault.push.as_ref().map(telling::push);
            if fault.reach == Reach::Block && push.is_some() {
                telling.refuse(push.clone(), fault.issues.clone());
            }
            let whom = fault.whom.as_ref().map(|name| telling.resource(name)).or(push);
            telling.refuse(whom, fault.issues.clone());
        }
        // What waited of the block that is open was read before.
        let goes_on = self.receipt.open.as_ref().filter(|_| !again);
        let refused = run.blocks.first().is_some_and(|block| block.open.refused.is_some());
        let dropped = goes_on.map_or(0, |open| open.held * u64::from(refused));
        count(Some(0), Counts { refused: dropped, ..Counts::default() });
        for outcome in &plan.outcomes {
            count(run.items[outcome.entry].block, read(counted_as(outcome.change)));
        }
        for (at, issues) in &plan.refused {
            let item = &run.items[*at];
            telling.refuse(Some(telling.resource(&item.name())), issues.clone());
            count(item.block, read(Counts { refused: 1, ..Counts::default() }));
        }
        let hold = look.last && self.sender.terms.agreement.unmatched == Unmatched::Hold;
        let mut held = Vec::new();
        for (at, issue) in &unmatched {
            let item = &run.items[*at];
            let waits_for_a_person =
                hold && matches!(issue.code, Code::MemberUnknown | Code::MemberMismatch);
            let mut issues = vec![outward(issue.clone())];
            if waits_for_a_person {
                held.push((*at, issue.clone()));
                let detail = "it is kept; a person at the plan looks for the member";
                issues.push(Issue::new(Code::MemberHeld, detail));
            }
            telling.refuse(Some(telling.resource(&item.name())), issues);
            count(item.block, read(Counts { refused: 1, ..Counts::default() }));
        }
        for at in &waits {
            count(run.items[*at].block, read(Counts::default()));
        }
        self.hold(run, &held, unit);
        for (block, open) in run.blocks.iter().zip(&blocks).filter(|(block, _)| block.ends) {
            if let Some(push) = block.open.push.as_ref().filter(|_| !again) {
                telling.count(&[telling::push(push)], &open.counts);
            }
        }
        let open = match run.blocks.last() {
            Some(block) if !block.ends && !again => {
                let held = if run.held { waits.len() as u64 } else { 0 };
                blocks
                    .pop()
                    .map(|open| Open { held: (open.held + held) * u64::from(run.held), ..open })
            }
            _ => None,
        };
        let (told, severities) = telling.end(unit);
        let staged = run.staged(&waits).map(|text| keep(unit, text));
        let mut events = Vec::new();
        let account = self.account(&plan, &mut events, unit);
        let waiting = waits.len() as u64;
        let worked =
            Worked { place, counts, account, told, severities, staged, waiting, open, dropped };
        events.push(Step::Worked(Box::new(worked)).into());
        unit.expects.extend(plan.expects);
        unit.records.extend(plan.records);
        unit.raises.extend(plan.raises);
        let members = whose.iter().filter(|(_, one)| matches!(one, Whose::Member));
        (events, members.map(|(id, _)| id.clone()).collect())
    }

    /// The lines of what is filed; the names of what stands for it, kept with the unit.
    pub(super) fn account(
        &self,
        plan: &Plan,
        events: &mut Vec<Event>,
        unit: &mut Unit,
    ) -> Option<Digest> {
        let (filed, versions) = filed(plan, &self.sender.public.name)?;
        events.extend(beneath(plan, unit));
        events.push(filed);
        Some(keep(unit, account_of(&versions)))
    }

    /// A file that cannot be read (any further): its submitter is told, and the next one comes.
    pub(super) async fn skip(&mut self, issue: Issue) -> Result<(), Stop> {
        let mut unit = self.unit();
        let told = self.told_of_manifest(&mut unit, &issue);
        let worked = Worked {
            place: Place::at(self.receipt.place.step + 1),
            counts: Counts::default(),
            account: None,
            told: Some(told),
            severities: BTreeMap::from([(issue.severity().to_owned(), 1)]),
            staged: None,
            waiting: 0,
            open: None,
            dropped: 0,
        };
        self.commit(unit, vec![Step::Worked(Box::new(worked)).into()]).await
    }

    /// The stored line that tells of a manifest as a whole.
    pub(super) fn told_of_manifest(&self, unit: &mut Unit, issue: &Issue) -> Digest {
        let mut text = refused(self.dialect, &[], [issue]);
        text.push(b'\n');
        keep(unit, text)
    }

    /// Adds the line that counts all of the manifest; what was counted before stays as it is.
    pub(super) fn counted(&self, unit: &mut Unit) -> Event {
        let mut text = counted(self.dialect, &[], &self.receipt.counts);
        text.push(b'\n');
        let told = keep(unit, text);
        Step::Counted { told }.into()
    }
}

/// Of a run: what is planned, what waits, and what is about nobody who is a member.
struct Planned {
    plan: Plan,
    waits: Vec<usize>,
    unmatched: Vec<(usize, Issue)>,
}

/// The Patients of a run that are refused, and why nothing is filed about them.
fn fallen(run: &Run, plan: &Plan) -> Vec<(String, Issue)> {
    let refused = plan.refused.iter().map(|(at, issues)| (&run.items[*at], issues));
    let patients = refused.filter(|(item, _)| item.put.kind() == "Patient");
    patients.map(|(item, issues)| (item.id().to_owned(), issues.first.clone())).collect()
}

pub(super) fn counted_as(change: Change) -> Counts {
    let none = Counts::default();
    match change {
        Change::Created | Change::Updated => Counts { filed: 1, ..none },
        Change::Unchanged | Change::Exists => Counts { unchanged: 1, ..none },
        Change::Deleted | Change::AlreadyAbsent => Counts { deleted: 1, ..none },
        Change::Older => Counts { older: 1, ..none },
    }
}
