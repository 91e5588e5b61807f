//! Gather: a push joins an open submission, and a submission closes.
//!
//! Comes in   a push that is to be delivered; an open submission whose time has come.
//! Goes out   a push that names its submission; a submission that waits on, has a manifest made of what
//!            it holds, or gathers nothing more.
//! Never      puts a push into a submission that has closed: its row must be as it was when the push
//!            joined, and joining does not write it, so that many join at once.

use super::{SendingTurn, read, row, terms_of};
use crate::limits::{GATHER_AGE_MAX, GATHERED_MAX, JOINED_KEPT, MANIFESTS_MAX};
use crate::road::{Halt, Road};
use crate::setup::Payer;
use crate::turn::{self, Turn};
use exchange::push::SUBMITTED;
use exchange::sending::{OPEN, Sending};
use exchange::{Code, Event, Issue, Push, SubmissionId};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use store::{Expect, House, StoredWork, WorkKind, WorkQuery};
use wire::{Clock as _, draw_id};

impl Road {
    /// *Deliver*, of an asynchronous push: into an open submission of its payer and purpose.
    pub(crate) async fn submit(&self, turn: &mut Turn, payer: &Payer) -> Result<(), Halt> {
        let terms = terms_of(payer)?;
        if let Some(restrictions) = self.outdated(&turn.push).await? {
            return self.look_anew(turn, restrictions).await;
        }
        repository::Suspensions::check(&self.house, &payer.public.name).await?;
        self.fits_lines(&turn.push).await?;
        self.offers_bulk(payer).await?;
        let (base_url, _) = self.endpoint(payer).await?;
        let mut joined = self.bulk.joined.lock().await;
        let most = terms.pushes_max;
        let submission = match self.open_sending(&turn.push, &base_url, &joined, most).await? {
            Some((stored, sending)) => {
                turn.expect(stored.unchanged());
                sending.id
            }
            None => {
                let id = SubmissionId(draw_id());
                let now = turn.now();
                let quiet = SignedDuration::from_secs(terms.gather_seconds.into());
                let opened = Event::SendingOpened {
                    submission: id.clone(),
                    payer: turn.push.dossier.payer.clone(),
                    purpose: turn.push.purpose,
                    endpoint: base_url,
                    until: now.saturating_add(quiet).unwrap_or(now),
                    deadline: late(&turn.push),
                    pull: None,
                };
                let sending = Sending::begin(now, &opened).ok_or(turn::Fault::Unreadable)?;
                turn.expect(Expect::WorkRevision { id: id.to_string(), revision: None });
                turn.say_besides(sending.chain(), opened, row(&sending));
                id
            }
        };
        if joined.len() >= JOINED_KEPT {
            joined.clear();
        }
        *joined.entry(submission.clone()).or_default() += 1;
        turn.say(Event::Submitted { submission });
        Ok(turn.commit("submitted").await?)
    }

    /// Whether the payer's door takes bulk submissions.
    ///
    /// Errors: `CapabilityMissing`; those of *route*.
    pub(crate) async fn offers_bulk(&self, payer: &Payer) -> Result<(), Issue> {
        if terms_of(payer)?.assume {
            return Ok(());
        }
        self.route(payer).await?;
        let declared = self.doors.declared(&payer.public.name);
        let offers = |name: &str| {
            let named = |it: &exchange::capability::Declared| {
                it.operations.iter().any(|(known, _)| known == name)
            };
            declared.as_deref().is_some_and(named)
        };
        match offers("bulk-submit") {
            true => Ok(()),
            false => {
                self.doors.forget(&payer.public.name);
                let detail = "the payer's door does not list the operation bulk-submit";
                let place = "CapabilityStatement.rest.operation";
                Err(Issue::new(Code::CapabilityMissing, detail).at(place))
            }
        }
    }

    /// The open submission that a push may join: not one that as many have joined here as may go together.
    async fn open_sending(
        &self,
        push: &Push,
        base_url: &str,
        joined: &HashMap<SubmissionId, u32>,
        most: u32,
    ) -> Result<Option<(StoredWork, Sending)>, store::Error> {
        let query = WorkQuery {
            kind: Some(WorkKind::BulkSent),
            states: vec![OPEN.to_owned()],
            partner: Some(push.dossier.payer.clone()),
            limit: GATHERED_MAX,
            ..WorkQuery::default()
        };
        let rows = self.house.works(query).await?.into_iter();
        let mut read = rows.filter_map(|stored| read(&stored.work).map(|it| (stored, it)));
        // One that is still open beyond its age has a door that does not answer: others go with another.
        let now = self.clock.now();
        let young = |it: &Sending| it.opened.duration_until(now) < GATHER_AGE_MAX;
        let fits = |it: &Sending| it.purpose == push.purpose && it.endpoint == base_url;
        let has_room = |it: &Sending| joined.get(&it.id).is_none_or(|count| *count < most);
        Ok(read.find(|(_, it)| fits(it) && young(it) && has_room(it)))
    }

    /// An open submission whose time has come: it waits on while pushes come, and not too many. Of as
    /// many as go with one manifest one is made meanwhile, so that the payer begins with it.
    pub(super) async fn gather(&self, turn: &mut SendingTurn) -> Result<(), Halt> {
        let payer = self.payer(&turn.sending.payer)?;
        let terms = terms_of(payer)?;
        let waiting = self.waiting(&turn.sending).await?;
        let newest = waiting.iter().map(|(row, _)| row.changed).max();
        let quiet = SignedDuration::from_secs(terms.gather_seconds.into());
        let now = turn.now();
        let until = newest.unwrap_or(turn.sending.opened).saturating_add(quiet).unwrap_or(now);
        let many = turn.sending.manifests.len() >= MANIFESTS_MAX;
        let full = many || waiting.len() >= terms.pushes_max as usize;
        let old = turn.sending.opened.duration_until(now) >= GATHER_AGE_MAX;
        if until > now && !full && !old {
            let made = self.replace(turn, &waiting).await? || self.make_full(turn, terms).await?;
            if made {
                return Ok(());
            }
            turn.say(Event::SendingKeptOpen { until });
            return Ok(turn.commit("bulk-waiting").await?);
        }
        turn.say(Event::SendingClosed { who: None, missing: 0 });
        Ok(turn.commit("bulk-closed").await?)
    }

    /// The pushes that wait in a submission, in the order in which they are to be filed.
    pub(super) async fn waiting(
        &self,
        sending: &Sending,
    ) -> Result<Vec<(StoredWork, Push)>, turn::Fault> {
        let query = WorkQuery {
            kind: Some(WorkKind::Push),
            states: vec![SUBMITTED.to_owned()],
            gathered: Some(sending.id.to_string()),
            limit: GATHERED_MAX,
            ..WorkQuery::default()
        };
        let mut found = Vec::new();
        for stored in self.house.works(query).await? {
            let push = turn::read(&stored.work).ok_or(turn::Fault::Unreadable)?;
            found.push((stored, push));
        }
        let number = |push: &Push| push.assembled.as_ref().map_or(0, |made| made.number);
        found.sort_by(|(_, one), (_, other)| {
            (&one.dossier.patient, number(one)).cmp(&(&other.dossier.patient, number(other)))
        });
        Ok(found)
    }
}

/// Until when the payer is asked: twice as long as a push has, so that its late word still settles what
/// waits for a person by then.
fn late(push: &Push) -> Timestamp {
    push.deadline.saturating_add(SignedDuration::from_secs(push.patience)).unwrap_or(push.deadline)
}
