//! Census: what changed in the whole population, where the EHR can be asked that, so that those whom
//! it concerns are looked at now and not when their turn comes.
//!
//! Comes in   a row of work of its own, with how far it had come; searches by `_lastUpdated`.
//! Goes out   rows of patients on the roster, due at once.
//! Never      a trigger: what is news, the look at the patient says, by digests. An EHR that cannot be
//!            asked, or whose times are wrong, loses nothing but haste.

use super::{Watching, read, row_id, work};
use crate::limits::{CENSUS_AGAIN, CENSUS_EVERY};
use crate::road::Road;
use crate::source::us_core;
use crate::turn::Fault;
use exchange::watch::{CensusRow, Found, WATCHED};
use exchange::{Issue, PartnerId, settle};
use fhir::Resource;
use jiff::Timestamp;
use std::collections::BTreeMap;
use store::{Commit, Expect, House, Lease, Unit, Work, WorkKind};
use wire::Clock as _;

/// The id of the row, and its lane.
pub(super) const CENSUS: &str = "watch";

impl Road {
    /// Asks what changed since the last time, and hurries those whom it concerns.
    pub(super) async fn census(&self, lease: &Lease) -> Result<(), Fault> {
        let body = &lease.work.work.body;
        let mut row: CensusRow = serde_json::from_slice(body).map_err(|_| Fault::Unreadable)?;
        let at = self.clock.now();
        let later = |by: jiff::SignedDuration| Some(at.saturating_add(by).unwrap_or(at));
        let watching = self.setup.watch.as_ref().filter(|watching| watching.plan.population);
        let Some(watching) = watching else { return self.write_census(lease, at, row, None).await };
        let back = row.since.unwrap_or(at).saturating_sub(watching.plan.overlap);
        let next = match self.changed_since(watching, back.unwrap_or(at)).await? {
            Ok(found) => {
                for (patient, records) in found {
                    self.hurry(&patient, &records).await?;
                }
                (row.since, row.issue, row.attempt) = (Some(at), None, 0);
                later(CENSUS_EVERY)
            }
            Err(issue) => {
                row.attempt += 1;
                let next = settle::wait(&issue, CENSUS, row.attempt, at);
                row.issue = Some(issue);
                next.or(later(CENSUS_AGAIN))
            }
        };
        self.write_census(lease, at, row, next).await
    }

    /// What was written since then about those who are on the roster; or why that is not known.
    async fn changed_since(
        &self,
        watching: &Watching,
        since: Timestamp,
    ) -> Result<Result<BTreeMap<String, Vec<Written>>, Issue>, Fault> {
        let wanted = watching.wanted();
        self.wait_for_turn(&watching.plan, 0).await?;
        let (source, since) = (self.charts.source(), format!("ge{since:.0}"));
        let mut found: BTreeMap<String, Vec<Written>> = BTreeMap::new();
        for kind in WATCHED {
            let records = match source.search(kind, &[("_lastUpdated", &since)]).await {
                Ok(records) => records,
                Err(issue) => return Ok(Err(issue)),
            };
            for record in records {
                let whom = us_core::owner(&record, source.base_url());
                let whom = whom.filter(|patient| wanted.contains(patient));
                if let (Some(patient), Some(one)) = (whom, Found::of(&record)) {
                    let written = Written { at: last_updated(&record), found: one };
                    found.entry(patient).or_default().push(written);
                }
            }
        }
        Ok(Ok(found))
    }

    /// Has a patient looked at now, where something of this was not seen yet and no look is due.
    async fn hurry(&self, patient: &str, records: &[Written]) -> Result<(), Fault> {
        let Some(stored) = self.house.work(&row_id(patient)).await? else { return Ok(()) };
        let Some(mut row) = read(&stored.work) else { return Ok(()) };
        let at = self.clock.now();
        // A row that is due may be looked at just now: it is left to whoever does.
        // What belongs to a record is in its digest when it is looked at, and not here: what was
        // written before the last look was seen.
        let later = |one: &&Written| one.at.is_none_or(|at| row.last.is_none_or(|last| at > last));
        let fresh: Vec<Found> = records.iter().filter(later).map(|one| one.found.clone()).collect();
        if !row.watch.is_news(&fresh) || row.next.is_none_or(|next| next <= at) {
            return Ok(());
        }
        row.next = Some(at);
        let (id, revision) = (stored.work.id, Some(stored.revision));
        let expects = vec![Expect::WorkRevision { id, revision }];
        let unit = Unit { at, expects, works: vec![work(&row)], ..Unit::default() };
        // Where somebody else has written it meanwhile, the next census tells.
        self.house.commit(unit).await?;
        Ok(())
    }

    async fn write_census(
        &self,
        lease: &Lease,
        at: Timestamp,
        row: CensusRow,
        next: Option<Timestamp>,
    ) -> Result<(), Fault> {
        let works = vec![census_row(&CensusRow { next, ..row })];
        let unit = Unit { at, fence: Some(lease.fence.clone()), works, ..Unit::default() };
        match self.house.commit(unit).await? {
            Commit::Done { .. } => Ok(()),
            Commit::Overtaken => Err(Fault::Overtaken),
            _ => Err(Fault::Stale),
        }
    }

    /// Begins the census where it is wanted and does not go on.
    pub(super) async fn begin_census(&self, watching: &Watching) -> Result<bool, store::Error> {
        let stored = self.house.work(CENSUS).await?;
        let goes_on = stored.as_ref().is_some_and(|stored| stored.work.due.is_some());
        if goes_on || !watching.plan.population {
            return Ok(false);
        }
        let at = self.clock.now();
        let known = stored.as_ref().and_then(|it| serde_json::from_slice(&it.work.body).ok());
        let known: CensusRow = known.unwrap_or_default();
        let revision = stored.map(|stored| stored.revision);
        let expects = vec![Expect::WorkRevision { id: CENSUS.to_owned(), revision }];
        let works = vec![census_row(&CensusRow { next: Some(at), ..known })];
        let unit = Unit { at, expects, works, ..Unit::default() };
        Ok(matches!(self.house.commit(unit).await?, Commit::Done { .. }))
    }

    /// How the census stands, in words.
    pub(super) async fn census_words(&self) -> Result<String, store::Error> {
        let stored = self.house.work(CENSUS).await?;
        let row = stored.and_then(|it| serde_json::from_slice::<CensusRow>(&it.work.body).ok());
        Ok(match row.map(|row| (row.since, row.issue)) {
            Some((_, Some(issue))) => {
                format!("not known ({}); each is looked at in turn", issue.code.row().slug)
            }
            Some((Some(since), None)) => format!("asked for what changed, last {since}"),
            _ => "not asked yet".to_owned(),
        })
    }
}

/// A record, and when the EHR says that it was written.
struct Written {
    at: Option<Timestamp>,
    found: Found,
}

fn last_updated(record: &Resource) -> Option<Timestamp> {
    record.doc().root().get("meta")?.get("lastUpdated")?.text()?.parse().ok()
}

fn census_row(row: &CensusRow) -> Work {
    let body = serde_json::to_vec(row).unwrap_or_default();
    Work {
        partner: Some(PartnerId::from(super::WATCHER)),
        due: row.next,
        ..Work::of(WorkKind::Watch, CENSUS, "census", body)
    }
}
