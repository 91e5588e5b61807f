//! Proof: signed checkpoints over the ledger, and the walk that checks a ledger against them.
//!
//! Comes in   a house to read, and the public keys that may have signed.
//! Goes out   up to which line everything is proved, or the first line that is not as it was.
//! Never      holds more than a page of entries and one digest per chain.
//!
//! Why chains, checkpoints and an anchor: hashes find whoever changes a line, but whoever can write
//! to the database can hash again. A checkpoint cannot be made again without the key, but it can be
//! removed. The anchor outside the database says which checkpoint there was.
//!
//! What it cannot know by itself: that somebody put an older database and its anchor back together,
//! or that the holder of the key wrote and signed another story. A partner who was given a root
//! can: `Witness`. Lines behind the last checkpoint can be changed by whoever can hash again.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use exchange::{Digest, Entry};
use std::collections::HashMap;

use crate::anchor::{Anchor, Grounds, Witness, no_anchor};
use crate::checkpoint::fits;
pub use crate::checkpoint::{LedgerKey, NotAKey, Tree, key_id};
use crate::house::{Checkpoint, Error, House};
use crate::limits::{CHECKPOINT_PAGE, DOUBTED_MAX, SHIFT_MAX, VERIFY_PAGE};

/// A key that may have signed checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// `key_id` of the bytes.
    pub id: String,
    /// Raw Ed25519 public key.
    pub bytes: [u8; 32],
    /// Whether it signs no more: its checkpoints hold as long as no later key's precede them.
    pub retired: bool,
}

impl PublicKey {
    /// A public key with its id.
    pub fn new(bytes: [u8; 32], retired: bool) -> PublicKey {
        PublicKey { id: key_id(&bytes), bytes, retired }
    }
}

/// How far a ledger is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Everything up to this line is as it was signed; 0: nothing is signed yet.
    pub proved_to: u64,
    /// The last line there is: later ones than `proved_to` fit together, but are not yet proved.
    pub last: u64,
    /// Checkpoints checked.
    pub checkpoints: u64,
}

/// A ledger that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger is broken at line {first_bad_seq}: {reason}")]
pub struct Broken {
    /// The first line that is not as it was, as far as it can be told; for `Reason::Root` and
    /// `Reason::Checkpoint` the first line that the checkpoint would have proved.
    pub first_bad_seq: u64,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The line's content does not have the line's hash.
    #[error("the line was changed")]
    Changed,
    /// The line is not there, though later ones or a checkpoint over it are.
    #[error("the line is missing")]
    Missing,
    /// The lines behind it were written one place further up.
    #[error("the line was inserted")]
    Inserted,
    /// The chain does not go on from here: this line or its successor was hashed again.
    #[error("the next line of its chain does not follow from it")]
    Unchained,
    /// The lines fit together, but are not those that were signed.
    #[error("lines up to {to} are not those that were signed")]
    Root {
        /// Last line under the checkpoint.
        to: u64,
    },
    /// The checkpoint is not in its place, or not signed by a key that may sign.
    #[error("checkpoint {number} {fault}")]
    Checkpoint {
        /// Its place in the sequence.
        number: u64,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// What stands outside the database says otherwise.
    #[error("{fault}")]
    Anchor {
        /// What is wrong.
        fault: &'static str,
    },
    /// A partner holds another root, or one that this ledger does not have.
    #[error("no checkpoint over line {seq} has the root that the partner holds")]
    Witness {
        /// The last line the partner's root covers.
        seq: u64,
    },
    /// The store could not give the lines.
    #[error("{0}")]
    Unreadable(String),
}

/// Walks a ledger from its first line and proves it by its checkpoints. Lines may be written
/// meanwhile; works on a copy opened for reading.
///
/// # Errors
/// The first line that is not as it was; also when the store cannot be read.
pub async fn verify(house: &impl House, keys: &[PublicKey]) -> Result<Verified, Broken> {
    prove(house, keys, None, &[]).await
}

/// The same, and against what stands outside the database: the house's anchor, and roots that
/// partners hold.
///
/// # Errors
/// As `verify`; also where the anchor is missing although there are lines, is not signed, or its
/// checkpoint is gone; and where a partner's root is none of this ledger's.
pub async fn verify_on(
    house: &impl House,
    grounds: &Grounds,
    witnesses: &[Witness],
) -> Result<Verified, Broken> {
    // A house that is opened for the first time is anchored before its first line: lines that were
    // here before the anchor was looked for must have one, those that came meanwhile need not.
    let lines = house.entries(1, 1).await.map_err(|error| unreadable(1, &error))?;
    // The anchor before the checkpoints: it is written after its own, so that this one is there.
    let anchor = match &grounds.anchor {
        Some(place) => Anchor::read(place, &grounds.keys)?,
        None => None,
    };
    if grounds.anchor.is_some() && anchor.is_none() && !lines.is_empty() {
        return Err(no_anchor());
    }
    prove(house, &grounds.keys, anchor.as_ref(), witnesses).await
}

async fn prove(
    house: &impl House,
    keys: &[PublicKey],
    anchor: Option<&Anchor>,
    witnesses: &[Witness],
) -> Result<Verified, Broken> {
    let mut walk = Walk::default();
    let mut trust = Trust { keys, active: false };
    let (mut prev, mut number, mut page_from) = (Digest([0; 32]), 0, 0);
    loop {
        let page = house.checkpoints(page_from, CHECKPOINT_PAGE).await;
        let page = page.map_err(|error| unreadable(walk.next(), &error))?;
        let Some(last) = page.last() else { break };
        page_from = last.number.saturating_add(1);
        for checkpoint in &page {
            let from = walk.next();
            number += 1;
            trust.check(checkpoint, number, &prev, from)?;
            if let Some(anchor) = anchor.filter(|anchor| anchor.number == number)
                && !anchor.is_of(checkpoint)
            {
                return Err(anchor.gone(from));
            }
            prev = checkpoint.statement_hash();
            walk.window(house, from, Some(checkpoint.seq)).await?;
            if walk.tree.root() != checkpoint.root {
                let reason = Reason::Root { to: checkpoint.seq };
                return Err(Broken { first_bad_seq: from, reason });
            }
            confirm(witnesses, checkpoint, from)?;
        }
    }
    if let Some(anchor) = anchor.filter(|anchor| anchor.number > number) {
        return Err(anchor.gone(walk.next()));
    }
    if let Some(beyond) = witnesses.iter().find(|one| one.seq == 0 || one.seq > walk.last) {
        let reason = Reason::Witness { seq: beyond.seq };
        return Err(Broken { first_bad_seq: walk.next(), reason });
    }
    let proved_to = walk.last;
    walk.window(house, walk.next(), None).await?;
    Ok(Verified { proved_to, last: walk.last, checkpoints: number })
}

/// Whether partners hold the root of a checkpoint, where they hold one of the lines that it covers.
fn confirm(witnesses: &[Witness], checkpoint: &Checkpoint, from: u64) -> Result<(), Broken> {
    let covered = |one: &&Witness| (from..=checkpoint.seq).contains(&one.seq);
    let mut other = witnesses.iter().filter(covered);
    let other = other.find(|one| (one.seq, one.root) != (checkpoint.seq, checkpoint.root));
    other.map_or(Ok(()), |one| {
        let reason = Reason::Witness { seq: one.seq };
        Err(Broken { first_bad_seq: from, reason })
    })
}

pub(crate) fn unreadable(seq: u64, error: &Error) -> Broken {
    Broken { first_bad_seq: seq, reason: Reason::Unreadable(error.to_string()) }
}

/// Who may sign, in the order of the checkpoints: a retired key never again after its successor.
struct Trust<'a> {
    keys: &'a [PublicKey],
    active: bool,
}

impl Trust<'_> {
    fn check(
        &mut self,
        found: &Checkpoint,
        number: u64,
        prev: &Digest,
        from: u64,
    ) -> Result<(), Broken> {
        let key = self.keys.iter().find(|key| key_id(&key.bytes) == found.key_id);
        let signed = key.is_some_and(|key| {
            let public = UnparsedPublicKey::new(&ED25519, &key.bytes);
            public.verify(&found.statement(), &found.signature).is_ok()
        });
        let fault = match key {
            _ if found.number != number => "is missing",
            None => "is signed by a key that is not known",
            _ if !signed => "does not have its signature",
            _ if found.prev != *prev => "does not follow the one before",
            _ if found.seq < from => "covers no line",
            Some(key) if key.retired && self.active => "is signed by a key that was retired",
            Some(key) => {
                self.active |= !key.retired;
                return Ok(());
            }
        };
        Err(Broken { first_bad_seq: from, reason: Reason::Checkpoint { number, fault } })
    }
}

/// The walk: where it is, and each chain's last line so far.
#[derive(Default)]
struct Walk {
    last: u64,
    tree: Tree,
    heads: HashMap<[u8; 16], (u64, Digest)>,
    /// Hashes of lines whose content is not theirs: what follows from them blames no other.
    doubted: Vec<Digest>,
    first_bad: Option<Broken>,
}

impl Walk {
    fn next(&self) -> u64 {
        self.last + 1
    }

    /// Reads the lines of one checkpoint, or (`to` is `None`) all that follow.
    ///
    /// A line can betray an earlier one (its chain's previous), so the window is read to its end
    /// and the earliest finding is reported.
    async fn window(
        &mut self,
        house: &impl House,
        from: u64,
        to: Option<u64>,
    ) -> Result<(), Broken> {
        self.tree = Tree::default();
        while to.is_none_or(|to| self.last < to) && !self.hopeless() {
            let left = to.map_or(u64::MAX, |to| to - self.last);
            let limit = VERIFY_PAGE.min(u32::try_from(left).unwrap_or(VERIFY_PAGE));
            let page = self.page(house, limit).await;
            if page.is_empty() {
                break;
            }
            page.iter().for_each(|entry| self.take(entry, from));
        }
        if to.is_some_and(|to| self.last < to) {
            self.note(self.next(), Reason::Missing);
        }
        self.first_bad.take().map_or(Ok(()), Err)
    }

    /// A gap moves all later lines: nothing behind it can be compared.
    fn hopeless(&self) -> bool {
        self.first_bad
            .as_ref()
            .is_some_and(|broken| matches!(broken.reason, Reason::Missing | Reason::Unreadable(_)))
    }

    /// The next lines. Where a page cannot be read, line by line up to the one that cannot.
    async fn page(&mut self, house: &impl House, limit: u32) -> Vec<Entry> {
        let limits = if limit > 1 { &[limit, 1][..] } else { &[1] };
        let mut failed = None;
        for limit in limits {
            match house.entries(self.next(), *limit).await {
                Ok(page) => return page,
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            self.note(self.next(), Reason::Unreadable(error.to_string()));
        }
        Vec::new()
    }

    fn take(&mut self, entry: &Entry, from: u64) {
        if self.hopeless() {
            return;
        }
        if entry.seq != self.next() {
            self.note(self.next(), Reason::Missing);
            return;
        }
        self.last = entry.seq;
        self.tree.push(&entry.hash);
        let mut name = [0; 16];
        name.copy_from_slice(&Digest::of(entry.chain.to_string().as_bytes()).0[..16]);
        let head = self.heads.insert(name, (entry.seq, entry.hash));
        if !fits(entry, entry.seq) {
            let (seq, reason) = match (moved(entry), head) {
                // A copy of its chain's last line fits that one's place, where nothing is wrong.
                ((_, Reason::Inserted), Some((_, hash))) if hash == entry.hash => {
                    (entry.seq, Reason::Inserted)
                }
                (found, _) => found,
            };
            self.note(seq.max(from), reason);
            self.doubted.push(entry.hash);
            self.doubted.truncate(DOUBTED_MAX);
        } else if entry.prev != head.map_or(Digest([0; 32]), |(_, hash)| hash)
            && !self.doubted.contains(&entry.prev)
        {
            // The line is whole in itself. Its predecessor was hashed again, unless that one is
            // proved already: then it is this line that was.
            let culprit = head.map(|(seq, _)| seq).filter(|seq| *seq >= from);
            self.note(culprit.unwrap_or(entry.seq), Reason::Unchained);
        }
    }

    fn note(&mut self, seq: u64, reason: Reason) {
        if self.first_bad.as_ref().is_none_or(|broken| seq < broken.first_bad_seq) {
            self.first_bad = Some(Broken { first_bad_seq: seq, reason });
        }
    }
}

/// A line whose hash fits another place was moved there by lines inserted or removed before it.
fn moved(entry: &Entry) -> (u64, Reason) {
    for shift in 1..=SHIFT_MAX {
        if entry.seq > shift && fits(entry, entry.seq - shift) {
            return (entry.seq - shift, Reason::Inserted);
        }
        if fits(entry, entry.seq + shift) {
            return (entry.seq, Reason::Missing);
        }
    }
    (entry.seq, Reason::Changed)
}
