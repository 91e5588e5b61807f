//! Submissions: what a person can ask about the bulk submissions of this house.
//!
//! Comes in   a command about them.
//! Goes out   rows, the story of one; one that closes, or is to be stopped.
//! Never      does a submission's work itself: it records what is asked, and wakes the worker.

use super::{Desk, read_trigger, row_of_trigger};
use crate::bulk::{read, said};
use crate::limits::{LIST_ROWS, LIST_ROWS_MAX, TRIGGERS_ASKED_MAX};
use exchange::desk::{IssueWords, Reply, SubmissionCommand, SubmissionRow, SubmissionsTold};
use exchange::push::{Push, SUBMITTED};
use exchange::sending::{OPEN, Sending, Step};
use exchange::{Code, Event, Issue, TriggerId, Who};
use repository::{Purging, lookup, store_issue};
use store::{House, StoredWork, WorkKind, WorkQuery};
use wire::Clock as _;

impl Desk {
    pub(super) async fn submission(&self, command: SubmissionCommand) -> Result<Reply, Issue> {
        match command {
            SubmissionCommand::List { limit } => {
                let limit = limit.unwrap_or(LIST_ROWS).min(LIST_ROWS_MAX);
                let found = self.sendings(&[], None, limit).await?;
                self.told(&found, Vec::new()).await.map(reply)
            }
            SubmissionCommand::Show { id } => {
                let found = self.sending(&id).await?;
                let timeline = lookup::timeline(&self.road.house, &found.1.chain()).await?;
                self.told(&[found], timeline).await.map(reply)
            }
            SubmissionCommand::Close { who } => self.close(who).await,
            SubmissionCommand::Stop { id, who } => self.stop(&id, who).await,
            SubmissionCommand::Release { id, who } => self.release_all(&id, &who).await,
            SubmissionCommand::Pushes { triggers } => self.pushes(&triggers).await,
        }
    }

    async fn close(&self, who: Who) -> Result<Reply, Issue> {
        let open = self.sendings(&[OPEN], None, LIST_ROWS_MAX).await?;
        let mut closed = Vec::new();
        for (stored, sending) in open {
            let event = Event::SendingClosed { who: Some(who.clone()), missing: 0 };
            // One that changed just now has closed by itself, or will.
            if let Ok(sending) = self.say(&stored, sending, event).await {
                closed.push((stored, sending));
            }
        }
        self.told(&closed, Vec::new()).await.map(reply)
    }

    async fn stop(&self, id: &str, who: Who) -> Result<Reply, Issue> {
        let (stored, sending) = self.sending(id).await?;
        if sending.end.is_some() || sending.stopping {
            return Err(Issue::new(Code::NotWaiting, "it has ended already").at("id"));
        }
        if sending.completed {
            let detail = "the payer knows that it is complete, and takes no more word on it: \
                          withdraw its pushes instead";
            return Err(Issue::new(Code::NotWaiting, detail).at("id"));
        }
        let sending = self.say(&stored, sending, Event::SendingStopAsked { who }).await?;
        self.told(&[(stored, sending)], Vec::new()).await.map(reply)
    }

    async fn release_all(&self, id: &str, who: &Who) -> Result<Reply, Issue> {
        let found = self.sending(id).await?;
        let (submission, payer) = (found.1.id.clone(), found.1.payer.clone());
        let own = |push: &Push| push.submission.as_ref() == Some(&submission);
        let released = self.road.release_where(Some(&payer), own, who).await?;
        self.wake.notify_one();
        let told = self.told(&[found], Vec::new()).await?;
        Ok(reply(SubmissionsTold { released: Some(released), ..told }))
    }

    /// Says something about a submission that is as it was read.
    async fn say(
        &self,
        stored: &StoredWork,
        sending: Sending,
        event: Event,
    ) -> Result<Sending, Issue> {
        let (unit, sending) = said(stored, sending, self.road.clock.now(), event);
        self.commit(unit).await?;
        self.wake.notify_one();
        Ok(sending)
    }

    async fn pushes(&self, triggers: &[String]) -> Result<Reply, Issue> {
        if triggers.len() > TRIGGERS_ASKED_MAX {
            let detail = format!("at most {TRIGGERS_ASKED_MAX} triggers are asked for at once");
            return Err(Issue::new(Code::CommandInvalid, detail).at("triggers"));
        }
        let now = self.road.clock.now();
        let (mut all, mut issues) = (Vec::new(), Vec::new());
        for trigger in triggers {
            let id = TriggerId(trigger.clone());
            let stored = self.road.house.work(trigger).await.map_err(store_issue)?;
            let (reply, _) = self.standing(&id, now).await?;
            let Reply::Pushed { rows, issues: told, .. } = reply else { continue };
            let row = stored.map(|row| Ok::<_, Issue>(row_of_trigger(&row, &read_trigger(&row)?)));
            // One that led to pushes only is told by them.
            all.extend(row.transpose()?.filter(|it| it.state != "scoped" || rows.is_empty()));
            all.extend(rows);
            issues.extend(told);
        }
        Ok(Reply::Pushed { trigger: None, rows: all, issues, left_alone: 0 })
    }

    async fn sending(&self, id: &str) -> Result<(StoredWork, Sending), Issue> {
        let mut found = self.sendings(&[], Some(id), 2).await?;
        match (found.len(), id.is_empty()) {
            (1, false) => Ok(found.remove(0)),
            (0, _) | (_, true) => {
                Err(Issue::new(Code::PushUnknown, "no bulk submission has this id").at("id"))
            }
            _ => {
                let detail = "several ids begin like this; give more of it";
                Err(Issue::new(Code::CommandInvalid, detail).at("id"))
            }
        }
    }

    async fn sendings(
        &self,
        states: &[&str],
        prefix: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(StoredWork, Sending)>, Issue> {
        let query = WorkQuery {
            kind: Some(WorkKind::BulkSent),
            states: states.iter().map(|state| (*state).to_owned()).collect(),
            prefix: prefix.map(str::to_owned),
            limit,
            ..WorkQuery::default()
        };
        let rows = self.road.house.works(query).await.map_err(store_issue)?.into_iter();
        let read = |stored: StoredWork| {
            let sending = read(&stored.work).ok_or_else(lookup::unreadable)?;
            Ok((stored, sending))
        };
        rows.map(read).collect()
    }

    async fn told(
        &self,
        found: &[(StoredWork, Sending)],
        timeline: Vec<exchange::desk::TimelineRow>,
    ) -> Result<SubmissionsTold, Issue> {
        let mut rows = Vec::with_capacity(found.len());
        for (_, sending) in found {
            let mut told = told(sending);
            if sending.is_open() || (sending.manifests.is_empty() && sending.end.is_none()) {
                told.pushes = self.gathered(sending).await?;
            }
            rows.push(told);
        }
        Ok(SubmissionsTold { rows, timeline, released: None })
    }

    /// How many pushes an open submission has so far.
    async fn gathered(&self, sending: &Sending) -> Result<u64, Issue> {
        let query = WorkQuery {
            kind: Some(WorkKind::Push),
            states: vec![SUBMITTED.to_owned()],
            gathered: Some(sending.id.to_string()),
            limit: LIST_ROWS_MAX,
            ..WorkQuery::default()
        };
        Ok(self.road.house.works(query).await.map_err(store_issue)?.len() as u64)
    }
}

/// A submission that is over: its plan and what the payer said of it go. What it brought the payer is
/// written down with its pushes.
pub(super) fn purging(stored: &StoredWork, days: u32) -> Option<Purging> {
    let sending = read(&stored.work).filter(|sending| sending.step == Step::Rest)?;
    let resources = sending.standing().map(|it| it.resources).sum();
    let purged = Event::Purged { days, resources, records: Vec::new() };
    Some((stored.work.id.clone(), sending.chain(), purged))
}

fn reply(told: SubmissionsTold) -> Reply {
    Reply::Submissions(Box::new(told))
}

fn told(sending: &Sending) -> SubmissionRow {
    let of = |count: fn(&exchange::sending::Manifest) -> u64| sending.standing().map(count).sum();
    SubmissionRow {
        id: sending.id.to_string(),
        payer: sending.payer.clone(),
        state: sending.state_word().trim_start_matches("sending-").to_owned(),
        opened: sending.opened,
        next_at: sending.due(),
        pushes: of(|it| it.pushes),
        resources: of(|it| it.resources),
        files: of(|it| it.files),
        bytes: of(|it| it.bytes),
        partly: sending.partly.filter(|_| sending.outcomes.is_none()),
        back: sending.back.clone(),
        issues: sending.issues.iter().map(IssueWords::from).collect(),
    }
}
