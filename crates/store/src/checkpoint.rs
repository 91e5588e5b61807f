//! Checkpoint: a signed statement over the lines that no earlier one covers.
//!
//! Comes in   the last checkpoint, the lines behind it, the key that signs.
//! Goes out   the next checkpoint; the tree and the statement by which `proof` checks it.
//! Never      signs a line that is not whole, or not in its place.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exchange::ledger::entry_hash;
use exchange::{Digest, Entry};
use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;

use crate::column::{micros, time};
use crate::house::{Checkpoint, Error};

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// The key that signs a house's checkpoints (Ed25519, RFC 8032). Prints as its id.
#[derive(Clone)]
pub struct LedgerKey {
    pair: Arc<Ed25519KeyPair>,
    public: [u8; 32],
}

/// What was given is not a private Ed25519 key in PKCS#8 (RFC 5958), or none could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a private Ed25519 key in PKCS#8 form")]
pub struct NotAKey;

impl LedgerKey {
    /// A new key, and its PKCS#8 PEM to be kept.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> Result<(LedgerKey, String), NotAKey> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| NotAKey)?;
        let text = STANDARD.encode(made.as_ref());
        let mut pem = format!("{PEM_BEGIN}\n");
        for line in text.as_bytes().chunks(64) {
            pem.extend(line.iter().map(|byte| char::from(*byte)));
            pem.push('\n');
        }
        pem.push_str(PEM_END);
        pem.push('\n');
        Ok((LedgerKey::from_pkcs8(made.as_ref())?, pem))
    }

    /// The key in a PEM file (`PRIVATE KEY`), as `generate` or `openssl genpkey` wrote it.
    ///
    /// # Errors
    /// When the text is not such a file.
    pub fn from_pem(pem: &str) -> Result<LedgerKey, NotAKey> {
        let (_, rest) = pem.split_once(PEM_BEGIN).ok_or(NotAKey)?;
        let (text, _) = rest.split_once(PEM_END).ok_or(NotAKey)?;
        let text: String = text.split_ascii_whitespace().collect();
        LedgerKey::from_pkcs8(&STANDARD.decode(text).map_err(|_| NotAKey)?)
    }

    /// The key in PKCS#8 DER.
    ///
    /// # Errors
    /// When the bytes are not such a key.
    pub fn from_pkcs8(der: &[u8]) -> Result<LedgerKey, NotAKey> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| NotAKey)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| NotAKey)?;
        Ok(LedgerKey { pair: Arc::new(pair), public })
    }

    /// The key's id: hex of the first 16 bytes of the SHA-256 of the public key.
    pub fn key_id(&self) -> String {
        key_id(&self.public)
    }

    /// The public key, raw (RFC 8032).
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// Signs a statement.
    pub fn sign(&self, statement: &[u8]) -> Vec<u8> {
        self.pair.sign(statement).as_ref().to_vec()
    }
}

impl fmt::Debug for LedgerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerKey({})", self.key_id())
    }
}

/// Hex of the first 16 bytes of the SHA-256 of a public key.
pub fn key_id(public: &[u8; 32]) -> String {
    Digest::of(public).to_string()[..32].to_owned()
}

impl Checkpoint {
    /// The bytes that are signed: one value a line, numbers in decimal, time in microseconds.
    pub fn statement(&self) -> Vec<u8> {
        let Checkpoint { number, seq, at, root, prev, key_id, signature: _ } = self;
        let at = at.as_microsecond();
        format!("handover ledger checkpoint 1\n{number}\n{seq}\n{at}\n{root}\n{prev}\n{key_id}\n")
            .into_bytes()
    }

    /// What the next checkpoint names as `prev`.
    pub fn statement_hash(&self) -> Digest {
        Digest::of(&self.statement())
    }

    /// The checkpoint behind the last, over all lines up to `seq`, signed.
    ///
    /// # Errors
    /// `Damaged` where the time lies outside the calendar.
    pub(crate) fn next(
        last: Option<&Checkpoint>,
        (seq, root): (u64, Digest),
        at: Timestamp,
        key: &LedgerKey,
    ) -> Result<Checkpoint, Error> {
        let mut made = Checkpoint {
            number: last.map_or(1, |last| last.number + 1),
            seq,
            // Times are kept in microseconds: what is read back equals what was signed.
            at: time(micros(at))?,
            root,
            prev: last.map_or(Digest([0; 32]), Checkpoint::statement_hash),
            key_id: key.key_id(),
            signature: Vec::new(),
        };
        made.signature = key.sign(&made.statement());
        Ok(made)
    }
}

/// The lines that the next checkpoint covers, each of which must be whole and in its place: a
/// signature would turn a forgery into the truth.
#[derive(Debug)]
pub(crate) struct Window {
    from: u64,
    last: u64,
    tree: Tree,
}

impl Window {
    /// Behind the last checkpoint.
    pub(crate) fn behind(last: Option<&Checkpoint>) -> Window {
        let last = last.map_or(0, |last| last.seq);
        Window { from: last + 1, last, tree: Tree::default() }
    }

    /// The line it begins with.
    pub(crate) fn from(&self) -> u64 {
        self.from
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// `Damaged` where it is another, or not as it was written.
    pub(crate) fn push(&mut self, entry: &Entry) -> Result<(), Error> {
        let seq = self.last + 1;
        if entry.seq != seq || !fits(entry, seq) {
            return Err(Error::Damaged(format!("ledger line {seq} is not as it was written")));
        }
        self.last = seq;
        self.tree.push(&entry.hash);
        Ok(())
    }

    /// The last line and the Merkle root over all, where the house has counted `written` lines;
    /// `None`: there is nothing to sign.
    ///
    /// # Errors
    /// `Damaged` where lines are missing at the end.
    pub(crate) fn end(self, written: u64) -> Result<Option<(u64, Digest)>, Error> {
        let last = self.last;
        if written != last {
            return Err(Error::Damaged(format!(
                "the ledger ends at line {last}, but {written} were written"
            )));
        }
        Ok((last >= self.from).then(|| (last, self.tree.root())))
    }
}

/// Merkle tree hash of RFC 6962 over entry hashes, one leaf after the other, in memory of the tree's
/// height: leaves and nodes are told apart by a prefix.
#[derive(Debug, Default, Clone)]
pub struct Tree {
    /// Full subtrees from left to right, as (leaves, hash): sizes are falling powers of two.
    full: Vec<(u64, Digest)>,
}

impl Tree {
    /// Adds a leaf.
    pub fn push(&mut self, hash: &Digest) {
        let mut size = 1;
        let mut node = Digest::of(&[&[0u8][..], &hash.0].concat());
        while let Some((left_size, left)) = self.full.pop_if(|(left, _)| *left == size) {
            node = join(&left, &node);
            size += left_size;
        }
        self.full.push((size, node));
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Digest {
        let mut nodes = self.full.iter().rev().map(|(_, node)| *node);
        let Some(last) = nodes.next() else { return Digest::of(b"") };
        nodes.fold(last, |right, left| join(&left, &right))
    }
}

fn join(left: &Digest, right: &Digest) -> Digest {
    Digest::of(&[&[1u8][..], &left.0, &right.0].concat())
}

/// Whether an entry is what was written in this place.
pub(crate) fn fits(entry: &Entry, seq: u64) -> bool {
    entry_hash(seq, entry.at, &entry.chain, &entry.body, &entry.prev) == entry.hash
}

/// A checkpoint's number as a bound of those that are stored; 0: below all of them, whatever somebody
/// may have numbered them.
pub(crate) fn from(number: u64) -> i64 {
    match number {
        0 => i64::MIN,
        number => i64::try_from(number).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The same root, as RFC 6962 §2.1 defines it over all leaves at once.
    fn merkle_root(hashes: &[Digest]) -> Digest {
        match hashes {
            [] => Digest::of(b""),
            [one] => Digest::of(&[&[0u8][..], &one.0].concat()),
            _ => {
                let split = hashes.len().next_power_of_two() / 2;
                let (left, right) = (merkle_root(&hashes[..split]), merkle_root(&hashes[split..]));
                Digest::of(&[&[1u8][..], &left.0, &right.0].concat())
            }
        }
    }

    #[test]
    fn a_tree_grown_leaf_by_leaf_has_the_root_of_the_whole() {
        let leaves: Vec<Digest> = (0..70u8).map(|n| Digest::of(&[n])).collect();
        let mut tree = Tree::default();
        for (count, leaf) in leaves.iter().enumerate() {
            assert_eq!(tree.root(), merkle_root(&leaves[..count]), "{count} leaves");
            tree.push(leaf);
        }
        assert_eq!(tree.root(), merkle_root(&leaves));
    }

    fn lines(count: u64) -> Vec<Entry> {
        let chain = exchange::Chain::Push(exchange::WalkId::from("window"));
        let line = |seq: u64, prev| {
            let event = exchange::Event::Opened { version: seq.to_string() };
            Entry::new(seq, Timestamp::UNIX_EPOCH, chain.clone(), &event, prev)
        };
        let mut lines: Vec<Entry> = Vec::new();
        for seq in 1..=count {
            lines.push(line(seq, lines.last().map_or(Digest([0; 32]), |last| last.hash)));
        }
        lines
    }

    #[test]
    fn checkpoints_follow_one_another() {
        let (key, _) = LedgerKey::generate().unwrap();
        let lines = lines(3);
        let mut window = Window::behind(None);
        assert_eq!(window.from(), 1);
        lines[..2].iter().for_each(|line| window.push(line).unwrap());
        let covered = window.end(2).unwrap().unwrap();
        assert_eq!(covered, (2, merkle_root(&[lines[0].hash, lines[1].hash])));
        let at = Timestamp::from_nanosecond(1_999).unwrap();
        let first = Checkpoint::next(None, covered, at, &key).unwrap();
        assert_eq!((first.number, first.seq, first.prev), (1, 2, Digest([0; 32])));
        assert_eq!(first.at.as_nanosecond(), 1_000, "in microseconds");

        let mut window = Window::behind(Some(&first));
        assert_eq!(window.from(), 3);
        window.push(&lines[2]).unwrap();
        let covered = window.end(3).unwrap().unwrap();
        let second = Checkpoint::next(Some(&first), covered, at, &key).unwrap();
        assert_eq!((second.number, second.prev), (2, first.statement_hash()));
        let nothing = Window::behind(Some(&second)).end(3).unwrap();
        assert_eq!(nothing, None, "there is nothing to sign");
    }

    #[test]
    fn no_line_is_signed_that_is_not_as_it_was_written() {
        let lines = lines(3);
        let moved = Entry { seq: 1, ..lines[1].clone() };
        let changed = Entry { body: "{}".to_owned(), ..lines[0].clone() };
        for (case, line) in [("missing", &lines[1]), ("moved", &moved), ("changed", &changed)] {
            let pushed = Window::behind(None).push(line);
            let text = pushed.unwrap_err().to_string();
            assert!(text.contains("ledger line 1 is not as it was written"), "{case}: {text}");
        }
        for written in [1, 4] {
            let mut window = Window::behind(None);
            lines.iter().for_each(|line| window.push(line).unwrap());
            let text = window.end(written).unwrap_err().to_string();
            assert!(text.contains(&format!("but {written} were written")), "{text}");
        }
    }

    #[test]
    fn a_key_survives_its_file() {
        let (key, pem) = LedgerKey::generate().unwrap();
        let again = LedgerKey::from_pem(&pem).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(again.key_id().len(), 32);
        assert_eq!(again.sign(b"x"), key.sign(b"x"));
        for bad in [
            "",
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----",
        ] {
            assert!(LedgerKey::from_pem(bad).is_err());
        }
        assert!(!format!("{key:?}").contains(&pem[30..60]), "a key never prints");
    }
}
