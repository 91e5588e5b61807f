//! Anchor: the newest checkpoint, written down outside the database.
//!
//! Comes in   a checkpoint that was committed, and the key that signed it; a file's text.
//! Goes out   a signed file of a few lines, beside the keys; what of the ledger does not fit it.
//! Never      stands in the database, and is never ahead of it: it is written after the commit.
//!
//! Why: whoever can write to the database can remove the last checkpoints and hash the lines under
//! them again, and what is left fits together. The anchor says which checkpoint there was. It may
//! be some checkpoints behind after a crash, as it is only asked whether the anchored one is there.
//!
//! What it cannot know: that somebody put an older database and the anchor of that time back
//! together. The partners who were given later roots can.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use exchange::Digest;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::house::{Checkpoint, House};
use crate::limits::{ANCHOR_BYTES_MAX, CHECKPOINT_PAGE};
use crate::proof::{Broken, LedgerKey, PublicKey, Reason, unreadable};

const TITLE: &str = "handover ledger anchor 1";

const NONE: &str = "there is no anchor: the ledger may have been replaced";
const FORGED: &str = "the anchor is not signed by a key of this house";
const FOLLOWS: &str = "a checkpoint behind the anchored one is not signed or does not follow";
const OTHER: &str = "the checkpoint that was anchored is missing or another one";

/// The newest checkpoint, as it is remembered outside the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The checkpoint's number; 0: the ledger was empty when it was first opened.
    pub number: u64,
    /// The last line it covers.
    pub seq: u64,
    /// Hash of its statement, which names all checkpoints before it.
    pub statement: Digest,
    /// Its Merkle root.
    pub root: Digest,
    /// Who signed the anchor.
    pub key_id: String,
    /// Ed25519 over the lines above it.
    pub signature: Vec<u8>,
}

impl Anchor {
    /// The anchor of a checkpoint.
    pub fn of(checkpoint: &Checkpoint, key: &LedgerKey) -> Anchor {
        let Checkpoint { number, seq, root, .. } = checkpoint;
        Anchor::signed(*number, *seq, checkpoint.statement_hash(), *root, key)
    }

    /// The anchor of a ledger without lines.
    pub fn of_nothing(key: &LedgerKey) -> Anchor {
        Anchor::signed(0, 0, Digest([0; 32]), Digest([0; 32]), key)
    }

    fn signed(number: u64, seq: u64, statement: Digest, root: Digest, key: &LedgerKey) -> Anchor {
        let (key_id, signature) = (key.key_id(), Vec::new());
        let mut anchor = Anchor { number, seq, statement, root, key_id, signature };
        anchor.signature = key.sign(anchor.text().as_bytes());
        anchor
    }

    /// What is signed: one value a line.
    fn text(&self) -> String {
        let Anchor { number, seq, statement, root, key_id, signature: _ } = self;
        format!("{TITLE}\n{number}\n{seq}\n{statement}\n{root}\n{key_id}\n")
    }

    fn parse(text: &str) -> Option<Anchor> {
        let mut lines = text.strip_prefix(TITLE)?.strip_prefix('\n')?.lines();
        let anchor = Anchor {
            number: lines.next()?.parse().ok()?,
            seq: lines.next()?.parse().ok()?,
            statement: lines.next()?.parse().ok()?,
            root: lines.next()?.parse().ok()?,
            key_id: lines.next()?.to_owned(),
            signature: unhex(lines.next()?)?,
        };
        lines.next().is_none().then_some(anchor)
    }

    /// The anchor in a file; `None` when there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read, or none of these keys has signed it.
    pub fn read(place: &Path, keys: &[PublicKey]) -> Result<Option<Anchor>, Broken> {
        let text = match fs::metadata(place).and_then(|it| match it.len() <= ANCHOR_BYTES_MAX {
            true => fs::read_to_string(place),
            false => Ok(String::new()),
        }) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) => return Err(broken(1, "the anchor cannot be read")),
        };
        let signed = |anchor: &Anchor| {
            signs(keys, &anchor.key_id, anchor.text().as_bytes(), &anchor.signature)
        };
        Anchor::parse(&text).filter(signed).map(Some).ok_or_else(|| broken(1, FORGED))
    }

    /// Writes the anchor, whole or not at all, unless one of these keys has signed a newer one: of
    /// several processes another may have been here meanwhile. They take turns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, place: &Path, keys: &[PublicKey]) -> io::Result<()> {
        let folder = match place.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = File::open(folder)?;
        folder.lock()?;
        if let Ok(Some(there)) = Anchor::read(place, keys)
            && there.number > self.number
        {
            return Ok(());
        }
        let mut drawn = [0; 8];
        aws_lc_rs::rand::fill(&mut drawn).map_err(io::Error::other)?;
        let half = place.with_extension(format!("anchor.{}.tmp", hex(&drawn)));
        let done = self.write_at(&half).and_then(|()| fs::rename(&half, place));
        if done.is_err() {
            fs::remove_file(&half).ok();
        }
        done?;
        folder.sync_all()
    }

    fn write_at(&self, half: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(half)?;
        file.write_all(format!("{}{}\n", self.text(), hex(&self.signature)).as_bytes())?;
        file.sync_all()
    }

    /// Whether the anchored checkpoint is still there, as it was.
    ///
    /// # Errors
    /// The first line that it would have proved.
    pub async fn confirm(&self, house: &impl House) -> Result<(), Broken> {
        if self.number == 0 {
            return Ok(());
        }
        let found = house.checkpoint_numbered(self.number).await;
        let found = found.map_err(|error| unreadable(1, &error))?;
        if found.is_some_and(|found| self.is_of(&found)) {
            return Ok(());
        }
        // The first line that it proved, as far as what is left tells.
        let before = house.checkpoint_below(self.number).await;
        let before = before.map_err(|error| unreadable(1, &error))?;
        Err(self.gone(before.map_or(1, |one| one.seq + 1)))
    }

    /// The newest checkpoint behind the anchored one; `None` when that is the newest.
    ///
    /// # Errors
    /// The anchored checkpoint is gone, or one behind it is not signed or does not follow.
    pub async fn newest(
        &self,
        house: &impl House,
        keys: &[PublicKey],
    ) -> Result<Option<Checkpoint>, Broken> {
        self.confirm(house).await?;
        let (mut prev, mut last, mut from) = (self.statement, self.number, self.seq + 1);
        let mut newest = None;
        loop {
            let behind = if last == 0 { 0 } else { last + 1 };
            let page = house.checkpoints(behind, CHECKPOINT_PAGE).await;
            let page = page.map_err(|error| unreadable(from, &error))?;
            if page.is_empty() {
                return Ok(newest);
            }
            for one in page {
                if one.number != last + 1 || one.prev != prev || !signed(&one, keys) {
                    return Err(broken(from, FOLLOWS));
                }
                (prev, last, from) = (one.statement_hash(), one.number, one.seq + 1);
                newest = Some(one);
            }
        }
    }

    pub(crate) fn is_of(&self, checkpoint: &Checkpoint) -> bool {
        self.number == checkpoint.number && self.statement == checkpoint.statement_hash()
    }

    /// The finding that the anchored checkpoint, which proved from this line on, is gone.
    pub(crate) fn gone(&self, from: u64) -> Broken {
        broken(from, OTHER)
    }
}

fn broken(first_bad_seq: u64, fault: &'static str) -> Broken {
    Broken { first_bad_seq, reason: Reason::Anchor { fault } }
}

/// The finding that a ledger has lines, and nothing says whether they are those that were written.
pub fn no_anchor() -> Broken {
    broken(1, NONE)
}

fn signed(checkpoint: &Checkpoint, keys: &[PublicKey]) -> bool {
    signs(keys, &checkpoint.key_id, &checkpoint.statement(), &checkpoint.signature)
}

fn signs(keys: &[PublicKey], id: &str, text: &[u8], signature: &[u8]) -> bool {
    let key = keys.iter().find(|key| key.id == id);
    key.is_some_and(|key| {
        UnparsedPublicKey::new(&ED25519, &key.bytes).verify(text, signature).is_ok()
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if !text.is_ascii() || !bytes.len().is_multiple_of(2) {
        return None;
    }
    bytes.chunks(2).map(pair).collect()
}

/// What a ledger is proved against: keys that may have signed, and where its anchor lies.
#[derive(Debug, Clone, Default)]
pub struct Grounds {
    /// Keys that may have signed checkpoints and the anchor.
    pub keys: Vec<PublicKey>,
    /// The anchor's file; `None`: this house keeps none (an invented one, a test).
    pub anchor: Option<PathBuf>,
}

impl From<Vec<PublicKey>> for Grounds {
    fn from(keys: Vec<PublicKey>) -> Grounds {
        Grounds { keys, anchor: None }
    }
}

/// A root that a partner keeps: it was given in an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    /// The last line the root covers.
    pub seq: u64,
    /// The root.
    pub root: Digest,
}

#[cfg(test)]
mod tests {
    //! Goal: however many processes write the anchor, it is whole, signed, and never an older one; and
    //! however many checkpoints there are, the newest is found.

    #![allow(clippy::unwrap_used)]
    use super::*;

    use crate::house::Unit;
    use crate::sqlite::SqliteHouse;
    use exchange::{Chain, Event};
    use jiff::Timestamp;

    const WRITERS: u64 = 4;
    const EACH: u64 = 100;

    #[tokio::test]
    async fn more_checkpoints_than_a_page_are_followed_to_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let house = SqliteHouse::open(&folder.path().join("store"), &"clinic".into()).unwrap();
        let key = LedgerKey::generate().unwrap().0;
        let keys = [PublicKey::new(key.public(), false)];
        let count = u64::from(CHECKPOINT_PAGE) + 2;
        let mut made = Vec::new();
        for number in 0..count {
            let at = Timestamp::from_second(number.cast_signed()).unwrap();
            let lines = vec![(Chain::House, Event::Opened { version: "1".to_owned() })];
            house.commit(Unit { at, lines, ..Unit::default() }).await.unwrap();
            made.push(house.checkpoint(at, &key).await.unwrap().unwrap());
        }
        let newest = made.last().cloned();
        for (case, anchor) in
            [("nothing", Anchor::of_nothing(&key)), ("the first", Anchor::of(&made[0], &key))]
        {
            assert_eq!(anchor.newest(&house, &keys).await.unwrap(), newest, "behind {case}");
        }
        let last = Anchor::of(&made[made.len() - 1], &key);
        assert_eq!(last.newest(&house, &keys).await.unwrap(), None);
        let verified = crate::proof::verify(&house, &keys).await.unwrap();
        assert_eq!((verified.checkpoints, verified.proved_to), (count, count));
        let gone = anchor(count + 1, &key).newest(&house, &keys).await.unwrap_err();
        assert_eq!(gone.first_bad_seq, count + 1, "as far as what is left tells");
    }

    fn anchor(number: u64, key: &LedgerKey) -> Anchor {
        Anchor::signed(number, number, Digest([1; 32]), Digest([2; 32]), key)
    }

    #[test]
    fn writers_take_turns_and_readers_see_a_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("ledger.anchor");
        let key = LedgerKey::generate().unwrap().0;
        let keys = [PublicKey::new(key.public(), false)];
        anchor(0, &key).write(&place, &keys).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (place, key, keys) = (&place, &key, &keys);
                scope.spawn(move || {
                    for turn in 0..EACH {
                        anchor(1 + turn * WRITERS + writer, key).write(place, keys).unwrap();
                    }
                });
            }
            let mut newest = 0;
            while newest < WRITERS * EACH {
                let read = Anchor::read(&place, &keys).unwrap().unwrap();
                assert!(read.number >= newest, "an older one replaced {newest}");
                newest = read.number;
            }
        });
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(left.len(), 1, "nothing is left beside it: {left:?}");

        anchor(7, &key).write(&place, &keys).unwrap();
        let read = Anchor::read(&place, &keys).unwrap().unwrap();
        assert_eq!(read.number, WRITERS * EACH, "an older one is not written");
        fs::write(&place, "").unwrap();
        anchor(7, &key).write(&place, &keys).unwrap();
        let read = Anchor::read(&place, &keys).unwrap().unwrap();
        assert_eq!(read.number, 7, "what nobody signed stands in nobody's way");
    }
}
