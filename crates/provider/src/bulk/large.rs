//! Large: a push that is too large for a door that answers at once goes as an asynchronous one, where that
//! was agreed.
//!
//! Comes in   a push about to be sent, or the payer's word that it is too large (413).
//! Goes out   the end of that push, with its reason, and another walk whose mode is declared `async`; or why
//!            it can go in no file either.
//! Never      changes the mode of a push: whoever asked for it sees both, and why.

use super::terms_of;
use crate::again::successor;
use crate::road::{Halt, Road};
use crate::setup::Payer;
use crate::turn::{Fault, Turn};
use exchange::agreement::{ASYNC, PULL, TooLarge};
use exchange::limits::ENTRIES_MAX;
use exchange::sending::plan::longest_line;
use exchange::settle::Next;
use exchange::{Code, Event, Issue, Push};
use wire::limits::{BODY_BYTES_MAX, LINE_BYTES_MAX};

/// Why a push is not sent to a door that answers at once: it is larger than such a door takes by these
/// houses' own limits. Only where another way was agreed.
pub(crate) fn too_large_for_now(payer: &Payer, push: &Push, bytes: usize) -> Option<Issue> {
    let entries = push.assembled.as_ref().map_or(0, |made| made.resources);
    let large = bytes > BODY_BYTES_MAX || entries > ENTRIES_MAX as u64;
    (large && goes_on(payer)).then(|| {
        let detail =
            format!("{entries} entries, {bytes} bytes: more than is sent to be answered at once");
        Issue::new(Code::PayloadTooLarge, detail)
    })
}

/// The payer's word that a push is too large, where another way was agreed.
pub(crate) fn refused_for_size(payer: &Payer, next: &Next) -> Option<Issue> {
    let Next::Hold(issues) = next else { return None };
    let first = issues.iter().find(|issue| issue.code == Code::PayloadTooLarge);
    first.filter(|_| goes_on(payer)).cloned()
}

fn goes_on(payer: &Payer) -> bool {
    terms_of(payer).is_ok_and(|terms| terms.too_large == TooLarge::Bulk)
}

impl Road {
    /// Ends the push and begins another walk, declared asynchronous, in one unit. Where a person has
    /// taken it back, their walk is the other one.
    pub(crate) async fn go_async(&self, turn: &mut Turn, issue: Issue) -> Result<(), Halt> {
        let push = turn.push.clone();
        let by = match &push.withdrawn_by {
            Some(by) => by.clone(),
            None => successor(&push).ok_or(Fault::Unreadable)?,
        };
        turn.say(Event::WentAsync { by: by.clone(), issue });
        if push.withdrawn_by.is_none() {
            let declared = Push { mode: ASYNC.to_owned(), ..push };
            turn.begin(declared.begun_again(by))?;
        }
        Ok(turn.commit("scoped").await?)
    }

    /// A resource that is longer than a house takes of a line would be refused where nobody can say whose it
    /// is, with what goes beside it: such a push waits for a person before it joins any other.
    ///
    /// Errors: `PayloadTooLarge`.
    pub(crate) async fn fits_lines(&self, push: &Push) -> Result<(), Halt> {
        let payload = self.payload(push).await?;
        // A line is a part of the payload.
        if payload.len() <= LINE_BYTES_MAX {
            return Ok(());
        }
        let bytes = longest_line(payload)?;
        if bytes <= LINE_BYTES_MAX {
            return Ok(());
        }
        let detail =
            format!("a resource of {bytes} bytes: a line of a file has {LINE_BYTES_MAX} at most");
        Err(Issue::new(Code::PayloadTooLarge, detail).into())
    }

    /// The time of a push in a submission is over: a person is asked. The payer's late word still counts.
    pub(crate) async fn overdue(&self, turn: &mut Turn) -> Result<(), Halt> {
        if turn.push.mode == PULL {
            return self.unfetched(turn).await;
        }
        let detail = "the bulk submission that it goes with was not done in time";
        turn.say(Event::Held { issues: vec![Issue::new(Code::DeadlinePassed, detail)] });
        Ok(turn.commit("waiting").await?)
    }
}
