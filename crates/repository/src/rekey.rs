//! Rekey: the keys of a house's records, read anew where an earlier program read them otherwise.
//!
//! Comes in   a house; how many records at a time.
//! Goes out   the same house, found by the keys of today; how far it is.
//! Never      holds more than a page of records, nor makes a version.

use crate::{keys, store_issue};
use exchange::Issue;
use fhir::Resource;
use store::{House, RecordKeys, Rekey};

/// Which reading of resources `keys` is. Counted up with every change after which a search would
/// not find what an earlier program filed.
pub const KEYS_EDITION: u32 = 3;

/// What a call of `rekey` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rekeyed {
    /// Keys of so many records were read anew; there may be more.
    Some(u64),
    /// All records have the keys of `KEYS_EDITION`.
    All,
}

/// Reads the keys of the next records anew. A run that was cut off goes on where it was.
///
/// # Errors
/// Those of the store.
pub async fn rekey(house: &impl House, limit: u32) -> Result<Rekeyed, Issue> {
    let page = house.rekey_next(KEYS_EDITION, limit).await.map_err(store_issue)?;
    let count = page.len() as u64;
    let read = |record: store::Record| {
        let resource = record.content.and_then(|content| Resource::parse(content).ok());
        // What nobody can read is found by its id alone; it was filed all the same.
        let keys = resource.map_or_else(RecordKeys::default, |resource| keys(&resource));
        Rekey { kind: record.kind, id: record.id, version: record.version, keys }
    };
    house.rekey(KEYS_EDITION, page.into_iter().map(read).collect()).await.map_err(store_issue)?;
    Ok(if count == 0 { Rekeyed::All } else { Rekeyed::Some(count) })
}
