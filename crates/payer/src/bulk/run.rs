//! Run: lines of one unit, with the blocks they stand in.
//!
//! Comes in   lines that were read, in their order.
//! Goes out   resources, each with its block and whom it is about; lines that wait, behind the header of
//!            their block.
//! Never      one record twice: each version stands on the one before.

use super::filing::Job;
use super::lines::{Fault, Put, Reach};
use exchange::bulk::Header;
use exchange::bulk::receipt::Open;
use exchange::read::About;
use exchange::{Code, Issue, Issues};
use jiff::Timestamp;
use repository::Filing;
use std::collections::HashSet;

/// Lines of one unit: no record comes twice.
#[derive(Default)]
pub(super) struct Run {
    pub(super) items: Vec<Item>,
    pub(super) faulty: Vec<Faulty>,
    /// Its block has not said what it is for: all of it waits.
    pub(super) held: bool,
    pub(super) blocks: Vec<Block>,
    /// What the file that ends with it does not keep of what its manifest promises.
    pub(super) broken: Option<Issue>,
    names: HashSet<(String, String)>,
}

/// A line of a run that nothing comes of.
pub(super) struct Faulty {
    pub(super) fault: Fault,
    /// Which of the run's blocks it stands in.
    pub(super) block: Option<usize>,
    /// It is refused with all of its push, of which that is told once.
    pub(super) with_push: bool,
}

/// A resource of a run.
pub(super) struct Item {
    pub(super) put: Put,
    /// Its line, as it came.
    pub(super) text: bytes::Bytes,
    /// Which of the run's blocks it stands in.
    pub(super) block: Option<usize>,
    /// Whose it is, as far as it or its block says.
    pub(super) about: About,
    /// What stood when it was read; none where that is to be looked up. A unit that relies on what
    /// stands no more is stale, and planned again.
    pub(super) head: Option<Option<store::Record>>,
}

/// A block, and how its records are filed.
pub(super) struct Block {
    pub(super) open: Open,
    pub(super) filing: Filing,
    /// It ends in this run.
    pub(super) ends: bool,
}

impl Item {
    pub(super) fn id(&self) -> &str {
        &self.put.alone.id
    }

    pub(super) fn name(&self) -> (String, String) {
        (self.put.kind().to_owned(), self.put.alone.id.clone())
    }

    pub(super) fn incoming(&self, at: usize) -> repository::Incoming {
        let (kind, id) = self.name();
        repository::Incoming {
            entry: at,
            kind,
            id,
            content: Some(self.put.alone.resource.bytes().clone()),
            keys: self.put.keys.clone(),
            derived: self.put.alone.derived,
            if_match: None,
        }
    }
}

impl Run {
    pub(super) fn item(&self, at: usize) -> &Item {
        &self.items[at]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.faulty.is_empty()
    }

    /// Whether the record is among its items already.
    pub(super) fn names(&self, put: &Put) -> bool {
        self.names.contains(&(put.kind().to_owned(), put.alone.id.clone()))
    }

    /// A header ends the block before it.
    pub(super) fn begin(&mut self, header: &Header, job: &Job<'_>) {
        let patient = header.patient().unwrap_or_default().to_owned();
        let same = self.blocks.last_mut().filter(|block| {
            block.open.patient == patient && block.open.push == header.push && header.push.is_some()
        });
        // The header is repeated where a block goes on in the next file.
        match same {
            Some(_) => {}
            None => {
                let (push, as_of) = (header.push.clone(), header.as_of);
                self.open(Open { patient, push, as_of, ..Open::default() }, job);
            }
        }
    }

    fn open(&mut self, open: Open, job: &Job<'_>) {
        self.blocks.last_mut().into_iter().for_each(|block| block.ends = true);
        self.blocks.push(job.block(open));
    }

    /// Nothing of the block that is open is filed from here on.
    pub(super) fn refuse(&mut self, issue: &Issue) {
        if let Some(block) = self.blocks.last_mut() {
            block.open.refused.get_or_insert_with(|| issue.clone());
        }
    }

    /// A resource, in the block that is open, with what stood when it was read.
    pub(super) fn add(
        &mut self,
        put: Put,
        text: bytes::Bytes,
        head: Option<Option<store::Record>>,
    ) {
        let block = self.blocks.len().checked_sub(1);
        let of_block = block.and_then(|at| self.blocks.get(at));
        if let Some(issue) = of_block.and_then(|block| block.open.refused.clone()) {
            let whom = Some((put.kind().to_owned(), put.alone.id.clone()));
            let fault = Fault { whom, ..Fault::from(Issues::from(issue)) };
            let with_push = of_block.is_some_and(|block| block.open.push.is_some());
            return self.faulty.push(Faulty { fault, block, with_push });
        }
        if put.kind() == "Provenance"
            && let Some(block) = self.blocks.last_mut()
        {
            block.open.said = true;
        }
        let of_block = self.blocks.last();
        let about = match (&put.alone.about, of_block) {
            // A numbered push that takes back says so whether anything of the Patient is here or not.
            (_, Some(block)) if put.takes_back && block.filing.number.is_some() => About::Nobody,
            (About::Unsaid | About::Of(_), Some(block)) => {
                About::Patient(block.open.patient.clone())
            }
            (about, _) => about.clone(),
        };
        let item = Item { put, text, block, about, head };
        self.names.insert(item.name());
        self.items.push(item);
    }

    /// A line that nothing comes of, in the block that is open: what says nothing else is of its push. A
    /// header that cannot be read is of no block; it opens one of nobody's, of which nothing is filed.
    pub(super) fn fail(&mut self, mut fault: Fault, job: &Job<'_>) {
        if fault.reach == Reach::Header {
            self.faulty.push(Faulty { fault, block: None, with_push: false });
            let detail = "it stands in a block whose header cannot be read";
            let refused = Some(Issue::new(Code::EntryInvalid, detail));
            return self.open(Open { refused, ..Open::default() }, job);
        }
        let block = self.blocks.len().checked_sub(1);
        let of_block = self.blocks.last().and_then(|block| block.open.push.clone());
        fault.push = fault.push.or(of_block);
        self.faulty.push(Faulty { fault, block, with_push: false });
    }

    pub(super) fn filing<'f>(&'f self, block: Option<usize>, plain: &'f Filing) -> &'f Filing {
        block.and_then(|at| self.blocks.get(at)).map_or(plain, |block| &block.filing)
    }

    /// The lines that wait, each behind the header of its block.
    pub(super) fn staged(&self, waits: &[usize]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut block = None;
        for item in waits.iter().map(|at| &self.items[*at]) {
            if item.block != block {
                block = item.block;
                text.extend_from_slice(&self.header(block).line());
                text.push(b'\n');
            }
            text.extend_from_slice(&item.text);
            text.push(b'\n');
        }
        (!text.is_empty()).then_some(text)
    }

    fn header(&self, block: Option<usize>) -> Header {
        let open = block.and_then(|at| self.blocks.get(at)).map(|block| &block.open);
        let reference = open.map(|open| format!("Patient/{}", open.patient));
        Header {
            reference: reference.unwrap_or_default(),
            push: open.and_then(|open| open.push.clone()),
            as_of: open.and_then(|open| open.as_of),
        }
    }

    /// System, value and time of the push that an item belongs to.
    pub(super) fn push_of(&self, item: &Item) -> Option<(&(String, String), Option<Timestamp>)> {
        let open = &self.blocks.get(item.block?)?.open;
        open.push.as_ref().map(|push| (push, open.as_of))
    }
}
