//! Chart: a patient's chart that remembers, so that the EHR is read once for all payers of a trigger,
//! and for every trigger about the patient that was recorded before the reading began.
//!
//! Comes in   the same questions as a source.
//! Goes out   the same answers; the first one for as long as the chart is remembered. What a search
//!            has found is not read again.
//! Never      remembers an error, or outlives `CHART_AGE_MAX`. Never serves a trigger with what was
//!            read before it: a chart is of the time it was opened at, or later. A full one is shared
//!            no more.
//!
//! Why shared by patient: a discharge is forty triggers at once, and each of them needs the whole
//! chart to tell what belongs to it.

use super::offer::Offer;
use super::room::Room;
use super::{Read, Source, us_core};
use crate::limits::{CHART_AGE_MAX, CHART_AUDIENCES_MAX, CHARTS_BYTES_MAX, CHARTS_MAX};
use exchange::payload::encounter::Membership;
use exchange::shape::{Audience, Verdicts};
use exchange::{Code, Issue, TriggerId};
use fhir::Resource;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use wire::BoxFuture;

/// Remembered charts.
pub struct Charts {
    source: Arc<dyn Source>,
    open: Mutex<Vec<Open>>,
}

struct Open {
    patient: String,
    opened: Timestamp,
    /// Those that it was opened for; they see it even where their own time is the same.
    triggers: BTreeSet<TriggerId>,
    chart: Arc<Chart>,
}

impl Charts {
    /// Charts of one source; none is open yet.
    pub fn new(source: Arc<dyn Source>) -> Charts {
        Charts { source, open: Mutex::new(Vec::new()) }
    }

    /// The source itself, for questions that belong to no trigger.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// When the source may be asked again: now, or later where it asked to be left alone.
    pub fn rested(&self, now: Timestamp) -> Timestamp {
        let rest = SignedDuration::try_from(self.source.rest()).unwrap_or_default();
        now.saturating_add(rest).unwrap_or(now)
    }

    /// The patient's chart for a trigger: the first one opened after `since` (when the trigger was
    /// recorded, or last waited), or a fresh one.
    pub fn open(
        &self,
        trigger: &TriggerId,
        patient: &str,
        since: Timestamp,
        now: Timestamp,
    ) -> Arc<Chart> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|one| now.duration_since(one.opened).unsigned_abs() < CHART_AGE_MAX);
        let fits = |one: &&mut Open| {
            let own = one.triggers.contains(trigger) && one.opened >= since;
            one.patient == patient && (own || one.opened > since) && !one.chart.room.is_full()
        };
        // Kept in the order of opening.
        if let Some(found) = open.iter_mut().find(fits) {
            found.triggers.insert(trigger.clone());
            return Arc::clone(&found.chart);
        }
        let held = |open: &[Open]| open.iter().map(|one| one.chart.bytes()).sum::<usize>();
        while open.len() >= CHARTS_MAX || (!open.is_empty() && held(&open) > CHARTS_BYTES_MAX) {
            open.remove(0);
        }
        let chart = Arc::new(Chart::new(Arc::clone(&self.source)));
        open.push(Open {
            patient: patient.to_owned(),
            opened: now,
            triggers: BTreeSet::from([trigger.clone()]),
            chart: Arc::clone(&chart),
        });
        chart
    }

    /// A chart that nobody shares, and that is remembered no longer than it is in hand.
    pub fn apart(&self) -> Chart {
        Chart::new(Arc::clone(&self.source))
    }

    /// When it was opened: nothing in it is older.
    pub fn opened(&self, chart: &Arc<Chart>) -> Option<Timestamp> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().find(|one| Arc::ptr_eq(&one.chart, chart)).map(|one| one.opened)
    }

    /// The trigger's next look is a fresh one.
    pub fn close(&self, trigger: &TriggerId) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for one in open.iter_mut() {
            one.triggers.remove(trigger);
        }
    }
}

type Remembered<T> = Mutex<HashMap<String, Arc<OnceCell<T>>>>;

/// One view of the source.
pub struct Chart {
    source: Arc<dyn Source>,
    reads: Remembered<Read>,
    searches: Remembered<Option<Vec<Resource>>>,
    /// By type and patient, what searches found that is the patient's own, each once.
    records: Remembered<Arc<[Resource]>>,
    memberships: Remembered<Arc<Membership>>,
    verdicts: Mutex<Vec<Arc<Verdicts>>>,
    room: Room,
    walks: AtomicUsize,
}

/// Whether that is wrong, that the chart is full.
pub fn is_full(issue: &Issue, chart: &Chart) -> bool {
    issue.code == Code::SourceUnreadable && chart.room.is_full()
}

impl Chart {
    /// A chart that remembers nothing yet.
    pub fn new(source: Arc<dyn Source>) -> Chart {
        Chart {
            source,
            reads: Mutex::default(),
            searches: Mutex::default(),
            records: Mutex::default(),
            memberships: Mutex::default(),
            verdicts: Mutex::default(),
            room: Room::of_chart(),
            walks: AtomicUsize::new(0),
        }
    }

    /// One walk more is collected from it.
    pub fn begin_walk(&self) {
        self.walks.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether several walks are.
    pub fn is_shared(&self) -> bool {
        self.walks.load(Ordering::Relaxed) > 1
    }

    /// A record that was read after the chart was opened.
    pub fn remember(&self, record: &Resource) {
        cell(&self.reads, record.local_reference()).set(Read::Found(record.clone())).ok();
    }

    /// Every record of a type that the chart of a patient holds: told apart from what else the EHR
    /// answered once, and not for every push.
    pub async fn of_patient(&self, kind: &str, patient: &str) -> Result<Arc<[Resource]>, Issue> {
        let cell = cell(&self.records, format!("{kind}?{patient}"));
        let found = cell.get_or_try_init(|| async {
            Ok(us_core::of_patient(self, kind, patient).await?.into())
        });
        found.await.cloned()
    }

    /// What belongs to which encounter, by a key that says among what: worked out once.
    pub async fn membership(
        &self,
        key: String,
        made: impl Future<Output = Result<Membership, Issue>>,
    ) -> Result<Arc<Membership>, Issue> {
        let cell = cell(&self.memberships, key);
        cell.get_or_try_init(|| async { made.await.map(Arc::new) }).await.cloned()
    }

    /// What was found out for an audience about what is known beside a push.
    pub fn verdicts(&self, audience: &Audience<'_>) -> Arc<Verdicts> {
        let mut all = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all.iter().find(|verdicts| verdicts.fit(audience)) {
            return Arc::clone(found);
        }
        let new =
            all.last().map_or_else(|| Verdicts::new(audience), |one| one.for_another(audience));
        if all.len() >= CHART_AUDIENCES_MAX {
            all.remove(0);
        }
        let new = Arc::new(new);
        all.push(Arc::clone(&new));
        new
    }

    /// How many bytes of resources it remembers.
    pub fn bytes(&self) -> usize {
        self.room.taken()
    }

    async fn look(&self, kind: &str, id: &str) -> Result<Read, Issue> {
        self.room.take(kind, 0)?;
        let read = self.source.fetch(kind, id).await?;
        if let Read::Found(resource) = &read {
            self.room.take(kind, resource.bytes().len())?;
        }
        Ok(read)
    }

    async fn find(
        &self,
        kind: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Option<Vec<Resource>>, Issue> {
        self.room.take(kind, 0)?;
        let found = self.source.try_search(kind, parameters).await?;
        for resource in found.iter().flatten() {
            self.room.take(kind, resource.bytes().len())?;
            let cell = cell(&self.reads, resource.local_reference());
            // What was read before stays.
            cell.set(Read::Found(resource.clone())).ok();
        }
        Ok(found)
    }
}

fn cell<T>(remembered: &Remembered<T>, key: String) -> Arc<OnceCell<T>> {
    let mut remembered = remembered.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(remembered.entry(key).or_default())
}

impl Source for Chart {
    fn base_url(&self) -> &str {
        self.source.base_url()
    }

    fn fetch<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<Read, Issue>> {
        Box::pin(async move {
            let cell = cell(&self.reads, format!("{kind}/{id}"));
            cell.get_or_try_init(|| self.look(kind, id)).await.cloned()
        })
    }

    fn try_search<'a>(
        &'a self,
        kind: &'a str,
        parameters: &'a [(&'a str, &'a str)],
    ) -> BoxFuture<'a, Result<Option<Vec<Resource>>, Issue>> {
        Box::pin(async move {
            let cell = cell(&self.searches, format!("{kind}?{parameters:?}"));
            cell.get_or_try_init(|| self.find(kind, parameters)).await.cloned()
        })
    }

    fn offer(&self) -> BoxFuture<'_, Result<Arc<Offer>, Issue>> {
        self.source.offer()
    }

    fn rest(&self) -> Duration {
        self.source.rest()
    }
}
