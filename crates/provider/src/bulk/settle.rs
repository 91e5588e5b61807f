//! Settle: each push of a submission gets its own word.
//!
//! Comes in   what the payer said of a submission; or that it failed, or was stopped.
//! Goes out   pushes settled, held or refused, a bounded number in each unit; then the end.
//! Never      settles a push that left the submission meanwhile, and none twice.

use super::SendingTurn;
use super::given::pushes_in;
use crate::deliver;
use crate::limits::{FILES_KEPT, PUSHES_PER_UNIT};
use crate::road::{Halt, Road};
use crate::turn::{self, Fault};
use bytes::Bytes;
use exchange::assemble::push_system;
use exchange::sending::outcomes::Outcomes;
use exchange::sending::plan::{Piece, Plan};
use exchange::sending::{End, Sending};
use exchange::settle::Next;
use exchange::{Code, Digest, Event, Issue, Level, Push, State};
use jiff::Timestamp;
use std::collections::BTreeSet;
use store::{House, StoredWork};

impl Road {
    /// By the outcomes of its own resources.
    pub(super) async fn settle_pushes(&self, turn: &mut SendingTurn) -> Result<(), Halt> {
        let payer = self.payer(&turn.sending.payer)?;
        let level = payer.terms.agreement.settled_by;
        let digest = turn.sending.outcomes.ok_or(Fault::Unreadable)?;
        let outcomes = self.house.blob(&digest).await?.ok_or(Fault::Unreadable)?;
        let outcomes: Outcomes =
            serde_json::from_slice(&outcomes).map_err(|_| Fault::Unreadable)?;
        let plans = self.standing_plans(&turn.sending).await?;
        let of = |(number, plan): &(u32, Plan)| {
            let pieces = plan.pushes().into_iter().cloned();
            pieces.map(|piece| (*number, piece)).collect::<Vec<_>>()
        };
        let pieces: Vec<(u32, Piece)> = plans.iter().flat_map(of).collect();
        let refused = pushes_in(&plans, |file| turn.sending.is_refused(file));
        let in_refused = |(_, piece): &&(u32, Piece)| refused.contains(&piece.walk);
        let touched: BTreeSet<u32> =
            pieces.iter().filter(in_refused).map(|(manifest, _)| *manifest).collect();
        let mut held = false;
        for some in pieces.chunks(PUSHES_PER_UNIT) {
            let mut any = false;
            for (manifest, piece) in some {
                let Some((stored, push)) = self.still_in(turn, piece).await? else { continue };
                let key = format!("{}|{}", push_system(&self.setup.namespace), piece.push);
                let contents = self.contents(&push).await?;
                let (next, answer) = outcomes.settle(*manifest, &key, &contents);
                // A file that this house refused is told of as a fault of the whole manifest, too.
                let spared = touched.contains(manifest)
                    && matches!(next, Next::Hold(_))
                    && !outcomes.names(&key, &contents);
                if (refused.contains(&piece.walk) || spared) && !push.is_late() {
                    let word = self.goes_anew(&push).await?;
                    turn.say_of(&stored, &push, vec![word]);
                    any = true;
                    continue;
                }
                let answer = Event::Answered { status: 200, answer: turn.keep(answer) };
                let word = match next {
                    Next::Settled(_) if level == Level::Taken => Event::Settled { level },
                    Next::Settled(level) => Event::Settled { level },
                    Next::Refused(issues) => Event::Refused { issues },
                    Next::Hold(issues) => Event::Held { issues },
                    Next::Poll { .. } | Next::Fetch { .. } | Next::Retry { .. } => {
                        return Err(Fault::Unreadable.into());
                    }
                };
                held |= matches!(word, Event::Held { .. });
                turn.say_of(&stored, &push, vec![answer, word]);
                any = true;
            }
            if any {
                turn.commit("bulk-settled").await?;
            }
        }
        if held {
            self.doors.forget(&turn.sending.payer);
        }
        // What comes back stays at the payer for whoever wants it, until it expires there.
        if turn.sending.back.is_empty() {
            self.forget_status(turn).await;
        }
        // A payer that gives no word may come for the files late.
        let until = match level {
            Level::Taken => turn.sending.deadline.max(kept(turn)),
            _ => kept(turn),
        };
        Ok(self.end(turn, End::Settled, until, Vec::new()).await?)
    }

    /// What is said of a push that the payer was not given, or may not have been, because of others that went
    /// with it: it goes another way, as it is or looked at anew. What it was given of it, it knows by the
    /// push's number.
    async fn goes_anew(&self, push: &Push) -> Result<Event, Halt> {
        let again = || {
            let detail = "what went in one file with it was taken back or restricted meanwhile";
            Event::Returned { issue: Issue::new(Code::PayerResting, detail) }
        };
        Ok(self.overtaken(push).await?.unwrap_or_else(again))
    }

    /// The submission as a whole came to nothing: each push waits for a person, with the reason.
    pub(super) async fn fail(
        &self,
        turn: &mut SendingTurn,
        issues: Vec<Issue>,
    ) -> Result<(), Fault> {
        self.doors.forget(&turn.sending.payer);
        self.hold_all(turn, &issues).await?;
        let until = kept(turn);
        self.end(turn, End::Failed, until, issues).await
    }

    /// A person had it stopped.
    pub(super) async fn stopped(&self, turn: &mut SendingTurn) -> Result<(), Fault> {
        let detail = "the bulk submission that it went with was stopped by a person of this house";
        let issues = vec![Issue::new(Code::SubmissionStopped, detail)];
        self.hold_all(turn, &issues).await?;
        let until = kept(turn);
        self.end(turn, End::Stopped, until, Vec::new()).await
    }

    async fn hold_all(&self, turn: &mut SendingTurn, issues: &[Issue]) -> Result<(), Fault> {
        // Nobody can release what a payer asked for itself: it asks again.
        let pulled = turn.sending.pulled.is_some();
        let word = || match (pulled, issues.first()) {
            (true, Some(issue)) => Event::Unfetched { issue: issue.clone() },
            _ => Event::Held { issues: issues.to_vec() },
        };
        // By its plans first: the list of what waits may be full of another submission's.
        for (_, plan) in self.standing_plans(&turn.sending).await? {
            for some in plan.pushes().chunks(PUSHES_PER_UNIT) {
                let mut any = false;
                for piece in some {
                    let Some((stored, push)) = self.still_in(turn, piece).await? else { continue };
                    turn.say_of(&stored, &push, vec![word()]);
                    any = true;
                }
                if any {
                    turn.commit("bulk-settled").await?;
                }
            }
        }
        loop {
            let waiting = self.waiting(&turn.sending).await?;
            if waiting.is_empty() {
                return Ok(());
            }
            for (stored, push) in waiting.iter().take(PUSHES_PER_UNIT) {
                turn.say_of(stored, push, vec![word()]);
            }
            turn.commit("bulk-settled").await?;
        }
    }

    /// The end; what still waits in it, whatever the reason, is delivered anew.
    pub(super) async fn end(
        &self,
        turn: &mut SendingTurn,
        end: End,
        until: Timestamp,
        issues: Vec<Issue>,
    ) -> Result<(), Fault> {
        loop {
            let left = self.waiting(&turn.sending).await?;
            if left.is_empty() {
                break;
            }
            for (stored, push) in left.iter().take(PUSHES_PER_UNIT) {
                let detail = "the bulk submission ended without it";
                let issue = Issue::new(Code::PayerResting, detail);
                turn.say_of(stored, push, vec![Event::Returned { issue }]);
            }
            turn.commit("bulk-settled").await?;
        }
        turn.say(Event::SendingEnded { end, until, issues });
        turn.commit("bulk-ended").await
    }

    /// A push that this submission is still to settle.
    pub(super) async fn still_in(
        &self,
        turn: &SendingTurn,
        piece: &Piece,
    ) -> Result<Option<(StoredWork, Push)>, Fault> {
        let Some(stored) = self.house.work(piece.walk.as_str()).await? else { return Ok(None) };
        let push = turn::read(&stored.work).ok_or(Fault::Unreadable)?;
        let own = push.submission.as_ref() == Some(&turn.sending.id);
        let same = push.assembled.as_ref().is_some_and(|made| made.push == piece.push);
        // One that waits for a person because its own time was over gets the payer's late word; one
        // that this submission has held already keeps its word.
        let waits = matches!(push.state, State::Due { .. }) || push.is_late();
        Ok((own && same && waits).then_some((stored, push)))
    }

    /// The plans of the manifests that stand, each with its number.
    pub(super) async fn standing_plans(
        &self,
        sending: &Sending,
    ) -> Result<Vec<(u32, Plan)>, Fault> {
        let mut plans = Vec::new();
        for manifest in sending.standing() {
            plans.push((manifest.number, self.plan(&manifest.plan).await?));
        }
        Ok(plans)
    }

    /// A stored plan.
    pub(super) async fn plan(&self, digest: &Digest) -> Result<Plan, Fault> {
        let plan: Bytes = self.house.blob(digest).await?.ok_or(Fault::Unreadable)?;
        serde_json::from_slice(&plan).map_err(|_| Fault::Unreadable)
    }

    /// Nobody wants the payer's status any more; where it cannot be told so, it expires by itself.
    async fn forget_status(&self, turn: &mut SendingTurn) {
        let Some(place) = turn.sending.place.clone() else { return };
        let Ok(payer) = self.payer(&turn.sending.payer) else { return };
        let client = payer.client_for(&turn.sending.endpoint, turn.sending.purpose);
        if let Ok(client) = client {
            deliver::forget(&client, &place, turn.now()).await;
        }
    }
}

/// Until when files are served after an end.
pub(super) fn kept(turn: &mut SendingTurn) -> Timestamp {
    let now = turn.now();
    now.saturating_add(FILES_KEPT).unwrap_or(now)
}
