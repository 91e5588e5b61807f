//! The sending house's road: trigger, scope, route, collect, shape, assemble, deliver, settle,
//! acknowledge. Read this file first.
//!
//! Comes in   triggers, and rows of work whose time has come.
//! Goes out   pushes at the payers' doors, and an acknowledgement for whoever asked.
//! Never      sends what is not stored, stores what it cannot prove, or opens a chart before the
//!            door is known.
//!
//! Why one walk per payer: a trigger concerns every payer of the patient, but a dead payer must
//! not delay the others. After *scope* each payer's walk is a row of work of its own; the chart is
//! still read once, because walks of one trigger share what was read (`source::chart`).

use crate::bulk::{Bulk, SendingTurn, refused_for_size, too_large_for_now};
use crate::clock::HouseClock;
use crate::collect::collect;
use crate::cost::{Part, spent, within};
use crate::deliver;
use crate::directory::Directories;
use crate::door;
use crate::limits::PUT_OFF_MIN;
use crate::merged::merged_away;
use crate::parts::Claims;
use crate::rooms::Rooms;
use crate::route::{Doors, Opened};
use crate::scope::Concern;
use crate::setup::{Payer, Setup};
use crate::source::Source;
use crate::source::chart::{Chart, Charts, is_full};
use crate::tables::Tables;
use crate::turn::{self, Fault, Turn};
use exchange::acknowledgement::Acknowledgement;
use exchange::agreement::{ASYNC, PULL};
use exchange::desk::Door;
use exchange::payload::Topic;
use exchange::restriction::Restrictions;
use exchange::settle::{self, Answered, Attempt, Next};
use exchange::shape::{self, Audience};
use exchange::{
    Chain, Code, Event, Issue, Level, PartnerId, Purpose, Push, State, Stop, Subject, Trigger,
    TriggerId, Who,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use repository::{Suspensions, store_issue};
use std::sync::Arc;
use store::{AnyHouse, House, Lease, Unit, WorkKind};
use tokio::sync::Notify;
use wire::{Clock, FhirClient};

/// A sending house at work.
pub struct Road {
    /// What it was told.
    pub setup: Setup,
    /// What it remembers.
    pub house: AnyHouse,
    /// Where it reads charts.
    pub charts: Charts,
    /// Where doors are said to be.
    pub directories: Directories,
    /// Doors that were found open.
    pub doors: Doors,
    /// Records that many push, as this process has claimed them.
    pub claims: Claims,
    /// The time.
    pub clock: Arc<HouseClock>,
    /// Rouses whoever waits for a walk to end.
    pub changed: Arc<Notify>,
    /// How much goes on at once.
    pub rooms: Rooms,
    /// Tables that people change, as they were last read.
    pub tables: Tables,
    /// Bulk submissions, as this process knows them.
    pub bulk: Bulk,
}

/// Why a stop did not come to its end.
pub enum Halt {
    /// A walk that cannot be written down; whoever claims it next goes on from the last commit.
    Fault(Fault),
    /// Something a clock or a person mends.
    Issue(Issue),
}

impl<F: Into<Fault>> From<F> for Halt {
    fn from(fault: F) -> Halt {
        Halt::Fault(fault.into())
    }
}

impl From<Issue> for Halt {
    fn from(issue: Issue) -> Halt {
        Halt::Issue(issue)
    }
}

impl Road {
    /// *Trigger*: what happened, who asks, in which role, why? Durable before anything is done.
    pub async fn trigger(
        &self,
        id: TriggerId,
        subject: Subject,
        purpose: Option<Purpose>,
        who: Who,
        asynchronous: bool,
    ) -> Result<Trigger, Issue> {
        let at = self.clock.now();
        let event =
            Event::Triggered { trigger: id, subject, purpose, who, asynchronous, pull: None };
        let Some(trigger) = Trigger::begin(at, &event) else {
            return Err(Issue::new(Code::InternalError, "a trigger did not begin"));
        };
        let unit = Unit {
            at,
            lines: vec![(Chain::House, event)],
            works: vec![turn::trigger_row(&trigger)],
            ..Unit::default()
        };
        self.house.commit(unit).await.map_err(store_issue)?;
        (self.setup.passed)("triggered");
        Ok(trigger)
    }

    /// Takes a leased row of work as far as it goes: until it waits for a clock or a person, or
    /// ends.
    pub async fn walk(&self, lease: &Lease) -> Result<(), Fault> {
        match lease.work.work.kind {
            WorkKind::Trigger => spent(Part::Scope, self.scope(lease)).await,
            WorkKind::Push => spent(Part::Walk, self.push(lease)).await,
            // The other road's.
            WorkKind::Submission | WorkKind::Export | WorkKind::BulkReceived => Ok(()),
            WorkKind::Registration => Ok(()), // no clock has work on it
            WorkKind::Watch => self.watch(lease).await,
            WorkKind::BulkSent => self.sending(lease).await,
            // No clock has work on these.
            WorkKind::Endpoint | WorkKind::Partner => Ok(()),
        }
    }

    /// The walk of one dossier, stop by stop.
    async fn push(&self, lease: &Lease) -> Result<(), Fault> {
        let mut turn = Turn::new(self, lease)?;
        while let Some(stop) = turn.stop() {
            let walked = match stop {
                Stop::Route => self.prepare(&mut turn).await,
                Stop::Deliver => spent(Part::Deliver, self.deliver(&mut turn)).await,
                Stop::Poll => spent(Part::Poll, self.poll(&mut turn)).await,
                Stop::Await => self.overdue(&mut turn).await,
                Stop::Acknowledge => spent(Part::Acknowledge, self.acknowledge(&mut turn)).await,
            };
            match walked {
                Ok(()) => {}
                // What has ended stays ended, whatever becomes of telling it.
                Err(Halt::Issue(_)) if turn.push.ended() => return Err(Fault::Unreadable),
                Err(Halt::Fault(fault)) if turn.push.ended() => return Err(fault),
                Err(Halt::Issue(issue)) => self.wait_or_hold(&mut turn, issue).await?,
                Err(Halt::Fault(Fault::Unreadable)) => {
                    let detail = "what this house stored of the push cannot be read";
                    let issue = Issue::new(Code::InternalError, detail);
                    self.wait_or_hold(&mut turn, issue).await?;
                }
                Err(Halt::Fault(fault)) => return Err(fault),
            }
        }
        Ok(())
    }

    /// A walk that took too long waits like one whose source did not answer: with a reason, and until
    /// its deadline.
    pub async fn give_up(&self, lease: &Lease) -> Result<(), Fault> {
        let detail = "the stop took longer than a stop may; the EHR or the payer is very slow";
        let issue = Issue::new(Code::SourceUnreachable, detail);
        if lease.work.work.kind == WorkKind::Push
            && let Some(row) = self.house.work(&lease.work.work.id).await?
        {
            let now = Lease { work: row, ..lease.clone() };
            return self.wait_or_hold(&mut Turn::new(self, &now)?, issue).await;
        }
        if lease.work.work.kind == WorkKind::BulkSent
            && let Some(row) = self.house.work(&lease.work.work.id).await?
        {
            let now = Lease { work: row, ..lease.clone() };
            let detail = "a step of the submission took longer than a step may";
            let slow = Issue::new(Code::PayerUnreachable, detail);
            return self.wait_or_fail(&mut SendingTurn::new(self, &now)?, slow).await;
        }
        Ok(())
    }

    /// *Route, collect, shape, assemble*: from a dossier to a stored payload with a number.
    async fn prepare(&self, turn: &mut Turn) -> Result<(), Halt> {
        let push = turn.push.clone();
        let trigger = self.trigger_of(&push).await?;
        let payer = self.payer(&push.dossier.payer)?;
        let pulled = push.mode == PULL;
        if pulled {
            // The payer stands at this house's own door.
            Suspensions::check(&self.house, &payer.public.name).await?;
            if self.gathering(&trigger).await?.is_none() {
                // No chart is opened for what nobody waits for.
                return self.unfetched(turn).await;
            }
        } else {
            if let Some((until, issue)) = self.resting(payer, &push).await? {
                return Ok(self.put_off(turn, until, issue).await?);
            }
            let door = spent(Part::Route, self.route(payer)).await?;
            Box::pin(self.note_statement(payer, &door)).await?;
            turn.say(routed(door));
        }
        if push.mode == ASYNC {
            self.offers_bulk(payer).await?;
        }
        if push.withdraws.is_some() {
            return self.assemble_withdrawal(turn, &trigger).await;
        }
        let left_out = if pulled { None } else { self.at_door(payer) };
        let payer = left_out.as_ref().unwrap_or(payer);
        let _room = self.rooms.chart().await;
        let now = self.clock.now();
        let topic = Topic::parse(&trigger.subject.to_string())?;
        let since = turn.rested.unwrap_or(trigger.at);
        let chart = self.charts.open(&trigger.id, &push.dossier.patient, since, now);
        chart.begin_walk();
        let as_of = self.charts.opened(&chart).map_or(now, |opened| opened.min(now));
        match self.prepare_from(turn, &trigger, payer, &topic, (&chart, as_of)).await {
            // Whoever shares a chart may fill it with what only another agreement asks for.
            Err(Halt::Issue(issue)) if is_full(&issue, &chart) && chart.is_shared() => {
                drop(chart);
                let (own, as_of) = (self.charts.apart(), self.clock.now());
                self.prepare_from(turn, &trigger, payer, &topic, (&own, as_of)).await
            }
            done => done,
        }
    }

    /// *Collect, shape, assemble* from this chart, of which nothing is older than then.
    async fn prepare_from(
        &self,
        turn: &mut Turn,
        trigger: &Trigger,
        payer: &Payer,
        topic: &Topic,
        (chart, as_of): (&Chart, Timestamp),
    ) -> Result<(), Halt> {
        let push = turn.push.clone();
        if let Some(issue) = self.has_gone(chart, topic, &push).await? {
            let (decisions, itself) = (turn.keep("[]"), self.itself(topic));
            let nothing = (Vec::new(), decisions);
            return self.nothing_travels(turn, trigger, nothing, &itself, issue).await;
        }
        let concern = spent(Part::Scope, self.still_concerned(chart, topic, &push)).await?;
        let restrictions = self.restrictions(Some(concern.purpose))?;
        let audience = self.audience(chart, &concern, payer, &restrictions, trigger.at);
        let collected = spent(Part::Collect, collect(chart, topic, &audience)).await?;
        if !self.is_ready(turn, trigger, payer, &collected).await? {
            return Ok(());
        }
        if let Some(issue) = merged_away(&collected, &push.dossier.patient, chart.base_url()) {
            return Err(issue.into());
        }
        let verdicts = chart.verdicts(&audience);
        let disclosure =
            within(Part::Shape, || shape::shape_with(&collected, &audience, &verdicts));
        let assembling = self.assemble(turn, trigger, &audience, &collected, disclosure, as_of);
        spent(Part::Assemble, assembling).await
    }

    /// *Route*: where, in which version and mode, is the door open?
    pub async fn route(&self, payer: &Payer) -> Result<Door, Issue> {
        Suspensions::check(&self.house, &payer.public.name).await?;
        // On the heap: a walk's future holds whatever any stop may need.
        let mut opened = Box::pin(self.opened(payer)).await?;
        if opened.is_lost && self.lost(payer, &opened.base_url, &opened.why()).await? {
            opened = Box::pin(self.opened(payer)).await?;
        }
        if opened.door.as_ref().is_err_and(|issue| issue.code == Code::PayerUnreachable) {
            self.report(payer, false).await.map_err(store_issue)?;
        }
        opened.door
    }

    /// The door at the endpoint that is used now.
    async fn opened(&self, payer: &Payer) -> Result<Opened, Issue> {
        let (base_url, told) = self.endpoint(payer).await?;
        let client = payer.carriage.client(&base_url)?;
        let (door, is_lost) = self.doors.open(payer, &client, self.clock.now()).await;
        let endpoint = told.map(Box::new);
        let door = door.map(|door| Door { endpoint, ..door });
        Ok(Opened { base_url, door, is_lost })
    }

    /// Where a push is polled: at the door that took it.
    async fn polled(&self, payer: &Payer, push: &Push) -> Result<FhirClient, Issue> {
        match &push.endpoint {
            Some(endpoint) => payer.client_for(endpoint.trim_end_matches('/'), push.purpose),
            None => self.client_for(payer, push.purpose).await,
        }
    }

    /// Who will read it, for what, under which rules. Windows are counted back from the day of `at`,
    /// when the trigger was recorded.
    pub fn audience<'a>(
        &self,
        chart: &'a dyn Source,
        concern: &'a Concern,
        payer: &'a Payer,
        restrictions: &'a Restrictions,
        at: Timestamp,
    ) -> Audience<'a> {
        Audience {
            terms: &payer.terms,
            purpose: concern.purpose,
            kind: &concern.dossier.kind,
            on: at.to_zoned(TimeZone::UTC).date(),
            restrictions,
            patient: &concern.dossier.patient,
            own_coverages: &concern.coverages,
            source_base: chart.base_url(),
        }
    }

    /// *Deliver*: the intent is durable before, the answer after.
    async fn deliver(&self, turn: &mut Turn) -> Result<(), Halt> {
        let payer = self.payer(&turn.push.dossier.payer)?;
        let made = turn.push.assembled.clone().ok_or(Fault::Unreadable)?;
        if turn.push.mode == ASYNC {
            return self.submit(turn, payer).await;
        }
        if turn.push.mode == PULL {
            return self.join_pull(turn).await;
        }
        if let Some(offer) = self.foreign(payer, turn).await? {
            return self.deliver_parts(turn, payer, &offer).await;
        }
        let place = self.rooms.partner(&turn.push.dossier.payer).await;
        let payload = self.payload(&turn.push).await?;
        if let Some(restrictions) = self.outdated(&turn.push).await? {
            return self.look_anew(turn, restrictions).await;
        }
        if let Some(issue) = too_large_for_now(payer, &turn.push, payload.len()) {
            return self.go_async(turn, issue).await;
        }
        if let Some((until, issue)) = self.knock(payer, &turn.push).await? {
            drop(place);
            return Ok(self.put_off(turn, until, issue).await?);
        }
        let client = self.client_for(payer, turn.push.purpose).await?;
        turn.say(Event::Intended {
            attempt: turn.push.attempt + 1,
            endpoint: client.base_url().to_owned(),
            key: made.push.to_string(),
            part: None,
        });
        turn.commit("intended").await?;
        let answered = deliver::send(&client, payload, turn.now()).await;
        drop(place);
        self.report(payer, door::answered(&answered)).await?;
        (self.setup.passed)("sent");
        let push = turn.push.clone();
        let next = settle::settle(&answered, &attempt(&push, payer)?, turn.now());
        if let Some(issue) = refused_for_size(payer, &next) {
            self.keep_answer(turn, &answered);
            return self.go_async(turn, issue).await;
        }
        spent(Part::Settle, self.settle(turn, &answered, next)).await?;
        if let Answered::Reply(reply) = &answered {
            self.lost_by(payer, client.base_url(), reply.status).await;
        }
        Ok(())
    }

    /// The payer's later word, in Bulk Data's form: the poll, then the file it names.
    async fn poll(&self, turn: &mut Turn) -> Result<(), Halt> {
        let push = turn.push.clone();
        let payer = self.payer(&push.dossier.payer)?;
        let attempt = attempt(&push, payer)?;
        let place = push.poll.as_deref().unwrap_or_default();
        let client = self.polled(payer, &push).await?;
        let _room = self.rooms.partner(&push.dossier.payer).await;
        // One turn for the poll and the file that it names: another could only be had much later.
        if let Some((until, issue)) = self.knock(payer, &push).await? {
            return Ok(self.put_off(turn, until, issue).await?);
        }
        let word = deliver::ask(&client, place, turn.now()).await;
        self.report(payer, door::answered(&word)).await?;
        match settle::settle_poll(&word, place, &attempt, turn.now()) {
            Next::Fetch { place, refusal } => {
                let file = deliver::ask(&client, &place, turn.now()).await;
                let next = settle::settle_file(&file, refusal, &attempt, turn.now());
                self.settle(turn, &file, next).await
            }
            next => self.settle(turn, &word, next).await,
        }
    }

    /// What the payer said, where it said anything.
    fn keep_answer(&self, turn: &mut Turn, answered: &Answered) {
        if let Answered::Reply(reply) = answered {
            let answer = turn.keep(reply.body.clone());
            turn.say(Event::Answered { status: reply.status, answer });
        }
    }

    /// *Settle*: each answer leads to exactly one next step.
    async fn settle(&self, turn: &mut Turn, answered: &Answered, next: Next) -> Result<(), Halt> {
        self.keep_answer(turn, answered);
        match self.check_order(turn, answered, next).await? {
            Next::Settled(level) => turn.say(Event::Settled { level }),
            Next::Poll { place, at } => turn.say(Event::Polling { place, until: at }),
            Next::Retry { at, issue } => turn.say(Event::Delayed { until: at, issue }),
            Next::Hold(issues) => turn.say(Event::Held { issues }),
            Next::Refused(issues) => turn.say(Event::Refused { issues }),
            // Only a poll names a file, and `poll` has followed it.
            Next::Fetch { .. } => return Err(Fault::Unreadable.into()),
        }
        if matches!(turn.push.state, State::Held) {
            self.doors.forget(&turn.push.dossier.payer);
        }
        Ok(turn.commit("answered").await?)
    }

    /// A payer that sets records of the newest push aside holds higher numbers than this house has
    /// given: what it says it filed is not there, and a person must know.
    async fn check_order(
        &self,
        turn: &Turn,
        answered: &Answered,
        next: Next,
    ) -> Result<Next, Fault> {
        let (Answered::Reply(reply), Next::Settled(Level::Filed)) = (answered, &next) else {
            return Ok(next);
        };
        let aside = settle::set_aside(&reply.body);
        let number = turn.push.assembled.as_ref().map(|made| made.number);
        let newest = self.house.lane_number(&turn.push.dossier.lane()).await?;
        if aside == 0 || number != Some(newest) {
            return Ok(next);
        }
        let detail = format!(
            "the payer set {aside} records aside as older than what it holds, although this is \
             the newest push: this house may have been restored from an old backup"
        );
        Ok(Next::Hold(vec![Issue::new(Code::PayerRefused, detail)]))
    }

    /// *Acknowledge*: whoever triggered it is told, and what they were told is kept.
    async fn acknowledge(&self, turn: &mut Turn) -> Result<(), Halt> {
        let push = turn.push.clone();
        let trigger = self.trigger_of(&push).await?;
        let earlier = match &push.state {
            State::Unchanged { push: same } => self.acknowledgement_of(&push, same).await?,
            _ => None,
        };
        let told = match earlier {
            Some(earlier) => earlier,
            None => {
                // Content may be gone by now; that the push ended, and how, is told all the same.
                let contents = match self.contents(&push).await {
                    Err(Fault::Unreadable) => Vec::new(),
                    contents => contents?,
                };
                let answer = match push.answer {
                    Some(digest) => self.house.blob(&digest).await?,
                    None => None,
                };
                let at = turn.now();
                let findings = self.findings(&push).await?;
                let standing = match &push.state {
                    State::Unchanged { push: same } => self.standing(&push, same).await?,
                    _ => None,
                };
                Acknowledgement::of(&push, &contents, answer.as_ref(), trigger.at, at)
                    .with_findings(findings)
                    .with_standing(standing.as_ref())
                    .to_json()
                    .into()
            }
        };
        let acknowledgement = turn.keep(told);
        turn.say(Event::Acknowledged { to: trigger.who.name, acknowledgement });
        Ok(turn.commit("acknowledged").await?)
    }

    /// The payer of a dossier, as configured.
    pub fn payer(&self, name: &PartnerId) -> Result<&Payer, Issue> {
        let missing = || Issue::new(Code::PartnerUnknown, format!("no partner is named {name}"));
        self.setup.payers.get(name).ok_or_else(missing)
    }

    /// A transient issue waits for the clock, until the deadline; any other for a person. An EHR that
    /// asks to be left alone is left alone for as long, within `SOURCE_REST_MAX`.
    pub(crate) async fn wait_or_hold(&self, turn: &mut Turn, issue: Issue) -> Result<(), Fault> {
        self.charts.close(&turn.push.trigger);
        let seed = turn.push.walk.to_string();
        match settle::wait(&issue, &seed, turn.push.attempt + 1, turn.now()) {
            Some(until) if issue.code == Code::SourceUnreachable => {
                let rested = self.charts.rested(turn.now());
                let until = until.max(rested);
                if rested > turn.now() && until >= turn.push.deadline {
                    return self.hold_for_rest(turn, issue).await;
                }
                self.put_off(turn, until, issue).await
            }
            Some(until) => self.put_off(turn, until, issue).await,
            None => {
                turn.say(Event::Held { issues: vec![issue] });
                turn.commit("waiting").await
            }
        }
    }

    /// An EHR that wants to be left alone beyond the deadline is nobody's fault but its own: the plan
    /// could do nothing about it.
    async fn hold_for_rest(&self, turn: &mut Turn, issue: Issue) -> Result<(), Fault> {
        let next = "the push's deadline comes before the next attempt: have the provider's EHR people \
                    let this house in, then release";
        let detail = format!("{}; {next}", issue.detail);
        turn.say(Event::Held { issues: vec![Issue { detail, ..issue }] });
        turn.commit("waiting").await
    }

    /// What cannot go now for a reason of the clock's waits until then, or for a person once that
    /// is too late.
    pub(crate) async fn put_off(
        &self,
        turn: &mut Turn,
        until: Timestamp,
        issue: Issue,
    ) -> Result<(), Fault> {
        self.charts.close(&turn.push.trigger);
        let until = until.max(turn.now().saturating_add(PUT_OFF_MIN).unwrap_or(until));
        if until < turn.push.deadline {
            turn.say(Event::Delayed { until, issue });
        } else {
            let late = Issue::new(Code::DeadlinePassed, "the push was not ready in time");
            turn.say(Event::Held { issues: vec![late, issue] });
        }
        turn.commit("waiting").await
    }

    pub(crate) async fn trigger_of(&self, push: &Push) -> Result<Trigger, Fault> {
        let row = self.house.work(push.trigger.as_str()).await?.ok_or(Fault::Unreadable)?;
        turn::read_trigger(&row.work).ok_or(Fault::Unreadable)
    }
}

fn routed(door: Door) -> Event {
    let Door { base_url: endpoint, version, form, mode, .. } = door;
    Event::Routed { endpoint, version, mode, form }
}

pub(crate) fn attempt<'a>(push: &'a Push, payer: &Payer) -> Result<Attempt<'a>, Fault> {
    let entries = push.assembled.as_ref().map_or(0, |made| made.resources);
    let level = payer.terms.agreement.settled_by;
    let entries = usize::try_from(entries).unwrap_or(usize::MAX);
    Attempt::of(push, level, entries).ok_or(Fault::Unreadable)
}
