//! Again: restrictions are asked once more before anything leaves, each time.
//!
//! Comes in   an assembled push, about to be sent; the table of restrictions as it stands now.
//! Goes out   go on; or the push ends, and another walk of its trigger begins with *route*.
//! Never      sends what was shaped by other restrictions than those that hold now, or anything at
//!            all while they cannot be read or are too old, but for what only takes back.
//!
//! Why another walk, and not the same payload with less in it: which of its resources a restricted
//! encounter covers can be told from the chart only; and of what was sent before, a revision with a
//! number of its own takes back what may stand at the payer already.

use crate::road::{Halt, Road};
use crate::turn::{self, Fault, Turn};
use exchange::{Digest, Event, Push, WalkId};

impl Road {
    /// The restrictions as they are now, where the push was shaped by others.
    ///
    /// Errors: `RestrictionsUnreadable`, `RestrictionsStale`.
    pub(crate) async fn outdated(&self, push: &Push) -> Result<Option<Digest>, Halt> {
        if !self.tells(push).await? {
            return Ok(None);
        }
        let restrictions = self.restrictions(Some(push.purpose))?;
        let now = self.mark(push.purpose, &push.dossier.payer, &restrictions);
        let then = push.assembled.as_ref().and_then(|made| made.restrictions);
        Ok((then != Some(now)).then_some(now))
    }

    /// Whether it tells the payer anything; a push of deletions does not, and nothing may stop it.
    async fn tells(&self, push: &Push) -> Result<bool, Halt> {
        if push.withdraws.is_some() {
            return Ok(false);
        }
        if push.assembled.as_ref().is_some_and(|made| made.restrictions.is_some()) {
            return Ok(true);
        }
        // It only takes back, or an earlier version assembled it.
        let contents = self.contents(push).await?;
        Ok(contents.iter().any(|one| one.digest.is_some() && one.kind != "Provenance"))
    }

    /// Ends the push and begins another walk for the same payer, in one unit. Where a person has
    /// taken it back, their walk is the other one.
    pub(crate) async fn look_anew(
        &self,
        turn: &mut Turn,
        restrictions: Digest,
    ) -> Result<(), Halt> {
        let push = turn.push.clone();
        if let Some(by) = push.withdrawn_by {
            turn.say(Event::Outdated { by, restrictions });
            return Ok(turn.commit("scoped").await?);
        }
        let by = successor(&push).ok_or(Fault::Unreadable)?;
        turn.say(Event::Outdated { by: by.clone(), restrictions });
        turn.begin(push.begun_again(by))?;
        Ok(turn.commit("scoped").await?)
    }
}

/// The walk that goes on for a push: named by the number of the push, which no other of its lane has.
pub(crate) fn successor(push: &Push) -> Option<WalkId> {
    let number = push.assembled.as_ref()?.number;
    let walk = turn::walk_id(&push.trigger, &push.dossier.payer);
    Some(WalkId(format!("{walk}.{number}")))
}
