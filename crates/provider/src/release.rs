//! Release: what waits for a person goes on, with the stop it waited at.
//!
//! Comes in   a held row, and who lets it go on.
//! Goes out   one unit: the line that says so, and the row, due at once.
//! Never      a row that was changed meanwhile: whoever changed it has seen to it.

use crate::limits::LIST_ROWS_MAX;
use crate::road::Road;
use crate::turn;
use exchange::{Chain, Code, Event, Issue, PartnerId, Push, TriggerId, Who};
use repository::{lookup, store_issue};
use store::{Commit, House, StoredWork, Unit, WorkKind, WorkQuery};
use wire::Clock as _;

impl Road {
    /// Lets a held push or trigger go on. Answers its trigger; `None` where it was changed meanwhile.
    pub(crate) async fn release(
        &self,
        row: &StoredWork,
        who: Who,
    ) -> Result<Option<TriggerId>, Issue> {
        let at = self.clock.now();
        let (trigger, line, work) = match row.work.kind {
            WorkKind::Push => {
                let mut push = turn::read(&row.work).ok_or_else(lookup::unreadable)?;
                let event = Event::Released { who };
                push.apply(at, &event);
                let work = turn::row(&push, at);
                (push.trigger.clone(), (push.chain(), event), work)
            }
            _ => {
                let mut trigger = turn::read_trigger(&row.work).ok_or_else(lookup::unreadable)?;
                let event = Event::TriggerReleased { trigger: trigger.id.clone(), who };
                trigger.apply(at, &event);
                let work = turn::trigger_row(&trigger);
                (trigger.id, (Chain::House, event), work)
            }
        };
        let unit = Unit {
            at,
            expects: vec![row.unchanged()],
            lines: vec![line],
            works: vec![work],
            ..Unit::default()
        };
        let done = self.house.commit(unit).await.map_err(store_issue)?;
        Ok(matches!(done, Commit::Done { .. }).then_some(trigger))
    }

    /// Lets those held pushes go on of which this is true; to one partner, or to all. Answers how many.
    pub(crate) async fn release_where(
        &self,
        partner: Option<&PartnerId>,
        waits: impl Fn(&Push) -> bool,
        who: &Who,
    ) -> Result<u64, Issue> {
        let held = WorkQuery {
            kind: Some(WorkKind::Push),
            states: vec!["held".to_owned()],
            partner: partner.cloned(),
            limit: LIST_ROWS_MAX,
            ..WorkQuery::default()
        };
        let mut released = 0;
        for row in self.house.works(held).await.map_err(store_issue)? {
            if turn::read(&row.work).is_some_and(|push| waits(&push)) {
                released += u64::from(self.release(&row, who.clone()).await?.is_some());
            }
        }
        Ok(released)
    }
}

/// Whether a push waits for this, and for nothing else.
pub(crate) fn waits_only_for(push: &Push, code: Code) -> bool {
    !push.issues.is_empty() && push.issues.iter().all(|issue| issue.code == code)
}
