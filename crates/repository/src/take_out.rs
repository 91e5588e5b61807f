//! Take out: what a receipt brought leaves the records as they are read now.
//!
//! Comes in   a receipt that its sender withdraws; what brought each version of what it touched.
//! Goes out   for some records at a time, what a unit must hold so that they stand as if the receipt had
//!            never come: versions that restore what others brought, or delete; and what it relies on.
//! Never      removes a version or touches one that another receipt brings as well; never counts the
//!            receipt's versions for anything afterwards.
//!
//! What stands is what would, if the versions that receipts still bring had come in their order: the newest,
//! but for one that is older by its number than what stood before it. Where that is not the newest of all,
//! its content is filed once more, under its own receipt, lane and number; where there is none, a deletion
//! is. The versions taken out are marked, so that no later withdrawal falls back to them.
//!
//! Why an older push is there to fall back to: while what stands over it can be taken out, it is put
//! beneath (`beneath`), though it was set aside, as its sender is told.
//!
//! What cannot be undone: what came after a numbered *deletion* that is taken out, and was older, was never
//! filed (nobody asks any more whose it is), and does not come back. A version that more than `BRINGERS_MAX`
//! receipts have brought stays. So does a Patient about whom records of its sender stand: whoever files
//! about a Patient relies on its version, and whoever takes it out on nothing being about it.

use crate::beneath::standing;
use crate::limits::TAKEN_OUT_BYTES;
use crate::{about_patients, store_issue};
use bytes::Bytes;
use exchange::{Issue, PartnerId};
use std::collections::BTreeSet;
use store::limits::BRINGERS_MAX;
use store::{
    Brought, Descent, Expect, House, Lineage, NewVersion, RecordKeys, RecordQuery, Withdrawal,
};

/// Which of a receipt's records are taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All but the Patients of which nothing would stand.
    Records,
    /// Those Patients, behind the records of all receipts that are taken out: nothing may be about them.
    Patients,
}

/// What a unit must hold for some of the records that a receipt touched.
#[derive(Debug, Clone, Default)]
pub struct TakenOut {
    /// For `Unit.records`: what stands from now on.
    pub records: Vec<NewVersion>,
    /// For `Unit.withdrawals`.
    pub withdrawals: Vec<Withdrawal>,
    /// For `Unit.expects`; where they do not hold any more, the same page is asked for again.
    pub expects: Vec<Expect>,
    /// Records that are no more to be found.
    pub taken_back: u64,
    /// Records that stand as another receipt brought them before.
    pub restored: u64,
    /// Patients that stay, because records are about them.
    pub kept: u64,
    /// Where the next page goes on; `None`: this was the last.
    pub after: Option<u64>,
}

/// The next records of a part that a receipt touched, behind a place (0: from the beginning), at most `limit`. A
/// run that was cut off begins at 0 again: what is withdrawn already does not come again.
///
/// Errors: those of the store.
pub async fn take_out(
    house: &impl House,
    receipt: &str,
    part: Part,
    after: u64,
    limit: u32,
) -> Result<TakenOut, Issue> {
    let page = house.brought(receipt, after, limit).await.map_err(store_issue)?;
    let mut taken = TakenOut::default();
    if page.len() as u64 >= u64::from(limit) {
        taken.after = page.last().map(|last| last.place);
    }
    let plans = page.iter().filter_map(|lineage| Some((lineage, Withdrawn::of(lineage, receipt)?)));
    let plans: Vec<_> = plans.filter(|(_, plan)| plan.part() == part).collect();
    let (stay, nothing_left) = match part {
        Part::Patients => referred(house, &plans).await?,
        Part::Records => (BTreeSet::new(), Vec::new()),
    };
    taken.expects = nothing_left;
    let (mut bytes, mut done) = (0, after);
    for (lineage, plan) in plans {
        if bytes >= TAKEN_OUT_BYTES {
            taken.after = Some(done);
            break;
        }
        done = lineage.place;
        if stay.contains(&lineage.versions[0].version.id) {
            taken.kept += 1;
            continue;
        }
        taken.withdrawals.extend(plan.withdrawals);
        taken.expects.extend(plan.expects);
        let Some(stands) = plan.stands else { continue };
        let newest = &lineage.versions[0].version;
        let content = match stands {
            Stands::As(descent) => {
                let version = &descent.version;
                let found = house.record(&version.kind, &version.id, Some(version.version)).await;
                found.map_err(store_issue)?.and_then(|record| record.content)
            }
            Stands::Gone => None,
        };
        bytes += content.as_ref().map_or(0, Bytes::len);
        match &content {
            Some(_) => taken.restored += 1,
            None if newest.deleted => {}
            None => taken.taken_back += 1,
        }
        let resource = content.clone().and_then(|bytes| fhir::Resource::parse(bytes).ok());
        let keys = resource.as_ref().map_or_else(RecordKeys::default, crate::keys);
        let (from, last) = match stands {
            Stands::As(descent) => (&descent.version, left(descent, receipt)),
            Stands::Gone => (newest, None),
        };
        // A deletion that nobody brings counts for nothing from the beginning.
        let last = last.unwrap_or_else(|| {
            taken.withdrawals.push(Withdrawal {
                kind: newest.kind.clone(),
                id: newest.id.clone(),
                version: newest.version + 1,
                receipt: receipt.to_owned(),
                left: None,
            });
            Brought { receipt: receipt.to_owned(), number: None }
        });
        taken.records.push(NewVersion {
            kind: newest.kind.clone(),
            id: newest.id.clone(),
            owner: from.owner.clone(),
            receipt: last.receipt,
            lane: from.lane.clone().filter(|_| last.number.is_some()),
            number: last.number,
            content,
            keys,
        });
    }
    Ok(taken)
}

/// Of Patients that one sender filed, those about whom its records stand; and the expectations that none is
/// about the others.
async fn referred(
    house: &impl House,
    plans: &[(&Lineage, Withdrawn<'_>)],
) -> Result<(BTreeSet<String>, Vec<Expect>), Issue> {
    let newest = |(lineage, _): &(&Lineage, Withdrawn<'_>)| lineage.versions[0].version.clone();
    let patients: Vec<_> = plans.iter().map(newest).collect();
    let Some(owner) = patients.first().map(|one| one.owner.clone()) else {
        return Ok((BTreeSet::new(), Vec::new()));
    };
    let mut ids: Vec<String> = patients.into_iter().map(|one| one.id).collect();
    let mut stay = BTreeSet::new();
    for kind in about_patients() {
        if ids.is_empty() {
            break;
        }
        if house.count(about(kind, &owner, ids.clone())).await.map_err(store_issue)? == 0 {
            continue;
        }
        for id in &ids {
            let of_one = about(kind, &owner, vec![id.clone()]);
            if house.count(of_one).await.map_err(store_issue)? > 0 {
                stay.insert(id.clone());
            }
        }
        ids.retain(|id| !stay.contains(id));
    }
    let none =
        |kind| Expect::Found { query: Box::new(about(kind, &owner, ids.clone())), ids: Vec::new() };
    let expects = about_patients().filter(|_| !ids.is_empty()).map(none).collect();
    Ok((stay, expects))
}

fn about(kind: &str, owner: &PartnerId, patients: Vec<String>) -> RecordQuery {
    let owner = Some(owner.clone());
    RecordQuery { kind: kind.to_owned(), patients, owner, ..RecordQuery::default() }
}

/// What withdrawing a receipt makes of one record.
struct Withdrawn<'l> {
    withdrawals: Vec<Withdrawal>,
    expects: Vec<Expect>,
    /// What is to be filed; `None`: what is newest stands.
    stands: Option<Stands<'l>>,
}

/// What stands in place of what is newest.
#[derive(Clone, Copy)]
enum Stands<'l> {
    /// This version, once more.
    As(&'l Descent),
    /// Nothing.
    Gone,
}

impl<'l> Withdrawn<'l> {
    fn part(&self) -> Part {
        let patient =
            |expect: &Expect| matches!(expect, Expect::Version { kind, .. } if kind == "Patient");
        let goes = match self.stands {
            Some(Stands::Gone) => true,
            Some(Stands::As(descent)) => descent.version.deleted,
            None => false,
        };
        match goes && self.expects.iter().any(patient) {
            true => Part::Patients,
            false => Part::Records,
        }
    }

    /// `None`: it stays as it is.
    fn of(lineage: &'l Lineage, receipt: &str) -> Option<Withdrawn<'l>> {
        let brings = |it: &Descent| {
            let named = it.version.receipt == receipt
                || it.earlier.iter().any(|brought| brought.receipt == receipt);
            named && !it.withdrawn && !is_for_good(it)
        };
        let versions = &lineage.versions;
        let newest = versions.first()?;
        let mut withdrawals = Vec::new();
        let mut expects = vec![Expect::Version {
            kind: newest.version.kind.clone(),
            id: newest.version.id.clone(),
            version: Some(newest.version.version),
        }];
        for descent in versions.iter().filter(|it| brings(it)) {
            expects.push(brought(descent));
            withdrawals.push(withdrawal(descent, receipt));
        }
        if withdrawals.is_empty() {
            return None;
        }
        let remains = |it: &&Descent| !it.withdrawn && (!brings(it) || left(it, receipt).is_some());
        let falls = !remains(&newest) && !newest.withdrawn;
        let number = |it: &Descent| match brings(it) {
            true => left(it, receipt).and_then(|left| left.number),
            false => it.version.number,
        };
        let remaining = versions.iter().rev().filter(remains).map(|it| (&it.version, number(it)));
        let stands = standing(remaining).filter(|_| falls);
        let stands = stands.and_then(|(one, _)| versions.iter().find(|it| it.version == *one));
        if let Some(descent) = stands.filter(|it| !brings(it)) {
            expects.push(brought(descent));
        }
        let stands = match stands {
            _ if !falls => None,
            Some(descent) => Some(Stands::As(descent)),
            None if newest.version.deleted => None,
            None => Some(Stands::Gone),
        };
        Some(Withdrawn { withdrawals, expects, stands })
    }
}

/// Whether a version has been brought more often than is remembered.
pub(crate) fn is_for_good(descent: &Descent) -> bool {
    descent.earlier.len() >= BRINGERS_MAX
}

/// What brings a version last, without this receipt.
fn left(descent: &Descent, receipt: &str) -> Option<Brought> {
    let version = &descent.version;
    let last = Brought { receipt: version.receipt.clone(), number: version.number };
    let mut all = descent.earlier.iter().cloned().chain(std::iter::once(last));
    all.rfind(|brought| brought.receipt != receipt)
}

fn brought(descent: &Descent) -> Expect {
    let version = &descent.version;
    Expect::Brought {
        kind: version.kind.clone(),
        id: version.id.clone(),
        version: version.version,
        receipt: version.receipt.clone(),
        earlier: descent.earlier.iter().map(|brought| brought.receipt.clone()).collect(),
    }
}

fn withdrawal(descent: &Descent, receipt: &str) -> Withdrawal {
    let version = &descent.version;
    let left = left(descent, receipt).filter(|_| version.receipt == receipt);
    Withdrawal {
        kind: version.kind.clone(),
        id: version.id.clone(),
        version: version.version,
        receipt: receipt.to_owned(),
        left,
    }
}
