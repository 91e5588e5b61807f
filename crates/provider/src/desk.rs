//! Desk: what a person can ask of a sending house.
//!
//! Comes in   commands, from the house's own API or the command line.
//! Goes out   replies in the same words as everywhere.
//! Never      does a walk's work itself: it records what is asked, and wakes the worker.

use crate::limits::{LIST_ROWS, LIST_ROWS_MAX, PROBE_PATIENCE, WAIT_SECONDS_MAX};
use crate::road::Road;
use crate::setup::Payer;
use crate::tables::Held;
use crate::turn::{self, Fault};
use exchange::desk::{CheckLine, Command, IssueWords, Reply, Row, Standing};
use exchange::payload::Topic;
use exchange::{
    Chain, Code, Event, Issue, PartnerId, Purpose, Push, State, Stop, Subject, Trigger, TriggerId,
    Who,
};
use jiff::Timestamp;
use repository::{Kept, Purging, lookup, retain, store_issue};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::{Commit, Grounds, House, StoredWork, Unit, WorkKind, WorkQuery};
use tokio::sync::Notify;
use wire::Clock as _;
use wire::draw_id;

mod directory;
mod explain;
mod find;
mod payors;
mod restrictions;
mod show;
mod submissions;

/// The desk of a sending house.
pub struct Desk {
    road: Arc<Road>,
    wake: Arc<Notify>,
    ledger: Grounds,
}

impl Desk {
    /// A desk; `wake` rouses the worker, `ledger` is what the ledger is proved against.
    pub fn new(road: Arc<Road>, wake: Arc<Notify>, ledger: impl Into<Grounds>) -> Desk {
        Desk { road, wake, ledger: ledger.into() }
    }

    /// Carries a command out.
    pub async fn command(&self, command: Command) -> Result<Reply, Issue> {
        self.road.clock.set(&self.road.house).await;
        match command {
            Command::Push { subject, purpose, who, wait, asynchronous } => {
                self.push(subject, purpose, who, (wait, asynchronous)).await
            }
            Command::Explain { subject, purpose, who } => self.explain(subject, purpose, who).await,
            Command::Find { record_number, results: true, date, who } => {
                self.find_results(record_number, date, who).await
            }
            Command::Find { record_number, date, who, .. } => {
                self.find(record_number, date, who).await
            }
            Command::List { states, limit } => self.list(states, limit).await,
            Command::Show { id, page } => self.show(&id, page).await,
            Command::Release { id, who, member: None } => self.release(&id, who).await,
            Command::Release { member: Some(_), .. } => {
                let detail = "a member is named at the receiving house only";
                Err(Issue::new(Code::CommandInvalid, detail).at("member"))
            }
            Command::Withdraw { id, who, wait } => self.withdraw(&id, who, wait).await,
            Command::Watch {} => Ok(Reply::Watch { lines: self.road.watch_status().await? }),
            Command::Check {} => Ok(Reply::Checked { lines: self.check().await }),
            Command::Probe { partner } => self.probe(&partner).await,
            Command::Retention { dry_run } => {
                retain(&self.road.house, self, self.road.clock.now(), dry_run).await
            }
            Command::Backup { .. } => {
                Err(Issue::new(Code::CommandInvalid, "the house makes its backups itself"))
            }
            Command::Partner(_) => {
                let detail = "the house itself suspends and resumes the exchange with partners";
                Err(Issue::new(Code::CommandInvalid, detail))
            }
            Command::Registration(_) => {
                let detail = "clients register at the receiving house only";
                Err(Issue::new(Code::CommandInvalid, detail).at("command"))
            }
            Command::Reload {} => {
                Err(Issue::new(Code::CommandInvalid, "the house takes its files up itself"))
            }
            Command::Submission(command) => Box::pin(self.submission(command)).await,
            Command::Payor(command) => self.payor(command).await,
            Command::Restriction(command) => self.restriction(command).await,
            Command::Directory(command) => Box::pin(self.directory(command)).await,
            Command::Verify { witness } => {
                lookup::verify(&self.road.house, &self.ledger, &witness).await
            }
        }
    }

    async fn push(
        &self,
        subject: String,
        purpose: Option<Purpose>,
        who: Who,
        (wait, asynchronous): (u32, bool),
    ) -> Result<Reply, Issue> {
        let subject = Topic::parse(&subject)?.to_string();
        let (id, subject) = (TriggerId(draw_id()), Subject::Record(subject));
        let trigger = self.road.trigger(id, subject, purpose, who, asynchronous).await?;
        self.wake.notify_one();
        self.await_end(&trigger.id, wait).await
    }

    /// Waits until nothing of the trigger will happen by itself before the seconds are over, or they
    /// are.
    async fn await_end(&self, trigger: &TriggerId, wait: u32) -> Result<Reply, Issue> {
        let wait = Duration::from_secs(wait.min(WAIT_SECONDS_MAX).into());
        let over = tokio::time::sleep(wait);
        tokio::pin!(over);
        let now = self.road.clock.now();
        let until = now.checked_add(wait).unwrap_or(now);
        loop {
            let changed = self.road.changed.notified();
            let (reply, rests) = self.standing(trigger, until).await?;
            if rests {
                return Ok(reply);
            }
            tokio::select! {
                () = &mut over => return Ok(reply),
                () = changed => {}
            }
        }
    }

    /// Where a trigger's walks stand, and whether they all rest beyond `until`.
    async fn standing(&self, id: &TriggerId, until: Timestamp) -> Result<(Reply, bool), Issue> {
        let row = self.road.house.work(id.as_str()).await.map_err(store_issue)?;
        let row = row.ok_or_else(|| Issue::new(Code::PushUnknown, "no trigger has this id"))?;
        let trigger = read_trigger(&row)?;
        let query = WorkQuery {
            kind: Some(WorkKind::Push),
            trigger: Some(id.to_string()),
            limit: LIST_ROWS_MAX,
            ..WorkQuery::default()
        };
        let walks = self.road.house.works(query).await.map_err(store_issue)?;
        let now = self.road.clock.now();
        let mut rests = trigger.due.is_none_or(|at| at > until);
        let mut rows = Vec::new();
        for stored in &walks {
            let push = read_push(stored)?;
            // A push that the payer took waits for a person there, and that may be days.
            let waits = match push.state {
                State::Due { next: Stop::Poll, at } => at > now,
                // A submission goes on by itself, in seconds.
                State::Due { next: Stop::Await, .. } => false,
                State::Due { at, .. } => at > until,
                _ => false,
            };
            rests &= stored.work.due.is_none() || waits;
            rows.push(self.row_with_standing(stored, &push).await?);
        }
        let issues = trigger.issues.iter().map(IssueWords::from).collect();
        let (trigger, left_alone) = (Some(id.to_string()), trigger.left_alone);
        Ok((Reply::Pushed { trigger, rows, issues, left_alone }, rests))
    }

    /// The row of a push; of an unchanged one with what it stands on, and why that waits, if it does.
    async fn row_with_standing(&self, stored: &StoredWork, push: &Push) -> Result<Row, Issue> {
        let mut row = row_of_push(stored, push);
        let State::Unchanged { push: same } = &push.state else { return Ok(row) };
        if let Some(other) = self.road.standing(push, same).await.map_err(store_issue)? {
            row.issues = other.issues.iter().map(IssueWords::from).collect();
            row.stands_on = Some(Standing {
                id: other.walk.to_string(),
                label: same.to_string(),
                state: other.state_word().to_owned(),
                next_at: match other.state {
                    State::Due { at, .. } => Some(at),
                    _ => None,
                },
            });
        }
        Ok(row)
    }

    async fn list(&self, states: Vec<String>, limit: Option<u32>) -> Result<Reply, Issue> {
        let limit = limit.unwrap_or(LIST_ROWS).min(LIST_ROWS_MAX);
        let row = |stored: &StoredWork| match stored.work.kind {
            WorkKind::Push => Ok(Some(row_of_push(stored, &read_push(stored)?))),
            // A trigger that has been scoped shows as its pushes.
            WorkKind::Trigger if stored.work.state != "scoped" => {
                Ok(Some(row_of_trigger(stored, &read_trigger(stored)?)))
            }
            _ => Ok(None),
        };
        lookup::list(&self.road.house, WorkKind::Push, states, limit, row).await
    }

    /// A person lets something held go on: with the stop it waited at.
    async fn release(&self, id: &str, who: Who) -> Result<Reply, Issue> {
        let stored = lookup::find_work(&self.road.house, id).await?;
        if stored.work.state != "held" {
            return Err(Issue::new(Code::NotWaiting, "it does not wait for a person").at("id"));
        }
        let trigger = self.road.release(&stored, who).await?.ok_or_else(overtaken)?;
        self.wake.notify_one();
        Ok(self.standing(&trigger, self.road.clock.now()).await?.0)
    }

    /// A person takes a push back: a push of deletions goes after it.
    async fn withdraw(&self, id: &str, who: Who, wait: u32) -> Result<Reply, Issue> {
        let stored = lookup::find_work(&self.road.house, id).await?;
        if stored.work.kind == WorkKind::Trigger {
            return self.withdraw_trigger(&stored, who).await;
        }
        let mut push = read_push(&stored)?;
        if push.withdraws.is_some() {
            let detail = "it takes another push back; push the encounter again to undo that";
            return Err(Issue::new(Code::CommandInvalid, detail).at("id"));
        }
        if push.withdrawn_by.is_some() {
            return Err(Issue::new(Code::NotWaiting, "it has been withdrawn already").at("id"));
        }
        let trigger = TriggerId(draw_id());
        let at = self.road.clock.now();
        let by = turn::walk_id(&trigger, &push.dossier.payer);
        let mut events = vec![Event::WithdrawalAsked { who: who.clone(), by: by.clone() }];
        if !push.sent && !push.ended() {
            // Nothing of it has left, and nothing will.
            events.push(Event::Superseded { by });
        }
        events.iter().for_each(|event| push.apply(at, event));
        let chain = push.chain();
        let mut lines: Vec<_> = events.into_iter().map(|event| (chain.clone(), event)).collect();
        let row = turn::row(&push, at);
        let triggered = Event::Triggered {
            trigger: trigger.clone(),
            subject: Subject::Withdrawal(push.walk.clone()),
            purpose: Some(push.purpose),
            who,
            asynchronous: false,
            pull: None,
        };
        let begun = Trigger::begin(at, &triggered);
        lines.push((Chain::House, triggered));
        let mut unit = Unit {
            at,
            expects: vec![stored.unchanged()],
            lines,
            works: vec![row],
            ..Unit::default()
        };
        unit.works.extend(begun.as_ref().map(turn::trigger_row));
        self.commit(unit).await?;
        self.wake.notify_one();
        self.await_end(&trigger, wait).await
    }

    /// A person wants no more of a trigger that waits; pushes that it led to are withdrawn by
    /// their own ids.
    async fn withdraw_trigger(&self, stored: &StoredWork, who: Who) -> Result<Reply, Issue> {
        let mut trigger = read_trigger(stored)?;
        if trigger.due.is_none() && trigger.issues.is_empty() {
            let detail = match trigger.withdrawn {
                true => "it has been withdrawn already",
                false => "it has led to pushes; name one of them",
            };
            return Err(Issue::new(Code::NotWaiting, detail).at("id"));
        }
        let at = self.road.clock.now();
        let event = Event::TriggerWithdrawn { trigger: trigger.id.clone(), who };
        trigger.apply(at, &event);
        let unit = Unit {
            at,
            expects: vec![stored.unchanged()],
            lines: vec![(Chain::House, event)],
            works: vec![turn::trigger_row(&trigger)],
            ..Unit::default()
        };
        self.commit(unit).await?;
        Ok(self.standing(&trigger.id, at).await?.0)
    }

    async fn commit(&self, unit: Unit) -> Result<(), Issue> {
        match self.road.house.commit(unit).await.map_err(store_issue)? {
            Commit::Done { .. } => Ok(()),
            _ => Err(overtaken()),
        }
    }

    /// Puts a new text in the place of a table; see `tables` for the order in which that is done.
    async fn write_table(&self, held: Held, text: &str, event: Event) -> Result<(), Issue> {
        let staged = held.stage(text)?;
        let lines = vec![(Chain::House, event)];
        self.commit(Unit { at: self.road.clock.now(), lines, ..Unit::default() }).await?;
        (self.road.setup.passed)("listed");
        staged.put()?;
        (self.road.setup.passed)("tabled");
        Ok(())
    }

    /// What would stop a push today: the EHR, and each payer's door.
    async fn check(&self) -> Vec<CheckLine> {
        let mut lines = vec![self.check_source().await];
        let roles = crate::source::roles::told(&**self.road.charts.source()).await;
        lines.push(CheckLine::of("source: roles of practitioners", roles));
        for (name, payer) in &self.road.setup.payers {
            self.road.doors.forget(name);
            let door = self.road.route(payer).await;
            lines.extend(Box::pin(self.check_endpoint(payer, door.as_ref().ok())).await);
            let found = door.map(|door| match door.ladder.is_empty() {
                true => format!("{} speaks {}", door.base_url, door.version),
                false => format!("{} speaks {}, {}", door.base_url, door.version, door.form),
            });
            lines.push(CheckLine::of(format!("payer {name}: door"), found));
            let client = self.road.client_for_all(payer).await;
            let signed = match client {
                Ok(client) => client.get("Patient?_count=1&_id=none").await,
                Err(issue) => {
                    lines.push(CheckLine::of(format!("payer {name}: sign-in"), Err(issue)));
                    continue;
                }
            };
            let signed = match signed {
                Ok(answer) if answer.status() == 401 => Err(Issue::new(
                    Code::SignInRefused,
                    "the payer does not accept the token it gave",
                )),
                Ok(_) => Ok("a token was given and accepted".to_owned()),
                Err(error) => Err(crate::route::away(&error)),
            };
            lines.push(CheckLine::of(format!("payer {name}: sign-in"), signed));
        }
        let restrictions = self.road.restrictions(None).map(|_| "read".to_owned());
        lines.push(CheckLine::of("restrictions", restrictions));
        if self.road.setup.watch.is_some() {
            let watched = self.road.watch_status().await;
            lines.extend(watched.unwrap_or_else(|issue| vec![CheckLine::of("watch", Err(issue))]));
        }
        let payors = self.road.payors().map(|map| format!("{} rows", map.rows().count()));
        lines.push(CheckLine::of("payor map", payors));
        lines
    }

    /// A payer's door, step by step.
    async fn probe(&self, partner: &PartnerId) -> Result<Reply, Issue> {
        let missing = || {
            let detail = "no payer of this name has a public file and an agreement here";
            Issue::new(Code::PartnerUnknown, detail).at("partner")
        };
        let payer = self.road.setup.payers.get(partner).ok_or_else(missing)?;
        let now = self.road.clock.now();
        let client = self.road.client_for_all(payer).await?;
        Ok(Reply::Probed(crate::probe::probe(payer, &client, now, PROBE_PATIENCE).await))
    }

    async fn check_source(&self) -> CheckLine {
        let source = self.road.charts.source();
        let found = source.search("Encounter", &[("_id", "none")]).await;
        let found = found.map(|_| source.base_url().to_owned());
        CheckLine::of("source: sign-in and search", found)
    }
}

impl Kept for Desk {
    fn partners(&self) -> Vec<(PartnerId, u32)> {
        let payers = self.road.setup.payers.iter();
        let kept = |payer: &Payer| payer.terms.agreement.retention.map(|it| it.content_days);
        payers.filter_map(|(name, payer)| Some((name.clone(), kept(payer)?))).collect()
    }

    /// What the push put at the payer is written down, so that it can still be taken back.
    async fn purging(&self, stored: &StoredWork, days: u32) -> Result<Option<Purging>, Issue> {
        if stored.work.kind == WorkKind::BulkSent {
            return Ok(submissions::purging(stored, days));
        }
        let push = read_push(stored)?;
        if !push.ended() {
            return Ok(None);
        }
        let records = match push.sent {
            true => self.road.records(&push).await.map_err(|fault| match fault {
                Fault::Store(error) => store_issue(error),
                _ => Issue::new(Code::InternalError, "a stored payload cannot be read"),
            })?,
            false => BTreeSet::new(),
        };
        let records = records.into_iter().map(|(kind, id)| format!("{kind}/{id}")).collect();
        let resources = push.assembled.as_ref().map_or(0, |made| made.resources);
        let purged = Event::Purged { days, resources, records };
        Ok(Some((stored.work.id.clone(), push.chain(), purged)))
    }
}

fn overtaken() -> Issue {
    Issue::new(Code::NotWaiting, "it was changed meanwhile; look again")
}

fn read_push(stored: &StoredWork) -> Result<Push, Issue> {
    turn::read(&stored.work).ok_or_else(lookup::unreadable)
}

fn read_trigger(stored: &StoredWork) -> Result<Trigger, Issue> {
    turn::read_trigger(&stored.work).ok_or_else(lookup::unreadable)
}

fn row_of_push(stored: &StoredWork, push: &Push) -> Row {
    let made = push.assembled.as_ref();
    Row {
        id: push.walk.to_string(),
        kind: "push".into(),
        label: stored.work.label.clone(),
        partner: Some(push.dossier.payer.clone()),
        subject: Some(push.dossier.subject.clone()),
        mode: Some(push.mode.clone()),
        state: push.state_word().to_owned(),
        level: match &push.state {
            State::Settled { level } => Some(level.word().to_owned()),
            _ => None,
        },
        next_at: match push.state {
            State::Due { at, .. } => Some(at),
            _ => None,
        },
        resources: made.map_or(0, |made| made.resources),
        withheld: push.withheld.clone(),
        issues: push.issues.iter().map(IssueWords::from).collect(),
        withdrawn_by: push.withdrawn_by.as_ref().map(ToString::to_string),
        withdraws: push.withdraws.as_ref().map(ToString::to_string),
        stands_on: None,
        changed: stored.changed,
    }
}

fn row_of_trigger(stored: &StoredWork, trigger: &Trigger) -> Row {
    Row {
        id: trigger.id.to_string(),
        kind: "trigger".into(),
        label: None,
        partner: None,
        subject: Some(trigger.subject.to_string()),
        mode: None,
        state: trigger.state_word().to_owned(),
        level: None,
        next_at: trigger.due,
        resources: 0,
        withheld: Vec::new(),
        issues: trigger.issues.iter().map(IssueWords::from).collect(),
        withdrawn_by: None,
        withdraws: match &trigger.subject {
            Subject::Withdrawal(walk) => Some(walk.to_string()),
            Subject::Record(_) => None,
        },
        stands_on: None,
        changed: stored.changed,
    }
}
