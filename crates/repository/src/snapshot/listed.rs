//! Listed: a file whose records were chosen one by one, as a list of their names.
//!
//! Comes in   names of versions, in the order of the file; the list, when the file is fetched.
//! Goes out   the list, a line each; the lines of the file, a piece at a time.
//! Never      holds a content for longer than a piece of it is taken.
//!
//! Why a list: what a Group, a search or a Provenance chose cannot be told from where a file begins and
//! ends. Names are no content: nothing in a list outlives a purge.

use super::{contents, deletion, line, purged};
use crate::desk::store_issue;
use crate::elements::Form;
use crate::limits::{SNAPSHOT_BYTES, SNAPSHOT_CONTENTS};
use bytes::{Bytes, BytesMut};
use exchange::{Code, Digest, Issue, place};
use serde_json::json;
use std::collections::VecDeque;
use store::House;

/// A list that is being written: `Type/id/version`, or `Type/id` for the head of a block, a line each.
#[derive(Debug, Default)]
pub struct Writing {
    text: String,
    count: u64,
}

impl Writing {
    /// Adds a version.
    pub fn version(&mut self, kind: &str, id: &str, version: u64) {
        self.text.push_str(&format!("{kind}/{id}/{version}\n"));
        self.count += 1;
    }

    /// Adds the head of a block of a Patient's records.
    pub fn header(&mut self, kind: &str, id: &str) {
        self.text.push_str(&format!("{kind}/{id}\n"));
        self.count += 1;
    }

    /// Lines so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The list, and a new one in its place.
    pub fn take(&mut self) -> (Digest, Bytes, u64) {
        let Writing { text, count } = std::mem::take(self);
        let bytes = Bytes::from(text);
        (Digest::of(&bytes), bytes, count)
    }
}

/// One line of a list.
#[derive(Debug)]
enum Item {
    Header(String),
    Version { kind: String, id: String, version: u64 },
}

/// The lines of a listed file.
#[derive(Debug)]
pub struct Listed<H> {
    house: H,
    items: VecDeque<Item>,
    deleted: bool,
    form: Form,
}

impl<H: House> Listed<H> {
    /// The file of this list; `deleted`: with what takes back the records, and not with them.
    ///
    /// Errors: `StatusUnknown` where the list went with its export; `StoreUnavailable` for one that
    /// cannot be read; those of the store.
    pub async fn open(
        house: H,
        list: &Digest,
        deleted: bool,
        form: Form,
    ) -> Result<Listed<H>, Issue> {
        let damaged = || Issue::new(Code::StoreUnavailable, "a stored list cannot be read");
        let gone = || Issue::new(Code::StatusUnknown, "this export has ended");
        let list = house.blob(list).await.map_err(store_issue)?.ok_or_else(gone)?;
        let text = std::str::from_utf8(&list).map_err(|_| damaged())?;
        let items: Option<VecDeque<Item>> = text.lines().map(read).collect();
        Ok(Listed { house, items: items.ok_or_else(damaged)?, deleted, form })
    }

    /// Some more lines; `None` at the end.
    ///
    /// Errors: `ContentPurged` where a content went since the file was told of; those of the store.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Issue> {
        let mut piece = BytesMut::new();
        while (piece.len() as u64) < SNAPSHOT_BYTES {
            match self.items.pop_front() {
                None if piece.is_empty() => return Ok(None),
                None => break,
                Some(Item::Header(about)) => line(&mut piece, &header(&about)),
                Some(Item::Version { kind, id, .. }) if self.deleted => {
                    line(&mut piece, &deletion(&kind, &id));
                }
                Some(Item::Version { kind, id, version }) => {
                    self.run(kind, (id, version), &mut piece).await?;
                }
            }
        }
        Ok(Some(piece.freeze()))
    }

    /// A version, and those behind it that can be asked for with it: of its type, in the order of ids.
    async fn run(
        &mut self,
        kind: String,
        first: (String, u64),
        piece: &mut BytesMut,
    ) -> Result<(), Issue> {
        let mut run = VecDeque::from([first]);
        while run.len() < SNAPSHOT_CONTENTS {
            let last = run.back().map(|(id, _)| id.clone()).unwrap_or_default();
            let next = self.items.pop_front_if(|item| {
                matches!(item, Item::Version { kind: own, id, .. } if *own == kind && *id > last)
            });
            let Some(Item::Version { id, version, .. }) = next else { break };
            run.push_back((id, version));
        }
        let before = run.len();
        contents(&self.house, &kind, &mut run, &self.form, piece).await?;
        if run.len() == before {
            return Err(purged());
        }
        for (id, version) in run.into_iter().rev() {
            self.items.push_front(Item::Version { kind: kind.clone(), id, version });
        }
        Ok(())
    }
}

fn read(text: &str) -> Option<Item> {
    if place::parts(text).is_some() {
        return Some(Item::Header(text.to_owned()));
    }
    let (name, version) = text.rsplit_once('/')?;
    let (kind, id, _) = place::parts(name)?;
    let version = version.parse().ok()?;
    Some(Item::Version { kind: kind.to_owned(), id: id.to_owned(), version })
}

/// The head of a block (Bulk Data 3.0.0, output file organization).
fn header(about: &str) -> Vec<u8> {
    let header = json!({ "name": "header", "valueReference": { "reference": about } });
    json!({ "resourceType": "Parameters", "parameter": [header] }).to_string().into_bytes()
}
