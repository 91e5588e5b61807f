//! Given: an export's files as they are fetched, and what becomes of its pushes.
//!
//! Comes in   the last byte of a file; an export whose files were all fetched, or whose time is over, or
//!            that its payer wants no more of.
//! Goes out   the line that a file was given; pushes settled as *taken*, or ended with the reason.
//! Never      calls a push taken of which a file was not fetched to its end.
//!
//! A file that is fetched from a later byte on counts as whole with its last byte: whoever asks so
//! holds what lies before it, by the same validator.

use super::members::not_fetched;
use super::{SendingTurn, read, row};
use crate::clock::HouseClock;
use crate::limits::{GIVEN_TRIES, PUSHES_PER_UNIT};
use crate::road::{Halt, Road};
use crate::turn;
use exchange::sending::End;
use exchange::sending::plan::Plan;
use exchange::{Code, Event, Issue, Level, SubmissionId, WalkId};
use repository::store_issue;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{AnyHouse, Commit, House, Unit};
use wire::Clock as _;

/// A file of an export that is on its way.
pub(super) struct Giving {
    pub(super) house: AnyHouse,
    pub(super) clock: Arc<HouseClock>,
    pub(super) export: SubmissionId,
    pub(super) file: String,
}

impl Giving {
    /// Writes down that the file was given to its end.
    ///
    /// Errors: `HouseBusy` where the export does not stand still; those of the store.
    pub(super) async fn given(&self) -> Result<(), Issue> {
        for _ in 0..GIVEN_TRIES {
            let stored = self.house.work(self.export.as_str()).await.map_err(store_issue)?;
            let Some(stored) = stored else { break };
            let Some(mut sending) = read(&stored.work) else { break };
            let known = |it: &exchange::sending::Pulled| it.given.contains(&self.file);
            if sending.pulled.as_deref().is_some_and(known) {
                return Ok(());
            }
            let at = self.clock.now();
            let event = Event::FileGiven { file: self.file.clone() };
            sending.apply(at, &event);
            let unit = Unit {
                at,
                expects: vec![turn::unchanged(&stored)],
                lines: vec![(sending.chain(), event)],
                works: vec![row(&sending)],
                ..Unit::default()
            };
            if let Commit::Done { .. } = self.house.commit(unit).await.map_err(store_issue)? {
                return Ok(());
            }
        }
        Err(Issue::new(Code::HouseBusy, "the export was changed meanwhile"))
    }
}

impl Road {
    /// The payer has fetched everything, wants no more, or its time is over: each push gets its word.
    pub(super) async fn settle_pull(&self, turn: &mut SendingTurn) -> Result<(), Halt> {
        if turn.sending.stopping {
            return Ok(self.stopped(turn).await?);
        }
        let whole = turn.sending.is_given();
        let given = turn.sending.pulled.as_ref().map(|it| it.given.clone()).unwrap_or_default();
        let plan = self.standing_plans(&turn.sending).await?.pop().map(|(_, plan)| plan);
        let left = plan.as_ref().map(|plan| not_given(plan, turn, &given)).unwrap_or_default();
        let pieces = plan.as_ref().map(Plan::pushes).unwrap_or_default();
        for some in pieces.chunks(PUSHES_PER_UNIT) {
            let mut any = false;
            for piece in some {
                let Some((stored, push)) = self.still_in(turn, piece).await? else { continue };
                let word = match left.contains(&piece.walk) {
                    true => Event::Unfetched { issue: not_fetched() },
                    false => Event::Settled { level: Level::Taken },
                };
                turn.say_of(&stored, &push, vec![word]);
                any = true;
            }
            if any {
                turn.commit("bulk-settled").await?;
            }
        }
        let deleted = turn.sending.pulled.as_ref().is_some_and(|it| it.deleted);
        let until = if whole && !deleted { turn.sending.deadline } else { turn.now() };
        let end = if whole { End::Settled } else { End::Unfetched };
        Ok(self.end(turn, end, until, Vec::new()).await?)
    }
}

/// Pushes with something in a file that was not given to its end.
fn not_given(plan: &Plan, turn: &SendingTurn, given: &BTreeSet<String>) -> BTreeSet<WalkId> {
    let number = turn.sending.standing().last().map_or(0, |manifest| manifest.number);
    let left = plan.files.iter().filter(|it| !given.contains(&format!("{number}-{}", it.name)));
    left.flat_map(|file| &file.pieces).map(|piece| piece.walk.clone()).collect()
}
