//! Scope: whom does a trigger concern, under which agreement?
//!
//! Comes in   a durable trigger; the patient's Coverages, the one thing read here.
//! Goes out   one walk per payer, in one unit with the trigger's own line; or work for a person.
//! Never      drops a coverage in silence: one that leads nowhere holds the trigger, while the
//!            other payers' walks go on.

use crate::collect::record;
use crate::limits::{PULL_KEPT, PULL_READY_MAX, TRIGGER_PATIENCE};
use crate::road::Road;
use crate::source::Source;
use crate::source::chart::{Chart, is_full};
use crate::source::us_core;
use crate::turn::{self, Fault};
use exchange::agreement::{ASYNC, PULL};
use exchange::payload::{Kind, Topic};
use exchange::scope::{self, Behalf, Judged, Question, Scope, ScopedPayer};
use exchange::settle;
use exchange::shape;
use exchange::{
    Agreement, Chain, Code, Dossier, Event, Issue, PartnerId, Purpose, Push, Subject, Trigger,
};
use fhir::Resource;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use store::{Commit, House, Lease, Unit};
use wire::Clock as _;

/// Whom and what a walk is about, what for, and by which coverages.
#[derive(Debug, Clone)]
pub struct Concern {
    /// Whom and what.
    pub dossier: Dossier,
    /// What for.
    pub purpose: Purpose,
    /// `Coverage/id` of the patient's coverages with the payer; none for a withdrawal.
    pub coverages: Vec<String>,
    /// Who is the payer in law and who acts for it, as the payor map has it.
    pub on_behalf: Vec<Behalf>,
}

/// The walks to begin, coverages that lead nowhere, and what became of every coverage.
pub type Concerned = Result<(Vec<Concern>, Vec<Issue>, Vec<Judged>), Issue>;

impl Road {
    /// *Scope*: whom does a trigger concern, under which agreement?
    pub(crate) async fn scope(&self, lease: &Lease) -> Result<(), Fault> {
        let mut trigger = turn::read_trigger(&lease.work.work).ok_or(Fault::Unreadable)?;
        let found = match &trigger.subject {
            Subject::Withdrawal(walk) => self.concerned_by_withdrawal(walk).await?,
            Subject::Record(subject) => {
                let since = if lease.work.revision == 1 { trigger.at } else { lease.work.changed };
                let found = self.concerned_by_record(&trigger, subject, since).await;
                self.or_taken_back(&trigger, subject, found).await?
            }
        };
        let found = match self.pulled_for(&trigger).await? {
            Some(payer) => for_alone(&payer, found),
            None => found,
        };
        let at = self.clock.now();
        let mut unit = Unit { at, fence: Some(lease.fence.clone()), ..Unit::default() };
        let id = trigger.id.clone();
        match found {
            Ok((concerns, issues, judged)) => {
                let mut all = trigger.walks.clone();
                for concern in concerns {
                    let event = self.began(&trigger, concern);
                    match Push::begin(at, &event) {
                        // A released trigger goes on with the payers it has not reached yet.
                        Some(push) if !all.contains(&push.walk) => {
                            unit.lines.push((push.chain(), event));
                            unit.works.push(turn::row(&push, at));
                            all.push(push.walk);
                        }
                        _ => {}
                    }
                }
                say(&mut unit, &mut trigger, Event::Scoped { trigger: id.clone(), walks: all });
                let (unmapped, left_alone) = (scope::unmapped(&judged), scope::left_alone(&judged));
                if !unmapped.is_empty() || left_alone > 0 {
                    let trigger_id = id.clone();
                    let found = Event::PayorsFound { trigger: trigger_id, unmapped, left_alone };
                    say(&mut unit, &mut trigger, found);
                }
                if !issues.is_empty() {
                    say(&mut unit, &mut trigger, Event::TriggerHeld { trigger: id, issues });
                }
            }
            Err(issue) => {
                self.charts.close(&id);
                let event = match settle::wait(&issue, id.as_str(), trigger.attempt + 1, at) {
                    Some(until) if until < trigger.at + TRIGGER_PATIENCE => {
                        Event::TriggerDelayed { trigger: id, until, issue }
                    }
                    _ => Event::TriggerHeld { trigger: id, issues: vec![issue] },
                };
                say(&mut unit, &mut trigger, event);
            }
        }
        unit.works.push(turn::trigger_row(&trigger));
        match self.house.commit(unit).await? {
            Commit::Done { .. } => {
                self.changed.notify_waiters();
                (self.setup.passed)("scoped");
                Ok(())
            }
            Commit::Overtaken => Err(Fault::Overtaken),
            _ => Err(Fault::Stale),
        }
    }

    /// The dossiers that a trigger's record concerns. The patient's chart is opened here, for all
    /// its walks.
    async fn concerned_by_record(
        &self,
        trigger: &Trigger,
        subject: &str,
        since: Timestamp,
    ) -> Concerned {
        let topic = Topic::parse(subject)?;
        let now = self.clock.now();
        let record = record(&**self.charts.source(), &topic).await?;
        let patient = patient(&record, self.charts.source().base_url())?;
        let chart = self.charts.open(&trigger.id, &patient, since, now);
        chart.remember(&record);
        match self.concerned(&chart, &topic, trigger.purpose).await {
            // By walks that share it; this takes little.
            Err(issue) if is_full(&issue, &chart) => {
                self.concerned(&self.charts.apart(), &topic, trigger.purpose).await
            }
            done => done,
        }
    }

    /// The dossiers a record concerns; coverages that lead nowhere are work for a person.
    pub(crate) async fn concerned(
        &self,
        chart: &Chart,
        topic: &Topic,
        purpose: Option<Purpose>,
    ) -> Concerned {
        let record = record(chart, topic).await?;
        let patient = patient(&record, chart.base_url())?;
        let scope = self.payers(chart, &record, &patient, purpose).await?;
        let concern = |one: ScopedPayer| Concern {
            dossier: Dossier {
                patient: patient.clone(),
                payer: one.partner,
                kind: topic.kind.word().into(),
                subject: topic.reference(),
            },
            purpose: one.purpose,
            coverages: one.coverages,
            on_behalf: one.on_behalf,
        };
        let Scope { dossiers, issues, judged } = scope;
        Ok((dossiers.into_iter().map(concern).collect(), issues, judged))
    }

    /// The same question again, for one payer: days may have passed since the trigger was scoped, and
    /// what has become another plan's member is none of this one's business.
    pub(crate) async fn still_concerned(
        &self,
        chart: &Chart,
        topic: &Topic,
        push: &Push,
    ) -> Result<Concern, Issue> {
        let dossier = &push.dossier;
        let (concerns, issues, _) = self.concerned(chart, topic, Some(push.purpose)).await?;
        let found = concerns.into_iter().find(|concern| concern.dossier == *dossier);
        let gone = || {
            let day = match topic.kind {
                Kind::Encounter => "on the encounter's date",
                Kind::Results => "on the report's date",
                Kind::History => "today",
            };
            let detail = format!("no coverage with this payer is active {day} any more");
            Issue::new(Code::CoverageMissing, detail).at("Coverage")
        };
        found.ok_or_else(|| issues.into_iter().next().unwrap_or_else(gone))
    }

    /// The payers that a record concerns.
    async fn payers(
        &self,
        chart: &Chart,
        record: &Resource,
        patient: &str,
        purpose: Option<Purpose>,
    ) -> Result<Scope, Issue> {
        let (coverages, organizations) = coverages(chart, patient).await?;
        let payors = self.payors()?;
        let agreements: Vec<_> = self.setup.payers.values().map(|payer| &payer.terms).collect();
        let question = Question {
            patient,
            encounter: record,
            purpose,
            coverages: &coverages,
            organizations: &organizations,
            agreements: &agreements,
            payors: &payors,
            source_base: chart.base_url(),
        };
        Ok(match record.kind() {
            "Patient" => scope::scope_history(&question, self.today()),
            _ => scope::scope(&question),
        })
    }

    /// The day, as charts and coverages speak of days.
    pub(crate) fn today(&self) -> Date {
        self.clock.now().to_zoned(TimeZone::UTC).date()
    }

    /// The first line of a walk.
    pub(crate) fn began(&self, trigger: &Trigger, concern: Concern) -> Event {
        let Concern { dossier, purpose, on_behalf, .. } = concern;
        let agreement = self.setup.payers.get(&dossier.payer).map(|payer| &payer.terms.agreement);
        let kind = dossier.kind.clone();
        let hours = agreement.map_or(0, |agreement| agreement.deadline_hours);
        let deadline = match trigger.pull {
            // Beyond the export's own.
            Some(_) => PULL_READY_MAX + PULL_KEPT + PULL_READY_MAX,
            None => SignedDuration::from_hours(hours.into()),
        };
        Event::Began {
            walk: turn::walk_id(&trigger.id, &dossier.payer),
            trigger: trigger.id.clone(),
            patient: dossier.patient,
            payer: dossier.payer,
            kind: dossier.kind,
            subject: dossier.subject,
            purpose,
            withdraws: match &trigger.subject {
                Subject::Withdrawal(walk) => Some(walk.clone()),
                Subject::Record(_) => None,
            },
            mode: agreement.map_or_else(String::new, |agreement| mode(trigger, agreement, &kind)),
            deadline: trigger.at + deadline,
            patience: None,
            on_behalf,
        }
    }
}

/// In which mode a push goes: declared when it begins. What takes back goes as the agreement has it for
/// all, since nobody should wait for it longer than needed.
fn mode(trigger: &Trigger, agreement: &Agreement, kind: &str) -> String {
    if trigger.pull.is_some() {
        return PULL.to_owned();
    }
    match (&trigger.subject, trigger.asynchronous) {
        (Subject::Record(_), true) => ASYNC.to_owned(),
        (Subject::Record(_), false) => agreement.mode_of(kind).to_owned(),
        (Subject::Withdrawal(_), _) => agreement.mode.clone(),
    }
}

/// Of what a trigger concerns what concerns one payer, which asked for it. Whom it does not concern is no
/// person's work: coverages that lead nowhere are told where something happens to their patient.
fn for_alone(payer: &PartnerId, found: Concerned) -> Concerned {
    match found {
        Ok((mut concerns, _, _)) => {
            concerns.retain(|concern| concern.dossier.payer == *payer);
            Ok((concerns, Vec::new(), Vec::new()))
        }
        Err(issue)
            if matches!(
                issue.code,
                Code::CoverageMissing
                    | Code::PayerUnmapped
                    | Code::KindNotAgreed
                    | Code::PurposeNotAgreed
            ) =>
        {
            Ok((Vec::new(), Vec::new(), Vec::new()))
        }
        other => other,
    }
}

/// A patient's coverages, and the Organizations that they refer to.
pub(crate) async fn coverages(
    chart: &dyn Source,
    patient: &str,
) -> Result<(Vec<Resource>, Vec<Resource>), Issue> {
    let coverages = chart.search("Coverage", &[("patient", &us_core::named(patient))]).await?;
    let mut organizations = Vec::new();
    for coverage in &coverages {
        for (kind, id) in shape::references_to_follow(coverage, chart.base_url()) {
            if kind == "Organization" {
                organizations.extend(chart.read(&kind, &id).await?);
            }
        }
    }
    Ok((coverages, organizations))
}

/// Says something about the trigger: the line in the house's chain, and what it adds up to.
fn say(unit: &mut Unit, trigger: &mut Trigger, event: Event) {
    trigger.apply(unit.at, &event);
    unit.lines.push((Chain::House, event));
}

/// `Patient.id` in the source, of a record's subject; a Patient's own.
pub fn patient(record: &Resource, source_base: &str) -> Result<String, Issue> {
    if let ("Patient", Some(id)) = (record.kind(), record.id()) {
        return Ok(id.to_owned());
    }
    let doc = record.doc();
    let subject = doc.root().get("subject").and_then(|subject| subject.get("reference")?.text());
    let target = subject.and_then(|text| shape::target(&text, source_base));
    match target {
        Some((kind, id)) if kind == "Patient" => Ok(id),
        _ => {
            let (word, kind) = match record.kind() {
                "Encounter" => ("encounter", "Encounter"),
                _ => ("report", "DiagnosticReport"),
            };
            let detail = format!("the {word} does not say whose it is");
            Err(Issue::new(Code::SourceUnreadable, detail).at(format!("{kind}.subject.reference")))
        }
    }
}
