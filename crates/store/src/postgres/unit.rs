//! Unit: one unit of work on its way to the writer.
//!
//! Comes in   a unit as it was built.
//! Goes out   the same, its contents hashed, packed and kept; first answers as they stand.
//! Never      hands the writer a content that is not durable, its own rows aside.

use bytes::Bytes;
use exchange::{Digest, PartnerId};
use std::sync::Arc;
use tokio_postgres::Row;

use super::record::read_stored;
use super::row::{digest, get, micros, time};
use crate::blob::{Blobs, Hold, Kept, Key, Stored};
use crate::house::{Error, FirstAnswer, Unit};

/// A unit with its contents kept.
pub(super) struct Sealed {
    /// The unit without its contents.
    pub(super) unit: Unit,
    /// Contents of its records, in their order; `None` for deletions.
    pub(super) contents: Vec<Option<Kept>>,
    /// Its blobs.
    pub(super) blobs: Vec<Kept>,
    /// Body of its first answer.
    pub(super) answer: Option<Kept>,
    /// Until it is written, nobody removes the files it names.
    _hold: Arc<Hold>,
}

impl Sealed {
    /// Bytes that wait in memory for the writer.
    pub(super) fn bytes(&self) -> usize {
        let contents = self.contents.iter().flatten().chain(&self.blobs).chain(&self.answer);
        let bodies = self.unit.works.iter().map(|work| work.body.len());
        contents.filter_map(|kept| kept.inline.as_ref()).map(Bytes::len).chain(bodies).sum()
    }
}

/// Hashes and keeps a unit's contents.
///
/// # Errors
/// When their place takes no more, or when a blob is not what its digest says.
pub(super) async fn seal(blobs: &Blobs, key: &Key, mut unit: Unit) -> Result<Sealed, Error> {
    // Times are kept in microseconds: what is read back equals what was hashed.
    unit.at = time(micros(unit.at))?;
    let records: Vec<Option<Bytes>> =
        unit.records.iter_mut().map(|version| version.content.take()).collect();
    let named = std::mem::take(&mut unit.blobs);
    let body = unit.first_answer.as_mut().map(|answer| std::mem::take(&mut answer.body));
    let all = records.iter().flatten().chain(named.iter().map(|(_, bytes)| bytes)).chain(&body);
    let all: Vec<Bytes> = all.cloned().collect();
    let hold = blobs.hold();
    let mut kept = match all.is_empty() {
        true => Vec::new(),
        false => hold.keep_all(key, all).await?,
    }
    .into_iter();
    hold.settle().await?;
    let contents = records.iter().map(|content| content.as_ref().and_then(|_| kept.next()));
    let contents = contents.collect();
    let blobs: Vec<Kept> = kept.by_ref().take(named.len()).collect();
    if named.iter().zip(&blobs).any(|((digest, _), kept)| *digest != kept.digest) {
        let what = "a blob does not have the digest it comes under";
        return Err(Error::Damaged(what.to_owned()));
    }
    Ok(Sealed { unit, contents, blobs, answer: kept.next(), _hold: Arc::new(hold) })
}

/// A first answer as it stands; its body is fetched by whoever needs it.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    /// The answer without its body.
    pub(super) answer: FirstAnswer,
    /// Digest of the body.
    pub(super) body: Digest,
    /// Where the body is; nowhere once it is purged.
    pub(super) stored: Stored,
}

impl Answered {
    /// The columns that `read` needs.
    pub(super) const COLUMNS: &str =
        "a.sender, a.key, a.digest, a.status, a.headers, a.body, a.packed, a.file, a.content";

    /// An answer from its row.
    pub(super) fn read(row: &Row) -> Result<Answered, Error> {
        let headers = serde_json::from_str(get(row, "headers")?)
            .map_err(|_| Error::Damaged("the headers of an answer cannot be read".to_owned()))?;
        let status = u16::try_from(get::<i32>(row, "status")?)
            .map_err(|_| Error::Damaged("an answer has no status".to_owned()))?;
        let answer = FirstAnswer {
            sender: PartnerId(get(row, "sender")?),
            key: get(row, "key")?,
            digest: digest(row, "digest")?,
            status,
            headers,
            body: Bytes::new(),
        };
        Ok(Answered { answer, body: digest(row, "body")?, stored: read_stored(row)? })
    }

    /// An answer that was given earlier in the same group.
    pub(super) fn of(answer: &FirstAnswer, body: &Kept) -> Answered {
        let stored = Stored { file: body.file, content: body.inline.clone(), packed: body.packed };
        Answered { answer: answer.clone(), body: body.digest, stored }
    }

    /// The answer with its body.
    pub(super) async fn whole(self, blobs: &Blobs, key: &Key) -> Result<FirstAnswer, Error> {
        let body = blobs.fetch(key, &self.body, self.stored).await?;
        Ok(FirstAnswer { body: body.unwrap_or_default(), ..self.answer })
    }
}
