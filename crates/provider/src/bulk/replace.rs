//! Replace: a manifest that the payer knows of is told anew, without the pushes that stand no more (Bulk
//! Data 4.0.0-ballot, correcting data without aborting: `replacesManifestUrl`).
//!
//! Comes in   a submission whose end the payer does not know yet; the pushes that wait in it.
//! Goes out   a manifest in the place of another one; pushes that restrictions have overtaken, on their own
//!            way again.
//! Never      changes what the payer knows to be complete: what stands there is taken back by pushes of its
//!            own. These go in any case, since the payer may have read the manifest already.
//!
//! A push stands no more once a newer revision or a withdrawal went first, a person let it go another way,
//! or restrictions have changed. From then on the files of the old manifest are served no more, so that of
//! what was not fetched yet nothing is disclosed.

use super::{SendingTurn, terms_of};
use crate::limits::PUSHES_PER_UNIT;
use crate::road::{Halt, Road};
use exchange::sending::plan::{Piece, Plan, Sent};
use exchange::{Event, Push, WalkId};
use std::collections::BTreeMap;
use store::StoredWork;

impl Road {
    /// Makes one manifest anew, where one has to be. Answers whether that was so.
    pub(super) async fn replace(
        &self,
        turn: &mut SendingTurn,
        waiting: &[(StoredWork, Push)],
    ) -> Result<bool, Halt> {
        if turn.sending.manifests.is_empty() {
            return Ok(false);
        }
        self.replace_some(turn, waiting, true).await
    }

    /// The same of what the payer is about to be told, before each attempt. A manifest that was told
    /// without an answer gives way as one that was not told: its files are served no more, and what is
    /// said of it counts for nobody.
    pub(super) async fn replace_untold(&self, turn: &mut SendingTurn) -> Result<bool, Halt> {
        let waiting = self.waiting(&turn.sending).await?;
        self.replace_some(turn, &waiting, false).await
    }

    /// The same of what the payer knows, where the end was to be told and had to wait. Not where it may
    /// know the end: a request of which no answer came may have been taken.
    pub(super) async fn replace_before_the_end(
        &self,
        turn: &mut SendingTurn,
    ) -> Result<bool, Halt> {
        if turn.sending.issues.is_empty() || turn.sending.unanswered > 0 {
            return Ok(false);
        }
        let waiting = self.waiting(&turn.sending).await?;
        self.replace(turn, &waiting).await
    }

    async fn replace_some(
        &self,
        turn: &mut SendingTurn,
        waiting: &[(StoredWork, Push)],
        told: bool,
    ) -> Result<bool, Halt> {
        let waiting: BTreeMap<&WalkId, &(StoredWork, Push)> =
            waiting.iter().map(|row| (&row.1.walk, row)).collect();
        let sending = turn.sending.clone();
        for manifest in sending.standing().filter(|it| it.told == told) {
            let plan = self.plan(&manifest.plan).await?;
            let Some(stay) = self.staying(turn, &plan, &waiting).await? else { continue };
            let payer = self.payer(&turn.sending.payer)?;
            self.plan_of(turn, terms_of(payer)?, &stay, Some(manifest.number)).await?;
            turn.commit("bulk-made").await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The pushes of a plan that still stand; `None` where all do.
    async fn staying(
        &self,
        turn: &mut SendingTurn,
        plan: &Plan,
        waiting: &BTreeMap<&WalkId, &(StoredWork, Push)>,
    ) -> Result<Option<Vec<Sent>>, Halt> {
        let pieces = plan.pushes();
        let (mut stay, mut returned) = (Vec::new(), 0);
        for &piece in &pieces {
            let Some((stored, push)) = waiting.get(&piece.walk) else {
                // One whose own time is over gets the payer's late word.
                if self.still_in(turn, piece).await?.is_some() {
                    stay.push(sent(piece));
                }
                continue;
            };
            match self.may_not(push).await? {
                None => stay.push(sent(piece)),
                Some(issue) => {
                    turn.say_of(stored, push, vec![Event::Returned { issue }]);
                    returned += 1;
                    if returned % PUSHES_PER_UNIT == 0 {
                        turn.commit("bulk-intended").await?;
                    }
                }
            }
        }
        Ok((stay.len() < pieces.len()).then_some(stay))
    }
}

fn sent(piece: &Piece) -> Sent {
    let Piece { walk, push, patient, payload, .. } = piece.clone();
    Sent { walk, push, patient, payload }
}
