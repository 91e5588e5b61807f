//! Roster: who is watched, taken up live from the file that names them.
//!
//! Comes in   the file, whenever it has changed; the EHR's word whose a record number is, and who has an
//!            agreement's coverage.
//! Goes out   a row of work for each patient who is new; a list of those who are still wanted, by which
//!            the others' rows end when their time comes.
//! Never      ends anybody's watch because a file, a line of it or the EHR could not be read: watches end by
//!            a roster of which every line was read and names somebody, and others only begin them. Never
//!            ends most watches at once: a file that was cut off is a person's work.

use super::{Watching, read, row_id, say, work};
use crate::limits::{ROSTER_AGAIN, ROSTER_GUARDED, ROSTER_LOOK, ROSTER_UNIT};
use crate::road::Road;
use crate::source::number::has_number;
use exchange::watch::{Entry, Roster, Watch, WatchRow, roster};
use exchange::{Chain, Code, Digest, Event, Issue};
use jiff::Timestamp;
use repository::store_issue;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use store::{Commit, Expect, House, StoredWork, Unit};
use tokio::sync::Notify;
use tokio::time::Instant;
use wire::Clock as _;

/// Keeps the rows of work up with the roster until `stop` says so.
pub async fn run(road: Arc<Road>, wake: Arc<Notify>, stop: impl Future<Output = ()>) {
    let Some(watching) = &road.setup.watch else { return stop.await };
    let mut keeper = Keeper::default();
    tokio::pin!(stop);
    loop {
        match keeper.keep(&road, watching).await {
            Ok(0) => {}
            Ok(_) => wake.notify_one(),
            Err(issue) => {
                tracing::warn!(code = issue.code.row().slug, "the roster was not taken up")
            }
        }
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(ROSTER_LOOK) => {}
        }
    }
}

/// States of the rows of those who are watched.
pub(crate) const WATCHED_STATES: [&str; 2] = ["watching", "watch-waiting"];

/// What one process knows of the roster.
#[derive(Default)]
pub struct Keeper {
    /// The file as it was taken up, and when.
    done: Option<(Digest, Instant)>,
    /// Whose the record numbers are: in memory only, since a ledger holds none.
    numbers: HashMap<String, String>,
    /// Who has a row.
    begun: HashSet<String>,
}

impl Keeper {
    /// Takes the roster up where it has changed, or where something of it could not be taken up;
    /// answers how many watches began.
    ///
    /// Errors: those of the store.
    pub async fn keep(&mut self, road: &Road, watching: &Watching) -> Result<usize, Issue> {
        let (place, text) = match &watching.plan.roster {
            None => (String::new(), String::new()),
            Some(path) => match (path.display().to_string(), std::fs::read_to_string(path)) {
                (place, Ok(text)) => (place, text),
                (place, Err(_)) => {
                    let detail = "the roster cannot be read";
                    tell(watching, vec![Issue::new(Code::RosterInvalid, detail).at(place)]);
                    return Ok(0);
                }
            },
        };
        let digest = Digest::of(text.as_bytes());
        if self.done.is_some_and(|(known, at)| known == digest && at.elapsed() < ROSTER_AGAIN) {
            return Ok(0);
        }
        let Roster { entries, mut issues, whole } = roster(&text, &place);
        let lines = entries.iter().filter_map(|(entry, line)| match entry {
            Entry::Patient(id) => Some((id.clone(), *line)),
            Entry::RecordNumber(_) => None,
        });
        let lines = lines.collect();
        let (mut wanted, mut answered) = self.whom(road, &place, entries, &mut issues).await;
        if watching.plan.coverage {
            match road.covered().await {
                Ok(covered) => wanted.extend(covered),
                Err(issue) => {
                    answered = false;
                    issues.push(issue);
                }
            }
        }
        // A line that names nobody (any more) may be somebody's who is watched.
        let mut whole = whole && answered && issues.is_empty();
        tell(watching, issues);
        let mut begun = self.begin(road, watching, &wanted).await?;
        if whole && let Some(issue) = self.ends_most(road, watching, wanted.len()).await? {
            whole = false;
            // Without a file it is coverage that names them.
            tell(watching, vec![if place.is_empty() { issue } else { issue.at(place) }]);
        }
        watching.want(wanted, whole, lines);
        if answered {
            let census = road.begin_census(watching).await.map_err(store_issue)?;
            begun += usize::from(census);
            self.done = Some((digest, Instant::now()));
        }
        Ok(begun)
    }

    /// Why a roster that names so many ends nobody's watch: it names nobody, or less than half of those who
    /// are watched. Whoever is new on it is watched by now, so that the next reading says the same.
    async fn ends_most(
        &self,
        road: &Road,
        watching: &Watching,
        named: usize,
    ) -> Result<Option<Issue>, Issue> {
        let counts = road.house.work_counts().await.map_err(store_issue)?;
        let on = counts.iter().filter(|(state, _)| WATCHED_STATES.contains(&state.as_str()));
        let (on, named) = (on.map(|(_, count)| *count).sum::<u64>(), named as u64);
        let nobody = named == 0 && on > 0 && watching.plan.roster.is_some();
        if !nobody && (on < ROSTER_GUARDED || named * 2 >= on) {
            return Ok(None);
        }
        let detail = format!(
            "of the {on} who are watched, {named} are named any more; nobody's watch was ended. See \
             whether the roster is whole; if the others are to go, take them off in steps of less than half"
        );
        Ok(Some(Issue::new(Code::RosterInvalid, detail)))
    }

    /// The patients whom the entries name, and whether the EHR has answered for each of them.
    async fn whom(
        &mut self,
        road: &Road,
        place: &str,
        entries: BTreeMap<Entry, usize>,
        issues: &mut Vec<Issue>,
    ) -> (BTreeSet<String>, bool) {
        let mut wanted = BTreeSet::new();
        for (entry, line) in entries {
            match entry {
                Entry::Patient(id) => drop(wanted.insert(id)),
                Entry::RecordNumber(number) => match self.patient(road, &number).await {
                    Ok(Ok(id)) => drop(wanted.insert(id)),
                    Ok(Err(detail)) => {
                        let issue = Issue::new(Code::RosterInvalid, detail);
                        issues.push(issue.at(format!("{place}:{line}")));
                    }
                    Err(issue) => {
                        issues.push(issue.at(format!("{place}:{line}")));
                        // An EHR that is away is away for the other lines too.
                        return (wanted, false);
                    }
                },
            }
        }
        (wanted, true)
    }

    /// Whose a record number is; or why it is nobody's.
    async fn patient(
        &mut self,
        road: &Road,
        number: &str,
    ) -> Result<Result<String, &'static str>, Issue> {
        if let Some(id) = self.numbers.get(number) {
            return Ok(Ok(id.clone()));
        }
        let found = road.charts.source().search("Patient", &[("identifier", number)]).await?;
        // Some servers pass over what they are asked by, and answer whom they like.
        let own = found.iter().filter(|one| has_number(one, number));
        let ids: BTreeSet<&str> = own.filter_map(|one| one.id()).collect();
        let mut ids = ids.into_iter();
        Ok(match (ids.next(), ids.next()) {
            (Some(id), None) => {
                self.numbers.insert(number.to_owned(), id.to_owned());
                Ok(id.to_owned())
            }
            (None, _) if found.is_empty() => Err("no patient of the EHR has this record number"),
            (None, _) => Err("the EHR answers with a patient who does not have this record number"),
            (Some(_), Some(_)) => Err("several patients of the EHR have this record number"),
        })
    }

    /// Gives a row to everybody who has none, or whose watch had ended.
    async fn begin(
        &mut self,
        road: &Road,
        watching: &Watching,
        wanted: &BTreeSet<String>,
    ) -> Result<usize, Issue> {
        let fresh: Vec<&String> = wanted.iter().filter(|id| !self.begun.contains(*id)).collect();
        let mut begun = 0;
        for part in fresh.chunks(ROSTER_UNIT) {
            let at = road.clock.now();
            let mut unit = Unit { at, ..Unit::default() };
            for patient in part {
                let stored = road.house.work(&row_id(patient)).await.map_err(store_issue)?;
                add(&mut unit, watching, patient, stored);
            }
            let count = unit.works.len();
            if count > 0 {
                match road.house.commit(unit).await.map_err(store_issue)? {
                    Commit::Done { .. } => begun += count,
                    // Another process takes the same roster up; the next look tells.
                    _ => continue,
                }
            }
            self.begun.extend(part.iter().map(|id| (*id).clone()));
        }
        // Who comes back to the roster later begins again.
        self.begun.retain(|id| wanted.contains(id));
        Ok(begun)
    }
}

fn tell(watching: &Watching, issues: Vec<Issue>) {
    *watching.issues.lock().unwrap_or_else(PoisonError::into_inner) = issues;
}

/// Adds the beginning of a patient's watch, unless it is under way.
fn add(unit: &mut Unit, watching: &Watching, patient: &str, stored: Option<StoredWork>) {
    let at: Timestamp = unit.at;
    let revision = stored.as_ref().map(|stored| stored.revision);
    let known = stored.as_ref().and_then(|stored| read(&stored.work));
    let event = Event::WatchBegan { patient: patient.to_owned(), from: watching.from(at) };
    let row = match known {
        Some(known) if !known.watch.ended => return,
        Some(mut known) => {
            say(unit, &mut known.watch, event);
            WatchRow { next: Some(at), attempt: 0, ..known }
        }
        None => {
            let Some(watch) = Watch::begin(&event) else { return };
            unit.lines.push((Chain::House, event));
            WatchRow { watch, last: None, next: Some(at), attempt: 0 }
        }
    };
    unit.expects.push(Expect::WorkRevision { id: row_id(patient), revision });
    unit.works.push(work(&row));
}
