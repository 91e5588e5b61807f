//! Purposed: what of a batch waits for its block's Provenance, and which blocks one refuses.
//!
//! Comes in   lines that were read, in their order.
//! Goes out   blocks of which nothing is filed; where the one begins that cannot be decided yet.
//! Never      asks anything where the token was given for no purposes: then no line is refused for one.
//!
//! Why lines wait: a push says in its Provenance what it is for, and a house writes that last. So of a
//! block that goes on in the next batch nothing is filed before its Provenance was read, or it has ended.

use super::lines::{Is, Reach, ReadLine};
use exchange::Issue;
use std::collections::BTreeMap;

/// Of a batch. Blocks are named by the place behind their header among the lines; 0 is the open one.
#[derive(Debug, Default)]
pub(super) struct Purposed {
    /// Why nothing of a block is filed.
    pub(super) refused: BTreeMap<usize, Issue>,
    /// The block that goes on behind the batch, and has not said what it is for.
    pub(super) waits: Option<usize>,
}

impl Purposed {
    /// `said`: the open block's Provenance was read; `whole`: the last block ends with the lines.
    pub(super) fn of(lines: &[ReadLine], mut said: bool, whole: bool) -> Purposed {
        let (mut refused, mut block) = (BTreeMap::new(), 0);
        for (at, line) in lines.iter().enumerate() {
            match &line.is {
                Is::Header(_) => (block, said) = (at + 1, false),
                Is::Faulty(fault) if fault.reach == Reach::Header => (block, said) = (at + 1, true),
                Is::Faulty(fault) if fault.reach == Reach::Block => {
                    refused.entry(block).or_insert_with(|| fault.issues.first.clone());
                }
                Is::Put(put) if put.kind() == "Provenance" => said = true,
                Is::Put(_) | Is::TakesBack(_) | Is::Faulty(_) => {}
            }
        }
        let waits = (!said && !whole && !refused.contains_key(&block)).then_some(block);
        Purposed { refused, waits }
    }

    /// Whether a line waits.
    pub(super) fn holds(&self, at: usize) -> bool {
        self.waits.is_some_and(|block| block <= at + 1)
    }
}
