//! Explain: a dry run, up to *assemble*, on a throw-away chart and a ledger that is thrown away.
//!
//! Comes in   a record, a purpose, who asks.
//! Goes out   per payer: what would travel and what would be taken back, by the same functions that a
//!            walk calls.
//! Never      writes anything but who looked.

use super::Desk;
use crate::collect::collect;
use crate::merged::merged_away;
use crate::ready::{self, NotReady};
use crate::revisions::Records;
use crate::road::Halt;
use crate::scope::Concern;
use crate::setup::Payer;
use crate::source::chart::Chart;
use crate::turn::Fault;
use crate::usable::Usable;
use crate::withdraw;
use exchange::assemble;
use exchange::desk::{Explained, IssueWords, Reply, TakenBack};
use exchange::payload::Topic;
use exchange::shape;
use exchange::{
    Chain, Code, DecisionRow, Event, Issue, Purpose, Push, Subject, Trigger, TriggerId, Who,
};
use repository::store_issue;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{House, Unit};
use wire::Clock as _;

/// The name of a walk that never begins.
const NEVER: &str = "explained";

/// What would become of a push.
#[derive(Default)]
struct Told {
    decisions: Vec<DecisionRow>,
    unchanged: Option<String>,
    usable: Usable,
    nothing: Option<Issue>,
    taken_back: Vec<TakenBack>,
}

impl Desk {
    /// A dry run; only who looked is kept.
    pub(super) async fn explain(
        &self,
        subject: String,
        purpose: Option<Purpose>,
        who: Who,
    ) -> Result<Reply, Issue> {
        let topic = Topic::parse(&subject)?;
        self.looked(who.clone(), topic.to_string()).await?;
        let chart = Chart::new(Arc::clone(self.road.charts.source()));
        let trigger = self.would_trigger(&topic, purpose, who)?;
        let found = self.road.concerned(&chart, &topic, purpose).await;
        let found = self.road.or_taken_back(&trigger, &topic.to_string(), found).await;
        let (concerns, issues, coverages) = found.map_err(unstored)??;
        let mut payers = Vec::new();
        for concern in concerns {
            let payer = self.road.payer(&concern.dossier.payer)?;
            let door = self.road.route(payer).await;
            // No chart is opened before the door is known; explain walks the same road.
            let told = match &door {
                Ok(_) => self.disclosed(&chart, &topic, &concern, payer, &trigger).await?,
                Err(_) => Told::default(),
            };
            payers.push(Explained {
                payer: concern.dossier.payer,
                door: door.map_err(|issue| IssueWords::from(&issue)),
                purpose: concern.purpose,
                decisions: told.decisions,
                unchanged: told.unchanged,
                findings: told.usable.findings,
                waits: told.usable.holding.iter().map(IssueWords::from).collect(),
                nothing: told.nothing.as_ref().map(IssueWords::from),
                taken_back: told.taken_back,
            });
        }
        let issues = issues.iter().map(IssueWords::from).collect();
        Ok(Reply::Explained { payers, issues, coverages })
    }

    fn would_trigger(
        &self,
        topic: &Topic,
        purpose: Option<Purpose>,
        who: Who,
    ) -> Result<Trigger, Issue> {
        let (trigger, subject) = (TriggerId(NEVER.into()), Subject::Record(topic.to_string()));
        let event =
            Event::Triggered { trigger, subject, purpose, who, asynchronous: false, pull: None };
        let begun = Trigger::begin(self.road.clock.now(), &event);
        begun.ok_or_else(|| Issue::new(Code::InternalError, "a trigger did not begin"))
    }

    /// What would travel and what would be taken back, and the push that said the same already.
    async fn disclosed(
        &self,
        chart: &Chart,
        topic: &Topic,
        concern: &Concern,
        payer: &Payer,
        trigger: &Trigger,
    ) -> Result<Told, Issue> {
        let began = self.road.began(trigger, concern.clone());
        let push = Push::begin(trigger.at, &began);
        let push = push.ok_or_else(|| Issue::new(Code::InternalError, "a walk did not begin"))?;
        if let Some(issue) = self.road.has_gone(chart, topic, &push).await.map_err(halted)? {
            let taken_back = self.all_of_it(&push, &self.road.itself(topic)).await?;
            return Ok(Told { nothing: Some(issue), taken_back, ..Told::default() });
        }
        let left_out = self.road.at_door(payer);
        let payer = left_out.as_ref().unwrap_or(payer);
        let restrictions = self.road.restrictions(Some(concern.purpose))?;
        let now = self.road.clock.now();
        let audience = self.road.audience(chart, concern, payer, &restrictions, now);
        let collected = collect(chart, topic, &audience).await?;
        if let Some(NotReady::NoVisit(issue)) = ready::lacking(&concern.dossier, payer, &collected)
        {
            return Ok(Told { usable: Usable::waiting(issue), ..Told::default() });
        }
        if let Some(issue) = merged_away(&collected, &concern.dossier.patient, audience.source_base)
        {
            return Ok(Told { usable: Usable::waiting(issue), ..Told::default() });
        }
        let disclosure = shape::shape_with(&collected, &audience, &chart.verdicts(&audience));
        let namespace = &self.road.setup.namespace;
        let shaped = assemble::edit(&disclosure, namespace, audience.source_base)?;
        let revisions = self.road.revisions_of(&concern.dossier).await.map_err(store_issue)?;
        let unchanged = crate::revisions::same_as_latest(&revisions, &shaped);
        let mut usable = Usable::of_what_travels(&disclosure, &audience, &concern.dossier);
        if unchanged.is_some() {
            usable.holding.clear(); // nothing is sent, so nothing waits
        }
        if let Some(NotReady::Lacks(issue)) = ready::lacking(&concern.dossier, payer, &collected) {
            usable.holding.insert(0, issue);
        }
        let stays = withdraw::stays_in_every_push(&disclosure, namespace);
        let (patient, subject) = (&concern.dossier.patient, &concern.dossier.subject);
        let nothing = shape::nothing_travels(&disclosure, patient, subject);
        let taken_back = match (&nothing, &unchanged) {
            (Some(_), _) => self.all_of_it(&push, &stays).await?,
            (None, Some(_)) => Vec::new(),
            (None, None) => {
                let offer = self.road.charts.source().offer().await?;
                let spared = withdraw::spared(&disclosure, &collected, &audience, namespace, offer);
                let gone = self.road.no_longer_held(&push, &shaped, &spared, &stays).await;
                self.named(&push, gone.map_err(unstored)?).await?
            }
        };
        let decisions = disclosure.rows(&collected.notes);
        let unchanged = unchanged.map(|push| push.to_string());
        Ok(Told { decisions, unchanged, usable, nothing, taken_back })
    }

    /// Everything of a dossier that would be taken back, where anything of it stands.
    async fn all_of_it(&self, push: &Push, stays: &Records) -> Result<Vec<TakenBack>, Issue> {
        let revisions = self.road.revisions(push).await.map_err(unstored)?;
        if !self.road.stands(&revisions).await.map_err(unstored)? {
            return Ok(Vec::new());
        }
        let all = self.road.to_take_back(push, stays).await.map_err(unstored)?;
        self.named(push, all.map(|(_, records)| records).unwrap_or_default()).await
    }

    /// Records at the payer, with the name that each has in the chart.
    async fn named(
        &self,
        push: &Push,
        records: Vec<(String, String)>,
    ) -> Result<Vec<TakenBack>, Issue> {
        let mut sources: BTreeMap<(String, String), String> = BTreeMap::new();
        if !records.is_empty() {
            for (_, sent) in self.road.revisions(push).await.map_err(unstored)? {
                // Names of what was purged are not kept.
                let contents = self.road.contents(&sent).await.unwrap_or_default();
                let named = contents.into_iter().filter_map(|one| {
                    let source = format!("{}/{}", one.kind, one.source_id?);
                    Some(((one.kind, one.id), source))
                });
                sources.extend(named);
            }
        }
        let told = |record: (String, String)| {
            let at_payer = format!("{}/{}", record.0, record.1);
            TakenBack { source: sources.get(&record).cloned(), record: at_payer }
        };
        let mut all: Vec<TakenBack> = records.into_iter().map(told).collect();
        all.sort();
        Ok(all)
    }

    /// Who looked, at what: the one line a look leaves.
    pub(super) async fn looked(&self, who: Who, subject: String) -> Result<(), Issue> {
        let lines = vec![(Chain::House, Event::Looked { who, subject })];
        let unit = Unit { at: self.road.clock.now(), lines, ..Unit::default() };
        self.road.house.commit(unit).await.map(drop).map_err(store_issue)
    }
}

fn unstored(fault: Fault) -> Issue {
    match fault {
        Fault::Store(error) => store_issue(error),
        _ => Issue::new(Code::InternalError, "what this house stored of a push cannot be read"),
    }
}

fn halted(halt: Halt) -> Issue {
    match halt {
        Halt::Issue(issue) => issue,
        Halt::Fault(fault) => unstored(fault),
    }
}
