//! Seal: one unit of work on its way to the writer, and what the writer says of it.
//!
//! Comes in   a unit as it was built; a first answer as its row has it.
//! Goes out   the unit, its contents hashed, packed and kept; the answer with its body.
//! Never      hands the writer a content that is not durable, its own rows aside; never takes a
//!            body that was lost for one that was purged.

use bytes::Bytes;
use exchange::{Digest, PartnerId};
use std::sync::Arc;

use crate::blob::{Blobs, Hold, Kept, Key, Stored};
use crate::column::{micros, time};
use crate::house::{Commit, Error, FirstAnswer, Unit};

/// A unit with its contents kept.
pub(crate) struct Sealed {
    /// The unit without its contents.
    pub(crate) unit: Unit,
    /// Contents of its records, in their order; `None` for deletions.
    pub(crate) contents: Vec<Option<Kept>>,
    /// Its blobs.
    pub(crate) blobs: Vec<Kept>,
    /// Body of its first answer.
    pub(crate) answer: Option<Kept>,
    /// Until it is written, nobody removes the files it names: it goes on where its caller stops
    /// waiting.
    _hold: Arc<Hold>,
}

impl Sealed {
    /// Bytes that wait in memory for the writer.
    pub(crate) fn bytes(&self) -> usize {
        let contents = self.contents.iter().flatten().chain(&self.blobs).chain(&self.answer);
        let bodies = self.unit.works.iter().map(|work| work.body.len());
        contents.filter_map(|kept| kept.inline.as_ref()).map(Bytes::len).chain(bodies).sum()
    }
}

/// Hashes, packs and keeps a unit's contents.
///
/// # Errors
/// When the place takes no more, or when a blob is not what its digest says.
pub(crate) async fn seal(hold: Arc<Hold>, key: &Key, mut unit: Unit) -> Result<Sealed, Error> {
    // Times are kept in microseconds: what is read back equals what was hashed.
    unit.at = time(micros(unit.at))?;
    let deleted: Vec<bool> = unit.records.iter().map(|it| it.content.is_none()).collect();
    let records = unit.records.iter_mut().filter_map(|version| version.content.take());
    let mut contents: Vec<Bytes> = records.collect();
    let (named, blobs): (Vec<_>, Vec<_>) = std::mem::take(&mut unit.blobs).into_iter().unzip();
    contents.extend(blobs);
    contents.extend(unit.first_answer.as_mut().map(|answer| std::mem::take(&mut answer.body)));
    let mut kept = hold.keep_all(key, contents).await?.into_iter();
    let contents = deleted.into_iter().map(|gone| if gone { None } else { kept.next() }).collect();
    let blobs: Vec<Kept> = kept.by_ref().take(named.len()).collect();
    if blobs.iter().zip(&named).any(|(kept, named)| kept.digest != *named) {
        let what = "a blob does not have the digest it comes under";
        return Err(Error::Damaged(what.to_owned()));
    }
    hold.settle().await?;
    Ok(Sealed { unit, contents, blobs, answer: kept.next(), _hold: hold })
}

/// What the writer decided about a unit.
pub(crate) enum Decided {
    /// This.
    Said(Commit),
    /// Its key was answered before, and this is where the answer lies.
    Repeated(Box<Answered>),
}

impl Decided {
    /// As the caller is told.
    ///
    /// # Errors
    /// Those of `Answered::whole`.
    pub(crate) async fn told(self, blobs: &Blobs, key: &Key) -> Result<Commit, Error> {
        match self {
            Decided::Said(commit) => Ok(commit),
            Decided::Repeated(before) => Ok(Commit::Repeated(before.whole(blobs, key).await?)),
        }
    }
}

/// A first answer as its row has it; its body is fetched by whoever needs it.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    /// The answer without its body.
    pub(crate) answer: FirstAnswer,
    /// Digest of the body.
    pub(crate) body: Digest,
    /// Where the body lies; nowhere once it is purged.
    pub(crate) stored: Stored,
    /// Whether the body was purged.
    pub(crate) purged: bool,
}

impl Answered {
    /// An answer that was given a moment ago.
    pub(crate) fn of(answer: &FirstAnswer, body: &Kept) -> Answered {
        let stored = Stored { file: body.file, content: body.inline.clone(), packed: body.packed };
        Answered { answer: answer.clone(), body: body.digest, stored, purged: false }
    }

    /// The answer with its body; an empty one where that was purged.
    ///
    /// # Errors
    /// `Damaged` where the body is lost, or not what it was; `Unavailable`.
    pub(crate) async fn whole(self, blobs: &Blobs, key: &Key) -> Result<FirstAnswer, Error> {
        match blobs.fetch(key, &self.body, self.stored).await? {
            Some(body) => Ok(FirstAnswer { body, ..self.answer }),
            None if self.purged => Ok(self.answer),
            None => Err(Error::Damaged("a stored answer has no content".to_owned())),
        }
    }
}

/// A first answer without its body, from its columns.
///
/// # Errors
/// `Damaged` where the headers cannot be read.
pub(crate) fn answer_of(
    (sender, key): (PartnerId, String),
    digest: Digest,
    status: u16,
    headers: &str,
) -> Result<FirstAnswer, Error> {
    let headers = serde_json::from_str(headers)
        .map_err(|_| Error::Damaged("the headers of an answer cannot be read".to_owned()))?;
    Ok(FirstAnswer { sender, key, digest, status, headers, body: Bytes::new() })
}

/// The headers of a first answer as a column.
///
/// # Errors
/// `Unavailable` where they cannot be written.
pub(crate) fn headers_of(answer: &FirstAnswer) -> Result<String, Error> {
    serde_json::to_string(&answer.headers).map_err(|error| Error::Unavailable(Box::new(error)))
}

/// Reads rows and then what they name. What was purged in between is read once more: then its row
/// says so.
pub(crate) async fn read_twice<T, Answer>(read: impl Fn() -> Answer) -> Result<T, Error>
where
    Answer: Future<Output = Result<T, Error>>,
{
    match read().await {
        Err(Error::Damaged(_)) => read().await,
        answer => answer,
    }
}
