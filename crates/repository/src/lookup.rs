//! Lookup: what both houses' desks look up in the same way.
//!
//! Comes in   ids as people type them, chains, what the ledger is proved against.
//! Goes out   rows of work, timelines, the state of the ledger's proof.
//! Never      decides what a state means: that is each road's.

use crate::{filed, limits, store_issue};
use bytes::Bytes;
use exchange::desk::{KnownRoot, Reply, Row, TimelineRow};
use exchange::push::SUBMITTED;
use exchange::sentence::sentence;
use exchange::{Chain, Code, Event, Issue};
use fhir::Bundle;
use store::{Grounds, House, StoredWork, Witness, WorkKind, WorkQuery, proof};

/// The one row of work whose id or label is this, or begins so. Where a trigger and its walks
/// begin so: its only walk, or the trigger when it has several (or none).
///
/// Errors: `PushUnknown`; `CommandInvalid` when several things begin so.
pub async fn find_work(house: &impl House, id: &str) -> Result<StoredWork, Issue> {
    // A watch is no push: it is shown with all others. Nor is an endpoint or a registration.
    let is_walk = |row: &StoredWork| {
        !matches!(
            row.work.kind,
            WorkKind::Watch
                | WorkKind::Endpoint
                | WorkKind::Registration
                | WorkKind::Partner
                | WorkKind::Export
                | WorkKind::BulkReceived
                | WorkKind::BulkSent
        )
    };
    if let Some(row) = house.work(id).await.map_err(store_issue)?.filter(is_walk) {
        return Ok(row);
    }
    let prefix = Some(id.to_owned());
    let query = WorkQuery { prefix, limit: limits::ROWS_LOOKED_AT, ..WorkQuery::default() };
    let mut rows = house.works(query).await.map_err(store_issue)?;
    rows.retain(is_walk);
    if id.is_empty() || rows.is_empty() {
        return Err(Issue::new(Code::PushUnknown, "nothing has this id").at("id"));
    }
    let cause = rows[0].work.trigger.clone();
    if rows.len() > 1 && (cause.is_none() || rows.iter().any(|row| row.work.trigger != cause)) {
        let detail = "several ids begin like this; give more of it";
        return Err(Issue::new(Code::CommandInvalid, detail).at("id"));
    }
    let walks = rows.iter().filter(|row| row.work.kind == WorkKind::Push).count();
    let wanted = if walks == 1 { WorkKind::Push } else { WorkKind::Trigger };
    let chosen = rows.iter().position(|row| row.work.kind == wanted).unwrap_or(0);
    Ok(rows.swap_remove(chosen))
}

/// The resources of a Bundle that was sent or came, as text. Errors: `ContentPurged`, in these
/// words, where it is empty.
pub fn resources(bundle: Bytes, purged: &str) -> Result<Vec<String>, Issue> {
    if bundle.is_empty() {
        return Err(Issue::new(Code::ContentPurged, purged));
    }
    let Ok(bundle) = Bundle::parse(bundle) else { return Ok(Vec::new()) };
    let resources = bundle.entries.iter().filter_map(|entry| entry.resource.as_ref());
    Ok(resources.map(|one| String::from_utf8_lossy(one.bytes()).into_owned()).collect())
}

/// A row of work whose push, trigger or submission this version cannot read.
pub fn unreadable() -> Issue {
    Issue::new(Code::InternalError, "a row of work cannot be read")
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

/// A list for people: what waits for a person first, then what waits for a clock, then the newest
/// of `kind`. `row` leaves out what is not shown.
pub async fn list(
    house: &impl House,
    kind: WorkKind,
    states: Vec<String>,
    limit: u32,
    row: impl Fn(&StoredWork) -> Result<Option<Row>, Issue>,
) -> Result<Reply, Issue> {
    let waiting = |state: &str| (None, vec![state.to_owned()]);
    let queries = match states.is_empty() {
        true => vec![waiting("held"), waiting("due"), waiting(SUBMITTED), (Some(kind), Vec::new())],
        false => vec![(None, states)],
    };
    let mut rows: Vec<Row> = Vec::new();
    for (kind, states) in queries {
        let query = WorkQuery { kind, states, limit, ..WorkQuery::default() };
        for stored in house.works(query).await.map_err(store_issue)? {
            if let Some(row) = row(&stored)?
                && rows.iter().all(|shown| shown.id != row.id)
            {
                rows.push(row);
            }
        }
    }
    rows.truncate(limit as usize);
    let mut counts = house.work_counts().await.map_err(store_issue)?;
    counts.retain(|(state, _)| {
        !matches!(
            state.as_str(),
            "scoped"
                | "watching"
                | "watch-ended"
                | "census"
                | "endpoint-known"
                | "endpoint-missing"
        )
    });
    counts.retain(|(state, _)| !state.starts_with("regist") && !state.starts_with("sending-"));
    Ok(Reply::Listed { rows, counts })
}

/// Proves the ledger as far as its checkpoints reach, against its anchor and partners' roots; then
/// what stands in the store against the ledger.
pub async fn verify(
    house: &impl House,
    grounds: &Grounds,
    roots: &[KnownRoot],
) -> Result<Reply, Issue> {
    let witness = |known: &KnownRoot| Witness { seq: known.sequence, root: known.root };
    let witnesses: Vec<Witness> = roots.iter().map(witness).collect();
    match proof::verify_on(house, grounds, &witnesses).await {
        Ok(found) => Ok(Reply::Verified {
            proved_to: found.proved_to,
            last: found.last,
            checkpoints: found.checkpoints,
            broken: filed::compare(house).await.err(),
        }),
        Err(broken) => Ok(Reply::Verified {
            proved_to: broken.first_bad_seq.saturating_sub(1),
            last: 0,
            checkpoints: 0,
            broken: Some((broken.first_bad_seq, broken.reason.to_string())),
        }),
    }
}
