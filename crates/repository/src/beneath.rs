//! Beneath: an older push that comes while what stands may yet be taken out is put beneath that.
//!
//! Comes in   a plan, with what it sets aside as older; whoever knows which receipts may be taken out.
//! Goes out   the same, which files two versions of each such record: what was set aside, and over it what
//!            stands, once more. Whoever takes out what stands finds the older one in the history, as if
//!            nothing had stood there.
//! Never      changes what is read now; touches what has been deleted (whose that was, nobody asks any
//!            more); looks anything up for what stands by the word of a push that is there for good.
//!
//! Why not kept elsewhere and filed later: the history is what a withdrawal falls back to, it is written in
//! the unit that answers, and a kill in between leaves nothing to catch up on.

use crate::limits::{BENEATH_BYTES_MAX, BENEATH_VERSIONS};
use crate::plan::{Filing, Incoming, Plan, is_older};
use crate::store_issue;
use bytes::Bytes;
use exchange::ledger::FiledVersion;
use exchange::{Digest, Issue};
use std::collections::HashSet;
use std::future::Future;
use store::{House, NewVersion, Record};

/// Who knows what may be taken out of the current view.
pub trait Withdrawable {
    /// Whether what this receipt brought may yet be taken out. Errors: those of the store.
    fn may_go(&mut self, receipt: &str) -> impl Future<Output = Result<bool, Issue>> + Send;
}

/// Puts what a plan sets aside beneath what stands, where that may be taken out and the older one would
/// then count. The plan relies on what stands already.
///
/// Errors: those of the store, and of who knows.
pub async fn put_beneath(
    house: &impl House,
    plan: &mut Plan,
    who_knows: &mut (impl Withdrawable + Send),
) -> Result<(), Issue> {
    let mut room = BENEATH_BYTES_MAX;
    for aside in std::mem::take(&mut plan.older) {
        if !who_knows.may_go(&aside.receipt).await? {
            continue;
        }
        let (kind, id) = (aside.version.kind.as_str(), aside.version.id.as_str());
        let history = house.history(kind, id, None, BENEATH_VERSIONS).await.map_err(store_issue)?;
        let mut go = HashSet::new();
        for one in &history {
            if who_knows.may_go(&one.receipt).await? {
                go.insert(one.receipt.as_str());
            }
        }
        if aside.changes_nothing(&history, |receipt| go.contains(receipt)) {
            plan.leave(&aside);
            continue;
        }
        let stands = house.record(kind, id, Some(aside.over)).await.map_err(store_issue)?;
        let size = |one: &Record| one.content.as_ref().map_or(0, Bytes::len);
        if let Some(stands) = stands.filter(|one| size(one) <= room) {
            room -= size(&stands);
            plan.put_beneath(aside, stands);
        }
    }
    Ok(())
}

/// A version that is not written, because a push with a higher number filed what stands.
#[derive(Debug, Clone)]
pub struct SetAside {
    /// What would have been written.
    version: NewVersion,
    /// The receipt of what stands.
    receipt: String,
    /// The version that stands.
    over: u64,
}

impl SetAside {
    /// `None` where nothing stands that is newer.
    pub(crate) fn of(item: &Incoming, filing: &Filing, own: Option<&Record>) -> Option<SetAside> {
        let head = own.filter(|head| !head.deleted && is_older(filing, head))?;
        Some(SetAside {
            version: NewVersion {
                kind: item.kind.clone(),
                id: item.id.clone(),
                owner: filing.owner.clone(),
                receipt: filing.receipt.clone(),
                lane: filing.lane.clone(),
                number: filing.number,
                content: item.content.clone(),
                keys: item.keys.clone(),
            },
            receipt: head.receipt.clone(),
            over: head.version,
        })
    }

    /// Whether it would change nothing either once all was withdrawn that may be (`may_go`, by its
    /// receipt). `history`: versions of the record, newest first.
    fn changes_nothing(&self, history: &[Record], may_go: impl Fn(&str) -> bool) -> bool {
        let own = &self.version;
        let stays = |one: &&Record| one.receipt == own.receipt || !may_go(&one.receipt);
        let left = history.iter().rev().filter(stays).map(|one| (one, one.number));
        standing(left).is_some_and(|one| {
            let same = one.deleted == own.content.is_none() && one.digest == digest(own);
            let number = one.number.filter(|_| one.lane == own.lane);
            number > own.number || number == own.number && same
        })
    }
}

impl Plan {
    /// What was set aside brings nothing that stands: the same content is not kept with the number of what
    /// may be taken out, and a version beneath says what it would.
    fn leave(&mut self, aside: &SetAside) {
        let SetAside { version: NewVersion { kind, id, .. }, .. } = aside;
        self.raises.retain(|raise| raise.kind != *kind || raise.id != *id);
    }

    /// Puts what was set aside beneath what stands, which is given with its content.
    fn put_beneath(&mut self, aside: SetAside, stands: Record) {
        let Some(content) = stands.content else { return };
        self.leave(&aside);
        let Record { kind, id, owner, version, .. } = stands;
        let named = self.outcomes.iter_mut().filter(|one| one.kind == kind && one.id == id);
        for outcome in named.filter(|one| one.version == Some(version)) {
            (outcome.version, outcome.last_updated) = (Some(version + 2), None);
            outcome.content = Some(content.clone());
        }
        let (beneath, digest) = (version + 1, digest(&aside.version));
        self.beneath.push(FiledVersion {
            kind: kind.clone(),
            id: id.clone(),
            version: beneath,
            digest,
            owner: owner.clone(),
        });
        self.records.push(aside.version);
        let resource = fhir::Resource::parse(content.clone()).ok();
        self.records.push(NewVersion {
            keys: resource.as_ref().map(crate::keys).unwrap_or_default(),
            kind,
            id,
            owner,
            receipt: stands.receipt,
            lane: stands.lane,
            number: stands.number,
            content: Some(content),
        });
    }

    /// How many versions are written of records that stay as they are.
    pub fn versions_beneath(&self) -> u64 {
        2 * self.beneath.len() as u64
    }
}

fn digest(version: &NewVersion) -> Digest {
    Digest::of(version.content.as_ref().map_or(&[][..], Bytes::as_ref))
}

/// Of versions, each with its number and oldest first, the one that would stand if they had come so: what
/// is older than what stands is set aside.
pub(crate) fn standing<'v>(
    versions: impl Iterator<Item = (&'v Record, Option<u64>)>,
) -> Option<&'v Record> {
    let mut stands: Option<(&Record, Option<u64>)> = None;
    for (one, number) in versions {
        let older = stands.is_some_and(|(over, its)| {
            one.lane.is_some() && one.lane == over.lane && number.is_some() && number < its
        });
        if !older {
            stands = Some((one, number));
        }
    }
    stands.map(|(one, _)| one)
}
