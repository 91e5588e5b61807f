//! Given: files as they are fetched, and what becomes of the pushes that nothing else settles: those of an
//! export, and those of a payer with whom no word was agreed on but that it took them (`settled_by`).
//!
//! Comes in   the last byte of a file; a submission whose files were all fetched, or whose time is over, or
//!            that its payer wants no more of.
//! Goes out   the line that a file was given; pushes settled as *taken*, or ended with the reason.
//! Never      calls a push taken of which a file was not fetched to its end.
//!
//! A file that is fetched from a later byte on counts as whole with its last byte where whoever asks so
//! says by its validator (`If-Range`) that it holds what lies before. A file was given once its connection
//! took everything but the last byte, and asks for that one: what a peer does with it no server can know.

use super::members::not_fetched;
use super::settle::kept;
use super::tell::file_name;
use super::{SendingTurn, read, said};
use crate::clock::HouseClock;
use crate::limits::{GIVEN_TRIES, PUSHES_PER_UNIT};
use crate::road::{Halt, Road};
use crate::turn::Fault;
use exchange::sending::plan::{Piece, Plan};
use exchange::sending::{End, Sending};
use exchange::{Code, Event, Issue, Level, SubmissionId, WalkId};
use repository::store_issue;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{AnyHouse, Commit, House};
use wire::Clock as _;

/// A file that is on its way.
pub(super) struct Giving {
    pub(super) house: AnyHouse,
    pub(super) clock: Arc<HouseClock>,
    pub(super) submission: SubmissionId,
    pub(super) file: String,
}

impl Giving {
    /// Writes down that the file was given to its end.
    ///
    /// Errors: `HouseBusy` where the submission does not stand still; those of the store.
    pub(super) async fn given(&self) -> Result<(), Issue> {
        let event = Event::FileGiven { file: self.file.clone() };
        let known = |it: &Sending| it.given.contains(&self.file);
        note(&self.house, &self.clock, &self.submission, event, known).await
    }
}

/// Writes down what became of a file that is asked for, where that is not known yet.
///
/// Errors: `HouseBusy` where the submission does not stand still; those of the store.
pub(super) async fn note(
    house: &AnyHouse,
    clock: &HouseClock,
    submission: &SubmissionId,
    event: Event,
    is_known: impl Fn(&Sending) -> bool,
) -> Result<(), Issue> {
    for _ in 0..GIVEN_TRIES {
        let stored = house.work(submission.as_str()).await.map_err(store_issue)?;
        let Some(stored) = stored else { break };
        let Some(sending) = read(&stored.work) else { break };
        if is_known(&sending) {
            return Ok(());
        }
        let (unit, _) = said(&stored, sending, clock.now(), event.clone());
        if let Commit::Done { .. } = house.commit(unit).await.map_err(store_issue)? {
            return Ok(());
        }
    }
    Err(Issue::new(Code::HouseBusy, "the submission was changed meanwhile"))
}

impl Road {
    /// The payer has fetched everything, wants no more, or its time is over: each push gets its word.
    pub(super) async fn settle_pull(&self, turn: &mut SendingTurn) -> Result<(), Halt> {
        if turn.sending.stopping {
            return Ok(self.stopped(turn).await?);
        }
        let (whole, is_pull) = (turn.sending.is_given(), turn.sending.pulled.is_some());
        let plans = self.standing_plans(&turn.sending).await?;
        let left = pushes_in(&plans, |file| !turn.sending.given.contains(file));
        let pieces: Vec<&Piece> = plans.iter().flat_map(|(_, plan)| plan.pushes()).collect();
        for some in pieces.chunks(PUSHES_PER_UNIT) {
            let mut any = false;
            for piece in some {
                let Some((stored, push)) = self.still_in(turn, piece).await? else { continue };
                let word = match (left.contains(&piece.walk), is_pull) {
                    (true, true) => Event::Unfetched { issue: not_fetched() },
                    // What was refused goes anew with the end.
                    (true, false) => continue,
                    (false, _) => Event::Settled { level: Level::Taken },
                };
                turn.say_of(&stored, &push, vec![word]);
                any = true;
            }
            if any {
                turn.commit("bulk-settled").await?;
            }
        }
        if !is_pull {
            return Ok(self.taken(turn, whole).await?);
        }
        let deleted = turn.sending.pulled.as_ref().is_some_and(|it| it.deleted);
        let until = if whole && !deleted { turn.sending.deadline } else { turn.now() };
        let end = if whole { End::Settled } else { End::Unfetched };
        Ok(self.end(turn, end, until, Vec::new()).await?)
    }

    /// What the payer was told of and did not fetch in time waits for a person.
    async fn taken(&self, turn: &mut SendingTurn, whole: bool) -> Result<(), Fault> {
        if whole {
            let until = kept(turn);
            return self.end(turn, End::Settled, until, Vec::new()).await;
        }
        let detail =
            "the payer was told of the bulk submission, and did not fetch its files in time";
        self.fail(turn, vec![Issue::new(Code::DeadlinePassed, detail)]).await
    }
}

/// Pushes with something in one of these files, each asked for by its name.
pub(super) fn pushes_in(plans: &[(u32, Plan)], of: impl Fn(&str) -> bool) -> BTreeSet<WalkId> {
    let files = plans.iter().flat_map(|(number, plan)| {
        plan.files.iter().map(|file| (file_name(*number, &file.name), file))
    });
    let own = files.filter(|(name, _)| of(name));
    own.flat_map(|(_, file)| &file.pieces).map(|piece| piece.walk.clone()).collect()
}
