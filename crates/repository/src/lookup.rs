//! Lookup: what both houses' desks look up in the same way.
//!
//! Comes in   ids as people type them, chains, the keys that may have signed.
//! Goes out   rows of work, timelines, the state of the ledger's proof.
//! Never      decides what a state means: that is each road's.

use crate::store_issue;
use exchange::desk::{Reply, Row, TimelineRow};
use exchange::sentence::sentence;
use exchange::{Chain, Code, Event, Issue};
use std::collections::BTreeMap;
use store::proof::{self, PublicKey};
use store::{House, StoredWork, WorkQuery};

/// The one row of work whose id or label is this, or begins so.
///
/// Errors: `PushUnknown`; `CommandInvalid` when several begin so.
pub async fn find_work(house: &impl House, id: &str) -> Result<StoredWork, Issue> {
    let query = WorkQuery { prefix: Some(id.to_owned()), limit: 2, ..WorkQuery::default() };
    let exact = house.work(id).await.map_err(store_issue)?;
    if let Some(row) = exact {
        return Ok(row);
    }
    let mut rows = house.works(query).await.map_err(store_issue)?;
    match (rows.pop(), rows.pop()) {
        (Some(row), None) if !id.is_empty() => Ok(row),
        (Some(_), Some(_)) => {
            let detail = "several ids begin like this; give more of it";
            Err(Issue::new(Code::CommandInvalid, detail).at("id"))
        }
        _ => Err(Issue::new(Code::PushUnknown, "nothing has this id").at("id")),
    }
}

/// A chain's entries in words, oldest first.
pub async fn timeline(house: &impl House, chain: &Chain) -> Result<Vec<TimelineRow>, Issue> {
    timeline_of(house, chain, |_| true).await
}

/// Those of a chain's entries that fit, in words, oldest first.
pub async fn timeline_of(
    house: &impl House,
    chain: &Chain,
    fits: impl Fn(&Event) -> bool,
) -> Result<Vec<TimelineRow>, Issue> {
    let mut rows = Vec::new();
    for entry in house.story(chain).await.map_err(store_issue)? {
        let event = entry.event()?;
        if fits(&event) {
            let what = sentence(&event);
            rows.push(TimelineRow { seq: entry.seq, at: entry.at, what, hash: entry.hash });
        }
    }
    Ok(rows)
}

/// A list for people: what waits for a person first, then what waits for a clock, then the newest.
pub fn listed(mut rows: Vec<Row>, limit: u32) -> Reply {
    let mut counts = BTreeMap::<String, u64>::new();
    rows.iter().for_each(|row| *counts.entry(row.state.clone()).or_default() += 1);
    let rank = |row: &Row| match row.state.as_str() {
        "held" => 0,
        "due" => 1,
        _ => 2,
    };
    rows.sort_by(|one, other| (rank(one), other.changed).cmp(&(rank(other), one.changed)));
    rows.truncate(limit as usize);
    Reply::Listed { rows, counts: counts.into_iter().collect() }
}

/// Proves the ledger as far as its checkpoints reach.
pub async fn verify(house: &impl House, keys: &[PublicKey]) -> Result<Reply, Issue> {
    match proof::verify(house, keys).await {
        Ok(found) => Ok(Reply::Verified {
            proved_to: found.proved_to,
            last: found.last,
            checkpoints: found.checkpoints,
            broken: None,
        }),
        Err(broken) => Ok(Reply::Verified {
            proved_to: broken.first_bad_seq.saturating_sub(1),
            last: 0,
            checkpoints: 0,
            broken: Some((broken.first_bad_seq, broken.reason.to_string())),
        }),
    }
}
