//! Status: how the watch stands, for a person.
//!
//! Comes in   the rows of work, and what is wrong with the roster.
//! Goes out   lines: how many are watched, when one was looked at last, who waits and why.
//! Never      a patient but by the EHR's id, and never more lines than a screen holds.

use super::{WATCHER, coverage, read};
use crate::limits::WATCH_LINES_MAX;
use crate::road::Road;
use exchange::desk::CheckLine;
use exchange::{Issue, PartnerId};
use repository::store_issue;
use std::sync::PoisonError;
use store::{House, StoredWork, WorkKind, WorkQuery};

impl Road {
    /// One line each: the roster, those who are watched, those who wait.
    ///
    /// Errors: those of the store.
    pub(crate) async fn watch_status(&self) -> Result<Vec<CheckLine>, Issue> {
        let mut lines = Vec::new();
        let counts = self.house.work_counts().await.map_err(store_issue)?;
        let count = |word: &str| {
            counts.iter().find(|(state, _)| state == word).map_or(0, |(_, count)| *count)
        };
        let (fine, waiting) = (count("watching"), count("watch-waiting"));
        let Some(watching) = &self.setup.watch else {
            let found = "off: house.toml has no [watch]".to_owned();
            return Ok(vec![CheckLine::of("watch", Ok(found))]);
        };
        let issues = watching.issues.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let roster = match issues.is_empty() {
            true if watching.plan.roster.is_none() => Vec::new(),
            true => vec![CheckLine::of("watch: roster", Ok("read".to_owned()))],
            false => {
                let shown = issues.iter().take(WATCH_LINES_MAX as usize).cloned();
                shown.map(|issue| CheckLine::of("watch: roster", Err(issue))).collect()
            }
        };
        lines.extend(roster);
        if watching.plan.coverage {
            let told = coverage::told(&**self.charts.source()).await;
            // A house at work has said it already.
            if told.as_ref().err().is_none_or(|issue| !issues.contains(issue)) {
                lines.push(CheckLine::of("watch: coverage", told));
            }
        }
        let newest = self.watches("watching", 1).await?;
        let last = newest.first().and_then(|stored| read(&stored.work)?.last);
        let minutes = watching.plan.every.as_secs() / 60;
        let said = match last {
            Some(last) => format!("last look {last}"),
            None => "no look yet".to_owned(),
        };
        let said = format!("{} on it, each every {minutes} minutes; {said}", fine + waiting);
        lines.push(CheckLine::of("watch: patients", Ok(said)));
        if watching.plan.population {
            let words = self.census_words().await.map_err(store_issue)?;
            lines.push(CheckLine::of("watch: population", Ok(words)));
        }
        for stored in self.watches("watch-waiting", WATCH_LINES_MAX).await? {
            let Some(row) = read(&stored.work) else { continue };
            let what = format!("watch: Patient/{}", row.watch.patient);
            let next = row.next.map_or_else(String::new, |next| format!("; next look {next:.0}"));
            let why =
                |issue: Issue| Err(Issue { detail: format!("{}{next}", issue.detail), ..issue });
            let found = row.watch.issue.map_or_else(|| Ok("goes on".to_owned()), why);
            lines.push(CheckLine::of(what, found));
        }
        if waiting > u64::from(WATCH_LINES_MAX) {
            let more = waiting - u64::from(WATCH_LINES_MAX);
            lines.push(CheckLine::of("watch", Ok(format!("{more} more wait for the same"))));
        }
        Ok(lines)
    }

    async fn watches(&self, state: &str, limit: u32) -> Result<Vec<StoredWork>, Issue> {
        let query = WorkQuery {
            kind: Some(WorkKind::Watch),
            states: vec![state.to_owned()],
            partner: Some(PartnerId::from(WATCHER)),
            limit,
            ..WorkQuery::default()
        };
        self.house.works(query).await.map_err(store_issue)
    }
}
