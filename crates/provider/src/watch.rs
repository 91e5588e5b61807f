//! Watch: patients on a roster are looked at every so often, and what is new of them is triggered.
//!
//! Comes in   rows of work of patients who are watched, when their time has come; the EHR's answers.
//! Goes out   triggers for finished encounters and for final or corrected results, in one unit with
//!            what was seen; or when to look again, and why nothing was seen.
//! Never      the same content of a record twice in a row, whoever is killed when; never a chart of
//!            somebody who is not on the roster. Never all at once: the EHR is asked at the pace that
//!            `[watch]` names, whichever processes ask.
//!
//! Why a row of work for each patient: rows are claimed by leases like every other work, so that many
//! processes share a roster, and a dead one's patients are looked at by the next. When a patient is
//! looked at next is pace, as with a payer's door: it stands in the row, and no line says it. A look
//! that brought nothing leaves no line either, or a hospital's ledger would hold little else.

mod census;
mod coverage;
mod roster;
mod status;

pub(crate) use roster::WATCHED_STATES;
pub use roster::{Keeper, run};

use crate::limits::{PACE_WAIT_MAX, PUT_OFF_MIN};
use crate::road::Road;
use crate::source::{Read, Source, us_core};
use crate::turn::{self, Fault};
use exchange::payload::Kind;
use exchange::watch::{self, Found, News, Sight, WATCHED, Watch, WatchRow};
use exchange::{Chain, Code, Event, Issue, PartnerId, Subject, Trigger, Who, settle};
use fhir::Resource;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Approach, Commit, House, Lease, Unit, Work, WorkKind};
use wire::Clock as _;

/// What a house is told about watching.
#[derive(Debug, Clone)]
pub struct WatchPlan {
    /// The roster; read again whenever it changes.
    pub roster: Option<PathBuf>,
    /// Whether everybody with an agreement's coverage is watched as well.
    pub coverage: bool,
    /// How often each patient is looked at.
    pub every: SignedDuration,
    /// How far before its beginning a watch reaches: what was over by then is no news.
    pub overlap: SignedDuration,
    /// The day from which on all is news, instead.
    pub since: Option<Date>,
    /// Whether the EHR is asked for what changed in the whole population, beside the looks.
    pub population: bool,
    /// Time between two searches, over all processes; zero for none.
    pub pace: Duration,
}

/// Who is on the roster.
#[derive(Debug, Clone, Default)]
struct Wanted {
    patients: Arc<BTreeSet<String>>,
    /// These are all: whoever is not among them is not watched any more.
    whole: bool,
    /// In which line of the roster a patient's id stands.
    lines: BTreeMap<String, usize>,
}

/// A watch at work in this process.
#[derive(Debug)]
pub struct Watching {
    /// What it was told.
    pub plan: WatchPlan,
    /// Who is on the roster, as far as it was read.
    wanted: Mutex<Wanted>,
    /// What is wrong with the roster.
    issues: Mutex<Vec<Issue>>,
}

impl Watching {
    /// A watch that has not read its roster yet.
    pub fn new(plan: WatchPlan) -> Watching {
        Watching { plan, wanted: Mutex::default(), issues: Mutex::default() }
    }

    /// These are on the roster; where it was not read `whole`, those who were on it before stay.
    fn want(&self, mut patients: BTreeSet<String>, whole: bool, lines: BTreeMap<String, usize>) {
        let mut known = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if !whole {
            patients.extend(known.patients.iter().cloned());
        }
        *known = Wanted { patients: Arc::new(patients), whole, lines };
    }

    /// Whether the roster was read whole and names nobody like this.
    fn is_unwanted(&self, patient: &str) -> bool {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.whole && !wanted.patients.contains(patient)
    }

    /// The line of the roster that names a patient by the id, where one does.
    fn line(&self, patient: &str) -> Option<String> {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let line = wanted.lines.get(patient)?;
        Some(format!("{}:{line}", self.plan.roster.as_ref()?.display()))
    }

    /// Those who are on the roster, as far as that is known.
    fn wanted(&self) -> Arc<BTreeSet<String>> {
        Arc::clone(&self.wanted.lock().unwrap_or_else(PoisonError::into_inner).patients)
    }

    /// The day before which what is over is no news for a watch that begins now.
    fn from(&self, now: Timestamp) -> Date {
        let back = now.saturating_sub(self.plan.overlap).unwrap_or(now);
        self.plan.since.unwrap_or_else(|| back.to_zoned(jiff::tz::TimeZone::UTC).date())
    }
}

/// Whose seats looks take: no partner's name has such letters, so that looks never take the seats of
/// a payer's walks, or of triggers.
const WATCHER: &str = "(watch)";

/// Under which name the EHR's pace is kept among the partners' doors.
const EHR_DOOR: &str = "(ehr)";

/// Who asks, where it is the watch that asks.
const SYSTEM: &str = "watch";

impl Road {
    /// Looks at one patient's chart, and says what is news.
    pub(crate) async fn watch(&self, lease: &Lease) -> Result<(), Fault> {
        if lease.work.work.id == census::CENSUS {
            return self.census(lease).await;
        }
        let mut row = read(&lease.work.work).ok_or(Fault::Unreadable)?;
        let Some(watching) = &self.setup.watch else { return self.stop_watching(lease, row).await };
        if watching.is_unwanted(&row.watch.patient) {
            return self.stop_watching(lease, row).await;
        }
        let looked = self.look_at(watching, &row.watch).await?;
        let at = self.clock.now();
        let every = watching.plan.every.max(PUT_OFF_MIN);
        let mut unit = Unit { at, fence: Some(lease.fence.clone()), ..Unit::default() };
        match looked {
            Err(issue) => {
                row.attempt += 1;
                let next = at.saturating_add(every).unwrap_or(at);
                let until = settle::wait(&issue, &row.watch.patient, row.attempt, at);
                let until = until.map_or(next, |until| until.min(next));
                row.next = Some(until.max(self.charts.rested(at)));
                if row.watch.issue.as_ref().map(|known| known.code) != Some(issue.code) {
                    let patient = row.watch.patient.clone();
                    say(&mut unit, &mut row.watch, Event::WatchPutOff { patient, issue });
                }
            }
            Ok(found) => {
                let News { mut sights, more } = row.watch.news(&found);
                let unwanted = sights.iter_mut().filter(|sight| !self.is_agreed(&sight.record));
                unwanted.for_each(|sight| sight.trigger = None);
                (row.last, row.attempt) = (Some(at), 0);
                row.next = Some(if more { at } else { at.saturating_add(every).unwrap_or(at) });
                let begun = trigger(&mut unit, &sights);
                unit.works.extend(begun);
                if !sights.is_empty() || !row.watch.looked || row.watch.issue.is_some() {
                    let patient = row.watch.patient.clone();
                    say(&mut unit, &mut row.watch, Event::Watched { patient, sights, more });
                }
            }
        }
        self.write_watch(unit, &row).await
    }

    /// Everything there is of a patient that may be news, each record once; or why it was not seen.
    async fn look_at(
        &self,
        watching: &Watching,
        watch: &Watch,
    ) -> Result<Result<Vec<Found>, Issue>, Fault> {
        let (patient, is_new) = (watch.patient.as_str(), !watch.looked);
        self.wait_for_turn(&watching.plan, u32::from(is_new)).await?;
        let source = &**self.charts.source();
        if is_new && let Err(issue) = is_somebody(source, watching, patient).await {
            return Ok(Err(issue));
        }
        let mut records = Vec::new();
        for kind in WATCHED {
            match us_core::whole(source, kind, &us_core::named(patient), None).await {
                Ok(found) => records.extend(found),
                Err(issue) => return Ok(Err(issue)),
            }
        }
        let mut results = match self.results(source, patient).await {
            Ok(found) => found,
            Err(issue) => return Ok(Err(issue)),
        };
        let base = source.base_url();
        // Some servers pass over what they are asked by.
        records.retain(|it| us_core::is_of(it, patient, base));
        results.retain(|it| us_core::is_of(it, patient, base));
        Ok(Ok(watch::found(&records, &results, self.some_take_no_results(), base)))
    }

    /// The patient's laboratory results, where the EHR holds any.
    async fn results(&self, source: &dyn Source, patient: &str) -> Result<Vec<Resource>, Issue> {
        let offer = source.offer().await?;
        if !us_core::is_asked(&offer, "Observation") {
            return Ok(Vec::new());
        }
        let laboratory = ("category", "laboratory");
        let whom = us_core::named(patient);
        let mut found = us_core::whole(source, "Observation", &whom, Some(laboratory)).await?;
        found.retain(|one| us_core::has_code(one, laboratory.0, laboratory.1));
        Ok(found)
    }

    /// Whether some payer takes encounters, and what is new of their results only with these.
    fn some_take_no_results(&self) -> bool {
        let mut agreed = self.setup.payers.values().map(|payer| &payer.terms.agreement.kinds);
        agreed.any(|kinds| kinds.contains(&Kind::Encounter) && !kinds.contains(&Kind::Results))
    }

    /// Whether somebody takes pushes about this record. What nobody has agreed to take is seen, and
    /// triggers nothing.
    fn is_agreed(&self, record: &str) -> bool {
        let kind = record.split('/').next().and_then(Kind::of_record);
        let mut payers = self.setup.payers.values().map(|payer| &payer.terms.agreement.kinds);
        self.setup.payers.is_empty()
            || payers.any(|kinds| kind.is_some_and(|it| kinds.contains(&it)))
    }

    /// Waits until the EHR may be asked. In place, and not by a time in the row: looks have seats of
    /// their own, and a roster of thousands would else be written anew with every turn.
    async fn wait_for_turn(&self, plan: &WatchPlan, reads: u32) -> Result<(), store::Error> {
        // One more for the results.
        let requests = WATCHED.len() as u32 + 1 + reads;
        let door = PartnerId::from(EHR_DOOR);
        while self.approach(&door, plan.pace * requests).await? != Approach::Now {
            tokio::time::sleep(PACE_WAIT_MAX).await;
        }
        Ok(())
    }

    async fn stop_watching(&self, lease: &Lease, mut row: WatchRow) -> Result<(), Fault> {
        let at = self.clock.now();
        let mut unit = Unit { at, fence: Some(lease.fence.clone()), ..Unit::default() };
        let patient = row.watch.patient.clone();
        say(&mut unit, &mut row.watch, Event::WatchEnded { patient });
        row.next = None;
        self.write_watch(unit, &row).await
    }

    async fn write_watch(&self, mut unit: Unit, row: &WatchRow) -> Result<(), Fault> {
        unit.works.push(work(row));
        match self.house.commit(unit).await? {
            Commit::Done { .. } => {
                self.changed.notify_waiters();
                (self.setup.passed)("watched");
                Ok(())
            }
            Commit::Overtaken => Err(Fault::Overtaken),
            _ => Err(Fault::Stale),
        }
    }
}

/// Whether the EHR holds a patient of this id: one who was mistyped has no records either, and a look
/// would find nothing for ever. Asked until a first look has come to its end.
async fn is_somebody(source: &dyn Source, watching: &Watching, patient: &str) -> Result<(), Issue> {
    if source.fetch("Patient", patient).await? != Read::Missing {
        return Ok(());
    }
    let issue = Issue::new(Code::RosterInvalid, "the EHR holds no patient with this id");
    Err(match watching.line(patient) {
        Some(line) => issue.at(line),
        None => issue,
    })
}

/// Says something about a watch: the line in the house's chain, and what it adds up to.
fn say(unit: &mut Unit, watch: &mut Watch, event: Event) {
    watch.apply(&event);
    unit.lines.push((Chain::House, event));
}

/// The lines of the triggers that these sights set going, and their rows.
fn trigger(unit: &mut Unit, sights: &[Sight]) -> Vec<Work> {
    let mut rows = Vec::new();
    for sight in sights {
        let Some(id) = &sight.trigger else { continue };
        let why = match sight.digest {
            Some(_) => "it is new, or has changed",
            None => "it is not in the patient's chart any more",
        };
        let who = Who { name: SYSTEM.into(), role: "system".into(), why: why.into() };
        let subject = Subject::Record(sight.record.clone());
        let event = Event::Triggered {
            trigger: id.clone(),
            subject,
            purpose: None,
            who,
            asynchronous: false,
            pull: None,
        };
        rows.extend(Trigger::begin(unit.at, &event).as_ref().map(turn::trigger_row));
        unit.lines.push((Chain::House, event));
    }
    rows
}

/// Whether it was the watch that asked.
pub(crate) fn asked(trigger: &Trigger) -> bool {
    trigger.who.name == SYSTEM && trigger.who.role == "system"
}

/// The watch in a row of work.
pub fn read(work: &Work) -> Option<WatchRow> {
    serde_json::from_slice(&work.body).ok()
}

/// The id of a patient's row.
fn row_id(patient: &str) -> String {
    format!("watch.{patient}")
}

/// The row of a watch.
fn work(row: &WatchRow) -> Work {
    let patient = &row.watch.patient;
    let body = serde_json::to_vec(row).unwrap_or_default();
    Work {
        lane: format!("watch|{patient}"),
        partner: Some(PartnerId::from(WATCHER)),
        due: row.next,
        ..Work::of(WorkKind::Watch, row_id(patient), row.watch.state_word(), body)
    }
}
