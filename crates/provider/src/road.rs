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

use crate::collect::collect;
use crate::deliver;
use crate::directory::Directory;
use crate::route::Doors;
use crate::setup::{Payer, Setup};
use crate::source::Source;
use crate::source::chart::Charts;
use crate::turn::{self, Fault, Turn};
use crate::withdraw::withdrawn_walk;
use bytes::Bytes;
use exchange::acknowledgement::Acknowledgement;
use exchange::assemble::{self, Envelope, Payload, Shaped};
use exchange::desk::Door;
use exchange::restriction::Restrictions;
use exchange::settle::{self, Answered, Attempt, Next};
use exchange::shape::{self, Audience};
use exchange::{
    Chain, Code, DecisionRow, Disclosure, Dossier, Event, Issue, Level, PartnerId, Purpose, Push,
    PushId, State, Stop, Trigger, TriggerId, Who,
};
use jiff::Timestamp;
use repository::store_issue;
use std::sync::Arc;
use store::{AnyHouse, Expect, House, Lease, StoredWork, Unit, WorkKind, WorkQuery};
use tokio::sync::Notify;
use wire::Clock;

/// A sending house at work.
pub struct Road {
    /// What it was told.
    pub setup: Setup,
    /// What it remembers.
    pub house: AnyHouse,
    /// Where it reads charts.
    pub charts: Charts,
    /// Where doors are said to be.
    pub directory: Arc<dyn Directory>,
    /// Doors that were found open.
    pub doors: Doors,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Rouses whoever waits for a walk to end.
    pub changed: Arc<Notify>,
}

/// What *shape* and *assemble* make of one dossier, before it has a number.
pub struct Prepared {
    /// Every decision.
    pub disclosure: Disclosure,
    /// What would be sent.
    pub shaped: Shaped,
    /// Why nothing of it travels, when nothing does.
    pub nothing: Option<Issue>,
}

impl Road {
    /// *Trigger*: what happened, who asks, in which role, why? Durable before anything is done.
    pub async fn trigger(
        &self,
        id: TriggerId,
        subject: String,
        purpose: Option<Purpose>,
        who: Who,
    ) -> Result<Trigger, Issue> {
        let at = turn::now(&*self.clock);
        let event = Event::Triggered { trigger: id, subject, purpose, who };
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
            WorkKind::Trigger => self.concern(lease).await,
            WorkKind::Push => self.push(lease).await,
            WorkKind::Submission => Ok(()), // the other road's
        }
    }

    /// The walk of one dossier, stop by stop.
    async fn push(&self, lease: &Lease) -> Result<(), Fault> {
        let (house, clock) = (self.house.clone(), Arc::clone(&self.clock));
        let (passed, changed) = (self.setup.passed, Arc::clone(&self.changed));
        let mut turn = Turn::new(house, clock, passed, changed, lease)?;
        while let Some(stop) = turn.stop() {
            match stop {
                Stop::Route => self.prepare(&mut turn).await?,
                Stop::Deliver => self.deliver(&mut turn).await?,
                Stop::Poll => self.poll(&mut turn).await?,
                Stop::Acknowledge => self.acknowledge(&mut turn).await?,
            }
        }
        Ok(())
    }

    /// *Route, collect, shape, assemble*: from a dossier to a stored payload with a number.
    async fn prepare(&self, turn: &mut Turn) -> Result<(), Fault> {
        let trigger = self.trigger_of(&turn.push).await?;
        let door = match self.payer(&turn.push.dossier.payer) {
            Ok(payer) => self.route(payer).await.map(|door| (payer, door)),
            Err(issue) => Err(issue),
        };
        let (payer, door) = match door {
            Ok(found) => found,
            Err(issue) => return self.wait_or_hold(turn, issue).await,
        };
        turn.say(routed(door));
        if withdrawn_walk(&trigger).is_some() {
            return self.assemble_withdrawal(turn, &trigger).await;
        }
        let chart = self.charts.open(&turn.push.trigger, turn::now(&*self.clock));
        match self.disclose(&*chart, &turn.push.dossier.clone(), turn.push.purpose, payer).await {
            Ok(prepared) => self.assemble(turn, &trigger, prepared).await,
            Err(issue) => {
                self.charts.close(&turn.push.trigger);
                self.wait_or_hold(turn, issue).await
            }
        }
    }

    /// *Route*: where, in which version and mode, is the door open?
    pub async fn route(&self, payer: &Payer) -> Result<Door, Issue> {
        let base_url = self.directory.find(&payer.public.name).await?;
        self.doors.open(payer, base_url, turn::now(&*self.clock)).await
    }

    /// *Collect, shape* and the first half of *assemble*, for one payer.
    pub async fn disclose(
        &self,
        chart: &dyn Source,
        dossier: &Dossier,
        purpose: Purpose,
        payer: &Payer,
    ) -> Result<Prepared, Issue> {
        let encounter = self.encounter(chart, &dossier.subject).await?;
        let (mut coverages, scope) = self.scope(chart, &encounter, Some(purpose)).await?;
        let own = scope.dossiers.into_iter().find(|scoped| scoped.partner == dossier.payer);
        let own = own.map(|scoped| scoped.coverages).unwrap_or_default();
        coverages.retain(|coverage| own.contains(&coverage.local_reference()));
        let audience = Audience {
            terms: &payer.terms,
            purpose,
            restrictions: &self.restrictions()?,
            patient: &dossier.patient,
            own_coverages: &own,
            source_base: chart.base_url(),
        };
        let collected = collect(chart, &encounter, &coverages, &audience).await?;
        let disclosure = shape::shape(&collected, &audience);
        let nothing = shape::nothing_travels(&disclosure, &dossier.patient, &dossier.subject);
        let shaped = assemble::edit(&disclosure, &self.setup.namespace, chart.base_url())?;
        Ok(Prepared { disclosure, shaped, nothing })
    }

    /// The second half of *assemble*: the comparison with the last revision, number and Bundle.
    async fn assemble(
        &self,
        turn: &mut Turn,
        trigger: &Trigger,
        prepared: Prepared,
    ) -> Result<(), Fault> {
        let Prepared { disclosure, shaped, nothing } = prepared;
        let rows: Vec<DecisionRow> = disclosure.decisions.iter().map(DecisionRow::from).collect();
        let decisions = turn.keep(serde_json::to_vec(&rows).unwrap_or_default());
        if let Some(issue) = nothing {
            let withheld = shaped.withheld;
            turn.say(Event::Withheld { withheld, disclosure: decisions, issue });
            return turn.commit("withheld").await;
        }
        let revisions = self.revisions(&turn.push).await?;
        if let Some(push) = same_as_latest(&revisions, &shaped) {
            turn.say(Event::Unchanged { push });
            return turn.commit("unchanged").await;
        }
        if let Some(outside) = shaped.outside.first() {
            let detail = "a reference to something that does not travel was left standing";
            let issue = Issue::new(Code::InternalError, detail).at(&outside.expression);
            return self.hold(turn, issue).await;
        }
        let number = self.next_number(turn).await?;
        let payload = assemble::bundle(&shaped, &self.envelope(&turn.push, number, trigger.at));
        self.store_push(turn, &revisions, payload, decisions).await
    }

    /// The same for a withdrawal: nothing is read and nothing shaped; there is something to take
    /// back, or there is not.
    async fn assemble_withdrawal(&self, turn: &mut Turn, trigger: &Trigger) -> Result<(), Fault> {
        let decisions = turn.keep("[]");
        let number = self.next_number(turn).await?;
        let push = turn.push.clone();
        let envelope = self.envelope(&push, number, trigger.at);
        let revisions = self.revisions(&push).await?;
        match self.withdrawal(&push, &envelope).await? {
            Some(payload) => self.store_push(turn, &revisions, payload, decisions).await,
            None => {
                supersede(turn, &revisions)?;
                let issue = Issue::new(Code::AllWithheld, "nothing of it had been sent");
                turn.say(Event::Withheld { withheld: Vec::new(), disclosure: decisions, issue });
                turn.commit("withheld").await
            }
        }
    }

    /// The payload becomes durable, and older revisions that still waited give way.
    async fn store_push(
        &self,
        turn: &mut Turn,
        revisions: &[(StoredWork, Push)],
        payload: Payload,
        disclosure: exchange::Digest,
    ) -> Result<(), Fault> {
        supersede(turn, revisions)?;
        let kept = turn.keep(payload.bytes);
        turn.say(Event::Assembled {
            push: payload.push,
            number: payload.number,
            digest: payload.digest,
            payload: kept,
            disclosure,
            resources: payload.contents.len() as u64,
            withheld: payload.withheld,
        });
        turn.commit("assembled").await
    }

    /// The next number of the lane; the unit is stale when somebody else takes it first.
    async fn next_number(&self, turn: &mut Turn) -> Result<u64, Fault> {
        let lane = turn.push.dossier.lane();
        let number = self.house.lane_number(&lane).await?;
        turn.expect(Expect::LaneNumber { lane, number });
        Ok(number + 1)
    }

    fn envelope(&self, push: &Push, number: u64, recorded: Timestamp) -> Envelope<'_> {
        Envelope {
            namespace: &self.setup.namespace,
            number,
            purpose: push.purpose,
            recorded,
            sender_name: &self.setup.title,
            software_version: self.setup.version,
        }
    }

    /// *Deliver* and *settle*: the intent is durable before, the answer after.
    async fn deliver(&self, turn: &mut Turn) -> Result<(), Fault> {
        let payer = match self.payer(&turn.push.dossier.payer) {
            Ok(payer) => payer,
            Err(issue) => return self.hold(turn, issue).await,
        };
        let Some(made) = turn.push.assembled.clone() else { return Err(Fault::Unreadable) };
        let Some(payload) = self.house.blob(&made.payload).await? else {
            let issue = Issue::new(Code::InternalError, "the stored payload is gone");
            return self.hold(turn, issue).await;
        };
        turn.say(Event::Intended {
            attempt: turn.push.attempt + 1,
            endpoint: payer.client.base_url().to_owned(),
            key: made.push.to_string(),
        });
        turn.commit("intended").await?;
        let answered = deliver::send(&payer.client, payload, turn.now()).await;
        (self.setup.passed)("sent");
        self.settle(turn, payer, &answered, settle::settle).await
    }

    /// The payer's later word, in Bulk Data's form: the poll, then the file it names.
    async fn poll(&self, turn: &mut Turn) -> Result<(), Fault> {
        let payer = match self.payer(&turn.push.dossier.payer) {
            Ok(payer) => payer,
            Err(issue) => return self.hold(turn, issue).await,
        };
        let asked = turn.push.poll.clone().unwrap_or_default();
        let word = deliver::ask(&payer.client, &asked, turn.now()).await;
        let level = payer.terms.agreement.settled_by;
        let push = turn.push.clone();
        let Some(attempt) = attempt(&push, level) else { return Err(Fault::Unreadable) };
        match settle::settle_poll(&word, &asked, &attempt, turn.now()) {
            Next::Fetch { place, refusal, .. } => {
                let file = deliver::ask(&payer.client, &place, turn.now()).await;
                let read = |answer: &Answered, attempt: &Attempt<'_>, now| {
                    settle::settle_file(answer, refusal, attempt, now)
                };
                self.settle(turn, payer, &file, read).await
            }
            _ => {
                let read = |answer: &Answered, attempt: &Attempt<'_>, now| {
                    settle::settle_poll(answer, &asked, attempt, now)
                };
                self.settle(turn, payer, &word, read).await
            }
        }
    }

    /// *Settle*: each answer leads to exactly one next step.
    async fn settle(
        &self,
        turn: &mut Turn,
        payer: &Payer,
        answered: &Answered,
        read: impl Fn(&Answered, &Attempt<'_>, Timestamp) -> Next,
    ) -> Result<(), Fault> {
        let push = turn.push.clone();
        let now = turn.now();
        let level = payer.terms.agreement.settled_by;
        let Some(attempt) = attempt(&push, level) else { return Err(Fault::Unreadable) };
        let next = read(answered, &attempt, now);
        if let Answered::Reply(reply) = answered {
            let answer = turn.keep(reply.body.clone());
            turn.say(Event::Answered { status: reply.status, answer });
        }
        match next {
            Next::Settled(level) => turn.say(Event::Settled { level }),
            Next::Poll { place, at } => turn.say(Event::Polling { place, until: at }),
            Next::Retry { at, issue } => turn.say(Event::Delayed { until: at, issue }),
            Next::Hold(issues) => turn.say(Event::Held { issues }),
            Next::Refused(issues) => turn.say(Event::Refused { issues }),
            // `poll` follows a file before it settles; no other answer names one.
            Next::Fetch { .. } => return Err(Fault::Unreadable),
        }
        if matches!(turn.push.state, State::Held) {
            self.doors.forget(&turn.push.dossier.payer);
        }
        turn.commit("answered").await
    }

    /// *Acknowledge*: whoever triggered it is told, and what they were told is kept.
    async fn acknowledge(&self, turn: &mut Turn) -> Result<(), Fault> {
        let trigger = self.trigger_of(&turn.push).await?;
        let earlier = match &turn.push.state {
            State::Unchanged { push } => self.acknowledgement_of(push).await?,
            _ => None,
        };
        let told = match earlier {
            Some(earlier) => earlier,
            None => {
                let at = turn.now();
                let contents = self.contents(&turn.push).await?;
                let answer = match turn.push.answer {
                    Some(digest) => self.house.blob(&digest).await?,
                    None => None,
                };
                let push = &turn.push;
                Acknowledgement::of(push, &contents, answer.as_ref(), trigger.at, at)
                    .to_json()
                    .into()
            }
        };
        let acknowledgement = turn.keep(told);
        turn.say(Event::Acknowledged { to: trigger.who.name, acknowledgement });
        turn.commit("acknowledged").await
    }

    /// What was told when the push with this id ended.
    async fn acknowledgement_of(&self, push: &PushId) -> Result<Option<Bytes>, Fault> {
        let prefix = Some(push.to_string());
        let query = WorkQuery { prefix, limit: 1, ..WorkQuery::default() };
        let row = self.house.works(query).await?.into_iter().next();
        match row.and_then(|row| turn::read(&row.work)?.acknowledgement) {
            Some(digest) => Ok(self.house.blob(&digest).await?),
            None => Ok(None),
        }
    }

    pub(crate) fn restrictions(&self) -> Result<Restrictions, Issue> {
        let text = std::fs::read_to_string(&self.setup.restrictions).map_err(|_| {
            Issue::new(Code::RestrictionsUnreadable, "the table of restrictions cannot be read")
                .at("restrictions")
        })?;
        let partners: Vec<_> = self.setup.payers.keys().cloned().collect();
        Restrictions::parse(&text, "restrictions", &partners)
    }

    /// The payer of a dossier, as configured.
    pub fn payer(&self, name: &PartnerId) -> Result<&Payer, Issue> {
        let missing = || Issue::new(Code::PartnerUnknown, format!("no partner is named {name}"));
        self.setup.payers.get(name).ok_or_else(missing)
    }

    /// A transient issue waits for the clock, until the deadline; any other for a person.
    async fn wait_or_hold(&self, turn: &mut Turn, issue: Issue) -> Result<(), Fault> {
        let now = turn.now();
        let seed = turn.push.walk.to_string();
        match settle::wait(&issue, &seed, turn.push.attempt + 1, now) {
            None => turn.say(Event::Held { issues: vec![issue] }),
            Some(until) if until < turn.push.deadline => turn.say(Event::Delayed { until, issue }),
            Some(_) => {
                let late = Issue::new(Code::DeadlinePassed, "the push was not ready in time");
                turn.say(Event::Held { issues: vec![late, issue] });
            }
        }
        turn.commit("waiting").await
    }

    async fn hold(&self, turn: &mut Turn, issue: Issue) -> Result<(), Fault> {
        turn.say(Event::Held { issues: vec![issue] });
        turn.commit("waiting").await
    }

    pub(crate) async fn trigger_of(&self, push: &Push) -> Result<Trigger, Fault> {
        let row = self.house.work(push.trigger.as_str()).await?.ok_or(Fault::Unreadable)?;
        serde_json::from_slice(&row.work.body).map_err(|_| Fault::Unreadable)
    }
}

fn routed(door: Door) -> Event {
    let Door { base_url: endpoint, version, form, mode } = door;
    Event::Routed { endpoint, version, mode, form }
}

fn attempt(push: &Push, level: Level) -> Option<Attempt<'_>> {
    let entries = push.assembled.as_ref()?.resources;
    Attempt::of(push, level, usize::try_from(entries).ok()?)
}

/// Older revisions that still wait give way to the one being assembled.
fn supersede(turn: &mut Turn, revisions: &[(StoredWork, Push)]) -> Result<(), Fault> {
    let waiting = revisions.iter().filter(|(_, other)| !other.ended() && other.assembled.is_some());
    waiting.into_iter().try_for_each(|(row, _)| turn.supersede(row))
}

/// The dossier's latest revision, where it stands and holds the same. One that was refused, taken
/// back or overtaken does not stand: the same content may go again.
pub(crate) fn same_as_latest(revisions: &[(StoredWork, Push)], shaped: &Shaped) -> Option<PushId> {
    let numbered = revisions.iter().filter_map(|(_, push)| Some((push, push.assembled.as_ref()?)));
    let (push, made) = numbered.max_by_key(|(_, made)| made.number)?;
    let ended = matches!(push.state, State::Refused | State::Superseded);
    let stands = !ended && push.withdrawn_by.is_none();
    (stands && made.digest == shaped.digest).then(|| made.push.clone())
}
