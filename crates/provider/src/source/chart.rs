//! Chart: a source that remembers, so that one trigger reads the EHR once for all its payers.
//!
//! Comes in   the same questions as a source.
//! Goes out   the same answers; the first one for as long as the chart is remembered.
//! Never      remembers an error, or outlives `CHART_AGE_MAX`.

use super::Source;
use crate::limits::{CHART_AGE_MAX, CHARTS_MAX};
use exchange::{Issue, TriggerId};
use fhir::Resource;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;
use wire::BoxFuture;

/// Remembered charts, by trigger.
pub struct Charts {
    source: Arc<dyn Source>,
    open: Mutex<HashMap<TriggerId, (Timestamp, Arc<Chart>)>>,
}

impl Charts {
    /// Charts of one source; none is open yet.
    pub fn new(source: Arc<dyn Source>) -> Charts {
        Charts { source, open: Mutex::new(HashMap::new()) }
    }

    /// The source itself, for questions that belong to no trigger.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The trigger's chart: the one opened a moment ago, or a fresh one.
    pub fn open(&self, trigger: &TriggerId, now: Timestamp) -> Arc<Chart> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, (since, _)| now.duration_since(*since).unsigned_abs() < CHART_AGE_MAX);
        if open.len() >= CHARTS_MAX && !open.contains_key(trigger) {
            let oldest = open.iter().min_by_key(|(_, (since, _))| *since).map(|(id, _)| id.clone());
            oldest.and_then(|id| open.remove(&id));
        }
        let fresh = || (now, Arc::new(Chart::new(Arc::clone(&self.source))));
        Arc::clone(&open.entry(trigger.clone()).or_insert_with(fresh).1)
    }

    /// When the trigger's chart was opened, while it is remembered: nothing in it is older.
    pub fn opened(&self, trigger: &TriggerId) -> Option<Timestamp> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(trigger).map(|(since, _)| *since)
    }

    /// Forgets the trigger's chart, so that the next look is a fresh one.
    pub fn close(&self, trigger: &TriggerId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(trigger);
    }
}

type Remembered<T> = Mutex<HashMap<String, Arc<OnceCell<T>>>>;

/// One trigger's view of the source.
pub struct Chart {
    source: Arc<dyn Source>,
    reads: Remembered<Option<Resource>>,
    searches: Remembered<Vec<Resource>>,
}

impl Chart {
    /// A chart that remembers nothing yet.
    pub fn new(source: Arc<dyn Source>) -> Chart {
        Chart { source, reads: Mutex::default(), searches: Mutex::default() }
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

    fn read<'a>(
        &'a self,
        kind: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Resource>, Issue>> {
        Box::pin(async move {
            let cell = cell(&self.reads, format!("{kind}/{id}"));
            cell.get_or_try_init(|| self.source.read(kind, id)).await.cloned()
        })
    }

    fn search<'a>(
        &'a self,
        kind: &'a str,
        parameters: &'a [(&'a str, &'a str)],
    ) -> BoxFuture<'a, Result<Vec<Resource>, Issue>> {
        Box::pin(async move {
            let cell = cell(&self.searches, format!("{kind}?{parameters:?}"));
            cell.get_or_try_init(|| self.source.search(kind, parameters)).await.cloned()
        })
    }
}
