//! Beneath: an older push that comes while what stands may yet be taken out is put beneath that.
//!
//! Comes in   a plan, with what it sets aside as older; whoever knows what becomes of receipts.
//! Goes out   the same, which files two versions of each such record: what was set aside, and over it what
//!            stands, once more. Whoever takes out what stands finds the older one in the history, as if
//!            nothing had stood there. Over a Patient that stands only because records are about it, though
//!            what brought it was taken out, the older one is filed.
//! Never      changes the content that is read now; touches what has been deleted (whose that was, nobody
//!            asks any more); looks anything up for what stands by the word of a push that is there for good.
//!
//! Why not kept elsewhere and filed later: the history is what a withdrawal falls back to, it is written in
//! the unit that answers, and a kill in between leaves nothing to catch up on.

use crate::limits::{BENEATH_BYTES_MAX, BENEATH_VERSIONS};
use crate::plan::{Change, Filing, Incoming, Plan, is_older};
use crate::store_issue;
use crate::take_out::is_for_good;
use bytes::Bytes;
use exchange::ledger::FiledVersion;
use exchange::{Digest, Issue};
use std::collections::HashSet;
use std::future::Future;
use store::{Descent, Expect, House, Lineage, NewVersion, Record};

/// What becomes of what a receipt brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is there for good.
    Stays,
    /// It may yet be taken out of the current view.
    MayGo,
    /// It was taken out; where something of it stands, that is for want of anything else.
    Gone,
}

/// Who knows what becomes of receipts.
pub trait Fates {
    /// What becomes of what this receipt brought. Errors: those of the store.
    fn fate(&mut self, receipt: &str) -> impl Future<Output = Result<Fate, Issue>> + Send;
}

/// Puts what a plan sets aside beneath what stands, where that may be taken out and the older one would
/// then count; and over it, where it was. The plan relies on what brought what stands.
///
/// Errors: those of the store, and of who knows.
pub async fn put_beneath(
    house: &impl House,
    plan: &mut Plan,
    fates: &mut (impl Fates + Send),
) -> Result<(), Issue> {
    let mut room = BENEATH_BYTES_MAX;
    for aside in std::mem::take(&mut plan.older) {
        let fate = fates.fate(&aside.receipt).await?;
        if fate == Fate::Stays {
            continue;
        }
        let (kind, id) = (aside.version.kind.as_str(), aside.version.id.as_str());
        let found = house.lineage(kind, id).await.map_err(store_issue)?;
        let Some(Lineage { mut versions, .. }) = found else { continue };
        versions.truncate(BENEATH_VERSIONS);
        let earlier = versions.first().into_iter().flat_map(|newest| &newest.earlier);
        plan.expects.push(Expect::Brought {
            kind: kind.to_owned(),
            id: id.to_owned(),
            version: aside.over,
            receipt: aside.receipt.clone(),
            earlier: earlier.map(|brought| brought.receipt.clone()).collect(),
        });
        let mut stay = HashSet::from([aside.version.receipt.as_str()]);
        for receipt in versions.iter().flat_map(receipts) {
            if fates.fate(receipt).await? == Fate::Stays {
                stay.insert(receipt);
            }
        }
        if aside.changes_nothing(&versions, &stay) {
            plan.leave(&aside);
            continue;
        }
        if fate == Fate::Gone {
            plan.put_over(aside);
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

/// What brought a version, the last of them at the end.
fn receipts(descent: &Descent) -> impl Iterator<Item = &str> {
    let earlier = descent.earlier.iter().map(|brought| brought.receipt.as_str());
    earlier.chain(std::iter::once(descent.version.receipt.as_str()))
}

/// A version with the number that it bears by those that stay; `None`: by none of them.
fn remains<'v>(descent: &'v Descent, stay: &HashSet<&str>) -> Option<(&'v Record, Option<u64>)> {
    let version = &descent.version;
    if is_for_good(descent) {
        return Some((version, version.number));
    }
    let earlier = descent.earlier.iter().map(|one| (one.receipt.as_str(), one.number));
    let mut all = earlier.chain(std::iter::once((version.receipt.as_str(), version.number)));
    let last = all.rfind(|(receipt, _)| !descent.withdrawn && stay.contains(receipt));
    last.map(|(_, number)| (version, number))
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

    /// Whether it would not stand either once only these receipts bring anything. `versions`: of the record,
    /// newest first.
    fn changes_nothing(&self, versions: &[Descent], stay: &HashSet<&str>) -> bool {
        let own = &self.version;
        let left = versions.iter().rev().filter_map(|one| remains(one, stay));
        standing(left).is_some_and(|(one, number)| {
            let same = one.deleted == own.content.is_none() && one.digest == digest(own);
            let number = number.filter(|_| one.lane == own.lane);
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

    /// Files what was set aside over what is there for want of anything else. What deletes waits: a Patient
    /// stays under its records.
    fn put_over(&mut self, aside: SetAside) {
        let SetAside { version: new, over, .. } = &aside;
        let Some(content) = &new.content else { return };
        let named = self.outcomes.iter_mut().filter(|one| one.kind == new.kind && one.id == new.id);
        for outcome in named.filter(|one| one.version == Some(*over)) {
            (outcome.change, outcome.version) = (Change::Updated, Some(over + 1));
            (outcome.digest, outcome.last_updated) = (digest(new), None);
            outcome.content = Some(content.clone());
        }
        self.leave(&aside);
        self.records.push(aside.version);
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
}

fn digest(version: &NewVersion) -> Digest {
    Digest::of(version.content.as_ref().map_or(&[][..], Bytes::as_ref))
}

/// Of versions, each with its number and oldest first, the one that would stand if they had come so: what
/// is older than what stands is set aside.
pub(crate) fn standing<'v>(
    versions: impl Iterator<Item = (&'v Record, Option<u64>)>,
) -> Option<(&'v Record, Option<u64>)> {
    let mut stands: Option<(&Record, Option<u64>)> = None;
    for (one, number) in versions {
        let older = stands.is_some_and(|(over, its)| {
            one.lane.is_some() && one.lane == over.lane && number.is_some() && number < its
        });
        if !older {
            stands = Some((one, number));
        }
    }
    stands
}
