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
use crate::directory::Directory;
use crate::limits::STALE_ROUNDS_MAX;
use crate::route::{self, Doors};
use crate::setup::{Payer, Setup};
use crate::source::Source;
use crate::source::chart::Charts;
use crate::turn::{self, Fault, Turn};
use exchange::acknowledgement::Acknowledgement;
use exchange::assemble::{self, Shaped};
use exchange::desk::Door;
use exchange::restriction::Restrictions;
use exchange::scope::{self, Scope};
use exchange::settle::{self, Answered, Next};
use exchange::shape::{self, View};
use exchange::{
    Chain, Code, DecisionRow, Disclosure, Event, Issue, PartnerId, Push, Purpose, State, Stop,
    Trigger, TriggerId, Who,
};
use fhir::Resource;
use std::sync::Arc;
use store::{AnyHouse, Commit, Expect, House, Lease, Unit, WorkKind, WorkQuery};
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
}

/// What *shape* and *assemble* make of one dossier, before it has a number.
pub struct Prepared {
    /// Every decision.
    pub disclosure: Disclosure,
    /// What would be sent.
    pub shaped: Shaped,
    /// Whether the subject itself may travel.
    pub subject_travels: bool,
}

impl Road {
    /// *Trigger*: what happened, who asks, in which role, why? Durable before anything is done.
    pub async fn trigger(
        &self,
        id: TriggerId,
        subject: String,
        purpose: Purpose,
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
        self.house.commit(unit).await.map_err(|error| store_issue(&error))?;
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
        let mut turn = Turn::new(house, clock, self.setup.passed, lease)?;
        while let Some(stop) = turn.stop() {
            match stop {
                Stop::Route => self.prepare_push(&mut turn).await?,
                Stop::Deliver => self.deliver(&mut turn).await?,
                Stop::Poll => self.poll(&mut turn).await?,
                Stop::Acknowledge => self.acknowledge(&mut turn).await?,
            }
        }
        Ok(())
    }

    /// *Route, collect, shape, assemble*: from a dossier to a stored payload with a number.
    async fn prepare_push(&self, turn: &mut Turn) -> Result<(), Fault> {
        let prepared = match self.prepare(&turn.push.clone()).await {
            Ok((door, prepared)) => {
                turn.say(routed(&door));
                prepared
            }
            Err(issue) => {
                self.charts.close(&turn.push.trigger);
                self.wait_or_hold(turn, issue);
                return turn.commit("waiting").await;
            }
        };
        self.assemble(turn, prepared).await
    }

    /// The same stops without a trace: what `explain` shows and what `prepare_push` goes on with.
    async fn prepare(&self, push: &Push) -> Result<(Door, Prepared), Issue> {
        let payer = self.payer(&push.dossier.payer)?;
        let door = self.route(payer).await?;
        if let Some(withdrawn) = withdrawn_walk(push) {
            return Ok((door, self.withdrawal(push, withdrawn).await?));
        }
        let chart = self.charts.open(&push.trigger, turn::now(&*self.clock));
        let prepared = self.disclose(&*chart, push, payer).await?;
        Ok((door, prepared))
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
        push: &Push,
        payer: &Payer,
    ) -> Result<Prepared, Issue> {
        let encounter = self.encounter(chart, &push.dossier.subject).await?;
        let (coverages, scope) = self.scope(chart, &encounter, Some(push.purpose)).await?;
        let own = scope.payers.iter().find(|scoped| scoped.partner == push.dossier.payer);
        let own = own.map(|scoped| scoped.coverages.clone()).unwrap_or_default();
        let restrictions = self.restrictions()?;
        let view = View {
            restrictions: &restrictions,
            terms: &payer.terms,
            purpose: push.purpose,
            payer: &push.dossier.payer,
            own_coverages: &own,
            source_base: chart.base_url(),
        };
        let own_coverages: Vec<_> = coverages
            .into_iter()
            .filter(|coverage| own.contains(&coverage.local_reference()))
            .collect();
        let patient = push.dossier.patient.as_str();
        let collected = collect(chart, &encounter, patient, &own_coverages, &view).await?;
        let disclosure = shape::shape(&collected.resources, &collected.missing, &view);
        let subject_travels = disclosure.decisions.iter().any(|decision| {
            DecisionRow::from(decision).included && decision.reference() == push.dossier.subject
        });
        let shaped = assemble::edit(&disclosure, &self.setup.namespace, chart.base_url())?;
        Ok(Prepared { disclosure, shaped, subject_travels })
    }

    /// The second half of *assemble*: number, Bundle, and the comparison with the last revision.
    async fn assemble(&self, turn: &mut Turn, prepared: Prepared) -> Result<(), Fault> {
        let Prepared { disclosure, shaped, subject_travels } = prepared;
        let rows: Vec<DecisionRow> = disclosure.decisions.iter().map(DecisionRow::from).collect();
        let kept = turn.keep(serde_json::to_vec(&rows).unwrap_or_default());
        if !subject_travels {
            let issue = Issue::new(Code::AllWithheld, "the encounter itself may not travel");
            let withheld = assemble::withheld(&disclosure);
            turn.say(Event::Withheld { withheld, disclosure: kept, issue });
            return turn.commit("withheld").await;
        }
        let revisions = self.revisions(&turn.push).await?;
        let latest = revisions.iter().filter(|(_, push)| push.assembled.is_some()).max_by_key(
            |(_, push)| push.assembled.as_ref().map(|made| made.number),
        );
        if let Some((_, latest)) = latest
            && still_stands(latest)
            && let Some(made) = &latest.assembled
            && made.digest == shaped.digest
        {
            turn.say(Event::Unchanged { push: made.push.clone() });
            return turn.commit("unchanged").await;
        }
        let lane = turn.push.dossier.lane();
        let number = self.house.lane_number(&lane).await?;
        turn.expect(Expect::LaneNumber { lane, number });
        let trigger = self.trigger_of(&turn.push).await?;
        let payload = assemble::bundle(
            &shaped,
            &assemble::Sender {
                namespace: &self.setup.namespace,
                title: &self.setup.title,
                version: self.setup.version,
            },
            turn.push.purpose,
            number + 1,
            trigger.at,
        );
        for (row, other) in &revisions {
            if !other.ended() && other.assembled.is_some() {
                turn.supersede(row)?;
            }
        }
        let kept_payload = turn.keep(payload.bytes.clone());
        turn.say(Event::Assembled {
            push: payload.push,
            number: number + 1,
            digest: shaped.digest,
            payload: kept_payload,
            disclosure: kept,
            resources: payload.contents.len() as u64,
            withheld: assemble::withheld(&disclosure),
            usability: 0,
        });
        turn.commit("assembled").await
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
        let sent = wire::form::transaction::deliver(&payer.client, payload, turn.now()).await;
        (self.setup.passed)("sent");
        let answered = Answered::from_delivery(sent);
        self.settle(turn, payer, answered, made.resources).await
    }

    /// The payer's later word, in Bulk Data's form.
    async fn poll(&self, turn: &mut Turn) -> Result<(), Fault> {
        let payer = match self.payer(&turn.push.dossier.payer) {
            Ok(payer) => payer,
            Err(issue) => return self.hold(turn, issue).await,
        };
        let place = turn.push.poll.clone().unwrap_or_default();
        let expected = turn.push.assembled.as_ref().map_or(0, |made| made.resources);
        let answered = crate::deliver::poll(&payer.client, &place, turn.now()).await;
        self.settle(turn, payer, answered, expected).await
    }
}
